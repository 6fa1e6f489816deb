"""Answers: an event that is not refused is followed by the outcome that says what it did; of L15."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.scene import Case, Scene
from specs.tape import EventKind, Flag, Flow, OutcomeKind, Reason, Side

_ANSWERS = {
    EventKind.ACCOUNT: lambda e, o: o.kind == OutcomeKind.OPENED and o.account == e.account,
    EventKind.DEPOSIT: lambda e, o: o.flow == Flow.DEPOSIT and (o.other, o.asset, o.money) == (e.account, e.asset, e.amount),
    EventKind.WITHDRAW: lambda e, o: (
        o.flow == Flow.WITHDRAWAL and (o.account, o.asset, o.money) == (e.account, e.asset, e.amount)
    ),
    EventKind.LEVERAGE: lambda e, o: (
        o.kind == OutcomeKind.LEVERAGE_SET and (o.account, o.market, o.qty) == (e.account, e.market, e.qty)
    ),
    EventKind.ORDER: lambda e, o: o.kind == OutcomeKind.ACCEPTED and (o.account, o.ref_id) == (e.account, e.ref_id),
    EventKind.CANCEL: lambda e, o: o.kind == OutcomeKind.CANCELLED and (o.ref_id, o.reason) == (e.ref_id, Reason.USER),
    EventKind.TRANSFER: lambda e, o: (
        o.flow == Flow.TRANSFER and (o.account, o.other, o.asset, o.money) == (e.account, e.qty, e.asset, e.amount)
    ),
    EventKind.MODE: lambda e, o: (
        (o.kind == OutcomeKind.MOVED and (o.account, o.other, o.market) == (e.account, e.qty, e.market))
        or (o.flow == Flow.TRANSFER and (o.account, o.other, o.money) == (e.account, e.qty, e.amount))
    ),
    EventKind.AUTO_ADD: lambda e, o: o.kind == OutcomeKind.AUTO_ADD_SET and (o.account, o.qty) == (e.account, e.qty),
    EventKind.STATE: lambda e, o: o.kind == OutcomeKind.STATE_SET and (o.market, o.qty, o.reason) == (e.market, e.qty, 0),
    EventKind.AMEND: lambda e, o: o.kind == OutcomeKind.AMENDED and (o.account, o.ref_id) == (e.account, e.ref_id),
    EventKind.RULE_CHANGE: lambda e, o: (
        o.kind == OutcomeKind.CHANGE_ANNOUNCED and (o.ref_id, o.qty) == (e.ref_id, e.qty or e.time_ns)
    ),
    EventKind.RULE_WITHDRAWN: lambda e, o: o.kind == OutcomeKind.CHANGE_ENDED and (o.ref_id, o.reason) == (e.ref_id, Reason.USER),
    EventKind.BUST: lambda e, o: o.kind == OutcomeKind.BUSTED and o.ref_id == e.ref_id,
    EventKind.DELIST: lambda e, o: (
        o.kind == OutcomeKind.SETTLES and not o.reason and (o.market, o.qty) == (e.market, e.qty or o.time_ns)
    ),
} | dict.fromkeys(
    (EventKind.STOP, EventKind.TAKE_PROFIT, EventKind.TRAILING),
    lambda e, o: o.kind == OutcomeKind.WAITING and (o.account, o.ref_id) == (e.account, e.ref_id),
)
_MANY = {EventKind.MASS_CANCEL: Reason.MASS_CANCEL, EventKind.DISCONNECT: Reason.DISCONNECTED}  # as many as there are orders
assert {*_ANSWERS, *_MANY, EventKind.CLOCK, EventKind.SOURCE} == set(EventKind)  # a CLOCK and a SOURCE may be followed by nothing


def answered(case: Case) -> Breaches:
    e, answer = case.event, _ANSWERS.get(case.event.kind)
    answers = 1 + (e.kind == EventKind.MODE and e.amount > 0)  # margin that goes with a position is told too
    told = [o for o in case.outcomes if o.kind != OutcomeKind.ACCEPTED or not case.fired(o)]
    if not case.rejected and answer and sum(answer(e, o) for o in told) != answers:
        yield f"a {EventKind(e.kind).name} of account {e.account} has no answer"
    if not case.rejected and e.kind in _MANY:
        yield from _cancelled_all(case)


def _cancelled_all(case: Case) -> Breaches:
    """Of a mass cancel: exactly the orders that it names are gone, and each is told. What timers did before it is not its own."""
    e, named, told = case.event, None, set()
    for scene, o in case.walk():
        if o.kind == OutcomeKind.CANCELLED and o.reason == _MANY[e.kind]:
            named = _named(e, scene) if named is None else named
            told.add(o.ref_id)
    named = _named(e, case.end) if named is None else named
    if told != named:
        yield f"a {EventKind(e.kind).name} of account {e.account} cancels {sorted(told)}, it names {sorted(named)}"


def _named(e, scene: Scene) -> set[int]:
    """Return the orders that an event cancels all together."""
    there = {**scene.orders, **scene.waiting}
    mine = {order_id: order for order_id, order in there.items() if order.account == e.account}
    if e.kind == EventKind.DISCONNECT:
        return {*mine}
    everywhere = bool(e.flags & Flag.ALL_MARKETS)
    on_side = {i: order for i, order in mine.items() if e.side in (Side.NONE, order.side)}
    return {i for i, order in on_side.items() if everywhere or order.market == e.market}
