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
from specs import rules, units
from specs.model import trigger
from specs.model.exchange import Exchange as Model
from specs.scene import Book, Scene, outcomes_of
from specs.tape import EventKind, OutcomeKind, Seam, SeamKind, Side, Status, Tif, money_split
from tests.test_adl import QUEUE
from tests.test_adl import venue as adl_venue
from tests.test_bounds import START as EDGE_START
from tests.test_bounds import events as edge_events
from tests.test_bounds import venue as edge_venue
from tests.test_contracts import coin_venue
from tests.test_model_tables import FUNDED, TRADED, TWO_MARKETS
from tests.twins import START_NS, play, seam_row, small_venue, stages, tape, twin  # noqa: F401

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


# ---- bankruptcy price


@pytest.mark.parametrize(
    ("venue", "rows", "long", "short"),
    [
        ({}, TRADED, 92_50, 107_50),  # 120 / 16 = 7.5 a lot, wherever the mark is:
        ({"liquidation": CARRIED}, TRADED + "2    source coin 94                  | ...", 92_50, 107_50),
        ({"liquidation": CARRIED}, TRADED + "2    source coin 90                  | ...", 90_00, 107_50),  # a debt of 40 is not shared
        ({}, TRADED + "2    deposit 16 USD 10                | ...", 91_90, 107_50),  # 10 USD bring 9.80: 129.8 / 16 = 8.1125, 91.8875 up to a tick
        ({}, traded(30, long="1880", short="1880"), 33_35, 166_65),  # 2,000 / 30 = 66.66..: 33.33.. up, 166.66.. down to a tick of 0.05
        ({}, traded(30, long="2880", short="10000000000000000"), None, None),  # 3,000: nothing is left at 0; a short's is above the largest price
        ({}, traded(30, long="2878", short="2878"), 10, 199_90),  # 2,998 / 30 = 99.93..
    ],
)
def test_the_bankruptcy_price_of_either_side(twin, venue, rows, long, short):
    exchange = play(twin, small_venue(**venue), rows)
    assert (exchange.bankruptcy_price(16, 0), exchange.bankruptcy_price(17, 0)) == (long, short)


def test_several_positions_share_the_margin_by_maintenance(twin):
    """16 has 120 for 25 and 2.5 of maintenance: 120 x 25 / 27.5 = 109.0910 up, 10.9091 a lot; 120 x 2.5 / 27.5 = 10.9091 up, 0.109091 a lot."""
    exchange = play(twin, small_venue(markets=TWO_MARKETS), TWO)
    assert (exchange.bankruptcy_price(16, 0), exchange.bankruptcy_price(16, 1)) == (89_10, 1_10)


def test_a_liquidation_trades_down_to_it_and_no_further(twin):
    """The price asked for at 100 bounds the slice at 94: a bid there is hit, one a tick below is not."""
    venue = small_venue(liquidation={"stages": stages("takeover")})
    exchange = play(twin, venue, TRADED)
    assert exchange.bankruptcy_price(16, 0) == 92_50
    play(
        twin,
        venue,
        TRADED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 1000           | DEPOSIT 1000 USDT OUTSIDE to 18
    1    buy 18 COINUSDT 1 @92.5 #5     | ACCEPTED 18 buy 1 @92.5 #5
    1    buy 18 COINUSDT 20 @92.45 #6   | ACCEPTED 18 buy 20 @92.45 #6
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; FILL BOOK 16 sell 1 @92.5 from 18 #5 in round 1; CARRIED 16 22.5 in round 1; CARRIED 16 22.5 in round 2
    """,
    )


# ---- place in the queue of auto-deleveraging


def test_the_rank_is_the_place_in_the_queue(twin):
    """At 96 the shorts gained 32 each, maintenance 19.2. 17: 0.16 x 19.2 / 232, 18: 0.32 x 19.2 / 132, so 18 goes first, as it does
    at 94. The longs lose and score 0: the lower id goes first.
    """
    exchange = play(twin, adl_venue(), QUEUE + "2    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96")
    assert {n: exchange.adl_rank(n, 0) for n in (16, 17, 18, 19)} == {16: (1, 2), 17: (2, 2), 18: (1, 2), 19: (2, 2)}
    play(
        twin,
        adl_venue(),
        QUEUE
        + """
    2    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96
    3    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 15.0001; ADL 16 long 8 @94 by 18 cash 739.9999 in round 1; ADL 16 long 2 @94 by 17 cash 185 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )


def test_who_is_in_liquidation_or_flat_has_no_rank(twin):
    exchange = play(twin, small_venue(liquidation=CARRIED), TRADED + "2    source coin 94                  | ...")
    assert exchange.adl_rank(16, 0) is None and exchange.adl_rank(17, 0) == (1, 1)
    assert play(twin, small_venue(), FUNDED).adl_rank(16, 0) is None


@pytest.mark.checked
def test_a_planted_bug_is_found_by_the_other_twin():
    """29: of equals the higher id goes first."""
    venue, rows = adl_venue(), QUEUE + "2    source coin 96                 | INDEX COIN 96 of 1; MARK COINUSDT 96"
    broken = Engine(venue, START_NS, (), 29)
    broken.run(tape(venue, rows))
    assert broken.adl_rank(16, 0) == (2, 2) != play(Model, venue, rows).adl_rank(16, 0)


# ---- what can be withdrawn


@pytest.mark.parametrize(
    ("rows", "usdt", "usd"),
    [
        ("", 40_0000, 0),  # 120 less 1,600 / 20
        ("2    source coin 102                  | ...", 70_4000, 0),  # 152 less 81.6
        ("2    source coin 110                  | ...", 120_0000, 0),  # 280 less 88, but profit that is open is no wallet
        ("2    source coin 94.9                 | ...", 0, 0),  # 38.4 is above maintenance, below initial margin
        ("2    source coin 94                   | ...", 0, 0),  # in liquidation
        ("2    deposit 16 USD 10                | ...", 49_0000, 10_0000),  # 10 USD count 9; 40 are spare without them
        # at 97 the equity is 72 + 9 and 77.6 are needed: 3.4 are spare, 5.6 / 0.9 = 6.2223 up must stay
        ("2    deposit 16 USD 10                | ...\n3    source coin 97                  | ...", 3_4000, 3_7777),
    ],
)
def test_what_can_be_withdrawn_is_accepted_and_no_more(twin, rows, usdt, usd):
    venue = small_venue(liquidation=CARRIED)
    exchange = play(twin, venue, TRADED + rows)
    assert (exchange.withdrawable(16, 0), exchange.withdrawable(16, 1)) == (usdt, usd)


def test_of_an_unknown_asset_nothing_is_told(twin):
    exchange = play(twin, small_venue(), FUNDED)
    with pytest.raises(ValueError, match="asset 2 is unknown: there are 2"):
        exchange.withdrawable(16, 2)
    for asked in (exchange.bankruptcy_price, exchange.adl_rank):
        with pytest.raises(ValueError, match="account 99 is not open"):
            asked(99, 0)
        with pytest.raises(ValueError, match="market 1 is unknown"):
            asked(16, 1)
    with pytest.raises(ValueError, match="account 99 is not open"):
        exchange.withdrawable(99, 0)


# ---- against a search


ACCOUNTS, MARKETS, SCANNED = range(16, 20), 3, 400
COIN_SCALE = 10**5  # a lot of an inverse market at 500 is worth 20 of these


def drawn_brackets(draw: Random) -> list[dict]:
    """Return a continuous table with whole amounts: floors are multiples of 20, rates of 5 %, up to 100 %."""
    caps = sorted(draw.sample(range(20, 1_200, 20), draw.randint(0, 4))) + [100_000]
    rates = sorted(draw.choices(range(1, draw.choice((5, 21))), k=len(caps)))
    rows, amount = [], 0
    for i, (cap, rate) in enumerate(zip(caps, rates)):
        amount += caps[i - 1] * (rate - rates[i - 1]) // 20 if i else 0
        rows.append({"notional_max": cap, "leverage_max": 20 // rate, "maintenance_ppm": rate * 50_000, "amount": amount})
    return rows


def drawn_venue(draw: Random, *rows: dict) -> rules.Venue:
    """Return three perpetuals with prices and money in whole units, one collateral in cents, and the stages of `rows`."""
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
                "stages": [*rows, {"kind": "write_off"}],
            },
        }
    )


def drawn_coin_venue(draw: Random) -> rules.Venue:
    """Return three inverse perpetuals, 10^9 units of money over the price a lot: so prices end at 1,000."""
    whole = lambda amount: units.int_to_decimal(amount * COIN_SCALE, 12)  # noqa: E731
    rows = [drawn_brackets(draw) for _ in range(MARKETS)]
    for row in (row for brackets in rows for row in brackets):
        row |= {"notional_max": whole(row["notional_max"]), "amount": whole(row["amount"])}
    book = drawn_venue(draw).model_dump(by_alias=True, exclude_defaults=True)
    book["assets"][0] |= {"decimals": 12}
    for market, brackets in zip(book["markets"], rows):
        market |= {"payoff": "inverse", "lot": {"size": 1, "decimals": 3}, "brackets": brackets}
        market |= {"leverage_default": brackets[0]["leverage_max"]}
    return rules.Venue.model_validate(book | {"collateral": []})


def drawn_tape(draw: Random, lowest: int = 5, highest: int = 60, scale: int = 1) -> list[bytes]:
    """Return events that leave a few accounts with positions near, and beyond, their trigger."""
    priced = lambda: draw.randint(lowest, highest)  # noqa: E731
    rows = [{"kind": EventKind.SOURCE, "source": i, "price": priced()} for i in range(MARKETS + 1)]
    for account in ACCOUNTS:
        rows.append({"kind": EventKind.ACCOUNT, "account": account, "ref_id": account})
        rows.append({"kind": EventKind.DEPOSIT, "account": account, "asset": 0, "amount": draw.randint(1, 600) * scale})
        if draw.random() < 0.5:
            rows.append({"kind": EventKind.DEPOSIT, "account": account, "asset": 1, "amount": draw.randint(1, 1_000)})
    prices = [row["price"] for row in rows[:MARKETS]]
    for i in range(24):
        market = draw.randrange(MARKETS)
        order = {"kind": EventKind.ORDER, "market": market, "price": prices[market], "qty": draw.randint(1, 12), "tif": Tif.GTC}
        rows.append(order | {"account": draw.choice(ACCOUNTS), "ref_id": i + 1, "side": draw.choice((Side.BUY, Side.SELL))})
    rows += [{"kind": EventKind.SOURCE, "source": i, "price": priced()} for i in range(MARKETS) if draw.random() < 0.5]
    packed = []
    for row in rows:
        lo, hi = money_split(row.pop("amount", 0))
        packed.append(pack(time_ns=START_NS, amount_lo=lo, amount_hi=hi, **row))
    return packed


def search(exchange: Model, number: int, market: int, scanned: int = SCANNED) -> int | None:
    """Return the first price at which the model's trigger holds, all prices tried in turn from the mark to 1, or up to `scanned`."""
    account, value, mark = exchange.ledger.accounts[number], exchange.value[market], exchange.marks[market].published.last_valid
    if not account.qty[market]:
        return None
    try:
        for price in range(mark, 0, -1) if account.qty[market] > 0 else range(mark, scanned + 1):
            exchange.value[market] = exchange.value_at(market, price)
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


@pytest.mark.parametrize("seed", range(4))
def test_of_inverse_contracts_it_is_the_first_price_of_a_search_too(seed):
    """All prices there are, 1 to 1,000: a long loses as its notional grows, several prices share one worth of a lot."""
    reached = Counter()
    for case in range(15):
        draw = Random(seed * 1_000 + case)
        venue, events = drawn_coin_venue(draw), drawn_tape(draw, 50, 600, COIN_SCALE)
        model, engine = (which(venue, START_NS) for which in (Model, Engine))
        assert model.price_max == [1_000] * MARKETS
        for event in events:
            assert model.apply(event) == engine.apply(event)
        for number, market, _, qty, _ in model.state()["positions"]:
            want = search(model, number, market, 1_000)
            assert model.liquidation_price(number, market) == engine.liquidation_price(number, market) == want, (seed, case, number)
            price = engine.bankruptcy_price(number, market)
            assert model.bankruptcy_price(number, market) == price
            at = "never" if want is None else "at the mark" if want == model.marks[market].published.last_valid else "away"
            reached["long" if qty > 0 else "short", at] += 1
    assert min(reached["long", "away"], reached["short", "away"], reached["long", "at the mark"]) >= 5, reached


@pytest.mark.parametrize(
    ("deposit", "long", "short"),
    [
        # 10 lots of 100 USD at 50,000 are 0.02 BTC: 0.001 + 0.02 - 1,000 / p <= 1 % of 1,000 / p at p <= 1,010 / 0.021 = 48,095.2;
        # 0.001 - 0.02 + 1,000 / p <= 10 / p at p >= 990 / 0.019 = 52,105.3
        ("0.001", 48_095_23, 52_105_27),
        ("0.01", 33_666_66, 99_000_01),  # 1,010 / 0.03 = 33,666.6..; 990 / 0.01 = 99,000, where rounding leaves the short 8 units: a cent more
        ("0.03", 20_200_00, None),  # 1,010 / 0.05; a short of the coin that it holds is never liquidated
    ],
)
def test_an_inverse_contract_by_hand(twin, deposit, long, short):
    rows = f"""
    0    source coin 50000               | ...
    0    account 16                      | ...
    0    account 17                      | ...
    0    raw kind=4 account=16 amount_lo={units.decimal_to_int(deposit, 12)} | ...
    0    raw kind=4 account=17 amount_lo={units.decimal_to_int(deposit, 12)} | ...
    1    buy 16 BTCUSD 10 @50000 #1      | ...
    1    sell 17 BTCUSD 10 @50000 #2     | ...
    """.replace("kind=4", f"kind={int(EventKind.DEPOSIT)}").replace("    0    raw", f"    0    raw time_ns={START_NS}")
    exchange = play(twin, coin_venue(), rows)
    assert (exchange.liquidation_price(16, 0), exchange.liquidation_price(17, 0)) == (long, short)


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


BOOK = {"kind": "book", "bound": {"kind": "bankruptcy"}}


@pytest.mark.parametrize("seed", range(4))
def test_the_other_answers_are_those_of_plain_reckoning(seed):
    """Both twins: the bound of a slice as the laws reckon it; every amount up to one more than what is free, at the gate."""
    reached = Counter()
    for case in range(12):
        draw = Random(seed * 1_000 + case)
        venue, events = drawn_venue(draw, BOOK), drawn_tape(draw)
        model, engine = (which(venue, START_NS) for which in (Model, Engine))
        for event in events:
            model.apply(event)
            engine.apply(event)
        state = model.state()
        assert engine.state() == state
        scene, status = Scene(Book(venue), state), {row[0]: row[4] for row in state["accounts"]}
        for number, market, _, qty, _ in state["positions"]:
            price = engine.bankruptcy_price(number, market)
            assert model.bankruptcy_price(number, market) == price
            limit = scene.slice_limit(number, market, Side.SELL if qty > 0 else Side.BUY)
            assert limit == price or price is None and limit == 1, (seed, case, number, market)
            reached["bankrupt" if price else "never"] += 1
            assert engine.adl_rank(number, market) == model.adl_rank(number, market)
        for market in range(MARKETS):
            for sign in (1, -1):
                side = [n for n, m, _, qty, _ in state["positions"] if m == market and sign * qty > 0 and not status[n]]
                assert sorted(engine.adl_rank(n, market) for n in side) == [(i + 1, len(side)) for i in range(len(side))]
        for account in model.ledger.accounts.values():
            for asset in range(2) if account.number in ACCOUNTS else ():
                found = engine.withdrawable(account.number, asset)
                assert model.withdrawable(account.number, asset) == found
                amounts = range(1, max(0, model.free(account, asset)) + 2)
                accepted = [amount for amount in amounts if not model.may_give(account, asset, amount)]
                assert accepted == list(range(1, found + 1)), (seed, case, account.number, asset)
                reached["some" if 0 < found < len(amounts) - 1 else "all" if found else "nothing"] += 1
        assert model.state() == engine.state() == state
    assert min(reached[name] for name in ("bankrupt", "some", "all", "nothing")) >= 5, reached


def test_a_withdrawal_of_it_is_accepted_and_of_one_more_is_not(twin):
    judged = 0
    for case in range(30):
        draw = Random(case)
        venue, events = drawn_venue(draw), drawn_tape(draw)
        exchange = twin(venue, START_NS)
        for event in events:
            exchange.apply(event)
        for number in ACCOUNTS:
            for asset in range(2):
                most = exchange.withdrawable(number, asset)
                for amount in {most, most + 1} - {0}:
                    fork = twin.restore(venue, exchange.snapshot())
                    said = outcomes_of(
                        fork.apply(pack(time_ns=START_NS, kind=EventKind.WITHDRAW, account=number, asset=asset, amount_lo=amount))
                    )
                    assert (said[0].kind == OutcomeKind.REJECT) == (amount > most), (case, number, asset, amount)
                    judged += 1
    assert judged > 200


def ask_everything(exchange) -> list:
    """Return every answer there is."""
    opened = [row[0] for row in exchange.state()["accounts"]]
    pairs = [(number, market) for number in opened for market in range(MARKETS)]
    answers = [ask(*pair) for ask in (exchange.liquidation_price, exchange.bankruptcy_price, exchange.adl_rank) for pair in pairs]
    return answers + [exchange.withdrawable(number, asset) for number in opened for asset in range(2)]


def test_queries_change_nothing(twin):
    """A run that is asked everything after every event has the outcomes, the state and the seams' counts of one that is not."""
    seams = [
        seam_row(Seam.ADL_RANK, 17, -1, 100, SeamKind.HOLD),
        seam_row(Seam.LIQUIDATION_TRIGGER, 16, -1, 100, SeamKind.FORCE_FALSE),
    ]
    for case in range(15):
        draw = Random(case)
        venue, events = drawn_venue(draw, BOOK, {"kind": "adl"}), drawn_tape(draw)
        asked, quiet, other = twin(venue, START_NS, seams), twin(venue, START_NS, seams), Model(venue, START_NS, seams)
        for event in events:
            assert asked.apply(event) == quiet.apply(event) == other.apply(event)
            before = asked.snapshot()
            answers = ask_everything(asked)
            assert asked.snapshot() == before and answers == ask_everything(asked) == ask_everything(other)
        assert asked.state() == quiet.state() and asked.digest() == quiet.digest() and asked.visits() == quiet.visits()


@pytest.mark.parametrize(
    ("price", "qty", "long", "short"),
    [
        (1, 10**9, None, 2),  # 10^23 - 10^24 (p - 1) <= 5 x 10^22 p at p >= 1.047..; a long at 1 has no price below it
        (1_000, 10**6, 947, None),  # 10^23 + 10^21 (p - 1,000) <= 5 x 10^19 p at p <= 947.3..; no price is above 1,000
        (1_000, 10**5, None, None),  # nothing is lost at 0
    ],
)
def test_the_largest_numbers_stay_exact(price, qty, long, short):
    """A lot is worth 10^15 a price unit, so 1,000 is the largest price; each of the two has 10^23. Maintenance is 5 %."""
    answers = []
    for which in (Model, Engine):
        exchange = which(edge_venue(), EDGE_START)
        rows = [{"kind": EventKind.SOURCE, "price": price}]
        rows += [{"kind": EventKind.ACCOUNT, "account": n, "ref_id": n} for n in (16, 17)]
        rows += [{"kind": EventKind.DEPOSIT, "account": n, "amount": 10**23} for n in (16, 17)]
        trade = {"kind": EventKind.ORDER, "price": price, "qty": qty, "tif": Tif.GTC}
        rows += [trade | {"account": n, "ref_id": n, "side": side} for n, side in ((16, Side.BUY), (17, Side.SELL))]
        exchange.run(edge_events(*rows))
        assert [row[3] for row in exchange.state()["positions"]] == [qty, -qty]
        assert (exchange.liquidation_price(16, 0), exchange.liquidation_price(17, 0)) == (long, short)
        asked = (exchange.bankruptcy_price, exchange.adl_rank, exchange.withdrawable)
        answers.append([ask(number, 0) for ask in asked for number in (16, 17)])
    assert answers[0] == answers[1]
