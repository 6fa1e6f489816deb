"""The page of a replay: its sections in their order. Each is a file of its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.labels import Label
from riskbed.report import (
    charts,
    facts,
    flows,
    guards_table,
    html,
    lanes,
    laws,
    make_whole,
    provenance,
    rounds,
    timeline,
    twins,
    waterfall,
)
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay


def render(done: Replay, series: dict[str, dict]) -> str:
    """Return report.html of a replay. Raises ValueError if it would exceed html.BYTES_MAX."""
    fall = done.answer.waterfall[0]
    falls = {"waterfall": waterfall.figure(fall, done.answer.numeraire)} if fall.accounts else {}
    figures = {"timeline": timeline.figure(done, series)} | falls | rounds.figures(done)
    return html.assemble(f"{done.answer.title}: replay", _body(done, figures), figures)


def _body(done: Replay, figures: dict[str, dict]) -> list[str]:
    return [
        f"<h1>{escape(done.answer.title)}</h1>",
        _subtitle(done),
        _cards(done),
        provenance.warning(done),
        "<h2>On one clock</h2>",
        '<div id="timeline" class="chart"></div>',
        *lanes.section(done),
        *rounds.section(done),
        *waterfall.section(done.answer.waterfall, done.answer.numeraire, [name for name in figures if name == "waterfall"]),
        *flows.section(done),
        *guards_table.section(done),
        *make_whole.section(done),
        *facts.section(done.answer.facts),
        *provenance.unknown(done),
        *twins.section(done.answer.twins, done.answer.laws.events),
        *laws.section(done.answer.laws),
        *provenance.section(done.answer, done.answer.inputs),
    ]


def _subtitle(done: Replay) -> str:
    answer = done.answer
    words = [f"rule book {answer.venue}", f"{answer.accounts:,} accounts", f"{answer.events:,} events"]
    if answer.variant:
        words.insert(1, f"variant {answer.variant}, seed {answer.seed}")
    return f'<p class="faint">{escape(" · ".join(words))}</p>'


def _cards(done: Replay) -> str:
    answer, rows = done.answer, []
    unit = answer.numeraire
    for label in (Label.ERRONEOUS, Label.PREMATURE, Label.ORGANIC):
        total = getattr(answer.labels, label.name.lower())
        words = f"{charts.WORDS[label]}: {html.money(total.notional)} {unit}, {total.accounts:,} accounts"
        rows.append((charts.COLOURS[label], f"{total.lots:,} lots", words))
    if answer.make_whole:
        paid = sorted(done.paid, key=lambda reading: reading.total)
        decimals = done.inputs.venue.decimals(unit)
        low, high = (html.money(units.int_to_decimal(reading.total, decimals)) for reading in (paid[0], paid[-1]))
        rows.append(("#1b7f79", f"{high} {unit}", f"make-whole at most; {low} at least, by reading"))
    figure, words = twins.headline(answer.twins)
    laws = answer.laws
    if laws.of:
        words += f"; {len(laws.broken) or sum(row.events > 0 for row in laws.rows)} laws {'broken' if laws.broken else 'hold'}"
    rows.append(("#c0392b" if laws.broken else twins.COLOUR, figure, words))
    return html.cards(rows)
