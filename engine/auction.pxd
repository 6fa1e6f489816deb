"""Auctions: the one price at which a market that leaves one is uncrossed. See auction.pyx."""
from libc.stdint cimport int32_t, int64_t

from engine.state cimport State

cdef struct Clearing:
    int64_t price
    int64_t lots
    int64_t surplus  # lots left over at that price; sells: negative

cdef struct Depth:  # where a walk through the levels of a side stands
    int64_t price
    int64_t lots  # of this level that are not matched yet, hidden ones too
    int32_t head  # first order of the level; 0: behind the last

cdef void auction_uncross(State* s, int market) noexcept nogil
