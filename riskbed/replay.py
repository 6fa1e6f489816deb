"""The main job: run a tape broken and true on one clock grid, label what differs, price the make-whole, compare the rules.

An incident gives everything: venue, tape recipe, what was true, the index rules to compare. The user's own tape, rule book and
plan give less: broken is the tape with the plan, true is the tape without it.

Runs are independent and pure: engine runs go to threads, model runs and the lockstep sample to processes (riskbed/jobs.py).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import platform
import shlex
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fuzz.overlay import overlay
from riskbed import jobs as running
from riskbed import make_whole as making
from riskbed import moves, result, runs
from riskbed.facts import fact_rows
from riskbed.jobs import Compared, Job, Ran, compare_twins, run_job
from riskbed.labels import Labels, Paired, label
from riskbed.moves import Beside
from riskbed.paid import paid as who_paid
from riskbed.population import incident_tape
from riskbed.waterfall import waterfall
from specs import load, units
from specs.errors import SpecError, TwinsDiffer
from specs.faults import Plan
from specs.incident import Incident, Shape
from specs.laws import LAWS
from specs.pair import why_not
from specs.rules import Venue
from specs.tape import SCHEMA_VERSION, EventKind, Flow, Tape

LOCKSTEP_EVERY = 1_000  # every n-th pair of accounts is run on both twins unless asked for more
NO_PLAN = Plan(schema_version=1, name="none", faults=[])
RUNS = runs.RUNS

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Options:
    """What a user may choose. Files are the user's own; `accounts`, `seed` None: the incident's."""

    incident: str | None = None
    seed: int | None = None
    accounts: int | None = None
    variant: str = "close"
    tape: Path | None = None
    venue: Path | None = None
    plan: Path | None = None
    fault: tuple[str, ...] = ()
    no_fault: tuple[str, ...] = ()
    out: Path = Path("runs")
    lockstep: int = LOCKSTEP_EVERY
    report: bool = True
    twin: str = "engine"
    rules: bool = True


class OfPair(NamedTuple):
    """Which run of which pair the inputs are (riskbed/pair.py), and what its recipe had to assume and does not know."""

    pair: str
    run: str | None
    assumed: tuple[result.Note, ...]
    unknowns: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """Everything a replay needs, read and checked: nothing has run yet.

    The tape is drawn from a recipe, of `incident` or `of_pair`, for `venue`; or it is the user's own, and both are None.
    """

    name: str
    title: str
    incident: Incident | None
    venue: Venue
    tape: Tape
    plans: dict[str, Plan]
    horizon_ns: int
    eps_ns: int
    window: tuple[int, int] | None
    options: Options
    digests: dict[str, str] = field(default_factory=dict)
    of_pair: OfPair | None = None

    @property
    def drawn(self) -> str | None:
        """The name of the incident or the pair from whose recipe the tape is drawn."""
        return self.incident.id if self.incident else self.of_pair.pair if self.of_pair else None


# ---- reading the inputs


def read_inputs(options: Options) -> Inputs:
    """Read and check everything before anything runs. Raises SpecError or TapeError."""
    if options.incident is None and options.tape is None:
        raise SpecError(
            "nothing to replay", remedy="name an incident, or a tape by --tape; `riskbed incidents` lists what is packaged"
        )
    if options.lockstep < 0:
        raise SpecError(f"--lockstep {options.lockstep}", remedy="every n-th pair of accounts, 1 for all, 0 for none")
    inputs = _own_inputs(options) if options.tape is not None else _incident_inputs(options)
    digests = {"tape": inputs.tape.digest(), "venue": digest_row(inputs.venue)}
    digests |= {f"plan_{name}": digest_row(plan) for name, plan in inputs.plans.items()}
    return replace(inputs, digests=digests)


def under(inputs: Inputs, venue: Venue) -> Inputs:
    """Return the inputs with the same tape and plans under another rule book, whose rows have the numbers that the tape names.

    Raises SpecError if a plan does not fit it.
    """
    for plan in inputs.plans.values():
        plan.require(venue)
    return replace(inputs, venue=venue, digests=inputs.digests | {"venue": digest_row(venue)})


def _incident(name: str) -> tuple[Incident, Path]:
    path = load.find("incident", name)
    if wrong := why_not(path):
        raise SpecError(wrong[0], remedy=wrong[1])
    return load.load(path, Incident), path


def _incident_inputs(options: Options) -> Inputs:
    incident, path = _incident(options.incident)
    venue = load.load(options.venue, Venue) if options.venue else load.load(load.find("venue", incident.venue), Venue)
    incident = load.load(path, Incident, check=lambda row: row.check(venue))
    if options.variant not in incident.variants:
        raise SpecError(
            f"'{options.variant}' is not a variant of {incident.id}", remedy=load.near(options.variant, incident.variants)
        )
    people = incident.tape.population
    seed = people.seed if options.seed is None else options.seed
    accounts = people.accounts if options.accounts is None else options.accounts
    plans = {name: getattr(incident.plans, name) for name in RUNS}
    if options.plan:
        plans["broken"] = load.load(options.plan, Plan, check=lambda plan: plan.check(venue))
    plans = toggled(plans, options.fault, options.no_fault)
    for plan in plans.values():
        plan.require(venue)
    return Inputs(
        name=f"{incident.aliases[0] if incident.aliases else incident.id}-{options.variant}-seed{seed}",
        title=incident.title,
        incident=incident,
        venue=venue,
        tape=incident_tape(incident, venue, seed=seed, accounts=accounts, variant=options.variant),
        plans=plans,
        horizon_ns=incident.horizon_ns,
        eps_ns=incident.eps_ns,
        window=(incident.window.from_ns, incident.window.to_ns),
        options=replace(options, seed=seed, accounts=accounts),
    )


def _own_inputs(options: Options) -> Inputs:
    """A tape of the user's own: the rule book is --venue, else the incident's, else the one that the tape names."""
    for name in ("seed", "accounts"):
        if getattr(options, name) is not None:
            raise SpecError(f"--{name} with --tape", remedy="the tape brings its own accounts")
    tape = Tape.read(options.tape)
    if options.venue:
        venue = load.load(options.venue, Venue)
    else:
        named = _incident(options.incident)[0].venue if options.incident else tape.meta.venue
        venue = load.load(load.find("venue", named), Venue)
    plan = load.load(options.plan, Plan, check=lambda row: row.check(venue)) if options.plan else NO_PLAN
    plans = toggled({"broken": plan}, options.fault, options.no_fault)
    plans |= {"true_lower": NO_PLAN, "true_upper": NO_PLAN}
    intervals = [row.publish.every_ns for row in venue.indices if row.publish.every_ns is not None]
    return Inputs(
        name=safe_name(options.tape.stem + (f"-{plan.name}" if plan.faults else "")),
        title=tape.meta.title or options.tape.name,
        incident=None,
        venue=venue,
        tape=tape,
        plans=plans,
        horizon_ns=tape.meta.horizon_ns,
        eps_ns=max(intervals, default=venue.clock.cadence_ns),
        window=None,
        options=options,
    )


def safe_name(text: str) -> str:
    """Return a text as the part of a folder's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text).strip(".-")[:80] or "run"


def toggled(plans: dict[str, Plan], fault: Iterable[str], no_fault: Iterable[str]) -> dict[str, Plan]:
    """Return the plans with the --fault ids on and the others of the same plan off, then the --no-fault ids off.

    An id acts in every plan that has it. Raises SpecError for one that no plan has.
    """
    known = list(dict.fromkeys(row.id for plan in plans.values() for row in plan.faults))
    for name in (*fault, *no_fault):
        if name not in known:
            raise SpecError(f"there is no fault '{name}' in this replay", remedy=load.near(name, known))
    out = {}
    for name, plan in plans.items():
        ours = {row.id for row in plan.faults}
        if wanted := ours & set(fault):
            plan = plan.only(sorted(wanted))
        out[name] = plan.without(sorted(ours & set(no_fault)))
    return out


def digest_row(row: Any) -> str:
    """Return the blake2b-128 of a rule book's or a plan's values: comments and the order of keys do not enter."""
    text = json.dumps(row.model_dump(mode="json", by_alias=True), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# ---- all runs of a replay


def _job(
    name: str,
    inputs: Inputs,
    venue: Venue,
    events: np.ndarray,
    plan: Plan,
    keep: bool = False,
    truth: dict[int, int] | None = None,
) -> Job:
    rows, horizon_ns = plan.seam_rows(venue), inputs.horizon_ns
    return Job(name, plan.rules(venue), inputs.tape.meta.start_ns, events, rows, horizon_ns, keep, truth or {})


def plan_jobs(inputs: Inputs) -> tuple[list[Job], dict[str, str]]:
    """Return the runs of a replay and, for runs that would give another one's outcomes again, whose results they share.

    A rule of the incident whose recipe is the rule book's shares the main runs.
    """
    tapes = {name: overlay(inputs.tape.events, plan, inputs.venue) for name, plan in inputs.plans.items()}
    jobs, same = [], {}
    known = known_worths(inputs)
    for name, plan in inputs.plans.items():
        if name == "true_upper" and plan == inputs.plans["true_lower"]:
            same[name] = "true_lower"
        else:
            jobs.append(_job(name, inputs, inputs.venue, tapes[name], plan, keep=True, truth=known))
    incident = inputs.incident
    if incident is None or not inputs.options.rules:
        return jobs, same
    for found, shared in (fault_jobs(inputs, tapes, same), moves.move_jobs(inputs, move_shapes(incident))):
        jobs, same = jobs + found, same | shared
    return jobs, same


def move_shapes(incident: Incident) -> list[Shape]:
    """Return the true move of the rules' table, if the incident has it: everything falls as the broken series did, and stays."""
    shapes = incident.true_moves.shapes() if incident.true_moves else []
    return [shape for shape in shapes if shape == Shape("market-redemption", "stays", 1)]


def fault_jobs(inputs: Inputs, tapes: dict[str, np.ndarray], main: dict[str, str] | None) -> tuple[list[Job], dict[str, str]]:
    """Return the runs of every index rule under each plan, and whose results the others share.

    main: whose results the main runs share; a rule whose recipe is the rule book's then shares theirs. None: there are none.
    """
    jobs, same, known = [], {}, known_worths(inputs)
    for rule in inputs.incident.rules:
        venue = inputs.incident.with_rule(inputs.venue, rule.name)
        ours = [_job(f"{rule.name}/{name}", inputs, venue, tapes[name], plan, truth=known) for name, plan in inputs.plans.items()]
        if main is not None and venue == inputs.venue:
            same |= {job.name: main.get(name, name) for job, name in zip(ours, inputs.plans, strict=True)}
        else:
            found, shared = moves.distinct(ours)
            jobs, same = jobs + found, same | shared
    return jobs, same


def worths(inputs: Inputs) -> dict[int, int]:
    """Return collateral asset -> number of the source that says what it is worth."""
    tape, venue = inputs.incident.tape, inputs.venue
    held = tape.population.held(tape.broken)
    return {venue.number("assets", asset): venue.number("sources", source) for asset, source in held.items()}


def known_worths(inputs: Inputs) -> dict[int, int]:
    """Return those worths that stand on the tape under the fault too: not those that the broken source says."""
    if inputs.incident is None:
        return {}
    broken = inputs.venue.number("sources", inputs.incident.tape.broken)
    return {asset: source for asset, source in worths(inputs).items() if source != broken}


def lockstep_jobs(inputs: Inputs) -> tuple[list[Job], int]:
    """Return the broken run and its true run (the lower edge) on every n-th pair of accounts, and how many accounts those are."""
    every = inputs.options.lockstep
    if not every:
        return [], 0
    thinned = inputs.tape.thin(every)
    jobs = []
    for name in RUNS[:2]:
        plan = inputs.plans[name]
        jobs.append(_job(name, inputs, inputs.venue, overlay(thinned.events, plan, inputs.venue), plan, keep=True))
    return jobs, _population(thinned)


def _population(tape: Tape) -> int:
    """Return how many accounts a tape opens; quoters and others that stand before its groups are not counted."""
    opened = tape.events["account"][tape.events["kind"] == EventKind.ACCOUNT]
    return int(np.count_nonzero(np.unique(opened) >= tape.meta.accounts_from))


def execute(inputs: Inputs, progress: Progress) -> tuple[dict[str, Ran], tuple[result.Twins, result.Laws], float]:
    """Run everything; return the runs, the lockstep sample and its seconds.

    Raises TwinsDiffer if the sample differs: nothing that was computed could be trusted.
    """
    jobs, same = plan_jobs(inputs)
    samples, accounts = lockstep_jobs(inputs)
    began, seconds = time.monotonic(), 0.0
    processes = running.processes() if samples or inputs.options.twin == "model" else None
    pool: Executor = processes if inputs.options.twin == "model" else ThreadPoolExecutor(running.WORKERS)
    compared: list[Compared] = []
    done: dict[str, Ran] = {}
    try:
        checks: list[Future] = [processes.submit(compare_twins, job, True) for job in samples] if processes else []
        futures = [pool.submit(run_job, inputs.options.twin, job) for job in jobs]
        total = len(checks) + len(futures)
        for i, future in enumerate(futures):
            progress(i, total, jobs[i].name)
            done[jobs[i].name] = future.result()
        for i, future in enumerate(checks):
            progress(len(futures) + i, total, f"lockstep {samples[i].name}")
            compared.append(future.result())
            seconds = time.monotonic() - began
        progress(total, total, "runs")
    except BaseException:
        for executor in (pool, processes):
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    for executor in (pool, processes):
        if executor is not None:
            executor.shutdown()
    for check in compared:
        if check.difference is not None:
            raise TwinsDiffer(*check.difference)
    for name, other in same.items():
        done[name] = done[other]._replace(name=name)
    twins = result.Twins(
        equal=True if compared else None,
        events=sum(check.events for check in compared),
        accounts=accounts,
        every=inputs.options.lockstep,
        runs=[check.name for check in compared],
    )
    return done, (twins, law_rows(compared)), seconds


def law_rows(compared: list[Compared]) -> result.Laws:
    """Return the laws on the sampled events of all compared runs together."""
    rows = []
    for name, law in LAWS.items() if compared else ():
        found = [row for check in compared for row in check.checked if row.name == name]
        first = next(
            (f"{check.name}: {row.first}" for check in compared for row in check.checked if row.name == name and row.first), None
        )
        rows.append(
            result.Law(
                name=name,
                text=law.text,
                scope=law.scope if law.check else "of whole runs, not checked on a sample",
                events=sum(row.events for row in found),
                broken=sum(row.broken for row in found),
                first=first,
            )
        )
    events, of = (sum(getattr(check, field) for check in compared) for field in ("law_events", "events"))
    return result.Laws(runs=[check.name for check in compared], events=events, of=of, rows=rows)


# ---- the answer


@dataclass(frozen=True)
class Replay:
    """A replay as objects: what the report and the tables are drawn from. `answer` is its JSON."""

    inputs: Inputs
    ran: dict[str, Ran]
    labels: Labels
    paid: list[making.Paid]
    answer: result.Result
    lockstep_seconds: float


def replay(options: Options, progress: Progress = lambda done, total, what: None) -> Replay:
    """Do the main job and leave a run folder; return what it showed."""
    inputs = read_inputs(options)
    ran, (twins, laws), seconds = execute(inputs, progress)
    main = label_runs(inputs, ran, "")
    paid, making_whole = make_whole(inputs, ran, main)
    falls = {
        name: waterfall(ran[name].outcomes, inputs.venue, ran[name].state)
        for name in RUNS
        if name != "true_upper" or inputs.plans[name] != inputs.plans["true_lower"]
    }
    flows = who_paid(ran["broken"].outcomes, inputs.venue, ran["broken"].state)
    decimals = inputs.venue.decimals(inputs.venue.numeraire)
    rules = rule_rows(inputs, ran, decimals) if inputs.incident and options.rules else []
    digest = digest_runs(ran)
    folder = options.out / f"{inputs.name}-{digest[:12]}"
    incident, meta = inputs.incident, inputs.tape.meta
    answer = result.Result(
        schema_version=1,
        name=inputs.name,
        title=inputs.title,
        incident=incident.id if incident else None,
        variant=options.variant if incident else None,
        seed=inputs.options.seed,
        accounts=_population(inputs.tape),
        venue=inputs.venue.name,
        numeraire=inputs.venue.numeraire,
        digest=digest,
        events=len(inputs.tape),
        start=units.ns_to_instant(meta.start_ns),
        window=tuple(map(units.ns_to_instant, inputs.window)) if inputs.window else None,
        horizon=units.ns_to_instant(inputs.horizon_ns),
        eps_ns=inputs.eps_ns,
        inputs=inputs.digests,
        faults={name: [row.id for row in plan.faults if row.enabled] for name, plan in inputs.plans.items()},
        twin=options.twin,
        twins=twins,
        laws=laws,
        runs=[
            result.Run(
                name=name, outcomes=r.count, digest=r.digest, forced_lots=int(r.forced.lots.sum()), losses=losses(r, decimals)
            )
            for name, r in ran.items()
        ],
        labels=result.Labels(**main.summary(decimals)),
        truth=result.Band(**incident.truth.model_dump()) if incident else None,
        waterfall=[result.Waterfall(**row.summary(name)) for name, row in falls.items()],
        paid=result.Paid(**flows.summary(inputs.venue)),
        make_whole=making_whole,
        rules=rules,
        facts=fact_rows(inputs),
        series=[result.Source(name=row.name, provenance=row.provenance, note=row.note) for row in meta.series],
        assumed=assumed(inputs),
        unknowns=unknowns(inputs),
        versions=versions(),
        token=token(inputs, digest),
        run_folder=str(folder),
    )
    done = Replay(inputs, ran, main, paid, answer, seconds)
    runs.leave(done)
    return done


def digest_runs(ran: dict[str, Ran]) -> str:
    """Return the blake2b-128 of the runs' outcome digests, by the runs' names in order."""
    return hashlib.blake2b("".join(ran[name].digest for name in sorted(ran)).encode(), digest_size=16).hexdigest()


def label_runs(inputs: Inputs, ran: dict[str, Ran], prefix: str) -> Labels:
    broken, lower, upper = (ran[prefix + name].forced for name in RUNS)
    return label(broken, lower, upper, inputs.eps_ns, inputs.horizon_ns)


def losses(r: Ran, decimals: int) -> result.Losses:
    money = {flow: units.int_to_decimal(r.flows[flow], decimals) for flow in r.flows}
    return result.Losses(
        fund_draw=money[Flow.FUND_PAYMENT], bad_debt=money[Flow.WRITE_OFF], liquidation_fees=money[Flow.LIQUIDATION_FEE]
    )


def anchor_of(inputs: Inputs, broken: Ran) -> making.Anchor:
    """Return the prices of the make-whole instant.

    Positions: the price source of the market's population; other markets: their last valid mark. Collateral: `own` is the source
    of its worth (the broken one), `dex` the other recorded series of the incident.
    """
    incident, venue = inputs.incident, inputs.venue
    prices = incident.prices(venue, inputs.options.variant).make_whole
    people = incident.tape.population
    markets = {market: last_valid for market, _, _, _, _, last_valid, *_ in broken.state["marks"]}
    source = venue.number("sources", people.price_source)
    market = venue.number("markets", people.market)
    markets[market] = prices[source] * 10 ** (venue.markets[market].price_decimals - venue.sources[source].price_decimals)
    other = next(
        (venue.number("sources", row.source) for row in incident.tape.minutes if row.source != incident.tape.broken), None
    )
    own = worths(inputs)
    references = {"own": own} | ({"dex": dict.fromkeys(own, other)} if other is not None else {})
    return making.Anchor(
        time_ns=incident.make_whole.instant_ns,
        markets=markets,
        references={
            name: {asset: (prices[s], venue.sources[s].price_decimals) for asset, s in by_asset.items()}
            for name, by_asset in references.items()
        },
    )


def make_whole(inputs: Inputs, ran: dict[str, Ran], labels: Labels) -> tuple[list[making.Paid], result.MakeWhole | None]:
    """Return what each reading of the incident's make-whole rule pays; nothing where there is no incident."""
    incident, venue = inputs.incident, inputs.venue
    if incident is None:
        return [], None
    row = incident.make_whole
    anchor = anchor_of(inputs, ran["broken"])
    named = list(worths(inputs))
    paid = making.make_whole(
        ran["broken"].outcomes, ran["broken"].forced, labels, venue, anchor, (row.window.from_ns, row.window.to_ns), named
    )
    decimals = venue.decimals(venue.numeraire)
    prices = {
        venue.markets[m].name: {"instant": units.int_to_decimal(price, venue.markets[m].price_decimals)}
        for m, price in anchor.markets.items()
    }
    for name, by_asset in anchor.references.items():
        for asset, (price, places) in by_asset.items():
            prices.setdefault(venue.assets[asset].name, {})[name] = units.int_to_decimal(price, places)
    return paid, result.MakeWhole(
        rule=row.rule,
        instant=units.ns_to_instant(row.instant_ns),
        window=(units.ns_to_instant(row.window.from_ns), units.ns_to_instant(row.window.to_ns)),
        collateral=[venue.assets[asset].name for asset in named],
        prices=prices,
        questions=[
            result.Question(name=q.name, question=q.question, published=q.published, options={o.name: o.title for o in q.options})
            for q in row.readings
        ],
        readings=[result.Reading(**reading.summary(decimals)) for reading in paid],
    )


def rule_rows(inputs: Inputs, ran: dict[str, Ran], decimals: int) -> list[result.Rule]:
    """Return each index rule under the fault, and on the paired true move beside the table's first rule."""
    rows, shapes = [], move_shapes(inputs.incident)
    for rule in inputs.incident.rules:
        move = true_move(moves.beside(inputs, ran, rule.name, shapes[0]), decimals) if shapes else None
        rows.append(
            result.Rule(name=rule.name, title=rule.title, fault=rule_fault(inputs, ran, rule.name, decimals), true_move=move)
        )
    return rows


def rule_fault(inputs: Inputs, ran: dict[str, Ran], rule: str, decimals: int) -> result.Fault:
    """Return what an index rule does under the fault, against its own true runs."""
    labels, broken = label_runs(inputs, ran, f"{rule}/"), ran[f"{rule}/broken"]
    venue = inputs.venue
    places = {venue.number("assets", row.asset): venue.indices[venue.number("indices", row.index)] for row in venue.collateral}
    return result.Fault(
        labels=result.Labels(**labels.summary(decimals)),
        losses=losses(broken, decimals),
        cascades=result.Cascades(
            cascades=sum(broken.rounds.values()),
            rounds_max=max(broken.rounds, default=0),
            histogram={str(depth): n for depth, n in broken.rounds.items()},
        ),
        lows={
            venue.assets[asset].name: units.int_to_decimal(price, places[asset].price_decimals)
            for asset, price in sorted(broken.lows.items())
        },
        treasury_loss=units.int_to_decimal(broken.treasury_loss, decimals) if known_worths(inputs) else None,
    )


def _kept(pair: Paired) -> result.Kept:
    share = pair.kept_lots * units.PPM // pair.lots / units.PPM if pair.lots else None
    delay = None if pair.median_delay_ns is None else pair.median_delay_ns / units.NS
    return result.Kept(lots=pair.lots, share=share, median_delay_s=delay)


def true_move(found: Beside, decimals: int) -> result.TrueMove:
    moved, kept = found.guarded, _kept(found.whole)
    money = {
        "notional": moves.forced_notional(moved),
        "shortfall": moves.shortfall(moved),
        "fund_draw": moved.flows[Flow.FUND_PAYMENT],
        "bad_debt": moved.flows[Flow.WRITE_OFF],
        "treasury_loss": moved.treasury_loss,
        "hidden_shortfall": moved.hidden_shortfall,
    }
    return result.TrueMove(
        lots=int(moved.forced.lots.sum()),
        share=kept.share,
        extra_lots=found.whole.extra_lots,
        median_delay_s=kept.median_delay_s,
        of_the_move=_kept(found.caused),
        **{name: units.int_to_decimal(value, decimals) for name, value in money.items()},
    )


def assumed(inputs: Inputs) -> list[result.Note]:
    """Return every value that is not public: of the rule book, of the incident's rules and anchors."""
    notes = book_notes(inputs.venue)
    if inputs.of_pair is not None:
        notes += inputs.of_pair.assumed
    if inputs.incident is not None:
        for rule in inputs.incident.rules:
            if rule.assumed:
                notes.append(result.Note(path=f"rules.{rule.name}", why=rule.assumed))
        for path in inputs.incident.tape.paths:
            for anchor in path.anchors:
                if anchor.provenance == "assumed":
                    at = units.ns_to_instant(units.instant_to_ns(anchor.at))
                    notes.append(result.Note(path=f"{path.source} at {at} = {anchor.price}", why=anchor.note or "assumed"))
    return notes


def book_notes(venue: Venue) -> list[result.Note]:
    """Return what a rule book had to assume."""
    return [result.Note(path=_with_value(venue, row.path), why=row.why) for row in venue.assumed]


def _with_value(venue: Venue, path: str) -> str:
    """Return a path of the rule book, and its value where that is a single one."""
    here: Any = venue
    for step in path.split("."):
        if isinstance(here, list):
            here = (
                here[int(step)]
                if step.isdigit()
                else next(
                    x for x in here if step in (getattr(x, "name", None), getattr(x, "asset", None), getattr(x, "kind", None))
                )
            )
        else:
            here = here[step] if isinstance(here, dict) else getattr(here, step)
    return f"{path} = {here}" if isinstance(here, int | str) else path


def unknowns(inputs: Inputs) -> list[str]:
    """Return what this run does not know: incomplete feeds, synthetic paths, missing truth."""
    if inputs.incident is not None:
        return list(inputs.incident.unknowns)
    if inputs.of_pair is not None:
        return list(inputs.of_pair.unknowns)
    found = unknown_series(inputs.tape)
    if inputs.tape.meta.venue != inputs.venue.name:
        found.append(
            f"the tape was made for rule book {inputs.tape.meta.venue}, this is {inputs.venue.name}: ids are row numbers of both"
        )
    found.append("what was true: the tape without the plan is taken for it")
    return found


def unknown_series(tape: Tape) -> list[str]:
    """Return the series of a tape that were not recorded; a tape without any does not say."""
    found = [
        f"{row.name} is {row.provenance}{': ' + row.note if row.note else ''}"
        for row in tape.meta.series
        if row.provenance != "recorded"
    ]
    return found if tape.meta.series else ["where the tape's series come from: it does not say"]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"riskbed": version(), "schema": str(SCHEMA_VERSION), "python": platform.python_version()}
    for name in ("numpy", "pyarrow", "plotly"):
        found[name] = metadata.version(name)
    try:
        records = importlib.import_module("engine.records")
        found["engine"] = f"{records.BUILD['mode']} {records.BUILD['digest']}"
    except ImportError:
        found["engine"] = "absent"
    return found


def version() -> str:
    """Return the version of the installed package."""
    try:
        return metadata.version("riskbed")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


def token(inputs: Inputs, digest: str) -> str:
    """Return the one line that reproduces the run, and after the # what it must give."""
    options, words = inputs.options, ["riskbed", "replay"]
    if options.incident is not None:
        words.append(options.incident)
    if options.tape is None:
        words += ["--seed", str(options.seed), "--accounts", str(options.accounts), "--variant", options.variant]
    for name in ("tape", "venue", "plan"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    for name, ids in (("--fault", options.fault), ("--no-fault", options.no_fault)):
        for word in ids:
            words += [name, word]
    given = " ".join(f"{name} {inputs.digests[name]}" for name in ("tape", "venue"))
    return f"{shlex.join(words)}  # {given} outcomes {digest}"
