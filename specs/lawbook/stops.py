"""Stops: orders that wait fire when, and only when, they must, in order of entry; L26.

Written apart from specs/model/stops.py, from what its first lines promise.
"""

from __future__ import annotations

from specs import units
from specs.lawbook import Breaches
from specs.scene import Case, Outcome, Scene
from specs.tape import EventKind, Flag, OutcomeKind, Permit, Reason
from specs.waiting import WAITS, Waiting

_SELECTED = (OutcomeKind.LIQUIDATION, OutcomeKind.SUSPENDED, OutcomeKind.RESTORED)


def waiting_orders_fire(case: Case) -> Breaches:
    """L26. Fired when, and only when, they must be; in order of entry; the fired is an order like any other, or is cancelled."""
    fired: Outcome | None = None
    for scene, o in case.walk():
        if fired and (o.kind not in (OutcomeKind.ACCEPTED, OutcomeKind.CANCELLED) or o.ref_id != fired.ref_id):
            yield f"order {fired.ref_id} is triggered and neither accepted nor cancelled"
        fired = o if o.kind == OutcomeKind.TRIGGERED else None
        if o.kind == OutcomeKind.WAITING:
            yield from _may_wait(case, scene, o)
        elif fired or (o.kind == OutcomeKind.CANCELLED and o.reason == Reason.TRIGGER_PROTECTED):
            yield from _may_fire(case, scene, o)
        elif o.kind in _SELECTED and _due(scene, o.time_ns):
            yield f"{OutcomeKind(o.kind).name} of account {o.account} while the orders {_due(scene, o.time_ns)} must fire"
    if fired:
        yield f"order {fired.ref_id} is triggered and neither accepted nor cancelled"
    left = _due(case.final, case.after["clock"][0][0]) if case.settled else []
    if left:
        yield f"the orders {left} wait and must fire"
    told, there = ({row[1]: row for row in rows} for rows in (case.end.waiting_rows(), case.after["waiting"]))
    for order_id in sorted({*told, *there}):
        if told.get(order_id) != there.get(order_id):
            yield f"order {order_id} waits as {there.get(order_id)}, the outcomes say {told.get(order_id)}"


def _may_wait(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """An order waits for a price that there was, and that has not reached its trigger; so too with another trigger price."""
    e, there = case.event, scene.waiting.get(o.ref_id)
    if e.ref_id != o.ref_id or not (e.kind in WAITS or (e.kind == EventKind.AMEND and there)):
        yield f"order {o.ref_id} waits, nobody sent it"
        return
    market, by = (there.market, there.by) if there else (e.market, e.source)
    price = scene.trigger_price(market, by)
    if price is None or (e.flags & Flag.PROTECT and not scene.marks[market].valid):
        yield f"order {o.ref_id} waits for a price that never was"
        return
    if there:
        waiting = Waiting(*there.row()[:7], e.amount_lo, *there.row()[8:])
    else:
        waiting = Waiting.sent(e, o.event, price)
    if (o.account, o.market, o.side, o.price, o.qty) != (
        waiting.account,
        waiting.market,
        waiting.side,
        waiting.trigger,
        waiting.qty,
    ):
        yield f"order {o.ref_id} waits as account {o.account}, {o.qty} lots at {o.price}: it was sent as {waiting}"
    if waiting.reached(price):
        yield f"order {o.ref_id} waits for {waiting.trigger}, the price is {price}"


def _may_fire(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """It is the first of those that must fire, at the price in force, near enough to the mark where it asks for that."""
    waiting, first = scene.waiting.get(o.ref_id), next(iter(_due(scene, o.time_ns)), None)
    if waiting is None or first != o.ref_id:
        yield f"{OutcomeKind(o.kind).name} of order {o.ref_id}, to fire is {first}"
        return
    price, mark = scene.trigger_price(waiting.market, waiting.by), scene.marks[waiting.market].last_valid
    ppm = case.book.venue.markets[waiting.market].trigger_protect_ppm
    far = bool(waiting.protect) and abs(price - mark) * units.PPM > abs(mark) * ppm
    if far != (o.kind == OutcomeKind.CANCELLED):
        yield f"{OutcomeKind(o.kind).name} of order {o.ref_id} at {price}, the mark is {mark}: at most {ppm} ppm apart it fires"
    if (o.account, o.market, o.side, o.qty) != (waiting.account, waiting.market, waiting.side, waiting.qty):
        yield f"{OutcomeKind(o.kind).name} of order {o.ref_id} as account {o.account}, {o.qty} lots: it waits as {waiting}"
    if o.kind == OutcomeKind.TRIGGERED and o.price != price:
        yield f"order {o.ref_id} is triggered by {o.price}, the price is {price}"


def _due(scene: Scene, now: int) -> list[int]:
    """Return the ids of the orders that must fire, in order of entry."""
    orders = sorted(scene.waiting.values(), key=lambda waiting: waiting.sequence)
    return [waiting.order_id for waiting in orders if _must_fire(scene, waiting, now)]


def _must_fire(scene: Scene, waiting: Waiting, now: int) -> bool:
    price = scene.trigger_price(waiting.market, waiting.by)
    if price is None or 0 < waiting.expiry_ns <= now:
        return False
    return waiting.reached(price) and scene.trigger_permit(waiting.market, waiting.by) < Permit.DEFER
