"""Apply a plan's tape faults to a tape: events in, a new array of events out. Integer arithmetic, no dice, nothing in place.

What each fault means stands with its row in specs/faults.py. Events keep their number, their order and their times; only `drop`
takes events out, and only SOURCE events: the clock grid that a true and a broken run share stays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from specs import units
from specs.errors import TapeError
from specs.faults import Dislocation, Drop, Plan, Repair, Scale, Special, Spike, Stale, TapeFault
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Flag

MISSING = int(Flag.MISSING)


def _window(events: np.ndarray, fault: TapeFault, venue: Venue) -> np.ndarray:
    """Return the positions of the source's events in [from, to)."""
    ours = (events["kind"] == EventKind.SOURCE) & (events["source"] == fault.number(venue))
    return np.flatnonzero(ours & (events["time_ns"] >= fault.from_ns) & (events["time_ns"] < fault.to_ns))


def _say(events: np.ndarray, i: int, price: int | None) -> None:
    """Let event i say a price, or that there is none. A price beyond 64 bits is none: no feed can carry it."""
    there = price is not None and -units.INT64_MAX <= price <= units.INT64_MAX
    events["price"][i] = price if there else 0
    flags = int(events["flags"][i])
    events["flags"][i] = flags & ~MISSING if there else flags | MISSING


def _said(events: np.ndarray, i: int) -> int | None:
    """Return the price that event i says, None if it says there is none."""
    return None if int(events["flags"][i]) & MISSING else int(events["price"][i])


def _compute(events: np.ndarray, window: np.ndarray, price_at: Callable[[int, int], int]) -> int:
    """Replace price by price_at(price, time) where there is a price. Return how many events that were."""
    touched = 0
    for i in window:
        price = _said(events, i)
        if price is not None:
            _say(events, i, price_at(price, int(events["time_ns"][i])))
            touched += 1
    return touched


def _state(events: np.ndarray, fault: TapeFault, venue: Venue, price: int | None) -> int:
    """Let every event of the window say the same. Return how many those were."""
    window = _window(events, fault, venue)
    for i in window:
        _say(events, i, price)
    return len(window)


def _stale(events: np.ndarray, fault: Stale, venue: Venue) -> tuple[np.ndarray, int]:
    ours = (events["kind"] == EventKind.SOURCE) & (events["source"] == fault.number(venue))
    onset = np.flatnonzero(ours & (events["time_ns"] <= fault.from_ns))
    window = _window(events, fault, venue)
    if not len(window):
        return events, 0
    return events, _state(events, fault, venue, _said(events, onset[-1] if len(onset) else window[0]))


def _spike(events: np.ndarray, fault: Spike, venue: Venue) -> tuple[np.ndarray, int]:
    factor = units.PPM + fault.magnitude_ppm
    window = _window(events, fault, venue)
    if fault.shape == "impulse":
        window = [i for i in window if _said(events, i) is not None][:1]
    return events, _compute(events, window, lambda price, _: units.muldiv_floor(price, factor, units.PPM))


def _scale(events: np.ndarray, fault: Scale, venue: Venue) -> tuple[np.ndarray, int]:
    if fault.factor_ppm is not None:
        up, down = fault.factor_ppm, units.PPM
    else:
        up, down = 10 ** max(fault.exponent, 0), 10 ** max(-fault.exponent, 0)
    return events, _compute(events, _window(events, fault, venue), lambda price, _: units.muldiv_floor(price, up, down))


def _special(events: np.ndarray, fault: Special, venue: Venue) -> tuple[np.ndarray, int]:
    if fault.value == "negative":
        return events, _compute(events, _window(events, fault, venue), lambda price, _: -price)
    return events, _state(events, fault, venue, {"zero": 0, "missing": None, "constant": fault.constant(venue)}[fault.value])


def _dislocation(events: np.ndarray, fault: Dislocation, venue: Venue) -> tuple[np.ndarray, int]:
    def price_at(price: int, time_ns: int) -> int:
        return units.muldiv_floor(price, units.PPM + fault.b_ppm(time_ns), units.PPM)

    return events, _compute(events, _window(events, fault, venue), price_at)


def _repair(events: np.ndarray, fault: Repair, venue: Venue) -> tuple[np.ndarray, int]:
    other, number = fault.truth(venue)
    if other is None:
        return events, _state(events, fault, venue, number)
    true = np.flatnonzero((events["kind"] == EventKind.SOURCE) & (events["source"] == other))
    times = events["time_ns"][true]
    up, down = 10 ** max(number, 0), 10 ** max(-number, 0)
    window = _window(events, fault, venue)
    for i in window:
        latest = int(np.searchsorted(times, events["time_ns"][i], side="right")) - 1
        price = _said(events, true[latest]) if latest >= 0 else None
        _say(events, i, None if price is None else units.muldiv_floor(price, up, down))
    return events, len(window)


def _drop(events: np.ndarray, fault: Drop, venue: Venue) -> tuple[np.ndarray, int]:
    """Take the events out. The countdown of a batch loses one a dropped event behind: its new last event again says 0."""
    gone = np.zeros(len(events), dtype=bool)
    gone[_window(events, fault, venue)] = True
    ends = events["batch_left"] == 0
    batch = np.cumsum(ends) - ends  # a batch lasts up to its event that says 0
    behind = np.bincount(batch[gone], minlength=len(events) + 1)[batch]
    so_far = np.cumsum(gone)
    first = np.concatenate(([0], np.flatnonzero(ends) + 1))[batch]  # of this event's batch
    behind -= so_far - (so_far - gone)[first]
    kept = ~gone
    if np.any(events["batch_left"][kept] < behind[kept]):
        number = int(np.flatnonzero(kept & (events["batch_left"] < behind))[0])
        remedy = "batch_left says how many events of the batch follow"
        raise TapeError("the batch counts down wrongly", event=number, remedy=remedy)
    out = events[kept]
    out["batch_left"] -= behind[kept].astype(np.uint16)
    return out, int(gone.sum())


_APPLY = {
    "stale": _stale,
    "spike": _spike,
    "scale": _scale,
    "special": _special,
    "dislocation": _dislocation,
    "drop": _drop,
    "repair": _repair,
}


def overlay(events: np.ndarray, plan: Plan, venue: Venue, counts: dict[str, int] | None = None) -> np.ndarray:
    """Return the tape with the plan's enabled tape faults applied, in the plan's order; the input is never changed.

    `counts`, if given, receives for each of them how many events it acted on: 0 is a fault that did nothing, worth telling.
    Take the start of a run from the tape before the overlay: drop may take its first event.
    Raises SpecError if the plan does not fit the venue, TapeError if the events go back in time.
    """
    if events.dtype != EVENT or events.ndim != 1:
        raise TapeError(f"not events but {events.dtype}, {events.ndim} dimensions", remedy="a vector of specs.tape.EVENT")
    plan.require(venue)
    back = np.flatnonzero(np.diff(events["time_ns"]) < 0)
    if len(back):
        raise TapeError("time goes back", event=int(back[0]) + 1, remedy="sort the tape by time")
    out = events.copy()
    for fault in plan.faults:
        if fault.enabled and fault.kind in _APPLY:
            out, touched = _APPLY[fault.kind](out, fault, venue)
            if counts is not None:
                counts[fault.id] = touched
    others = [np.count_nonzero(tape["kind"] != EventKind.SOURCE) for tape in (events, out)]
    assert others[0] == others[1], "only SOURCE events may go: the clock grid stays"
    return out
