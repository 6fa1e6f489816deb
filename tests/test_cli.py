"""The command line as a shell sees it: exit codes, one line on stderr, results on stdout, nothing heavy before it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from riskbed import listing
from specs import load
from specs.tape import EVENT, EventKind, Meta, Tape

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"numpy", "pyarrow", "pydantic", "plotly", "ruamel", "sortedcontainers", "engine", "rich"}


def python(code: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


MAIN = "import sys; sys.argv[0] = 'riskbed'; from riskbed.cli import main; main()"


def riskbed(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return python(MAIN, *arguments, cwd=cwd)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_asking_for_help_imports_nothing_heavy(argument: str) -> None:
    done = python("import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); " + MAIN, argument)
    assert done.returncode == 0 and "riskbed" in done.stdout
    assert {name.partition(".")[0] for name in done.stderr.split()} & HEAVY == set()


OPTIONS = "--seed --accounts --variant --tape --venue --plan --fault --no-fault --out --lockstep --sample --json --no-report"


def test_help_names_every_option() -> None:
    said = riskbed("replay", "--help").stdout
    assert [option for option in OPTIONS.split() if option not in said] == []


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("incidents", "2025-10-10-binance-usde  Binance prices USDE collateral off its own book, 10 October 2025"),
        ("venues", "binance-um-2025-10-10  Binance USD-M, BTCUSDT with USDE collateral, 10 October 2025"),
    ],
)
def test_what_is_packaged_is_listed(command: str, line: str) -> None:
    done = riskbed(command)
    assert done.returncode == 0 and line in done.stdout.splitlines()


@pytest.mark.parametrize(("command", "kind"), [("incidents", "incident"), ("venues", "venue")])
def test_what_is_packaged_is_listed_in_json(command: str, kind: str) -> None:
    found = listing.Listing.model_validate_json(riskbed(command, "--json").stdout)
    assert found == listing.listing(kind) and [row.name for row in found.rows] == list(load.names(kind))
    assert listing.SCHEMA.read_text(encoding="utf-8") == listing.schema(), "run `python -m riskbed.listing`"


@pytest.mark.parametrize("arguments", [["incidents"], ["venues", "--json"], ["compare", "--help"]])
def test_a_closed_pipe_ends_it_quietly(arguments: list[str]) -> None:
    """As `| head -1` does, and even before a word was read."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "riskbed", *arguments]
    done = subprocess.run(line, cwd=ROOT, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_missing_file_suggests_only_what_is_near(tmp_path: Path) -> None:
    for name in ("calm.yaml", "book.yaml"):
        (tmp_path / name).write_text("")
    for asked, said in (("clam.yaml", "did you mean 'calm.yaml'?"), ("crash.yaml", "a path from the current folder")):
        done = riskbed("replay", "2025-10-10-binance-usde", "--plan", asked, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, f"riskbed: {asked}: no such file ({said})\n")


def bad_files(folder: Path) -> None:
    """Write a file for every class of bad data."""
    events = np.zeros(3, dtype=EVENT)
    events["kind"], events["time_ns"] = EventKind.CLOCK, [0, 10**9, 2 * 10**9]
    tape = Tape(events, Meta(venue="binance-um-2025-10-10", start_ns=0, horizon_ns=2 * 10**9))
    tape.write(folder / "good.parquet")
    whole = (folder / "good.parquet").read_bytes()
    (folder / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    tape.events["time_ns"][1] = 3 * 10**9
    tape.write(folder / "back.parquet")
    (folder / "venue.yaml").write_text("schema_version: 1\nname: x\nnam: y\n")
    (folder / "plan.yaml").write_text("schema_version: 1\nname: x\nfaults:\n  - {id: a, kind: stal}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["replay"], 2, "riskbed: nothing to replay"),
        (["replay", "no-such-incident"], 2, "riskbed: there is no incident named 'no-such-incident'"),
        (["replay", "2025-10-10-binance-usde", "--variant", "open"], 2, "riskbed: 'open' is not a variant"),
        (["replay", "2025-10-10-binance-usde", "--venue", "venue.yaml"], 2, "riskbed: venue.yaml:"),
        (["replay", "2025-10-10-binance-usde", "--plan", "plan.yaml"], 2, "riskbed: plan.yaml:4:"),
        (["replay", "2025-10-10-binance-usde", "--fault", "x"], 2, "riskbed: there is no fault 'x'"),
        (["replay", "--tape", "torn.parquet"], 3, "riskbed: torn.parquet: "),
        (["replay", "--tape", "absent.parquet"], 3, "riskbed: absent.parquet: no such file"),
        (["replay", "--tape", "back.parquet"], 3, "riskbed: back.parquet: event 2: time goes back"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    bad_files(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = riskbed(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [["replay", "--seed", "one"], ["replay", "--seed", "-1"], ["replay", "--nonsense"], ["reply"], ["replay", "a", "b"]],
)
def test_a_usage_error_is_exit_2(arguments: list[str]) -> None:
    done = riskbed(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and "Usage: " in done.stderr


RAISING = """
import sys
sys.argv = ["riskbed", "replay", "x"]
import riskbed.replay
from specs.errors import *
def fail(*_):
    raise {error}
riskbed.replay.replay = fail
from riskbed.cli import main
main()
"""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("LawBroken('L2', 7, 'assets leak')", 1, "riskbed: law L2 is broken after event 7: assets leak"),
        ("SpecError('wrong', where='a.yaml:1:2')", 2, "riskbed: a.yaml:1:2: wrong"),
        ("TapeError('torn', event=3)", 3, "riskbed: event 3: torn"),
        ("TwinsDiffer(5, 'price', 1, 2)", 4, "riskbed: twins differ at event 5 in price: model 1, engine 2"),
        ("RiskbedError('no engine')", 4, "riskbed: no engine"),
        ("AssertionError('money leaks')", 4, "riskbed: our own fault: AssertionError: money leaks"),
        ("MemoryError()", 4, "riskbed: our own fault: MemoryError: "),
    ],
)
def test_every_error_has_its_exit_code(error: str, code: int, said: str) -> None:
    done = python(RAISING.format(error=error))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1] == said.rstrip("\n")
    assert ("Traceback" in done.stderr) == ("our own fault" in said), "a traceback only where it is ours to mend"


def test_tables_on_stdout_and_the_token_last(tmp_path: Path) -> None:
    done = riskbed("replay", "2025-10-10-binance-usde", "--accounts", 60, "--lockstep", 0, "--out", tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    (folder,) = tmp_path.iterdir()
    answer = json.loads((folder / "run.json").read_text())
    assert lines[-1] == answer["token"] and lines[-4:-2] == [f"Run folder: {folder}", f"Report: {folder}/report.html"]
    for title in ("Forced closes", "Make-whole at", "Index rules", "Not recorded", "Assumed", "Not known", "Twins not compared"):
        assert any(line.startswith(title) for line in lines), title
    for rule in answer["rules"]:
        assert any(line.startswith(f" {rule['title']} ") for line in lines), rule["title"]
    erroneous = next(line for line in lines if line.startswith(" erroneous "))
    assert f"{answer['labels']['erroneous']['lots']:,}" in erroneous.split()


def test_json_is_one_object_and_no_report_leaves_it_out(tmp_path: Path) -> None:
    done = riskbed(
        "replay", "2025-10-10-binance-usde", "--accounts", 60, "--lockstep", 0, "--json", "--no-report", "--out", tmp_path
    )
    assert done.returncode == 0 and done.stderr == ""
    answer = json.loads(done.stdout)
    assert {"digest", "events", "twins", "labels", "make_whole", "rules", "unknowns", "token"} <= set(answer)
    assert not list(tmp_path.glob("*/report.html"))
