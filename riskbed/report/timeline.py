"""One clock for all: prices by source, indices, marks, last trades, collateral, and below them the forced closes by label.

One figure with a panel for each index, all over one time axis, so that a zoom into one is a zoom into all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from riskbed.report import charts, lanes
from specs.rules import Venue, walk
from specs.tape import Grade, Meta, OutcomeKind

if TYPE_CHECKING:
    from riskbed.replay import Inputs, Replay

WINDOWS_MAX = 12  # that are shaded
APART = 5  # times the index that a line is left out of a panel at first
POINTS_MAX = 16_000  # of all lines together: half a megabyte
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # time_ns, price, grade, price decimals


class Line(NamedTuple):
    """A line of a panel. colour: None for that of its place. waits: it is drawn when its name is clicked."""

    name: str
    columns: Columns
    dash: str = "solid"
    width: float = 1.4
    colour: str | None = None
    waits: bool = False


def figure(done: Replay, series: dict[str, dict]) -> dict:
    """Return the figure of a run; `series`: riskbed/runs.py series_of."""
    inputs = done.inputs
    books = [inputs.venue]
    if inputs.incident is not None:
        books += [inputs.incident.with_rule(inputs.venue, rule.name) for rule in inputs.incident.rules]
    read, start, until = sources_read(books), inputs.tape.meta.start_ns, inputs.horizon_ns
    rows = sorted(inputs.venue.indices, key=lambda row: inputs.incident is not None and row.name != inputs.incident.index)
    lines = {row.name: _lines(done, series, row.name, read[row.name]) for row in rows}
    thinned = buckets(sum(map(len, lines.values())))
    panels = []
    for name, mine in lines.items():
        title, unit = f"{name}: prices on one clock", unit_of(inputs.venue, name)
        panels.append(charts.Panel(title, unit, traces(mine, until, thinned)))
    panels.append(lanes.panel(done))
    return charts.stacked(panels, windows(inputs), start, until)


def buckets(lines: int) -> int:
    """Return how finely each of so many lines is drawn."""
    return min(charts.BUCKETS, POINTS_MAX // (4 * max(1, lines)))


def traces(lines: list[Line], until_ns: int, thinned: int) -> list[dict]:
    """Return the lines of a panel as they are drawn; the first is what the others are measured by."""
    return [
        charts.step_line(
            line.name, line.columns, line.colour or charts.LINES[k % len(charts.LINES)], until_ns, line.dash, line.width, thinned
        )
        | _hidden(line, lines[0])
        for k, line in enumerate(lines)
    ]


def windows(inputs: Inputs) -> list[tuple[int, int, str]]:
    """Return what is shaded: the incident's window and those of the broken plan's faults, each once, up to the horizon."""
    found = [(*inputs.window, "incident window")] if inputs.window else []
    plan = inputs.plans["broken"]
    found += [(fault.from_ns, fault.to_ns, f"fault {fault.id}") for fault in plan.faults if fault.enabled]
    start, end = inputs.tape.meta.start_ns, inputs.horizon_ns
    inside = [(max(a, start), min(b, end), words) for a, b, words in found if a <= end and b >= start]
    return list({(a, b): (a, b, words) for a, b, words in reversed(inside)}.values())[::-1][:WINDOWS_MAX]


def _lines(done: Replay, series: dict[str, dict], index: str, read: set[str]) -> list[Line]:
    """Return the lines of an index: those of the broken run, and the true runs' indices."""
    inputs, broken = done.inputs, series["broken"]
    words = f"published{' (broken run)' if len(series) > 1 else ''}"
    lines = lines_of(inputs.venue, inputs.tape.meta, broken, done.ran["broken"].outcomes, index, read, words)
    before = broken["index", index]
    for name, run in (("index, true, lower edge", "true_lower"), ("index, true, upper edge", "true_upper")):
        columns = series[run]["index", index] if run in series else before
        if not same(columns, before):
            lines.append(Line(name, columns, "dash"))
            before = columns
    return [line for line in lines if len(line.columns[0])]


def lines_of(
    venue: Venue, meta: Meta, run: dict[tuple[str, str], Columns], outcomes: np.ndarray, index: str, read: set[str], words: str
) -> list[Line]:
    """Return the lines of an index in one run: as published, its sources, its markets' marks and last trades.

    What is the same as the index all the way shares its line and its name. words: what stands after them.
    """
    published = run["index", index]
    shared, others = [], []
    for name, columns in followers(venue, run, outcomes, index):
        shared, others = (shared + [name], others) if same(columns, published) else (shared, [*others, Line(name, columns)])
    lines = [Line(f"{' = '.join(['index', *shared])}, {words}", published, width=charts.WIDE)]
    lines += [Line(source_name(meta, source.name), run["source", source.name]) for source in venue.sources if source.name in read]
    return lines + others


def source_name(meta: Meta, name: str) -> str:
    """Return a source's name, and its provenance where the tape says it."""
    provenance = next((row.provenance for row in meta.series if row.name == name), None)
    return f"{name} ({provenance})" if provenance else name


def _hidden(line: Line, index: Line) -> dict:
    """A leg of another scale (a ratio under a price) would flatten the panel: it is drawn when its name is clicked."""
    if line.waits:
        return {"visible": "legendonly", "name": f"{line.name}: click"}
    of, against = ((int(c[1].min()) / 10 ** c[3], int(c[1].max()) / 10 ** c[3]) for c in (line.columns, index.columns))
    apart = line is not index and (of[1] * APART < against[0] or of[0] > APART * against[1])
    return {"visible": "legendonly", "name": f"{line.name}, another scale: click"} if apart else {}


def followers(venue: Venue, run: dict[tuple[str, str], Columns], outcomes: np.ndarray, index: str) -> list[tuple[str, Columns]]:
    """Return what goes by an index: collateral prices, marks, and the last trades in the markets that are marked by it."""
    found = [(f"collateral {row.asset}", run["collateral", row.asset]) for row in venue.collateral if row.index == index]
    for market, row in enumerate(venue.markets):
        if row.index == index:
            found.append((f"mark {row.name}", run["mark", row.name]))
            found.append((f"last {row.name}", _last_trades(outcomes, market, row.price_decimals)))
    return found


def _last_trades(outcomes: np.ndarray, market: int, places: int) -> Columns:
    fills = outcomes[(outcomes["kind"] == OutcomeKind.FILL) & (outcomes["market"] == market)]
    return fills["time_ns"], fills["price"], np.full(len(fills), Grade.VALID, dtype=np.uint8), places


def sources_read(books: list[Venue]) -> dict[str, set[str]]:
    """Return index -> the sources that its recipe reads under any of the rule books."""

    def named(recipe) -> set[str]:
        return {
            getattr(node, "ratio", getattr(node, "name", None)) for node in walk(recipe) if node.kind in ("source", "redemption")
        }

    read: dict[str, set[str]] = {}
    for row in (row for book in books for row in book.indices):
        read.setdefault(row.name, set()).update(named(row.recipe))
    return read


def same(a: Columns, b: Columns) -> bool:
    """Return whether two series say the same prices at the same times, whatever their units."""
    if len(a[0]) != len(b[0]) or not (np.array_equal(a[0], b[0]) and np.array_equal(a[2], b[2])):
        return False
    return all(x * 10 ** b[3] == y * 10 ** a[3] for x, y in zip(a[1].tolist(), b[1].tolist(), strict=True))


def unit_of(venue: Venue, index: str) -> str:
    """Return what the prices of an index are in: by the collateral or the market that goes by it, else the numeraire."""
    asset = next((row.asset for row in venue.collateral if row.index == index), None)
    quote = next((row.settles_in for row in venue.markets if row.index == index), venue.numeraire)
    return f"{venue.numeraire} per {asset}" if asset else quote
