"""The main job on few accounts: its JSON, its run folder, its token, and that nothing half-written is left."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from riskbed import jobs, moves, result, runs
from riskbed import replay as replaying
from riskbed.labels import Label
from riskbed.population import incident_tape
from riskbed.replay import Options, Replay, replay
from specs import parquet
from specs.errors import SpecError, TapeError, TwinsDiffer
from specs.incident import Incident
from specs.load import find, load
from specs.rules import Venue
from specs.tape import EventKind, Flow, Tape, money_join

INCIDENT = "2025-10-10-binance-usde"
ROOT = Path(__file__).resolve().parent.parent
SMALL = Options(incident=INCIDENT, accounts=400, lockstep=100)
QUICK = Options(incident=INCIDENT, accounts=60, lockstep=0, rules=False, report=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def done(out: Path) -> Replay:
    return replay(options(SMALL, out=out))


def options(base: Options, **changes: object) -> Options:
    return replaying.replace(base, **changes)


def command(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "riskbed.cli", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


# ---- what it answers


def test_the_schema_in_the_repository_is_that_of_the_answer() -> None:
    assert result.SCHEMA.read_text(encoding="utf-8") == result.schema(), "run `python -m riskbed.result`"


def test_the_answer_has_what_the_schema_asks_and_survives_json(done: Replay) -> None:
    tree = json.loads(done.answer.model_dump_json())
    assert result.Result.model_validate(tree) == done.answer
    assert set(tree) == set(json.loads(result.schema())["required"])
    for name in ("organic", "premature", "late", "erroneous", "missed", "in_band"):
        assert set(tree["labels"][name]) == {"lots", "notional", "accounts"}


def test_the_glitch_closed_accounts_by_mistake_and_three_rules_would_not_have(done: Replay) -> None:
    by_name = {rule.name: rule for rule in done.answer.rules}
    assert list(by_name) == [
        "own-book",
        "own-twap-5m",
        "own-twap-30m",
        "mean-own-dex",
        "median-own-dex-redemption",
        "redemption",
        "redemption-floor",
    ]
    assert done.answer.labels.erroneous.lots == by_name["own-book"].fault.labels.erroneous.lots > 0
    assert done.answer.labels == by_name["own-book"].fault.labels
    for name in ("median-own-dex-redemption", "redemption", "redemption-floor"):
        assert by_name[name].fault.labels.erroneous.lots == 0


def test_the_first_rule_is_its_own_reference_on_the_true_move(done: Replay) -> None:
    move = done.answer.rules[0].true_move
    assert (move.share, move.median_delay_s, move.extra_lots) == (1, 0, 0)
    assert (move.of_the_move.share, move.of_the_move.median_delay_s) == (1, 0)
    assert 0 < move.of_the_move.lots < move.lots


def test_a_floor_hides_what_a_true_move_costs(done: Replay) -> None:
    floor = done.answer.rules[-1].true_move
    assert floor.of_the_move.share < 0.95, "a move that stays leaves more than 5 % never liquidated"
    assert not floor.hidden_shortfall.startswith("-") and float(floor.hidden_shortfall) > 0


def test_all_forced_lots_of_the_broken_run_are_labelled(done: Replay) -> None:
    labels = dict(done.answer.labels)
    in_broken = [total.lots for name, total in labels.items() if name not in ("missed", "in_band_missed")]
    assert sum(in_broken) == int(done.ran["broken"].forced.lots.sum())


def test_what_is_assumed_or_not_known_is_said(done: Replay) -> None:
    answer = done.answer
    assert any("weight_ppm = 990000" in note.path for note in answer.assumed)
    assert any("0.95" in note.why for note in answer.assumed), "the floor's level is assumed"
    assert any(note.path.startswith("synthetic:BTCUSDT at 2025-10-11") for note in answer.assumed)
    assert answer.unknowns and {row.provenance for row in answer.series} >= {"recorded", "synthetic"}


def test_the_sample_ran_on_both_twins(done: Replay) -> None:
    twins = done.answer.twins
    assert (twins.equal, twins.accounts, twins.runs) == (True, 4, ["broken", "true_lower"])
    assert twins.events > 2 * 4_500


def test_twins_that_differ_are_our_own_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        def submit(self, function, job, *_):
            future = replaying.Future()
            future.set_result(jobs.Compared(job.name, 9, (7, "outcome[0].price", 1, 2)))
            return future

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(jobs, "processes", Pool)
    with pytest.raises(TwinsDiffer, match=r"event 7 in outcome\[0\]\.price: model 1, engine 2"):
        replay(options(QUICK, out=tmp_path / "runs", lockstep=10))
    assert not (tmp_path / "runs").exists()


# ---- the same everywhere


def test_the_token_reproduces_the_run_in_another_process(done: Replay, tmp_path: Path) -> None:
    line, _, digests = done.answer.token.partition("  # ")
    words = shlex.split(line)
    assert words[0] == "riskbed"
    again = command(*words[1:], "--json", "--lockstep", "0", "--no-report", "--out", tmp_path, PYTHONHASHSEED="7")
    assert again.returncode == 0, again.stderr
    tree = json.loads(again.stdout)
    assert digests == f"tape {tree['inputs']['tape']} venue {tree['inputs']['venue']} outcomes {tree['digest']}"
    assert tree["digest"] == done.answer.digest and tree["labels"] == json.loads(done.answer.labels.model_dump_json())
    assert again.stderr == "", "quiet where stderr is no terminal"


def test_the_model_gives_the_same_answer(tmp_path: Path) -> None:
    tape = early(tmp_path / "early.parquet")
    base = Options(tape=tape, plan=spike(tmp_path), out=tmp_path / "runs", lockstep=0, report=False)
    engine, model = (replay(options(base, twin=twin)).answer for twin in ("engine", "model"))
    assert model.twin == "model" and model.digest == engine.digest and model.labels == engine.labels


# ---- the run folder


def test_the_run_folder_is_whole(done: Replay, out: Path) -> None:
    folder = Path(done.answer.run_folder)
    assert folder == out / f"{done.answer.name}-{done.answer.digest[:12]}"
    names = {
        "run.json",
        "outcomes.parquet",
        "true-lower.parquet",
        "true-upper.parquet",
        "accounts.parquet",
        "series.parquet",
        "report.html",
    }
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in out.iterdir()] == [folder.name]
    assert json.loads((folder / "run.json").read_text()) == json.loads(done.answer.model_dump_json())


@pytest.mark.parametrize(
    ("file", "run"), [("outcomes.parquet", "broken"), ("true-lower.parquet", "true_lower"), ("true-upper.parquet", "true_upper")]
)
def test_outcomes_come_back_as_they_were(done: Replay, file: str, run: str) -> None:
    rows = parquet.read_outcomes(Path(done.answer.run_folder) / file)
    assert rows.tobytes() == done.ran[run].outcomes.tobytes()


def test_accounts_add_up_to_the_labels(done: Replay) -> None:
    table = pq.read_table(Path(done.answer.run_folder) / "accounts.parquet")
    for which in Label:
        total = getattr(done.answer.labels, which.name.lower())
        assert sum(table.column(f"{which.name.lower()}_lots").to_pylist()) == total.lots
        assert table.column("label").to_pylist().count(which.name.lower()) == total.accounts
    for reading in done.answer.make_whole.readings:
        column = table.column(f"make_whole_{reading.eligibility}_{reading.reference}_{reading.netting}_{reading.base}")
        assert f"{sum(column.to_pylist()):.8f}" == reading.money


def test_equity_in_the_accounts_table_is_that_of_the_ledger(done: Replay) -> None:
    """Of an account without a position: cash, and collateral in full at the broken run's last price."""
    table = pq.read_table(Path(done.answer.run_folder) / "accounts.parquet")
    state = done.ran["broken"].state
    trading = {row[0] for row in state["positions"]}
    account = next(row[0] for row in state["accounts"] if row[0] >= done.inputs.tape.meta.accounts_from and row[0] not in trading)
    balances = {asset: balance for number, asset, balance in state["balances"] if number == account}
    price = next(row[5] for row in state["collateral"])
    expected = balances.get(0, 0) + balances.get(1, 0) * price // 10**8
    place = table.column("account").to_pylist().index(account)
    assert int(table.column("equity_broken")[place].as_py() * 10**8) == expected


def test_series_hold_prices_in_whole_units(done: Replay) -> None:
    table = pq.read_table(Path(done.answer.run_folder) / "series.parquet").to_pylist()
    own = [row for row in table if row["run"] == "broken" and row["kind"] == "source" and row["name"] == "binance-spot:USDEUSDT"]
    assert min(str(row["price"].normalize()) for row in own) == "0.6651"
    index = [row for row in table if row["run"] == "true_upper" and row["kind"] == "index" and row["name"] == "USDEUSDT"]
    assert {str(row["price"].normalize()) for row in index if row["grade"] == "VALID"} == {"1"}


def test_a_second_run_takes_the_place_of_the_first(done: Replay, tmp_path: Path) -> None:
    first = replay(options(QUICK, out=tmp_path)).answer
    (Path(first.run_folder) / "stray").write_text("left by somebody")
    second = replay(options(QUICK, out=tmp_path)).answer
    assert second == first
    assert [path.name for path in tmp_path.iterdir()] == [Path(first.run_folder).name]
    assert not (Path(first.run_folder) / "stray").exists()


@pytest.mark.parametrize(
    "error", [RuntimeError("disk on fire"), KeyboardInterrupt(), SystemExit(143)], ids=["error", "ctrl-c", "terminated"]
)
@pytest.mark.parametrize("where", ["first", "last"])
def test_nothing_half_written_is_left(tmp_path: Path, error: BaseException, where: str) -> None:
    def fail(path: Path) -> None:
        path.write_text("half of")
        raise error

    def well(path: Path) -> None:
        path.write_text("whole")

    root = tmp_path / "deep" / "runs"
    writers = {"a": fail, "b": well} if where == "first" else {"a": well, "b": fail}
    with pytest.raises(type(error)):
        runs.write_folder(root, "run", {}, {}, writers)
    assert not root.exists(), "made for this run alone, so it goes too"
    runs.write_folder(root, "run", {"n": 1}, {}, {"a": well})
    with pytest.raises(type(error)):
        runs.write_folder(root, "run", {"n": 2}, {}, writers)
    assert [path.name for path in root.iterdir()] == ["run"]
    assert json.loads((root / "run" / "run.json").read_text()) == {"n": 1}, "the run before is untouched"


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="no run folder can be made"):
        replay(options(QUICK, out=tmp_path / "file" / "runs"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    line = [sys.executable, "-m", "riskbed.cli", "replay", INCIDENT, "--accounts", "40000", "--out", str(tmp_path / "runs")]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(3)
    assert process.poll() is None, "the run was over before it could be interrupted"
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "")
    assert errors.splitlines()[0] == "riskbed: interrupted, no run folder was left"
    assert not (tmp_path / "runs").exists()


# ---- faults and the user's own files


def early(path: Path) -> Path:
    """Write the first minutes of the incident's tape with a few accounts: a tape of one's own."""
    incident = load(find("incident", INCIDENT), Incident)
    venue = load(find("venue", incident.venue), Venue)
    tape = incident_tape(incident, venue, accounts=40)
    tape.slice(tape.meta.start_ns, tape.meta.start_ns + 900 * 10**9).write(path)
    return path


def spike(folder: Path, name: str = "usde-falls") -> Path:
    """Write a plan: USDE at a fifth of its price for three minutes, on its own book."""
    path = folder / "plan.yaml"
    path.write_text(
        f"""schema_version: 1
name: {name}
faults:
  - id: crash
    kind: spike
    source: "binance-spot:USDEUSDT"
    from: "2025-10-10T21:11:00Z"
    to: "2025-10-10T21:14:00Z"
    magnitude_ppm: -800_000
  - id: later
    kind: special
    value: missing
    source: "binance-spot:USDEUSDT"
    from: "2025-10-10T21:14:00Z"
    to: "2025-10-10T21:14:30Z"
"""
    )
    return path


def test_a_tape_of_ones_own_is_broken_by_the_plan(tmp_path: Path) -> None:
    base = Options(tape=early(tmp_path / "mine.parquet"), plan=spike(tmp_path), out=tmp_path / "runs", lockstep=2)
    shown = replay(base)
    answer = shown.answer
    assert answer.labels.erroneous.lots > 0 and answer.labels.in_band.lots == 0
    assert (answer.incident, answer.make_whole, answer.rules, answer.truth) == (None, None, [], None)
    assert answer.faults == {"broken": ["crash", "later"], "true_lower": [], "true_upper": []}
    assert answer.twins.equal and answer.name == "mine-usde-falls"
    assert answer.token.startswith(f"riskbed replay --tape {tmp_path}/mine.parquet --plan {tmp_path}/plan.yaml  # tape ")
    assert "true-upper.parquet" not in {path.name for path in Path(answer.run_folder).iterdir()}, "one true run"
    assert (Path(answer.run_folder) / "report.html").is_file()
    without = replay(options(base, no_fault=("crash",), lockstep=0)).answer
    assert without.labels.erroneous.lots == 0 and without.faults["broken"] == ["later"]
    alone = replay(options(base, fault=("crash",), lockstep=0)).answer
    assert alone.faults["broken"] == ["crash"] and alone.labels.erroneous.lots > 0


def test_without_its_repair_the_true_run_is_the_broken_one(tmp_path: Path) -> None:
    answer = replay(options(QUICK, out=tmp_path, no_fault=("own-book",))).answer
    lots = {name: total.lots for name, total in answer.labels if total.lots}
    assert set(lots) == {"organic"}
    assert answer.faults == {"broken": [], "true_lower": [], "true_upper": []}


def test_a_rule_book_of_ones_own_on_the_incident(tmp_path: Path) -> None:
    packaged = find("venue", "binance-um-2025-10-10").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        packaged.replace(
            'recipe: {kind: source, name: "binance-spot:USDEUSDT"}', 'recipe: {kind: redemption, ratio: "ethena:USDE-redemption"}'
        )
    )
    answer = replay(options(QUICK, out=tmp_path / "runs", venue=mine)).answer
    assert (
        answer.labels.erroneous.lots == 0
        and answer.inputs["venue"] != replay(options(QUICK, out=tmp_path / "runs")).answer.inputs["venue"]
    )
    assert f"--venue {mine}" in answer.token


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"incident": None}, SpecError, "nothing to replay"),
        ({"incident": "2025-10-10-binance-usd"}, SpecError, "did you mean '2025-10-10-binance-usde'"),
        ({"variant": "open"}, SpecError, "'open' is not a variant"),
        ({"accounts": 61}, SpecError, "61 accounts"),
        ({"lockstep": -1}, SpecError, "--lockstep -1"),
        ({"fault": ("own-bok",)}, SpecError, "there is no fault 'own-bok' in this replay (did you mean 'own-book'?)"),
        ({"no_fault": ("x",)}, SpecError, "there is no fault 'x' in this replay"),
        ({"venue": Path("absent.yaml")}, SpecError, "absent.yaml: no such file"),
        ({"plan": Path("absent.yaml")}, SpecError, "absent.yaml: no such file"),
        ({"tape": Path("absent.parquet"), "accounts": None}, TapeError, "absent.parquet: no such file"),
        ({"tape": Path("absent.parquet")}, SpecError, "--accounts with --tape"),
    ],
)
def test_bad_input_is_said_before_anything_runs(tmp_path: Path, changes: dict, error: type, said: str) -> None:
    with pytest.raises(error) as caught:
        replay(options(QUICK, out=tmp_path / "runs", **changes))
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()


# ---- parts


def test_only_what_no_recipe_reads_may_differ_for_a_run_to_be_shared() -> None:
    inputs = replaying.read_inputs(QUICK)
    heard, unheard = (inputs.venue.number("sources", name) for name in ("binance-spot:USDEUSDT", "uniswap-v3:USDEUSDT"))
    assert unheard in moves.unheard(inputs.venue) and heard not in moves.unheard(inputs.venue)
    job = replaying._job("a", inputs, inputs.venue, inputs.tape.events, replaying.NO_PLAN)
    for source, same in ((unheard, True), (heard, False)):
        events = inputs.tape.events.copy()
        events["price"][(events["kind"] == EventKind.SOURCE) & (events["source"] == source)] -= 1
        assert moves.same_outcomes(job, job._replace(events=events)) is same
        told = {1: source}  # what is true is asked too
        assert not moves.same_outcomes(job._replace(truth=told), job._replace(events=events, truth=told))
    later = job._replace(horizon_ns=job.horizon_ns + 1)
    for other in (later, job._replace(events=inputs.tape.events[:-1]), job._replace(seams=[(0, 0, 0, 1, 4, 0)])):
        assert not moves.same_outcomes(job, other)
    assert moves.distinct([job, job._replace(name="b"), later._replace(name="c")]) == (
        [job, later._replace(name="c")],
        {"b": "a"},
    )


def test_losses_are_the_flows_up_to_the_horizon(done: Replay) -> None:
    rows = done.ran["broken"].outcomes
    paid = rows[(rows["kind"] == 5) & (rows["flow"] == 10)]
    whole = sum(money_join(int(lo), int(hi)) for lo, hi in zip(paid["money_lo"], paid["money_hi"], strict=True))
    assert jobs.flow_sums(rows, 2**62)[Flow.FUND_PAYMENT] == whole
    assert set(jobs.flow_sums(rows, 0).values()) == {0}


@pytest.mark.parametrize(
    ("text", "name"), [("a b/c", "a-b-c"), ("..", "run"), ("x" * 99, "x" * 80), ("Ünï", "n"), ("ok-1.5_z", "ok-1.5_z")]
)
def test_a_name_that_a_folder_can_have(text: str, name: str) -> None:
    assert replaying.safe_name(text) == name


@pytest.mark.parametrize(
    ("money", "digits", "shown"),
    [
        ("0.49999999", 0, "0"),
        ("0.5", 0, "1"),
        ("-1234567.5", 0, "-1,234,568"),
        ("-0.4", 0, "0"),
        ("12", 2, "12.00"),
        ("1.005", 2, "1.01"),
        ("999.995", 2, "1,000.00"),
    ],
)
def test_money_for_the_eye(money: str, digits: int, shown: str) -> None:
    assert result.rounded(money, digits) == shown


def test_a_tape_for_another_rule_book_is_said(tmp_path: Path) -> None:
    tape = Tape.read(early(tmp_path / "mine.parquet"))
    Tape(tape.events, replaying.replace(tape.meta, venue="another")).write(tmp_path / "mine.parquet")
    base = Options(
        tape=tmp_path / "mine.parquet",
        venue=find("venue", "binance-um-2025-10-10"),
        out=tmp_path / "runs",
        lockstep=0,
        report=False,
    )
    assert any("made for rule book another" in line for line in replay(base).answer.unknowns)
