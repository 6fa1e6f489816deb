"""States of a market and reduce-only orders, by example, on both twins.

The rule book is tests/twins.py:small_venue. A reduce_only market refuses what opens, a halted one orders of any kind, and defers what
forced closing would do in it; the other actions are allowed unless a row names them.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import pytest

from specs.scene import outcomes_of
from specs.tape import MarketState
from tests.test_model_tables import FUNDED, PRICED, TRADED, TWO_MARKETS, quoter
from tests.twins import play, say, small_venue, stages, tape, twin  # noqa: F401

# ---- states


def test_a_state_is_set_by_name_and_told(twin):
    exchange = play(
        twin,
        small_venue(),
        PRICED
        + """
    1    state 7 halted                 | REJECT UNKNOWN_MARKET
    1    raw kind=12 market=0 qty=7     | REJECT BAD_STATE
    1    raw kind=12 market=0 qty=-1    | REJECT BAD_STATE
    1    state COINUSDT reduce_only     | STATE_SET COINUSDT REDUCE_ONLY
    1    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    1    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    """,
    )
    assert exchange.state()["states"] == [(0, MarketState.HALTED)]


def test_a_reduce_only_market_lets_positions_be_closed(twin):
    play(
        twin,
        small_venue(),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 18 COINUSDT 9 @99 #3       | ACCEPTED 18 buy 9 @99 #3
    2    state COINUSDT reduce_only     | STATE_SET COINUSDT REDUCE_ONLY
    2    buy 16 COINUSDT 1 @99 #4       | REJECT MARKET_STATE
    2    sell 18 COINUSDT 10 @99 #4     | REJECT MARKET_STATE
    2    sell 17 COINUSDT 1 market #4   | REJECT MARKET_STATE
    2    sell 16 COINUSDT 4 @99 #4      | ACCEPTED 16 sell 4 @99 #4; FILL 16 sell 4 @99 from 18 #3
    2    sell 16 COINUSDT 12 @101 reduce #5 | ACCEPTED 16 sell 12 @101 #5
    2    buy 17 COINUSDT 3 @101 #6      | ACCEPTED 17 buy 3 @101 #6; FILL 17 buy 3 @101 from 16 #5
    2    cancel 18 #3                   | CANCELLED 18 buy 5 @99 #3 USER
    2    withdraw 18 USDT 1             | WITHDRAWAL 1 USDT 18 to OUTSIDE
    -- forced closing goes on: 9 long at 86 have 120 - 4 + 3 - 9 x 14
    3    source coin 86                 | INDEX COIN 86 of 1; MARK COINUSDT 86; LIQUIDATION 16 -7; CANCELLED 16 sell 9 @101 #5 LIQUIDATED in round 1; TAKEOVER 16 long 9 @86 cash 774 in round 1; FUND_SHORT 16 7 in round 1; WRITE_OFF 7 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
    4    state COINUSDT open            | STATE_SET COINUSDT OPEN
    4    sell 18 COINUSDT 10 @99 #7     | ACCEPTED 18 sell 10 @99 #7
    """,
    )


def test_closing_orders_together_never_open_in_a_reduce_only_market(twin):
    """Two orders that would each close 16 lots, and both fill, would leave 16 the other way."""
    play(
        twin,
        small_venue(),
        TRADED
        + """
    1    sell 16 COINUSDT 2 @103 #3     | ACCEPTED 16 sell 2 @103 #3
    2    state COINUSDT reduce_only     | STATE_SET COINUSDT REDUCE_ONLY
    2    sell 16 COINUSDT 15 @101 #4    | REJECT MARKET_STATE
    2    sell 16 COINUSDT 14 @101 #4    | ACCEPTED 16 sell 14 @101 #4
    2    sell 16 COINUSDT 1 @102 #5     | REJECT MARKET_STATE
    2    sell 16 COINUSDT 1 market #5   | REJECT MARKET_STATE
    -- what is reduce-only is cut before it could open
    2    sell 16 COINUSDT 16 @102 reduce #5 | ACCEPTED 16 sell 16 @102 #5
    2    buy 17 COINUSDT 14 @101 #6     | ACCEPTED 17 buy 14 @101 #6; FILL 17 buy 14 @101 from 16 #4; CANCELLED 16 sell 14 @102 #5 REDUCE_ONLY
    2    cancel 16 #3                   | CANCELLED 16 sell 2 @103 #3 USER
    2    sell 16 COINUSDT 2 @104 #7     | REJECT MARKET_STATE
    2    cancel 16 #5                   | CANCELLED 16 sell 2 @102 #5 USER
    2    sell 16 COINUSDT 2 @104 #7     | ACCEPTED 16 sell 2 @104 #7
    """,
    )


def test_a_halted_market_takes_no_orders_but_cancels(twin):
    play(
        twin,
        small_venue(quoters=[quoter(account=18, levels=1, refill_ns=10 * 10**9)]),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    sell 16 COINUSDT 1 @101 #3     | ACCEPTED 16 sell 1 @101 #3
    2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    2    buy 16 COINUSDT 1 @99 #4       | REJECT MARKET_STATE
    2    sell 16 COINUSDT 1 @102 #4     | REJECT MARKET_STATE
    2    sell 16 COINUSDT 1 @102 reduce #4 | REJECT MARKET_STATE
    2    buy 17 COINUSDT 1 market #4    | REJECT MARKET_STATE
    -- what is wrong with the order itself is told first
    2    buy 17 COINUSDT 0 @99 #4       | REJECT BAD_QTY
    2    sell 17 COINUSDT 1 @99 reduce #4 | REJECT NOT_REDUCING
    2    cancel 16 #3                   | CANCELLED 16 sell 1 @101 #3 USER
    2    withdraw 16 USDT 40            | WITHDRAWAL 40 USDT 16 to OUTSIDE
    2    leverage 16 COINUSDT 20        | LEVERAGE_SET 16 20
    -- a quoter does not try
    10   clock                          |
    11   state COINUSDT open            | STATE_SET COINUSDT OPEN
    20   clock                          | ACCEPTED 18 buy 3 @99.9 #e1; ACCEPTED 18 sell 3 @100.1 #e2
    """,
    )


def test_rows_say_what_a_state_allows(twin):
    """Reducing may go on in a halt, and closing by force; cancelling may not, nor leaving with money while holding a position."""
    exchange = play(
        twin,
        small_venue(
            states={
                "halted": {"open": "refuse", "cancel": "refuse", "withdraw": "refuse"},
                "reduce_only": {"open": "refuse", "cancel": "defer"},
            }
        ),
        TRADED
        + """
    1    account 18 owner 16            | OPENED 18 owner 16
    1    deposit 18 USDT 5              | DEPOSIT 5 USDT OUTSIDE to 18
    1    sell 16 COINUSDT 1 @101 #3     | ACCEPTED 16 sell 1 @101 #3
    2    state COINUSDT reduce_only     | STATE_SET COINUSDT REDUCE_ONLY
    2    cancel 16 #3                   | REJECT MARKET_STATE
    2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    2    cancel 16 #3                   | REJECT MARKET_STATE
    2    cancel 17 #3                   | REJECT NOT_OWNER
    2    buy 17 COINUSDT 1 @101 #4      | ACCEPTED 17 buy 1 @101 #4; FILL 17 buy 1 @101 from 16 #3
    2    withdraw 16 USDT 1             | ...
    2    transfer 16 18 USDT 1          | ...
    2    withdraw 18 USDT 5             | WITHDRAWAL 5 USDT 18 to OUTSIDE
    -- 15 long at 93: 120 + 1 - 15 x 7
    3    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 16; TAKEOVER 16 long 15 @93 cash 1379 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert 18 not in {row[0] for row in exchange.state()["balances"]}  # of 16's money nothing came, and its own 5 are out


@pytest.mark.parametrize("action", ["takeover", "adl"])
def test_each_stage_has_its_own_row(twin, action):
    """Liquidation is allowed in the halt, the stage that would close is not: carried, until the market opens."""
    play(
        twin,
        small_venue(
            states={"halted": {"liquidate": "allow", action: "defer"}},
            liquidation={"stages": stages("book", "takeover" if action == "adl" else "adl", adl={})},
        ),
        TRADED
        + f"""
    2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    3    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    4    state COINUSDT open            | STATE_SET COINUSDT OPEN; {action.upper()} 16 long 16 @94 {"by 17 " if action == "adl" else ""}cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_a_halt_suspends_and_opening_resumes(twin):
    """Also an episode that is open, and also one that was halted away and is over when the market opens."""
    play(
        twin,
        small_venue(liquidation={"stages": stages("book", "takeover")}),
        TRADED
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    3    state COINUSDT halted          | STATE_SET COINUSDT HALTED; SUSPENDED 16 24
    -- more of the same is not told again
    4    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93
    5    state COINUSDT open            | STATE_SET COINUSDT OPEN; LIQUIDATION 16 8; CARRIED 16 8 in round 1
    6    state COINUSDT halted          | STATE_SET COINUSDT HALTED; SUSPENDED 16 8
    7    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16; RESTORED 16 108 ABOVE_TARGET
    8    state COINUSDT open            | STATE_SET COINUSDT OPEN
    """,
    )


def test_a_state_in_a_batch_counts_for_what_follows_it(twin):
    play(
        twin,
        small_venue(),
        TRADED
        + """
    2    source coin 94 & 2             |
    2    state COINUSDT halted & 1      | STATE_SET COINUSDT HALTED
    2    sell 16 COINUSDT 1 @94 #3      | REJECT MARKET_STATE; INDEX COIN 94 of 1; MARK COINUSDT 94; SUSPENDED 16 24
    3    state COINUSDT open & 1        | STATE_SET COINUSDT OPEN
    3    deposit 16 USDT 100            | DEPOSIT 100 USDT OUTSIDE to 16; RESTORED 16 124 ABOVE_TARGET
    """,
    )


def test_one_halted_market_of_two(twin):
    """Orders of the other go on. Who holds a position in both is suspended; who holds none in it is liquidated."""
    play(
        twin,
        small_venue(markets=TWO_MARKETS),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    deposit 16 USDT 50             | DEPOSIT 50 USDT OUTSIDE to 16
    0    deposit 17 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 17
    0    deposit 18 USDT 30             | DEPOSIT 30 USDT OUTSIDE to 18
    1    sell 17 COINUSDT 8 @100 #1     | ACCEPTED 17 sell 8 COINUSDT @100 #1
    1    buy 16 COINUSDT 4 @100 #2      | ACCEPTED 16 buy 4 COINUSDT @100 #2; FILL 16 buy 4 COINUSDT @100 from 17 #1
    1    buy 18 COINUSDT 4 @100 #3      | ACCEPTED 18 buy 4 COINUSDT @100 #3; FILL 18 buy 4 COINUSDT @100 from 17 #1
    1    buy 16 USDUSDT 100 @1 #4       | ACCEPTED 16 buy 100 USDUSDT @1 #4
    1    sell 17 USDUSDT 100 @1 #5      | ACCEPTED 17 sell 100 USDUSDT @1 #5; FILL 17 sell 100 USDUSDT @1 from 16 #4
    2    state USDUSDT halted           | STATE_SET USDUSDT HALTED
    2    buy 17 COINUSDT 1 @80 #6       | ACCEPTED 17 buy 1 COINUSDT @80 #6
    2    buy 17 USDUSDT 1 @0.9 #7       | REJECT MARKET_STATE
    -- 16: 50 - 48 = 2 against 8.8 + 2.5, 18: 30 - 48
    3    source coin 88                 | INDEX COIN 88 of 1; MARK COINUSDT 88; SUSPENDED 16 2; LIQUIDATION 18 -18; TAKEOVER 18 long 4 COINUSDT @88 cash 352 in round 1; FUND_SHORT 18 18 in round 1; WRITE_OFF 18 USDT BAD_DEBT to 18 in round 1; RESTORED 18 0 FLAT in round 1
    -- 2 x 8.8 / 11.3, rounded up, is 1.5576; the rest, 0.4424, goes with the last position
    4    state USDUSDT open             | STATE_SET USDUSDT OPEN; LIQUIDATION 16 2; TAKEOVER 16 long 4 COINUSDT @88 cash 350.4424 in round 1; TAKEOVER 16 long 100 USDUSDT @1 cash 99.5576 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


# ---- what each state allows by itself, activity by activity

ALLOWED = """
                open  reduce  cancel  amend  take   withdraw  liquidate  takeover  adl  funding
    open        yes   yes     yes     yes    yes    yes       yes        yes       yes  yes
    reduce_only no    yes     yes     yes    yes    yes       yes        yes       yes  yes
    halted      no    no      yes     no     no     yes       no         no        no   yes
    cancel_only no    no      yes     no     no     yes       no         no        no   yes
    post_only   yes   yes     yes     yes    no     yes       no         no        no   yes
    auction     yes   yes     yes     yes    rests  yes       no         no        no   yes
    paused      no    no      yes     no     no     yes       no         no        no   yes
"""
"""Of waiting orders, which fire where `trigger` allows it, their own tests tell; a market is CLOSED by its end alone, in test_settlement."""

HELD = (
    TRADED
    + """
    1    account 18                     | ...
    1    deposit 18 USDT 50             | ...
    1    sell 16 COINUSDT 1 @103 #3     | ...
"""
)
"""16 is long 16 with an offer at 103, 17 is short 16, 18 has nothing; funding is due at 20 s."""

ACTIVITIES = {  # what happens; the outcome that says that it was done; the one that says that it was not
    "open": ("2 buy 18 COINUSDT 1 @99 #9", "ACCEPTED", "MARKET_STATE"),
    "reduce": ("2 sell 16 COINUSDT 1 @104 #9", "ACCEPTED", "MARKET_STATE"),
    "cancel": ("2 cancel 16 #3", "CANCELLED", "MARKET_STATE"),
    "amend": ("2 amend 16 #3 @104", "AMENDED", "MARKET_STATE"),
    "take": ("2 buy 17 COINUSDT 1 @103 #9", "FILL", "MARKET_STATE"),
    "withdraw": ("2 withdraw 16 USDT 1", "WITHDRAWAL", "MARKET_STATE"),
    "liquidate": ("2 source coin 94", "LIQUIDATION", "SUSPENDED"),
    "takeover": ("2 source coin 94", "TAKEOVER", "SUSPENDED"),
    "adl": ("2 source coin 94", "ADL", "SUSPENDED"),
    "funding": ("20 clock", "FUNDING", "FUNDING COINUSDT 0 sum 0 MARKET_STATE"),
}


def _table() -> list[tuple[str, str, str]]:
    """Return (state, activity, answer)."""
    head, *rows = (line.split() for line in ALLOWED.strip().splitlines())
    assert {*head} == {*ACTIVITIES} and [row[0] for row in rows] == [state.name.lower() for state in MarketState if state != MarketState.CLOSED]
    return [(row[0], activity, answer) for row in rows for activity, answer in zip(head, row[1:])]


@pytest.mark.parametrize("state, activity, answer", _table())
def test_what_a_state_allows(twin, state, activity, answer):
    venue = small_venue(
        market={"funding": {"every_ns": 60 * 10**9, "interest_ppb": 5_000, "damp_ppb": 10_000}},
        liquidation={"stages": stages("takeover" if activity == "adl" else "adl", adl={})},
    )
    exchange = play(twin, venue, HELD + f"2 state COINUSDT {state} | ...")
    event, done, refused = ACTIVITIES[activity]
    said = [say(venue, o) for o in outcomes_of(exchange.apply(tape(venue, event + " |")[0]))]
    told = any(word.startswith(done) and not word.endswith("MARKET_STATE") for word in said)
    assert told == (answer == "yes"), said
    if answer == "no":
        assert any(word.startswith(refused) or word.endswith(refused) for word in said), said
    if answer == "rests":
        assert len(said) == 1 and said[0].startswith("ACCEPTED"), said


# ---- reduce-only orders


def test_a_reduce_only_order_closes_and_nothing_else(twin):
    play(
        twin,
        small_venue(),
        FUNDED
        + """
    1    sell 16 COINUSDT 1 @100 reduce #1 | REJECT NOT_REDUCING
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 16 COINUSDT 1 @101 reduce #2 | REJECT NOT_REDUCING
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 16 COINUSDT 1 @100 reduce #3 | REJECT NOT_REDUCING
    1    sell 17 COINUSDT 1 @100 reduce #3 | REJECT NOT_REDUCING
    1    sell 16 COINUSDT 17 @100 reduce #3 | REJECT NOT_REDUCING
    1    sell 16 COINUSDT 16 @101 reduce #3 | ACCEPTED 16 sell 16 @101 #3
    1    buy 17 COINUSDT 17 @101 reduce #4 | REJECT NOT_REDUCING
    1    buy 17 COINUSDT 16 @101 reduce ioc #4 | ACCEPTED 17 buy 16 @101 #4; FILL 17 buy 16 @101 from 16 #3
    """,
    )


def test_reduce_only_orders_shrink_with_the_position(twin):
    """Oldest first, each to what is left, after the fill that made it so; other orders of the account stay."""
    exchange = play(
        twin,
        small_venue(),
        TRADED
        + """
    1    sell 16 COINUSDT 10 @101 reduce #3 | ACCEPTED 16 sell 10 @101 #3
    1    sell 16 COINUSDT 16 @102 reduce #4 | ACCEPTED 16 sell 16 @102 #4
    1    sell 16 COINUSDT 10 @100.5 #5  | ACCEPTED 16 sell 10 @100.5 #5
    1    buy 17 COINUSDT 10 @100.5 #6   | ACCEPTED 17 buy 10 @100.5 #6; FILL 17 buy 10 @100.5 from 16 #5; CANCELLED 16 sell 4 @101 #3 REDUCE_ONLY; CANCELLED 16 sell 10 @102 #4 REDUCE_ONLY
    -- what its own fill leaves of #3 is all of the position
    1    buy 17 COINUSDT 3 @101 #7      | ACCEPTED 17 buy 3 @101 #7; FILL 17 buy 3 @101 from 16 #3; CANCELLED 16 sell 3 @102 #4 REDUCE_ONLY
    1    sell 16 COINUSDT 1 @103 #8     | ACCEPTED 16 sell 1 @103 #8
    1    buy 17 COINUSDT 3 @101 #9      | ACCEPTED 17 buy 3 @101 #9; FILL 17 buy 3 @101 from 16 #3; CANCELLED 16 sell 3 @102 #4 REDUCE_ONLY
    """,
    )
    assert [(row[4], row[6], row[7]) for row in exchange.state()["orders"]] == [(8, 1, 0)]
    assert not exchange.state()["positions"]


def test_a_taker_that_flips_cancels_its_own_reduce_only_orders(twin):
    """17 buys 20 against 16 short lots: what closed a short has nothing to close any more. The maker's are cut after the taker's."""
    play(
        twin,
        small_venue(),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 17 COINUSDT 16 @90 reduce #3 | ACCEPTED 17 buy 16 @90 #3
    1    sell 16 COINUSDT 16 @105 reduce #4 | ACCEPTED 16 sell 16 @105 #4
    1    sell 16 COINUSDT 12 @100 #5    | ACCEPTED 16 sell 12 @100 #5
    1    sell 18 COINUSDT 8 @100 #6     | ACCEPTED 18 sell 8 @100 #6
    1    buy 17 COINUSDT 20 @100 #7     | ACCEPTED 17 buy 20 @100 #7; FILL 17 buy 12 @100 from 16 #5; CANCELLED 17 buy 12 @90 #3 REDUCE_ONLY; CANCELLED 16 sell 12 @105 #4 REDUCE_ONLY; FILL 17 buy 8 @100 from 18 #6; CANCELLED 17 buy 4 @90 #3 REDUCE_ONLY
    """,
    )


def test_a_cut_order_keeps_its_place(twin):
    """16's order is cut to 4 lots and is still the first at its price."""
    play(
        twin,
        small_venue(),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    sell 16 COINUSDT 16 @101 reduce #3 | ACCEPTED 16 sell 16 @101 #3
    1    sell 18 COINUSDT 8 @101 #4     | ACCEPTED 18 sell 8 @101 #4
    1    buy 18 COINUSDT 12 @100 #5     | ACCEPTED 18 buy 12 @100 #5
    1    sell 16 COINUSDT 12 @100 #6    | ACCEPTED 16 sell 12 @100 #6; FILL 16 sell 12 @100 from 18 #5; CANCELLED 16 sell 12 @101 #3 REDUCE_ONLY
    1    buy 17 COINUSDT 6 @101 #7      | ACCEPTED 17 buy 6 @101 #7; FILL 17 buy 4 @101 from 16 #3; FILL 17 buy 2 @101 from 18 #4
    """,
    )


def test_forced_closing_cuts_reduce_only_orders_too(twin):
    """A slice of a book stage (without a cancel stage), a takeover, an own leg of ADL: each leaves no order above the position."""
    play(
        twin,
        small_venue(liquidation={"stages": stages("cancel", book={"quantity": "all"})}),
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    sell 16 COINUSDT 16 @105 reduce #3 | ACCEPTED 16 sell 16 @105 #3
    1    buy 18 COINUSDT 5 @94 #4       | ACCEPTED 18 buy 5 @94 #4
    -- 11 lots need 25.85
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 5 @94 from 18 #4 in round 1; CANCELLED 16 sell 5 @105 #3 REDUCE_ONLY in round 1; TAKEOVER 16 long 11 @94 cash 1010 in round 1; CANCELLED 16 sell 11 @105 #3 REDUCE_ONLY in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    play(
        twin,
        small_venue(liquidation={"stages": stages("book", "takeover", adl={})}),
        FUNDED
        + """
    1    account 18 owner 16            | OPENED 18 owner 16
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 6 @100 #2     | ACCEPTED 17 sell 6 @100 #2; FILL 17 sell 6 @100 from 16 #1
    1    sell 18 COINUSDT 10 @100 #3    | ACCEPTED 18 sell 10 @100 #3; FILL 18 sell 10 @100 from 16 #1
    1    buy 17 COINUSDT 8 @100 #4      | ACCEPTED 17 buy 8 @100 #4
    1    sell 18 COINUSDT 8 @100 #5     | ACCEPTED 18 sell 8 @100 #5; FILL 18 sell 8 @100 from 17 #4
    1    buy 18 COINUSDT 18 @80 reduce #6 | ACCEPTED 18 buy 18 @80 #6
    -- 18 is 18 short, 17 is 2 long: 18 closes all of 16's 16 lots at the mark, and has 2 left; 16 is flat with its 24
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; ADL 16 long 16 @94 by 18 cash 1504 OWN_LEG in round 1; CANCELLED 18 buy 16 @80 #6 REDUCE_ONLY in round 1; RESTORED 16 24 FLAT in round 1
    """,
    )
