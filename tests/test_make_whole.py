"""Make-whole by hand: every figure below can be checked with a pencil. USDT has 4 decimals, USDE 2, a lot is 1/1000 BTC."""

from __future__ import annotations

import pytest

from riskbed.labels import forced_lots, label
from riskbed.make_whole import BASE, ELIGIBILITY, NETTING, Anchor, conversions, holders, make_whole, quantity_value
from specs.incident import Incident
from specs.load import find, load
from specs.rules import Venue
from specs.tape import Flow, OutcomeKind, Side, Stage
from specs.units import NS
from tests.test_labels import mark, outcomes

VENUE = Venue.model_validate(
    {
        "schema_version": 1,
        "name": "hand",
        "numeraire": "USDT",
        "assets": [{"name": "USDT", "decimals": 4}, {"name": "USDE", "decimals": 2}],
        "sources": [{"name": "btc", "price_decimals": 1}, {"name": "usde", "price_decimals": 4}],
        "indices": [
            {"name": "BTC", "price_decimals": 1, "publish": {"kind": "update"}, "recipe": {"kind": "source", "name": "btc"}},
            {"name": "USDE", "price_decimals": 4, "publish": {"kind": "update"}, "recipe": {"kind": "source", "name": "usde"}},
        ],
        "markets": [
            {
                "name": "BTCUSDT",
                "settles_in": "USDT",
                "index": "BTC",
                "mark": {"kind": "index"},
                "price_decimals": 1,
                "lot": {"decimals": 3},
                "brackets": [{"notional_max": 1_000_000, "leverage_max": 100, "maintenance_ppm": 5_000}],
            }
        ],
        "collateral": [{"asset": "USDE", "index": "USDE", "weight_ppm": 990_000}],
        "liquidation": {"stages": [{"kind": "write_off"}]},
    }
)
MULTIPLIER = VENUE.multiplier(VENUE.markets[0])  # 1: one lot at price 1000000 (100000.0) is worth 100.0000
WINDOW = (36 * NS, 76 * NS)
# at the instant BTC is 112000.0; USDE 0.9978 on the own market, 0.9988 on the DEX
ANCHOR = Anchor(180 * NS, {0: 1_120_000}, {"own": {1: (9_978, 4)}, "dex": {1: (9_988, 4)}})


def deposit(account: int, asset: int, money: int) -> dict:
    return {
        "time": 1,
        "kind": OutcomeKind.FLOW,
        "flow": Flow.DEPOSIT,
        "account": 0,
        "other": account,
        "asset": asset,
        "money": money,
    }


def sold(time: int, account: int, lots: int, price: int, order: int) -> dict:
    """A long position closed by the book stage."""
    return {
        "time": time,
        "kind": OutcomeKind.FILL,
        "stage": Stage.BOOK,
        "side": Side.SELL,
        "account": account,
        "qty": lots,
        "price": price,
        "ref_id": order,
    }


def fee(time: int, account: int, money: int) -> dict:
    return {"time": time, "kind": OutcomeKind.FLOW, "flow": Flow.LIQUIDATION_FEE, "account": account, "other": 1, "money": money}


def converted(time: int, account: int, quantity: int, cash: int) -> list[dict]:
    rows = [{"time": time, "kind": OutcomeKind.CONVERT, "account": account, "other": 5, "asset": 1, "money": quantity}]
    if cash:
        rows.append(
            {
                "time": time,
                "kind": OutcomeKind.FLOW,
                "flow": Flow.CONVERT_CASH,
                "account": 5,
                "other": account,
                "asset": 0,
                "money": cash,
            }
        )
    return rows


# 20: a long of 100 lots with USDE, 60 closed at 100000.0 in the window (fee 1.0000), 40 at 113000.0; 500.00 USDE sold at 325.0000
# 21: a short of 10 lots with USDT only, taken over in the window for -1150.0000
# 22: a long of 10 lots with USDE, closed at 100000.0 before the window; in the true run too
BROKEN = [
    mark(0, 1_000_000),
    deposit(20, 1, 50_000),
    deposit(21, 0, 1_000),
    deposit(22, 1, 100),
    sold(20, 22, 10, 1_000_000, 3),
    sold(40, 20, 60, 1_000_000, 1),
    fee(40, 20, 10_000),
    sold(41, 20, 40, 1_130_000, 2),
    *converted(41, 20, 50_000, 3_250_000),
    {
        "time": 50,
        "kind": OutcomeKind.TAKEOVER,
        "account": 21,
        "side": Side.SELL,
        "qty": 10,
        "price": 1_000_000,
        "money": -11_500_000,
    },
]
TRUE = [mark(0, 1_000_000), sold(20, 22, 10, 1_000_000, 3), sold(41, 20, 20, 1_000_000, 1)]


def worth(market: int, price: int) -> int:
    return price * MULTIPLIER


NONE = forced_lots(outcomes([]), worth)


@pytest.fixture(scope="module")
def paid() -> dict:
    rows = outcomes(BROKEN)
    forced = forced_lots(rows, worth)
    true = forced_lots(outcomes(TRUE), worth)
    labels = label(forced, true, true, eps_ns=NS, horizon_ns=76 * NS)
    assert {k.name: v[0] for k, v in labels.totals().items() if v[0]} == {"ORGANIC": 30, "ERRONEOUS": 90}
    return {
        (p.eligibility, p.reference, p.netting, p.base): p for p in make_whole(rows, forced, labels, VENUE, ANCHOR, WINDOW, [1])
    }


# Window: account 20 alone held USDE and was closed in it. 60 lots: 60 x (112000 - 100000)/1000 = 720; 40 lots: 40 x -1 = -40.
# Collateral: 500 x 0.9978 - 325 = 173.9; at the DEX 500 x 0.9988 - 325 = 174.4.
# Erroneous: of 20 the first 20 lots are organic, so 40 of the 60 (480), all 40 (-40), and 80 % of its conversion; of 21 all ten
# lots, whatever it held: -10 x 112 + 1150 = 30.
@pytest.mark.parametrize(
    ("reading", "money"),
    [
        ("window own gross position", {20: 7_200_000}),
        ("window own net position", {20: 6_800_000}),
        ("window own gross collateral", {20: 1_739_000}),
        ("window dex gross collateral", {20: 1_744_000}),
        ("window own gross both", {20: 8_939_000}),
        ("window own net both", {20: 8_539_000}),
        ("erroneous own gross position", {20: 4_800_000, 21: 300_000}),
        ("erroneous own net position", {20: 4_400_000, 21: 300_000}),
        ("erroneous own gross collateral", {20: 1_391_200, 21: 0}),
        ("erroneous dex net collateral", {20: 1_395_200, 21: 0}),
        ("erroneous own net both", {20: 5_791_200, 21: 300_000}),
    ],
)
def test_each_reading_pays(paid: dict, reading: str, money: dict[int, int]) -> None:
    assert paid[tuple(reading.split())].money == money


def test_the_fee_of_the_lots_that_count(paid: dict) -> None:
    assert paid["window", "own", "net", "both"].fees == {20: 10_000}
    assert paid["erroneous", "own", "net", "both"].fees == {20: 6_666, 21: 0}  # 40 of the 60 lots that paid it, down


def test_a_summary_in_whole_units(paid: dict) -> None:
    assert paid["erroneous", "own", "net", "position"].summary(4) == {
        "eligibility": "erroneous",
        "reference": "own",
        "netting": "net",
        "base": "position",
        "accounts": 2,
        "money": "470.0000",
        "fees": "0.6666",
    }


def test_nobody_is_owed_less_than_nothing() -> None:
    """A position closed above the instant's price, and a conversion above it: the account gained, and keeps the gain."""
    rows = outcomes([mark(0, 1_000_000), deposit(20, 1, 100), sold(40, 20, 1, 1_130_000, 1), *converted(40, 20, 100, 20_000)])
    forced = forced_lots(rows, worth)
    labels = label(forced, NONE, NONE, eps_ns=0, horizon_ns=76 * NS)
    assert [p.money for p in make_whole(rows, forced, labels, VENUE, ANCHOR, WINDOW, [1])] == [{20: 0}] * 24


@pytest.mark.parametrize(("time", "eligible"), [(35, False), (36, True), (76, True), (77, False)])
def test_both_ends_of_the_window_belong_to_it(time: int, eligible: bool) -> None:
    rows = outcomes([mark(0, 1_000_000), deposit(20, 1, 100), sold(time, 20, 1, 1_000_000, 1)])
    forced = forced_lots(rows, worth)
    labels = label(
        forced, NONE, NONE, eps_ns=0, horizon_ns=100 * NS
    )
    readings = make_whole(rows, forced, labels, VENUE, ANCHOR, WINDOW, [1])
    assert {bool(p.money) for p in readings if p.eligibility == "window"} == {eligible}


def test_a_holder_held_it_just_before() -> None:
    withdrawn = {"time": 2, "kind": OutcomeKind.FLOW, "flow": Flow.WITHDRAWAL, "account": 21, "other": 0, "asset": 1, "money": 5}
    rows = outcomes([deposit(20, 1, 5), deposit(21, 1, 5), deposit(22, 0, 5), withdrawn, mark(3, 1), deposit(23, 1, 5)])
    assert holders(rows, VENUE, 1, {20: 4, 21: 4, 22: 4, 23: 4}) == {20}
    assert holders(rows, VENUE, 1, {21: 3, 23: 6}) == {21, 23}


def test_a_conversion_that_paid_nothing_has_no_cash() -> None:
    rows = outcomes([*converted(1, 20, 7, 0), *converted(2, 21, 8, 9)])
    assert [(c.account, c.quantity, c.cash) for c in conversions(rows, VENUE)] == [(20, 7, 0), (21, 8, 9)]


@pytest.mark.parametrize(("quantity", "price", "money"), [(100, 9_978, 9_978), (1, 1, 0), (3, 9_999, 299), (-1, 1, -1)])
def test_a_quantity_is_worth_money_rounded_down(quantity: int, price: int, money: int) -> None:
    assert quantity_value(VENUE, 1, quantity, price, 4) == money


def test_the_incident_asks_what_is_answered_here() -> None:
    """The open questions of the packaged incident and their options are those that the readings are made of."""
    incident = load(find("incident", "2025-10-10-binance-usde"), Incident)
    asked = {row.name: {option.name for option in row.options} for row in incident.make_whole.readings}
    assert asked == {
        "eligibility": set(ELIGIBILITY),
        "netting": set(NETTING),
        "base": set(BASE) - {"both"},
        "reference": {"own", "dex"},
    }
