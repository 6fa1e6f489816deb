"""Stage transfer: the backstop takes over what an account owes, against collateral, as much as its margin is short of.

The account gives collateral of more worth than the debt it is rid of; as a debt counts for more than it is and collateral for
less, its margin gains. A venue that lends against collateral has its liquidators do so (Drift, liquidate_spot).
"""

from __future__ import annotations

from typing import NamedTuple

from specs import rules, units
from specs.model import trigger
from specs.model.ledger import Account
from specs.model.margin import Haircut
from specs.tape import Action, Chart, Flow, Permit


class Leg(NamedTuple):
    """An asset of a transfer: quantity x price / scale is money of the numeraire; weight_ppm, of debt or collateral."""

    asset: int
    price: int
    scale: int
    weight_ppm: int


class Transfer(NamedTuple):
    """What is taken over of a liability, the fee on it, and what is given for it: quantities of the two assets."""

    liability: int
    asset: int
    qty: int
    fee: int
    given: int


def liability_qty(row: rules.TransferStage, shortage: int, liability: Leg, asset: Leg, most: int) -> int:
    """Return how much of a liability makes up for a shortage of margin, rounded down, at most `most`: all where no amount does.

    shortage / (P (L - w) - P f L): P its price, L its weight, f the insurance fee; w the asset's weight x asset_multiplier /
    liability_multiplier, rounded down to weight_unit_ppm. A shortage counts up to SHORTAGE_MAX.
    """
    given = asset.weight_ppm * row.asset_multiplier_ppm // row.liability_multiplier_ppm
    given = given // row.weight_unit_ppm * row.weight_unit_ppm
    gain = (liability.weight_ppm - given) * units.PPM - row.insurance_fee_ppm * liability.weight_ppm
    if gain <= 0:
        return most
    return min(most, min(shortage, units.SHORTAGE_MAX) * units.PPM**2 * liability.scale // (liability.price * gain))


def asset_qty(row: rules.TransferStage, qty: int, liability: Leg, asset: Leg) -> int:
    """Return what is given for a liability: qty P asset_multiplier / (asset's price liability_multiplier), rounded down.

    As the source rounds: less than a unit of the asset in the account's favour.
    """
    worth = qty * liability.price * row.asset_multiplier_ppm * asset.scale
    return worth // (asset.price * row.liability_multiplier_ppm * liability.scale)


def covered(row: rules.TransferStage, held: int, liability: Leg, asset: Leg) -> int:
    """Return what of the liability all of the collateral pays for, rounded down."""
    worth = held * asset.price * row.liability_multiplier_ppm * liability.scale
    return worth // (liability.price * row.asset_multiplier_ppm * asset.scale)


def amounts(row: rules.TransferStage, shortage: int, owed: int, held: int, liability: Leg, asset: Leg) -> Transfer | None:
    """Return the transfer of a pair: no more than is owed, nor than what is held pays for; None where the fee is all of it."""
    qty = liability_qty(row, shortage, liability, asset, owed)
    given = asset_qty(row, qty, liability, asset)
    if given > held:
        qty, given = min(qty, covered(row, held, liability, asset)), held
    fee = units.div_ceil(qty * row.insurance_fee_ppm, units.PPM)
    return Transfer(liability.asset, asset.asset, qty, fee, given) if qty > fee else None


def numeraire_leg(numeraire: int) -> Leg:
    """Return the leg of a debt of the numeraire: it is what it is."""
    return Leg(numeraire, 1, 1, units.PPM)


def debt_leg(haircut: Haircut, owed: int, price: int) -> Leg:
    return Leg(haircut.asset, price, haircut.scale, haircut.debt_weight(owed))


def asset_leg(haircut: Haircut, held: int, price: int) -> Leg:
    """Return the leg of collateral: at the weight of its last slice, before trigger_haircut."""
    return Leg(haircut.asset, price, haircut.scale, haircut.weight(held, haircut.row.weight_ppm))


def run(exchange, account: Account, row: rules.TransferStage) -> None:
    """Transfer pair by pair, what is owed of the numeraire first, then in the order of the rows, until the trigger is false."""
    for haircut in (None, *exchange.haircuts):
        for collateral in exchange.haircuts:
            pair = _pair(exchange, account, haircut, collateral)
            if pair is None:
                continue
            e = exchange.evaluate(account)
            if not trigger.triggered(exchange, account, e):
                return
            shortage = e.maintenance - e.equity + int(exchange.venue.liquidation.trigger == "maintenance_ge_equity")
            owed = -exchange.wallet(account, pair[0].asset)
            if shortage > 0 and (due := amounts(row, shortage, owed, account.balance[collateral.asset], *pair)):
                _move(exchange, account, due)


def _pair(exchange, account: Account, haircut: Haircut | None, collateral: Haircut) -> tuple[Leg, Leg] | None:
    """Return the legs of a debt (None: of the numeraire) and of collateral; None: not both are there, priced and permitted.

    What is owed of the numeraire is the wallet's: what open positions cost is no debt.
    """
    number = exchange.numeraire if haircut is None else haircut.asset
    owed, held = -exchange.wallet(account, number), account.balance[collateral.asset]
    if owed <= 0 or held <= 0 or haircut is collateral:
        return None
    for side in (haircut, collateral):
        if side and (not exchange.collateral[side.asset].last_valid or _deferred(exchange, side)):
            return None
    asset = asset_leg(collateral, held, exchange.collateral[collateral.asset].last_valid)
    if haircut is None:
        return numeraire_leg(number), asset
    return debt_leg(haircut, owed, exchange.collateral[number].last_valid), asset


def _deferred(exchange, haircut: Haircut) -> bool:
    return exchange.collateral_permit(haircut.asset, Action.CONVERT) >= Permit.DEFER


def _move(exchange, account: Account, due: Transfer) -> None:
    exchange.flow(Flow.LIABILITY_TAKEN, Chart.BACKSTOP, account.number, due.liability, due.qty)
    if due.given:
        exchange.flow(Flow.COLLATERAL_GIVEN, account.number, Chart.BACKSTOP, due.asset, due.given)
    if due.fee:
        exchange.flow(Flow.TRANSFER_FEE, account.number, Chart.FUND, due.liability, due.fee)
