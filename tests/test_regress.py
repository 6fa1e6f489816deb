"""A suite against its baseline: ten changed rows of a rule book are caught, and none where none changed; limits; bad input."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from riskbed import jobs
from riskbed import regress as regressing
from riskbed.labels import Label
from riskbed.regress import Options, Regression, regress
from specs import load
from specs.errors import SpecError
from specs.rules import Venue
from specs.suite import Baseline, Limit, Suite
from specs.tape import SCHEMA_VERSION, Chart, OutcomeKind

ROOT = Path(__file__).resolve().parent.parent
INCIDENT = "2025-10-10-binance-usde"

SUITE = """\
schema_version: 1
name: small
cases:
  - name: usde
    incident: 2025-10-10-binance-usde
    venue: book.yaml
    accounts: 400
    limits:
      - {figure: liquidated_accounts, against: baseline, most_added: 0}
      - {figure: shortfall, most: "100000"}
"""
LIMITS = SUITE[SUITE.index("    limits:") :]


def book() -> dict:
    """Return the packaged rule book, its collateral index weighted over two sources so that there is a weight to change."""
    tree = load.load(load.find("venue", "binance-um-2025-10-10"), Venue).model_dump(mode="json", exclude_none=True)
    sources = [{"kind": "source", "name": name} for name in ("binance-spot:USDEUSDT", "uniswap-v3:USDEUSDT")]
    tree["indices"][0]["recipe"] = {"kind": "weighted", "of": sources, "weights": [70_000_000, 30_000_000]}
    return tree | {"name": "small", "assumed": []}


def write(path: Path, tree: dict) -> None:
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")  # JSON is YAML


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a rule book, a suite and its baseline."""
    folder = tmp_path_factory.mktemp("accepted")
    write(folder / "book.yaml", book())
    (folder / "small.yaml").write_text(SUITE, encoding="utf-8")
    assert run(folder, accept="the beginning").accepted == "the beginning"
    return folder


@pytest.fixture
def folder(accepted: Path, tmp_path: Path) -> Path:
    """Return a copy of the accepted folder."""
    return shutil.copytree(accepted, tmp_path / "suites")


def run(folder: Path, **options: object) -> Regression:
    return regress(Options(suite=str(folder / "small.yaml"), **options))


def moved(answer: Regression) -> list[str]:
    return [row.field for row in answer.rows if row.verdict != "same"]


# ---- it must show: one changed row of a rule book is caught, no changed row is none


def at(path: str, value: object) -> Callable[[dict], None]:
    """Return an edit of one value of a rule book."""

    def edit(tree: dict) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            tree = tree[step]
        assert tree[last] != value, "an edit that changes nothing"
        tree[last] = value

    return edit


def rate(number: int, ppm: int) -> Callable[[dict], None]:
    """Return an edit of one bracket's maintenance rate. The amounts follow by continuity, as the rule book demands."""

    def edit(tree: dict) -> None:
        rows = tree["markets"][0]["brackets"]
        rows[number]["maintenance_ppm"] = ppm
        for before, row in zip(rows, rows[1:], strict=False):
            step = row["maintenance_ppm"] - before["maintenance_ppm"]
            row["amount"] = before["amount"] + before["notional_max"] * step // 10**6

    return edit


COUNTED = [  # row, edit, a figure that the table must name
    ("bracket rate", rate(0, 4_500), "forced_notional"),
    ("collateral weight", at("collateral.0.weight_ppm", 950_000), "liquidated_accounts"),
    ("liquidation fee", at("markets.0.fees.liquidation_ppm", 2_000), "liquidation_fees"),
    ("taker fee", at("markets.0.fees.taker_ppm", 400), "balance.fees.USDT"),
    ("index weight", at("indices.0.recipe.weights", [60_000_000, 40_000_000]), "erroneous_lots"),
    ("bound", at("liquidation.stages.1.bound", {"kind": "mark", "ppm": 1_000}), "outcome.takeover"),
    ("takeover cap", at("liquidation.stages.2.notional_max", 100_000), "outcome.carried"),
    ("fund capital", at("fund.capital", 1_229_000_000), "balance.fund.USDT"),  # never exhausted, and its deposit is an outcome
    ("convert buffer", at("collateral.0.convert_buffer_ppm", 30_000), "balance.treasury.USDT"),
    ("quoter exit", at("quoters.0.exit_move_ppm", 1_000), "outcome.quoter"),
]
DIGEST_ALONE = [  # outcomes that differ in what no figure counts
    ("quoter lots", at("quoters.0.lots", 10_000)),  # other quotes in the book, of which nothing was hit
    ("publish interval", at("indices.0.publish.every_ns", 500_000_000)),  # prices come once a second
    ("staleness", at("sources.1.stale_after_ns", 10_000_000_000)),  # fewer sources used by publications whose price is the same
]
NO_OUTCOME = [  # true of this tape and these accounts; the digest of the rule book alone tells
    ("trigger", at("liquidation.trigger", "maintenance_gt_equity")),  # nobody stands at maintenance = equity exactly
    ("liability weight", at("collateral.0.liability_weight_ppm", 1_100_000)),  # nobody owes the collateral asset
    ("highest bracket's rate", rate(11, 600_000)),  # no position reaches it
]


def changed(folder: Path, edit: Callable[[dict], None]) -> Regression:
    tree = book()
    edit(tree)
    write(folder / "book.yaml", tree)
    return run(folder)


def test_nothing_is_told_when_nothing_changed(folder: Path) -> None:
    answer = run(folder)
    assert answer.passed and moved(answer) == [] and answer.remedies == []
    assert {row.verdict for row in answer.rows} == {"same"} and [row.name for row in answer.cases] == ["usde"]
    assert answer.cases[0].reason == "the beginning"


@pytest.mark.parametrize("edit, figure", [pytest.param(*row[1:], id=row[0]) for row in COUNTED])
def test_a_changed_row_is_caught_and_the_figure_named(folder: Path, edit: Callable[[dict], None], figure: str) -> None:
    answer = changed(folder, edit)
    fields = moved(answer)
    assert not answer.passed and fields[:2] == ["digest", "input.venue"] and figure in fields
    assert "input.tape" not in fields, "another rule book meets the same accounts"
    row = next(row for row in answer.rows if row.field == figure)
    assert row.baseline != row.now and row.verdict in ("changed", "limit")
    assert "--accept" in answer.remedies[-1]


@pytest.mark.parametrize("edit", [pytest.param(row[1], id=row[0]) for row in DIGEST_ALONE])
def test_a_changed_row_that_no_figure_counts_is_caught_by_the_digest(folder: Path, edit: Callable[[dict], None]) -> None:
    answer = changed(folder, edit)
    assert not answer.passed and moved(answer) == ["digest", "input.venue"]
    assert answer.remedies[0].startswith("usde: only the digest moved, no figure did")
    assert "--accept" in answer.remedies[-1]


@pytest.mark.parametrize("edit", [pytest.param(row[1], id=row[0]) for row in NO_OUTCOME])
def test_a_changed_row_of_no_outcome_is_caught_by_the_digest_of_the_rule_book(folder: Path, edit: Callable[[dict], None]) -> None:
    answer = changed(folder, edit)
    assert not answer.passed and moved(answer) == ["input.venue"]
    assert answer.remedies[0] == "usde: what went in is not what was accepted, yet every outcome is the same"


def test_enough_rows_of_different_kinds_are_changed() -> None:
    assert len(COUNTED) + len(DIGEST_ALONE) >= 10


def test_a_rule_book_is_tried_without_touching_the_suite(folder: Path) -> None:
    text = SUITE.replace("    venue: book.yaml\n", "").replace(LIMITS, "")
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    (folder / "small.baseline.yaml").unlink()
    run(folder, accept="on the incident's own rule book")
    tried = run(folder, venue=folder / "book.yaml")
    assert {"digest", "input.venue", "erroneous_accounts"} <= set(moved(tried)) and "input.tape" not in moved(tried)
    assert tried.passed and tried.remedies == [], "what a rule book that is tried changes is told, it does not fail"
    (folder / "small.yaml").write_text(text + '    limits: [{figure: erroneous_accounts, most: "0"}]\n', encoding="utf-8")
    tried = run(folder, venue=folder / "book.yaml")
    assert not tried.passed and [limit.figure for limit in tried.limits_broken] == ["erroneous_accounts"]
    assert not any("--accept" in line for line in tried.remedies), "what is tried cannot be accepted"
    (folder / "small.yaml").write_text(text, encoding="utf-8")
    assert run(folder).passed
    with pytest.raises(SpecError, match="--accept with --venue"):
        run(folder, venue=folder / "book.yaml", accept="why")


# ---- figures


def test_the_figures_are_those_of_the_run(accepted: Path) -> None:
    rows = {row.field: row.now for row in run(accepted).rows}
    venue = load.load(accepted / "book.yaml", Venue)
    assert [name for name in rows if name in regressing.figure_names(venue)] == regressing.figure_names(venue)
    assert {f"outcome.{kind.name.lower()}" for kind in OutcomeKind} <= set(rows)
    assert {f"{label.name.lower()}_lots" for label in Label} <= set(rows)
    number = {name: Fraction(rows[name]) for name in regressing.figure_names(venue)}
    for asset in ("USDT", "USDE"):
        chart = ["users", *(account.name.lower() for account in Chart)]
        assert sum(number[f"balance.{whose}.{asset}"] for whose in chart) == 0, "the chart is closed"
    assert number["balance.fund.USDT"] == venue.fund.capital + number["liquidation_fees"] - number["fund_draw"]
    assert number["shortfall"] == number["fund_draw"] + number["bad_debt"] > 0
    assert number["liquidations"] == number["outcome.liquidation"] >= number["liquidated_accounts"] > 0
    not_broken = ("missed_lots", "in_band_missed_lots")
    in_broken = [name for label in Label if (name := f"{label.name.lower()}_lots") not in not_broken]
    assert sum(number[name] for name in in_broken) == number["forced_lots"] > 0
    assert number["erroneous_accounts"] > 0 and number["open_interest.BTCUSDT"] > 0


def test_a_plan_is_run(folder: Path) -> None:
    repair = {"id": "own", "kind": "repair", "source": "binance-spot:USDEUSDT", "by": {"kind": "constant", "price": "1"}}
    window = {"from": "2025-10-10T21:00:00Z", "to": "2025-10-11T00:00:01Z"}
    write(folder / "plan.yaml", {"schema_version": 1, "name": "repaired", "faults": [repair | window]})
    (folder / "small.yaml").write_text(SUITE.replace("    accounts:", "    plan: plan.yaml\n    accounts:"), encoding="utf-8")
    answer = run(folder)
    rows = {row.field: row for row in answer.rows}
    assert rows["erroneous_lots"].now == "0" != rows["erroneous_lots"].baseline
    assert {"digest", "input.plan_broken"} <= set(moved(answer)) and "input.plan_true_upper" not in moved(answer)
    assert answer.cases[0].plan == "repaired"


# ---- limits


@pytest.mark.parametrize(
    ("limit", "now", "accepted", "holds"),
    [
        ({"most": "0"}, "0.00000000", None, True),
        ({"most": "0"}, "0.00000001", None, False),
        ({"most": 3}, "3", None, True),
        ({"most": "99999999999999999999.00000001"}, "99999999999999999999.00000002", None, False),  # beyond any float
        ({"least": "-1.5"}, "-1.50", None, True),
        ({"least": "-1.5"}, "-1.51", None, False),
        ({"most_added": 0, "against": "baseline"}, "7", "7", True),
        ({"most_added": 0, "against": "baseline"}, "8", "7", False),
        ({"most_added": 0, "against": "baseline"}, "6", "7", True),
        ({"most_added": "0.5", "against": "baseline"}, "7.5", "7", True),
        ({"most_removed": 1, "against": "baseline"}, "6", "7", True),
        ({"most_removed": 1, "against": "baseline"}, "5", "7", False),
    ],
)
def test_a_limit_holds_up_to_its_bound(limit: dict, now: str, accepted: str | None, holds: bool) -> None:
    assert Limit(figure="x", **limit).holds(now, accepted) == holds


def test_a_broken_limit_fails_with_its_place_and_accept_passes_one_kind_only(folder: Path) -> None:
    answer = changed(folder, at("collateral.0.weight_ppm", 950_000))
    rows = {row.field: row for row in answer.rows}
    assert int(rows["liquidated_accounts"].now) > int(rows["liquidated_accounts"].baseline)
    assert rows["liquidated_accounts"].verdict == "limit" and rows["shortfall"].verdict == "changed"
    (broken,) = answer.limits_broken
    assert (broken.figure, broken.limit, broken.baseline) == (
        "liquidated_accounts",
        "most added 0",
        rows["liquidated_accounts"].baseline,
    )
    assert broken.where == f"{load.shown(folder / 'small.yaml')}:9:9"
    (folder / "small.yaml").write_text(SUITE.replace('shortfall, most: "100000"', "outcome.fill, most: 1"), encoding="utf-8")
    before = (folder / "small.baseline.yaml").read_bytes()
    refused = run(folder, accept="a lower weight")
    assert refused.accepted is None and (folder / "small.baseline.yaml").read_bytes() == before
    assert {limit.figure for limit in refused.limits_broken} == {"liquidated_accounts", "outcome.fill"}
    assert any(line.startswith(f"{load.shown(folder / 'small.yaml')}:10:9: most 1 is a bound") for line in refused.remedies)
    (folder / "small.yaml").write_text(SUITE, encoding="utf-8")
    assert run(folder, accept="a lower weight").accepted == "a lower weight" and run(folder).passed


def test_a_bound_fails_though_nothing_moved(folder: Path) -> None:
    (folder / "small.yaml").write_text(SUITE.replace('most: "100000"', "most: 1"), encoding="utf-8")
    answer = run(folder)
    assert not answer.passed and [(row.field, row.verdict) for row in answer.rows if row.verdict != "same"] == [
        ("shortfall", "limit")
    ]
    assert answer.remedies == [
        f"{load.shown(folder / 'small.yaml')}:10:9: most 1 is a bound on the figure itself: it is moved there"
    ]


# ---- accepting

TWO = SUITE.replace(LIMITS, "") + "  - {name: low, incident: 2025-10-10-binance-usde, variant: low, accounts: 60}\n"


def test_accepting_writes_what_moved_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "processes", lambda: ThreadPoolExecutor(2))  # a test of its own has processes
    path = folder / "small.baseline.yaml"
    first = path.read_text()
    assert run(folder, accept="again").accepted is None and path.read_text() == first, "nothing moved, nothing to accept"
    (folder / "small.yaml").write_text(TWO, encoding="utf-8")
    fresh = run(folder)
    assert not fresh.passed and {(row.name, row.verdict) for row in fresh.rows} == {("usde", "same"), ("low", "new")}
    seen: list[tuple[int, int]] = []
    regress(
        Options(suite=str(folder / "small.yaml"), accept="  the lows\ttoo "), lambda done, total, what: seen.append((done, total))
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]
    second = path.read_text()
    lines = list(difflib.ndiff(first.splitlines(), second.splitlines()))
    assert [line for line in lines if line[0] in "-?"] == [], "what did not move keeps its lines"
    assert '  - "the lows too"' in second and second.startswith(first.partition("cases:")[0].rstrip())
    baseline = load.load(path, Baseline)
    assert baseline.history == ["the beginning", "the lows too"] and list(baseline.cases) == ["usde", "low"]
    assert [case.reason for case in baseline.cases.values()] == ["the beginning", "the lows too"]
    assert baseline.text() == second

    tree = book()
    at("quoters.0.lots", 10_000)(tree)
    write(folder / "book.yaml", tree)
    (folder / "small.yaml").write_text(TWO.replace("variant: low", "variant: low, seed: 2"), encoding="utf-8")
    assert run(folder, cases=("usde",), accept="smaller quotes").accepted
    third = load.load(path, Baseline)
    assert third.cases["low"] == baseline.cases["low"] and third.cases["usde"] != baseline.cases["usde"], (
        "only what was asked for"
    )
    both = run(folder)
    assert {row.name for row in both.rows if row.verdict != "same"} == {"low"}

    (folder / "small.yaml").write_text(SUITE.replace(LIMITS, ""), encoding="utf-8")
    left = run(folder)
    assert [(row.name, row.field, row.verdict) for row in left.rows if row.verdict != "same"] == [("low", "digest", "gone")]
    run(folder, accept="the lows are no more")
    assert list(load.load(path, Baseline).cases) == ["usde"] and run(folder).passed


def test_a_case_that_is_gone_or_renamed_is_said_to_be(folder: Path) -> None:
    path = folder / "small.yaml"
    path.write_text(SUITE.replace("name: usde", "name: other"), encoding="utf-8")
    answer = run(folder)
    assert not answer.passed
    assert answer.remedies[:2] == [
        "other: the case is new: nothing was accepted of it yet",
        "usde: the case is gone from the suite; if it was renamed, it is the new one by its new name",
    ]
    assert "only the digest" not in " ".join(answer.remedies) and len(answer.remedies) == 3
    assert [(row.name, row.figure, row.where) for row in answer.limits_unjudged] == [
        ("other", "liquidated_accounts", f"{load.shown(path)}:9:9")
    ]
    assert run(folder, accept="renamed").accepted == "renamed"
    assert run(folder).passed


def test_a_figure_that_the_baseline_lacks_comes_with_accepting(folder: Path) -> None:
    path = folder / "small.baseline.yaml"
    whole = path.read_text()
    kept = [line for line in whole.splitlines() if not line.startswith("      liquidated_accounts:")]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    with pytest.raises(SpecError, match="the baseline of 'usde' has no figure 'liquidated_accounts'"):
        run(folder)
    answer = run(folder, accept="a figure more")
    assert [(row.field, row.verdict) for row in answer.rows if row.verdict != "same"] == [("liquidated_accounts", "new")]
    assert load.load(path, Baseline).cases["usde"].figures == load.load_text(whole, Baseline).cases["usde"].figures


def test_processes_give_what_one_process_gives(folder: Path) -> None:
    (folder / "small.yaml").write_text(TWO, encoding="utf-8")
    together = run(folder).rows
    apart = [row for name in ("usde", "low") for row in run(folder, cases=(name,)).rows]
    assert together == apart


def test_a_baseline_is_replaced_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "small.yaml").write_text(SUITE.replace("400", "60"), encoding="utf-8")
    before["small.yaml"] = (folder / "small.yaml").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SpecError, match=r"small\.baseline\.yaml: the baseline cannot be written: No space left on device"):
        run(folder, accept="fewer accounts")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("reason", ["", "  \t", "a \x00", "x" * 401])
def test_a_reason_that_says_nothing_is_refused(folder: Path, reason: str) -> None:
    before = (folder / "small.baseline.yaml").read_bytes()
    with pytest.raises(SpecError, match="reason"):
        run(folder, accept=reason)
    assert (folder / "small.baseline.yaml").read_bytes() == before


@pytest.mark.parametrize("reason", ["plain", 'it\'s "quoted": # - {}', "Rückstellung – 5 %", "\\n is no line", "\N{ABACUS}"])
def test_a_reason_reads_back_as_it_was_written(accepted: Path, reason: str) -> None:
    baseline = load.load(accepted / "small.baseline.yaml", Baseline)
    cases = {name: case.model_copy(update={"reason": reason}) for name, case in baseline.cases.items()}
    cases = {"yes: no": cases["usde"], "null": cases["usde"], "12": cases["usde"]} if reason == "plain" else cases
    written = baseline.model_copy(update={"history": [*baseline.history, reason], "cases": cases})
    if reason == "plain":
        with pytest.raises(SpecError, match="'yes: no'"):  # no name, and yet one key
            load.load_text(written.text(), Baseline)
        written = written.model_copy(update={"cases": {name: case for name, case in cases.items() if name != "yes: no"}})
    assert load.load_text(written.text(), Baseline) == written


# ---- bad input: file:line:column

SUITE_ROWS = [
    # what, old, new with « where the message must point, words
    ("missing venue", "venue: book.yaml", "venue: «boek.yaml", "no such file: {folder}/boek.yaml (did you mean 'book.yaml'?)"),
    ("unknown venue", "venue: book.yaml", "venue: «binance-um", "there is no venue named 'binance-um'"),
    ("missing incident", INCIDENT, "«./incident.yaml", "no such file"),
    ("unknown incident", INCIDENT, "«2025-10-10-binance-usd", "did you mean '2025-10-10-binance-usde'?"),
    ("missing plan", "    accounts:", "    plan: «plan.yaml\n    accounts:", "no such file"),
    ("no such variant", "    accounts:", "    variant: «open\n    accounts:", "'open' is not known here"),
    ("odd accounts", "accounts: 400", "accounts: «401", "401"),
    ("an unknown figure", "liquidated_accounts,", "«liquidated_acounts,", "did you mean 'liquidated_accounts'?"),
    ("a figure of another rule book", "shortfall", "«open_interest.ETHUSDT", "no figure 'open_interest.ETHUSDT' under small"),
    ("a limit that no baseline gives", "liquidated_accounts", "«rounds", "the baseline of 'usde' has no figure 'rounds'"),
    (
        "moved against nothing",
        "against: baseline, most_added: 0",
        "most_added: «0",
        "most_added of what? (add against: baseline)",
    ),
    ("a bound against the baseline", 'shortfall, most: "100000"', "shortfall, against: «baseline, most: 0", "leave against out"),
    ("two bounds", 'most: "100000"', "most: 1, least: «0", "a limit with both most and least"),
    ("no bound", '- {figure: shortfall, most: "100000"}', "- «{figure: shortfall}", "a limit without a bound"),
    ("a float", 'most: "100000"', "most: «0.5", "0.5 is a float"),
    ("a bound that may not be negative", "most_added: 0", "most_added: «-1", "-1"),
    ("an unknown key", "limits:", "«limit:", "did you mean 'limits'?"),
    (
        "a case twice",
        "    limits:",
        "  - name: «usde\n    incident: 2025-10-10-binance-usde\n    limits:",
        "'usde' is defined twice",
    ),
]
BASELINE_ROWS = [
    ("no reason", '    reason: "the beginning"\n', "«", "'reason' is missing"),
    ("an empty reason", 'reason: "the beginning"', 'reason: «""', "empty text"),
    ("a reason of blanks", 'reason: "the beginning"', 'reason: «" "', "' '"),
    ("a reason of nobody", 'reason: "the beginning"', 'reason: «"mine"', "this reason is not in the history"),
    ("no history", 'history:\n  - "the beginning"\n', "«", "'history' is missing"),
    ("an empty history", 'history:\n  - "the beginning"', "history: «[]", "too few entries"),
    ("of another suite", "suite: small", "suite: «large", "this is the baseline of suite 'large' (of 'small'"),
    ("a figure that is a number", 'rounds: "1"', "rounds: «1", "1 is not text (in quotes if it is text: '1')"),
    ("no digest", '    digest: "', '    digest: «"x', "is not written as it must be"),
]


def broken(text: str, old: str, new: str) -> tuple[str, str]:
    """Return the text with `old` replaced by `new`, and the marked place as line:column."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the good file"
    text = text.replace(old, new)
    before = text[: text.index("«")]
    return text.replace("«", ""), f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"


def refused(folder: Path, **options: object) -> str:
    with pytest.raises(SpecError) as caught:
        run(folder, **options)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("what, old, new, words", [pytest.param(*row, id=row[0]) for row in SUITE_ROWS])
def test_a_wrong_suite(folder: Path, what: str, old: str, new: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, where = broken(SUITE, old, new)
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    if what == "a limit that no baseline gives":
        kept = [
            line for line in (folder / "small.baseline.yaml").read_text().splitlines() if not line.startswith("      rounds:")
        ]
        (folder / "small.baseline.yaml").write_text("\n".join(kept) + "\n", encoding="utf-8")
    monkeypatch.setattr(regressing, "run_case", lambda _: pytest.fail("it ran"))
    said = refused(folder)
    assert said.startswith(f"{load.shown(path)}:{where}: ") and words.format(folder=load.shown(folder)) in said, said


@pytest.mark.parametrize("old, new, words", [pytest.param(*row[1:], id=row[0]) for row in BASELINE_ROWS])
def test_a_wrong_baseline(folder: Path, old: str, new: str, words: str) -> None:
    path = folder / "small.baseline.yaml"
    text, where = broken(path.read_text(), old, new)
    path.write_text(text, encoding="utf-8")
    if "is missing" in words:  # what is not there has no place: its row's does
        where = "7:3" if "reason" in words else "2:1"
    said = refused(folder)
    assert said.startswith(f"{load.shown(path)}:{where}: ") and words in said, said


def without_market(tree: dict) -> None:
    tree["markets"][0]["name"] = "ETHUSDT"
    for row in tree["quoters"]:
        row["market"] = "ETHUSDT"


def rows_swapped(tree: dict) -> None:
    tree["sources"][:2] = tree["sources"][1::-1]


MISFITS = [
    ("a market that the tape names", without_market, "'BTCUSDT' is not one of small"),
    ("rows in another order", rows_swapped, "is row 2 of the sources (row 1, as in binance-um-2025-10-10"),
    ("other units", at("markets.0.lot.decimals", 2), "lot of 'BTCUSDT' differs"),
    ("a quoter that no tape opens", at("quoters.1.account", 18), "opens quoter account 18"),
]


@pytest.mark.parametrize("edit, words", [pytest.param(*row[1:], id=row[0]) for row in MISFITS])
def test_a_rule_book_that_does_not_fit_the_tape(folder: Path, edit: Callable[[dict], None], words: str) -> None:
    tree = book()
    edit(tree)
    write(folder / "book.yaml", tree)
    said = refused(folder)
    assert said.startswith(f"{load.shown(folder / 'small.yaml')}:6:12: cases.usde.venue: small does not fit") and words in said, (
        said
    )
    (folder / "small.yaml").write_text(SUITE.replace("    venue: book.yaml\n", ""), encoding="utf-8")
    said = refused(folder, venue=folder / "book.yaml")
    assert said.startswith(f"{load.shown(folder / 'book.yaml')}: small does not fit") and words in said, said


def test_an_incident_whose_own_rule_book_lacks_its_market(folder: Path) -> None:
    text, where = broken(load.read_text(load.find("incident", INCIDENT)), "    market: BTCUSDT\n", "    market: «ETHUSDT\n")
    (folder / "incident.yaml").write_text(text, encoding="utf-8")
    (folder / "small.yaml").write_text(SUITE.replace(INCIDENT, "incident.yaml"), encoding="utf-8")
    said = refused(folder)
    assert said.startswith(f"{load.shown(folder / 'incident.yaml')}:{where}: ") and "'ETHUSDT' is not one of" in said, said


def test_another_outcome_schema_is_told(folder: Path) -> None:
    path = folder / "small.baseline.yaml"
    text = path.read_text().replace(f"outcome_schema: {SCHEMA_VERSION}", f"outcome_schema: {SCHEMA_VERSION + 1}")
    path.write_text(
        text.replace('    digest: "', '    digest: "0').replace(load.load(path, Baseline).cases["usde"].digest[-1] + '"', '"', 1)
    )
    digest = next(line for line in path.read_text().splitlines() if line.startswith("    digest:")).split('"')[1]
    assert len(digest) == 32
    answer = run(folder)
    assert moved(answer) == ["digest", "outcome_schema"] and "the outcome schema is another" in answer.remedies[0]


# ---- the command


def command(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    code = "import sys; sys.argv[0] = 'riskbed'; from riskbed.cli import main; main()"
    line = [sys.executable, "-c", code, "regress", *map(str, words)]
    return subprocess.run(line, cwd=cwd, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


def test_the_command_from_nothing_to_accepted(folder: Path) -> None:
    (folder / "small.baseline.yaml").unlink()
    none = command("small.yaml", cwd=folder)
    assert (none.returncode, none.stderr) == (1, ""), none.stderr
    unjudged = "small.yaml:9:9: usde: liquidated_accounts, limit: most added 0: not judged, nothing was accepted of it yet"
    assert unjudged in none.stdout.splitlines() and none.stdout.count("not judged") == 1, none.stdout
    assert none.stdout.splitlines()[-1] == 'nothing was accepted yet: riskbed regress small.yaml --accept "reason"'
    assert not (folder / "small.baseline.yaml").exists()
    accepting = command("small.yaml", "--accept", "the beginning", cwd=folder)
    assert accepting.returncode == 0 and accepting.stdout.splitlines()[-1] == "Accepted into small.baseline.yaml: the beginning"
    same = command("small.yaml", "--json", cwd=folder)
    assert (same.returncode, same.stderr) == (0, "")
    tree = json.loads(same.stdout)
    assert Regression.model_validate(tree).passed
    assert set(tree) == set(json.loads(regressing.schema())["required"])
    assert {tuple(row) for row in tree["rows"]} == {("name", "field", "baseline", "now", "verdict")}
    at_fault = command("small.yaml", "--case", "usdt", cwd=folder)
    assert at_fault.returncode == 2 and "there is no case 'usdt' in suite small (did you mean 'usde'?)" in at_fault.stderr


def test_the_table_says_what_moved_and_by_how_much(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = changed(folder, at("fund.capital", 1_229_000_000))
    regressing.show(answer)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "balance.fund.USDT" in line).split()
    assert row[-2:] == ["-1000000.00000000", "changed"]
    assert not any("liquidated_accounts" in line for line in lines), "what is the same is counted, not listed"
    assert any(line.startswith("small: cases 1, rows ") and ": 4 changed, " in line for line in lines), lines


def test_the_packaged_suites_and_their_baselines_are_good() -> None:
    found = load.names("suite")
    assert regressing.DEFAULT_SUITE in found and not any(name.endswith(".baseline") for name in found)
    for name, path in found.items():
        rows = load.load(path, Suite)
        baseline = load.load(regressing.suite.baseline_path(path), Baseline, check=lambda row, rows=rows: row.check(rows))
        assert rows.name == name and list(baseline.cases) == [case.name for case in rows.cases]
        works: list = []
        load.load(
            path, Suite, check=lambda row, works=works, path=path: works.extend(regressing.find_work(row, path.parent, None))
        )
        assert len(works) == len(rows.cases)


def test_the_schema_in_the_repository_is_that_of_the_answer() -> None:
    assert regressing.SCHEMA.read_text(encoding="utf-8") == regressing.schema(), "run `python -m riskbed.regress`"
