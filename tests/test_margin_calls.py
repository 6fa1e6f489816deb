"""When an account is in trouble: levels of margin calls, least maintenance, the cost of closing, and conditions of stages.

The rule book is tests/twins.py:small_venue: 16 lots at 100 need 2.5 % maintenance, on 120 of cash.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from pydantic import ValidationError

from riskbed.venue import book, check
from specs import rules, units
from specs.model.margin import Brackets
from tests.test_model_tables import TRADED
from tests.twins import START_NS, play, small_venue, stages, tape, twin  # noqa: F401

CALLS = [{"name": "call", "at_most": "1.5"}, {"name": "last", "at_most": "11/10"}]
ONE_ROUND = {"rounds_max": 1}


def test_each_level_is_told_once_on_the_way_down_and_on_the_way_up(twin):
    """Equity / maintenance: 72 / 38.8, 56 / 38.4, 44 / 38.1, 40 / 38, 64 / 38.6, then a debt; a flat account has no level."""
    table = """
    2    source coin 97    | INDEX COIN 97 of 1; MARK COINUSDT 97
    3    source coin 96    | INDEX COIN 96 of 1; MARK COINUSDT 96; MARGIN_LEVEL 16 1 after 0, 56
    4    source coin 95.25 | INDEX COIN 95.25 of 1; MARK COINUSDT 95.25
    5    source coin 95    | INDEX COIN 95 of 1; MARK COINUSDT 95; MARGIN_LEVEL 16 2 after 1, 40
    6    source coin 96.5  | INDEX COIN 96.5 of 1; MARK COINUSDT 96.5; MARGIN_LEVEL 16 0 after 2, 64
    7    source coin 96    | INDEX COIN 96 of 1; MARK COINUSDT 96; MARGIN_LEVEL 16 1 after 0, 56
    8    deposit 16 USDT 9 | DEPOSIT 9 USDT OUTSIDE to 16; MARGIN_LEVEL 16 0 after 1, 65
    9    source coin 91    | INDEX COIN 91 of 1; MARK COINUSDT 91; MARGIN_LEVEL 16 2 after 0, -15; LIQUIDATION 16 -15; TAKEOVER 16 long 16 @91 cash 1456 in round 1; WRITE_OFF 15 USDT BAD_DEBT to 16 in round 1; MARGIN_LEVEL 16 0 after 2, 0 in round 1; RESTORED 16 0 FLAT in round 1
    """
    venue = small_venue(liquidation={"stages": stages("book", "fund"), "levels": CALLS})
    exchange = play(twin, venue, TRADED + table)
    assert exchange.state()["levels"] == []


def test_a_level_is_state_and_survives_a_snapshot(twin):
    venue = small_venue(liquidation={"stages": stages(), "levels": CALLS})
    exchange = play(twin, venue, TRADED + "2 source coin 96 | ...")
    assert exchange.state()["levels"] == [(16, 1)]
    again = type(exchange).restore(venue, exchange.snapshot())
    event = tape(venue, "3 source coin 97 | ...")[0]
    assert again.apply(event) == exchange.apply(event) and again.state()["levels"] == []


def test_the_backstop_waits_for_its_ratio(twin):
    """24 of 37.6 is more than a half, 8 of 37.2 is not; what is neither sold nor taken is carried by name."""
    table = """
    2    source coin 94    | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; CARRIED 16 24 in round 1
    3    source coin 93    | INDEX COIN 93 of 1; MARK COINUSDT 93; TAKEOVER 16 long 16 @93 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """
    venue = small_venue(limits=ONE_ROUND, liquidation={"stages": stages(takeover={"enter": {"below": "1/2"}})})
    play(twin, venue, TRADED + table)


def test_the_book_is_left_alone_below_its_ratio(twin):
    """There is a bid for all of it; at 8 of 37.2 the book stage is over and the backstop takes everything."""
    table = """
    1    deposit 17 USDT 1000            | ...
    1    buy 17 COINUSDT 16 @90 #3       | ...
    2    source coin 93    | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 8; TAKEOVER 16 long 16 @93 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    """
    enter = {"enter": {"at_least": "1/2"}, "bound": {"kind": "mark", "ppm": 50_000}}
    play(twin, small_venue(liquidation={"stages": stages(book=enter)}), TRADED + table)


@pytest.mark.parametrize(
    "market, price, equity, reason",
    [
        ({"maintenance_min": 45}, "95.25", "44", " MINIMUM"),  # 38.1 by rate
        ({"maintenance_min": 45, "closing": {"impact_ppm": 1_000, "fixed": 3}}, "95.55", "48.8", " MINIMUM"),  # 45 + 3 + 1.5288
        ({"maintenance_min": 30, "closing": {"impact_ppm": 1_000, "fixed": 3}}, "95.2", "43.2", ""),  # 38.08 + 1.5232 + 3 is not
        ({"fees": {"taker_ppm": 1_000}, "closing": {"fee": "taker"}}, "95", "38.4", ""),  # 38 + 1.52; 1.6 was paid to open
    ],
)
def test_what_a_position_asks_for_beside_its_brackets(twin, market, price, equity, reason):
    if equity == "43.2":
        price, equity = "95.1", "41.6"  # 38.04 + 1.5216 + 3 = 42.5616
    who = 17 if "fees" in market else 16
    table = TRADED if who == 16 else TRADED.replace("buy 16", "x").replace("sell 17", "buy 16").replace("x", "sell 17")
    exchange = twin(small_venue(market=market), START_NS)
    said = _words(exchange, table + f"2 source coin {price} | ...")
    assert f"LIQUIDATION 16 {equity}{reason};" in said + ";"


def _words(exchange, table: str) -> str:
    from specs.scene import outcomes_of
    from tests.twins import say

    venue = small_venue()
    return [";".join(say(venue, o) for o in outcomes_of(exchange.apply(event))) for event in tape(venue, table)][-1]


def test_requirements_are_their_formula():
    """max(0, max(least, N rate - amount)) + N closing + fixed, rounded up, at and around every edge."""
    for market in (
        {"maintenance_min": 7},
        {"maintenance_min": "61.5"},
        {"maintenance_min": 700},
        {"closing": {"impact_ppm": 333, "fixed": "0.7"}},
        {},
    ):
        for more in ({}, {"closing": {"impact_ppm": 77}}):
            venue = small_venue(market=market | more if "closing" not in market else market)
            row, one = venue.markets[0], 10**4
            brackets = Brackets(venue, row)
            edges = [cap for cap, *_ in brackets.rows] + [row.notional_max * one for row in row.brackets]
            for notional in {1, 777, *(edge + step for edge in edges for step in (-1, 0, 1, 999))}:
                at = next((b for b in row.brackets if notional <= b.notional_max * one), row.brackets[-1])
                plain = Fraction(notional * at.maintenance_ppm, units.PPM) - at.amount * one
                need = max(plain, rules.whole(row.maintenance_min, 4)) + Fraction(notional * row.closing_ppm, units.PPM)
                need += rules.whole(row.closing.fixed, 4) if row.closing else 0
                assert 0 <= brackets.maintenance(notional, 1) - need < 1, (market, more, notional)


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"liquidation": {"stages": stages(), "levels": [{"name": "a", "at_most": "1"}, {"name": "b", "at_most": "1.0"}]}},
            "1.0 is not below 1 of 'a'",
        ),
        ({"liquidation": {"stages": stages(), "levels": [{"name": "a", "at_most": "0"}]}}, "should match pattern"),
        (
            {"liquidation": {"stages": stages(), "levels": [{"name": "a", "at_most": "2"}, {"name": "a", "at_most": "1"}]}},
            "'a' stands twice",
        ),
        ({"liquidation": {"stages": stages(takeover={"enter": {}})}}, "a condition without a ratio"),
        (
            {"liquidation": {"stages": stages(takeover={"enter": {"below": "1/2", "at_least": "2/3"}})}},
            "never true: at least 2/3 and below 1/2",
        ),
        ({"market": {"closing": {"fee": "none"}}}, "closing costs nothing"),
        ({"market": {"closing": {"fee": "taker"}}}, "the market has no taker fee"),
        ({"market": {"closing": {"impact_ppm": 990_000}}}, "more than 100 %"),
        ({"market": {"maintenance_min": "0.00001"}}, "'0.00001' has more than 4 decimals"),
    ],
)
def test_contradicting_rows_are_refused(changes, words):
    with pytest.raises(ValidationError) as refused:
        small_venue(**changes)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "stage, row, rule, severity",
    [
        ("takeover", {"enter": {"at_least": "1/2"}}, "stages-end", "fails"),
        ("takeover", {"enter": {"below": "1/2"}}, "stages-end", "note"),
        ("book", {"enter": {"at_least": "1.5"}}, "contradictions", "warns"),
    ],
)
def test_the_check_of_a_rule_book_reads_conditions(stage, row, rule, severity):
    def finds(rows: dict) -> bool:
        venue = small_venue(liquidation={"stages": stages(**{stage: rows})})
        text = json.dumps(venue.model_dump(mode="json", exclude_defaults=True))
        return any(f.severity == severity and "enter" in f.place for f in check.findings(book.of_text(text), rule))

    assert finds(row) and not finds({})
