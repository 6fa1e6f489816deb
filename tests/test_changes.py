"""Rules that change in flight, by example, on both twins: announced, in force at their time, refused whole, grandfathered.

The rule book is tests/twins.py:small_venue. 16 lots at 100 need 80 of initial margin at 20x; the table's maintenance is 40 up to
2,000 of notional, `tighter` asks 8 %, 128. Account 16 is long, 17 short, each with 120.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import pytest

from fuzz.twin import restore, start
from specs import rules, units
from specs.model.changes import compiled, table_after
from specs.model.exchange import CHANGE
from specs.model.margin import Brackets
from tests.test_model_tables import PRICED, TRADED
from tests.twins import START_NS, play, small_venue, tape, twin  # noqa: F401

TIGHT = [{"notional_max": 4_000, "leverage_max": 10, "maintenance_ppm": 80_000}]
TIGHTER = {"name": "tighter", "market": "COINUSDT", "brackets": TIGHT}
DOUBLE = {"name": "double", "market": "COINUSDT", "maintenance_scale_ppm": 2 * units.PPM, "leverage_max": 10}
CAP = {"name": "cap", "market": "COINUSDT", "leverage_max": 5}
HAIRCUT = {"name": "haircut", "collateral": "USD", "weight_ppm": 100_000}


def changing(*changes: dict, **more) -> rules.Venue:
    return small_venue(changes=list(changes), **more)


def at(seconds: int) -> str:
    return units.ns_to_instant(START_NS + seconds * units.NS)


# ---- announced, then in force


def test_a_change_is_announced_and_in_force_at_its_time(twin):
    """Maintenance rises from 40 to 128, above the 120 that both have: at 5, not before."""
    exchange = play(
        twin,
        changing(TIGHTER),
        TRADED
        + """
    2    change tighter at=5             | CHANGE_ANNOUNCED tighter from 5
    4    clock                           |
    """,
    )
    assert exchange.state()["changes"] == [(0, 1, START_NS + 5 * units.NS, 0, 0)]
    assert [row[3:] for row in exchange.state()["brackets"]] == [(20_000_000, 20, 0, 25_000, units.PPM, 0), (100_000_000, 10, 0, 50_000, units.PPM, 500_000)]
    said = exchange.apply(tape(changing(TIGHTER), "5 clock")[0])
    kinds = [row["kind"] for row in exchange.outcomes()[-len(said) // 80 :]]
    assert exchange.state()["changes"] == [(0, 0, 0, 1, START_NS + 5 * units.NS)]
    assert [row[3:] for row in exchange.state()["brackets"]] == [(40_000_000, 10, 0, 80_000, units.PPM, 0)]
    assert kinds[0] == 40 and kinds[1:3] == [11, 11]  # in force, then both are liquidated


def test_a_change_for_at_once_liquidates_at_once(twin):
    play(
        twin,
        changing(TIGHTER),
        TRADED
        + """
    2    change tighter                  | CHANGE_ANNOUNCED tighter from 2; CHANGE_EFFECTIVE tighter; LIQUIDATION 16 120; LIQUIDATION 17 120; TAKEOVER 16 long 16 @100 cash 1480 in round 1; TAKEOVER 17 short 16 @100 cash -1720 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 17 0 FLAT in round 1
    """,
    )


def test_a_row_with_dates_needs_no_event(twin):
    venue = changing(HAIRCUT | {"announced": at(2), "effective_from": at(4)}, TIGHTER | {"effective_from": at(0)})
    play(
        twin,
        venue,
        """
    0    clock                           | CHANGE_ANNOUNCED tighter from 0; CHANGE_EFFECTIVE tighter
    1    clock                           |
    3    clock                           | CHANGE_ANNOUNCED haircut from 4
    5    clock                           | CHANGE_EFFECTIVE haircut
    """,
    )


def test_an_event_moves_a_change_and_takes_it_back(twin):
    play(
        twin,
        changing(CAP, HAIRCUT | {"announced": at(3), "effective_from": at(4)}),
        PRICED
        + """
    1    withdrawn cap                   | REJECT UNKNOWN_CHANGE
    1    change cap at=3                 | CHANGE_ANNOUNCED cap from 3
    1    change cap at=4                 | CHANGE_ANNOUNCED cap from 4
    3.5  clock                           | CHANGE_ANNOUNCED haircut from 4
    3.5  withdrawn cap                   | CHANGE_ENDED cap USER
    3.5  withdrawn haircut               | CHANGE_ENDED haircut USER
    9    clock                           |
    9    change cap at=8                 | REJECT BAD_EFFECTIVE
    9    raw kind=20 ref_id=0 qty=-1     | REJECT BAD_EFFECTIVE
    9    raw kind=20 ref_id=0 qty=0x4000000000000001 | REJECT BAD_EFFECTIVE
    9    change 2                        | REJECT UNKNOWN_CHANGE
    9    raw kind=20 ref_id=0x7fffffffffffffff | REJECT UNKNOWN_CHANGE
    9    withdrawn 2                     | REJECT UNKNOWN_CHANGE
    9    change cap at=9                 | CHANGE_ANNOUNCED cap from 9; CHANGE_EFFECTIVE cap
    """,
    )


def test_a_cap_of_leverage_binds_whoever_opens_and_moves_no_maintenance(twin):
    """10 lots need 50 at 20x, and 200 at 5x; who holds them is not liquidated, and may close."""
    play(
        twin,
        changing(CAP),
        TRADED
        + """
    2    change cap                      | CHANGE_ANNOUNCED cap from 2; CHANGE_EFFECTIVE cap
    2    leverage 16 COINUSDT 6          | REJECT BAD_LEVERAGE
    2    leverage 16 COINUSDT 5          | LEVERAGE_SET 16 5
    2    buy 16 COINUSDT 1 @100 #3       | REJECT INSUFFICIENT_MARGIN
    2    sell 16 COINUSDT 10 @100 #3     | ACCEPTED 16 sell 10 @100 #3
    """,
    )


def test_a_haircut_that_changes_values_collateral_anew(twin):
    """200 USD count 180, then 20; 16 lots at 100 want 40."""
    exchange = play(
        twin,
        changing(HAIRCUT),
        PRICED
        + """
    1    account 16                     | OPENED 16
    1    account 17                     | OPENED 17
    1    deposit 16 USD 200             | DEPOSIT 200 USD OUTSIDE to 16
    1    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    change haircut at=3            | CHANGE_ANNOUNCED haircut from 3
    2    withdraw 16 USD 100            | WITHDRAWAL 100 USD 16 to OUTSIDE
    3    clock                          | CHANGE_EFFECTIVE haircut; LIQUIDATION 16 10; TAKEOVER 16 long 16 @100 cash 1502 in round 1; CONVERT 16 100 USD @0.98 in round 1; CONVERT_CASH 98 USDT TREASURY to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert exchange.state()["haircuts"] == [(1, 100_000, units.PPM, 20_000)]


def test_a_weight_that_changes_is_that_of_initial_margin_too_and_all_deposits_scale_it_anew(twin):
    """1,000 USD are held and 500 count in full: at 0.9 half of it is 0.45, at 0.6 it is 0.3."""
    venue = changing(HAIRCUT | {"weight_ppm": 600_000}, collateral_row={"deposits_max": 500})
    rows = """
    0    account 16                     |
    0    deposit 16 USD 1000            |
    1    source coin 100                |
    1    source usd 1                   |
    2    change haircut                 |
    """
    exchange = twin(venue, START_NS)
    events = tape(venue, rows)
    exchange.run(events[:-1])
    assert exchange.state()["weights"] == [(1, 450_000)]
    exchange.run(events[-1:])
    assert exchange.state()["weights"] == [(1, 300_000)] and exchange.state()["haircuts"] == [(1, 600_000, units.PPM, 20_000)]
    assert exchange.collateral_weight(1, 1_000 * 10**4, True) == 300_000
    assert exchange.collateral_weight(1, 1_000 * 10**4, False) == 600_000


def test_the_first_of_the_tiers_of_a_weight_changes_and_the_rest_stays(twin):
    """150 USD: 100 at 0.9 and 50 at 0.5 are 115; with 0.6 for the first 85."""
    venue = changing(HAIRCUT | {"weight_ppm": 600_000}, collateral_row={"tiers": [{"qty_from": 100, "weight_ppm": 500_000}]})
    exchange = twin(venue, START_NS)
    for rows, counts in (("0 source usd 1\n0 source coin 100\n0 account 16\n0 deposit 16 USD 150", 115), ("1 change haircut", 85)):
        exchange.run(tape(venue, rows))
        assert exchange.collateral_value(1, 150 * 10**4, False) == counts * 10**4


# ---- refused whole


def test_a_change_that_would_break_a_bound_is_refused_whole(twin):
    """5 % x 3 at 10x: initial margin of 10 % below maintenance of 15 %. Nothing of it acts: not the first bracket either."""
    triple = {"name": "triple", "market": "COINUSDT", "maintenance_scale_ppm": 3 * units.PPM}
    exchange = play(
        twin,
        changing(triple, TIGHTER),
        TRADED
        + """
    2    change triple                   | REJECT CHANGE_BREAKS_BOUND
    2    change triple at=5              | REJECT CHANGE_BREAKS_BOUND
    2    clock                           |
    """,
    )
    assert exchange.state()["changes"][0] == (0, 0, 0, 0, 0)
    assert exchange.state()["brackets"][0] == (0, 0, 0, 20_000_000, 20, 0, 25_000, units.PPM, 0)


def test_a_change_is_judged_again_at_its_time_and_dropped(twin):
    """Doubled at 10x, rates are 5 % and 10 %; doubled again initial margin would be below maintenance."""
    exchange = play(
        twin,
        changing(DOUBLE, {"name": "again", "market": "COINUSDT", "maintenance_scale_ppm": 2 * units.PPM}),
        PRICED
        + """
    1    change again at=3               | CHANGE_ANNOUNCED again from 3
    1    change double at=2              | CHANGE_ANNOUNCED double from 2
    4    clock                           | CHANGE_EFFECTIVE double; CHANGE_ENDED again CHANGE_BREAKS_BOUND
    """,
    )
    assert [row[3:] for row in exchange.state()["brackets"]] == [(20_000_000, 10, 0, 50_000, units.PPM, 0), (100_000_000, 10, 0, 100_000, units.PPM, 1_000_000)]


@pytest.mark.parametrize(
    ("rows", "scale_ppm", "want"),
    [
        ([(100, 1, 600_000, 0)], 1_500_000, [(100, 1, 900_000, 0)]),
        ([(100, 1, 600_000, 0)], 1_700_000, None),  # a rate of 102 %
        ([(100, 2, 400_000, 0)], 1_300_000, None),  # initial margin of 50 %, maintenance of 52 %
        ([(100, 5, 10_001, 0)], 1_000_001, [(100, 5, 10_002, 0)]),  # rounded up to a ppm
        ([(10**6, 5, 10_000, 0), (10**7, 5, 20_000, 10_000)], 1_100_000, [(10**6, 5, 11_000, 0), (10**7, 5, 22_000, 11_000)]),
        ([(10, 5, 10_000, 0), (10**7, 5, 110_000, 1)], 1_100_000, None),  # an amount of 1.1 units of money
    ],
)
def test_scaled_rates_keep_maintenance_continuous_or_are_refused(rows, scale_ppm, want):
    venue = changing({"name": "x", "market": "COINUSDT", "maintenance_scale_ppm": scale_ppm})
    (change,) = compiled(venue, START_NS)
    after = table_after(Brackets(venue, venue.markets[0]).with_rows([_row(*row) for row in rows]), change)
    assert after == (None if want is None else [_row(*row) for row in want])


def _row(cap: int, leverage: int, rate_ppm: int, amount: int, initial_ppm: int | None = None) -> rules.Requirement:
    return rules.Requirement(cap, leverage, initial_ppm, rate_ppm, units.PPM, amount)


@pytest.mark.parametrize(
    ("margin", "rows", "want"),
    [
        ({"tiers": "whole"}, [(100, 5, 10_001, 0), (900, 5, 100_000, 0)], [(100, 5, 15_002, 0), (900, 5, 150_000, 0)]),
        ({}, [(900, 9, 100_000, 0, 150_000)], [(900, 9, 150_000, 0, 150_000)]),  # the bracket's own initial rate covers it
        ({}, [(900, 9, 100_000, 0, 149_999)], None),
        ({"leverage": "divides"}, [(900, 2, 100_000, 0, 300_000)], [(900, 2, 150_000, 0, 300_000)]),
        ({"leverage": "divides"}, [(900, 2, 100_000, 0, 299_999)], None),
    ],
)
def test_rates_scaled_by_a_half_keep_what_the_margin_row_says(margin, rows, want):
    own = {"initial_ppm": 900_000} if margin.get("leverage") else {}
    brackets = [{"notional_max": 4_000, "leverage_max": 5, "maintenance_ppm": 80_000} | own]
    scaled = {"name": "x", "market": "COINUSDT", "maintenance_scale_ppm": 1_500_000}
    venue = changing(scaled, market={"brackets": brackets, "margin": margin, "leverage_default": 5})
    (change,) = compiled(venue, START_NS)
    after = table_after(Brackets(venue, venue.markets[0]).with_rows([_row(*row) for row in rows]), change)
    assert after == (None if want is None else [_row(*row) for row in want])


# ---- grandfathering


def test_positions_of_before_keep_their_maintenance_until_they_grow(twin):
    """128 are asked of 16 lots now, 40 of those that were there. 18 comes later and has the new table; 16 grows by one lot."""
    exchange = play(
        twin,
        changing(TIGHTER | {"grandfather": {}}),
        TRADED
        + """
    1    account 18                      | OPENED 18
    1    deposit 18 USDT 1000            | DEPOSIT 1000 USDT OUTSIDE to 18
    2    change tighter                  | CHANGE_ANNOUNCED tighter from 2; CHANGE_EFFECTIVE tighter 2 kept
    2    sell 16 COINUSDT 6 @100 #3      | ACCEPTED 16 sell 6 @100 #3
    2    buy 18 COINUSDT 6 @100 #4       | ACCEPTED 18 buy 6 @100 #4; FILL 18 buy 6 @100 from 16 #3
    """,
    )
    assert exchange.state()["grandfathered"] == [(16, 0), (17, 0)]
    play_on = tape(changing(TIGHTER | {"grandfather": {}}), "3 deposit 16 USDT 20\n3 buy 16 COINUSDT 1 @100 #5\n3 sell 18 COINUSDT 1 @100 #6")
    for event in play_on:
        exchange.apply(event)
    assert exchange.state()["grandfathered"] == [(17, 0)]


def test_grandfathering_ends_at_its_time(twin):
    play(
        twin,
        changing(TIGHTER | {"grandfather": {"for_ns": 3 * units.NS}}),
        TRADED
        + """
    2    change tighter                  | CHANGE_ANNOUNCED tighter from 2; CHANGE_EFFECTIVE tighter 2 kept
    4    clock                           |
    5    clock                           | CHANGE_ENDED tighter EXPIRED 2 kept; LIQUIDATION 16 120; LIQUIDATION 17 120; TAKEOVER 16 long 16 @100 cash 1480 in round 1; TAKEOVER 17 short 16 @100 cash -1720 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 17 0 FLAT in round 1
    """,
    )


def test_the_next_change_of_the_market_ends_it_and_a_cap_does_not(twin):
    loose = {"name": "loose", "market": "COINUSDT", "brackets": [{"notional_max": 4_000, "leverage_max": 10, "maintenance_ppm": 70_000}]}
    exchange = play(
        twin,
        changing(TIGHTER | {"grandfather": {"for_ns": 3 * units.NS}}, CAP, loose),
        TRADED
        + """
    2    change tighter                  | CHANGE_ANNOUNCED tighter from 2; CHANGE_EFFECTIVE tighter 2 kept
    3    change cap                      | CHANGE_ANNOUNCED cap from 3; CHANGE_EFFECTIVE cap
    """,
    )
    assert exchange.state()["grandfathered"] == [(16, 0), (17, 0)]
    exchange.apply(tape(changing(TIGHTER, CAP, loose), "4 change loose")[0])
    assert exchange.state()["grandfathered"] == [] and not any(row[0] == CHANGE for row in exchange.state()["timers"])


def test_a_table_that_asks_less_counts_for_who_is_grandfathered_too(twin):
    """The lower of the two: 12 % were asked, 8 % are."""
    venue = changing(
        TIGHTER | {"grandfather": {}},
        market={"brackets": [{"notional_max": 4_000, "leverage_max": 8, "maintenance_ppm": 120_000}], "leverage_default": 8},
    )
    exchange = play(
        twin,
        venue,
        PRICED
        + """
    1    account 16                     | OPENED 16
    1    account 17                     | OPENED 17
    1    deposit 16 USDT 130            | DEPOSIT 130 USDT OUTSIDE to 16
    1    deposit 17 USDT 130            | DEPOSIT 130 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    2    change tighter                 | CHANGE_ANNOUNCED tighter from 2; CHANGE_EFFECTIVE tighter 2 kept
    """,
    )
    # 10 q - 870 = 0.08 x 10 q at 94.565...: the first price below it
    assert exchange.liquidation_price(16, 0) == 9_456


@pytest.mark.parametrize("grandfather", [{}, None])
def test_a_position_that_moves_to_a_sub_account_keeps_what_it_has(twin, grandfather):
    venue = changing(TIGHTER | ({} if grandfather is None else {"grandfather": {}}))
    exchange = play(
        twin,
        venue,
        TRADED
        + """
    1    account 18 owner 16 parent 16   | OPENED 18 owner 16
    1    deposit 16 USDT 500             | DEPOSIT 500 USDT OUTSIDE to 16
    1    deposit 17 USDT 500             | DEPOSIT 500 USDT OUTSIDE to 17
    2    change tighter                  | ...
    2    mode 16 18 COINUSDT 400         | MOVED 16 to 18 long 16 entry 1600; TRANSFER 400 USDT 16 to 18
    """,
    )
    assert exchange.state()["grandfathered"] == ([] if grandfather is None else [(17, 0), (18, 0)])


# ---- both twins, snapshots, laws


def test_a_snapshot_keeps_what_changed():
    """Cut anywhere, between announcement, effect and the end of grandfathering, the rest runs as the whole does."""
    venue = changing(TIGHTER | {"grandfather": {"for_ns": 4 * units.NS}}, HAIRCUT, DOUBLE)
    events = tape(
        venue,
        TRADED
        + """
    2    change tighter at=3             |
    2    change haircut at=5             |
    4    source coin 99                  |
    6    change double at=9              |
    8    source coin 98                  |
    10   clock                           |
    """,
    )
    for which in ("model", "engine"):
        whole = start(which, venue, START_NS)
        whole.run(events)
        for cut in range(len(events)):
            part = start(which, venue, START_NS)
            part.run(events[:cut])
            rest = restore(which, venue, part.snapshot())
            rest.run(events[cut:])
            assert (rest.digest(), rest.state()) == (whole.digest(), whole.state())


CROSSING = [  # below the table before it up to 800, above it from there on
    {"notional_max": 600, "leverage_max": 20, "maintenance_ppm": 10_000},
    {"notional_max": 9_000, "leverage_max": 5, "maintenance_ppm": 100_000, "amount": 54},
]


WHOLE = [  # each asks of the whole notional: at 1,700 and at 2,300 what the lower of two asks jumps
    {"notional_max": most, "leverage_max": 10, "maintenance_ppm": rate}
    for most, rate in ((1_000, 20_000), (1_700, 30_000), (2_300, 60_000), (9_000, 99_000))
]
SINGLE = {"tiers": "whole"}


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("cash", [85, 120, 150, 400, 900, 1_500])
@pytest.mark.parametrize("margin", [{}, SINGLE, {"basis": "entry"}])
def test_liquidation_prices_of_grandfathered_positions_are_those_of_a_search(side, cash, margin):
    """Where the two tables cross, and beyond, the lower maintenance decides; the first price found one by one is the answer."""
    change = TIGHTER | {"brackets": CROSSING, "grandfather": {}}
    market = {"margin": margin}
    if margin == SINGLE:
        change |= {"brackets": WHOLE}
        market |= {"brackets": [row | {"maintenance_ppm": 40_000} for row in WHOLE[:3:2]], "leverage_default": 10}
    venue = changing(change, market=market)
    cash *= 2 if margin == SINGLE else 1
    other = "sell" if side == "buy" else "buy"
    events = tape(
        venue,
        f"""
    0    source coin 100                |
    1    account 16                     |
    1    account 17                     |
    1    deposit 16 USDT {cash}         |
    1    deposit 17 USDT 5000           |
    1    {side} 16 COINUSDT 16 @100 #1  |
    1    {other} 17 COINUSDT 16 @100 #2 |
    2    change tighter                 |
    """,
    )
    model, engine = start("model", venue, START_NS), start("engine", venue, START_NS)
    for exchange in (model, engine):
        exchange.run(events)
    who, step = model.user(16), -1 if side == "buy" else 1
    prices = range(10_000, 0 if step < 0 else 40_000, step)
    found = next((price for price in prices if model._triggered_at(who, 0, price)), None)
    assert model.liquidation_price(16, 0) == engine.liquidation_price(16, 0) == found
    assert model.state()["grandfathered"] == [(16, 0), (17, 0)]


# ---- bad input


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "x"}, "names neither market nor collateral"),
        (TIGHTER | {"collateral": "USD"}, "names a market and collateral"),
        ({"name": "x", "market": "COINUSDT"}, "changes nothing"),
        (TIGHTER | {"market": "COIN"}, "'COIN' is not one of the markets"),
        (HAIRCUT | {"collateral": "USDT"}, "'USDT' is not one of the collateral"),
        (HAIRCUT | {"leverage_max": 3}, "this is a change of collateral"),
        (TIGHTER | {"weight_ppm": 3}, "this is a change of a market"),
        (CAP | {"grandfather": {}}, "a cap of leverage changes no maintenance"),
        (TIGHTER | {"announced": at(3)}, "no later than it takes effect"),
        (TIGHTER | {"announced": at(3), "effective_from": at(2)}, "no later than it takes effect"),
        (TIGHTER | {"brackets": [TIGHT[0] | {"leverage_max": 20}]}, "initial margin 1/20 is below maintenance"),
        (TIGHTER | {"brackets": TIGHT * 2}, "does not exceed the bracket before it"),
        (TIGHTER | {"brackets": [TIGHT[0] | {"amount": 3}]}, "its maintenance amount is 0"),
        (TIGHTER | {"brackets": [TIGHT[0] | {"maintenance_ppm": 1_000_001}]}, "less than or equal to 1000000"),
        (TIGHTER | {"brackets": [{"notional_max": 4_000, "leverage_max": 10}]}, "maintenance_ppm is missing"),
    ],
)
def test_a_wrong_row_is_refused(change, problem):
    with pytest.raises(ValueError, match=problem):
        changing(change)


HALF = {"brackets": [{"notional_max": 4_000, "leverage_max": 20}], "margin": {"maintenance": "half_initial"}}
SLIPPAGE = {"brackets": TIGHT, "margin": {"slippage_ppm": 5_000}, "leverage_default": 10}
GROWS = {"brackets": TIGHT, "margin": {"size": {"initial_ppb_per_coin": 9}}, "leverage_default": 10}
DIVIDES = {"brackets": [TIGHT[0] | {"initial_ppm": 900_000}], "margin": {"leverage": "divides"}, "leverage_default": 10}


@pytest.mark.parametrize(
    ("change", "of", "problem"),
    [
        (CAP, HALF, "follows its leverage: a cap is another table"),
        (DOUBLE, HALF, "follows its leverage"),
        (TIGHTER, HALF, "half_initial: it follows from leverage_max"),
        (DOUBLE, SLIPPAGE, "has a minimum, slippage or the cost of closing in it"),
        (DOUBLE, {"maintenance_min": 3}, "has a minimum, slippage or the cost of closing in it"),
        (TIGHTER | {"brackets": [TIGHT[0], TIGHT[0] | {"notional_max": 5_000}]}, GROWS, "it scales one rate: there are 2"),
        (TIGHTER, DIVIDES, "a leverage that divides needs an initial_ppm"),
    ],
)
def test_a_change_that_the_margin_row_does_not_admit_is_refused(change, of, problem):
    with pytest.raises(ValueError, match=problem):
        changing(change, market=of)


def test_a_weight_below_that_of_initial_margin_is_refused():
    with pytest.raises(ValueError, match="initial_weight_ppm 600000 is above weight_ppm"):
        changing(HAIRCUT, collateral_row={"initial_weight_ppm": 600_000})


def test_a_name_may_stand_once():
    with pytest.raises(ValueError, match="'cap' is defined twice"):
        changing(CAP, CAP)
