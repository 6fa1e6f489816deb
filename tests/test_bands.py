"""Price bands, limits up and down and their pauses, by example, on both twins.

The rule book is tests/twins.py:small_venue: a mark of 100, ticks of 0.05, so that a band of 5 % is from 95 to 105.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from fractions import Fraction

import pytest

from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import MarketState, OutcomeKind, Reason, Seam, SeamKind
from tests.test_convert_to_book import spot
from tests.test_convert_to_book import venue as spot_venue
from tests.test_model_tables import FUNDED, TRADED
from tests.twins import START_NS, index, play, seam_row, small_venue, stages, tape, twin, vectors  # noqa: F401

S = units.NS
FIVE = {"kind": "percent", "up_ppm": 50_000, "down_ppm": 50_000}


def banded(band: dict = {}, **changes) -> rules.Venue:  # noqa: B006  # read only
    return small_venue(market={"band": FIVE | band} | changes.pop("market", {}), **changes)


# ---- policies


def test_an_order_beyond_its_band_is_refused(twin):
    play(
        twin,
        banded(),
        FUNDED
        + """
    1    buy 16 COINUSDT 1 @105.05 #1 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @105 #1  | ACCEPTED 16 buy 1 @105 #1
    1    sell 17 COINUSDT 1 @94.95 ioc #2 | REJECT PRICE_BAND
    1    sell 17 COINUSDT 1 @95 ioc #2 | ACCEPTED 17 sell 1 @95 #2; FILL 17 sell 1 @105 from 16 #1
    -- the other side of the market has no bound
    1    buy 16 COINUSDT 1 @1 #3    | ACCEPTED 16 buy 1 @1 #3
    1    sell 17 COINUSDT 1 @500 #4 | ACCEPTED 17 sell 1 @500 #4
    -- the bounds move with the mark and are rounded inward: 105.0735 and 95.0665
    2    source coin 100.07         | INDEX COIN 100.07 of 1; MARK COINUSDT 100.07
    2    buy 16 COINUSDT 1 @105.1 #5 | REJECT PRICE_BAND
    2    buy 16 COINUSDT 1 @105.05 #5 | ACCEPTED 16 buy 1 @105.05 #5
    2    sell 17 COINUSDT 1 @95.05 #6 | REJECT PRICE_BAND
    2    amend 16 #3 @105.1         | REJECT PRICE_BAND
    2    amend 16 #3 @105.05        | AMENDED 16 buy 1 @105.05 #3 anew
    2    cancel 16 #5               | CANCELLED 16 buy 1 @105.05 #5 USER
    2    cancel 16 #3               | CANCELLED 16 buy 1 @105.05 #3 USER
    2    sell 17 COINUSDT 1 @95.1 #6 | ACCEPTED 17 sell 1 @95.1 #6
    """,
    )


def test_a_band_is_judged_once(twin):
    """What rests stays when the band moves, may fill and be made smaller where it is; to come anew it must be inside."""
    play(
        twin,
        banded(),
        FUNDED
        + """
    1    buy 16 COINUSDT 3 @104 #1  | ACCEPTED 16 buy 3 @104 #1
    2    source coin 90             | INDEX COIN 90 of 1; MARK COINUSDT 90
    3    amend 16 #1 2              | AMENDED 16 buy 2 @104 #1
    3    amend 16 #1 3              | REJECT PRICE_BAND
    3    sell 17 COINUSDT 1 @104 #2 | ACCEPTED 17 sell 1 @104 #2; FILL 17 sell 1 @104 from 16 #1
    """,
    )


def test_an_order_beyond_its_band_takes_the_bound_as_its_price(twin):
    play(
        twin,
        banded({"policy": "reprice"}),
        FUNDED
        + """
    1    buy 16 COINUSDT 2 @110 #1  | ACCEPTED 16 buy 2 @105 #1
    1    sell 17 COINUSDT 1 @90 #2  | ACCEPTED 17 sell 1 @95 #2; FILL 17 sell 1 @105 from 16 #1
    1    cancel 16 #1               | CANCELLED 16 buy 1 @105 #1 USER
    1    sell 17 COINUSDT 1 @106 #3 | ACCEPTED 17 sell 1 @106 #3
    1    sell 17 COINUSDT 1 @105 #4 | ACCEPTED 17 sell 1 @105 #4
    1    buy 16 COINUSDT 2 @106 #5  | ACCEPTED 16 buy 2 @105 #5; FILL 16 buy 1 @105 from 17 #4
    1    cancel 16 #5               | CANCELLED 16 buy 1 @105 #5 USER
    1    sell 17 COINUSDT 1 @104 #6 | ACCEPTED 17 sell 1 @104 #6
    -- at its bound it would take; reprice gets the bound first, then one tick before the best ask
    1    buy 16 COINUSDT 1 @106 post #7 | REJECT WOULD_CROSS
    1    buy 16 COINUSDT 1 @106 reprice #7 | ACCEPTED 16 buy 1 @103.95 #7
    -- FOK counts what is inside the band
    1    buy 16 COINUSDT 2 @106 fok #8 | REJECT CANNOT_FILL
    1    buy 16 COINUSDT 1 @106 fok #8 | ACCEPTED 16 buy 1 @105 #8; FILL 16 buy 1 @104 from 17 #6
    1    buy 16 COINUSDT 1 @106 post #9 | ACCEPTED 16 buy 1 @105 #9
    1    buy 16 COINUSDT 1 @106 gtd until=9 #10 | ACCEPTED 16 buy 1 @105 #10
    1    amend 16 #7 @106           | AMENDED 16 buy 1 @105 #7 anew
    9    clock                      | CANCELLED 16 buy 1 @105 #10 EXPIRED
    """,
    )


def test_an_order_beyond_its_band_is_clipped_to_what_trades_at_once(twin):
    play(
        twin,
        banded({"policy": "clip"}),
        FUNDED
        + """
    1    sell 17 COINUSDT 1 @105 #1 | ACCEPTED 17 sell 1 @105 #1
    1    sell 17 COINUSDT 1 @105.05 #2 | ACCEPTED 17 sell 1 @105.05 #2
    1    buy 16 COINUSDT 3 @106 #3  | ACCEPTED 16 buy 3 @105 #3; FILL 16 buy 1 @105 from 17 #1; CANCELLED 16 buy 2 @105 #3 PRICE_BAND
    1    buy 16 COINUSDT 3 @106 #4  | ACCEPTED 16 buy 3 @105 #4; CANCELLED 16 buy 3 @105 #4 PRICE_BAND
    1    buy 16 COINUSDT 1 @105 #5  | ACCEPTED 16 buy 1 @105 #5
    1    sell 17 COINUSDT 2 @94 fok #6 | REJECT CANNOT_FILL
    1    sell 17 COINUSDT 1 @94 fok #6 | ACCEPTED 17 sell 1 @95 #6; FILL 17 sell 1 @105 from 16 #5
    -- what may only make would come to nothing
    1    buy 16 COINUSDT 1 @106 post #7 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @106 reprice #7 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @104 #8  | ACCEPTED 16 buy 1 @104 #8
    1    amend 16 #8 @110           | AMENDED 16 buy 1 @105 #8 anew; CANCELLED 16 buy 1 @105 #8 PRICE_BAND
    1    buy 16 COINUSDT 1 @104 #9  | ACCEPTED 16 buy 1 @104 #9
    1    sell 17 COINUSDT 2 @104.5 #10 | ACCEPTED 17 sell 2 @104.5 #10
    1    amend 16 #9 @110 3         | AMENDED 16 buy 3 @105 #9 anew; FILL 16 buy 2 @104.5 from 17 #10; CANCELLED 16 buy 1 @105 #9 PRICE_BAND
    -- nor does an auction trade at once
    2    state COINUSDT auction     | STATE_SET COINUSDT AUCTION
    2    buy 16 COINUSDT 1 @106 #11 | REJECT PRICE_BAND
    2    buy 16 COINUSDT 1 @103 #11 | ACCEPTED 16 buy 1 @103 #11
    """,
    )


def test_market_orders_stop_at_the_band(twin):
    """Their own bound is 30 % from the mark, then ten from the best bid."""
    play(
        twin,
        banded(),
        FUNDED
        + """
    1    sell 17 COINUSDT 1 @105 #1 | ACCEPTED 17 sell 1 @105 #1
    1    sell 17 COINUSDT 1 @105.05 #2 | ACCEPTED 17 sell 1 @105.05 #2
    1    buy 16 COINUSDT 2 market #3 | ACCEPTED 16 buy 2 @0 #3; FILL 16 buy 1 @105 from 17 #1; CANCELLED 16 buy 1 @0 #3 IOC_REMAINDER
    1    buy 16 COINUSDT 1 market #4 | ACCEPTED 16 buy 1 @0 #4; CANCELLED 16 buy 1 @0 #4 IOC_REMAINDER
    """,
    )
    play(
        twin,
        banded({"policy": "clip"}, market={"market_bound_ticks": 200}),
        FUNDED
        + """
    1    buy 17 COINUSDT 1 @95.05 #1 | ACCEPTED 17 buy 1 @95.05 #1
    1    buy 17 COINUSDT 1 @95 #2   | ACCEPTED 17 buy 1 @95 #2
    1    buy 17 COINUSDT 1 @94.95 #3 | ACCEPTED 17 buy 1 @94.95 #3
    1    sell 16 COINUSDT 3 market #4 | ACCEPTED 16 sell 3 @0 #4; FILL 16 sell 1 @95.05 from 17 #1; FILL 16 sell 1 @95 from 17 #2; CANCELLED 16 sell 1 @0 #4 IOC_REMAINDER
    """,
    )


def test_without_an_anchor_there_is_no_band(twin):
    """The index was never heard; later it is missing, and its last valid price counts."""
    play(
        twin,
        banded({"anchor": "index"}, clearing="none"),
        """
    0    buy 16 COINUSDT 1 @5000 #1 | ACCEPTED 16 buy 1 @5000 #1
    1    source coin 100            | INDEX COIN 100 of 1; MARK COINUSDT 100
    1    buy 16 COINUSDT 1 @105.05 #2 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @105 #2  | ACCEPTED 16 buy 1 @105 #2
    2    source coin missing        | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    2    buy 16 COINUSDT 1 @105.05 #3 | REJECT PRICE_BAND
    2    buy 16 COINUSDT 1 @105 #3  | ACCEPTED 16 buy 1 @105 #3
    """,
    )


def test_orders_that_only_close_have_a_band_too(twin):
    play(
        twin,
        banded(),
        TRADED
        + """
    2    sell 16 COINUSDT 16 @94.95 reduce #3 | REJECT PRICE_BAND
    2    sell 16 COINUSDT 0 @94.95 close #3 | REJECT PRICE_BAND
    2    sell 16 COINUSDT 0 @95 close #3 | ACCEPTED 16 sell 16 @95 #3
    -- what is wrong with its quantity is told first
    2    buy 17 COINUSDT 0 @106 reduce #4 | REJECT BAD_QTY
    2    buy 17 COINUSDT 17 @106 reduce #4 | REJECT PRICE_BAND
    """,
    )


@pytest.mark.parametrize("policy", ["reprice", "clip"])
def test_a_bound_that_is_no_price_refuses(twin, policy):
    """Of a mark of 0.03 the highest bid is 0.0315: below the first tick."""
    play(
        twin,
        banded({"policy": policy}, clearing="none"),
        """
    0    source coin 0.03           | INDEX COIN 0.03 of 1; MARK COINUSDT 0.03
    0    buy 16 COINUSDT 1 @0.05 #1 | REJECT PRICE_BAND
    0    sell 16 COINUSDT 1 @0.05 #1 | ACCEPTED 16 sell 1 @0.05 #1
    0    buy 16 COINUSDT 1 market #2 | ACCEPTED 16 buy 1 @0 #2; CANCELLED 16 buy 1 @0 #2 IOC_REMAINDER
    """,
    )


def test_limits_and_margin_see_the_price_that_the_band_gives(twin):
    """12 lots at 105 need 60 and lose 60 at once: all of 120. At 110 they would lose 120. 9 of them are within 1,000."""
    play(
        twin,
        banded({"policy": "reprice"}),
        FUNDED
        + """
    1    buy 16 COINUSDT 13 @110 #1 | REJECT INSUFFICIENT_MARGIN
    1    buy 16 COINUSDT 12 @110 #1 | ACCEPTED 16 buy 12 @105 #1
    """,
    )
    play(
        twin,
        banded({"policy": "reprice"}, market={"limits": {"notional_max": 1_000}}),
        FUNDED
        + """
    1    buy 16 COINUSDT 10 @900 #1 | REJECT NOTIONAL_LIMIT
    1    buy 16 COINUSDT 9 @900 #1  | ACCEPTED 16 buy 9 @105 #1
    """,
    )


# ---- the liquidation


@pytest.mark.parametrize(
    "bound, said",
    [
        (False, "FILL BOOK 16 sell 5 @93.1 from 18 #3 in round 1; FILL BOOK 16 sell 11 @93.05 from 18 #4 in round 1; RESTORED 16 9.05 FLAT in round 1"),
        (True, "FILL BOOK 16 sell 5 @93.1 from 18 #3 in round 1; CARRIED 16 19.5 in round 1; CARRIED 16 19.5 in round 2"),
    ],
)  # fmt: skip
def test_slices_of_the_liquidation_stay_inside_where_the_band_binds_them(twin, bound, said):
    """1 % below a mark of 94 is 93.06: 93.1 on tick."""
    play(
        twin,
        banded(
            {"down_ppm": 10_000, "liquidation": bound},
            liquidation={"stages": stages("takeover", book={"bound": {"kind": "mark", "ppm": 50_000}, "quantity": "all"})},
        ),
        TRADED
        + f"""
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 18 COINUSDT 5 @93.1 #3     | ACCEPTED 18 buy 5 @93.1 #3
    1    buy 18 COINUSDT 11 @93.05 #4   | ACCEPTED 18 buy 11 @93.05 #4
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; {said}
    """,
    )


# ---- around mark and index


def test_a_band_around_mark_and_index_as_bybit_has_it(twin):
    """The mark is held at 100 by a seam; inner 2 %, outer 5 %: an index beyond the inner bound carries the band up to the outer."""
    band = {"kind": "index_anchored", "inner_ppm": 20_000, "outer_ppm": 50_000}
    play(
        twin,
        small_venue(market={"band": band}),
        FUNDED
        + """
    1    buy 16 COINUSDT 1 @102.05 #1 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @102 #1  | ACCEPTED 16 buy 1 @102 #1
    1    sell 17 COINUSDT 1 @97.95 #2 | REJECT PRICE_BAND
    1    source coin 104            | INDEX COIN 104 of 1
    1    buy 16 COINUSDT 1 @104.05 #2 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @104 #2  | ACCEPTED 16 buy 1 @104 #2
    1    sell 17 COINUSDT 1 @97.95 #3 | REJECT PRICE_BAND
    1    source coin 106            | INDEX COIN 106 of 1
    1    buy 16 COINUSDT 1 @105.05 #3 | REJECT PRICE_BAND
    1    buy 16 COINUSDT 1 @105 #3  | ACCEPTED 16 buy 1 @105 #3
    1    source coin 96             | INDEX COIN 96 of 1
    1    buy 16 COINUSDT 1 @102.05 #4 | REJECT PRICE_BAND
    1    sell 17 COINUSDT 1 @95.95 post #4 | REJECT PRICE_BAND
    1    sell 17 COINUSDT 1 @96 ioc #4 | ACCEPTED 17 sell 1 @96 #4; FILL 17 sell 1 @105 from 16 #3
    1    source coin 90             | INDEX COIN 90 of 1
    1    sell 17 COINUSDT 1 @94.95 ioc #5 | REJECT PRICE_BAND
    1    sell 17 COINUSDT 1 @95 ioc #5 | ACCEPTED 17 sell 1 @95 #5; FILL 17 sell 1 @104 from 16 #2
    """,
        [seam_row(Seam.MARK_PUBLISH, 0, 0, 99, SeamKind.CONST, 10_000)],
    )


PREMIUM = {"kind": "index_anchored", "inner_ppm": 20_000, "outer_ppm": 50_000, "premium": {"samples": 2}}
SAMPLED = """
    0    source coin 100                | ...
    0    source usd 1                   | ...
    0    account 16                     | ...
    0    account 17                     | ...
    0    deposit 16 USDT 120            | ...
    0    deposit 17 USDT 120            | ...
    2    sell 17 COINUSDT 1 @103 #1     | ...
    2    clock                          | ...
    -- one side is empty: no sample, P = 0
    2    buy 16 COINUSDT 1 @102.05 #2   | REJECT PRICE_BAND
    2    buy 16 COINUSDT 1 @101 #2      | ...
    2.5  clock                          | ...
    -- the next publication takes (101 + 103) / 2 - 100 = 2
    3    clock                          | ...
    3    buy 16 COINUSDT 1 @102.05 #3   | ACCEPTED 16 buy 1 @102.05 #3
    3    cancel 16 #3                   | ...
    3    cancel 17 #1                   | ...
    3    sell 17 COINUSDT 1 @106 #4     | ...
"""


def published_each_second() -> list[dict]:
    return [index("COIN", {"kind": "source", "name": "coin"}, 1), index("USD", {"kind": "source", "name": "usd"}, 1)]


@pytest.mark.parametrize("form", ["mark", "index"])
def test_a_premium_moves_the_band(twin, form):
    """Of the last two samples, one at each publication of the mark: 2 and 3.50 at 4 s, then 3.50 twice; rounded down: 2.75."""
    exchange = play(
        twin,
        small_venue(market={"band": PREMIUM | {"form": form}}, indices=published_each_second()),
        SAMPLED
        + """
    4    clock                          |
    4    buy 16 COINUSDT 1 @104.8 post #5 | REJECT PRICE_BAND
    4    buy 16 COINUSDT 1 @104.75 post #5 | ACCEPTED 16 buy 1 @104.75 #5
    4    cancel 16 #5                   | CANCELLED 16 buy 1 @104.75 #5 USER
    5    clock                          |
    5    buy 16 COINUSDT 1 @105.05 post #6 | REJECT PRICE_BAND
    5    buy 16 COINUSDT 1 @105 post #6 | ACCEPTED 16 buy 1 @105 #6
    """,
    )
    assert exchange.state()["premiums"] == [(0, 0, 350), (0, 1, 350)]


def test_a_premium_moves_the_lower_bound_as_the_form_says(twin):
    """mark: a positive premium leaves it at 98. index: it lifts it by 2.75 to 100, the index, and no further."""
    for form, price, refused in (("mark", "98", "97.95"), ("index", "100", "99.95")):
        play(
            twin,
            small_venue(market={"band": PREMIUM | {"form": form}}, indices=published_each_second()),
            SAMPLED
            + f"""
    4    cancel 16 #2                   | ...
    4    sell 16 COINUSDT 1 @{refused} #7 | REJECT PRICE_BAND
    4    sell 16 COINUSDT 1 @{price} #7 | ACCEPTED 16 sell 1 @{price} #7
    """,
        )


def test_alpha_scales_the_premium(twin):
    play(
        twin,
        small_venue(market={"band": PREMIUM | {"premium": {"samples": 2, "alpha_ppm": 500_000}}}, indices=published_each_second()),
        SAMPLED.replace("3    buy 16 COINUSDT 1 @102.05 #3   | ACCEPTED 16 buy 1 @102.05 #3", "3    buy 16 COINUSDT 1 @102.05 #3   | ...")
        + """
    4    buy 16 COINUSDT 1 @103.4 post #5 | REJECT PRICE_BAND
    4    buy 16 COINUSDT 1 @103.35 post #5 | ACCEPTED 16 buy 1 @103.35 #5
    """,
    )


def test_a_snapshot_keeps_the_premium(twin):
    """Restored from it the ring goes on where it was, and so does a pause."""
    venue = small_venue(
        market={"band": PREMIUM, "limit_up_down": {"ppm": 30_000, "pause_ns": 2 * S}}, indices=published_each_second(), limits={"fills_kept": 2}
    )
    events = tape(
        venue,
        SAMPLED
        + """
    3    buy 17 COINUSDT 1 @104 ioc #9  |
    4    clock                          |
    5    clock                          |
    6    buy 16 COINUSDT 1 @104.75 #10  |
    """,
    )
    for cut in range(len(events)):
        whole, first = twin(venue, START_NS), twin(venue, START_NS)
        whole.run(events)
        first.run(events[:cut])
        second = twin.restore(venue, first.snapshot())
        second.run(events[cut:])
        assert (second.digest(), second.state()) == (whole.digest(), whole.state())


# ---- limits up and down

TEN = {"ppm": 50_000, "pause_ns": 10 * S}
OFFERED = (
    FUNDED
    + """
    1    sell 17 COINUSDT 1 @105 #1     | ACCEPTED 17 sell 1 @105 #1
    1    sell 17 COINUSDT 1 @105.05 #2  | ACCEPTED 17 sell 1 @105.05 #2
"""
)


def limited(row: dict = {}, **changes) -> rules.Venue:  # noqa: B006  # read only
    return small_venue(market={"limit_up_down": TEN | row} | changes.pop("market", {}), **changes)


def test_a_taker_stops_at_the_limit_and_the_market_pauses(twin):
    """Whatever its kind it loses its rest. The pause ends ten seconds later, first of all that happens then."""
    exchange = play(
        twin,
        limited(),
        OFFERED
        + """
    1    buy 16 COINUSDT 1 @105.05 #3 | ACCEPTED 16 buy 1 @105.05 #3; FILL 16 buy 1 @105 from 17 #1
    1    sell 17 COINUSDT 1 @105 #4 | ACCEPTED 17 sell 1 @105 #4
    2    buy 16 COINUSDT 3 @106 #5  | ACCEPTED 16 buy 3 @106 #5; FILL 16 buy 1 @105 from 17 #4; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 16 buy 2 @106 #5 LIMIT_UP_DOWN
    3    buy 16 COINUSDT 1 @99 #6   | REJECT MARKET_STATE
    3    cancel 17 #2               | CANCELLED 17 sell 1 @105.05 #2 USER
    11.999999999 buy 16 COINUSDT 1 @99 #6 | REJECT MARKET_STATE
    12   buy 16 COINUSDT 1 @99 #6   | STATE_SET COINUSDT OPEN PAUSE_ENDED; ACCEPTED 16 buy 1 @99 #6
    """,
    )
    assert exchange.state()["states"] == [(0, MarketState.OPEN)] and not exchange.state()["timers"]


def test_a_state_event_ends_a_pause_and_its_timer(twin):
    exchange = play(
        twin,
        limited(),
        FUNDED
        + """
    1    buy 17 COINUSDT 2 @95 #1   | ACCEPTED 17 buy 2 @95 #1
    1    buy 17 COINUSDT 1 @94.95 #2 | ACCEPTED 17 buy 1 @94.95 #2
    2    sell 16 COINUSDT 2 market #3 | ACCEPTED 16 sell 2 @0 #3; FILL 16 sell 2 @95 from 17 #1
    2    sell 16 COINUSDT 1 market #4 | ACCEPTED 16 sell 1 @0 #4; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 16 sell 1 @0 #4 LIMIT_UP_DOWN
    2    sell 16 COINUSDT 1 market #5 | REJECT MARKET_STATE
    5    state COINUSDT post_only   | STATE_SET COINUSDT POST_ONLY
    20   clock                      |
    21   state COINUSDT open        | STATE_SET COINUSDT OPEN
    22   sell 16 COINUSDT 1 @90 ioc #6 | ACCEPTED 16 sell 1 @90 #6; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 16 sell 1 @90 #6 LIMIT_UP_DOWN
    23   state COINUSDT paused      | STATE_SET COINUSDT PAUSED
    60   clock                      |
    """,
    )
    assert exchange.state()["states"] == [(0, MarketState.PAUSED)] and not exchange.state()["timers"]


def test_fok_counts_what_is_inside_and_makers_may_stand_outside(twin):
    """A FOK order that would have to go beyond is refused, which pauses nothing. A bid beyond the limit stops whoever sells to it."""
    play(
        twin,
        limited(),
        OFFERED
        + """
    1    buy 16 COINUSDT 2 @106 fok #3 | REJECT CANNOT_FILL
    1    buy 16 COINUSDT 1 @106 fok #3 | ACCEPTED 16 buy 1 @106 #3; FILL 16 buy 1 @105 from 17 #1
    1    buy 16 COINUSDT 1 @106 post #4 | REJECT WOULD_CROSS
    1    buy 16 COINUSDT 1 @106 reprice #4 | ACCEPTED 16 buy 1 @105 #4
    1    buy 16 COINUSDT 1 @105.05 fok #5 | REJECT CANNOT_FILL
    1    cancel 17 #2               | CANCELLED 17 sell 1 @105.05 #2 USER
    1    buy 16 COINUSDT 1 @105.05 post #5 | ACCEPTED 16 buy 1 @105.05 #5
    2    sell 17 COINUSDT 1 @100 fok #6 | REJECT CANNOT_FILL
    2    sell 17 COINUSDT 1 @100 #6 | ACCEPTED 17 sell 1 @100 #6; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 17 sell 1 @100 #6 LIMIT_UP_DOWN
    """,
    )


def test_a_pause_may_end_in_an_auction(twin):
    play(
        twin,
        limited({"resume": "auction", "auction_ns": 5 * S}),
        OFFERED
        + """
    1    buy 16 COINUSDT 2 @106 ioc #3 | ACCEPTED 16 buy 2 @106 #3; FILL 16 buy 1 @105 from 17 #1; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 16 buy 1 @106 #3 LIMIT_UP_DOWN
    11   clock                      | STATE_SET COINUSDT AUCTION PAUSE_ENDED
    12   buy 16 COINUSDT 1 @99 #4   | ACCEPTED 16 buy 1 @99 #4
    12   buy 16 COINUSDT 1 @99 ioc #5 | REJECT MARKET_STATE
    16   clock                      | STATE_SET COINUSDT OPEN PAUSE_ENDED
    17   sell 17 COINUSDT 1 @99 #6  | ACCEPTED 17 sell 1 @99 #6; FILL 17 sell 1 @99 from 16 #4
    """,
    )


def test_only_an_open_market_pauses(twin):
    play(
        twin,
        limited(),
        OFFERED
        + """
    1    buy 17 COINUSDT 2 @100 #3  | ACCEPTED 17 buy 2 @100 #3
    1    sell 16 COINUSDT 2 @100 #4 | ACCEPTED 16 sell 2 @100 #4; FILL 16 sell 2 @100 from 17 #3
    2    state COINUSDT reduce_only | STATE_SET COINUSDT REDUCE_ONLY
    3    buy 16 COINUSDT 2 @106 #5  | ACCEPTED 16 buy 2 @106 #5; FILL 16 buy 1 @105 from 17 #1; CANCELLED 16 buy 1 @106 #5 LIMIT_UP_DOWN
    20   clock                      |
    """,
    )


def test_an_own_order_beyond_the_limit_stops_its_owner_too(twin):
    play(
        twin,
        limited(market={"self_trade": {"mode": "cancel_maker"}}),
        OFFERED
        + """
    1    buy 17 COINUSDT 2 @106 #3  | ACCEPTED 17 buy 2 @106 #3; CANCELLED 17 sell 1 @105 #1 SELF_TRADE; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 17 buy 2 @106 #3 LIMIT_UP_DOWN
    """,
    )


def test_a_slice_that_comes_to_the_limit_pauses_the_market(twin):
    """In that round nobody else trades there, nor is taken over; then both wait. At 90 the limit is 85.50, and both are closed."""
    play(
        twin,
        limited(liquidation={"stages": stages(book={"bound": {"kind": "mark", "ppm": 200_000}, "quantity": "all"})}),
        FUNDED
        + """
    0    account 18                 | OPENED 18
    0    account 19                 | OPENED 19
    0    deposit 18 USDT 120        | DEPOSIT 120 USDT OUTSIDE to 18
    0    deposit 19 USDT 900        | DEPOSIT 900 USDT OUTSIDE to 19
    1    buy 16 COINUSDT 16 @100 #1 | ACCEPTED 16 buy 16 @100 #1
    1    sell 19 COINUSDT 16 @100 #2 | ACCEPTED 19 sell 16 @100 #2; FILL 19 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 16 @100 #3 | ACCEPTED 18 buy 16 @100 #3
    1    sell 19 COINUSDT 16 @100 #4 | ACCEPTED 19 sell 16 @100 #4; FILL 19 sell 16 @100 from 18 #3
    1    buy 19 COINUSDT 4 @90 #5   | ACCEPTED 19 buy 4 @90 #5
    1    buy 19 COINUSDT 30 @88 #6  | ACCEPTED 19 buy 30 @88 #6
    2    source coin 93             | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; LIQUIDATION 18 8; FILL BOOK 16 sell 4 @90 from 19 #5 in round 1; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN in round 1; CARRIED 16 -4 in round 1; CARRIED 18 8 in round 1; SUSPENDED 16 -4 in round 1; SUSPENDED 18 8 in round 1
    5    buy 19 COINUSDT 1 @93 #7   | REJECT MARKET_STATE
    12   clock                      | STATE_SET COINUSDT OPEN PAUSE_ENDED; LIQUIDATION 16 -4; LIQUIDATION 18 8; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN in round 1; CARRIED 16 -4 in round 1; CARRIED 18 8 in round 1; SUSPENDED 16 -4 in round 1; SUSPENDED 18 8 in round 1
    13   source coin 90             | INDEX COIN 90 of 1; MARK COINUSDT 90
    22   clock                      | STATE_SET COINUSDT OPEN PAUSE_ENDED; LIQUIDATION 16 -40; LIQUIDATION 18 -40; FILL BOOK 16 sell 12 @88 from 19 #6 in round 1; FUND_SHORT 16 64 in round 1; WRITE_OFF 64 USDT BAD_DEBT to 16 in round 1; FILL BOOK 18 sell 16 @88 from 19 #6 in round 1; FUND_SHORT 18 72 in round 1; WRITE_OFF 72 USDT BAD_DEBT to 18 in round 1; RESTORED 16 0 FLAT in round 1; RESTORED 18 0 FLAT in round 1
    """,
    )


def test_limits_need_an_anchor(twin):
    play(
        twin,
        limited({"anchor": "index"}, clearing="none"),
        """
    0    sell 17 COINUSDT 1 @105.05 #1 | ACCEPTED 17 sell 1 @105.05 #1
    0    buy 16 COINUSDT 1 @105.05 #2 | ACCEPTED 16 buy 1 @105.05 #2; FILL 16 buy 1 @105.05 from 17 #1
    0    sell 17 COINUSDT 2 @105.05 #3 | ACCEPTED 17 sell 2 @105.05 #3
    1    source coin 100            | INDEX COIN 100 of 1; MARK COINUSDT 100
    1    buy 16 COINUSDT 1 @105.05 #4 | ACCEPTED 16 buy 1 @105.05 #4; STATE_SET COINUSDT PAUSED LIMIT_UP_DOWN; CANCELLED 16 buy 1 @105.05 #4 LIMIT_UP_DOWN
    """,
    )


SEIZED = """
    0  source coin 100                   | ...
    0  source ratio 100                  | ...
    0  account 30                        | ...
    0  deposit 30 USDT 100000            | ...
    0  account 31                        | ...
    0  deposit 31 WETH 1000              | ...
    0  deposit 31 USDT 100000            | ...
    1  sell 31 WETHUSDT 1 @100 #1        | ...
    1  buy 30 WETHUSDT 1 @100 ioc #2     | ...
    1  account 16                        | ...
    1  deposit 16 WETH 4                 | ...
    2  sell 16 COINUSDT 10 @100 #10      | ...
    2  buy 31 COINUSDT 10 @100 ioc #11   | ...
    2  sell 31 COINUSDT 10 @140 #16      | ...
    3  buy 30 WETHUSDT 1 @96 #20         | ...
    3  buy 30 WETHUSDT 9 @94 #21         | ...
    4  source coin 138                   | ...
    5  clock                             | ...
"""
"""16 is short 10 at 100 and owes 400 when it has bought back at 140: it sells its 4 WETH, for which there are bids at 96 and at 94."""


@pytest.mark.parametrize(
    "rows, prices",
    [
        ({}, {96, 94}),
        ({"band": FIVE | {"liquidation": True}}, {96}),
        ({"band": FIVE}, {96, 94}),
        ({"limit_up_down": TEN}, {96}),
    ],
)
def test_collateral_sold_in_the_book_stays_inside(twin, rows, prices):
    exchange = play(twin, spot_venue(markets=[small_venue().model_dump()["markets"][0], spot("WETHUSDT", **rows)]), SEIZED)
    sold = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.FILL and o.market == 1 and o.stage]
    assert {o.price // 100 for o in sold} == prices
    assert exchange.state()["states"][1] == (1, MarketState.PAUSED if "limit_up_down" in rows else MarketState.OPEN)


# ---- published bands


def _ppm(rate: str) -> int:
    ppm = Fraction(rate) * units.PPM
    assert ppm.denominator == 1
    return int(ppm)


def _bounds(twin, band: dict, mark: str, at_index: str, premium: str | None = None) -> tuple[Fraction, Fraction]:
    """Return (highest bid, lowest ask) that pass the gate; the mark is put at its seam, the premium comes off the own book."""
    market = {"band": band | {"policy": "reprice"}, "tick_size": 1}
    anchor = int(mark if band.get("form", "mark") == "mark" else at_index)
    table = f"0 source coin {at_index} |\n"
    if premium is not None:
        market["band"] |= {"premium": {"samples": 1}}
        table += f"1 buy 16 COINUSDT 1 @{anchor + int(premium) - 10} #1 |\n 1 sell 17 COINUSDT 1 @{anchor + int(premium) + 10} #2 |\n"
    table += f"2 source coin {at_index} |\n"
    if premium is not None:
        table += "2 cancel 16 #1 |\n 2 cancel 17 #2 |\n"
    seam = [seam_row(Seam.MARK_PUBLISH, 0, 0, 99, SeamKind.CONST, int(mark) * 100)]
    venue = small_venue(market=market, clearing="none")
    exchange = twin(venue, START_NS, seam)
    exchange.run(tape(venue, table + "3 buy 16 COINUSDT 1 @1000000 #3 |\n 3 cancel 16 #3 |\n 3 sell 17 COINUSDT 1 @1 #4 |"))
    told = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.ACCEPTED and o.ref_id in (3, 4)]
    return tuple(Fraction(o.price, 100) for o in told)


@pytest.mark.needs_shared("vectors/price_band.yaml")
def test_published_bands_around_mark_and_index(shared, twin):
    for venue_of, form in (("bybit", "mark"), ("okx", "index")):
        for vector in vectors(shared, "price_band", venue_of):
            v, expect = vector["given"], vector["expect"]
            band = {"kind": "index_anchored", "form": form, "inner_ppm": _ppm(v["inner_rate"]), "outer_ppm": _ppm(v["outer_rate"])}
            assert v.get("alpha", "1") == "1" and Fraction(v.get("minutes_since_listing", "20")) >= 10
            found = _bounds(twin, band, v.get("mark_price", v["index_price"]), v["index_price"], v["average_premium"])
            assert found == (Fraction(expect["max_buy_price"]), Fraction(expect["min_sell_price"])), vector["id"]


@pytest.mark.needs_shared("vectors/price_band.yaml")
@pytest.mark.parametrize("venue_of", ["binance", "paradex"])
def test_published_bands_around_the_mark(shared, twin, venue_of):
    """What is converted to a limit IOC at the bound here is a MARKET order whose bound is the band's: it trades there, and not beyond."""
    for vector in vectors(shared, "price_band", venue_of):
        v, expect = vector["given"], vector["expect"]
        up = _ppm(v["up_factor"]) - units.PPM if "up_factor" in v else _ppm(v["band_rate"])
        down = units.PPM - _ppm(v["down_factor"]) if "down_factor" in v else _ppm(v["band_rate"])
        band = {"kind": "percent", "up_ppm": up, "down_ppm": down}
        if "max_buy_price" in expect:
            bounds = _bounds(twin, band, v["mark_price"], v["mark_price"])
            assert bounds == (Fraction(expect["max_buy_price"]), Fraction(expect["min_sell_price"])), vector["id"]
        side, price = v["side"], v.get("order_price")
        other, tif = "sell" if side == "buy" else "buy", "market" if v["order_type"] == "market" else ""
        venue = small_venue(market={"band": band, "tick_size": 1, "market_bound_ppm": units.PPM}, clearing="none")
        at = Fraction(expect.get("converted_price", price)) * 100
        beyond = at + (1 if side == "buy" else -1)
        exchange = twin(venue, START_NS)
        exchange.run(
            tape(
                venue,
                f"""
                0 source coin {v["mark_price"]} |
                1 {other} 17 COINUSDT 1 @{float(at / 100)} #1 |
                1 {other} 17 COINUSDT 1 @{float(beyond / 100)} #2 |
                2 {side} 16 COINUSDT 2 {f"@{price}" if price else ""} {tif} #3 |
                """,
            )
        )
        told = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.ref_id == 3]
        if expect["verdict"] == "rejected":
            assert [Reason(o.reason) for o in told] == [Reason.PRICE_BAND], vector["id"]
        else:
            assert [(OutcomeKind(o.kind), o.price) for o in told if o.kind == OutcomeKind.FILL] == [(OutcomeKind.FILL, at)], vector["id"]
