"""One run of a pair where a single incident is expected: compare and regress take it, what cannot take it says what to name."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from riskbed import compare as comparing
from riskbed import guards, replay
from riskbed import pair as pairing
from riskbed import regress as regressing
from riskbed.macro import pair_tape
from specs import load
from specs.errors import SpecError
from specs.pair import RUNS, true_run
from specs.rules import Venue
from specs.tape import OutcomeKind

PAIR, CASCADE, ALONE = "2025-10-10", "2025-10-10-A-macro-cascade", "2025-10-10-B-collateral-index"
BOOK = "binance-um-2025-10-10-cascade"
SHARE_PPM = 30_000  # of the pair's accounts

SUITE = """\
schema_version: 1
name: small
cases:
  - name: day
    incident: 2025-10-10-pair
    limits:
      - {figure: adl_lots, against: baseline, most_added: 0}
"""


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "pair_tape", functools.partial(pair_tape, share_ppm=SHARE_PPM))
        yield


def capped(folder: Path) -> Path:
    """Write the rule book of the day with a backstop that takes over next to nothing: the rest is deleveraged."""
    tree = load.load(load.find("venue", BOOK), Venue).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (stage,) = [row for row in tree["liquidation"]["stages"] if row["kind"] == "takeover"]
    stage["notional_max"] = 1_000
    path = folder / "capped.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pairing.Done:
    return pairing.replay(replay.Options(incident=PAIR, lockstep=0, out=tmp_path_factory.mktemp("whole"), report=False))


def compared(folder: Path, a: object, b: object, **more: object) -> comparing.Compared:
    return comparing.compare(comparing.Options(str(a), str(b), out=folder / "runs", **more))


def test_two_rule_books_on_both_events_of_the_day(whole: pairing.Done, tmp_path: Path) -> None:
    done = compared(tmp_path, BOOK, capped(tmp_path), incident=PAIR)
    found = done.answer
    assert (found.incident, found.run, found.variant) == ("2025-10-10-pair", "A+B", None)
    assert found.a.digest == whole.ran["A+B"].digest, "A is the run of the replay, with its faults of makers"
    assert found.a.faults == found.b.faults == [fault.id for fault in whole.inputs.plans["A+B"].faults]
    assert found.totals.adl_lots.difference > 0 and found.totals.newly_deleveraged > 0
    assert found.first_divergence is not None and any(line.startswith("ADL") for line in found.first_divergence.b.said)
    assert found.unknowns[-1] in pairing.unknowns(whole.inputs) and found.assumed
    assert " --run A+B" in found.token and "--accounts" not in found.token
    assert "run A+B" in (Path(found.run_folder) / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("run", RUNS)
def test_every_run_can_be_compared_on(whole: pairing.Done, tmp_path: Path, run: str) -> None:
    found = compared(tmp_path, BOOK, BOOK, incident=PAIR, run=run, report=False).answer
    assert found.same and found.run == run and found.a.digest == whole.ran[run].digest


def test_two_plans_on_the_base_tape(whole: pairing.Done, tmp_path: Path) -> None:
    paths = []
    for run in ("none", "B"):
        paths.append(tmp_path / f"{run}.yaml")
        tree = whole.inputs.plans[run].model_dump(mode="json", by_alias=True, exclude_defaults=True)
        paths[-1].write_text(json.dumps(tree), encoding="utf-8")
    found = compared(tmp_path, *paths, incident=PAIR).answer
    assert (found.run, found.a.digest, found.b.digest) == (None, whole.ran["none"].digest, whole.ran["B"].digest)
    assert "--run" not in found.token


def test_what_is_true_of_a_run_is_the_run_without_b(tmp_path: Path) -> None:
    assert {run: true_run(run) for run in RUNS} == {"none": "none", "A": "A", "B": "none", "A+B": "A"}
    for run in RUNS:
        inputs = pairing.one_run(replay.Options(incident=PAIR), run)
        other = pairing.read_inputs(replay.Options(incident=PAIR)).plans
        assert (inputs.plans["broken"], inputs.plans["true_lower"]) == (other[run], other[true_run(run)])


def test_a_suite_catches_a_changed_rule_by_what_is_deleveraged(whole: pairing.Done, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    options = regressing.Options(suite=str(path))
    first = regressing.regress(regressing.Options(suite=str(path), accept="the day"))
    assert first.accepted and (first.cases[0].run, first.cases[0].variant) == ("A+B", None)
    outcomes = whole.ran["A+B"].outcomes
    figures = {row.field: row.now for row in first.rows}
    assert int(figures["adl_lots"]) == outcomes["qty"][outcomes["kind"] == OutcomeKind.ADL].sum()
    assert int(figures["deleveraged_accounts"]) == len(pairing.deleveraged(outcomes))
    assert int(figures["liquidations"]) == whole.answer.runs[-1].liquidations
    erroneous = whole.answer.labels["A+B against A"].erroneous
    assert int(figures["erroneous_lots"]) == erroneous.lots > 0
    assert regressing.regress(options).passed
    path.write_text(SUITE.replace("    limits", f"    venue: {capped(tmp_path).name}\n    limits"), encoding="utf-8")
    answer = regressing.regress(options)
    assert not answer.passed and [limit.figure for limit in answer.limits_broken] == ["adl_lots"]


# ---- what cannot be done is one line that blames no file of ours

STANDS_ALONE = f"(name the incident that stands alone: {ALONE})"
REFUSED = [
    (lambda out: guards.guards(replay.Options(incident=PAIR, out=out)), f"is a pair of incidents {STANDS_ALONE}"),
    (lambda out: guards.guards(replay.Options(incident=CASCADE, out=out)), f"cascade of the pair 2025-10-10-pair {STANDS_ALONE}"),
    (lambda out: replay.replay(replay.Options(incident=PAIR, out=out)), f"is a pair of incidents {STANDS_ALONE}"),
    (lambda out: compared(out, BOOK, BOOK, incident=CASCADE), "(--incident 2025-10-10-pair --run A plays it alone)"),
    (lambda out: compared(out, BOOK, BOOK, incident=PAIR, accounts=10), "--accounts with a pair of incidents"),
    (lambda out: compared(out, BOOK, BOOK, incident=PAIR, variant="low"), "--variant with a pair of incidents"),
    (lambda out: compared(out, BOOK, BOOK, incident=ALONE, run="A"), "--run without a pair of incidents"),
]


@pytest.mark.parametrize(("act", "said"), REFUSED)
def test_what_cannot_take_it_names_what_to_use(tmp_path: Path, act, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        act(tmp_path)
    text = str(refused.value)
    assert said in text and "\n" not in text and ".yaml" not in text and refused.value.exit_code == 2


CASES = [  # what follows `incident: `, where the message points, what it says
    (CASCADE, "5:15", f"{CASCADE} is the cascade of a pair (incident: 2025-10-10-pair with run: A plays it alone)"),
    (f"{ALONE}\n    run: A", "6:10", f"{ALONE} is no pair"),
    ("2025-10-10-pair\n    run: C", "6:10", "'C' is not known here"),
    ("2025-10-10-pair\n    variant: low", "6:14", "'low' is not a variant of 2025-10-10-pair"),
    ("2025-10-10-pair\n    accounts: 400", "6:15", "the pair 2025-10-10-pair brings its own accounts"),
    ("2025-10-10-pair\n    venue: binance-um-2025-10-10", None, "does not fit 2025-10-10-pair"),
]


@pytest.mark.parametrize(("rest", "where", "said"), CASES)
def test_a_wrong_case_of_a_suite(tmp_path: Path, rest: str, where: str | None, said: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE.replace("incident: 2025-10-10-pair", f"incident: {rest}"), encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        regressing.regress(regressing.Options(suite=str(path)))
    text = str(refused.value)
    assert said in text and (where is None or text.startswith(f"{load.shown(path)}:{where}: ")), text
