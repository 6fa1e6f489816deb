"""Interest on what is owed, as tables on both twins: who pays, on what, when, and that it goes to the lenders to the last unit."""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import random

import pytest

import fuzz.twin as twins
from engine.exchange import Exchange as Engine
from fuzz.twin import Lockstep
from specs import laws, rules, units
from specs.model import borrow
from specs.tape import Chart, OutcomeKind
from tests.test_transfer import LOST
from tests.twins import START_NS, play, small_venue, tape, twin  # noqa: F401

BORROW = {"every_ns": 60 * units.NS, "rate_ppb": 1_000_000}  # 0.1 % a minute; a run starts at 1,000 s: due at 20, 80, 140 s


def venue(**fields) -> rules.Venue:
    return small_venue(assets=[{"name": "USDT", "decimals": 4, "borrow": BORROW | fields}, {"name": "USD", "decimals": 4}])


def test_who_owes_pays_and_nobody_else(twin):
    """18 USDT are owed: 0.018, then 0.018018 rounded up to 0.0181, and so on; 17, short and rich, pays nothing."""
    exchange = play(
        twin,
        venue(),
        LOST
        + """
    19   clock                         |
    20   clock                         | INTEREST USDT 0.001; INTEREST 0.018 USDT 16 to LENDERS
    79   clock                         |
    80   clock                         | INTEREST USDT 0.001; INTEREST 0.0181 USDT 16 to LENDERS
    140  clock                         | INTEREST USDT 0.001; INTEREST 0.0181 USDT 16 to LENDERS
    141  deposit 16 USDT 18.0542       | ...
    170  clock                         |
    200  clock                         | INTEREST USDT 0.001
    """,
    )
    assert (Chart.LENDERS, 0, 542) in exchange.state()["balances"]


def test_what_open_positions_cost_is_no_debt(twin):
    """16 has 120 USDT and lots for 1,600: its cash is far below 0, its wallet is not."""
    play(
        twin,
        venue(),
        """
    0    source coin 100               | ...
    0    account 16                    | ...
    0    account 17                    | ...
    0    deposit 16 USDT 120           | ...
    0    deposit 17 USDT 120           | ...
    1    buy 16 COINUSDT 16 @100 #1    | ...
    1    sell 17 COINUSDT 16 @100 #2   | ...
    20   clock                         | INTEREST USDT 0.001
    """,
    )


def test_interest_can_liquidate(twin):
    """10 % a minute on 18 USDT: at 95.30 the account is 1.175 above its trigger; 1.80 of interest are too much."""
    book = venue(rate_ppb=units.FUNDING_RATE_MAX_PPB)
    for second, hit in ((19, False), (20, True)):
        exchange = twin(book, START_NS)
        exchange.run(tape(book, LOST + f"3    source coin 95.30    | ...\n    {second}   clock     | ..."))
        assert (OutcomeKind.LIQUIDATION in exchange.outcomes()["kind"]) == hit


def test_a_gap_pays_every_interval_and_everything_is_conserved(twin):
    exchange = twin(venue(), START_NS)
    exchange.run(tape(venue(), LOST + "100  clock    | ...\n    200  clock    | ..."))
    paid = sum(money for account, asset, money in exchange.state()["balances"] if account == Chart.LENDERS)
    assert paid == 180 + 181 + 181 + 181
    assert sum(money for _, asset, money in exchange.state()["balances"] if asset == 0) == 0


def test_interest_is_rounded_up_and_bounded():
    row = rules.Borrow(**BORROW)
    assert [borrow.interest(row, owed) for owed in (-1, 0, 1, 1_000, 1_001)] == [0, 0, 1, 1, 2]
    assert borrow.interest(row, units.BALANCE_MAX) == units.BALANCE_MAX // 1_000
    assert borrow.interest(row, units.BALANCE_MAX + 1) == 0


def test_orders_that_expire_at_that_moment_go_first(twin):
    draw = random.Random(3)
    for _ in range(3):
        price = draw.randint(90, 94)
        play(
            twin,
            venue(),
            LOST
            + f"""
    3    buy 17 COINUSDT 1 @{price} #9 gtd until=20 | ...
    20   clock                         | CANCELLED 17 buy 1 @{price} #9 EXPIRED; INTEREST USDT 0.001; INTEREST 0.018 USDT 16 to LENDERS
    """,
        )


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"rate_ppb": 0}, "greater than or equal to 1"), ({"rate_ppb": 10**8 + 1}, "100000000"), ({"every_ns": 1}, "60000000000")],
)
def test_a_wrong_row_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        venue(**fields)


@pytest.mark.checked
def test_interest_on_less_than_what_is_owed_is_found():
    """59: a unit of the debt costs nothing: the twins differ, and L17 says so of the engine alone."""
    rows = LOST + "    3    deposit 16 USDT 0.0009    | ...\n    20   clock    | ..."  # a tenth of 17.9991 is rounded up
    book = venue(rate_ppb=units.FUNDING_RATE_MAX_PPB)
    with pytest.raises(twins.TwinsDiffer):
        Lockstep(book, START_NS, planted=59, right="engine").run(tape(book, rows))
    broken, found = Engine(book, START_NS, (), 59), []
    for event in tape(book, rows):
        before = broken.state()
        out = broken.apply(event)
        found += [row.law for row in laws.breaches(book, before, event.tobytes(), out, broken.state())]
    assert found == ["L17"]
