"""The insurance fund: it pays shortfalls, never more than it has."""

from __future__ import annotations

from specs.tape import Chart, Flow, OutcomeKind


def measure(exchange) -> int:
    """Return what stages compare with a threshold: the fund's cash; net: with the backstop's cash and positions at the marks."""
    cash = exchange.ledger.accounts[Chart.FUND].balance[exchange.numeraire]
    if exchange.venue.fund.measure == "cash":
        return cash
    return cash + exchange.cash_equity(exchange.ledger.accounts[Chart.BACKSTOP])


def pay(exchange, account: int, shortfall: int) -> int:
    """Pay min(available, shortfall) to the account; what is missing is a FUND_SHORT. Return what was paid."""
    available = max(0, exchange.ledger.accounts[Chart.FUND].balance[exchange.numeraire])
    paid = min(available, shortfall)
    if paid:
        exchange.flow(Flow.FUND_PAYMENT, Chart.FUND, account, exchange.numeraire, paid)
    if paid < shortfall:
        exchange.emit(OutcomeKind.FUND_SHORT, account=account, money=shortfall - paid)
    return paid
