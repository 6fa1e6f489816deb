"""Contracts: one function of the price says what a lot is worth. Linear, inverse and quanto, alone and in one pool."""

# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from fuzz.strategies import sample, small_sample
from fuzz.twin import Lockstep
from riskbed.vectors.vector import plain
from riskbed.waterfall import Cause, Period, waterfall
from specs import rules, units
from specs.errors import TwinsDiffer
from specs.model.exchange import Exchange as Model
from specs.tape import EventKind, OutcomeKind
from tests.twins import START_NS, play, small_venue, tape, twin  # noqa: F401

BRACKETS = [
    {"notional_max": 10, "leverage_max": 50, "maintenance_ppm": 10_000},
    {"notional_max": 1_000, "leverage_max": 20, "maintenance_ppm": 25_000, "amount": "0.15"},
]


def coin_venue(market: dict | None = None, **changes) -> rules.Venue:
    """Return one inverse perpetual of 100 USD a lot, settled in BTC of 12 decimals, prices to a cent."""
    row = {"name": "BTCUSD", "payoff": "inverse", "settles_in": "BTC", "lot": {"size": 100, "decimals": 0}, "brackets": BRACKETS}
    row |= {"tick_size": 50} | (market or {})
    return small_venue(assets=[{"name": "BTC", "decimals": 12}], numeraire="BTC", collateral=[], market=row, **changes)


# ---- what a lot is worth


def test_a_lot_of_an_inverse_market_is_worth_face_over_price():
    venue = coin_venue()
    market = venue.markets[0]
    assert venue.value(market, 5_000_000) == -2 * 10**9  # 100 / 50,000 = 0.002 BTC
    assert venue.value(market, 3_000_000) == -3_333_333_334  # toward -inf
    assert venue.value(market, 0) == 0


@pytest.mark.parametrize("size", [1, 100])
def test_rounding_is_below_1_ppm_over_the_whole_range_of_prices(size):
    """At 12 decimals, lots of 1 and of 100 USD: up to 1,000,000 and 100,000,000 USD a coin; beyond that a price is refused."""
    venue = coin_venue({"lot": {"size": size, "decimals": 0}})
    market, dice = venue.markets[0], random.Random(size)
    highest = venue.price_max(market)
    assert highest == size * 10**8
    worst = Fraction(0)
    for price in [1, 2, highest - 1, highest] + [1 + dice.getrandbits(60) % highest for _ in range(2_000)]:
        exact = Fraction(-size * 10**14, price)
        error = exact - venue.value(market, price)
        assert 0 <= error < 1
        worst = max(worst, error / -exact)
    assert worst <= Fraction(1, units.PPM)


@pytest.mark.parametrize("payoff", ["linear", "inverse"])
def test_the_price_for_a_value_is_the_first_that_reaches_it(payoff):
    """Against every price of a small range: the lowest worth at least so much, the highest worth at most so much."""
    if payoff == "inverse":
        venue = coin_venue({"lot": {"size": 1, "decimals": 8}})  # a face of 10^6
    else:
        venue = small_venue(market={"lot": {"decimals": 1}})
    market, prices = venue.markets[0], range(1, 400)
    worth = [venue.value(market, price) for price in prices]
    assert worth == sorted(worth)
    for value in {one + by for one in worth for by in (-1, 0, 1)}:
        up, down = venue.price_for(market, value, True), venue.price_for(market, value, False)
        least = next((price for price, one in zip(prices, worth) if one >= value), None)
        most = max((price for price, one in zip(prices, worth) if one <= value), default=0)
        if least is not None and value < 0 or payoff == "linear" and least is not None and value > worth[0]:
            assert up == least
        if most < prices[-1]:
            assert down == most


# ---- tables


def test_an_inverse_position_by_hand(twin):
    """1,000 lots of 100 USD at 50,000 are 2 BTC. At 40,000 they are 2.5: the short gained 0.5. The fee is of 2."""
    exchange = play(
        twin,
        coin_venue({"fees": {"taker_ppm": 500}}),
        """
    0    source coin 50000                   | ...
    0    account 16                          | OPENED 16
    0    account 17                          | OPENED 17
    0    deposit 16 BTC 1                    | DEPOSIT 1 BTC OUTSIDE to 16
    0    deposit 17 BTC 1                    | DEPOSIT 1 BTC OUTSIDE to 17
    1    sell 17 BTCUSD 1000 @50000 #1       | ACCEPTED 17 sell 1000 @50000 #1
    1    buy 16 BTCUSD 1000 @50000 #2        | ACCEPTED 16 buy 1000 @50000 #2; FILL 16 buy 1000 @50000 from 17 #1 fee 0.001
    2    source coin 40000                   | INDEX COIN 40000 of 1; MARK BTCUSD 40000
    """,
    )
    state = exchange.state()
    balances = {row[0]: row[2] for row in state["balances"]}
    assert balances[16] == 10**12 + 2 * 10**12 - 10**9 and balances[17] == 10**12 - 2 * 10**12
    held = {row[0]: row[3] for row in state["positions"]}
    value = -25 * 10**8
    assert [balances[a] + held[a] * value for a in (16, 17)] == [5 * 10**11 - 10**9, 15 * 10**11]


def test_an_inverse_long_is_closed_at_the_price_at_which_its_margin_is_used_up(twin):
    """0.11 BTC behind 2 BTC at 50,000: equity 0 at 100,000 / 2.11 = 47,393.36, so the slice asks for 47,393.50 or more, on tick.

    400 lots bring 40,000 / 47,393.50 less of a debt of 2.11: 1.2660024052 is left, and the backstop takes the rest for that.
    """
    play(
        twin,
        coin_venue(),
        """
    0    source coin 50000                   | ...
    0    account 16                          | ...
    0    account 17                          | ...
    0    deposit 16 BTC 0.11                 | ...
    0    deposit 17 BTC 9                    | ...
    1    sell 17 BTCUSD 1000 @50000 #1       | ...
    1    buy 16 BTCUSD 1000 @50000 #2        | ...
    2    buy 17 BTCUSD 400 @47393.50 #3      | ACCEPTED 17 buy 400 @47393.5 #3
    2    buy 17 BTCUSD 600 @47393 #4         | ACCEPTED 17 buy 600 @47393 #4
    3    source coin 47500                   | INDEX COIN 47500 of 1; MARK BTCUSD 47500; LIQUIDATION 16 0.004736842; """
        + """FILL BOOK 16 sell 400 @47393.5 from 17 #3 in round 1; TAKEOVER 16 long 600 @47500 cash -1.2660024052 in round 1; """
        + """RESTORED 16 0 FLAT in round 1
    """,
    )


def test_funding_of_an_inverse_market_is_paid_on_the_size_of_the_value(twin):
    """0.01 % of 0.002 BTC a lot: a long of 1,000 pays 0.0002 BTC."""
    row = {"every_ns": 60 * units.NS, "interest_ppb": 100_000, "damp_ppb": 500_000, "cap_ppb": 1_000_000}
    exchange = play(
        twin,
        coin_venue({"funding": row}),
        """
    0    source coin 50000                   | ...
    0    account 16                          | ...
    0    account 17                          | ...
    0    deposit 16 BTC 1                    | ...
    0    deposit 17 BTC 1                    | ...
    1    sell 17 BTCUSD 1000 @50000 #1       | ...
    1    buy 16 BTCUSD 1000 @50000 #2        | ...
    60   clock                               | ...
    """,
    )
    balances = {row[0]: row[2] for row in exchange.state()["balances"]}
    assert (balances[16] - 3 * 10**12, balances[17] + 10**12) == (-2 * 10**8, 2 * 10**8)


def test_a_waterfall_of_an_inverse_market_sums_to_what_is_left(twin):
    """waterfall() itself asserts that the causes sum to the equity in the final state: here 0, of 0.11 BTC."""
    venue = coin_venue()
    table = """
    0    source coin 50000                   |
    0    account 16                          |
    0    account 17                          |
    0    deposit 16 BTC 0.11                 |
    0    deposit 17 BTC 9                    |
    1    sell 17 BTCUSD 1000 @50000 #1       |
    1    buy 16 BTCUSD 1000 @50000 #2        |
    2    buy 17 BTCUSD 400 @47393.50 #3      |
    3    source coin 47500                   |
    """
    exchange = twin(venue, START_NS)
    exchange.run(tape(venue, table))
    found = waterfall(exchange.outcomes(), venue, exchange.state())
    assert (found.accounts, found.episodes, found.end) == (1, 1, 0)
    assert found.rows[Period.INSIDE][Cause.TAKEOVER] < 0


# ---- lockstep, laws, and what equals what


def bent(venue: rules.Venue, payoffs: list[str]) -> rules.Venue | None:
    """Return a generated rule book, its money with 12 decimals, its perpetuals' payoffs changed in turn.

    None where no room is, and of one with prices below zero: those are linear.

    An inverse lot is as large as is worth at 100.00 what the linear one is; a quanto lot is worth the same at any price.
    """
    book = venue.model_dump(mode="json", exclude_unset=True)
    for asset in book["assets"]:
        asset["decimals"] += 8
    linear = [row for row in book["markets"] if row.get("payoff", "linear") == "linear"]
    for row, payoff in zip(linear, payoffs * len(linear)):
        size = Fraction(row["lot"].get("size", 1), 10 ** row["lot"]["decimals"])
        if payoff == "inverse":
            row.get("margin", {}).pop("size", None)  # of coins
            row |= {"payoff": "inverse", "lot": {"size": int(size * 10_000), "decimals": 0}}
        elif payoff == "quanto":
            row |= {"payoff": "quanto", "lot": {"size": 1, "decimals": 0}, "quanto": plain(size)}
    try:
        return rules.Venue.model_validate(book)
    except ValidationError as error:
        assert any(words in str(error) for words in ("out of bounds", "worth nothing at or below 0")), error
        return None


MONEY = (EventKind.DEPOSIT, EventKind.WITHDRAW, EventKind.TRANSFER, EventKind.MODE)


def scaled(events: np.ndarray) -> np.ndarray:
    """Return a tape with 8 decimals of money more; amounts that leave the record stay as they are."""
    events = events.copy()
    for at in np.flatnonzero(np.isin(events["kind"], MONEY)):
        amount = (int(events[at]["amount_hi"]) << 64 | int(events[at]["amount_lo"])) * 10**8
        if -(2**126) < amount < 2**126:
            events["amount_lo"][at], events["amount_hi"][at] = amount & (2**64 - 1), amount >> 64
    return events


@pytest.mark.lockstep
@pytest.mark.parametrize("payoffs", [["inverse"], ["inverse", "linear"], ["quanto", "inverse"]], ids="-".join)
def test_contracts_in_lockstep_under_the_laws(payoffs):
    """Small cases and long tapes, a contract alone and two in one pool: liquidated, taken over, deleveraged, converted."""
    seen, run = set(), 0
    for case in [*small_sample(70, seed=5), *sample(3, seed=5, bytes_each=500)]:
        venue = bent(case.venue, payoffs)
        if venue is None:
            continue
        lockstep = Lockstep(venue, case.start_ns, case.seams)
        lockstep.run(scaled(case.events), laws=True)
        seen |= {OutcomeKind(kind) for kind in lockstep.right.outcomes()["kind"]}
        run += 1
    assert run >= 40
    assert {OutcomeKind.FILL, OutcomeKind.LIQUIDATION, OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT} <= seen


def test_a_snapshot_keeps_an_inverse_market(twin):
    venue = coin_venue()
    table = """
    0    source coin 50000                   |
    0    account 16                          |
    0    account 17                          |
    0    deposit 16 BTC 0.11                 |
    0    deposit 17 BTC 9                    |
    1    sell 17 BTCUSD 1000 @50000 #1       |
    1    buy 16 BTCUSD 1000 @50000 #2        |
    3    source coin 47500                   |
    """
    events = tape(venue, table)
    whole, first = twin(venue, START_NS), twin(venue, START_NS)
    whole.run(events)
    first.run(events[:-1])
    again = twin.restore(venue, first.snapshot())
    again.run(events[-1:])
    assert again.digest() == whole.digest() and again.state() == whole.state()


def test_a_quanto_market_is_a_linear_one_in_another_currency(twin):
    """100 USDT a lot and point, said as `quanto` or as a lot of 100: the same outcomes, byte for byte."""
    table = """
    0    source coin 100                 |
    0    account 16                      |
    0    account 17                      |
    0    deposit 16 USDT 60000           |
    0    deposit 17 USDT 900000          |
    1    sell 17 COINUSDT 10 @100 #1     |
    1    buy 16 COINUSDT 10 @100 #2      |
    2    source coin 40                  |
    """
    brackets = [{"notional_max": 10**9, "leverage_max": 20, "maintenance_ppm": 25_000}]
    said = []
    for row in ({"payoff": "quanto", "quanto": 100, "lot": {"decimals": 0}}, {"lot": {"size": 100, "decimals": 0}}):
        venue = small_venue(market=row | {"brackets": brackets})
        exchange = twin(venue, START_NS)
        exchange.run(tape(venue, table))
        said.append(exchange.digest())
    assert said[0] == said[1]


def test_a_value_that_is_rounded_the_other_way_is_found(monkeypatch):
    """Toward zero, and nothing else: the first fill at a price that does not divide differs."""
    venue = coin_venue()
    events = tape(
        venue,
        """
    0    source coin 30000                   |
    0    account 16                          |
    0    account 17                          |
    0    deposit 16 BTC 1                    |
    0    deposit 17 BTC 1                    |
    1    sell 17 BTCUSD 10 @30000 #1         |
    1    buy 16 BTCUSD 10 @30000 #2          |
    """,
    )
    Lockstep(venue, START_NS).run(events, laws=True)
    monkeypatch.setattr(Model, "value_at", lambda self, market, price: self.worth[market](price) + bool(price))
    with pytest.raises(TwinsDiffer):
        Lockstep(venue, START_NS).run(events)


# ---- bad input


@pytest.mark.parametrize(
    "change, words",
    [
        ({"assets": [{"name": "BTC", "decimals": 8}]}, "an inverse market's coin has 8 decimals"),
        ({"market": {"lot": {"size": 10**9, "decimals": 0}}}, "a lot is worth too little or too much"),
        ({"market": {"payoff": "quanto"}}, "it says what a lot is worth"),
        ({"market": {"quanto": 1}}, "it says what a lot is worth"),
        ({"market": {"payoff": "quanto", "quanto": "0.00000000001", "price_decimals": 2}}, "not a whole number of money units"),
        ({"market": {"payoff": "quanto", "quanto": 1, "lot": {"decimals": 1}}}, "a lot of a quanto market is a count"),
        ({"market": {"base": "BTC"}}, "a perpetual has no base asset"),
    ],
)
def test_contracts_that_cannot_be_are_refused(change, words):
    market = change.pop("market", None)
    book = coin_venue().model_dump(mode="json", exclude_unset=True) | change
    book["markets"][0] |= market or {}
    with pytest.raises(ValidationError, match=words):
        rules.Venue.model_validate(book)


def test_prices_beyond_the_range_are_refused(twin):
    """A lot of 1 USD in a coin of 12 decimals: above 1,000,000 USD a unit of money would be more than 1 ppm of it."""
    play(
        twin,
        coin_venue({"lot": {"size": 1, "decimals": 0}}),
        """
    0    source coin 50000                   | ...
    0    account 16                          | ...
    0    deposit 16 BTC 1                    | ...
    1    sell 16 BTCUSD 10 @1000000 #1       | ACCEPTED 16 sell 10 @1000000 #1
    1    sell 16 BTCUSD 10 @1000000.50 #2    | REJECT BAD_PRICE
    2    source coin 1000000.01              | INDEX COIN 1000000.01 of 1; MARK BTCUSD 1000000.01 INVALID
    """,
    )
