"""Sub-accounts, by example, on both twins: transfers, the switch cross <-> isolated, margin that a parent adds.

The rule book is tests/twins.py:small_venue: 5 % initial margin, 2.5 % maintenance. 16 is the parent, 18 its sub-account, 19 another
account of the same owner, 17 a stranger. Of several things that are wrong with an event the first of the gate is told.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import pytest

from fuzz.twin import Lockstep
from specs.model.exchange import Exchange as Model
from specs.tape import Seam, SeamKind
from tests.test_model_tables import FUNDED, TWO_MARKETS
from tests.twins import START_NS, play, seam_row, small_venue, stages, tape, twin  # noqa: F401

FAMILY = (
    FUNDED
    + """
    0    account 18 owner 16 parent 16  | OPENED 18 owner 16
    0    account 19 owner 16            | OPENED 19 owner 16
"""
)
LONG_10 = (
    FAMILY
    + """
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1
"""
)
NOT_TAKEN = {"stages": stages("book", "takeover")}  # an account in liquidation stays in it


def wealth(exchange) -> dict[int, int]:
    """Return the settlement balances of all accounts."""
    return {account: balance for account, asset, balance in exchange.state()["balances"] if asset == 0}


# ---- transfers


def test_transfers_between_accounts_of_one_owner(twin):
    """Parent, sub-account and sister in any direction, any asset."""
    exchange = play(
        twin,
        small_venue(),
        FAMILY
        + """
    0    deposit 16 USD 7               | DEPOSIT 7 USD OUTSIDE to 16
    1    transfer 16 18 USDT 50         | TRANSFER 50 USDT 16 to 18
    1    transfer 18 19 USDT 20.0001    | TRANSFER 20.0001 USDT 18 to 19
    1    transfer 19 16 USDT 0.0001     | TRANSFER 0.0001 USDT 19 to 16
    1    transfer 16 18 USD 7           | TRANSFER 7 USD 16 to 18
    1    withdraw 18 USD 7              | WITHDRAWAL 7 USD 18 to OUTSIDE
    """,
    )
    balances = wealth(exchange)
    assert {account: balances[account] for account in (16, 17, 18, 19)} == {16: 70_0001, 17: 120_0000, 18: 29_9999, 19: 20_0000}


def test_transfers_that_are_refused(twin):
    play(
        twin,
        small_venue(),
        FAMILY
        + """
    1    transfer 99 18 7 0             | REJECT UNKNOWN_ACCOUNT
    1    transfer 16 99 7 0             | REJECT UNKNOWN_ACCOUNT
    1    transfer 1 16 7 0              | REJECT UNKNOWN_ACCOUNT
    1    transfer 16 1 7 0              | REJECT UNKNOWN_ACCOUNT
    1    transfer 16 17 7 0             | REJECT NOT_RELATED
    1    transfer 18 17 7 0             | REJECT NOT_RELATED
    1    transfer 16 16 7 0             | REJECT NOT_RELATED
    1    transfer 16 18 7 0             | REJECT UNKNOWN_ASSET
    1    transfer 16 18 USDT 0          | REJECT BAD_AMOUNT
    1    transfer 16 18 USDT -1         | REJECT BAD_AMOUNT
    1    transfer 16 18 USDT 10000000000000000000.0001 | REJECT BAD_AMOUNT
    1    deposit 19 USDT 10000000000000000000 | DEPOSIT 10000000000000000000 USDT OUTSIDE to 19
    1    transfer 16 19 USDT 0.0001     | REJECT BAD_AMOUNT
    1    transfer 16 18 USDT 120.0001   | REJECT INSUFFICIENT_BALANCE
    1    transfer 16 18 USD 0.0001      | REJECT INSUFFICIENT_BALANCE
    -- nothing has moved
    1    transfer 16 18 USDT 120        | TRANSFER 120 USDT 16 to 18
    """,
    )


def test_a_transfer_leaves_initial_margin_and_no_profit_moves(twin):
    """10 lots at 100 need 50 of 120. At 110 the profit of 100 is no wallet: still no more than 120. At 99 it has 60 - 10 and needs 49.5."""
    play(
        twin,
        small_venue(),
        LONG_10
        + """
    1    transfer 16 18 USDT 70.0001    | REJECT INSUFFICIENT_MARGIN
    1    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    2    source coin 110                | INDEX COIN 110 of 1; MARK COINUSDT 110
    2    transfer 16 18 USDT 120.0001   | REJECT INSUFFICIENT_BALANCE
    2    transfer 16 18 USDT 120        | TRANSFER 120 USDT 16 to 18
    2    transfer 16 18 USDT 0.0001     | REJECT INSUFFICIENT_BALANCE
    3    transfer 18 16 USDT 60         | TRANSFER 60 USDT 18 to 16
    3    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99
    3    transfer 16 18 USDT 0.5001     | REJECT INSUFFICIENT_MARGIN
    3    transfer 16 18 USDT 0.5        | TRANSFER 0.5 USDT 16 to 18
    """,
    )


def test_an_account_in_liquidation_gives_nothing_but_takes(twin):
    """16 lots at 94: 24 against 37.6. With 13.6 from its sister it stands at maintenance, with 0.0001 more above it."""
    play(
        twin,
        small_venue(liquidation=NOT_TAKEN),
        FAMILY
        + """
    0    deposit 19 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    2    transfer 16 19 USDT 500        | REJECT IN_LIQUIDATION
    2    transfer 19 16 USDT 13.6       | TRANSFER 13.6 USDT 19 to 16; CARRIED 16 37.6 in round 1
    2    transfer 19 16 USDT 0.0001     | TRANSFER 0.0001 USDT 19 to 16; RESTORED 16 37.6001 ABOVE_TARGET
    """,
    )


def test_a_transfer_at_a_grade_that_refuses_withdrawals(twin):
    """Only of who holds something at that price; a row can allow it at the last valid one."""
    missing = "2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES\n"
    play(
        twin,
        small_venue(),
        LONG_10
        + "1    deposit 19 USDT 5              | DEPOSIT 5 USDT OUTSIDE to 19\n"
        + missing
        + """
    2    transfer 16 18 USDT 500        | REJECT GRADE_REFUSED
    2    transfer 19 16 USDT 5          | TRANSFER 5 USDT 19 to 16
    """,
    )
    play(
        twin,
        small_venue(grades={"too_few_sources": {"withdraw": "last_valid"}}),
        LONG_10 + missing + "2    transfer 16 18 USDT 70          | TRANSFER 70 USDT 16 to 18",
    )


# ---- the switch


def test_a_position_goes_to_the_sub_account_and_back(twin):
    """With it its entry value and the margin that is named: 60 are enough for 50, and coming back none is named."""
    exchange = play(
        twin,
        small_venue(),
        LONG_10
        + """
    1    mode 16 18 COINUSDT 60         | MOVED 16 to 18 long 10 entry 1000; TRANSFER 60 USDT 16 to 18
    1    withdraw 16 USDT 60            | WITHDRAWAL 60 USDT 16 to OUTSIDE
    1    withdraw 18 USDT 10.0001       | REJECT INSUFFICIENT_MARGIN
    1    mode 18 16 COINUSDT 0          | REJECT INSUFFICIENT_MARGIN
    1    mode 18 16 COINUSDT 60         | MOVED 18 to 16 long 10 entry 1000; TRANSFER 60 USDT 18 to 16
    1    sell 16 COINUSDT 10 @100 #3    | ACCEPTED 16 sell 10 @100 #3
    1    buy 17 COINUSDT 10 @100 #4     | ACCEPTED 17 buy 10 @100 #4; FILL 17 buy 10 @100 from 16 #3
    """,
    )
    assert {account: money for account, money in wealth(exchange).items() if account >= 16} == {16: 60_0000, 17: 120_0000}
    assert not exchange.state()["positions"]


def test_unrealised_profit_and_loss_go_with_the_position(twin):
    """The short's entry value is negative. At 96 it has gained 40: 48 of margin are needed and 8 named; the parent keeps 112, its wallet."""
    exchange = play(
        twin,
        small_venue(),
        FAMILY
        + """
    1    sell 16 COINUSDT 10 @100 #1    | ACCEPTED 16 sell 10 @100 #1
    1    buy 17 COINUSDT 10 @100 #2     | ACCEPTED 17 buy 10 @100 #2; FILL 17 buy 10 @100 from 16 #1
    2    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96
    2    mode 16 18 COINUSDT 7.9999     | REJECT INSUFFICIENT_MARGIN
    2    mode 16 18 COINUSDT 8          | MOVED 16 to 18 short 10 entry -1000; TRANSFER 8 USDT 16 to 18
    2    withdraw 16 USDT 112           | WITHDRAWAL 112 USDT 16 to OUTSIDE
    2    withdraw 18 USDT 0.0001        | REJECT INSUFFICIENT_MARGIN
    -- at 103 it has lost 30 instead: equity -22
    3    source coin 103                | INDEX COIN 103 of 1; MARK COINUSDT 103; LIQUIDATION 18 -22; TAKEOVER 18 short 10 @103 cash -1030 in round 1; FUND_SHORT 18 22 in round 1; WRITE_OFF 22 USDT BAD_DEBT to 18 in round 1; RESTORED 18 0 FLAT in round 1
    """,
    )
    assert 16 not in wealth(exchange)


def test_switches_that_are_refused(twin):
    play(
        twin,
        small_venue(),
        LONG_10
        + """
    1    account 20 owner 16 parent 16  | OPENED 20 owner 16
    1    mode 99 18 7 -1                | REJECT UNKNOWN_ACCOUNT
    1    mode 16 99 7 -1                | REJECT UNKNOWN_ACCOUNT
    1    mode 16 2 7 -1                 | REJECT UNKNOWN_ACCOUNT
    1    mode 16 18 7 -1                | REJECT UNKNOWN_MARKET
    1    mode 16 17 COINUSDT -1         | REJECT NOT_RELATED
    1    mode 16 16 COINUSDT -1         | REJECT NOT_RELATED
    -- of one owner, but no parent of it; two sub-accounts of one parent
    1    mode 16 19 COINUSDT -1         | REJECT NOT_RELATED
    1    mode 18 20 COINUSDT -1         | REJECT NOT_RELATED
    1    mode 16 18 COINUSDT -0.0001    | REJECT BAD_AMOUNT
    1    mode 16 18 COINUSDT 10000000000000000000.0001 | REJECT BAD_AMOUNT
    1    mode 18 16 COINUSDT 500        | REJECT NO_POSITION
    1    mode 16 18 COINUSDT 120.0001   | REJECT INSUFFICIENT_BALANCE
    1    mode 16 18 COINUSDT 49.9999    | REJECT INSUFFICIENT_MARGIN
    -- orders of either in that market, and a position of the other
    1    transfer 16 18 USDT 30         | TRANSFER 30 USDT 16 to 18
    1    sell 16 COINUSDT 1 @101 #3     | ACCEPTED 16 sell 1 @101 #3
    1    mode 16 18 COINUSDT 500        | REJECT HAS_ORDERS
    1    cancel 16 #3                   | CANCELLED 16 sell 1 @101 #3 USER
    1    sell 18 COINUSDT 1 @101 #4     | ACCEPTED 18 sell 1 @101 #4
    1    mode 16 18 COINUSDT 500        | REJECT HAS_ORDERS
    1    buy 17 COINUSDT 1 @101 #5      | ACCEPTED 17 buy 1 @101 #5; FILL 17 buy 1 @101 from 18 #4
    1    sell 16 COINUSDT 1 @101 #6     | ACCEPTED 16 sell 1 @101 #6
    1    mode 16 18 COINUSDT 500        | REJECT NOT_FLAT
    """,
    )


def test_a_switch_needs_normal_accounts_and_prices(twin):
    """Of both: the one in liquidation gives and takes nothing; a market without a price, and collateral of either, refuse it."""
    play(
        twin,
        small_venue(liquidation=NOT_TAKEN),
        FAMILY
        + """
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    2    mode 16 18 COINUSDT -1         | REJECT IN_LIQUIDATION
    2    mode 18 16 COINUSDT -1         | REJECT IN_LIQUIDATION
    """,
    )
    play(
        twin,
        small_venue(),
        LONG_10
        + """
    2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    2    mode 16 18 COINUSDT 500        | REJECT GRADE_REFUSED
    2    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    2    deposit 18 USD 1               | DEPOSIT 1 USD OUTSIDE to 18
    2    source usd missing             | INDEX USD 1 of 0 TOO_FEW_SOURCES; COLLATERAL USD 1 TOO_FEW_SOURCES
    2    mode 16 18 COINUSDT 500        | REJECT GRADE_REFUSED
    2    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    2    mode 16 18 COINUSDT 50         | MOVED 16 to 18 long 10 entry 1000; TRANSFER 50 USDT 16 to 18
    """,
    )


def test_who_gives_a_position_away_keeps_margin_for_the_others(twin):
    """16 holds 4 COIN and 800 USD short, 20 and 40 of margin, with 100. The profit of 36 at 109 goes with the COIN; of its wallet
    100 the USD need 40. Orders in another market do not hinder."""
    play(
        twin,
        small_venue(markets=TWO_MARKETS),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18 owner 16 parent 16  | OPENED 18 owner 16
    0    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 4 @100 #1      | ACCEPTED 16 buy 4 COINUSDT @100 #1
    1    sell 17 COINUSDT 4 @100 #2     | ACCEPTED 17 sell 4 COINUSDT @100 #2; FILL 17 sell 4 COINUSDT @100 from 16 #1
    1    sell 16 USDUSDT 800 @1 #3      | ACCEPTED 16 sell 800 USDUSDT @1 #3
    1    buy 17 USDUSDT 800 @1 #4       | ACCEPTED 17 buy 800 USDUSDT @1 #4; FILL 17 buy 800 USDUSDT @1 from 16 #3
    1    buy 16 USDUSDT 1 @0.9 #5       | ACCEPTED 16 buy 1 USDUSDT @0.9 #5
    2    source coin 109                | INDEX COIN 109 of 1; MARK COINUSDT 109
    2    mode 16 18 COINUSDT 60.0001    | REJECT INSUFFICIENT_MARGIN
    2    mode 16 18 COINUSDT 60         | MOVED 16 to 18 long 4 COINUSDT entry 400; TRANSFER 60 USDT 16 to 18
    """,
    )


# ---- margin that the parent adds

ISOLATED = """
    1    buy 18 COINUSDT 8 @100 #1      | ACCEPTED 18 buy 8 @100 #1
    1    sell 17 COINUSDT 8 @100 #2     | ACCEPTED 17 sell 8 @100 #2; FILL 17 sell 8 @100 from 18 #1
"""
FED = (
    FAMILY
    + """
    0    transfer 16 18 USDT 40         | TRANSFER 40 USDT 16 to 18
    0    autoadd 18 on                  | AUTO_ADD_SET 18 on
"""
    + ISOLATED
)


def test_auto_add_is_a_setting_of_a_sub_account(twin):
    exchange = play(
        twin,
        small_venue(),
        FAMILY
        + """
    1    autoadd 99 on                  | REJECT UNKNOWN_ACCOUNT
    1    autoadd 16 on                  | REJECT UNKNOWN_ACCOUNT
    1    autoadd 19 on                  | REJECT UNKNOWN_ACCOUNT
    1    raw kind=11 account=18 qty=2   | REJECT BAD_SETTING
    1    raw kind=11 account=18 qty=-1  | REJECT BAD_SETTING
    1    autoadd 18 off                 | AUTO_ADD_SET 18 off
    1    autoadd 18 on                  | AUTO_ADD_SET 18 on
    """,
    )
    assert {row[0]: row[5] for row in exchange.state()["accounts"]} == {16: 0, 17: 0, 18: 1, 19: 0}


def test_auto_add_brings_back_initial_margin(twin):
    """At 97: 16 against 19.4. Initial margin is 38.8, so 22.8 come, and no episode opens. Above maintenance nothing comes."""
    play(
        twin,
        small_venue(),
        FED
        + """
    2    source coin 97.5               | INDEX COIN 97.5 of 1; MARK COINUSDT 97.5
    2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; AUTO_ADD 22.8 USDT 16 to 18
    2    withdraw 16 USDT 57.2001       | REJECT INSUFFICIENT_BALANCE
    2    withdraw 16 USDT 57.2          | WITHDRAWAL 57.2 USDT 16 to OUTSIDE
    """,
    )


def test_auto_add_in_part(twin):
    """5 are left to the parent: 21 against 19.4, enough. With 2 they are gone and it is liquidated all the same: 18 against 19.4."""
    for spare, last in (
        ("5", "AUTO_ADD 5 USDT 16 to 18"),
        (
            "2",
            "AUTO_ADD 2 USDT 16 to 18; LIQUIDATION 18 18; TAKEOVER 18 long 8 @97 cash 758 in round 1; RESTORED 18 0 FLAT in round 1",
        ),
    ):
        leaves = 80 - int(spare)
        play(
            twin,
            small_venue(),
            FED
            + f"""
    1    withdraw 16 USDT {leaves}            | WITHDRAWAL {leaves} USDT 16 to OUTSIDE
    2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; {last}
    """,
        )


def test_auto_add_leaves_the_parent_its_own_margin(twin):
    """The parent holds 2 lots. With 30 it has 24 at 97 and needs 9.7: 14.3 come. With 15.7 it has 9.7 and gives nothing."""
    taken = "LIQUIDATION 18 16; TAKEOVER 18 long 8 @97 cash 760 in round 1; RESTORED 18 0 FLAT in round 1"
    for leaves, last in (("50", "AUTO_ADD 14.3 USDT 16 to 18"), ("64.3", taken)):
        play(
            twin,
            small_venue(),
            FED
            + f"""
    1    buy 16 COINUSDT 2 @100 #3      | ACCEPTED 16 buy 2 @100 #3
    1    sell 17 COINUSDT 2 @100 #4     | ACCEPTED 17 sell 2 @100 #4; FILL 17 sell 2 @100 from 16 #3
    1    withdraw 16 USDT {leaves}            | WITHDRAWAL {leaves} USDT 16 to OUTSIDE
    2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; {last}
    """,
        )


def test_without_auto_add_the_parent_gives_nothing(twin):
    """Off, never set, nothing there, in liquidation itself, or at a grade at which the parent may not withdraw."""
    taken = "2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; LIQUIDATION 18 16; TAKEOVER 18 long 8 @97 cash 760 in round 1; RESTORED 18 0 FLAT in round 1"
    play(twin, small_venue(), FED + "1    autoadd 18 off                 | AUTO_ADD_SET 18 off\n" + taken)
    play(twin, small_venue(), FED.replace("    0    autoadd 18 on                  | AUTO_ADD_SET 18 on\n", "") + taken)
    play(twin, small_venue(), FED + "1    withdraw 16 USDT 80            | WITHDRAWAL 80 USDT 16 to OUTSIDE\n" + taken)
    play(
        twin,
        small_venue(),
        FED
        + """
    1    deposit 16 USD 1               | DEPOSIT 1 USD OUTSIDE to 16
    1    source usd missing             | INDEX USD 1 of 0 TOO_FEW_SOURCES; COLLATERAL USD 1 TOO_FEW_SOURCES
    """
        + taken,
    )


def test_a_parent_in_liquidation_adds_nothing(twin):
    """The parent bought 16 lots with 80: at 96.5 it has 24 against 38.6, carried; 18 has 12 against 19.3."""
    play(
        twin,
        small_venue(liquidation=NOT_TAKEN),
        FED
        + """
    1    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #3     | ACCEPTED 16 buy 16 @100 #3
    1    sell 17 COINUSDT 16 @100 #4    | ACCEPTED 17 sell 16 @100 #4; FILL 17 sell 16 @100 from 16 #3
    -- 18's ratio is 1.61 and 16's 1.608
    2    source coin 96.5               | INDEX COIN 96.5 of 1; MARK COINUSDT 96.5; LIQUIDATION 16 24; LIQUIDATION 18 12; CARRIED 16 24 in round 1; CARRIED 18 12 in round 1
    3    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16; RESTORED 16 124 ABOVE_TARGET
    -- 16 can give 100 + 80 - 16 x 4 - 76.8 = 39.2; at 96 the sub-account has 8 and needs 38.4
    4    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96; AUTO_ADD 30.4 USDT 16 to 18; RESTORED 18 38.4 ABOVE_TARGET
    """,
    )


def test_a_rich_parent_that_is_in_liquidation_adds_nothing_either(twin):
    """Its trigger is forced: it has 74 against 9.7, and none of it comes."""
    play(
        twin,
        small_venue(liquidation=NOT_TAKEN),
        FED
        + """
    1    buy 16 COINUSDT 2 @100 #3      | ACCEPTED 16 buy 2 @100 #3
    1    sell 17 COINUSDT 2 @100 #4     | ACCEPTED 17 sell 2 @100 #4; FILL 17 sell 2 @100 from 16 #3
    2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; LIQUIDATION 16 78; CARRIED 16 78 in round 1
    3    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; LIQUIDATION 18 16; CARRIED 18 16 in round 1; CARRIED 16 74 in round 1
    """,
        (seam_row(Seam.LIQUIDATION_TRIGGER, 16, 2, 4, SeamKind.FORCE_TRUE),),
    )


def test_auto_add_saves_who_is_due_by_a_payment_too(twin):
    """Funding of 0.03 a lot and price takes 24 of 40: 16 against 20; 24 come."""
    play(
        twin,
        small_venue(market={"funding": {"every_ns": 60 * 10**9, "interest_ppb": 30_000_000, "damp_ppb": 30_000_000}}),
        FED
        + "20   clock                          | FUNDING COINUSDT 0.03 sum 3; FUNDING_RECEIVED 24 USDT FUNDING_RESIDUE to 17; FUNDING_PAID 24 USDT 18 to FUNDING_RESIDUE; AUTO_ADD 24 USDT 16 to 18",
    )


def test_who_adds_margin_is_not_liquidated_for_it(twin):
    """Where initial and maintenance margin are one, a parent that gave down to initial margin would be next, and in another round
    where it was not looked at. At 98.5 parent 20 has 75 and maintenance 49.25; it keeps one unit above it, whether its number is
    below or above that of its sub-account 18, and whether or not it was looked at in between."""
    margin = {"brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 50_000}]}
    still = "".join(
        f"    1    source coin {price}             | INDEX COIN {price} of 1; MARK COINUSDT {price}\n"
        for price in ("99.95", "100") * 12
    )
    for parent, sub in ((20, 18), (18, 20)):
        play(
            twin,
            small_venue(market=margin),
            f"""
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    account {parent}                     | OPENED {parent}
    0    account {sub} owner {parent} parent {parent} | OPENED {sub} owner {parent}
    0    account 17                     | OPENED 17
    0    deposit {parent} USDT 90             | DEPOSIT 90 USDT OUTSIDE to {parent}
    0    deposit {sub} USDT 210            | DEPOSIT 210 USDT OUTSIDE to {sub}
    0    deposit 17 USDT 9000           | DEPOSIT 9000 USDT OUTSIDE to 17
    0    sell 17 COINUSDT 50 @100 #1    | ACCEPTED 17 sell 50 @100 #1
    0    buy {parent} COINUSDT 10 @100 #2     | ACCEPTED {parent} buy 10 @100 #2; FILL {parent} buy 10 @100 from 17 #1
    0    buy {sub} COINUSDT 40 @100 #3     | ACCEPTED {sub} buy 40 @100 #3; FILL {sub} buy 40 @100 from 17 #1
    0    autoadd {sub} on                  | AUTO_ADD_SET {sub} on
{still}
    2    source coin 98.5               | INDEX COIN 98.5 of 1; MARK COINUSDT 98.5; AUTO_ADD 25.7499 USDT {parent} to {sub}; LIQUIDATION {sub} 175.7499; TAKEOVER {sub} long 40 @98.5 cash 3764.2501 in round 1; RESTORED {sub} 0 FLAT in round 1
    3    clock                          |
    """,
        )


# ---- where initial and maintenance margin are one

ONE = {"brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 50_000}]}  # 50 of 10 lots at 100


def at_maintenance(sign: str):
    """Return the rule book whose initial margin is its maintenance; `sign` ge: equity at maintenance triggers, gt: it does not."""
    return small_venue(market=ONE, liquidation={"trigger": f"maintenance_{sign}_equity"} | NOT_TAKEN)


GATES = {
    "a limit order": ("", "buy 18 COINUSDT 10 @100 #3", "ACCEPTED 18 buy 10 @100 #3; FILL 18 buy 10 @100 from 17 #1"),
    "a market order": ("", "buy 18 COINUSDT 10 market #3", "ACCEPTED 18 buy 10 @0 #3; FILL 18 buy 10 @100 from 17 #1"),
    "what rests": (
        "1    buy 18 COINUSDT 4 @95 #3       | ACCEPTED 18 buy 4 @95 #3",
        "buy 18 COINUSDT 6 @100 #4",
        "ACCEPTED 18 buy 6 @100 #4; FILL 18 buy 6 @100 from 17 #1",
    ),
}


@pytest.mark.parametrize("gate", GATES)
def test_an_order_does_not_end_at_the_trigger(twin, gate):
    """10 lots at 100 need 50, which is all of maintenance: under >= one unit more, or the fill would be the liquidation."""
    before, order, said = GATES[gate]
    table = f"""{FAMILY}
    0    transfer 16 18 USDT 50         | TRANSFER 50 USDT 16 to 18
    0    sell 17 COINUSDT 10 @100 #1    | ACCEPTED 17 sell 10 @100 #1
    {before}
"""
    play(twin, at_maintenance("gt"), table + f"2 {order} | {said}\n 3 clock |")
    play(
        twin,
        at_maintenance("ge"),
        table
        + f"""
    2    {order}      | REJECT INSUFFICIENT_MARGIN
    2    transfer 16 18 USDT 0.0001     | TRANSFER 0.0001 USDT 16 to 18
    2    {order}      | {said}
    3    clock                          |
    """,
    )


def test_nothing_is_taken_down_to_the_trigger(twin):
    """18 has 60 and needs 50: what it may give of it, to whom and in which asset, is 10, under >= less one unit."""
    for sign, most, over in (("gt", "10", "10.0001"), ("ge", "9.9999", "10")):
        for take, taken in (
            ("withdraw 18 USDT {}", "WITHDRAWAL {} USDT 18 to OUTSIDE"),
            ("transfer 18 16 USDT {}", "TRANSFER {} USDT 18 to 16"),
        ):
            play(
                twin,
                at_maintenance(sign),
                f"""{FAMILY}
    0    transfer 16 18 USDT 60         | TRANSFER 60 USDT 16 to 18
    1    sell 17 COINUSDT 10 @100 #1    | ACCEPTED 17 sell 10 @100 #1
    1    buy 18 COINUSDT 10 @100 #2     | ACCEPTED 18 buy 10 @100 #2; FILL 18 buy 10 @100 from 17 #1
    2    {take.format(over)}            | REJECT INSUFFICIENT_MARGIN
    2    {take.format(most)}            | {taken.format(most)}
    3    clock                          |
    """,
            )


def test_collateral_is_not_taken_down_to_the_trigger(twin):
    """100 USD count 90 beside 50 of which 10 lots need all: under >= the last of them cannot go."""
    for sign, answer in (("gt", "WITHDRAWAL 100 USD 18 to OUTSIDE"), ("ge", "REJECT INSUFFICIENT_MARGIN")):
        play(
            twin,
            at_maintenance(sign),
            f"""{FAMILY}
    0    transfer 16 18 USDT 50         | TRANSFER 50 USDT 16 to 18
    0    deposit 18 USD 100             | DEPOSIT 100 USD OUTSIDE to 18
    1    sell 17 COINUSDT 10 @100 #1    | ACCEPTED 17 sell 10 @100 #1
    1    buy 18 COINUSDT 10 @100 #2     | ACCEPTED 18 buy 10 @100 #2; FILL 18 buy 10 @100 from 17 #1
    2    withdraw 18 USD 100            | {answer}
    3    clock                          |
    """,
        )


def test_a_switch_does_not_end_at_the_trigger(twin):
    """10 lots go to the sub-account with 50: all of what they need there."""
    for sign, rows in (
        ("gt", "2 mode 16 18 COINUSDT 50 | MOVED 16 to 18 long 10 entry 1000; TRANSFER 50 USDT 16 to 18"),
        (
            "ge",
            """
    2    mode 16 18 COINUSDT 50         | REJECT INSUFFICIENT_MARGIN
    2    mode 16 18 COINUSDT 50.0001    | MOVED 16 to 18 long 10 entry 1000; TRANSFER 50.0001 USDT 16 to 18
    """,
        ),
    ):
        play(twin, at_maintenance(sign), f"{LONG_10}\n{rows}\n 3 clock |")


def test_margin_that_is_added_saves(twin):
    """At 98 the sub-account has 40 and needs 49: the parent brings it there, under >= one unit above."""
    for sign, added in (("gt", "9"), ("ge", "9.0001")):
        play(
            twin,
            at_maintenance(sign),
            f"""{FAMILY}
    0    transfer 16 18 USDT 60         | TRANSFER 60 USDT 16 to 18
    0    autoadd 18 on                  | AUTO_ADD_SET 18 on
    1    sell 17 COINUSDT 10 @100 #1    | ACCEPTED 17 sell 10 @100 #1
    1    buy 18 COINUSDT 10 @100 #2     | ACCEPTED 18 buy 10 @100 #2; FILL 18 buy 10 @100 from 17 #1
    2    source coin 98                 | INDEX COIN 98 of 1; MARK COINUSDT 98; AUTO_ADD {added} USDT 16 to 18
    3    clock                          |
    """,
        )


def test_a_bound_counts_whom_margin_came_to_but_did_not_save():
    """The one round of this rule book does nothing for 18. It is looked at again, as 2 came to it, and counted."""
    table = (
        FED
        + """
    1    withdraw 16 USDT 78            | WITHDRAWAL 78 USDT 16 to OUTSIDE
    2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; AUTO_ADD 2 USDT 16 to 18; LIQUIDATION 18 18; CARRIED 18 18 in round 1; BOUND 1 in round 1
    """
    )
    book = small_venue(limits={"rounds_max": 1}, liquidation=NOT_TAKEN)
    play(Model, book, table)
    Lockstep(book, START_NS).run(tape(book, table), laws=True)
