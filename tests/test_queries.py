"""Queries, by example and against a search of all prices, on both twins.

The rule book is tests/twins.py:small_venue: 2.5 % maintenance up to 2,000 of notional, above it 5 % less 50; equity at maintenance
triggers. Prices are asked for in cents.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from engine.exchange import Exchange as Engine
from fuzz.strategies import pack
from specs import rules
from specs.model import trigger
from specs.model.exchange import Exchange as Model
from specs.tape import EventKind, Seam, SeamKind, Side, Status, Tif, money_split
from tests.test_model_tables import FUNDED, TRADED, TWO_MARKETS
from tests.twins import START_NS, play, seam_row, small_venue, stages, twin  # noqa: F401

CARRIED = {"stages": stages("book", "takeover")}  # an account in liquidation stays in it
GREATER = {"trigger": "maintenance_gt_equity", "stages": stages()}


def traded(lots: int, **more: str) -> str:
    """Return rows in which 17 sells lots to 16 at 100, each having paid in some more than 120."""
    return (
        FUNDED
        + f"""
    0    deposit 16 USDT {more.get("long", "5000")}  | ...
    0    deposit 17 USDT {more.get("short", "5000")} | ...
    1    buy 16 COINUSDT {lots} @100 #1  | ...
    1    sell 17 COINUSDT {lots} @100 #2 | ...
    """
    )


# ---- liquidation price, by example


def test_the_liquidation_price_of_either_side(twin):
    """Long: 120 + 16 (p - 100) <= 0.4 p at p <= 1,480 / 15.6 = 94.87.. Short: 120 - 16 (p - 100) <= 0.4 p at p >= 1,720 / 16.4 = 104.87.."""
    exchange = play(twin, small_venue(), TRADED)
    assert exchange.liquidation_price(16, 0) == 94_87
    assert exchange.liquidation_price(17, 0) == 104_88


@pytest.mark.parametrize(
    ("deposit", "rule", "price"),
    [
        ("480", {}, 133_93),  # 2,200 - 16 p <= 0.8 p - 50 at p >= 2,250 / 16.8 = 133.92..: in the upper bracket
        ("330", {}, 125_00),  # 2,050 - 16 p = 50 = 0.4 p at p = 125: the last price of the lower bracket, equality triggers
        ("330", GREATER, 125_01),  # there equality does not: 49.84 < 0.8 p - 50 = 50.008
        ("329.84", {}, 125_00),  # 2,049.84 - 16 p <= 0.4 p at p >= 124.99..
        ("330.01", {}, 125_01),  # 50.01 > 50 at 125; at 125.01 49.85 < 50.008
        ("10000000000000000", {}, None),  # 1.6 x 10^16 is what the largest price, 10^13, can cost 16 lots: 1.6 x 10^14
    ],
)
def test_a_short_goes_up_through_the_brackets(twin, deposit, rule, price):
    venue = small_venue(liquidation={"stages": stages()} | rule)
    assert play(twin, venue, traded(16, short=deposit)).liquidation_price(17, 0) == price


@pytest.mark.parametrize(
    ("deposit", "price"),
    [
        # 30 lots, in the upper bracket above 66.66..: 30 p - 1,000 <= 1.5 p - 50 would be at p <= 950 / 28.5 = 33.33, which is not in it;
        # in the lower one 30 p - 1,000 <= 0.75 p at p <= 1,000 / 29.25 = 34.18..
        ("1880", 34_18),
        ("280", 89_47),  # 400 + 30 p - 3,000 <= 1.5 p - 50 at p <= 2,550 / 28.5 = 89.47
        ("1050", 62_56),  # 1,170 + 30 p - 3,000 <= 0.75 p at p <= 1,830 / 29.25 = 62.56..: a notional of 1,877
        ("2879", 3),  # 2,999 + 30 p - 3,000 <= 0.75 p at p <= 1 / 29.25 = 0.034: three cents
        ("2880", None),  # nothing is lost at 0: 30 p > 0.75 p at every price there is
    ],
)
def test_a_long_goes_down_through_the_brackets(twin, deposit, price):
    assert play(twin, small_venue(), traded(30, long=deposit)).liquidation_price(16, 0) == price


TWO = """
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


@pytest.mark.parametrize(
    ("rows", "coin", "usd"),
    [
        # COIN: 120 + 10 p - 1,000 <= 0.25 p + 2.5 at p <= 882.5 / 9.75 = 90.51. USD: 220 - 100 p <= 25 + 2.5 p at p >= 195 / 102.5 = 1.902..
        ("", 90_51, 1_91),
        # COIN at 98: 20 less, and 24.5 of maintenance there: 200 - 100 p <= 24.5 + 2.5 p at p >= 175.5 / 102.5 = 1.712..
        ("2    source coin 98                  | ...", 90_51, 1_72),
        # 10 USD count 9 at their price, which the mark of USDUSDT does not move: 129 + 10 p - 1,000 <= 0.25 p + 2.5 at p <= 873.5 / 9.75 = 89.58..;
        # 229 - 100 p <= 25 + 2.5 p at p >= 204 / 102.5 = 1.9902..
        ("2    deposit 16 USD 10               | ...", 89_58, 2_00),
    ],
)
def test_other_positions_and_collateral_stay_as_they_are(twin, rows, coin, usd):
    exchange = play(twin, small_venue(markets=TWO_MARKETS), TWO + rows)
    assert exchange.liquidation_price(16, 0) == coin and exchange.liquidation_price(16, 1) == usd


def test_who_is_triggered_already_is_so_at_the_mark(twin):
    """At 94 the long has 24 and needs 37.6; at 94.87 it was triggered first, and the present mark is what counts."""
    exchange = play(twin, small_venue(liquidation=CARRIED), TRADED + "2    source coin 94                  | ...")
    assert exchange.liquidation_price(16, 0) == 94_00
    assert exchange.liquidation_price(17, 0) == 104_88


def test_without_a_position_there_is_no_liquidation_price(twin):
    exchange = play(twin, small_venue(), FUNDED)
    assert exchange.liquidation_price(16, 0) is None


def test_a_schedule_of_faults_is_not_asked(twin):
    """A fault says that nobody is triggered: the rule book says what it says, and no row counts as fired."""
    seams = [seam_row(Seam.LIQUIDATION_TRIGGER, 16, 5, 100, SeamKind.FORCE_FALSE, 0)]
    exchange = play(twin, small_venue(), TRADED + "6    clock                           | ...", seams)
    before = exchange.state()
    assert exchange.liquidation_price(16, 0) == 94_87
    assert exchange.state() == before


@pytest.mark.parametrize(
    ("account", "market", "said"),
    [
        (99, 0, "account 99 is not open"),
        (2, 0, "account 2 is not open, or not a user's"),
        (-1, 0, "account -1 is not open"),
        (16, 1, "market 1 is unknown: there are 1"),
        (16, -1, "market -1 is unknown"),
        (2**40, 0, f"account {2**40} is not open"),
    ],
)
def test_who_is_unknown_is_named(twin, account, market, said):
    exchange = play(twin, small_venue(), TRADED)
    with pytest.raises(ValueError, match=said):
        exchange.liquidation_price(account, market)


# ---- against a search


ACCOUNTS, MARKETS, SCANNED = range(16, 20), 3, 400


def drawn_brackets(draw: Random) -> list[dict]:
    """Return a continuous table with whole amounts: floors are multiples of 20, rates of 5 %, up to 100 %."""
    caps = sorted(draw.sample(range(20, 1_200, 20), draw.randint(0, 4))) + [100_000]
    rates = sorted(draw.choices(range(1, draw.choice((5, 21))), k=len(caps)))
    rows, amount = [], 0
    for i, (cap, rate) in enumerate(zip(caps, rates)):
        amount += caps[i - 1] * (rate - rates[i - 1]) // 20 if i else 0
        rows.append({"notional_max": cap, "leverage_max": 20 // rate, "maintenance_ppm": rate * 50_000, "amount": amount})
    return rows


def drawn_venue(draw: Random) -> rules.Venue:
    """Return three perpetuals with prices and money in whole units, and one collateral in cents."""
    names = [*"ABC", "COLL"]
    return rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": "drawn",
            "numeraire": "USDT",
            "assets": [{"name": "USDT", "decimals": 0}, {"name": "COLL", "decimals": 2}],
            "sources": [{"name": name, "price_decimals": 0} for name in names],
            "indices": [
                {"name": name, "price_decimals": 0, "publish": {"kind": "update"}, "recipe": {"kind": "source", "name": name}}
                for name in names
            ],
            "markets": [
                {
                    "name": name,
                    "settles_in": "USDT",
                    "index": name,
                    "mark": {"kind": "index"},
                    "price_decimals": 0,
                    "lot": {"decimals": 0},
                    "fees": {"maker_ppm": 0, "taker_ppm": draw.choice((0, 20_000))},
                    "brackets": brackets,
                    "leverage_default": brackets[0]["leverage_max"],
                }
                for name, brackets in ((name, drawn_brackets(draw)) for name in "ABC")
            ],
            "collateral": [{"asset": "COLL", "index": "COLL", "weight_ppm": draw.randint(0, 10) * 95_000, "convert_buffer_ppm": 0}],
            "liquidation": {
                "trigger": draw.choice(("maintenance_ge_equity", "maintenance_gt_equity")),
                "stages": [{"kind": "write_off"}],
            },
        }
    )


def drawn_tape(draw: Random) -> list[bytes]:
    """Return events that leave a few accounts with positions near, and beyond, their trigger."""
    rows = [{"kind": EventKind.SOURCE, "source": i, "price": draw.randint(5, 60)} for i in range(MARKETS + 1)]
    for account in ACCOUNTS:
        rows.append({"kind": EventKind.ACCOUNT, "account": account, "ref_id": account})
        rows.append({"kind": EventKind.DEPOSIT, "account": account, "asset": 0, "amount": draw.randint(1, 600)})
        if draw.random() < 0.5:
            rows.append({"kind": EventKind.DEPOSIT, "account": account, "asset": 1, "amount": draw.randint(1, 1_000)})
    prices = [row["price"] for row in rows[:MARKETS]]
    for i in range(24):
        market = draw.randrange(MARKETS)
        order = {"kind": EventKind.ORDER, "market": market, "price": prices[market], "qty": draw.randint(1, 12), "tif": Tif.GTC}
        rows.append(order | {"account": draw.choice(ACCOUNTS), "ref_id": i + 1, "side": draw.choice((Side.BUY, Side.SELL))})
    rows += [{"kind": EventKind.SOURCE, "source": i, "price": draw.randint(5, 60)} for i in range(MARKETS) if draw.random() < 0.5]
    packed = []
    for row in rows:
        lo, hi = money_split(row.pop("amount", 0))
        packed.append(pack(time_ns=START_NS, amount_lo=lo, amount_hi=hi, **row))
    return packed


def search(exchange: Model, number: int, market: int) -> int | None:
    """Return the first price at which the model's trigger holds, all prices tried in turn from the mark to 1, or up to SCANNED."""
    account, value = exchange.ledger.accounts[number], exchange.value[market]
    if not account.qty[market]:
        return None
    try:
        for price in range(value, 0, -1) if account.qty[market] > 0 else range(value, SCANNED + 1):
            exchange.value[market] = price
            if trigger.triggered(exchange, account, exchange.evaluate(account)):
                return price
        return None
    finally:
        exchange.value[market] = value


def liquidated(exchange, venue: rules.Venue, number: int, market: int, price: int) -> bool:
    """Return whether an account is in liquidation once a fork of the exchange has heard a price."""
    fork = type(exchange).restore(venue, exchange.snapshot())
    fork.apply(pack(time_ns=START_NS, kind=EventKind.SOURCE, source=market, price=price))
    return {row[0]: row[4] for row in fork.state()["accounts"]}[number] != Status.NORMAL


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_first_price_of_a_search(seed):
    """Both twins, 40 drawn exchanges a seed: every account, every market; then what the search cannot see for the price's limits."""
    reached = Counter()
    for case in range(40):
        draw = Random(seed * 1_000 + case)
        venue, events = drawn_venue(draw), drawn_tape(draw)
        model, engine = (which(venue, START_NS) for which in (Model, Engine))
        for event in events:
            model.apply(event)
            engine.apply(event)
        before = model.state()
        assert engine.state() == before
        for number in ACCOUNTS:
            account = model.ledger.accounts[number]
            for market in range(MARKETS):
                want, found = search(model, number, market), model.liquidation_price(number, market)
                assert engine.liquidation_price(number, market) == found, (seed, case, number, market)
                assert (found if found is None or found <= SCANNED else None) == want, (seed, case, number, market)
                if want is not None:
                    qty, rows = abs(account.qty[market]), model.brackets[market]
                    other = rows.of(qty * want) != rows.of(qty * model.value[market])
                    reached["at the mark" if want == model.value[market] else "another bracket" if other else "same bracket"] += 1
                elif account.qty[market]:
                    reached["never" if found is None else "far"] += 1
        assert model.state() == engine.state() == before
    assert min(reached[name] for name in ("at the mark", "another bracket", "same bracket", "never")) >= 5, reached


def test_an_exchange_liquidates_there_and_not_one_price_before(twin):
    """Drawn exchanges at rest: a fork that hears the price has the account in liquidation, one that hears the price before has not."""
    judged = 0
    for case in range(60):
        draw = Random(case)
        venue, events = drawn_venue(draw), drawn_tape(draw)
        exchange = twin(venue, START_NS)
        for event in events:
            exchange.apply(event)
        status = {row[0]: row[4] for row in exchange.state()["accounts"]}
        for number, market, _, qty, _ in exchange.state()["positions"]:
            price = exchange.liquidation_price(number, market)
            if price is None or status[number] != Status.NORMAL:
                continue
            assert liquidated(exchange, venue, number, market, price), (case, number, market)
            assert not liquidated(exchange, venue, number, market, price + (1 if qty > 0 else -1)), (case, number, market)
            judged += 1
    assert judged >= 50, judged
