"""Resting orders: a ladder of price levels in pages per side, intrusive queues, an open-addressing id map, a bitmap for the best.

See book.pyx. Orders are places in the pool State.orders; 0 is none.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.state cimport State

cdef int32_t book_find(State* s, uint64_t order_id) noexcept nogil  # 0: not live
cdef int32_t book_best(State* s, int market, int side) noexcept nogil  # the order that trades first; 0: side empty
cdef bint book_mid(State* s, int market, int64_t* price) noexcept nogil  # (bid + ask) / 2 down; False when a side is empty
cdef int32_t book_rest(State* s, uint64_t order_id, uint32_t account, int market, int side, int64_t price, int64_t qty) noexcept nogil
cdef void book_reduce(State* s, int32_t order, int64_t lots) noexcept nogil  # a fill; at 0 the order leaves
cdef void book_remove(State* s, int32_t order) noexcept nogil
cdef void map_insert(State* s, uint64_t order_id, int32_t order) noexcept nogil
cdef void book_free(State* s) noexcept
cdef bytes book_save(State* s)
cdef int book_load(State* s, bytes blob, size_t at) except -1
cdef list book_rows(State* s)  # (market, side, price, place, order_id, account, qty, reduce_only), bids down, asks up
