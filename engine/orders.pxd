"""Gate, match, fill, amend and cancel of orders. See orders.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.records cimport Event, Outcome
from engine.state cimport Matched, Order, State, Ticket

cdef int orders_ticket(State* s, const Event* e, Ticket* t) noexcept nogil  # the order that an event sends, or the Reason why none
cdef int order_admits(State* s, const Ticket* t) noexcept nogil  # ranges and counts: the first Reason of a refusal
cdef bint order_out_of_bounds(State* s, uint32_t account, int market, int64_t lots) noexcept nogil  # a position with lots more
cdef int order_post(State* s, Ticket* t) noexcept nogil  # the Reason of a refusal, which changed nothing
cdef Matched order_match(State* s, const Ticket* t, int64_t limit, int stage) noexcept nogil
cdef bint order_delivers(State* s, uint32_t account, int side, int market, int64_t lots, int64_t price, int64_t fee_ppm) noexcept nogil
cdef int64_t order_available(State* s, const Ticket* t, int64_t limit) noexcept nogil  # lots that it would trade at once
cdef void order_reduce(State* s, int32_t place, int64_t lots) noexcept nogil  # of the lots it shows; it may show more then
cdef void order_traded(State* s, int market, int64_t price) noexcept nogil  # no-cython-lint: inline in its own module
cdef void order_trim(State* s, uint32_t account, int market) noexcept nogil  # reduce-only orders, to what is left of the position
cdef void order_cancel(State* s, int32_t place, int reason, int stage) noexcept nogil
cdef Outcome* order_say(State* s, int kind, const Order* order, int64_t qty) noexcept nogil
cdef uint64_t order_next_id(State* s) noexcept nogil
cdef bint is_trader(State* s, uint32_t account) noexcept nogil  # a user; without clearing whoever sends orders
cdef int orders_new(State* s, const Event* e) noexcept nogil
cdef int orders_cancel(State* s, const Event* e) noexcept nogil
cdef int orders_amend(State* s, const Event* e) noexcept nogil
cdef int orders_mass_cancel(State* s, const Event* e) noexcept nogil
cdef int orders_disconnect(State* s, const Event* e) noexcept nogil
