"""What a replay of a pair answers: the object behind `replay --json` and run.json. specs/schema/pair-replay.json is its schema.

Money is a decimal string in whole units of the numeraire; what does not apply is null. `python -m riskbed.pair_result` writes the
schema anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from riskbed.result import Count, Digest, Instant, Labels, Laws, Money, Note, Part, Source, Twins, Waterfall
from specs.schema import text_of

Share = Annotated[float, Field(ge=0, le=1)]


class Low(Part):
    """The lowest mark of a market from A's beginning to the horizon. fall: from the mark at A's beginning, a share."""

    market: str
    price: Money
    at: Instant
    fall: Share


class RunRow(Part):
    """One run. forced_notional: at the mark of the close. ignited: the first market fell half as far again as the news."""

    name: str
    faults: list[str]
    outcomes: Count
    digest: Digest
    liquidations: Count
    accounts_closed: Count
    forced_lots: Count
    forced_notional: Money
    long_share: Share | None
    lows: list[Low]
    collateral_below: Instant | None
    ignited: bool


class LossRow(Part):
    """One holder, or one sum: what A and B cost it alone and together, and the difference. Negative: it gained. null: not run."""

    name: str
    A: Money
    B: Money | None
    both: Money | None
    interaction: Money | None


class Losses(Part):
    """common, own: by holder, each sums to 0; `outside` owes what was deposited.

    flows, closes: money of each kind of flow and notional closed in each stage, less that of the run with neither. liquidated:
    what the accounts that were liquidated lost meanwhile, by cause (riskbed/waterfall.py): `inside` of the waterfalls, negated.
    """

    common: list[LossRow]
    own: list[LossRow]
    flows: list[LossRow]
    closes: list[LossRow]
    liquidated: list[LossRow]


class GainRow(Part):
    """What a holder has more in the later run, by asset (positions stand under the asset they settle in), at common prices."""

    holder: str
    accounts: Count
    by_asset: dict[str, Money]
    gain: Money


class GainTable(Part):
    earlier: str
    later: str
    rows: list[GainRow]


class CauseRow(Part):
    """accounts: with any such lot. by_collateral, by_mark: of direct lots, which price did it."""

    cause: Literal["direct", "induced", "market"]
    lots: Count
    notional: Money
    accounts: Count
    by_collateral_lots: Count
    by_mark_lots: Count


class RunLaw(Part):
    """A law that holds of whole runs, or between two of them: a breach would have ended the replay. on: runs, or `x to y`."""

    name: str
    text: str
    on: list[str]


class PairResult(Part):
    """A replay of a pair. digest: blake2b-128 over the digests of its runs, in order.

    run_laws: of the runs with all accounts; laws: on the twins' sample of the last run, empty with --lockstep 0.
    """

    schema_version: Literal[1]
    name: str
    title: str
    pair: str
    parts: dict[str, str]
    seed: Count
    accounts: Count
    venue: str
    numeraire: str
    digest: Digest
    base_tape: Digest
    events: Count
    start: Instant
    horizon: Instant
    eps_ns: Count
    low_window: tuple[Instant, Instant]
    runs: list[RunRow]
    losses: Losses
    waterfall: list[Waterfall]
    gains: list[GainTable]
    causes: list[CauseRow]
    triggers: Count
    labels: dict[str, Labels]
    common_prices: dict[str, Money]
    twins: Twins
    run_laws: list[RunLaw]
    laws: Laws
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]
    versions: dict[str, str]
    token: str
    run_folder: str


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "pair-replay.json"


def schema() -> str:
    """Return the JSON Schema of a result as text: keys sorted."""
    return text_of(PairResult.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
