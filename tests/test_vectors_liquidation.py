"""Vectors of liquidation: each input of each vector that passes, changed, gives what the formula of its kind gives."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from fuzz import twin
from riskbed.vectors import run as running
from riskbed.vectors.vector import Unmodelled, Vector, matches, plain, read

Given = dict[str, Any]


def of(given: Given, *keys: str) -> list[Fraction]:
    return [Fraction(given.get(key, "0")) for key in keys]


def trigger_by_formula(rule: str, given: Given) -> dict[str, Any]:
    if rule == "hyperliquid":
        equity, maintenance = of(given, "equity", "maintenance_margin")
        return {"stage": "healthy" if equity >= maintenance else "book" if 3 * equity >= 2 * maintenance else "backstop"}
    if rule == "binance":
        (ratio,) = of(given, "account_ratio")
        levels = (("normal", "1.5"), ("reminder", "1.2"), ("reduce_only", "1.05"), ("liquidation", "1"))
        return {"stage": next((name for name, above in levels if ratio > Fraction(above)), "liquidation_claim")}
    if rule == "okx":
        return {"threshold_ratio": sum(of(given, "maintenance_rate", "taker_fee_rate"))}
    if rule == "flox":
        rows = [of(row, "position_qty", "entry_price", "mark_price", "maintenance_rate") for row in given["positions"]]
        equity = Fraction(given["collateral"]) + sum(q * (mark - entry) for q, entry, mark, _ in rows)
        maintenance = sum(abs(q) * mark * rate for q, _, mark, rate in rows)
        stage = "liquidation" if equity < maintenance else "healthy"
        return {"equity": equity, "maintenance_margin": maintenance, "stage": stage}
    collateral, pnl, impact, fees = of(given, "collateral", "unrealised_pnl", "price_impact", "fees")
    notional, rate, least = of(given, "notional", "min_collateral_rate", "min_collateral")
    equity, maintenance = collateral + pnl + min(Fraction(0), impact) - fees, notional * rate
    found = {"equity": equity, "maintenance_margin": maintenance, "stage": "healthy"}
    if equity < least or equity < maintenance:
        found |= {"stage": "liquidation", "reason": "min_collateral" if equity < least else "min_collateral_for_leverage"}
    return found


FORMULAS = {"liquidation_trigger": trigger_by_formula}
PASSED = {"liquidation_trigger": 10}


def changed(value: Any, factor: Fraction) -> Iterator[Any]:
    """Yield a copy of a given for each of its numbers, that one times a factor."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from (value | {key: other} for other in changed(part, factor))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in changed(part, factor))
    else:
        try:
            number = Fraction(value)
        except ValueError:
            return  # a name
        if number:
            yield plain(number * factor)


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_no_answer_is_stored(shared, kind):
    passed, asked, moved = set(running.run(shared / "vectors", kind).passed), 0, 0
    assert len(passed) == PASSED[kind]
    for vector, _ in read(shared / "vectors" / f"{kind}.yaml"):
        if vector.id not in passed:
            continue
        for factor in (Fraction(5, 4), Fraction(1, 2), Fraction(3)):
            for given in changed(vector.given, factor):
                wanted = FORMULAS[kind](vector.rules, given)
                wanted = {key: plain(x) if isinstance(x, Fraction) else x for key, x in wanted.items()}
                for which in running.TWINS:
                    try:
                        case = Vector(**vector.model_dump() | {"given": given, "expect": wanted})
                        found = running.KINDS[kind](case, twin.twin_class(which))
                    except Unmodelled:
                        continue  # a price of 0, a rate that is no whole ppm, more decimals than money has
                    asked += 1
                    assert matches(wanted, found, "0"), (vector.id, given, wanted, found)
                moved += any(wanted.get(key) != value for key, value in vector.expect.items())
    assert asked >= 4 * len(passed) and moved
