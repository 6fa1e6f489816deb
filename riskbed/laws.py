"""The laws on a sample: which events they are checked after while the twins run it, and what came of it.

A check recomputes the venue from scratch and costs some microseconds for each row of its state, so a sample of many thousand
events is checked in part, chosen by its outcomes alone: first what was closed by force, then what touched an account that no rule
quotes for, then events spread evenly over the rest. The twins' states are compared at each, and equal states are judged once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fuzz.twin import state_difference
from specs import laws
from specs.errors import LawBroken
from specs.rules import Venue
from specs.tape import USERS_FROM, OutcomeKind, Stage

WORK_MAX = 540_000  # events x rows of the state, of one run: three seconds where this was measured
EVENTS_MIN, EVENTS_MAX = 50, 1_800
PRICES = (OutcomeKind.INDEX, OutcomeKind.MARK, OutcomeKind.COLLATERAL)
FORCED = (
    OutcomeKind.LIQUIDATION,
    OutcomeKind.TAKEOVER,
    OutcomeKind.ADL,
    OutcomeKind.CONVERT,
    OutcomeKind.RESTORED,
    OutcomeKind.CARRIED,
    OutcomeKind.SUSPENDED,
    OutcomeKind.MARGIN_LEVEL,
    OutcomeKind.FUND_SHORT,
    OutcomeKind.BOUND,
)


class Checked(NamedTuple):
    """One law on the sampled events of one run: after how many it was checked, how many it broke, and the first in words."""

    name: str
    events: int
    broken: int
    first: str | None


def events_max(state: dict[str, list[tuple[int, ...]]]) -> int:
    """Return after how many events of a run the laws are checked; `state`: the run's last one, by which its size is judged."""
    return max(EVENTS_MIN, min(EVENTS_MAX, WORK_MAX // max(1, sum(map(len, state.values())))))


def chosen(outcomes: np.ndarray, venue: Venue, count: int, most: int) -> list[int]:
    """Return at most `most` of the events 0 to count - 1, ascending: the head of this file says which."""
    quoting = [row.account for row in venue.quoters]
    users = np.zeros(len(outcomes), dtype=bool)
    for who in ("account", "other"):
        users |= (outcomes[who] >= USERS_FROM) & ~np.isin(outcomes[who], quoting)
    forced = np.isin(outcomes["kind"], FORCED) | (outcomes["stage"] != Stage.NONE)
    found = np.zeros(0, dtype=np.int64)
    for some in (np.unique(outcomes["event"][forced]), np.unique(outcomes["event"][users]), np.arange(count)):
        rest = np.setdiff1d(some.astype(np.int64), found)
        room = min(len(rest), most - len(found))
        found = np.union1d(found, rest[np.arange(room) * len(rest) // max(room, 1)])
    return found.tolist()


class Stepped(NamedTuple):
    """checked: one row a law. difference: the first of the twins' states, (event, field, model's value, engine's value)."""

    checked: list[Checked]
    difference: tuple[int, str, object, object] | None


def step(model, engine, events: np.ndarray, at: list[int], venue: Venue, armed: frozenset[int]) -> Stepped:
    """Run a tape on fresh twins up to its end, and check the laws after the events `at` (ascending)."""
    broken: dict[str, list[LawBroken]] = {name: [] for name in laws.CHECKED}
    done = 0
    states = None
    for i in at:
        if i > done or states is None:
            for twin in (model, engine):
                twin.run(events[done:i])
            states = model.state(), engine.state()
        before = states
        event = events[i].tobytes()
        model.apply(event)
        said = engine.apply(event)
        done, states = i + 1, (model.state(), engine.state())
        for left, right, number in ((*before, i - 1), (*states, i)):
            if left != right:
                return Stepped([], (max(number, 0), *state_difference(left, right)))
        for law in laws.breaches(venue, before[0], event, said, states[0], armed):
            broken[law.law].append(law)
    for twin in (model, engine):
        twin.run(events[done:])
    return Stepped(list(_rows(broken, len(at), armed)), None)


def _rows(broken: dict[str, list[LawBroken]], events: int, armed: frozenset[int]) -> Iterator[Checked]:
    for name, found in broken.items():
        judged = events if laws.LAWS[name].unless.isdisjoint(armed) else 0
        first = f"after event {found[0].event}: {found[0].detail}" if found else None
        yield Checked(name, judged, len({row.event for row in found}), first)
