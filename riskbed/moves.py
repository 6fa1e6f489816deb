"""Paired true moves: the shape of an incident's fault, but true. Each index rule is run on it beside the unguarded one.

The accounts of the incident's tape and the world around them stay; the series of the move fall together, for as long as the shape
needs (specs/incident.py makes the prices). The unguarded rule is the first of the incident's table. It is run once more without
the move, the same series still: what is closed there too is not the move's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from riskbed.jobs import Job, Ran
from riskbed.labels import Paired, paired
from specs import units
from specs.incident import Moved, Shape
from specs.rules import Venue, walk
from specs.tape import EVENT, EventKind, Flow, Tape

if TYPE_CHECKING:
    from riskbed.replay import Inputs


def moved_events(tape: Tape, to_ns: int, moved: Moved) -> np.ndarray:
    """Return the events of an incident's tape up to its last second, to_ns, with the prices of a move, and on to its horizon.

    After to_ns every second is a batch of CLOCK and what every source says, as on the tape.
    """
    before = tape.events[tape.events["time_ns"] <= min(to_ns, moved.horizon_ns)].copy()
    grid = tape.events[(tape.events["time_ns"] == tape.meta.start_ns) & np.isin(tape.events["kind"], _SAID)]
    seconds = np.arange(to_ns + units.NS, moved.horizon_ns + 1, units.NS)
    after = np.tile(grid, len(seconds)).astype(EVENT)
    after["time_ns"] = np.repeat(seconds, len(grid))
    events = np.concatenate((before, after))
    for source, path in moved.seconds.items():
        said = (events["kind"] == EventKind.SOURCE) & (events["source"] == source)
        second, part = np.divmod(events["time_ns"][said] - moved.from_ns, units.NS)
        assert not part.any(), "a price of an incident's tape is said between two seconds"
        events["price"][said] = np.array(path, dtype=np.int64)[second]
    return events


_SAID = (EventKind.CLOCK, EventKind.SOURCE)


# ---- runs


def run_name(rule: str, shape: Shape, falls: bool = True) -> str:
    return f"{rule}/{shape.name}" + ("" if falls else "/still")


def move_jobs(inputs: Inputs, shapes: Iterable[Shape]) -> tuple[list[Job], dict[str, str]]:
    """Return the runs of every rule on each shape and of the unguarded one without it, and whose results the others share."""
    incident, tape = inputs.incident, inputs.tape
    broken = inputs.venue.number("sources", incident.tape.broken)
    truth = {inputs.venue.number("assets", row.asset): broken for row in inputs.venue.collateral if row.index == incident.index}
    to_ns, variant = incident.tape.window.to_ns, inputs.options.variant
    asked: dict[str, list[Job]] = {rule.name: [] for rule in incident.rules}
    venues = {name: incident.with_rule(inputs.venue, name) for name in asked}
    unguarded = incident.rules[0].name

    def add(rule: str, shape: Shape, falls: bool, horizon_ns: int, events: np.ndarray) -> None:
        name = run_name(rule, shape, falls)
        asked[rule].append(Job(name, venues[rule], tape.meta.start_ns, events, [], horizon_ns, False, truth if falls else {}))

    for shape in shapes:
        for falls, rules in ((True, list(asked)), (False, [unguarded])):
            moved = incident.moved(inputs.venue, variant, shape, falls)
            events = moved_events(tape, to_ns, moved)
            for rule in rules:
                add(rule, shape, falls, moved.horizon_ns, events)
    return distinct(job for jobs in asked.values() for job in jobs)


def distinct(jobs: Iterable[Job]) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs that must be run, and for each of the others the name of the one whose results it shares."""
    ours: list[Job] = []
    same: dict[str, str] = {}
    for job in jobs:
        twin = next((other for other in ours if same_outcomes(job, other)), None)
        if twin is None:
            ours.append(job)
        else:
            same[job.name] = twin.name
    return ours, same


def unheard(venue: Venue) -> set[int]:
    """Return the sources that no recipe of the rule book reads: what they say changes no outcome."""
    read = {
        getattr(node, "ratio", getattr(node, "name", None))
        for row in venue.indices
        for node in walk(row.recipe)
        if node.kind in ("source", "redemption")
    }
    return {i for i, row in enumerate(venue.sources) if row.name not in read}


def same_outcomes(job: Job, other: Job) -> bool:
    """Return whether two jobs must give the same results: they differ at most in what sources say that nobody asks.

    A source that says what is true is asked when the run is over.
    """
    if (job.seams, job.horizon_ns, job.keep, job.truth) != (other.seams, other.horizon_ns, other.keep, other.truth):
        return False
    if len(job.events) != len(other.events) or job.venue != other.venue:
        return False
    silent = sorted(unheard(job.venue) - set(job.truth.values()))
    differ = np.flatnonzero(job.events != other.events)
    asked = (job.events["kind"] != EventKind.SOURCE) | ~np.isin(job.events["source"], silent)
    masked = [job.events[differ].copy(), other.events[differ].copy()]
    for events in masked:
        events["price"], events["flags"] = 0, 0
    return not asked[differ].any() and masked[0].tobytes() == masked[1].tobytes()


# ---- what came of them


class Beside(NamedTuple):
    """A guarded run beside the unguarded one on one move: over all forced lots, and over those that the move itself closes."""

    guarded: Ran
    unguarded: Ran
    whole: Paired
    caused: Paired

    @property
    def added_shortfall(self) -> int:
        return shortfall(self.guarded) - shortfall(self.unguarded)


def shortfall(ran: Ran) -> int:
    """Return a run's shortfall: fund draw and bad debt, what accounts lost beyond their own money; exact."""
    return ran.flows[Flow.FUND_PAYMENT] + ran.flows[Flow.WRITE_OFF]


def forced_notional(ran: Ran) -> int:
    """Return lots x value at the mark over everything closed by force."""
    return sum(n * value for n, value in zip(ran.forced.lots.tolist(), ran.forced.value, strict=True))


def beside(inputs: Inputs, ran: dict[str, Ran], rule: str, shape: Shape) -> Beside:
    """Compare a rule on a shape with the unguarded rule on the same tape."""
    first = inputs.incident.rules[0].name
    unguarded, still = (ran[run_name(first, shape, falls)] for falls in (True, False))
    guarded = ran[run_name(rule, shape)]
    whole, caused = (
        paired(unguarded.forced, guarded.forced, units.INT64_MAX, without, inputs.eps_ns) for without in ((), (still.forced,))
    )
    return Beside(guarded, unguarded, whole, caused)
