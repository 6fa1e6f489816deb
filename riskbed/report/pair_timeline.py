"""One clock for the runs of a pair: prices of the first market and of the collateral by run, and the forced closes in lanes.

It begins a little before the first event; what was before, the population entering, is in series.parquet.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from riskbed.causes import Cause
from riskbed.labels import Label
from riskbed.pair import JUDGED
from riskbed.report import charts, lanes, timeline
from riskbed.report.decomposition import COLOURS
from riskbed.report.timeline import Columns, Line
from specs import units
from specs.tape import Grade

if TYPE_CHECKING:
    from riskbed.pair import Done, Inputs

BUCKETS = 300  # of a line: at most a megabyte for all of them
BEFORE_NS = 600 * units.NS  # that are shown before A begins
SHADES = {"A": charts.SHADE, "B": "#e9f0f6"}
CAUSES = {Cause.DIRECT: "#c0392b", Cause.INDUCED: "#e08e2b", Cause.MARKET: "#8a97a6"}


def figure(done: Done, series: dict[str, dict[tuple[str, str], Columns]]) -> dict:
    """Return the figure; `series`: run -> riskbed/runs.py series_rows."""
    inputs, venue = done.inputs, done.inputs.venue
    start, until = span(inputs)
    market = inputs.cascade.tape.markets[0].market
    row = venue.markets[venue.number("markets", market)]
    collateral = next(row for row in venue.collateral if row.asset == inputs.cascade.tape.collateral)
    last = list(done.ran)[-1]
    shown = [
        (f"{market} by run", timeline.unit_of(venue, row.index), _market_lines(done, series, market, row.index)),
        (f"{market} in run {last}", timeline.unit_of(venue, row.index), _one_run(done, series[last], last, row.index)),
        (f"Collateral {collateral.asset} by run", timeline.unit_of(venue, collateral.index), _collateral_lines(done, series)),
        ("Closed by force so far, by run", venue.numeraire, _closed_lines(done)),
    ]
    cut = [(title, unit, [line._replace(columns=since(line.columns, start)) for line in lines]) for title, unit, lines in shown]
    panels = [charts.Panel(title, unit, timeline.traces(lines, until, BUCKETS)) for title, unit, lines in cut]
    return charts.stacked([*panels, *_lanes(done)], windows(inputs), start, until)


def span(inputs: Inputs) -> tuple[int, int]:
    """Return from when to when the figure goes."""
    meta = inputs.tape.meta
    return max(meta.start_ns, inputs.cascade.window.from_ns - BEFORE_NS), meta.horizon_ns


def windows(inputs: Inputs) -> list[tuple[int, int, str, str]]:
    """Return what is shaded: A, the fall, and B, the collateral index, if it is run."""
    found = [(inputs.cascade.window, "A: the fall", "A"), (inputs.b.window, "B: the collateral index", "B")]
    start, until = span(inputs)
    return [
        (max(window.from_ns, start), min(window.to_ns, until), words, SHADES[part])
        for window, words, part in found
        if any(part in run.split("+") for run in inputs.runs)
    ]


def since(columns: Columns, from_ns: int) -> Columns:
    """Return a series from an instant on; what was in force then begins it."""
    time_ns, price, grade, places = columns
    first = max(int(np.searchsorted(time_ns, from_ns, side="right")) - 1, 0)
    return np.maximum(time_ns[first:], from_ns), price[first:], grade[first:], places


def by_run(told: list[tuple[str, str, Columns]], runs: list[str]) -> list[tuple[str, list[str], Columns]]:
    """Return each different series of (what, run, columns) once, with the names of all that it is and its runs."""
    found: list[tuple[dict[str, list[str]], Columns]] = []
    for what, run, columns in told:
        names = next((names for names, other in found if timeline.same(other, columns)), None)
        if names is None:
            found.append(({what: [run]}, columns))
        else:
            names.setdefault(what, []).append(run)
    lines = []
    for names, columns in found:
        of: dict[str, list[str]] = {}  # the runs in words -> what
        for what, mine in names.items():
            of.setdefault("every run" if mine == runs and len(runs) > 1 else ", ".join(mine), []).append(what)
        words = "; ".join(f"{' = '.join(whats)}, {mine}" for mine, whats in of.items())
        lines.append((words, [run for run in runs if any(run in mine for mine in names.values())], columns))
    return lines


def _market_lines(done: Done, series: dict[str, dict], market: str, index: str) -> list[Line]:
    """Return the marks of the runs; their indices and last trades, drawn by a click; what outside sources said."""
    venue, runs, marks, waiting = done.inputs.venue, list(done.ran), [], []
    for run in runs:
        marks.append(("mark", run, series[run]["mark", market]))
        waiting.append(("index", run, series[run]["index", index]))
        waiting += [
            ("last", run, columns)
            for name, columns in timeline.followers(venue, series[run], done.ran[run].outcomes, index)
            if name == f"last {market}"
        ]
    lines = [Line(words, columns, width=1.8, colour=COLOURS[mine[-1]]) for words, mine, columns in by_run(marks, runs)]
    for words, mine, columns in by_run(waiting, runs):
        dash = "dot" if words.startswith("last") else "dash"
        lines.append(Line(words, columns, dash, 1.2, COLOURS[mine[-1]], waits=True))
    return [line for line in [*lines, *_sources(done, series, timeline.sources_read([venue])[index])] if len(line.columns[0])]


def _sources(done: Done, series: dict[str, dict], names: set[str]) -> list[Line]:
    """Return what the sources of an index said in every run."""
    told = [(name, run, series[run]["source", name]) for name in sorted(names) for run in done.ran]
    return [
        Line(words, columns, "dot", colour="#65717e" if k else "#1b7f79")
        for k, (words, _, columns) in enumerate(by_run(told, list(done.ran)))
    ]


def _one_run(done: Done, run: dict, name: str, index: str) -> list[Line]:
    venue, meta = done.inputs.venue, done.inputs.tape.meta
    read = timeline.sources_read([venue])[index]
    lines = timeline.lines_of(venue, meta, run, done.ran[name].outcomes, index, read, "published")
    return [line for line in lines if len(line.columns[0])]


def _collateral_lines(done: Done, series: dict[str, dict]) -> list[Line]:
    """Return the collateral's index by run, with what goes by it, and what was recorded and true beside what it heard."""
    inputs, venue, runs = done.inputs, done.inputs.venue, list(done.ran)
    asset = inputs.cascade.tape.collateral
    index = next(row.index for row in venue.collateral if row.asset == asset)
    told = []
    for run in runs:
        told.append(("index", run, series[run]["index", index]))
        told += [(name, run, c) for name, c in timeline.followers(venue, series[run], done.ran[run].outcomes, index)]
    lines = [
        Line(words, columns, width=3.5 if k else charts.WIDE, colour=COLOURS[mine[-1]])
        for k, (words, mine, columns) in enumerate(by_run(told, runs))
    ]
    for name, note, colour in (
        (inputs.pair.collateral.recorded, "what B lets in", charts.INK),
        (inputs.pair.collateral.true, "true", "#1b7f79"),
    ):
        source = timeline.source_name(inputs.tape.meta, name)
        lines.append(Line(f"{source}: {note}", series[runs[0]]["source", name], colour=colour))
    return [line for line in lines if len(line.columns[0])]


def _closed_lines(done: Done) -> list[Line]:
    """Return the notional that each run has closed by force so far; for the eye, so in floats of whole units."""
    start, until = span(done.inputs)
    unit = 10 ** done.inputs.venue.decimals(done.inputs.venue.numeraire)
    lines = []
    for run, ran in done.ran.items():
        money = [n * value for n, value in zip(ran.forced.lots.tolist(), ran.forced.value, strict=True)]
        so_far = np.array([0.0, *(total / unit for total in accumulate(money))])
        times = np.concatenate(([start], ran.forced.time_ns)).astype(np.int64)
        columns = np.maximum(times, start), so_far, np.full(len(times), Grade.VALID, dtype=np.uint8), 0
        lines.append(Line(run, columns, width=1.8, colour=COLOURS[run]))
    return lines


def _lanes(done: Done) -> list[charts.Panel]:
    """Return the forced closes by run, by label of the last run against the one before it, and by cause."""
    inputs = done.inputs
    at = inputs.venue, *span(inputs)
    rows = []
    for run, ran in done.ran.items():
        forced = ran.forced
        notional = [n * value for n, value in zip(forced.lots.tolist(), forced.value, strict=True)]
        rows.append(lanes.Lane(run, COLOURS[run], forced.time_ns, forced.lots, notional, forced.account))
    panels = [lanes.stacked("by run", rows[1:], *at)]
    if done.causes is not None:
        (earlier, later), labels = JUDGED, done.labels[JUDGED]
        shown = [label for label in lanes.LANES if label not in (Label.IN_BAND, Label.IN_BAND_MISSED)]
        panels.append(
            lanes.stacked(f"of {later} by label, against {earlier}", [lanes.by_label(labels, label) for label in shown], *at)
        )
        causes = [
            lanes.Lane.of(cause.name.lower(), colour, labels, done.causes.cause == cause) for cause, colour in CAUSES.items()
        ]
        panels.append(lanes.stacked(f"of {later} by cause", causes, *at))
    return panels
