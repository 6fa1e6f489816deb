"""Prices and fees of a liquidation: what bounds a slice, at which price a position is taken over, who gets or pays the difference.

The rule book is tests/twins.py:small_venue: 2.5 % maintenance up to 2,000 of notional. 16 is long 16 lots from 100 with 120 of cash:
at 94 it has 24 and needs 37.6, at 90 it owes 40; at 92.5 its margin is used up.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from random import Random

import pytest
from pydantic import ValidationError

from engine.exchange import Exchange as Engine
from specs import laws, rules
from specs.model.exchange import Exchange as Model
from specs.scene import Book, Case, Scene, event_of, outcomes_of
from specs.tape import Chart, Flow, OutcomeKind, Seam, SeamKind
from tests.test_laws import FUNDED, TRADED
from tests.test_model_tables import TWO_MARKETS
from tests.twins import START_NS, play, seam_row, small_venue, stages, tape, twin  # noqa: F401

RICH = (
    TRADED
    + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 5000           | ...
"""
).replace("|\n", "| ...\n")
FILLABLE = {"kind": "fillable", "bankruptcy_adjustment_ppm": 1_000_000, "spread_to_maintenance_ppm": 1_500_000}
AT_94 = "INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; "
AT_90 = "INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -40; "
FLAT = "RESTORED 16 0 FLAT in round 1"


def venue(*without: str, unit: str | None = None, **changes) -> rules.Venue:
    """Return the rule book with stages left out and changed; market and fund change those rows."""
    others = {key: changes.pop(key) for key in ("market", "markets", "fund") if key in changes}
    rounded = {} if unit is None else {"bankruptcy_unit": unit}
    return small_venue(liquidation={"stages": stages(*without, **changes)} | rounded, **others)


# ---- what bounds a slice


@pytest.mark.parametrize(
    ("bound", "price", "limit", "short"),
    [
        # a = 1 - 24 / 37.6; a x 1.5 x 37.6 = 20.4 of 1,504 may be lost: 1,483.6 / 16 = 92.725, up to a tick of 0.05
        (FILLABLE, "94", 92_75, None),
        # twice as fast: 40.8 of 56.4 at most: 1,463.2 / 16 = 91.45
        (FILLABLE | {"bankruptcy_adjustment_ppm": 2_000_000}, "94", 91_45, None),
        # from equity 0 on a is 1: 1.5 x 2.5 % = 3.75 % of 90, 86.625 up
        (FILLABLE, "90", 86_65, None),
        ({"kind": "bankruptcy"}, "94", 92_50, None),
        ({"kind": "bankruptcy"}, "90", 90_00, None),  # of a debt nothing is lost
        ({"kind": "bankruptcy", "under_water": "bankruptcy"}, "90", 92_50, None),
        ({"kind": "mark", "ppm": 10_000}, "94", 93_10, None),  # 93.06
        # the short side: at 106 it has 24 and needs 42.4: a x 1.5 x 42.4 = 27.6, 107.725 down
        (FILLABLE, "106", None, 107_70),
        (FILLABLE, "110", None, 114_10),  # 110 x 1.0375 = 114.125
        ({"kind": "bankruptcy"}, "110", None, 110_00),
        ({"kind": "bankruptcy", "under_water": "bankruptcy"}, "110", None, 107_50),
        (FILLABLE, "100", 100_00, 100_00),  # who is above maintenance would be closed at the mark
    ],
)
def test_the_worst_price_of_a_slice(twin, bound, price, limit, short):
    exchange = play(twin, venue("takeover", book={"bound": bound}), RICH + f"2    source coin {price} | ...")
    for account, want in ((16, limit), (17, short)):
        if want is not None:
            assert exchange.liquidation_limit_price(account, 0) == want


@pytest.mark.parametrize(
    ("bound", "bids", "price", "said"),
    [
        (
            FILLABLE,
            ("92.75", "92.7"),
            "94",
            AT_94 + "FILL BOOK 16 sell 1 @92.75 from 18 #5 in round 1; CARRIED 16 22.75 in round 1; CARRIED 16 22.75 in round 2",
        ),
        (
            {"kind": "bankruptcy", "under_water": "bankruptcy"},
            ("92.5", "92.45"),
            "90",
            AT_90 + "FILL BOOK 16 sell 1 @92.5 from 18 #5 in round 1; CARRIED 16 -37.5 in round 1; CARRIED 16 -37.5 in round 2",
        ),
        (
            {"kind": "bankruptcy"},
            ("92.5", "90"),
            "90",
            AT_90
            + "FILL BOOK 16 sell 1 @92.5 from 18 #5 in round 1; FILL BOOK 16 sell 15 @90 from 18 #6 in round 1; FUND_SHORT 16 37.5 in round 1; WRITE_OFF 37.5 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
    ],
)
def test_a_slice_trades_up_to_its_bound_and_no_further(twin, bound, bids, price, said):
    rows = f"""
    1    buy 18 COINUSDT 1 @{bids[0]} #5  | ...
    1    buy 18 COINUSDT 20 @{bids[1]} #6 | ...
    2    source coin {price}              | {said}
    """
    play(twin, venue("takeover", book={"bound": bound}), RICH + rows)


def test_a_band_that_binds_the_liquidation_binds_its_worst_price(twin):
    band = {"kind": "percent", "up_ppm": 5_000, "down_ppm": 5_000, "liquidation": True}
    bounded = venue("takeover", book={"bound": FILLABLE}, market={"band": band})
    exchange = play(twin, bounded, TRADED.replace("|\n", "| ...\n") + "2    source coin 94 | ...")
    assert exchange.liquidation_limit_price(16, 0) == 93_55  # 94 x 0.995 = 93.53


def test_who_has_no_slice_has_no_worst_price(twin):
    exchange = play(twin, venue("book"), FUNDED.replace("|\n", "| ...\n"))
    assert exchange.liquidation_limit_price(16, 0) is None
    assert play(twin, venue("book"), RICH).liquidation_limit_price(16, 0) is None
    for ask in (exchange.liquidation_limit_price, lambda *who: exchange.bankruptcy_value(*who, 1)):
        with pytest.raises(ValueError, match="account 99 is not open"):
            ask(99, 0)
        with pytest.raises(ValueError, match="market 7 is unknown"):
            ask(16, 7)


# ---- bankruptcy value


@pytest.mark.parametrize(
    ("price", "account", "lots", "cash"),
    [
        ("94", 16, -16, 1_480_0000),  # all of it: what leaves nothing
        ("94", 16, -4, 370_0000),  # 376 - 24 x 9.4 / 37.6
        ("90", 16, -16, 1_480_0000),  # beyond the mark: 1,440 + 40
        ("90", 16, -1, 92_5000),
        ("100", 16, -3, 277_5000),  # 300 - 120 x 7.5 / 40: who is healthy gives his margin up too
        ("94", 17, 16, -1_720_0000),
        ("94", 17, 5, -537_5000),
        ("94", 16, 0, None),
        ("94", 16, 1, None),
        ("94", 16, -17, None),
        ("94", 17, -1, None),
        ("94", 18, -1, None),
        ("94", 16, -(10**30), None),
    ],
)
def test_a_bankruptcy_value_keeps_equity_by_maintenance(twin, price, account, lots, cash):
    exchange = play(twin, venue("takeover", "book"), RICH + f"2    source coin {price} | ...")
    assert exchange.bankruptcy_value(account, 0, lots) == cash


@pytest.mark.parametrize(
    ("unit", "cash"), [(None, 92_5000), ("0.0001", 92_5000), ("0.3", 92_7000), ("1", 93_0000), ("100", 100_0000)]
)
def test_a_bankruptcy_value_is_rounded_up_to_the_unit(twin, unit, cash):
    """1,480 / 16 = 92.5."""
    insured = {"bound": {"kind": "bankruptcy"}, "insurance": {"max_fee_ppm": 0}}
    exchange = play(twin, venue("takeover", unit=unit, book=insured), RICH + "2    source coin 90 | ...")
    assert exchange.bankruptcy_value(16, 0, -1) == cash


def test_several_positions_keep_their_ratio(twin):
    """120 of equity for 25 and 2.5: 5 COIN and 100 USD leave each other's ratio alone, to a unit of money."""
    rows = """
    0    source coin 100                 | ...
    0    source usd 1                    | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    deposit 16 USDT 120             | ...
    0    deposit 17 USDT 1000            | ...
    1    buy 16 COINUSDT 10 @100 #1      | ...
    1    sell 17 COINUSDT 10 @100 #2     | ...
    1    sell 16 USDUSDT 100 @1 #3       | ...
    1    buy 17 USDUSDT 100 @1 #4        | ...
    """
    exchange = play(twin, venue("book", "takeover", markets=TWO_MARKETS), rows)
    assert exchange.bankruptcy_value(16, 0, -5) == 445_4546  # 500 - 120 x 12.5 / 27.5 = 445.4545.., up
    assert exchange.bankruptcy_value(16, 1, 100) == -110_9090  # - 100 - 120 x 2.5 / 27.5 = - 110.90909.., up


# ---- at which price a position is taken over


@pytest.mark.parametrize(
    ("row", "at_94", "at_90"),
    [
        (
            {},
            f"TAKEOVER 16 long 16 @94 cash 1480 in round 1; {FLAT}",
            "TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_SHORT 16 40 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            {"price": "bankruptcy_value"},
            f"TAKEOVER 16 long 16 @94 cash 1480 in round 1; {FLAT}",
            f"TAKEOVER 16 long 16 @90 cash 1480 in round 1; {FLAT}",
        ),
        (
            {"price": "mark", "fee_ppm": 10_000},  # 93.06 and 89.1
            "TAKEOVER 16 long 16 @94 cash 1488.96 in round 1; RESTORED 16 8.96 FLAT in round 1",
            "TAKEOVER 16 long 16 @90 cash 1425.6 in round 1; FUND_SHORT 16 54.4 in round 1; WRITE_OFF 54.4 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            {"price": "oracle"},
            "TAKEOVER 16 long 16 @94 cash 1504 in round 1; RESTORED 16 24 FLAT in round 1",
            "TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_SHORT 16 40 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            {"surplus": "fund"},
            f"TAKEOVER 16 long 16 @94 cash 1504 in round 1; TAKEOVER_SURPLUS 24 USDT 16 to FUND in round 1; {FLAT}",
            "TAKEOVER 16 long 16 @90 cash 1440 in round 1; FUND_SHORT 16 40 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            {"price": "bankruptcy_value", "surplus": "fund"},
            f"TAKEOVER 16 long 16 @94 cash 1504 in round 1; TAKEOVER_SURPLUS 24 USDT 16 to FUND in round 1; {FLAT}",
            f"TAKEOVER 16 long 16 @90 cash 1480 in round 1; {FLAT}",
        ),
    ],
)
def test_the_price_of_a_takeover(twin, row, at_94, at_90):
    for price, said in (("94", AT_94 + at_94), ("90", AT_90 + at_90)):
        play(twin, venue(takeover=row), TRADED.replace("|\n", "| ...\n") + f"2    source coin {price} | {said}")


def test_an_oracle_price_is_the_index_and_a_short_pays_the_fee_upward(twin):
    """The mark is forced to 106.37; the index stays at 100: 17 pays 100 x 1.005 x 16 = 1,608 and keeps 112, of a maintenance of 0."""
    rows = (
        TRADED.replace("|\n", "| ...\n")
        + "2    source coin 100 | INDEX COIN 100 of 1; MARK COINUSDT 106.37; LIQUIDATION 17 18.08; TAKEOVER 17 short 16 @106.37 cash -1608 in round 1; RESTORED 17 112 FLAT in round 1"
    )
    rows = rows.replace("INDEX COIN 100 of 1; ", "")
    play(
        twin,
        venue(takeover={"price": "oracle", "fee_ppm": 5_000}),
        rows,
        [seam_row(Seam.MARK_PUBLISH, 0, 2, 9, SeamKind.CONST, 106_37)],
    )


def test_at_the_mark_it_is_taken_over_only_while_it_must_be(twin):
    """Two positions: the first that goes at the mark frees its maintenance, and the account is safe with the second."""
    rows = """
    0    source coin 100                 | ...
    0    source usd 1                    | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    deposit 16 USDT 80              | ...
    0    deposit 17 USDT 1000            | ...
    1    buy 16 COINUSDT 10 @100 #1      | ...
    1    sell 17 COINUSDT 10 @100 #2     | ...
    1    sell 16 USDUSDT 100 @1 #3       | ...
    1    buy 17 USDUSDT 100 @1 #4        | ...
    2    source coin 94                  | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 20; TAKEOVER 16 long 10 COINUSDT @94 cash 940 in round 1; RESTORED 16 20 ABOVE_TARGET in round 1
    """
    play(twin, venue(takeover={"price": "mark"}, markets=TWO_MARKETS), rows)


# ---- who gets or pays the difference


def insured(fee_ppm: int = 15_000) -> dict:
    return {"bound": {"kind": "mark", "ppm": 100_000}, "insurance": {"max_fee_ppm": fee_ppm}, "quantity": "all"}


@pytest.mark.parametrize(
    ("fee_ppm", "bid", "fund", "said"),
    [
        (
            15_000,
            "94",
            {"capital": 10},
            "LIQUIDATION_FEE 22.56 USDT 16 to FUND in round 1; RESTORED 16 1.44 FLAT in round 1",
        ),  # 1.5 % of 1,504
        (
            15_000,
            "93",
            {"capital": 10},
            f"LIQUIDATION_FEE 8 USDT 16 to FUND in round 1; {FLAT}",
        ),  # all of the surplus: 1,488 - 1,480
        (0, "94", {"capital": 10}, "RESTORED 16 24 FLAT in round 1"),
        (1_000_000, "94", {"capital": 10}, f"LIQUIDATION_FEE 24 USDT 16 to FUND in round 1; {FLAT}"),
        (15_000, "92.5", {"capital": 10}, FLAT),
        (15_000, "91.5", {"capital": 100}, f"FUND_PAYMENT 16 USDT FUND to 16 in round 1; {FLAT}"),  # 1,464 - 1,480
        (
            15_000,
            "91.5",
            {"capital": 10},
            "FUND_PAYMENT 10 USDT FUND to 16 in round 1; FUND_SHORT 16 6 in round 1; FUND_SHORT 16 6 in round 1; WRITE_OFF 6 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            15_000,
            "91.5",
            {"capital": 10, "floor": 4},
            "FUND_PAYMENT 6 USDT FUND to 16 in round 1; FUND_SHORT 16 10 in round 1; FUND_SHORT 16 10 in round 1; WRITE_OFF 10 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            15_000,
            "91.5",
            {"capital": 100, "event_max": 5},
            "FUND_PAYMENT 5 USDT FUND to 16 in round 1; FUND_SHORT 16 11 in round 1; FUND_SHORT 16 11 in round 1; WRITE_OFF 11 USDT BAD_DEBT to 16 in round 1; "
            + FLAT,
        ),
        (
            15_000,
            "91.5",
            {"capital": 3, "floor": 4},
            "FUND_SHORT 16 16 in round 1; FUND_SHORT 16 16 in round 1; WRITE_OFF 16 USDT BAD_DEBT to 16 in round 1; " + FLAT,
        ),
    ],
)
def test_the_fund_gets_or_pays_the_insurance_delta(twin, fee_ppm, bid, fund, said):
    rows = f"""
    1    buy 18 COINUSDT 16 @{bid} #5    | ...
    2    source coin 94                  | {AT_94}FILL BOOK 16 sell 16 @{bid} from 18 #5 in round 1; {said}
    """
    play(twin, venue("takeover", book=insured(fee_ppm), fund=fund), RICH + rows)


def test_a_slice_in_parts_counts_as_a_whole_and_a_cap_ends_with_its_event(twin):
    """8 lots at 93 and 4 at 91: 744 + 364 - 1,110 = - 2. The next event may pay anew: 4 lots at 90.5 bring 362 of 370."""
    rows = f"""
    1    buy 18 COINUSDT 8 @93 #5        | ...
    1    buy 18 COINUSDT 4 @91 #6        | ...
    2    source coin 94                  | {AT_94}FILL BOOK 16 sell 8 @93 from 18 #5 in round 1; FILL BOOK 16 sell 4 @91 from 18 #6 in round 1; FUND_PAYMENT 2 USDT FUND to 16 in round 1; CARRIED 16 6 in round 1; CARRIED 16 6 in round 2
    3    buy 18 COINUSDT 4 @90.5 #7      | ...
    4    source coin 94.05               | INDEX COIN 94.05 of 1; MARK COINUSDT 94.05; FILL BOOK 16 sell 4 @90.5 from 18 #7 in round 1; FUND_PAYMENT 7 USDT FUND to 16 in round 1; FUND_SHORT 16 1 in round 1; FUND_SHORT 16 1 in round 1; WRITE_OFF 1 USDT BAD_DEBT to 16 in round 1; {FLAT}
    """
    play(twin, venue("takeover", book=insured(), fund={"capital": 100, "event_max": 7}), RICH + rows)


@pytest.mark.parametrize(
    ("seniority", "said"),
    [
        ("junior", f"LIQUIDATION_FEE 8 USDT 16 to FUND in round 1; {FLAT}"),  # 1 % of 1,488 is 14.88, 8 are left
        ("senior", f"LIQUIDATION_FEE 14.88 USDT 16 to FUND in round 1; FUND_PAYMENT 6.88 USDT FUND to 16 in round 1; {FLAT}"),
    ],
)
def test_the_fee_is_taken_after_or_before_the_debt_is_covered(twin, seniority, said):
    rows = f"""
    1    buy 18 COINUSDT 16 @93 #5       | ...
    2    source coin 94                  | {AT_94}FILL BOOK 16 sell 16 @93 from 18 #5 in round 1; {said}
    """
    book = {"fee_seniority": seniority, "quantity": "all"}
    play(twin, venue("takeover", book=book, fund={"capital": 100}, market={"fees": {"liquidation_ppm": 10_000}}), RICH + rows)


# ---- rule books that do not say what they mean


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: venue(takeover={"fee_ppm": 5}), "a takeover at the bankruptcy has no fee"),
        (lambda: venue(takeover={"price": "bankruptcy_value", "fee_ppm": 5}), "a takeover at the bankruptcy_value has no fee"),
        (lambda: venue(takeover={"price": "mark", "surplus": "fund"}), "leaves the margin with the account"),
        (lambda: venue(takeover={"price": "last"}), "Input should be 'bankruptcy'"),
        (lambda: venue(book={"bound": FILLABLE | {"ppm": 5}}), "Extra inputs are not permitted"),
        (lambda: venue(book={"bound": {"kind": "fillable", "bankruptcy_adjustment_ppm": 5}}), "Field required"),
        (lambda: venue(book={"bound": FILLABLE | {"spread_to_maintenance_ppm": 10**8}}), "less than or equal to 10000000"),
        (lambda: venue(book=insured() | {"fee_seniority": "senior"}), "insurance takes the place of the fee"),
        (lambda: venue(book=insured(), market={"fees": {"liquidation_ppm": 1}}), "insurance takes the place of this fee"),
        (lambda: venue(unit="0.01"), "no stage asks for a bankruptcy value"),
        (lambda: venue(unit="0", takeover={"price": "bankruptcy_value"}), "0 is no unit"),
        (lambda: venue(unit="0.00001", takeover={"price": "bankruptcy_value"}), "more than 4 decimals"),
        (lambda: venue(fund={"floor": "0.00001"}), "more than 4 decimals"),
    ],
)
def test_a_row_that_cannot_act_is_refused(make, problem):
    with pytest.raises(ValidationError, match=problem):
        make()


# ---- planted bugs, in the engine alone


PLANTED = {
    45: (venue("takeover", book={"bound": FILLABLE}), "1    buy 18 COINUSDT 16 @92 #5 | ..."),
    46: (venue("takeover", book=insured(), fund={"capital": 1_000}), "1    buy 18 COINUSDT 4 @91.5 #5 | ..."),
    47: (venue("takeover", book=insured()), "1    buy 18 COINUSDT 16 @94 #5 | ..."),
    48: (venue("takeover", book=insured(), fund={"capital": 100, "floor": 95}), "1    buy 18 COINUSDT 16 @92 #5 | ..."),
    49: (venue(takeover={"surplus": "fund"}), ""),
}
BUGS = {
    45: "a fillable price is as far from the mark as it may ever be",
    46: "a bankruptcy value takes all of the equity for any part of a position",
    47: "the fund gets all of a surplus",
    48: "the fund pays below its floor",
    49: "the surplus of a takeover stays with the account",
}
LAW_OF = {45: "L5", 46: "L23", 47: "L23", 48: "L9", 49: "L23"}


@pytest.mark.checked
@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_a_planted_bug_is_found_by_the_twins_and_by_a_law(bug):
    book, rows = PLANTED[bug]
    events = tape(book, RICH + rows + "\n2    source coin 94 | ...")
    model, engine, right = Model(book, START_NS), Engine(book, START_NS, (), bug), Engine(book, START_NS)
    found = set()
    for event in events:
        before, said, same = engine.state(), engine.apply(event), model.apply(event) == right.apply(event)
        assert same
        found |= {broken.law for broken in laws.breaches(book, before, event.tobytes(), said, engine.state())}
    assert engine.digest() != model.digest() and LAW_OF[bug] in found, BUGS[bug]


# ---- all of a market's open interest in one liquidation


ROWS = [
    {},
    {"takeover": {"price": "bankruptcy_value"}},
    {"takeover": {"price": "mark", "fee_ppm": 7_000}},
    {"takeover": {"surplus": "fund"}},
    {"book": insured()},
    {"book": insured(1_000_000), "takeover": {"price": "bankruptcy_value", "surplus": "fund"}},
    {"book": {"bound": FILLABLE, "fee_seniority": "senior"}, "market": {"fees": {"liquidation_ppm": 12_000, "taker_ppm": 500}}},
    {"takeover": {"notional_max": 0}, "adl": {}},
    {"takeover": {"notional_max": 0}, "adl": {}, "book": {"bound": {"kind": "bankruptcy", "under_water": "bankruptcy"}}},
]


def _all_of_it(dice: Random) -> tuple[rules.Venue, str]:
    """Return a rule book whose fund can pay, and a tape on which one account holds a whole side and falls into liquidation."""
    row = {name: dict(change) for name, change in ROWS[dice.randrange(len(ROWS))].items()}
    book = venue(fund={"capital": 10**6, "measure": ("cash", "net")[dice.randrange(2)]}, **row)
    long, shorts, lots = dice.randrange(2), 1 + dice.randrange(3), 0
    rows, order = ["0 source coin 100", "0 source usd 1", "0 account 16"], 0
    for other in range(shorts):
        rows += [f"0 account {17 + other}", f"0 deposit {17 + other} USDT {300 + dice.randrange(600)}"]
    held = [1 + dice.randrange(8) for _ in range(shorts)]
    rows.append(f"0 deposit 16 USDT {sum(held) * (11 + dice.randrange(6))}")
    for other, lots in enumerate(held):
        sides = ("buy", "sell") if long else ("sell", "buy")
        for account, side in ((16, sides[0]), (17 + other, sides[1])):
            order += 1
            rows.append(f"1 {side} {account} COINUSDT {lots} @100 #{order}")
    if dice.randrange(2):  # somebody may take part of it in the book, at any price
        rows += ["1 account 30", "1 deposit 30 USDT 9000"]
        for _ in range(1 + dice.randrange(3)):
            order += 1
            price = (100 - dice.randrange(25)) if long else (100 + dice.randrange(25))
            rows.append(f"2 {'buy' if long else 'sell'} 30 COINUSDT {1 + dice.randrange(12)} @{price} #{order}")
    for time in range(3, 6):
        move = 5 + dice.randrange(30)
        rows.append(f"{time} source coin {100 - move if long else 100 + move}")
    return book, "\n".join(text + " |" for text in rows)


@pytest.mark.parametrize("seed", range(40))
def test_a_liquidation_of_all_open_interest_leaves_no_negative_pool(seed):
    """While the fund can pay: neither it nor the pool of all holders is ever below 0, nobody owes, and nothing is written off."""
    book, table = _all_of_it(Random(seed))
    events, liquidated = tape(book, table), 0
    model, engine = Model(book, START_NS), Engine(book, START_NS)
    for event in events:
        before, said = engine.state(), engine.apply(event)
        assert said == model.apply(event)
        after = engine.state()
        assert not list(laws.breaches(book, before, event.tobytes(), said, after))
        for scene, o in Case(Book(book), before, event_of(event.tobytes()), outcomes_of(said), after).walk():
            liquidated += o.kind == OutcomeKind.LIQUIDATION and o.account == 16
            holders = [*scene.status, Chart.BACKSTOP]
            pool = sum(scene.cash(who) + scene.qty[who, 0] * scene.value(0) for who in holders) + scene.cash(Chart.FUND)
            assert scene.cash(Chart.FUND) >= 0 and pool >= 0
            assert o.flow != Flow.WRITE_OFF and o.kind != OutcomeKind.FUND_SHORT
        end = Scene(Book(book), after)
        owing = [who for who in end.status if not end.held(who) and end.cash(who) < 0]
        assert not owing and end.cash(Chart.BAD_DEBT) == 0
    assert liquidated
