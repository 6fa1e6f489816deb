"""What an index does with a part that stands apart, by example and by published figures, on both twins."""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import EVENT, EventKind, Grade, OutcomeKind
from tests.test_model_tables import COIN, COIN2, USD, coin_index
from tests.twins import START_NS, play, small_venue, twin, vectors  # noqa: F401

RATIO = {"kind": "source", "name": "ratio"}


def weighted(policy: str, ppm: int, parts=(COIN, COIN2, RATIO), weights=(50_000_000, 25_000_000, 25_000_000), **fields):
    """Return the small venue with COIN as a weighted index of coin, coin2 and ratio under an outlier row."""
    outlier = {"policy": policy, "ppm": ppm} | fields
    return small_venue(indices=coin_index({"kind": "weighted", "of": list(parts), "weights": list(weights), "outlier": outlier}))


def test_an_outlier_of_zero_weight(twin):
    """More than 5 % from the median. Weights 2, 1, 1: without ratio (2 x 100 + 101) / 3. Two of three, and the median is the index."""
    play(
        twin,
        weighted("zero_weight", 50_000),
        """
    -- fewer than three parts: as they are
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source ratio 120               | INDEX COIN 106.66 of 2; MARK COINUSDT 106.66
    0    source coin2 101               | INDEX COIN 100.33 of 2; MARK COINUSDT 100.33
    -- 106.05 is 5 % from 101 and counts, 106.06 does not; nor does 95.94, and then both are out
    0    source ratio 106.05            | INDEX COIN 101.76 of 3; MARK COINUSDT 101.76
    0    source ratio 106.06            | INDEX COIN 100.33 of 2; MARK COINUSDT 100.33
    0    source coin 95.95              | INDEX COIN 97.63 of 2; MARK COINUSDT 97.63
    0    source coin 95.94              | INDEX COIN 101 of 3; MARK COINUSDT 101
    -- the median moved with two of them: the one that did not is out
    0    source coin2 95.9              | INDEX COIN 95.92 of 2; MARK COINUSDT 95.92
    """,
    )


def test_an_outlier_clamped_to_the_band(twin):
    """2 % around the median: 120 counts as 103.02, 90 as 98.98."""
    play(
        twin,
        weighted("clamp_to_median", 20_000, weights=(40_000_000, 30_000_000, 30_000_000)),
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source ratio 120               | INDEX COIN 108.57 of 2; MARK COINUSDT 108.57
    -- 40 + 30.3 + 30.906
    0    source coin2 101               | INDEX COIN 101.2 of 3; MARK COINUSDT 101.2
    -- 39.592 + 30.3 + 30.906
    0    source coin 90                 | INDEX COIN 100.79 of 3; MARK COINUSDT 100.79
    -- a band of 101.01 is from 98.9898 to 103.0302: prices inside it are 98.99 to 103.03
    0    source coin2 101.01            | INDEX COIN 100.8 of 3; MARK COINUSDT 100.8
    -- from 101.4398, so 101.44: 40.576 + 31.053 + 31.674
    0    source coin2 103.51            | INDEX COIN 103.3 of 3; MARK COINUSDT 103.3
    0    source coin2 missing           | INDEX COIN 102.85 of 2; MARK COINUSDT 102.85
    """,
    )


def test_the_median_of_four_and_parts_min(twin):
    """Of 100, 101, 103.01 and 200 it is 102.00, rounded down: 2 % are 99.96 to 104.04. With parts_min 4 the three that come
    first count as they are, the far one too.
    """
    parts, weights = (COIN, COIN2, RATIO, USD), (25_000_000,) * 4
    for policy, parts_min, three, four in (
        ("zero_weight", 3, "102 of 2", "101.33 of 3"),
        ("clamp_to_median", 3, "103.02 of 3", "102.01 of 4"),
        ("zero_weight", 4, "134.67 of 3", "101.33 of 3"),
        ("clamp_to_median", 4, "134.67 of 3", "102.01 of 4"),
    ):
        play(
            twin,
            weighted(policy, 20_000, parts, weights, parts_min=parts_min),
            f"""
    0    source usd 200                 | ...
    0    source ratio 103.01            | ...
    0    source coin2 101               | INDEX COIN {three}; MARK COINUSDT {three.split()[0]}
    0    source coin 100                | INDEX COIN {four}; MARK COINUSDT {four.split()[0]}
    """,
        )


def test_what_is_left_may_weigh_nothing(twin):
    """The part with all of the weight is out: there is no price, and the one before stays in the record."""
    play(
        twin,
        weighted("zero_weight", 50_000, weights=(0, 0, 100_000_000)),
        """
    0    source ratio 100               | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source coin 100                |
    0    source coin2 100               |
    0    source ratio 110               | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES
    0    source coin 110                | INDEX COIN 110 of 2; MARK COINUSDT 110
    """,
    )


def test_prices_below_zero_have_a_band_too(twin):
    """5 % of |-100|: -106 is out, -105 is not. The index is told and graded INVALID."""
    play(
        twin,
        weighted("zero_weight", 50_000, weights=(50_000_000, 25_000_000, 25_000_000)),
        """
    0    source coin -100               | INDEX COIN -100 of 1 INVALID; MARK COINUSDT 0 INVALID
    0    source coin2 -100              |
    0    source ratio -106              |
    0    source ratio -105              | INDEX COIN -101.25 of 3 INVALID
    """,
    )


# ---- published figures


def published(twin, vector: dict, outlier: dict | None) -> tuple[Fraction | None, int]:
    """Run a vector's sources through an index of weighted parts; return (the price, the sum of the weights in 10^-8).

    A cross price is a source of its own: the part is their product. Without weights all are equal. `stale_after_s` makes sources
    stale, heard at their age.
    """
    given, decimals = vector["given"], 8
    parts, sources, prices, ages = [], [], [], []
    for row in given["sources"]:
        legs = [(row["source"], row["price"])] + (
            [(row["source"] + "-cross", row["cross_price"])] if "cross_price" in row else []
        )
        nodes = [{"kind": "source", "name": name} for name, _ in legs]
        parts.append(nodes[0] if len(nodes) == 1 else {"kind": "product", "of": nodes})
        sources += [{"name": name, "price_decimals": decimals} for name, _ in legs]
        prices += [units.decimal_to_int(price, decimals) for _, price in legs]
        ages += [int(row.get("age_s", "0")) for _ in legs]
    if "stale_after_s" in given:
        sources = [source | {"stale_after_ns": int(given["stale_after_s"]) * units.NS} for source in sources]
    n = len(parts)
    weights = [
        units.decimal_to_int(row["weight"], 8) if "weight" in row else (units.WEIGHT_ONE + i) // n
        for i, row in enumerate(given["sources"])
    ]
    recipe = {"kind": "weighted", "of": parts, "weights": weights} | ({"outlier": outlier} if outlier else {})
    venue = rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": "vector",
            "numeraire": "USDT",
            "assets": [{"name": "USDT", "decimals": 8}],
            "sources": sources,
            "indices": [{"name": "I", "price_decimals": decimals, "publish": {"kind": "update"}, "recipe": recipe}],
            "markets": [
                {
                    "name": "M",
                    "settles_in": "USDT",
                    "index": "I",
                    "mark": {"kind": "index"},
                    "price_decimals": decimals,
                    "lot": {"decimals": 0},
                    "brackets": [{"notional_max": 1000, "leverage_max": 20, "maintenance_ppm": 0}],
                }
            ],
            "liquidation": {"stages": [{"kind": "write_off"}]},
        }
    )
    events = np.zeros(len(prices) + 1, EVENT)
    events["kind"], events["time_ns"] = EventKind.SOURCE, START_NS + max(ages) * units.NS
    for i, j in enumerate(sorted(range(len(prices)), key=lambda j: -ages[j])):
        events[i]["source"], events[i]["price"] = j, prices[j]
        events[i]["time_ns"] -= ages[j] * units.NS
    events[-1]["kind"] = EventKind.CLOCK
    exchange = twin(venue, START_NS)
    exchange.run(events)
    last = [o for o in outcomes_of(exchange.outcomes().tobytes()) if o.kind == OutcomeKind.INDEX][-1]
    return (Fraction(last.price, 10**decimals) if last.grade == Grade.VALID else None), sum(weights)


def clamp(vector: dict) -> dict | None:
    rate = vector["given"].get("cap_rate")
    return {"policy": "clamp_to_median", "ppm": units.decimal_to_int(rate, 6)} if rate else None


@pytest.mark.needs_shared("vectors/index_price.yaml")
@pytest.mark.parametrize("venue_of", ["binance", "bybit", "deribit", "okx"])
def test_published_weighted_indices(shared, twin, venue_of):
    """Venues use weights as printed; here they are normalised, so that a sum of 1.00000001 is put back before comparing."""
    found = vectors(shared, "index_price", venue_of)
    assert found
    for vector in found:
        price, weight = published(twin, vector, clamp(vector))
        as_printed = price * weight / units.WEIGHT_ONE
        rounding = Fraction(2, 10**8) if weight != units.WEIGHT_ONE else 0  # of a price of 8 decimals, rounded down
        assert abs(as_printed - Fraction(vector["expect"]["index_price"])) <= Fraction(vector["tolerance"]) + rounding, vector[
            "id"
        ]


@pytest.mark.needs_shared("vectors/index_price.yaml")
def test_published_index_that_excludes_an_outlier(shared, twin):
    """BitMEX: more than 25 % from the median is out, the mean of the rest is the index: zero_weight at equal weights."""
    (vector,) = vectors(shared, "index_price", "bitmex")
    outlier = {"policy": "zero_weight", "ppm": units.decimal_to_int(vector["given"]["outlier_rate"], 6)}
    price, _ = published(twin, vector, outlier)
    assert abs(price - Fraction(vector["expect"]["index_price"])) <= Fraction(vector["tolerance"])
    plain, _ = published(twin, vector, None)
    assert plain != price
