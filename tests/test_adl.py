"""Auto-deleveraging, by example, on both twins: who is closed, in which order, for how many lots, at which price.

The rule book is tests/twins.py:small_venue with neither book nor backstop unless a table says so: a perpetual at 2.5 % maintenance up
to 2,000 of notional. An account of 16 lots bought at 100 with 120 is worth 24 at 94 and needs 37.6; its bankruptcy price is 92.5
wherever the mark is. The score is floor(floor(10^9 x profit / max(1, wallet)) x maintenance / equity), in parts per billion.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from fractions import Fraction

import pytest

from specs import units
from specs.tape import OutcomeKind, Seam, SeamKind
from tests.test_model_tables import PRICED, TRADED, TWO_MARKETS
from tests.twins import START_NS, play, seam_row, small_venue, stages, tape, twin, vectors  # noqa: F401

ONLY_ADL = {"stages": stages("book", "takeover", adl={})}


def venue(**changes):
    """Return the small venue whose stages are cancel, adl, convert, fund and write_off."""
    return small_venue(**{"liquidation": ONLY_ADL} | changes)


def holds(exchange, account: int) -> tuple[dict[int, int], dict[int, int]]:
    """Return what the ledger says of an account: balances by asset, lots by market, nothing where there is nothing."""
    state = exchange.state()
    return (
        {asset: balance for number, asset, balance in state["balances"] if number == account},
        {market: qty for number, market, _, qty, _ in state["positions"] if number == account},
    )


# ---- price and quantity


def test_one_winner_pays_the_bankruptcy_price_on_either_side_of_the_mark(twin):
    """At 94 the account gives up its last 24, at 90 the winner bears its debt of 40: 1,480 for 16 lots, 92.5 a lot, both times.

    Either way 17 is left with 120 + 1,600 - 1,480 = 240, and 16 with nothing.
    """
    for price, equity in ((94, "24"), (90, "-40")):
        exchange = play(
            twin,
            venue(),
            TRADED
            + f"""
    2    source coin {price}                 | INDEX COIN {price} of 1; MARK COINUSDT {price}; LIQUIDATION 16 {equity}; ADL 16 long 16 @{price} by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    2    withdraw 17 USDT 240.0001      | REJECT INSUFFICIENT_BALANCE
    2    withdraw 17 USDT 240           | WITHDRAWAL 240 USDT 17 to OUTSIDE
    """,
        )
        assert holds(exchange, 16) == holds(exchange, 17) == ({}, {})


def test_a_short_is_deleveraged_against_longs(twin):
    """At 106 the short has 120 - 96 = 24 left: it pays 1,696 + 24 = 1,720 for its 16 lots, 107.5 a lot."""
    exchange = play(
        twin,
        venue(),
        TRADED
        + "2    source coin 106                | INDEX COIN 106 of 1; MARK COINUSDT 106; LIQUIDATION 17 24; ADL 17 short 16 @106 by 16 cash -1720 in round 1; RESTORED 17 0 FLAT in round 1",
    )
    assert holds(exchange, 17) == ({}, {})
    assert holds(exchange, 16) == ({0: 240_0000}, {})


# ---- the queue

QUEUE = (
    PRICED
    + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    account 19                     | OPENED 19
    0    deposit 16 USDT 75.0001        | DEPOSIT 75.0001 USDT OUTSIDE to 16
    0    deposit 17 USDT 200            | DEPOSIT 200 USDT OUTSIDE to 17
    0    deposit 18 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 18
    0    deposit 19 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    buy 19 COINUSDT 6 @100 #2      | ACCEPTED 19 buy 6 @100 #2
    1    sell 17 COINUSDT 8 @100 #3     | ACCEPTED 17 sell 8 @100 #3; FILL 17 sell 8 @100 from 16 #1
    1    sell 18 COINUSDT 8 @100 #4     | ACCEPTED 18 sell 8 @100 #4; FILL 18 sell 2 @100 from 16 #1; FILL 18 sell 6 @100 from 19 #2
    """
)


def test_two_winners_the_last_in_part(twin):
    """Both gained 48 on 8 lots, maintenance 18.8. 17: 0.24 x 18.8 / 248 = 0.0182; 18: 0.48 x 18.8 / 148 = 0.0610, so 18 goes first.

    15.0001 are left to 16, over 10 lots: 8 lots take ceil(150001 x 8 / 10) = 12.0001, 10 lots 15.0001, so the last 2 take 3.
    752 - 12.0001 and 188 - 3.
    """
    exchange = play(
        twin,
        venue(),
        QUEUE
        + "2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 15.0001; ADL 16 long 8 @94 by 18 cash 739.9999 in round 1; ADL 16 long 2 @94 by 17 cash 185 in round 1; RESTORED 16 0 FLAT in round 1",
    )
    assert holds(exchange, 16) == ({}, {})
    assert holds(exchange, 18) == ({0: 160_0001}, {})  # 100 + 800 - 739.9999
    assert holds(exchange, 17) == ({0: 815_0000}, {0: -6})  # 200 + 800 - 185: 6 lots are still open at 100
    assert holds(exchange, 19) == ({0: -100_0000}, {0: 6})  # another long is not concerned


def test_of_equal_scores_the_lower_id_goes_first(twin):
    """18 opened its account, deposited and traded before 17; their scores are equal."""
    play(
        twin,
        venue(),
        PRICED
        + """
    0    account 18                     | OPENED 18
    0    account 17                     | OPENED 17
    0    account 16                     | OPENED 16
    0    account 19                     | OPENED 19
    0    deposit 18 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 18
    0    deposit 17 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 17
    0    deposit 16 USDT 75             | DEPOSIT 75 USDT OUTSIDE to 16
    0    deposit 19 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 19
    1    sell 18 COINUSDT 8 @100 #1     | ACCEPTED 18 sell 8 @100 #1
    1    sell 17 COINUSDT 8 @100 #2     | ACCEPTED 17 sell 8 @100 #2
    1    buy 16 COINUSDT 10 @100 #3     | ACCEPTED 16 buy 10 @100 #3; FILL 16 buy 8 @100 from 18 #1; FILL 16 buy 2 @100 from 17 #2
    1    buy 19 COINUSDT 6 @100 #4      | ACCEPTED 19 buy 6 @100 #4; FILL 19 buy 6 @100 from 17 #2
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 15; ADL 16 long 8 @94 by 17 cash 740 in round 1; ADL 16 long 2 @94 by 18 cash 185 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_loss_scores_nothing_and_a_small_wallet_counts_as_one(twin):
    """19 has 0.5 of wallet: profit 24 / max(1, 0.5) x 9.4 / 24.5 = 9.208163265. 18 has 24 / 200 x 9.4 / 224 = 0.005. 17 sold at 90
    and loses: it scores 0 and goes last. Where ADL_RANK gives 18 one part per billion more than 19 has, 18 goes first.

    16 has 20 - 12 x 6 = -52 besides its USD, which nobody buys at 0.01: 4.3333, 4.3333 and 4.3334 a lot with the totals
    ceil(-520000 x 4 / 12) = -173333, x 8 = -346666, all = -520000. 19 bears 24.5 x 12 / 52 = 5.6 lots, more than its 4.
    """
    for row, order in (((), (19, 18, 17)), ((9_208_163_264,), (19, 18, 17)), ((9_208_163_266,), (18, 19, 17))):
        exchange = play(
            twin,
            venue(),
            PRICED
            + f"""
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    account 19                     | OPENED 19
    0    deposit 16 USDT 20             | DEPOSIT 20 USDT OUTSIDE to 16
    0    deposit 16 USD 200             | DEPOSIT 200 USD OUTSIDE to 16
    0    deposit 17 USDT 200            | DEPOSIT 200 USDT OUTSIDE to 17
    0    deposit 18 USDT 200            | DEPOSIT 200 USDT OUTSIDE to 18
    0    deposit 19 USDT 20             | DEPOSIT 20 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 12 @100 #1     | ACCEPTED 16 buy 12 @100 #1
    1    sell 19 COINUSDT 4 @100 #2     | ACCEPTED 19 sell 4 @100 #2; FILL 19 sell 4 @100 from 16 #1
    1    sell 18 COINUSDT 8 @100 #3     | ACCEPTED 18 sell 8 @100 #3; FILL 18 sell 8 @100 from 16 #1
    1    buy 18 COINUSDT 4 @90 #4       | ACCEPTED 18 buy 4 @90 #4
    1    sell 17 COINUSDT 4 @90 #5      | ACCEPTED 17 sell 4 @90 #5; FILL 17 sell 4 @90 from 18 #4
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94
    2    withdraw 19 USDT 19.5          | WITHDRAWAL 19.5 USDT 19 to OUTSIDE
    3    source usd 0.01                | INDEX USD 0.01 of 1; COLLATERAL USD 0.01; LIQUIDATION 16 -50.2; ADL 16 long 4 @94 by {order[0]} cash 393.3333 in round 1; ADL 16 long 4 @94 by {order[1]} cash 393.3333 in round 1; ADL 16 long 4 @94 by {order[2]} cash 393.3334 in round 1; RESTORED 16 1.8 FLAT in round 1
    """,
            [seam_row(Seam.ADL_RANK, 18, 3, 4, SeamKind.CONST, argument) for argument in row],
        )
        assert holds(exchange, 16) == ({1: 200_0000}, {})  # dust of a dead asset that nobody buys


def test_a_margin_ratio_counts_as_at_most_one(twin):
    """18's USD are worth 0.54 of late: with a profit of 8 it has 8.54 against 19.8 and is spared by a forced trigger. Its score is 8
    (over a wallet of 0, which counts as 1), not 8 x 19.8 / 8.54: ADL_RANK gives 17 the same, or one part per billion less.

    16 owes 10: 1 a lot.
    """
    for score, (first, second) in ((8_000_000_000, (17, 18)), (7_999_999_999, (18, 17))):
        play(
            twin,
            venue(),
            PRICED
            + f"""
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    account 19                     | OPENED 19
    0    deposit 16 USD 70              | DEPOSIT 70 USD OUTSIDE to 16
    0    deposit 17 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 17
    0    deposit 18 USD 60              | DEPOSIT 60 USD OUTSIDE to 18
    0    deposit 19 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    buy 19 COINUSDT 6 @100 #2      | ACCEPTED 19 buy 6 @100 #2
    1    sell 17 COINUSDT 8 @100 #3     | ACCEPTED 17 sell 8 @100 #3; FILL 17 sell 8 @100 from 16 #1
    1    sell 18 COINUSDT 8 @100 #4     | ACCEPTED 18 sell 8 @100 #4; FILL 18 sell 2 @100 from 16 #1; FILL 18 sell 6 @100 from 19 #2
    2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99
    3    source usd 0.01                | INDEX USD 0.01 of 1; COLLATERAL USD 0.01; LIQUIDATION 16 -9.37; ADL 16 long 8 @99 by {first} cash 800 in round 1; ADL 16 long 2 @99 by {second} cash 200 in round 1; RESTORED 16 0.63 FLAT in round 1
    """,
            (
                seam_row(Seam.LIQUIDATION_TRIGGER, 18, 3, 4, SeamKind.FORCE_FALSE),
                seam_row(Seam.ADL_RANK, 17, 3, 4, SeamKind.CONST, score),
            ),
        )


def test_nobody_closes_more_than_its_equity_bears(twin):
    """16 owes 6 a lot at 94. 18 sold at 96 and has 28.8 + 10 - 11.8 = 27: 27 x 10 / 60 = 4.5, so 4 of its 5 lots, and it goes first
    (10 / 17 x 11.75 / 27 against 30 / 120 x 11.75 / 150). 17 closes its 5 lots; the last lot is carried until 18 can bear it.
    """
    exchange = play(
        twin,
        venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    deposit 16 USD 200             | DEPOSIT 200 USD OUTSIDE to 16
    0    deposit 17 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 17
    0    deposit 18 USDT 28.8           | DEPOSIT 28.8 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    2    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96
    2    buy 17 COINUSDT 5 @96 #3       | ACCEPTED 17 buy 5 @96 #3
    2    sell 18 COINUSDT 5 @96 #4      | ACCEPTED 18 sell 5 @96 #4; FILL 18 sell 5 @96 from 17 #3
    3    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94
    3    withdraw 18 USDT 11.8          | WITHDRAWAL 11.8 USDT 18 to OUTSIDE
    -- USD at 0.01 counts 1.8 and would be bought for nothing: a debt of 60 over 10 lots, 24 and 30 of it borne
    4    source usd 0.01                | INDEX USD 0.01 of 1; COLLATERAL USD 0.01; LIQUIDATION 16 -58.2; ADL 16 long 4 @94 by 18 cash 400 in round 1; ADL 16 long 5 @94 by 17 cash 500 in round 1; CARRIED 16 -4.2 in round 1; CARRIED 16 -4.2 in round 2
    -- 18 has 3 + 10 + 0.5 and the lot owes 6.5
    5    deposit 18 USDT 10             | DEPOSIT 10 USDT OUTSIDE to 18
    5    source coin 93.5               | INDEX COIN 93.5 of 1; MARK COINUSDT 93.5; ADL 16 long 1 @93.5 by 18 cash 100 in round 1; RESTORED 16 1.8 FLAT in round 1
    """,
    )
    assert holds(exchange, 16) == ({1: 200_0000}, {})
    assert holds(exchange, 17) == ({0: 120_0000}, {})  # 100 + 4 x 5: its five lots left at 100, where they had come in
    assert holds(exchange, 18) == ({0: 7_0000}, {})  # 28.8 - 11.8 + 10 - 5 lots x (100 - 96)


def test_nobody_on_the_other_side(twin):
    """The backstop holds the short and takes no more for ten seconds (a forced TAKEOVER_ACCEPT): the account is carried, then taken."""
    play(
        twin,
        venue(liquidation={"stages": stages("book", adl={})}),
        TRADED
        + """
    2    source coin 106                | INDEX COIN 106 of 1; MARK COINUSDT 106; LIQUIDATION 17 24; TAKEOVER 17 short 16 @106 cash -1720 in round 1; RESTORED 17 0 FLAT in round 1
    10   source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    20   source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; TAKEOVER 16 long 16 @93 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """,
        (seam_row(Seam.TAKEOVER_ACCEPT, 0, 10, 20, SeamKind.FORCE_FALSE),),
    )


def test_who_is_in_liquidation_is_no_counterparty(twin):
    """Both sides are due at once (18's USD die): 17 is not asked, since it is in liquidation itself, and 19 closes what it can."""
    exchange = play(
        twin,
        venue(liquidation={"order": "account", "stages": stages("book", "takeover", adl={})}),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 19                     | OPENED 19
    0    deposit 16 USD 130             | DEPOSIT 130 USD OUTSIDE to 16
    0    deposit 17 USD 60              | DEPOSIT 60 USD OUTSIDE to 17
    0    deposit 19 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    1    sell 19 COINUSDT 6 @100 #3     | ACCEPTED 19 sell 6 @100 #3; FILL 19 sell 6 @100 from 16 #1
    -- 117 x 0.3 and 54 x 0.3 against 40 and 25; converted at 0.29 the 130 USD are 37.7: 37.7 x 6 / 16, rounded up, go with 6 lots
    2    source usd 0.3                 | INDEX USD 0.3 of 1; COLLATERAL USD 0.3; LIQUIDATION 16 35.1; LIQUIDATION 17 16.2; ADL 16 long 6 @100 by 19 cash 585.8625 in round 1; CARRIED 16 20.9625 in round 1; CARRIED 17 16.2 in round 1; CARRIED 16 20.9625 in round 2
    """,
    )
    assert holds(exchange, 19) == ({0: 514_1375}, {})


# ---- own legs and counterparties' orders


def test_own_legs_are_closed_first_and_at_the_mark(twin):
    """18 is of the same owner: its 6 lots close at 93, where no value moves; 17 closes the 10 others at 93 - 8 / 10 = 92.2."""
    exchange = play(
        twin,
        venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18 owner 16            | OPENED 18 owner 16
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 18 USDT 50             | DEPOSIT 50 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    1    sell 18 COINUSDT 6 @100 #3     | ACCEPTED 18 sell 6 @100 #3; FILL 18 sell 6 @100 from 16 #1
    2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; ADL 16 long 6 @93 by 18 cash 558 OWN_LEG in round 1; ADL 16 long 10 @93 by 17 cash 922 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert holds(exchange, 18) == ({0: 92_0000}, {})  # 50 + 600 - 558
    assert holds(exchange, 17) == ({0: 578_0000}, {})  # 500 + 1000 - 922


def test_nobody_else_is_closed_when_own_legs_save_the_account(twin):
    """At 94 the account has 24 and needs 37.6; with 10 lots left it needs 23.5, less than 24: 17 keeps its position."""
    exchange = play(
        twin,
        venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18 owner 16            | OPENED 18 owner 16
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 18 USDT 50             | DEPOSIT 50 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    1    sell 18 COINUSDT 6 @100 #3     | ACCEPTED 18 sell 6 @100 #3; FILL 18 sell 6 @100 from 16 #1
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; ADL 16 long 6 @94 by 18 cash 564 OWN_LEG in round 1; RESTORED 16 24 ABOVE_TARGET in round 1
    """,
    )
    assert holds(exchange, 18) == ({0: 86_0000}, {})  # 50 + 600 - 564
    assert exchange.state()["positions"] == [(16, 0, 0, 10, 1000_0000), (17, 0, 0, -10, -1000_0000)]


def test_own_legs_bear_no_debt(twin):
    """At 90 the account owes 40. Its owner's other account closes at 90 all the same, and 17 bears all of the debt: 90 + 40 / 10."""
    exchange = play(
        twin,
        venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18 owner 16            | OPENED 18 owner 16
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 18 USDT 50             | DEPOSIT 50 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
    1    sell 18 COINUSDT 6 @100 #3     | ACCEPTED 18 sell 6 @100 #3; FILL 18 sell 6 @100 from 16 #1
    2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; ADL 16 long 6 @90 by 18 cash 540 OWN_LEG in round 1; ADL 16 long 10 @90 by 17 cash 940 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert holds(exchange, 18) == ({0: 110_0000}, {})


def test_the_orders_of_a_counterparty_are_cancelled(twin):
    """17's two orders in the market go before it is closed, oldest first; the orders of 18, which is not reached, stay."""
    exchange = play(
        twin,
        venue(),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 17 COINUSDT 2 @80 #3       | ACCEPTED 17 buy 2 @80 #3
    1    buy 18 COINUSDT 2 @80 #4       | ACCEPTED 18 buy 2 @80 #4
    1    buy 17 COINUSDT 2 @81 reduce #5 | ACCEPTED 17 buy 2 @81 #5
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CANCELLED 17 buy 2 @80 #3 DELEVERAGED in round 1; CANCELLED 17 buy 2 @81 #5 DELEVERAGED in round 1; ADL 16 long 16 @94 by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert [row[4] for row in exchange.state()["orders"]] == [4]


# ---- when it is entered


def test_the_fund_decides(twin):
    """fund_max 40: entered with at most 40 in the fund. Without ADL the position stays open and is carried."""
    for capital, last in (
        (
            "40.0001",
            "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; CARRIED 16 -40 in round 1",
        ),
        (
            40,
            "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; ADL 16 long 16 @90 by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1",
        ),
    ):
        exchange = play(
            twin,
            venue(liquidation={"stages": stages("book", "takeover", adl={"fund_max": 40})}, fund={"capital": capital}),
            TRADED + last,
        )
        assert exchange.visits()["STAGE_ADL"] == 1


def test_a_poor_fund_turns_takeovers_into_adl(twin):
    """fund_min 50: with 50 the backstop takes the account, with less the winners do."""
    for capital, last in (
        (50, "TAKEOVER 16 long 16 @94 cash 1480 in round 1"),
        ("49.9999", "ADL 16 long 16 @94 by 17 cash 1480 in round 1"),
    ):
        play(
            twin,
            venue(liquidation={"stages": stages("book", takeover={"fund_min": 50}, adl={})}, fund={"capital": capital}),
            TRADED
            + f"2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; {last}; RESTORED 16 0 FLAT in round 1",
        )


def test_net_counts_what_the_backstop_holds(twin):
    """The backstop took 16 lots at 92.5. At 91 it is 24 down: 50 in cash, 26 net, and fund_min is 50."""
    for measure, last in (
        ("cash", "TAKEOVER 18 long 8 @91 cash 720 in round 1"),
        ("net", "ADL 18 long 8 @91 by 17 cash 720 in round 1"),
    ):
        play(
            twin,
            venue(
                liquidation={"stages": stages("book", takeover={"fund_min": 50}, adl={})},
                fund={"capital": 50, "measure": measure},
            ),
            PRICED
            + f"""
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 18 USDT 80             | DEPOSIT 80 USDT OUTSIDE to 18
    1    sell 17 COINUSDT 24 @100 #1    | ACCEPTED 17 sell 24 @100 #1
    1    buy 16 COINUSDT 16 @100 #2     | ACCEPTED 16 buy 16 @100 #2; FILL 16 buy 16 @100 from 17 #1
    1    buy 18 COINUSDT 8 @100 #3      | ACCEPTED 18 buy 8 @100 #3; FILL 18 buy 8 @100 from 17 #1
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; TAKEOVER 16 long 16 @94 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    -- 80 - 8 x 9 = 8 against 18.2
    3    source coin 91                 | INDEX COIN 91 of 1; MARK COINUSDT 91; LIQUIDATION 18 8; {last}; RESTORED 18 0 FLAT in round 1
    """,
        )


def test_a_grade_that_refuses_adl_carries(twin):
    """Between takeover and ADL the grade table decides each by its own: liquidation goes on at the last valid price, ADL is deferred."""
    play(
        twin,
        venue(
            grades={"too_few_sources": {"liquidate": "last_valid", "open": "last_valid", "reduce": "last_valid", "adl": "defer"}}
        ),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USD 120             | DEPOSIT 120 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    2    source usd 0.35                | INDEX USD 0.35 of 1; COLLATERAL USD 0.35; LIQUIDATION 16 37.8; CARRIED 16 37.8 in round 1
    -- conversion at 0.34 makes 40.8 of the 120 USD: 1,600 - 40.8, and they are sold for it
    3    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100; ADL 16 long 16 @100 by 17 cash 1559.2 in round 1; CONVERT 16 120 USD @0.34 in round 1; CONVERT_CASH 40.8 USDT TREASURY to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_halted_market_suspends_until_it_opens(twin):
    play(
        twin,
        venue(),
        TRADED
        + """
    2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    3    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; SUSPENDED 16 24
    4    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93
    -- opening alone resumes: 8 of equity at 93
    5    state COINUSDT open            | STATE_SET COINUSDT OPEN; LIQUIDATION 16 8; ADL 16 long 16 @93 by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


# ---- seams


def test_seams_force_the_decision_and_the_rank(twin):
    for capital, kind, last in (
        (41, SeamKind.FORCE_TRUE, "ADL 16 long 16 @90 by 17 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1"),
        (40, SeamKind.FORCE_FALSE, "CARRIED 16 -40 in round 1"),
    ):
        exchange = play(
            twin,
            venue(liquidation={"stages": stages("book", "takeover", adl={"fund_max": 40})}, fund={"capital": capital}),
            TRADED + f"2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; {last}",
            (seam_row(Seam.ADL_TRIGGER, 0, 2, 3, kind),),
        )
        assert exchange.visits()["ADL_TRIGGER"] == 1
    # 18 would go first with 60,972,972: without a score it stands last, as it does one part per billion below 17's 18,193,548
    for row, first in (
        (seam_row(Seam.ADL_RANK, 18, 2, 3, SeamKind.MISSING), 17),
        (seam_row(Seam.ADL_RANK, 18, 2, 3, SeamKind.CONST, 18_193_547), 17),
        (seam_row(Seam.ADL_RANK, 18, 2, 3, SeamKind.CONST, 18_193_549), 18),
        (seam_row(Seam.ADL_RANK, 17, 2, 3, SeamKind.CONST, 60_972_971), 18),
        (seam_row(Seam.ADL_RANK, 17, 2, 3, SeamKind.CONST, 60_972_972), 17),  # equal: the lower id
    ):
        exchange = play(
            twin,
            venue(),
            QUEUE
            + f"2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 15.0001; ADL 16 long 8 @94 by {first} cash 739.9999 in round 1; ADL 16 long 2 @94 by {35 - first} cash 185 in round 1; RESTORED 16 0 FLAT in round 1",
            (row,),
        )
        assert exchange.visits()["ADL_RANK"] == 1


def test_a_forced_takeover_passes_its_cap(twin):
    play(
        twin,
        venue(liquidation={"stages": stages("book", takeover={"notional_max": 0}, adl={})}),
        TRADED
        + "2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; TAKEOVER 16 long 16 @94 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1",
        (seam_row(Seam.TAKEOVER_ACCEPT, 0, 2, 3, SeamKind.FORCE_TRUE),),
    )


# ---- accounts with more than one position, and isolated ones


@pytest.mark.parametrize(
    "deposit, equity, first, last",
    [
        # 24 x 8.1 / 28.1, rounded up, is 6.9182: 324 - 6.9182; then all of the rest, 17.0818
        ("100", "24", "317.0818", "-817.0818"),
        # -16 x 8.1 / 28.1, rounded up, is -4.612: 324 + 4.612; then all of the rest of the debt, 11.388
        ("60", "-16", "328.612", "-788.612"),
    ],
)
def test_a_cross_account_shares_its_margin_by_maintenance(twin, deposit, equity, first, last):
    """4 lots at 81 need 8.1, 800 short at 1 need 20. The last position takes what is left, so that nothing is; 17's orders in a market
    go when that market is deleveraged."""
    exchange = play(
        twin,
        venue(markets=TWO_MARKETS),
        f"""
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT {deposit}            | DEPOSIT {deposit} USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 4 @100 #1      | ACCEPTED 16 buy 4 COINUSDT @100 #1
    1    sell 17 COINUSDT 4 @100 #2     | ACCEPTED 17 sell 4 COINUSDT @100 #2; FILL 17 sell 4 COINUSDT @100 from 16 #1
    1    sell 16 USDUSDT 800 @1 #3      | ACCEPTED 16 sell 800 USDUSDT @1 #3
    1    buy 17 USDUSDT 800 @1 #4       | ACCEPTED 17 buy 800 USDUSDT @1 #4; FILL 17 buy 800 USDUSDT @1 from 16 #3
    1    buy 17 USDUSDT 1 @0.9 #5       | ACCEPTED 17 buy 1 USDUSDT @0.9 #5
    1    buy 17 COINUSDT 1 @50 #6       | ACCEPTED 17 buy 1 COINUSDT @50 #6
    2    source coin 81                 | INDEX COIN 81 of 1; MARK COINUSDT 81; LIQUIDATION 16 {equity}; CANCELLED 17 buy 1 COINUSDT @50 #6 DELEVERAGED in round 1; ADL 16 long 4 COINUSDT @81 by 17 cash {first} in round 1; CANCELLED 17 buy 1 USDUSDT @0.9 #5 DELEVERAGED in round 1; ADL 16 short 800 USDUSDT @1 by 17 cash {last} in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert holds(exchange, 16) == ({}, {})
    assert holds(exchange, 17) == ({0: 500_0000 + units.decimal_to_int(deposit, 4)}, {})  # all that 16 had


ISOLATED = (
    PRICED
    + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18 owner 16 parent 16  | OPENED 18 owner 16
    0    deposit 16 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    transfer 16 18 USDT 40         | TRANSFER 40 USDT 16 to 18
    1    buy 18 COINUSDT 8 @100 #1      | ACCEPTED 18 buy 8 @100 #1
    1    sell 17 COINUSDT 8 @100 #2     | ACCEPTED 17 sell 8 @100 #2; FILL 17 sell 8 @100 from 18 #1
    """
)


@pytest.mark.parametrize(
    "rows, last",
    [
        (ONLY_ADL, "ADL 18 long 8 @94 by 17 cash 760 in round 1"),
        (
            {"stages": stages()},
            "TAKEOVER 18 long 8 @94 cash 752 in round 1; FUND_SHORT 18 8 in round 1; WRITE_OFF 8 USDT BAD_DEBT to 18 in round 1",
        ),
    ],
    ids=["adl", "takeover"],
)
def test_a_loss_beyond_an_isolated_account_never_reaches_its_parent(twin, rows, last):
    """The sub-account had 40 and loses 48. The winner or the venue bears 8; all 460 of the parent may still leave."""
    exchange = play(
        twin,
        venue(liquidation=rows),
        ISOLATED
        + f"""
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 18 -8; {last} ; RESTORED 18 0 FLAT in round 1
    2    withdraw 16 USDT 460.0001      | REJECT INSUFFICIENT_BALANCE
    2    withdraw 16 USDT 460           | WITHDRAWAL 460 USDT 16 to OUTSIDE
    """.replace(" ; ", "; "),
    )
    assert holds(exchange, 16) == holds(exchange, 18) == ({}, {})


# ---- the score, against a published figure


@pytest.mark.needs_shared("vectors/adl_score.yaml")
def test_the_score_is_binances(shared, twin):
    """Binance's example through the exchange: a short with the profit, the wallet and the margin ratio of the vector.

    17 sells 10 lots at 100 and is worth 4.27 + 40.2 at 95.98; 18 sells 10 too. One bracket whose rate makes maintenance / equity the vector's ratio.
    ADL_RANK puts 18 one part per billion above or below the score that the vector's formula gives: it decides who goes first.
    """
    (vector,) = vectors(shared, "adl_score", "binance")
    profit, wallet, ratio = (Fraction(vector["given"][key]) for key in ("unrealised_pnl", "wallet_balance", "margin_ratio"))
    expect, tolerance = {k: Fraction(v) for k, v in vector["expect"].items()}, Fraction(vector["tolerance"])
    lots, price = 10, Fraction(100)
    mark = price - profit / lots
    rate_ppm = round(ratio * (wallet + profit) / (lots * mark) * units.PPM)
    maintenance = Fraction(-(-int(lots * mark * 10**4) * rate_ppm // units.PPM), 10**4)  # rounded up to a money unit
    pnl_ppb = profit * units.PPB // max(1, wallet)
    score = pnl_ppb * maintenance // (wallet + profit)
    assert abs(Fraction(pnl_ppb, units.PPB) - expect["pnl_ratio"]) <= tolerance
    assert abs(Fraction(int(score), units.PPB) - expect["score"]) <= tolerance
    brackets = [{"notional_max": 100_000, "leverage_max": units.PPM // rate_ppm, "maintenance_ppm": rate_ppm}]
    rules = venue(market={"brackets": brackets, "leverage_default": 100})
    table = f"""
    0    source coin 100                | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    account 18                     | ...
    0    deposit 16 USDT 60             | ...
    0    deposit 17 USDT 10             | ...
    0    deposit 18 USDT 1000           | ...
    1    sell 17 COINUSDT 10 @100 #1    | ...
    1    buy 16 COINUSDT 10 @100 #2     | ...
    1    buy 16 COINUSDT 10 @100 #3     | ...
    1    sell 18 COINUSDT 10 @100 #4    | ...
    2    source coin 98                 | ...
    2    withdraw 17 USDT {units.int_to_decimal(int((10 - wallet) * 10**4), 4)} | ...
    3    source coin {units.int_to_decimal(int(mark * 100), 2)} | ...
    """
    for nudge, first in ((-1, 17), (0, 17), (1, 18)):  # of equals the lower id
        exchange = twin(rules, START_NS, (seam_row(Seam.ADL_RANK, 18, 3, 4, SeamKind.CONST, int(score) + nudge),))
        exchange.run(tape(rules, table))
        outcomes = exchange.outcomes()
        assert outcomes["other"][outcomes["kind"] == OutcomeKind.ADL].tolist() == [first, 35 - first]
