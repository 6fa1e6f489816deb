"""Bust: fills undone by compensating postings, by example, on both twins.

The rule book is tests/twins.py:small_venue with fees of 0.1 % for takers and 0.05 % for makers. Fills are numbered from 0.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fuzz.twin import twin_class
from riskbed.bust import undone
from riskbed.causes import Cause, judge
from riskbed.labels import Forced, Label, forced_lots, label
from riskbed.make_whole import conversions
from riskbed.pair import close_sums
from riskbed.sums import account_sums
from specs import laws, rules, units
from specs.lawbook import runs
from specs.scene import outcomes_of
from specs.tape import Chart, OutcomeKind
from tests.test_convert_to_book import venue as spot_venue
from tests.test_model_tables import FUNDED
from tests.twins import START_NS, play, rows_of, say, small_venue, stages, tape, twin  # noqa: F401

FEES = {"taker_ppm": 1_000, "maker_ppm": 500, "liquidation_ppm": 10_000}


def keeping(fills: int = 100, **changes) -> rules.Venue:
    return small_venue(limits={"fills_kept": fills}, market={"fees": FEES} | changes.pop("market", {}), **changes)


def balances(exchange) -> dict[int, int]:
    """Return whole and fractional numeraire by account, in units of 10^-4."""
    return {account: money for account, asset, money in exchange.state()["balances"] if asset == 0}


FILLED = (
    FUNDED
    + """
    1    buy 16 COINUSDT 10 @100 #1     | ACCEPTED 16 buy 10 @100 #1
    1    sell 17 COINUSDT 10 @100 #2    | ACCEPTED 17 sell 10 @100 #2; FILL 17 sell 10 @100 from 16 #1 fee 1; FEE 0.5 USDT 16 to FEES
"""
)


def test_a_bust_gives_back_position_cash_and_fees(twin):
    """As if it had never been, if nothing else has happened since."""
    before = play(twin, keeping(), FUNDED)
    exchange = play(
        twin,
        keeping(),
        FILLED
        + """
    2    bust 0                     | BUSTED 0 17 sell 10 @100 from 16 fee 1; FEE_RETURNED 0.5 USDT FEES to 16
    2    bust 0                     | REJECT BUSTED_ALREADY
    """,
    )
    assert balances(exchange) == balances(before)
    assert not exchange.state()["positions"] and not exchange.state()["orders"]
    assert exchange.state()["fills"] == [(0, 17, 16, 0, 2, 10_000, 10, 10_000, 5_000, 1)]


def test_what_a_bust_does_not_undo(twin):
    """Orders that were filled stay gone, and the price of the fill stays the last one: a mark that reads it does not move back."""
    exchange = play(
        twin,
        keeping(market={"mark": {"kind": "median", "basis_samples": 1, "republish_on_fill": True}}),
        FUNDED
        + """
    1    buy 16 COINUSDT 1 @99 #1   | ACCEPTED 16 buy 1 @99 #1
    1    sell 17 COINUSDT 3 @102 #2 | ACCEPTED 17 sell 3 @102 #2
    1    buy 16 COINUSDT 1 @102 #3  | ACCEPTED 16 buy 1 @102 #3; FILL 16 buy 1 @102 from 17 #2 fee 0.102; FEE 0.051 USDT 17 to FEES; MARK COINUSDT 101
    2    bust 0                     | BUSTED 0 16 buy 1 @102 from 17 fee 0.102; FEE_RETURNED 0.051 USDT FEES to 17
    """,
    )
    assert exchange.state()["marks"][0][-2:] == (1, 10_200)
    assert [(row[4], row[6]) for row in exchange.state()["orders"]] == [(1, 1), (2, 2)]


def test_a_bust_of_a_closing_fill_opens_the_position_again(twin):
    """16 is long 10 at 100, closes 4 of them at 101 and gets 4 x 101 back to pay: entry values follow the ledger's rule."""
    exchange = play(
        twin,
        keeping(),
        FILLED
        + """
    2    buy 17 COINUSDT 4 @101 #3  | ACCEPTED 17 buy 4 @101 #3
    2    sell 16 COINUSDT 4 @101 #4 | ACCEPTED 16 sell 4 @101 #4; FILL 16 sell 4 @101 from 17 #3 fee 0.404; FEE 0.202 USDT 17 to FEES
    3    bust 1                     | BUSTED 1 16 sell 4 @101 from 17 fee 0.404; FEE_RETURNED 0.202 USDT FEES to 17
    """,
    )
    assert exchange.state()["positions"] == [(16, 0, 0, 10, 10_040_000), (17, 0, 0, -10, -10_040_000)]


def test_only_the_latest_fills_are_kept(twin):
    table = (
        FUNDED
        + """
    1    sell 17 COINUSDT 3 @100 #1 | ACCEPTED 17 sell 3 @100 #1
    1    buy 16 COINUSDT 1 @100 #2  | ACCEPTED 16 buy 1 @100 #2; FILL 16 buy 1 @100 from 17 #1
    1    buy 16 COINUSDT 1 @100 #3  | ACCEPTED 16 buy 1 @100 #3; FILL 16 buy 1 @100 from 17 #1
    1    buy 16 COINUSDT 1 @100 #4  | ACCEPTED 16 buy 1 @100 #4; FILL 16 buy 1 @100 from 17 #1
    2    bust 0                     | REJECT UNKNOWN_FILL
    2    bust 3                     | REJECT UNKNOWN_FILL
    2    bust 9223372036854775807   | REJECT UNKNOWN_FILL
    2    bust 1                     | BUSTED 1 16 buy 1 @100 from 17
    2    bust 2                     | BUSTED 2 16 buy 1 @100 from 17
    """
    )
    exchange = play(twin, keeping(2, market={"fees": {}}), table)
    assert [row[0] for row in exchange.state()["fills"]] == [1, 2]
    assert exchange.state()["clock"][0][-1] == 3


def test_none_is_kept_where_no_row_says_so(twin):
    exchange = play(twin, keeping(0), FILLED + "2 bust 0 | REJECT UNKNOWN_FILL")
    assert exchange.state()["fills"] == [] and exchange.state()["clock"][0][-1] == 1


def test_a_bust_cuts_reduce_only_orders(twin):
    play(
        twin,
        keeping(),
        FILLED
        + """
    1    buy 16 COINUSDT 5 @100 #3  | ACCEPTED 16 buy 5 @100 #3
    1    sell 17 COINUSDT 5 @100 #4 | ACCEPTED 17 sell 5 @100 #4; FILL 17 sell 5 @100 from 16 #3 fee 0.5; FEE 0.25 USDT 16 to FEES
    2    sell 16 COINUSDT 12 @105 reduce #5 | ACCEPTED 16 sell 12 @105 #5
    2    buy 17 COINUSDT 15 @95 reduce #6 | ACCEPTED 17 buy 15 @95 #6
    3    bust 0                     | BUSTED 0 17 sell 10 @100 from 16 fee 1; FEE_RETURNED 0.5 USDT FEES to 16; CANCELLED 17 buy 10 @95 #6 REDUCE_ONLY; CANCELLED 16 sell 7 @105 #5 REDUCE_ONLY
    3    bust 1                     | BUSTED 1 17 sell 5 @100 from 16 fee 0.5; FEE_RETURNED 0.25 USDT FEES to 16; CANCELLED 17 buy 5 @95 #6 REDUCE_ONLY; CANCELLED 16 sell 5 @105 #5 REDUCE_ONLY
    """,
    )


def test_who_can_no_longer_carry_what_a_bust_leaves_is_liquidated(twin):
    """16 had sold at 106 what it had bought at 100, and drew all but 1: it has the 10 lots again, and not what they brought."""
    play(
        twin,
        keeping(market={"fees": {}}),
        FILLED.replace(" fee 1; FEE 0.5 USDT 16 to FEES", "")
        + """
    2    buy 17 COINUSDT 10 @106 #3 | ACCEPTED 17 buy 10 @106 #3
    2    sell 16 COINUSDT 10 @106 #4 | ACCEPTED 16 sell 10 @106 #4; FILL 16 sell 10 @106 from 17 #3
    2    withdraw 16 USDT 179       | WITHDRAWAL 179 USDT 16 to OUTSIDE
    3    bust 1                     | BUSTED 1 16 sell 10 @106 from 17; LIQUIDATION 16 -59; TAKEOVER 16 long 10 @100 cash 1000 in round 1; FUND_SHORT 16 59 in round 1; WRITE_OFF 59 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_fill_of_the_liquidation_can_be_busted(twin):
    """The slice's fee to the fund stays paid. The mark is 94 still: 16 has its 16 lots again, and is closed once more."""
    play(
        twin,
        keeping(liquidation={"stages": stages("takeover", book={"quantity": "all"})}),
        FUNDED
        + """
    0    account 18                 | OPENED 18
    0    deposit 18 USDT 500        | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1 | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2 | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1 fee 1.6; FEE 0.8 USDT 16 to FEES
    1    buy 18 COINUSDT 16 @94 #3  | ACCEPTED 18 buy 16 @94 #3
    2    source coin 94             | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 23.2; FILL BOOK 16 sell 16 @94 from 18 #3 in round 1; FEE 0.752 USDT 18 to FEES in round 1; LIQUIDATION_FEE 15.04 USDT 16 to FUND in round 1; RESTORED 16 8.16 FLAT in round 1
    3    bust 1                     | BUSTED 1 16 sell 16 @94 from 18; FEE_RETURNED 0.752 USDT FEES to 18; LIQUIDATION 16 8.16; CARRIED 16 8.16 in round 1
    """,
    )


def test_a_self_trade_can_be_busted(twin):
    """Only its fees come back: the account has bought from itself."""
    exchange = play(
        twin,
        keeping(),
        FUNDED
        + """
    1    sell 17 COINUSDT 2 @100 #1 | ACCEPTED 17 sell 2 @100 #1
    1    buy 17 COINUSDT 2 @100 #2  | ACCEPTED 17 buy 2 @100 #2; FILL 17 buy 2 @100 from 17 #1 fee 0.2; FEE 0.1 USDT 17 to FEES
    2    bust 0                     | BUSTED 0 17 buy 2 @100 from 17 fee 0.2; FEE_RETURNED 0.1 USDT FEES to 17
    """,
    )
    assert balances(exchange) == balances(play(twin, keeping(), FUNDED))


def test_a_bust_stays_within_the_largest_position(twin):
    """16 sells QTY_MAX lots, then bids for what would take it from nothing to POSITION_MAX: it cannot be given those lots back."""
    lots = units.POSITION_MAX // units.QTY_MAX
    brackets = [{"notional_max": 10**18, "leverage_max": 1, "maintenance_ppm": 1}]
    venue = keeping(market={"fees": {}, "lot": {"decimals": 0}, "brackets": brackets, "leverage_default": 1})
    venue = rules.Venue.model_validate(venue.model_dump(exclude_unset=True) | {"limits": {"fills_kept": 5, "orders_per_account_max": 2_000}})
    exchange = twin(venue, START_NS)
    rows = "0 source coin 1 |\n 0 source usd 1 |\n"
    for account in (16, 17):
        rows += f"0 account {account} |\n 0 deposit {account} USDT {10**13} |\n"
    rows += f"1 buy 16 COINUSDT {units.QTY_MAX} @1 #1 |\n 1 sell 17 COINUSDT {units.QTY_MAX} @1 #2 |\n"
    rows += f"2 sell 16 COINUSDT {units.QTY_MAX} @1 #3 |\n 2 buy 17 COINUSDT {units.QTY_MAX} @1 #4 |\n"
    for n in range(lots):
        rows += f"3 buy 16 COINUSDT {units.QTY_MAX} @0.5 #{10 + n} |\n"
    exchange.run(tape(venue, rows))
    assert sum(o.kind == OutcomeKind.REJECT for o in outcomes_of(exchange.outcomes().tobytes())) == 0
    play_on(exchange, venue, "4 bust 1 | REJECT POSITION_LIMIT")
    play_on(exchange, venue, "4 cancel 16 #10 | CANCELLED 16 buy 1000000000 @0.5 #10 USER")
    play_on(exchange, venue, "4 bust 1 | BUSTED 1 17 buy 1000000000 @1 from 16")


def play_on(exchange, venue: rules.Venue, row: str) -> None:
    """Play one more row on a running exchange."""
    ((_, want),) = rows_of(row)
    assert "; ".join(say(venue, o) for o in outcomes_of(exchange.apply(tape(venue, row)[0]))) == want


def test_without_clearing_a_bust_is_told_and_moves_nothing(twin):
    exchange = play(
        twin,
        keeping(clearing="none"),
        """
    0    sell 17 COINUSDT 3 @100 #1 | ACCEPTED 17 sell 3 @100 #1
    0    buy 16 COINUSDT 2 @100 #2  | ACCEPTED 16 buy 2 @100 #2; FILL 16 buy 2 @100 from 17 #1
    1    bust 0                     | BUSTED 0 16 buy 2 @100 from 17
    1    bust 0                     | REJECT BUSTED_ALREADY
    1    bust 1                     | REJECT UNKNOWN_FILL
    """,
    )
    assert not exchange.state()["balances"] and not exchange.state()["positions"]


# ---- spot


SPOT = """
    0    source coin 100                | ...
    0    source ratio 100               | ...
    0    account 30                     | ...
    0    account 31                     | ...
    0    deposit 30 USDT 1000           | ...
    0    deposit 31 WETH 5              | ...
    1    sell 31 WETHUSDT 5 @100 #1     | ...
    1    buy 30 WETHUSDT 5 @100 #2      | ACCEPTED 30 buy 5 WETHUSDT @100 #2; FILL 30 buy 5 WETHUSDT @100 from 31 #1 fee 0.5; FEE 0.25 USDT 31 to FEES; INDEX WETH 100 of 1; COLLATERAL WETH 100
"""


def spot(fills: int = 9) -> rules.Venue:
    return spot_venue(fees={"taker_ppm": 1_000, "maker_ppm": 500}, limits={"fills_kept": fills})


def test_a_spot_fill_is_delivered_back(twin):
    exchange = play(twin, spot(), SPOT + "2 bust 0 | BUSTED 0 30 buy 5 WETHUSDT @100 from 31 fee 0.5; FEE_RETURNED 0.25 USDT FEES to 31")
    held = {row[:2]: row[2] for row in exchange.state()["balances"] if row[0] >= 16}
    assert held == {(30, 0): 10_000_000, (31, 1): 50_000}
    assert all(row[0] != Chart.FEES for row in exchange.state()["balances"])


@pytest.mark.parametrize(
    "rows",
    [
        """
    2    withdraw 30 WETH 1
    2    bust 0
    2    deposit 30 WETH 1
    2    bust 0
    """,
        """
    -- of the 499.75 that 31 got it needs all: its fee comes back too
    2    withdraw 31 USDT 0.0001
    2    bust 0
    2    deposit 31 USDT 0.0001
    2    bust 0
    """,
    ],
)
def test_who_must_give_back_has_it(twin, rows):
    said = {
        "2    withdraw 30 WETH 1": "WITHDRAWAL 1 WETH 30 to OUTSIDE",
        "2    deposit 30 WETH 1": "DEPOSIT 1 WETH OUTSIDE to 30",
        "2    withdraw 31 USDT 0.0001": "WITHDRAWAL 0.0001 USDT 31 to OUTSIDE",
        "2    deposit 31 USDT 0.0001": "DEPOSIT 0.0001 USDT OUTSIDE to 31",
    }
    answers = iter(["REJECT INSUFFICIENT_BALANCE", "BUSTED 0 30 buy 5 WETHUSDT @100 from 31 fee 0.5; FEE_RETURNED 0.25 USDT FEES to 31"])
    lines = [line.strip() for line in rows.strip().splitlines() if not line.strip().startswith("--")]
    play(twin, spot(), SPOT + "\n".join(f"{line} | {said.get(line) or next(answers)}" for line in lines))


def test_who_gets_back_has_room(twin):
    """31 sells 5 WETH and fills up to BALANCE_MAX: it has no room for them."""
    full = units.int_to_decimal(units.BALANCE_MAX, 4)
    play(
        twin,
        spot(),
        SPOT
        + f"""
    2    deposit 31 WETH {full}         | DEPOSIT {units.BALANCE_MAX // 10**4} WETH OUTSIDE to 31
    2    bust 0                         | REJECT INSUFFICIENT_BALANCE
    2    withdraw 31 WETH 5             | WITHDRAWAL 5 WETH 31 to OUTSIDE
    2    bust 0                         | BUSTED 0 30 buy 5 WETHUSDT @100 from 31 fee 0.5; FEE_RETURNED 0.25 USDT FEES to 31
    """,
    )


# ---- whole runs


def test_gains_equal_losses_and_the_laws_hold(twin):
    venue = keeping()
    table = FILLED + "2 bust 0 |\n 3 source coin 90 |"
    events = tape(venue, table)
    exchange, without = twin(venue, START_NS), twin(venue, START_NS)
    for event in events:
        before = exchange.state()
        laws.check(venue, before, event.tobytes(), exchange.apply(event), exchange.state())
    without.run(events[:-2])
    gains = runs.gains_equal_losses(venue, without.state(), exchange.state(), {0: 10_000})
    assert gains == {(16, 0): 5_000, (17, 0): 10_000, (Chart.FEES, 0): -15_000}


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_snapshot_keeps_the_fills(twin, cut):
    venue = keeping(1)
    events = tape(venue, FILLED + "2 buy 16 COINUSDT 1 @100 #3 |\n 2 sell 17 COINUSDT 1 @100 #4 |\n 3 bust 1 |\n 3 bust 0 |\n 3 bust 1 |")
    whole, first = twin(venue, START_NS), twin(venue, START_NS)
    whole.run(events)
    first.run(events[:cut])
    second = twin.restore(venue, first.snapshot())
    second.run(events[cut:])
    assert (second.digest(), second.state()) == (whole.digest(), whole.state())


# ---- what counts as closed by force

# 16 is long 16 and falls with the coin; 18 bids for 10 and 6 of them: fills 1 and 2 are one slice of the liquidation
LONG = (
    FUNDED
    + """
    0    account 18                 |
    0    deposit 18 USDT 5000       |
    1    buy 16 COINUSDT 16 @100 #1 |
    1    sell 17 COINUSDT 16 @100 #2 |
    1    buy 18 COINUSDT 10 @94 #3  |
    1    buy 18 COINUSDT 6 @94 #4   |
"""
)
STILL = "9 clock |"
CLOSED = "2 source coin 94 |"
UP = CLOSED + "\n 3 source coin 100 |\n"  # so that who gets lots back can carry them
BOTH, FIRST, SECOND = (UP + "\n".join(f"4 bust {n} |" for n in fills) for fills in ((1, 2), (1,), (2,)))
AGAIN = CLOSED + "\n 3 bust 1 |\n 3 bust 2 |\n 8 buy 18 COINUSDT 16 @94 #5 |\n 9 source coin 93.9 |"
AFTER_THE_HORIZON = UP + "30 bust 1 |\n 30 bust 2 |"
HORIZON_NS = START_NS + 20 * units.NS
NAMES = {CLOSED: "closed", STILL: "still", BOTH: "both_busted", FIRST: "first_busted", SECOND: "second_busted"}
NAMES |= {AGAIN: "busted_and_closed_again", AFTER_THE_HORIZON: "busted_after_the_horizon"}


def named(value) -> str | None:
    return NAMES.get(value) if isinstance(value, str) else None


def forcing() -> rules.Venue:
    return keeping(liquidation={"stages": stages("takeover", book={"quantity": "all"})})


def ran(twin, venue: rules.Venue, rows: str):  # noqa: F811
    exchange = twin(venue, START_NS)
    exchange.run(tape(venue, LONG + rows))
    return exchange


def forced_of(exchange, venue: rules.Venue, horizon_ns: int | None = HORIZON_NS) -> Forced:
    return forced_lots(exchange.outcomes(), lambda market, price: venue.value(venue.markets[market], price), horizon_ns)


@pytest.mark.parametrize(
    ("broken", "true", "expected"),
    [
        (CLOSED, CLOSED, {Label.ORGANIC: 16}),
        (CLOSED, STILL, {Label.ERRONEOUS: 16}),
        (BOTH, STILL, {}),
        (BOTH, CLOSED, {Label.MISSED: 16}),
        (BOTH, BOTH, {}),
        (FIRST, STILL, {Label.ERRONEOUS: 6}),
        (FIRST, CLOSED, {Label.ORGANIC: 6, Label.MISSED: 10}),
        (SECOND, CLOSED, {Label.ORGANIC: 10, Label.MISSED: 6}),
        (CLOSED, BOTH, {Label.ERRONEOUS: 16}),
        (CLOSED, FIRST, {Label.ORGANIC: 6, Label.ERRONEOUS: 10}),
        (AGAIN, CLOSED, {Label.LATE: 16}),
        (AGAIN, STILL, {Label.ERRONEOUS: 16}),
        (CLOSED, AGAIN, {Label.PREMATURE: 16}),
        (AFTER_THE_HORIZON, CLOSED, {Label.ORGANIC: 16}),
        (CLOSED, AFTER_THE_HORIZON, {Label.ORGANIC: 16}),
    ],
    ids=named,
)
def test_lots_that_are_given_back_were_not_closed_by_force(twin, broken, true, expected):
    venue = forcing()
    runs = [forced_of(ran(twin, venue, rows), venue) for rows in (broken, true)]
    labels = label(runs[0], runs[1], runs[1], units.NS, HORIZON_NS)
    assert {what: lots for what, (lots, _, _) in labels.totals().items() if lots} == expected


@pytest.mark.parametrize(
    ("rows", "lots", "notional", "fee"),
    [
        # the slice pays 1 % of 16 x 94 at first: what busted lots paid of it is nobody's, and stays with the fund
        (CLOSED, [10, 6], "1504", "15.04"),
        (FIRST, [6], "564", "5.64"),
        (SECOND, [10], "940", "9.4"),
        (BOTH, [], "0", "0"),
        (AGAIN, [16], "1504", "8.16"),  # it has 8.16 left for the second fee
    ],
    ids=named,
)
def test_all_who_count_forced_lots_count_the_same(twin, rows, lots, notional, fee):
    venue = forcing()
    exchange = ran(twin, venue, rows)
    forced, sums = forced_of(exchange, venue, None), account_sums(exchange.outcomes(), venue, exchange.state())
    at_price = close_sums(venue, SimpleNamespace(outcomes=exchange.outcomes()))
    assert forced.lots.tolist() == lots
    assert sum(forced.fee) == units.decimal_to_int(fee, 4)
    assert sums[16].lots == sum(lots)
    assert sums[16].notional == sum(n * value for n, value in zip(forced.lots.tolist(), forced.value))
    assert at_price == ({"book": units.decimal_to_int(notional, 4)} if lots else {})
    assert sums[16].episodes and sums[16].harmed  # it was in liquidation all the same
    assert sum(len(row) for row in (forced.cash, forced.fee, forced.value)) == 3 * len(lots)


@pytest.mark.parametrize(
    ("broken", "true", "expected"),
    [
        (CLOSED, STILL, {Cause.DIRECT: 16}),
        (FIRST, STILL, {Cause.DIRECT: 6}),
        (FIRST, CLOSED, {Cause.MARKET: 6}),
        (BOTH, STILL, {}),
        (CLOSED, FIRST, {Cause.MARKET: 6, Cause.INDUCED: 10}),
        # a lot closed again is judged at the trigger of its second close
        (AGAIN, STILL, {Cause.DIRECT: 16}),
    ],
    ids=named,
)
def test_lots_that_are_given_back_have_no_cause(twin, broken, true, expected):
    venue = forcing()
    one, other = (ran(twin, venue, rows) for rows in (broken, true))
    forced, true_forced = (forced_of(exchange, venue) for exchange in (one, other))
    labels = label(forced, true_forced, true_forced, units.NS, HORIZON_NS)
    events = tape(venue, LONG + broken)
    causes = judge(venue, events, one.outcomes(), one.state(), forced, other.outcomes(), {}, labels)
    assert {cause: lots for cause, (lots, _, _) in causes.totals(labels).items() if lots} == expected


SOLD = (
    SPOT
    + """
    1    account 16                     | ...
    1    deposit 16 WETH 2              | ...
    1    sell 16 COINUSDT 10 @100 #3    | ...
    1    deposit 31 USDT 5000           | ...
    1    buy 31 COINUSDT 10 @100 #4     | ...
    1    buy 30 WETHUSDT 1 @100 #5      | ...
    1    buy 30 WETHUSDT 1 @90 #6       | ...
    1    sell 31 COINUSDT 10 @120 #7    | ...
    2    source coin 119                | INDEX COIN 119 of 1; MARK COINUSDT 119; LIQUIDATION 16 10; FILL BOOK 16 buy 10 COINUSDT @120 from 31 #7 in round 1; FILL CONVERT 16 sell 1 WETHUSDT @100 from 30 #5 in round 1; FEE 0.05 USDT 30 to FEES in round 1; FILL CONVERT 16 sell 1 WETHUSDT @90 from 30 #6 in round 1; FEE 0.045 USDT 30 to FEES in round 1; FUND_SHORT 16 10 in round 1; WRITE_OFF 10 USDT BAD_DEBT to 16 in round 1; INDEX WETH 90 of 1 in round 1; COLLATERAL WETH 90 in round 1; RESTORED 16 0 FLAT in round 1
    3    bust 3                         | REJECT INSUFFICIENT_BALANCE
    3    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16
    3    bust 3                         | BUSTED 3 16 sell 1 WETHUSDT @100 from 30; FEE_RETURNED 0.05 USDT FEES to 30
"""
)


def test_collateral_that_is_given_back_was_not_sold(twin):
    """A sale of the liquidation can be busted when the account has the cash again; the other one of the slice stands."""
    venue = spot()
    outcomes = play(twin, venue, SOLD).outcomes()
    sold = lambda horizon_ns: [(c.account, c.quantity, c.cash) for c in conversions(outcomes, venue, horizon_ns)]  # noqa: E731
    assert sold(None) == [(16, 10_000, 900_000)]
    assert sold(START_NS + 2 * units.NS) == [(16, 10_000, 1_000_000), (16, 10_000, 900_000)]


def test_a_bust_without_its_fill_is_our_own_fault():
    """A run cut off in front has other numbers of fills."""
    venue = forcing()
    outcomes = ran(twin_class("model"), venue, BOTH).outcomes()
    fills = np.flatnonzero(outcomes["kind"] == OutcomeKind.FILL)
    with pytest.raises(AssertionError, match="a bust of a fill that these outcomes do not have"):
        undone(np.delete(outcomes, fills[0]))
    with pytest.raises(AssertionError, match="a bust and its fill differ in account"):
        undone(np.delete(np.insert(outcomes, fills[0], outcomes[fills[0]]), fills[0] + 2))
