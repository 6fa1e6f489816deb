"""The insurance fund: it pays shortfalls and what slices lack, never more than it has and its row allows; it gets surpluses."""

from __future__ import annotations

from specs import rules, units
from specs.model import bankruptcy, slices
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Chart, Flow, OutcomeKind


def measure(exchange) -> int:
    """Return what stages compare with a threshold: the fund's cash; net: with the backstop's cash and positions at the marks."""
    cash = exchange.ledger.accounts[Chart.FUND].balance[exchange.numeraire]
    if exchange.venue.fund.measure == "cash":
        return cash
    return cash + exchange.cash_equity(exchange.ledger.accounts[Chart.BACKSTOP])


def available(exchange) -> int:
    """Return what the fund may pay now: its cash above its floor, and no more in one event than its row allows."""
    row, cash = exchange.venue.fund, exchange.ledger.accounts[Chart.FUND].balance[exchange.numeraire]
    free = max(0, cash - exchange.whole(row.floor))
    if row.event_max is None:
        return free
    event, paid = exchange.fund_paid
    return min(free, exchange.whole(row.event_max) - (paid if event == exchange.event else 0))


def pay(exchange, account: int, shortfall: int, most: int | None = None) -> int:
    """Pay min(available, shortfall), or less where `most` is, to the account; the rest is a FUND_SHORT. Return what was paid."""
    paid = min(available(exchange), shortfall, shortfall if most is None else most)
    if paid:
        event, before = exchange.fund_paid
        exchange.fund_paid = exchange.event, paid + (before if event == exchange.event else 0)
        exchange.flow(Flow.FUND_PAYMENT, Chart.FUND, account, exchange.numeraire, paid)
    if paid < shortfall:
        exchange.emit(OutcomeKind.FUND_SHORT, account=account, money=shortfall - paid)
    return paid


def settle_slice(exchange, account: Account, row: rules.BookStage, market: int, held: int, got: int, e: Evaluation) -> None:
    """Pay or get the insurance delta of a slice: what it brought less the bankruptcy value of the lots that it closed.

    held, e: the position and the account before the slice. What the fund gets is capped, by max_fee_ppm of what the slice
    brought, rounded up; what it pays, by what is left of the window's insurance.
    """
    lots = account.qty[market] - held
    delta = got - bankruptcy.closing_value(exchange, account, market, held, lots, e) if lots else 0
    if delta < 0:
        paid = pay(exchange, account.number, -delta, slices.insurance_left(exchange, account, row.block_limit))
        if row.block_limit is not None:
            slices.use(exchange, account, row.block_limit, 0, paid)
    fee = min(delta, units.div_ceil(abs(got) * row.insurance.max_fee_ppm, units.PPM))
    if fee > 0:
        exchange.flow(Flow.LIQUIDATION_FEE, account.number, Chart.FUND, exchange.numeraire, fee)
