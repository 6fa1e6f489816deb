"""Steps 5 to 7 of the cascade: who is liquidated, and what the venue's stages do to them. See liquidation.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport MarketRule, State

cdef int liquidation_select(State* s, int count) noexcept nogil  # s.scan[:count], ascending -> s.picks; returns how many
cdef void liquidation_round(State* s, int count) noexcept nogil  # s.picks[:count]
cdef money_t price_lowest(const MarketRule* rule, money_t value) noexcept nogil  # whose value per lot is at least so much
cdef money_t price_highest(const MarketRule* rule, money_t value) noexcept nogil  # at most; 0: none
cdef int64_t bankruptcy_limit(  # price units on tick, what bounds a slice; need: the position's maintenance, of that in all
    State* s, uint32_t account, int market, money_t need, money_t maintenance
) noexcept nogil
