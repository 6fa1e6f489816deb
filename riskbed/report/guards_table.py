"""The table of the rules that an incident compares: under the fault, and on the same move when it is true."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import html

if TYPE_CHECKING:
    from riskbed.replay import Replay


def section(done: Replay) -> list[str]:
    """Return the section; nothing where no rules are compared."""
    if not done.answer.rules:
        return []
    answer, rows = done.answer, []
    unit = answer.numeraire
    for rule in answer.rules:
        labels, move = rule.fault.labels, rule.true_move
        cells = [html.text(rule.title)]
        for name in ("erroneous", "premature"):
            total = getattr(labels, name)
            cells.append(html.cell(f"{total.lots:,}", total.lots == 0))
            if name == "erroneous":
                cells.append(html.cell(html.money(total.notional), total.lots == 0))
        cells.append(html.cell(f"{labels.in_band.lots:,}", labels.in_band.lots == 0))
        if move is None:
            cells += [html.cell(html.NONE)] * 6
        else:
            for share in (move.share, move.of_the_move.share):
                cells.append(html.cell(html.NONE if share is None else f"{share:.1%}"))
            cells.append(
                html.cell(html.NONE if move.of_the_move.median_delay_s is None else f"{move.of_the_move.median_delay_s:g}")
            )
            for money in (move.shortfall, move.treasury_loss, move.hidden_shortfall):
                cells.append(html.cell(html.money(money), html.money(money) == "0"))
        rows.append(html.row(*cells))
    groups = (
        '<th class="text"></th>',
        '<th class="group" colspan="4">under the fault</th>',
        '<th class="group" colspan="6">on a true move that stays</th>',
    )
    names = [
        "index rule",
        "erroneous lots",
        f"erroneous {unit}",
        "premature lots",
        "in-band lots",
        "still closed",
        "of the move's own",
        "later, median s",
    ]
    names += [f"shortfall {unit}", f"treasury's loss {unit}", f"hidden shortfall {unit}"]
    first = escape(answer.rules[0].title)
    return [
        "<h2>The rule that would have prevented it, and what it costs</h2>",
        "<p>Each rule prices the same collateral on the same tape. Left: what it closes by mistake. Right: the same fall, but "
        f"true, in every source. Still closed: the share of the lots that “{first}” closes which this rule closes too; of the "
        "move's own: of those that only the move closes, and how much later. Shortfall is fund draw and bad debt; the "
        "treasury's loss is what it paid for collateral above its true price (below: negative); hidden shortfall is what "
        "accounts still open owe at true prices.</p>",
        html.table(html.row(*groups) + html.heads(*names), rows, "tight"),
    ]
