"""Campaigns: the same everywhere, stopped by anything without a loss, and able to find what is planted; findings that shrink."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fuzz import campaign, finding, mutants
from fuzz.campaign import CORPUS, SCHEDULE, Campaign, Kills, Options, Summary, case_of, first_kill, source_of
from fuzz.finding import ALL, SEAMS, TAPE, VENUE, WHOLE, Checks, Failure, Ran, Setup, judge, judge_apart
from fuzz.shrink import shrink, without
from fuzz.strategies import Case, pack, sample
from riskbed import fuzzing
from specs import laws, load
from specs.errors import RiskbedError, SpecError, TapeError
from specs.model.exchange import Exchange as Model
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Seam, SeamKind, Side, Stage

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent
MAIN = "import sys; sys.argv[0] = 'riskbed'; from riskbed.cli import main; main()"
TIMES = ("seconds", "cases_per_s", "events_per_s")


# ---- exchanges that fail in ways no law speaks of; workers find them by name


class Dies(Model):
    """Withdrawing is the end of the process."""

    def _post_withdraw(self, e):
        os.kill(os.getpid(), signal.SIGSEGV)

    _POST = Model._POST | {EventKind.WITHDRAW: _post_withdraw}


class Hangs(Model):
    """Withdrawing never ends."""

    def _post_withdraw(self, e):
        time.sleep(1_000)

    _POST = Model._POST | {EventKind.WITHDRAW: _post_withdraw}


class Raises(Model):
    """Refusing an order takes one out of the book that was never there."""

    def _reject(self, e, reason):
        if e.kind == EventKind.ORDER:
            self.books[0].remove(SimpleNamespace(side=Side.BUY, price=1, order_id=1))
        super()._reject(e, reason)


def riskbed(*arguments: object) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(riskbed(*arguments), cwd=cwd, env=path, capture_output=True, text=True)


def summary(tmp_path: Path, cases: int, **options) -> Summary:
    return Campaign(Options(**{"cases": cases, "out": tmp_path / "findings", "corpus": None, "workers": 1} | options)).run()


CASES_MAX = 100  # within which each planted bug of these tests is found


@cache
def failing(planted: int, right: str | None = "engine") -> tuple[int, Case, Failure]:
    """Return the first case of seed 1 that a planted bug fails, its number and the failure."""
    setup = Setup(right=right, planted=planted)
    for k in range(CASES_MAX):
        found = judge(case_of(1, k), setup, source_of(k).checks)
        if isinstance(found, Failure):
            return k, case_of(1, k), found
    raise AssertionError(f"planted bug {planted} is not found within {CASES_MAX} cases")


# ---- case k


def test_a_case_is_a_function_of_seed_and_number_in_any_process() -> None:
    code = (
        "import hashlib; from fuzz.campaign import case_of;"
        "print(hashlib.sha256(''.join(repr(case_of(s, k)) for s in (1, 2) for k in range(16)).encode()).hexdigest())"
    )
    seen = set()
    for hash_seed in ("0", "17"):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        seen.add(done.stdout)
    assert len(seen) == 1
    assert len({repr(case_of(s, k)) for s in (1, 2) for k in range(16)}) == 32


def test_sixteen_cases_are_one_turn_of_the_schedule() -> None:
    names = Counter(source_of(k).name for k in range(16, 32))
    assert names == Counter(source.name for source in SCHEDULE) == {"small": 11, "long": 4, "bounds": 1}
    assert all(len(case_of(1, k).events) <= 30 for k in range(32) if source_of(k).name == "small")
    assert max(len(case_of(1, k).events) for k in range(32)) > 200


def test_every_law_is_checked_by_some_case() -> None:
    asked = {law for source in SCHEDULE for law in (*source.checks.laws, *source.checks.whole)}
    assert asked == set(laws.LAWS) == {*laws.CHECKED, *WHOLE}


# ---- a campaign


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Summary:
    return Campaign(Options(cases=400, out=tmp_path_factory.mktemp("clean"))).run()  # the rarest seam acts in one case of 250


def test_a_clean_campaign_finds_nothing_and_visits_everything(clean: Summary) -> None:
    assert (clean.exit_code, clean.differences, clean.crashes, clean.findings) == (0, 0, 0, [])
    assert (clean.cases, clean.passed, clean.stopped_by) == (400, 400, "cases")
    assert set(clean.visits) == {seam.name for seam in Seam} | {f"STAGE_{stage.name}" for stage in Stage if stage}
    assert clean.unvisited == []
    assert all(law.events and not law.broken for law in clean.laws.values()) and set(clean.laws) == set(laws.LAWS)
    assert clean.events == sum(source.events for source in clean.sources.values())
    ends = {name: row.share for name, row in clean.funnel.items() if name.partition(".")[0] in ("end", "stage")}
    assert {name: share for name, share in ends.items() if share < 0.05} == {}


def test_shares_of_the_funnel_are_of_the_cases_that_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = summary(tmp_path, CASES_MAX, setup=Setup(planted=2), shrink_events=1)
    assert 0 < found.passed < found.cases
    assert found.passed == found.cases - sum(row.cases for row in found.findings)
    for row in found.funnel.values():
        assert row.cases <= found.passed and row.share == round(row.cases / found.passed, 4)
    fuzzing.show(found)
    assert f"Funnel: of {found.passed} cases that passed, those that reach it" in capsys.readouterr().out


def test_the_answer_survives_json_and_its_schema_is_current(clean: Summary) -> None:
    assert Summary.model_validate_json(clean.model_dump_json()) == clean
    assert campaign.SCHEMA.read_text(encoding="utf-8") == campaign.schema(), "run `python -m fuzz.campaign`"
    required = json.loads(campaign.schema())["$defs"]["Summary"]["required"]
    assert {"cases", "events", "differences", "laws", "visits"} < set(required) == set(Summary.model_fields)


def test_the_same_seed_and_cases_answer_the_same_apart_from_times(tmp_path: Path) -> None:
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done = run("fuzz", "--cases", 12, "--seed", 3, "--planted", 9, "--json", cwd=tmp_path / name)
        tree = json.loads(done.stdout)
        assert done.returncode == tree["exit_code"] == 4 and tree["cases"] == 12, done.stderr
        assert all(tree.pop(key) > 0 for key in TIMES)
        answers.append(tree)
        assert done.stderr.count("riskbed: case ") == len(tree["findings"]) >= 1
    assert answers[0] == answers[1]
    for row in answers[0]["findings"]:
        files = [(tmp_path / name / row["folder"] / file).read_bytes() for file in (VENUE, SEAMS) for name in ("a", "b")]
        assert files[0] == files[1] and files[2] == files[3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_campaign_that_is_stopped_keeps_what_it_found_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    command = riskbed("fuzz", "--minutes", 5, "--planted", 2, "--json")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    going = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("findings/*/finding.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(going.pid, number)  # as a terminal does: the workers hear it too
    said, errors = going.communicate(timeout=30)
    tree = json.loads(said)
    assert tree["stopped_by"] == number.name and going.returncode == tree["exit_code"] == 4, errors
    assert "Traceback" not in errors
    assert tree["cases"] >= 1 and tree["findings"]
    for row in tree["findings"]:
        kept, case = finding.read(tmp_path / row["folder"])
        assert kept.found.same(judge(case, kept.setup))
    assert not list(tmp_path.glob("findings/.partial-*"))


LOST = """
import os, signal, sys, weakref
from riskbed import cli, fuzzing

def teller(*_):
    class Thing:
        pass
    thing = Thing()
    gone = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.{name}))
    del thing  # what its callback raises is printed and dropped
    return lambda progress: None

fuzzing._teller = teller
sys.argv = ["riskbed", "fuzz", "--cases", "4", "--out", sys.argv[1]]
cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_whose_exception_is_lost_still_ends_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", LOST.format(name=number.name), str(tmp_path / "findings")]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, "") and "Exception ignored" in done.stderr, done.stderr
    assert done.stderr.count("riskbed: interrupted") == 1


def test_the_first_signal_wins_whenever_it_comes(tmp_path: Path) -> None:
    """While Python starts, while modules load, in the corpus, in the loop: it never goes on to the end of its cases."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "riskbed", "fuzz", "--cases", "2000", "--json", "--out", str(tmp_path)]
    for k in range(12):
        going = subprocess.Popen(line, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True)
        time.sleep(0.04 + 0.08 * k)
        os.killpg(going.pid, signal.SIGINT)
        said, errors = going.communicate(timeout=30)
        if said:
            assert json.loads(said)["stopped_by"] == "SIGINT" and "Traceback" not in errors, errors
        elif "interrupted" in errors:
            assert going.returncode == 130, errors
        else:  # Python itself was not yet up
            assert going.returncode in (-signal.SIGINT, 1, 130) and not said, errors


TWICE = """
import os, signal, time
from riskbed import interrupt
interrupt.listen()
for _ in range(2):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
    except SystemExit:
        pass
"""


def test_the_second_signal_kills() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", TWICE], env=environment, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGINT


def test_a_known_finding_is_counted_and_not_written_again_and_a_torn_one_is(tmp_path: Path) -> None:
    def again() -> tuple[Summary, list[str]]:
        options = Options(
            cases=failing(16)[0] + 1,
            out=tmp_path / "findings",
            corpus=None,
            setup=Setup(planted=16),
            workers=1,
            shrink_events=500,
        )
        return Campaign(options, say=(said := []).append).run(), said

    (first, _), files = again(), {path: path.stat().st_mtime_ns for path in tmp_path.glob("findings/*/*")}
    second, said = again()
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("findings/*/*")}
    assert [row.known for row in first.findings] == [False] * len(first.findings)
    assert second.findings == [row.model_copy(update={"known": True}) for row in first.findings] != []
    assert all("; known, " in line for line in said)
    for row in first.findings:
        (Path(row.folder) / TAPE).write_bytes(b"PAR1")
    third, said = again()
    assert third.findings == first.findings and "torn" in said[0]
    assert all(finding.read(row.folder)[0].events == row.events for row in first.findings)


def test_a_worker_that_dies_is_a_finding_with_the_number_of_its_case(tmp_path: Path) -> None:
    setup = Setup(left="tests.test_campaign:Dies")
    expected = next(k for k in range(32) if isinstance(judge_apart(case_of(1, k), setup), Failure))
    answer = summary(tmp_path, expected + 2, setup=setup, workers=2)
    (row,) = answer.findings
    assert (row.kind, row.signature, row.first) == ("died", "died SIGSEGV", expected)
    assert answer.cases == expected + 2 and answer.exit_code == 4 and answer.crashes >= 1
    kept, case = finding.read(row.folder)
    assert row.events == len(case.events) == 1 and case.events["kind"].tolist() == [EventKind.WITHDRAW]
    assert campaign.replay(row.folder)[1].what == "SIGSEGV" and kept.minimal


def test_a_case_that_hangs_is_a_finding(tmp_path: Path) -> None:
    dies, hangs = (Setup(left=f"tests.test_campaign:{name}") for name in ("Dies", "Hangs"))
    expected = next(k for k in range(32) if isinstance(judge_apart(case_of(1, k), dies), Failure))
    answer = summary(tmp_path, expected + 1, setup=hangs, case_seconds=5)
    assert [(row.signature, row.first) for row in answer.findings] == [("died hang", expected)]


def test_an_exception_in_a_twin_is_a_crash_at_its_place() -> None:
    for right in (None, "engine"):
        failures = [judge(case_of(1, k), Setup("tests.test_campaign:Raises", right)) for k in range(8)]
        found = {(f.kind, f.what, f.exit_code) for f in failures if isinstance(f, Failure)}
        assert found == {("crash", "KeyError in specs/model/book.py:remove", 4)}


@pytest.mark.parametrize(("minutes", "cases", "until"), [(2, None, "2 min"), (None, 40, "40 cases"), (1, 9, "1 min or 9 cases")])
def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(monkeypatch, minutes, cases, until: str) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    fuzzing._teller(minutes, cases)(campaign.Progress(1, 2, 3, 4.0))
    assert stderr.getvalue() == ""
    stderr.isatty = lambda: True
    fuzzing._teller(minutes, cases)(campaign.Progress(30, 9_000, 1, 4.5))
    assert stderr.getvalue() == f"\r\x1b[K4 s of {until}: 30 cases, 2,000 events/s, 1 findings"


# ---- planted bugs, found and shrunk


@pytest.mark.parametrize(
    ("planted", "right", "most"),  # 14 shows only behind a snapshot in the middle of a tape: the bounded work ends at 25 events
    [(1, "engine", 12), (4, None, 12), (9, "engine", 12), (10, None, 12), (14, "engine", 30)],
)
def test_a_planted_bug_is_found_and_shrinks_to_a_few_events(tmp_path: Path, planted: int, right: str | None, most: int) -> None:
    setup = Setup(right=right, planted=planted)
    answer = summary(tmp_path, failing(planted, right)[0] + 1, setup=setup)
    assert answer.findings[0].first == failing(planted, right)[0] and answer.exit_code == (
        4 if any(row.kind == "twins" for row in answer.findings) else 1
    )
    row = answer.findings[0]
    kept, case = finding.read(row.folder)
    assert len(case.events) == row.events <= most and row.events < kept.events_first
    again, failure = campaign.replay(row.folder)
    assert again == kept and kept.found.same(failure) and failure == kept.found
    assert isinstance(judge(case, Setup()), Ran)  # it is the bug that fails, not the case
    done = run("fuzz", "--replay", row.folder, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (failure.exit_code, failure.text + "\n")


def test_every_planted_bug_is_found_by_the_twins_and_the_laws() -> None:
    """`riskbed fuzz --mutants` prints how soon. The latest, 44, needs profit and a withdrawal that it would cover: case 361."""
    for planted in mutants.MUTANTS:
        kill = first_kill(Setup(planted=planted), seed=1, cases_max=400)
        assert kill.cases is not None, planted


def test_the_table_of_planted_bugs_has_a_row_each(monkeypatch) -> None:
    monkeypatch.setattr(mutants, "MUTANTS", {6: mutants.MUTANTS[6], 9: mutants.MUTANTS[9]})
    table = campaign.kills(seed=1, cases_max=CASES_MAX)
    assert [(row.planted, row.alone.failure) for row in table.mutants] == [(6, "law L6"), (9, "law L9")]
    assert table.mutants[0].bug == "the margin gate always says yes; the other gates stay"
    assert Kills.model_validate_json(table.model_dump_json()) == table


def test_shrinking_is_bounded_and_says_so() -> None:
    setup, (_, case, failure) = Setup(planted=1), failing(1)
    some = shrink(case, setup, failure, events_max=200)
    assert not some.minimal and some.trials < 20 and failure.same(judge(some.case, setup))
    late = shrink(case, setup, failure, seconds_max=0)
    assert (late.trials, late.minimal, late.case) == (0, False, case)
    whole = shrink(case, setup, failure)
    assert whole.minimal and whole.case.events.tobytes() == shrink(case, setup, failure).case.events.tobytes()
    assert len(whole.case.events) < len(some.case.events)


def test_shrinking_what_does_not_fail_leaves_it() -> None:
    case = case_of(1, 1)
    shrunk = shrink(case, Setup(), Failure("law", "L1", 3, ""))
    assert (shrunk.case, shrunk.trials) == (case, 1)


def test_shrink_goes_on_where_the_campaign_stopped(tmp_path: Path) -> None:
    setup, (_, case, failure) = Setup(planted=1), failing(1)
    about = {"seed": 1, "case": 1, "source": "small", "events_first": len(case.events), "minimal": False, "trials": 0}
    folder = finding.write(tmp_path, case, failure, setup, **about)
    done = run("shrink", folder, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == f"riskbed fuzz --replay {folder}"
    kept, _ = finding.read(folder)
    assert kept.minimal and kept.events <= 12 and kept.events_first == len(case.events) and kept.trials > 10
    other = finding.write(tmp_path, case, failure._replace(what="balances.balance"), Setup(), **about)
    done = run("shrink", other, cwd=tmp_path)
    assert done.returncode == 2 and "does not fail here: nothing to shrink" in done.stderr
    done = run("fuzz", "--replay", other, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("passes now: 'twins balances.balance'")


# ---- events that go


def batch(*left: int, times: tuple[int, ...] = ()) -> np.ndarray:
    """Return CLOCK events with these batch_left; `times` if they differ. ref_id numbers them."""
    rows = [pack(kind=EventKind.CLOCK, ref_id=i, batch_left=n, time_ns=times[i] if times else 0) for i, n in enumerate(left)]
    return np.frombuffer(b"".join(rows), EVENT)


@pytest.mark.parametrize(
    ("left", "gone", "kept"),
    [
        ((0, 2, 1, 0, 0), [0], (2, 1, 0, 0)),
        ((0, 2, 1, 0, 0), [1], (0, 1, 0, 0)),
        ((0, 2, 1, 0, 0), [3], (0, 1, 0, 0)),  # the event before the last now ends the batch
        ((0, 2, 1, 0, 0), [1, 2, 3], (0, 0)),
        ((0, 2, 1, 0, 0), [2, 4], (0, 1, 0)),
        ((3, 0, 1, 1, 0), [1], (3, 1, 1, 0)),  # torn batches stay as they are
        ((0, 2, 1), [1], (0, 1)),  # a tape that ends inside a batch
    ],
)
def test_a_batch_that_counted_down_still_does(left: tuple, gone: list, kept: tuple) -> None:
    events = batch(*left)
    out = without(events, gone)
    assert tuple(out["batch_left"].tolist()) == kept
    assert out["ref_id"].tolist() == [i for i in range(len(left)) if i not in gone]
    assert tuple(events["batch_left"].tolist()) == left


# ---- the folder


def test_a_finding_reads_back_as_it_was(tmp_path: Path) -> None:
    for number, case in enumerate([*sample(8, seed=5, bytes_each=150), *(case_of(1, k) for k in range(8))]):
        failure = Failure("law", f"L{number}", 0, "text")
        about = {"seed": 1, "case": 1, "source": "small", "events_first": 1, "minimal": False, "trials": 0}
        row, back = finding.read(finding.write(tmp_path, case, failure, Setup(), **about))
        assert back.venue == case.venue and back.events.tobytes() == case.events.tobytes()
        assert (back.seams, back.start_ns, row.found) == (case.seams, case.start_ns, failure)


@pytest.mark.parametrize("name", load.names("venue"))
def test_a_packaged_rule_book_goes_through_yaml_too(name: str) -> None:
    venue = load.load(load.find("venue", name), Venue)
    assert load.load_text(finding.to_yaml(finding.tree_of(venue)), Venue) == venue


def test_text_that_looks_like_something_else_is_quoted() -> None:
    tree = {"a": "true", "b": "012", "c": "1e3", "d": "no", "e": 'x: "y" # z', "f": [], "g": [{"h": [1, {"i": True}]}, []]}
    assert load.parse(finding.to_yaml(tree), "x").tree == tree


def test_a_finding_that_is_run_again_or_shrunk_answers_in_json(tmp_path: Path) -> None:
    found = summary(tmp_path, CASES_MAX, setup=Setup(planted=2), shrink_events=1).findings[0]
    done = run("fuzz", "--replay", found.folder, "--json", cwd=tmp_path)
    answer = campaign.Again.model_validate_json(done.stdout)
    assert answer.same and answer.now.kind == found.kind and done.returncode == answer.exit_code > 0
    shrunk = run("shrink", found.folder, "--minutes", 0.05, "--json", cwd=tmp_path)
    smaller = campaign.Smaller.model_validate_json(shrunk.stdout)
    assert shrunk.returncode == 0 and smaller.trials > 1 and smaller.finding.events <= found.events, shrunk.stderr
    passes = run("fuzz", "--replay", _written(tmp_path / "passes"), "--json", cwd=tmp_path)
    answer = campaign.Again.model_validate_json(passes.stdout)
    assert (answer.now, answer.same, answer.exit_code, passes.returncode) == (None, False, 0, 0)


def _written(tmp_path: Path) -> Path:
    case = case_of(1, 1)
    seams = ((int(Seam.MARK_PUBLISH), 0, 5, 9, int(SeamKind.SCALE), 7),)
    case = Case(case.venue, case.events, seams)
    about = {"seed": 1, "case": 1, "source": "small", "events_first": 1, "minimal": False, "trials": 0}
    return finding.write(tmp_path, case, Failure("law", "L1", 0, "text"), Setup(), **about)


def _tear(name: str, old: bytes, new: bytes):
    def tear(folder: Path) -> None:
        path = folder / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return tear


@pytest.mark.parametrize(
    ("tear", "error", "said"),
    [
        (lambda f: (f / "finding.json").unlink(), SpecError, "there is no finding here: no finding.json (the folder"),
        (lambda f: (f / "finding.json").write_bytes(b'{"schema'), TapeError, "finding.json is torn: "),
        (_tear("finding.json", b'"seed": 1', b'"seed": "x"'), TapeError, "finding.json is torn: seed: "),
        (lambda f: (f / TAPE).write_bytes((f / TAPE).read_bytes()[:-9]), TapeError, "torn or not Parquet"),
        (lambda f: (f / TAPE).unlink(), TapeError, "no such file"),
        (lambda f: (f / VENUE).unlink(), SpecError, "no such file"),
        (_tear(VENUE, b"name: small", b"name: large"), TapeError, "venue.yaml is not the file that finding.json speaks of"),
        (_tear(VENUE, b"name: small", b"nam: small"), SpecError, "venue.yaml:2:1: unknown key 'nam' (did you mean 'name'?"),
        (_tear(SEAMS, b"from_ns: 5", b"from_ns: 6"), TapeError, "seams.yaml is not the file"),
        (_tear(SEAMS, b"mark_publish", b"mark_pub"), SpecError, "'mark_pub' is not known here (did you mean 'mark_publish'?)"),
    ],
)
def test_a_torn_finding_is_refused_with_cause_and_remedy(tmp_path: Path, tear, error: type[RiskbedError], said: str) -> None:
    folder = _written(tmp_path)
    tear(folder)
    with pytest.raises(error) as caught:
        finding.read(folder)
    assert said in str(caught.value) and str(caught.value).endswith(")")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fuzz", "--replay", "nowhere"), 2, "nowhere: there is no finding here"),
        (("shrink", "nowhere"), 2, "nowhere: there is no finding here"),
        (("fuzz", "--mutants", "--replay", "x"), 2, "--mutants with --replay (a finding brings its own case"),
        (("fuzz", "--replay", "x", "--planted", "3"), 2, "--planted with --replay"),
        (("fuzz", "--mutants", "--alone"), 2, "--alone with --mutants"),
        (("fuzz", "--planted", "99", "--cases", "1"), 2, "there is no planted bug 99 (one of 1, 2, 3"),
        (("fuzz", "--cases", "1", "--mutant", "6", "--out", "file"), 2, "no finding can be written"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, arguments: tuple, code: int, said: str) -> None:
    (tmp_path / "file").write_text("")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr


# ---- the corpus


def test_the_cases_of_the_corpus_fail_with_their_bug_and_pass_without() -> None:
    for folder in sorted(path.parent for path in CORPUS.glob("*/finding.json")):
        row, case = finding.read(folder)
        assert row.planted and row.minimal and row.found.same(judge(case, row.setup)), folder
        assert isinstance(judge(case, Setup(), ALL), Ran), folder


def test_a_case_of_the_corpus_that_fails_again_is_a_finding(tmp_path: Path) -> None:
    """The corpus is judged on the twins as they are; here a bug is put where it lies."""
    corpus = tmp_path / "corpus"
    about = {"seed": 1, "case": 1, "source": "small", "events_first": 1, "minimal": True, "trials": 0}
    finding.write(corpus, *failing(1)[1:], Setup(planted=1), **about)
    ran = Campaign(Options(cases=0, out=tmp_path / "findings", corpus=corpus))
    broken = Failure("law", "L1", 3, "text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(campaign, "judge", lambda *_: broken)
        answer = ran.run()
    assert (answer.corpus, answer.cases, answer.exit_code) == (1, 0, 1) and answer.laws["L1"].broken == 1


def test_sparse_checks_name_the_event_that_every_check_names() -> None:
    setup, case = Setup(planted=16), failing(16)[1]
    sparse, dense = (judge(case, setup, Checks((), every, ())) for every in (64, 1))
    assert isinstance(sparse, Failure) and sparse == dense
