"""Orders that wait for a price: what fires them, what does not, and what happens then; one table a rule, on both twins.

Prices are around 100, the tick is 0.05, a lot is one coin; accounts are rich, so that margin speaks only where a table is of it.
"""

# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import pytest

from fuzz.twin import Lockstep, restore, start
from specs.lawbook import runs
from specs.scene import outcomes_of
from specs.tape import OutcomeKind, Reason, Seam, SeamKind
from tests import twins
from tests.twins import START_NS, index, seam_row, small_venue, stages, tape, twin, vectors  # noqa: F401

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
    1    buy 17 COINUSDT 1 @100 #101    | ...
    1    sell 18 COINUSDT 1 @100 #102   | ...
"""
"""After it the last price, the mark and the index are 100; 17 is long one lot, 18 short."""
THIN = RICH.replace("deposit 16 USDT 900", "deposit 16 USDT 120")


def play(twin, venue, table: str, seams=()):
    """Run a table on a twin; and once on both in lockstep, with every law after every event."""
    if twin.__module__ == "engine.exchange":
        Lockstep(venue, START_NS, seams).run(tape(venue, table), laws=True)
    return twins.play(twin, venue, table, seams)


def trade(price: str, order_id: int, time: int = 2, lots: int = 1) -> str:
    """Return rows in which 17 buys from 18, so that the last price is `price`."""
    return "".join(
        f"{time} {side} COINUSDT {lots} @{price} #{order_id + n} | ...\n" for n, side in enumerate(("buy 17", "sell 18"))
    )


# ---- what fires them


@pytest.mark.parametrize("by", ["last", "mark", "index"])
@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("kind", ["stop", "takeprofit", "trail"])
def test_fires_at_its_trigger_and_not_before(twin, kind, side, by):
    """Two units away from 100; one tick short of it nothing happens, at the trigger it fires, once."""
    rises = (side == "buy") != (kind == "takeprofit")
    at, short, beyond = ("102", "101.95", "103") if rises else ("98", "98.05", "97")

    def move(price: str, order_id: int) -> str:
        if by == "last":
            return trade(price, order_id).rsplit("|", 1)[0]
        return f"2 source coin {price}"

    if by == "last":
        told = "ACCEPTED 18 sell 1 @{0} #{1}; FILL 18 sell 1 @{0} from 17 #{2}"
    else:
        told = "INDEX COIN {0} of 1; MARK COINUSDT {0}"
    fired = f"TRIGGERED 16 {side} 1 by {at} #1; ACCEPTED 16 {side} 1 @{at} #1"
    distance = "away=2" if kind == "trail" else f"at={at}"
    exchange = play(
        twin,
        small_venue(),
        RICH
        + f"1 {kind} {side} 16 COINUSDT 1 @{at} #1 {distance} by={by} | WAITING 16 {side} 1 for {at} #1\n"
        + f"{move(short, 201)} | {told.format(short, 202, 201)}\n"
        + f"{move(at, 203)} | {told.format(at, 204, 203)}; {fired}\n"
        + "3 cancel 16 #1 | ...\n"
        + f"{move(beyond, 205).replace('2 ', '3 ', 1)} | ...\n",
    )
    assert not exchange.state()["waiting"]
    assert sum(o.kind == OutcomeKind.TRIGGERED for o in outcomes_of(exchange.outcomes().tobytes())) == 1


def test_each_listens_to_its_own_price(twin):
    """The mark is published 10 % above the index; the last price is 100 all the time."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop buy 16 COINUSDT 1 @90 #1 at=105 by=mark   | WAITING 16 buy 1 for 105 #1
        1    stop buy 16 COINUSDT 1 @90 #2 at=105 by=last   | WAITING 16 buy 1 for 105 #2
        1    stop buy 16 COINUSDT 1 @90 #3 at=105 by=index  | WAITING 16 buy 1 for 105 #3
        2    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 111.1; TRIGGERED 16 buy 1 by 111.1 #1; """
        + """ACCEPTED 16 buy 1 @90 #1
        3    source coin 105                | INDEX COIN 105 of 1; MARK COINUSDT 115.5; TRIGGERED 16 buy 1 by 105 #3; """
        + """ACCEPTED 16 buy 1 @90 #3
        4    buy 17 COINUSDT 1 @105 #4      | ACCEPTED 17 buy 1 @105 #4
        4    sell 18 COINUSDT 1 @105 #5     | ACCEPTED 18 sell 1 @105 #5; FILL 18 sell 1 @105 from 17 #4; """
        + """TRIGGERED 16 buy 1 by 105 #2; ACCEPTED 16 buy 1 @90 #2
        """,
        (seam_row(Seam.MARK_PUBLISH, 0, 2, 9, SeamKind.SCALE, 1_100_000),),
    )


def test_fires_at_the_end_of_a_batch_and_not_within(twin):
    """Two legs of one time: the index is never seen at 110, so who waits for 105 does not fire."""
    venue = small_venue(
        indices=[
            index("COIN", {"kind": "mean", "of": [{"kind": "source", "name": "coin"}, {"kind": "source", "name": "coin2"}]}),
            index("USD", {"kind": "source", "name": "usd"}),
        ]
    )
    play(
        twin,
        venue,
        "0 source coin2 100 | ...\n"
        + RICH
        + """
        1    stop buy 16 COINUSDT 1 @90 #1 at=105 by=mark   | WAITING 16 buy 1 for 105 #1
        2    source coin 120 & 1            |
        2    source coin2 80                |
        3    source coin 130                | INDEX COIN 105 of 2; MARK COINUSDT 105; TRIGGERED 16 buy 1 by 105 #1; """
        + """ACCEPTED 16 buy 1 @90 #1
        """,
    )


def test_an_order_that_came_in_a_batch_fires_at_its_end(twin):
    """The last price is 100, 99 when the order comes and 100 again at the end: what it was looked at with has not changed."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        2    buy 17 COINUSDT 1 @99 #1 & 4   | ACCEPTED 17 buy 1 @99 #1
        2    sell 18 COINUSDT 1 @99 #2 & 3  | ACCEPTED 18 sell 1 @99 #2; FILL 18 sell 1 @99 from 17 #1
        2    stop buy 16 COINUSDT 1 @90 #3 at=100 by=last & 2 | WAITING 16 buy 1 for 100 #3
        2    buy 17 COINUSDT 1 @100 #4 & 1  | ACCEPTED 17 buy 1 @100 #4
        2    sell 18 COINUSDT 1 @100 #5     | ACCEPTED 18 sell 1 @100 #5; FILL 18 sell 1 @100 from 17 #4; """
        + """TRIGGERED 16 buy 1 by 100 #3; ACCEPTED 16 buy 1 @90 #3
        """,
    )


# ---- trailing


def test_a_trailing_order_follows_every_trade_and_never_back(twin):
    """18 sweeps up to 104 in one event; the trigger is 102 from then on, and 103 does not move it."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    trail sell 16 COINUSDT 1 @90 #1 away=2 by=last | WAITING 16 sell 1 for 98 #1
        1    sell 17 COINUSDT 1 @102 #2     | ACCEPTED 17 sell 1 @102 #2
        1    sell 17 COINUSDT 1 @104 #3     | ACCEPTED 17 sell 1 @104 #3
        2    buy 18 COINUSDT 2 @104 #4      | ACCEPTED 18 buy 2 @104 #4; FILL 18 buy 1 @102 from 17 #2; """
        + """FILL 18 buy 1 @104 from 17 #3
        """
        + trade("103", 5)
        + """
        2    buy 17 COINUSDT 1 @102.05 #7   | ACCEPTED 17 buy 1 @102.05 #7
        2    sell 18 COINUSDT 1 @102.05 #8  | ACCEPTED 18 sell 1 @102.05 #8; FILL 18 sell 1 @102.05 from 17 #7
        2    buy 17 COINUSDT 1 @102 #9      | ACCEPTED 17 buy 1 @102 #9
        2    sell 18 COINUSDT 1 @102 #10    | ACCEPTED 18 sell 1 @102 #10; FILL 18 sell 1 @102 from 17 #9; """
        + """TRIGGERED 16 sell 1 by 102 #1; ACCEPTED 16 sell 1 @90 #1
        """,
    )


def test_a_best_price_within_a_batch_counts(twin):
    """Trades at 104 and 101.95 in one batch: the best was 104, and at the end of the batch 101.95 fires."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    trail sell 16 COINUSDT 1 @90 #1 away=2 by=last | WAITING 16 sell 1 for 98 #1
        2    buy 17 COINUSDT 1 @104 #2 & 3  | ...
        2    sell 18 COINUSDT 1 @104 #3 & 2 | ...
        2    buy 17 COINUSDT 1 @101.95 #4 & 1 | ...
        2    sell 18 COINUSDT 1 @101.95 #5  | ACCEPTED 18 sell 1 @101.95 #5; FILL 18 sell 1 @101.95 from 17 #4; """
        + """TRIGGERED 16 sell 1 by 101.95 #1; ACCEPTED 16 sell 1 @90 #1
        """,
    )


def test_a_distance_in_ppm_is_rounded_up(twin):
    """10,001 ppm of 100.03 are 1.00040003: 1.01. It fires at 99.02 to sell, at 101.04 to buy, and not one unit before."""
    exchange = play(
        twin,
        small_venue(),
        RICH
        + """
        1    source coin 100.03             | ...
        1    trail sell 16 COINUSDT 1 @90 #1 ppm=10001 by=mark  | WAITING 16 sell 1 for 99.02 #1
        1    trail buy 16 COINUSDT 1 @80 #2 ppm=10001 by=index  | WAITING 16 buy 1 for 101.04 #2
        2    source coin 101.03             | INDEX COIN 101.03 of 1; MARK COINUSDT 101.03
        3    source coin 100.02             | INDEX COIN 100.02 of 1; MARK COINUSDT 100.02
        4    source coin 100.01             | INDEX COIN 100.01 of 1; MARK COINUSDT 100.01; TRIGGERED 16 sell 1 by 100.01 #1; """
        + """ACCEPTED 16 sell 1 @90 #1
        5    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99
        6    source coin 99.99              | INDEX COIN 99.99 of 1; MARK COINUSDT 99.99
        7    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100; TRIGGERED 16 buy 1 by 100 #2; """
        + """ACCEPTED 16 buy 1 @80 #2
        """,
    )
    assert not exchange.state()["waiting"]


def test_a_trailing_order_follows_where_it_may_not_fire(twin):
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    trail sell 16 COINUSDT 1 @90 #1 away=2 by=mark | WAITING 16 sell 1 for 98 #1
        2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
        3    source coin 110                | INDEX COIN 110 of 1; MARK COINUSDT 110
        4    source coin 105                | INDEX COIN 105 of 1; MARK COINUSDT 105
        5    state COINUSDT open            | STATE_SET COINUSDT OPEN; TRIGGERED 16 sell 1 by 105 #1; ACCEPTED 16 sell 1 @90 #1
        """,
    )


# ---- order of entry, cascades

LADDER = """
    1    buy 17 COINUSDT 2 @99 #3       | ...
    1    buy 17 COINUSDT 2 @98 #4       | ...
    1    buy 17 COINUSDT 2 @97 #5       | ...
    1    buy 17 COINUSDT 9 @96 #6       | ...
"""


def test_stops_set_each_other_off(twin):
    play(
        twin,
        small_venue(),
        RICH
        + LADDER
        + """
        1    stop sell 16 COINUSDT 2 #7 at=98 by=last           | WAITING 16 sell 2 for 98 #7
        1    stop sell 19 COINUSDT 2 #8 at=99 by=last           | WAITING 19 sell 2 for 99 #8
        1    stop sell 16 COINUSDT 2 @95 #9 at=97 by=last       | WAITING 16 sell 2 for 97 #9
        1    takeprofit buy 19 COINUSDT 3 @97 #10 at=96 by=last | WAITING 19 buy 3 for 96 #10
        2    sell 18 COINUSDT 2 @99 #12     | ACCEPTED 18 sell 2 @99 #12; FILL 18 sell 2 @99 from 17 #3; """
        + """TRIGGERED 19 sell 2 by 99 #8; ACCEPTED 19 sell 2 @0 #8; FILL 19 sell 2 @98 from 17 #4; """
        + """TRIGGERED 16 sell 2 by 98 #7; ACCEPTED 16 sell 2 @0 #7; FILL 16 sell 2 @97 from 17 #5; """
        + """TRIGGERED 16 sell 2 by 97 #9; ACCEPTED 16 sell 2 @95 #9; FILL 16 sell 2 @96 from 17 #6; """
        + """TRIGGERED 19 buy 3 by 96 #10; ACCEPTED 19 buy 3 @97 #10
        """,
    )


def test_of_two_that_are_due_the_first_to_enter_goes_first_whatever_its_trigger(twin):
    """#7 moves the last price back to 99, at which #8 is no longer due: it waits on."""
    exchange = play(
        twin,
        small_venue(),
        RICH
        + """
        1    sell 17 COINUSDT 5 @101 #1     | ...
        1    takeprofit sell 16 COINUSDT 1 #7 at=101 by=last | WAITING 16 sell 1 for 101 #7
        1    stop buy 19 COINUSDT 1 #8 at=101 by=last        | WAITING 19 buy 1 for 101 #8
        1    buy 18 COINUSDT 1 @99 #2       | ...
        2    buy 18 COINUSDT 1 @101 #3      | ACCEPTED 18 buy 1 @101 #3; FILL 18 buy 1 @101 from 17 #1; """
        + """TRIGGERED 16 sell 1 by 101 #7; ACCEPTED 16 sell 1 @0 #7; FILL 16 sell 1 @99 from 18 #2
        3    buy 18 COINUSDT 1 @101 #4      | ACCEPTED 18 buy 1 @101 #4; FILL 18 buy 1 @101 from 17 #1; """
        + """TRIGGERED 19 buy 1 by 101 #8; ACCEPTED 19 buy 1 @0 #8; FILL 19 buy 1 @101 from 17 #1
        """,
    )
    assert not exchange.state()["waiting"]


def test_order_of_entry_goes_across_markets(twin):
    """#2 of the second market came first, and fires first in the batch that makes both due."""
    venue = small_venue()
    book = venue.model_dump(mode="json", exclude_defaults=True)
    second = book["markets"][0] | {"name": "USDUSDT", "index": "USD"}
    venue = small_venue(markets=[book["markets"][0], second])
    play(
        twin,
        venue,
        RICH
        + """
        1    stop buy 16 USDUSDT 1 @0.5 #2 at=2 by=mark    | WAITING 16 buy 1 USDUSDT for 2 #2
        1    stop buy 16 COINUSDT 1 @90 #1 at=105 by=mark  | WAITING 16 buy 1 COINUSDT for 105 #1
        2    source coin 105 & 1            |
        2    source usd 2                   | INDEX COIN 105 of 1; INDEX USD 2 of 1; MARK COINUSDT 105; MARK USDUSDT 2; """
        + """COLLATERAL USD 2; TRIGGERED 16 buy 1 USDUSDT by 2 #2; ACCEPTED 16 buy 1 USDUSDT @0.5 #2; """
        + """TRIGGERED 16 buy 1 COINUSDT by 105 #1; ACCEPTED 16 buy 1 COINUSDT @90 #1
        """,
    )


OWN_MARK = {"mark": {"kind": "median", "basis_samples": 2, "republish_on_fill": True}}


def test_a_fire_moves_the_mark_and_the_mark_fires_the_next(twin):
    """Index 98, basis 2, last 100: the mark is their median 100; a last price of 99 and then of 97 makes it 99 and 98."""
    play(
        twin,
        small_venue(market=OWN_MARK),
        RICH
        + """
        1    buy 17 COINUSDT 1 @99 #3       | ...
        1    buy 17 COINUSDT 1 @97 #4       | ...
        1    buy 17 COINUSDT 9 @94 #5       | ...
        1    sell 17 COINUSDT 1 @101 #9     | ...
        2    source coin 98                 | INDEX COIN 98 of 1
        3    stop sell 16 COINUSDT 1 #6 at=99 by=last         | WAITING 16 sell 1 for 99 #6
        3    stop sell 19 COINUSDT 1 #7 at=98.50 by=mark      | WAITING 19 sell 1 for 98.5 #7
        3    stop sell 19 COINUSDT 1 @80 #10 at=97.95 by=mark | WAITING 19 sell 1 for 97.95 #10
        4    sell 18 COINUSDT 1 @99 #8      | ACCEPTED 18 sell 1 @99 #8; FILL 18 sell 1 @99 from 17 #3; MARK COINUSDT 99; """
        + """TRIGGERED 16 sell 1 by 99 #6; ACCEPTED 16 sell 1 @0 #6; FILL 16 sell 1 @97 from 17 #4; MARK COINUSDT 98; """
        + """TRIGGERED 19 sell 1 by 98 #7; ACCEPTED 19 sell 1 @0 #7; FILL 19 sell 1 @94 from 17 #5
        """,
    )


LONG = """
    0    source coin 100                | ...
    0    source usd 1                   | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    account 18                     | ...
    0    deposit 16 USDT 120            | ...
    0    deposit 17 USDT 900            | ...
    0    deposit 18 USDT 900            | ...
    1    buy 16 COINUSDT 16 @100 #1     | ...
    1    sell 17 COINUSDT 16 @100 #2    | ...
    1    buy 18 COINUSDT 17 @95 #3      | ...
"""


def test_who_closes_in_time_is_not_liquidated(twin):
    """At 93 equity is 8 and maintenance 37.2; the stop closes at 95 before anybody is selected."""
    play(
        twin,
        small_venue(),
        LONG
        + """
        1    stop sell 16 COINUSDT 0 close #4 at=94 by=mark | WAITING 16 sell 0 for 94 #4
        2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; TRIGGERED 16 sell 0 by 93 #4; """
        + """ACCEPTED 16 sell 16 @0 #4; FILL 16 sell 16 @95 from 18 #3
        """,
    )
    play(twin, small_venue(), LONG + "2 source coin 93 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; "
         "FILL BOOK 16 sell 13 @95 from 18 #3 in round 1; RESTORED 16 34 ABOVE_TARGET in round 1\n")  # fmt: skip


def test_a_slice_fires_who_waits_for_the_last_price_before_the_next_round(twin):
    play(
        twin,
        small_venue(),
        LONG
        + """
        1    stop sell 17 COINUSDT 3 @90 #4 at=95 by=last | WAITING 17 sell 3 for 95 #4
        2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; """
        + """FILL BOOK 16 sell 13 @95 from 18 #3 in round 1; TRIGGERED 17 sell 3 by 95 #4 in round 1; """
        + """ACCEPTED 17 sell 3 @90 #4; FILL 17 sell 3 @95 from 18 #3 in round 1; RESTORED 16 34 ABOVE_TARGET in round 1
        """,
    )


def test_the_last_round_fires_too(twin):
    """rounds_max stops the liquidation, not the orders that its last slice sets off."""
    play(
        twin,
        small_venue(limits={"rounds_max": 1}, liquidation={"stages": stages("takeover")}),
        LONG.replace("buy 18 COINUSDT 17 @95 #3", "buy 18 COINUSDT 3 @93 #3")
        + """
        1    stop buy 17 COINUSDT 1 @50 #5 at=101 by=last      | WAITING 17 buy 1 for 101 #5
        1    stop sell 17 COINUSDT 1 @90 #4 at=93 by=last      | WAITING 17 sell 1 for 93 #4
        2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; """
        + """FILL BOOK 16 sell 3 @93 from 18 #3 in round 1; CARRIED 16 8 in round 1; TRIGGERED 17 sell 1 by 93 #4 in round 1; """
        + """ACCEPTED 17 sell 1 @90 #4; BOUND 1 in round 1
        """,
    )


# ---- at the gate

REFUSALS = {
    "stop buy 16 COINUSDT 1 #1 at=100 by=mark": "WOULD_TRIGGER",
    "stop sell 16 COINUSDT 1 #1 at=100 by=last": "WOULD_TRIGGER",
    "takeprofit buy 16 COINUSDT 1 #1 at=100 by=index": "WOULD_TRIGGER",
    "takeprofit sell 16 COINUSDT 1 #1 at=99.95 by=index": "WOULD_TRIGGER",
    "stop buy 16 COINUSDT 1 #1 at=101": "BAD_TRIGGER",
    "raw kind=16 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=10100 source=4": "BAD_TRIGGER",
    "raw kind=16 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=0xffffffffffffffff source=2": "BAD_TRIGGER",
    "raw kind=16 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=1000000000000005 source=2": "BAD_TRIGGER",
    "raw kind=16 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=10100 source=2 flags=64": "BAD_TRIGGER",
    "stop buy 16 COINUSDT 1 #1 by=mark": "BAD_TRIGGER",
    "stop buy 16 COINUSDT 1 #1 at=101.01 by=mark": "BAD_TRIGGER",
    "trail buy 16 COINUSDT 1 #1 away=0 by=mark": "BAD_TRIGGER",
    "trail sell 16 COINUSDT 1 #1 away=100 by=mark": "BAD_TRIGGER",
    "trail sell 16 COINUSDT 1 #1 ppm=1000000 by=mark": "BAD_TRIGGER",
    "raw kind=18 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=0x8000000000000000 source=2": "BAD_TRIGGER",
    "stop buy 16 COINUSDT 0 #1 at=101 by=mark": "BAD_QTY",
    "stop buy 16 COINUSDT 1 close #1 at=101 by=mark": "BAD_QTY",
    "stop buy 16 COINUSDT 1000000001 #1 at=101 by=mark": "BAD_QTY",
    "stop buy 16 COINUSDT 1 @0 #1 at=101 by=mark": "BAD_PRICE",
    "stop buy 16 COINUSDT 1 @100.01 #1 at=101 by=mark": "OFF_TICK",
    "stop buy 16 COINUSDT 1 @101 gtd #1 at=101 by=mark": "BAD_EXPIRY",
    "stop buy 16 COINUSDT 1 #1 at=101 by=mark until=9": "BAD_EXPIRY",
    "stop buy 16 COINUSDT 1 #1 at=101 by=mark own=allow": "BAD_SELF_TRADE",
    "stop buy 99 COINUSDT 1 #1 at=101 by=mark": "UNKNOWN_ACCOUNT",
    "stop buy 16 7 1 #1 at=101 by=mark": "UNKNOWN_MARKET",
    "stop buy 16 COINUSDT 1 #100 at=101 by=mark": "DUPLICATE_ORDER_ID",
    "raw kind=16 account=16 ref_id=1 side=3 tif=4 qty=1 amount_lo=10100 source=2": "BAD_SIDE",
    "raw kind=16 account=16 ref_id=1 side=1 tif=9 qty=1 amount_lo=10100 source=2": "BAD_TIF",
    "raw kind=16 account=16 ref_id=1 side=1 tif=4 qty=1 amount_lo=10100 source=2 leg=1": "BAD_LEG",
    "raw kind=16 account=16 ref_id=0x8000000000000001 side=1 tif=4 qty=1 amount_lo=10100 source=2": "BAD_ORDER_ID",
}


@pytest.mark.parametrize(("event", "reason"), REFUSALS.items())
def test_refused_at_the_gate_and_nothing_changed(event, reason):
    """A refusal leaves the state of a CLOCK, in both twins (L13)."""
    table = RICH + f"1 buy 17 COINUSDT 1 @50 #100 | ...\n1 {event} | REJECT {reason}"
    events = tape(small_venue(), table)
    for which in ("model", "engine"):
        said = start(which, small_venue(), START_NS)
        said.run(events)
        assert [o.reason for o in outcomes_of(said.outcomes().tobytes())][-1] == Reason[reason]
        runs.reject_is_clock(lambda: start(which, small_venue(), START_NS), events)  # noqa: B023


def test_a_price_that_never_was_is_waited_for_by_nobody(twin):
    play(
        twin,
        small_venue(),
        """
        0    account 16                     | OPENED 16
        0    stop buy 16 COINUSDT 1 #1 at=101 by=last           | REJECT NO_TRIGGER_PRICE
        0    stop buy 16 COINUSDT 1 #1 at=101 by=mark           | REJECT NO_TRIGGER_PRICE
        0    trail sell 16 COINUSDT 1 #1 away=1 by=index        | REJECT NO_TRIGGER_PRICE
        0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
        0    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
        0    stop buy 16 COINUSDT 1 #1 at=101 by=last           | REJECT NO_TRIGGER_PRICE
        0    stop buy 16 COINUSDT 1 #1 at=101 by=mark           | WAITING 16 buy 1 for 101 #1
        0    stop buy 16 COINUSDT 1 #2 at=100 by=index          | REJECT WOULD_TRIGGER
        """,
    )


def test_protect_needs_a_mark(twin):
    """Without clearing there is a last price before there is a mark."""
    play(
        twin,
        small_venue(clearing="none"),
        """
        0    buy 16 COINUSDT 1 @100 #1      | ...
        0    sell 17 COINUSDT 1 @100 #2     | ...
        0    stop buy 16 COINUSDT 1 @99 #3 at=101 by=last protect | REJECT NO_TRIGGER_PRICE
        0    stop buy 16 COINUSDT 1 @99 #3 at=101 by=last       | WAITING 16 buy 1 for 101 #3
        """,
    )


def test_nothing_is_reserved_and_margin_is_judged_when_it_fires(twin):
    """120 carry no 60 lots; nobody asks until the order fires."""
    exchange = play(
        twin,
        small_venue(),
        THIN
        + """
        1    stop buy 16 COINUSDT 60 @101 #1 at=101 by=mark     | WAITING 16 buy 60 for 101 #1
        1    stop buy 16 COINUSDT 60 @101 #2 at=102 by=mark     | WAITING 16 buy 60 for 102 #2
        1    withdraw 16 USDT 20            | WITHDRAWAL 20 USDT 16 to OUTSIDE
        2    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101; TRIGGERED 16 buy 60 by 101 #1; """
        + """CANCELLED 16 buy 60 @101 #1 INSUFFICIENT_MARGIN
        """,
    )
    assert not exchange.state()["reserved"] and [row[1] for row in exchange.state()["waiting"]] == [2]


def test_waiting_orders_count_as_orders(twin):
    play(
        twin,
        small_venue(limits={"orders_per_account_max": 2, "orders_max": 3}),
        RICH
        + """
        1    stop buy 16 COINUSDT 1 #1 at=101 by=mark   | WAITING 16 buy 1 for 101 #1
        1    buy 16 COINUSDT 1 @90 #2                   | ACCEPTED 16 buy 1 @90 #2
        1    stop buy 16 COINUSDT 1 #3 at=101 by=mark   | REJECT TOO_MANY_ORDERS
        1    buy 16 COINUSDT 1 @90 #3                   | REJECT TOO_MANY_ORDERS
        1    stop buy 17 COINUSDT 1 #4 at=101 by=mark   | WAITING 17 buy 1 for 101 #4
        1    buy 17 COINUSDT 1 @90 #5                   | REJECT BOOK_FULL
        1    stop buy 18 COINUSDT 1 #5 at=101 by=mark   | REJECT BOOK_FULL
        2    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101; TRIGGERED 16 buy 1 by 101 #1; """
        + """ACCEPTED 16 buy 1 @0 #1; CANCELLED 16 buy 1 @0 #1 IOC_REMAINDER; TRIGGERED 17 buy 1 by 101 #4; """
        + """ACCEPTED 17 buy 1 @0 #4; CANCELLED 17 buy 1 @0 #4 IOC_REMAINDER
        2    stop buy 16 COINUSDT 1 #3 at=102 by=mark   | WAITING 16 buy 1 for 102 #3
        """,
    )


# ---- what an order does when it has fired


def test_every_tif_fires_as_the_order_that_it_is(twin):
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    sell 17 COINUSDT 2 @101 #1     | ...
        1    stop buy 16 COINUSDT 3 @101 fok #2 at=101 by=mark             | WAITING 16 buy 3 for 101 #2
        1    stop buy 16 COINUSDT 1 @101 ioc #3 at=101 by=mark             | WAITING 16 buy 1 for 101 #3
        1    stop buy 16 COINUSDT 1 @101 post #4 at=101 by=mark            | WAITING 16 buy 1 for 101 #4
        1    stop buy 16 COINUSDT 1 @101 reprice #5 at=101 by=mark         | WAITING 16 buy 1 for 101 #5
        1    stop buy 16 COINUSDT 1 @99 gtd until=9 #6 at=101 by=mark      | WAITING 16 buy 1 for 101 #6
        1    stop sell 16 COINUSDT 1 #7 at=99.95 by=mark own=cancel_both   | WAITING 16 sell 1 for 99.95 #7
        2    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101; """
        + """TRIGGERED 16 buy 3 by 101 #2; CANCELLED 16 buy 3 @101 #2 CANNOT_FILL; """
        + """TRIGGERED 16 buy 1 by 101 #3; ACCEPTED 16 buy 1 @101 #3; FILL 16 buy 1 @101 from 17 #1; """
        + """TRIGGERED 16 buy 1 by 101 #4; CANCELLED 16 buy 1 @101 #4 WOULD_CROSS; """
        + """TRIGGERED 16 buy 1 by 101 #5; ACCEPTED 16 buy 1 @100.95 #5; """
        + """TRIGGERED 16 buy 1 by 101 #6; ACCEPTED 16 buy 1 @99 #6
        9    clock                          | CANCELLED 16 buy 1 @99 #6 EXPIRED
        10   source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; TRIGGERED 16 sell 1 by 99 #7; """
        + """ACCEPTED 16 sell 1 @0 #7; CANCELLED 16 buy 1 @100.95 #5 SELF_TRADE; CANCELLED 16 sell 1 @0 #7 SELF_TRADE
        """,
    )


def test_reduce_only_is_cut_to_the_position_that_it_finds(twin):
    """17 is long one lot and waits with three; 16 is flat."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    buy 19 COINUSDT 9 @98 #1       | ...
        1    stop sell 17 COINUSDT 3 reduce #2 at=99 by=mark            | WAITING 17 sell 3 for 99 #2
        1    stop sell 17 COINUSDT 3 @98 reduce #3 at=99 by=mark        | WAITING 17 sell 3 for 99 #3
        1    stop sell 16 COINUSDT 0 close #4 at=99 by=mark             | WAITING 16 sell 0 for 99 #4
        2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; TRIGGERED 17 sell 3 by 99 #2; """
        + """ACCEPTED 17 sell 1 @0 #2; FILL 17 sell 1 @98 from 19 #1; TRIGGERED 17 sell 3 by 99 #3; """
        + """CANCELLED 17 sell 3 @98 #3 NOT_REDUCING; TRIGGERED 16 sell 0 by 99 #4; CANCELLED 16 sell 0 @0 #4 NOT_REDUCING
        """,
    )


def test_reduce_only_orders_that_wait_are_not_trimmed_and_rest_as_such_once_fired(twin):
    """17 buys 4 more and sells them: what waits keeps its 5 lots. Fired it rests for 5 and is cut as the position shrinks."""
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop sell 17 COINUSDT 5 @105 reduce #1 at=99 by=mark | WAITING 17 sell 5 for 99 #1
        1    sell 18 COINUSDT 4 @100 #2     | ...
        1    buy 17 COINUSDT 4 @100 #3      | ACCEPTED 17 buy 4 @100 #3; FILL 17 buy 4 @100 from 18 #2
        1    buy 18 COINUSDT 1 @100 #4      | ...
        1    sell 17 COINUSDT 1 @100 #5     | ACCEPTED 17 sell 1 @100 #5; FILL 17 sell 1 @100 from 18 #4
        2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; TRIGGERED 17 sell 5 by 99 #1; """
        + """ACCEPTED 17 sell 4 @105 #1
        2    buy 18 COINUSDT 1 @99 #6       | ...
        2    sell 17 COINUSDT 1 @99 #7      | ACCEPTED 17 sell 1 @99 #7; FILL 17 sell 1 @99 from 18 #6; """
        + """CANCELLED 17 sell 1 @105 #1 REDUCE_ONLY
        """,
    )


def test_close_only_takes_the_position_that_it_finds_up_to_the_largest_order(twin):
    play(
        twin,
        small_venue(market={"limits": {"qty_max": 4}}),
        RICH
        + """
        1    stop sell 17 COINUSDT 0 @90 close #1 at=99 by=mark | WAITING 17 sell 0 for 99 #1
        """
        + trade("100", 2, 1, 4)
        + trade("100", 4, 1, 2)
        + """
        2    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; TRIGGERED 17 sell 0 by 99 #1; """
        + """ACCEPTED 17 sell 4 @90 #1
        """,
    )


# ---- rows that hold it back


@pytest.mark.parametrize("by", ["last", "mark", "index"])
def test_a_state_that_defers_keeps_it_waiting(twin, by):
    """Last, mark and index reach 102 while the market is halted, and it fires as soon as it opens."""
    play(
        twin,
        small_venue(states={"halted": {"trigger": "defer"}}),
        RICH
        + f"1 stop buy 16 COINUSDT 1 @90 #1 at=102 by={by} | WAITING 16 buy 1 for 102 #1\n"
        + "2 state COINUSDT halted | STATE_SET COINUSDT HALTED\n"
        + trade("102", 2)
        + """
        3    source coin 102                | INDEX COIN 102 of 1; MARK COINUSDT 102
        4    state COINUSDT cancel_only     | STATE_SET COINUSDT CANCEL_ONLY
        5    state COINUSDT open            | STATE_SET COINUSDT OPEN; TRIGGERED 16 buy 1 by 102 #1; ACCEPTED 16 buy 1 @90 #1
        """,
    )


@pytest.mark.parametrize(("row", "fires"), [({}, False), ({"trigger": "defer"}, False), ({"trigger": "last_valid"}, True)])
@pytest.mark.parametrize("by", ["last", "mark", "index"])
def test_a_grade_that_defers_keeps_it_waiting_but_for_the_last_price(twin, by, row, fires):
    """A halt held it back; when it ends every price stands at 102 and has no source. The gate asks for a grade of its own."""
    fires = fires or by == "last"
    exchange = play(
        twin,
        small_venue(states={"halted": {"trigger": "defer"}}, grades={"too_few_sources": row}),
        RICH
        + f"1 stop buy 16 COINUSDT 1 @90 #1 at=102 by={by} | WAITING 16 buy 1 for 102 #1\n"
        + "2 state COINUSDT halted | STATE_SET COINUSDT HALTED\n"
        + trade("102", 2)
        + """
        3    source coin 102                | INDEX COIN 102 of 1; MARK COINUSDT 102
        3    source coin missing            | INDEX COIN 102 of 0 TOO_FEW_SOURCES; MARK COINUSDT 102 TOO_FEW_SOURCES
        4    state COINUSDT open            | STATE_SET COINUSDT OPEN"""
        + ("; TRIGGERED 16 buy 1 by 102 #1; CANCELLED 16 buy 1 @90 #1 GRADE_REFUSED" if fires else ""),
    )
    assert len(exchange.state()["waiting"]) == (not fires)


@pytest.mark.parametrize(
    ("state", "plain", "reduce"),
    [
        ("reduce_only", "REJECT MARKET_STATE", "WAITING 17 sell 1 for 99 #2"),
        ("halted", "REJECT MARKET_STATE", "REJECT MARKET_STATE"),
        ("cancel_only", "REJECT MARKET_STATE", "REJECT MARKET_STATE"),
        ("post_only", "WAITING 17 sell 1 for 99 #1", "WAITING 17 sell 1 for 99 #2"),
        ("auction", "WAITING 17 sell 1 for 99 #1", "WAITING 17 sell 1 for 99 #2"),
    ],
)
def test_sent_where_such_an_order_may_be(twin, state, plain, reduce):
    play(
        twin,
        small_venue(),
        RICH
        + f"""
        1    state COINUSDT {state}         | STATE_SET COINUSDT {state.upper()}
        1    stop sell 17 COINUSDT 1 @90 #1 at=99 by=mark           | {plain}
        1    stop sell 17 COINUSDT 1 @90 reduce #2 at=99 by=mark    | {reduce}
        """,
    )


def test_where_only_closing_is_allowed_it_fires_and_is_judged(twin):
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop sell 17 COINUSDT 1 @90 reduce #1 at=99 by=mark | WAITING 17 sell 1 for 99 #1
        1    stop sell 16 COINUSDT 1 @90 #2 at=99 by=mark        | WAITING 16 sell 1 for 99 #2
        2    state COINUSDT reduce_only     | STATE_SET COINUSDT REDUCE_ONLY
        3    source coin 99                 | INDEX COIN 99 of 1; MARK COINUSDT 99; TRIGGERED 17 sell 1 by 99 #1; """
        + """ACCEPTED 17 sell 1 @90 #1; TRIGGERED 16 sell 1 by 99 #2; CANCELLED 16 sell 1 @90 #2 MARKET_STATE
        """,
    )


def test_protect_cancels_where_the_price_is_too_far_from_the_mark(twin):
    """2 % of 100: a last price of 102 fires, 102.05 cancels; without PROTECT it fires."""
    for last, told in (
        ("102", "TRIGGERED 16 buy 1 by 102 #1; ACCEPTED 16 buy 1 @90 #1; TRIGGERED 16 buy 1 by 102 #2; ACCEPTED 16 buy 1 @90 #2"),
        ("102.05", "CANCELLED 16 buy 1 @90 #1 TRIGGER_PROTECTED; TRIGGERED 16 buy 1 by 102.05 #2; ACCEPTED 16 buy 1 @90 #2"),
    ):
        play(
            twin,
            small_venue(market={"trigger_protect_ppm": 20_000}),
            RICH
            + f"""
            1    stop buy 16 COINUSDT 1 @90 #1 at=102 by=last protect | WAITING 16 buy 1 for 102 #1
            1    stop buy 16 COINUSDT 1 @90 #2 at=102 by=last         | WAITING 16 buy 1 for 102 #2
            2    buy 17 COINUSDT 1 @{last} #3   | ...
            2    sell 18 COINUSDT 1 @{last} #4  | ACCEPTED 18 sell 1 @{last} #4; FILL 18 sell 1 @{last} from 17 #3; {told}
            """,
        )


BAND = {"kind": "percent", "up_ppm": 50_000, "down_ppm": 50_000}


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("reject", "CANCELLED 16 buy 2 @107 #2 PRICE_BAND"),
        ("reprice", "ACCEPTED 16 buy 2 @106.05 #2; FILL 16 buy 1 @104 from 17 #1"),
        (
            "clip",
            "ACCEPTED 16 buy 2 @106.05 #2; FILL 16 buy 1 @104 from 17 #1; CANCELLED 16 buy 1 @106.05 #2 PRICE_BAND",
        ),
    ],
)
def test_the_band_is_that_of_the_moment_in_which_it_fires(twin, policy, told):
    play(
        twin,
        small_venue(market={"band": BAND | {"policy": policy}}),
        RICH
        + f"""
        1    sell 17 COINUSDT 1 @104 #1     | ACCEPTED 17 sell 1 @104 #1
        1    stop buy 16 COINUSDT 2 @107 #2 at=101 by=mark | WAITING 16 buy 2 for 101 #2
        2    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101; TRIGGERED 16 buy 2 by 101 #2; {told}
        """,
    )


def test_a_fire_that_pauses_the_market_holds_back_the_next(twin):
    """#3 trades at 104 and asks for 106, beyond the limit: who waits for 104 fires when the pause is over."""
    play(
        twin,
        small_venue(market={"limit_up_down": {"ppm": 50_000, "pause_ns": 10**10}}),
        RICH
        + """
        1    sell 17 COINUSDT 1 @104 #1     | ...
        1    sell 17 COINUSDT 1 @106 #2     | ...
        1    stop buy 16 COINUSDT 2 @107 #3 at=100.50 by=mark | WAITING 16 buy 2 for 100.5 #3
        1    stop buy 16 COINUSDT 1 @90 #4 at=104 by=last     | WAITING 16 buy 1 for 104 #4
        2    source coin 100.50             | INDEX COIN 100.5 of 1; MARK COINUSDT 100.5; TRIGGERED 16 buy 2 by 100.5 #3; """
        + """ACCEPTED 16 buy 2 @107 #3; FILL 16 buy 1 @104 from 17 #1; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; """
        + """CANCELLED 16 buy 1 @107 #3 LIMIT_UP_DOWN
        12   clock                          | STATE_SET COINUSDT OPEN PAUSE_ENDED; TRIGGERED 16 buy 1 by 104 #4; """
        + """ACCEPTED 16 buy 1 @90 #4
        """,
    )


def test_the_price_of_an_auction_is_a_last_price(twin):
    exchange = play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop buy 16 COINUSDT 1 @90 #4 at=102 by=last   | WAITING 16 buy 1 for 102 #4
        1    trail sell 16 COINUSDT 1 @90 #5 away=3 by=last | WAITING 16 sell 1 for 97 #5
        2    state COINUSDT auction         | STATE_SET COINUSDT AUCTION
        2    buy 17 COINUSDT 2 @102 #6      | ACCEPTED 17 buy 2 @102 #6
        2    sell 18 COINUSDT 2 @102 #7     | ACCEPTED 18 sell 2 @102 #7
        3    state COINUSDT open            | UNCROSSED COINUSDT 2 @102 left 0; FILL 17 buy 2 @102 from 18 #7; """
        + """STATE_SET COINUSDT OPEN; TRIGGERED 16 buy 1 by 102 #4; ACCEPTED 16 buy 1 @90 #4
        """,
    )
    assert [row[7] for row in exchange.state()["waiting"]] == [9_900]


# ---- while it waits


def test_amended_it_keeps_its_place(twin):
    exchange = play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop buy 16 COINUSDT 3 @90 #1 at=105 by=mark   | WAITING 16 buy 3 for 105 #1
        1    stop buy 19 COINUSDT 1 @80 #2 at=104 by=mark   | WAITING 19 buy 1 for 104 #2
        1    trail sell 16 COINUSDT 1 #3 away=2 by=mark     | WAITING 16 sell 1 for 98 #3
        1    stop sell 17 COINUSDT 0 close #4 at=90 by=mark | WAITING 17 sell 0 for 90 #4
        2    amend 16 #1 5                  | AMENDED 16 buy 5 @90 #1
        2    amend 16 #1 @91                | AMENDED 16 buy 5 @91 #1
        2    amend 16 #1 at=104             | AMENDED 16 buy 5 @91 #1; WAITING 16 buy 5 for 104 #1
        2    amend 16 #1 @89 4 at=103       | AMENDED 16 buy 4 @89 #1; WAITING 16 buy 4 for 103 #1
        2    amend 16 #1 @89 4 at=103       | REJECT BAD_AMEND
        2    amend 16 #1                    | REJECT BAD_AMEND
        2    amend 16 #1 at=100             | REJECT WOULD_TRIGGER
        2    amend 16 #1 at=103.01          | REJECT BAD_TRIGGER
        2    amend 16 #1 @89.01             | REJECT OFF_TICK
        2    amend 16 #1 -1                 | REJECT BAD_QTY
        2    amend 16 #3 at=97              | REJECT BAD_AMEND
        2    amend 16 #3 @97                | REJECT BAD_PRICE
        2    amend 16 #3 2                  | AMENDED 16 sell 2 @0 #3
        2    amend 17 #4 2                  | REJECT BAD_QTY
        2    amend 17 #1 2                  | REJECT NOT_OWNER
        2    buy 16 COINUSDT 1 @80 #5       | ACCEPTED 16 buy 1 @80 #5
        2    amend 16 #5 at=101             | REJECT BAD_AMEND
        3    source coin 104                | INDEX COIN 104 of 1; MARK COINUSDT 104; TRIGGERED 16 buy 4 by 104 #1; """
        + """ACCEPTED 16 buy 4 @89 #1; TRIGGERED 19 buy 1 by 104 #2; ACCEPTED 19 buy 1 @80 #2
        """,
    )
    assert [(row[1], row[7], row[12]) for row in exchange.state()["waiting"]] == [(3, 10_200, 2), (4, 9_000, 0)]


def test_amended_while_a_row_holds_it_back_it_fires_at_once_when_it_may(twin):
    play(
        twin,
        small_venue(states={"halted": {"trigger": "defer"}}),
        RICH
        + """
        1    stop buy 16 COINUSDT 3 @90 #1 at=105 by=mark   | WAITING 16 buy 3 for 105 #1
        2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
        2    source coin 106                | INDEX COIN 106 of 1; MARK COINUSDT 106
        2    amend 16 #1 @91 2              | AMENDED 16 buy 2 @91 #1
        2    amend 16 #1 at=106             | REJECT WOULD_TRIGGER
        3    state COINUSDT open            | STATE_SET COINUSDT OPEN; TRIGGERED 16 buy 2 by 106 #1; ACCEPTED 16 buy 2 @91 #1
        """,
    )


def test_leaves_as_any_order_does(twin):
    exchange = play(
        twin,
        small_venue(),
        RICH
        + """
        1    stop buy 16 COINUSDT 1 #1 at=105 by=mark               | WAITING 16 buy 1 for 105 #1
        1    stop buy 16 COINUSDT 1 @99 gtd until=5 #2 at=105 by=mark | WAITING 16 buy 1 for 105 #2
        1    stop buy 16 COINUSDT 1 #3 at=105 by=mark               | WAITING 16 buy 1 for 105 #3
        1    stop sell 16 COINUSDT 0 close #4 at=95 by=mark         | WAITING 16 sell 0 for 95 #4
        1    buy 16 COINUSDT 1 @90 #5                               | ACCEPTED 16 buy 1 @90 #5
        1    stop sell 16 COINUSDT 1 #6 at=95 by=mark               | WAITING 16 sell 1 for 95 #6
        2    cancel 17 #1                   | REJECT NOT_OWNER
        2    cancel 16 #1                   | CANCELLED 16 buy 1 @0 #1 USER
        2    cancel 16 #1                   | REJECT UNKNOWN_ORDER
        2    stop buy 16 COINUSDT 2 #1 at=105 by=mark               | WAITING 16 buy 2 for 105 #1
        5    clock                          | CANCELLED 16 buy 1 @99 #2 EXPIRED
        6    masscancel 16 COINUSDT sell    | CANCELLED 16 sell 0 @0 #4 MASS_CANCEL; CANCELLED 16 sell 1 @0 #6 MASS_CANCEL
        7    disconnect 16                  | CANCELLED 16 buy 1 @0 #3 DISCONNECTED; CANCELLED 16 buy 1 @90 #5 DISCONNECTED; """
        + """CANCELLED 16 buy 2 @0 #1 DISCONNECTED
        8    source coin 106                | INDEX COIN 106 of 1; MARK COINUSDT 106
        """,
    )
    state = exchange.state()
    assert not state["waiting"] and not state["orders"] and not state["reserved"] and not state["timers"]


def test_an_order_that_expires_now_does_not_fire(twin):
    """The index is published at 5 by a timer that comes before the expiry at 5: the order leaves, as it was told."""
    venue = small_venue(
        indices=[index("COIN", {"kind": "source", "name": "coin"}, 1), index("USD", {"kind": "source", "name": "usd"}, 1)]
    )
    play(
        twin,
        venue,
        RICH.replace("1    ", "2    ")
        + """
        3    stop buy 16 COINUSDT 1 @99 gtd until=5 #1 at=105 by=mark | WAITING 16 buy 1 for 105 #1
        3    stop buy 16 COINUSDT 1 @99 gtd until=6 #2 at=105 by=mark | WAITING 16 buy 1 for 105 #2
        4    source coin 105                |
        5    clock                          | INDEX COIN 105 of 1; MARK COINUSDT 105; TRIGGERED 16 buy 1 by 105 #2; """
        + """ACCEPTED 16 buy 1 @99 #2; CANCELLED 16 buy 1 @99 #1 EXPIRED
        """,
    )


def test_liquidation_cancels_what_waits(twin):
    """The stop by the last price has not fired: nobody has traded."""
    play(
        twin,
        small_venue(),
        LONG
        + """
        1    stop sell 16 COINUSDT 16 #4 at=90 by=last | WAITING 16 sell 16 for 90 #4
        2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; """
        + """CANCELLED 16 sell 16 @0 #4 LIQUIDATED in round 1; FILL BOOK 16 sell 13 @95 from 18 #3 in round 1; """
        + """RESTORED 16 34 ABOVE_TARGET in round 1
        """,
    )


def test_without_a_cancel_stage_it_fires_into_the_gate_of_an_account_in_liquidation(twin):
    """Nobody bids, so the account stays in liquidation; what it then sends or lets fire is refused."""
    play(
        twin,
        small_venue(liquidation={"stages": stages("cancel", "takeover")}),
        LONG.replace("buy 18 COINUSDT 17 @95 #3", "clock")
        + """
        1    stop sell 16 COINUSDT 16 #4 at=92 by=mark | WAITING 16 sell 16 for 92 #4
        2    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; CARRIED 16 8 in round 1
        2    stop sell 16 COINUSDT 16 #5 at=92 by=mark | REJECT IN_LIQUIDATION
        2    amend 16 #4 15                 | REJECT IN_LIQUIDATION
        3    source coin 92                 | INDEX COIN 92 of 1; MARK COINUSDT 92; TRIGGERED 16 sell 16 by 92 #4; """
        + """CANCELLED 16 sell 16 @0 #4 IN_LIQUIDATION; CARRIED 16 -8 in round 1
        """,
    )


def test_deleveraging_cancels_what_waits_in_that_market(twin):
    """17 is closed against 16: its stop for a position that it no longer has goes with it."""
    exchange = play(
        twin,
        small_venue(liquidation={"stages": stages("takeover", adl={})}),
        LONG.replace("buy 18 COINUSDT 17 @95 #3", "clock")
        + """
        1    stop buy 17 COINUSDT 16 #4 at=110 by=mark | WAITING 17 buy 16 for 110 #4
        2    source coin 93                 | ...
        """,
    )
    told = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.CANCELLED]
    assert [(o.ref_id, Reason(o.reason).name) for o in told] == [(4, "DELEVERAGED")] and not exchange.state()["waiting"]


def test_a_position_does_not_change_its_account_while_an_order_waits_for_it(twin):
    play(
        twin,
        small_venue(),
        RICH
        + """
        1    account 20 owner 17 parent 17  | ...
        1    stop sell 17 COINUSDT 1 reduce #1 at=99 by=mark | WAITING 17 sell 1 for 99 #1
        2    mode 17 20 COINUSDT 50         | REJECT HAS_ORDERS
        2    cancel 17 #1                   | CANCELLED 17 sell 1 @0 #1 USER
        2    mode 17 20 COINUSDT 50         | MOVED 17 to 20 long 1 entry 100; TRANSFER 50 USDT 17 to 20
        """,
    )


def test_a_refill_leaves_what_waits(twin):
    quoter = {
        "account": 16,
        "market": "COINUSDT",
        "levels": 1,
        "half_spread_ppm": 20_000,
        "step_ppm": 0,
        "lots": 1,
        "refill_ns": 10**9,
    }
    exchange = play(
        twin,
        small_venue(quoters=[quoter]),
        RICH
        + """
        1    stop sell 16 COINUSDT 5 #1 at=90 by=mark | WAITING 16 sell 5 for 90 #1
        4    clock                          | ...
        """,
    )
    assert [row[1] for row in exchange.state()["waiting"]] == [1] and len(exchange.state()["orders"]) == 2


# ---- without clearing


def test_a_matching_engine_alone_fires_by_the_last_price(twin):
    play(
        twin,
        small_venue(clearing="none", market={"market_bound_ticks": 1_000}),
        """
        0    buy 16 COINUSDT 1 @100 #1      | ACCEPTED 16 buy 1 @100 #1
        0    sell 17 COINUSDT 1 @100 #2     | ACCEPTED 17 sell 1 @100 #2; FILL 17 sell 1 @100 from 16 #1
        0    stop buy 18 COINUSDT 2 #3 at=101 by=last | WAITING 18 buy 2 for 101 #3
        0    sell 17 COINUSDT 1 @101 #4     | ACCEPTED 17 sell 1 @101 #4
        0    sell 17 COINUSDT 2 @102 #5     | ACCEPTED 17 sell 2 @102 #5
        1    buy 16 COINUSDT 1 @101 #6      | ACCEPTED 16 buy 1 @101 #6; FILL 16 buy 1 @101 from 17 #4; """
        + """TRIGGERED 18 buy 2 by 101 #3; ACCEPTED 18 buy 2 @0 #3; FILL 18 buy 2 @102 from 17 #5
        """,
    )


LIQUIBOOK = """
    0    buy 16 COINUSDT 1 @55 #1       | ...
    0    sell 17 COINUSDT 1 @55 #2      | ...
    0    buy 18 COINUSDT 100 @53 #3     | ...
    0    sell 18 COINUSDT 100 @57 #4    | ...
    0    stop buy 19 COINUSDT 100 #5 at=56 by=last  | WAITING 19 buy 100 for 56 #5
    0    stop sell 19 COINUSDT 100 #6 at=54 by=last | WAITING 19 sell 100 for 54 #6
"""
"""enewhuis/liquibook@2427613, test/unit/ut_stop_orders.cpp, TestStopMarketOrdersTradeWhenStopPriceReached: its figures. A last
price is set there; here two others trade one lot at it. In three parts, as published: to here, the first trigger, the second."""
FIRST = """
    1    buy 16 COINUSDT 1 @56 #7       | ...
    1    sell 17 COINUSDT 1 @56 #8      | ACCEPTED 17 sell 1 @56 #8; FILL 17 sell 1 @56 from 16 #7; """
FIRST += "TRIGGERED 19 buy 100 by 56 #5; ACCEPTED 19 buy 100 @0 #5; FILL 19 buy 100 @57 from 18 #4\n"
SECOND = """
    2    buy 16 COINUSDT 1 @54 #9       | ...
    2    sell 17 COINUSDT 1 @54 #10     | ACCEPTED 17 sell 1 @54 #10; FILL 17 sell 1 @54 from 16 #9; """
SECOND += "TRIGGERED 19 sell 100 by 54 #6; ACCEPTED 19 sell 100 @0 #6; FILL 19 sell 100 @53 from 18 #3\n"
PARTS = {"0148": (LIQUIBOOK, 2, 55), "1348": (LIQUIBOOK + FIRST, 1, 57), "74cf": (LIQUIBOOK + FIRST + SECOND, 0, 53)}


@pytest.mark.parametrize("part", PARTS)
def test_liquibooks_stops_trade_when_their_price_is_reached(twin, part):
    table, waiting, last = PARTS[part]
    state = play(twin, small_venue(clearing="none", market={"market_bound_ticks": 1_000}), table).state()
    assert (len(state["waiting"]), state["marks"][0][7]) == (waiting, last * 100)


@pytest.mark.needs_shared("vectors/stop_script.yaml")
def test_the_tables_above_are_the_published_ones(shared):
    """The figures of the three core vectors: what fires, at which price, and what is left."""
    for vector in (row for row in vectors(shared, "stop_script", "liquibook") if row["core"]):
        table, waiting, last = PARTS[vector["id"].rpartition("-")[2]]
        assert (len(vector["expect"]["waiting"]), vector["expect"]["last_price"]) == (waiting, str(last))
        fills = [(row["price"], row["qty"]) for row in vector["expect"]["fills"]]
        assert all(f"@{price} from" in table and f" {qty} @" in table for price, qty in fills)
        assert len(fills) == table.count("TRIGGERED")


# ---- the whole


def test_what_waits_survives_a_snapshot():
    """Restored between any two rows the rest of the run is the rest of the whole run: lists, trailing prices, free places."""
    venue = small_venue()
    events = tape(venue, RICH + LADDER + """
        1    stop sell 16 COINUSDT 2 #7 at=98 by=last           |
        1    stop sell 19 COINUSDT 0 close #8 at=99 by=last     |
        1    trail sell 16 COINUSDT 1 #9 away=2 by=last         |
        1    stop buy 16 COINUSDT 1 @99 gtd until=3 #10 at=110 by=mark |
        1    cancel 16 #7                   |
        1    stop sell 16 COINUSDT 2 #11 at=98 by=last          |
        2    sell 18 COINUSDT 2 @99 #12     |
        4    sell 18 COINUSDT 2 @97 #13     |
        5    clock                          |
    """)  # fmt: skip
    for which in ("model", "engine"):
        for cut in range(1, len(events)):
            fresh = lambda: start(which, venue, START_NS)  # noqa: B023, E731
            runs.same_input_same_digest(fresh, lambda blob: restore(which, venue, blob), events, cut)  # noqa: B023


def test_nobody_pays_for_it_who_lets_no_order_wait():
    """The engine takes memory for triggers when the first order waits; until then a snapshot has none of it."""
    from engine.exchange import Exchange

    venue = small_venue()
    sizes = []
    for rows in ("2 buy 16 COINUSDT 1 @90 #1 |", "2 stop buy 16 COINUSDT 1 #1 at=110 by=mark |"):
        exchange = Exchange(venue, START_NS)
        exchange.run(tape(venue, RICH + "1 clock |"))
        before = len(exchange.snapshot())
        exchange.run(tape(venue, rows))
        exchange.run(tape(venue, "3 cancel 16 #1 |"))
        sizes.append(len(exchange.snapshot()) - before)
    places = 2  # of the pool: 0 is none, and one order was live at a time
    outcomes = 2 * 80
    assert sizes == [outcomes, outcomes + places * 40]
