"""Each law can fail: with the planted bug of its number an ordinary tape breaks it at a named event, and without it none breaks.

A row is an event; the one that must be named carries the law's name in the right column.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from fuzz.mutants import MUTANTS, plant
from fuzz.strategies import Case as Tape
from fuzz.strategies import sample
from fuzz.twin import Lockstep, restore, start, twin_class
from specs import laws, pairs, units
from specs.errors import LawBroken, TwinsDiffer
from specs.lawbook import runs
from specs.model.exchange import Exchange
from specs.rules import Venue
from specs.scene import Case, event_of, outcomes_of
from specs.tape import DECISIONS, SEAM_ANY, Chart, EventKind, Flag, OutcomeKind, Reason, Seam, SeamKind
from tests.twins import PLANTABLE, START_NS, index, rows_of, seam_row, small_venue, stages, tape

FUNDED = """
    0    source coin 100            |
    0    source usd 1               |
    0    account 16                 |
    0    account 17                 |
    0    deposit 16 USDT 120        |
    0    deposit 17 USDT 120        |
"""
TRADED = (
    FUNDED
    + """
    1    buy 16 COINUSDT 16 @100 #1     |
    1    sell 17 COINUSDT 16 @100 #2    |
"""
)
FEES = {"fees": {"taker_ppm": 500, "maker_ppm": 200, "liquidation_ppm": 10_000}}
SOLD = (  # somebody bids for all that is closed
    TRADED
    + """
    1    deposit 17 USDT 1000           |
    1    buy 17 COINUSDT 16 @93 #3      |
    2    source coin 94                 | L10
"""
)
COIN = {"kind": "source", "name": "coin"}
SOLD_ALL = {"bound": {"kind": "mark", "ppm": 50_000}, "quantity": "all"}
HALF_AT_ONCE = {"initial_ppm": 500_000, "duration_ns": 10**10}
GROWING = {"every_ns": 10**9, "ppm": 500, "max_ppm": 30_000}
QUARTER = {"kind": "share", "share_ppm": 250_000}
TWO_MARKETS = (
    FUNDED
    + """
    0    source coin2 100               |
    0    deposit 16 USDT 60             |
    0    deposit 17 USDT 1000           |
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    1    buy 16 COINTWO 6 @100 #3       |
    1    sell 17 COINTWO 6 @100 #4      |
    1    buy 17 COINUSDT 1 @87 #5       |
    1    buy 17 COINTWO 1 @96 #6        |
    2    source coin 88                 | L10
"""
)


def market_row(name: str, maintenance_ppm: int) -> dict:
    return {
        "name": name,
        "settles_in": "USDT",
        "index": name,
        "mark": {"kind": "index"},
        "price_decimals": 2,
        "tick_size": 5,
        "lot": {"decimals": 0},
        "leverage_default": 10,
        "brackets": [{"notional_max": 20_000, "leverage_max": 10, "maintenance_ppm": maintenance_ppm}],
    }


TIGHTER = {
    "name": "tighter",
    "market": "COINUSDT",
    "brackets": [{"notional_max": 4_000, "leverage_max": 10, "maintenance_ppm": 80_000}],
}
QUOTER = {
    "account": 16,
    "market": "COINUSDT",
    "levels": 2,
    "half_spread_ppm": 1_000,
    "step_ppm": 5_000,
    "lots": 1,
    "refill_ns": 1_000_000_000,
}


BELOW_ZERO = [
    index("COIN", {"kind": "source", "name": "coin"}, prices="signed"),
    index("USD", {"kind": "source", "name": "usd"}),
]


@dataclass(frozen=True)
class Broken:
    """What breaks a law: a tape, on a rule book."""

    law: str
    story: str
    table: str
    venue: Venue = field(default_factory=small_venue)
    planted: int = 0  # the bug; 0: that of the law's number

    @property
    def bug(self) -> int:
        return self.planted or int(self.law[1:])

    @property
    def event(self) -> int:
        """The number of the row that carries the law's name."""
        (number,) = (n for n, (_, marks) in enumerate(rows_of(self.table)) if marks == self.law)
        return number


CASES = [
    Broken(
        "L1",
        "the seller of a fill gets one lot less taken away",
        FUNDED
        + """
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    | L1
        """,
    ),
    Broken(
        "L2",
        "the taker's fee reaches nobody",
        FUNDED
        + """
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    | L2
        """,
        small_venue(market=FEES),
    ),
    Broken(
        "L3",
        "an offer at the bid rests beside it",
        FUNDED
        + """
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    | L3
        """,
    ),
    Broken(
        "L4",
        "who comes second trades first",
        FUNDED
        + """
        1    buy 16 COINUSDT 5 @100 #1      |
        1    buy 17 COINUSDT 5 @100 #2      | L4
        1    sell 17 COINUSDT 2 @100 #3     |
        """,
    ),
    Broken(
        "L5",
        "a seller gets one tick less than he asked for",
        FUNDED
        + """
        1    buy 16 COINUSDT 5 @100 #1      |
        1    sell 17 COINUSDT 5 @100.05 #2  | L5
        """,
    ),
    Broken(
        "L6",
        "16 lots need 80 of initial margin, 30 lots 300",
        FUNDED
        + """
        1    buy 16 COINUSDT 16 @100 #1     |
        1    buy 16 COINUSDT 14 @100 #2     | L6
        """,
    ),
    Broken(
        "L7",
        "at 97 equity is 72 and maintenance 38.8: safe, but not at twice the maintenance",
        TRADED
        + """
        2    source coin 97                 | L7
        """,
    ),
    Broken(
        "L8",
        "the backstop takes 17 lots of a position of 16",
        TRADED
        + """
        2    source coin 93                 | L8
        """,
    ),
    Broken(
        "L9",
        "a fund of 1 pays a shortfall of 40",
        TRADED
        + """
        2    source coin 90                 | L9
        """,
        small_venue(fund={"capital": 1}),
    ),
    Broken(
        "L10",
        "the fund pays what 200 USD of collateral would have paid",
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    deposit 16 USD 200             |
        0    deposit 17 USDT 120            |
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        2    source coin 89                 | L10
        """,
        small_venue(fund={"capital": 1_000}),
    ),
    Broken(
        "L11",
        "18 has won as much as 17 on a quarter of the margin, and 17 has the lower id",
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    account 18                     |
        0    account 19                     |
        0    deposit 16 USDT 75             |
        0    deposit 17 USDT 240            |
        0    deposit 18 USDT 60             |
        0    deposit 19 USDT 900            |
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    |
        1    buy 19 COINUSDT 10 @100 #3     |
        1    sell 18 COINUSDT 10 @100 #4    |
        2    source coin 94                 | L11
        """,
        small_venue(liquidation={"stages": stages("takeover", adl={})}),
    ),
    Broken(
        "L12",
        "16 lots vanish on their way to the backstop",
        TRADED
        + """
        2    source coin 93                 | L12
        """,
    ),
    Broken(
        "L15",
        "one round is allowed, the second slice is due, and nobody says so",
        FUNDED
        + """
        0    account 18                     |
        0    deposit 18 USDT 500            |
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        1    buy 18 COINUSDT 3 @93 #3       |
        2    source coin 93                 | L15
        """,
        small_venue(limits={"rounds_max": 1}, liquidation={"stages": stages("takeover")}),
    ),
    Broken(
        "L16",
        "a cancelled bid keeps its margin",
        FUNDED
        + """
        1    buy 16 COINUSDT 5 @99 #1       |
        1    cancel 16 #1                   | L16
        """,
    ),
    Broken(
        "L17",
        "3.333 units a lot and interval: 4, then 3; who rounds each interval pays 4 again",
        FUNDED
        + """
        1    buy 16 COINUSDT 1 @100 #1      |
        1    sell 17 COINUSDT 1 @100 #2     |
        30   clock                          |
        90   clock                          | L17
        """,
        small_venue(market={"funding": {"every_ns": 60_000_000_000, "interest_ppb": 3_333, "damp_ppb": 10_000}}),
    ),
    Broken(
        "L19",
        "the price falls to 93 and nobody looks at who did nothing",
        TRADED
        + """
        2    source coin 93                 | L19
        """,
    ),
    Broken(
        "L21",
        "no price, so the last one stands: it may not liquidate, and collateral that falls makes it due",
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    deposit 16 USD 120             |
        0    deposit 17 USDT 120            |
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        2    source coin missing            |
        2    source usd 0.3                 | L21
        """,
        small_venue(grades={"too_few_sources": {"liquidate": "defer"}}),
    ),
    Broken(
        "L22",
        "10 lots are offered to close 10, then 4 of the 10 are sold",
        FUNDED
        + """
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    |
        2    sell 16 COINUSDT 10 @105 reduce #3 |
        3    buy 17 COINUSDT 4 @100 #4      |
        3    sell 16 COINUSDT 4 @100 #5     | L22
        """,
    ),
    Broken(
        "L23",
        "18 buys what 16 is made to sell, and pays for it that 16 was liquidated",
        FUNDED
        + """
        0    account 18                     |
        0    deposit 18 USDT 500            |
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        1    buy 18 COINUSDT 16 @93 #3      |
        2    source coin 94                 | L23
        """,
        small_venue(market={"fees": {"liquidation_ppm": 10_000}}),
    ),
    Broken(
        "L24",
        "5 lots are offered, a FOK order for 6 takes them",
        FUNDED
        + """
        1    sell 17 COINUSDT 5 @100 #1     |
        1    buy 16 COINUSDT 6 @100 fok #2  | L24
        """,
    ),
    Broken(
        "L25",
        "an account buys from itself where the market's row forbids it",
        FUNDED
        + """
        1    sell 17 COINUSDT 5 @100 #1     |
        1    buy 17 COINUSDT 5 @100 #2      | L25
        """,
        small_venue(market={"self_trade": {"mode": "cancel_taker"}}),
    ),
    Broken(
        "L26",
        "the mark falls to the trigger of an order that waits for it, and it waits on",
        FUNDED
        + """
        1    stop sell 16 COINUSDT 1 #1 at=99 by=mark  |
        2    source coin 99                 | L26
        """,
    ),
    Broken(
        "L27",
        "nobody buys above 105, a lot is offered at 105.05",
        FUNDED
        + """
        1    sell 17 COINUSDT 1 @105 #1     |
        1    sell 17 COINUSDT 1 @105.05 #2  |
        1    buy 16 COINUSDT 2 @106 #3      | L27
        """,
        small_venue(market={"limit_up_down": {"ppm": 50_000, "pause_ns": 10**10}}),
    ),
    Broken(
        "L28",
        "4 lots trade from 100 to 104, and at 100, the mark, 5 more are left over; above 101 none is",
        FUNDED
        + """
        1    state COINUSDT auction         |
        1    buy 16 COINUSDT 4 @104 #1      |
        1    buy 16 COINUSDT 5 @101 #2      |
        1    sell 17 COINUSDT 4 @99 #3      |
        2    state COINUSDT open            | L28
        """,
    ),
    Broken(
        "L19",
        "with 16 lots at 100 equity is 120, three times the maintenance of 40",
        FUNDED
        + """
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    | L19
        """,
        small_venue(liquidation={"stages": stages(), "levels": [{"name": "call", "at_most": "3"}]}),
        planted=50,
    ),
    Broken(
        "L10",
        "at 94 equity is 24 of 37.6: above a half, and the backstop waits",
        TRADED
        + """
        2    source coin 94                 | L10
        """,
        small_venue(liquidation={"stages": stages("book", takeover={"enter": {"below": "1/2"}})}),
        planted=51,
    ),
    Broken(
        "L10",
        "a vault without a unit of money takes over what needs 75.2 of margin, 24 of them paid by the price",
        TRADED
        + """
        1    account 18                     |
        2    source coin 94                 | L10
        """,
        small_venue(liquidation={"stages": stages("book", takeover={"vault": {"account": 18}})}),
        planted=78,
    ),
    Broken(
        "L29",
        "at 88 the long is taken over; when the market ends the backstop keeps its lots, and the short is paid by nobody",
        TRADED
        + """
        2    source coin 88                 |
        3    delist COINUSDT                | L29
        """,
        small_venue(market={"settlement": {}}, liquidation={"stages": stages("book")}),
        planted=67,
    ),
    Broken(
        "L29",
        "the last trade, 100, and the index, 101: their median with a basis is the mark, not the price of the row",
        TRADED
        + """
        2    buy 16 COINUSDT 1 @100 #3      |
        2    sell 17 COINUSDT 1 @100 #4     |
        2    source coin 101                |
        3    delist COINUSDT                | L29
        """,
        small_venue(market={"settlement": {}, "mark": {"kind": "median"}}),
        planted=68,
    ),
    Broken(
        "L29",
        "an order to buy outlives its market",
        TRADED
        + """
        2    buy 16 COINUSDT 1 @95 #3       |
        3    delist COINUSDT                | L29
        """,
        small_venue(market={"settlement": {}}),
        planted=69,
    ),
    Broken(
        "L10",
        "half of 16 lots may go at once, none of them for longer",
        SOLD,
        small_venue(liquidation={"stages": stages(book=SOLD_ALL | {"time_share": HALF_AT_ONCE})}),
        planted=52,
    ),
    Broken(
        "L10",
        "after 4 of 16 lots the account waits for two seconds, and goes on in the next round if it does not",
        SOLD,
        small_venue(
            liquidation={"stages": stages(book=SOLD_ALL | {"quantity": QUARTER, "cooldown_ns": 2 * 10**9})},
        ),
        planted=53,
    ),
    Broken(
        "L10",
        "a window closes 300 of an account, rounded up to 4 lots; the next round goes on if it forgets them",
        SOLD,
        small_venue(liquidation={"stages": stages(book=SOLD_ALL | {"block_limit": {"window_ns": 10**9, "notional_max": 300}})}),
        planted=73,
    ),
    Broken(
        "L23",
        "four seconds after the episode opened 0.1 % has become 0.3 %",
        TRADED
        + """
        1    deposit 17 USDT 1000           |
        2    source coin 93                 |
        6    buy 17 COINUSDT 16 @93 #3      |
        6    source coin 92.95              | L23
        """,
        small_venue(
            market={"fees": {"liquidation_ppm": 1_000, "liquidation_growth": GROWING}},
            liquidation={"stages": stages("takeover", book=SOLD_ALL)},
        ),
        planted=54,
    ),
    Broken(
        "L10",
        "10 lots of one market have lost 120, 6 of the other nothing; the maintenance of those is the larger one",
        TWO_MARKETS,
        small_venue(
            markets=[market_row("COINUSDT", 25_000), market_row("COINTWO", 100_000)],
            indices=[index("COINUSDT", COIN), index("COINTWO", COIN | {"name": "coin2"}), index("USD", COIN | {"name": "usd"})],
            liquidation={"stages": stages(book=SOLD_ALL | {"choice": "largest_loss"})},
        ),
        planted=55,
    ),
    Broken(
        "L27",
        "10 % of -20 is 2, whatever its sign: a bid of -21 is inside",
        """
        0    source coin -20                |
        0    account 16                     |
        0    deposit 16 USDT 120            |
        1    buy 16 COINUSDT 1 @-21 #1      | L27
        """,
        small_venue(
            market={"price_min": "-90", "band": {"kind": "percent", "up_ppm": 100_000, "down_ppm": 100_000}}, indices=BELOW_ZERO
        ),
        planted=70,
    ),
    Broken(
        "L19",
        "a short of 16 from -30 at -23: 8 are left of 120, of 368 it needs 9.2",
        FUNDED.replace("coin 100", "coin -30")
        + """
        1    sell 16 COINUSDT 16 @-30 #1    |
        1    buy 17 COINUSDT 16 @-30 #2     |
        2    source coin -23                | L19
        """,
        small_venue(market={"price_min": "-90"}, indices=BELOW_ZERO),
        planted=71,
    ),
    Broken(
        "L23",
        "16 lots at -30 are 480, the taker's fee of it 0.24 and the maker's 0.096",
        FUNDED.replace("coin 100", "coin -30")
        + """
        1    sell 16 COINUSDT 16 @-30 #1    |
        1    buy 17 COINUSDT 16 @-30 #2     | L23
        """,
        small_venue(market={"price_min": "-90"} | FEES, indices=BELOW_ZERO),
        planted=72,
    ),
    Broken(
        "L30",
        "a table that holds from 5 on is in force at 2",
        TRADED + "2 change tighter at=5 | L30",
        small_venue(changes=[TIGHTER]),
        planted=62,
    ),
    Broken(
        "L30",
        "17 keeps what was asked before the change, and sells one lot more",
        TRADED
        + """
        2    change tighter                 |
        2    deposit 17 USDT 300            |
        2    deposit 16 USDT 300            |
        2    buy 16 COINUSDT 1 @99 #3       |
        2    sell 17 COINUSDT 1 @99 #4      | L30
        """,
        small_venue(changes=[TIGHTER | {"grandfather": {}}]),
        planted=63,
    ),
    Broken(
        "L19",
        "8 % of 1,600 are 128, both have 120, and nobody looks",
        TRADED + "2 change tighter | L19",
        small_venue(changes=[TIGHTER]),
        planted=64,
    ),
]


def breaches(which: str, bug: int, venue: Venue, events: np.ndarray, seams=()) -> list[LawBroken]:
    """Run a tape event by event and return every breach of every law."""
    exchange, found, armed = start(which, venue, START_NS, seams, bug), [], {row[0] for row in seams}
    before = exchange.state()
    for event in events:
        outcomes = exchange.apply(event)
        after = exchange.state()
        found += laws.breaches(venue, before, event.tobytes(), outcomes, after, armed)
        before = after
    return found


@pytest.mark.parametrize("which", PLANTABLE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.law}-{case.bug}")
def test_a_planted_bug_breaks_its_law(case: Broken, which):
    found = breaches(which, case.bug, case.venue, tape(case.venue, case.table))
    assert case.event in {broken.event for broken in found if broken.law == case.law}, [str(broken) for broken in found]
    assert min(broken.event for broken in found) == case.event  # nothing is reported before the bug acts


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.law}-{case.bug}")
def test_without_the_bug_no_law_is_broken(case: Broken, which):
    assert breaches(which, 0, case.venue, tape(case.venue, case.table)) == []


@pytest.mark.parametrize("which", PLANTABLE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.law}-{case.bug}")
def test_lockstep_alone_kills_every_planted_bug_too(case: Broken, which):
    with pytest.raises(TwinsDiffer) as caught:
        Lockstep(case.venue, START_NS, planted=case.bug, right=which).run(tape(case.venue, case.table), state_every=1)
    assert caught.value.event == case.event


def test_check_raises_and_names_law_and_event():
    case = CASES[0]
    exchange, events = start("model", case.venue, START_NS, (), case.bug), tape(case.venue, case.table)
    exchange.run(events[:-1])
    before, outcomes = exchange.state(), exchange.apply(events[-1])
    with pytest.raises(LawBroken, match="law L1 is broken after event 7: the lots of market 0 sum to 1") as caught:
        laws.check(case.venue, before, events[-1].tobytes(), outcomes, exchange.state())
    assert (caught.value.law, caught.value.event) == ("L1", 7)
    laws.check(case.venue, before, events[-1].tobytes(), outcomes, exchange.state(), names=["L3", "L4"])


# ---- laws of whole runs

REFUSED = (
    TRADED
    + """
    2    leverage 16 COINUSDT 5         | L13
    2    clock                          |
"""
)
QUOTED = (
    FUNDED
    + """
    1    clock                          |
    2    clock                          |
    3    buy 17 COINUSDT 1 market #1    |
"""
)


def _rejects_like_a_clock(which, bug: int):
    venue = small_venue()
    runs.reject_is_clock(lambda: start(which, venue, START_NS, (), bug), tape(venue, REFUSED))


@pytest.mark.parametrize("which", PLANTABLE)
def test_a_refused_leverage_that_stays_breaks_l13(which):
    with pytest.raises(LawBroken, match="law L13 is broken after event 8"):
        _rejects_like_a_clock(which, 13)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_a_reject_is_a_clock(which):
    _rejects_like_a_clock(which, 0)
    for case in sample(6, seed=13, bytes_each=300):
        runs.reject_is_clock(lambda: start(which, case.venue, case.start_ns, case.seams), case.events)  # noqa: B023


def _ends_as_the_whole(which, bug: int):
    venue = small_venue(quoters=[QUOTER])
    events = tape(venue, QUOTED)
    runs.same_input_same_digest(
        lambda: start(which, venue, START_NS, (), bug), lambda blob: restore(which, venue, blob, bug), events, 7
    )


@pytest.mark.parametrize("which", PLANTABLE)
def test_a_snapshot_that_forgets_a_counter_breaks_l14(which):
    with pytest.raises(LawBroken, match="law L14 is broken after event 8: the run restored at 7"):
        _ends_as_the_whole(which, 14)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_whole_chunked_single_and_restored_are_one_run(which):
    _ends_as_the_whole(which, 0)


LOST = """
    2    source coin 90                 |
    3    clock                          |
"""
KEPT = """
    2    source coin 99                 |
    3    clock                          |
"""


def _gains(which, bug: int) -> dict:
    venue, ended = small_venue(liquidation={"stages": stages("fund")}), []
    for table in (KEPT, LOST):
        exchange = start(which, venue, START_NS, (), bug)
        exchange.run(tape(venue, TRADED + table))
        ended.append(exchange.state())
    return runs.gains_equal_losses(venue, *ended)


@pytest.mark.parametrize("which", PLANTABLE)
def test_a_write_off_that_is_booked_nowhere_breaks_l20(which):
    with pytest.raises(
        LawBroken, match="law L20 is broken after event 9: between the two runs the chart gains 400000 of asset 0"
    ):
        _gains(which, 20)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_gains_are_losses(which):
    """At 99 for 99: 16 loses 104 of 120, 40 more become bad debt; the backstop holds 16 lots bought at 90, worth 99."""
    gains = _gains(which, 0)
    assert gains == {(16, 0): -1_040_000, (Chart.BACKSTOP, 0): 1_440_000, (Chart.BAD_DEBT, 0): -400_000}


# ---- L18 and the metamorphic laws: two groups that share nothing


def apart_venue(**changes) -> Venue:
    """Return two perpetuals, each with a source and an index of its own; COIN's accounts and DIRT's never meet."""
    market = {
        "settles_in": "USDT",
        "mark": {"kind": "index"},
        "price_decimals": 2,
        "tick_size": 5,
        "lot": {"decimals": 0},
        "brackets": [{"notional_max": 10_000, "leverage_max": 20, "maintenance_ppm": 25_000}],
    }
    row = {
        "sources": [{"name": name, "price_decimals": 2} for name in ("coin", "dirt", "usd")],
        "indices": [index(name, {"kind": "source", "name": name.lower()}) for name in ("COIN", "DIRT", "USD")],
        "markets": [market | {"name": f"{name}USDT", "index": name} for name in ("COIN", "DIRT")],
        "liquidation": {"stages": stages("takeover", adl={})},
    }
    return small_venue(**row | changes)


APART = """
    0    source coin 100                |
    0    source dirt 100                |
    0    source usd 1                   |
    0    account 16                     |
    0    account 17                     |
    0    account 18                     |
    0    account 19                     |
    0    deposit 16 USDT 120            |
    0    deposit 17 USDT 120            |
    0    deposit 18 USDT 120            |
    0    deposit 19 USDT 120            |
    1    buy 16 COINUSDT 16 @100 #1     |
    1    sell 17 COINUSDT 16 @100 #2    |
    1    buy 18 DIRTUSDT 10 @100 #3     |
    1    sell 19 DIRTUSDT 10 @100 #4    |
    2    source coin 99                 |
    2    source dirt 99                 |
    3    buy 18 DIRTUSDT 2 @98 #5       |
    4    source coin 98                 |
    4    source dirt 98.5               |
    5    sell 19 DIRTUSDT 1 @98 #6      |
"""
FALLS = (seam_row(Seam.SOURCE_READ, 0, 2, 9, SeamKind.SCALE, 900_000),)


def runner(which, bug: int = 0):
    """Return the Run of a twin, with a planted bug if one is named."""

    def run(venue, events, seams):
        exchange = start(which, venue, START_NS, seams, bug)
        exchange.run(events)
        return exchange

    return run


@pytest.mark.parametrize("which", PLANTABLE)
def test_a_row_that_acts_on_every_key_breaks_l18(which):
    venue = apart_venue()
    with pytest.raises(LawBroken, match="law L18 is broken after event 16: a fault reaches what shares nothing with it"):
        pairs.fault_stays_apart(runner(which, 18), venue, tape(venue, APART), FALLS)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_a_fault_leaves_alone_what_shares_nothing_with_it(which):
    """COIN at 89.1 liquidates 16; DIRT, 18 and 19 see nothing of it."""
    venue = apart_venue()
    run, events = runner(which), tape(venue, APART)
    judged = pairs.fault_stays_apart(run, venue, events, FALLS)
    assert judged == {("account", 18), ("account", 19), ("index", 1), ("index", 2), ("market", 1), ("asset", 1)}
    broken = run(venue, events, FALLS).outcomes()
    assert {16} == set(broken["account"][broken["kind"] == OutcomeKind.LIQUIDATION].tolist())


COMMON = {
    "one trades both": ("1 buy 18 COINUSDT 1 @90 #9 |", {}, FALLS),
    "both are liquidated": ("2 source dirt 80 |", {}, FALLS),
    "an index reads both sources": (
        "",
        {
            "indices": [
                index(name, {"kind": "mean", "of": [{"kind": "source", "name": n} for n in ("coin", "dirt", "usd")]})
                for name in ("COIN", "DIRT", "USD")
            ]
        },
        FALLS,
    ),  # fmt: skip
    "every key": ("", {}, [(int(Seam.SOURCE_READ), SEAM_ANY, *FALLS[0][2:])]),
}


@pytest.mark.parametrize("name", COMMON)
def test_who_shares_something_is_not_judged(name):
    more, changes, rows = COMMON[name]
    venue = apart_venue(**changes)
    run, events = runner("model"), tape(venue, APART.replace("    2    source coin 99 ", more + "\n    2    source coin 99 "))
    try:
        judged = pairs.fault_stays_apart(run, venue, events, rows)
    except pairs.Unfit as unfit:
        assert "everything on this tape shares something" in str(unfit)
    else:
        assert not judged & {("account", 18), ("market", 1)}


CARRIED = (
    APART.partition("    2    source coin 99 ")[0]
    + """
    2    source dirt 88                 |
    3    buy 19 DIRTUSDT 5 @88 #7       |
    4    source coin 99.5               |
"""
)


@pytest.mark.parametrize("which", ["model", "engine"])
def test_who_is_carried_is_tried_again_when_any_price_changes(which):
    """18 finds no bid at 2, one at 3, and is sold into it when COIN moves at 4: so COIN's faults are its business too."""
    venue = apart_venue(liquidation={"stages": stages("takeover", book={"bound": {"kind": "mark", "ppm": 100_000}})})
    run, events = runner(which), tape(venue, CARRIED)
    silent = seam_row(Seam.SOURCE_READ, 0, 4, 9, SeamKind.CONST, 10_000)
    sold = []
    for rows in ((), (silent,)):
        outcomes = run(venue, events, rows).outcomes()
        sold.append(int(outcomes["qty"][(outcomes["kind"] == OutcomeKind.FILL) & (outcomes["account"] == 18)].sum()))
    assert sold == [5, 0]
    judged = pairs.fault_stays_apart(run, venue, events, [silent])
    assert not judged & {("account", 18), ("account", 19), ("market", 1)}


def test_a_common_cap_makes_a_pair_unfit():
    """Three lots are sold and more are due, but one round is allowed."""
    venue = apart_venue(limits={"rounds_max": 1}, liquidation={"stages": stages("takeover")})
    events = tape(venue, APART.replace("    2    source coin 99 ", "1 buy 17 COINUSDT 3 @93.90 #9 |\n 2 source coin 99 "))
    with pytest.raises(pairs.Unfit, match="rounds_max stopped a cascade"):
        pairs.fault_stays_apart(runner("model"), venue, events, [(*FALLS[0][:5], 950_000)])


def test_every_seam_says_what_its_key_names():
    assert set(pairs.SEAM_KEYS) == set(Seam)


READS = [seam for seam in Seam if seam not in DECISIONS]
NOTHING = {
    f"{seam.name}-{kind.name}": (int(seam), SEAM_ANY, START_NS, START_NS + 10**15, int(kind), argument)
    for seam in READS
    for kind, argument in ((SeamKind.SCALE, 1_000_000), (SeamKind.RAMP, 0))
}


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("name", NOTHING)
def test_a_fault_without_magnitude_changes_nothing(name, which):
    acted = 0
    for case in sample(8, seed=20, bytes_each=400):
        try:
            acted += pairs.nothing_changes_nothing(runner(which), case.venue, case.events, [NOTHING[name]])
        except pairs.Unfit:
            pass  # this seam is not reached on this tape
    if not name.startswith("ADL_RANK"):  # few tapes come that far: the table of L11 does
        assert acted
    case = next(case for case in CASES if case.law == "L11")
    if name.startswith("ADL_RANK"):
        assert pairs.nothing_changes_nothing(runner(which), case.venue, tape(case.venue, case.table), [NOTHING[name]]) == 2


@pytest.mark.parametrize("price", [-(2**63), 2**63 - 1], ids=["least", "largest"])
@pytest.mark.parametrize("which", ["model", "engine"])
def test_a_fault_without_magnitude_reads_the_extremes_of_a_feed(which, price):
    venue = apart_venue()
    events = tape(venue, f"0 raw kind={int(EventKind.SOURCE)} price={price} |")
    row = (int(Seam.SOURCE_READ), SEAM_ANY, 0, units.TIMES_MAX_NS, int(SeamKind.SCALE), units.PPM)
    assert pairs.nothing_changes_nothing(runner(which), venue, events, [row]) >= 1


def test_a_fault_with_magnitude_is_none_without():
    venue = apart_venue()
    for row in (FALLS[0], (*FALLS[0][:4], int(SeamKind.RAMP), 1), (*FALLS[0][:4], int(SeamKind.HOLD), 0)):
        with pytest.raises(pairs.Unfit, match="has a magnitude"):
            pairs.nothing_changes_nothing(runner("model"), venue, tape(venue, APART), [row])


METAMORPHIC = {
    "duplicates": lambda run, case: pairs.duplicates_do_not_matter(run, case.venue, case.events, 17, [60, 61, 62]),
    "insertion order": lambda run, case: pairs.insertion_order_does_not_matter(
        run, case.venue, case.events, _turned(case), case.seams
    ),
    "relabelling": lambda run, case: pairs.relabelling_does_not_matter(
        run, case.venue, case.events, {n: 3 * n - 30 for n in range(16, 42)}, case.seams
    ),
    "unrelated market": lambda run, case: pairs.unrelated_market_does_not_matter(
        run, case.venue, case.events, (70, 71), 10**10, _moves(case)
    ),
}


def _turned(case) -> list[int]:
    """Return the accounts of the longest stretch of openings, last first; sub-accounts stay last."""
    begin, end = pairs.openings(case.events)
    block = case.events[begin:end]
    below = {int(e["account"]) for e in block if e["flags"] & Flag.HAS_PARENT}
    order = list(dict.fromkeys(block["account"].tolist()))[::-1]
    return [n for n in order if n not in below] + [n for n in order if n in below]


def _moves(case) -> list[tuple[int, int]]:
    """Return prices of the unrelated market: behind the first event after the openings that closes a batch, then now and then."""
    closing = [n for n in range(pairs.openings(case.events)[1], len(case.events)) if not case.events[n]["batch_left"]]
    return [(n, 10_000 + 50 * (i % 7)) for i, n in enumerate(closing[::9])]


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("name", METAMORPHIC)
def test_what_must_not_matter_does_not(name, which):
    judged, run = 0, runner(which)
    for case in sample(40, seed=30, bytes_each=400):
        try:
            METAMORPHIC[name](run, case)
        except pairs.Unfit:
            continue
        judged += 1
    assert judged >= 10, judged


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("name", METAMORPHIC)
def test_what_must_not_matter_does_not_in_a_deleveraging(name, which):
    case = next(case for case in CASES if case.law == "L11")
    METAMORPHIC[name](runner(which), Tape(case.venue, tape(case.venue, case.table), (), START_NS))


# ---- the table of laws


def test_every_law_that_is_built_can_fail():
    of_runs, of_margins = {13, 14, 18, 20}, {40, 41, 42, 43, 44}  # tests/test_margins.py
    assert {case.law for case in CASES} | {f"L{law}" for law in of_runs} == set(laws.LAWS)
    assert {case.bug for case in CASES} | of_runs | of_margins == set(MUTANTS)
    for name, law in laws.LAWS.items():
        assert law.name == name and f"    {name} " in laws.__doc__
        assert law.check is None or law.check.__doc__.startswith(f"{name}. ")


def test_every_bug_is_a_subclass_and_none_is_the_exchange():
    assert plant(Exchange, 0) is Exchange is twin_class("model")
    for bug in MUTANTS:
        assert issubclass(plant(Exchange, bug), Exchange) and plant(Exchange, bug) is not Exchange
    with pytest.raises(KeyError):
        plant(Exchange, 99)


def test_a_law_is_lifted_by_the_seam_it_names():
    """Who forces a trigger closes accounts that are safe: L7 says so unless the seam is armed."""
    venue = small_venue()
    seams = (seam_row(Seam.LIQUIDATION_TRIGGER, 16, 2, 9, SeamKind.FORCE_TRUE),)
    events = tape(venue, TRADED + "2 source coin 99 |")
    assert breaches("model", 0, venue, events, seams) == []
    exchange = start("model", venue, START_NS, seams)
    exchange.run(events[:-1])
    before, outcomes = exchange.state(), exchange.apply(events[-1])
    found = {broken.law for broken in laws.breaches(venue, before, events[-1].tobytes(), outcomes, exchange.state())}
    assert "L7" in found and laws.LAWS["L7"].scope == "unless LIQUIDATION_TRIGGER" and laws.LAWS["L1"].scope == "always"


def test_an_events_own_refusal_is_told_from_a_quoters():
    venue = small_venue(quoters=[QUOTER | {"lots": 100}])
    exchange = start("model", venue, START_NS)
    events = tape(venue, FUNDED + "1 clock |\n 1 buy 16 COINUSDT 1 @100.01 #1 |")
    exchange.run(events[:-2])
    reasons = [Case(None, {}, event_of(e.tobytes()), outcomes_of(exchange.apply(e)), {}).rejected for e in events[-2:]]
    assert reasons == [Reason.NONE, Reason.OFF_TICK]


def test_other_indices_do_not_disturb_the_laws():
    venue = small_venue(
        indices=[index("COIN", {"kind": "source", "name": "coin"}, 1), index("USD", {"kind": "source", "name": "usd"}, 2)]
    )
    assert breaches("model", 0, venue, tape(venue, TRADED.replace("1    ", "3    ") + "5 source coin 80 |\n 9 clock |")) == []
