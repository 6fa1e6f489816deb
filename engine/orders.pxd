"""Gate, match, fill and cancel of one order. See orders.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.money cimport money_t
from engine.state cimport State

cdef int order_post(State* s, uint32_t account, int market, uint64_t order_id, int side, int tif, int64_t price, int64_t qty, bint reduce_only) noexcept nogil
cdef int64_t order_match(
    State* s, uint32_t account, uint64_t order_id, int market, int side, int64_t limit, int64_t qty, int stage, money_t* notional
) noexcept nogil  # lots filled
cdef void order_trim(State* s, uint32_t account, int market) noexcept nogil  # reduce-only orders, to what is left of the position
cdef void order_cancel(State* s, int32_t order, int reason, int stage) noexcept nogil
cdef uint64_t order_next_id(State* s) noexcept nogil
