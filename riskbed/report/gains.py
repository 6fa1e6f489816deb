"""Who gained and who lost between two runs, by holder and by asset: every column sums to 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskbed.report import html
from specs import units

if TYPE_CHECKING:
    from riskbed.pair_result import GainTable

FINE = 38  # decimals that no worth exceeds: the sum is exact


def section(tables: list[GainTable], unit: str) -> list[str]:
    """Return a table of every two runs that are compared."""
    parts = [
        "<h2>Who gained, who lost</h2>",
        "<p>What each holder has more in the later run than in the earlier, at common prices; positions stand under the asset "
        "they settle in. Users stand by their label in the later run against the earlier one: erroneous ones only it closes by "
        "force, organic ones both close, deleveraged ones were counterparties of ADL in it, untouched ones were closed in "
        "neither. Gains are losses: every column sums to 0, or there would be no report.</p>",
    ]
    return [*parts, *(_table(gains, unit) for gains in tables)]


def _table(gains: GainTable, unit: str) -> str:
    assets = list(dict.fromkeys(asset for row in gains.rows for asset in row.by_asset))
    rows = []
    for row in gains.rows:
        cells = [html.signed(row.by_asset.get(asset, "0")) for asset in assets]
        count = html.cell(f"{row.accounts:,}", not row.accounts)
        rows.append(html.row(html.text(row.holder.replace("_", " ")), count, *cells, html.signed(row.gain)))
    columns = [[row.by_asset.get(asset, "0") for row in gains.rows] for asset in assets] + [[row.gain for row in gains.rows]]
    sums = "".join(f"<th>{html.money(_sum(column))}</th>" for column in columns)
    rows.append(f'<tr><th class="text">sum</th><th>{sum(row.accounts for row in gains.rows):,}</th>{sums}</tr>')
    heads = html.heads(f"from {gains.earlier} to {gains.later}, {unit}", "accounts", *(f"in {asset}" for asset in assets), "gain")
    return html.table(heads, rows, "sums")


def _sum(figures: list[str]) -> str:
    """Return the exact sum of decimal strings."""
    return units.int_to_decimal(sum(units.decimal_to_int(figure, FINE) for figure in figures), FINE)
