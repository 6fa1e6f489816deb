"""Seized collateral sold into the venue's own book, as tables: the loop of rounds, and everything that can be in its way.

The rule book is tests/twins.py:small_venue with WETH as collateral (weight 100 %, buffer 0), its index read off its own spot book
WETHUSDT (1 lot = 1 WETH) and its market's reference from the source `ratio`. COINUSDT is the perpetual; maintenance is 2.5 %.
Accounts 30 to 39 quote; 16 to 19 are margined in WETH.
"""

from __future__ import annotations

from fuzz.twin import Lockstep
from riskbed.rounds import histogram, rounds
from specs import rules, units
from specs.scene import Outcome, outcomes_of
from specs.tape import MarketState, OutcomeKind
from tests import twins
from tests.twins import START_NS, rows_of, small_venue, stages, twin  # noqa: F401  # twin is a fixture

OWN = {"kind": "book", "market": "WETHUSDT"}


def spot(name: str, quote: str = "USDT", **fields) -> dict:
    return {
        "name": name,
        "payoff": "spot",
        "base": "WETH",
        "settles_in": quote,
        "index": "REF",
        "mark": {"kind": "index"},
        "price_decimals": 2,
        "tick_size": 100,
        "lot": {"decimals": 0},
    } | fields


def venue(**changes) -> rules.Venue:
    """Return the small rule book with WETH; `convert` changes the stage, `fees` and `more` the spot markets."""
    bare = small_venue().model_dump()
    fees = changes.pop("fees", {})
    markets = [bare["markets"][0], spot("WETHUSDT", fees=fees), *changes.pop("more", [])]
    convert = {"to": "book"} | changes.pop("convert", {})
    return small_venue(
        assets=[{"name": "USDT", "decimals": 4}, {"name": "WETH", "decimals": 4}, {"name": "ETH", "decimals": 4}],
        indices=[
            twins.index("COIN", {"kind": "source", "name": "coin"}),
            twins.index("REF", {"kind": "source", "name": "ratio"}),
            twins.index("WETH", OWN),
        ],
        markets=changes.pop("markets", markets),
        collateral=[{"asset": "WETH", "index": "WETH", "weight_ppm": 1_000_000, "market": "WETHUSDT"}],
        liquidation={"stages": stages(convert=convert, book={"quantity": "all"})},
        **changes,
    )


def say(book: rules.Venue, o: Outcome) -> str:
    """Return an outcome in words; a state of a market is not one of tests/twins.py yet."""
    if o.kind == OutcomeKind.STATE_SET:
        return f"STATE {book.markets[o.market].name} {MarketState(o.qty).name}"
    return twins.say(book, o)


QUIET = ("ACCEPTED", "INDEX", "MARK", "OPENED", "DEPOSIT")


def play(twin, book: rules.Venue, table: str, quiet=QUIET):  # noqa: F811
    """Run a table as twins.play does, without the outcomes that begin with a quiet word; return the exchange."""
    exchange = twin(book, START_NS)
    got = []
    for left, want in rows_of(table):
        words = [say(book, o) for o in outcomes_of(exchange.apply(twins._event(book, left)))]
        said = "; ".join(word for word in words if not word.startswith(quiet))
        got.append((left, want if want == "..." else said))
    assert got == rows_of(table)
    return exchange


MAKERS = """
    0  source coin 100                   | ...
    0  source ratio 100                  | ...
    0  account 30                        | ...
    0  deposit 30 USDT 100000            | ...
    0  account 31                        | ...
    0  deposit 31 WETH 1000              | ...
    0  deposit 31 USDT 100000            | ...
"""
"""30 buys WETH, 31 sells it; 31 is long COIN on the other side of everybody's shorts."""

SHORTS = """
    1  account 16                        | ...
    1  deposit 16 WETH 4                 | ...
    1  account 17                        | ...
    1  deposit 17 WETH 6                 | ...
    1  account 18                        | ...
    1  deposit 18 WETH 8                 | ...
"""


# ---- the loop


LADDER = """
    1  sell 31 WETHUSDT 1 @100 #1        |
    1  buy 30 WETHUSDT 1 @100 ioc #2     | FILL 30 buy 1 WETHUSDT @100 from 31 #1; COLLATERAL WETH 100
    1  buy 30 WETHUSDT 2 @98 #3          |
    1  buy 30 WETHUSDT 2 @80 #4          |
    1  buy 30 WETHUSDT 2 @60 #5          |
"""
"""The first trade at 100 is the index; below it rest bids for two lots each at 98, 80, 60. No ask: last trades count."""

OPEN = """
    2  sell 16 COINUSDT 10 @100 #10      |
    2  buy 31 COINUSDT 10 @100 ioc #11   | FILL 31 buy 10 COINUSDT @100 from 16 #10
    2  sell 17 COINUSDT 10 @100 #12      |
    2  buy 31 COINUSDT 10 @100 ioc #13   | FILL 31 buy 10 COINUSDT @100 from 17 #12
    2  sell 18 COINUSDT 10 @100 #14      |
    2  buy 31 COINUSDT 10 @100 ioc #15   | FILL 31 buy 10 COINUSDT @100 from 18 #14
    2  sell 31 COINUSDT 30 @140 #16      |
"""


def test_sales_lower_the_index_which_triggers_the_next_in_the_next_round(twin):  # noqa: F811
    """Shorts of 10 COIN from 100, margined in 4, 6 and 8 WETH at 100 each. COIN goes to 138: each owes 380, maintenance 34.5.

    Round 1: 16 (400 < 414.5) buys back at 140, owes 400 and sells its 4 WETH: two at 98, two at 80. What it gets, 356, leaves 44
    to the fund. The price is 80. Round 2: 17 has 480 - 380 = 100 above 34.5: safe. Nobody else: the loop ends.
    """
    table = MAKERS + LADDER + SHORTS + OPEN
    last = """
    3  source coin 138 | LIQUIDATION 16 20; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        FILL CONVERT 16 sell 2 WETHUSDT @98 from 30 #3 in round 1; FILL CONVERT 16 sell 2 WETHUSDT @80 from 30 #4 in round 1;
        FUND_PAYMENT 44 USDT FUND to 16 in round 1; COLLATERAL WETH 80 in round 1; RESTORED 16 0 FLAT in round 1
    """
    play(twin, venue(fund={"capital": 1_000}), table + " ".join(last.split()))


def test_the_loop_runs_until_the_bids_are_gone(twin):  # noqa: F811
    """COIN at 145: each owes 450, maintenance 36.25; asks for COIN rest at 140. 16 has 400, 17 has 600, 18 has 800.

    Round 1: 16 is closed at 140, owes 400: 4 WETH for 98 + 98 + 80 + 80 = 356, 44 short. WETH is 80.
    Round 2: 17 has 480 - 450 = 30 < 36.25: closed, owes 400, needs 5 WETH; two bids are left, 60 each: it owes 280, 4 left.
    Round 3: WETH is 60: 18 has 480 - 450 = 30: closed, owes 400: no bid is left, it keeps its 8 WETH and is carried, as is 17.
    """
    last = """
    3  source coin 145 | LIQUIDATION 16 -50; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        FILL CONVERT 16 sell 2 WETHUSDT @98 from 30 #3 in round 1; FILL CONVERT 16 sell 2 WETHUSDT @80 from 30 #4 in round 1;
        FUND_PAYMENT 44 USDT FUND to 16 in round 1; COLLATERAL WETH 80 in round 1; RESTORED 16 0 FLAT in round 1;
        LIQUIDATION 17 30 in round 1; FILL BOOK 17 buy 10 COINUSDT @140 from 31 #16 in round 2;
        FILL CONVERT 17 sell 2 WETHUSDT @60 from 30 #5 in round 2; CARRIED 17 40 in round 2; COLLATERAL WETH 60 in round 2;
        LIQUIDATION 18 30 in round 2; CARRIED 17 -40 in round 3;
        FILL BOOK 18 buy 10 COINUSDT @140 from 31 #16 in round 3; CARRIED 18 80 in round 3; CARRIED 18 80 in round 4
    """
    exchange = play(twin, venue(fund={"capital": 1_000}), MAKERS + LADDER + SHORTS + OPEN + " ".join(last.split()))
    (cascade,) = rounds(exchange.outcomes())
    assert (cascade.rounds, cascade.accounts, cascade.lots, cascade.sold) == (3, 3, 30, {1: 6})
    assert (cascade.before, [row.prices for row in cascade.by_round]) == ({1: 100_00}, [{1: 80_00}, {1: 60_00}, {1: 60_00}])
    assert [(row.accounts, row.lots, dict(row.sold)) for row in cascade.by_round] == [
        ({16}, 10, {1: 4}),
        ({17}, 10, {1: 2}),
        ({18}, 10, {}),
    ]
    assert histogram([cascade]) == {3: 1}


def test_what_is_carried_is_sold_when_bids_are_there_again(twin):  # noqa: F811
    """Who was carried is looked at again with the next price: 17 owes 280 and has 4 WETH, 18 owes 400 and has 8."""
    last = """
    3  source coin 145                   | ...
    4  buy 30 WETHUSDT 6 @70 #20         |
    5  source coin 146                   | {first}
    6  buy 30 WETHUSDT 9 @65 #21         |
    7  source coin 145                   | {second}
    """
    first = """
        FILL CONVERT 17 sell 4 WETHUSDT @70 from 30 #20 in round 1; FILL CONVERT 18 sell 2 WETHUSDT @70 from 30 #20 in round 1;
        CARRIED 18 100 in round 1; COLLATERAL WETH 70 in round 1; RESTORED 17 0 FLAT in round 1; CARRIED 18 160 in round 2
    """
    second = """
        FILL CONVERT 18 sell 4 WETHUSDT @65 from 30 #21 in round 1; COLLATERAL WETH 65 in round 1; RESTORED 18 130 FLAT in round 1
    """
    words = last.format(first=" ".join(first.split()), second=" ".join(second.split()))
    play(twin, venue(fund={"capital": 1_000}), MAKERS + LADDER + SHORTS + OPEN + words)


# ---- what can be in the way of one sale


ONE = """
    1  sell 31 WETHUSDT 1 @100 #1        |
    1  buy 30 WETHUSDT 1 @100 ioc #2     | FILL 30 buy 1 WETHUSDT @100 from 31 #1; COLLATERAL WETH 100
    1  account 16                        | ...
    1  deposit 16 WETH {held}            | ...
    2  sell 16 COINUSDT 10 @100 #10      |
    2  buy 31 COINUSDT 10 @100 ioc #11   | FILL 31 buy 10 COINUSDT @100 from 16 #10
    2  sell 31 COINUSDT 30 @140 #16      |
"""
"""16 is short 10 COIN from 100, margined in WETH at 100; who closes it pays 140, so that it owes 400."""


def one(twin, book: rules.Venue, table: str, held: str = "4"):  # noqa: F811
    """Run what comes after ONE; a row may go on in the next lines."""
    rows = [line.strip() for line in table.strip().splitlines()]
    joined: list[str] = []
    for row in rows:
        if row[:1].isdigit():
            joined.append(row)
        else:
            joined[-1] += " " + row
    return play(twin, book, MAKERS + ONE.format(held=held) + "\n".join(joined))


def test_a_slice_stays_within_its_bound_of_the_price_of_its_round(twin):  # noqa: F811
    """10 % below 100: the bid at 90 trades, the one at 89 does not; the price is 90 then, and 81 the bound of round 2."""
    table = """
    2  buy 30 WETHUSDT 1 @90 #20         |
    2  buy 30 WETHUSDT 9 @89 #21         |
    3  source coin 138                   | LIQUIDATION 16 20; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        FILL CONVERT 16 sell 1 WETHUSDT @90 from 30 #20 in round 1; CARRIED 16 -10 in round 1; COLLATERAL WETH 90 in round 1;
        FILL CONVERT 16 sell 3 WETHUSDT @89 from 30 #21 in round 2; FUND_SHORT 16 43 in round 2;
        WRITE_OFF 43 USDT BAD_DEBT to 16 in round 2; COLLATERAL WETH 89 in round 2; RESTORED 16 0 FLAT in round 2
    """
    one(twin, venue(convert={"bound_ppm": 100_000}), table)


def test_a_bid_beyond_the_bound_is_never_met(twin):  # noqa: F811
    """Nobody bids above 90: the account keeps its WETH and its debt, and the price stays."""
    table = """
    2  buy 30 WETHUSDT 9 @89 #21         |
    3  source coin 138                   | LIQUIDATION 16 20; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        CARRIED 16 0 in round 1; CARRIED 16 0 in round 2
    4  source coin 139                   | CARRIED 16 0 in round 1
    """
    exchange = one(twin, venue(convert={"bound_ppm": 100_000}, fund={"capital": 1_000}), table)
    assert [row.rounds for row in rounds(exchange.outcomes())] == [1], "a round that only carries is none"


def test_what_is_less_than_a_lot_goes_to_the_treasury(twin):  # noqa: F811
    """4.25 WETH: four are sold at 90, a quarter goes for 22.5 at the new price; 17.5 of the 400 are left to the fund."""
    table = """
    2  buy 30 WETHUSDT 9 @90 #21         |
    3  source coin 140.25                | LIQUIDATION 16 22.5; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        FILL CONVERT 16 sell 4 WETHUSDT @90 from 30 #21 in round 1; CARRIED 16 -15 in round 1; COLLATERAL WETH 90 in round 1;
        CONVERT 16 0.25 WETH @90 in round 2; CONVERT_CASH 22.5 USDT TREASURY to 16 in round 2;
        FUND_PAYMENT 17.5 USDT FUND to 16 in round 2; RESTORED 16 0 FLAT in round 2
    """
    one(twin, venue(fund={"capital": 1_000}), table, held="4.25")


def test_nothing_is_sold_while_the_spot_market_is_halted(twin):  # noqa: F811
    """The halt defers liquidation: flat, the account keeps its debt until the market is open; orders are refused meanwhile."""
    table = """
    2  buy 30 WETHUSDT 9 @100 #21        |
    2  raw kind=12 market=1 qty=2        | STATE WETHUSDT HALTED
    3  source coin 138                   | LIQUIDATION 16 20; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        CARRIED 16 0 in round 1; CARRIED 16 0 in round 2
    4  sell 31 WETHUSDT 1 @100 #30       | REJECT MARKET_STATE
    5  raw kind=12 market=1 qty=0        | STATE WETHUSDT OPEN;
        FILL CONVERT 16 sell 4 WETHUSDT @100 from 30 #21 in round 1; RESTORED 16 0 FLAT in round 1
    """
    one(twin, venue(fund={"capital": 1_000}), table)


def test_a_maker_that_no_longer_has_the_money_is_passed_over(twin):  # noqa: F811
    """32 has 220, bids 200, and loses 40 with COIN: its bid is cancelled when it would trade, and the next one is met."""
    table = """
    2  account 32                        |
    2  deposit 32 USDT 220               |
    2  buy 31 COINUSDT 1 @100 #20        |
    2  sell 32 COINUSDT 1 @100 ioc #21   | FILL 32 sell 1 COINUSDT @100 from 31 #20
    2  buy 32 WETHUSDT 2 @100 #22        |
    2  buy 30 WETHUSDT 9 @80 #23         |
    2  source coin 136                   |
    2  buy 32 COINUSDT 1 @140 ioc #24    | FILL 32 buy 1 COINUSDT @140 from 31 #16
    3  source coin 138                   | LIQUIDATION 16 20; FILL BOOK 16 buy 10 COINUSDT @140 from 31 #16 in round 1;
        CANCELLED 32 buy 2 WETHUSDT @100 #22 UNFUNDED in round 1;
        FILL CONVERT 16 sell 4 WETHUSDT @80 from 30 #23 in round 1; FUND_PAYMENT 80 USDT FUND to 16 in round 1;
        COLLATERAL WETH 80 in round 1; RESTORED 16 0 FLAT in round 1
    """
    one(twin, venue(fund={"capital": 1_000}), table)


# ---- the gate, and fees


def test_a_spot_order_needs_what_it_gives_and_margin_without_it(twin):  # noqa: F811
    """Fees 0.1 % and 0.2 %, in the asset that is paid. 300.6 USDT is just enough for three at 100."""
    fees = {"maker_ppm": 1_000, "taker_ppm": 2_000}
    table = """
    1  account 20                        |
    1  deposit 20 WETH 5                 |
    1  deposit 20 USDT 300.6             |
    1  deposit 20 ETH 10                 |
    1  sell 20 WETHUSDT 6 @100 #1        | REJECT INSUFFICIENT_BALANCE
    1  sell 20 WETHUSDT 5 @100 #2        |
    1  sell 20 WETHUSDT 1 @100 #3        | REJECT INSUFFICIENT_BALANCE
    1  withdraw 20 WETH 0.0001           | REJECT GRADE_REFUSED
    1  cancel 20 #2                      | CANCELLED 20 sell 5 WETHUSDT @100 #2 USER
    1  buy 20 WETHUSDT 4 @100 #4         | REJECT INSUFFICIENT_BALANCE
    1  buy 20 WETHUSDT 3 @101 #4         | REJECT INSUFFICIENT_BALANCE
    1  sell 31 WETHUSDT 3 @100 #5        |
    1  buy 20 WETHUSDT 3 @100 ioc #6     | FILL 20 buy 3 WETHUSDT @100 from 31 #5 fee 0.6; FEE 0.3 USDT 31 to FEES;
        COLLATERAL WETH 100
    -- the same asset against ETH: cash and both fees are ETH
    2  buy 20 WETHETH 10 @1 #7           | REJECT INSUFFICIENT_BALANCE
    2  buy 20 WETHETH 9 @1 #7            |
    2  sell 31 WETHETH 9 @1 ioc #8       | FILL 31 sell 9 WETHETH @1 from 20 #7 fee 0.018; FEE 0.009 ETH 20 to FEES
    -- 17 WETH carry a short of 10 COIN, initial margin 100: 16 may go for 100 each, for nothing none may
    2  sell 20 COINUSDT 10 @100 #9       |
    2  buy 31 COINUSDT 10 @100 ioc #10   | FILL 31 buy 10 COINUSDT @100 from 20 #9
    3  sell 20 WETHUSDT 17 @50 #12       | REJECT INSUFFICIENT_MARGIN
    3  sell 20 WETHUSDT 16 @50 #12       |
    3  withdraw 20 WETH 1                | REJECT INSUFFICIENT_MARGIN
    3  withdraw 20 WETH 1.0001           | REJECT INSUFFICIENT_BALANCE
    """
    joined = " ".join(" ".join(line.split()) + ("\n" if not line.rstrip().endswith(";") else "") for line in table.splitlines())
    book = venue(fees=fees, more=[spot("WETHETH", "ETH", fees=fees)])
    exchange = play(twin, book, MAKERS + joined)
    balances = {(row[0], row[1]): row[2] for row in exchange.state()["balances"]}
    assert (balances[20, 1], balances[20, 2], balances[31, 2]) == (17_0000, 9910, 8_9820)


def test_a_taker_stops_where_its_fees_would_take_what_it_has_not(twin):  # noqa: F811
    """Three lots at 101 with 333 ppm cost 303.1009 in one fill and 303.1011 in three: the third is not to be had."""
    exchange = play(
        twin,
        venue(fees={"taker_ppm": 333}),
        """
    0  source coin 100                   | ...
    0  source ratio 101                  | ...
    0  account 30                        | ...
    0  deposit 30 USDT 303.1009          | ...
    0  account 31                        | ...
    0  deposit 31 WETH 3                 | ...
    1  sell 31 WETHUSDT 1 @101 #1        |
    1  sell 31 WETHUSDT 1 @101 #2        |
    1  sell 31 WETHUSDT 1 @101 #3        |
    1  buy 30 WETHUSDT 3 @101 #4         | FILL 30 buy 1 WETHUSDT @101 from 31 #1 fee 0.0337; \
        FILL 30 buy 1 WETHUSDT @101 from 31 #2 fee 0.0337; CANCELLED 30 buy 1 WETHUSDT @101 #4 UNFUNDED; COLLATERAL WETH 101
    """,
    )
    assert (30, 0, 101_0335) in exchange.state()["balances"]
    assert [row[4] for row in exchange.state()["orders"]] == [3]


def test_the_rest_of_a_taker_without_room_does_not_cross_the_book(twin):  # noqa: F811
    """30 holds as much WETH as an account may, less one: it takes one of the four lots that are offered."""
    most = units.int_to_decimal(units.BALANCE_MAX - 10_000, 4)
    exchange = play(
        twin,
        venue(),
        MAKERS
        + f"""
    0  deposit 30 WETH {most}            | ...
    1  sell 31 WETHUSDT 1 @100 #1        |
    1  sell 31 WETHUSDT 3 @100 #2        |
    1  buy 30 WETHUSDT 4 @100 #3         | FILL 30 buy 1 WETHUSDT @100 from 31 #1; \
        CANCELLED 30 buy 3 WETHUSDT @100 #3 UNFUNDED; COLLATERAL WETH 100
    1  buy 30 WETHUSDT 4 ioc @100 #4     | CANCELLED 30 buy 4 WETHUSDT @100 #4 UNFUNDED
    -- nothing to take there: it rests, and is cancelled when it would fill
    1  buy 30 WETHUSDT 4 @99 #5          |
    1  sell 31 WETHUSDT 1 @99 #6         | CANCELLED 30 buy 4 WETHUSDT @99 #5 UNFUNDED
    """,
    )
    assert sorted(row[4] for row in exchange.state()["orders"]) == [2, 6]


OPENING = """
    1  account 16                        |
    1  deposit 16 USDT 100               |
    1  sell 16 COINUSDT 1 @100 #10       |
    1  buy 31 COINUSDT 1 @100 #11        | REJECT GRADE_REFUSED
    1  buy 30 COINUSDT 1 @100 #12        | FILL 30 buy 1 COINUSDT @100 from 16 #10
    1  deposit 16 WETH 1                 |
    1  sell 16 WETHUSDT 1 @100 #13       | REJECT GRADE_REFUSED
    1  sell 31 WETHUSDT 1 market #14     | REJECT GRADE_REFUSED
    1  sell 31 WETHUSDT 1 @100 #15       |
    1  account 33                        |
    1  deposit 33 USDT 100               |
    1  buy 33 WETHUSDT 1 @100 ioc #16    | FILL 33 buy 1 WETHUSDT @100 from 31 #15; COLLATERAL WETH 100
    2  sell 16 WETHUSDT 1 @100 #17       |
    3  source ratio missing              |
    3  buy 33 WETHUSDT 1 market #18      | REJECT GRADE_REFUSED
    3  buy 30 WETHUSDT 1 @100 #19        | REJECT GRADE_REFUSED
    """


def test_a_book_that_its_own_index_reads_can_open(twin):  # noqa: F811
    """Before the first trade WETH has no price: who owes nothing may trade at a limit, who has a position or no limit may not."""
    play(twin, venue(), MAKERS + OPENING)


def test_the_laws_hold_on_both_twins_in_the_loop_and_while_a_book_opens():
    later = """
    3  source coin 145                   |
    4  buy 30 WETHUSDT 6 @70 #20         |
    5  source coin 146                   |
    """
    for book, table in ((venue(fund={"capital": 1_000}), LADDER + SHORTS + OPEN + later), (venue(), OPENING)):
        Lockstep(book, START_NS).run(twins.tape(book, MAKERS + table), laws=True)
