"""What conform answers: the object behind `--json`. specs/schema/conform.json is its JSON Schema.

Rows of a file are counted from 1 as its lines are, header and blank lines included, so that an editor finds them.

`python -m riskbed.conform.answer` writes the schema anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from riskbed.result import Count, Part
from specs.schema import text_of

LISTED_MAX = 1_000  # of exceptions, gaps and stale orders each; the counts beside them say how many there were


class Difference(Part):
    """A row at which record and engine differ. row: line of the file (lobster: of the message file); kind: a stable name.

    book       the visible levels differ from the record's
    priority   the engine filled another order than the record
    fills      the engine did not trade what the record says: another price, fewer lots
    refused    the engine refused what the venue took, with its reason
    unknown    the record names an order, or lots, that cannot be there
    size       the record takes away other lots than the order has left
    top        best price or its quantity differ
    crossed    the record's book is crossed
    levels     a level differs from the venue's snapshot, and still does at its next one
    filled     engine and record do not agree that an order was filled to its end
    state      the engine's book is not what its outcomes said
    """

    row: Count
    kind: Literal["book", "priority", "fills", "refused", "unknown", "size", "top", "crossed", "levels", "filled", "state"]
    text: str


class Gap(Part):
    """Update ids are missing before a row. joined: the book was given up for it; false: there was none then."""

    row: Count
    text: str
    joined: bool


class Stale(Part):
    """An order that the log holds and the venue's snapshots do not. created: row of its creation; found: of the snapshot.

    deleted: the row of its deletion where that came late, null where it never came. filled: not the snapshots but the engine says
    that it is gone: filled, by the end of the log; price and qty are those of its creation then.
    """

    order: Count
    side: Literal["buy", "sell"]
    price: str
    qty: str
    filled: bool
    created: Count
    found: Count
    deleted: Count | None


class Lobster(Part):
    """levels: compared a side. types: messages by type. runs: IOC orders sent.

    named: of priority_equal, executions whose order the book held by its id; the others hit what rested before it could be seen.
    outside: cancels beyond the levels compared, of orders that the book did not hold.
    """

    levels: Count
    types: dict[str, Count]
    runs: Count
    named: Count
    outside: Count


class BinanceDepth(Part):
    """Lines by kind; other: of a kind that is not read.

    inside: bookTickers whose update id lies within a diff and is followed by another in it: no book has that id. unjoined:
    bookTickers while no book was up: before a snapshot, after a gap, after the last diff. snapshots_used: those from which the
    book was built. skipped_diffs: nothing in them was new to the book.
    """

    market: Literal["spot", "futures"]
    diffs: Count
    book_tickers: Count
    trades: Count
    snapshots: Count
    snapshots_used: Count
    inside: Count
    unjoined: Count
    skipped_diffs: Count
    other: Count


class Bitstamp(Part):
    """levels: of the snapshots; stale: orders that the snapshots show to be gone, stale_never: whose deletion never came.

    settled: levels set to the venue's after two snapshots that agree; repeated: deletions that came twice.
    """

    levels: Count
    levels_equal: Count
    levels_per_side: Count
    created: Count
    changed: Count
    deleted: Count
    trades: Count
    settled: Count
    repeated: Count
    stale: list[Stale]
    stale_total: Count
    stale_never: Count


class Conformance(Part):
    """A record against the engine.

    rows         what is compared: lobster rows of the book file after the first; bookTickers at an update id of the book;
                 the venue's snapshots after the first (top of book)
    priority     lobster: visible executions, equal where the engine filled the recorded order; bitstamp: orders that were filled
                 to their end, equal where engine and log agree; else 0
    exceptions   at most LISTED_MAX of exceptions_total, in order; exception_kinds counts all
    gaps         of update ids; gap_list at most LISTED_MAX of them
    reveals      levels taken from the record when they became visible; the first book is not counted
    crossed      rows at which a side of the record's book would trade with the other
    conforms     every row and priority is equal, there is no exception and no gap
    state_checks how often the book that follows the outcomes was held against the engine's own
    """

    schema_version: Literal[1]
    format: Literal["lobster", "binance-depth", "bitstamp"]
    files: list[str]
    twin: Literal["engine", "model", "both"]
    conforms: bool
    rows: Count
    rows_equal: Count
    priority: Count
    priority_equal: Count
    exceptions: list[Difference]
    exceptions_total: Count
    exception_kinds: dict[str, Count]
    gaps: Count
    gap_list: list[Gap]
    reveals: Count
    crossed: Count
    events: Count
    state_checks: Count
    lobster: Lobster | None
    binance_depth: BinanceDepth | None
    bitstamp: Bitstamp | None
    unknowns: list[str]


class Findings:
    """Counts and exceptions while a record is read."""

    def __init__(self) -> None:
        self.rows = self.rows_equal = self.priority = self.priority_equal = self.reveals = self.crossed = 0
        self.exceptions: list[Difference] = []
        self.kinds: dict[str, int] = {}
        self.gap_list: list[Gap] = []
        self.gaps = 0

    def add(self, row: int, kind: str, text: str) -> None:
        """Note an exception; the first LISTED_MAX are kept."""
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if len(self.exceptions) < LISTED_MAX:
            self.exceptions.append(Difference(row=row, kind=kind, text=text))

    def gap(self, row: int, text: str, joined: bool) -> None:
        self.gaps += 1
        if len(self.gap_list) < LISTED_MAX:
            self.gap_list.append(Gap(row=row, text=text, joined=joined))

    def compared(self, equal: bool) -> bool:
        self.rows += 1
        self.rows_equal += equal
        return equal

    def answer(self, format: str, files: list[str], driver, unknowns: list[str], **part: Part) -> Conformance:
        """Return the whole answer. part: the format's own, by its field."""
        equal = self.rows == self.rows_equal and self.priority == self.priority_equal
        return Conformance(
            schema_version=1,
            format=format,
            files=files,
            twin=driver.twin,
            conforms=equal and not self.kinds and not self.gaps,
            rows=self.rows,
            rows_equal=self.rows_equal,
            priority=self.priority,
            priority_equal=self.priority_equal,
            exceptions=self.exceptions,
            exceptions_total=sum(self.kinds.values()),
            exception_kinds=dict(sorted(self.kinds.items())),
            gaps=self.gaps,
            gap_list=self.gap_list,
            reveals=self.reveals,
            crossed=self.crossed,
            events=driver.events,
            state_checks=driver.checks,
            unknowns=unknowns,
            **({"lobster": None, "binance_depth": None, "bitstamp": None} | part),
        )


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "conform.json"


def schema() -> str:
    """Return the JSON Schema of the answer as text: keys sorted."""
    return text_of(Conformance.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
