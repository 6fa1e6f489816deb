"""One order from the gate to the book: ranges, limits, state, grade, margin; then fills at makers' prices; then rest or expire.

The same steps as specs/model/orders.py.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine.accounts cimport accounts_open, is_user
from engine.bands cimport bands_away, bands_judge, bands_limits, bands_narrow
from engine.book cimport book_after, book_best, book_cut, book_expect_fill, book_find, book_reaches, book_reduce, book_remove, book_rest, book_take_place, book_withhold, order_reaches
from engine.bust cimport bust_keep
from engine.ledger cimport ledger_exchange, ledger_flow, ledger_move, ledger_swap
from engine.margin cimport (
    margin_free, margin_given, margin_grade_permit, margin_needs, margin_requirements, margin_requirements_beside, margin_spare_equity, margin_state_permit,
    margin_strictest, margin_value, margin_wallet,
)
from engine.money cimport BALANCE_MAX, div_ceil, money_abs, money_hi, money_lo, money_mul, money_scale, money_t, must, tick_exact, tick_of
from engine.records cimport (
    ACT_AMEND, ACT_CANCEL, ACT_OPEN, ACT_REDUCE, ACT_TAKE, CHART_FEES, CHECKED, ENGINE_ORDER, FLAG_ALL_MARKETS, FLAG_CLOSE_ONLY, FLAG_REDUCE_ONLY,
    FLOW_FEE, FLOW_TRADE, LEG_NET, MARKET_AUCTION, MARKET_CLOSED, MARKET_OPEN, OUT_ACCEPTED, OUT_AMENDED, OUT_CANCELLED, OUT_FILL, OUT_REFRESHED, PERMIT_DEFER,
    PLANTED, SELF_ALLOW, SELF_AS_MARKET, SELF_CANCEL_BOTH, SELF_CANCEL_MAKER, SELF_CANCEL_TAKER, SELF_DECREMENT, SIDE_BUY, SIDE_NONE,
    SIDE_SELL, STAGE_NONE, STATUS_LIQUIDATING, TIF_FOK, TIF_GTC, TIF_GTD, TIF_MARKET, TIF_POST_ONLY, TIF_POST_REPRICE, USERS_FROM,
    WHY_BAD_AMEND, WHY_BAD_DISPLAY, WHY_BAD_EXPIRY, WHY_BAD_LEG, WHY_BAD_ORDER_ID, WHY_BAD_PRICE, WHY_BAD_QTY, WHY_BAD_SELF_TRADE,
    WHY_BAD_SIDE, WHY_BAD_TIF, WHY_BOOK_FULL, WHY_CANNOT_FILL, WHY_DISCONNECTED, WHY_DUPLICATE_ORDER_ID, WHY_EXCEEDS_BRACKETS,
    WHY_GRADE_REFUSED, WHY_INSUFFICIENT_BALANCE, WHY_INSUFFICIENT_MARGIN, WHY_IN_LIQUIDATION, WHY_IOC_REMAINDER,
    WHY_LIMIT_UP_DOWN, WHY_MARKET_CLOSED, WHY_MARKET_STATE, WHY_MASS_CANCEL, WHY_NONE, WHY_NOTIONAL_LIMIT, WHY_NOT_OWNER, WHY_NOT_REDUCING, WHY_OFF_TICK, WHY_OPEN_INTEREST_LIMIT,
    WHY_OWNER_LIMIT, WHY_OWN_ORDER, WHY_POSITION_LIMIT, WHY_PRICE_BAND, WHY_QTY_LIMIT, WHY_REDUCE_ONLY, WHY_SELF_TRADE, WHY_TOO_MANY_ORDERS,
    WHY_UNFUNDED, WHY_UNKNOWN_ACCOUNT, WHY_UNKNOWN_MARKET, WHY_UNKNOWN_ORDER, WHY_USER, WHY_WOULD_CROSS, Event, Outcome,
)
from engine.stops cimport stops_amend, stops_follow_last, stops_remove
from engine.state cimport (
    ORDER_REDUCE_ONLY, ORDER_SELF_TRADE, ORDER_WAITS, TIMES_MAX_NS, Account, MarketRule, Matched, Order, Position, State, Ticket, emit, rarely,
)
from engine.states cimport states_pause

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000
    QTY_MAX = 1000000000
    POSITION_MAX = 1000000000000
    DISPLAY_PARTS_MAX = 100
    TICKET_OF_EVENT = 56  # bytes


cdef inline int64_t _abs(int64_t x) noexcept nogil:
    return x if x >= 0 else -x


cdef inline int64_t _positive(int64_t x) noexcept nogil:
    return x if x > 0 else 0


cdef inline bint _rests(int tif) noexcept nogil:
    return (1 << TIF_GTC | 1 << TIF_GTD | 1 << TIF_POST_ONLY | 1 << TIF_POST_REPRICE) >> tif & 1  # 0 <= tif < 32


cdef inline int _opposite(int side) noexcept nogil:
    return SIDE_SELL if side == SIDE_BUY else SIDE_BUY


# ---- events

cdef bint is_trader(State* s, uint32_t account) noexcept nogil:
    """A user; without clearing whoever sends orders, opened in silence."""
    if is_user(s, account):
        return True
    if s.clears or not USERS_FROM <= account < <uint32_t>s.accounts_max:
        return False
    accounts_open(s, account, account)
    return True


cdef inline int _ticket(State* s, const Event* e, Ticket* t) noexcept nogil:
    if not is_trader(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if e.ref_id & ENGINE_ORDER:
        return WHY_BAD_ORDER_ID
    if book_find(s, e.ref_id):
        return WHY_DUPLICATE_ORDER_ID
    if e.leg != LEG_NET:
        return WHY_BAD_LEG
    memcpy(t, &e.ref_id, TICKET_OF_EVENT)
    t.before = 0
    t.close_only = t.reduce_only = False
    if rarely(e.flags & (FLAG_CLOSE_ONLY | FLAG_REDUCE_ONLY)):
        t.close_only, t.reduce_only = e.flags & FLAG_CLOSE_ONLY != 0, True
    return WHY_NONE


cdef int orders_ticket(State* s, const Event* e, Ticket* t) noexcept nogil:
    """Fill in the order that an event sends, but for what its amount says; return why it names nothing that is there."""
    cdef int why = _ticket(s, e, t)
    t.display = 0
    return why


cdef int orders_new(State* s, const Event* e) noexcept nogil:
    cdef Ticket t
    cdef int why = _ticket(s, e, &t)
    return why if why else _order_post(s, &t)


cdef inline int _owned(State* s, const Event* e, int32_t* place) noexcept nogil:
    """Find the order that an event of its account names; return why there is none."""
    if not is_trader(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    place[0] = book_find(s, e.ref_id)
    if not place[0]:
        return WHY_UNKNOWN_ORDER
    return WHY_NONE if s.orders[place[0]].account == e.account else WHY_NOT_OWNER


cdef int orders_cancel(State* s, const Event* e) noexcept nogil:
    cdef int32_t place
    cdef int why = _owned(s, e, &place)
    if why:
        return why
    if margin_state_permit(s, s.orders[place].market, ACT_CANCEL) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    _cancel(s, place, WHY_USER, STAGE_NONE)
    return WHY_NONE


cdef inline bint _named(const Event* e, const Order* order) noexcept nogil:
    return (e.flags & FLAG_ALL_MARKETS or order.market == e.market) and (e.side == SIDE_NONE or order.side == e.side)


cdef int orders_mass_cancel(State* s, const Event* e) noexcept nogil:
    """Cancel an account's orders of a market, or of all, on a side or on both, oldest first; all of them or none."""
    cdef int32_t place, following
    cdef bint found = False
    if not is_trader(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if not e.flags & FLAG_ALL_MARKETS and e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if e.side > <uint8_t>SIDE_SELL:
        return WHY_BAD_SIDE
    place = s.accounts[e.account].orders_head
    while place:
        if _named(e, &s.orders[place]) and margin_state_permit(s, s.orders[place].market, ACT_CANCEL) >= PERMIT_DEFER:
            return WHY_MARKET_STATE
        place = s.orders[place].account_next
    place = s.accounts[e.account].orders_head
    while place:
        following = s.orders[place].account_next
        if _named(e, &s.orders[place]):
            found = True
            order_cancel(s, place, WHY_MASS_CANCEL, STAGE_NONE)
        place = following
    return WHY_NONE if found else WHY_UNKNOWN_ORDER


cdef int orders_disconnect(State* s, const Event* e) noexcept nogil:
    """Cancel all orders of an account: the venue's own act, which no state of a market stops."""
    if not is_trader(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if not s.accounts[e.account].orders_head:
        return WHY_UNKNOWN_ORDER
    while s.accounts[e.account].orders_head:
        order_cancel(s, s.accounts[e.account].orders_head, WHY_DISCONNECTED, STAGE_NONE)
    return WHY_NONE


cdef int orders_amend(State* s, const Event* e) noexcept nogil:
    """Change price or lots left of an order. Fewer lots at the same price keep its place; anything else is a new order.

    Judged as if the old order were gone; refused, everything is as it was.
    """
    cdef int32_t place
    cdef int why = _owned(s, e, &place)
    cdef Order* order
    cdef int64_t price, qty, held
    cdef Ticket t
    if why:
        return why
    order = &s.orders[place]
    if margin_state_permit(s, order.market, ACT_AMEND) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    if order.flags & ORDER_WAITS:
        return stops_amend(s, e, place)
    if e.amount_lo:
        return WHY_BAD_AMEND
    held = <int64_t>order.shown + order.hidden
    price, qty = e.price if e.price else order.price, e.qty if e.qty else held
    if price == order.price and qty == held:
        return WHY_BAD_AMEND
    if price == order.price and 0 < qty < held:
        book_cut(s, place, held - qty)
        order_say(s, OUT_AMENDED, order, qty)
        return WHY_NONE
    memset(&t, 0, sizeof(Ticket))
    t.order_id, t.price, t.qty, t.expiry_ns, t.account = order.order_id, price, qty, order.expiry_ns, order.account
    t.display = order.display if <int64_t>order.display < qty else 0
    t.market, t.side, t.tif, t.self_trade, t.before = order.market, order.side, order.tif, order.flags // ORDER_SELF_TRADE, place
    t.reduce_only = order.flags & ORDER_REDUCE_ONLY != 0
    book_withhold(s, place, False)
    why = order_post(s, &t)
    if why:
        book_withhold(s, place, True)
    return why


# ---- the gate

cdef int order_post(State* s, Ticket* t) noexcept nogil:
    return _order_post(s, t)


cdef inline int _order_post(State* s, Ticket* t) noexcept nogil:
    """Gate and post one order of a user or a quoter; return the Reason of a refusal, which changed nothing.

    t.before is the order that it changes: the caller withholds its reservation, and puts it back after a refusal.
    """
    cdef int64_t limit
    cdef int why = _gate(s, t, &limit)
    if why:
        return why
    if t.before:
        book_withhold(s, t.before, True)
        book_remove(s, t.before)
        o = _say(s, OUT_AMENDED, t, t.qty)
        o.other_id = 1
    else:
        o = _say(s, OUT_ACCEPTED, t, t.qty)
        o.other_id = t.display
    if PLANTED(s.planted, 5):
        limit += s.market_rules[t.market].tick_size if t.side == SIDE_BUY else -s.market_rules[t.market].tick_size
    _post(s, t, limit)
    return WHY_NONE


cdef inline Outcome* _say(State* s, int kind, const Ticket* t, int64_t qty) noexcept nogil:
    """Emit an outcome about an order that is not in the book."""
    o = emit(s, kind)
    o.account, o.market, o.ref_id, o.side, o.price, o.qty = t.account, t.market, t.order_id, t.side, t.price, qty
    return o


cdef inline void _post(State* s, const Ticket* t, int64_t limit) noexcept nogil:
    """Match an accepted order, then let what is left of it rest or go."""
    cdef int32_t place
    cdef Order* order
    cdef Matched m
    m.left, m.stopped = t.qty, WHY_NONE
    if book_reaches(s, t.market, t.side, limit):
        m = order_match(s, t, limit, STAGE_NONE)
    if not m.left:
        return
    if _rests(t.tif) and not m.stopped and not t.clipped:
        place = book_take_place(s)
        order = &s.orders[place]
        order.order_id, order.price, order.account, order.market, order.side = t.order_id, t.price, t.account, t.market, t.side
        order.expiry_ns, order.display, order.tif = t.expiry_ns, <uint32_t>t.display, t.tif
        order.flags = (ORDER_REDUCE_ONLY if t.reduce_only else 0) | t.self_trade * ORDER_SELF_TRADE
        order.shown = <uint32_t>(m.left if not t.display or m.left < <int64_t>t.display else <int64_t>t.display)
        order.hidden = <uint32_t>(m.left - order.shown)
        book_rest(s, place)
        if rarely(t.reduce_only):
            s.reduce_only_seen = True
    else:
        o = _say(s, OUT_CANCELLED, t, m.left)
        o.reason = m.stopped if m.stopped else WHY_PRICE_BAND if t.clipped else WHY_IOC_REMAINDER


cdef inline bint _ordinary(State* s, const Ticket* t, const MarketRule* rule) noexcept nogil:
    """Nothing in _judge but margin can refuse or change this order. True of most, and told without a branch for each number.

    True must be right, False need not: then _judge looks at everything, and it alone names a Reason.
    """
    cdef const Account* account = &s.accounts[t.account]
    cdef const Position* p
    cdef uint64_t row  # as numbers of the machine's order: leg, self_trade and flags are to be 0
    memcpy(&row, &t.market, sizeof(row))
    if s.clears:
        p = &s.positions[<size_t>t.account * s.markets + t.market]
        if _abs(p.qty) + p.buy_lots + p.sell_lots + t.qty > POSITION_MAX:
            return False
    return (
        rule.ordinary
        & (s.market_states[t.market] == <uint8_t>MARKET_OPEN)
        & ((row & <uint64_t>0xFF000000FFFFFF00 | t.display | <uint64_t>t.expiry_ns | <uint32_t>t.before | <uint32_t>t.reduce_only) == 0)
        & (<uint32_t>(t.side - SIDE_BUY | t.tif - TIF_GTC) < 2)
        & (<uint64_t>(t.qty - 1) < <uint64_t>rule.qty_max)
        & tick_exact(t.price, rule.tick_shift, rule.tick_inverse, rule.ticks_max)
        & (account.status != STATUS_LIQUIDATING)
        & (account.orders_count < s.orders_per_account_max)
        & (s.orders_live < s.orders_max)
    )


cdef inline int _gate(State* s, Ticket* t, int64_t* limit) noexcept nogil:
    """Why an order is refused, or the worst price at which it trades; it may be given another price of its own."""
    cdef int why = WHY_NONE
    t.clipped = False
    if not _ordinary(s, t, &s.market_rules[t.market]):
        return _judge(s, t, limit)
    if s.clears:
        why = _margin_gate(s, t.account, t.market, t.side, t.tif, t.price, t.qty, False)
    must(not CHECKED or (_judge(s, t, limit) == why and (why or limit[0] == t.price)), "an ordinary order passes the whole gate")
    limit[0] = t.price
    return why


cdef int _judge(State* s, Ticket* t, int64_t* limit) noexcept nogil:
    """_gate, with everything looked at."""
    cdef const MarketRule* rule = &s.market_rules[t.market]
    cdef int64_t closable
    cdef int32_t opposite
    cdef bint collects
    cdef int why = order_admits(s, t)
    if why:
        return why
    if t.close_only:
        closable = _closable(s.positions[<size_t>t.account * s.markets + t.market].qty, t.side)
        t.qty = closable if closable < rule.qty_max else rule.qty_max
        if not t.qty:
            return WHY_NOT_REDUCING
    why = bands_judge(s, t) if rule.band_kind else WHY_NONE
    if not why:
        why = _limits(s, t, rule)
    if why:
        return why
    if t.reduce_only and t.qty > _closable(s.positions[<size_t>t.account * s.markets + t.market].qty, t.side):
        return WHY_NOT_REDUCING
    collects = s.market_states[t.market] == <uint8_t>MARKET_AUCTION
    if collects and not _rests(t.tif):
        return WHY_MARKET_STATE
    opposite = 0 if collects else book_best(s, t.market, _opposite(t.side))
    if t.tif == TIF_POST_REPRICE and opposite and order_reaches(s, t.side, t.price, s.orders[opposite].price):
        t.price = s.orders[opposite].price + (-rule.tick_size if t.side == SIDE_BUY else rule.tick_size)
        if not rule.price_min <= t.price <= <int64_t>PRICE_MAX:
            return WHY_WOULD_CROSS
    if not s.clears:
        why = _state_gate(s, t, rule)
    elif rule.spot:
        why = _spot_gate(s, t.account, t.market, t.side, t.tif, t.price, t.qty)
    else:
        why = _margin_gate(s, t.account, t.market, t.side, t.tif, t.price, t.qty, t.reduce_only)
    if why:
        return why
    limit[0] = _market_limit(s, t.market, t.side) if t.tif == TIF_MARKET else t.price
    if opposite and order_reaches(s, t.side, limit[0], s.orders[opposite].price):
        if t.tif == TIF_POST_ONLY:
            return WHY_WOULD_CROSS
        if margin_state_permit(s, t.market, ACT_TAKE) >= PERMIT_DEFER:
            return WHY_MARKET_STATE
    if t.tif == TIF_FOK and _available(s, t, limit[0]) < t.qty and not PLANTED(s.planted, 24):
        return WHY_CANNOT_FILL
    return WHY_NONE


cdef bint order_out_of_bounds(State* s, uint32_t account, int market, int64_t lots) noexcept nogil:
    """A position with so many lots more leaves POSITION_MAX, its open orders included."""
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    return _abs(p.qty + lots + p.buy_lots) > POSITION_MAX or _abs(p.qty + lots - p.sell_lots) > POSITION_MAX


cdef int order_admits(State* s, const Ticket* t) noexcept nogil:
    cdef int why = WHY_NONE
    if s.market_states[t.market] == <uint8_t>MARKET_CLOSED:
        return WHY_MARKET_CLOSED
    why = _ranges(s, t, &s.market_rules[t.market])
    return why if why else _counts(s, t)


cdef inline int _ranges(State* s, const Ticket* t, const MarketRule* rule) noexcept nogil:
    if t.side != SIDE_BUY and t.side != SIDE_SELL:
        return WHY_BAD_SIDE
    if not TIF_GTC <= t.tif <= TIF_POST_REPRICE or (t.tif == TIF_FOK and rule.spot):
        return WHY_BAD_TIF  # whether the makers of a spot market can deliver shows only as they are met
    if t.qty != 0 if t.close_only else not 1 <= t.qty <= QTY_MAX:
        return WHY_BAD_QTY
    if t.price != 0 if t.tif == TIF_MARKET else not rule.price_min <= t.price <= rule.price_max:
        return WHY_BAD_PRICE
    if money_mul(tick_of(t.price, rule.tick_shift, rule.tick_inverse), rule.tick_size) != t.price:
        return WHY_OFF_TICK
    if t.expiry_ns:
        if t.tif != TIF_GTD and t.tif != TIF_POST_ONLY and t.tif != TIF_POST_REPRICE:
            return WHY_BAD_EXPIRY
        if not s.now < t.expiry_ns <= TIMES_MAX_NS:
            return WHY_BAD_EXPIRY
    elif t.tif == TIF_GTD:
        return WHY_BAD_EXPIRY
    if t.display:
        if not _rests(t.tif) or t.reduce_only or t.display >= <uint64_t>t.qty or t.qty > <int64_t>t.display * DISPLAY_PARTS_MAX:
            return WHY_BAD_DISPLAY
    if t.self_trade == SELF_ALLOW or not SELF_AS_MARKET <= t.self_trade <= SELF_DECREMENT:
        return WHY_BAD_SELF_TRADE
    return WHY_NONE


cdef inline int _counts(State* s, const Ticket* t) noexcept nogil:
    cdef int before = 1 if t.before else 0
    if s.accounts[t.account].status == STATUS_LIQUIDATING:
        return WHY_IN_LIQUIDATION
    if s.accounts[t.account].orders_count - before >= s.orders_per_account_max:
        return WHY_TOO_MANY_ORDERS
    return WHY_BOOK_FULL if s.orders_live - before >= s.orders_max else WHY_NONE


cdef inline int _limits(State* s, const Ticket* t, const MarketRule* rule) noexcept nogil:
    """Limits of one order, of what an account and its owner could hold after it, and of the open interest."""
    cdef const Position* p = &s.positions[<size_t>t.account * s.markets + t.market]
    cdef int64_t worse = _abs(p.qty + p.buy_lots)
    cdef int64_t other = _abs(p.qty - p.sell_lots)
    cdef int64_t raised
    cdef money_t value
    if s.clears and (worse if worse > other else other) + t.qty > POSITION_MAX:
        return WHY_POSITION_LIMIT
    if t.qty > rule.qty_max:
        return WHY_QTY_LIMIT
    if not rule.limited:
        return WHY_NONE
    if rule.notional_limited:
        value = s.marks[t.market].value if t.tif == TIF_MARKET else margin_value(rule, t.price)
        if money_abs(money_scale(value, t.qty)) > rule.notional_max:
            return WHY_NOTIONAL_LIMIT
    if not rule.position_max and not rule.open_interest_max:
        return WHY_NONE
    raised = _positive(_reach(p, t.side) + t.qty) - _positive(_reach(p, t.side))
    if rule.position_max and raised and _owner_reach(s, t.account, t.market, t.side) + raised > rule.position_max:
        return WHY_OWNER_LIMIT
    if rule.open_interest_max and raised and s.open_interest[t.market] + raised > rule.open_interest_max:
        return WHY_OPEN_INTEREST_LIMIT
    return WHY_NONE


cdef inline int64_t _reach(const Position* p, int side) noexcept nogil:
    """The lots that an account holds on a side with all its open orders of that side filled; negative: the other."""
    return p.qty + p.buy_lots if side == SIDE_BUY else p.sell_lots - p.qty


cdef int64_t _owner_reach(State* s, uint32_t account, int market, int side) noexcept nogil:
    """What all accounts of the owner could hold on a side together."""
    cdef int64_t total = 0
    cdef uint32_t a = account
    while True:
        total += _positive(_reach(&s.positions[<size_t>a * s.markets + market], side))
        a = s.accounts[a].sibling
        if a == account:
            return total


cdef int _state_gate(State* s, const Ticket* t, const MarketRule* rule) noexcept nogil:
    """Without clearing only the market's state speaks, and the mark where a MARKET order is bounded by it."""
    if margin_state_permit(s, t.market, ACT_OPEN) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    if t.tif == TIF_MARKET and not rule.bound_in_ticks and margin_grade_permit(s, t.market, ACT_OPEN) >= PERMIT_DEFER:
        return WHY_GRADE_REFUSED
    return WHY_NONE


cdef int _margin_gate(
    State* s, uint32_t account, int market, int side, int tif, int64_t price, int64_t qty, bint reduce_only
) noexcept nogil:
    """An order that raises its market's requirement needs equity >= all requirements with it, and its taker fee.

    A MARKET order is judged at the mark; a limit order pays the loss of a limit beyond the mark on top.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef bint exceeded
    cdef money_t value = s.marks[market].value if tif == TIF_MARKET else margin_value(rule, price)
    cdef money_t cost = money_scale(value, qty)
    cdef money_t need, need_with
    cdef money_t fee, needs
    cdef bint closes = _closes(&s.positions[<size_t>account * s.markets + market], side, qty, reduce_only)
    if margin_state_permit(s, market, ACT_REDUCE if closes else ACT_OPEN) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    margin_needs(s, account, market, side, qty, cost, &need, &need_with, &exceeded)
    if margin_strictest(s, account, ACT_OPEN if need_with > need else ACT_REDUCE, market) >= PERMIT_DEFER:
        return WHY_GRADE_REFUSED
    if need_with <= need:
        return WHY_NONE
    if exceeded:
        return WHY_EXCEEDS_BRACKETS
    fee = div_ceil(money_scale(money_abs(cost), rule.taker_ppm), PPM)
    needs = margin_requirements_beside(s, account, market) + need_with
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


cdef bint order_delivers(State* s, uint32_t account, int side, int market, int64_t lots, int64_t price, int64_t fee_ppm) noexcept nogil:
    """A side of a spot fill has what it gives, its fee included, and room for what it gets."""
    cdef int asset
    cdef money_t amount
    if not s.clears:
        return True
    amount = margin_given(s, market, side, lots, price, fee_ppm, &asset)
    return margin_wallet(s, account, asset) >= amount and _has_room(s, account, side, market, lots, price)


cdef bint _has_room(State* s, uint32_t account, int side, int market, int64_t lots, int64_t price) noexcept nogil:
    """What a spot trade brings stays within BALANCE_MAX; the numeraire has no such bound."""
    cdef int asset
    cdef money_t amount = margin_given(s, market, SIDE_SELL if side == SIDE_BUY else SIDE_BUY, lots, price, 0, &asset)
    return asset == s.numeraire or s.balances[<size_t>account * s.assets + asset] + amount <= BALANCE_MAX


cdef int64_t _market_limit(State* s, int market, int side) noexcept nogil:
    """The worst price a MARKET order takes: its own bound, not beyond the market's band."""
    return bands_narrow(s, market, side, _market_bound(s, market, side))


cdef int64_t _market_bound(State* s, int market, int side) noexcept nogil:
    """The bound of a MARKET order, on tick: so far from the mark, or from the best opposite price.

    Of an empty opposite side: the price that reaches nothing.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t mark = s.marks[market].published.last_valid
    cdef int64_t limit
    cdef money_t away
    cdef int32_t opposite
    if rule.bound_in_ticks:
        opposite = book_best(s, market, _opposite(side))
        away = money_mul(rule.bound_ticks, rule.tick_size)
        if not opposite:
            return 0 if side == SIDE_BUY else PRICE_MAX
        if side == SIDE_BUY:
            return <int64_t>(s.orders[opposite].price + away) if s.orders[opposite].price + away < PRICE_MAX else PRICE_MAX
        return <int64_t>(s.orders[opposite].price - away) if s.orders[opposite].price - away > rule.price_low else rule.price_low
    limit = bands_away(side, mark, rule.market_bound_ppm, rule.tick_size)
    return limit if side == SIDE_BUY or limit > rule.price_low else rule.price_low


cdef int64_t _available(State* s, const Ticket* t, int64_t limit) noexcept nogil:
    """The lots that an order would trade at once, at most its own: the queue as it would be met, order by order.

    Hidden lots count; those of the order's own account do as its self-trade mode lets them; a reduce-only order counts for
    what its account can still close when it is met. What stands beyond a limit up or down, and behind it, does not.
    """
    cdef int opposite = _opposite(t.side)
    cdef int64_t down = 0
    cdef int64_t up = 0
    cdef bint limited = s.market_rules[t.market].limit_ppm and bands_limits(s, t.market, &down, &up)
    cdef int32_t head = book_best(s, t.market, opposite)
    cdef int32_t last = 0
    cdef int32_t place
    cdef int64_t found = 0
    cdef bint more = True
    while head and more and order_reaches(s, t.side, limit, s.orders[head].price):
        if limited and not down <= s.orders[head].price <= up:
            break
        more = _level_available(s, t, head, &found)
        last, head = head, book_after(s, t.market, opposite, s.orders[head].price)
    head = book_best(s, t.market, opposite) if last else 0
    while head:  # what was met is forgotten again
        place = head
        while place:
            s.met[s.orders[place].account] = 0
            place = s.orders[place].next
        head = book_after(s, t.market, opposite, s.orders[head].price) if head != last else 0
    return found


cdef int64_t order_available(State* s, const Ticket* t, int64_t limit) noexcept nogil:
    return _available(s, t, limit)


cdef bint _level_available(State* s, const Ticket* t, int32_t head, int64_t* found) noexcept nogil:
    """Add what an order would trade at one level; False: it trades no further. An order that hides lots comes again at the back."""
    cdef int mode = _self_trade(s, t)
    cdef int opposite = _opposite(t.side)
    cdef int64_t turn = 0
    cdef int64_t lots, left
    cdef bint again = True
    cdef int32_t place
    cdef const Order* maker
    while again:
        again, place = False, head
        while place:
            maker = &s.orders[place]
            place = maker.next
            lots = maker.shown
            if turn:
                lots = maker.hidden - (turn - 1) * maker.display
                lots = lots if lots < <int64_t>maker.display else maker.display
            if lots <= 0:
                continue
            if mode != SELF_ALLOW and _same(s, maker, t.account, STAGE_NONE):
                if mode == SELF_CANCEL_MAKER:
                    continue
                return False
            if maker.flags & ORDER_REDUCE_ONLY and maker.account != t.account:
                left = _closable(s.positions[<size_t>maker.account * s.markets + t.market].qty, opposite) - s.met[maker.account]
                lots = _positive(lots if lots < left else left)
            lots = lots if lots < t.qty - found[0] else t.qty - found[0]
            found[0] += lots
            s.met[maker.account] += lots
            if found[0] == t.qty:
                return False
            again = again or maker.hidden > turn * maker.display
        turn += 1
    return True


# ---- matching

cdef Matched order_match(State* s, const Ticket* t, int64_t limit, int stage) noexcept nogil:
    """Trade up to t.qty lots against the book at `limit` or better, best price first, oldest first.

    In a liquidation a resting order of the same owner is cancelled, not met; else the taker's self-trade mode decides. A taker of
    a spot market stops where it cannot give, or has no room for, what the next fill moves: fees are rounded up fill by fill.
    Only the shown lots of an order are met; then it shows more, at the back of its level. In an auction nobody is met.
    A taker that comes to a price beyond a limit up or down stops there, and the market pauses.
    """
    cdef const MarketRule* rule = &s.market_rules[t.market]
    cdef int opposite = _opposite(t.side)
    cdef int mode = SELF_CANCEL_MAKER if stage else _self_trade(s, t)
    cdef int64_t down = 0
    cdef int64_t up = 0
    cdef bint limited = s.market_rules[t.market].limit_ppm and bands_limits(s, t.market, &down, &up)
    cdef int64_t lots
    cdef int32_t place
    cdef Order* maker
    cdef Matched m
    m.notional, m.left, m.stopped = 0, t.qty, WHY_NONE
    if s.market_states[t.market] == <uint8_t>MARKET_AUCTION:
        return m
    while m.left:
        if not book_reaches(s, t.market, t.side, limit):
            break
        place = book_best(s, t.market, opposite)
        maker = &s.orders[place]
        if limited and not down <= maker.price <= up:
            states_pause(s, t.market)
            m.stopped = WHY_LIMIT_UP_DOWN
            break
        book_expect_fill(s, maker.next)
        if mode != SELF_ALLOW and _same(s, maker, t.account, stage):
            m.left = _prevent(s, mode, t, place, m.left, stage)
            if mode == SELF_CANCEL_TAKER or mode == SELF_CANCEL_BOTH:
                m.stopped = WHY_SELF_TRADE
                break
            continue
        lots = m.left if m.left < <int64_t>maker.shown else <int64_t>maker.shown
        if rule.spot:
            if not order_delivers(s, maker.account, opposite, t.market, lots, maker.price, rule.maker_ppm):
                order_cancel(s, place, WHY_UNFUNDED, stage)
                continue
            if not order_delivers(s, t.account, t.side, t.market, lots, maker.price, 0 if stage else rule.taker_ppm):
                m.stopped = WHY_UNFUNDED
                break
        m.notional += _fill(s, t.account, t.order_id, place, t.side, lots, stage)
        m.left -= lots
    return m


cdef inline int _self_trade(State* s, const Ticket* t) noexcept nogil:
    """The mode that counts for a taker: its own, else that of the market's row."""
    return s.market_rules[t.market].self_trade if t.self_trade == SELF_AS_MARKET else t.self_trade


cdef bint _same(State* s, const Order* maker, uint32_t taker, int stage) noexcept nogil:
    """A resting order is the taker's own: of its account, or of its owner where the row or a stage says so."""
    if maker.account == taker:
        return not PLANTED(s.planted, 25)
    if not stage and not s.market_rules[maker.market].self_trade_by_owner:
        return False
    return s.accounts[maker.account].owner == s.accounts[taker].owner


cdef int64_t _prevent(State* s, int mode, const Ticket* t, int32_t place, int64_t left, int stage) noexcept nogil:
    """Do what a self-trade mode says when an order meets one of its own; return what is left of the taker."""
    cdef Order* maker = &s.orders[place]
    cdef int64_t lots = left if left < <int64_t>maker.shown else <int64_t>maker.shown
    if mode == SELF_DECREMENT:
        o = emit(s, OUT_CANCELLED)
        o.account, o.market, o.ref_id, o.side, o.price, o.qty = t.account, t.market, t.order_id, t.side, t.price, lots
        o.reason = WHY_SELF_TRADE
        o = order_say(s, OUT_CANCELLED, maker, lots)
        o.reason = WHY_SELF_TRADE
        order_reduce(s, place, lots)
        return left - lots
    if mode != SELF_CANCEL_TAKER:
        order_cancel(s, place, WHY_OWN_ORDER if stage else WHY_SELF_TRADE, stage)
    return left


cdef void order_reduce(State* s, int32_t place, int64_t lots) noexcept nogil:
    _reduce(s, place, lots)


cdef inline void _reduce(State* s, int32_t place, int64_t lots) noexcept nogil:
    """Take lots from what an order shows, and say so when it shows more."""
    if book_reduce(s, place, lots):
        order_say(s, OUT_REFRESHED, &s.orders[place], s.orders[place].shown)


cdef inline money_t _fill(State* s, uint32_t taker, uint64_t order_id, int32_t place, int side, int64_t lots, int stage) noexcept nogil:
    """Post one fill at the maker's price; return its notional."""
    cdef const Order* maker = &s.orders[place]
    cdef const MarketRule* rule = &s.market_rules[maker.market]
    cdef uint32_t maker_account = maker.account
    cdef int market = maker.market
    cdef money_t cash = money_scale(margin_value(rule, maker.price), lots)
    cdef money_t paid = 0 if PLANTED(s.planted, 72) and cash < 0 else money_abs(cash)
    cdef money_t fee = 0
    cdef money_t maker_fee = 0
    cdef uint32_t buyer, seller
    if s.clears:
        buyer = taker if side == SIDE_BUY else maker_account
        seller = maker_account if side == SIDE_BUY else taker
        fee = 0 if stage else div_ceil(money_scale(paid, rule.taker_ppm), PPM)
        maker_fee = div_ceil(money_scale(paid, rule.maker_ppm), PPM)
        if rule.spot:
            ledger_swap(s, buyer, seller, market, lots, cash)
        else:
            ledger_exchange(s, buyer, seller, market, lots, cash)
    if fee:
        ledger_move(s, taker, CHART_FEES, rule.quote, fee)
        if PLANTED(s.planted, 2):
            s.balances[<size_t>CHART_FEES * s.assets + rule.quote] -= fee
    order_traded(s, market, maker.price)
    o = emit(s, OUT_FILL)
    o.account, o.other, o.market, o.ref_id, o.other_id = taker, maker_account, market, order_id, maker.order_id
    o.side, o.price, o.qty, o.stage, o.flow = side, maker.price, lots, stage, FLOW_TRADE
    o.money_lo, o.money_hi = money_lo(fee), money_hi(fee)
    if maker_fee:
        ledger_flow(s, FLOW_FEE, maker_account, CHART_FEES, rule.quote, maker_fee)
    bust_keep(s, taker, maker_account, market, side, maker.price, lots, fee, maker_fee)
    _reduce(s, place, lots)
    if s.reduce_only_seen:
        order_trim(s, taker, market)
        order_trim(s, maker_account, market)
    return money_abs(cash)


cdef inline void order_traded(State* s, int market, int64_t price) noexcept nogil:
    """Keep the last price; what reads it, or reads the book on update, is due."""
    cdef const MarketRule* rule = &s.market_rules[market]
    s.marks[market].last_price, s.marks[market].traded = price, True
    if s.waiting:
        stops_follow_last(s, market)
    s.due_index |= rule.heard_by
    if rule.mark_median and rule.republish_on_fill:
        s.due_mark |= <uint64_t>1 << market


cdef bint _closes(const Position* p, int side, int64_t qty, bint reduce_only) noexcept nogil:
    """An order can do nothing but close, whatever fills first: with what rests on its side, or reduce-only."""
    cdef int64_t resting = 0 if reduce_only else (&p.buy_lots)[<int>(side != SIDE_BUY)]
    return qty + resting <= _closable(p.qty, side)


cdef inline int64_t _closable(int64_t held, int side) noexcept nogil:
    """The lots of a position that an order of that side closes."""
    cdef int64_t lots = held if side == SIDE_SELL else -held
    return lots if lots > 0 else 0


cdef void order_trim(State* s, uint32_t account, int market) noexcept nogil:
    """Cut the account's reduce-only orders, oldest first, each to what is left of its position. Those that wait stay."""
    cdef int64_t held, left, cut
    cdef Order* order
    cdef int32_t place, following
    if not s.reduce_only_seen or PLANTED(s.planted, 22):
        return
    held = s.positions[<size_t>account * s.markets + market].qty
    place = s.accounts[account].orders_head
    while place:
        following = s.orders[place].account_next
        order = &s.orders[place]
        if order.flags & (ORDER_REDUCE_ONLY | ORDER_WAITS) == ORDER_REDUCE_ONLY and order.market == market:
            left = _closable(held, order.side)
            cut = <int64_t>order.shown + order.hidden - left
            if left == 0:
                order_cancel(s, place, WHY_REDUCE_ONLY, s.stage)
            elif cut > 0:
                o = order_say(s, OUT_CANCELLED, order, cut)
                o.reason = WHY_REDUCE_ONLY
                book_cut(s, place, cut)
        place = following


cdef void order_cancel(State* s, int32_t place, int reason, int stage) noexcept nogil:
    _cancel(s, place, reason, stage)


cdef inline void _cancel(State* s, int32_t place, int reason, int stage) noexcept nogil:
    cdef const Order* order = &s.orders[place]
    cdef bint waits = order.flags & ORDER_WAITS != 0
    o = order_say(s, OUT_CANCELLED, order, <int64_t>order.shown + order.hidden)
    o.reason, o.stage = reason, stage
    if waits:
        stops_remove(s, place)
    else:
        book_remove(s, place)


cdef Outcome* order_say(State* s, int kind, const Order* order, int64_t qty) noexcept nogil:
    """Emit an outcome about an order and some of its lots."""
    o = emit(s, kind)
    o.account, o.market, o.ref_id, o.side, o.price, o.qty = order.account, order.market, order.order_id, order.side, order.price, qty
    return o


cdef uint64_t order_next_id(State* s) noexcept nogil:
    s.engine_orders += 1
    return ENGINE_ORDER | <uint64_t>s.engine_orders
