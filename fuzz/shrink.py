"""Make a failing case small: delta debugging over events, then fault rows, then the rule book, then the fields of the events.

A step is taken only if the case still fails in the same way (same law, twins differ in the same field, same crash), judged by all
checks. Work is bounded by a number of events, not by a clock, so that shrinking is a pure function of the case; a clock bounds it
on a machine that is much slower than ours. A batch that counted down correctly still does after an event was taken out of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from fuzz.finding import ALL, WHOLE, Checks, Failure, Setup, judge, judge_apart, tree_of
from fuzz.strategies import Case
from specs import units
from specs.rules import Venue
from specs.tape import EVENT, money_join, money_split

EVENTS_MAX = 60_000  # run in one shrink; a trial counts as TRIAL more, for what it costs to start
TRIAL = 10
SECONDS_MAX = 300
PAIRS_BELOW = 20  # events: below it every pair is tried too, an order and its cancel say


class Shrunk(NamedTuple):
    """minimal: no single step is left that makes it smaller; else the bound came first."""

    case: Case
    failure: Failure
    trials: int
    minimal: bool


class _Enough(Exception):
    """The bound is reached."""


def shrink(case: Case, setup: Setup, failure: Failure, events_max: int = EVENTS_MAX, seconds_max: float = SECONDS_MAX) -> Shrunk:
    """Return a smaller case of the same failure, the same one if it does not fail (any more) or nothing can go."""
    work = _Shrinker(setup, failure, events_max, time.monotonic() + seconds_max)
    minimal = True
    try:
        if work.take(case):
            work.to_the_end()
    except _Enough:
        minimal = False
    return Shrunk(work.best or case, work.failure, work.trials, minimal)


def narrow(failure: Failure) -> Checks:
    """Return the checks that find this failure again at the least cost."""
    if failure.kind == "law":
        whole = (failure.what,) if failure.what in WHOLE else ()
        return Checks(() if whole else (failure.what,), 1, whole)
    return Checks((), 1, ()) if failure.kind == "twins" else ALL


class _Shrinker:
    """The smallest case so far, and the steps that try smaller ones."""

    def __init__(self, setup: Setup, failure: Failure, events_max: int, deadline: float) -> None:
        self.setup, self.failure, self.left, self.deadline = setup, failure, events_max, deadline
        self.best: Case | None = None
        self.trials = 0
        self.narrow = narrow(failure)
        self.judge = judge_apart if failure.kind == "died" else judge
        self.refused: set[tuple] = set()

    def take(self, case: Case) -> bool:
        """Make this the best case if it fails in the same way; say so. Raises _Enough."""
        key = (case.events.tobytes(), case.seams, case.venue.model_dump_json())
        if key in self.refused:
            return False
        failure = self._fails(case, self.narrow)
        if failure is not None and self.narrow != ALL:
            failure = self._fails(case, ALL)
        if failure is None:
            self.refused.add(key)
            return False
        self.best, self.failure = case, failure
        return True

    def _fails(self, case: Case, checks: Checks) -> Failure | None:
        if self.left <= 0 or time.monotonic() > self.deadline:
            raise _Enough
        self.left -= len(case.events) + TRIAL
        self.trials += 1
        found = self.judge(case, self.setup, checks)
        return found if isinstance(found, Failure) and self.failure.same(found) else None

    def to_the_end(self) -> None:
        size = None
        while size != (size := self._size()):
            self._cut()
            self._fewer_faults()
            self._fewer_events()
            self._plainer_rules()
            self._plainer_fields()

    def _size(self) -> tuple:
        return self.best.events.tobytes(), self.best.seams, self.best.venue.model_dump_json()

    # ---- events and faults

    def _cut(self) -> None:
        """Leave out what stands behind the failing event."""
        if self.failure.event + 1 < len(self.best.events):
            self.take(replace(self.best, events=self.best.events[: self.failure.event + 1]))

    def _fewer_faults(self) -> None:
        for i in reversed(range(len(self.best.seams))):
            self.take(replace(self.best, seams=self.best.seams[:i] + self.best.seams[i + 1 :]))

    def _fewer_events(self) -> None:
        size = len(self.best.events) // 2
        while size:
            at = len(self.best.events) - size
            while at > -size:
                self._without(range(max(at, 0), min(at + size, len(self.best.events))))
                at -= size
            size //= 2
        self._cut()
        if len(self.best.events) < PAIRS_BELOW:
            self._fewer_pairs()

    def _fewer_pairs(self) -> None:
        again = True
        while again:
            again = any(self._without(pair) for pair in combinations(range(len(self.best.events)), 2))

    def _without(self, numbers) -> bool:
        return self.take(replace(self.best, events=without(self.best.events, numbers)))

    # ---- the rule book

    def _plainer_rules(self) -> None:
        for path in _paths(tree_of(self.best.venue)):
            for tree, row in _plainer(tree_of(self.best.venue), path):
                try:
                    venue = Venue.model_validate(tree)
                except ValidationError:
                    continue
                events = _renumbered(self.best.events, *row) if row else self.best.events
                if venue != self.best.venue and self.take(replace(self.best, venue=venue, events=events)):
                    break

    # ---- the fields of the events

    def _plainer_fields(self) -> None:
        for i in range(len(self.best.events)):
            self._earlier(i)
            for name in EVENT.names:
                if name in ("kind", "time_ns", "batch_left", "amount_hi"):
                    continue
                again = True
                while again:
                    again = any(self._with(i, name, value) for value in _plainer_numbers(_field(self.best.events[i], name)))

    def _earlier(self, i: int) -> None:
        """Take the time that passes before an event away, or all but whole seconds."""
        times = self.best.events["time_ns"]
        passed = int(times[i]) - (int(times[i - 1]) if i else self.best.start_ns)
        for less in (passed, passed - units.NS, passed % units.NS):
            if 0 < less <= passed:
                events = self.best.events.copy()
                events["time_ns"][i:] -= less
                if self.take(replace(self.best, events=events)):
                    return

    def _with(self, i: int, name: str, value: int) -> bool:
        events = self.best.events.copy()
        if name == "amount_lo":
            events["amount_lo"][i], events["amount_hi"][i] = money_split(value)
        else:
            events[name][i] = value
        return self.take(replace(self.best, events=events))


def without(events: np.ndarray, numbers) -> np.ndarray:
    """Return the events without those. A batch that counted down to 0 at one time still does; a torn one stays torn."""
    kept = np.ones(len(events), dtype=bool)
    kept[list(numbers)] = False
    out, ends = events[kept], events["batch_left"] == 0
    batch = np.cumsum(ends) - ends
    for number in np.unique(batch[~kept]).tolist():
        left = events["batch_left"][batch == number]
        if np.array_equal(left, np.arange(len(left))[::-1]):
            here = batch[kept] == number
            out["batch_left"][here] = np.arange(np.count_nonzero(here))[::-1]
    return out


def _field(event: np.void, name: str) -> int:
    return money_join(int(event["amount_lo"]), int(event["amount_hi"])) if name == "amount_lo" else int(event[name])


def _plainer_numbers(value: int) -> list[int]:
    """Return plainer numbers, the plainest first: 0, 1, half of it, fewer significant digits. None is as plain as the number."""
    size, sign = abs(value), -1 if value < 0 else 1
    power = 10 ** max(len(str(size)) - 1, 0)
    tries = (0, 1, sign * (size // power * power), sign * (size // 2), sign * (size // (power // 10 or 1) * (power // 10 or 1)))
    return [x for x in dict.fromkeys(tries) if _plainness(x) < _plainness(value)]


def _plainness(value: int) -> tuple[int, int]:
    return len(str(abs(value)).rstrip("0")), abs(value)


# ---- trees of plain values


def _paths(tree: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path of everything below: rows of a list last to first, so that those before it keep their places."""
    steps = list(tree) if isinstance(tree, dict) else range(len(tree) - 1, -1, -1) if isinstance(tree, list) else ()
    for step in steps:
        yield (*path, step)
    for step in steps:
        yield from _paths(tree[step], (*path, step))


def _at(tree: object, path: tuple) -> object:
    for step in path:
        tree = tree[step]
    return tree


def _copy(tree: object) -> object:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


def _plainer(tree: dict, path: tuple) -> Iterator[tuple[dict, tuple[str, int] | None]]:
    """Yield (plainer rule book, table and number of the row that went): without it, a part instead of it, a plainer number."""
    try:
        here = _at(tree, path)
    except (KeyError, IndexError, TypeError):
        return  # something above it went
    without_it = _copy(tree)
    del _at(without_it, path[:-1])[path[-1]]
    yield without_it, path if len(path) == 2 and isinstance(path[1], int) else None
    parts: list = []
    if isinstance(here, dict):
        parts = [_at(here, inner) for inner in _paths(here) if isinstance(_at(here, inner), dict)]
        parts += [{"kind": here["kind"]}, {"kind": "index"}, {"kind": "update"}] if "kind" in here else []
    elif isinstance(here, int) and not isinstance(here, bool):
        parts = [number for number in (0, 1) if number < here]
    for part in parts:
        with_part = _copy(tree)
        _at(with_part, path[:-1])[path[-1]] = _copy(part)
        yield with_part, None


def _renumbered(events: np.ndarray, table: str, number: int) -> np.ndarray:
    """Return the events for a rule book without a row: ids on tape are row numbers, those behind it move up."""
    name = table.removesuffix("s")
    if name not in EVENT.names:
        return events
    events = events.copy()
    events[name][events[name] > number] -= 1
    return events
