"""The state of a market: set by STATE events, and by the limits up and down, which pause it and let it go on.

The same steps as specs/model/states.py. Only an open market pauses: in any other state a taker just stops at the limit.
"""
from libc.stdint cimport int64_t, uint8_t

from engine.auction cimport auction_uncross
from engine.records cimport (
    MARKET_AUCTION, MARKET_CLOSED, MARKET_OPEN, MARKET_PAUSED, OUT_STATE_SET, WHY_BAD_STATE, WHY_LIMIT_UP_DOWN, WHY_MARKET_CLOSED, WHY_NONE, WHY_PAUSE_ENDED,
    WHY_UNKNOWN_MARKET, Event,
)
from engine.state cimport MarketRule, State, Timer, emit


cdef inline Timer* _timer(State* s, int market) noexcept nogil:
    """The RESUME timer of a market."""
    return &s.timers[s.sources + s.indices + s.quoters + s.markets + market]


cdef void set_state(State* s, int market, int state, int why) noexcept nogil:
    """Set a state and say so. A timer that would have changed it later is gone. An auction that ends trades first."""
    if s.market_states[market] == <uint8_t>MARKET_AUCTION and state != MARKET_AUCTION:
        auction_uncross(s, market)
    s.market_states[market], s.due_state = <uint8_t>state, True
    _timer(s, market).armed = False
    o = emit(s, OUT_STATE_SET)
    o.market, o.qty, o.reason = market, state, why


cdef int states_post(State* s, const Event* e) noexcept nogil:
    if e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if not 0 <= e.qty <= <int64_t>MARKET_PAUSED:
        return WHY_BAD_STATE
    if s.market_states[e.market] == <uint8_t>MARKET_CLOSED:
        return WHY_MARKET_CLOSED
    set_state(s, e.market, <int>e.qty, WHY_NONE)
    return WHY_NONE


cdef void _resume_at(State* s, int market, int64_t time_ns) noexcept nogil:
    cdef Timer* timer = _timer(s, market)
    timer.armed, timer.time_ns = True, time_ns
    if time_ns < s.next_due:
        s.next_due = time_ns


cdef void states_pause(State* s, int market) noexcept nogil:
    """A trade beyond the limit was asked for: an open market pauses, and a timer will end that."""
    if s.market_states[market] == <uint8_t>MARKET_OPEN:
        set_state(s, market, MARKET_PAUSED, WHY_LIMIT_UP_DOWN)
        _resume_at(s, market, s.now + s.market_rules[market].pause_ns)


cdef void states_resume(State* s, int market) noexcept nogil:
    """The pause is over: open, or an auction first; so is the auction."""
    cdef const MarketRule* rule = &s.market_rules[market]
    if s.market_states[market] == <uint8_t>MARKET_PAUSED and rule.resume_by_auction:
        set_state(s, market, MARKET_AUCTION, WHY_PAUSE_ENDED)
        _resume_at(s, market, s.now + rule.auction_ns)
    else:
        set_state(s, market, MARKET_OPEN, WHY_PAUSE_ENDED)
