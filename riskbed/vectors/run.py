"""Which kind of vector is run by what, on both twins; the answer, its schema and its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from riskbed.result import Part
from riskbed.vectors import bankruptcy, collateral, fills, liquidation_price, positions, pre_trade, scripts, slices, trigger
from riskbed.vectors.vector import Unmodelled, Vector, matches, read
from specs.errors import SpecError
from specs.schema import text_of

KINDS: dict[str, Callable[[Vector, Callable], dict[str, Any]]] = {
    "matching_script": scripts.run,
    "stop_script": scripts.run,
    "pre_trade_script": pre_trade.run,
    "position_script": fills.run_script,
    "realised_pnl": fills.run_realised,
    "unrealised_pnl": positions.run_pnl,
    "initial_margin": positions.run_initial,
    "maintenance_margin": positions.run_maintenance,
    "margin_tier_deduction": positions.run_deduction,
    "bankruptcy_price": liquidation_price.run_bankruptcy,
    "liquidation_price": liquidation_price.run,
    "collateral_value": collateral.run_value,
    "collateral_weight": collateral.run_weight,
    "collateral_needed": collateral.run_needed,
    "borrow_health": collateral.run_health,
    "liability_transfer": collateral.run_transfer,
    "liquidation_trigger": trigger.run,
    "liquidation_limit_price": bankruptcy.run_limit,
    "bankruptcy_value": bankruptcy.run_value,
    "insurance_delta": bankruptcy.run_delta,
    "insurance_delta_allowed": bankruptcy.run_allowed,
    "partial_liquidation_size": slices.run_size,
    "liquidation_cap": slices.run_cap,
    "liquidation_fee_rate": slices.run_fee,
    "insurance_fee_rate": slices.run_insurance_fee,
}
TWINS = ("model", "engine")


class Failed(Part):
    """A twin that gives something else. expected, got: the vector's own keys."""

    id: str
    twin: str
    expected: dict[str, Any]
    got: dict[str, Any]


class Apart(Part):
    """A vector that was not run, and why."""

    id: str
    reason: str


class Answer(Part):
    """Every vector stands in exactly one of the three lists. kinds: how many of each kind passed, failed, and were not run."""

    path: str
    passed: list[str]
    failed: list[Failed]
    unmodelled: list[Apart]
    kinds: dict[str, dict[str, int]]


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "vectors.json"


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Answer.model_json_schema())


def run(path: Path, kind: str | None = None, progress: Callable[[int, int, str], None] | None = None) -> Answer:
    """Run the vectors of a file or a folder on both twins. Raises SpecError for a file that cannot be read, or no such kind."""
    from fuzz.twin import twin_class

    vectors = read(path)
    if kind is not None:
        known = sorted({vector.kind for vector, _ in vectors})
        vectors = [row for row in vectors if row[0].kind == kind]
        if not vectors:
            raise SpecError(f"no vector of kind '{kind}' there", where=str(path), remedy=f"kinds there: {', '.join(known)}")
    answer = Answer(path=str(path), passed=[], failed=[], unmodelled=[], kinds={})
    counts: dict[str, Counter] = {}
    for done, (vector, file) in enumerate(vectors):
        if progress is not None:
            progress(done, len(vectors), vector.kind)
        count = counts.setdefault(vector.kind, Counter(passed=0, failed=0, unmodelled=0))
        try:
            if not vector.core:
                raise Unmodelled(vector.note or "not core: kept for reference")
            if vector.kind not in KINDS:
                raise Unmodelled(f"kind {vector.kind} is not modelled")
            found = {twin: KINDS[vector.kind](vector, twin_class(twin)) for twin in TWINS}
        except Unmodelled as apart:
            answer.unmodelled.append(Apart(id=vector.id, reason=str(apart)))
            count["unmodelled"] += 1
            continue
        except KeyError as missing:
            what = f"vector '{vector.id}' lacks {missing}, or names what it did not define"
            raise SpecError(what, where=str(file), remedy="the keys of its kind, every leaf a string") from None
        wrong = [twin for twin in TWINS if not matches(vector.expect, found[twin], vector.tolerance)]
        for twin in wrong:
            answer.failed.append(Failed(id=vector.id, twin=twin, expected=vector.expect, got=found[twin]))
        if not wrong:
            answer.passed.append(vector.id)
        count["failed" if wrong else "passed"] += 1
    return answer.model_copy(update={"kinds": {name: dict(count) for name, count in sorted(counts.items())}})


def show(answer: Answer) -> None:
    """Print what passed by kind, every failure in full, and why the rest was not run."""
    from rich.console import Console

    from riskbed import cli

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=cli.PLAIN_WIDTH)
    table = cli._table("kind", "passed", "failed", "not run")
    for name, count in answer.kinds.items():
        table.add_row(name, *(f"{count[key]:,}" for key in ("passed", "failed", "unmodelled")))
    cli._headed(console, f"Vectors of {answer.path}, on both twins", table)
    for row in answer.failed:
        console.print(f"\n{row.id} on the {row.twin}", style="bold", markup=False)
        console.print(f"  expected {row.expected}", markup=False, soft_wrap=True)
        console.print(f"  got      {row.got}", markup=False, soft_wrap=True)
    reasons = Counter(row.reason for row in answer.unmodelled)
    if reasons:
        console.print("\nNot run", style="bold")
        for reason, count in sorted(reasons.items()):
            console.print(f"  {count:,}  {reason}", markup=False, soft_wrap=True)
    failed = len({row.id for row in answer.failed})
    console.print(f"\n{len(answer.passed)} passed, {failed} failed, {len(answer.unmodelled)} not run")


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
