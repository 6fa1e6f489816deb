"""Paged price ladder, intrusive order queues, order pool, id map, heap of expiries. See book.pyx."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from engine.state cimport Order, Slot, State, block_expect

cdef int32_t book_after(State* s, int market, int side, int64_t price) noexcept nogil  # first order of the next level; 0: none
cdef bint book_mid(State* s, int market, int64_t* price) noexcept nogil  # False: a side is empty
cdef int32_t book_take_place(State* s) noexcept nogil
cdef void book_rest(State* s, int32_t place) noexcept nogil
cdef bint book_reduce(State* s, int32_t place, int64_t lots) noexcept nogil  # True: it shows more now, at the back
cdef void book_cut(State* s, int32_t place, int64_t lots) noexcept nogil
cdef void book_withhold(State* s, int32_t place, bint back) noexcept nogil
cdef void book_remove(State* s, int32_t place) noexcept nogil
cdef void book_forget(State* s, int32_t place) noexcept nogil  # of an order that is in no level
cdef void account_append(State* s, int32_t place) noexcept nogil
cdef void account_unlink(State* s, int32_t place) noexcept nogil
cdef void map_insert(State* s, uint64_t order_id, int32_t place) noexcept nogil
cdef void expire_at(State* s, int32_t place) noexcept nogil
cdef void book_free(State* s) noexcept
cdef bytes book_save(State* s)
cdef int book_load(State* s, bytes blob, size_t at) except -1
cdef list book_rows(State* s)


# Inline: each is asked several times an event, and a call would cost as much as the look.

cdef inline int32_t book_best(const State* s, int market, int side) noexcept nogil:
    """The first order of the best level; 0: the side is empty."""
    return s.ladders[market * 2 + side - 1].best


cdef inline uint64_t map_home(const State* s, uint64_t order_id) noexcept nogil:
    """Where an id stands if nobody took its slot: the high bits of its product with 2^64 / golden ratio."""
    return (order_id * <uint64_t>0x9E3779B97F4A7C15) >> s.map_shift


cdef inline int32_t book_find(const State* s, uint64_t order_id) noexcept nogil:
    """The place of a live order; 0: unknown."""
    cdef uint64_t at = map_home(s, order_id)
    while s.map[at].place:
        if s.map[at].order_id == order_id:
            return s.map[at].place
        at = (at + 1) & s.map_mask
    return 0


# Of an event that a batch will come to: see exchange.pyx.

cdef inline void book_expect_id(const State* s, uint64_t order_id) noexcept nogil:
    cdef const Slot* slot = &s.map[map_home(s, order_id)]
    block_expect(slot)
    block_expect(slot + 1)


cdef inline int32_t book_peek(const State* s, uint64_t order_id) noexcept nogil:
    """The place in an id's first slot: the right one nine times in ten, without a branch."""
    return s.map[map_home(s, order_id)].place


cdef inline void book_expect_neighbours(const State* s, int32_t place) noexcept nogil:
    cdef const Order* order = &s.orders[place]
    block_expect(&s.orders[order.next])
    block_expect(&s.orders[order.prev])
    block_expect(&s.orders[order.account_next])
    block_expect(&s.orders[order.account_prev])


cdef inline void book_expect_fill(const State* s, int32_t place) noexcept nogil:
    """What a fill of an order touches beside the order: its slot, its account, its neighbours."""
    cdef const Order* order = &s.orders[place]
    cdef size_t position = <size_t>order.account * s.markets + order.market
    book_expect_id(s, order.order_id)
    block_expect(&s.accounts[order.account])
    block_expect(&s.positions[position])
    block_expect(<const char*>&s.positions[position] + 64)
    if s.clears:
        block_expect(&s.balances[<size_t>order.account * s.assets])
    book_expect_neighbours(s, place)
