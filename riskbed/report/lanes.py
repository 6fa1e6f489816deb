"""Forced closes by label, each label a lane of the timeline; every point is what one stretch of time closed, by notional."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from riskbed.labels import Label, Labels
from riskbed.report import charts, html
from riskbed.result import rounded
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay

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


def panel(done: Replay) -> charts.Panel:
    """Return the lanes; without a forced close they are empty and the title says so."""
    inputs, labels = done.inputs, done.labels
    start = inputs.tape.meta.start_ns
    step_ns = _step_ns(inputs.horizon_ns - start)
    unit, decimals = inputs.venue.numeraire, inputs.venue.decimals(inputs.venue.numeraire)
    found = {label: _sums(labels, label, start, step_ns) for label in LANES}
    if not found[Label.IN_BAND_MISSED]:
        del found[Label.IN_BAND_MISSED]
    most = max((notional for sums in found.values() for _, notional, _ in sums.values()), default=1) or 1
    traces = []
    for height, (label, sums) in enumerate(reversed(found.items())):
        at = sorted(sums)
        words = [
            f"{sums[k][0]:,} lots, {rounded(units.int_to_decimal(sums[k][1], decimals))} {unit}, {len(sums[k][2]):,} accounts"
            for k in at
        ]
        # the area is the notional: for the eye, so in floats
        area = [charts.POINT_PX**2 * sums[k][1] / most for k in at]
        times = np.array([start + k * step_ns + step_ns // 2 for k in at], dtype=np.int64)
        if at:
            traces.append(charts.bubbles(charts.WORDS[label], times, height, area, words, charts.COLOURS[label]))
    title = f"Forced closes by label, {step_ns // units.NS:,} s a point, area by notional" if traces else "No forced close"
    return charts.Panel(title, "", traces, [charts.WORDS[label] for label in reversed(found)])


def _step_ns(span_ns: int) -> int:
    seconds = next((step for step in STEPS_S if span_ns <= POINTS_MAX * step * units.NS), None)
    return (seconds or -(-span_ns // (POINTS_MAX * units.NS))) * units.NS


def _sums(labels: Labels, label: Label, start_ns: int, step_ns: int) -> dict[int, tuple[int, int, set[int]]]:
    """Return step -> (lots, notional, accounts) of what has the label."""
    sums: dict[int, tuple[int, int, set[int]]] = {}
    for i in np.flatnonzero(labels.label == label).tolist():
        step = (int(labels.time_ns[i]) - start_ns) // step_ns
        lots, notional, accounts = sums.get(step, (0, 0, set()))
        accounts.add(int(labels.account[i]))
        sums[step] = lots + int(labels.lots[i]), notional + labels.notional[i], accounts
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
        name = f'<td class="text"><span class="dot" style="--accent:{charts.COLOURS[label]}"></span>{charts.WORDS[label]}</td>'
        figures = (f"{total.lots:,}", html.money(total.notional), f"{total.accounts:,}")
        rows.append(html.row(name, *(html.cell(figure, total.lots == 0) for figure in figures)))
    return html.table(html.heads("label", "lots", f"notional, {answer.numeraire}", "accounts"), rows)
