"""Run a suite against its accepted baseline: whatever is not as it was accepted is a row, and a row that moved fails the build.

A case is one incident: the run with its plan (broken) beside its true runs; or one run of a pair of incidents, beside the same
without B, whose price is the error. What is held against the baseline, row by row:

    digest                         of the outcomes of all runs of the case, byte for byte
    outcome_schema                 the version of the outcome records: another one is another digest
    input.*                        digests of tape, rule book and plans: what was accepted was accepted of these
    figures, exact decimals, of the broken run; `figure_names` gives them all
      liquidated_accounts          that were in liquidation at least once; liquidations: how often one began
      forced_lots, _notional       closed by force (book, takeover, ...), at the mark; as riskbed/labels.py counts them
      adl_lots                     of them deleveraged; deleveraged_accounts: whose winning positions that closed
      <label>_lots, _accounts      against the true runs
      shortfall                    what accounts lost beyond their own money: fund_draw, what the fund paid of it, and bad_debt,
                                   what nobody paid
      liquidation_fees
      rounds                       the most rounds of one cascade
      open_interest.<market>       long lots, at the end of the tape
      balance.<account>.<asset>    at the end of the tape, of the users together and of each account of the chart
      outcome.<kind>               how many outcomes of each kind

Money is in whole units of its asset. Where no end of the tape is named, a figure counts up to the incident's horizon.

Verdicts: same; changed; limit (a limit of the suite is broken, changed or not); new (the baseline has none); gone (the baseline
alone has it). All but `same` fail. `--accept` writes the baseline anew. A limit against the baseline is passed with it, for a
reason; a bound on the figure itself is not: it is moved in the suite, where a review sees it. With `--venue` a rule book is tried
in the cases that name none: there it is the limits that fail, what changed is told.

`python -m riskbed.regress` writes specs/schema/regress.json.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from riskbed import jobs, replay, result
from riskbed import pair as pairing
from riskbed.jobs import Ran
from riskbed.labels import Label, Labels
from riskbed.replay import Inputs, Progress
from specs import load, suite, units
from specs.errors import SpecError
from specs.faults import Plan
from specs.incident import Incident
from specs.pair import RUNS, Cascade, kind
from specs.rules import At, Venue
from specs.schema import text_of
from specs.suite import Accepted, Baseline, Case, Limit, Suite
from specs.tape import SCHEMA_VERSION, USERS_FROM, Chart, Flow, OutcomeKind

DEFAULT_SUITE = "core"
REASON_MAX = 400
_LOSSES = (Flow.FUND_PAYMENT, Flow.WRITE_OFF)  # what the shortfall is made of


# ---- the answer

Verdict = Literal["limit", "changed", "new", "gone", "same"]
VERDICTS = get_args(Verdict)


class Row(result.Part):
    """One field of one case: what was accepted, what is, and the verdict. null: there is none on that side."""

    name: str
    field: str
    baseline: str | None
    now: str | None
    verdict: Verdict


class BrokenLimit(result.Part):
    """A limit that does not hold. where: file:line:column of the suite."""

    name: str
    figure: str
    limit: str
    baseline: str | None
    now: str
    where: str


class Unjudged(result.Part):
    """A limit against the baseline of a case of which nothing was accepted yet. where: file:line:column of the suite."""

    name: str
    figure: str
    limit: str
    where: str


class CaseRun(result.Part):
    """What ran for a case, and the reason for which its baseline was accepted. run: of a pair; variant: of an incident."""

    name: str
    incident: str
    run: str | None
    venue: str
    plan: str
    variant: str | None
    seed: result.Count
    accounts: result.Count
    events: result.Count
    digest: result.Digest
    inputs: dict[str, result.Digest]
    reason: str | None


class Regression(result.Part):
    """A suite against its baseline. passed: every row is the same; of a case in which `venue` is tried, no limit is broken.

    accepted: the reason, where this run wrote the baseline.
    """

    schema_version: Literal[1]
    suite: str
    suite_file: str
    baseline_file: str
    venue: str | None
    passed: bool
    accepted: str | None
    rows: list[Row]
    limits_broken: list[BrokenLimit]
    limits_unjudged: list[Unjudged]
    cases: list[CaseRun]
    remedies: list[str]
    versions: dict[str, str]


# ---- figures


def figure_names(venue: Venue) -> list[str]:
    """Return every figure of a case under a rule book, in the order in which they are told."""
    names = ["liquidated_accounts", "liquidations", "forced_lots", "forced_notional", "adl_lots", "deleveraged_accounts"]
    names += [f"{label.name.lower()}_{what}" for label in reversed(Label) for what in ("lots", "accounts")]
    names += ["shortfall", *jobs.TOLD.values(), "rounds"]
    names += [f"open_interest.{row.name}" for row in venue.markets]
    names += [f"balance.{whose}.{row.name}" for whose in ("users", *(x.name.lower() for x in Chart)) for row in venue.assets]
    return names + [f"outcome.{kind.name.lower()}" for kind in OutcomeKind]


def figures(venue: Venue, broken: Ran, labels: Labels, horizon_ns: int) -> dict[str, str]:
    """Return the figures of a case by name, exact decimal strings."""
    outcomes = broken.outcomes[broken.outcomes["time_ns"] <= horizon_ns]
    places = venue.decimals(venue.numeraire)
    liquidated = outcomes["account"][outcomes["kind"] == OutcomeKind.LIQUIDATION]
    notional = sum(lots * value for lots, value in zip(broken.forced.lots.tolist(), broken.forced.value, strict=True))
    found: list[str | int] = [len(np.unique(liquidated)), len(liquidated), int(broken.forced.lots.sum())]
    found.append(units.int_to_decimal(notional, places))
    adl = outcomes[outcomes["kind"] == OutcomeKind.ADL]
    found += [int(adl["qty"].sum()), len(pairing.deleveraged(adl))]
    totals = labels.totals()
    for label in reversed(Label):
        lots, _, accounts = totals[label]
        found += [lots, accounts]
    found.append(units.int_to_decimal(sum(broken.flows[flow] for flow in _LOSSES), places))
    found += [units.int_to_decimal(broken.flows[flow], places) for flow in jobs.TOLD]
    found.append(int(outcomes["round"].max(initial=0)))
    found += _at_the_end(venue, broken.state)
    counts = np.bincount(outcomes["kind"], minlength=max(OutcomeKind) + 1)
    found += [int(counts[kind]) for kind in OutcomeKind]
    return {name: str(figure) for name, figure in zip(figure_names(venue), found, strict=True)}


def _at_the_end(venue: Venue, state: dict[str, list[tuple[int, ...]]]) -> list[str | int]:
    """Return open interest by market, then balances: of the users together and of each account of the chart, by asset."""
    interest = [0] * len(venue.markets)
    for _, market, _, qty, *_ in state["positions"]:
        interest[market] += max(0, qty)
    held = {whose: [0] * len(venue.assets) for whose in (None, *Chart)}
    for account, asset, money, *_ in state["balances"]:
        held[None if account >= USERS_FROM else Chart(account)][asset] += money
    pairs = [(n, row.decimals) for moneys in held.values() for n, row in zip(moneys, venue.assets, strict=True)]
    return interest + [units.int_to_decimal(money, places) for money, places in pairs]


# ---- the suite and what it names


class Work(NamedTuple):
    """A case with its files found: all that a process needs to run it. run: of a pair. venue: in place of the incident's own."""

    case: Case
    incident: Path
    run: str | None
    venue: Path | None
    plan: Path | None


class Outcome(NamedTuple):
    """What came of a case."""

    run: CaseRun
    figures: dict[str, str]


class Drawn(NamedTuple):
    """What is known of a tape before it is drawn: for which rule book, and what it names of each of the book's tables."""

    id: str
    venue: Venue
    names: dict[str, list[str]]
    check: Callable[[Venue], None]
    variants: list[str]


def read_drawn(path: Path) -> Drawn:
    """Return what an incident or a pair draws its tape from. Raises SpecError."""
    if kind(path) == "pair":
        pair, cascade, _, venue = pairing.read(path)
        held = pair.collateral
        names = {
            "assets": [venue.numeraire, cascade.tape.collateral],
            "sources": [name for row in cascade.tape.markets for name in (row.outside, row.news)]
            + [held.heard, held.recorded, held.true],
            "markets": [row.market for row in cascade.tape.markets],
        }

        def check(book: Venue) -> None:
            cascade.check(book)
            pair.check(book, cascade)

        return Drawn(pair.id, venue, names, check, [pair.variant])
    incident, venue = read_incident(path)
    recipe = incident.tape
    names = {
        "assets": [venue.numeraire, recipe.population.collateral],
        "sources": [row.source for row in (*recipe.minutes, *recipe.constants, *recipe.paths)],
        "markets": [recipe.population.market],
    }
    return Drawn(incident.id, venue, names, incident.check, list(incident.variants))


def read_incident(path: Path) -> tuple[Incident, Venue]:
    """Return an incident and its own rule book. Raises SpecError where the incident names what the rule book does not have."""
    books: list[Venue] = []

    def check(row: Incident) -> None:
        try:
            books.append(load.load(load.find("venue", row.venue), Venue))
        except SpecError as error:
            if error.where:
                raise
            raise At(("venue",), error.problem, error.remedy) from None
        row.check(books[0])

    return load.load(path, Incident, check=check), books[0]


def misfit(drawn: Drawn, venue: Venue) -> tuple[str, str] | None:
    """Return (problem, remedy) if a tape, drawn for one rule book, cannot run under another; None if it can.

    On tape an asset, a source, a market is its row number in the rule book, and prices and lots are integers of its units.
    """
    try:
        drawn.check(venue)
    except At as error:
        return error.problem, error.remedy
    drawn_for = drawn.venue
    for table, of_unit in (
        ("assets", ("decimals",)),
        ("sources", ("price_decimals",)),
        ("markets", ("settles_in", "price_decimals", "lot")),
    ):
        for name in drawn.names[table]:
            if name not in [row.name for row in getattr(venue, table)]:
                return f"'{name}' is not one of the {table}", f"the tape of {drawn.id} names it"
            here, there = drawn_for.number(table, name), venue.number(table, name)
            if here != there:
                return f"'{name}' is row {there + 1} of the {table}", f"row {here + 1}, as in {drawn_for.name}: tapes go by rows"
            for field in of_unit:
                ours, theirs = (getattr(getattr(book, table)[here], field) for book in (drawn_for, venue))
                if ours != theirs:
                    return f"{field} of '{name}' differs from {drawn_for.name}", "a tape holds integers of these units"
    opened = {row.account for row in drawn_for.quoters}
    for row in venue.quoters:
        if row.account not in opened:
            return f"no tape of {drawn.id} opens quoter account {row.account}", f"those of {drawn_for.name}"
    return None


def find_work(rows: Suite, folder: Path, candidate: Path | None) -> list[Work]:
    """Return every case with its files. Raises At at the case that names what is not there or does not fit."""
    drawn_of = lru_cache(maxsize=None)(read_drawn)  # however many cases name a file, it is read once
    book_of = lru_cache(maxsize=None)(lambda path: load.load(path, Venue))
    works = []
    for i, case in enumerate(rows.cases):
        path, venue, plan = (rows.file(folder, i, what) for what in ("incident", "venue", "plan"))
        run = _run_of(case, i, path)
        drawn = drawn_of(path)
        if case.variant not in drawn.variants:
            problem = f"'{case.variant}' is not a variant of {drawn.id}"
            raise At(("cases", i, "variant"), problem, load.near(case.variant, drawn.variants))
        used = venue or candidate
        book = book_of(used) if used else drawn.venue
        if used and (wrong := misfit(drawn, book)):
            problem = f"{book.name} does not fit {drawn.id}: {wrong[0]}"
            if venue is None:
                raise SpecError(problem, where=load.shown(used), remedy=wrong[1])
            raise At(("cases", i, "venue"), problem, wrong[1])
        if plan is not None:
            load.load(plan, Plan, check=lambda row, book=book: row.check(book))
        for j, limit in enumerate(case.limits):
            known = figure_names(book)
            if limit.figure not in known:
                problem = f"there is no figure '{limit.figure}' under {book.name}"
                raise At(("cases", i, "limits", j, "figure"), problem, load.near(limit.figure, known))
        works.append(Work(case, path, run, used, plan))
    return works


def _run_of(case: Case, number: int, path: Path) -> str | None:
    """Return which run of a pair a case is, None for an incident that stands alone. Raises At for what is neither."""
    at, what = ("cases", number), kind(path)
    if what == "cascade":
        remedy = f"incident: {load.load(path, Cascade).part_of} with run: A plays it alone"
        raise At((*at, "incident"), f"{path.stem} is the cascade of a pair", remedy)
    if what is None:
        if case.run is not None:
            raise At((*at, "run"), f"{path.stem} is no pair: it has no runs to choose from", "leave it out")
        return None
    if case.accounts is not None:
        raise At((*at, "accounts"), f"the pair {path.stem} brings its own accounts", "leave it out; seed draws others")
    return case.run or RUNS[-1]


def check_limits(rows: Suite, baseline: Baseline | None) -> None:
    """Raise At at a limit against the baseline of a case whose baseline lacks the figure."""
    for i, case in enumerate(rows.cases):
        accepted = baseline.cases.get(case.name) if baseline else None
        for j, limit in enumerate(case.limits):
            if accepted and limit.against and limit.figure not in accepted.figures:
                problem = f"the baseline of '{case.name}' has no figure '{limit.figure}'"
                raise At(("cases", i, "limits", j, "figure"), problem, "accept the case anew, or leave the limit out")


# ---- running


def run_case(work: Work) -> Outcome:
    """Run a case: its plan beside the true runs, on the engine."""
    case = work.case
    options = replay.Options(
        incident=str(work.incident),
        seed=case.seed,
        accounts=case.accounts,
        variant=case.variant,
        plan=work.plan,
        lockstep=0,
        report=False,
        rules=False,
    )
    if work.run is None:
        inputs = replay.read_inputs(options)
    else:
        inputs = pairing.one_run(replace(options, variant="close"), work.run)
    if work.venue is not None:
        inputs = replay.under(inputs, load.load(work.venue, Venue))
    asked, same = replay.plan_jobs(inputs)
    ran = {job.name: jobs.run_job("engine", job) for job in asked}
    ran |= {name: ran[other]._replace(name=name) for name, other in same.items()}
    found = figures(inputs.venue, ran["broken"], replay.label_runs(inputs, ran, ""), inputs.horizon_ns)
    return Outcome(_case_run(case, inputs, replay.digest_runs(ran)), found)


def _case_run(case: Case, inputs: Inputs, digest: str) -> CaseRun:
    return CaseRun(
        name=case.name,
        incident=inputs.drawn,
        run=inputs.of_pair.run if inputs.of_pair else None,
        venue=inputs.venue.name,
        plan=inputs.plans["broken"].name,
        variant=inputs.options.variant if inputs.incident else None,
        seed=inputs.options.seed,
        accounts=inputs.options.accounts,
        events=len(inputs.tape),
        digest=digest,
        inputs=inputs.digests,
        reason=None,
    )


# ---- now against accepted


def fields_of(digest: str, outcome_schema: int, inputs: dict[str, str], found: dict[str, str]) -> dict[str, str]:
    """Return every field of a case that is held against its baseline."""
    fields = {"digest": digest, "outcome_schema": str(outcome_schema)}
    return fields | {f"input.{name}": text for name, text in inputs.items()} | found


def compare_case(case: Case, outcome: Outcome, accepted: Accepted | None) -> tuple[list[Row], list[tuple[int, Limit]]]:
    """Return the rows of a case, and the limits that are broken by their number."""
    now = fields_of(outcome.run.digest, SCHEMA_VERSION, outcome.run.inputs, outcome.figures)
    before = fields_of(accepted.digest, accepted.outcome_schema, accepted.inputs, accepted.figures) if accepted else {}
    broken = [
        (j, limit)
        for j, limit in enumerate(case.limits)
        if not (limit.against and limit.figure not in before) and not limit.holds(now[limit.figure], before.get(limit.figure))
    ]
    limited = {limit.figure for _, limit in broken}
    rows = []
    for field in dict.fromkeys((*now, *before)):
        was, is_now = before.get(field), now.get(field)
        verdict = "same" if was == is_now else "new" if was is None else "gone" if is_now is None else "changed"
        rows.append(Row(name=case.name, field=field, baseline=was, now=is_now, verdict="limit" if field in limited else verdict))
    return rows, broken


def fails(row: Row, tried: Container[str]) -> bool:
    """Return whether a row fails the build. tried: the cases in which a rule book is tried, which may change what it changes."""
    return row.verdict != "same" and not (row.verdict == "changed" and row.name in tried)


def remedies(rows: Sequence[Row], broken: Sequence[BrokenLimit], baseline: Baseline | None, accepting: str | None) -> list[str]:
    """Return what can be done about the rows that fail, a line each. accepting: the command that accepts, if one can."""
    bounds = {(limit.name, limit.figure) for limit in broken if limit.baseline is None}
    said = [
        f"{limit.where}: {limit.limit} is a bound on the figure itself: it is moved there"
        for limit in broken
        if not limit.baseline
    ]
    accepted = baseline.cases if baseline else {}
    moved: dict[str, set[str]] = {}
    for row in rows:
        if row.field == "digest" and row.verdict == "gone":
            said.append(f"{row.name}: the case is gone from the suite; if it was renamed, it is the new one by its new name")
        elif row.field == "digest" and row.verdict == "new" and accepted:
            said.append(f"{row.name}: the case is new: nothing was accepted of it yet")
        elif row.verdict != "new":
            moved.setdefault(row.name, set()).add(row.field)
    for name, fields in moved.items():
        outcomes = {field for field in fields if not field.startswith("input.") and field != "outcome_schema"}
        if outcomes == {"digest"}:
            why = "the outcome schema is another" if "outcome_schema" in fields else "outcomes differ in what no figure counts"
            said.append(f"{name}: only the digest moved, no figure did: {why}")
        elif not outcomes:
            said.append(f"{name}: what went in is not what was accepted, yet every outcome is the same")
    if accepting is not None and any((row.name, row.field) not in bounds for row in rows):
        cause = "nothing was accepted yet" if baseline is None else "mend what moved, or, if it is meant"
        said.append(f"{cause}: {accepting}")
    return said


# ---- the command


@dataclass(frozen=True)
class Options:
    """suite: a packaged name or a path. cases: only these. accept: the reason. venue: tried where a case names none."""

    suite: str = DEFAULT_SUITE
    cases: tuple[str, ...] = ()
    accept: str | None = None
    venue: Path | None = None


def regress(options: Options, progress: Progress = lambda done, total, what: None) -> Regression:
    """Run a suite, compare it with its baseline, and accept it if asked to. Raises SpecError before anything runs."""
    reason = _reason(options)
    path = load.find("suite", options.suite)
    rows = load.load(path, Suite)
    works: list[Work] = []
    load.load(path, Suite, check=lambda row: works.extend(find_work(row, path.parent, options.venue)))
    accepted = _baseline(suite.baseline_path(path), rows)
    load.load(path, Suite, check=lambda row: check_limits(row, None if reason else accepted))
    works = [works[i] for i in _chosen(rows, options.cases)]
    progress(0, len(works), rows.name)
    outcomes = jobs.spread(run_case, works, lambda done: progress(done, len(works), rows.name))
    answer = _answer(options, path, rows, works, outcomes, accepted)
    return answer if reason is None else _accept(answer, reason, path, rows, outcomes, accepted)


def _reason(options: Options) -> str | None:
    if options.accept is None:
        return None
    reason = " ".join(options.accept.split())
    if not reason:
        raise SpecError("--accept without a reason", remedy='say why: --accept "haircut of USDE raised to 5 %"')
    if not reason.isprintable() or len(reason) > REASON_MAX:
        raise SpecError("the reason of --accept cannot be written down", remedy=f"plain text, at most {REASON_MAX} characters")
    if options.venue is not None:
        raise SpecError(
            "--accept with --venue", remedy="name the rule book in the suite's cases: a baseline is of what the suite says"
        )
    return reason


def _baseline(path: Path, rows: Suite) -> Baseline | None:
    return load.load(path, Baseline, check=lambda row: row.check(rows)) if path.exists() else None


def _chosen(rows: Suite, names: Sequence[str]) -> list[int]:
    """Return the numbers of the cases that were asked for, all of them where none was."""
    known = [case.name for case in rows.cases]
    for name in names:
        if name not in known:
            raise SpecError(f"there is no case '{name}' in suite {rows.name}", remedy=load.near(name, known))
    return [i for i, name in enumerate(known) if not names or name in names]


def _answer(
    options: Options, path: Path, rows: Suite, works: list[Work], outcomes: list[Outcome], baseline: Baseline | None
) -> Regression:
    before = baseline.cases if baseline else {}
    document = load.parse(load.read_text(path), load.shown(path))
    number = {case.name: i for i, case in enumerate(rows.cases)}
    told, limits, unjudged = [], [], []
    for work, outcome in zip(works, outcomes, strict=True):
        case = work.case
        ours, broken = compare_case(case, outcome, before.get(case.name))
        told += ours
        places = [document.at(("cases", number[case.name], "limits", j)) for j in range(len(case.limits))]
        wheres = [f"{load.shown(path)}:{line}:{column}" for line, column in places]
        if case.name not in before:
            unjudged += [
                Unjudged(name=case.name, figure=limit.figure, limit=str(limit), where=where)
                for limit, where in zip(case.limits, wheres, strict=True)
                if limit.against
            ]
        for j, limit in broken:
            was, where = before[case.name].figures[limit.figure] if limit.against else None, wheres[j]
            limits.append(
                BrokenLimit(
                    name=case.name,
                    figure=limit.figure,
                    limit=str(limit),
                    baseline=was,
                    now=outcome.figures[limit.figure],
                    where=where,
                )
            )
    if not options.cases:
        for name in before:
            if name not in number:
                told.append(Row(name=name, field="digest", baseline=before[name].digest, now=None, verdict="gone"))
    command = shlex.join(["riskbed", "regress", options.suite, *(word for name in options.cases for word in ("--case", name))])
    accepting = None if options.venue is not None else f'{command} --accept "reason"'
    tried = {work.case.name for work in works if work.case.venue is None and options.venue is not None}
    failing = [row for row in told if fails(row, tried)]
    return Regression(
        schema_version=1,
        suite=rows.name,
        suite_file=load.shown(path),
        baseline_file=load.shown(suite.baseline_path(path)),
        venue=str(options.venue) if options.venue else None,
        passed=not failing,
        accepted=None,
        rows=told,
        limits_broken=limits,
        limits_unjudged=unjudged,
        cases=[
            outcome.run.model_copy(update={"reason": before[name].reason if (name := outcome.run.name) in before else None})
            for outcome in outcomes
        ],
        remedies=remedies(failing, limits, baseline, accepting),
        versions=replay.versions(),
    )


def _accept(
    answer: Regression, reason: str, path: Path, rows: Suite, outcomes: list[Outcome], baseline: Baseline | None
) -> Regression:
    """Write the baseline anew, unless a bound on a figure itself is broken or nothing moved.

    A case that did not move keeps its reason.
    """
    if any(limit.baseline is None for limit in answer.limits_broken):
        return answer
    before = baseline.cases if baseline else {}
    moved = {row.name for row in answer.rows if row.verdict != "same"}
    if not moved:
        return answer.model_copy(update={"remedies": ["nothing to accept: every row is the same"]})
    now = {
        outcome.run.name: Accepted(
            reason=reason,
            digest=outcome.run.digest,
            outcome_schema=SCHEMA_VERSION,
            inputs=outcome.run.inputs,
            figures=outcome.figures,
        )
        for outcome in outcomes
        if outcome.run.name in moved
    }
    names = [case.name for case in rows.cases]
    gone = {row.name for row in answer.rows if row.verdict == "gone"} - set(names)
    names += [name for name in before if name not in names and name not in gone]
    cases = {name: now.get(name) or before[name] for name in names if name in now or name in before}
    accepted = Baseline(schema_version=1, suite=rows.name, history=[*(baseline.history if baseline else []), reason], cases=cases)
    write_baseline(suite.baseline_path(path), accepted)
    told = [run.model_copy(update={"reason": reason}) if run.name in now else run for run in answer.cases]
    return answer.model_copy(update={"accepted": reason, "remedies": [], "cases": told})


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Put a baseline in place of the one before, whole or not at all. Raises SpecError where it cannot be written."""
    text = baseline.text()
    assert load.load_text(text, Baseline, load.shown(path)) == baseline, "a baseline that does not read back"
    partial = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".partial-", delete=False) as file:
            partial = Path(file.name)
            file.write(text)
        partial.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(partial, path)
    except OSError as error:
        problem = f"the baseline cannot be written: {error.strerror}"
        raise SpecError(problem, where=load.shown(path), remedy="copy the suite to a folder of your own") from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


# ---- for the eye


def show(answer: Regression) -> None:
    """Print what moved; nothing but one line where nothing did."""
    from rich.console import Console

    from riskbed.cli import PLAIN_WIDTH, _headed, _table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    counts = Counter(row.verdict for row in answer.rows)
    told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    fresh = {row.name for row in answer.rows if row.field == "digest" and row.verdict == "new"}
    table = _table("case", "field", "accepted", "now", "moved by", "verdict", text=2)
    for row in answer.rows:
        if row.verdict != "same" and (row.name not in fresh or row.field == "digest" or row.verdict == "limit"):
            table.add_row(row.name, row.field, _short(row, row.baseline), _short(row, row.now), _moved(row), row.verdict)
    if table.row_count:
        _headed(console, f"Suite {answer.suite} against {answer.baseline_file}", table)
    for limit in answer.limits_broken:
        console.print(
            f"{limit.where}: {limit.name}: {limit.figure} is {limit.now}, limit: {limit.limit}", markup=False, soft_wrap=True
        )
    for limit in answer.limits_unjudged if answer.accepted is None else ():
        words = f"{limit.where}: {limit.name}: {limit.figure}, limit: {limit.limit}: not judged, nothing was accepted of it yet"
        console.print(words, markup=False, soft_wrap=True)
    console.print(f"{answer.suite}: cases {len(answer.cases)}, rows {len(answer.rows):,}: {told}", markup=False, soft_wrap=True)
    for line in answer.remedies:
        console.print(line, markup=False, soft_wrap=True)
    if answer.accepted is not None:
        console.print(f"Accepted into {answer.baseline_file}: {answer.accepted}", markup=False, soft_wrap=True)


def _short(row: Row, text: str | None) -> str:
    digest = row.field == "digest" or row.field.startswith("input.")
    return "-" if text is None else text[:12] if digest else text


def _moved(row: Row) -> str:
    """Return now - accepted as an exact decimal; nothing for what is no figure or is there on one side only."""
    if None in (row.baseline, row.now) or row.field in ("digest", "outcome_schema") or row.field.startswith("input."):
        return ""
    places = max(len(text.partition(".")[2]) for text in (row.baseline, row.now))
    moved = Fraction(row.now) - Fraction(row.baseline)
    return ("+" if moved > 0 else "") + units.int_to_decimal(int(moved * 10**places), places)


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "regress.json"


def schema() -> str:
    """Return the JSON Schema of the answer as text: keys sorted, so that it changes only when the rows do."""
    return text_of(Regression.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
