"""What a replay answers: the object behind `replay --json` and run.json. specs/schema/replay.json is its JSON Schema.

Money is a decimal string in whole units of the numeraire, so that nothing is lost between us and the reader; prices too. A value
that does not apply, or is not known, is null with a reason beside it or in `unknowns`; it is never a zero.

`python -m riskbed.result` writes the schema anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from specs.schema import text_of

Count = Annotated[int, Field(ge=0, strict=True)]
Money = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Instant = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Total(Part):
    """Lots and notional are sums over lots; accounts take the label of most of their lots, of equals the worst."""

    lots: Count
    notional: Money
    accounts: Count


class Labels(Part):
    """riskbed/labels.py says what each label means. in_band_missed: closed at one true edge only, and not in the broken run."""

    organic: Total
    premature: Total
    late: Total
    erroneous: Total
    missed: Total
    in_band: Total
    in_band_missed: Total


class Twins(Part):
    """Model and engine on the same thinned tapes: equal outcomes and equal final state; null: not compared (--lockstep 0)."""

    equal: bool | None
    events: Count
    accounts: Count
    every: Count
    runs: list[str]


class Law(Part):
    """A law on the sampled events; events 0: not checked there, `scope` or the law says why. first: the first breach in words."""

    name: str
    text: str
    scope: str
    events: Count
    broken: Count
    first: str | None


class Laws(Part):
    """The laws after `events` of the `of` events of the twins' sample: riskbed/laws.py says which. Empty with --lockstep 0."""

    runs: list[str]
    events: Count
    of: Count
    rows: list[Law]

    @property
    def broken(self) -> list[Law]:
        return [row for row in self.rows if row.broken]


class Change(Part):
    """What one cause changed of equity; riskbed/waterfall.py says what each is."""

    cause: str
    money: Money


class Waterfall(Part):
    """Where the loss of a run's liquidated accounts went, to the end of its tape. All sums are exact.

    margin: sum of `before`, their equity in full when liquidation began. kept = margin + sum of `inside`: what the liquidation
    left them. end = kept + sum of `after`: their equity in the final state.
    """

    run: str
    accounts: Count
    episodes: Count
    carried: Count
    before: list[Change]
    margin: Money
    inside: list[Change]
    kept: Money
    after: list[Change]
    end: Money


class Payment(Part):
    """What a group gave another in one kind of flow, net, in whole units of the asset: above 0."""

    flow: str
    asset: str
    payer: str
    payee: str
    money: Money


class Holding(Part):
    """What a group has of an asset at the end, positions at the last marks: the sum of what all flows brought it."""

    group: str
    asset: str
    money: Money


class Paid(Part):
    """Who paid whom in the broken run, to the end of its tape: riskbed/paid.py says what the groups are."""

    payments: list[Payment]
    ends: list[Holding]


class Losses(Part):
    """What a run cost others than the account holders. fund_draw: what the fund paid; bad_debt: what nobody paid, written off.

    Both together are the shortfall: what accounts lost beyond their own money.
    """

    fund_draw: Money
    bad_debt: Money
    liquidation_fees: Money


class Cascades(Part):
    """Cascades with at least one round that closed or sold somebody out. histogram: rounds -> how many had so many."""

    cascades: Count
    rounds_max: Count
    histogram: dict[str, Count]


class Run(Part):
    """One run of a tape."""

    name: str
    outcomes: Count
    digest: Digest
    forced_lots: Count
    losses: Losses


class Reading(Part):
    """One reading of the make-whole rule. accounts: those that are due anything."""

    eligibility: str
    reference: str
    netting: str
    base: str
    accounts: Count
    money: Money
    fees: Money


class Question(Part):
    """What the published rule leaves open; options: name -> what it means."""

    name: str
    question: str
    published: str
    options: dict[str, str]


class MakeWhole(Part):
    rule: str
    instant: Instant
    window: tuple[Instant, Instant]
    collateral: list[str]
    prices: dict[str, dict[str, Money]]
    questions: list[Question]
    readings: list[Reading]


class Fault(Part):
    """A rule under the fault: its broken run against its own true runs.

    lows: lowest price of each collateral asset in the broken run. treasury_loss: as of a true move, null where no source of the
    tape says what the collateral was worth.
    """

    labels: Labels
    losses: Losses
    cascades: Cascades
    lows: dict[str, Money]
    treasury_loss: Money | None


class Kept(Part):
    """Of `lots` of the first rule, how many this rule closes too, and how much later."""

    lots: Count
    share: Annotated[float, Field(ge=0, le=1)] | None
    median_delay_s: float | None


class TrueMove(Part):
    """A rule on the paired true move, against the first rule of the table on the same move.

    The move is the fault's shape, but true: the market and the issuer's ratio fall, and stay. lots, notional: closed by force up
    to the move's horizon, which is later than the fault's by the time that the incident gives a rule to settle. share: of the
    first rule's lots that this rule closes too, rounded down to a millionth. median_delay_s: of those lots, later than under the
    first rule, by notional; null when there is none. of_the_move: the same for the lots that the move itself closes, which the
    first rule leaves open on the same tape without the move. extra_lots: closed by this rule alone. shortfall: fund_draw
    and bad_debt. treasury_loss: paid for converted collateral above its true price at that instant, negative where it paid less.
    hidden_shortfall: what accounts not yet closed owe at true prices at the horizon.
    """

    lots: Count
    notional: Money
    share: Annotated[float, Field(ge=0, le=1)] | None
    extra_lots: Count
    median_delay_s: float | None
    of_the_move: Kept
    shortfall: Money
    fund_draw: Money
    bad_debt: Money
    treasury_loss: Money
    hidden_shortfall: Money


class Rule(Part):
    name: str
    title: str
    fault: Fault
    true_move: TrueMove | None


class Note(Part):
    """A value that is not public, and why it was chosen."""

    path: str
    why: str


class Source(Part):
    name: str
    provenance: Literal["recorded", "derived", "synthetic", "assumed"]
    note: str


class Band(Part):
    lower: str
    upper: str
    note: str


class Fact(Part):
    """A fact of the incident. expected: its figure; observed: what this replay computes, null where nothing is computed.

    holds, fails: whether they are at most `tolerance` apart. context: of the real event, not of these synthetic accounts, or
    computed from records that are not here.
    """

    id: str
    kind: Literal["replay_exact", "recorded_exact", "published"]
    what: str
    unit: str
    expected: Money
    observed: Money | None
    tolerance: Money
    verdict: Literal["holds", "fails", "context"]
    source: str


class Result(Part):
    """A replay. digest: blake2b-128 over the digests of all runs, in order; with the same inputs it is the same everywhere."""

    schema_version: Literal[1]
    name: str
    title: str
    incident: str | None
    variant: str | None
    seed: Count | None
    accounts: Count
    venue: str
    numeraire: str
    digest: Digest
    events: Count
    start: Instant
    window: tuple[Instant, Instant] | None
    horizon: Instant
    eps_ns: Count
    inputs: dict[str, Digest]
    faults: dict[str, list[str]]
    twin: Literal["engine", "model"]
    twins: Twins
    laws: Laws
    runs: list[Run]
    labels: Labels
    truth: Band | None
    waterfall: list[Waterfall]
    paid: Paid
    make_whole: MakeWhole | None
    rules: list[Rule]
    facts: list[Fact]
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]
    versions: dict[str, str]
    token: str
    run_folder: str


_FLOWS = {"fund_payment": "fund draw", "write_off": "bad debt"}  # what the ledger calls them: the words of every table and figure


def flow_words(name: str) -> str:
    """Return what tables call a flow of the ledger (specs.tape.Flow), or any other name of a row."""
    return _FLOWS.get(name.lower(), name.lower().replace("_", " "))


def rounded(money: str, digits: int = 0) -> str:
    """Return a decimal string rounded half up for the eye, thousands apart. Not for computing: `money` stays exact."""
    negative, plain = money.startswith("-"), money.lstrip("-")
    whole, _, part = plain.partition(".")
    number = (int(whole + (part + "0" * (digits + 1))[: digits + 1]) + 5) // 10
    shown = f"{number // 10**digits:,}" + (f".{number % 10**digits:0{digits}d}" if digits else "")
    return f"-{shown}" if negative and number else shown


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "replay.json"


def schema() -> str:
    """Return the JSON Schema of a result as text: keys sorted, so that it changes only when the rows do."""
    return text_of(Result.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
