"""Debts taken over against collateral: as much as margin is short of, pair by pair, each flow exact; of L10, and of L23."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.model import transfer
from specs.model.margin import Haircut
from specs.scene import Case, Outcome, Scene
from specs.tape import Action, Flow, OutcomeKind, Permit, Stage, Status

_PARTS = (Flow.LIABILITY_TAKEN, Flow.COLLATERAL_GIVEN, Flow.TRANSFER_FEE)


def transfer_is_exact(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """What is taken over is what is due of a pair now; what is given for it and the fee follow at once, or are nothing."""
    i = next(i for i, x in enumerate(case.outcomes) if x is o)
    told = []
    for x in case.outcomes[i : i + 3]:
        if x.kind != OutcomeKind.FLOW or x.flow not in _PARTS or (told and x.flow == Flow.LIABILITY_TAKEN):
            break
        told.append((x.flow, x.asset, x.money))
    due = list(_due(scene, o.other))
    if told not in [_flows(one) for one in due]:
        yield f"account {o.other} is rid of {o.money} of asset {o.asset} by {told}, due was one of {due}"


def is_part(case: Case, o: Outcome) -> bool:
    """Return whether what a user gives belongs to a transfer: just behind what was taken over of him."""
    i = next(i for i, x in enumerate(case.outcomes) if x is o)
    taken = next((x for x in case.outcomes[max(0, i - 2) : i][::-1] if x.kind == OutcomeKind.FLOW and x.flow == _PARTS[0]), None)
    return o.stage == Stage.TRANSFER and taken is not None and taken.other == o.account


def in_liquidation(scene: Scene, o: Outcome) -> bool:
    return scene.status[o.account] == Status.LIQUIDATING and Stage.TRANSFER in scene.book.stages


def _flows(due: transfer.Transfer) -> list[tuple[Flow, int, int]]:
    given, fee = [(Flow.COLLATERAL_GIVEN, due.asset, due.given)], [(Flow.TRANSFER_FEE, due.liability, due.fee)]
    return [(Flow.LIABILITY_TAKEN, due.liability, due.qty)] + given * bool(due.given) + fee * bool(due.fee)


def _due(scene: Scene, account: int):
    """Yield the transfer of every pair that is there, priced and permitted, for the shortage of this moment."""
    row, e = scene.book.stages[Stage.TRANSFER], scene.evaluate(account)
    shortage = e.maintenance - e.equity + (scene.book.venue.liquidation.trigger == "maintenance_ge_equity")
    for debt in (None, *scene.haircuts):
        owed = -scene.wallet(account, scene.book.numeraire if debt is None else debt.asset)
        for collateral in scene.haircuts:
            held = scene.balance[account, collateral.asset]
            if owed <= 0 or held <= 0 or shortage <= 0 or debt is collateral:
                continue
            if not all(_usable(scene, side) for side in (debt, collateral) if side):
                continue
            liability = transfer.numeraire_leg(scene.book.numeraire)
            if debt is not None:
                liability = transfer.debt_leg(debt, owed, scene.collateral[debt.asset].last_valid)
            asset = transfer.asset_leg(collateral, held, scene.collateral[collateral.asset].last_valid)
            if one := transfer.amounts(row, shortage, owed, held, liability, asset):
                yield one


def _usable(scene: Scene, haircut: Haircut) -> bool:
    price = scene.collateral[haircut.asset]
    return bool(price.last_valid) and scene.permit(price, Action.CONVERT) < Permit.DEFER
