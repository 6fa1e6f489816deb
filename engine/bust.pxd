"""Bust: the venue undoes a fill by compensating postings. See bust.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t

from engine.money cimport money_t
from engine.records cimport Event
from engine.state cimport State

cdef void bust_keep(  # count a fill, and keep it while it is one of the latest
    State* s, uint32_t taker, uint32_t maker, int market, int side, int64_t price, int64_t qty, money_t fee, money_t maker_fee
) noexcept nogil
cdef int bust_post(State* s, const Event* e) noexcept nogil  # the Reason of a refusal
cdef list bust_rows(State* s)  # the fills that are kept, oldest first
