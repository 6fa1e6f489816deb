"""The index rules of 10 October on the recorded minutes of USDE, on both twins.

Figures: one-minute bars of USDEUSDT on Binance spot and per-block states of the Uniswap v3 pool, 20:00-23:59 UTC.
"""

import csv
from decimal import Decimal

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.exchange import Exchange as Engine
from specs import rules, units
from specs.model.exchange import Exchange as Model
from specs.tape import EVENT, EventKind, Grade, OutcomeKind

MINUTE = 60 * units.NS
START = units.instant_to_ns("2025-10-10T20:00:00Z")
OWN_CLOSE, OWN_LOW, DEX, REDEMPTION = range(4)
SOURCES = ["own-close", "own-low", "dex", "redemption"]


def source(name):
    return {"kind": "source", "name": name}


RECIPES = {
    "low": (source("own-low"), "0.65000"),
    "twap-5m": ({"kind": "twap", "publications": 5, "of": source("own-close")}, "0.70172"),
    "twap-30m": ({"kind": "twap", "publications": 30, "of": source("own-close")}, "0.84608"),
    "mean": ({"kind": "mean", "of": [source("own-low"), source("dex")]}, "0.82489"),
    "median": (
        {"kind": "median", "of": [source("own-low"), source("dex"), {"kind": "redemption", "ratio": "redemption"}]},
        "0.99467",
    ),
}


def venue():
    indices = [
        {"name": name, "price_decimals": 8, "publish": {"kind": "interval", "every_ns": MINUTE}, "recipe": recipe}
        for name, (recipe, _) in RECIPES.items()
    ]
    return rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": "usde-minutes",
            "numeraire": "USDT",
            "assets": [{"name": "USDT"}],
            "sources": [{"name": name, "price_decimals": 8} for name in SOURCES],
            "indices": indices,
            "markets": [
                {
                    "name": "USDEUSDT-PERP",
                    "settles_in": "USDT",
                    "index": "median",
                    "mark": {"kind": "index"},
                    "price_decimals": 8,
                    "lot": {"decimals": 0},
                    "brackets": [{"notional_max": 1000, "leverage_max": 20, "maintenance_ppm": 0}],
                }
            ],
            "liquidation": {"stages": [{"kind": "write_off"}]},
        }
    )


def minutes(shared):
    """Return rows (own close, own low, DEX, redemption) in 10^-8, a row a minute; the DEX is its last block before the minute."""
    folder = shared / "data" / "oct10_usde"
    with open(folder / "usdeusdt_binance_spot_1m_20251010_2000_2359.csv") as file:
        bars = list(csv.DictReader(file))
    blocks = pq.read_table(
        folder / "usde_usdt_uniswap_v3_per_block_20251010.parquet", columns=["timestamp", "token1Price"]
    ).to_pydict()
    times = np.array(blocks["timestamp"])
    rows = []
    for i, bar in enumerate(bars):
        at = np.searchsorted(times, (START + i * MINUTE) // units.NS) - 1
        dex = int((Decimal(blocks["token1Price"][at]) * 10**8).to_integral_value())
        rows.append((units.decimal_to_int(bar["close"], 8), units.decimal_to_int(bar["low"], 8), dex, 10**8))
    return rows


def tape(rows):
    events = np.zeros(len(rows) * len(SOURCES) + 1, EVENT)
    for i, prices in enumerate(rows):
        for source_, price in enumerate(prices):
            event = events[i * len(SOURCES) + source_]
            event["time_ns"], event["kind"], event["source"], event["price"] = (
                START + i * MINUTE,
                EventKind.SOURCE,
                source_,
                price,
            )
    events[-1]["time_ns"], events[-1]["kind"] = START + len(rows) * MINUTE, EventKind.CLOCK
    return events


@pytest.mark.needs_shared
@pytest.mark.parametrize("twin", [Model, Engine], ids=["model", "engine"])
def test_lowest_index_of_the_evening_under_each_rule(shared, twin):
    rows = minutes(shared)
    assert len(rows) == 240
    exchange = twin(venue(), START)
    exchange.run(tape(rows))
    outcomes = exchange.outcomes()
    published = outcomes[(outcomes["kind"] == OutcomeKind.INDEX) & (outcomes["grade"] == Grade.VALID)]
    for number, (name, (_, figure)) in enumerate(RECIPES.items()):
        lowest = int(published["price"][published["ref_id"] == number].min())
        assert f"{Decimal(lowest) / 10**8:.5f}" == figure, name
    low = published[(published["ref_id"] == 0) & (published["price"] == 65_000_000)]
    assert [units.ns_to_instant(int(t)) for t in low["time_ns"]] == ["2025-10-10T21:55:00Z"]  # the publication after minute 21:54
