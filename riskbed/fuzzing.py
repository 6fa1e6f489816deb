"""`riskbed fuzz` and `riskbed shrink` as a person sees them: tables on stdout, progress and findings on stderr, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from riskbed import interrupt
from specs.errors import SpecError

try:
    from fuzz import campaign as campaigns
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    raise SpecError("fuzzing needs hypothesis, which is not installed", remedy="pip install hypothesis") from None

if TYPE_CHECKING:
    from rich.console import Console

    from fuzz.campaign import Killed, Kills, Progress, Summary

MINUTES = 1.0  # of a campaign that nothing else bounds
SHRINK_EVENTS_MAX = 2_000_000  # of `riskbed shrink`, which is bounded by its minutes


def _say(line: str) -> None:
    """Print a line on stderr, over a progress line if there is one."""
    print(("\r\x1b[K" if sys.stderr.isatty() else "") + f"riskbed: {line}", file=sys.stderr)


def _teller(minutes: float | None, cases: int | None) -> Callable[[Progress], None]:
    """Return what shows progress: one line on stderr that is written over; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        return lambda progress: None
    bounds = ([] if minutes is None else [f"{minutes:g} min"]) + ([] if cases is None else [f"{cases:,} cases"])
    until = f" of {' or '.join(bounds)}"

    def tell(progress: Progress) -> None:
        rate = progress.events / max(progress.seconds, 1e-9)
        line = f"{progress.seconds:,.0f} s{until}: {progress.cases:,} cases, {rate:,.0f} events/s, {progress.findings} findings"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    return tell


def campaign(minutes: float | None, cases: int | None, seed: int, out: Path, planted: int, alone: bool, json: bool) -> int:
    """Run a campaign, print its summary, also when it was interrupted; return its exit code."""
    minutes = MINUTES if minutes is None and cases is None else minutes
    options = campaigns.Options(
        seed=seed,
        seconds=None if minutes is None else minutes * 60,
        cases=cases,
        out=out,
        setup=campaigns.Setup(right=None if alone else "engine", planted=planted),
    )
    summary = campaigns.Campaign(options, _teller(minutes, cases), _say, interrupt.check).run()
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(summary.model_dump_json(indent=2)) if json else show(summary)
    return summary.exit_code


def replay(folder: Path, json: bool = False) -> int:
    """Run a finding again, say how it fails; return the exit code of that failure, 0 if it passes."""
    row, failure = campaigns.replay(folder)
    if json:
        answer = campaigns.again(row, failure)
        print(answer.model_dump_json(indent=2))
        return answer.exit_code
    if failure is None:
        print(f"passes now: '{row.signature}' on {row.events} events")
        return 0
    print(failure.text)
    if not failure.same(row.found):
        print(f"it was found as '{row.signature}', and fails otherwise now")
    return failure.exit_code


def shrink(folder: Path, minutes: float, json: bool = False) -> int:
    """Shrink a finding further, say what came of it and how it is replayed."""
    row, shrunk = campaigns.shrink_further(folder, SHRINK_EVENTS_MAX, minutes * 60)
    if json:
        print(campaigns.Smaller(schema_version=1, finding=row, trials=shrunk.trials).model_dump_json(indent=2))
        return 0
    end = "no single step makes it smaller" if shrunk.minimal else "the bound came first: run it again for more"
    print(f"{row.events_first} events found, {row.events} now, {shrunk.trials:,} trials; {end}")
    print(row.failure.text)
    print(row.token)
    return 0


def mutants(seed: int, cases_max: int, json: bool) -> int:
    """Print how many cases find each planted bug; return 1 if one is not found by the twins and the laws together."""

    def tell(row: Killed) -> None:
        interrupt.check()
        if sys.stderr.isatty():
            _say(f"planted bug {row.planted}: {row.lockstep.failure or 'not found'}")

    table = campaigns.kills(seed, cases_max, tell)
    print(table.model_dump_json(indent=2)) if json else _show_kills(table)
    return int(any(row.lockstep.cases is None for row in table.mutants))


# ---- tables


def _console() -> Console:
    from rich.console import Console

    from riskbed.cli import PLAIN_WIDTH

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def show(summary: Summary) -> None:
    """Print a campaign's summary: what ran, what was reached, what was found, tokens last."""
    from riskbed.cli import _headed, _table

    console = _console()
    console.print(
        f"{summary.cases:,} cases, {summary.events:,} events of seed {summary.seed} in {summary.seconds:,.0f} s "
        f"({summary.cases_per_s:.1f} cases/s, {summary.events_per_s:,.0f} events/s), stopped by {summary.stopped_by}"
    )
    parts = [f"{name} {row.cases:,} cases and {row.events:,} events" for name, row in summary.sources.items()]
    console.print(f"{', '.join(parts)}; corpus {summary.corpus}", style="dim")
    table = _table("law", "events checked", "cases that broke it")
    for name, law in summary.laws.items():
        table.add_row(name, f"{law.events:,}", f"{law.broken:,}")
    _headed(console, "Laws", table)
    table = _table("seam acted, stage entered", "times")
    for name, times in summary.visits.items():
        table.add_row(name, f"{times:,}" if times else "never")
    _headed(console, "Visits", table)
    _show_funnel(console, summary)
    twins = f"twins differ in {summary.differences:,} cases, {summary.crashes:,} crashes"
    console.print(f"\n{len(summary.findings)} findings; {twins}")
    for found in summary.findings:
        note = ", known before" if found.known else ""
        print(f"{found.signature}: {found.cases:,} cases, first {found.first}, {found.events} events{note}")
        print(f"  {found.token}")


FUNNEL = ("end", "stage", "kind")  # what the table shows; of the rest only what is rare
RARE = 0.01


def _show_funnel(console: Console, summary: Summary) -> None:
    from riskbed.cli import _headed, _table

    table = _table("reached", "cases", "share")
    for name, row in summary.funnel.items():
        if name.partition(".")[0] in FUNNEL:
            table.add_row(name, f"{row.cases:,}" if row.cases else "none", f"{row.share:.1%}")
    _headed(console, f"Funnel: of {summary.passed:,} cases that passed, those that reach it", table)
    rest = {name: row.cases for name, row in summary.funnel.items() if row.share < RARE}
    none, rare = ([name for name, cases in rest.items() if bool(cases) is some] for some in (False, True))
    console.print(f"Reached by no case: {', '.join(none) or 'nothing is left'}", markup=False)
    console.print(f"By less than {RARE:.0%}: {', '.join(rare) or 'nothing'}", markup=False)
    if summary.unvisited:
        console.print(f"Weak: never visited {', '.join(summary.unvisited)}", style="bold", markup=False)


def _show_kills(table: Kills) -> None:
    from riskbed.cli import _headed, _table

    shown = _table("id", "found as", "by the laws alone", "cases", "s", "cases, alone", "s, alone", text=3)
    for row in table.mutants:
        both = (row.lockstep, row.alone)
        cases = ["none" if kill.cases is None else f"{kill.cases:,}" for kill in both]
        seconds = [f"{kill.seconds:.1f}" for kill in both]
        shown.add_row(str(row.planted), *(kill.failure for kill in both), cases[0], seconds[0], cases[1], seconds[1])
    _headed(_console(), f"First case that fails, seed {table.seed}, at most {table.cases_max:,} cases", shown)
    for row in table.mutants:
        print(f"{row.planted:3} {row.bug}")
