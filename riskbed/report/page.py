"""The page of a replay: its sections in their order. Each is a file of its own."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.labels import Label
from riskbed.report import (
    charts,
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
    fall = waterfall.figure(done)
    figures = {"timeline": timeline.figure(done, series)} | ({"waterfall": fall} if fall else {}) | rounds.figures(done)
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
        *waterfall.section(done, figures),
        *flows.section(done),
        *guards_table.section(done),
        *make_whole.section(done),
        *provenance.unknown(done),
        *twins.section(done),
        *laws.section(done),
        *provenance.section(done),
    ]


def _subtitle(done: Replay) -> str:
    answer = done.answer
    words = [f"rule book {answer.venue}", f"{answer.accounts:,} accounts", f"{answer.events:,} events"]
    if answer.variant:
        words.insert(1, f"variant {answer.variant}, seed {answer.seed}")
    return f'<p class="faint">{escape(" · ".join(words))}</p>'


def _cards(done: Replay) -> str:
    answer, cards = done.answer, []
    unit = answer.numeraire

    def card(colour: str, figure: str, words: str) -> None:
        cards.append(f'<div class="card" style="--accent:{colour}"><b>{escape(figure)}</b><span>{escape(words)}</span></div>')

    for label in (Label.ERRONEOUS, Label.PREMATURE, Label.ORGANIC):
        total = getattr(answer.labels, label.name.lower())
        card(
            charts.COLOURS[label],
            f"{total.lots:,} lots",
            f"{charts.WORDS[label]}: {html.money(total.notional)} {unit}, {total.accounts:,} accounts",
        )
    if answer.make_whole:
        paid = sorted(done.paid, key=lambda reading: reading.total)
        decimals = done.inputs.venue.decimals(unit)
        low, high = (html.money(units.int_to_decimal(reading.total, decimals)) for reading in (paid[0], paid[-1]))
        card("#1b7f79", f"{high} {unit}", f"make-whole at most; {low} at least, by reading")
    twins = answer.twins
    words = "not compared" if twins.equal is None else f"on {twins.events:,} events with {twins.accounts:,} accounts"
    figure, laws = {True: "twins equal", False: "twins differ", None: "one twin"}[twins.equal], answer.laws
    if laws.of:
        words += f"; {len(laws.broken) or sum(row.events > 0 for row in laws.rows)} laws {'broken' if laws.broken else 'hold'}"
    card("#c0392b" if laws.broken else "#5c6b7a", figure, words)
    return f'<div class="cards">{"".join(cards)}</div>'
