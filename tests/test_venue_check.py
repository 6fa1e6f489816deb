"""`riskbed venue check`: a good rule book, one row of it changed, and what is found where; then what the packaged ones are."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import pytest

from riskbed.venue import book, check
from riskbed.venue.brackets import continuous_of, initial_of, leverage_of, ordered_of
from riskbed.venue.finding import exact
from riskbed.venue.own import own_weight
from riskbed.venue.pieces import pieces, recomputed, short_of
from specs import load
from specs.errors import SpecError
from specs.rules import Bracket

GOOD = """\
schema_version: 1
name: good
numeraire: USDT
assets: [{name: USDT}, {name: ETH, decimals: 9}]
sources:
  - {name: "a:BTC", price_decimals: 1, stale_after_ns: 10_000_000_000}
  - {name: "b:BTC", price_decimals: 1, stale_after_ns: 10_000_000_000}
  - {name: "c:BTC", price_decimals: 1, stale_after_ns: 10_000_000_000}
indices:
  - name: BTC
    price_decimals: 1
    publish: {kind: interval, every_ns: 1_000_000_000}
    sources_min: 2
    recipe: {kind: median, of: [{kind: source, name: "a:BTC"}, {kind: source, name: "b:BTC"}, {kind: source, name: "c:BTC"}]}
markets:
  - name: BTC
    settles_in: USDT
    index: BTC
    mark: {kind: index}
    price_decimals: 1
    lot: {decimals: 3}
    fees: {taker_ppm: 500, liquidation_ppm: 1_500}
    leverage_default: 20
    brackets:
      - {notional_max: 1_000, leverage_max: 100, maintenance_ppm: 4_000}
      - {notional_max: 5_000, leverage_max: 50, maintenance_ppm: 10_000, amount: 6}
      - {notional_max: 20_000, leverage_max: 20, maintenance_ppm: 25_000, amount: 81}
    funding: {every_ns: 28_800_000_000_000, interest_ppb: 100_000, damp_ppb: 500_000, cap_ppb: 1_000_000}
collateral:
  - {asset: ETH, index: BTC, weight_ppm: 950_000, convert_buffer_ppm: 20_000}
liquidation:
  stages:
    - {kind: cancel}
    - {kind: book, bound: {kind: bankruptcy}}
    - {kind: takeover, notional_max: 1_000}
    - {kind: adl}
    - {kind: convert}
    - {kind: fund}
    - {kind: write_off}
fund: {capital: 100_000}
"""
ALWAYS = [("one-move", "warns"), ("stages-end", "note")]  # nothing caps a move; adl needs winners

A = '{kind: source, name: "a:BTC"}'
ALL = GOOD[GOOD.index("{kind: median") : GOOD.index("\nmarkets")]
BOOK = "{kind: book, market: BTC}"
FUNDING = next(line + "\n" for line in GOOD.splitlines() if "funding:" in line)
TAKER, ADL = "    - {kind: takeover, notional_max: 1_000}\n", "    - {kind: adl}\n"

SCALED = "changes: [{name: ten, market: BTC, maintenance_scale_ppm: 10_000_000}]\n"

CASES = {  # name: ((old, new) ..., rule, severity, text of the line that it points at, words of the problem)
    "prices at 0 and no minimum": (
        [
            ("    sources_min: 2\n", "    sources_min: 2\n    prices: signed\n"),
            ("    leverage_default: 20\n", "    leverage_default: 20\n    price_min: -50\n"),
            ("    funding: {every_ns: 28_800_000_000_000, interest_ppb: 100_000, damp_ppb: 500_000, cap_ppb: 1_000_000}\n", ""),
        ],
        "margin-at-zero",
        "warns",
        "price_min:",
        "at a mark of 0 no notional is: a position of any size needs no margin there",
    ),
    "the leverage cap leaves no room for funding": (
        [("leverage_max: 100, maintenance_ppm: 4_000", "leverage_max: 200, maintenance_ppm: 4_000")],
        "room-to-open",
        "warns",
        "brackets:",
        "at the caps of the brackets initial margin less one interval of funding at its cap, 1,000 ppm, is no more than "
        "maintenance, for notionals from the smallest up to and with 1,000: funding alone liquidates such a position",
    ),
    "a change of rules that no table admits": (
        [("fund: {capital: 100_000}\n", "fund: {capital: 100_000}\n" + SCALED)],
        "changes",
        "warns",
        "maintenance_scale_ppm: 10_000_000",
        "the table would break a bound: initial margin at the leverage cap is below maintenance; a lower leverage_max with it",
    ),
    "room only for the smaller notionals of a bracket": (
        [("leverage_max: 50,", "leverage_max: 100,"), ("cap_ppb: 1_000_000", "cap_ppb: 3_000_000")],
        "room-to-open",
        "warns",
        "brackets:",
        "less one interval of funding at its cap, 3,000 ppm, is no more than maintenance, for notionals from 2,000 up to and "
        "with 5,000: ",
    ),
    "the leverage cap is all that maintenance admits": (
        [("leverage_max: 100, maintenance_ppm: 4_000", "leverage_max: 250, maintenance_ppm: 4_000"), (FUNDING, "")],
        "room-to-open",
        "warns",
        "brackets:",
        "at the caps of the brackets initial margin is no more than maintenance, for notionals from the smallest up to and with "
        "1,000: the first tick against it liquidates such a position",
    ),
    "the default leverage leaves no room": (
        [("cap_ppb: 1_000_000", "cap_ppb: 31_000_000")],
        "room-to-open",
        "warns",
        "leverage_default: 20",
        "at the default leverage 20 initial margin less one interval of funding at its cap, 31,000 ppm, is no more than "
        "maintenance, for notionals from 13,500 on: ",
    ),
    "leverage rises with size": (
        [("leverage_max: 50,", "leverage_max: 10,")],
        "bracket-order",
        "fails",
        "leverage_max: 20,",
        "leverage rises from 10 to 20 above 5,000: initial margin falls there from 500 to 250",
    ),
    "a bracket says nothing new": (
        [
            ("leverage_max: 50, maintenance_ppm: 10_000, amount: 6", "leverage_max: 20, maintenance_ppm: 25_000, amount: 21"),
            ("amount: 81", "amount: 21"),
        ],
        "bracket-order",
        "note",
        "notional_max: 20_000",
        "the same leverage and rate",
    ),
    "funding and fees above the small end": (
        [("liquidation_ppm: 1_500", "liquidation_ppm: 5_500")],
        "one-move",
        "warns",
        "    fees:",
        "7,000 ppm (funding 1,000 ppm + taker 500 ppm + liquidation 5,500 ppm), are more than maintenance for notionals from the "
        "smallest to below 2,000:",
    ),
    "funding alone above the small end": (
        [("cap_ppb: 1_000_000", "cap_ppb: 5_000_000")],
        "one-move",
        "fails",
        "    funding:",
        "one interval of funding, 5,000 ppm, is more than maintenance: from the smallest to below 1,200",
    ),
    "no row caps the move of a publication": (
        [],
        "one-move",
        "warns",
        "    mark:",
        "the move of one publication is unbounded: no row caps it; funding and fees alone need maintenance of 3,000 ppm",
    ),
    "one source": (
        [(ALL, A), ("    sources_min: 2\n", "")],
        "quorum",
        "warns",
        "  - name: BTC",
        "reads 1 source and needs 1: a single point of failure",
    ),
    "a quorum of one": (
        [("sources_min: 2", "sources_min: 1")],
        "quorum",
        "warns",
        "sources_min: 1",
        "reads 3 sources and is VALID with 1",
    ),
    "a quorum of all": (
        [("sources_min: 2", "sources_min: 3")],
        "quorum",
        "note",
        "sources_min: 3",
        "needs all 3 sources it reads",
    ),
    "one source twice": (
        [('{kind: source, name: "c:BTC"}', A)],
        "quorum",
        "warns",
        "    recipe:",
        "source a:BTC stands 2 times in index BTC: it counts 2 times for sources_min 2 and is one",
    ),
    "a product needs both": (
        [(ALL, f"{{kind: product, of: [{A}, {A}]}}")],
        "quorum",
        "warns",
        "sources_min: 2",
        "needs every one of the 2 sources",
    ),
    "the own book has half of the weight": (
        [(ALL, f"{{kind: weighted, weights: [50_000_000, 50_000_000], of: [{A}, {BOOK}]}}")],
        "own-books",
        "warns",
        "    recipe:",
        "the venue's own book BTC makes 50 % of index BTC, the mark of BTC and collateral ETH",
    ),
    "the own book has more than half": (
        [(ALL, f"{{kind: weighted, weights: [49_000_000, 51_000_000], of: [{A}, {BOOK}]}}")],
        "own-books",
        "fails",
        "    recipe:",
        "makes 51 % of index BTC, the mark of BTC and collateral ETH; with every outside source silent it has no price",
    ),
    "the own book is outvoted, unless it is alone": (
        [('{kind: source, name: "c:BTC"}', BOOK), ("sources_min: 2", "sources_min: 1")],
        "own-books",
        "warns",
        "    recipe:",
        "makes 0 % of index BTC, the mark of BTC and collateral ETH; with every outside source silent 100 %",
    ),
    "a book in a quorum that needs others": (
        [('{kind: source, name: "c:BTC"}', BOOK)],
        "own-books",
        "note",
        "    recipe:",
        "0 % of index BTC",
    ),
    "the mark follows its own book": (
        [("mark: {kind: index}", "mark: {kind: median, basis_samples: 7}")],
        "own-books",
        "warns",
        "    mark:",
        "two of the three parts of the mark of BTC are its own book: index + basis (7 samples)",
    ),
    "a source never goes stale": (
        [('"b:BTC", price_decimals: 1, stale_after_ns: 10_000_000_000', '"b:BTC", price_decimals: 1')],
        "staleness",
        "warns",
        '"b:BTC", price_decimals',
        "source b:BTC, behind the mark of BTC and collateral ETH, has no stale_after_ns",
    ),
    "a book never does": (
        [('{kind: source, name: "c:BTC"}', BOOK)],
        "staleness",
        "note",
        "    recipe:",
        "the book BTC is its last trade",
    ),
    "collateral counts for more than it brings": (
        [("convert_buffer_ppm: 20_000", "convert_buffer_ppm: 60_000")],
        "conversion",
        "fails",
        "asset: ETH",
        "is converted at 940,000 ppm: 10,000 ppm too much; an account with collateral above 100 x",
    ),
    "a haircut that just covers the buffer": (
        [("convert_buffer_ppm: 20_000", "convert_buffer_ppm: 50_000")],
        "conversion",
        None,
        "",
        "",
    ),
    "nobody must take lots": (
        [(TAKER, ""), (ADL, "")],
        "stages-end",
        "fails",
        "  stages:",
        "no takeover and no adl",
    ),
    "the last taker has a cap": (
        [(ADL, "")],
        "stages-end",
        "fails",
        "kind: takeover",
        "takes none when it would hold more than 1,000 in a market",
    ),
    "the last taker asks for a fund": (
        [(ADL, ""), ("notional_max: 1_000}\n    - {kind: convert", "fund_min: 70}\n    - {kind: convert")],
        "stages-end",
        "fails",
        "kind: takeover",
        "takes none when the fund has less than 70",
    ),
    "neither takes between two funds": (
        [("notional_max: 1_000}\n", "fund_min: 70}\n"), ("kind: adl", "kind: adl, fund_max: 60")],
        "stages-end",
        "fails",
        "kind: adl",
        "adl is entered only while the fund has at most 60: with more, below 70, nobody takes lots",
    ),
    "one of them takes at any fund": (
        [("notional_max: 1_000}\n", "fund_min: 70}\n"), ("kind: adl", "kind: adl, fund_max: 70")],
        "stages-end",
        "note",
        "kind: adl",
        "winners",
    ),
    "collateral is never converted": (
        [("    - {kind: convert}\n", "")],
        "stages-end",
        "fails",
        "  stages:",
        "collateral is never converted",
    ),
    "no capital and no adl": (
        [(ADL, ""), ("capital: 100_000", "capital: 0")],
        "fund",
        "fails",
        "fund: {",
        "no capital and only liquidation fees fill it; no adl stands before it",
    ),
    "no capital behind adl": ([("capital: 100_000", "capital: 0")], "fund", "warns", "fund: {", "starts with no capital"),
    "no fund and no adl": (
        [(ADL, ""), ("    - {kind: fund}\n", "")],
        "fund",
        "fails",
        "  stages:",
        "every shortfall is bad debt at once",
    ),
    "a bound that is never read": (
        [("leverage_default: 20", "leverage_default: 20\n    market_bound_ticks: 5\n    market_bound_ppm: 1_000")],
        "contradictions",
        "warns",
        "market_bound_ppm",
        "market_bound_ppm is never read",
    ),
    "a bound above the band": (
        [("leverage_default: 20", "market_bound_ppm: 90_000\n    band: {kind: percent, up_ppm: 50_000, down_ppm: 50_000}")],
        "contradictions",
        "warns",
        "market_bound_ppm",
        "90000 ppm from the mark never bind: the band allows 50000 ppm at most",
    ),
    "inner bounds outside the outer ones": (
        [("leverage_default: 20", "band: {kind: index_anchored, inner_ppm: 50_000, outer_ppm: 20_000}")],
        "contradictions",
        "warns",
        "inner_ppm",
        "the inner bound never acts",
    ),
    "a pause outside the band": (
        [
            (
                "leverage_default: 20",
                "band: {kind: percent, up_ppm: 50_000, down_ppm: 50_000}\n"
                "    limit_up_down: {ppm: 60_000, pause_ns: 1_000_000_000}",
            )
        ],
        "contradictions",
        "note",
        "limit_up_down",
        "inside 60000 ppm",
    ),
    "an order larger than two positions": (
        [("leverage_default: 20", "limits: {qty_max: 21, position_max: 10}")],
        "contradictions",
        "note",
        "limits:",
        "it never binds",
    ),
    "interest above the cap": (
        [("interest_ppb: 100_000", "interest_ppb: 2_000_000")],
        "contradictions",
        "warns",
        "interest_ppb",
        "the cap is 1,000,000 ppb",
    ),
    "interest without a damp": (
        [("damp_ppb: 500_000", "damp_ppb: 0")],
        "contradictions",
        "warns",
        "interest_ppb",
        "never acts: damp_ppb is 0",
    ),
    "a backstop of nothing": (
        [("notional_max: 1_000}\n", "notional_max: 0}\n")],
        "contradictions",
        "warns",
        "kind: takeover",
        "takes nothing",
    ),
    "a takeover that waits for the fund": (
        [("notional_max: 1_000}\n", "fund_min: 200_000}\n")],
        "contradictions",
        "warns",
        "kind: takeover",
        "the fund starts with 100,000: no takeover before it has grown to 200,000",
    ),
    "adl behind a takeover of everything": (
        [("takeover, notional_max: 1_000", "takeover")],
        "contradictions",
        "note",
        "kind: adl",
        "the takeover before it takes everything",
    ),
    "a capital that no stage pays out": (
        [("    - {kind: fund}\n", "")],
        "contradictions",
        "warns",
        "fund: {",
        "no stage pays out of the fund's 100,000",
    ),
    "collateral that counts for more the more there is": (
        [
            (
                "weight_ppm: 950_000",
                "weight_ppm: 100_000, tiers: [{qty_from: 5, weight_ppm: 90_000}, {qty_from: 9, weight_ppm: 95_000}]",
            )
        ],
        "contradictions",
        "warns",
        "tiers: [",
        "more ETH counts at more: 95,000 ppm after 90,000",
    ),
    "a part of the haircut": (
        [("weight_ppm: 950_000", "weight_ppm: 960_000, trigger_haircut: {part: 1, of: 4}")],
        "conversion",
        "fails",
        "asset: ETH",
        "ETH counts for 990,000 ppm of its price and is converted at 980,000 ppm: 10,000 ppm too much",
    ),
    "a floor that the fund starts below": (
        [("capital: 100_000", "capital: 100_000, floor: 100_000")],
        "contradictions",
        "warns",
        "floor: 100_000",
        "it pays nothing before it has grown above 100,000",
    ),
    "a fund that may pay nothing": (
        [("capital: 100_000", "capital: 100_000, event_max: 0")],
        "contradictions",
        "warns",
        "event_max: 0",
        "pays nothing",
    ),
    "a senior fee of nothing": (
        [("liquidation_ppm: 1_500", "liquidation_ppm: 0"), ("{kind: bankruptcy}}", "{kind: bankruptcy}, fee_seniority: senior}")],
        "contradictions",
        "warns",
        "fee_seniority: senior",
        "there is none to be senior",
    ),
    "slices fill the fund": (
        [
            ("liquidation_ppm: 1_500", "liquidation_ppm: 0"),
            ("{kind: bankruptcy}}", "{kind: bankruptcy}, insurance: {max_fee_ppm: 15_000}}"),
            ("capital: 100_000", "capital: 0"),
        ],
        "fund",
        "warns",
        "fund: {",
        "only liquidation fees fill it",
    ),
    "collateral that counts for nothing": (
        [("weight_ppm: 950_000", "weight_ppm: 0")],
        "contradictions",
        "note",
        "asset: ETH",
        "ETH counts for nothing",
    ),
    "a source that nobody reads": (
        [(f"of: [{A}, ", "of: [")],
        "contradictions",
        "note",
        '"a:BTC"',
        "no index reads source a:BTC",
    ),
    "no clearing": (
        [("name: good", "name: good\nclearing: none")],
        "contradictions",
        "note",
        "clearing: none",
        "nothing is margined",
    ),
    "more orders an account than at all": (
        [("name: good", "name: good\nlimits: {orders_max: 10, orders_per_account_max: 11}")],
        "contradictions",
        "warns",
        "orders_per_account_max",
        "11 orders an account never bind",
    ),
}


def changed(*pairs: tuple[str, str]) -> str:
    text = GOOD
    for old, new in pairs:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    return text


def judged(text: str) -> check.Answer:
    return check.judge(book.of_text(text, "mine.yaml"))


def test_a_good_rule_book_has_only_what_no_rule_book_can_mend() -> None:
    answer = judged(GOOD)
    assert [(row.rule, row.severity) for row in answer.findings] == ALWAYS and answer.passed


@pytest.mark.parametrize("name", CASES)
def test_one_row_changed(name: str) -> None:
    pairs, rule, severity, line, words = CASES[name]
    text = changed(*pairs)
    found = check.findings(book.of_text(text), rule)
    if severity is None:
        assert found == []
        return
    row = next((row for row in found if row.severity == severity and words in row.problem), None)
    assert row is not None, found
    assert line in text.splitlines()[row.line - 1]
    if severity == "fails":
        assert not judged(text).passed


def test_every_check_has_a_case() -> None:
    refused_when_read = {"initial-margin", "continuity"}
    assert {rule for _, rule, *_ in CASES.values()} == set(check.CHECKS) - refused_when_read


REFUSED = {  # what these checks would find in a rule book is refused when it is read, with its place
    "initial margin below maintenance": (
        "leverage_max: 100, maintenance_ppm: 4_000",
        "leverage_max: 251, maintenance_ppm: 4_000",
        25,
        45,
    ),
    "a jump": ("amount: 81", "amount: 80", 27, 83),
    "a rate that falls": ("maintenance_ppm: 10_000, amount: 6", "maintenance_ppm: 3_000, amount: 6", 26, 66),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_when_it_is_read(name: str) -> None:
    old, new, line, column = REFUSED[name]
    with pytest.raises(SpecError, match=rf"mine.yaml:{line}:{column}: "):
        judged(changed((old, new)))


# --- brackets of another origin ------------------------------------------------------------------------------------


def brackets(*rows: tuple) -> list[Bracket]:
    names = ("notional_max", "leverage_max", "maintenance_ppm", "amount")
    return [Bracket(**dict(zip(names, row, strict=True))) for row in rows]


@pytest.mark.parametrize(
    ("of", "rows", "words"),
    [
        (initial_of, [(1_000, 251, 4_000, 0)], "initial margin 1/251 is below the maintenance rate of 4,000 ppm: every notional"),
        (initial_of, [(1_000, 250, 4_000, 0)], None),
        (
            initial_of,
            [(1_000, 10, 4_000, 0), (2_000, 10, 200_000, 196)],
            "below the maintenance rate of 200,000 ppm: above 1,960",
        ),
        (initial_of, [(1_000, 10, 4_000, 0), (1_900, 10, 200_000, 196)], "200,000 ppm, though its amount keeps the money above"),
        (continuous_of, [(1_000, 10, 4_000, "0.5")], "the first bracket starts at 0 with amount 0.5"),
        (continuous_of, [(1_000, 9, 4_000, 0), (2_000, 9, 5_000, 1)], None),
        (continuous_of, [(1_000, 9, 4_000, 0), (2_000, 9, 5_000, "0.99")], "jumps by 0.01 at 1,000: amount 0.99, recomputed 1"),
        (ordered_of, [(1_000, 9, 4_000, 0), (2_000, 9, 3_000, 0)], "falls from 4,000 ppm to 3,000 ppm above 1,000"),
        (ordered_of, [(1_000, 9, 4_000, 0), (1_000, 9, 4_000, 0)], "1,000 after 1,000"),
        (
            leverage_of,
            [(1_000, 9, 4_000, 0), (2_000, 10, 5_000, 1)],
            "initial margin falls there from 1,000/9 (about 111.11) to 100",
        ),
    ],
)
def test_brackets_alone(of, rows: list[tuple], words: str | None) -> None:
    found = list(of(brackets(*rows)))
    assert [words in row.problem for row in found] == ([True] if words else []), found


def test_where_an_inequality_fails_is_exact() -> None:
    """Against every notional in steps: what is solved is what a scan finds, and its ends are not on the grid of any scan."""
    rows = brackets((1_000, 100, 4_000, 0), (5_000, 50, 10_000, 6), (20_000, 20, 25_000, 81))
    parts = pieces(rows)
    for need in (Fraction(n, 1_000_000) for n in (3_999, 4_000, 4_001, 7_777, 10_000, 20_949, 20_950, 25_000, 30_000)):
        spans = short_of(parts, need)
        for notional in range(1, 20_001, 37):
            piece = next(piece for piece in parts if notional <= piece.cap)
            inside = any(
                (s.low < notional or (s.low_in and notional == s.low))
                and (notional < s.high or (s.high_in and notional == s.high))
                for s in spans
            )
            assert inside == (piece.maintenance(Fraction(notional)) < need * notional), (need, notional)
    (span,) = short_of(parts, Fraction(7_000, 10**6))
    assert (span.low, span.high, span.high_in) == (0, 2_000, False)
    assert recomputed(rows) == [0, 6, 81]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (Fraction(5, 2), "2.5"),
        (Fraction(-1, 8), "-0.125"),
        (1_234_567, "1,234,567"),
        (Fraction(7_000, 3), "7,000/3 (about 2,333.33)"),
    ],
)
def test_numbers_are_exact(number: Fraction, words: str) -> None:
    assert exact(number) == words


# --- the packaged ones ---------------------------------------------------------------------------------------------

PACKAGED = {  # fails by check; (fails, warns, notes) in all
    "binance-um-2025-10-10": ({"conversion": 1, "stages-end": 1}, (2, 4, 2)),
    "binance-um-2025-10-10-cascade": ({"own-books": 3, "conversion": 1}, (4, 13, 9)),
    "binance-um-2025-10-10-wrapped": ({"own-books": 2, "conversion": 2, "stages-end": 1}, (5, 6, 8)),
    "binance-um-2025-10-10-wrapped-after": ({"conversion": 2, "stages-end": 1}, (3, 8, 2)),
}


def test_every_packaged_rule_book_is_judged() -> None:
    assert set(PACKAGED) == set(load.names("venue"))


@pytest.mark.parametrize("name", PACKAGED)
def test_what_the_packaged_rule_books_are(name: str) -> None:
    failed, counts = PACKAGED[name]
    answer = check.judge(book.of(name))
    assert {row.rule: row.fails for row in answer.rules if row.fails} == failed
    assert tuple(sum(getattr(row, kind) for row in answer.rules) for kind in ("fails", "warns", "notes")) == counts
    assert not answer.passed and answer.assumed


@pytest.mark.parametrize(("name", "weight"), [("binance-um-2025-10-10-wrapped", 1), ("binance-um-2025-10-10-wrapped-after", 0)])
def test_the_own_book_priced_collateral_until_the_recipe_changed(name: str, weight: int) -> None:
    venue = book.of(name).venue
    assert {own_weight(venue, venue.number("indices", row.index)) for row in venue.collateral} == {weight}


# --- the command ---------------------------------------------------------------------------------------------------


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "riskbed.cli", "venue", *map(str, words)], capture_output=True, text=True)


def test_the_command_says_where_and_exits_with_what_it_found(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    good = command("check", path)
    assert good.returncode == 0 and good.stdout.endswith("nothing fails\n"), good.stderr
    path.write_text(changed((ADL, "")))
    bad = command("check", path)
    assert bad.returncode == 1 and bad.stdout.endswith("1 finding fails: not solvent by construction\n")
    assert f"{path}:35:38: fails [stages-end] liquidation.stages.takeover.notional_max: " in bad.stdout
    path.write_text(changed(("amount: 81", "amount: 80")))
    refused = command("check", path)
    assert refused.returncode == 2 and f"{path}:27:83: " in refused.stderr and refused.stdout == ""
    assert command("check", "nowhere").returncode == 2


def test_a_column_is_no_emoji(capsys) -> None:
    check.show(check.judge(book.of("binance-um-2025-10-10-wrapped")))
    assert "wrapped.yaml:100:5: warns [quorum]" in capsys.readouterr().out


def test_the_json_is_what_the_schema_says() -> None:
    done = command("check", "binance-um-2025-10-10", "--json")
    assert done.returncode == 1 and check.Answer.model_validate_json(done.stdout) == check.judge(book.of("binance-um-2025-10-10"))
    assert set(json.loads(done.stdout)) == set(json.loads(check.schema())["required"])
    assert check.SCHEMA.read_text(encoding="utf-8") == check.schema(), "run `python -m riskbed.venue.check`"
