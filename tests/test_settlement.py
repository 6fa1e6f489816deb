"""The end of a market: a dated future that expires, a perpetual that is delisted; every position closed at one price.

The tables say what the law L29 says, in figures. Prices in whole USDT, a lot is worth its price.
"""

# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)
from __future__ import annotations

import pytest
from pydantic import ValidationError

from fuzz.twin import Lockstep
from specs import units
from specs.model.exchange import SETTLE
from specs.model.exchange import Exchange as Model
from specs.rules import Venue
from specs.tape import Chart, Flow, MarketState, OutcomeKind
from tests.twins import START_NS, index, play, seam_row, small_venue, stages, tape, twin  # noqa: F401

EXPIRES = {"expires": units.ns_to_instant(START_NS + 10 * units.NS)}
AT_INDEX, AT_MEAN = {"settlement": {}}, {"settlement": {"price": "average", "publications": 3}}
OPENED = """
    0    source coin 100                 | ...
    0    source usd 1                    | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    deposit 16 USDT 120             | ...
    0    deposit 17 USDT 120             | ...
    1    buy 16 COINUSDT 10 @100 #1      | ...
    1    sell 17 COINUSDT 10 @100 #2     | ...
"""


def dated(**changes) -> Venue:
    return small_venue(market=EXPIRES | AT_INDEX | changes.pop("market", {}), **changes)


def balances(exchange, asset: int = 0) -> dict[int, int]:
    return {account: money for account, of, money in exchange.state()["balances"] if of == asset}


def test_a_dated_future_expires(twin):
    """Its orders go, of both accounts and the one that waits; then 10 lots that cost 1,000 are closed at 105; then it is over."""
    exchange = play(
        twin,
        dated(),
        OPENED
        + """
        2    buy 16 COINUSDT 1 @95 #3                    | ACCEPTED 16 buy 1 @95 #3
        2    sell 17 COINUSDT 1 @120 #4                  | ACCEPTED 17 sell 1 @120 #4
        2    stop sell 16 COINUSDT 10 #5 at=90 by=mark   | WAITING 16 sell 10 for 90 #5
        9    source coin 105                             | INDEX COIN 105 of 1; MARK COINUSDT 105
        10   buy 16 COINUSDT 1 @100 #6                   | CANCELLED 16 buy 1 @95 #3 MARKET_CLOSED; """
        + "CANCELLED 16 sell 10 @0 #5 MARKET_CLOSED; CANCELLED 17 sell 1 @120 #4 MARKET_CLOSED; "
        + """STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @105 10; SETTLED 16 long 10 @105 cash 1050; """
        + """SETTLED 17 short 10 @105 cash -1050; REJECT MARKET_CLOSED
        11   stop buy 16 COINUSDT 1 #7 at=120            | REJECT MARKET_CLOSED
        11   state COINUSDT open                         | REJECT MARKET_CLOSED
        11   delist COINUSDT                             | REJECT MARKET_CLOSED
        11   source coin 110                             | INDEX COIN 110 of 1; MARK COINUSDT 110
        12   withdraw 16 USDT 170                        | WITHDRAWAL 170 USDT 16 to OUTSIDE
        """,
    )
    state = exchange.state()
    assert (state["positions"], state["orders"], state["waiting"], state["timers"]) == ([], [], [], [])
    assert balances(exchange) == {Chart.OUTSIDE: -700_000, 17: 700_000}


def test_before_it_ends_it_is_a_market_like_any_other(twin):
    """At 89 the long, 120 less 110, is liquidated into the backstop, which is settled as everybody is."""
    exchange = play(
        twin,
        dated(),
        OPENED
        + """
        2    source coin 88.5    | ...
        9    source coin 80      | ...
        11   clock               | STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @80 10; """
        + """SETTLED BACKSTOP long 10 @80 cash 800; SETTLED 17 short 10 @80 cash -800
        """,
    )
    held = balances(exchange)
    assert held[17] == 1_200_000 + 2_000_000 and sum(held.values()) == 0
    assert exchange.state()["positions"] == []


def test_a_settlement_that_ruins_somebody_ends_as_a_liquidation(twin):
    """Halted, it fell without being liquidated: the settlement leaves a debt of 80, of which the fund has 30."""
    exchange = play(
        twin,
        dated(fund={"capital": 30}),
        OPENED
        + """
        2    state COINUSDT halted   | STATE_SET COINUSDT HALTED
        3    source coin 80          | INDEX COIN 80 of 1; MARK COINUSDT 80; SUSPENDED 16 -80
        10   clock                   | STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @80 10; """
        + "SETTLED 16 long 10 @80 cash 800; SETTLED 17 short 10 @80 cash -800; LIQUIDATION 16 -80; "
        + """FUND_PAYMENT 30 USDT FUND to 16 in round 1; FUND_SHORT 16 50 in round 1; WRITE_OFF 50 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
        """,
    )
    assert balances(exchange)[17] == 3_200_000 and 16 not in balances(exchange)


@pytest.mark.parametrize("grade, price", [({}, None), ({"settle": "defer"}, None), ({"settle": "last_valid"}, "101")])
def test_an_index_that_is_not_valid_defers_or_lends_its_last_valid_price(twin, grade, price):
    """The source is gone at expiry. Deferred, the positions wait, nobody can trade, and every 2 s it is tried again."""
    venue = dated(market={"settlement": {"retry_ns": 2 * units.NS}}, grades={"too_few_sources": grade})
    closes = "STATE_SET COINUSDT CLOSED MARKET_CLOSED; "
    told = lambda at, grade: (  # noqa: E731
        f"SETTLEMENT COINUSDT @{at} 10{grade}; SETTLED 16 long 10 @{at} cash {int(at) * 10}; SETTLED 17 short 10 @{at} cash -{int(at) * 10}"
    )
    first = told(price, " TOO_FEW_SOURCES") if price else "SETTLES COINUSDT 12 PRICE_AWAITED"
    rest = f"""
        11   buy 16 COINUSDT 1 @100 #6   | REJECT MARKET_CLOSED
        13   source coin 103             | INDEX COIN 103 of 1; MARK COINUSDT 103
        14   clock                       | {"" if price else told("103", "")}
        20   clock                       |
    """
    exchange = play(
        twin,
        venue,
        OPENED
        + f"""
        8    source coin 101             | INDEX COIN 101 of 1; MARK COINUSDT 101
        9    source coin missing         | INDEX COIN 101 of 0 TOO_FEW_SOURCES; MARK COINUSDT 101 TOO_FEW_SOURCES
        10   clock                       | {closes}{first}
        """
        + rest,
    )
    assert exchange.state()["positions"] == [] and exchange.state()["states"] == [(0, MarketState.CLOSED)]


def test_while_it_waits_for_a_price_nobody_is_liquidated(twin):
    """16 has lost 115 of 120 at the last valid price; the market is closed, so that it waits with everybody."""
    exchange = play(
        twin,
        dated(grades={"too_few_sources": {"liquidate": "last_valid"}}),
        OPENED
        + """
        9    source coin missing         | ...
        10   clock                       | STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLES COINUSDT 11 PRICE_AWAITED
        11   source coin 88.5            | INDEX COIN 88.5 of 1; MARK COINUSDT 88.5; SUSPENDED 16 5
        12   clock                       | ...
        """,
    )
    assert exchange.state()["positions"] == [] and balances(exchange)[16] == 50_000


def test_the_mean_of_the_last_publications(twin):
    """One a second: 100, 101, 104, 104, 108 and, at the moment it expires, 110: the last three are 322, a third is 107.33."""
    venue = dated(
        market=AT_MEAN,
        indices=[index("COIN", {"kind": "source", "name": "coin"}, 1), index("USD", {"kind": "source", "name": "usd"})],
    )
    table = """
        0    source coin 100             | ...
        0    account 16                  | ...
        0    account 17                  | ...
        0    deposit 16 USDT 500         | ...
        0    deposit 17 USDT 500         | ...
        1    clock                       | ...
        1    buy 16 COINUSDT 10 @100 #1  | ...
        1    sell 17 COINUSDT 10 @100 #2 | ...
        7.5  source coin 104             |
        8.5  source coin 108             | INDEX COIN 104 of 1; MARK COINUSDT 104
        9.5  source coin 110             | INDEX COIN 108 of 1; MARK COINUSDT 108
        10   clock                       | INDEX COIN 110 of 1; MARK COINUSDT 110; STATE_SET COINUSDT CLOSED MARKET_CLOSED; """
    table += """SETTLEMENT COINUSDT @107.33 10; SETTLED 16 long 10 @107.33 cash 1073.3; SETTLED 17 short 10 @107.33 cash -1073.3
    """
    exchange = play(twin, venue, table)
    assert [row[2] for row in exchange.state()["settlements"]] == [10_400, 10_800, 11_000]


def test_a_perpetual_is_delisted_at_once_or_later_or_sooner_than_was_said(twin):
    settled = "STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @100 10; SETTLED 16 long 10 @100 cash 1000; SETTLED 17 short 10 @100 cash -1000"
    play(twin, small_venue(market=AT_INDEX), OPENED + f"3 delist COINUSDT | SETTLES COINUSDT 3; {settled}")
    exchange = play(
        twin,
        small_venue(market=AT_INDEX),
        OPENED
        + f"""
        3    delist COINUSDT 20              | SETTLES COINUSDT 20
        4    buy 16 COINUSDT 1 @95 #3        | ACCEPTED 16 buy 1 @95 #3
        5    delist COINUSDT 4               | REJECT BAD_TIME
        6    raw kind=23 market=0 qty=-1     | REJECT BAD_TIME
        6    raw kind=23 market=1            | REJECT UNKNOWN_MARKET
        7    delist COINUSDT 8               | SETTLES COINUSDT 8
        9    clock                           | CANCELLED 16 buy 1 @95 #3 MARKET_CLOSED; {settled}
        30   clock                           |
        """,
    )
    assert exchange.state()["timers"] == []
    play(twin, small_venue(), OPENED + "3 delist COINUSDT | REJECT NO_SETTLEMENT")


def test_orders_expire_before_the_market_does_and_an_auction_does_not_trade(twin):
    play(
        twin,
        dated(),
        OPENED
        + """
        2    state COINUSDT auction              | STATE_SET COINUSDT AUCTION
        3    buy 16 COINUSDT 1 @101 #3 gtd until=10  | ACCEPTED 16 buy 1 @101 #3
        3    sell 17 COINUSDT 1 @99 #4           | ACCEPTED 17 sell 1 @99 #4
        10   clock                               | CANCELLED 16 buy 1 @101 #3 EXPIRED; CANCELLED 17 sell 1 @99 #4 MARKET_CLOSED; """
        + """STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLEMENT COINUSDT @100 10; SETTLED 16 long 10 @100 cash 1000; SETTLED 17 short 10 @100 cash -1000
        """,
    )


def test_a_fill_of_a_closed_market_cannot_be_busted_and_funding_is_skipped(twin):
    funding = {"funding": {"every_ns": 60 * units.NS, "interest_ppb": 1_000, "damp_ppb": 1_000}}
    play(
        twin,
        small_venue(market=AT_INDEX | funding, limits={"fills_kept": 9}),
        OPENED
        + """
        3    delist COINUSDT     | ...
        4    bust 0              | REJECT MARKET_CLOSED
        21   clock               | FUNDING COINUSDT 0 sum 0 MARKET_STATE
        """,
    )


def test_inverse_lots_are_settled_to_the_unit(twin):
    """Lots of 100 USD at 95: 1.05263... coin each, rounded toward -inf once: what one gets the other pays."""
    coin = {"assets": [{"name": "USDT", "decimals": 12}, {"name": "USD", "decimals": 4}], "collateral": []}
    venue = small_venue(market=EXPIRES | AT_INDEX | {"payoff": "inverse", "lot": {"size": 100, "decimals": 0}}, **coin)
    exchange = play(twin, venue, OPENED + "9 source coin 95 | ...\n 10 clock | ...")
    held = balances(exchange)
    value = venue.value(venue.markets[0], 9_500)
    assert value == -(-(100 * 10**14) // -9_500) * -1 or value == -units.div_ceil(100 * 10**14, 9_500)
    assert held[16] - 120 * 10**12 == 10 * (value - venue.value(venue.markets[0], 10_000)) == -(held[17] - 120 * 10**12)


@pytest.mark.parametrize(
    "market, problem",
    [
        (EXPIRES, "a market that expires needs a price to be settled at"),
        (EXPIRES | AT_INDEX | {"funding": {"every_ns": 60 * units.NS}}, "a dated future has no funding"),
        ({"settlement": {"price": "average"}}, "settlement at the 'average' needs publications"),
        ({"settlement": {"publications": 3}}, "settlement at the 'index' takes no publications"),
        (AT_INDEX | {"expires": "2200-01-01T00:00:00Z"}, "out of bounds"),
        (AT_INDEX | {"expires": "2030-01-01T00:00:00"}, "timezone"),
        ({"settlement": {"retry_ns": 1}}, "greater than or equal to"),
    ],
)
def test_an_end_that_cannot_be_is_refused(market, problem):
    with pytest.raises(ValidationError, match=problem):
        small_venue(market=market)


def test_a_spot_market_does_not_end():
    spot = {"payoff": "spot", "base": "USD", "brackets": [], "settlement": {}}
    with pytest.raises(ValidationError, match="a spot market has no such settlement"):
        small_venue(market=spot)


def test_who_starts_after_the_end_begins_with_it(twin):
    venue = small_venue(market=AT_INDEX | {"expires": units.ns_to_instant(START_NS - units.NS)})
    exchange = play(twin, venue, "0 clock | STATE_SET COINUSDT CLOSED MARKET_CLOSED; SETTLES COINUSDT 1 PRICE_AWAITED")
    assert exchange.state()["timers"] == [(SETTLE, 0, START_NS + units.NS)]


def test_snapshots_keep_the_end(twin):
    venue, text = dated(market=AT_MEAN), OPENED + "9 source coin 104 | ...\n 9 source coin 107 | ...\n 12 clock | ..."
    events = tape(venue, text)
    whole, half = twin(venue, START_NS), twin(venue, START_NS)
    whole.run(events)
    half.run(events[:-2])
    rest = twin.restore(venue, half.snapshot())
    rest.run(events[-2:])
    assert (rest.digest(), rest.state()) == (whole.digest(), whole.state())


def test_sums_and_causes_know_a_settlement():
    """What a run did, added up: every balance is explained by named flows, and what the settlement moved sums to nothing."""
    from riskbed.sums import UNNAMED, account_sums
    from riskbed.waterfall import Cause, Period, waterfall

    venue = dated(market={"mark": {"kind": "median"}}, fund={"capital": 30}, liquidation={"stages": stages()})
    exchange = Model(venue, START_NS)
    exchange.run(tape(venue, OPENED + "2 state COINUSDT halted | ...\n 3 source coin 80 | ...\n 10 clock | ..."))
    sums = account_sums(exchange.outcomes(), venue, exchange.state())
    moved = {number: row.flows.get((Flow.SETTLEMENT.name, 0), 0) for number, row in sums.items()}
    assert moved[16] == 8_000_000 and sum(moved.values()) == 0
    assert not any(flow == UNNAMED for row in sums.values() for flow, _ in row.flows)
    fall = waterfall(exchange.outcomes(), venue, exchange.state())
    mark = next(o["price"] for o in exchange.outcomes()[::-1] if o["kind"] == OutcomeKind.MARK)
    assert fall.rows[Period.BEFORE][Cause.SETTLEMENT] == 10 * (8_000 - int(mark)) * 10 ** (fall.decimals - 2)
    Lockstep(venue, START_NS).run(tape(venue, OPENED), state_every=1, laws=True)
    assert seam_row(0, 0, 0, 1, 1)
