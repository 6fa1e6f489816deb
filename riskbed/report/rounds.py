"""The rounds of each cascade: what one event sets off, drawn, and the deepest ones as a table; by rule, how deep they went."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import charts, html
from riskbed.rounds import Cascade, rounds
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay
    from specs.rules import Venue

SHOWN = 10  # cascades in the table


def deepest(cascades: list[Cascade], venue: Venue) -> list[list[str]]:
    """Return the rows of the table: time, rounds, accounts, lots closed, collateral sold, and its price before and after."""
    places = {
        venue.number("assets", row.asset): (row.asset, venue.indices[venue.number("indices", row.index)].price_decimals)
        for row in venue.collateral
    }
    rows = []
    for cascade in sorted(cascades, key=lambda c: (-c.rounds, -c.accounts, c.time_ns))[:SHOWN]:
        sold = ", ".join(f"{lots:,} {venue.markets[market].name}" for market, lots in sorted(cascade.sold.items()))
        moved = [
            f"{name} {cascade.before[asset] / 10**digits:,.6g} \u2192 {cascade.after[asset] / 10**digits:,.6g}"
            for asset, (name, digits) in places.items()
            if cascade.before.get(asset) != cascade.after.get(asset) and asset in cascade.before
        ]
        when = units.ns_to_instant(cascade.time_ns)[11:19]
        rows.append(
            [
                when,
                str(cascade.rounds),
                f"{cascade.accounts:,}",
                f"{cascade.lots:,}",
                sold or "none",
                ", ".join(moved) or "unmoved",
            ]
        )
    return rows


def _until(done: Replay) -> list[Cascade]:
    return [row for row in rounds(done.ran["broken"].outcomes) if row.time_ns <= done.inputs.horizon_ns]


def figure(done: Replay) -> dict | None:
    """Return the chart of all cascades of the broken run; None if there was none."""
    cascades = _until(done)
    return charts.rounds_figure(cascades, done.inputs.tape.meta.start_ns, done.inputs.horizon_ns) if cascades else None


def section(done: Replay, figures: dict[str, dict]) -> list[str]:
    """Return the section: the chart, the deepest cascades, and the depth by rule."""
    if "rounds" not in figures:
        return ["<h2>Rounds of the cascade</h2>", "<p>No cascade: nothing was closed by force in the broken run.</p>"]
    heads = ("time", "rounds", "accounts", "lots closed", "lots sold", "price of collateral")
    cascades = deepest(_until(done), done.inputs.venue)
    rows = [html.row(html.text(row[0]), *(html.cell(escape(word)) for word in row[1:])) for row in cascades]
    return [
        "<h2>Rounds of the cascade</h2>",
        '<div id="rounds" class="chart"></div>',
        "<p>What one event sets off runs in rounds: accounts are closed and their collateral is sold, prices are published anew, "
        "and whom the new prices trigger is closed in the next round. A loop through an own book is a cascade of many rounds, or "
        "many cascades in a row. The deepest ones of the broken run:</p>",
        html.table(html.heads(*heads), rows),
        *_by_rule(done),
    ]


def _by_rule(done: Replay) -> list[str]:
    answer, rows = done.answer, []
    if not answer.rules:
        return []
    places = done.inputs.venue.decimals(answer.numeraire)
    for rule in answer.rules:
        fault = rule.fault
        counts = ", ".join(f"{n} of {depth}" for depth, n in fault.cascades.histogram.items())
        lows = ", ".join(f"{name} {float(price):,.6g}" for name, price in fault.lows.items())
        bad = sum(units.decimal_to_int(money, places) for money in (fault.losses.fund_payments, fault.losses.write_offs))
        loss = html.NONE if fault.treasury_loss is None else html.money(fault.treasury_loss)
        cells = [html.money(fault.labels.erroneous.notional), str(fault.cascades.rounds_max), counts or "none", lows or html.NONE]
        cells += [html.money(units.int_to_decimal(bad, places)), loss]
        rows.append(html.row(html.text(rule.title), *map(html.cell, cells)))
    heads = ("rule", f"erroneous {answer.numeraire}", "rounds at most", "cascades of so many rounds", "lowest price", "bad debt")
    return ["<p>Under the fault, by rule:</p>", html.table(html.heads(*heads, "treasury's loss"), rows, "tight")]
