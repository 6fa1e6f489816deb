"""One refill of a quoter: cancel what rests, not what waits, then quote again around the index unless the move or the inventory is too large."""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from engine.margin cimport margin_state_permit
from engine.money cimport div_ceil, div_floor, money_abs, money_max, money_mul, money_t
from engine.orders cimport order_cancel, order_next_id, order_post
from engine.records cimport (
    ACT_OPEN, GRADE_VALID, OUT_QUOTER, OUT_REJECT, PERMIT_DEFER, SIDE_BUY, SIDE_SELL, STAGE_NONE, TIF_POST_ONLY, WHY_QUOTER_EXIT, WHY_QUOTER_REFILL,
    WHY_QUOTER_RETURN,
)
from engine.state cimport ORDER_WAITS, MarketRule, Published, Quoter, QuoterRule, State, Ticket, emit

cdef enum:
    PPM = 1000000


cdef void quoter_refill(State* s, int number) noexcept nogil:
    cdef const QuoterRule* rule = &s.quoter_rules[number]
    cdef Quoter* quoter = &s.quoter_states[number]
    cdef const Published* index = &s.index_states[s.market_rules[rule.market].index]
    cdef int64_t tick = s.market_rules[rule.market].tick_size
    cdef int64_t away
    cdef int32_t place, following
    cdef int level
    cdef bint moved
    if rule.account >= <uint64_t>s.accounts_max or not s.accounts[rule.account].opened:
        return
    place = s.accounts[rule.account].orders_head
    while place:
        following = s.orders[place].account_next
        if s.orders[place].market == rule.market and not s.orders[place].flags & ORDER_WAITS:
            order_cancel(s, place, WHY_QUOTER_REFILL, STAGE_NONE)
        place = following
    if margin_state_permit(s, rule.market, ACT_OPEN) >= PERMIT_DEFER or index.grade != GRADE_VALID:
        return
    if quoter.away:
        if s.now < quoter.return_ns:
            return
        quoter.away, quoter.return_ns, quoter.has_reference, quoter.reference = False, 0, False, 0
        _say(s, rule, WHY_QUOTER_RETURN, index.price)
    moved = quoter.has_reference and money_abs(money_mul(index.price - quoter.reference, PPM)) > money_mul(rule.exit_move_ppm, quoter.reference)
    if moved or _inventory(s, rule) > rule.inventory_max:
        quoter.away, quoter.return_ns = True, s.now + rule.return_ns
        _say(s, rule, WHY_QUOTER_EXIT, index.price)
        return
    quoter.has_reference, quoter.reference = True, index.price
    for level in range(rule.levels):
        away = rule.half_spread_ppm + level * rule.step_ppm
        _quote(s, rule, SIDE_BUY, <int64_t>div_floor(money_mul(index.price, PPM - away), money_mul(PPM, tick)) * tick)
        _quote(s, rule, SIDE_SELL, <int64_t>div_ceil(money_mul(index.price, PPM + away), money_mul(PPM, tick)) * tick)


cdef money_t _inventory(State* s, const QuoterRule* rule) noexcept nogil:
    """The lots that the quoter holds on either side; in a spot market those of the base asset."""
    cdef const MarketRule* market = &s.market_rules[rule.market]
    if market.spot:
        return div_floor(money_max(0, s.balances[<size_t>rule.account * s.assets + market.base]), market.lot_units)
    return money_abs(s.positions[<size_t>rule.account * s.markets + rule.market].qty)


cdef void _quote(State* s, const QuoterRule* rule, int side, int64_t price) noexcept nogil:
    """Place one quote through the gate; a refusal is a REJECT outcome."""
    cdef Ticket t
    cdef int why
    memset(&t, 0, sizeof(Ticket))
    t.order_id, t.account, t.market, t.side, t.tif = order_next_id(s), rule.account, rule.market, side, TIF_POST_ONLY
    t.price, t.qty = price, rule.lots
    why = order_post(s, &t)
    if why:
        o = emit(s, OUT_REJECT)
        o.account, o.market, o.ref_id, o.side, o.price, o.qty, o.reason = t.account, t.market, t.order_id, side, t.price, t.qty, why


cdef void _say(State* s, const QuoterRule* rule, int why, int64_t price) noexcept nogil:
    o = emit(s, OUT_QUOTER)
    o.account, o.market, o.price, o.reason = rule.account, rule.market, price, why
