"""When an account must be liquidated, and until when."""

from __future__ import annotations

from specs import rules, units
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Seam, Status


def triggered(exchange, account: Account, e: Evaluation) -> bool:
    """Return whether the account must be liquidated: maintenance against equity while it holds a position, or a debt."""
    if e.open:
        trigger = exchange.venue.liquidation.trigger
        verdict = e.maintenance >= e.equity if trigger == "maintenance_ge_equity" else e.maintenance > e.equity
        verdict = verdict or e.equity < 0
        return exchange.seams.decision(Seam.LIQUIDATION_TRIGGER, account.number, exchange.now, verdict)
    return e.equity < 0 or owes_what_it_could_sell(exchange, account)


def owes_what_it_could_sell(exchange, account: Account) -> bool:
    """Return whether an episode of a flat account goes on: its settlement balance is negative and a stage sells collateral."""
    converts = any(row.kind == "convert" for row in exchange.venue.liquidation.stages)
    return account.status != Status.NORMAL and converts and account.balance[exchange.numeraire] < 0


def compare(e: Evaluation, text: str) -> int:
    """Compare equity / maintenance with a ratio: -1 below it, 0, 1 above. A debt is below, no maintenance above every ratio."""
    if e.equity < 0 or not e.maintenance:
        return -1 if e.equity < 0 else 1
    return units.cmp_ratio(e.equity, e.maintenance, *rules.ratio(text))


def enters(e: Evaluation, row: rules.Enter | None) -> bool:
    """Return whether the condition of a stage holds."""
    if row is None:
        return True
    below = row.below is None or compare(e, row.below) < 0
    return below and (row.at_least is None or compare(e, row.at_least) >= 0)


def level(exchange, e: Evaluation) -> int:
    """Return how many levels of margin calls the account is at or below; 0 without a position."""
    return sum(compare(e, row.at_most) <= 0 for row in exchange.venue.liquidation.levels) if e.open else 0
