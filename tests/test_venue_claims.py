"""What `riskbed venue check` claims of a rule book, run on both twins: it comes true where it finds, and not a unit before."""
# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import json

import pytest

from riskbed.venue import book, check
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import OutcomeKind
from tests.twins import START_NS, small_venue, stages, tape, twin  # noqa: F401


def found(venue: rules.Venue, rule: str, severity: str) -> bool:
    """Return whether a check has a finding of that severity in a rule book."""
    text = json.dumps(venue.model_dump(mode="json", exclude_defaults=True))  # JSON is YAML
    return any(row.severity == severity for row in check.findings(book.of_text(text), rule))


def kinds(twin, venue: rules.Venue, table: str) -> list[str]:
    """Run a table; return the kinds of all outcomes."""
    exchange = twin(venue, START_NS)
    return [OutcomeKind(o.kind).name for event in tape(venue, table) for o in outcomes_of(exchange.apply(event))]


OPENED = """
    0    source coin 100   | ...
    0    source usd 1      | ...
    0    account 16        | ...
    0    account 17        | ...
    0    deposit 17 USDT 500 | ...
"""


@pytest.mark.parametrize(("cap_ppb", "at_once"), [(24_999_000, False), (25_000_000, True)])
def test_who_opens_with_the_initial_margin_is_liquidated_by_funding(twin, cap_ppb: int, at_once: bool) -> None:
    """5 % initial, 2.5 % maintenance: funding of 2.5 % leaves just maintenance. The taker fee was asked for beside it."""
    funding = {"every_ns": 60 * units.NS, "interest_ppb": cap_ppb, "damp_ppb": cap_ppb, "cap_ppb": cap_ppb}
    venue = small_venue(market={"fees": {"taker_ppm": 1_000}, "funding": funding})
    trade = """
    1    deposit 16 USDT 51               | ...
    1    sell 17 COINUSDT 10 @100 #1      | ...
    1    buy 16 COINUSDT 10 @100 #2       | ...
    30   clock                            | ...
    """
    said = kinds(twin, venue, OPENED + trade)
    assert said.count("FILL") == 1 and said.count("FUNDING") == 1 and ("LIQUIDATION" in said) == at_once
    assert found(venue, "room-to-open", "warns") == at_once


@pytest.mark.parametrize(("leverage", "tick_liquidates"), [(20, True), (19, False)])
def test_without_room_the_first_tick_liquidates(twin, leverage: int, tick_liquidates: bool) -> None:
    """5 % maintenance. A cap of 20 asks for one unit of money more than that, and one tick against 10 lots costs 0.5."""
    brackets = [{"notional_max": 2_000, "leverage_max": leverage, "maintenance_ppm": 50_000}]
    venue = small_venue(market={"brackets": brackets, "leverage_default": leverage})
    trade = f"""
    1    deposit 16 USDT {"50.0001" if tick_liquidates else "52.6316"} | ...
    1    sell 17 COINUSDT 10 @100 #1      | ...
    1    buy 16 COINUSDT 10 @100 #2       | ...
    """
    said = kinds(twin, venue, OPENED + trade)
    assert "FILL" in said and "LIQUIDATION" not in said
    said = kinds(twin, venue, OPENED + trade + "    2    source coin 99.95 | ...\n")
    assert ("LIQUIDATION" in said) == tick_liquidates == found(venue, "room-to-open", "warns")


@pytest.mark.parametrize(("buffer_ppm", "bankrupt"), [(100_000, False), (300_000, True)])
def test_collateral_that_counts_for_more_than_it_brings_ends_in_a_shortfall(twin, buffer_ppm: int, bankrupt: bool) -> None:
    """USD counts for 90 %; the price falls by just so much that the account is liquidated, with 25 of maintenance at most."""
    venue = small_venue(collateral_row={"convert_buffer_ppm": buffer_ppm})
    fall = """
    1    deposit 16 USD 200               | ...
    1    sell 17 COINUSDT 10 @100 #1      | ...
    1    buy 16 COINUSDT 10 @100 #2       | ...
    2    source coin 84.1                 | ...
    """
    said = kinds(twin, venue, OPENED + fall)
    assert "LIQUIDATION" in said and ("FUND_SHORT" in said) == bankrupt
    assert found(venue, "conversion", "fails") == bankrupt


@pytest.mark.parametrize(
    ("rows", "carried"),
    [
        (stages(), False),
        (stages(takeover={"notional_max": 10}), True),
        (stages(takeover={"fund_min": 10}), True),
        (stages("takeover"), True),
        (stages("convert"), True),
    ],
)
def test_a_liquidation_without_an_end_is_carried(twin, rows: list[dict], carried: bool) -> None:
    """Nobody bids: lots that the last taker refuses, or collateral that nobody sells, stay in the account."""
    venue = small_venue(liquidation={"stages": rows})
    fall = """
    1    deposit 16 USD 200               | ...
    1    sell 17 COINUSDT 10 @100 #1      | ...
    1    buy 16 COINUSDT 10 @100 #2       | ...
    2    source coin 83                   | ...
    3    source coin 70                   | ...
    4    clock                            | ...
    """
    exchange = twin(venue, START_NS)
    for event in tape(venue, OPENED + fall):
        exchange.apply(event)
    balances = {(account, asset): balance for account, asset, balance in exchange.state()["balances"]}
    held = {account: qty for account, _, qty, *_ in exchange.state()["positions"]}
    ended = not held.get(16, 0) and balances.get((16, 0), 0) >= 0
    assert ended != carried
    assert found(venue, "stages-end", "fails") == carried
