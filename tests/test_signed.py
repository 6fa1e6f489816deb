"""Prices at zero and below it, where the contract allows them: the fall of WTI through zero on 2020-04-20.

Prices in whole USDT, a lot is worth its price. Everywhere else such a price is INVALID, and an order at it is refused.
"""

# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import ValidationError

from fuzz.strategies import sample
from fuzz.twin import Lockstep
from specs import laws, units
from specs.rules import Venue
from specs.scene import outcomes_of
from specs.tape import Grade, OutcomeKind
from tests.twins import START_NS, index, play, small_venue, stages, tape, twin  # noqa: F401

COIN = index("COIN", {"kind": "source", "name": "coin"})
USD = index("USD", {"kind": "source", "name": "usd"})
ROWS = {"price_min": "-100", "market_bound_ticks": 100}
WIDE = {"bound": {"kind": "mark", "ppm": 50_000}}


def signed(indices=(COIN | {"prices": "signed"}, USD), market=None, **changes) -> Venue:
    return small_venue(market=ROWS | (market or {}), indices=list(indices), **changes)


def lawless(twin, venue: Venue, text: str) -> list:
    """Return every breach of every law in a tape."""
    exchange, found = twin(venue, START_NS), []
    before = exchange.state()
    for event in tape(venue, text):
        outcomes, after = exchange.apply(event), exchange.state()
        found += laws.breaches(venue, before, event.tobytes(), outcomes, after, ())
        before = after
    return found


OPENED = """
    0    source coin 20                  | ...
    0    source usd 1                    | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    account 18                      | ...
    0    deposit 16 USDT 1000            | ...
    0    deposit 17 USDT 1000            | ...
    0    deposit 18 USDT 1000            | ...
    1    buy 16 COINUSDT 10 @20 #1       | ...
    1    sell 17 COINUSDT 10 @20 #2      | ...
"""


def test_a_price_falls_through_zero(twin):
    """The long has 1,000 less 200 paid; at -37.63 its lots are a debt of 376.3. It buys more below zero, and is paid for it."""
    exchange = play(
        twin,
        signed(),
        OPENED
        + """
        2    source coin 0                   | INDEX COIN 0 of 1; MARK COINUSDT 0
        2    buy 16 COINUSDT 1 @0 #3         | ACCEPTED 16 buy 1 @0 #3
        2    sell 17 COINUSDT 1 @0 #4        | ACCEPTED 17 sell 1 @0 #4; FILL 17 sell 1 @0 from 16 #3
        3    source coin -37.63              | INDEX COIN -37.63 of 1; MARK COINUSDT -37.63
        3    buy 16 COINUSDT 2 @-40 #5       | ACCEPTED 16 buy 2 @-40 #5
        3    buy 18 COINUSDT 2 @-37.65 #6    | ACCEPTED 18 buy 2 @-37.65 #6
        3    sell 17 COINUSDT 3 market #7    | ACCEPTED 17 sell 3 @0 #7; FILL 17 sell 2 @-37.65 from 18 #6; FILL 17 sell 1 @-40 from 16 #5
        3    sell 16 COINUSDT 1 @-100.05 #8  | REJECT BAD_PRICE
        3    sell 16 COINUSDT 1 @-0.02 #8    | REJECT OFF_TICK
        """,
    )
    cash = {account: money for account, asset, money in exchange.state()["balances"] if asset == 0}
    assert cash[16] == (1_000 - 200 + 40) * 10**4 and cash[18] == 1_075_3 * 10**3
    assert [row[:3] for row in exchange.state()["orders"]] == [(0, 1, -4_000)]


def test_who_loses_more_than_it_has_is_liquidated_below_zero(twin):
    """A short of 10 at -30 with 60: it needs 2.5 % of 300; the price rises to -24.5, and 5 are left of 60."""
    play(
        twin,
        signed(liquidation={"stages": stages("book")}),
        """
        0    source coin -30                 | ...
        0    account 16                      | ...
        0    account 17                      | ...
        0    deposit 16 USDT 60              | ...
        0    deposit 17 USDT 1000            | ...
        1    sell 16 COINUSDT 10 @-30 #1     | ACCEPTED 16 sell 10 @-30 #1
        1    buy 17 COINUSDT 10 @-30 #2      | ACCEPTED 17 buy 10 @-30 #2; FILL 17 buy 10 @-30 from 16 #1
        2    source coin -25                 | INDEX COIN -25 of 1; MARK COINUSDT -25
        3    source coin -24.5               | INDEX COIN -24.5 of 1; MARK COINUSDT -24.5; LIQUIDATION 16 5; TAKEOVER 16 short 10 @-24.5 cash 240 in round 1; RESTORED 16 0 FLAT in round 1
        """,
    )


def test_a_slice_is_bounded_below_zero(twin):
    """Of a long at -10 the bankruptcy price is further down; the bid at -12 is taken, the one at -13 is beyond it."""
    exchange = play(
        twin,
        signed(),
        """
        0    source coin -5                  | ...
        0    account 16                      | ...
        0    account 17                      | ...
        0    account 18                      | ...
        0    deposit 16 USDT 72              | ...
        0    deposit 17 USDT 1000            | ...
        0    deposit 18 USDT 1000            | ...
        1    buy 16 COINUSDT 10 @-5 #1       | ...
        1    sell 17 COINUSDT 10 @-5 #2      | ...
        1    buy 18 COINUSDT 4 @-12 #3       | ...
        1    buy 18 COINUSDT 9 @-13 #4       | ...
        2    source coin -12.15              | ...
        """,
    )
    fills = [(row[5], row[6]) for row in exchange.state()["fills"]]
    assert fills == [] and [row[6] for row in exchange.state()["orders"]] == [9]


def test_queries_know_the_other_side_of_zero(twin):
    """500 against 10 lots bought at 20: 500 - 200 + 10 p = 0.25 |p| at p = -300/10.25, a debt of lots; the short's is above."""
    exchange = play(twin, signed(), OPENED.replace("1000", "500"))
    wanted = Fraction(-30_000) / (10 + Fraction(1, 4))
    assert exchange.liquidation_price(16, 0) == units.div_floor(wanted.numerator, wanted.denominator)
    assert exchange.bankruptcy_price(16, 0) == -3_000
    assert exchange.liquidation_price(17, 0) > 2_000
    rich = play(twin, signed(market={"price_min": "-20"}), OPENED)
    assert rich.liquidation_price(16, 0) is None and rich.bankruptcy_price(16, 0) is None


AT_BANKRUPTCY = {"fees": {"taker_ppm": 9_999}, "closing": {"fee": "taker", "at": "bankruptcy"}}


@pytest.mark.parametrize("market", [{}, {"maintenance_min": 6}, AT_BANKRUPTCY], ids=["plain", "minimum", "fee"])
@pytest.mark.parametrize("price", [-3_790, -55, -5, 0, 5, 1_200])
def test_a_liquidation_price_is_what_a_search_by_marks_finds(twin, price, market):
    """Both sides, at several marks: the answer is the first mark at which the exchange does liquidate."""
    venue = signed(market=market, liquidation={"stages": stages("book")})
    text = OPENED.replace("source coin 20", f"source coin {units.int_to_decimal(price, 2)}").replace("1000", "120")
    text = text.replace("@20", f"@{units.int_to_decimal(price, 2)}")
    for account, step in ((16, -1), (17, 1)):
        exchange = play(twin, venue, text)
        at = exchange.liquidation_price(account, 0)
        for mark, said in ((at - step, False), (at, True)):
            probe = twin.restore(venue, exchange.snapshot())
            said_now = probe.apply(tape(venue, f"2 raw kind=8 source=0 price={mark}")[0])
            hit = any(o.kind == OutcomeKind.LIQUIDATION and o.account == account for o in outcomes_of(said_now))
            assert hit == said, (account, at, mark)
            if market == AT_BANKRUPTCY:
                cash = sum(money for owner, asset, money in exchange.state()["balances"] if (owner, asset) == (account, 0))
                worth, equity = -step * 1_000 * mark, cash - step * 1_000 * mark
                short_of = Fraction(abs(worth), 40) + _fee_where_it_is_used_up(worth, equity) - equity
                assert (short_of > -2) == said, (account, mark, short_of)


def _fee_where_it_is_used_up(worth: int, equity: int) -> Fraction:
    """The position's worth falls by x until what is left of equity is the fee on its size then: equity - x = f |worth - x|."""
    fee, left = Fraction(9_999, 10**6), worth - equity
    return fee * abs(left) / (1 - fee if left > 0 else 1 + fee)


@pytest.mark.parametrize("mark, equity", [("-20", 150), ("-20", 900), ("0", 150), ("5", 150), ("20", 150)])
def test_a_fee_at_the_bankruptcy_price_is_of_its_size(twin, mark, equity):
    """Long 10, short 10: closing at the bankruptcy price and paying the fee there uses up the margin, to a tick; -100 is the end."""
    text = OPENED.replace("source coin 20", f"source coin {mark}").replace("@20", f"@{mark}").replace("1000", f"{equity + 100}")
    exchange = play(twin, signed(market=AT_BANKRUPTCY), text)
    held = {account: (qty, entry) for account, _, _, qty, entry in exchange.state()["positions"]}
    cash = {account: money for account, asset, money in exchange.state()["balances"] if asset == 0}
    for account, (qty, _) in held.items():
        left = lambda price: cash[account] + 100 * qty * price - Fraction(9_999, 10**6) * abs(100 * qty * price)  # noqa: B023, E731
        price = exchange.bankruptcy_price(account, 0)
        if price is None:
            assert left(-10_000 if qty > 0 else 10**15) > 0
        else:
            assert left(price) >= 0 > left(price - 5 if qty > 0 else price + 5), (account, price)


@pytest.mark.parametrize(
    "book, market, lots, fee",
    [
        ({"quantity": "all"}, {}, 10, 0),
        ({"quantity": "restore"}, {}, 10, 0),
        ({"quantity": {"kind": "shortage"}}, {}, 10, 0),
        ({"quantity": {"kind": "share", "share_ppm": 300_000}}, {}, 3, 0),
        ({"quantity": {"kind": "share", "share_ppm": 300_000, "whole": 1}}, {}, 10, 0),  # all are worth nothing
        ({"quantity": {"kind": "tiers"}}, {}, 0, 0),
        ({"quantity": "all", "position_share": {"share_ppm": 250_000}}, {}, 2, 0),
        ({"quantity": "all", "position_share": {"share_ppm": 250_000, "notional_min": 1}}, {}, 10, 0),  # no lots are worth 1
        ({"quantity": "all", "choice": "highest_rate"}, {"fees": {"liquidation_ppm": 10_000}}, 10, 0),  # of 10 lots at 0
        ({"quantity": "all"}, {"fees": {"liquidation_ppm": 10_000, "liquidation_left": {"share_ppm": 500_000}}}, 10, 0),
    ],
)
def test_a_slice_at_a_mark_of_zero(twin, book, market, lots, fee):
    """10 lots bought at 20 with 150 are worth nothing: 50 are owed. Bounded by the mark they are sold at 0, for nothing."""
    venue = signed(market=market, liquidation={"stages": stages("takeover", book=book | WIDE)}, limits={"rounds_max": 1})
    text = OPENED.replace("deposit 16 USDT 1000", "deposit 16 USDT 150")
    text += "2 buy 18 COINUSDT 40 @0 #3 | ...\n3 source coin 0 | ...\n"
    exchange = play(twin, venue, text)
    assert not lawless(twin, venue, text)
    held = {(account, market): qty for account, market, _, qty, _ in exchange.state()["positions"]}
    assert held.get((18, 0), 0) == lots
    assert [money for account, asset, money in exchange.state()["balances"] if account == 2 and money] == [fee][:fee]


def test_the_highest_rate_is_not_that_of_what_is_worth_nothing(twin):
    """A market at 0 without a minimum asks for nothing: the other one is closed first, whichever comes first in the rule book."""
    rows = [
        small_venue().markets[0].model_dump(exclude_unset=True) | {"name": "ZERO"} | ROWS,
        small_venue().markets[0].model_dump(exclude_unset=True) | {"index": "SIDE"},
    ]
    venue = signed(
        indices=(COIN | {"prices": "signed"}, USD, index("SIDE", {"kind": "source", "name": "coin2"})),
        markets=rows,
        liquidation={"stages": stages("takeover", book={"choice": "highest_rate", "quantity": "all"} | WIDE)},
    )
    text = """
        0    source coin 5                   | ...
        0    source coin2 100                | ...
        0    account 16                      | ...
        0    account 17                      | ...
        0    deposit 16 USDT 60              | ...
        0    deposit 17 USDT 9000            | ...
        1    buy 16 ZERO 2 @5 #1             | ...
        1    sell 17 ZERO 2 @5 #2            | ...
        1    buy 16 COINUSDT 5 @100 #3       | ...
        1    sell 17 COINUSDT 5 @100 #4      | ...
        2    buy 17 COINUSDT 9 @90 #5        | ...
        2    source coin 0                   | ...
        2    source coin2 91                 | ...
    """
    exchange = play(twin, venue, text)
    assert not lawless(twin, venue, text)
    assert {(account, market): qty for account, market, _, qty, _ in exchange.state()["positions"] if qty} == {
        (16, 0): 2,
        (17, 0): -2,
    }


def test_a_minimum_is_asked_for_at_a_mark_of_zero(twin):
    """Else anyone could hold any number of lots there; where no minimum stands that is so."""
    text = """
    0    source coin 0                   | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    deposit 16 USDT 5               | ...
    0    deposit 17 USDT 5.0002          | ...
    1    buy 16 COINUSDT 900 @0 #1       | {first}
    1    sell 17 COINUSDT 900 @0 #2      | {second}
    1    clock                           |
    """
    accepted = "ACCEPTED 16 buy 900 @0 #1", "ACCEPTED 17 sell 900 @0 #2"
    play(twin, signed(market={"maintenance_min": 5}), text.format(first="REJECT INSUFFICIENT_MARGIN", second=accepted[1]))
    filled = accepted[1] + "; FILL 17 sell 900 @0 from 16 #1"
    play(twin, signed(), text.format(first=accepted[0], second=filled))


def test_the_book_alone_and_a_snapshot_know_prices_below_zero(twin):
    """Pages of the book begin at every 256 ticks, below 0 too; an amendment moves an order across."""
    venue = signed(market={"tick_size": 1}, clearing="none", liquidation={"stages": [{"kind": "write_off"}]})
    prices = [-2.57, -2.56, -2.55, -0.01, 0, 0.01, 2.55, 2.56]
    rows = "".join(f"0 buy 16 COINUSDT 1 @{price} #{n} | ...\n" for n, price in enumerate(prices, 1))
    exchange = play(twin, venue, rows + "1 amend 16 #8 @-2.6 | ...\n")
    again = twin.restore(venue, exchange.snapshot())
    assert again.state() == exchange.state()
    said = again.apply(tape(venue, "1 sell 17 COINUSDT 9 @-2.6 #9")[0])
    fills = [(o.price, o.other_id) for o in outcomes_of(said) if o.kind == OutcomeKind.FILL]
    best_first = sorted(((round(price * 100), n) for n, price in enumerate(prices[:-1], 1)), reverse=True)
    assert fills == [*best_first, (-260, 8)]


def test_bands_and_market_bounds_are_of_the_size_of_the_price(twin):
    """10 % of -20 is 2: up to -18 and down to -22. Bounded in ppm, a MARKET order goes as far as its 5 %."""
    band = {"band": {"kind": "percent", "up_ppm": 100_000, "down_ppm": 100_000}}
    play(
        twin,
        signed(market=band | {"market_bound_ticks": None, "market_bound_ppm": 50_000}),
        OPENED.replace("source coin 20", "source coin -20").replace("@20", "@-20")
        + """
        2    buy 16 COINUSDT 1 @-17.95 #3    | REJECT PRICE_BAND
        2    sell 16 COINUSDT 1 @-22.05 #4   | REJECT PRICE_BAND
        2    sell 18 COINUSDT 1 @-18.95 #5   | ACCEPTED 18 sell 1 @-18.95 #5
        2    buy 16 COINUSDT 2 market #6     | ACCEPTED 16 buy 2 @0 #6; CANCELLED 16 buy 2 @0 #6 IOC_REMAINDER
        2    sell 18 COINUSDT 1 @-19 #7      | ACCEPTED 18 sell 1 @-19 #7
        2    buy 16 COINUSDT 2 market #8     | ACCEPTED 16 buy 2 @0 #8; FILL 16 buy 1 @-19 from 18 #7; CANCELLED 16 buy 1 @0 #8 IOC_REMAINDER
        """,
    )


def test_an_auction_clears_below_zero(twin):
    play(
        twin,
        signed(),
        OPENED
        + """
        2    source coin -3                  | ...
        2    state COINUSDT auction          | ...
        2    buy 16 COINUSDT 4 @1 #3         | ...
        2    sell 17 COINUSDT 4 @-7.5 #4     | ...
        3    state COINUSDT open             | UNCROSSED COINUSDT 4 @-3 left 0; FILL 16 buy 4 @-3 from 17 #4; STATE_SET COINUSDT OPEN
        """,
    )


def test_trailing_orders_are_refused_and_triggers_stay_positive(twin):
    play(
        twin,
        signed(),
        OPENED
        + """
        2    trail sell 16 COINUSDT 1 #3 away=5 by=mark  | REJECT BAD_TRIGGER
        2    stop sell 16 COINUSDT 1 #3 at=10 by=mark    | WAITING 16 sell 1 for 10 #3
        2    buy 18 COINUSDT 1 @-6 #4                    | ACCEPTED 18 buy 1 @-6 #4
        3    source coin -5                              | INDEX COIN -5 of 1; MARK COINUSDT -5; TRIGGERED 16 sell 1 by -5 #3; ACCEPTED 16 sell 1 @0 #3; FILL 16 sell 1 @-6 from 18 #4
        """,
    )


def test_it_settles_below_zero(twin):
    venue = signed(market={"settlement": {}, "expires": units.ns_to_instant(START_NS + 10 * units.NS)})
    play(
        twin,
        venue,
        OPENED
        + "9 source coin -37.63 | ...\n"
        + "10 clock | STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @-37.63 10; SETTLED 16 long 10 @-37.63 cash -376.3; SETTLED 17 short 10 @-37.63 cash 376.3",
    )


def test_elsewhere_it_is_invalid(twin):
    """A market of positive prices on a signed index: the index may be -1, its mark may not; nor may an order."""
    venue = small_venue(indices=[COIN | {"prices": "signed"}, USD])
    exchange = play(
        twin,
        venue,
        OPENED
        + """
        2    source coin -1                  | INDEX COIN -1 of 1; MARK COINUSDT -1 INVALID
        2    buy 16 COINUSDT 1 @0 #3         | REJECT BAD_PRICE
        2    buy 16 COINUSDT 1 @-1 #3        | REJECT BAD_PRICE
        """,
    )
    assert exchange.state()["marks"][0][1] == Grade.INVALID
    play(twin, small_venue(), "0 source coin -1 | INDEX COIN -1 of 1 INVALID; MARK COINUSDT 0 INVALID")
    below = signed(market={"price_min": "-2"})
    play(
        twin,
        below,
        "0 source coin -2.01 | INDEX COIN -2.01 of 1; MARK COINUSDT -2.01 INVALID\n 1 source coin -2 | INDEX COIN -2 of 1; MARK COINUSDT -2",
    )


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"market": {"price_min": "1"}}, "out of bounds"),
        ({"market": {"price_min": "-0.001"}}, "more than 2 decimals"),
        ({"market": {"price_min": str(-(10**13) - 1)}}, "out of bounds"),
        ({"market": {"margin": {"basis": "entry"}}}, "may have cost nothing together"),
        ({"indices": (COIN, USD)}, "its index 'COIN' is INVALID at 0 and below"),
        ({"market": {"payoff": "inverse"}}, "a market that is inverse is worth nothing"),
        ({"market": {"funding": {"every_ns": 60 * units.NS}}}, "a rate of a price at or below 0 has no meaning"),
        (
            {"market": {"band": {"kind": "index_anchored", "inner_ppm": 1, "outer_ppm": 2}}},
            "an index-anchored band has no meaning",
        ),
        (
            {
                "quoters": [
                    {
                        "account": 16,
                        "market": "COINUSDT",
                        "levels": 1,
                        "half_spread_ppm": 1,
                        "step_ppm": 0,
                        "lots": 1,
                        "refill_ns": 10**9,
                    }
                ]
            },
            "a quoter quotes in ppm of a price",
        ),
    ],
)
def test_what_has_no_meaning_below_zero_is_refused(changes, problem):
    with pytest.raises(ValidationError, match=problem):
        signed(**changes)


def test_generated_cases_fall_below_zero_and_the_twins_agree():
    below = 0
    for case in sample(240, seed=4):
        if any(row.price_min is not None for row in case.venue.markets):
            lockstep = Lockstep(case.venue, case.start_ns, case.seams)
            lockstep.run(case.events, state_every=1)
            outcomes = lockstep.left.outcomes()
            below += int(((outcomes["price"] < 0) & (outcomes["kind"] == 7)).sum())
    assert below
