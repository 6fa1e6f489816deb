"""The end of a market: a dated future expires, a perpetual is delisted, and every position is closed at one price.

The same steps as specs/model/settlement.py. The rounding account takes all lots for lots x value(price), and ends as it was.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from engine.ledger cimport ledger_exchange
from engine.margin cimport margin_value
from engine.money cimport div_floor, money_hi, money_lo, money_scale, money_t
from engine.orders cimport order_cancel
from engine.records cimport (
    ACT_SETTLE, CHART_ROUNDING_RESIDUE, FLOW_SETTLEMENT, GRADE_VALID, MARKET_CLOSED, OUT_SETTLED, OUT_SETTLEMENT, OUT_SETTLES, PERMIT_DEFER,
    PLANTED, SIDE_BUY, SIDE_SELL, STAGE_NONE, USERS_FROM, WHY_BAD_TIME, WHY_MARKET_CLOSED, WHY_NONE, WHY_NO_SETTLEMENT, WHY_PRICE_AWAITED,
    WHY_UNKNOWN_MARKET, Event,
)
from engine.state cimport TIMES_MAX_NS, Mark, MarketRule, Published, State, Timer, emit, ring_push
from engine.states cimport set_state

cdef inline Timer* _timer(State* s, int market) noexcept nogil:
    """The SETTLE timer of a market: behind those of pauses."""
    return &s.timers[s.sources + s.indices + s.quoters + 2 * s.markets + market]


cdef void _settle_at(State* s, int market, int64_t time_ns) noexcept nogil:
    cdef Timer* timer = _timer(s, market)
    timer.armed, timer.time_ns = True, time_ns
    if time_ns < s.next_due:
        s.next_due = time_ns


cdef int settlement_delist(State* s, const Event* e) noexcept nogil:
    """Say when a market ends, sooner or later than was said before; now: at once."""
    cdef int64_t time_ns = e.qty if e.qty else s.now
    if e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if not s.market_rules[e.market].settles:
        return WHY_NO_SETTLEMENT
    if s.market_states[e.market] == <uint8_t>MARKET_CLOSED:
        return WHY_MARKET_CLOSED
    if not s.now <= time_ns <= TIMES_MAX_NS:
        return WHY_BAD_TIME
    _say(s, e.market, time_ns, WHY_NONE)
    _settle_at(s, e.market, time_ns)
    if time_ns == s.now:
        settlement_settle(s, e.market)
    return WHY_NONE


cdef void _say(State* s, int market, int64_t time_ns, int why) noexcept nogil:
    o = emit(s, OUT_SETTLES)
    o.market, o.qty, o.reason = market, time_ns, why


cdef void settlement_settle(State* s, int market) noexcept nogil:
    """Close the market, then its positions, or try again later."""
    cdef bint closed_before = s.market_states[market] == <uint8_t>MARKET_CLOSED
    cdef int64_t price = 0
    cdef uint32_t account
    _timer(s, market).armed = False
    if not closed_before:
        _close(s, market)
    if not _price(s, market, &price):
        _settle_at(s, market, s.now + s.market_rules[market].retry_ns)
        if not closed_before:
            _say(s, market, s.now + s.market_rules[market].retry_ns, WHY_PRICE_AWAITED)
        return
    o = emit(s, OUT_SETTLEMENT)
    o.market, o.price, o.qty = market, price, s.open_interest[market]
    o.grade = s.index_states[s.market_rules[market].index].grade
    for account in range(USERS_FROM if PLANTED(s.planted, 67) else 0, s.accounts_high):
        if account != <uint32_t>CHART_ROUNDING_RESIDUE and s.positions[<size_t>account * s.markets + market].qty:
            _position(s, account, market, price)


cdef void _close(State* s, int market) noexcept nogil:
    """Cancel its orders, those that wait too, and set its last state."""
    cdef uint32_t account
    cdef int32_t place, following
    for account in range(s.accounts_high):
        place = s.accounts[account].orders_head
        while place:
            following = s.orders[place].account_next
            if s.orders[place].market == market and not (PLANTED(s.planted, 69) and s.orders[place].side == SIDE_BUY):
                order_cancel(s, place, WHY_MARKET_CLOSED, STAGE_NONE)
            place = following
    set_state(s, market, MARKET_CLOSED, WHY_MARKET_CLOSED)


cdef bint _price(State* s, int market, int64_t* price) noexcept nogil:
    """The settlement price now; False where grades, or the range of the market's prices, do not admit it."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Published* index = &s.index_states[rule.index]
    cdef const Mark* mark = &s.marks[market]
    if not index.valid or s.permits[index.grade][<int>ACT_SETTLE] >= PERMIT_DEFER:
        return False
    price[0] = index.last_valid
    if rule.settlement_samples:
        price[0] = <int64_t>div_floor(mark.settlement.sum, mark.settlement.count)
    if PLANTED(s.planted, 68):
        price[0] = mark.published.last_valid
    return rule.price_min <= price[0] <= rule.price_max


cdef void settlement_sample(State* s, int market) noexcept nogil:
    """Keep an index price that was published VALID."""
    cdef Mark* mark = &s.marks[market]
    cdef const Published* index = &s.index_states[s.market_rules[market].index]
    if index.grade == GRADE_VALID:
        ring_push(&mark.settlement, &s.samples[mark.settlement_from], <int32_t>s.market_rules[market].settlement_samples, index.price)


cdef void _position(State* s, uint32_t account, int market, int64_t price) noexcept nogil:
    """Close one position: the rounding account takes the lots and pays for them, or is paid."""
    cdef int64_t qty = s.positions[<size_t>account * s.markets + market].qty
    cdef money_t cash = money_scale(margin_value(&s.market_rules[market], price), qty)
    if qty > 0:
        ledger_exchange(s, CHART_ROUNDING_RESIDUE, account, market, qty, cash)
    else:
        ledger_exchange(s, account, CHART_ROUNDING_RESIDUE, market, -qty, -cash)
    o = emit(s, OUT_SETTLED)
    o.account, o.other, o.market, o.price = account, CHART_ROUNDING_RESIDUE, market, price
    o.side, o.qty = SIDE_BUY if qty > 0 else SIDE_SELL, qty if qty > 0 else -qty
    o.money_lo, o.money_hi, o.flow = money_lo(cash), money_hi(cash), FLOW_SETTLEMENT
