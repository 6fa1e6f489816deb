"""When an account must be liquidated, and until when."""

from __future__ import annotations

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
