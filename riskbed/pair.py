"""A day of two events: four runs of one base tape (neither, A, B, both), what each cost whom, and why lots were closed.

    losses       per holder: what it is worth at the horizon in the run with neither, less what it is worth in the other run
    interaction  loss(A+B) - loss(A) - loss(B), exact integers
    worth        own: at each run's own last marks and published collateral; common: every run at one set of prices, the last
                 marks of run A and the true price of the collateral (the market moved in truth, the collateral did not)
    gain table   between two runs, by holder, at common prices: every asset and every market sums to 0 over the closed chart, or
                 LawBroken("L20")

Holders are the ledger accounts of the venue, its quoters, and the users by their label (riskbed/labels.py) in the later run
against the earlier one: `erroneous` ones it closes and the earlier does not; `deleveraged` users were counterparties of ADL in
the later run; `untouched` users were closed by force in neither.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from fuzz.overlay import overlay
from riskbed import jobs as running
from riskbed import replay as single
from riskbed import runs
from riskbed.bust import standing
from riskbed.causes import Cause, Causes, judge
from riskbed.gains import Holdings, Prices, Scale, gain_rows, own_prices
from riskbed.jobs import Job, Ran, run_job
from riskbed.labels import Labels, label
from riskbed.macro import pair_tape
from riskbed.pair_result import CauseRow, GainRow, GainTable, Losses, LossRow, Low, PairResult, RunLaw, RunRow
from riskbed.result import Labels as LabelTotals
from riskbed.result import Laws, Note, Source, Twins
from riskbed.result import Waterfall as WaterfallRow
from riskbed.waterfall import STAGES, Period, Waterfall, waterfall
from riskbed.waterfall import Cause as LossCause
from specs import load, parquet, units
from specs.errors import LawBroken, SpecError, TwinsDiffer
from specs.faults import Plan
from specs.incident import Incident
from specs.laws import LAWS
from specs.pair import PARTS, RUNS, Cascade, Pair, kind, true_run
from specs.rules import Venue
from specs.tape import Chart, EventKind, Flow, Grade, OutcomeKind, Reason, Stage, Tape, money_join

TRUE_RUN = true_run(RUNS[-1])
JUDGED = (TRUE_RUN, RUNS[-1])  # whose causes are judged: the later run, with the earlier for the truth
GAINS = (("none", "A"), ("none", "B"), ("A", "A+B"), ("none", "A+B"))
PRICES = ("common", "own")

Progress = single.Progress


# ---- reading


@dataclass(frozen=True)
class Inputs:
    """Everything a replay of a pair needs, read and checked. runs: those that are wanted, `none` first."""

    pair: Pair
    cascade: Cascade
    b: Incident
    venue: Venue
    tape: Tape
    plans: dict[str, Plan]
    seed: int
    runs: tuple[str, ...]
    options: single.Options


def names_pair(name: str) -> bool:
    """Return whether an incident's name or path means a pair, or one part of a pair that is no incident of its own.

    A name that means nothing is no pair: the replay of single incidents refuses it.
    """
    try:
        path = load.find("incident", name)
    except SpecError:
        return False
    return kind(path) is not None


def read_inputs(options: single.Options) -> Inputs:
    """Read and check everything before anything runs. Raises SpecError."""
    for name, default in (("tape", None), ("venue", None), ("plan", None), ("accounts", None), ("variant", "close")):
        if getattr(options, name) != default:
            raise SpecError(
                f"--{name} with a pair of incidents", remedy="the pair brings its own; --seed, --fault, --no-fault act"
            )
    path, wanted = load.find("incident", options.incident), RUNS
    if kind(path) == "cascade":
        wanted = RUNS[:2]
        path = load.find("incident", load.load(path, Cascade).part_of)
    pair, cascade, b, venue = read(path)
    seed = cascade.tape.seed if options.seed is None else options.seed
    plans = single.toggled({name: plan_of(pair, cascade, name) for name in wanted}, options.fault, options.no_fault)
    return Inputs(pair, cascade, b, venue, pair_tape(pair, cascade, b, venue, seed=seed), plans, seed, wanted, options)


def read(path: Path) -> tuple[Pair, Cascade, Incident, Venue]:
    """Return the rows of a pair's file, of its parts and of their rule book, checked against each other. Raises SpecError."""
    pair = load.load(path, Pair)
    part = load.find("incident", pair.parts["A"].incident)
    venue = load.load(load.find("venue", load.load(part, Cascade).venue), Venue)
    cascade = load.load(part, Cascade, check=lambda row: row.check(venue))
    load.load(path, Pair, check=lambda row: row.check(venue, cascade))
    return pair, cascade, load.load(load.find("incident", pair.parts["B"].incident), Incident), venue


def one_run(options: single.Options, run: str | None) -> single.Inputs:
    """Return one run of a pair as the inputs of a single replay: broken is that run, true is it without B. Raises SpecError.

    run None: the base tape, for whoever brings his own plans. options.plan: another plan in place of the broken run's. A rule
    book is another by replay.under.
    """
    plan, options = options.plan, replace(options, plan=None)
    inputs = read_inputs(options)
    venue, meta = inputs.venue, inputs.tape.meta
    broken = load.load(plan, Plan, check=lambda row: row.check(venue)) if plan else inputs.plans[run or RUNS[0]]
    true = inputs.plans[true_run(run or RUNS[0])]
    plans = dict(zip(single.RUNS, (broken, true, true), strict=True))
    digests = {"tape": inputs.tape.digest(), "venue": single.digest_row(venue)}
    return single.Inputs(
        name=single.safe_name(f"{inputs.pair.id}-{run}-seed{inputs.seed}" if run else f"{inputs.pair.id}-seed{inputs.seed}"),
        title=f"{inputs.pair.title}: run {run}" if run else inputs.pair.title,
        incident=None,
        venue=venue,
        tape=inputs.tape,
        plans=plans,
        horizon_ns=meta.horizon_ns,
        eps_ns=inputs.pair.eps_ns,
        window=(inputs.cascade.window.from_ns, inputs.cascade.window.to_ns),
        options=replace(options, seed=inputs.seed, accounts=single._population(inputs.tape)),
        digests=digests | {f"plan_{name}": single.digest_row(row) for name, row in plans.items()},
        of_pair=single.OfPair(inputs.pair.id, run, tuple(recipe_notes(inputs)), tuple(unknowns(inputs))),
    )


def plan_of(pair: Pair, cascade: Cascade, run: str) -> Plan:
    """Return the plan of a run: the common plan's faults that belong to its parts, in the common order."""
    parts = [name for name in PARTS if name in run.split("+")]
    ours = [fault for name in parts for fault in pair.parts[name].faults]
    whole = pair.plan(cascade)
    name = whole.name + "-" + ("-".join(parts) or "none")
    return Plan(schema_version=1, name=name, faults=[fault for fault in whole.faults if fault.id in ours])


def job_of(inputs: Inputs, name: str, tape: Tape | None = None) -> Job:
    """Return the job of a run: the base tape with the run's tape faults, the rule book with its quoter faults."""
    plan, tape = inputs.plans[name], tape or inputs.tape
    events = overlay(tape.events, plan, inputs.venue)
    return Job(
        name, plan.rules(inputs.venue), tape.meta.start_ns, events, plan.seam_rows(inputs.venue), tape.meta.horizon_ns, True, {}
    )


def true_prices(inputs: Inputs, state: dict[str, list[tuple[int, ...]]]) -> Prices:
    """Return the marks of a final state and the true price of the collateral at the end of the tape."""
    truth, events = truth_of(inputs), inputs.tape.events
    assets = {}
    for asset, source in truth.items():
        said = events[(events["kind"] == EventKind.SOURCE) & (events["source"] == source)]
        assets[asset] = int(said["price"][-1]), inputs.venue.sources[source].price_decimals
    return Prices(own_prices(inputs.venue, state).values, assets)


def truth_of(inputs: Inputs) -> dict[int, int]:
    """Return collateral asset -> number of the source that says its true price."""
    return {
        inputs.venue.number("assets", inputs.cascade.tape.collateral): inputs.venue.number("sources", inputs.pair.collateral.true)
    }


# ---- holders


def deleveraged(outcomes: np.ndarray) -> set[int]:
    """Return the counterparties of deleveragings: winners whose positions were closed for somebody else's loss."""
    adl = outcomes[(outcomes["kind"] == OutcomeKind.ADL) & (outcomes["reason"] != Reason.OWN_LEG)]
    return set(adl["other"].tolist())


def holders(inputs: Inputs, labels: Labels | None, winners: frozenset[int] | set[int] = frozenset()) -> dict[int, str]:
    """Return ledger account -> holder: a ledger account of the venue by its name, `quoters`, or the user's label.

    winners: who was deleveraged and not liquidated.
    """
    group = {int(chart): chart.name.lower() for chart in Chart}
    quoters = {row.account for row in inputs.venue.quoters}
    found = labels.accounts() if labels is not None else {}
    events = inputs.tape.events
    for account in np.unique(events["account"][events["kind"] == EventKind.ACCOUNT]).tolist():
        if account in quoters:
            group[account] = "quoters"
        elif labels is None:
            group[account] = "users"
        else:
            other = "deleveraged" if account in winners else "untouched"
            group[account] = f"users, {found[account].name.lower() if account in found else other}"
    return group


# ---- sums of a run


def flow_sums(venue: Venue, ran: Ran) -> dict[str, int]:
    """Return the money of every kind of flow in the numeraire's unit, by name; trades and flows of other assets are left out."""
    rows = ran.outcomes[
        (ran.outcomes["kind"] == OutcomeKind.FLOW) & (ran.outcomes["asset"] == venue.number("assets", venue.numeraire))
    ]
    found = {}
    for flow in Flow:
        ours = rows[rows["flow"] == flow]
        found[flow.name.lower()] = sum(
            money_join(lo, hi) for lo, hi in zip(ours["money_lo"].tolist(), ours["money_hi"].tolist(), strict=True)
        )
    return found


def close_sums(venue: Venue, ran: Ran) -> dict[str, int]:
    """Return the notional of every kind of outcome that closes positions in a stage, in the numeraire's unit, by stage.

    Kinds and stages are walked: one that is not there yet adds a line when it comes. A fill that was busted closed nothing.
    """
    outcomes = ran.outcomes
    closing = (outcomes["stage"] != Stage.NONE) & (outcomes["qty"] > 0) & (outcomes["kind"] != OutcomeKind.CANCELLED)
    closing &= standing(outcomes)
    found = {stage: 0 for stage in Stage}
    rows, worth = outcomes[closing], [venue.worth(row) for row in venue.markets]
    for stage, market, n, price in zip(*(rows[name].tolist() for name in ("stage", "market", "qty", "price")), strict=True):
        found[stage] += n * abs(worth[market](price))
    return {stage.name.lower(): money for stage, money in found.items() if money}


def decomposed(names: list[str], by_run: dict[str, dict[str, int]], decimals: int, sign: int) -> list[LossRow]:
    """Return A, B, both and their interaction for each name: sign x (run - none), exact; None for what was not run."""
    rows = []
    base = by_run["none"]
    for name in names:
        cost = {run: sign * (sums.get(name, 0) - base.get(name, 0)) for run, sums in by_run.items()}
        if "A+B" in cost:
            cost["interaction"] = cost["A+B"] - cost["A"] - cost["B"]
        a, b, both, more = (
            units.int_to_decimal(cost[run], decimals) if run in cost else None for run in ("A", "B", "A+B", "interaction")
        )
        rows.append(LossRow(name=name, A=a, B=b, both=both, interaction=more))
    return rows


def losses(inputs: Inputs, ran: dict[str, Ran], scale: Scale, common: Prices, falls: dict[str, Waterfall]) -> Losses:
    """Return the losses of every run against the run with neither, by holder, by kind of flow and close, and by cause."""
    group = holders(inputs, None)
    tables = {}
    for which in PRICES:
        by_run = {}
        for name, r in ran.items():
            prices = common if which == "common" else own_prices(inputs.venue, r.state)
            sums: Counter = Counter()
            for (account, _), worth in scale.worth(Holdings.of(r.state), prices).items():
                sums[group[account]] += worth
            if sum(sums.values()):
                raise LawBroken("L2", len(inputs.tape) - 1, f"run {name} is worth {sum(sums.values())} over the closed chart")
            by_run[name] = dict(sums)
        names = [name for name in dict.fromkeys(group.values()) if any(name in sums for sums in by_run.values())]
        tables[which] = decomposed(names, by_run, scale.decimals, -1)
    decimals = inputs.venue.decimals(inputs.venue.numeraire)
    flows = {name: flow_sums(inputs.venue, r) for name, r in ran.items()}
    closes = {name: close_sums(inputs.venue, r) for name, r in ran.items()}
    inside = {name: {cause.value: fall.rows[Period.INSIDE][cause] for cause in LossCause} for name, fall in falls.items()}
    return Losses(
        common=tables["common"],
        own=tables["own"],
        flows=decomposed(
            [f for f, n in flows["none"].items() if any(sums[f] != n for sums in flows.values())], flows, decimals, 1
        ),
        closes=decomposed(list(dict.fromkeys(n for sums in closes.values() for n in sums)), closes, decimals, 1),
        liquidated=decomposed(
            [cause.value for cause in LossCause if cause in STAGES or any(sums[cause] for sums in inside.values())],
            inside,
            falls["none"].decimals,
            -1,
        ),
    )


def lows(inputs: Inputs, ran: Ran) -> list[Low]:
    """Return each market's lowest mark from A's beginning on, and its fall from the mark then in force."""
    found, from_ns = [], inputs.cascade.window.from_ns
    said = ran.outcomes[(ran.outcomes["kind"] == OutcomeKind.MARK) & (ran.outcomes["grade"] == Grade.VALID)]
    for market, row in enumerate(inputs.venue.markets):
        ours = said[said["market"] == market]
        start = max(int(np.searchsorted(ours["time_ns"], from_ns, side="right")) - 1, 0)
        i = start + int(np.argmin(ours["price"][start:]))
        low, first = int(ours["price"][i]), int(ours["price"][start])
        found.append(
            Low(
                market=row.name,
                price=units.int_to_decimal(low, row.price_decimals),
                at=units.ns_to_instant(int(ours["time_ns"][i])),
                fall=(first - low) * units.PPM // first / units.PPM,
            )
        )
    return found


def news_fall(inputs: Inputs, market: int) -> float:
    """Return the fall that the news alone would make in a market, as a share of its price before."""
    row = inputs.cascade.tape.markets[market]
    points, quiet = [1 + row.beta_ppm * p.ppm / units.PPM**2 for p in inputs.cascade.tape.news], inputs.cascade.tape.quiet[-1]
    before = 1 + row.beta_ppm * quiet.ppm / units.PPM**2
    return 1 - min(points) / before


def ignited(inputs: Inputs, found: list[Low], market: int = 0) -> bool:
    """Return whether a market fell half as far again as the news: a fall that its own liquidations made."""
    return found[market].fall > 1.5 * max(news_fall(inputs, market), 0.01)


def collateral_below(inputs: Inputs, ran: Ran) -> int | None:
    """Return the first time at which the published collateral price is below the pair's limit."""
    asset = inputs.venue.number("assets", inputs.cascade.tape.collateral)
    row = next(row for row in inputs.venue.collateral if row.asset == inputs.cascade.tape.collateral)
    places = inputs.venue.indices[inputs.venue.number("indices", row.index)].price_decimals
    limit = units.decimal_to_int(inputs.pair.below, places)
    outcomes = ran.outcomes
    below = (outcomes["kind"] == OutcomeKind.COLLATERAL) & (outcomes["asset"] == asset) & (outcomes["price"] < limit)
    at = np.flatnonzero(below)
    return int(outcomes["time_ns"][at[0]]) if len(at) else None


def run_row(inputs: Inputs, ran: Ran) -> RunRow:
    """Return the figures of one run."""
    forced = ran.forced
    notional = [n * value for n, value in zip(forced.lots.tolist(), forced.value, strict=True)]
    long = sum(money for money, side in zip(notional, forced.side.tolist(), strict=True) if side == 1)
    total, found, below = sum(notional), lows(inputs, ran), collateral_below(inputs, ran)
    return RunRow(
        name=ran.name,
        faults=[fault.id for fault in inputs.plans[ran.name].faults if fault.enabled],
        outcomes=ran.count,
        digest=ran.digest,
        liquidations=int(np.count_nonzero(ran.outcomes["kind"] == OutcomeKind.LIQUIDATION)),
        accounts_closed=len(np.unique(forced.account)),
        forced_lots=int(forced.lots.sum()),
        forced_notional=units.int_to_decimal(total, inputs.venue.decimals(inputs.venue.numeraire)),
        long_share=long * units.PPM // total / units.PPM if total else None,
        lows=found,
        collateral_below=None if below is None else units.ns_to_instant(below),
        ignited=ignited(inputs, found),
    )


# ---- the answer


@dataclass(frozen=True)
class Done:
    """A replay of a pair as objects; `answer` is its JSON. labels: later run -> earlier run -> labels."""

    inputs: Inputs
    ran: dict[str, Ran]
    labels: dict[tuple[str, str], Labels]
    causes: Causes | None
    answer: PairResult
    seconds: float


def execute(inputs: Inputs, progress: Progress) -> tuple[dict[str, Ran], Twins, Laws]:
    """Run everything in threads, then the lockstep sample of the last run, under the laws, if asked for. Raises TwinsDiffer."""
    every = inputs.options.lockstep
    total, done = len(inputs.runs) + bool(every), {}
    with ThreadPoolExecutor(running.WORKERS) as pool:
        futures = [pool.submit(run_job, inputs.options.twin, job_of(inputs, name)) for name in inputs.runs]
        for i, (name, future) in enumerate(zip(inputs.runs, futures, strict=True)):
            progress(i, total, name)
            done[name] = future.result()
    if not every:
        return done, Twins(equal=None, events=0, accounts=0, every=0, runs=[]), single.law_rows([])
    last, thinned = inputs.runs[-1], inputs.tape.thin(every)
    progress(total - 1, total, f"lockstep {last}")
    check = running.compare_twins(job_of(inputs, last, thinned), lawful=True)
    if check.difference is not None:
        raise TwinsDiffer(*check.difference)
    accounts = int(np.count_nonzero(thinned.events["kind"] == EventKind.ACCOUNT))
    twins = Twins(equal=True, events=check.events, accounts=accounts, every=every, runs=[last])
    return done, twins, single.law_rows([check])


def run_laws(ran: dict[str, Ran], labels: dict[tuple[str, str], Labels]) -> list[RunLaw]:
    """Return the laws that `losses` (L2) and the gain tables (L20) hold the runs to; either raises LawBroken."""
    between = [f"{earlier} to {later}" for earlier, later in labels]
    return [RunLaw(name=name, text=LAWS[name].text, on=on) for name, on in (("L2", list(ran)), ("L20", between))]


def cause_rows(inputs: Inputs, labels: Labels, found: Causes) -> list[CauseRow]:
    """Return lots, notional and accounts by cause, the worst last."""
    rows = []
    decimals = inputs.venue.decimals(inputs.venue.numeraire)
    for cause, (lots, notional, accounts) in found.totals(labels).items():
        by_mark = int(labels.lots[found.by_mark & (found.cause == cause)].sum())
        direct = cause == Cause.DIRECT
        rows.append(
            CauseRow(
                cause=cause.name.lower(),
                lots=lots,
                notional=units.int_to_decimal(notional, decimals),
                accounts=accounts,
                by_collateral_lots=lots - by_mark if direct else 0,
                by_mark_lots=by_mark if direct else 0,
            )
        )
    return rows


def gain_tables(
    inputs: Inputs, ran: dict[str, Ran], labels: dict[tuple[str, str], Labels], scale: Scale, common: Prices
) -> list[GainTable]:
    """Return the gain table of every pair of runs that was made."""
    tables, names = [], [row.name for row in inputs.venue.assets]
    last = len(inputs.tape) - 1
    for earlier, later in labels:
        group = holders(inputs, labels[earlier, later], deleveraged(ran[later].outcomes))
        before, after = (Holdings.of(ran[name].state) for name in (earlier, later))
        rows = []
        for holder, accounts, mine in gain_rows(inputs.venue, scale, before, after, common, group, last):
            if not mine and not holder.startswith("users"):
                continue  # a ledger account that never held anything
            by_asset = {names[asset]: scale.text(worth) for asset, worth in sorted(mine.items()) if worth}
            rows.append(GainRow(holder=holder, accounts=accounts, by_asset=by_asset, gain=scale.text(sum(mine.values()))))
        tables.append(GainTable(earlier=earlier, later=later, rows=rows))
    return tables


def replay(options: single.Options, progress: Progress = lambda done, total, what: None) -> Done:
    """Replay a pair, or its part A alone, and leave a run folder."""
    began = time.monotonic()
    inputs = read_inputs(options)
    ran, twins, laws = execute(inputs, progress)
    scale, venue = Scale(inputs.venue), inputs.venue
    horizon_ns, meta = inputs.tape.meta.horizon_ns, inputs.tape.meta
    common = true_prices(inputs, ran[TRUE_RUN].state)
    falls = {name: waterfall(r.outcomes, venue, r.state) for name, r in ran.items()}
    labels = {
        (earlier, later): label(ran[later].forced, ran[earlier].forced, ran[earlier].forced, inputs.pair.eps_ns, horizon_ns)
        for earlier, later in GAINS
        if earlier in ran and later in ran
    }
    found = None
    if JUDGED in labels:
        last = ran[RUNS[-1]]
        found = judge(
            venue,
            inputs.tape.events,
            last.outcomes,
            last.state,
            last.forced,
            ran[TRUE_RUN].outcomes,
            truth_of(inputs),
            labels[JUDGED],
        )
    digest = hashlib.blake2b("".join(ran[name].digest for name in ran).encode(), digest_size=16).hexdigest()
    name = f"{inputs.pair.id}{'' if len(ran) == len(RUNS) else '-A'}-seed{inputs.seed}"
    decimals = venue.decimals(venue.numeraire)
    answer = PairResult(
        schema_version=1,
        name=name,
        title=inputs.pair.title if len(ran) == len(RUNS) else inputs.cascade.title,
        pair=inputs.pair.id,
        parts={part: row.incident for part, row in inputs.pair.parts.items()},
        seed=inputs.seed,
        accounts=single._population(inputs.tape),
        venue=venue.name,
        numeraire=venue.numeraire,
        digest=digest,
        base_tape=inputs.tape.digest(),
        events=len(inputs.tape),
        start=units.ns_to_instant(meta.start_ns),
        horizon=units.ns_to_instant(horizon_ns),
        eps_ns=inputs.pair.eps_ns,
        low_window=(units.ns_to_instant(inputs.cascade.low.from_ns), units.ns_to_instant(inputs.cascade.low.to_ns)),
        runs=[run_row(inputs, r) for r in ran.values()],
        losses=losses(inputs, ran, scale, common, falls),
        waterfall=[WaterfallRow(**fall.summary(name)) for name, fall in falls.items()],
        gains=gain_tables(inputs, ran, labels, scale, common),
        causes=[] if found is None else cause_rows(inputs, labels[JUDGED], found),
        triggers=0 if found is None else found.triggers,
        labels={f"{later} against {earlier}": LabelTotals(**rows.summary(decimals)) for (earlier, later), rows in labels.items()},
        common_prices=_said(venue, common),
        twins=twins,
        run_laws=run_laws(ran, labels),
        laws=laws,
        series=[Source(name=row.name, provenance=row.provenance, note=row.note) for row in meta.series],
        assumed=assumed(inputs),
        unknowns=unknowns(inputs),
        versions=single.versions(),
        token=token(inputs, digest),
        run_folder=str(options.out / f"{name}-{digest[:12]}"),
    )
    done = Done(inputs, ran, labels, found, answer, time.monotonic() - began)
    leave(done, scale, common)
    return done


def _said(venue: Venue, prices: Prices) -> dict[str, str]:
    """Return the common prices by name, in whole quote units."""
    found = {}
    for market, row in enumerate(venue.markets):
        found[row.name] = units.int_to_decimal(prices.values[market] // venue.multiplier(row), row.price_decimals)
    return found | {venue.assets[a].name: units.int_to_decimal(price, places) for a, (price, places) in prices.assets.items()}


def assumed(inputs: Inputs) -> list[Note]:
    """Return every value that is not public: of the rule book, of A's markets and path, and what its faults set."""
    return [*single.book_notes(inputs.venue), *recipe_notes(inputs)]


def unknowns(inputs: Inputs) -> list[str]:
    """Return what no run of the pair knows."""
    return [*inputs.pair.unknowns, *inputs.cascade.unknowns]


def recipe_notes(inputs: Inputs) -> list[Note]:
    """Return what the tape and the faults of A had to assume."""
    notes = []
    for row in inputs.cascade.tape.markets:
        notes.append(Note(path=f"{row.market} beta {row.beta_ppm / units.PPM:g}", why=row.beta_note))
        notes.append(Note(path=f"{row.market} from {row.price}", why=row.price_note))
    notes.append(Note(path="dips", why=inputs.cascade.tape.dips.note))
    for fault in inputs.cascade.faults:
        if fault.kind == "quoter":
            values = ", ".join(f"{field} {value:,}" for field, value in fault.update().items())
            notes.append(Note(path=f"fault {fault.id}: {values}", why="when makers leave and come back is not public"))
    return notes


def token(inputs: Inputs, digest: str) -> str:
    """Return the one line that reproduces the replay, and after the # what it must give."""
    words = ["riskbed", "replay", inputs.options.incident, "--seed", str(inputs.seed)]
    for flag, ids in (("--fault", inputs.options.fault), ("--no-fault", inputs.options.no_fault)):
        for word in ids:
            words += [flag, word]
    return f"{shlex.join(words)}  # tape {inputs.tape.digest()} outcomes {digest}"


def account_rows(done: Done, scale: Scale, common: Prices) -> pa.Table:
    """Return one row a user: label of each comparison, worth in every run at common prices, losses, forced lots by cause."""
    base = done.ran["none"].state
    accounts = [row[0] for row in base["accounts"]]
    place = {account: i for i, account in enumerate(accounts)}
    columns: dict[str, object] = {"account": np.array(accounts, dtype=np.uint32)}
    for (earlier, later), labels in done.labels.items():
        names = labels.accounts()
        columns[f"label {later} against {earlier}"] = [names[a].name.lower() if a in names else None for a in accounts]
    worth = {}
    for name, ran in done.ran.items():
        worth[name] = [0] * len(accounts)
        for (account, _), n in scale.worth(Holdings.of(ran.state), common).items():
            if account in place:
                worth[name][place[account]] += n
        columns[f"worth {name}"] = worth[name]
    for name in list(done.ran)[1:]:
        columns[f"loss {name}"] = [none - then for none, then in zip(worth["none"], worth[name], strict=True)]
    if done.causes is not None:
        labels = done.labels[JUDGED]
        for cause in Cause:
            lots = np.zeros(len(accounts), dtype=np.int64)
            ours = done.causes.cause == cause
            np.add.at(lots, [place[a] for a in labels.account[ours].tolist()], labels.lots[ours])
            columns[f"{cause.name.lower()} lots"] = lots
    return runs.accounts_table(columns, scale.decimals)


def leave(done: Done, scale: Scale, common: Prices) -> None:
    """Leave the run folder, whole or not at all: run.json, outcomes by run, accounts.parquet, series.parquet, report.html."""
    series = {
        name: runs.series_rows(
            overlay(done.inputs.tape.events, done.inputs.plans[name], done.inputs.venue), r.outcomes, done.inputs.venue
        )
        for name, r in done.ran.items()
    }
    tables = {"accounts.parquet": account_rows(done, scale, common), "series.parquet": runs.series_table(series)}
    answer, decimals = done.answer, [row.decimals for row in done.inputs.venue.assets]
    writers = {
        f"outcomes-{name}.parquet": partial(parquet.write_outcomes, outcomes=r.outcomes, decimals=decimals)
        for name, r in done.ran.items()
    }
    if done.inputs.options.report:
        from riskbed.report.pair import render

        page = render(done, series)
        writers["report.html"] = lambda path: path.write_text(page, encoding="utf-8")
    runs.write_folder(done.inputs.options.out, Path(answer.run_folder).name, answer.model_dump(mode="json"), tables, writers)
