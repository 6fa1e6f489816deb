"""Kinds of orders, amendments, mass cancels, self-trade prevention and limits: one table a rule, on both twins.

Prices are around 100, the tick is 0.05, a lot is one coin; accounts are rich, so that margin speaks only where a table is of it.
"""

# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import random

import numpy as np
import pytest

from fuzz.strategies import KINDS, Decoded, TapeMaker, pack
from fuzz.strategies import START_NS as TAPE_START
from fuzz.twin import Lockstep
from specs import units
from specs.matching import matching_venue
from specs.scene import outcomes_of
from specs.tape import EVENT, USERS_FROM, EventKind, Flag, OutcomeKind, Reason, SelfTrade, Side, Tif
from tests.twins import START_NS, index, play, small_venue, tape, twin  # noqa: F401

RICH = """
    0    source coin 100                |
    0    source usd 1                   |
    0    account 16                     |
    0    account 17                     |
    0    account 18                     |
    0    account 19 owner 16            |
    0    deposit 16 USDT 900            |
    0    deposit 17 USDT 900            |
    0    deposit 18 USDT 900            |
    0    deposit 19 USDT 900            |
    1    clock                          |
"""
QUIET = RICH.replace("|", "| ...")


def test_fok_takes_all_or_nothing(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 5 @100 #1             | ACCEPTED 16 sell 5 @100 #1
        1    sell 16 COINUSDT 5 @100.05 #2 show=2   | ACCEPTED 16 sell 5 @100.05 #2 show 2
        1    buy 17 COINUSDT 6 @100 fok #3          | REJECT CANNOT_FILL
        1    buy 17 COINUSDT 11 @100.05 fok #4      | REJECT CANNOT_FILL
        1    buy 17 COINUSDT 10 @99.95 fok #5       | REJECT CANNOT_FILL
        1    buy 17 COINUSDT 9 @100.05 fok #6       | ACCEPTED 17 buy 9 @100.05 #6; FILL 17 buy 5 @100 from 16 #1; """
        + """FILL 17 buy 2 @100.05 from 16 #2; REFRESHED 16 sell 2 @100.05 #2; FILL 17 buy 2 @100.05 from 16 #2; """
        + """REFRESHED 16 sell 1 @100.05 #2
        1    buy 17 COINUSDT 2 @200 fok #7          | REJECT CANNOT_FILL
        """,
    )


def test_fok_counts_what_reduce_only_makers_can_still_close(twin):
    """Account 17 holds 6 and offers 6 twice, reduce-only: the second is cut to nothing when the first fills."""
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 6 @100 #1             | ACCEPTED 16 sell 6 @100 #1
        1    buy 17 COINUSDT 6 @100 #2              | ACCEPTED 17 buy 6 @100 #2; FILL 17 buy 6 @100 from 16 #1
        1    sell 17 COINUSDT 6 @101 reduce #3      | ACCEPTED 17 sell 6 @101 #3
        1    sell 17 COINUSDT 4 @101 reduce #4      | ACCEPTED 17 sell 4 @101 #4
        1    sell 16 COINUSDT 1 @101 #5             | ACCEPTED 16 sell 1 @101 #5
        1    buy 18 COINUSDT 8 @101 fok #6          | REJECT CANNOT_FILL
        1    buy 18 COINUSDT 7 @101 fok #7          | ACCEPTED 18 buy 7 @101 #7; FILL 18 buy 6 @101 from 17 #3; """
        + """CANCELLED 17 sell 4 @101 #4 REDUCE_ONLY; FILL 18 buy 1 @101 from 16 #5
        """,
    )


def test_fok_is_refused_where_a_maker_may_turn_out_unfunded(twin):
    spot = {"name": "USDSPOT", "payoff": "spot", "base": "USD", "settles_in": "USDT", "index": "USD", "mark": {"kind": "index"}}
    venue = small_venue()
    book = venue.model_dump(mode="json", exclude_defaults=True)
    book["markets"].append(spot | {"price_decimals": 2, "lot": {"decimals": 0}})
    play(twin, type(venue).model_validate(book), QUIET + "1 buy 16 USDSPOT 1 @1 fok #1 | REJECT BAD_TIF")


def test_gtd_leaves_at_its_time(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    buy 16 COINUSDT 1 @99 gtd #1           | REJECT BAD_EXPIRY
        1    buy 16 COINUSDT 1 @99 gtd until=1 #1   | REJECT BAD_EXPIRY
        1    buy 16 COINUSDT 1 @99 until=5 #1       | REJECT BAD_EXPIRY
        1    buy 16 COINUSDT 1 @99 gtd until=5 #1   | ACCEPTED 16 buy 1 @99 #1
        1    buy 16 COINUSDT 2 @99 post until=4 #2  | ACCEPTED 16 buy 2 @99 #2
        1    buy 17 COINUSDT 3 @99 gtd until=5 #9   | ACCEPTED 17 buy 3 @99 #9
        3    clock                                  |
        4    clock                                  | CANCELLED 16 buy 2 @99 #2 EXPIRED
        5    sell 18 COINUSDT 1 @99 ioc #3          | CANCELLED 16 buy 1 @99 #1 EXPIRED; CANCELLED 17 buy 3 @99 #9 EXPIRED; """
        + """ACCEPTED 18 sell 1 @99 #3; CANCELLED 18 sell 1 @99 #3 IOC_REMAINDER
        """,
    )


def test_gtd_forgets_its_time_when_it_trades_or_is_cancelled(twin):
    exchange = play(
        twin,
        small_venue(),
        QUIET
        + """
        1    buy 16 COINUSDT 1 @99 gtd until=5 #1   | ...
        1    buy 16 COINUSDT 1 @98 gtd until=4 #2   | ...
        1    buy 16 COINUSDT 1 @97 gtd until=6 #3   | ...
        2    sell 18 COINUSDT 1 @99 #4              | ACCEPTED 18 sell 1 @99 #4; FILL 18 sell 1 @99 from 16 #1
        2    cancel 16 #2                           | CANCELLED 16 buy 1 @98 #2 USER
        """,
    )
    assert [row[1:] for row in exchange.state()["timers"] if row[0] == 5] == [(3, START_NS + 6 * units.NS)]


def test_post_only_is_refused_or_repriced(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 5 @100 #1             | ACCEPTED 16 sell 5 @100 #1
        1    buy 17 COINUSDT 5 @100 post #2         | REJECT WOULD_CROSS
        1    buy 17 COINUSDT 5 @103 reprice #3      | ACCEPTED 17 buy 5 @99.95 #3
        1    sell 16 COINUSDT 5 @90 reprice #4      | ACCEPTED 16 sell 5 @100 #4
        1    buy 17 COINUSDT 5 @99 reprice #5       | ACCEPTED 17 buy 5 @99 #5
        """,
    )


def test_a_bid_below_the_least_price_cannot_be_repriced(twin):
    play(
        twin,
        small_venue(),
        QUIET + "1 sell 16 COINUSDT 1 @0.05 #1 | ...\n 1 buy 17 COINUSDT 1 @1 reprice #2 | REJECT WOULD_CROSS",
    )


def test_close_only_is_the_whole_position(twin):
    play(
        twin,
        small_venue(market={"limits": {"qty_max": 4}}),
        QUIET
        + """
        1    sell 16 COINUSDT 4 @100 #1             | ...
        1    buy 17 COINUSDT 4 @100 #2              | ...
        1    sell 17 COINUSDT 0 @101 close #3       | ACCEPTED 17 sell 4 @101 #3
        1    sell 17 COINUSDT 1 @101 close #4       | REJECT BAD_QTY
        1    buy 17 COINUSDT 0 @99 close #4         | REJECT NOT_REDUCING
        1    sell 18 COINUSDT 0 @101 close #4       | REJECT NOT_REDUCING
        1    sell 17 COINUSDT 3 @100 #5             | ACCEPTED 17 sell 3 @100 #5
        1    buy 18 COINUSDT 3 @100 #6              | ACCEPTED 18 buy 3 @100 #6; FILL 18 buy 3 @100 from 17 #5; """
        + """CANCELLED 17 sell 3 @101 #3 REDUCE_ONLY
        """,
    )


def test_hidden_lots_lose_priority_when_they_show(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    buy 16 COINUSDT 5 @100 #1 show=2       | ACCEPTED 16 buy 5 @100 #1 show 2
        1    buy 17 COINUSDT 2 @100 #2              | ACCEPTED 17 buy 2 @100 #2
        1    sell 18 COINUSDT 1 @100 #3             | ACCEPTED 18 sell 1 @100 #3; FILL 18 sell 1 @100 from 16 #1
        1    sell 18 COINUSDT 2 @100 #4             | ACCEPTED 18 sell 2 @100 #4; FILL 18 sell 1 @100 from 16 #1; """
        + """REFRESHED 16 buy 2 @100 #1; FILL 18 sell 1 @100 from 17 #2
        1    sell 18 COINUSDT 4 @100 #5             | ACCEPTED 18 sell 4 @100 #5; FILL 18 sell 1 @100 from 17 #2; """
        + """FILL 18 sell 2 @100 from 16 #1; REFRESHED 16 buy 1 @100 #1; FILL 18 sell 1 @100 from 16 #1
        1    buy 16 COINUSDT 2 @100 #6 show=2       | REJECT BAD_DISPLAY
        1    buy 16 COINUSDT 2 @100 #6 show=1 ioc   | REJECT BAD_DISPLAY
        """,
    )


def test_lots_are_shown_in_at_most_a_hundred_parts(twin):
    play(
        twin,
        small_venue(market={"brackets": [{"notional_max": 100_000, "leverage_max": 20, "maintenance_ppm": 25_000}]}),
        QUIET
        + """
        1    buy 16 COINUSDT 101 @90 #6 show=1      | REJECT BAD_DISPLAY
        1    buy 16 COINUSDT 100 @90 #6 show=1      | ACCEPTED 16 buy 100 @90 #6 show 1
        1    amend 16 #6 101                        | REJECT BAD_DISPLAY
        """,
    )


def test_hidden_lots_are_margined(twin):
    """900 of equity carries 18,000 at 20 times, in the first bracket only 2,000: 120 lots are too many, shown or not."""
    play(twin, small_venue(), QUIET + "1 buy 16 COINUSDT 120 @100 #1 show=2 | REJECT EXCEEDS_BRACKETS")


def test_an_amendment_down_keeps_its_place(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    buy 16 COINUSDT 5 @100 #1              | ...
        1    buy 17 COINUSDT 5 @100 #2              | ...
        1    amend 16 #1 2                          | AMENDED 16 buy 2 @100 #1
        1    amend 17 #2 6                          | AMENDED 17 buy 6 @100 #2 anew
        1    sell 18 COINUSDT 3 @100 #3             | ACCEPTED 18 sell 3 @100 #3; FILL 18 sell 2 @100 from 16 #1; """
        + """FILL 18 sell 1 @100 from 17 #2
        1    amend 17 #2 5                          | REJECT BAD_AMEND
        1    amend 17 #2                            | REJECT BAD_AMEND
        1    amend 17 #2 @100.02                    | REJECT OFF_TICK
        1    amend 16 #2 1                          | REJECT NOT_OWNER
        1    amend 16 #1 1                          | REJECT UNKNOWN_ORDER
        """,
    )


@pytest.mark.parametrize("change", ["6", "@100.05 5", "@99.95"])
def test_an_amendment_up_or_of_the_price_loses_its_place(twin, change):
    exchange = play(
        twin,
        small_venue(),
        QUIET
        + f"""
        1    buy 16 COINUSDT 5 @100 #1              | ...
        1    buy 17 COINUSDT 5 @100 #2              | ...
        1    buy 17 COINUSDT 5 @100.05 #3           | ...
        1    buy 17 COINUSDT 5 @99.95 #4            | ...
        1    amend 16 #1 {change}                   | ...
        """,
    )
    rows = [row for row in exchange.state()["orders"] if row[2] == next(r[2] for r in exchange.state()["orders"] if r[4] == 1)]
    assert rows[-1][4] == 1 and len(rows) == 2


def test_an_amendment_trades_like_a_new_order(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 18 COINUSDT 2 @101 #9             | ...
        1    buy 16 COINUSDT 5 @100 #1              | ...
        1    buy 16 COINUSDT 5 @100 post #2         | ...
        1    amend 16 #2 @101                       | REJECT WOULD_CROSS
        1    amend 16 #1 @101 4                     | AMENDED 16 buy 4 @101 #1 anew; FILL 16 buy 2 @101 from 18 #9
        1    sell 18 COINUSDT 9 @100 ioc #3         | ACCEPTED 18 sell 9 @100 #3; FILL 18 sell 2 @101 from 16 #1; """
        + """FILL 18 sell 5 @100 from 16 #2; CANCELLED 18 sell 2 @100 #3 IOC_REMAINDER
        """,
    )


def test_an_amendment_is_margined_as_if_the_old_order_were_gone(twin):
    """100 of equity carries 20 lots at 100. 20 lots may become 20 at 99; 21 are too many, and then all is as it was."""
    venue = small_venue(market={"brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 25_000}]})
    exchange = play(
        twin,
        venue,
        QUIET.replace("deposit 16 USDT 900", "deposit 16 USDT 100")
        + """
        1    buy 16 COINUSDT 20 @100 #1             | ACCEPTED 16 buy 20 @100 #1
        1    buy 17 COINUSDT 1 @100 #2              | ...
        1    amend 16 #1 21                         | REJECT INSUFFICIENT_MARGIN
        """,
    )
    assert [row[4:7] for row in exchange.state()["orders"]] == [(1, 16, 20), (2, 17, 1)]
    assert [row for row in exchange.state()["reserved"] if row[0] == 16] == [(16, 0, 20, 20_000_000, 0, 0)]
    assert outcomes_of(exchange.apply(tape(venue, "1 amend 16 #1 @99 |")[0]))[0].kind == OutcomeKind.AMENDED


def test_a_mass_cancel_names_a_market_a_side_or_all(twin):
    two = small_venue().model_dump(mode="json", exclude_defaults=True)
    two["markets"].append(two["markets"][0] | {"name": "COIN2USDT"})
    venue = type(small_venue()).model_validate(two)
    play(
        twin,
        venue,
        QUIET
        + """
        1    buy 16 COINUSDT 1 @99 #1               | ...
        1    sell 16 COINUSDT 1 @101 #2             | ...
        1    buy 16 COIN2USDT 1 @99 #3              | ...
        1    buy 16 COINUSDT 1 @98 #4               | ...
        1    buy 17 COINUSDT 1 @98 #5               | ...
        1    masscancel 16 COINUSDT buy             | CANCELLED 16 buy 1 COINUSDT @99 #1 MASS_CANCEL; """
        + """CANCELLED 16 buy 1 COINUSDT @98 #4 MASS_CANCEL
        1    masscancel 16 COINUSDT buy             | REJECT UNKNOWN_ORDER
        1    masscancel 16 all                      | CANCELLED 16 sell 1 COINUSDT @101 #2 MASS_CANCEL; """
        + """CANCELLED 16 buy 1 COIN2USDT @99 #3 MASS_CANCEL
        1    disconnect 17                          | CANCELLED 17 buy 1 COINUSDT @98 #5 DISCONNECTED
        1    disconnect 17                          | REJECT UNKNOWN_ORDER
        1    masscancel 99 all                      | REJECT UNKNOWN_ACCOUNT
        """,
    )


def test_a_market_that_allows_no_cancel_stops_a_mass_cancel_but_no_disconnect(twin):
    venue = small_venue(states={"halted": {"open": "refuse", "cancel": "refuse", "amend": "refuse"}})
    play(
        twin,
        venue,
        QUIET
        + """
        1    buy 16 COINUSDT 1 @99 #1               | ...
        1    state COINUSDT halted                  | ...
        1    masscancel 16 all                      | REJECT MARKET_STATE
        1    amend 16 #1 @98                        | REJECT MARKET_STATE
        1    disconnect 16                          | CANCELLED 16 buy 1 @99 #1 DISCONNECTED
        """,
    )


# ---- self-trade prevention: by account or by owner; accounts 16 and 19 have one owner

_MODES = {
    "allow": "FILL 16 buy 3 @100 from 16 #1; FILL 16 buy 2 @100 from 17 #2",
    "cancel_taker": "CANCELLED 16 buy 5 @100 #3 SELF_TRADE",
    "cancel_maker": "CANCELLED 16 sell 3 @100 #1 SELF_TRADE; FILL 16 buy 4 @100 from 17 #2",
    "cancel_both": "CANCELLED 16 sell 3 @100 #1 SELF_TRADE; CANCELLED 16 buy 5 @100 #3 SELF_TRADE",
    "decrement": "CANCELLED 16 buy 3 @100 #3 SELF_TRADE; CANCELLED 16 sell 3 @100 #1 SELF_TRADE; FILL 16 buy 2 @100 from 17 #2",
}


@pytest.mark.parametrize("said", ["market", "order"])
@pytest.mark.parametrize("mode", _MODES)
def test_self_trade_modes(twin, mode, said):
    """5 lots meet 3 of their own account, then 4 of another: the mode of the market's row, or of the order over it."""
    if mode == "allow" and said == "order":
        play(twin, small_venue(), QUIET + "1 buy 16 COINUSDT 5 @100 own=allow #3 | REJECT BAD_SELF_TRADE")
        return
    row = {"mode": mode} if said == "market" else {"mode": "cancel_taker" if mode == "decrement" else "decrement"}
    word = "" if said == "market" else f" own={mode}"
    table = f"""
        1    sell 16 COINUSDT 3 @100 #1             | ...
        1    sell 17 COINUSDT 4 @100 #2             | ...
        1    buy 16 COINUSDT 5 @100 #3{word}        | ACCEPTED 16 buy 5 @100 #3; {_MODES[mode]}
    """
    left = {"cancel_maker": 1}.get(mode, 0)
    exchange = play(twin, small_venue(market={"self_trade": row}), QUIET + table)
    assert sum(row[6] for row in exchange.state()["orders"] if row[4] == 3) == left


@pytest.mark.parametrize("by", ["account", "owner"])
def test_self_trade_by_owner(twin, by):
    met = {"account": "FILL 19 buy 3 @100 from 16 #1", "owner": "CANCELLED 19 buy 3 @100 #3 SELF_TRADE"}[by]
    venue = small_venue(market={"self_trade": {"mode": "cancel_taker", "by": by}})
    table = f"1 sell 16 COINUSDT 3 @100 #1 | ...\n 1 buy 19 COINUSDT 3 @100 #3 | ACCEPTED 19 buy 3 @100 #3; {met}"
    play(twin, venue, QUIET + table)


def test_the_takers_mode_decides(twin):
    """The resting order asks to be cancelled, the taker for both to be cut: both are cut."""
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 3 @100 #1 own=cancel_maker  | ...
        1    buy 16 COINUSDT 2 @100 #2 own=decrement      | ACCEPTED 16 buy 2 @100 #2; """
        + """CANCELLED 16 buy 2 @100 #2 SELF_TRADE; CANCELLED 16 sell 2 @100 #1 SELF_TRADE
        1    amend 16 #1 @99                              | AMENDED 16 sell 1 @99 #1 anew
        """,
    )


def test_fok_and_its_own_orders(twin):
    """Own lots do not fill: skipped where they are cancelled, the end of it where the taker is."""
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 3 @100 #1                       | ...
        1    sell 17 COINUSDT 4 @100 #2                       | ...
        1    buy 16 COINUSDT 5 @100 fok #3 own=cancel_maker   | REJECT CANNOT_FILL
        1    buy 16 COINUSDT 4 @100 fok #3 own=cancel_taker   | REJECT CANNOT_FILL
        1    buy 16 COINUSDT 4 @100 fok #3 own=decrement      | REJECT CANNOT_FILL
        1    buy 16 COINUSDT 4 @100 fok #3 own=cancel_maker   | ACCEPTED 16 buy 4 @100 #3; """
        + """CANCELLED 16 sell 3 @100 #1 SELF_TRADE; FILL 16 buy 4 @100 from 17 #2
        """,
    )


def test_decrement_meets_the_shown_lots_one_helping_at_a_time(twin):
    play(
        twin,
        small_venue(),
        QUIET
        + """
        1    sell 16 COINUSDT 3 @100 #1 show=2            | ...
        1    buy 16 COINUSDT 3 @100 #2 own=decrement      | ACCEPTED 16 buy 3 @100 #2; """
        + """CANCELLED 16 buy 2 @100 #2 SELF_TRADE; CANCELLED 16 sell 2 @100 #1 SELF_TRADE; REFRESHED 16 sell 1 @100 #1; """
        + """CANCELLED 16 buy 1 @100 #2 SELF_TRADE; CANCELLED 16 sell 1 @100 #1 SELF_TRADE
        """,
    )


# ---- limits


@pytest.mark.parametrize(
    "limits, order, reason",
    [
        ({"qty_max": 5}, "buy 16 COINUSDT 6 @100", "QTY_LIMIT"),
        ({"qty_max": 5}, "buy 16 COINUSDT 5 @100", None),
        ({"notional_max": 500}, "buy 16 COINUSDT 5 @100.05", "NOTIONAL_LIMIT"),
        ({"notional_max": 500}, "buy 16 COINUSDT 5 @100", None),
        ({"notional_max": "499.99"}, "buy 16 COINUSDT 5 @0 market", "NOTIONAL_LIMIT"),
        ({"position_max": 5}, "buy 16 COINUSDT 6 @100", "OWNER_LIMIT"),
        ({"position_max": 5}, "sell 16 COINUSDT 5 @100", None),
        ({"open_interest_max": 5}, "sell 16 COINUSDT 6 @100", "OPEN_INTEREST_LIMIT"),
        ({"open_interest_max": 5}, "sell 16 COINUSDT 5 @100", None),
    ],
)
def test_limits_of_one_order(twin, limits, order, reason):
    exchange = play(twin, small_venue(market={"limits": limits}), QUIET)
    said = outcomes_of(exchange.apply(tape(exchange_venue := small_venue(market={"limits": limits}), f"1 {order} #1 |")[0]))
    assert exchange_venue.markets[0].limits.model_dump(exclude_defaults=True) == limits
    assert (Reason(said[0].reason).name if said[0].kind == OutcomeKind.REJECT else None) == reason


def test_an_owners_accounts_count_together_with_their_open_orders(twin):
    play(
        twin,
        small_venue(market={"limits": {"position_max": 10}}),
        QUIET
        + """
        1    buy 16 COINUSDT 4 @100 #1          | ACCEPTED 16 buy 4 @100 #1
        1    sell 17 COINUSDT 4 @100 #2         | ACCEPTED 17 sell 4 @100 #2; FILL 17 sell 4 @100 from 16 #1
        1    buy 16 COINUSDT 3 @99 #3           | ACCEPTED 16 buy 3 @99 #3
        1    buy 19 COINUSDT 4 @99 #4           | REJECT OWNER_LIMIT
        1    buy 19 COINUSDT 3 @99 #5           | ACCEPTED 19 buy 3 @99 #5
        1    buy 17 COINUSDT 14 @98 #6          | ACCEPTED 17 buy 14 @98 #6
        1    sell 16 COINUSDT 14 @101 #7        | ACCEPTED 16 sell 14 @101 #7
        1    sell 19 COINUSDT 1 @101 #8         | REJECT OWNER_LIMIT
        """,
    )


@pytest.mark.parametrize("seed", range(3))
def test_owners_of_many_accounts_are_told_apart(seed):
    """Owners' numbers are near each other and far apart; orders before and after a snapshot meet the same limits."""
    dice, accounts = random.Random(seed), 40
    venue = small_venue(market={"limits": {"position_max": 9}}, limits={"accounts_max": USERS_FROM + accounts})
    owners = [dice.getrandbits(32) for _ in range(5)] + [dice.getrandbits(5) for _ in range(5)] + [0, 2**32 - 1]
    rows = [{"kind": EventKind.SOURCE, "source": i, "price": price} for i, price in ((0, 10_000), (1, 100))]
    for account in range(USERS_FROM, USERS_FROM + accounts):
        rows.append({"kind": EventKind.ACCOUNT, "account": account, "ref_id": owners[dice.getrandbits(8) % len(owners)]})
        rows.append({"kind": EventKind.DEPOSIT, "account": account, "asset": 0, "amount_lo": 10**12})
    for order_id in range(1, 300):
        fields = {"kind": EventKind.ORDER, "account": USERS_FROM + dice.getrandbits(8) % accounts, "ref_id": order_id}
        price = 10_000 + 5 * (dice.getrandbits(8) % 7)
        rows.append(fields | {"side": 1 + dice.getrandbits(1), "tif": Tif.GTC, "price": price, "qty": 1 + dice.getrandbits(2)})
    events = np.frombuffer(b"".join(pack(**({"time_ns": START_NS} | row)) for row in rows), EVENT)
    lockstep, half = Lockstep(venue, START_NS), len(events) - 150
    lockstep.run(events[:half], state_every=50)
    lockstep.right = type(lockstep.right).restore(venue, lockstep.right.snapshot())
    lockstep.run(events[half:], state_every=50)
    reasons = {(kind, reason) for kind, reason in lockstep.right.outcomes()[["kind", "reason"]].tolist()}
    assert (OutcomeKind.REJECT, Reason.OWNER_LIMIT) in reasons and (OutcomeKind.FILL, 0) in reasons


def test_open_interest_stays_below_its_cap(twin):
    exchange = play(
        twin,
        small_venue(market={"limits": {"open_interest_max": 5}}),
        QUIET
        + """
        1    buy 16 COINUSDT 4 @100 #1          | ACCEPTED 16 buy 4 @100 #1
        1    buy 17 COINUSDT 4 @100 #2          | ACCEPTED 17 buy 4 @100 #2
        1    sell 18 COINUSDT 4 @100 #3         | ACCEPTED 18 sell 4 @100 #3; FILL 18 sell 4 @100 from 16 #1
        1    sell 18 COINUSDT 2 @100 #4         | REJECT OPEN_INTEREST_LIMIT
        1    sell 16 COINUSDT 4 @100 #5         | ACCEPTED 16 sell 4 @100 #5; FILL 16 sell 4 @100 from 17 #2
        1    sell 18 COINUSDT 1 @100 #6         | ACCEPTED 18 sell 1 @100 #6
        """,
    )
    assert sum(max(0, row[3]) for row in exchange.state()["positions"]) == 4


def test_open_orders_of_an_account_are_counted(twin):
    venue = small_venue(limits={"orders_per_account_max": 2})
    play(
        twin,
        venue,
        QUIET
        + """
        1    buy 16 COINUSDT 1 @99 #1           | ...
        1    buy 16 COINUSDT 1 @98 #2           | ACCEPTED 16 buy 1 @98 #2
        1    buy 16 COINUSDT 1 @97 #3           | REJECT TOO_MANY_ORDERS
        1    amend 16 #1 @97                    | AMENDED 16 buy 1 @97 #1 anew
        """,
    )


def test_a_market_order_may_be_bounded_in_ticks(twin):
    venue = small_venue(market={"market_bound_ticks": 2})
    play(
        twin,
        venue,
        QUIET
        + """
        1    buy 17 COINUSDT 1 @0 market #9         | ACCEPTED 17 buy 1 @0 #9; CANCELLED 17 buy 1 @0 #9 IOC_REMAINDER
        1    sell 16 COINUSDT 1 @120 #1             | ...
        1    sell 16 COINUSDT 1 @120.1 #2           | ...
        1    sell 16 COINUSDT 1 @120.15 #3          | ...
        1    buy 17 COINUSDT 3 @0 market #4         | ACCEPTED 17 buy 3 @0 #4; FILL 17 buy 1 @120 from 16 #1; """
        + """FILL 17 buy 1 @120.1 from 16 #2; CANCELLED 17 buy 1 @0 #4 IOC_REMAINDER
        """,
    )


# ---- a matching engine alone


def test_without_clearing_anybody_trades(twin):
    """No account is open, no price is known, no money moves; ids are whatever 63 bits say."""
    exchange = play(
        twin,
        small_venue(clearing="none", market={"market_bound_ticks": 10**9}),
        """
        0    sell 70 COINUSDT 900000000 @100 #9223372036854775807  | ACCEPTED 70 sell 900000000 @100 #9223372036854775807
        0    buy 71 COINUSDT 5 @0 market #1     | ACCEPTED 71 buy 5 @0 #1; FILL 71 buy 5 @100 from 70 #9223372036854775807
        0    amend 70 #9223372036854775807 3    | AMENDED 70 sell 3 @100 #9223372036854775807
        0    buy 71 COINUSDT 4 @100 reduce #2   | REJECT NOT_REDUCING
        0    buy 5 COINUSDT 4 @100 #2           | REJECT UNKNOWN_ACCOUNT
        0    cancel 71 #9223372036854775807     | REJECT NOT_OWNER
        """,
    )
    state = exchange.state()
    assert not state["balances"] and not state["positions"] and [row[0] for row in state["accounts"]] == [70, 71]


def test_without_clearing_and_without_a_mark_a_bounded_market_order_is_refused(twin):
    play(twin, small_venue(clearing="none"), "0 buy 71 COINUSDT 5 @0 market #1 | REJECT GRADE_REFUSED")


@pytest.mark.parametrize(("told_by", "moved"), [("source", ""), ("book", "; INDEX X 100 of 1; MARK X 100")])
def test_an_order_meets_the_book_alone(twin, told_by, moved):
    """Nobody says a price, a year passes, the market halts: no answer but the book's own."""
    play(
        twin,
        matching_venue("alone", index=told_by, price_decimals=2),
        f"""
        0           sell 70 X 9 @100 #1     | ACCEPTED 70 sell 9 @100 #1
        0           buy 71 X 5 @0 market #2 | ACCEPTED 71 buy 5 @0 #2; FILL 71 buy 5 @100 from 70 #1{moved}
        31536000    state X halted          | STATE_SET X HALTED
        31536000    buy 71 X 1 @99 #3       | REJECT MARKET_STATE
        31536000    amend 70 #1 3           | AMENDED 70 sell 3 @100 #1
        31536000    state X post_only       | STATE_SET X POST_ONLY
        31536000    buy 71 X 1 @100 #3      | REJECT MARKET_STATE
        31536000    buy 71 X 1 @99 #3       | ACCEPTED 71 buy 1 @99 #3
        31536000    cancel 70 #1            | CANCELLED 70 sell 3 @100 #1 USER
        """,
    )


# ---- invariants on many orders of all kinds


FEES = {"taker_ppm": 500, "maker_ppm": 200}
_TIFS = (Tif.GTC, Tif.GTC, Tif.IOC, Tif.FOK, Tif.POST_ONLY, Tif.POST_REPRICE, Tif.GTD, Tif.MARKET)


def _storm(seed: int, events: int) -> np.ndarray:
    """Return events of every kind of order in one market without clearing: few prices, few accounts, orders that come again."""
    dice = random.Random(seed)
    below = lambda n: dice.getrandbits(32) % n  # noqa: E731
    rows, sent = [], [(USERS_FROM, 1)]
    for number in range(events):
        what, account, now = below(10), USERS_FROM + below(4), START_NS + number
        fields = {"time_ns": now, "account": account, "kind": EventKind.CLOCK}
        if what < 6:
            qty, tif = 1 + below(9), _TIFS[below(8)]
            fields |= {"kind": EventKind.ORDER, "ref_id": 1 + number, "side": (Side.BUY, Side.SELL)[below(2)], "tif": tif}
            fields |= {"qty": qty, "price": 0 if tif == Tif.MARKET else 10_000 + 5 * below(7)}
            fields["asset"] = (SelfTrade.AS_MARKET, *list(SelfTrade)[2:])[below(5)]
            if tif in (Tif.GTC, Tif.GTD) and below(3) == 0:
                fields["amount_lo"] = below(qty)
            if tif == Tif.GTD:
                fields["amount_hi"] = now + 1 + below(40)
            sent.append((account, 1 + number))
        elif what < 9:
            account, order_id = sent[-1 - below(min(len(sent), 20))]
            fields |= {"kind": EventKind.CANCEL if what == 8 else EventKind.AMEND, "account": account, "ref_id": order_id}
            if what < 8:
                fields |= {"price": (0, 10_000 + 5 * below(7))[below(2)], "qty": below(9)}
        elif below(8) == 0:
            fields |= {"kind": EventKind.MASS_CANCEL, "flags": Flag.ALL_MARKETS, "side": below(3)}
        rows.append(pack(**fields))
    return np.frombuffer(b"".join(rows), EVENT)


@pytest.mark.parametrize("mode", ["allow", "cancel_maker", "decrement"])
@pytest.mark.parametrize("seed", range(4))
def test_the_book_keeps_its_invariants(seed, mode):
    """After each event: twins equal, laws kept, places of a level without a gap, ids unique, some lots shown of each order."""
    venue = small_venue(clearing="none", market={"self_trade": {"mode": mode}, "market_bound_ticks": 3, "fees": FEES})
    lockstep, events = Lockstep(venue, START_NS), _storm(seed, 400)
    for number in range(len(events)):
        lockstep.run(events[number : number + 1], laws=True)
        rows = lockstep.right.state()["orders"]
        assert len({row[4] for row in rows}) == len(rows)
        assert all(0 < row[8] <= row[6] for row in rows)
        assert [row[3] for row in rows] == [sum(other[1:3] == row[1:3] for other in rows[:i]) for i, row in enumerate(rows)]
    seen = {OutcomeKind(kind) for kind in lockstep.right.outcomes()["kind"]}
    assert {OutcomeKind.FILL, OutcomeKind.AMENDED, OutcomeKind.REFRESHED, OutcomeKind.CANCELLED, OutcomeKind.REJECT} <= seen


def test_drained_nothing_stays_reserved(twin):
    exchange = play(
        twin,
        small_venue(indices=[index("COIN", {"kind": "source", "name": "coin"}), index("USD", {"kind": "source", "name": "usd"})]),
        QUIET
        + """
        1    buy 16 COINUSDT 5 @99 #1 show=2        | ...
        1    sell 16 COINUSDT 5 @101 gtd until=9 #2 | ...
        1    buy 17 COINUSDT 5 @98 post until=9 #3  | ...
        1    amend 16 #1 7                          | ...
        2    masscancel 16 all                      | ...
        9    clock                                  | CANCELLED 17 buy 5 @98 #3 EXPIRED
        """,
    )
    state = exchange.state()
    assert not state["orders"] and not state["reserved"] and not [row for row in state["timers"] if row[0] == 5]


EVERYTHING = {
    "fees": FEES | {"liquidation_ppm": 10_000},
    "self_trade": {"mode": "decrement", "by": "owner"},
    "band": {"kind": "percent", "up_ppm": 60_000, "down_ppm": 60_000, "policy": "clip"},
    "limit_up_down": {"ppm": 50_000, "pause_ns": 2 * units.NS, "resume": "auction", "auction_ns": 2 * units.NS},
    "limits": {"qty_max": 200, "notional_max": 9_000, "position_max": 400, "open_interest_max": 900},
    "market_bound_ticks": 60,
}


def test_all_kinds_states_and_modes_at_once():
    """One market with every row, no step switched off: the twins agree under every law, and each kind of outcome comes about."""
    venue = small_venue(
        market=EVERYTHING,
        limits={"fills_kept": 50, "accounts_max": 96},
        sources=[{"name": name, "price_decimals": 2} for name in ("coin", "coin2", "usd", "usd2", "ratio")],
        assets=[{"name": name, "decimals": 4} for name in ("USDT", "USD", "COIN")],
    )
    seen, kinds = set(), set()
    for seed in range(3):
        dice = random.Random(seed)
        maker = TapeMaker(Decoded(dice.getrandbits(8 * 4_000).to_bytes(4_000, "little")), venue, 6, KINDS)
        maker.prologue()
        while len(maker.rows) < 500:
            maker.step()
        lockstep = Lockstep(venue, TAPE_START)
        lockstep.run(maker.events(), laws=True)
        seen |= {OutcomeKind(kind) for kind in lockstep.right.outcomes()["kind"]}
        kinds |= {EventKind(kind) for kind in maker.events()["kind"] if kind in EventKind._value2member_map_}
    assert kinds == set(EventKind)
    of_orders = {
        OutcomeKind[name]
        for name in "REJECT ACCEPTED FILL CANCELLED WAITING TRIGGERED AMENDED REFRESHED BUSTED UNCROSSED STATE_SET".split()
    }
    assert of_orders <= seen
