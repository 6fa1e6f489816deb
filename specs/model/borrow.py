"""Interest: what a user owes of an asset costs a rate of it at whole multiples of the interval, rounded up against who owes."""

from __future__ import annotations

from specs import rules, units
from specs.tape import USERS_FROM, Chart, Flow, OutcomeKind


def next_due(row: rules.Borrow, now: int) -> int:
    """Return the first whole multiple of the interval after `now`."""
    return (now // row.every_ns + 1) * row.every_ns


def interest(row: rules.Borrow, owed: int) -> int:
    """Return what an interval costs who owes so much: nothing beyond BALANCE_MAX."""
    return units.div_ceil(owed * row.rate_ppb, units.PPB) if 0 < owed <= units.BALANCE_MAX else 0


def charge(exchange, asset: int) -> None:
    """Run one interval of an asset: every user who owes some of it pays, in the order of ids."""
    row = exchange.venue.assets[asset].borrow
    exchange.emit(OutcomeKind.INTEREST, asset=asset, price=row.rate_ppb)
    for number in sorted(exchange.ledger.accounts):
        due = interest(row, -exchange.wallet(exchange.ledger.accounts[number], asset)) if number >= USERS_FROM else 0
        if due:
            exchange.flow(Flow.INTEREST, number, Chart.LENDERS, asset, due)
