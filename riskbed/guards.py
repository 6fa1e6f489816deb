"""Which guards protect: every index rule of an incident under the fault and on a set of paired true moves of the same shape.

A guard that would have prevented the glitch is worth nothing if it hides what is true. So each rule runs beside the unguarded
one, the first of the incident's table, on the fault and on every move (riskbed/moves.py), and gets a verdict:

    hides      a move that stays leaves more than 5 % never liquidated: of the notional that the move itself closes under the
               unguarded rule, the part that the guarded run has not closed at the move's horizon
    protects   else, if erroneous notional under the fault falls by at least 95 % against the unguarded rule, and no move that
               stays adds shortfall (fund draw and bad debt) above 10 bp of the notional that the unguarded run liquidates on it
    trades     else: both figures stand beside it

The thresholds are rows of the incident (`judged`), compared exactly. Where there is nothing to judge by, no erroneous close under
the fault or no close by any move, there is no verdict, and `why` says so.

`python -m riskbed.guards` writes the schema anew.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from fuzz.overlay import overlay
from riskbed import jobs, moves, replay, result, runs
from riskbed.jobs import Ran
from riskbed.labels import Paired
from riskbed.replay import Inputs, Options, Progress
from riskbed.result import Count, Digest, Instant, Money, Part
from specs import units
from specs.errors import SpecError
from specs.incident import Judged, Shape
from specs.schema import text_of
from specs.tape import Flow

BP = 10_000
SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "guards.json"

Share = Annotated[float, Field(ge=0)]
Verdict = Literal["hides", "protects", "trades"]


# ---- the answer


class Closed(Part):
    """A guard beside the unguarded rule over a set of lots, by notional at the mark of the unguarded rule's close.

    notional: what the unguarded rule closes. spared: of it, what the guard never closes, up to the move's horizon; share: of
    notional, rounded up to a millionth, null where that is 0. late: what the guard closes more than eps later. Delays are over
    all that both close, the median by notional; null where there is none, negative where the guard is earlier.
    """

    notional: Money
    spared: Money
    share: Share | None
    late: Money
    median_delay_s: float | None
    worst_delay_s: float | None


class OnMove(Part):
    """A guard on one shape. whole: over all lots. of_the_move: over those that the unguarded rule leaves open without the move.

    extra: closed by the guard alone. shortfall: fund draw and bad debt; added: more of it than in the unguarded run, added_bp: in
    basis points of the notional that the unguarded run liquidates on this shape, rounded up to a hundredth; null where that is
    0. treasury_loss: paid for converted collateral above its true price at that instant, negative where it paid less.
    hidden_shortfall: what accounts not yet closed owe at true prices at the horizon.
    """

    shape: str
    whole: Closed
    of_the_move: Closed
    extra: Money
    shortfall: Money
    fund_draw: Money
    bad_debt: Money
    added: Money
    added_bp: float | None
    treasury_loss: Money
    hidden_shortfall: Money


class Guard(Part):
    """An index rule and its verdict. erroneous: under the fault; share: of the unguarded rule's, null where that is 0.

    hidden: the largest share of the move's own that a move that stays leaves never liquidated; added_bp: the most that one adds;
    hidden_on, added_on: the names of those shapes.
    """

    name: str
    title: str
    erroneous: Money
    erroneous_share: Share | None
    hidden: Share | None
    hidden_on: str | None
    added_bp: float | None
    added_on: str | None
    verdict: Verdict | None
    why: str
    fault: result.Fault
    moves: list[OnMove]


class Move(Part):
    """A shape: what falls with it and to when it was run."""

    name: str
    title: str
    falls: list[str]
    after: Literal["stays", "recovers"]
    slower: Count
    horizon: Instant


class Thresholds(Part):
    hidden_max: float
    fall_min: float
    shortfall_max_bp: float


class Guards(Part):
    """All guards of an incident. digest: blake2b-128 over the digests of all runs, in the order of their names."""

    schema_version: Literal[1]
    name: str
    title: str
    incident: str
    variant: str
    seed: Count
    accounts: Count
    venue: str
    numeraire: str
    quick: bool
    unguarded: str
    denominators: dict[str, str]
    thresholds: Thresholds
    shapes: list[Move]
    guards: list[Guard]
    horizon: Instant
    eps_ns: Count
    inputs: dict[str, Digest]
    runs: Count
    digest: Digest
    series: list[result.Source]
    assumed: list[result.Note]
    unknowns: list[str]
    versions: dict[str, str]
    token: str
    run_folder: str


def schema() -> str:
    """Return the JSON Schema of the answer as text: keys sorted, so that it changes only when the rows do."""
    return text_of(Guards.model_json_schema())


# ---- the verdict


class OnStay(NamedTuple):
    """What a move that stays says of a guard; exact money. caused: what the move itself closes under the unguarded rule."""

    shape: str
    never: int
    caused: int
    added: int
    liquidated: int


class Worst(NamedTuple):
    """The worst of the moves that stay: (part, whole, shape), None where no move has a whole."""

    hidden: tuple[int, int, str] | None
    added: tuple[int, int, str] | None


def worst(stays: Sequence[OnStay]) -> Worst:
    """Return the largest never / caused and the largest added / liquidated, of equals the first; compared exactly."""

    def largest(rows: list[tuple[int, int, str]]) -> tuple[int, int, str] | None:
        found = None
        for row in rows:
            if row[1] > 0 and (found is None or row[0] * found[1] > found[0] * row[1]):
                found = row
        return found

    return Worst(
        largest([(row.never, row.caused, row.shape) for row in stays]),
        largest([(row.added, row.liquidated, row.shape) for row in stays]),
    )


def judge(judged: Judged, erroneous: int, unguarded: int, stays: Sequence[OnStay]) -> tuple[Verdict | None, str]:
    """Return the verdict on a guard and why. erroneous, unguarded: notional closed by mistake under the fault, exact money."""
    found = worst(stays)
    if found.hidden is None or found.added is None:
        return None, "no move that stays closes anything that would not be closed without it"
    never, caused, on = found.hidden
    if never * units.PPM > judged.hidden_max_ppm * caused:
        return "hides", f"{on} leaves {_percent(never, caused)} of what it closes never liquidated"
    if unguarded == 0:
        return None, "the fault closes nothing by mistake under the unguarded rule"
    fallen = f"erroneous notional falls by {_percent(unguarded - erroneous, unguarded, down=True)}"
    added, liquidated, on = found.added
    debt = f"{on} adds {_bp(added, liquidated):g} bp of shortfall"
    falls = (unguarded - erroneous) * units.PPM >= judged.fall_min_ppm * unguarded
    adds = added * units.PPM > judged.shortfall_max_ppm * liquidated
    return ("protects" if falls and not adds else "trades"), f"{fallen}; {debt}"


def _percent(part: int, whole: int, down: bool = False) -> str:
    """Return a share for a sentence, rounded against the guard: up, or down where more is better."""
    hundredths = part * 10_000 // whole if down else -(-part * 10_000 // whole)
    return f"{hundredths / 100:.2f} %"


def _bp(part: int, whole: int) -> float:
    return -(-part * BP * 100 // whole) / 100


# ---- the runs


def plan(inputs: Inputs, shapes: list[Shape]) -> tuple[list[jobs.Job], dict[str, str]]:
    """Return the runs of every rule under the fault and on each shape, and whose results the others share."""
    tapes = {name: overlay(inputs.tape.events, row, inputs.venue) for name, row in inputs.plans.items()}
    fault, same = replay.fault_jobs(inputs, tapes, None)
    moved, shared = moves.move_jobs(inputs, shapes)
    return fault + moved, same | shared


def run_all(inputs: Inputs, shapes: list[Shape], progress: Progress) -> dict[str, Ran]:
    """Run everything on the engine, in threads; return the runs by name. On an interrupt what has not begun is left out."""
    asked, same = plan(inputs, shapes)
    pool = ThreadPoolExecutor(jobs.WORKERS)
    ran = {}
    try:
        for job, found in zip(asked, pool.map(partial(jobs.run_job, "engine"), asked), strict=True):
            ran[job.name] = found
            progress(len(ran), len(asked), job.name)
    finally:
        pool.shutdown(cancel_futures=True)
    return ran | {name: ran[other]._replace(name=name) for name, other in same.items()}


# ---- the figures


def closed(pair: Paired, decimals: int) -> Closed:
    """Return a comparison as money and seconds."""
    spared = pair.notional - pair.kept_notional
    median, latest = (None if ns is None else ns / units.NS for ns in (pair.median_delay_ns, pair.worst_delay_ns))
    return Closed(
        notional=units.int_to_decimal(pair.notional, decimals),
        spared=units.int_to_decimal(spared, decimals),
        share=_share(spared, pair.notional),
        late=units.int_to_decimal(pair.late_notional, decimals),
        median_delay_s=median,
        worst_delay_s=latest,
    )


def _share(part: int, whole: int) -> float | None:
    return -(-part * units.PPM // whole) / units.PPM if whole else None


def on_move(found: moves.Beside, shape: Shape, decimals: int) -> OnMove:
    """Return a guard's figures on one shape."""
    guarded, liquidated = found.guarded, moves.forced_notional(found.unguarded)
    money = {
        "extra": found.whole.extra_notional,
        "shortfall": moves.shortfall(guarded),
        "fund_draw": guarded.flows[Flow.FUND_PAYMENT],
        "bad_debt": guarded.flows[Flow.WRITE_OFF],
        "added": found.added_shortfall,
        "treasury_loss": guarded.treasury_loss,
        "hidden_shortfall": guarded.hidden_shortfall,
    }
    return OnMove(
        shape=shape.name,
        whole=closed(found.whole, decimals),
        of_the_move=closed(found.caused, decimals),
        added_bp=_bp(found.added_shortfall, liquidated) if liquidated else None,
        **{name: units.int_to_decimal(value, decimals) for name, value in money.items()},
    )


def guard_rows(inputs: Inputs, ran: dict[str, Ran], shapes: list[Shape]) -> list[Guard]:
    """Return every rule of the incident with its figures and its verdict."""
    incident, decimals = inputs.incident, inputs.venue.decimals(inputs.venue.numeraire)
    faults = {rule.name: replay.rule_fault(inputs, ran, rule.name, decimals) for rule in incident.rules}
    erroneous = {name: units.decimal_to_int(row.labels.erroneous.notional, decimals) for name, row in faults.items()}
    unguarded, names = erroneous[incident.rules[0].name], {shape.title: shape.name for shape in shapes}
    rows = []
    for rule in incident.rules:
        found = {shape: moves.beside(inputs, ran, rule.name, shape) for shape in shapes}
        stays = [
            OnStay(
                shape.title,
                pair.caused.notional - pair.caused.kept_notional,
                pair.caused.notional,
                pair.added_shortfall,
                moves.forced_notional(pair.unguarded),
            )
            for shape, pair in found.items()
            if shape.after == "stays"
        ]
        hidden, added = worst(stays)
        verdict, why = judge(incident.judged, erroneous[rule.name], unguarded, stays)
        rows.append(
            Guard(
                name=rule.name,
                title=rule.title,
                erroneous=faults[rule.name].labels.erroneous.notional,
                erroneous_share=_share(erroneous[rule.name], unguarded),
                hidden=_share(*hidden[:2]) if hidden else None,
                hidden_on=names[hidden[2]] if hidden else None,
                added_bp=_bp(*added[:2]) if added else None,
                added_on=names[added[2]] if added else None,
                verdict=verdict,
                why=why,
                fault=faults[rule.name],
                moves=[on_move(pair, shape, decimals) for shape, pair in found.items()],
            )
        )
    return rows


# ---- the command


@dataclass(frozen=True)
class Done:
    """Guards as objects: what the report and the tables are drawn from. `answer` is the JSON."""

    inputs: Inputs
    shapes: list[Shape]
    answer: Guards
    seconds: float


DENOMINATORS = {
    "hidden": "the notional that the unguarded rule closes on the move and leaves open on the same tape without it",
    "erroneous_share": "the unguarded rule's erroneous notional under the fault",
    "added_bp": "the notional that the unguarded rule liquidates on the same move",
}


def guards(options: Options, quick: bool = False, progress: Progress = lambda done, total, what: None) -> Done:
    """Judge every index rule of an incident, leave a run folder, return what it showed.

    Raises SpecError for an incident without paired true moves, or a tape of one's own: moves are an incident's.
    """
    began = time.monotonic()
    if options.incident is None or options.tape is not None:
        raise SpecError("no incident", remedy="guards are judged on an incident; `riskbed incidents` lists what is packaged")
    inputs = replay.read_inputs(replace(options, lockstep=0))
    incident = inputs.incident
    if incident.true_moves is None:
        raise SpecError(f"{incident.id} has no true_moves", remedy="a guard is judged on paired true moves: add the row")
    shapes = incident.true_moves.shapes(quick)
    ran = run_all(inputs, shapes, progress)
    digest = replay.digest_runs(ran)
    name = f"guards-{inputs.name}" + ("-quick" if quick else "")
    answer = Guards(
        schema_version=1,
        name=name,
        title=incident.title,
        incident=incident.id,
        variant=inputs.options.variant,
        seed=inputs.options.seed,
        accounts=inputs.options.accounts,
        venue=inputs.venue.name,
        numeraire=inputs.venue.numeraire,
        quick=quick,
        unguarded=incident.rules[0].name,
        denominators=DENOMINATORS,
        thresholds=_thresholds(incident.judged),
        shapes=[_move(inputs, shape) for shape in shapes],
        guards=guard_rows(inputs, ran, shapes),
        horizon=units.ns_to_instant(inputs.horizon_ns),
        eps_ns=inputs.eps_ns,
        inputs=inputs.digests,
        runs=len(ran),
        digest=digest,
        series=_series(inputs),
        assumed=replay.assumed(inputs),
        unknowns=replay.unknowns(inputs),
        versions=replay.versions(),
        token=token(inputs, quick, digest),
        run_folder=str(options.out / f"{name}-{digest[:12]}"),
    )
    done = Done(inputs, shapes, answer, time.monotonic() - began)
    leave(done)
    return done


def _thresholds(judged: Judged) -> Thresholds:
    return Thresholds(
        hidden_max=judged.hidden_max_ppm / units.PPM,
        fall_min=judged.fall_min_ppm / units.PPM,
        shortfall_max_bp=judged.shortfall_max_ppm * BP / units.PPM,
    )


def _move(inputs: Inputs, shape: Shape) -> Move:
    return Move(
        name=shape.name,
        title=shape.title,
        falls=inputs.incident.true_moves.falls(shape),
        after=shape.after,
        slower=shape.slower,
        horizon=units.ns_to_instant(inputs.incident.move_horizon_ns(shape)),
    )


def _series(inputs: Inputs) -> list[result.Source]:
    """Return where the tape's series come from; on a move those that fall are made by us."""
    note = f"on the moves: {inputs.incident.true_moves.note}"
    series = [result.Source(name=row.name, provenance=row.provenance, note=row.note) for row in inputs.tape.meta.series]
    return [*series, result.Source(name="true moves", provenance="synthetic", note=note)]


def token(inputs: Inputs, quick: bool, digest: str) -> str:
    """Return the one line that reproduces the runs, and after the # what it must give."""
    options = inputs.options
    words = ["riskbed", "guards", options.incident, *(["--quick"] if quick else [])]
    words += ["--seed", str(options.seed), "--accounts", str(options.accounts), "--variant", options.variant]
    given = " ".join(f"{name} {inputs.digests[name]}" for name in ("tape", "venue"))
    return f"{shlex.join(words)}  # {given} outcomes {digest}"


def table(answer: Guards, decimals: int) -> pa.Table:
    """Return one row a guard and shape; money in whole units of the numeraire, exact."""
    rows = []
    for guard in answer.guards:
        for move in guard.moves:
            flat = {"guard": guard.name, "verdict": guard.verdict} | move.model_dump(exclude={"whole", "of_the_move"})
            for which in ("whole", "of_the_move"):
                flat |= {f"{which}_{name}": value for name, value in getattr(move, which).model_dump().items()}
            rows.append(flat)
    words = {"guard": pa.string(), "verdict": pa.string(), "shape": pa.string()}
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name in words or not isinstance(values[0], str):
            columns[name] = pa.array(values, words.get(name, pa.float64()))
        else:
            columns[name] = runs.ints_column([units.decimal_to_int(value, decimals) for value in values], decimals)
    return pa.table(columns)


def leave(done: Done) -> None:
    """Leave the run folder, whole or not at all: run.json, guards.parquet, report.html."""
    writers = {}
    if done.inputs.options.report:
        from riskbed.report.guards import render

        page = render(done)
        writers["report.html"] = lambda path: path.write_text(page, encoding="utf-8")
    name = Path(done.answer.run_folder).name
    tables = {"guards.parquet": table(done.answer, done.inputs.venue.decimals(done.answer.numeraire))}
    runs.write_folder(done.inputs.options.out, name, done.answer.model_dump(mode="json"), tables, writers)


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
