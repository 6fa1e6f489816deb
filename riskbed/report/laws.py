"""Which laws were checked, after how many events, and what came of it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import html
from riskbed.result import Law

NOT_CHECKED = "<p>Not checked (--lockstep 0).</p>"

if TYPE_CHECKING:
    from riskbed.result import Laws


def section(laws: Laws, before: str = "") -> list[str]:
    """Return the table of the laws; before: a paragraph on what was checked elsewhere."""
    if not laws.rows:
        return ["<h2>Laws</h2>", before, "<p>The others were not checked (--lockstep 0).</p>" if before else NOT_CHECKED]
    words = (
        f"Checked on the twins' sample after {laws.events:,} of its {laws.of:,} events ({laws.events / laws.of:.1%}): first "
        "those that closed something by force, then those that touched a user, then events spread evenly over the rest."
    )
    rows = [
        html.row(
            html.text(row.name),
            html.text(row.text),
            html.text(row.scope),
            html.cell(f"{row.events:,}", not row.events),
            _verdict(row),
        )
        for row in laws.rows
    ]
    return ["<h2>Laws</h2>", before, f"<p>{escape(words)}</p>", html.table(_heads(), rows)]


def _heads() -> str:
    return html.row(
        *(f'<th class="text">{name}</th>' for name in ("law", "what it says", "scope")),
        "<th>events</th>",
        '<th class="text">verdict</th>',
    )


def _verdict(row: Law) -> str:
    if row.broken:
        return f'<td class="text down">broken {row.broken:,} times; first {escape(row.first)}</td>'
    return html.text("holds") if row.events else f'<td class="text zero">{html.NONE}</td>'
