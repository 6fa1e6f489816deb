"""Which state an account is in: kind liquidation_trigger.

hyperliquid, flox, gmx: the account is liquidated or not, in the book or by the backstop, and for which Reason. binance: the level
of margin calls that it is told. okx: the least equity a unit of notional at which it is not liquidated, closing fee counted.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from riskbed.vectors.desk import Desk, Held, bracket, places, whole_ppm
from riskbed.vectors.vector import Unmodelled, Vector, number, plain
from specs.tape import OutcomeKind, Reason

CLOSES = {"kind": "takeover"}
END = {"kind": "write_off"}
BOUND = {"kind": "mark", "ppm": 0}
SLICES_FROM = "2/3"  # hyperliquid: of maintenance; below it the backstop takes the account
CALLS = [
    {"name": "reminder", "at_most": "1.5"},
    {"name": "reduce_only", "at_most": "1.2"},
    {"name": "liquidation", "at_most": "1.05"},
    {"name": "liquidation_claim", "at_most": "1"},
]
ROOM = Fraction(2)  # the entry price of a position that is marked at 1: it has lost as much as it is worth


def _liquidation(stages: list[dict], **rows: Any) -> dict[str, Any]:
    return {"trigger": "maintenance_gt_equity", "stages": [*stages, END]} | rows


def _account(exchange_of: Callable, equity: Fraction, maintenance: Fraction, liquidation: dict[str, Any]) -> Desk:
    """Return a desk whose client will have this equity and this maintenance: half of a long's notional, marked at 1."""
    if maintenance <= 0:
        raise Unmodelled("an account without maintenance")
    held = Held(2 * maintenance, ROOM, Fraction(1), {"brackets": [bracket(Fraction(1, 2))]})
    return Desk(exchange_of, [held], equity + held.qty, liquidation)


def _hyperliquid(given: dict[str, Any], exchange_of: Callable) -> dict[str, str]:
    stages = [{"kind": "book", "bound": BOUND, "enter": {"at_least": SLICES_FROM}}, CLOSES | {"enter": {"below": SLICES_FROM}}]
    desk = _account(exchange_of, number(given["equity"]), number(given["maintenance_margin"]), _liquidation(stages))
    kinds = {o.kind for o in desk.move()}
    if OutcomeKind.LIQUIDATION not in kinds:
        return {"stage": "healthy"}
    return {"stage": "backstop" if OutcomeKind.TAKEOVER in kinds else "book" if _visited(desk, "BOOK") else "nowhere"}


def _visited(desk: Desk, stage: str) -> bool:
    return desk.exchange.visits()[f"STAGE_{stage}"] > 0


def _binance(given: dict[str, Any], exchange_of: Callable) -> dict[str, str]:
    ratio = number(given["account_ratio"])
    maintenance = Fraction(10 ** places(ratio))
    desk = _account(exchange_of, ratio * maintenance, maintenance, _liquidation([], levels=CALLS))
    told = [o.qty for o in desk.move() if o.kind == OutcomeKind.MARGIN_LEVEL]
    return {"stage": CALLS[told[-1] - 1]["name"] if told and told[-1] else "normal"}


def _okx(given: dict[str, Any], exchange_of: Callable) -> dict[str, str]:
    fee = whole_ppm(number(given["taker_fee_rate"]), "a taker fee rate")
    row: dict[str, Any] = {"brackets": [bracket(number(given["maintenance_rate"]))]}
    if fee:
        row |= {"fees": {"taker_ppm": fee}, "closing": {"fee": "taker"}}
    held = Held(Fraction(100), Fraction(1), Fraction(1), row)
    desk = Desk(exchange_of, [held], Fraction(0), _liquidation([CLOSES]), money=8)
    found = desk.least_equity() / held.qty
    return {"threshold_ratio": plain(Fraction(int(found * 10**6), 10**6))}


def _flox(given: dict[str, Any], exchange_of: Callable) -> dict[str, str]:
    of = lambda row, key: number(row[key])  # noqa: E731
    held = [
        Held(
            *(of(row, key) for key in ("position_qty", "entry_price", "mark_price")),
            {"brackets": [bracket(of(row, "maintenance_rate"))]},
        )
        for row in given["positions"]
    ]
    desk = Desk(exchange_of, held, number(given["collateral"]), _liquidation([]), money=6)
    liquidated = any(o.kind == OutcomeKind.LIQUIDATION for o in desk.move())
    e = desk.scene().evaluate(16)
    return {
        "stage": "liquidation" if liquidated else "healthy",
        "equity": plain(desk.whole(e.equity)),
        "maintenance_margin": plain(desk.whole(e.maintenance)),
    }


def _gmx(given: dict[str, Any], exchange_of: Callable) -> dict[str, str]:
    value = lambda key: number(given.get(key, "0"))  # noqa: E731
    notional = value("notional")
    impact, fees = max(Fraction(0), -value("price_impact")), value("fees")
    if fees < 0:
        raise Unmodelled("a close that is paid for")
    ppm = impact / notional * 10**6
    closing = {"impact_ppm": int(ppm), "fixed": plain(fees)} if ppm.denominator == 1 else {"fixed": plain(fees + impact)}
    plainly: dict[str, Any] = {"brackets": [bracket(value("min_collateral_rate"), "a rate")]}
    costs = plainly | ({"closing": closing} if fees or impact else {})

    def desk_of(row: dict[str, Any]) -> Desk:
        held = Held(Fraction(1), notional - value("unrealised_pnl"), notional, row)
        if held.entry <= 0:
            raise Unmodelled("a profit as large as the position")
        money = max(6, places(fees, impact, value("min_collateral")))
        return Desk(exchange_of, [held], value("collateral"), _liquidation([]), money=money)

    desk, bare, costly = desk_of(costs | {"maintenance_min": plain(value("min_collateral"))}), desk_of(plainly), desk_of(costs)
    opened = [o for o in desk.move() if o.kind == OutcomeKind.LIQUIDATION]
    for other in (bare, costly):
        other.move()
    held, asked, beside = (each.scene().evaluate(16) for each in (desk, bare, costly))
    found = {
        "equity": plain(desk.whole(held.equity - (beside.maintenance - asked.maintenance))),
        "maintenance_margin": plain(desk.whole(asked.maintenance)),
        "stage": "liquidation" if opened else "healthy",
    }
    if opened:
        minimum = opened[0].reason == Reason.MINIMUM
        found["reason"] = "min_collateral" if minimum else "min_collateral_for_leverage"
    return found


RULES = {"hyperliquid": _hyperliquid, "binance": _binance, "okx": _okx, "flox": _flox, "gmx": _gmx}


def run(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the results of a liquidation_trigger on a twin. Raises Unmodelled."""
    if vector.rules not in RULES:
        raise Unmodelled(f"the liquidation trigger of {vector.rules}: only {', '.join(RULES)}")
    return RULES[vector.rules](vector.given, exchange_of)
