"""`riskbed venue diff`, `show` and `list`: what differs by names with both lines, what is a default, what is assumed."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import pytest

from riskbed.venue import book, diff, margins, show
from specs import load
from specs.rules import Venue
from tests.test_venue_check import ADL, ALL, GOOD, A, changed

B_LINE = '  - {name: "b:BTC", price_decimals: 1, stale_after_ns: 10_000_000_000}\n'

# name: pairs of (old, new), then (row, A, B, text of A's line, text of B's line, unit, direction) of each difference
CASES = {
    "a maintenance rate and its amount": (
        [("maintenance_ppm: 25_000, amount: 81", "maintenance_ppm: 30_000, amount: 106")],
        [
            (
                "markets.BTC.brackets.above-5,000.maintenance_ppm",
                "25,000",
                "30,000",
                "maintenance_ppm: 25_000",
                "30_000",
                "ppm",
                "stricter",
            ),
            ("markets.BTC.brackets.above-5,000.amount", "81", "106", "amount: 81", "amount: 106", "USDT", ""),
        ],
    ),
    "a leverage cap": (
        [("leverage_max: 100,", "leverage_max: 125,")],
        [("markets.BTC.brackets.above-0.leverage_max", "100", "125", "leverage_max: 100", "leverage_max: 125", "x", "looser")],
    ),
    "the default leverage": (
        [("leverage_default: 20", "leverage_default: 10")],
        [("markets.BTC.leverage_default", "20", "10", "leverage_default", "leverage_default", "x", "stricter")],
    ),
    "a haircut": (
        [("weight_ppm: 950_000", "weight_ppm: 900_000")],
        [("collateral.ETH.weight_ppm", "950,000", "900,000", "asset: ETH", "asset: ETH", "ppm", "stricter")],
    ),
    "a default that is written": ([("fund: {capital: 100_000}", "fund: {capital: 100_000, measure: cash}")], []),
    "a default that is changed": (
        [("fund: {capital: 100_000}", "fund: {capital: 100_000, measure: net}")],
        [("fund.measure", "cash", "net", "fund: {", "measure: net", "", "")],
    ),
    "one money in two ways": ([("capital: 100_000", "capital: '100000.00'")], []),
    "comments, order of keys, quotes": ([("numeraire: USDT", "numeraire: 'USDT'  # dollars")], []),
    "a stage less": (
        [(ADL, "")],
        [("liquidation.stages.adl", "kind adl", None, "kind: adl", None, "", "")],
    ),
    "a source less": (
        [(B_LINE, ""), (ALL, A), ("sources_min: 2", "sources_min: 1")],
        [
            ("indices.BTC.sources_min", "2", "1", "sources_min: 2", "sources_min: 1", "", ""),
            ("indices.BTC.recipe.kind", "median", "source", "kind: median", "kind: source", "", ""),
            (
                "sources.b:BTC",
                "name b:BTC, price_decimals 1, stale_after_ns 10,000,000,000",
                None,
                '"b:BTC", price',
                None,
                "",
                "",
            ),
            (
                "indices.BTC.recipe.of",
                "0.kind source, 0.name a:BTC, 1.kind source, 1.name b:BTC, 2.kind source, 2.name c:BTC",
                None,
                "recipe:",
                None,
                "",
                "",
            ),
            ("indices.BTC.recipe.name", None, "a:BTC", None, "recipe:", "", ""),
        ],
    ),
    "a row where there was none": (
        [("leverage_default: 20", "leverage_default: 20\n    band: {kind: percent, up_ppm: 50_000, down_ppm: 40_000}")],
        [
            (
                "markets.BTC.band",
                "none",
                "kind percent, up_ppm 50,000, down_ppm 40,000",
                "name: BTC",
                "band:",
                "",
                "",
            )
        ],
    ),
    "the same rows in another order": (
        [("[{name: USDT}, {name: ETH, decimals: 9}]", "[{name: ETH, decimals: 9}, {name: USDT}]")],
        [("assets: order", "USDT, ETH", "ETH, USDT", "assets:", "assets:", "", "")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_differs(name: str) -> None:
    pairs, rows = CASES[name]
    text = changed(*pairs)
    for swapped in (False, True):
        sides = [(GOOD, "a.yaml"), (text, "b.yaml")]
        found = diff.compare(*(book.of_text(*side) for side in (sides[::-1] if swapped else sides)))
        assert found.equal == (not rows) and not found.identity
        said = {}
        for row in found.rows:
            a, b = (row.b, row.a) if swapped else (row.a, row.b)
            direction = diff.OPPOSITE.get(row.direction, "") if swapped else row.direction
            said[row.row] = (a.value, b.value, row.unit, direction)
            lines = {row[0]: row[3:5] for row in rows}[row.row]
            for side, lines_of, words in zip((a, b), (GOOD, text), lines, strict=True):
                assert (side.line is None) == (words is None)
                assert words is None or words in lines_of.splitlines()[side.line - 1]
        assert said == {row[0]: (row[1], row[2], row[5], row[6]) for row in rows}


def test_a_name_is_no_rule() -> None:
    found = diff.compare(book.of_text(GOOD), book.of_text(changed(("name: good", "name: better"))))
    assert found.equal and [(row.row, row.a.value, row.b.value) for row in found.identity] == [("name", "good", "better")]


MAINTENANCE, INITIAL = margins.REQUIREMENTS


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (
            [("maintenance_ppm: 25_000, amount: 81", "maintenance_ppm: 30_000, amount: 106")],
            [(MAINTENANCE, "above 5,000 on", "stricter")],
        ),
        (
            [
                ("maintenance_ppm: 10_000, amount: 6", "maintenance_ppm: 12_000, amount: 8"),
                ("maintenance_ppm: 25_000, amount: 81", "maintenance_ppm: 20_000, amount: 48"),
            ],
            [(MAINTENANCE, "above 1,000 to below 6,600", "stricter"), (MAINTENANCE, "above 6,600 on", "looser")],
        ),
        (
            [("notional_max: 5_000, leverage_max: 50,", "notional_max: 5_000, leverage_max: 40,")],
            [(INITIAL, "above 1,000 up to and with 5,000", "stricter")],
        ),
        (
            [("notional_max: 20_000, leverage_max: 20,", "notional_max: 9_000, leverage_max: 25,")],
            [(INITIAL, "above 5,000 on", "looser"), ("largest notional", "9,000 instead of 20,000", "stricter")],
        ),
        ([("capital: 100_000", "capital: 1")], []),
    ],
)
def test_margin_is_stricter_or_looser_by_notional(pairs: list[tuple[str, str]], told: list[tuple]) -> None:
    found = diff.compare(book.of_text(GOOD), book.of_text(changed(*pairs))).margins
    assert [(row.requirement, row.notionals, row.direction) for row in found] == told


def test_the_direction_is_that_of_every_notional() -> None:
    """Two packaged tables of brackets, notional by notional across every boundary."""
    a, b = (book.of(f"binance-um-2025-10-10{tail}").venue.markets[0] for tail in ("", "-cascade"))
    rows = [margins.pieces(market.brackets) for market in (a, b)]
    grid = sorted({piece.cap + step for side in rows for piece in side for step in (-1, 0, 1)})
    for requirement, line in margins.REQUIREMENTS.items():
        parts = margins.compare(a, b, requirement)
        for notional in (n for n in grid if n <= parts[0].last):
            slopes = [line(next(piece for piece in side if notional <= piece.cap)) for side in rows]
            before, after = (slope * notional + constant for slope, constant in slopes)
            want = "" if after == before else "stricter" if after > before else "looser"
            inside = [p.direction for p in parts if p.span.low < notional < p.span.high + Fraction(p.span.high_in, 2)]
            assert inside == ([want] if want else []), notional


# --- show and list -------------------------------------------------------------------------------------------------


def test_show_marks_defaults_and_assumptions() -> None:
    assumed = "assumed:\n  - {path: markets.BTC.fees, why: guessed}\n  - {path: liquidation.stages.adl, why: likely}\n"
    answer = show.resolve(book.of_text(assumed + GOOD))
    rows = {row.row: row for row in answer.rows}
    assert (rows["markets.BTC.fees.taker_ppm"].value, rows["markets.BTC.fees.taker_ppm"].unit) == ("500", "ppm")
    assert rows["markets.BTC.fees.taker_ppm"].assumed == "markets.BTC.fees" and not rows["markets.BTC.fees.taker_ppm"].default
    assert rows["markets.BTC.fees.maker_ppm"].default and rows["markets.BTC.fees.maker_ppm"].value == "0"
    assert rows["liquidation.stages.adl.score"].assumed == "liquidation.stages.adl"
    assert rows["fund.capital"].assumed is None and not rows["fund.capital"].default
    assert [(row.path, row.why) for row in answer.assumed] == [
        ("markets.BTC.fees", "guessed"),
        ("liquidation.stages.adl", "likely"),
    ]
    assert answer.written + answer.defaulted == len(answer.rows) == len({row.row for row in answer.rows})


@pytest.mark.parametrize("name", load.names("venue"))
def test_show_has_every_value_once_and_an_assumption_covers_what_it_names(name: str) -> None:
    one = book.of(name)
    answer = show.resolve(one)
    assert len({row.row for row in answer.rows}) == len(answer.rows)
    tree = one.venue.model_dump()
    told = leaves({key: value for key, value in tree.items() if key not in ("assumed", "references")})
    assert told + 1 == len(answer.rows)  # liquidation.preset: in a dump its rows stand in its place
    covered = {row.assumed for row in answer.rows}
    assert {row.path for row in one.venue.assumed} - covered <= {
        row.path for row in one.venue.assumed if _refined(row.path, covered)
    }


def leaves(here: object) -> int:
    """Return how many values a tree of mappings and lists has."""
    if not isinstance(here, dict | list):
        return 1
    return sum(map(leaves, here.values() if isinstance(here, dict) else here))


def _refined(path: str, covered: set) -> bool:
    """Return whether each value below a path has an assumption of its own, nearer to it."""
    return any(other is not None and other.startswith(path + ".") for other in covered)


def test_the_list_is_of_everything_that_is_packaged() -> None:
    rows = {row.name: row for row in show.listed().rows}
    assert set(rows) == set(load.names("venue"))
    for name, row in rows.items():
        venue = load.load(load.find("venue", name), Venue)
        assert (row.title, row.assumed) == (venue.title, len(venue.assumed)) and row.effective_from.endswith("T00:00:00Z")


# --- the commands --------------------------------------------------------------------------------------------------


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "riskbed.cli", "venue", *map(str, words)], capture_output=True, text=True)


def test_the_command_exits_with_whether_a_rule_differs(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(changed(("leverage_max: 100,", "leverage_max: 125,")))
    same = command("diff", tmp_path / "a.yaml", tmp_path / "a.yaml")
    assert same.returncode == 0 and same.stdout.endswith("No rule differs.\n")
    other = command("diff", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert other.returncode == 1 and "markets.BTC.brackets.above-0.leverage_max  B is looser" in other.stdout
    assert f"  A  100 x  {tmp_path}/a.yaml:25:45" in other.stdout and f"  B  125 x  {tmp_path}/b.yaml:25:45" in other.stdout
    assert command("diff", tmp_path / "a.yaml", "nowhere").returncode == 2


def test_the_commands_print_what_is_packaged() -> None:
    assert "binance-um-2025-10-10-wrapped " in command("list").stdout
    shown = command("show", "binance-um-2025-10-10").stdout
    assert any(
        line.split()[:2] == ["fund.capital", "1,230,000,000"] and "assumed: fund.capital" in line for line in shown.splitlines()
    )


@pytest.mark.parametrize(
    ("words", "model", "schema", "path"),
    [
        (("diff", "binance-um-2025-10-10", "binance-um-2025-10-10-cascade"), diff.Answer, diff.schema(), diff.SCHEMA),
        (("show", "binance-um-2025-10-10"), show.Resolved, show.schema("show"), show.SCHEMAS["show"]),
        (("list",), show.Listed, show.schema("list"), show.SCHEMAS["list"]),
    ],
)
def test_the_json_is_what_the_schema_says(words: tuple, model, schema: str, path) -> None:
    done = command(*words, "--json")
    model.model_validate_json(done.stdout)
    assert set(json.loads(done.stdout)) == set(json.loads(schema)["required"])
    assert path.read_text(encoding="utf-8") == schema, f"run `python -m riskbed.venue.{words[0].replace('list', 'show')}`"
