"""What a slice closes: of which position, how many lots, how often and at what fee. A row an event, on both twins.

The rule book is tests/twins.py:small_venue: 16 lots at 100 on 120 of cash; at 94 equity is 24, maintenance 37.6.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from pydantic import ValidationError

from riskbed.venue import book, check
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import Flow, OutcomeKind, Stage
from tests.test_laws import TRADED, TWO_MARKETS, index, market_row
from tests.test_model_tables import TRADED as PLAYED
from tests.twins import START_NS, play, small_venue, stages, tape, twin  # noqa: F401

WIDE = {"kind": "mark", "ppm": 900_000}
BIDS = """
    1    deposit 17 USDT 100000         | ...
    1    buy 17 COINUSDT {bid} @94 #3   | ...
"""


def sold(twin, book: dict, bid: int = 16, price: str = "94", market: dict | None = None, table: str = "", **venue) -> list[int]:
    """Return the lots of each slice of 16 lots against a bid, in order."""
    rows = {
        "market": market or {},
        "limits": {"rounds_max": 1},
        "liquidation": {"stages": stages("takeover", book={"bound": WIDE} | book)},
    }
    exchange = twin(small_venue(**rows | venue), START_NS)
    text = TRADED + BIDS.format(bid=bid) + f"2 source coin {price} | ...\n" + table
    found: dict[int, int] = {}
    for event in tape(small_venue(), text):
        for o in outcomes_of(exchange.apply(event)):
            if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
                found[o.ref_id] = found.get(o.ref_id, 0) + o.qty
    return list(found.values())


@pytest.mark.parametrize(
    "quantity, lots",
    [
        ("all", 16),
        ({"kind": "share", "share_ppm": 250_000}, 4),
        ({"kind": "share", "share_ppm": 260_000}, 5),  # 4.16, up to a lot
        ({"kind": "share", "share_ppm": 250_000, "whole": 1_504}, 16),  # the notional at 94
        ({"kind": "share", "share_ppm": 250_000, "whole": 1_503}, 4),
        ({"kind": "share", "share_ppm": 250_000, "whole_lots": 16}, 16),
        ({"kind": "share", "share_ppm": 250_000, "whole_lots": 15}, 4),
        ({"kind": "share", "share_ppm": 500_000, "book_ppm": 400_000}, 6),  # of 16 that are bid
        ({"kind": "share", "share_ppm": 500_000, "book_ppm": 50_000}, None),  # 0.8 of a lot
        ({"kind": "shortage"}, 5),  # 13.6 short, 2.35 freed by a lot: 5.8
        ({"kind": "shortage", "discount_ppm": 10_000}, 9),  # 1.41 freed: 9.6
        ({"kind": "shortage", "discount_ppm": 25_000}, 16),  # nothing is freed
        ({"kind": "tiers"}, None),  # already in the first bracket
    ],
)
def test_how_much_a_slice_closes(twin, quantity, lots):
    assert sold(twin, {"quantity": quantity}) == ([] if lots is None else [lots])


BRACKETS = [{"notional_max": cap, "leverage_max": 10, "maintenance_ppm": 25_000} for cap in (400, 1_000, 1_200, 5_000)]


@pytest.mark.parametrize("down, lots", [(1, 4), (2, 6), (3, 12), (9, 12)])  # 12, 10 and 4 lots stay at 94; else as few as that
def test_tier_by_tier(twin, down, lots):
    market = {"brackets": BRACKETS, "leverage_default": 10}
    big = TRADED.replace("deposit 16 USDT 120", "deposit 16 USDT 200").replace("deposit 17 USDT 120", "deposit 17 USDT 400")
    rows = {
        "limits": {"rounds_max": 1},
        "market": market,
        "liquidation": {"stages": stages("takeover", book={"bound": WIDE, "quantity": {"kind": "tiers", "down": down}})},
    }
    exchange = twin(small_venue(**rows), START_NS)
    found = []
    for event in tape(small_venue(), big + BIDS.format(bid=16).replace("@94", "@88") + "2 source coin 89 | ...\n"):
        found += [o.qty for o in outcomes_of(exchange.apply(event)) if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK]
    keep = [400, 1_000, 1_200][max(0, 3 - down)] // 89
    assert found == [16 - keep]


@pytest.mark.parametrize(
    "caps, first",
    [
        (
            {"time_share": {"initial_ppm": 250_000, "duration_ns": 4 * units.NS}},
            [4, 9],
        ),  # then 25 % + 2 s of 4 of the 12 that are left
        ({"time_share": {"initial_ppm": 250_000, "duration_ns": 4 * units.NS, "small": "13.7"}}, [16]),  # 13.6 is little
        ({"position_share": {"share_ppm": 250_000}}, [4, 3]),
        ({"position_share": {"share_ppm": 10_000, "notional_min": 189}}, [2, 2]),  # 2.01 lots at 94; 2.0 at 94.5
    ],
)
def test_what_caps_a_slice(twin, caps, first):
    later = "4 source coin 93.95 | ...\n"
    assert sold(twin, {"quantity": "all"} | caps, table=later) == first


@pytest.mark.parametrize("most, lots", [(300, [4, 4]), (376, [4, 4]), ("376.01", [5, 5]), (1, [1, 1]), (5_000, [16])])
def test_a_window_closes_so_much_and_no_more(twin, most, lots):
    """Whatever moves within a window of two seconds; at its end the account is looked at by itself."""
    book = {"quantity": "all", "block_limit": {"window_ns": 2 * units.NS, "notional_max": most}}
    table = "3 source coin 93.95 | ...\n3 source coin 94 | ...\n4 clock | ...\n"
    assert sold(twin, book, table=table) == lots


UNDER_WATER = {"quantity": "all", "insurance": {"max_fee_ppm": 0}}


@pytest.mark.parametrize("most, paid, short", [(None, [64], []), (70, [64], []), (40, [40], [24])])
def test_a_window_costs_the_fund_so_much_and_no_more(twin, most, paid, short):
    """16 lots at 88.5 have lost 184 of 120: their bankruptcy value is 64 above what a bid at the mark brings."""
    limit = {} if most is None else {"block_limit": {"window_ns": units.NS, "insurance_max": most}}
    rows = {"limits": {"rounds_max": 1}, "fund": {"capital": 1_000}}
    rows |= {"liquidation": {"stages": stages("takeover", book={"bound": WIDE} | UNDER_WATER | limit)}}
    exchange, found, lacks = twin(small_venue(**rows), START_NS), [], []
    for event in tape(small_venue(), TRADED + BIDS.format(bid=16).replace("@94", "@88.5") + "2 source coin 88.5 | ...\n"):
        for o in outcomes_of(exchange.apply(event)):
            found += [o.money // 10_000] if o.flow == Flow.FUND_PAYMENT and o.stage == Stage.BOOK else []
            lacks += [o.money // 10_000] if o.kind == OutcomeKind.FUND_SHORT and o.stage == Stage.BOOK else []
    assert (found, lacks) == (paid, short)


def test_a_window_outlives_an_episode_and_a_snapshot(twin):
    """4 lots are 376 of 300. Money ends the episode, a fall opens another in the same window: it waits for the next."""
    first = """
    2    source coin 94 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 4 @94 from 17 #3 in round 1; CARRIED 16 24 COOLING_DOWN in round 1
    2    deposit 16 USDT 60 | DEPOSIT 60 USDT OUTSIDE to 16; RESTORED 16 84 ABOVE_TARGET
    3    source coin 89 | INDEX COIN 89 of 1; MARK COINUSDT 89; LIQUIDATION 16 24; CARRIED 16 24 COOLING_DOWN in round 1
    """
    book = {"bound": WIDE, "quantity": "all", "block_limit": {"window_ns": 4 * units.NS, "notional_max": 300}}
    venue = small_venue(limits={"rounds_max": 1}, liquidation={"stages": stages(book=book)})
    exchange = play(twin, venue, PLAYED + BIDS.format(bid=16) + first)
    again = type(exchange).restore(venue, exchange.snapshot())
    assert again.state() == exchange.state() and [row[0] for row in exchange.state()["blocks"]] == [16]
    event = tape(venue, "4 clock | ...")[0]
    said = outcomes_of(exchange.apply(event))
    assert [o.qty for o in said if o.stage == Stage.BOOK and o.kind == OutcomeKind.FILL] == [4] and outcomes_of(again.apply(event)) == said


def test_an_account_cools_down_between_slices(twin):
    """4 of 16, then 3 of 12 two seconds later, by the clock alone; nobody else touches its lots meanwhile."""
    table = """
    2    source coin 94 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 1 @94 from 17 #3 in round 1; CARRIED 16 24 COOLING_DOWN in round 1
    3    source coin 93.95 | INDEX COIN 93.95 of 1; MARK COINUSDT 93.95
    4    clock          | FILL BOOK 16 sell 1 @94 from 17 #3 in round 1; CARRIED 16 23.3 COOLING_DOWN in round 1
    5    source coin 99 | INDEX COIN 99 of 1; MARK COINUSDT 99; RESTORED 16 94 ABOVE_TARGET
    6    clock          |
    """
    book = {"bound": WIDE, "cooldown_ns": 2 * units.NS, "quantity": {"kind": "share", "share_ppm": 50_000}}
    venue = small_venue(liquidation={"stages": stages(book=book)})
    exchange = play(twin, venue, PLAYED + BIDS.format(bid=9) + table)
    assert not [row for row in exchange.state()["timers"] if row[0] == 8] and exchange.state()["episodes"] == []


def test_a_stage_with_its_own_condition_does_not_wait_for_the_cooldown(twin):
    table = """
    2    source coin 94 | ...
    3    source coin 93.2 | INDEX COIN 93.2 of 1; MARK COINUSDT 93.2; TAKEOVER 16 long 15 @93.2 cash 1386 in round 1; RESTORED 16 0 FLAT in round 1
    """
    book = {"bound": WIDE, "cooldown_ns": 2 * units.NS, "quantity": {"kind": "share", "share_ppm": 50_000}}
    venue = small_venue(liquidation={"stages": stages(book=book, takeover={"enter": {"below": "1/2"}})})
    play(twin, venue, PLAYED + BIDS.format(bid=9) + table)


def test_a_cooldown_survives_a_snapshot(twin):
    book = {"bound": WIDE, "cooldown_ns": 2 * units.NS, "quantity": {"kind": "share", "share_ppm": 50_000}}
    venue = small_venue(liquidation={"stages": stages(book=book)})
    exchange = play(twin, venue, PLAYED + BIDS.format(bid=9) + "2 source coin 94 | ...")
    again = type(exchange).restore(venue, exchange.snapshot())
    event = tape(venue, "4 clock | ...")[0]
    said = exchange.apply(event)
    assert said and again.apply(event) == said and again.state() == exchange.state()


@pytest.mark.parametrize(
    "choice, market", [("largest_loss", 0), ("largest_notional", 0), ("largest_maintenance", 1), ("highest_rate", 1)]
)
def test_which_position_is_closed_first(twin, choice, market):
    """10 lots at 88 have lost 120 and need 22; 6 at 100 have lost nothing and need 60."""
    source = lambda name: {"kind": "source", "name": name}  # noqa: E731
    venue = small_venue(
        limits={"rounds_max": 1},
        markets=[market_row("COINUSDT", 25_000), market_row("COINTWO", 100_000)],
        indices=[index("COINUSDT", source("coin")), index("COINTWO", source("coin2")), index("USD", source("usd"))],
        liquidation={"stages": stages(book={"bound": WIDE, "quantity": "all", "choice": choice})},
    )
    exchange, found = twin(venue, START_NS), []
    for event in tape(venue, TWO_MARKETS):
        found += [o.market for o in outcomes_of(exchange.apply(event)) if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK]
    assert found == [market]


def fees(twin, market_fees: dict, wait: int) -> tuple[int, int]:
    """Return (fee, notional) of the first slice, `wait` seconds after the episode opened, of 16 lots at 94."""
    rows = {"market": {"fees": market_fees}, "limits": {"rounds_max": 1}}
    venue = small_venue(**rows, liquidation={"stages": stages("takeover", book={"bound": WIDE, "quantity": "all"})})
    exchange, found, traded = twin(venue, START_NS), 0, 0
    text = (
        TRADED
        + f"1 deposit 17 USDT 9000 | ...\n2 source coin 94 | ...\n{2 + wait} buy 17 COINUSDT 4 @94 #9 | ...\n{2 + wait} deposit 16 USDT 0.0001 | ...\n"
    )
    for event in tape(venue, text):
        for o in outcomes_of(exchange.apply(event)):
            found += o.money if o.flow == Flow.LIQUIDATION_FEE else 0
            traded += o.qty * o.price * 100 if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK else 0
    return found, traded


@pytest.mark.parametrize("wait, ppm", [(0, 1_000), (2, 1_000), (3, 2_500), (4, 3_000), (40, 4_000)])
def test_a_fee_grows_with_the_episode(twin, wait, ppm):
    growth = {"grace_ns": 3 * units.NS, "every_ns": units.NS, "ppm": 500, "max_ppm": 4_000}
    fee, traded = fees(twin, {"liquidation_ppm": 1_000, "liquidation_growth": growth}, wait)
    assert traded and fee == -(-traded * ppm // units.PPM)


@pytest.mark.parametrize("share, discount, most", [(900_000, 4_000, 30_000), (500_000, 0, 30_000), (900_000, 0, 5_000)])
def test_a_fee_of_what_closing_leaves(twin, share, discount, most):
    """2.5 % less the discount less 13.5999 short of 1,504, times the share."""
    fee, traded = fees(twin, {"liquidation_ppm": most, "liquidation_left": {"share_ppm": share, "discount_ppm": discount}}, 1)
    left = Fraction(25_000 - discount, units.PPM) - Fraction(135_999, 15_040_000)
    want = min(Fraction(most, units.PPM), Fraction(share, units.PPM) * left) * traded
    assert traded and 0 <= fee - want < 2


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"market": {"fees": {"liquidation_left": {"share_ppm": 1}}}}, "never charged"),
        (
            {"market": {"fees": {"liquidation_ppm": 5, "liquidation_growth": {"every_ns": 1, "ppm": 1, "max_ppm": 5}}}},
            "it never grows",
        ),
        (
            {
                "market": {
                    "fees": {
                        "liquidation_ppm": 1,
                        "liquidation_left": {"share_ppm": 1},
                        "liquidation_growth": {"every_ns": 1, "ppm": 1, "max_ppm": 5},
                    }
                }
            },
            "two rules for one fee",
        ),
        (
            {"liquidation": {"stages": stages(book={"quantity": {"kind": "tiers", "share_ppm": 5}})}},
            "Extra inputs are not permitted",
        ),
        ({"liquidation": {"stages": stages(book={"quantity": {"kind": "share"}})}}, "Field required"),
        ({"liquidation": {"stages": stages(book={"quantity": {"kind": "slice"}})}}, "does not match any of the expected tags"),
        ({"liquidation": {"stages": stages(book={"block_limit": {"window_ns": units.NS}})}}, "limits nothing"),
        ({"liquidation": {"stages": stages(book={"block_limit": {"window_ns": units.NS, "notional_max": 0}})}}, "ever be closed"),
        ({"liquidation": {"stages": stages(book={"block_limit": {"window_ns": units.NS, "insurance_max": 1}})}}, "pays nothing"),
        (
            {"liquidation": {"stages": stages(book={"quantity": {"kind": "tiers"}})}, "market": {"maintenance_min": 5}},
            "there are no tiers",
        ),
    ],
)
def test_contradicting_rows_are_refused(changes, words):
    with pytest.raises(ValidationError) as refused:
        small_venue(**changes)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "row, place",
    [
        ({"time_share": {"initial_ppm": 1_000_000, "duration_ns": 5}}, "time_share.initial_ppm"),
        ({"position_share": {"share_ppm": 1_000_000}}, "position_share.share_ppm"),
        ({"quantity": {"kind": "share", "share_ppm": 1_000_000}}, "quantity.share_ppm"),
        ({"quantity": {"kind": "tiers"}}, "quantity"),
    ],
)
def test_rows_that_never_act_are_found(row, place):
    def found(rows: dict) -> list[str]:
        market = {"brackets": [{"notional_max": 2_000, "leverage_max": 20, "maintenance_ppm": 25_000}]}
        venue = small_venue(market=market, liquidation={"stages": stages(book=rows)})
        text = json.dumps(venue.model_dump(mode="json", exclude_defaults=True))
        return [f.place.partition("book.")[2] for f in check.findings(book.of_text(text), "contradictions")]

    assert place in found(row) and place not in found({})


def test_every_quantity_has_a_row():
    assert {row.model_fields["kind"].annotation.__args__[0] for row in (rules.Shortage, rules.Tiers, rules.Share)} == {
        "shortage",
        "tiers",
        "share",
    }
