"""Orders that wait: stop, take-profit and trailing orders, until a price fires them.

A waiting order counts as an order of its account and of the venue, but it is not in the book, reserves nothing and is promised
nothing: ranges, counts, the market's state and its trigger are judged when it is sent, everything else when it fires.

STOP and TRAILING to buy, TAKE_PROFIT to sell fire at price >= trigger, the others at price <= trigger. The price is the market's
last trade, its mark or its index, the last that was valid. A trailing order's trigger follows the best price since it was sent,
the lowest to buy and the highest to sell, of every trade or every publication, at its distance: price units, or ppm of the best
rounded up, so that it never fires early.

Firing is step 3 of the cascade: at the end of a batch, with prices published, the first in order of entry whose trigger is true
and which no row holds back; then prices are published again, until none fires. It ends because each fires once. A fired order is
TRIGGERED, then a new order at the whole gate: ACCEPTED, or CANCELLED with the gate's Reason.

The part of the exchange that engine/stops.pyx translates.
"""

from __future__ import annotations

from specs import units
from specs.model.book import Order
from specs.tape import Action, EventKind, Flag, OutcomeKind, Permit, Reason, Side, Status, TriggerBy

KINDS = (EventKind.STOP, EventKind.TAKE_PROFIT, EventKind.TRAILING)


class Trigger:
    """What a waiting order waits for.

    price: its trigger; of a trailing order as it stands now. distance: of a trailing order, price units or ppm of the best price;
    best: that price, None before the first. sequence: the number of the event that sent it, its place in the order of entry.
    """

    __slots__ = ("kind", "by", "price", "distance", "in_ppm", "best", "sequence", "close_only", "protect")

    def __init__(self, e, sequence: int) -> None:
        trails = e.kind == EventKind.TRAILING
        self.kind, self.by, self.sequence, self.best = e.kind, e.source, sequence, None
        self.price, self.distance = (0, e.amount_lo) if trails else (e.amount_lo, 0)
        self.in_ppm = bool(e.flags & Flag.DISTANCE_PPM)
        self.close_only, self.protect = bool(e.flags & Flag.CLOSE_ONLY), bool(e.flags & Flag.PROTECT)

    def rises(self, side: int) -> bool:
        """Return whether a rising price fires it."""
        return (side == Side.BUY) != (self.kind == EventKind.TAKE_PROFIT)

    def follow(self, side: int, price: int) -> None:
        """Move a trailing order's trigger after a price that is the best since it was sent."""
        if self.kind != EventKind.TRAILING:
            return
        if self.best is not None and (price >= self.best if side == Side.BUY else price <= self.best):
            return
        self.best = price
        away = units.div_ceil(price * self.distance, units.PPM) if self.in_ppm else self.distance
        self.price = price + away if side == Side.BUY else price - away


class Stops:
    """How an exchange lets orders wait, and fires them."""

    # ---- events

    def post_stop(self, e) -> Reason:
        """Let an order wait. Where it may stay until a time it may wait until then; it shows all of its lots."""
        reason = self.order_event(e)
        if reason:
            return reason
        account, order, trigger = self.ledger.accounts[e.account], self.ticket(e), Trigger(e, self.event)
        row = self.venue.markets[e.market]
        reason = self._ended(e.market) or self._ranges(order, row, trigger.close_only) or self._counts(account, None)
        if reason:
            return reason
        if trigger.by not in (TriggerBy.LAST, TriggerBy.MARK, TriggerBy.INDEX) or not self._fits(trigger, e.market):
            return Reason.BAD_TRIGGER
        if self.state_permit(e.market, Action.REDUCE if order.reduce_only else Action.OPEN) >= Permit.DEFER:
            return Reason.MARKET_STATE
        price = self.trigger_price(e.market, trigger.by)
        if price is None or (trigger.protect and not self.marks[e.market].published.valid):
            return Reason.NO_TRIGGER_PRICE
        trigger.follow(e.side, price)
        if not 1 <= trigger.price <= units.PRICE_MAX:
            return Reason.BAD_TRIGGER
        if self.reached(trigger, e.side, price):
            return Reason.WOULD_TRIGGER
        order.waits = trigger
        self.waiting[order.order_id] = self.orders[order.order_id] = account.orders[order.order_id] = order
        self.expire_at(order)
        self._say_waiting(order)
        return Reason.NONE

    def _fits(self, trigger: Trigger, market: int) -> bool:
        """Return whether a trigger price is on tick and in its bounds; of a trailing order its distance."""
        if trigger.kind == EventKind.TRAILING:
            if self.venue.markets[market].price_min is not None:
                return False  # a best price at or below 0 has no ppm, and no distance from it stays a price
            return 1 <= trigger.distance <= (units.PPM - 1 if trigger.in_ppm else units.PRICE_MAX)
        return not trigger.in_ppm and self._on_tick(trigger.price, market)

    def _on_tick(self, price: int, market: int) -> bool:
        return 1 <= price <= units.PRICE_MAX and price % self.venue.markets[market].tick_size == 0

    def amend_waiting(self, order: Order, e) -> Reason:
        """Change price, lots or trigger price (amount_lo; a trailing order has none) of an order that waits on in its place."""
        trigger, price, qty = order.waits, e.price or order.price, e.qty or order.qty
        if e.amount_lo and trigger.kind == EventKind.TRAILING:
            return Reason.BAD_AMEND
        at = e.amount_lo or trigger.price
        if (price, qty, at) == (order.price, order.qty, trigger.price):
            return Reason.BAD_AMEND
        changed = Order(
            order.order_id,
            order.account,
            order.market,
            order.side,
            price,
            qty,
            order.tif,
            expiry_ns=order.expiry_ns,
            reduce_only=order.reduce_only,
            self_trade=order.self_trade,
        )
        reason = self._ranges(changed, self.venue.markets[order.market], trigger.close_only)
        if reason:
            return reason
        if self.ledger.accounts[order.account].status == Status.LIQUIDATING:
            return Reason.IN_LIQUIDATION
        before, trigger.price = trigger.price, at
        if at != before:
            if not self._on_tick(at, order.market):
                reason = Reason.BAD_TRIGGER
            elif self.reached(trigger, order.side, self.trigger_price(order.market, trigger.by)):
                reason = Reason.WOULD_TRIGGER
            if reason:
                trigger.price = before
                return reason
        order.price = price
        order.show(qty)
        self._say_amended(order, False)
        if at != before:
            self._say_waiting(order)
        return Reason.NONE

    # ---- prices

    def trigger_price(self, market: int, by: int) -> int | None:
        """Return the last valid price of the kind that an order waits for; None: there was none yet."""
        if by == TriggerBy.LAST:
            return self.last_price[market]
        published = (self.marks[market] if by == TriggerBy.MARK else self.indices[self.marks[market].index]).published
        return published.last_valid if published.valid else None

    def trigger_permit(self, market: int, by: int) -> Permit:
        """Return what the market's state and the grade of the price say to firing; a trade has no grade."""
        permit = self.state_permit(market, Action.TRIGGER)
        if by == TriggerBy.LAST:
            return permit
        published = (self.marks[market] if by == TriggerBy.MARK else self.indices[self.marks[market].index]).published
        return max(permit, self.venue.grades.permit(published.grade, Action.TRIGGER))

    @staticmethod
    def reached(trigger: Trigger, side: int, price: int) -> bool:
        return price >= trigger.price if trigger.rises(side) else price <= trigger.price

    def follow_last(self, market: int) -> None:
        """After each trade: trailing orders follow the last price."""
        for order in self.waiting.values():
            if order.market == market and order.waits.by == TriggerBy.LAST:
                order.waits.follow(order.side, self.last_price[market])

    # ---- firing

    def fire_stop(self) -> bool:
        """Fire the first order whose trigger is true; return False if there is none. Prices are published."""
        for order in self.waiting.values():
            order.waits.follow(order.side, self.trigger_price(order.market, order.waits.by))
        due = next((order for order in self.waiting.values() if self._due(order)), None)
        if due is not None:
            self._fire(due)
        return due is not None

    def _due(self, order: Order) -> bool:
        """Return whether an order must fire: not if it expires now, nor where a row defers or refuses it."""
        by = order.waits.by
        if order.expiry_ns and order.expiry_ns <= self.now or self.trigger_permit(order.market, by) >= Permit.DEFER:
            return False
        return self.reached(order.waits, order.side, self.trigger_price(order.market, by))

    def _fire(self, order: Order) -> None:
        """Let an order go: cancelled where its trigger is too far from the mark; reduce-only it is cut to what it can close."""
        trigger, market = order.waits, order.market
        price, mark = self.trigger_price(market, trigger.by), self.marks[market].published.last_valid
        if trigger.protect and abs(price - mark) * units.PPM > abs(mark) * self.venue.markets[market].trigger_protect_ppm:
            self.cancel_order(order, Reason.TRIGGER_PROTECTED)
            return
        self._forget(order)
        self.emit(
            OutcomeKind.TRIGGERED,
            account=order.account,
            market=market,
            ref_id=order.order_id,
            side=order.side,
            price=price,
            qty=order.qty,
        )
        closable = self._closable(self.ledger.accounts[order.account], market, order.side)
        fired = Order(
            order.order_id,
            order.account,
            market,
            order.side,
            order.price,
            min(order.qty, closable) if order.reduce_only and closable else order.qty,
            order.tif,
            expiry_ns=order.expiry_ns,
            reduce_only=order.reduce_only,
            self_trade=order.self_trade,
        )
        reason = self._order(fired, trigger.close_only)
        if reason:
            self._say(OutcomeKind.CANCELLED, order, order.qty, reason=reason)

    def _say_waiting(self, order: Order) -> None:
        self.emit(
            OutcomeKind.WAITING,
            account=order.account,
            market=order.market,
            ref_id=order.order_id,
            side=order.side,
            price=order.waits.price,
            qty=order.qty,
        )

    def waiting_rows(self) -> list[tuple[int, ...]]:
        """Return the table of the orders that wait, in order of entry."""
        return [
            (t.sequence, o.order_id, o.account, o.market, int(o.side), int(t.kind), int(t.by), t.price)
            + (t.best or 0, t.distance, int(t.in_ppm), o.price, o.qty, int(o.tif), o.expiry_ns, int(o.self_trade))
            + (int(o.reduce_only), int(t.close_only), int(t.protect))
            for o in self.waiting.values()
            for t in (o.waits,)
        ]
