"""Bust: the venue undoes a fill by compensating postings. The same steps as specs/model/bust.py, which says what stays undone.

A fill's number is the count of FILL outcomes of the run before it; fill n of the latest `fills_kept` is at n % fills_kept.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from engine.ledger cimport ledger_exchange, ledger_flow, ledger_move, ledger_swap
from engine.margin cimport margin_value, margin_wallet
from engine.money cimport BALANCE_MAX, money_hi, money_lo, money_mul, money_scale, money_t
from engine.orders cimport order_out_of_bounds, order_trim
from engine.records cimport (
    CHART_FEES, FLOW_FEE_RETURNED, FLOW_TRADE, MARKET_CLOSED, OUT_BUSTED, SIDE_BUY, WHY_BUSTED_ALREADY, WHY_INSUFFICIENT_BALANCE, WHY_MARKET_CLOSED, WHY_NONE,
    WHY_POSITION_LIMIT, WHY_UNKNOWN_FILL, Event,
)
from engine.state cimport Fill, MarketRule, State, emit

cdef int bust_post(State* s, const Event* e) noexcept nogil:
    cdef Fill* fill
    cdef int why
    if e.ref_id >= <unsigned long long>s.fills or s.fills - <int64_t>e.ref_id > s.fills_kept:
        return WHY_UNKNOWN_FILL
    fill = &s.kept[<int64_t>e.ref_id % s.fills_kept]
    if fill.busted:
        return WHY_BUSTED_ALREADY
    if s.market_states[fill.market] == <uint8_t>MARKET_CLOSED:
        return WHY_MARKET_CLOSED
    why = _refused(s, fill) if s.clears else WHY_NONE
    if why:
        return why
    fill.busted = True
    if s.clears:
        _give_back(s, fill)
    o = emit(s, OUT_BUSTED)
    o.account, o.other, o.market, o.ref_id, o.side, o.price, o.qty = (
        fill.taker, fill.maker, fill.market, e.ref_id, fill.side, fill.price, fill.qty
    )
    o.money_lo, o.money_hi, o.flow = money_lo(fill.fee), money_hi(fill.fee), FLOW_TRADE
    if fill.maker_fee:
        ledger_flow(s, FLOW_FEE_RETURNED, CHART_FEES, fill.maker, s.market_rules[fill.market].quote, fill.maker_fee)
    order_trim(s, fill.taker, fill.market)
    order_trim(s, fill.maker, fill.market)
    return WHY_NONE


cdef bint _lacks(State* s, uint32_t account, int asset, money_t amount) noexcept nogil:
    """An account has not what it must give back; of what it gets, negative, it has no room."""
    if amount > 0:
        return margin_wallet(s, account, asset) < amount
    if amount < 0 and asset != s.numeraire:
        return s.balances[<size_t>account * s.assets + asset] - amount > BALANCE_MAX
    return False


cdef inline money_t _cash(State* s, const Fill* fill) noexcept nogil:
    return money_scale(margin_value(&s.market_rules[fill.market], fill.price), fill.qty)


cdef int _refused(State* s, const Fill* fill) noexcept nogil:
    """Why what a fill moved cannot go back: a position out of bounds; of a spot market no asset, or no room."""
    cdef const MarketRule* rule = &s.market_rules[fill.market]
    cdef bint bought = fill.side == SIDE_BUY
    cdef bint alone = fill.taker == fill.maker
    cdef int64_t lots = 0 if alone else -fill.qty if bought else fill.qty
    cdef money_t base, cash
    if not rule.spot:
        if order_out_of_bounds(s, fill.taker, fill.market, lots) or order_out_of_bounds(s, fill.maker, fill.market, -lots):
            return WHY_POSITION_LIMIT
        return WHY_NONE
    if alone:
        return WHY_NONE
    base, cash = money_mul(fill.qty, rule.lot_units), _cash(s, fill)
    if not bought:
        base, cash = -base, -cash
    if (
        _lacks(s, fill.taker, rule.base, base)
        or _lacks(s, fill.taker, rule.quote, -cash - fill.fee)
        or _lacks(s, fill.maker, rule.base, -base)
        or _lacks(s, fill.maker, rule.quote, cash - fill.maker_fee)
    ):
        return WHY_INSUFFICIENT_BALANCE
    return WHY_NONE


cdef void _give_back(State* s, const Fill* fill) noexcept nogil:
    """Sell back to the seller what was bought, at the fill's price; return the taker's fee. The maker's is told as a flow."""
    cdef const MarketRule* rule = &s.market_rules[fill.market]
    cdef uint32_t buyer = fill.taker if fill.side == SIDE_BUY else fill.maker
    cdef uint32_t seller = fill.maker if fill.side == SIDE_BUY else fill.taker
    if rule.spot:
        ledger_swap(s, seller, buyer, fill.market, fill.qty, _cash(s, fill))
    else:
        ledger_exchange(s, seller, buyer, fill.market, fill.qty, _cash(s, fill))
    if fill.fee:
        ledger_move(s, CHART_FEES, fill.taker, rule.quote, fill.fee)


cdef list bust_rows(State* s):
    cdef int64_t number
    cdef const Fill* fill
    rows = []
    if not s.fills_kept:
        return rows
    for number in range(max(0, s.fills - s.fills_kept), s.fills):
        fill = &s.kept[number % s.fills_kept]
        rows.append((
            number, fill.taker, fill.maker, fill.market, fill.side, fill.price, fill.qty, fill.fee, fill.maker_fee, int(fill.busted),
        ))
    return rows
