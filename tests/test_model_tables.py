"""What the exchange does, by example: one row an event, what came of it at the end of the row, on both twins.

The rule book is tests/twins.py:small_venue: one perpetual, 1 lot = 1 COIN, the first bracket up to 2,000 USDT of notional at 2.5 %
maintenance and 20-fold leverage, the second up to 10,000 at 5 % less 50 and 10-fold; USD counts as collateral at 90 % and is
converted at 98 %. Every number can be checked by hand.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from pathlib import Path

import pytest

from specs.tape import SEAM_ANY, Reason, Seam, SeamKind
from tests.twins import index, play, rows_of, seam_row, small_venue, stages, twin  # noqa: F401

PRICED = """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
"""
FUNDED = (
    PRICED
    + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
"""
)
TRADED = (
    FUNDED
    + """
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
"""
)
SOURCES = [{"name": name, "price_decimals": 2} for name in ("coin", "coin2", "usd", "ratio")]
STALE_10 = [source | {"stale_after_ns": 10**10} for source in SOURCES]
COIN, COIN2, USD = ({"kind": "source", "name": name} for name in ("coin", "coin2", "usd"))
BOOK = {"kind": "book", "market": "COINUSDT"}


def coin_index(recipe: dict, every_s: int | None = None, **fields) -> list[dict]:
    """Return the two index rows with another recipe for COIN."""
    return [index("COIN", recipe, every_s, **fields), index("USD", USD)]


# ---- the gate

GATE = (
    FUNDED
    + """
    -- time
    2    clock                          |
    1    clock                          | REJECT TIME_WENT_BACK
    200  clock                          | REJECT TIME_GAP
    102  clock                          |
    -- names
    102  raw kind=0                     | REJECT UNKNOWN_KIND
    102  raw kind=99                    | REJECT UNKNOWN_KIND
    102  deposit 15 USDT 1              | REJECT UNKNOWN_ACCOUNT
    102  deposit 99 USDT 1              | REJECT UNKNOWN_ACCOUNT
    102  withdraw 99 USDT 1             | REJECT UNKNOWN_ACCOUNT
    102  leverage 99 COINUSDT 1         | REJECT UNKNOWN_ACCOUNT
    102  buy 99 COINUSDT 1 @100         | REJECT UNKNOWN_ACCOUNT
    102  cancel 99 #1                   | REJECT UNKNOWN_ACCOUNT
    102  account 15                     | REJECT UNKNOWN_ACCOUNT
    102  account 300                    | REJECT UNKNOWN_ACCOUNT
    102  buy 16 7 1 @100                | REJECT UNKNOWN_MARKET
    102  leverage 16 7 1                | REJECT UNKNOWN_MARKET
    102  deposit 16 7 1                 | REJECT UNKNOWN_ASSET
    102  withdraw 16 7 1                | REJECT UNKNOWN_ASSET
    102  source 9 1                     | REJECT UNKNOWN_SOURCE
    102  account 16                     | REJECT DUPLICATE_ACCOUNT
    102  account 18 owner 17 parent 16  | REJECT BAD_OWNER
    102  account 18 owner 16 parent 40  | REJECT BAD_OWNER
    102  account 18 owner 4294967296    | REJECT BAD_OWNER
    102  account 18 owner 16 parent 16  | OPENED 18 owner 16
    -- amounts
    102  deposit 16 USDT 0              | REJECT BAD_AMOUNT
    102  deposit 16 USDT -1             | REJECT BAD_AMOUNT
    102  deposit 16 USDT 100000000000000000000.0001 | REJECT BAD_AMOUNT
    102  withdraw 16 USDT 0             | REJECT BAD_AMOUNT
    102  withdraw 16 USDT 120.0001      | REJECT INSUFFICIENT_BALANCE
    102  leverage 16 COINUSDT 0         | REJECT BAD_LEVERAGE
    102  leverage 16 COINUSDT 21        | REJECT BAD_LEVERAGE
    102  leverage 16 COINUSDT 20        | LEVERAGE_SET 16 20
    -- orders
    102  raw kind=6 account=16 ref_id=0x8000000000000001 side=1 tif=1 price=10000 qty=1 | REJECT BAD_ORDER_ID
    102  raw kind=6 account=16 ref_id=2 leg=1 side=1 tif=1 price=10000 qty=1 | REJECT BAD_LEG
    102  buy 16 COINUSDT 1 @90 #1       | ACCEPTED 16 buy 1 @90 #1
    102  buy 17 COINUSDT 1 @90 #1       | REJECT DUPLICATE_ORDER_ID
    102  raw kind=6 account=16 ref_id=2 side=0 tif=1 price=10000 qty=1 | REJECT BAD_SIDE
    102  raw kind=6 account=16 ref_id=2 side=3 tif=1 price=10000 qty=1 | REJECT BAD_SIDE
    102  raw kind=6 account=16 ref_id=2 side=1 tif=0 price=10000 qty=1 | REJECT BAD_TIF
    102  raw kind=6 account=16 ref_id=2 side=1 tif=8 price=10000 qty=1 | REJECT BAD_TIF
    102  buy 16 COINUSDT 0 @90 #2       | REJECT BAD_QTY
    102  buy 16 COINUSDT 1000000001 @90 #2 | REJECT BAD_QTY
    102  buy 16 COINUSDT 1 #2           | REJECT BAD_PRICE
    102  buy 16 COINUSDT 1 @10000000000000.05 #2 | REJECT BAD_PRICE
    102  buy 16 COINUSDT 1 @90 market #2 | REJECT BAD_PRICE
    102  buy 16 COINUSDT 1 @90.01 #2    | REJECT OFF_TICK
    102  sell 17 COINUSDT 1 @90 post #2 | REJECT WOULD_CROSS
    102  cancel 16 #7                   | REJECT UNKNOWN_ORDER
    102  cancel 17 #1                   | REJECT NOT_OWNER
    102  cancel 16 #1                   | CANCELLED 16 buy 1 @90 #1 USER
    -- margin: 25 lots at 100 need 250 at 10-fold leverage; 101 lots are beyond the last bracket
    102  buy 16 COINUSDT 25 @100 #2     | REJECT INSUFFICIENT_MARGIN
    102  buy 16 COINUSDT 101 @100 #2    | REJECT EXCEEDS_BRACKETS
    102  withdraw 16 USDT 120           | WITHDRAWAL 120 USDT 16 to OUTSIDE
"""
)


def test_gate(twin):
    play(twin, small_venue(limits={"accounts_max": 300}), GATE)


def test_gate_of_margin(twin):
    play(
        twin,
        small_venue(limits={"orders_per_account_max": 2, "orders_max": 3}),
        TRADED
        + """
    -- equity 120, initial margin 80: 40 may leave
    1    withdraw 16 USDT 40.0001       | REJECT INSUFFICIENT_MARGIN
    1    leverage 16 COINUSDT 13        | REJECT INSUFFICIENT_MARGIN
    1    leverage 16 COINUSDT 14        | LEVERAGE_SET 16 14
    1    withdraw 16 USDT 5             | WITHDRAWAL 5 USDT 16 to OUTSIDE
    -- what reduces is always taken, however thin the account; two orders an account, three in all
    1    sell 16 COINUSDT 16 @101 #3    | ACCEPTED 16 sell 16 @101 #3
    1    sell 16 COINUSDT 16 @101 #4    | ACCEPTED 16 sell 16 @101 #4
    1    sell 16 COINUSDT 1 @101 #5     | REJECT TOO_MANY_ORDERS
    1    buy 17 COINUSDT 1 @99 #6       | ACCEPTED 17 buy 1 @99 #6
    1    buy 17 COINUSDT 1 @99 #7       | REJECT BOOK_FULL
    """,
    )


def test_what_an_order_loses_at_once_is_not_set_off_against_orders_that_rest(twin):
    """10 lots rest at 50, half the mark: were their gain of 500 counted, one lot at 590 would look as if it lost nothing."""
    play(
        twin,
        small_venue(),
        FUNDED
        + """
    1    sell 17 COINUSDT 1 @590 #1     | ACCEPTED 17 sell 1 @590 #1
    1    buy 16 COINUSDT 10 @50 #2      | ACCEPTED 16 buy 10 @50 #2
    1    buy 16 COINUSDT 1 @590 #3      | REJECT INSUFFICIENT_MARGIN
    1    buy 16 COINUSDT 1 @150 #4      | ACCEPTED 16 buy 1 @150 #4
    1    sell 17 COINUSDT 5 @160 #5     | ACCEPTED 17 sell 5 @160 #5
    1    sell 17 COINUSDT 1 @10 ioc #6  | REJECT INSUFFICIENT_MARGIN
""",
    )


def test_initial_margin_is_on_the_worse_side(twin):
    play(
        twin,
        small_venue(),
        FUNDED
        + """
    -- 20 lots to buy and 20 to sell need 100, not 200; one more lot on either side is in the second bracket and needs 210
    1    buy 16 COINUSDT 20 @100 #1     | ACCEPTED 16 buy 20 @100 #1
    1    sell 16 COINUSDT 20 @101 #2    | ACCEPTED 16 sell 20 @101 #2
    1    sell 16 COINUSDT 1 @101 #3     | REJECT INSUFFICIENT_MARGIN
    -- a bid beyond the mark pays what it would lose at once: 10 lots at 105 need 50 + 50, at 107.05 50 + 70.5
    1    buy 17 COINUSDT 10 @107.05 ioc #4 | REJECT INSUFFICIENT_MARGIN
    1    buy 17 COINUSDT 10 @105 ioc #5    | ACCEPTED 17 buy 10 @105 #5; FILL 17 buy 10 @101 from 16 #2
    """,
    )


def test_bracket_edges(twin):
    """At 2,000 of notional maintenance is 50 in the first bracket; a lot more is in the second: 2,100 x 5 % - 50 = 55."""
    play(
        twin,
        small_venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16
    0    deposit 17 USDT 1000           | DEPOSIT 1000 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 20 @100 #1     | ACCEPTED 16 buy 20 @100 #1
    1    sell 17 COINUSDT 20 @100 #2    | ACCEPTED 17 sell 20 @100 #2; FILL 17 sell 20 @100 from 16 #1
    -- at 97.45 equity is 49 and maintenance 48.725; at 97.43 48.6 and 48.715
    2    source coin 97.45              | INDEX COIN 97.45 of 1; MARK COINUSDT 97.45
    2    source coin 97.43              | INDEX COIN 97.43 of 1; MARK COINUSDT 97.43; LIQUIDATION 16 48.6; TAKEOVER 16 long 20 @97.43 cash 1900 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    play(
        twin,
        small_venue(),
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 210            | DEPOSIT 210 USDT OUTSIDE to 16
    0    deposit 17 USDT 1000           | DEPOSIT 1000 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 21 @100 #1     | ACCEPTED 16 buy 21 @100 #1
    1    sell 17 COINUSDT 21 @100 #2    | ACCEPTED 17 sell 21 @100 #2; FILL 17 sell 21 @100 from 16 #1
    -- at 92.2 equity is 46.2, notional 1,936.2, maintenance 48.405; at 92.35 equity 49.35, maintenance 48.4838
    2    source coin 92.35              | INDEX COIN 92.35 of 1; MARK COINUSDT 92.35
    2    source coin 92.2               | INDEX COIN 92.2 of 1; MARK COINUSDT 92.2; LIQUIDATION 16 46.2; TAKEOVER 16 long 21 @92.2 cash 1890 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_trigger_at_equality(twin):
    """4 lots at 97 leave 9.7 of 21.7, and maintenance is 9.7: >= liquidates, > does not yet."""
    table = (
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 21.7           | DEPOSIT 21.7 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 4 @100 #1      | ACCEPTED 16 buy 4 @100 #1
    1    sell 17 COINUSDT 4 @100 #2     | ACCEPTED 17 sell 4 @100 #2; FILL 17 sell 4 @100 from 16 #1
    2    source coin 97.01              | INDEX COIN 97.01 of 1; MARK COINUSDT 97.01
    """
    )
    greater, at_equal = (
        small_venue(liquidation={"trigger": f"maintenance_{sign}_equity", "stages": stages()}) for sign in ("gt", "ge")
    )
    play(
        twin,
        at_equal,
        table
        + "2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97; LIQUIDATION 16 9.7; TAKEOVER 16 long 4 @97 cash 378.3 in round 1; RESTORED 16 0 FLAT in round 1",
    )
    play(
        twin,
        greater,
        table
        + """
    2    source coin 97                 | INDEX COIN 97 of 1; MARK COINUSDT 97
    2    source coin 96.99              | INDEX COIN 96.99 of 1; MARK COINUSDT 96.99; LIQUIDATION 16 9.66; TAKEOVER 16 long 4 @96.99 cash 378.3 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


# ---- orders


def test_orders_match_by_price_then_time(twin):
    play(
        twin,
        small_venue(market={"fees": {"taker_ppm": 500, "maker_ppm": 201}}),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 2 @99.95 #1    | ACCEPTED 16 buy 2 @99.95 #1
    1    buy 17 COINUSDT 2 @100 #2      | ACCEPTED 17 buy 2 @100 #2
    1    buy 16 COINUSDT 2 @100 #3      | ACCEPTED 16 buy 2 @100 #3
    -- best price first, then the oldest; fees are rounded up
    1    sell 18 COINUSDT 5 @99.95 #4   | ACCEPTED 18 sell 5 @99.95 #4; FILL 18 sell 2 @100 from 17 #2 fee 0.1; FEE 0.0402 USDT 17 to FEES; FILL 18 sell 2 @100 from 16 #3 fee 0.1; FEE 0.0402 USDT 16 to FEES; FILL 18 sell 1 @99.95 from 16 #1 fee 0.05; FEE 0.0201 USDT 16 to FEES
    1    sell 18 COINUSDT 5 @99.95 ioc #5 | ACCEPTED 18 sell 5 @99.95 #5; FILL 18 sell 1 @99.95 from 16 #1 fee 0.05; FEE 0.0201 USDT 16 to FEES; CANCELLED 18 sell 4 @99.95 #5 IOC_REMAINDER
    1    sell 18 COINUSDT 1 @100 post #6 | ACCEPTED 18 sell 1 @100 #6
    1    buy 17 COINUSDT 1 @100 post #7 | REJECT WOULD_CROSS
    1    buy 17 COINUSDT 3 @100.5 #8    | ACCEPTED 17 buy 3 @100.5 #8; FILL 17 buy 1 @100 from 18 #6 fee 0.05; FEE 0.0201 USDT 18 to FEES
    1    cancel 17 #8                   | CANCELLED 17 buy 2 @100.5 #8 USER
    1    cancel 17 #8                   | REJECT UNKNOWN_ORDER
    -- a user's own order is met like anybody's
    1    sell 17 COINUSDT 1 @100.5 #9   | ACCEPTED 17 sell 1 @100.5 #9
    1    buy 17 COINUSDT 1 @100.5 #10   | ACCEPTED 17 buy 1 @100.5 #10; FILL 17 buy 1 @100.5 from 17 #9 fee 0.0503; FEE 0.0203 USDT 17 to FEES
    """,
    )


def test_a_market_order_stops_at_its_bound(twin):
    """market_bound_ppm 10,000 around a mark of 100: not above 101, not below 99."""
    play(
        twin,
        small_venue(market={"market_bound_ppm": 10_000}),
        FUNDED
        + """
    1    sell 16 COINUSDT 1 @101 #1     | ACCEPTED 16 sell 1 @101 #1
    1    sell 16 COINUSDT 1 @101.05 #2  | ACCEPTED 16 sell 1 @101.05 #2
    1    buy 17 COINUSDT 3 market #3    | ACCEPTED 17 buy 3 @0 #3; FILL 17 buy 1 @101 from 16 #1; CANCELLED 17 buy 2 @0 #3 IOC_REMAINDER
    1    buy 16 COINUSDT 1 @98.95 #4    | ACCEPTED 16 buy 1 @98.95 #4
    1    sell 17 COINUSDT 1 market #5   | ACCEPTED 17 sell 1 @0 #5; CANCELLED 17 sell 1 @0 #5 IOC_REMAINDER
    """,
    )


# ---- prices

RECIPES = {
    "source": (
        coin_index(COIN),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin2 77                |
    0    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    0    source coin 0                  | INDEX COIN 0 of 1 INVALID; MARK COINUSDT 100 INVALID
    0    source coin -3                 | INDEX COIN -3 of 1 INVALID
    0    source coin 10000000000000     | INDEX COIN 10000000000000 of 1; MARK COINUSDT 10000000000000
    0    source coin 10000000000000.01  | INDEX COIN 10000000000000.01 of 1 INVALID; MARK COINUSDT 10000000000000 INVALID
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    """,
    ),
    "weighted": (
        coin_index({"kind": "weighted", "of": [COIN, COIN2], "weights": [66_666_667, 33_333_333]}),
        """
    -- one part is missing: the weights of the others count alone; rounded down
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin2 100.01            |
    0    source coin2 130               | INDEX COIN 109.99 of 2; MARK COINUSDT 109.99
    0    source coin missing            | INDEX COIN 130 of 1; MARK COINUSDT 130
    """,
    ),
    "mean": (
        coin_index({"kind": "mean", "of": [COIN, COIN2]}),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin2 100.01            |
    0    source coin2 -100.03           | INDEX COIN -0.02 of 2 INVALID; MARK COINUSDT 100 INVALID
    """,
    ),
    "median": (
        coin_index({"kind": "median", "of": [COIN, COIN2, USD]}),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin2 103.01            | INDEX COIN 101.5 of 2; MARK COINUSDT 101.5
    0    source usd 90                  | INDEX COIN 100 of 3; INDEX USD 90 of 1; MARK COINUSDT 100; COLLATERAL USD 90
    0    source coin missing            | INDEX COIN 96.5 of 2; MARK COINUSDT 96.5
    """,
    ),
    "floor": (
        coin_index({"kind": "floor", "of": COIN, "price_min": "99.5"}),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin 99.49              | INDEX COIN 99.5 of 1; MARK COINUSDT 99.5
    0    source coin missing            | INDEX COIN 99.5 of 0 TOO_FEW_SOURCES; MARK COINUSDT 99.5 TOO_FEW_SOURCES
    """,
    ),
    "twap": (
        coin_index({"kind": "twap", "of": COIN, "publications": 3}, every_s=1),
        """
    0    source coin 100                |
    1    clock                          | INDEX COIN 100 of 1; MARK COINUSDT 100
    1    source coin 101                |
    2    clock                          | INDEX COIN 100.5 of 1; MARK COINUSDT 100.5
    2    source coin 103                |
    -- three publications at once: 101, 103, 103; 103, 103, 103
    4    clock                          | INDEX COIN 101.33 of 1; MARK COINUSDT 101.33; INDEX COIN 102.33 of 1; MARK COINUSDT 102.33
    4    source coin missing            |
    5    clock                          | INDEX COIN 102.33 of 0 TOO_FEW_SOURCES; MARK COINUSDT 102.33 TOO_FEW_SOURCES
    """,
    ),
    "product": (
        coin_index({"kind": "product", "of": [COIN, {"kind": "source", "name": "ratio"}]}),
        """
    0    source coin 100.01             |
    0    source ratio 0.99              | INDEX COIN 99 of 2; MARK COINUSDT 99
    0    source coin missing            | INDEX COIN 99 of 0 TOO_FEW_SOURCES; MARK COINUSDT 99 TOO_FEW_SOURCES
    0    source coin 92233720368547758  | INDEX COIN 91311383164862280.42 of 2 INVALID; MARK COINUSDT 99 INVALID
    0    source ratio 2                 |
    """,
    ),
    "redemption": (
        [index("COIN", COIN), index("USD", {"kind": "redemption", "ratio": "ratio"})],
        """
    0    source ratio 0.98              | INDEX USD 0.98 of 1; COLLATERAL USD 0.98
    0    source ratio missing           | INDEX USD 0.98 of 0 TOO_FEW_SOURCES; COLLATERAL USD 0.98 TOO_FEW_SOURCES
    """,
    ),
    "redemption of an underlying": (
        coin_index({"kind": "redemption", "ratio": "ratio", "underlying": COIN2}),
        """
    0    source ratio 1.05              |
    0    source coin2 99.99             | INDEX COIN 104.98 of 2; MARK COINUSDT 104.98
    """,
    ),
    "index": (
        [
            index("LEG", COIN2, 2),
            index("COIN", {"kind": "mean", "of": [COIN, {"kind": "index", "name": "LEG"}]}),
            index("USD", USD),
        ],
        """
    -- a leg counts as it was published last, while it is VALID; its publication publishes what stands on it
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin2 102               |
    2    clock                          | INDEX LEG 102 of 1; INDEX COIN 101 of 2; MARK COINUSDT 101
    2    source coin2 -1                |
    4    clock                          | INDEX LEG -1 of 1 INVALID; INDEX COIN 100 of 1; MARK COINUSDT 100
    """,
    ),
    "staleness": (
        coin_index({"kind": "mean", "of": [COIN, COIN2]}),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    4    source coin2 102               | INDEX COIN 101 of 2; MARK COINUSDT 101
    9    clock                          |
    10   clock                          | INDEX COIN 102 of 1; MARK COINUSDT 102
    14   clock                          | INDEX COIN 102 of 0 STALE; MARK COINUSDT 102 STALE
    15   source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101
    """,
    ),
    "quorum": (
        coin_index({"kind": "mean", "of": [COIN, COIN2]}, sources_min=2),
        """
    0    source coin 100                | INDEX COIN 100 of 1 TOO_FEW_SOURCES
    0    source coin2 102               | INDEX COIN 101 of 2; MARK COINUSDT 101
    0    source coin missing            | INDEX COIN 102 of 1 TOO_FEW_SOURCES; MARK COINUSDT 101 TOO_FEW_SOURCES
    """,
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_index_recipes(twin, name):
    indices, table = RECIPES[name]
    play(twin, small_venue(indices=indices, sources=STALE_10 if name == "staleness" else SOURCES), table)


def test_the_venues_own_book_as_an_index(twin):
    """Mid of best bid and ask rounded down, else the last trade; it is collateral here, as on 10 October."""
    play(
        twin,
        small_venue(indices=[index("COIN", COIN), index("USD", BOOK, 1)]),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    clock                          |
    1    buy 16 COINUSDT 1 @99.95 #1    | ACCEPTED 16 buy 1 @99.95 #1
    2    clock                          |
    2    sell 17 COINUSDT 1 @100.5 #2   | ACCEPTED 17 sell 1 @100.5 #2
    3    clock                          | INDEX USD 100.22 of 1; COLLATERAL USD 100.22
    3    sell 17 COINUSDT 1 @99.95 #3   | ACCEPTED 17 sell 1 @99.95 #3; FILL 17 sell 1 @99.95 from 16 #1
    4    clock                          | INDEX USD 99.95 of 1; COLLATERAL USD 99.95
    """,
    )


def test_mark_is_the_median_of_index_basis_and_last(twin):
    play(
        twin,
        small_venue(market={"mark": {"kind": "median", "basis_samples": 2}}, indices=coin_index(COIN, 1)),
        """
    0    source coin 100                |
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    clock                          | INDEX COIN 100 of 1; MARK COINUSDT 100
    1    buy 16 COINUSDT 2 @101 #1      | ACCEPTED 16 buy 2 @101 #1
    1    sell 17 COINUSDT 1 @103 #2     | ACCEPTED 17 sell 1 @103 #2
    -- mid 102: basis 2; median(100, 102)
    2    clock                          | MARK COINUSDT 101
    -- traded at 101: median(100, 102, 101)
    2    sell 17 COINUSDT 1 @101 #3     | ACCEPTED 17 sell 1 @101 #3; FILL 17 sell 1 @101 from 16 #1
    3    clock                          |
    -- index 104, basis (2 - 2) / 2, last 101
    3    source coin 104                |
    4    clock                          | INDEX COIN 104 of 1; MARK COINUSDT 104
    4    source coin missing            |
    5    clock                          | INDEX COIN 104 of 0 TOO_FEW_SOURCES; MARK COINUSDT 104 TOO_FEW_SOURCES
    """,
    )


def test_a_fill_can_publish_the_mark(twin):
    """republish_on_fill: the trade at 90 is last, and the mark is median(100, 90) at once: the spiral's first turn."""
    play(
        twin,
        small_venue(market={"mark": {"kind": "median", "basis_samples": 1, "republish_on_fill": True}}),
        FUNDED
        + """
    1    buy 16 COINUSDT 2 @90 #1       | ACCEPTED 16 buy 2 @90 #1
    1    sell 17 COINUSDT 2 @90 #2      | ACCEPTED 17 sell 2 @90 #2; FILL 17 sell 2 @90 from 16 #1; MARK COINUSDT 95
    """,
    )


def test_seams_act_where_a_price_is_read_or_published(twin):
    coin = (
        seam_row(Seam.SOURCE_READ, 0, 1, 2, SeamKind.SCALE, 500_000),
        seam_row(Seam.SOURCE_READ, 0, 3, 4, SeamKind.MISSING),
        seam_row(Seam.INDEX_PUBLISH, 0, 5, 6, SeamKind.CONST, 7_000),
        seam_row(Seam.MARK_PUBLISH, 0, 7, 9, SeamKind.HOLD),
        seam_row(Seam.INDEX_PUBLISH, SEAM_ANY, 11, 15, SeamKind.RAMP, -400_000),
        seam_row(Seam.COLLATERAL_PRICE, 1, 17, 18, SeamKind.CONST, -5),
    )
    exchange = play(
        twin,
        small_venue(),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    1    source coin 100                | INDEX COIN 50 of 1; MARK COINUSDT 50
    2    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    3    source coin 100                | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    5    source coin 100                | INDEX COIN 70 of 1; MARK COINUSDT 70
    7    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101
    8    source coin 102                | INDEX COIN 102 of 1
    9    source coin 102                | MARK COINUSDT 102
    12   source coin 100                | INDEX COIN 70 of 1; MARK COINUSDT 70
    13   source coin 100                | INDEX COIN 80 of 1; MARK COINUSDT 80
    15   source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    16   source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    17   source usd 1.01                | INDEX USD 1.01 of 1; COLLATERAL USD -0.05 INVALID
    18   source usd 1.01                | COLLATERAL USD 1.01
    """,
        coin,
    )
    fired = {name: count for name, count in exchange.visits().items() if count}
    assert fired == {"SOURCE_READ": 2, "INDEX_PUBLISH": 3, "MARK_PUBLISH": 2, "COLLATERAL_PRICE": 1}


# ---- grades


def test_grades_say_what_is_allowed(twin):
    """Without a price: reducing and liquidating at the last valid one, no opening, no withdrawal, no takeover."""
    play(
        twin,
        small_venue(grades={"too_few_sources": {"reduce": "last_valid", "liquidate": "last_valid", "takeover": "defer"}}),
        TRADED
        + """
    2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    2    buy 16 COINUSDT 1 @100 #3      | REJECT GRADE_REFUSED
    2    sell 16 COINUSDT 1 @100 #4     | ACCEPTED 16 sell 1 @100 #4
    2    withdraw 16 USDT 1             | REJECT GRADE_REFUSED
    2    deposit 16 USDT 1              | DEPOSIT 1 USDT OUTSIDE to 16
    2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 9; CANCELLED 16 sell 1 @100 #4 LIQUIDATED in round 1; TAKEOVER 16 long 16 @93 cash 1479 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_deferred_liquidation_suspends_and_comes_back(twin):
    play(
        twin,
        small_venue(
            grades={"invalid": {"liquidate": "defer", "open": "last_valid", "reduce": "last_valid"}},
        ),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USD 120             | DEPOSIT 120 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin -1                 | INDEX COIN -1 of 1 INVALID; MARK COINUSDT 100 INVALID
    -- collateral falls: due, but the mark is INVALID
    2    source usd 0.35                | INDEX USD 0.35 of 1; COLLATERAL USD 0.35; SUSPENDED 16 37.8
    2    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1; RESTORED 16 108 ABOVE_TARGET
    2    source usd 0.35                | INDEX USD 0.35 of 1; COLLATERAL USD 0.35; SUSPENDED 16 37.8
    -- a price again: now it may
    3    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100; LIQUIDATION 16 37.8; TAKEOVER 16 long 16 @100 cash 1559.2 in round 1; CONVERT 16 120 USD @0.34 in round 1; CONVERT_CASH 40.8 USDT TREASURY to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_takeover_that_is_deferred_is_carried(twin):
    play(
        twin,
        small_venue(
            grades={
                "too_few_sources": {"liquidate": "last_valid", "takeover": "defer", "open": "last_valid", "convert": "refuse"}
            }
        ),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USD 120             | DEPOSIT 120 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    2    source usd 0.35                | INDEX USD 0.35 of 1; COLLATERAL USD 0.35; LIQUIDATION 16 37.8; CARRIED 16 37.8 in round 1
    2    sell 16 COINUSDT 1 @100 #3     | REJECT IN_LIQUIDATION
    2    withdraw 16 USD 1              | REJECT IN_LIQUIDATION
    2    leverage 16 COINUSDT 20        | REJECT IN_LIQUIDATION
    3    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100; TAKEOVER 16 long 16 @100 cash 1559.2 in round 1; CONVERT 16 120 USD @0.34 in round 1; CONVERT_CASH 40.8 USDT TREASURY to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


# ---- liquidation


def test_cancel_then_slice_then_safe(twin):
    """The fewest lots that make it safe are sold; the fee of 1 % on them goes to the fund; open orders go first."""
    play(
        twin,
        small_venue(market={"fees": {"liquidation_ppm": 10_000}}),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 16 COINUSDT 5 @90 #3       | REJECT INSUFFICIENT_MARGIN
    1    buy 18 COINUSDT 20 @94.5 #4    | ACCEPTED 18 buy 20 @94.5 #4
    2    source coin 94.5               | INDEX COIN 94.5 of 1; MARK COINUSDT 94.5; LIQUIDATION 16 32; FILL BOOK 16 sell 5 @94.5 from 18 #4 in round 1; LIQUIDATION_FEE 4.725 USDT 16 to FUND in round 1; RESTORED 16 27.275 ABOVE_TARGET in round 1
    """,
    )


def test_slices_follow_each_other_round_by_round(twin):
    """What a thin book leaves over goes to the backstop; with rounds left and no backstop it is carried, and told."""
    table = (
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 3 @94 #3       | ACCEPTED 18 buy 3 @94 #3
    """
    )
    play(
        twin,
        small_venue(),
        table
        + "2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 3 @94 from 18 #3 in round 1; TAKEOVER 16 long 13 @94 cash 1198 in round 1; RESTORED 16 0 FLAT in round 1",
    )
    play(
        twin,
        small_venue(liquidation={"stages": stages("takeover")}),
        table
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 3 @94 from 18 #3 in round 1; CARRIED 16 24 in round 1; CARRIED 16 24 in round 2
    -- a new bid alone wakes nobody; a new price does
    2    buy 18 COINUSDT 3 @94 #4       | ACCEPTED 18 buy 3 @94 #4
    3    source coin 94.05              | INDEX COIN 94.05 of 1; MARK COINUSDT 94.05; FILL BOOK 16 sell 3 @94 from 18 #4 in round 1; RESTORED 16 24.5 ABOVE_TARGET in round 1
    """,
    )


def test_a_bound_is_told(twin):
    play(
        twin,
        small_venue(limits={"rounds_max": 1}, liquidation={"stages": stages("takeover", book={"quantity": "all"})}),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 3 @93 #3       | ACCEPTED 18 buy 3 @93 #3
    2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; FILL BOOK 16 sell 3 @93 from 18 #3 in round 1; CARRIED 16 8 in round 1; BOUND 1 in round 1
    2    clock                          | CARRIED 16 8 in round 1
    2    clock                          |
    """,
    )


def test_a_slice_stops_at_its_bound(twin):
    """The bankruptcy price of 16 lots with 24 of margin left at 94 is 92.5: 92.45 is not taken. A mark bound of 1 % stops at 93.1."""
    table = (
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 1 @93.05 #3    | ACCEPTED 18 buy 1 @93.05 #3
    1    buy 18 COINUSDT 1 @92.5 #4     | ACCEPTED 18 buy 1 @92.5 #4
    1    buy 18 COINUSDT 1 @92.45 #5    | ACCEPTED 18 buy 1 @92.45 #5
    """
    )
    for bound, last in (
        (
            {"kind": "bankruptcy"},
            "2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 1 @93.05 from 18 #3 in round 1; FILL BOOK 16 sell 1 @92.5 from 18 #4 in round 1; CARRIED 16 21.55 in round 1; CARRIED 16 21.55 in round 2",
        ),
        (
            {"kind": "mark", "ppm": 10_000},
            "2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1",
        ),
    ):
        play(
            twin, small_venue(liquidation={"stages": stages("takeover", book={"quantity": "all", "bound": bound})}), table + last
        )


def test_a_short_is_bought_back(twin):
    play(
        twin,
        small_venue(market={"fees": {"liquidation_ppm": 10_000}}),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    sell 18 COINUSDT 6 @105.5 #3   | ACCEPTED 18 sell 6 @105.5 #3
    2    source coin 105.5              | INDEX COIN 105.5 of 1; MARK COINUSDT 105.5; LIQUIDATION 17 32; FILL BOOK 17 buy 6 @105.5 from 18 #3 in round 1; LIQUIDATION_FEE 6.33 USDT 17 to FUND in round 1; TAKEOVER 17 short 10 @105.5 cash -1080.67 in round 1; RESTORED 17 0 FLAT in round 1
    """,
    )


def test_an_owners_own_order_is_cancelled_not_met(twin):
    play(
        twin,
        small_venue(),
        FUNDED
        + """
    1    account 18 owner 16            | OPENED 18 owner 16
    1    account 19                     | OPENED 19
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    deposit 19 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 9 @94.55 #3    | ACCEPTED 18 buy 9 @94.55 #3
    1    buy 19 COINUSDT 20 @94.5 #4    | ACCEPTED 19 buy 20 @94.5 #4
    2    source coin 94.5               | INDEX COIN 94.5 of 1; MARK COINUSDT 94.5; LIQUIDATION 16 32; CANCELLED 18 buy 9 @94.55 #3 OWN_ORDER in round 1; FILL BOOK 16 sell 3 @94.5 from 19 #4 in round 1; RESTORED 16 32 ABOVE_TARGET in round 1
    """,
    )


TWO_MARKETS = [
    {
        "name": name,
        "settles_in": "USDT",
        "index": index_name,
        "mark": {"kind": "index"},
        "price_decimals": 2,
        "lot": {"decimals": 0},
        "brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 25_000}],
    }
    for name, index_name in (("COINUSDT", "COIN"), ("USDUSDT", "USD"))
]


def test_takeover_shares_the_margin_by_maintenance(twin):
    """24 are left: 24 x 8.1 / 28.1, rounded up to 6.9182, go with the first position, all of the rest with the last."""
    play(
        twin,
        small_venue(markets=TWO_MARKETS),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 4 @100 #1      | ACCEPTED 16 buy 4 COINUSDT @100 #1
    1    sell 17 COINUSDT 4 @100 #2     | ACCEPTED 17 sell 4 COINUSDT @100 #2; FILL 17 sell 4 COINUSDT @100 from 16 #1
    1    sell 16 USDUSDT 800 @1 #3      | ACCEPTED 16 sell 800 USDUSDT @1 #3
    1    buy 17 USDUSDT 800 @1 #4       | ACCEPTED 17 buy 800 USDUSDT @1 #4; FILL 17 buy 800 USDUSDT @1 from 16 #3
    -- equity 100 + 4 x -19 = 24, maintenance 8.1 + 20
    2    source coin 81                 | INDEX COIN 81 of 1; MARK COINUSDT 81; LIQUIDATION 16 24; TAKEOVER 16 long 4 COINUSDT @81 cash 317.0818 in round 1; TAKEOVER 16 short 800 USDUSDT @1 cash -817.0818 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_takeover_beyond_the_backstops_cap_is_carried(twin):
    play(
        twin,
        small_venue(liquidation={"stages": stages(takeover={"notional_max": 1_500})}),
        TRADED
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    2    source coin 93.75              | INDEX COIN 93.75 of 1; MARK COINUSDT 93.75; TAKEOVER 16 long 16 @93.75 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_who_goes_first_is_a_row(twin):
    """At 95.8 maintenance against equity: 16 has 4.79 and 4.6, 18 has 9.58 and 4.2, 19 has 38.32 and 20.8."""
    table = (
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    account 19                     | OPENED 19
    0    deposit 16 USDT 13             | DEPOSIT 13 USDT OUTSIDE to 16
    0    deposit 17 USDT 900            | DEPOSIT 900 USDT OUTSIDE to 17
    0    deposit 18 USDT 21             | DEPOSIT 21 USDT OUTSIDE to 18
    0    deposit 19 USDT 88             | DEPOSIT 88 USDT OUTSIDE to 19
    1    sell 17 COINUSDT 22 @100 #1    | ACCEPTED 17 sell 22 @100 #1
    1    buy 16 COINUSDT 2 @100 #2      | ACCEPTED 16 buy 2 @100 #2; FILL 16 buy 2 @100 from 17 #1
    1    buy 18 COINUSDT 4 @100 #3      | ACCEPTED 18 buy 4 @100 #3; FILL 18 buy 4 @100 from 17 #1
    1    buy 19 COINUSDT 16 @100 #4     | ACCEPTED 19 buy 16 @100 #4; FILL 19 buy 16 @100 from 17 #1
    """
    )
    for order, last in (
        (
            "ratio",
            "2    source coin 95.8               | INDEX COIN 95.8 of 1; MARK COINUSDT 95.8; LIQUIDATION 18 4.2; LIQUIDATION 19 20.8; LIQUIDATION 16 4.6; TAKEOVER 18 long 4 @95.8 cash 379 in round 1; TAKEOVER 19 long 16 @95.8 cash 1512 in round 1; TAKEOVER 16 long 2 @95.8 cash 187 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 18 0 FLAT in round 1; RESTORED 19 0 FLAT in round 1",
        ),
        (
            "deficit",
            "2    source coin 95.8               | INDEX COIN 95.8 of 1; MARK COINUSDT 95.8; LIQUIDATION 19 20.8; LIQUIDATION 18 4.2; LIQUIDATION 16 4.6; TAKEOVER 19 long 16 @95.8 cash 1512 in round 1; TAKEOVER 18 long 4 @95.8 cash 379 in round 1; TAKEOVER 16 long 2 @95.8 cash 187 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 18 0 FLAT in round 1; RESTORED 19 0 FLAT in round 1",
        ),
        (
            "account",
            "2    source coin 95.8               | INDEX COIN 95.8 of 1; MARK COINUSDT 95.8; LIQUIDATION 16 4.6; LIQUIDATION 18 4.2; LIQUIDATION 19 20.8; TAKEOVER 16 long 2 @95.8 cash 187 in round 1; TAKEOVER 18 long 4 @95.8 cash 379 in round 1; TAKEOVER 19 long 16 @95.8 cash 1512 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 18 0 FLAT in round 1; RESTORED 19 0 FLAT in round 1",
        ),
    ):
        play(twin, small_venue(liquidation={"order": order, "stages": stages()}), table + last)


COLLATERALISED = """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USD 200             | DEPOSIT 200 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
"""


def test_conversion(twin):
    """Collateral is sold at 98 % until the balance is no longer negative: in part after a slice, in full after a takeover."""
    play(
        twin,
        small_venue(liquidation={"stages": stages(book={"quantity": "all"})}),
        COLLATERALISED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 18 COINUSDT 16 @91 #3      | ACCEPTED 18 buy 16 @91 #3
    -- all is sold at 91 and 144 are owed: 144 / 0.98 of the 200 USD pay them, rounded up
    2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 20; FILL BOOK 16 sell 16 @91 from 18 #3 in round 1; CONVERT 16 146.9388 USD @0.98 in round 1; CONVERT_CASH 144 USDT TREASURY to 16 in round 1; RESTORED 16 47.755 FLAT in round 1
    """,
    )
    # at 89 the account is worth -176 + 196 if converted: the backstop is paid 20, and all of the 200 USD pay 196
    play(
        twin,
        small_venue(),
        COLLATERALISED
        + "2    source coin 89                 | INDEX COIN 89 of 1; MARK COINUSDT 89; LIQUIDATION 16 4; TAKEOVER 16 long 16 @89 cash 1404 in round 1; CONVERT 16 200 USD @0.98 in round 1; CONVERT_CASH 196 USDT TREASURY to 16 in round 1; RESTORED 16 0 FLAT in round 1",
    )
    # at 85 they do not suffice: 44 are bad debt, and only once everything is converted
    play(
        twin,
        small_venue(),
        COLLATERALISED
        + "2    source coin 85                 | INDEX COIN 85 of 1; MARK COINUSDT 85; LIQUIDATION 16 -60; TAKEOVER 16 long 16 @85 cash 1360 in round 1; CONVERT 16 200 USD @0.98 in round 1; CONVERT_CASH 196 USDT TREASURY to 16 in round 1; FUND_SHORT 16 44 in round 1; WRITE_OFF 44 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1",
    )


def test_collateral_that_may_not_be_converted_leaves_the_debt_open(twin):
    """The fund and the write-off wait for the conversion: the account is carried, and goes on when the price is back."""
    play(
        twin,
        small_venue(grades={"invalid": {"liquidate": "last_valid", "convert": "defer"}}),
        COLLATERALISED
        + """
    2    source usd 0                   | INDEX USD 0 of 1 INVALID; COLLATERAL USD 1 INVALID
    2    source coin 85                 | INDEX COIN 85 of 1; MARK COINUSDT 85; LIQUIDATION 16 -60; TAKEOVER 16 long 16 @85 cash 1360 in round 1; CARRIED 16 -60 in round 1; CARRIED 16 -60 in round 2
    3    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1; CONVERT 16 200 USD @0.98 in round 1; CONVERT_CASH 196 USDT TREASURY to 16 in round 1; FUND_SHORT 16 44 in round 1; WRITE_OFF 44 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_the_fund_pays_then_it_is_written_off(twin):
    """At 90 the account is 40 under water. The fund pays what it has; the rest is bad debt, told twice."""
    for capital, last in (
        (
            1_000,
            "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_PAYMENT 40 USDT FUND to 16 in round 1; RESTORED 16 0 FLAT in round 1",
        ),
        (
            15,
            "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_PAYMENT 15 USDT FUND to 16 in round 1; FUND_SHORT 16 25 in round 1; WRITE_OFF 25 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1",
        ),
        (
            0,
            "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_SHORT 16 40 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1",
        ),
    ):
        play(twin, small_venue(fund={"capital": capital}), TRADED + last)
    play(
        twin,
        small_venue(fund={"capital": 15}, liquidation={"stages": stages("fund")}),
        TRADED
        + "2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; TAKEOVER 16 long 16 @90 cash 1440 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1",
    )


def test_orders_of_an_account_in_liquidation_are_refused(twin):
    play(
        twin,
        small_venue(liquidation={"stages": stages("takeover")}),
        TRADED
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    2    sell 16 COINUSDT 1 @94 #3      | REJECT IN_LIQUIDATION
    2    withdraw 16 USDT 1             | REJECT IN_LIQUIDATION
    2    leverage 16 COINUSDT 20        | REJECT IN_LIQUIDATION
    2    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16; RESTORED 16 124 ABOVE_TARGET
    2    sell 16 COINUSDT 1 @94 #4      | ACCEPTED 16 sell 1 @94 #4
    """,
    )


def test_a_forced_trigger_closes_the_safe_and_a_suppressed_one_spares_the_unsafe(twin):
    forced = (
        seam_row(Seam.LIQUIDATION_TRIGGER, 16, 2, 3, SeamKind.FORCE_TRUE),
        seam_row(Seam.LIQUIDATION_TRIGGER, 17, 3, 4, SeamKind.FORCE_FALSE),
    )
    play(
        twin,
        small_venue(),
        TRADED
        + """
    2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; LIQUIDATION 16 104; TAKEOVER 16 long 16 @99 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    3    source coin 112                | INDEX COIN 112 of 1; MARK COINUSDT 112
    4    source coin 112.05             | INDEX COIN 112.05 of 1; MARK COINUSDT 112.05; LIQUIDATION 17 -72.8; TAKEOVER 17 short 16 @112.05 cash -1792.8 in round 1; FUND_SHORT 17 72.8 in round 1; WRITE_OFF 72.8 USDT BAD_DEBT to 17 in round 1; RESTORED 17 0 FLAT in round 1
    """,
        forced,
    )


# ---- spot orders


def test_a_spot_order_that_lost_its_cover_is_cancelled_when_it_would_trade(twin):
    """16's bid gives 50 of 100. Nine lots that were bought at 100 and sold at 94 leave it 46: for 20 lots enough, then no more."""
    spot = {"name": "USDUSDT", "payoff": "spot", "base": "USD", "settles_in": "USDT", "index": "USD"}
    play(
        twin,
        small_venue(markets=[TWO_MARKETS[0], spot | {"mark": {"kind": "index"}, "price_decimals": 2, "lot": {"decimals": 0}}]),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 17 USD 60              | DEPOSIT 60 USD OUTSIDE to 17
    1    buy 16 COINUSDT 9 @100 #1      | ACCEPTED 16 buy 9 COINUSDT @100 #1
    1    sell 17 COINUSDT 9 @100 #2     | ACCEPTED 17 sell 9 COINUSDT @100 #2; FILL 17 sell 9 COINUSDT @100 from 16 #1
    -- beside 45 of margin 55 may be given
    1    buy 16 USDUSDT 56 @1 #3        | REJECT INSUFFICIENT_MARGIN
    1    buy 16 USDUSDT 50 @1 #3        | ACCEPTED 16 buy 50 USDUSDT @1 #3
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94
    2    sell 16 COINUSDT 9 @94 #4      | ACCEPTED 16 sell 9 COINUSDT @94 #4
    2    buy 17 COINUSDT 9 @94 #5       | ACCEPTED 17 buy 9 COINUSDT @94 #5; FILL 17 buy 9 COINUSDT @94 from 16 #4
    2    sell 17 USDUSDT 61 @1 #6       | REJECT INSUFFICIENT_BALANCE
    2    sell 17 USDUSDT 20 @1 #6       | ACCEPTED 17 sell 20 USDUSDT @1 #6; FILL 17 sell 20 USDUSDT @1 from 16 #3
    2    sell 17 USDUSDT 30 @1 #7       | ACCEPTED 17 sell 30 USDUSDT @1 #7; CANCELLED 16 buy 30 USDUSDT @1 #3 UNFUNDED
    2    withdraw 16 USD 20             | WITHDRAWAL 20 USD 16 to OUTSIDE
    2    withdraw 16 USDT 26            | WITHDRAWAL 26 USDT 16 to OUTSIDE
    """,
    )


# ---- quoters


def quoter(**fields) -> dict:
    row = {
        "account": 18,
        "market": "COINUSDT",
        "levels": 2,
        "half_spread_ppm": 1_000,
        "step_ppm": 5_000,
        "lots": 3,
        "refill_ns": 10**9,
    }
    return row | {"return_ns": 2 * 10**9} | fields


def test_a_quoter_refills_leaves_and_returns(twin):
    play(
        twin,
        small_venue(quoters=[quoter(exit_move_ppm=20_000)]),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    -- bids rounded down, asks up to the tick: 0.1 % and 0.6 % around 100
    2    clock                          | ACCEPTED 18 buy 3 @99.9 #e1; ACCEPTED 18 sell 3 @100.1 #e2; ACCEPTED 18 buy 3 @99.4 #e3; ACCEPTED 18 sell 3 @100.6 #e4
    2    sell 17 COINUSDT 1 market #1   | ACCEPTED 17 sell 1 @0 #1; FILL 17 sell 1 @99.9 from 18 #e1
    3    clock                          | CANCELLED 18 buy 2 @99.9 #e1 QUOTER_REFILL; CANCELLED 18 sell 3 @100.1 #e2 QUOTER_REFILL; CANCELLED 18 buy 3 @99.4 #e3 QUOTER_REFILL; CANCELLED 18 sell 3 @100.6 #e4 QUOTER_REFILL; ACCEPTED 18 buy 3 @99.9 #e5; ACCEPTED 18 sell 3 @100.1 #e6; ACCEPTED 18 buy 3 @99.4 #e7; ACCEPTED 18 sell 3 @100.6 #e8
    -- moved 3 %: it leaves, and comes back 2 s later
    3    source coin 103                | INDEX COIN 103 of 1; MARK COINUSDT 103
    4    clock                          | CANCELLED 18 buy 3 @99.9 #e5 QUOTER_REFILL; CANCELLED 18 sell 3 @100.1 #e6 QUOTER_REFILL; CANCELLED 18 buy 3 @99.4 #e7 QUOTER_REFILL; CANCELLED 18 sell 3 @100.6 #e8 QUOTER_REFILL; QUOTER_EXIT 18 @103
    5    clock                          |
    6    clock                          | QUOTER_RETURN 18 @103; ACCEPTED 18 buy 3 @102.85 #e9; ACCEPTED 18 sell 3 @103.15 #e10; ACCEPTED 18 buy 3 @102.35 #e11; ACCEPTED 18 sell 3 @103.65 #e12
    -- no index, no quotes
    6    source coin missing            | INDEX COIN 103 of 0 TOO_FEW_SOURCES; MARK COINUSDT 103 TOO_FEW_SOURCES
    7    clock                          | CANCELLED 18 buy 3 @102.85 #e9 QUOTER_REFILL; CANCELLED 18 sell 3 @103.15 #e10 QUOTER_REFILL; CANCELLED 18 buy 3 @102.35 #e11 QUOTER_REFILL; CANCELLED 18 sell 3 @103.65 #e12 QUOTER_REFILL
    """,
    )


def test_a_quoter_leaves_with_too_large_an_inventory_and_passes_the_gate(twin):
    play(
        twin,
        small_venue(quoters=[quoter(inventory_max=2, levels=1)]),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 20             | DEPOSIT 20 USDT OUTSIDE to 18
    2    clock                          | ACCEPTED 18 buy 3 @99.9 #e1; ACCEPTED 18 sell 3 @100.1 #e2
    2    sell 17 COINUSDT 3 market #1   | ACCEPTED 17 sell 3 @0 #1; FILL 17 sell 3 @99.9 from 18 #e1
    3    clock                          | CANCELLED 18 sell 3 @100.1 #e2 QUOTER_REFILL; QUOTER_EXIT 18 @100
    5    clock                          | QUOTER_RETURN 18 @100; QUOTER_EXIT 18 @100
    """,
    )
    play(
        twin,
        small_venue(quoters=[quoter(levels=1, lots=30)]),
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 20             | DEPOSIT 20 USDT OUTSIDE to 18
    2    clock                          | REJECT INSUFFICIENT_MARGIN 18 buy 30 @99.9 #e1; REJECT INSUFFICIENT_MARGIN 18 sell 30 @100.1 #e2
    """,
    )


# ---- time


def test_a_batch_is_one_cascade(twin):
    """Two legs fall together: no transient between them; orders inside see the prices before."""
    play(
        twin,
        small_venue(indices=coin_index({"kind": "mean", "of": [COIN, COIN2]})),
        """
    0    source coin 100 & 1            |
    0    source coin2 100               | INDEX COIN 100 of 2; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    deposit 16 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 16
    1    source coin 80 & 2             |
    1    buy 16 COINUSDT 1 @100 #1 & 1  | ACCEPTED 16 buy 1 @100 #1
    1    source coin2 82                | INDEX COIN 81 of 2; MARK COINUSDT 81
    -- a refusal in a batch ends it too
    2    source coin 90 & 1             |
    2    buy 99 COINUSDT 1 @100 #1      | REJECT UNKNOWN_ACCOUNT; INDEX COIN 86 of 2; MARK COINUSDT 86
    -- what a broken batch left due is published by the next event
    3    source coin 92 & 1             |
    2    clock                          | REJECT TIME_WENT_BACK
    3    clock                          | INDEX COIN 87 of 2; MARK COINUSDT 87
    """,
    )


def test_timers_of_one_time_run_by_kind_then_number(twin):
    """At 10 s: coin goes stale, then COIN and USD publish, each a cascade of its own, then the quoter; then the event itself."""
    play(
        twin,
        small_venue(
            sources=[{"name": "coin", "price_decimals": 2, "stale_after_ns": 10**10}, {"name": "usd", "price_decimals": 2}],
            indices=[index("COIN", COIN), index("USD", USD, 5), index("LATE", COIN, 10)],
            quoters=[quoter(levels=1, refill_ns=10**10)],
        ),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   |
    0    account 18                     | OPENED 18
    0    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    5    source usd 1.01                | INDEX USD 1 of 1; COLLATERAL USD 1
    10   source coin 101                | INDEX COIN 100 of 0 STALE; MARK COINUSDT 100 STALE; INDEX USD 1.01 of 1; COLLATERAL USD 1.01; INDEX LATE 0 of 0 STALE; INDEX COIN 101 of 1; MARK COINUSDT 101
    """,
    )
    play(
        twin,
        small_venue(indices=[index("COIN", COIN, 5), index("USD", USD, 5)], quoters=[quoter(levels=1, refill_ns=5 * 10**9)]),
        """
    0    source coin 100                |
    0    source usd 1                   |
    0    account 18                     | OPENED 18
    0    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    5    clock                          | INDEX COIN 100 of 1; MARK COINUSDT 100; INDEX USD 1 of 1; COLLATERAL USD 1; ACCEPTED 18 buy 3 @99.9 #e1; ACCEPTED 18 sell 3 @100.1 #e2
    -- one event may run many timers; their outcomes carry the timers' own times
    16   clock                          | CANCELLED 18 buy 3 @99.9 #e1 QUOTER_REFILL; CANCELLED 18 sell 3 @100.1 #e2 QUOTER_REFILL; ACCEPTED 18 buy 3 @99.9 #e3; ACCEPTED 18 sell 3 @100.1 #e4; CANCELLED 18 buy 3 @99.9 #e3 QUOTER_REFILL; CANCELLED 18 sell 3 @100.1 #e4 QUOTER_REFILL; ACCEPTED 18 buy 3 @99.9 #e5; ACCEPTED 18 sell 3 @100.1 #e6
    """,
    )


# ---- nothing is left out


def test_every_reason_is_reached():
    """Each Reason stands in a table of these files. MAINTENANCE is the only one of LIQUIDATION, which does not say it."""
    names = (
        "model_tables",
        "adl",
        "funding",
        "accounts",
        "states",
        "orders",
        "stops",
        "bands",
        "bust",
        "auction",
        "margin_calls",
        "slices",
        "settlement",
        "changes",
    )
    texts = [Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8") for name in names]
    cells = " ".join([right for text in texts for _, right in rows_of(text)] + texts[5:])  # some are built from parameters
    missing = {reason.name for reason in Reason if reason.name not in cells} - {"NONE", "MAINTENANCE"}
    assert missing == set()


def test_position_limit(twin):
    """10^12 lots, open orders included: the position of a market whose lot is worth next to nothing."""
    market = {
        "brackets": [{"notional_max": 10**15, "leverage_max": 1_000, "maintenance_ppm": 1_000}],
        "leverage_default": 1_000,
        "tick_size": 1,
    }
    venue = small_venue(market=market, limits={"orders_per_account_max": 2_000})
    table = """
    0    source coin 0.01               | ...
    0    account 16                     | ...
    0    deposit 16 USDT 100000000      | ...
    """
    table += "\n".join(f"1 buy 16 COINUSDT 1000000000 @0.01 #{n} | ..." for n in range(1, 1_001))
    play(twin, venue, table + "\n1 buy 16 COINUSDT 1 @0.01 #1001 | REJECT POSITION_LIMIT")
