"""The house stands: who imports whom, one layout of the records, builds that cannot be mixed up, one clear line when it can't."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import records
from specs import tape

ROOT = Path(__file__).resolve().parent.parent
MODE = records.BUILD["mode"]

# --- who may import whom -------------------------------------------------------------------------------------------

ROOMS = ("specs", "engine", "fuzz", "riskbed", "tests", "bench")
MAY = {
    "specs": {"specs"},
    "engine": {"engine"},
    "engine/compile.py": {"engine", "specs"},
    "fuzz": {"fuzz", "specs", "engine"},
    "riskbed": {"riskbed", "fuzz", "specs", "engine"},
}
# A run is a pure function: no clock, no die, no file. The engine does not know who checks its rule books or its tests.
NEVER = {
    "specs/model": {"random", "secrets", "time", "pathlib", "io", "os"},
    "engine": {"random", "secrets", "time", "datetime", "pathlib", "io", "os", "pydantic", "pytest", "pyarrow", "hypothesis"},
}
CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w., ]+))", re.MULTILINE)


def imported(path: Path) -> set[str]:
    """Return the first names of everything a .py imports, or a .pyx or .pxd imports or cimports."""
    text = path.read_text()
    if path.suffix == ".py":
        nodes = list(ast.walk(ast.parse(text)))
        modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    else:
        modules = [name for found in CYTHON_IMPORT.findall(text) for name in (found[0] or found[1]).split(",")]
    return {module.split()[0].partition(".")[0] for module in modules if module.strip()}


def trespasses(root: Path) -> list[str]:
    """Return 'file imports name' for every import that the house does not allow."""
    found = []
    for room in ("specs", "engine", "fuzz", "riskbed"):
        for path in sorted(path for path in (root / room).rglob("*") if path.suffix in (".py", ".pyx", ".pxd")):
            name = path.relative_to(root).as_posix()
            never = set().union(*(names for prefix, names in NEVER.items() if name.startswith(prefix + "/")))
            forbidden = set(ROOMS) - MAY.get(name, MAY[room]) | never
            found += [f"{name} imports {other}" for other in sorted(imported(path) & forbidden)]
    return found


def test_nobody_imports_what_the_house_forbids() -> None:
    assert trespasses(ROOT) == []


@pytest.mark.parametrize(
    ("name", "text", "trespass"),
    [
        ("specs/laws.py", "def check():\n    from engine.exchange import Exchange\n", "engine"),
        ("specs/load.py", "import riskbed.cli as cli\n", "riskbed"),
        ("specs/model/fund.py", "import time\n", "time"),
        ("engine/fund.py", "from specs import tape\n", "specs"),
        ("engine/fund.pyx", "from engine.money cimport *\nfrom specs.tape import Event\n", "specs"),
        ("engine/fund.pxd", "cimport fuzz.overlay\n", "fuzz"),
        ("engine/fund.pyx", "import numpy as np, random\n", "random"),
        ("fuzz/overlay.py", "import tests\n", "tests"),
        ("riskbed/cli.py", "from bench import matching\n", "bench"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, name: str, text: str, trespass: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert trespasses(tmp_path) == [f"{name} imports {trespass}"]


def test_the_border_may_be_crossed_by_compile_alone(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "compile.py").write_text("from specs import rules\n")
    assert trespasses(tmp_path) == []


HEAVY = {"numpy", "pyarrow", "pydantic", "plotly", "ruamel", "sortedcontainers", "engine"}


def test_help_imports_nothing_heavy() -> None:
    code = """if True:
        import sys
        sys.argv = ["riskbed", "--help"]
        from riskbed.cli import main
        try:
            status = main()
        except SystemExit as stop:
            status = stop.code
        print(*sys.modules, file=sys.stderr)
        sys.exit(status)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "replay" in done.stdout
    assert {name.partition(".")[0] for name in done.stderr.split()} & HEAVY == set()


# --- one layout ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), [("Event", tape.EVENT), ("Outcome", tape.OUTCOME)])
def test_a_record_is_the_same_in_c_and_in_numpy(name: str, dtype) -> None:
    assert records.SIZES[name] == dtype.itemsize
    assert records.LAYOUT[name] == [(field, dtype.fields[field][1], dtype[field].itemsize) for field in dtype.names]


def test_an_enum_is_the_same_in_c_and_in_python() -> None:
    enums = {name: kind for name, kind in vars(tape).items() if isinstance(kind, type) and issubclass(kind, tape.IntEnum)}
    del enums["IntEnum"]
    assert {name: {member.name: member.value for member in kind} for name, kind in enums.items()} == records.ENUMS
    assert {name: getattr(tape, name) for name in records.CONSTANTS} == records.CONSTANTS


# --- builds that cannot be mixed up --------------------------------------------------------------------------------


def test_extensions_lie_in_the_tree_of_their_mode_and_nowhere_else() -> None:
    assert Path(records.__file__).parent == ROOT / "build" / MODE / "lib" / "engine"
    wanted = {path.stem for path in (ROOT / "engine").glob("*.pyx")} | ({"canary"} if MODE == "sanitize" else set())
    assert {path.name.partition(".")[0] for path in Path(records.__file__).parent.glob("*.so")} == wanted
    assert list((ROOT / "engine").glob("*.so")) == []


def test_only_a_release_build_is_without_planted_bugs() -> None:
    assert records.BUILD["checked"] == (MODE != "release")


@pytest.mark.checked
def test_a_checked_build_has_planted_bugs() -> None:
    assert records.BUILD["checked"] and MODE in ("checked", "sanitize")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a small checkout: the sources that the digest is of, our conftest, and this Python's own build of the engine."""
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    return tmp_path


def verdict(folder: Path, text: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and the words of pytest on one test file, in an environment without ours."""
    (folder / "tests" / "test_one.py").write_text("import pytest\n\n" + text)
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "RISKBED_SHARED", "RISKBED_EXPECT")}
    clean = {name: value for name, value in clean.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


PASS = "def test_one():\n    assert True\n"


def test_the_right_build_is_tested(elsewhere: Path) -> None:
    code, said = verdict(elsewhere, PASS, RISKBED_EXPECT=MODE)
    assert code == 0 and "1 passed" in said, said


@pytest.mark.parametrize("other", sorted({"release", "checked", "sanitize"} - {MODE}))
def test_the_build_of_another_mode_is_refused(elsewhere: Path, other: str) -> None:
    code, said = verdict(elsewhere, PASS, RISKBED_EXPECT=other)
    assert code == 2 and f"this is the {MODE} build and RISKBED_EXPECT is {other}" in said, said


@pytest.mark.parametrize("name", ["records.pyx", "records.pxd", "build.h"])
def test_a_build_of_other_sources_is_refused(elsewhere: Path, name: str) -> None:
    path = elsewhere / "engine" / name
    path.write_text(path.read_text() + "\n")
    code, said = verdict(elsewhere, PASS, RISKBED_EXPECT=MODE)
    assert code == 2 and f"the {MODE} build is of other sources" in said, said


def test_a_renamed_source_is_another_digest(elsewhere: Path) -> None:
    digest = runpy.run_path(str(ROOT / "setup.py"))["digest"]
    assert digest(elsewhere) == digest(ROOT) == records.BUILD["digest"]
    (elsewhere / "engine" / "records.pxd").rename(elsewhere / "engine" / "tape.pxd")
    assert digest(elsewhere) != digest(ROOT)


# --- no skip goes unseen -------------------------------------------------------------------------------------------

MARKED = '@pytest.mark.needs_shared("data/absent.csv")\ndef test_one(shared):\n    assert shared\n'


@pytest.mark.parametrize(
    ("text", "ci", "there", "code", "said"),
    [
        (MARKED, "", False, 0, "needs ../shared/data/absent.csv"),
        (MARKED, "", True, 0, "needs ../shared/data/absent.csv"),
        (MARKED, "true", False, 0, "needs ../shared/data/absent.csv"),
        (MARKED, "true", True, 1, "skipped in CI though shared is there: "),
        ("def test_one():\n    pytest.skip('why not')\n", "", True, 0, "why not"),
        ("def test_one():\n    pytest.skip('why not')\n", "true", False, 1, "without the marker needs_shared: "),
        ("@pytest.mark.xfail\ndef test_one():\n    assert False\n", "true", False, 1, "without the marker needs_shared"),
        ("pytest.skip('all of it', allow_module_level=True)\n", "true", False, 2, "without the marker needs_shared: "),
    ],
)
def test_a_skip_is_by_name_or_fails_in_ci(elsewhere: Path, text: str, ci: str, there: bool, code: int, said: str) -> None:
    folder = elsewhere / "shared"
    if there:
        folder.mkdir()
    found, words = verdict(elsewhere, text, RISKBED_EXPECT=MODE, CI=ci, RISKBED_SHARED=str(folder))
    assert found == code and said in words, words


# --- one clear line ------------------------------------------------------------------------------------------------

RUN = "import runpy, sys, types; {}; sys.argv = ['setup.py', 'build_ext']; runpy.run_path('setup.py', run_name='__main__')"
OLD_PYTHON = RUN.format("sys.version_info = (3, 10, 4, 'final', 0)")
OLD_SETUPTOOLS = RUN.format("sys.modules['setuptools'] = types.SimpleNamespace(__version__='65.5.0')")
PLAIN = RUN.format("0")


@pytest.mark.parametrize(
    ("code", "environment", "said"),
    [
        (OLD_PYTHON, {}, "riskbed needs Python 3.11 or later, this is 3.10.4; "),
        (OLD_SETUPTOOLS, {}, "riskbed needs setuptools 77 or later, this is 65.5.0; "),
        (PLAIN, {"CC": "no-such-compiler -pthread"}, "riskbed needs a C compiler, 'no-such-compiler' is not there; "),
        (PLAIN, {"RISKBED_BUILD": "debug"}, "RISKBED_BUILD is 'debug'; it is one of release, checked, sanitize"),
    ],
    ids=["old Python", "old setuptools", "no compiler", "unknown mode"],
)
def test_what_is_missing_is_one_line_and_exit_2(code: str, environment: dict[str, str], said: str) -> None:
    known = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=known, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.startswith(said) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["PYTHON=no-such-python"], "riskbed needs Python 3.11 or later, no-such-python does not run; "),
        (["CC=no-such-compiler"], "riskbed needs a C compiler, 'no-such-compiler' is not there; "),
    ],
    ids=["no Python", "no compiler"],
)
def test_make_says_it_in_one_line_too(arguments: list[str], said: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", "build", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == "" and said in done.stderr and done.stderr.count("\n") == 1


# --- canaries ------------------------------------------------------------------------------------------------------


@pytest.mark.sanitize
@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("overflow(canary.INT64_LAST)", "signed integer overflow"),
        ("heap(16, 16)", "heap-buffer-overflow"),
    ],
)
def test_a_canary_dies(call: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"from engine import canary; canary.{call}"], capture_output=True, text=True)
    assert done.returncode != 0 and said in done.stderr, done.stderr


@pytest.mark.sanitize
def test_a_canary_lives_where_nothing_is_wrong() -> None:
    from engine import canary

    assert canary.overflow(1) == 2 and canary.heap(16, 15) == 7
