"""What a comparison of two rule books, or of two fault plans, answers: the object behind `compare --json` and its run.json.

A is before, B is after, a difference is B less A. Money and prices are decimal strings in whole units, as in riskbed/result.py.
`python -m riskbed.comparison` writes specs/schema/compare.json anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from riskbed.result import Count, Digest, Instant, Money, Note, Part, Source
from specs.schema import text_of

Lots = Annotated[int, Field(strict=True)]
Status = Literal["hurt", "spared", "both", "changed"]


class Counts(Part):
    a: Count
    b: Count
    difference: int


class Moneys(Part):
    a: Money
    b: Money
    difference: Money


class FlowRow(Part):
    """Money of one asset that went to (+) or from (-) accounts by one kind of flow (specs.tape.Flow)."""

    flow: str
    asset: str
    a: Money
    b: Money
    difference: Money


class AccountRow(Part):
    """An account that does not fare the same under A and B.

    hurt: liquidated or deleveraged under B only; spared: under A only; both: under both, but not alike; changed: under neither.
    episodes: how often a liquidation opened; lots, notional (at the mark): closed by force; adl_*: taken from it by ADL.
    paid: the flows that differ, without the cash of trades. equity: at the end, at each run's last valid prices, collateral
    in full.
    """

    account: Count
    owner: Count
    status: Status
    episodes: Counts
    lots: Counts
    notional: Moneys
    adl_lots: Counts
    adl_notional: Moneys
    paid: list[FlowRow]
    equity: Moneys


class MarketLots(Part):
    market: str
    a: Count
    b: Count
    difference: int


class Gain(Part):
    """What the users together, or one account of the closed chart, ended with in an asset. Of an asset differences sum to 0."""

    account: str
    asset: str
    a: Money
    b: Money
    difference: Money


class Totals(Part):
    """Sums over all accounts, those that fare alike too.

    accounts = hurt + spared + both + changed + alike. newly_liquidated: accounts with an episode under B and none under A;
    no_longer_liquidated the reverse; the same for ADL. fund_draw: what the fund paid; bad_debt: what
    nobody paid, written off; shortfall: both. fund: the fund's balance at the end.
    """

    accounts: Count
    hurt: Count
    spared: Count
    both: Count
    changed: Count
    alike: Count
    liquidated: Counts
    newly_liquidated: Count
    no_longer_liquidated: Count
    deleveraged: Counts
    newly_deleveraged: Count
    no_longer_deleveraged: Count
    episodes: Counts
    lots: Counts
    notional: Moneys
    adl_lots: Counts
    adl_notional: Moneys
    equity: Moneys
    shortfall: Moneys
    fund_draw: Moneys
    bad_debt: Moneys
    fund: Moneys
    liquidation_fees: Moneys
    fees: Moneys
    paid: list[FlowRow]
    open_interest: list[MarketLots]
    gains: list[Gain]


class Position(Part):
    market: str
    leg: str
    lots: Lots
    mark: Money
    grade: str


class Held(Part):
    """A balance of a collateral asset and the price at which it counts."""

    asset: str
    balance: Money
    price: Money
    grade: str


class State(Part):
    """An account as the venue sees it: equity after haircuts, maintenance at the marks in force, cash of the numeraire."""

    status: str
    equity: Money
    maintenance: Money
    cash: Money
    positions: list[Position]
    collateral: list[Held]


class Concerned(Part):
    """An account that the differing outcomes name, in both runs; null: not opened there."""

    account: Count
    a: State | None
    b: State | None


class Price(Part):
    """A price in force just after the event."""

    kind: Literal["index", "mark", "collateral"]
    name: str
    a: Money
    b: Money
    grade_a: str
    grade_b: str


class Outcomes(Part):
    """What an event did in this run and not in the other, in words; more: how many are left out; alike: how many both say."""

    said: list[str]
    more: Count
    alike: Count


class Divergence(Part):
    """The first event whose outcomes differ, and the state just after it. event: its number on the tape (before any fault)."""

    event: Count
    time: Instant
    what: str
    a: Outcomes
    b: Outcomes
    accounts: list[Concerned]
    more_accounts: Count
    prices: list[Price]


class Point(Part):
    time: Instant
    a: Money
    b: Money


class PathRow(Part):
    """A value over time under A and B; it holds until the next. Thinned: minima and maxima stay; whole in paths.parquet."""

    name: str
    unit: str
    points: list[Point]


class Side(Part):
    """A or B. given: the name or file on the command line. digest: of the run's outcomes."""

    given: str
    kind: Literal["rule book", "plan"]
    name: str
    venue: str
    plan: str
    faults: list[str]
    venue_digest: Digest
    plan_digest: Digest
    outcomes: Count
    digest: Digest


class Comparison(Part):
    """A comparison. accounts: only those that fare differently, by number. digest: over the digests of both runs, in order.

    incident: of one incident, or of a pair; run: of a pair, which of its runs the rule books share, null with two plans.
    """

    schema_version: Literal[1]
    name: str
    title: str
    incident: str | None
    run: str | None
    variant: str | None
    seed: Count | None
    numeraire: str
    events: Count
    start: Instant
    horizon: Instant
    same: bool
    a: Side
    b: Side
    rows: list[str]
    accounts: list[AccountRow]
    totals: Totals
    first_divergence: Divergence | None
    paths: list[PathRow]
    tape: Digest
    digest: Digest
    twin: Literal["engine", "model"]
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]
    versions: dict[str, str]
    token: str
    run_folder: str


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "compare.json"


def schema() -> str:
    """Return the JSON Schema of a comparison as text, keys sorted."""
    return text_of(Comparison.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
