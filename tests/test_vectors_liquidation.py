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


def size_by_formula(rule: str, given: Given) -> dict[str, Any]:
    if rule == "drift":
        short_of, rate, fee, insurance = of(
            given, "margin_shortage_usd", "margin_rate", "liquidator_fee_rate", "insurance_fee_rate"
        )
        price, quote, unit = of(given, "oracle_price", "quote_price", "qty_unit")
        freed = price * quote * (rate - fee) - price * insurance
        return {"close_qty": short_of / freed // unit * unit} if freed > 0 else {}
    if rule == "okx":
        qty, tier = of(given, "position_qty", "tier1_max_qty")
        return {"close_qty": qty - tier}
    qty, rate, full, most, book = of(given, "position_qty", "disposal_rate", "full_disposal_qty", "max_book_rate", "book_qty")
    return {"close_qty": min(rate * qty if qty > full else qty, most * book)}


def cap_by_formula(rule: str, given: Given) -> dict[str, Any]:
    if given["method"] == "time_share":
        short_of, small, initial, elapsed, duration = of(
            given, "margin_shortage_usd", "small_shortage_usd", "initial_share", "elapsed_slots", "duration_slots"
        )
        return {"max_share": Fraction(1) if short_of < small else min(Fraction(1), initial + elapsed / duration)}
    if given["method"] == "block_limit":
        keys = "max_notional_usd", "used_notional_usd", "max_insurance_lost_usd", "used_insurance_lost_usd"
        most, used, most_lost, lost = of(given, *keys)
        zero = Fraction(0)
        return {"remaining_notional_usd": max(zero, most - used), "remaining_insurance_lost_usd": max(zero, most_lost - lost)}
    notional, share, least = of(given, "position_notional_usd", "max_share", "min_notional_usd")
    return {"min_close_usd": min(least, notional), "max_close_usd": min(notional, max(share * notional, least))}


def fee_by_formula(rule: str, given: Given) -> dict[str, Any]:
    base, most, elapsed, grace, step = of(
        given, "base_fee_rate", "max_fee_rate", "elapsed_slots", "grace_slots", "fee_rate_per_slot"
    )
    return {"fee_rate": base if elapsed < grace else min(most, base + elapsed * step)}


def insurance_fee_by_formula(rule: str, given: Given) -> dict[str, Any]:
    short_of, qty, rate, discount, price, most, share = of(
        given,
        "margin_shortage_usd",
        "position_qty",
        "margin_rate",
        "liquidator_fee_rate",
        "oracle_price",
        "max_fee_rate",
        "share",
    )
    return {"fee_rate": min(most, share * max(Fraction(0), rate - discount - short_of / (qty * price)))}


FORMULAS = {
    "liquidation_trigger": trigger_by_formula,
    "partial_liquidation_size": size_by_formula,
    "liquidation_cap": cap_by_formula,
    "liquidation_fee_rate": fee_by_formula,
    "insurance_fee_rate": insurance_fee_by_formula,
}
PASSED = {
    "liquidation_trigger": 10,
    "partial_liquidation_size": 7,
    "liquidation_cap": 3,
    "liquidation_fee_rate": 2,
    "insurance_fee_rate": 2,
}


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
