"""What every test may rely on: the right build of the engine, ../shared by name, and that no skip goes unseen.

Markers
    needs_shared(*paths)  skips by name where a path below ../shared (or $RISKBED_SHARED) is absent
    checked               needs planted bugs: deselected on the release build, run alone on the checked one
    sanitize              needs the sanitizers: deselected elsewhere
    lockstep              compares the twins: run again by `make sanitize`
    long                  takes many seconds: left to `make long`, which `make check-all` runs

With $CI set, a skip without `needs_shared`, or with it where ../shared is there, is a failure.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("RISKBED_SHARED") or ROOT.parent / "shared")
CI = bool(os.environ.get("CI"))
MARKERS = [line.strip() for line in __doc__.split("Markers\n")[1].split("\n\n")[0].splitlines()]

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if CI else "local")


def wrong_build() -> str | None:
    """Return one line on why this engine must not be tested, or None."""
    try:
        from engine.records import BUILD
    except ImportError as error:
        return f"the engine does not import ({error}): run `make build`, and this Python from .venv/bin"
    expected = os.environ.get("RISKBED_EXPECT", "release")
    mode, built = BUILD["mode"], BUILD["digest"]
    if mode != expected:
        return f"this is the {mode} build and RISKBED_EXPECT is {expected}: run the tests by `make test`"
    digest = runpy.run_path(str(ROOT / "setup.py"))["digest"](ROOT)
    if built != digest:
        return f"the {mode} build is of other sources ({built}, not {digest}): run `make build-{mode}`"
    return None


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", ": ".join(line.split(maxsplit=1)))
    problem = wrong_build()
    if problem:
        pytest.exit(problem, returncode=2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from engine.records import BUILD

    absent = {marker for marker, there in (("checked", BUILD["checked"]), ("sanitize", BUILD["mode"] == "sanitize")) if not there}
    unfit = [item for item in items if any(item.get_closest_marker(marker) for marker in absent)]
    if unfit:
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if item not in unfit]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_shared"):
        for path in marker.args or ("README.md",):
            if not (SHARED / path).exists():
                pytest.skip(f"needs ../shared/{path}")


def unseen_skip(report: pytest.TestReport | pytest.CollectReport, needs_shared: bool) -> str | None:
    """Return why this report may not stand in CI, or None."""
    if not CI or not report.skipped:
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    if not needs_shared:
        return f"skipped in CI without the marker needs_shared: {reason}"
    return f"skipped in CI though {SHARED.name} is there: {reason}" if SHARED.is_dir() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    problem = unseen_skip(report, item.get_closest_marker("needs_shared") is not None)
    if problem:
        report.outcome, report.longrepr = "failed", problem
        vars(report).pop("wasxfail", None)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    problem = unseen_skip(report, needs_shared=False)  # a whole module that skips itself
    if problem:
        report.outcome, report.longrepr = "failed", problem
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return ../shared. The test that asks for it is marked needs_shared with the paths it reads."""
    assert SHARED.is_dir(), "mark this test needs_shared"
    return SHARED
