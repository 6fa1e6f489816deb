"""A venue's published tiers are continuous in maintenance: every boundary of ../shared, by the functions of `venue check`."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from riskbed.importers import binance_tiers
from riskbed.venue.brackets import continuous_of, initial_of, leverage_of, ordered_of
from riskbed.venue.pieces import pieces, recomputed
from specs.errors import SpecError, TapeError
from specs.rules import Bracket

FILE = "data/binance_tiers/binance_usdm_leverage_tiers_20241024.json.zst"
SYMBOLS, BOUNDARIES = 349, 2_456


@pytest.fixture(scope="module")
def tiers(shared: Path) -> dict[str, list[Bracket]]:
    return binance_tiers.read(shared / FILE)


@pytest.mark.needs_shared(FILE)
def test_every_boundary_is_continuous_and_every_amount_the_recomputed_one(tiers: dict[str, list[Bracket]]) -> None:
    boundaries = 0
    for symbol, rows in tiers.items():
        assert list(continuous_of(rows)) == [], symbol
        assert [Fraction(row.amount) for row in rows] == recomputed(rows), symbol
        parts = pieces(rows)
        for before, piece in zip(parts, parts[1:], strict=False):
            assert before.maintenance(piece.floor) == piece.maintenance(piece.floor), symbol
            boundaries += 1
    print(f"{boundaries:,} boundaries of {len(tiers)} symbols")
    assert (len(tiers), boundaries) == (SYMBOLS, BOUNDARIES)


@pytest.mark.needs_shared(FILE)
def test_they_are_in_order_and_initial_margin_is_never_below_maintenance(tiers: dict[str, list[Bracket]]) -> None:
    found = {symbol: [*initial_of(rows), *ordered_of(rows), *leverage_of(rows)] for symbol, rows in tiers.items()}
    assert {symbol: rows for symbol, rows in found.items() if rows} == {}


@pytest.mark.needs_shared(FILE)
def test_one_amount_that_is_wrong_is_found_at_its_boundaries(tiers: dict[str, list[Bracket]]) -> None:
    rows = list(tiers["BTC/USDT:USDT"])
    right = Fraction(rows[3].amount)
    rows[3] = rows[3].model_copy(update={"amount": str(int(right) + 1)})
    found = list(continuous_of(rows))
    assert [row.path for row in found] == [(3, "amount"), (4, "amount")]
    assert "maintenance jumps by -1 at " in found[0].problem and f"recomputed {int(right):,}" in found[0].problem
    assert "maintenance jumps by 1 at " in found[1].problem


def tier(floor: str, cap: str, leverage: str, rate: str, amount: str) -> dict:
    names = ("notionalFloor", "notionalCap", "initialLeverage", "maintMarginRatio", "cum")
    return {"info": dict(zip(names, (floor, cap, leverage, rate, amount), strict=True))}


FIRST = tier("0", "5000", "50", "0.01", "0.0")


def write(folder: Path, text: str) -> Path:
    path = folder / "tiers.json"
    path.write_text(text)
    return path


def test_tiers_become_rows(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"X": [FIRST, tier("5000", "6.5E+4", "20", "0.0165", "32.50")]}))
    assert binance_tiers.read(path)["X"] == [
        Bracket(notional_max="5000", leverage_max=50, maintenance_ppm=10_000, amount="0.0"),
        Bracket(notional_max="65000", leverage_max=20, maintenance_ppm=16_500, amount="32.50"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "tiers.json: not JSON"),
        ("[]", "not a mapping of symbols"),
        ('{"X": [{}]}', "tiers.json: X: no tiers: KeyError"),
        (json.dumps({"X": [FIRST, tier("6000", "7000", "20", "0.02", "50")]}), "a tier from 6000 after a cap of 5000"),
        (json.dumps({"X": [tier("0", "5000", "50", "0.0000001", "0")]}), "finer than a ppm"),
        (json.dumps({"X": [tier("0", "many", "50", "0.01", "0")]}), "InvalidOperation"),
        (json.dumps({"X": [tier("0", "5000", "5000", "0.01", "0")]}), "leverage_max"),
    ],
)
def test_what_is_no_table_of_tiers_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TapeError, match=words):
        binance_tiers.read(write(tmp_path, text))


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        binance_tiers.read(tmp_path / "none.json")
