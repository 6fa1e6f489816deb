"""Two rule books, or two fault plans, on one incident or tape: who is hurt, who is spared, who paid, and where the runs part.

A is before and B is after; both get the same events. Two rule books run under one plan: --plan, else the incident's broken one,
of a pair that of the run that --run names, else none. Two plans run under one rule book: --venue, else the incident's, else the
one that the tape names. Runs end at the tape's horizon. Ids on a tape are row numbers of the rule book it was made for: a rule
book in which such a number is missing, or means another source, market or asset, is refused before anything runs.

Accounts, markets and assets are those of the tape; what is added up is described in riskbed/sums.py, where the runs part in
riskbed/divergence.py.
"""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from fuzz.overlay import overlay
from riskbed import comparison as answer
from riskbed import jobs as running
from riskbed import pair as pairing
from riskbed import replay as replaying
from riskbed import runs
from riskbed.books import changed_rows, fits, made_for
from riskbed.divergence import Run, first_divergence
from riskbed.jobs import Job, Ran
from riskbed.report.charts import thin
from riskbed.result import Note, Source
from riskbed.sums import (
    COUNTED,
    FOR_LOTS,
    UNNAMED,
    Sums,
    account_sums,
    chart_name,
    gains_balance,
    open_interest,
    paths,
    perpetuals,
    worth,
)
from riskbed.sums import Path as Series
from specs import load, parquet, units
from specs.errors import SpecError
from specs.faults import Plan
from specs.pair import RUNS, Cascade, kind
from specs.rules import Venue
from specs.tape import USERS_FROM, Chart, EventKind, Flow

BUCKETS = 50  # of a path in the JSON: up to four points each
SIDES = ("a", "b")

Progress = replaying.Progress


@dataclass(frozen=True)
class Options:
    """What a user may choose. a, b: a packaged name or a file; both rule books or both plans. run: of a pair of incidents."""

    a: str
    b: str
    incident: str | None = None
    tape: Path | None = None
    venue: str | None = None
    plan: str | None = None
    seed: int | None = None
    accounts: int | None = None
    variant: str = "close"
    run: str | None = None
    out: Path = Path("runs")
    report: bool = True
    twin: str = "engine"


@dataclass(frozen=True)
class Given:
    """A or B as it was given: its file and its kind, rule book or plan."""

    text: str
    path: Path
    kind: str


@dataclass(frozen=True)
class Inputs:
    """Everything a comparison needs, read and checked: nothing has run yet. base: the replay's reading of tape and incident."""

    base: replaying.Inputs
    given: tuple[Given, Given]
    venues: tuple[Venue, Venue]
    plans: tuple[Plan, Plan]
    options: Options

    @property
    def events(self) -> np.ndarray:
        """The events up to and with the horizon."""
        events = self.base.tape.events
        return events[events["time_ns"] <= self.base.horizon_ns]


@dataclass(frozen=True)
class Compared:
    """A comparison as objects: what the page and the tables are drawn from. `answer` is its JSON."""

    inputs: Inputs
    jobs: tuple[Job, Job]
    ran: tuple[Ran, Ran]
    sums: tuple[dict[int, Sums], dict[int, Sums]]
    equity: tuple[dict[int, int], dict[int, int]]
    paths: tuple[list[Series], list[Series]]
    answer: answer.Comparison


# ---- reading the inputs


def given(text: str) -> Given:
    """Return what a name or a path is: a rule book or a plan, told by its content. Raises SpecError."""
    packaged = load.names("venue") | load.names("plan")
    path = packaged.get(text, Path(text))
    if text not in packaged and "/" not in text and not text.endswith((".yaml", ".yml")) and not path.is_file():
        remedy = f"{load.near(text, packaged)}; or give the path of a YAML file"
        raise SpecError(f"there is no rule book or plan named '{text}'", remedy=remedy)
    tree = load.parse(load.read_text(path), load.shown(path)).tree
    where = f"{load.shown(path)}:1:1"
    if "faults" in tree:
        return Given(text, path, "plan")
    if "tape" in tree and "truth" in tree:
        raise SpecError("this is an incident", where=where, remedy="--incident names it; A and B are rule books or plans")
    if "markets" in tree or "assets" in tree:
        return Given(text, path, "rule book")
    raise SpecError(
        "this is neither a rule book nor a plan", where=where, remedy="a rule book has markets and assets, a plan has faults"
    )


def read_inputs(options: Options) -> Inputs:
    """Read and check everything before anything runs. Raises SpecError or TapeError."""
    sides = given(options.a), given(options.b)
    if sides[0].kind != sides[1].kind:
        raise SpecError(
            f"A is a {sides[0].kind} and B is a {sides[1].kind}",
            where=f"{load.shown(sides[1].path)}:1:1",
            remedy="two rule books, or two plans; --plan and --venue give what both sides share",
        )
    if (options.incident is None) == (options.tape is None):
        problem = "nothing to compare them on" if options.incident is None else "--incident and --tape"
        raise SpecError(problem, remedy="one of --incident NAME and --tape FILE; `riskbed incidents` lists what is packaged")
    books = sides[0].kind == "rule book"
    for name, is_given, shared in (("venue", options.venue, books), ("plan", options.plan, not books)):
        if is_given and shared:
            raise SpecError(f"--{name} with two {sides[0].kind}s", remedy=f"A and B are the {sides[0].kind}s of the two runs")
    if options.run is not None and not books:
        raise SpecError("--run with two plans", remedy="a run of a pair is a plan: A and B are the plans of the two runs")
    return _books(options, sides) if books else _plans(options, sides)


def _base(options: Options, venue: Path | None, run: str | None = None) -> replaying.Inputs:
    """Return the replay's reading of the incident, of a run of the pair, or of the tape, without any plan of ours."""
    asked = replaying.Options(
        incident=options.incident,
        seed=options.seed,
        accounts=options.accounts,
        variant=options.variant,
        tape=options.tape,
        venue=venue,
        lockstep=0,
    )
    if options.tape is None and (what := kind(path := load.find("incident", options.incident))):
        if what == "cascade":
            whole = load.load(path, Cascade).part_of
            raise SpecError(f"{options.incident} is the cascade of a pair", remedy=f"--incident {whole} --run A plays it alone")
        return pairing.one_run(asked, run)
    if options.run is not None:
        raise SpecError("--run without a pair of incidents", remedy="leave it out, or --incident 2025-10-10")
    return replaying.read_inputs(asked)


def _books(options: Options, sides: tuple[Given, Given]) -> Inputs:
    books = [load.load(side.path, Venue) for side in sides]
    base = _base(options, sides[0].path if options.tape is not None else None, options.run or RUNS[-1])
    original = _made_for(base, books)
    for i, side in enumerate(sides):
        books[i] = load.load(side.path, Venue, check=lambda row: fits(row, base.tape, original))
    plan = base.plans["broken"]
    if options.plan:
        path = load.find("plan", options.plan)
        for book in books:
            plan = load.load(path, Plan, check=lambda row, book=book: row.check(book))
    for book in books:
        plan.require(book)
    return Inputs(base, sides, (books[0], books[1]), (plan, plan), options)


def _made_for(base: replaying.Inputs, books: list[Venue]) -> Venue:
    """Return the rule book whose row numbers the tape's ids are: the incident's, else see books.made_for."""
    return base.venue if base.drawn is not None else made_for(base.tape, books)


def _plans(options: Options, sides: tuple[Given, Given]) -> Inputs:
    path = load.find("venue", options.venue) if options.venue else None
    base = _base(options, path if options.tape is not None else None)
    book = base.venue
    if path is not None:
        original = _made_for(base, [base.venue])
        book = load.load(path, Venue, check=lambda row: fits(row, base.tape, original))
    plans = [load.load(side.path, Plan, check=lambda row: row.check(book)) for side in sides]
    return Inputs(base, sides, (book, book), (plans[0], plans[1]), options)


# ---- the runs


def numbered(events: np.ndarray, plan: Plan, venue: Venue) -> tuple[np.ndarray, np.ndarray]:
    """Return the events under a plan, and of each its number before it; a fault may take SOURCE events out."""
    broken = overlay(events, plan, venue)
    if len(broken) == len(events):
        return broken, np.arange(len(events))
    said = events["kind"] == EventKind.SOURCE
    marked = events.copy()
    marked["ref_id"][said] = np.flatnonzero(said)  # a field of SOURCE that says nothing
    kept = np.zeros(len(events), dtype=bool)
    kept[~said] = True
    after = overlay(marked, plan, venue)
    kept[after["ref_id"][after["kind"] == EventKind.SOURCE].astype(np.int64)] = True
    return broken, np.flatnonzero(kept)


def jobs_of(inputs: Inputs) -> tuple[tuple[Job, Job], tuple[np.ndarray, np.ndarray]]:
    """Return the two runs, and the numbers of their events on the common tape."""
    made, numbers = [], []
    for name, venue, plan in zip(SIDES, inputs.venues, inputs.plans, strict=True):
        events, number = numbered(inputs.events, plan, venue)
        start_ns, horizon_ns = inputs.base.tape.meta.start_ns, inputs.base.horizon_ns
        made.append(Job(name, plan.rules(venue), start_ns, events, plan.seam_rows(venue), horizon_ns, True, {}))
        numbers.append(number)
    return (made[0], made[1]), (numbers[0], numbers[1])


def execute(jobs: Iterable[Job], twin: str, progress: Progress) -> tuple[Ran, Ran]:
    """Run A and B: the engine in threads, the model in processes."""
    pool: ThreadPoolExecutor | ProcessPoolExecutor
    pool = running.processes() if twin == "model" else ThreadPoolExecutor(running.WORKERS)
    with pool:
        futures = [pool.submit(running.run_job, twin, job) for job in jobs]
        done = []
        for i, future in enumerate(futures):
            progress(i, len(futures) + 1, f"run {SIDES[i]}")
            done.append(future.result())
    progress(len(futures), len(futures) + 1, "comparing")
    return done[0], done[1]


def _state_after(twin: str, job: Job) -> Callable[[np.ndarray], dict]:
    def run(events: np.ndarray) -> dict:
        exchange = running.exchange_of(twin)(job.venue, job.start_ns, job.seams)
        exchange.run(np.ascontiguousarray(events))
        return exchange.state()

    return run


# ---- the answer


def compare(options: Options, progress: Progress = lambda done, total, what: None) -> Compared:
    """Compare A and B and leave a run folder; return what it showed. Raises SpecError, TapeError, LawBroken (L20)."""
    inputs = read_inputs(options)
    jobs, numbers = jobs_of(inputs)
    ran = execute(jobs, options.twin, progress)
    two = tuple(zip(inputs.venues, ran, strict=True))
    sums = tuple(account_sums(r.outcomes, venue, r.state) for venue, r in two)
    equity = tuple(_equity(venue, r) for venue, r in two)
    start_ns = inputs.base.tape.meta.start_ns
    series = tuple(paths(r.outcomes, venue, start_ns) for venue, r in two)
    sides = [
        Run(job.venue, job.events, number, r.outcomes, _state_after(options.twin, job))
        for r, job, number in zip(ran, jobs, numbers, strict=True)
    ]
    rows = _account_rows(inputs, ran, sums, equity)
    digest = hashlib.blake2b("".join(r.digest for r in ran).encode(), digest_size=16).hexdigest()
    divergence = first_divergence(inputs.events, *sides)
    base, venue = inputs.base, inputs.venues[0]
    said = _sides(inputs, ran)
    name = replaying.safe_name("-".join(("compare", base.name, *(side.path.stem for side in inputs.given))))
    comparison = answer.Comparison(
        schema_version=1,
        name=name,
        title=base.title,
        incident=base.drawn,
        run=base.of_pair.run if base.of_pair else None,
        variant=base.options.variant if base.incident else None,
        seed=base.options.seed,
        numeraire=venue.numeraire,
        events=len(inputs.events),
        start=units.ns_to_instant(start_ns),
        horizon=units.ns_to_instant(base.horizon_ns),
        same=divergence is None and not rows,
        a=said[0],
        b=said[1],
        rows=changed_rows(*(inputs.venues if inputs.given[0].kind == "rule book" else inputs.plans)),
        accounts=rows,
        totals=_totals(inputs, ran, sums, equity, rows),
        first_divergence=divergence,
        paths=_path_rows(*series),
        tape=base.digests["tape"],
        digest=digest,
        twin=options.twin,
        series=[Source(name=row.name, provenance=row.provenance, note=row.note) for row in base.tape.meta.series],
        assumed=_assumed(inputs),
        unknowns=_unknowns(inputs, ran, sums, series),
        versions=replaying.versions(),
        token=token(inputs, said, digest),
        run_folder=str(options.out / f"{name}-{digest[:12]}"),
    )
    done = Compared(inputs, jobs, ran, sums, equity, series, comparison)
    leave(done)
    return done


def _equity(venue: Venue, r: Ran) -> dict[int, int]:
    """Return each user's equity at the end of a run: positions at its last valid marks, collateral at its last valid prices."""
    prices = {}
    for row in venue.collateral:
        asset = venue.number("assets", row.asset)
        last_valid = next(state[5] for state in r.state["collateral"] if state[0] == asset)
        prices[asset] = last_valid, venue.indices[venue.number("indices", row.index)].price_decimals
    return running.equities(venue, r.state, running.last_values(venue, r.state), prices)


def _sides(inputs: Inputs, ran: tuple[Ran, Ran]) -> list[answer.Side]:
    return [
        answer.Side(
            given=side.text,
            kind=side.kind,
            name=venue.name if side.kind == "rule book" else plan.name,
            venue=venue.name,
            plan=plan.name,
            faults=[row.id for row in plan.faults if row.enabled],
            venue_digest=replaying.digest_row(venue),
            plan_digest=replaying.digest_row(plan),
            outcomes=r.count,
            digest=r.digest,
        )
        for side, venue, plan, r in zip(inputs.given, inputs.venues, inputs.plans, ran, strict=True)
    ]


# ---- accounts and totals


def _money(a: int, b: int, decimals: int) -> answer.Moneys:
    texts = (units.int_to_decimal(number, decimals) for number in (a, b, b - a))
    return answer.Moneys(**dict(zip(("a", "b", "difference"), texts, strict=True)))


def _count(a: int, b: int) -> answer.Counts:
    return answer.Counts(a=a, b=b, difference=b - a)


def _counted(column: str, a: int, b: int, decimals: int) -> answer.Counts | answer.Moneys:
    return _money(a, b, decimals) if column.endswith("notional") else _count(a, b)


def _flow_rows(a: dict, b: dict, venue: Venue, all_rows: bool) -> list[answer.FlowRow]:
    """Return the flows of two sums side by side, by kind and asset; only those that differ unless all_rows."""
    order = {flow.name: int(flow) for flow in Flow}
    keys = sorted({*a, *b}, key=lambda key: (order.get(key[0], len(order)), key))
    return [
        answer.FlowRow(
            flow=flow,
            asset=venue.assets[asset].name,
            **_money(a.get((flow, asset), 0), b.get((flow, asset), 0), venue.assets[asset].decimals).model_dump(),
        )
        for flow, asset in keys
        if flow not in FOR_LOTS and (all_rows or a.get((flow, asset), 0) != b.get((flow, asset), 0))
    ]


def status(a: Sums, b: Sums) -> str:
    """Return hurt, spared, both or changed; of two sums that are not alike."""
    return {(False, True): "hurt", (True, False): "spared", (True, True): "both", (False, False): "changed"}[a.harmed, b.harmed]


_NOBODY = Sums()


def _account_rows(inputs: Inputs, ran, sums, equity) -> list[answer.AccountRow]:
    venue = inputs.venues[0]
    decimals = venue.decimals(venue.numeraire)
    owners = {row[0]: row[1] for r in ran for row in r.state["accounts"]}
    rows = []
    for account, owner in sorted(owners.items()):
        a, b = (side.get(account, _NOBODY) for side in sums)
        worths = [side.get(account, 0) for side in equity]
        if a == b and worths[0] == worths[1]:
            continue
        counted = {column: _counted(column, getattr(a, column), getattr(b, column), decimals) for column in COUNTED}
        paid = _flow_rows(a.flows, b.flows, venue, all_rows=False)
        money = _money(*worths, decimals)
        rows.append(answer.AccountRow(account=account, owner=owner, status=status(a, b), paid=paid, equity=money, **counted))
    return rows


def _totals(inputs: Inputs, ran, sums, equity, rows: list[answer.AccountRow]) -> answer.Totals:
    venue = inputs.venues[0]
    decimals = venue.decimals(venue.numeraire)
    users = [{number: row for number, row in side.items() if number >= USERS_FROM} for side in sums]
    flows = [_flow_sums(side) for side in users]
    by_status = Counter(row.status for row in rows)
    population = len({*users[0], *users[1]})
    of = {column: [sum(getattr(row, column) for row in side.values()) for side in users] for column in COUNTED}
    liquidated, deleveraged = (
        [{n for n, row in side.items() if getattr(row, column)} for side in users] for column in ("episodes", "adl_lots")
    )
    numeraire = venue.number("assets", venue.numeraire)

    def flowed(names: tuple[str, ...], sign: int) -> answer.Moneys:
        return _money(*(sign * sum(side.get((flow, numeraire), 0) for flow in names) for side in flows), decimals)

    return answer.Totals(
        accounts=population,
        **{name: by_status[name] for name in ("hurt", "spared", "both", "changed")},
        alike=population - len(rows),
        liquidated=_count(*map(len, liquidated)),
        newly_liquidated=len(liquidated[1] - liquidated[0]),
        no_longer_liquidated=len(liquidated[0] - liquidated[1]),
        deleveraged=_count(*map(len, deleveraged)),
        newly_deleveraged=len(deleveraged[1] - deleveraged[0]),
        no_longer_deleveraged=len(deleveraged[0] - deleveraged[1]),
        **{column: _counted(column, *of[column], decimals) for column in COUNTED},
        equity=_money(*(sum(side.values()) for side in equity), decimals),
        shortfall=flowed(("FUND_PAYMENT", "WRITE_OFF"), 1),
        fund_draw=flowed(("FUND_PAYMENT",), 1),
        bad_debt=flowed(("WRITE_OFF",), 1),
        fund=_money(*(_balance(r, Chart.FUND, numeraire) for r in ran), decimals),
        liquidation_fees=flowed(("LIQUIDATION_FEE",), -1),
        fees=flowed(("FEE",), -1),
        paid=_flow_rows(*flows, venue, all_rows=True),
        open_interest=[
            answer.MarketLots(market=row.name, **_count(*(open_interest(r.state, market) for r in ran)).model_dump())
            for market, row in perpetuals(venue)
            if market < len(inputs.venues[1].markets)
        ],
        gains=_gains(inputs, ran),
    )


def _flow_sums(side: dict[int, Sums]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for row in side.values():
        for key, money in row.flows.items():
            found[key] = found.get(key, 0) + money
    return found


def _balance(r: Ran, number: int, asset: int) -> int:
    return next((balance for n, a, balance in r.state["balances"] if (n, a) == (number, asset)), 0)


def _gains(inputs: Inputs, ran: tuple[Ran, Ran]) -> list[answer.Gain]:
    """Return what the users together and each account of the chart ended with, by asset. Raises LawBroken L20."""
    ended = [worth(venue, r.state, running.last_values(venue, r.state)) for venue, r in zip(inputs.venues, ran, strict=True)]
    keys = sorted({*ended[0], *ended[1]})
    gains_balance({key: ended[1].get(key, 0) - ended[0].get(key, 0) for key in keys}, len(inputs.events) - 1)
    sums: dict[tuple[str, int], list[int]] = {}
    for number, asset in keys:
        row = sums.setdefault(("USERS" if number >= USERS_FROM else chart_name(number), asset), [0, 0])
        for i in range(2):
            row[i] += ended[i].get((number, asset), 0)
    assets = inputs.venues[0].assets
    return [
        answer.Gain(account=name, asset=assets[asset].name, **_money(*pair, assets[asset].decimals).model_dump())
        for (name, asset), pair in sorted(sums.items(), key=lambda row: (row[0][1], row[0][0] != "USERS", row[0][0]))
    ]


def _path_rows(a: list[Series], b: list[Series]) -> list[answer.PathRow]:
    """Return the paths that both runs have, at the times that the thinned path of either has."""
    theirs, rows = {row.name: row for row in b}, []
    for row in a:
        if row.name not in theirs:
            continue
        pair = row, theirs[row.name]
        times = sorted({t for one in pair for t in _thinned(one)})
        held = [np.searchsorted(one.time_ns, times, side="right") - 1 for one in pair]
        points = [
            answer.Point(
                time=units.ns_to_instant(t),
                **{
                    name: units.int_to_decimal(one.value[i], one.decimals)
                    for name, one, i in zip(SIDES, pair, (int(i), int(j)), strict=True)
                },
            )
            for t, i, j in zip(times, *held, strict=True)
        ]
        rows.append(answer.PathRow(name=row.name, unit=row.unit, points=points))
    return rows


def _thinned(row: Series) -> list[int]:
    time_ns = np.array(row.time_ns, dtype=np.int64)
    return time_ns[thin(time_ns, np.array(row.value, dtype=float), BUCKETS)].tolist()


def _assumed(inputs: Inputs) -> list[Note]:
    """Return every value that is not public, of either rule book and of the incident, once."""
    notes = [note for venue in inputs.venues for note in replaying.assumed(replace(inputs.base, venue=venue))]
    return [note for i, note in enumerate(notes) if note not in notes[:i]]


def _unknowns(inputs: Inputs, ran, sums, series) -> list[str]:
    """Return what this comparison does not know."""
    base = inputs.base
    found = [
        "what people would have done under the other rules: both runs get the same orders and deposits",
        f"whether the twins agree on these two runs: only the {inputs.options.twin} ran",
    ]
    for name, side in zip("AB", sums, strict=True):
        unnamed = sum(1 for row in side.values() if any(flow == UNNAMED for flow, _ in row.flows))
        if unnamed:
            found.append(f"what moved part of the balances of {unnamed} accounts in run {name}: shown as {UNNAMED}")
    for name, venue, r, rows in zip("AB", inputs.venues, ran, series, strict=True):
        ends = {row.name: row.value[-1] for row in rows}
        for market, row in perpetuals(venue):
            if ends[f"open_interest {row.name}"] != open_interest(r.state, market):
                found.append(f"part of the path of {row.name}'s open interest in run {name}: its outcomes do not add up to it")
    return found + (replaying.unknowns(base) if base.drawn else replaying.unknown_series(base.tape))


def token(inputs: Inputs, said: list[answer.Side], digest: str) -> str:
    """Return the one line that reproduces the comparison, and after the # what it must give."""
    options, base = inputs.options, inputs.base.options
    words = ["riskbed", "compare", options.a, options.b]
    if options.incident is not None:
        words += ["--incident", options.incident, "--seed", str(base.seed)]
        if inputs.base.of_pair is None:
            words += ["--accounts", str(base.accounts), "--variant", options.variant]
        elif inputs.base.of_pair.run:
            words += ["--run", inputs.base.of_pair.run]
    for name in ("tape", "venue", "plan"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    digests = [side.venue_digest if side.kind == "rule book" else side.plan_digest for side in said]
    return f"{shlex.join(words)}  # tape {inputs.base.digests['tape']} a {digests[0]} b {digests[1]} outcomes {digest}"


# ---- the run folder


def leave(done: Compared) -> None:
    """Leave the run folder, whole or not at all."""
    inputs = done.inputs
    series = {
        name: runs.series_rows(job.events, r.outcomes, job.venue) for name, job, r in zip(SIDES, done.jobs, done.ran, strict=True)
    }
    tables = {
        "accounts.parquet": account_rows(done),
        "paths.parquet": path_table(done),
        "series.parquet": runs.series_table(series),
    }
    writers: dict[str, Callable[[Path], object]] = {}
    for name, r, venue in zip(SIDES, done.ran, inputs.venues, strict=True):
        decimals = [row.decimals for row in venue.assets]
        writers[f"outcomes-{name}.parquet"] = lambda path, rows=r.outcomes, places=decimals: parquet.write_outcomes(
            path, rows, places
        )
    if inputs.options.report:
        from riskbed.report.compare import render

        page = render(done)
        writers["report.html"] = lambda path: path.write_text(page, encoding="utf-8")
    folder = Path(done.answer.run_folder)
    runs.write_folder(inputs.options.out, folder.name, done.answer.model_dump(mode="json"), tables, writers)


def account_rows(done: Compared) -> pa.Table:
    """Return one row per account and run: status, counts, money by flow and asset, equity at the end; all accounts."""
    venue = done.inputs.venues[0]
    decimals = venue.decimals(venue.numeraire)
    statuses = {row.account: row.status for row in done.answer.accounts}
    owners = {row[0]: row[1] for r in done.ran for row in r.state["accounts"]}
    keys = [(side, account) for side in range(2) for account in sorted(owners)]
    sums = [done.sums[side].get(account, _NOBODY) for side, account in keys]
    columns: dict[str, pa.Array] = {
        "run": pa.array([SIDES[side] for side, _ in keys]).dictionary_encode(),
        "account": pa.array([account for _, account in keys], pa.uint32()),
        "owner": pa.array([owners[account] for _, account in keys], pa.uint32()),
        "status": pa.array([statuses.get(account, "alike") for _, account in keys]).dictionary_encode(),
    }
    for column in COUNTED:
        numbers = [getattr(row, column) for row in sums]
        columns[column] = runs.ints_column(numbers, decimals) if column.endswith("notional") else pa.array(numbers, pa.int64())
    for flow, asset in sorted({key for row in sums for key in row.flows}):
        row = venue.assets[asset]
        columns[f"{flow.lower()}_{row.name}"] = runs.ints_column([s.flows.get((flow, asset), 0) for s in sums], row.decimals)
    columns["equity"] = runs.ints_column([done.equity[side].get(account, 0) for side, account in keys], decimals)
    return pa.table(columns)


def path_table(done: Compared) -> pa.Table:
    """Return the paths of both runs whole, as one long table: run, name, unit, time, value."""
    pieces = [(name, row) for name, rows in zip(SIDES, done.paths, strict=True) for row in rows]
    finest = max(row.decimals for _, row in pieces)
    lengths = [len(row.value) for _, row in pieces]

    def repeated(words: list[str]) -> pa.DictionaryArray:
        return pa.array(np.repeat(np.array(words, dtype=object), lengths), pa.string()).dictionary_encode()

    return pa.table(
        {
            "run": repeated([name for name, _ in pieces]),
            "name": repeated([row.name for _, row in pieces]),
            "unit": repeated([row.unit for _, row in pieces]),
            "time": pa.array([t for _, row in pieces for t in row.time_ns], pa.int64()).cast(pa.timestamp("ns", tz="UTC")),
            "value": runs.ints_column([x * 10 ** (finest - row.decimals) for _, row in pieces for x in row.value], finest),
        }
    )
