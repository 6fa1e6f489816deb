"""Forced closes over time in lanes, by label or by anything else; every point is what one stretch of time closed, by notional."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from riskbed.labels import Label, Labels
from riskbed.report import charts, html
from riskbed.result import rounded
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay
    from specs.rules import Venue

LANES = (
    Label.ERRONEOUS,
    Label.PREMATURE,
    Label.LATE,
    Label.MISSED,
    Label.ORGANIC,
    Label.IN_BAND,
    Label.IN_BAND_MISSED,
)
POINTS_MAX = 500  # of a lane
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400)


class Lane(NamedTuple):
    """What stands in one lane: a row a stretch of forced lots. notional: exact ints, money of the numeraire."""

    name: str
    colour: str
    time_ns: np.ndarray
    lots: np.ndarray
    notional: list[int]
    account: np.ndarray

    @classmethod
    def of(cls, name: str, colour: str, labels: Labels, chosen: np.ndarray) -> Lane:
        """Return the lane of the chosen stretches of labels, a mask."""
        at = np.flatnonzero(chosen)
        notional = [labels.notional[i] for i in at.tolist()]
        return cls(name, colour, labels.time_ns[at], labels.lots[at], notional, labels.account[at])


def panel(done: Replay) -> charts.Panel:
    """Return the lanes of the labels; without a forced close they are empty and the title says so."""
    inputs, labels = done.inputs, done.labels
    found = [by_label(labels, label) for label in LANES if label != Label.IN_BAND_MISSED or (labels.label == label).any()]
    return stacked("by label", found, inputs.venue, inputs.tape.meta.start_ns, inputs.horizon_ns)


def by_label(labels: Labels, label: Label) -> Lane:
    return Lane.of(charts.WORDS[label], charts.COLOURS[label], labels, labels.label == label)


def stacked(words: str, lanes: list[Lane], venue: Venue, start_ns: int, until_ns: int) -> charts.Panel:
    """Return the panel of some lanes, the first on top; words: what the lanes are, for the title."""
    step_ns = _step_ns(until_ns - start_ns)
    unit, decimals = venue.numeraire, venue.decimals(venue.numeraire)
    found = [(lane, _sums(lane, start_ns, step_ns)) for lane in reversed(lanes)]
    most = max((notional for _, sums in found for _, notional, _ in sums.values()), default=1) or 1
    traces = []
    for height, (lane, sums) in enumerate(found):
        at = sorted(sums)
        said = [
            f"{sums[k][0]:,} lots, {rounded(units.int_to_decimal(sums[k][1], decimals))} {unit}, {len(sums[k][2]):,} accounts"
            for k in at
        ]
        # the area is the notional: for the eye, so in floats
        area = [charts.POINT_PX**2 * sums[k][1] / most for k in at]
        times = np.array([start_ns + k * step_ns + step_ns // 2 for k in at], dtype=np.int64)
        if at:
            traces.append(charts.bubbles(lane.name, times, height, area, said, lane.colour))
    title = f"Forced closes {words}, {step_ns // units.NS:,} s a point, area by notional"
    return charts.Panel(title if traces else "No forced close", "", traces, [lane.name for lane, _ in found])


def _step_ns(span_ns: int) -> int:
    seconds = next((step for step in STEPS_S if span_ns <= POINTS_MAX * step * units.NS), None)
    return (seconds or -(-span_ns // (POINTS_MAX * units.NS))) * units.NS


def _sums(lane: Lane, start_ns: int, step_ns: int) -> dict[int, tuple[int, int, set[int]]]:
    """Return step -> (lots, notional, accounts)."""
    sums: dict[int, tuple[int, int, set[int]]] = {}
    rows = zip(lane.time_ns.tolist(), lane.lots.tolist(), lane.notional, lane.account.tolist(), strict=True)
    for time_ns, n, money, account in rows:
        step = (time_ns - start_ns) // step_ns
        lots, notional, accounts = sums.get(step, (0, 0, set()))
        accounts.add(account)
        sums[step] = lots + n, notional + money, accounts
    return sums


def section(done: Replay) -> list[str]:
    """Return what the labels mean and their totals."""
    return ["<h2>What the glitch did</h2>", _words(done), _table(done)]


def _words(done: Replay) -> str:
    answer = done.answer
    truth = f" Truth is a band: {answer.truth.lower} to {answer.truth.upper}; {answer.truth.note}." if answer.truth else ""
    return (
        "<p>Every lot closed by force in the broken run is matched with the lot of the same number, account and market in the "
        f"true run, up to {escape(answer.horizon)}. Organic: within {answer.eps_ns / units.NS:g} s; premature: earlier; late: "
        f"later; erroneous: never in the true run; missed: in the true run only.{escape(truth)}</p>"
    )


def _table(done: Replay) -> str:
    answer, rows = done.answer, []
    for label in LANES:
        total = getattr(answer.labels, label.name.lower())
        name = html.dot(charts.COLOURS[label], charts.WORDS[label])
        figures = (f"{total.lots:,}", html.money(total.notional), f"{total.accounts:,}")
        rows.append(html.row(name, *(html.cell(figure, total.lots == 0) for figure in figures)))
    return html.table(html.heads("label", "lots", f"notional, {answer.numeraire}", "accounts"), rows)
