"""Bust: the venue undoes a fill by compensating postings. See bust.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.records cimport Event
from engine.state cimport Fill, State

cdef int bust_post(State* s, const Event* e) noexcept nogil  # the Reason of a refusal
cdef list bust_rows(State* s)  # the fills that are kept, oldest first


cdef inline void bust_keep(
    State* s, uint32_t taker, uint32_t maker, int market, int side, int64_t price, int64_t qty, money_t fee, money_t maker_fee
) noexcept nogil:
    """Count a fill, and keep it while it is one of the latest."""
    cdef Fill* fill
    if s.fills_kept:
        fill = &s.kept[s.fills % s.fills_kept]
        fill.fee, fill.maker_fee, fill.price, fill.qty = fee, maker_fee, price, qty
        fill.taker, fill.maker, fill.market, fill.side, fill.busted = taker, maker, market, side, False
    s.fills += 1
