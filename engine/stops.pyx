"""Orders that wait: stop, take-profit and trailing orders, until a price fires them.

The same steps as specs/model/stops.py. A waiting order has a place in the pool, in the id map and in its account's list, but none
in the book: next and prev chain it in its market's list, in order of entry, and its trigger stands at the same place of an array
that is taken when the first order waits. A market's list is walked only when an order came or changed, or when what it is looked
at with is not what it was: last price, mark, index, their grades, the market's state.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from engine.book cimport account_append, book_forget, book_take_place, expire_at, map_insert
from engine.margin cimport margin_state_permit
from engine.money cimport div_ceil, money_abs, money_mul, must
from engine.orders cimport order_admits, order_cancel, order_post, order_say, orders_ticket
from engine.records cimport (
    ACT_OPEN, ACT_REDUCE, ACT_TRIGGER, BY_INDEX, BY_LAST, BY_MARK, EV_TAKE_PROFIT, EV_TRAILING, FLAG_DISTANCE_PPM, FLAG_PROTECT,
    OUT_AMENDED, OUT_CANCELLED, OUT_TRIGGERED, OUT_WAITING, PERMIT_DEFER, PLANTED, SIDE_BUY, SIDE_SELL, STAGE_NONE,
    WHY_BAD_AMEND, WHY_BAD_TRIGGER, WHY_MARKET_STATE, WHY_NONE, WHY_NO_TRIGGER_PRICE, WHY_TRIGGER_PROTECTED,
    WHY_WOULD_TRIGGER, Event,
)
from engine.state cimport (
    ORDER_REDUCE_ONLY, ORDER_SELF_TRADE, ORDER_WAITS, Order, Published, State, Ticket, Trigger, Watch, block_take,
)

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000


# ---- prices

cdef inline const Published* _published(State* s, int market, int by) noexcept nogil:
    return &s.marks[market].published if by == BY_MARK else &s.index_states[s.market_rules[market].index]


cdef inline bint _heard(State* s, int market, int by) noexcept nogil:
    """There was a valid price of the kind."""
    return s.marks[market].traded if by == BY_LAST else _published(s, market, by).valid


cdef inline int64_t _price(State* s, int market, int by) noexcept nogil:
    """The last valid price of the kind."""
    return s.marks[market].last_price if by == BY_LAST else _published(s, market, by).last_valid


cdef inline bint _permitted(State* s, int market, int by) noexcept nogil:
    """The market's state and the grade of the price let an order fire; a trade has no grade."""
    if margin_state_permit(s, market, ACT_TRIGGER) >= PERMIT_DEFER:
        return False
    return by == BY_LAST or s.permits[_published(s, market, by).grade][<int>ACT_TRIGGER] < PERMIT_DEFER


cdef inline bint _reached(State* s, const Trigger* trigger, int side, int64_t price) noexcept nogil:
    """A rising price fires who buys, but for TAKE_PROFIT."""
    cdef bint rises = (side == SIDE_BUY) != (trigger.kind == <int>EV_TAKE_PROFIT)
    if PLANTED(s.planted, 26):
        return price > trigger.price if rises else price < trigger.price
    return price >= trigger.price if rises else price <= trigger.price


cdef void _follow(Trigger* trigger, int side, int64_t price) noexcept nogil:
    """Move a trailing order's trigger after a price that is the best since it was sent."""
    cdef int64_t away = trigger.distance
    if trigger.kind != <int>EV_TRAILING:
        return
    if trigger.best and (price >= trigger.best if side == SIDE_BUY else price <= trigger.best):
        return
    trigger.best = price
    if trigger.in_ppm:
        away = <int64_t>div_ceil(money_mul(price, trigger.distance), PPM)
    trigger.price = price + away if side == SIDE_BUY else price - away


cdef void stops_follow_last(State* s, int market) noexcept nogil:
    """Let trailing orders follow a trade. The list is looked at again even if the last price ends where it was."""
    cdef int32_t place = s.watches[market].head
    s.watches[market].again = place != 0
    while place:
        if s.triggers[place].by == <int>BY_LAST:
            _follow(&s.triggers[place], s.orders[place].side, s.marks[market].last_price)
        place = s.orders[place].next


# ---- events

cdef inline bint _on_tick(State* s, int market, uint64_t price) noexcept nogil:
    return 1 <= price <= <uint64_t>PRICE_MAX and price % <uint64_t>s.market_rules[market].tick_size == 0


cdef inline bint _fits(State* s, const Event* e) noexcept nogil:
    """A trigger price is on tick and in its bounds; of a trailing order its distance."""
    if not BY_LAST <= e.source <= BY_INDEX:
        return False
    if e.kind == EV_TRAILING:
        if s.market_rules[e.market].price_min < 1:
            return False  # a best price at or below 0 has no ppm, and no distance from it stays a price
        return 1 <= e.amount_lo <= <uint64_t>(PPM - 1 if e.flags & FLAG_DISTANCE_PPM else PRICE_MAX)
    return not e.flags & FLAG_DISTANCE_PPM and _on_tick(s, e.market, e.amount_lo)


cdef int stops_new(State* s, const Event* e) noexcept nogil:
    """Let an order wait. Where it may stay until a time it may wait until then; it shows all of its lots."""
    cdef Ticket t
    cdef Trigger trigger
    cdef int64_t price
    cdef int why = orders_ticket(s, e, &t)
    if not why:
        why = order_admits(s, &t)
    if why:
        return why
    if not _fits(s, e):
        return WHY_BAD_TRIGGER
    if margin_state_permit(s, t.market, ACT_REDUCE if t.reduce_only else ACT_OPEN) >= PERMIT_DEFER:
        return WHY_MARKET_STATE
    memset(&trigger, 0, sizeof(Trigger))
    trigger.kind, trigger.by, trigger.sequence = e.kind, <unsigned char>e.source, s.event
    trigger.in_ppm, trigger.close_only, trigger.protect = e.flags & FLAG_DISTANCE_PPM != 0, t.close_only, e.flags & FLAG_PROTECT != 0
    if not _heard(s, t.market, trigger.by) or (trigger.protect and not s.marks[t.market].published.valid):
        return WHY_NO_TRIGGER_PRICE
    price = _price(s, t.market, trigger.by)
    if e.kind == EV_TRAILING:
        trigger.distance = <int64_t>e.amount_lo
        _follow(&trigger, t.side, price)
    else:
        trigger.price = <int64_t>e.amount_lo
    if not 1 <= trigger.price <= PRICE_MAX:
        return WHY_BAD_TRIGGER
    if _reached(s, &trigger, t.side, price):
        return WHY_WOULD_TRIGGER
    _wait(s, &t, &trigger)
    return WHY_NONE


cdef void _wait(State* s, const Ticket* t, const Trigger* trigger) noexcept nogil:
    """Take a place of the pool for an order, at the end of its market's list."""
    cdef Watch* watch = &s.watches[t.market]
    cdef int32_t place = book_take_place(s)
    cdef Order* order = &s.orders[place]
    if s.triggers == NULL:
        s.triggers = <Trigger*>block_take(s.orders_max + 1, sizeof(Trigger))
        must(s.triggers != NULL, "memory for the triggers")
    memset(order, 0, sizeof(Order))
    order.order_id, order.price, order.expiry_ns, order.account = t.order_id, t.price, t.expiry_ns, t.account
    order.shown, order.market, order.side, order.tif = <unsigned int>t.qty, t.market, t.side, t.tif
    order.flags = ORDER_WAITS | (ORDER_REDUCE_ONLY if t.reduce_only else 0) | t.self_trade * ORDER_SELF_TRADE
    s.triggers[place] = trigger[0]
    order.prev = watch.tail
    if watch.tail:
        s.orders[watch.tail].next = place
    else:
        watch.head = place
    watch.tail, watch.again = place, True
    s.waiting += 1
    account_append(s, place)
    map_insert(s, order.order_id, place)
    expire_at(s, place)
    _say(s, OUT_WAITING, order, trigger.price)


cdef void _say(State* s, int kind, const Order* order, int64_t price) noexcept nogil:
    o = order_say(s, kind, order, order.shown)
    o.price = price


cdef void stops_remove(State* s, int32_t place) noexcept nogil:
    """Take a waiting order out of its market's list, and forget it."""
    cdef Order* order = &s.orders[place]
    cdef Watch* watch = &s.watches[order.market]
    if order.prev:
        s.orders[order.prev].next = order.next
    else:
        watch.head = order.next
    if order.next:
        s.orders[order.next].prev = order.prev
    else:
        watch.tail = order.prev
    order.flags = 0
    s.waiting -= 1
    book_forget(s, place)


cdef int stops_amend(State* s, const Event* e, int32_t place) noexcept nogil:
    """Change price, lots or trigger price (amount_lo; a trailing order has none) of an order that waits on in its place."""
    cdef Order* order = &s.orders[place]
    cdef Trigger* trigger = &s.triggers[place]
    cdef Trigger changed = trigger[0]
    cdef Ticket t
    cdef int why
    if e.amount_lo and trigger.kind == <int>EV_TRAILING:
        return WHY_BAD_AMEND
    _ticket(order, trigger, &t)
    t.price, t.qty, t.before = e.price if e.price else order.price, e.qty if e.qty else <int64_t>order.shown, place
    if t.price == order.price and t.qty == <int64_t>order.shown and (not e.amount_lo or e.amount_lo == <uint64_t>trigger.price):
        return WHY_BAD_AMEND
    why = order_admits(s, &t)
    if why:
        return why
    if e.amount_lo and e.amount_lo != <uint64_t>trigger.price:
        if not _on_tick(s, order.market, e.amount_lo):
            return WHY_BAD_TRIGGER
        changed.price = <int64_t>e.amount_lo
        if _reached(s, &changed, order.side, _price(s, order.market, trigger.by)):
            return WHY_WOULD_TRIGGER
    order.price, order.shown = t.price, <unsigned int>t.qty
    order_say(s, OUT_AMENDED, order, t.qty)
    if changed.price != trigger.price:
        trigger.price, s.watches[order.market].again = changed.price, True
        _say(s, OUT_WAITING, order, trigger.price)
    return WHY_NONE


cdef void _ticket(const Order* order, const Trigger* trigger, Ticket* t) noexcept nogil:
    """A waiting order as it is sent when it fires."""
    memset(t, 0, sizeof(Ticket))
    t.order_id, t.price, t.qty, t.expiry_ns, t.account = order.order_id, order.price, order.shown, order.expiry_ns, order.account
    t.market, t.side, t.tif, t.self_trade = order.market, order.side, order.tif, order.flags // ORDER_SELF_TRADE
    t.reduce_only, t.close_only = order.flags & ORDER_REDUCE_ONLY != 0, trigger.close_only


# ---- firing

cdef bint stops_fire(State* s) noexcept nogil:
    """Fire the first order, in order of entry, whose trigger is true. Prices are published."""
    cdef int32_t first = 0
    cdef int32_t place
    cdef int market
    for market in range(s.markets):
        place = _first_due(s, market) if s.watches[market].head else 0
        if place and (not first or s.triggers[place].sequence < s.triggers[first].sequence):
            first = place
    if first:
        _fire(s, first)
    return first != 0


cdef int32_t _first_due(State* s, int market) noexcept nogil:
    """The first order of a market that must fire: not if it expires now, nor where a row defers or refuses it; 0: none."""
    cdef Watch* watch = &s.watches[market]
    cdef int32_t first = 0
    cdef int32_t place = watch.head
    cdef Trigger* trigger
    cdef const Order* order
    cdef int64_t price
    if not _changed(s, market):
        return 0
    while place:
        trigger, order = &s.triggers[place], &s.orders[place]
        price = _price(s, market, trigger.by)
        _follow(trigger, order.side, price)
        if not first and _reached(s, trigger, order.side, price) and _permitted(s, market, trigger.by):
            if not order.expiry_ns or s.now < order.expiry_ns:
                first = place
        place = order.next
    watch.again = first != 0
    return first


cdef bint _changed(State* s, int market) noexcept nogil:
    """Something differs from when the market's orders were last looked at; remember it."""
    cdef Watch* watch = &s.watches[market]
    cdef const Published* mark = _published(s, market, BY_MARK)
    cdef const Published* index = _published(s, market, BY_INDEX)
    cdef bint same = not watch.again and watch.state == s.market_states[market] and watch.last == s.marks[market].last_price
    same = same and watch.mark == mark.last_valid and watch.mark_grade == mark.grade
    same = same and watch.index == index.last_valid and watch.index_grade == index.grade
    watch.state, watch.last, watch.mark, watch.mark_grade = s.market_states[market], s.marks[market].last_price, mark.last_valid, mark.grade
    watch.index, watch.index_grade = index.last_valid, index.grade
    return not same


cdef void _fire(State* s, int32_t place) noexcept nogil:
    """Let an order go: cancelled where its trigger is too far from the mark; reduce-only it is cut to what it can close."""
    cdef Order order = s.orders[place]
    cdef Trigger trigger = s.triggers[place]
    cdef int64_t price = _price(s, order.market, trigger.by)
    cdef int64_t mark = s.marks[order.market].published.last_valid
    cdef int64_t held
    cdef Ticket t
    cdef int why
    if trigger.protect and money_abs(money_mul(price - mark, PPM)) > money_mul(mark if mark > 0 else -mark, s.market_rules[order.market].trigger_protect_ppm):
        order_cancel(s, place, WHY_TRIGGER_PROTECTED, STAGE_NONE)
        return
    stops_remove(s, place)
    _say(s, OUT_TRIGGERED, &order, price)
    _ticket(&order, &trigger, &t)
    if t.reduce_only:
        held = s.positions[<size_t>t.account * s.markets + t.market].qty
        held = held if t.side == SIDE_SELL else -held
        if 0 < held < t.qty:
            t.qty = held
    why = order_post(s, &t)
    if why:
        o = order_say(s, OUT_CANCELLED, &order, order.shown)
        o.reason = why


# ---- view

cdef list stops_rows(State* s):
    """Return the table of the orders that wait, in order of entry."""
    cdef int market
    cdef int32_t place
    rows = []
    for market in range(s.markets):
        place = s.watches[market].head
        while place:
            o, t = &s.orders[place], &s.triggers[place]
            rows.append((
                t.sequence, o.order_id, o.account, market, o.side, t.kind, t.by, t.price, t.best, t.distance, t.in_ppm, o.price, o.shown, o.tif,
                o.expiry_ns, o.flags // ORDER_SELF_TRADE, o.flags & ORDER_REDUCE_ONLY, t.close_only, t.protect,
            ))
            place = o.next
    return sorted(rows)
