"""The incident of 10 October 2025 as a file, and the tape made of it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from riskbed.facts import measure
from riskbed.population import ACCOUNTS_FROM, CARRIER_PPM, EARLY, LATE, LOTS, MARGIN_PPM, incident_tape, log_steps
from specs import load, units
from specs.errors import SpecError
from specs.incident import Incident, Shape
from specs.model.exchange import Exchange
from specs.rules import Venue
from specs.tape import EventKind, Flag, OutcomeKind, Stage, Tape

ROOT = Path(__file__).resolve().parent.parent
ALIAS = "2025-10-10-binance-usde"
OWN, DEX, REDEMPTION, BTC = range(4)
GOLDEN = "714b092becf4e74c2eb94f59cdbc6d2f"
SERIES = (
    "oct10_usde/usdeusdt_binance_spot_1m_20251010_2000_2359.csv",
    "oct10_usde/usde_usdt_uniswap_v3_per_block_20251010.parquet",
)
IN_SHARED = tuple(f"data/{name}" for name in SERIES)


def book() -> Venue:
    return load.load(load.find("venue", "binance-um-2025-10-10"), Venue)


def affair() -> Incident:
    venue = book()
    return load.load(load.find("incident", ALIAS), Incident, check=lambda incident: incident.check(venue))


@pytest.fixture(scope="module")
def venue() -> Venue:
    return book()


@pytest.fixture(scope="module")
def incident() -> Incident:
    return affair()


def at(clock: str, day: int = 10) -> int:
    return units.instant_to_ns(f"2025-10-{day}T{clock}Z")


def small_digest() -> str:
    return incident_tape(affair(), book(), seed=1, accounts=60).digest()


# ---- the file


def test_it_is_found_by_id_and_by_alias(incident):
    assert load.find("incident", incident.id) == load.find("incident", ALIAS)
    assert incident.venue == book().name and incident.sources and incident.unknowns


def test_every_source_has_a_figure_a_minute(incident):
    assert [(row.source, row.variant, len(row.values())) for row in incident.tape.minutes] == [
        ("binance-spot:USDEUSDT", "close", 77),
        ("binance-spot:USDEUSDT", "low", 77),
        ("uniswap-v3:USDEUSDT", None, 77),
    ]
    close, low, _ = (row.values() for row in incident.tape.minutes)
    assert all(Fraction(a) >= Fraction(b) for a, b in zip(close, low, strict=True)), "a low is not above its close"


@pytest.mark.parametrize(
    ("variant", "minute", "price"),
    [
        ("close", "21:24", "0.9"),
        ("close", "21:43", "0.6651"),
        ("low", "21:43", "0.6616"),
        ("low", "21:54", "0.65"),
        ("close", "21:54", "0.8304"),
        ("close", "22:16", "0.9699"),
    ],
)
def test_a_minute_is_held_to_its_last_second(incident, venue, variant, minute, price):
    path = incident.prices(venue, variant).seconds[OWN]
    first = (at(f"{minute}:00") - at("21:00:00")) // units.NS
    assert set(path[first : first + 60]) == {units.decimal_to_int(price, 8)}


@pytest.mark.parametrize(
    ("clock", "price"),
    [
        ("21:00:00", 1_151_950),
        ("21:13:00", 1_145_000),
        ("21:13:01", 1_144_809),
        ("21:15:00", 1_122_090),
        ("21:20:00", 1_039_750),
        ("21:21:00", 1_018_780),
        ("21:22:30", 1_030_000),
        ("21:27:00", 1_071_000),
    ],
)
def test_bitcoin_runs_through_its_anchors(incident, venue, clock, price):
    """114500 - 2291 / 120 s = 114480.908..., rounded down to 0.1."""
    path = incident.prices(venue).seconds[BTC]
    assert path[(at(clock) - at("21:00:00")) // units.NS] == price


def test_bitcoin_has_the_shape_that_is_reported(incident, venue):
    path = incident.prices(venue).seconds[BTC]
    start = (at("21:13:00") - at("21:00:00")) // units.NS
    low = min(path)
    assert path.count(low) == 1 and path.index(low) == (at("21:21:00") - at("21:00:00")) // units.NS
    assert Fraction(1_167_990 - low, 1_167_990) * 100 - Fraction("12.78") < Fraction("0.01")
    assert 100 <= sum(1_010_000 <= price <= 1_030_000 for price in path) <= 140, "101-103 k for about two minutes"
    assert 480 <= sum(price < 1_070_000 for price in path) <= 660, "below 107 k for about ten"
    assert all(a >= b for a, b in zip(path[:start], path[1:start], strict=False))
    assert all(price > 1_070_000 for price in path[(at("21:27:00") - at("21:00:00")) // units.NS :])


def shape(name: str) -> Shape:
    return next(found for found in affair().true_moves.shapes() if found.name == name)


@pytest.mark.parametrize(("variant", "price", "minute"), [("close", 66_510_000, "21:43"), ("low", 65_000_000, "21:54")])
def test_a_move_that_stays_falls_as_the_fault_did_to_its_minimum(incident, venue, variant, price, minute):
    recorded, moved = incident.prices(venue, variant).seconds, incident.moved(venue, variant, shape("market-redemption-stays"))
    start, bottom = ((at(clock) - at("21:00:00")) // units.NS for clock in ("21:19:00", f"{minute}:00"))
    assert moved.horizon_ns == at("22:46:00") and {len(path) for path in moved.seconds.values()} == {106 * 60 + 1}
    assert moved.seconds[OWN][:bottom] == recorded[OWN][:bottom] and set(moved.seconds[OWN][bottom:]) == {price}
    for source in (DEX, REDEMPTION):
        path, before = moved.seconds[source], recorded[source]
        assert path[:start] == before[:start]
        for i in range(start, len(path)):  # what it was x the factor of the own book, rounded down
            exact = Fraction(before[start] * moved.seconds[OWN][i], recorded[OWN][start])
            assert 0 <= exact - path[i] < 1
    assert moved.seconds[BTC][: len(recorded[BTC])] == recorded[BTC]


def test_a_move_that_recovers_is_the_recorded_path_and_then_the_start(incident, venue):
    recorded, moved = incident.prices(venue).seconds, incident.moved(venue, "close", shape("market-recovers")).seconds
    assert moved[OWN][: len(recorded[OWN])] == recorded[OWN]
    assert set(moved[OWN][len(recorded[OWN]) :]) == {99_930_000} and len(moved[OWN]) - len(recorded[OWN]) == 1_800
    assert set(moved[REDEMPTION]) == {100_000_000}, "the issuer pays in full"
    assert moved[DEX][-1] == recorded[DEX][(at("21:19:00") - at("21:00:00")) // units.NS]


@pytest.mark.parametrize("falling", ["market", "market-redemption"])
@pytest.mark.parametrize("after", ["stays", "recovers"])
@pytest.mark.parametrize("variant", ["close", "low"])
def test_a_slower_shape_says_the_same_prices_four_times_as_long(incident, venue, falling, after, variant):
    fast, slow = (incident.moved(venue, variant, shape(f"{falling}-{after}{more}")) for more in ("", "-4x-slower"))
    start, end = ((at(clock) - at("21:00:00")) // units.NS for clock in ("21:19:00", "22:16:00"))
    for source in (OWN, DEX, REDEMPTION):
        a, b = fast.seconds[source], slow.seconds[source]
        assert b[:start] == a[:start]
        assert [b[start + i :: 4][: end - start + 1] for i in range(4)] == [a[start : end + 1]] * 4
        assert b[start + 4 * (end - start + 1) :] == [a[-1]] * (1_800 - 3)
    assert slow.seconds[BTC][: len(fast.seconds[BTC])] == fast.seconds[BTC]
    assert slow.horizon_ns - fast.horizon_ns == 3 * (end - start) * units.NS


def test_without_the_move_what_would_fall_stands_still(incident, venue):
    fast = shape("market-redemption-stays")
    still, moved = (incident.moved(venue, "close", fast, falls) for falls in (False, True))
    start = (at("21:19:00") - at("21:00:00")) // units.NS
    for source in (OWN, DEX, REDEMPTION):
        assert still.seconds[source][: start + 1] == moved.seconds[source][: start + 1]
        assert set(still.seconds[source][start:]) == {moved.seconds[source][start]}
    assert still.seconds[BTC] == moved.seconds[BTC] and still.horizon_ns == moved.horizon_ns


def test_the_shapes_are_all_combinations_and_quick_are_two(incident):
    shapes = incident.true_moves.shapes()
    assert len({found.name for found in shapes}) == len({found.title for found in shapes}) == len(shapes) == 8
    assert [found.name for found in incident.true_moves.shapes(quick=True)] == ["market-stays", "market-redemption-stays"]


def test_the_seven_rules_are_rule_books(incident, venue):
    assert [rule.name for rule in incident.rules] == [
        "own-book", "own-twap-5m", "own-twap-30m", "mean-own-dex", "median-own-dex-redemption", "redemption",
        "redemption-floor",
    ]  # fmt: skip
    assert incident.with_rule(venue, "own-book") == venue
    for rule in incident.rules:
        other = incident.with_rule(venue, rule.name)
        assert other.indices[0].recipe == rule.recipe and other.indices[1:] == venue.indices[1:]
        assert other.model_dump(exclude={"indices"}) == venue.model_dump(exclude={"indices"})
    with pytest.raises(KeyError):
        incident.with_rule(venue, "no such rule")


def test_facts_of_the_tape_come_out(incident, venue):
    """Means of 5 and 30 closes, mean(low, DEX) and median(low, DEX, 1), in exact fractions of the figures typed in."""
    facts = {fact.id: fact for fact in incident.facts}
    close, low, dex = ([Fraction(figure) for figure in row.values()] for row in incident.tape.minutes)
    twap = {n: min(sum(close[i - n : i]) / n for i in range(n, 78)) for n in (5, 30)}
    got = {
        "own-low": min(low),
        "own-close-min": min(close),
        "twap-5m-min": twap[5],
        "twap-30m-min": twap[30],
        "mean-min": min((a + b) / 2 for a, b in zip(low, dex, strict=True)),
        "median-min-tape": min(sorted((a, b, Fraction(1)))[1] for a, b in zip(low, dex, strict=True)),
        "btc-fall": Fraction(116_799 - 101_878, 116_799) * 100,
    }
    assert set(got) == {fact.id for fact in incident.facts if fact.kind == "replay_exact"}
    for name, value in got.items():
        assert abs(value - Fraction(facts[name].observed)) <= Fraction(facts[name].tolerance), name
        assert measure(incident, venue, facts[name]) == value, name


def whole_evening(shared: Path) -> tuple[list[str], list[str], list[str], list[Fraction]]:
    """Return minutes, closes, lows and the DEX's last block before each minute of 20:00-23:59, then the one before 00:00."""
    import pyarrow.parquet as pq

    bars = list(csv.DictReader((shared / "data" / SERIES[0]).read_text().splitlines()))
    table = pq.read_table(shared / "data" / SERIES[1], columns=["timestamp", "token1Price"])
    stamps = table.column("timestamp").to_numpy()
    prices = [Fraction(price) for price in table.column("token1Price").to_pylist()]
    start = int(datetime(2025, 10, 10, 20, tzinfo=timezone.utc).timestamp())
    dex = [prices[int(np.searchsorted(stamps, start + 60 * i, side="left")) - 1] for i in range(len(bars) + 1)]
    return [bar["open_time_utc"][11:16] for bar in bars], [bar["close"] for bar in bars], [bar["low"] for bar in bars], dex


def half_up(price: Fraction) -> int:
    return (2 * price.numerator * 10**8 + price.denominator) // (2 * price.denominator)


@pytest.mark.needs_shared(*IN_SHARED)
def test_the_figures_are_those_of_the_recorded_series(incident, shared):
    names, close, low, dex = whole_evening(shared)
    first, last = names.index("21:00"), names.index("22:16")
    typed = [[units.decimal_to_int(figure, 8) for figure in row.values()] for row in incident.tape.minutes]
    assert typed[0] == [units.decimal_to_int(figure, 8) for figure in close[first : last + 1]]
    assert typed[1] == [units.decimal_to_int(figure, 8) for figure in low[first : last + 1]]
    assert typed[2] == [half_up(price) for price in dex[first : last + 1]]
    own, _, pool = incident.tape.minutes
    assert (units.decimal_to_int(own.make_whole, 8), units.decimal_to_int(pool.make_whole, 8)) == (
        units.decimal_to_int(close[-1], 8),
        half_up(dex[-1]),
    )


@pytest.mark.needs_shared(*IN_SHARED)
def test_minima_of_the_whole_evening(incident, shared):
    names, close, low, dex = whole_evening(shared)
    assert len(names) == 240
    closes, lows = [Fraction(figure) for figure in close], [Fraction(figure) for figure in low]
    minima = {
        "0.6500": min(lows),
        "0.70172": min(sum(closes[i - 5 : i]) / 5 for i in range(5, 241)),
        "0.84608": min(sum(closes[i - 30 : i]) / 30 for i in range(30, 241)),
        "0.82489": min((a + b) / 2 for a, b in zip(lows, dex[:-1], strict=True)),
        "0.99467": min(sorted((a, b, Fraction(1)))[1] for a, b in zip(lows, dex[:-1], strict=True)),
    }
    for figure, value in minima.items():
        assert abs(value - Fraction(figure)) <= Fraction("0.000005"), (figure, float(value))
    evening = next(fact for fact in incident.facts if fact.kind == "recorded_exact")
    assert evening.observed == "0.99467"


# ---- what a wrong file says


def change(old: str, new: str) -> str:
    text = load.find("incident", ALIAS).read_text()
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"0.9480 0.9580 0.9628 0.9414 0.9601 0.9664 0.9699"',
            '"0.9480 0.9580 0.9628 0.9414 0.9601 0.9664"',
            "76 figures for 77 minutes",
        ),
        ("1.0000 1.0000", "1.0000  1.0000", "figures"),
        ("0.8304", "-0.8304", "figures"),
        ("0.99997861 ", "0.999978611 ", "more than 8 decimals"),
        ('price: "112209"', "price: 112209.0", "float"),
        ('at: "2025-10-10T21:20:00Z"', 'at: "2025-10-10T21:14:00Z"', "not later"),
        ('at: "2025-10-11T00:00:00Z"', 'at: "2025-10-10T23:00:00Z"', "do not span"),
        ('window: {from: "2025-10-10T21:00:00Z"', 'window: {from: "2025-10-10T21:00:30Z"', "minute"),
        ('from: "2025-10-10T21:36:00Z"', "from: 2025-10-10T21:36:00", "no time zone"),
        ('from: "2025-10-10T21:36:00Z"', 'from: "2025-10-10T20:36:00Z"', "not within"),
        ('to: "2025-10-10T22:16:00Z"', 'to: "2025-10-10T21:35:59Z"', r":7:44: window\.to: the window ends before it begins"),
        ('horizon: "2025-10-10T22:16:00Z"', 'horizon: "2025-10-10T23:16:00Z"', "horizon"),
        ('broken: "binance-spot:USDEUSDT"', 'broken: "synthetic:BTCUSDT"', "no minute series"),
        ('by: {kind: source, name: "uniswap-v3:USDEUSDT"}', 'by: {kind: source, name: "uniswap-v2:USDEUSDT"}', "uniswap-v3"),
        ("title: median(own, DEX, redemption)", "title: x\n    sources_min: 4", "sources_min: the recipe reads 3 sources: 4"),
        ("market: BTCUSDT", "market: ETHUSDT", "ETHUSDT"),
        ("index: USDEUSDT", "index: USDE", "not an index"),
        ("name: own-twap-5m", "name: own-book", "defined twice"),
        ('ratio: "ethena:USDE-redemption"', 'ratio: "ethena:sUSDe"', "not one of the sources"),
        ("variants: [close, low]", "variants: [close, high]", "variants"),
        ("accounts: 20_000", "accounts: 20_001", "accounts"),
        ("accounts: 20_000", "accounts: true", "accounts"),
        ("unknowns:", "unknown:", "unknown"),
        ('redemption: ["ethena:USDE-redemption"]', 'redemption: ["ethena:USDE"]', "'ethena:USDE' has no series here"),
        ('redemption: ["ethena:USDE-redemption"]', "redemption: []", "no series falls with the issuer's ratio"),
        ('redemption: ["ethena:USDE-redemption"]', 'redemption: ["uniswap-v3:USDEUSDT"]', "falls twice"),
        ('redemption: ["ethena:USDE-redemption"]', 'redemption: ["synthetic:BTCUSDT"]', "the accounts trade at the price"),
        ('market: ["binance-spot:USDEUSDT", "uniswap-v3:USDEUSDT"]', 'market: ["uniswap-v3:USDEUSDT"]', "is not among them"),
        ("after: [stays, recovers]", "after: [recovers]", "no move stays"),
        ("slower: [1, 4]", "slower: [4, 4]", "the same twice"),
        ("slower: [1, 4]", "slower: [1, 17]", "16"),
        ("quick: [market-stays,", "quick: [market-stay,", "'market-stay' is not one of these shapes"),
        ('0.9998 0.9998 0.9998 0.9997 0.9995 0.9993"', '0.9998 0.9998 0.9998 0.9997 0.9995 0"', "is 0 there, variant close"),
        ('from: "2025-10-10T21:19:00Z"', 'from: "2025-10-10T20:59:00Z"', "not within the tape"),
        ('from: "2025-10-10T21:19:00Z"', 'from: "2025-10-10T22:16:00Z"', "not within the tape"),
        ('from: "2025-10-10T21:19:00Z"', 'from: "2025-10-10T21:19:00.5Z"', "not on the clock grid"),
        ("settle_ns: 1_800_000_000_000", "settle_ns: 1_799_000_000_000", "the average of 'own-twap-30m' is longer"),
        ("hidden_max_ppm: 50_000", "hidden_max_ppm: 1_000_001", "1000000"),
        ("eps_ns: 1_000_000_000", "eps_s: 1", "eps_s"),
        ("confidence: A", "confidence: D", "confidence"),
        (
            '      price: "1"',
            '      price: "1"\n    - source: "uniswap-v3:USDEUSDT"\n      provenance: assumed\n      note: x\n      price: "1"',
            "two series",
        ),
    ],
)
def test_a_wrong_file_is_refused_where_it_is_wrong(venue, old, new, problem):
    text = change(old, new)
    with pytest.raises(SpecError, match=problem) as caught:
        load.load_text(text, Incident, "i.yaml", check=lambda incident: incident.check(venue))
    assert caught.value.where.startswith("i.yaml:") and caught.value.exit_code == 2


# ---- the tape


@pytest.fixture(scope="module")
def tape(incident, venue) -> Tape:
    return incident_tape(incident, venue, seed=1, accounts=2_000)


def test_the_tape_says_every_price_every_second(incident, venue, tape):
    events, paths = tape.events, incident.prices(venue)
    clocks = events["time_ns"][events["kind"] == EventKind.CLOCK]
    assert clocks.tolist() == [*range(at("21:00:00"), at("22:16:00") + 1, units.NS), at("00:00:00", 11)]
    for source in (OWN, DEX, REDEMPTION, BTC):
        said = events[(events["kind"] == EventKind.SOURCE) & (events["source"] == source)]
        assert said["time_ns"].tolist() == clocks.tolist()
        assert said["price"].tolist() == [*paths.seconds[source], paths.make_whole[source]]
    assert not np.any(events["flags"] & Flag.MISSING)
    assert tape.meta.gaps == ((at("22:16:00"), at("00:00:00", 11)),) and tape.meta.horizon_ns == at("22:16:00")
    assert events["kind"][0] == EventKind.CLOCK, "no overlay can drop the first event"
    assert {s.name: s.provenance for s in tape.meta.series} == {
        "binance-spot:USDEUSDT": "recorded",
        "uniswap-v3:USDEUSDT": "recorded",
        "ethena:USDE-redemption": "derived",
        "synthetic:BTCUSDT": "synthetic",
        "accounts": "synthetic",
    }


def test_the_tape_is_golden_and_the_same_in_any_process():
    assert small_digest() == GOLDEN
    code = "from tests.test_incident import small_digest; print(small_digest())"
    for seed in ("0", "4711"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        assert (
            subprocess.run(
                [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            == GOLDEN
        )


def test_seeds_differ_and_variants_share_their_accounts(incident, venue, tape):
    def people(other: Tape) -> bytes:
        return other.events[~np.isin(other.events["kind"], [EventKind.SOURCE])].tobytes()

    assert people(incident_tape(incident, venue, seed=2, accounts=2_000)) != people(tape)
    for variant in ("close", "low"):
        other = incident_tape(incident, venue, seed=1, accounts=2_000, variant=variant)
        assert people(other) == people(tape)
        assert (other.digest() == tape.digest()) == (variant == "close")


def test_more_accounts_leave_the_first_as_they_are(incident, venue, tape):
    """Accounts are drawn one pair after the other: a smaller population is the beginning of a larger one."""
    fewer = incident_tape(incident, venue, seed=1, accounts=200).events
    first = tape.events[tape.events["account"] < ACCOUNTS_FROM + 200]
    assert fewer.tobytes() == first.tobytes()


@pytest.mark.parametrize("n", [1, 7, 20])
def test_thinning_keeps_whole_pairs(tape, n):
    events = tape.thin(n).events
    accounts = sorted(set(events["account"].tolist()) - {0, 16, 17})
    assert accounts == [ACCOUNTS_FROM + 2 * pair + i for pair in range(0, 1_000, n) for i in (0, 1)]
    orders = events[events["kind"] == EventKind.ORDER]
    assert np.array_equal(orders["account"][0::2] // 2, orders["account"][1::2] // 2)
    assert np.array_equal(orders["price"][0::2], orders["price"][1::2]) and np.array_equal(
        orders["qty"][0::2], orders["qty"][1::2]
    )
    assert np.array_equal(orders["side"][0::2] + orders["side"][1::2], np.full(len(orders) // 2, 3))


def test_pairs_meet_each_other_and_nobody_else(tape, incident, venue):
    """On the model, up to 21:10: every order is accepted and every fill is between the two of a pair."""
    part = tape.thin(20).slice(at("21:00:00"), at("21:10:01"))
    exchange = Exchange(venue, part.meta.start_ns)
    exchange.run(part.events)
    outcomes = exchange.outcomes()
    assert not np.any(outcomes["kind"] == OutcomeKind.REJECT)
    fills = outcomes[outcomes["kind"] == OutcomeKind.FILL]
    assert np.all(fills["stage"] == Stage.NONE) and np.array_equal(fills["account"] // 2, fills["other"] // 2)
    orders = part.events[part.events["kind"] == EventKind.ORDER]
    assert len(fills) == len(orders) // 2 > 20
    assert fills["qty"].sum() * 2 == orders["qty"].sum(), "nothing is left of any order"


def test_tables_are_log_uniform_and_within_their_bounds():
    assert (LOTS[0], MARGIN_PPM[0], CARRIER_PPM[0]) == (10, 1_050_000, 122_000)
    assert LOTS[-1] <= 8_000 and MARGIN_PPM[-1] <= 3_000_000 and CARRIER_PPM[-1] <= 300_000
    for table in (MARGIN_PPM, CARRIER_PPM):
        assert all(abs(b * 64 - a * 65) <= 130 for a, b in zip(table, table[1:], strict=False))
    assert log_steps(5, 5) == [5] * 12, "below one unit a step the table repeats itself"
    assert EARLY[1] < LATE[0]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("limits.accounts_max", 1_000, "accounts from 100"),
        ("clock.gap_max_ns", units.NS, "make-whole instant is 6240 s after"),
        ("indices.1.publish.every_ns", 3 * units.NS, "not published once a second"),
        ("quoters.0.half_spread_ppm", 0, "quoter 16 may quote"),
        ("quoters.0.refill_ns", 60 * units.NS, "quoter 16 may quote"),
    ],
)
def test_a_rule_book_that_cannot_hold_the_accounts_is_refused(incident, venue, path, value, problem):
    dump = venue.model_dump()
    here = dump
    *steps, last = path.split(".")
    for step in steps:
        here = here[int(step) if step.isdigit() else step]
    here[last] = value
    with pytest.raises(SpecError, match=problem):
        incident_tape(incident, Venue.model_validate(dump), accounts=1_000)


def test_an_odd_number_of_accounts_is_refused(incident, venue):
    with pytest.raises(SpecError, match="pairs"):
        incident_tape(incident, venue, accounts=3)


def test_nobody_but_quoters_is_a_tape_too(incident, venue):
    events = incident_tape(incident, venue, accounts=0).events
    assert sorted(set(events["account"].tolist())) == [0, 16, 17]
