"""Debts that the backstop takes over against collateral, as tables on both twins; the formula, by fractions.

The rule book is tests/twins.py:small_venue with a stage that transfers: USD counts at 90 %, a debt of USDT at 100 %.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import random
from fractions import Fraction

import pytest

import fuzz.twin as twins
from engine.exchange import Exchange as Engine
from fuzz.twin import Lockstep
from riskbed.vectors import run as running
from riskbed.vectors.vector import plain, read
from specs import laws, rules, units
from tests.twins import START_NS, play, small_venue, stages, tape, twin  # noqa: F401

LOST = """
    0    source coin 100               | ...
    0    source usd 1                  | ...
    0    account 16                    | ...
    0    account 17                    | ...
    0    account 18                    | ...
    0    deposit 16 USD 100            | ...
    0    deposit 17 USDT 100000        | ...
    0    deposit 18 USDT 100000        | ...
    1    buy 16 COINUSDT 16 @100 #1    | ...
    1    sell 17 COINUSDT 16 @100 #2   | ...
    2    buy 18 COINUSDT 6 @97 #3      | ...
    2    sell 16 COINUSDT 6 @97 #4     | ...
"""
"""16 has sold 6 of 16 lots at a loss of 18 USDT, which it owes; 100 USD and 10 lots entered at 100 are left."""


def venue(*without: str, rounds_max: int = 64, **fields) -> rules.Venue:
    return small_venue(
        limits={"rounds_max": rounds_max},
        liquidation={"stages": [{"kind": "cancel"}, {"kind": "transfer"} | fields, *stages("cancel", *without)]},
    )


def test_as_much_is_taken_over_as_margin_is_short_of(twin):
    """At 95.30: equity 90 - 18 - 47 = 25, maintenance 23.825. At 95.15: 23.50 and 23.7875; 0.2876 short, 1 - 0.9 gained a unit."""
    exchange = play(
        twin,
        venue(),
        LOST
        + """
    3    source coin 95.30             | INDEX COIN 95.3 of 1; MARK COINUSDT 95.3
    4    source coin 95.15             | INDEX COIN 95.15 of 1; MARK COINUSDT 95.15; LIQUIDATION 16 23.5; LIABILITY_TAKEN 2.876 USDT BACKSTOP to 16 in round 1; COLLATERAL_GIVEN 2.876 USD 16 to BACKSTOP in round 1; RESTORED 16 23.7876 ABOVE_TARGET in round 1
    """,
    )
    assert exchange.liability_taken(0, 1, 2876) == 2_8760 and exchange.collateral_given(0, 1, 2_8760) == 2_8760


def test_never_more_than_is_owed_and_the_fee_is_the_funds(twin):
    """At 90: 72 - 100 is far below: all 18 USDT go, for 18.54 USD, and 0.18 of fee; the book does the rest."""
    play(
        twin,
        venue("book", "takeover", rounds_max=1, asset_multiplier_ppm=1_030_000, insurance_fee_ppm=10_000),
        LOST
        + """
    4    source coin 93                | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 2; LIABILITY_TAKEN 18 USDT BACKSTOP to 16 in round 1; COLLATERAL_GIVEN 18.54 USD 16 to BACKSTOP in round 1; TRANSFER_FEE 0.18 USDT 16 to FUND in round 1; CARRIED 16 3.134 in round 1; BOUND 1 in round 1
    """,
    )


def test_nor_than_all_of_the_collateral_pays_for(twin):
    """No amount makes up for the shortage, as 2 x 0.9 are more than 1: all would go, but 100 USD at 0.30 pay for 15 at a half."""
    play(
        twin,
        venue("book", "takeover", rounds_max=1, asset_multiplier_ppm=2_000_000),
        LOST
        + """
    3    source coin 100               | ...
    4    source usd 0.3                | INDEX USD 0.3 of 1; COLLATERAL USD 0.3; LIQUIDATION 16 9; LIABILITY_TAKEN 15 USDT BACKSTOP to 16 in round 1; COLLATERAL_GIVEN 100 USD 16 to BACKSTOP in round 1; CARRIED 16 -3 in round 1; BOUND 1 in round 1
    """,
    )


def test_the_formula_by_fractions(twin):
    draw = random.Random(9)
    for _ in range(120):
        fields = {
            "asset_multiplier_ppm": draw.randint(500_000, 2_000_000),
            "liability_multiplier_ppm": draw.randint(500_000, 2_000_000),
            "insurance_fee_ppm": draw.choice((0, draw.randint(0, 300_000))),
            "weight_unit_ppm": draw.choice((1, 10, 1_000)),
        }
        book = venue(**fields)
        exchange = twin(book, START_NS)
        price = draw.randint(1, 10**6)
        exchange.run(tape(book, f"0    source usd {price // 100}.{price % 100:02d}    | ..."))
        m, n, fee, unit = (Fraction(x, units.PPM) for x in fields.values())
        weight = Fraction(9, 10) * m / n
        weight = weight // Fraction(1, units.PPM) * Fraction(1, units.PPM) // unit * unit
        shortage, qty = draw.randint(0, 10 ** draw.randint(1, 23)), draw.randint(0, 10 ** draw.randint(1, 23))
        gain = (1 - weight) - fee
        want = min(units.BALANCE_MAX, int(shortage / gain)) if gain > 0 else units.BALANCE_MAX
        assert exchange.liability_taken(0, 1, shortage) == want, (fields, shortage)
        given = int(qty * m / (Fraction(price, 100) * n))
        assert exchange.collateral_given(0, 1, qty) == min(given, units.BALANCE_MAX), (fields, qty, price)


def test_who_asks_for_a_transfer_without_a_stage_is_told(twin):
    with pytest.raises(ValueError, match="no stage of this rule book transfers"):
        twin(small_venue(), START_NS).liability_taken(0, 1, 1)
    with pytest.raises(ValueError, match="has no price yet"):
        twin(venue(), START_NS).collateral_given(0, 1, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"asset_multiplier_ppm": 10}, "500000"),
        ({"weight_unit_ppm": 0}, "greater than or equal to 1"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_stage_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        venue(**fields)


@pytest.mark.checked
def test_a_transfer_of_everything_is_found():
    """58: all that is owed is taken over, whatever margin is short of: the twins differ, and L10 says so of the engine alone."""
    rows, book = LOST + "    4    source coin 95.15             | ...", venue()
    with pytest.raises(twins.TwinsDiffer):
        Lockstep(book, START_NS, planted=58, right="engine").run(tape(book, rows))
    broken, found = Engine(book, START_NS, (), 58), []
    for event in tape(book, rows):
        before = broken.state()
        out = broken.apply(event)
        found += [row.law for row in laws.breaches(book, before, event.tobytes(), out, broken.state())]
    assert found == ["L10"]


def formula(given: dict) -> dict[str, Fraction]:
    """Return what the formula of a vector gives."""
    f = {key: Fraction(value) for key, value in given.items()}
    m, n, price, unit = f["asset_multiplier"], f["liability_multiplier"], f["liability_price"], f["qty_unit"]
    if "liability_qty" in f:
        return {"asset_qty": f["liability_qty"] * price * m / (f["asset_price"] * n) // unit * unit}
    weight = f["asset_weight"] * m / n // f["weight_unit"] * f["weight_unit"]
    gain = price * (f["liability_weight"] - weight) - price * f["insurance_fee_rate"] * f["liability_weight"]
    return {"liability_qty": f["margin_shortage_usd"] / gain // unit * unit}


@pytest.mark.needs_shared("vectors/liability_transfer.yaml")
def test_every_input_of_a_vector_counts(shared):
    """Each figure of each vector, changed: both twins give what the formula gives for it."""
    answer = running.run(shared / "vectors", "liability_transfer")
    assert not answer.failed + answer.unmodelled
    judged = 0
    for vector, _ in read(shared / "vectors" / "liability_transfer.yaml"):
        for key, value in vector.given.items():
            if key in ("qty_unit", "weight_unit"):
                continue
            changed = Fraction(value) * Fraction(11, 10) if Fraction(value) else Fraction(1, 100)
            given = vector.given | {key: plain(changed)}
            for which in running.TWINS:
                found = running.KINDS["liability_transfer"](vector.model_copy(update={"given": given}), twins.twin_class(which))
                assert {name: Fraction(x) for name, x in found.items()} == formula(given), (vector.id, key, which)
            judged += 1
    assert judged == 3 * 7 + 5
