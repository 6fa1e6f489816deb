"""The facts that an incident says must come out of its figures, measured: expected, observed, tolerance, verdict.

A fact of an index is what the exchange itself publishes: every source and every own book that the fact names says its figure
once, on a tape of one moment, under the rule book with the fact's rule. The others are computed of the incident's own series.
"""

from __future__ import annotations

from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from riskbed import result
from riskbed.jobs import exchange_of
from specs import units
from specs.incident import Fact, FallTo, Incident, IndexAt, Lowest
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Grade, OutcomeKind, Side, Tif

if TYPE_CHECKING:
    from riskbed.replay import Inputs

PLACES = 6  # of an observed figure, for the eye: the verdict is on the exact one
LOTS = 10_000  # that change hands at the figure of an own book
DEPOSIT = 10_000  # of every asset, whole units, to both who trade


def fact_rows(inputs: Inputs) -> list[result.Fact]:
    """Return every fact of the incident; those that a replay must reproduce with what this one makes of them."""
    if inputs.incident is None:
        return []
    rows = []
    for fact in inputs.incident.facts:
        observed = measure(inputs.incident, inputs.venue, fact, inputs.options.twin)
        holds = observed is not None and abs(observed - Fraction(fact.observed)) <= Fraction(fact.tolerance)
        rows.append(
            result.Fact(
                id=fact.id,
                kind=fact.kind,
                what=fact.what,
                unit=fact.unit,
                expected=fact.observed,
                observed=None if observed is None else said(observed),
                tolerance=fact.tolerance,
                verdict="context" if fact.kind != "replay_exact" else "holds" if holds else "fails",
                source=fact.source,
            )
        )
    return rows


def said(figure: Fraction) -> str:
    """Return a figure as a decimal string of at most PLACES decimals, rounded half up."""
    text = units.int_to_decimal(int((figure * 10**PLACES + Fraction(1, 2)) // 1), PLACES)
    return text.rstrip("0").rstrip(".")


def measure(incident: Incident, venue: Venue, fact: Fact, twin: str = "engine") -> Fraction | None:
    """Return what comes out, in the fact's unit; None: nothing to measure, or the exchange publishes no valid index."""
    row = fact.measure
    if isinstance(row, IndexAt):
        return below(incident, venue, row, twin)
    if isinstance(row, Lowest):
        return lowest(incident, row)
    return fall_to(incident, row) if isinstance(row, FallTo) else None


# ---- of the series


def lowest(incident: Incident, row: Lowest) -> Fraction:
    """Return the lowest value, minute by minute, of the mean or the median of series, or of means over minutes of it."""
    found = [
        [Fraction(figure) for figure in series.values()]
        for name in row.of
        for series in incident.tape.minutes
        if series.source == name and series.variant in (row.variant, None)
    ]
    together = zip(*found, *([Fraction(figure)] * len(found[0]) for figure in row.beside), strict=True)
    each = [median(values) if row.by == "median" else sum(values) / len(values) for values in together]
    return min(sum(each[i : i + row.minutes]) / row.minutes for i in range(len(each) - row.minutes + 1))


def fall_to(incident: Incident, row: FallTo) -> Fraction:
    """Return the fall of a path from its first anchor to its lowest, in percent of the first."""
    path = next(path for path in incident.tape.paths if path.source == row.source)
    prices = [Fraction(anchor.price) for anchor in path.anchors]
    return (1 - min(prices) / prices[0]) * 100


# ---- of an index


def below(incident: Incident, venue: Venue, row: IndexAt, twin: str) -> Fraction | None:
    """Return by how much the published index lies below the product of the figures of `against`, in percent of that."""
    figures = {fact.id: fact.observed for fact in incident.facts}
    book = incident.with_rule(venue, row.rule)
    number = book.number("indices", row.index)
    exchange = exchange_of(twin)(book, incident.tape.window.from_ns)
    exchange.run(moment(book, incident.tape.window.from_ns, row, figures))
    outcomes = exchange.outcomes()
    traded = np.count_nonzero(outcomes["kind"] == OutcomeKind.FILL)
    told = outcomes[(outcomes["kind"] == OutcomeKind.INDEX) & (outcomes["ref_id"] == number)]
    if traded != len(row.trades) or not len(told) or told["grade"][-1] != Grade.VALID:
        return None
    worth = Fraction(1)
    for name in row.against:
        worth *= Fraction(figures[name])
    return (1 - Fraction(int(told["price"][-1]), 10 ** book.indices[number].price_decimals) / worth) * 100


def moment(venue: Venue, time_ns: int, row: IndexAt, figures: dict[str, str]) -> np.ndarray:
    """Return a tape on which each named source says its figure, and each named book trades once at its own."""
    rows = []

    def add(kind: EventKind, **fields: int) -> None:
        event = np.zeros(1, EVENT)
        event["kind"], event["time_ns"] = kind, time_ns
        for name, value in fields.items():
            event[name] = value
        rows.append(event)

    for name, fact in row.sources.items():
        number = venue.number("sources", name)
        add(EventKind.SOURCE, source=number, price=units.decimal_to_int(figures[fact], venue.sources[number].price_decimals))
    buyer = 1 + max([100, *(quoter.account for quoter in venue.quoters)])
    for account in (buyer, buyer + 1):
        add(EventKind.ACCOUNT, account=account, ref_id=account)
        for number, asset in enumerate(venue.assets):
            add(EventKind.DEPOSIT, account=account, asset=number, amount_lo=DEPOSIT * 10**asset.decimals)
    for name, fact in row.trades.items():
        number = venue.number("markets", name)
        price = units.decimal_to_int(figures[fact], venue.markets[number].price_decimals)
        for account, side, tif in ((buyer, Side.BUY, Tif.GTC), (buyer + 1, Side.SELL, Tif.IOC)):
            order = {"market": number, "side": side, "price": price, "qty": LOTS, "tif": tif}
            add(EventKind.ORDER, account=account, ref_id=account * 100 + number, **order)
    add(EventKind.CLOCK)
    return np.concatenate(rows)
