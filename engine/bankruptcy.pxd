"""What closing a position uses up of the margin behind it, and the worst price of a slice. See bankruptcy.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport BoundRule, Evaluation, MarketRule, State

cdef money_t price_lowest(const MarketRule* rule, money_t value) noexcept nogil  # whose value per lot is at least so much
cdef money_t price_highest(const MarketRule* rule, money_t value) noexcept nogil  # at most; 0: none
cdef money_t bankruptcy_share(  # of the margin, rounded up; need: the position's maintenance, of that in all
    State* s, uint32_t account, money_t need, money_t maintenance, bint debts
) noexcept nogil
cdef int64_t bankruptcy_limit(  # price units on tick
    State* s, uint32_t account, int market, money_t need, money_t maintenance, bint debts
) noexcept nogil
cdef money_t closing_value(  # for lots (signed) of a position `held` of an account that is as e says
    State* s, uint32_t account, int market, int64_t held, int64_t lots, const Evaluation* e
) noexcept nogil
cdef int64_t slice_limit(  # price units on tick; 0: no price is inside the bound
    State* s, uint32_t account, int market, const BoundRule* bound, const Evaluation* e
) noexcept nogil
