"""Who paid whom in the broken run: flows by group of the closed chart, each row summing to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskbed.paid import GROUPS
from riskbed.report import html
from riskbed.result import Payment, flow_words
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay

WORDS = {
    "LIQUIDATED": "liquidated users",
    "OTHERS": "other users",
    "QUOTERS": "quoters",
}


def _name(group: str) -> str:
    return WORDS.get(group, group.lower().replace("_", " "))


def section(done: Replay) -> list[str]:
    """Return a table an asset: a row a flow, a column a group, what it got (+) or gave (-)."""
    paid = done.answer.paid
    parts = [
        "<h2>Who paid whom</h2>",
        "<p>What each group got (+) and gave (\u2212) in the broken run, to the end of its tape. Every row sums to 0, and every "
        "column to what the group has in the end. Trades, takeovers and ADL count with their lots at the last mark: a gain is "
        "what they were worth more than was paid for them.</p>",
    ]
    if not paid.payments:
        return [*parts, "<p>Nobody paid anybody.</p>"]
    for asset in dict.fromkeys(row.asset for row in paid.payments):
        nets = _nets(asset, paid.payments, done.inputs.venue.decimals(asset))
        groups = [group for group in GROUPS if any(group in money for _, money in nets)]
        rows = [_row(words, money, groups) for words, money in nets]
        ends = {row.group: row.money for row in paid.ends if row.asset == asset}
        last = [f"<th>{html.money(ends.get(group, '0'))}</th>" for group in groups]
        rows.append(html.row('<th class="text">has in the end</th>', *last))
        parts.append(html.table(html.heads(f"flow, {asset}", *map(_name, groups)), rows, "tight sums many"))
    return parts


def _nets(asset: str, payments: list[Payment], places: int) -> list[tuple[str, dict[str, str]]]:
    """Return (flow, group -> net money) of an asset, in the order of the payments."""
    nets: dict[str, dict[str, int]] = {}
    for row in payments:
        if row.asset == asset:
            mine = nets.setdefault(row.flow, {})
            money = units.decimal_to_int(row.money, places)
            mine[row.payer] = mine.get(row.payer, 0) - money
            mine[row.payee] = mine.get(row.payee, 0) + money
    return [
        (flow_words(flow), {group: units.int_to_decimal(money, places) for group, money in row.items()})
        for flow, row in nets.items()
    ]


def _row(words: str, money: dict[str, str], groups: list[str]) -> str:
    return html.row(html.text(words), *(html.signed(money.get(group, "0")) for group in groups))
