"""One order from the gate to the book: ranges, limits, grade, margin; then fills at makers' prices; then rest or expire."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.book cimport book_best, book_reduce, book_remove, book_rest
from engine.ledger cimport ledger_exchange, ledger_flow, ledger_move, ledger_swap
from engine.margin cimport (
    margin_free, margin_given, margin_requirement, margin_requirements, margin_spare_equity, margin_state_permit, margin_strictest,
    margin_wallet,
)
from engine.money cimport BALANCE_MAX, div_ceil, div_floor, money_hi, money_lo, money_mul, money_scale, money_t
from engine.records cimport (
    ACT_OPEN, ACT_REDUCE, CHART_FEES, ENGINE_ORDER, FLOW_FEE, FLOW_TRADE, OUT_ACCEPTED, OUT_CANCELLED, OUT_FILL, PERMIT_DEFER, PLANTED,
    SIDE_BUY, SIDE_SELL, STAGE_NONE, STATUS_LIQUIDATING, TIF_GTC, TIF_MARKET, TIF_POST_ONLY, Outcome, WHY_BAD_PRICE, WHY_BAD_QTY,
    WHY_BAD_SIDE, WHY_BAD_TIF, WHY_BOOK_FULL, WHY_EXCEEDS_BRACKETS, WHY_GRADE_REFUSED, WHY_IN_LIQUIDATION, WHY_INSUFFICIENT_BALANCE, WHY_INSUFFICIENT_MARGIN, WHY_UNFUNDED,
    WHY_IOC_REMAINDER, WHY_MARKET_STATE, WHY_NONE, WHY_NOT_REDUCING, WHY_REDUCE_ONLY, WHY_OFF_TICK, WHY_OWN_ORDER, WHY_POSITION_LIMIT, WHY_TOO_MANY_ORDERS, WHY_WOULD_CROSS,
)
from engine.state cimport MarketRule, Order, Position, State, emit

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000
    QTY_MAX = 1000000000
    POSITION_MAX = 1000000000000
    VALUE_MAX = 1000000000000000000


cdef inline int64_t _abs(int64_t x) noexcept nogil:
    return x if x >= 0 else -x


cdef inline bint _reaches(State* s, int side, int64_t limit, int64_t price) noexcept nogil:
    if PLANTED(s.planted, 3):
        return limit > price if side == SIDE_BUY else limit < price
    return limit >= price if side == SIDE_BUY else limit <= price


cdef int order_post(
    State* s, uint32_t account, int market, uint64_t order_id, int side, int tif, int64_t price, int64_t qty, bint reduce_only
) noexcept nogil:
    """Gate and post one order of a user or a quoter; return the Reason of a refusal, which changed nothing."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    cdef int64_t worse, other, filled, limit
    cdef money_t notional
    cdef int32_t opposite, place
    cdef bint unfunded
    cdef int why
    if side != SIDE_BUY and side != SIDE_SELL:
        return WHY_BAD_SIDE
    if not TIF_GTC <= tif <= TIF_MARKET:
        return WHY_BAD_TIF
    if not 1 <= qty <= QTY_MAX:
        return WHY_BAD_QTY
    if price != 0 if tif == TIF_MARKET else not 1 <= price <= PRICE_MAX:
        return WHY_BAD_PRICE
    if money_mul(price, rule.multiplier) > VALUE_MAX:
        return WHY_BAD_PRICE
    if price % rule.tick_size:
        return WHY_OFF_TICK
    if s.accounts[account].status == STATUS_LIQUIDATING:
        return WHY_IN_LIQUIDATION
    if s.accounts[account].orders_count >= s.orders_per_account_max:
        return WHY_TOO_MANY_ORDERS
    if s.orders_live >= s.orders_max:
        return WHY_BOOK_FULL
    worse, other = _abs(p.qty + p.buy_lots), _abs(p.qty - p.sell_lots)
    if (worse if worse > other else other) + qty > POSITION_MAX:
        return WHY_POSITION_LIMIT
    if reduce_only and qty > _closable(p.qty, side):
        return WHY_NOT_REDUCING
    if rule.spot:
        why = _spot_gate(s, account, market, side, tif, price, qty)
    else:
        why = _margin_gate(s, account, market, side, tif, price, qty, reduce_only)
    if why:
        return why
    opposite = book_best(s, market, SIDE_SELL if side == SIDE_BUY else SIDE_BUY)
    if tif == TIF_POST_ONLY and opposite and _reaches(s, side, price, s.orders[opposite].price):
        return WHY_WOULD_CROSS
    _say(s, OUT_ACCEPTED, account, market, order_id, side, price, qty)
    limit = _market_limit(s, market, side) if tif == TIF_MARKET else price
    if PLANTED(s.planted, 5):
        limit += rule.tick_size if side == SIDE_BUY else -rule.tick_size
    filled = order_match(s, account, order_id, market, side, limit, qty, STAGE_NONE, &notional)
    if filled == qty:
        return WHY_NONE
    unfunded = rule.spot and _crosses(s, market, side, limit)
    if (tif == TIF_GTC or tif == TIF_POST_ONLY) and not unfunded:
        place = book_rest(s, order_id, account, market, side, price, qty - filled)
        s.orders[place].reduce_only = reduce_only
        s.reduce_only_seen = s.reduce_only_seen or reduce_only
    else:
        o = _say(s, OUT_CANCELLED, account, market, order_id, side, price, qty - filled)
        o.reason = WHY_UNFUNDED if unfunded else WHY_IOC_REMAINDER
    return WHY_NONE


cdef Outcome* _say(State* s, int kind, uint32_t account, int market, uint64_t order_id, int side, int64_t price, int64_t qty) noexcept nogil:
    o = emit(s, kind)
    o.account, o.market, o.ref_id, o.side, o.price, o.qty = account, market, order_id, side, price, qty
    return o


cdef int _margin_gate(
    State* s, uint32_t account, int market, int side, int tif, int64_t price, int64_t qty, bint reduce_only
) noexcept nogil:
    """An order that raises its market's requirement needs equity >= all requirements with it, and its taker fee.

    A MARKET order is judged at the mark; a limit order pays the loss of a limit beyond the mark on top.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef bint exceeded, ignored
    cdef money_t value = s.marks[market].value if tif == TIF_MARKET else money_mul(price, rule.multiplier)
    cdef money_t cost = money_scale(value, qty)
    cdef money_t need = margin_requirement(s, account, market, 0, 0, 0, &ignored)
    cdef money_t need_with = margin_requirement(s, account, market, side, qty, cost, &exceeded)
    cdef money_t fee, needs
    cdef bint closes = _closes(&s.positions[<size_t>account * s.markets + market], side, qty, reduce_only)
    if margin_state_permit(s, market, ACT_REDUCE if closes else ACT_OPEN) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    if margin_strictest(s, account, ACT_OPEN if need_with > need else ACT_REDUCE, market) >= PERMIT_DEFER:
        return WHY_GRADE_REFUSED
    if need_with <= need:
        return WHY_NONE
    if exceeded:
        return WHY_EXCEEDS_BRACKETS
    fee = div_ceil(money_scale(cost, rule.taker_ppm), PPM)
    needs = margin_requirements(s, account) - need + need_with
    if PLANTED(s.planted, 6):
        return WHY_NONE
    return WHY_NONE if margin_spare_equity(s, account, s.numeraire, 0) >= needs + fee else WHY_INSUFFICIENT_MARGIN


cdef int _spot_gate(State* s, uint32_t account, int market, int side, int tif, int64_t price, int64_t qty) noexcept nogil:
    """A spot order needs what it gives, taker fee included, beside what open orders give; and margin without all of it.

    An account that owes nothing needs no trusted price for a limit order: else a book that an index reads could never open.
    """
    cdef int asset
    cdef money_t amount
    if margin_state_permit(s, market, ACT_OPEN) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    if tif == TIF_MARKET or _owes(s, account):
        if margin_strictest(s, account, ACT_OPEN, market) >= PERMIT_DEFER:
            return WHY_GRADE_REFUSED
    amount = margin_given(
        s, market, side, qty, _market_limit(s, market, side) if tif == TIF_MARKET else price, s.market_rules[market].taker_ppm, &asset
    )
    if margin_free(s, account, asset) < amount:
        return WHY_INSUFFICIENT_BALANCE
    if margin_spare_equity(s, account, asset, amount) < margin_requirements(s, account):
        return WHY_INSUFFICIENT_MARGIN
    return WHY_NONE


cdef bint _owes(State* s, uint32_t account) noexcept nogil:
    """The account has a debt, or positions or orders that need margin."""
    cdef int i
    for i in range(s.assets):
        if s.balances[<size_t>account * s.assets + i] < 0:
            return True
    return margin_requirements(s, account) > 0


cdef bint _delivers(State* s, uint32_t account, int side, int market, int64_t lots, int64_t price, int64_t fee_ppm) noexcept nogil:
    """A side of a spot fill has what it gives, its fee included, and room for what it gets."""
    cdef int asset
    cdef money_t amount = margin_given(s, market, side, lots, price, fee_ppm, &asset)
    return margin_wallet(s, account, asset) >= amount and _has_room(s, account, side, market, lots, price)


cdef bint _has_room(State* s, uint32_t account, int side, int market, int64_t lots, int64_t price) noexcept nogil:
    """What a spot trade brings stays within BALANCE_MAX; the numeraire has no such bound."""
    cdef int asset
    cdef money_t amount = margin_given(s, market, SIDE_SELL if side == SIDE_BUY else SIDE_BUY, lots, price, 0, &asset)
    return asset == s.numeraire or s.balances[<size_t>account * s.assets + asset] + amount <= BALANCE_MAX


cdef int64_t _market_limit(State* s, int market, int side) noexcept nogil:
    """The worst price a MARKET order takes: market_bound_ppm from the mark, on tick, inside the bound."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t mark = s.marks[market].published.last_valid
    cdef int64_t limit
    if side == SIDE_BUY:
        return <int64_t>div_floor(money_mul(mark, PPM + rule.market_bound_ppm), money_mul(PPM, rule.tick_size)) * rule.tick_size
    limit = <int64_t>div_ceil(money_mul(mark, PPM - rule.market_bound_ppm), money_mul(PPM, rule.tick_size)) * rule.tick_size
    return limit if limit > rule.tick_size else rule.tick_size


cdef bint _crosses(State* s, int market, int side, int64_t limit) noexcept nogil:
    """What is left of a taker could trade on: only the purse of its account stopped it."""
    cdef int32_t opposite = book_best(s, market, SIDE_SELL if side == SIDE_BUY else SIDE_BUY)
    return opposite != 0 and _reaches(s, side, limit, s.orders[opposite].price)


cdef int64_t order_match(
    State* s, uint32_t account, uint64_t order_id, int market, int side, int64_t limit, int64_t qty, int stage, money_t* notional
) noexcept nogil:
    """Trade up to qty lots against the book at `limit` or better, best price first, oldest first; return the lots filled.

    In a liquidation a resting order of the same owner is cancelled, not met. A taker of a spot market stops where it cannot give,
    or has no room for, what the next fill moves: fees are rounded up fill by fill.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int opposite = SIDE_SELL if side == SIDE_BUY else SIDE_BUY
    cdef int64_t left = qty
    cdef int64_t lots
    cdef int32_t place
    cdef Order* maker
    notional[0] = 0
    while left:
        place = book_best(s, market, opposite)
        if not place or not _reaches(s, side, limit, s.orders[place].price):
            break
        maker = &s.orders[place]
        if stage and s.accounts[maker.account].owner == s.accounts[account].owner:
            order_cancel(s, place, WHY_OWN_ORDER, stage)
            continue
        lots = left if left < maker.qty else maker.qty
        if rule.spot:
            if not _delivers(s, maker.account, opposite, market, lots, maker.price, rule.maker_ppm):
                order_cancel(s, place, WHY_UNFUNDED, stage)
                continue
            if not _delivers(s, account, side, market, lots, maker.price, 0 if stage else rule.taker_ppm):
                break
        notional[0] += _fill(s, account, order_id, place, side, lots, stage)
        left -= lots
    return qty - left


cdef money_t _fill(State* s, uint32_t taker, uint64_t order_id, int32_t place, int side, int64_t lots, int stage) noexcept nogil:
    """Post one fill at the maker's price; return its notional."""
    cdef const Order* maker = &s.orders[place]
    cdef const MarketRule* rule = &s.market_rules[maker.market]
    cdef uint32_t maker_account = maker.account
    cdef int market = maker.market
    cdef money_t cash = money_scale(money_mul(maker.price, rule.multiplier), lots)
    cdef money_t fee = 0 if stage else div_ceil(money_scale(cash, rule.taker_ppm), PPM)
    cdef money_t maker_fee = div_ceil(money_scale(cash, rule.maker_ppm), PPM)
    cdef uint32_t buyer = taker if side == SIDE_BUY else maker_account
    cdef uint32_t seller = maker_account if side == SIDE_BUY else taker
    if rule.spot:
        ledger_swap(s, buyer, seller, market, lots, cash)
    else:
        ledger_exchange(s, buyer, seller, market, lots, cash)
    if fee:
        ledger_move(s, taker, CHART_FEES, rule.quote, fee)
        if PLANTED(s.planted, 2):
            s.balances[<size_t>CHART_FEES * s.assets + rule.quote] -= fee
    s.marks[market].last_price, s.marks[market].traded = maker.price, True
    s.due_index |= rule.heard_by
    if rule.mark_median and rule.republish_on_fill:
        s.due_mark |= <uint64_t>1 << market
    o = emit(s, OUT_FILL)
    o.account, o.other, o.market, o.ref_id, o.other_id = taker, maker_account, market, order_id, maker.order_id
    o.side, o.price, o.qty, o.stage, o.flow = side, maker.price, lots, stage, FLOW_TRADE
    o.money_lo, o.money_hi = money_lo(fee), money_hi(fee)
    if maker_fee:
        ledger_flow(s, FLOW_FEE, maker_account, CHART_FEES, rule.quote, maker_fee)
    book_reduce(s, place, lots)
    order_trim(s, taker, market)
    order_trim(s, maker_account, market)
    return cash


cdef bint _closes(const Position* p, int side, int64_t qty, bint reduce_only) noexcept nogil:
    """An order can do nothing but close, whatever fills first: with what rests on its side, or reduce-only."""
    cdef int64_t resting = 0 if reduce_only else p.buy_lots if side == SIDE_BUY else p.sell_lots
    return qty + resting <= _closable(p.qty, side)


cdef inline int64_t _closable(int64_t held, int side) noexcept nogil:
    """The lots of a position that an order of that side closes."""
    cdef int64_t lots = held if side == SIDE_SELL else -held
    return lots if lots > 0 else 0


cdef void order_trim(State* s, uint32_t account, int market) noexcept nogil:
    """Cut the account's reduce-only orders, oldest first, each to what is left of its position."""
    cdef int64_t held, left, cut
    cdef int32_t place, following
    if not s.reduce_only_seen or PLANTED(s.planted, 22):
        return
    held = s.positions[<size_t>account * s.markets + market].qty
    place = s.accounts[account].orders_head
    while place:
        following = s.orders[place].account_next
        if s.orders[place].reduce_only and s.orders[place].market == market:
            left = _closable(held, s.orders[place].side)
            cut = s.orders[place].qty - left
            if left == 0:
                order_cancel(s, place, WHY_REDUCE_ONLY, s.stage)
            elif cut > 0:
                o = _say(s, OUT_CANCELLED, account, market, s.orders[place].order_id, s.orders[place].side, s.orders[place].price, cut)
                o.reason = WHY_REDUCE_ONLY
                book_reduce(s, place, cut)
        place = following


cdef void order_cancel(State* s, int32_t place, int reason, int stage) noexcept nogil:
    cdef Order order = s.orders[place]
    book_remove(s, place)
    o = _say(s, OUT_CANCELLED, order.account, order.market, order.order_id, order.side, order.price, order.qty)
    o.reason, o.stage = reason, stage


cdef uint64_t order_next_id(State* s) noexcept nogil:
    s.engine_orders += 1
    return ENGINE_ORDER | <uint64_t>s.engine_orders
