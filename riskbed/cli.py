"""The command line: `riskbed replay`, `fuzz`, `shrink`, and what is packaged. Results on stdout, progress and errors on stderr.

Exit codes: 0 fine; 1 a law or a regression failed; 2 usage or spec error; 3 bad data; 4 our own fault. Nothing heavy is imported
before a command needs it: `riskbed --help` costs a few hundredths of a second.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from riskbed import interrupt
from specs.errors import RiskbedError, SpecError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from riskbed.conform.answer import Conformance
    from riskbed.guards import Guards
    from riskbed.pair_result import PairResult
    from riskbed.positions import Positions
    from riskbed.replay import Replay
    from riskbed.result import Result

PairRun = Enum("PairRun", {name: name for name in ("none", "A", "B", "A+B")}, type=str)  # specs.pair.RUNS, not imported here
Run = Enum("Run", {name: name for name in ("broken", "true_lower", "true_upper")}, type=str)  # riskbed.runs.RUNS
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
PLAIN_WIDTH = 160  # columns of a table that no terminal bounds

app = typer.Typer(
    name="riskbed",
    help="A testbed for the risk engine of a perpetual-futures exchange.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> int:
    """Run the command line; exit with the code that the error's type carries."""
    interrupt.listen()
    sys.stdout = _Out(sys.stdout)
    try:
        try:
            app()
        finally:
            interrupt.check()
            sys.stdout.flush()
    except RiskbedError as error:
        print(f"riskbed: {error}", file=sys.stderr)
        return_code = error.exit_code
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(f"riskbed: our own fault: {type(error).__name__}: {error}", file=sys.stderr)
        return_code = 4
    else:
        return 0
    sys.exit(return_code)


class _Out:
    """stdout; when whoever reads it has enough (`| head -1`), leave quietly as other commands do, with 128 + SIGPIPE."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except BrokenPipeError:
            self._closed()

    def flush(self) -> None:
        try:
            self._file.flush()
        except BrokenPipeError:
            self._closed()

    def _closed(self) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._file.fileno())  # for what is still in the buffer
        sys.exit(141)


def _version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        try:
            print(f"riskbed {metadata.version('riskbed')}")
        except metadata.PackageNotFoundError:
            print("riskbed, not installed: run from its own folder")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def incidents(json: Json = False) -> None:
    """List the incidents that are packaged, by the names that `replay` takes."""
    _list("incident", json)


@app.command()
def venues(json: Json = False) -> None:
    """List the rule books that are packaged."""
    _list("venue", json)


def _list(kind: str, json: bool) -> None:
    from riskbed.listing import listing

    found = listing(kind)
    if json:
        print(found.model_dump_json(indent=2))
        return
    for row in found.rows:
        print(f"{row.name}  {row.title}".rstrip())


@app.command()
def replay(
    incident: Annotated[
        str | None, typer.Argument(help="A packaged incident (see `riskbed incidents`) or the path of a YAML file.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the synthetic accounts; the incident's if not given.")] = None,
    accounts: Annotated[int | None, typer.Option(min=2, help="How many synthetic accounts; the incident's if not given.")] = None,
    variant: Annotated[str, typer.Option(help="Which reading of the one-minute bars: close or low.")] = "close",
    tape: Annotated[
        Path | None, typer.Option(help="Your own tape (Parquet): broken is the tape with --plan, true is the tape without it.")
    ] = None,
    venue: Annotated[Path | None, typer.Option(help="Your own rule book (YAML).")] = None,
    plan: Annotated[Path | None, typer.Option(help="Your own fault plan (YAML), for the broken run.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="ID", help="Of the plan that has it, only this fault; may be repeated.")
    ] = None,
    no_fault: Annotated[
        list[str] | None, typer.Option("--no-fault", metavar="ID", help="Without this fault; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    lockstep: Annotated[
        int | None,
        typer.Option(
            "--lockstep", "--sample", min=0, metavar="N", help="Run every N-th pair of accounts on both twins: 1 all, 0 none."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave report.html out.")] = False,
) -> None:
    """Run an incident, or your own tape, broken beside true; label every forced close; compare the rules.

    Of a pair of incidents, as 2025-10-10: each alone, both, and neither. What a run leaves is named at its end: a folder with
    report.html.
    """
    from riskbed.replay import Options
    from riskbed.replay import replay as run

    chosen = {} if lockstep is None else {"lockstep": lockstep}
    options = Options(
        incident=incident,
        seed=seed,
        accounts=accounts,
        variant=variant,
        tape=tape,
        venue=venue,
        plan=plan,
        fault=tuple(fault or ()),
        no_fault=tuple(no_fault or ()),
        out=out,
        report=not no_report,
        **chosen,
    )
    from riskbed import pair, pair_tables

    both = incident is not None and tape is None and pair.names_pair(incident)
    if both and lockstep is None:
        options = dataclasses.replace(options, lockstep=0)
    with _Progress() as progress:
        done = (pair.replay if both else run)(options, progress)
    if json:
        print(done.answer.model_dump_json(indent=2))
    else:
        (pair_tables.show if both else show)(done)
    failed = not both and venue is None and any(fact.verdict == "fails" for fact in done.answer.facts)
    if done.answer.laws.broken or failed:
        raise typer.Exit(1)


@app.command()
def positions(
    incident: Annotated[
        str | None, typer.Argument(help="A packaged incident (see `riskbed incidents`) or the path of a YAML file.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As 2025-10-10T21:15:00Z; the tape's end if not given.")] = None,
    account: Annotated[int | None, typer.Option(min=0, metavar="N", help="Only this account's.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="So many positions at most.")] = 20,
    run: Annotated[Run, typer.Option(help="Which run of the replay.")] = Run.broken,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the synthetic accounts; the incident's if not given.")] = None,
    accounts: Annotated[int | None, typer.Option(min=2, help="How many synthetic accounts; the incident's if not given.")] = None,
    variant: Annotated[str, typer.Option(help="Which reading of the one-minute bars: close or low.")] = "close",
    tape: Annotated[Path | None, typer.Option(help="Your own tape (Parquet).")] = None,
    venue: Annotated[Path | None, typer.Option(help="Your own rule book (YAML).")] = None,
    plan: Annotated[Path | None, typer.Option(help="Your own fault plan (YAML), for the broken run.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Run an incident, or your own tape, up to a time and list the positions nearest to liquidation."""
    from riskbed import positions as listing
    from riskbed.replay import Options

    inputs = Options(incident=incident, seed=seed, accounts=accounts, variant=variant, tape=tape, venue=venue, plan=plan)
    with _Progress() as progress:
        answer = listing.positions(listing.Options(inputs, run.value, at, account, top), progress)
    if json:
        print(answer.model_dump_json(indent=2))
    else:
        from riskbed.tables import show_positions

        show_positions(answer)


@app.command()
def regress(
    suite: Annotated[str, typer.Argument(help="A packaged suite or the path of a YAML file.")] = "core",
    case: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this case; may be repeated.")] = None,
    accept: Annotated[str | None, typer.Option(metavar="REASON", help="Write the baseline anew, and why.")] = None,
    venue: Annotated[
        Path | None, typer.Option(help="Try this rule book where a case names none; only limits fail there.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run a suite of cases against what was accepted of it; exit 1 with what moved and the limits that are broken."""
    from riskbed import regress as regressing

    with _Progress() as progress:
        done = regressing.regress(regressing.Options(suite, tuple(case or ()), accept, venue), progress)
    print(done.model_dump_json(indent=2)) if json else regressing.show(done)
    if not done.passed and done.accepted is None:
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Before: a rule book or a fault plan, packaged or a YAML file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="After: another of the same kind.")],
    incident: Annotated[str | None, typer.Option(help="Compare them on this incident.")] = None,
    tape: Annotated[Path | None, typer.Option(help="Compare them on your own tape (Parquet).")] = None,
    plan: Annotated[str | None, typer.Option(help="The fault plan of both runs, when A and B are rule books.")] = None,
    venue: Annotated[str | None, typer.Option(help="The rule book of both runs, when A and B are plans.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the synthetic accounts; the incident's if not given.")] = None,
    accounts: Annotated[int | None, typer.Option(min=2, help="How many synthetic accounts; the incident's if not given.")] = None,
    variant: Annotated[str, typer.Option(help="Which reading of the one-minute bars: close or low.")] = "close",
    run: Annotated[PairRun | None, typer.Option(help="Of a pair, as 2025-10-10: which of its runs; A+B if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave report.html out.")] = False,
) -> None:
    """Run two rule books, or two fault plans, on the same events: who is hurt, who is spared, who pays, where they part."""
    from riskbed import compare as comparing

    options = comparing.Options(a, b, incident, tape, venue, plan, seed, accounts, variant, run and run.value, out, not no_report)
    with _Progress() as progress:
        done = comparing.compare(options, progress)
    if json:
        print(done.answer.model_dump_json(indent=2))
    else:
        from riskbed.tables import show_compare

        show_compare(done)


@app.command()
def fuzz(
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so long; 1 if --cases is not given either.")] = None,
    cases: Annotated[int | None, typer.Option(min=0, help="Stop after so many cases.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Case k of a seed is the same everywhere.")] = 1,
    out: Annotated[Path, typer.Option(help="Where findings go.")] = Path("findings"),
    replay: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Only run this finding again.")] = None,
    planted: Annotated[
        int, typer.Option("--planted", "--mutant", metavar="ID", min=0, help="Plant this bug in the model, to see it found.")
    ] = 0,
    mutants: Annotated[bool, typer.Option("--mutants", help="Measure for every planted bug how many cases find it.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="The model alone, under the laws: no lockstep.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run made cases on both twins under the laws until told to stop; write what fails, shrunk, with a replay token."""
    from riskbed import fuzzing

    if replay is not None:
        others = {"--mutants": mutants, "--planted": planted, "--alone": alone, "--cases": cases, "--minutes": minutes}
        for name, given in others.items():
            if given:
                raise SpecError(f"{name} with --replay", remedy="a finding brings its own case, twins and planted bug")
        raise typer.Exit(fuzzing.replay(replay, json))
    if mutants:
        for name, given in {"--planted": planted, "--alone": alone, "--minutes": minutes}.items():
            if given:
                raise SpecError(f"{name} with --mutants", remedy="every planted bug is run, with both twins and alone")
        raise typer.Exit(fuzzing.mutants(seed, 500 if cases is None else cases, json))
    raise typer.Exit(fuzzing.campaign(minutes, cases, seed, out, planted, alone, json))


@app.command()
def shrink(
    folder: Annotated[Path, typer.Argument(help="Of a finding: findings/<digest>.")],
    minutes: Annotated[float, typer.Option(min=0, help="At most so long.")] = 10,
    json: Json = False,
) -> None:
    """Make a finding smaller where it lies; say how it is replayed."""
    from riskbed import fuzzing

    raise typer.Exit(fuzzing.shrink(folder, minutes, json))


@app.command()
def vectors(
    path: Annotated[Path, typer.Argument(help="A file of vectors, or a folder of *.yaml files.")],
    kind: Annotated[str | None, typer.Option(help="Only vectors of this kind.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Run published figures, given and expected, on both twins; exit 1 if one fails. What is not modelled is listed."""
    from riskbed.vectors import run as running

    with _Progress() as progress:
        answer = running.run(path, kind, progress)
    print(answer.model_dump_json(indent=2)) if json else running.show(answer)
    if answer.failed:
        raise typer.Exit(1)


conform = typer.Typer(help="Drive the engine with a recorded exchange and compare after every row; exit 1 if they differ.")
app.add_typer(conform, name="conform", no_args_is_help=True)
_TWIN = typer.Option(help="engine, model, or both in step.")


@conform.command()
def lobster(
    message: Annotated[Path, typer.Argument(help="The message file, CSV or .zst.")],
    orderbook: Annotated[Path, typer.Argument(help="The order book file beside it.")],
    levels: Annotated[int | None, typer.Option(min=1, help="So many levels a side; all of the file if not given.")] = None,
    twin: Annotated[str, _TWIN] = "engine",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """A LOBSTER day (NASDAQ): the book after every message, and which order every execution filled."""
    from riskbed.conform import lobster as recorded

    _conform(lambda progress: recorded.run(message, orderbook, levels, twin, progress), json)


@conform.command("binance-depth")
def binance_depth(
    file: Annotated[Path, typer.Argument(help="Snapshot, depth diffs and bookTicker, a line each; plain or .zst.")],
    twin: Annotated[str, _TWIN] = "engine",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """A Binance depth feed, spot or USD-M: best prices against bookTicker, gaps in the update ids."""
    from riskbed.conform import binance_depth as recorded

    _conform(lambda progress: recorded.run(file, twin, progress), json)


@conform.command()
def bitstamp(
    file: Annotated[Path, typer.Argument(help="The order log with its snapshots; plain or .zst.")],
    twin: Annotated[str, _TWIN] = "engine",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """A Bitstamp order log: the venue's own snapshots, and orders whose deletion never came."""
    from riskbed.conform import bitstamp as recorded

    _conform(lambda progress: recorded.run(file, twin, progress), json)


def _conform(run: Callable[[_Progress], Conformance], json: bool) -> None:
    with _Progress() as progress:
        answer = run(progress)
    if json:
        print(answer.model_dump_json(indent=2))
    else:
        from riskbed.conform.show import show

        show(answer)
    if not answer.conforms:
        raise typer.Exit(1)


@app.command()
def guards(
    incident: Annotated[str, typer.Argument(help="A packaged incident (see `riskbed incidents`) or the path of a YAML file.")],
    quick: Annotated[bool, typer.Option("--quick", help="Only the incident's quick shapes instead of all paired moves.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the synthetic accounts; the incident's if not given.")] = None,
    accounts: Annotated[int | None, typer.Option(min=2, help="How many synthetic accounts; the incident's if not given.")] = None,
    variant: Annotated[str, typer.Option(help="Which reading of the one-minute bars: close or low.")] = "close",
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave report.html out.")] = False,
) -> None:
    """Judge every index rule of an incident: does it protect from the fault, and what does it hide when the move is true."""
    from riskbed.guards import guards as run
    from riskbed.replay import Options

    options = Options(incident=incident, seed=seed, accounts=accounts, variant=variant, out=out, report=not no_report)
    with _Progress() as progress:
        done = run(options, quick, progress)
    if json:
        print(done.answer.model_dump_json(indent=2))
    else:
        from riskbed.tables import show_guards

        show_guards(done)


venue_app = typer.Typer(help="Read a rule book without running it: judge it, show it, tell it from another.")
app.add_typer(venue_app, name="venue", no_args_is_help=True)
_VENUE = typer.Argument(metavar="FILE|NAME", help="A packaged rule book (see `riskbed venue list`) or the path of a YAML file.")


@venue_app.command("check")
def venue_check(venue: Annotated[str, _VENUE], json: Json = False) -> None:
    """Judge a rule book: is the venue solvent by construction? Exit 1 if a check fails; every finding says file:line:column."""
    from riskbed.venue import book, check

    answer = check.judge(book.of(venue))
    print(answer.model_dump_json(indent=2)) if json else check.show(answer)
    if not answer.passed:
        raise typer.Exit(1)


@venue_app.command("diff")
def venue_diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A packaged rule book or the path of a YAML file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    json: Json = False,
) -> None:
    """Say what differs between two rule books, row by row and by names, and whether margin is stricter. Exit 1 if a rule does."""
    from riskbed.venue import book, diff

    answer = diff.compare(book.of(a), book.of(b))
    print(answer.model_dump_json(indent=2)) if json else diff.show(answer)
    if not answer.equal:
        raise typer.Exit(1)


@venue_app.command("preview")
def venue_preview(
    change: Annotated[
        str, typer.Argument(metavar="CHANGE", help="A YAML file with one row of changes, or the name of one in the rule book.")
    ],
    incident: Annotated[
        str | None, typer.Argument(help="A packaged incident (see `riskbed incidents`) or the path of a YAML file.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="As 2025-10-10T21:15:00Z; the tape's end if not given.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="So many accounts at most.")] = 20,
    run: Annotated[Run, typer.Option(help="Which run of the replay.")] = Run.broken,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the synthetic accounts; the incident's if not given.")] = None,
    accounts: Annotated[int | None, typer.Option(min=2, help="How many synthetic accounts; the incident's if not given.")] = None,
    variant: Annotated[str, typer.Option(help="Which reading of the one-minute bars: close or low.")] = "close",
    tape: Annotated[Path | None, typer.Option(help="Your own tape (Parquet).")] = None,
    venue: Annotated[Path | None, typer.Option(help="Your own rule book (YAML).")] = None,
    plan: Annotated[Path | None, typer.Option(help="Your own fault plan (YAML), for the broken run.")] = None,
    json: Json = False,
) -> None:
    """List who would become liquidatable, or exceed their leverage, if a change of rules took effect at a time of a run."""
    from riskbed.replay import Options
    from riskbed.venue import preview

    inputs = Options(incident=incident, seed=seed, accounts=accounts, variant=variant, tape=tape, venue=venue, plan=plan)
    with _Progress() as progress:
        answer = preview.preview(preview.Options(change, inputs, run.value, at, top), progress)
    print(answer.model_dump_json(indent=2)) if json else preview.show(answer)


@venue_app.command("show")
def venue_show(venue: Annotated[str, _VENUE], json: Json = False) -> None:
    """Show a rule book as it is in force: every value, its unit and line, what is a default or assumed; or a preset's file."""
    from riskbed.venue import book, show
    from specs import load

    if venue in load.names("preset"):
        show.show_preset(venue, json)
        return
    answer = show.resolve(book.of(venue))
    print(answer.model_dump_json(indent=2)) if json else show.show(answer)


@venue_app.command("list")
def venue_list(json: Json = False) -> None:
    """List the packaged rule books and the presets of liquidation: title, from when they hold, what is assumed or left out."""
    from riskbed.venue import show

    answer = show.listed()
    print(answer.model_dump_json(indent=2)) if json else show.show_list(answer)


class _Progress:
    """A bar on stderr while runs go on; silent where stderr is no terminal."""

    def __enter__(self) -> _Progress:
        interrupt.check()
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("reading", total=None)
            self._bar.start()
        return self

    def __call__(self, done: int, total: int, what: str) -> None:
        interrupt.check()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=what)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


# ---- tables on stdout


def show(done: Replay) -> None:
    """Print what a replay showed; the token last."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    answer = done.answer
    console.print(answer.title, style="bold")
    about = [
        f"rule book {answer.venue}",
        f"{answer.accounts:,} accounts",
        f"{answer.events:,} events",
        f"to {answer.horizon}",
        f"eps {answer.eps_ns / 1e9:g} s",
    ]
    if answer.variant:
        about.insert(1, f"variant {answer.variant}, seed {answer.seed}")
    console.print(", ".join(about), style="dim", markup=False)
    _show_labels(console, answer)
    if answer.make_whole:
        _show_make_whole(console, answer)
    if answer.rules:
        _show_rules(console, answer)
    _show_facts(console, answer)
    _show_notes(console, answer)
    took = f", {done.lockstep_seconds / 60:.1f} minutes" if answer.twins.equal else ""
    console.print(f"\n{_twins(answer)}{took}.", markup=False)
    _show_laws(console, answer)
    _show_left(console, answer.run_folder, done.inputs.options.report)
    console.print("Replay token:", style="bold")
    console.print(answer.token, markup=False, soft_wrap=True)


def _show_left(console: Console, folder: str, report: bool) -> None:
    """Print where a run's folder is, and its report if it has one."""
    console.print(f"Run folder: {folder}", markup=False, soft_wrap=True)
    if report:
        console.print(f"Report: {folder}/report.html", markup=False, soft_wrap=True)


def _twins(answer: Result | PairResult) -> str:
    twins = answer.twins
    if not twins.equal:
        return "Twins not compared (--lockstep 0)"
    return f"Twins equal on {twins.events:,} events with {twins.accounts:,} accounts ({', '.join(twins.runs)})"


def _show_laws(console: Console, answer: Result | PairResult) -> None:
    laws = answer.laws
    if not laws.of:
        console.print("Laws on a sample not checked (--lockstep 0).")
        return
    judged = [row for row in laws.rows if row.events]
    broken = "; ".join(f"{row.name} BROKEN {row.broken:,} times, first {row.first}" for row in laws.broken)
    words = f"Laws {broken or 'hold'}: {len(judged)} of {len(laws.rows)} checked after {laws.events:,} of {laws.of:,} events"
    console.print(f"{words} ({laws.events / laws.of:.1%}).", markup=False, soft_wrap=True)


def _table(*columns: str, text: int = 1) -> Table:
    """Return an empty table whose first `text` columns say what a row is. Nothing in it is ever cut: heads wrap, cells fold."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < text else "right", overflow="fold", vertical="bottom")
    return table


def _headed(console: Console, title: str, table: Table) -> None:
    console.print(f"\n{title}", style="bold", markup=False)
    for part in _parts(table, console.width):
        console.print(part)


BETWEEN = 3  # blanks between two columns


def _parts(table: Table, width: int) -> list[Table]:
    """Return a table as one or more that are at most so wide, each with the columns that say what a row is; no cell is broken.

    Where not even one column fits beside those, cells fold: nothing is cut.
    """
    cells = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    narrow = [max(map(len, [*head.split(), *rows]), default=0) for head, *rows in cells]
    names = [i for i, column in enumerate(table.columns) if column.justify == "left"]
    rest = [i for i in range(len(cells)) if i not in names]
    room = width - sum(narrow[i] + BETWEEN for i in names)
    if not rest or room < max(narrow[i] + BETWEEN for i in rest):
        return [table]
    parts = 1
    while parts < len(rest) and any(sum(narrow[i] + BETWEEN for i in group) > room for group in _split(rest, parts)):
        parts += 1
    return [
        _part([cells[i] for i in shown], [narrow[i] for i in shown], len(names), width)
        for shown in ([*names, *group] for group in _split(rest, parts))
    ]


def _split(numbers: list[int], parts: int) -> list[list[int]]:
    """Return the numbers in order in so many parts, as even as can be."""
    bounds = [len(numbers) * k // parts for k in range(parts + 1)]
    return [numbers[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


def _part(cells: list[list[str]], narrow: list[int], text: int, width: int) -> Table:
    """Return a table of these columns, head first, each as wide as its cells need, and its head as far as there is room."""
    room = width - sum(narrow) - BETWEEN * len(narrow)
    table = _table(*(head for head, *_ in cells), text=text)
    for column, (head, *_), least in zip(table.columns, cells, narrow, strict=True):
        more = min(max(len(head) - least, 0), max(room, 0))
        column.width, room = least + more, room - more
    for row in zip(*(rows for _, *rows in cells), strict=True):
        table.add_row(*row)
    return table


def _show_labels(console: Console, answer: Result) -> None:
    from riskbed.result import rounded

    table = _table("label", "lots", f"notional {answer.numeraire}", "accounts")
    for name, total in answer.labels:
        table.add_row(name.replace("_", " "), f"{total.lots:,}", rounded(total.notional), f"{total.accounts:,}")
    _headed(console, "Forced closes, broken run against true run", table)


def _show_make_whole(console: Console, answer: Result) -> None:
    from riskbed.result import rounded

    unit, bases = answer.numeraire, ("collateral", "position", "both")
    table = _table("eligibility", "reference", "netting", "accounts", *bases, "fees on top", text=3)
    found: dict[tuple[str, str, str], dict] = {}
    for reading in answer.make_whole.readings:
        found.setdefault((reading.eligibility, reading.reference, reading.netting), {})[reading.base] = reading
    for key, by_base in found.items():
        both = by_base["both"]
        table.add_row(*key, f"{both.accounts:,}", *(rounded(by_base[base].money) for base in bases), rounded(both.fees))
    _headed(console, f"Make-whole at {answer.make_whole.instant}, {unit}, by reading of the rule", table)


def _show_rules(console: Console, answer: Result) -> None:
    from riskbed.result import rounded

    unit, moved = answer.numeraire, any(rule.true_move is not None for rule in answer.rules)
    names = [
        "rule", "erroneous lots", f"erroneous {unit}", "premature lots", "in-band lots",
    ]  # fmt: skip
    if moved:
        names += ["| still closed", "of the move's own", "later, s"]
        names += [f"shortfall {unit}", f"treasury's loss {unit}", f"hidden shortfall {unit}"]
    table = _table(*names)
    for rule in answer.rules:
        labels, move = rule.fault.labels, rule.true_move
        cells = [
            f"{labels.erroneous.lots:,}",
            rounded(labels.erroneous.notional),
            f"{labels.premature.lots:,}",
            f"{labels.in_band.lots:,}",
        ]
        if move is not None:
            kept = move.of_the_move
            cells += ["-" if share is None else f"{share:.1%}" for share in (move.share, kept.share)]
            cells.append("-" if kept.median_delay_s is None else f"{kept.median_delay_s:g}")
            cells += [rounded(money) for money in (move.shortfall, move.treasury_loss, move.hidden_shortfall)]
        table.add_row(rule.title, *cells)
    beside = f" | on a true move that stays, against '{answer.rules[0].title}'" if moved else ""
    _headed(console, f"Index rules: under the fault{beside}", table)
    _show_rounds(console, answer)


def _show_rounds(console: Console, answer: Result) -> None:
    from riskbed.result import rounded

    table = _table("rule", "cascades", "rounds at most", "of 1 | 2 | 3 or more rounds", "lowest price", "treasury's loss")
    for rule in answer.rules:
        cascades, fault = rule.fault.cascades, rule.fault
        found = [cascades.histogram.get(n, 0) for n in ("1", "2")]
        shown = " | ".join(f"{n:,}" for n in (*found, cascades.cascades - sum(found)))
        lows = ", ".join(f"{name} {rounded(price, 4)}" for name, price in fault.lows.items())
        loss = "-" if fault.treasury_loss is None else rounded(fault.treasury_loss)
        table.add_row(rule.title, f"{cascades.cascades:,}", str(cascades.rounds_max), shown, lows or "-", loss)
    _headed(console, "Rounds of the cascades under the fault", table)


def _show_facts(console: Console, answer: Result) -> None:
    table = _table("fact", "verdict", "expected", "observed", "tolerance", "unit", text=2)
    for fact in answer.facts:
        if fact.verdict != "context":
            table.add_row(fact.what, fact.verdict, fact.expected, fact.observed or "none", fact.tolerance, fact.unit)
    if table.row_count:
        _headed(console, "Expected facts, computed here from the incident's figures", table)


def _show_notes(console: Console, answer: Result | Guards | Positions) -> None:
    synthetic = [f"{row.name} ({row.provenance})" for row in answer.series if row.provenance != "recorded"]
    for title, lines in (
        ("Not recorded", synthetic),
        ("Assumed", [f"{note.path}: {note.why}" for note in answer.assumed]),
        ("Not known", answer.unknowns),
    ):
        if lines:
            console.print(f"\n{title}", style="bold")
            for line in lines:
                console.print(f"  {line}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
