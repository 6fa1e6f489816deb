"""What a balance counts for: weights by tiers and by size, of initial margin, by what all hold; both twins against fractions."""
# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import random
from fractions import Fraction
from math import isqrt

import pytest

import fuzz.twin as twins
from engine.exchange import Exchange as Engine
from fuzz.twin import Lockstep
from riskbed.vectors import collateral
from riskbed.vectors import run as running
from riskbed.vectors.vector import plain, read
from specs import laws, rules, units
from specs.errors import SpecError
from specs.load import load
from specs.model.exchange import Exchange as Model
from specs.model.margin import Haircut
from specs.tape import OutcomeKind
from tests.twins import START_NS, play, small_venue, tape, twin  # noqa: F401

USD, ONE = 1, 10**4
TIERS = {"weight_ppm": 980_000, "tiers": [{"qty_from": 20, "weight_ppm": 977_500}, {"qty_from": 25, "weight_ppm": 0}]}
SIZED = {"weight_ppm": 900_000, "imf_factor_ppm": 10_000, "weight_unit_ppm": 100}


def asked(exchange_of, rows: str = "", **row):
    """Return an exchange in which USD is priced at 1, after some rows."""
    exchange = exchange_of(small_venue(collateral_row=row), START_NS)
    exchange.run(tape(small_venue(collateral_row=row), "0    source usd 1    | ...\n" + rows))
    return exchange


# ---- by hand


@pytest.mark.parametrize(
    ("held", "counts", "weight_ppm"),
    [
        (0, 0, 980_000),
        (10, 9_8000, 980_000),
        (20, 19_6000, 980_000),
        (24, 23_5100, 977_500),
        (25, 24_4875, 977_500),
        (26, 24_4875, 0),
    ],
)
def test_each_slice_counts_at_its_own_weight(twin, held, counts, weight_ppm):
    exchange = asked(twin, **TIERS)
    assert exchange.collateral_value(USD, held * ONE) == counts == exchange.collateral_value(USD, held * ONE, True)
    assert exchange.collateral_weight(USD, held * ONE) == weight_ppm


def test_a_large_balance_counts_for_less_by_its_root(twin):
    """1.1 / (1 + 0.01 sqrt(1,000)) = 0.83573: of 1,000 USD 835.70 count; up to 494 USD 0.9 does, and a debt costs the more."""
    exchange = asked(twin, **SIZED, liability_weight_ppm=1_100_000)
    assert exchange.size_weight(USD, 1_000 * ONE) == exchange.collateral_weight(USD, 1_000 * ONE) == 835_700
    assert exchange.collateral_value(USD, 1_000 * ONE) == 835_7000
    assert exchange.collateral_weight(USD, 493 * ONE) == 900_000 and exchange.collateral_value(USD, 493 * ONE) == 443_7000
    assert exchange.collateral_weight(USD, -1_000 * ONE) == 1_196_200  # 0.88 + 0.01 sqrt(1,000)
    assert exchange.collateral_value(USD, -1_000 * ONE) == -1_196_2000
    assert exchange.collateral_weight(USD, -100 * ONE) == 1_100_000  # 0.98 is less
    assert exchange.collateral_weight(USD, -(10**12) * ONE) == units.LIABILITY_WEIGHT_MAX_PPM


def test_initial_margin_is_asked_of_less_than_the_trigger_sees(twin):
    """100 USD: 90 to the trigger, 60 to the gates; so 60 of margin open no more than 12 lots at leverage 20."""
    rows = """
    0    source coin 100              | ...
    0    account 16                   | OPENED 16
    0    deposit 16 USD 100           | ...
    """
    play(
        twin,
        small_venue(collateral_row={"initial_weight_ppm": 600_000}),
        "0    source usd 1    | ..." + rows + "1    buy 16 COINUSDT 13 @100 #1      | REJECT INSUFFICIENT_MARGIN\n"
        "    1    buy 16 COINUSDT 12 @100 #2      | ACCEPTED 16 buy 12 @100 #2",
    )
    exchange = asked(twin, rows, initial_weight_ppm=600_000)
    assert (exchange.equity(16), exchange.equity(16, True)) == (90_0000, 60_0000)


CROWD = """
    0    account 16                   | ...
    0    account 17                   | ...
    0    deposit 16 USD 100           | ...
    0    deposit 17 USD 300           | ...
"""


def test_what_all_hold_scales_the_weight_when_the_price_is_published(twin):
    """At 1.00 the 400 USD are worth twice what counts: 0.9 becomes 0.45; at 2.00 a quarter is left; the trigger sees 0.9."""
    exchange = asked(twin, CROWD, deposits_max=200)
    assert exchange.equity(16, True) == 90_0000
    exchange.run(tape(exchange_venue(), "1    source usd 1.01    | ...\n    2    source usd 1    | ...\n"))
    assert exchange.state()["weights"] == [(USD, 450_000)]
    assert (exchange.equity(16), exchange.equity(16, True)) == (90_0000, 45_0000)
    exchange.run(tape(exchange_venue(), "3    withdraw 17 USD 300    | ...\n"))
    assert exchange.equity(16, True) == 45_0000  # until a price is published
    exchange.run(tape(exchange_venue(), "4    source usd 2    | ...\n"))
    assert exchange.equity(16, True) == 180_0000


def exchange_venue() -> rules.Venue:
    return small_venue(collateral_row={"deposits_max": 200})


def test_a_scaled_weight_is_told(twin):
    rows = CROWD + "    1    source usd 2    | INDEX USD 2 of 1; COLLATERAL USD 2 at 225000 ppm"
    play(twin, exchange_venue(), "0    source usd 1    | INDEX USD 1 of 1; COLLATERAL USD 1 at 900000 ppm" + rows)


def test_the_trigger_may_apply_a_part_of_the_haircut(twin):
    """Half of it: 0.5 + 0.25; two thirds of it back: 0.5 + 1/3, rounded down once."""
    rows = "    0    account 16    |\n    0    deposit 16 USD 100    |\n"
    half = asked(twin, rows, weight_ppm=500_000, trigger_haircut={"part": 1, "of": 2})
    assert (half.equity(16), half.equity(16, True)) == (75_0000, 50_0000)
    third = asked(twin, rows, weight_ppm=500_000, trigger_haircut={"part": 1, "of": 3})
    assert third.equity(16) == 83_3333 and third.collateral_value(USD, 300 * ONE) == 250_0000


# ---- against fractions


def drawn_row(draw: random.Random) -> dict:
    """Return the weights of a collateral row, of any kind."""
    kind = draw.randrange(4)
    row: dict = {
        "weight_ppm": draw.choice((0, 1, 500_000, 900_001, units.PPM)),
        "liability_weight_ppm": draw.choice((10**6, 1_234_567)),
    }
    if kind == 0:
        floors = sorted(draw.sample(range(1, 10**6), draw.randint(1, 4)))
        weights = sorted((draw.randint(0, row["weight_ppm"]) for _ in floors), reverse=True)
        row["tiers"] = [{"qty_from": f"{q // 100}.{q % 100:02d}", "weight_ppm": w} for q, w in zip(floors, weights)]
    if kind == 1:
        row |= {
            "imf_factor_ppm": draw.choice((1, 3_000, 77_777, units.PPM)),
            "weight_unit_ppm": draw.choice((1, 10, 999, 100_000)),
        }
    if kind in (2, 1) and draw.randrange(2):
        row |= {"initial_weight_ppm": draw.randint(0, row["weight_ppm"])}
    if draw.randrange(3) == 0:
        row |= {"trigger_haircut": {"part": draw.randint(0, 6), "of": 7}}
    return row


def exact_weight(row: dict, balance: int, base: int) -> Fraction:
    """Return min(base, 1.1 / (1 + f sqrt(q))) rounded down to the unit, as a fraction of 1; by a root with room to spare."""
    unit, factor = row.get("weight_unit_ppm", 1), row.get("imf_factor_ppm", 0)
    if not factor:
        return Fraction(base // unit * unit, units.PPM)
    root = Fraction(isqrt(balance * 10**60 // ONE), 10**30)
    size = Fraction(11, 10) / (1 + Fraction(factor, units.PPM) * root)
    return Fraction(min(base, int(size * units.PPM)) // unit * unit, units.PPM)


def test_values_are_those_of_fractions_and_more_never_counts_for_less(twin):
    draw = random.Random(5)
    for _ in range(60):
        row = drawn_row(draw)
        exchange, price = asked(twin, f"1    source usd {draw.choice(('0.37', '1', '12345.67'))}    | ...\n", **row), 0
        price = Fraction(exchange.state()["collateral"][0][5], 100)
        cut = Fraction(row["trigger_haircut"]["part"], row["trigger_haircut"]["of"]) if "trigger_haircut" in row else Fraction(1)
        before = {True: 0, False: 0}
        steps = sorted(draw.randint(0, 10 ** draw.randint(1, 14)) for _ in range(40))
        for balance in sorted({x + k for x in steps for k in (0, 1)}):
            for initial in (True, False):
                base = row.get("initial_weight_ppm", row["weight_ppm"]) if initial else row["weight_ppm"]
                if "tiers" in row:
                    floors = [Fraction(0), *(Fraction(tier["qty_from"]) * ONE for tier in row["tiers"]), Fraction(10**40)]
                    weights = [row["weight_ppm"], *(tier["weight_ppm"] for tier in row["tiers"])]
                    slices = zip(weights, floors, floors[1:])
                    counted = sum(max(Fraction(0), min(Fraction(balance), up) - low) * w for w, low, up in slices) / units.PPM
                else:
                    counted = balance * exact_weight(row, balance, base)
                if not initial:
                    counted = counted * cut + balance * (1 - cut)
                value = exchange.collateral_value(USD, balance, initial)
                unit = row.get("weight_unit_ppm", 1) if row.get("imf_factor_ppm") else 0
                lowest, room = counted * price, Fraction(unit * balance, units.PPM) * price
                assert int(lowest) - 1 <= value <= lowest + room, (row, balance, initial)
                assert value >= before[initial], (row, balance, initial)
                before[initial] = value
                if balance:
                    debt = row["liability_weight_ppm"]
                    assert exchange.collateral_value(USD, -balance) <= -balance * price * debt / units.PPM * Fraction(8, 10), row
    assert exchange.size_weight(USD, 0) in (None, 1_100_000 // row.get("weight_unit_ppm", 1) * row.get("weight_unit_ppm", 1))


def test_the_least_balance_for_a_debt_is_the_least(twin):
    draw = random.Random(6)
    for _ in range(30):
        exchange = asked(twin, **drawn_row(draw))
        for debt in (0, 1, draw.randint(1, 10**9)):
            needed = exchange.collateral_needed(USD, debt)
            if needed is None:
                assert exchange.collateral_value(USD, units.BALANCE_MAX, True) < debt
                continue
            assert exchange.collateral_value(USD, needed, True) >= debt
            assert not needed or exchange.collateral_value(USD, needed - 1, True) < debt
        sold = exchange.conversion_needed(USD, 98_0000)
        assert sold == 100 * ONE  # the treasury pays 0.98


def test_the_twins_answer_alike():
    draw = random.Random(7)
    for _ in range(60):
        row = drawn_row(draw) | ({"deposits_max": draw.randint(0, 500)} if draw.randrange(2) else {})
        if "tiers" in row:
            row.pop("deposits_max", None)
        pair = [asked(exchange_of, CROWD + "1    source usd 1.07    | ...", **row) for exchange_of in (Model, Engine)]
        assert pair[0].state() == pair[1].state()
        for _ in range(40):
            balance, initial = draw.randint(-(10 ** draw.randint(1, 23)), 10 ** draw.randint(1, 23)), bool(draw.randrange(2))
            for query in ("collateral_value", "collateral_weight"):
                ours, theirs = (getattr(exchange, query)(USD, balance, initial) for exchange in pair)
                assert ours == theirs, (row, query, balance, initial)
            debt = abs(balance) // 1_000
            for query in ("size_weight", "collateral_needed", "conversion_needed"):
                assert getattr(pair[0], query)(USD, debt) == getattr(pair[1], query)(USD, debt), (row, query, debt)
        assert [pair[0].equity(16, x) for x in (True, False)] == [pair[1].equity(16, x) for x in (True, False)]


@pytest.mark.parametrize(
    "query", ["collateral_value", "collateral_weight", "size_weight", "collateral_needed", "conversion_needed"]
)
def test_who_asks_for_what_is_not_there_is_told(twin, query):
    exchange = asked(twin)
    with pytest.raises(ValueError, match="asset 0 is no collateral here"):
        getattr(exchange, query)(0, 1)
    with pytest.raises(ValueError, match="out of bounds"):
        getattr(exchange, query)(USD, units.BALANCE_MAX + 1)
    with pytest.raises(ValueError, match="account 16 is not open"):
        exchange.equity(16)


# ---- more collateral never liquidates earlier

FALL = """
    0    source coin 100              | ...
    0    account 16                   |
    0    account 17                   |
    0    deposit 16 USD {held}        |
    0    deposit 17 USDT 100000       |
    1    buy 16 COINUSDT 10 @100 #1   | ...
    1    sell 17 COINUSDT 10 @100 #2  | ...
"""


@pytest.mark.parametrize(
    "row",
    [
        {},
        TIERS | {"tiers": [{"qty_from": 60, "weight_ppm": 500_000}, {"qty_from": 120, "weight_ppm": 0}]},
        SIZED | {"imf_factor_ppm": 60_000, "weight_unit_ppm": 50_000},
        {"trigger_haircut": {"part": 2, "of": 3}},
        {"initial_weight_ppm": 800_000, "deposits_max": 40},
    ],
)
def test_more_collateral_never_liquidates_earlier(twin, row):
    """At fixed prices and book: the liquidation price only falls as the long holds more, and so does where it is liquidated."""
    prices = []
    venue = small_venue(collateral_row=row)
    for held in range(130, 260, 3):
        rows = "    0    source usd 1    | ..." + FALL.format(held=held)
        exchange = twin(venue, START_NS)
        exchange.run(tape(venue, rows))
        if not exchange.state()["positions"]:
            continue
        price = exchange.liquidation_price(16, 0) or 0
        prices.append(price)
        for said, hit in ((price + 1, False), (price, True)):
            if 0 < said < 100_00:
                probe = twin(venue, START_NS)
                probe.run(tape(venue, rows + f"    2    source coin {said // 100}.{said % 100:02d}    | ..."))
                assert (OutcomeKind.LIQUIDATION in probe.outcomes()["kind"]) == hit
    assert len(prices) > 10 and prices == sorted(prices, reverse=True)


# ---- planted bugs


@pytest.mark.checked
def test_a_weight_that_knows_no_cap_is_found():
    """56: what all hold never scales the weight of initial margin: the twins differ, and L6 says so of the engine alone."""
    rows = "0    source usd 1    | ..." + CROWD + "    1    source usd 2    | ..."
    with pytest.raises(twins.TwinsDiffer):
        Lockstep(exchange_venue(), START_NS, planted=56, right="engine").run(tape(exchange_venue(), rows))
    broken = Engine(exchange_venue(), START_NS, (), 56)
    found = []
    for event in tape(exchange_venue(), rows):
        before = broken.state()
        out = broken.apply(event)
        found += [row.law for row in laws.breaches(exchange_venue(), before, event.tobytes(), out, broken.state())]
    assert found == ["L6"]


@pytest.mark.checked
def test_a_step_that_takes_back_is_found():
    """57: just beyond a step of the rounded weight a balance counts for less than one unit less of it does."""
    row = SIZED | {"weight_unit_ppm": 100_000}
    exchange = Engine(small_venue(collateral_row=row), START_NS, (), 57)
    exchange.run(tape(small_venue(collateral_row=row), "0    source usd 1    | ..."))
    step = next(q for q in range(1, 10**8, 1_000) if exchange.collateral_weight(USD, q) < 900_000)
    assert exchange.collateral_value(USD, step) < exchange.collateral_value(USD, step - 1_000)
    right = asked(Engine, **row)
    assert right.collateral_value(USD, step) >= right.collateral_value(USD, step - 1_000)


# ---- rows that no exchange can have


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tiers": [{"qty_from": 0, "weight_ppm": 1}]}, "0 overlaps the tier before it"),
        ({"tiers": [{"qty_from": 5, "weight_ppm": 2}, {"qty_from": "4.5", "weight_ppm": 1}]}, "4.5 overlaps the tier before it"),
        ({"tiers": [{"qty_from": "0.00001", "weight_ppm": 0}]}, "0.00001"),
        ({"tiers": [{"qty_from": 5, "weight_ppm": 1}], "imf_factor_ppm": 1}, "a weight by tiers is no other weight too"),
        ({"initial_weight_ppm": 900_001}, "900001 is above weight_ppm"),
        ({"weight_unit_ppm": 10}, "no weight of this row is rounded"),
        ({"trigger_haircut": {"part": 2, "of": 2}}, "2 of 2 is no part of it"),
        ({"liability_weight_ppm": 10**7 + 1}, "10000000"),
    ],
)
def test_a_wrong_row_is_refused(row, said):
    with pytest.raises(ValueError, match=said):
        small_venue(collateral_row=row)


def test_a_wrong_tier_is_said_with_its_place(tmp_path):
    file = tmp_path / "venue.json"
    file.write_text(
        small_venue(collateral_row=TIERS).model_dump_json(exclude_defaults=True).replace('"qty_from":25', '"qty_from":19')
    )
    with pytest.raises(SpecError, match=r"venue\.json:1:\d+: .*19 overlaps the tier before it"):
        load(file, rules.Venue)


# ---- vectors


def formula(kind: str, given: dict, venue: str) -> dict[str, Fraction]:
    """Return the numbers that the formula of a kind gives."""
    number = lambda row, key, default=0: Fraction(row.get(key, default))  # noqa: E731
    if kind == "collateral_value":
        return {"collateral_value": sum((_worth(row) for row in given["assets"]), Fraction(0))}
    if kind == "collateral_needed":
        value = number(given, "debt_usd") / number(given, "weight")
        return {"collateral_value_usd": value, "collateral_qty": value / number(given, "price")}
    if kind == "collateral_weight":
        base, unit = number(given, "base_weight"), number(given, "weight_unit")
        down = lambda x: x // unit * unit  # noqa: E731
        root = Fraction(isqrt(int(number(given, "qty") * 10**60)), 10**30)
        if given["method"] == "deposit_scale":
            deposits = number(given, "total_deposits_qty") * number(given, "price")
            return {"weight": down(base * min(Fraction(1), number(given, "scale_start_usd") / deposits))}
        if given["method"] == "size_premium":
            return {"weight": down(max(base, base * Fraction(8, 10) + number(given, "imf_factor") * root))}
        size = Fraction(11, 10) / (1 + number(given, "imf_factor") * root)
        return {"size_weight": down(size), "weight": down(min(base, size))}
    parts = {"weighted_usd": (1, 1), "partial_threshold_usd": (1, 2), "full_threshold_usd": (1, 3)}
    rows = [(number(row, "qty") * number(row, "price"), number(row, "weight")) for row in given["collateral"]]
    return {name: sum(v * (1 - (1 - w) * Fraction(*part)) for v, w in rows) for name, part in parts.items()}


def _worth(row: dict) -> Fraction:
    if "price" not in row or not ("weight" in row or "tiers" in row):
        return Fraction(0)
    tiers = row.get("tiers") or [{"floor_qty": "0", "weight": row["weight"]}]
    floors = [Fraction(tier["floor_qty"]) for tier in tiers] + [Fraction(10**30)]
    slices = zip((Fraction(tier["weight"]) for tier in tiers), floors, floors[1:])
    return Fraction(row["price"]) * sum(w * max(Fraction(0), min(Fraction(row["qty"]), up) - low) for w, low, up in slices)


def changed(value, factor=Fraction(9, 10)):
    """Yield a structure with one figure changed, for each of its figures."""
    if isinstance(value, dict):
        for key in value:
            if key not in ("asset", "method", "weight_unit"):
                yield from (value | {key: other} for other in changed(value[key], factor))
    elif isinstance(value, list):
        for i, row in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in changed(row, factor))
    else:
        yield plain(Fraction(value) * factor)


@pytest.mark.needs_shared("vectors/collateral_value.yaml")
@pytest.mark.parametrize(
    ("kind", "inputs"), [("collateral_value", 25), ("collateral_weight", 16), ("collateral_needed", 6), ("borrow_health", 11)]
)
def test_every_input_of_a_vector_counts(shared, kind, inputs):
    """Each figure of each vector, changed: both twins give what the formula gives for it."""
    judged = 0
    answer = running.run(shared / "vectors", kind)
    assert not answer.failed + answer.unmodelled
    for vector, _ in read(shared / "vectors" / f"{kind}.yaml"):
        up = vector.given.get("method") == "size_premium"  # no debt counts for less than it is
        for given in changed(vector.given, Fraction(11, 10) if up else Fraction(9, 10)):
            judged += 1
            for which in running.TWINS:
                found = running.KINDS[kind](vector.model_copy(update={"given": given}), twins.twin_class(which))
                for name, want in formula(kind, given, vector.rules).items():
                    assert abs(Fraction(found[name]) - want) < Fraction(1, 10**6), (vector.id, given, name, which)
                if kind == "borrow_health":
                    borrowed = Fraction(given["borrowed_usd"])
                    verdicts = {name: "yes" if borrowed > want else "no" for name, want in formula(kind, given, "").items()}
                    assert found["partial_liquidation"] == verdicts["partial_threshold_usd"]
                    assert found["full_liquidation"] == verdicts["full_threshold_usd"]
    assert judged == inputs


def test_what_no_row_can_say_is_named(tmp_path):
    with pytest.raises(collateral.Unmodelled, match="weights are whole ppm"):
        collateral.ppm("0.00000001")
    assert Haircut(small_venue(collateral_row=TIERS), small_venue(collateral_row=TIERS).collateral[0]).tiers[1] == (
        20 * ONE,
        977_500,
    )
