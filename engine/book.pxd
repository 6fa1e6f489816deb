"""Paged price ladder, intrusive order queues, order pool, id map, heap of expiries. See book.pyx."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from engine.state cimport Order, State

cdef int32_t book_find(State* s, uint64_t order_id) noexcept nogil  # place of a live order; 0: unknown
cdef int32_t book_best(State* s, int market, int side) noexcept nogil  # first order of the best level; 0: the side is empty
cdef int32_t book_after(State* s, int market, int side, int64_t price) noexcept nogil  # first order of the next level; 0: none
cdef bint book_mid(State* s, int market, int64_t* price) noexcept nogil  # False: a side is empty
cdef int32_t book_take_place(State* s) noexcept nogil
cdef int32_t book_rest(State* s, const Order* draft) noexcept nogil
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
