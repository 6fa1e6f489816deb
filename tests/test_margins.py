"""How brackets become requirements, by example and by search, on both twins: the margin row of a market.

The rule book is tests/twins.py:small_venue, lots of 1 COIN; an account of 120 USDT, or of as much as a row gives it.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import chain
from random import Random

import pytest

from fuzz.strategies import sample, small_sample
from fuzz.twin import Lockstep, start
from riskbed.vectors.vector import plain
from specs import rules, units
from specs.model.margin import Brackets
from specs.scene import outcomes_of
from specs.tape import OutcomeKind
from tests.test_laws import FUNDED, Broken, breaches
from tests.twins import PLANTABLE, START_NS, play, small_venue, stages, tape, twin  # noqa: F401

ONE = {"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 25_000}
WHOLE = [
    {"notional_max": 1_000, "leverage_max": 20, "maintenance_ppm": 25_000},
    {"notional_max": 10_000, "leverage_max": 10, "maintenance_ppm": 50_000},
]
SIZED = {"size": {"initial_ppb_per_coin": 4_000_000, "maintenance_ppb_per_coin": 2_000_000}}
CROWDED = {"open_interest": {"lower": 500, "upper": 2_500}}
FEE_AT_BANKRUPTCY = {
    "brackets": [ONE],
    "margin": {"basis": "entry"},
    "fees": {"taker_ppm": 500},
    "closing": {"fee": "taker", "at": "bankruptcy"},
}
CASES = {
    40: Broken(
        "L19",
        "a position of 10 coins asks for 2.5 % + 10 x 0.2 %: 41.4 of 920; its equity is 40",
        FUNDED
        + """
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    2    source coin 93                 |
    3    source coin 92                 | L19
        """,
        small_venue(market={"brackets": [ONE], "margin": SIZED}, liquidation={"stages": stages("book", "takeover")}),
        planted=40,
    ),
    41: Broken(
        "L6",
        "open interest of 1,500 is half-way: an order of 200 asks for 5 % + 47.5 %, and the account has 60",
        FUNDED
        + """
    0    deposit 16 USDT 1500           |
    0    deposit 17 USDT 1500           |
    0    account 18                     |
    0    deposit 18 USDT 60             |
    1    buy 16 COINUSDT 15 @100 #1     |
    1    sell 17 COINUSDT 15 @100 #2    |
    2    buy 18 COINUSDT 2 @100 #3      | L6
        """,
        small_venue(market={"brackets": [ONE], "margin": CROWDED}),
        planted=41,
    ),
    42: Broken(
        "L19",
        "a notional of 1,100 asks for 5 % of all of it, 55; equity is 50",
        FUNDED
        + """
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    2    source coin 107                | L19
        """,
        small_venue(market={"brackets": WHOLE, "margin": {"tiers": "whole"}}, liquidation={"stages": stages("book", "takeover")}),
        planted=42,
    ),
    43: Broken(
        "L19",
        "entered at 1,000 it asks for 2.5 % of that and the fee of closing, 25.4403; its equity is 25",
        FUNDED
        + """
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    2    source coin 90.55              |
    3    source coin 90.5               | L19
        """,
        small_venue(market=FEE_AT_BANKRUPTCY, liquidation={"stages": stages("book", "takeover")}),
        planted=43,
    ),
    44: Broken(
        "L6",
        "of 220 of equity 100 are profit that does not count; initial margin is 55, 65 may leave",
        FUNDED
        + """
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    2    source coin 110                |
    3    withdraw 16 USDT 65.0001       | L6
        """,
        small_venue(market={"brackets": [ONE]}, withdrawal={"profit_weight_ppm": 0}),
        planted=44,
    ),
}


@pytest.mark.parametrize("which", PLANTABLE)
@pytest.mark.parametrize("bug", CASES)
def test_a_planted_bug_breaks_a_law(bug, which):
    case = CASES[bug]
    found = breaches(which, case.bug, case.venue, tape(case.venue, case.table))
    assert case.event in {broken.event for broken in found if broken.law == case.law}, [str(broken) for broken in found]
    assert min(broken.event for broken in found) == case.event


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("bug", CASES)
def test_without_the_bug_no_law_is_broken(bug, which):
    assert breaches(which, 0, CASES[bug].venue, tape(CASES[bug].venue, CASES[bug].table)) == []


# ---- one row each


def test_tiers_at_the_whole_notional_jump(twin):
    """At 1,000 2.5 % are 25, a tick later 5 % of 1,000.5 are 50.025: a short that could bear the price is liquidated."""
    venue = small_venue(
        market={"brackets": WHOLE, "margin": {"tiers": "whole"}}, liquidation={"stages": stages("book", "takeover")}
    )
    exchange = play(
        twin,
        venue,
        """
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 16 USDT 50             | ...
    0    deposit 17 USDT 500            | ...
    1    sell 16 COINUSDT 10 @100 #1    | ACCEPTED 16 sell 10 @100 #1
    1    buy 17 COINUSDT 10 @100 #2     | ...
        """,
    )
    assert exchange.liquidation_price(16, 0) == 10_001  # in cents: the first above the cap
    assert exchange.liquidation_price(17, 0) == 5_128  # 500 - 1,000 + N = 2.5 % N at 512.82, in the lower tier


def test_rates_that_grow_with_the_position(twin):
    """10 coins: initial 5 % + 10 x 0.4 % of 1,000, maintenance 2.5 % + 10 x 0.2 %; open orders count for the first."""
    venue = small_venue(market={"brackets": [ONE], "margin": SIZED})
    exchange = play(
        twin,
        venue,
        """
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 17 USDT 5000           | ...
    0    deposit 16 USDT 89.9999        | ...
    1    buy 16 COINUSDT 10 @100 #1     | REJECT INSUFFICIENT_MARGIN
    1    deposit 16 USDT 0.0001         | ...
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ...
    1    deposit 16 USDT 149.9999       | ...
    1    buy 16 COINUSDT 5 @100 #3      | ACCEPTED 16 buy 5 @100 #3
        """,
    )  # 15 coins: 11 % of 1,500 are 165
    assert exchange.liquidation_price(16, 0) == 7_958  # 240 - 1,000 + N = 4.5 % N at 795.81


def test_a_rate_grows_to_all_of_the_notional_and_no_further(twin):
    grows = {"size": {"initial_ppb_per_coin": units.PPB, "maintenance_ppb_per_coin": units.PPB}}
    play(
        twin,
        small_venue(market={"brackets": [ONE], "margin": grows}),
        """
    0    source coin 100                | ...
    0    account 16                     | ...
    0    deposit 16 USDT 300            | ...
    1    buy 16 COINUSDT 3 @100 #1      | REJECT INSUFFICIENT_MARGIN
    1    deposit 16 USDT 0.0001         | ...
    1    buy 16 COINUSDT 3 @100 #1      | ACCEPTED 16 buy 3 @100 #1
        """,
    )  # one unit above maintenance, which would trigger at equity


@pytest.mark.parametrize(
    "held, free",  # x = (100 held - 500) / 2,000, rate = 5 % + x 95 %, of 100
    [(5, "5"), (6, "9.75"), (15, "52.5"), (25, "100"), (30, "100")],
)
def test_initial_margin_grows_with_open_interest(twin, held, free):
    play(
        twin,
        small_venue(market={"brackets": [ONE], "margin": CROWDED}),
        f"""
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    account 18                     | ...
    0    deposit 16 USDT 9000           | ...
    0    deposit 17 USDT 9000           | ...
    0    deposit 18 USDT {free}         | ...
    1    buy 16 COINUSDT {held} @100 #1 | ...
    1    sell 17 COINUSDT {held} @100 #2 | ...
    1    withdraw 18 USDT 0.0001        | ...
    1    buy 18 COINUSDT 1 @100 #3      | REJECT INSUFFICIENT_MARGIN
    1    deposit 18 USDT 0.0001         | ...
    1    buy 18 COINUSDT 1 @100 #3      | ACCEPTED 18 buy 1 @100 #3
        """,
    )


@pytest.mark.parametrize(
    "market, initial, price",  # least deposit for 9 lots at 100; where 108 of equity are used up to maintenance
    [
        ({"brackets": [{"notional_max": 10_000, "leverage_max": 20, "initial_ppm": 120_000, "maintenance_ppm": 25_000}]}, "108", 9_025),
        ({"brackets": [ONE], "margin": {"slippage_ppm": 10_000}}, "45", 9_119),
        ({"brackets": [{"notional_max": 10_000, "leverage_max": 3}], "margin": {"maintenance": "half_initial"}, "leverage_default": 3}, "300", 10_000),
        ({"brackets": [ONE | {"initial_ppm": 600_000}], "margin": {"leverage": "divides"}, "leverage_default": 6}, "90", 9_025),
    ],
    ids=["initial_ppm", "slippage", "half_initial", "divides"],
)  # fmt: skip
def test_other_rates(twin, market, initial, price):
    """900 x 12 %; (108 - 900) / (1 - 3.5 %); 900 / 3 and a sixth of maintenance, 150 > 108; 900 x 60 % / 6."""
    exchange = play(
        twin,
        small_venue(market=market, liquidation={"stages": stages("book", "takeover"), "trigger": "maintenance_gt_equity"}),
        f"""
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 17 USDT 5000           | ...
    0    deposit 16 USDT {initial}      | ...
    1    withdraw 16 USDT 0.0001        | ...
    1    buy 16 COINUSDT 9 @100 #1      | REJECT INSUFFICIENT_MARGIN
    1    deposit 16 USDT 0.0001         | ...
    1    buy 16 COINUSDT 9 @100 #1      | ACCEPTED 16 buy 9 @100 #1
    1    sell 17 COINUSDT 9 @100 #2     | ...
        """,
    )
    more = Fraction(108) - Fraction(initial)
    if more > 0:
        play_on(exchange, venue=small_venue(market=market), table=f"2 deposit 16 USDT {plain(more)} |")
    if more < 0:
        play_on(exchange, venue=small_venue(market=market), table="2 source coin 78.65 |")  # 300 - 192.15 = 107.85 < 117.975
        assert exchange.liquidation_price(16, 0) == 7_865
        return
    assert exchange.liquidation_price(16, 0) == price


OPENED = """
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 16 USDT 120.5          | ...
    0    deposit 17 USDT 5000           | ...
    1    sell 17 COINUSDT 10 @100 #2    | ...
    1    buy 16 COINUSDT 10 @100 #1     | ...
"""


def test_requirements_at_entry_and_the_fee_at_the_bankruptcy_price(twin):
    """120 after the fee of 0.5: 880 / (1 - 0.0005) = 880.4402, of which 0.0005 are 0.4403; 120 - 1,000 + N <= 25.4403 at 90.54.

    Closed at 88.05 or higher 120 of losses leave what the taker fee takes; 88 would leave nothing. Withdrawn is what 5 % leave,
    also when the mark has moved: of 1,000.
    """
    exchange = play(twin, small_venue(market=FEE_AT_BANKRUPTCY, liquidation={"stages": stages("book", "takeover")}), OPENED)
    assert (exchange.liquidation_price(16, 0), exchange.bankruptcy_price(16, 0)) == (9_054, 8_805)
    assert exchange.withdrawable(16, 0) == 70_0000
    play_on(exchange, small_venue(), "2 source coin 104 |")
    assert (exchange.liquidation_price(16, 0), exchange.bankruptcy_price(16, 0)) == (9_054, 8_805)
    assert exchange.withdrawable(16, 0) == 110_0000  # 120 and 40 of profit, less 50


@pytest.mark.parametrize("weight_ppm, free", [(0, 65_0000), (units.PPM, 120_0000), (333_333, 98_3333)])
def test_profit_that_leaves_counts_less(twin, weight_ppm, free):
    """Equity 220.5 - 0.5, profit 100, initial margin 55; the wallet, 120, bounds it. A transfer is the same, a loss counts in full."""
    venue = small_venue(market={"brackets": [ONE], "fees": {"taker_ppm": 500}}, withdrawal={"profit_weight_ppm": weight_ppm})
    exchange = play(twin, venue, OPENED)
    play_on(exchange, venue, "2 source coin 110 |")
    assert exchange.withdrawable(16, 0) == free
    play_on(exchange, venue, "3 source coin 99 |")
    assert exchange.withdrawable(16, 0) == 60_5000  # 110, less 5 % of 990


def play_on(exchange, venue, table: str) -> None:
    for event in tape(venue, table):
        exchange.apply(event)


def test_half_initial_rates_continue_a_table():
    """1/40 and 1/20 at a floor of 150: the amount is 3.75; of 1/6 and 1/2 at 100.01 it is 33 and a third of a cent, rounded down."""
    table = {"maintenance": "half_initial"}
    brackets = [{"notional_max": most, "leverage_max": cap} for most, cap in ((150, 20), (1_000, 10))]
    venue = small_venue(market={"brackets": brackets, "margin": table})
    assert venue.amounts(venue.markets[0]) == [0, 3_7500]
    brackets = [{"notional_max": most, "leverage_max": cap} for most, cap in (("100.01", 3), (1_000, 1))]
    venue = small_venue(market={"brackets": brackets, "margin": table, "leverage_default": 1})
    assert venue.markets[0].amounts()[1] == Fraction(10_001, 300) and venue.amounts(venue.markets[0])[1] == 33_3366
    rows = Brackets(venue, venue.markets[0])
    assert [rows.maintenance(n, 1) for n in (100_0100, 100_0101)] == [16_6684, 16_6685]


# ---- everywhere: initial margin does not trigger, twins and laws


def special(venue: rules.Venue) -> bool:
    return any(m.margin != rules.Margin() or any(b.initial_ppm for b in m.brackets) for m in venue.markets)


def test_drawn_rule_books_with_a_margin_row_in_lockstep():
    """The generators of tests/test_lockstep.py, of their cases those with such a row; liquidations are among them."""
    seen: Counter = Counter()
    for case in chain(sample(90, seed=41, bytes_each=700), small_sample(60, seed=41)):
        if special(case.venue):
            pair = Lockstep(case.venue, case.start_ns, case.seams)
            pair.run(case.events, state_every=8)
            seen.update(set(pair.left.outcomes()["kind"].tolist()))
    assert seen[OutcomeKind.LIQUIDATION] >= 10, seen


# ---- metamorphic: more collateral, and a loss that stays where it is

ROWS = [
    {"brackets": WHOLE, "margin": {"tiers": "whole"}},
    {"brackets": [ONE], "margin": SIZED},
    {"brackets": [ONE], "margin": {"basis": "entry"}},
    FEE_AT_BANKRUPTCY,
    {"brackets": [ONE], "margin": {"slippage_ppm": 7_777}},
    {},
]


def liquidated_at(which: str, venue: rules.Venue, deposit: int, side: int, lots: int, path: list[int]) -> int | None:
    """Return the step of a path of prices at which an account is first liquidated: the prices are the source's alone."""
    exchange = start(which, venue, START_NS)
    words = ("buy", "sell") if side > 0 else ("sell", "buy")
    opening = f"""
    0    source coin 100                |
    0    account 16                     |
    0    account 17                     |
    0    deposit 16 USDT {deposit}      |
    0    deposit 17 USDT 90000          |
    1    {words[1]} 17 COINUSDT {lots} @100 #2 |
    1    {words[0]} 16 COINUSDT {lots} @100 #1 |
    """
    play_on(exchange, venue, opening)
    if not any(row[0] == 16 and row[3] for row in exchange.state()["positions"]):
        return None
    for step, price in enumerate(path):
        said = outcomes_of(exchange.apply(tape(venue, f"{step + 2} source coin {price / 100} |")[0]))
        if any(o.kind == OutcomeKind.LIQUIDATION and o.account == 16 for o in said):
            return step
    return len(path)


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("row", ROWS, ids=["whole", "size", "entry", "bankruptcy", "slippage", "plain"])
def test_more_collateral_never_liquidates_earlier(row, which):
    """Fifteen walks of prices, each with more and more behind the same position, against a book that nobody moves."""
    dice, told = Random(7), 0
    venue = small_venue(market=row, liquidation={"stages": stages("book", "takeover")})
    for _ in range(15):
        side, lots, price = dice.choice((1, -1)), dice.randrange(1, 20), 10_000
        path = [price := max(5, price + dice.randrange(-300, 301) // 5 * 5 - side * 40) for _ in range(25)]
        steps = [liquidated_at(which, venue, lots * margin, side, lots, path) for margin in (11, 13, 20, 40, 41)]
        opened = [step for step in steps if step is not None]
        assert opened == sorted(opened), (side, lots, path, steps)
        told += len(set(opened)) > 1
    assert told >= 3


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("row", ROWS, ids=["whole", "size", "entry", "bankruptcy", "slippage", "plain"])
def test_a_loss_of_an_isolated_account_never_reaches_its_parent(row, which):
    """Whatever the mark does to the sub-account, and whoever pays for it, the parent keeps what it had to the last unit."""
    dice, venue = Random(11), small_venue(market=row, fund={"capital": 20})
    for _ in range(12):
        lots, ruin = dice.randrange(1, 9), dice.choice((94, 88, 70, 30, 2))
        exchange = start(which, venue, START_NS)
        play_on(
            exchange,
            venue,
            f"""
    0    source coin 100                |
    0    account 16                     |
    0    account 17                     |
    0    account 18 owner 16 parent 16  |
    0    deposit 16 USDT 1000           |
    0    deposit 17 USDT 90000          |
    0    transfer 16 18 USDT {lots * 12} |
    1    sell 17 COINUSDT {lots} @100 #2 |
    1    buy 18 COINUSDT {lots} @100 #1 |
            """,
        )
        mine = lambda: [row for table in ("balances", "positions") for row in exchange.state()[table] if row[0] == 16]  # noqa: B023, E731
        before = mine()
        play_on(exchange, venue, f"2 source coin {ruin} |")
        said = exchange.outcomes()
        hit = {int(o["account"]) for o in said if o["kind"] == OutcomeKind.LIQUIDATION}
        assert mine() == before and hit == ({18} if ruin < 89 else hit & {18}), (lots, ruin)
