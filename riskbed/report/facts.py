"""What an incident says must come out of its figures, and what this replay makes of it."""

from __future__ import annotations

from html import escape

from riskbed.report import html
from riskbed.result import Fact

COLOURS = {"holds": "#1b7f79", "fails": "#c0392b", "context": "#8a97a6"}


def section(facts: list[Fact]) -> list[str]:
    """Return the table of the facts; nothing where the incident has none."""
    if not facts:
        return []
    rows = [
        html.row(
            html.text(fact.what),
            html.cell(f"{escape(fact.expected)} {escape(fact.unit)}"),
            html.cell(html.NONE if fact.observed is None else escape(fact.observed), fact.observed is None),
            html.cell(escape(fact.tolerance), fact.tolerance == "0"),
            html.dot(COLOURS[fact.verdict], fact.verdict),
            html.text(fact.source),
        )
        for fact in facts
    ]
    heads = html.row(
        '<th class="text">fact</th>',
        *(f"<th>{name}</th>" for name in ("expected", "observed here", "tolerance")),
        *(f'<th class="text">{name}</th>' for name in ("verdict", "source")),
    )
    words = (
        "Holds, fails: computed here from the incident's figures, an index by the exchange itself. Context: published of the "
        "real event, or computed from records that are no part of this project; accounts here are synthetic."
    )
    return ["<h2>Expected facts</h2>", f"<p>{words}</p>", html.table(heads, rows, "tight")]
