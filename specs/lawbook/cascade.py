"""The cascade: its rounds are bounded, and whom the last one leaves to liquidate a BOUND counts; of L15."""

from __future__ import annotations

from collections.abc import Iterable

from specs.lawbook import Breaches
from specs.scene import Case, Outcome, Scene
from specs.tape import USERS_FROM, Flow, OutcomeKind, Permit


def bounds_are_told(case: Case) -> Breaches:
    """A cascade that used its last round and leaves accounts to liquidate says how many."""
    rounds_max = case.book.venue.limits.rounds_max
    touched: set[int] = set()  # whom the round changed, or the selection before it by adding margin
    added: set[int] = set()
    number = then = 0  # the round, and when it was
    for scene, o in case.walk():
        if o.round > rounds_max:
            yield f"round {o.round}, at most {rounds_max}"
        if o.kind == OutcomeKind.BOUND:
            due = _due(scene, touched)
            if o.qty != len(due) or o.round != rounds_max:
                yield f"BOUND after round {o.round} says {o.qty} accounts are carried over, they are {due}"
            touched, added, number = set(), set(), 0
            continue
        ended = o.round < number or (number > 0 and o.time_ns != then)  # a cooldown's timer tells nothing of itself
        if ended and number == rounds_max and (due := _due_at(scene, touched, then)):
            yield f"the cascade stopped after round {number} with accounts {due} to liquidate, no BOUND says so"
        if ended or o.round != number:
            touched, added, number = added if o.round > number and not ended else set(), set(), o.round
        touched, then = touched | _changes(scene, o), o.time_ns
        if o.flow == Flow.AUTO_ADD:
            added |= _changes(scene, o)
    if number == rounds_max and case.settled and (due := _due_at(case.end, touched, then)):
        yield f"the cascade stopped after round {number} with accounts {due} to liquidate, no BOUND says so"


_MOVE_VALUE = {
    OutcomeKind.FILL,
    OutcomeKind.BUSTED,
    OutcomeKind.TAKEOVER,
    OutcomeKind.ADL,
    OutcomeKind.MOVED,
    OutcomeKind.CONVERT,
    OutcomeKind.SETTLED,
}


_OF_ALL = {
    OutcomeKind.MARK,
    OutcomeKind.COLLATERAL,
    OutcomeKind.STATE_SET,
    OutcomeKind.CHANGE_EFFECTIVE,
    OutcomeKind.CHANGE_ENDED,  # that of grandfathering; one of the others changes nobody's trigger
}


def _changes(scene: Scene, o: Outcome) -> set[int]:
    """Return the users that an outcome gives a reason to be looked at again: all of them if it is a price."""
    if o.kind in _OF_ALL:
        return set(scene.owner)
    if o.kind == OutcomeKind.FLOW or o.kind in _MOVE_VALUE:
        return {account for account in (o.account, o.other) if account >= USERS_FROM}
    return set()


def _due(scene: Scene, accounts: Iterable[int]) -> list[int]:
    """Return those of the accounts that would be selected for liquidation."""
    triggered = (a for a in accounts if scene.triggered(a) and scene.evaluate(a).permit < Permit.DEFER)
    return sorted(a for a in triggered if not scene.waits(a))


def _due_at(scene: Scene, accounts: Iterable[int], time_ns: int) -> list[int]:
    """Return _due at a time that is past: a cooldown of then may be over now."""
    now, scene.now = scene.now, time_ns
    due, scene.now = _due(scene, accounts), now
    return due
