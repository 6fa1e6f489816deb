"""Call auctions: orders collect, a market that leaves the state AUCTION is uncrossed at one price. Tables on both twins, brute force.

Prices are around 100, the tick is 1.00, a lot is one coin; accounts are rich, so that margin speaks only where a table is of it.
"""

# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.strategies import KINDS, pack, sample
from fuzz.twin import Lockstep, restore, twin_class
from specs.model.auction import Clearing, clearing
from specs.scene import outcomes_of
from specs.tape import EVENT, USERS_FROM, EventKind, MarketState, OutcomeKind, Side, Tif
from tests.test_convert_to_book import venue as spot_venue
from tests.twins import START_NS, index, play, small_venue, stages, tape, twin  # noqa: F401

RICH = """
    0    source coin 100                | ...
    0    source usd 1                   | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    account 18                     | ...
    0    account 19 owner 16            | ...
    0    deposit 16 USDT 900            | ...
    0    deposit 17 USDT 900            | ...
    0    deposit 18 USDT 900            | ...
    0    deposit 19 USDT 900            | ...
"""
COLLECTS = RICH + "1 state COINUSDT auction | STATE_SET COINUSDT AUCTION\n"
LEAVE = "2 state COINUSDT open |"


def auction_venue(**changes):
    """Return small_venue with a tick of 1.00; `market` replaces more of COINUSDT."""
    return small_venue(market={"tick_size": 100} | changes.pop("market", {}), **changes)


def orders(*words: str) -> str:
    """Return rows of orders of an auction, numbered from 1: 'buy 16 10 @101 ...', each accepted without a fill."""
    rows = []
    for number, order in enumerate(words, 1):
        side, account, lots, price, *more = order.split()
        shows = [" show " + word.removeprefix("show=") for word in more if word.startswith("show=")]
        said = f"ACCEPTED {account} {side} {lots} {price} #{number}{''.join(shows)}"
        rows.append(f"1 {side} {account} COINUSDT {lots} {price} {' '.join(more)} #{number} | {said}\n")
    return "".join(rows)


# ---- opening and re-opening


def test_an_opening_auction_collects_what_crosses_and_trades_at_one_price(twin):
    """At 100 and at 101 nine lots would buy and seven sell: the nearer to the mark, 100, by price, then by time."""
    exchange = play(
        twin,
        auction_venue(),
        COLLECTS
        + orders(
            "buy 16 4 @103",
            "buy 17 3 @101",
            "buy 16 2 @103",
            "buy 17 5 @99",
            "sell 18 3 @98",
            "sell 18 4 @100",
            "sell 17 6 @102",
        )
        + LEAVE
        + "UNCROSSED COINUSDT 7 @100 left 2; FILL 16 buy 3 @100 from 18 #5; FILL 16 buy 1 @100 from 18 #6; FILL 16 buy 2 @100 from 18 #6; FILL 17 buy 1 @100 from 18 #6; STATE_SET COINUSDT OPEN",
    )
    assert [(row[2], row[4], row[6]) for row in exchange.state()["orders"]] == [(10_100, 2, 2), (9_900, 4, 5), (10_200, 7, 6)]


def test_orders_that_do_not_rest_are_refused_and_all_others_collect(twin):
    play(
        twin,
        auction_venue(),
        COLLECTS
        + """
    1    sell 17 COINUSDT 2 @100 #1             | ACCEPTED 17 sell 2 @100 #1
    1    buy 16 COINUSDT 2 @101 ioc #2          | REJECT MARKET_STATE
    1    buy 16 COINUSDT 2 @101 fok #2          | REJECT MARKET_STATE
    1    buy 16 COINUSDT 2 market #2            | REJECT MARKET_STATE
    1    buy 16 COINUSDT 1 @101 post #3         | ACCEPTED 16 buy 1 @101 #3
    1    buy 16 COINUSDT 1 @102 reprice #4      | ACCEPTED 16 buy 1 @102 #4
    1    buy 18 COINUSDT 5 @103 gtd until=2 #5  | ACCEPTED 18 buy 5 @103 #5
    1    buy 18 COINUSDT 5 @103 #6              | ACCEPTED 18 buy 5 @103 #6
    1    amend 18 #6 1                          | AMENDED 18 buy 1 @103 #6
    1    amend 18 #6 @99                        | AMENDED 18 buy 1 @99 #6 anew
    1    cancel 18 #6                           | CANCELLED 18 buy 1 @99 #6 USER
    2    clock                                  | CANCELLED 18 buy 5 @103 #5 EXPIRED
    """
        + LEAVE
        + "UNCROSSED COINUSDT 2 @100 left 0; FILL 16 buy 1 @100 from 17 #1; FILL 16 buy 1 @100 from 17 #1; STATE_SET COINUSDT OPEN",
    )


def test_a_halted_market_reopens_with_the_orders_that_rested_through_it(twin):
    play(
        twin,
        auction_venue(),
        RICH
        + """
    1    buy 16 COINUSDT 3 @99 #1       | ACCEPTED 16 buy 3 @99 #1
    1    sell 17 COINUSDT 3 @101 #2     | ACCEPTED 17 sell 3 @101 #2
    1    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    1    buy 18 COINUSDT 4 @101 #3      | REJECT MARKET_STATE
    2    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
    2    buy 18 COINUSDT 4 @102 #3      | ACCEPTED 18 buy 4 @102 #3
    2    sell 18 COINUSDT 2 @98 #4      | ACCEPTED 18 sell 2 @98 #4
    2    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
    -- 101: four buy, five sell; whoever rested at 101 before the halt sells his two
    3    state COINUSDT open            | UNCROSSED COINUSDT 4 @101 left -1; FILL 18 buy 2 @101 from 18 #4; FILL 18 buy 2 @101 from 17 #2; STATE_SET COINUSDT OPEN
    3    buy 16 COINUSDT 1 @101 #5      | ACCEPTED 16 buy 1 @101 #5; FILL 16 buy 1 @101 from 17 #2
    """,
    )


@pytest.mark.parametrize("state", ["halted", "reduce_only", "cancel_only", "post_only", "paused"])
def test_whatever_ends_an_auction_uncrosses_it_first(twin, state):
    """The fills are the auction's: no row of the new state forbids them, and the book is never left crossed."""
    exchange = play(
        twin,
        auction_venue(),
        COLLECTS
        + orders("buy 16 2 @101", "sell 17 3 @100")
        + f"2 state COINUSDT {state} | UNCROSSED COINUSDT 2 @100 left -1; FILL 16 buy 2 @100 from 17 #2; STATE_SET COINUSDT {state.upper()}",
    )
    assert exchange.state()["states"] == [(0, MarketState[state.upper()])]


@pytest.mark.parametrize(
    "book",
    [
        (),
        ("buy 16 5 @99",),
        ("sell 17 5 @90",),
        ("buy 16 5 @99", "sell 17 5 @100"),
        ("buy 16 5 @1", "buy 17 5 @9", "sell 17 5 @10"),
    ],
)
def test_without_a_bid_that_reaches_an_ask_nothing_is_said(twin, book):
    play(twin, auction_venue(), COLLECTS + orders(*book) + LEAVE + "STATE_SET COINUSDT OPEN")


def test_an_auction_of_one_market_leaves_the_other_alone(twin):
    row = {"name": "COIN2USDT", "settles_in": "USDT", "index": "COIN", "mark": {"kind": "index"}, "price_decimals": 2}
    row |= {"lot": {"decimals": 0}, "brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 25_000}]}
    play(
        twin,
        small_venue(markets=[row | {"name": "COINUSDT"}, row]),
        RICH
        + """
    1    state COINUSDT auction             | STATE_SET COINUSDT AUCTION
    1    state COIN2USDT auction            | STATE_SET COIN2USDT AUCTION
    1    buy 16 COINUSDT 1 @101 #1          | ACCEPTED 16 buy 1 COINUSDT @101 #1
    1    buy 16 COIN2USDT 1 @101 #2         | ACCEPTED 16 buy 1 COIN2USDT @101 #2
    1    sell 17 COINUSDT 1 @101 #3         | ACCEPTED 17 sell 1 COINUSDT @101 #3
    1    sell 17 COIN2USDT 1 @101 #4        | ACCEPTED 17 sell 1 COIN2USDT @101 #4
    2    state COINUSDT open                | UNCROSSED COINUSDT 1 @101 left 0; FILL 16 buy 1 COINUSDT @101 from 17 #3; STATE_SET COINUSDT OPEN
    2    state COIN2USDT open               | UNCROSSED COIN2USDT 1 @101 left 0; FILL 16 buy 1 COIN2USDT @101 from 17 #4; STATE_SET COIN2USDT OPEN
    """,
    )


# ---- the price


PRICES = {
    "most lots, far from the mark": (("buy 16 5 @120", "buy 17 1 @103", "sell 18 1 @101", "sell 18 4 @118"), "5 @118 left 0"),
    "least surplus of buys": (("buy 16 4 @104", "buy 17 9 @101", "sell 18 4 @100"), "4 @102 left 0"),
    "least surplus of sells": (("buy 16 4 @104", "sell 17 4 @95", "sell 18 9 @98"), "4 @97 left 0"),
    "between two limits nothing is left": (
        ("buy 16 9 @102", "buy 16 5 @100", "sell 17 9 @100", "sell 17 5 @102"),
        "9 @101 left 0",
    ),
    "no tick between them, buys leave less": (
        ("buy 16 9 @102", "buy 16 3 @101", "sell 17 9 @101", "sell 17 5 @102"),
        "9 @101 left 3",
    ),
    "no tick between them, sells leave less": (
        ("buy 16 9 @102", "buy 16 5 @101", "sell 17 9 @101", "sell 17 3 @102"),
        "9 @102 left -3",
    ),
    "as much left of either side, sells near the mark": (
        ("buy 16 9 @105", "buy 16 3 @97", "sell 17 9 @95", "sell 17 3 @98"),
        "9 @100 left -3",
    ),
    "as much left of either side, buys near the mark": (
        ("buy 16 9 @105", "buy 16 3 @103", "sell 17 9 @95", "sell 17 3 @104"),
        "9 @100 left 3",
    ),
    "just above the bid that is left": (("buy 16 9 @109", "buy 17 3 @103", "sell 18 9 @90"), "9 @104 left 0"),
    "just below the ask that is left": (("buy 16 9 @109", "sell 17 9 @91", "sell 18 3 @96"), "9 @95 left 0"),
    "down to a bid behind the one that is left": (
        ("buy 16 9 @109", "buy 17 3 @109", "buy 16 2 @103", "sell 17 9 @90"),
        "9 @104 left 3",
    ),
    "up to an ask behind the one that is left": (
        ("buy 16 9 @109", "sell 17 9 @91", "sell 18 3 @91", "sell 18 2 @96"),
        "9 @95 left -3",
    ),
    "above the mark": (("buy 16 3 @109", "sell 17 3 @104"), "3 @104 left 0"),
    "below the mark": (("buy 16 3 @97", "sell 17 3 @94"), "3 @97 left 0"),
    "around the mark": (("buy 16 3 @109", "sell 17 3 @94"), "3 @100 left 0"),
    "locked": (("buy 16 3 @101", "sell 17 2 @101"), "2 @101 left 1"),
    "a level is taken in part by both": (("buy 16 5 @101", "buy 17 5 @101", "sell 17 3 @101", "sell 18 4 @101"), "7 @101 left 3"),
}


@pytest.mark.parametrize("book, cleared", PRICES.values(), ids=PRICES)
def test_the_price_trades_most_then_leaves_least_then_is_near_the_mark(twin, book, cleared):
    exchange = play(twin, auction_venue(), COLLECTS + orders(*book) + LEAVE + "...")
    (told,) = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.UNCROSSED]
    assert f"{told.qty} @{told.price // 100} left {told.money}" == cleared


REFERENCES = {
    "of two as near the higher": ("mark", "", "source coin 100.5", 101),
    "nearer to the lower": ("mark", "", "source coin 100.49", 100),
    "the index": ("index", "", "source coin 103.2", 103),
    "the last valid one": ("index", "source coin missing", "source coin 103.2", 103),
    "no trade yet: the higher": ("last", "", "source coin 97", 109),
    "the last trade": ("last", "", "buy 18 COINUSDT 1 @98 #98", 98),
}


@pytest.mark.parametrize("anchor, later, sooner, price", REFERENCES.values(), ids=REFERENCES)
def test_the_reference_is_the_mark_the_index_or_the_last_trade(twin, anchor, later, sooner, price):
    """Three lots trade at any price from 94 to 109. The mark is the index."""
    exchange = play(
        twin,
        auction_venue(market={"auction_reference": anchor}),
        RICH
        + "1 sell 19 COINUSDT 1 @98 #97 | ...\n"
        + f"1 {sooner} | ...\n1 cancel 19 #97 | ...\n"
        + "1 state COINUSDT auction | STATE_SET COINUSDT AUCTION\n"
        + orders("buy 16 3 @109", "sell 17 3 @94")
        + (f"1 {later} | ...\n" if later else "")
        + LEAVE
        + "...",
    )
    assert [o.price for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.UNCROSSED] == [100 * price]


def test_without_a_mark_that_was_ever_valid_the_higher_price_is_taken(twin):
    play(
        twin,
        small_venue(clearing="none"),
        """
    1    state COINUSDT auction             | STATE_SET COINUSDT AUCTION
    1    buy 16 COINUSDT 3 @109 #1          | ACCEPTED 16 buy 3 @109 #1
    1    sell 17 COINUSDT 3 @94 #2          | ACCEPTED 17 sell 3 @94 #2
    2    state COINUSDT open                | UNCROSSED COINUSDT 3 @109 left 0; FILL 16 buy 3 @109 from 17 #2; STATE_SET COINUSDT OPEN
    """,
    )


# ---- the fills


def test_hidden_lots_count_for_the_price_and_trade_at_the_back(twin):
    """Eight lots buy and seven sell at 100 and 101; 16 shows two at a time."""
    play(
        twin,
        auction_venue(),
        COLLECTS
        + orders("buy 16 5 @101 show=2", "buy 17 3 @101", "sell 18 7 @100")
        + LEAVE
        + "UNCROSSED COINUSDT 7 @100 left 1; FILL 16 buy 2 @100 from 18 #3; REFRESHED 16 buy 2 @101 #1; FILL 17 buy 3 @100 from 18 #3; FILL 16 buy 2 @100 from 18 #3; REFRESHED 16 buy 1 @101 #1; STATE_SET COINUSDT OPEN",
    )
    play(
        twin,
        auction_venue(),
        COLLECTS
        + orders("buy 16 4 @101 show=3", "sell 18 4 @100 show=1")
        + LEAVE
        + "UNCROSSED COINUSDT 4 @100 left 0; FILL 16 buy 1 @100 from 18 #2; REFRESHED 18 sell 1 @100 #2; FILL 16 buy 1 @100 from 18 #2; REFRESHED 18 sell 1 @100 #2; FILL 16 buy 1 @100 from 18 #2; REFRESHED 16 buy 1 @101 #1; REFRESHED 18 sell 1 @100 #2; FILL 16 buy 1 @100 from 18 #2; STATE_SET COINUSDT OPEN",
    )


def test_both_sides_pay_the_maker_fee(twin):
    """0.1 % of 100 and of 200, where a taker would pay 1 %."""
    exchange = play(
        twin,
        auction_venue(market={"fees": {"taker_ppm": 10_000, "maker_ppm": 1_000}}),
        COLLECTS
        + orders("buy 16 3 @100", "sell 17 1 @100", "sell 18 2 @100")
        + LEAVE
        + "UNCROSSED COINUSDT 3 @100 left 0; FILL 16 buy 1 @100 from 17 #2 fee 0.1; FEE 0.1 USDT 17 to FEES; FILL 16 buy 2 @100 from 18 #3 fee 0.2; FEE 0.2 USDT 18 to FEES; STATE_SET COINUSDT OPEN",
    )
    assert [row for row in exchange.state()["balances"] if row[0] == 3] == [(3, 0, 6_000)]


def test_nobody_is_kept_from_trading_with_himself(twin):
    """Whatever the row says, or either order: there is no taker who would decide. 19 and 16 have one owner."""
    play(
        twin,
        auction_venue(market={"self_trade": {"mode": "cancel_both", "by": "owner"}}),
        COLLECTS
        + orders("buy 16 3 @101 own=cancel_taker", "sell 16 1 @99", "sell 19 2 @99 own=decrement")
        + LEAVE
        + "UNCROSSED COINUSDT 3 @100 left 0; FILL 16 buy 1 @100 from 16 #2; FILL 16 buy 2 @100 from 19 #3; STATE_SET COINUSDT OPEN",
    )


def test_reduce_only_orders_are_cut_as_their_position_shrinks(twin):
    """16 holds 4 and offers them twice. For eight lots the price is 97; when four of them are gone two are left to trade, at 101."""
    exchange = play(
        twin,
        auction_venue(),
        RICH
        + """
    1    buy 16 COINUSDT 4 @100 #91         | ...
    1    sell 17 COINUSDT 4 @100 #92        | ...
    1    state COINUSDT auction             | STATE_SET COINUSDT AUCTION
    1    sell 16 COINUSDT 4 @95 reduce #93  | ACCEPTED 16 sell 4 @95 #93
    1    sell 16 COINUSDT 0 @96 close #94   | ACCEPTED 16 sell 4 @96 #94
    1    buy 18 COINUSDT 3 @105 #95         | ACCEPTED 18 buy 3 @105 #95
    1    buy 18 COINUSDT 3 @104 #96         | ACCEPTED 18 buy 3 @104 #96
    1    buy 18 COINUSDT 3 @97 #97          | ACCEPTED 18 buy 3 @97 #97
    1    sell 17 COINUSDT 2 @101 #98        | ACCEPTED 17 sell 2 @101 #98
    """
        + LEAVE
        + "UNCROSSED COINUSDT 8 @97 left 1; FILL 18 buy 3 @97 from 16 #93; CANCELLED 16 sell 3 @96 #94 REDUCE_ONLY; FILL 18 buy 1 @97 from 16 #93; CANCELLED 16 sell 1 @96 #94 REDUCE_ONLY; UNCROSSED COINUSDT 2 @101 left 0; FILL 18 buy 2 @101 from 17 #98; STATE_SET COINUSDT OPEN",
    )
    assert [(row[4], row[6]) for row in exchange.state()["orders"]] == [(97, 3)]


def test_an_order_that_its_own_fill_cuts_is_gone(twin):
    """16 is long 2 and sells 5: four of its lots close and open; then it is short, and its reduce-only order sells nothing."""
    play(
        twin,
        auction_venue(),
        RICH
        + """
    1    buy 16 COINUSDT 2 @100 #91         | ...
    1    sell 17 COINUSDT 2 @100 #92        | ...
    1    state COINUSDT auction             | STATE_SET COINUSDT AUCTION
    1    sell 16 COINUSDT 5 @98 #93         | ACCEPTED 16 sell 5 @98 #93
    1    sell 16 COINUSDT 2 @99 reduce #94  | ACCEPTED 16 sell 2 @99 #94
    1    buy 17 COINUSDT 2 @102 reduce #95  | ACCEPTED 17 buy 2 @102 #95
    1    buy 18 COINUSDT 5 @101 #96         | ACCEPTED 18 buy 5 @101 #96
    """
        + LEAVE
        + "UNCROSSED COINUSDT 7 @100 left 0; FILL 17 buy 2 @100 from 16 #93; CANCELLED 16 sell 2 @99 #94 REDUCE_ONLY; FILL 18 buy 3 @100 from 16 #93; STATE_SET COINUSDT OPEN",
    )


# ---- limits


def test_open_interest_stays_below_its_limit(twin):
    """Of 6 lots 5 trade: 18 would open against 19, and is on the side that has lots to spare. 19's last lot stays."""
    play(
        twin,
        auction_venue(market={"limits": {"open_interest_max": 5}}),
        COLLECTS
        + orders("buy 16 5 @102", "buy 18 4 @101", "sell 17 4 @100", "sell 19 2 @100")
        + LEAVE
        + "UNCROSSED COINUSDT 6 @100 left 3; FILL 16 buy 4 @100 from 17 #3; FILL 16 buy 1 @100 from 19 #4; CANCELLED 18 buy 4 @101 #2 OPEN_INTEREST_LIMIT; STATE_SET COINUSDT OPEN",
    )


def test_lots_that_close_pass_the_limit_of_the_open_interest(twin):
    """16 buys 3 of 3 from 17 and hands them on to 18; 19 would open against 17, and buys are left over."""
    play(
        twin,
        auction_venue(market={"limits": {"open_interest_max": 3}}),
        COLLECTS
        + orders("buy 16 3 @105", "sell 17 3 @95", "sell 16 3 @96", "buy 18 3 @104", "buy 19 2 @104", "sell 17 1 @97")
        + LEAVE
        + "UNCROSSED COINUSDT 7 @100 left 1; FILL 16 buy 3 @100 from 17 #2; FILL 18 buy 3 @100 from 16 #3; CANCELLED 19 buy 2 @104 #5 OPEN_INTEREST_LIMIT; STATE_SET COINUSDT OPEN",
    )


def test_without_a_surplus_the_buy_order_makes_way(twin):
    play(
        twin,
        auction_venue(market={"limits": {"open_interest_max": 2}}),
        COLLECTS
        + orders("buy 16 2 @101", "buy 18 1 @101", "sell 17 2 @99", "sell 19 1 @99")
        + LEAVE
        + "UNCROSSED COINUSDT 3 @100 left 0; FILL 16 buy 2 @100 from 17 #3; CANCELLED 18 buy 1 @101 #2 OPEN_INTEREST_LIMIT; STATE_SET COINUSDT OPEN",
    )


def test_where_sells_are_left_over_a_sell_order_makes_way(twin):
    play(
        twin,
        auction_venue(market={"limits": {"open_interest_max": 2}}),
        COLLECTS
        + orders("buy 16 2 @101", "buy 18 1 @101", "sell 17 2 @99", "sell 19 2 @99", "sell 19 1 @101")
        + LEAVE
        + "UNCROSSED COINUSDT 3 @100 left -1; FILL 16 buy 2 @100 from 17 #3; CANCELLED 19 sell 2 @99 #4 OPEN_INTEREST_LIMIT; UNCROSSED COINUSDT 1 @101 left 0; CANCELLED 18 buy 1 @101 #2 OPEN_INTEREST_LIMIT; STATE_SET COINUSDT OPEN",
    )


def test_a_spot_order_that_cannot_deliver_makes_way(twin):
    """Fees are rounded up fill by fill: 303.1009 pay for two lots at 101, not for the third. It was counted, so the rest is priced anew."""
    play(
        twin,
        spot_venue(fees={"taker_ppm": 333, "maker_ppm": 333}),
        """
    0    source coin 100                | ...
    0    source ratio 101               | ...
    0    account 30                     | ...
    0    account 31                     | ...
    0    account 32                     | ...
    0    deposit 30 USDT 303.1009       | ...
    0    deposit 31 WETH 3              | ...
    0    deposit 32 USDT 900            | ...
    1    state WETHUSDT auction         | STATE_SET WETHUSDT AUCTION
    1    buy 30 WETHUSDT 3 @101 #1      | ACCEPTED 30 buy 3 WETHUSDT @101 #1
    1    sell 31 WETHUSDT 1 @99 #2      | ACCEPTED 31 sell 1 WETHUSDT @99 #2
    1    sell 31 WETHUSDT 1 @99 #3      | ACCEPTED 31 sell 1 WETHUSDT @99 #3
    1    sell 31 WETHUSDT 1 @99 #4      | ACCEPTED 31 sell 1 WETHUSDT @99 #4
    1    buy 32 WETHUSDT 2 @100 #5      | ACCEPTED 32 buy 2 WETHUSDT @100 #5
    2    state WETHUSDT open            | UNCROSSED WETHUSDT 3 @101 left 0; FILL 30 buy 1 WETHUSDT @101 from 31 #2 fee 0.0337; FEE 0.0337 USDT 31 to FEES; FILL 30 buy 1 WETHUSDT @101 from 31 #3 fee 0.0337; FEE 0.0337 USDT 31 to FEES; CANCELLED 30 buy 1 WETHUSDT @101 #1 UNFUNDED; UNCROSSED WETHUSDT 1 @100 left 1; FILL 32 buy 1 WETHUSDT @100 from 31 #4 fee 0.0333; FEE 0.0333 USDT 31 to FEES; STATE_SET WETHUSDT OPEN; INDEX WETH 100 of 1; COLLATERAL WETH 100
    """,
    )


# ---- what follows


MEDIAN = {"kind": "median", "basis_samples": 1, "republish_on_fill": True}


def test_an_index_that_reads_the_book_is_published_once(twin):
    own = index("OWN", {"kind": "book", "market": "COINUSDT"})
    exchange = play(
        twin,
        auction_venue(indices=[*small_venue().model_dump()["indices"], own]),
        COLLECTS
        + orders("buy 16 9 @103", "sell 17 4 @95", "sell 19 5 @96")
        + LEAVE
        + "UNCROSSED COINUSDT 9 @100 left 0; FILL 16 buy 4 @100 from 17 #2; FILL 16 buy 5 @100 from 19 #3; STATE_SET COINUSDT OPEN; INDEX OWN 100 of 1",
    )
    assert exchange.state()["marks"][0][6:] == (1, 10_000)


def test_marks_and_liquidations_follow_the_auction(twin):
    """The mark is the mean of index, 100 and 95, and last price, 96. What the halt suspends goes on when it ends."""
    play(
        twin,
        auction_venue(market={"mark": MEDIAN}),
        """
    0    source coin 100                | ...
    0    source usd 1                   | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    account 18                     | ...
    0    deposit 16 USDT 60             | ...
    0    deposit 17 USDT 900            | ...
    0    deposit 18 USDT 900            | ...
    1    buy 16 COINUSDT 10 @100 #1     | ...
    1    sell 17 COINUSDT 10 @100 #2    | ...
    1    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
    1    buy 18 COINUSDT 4 @96 #3       | ACCEPTED 18 buy 4 @96 #3
    1    sell 17 COINUSDT 2 @96 #4      | ACCEPTED 17 sell 2 @96 #4
    2    state COINUSDT halted          | UNCROSSED COINUSDT 2 @96 left 2; FILL 18 buy 2 @96 from 17 #4; STATE_SET COINUSDT HALTED; MARK COINUSDT 98
    3    source coin 95                 | INDEX COIN 95 of 1; MARK COINUSDT 95.5; SUSPENDED 16 15
    4    state COINUSDT open            | STATE_SET COINUSDT OPEN; LIQUIDATION 16 15; FILL BOOK 16 sell 2 @96 from 18 #3 in round 1; TAKEOVER 16 long 8 @95.5 cash 748 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_forced_closing_meets_nobody_while_orders_collect(twin):
    """A rule book may liquidate in an auction: the slice finds no book, the backstop takes over."""
    play(
        twin,
        auction_venue(states={"auction": {}}, liquidation={"stages": stages(book={"bound": {"kind": "bankruptcy"}})}),
        """
    0    source coin 100                | ...
    0    source usd 1                   | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 16 USDT 60             | ...
    0    deposit 17 USDT 900            | ...
    1    buy 16 COINUSDT 10 @100 #1     | ...
    1    sell 17 COINUSDT 10 @100 #2    | ...
    1    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
    1    buy 17 COINUSDT 10 @99 #3      | ACCEPTED 17 buy 10 @99 #3
    2    source coin 95                 | INDEX COIN 95 of 1; MARK COINUSDT 95; LIQUIDATION 16 10; TAKEOVER 16 long 10 @95 cash 940 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_without_clearing_the_same_lots_trade_and_no_money_moves(twin):
    exchange = play(
        twin,
        auction_venue(clearing="none", market={"fees": {"maker_ppm": 1_000}}),
        """
    1    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
    1    buy 40 COINUSDT 3 @102 #1      | ACCEPTED 40 buy 3 @102 #1
    1    buy 41 COINUSDT 3 @101 #2      | ACCEPTED 41 buy 3 @101 #2
    1    sell 42 COINUSDT 4 @99 #3      | ACCEPTED 42 sell 4 @99 #3
    1    sell 43 COINUSDT 4 @101 #4     | ACCEPTED 43 sell 4 @101 #4
    2    state COINUSDT open            | UNCROSSED COINUSDT 6 @101 left -2; FILL 40 buy 3 @101 from 42 #3; FILL 41 buy 1 @101 from 42 #3; FILL 41 buy 2 @101 from 43 #4; STATE_SET COINUSDT OPEN
    """,
    )
    assert not exchange.state()["balances"] and not exchange.state()["positions"]


@pytest.mark.parametrize("which", ["model", "engine"])
def test_an_auction_survives_a_snapshot(which):
    venue = auction_venue()
    rows = COLLECTS + orders("buy 16 5 @101 show=2", "buy 17 3 @101", "sell 18 7 @100") + LEAVE
    events = tape(venue, rows)
    whole, parts = twin_class(which)(venue, START_NS), twin_class(which)(venue, START_NS)
    whole.run(events)
    parts.run(events[:-2])
    parts = restore(which, venue, parts.snapshot())
    parts.run(events[-2:])
    assert parts.digest() == whole.digest() and parts.state() == whole.state()


# ---- against brute force


def brute(bids, asks, tick: int, reference: int | None) -> Clearing | None:
    """Return where a book clears by trying every tick around it; no interval, no candidate."""
    limits = [price for price, _ in bids + asks]
    best = None
    for price in range(min(limits, default=0) - 2 * tick, max(limits, default=-1) + 3 * tick, tick):
        bought, sold = sum(n for limit, n in bids if limit >= price), sum(n for limit, n in asks if limit <= price)
        away = 0 if reference is None else abs(price - reference)
        worth = min(bought, sold), -abs(bought - sold), -away, price
        if worth[0] and (best is None or worth > best[0]):
            best = worth, Clearing(price, worth[0], bought - sold)
    return best and best[1]


sides = st.lists(st.tuples(st.integers(6, 18), st.integers(1, 5)), max_size=6)


@given(bids=sides, asks=sides, tick=st.sampled_from((1, 2, 5)), reference=st.none() | st.integers(20, 100))
def test_limits_and_the_ticks_beside_them_are_enough(bids, asks, tick, reference):
    bids, asks = ([(price * tick, lots) for price, lots in side] for side in (bids, asks))
    assert clearing(bids, asks, tick, reference) == brute(bids, asks, tick, reference)


def random_auction(dice: random.Random) -> np.ndarray:
    """Return an auction of up to 24 orders of four accounts on few prices, some with hidden lots, in a venue without clearing."""
    rows = [pack(time_ns=START_NS, kind=EventKind.STATE, qty=MarketState.AUCTION)]
    for number in range(dice.randrange(25)):
        lots = 1 + dice.randrange(6)
        fields = {
            "kind": EventKind.ORDER,
            "account": USERS_FROM + dice.randrange(4),
            "ref_id": number,
            "tif": Tif.GTC,
            "qty": lots,
        }
        side, price = 1 + dice.randrange(2), 100 * (1 + dice.randrange(14))
        rows.append(pack(time_ns=START_NS, side=side, price=price, amount_lo=dice.randrange(lots), **fields))
    rows.append(pack(time_ns=START_NS + 1, kind=EventKind.STATE, qty=MarketState.OPEN))
    return np.frombuffer(b"".join(rows), dtype=EVENT)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_random_auctions_trade_as_brute_force_says(which):
    """Price, lots and surplus; then order by order what each side gets, by price, then by time as orders show their lots."""
    dice, venue, crossed = random.Random(7), auction_venue(clearing="none", market={"auction_reference": "last"}), 0
    for number in range(600):
        events = random_auction(dice)
        if number < 40:
            Lockstep(venue, START_NS, left=which, right=which).run(events, laws=True)
        exchange = twin_class(which)(venue, START_NS)
        exchange.run(events[:-1])
        rows = exchange.state()["orders"]
        outcomes = outcomes_of(exchange.apply(events[-1]))
        book = [[(row[2], row[6]) for row in rows if row[1] == side] for side in (Side.BUY, Side.SELL)]
        due = brute(*book, 100, None)
        told = [Clearing(o.price, o.qty, o.money) for o in outcomes if o.kind == OutcomeKind.UNCROSSED]
        assert told == ([due] if due else [])
        fills = [o for o in outcomes if o.kind == OutcomeKind.FILL]
        assert sum(o.qty for o in fills) == (due.lots if due else 0) and all(o.price == due.price for o in fills)
        bought, sold = Counter(), Counter()
        for o in fills:
            bought[o.ref_id] += o.qty
            sold[o.other_id] += o.qty
        if due:
            crossed += 1
            assert (bought, sold) == tuple(shares(rows, side, due.lots) for side in (Side.BUY, Side.SELL))
    assert crossed > 400


def shares(rows, side: int, lots: int) -> Counter:
    """Return what each order of a side gets of so many lots: level by level, at each in turns of what an order shows."""
    taken: Counter = Counter()
    levels: dict[int, list[tuple[int, int, int]]] = {}
    for row in rows:
        if row[1] == side:
            levels.setdefault(row[2], []).append((row[4], row[6], row[9] or row[6]))
    for price in sorted(levels, reverse=side == Side.BUY):
        queue = levels[price]
        while queue and lots:
            order_id, left, display = queue.pop(0)
            part = min(left, display, lots)
            taken[order_id] += part
            lots -= part
            if left > part:
                queue.append((order_id, left - part, display))
    return taken


# ---- made tapes


@pytest.mark.lockstep
def test_made_tapes_reach_what_an_auction_can_do():
    """More than one fill, a surplus on either side, none, hidden lots, orders cut, a price anew; the twins agree under all laws."""
    reached: Counter = Counter()
    for number, case in enumerate(sample(150, seed=3, bytes_each=400, kinds=KINDS | {"auction": 60})):
        lockstep = Lockstep(case.venue, case.start_ns, case.seams)
        lockstep.run(case.events, laws=number < 15)
        reached.update(what_happened(outcomes_of(lockstep.right.outcomes().tobytes())))
    assert (
        min(reached[what] for what in ("uncrossed", "many fills", "buys left", "sells left", "none left", "refreshed", "cut"))
        >= 5
    )
    assert reached["anew"] >= 1, reached


def what_happened(outcomes) -> Counter:
    seen, told, fills = Counter(), {}, Counter()
    for o in outcomes:
        if o.kind == OutcomeKind.UNCROSSED:
            seen["uncrossed"] += 1
            seen["anew"] += o.market in told
            seen["buys left" if o.money > 0 else "sells left" if o.money < 0 else "none left"] += 1
            told[o.market], fills[o.market] = o, 0
        elif o.market in told:
            fills[o.market] += o.kind == OutcomeKind.FILL
            seen["many fills"] += o.kind == OutcomeKind.FILL and fills[o.market] == 2
            seen["refreshed"] += o.kind == OutcomeKind.REFRESHED
            seen["cut"] += o.kind == OutcomeKind.CANCELLED
            if o.kind == OutcomeKind.STATE_SET:
                del told[o.market]
    return seen
