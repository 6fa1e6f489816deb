"""Queries: what an exchange answers between events; nothing changes. See queries.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport StageRule, State

cdef const StageRule* query_transfer(State* s) noexcept nogil  # the stage that transfers; NULL: none does
cdef money_t query_liability_taken(State* s, int liability, int asset, money_t shortage, money_t most) noexcept nogil  # rows; -1: numeraire
cdef money_t query_collateral_given(State* s, int liability, int asset, money_t qty) noexcept nogil  # at most BALANCE_MAX

cdef int64_t query_liquidation_price(State* s, uint32_t account, int market) noexcept nogil  # price units; NO_PRICE: none
cdef int64_t query_bankruptcy_price(State* s, uint32_t account, int market) noexcept nogil  # price units on tick; NO_PRICE: none
cdef int64_t query_liquidation_limit_price(State* s, uint32_t account, int market) noexcept nogil  # price units on tick; NO_PRICE: none
cdef bint query_bankruptcy_value(State* s, uint32_t account, int market, int64_t lots, money_t* value) noexcept nogil  # False: none
cdef int query_adl_rank(State* s, uint32_t account, int market, int* of) noexcept nogil  # from 1; 0: it stands in no queue
cdef money_t query_withdrawable(State* s, uint32_t account, int asset) noexcept nogil
cdef money_t query_collateral_needed(State* s, int row, money_t debt) noexcept nogil  # -1: no balance counts for so much
cdef money_t query_conversion_needed(State* s, int row, money_t debt) noexcept nogil  # -1: the treasury pays nothing
