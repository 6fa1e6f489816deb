"""The rounds of the cascades: a picture, the deepest cascades, and the rules of the incident beside each other."""

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


def figures(done: Replay) -> dict[str, dict]:
    """Return the chart of all cascades by its id: rounds over time, the area of a mark as the accounts in it; {} without any."""
    cascades = _until(done)
    if not cascades:
        return {}
    sizes = [cascade.accounts for cascade in cascades]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "cascade",
        "x": [units.ns_to_instant(cascade.time_ns).rstrip("Z") for cascade in cascades],
        "y": [cascade.rounds for cascade in cascades],
        "text": [f"{n} accounts" for n in sizes],
        "marker": {"color": "#a93226", "opacity": 0.45, "size": sizes, "sizemode": "area", "sizemin": 3},
    }
    trace["marker"]["sizeref"] = 2 * max(sizes) / 30**2
    more = {"yaxis": {"rangemode": "tozero", "dtick": 1}, "hovermode": "closest"}
    found = {"data": [trace], "layout": charts._layout("Rounds of each cascade, broken run", "rounds", **more)}
    charts.span(found, done.inputs.tape.meta.start_ns, done.inputs.horizon_ns)
    return {"rounds": found}


def section(done: Replay) -> list[str]:
    """Return the section, empty where no cascade had a round."""
    cascades = _until(done)
    if not cascades:
        return []
    names = ("time", "rounds", "accounts", "lots closed", "lots sold", "price of collateral")
    rows = [
        html.row(html.text(first), *(html.cell(escape(cell)) for cell in rest))
        for first, *rest in deepest(cascades, done.inputs.venue)
    ]
    parts = [
        "<h2>Rounds of the cascade</h2>",
        "<p>What one event sets off runs in rounds: accounts are closed and their collateral is sold, prices are published anew, "
        "and whom the new prices trigger is closed in the next round. A loop through an own book is a cascade of many rounds, or "
        "many cascades in a row. The deepest ones of the broken run:</p>",
        html.table(html.heads(*names), rows),
        '<div id="rounds" class="chart"></div>',
    ]
    return parts + (_by_rule(done) if done.answer.rules else [])


def _by_rule(done: Replay) -> list[str]:
    answer, places, rows = done.answer, done.inputs.venue.decimals(done.answer.numeraire), []
    for rule in answer.rules:
        fault = rule.fault
        counts = ", ".join(f"{n} of {depth}" for depth, n in fault.cascades.histogram.items())
        lows = ", ".join(f"{name} {float(price):,.6g}" for name, price in fault.lows.items())
        shortfall = sum(units.decimal_to_int(money, places) for money in (fault.losses.fund_draw, fault.losses.bad_debt))
        loss = "&ndash;" if fault.treasury_loss is None else html.money(fault.treasury_loss)
        cells = [html.money(fault.labels.erroneous.notional), str(fault.cascades.rounds_max), counts or "none", escape(lows)]
        cells += [html.money(units.int_to_decimal(shortfall, places)), loss]
        rows.append(html.row(html.text(rule.title), *map(html.cell, cells)))
    names = ("rule", f"erroneous {answer.numeraire}", "rounds at most", "cascades of so many rounds", "lowest price")
    heads = html.heads(*names, "shortfall (fund draw and bad debt)", "treasury's loss")
    return ["<p>Under the fault, by rule:</p>", html.table(heads, rows, "tight")]
