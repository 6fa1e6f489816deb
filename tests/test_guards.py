"""Guards: the verdict at its thresholds, the moves as tapes, and what must come out for the incident of 10 October."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from riskbed import guards, jobs, moves, replay
from riskbed.guards import Done, OnStay, judge, worst
from riskbed.population import incident_tape
from riskbed.replay import Options
from specs import load, units
from specs.errors import SpecError
from specs.incident import Incident, Judged, Shape
from specs.tape import EventKind
from tests.test_report import Reader, figures

ROOT = Path(__file__).resolve().parent.parent
INCIDENT = "2025-10-10-B-collateral-index"
SMALL = Options(incident=INCIDENT, accounts=400)
STAYS = Shape("market-redemption", "stays", 1)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def done(out: Path) -> Done:
    return guards.guards(replace(SMALL, out=out), quick=True)


# ---- the verdict

A, B = "first", "second"
VERDICTS = [
    # erroneous, unguarded, (shape, never, caused, added, liquidated) rows, verdict, said
    (0, 1_000, [(A, 0, 100, 0, 100)], "protects", "falls by 100.00 %; first adds 0 bp"),
    (0, 1_000, [(A, 50, 1_000, 0, 1_000)], "protects", "falls by 100.00 %"),  # exactly 5 % is not more than 5 %
    (0, 1_000, [(A, 51, 1_000, 0, 1_000)], "hides", "first leaves 5.10 %"),
    (0, 1_000, [(A, 500_001, 10**7, 0, 10**7)], "hides", "first leaves 5.01 %"),  # rounded up for the eye, never down
    (0, 1_000, [(A, 0, 100, 0, 100), (B, 100, 100, 0, 100)], "hides", "second leaves 100.00 %"),  # one move is enough
    (1_000, 1_000, [(A, 100, 100, 0, 100)], "hides", "first leaves"),  # hiding comes first
    (50, 1_000, [(A, 0, 100, 0, 100)], "protects", "falls by 95.00 %"),  # exactly 95 %
    (51, 1_000, [(A, 0, 100, 0, 100)], "trades", "falls by 94.90 %"),
    (5_000_001, 10**8, [(A, 0, 100, 0, 100)], "trades", "falls by 94.99 %"),
    (0, 1_000, [(A, 0, 100, 1, 1_000)], "protects", "first adds 10 bp"),  # exactly 10 bp
    (0, 1_000, [(A, 0, 100, 11, 10_000)], "trades", "first adds 11 bp"),
    (0, 1_000, [(A, 0, 100, 1_000_001, 10**9)], "trades", "first adds 10.01 bp"),
    (0, 1_000, [(A, 0, 100, -5, 1_000), (B, 0, 100, 2, 1_000)], "trades", "second adds 20 bp"),
    (0, 1_000, [(A, 0, 100, -5, 1_000)], "protects", "first adds -50 bp"),
    (2_000, 1_000, [(A, 0, 100, 0, 100)], "trades", "falls by -100.00 %"),  # it closes more by mistake
    (0, 1_000, [(A, 0, 0, 0, 100), (B, 0, 100, 0, 100)], "protects", ""),  # a move that closes nothing says nothing
    (0, 1_000, [(A, 0, 0, 0, 100)], None, "no move that stays closes anything"),
    (0, 1_000, [], None, "no move that stays closes anything"),
    (0, 0, [(A, 0, 100, 0, 100)], None, "the fault closes nothing by mistake"),
    (0, 0, [(A, 6, 100, 0, 100)], "hides", "first leaves 6.00 %"),
]


@pytest.mark.parametrize(("erroneous", "unguarded", "stays", "verdict", "said"), VERDICTS)
def test_the_verdict(erroneous: int, unguarded: int, stays: list, verdict: str | None, said: str) -> None:
    got, why = judge(Judged(), erroneous, unguarded, [OnStay(*row) for row in stays])
    assert (got, said in why) == (verdict, True), why


def test_thresholds_are_rows_of_the_incident() -> None:
    row = [OnStay(A, 2, 100, 0, 100)]
    assert judge(Judged(hidden_max_ppm=19_999), 0, 100, row)[0] == "hides"
    assert judge(Judged(hidden_max_ppm=20_000), 0, 100, row)[0] == "protects"
    assert judge(Judged(fall_min_ppm=900_000), 10, 100, row)[0] == "protects"
    assert judge(Judged(shortfall_max_ppm=0), 0, 100, [OnStay(A, 0, 100, 1, 10**9)])[0] == "trades"
    incident = load.load(load.find("incident", INCIDENT), Incident)
    assert incident.judged == Judged(hidden_max_ppm=50_000, fall_min_ppm=950_000, shortfall_max_ppm=1_000)


def test_a_guard_that_does_as_the_unguarded_rule_never_protects() -> None:
    for unguarded, caused, liquidated in product((1, 7, 10**20), repeat=3):
        assert judge(Judged(), unguarded, unguarded, [OnStay(A, 0, caused, 0, liquidated)])[0] == "trades"


def test_the_worst_is_compared_exactly() -> None:
    big = 10**30
    rows = [OnStay(A, big, 3 * big, 1, big), OnStay(B, big + 1, 3 * big, 1, big - 1), OnStay("third", 0, 0, 5, 0)]
    assert worst(rows) == ((big + 1, 3 * big, B), (1, big - 1, B))
    assert worst(rows[:1] * 2 + [OnStay(B, big, 3 * big, 1, big)]) == ((big, 3 * big, A), (1, big, A)), "of equals the first"
    assert worst([rows[2]]) == (None, None)


# ---- what must come out


def named(done: Done) -> dict[str, guards.Guard]:
    return {guard.name: guard for guard in done.answer.guards}


def test_the_median_protects_and_redemption_hides(done: Done) -> None:
    found = named(done)
    median, redemption = found["median-own-dex-redemption"], found["redemption"]
    assert median.verdict == "protects" and median.erroneous_share == 0, median.why
    assert redemption.verdict == "hides" and redemption.hidden_on == "market-stays", redemption.why
    market, both = redemption.moves
    assert (market.shape, market.of_the_move.share) == ("market-stays", 1) and float(market.hidden_shortfall) > 0
    assert both.of_the_move.share <= 0.05, "it hears the issuer"
    assert found["redemption-floor"].moves[1].of_the_move.share > 0.05, "below its floor it does not"


def test_the_unguarded_rule_beside_itself(done: Done) -> None:
    guard = done.answer.guards[0]
    assert guard.name == done.answer.unguarded == "own-book"
    assert (guard.verdict, guard.erroneous_share, guard.hidden, guard.added_bp) == ("trades", 1, 0, 0)
    for move in guard.moves:
        assert float(move.of_the_move.notional) > 0 and float(move.whole.notional) > float(move.of_the_move.notional)
        for part in (move.whole, move.of_the_move):
            assert {float(part.spared), float(part.late), part.share, part.median_delay_s, part.worst_delay_s} == {0}
        assert {float(move.extra), float(move.added), move.added_bp} == {0}


def test_figures_agree_with_each_other(done: Done) -> None:
    first = done.answer.guards[0]
    for guard in done.answer.guards:
        for move, unguarded in zip(guard.moves, first.moves, strict=True):
            for part, own in ((move.whole, unguarded.whole), (move.of_the_move, unguarded.of_the_move)):
                assert part.notional == own.notional, "the denominator is the unguarded rule's"
                assert 0 <= part.share - Fraction(part.spared) / Fraction(part.notional) < Fraction(2, 10**6)
                assert Fraction(part.late) <= Fraction(part.notional) - Fraction(part.spared)
                assert (part.worst_delay_s is None) == (part.spared == part.notional)
            assert Fraction(move.shortfall) == Fraction(move.fund_draw) + Fraction(move.bad_debt)
            assert Fraction(move.added) == Fraction(move.shortfall) - Fraction(unguarded.shortfall)
            exact = Fraction(move.added) / Fraction(unguarded.whole.notional) * 10_000
            assert 0 <= Fraction(move.added_bp) - exact < Fraction(11, 1_000)
        assert guard.hidden == max(move.of_the_move.share for move in guard.moves)
        assert guard.added_bp == max(move.added_bp for move in guard.moves)


def test_replay_shows_the_same_move_by_the_same_functions(done: Done, out: Path) -> None:
    shown = replay.replay(replace(SMALL, lockstep=0, report=False, out=out)).answer
    assert [rule.name for rule in shown.rules] == [guard.name for guard in done.answer.guards]
    for rule, guard in zip(shown.rules, done.answer.guards, strict=True):
        assert rule.fault == guard.fault
        move = next(move for move in guard.moves if move.shape == STAYS.name)
        for name in ("shortfall", "fund_draw", "bad_debt", "treasury_loss", "hidden_shortfall"):
            assert getattr(rule.true_move, name) == getattr(move, name), name
        assert rule.true_move.of_the_move.median_delay_s == move.of_the_move.median_delay_s


def with_rules(folder: Path, **recipes: str) -> str:
    """Write the incident with rules of one's own, in YAML's flow style; return its path."""
    head, _, rest = load.find("incident", INCIDENT).read_text().partition("rules:\n")
    rules = [f"  - {{name: {name}, title: {name}, recipe: {recipe}}}\n" for name, recipe in recipes.items()]
    path = folder / "mine.yaml"
    path.write_text(head + "rules:\n" + "".join(rules) + "\n" + rest[rest.index("true_moves:") :])
    return str(path)


OWN, DEX = '{kind: source, name: "binance-spot:USDEUSDT"}', '{kind: source, name: "uniswap-v3:USDEUSDT"}'
REDEMPTION = '{kind: redemption, ratio: "ethena:USDE-redemption"}'


def test_a_copy_of_the_unguarded_rule_is_no_guard(tmp_path: Path) -> None:
    mine = with_rules(tmp_path, own=OWN, copy=OWN)
    own, other = guards.guards(replace(SMALL, incident=mine, report=False, out=tmp_path), quick=True).answer.guards
    assert (other.name, other.verdict) == ("copy", "trades")
    assert other.moves == own.moves and other.fault == own.fault


def test_all_eight_shapes_at_the_low_of_each_minute(tmp_path: Path) -> None:
    """A second reading of the bars; the redemption rule hears a move only where the issuer's ratio falls."""
    mine = with_rules(tmp_path, own=OWN, median=f"{{kind: median, of: [{OWN}, {DEX}, {REDEMPTION}]}}", redemption=REDEMPTION)
    done = guards.guards(replace(SMALL, incident=mine, variant="low", accounts=200, report=False, out=tmp_path))
    found = named(done)
    assert (found["median"].verdict, found["redemption"].verdict) == ("protects", "hides")
    assert [move.shape for move in found["redemption"].moves] == [shape.name for shape in done.answer.shapes]
    for move, shape in zip(found["redemption"].moves, done.answer.shapes, strict=True):
        deaf = "ethena:USDE-redemption" not in shape.falls
        assert (move.of_the_move.share == 1) == deaf and (move.of_the_move.share <= 0.05) == (not deaf), shape.name


# ---- the moves as tapes and runs


@pytest.fixture(scope="module")
def inputs() -> replay.Inputs:
    return replay.read_inputs(replace(SMALL, accounts=60, lockstep=0))


@pytest.mark.parametrize("name", ["market-recovers", "market-redemption-stays-4x-slower"])
def test_a_move_is_the_same_tape_at_other_prices_and_goes_on(inputs: replay.Inputs, name: str) -> None:
    incident, tape = inputs.incident, inputs.tape
    shape = next(shape for shape in incident.true_moves.shapes() if shape.name == name)
    moved = incident.moved(inputs.venue, "close", shape)
    to_ns = incident.tape.window.to_ns
    events = moves.moved_events(tape, to_ns, moved)
    said = events["kind"] == EventKind.SOURCE
    for source, path in moved.seconds.items():
        assert events["price"][said & (events["source"] == source)].tolist() == path
    clocks = events["time_ns"][events["kind"] == EventKind.CLOCK]
    assert clocks.tolist() == list(range(moved.from_ns, moved.horizon_ns + 1, units.NS))
    both = [rows[rows["time_ns"] <= to_ns].copy() for rows in (tape.events, events)]
    for rows in both:
        rows["price"][rows["kind"] == EventKind.SOURCE] = 0
    assert both[0].tobytes() == both[1].tobytes(), "the accounts are the same"
    after = events[events["time_ns"] > to_ns]
    assert after["batch_left"].tolist() == list(range(len(moved.seconds), -1, -1)) * (len(after) // (len(moved.seconds) + 1))


def test_what_a_rule_does_not_hear_is_run_once(inputs: replay.Inputs) -> None:
    asked, same = guards.plan(inputs, inputs.incident.true_moves.shapes())
    names = {job.name for job in asked}
    assert len(names) + len(same) == 7 * (3 + 8) + 8 and not names & set(same)
    assert same["own-book/market-redemption-stays"] == "own-book/market-stays"
    assert {same.get(f"own-book/{s.name}/still") for s in inputs.incident.true_moves.shapes() if s.slower == 1} == {
        None,
        "own-book/market-stays/still",
    }
    assert "redemption/market-recovers" in names, "it hears nothing of it, but what is true at the end is asked"
    assert "median-own-dex-redemption/market-redemption-stays" in names


def test_a_shared_run_is_what_its_own_would_have_given(inputs: replay.Inputs) -> None:
    incident = inputs.incident
    venue = incident.with_rule(inputs.venue, "own-twap-5m")
    found = []
    for shape in incident.true_moves.shapes(quick=True):
        moved = incident.moved(inputs.venue, "close", shape)
        events = moves.moved_events(inputs.tape, incident.tape.window.to_ns, moved)
        job = jobs.Job("run", venue, inputs.tape.meta.start_ns, events, [], moved.horizon_ns, False, {1: 0})
        ran = jobs.run_job("engine", job)
        found.append((ran.digest, ran.flows, ran.treasury_loss, ran.hidden_shortfall))
    assert found[0] == found[1] and found[0][2] != 0


def test_twins_are_equal_on_a_move(inputs: replay.Inputs) -> None:
    incident = inputs.incident
    tape = incident_tape(incident, inputs.venue, accounts=12)
    moved = incident.moved(inputs.venue, "close", STAYS)
    events = moves.moved_events(tape, incident.tape.window.to_ns, moved)
    venue = incident.with_rule(inputs.venue, "median-own-dex-redemption")
    job = jobs.Job("move", venue, tape.meta.start_ns, events, [], moved.horizon_ns, False, {1: 0})
    assert jobs.compare_twins(job).difference is None
    assert jobs.run_job("engine", job).forced.lots.sum() > 0, "a move that closes something"


# ---- JSON, folder, page, command


def test_the_schema_in_the_repository_is_that_of_the_answer(done: Done) -> None:
    assert guards.SCHEMA.read_text(encoding="utf-8") == guards.schema(), "run `python -m riskbed.guards`"
    tree = json.loads(done.answer.model_dump_json())
    assert guards.Guards.model_validate(tree) == done.answer
    assert set(tree) == set(json.loads(guards.schema())["required"])


def test_the_folder_has_the_answer_a_table_and_a_page(done: Done) -> None:
    folder = Path(done.answer.run_folder)
    assert {path.name for path in folder.iterdir()} == {"run.json", "guards.parquet", "report.html"}
    assert json.loads((folder / "run.json").read_text()) == json.loads(done.answer.model_dump_json())
    rows = pq.read_table(folder / "guards.parquet").to_pylist()
    assert [(row["guard"], row["shape"]) for row in rows] == [
        (guard.name, move.shape) for guard in done.answer.guards for move in guard.moves
    ]
    for row, move in zip(rows, (move for guard in done.answer.guards for move in guard.moves), strict=True):
        assert f"{row['of_the_move_spared']:.8f}" == move.of_the_move.spared and row["added_bp"] == move.added_bp


def test_the_page_says_the_verdicts_and_fetches_nothing(done: Done) -> None:
    text = (Path(done.answer.run_folder) / "report.html").read_text(encoding="utf-8")
    reader, drawn = Reader(text), figures(text)
    words = " ".join(" ".join(reader.words).split())
    assert reader.fetched == [] and reader.scripts[-1].endswith(': guards"; });')
    for guard in done.answer.guards:
        assert f"{guard.title} {guard.verdict} {guard.why}" in words
    for line in (done.answer.token, *(shape.title for shape in done.answer.shapes), *done.answer.unknowns):
        assert " ".join(line.split()) in words
    assert set(drawn) == {"trade", "shapes"} <= set(reader.ids)
    points = {trace["name"]: (trace["x"], trace["y"]) for trace in drawn["trade"]["data"]}
    assert points["redemption: hides"] == ([0], [100]) and len(points) == 7
    assert min(drawn["shapes"]["data"][0]["y"]) == 0.6651


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "riskbed.cli", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "7"}, capture_output=True, text=True)


def test_the_command_prints_verdicts_then_shapes_and_its_token_reproduces_it(tmp_path: Path) -> None:
    run = command("guards", INCIDENT, "--quick", "--accounts", 60, "--seed", 3, "--out", tmp_path)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    lines = run.stdout.splitlines()
    line, _, digests = lines[-1].partition("  # ")
    titles = [
        i for i, text in enumerate(lines) if text.startswith(("Guards:", "market only, stays,", "market + redemption, stays,"))
    ]
    assert len(titles) == 3 and "Not known" in lines
    answer = json.loads(next(tmp_path.glob("*/run.json")).read_text())
    for guard in answer["guards"]:
        (row,) = [text for text in lines[titles[0] : titles[1]] if text.startswith(f" {guard['title']}  ")]
        assert row.rstrip().endswith(guard["verdict"] or "not judged")
    again = command(*line.split()[1:], "--json", "--no-report", "--out", tmp_path / "again")
    assert (
        digests
        == f"tape {answer['inputs']['tape']} venue {answer['inputs']['venue']} outcomes {json.loads(again.stdout)['digest']}"
    )
    assert not list((tmp_path / "again").glob("*/report.html"))


def test_help_names_every_option() -> None:
    said = command("guards", "--help").stdout
    assert [name for name in "--quick --seed --accounts --variant --out --json --no-report".split() if name not in said] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"incident": None}, "no incident"),
        ({"incident": "2025-10-10-B"}, "there is no incident named"),
        ({"variant": "open"}, "'open' is not a variant"),
        ({"accounts": 61}, "61 accounts"),
        ({"tape": Path("mine.parquet")}, "guards are judged on an incident"),
    ],
)
def test_bad_input_is_said_before_anything_runs(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        guards.guards(replace(SMALL, out=tmp_path / "runs", **changes))
    assert not (tmp_path / "runs").exists()


def test_an_incident_without_moves_is_refused_and_its_replay_has_no_move(tmp_path: Path) -> None:
    text = load.find("incident", INCIDENT).read_text()
    start, end = text.index("true_moves:"), text.index("judged:")
    mine = tmp_path / "mine.yaml"
    mine.write_text(text[:start] + text[end:])
    options = replace(SMALL, incident=str(mine), accounts=60, lockstep=0, report=False, out=tmp_path / "runs")
    with pytest.raises(SpecError, match="has no true_moves"):
        guards.guards(options)
    assert {rule.true_move for rule in replay.replay(options).answer.rules} == {None}


def test_a_run_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def fail(twin: str, job: jobs.Job) -> jobs.Ran:
        ran.append(job.name)
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(jobs, "run_job", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        guards.guards(replace(SMALL, accounts=60, out=tmp_path / "runs"), quick=True)
    assert not (tmp_path / "runs").exists() and len(ran) <= 2 * jobs.WORKERS, "what has not begun is left out"
