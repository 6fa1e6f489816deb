"""What each reading of the make-whole rule pays."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import html

if TYPE_CHECKING:
    from riskbed.replay import Replay


def section(done: Replay) -> list[str]:
    """Return the section; nothing where the incident has no rule."""
    if not done.answer.make_whole:
        return []
    answer = done.answer
    row, found = answer.make_whole, {}
    for reading in row.readings:
        found.setdefault((reading.eligibility, reading.reference, reading.netting), {})[reading.base] = reading
    rows = []
    for (eligibility, reference, netting), bases in found.items():
        fees = bases["both"]
        cells = [html.text(eligibility), html.text(reference), html.text(netting), html.cell(f"{fees.accounts:,}")]
        cells += [
            html.cell(html.money(bases[base].money), html.money(bases[base].money) == "0")
            for base in ("collateral", "position", "both")
        ]
        rows.append(html.row(*cells, html.cell(html.money(fees.fees), html.money(fees.fees) == "0")))
    questions = "".join(
        f"<li><b>{escape(q.name)}</b>: {escape(q.question)} Published: {escape(q.published)}. "
        + "; ".join(f"<i>{escape(name)}</i> {escape(words)}" for name, words in q.options.items())
        + "</li>"
        for q in row.questions
    )
    prices = "; ".join(
        f"{asset} {', '.join(f'{name} {price}' for name, price in by.items())}" for asset, by in row.prices.items()
    )
    unit = answer.numeraire
    return [
        "<h2>Make-whole</h2>",
        f"<p>Published rule: {escape(row.rule)}. Prices at {escape(row.instant)}: {escape(prices)}.</p>",
        f"<p>What the rule does not say is shown both ways:</p><ul>{questions}</ul>",
        html.table(
            html.heads(
                "eligibility",
                "reference",
                "netting",
                "accounts",
                f"collateral, {unit}",
                f"positions, {unit}",
                f"both, {unit}",
                f"fees on top, {unit}",
                left=3,
            ),
            rows,
        ),
    ]
