"""Checks of changes of rules in flight: whether one can take effect, from the tables that the rule book itself holds."""

from __future__ import annotations

from collections.abc import Iterator

from riskbed.venue.book import Book
from riskbed.venue.finding import Found, note, warns
from specs import rules
from specs.model.changes import Change, compiled, table_after
from specs.model.margin import Brackets
from specs.rules import Venue


def acts(book: Book) -> Iterator[Found]:
    """A change of rules breaks no bound in the order of its dates, and changes something.

    Tables are those in force when it is announced and when it takes effect; where no date says when, that of the rule book.
    """
    venue = book.venue
    if not venue.changes:
        return
    tables = [Brackets(venue, market) for market in venue.markets]
    rows = compiled(venue, 0)
    for i in sorted(range(len(rows)), key=lambda i: (rows[i].effective_ns is None, rows[i].effective_ns or 0)):
        change, path = rows[i], ("changes", i)
        if change.market is None:
            yield from _weights(venue, path, i)
            continue
        before, after = tables[change.market], table_after(tables[change.market], change)
        field = "leverage_max" if change.scale_ppm is None else "maintenance_scale_ppm"
        if after is None:
            yield warns((*path, field), "the table would break a bound: " + broken(before, change), "it is refused whole")
        elif after == before.rows:
            yield note(path, "the table is what it was before: it changes nothing")
        if after is not None and change.effective_ns is not None:
            tables[change.market] = before.with_rows(after)


def _weights(venue: Venue, path: tuple, number: int) -> Iterator[Found]:
    row = venue.changes[number]
    held = next(other for other in venue.collateral if other.asset == row.collateral)
    if all(getattr(row, field) in (None, getattr(held, field)) for field in rules.Change.WEIGHTS):
        yield note(path, f"the weights of {row.collateral} are what they were: it changes nothing")


def broken(table: Brackets, change: Change) -> str:
    """Say why a change cannot stand on a table."""
    if table_after(table, change._replace(leverage_max=1)) is None:
        return "a rate above 100 %, or an amount that is not a whole unit of money"
    return "initial margin at the leverage cap is below maintenance; a lower leverage_max with it mends that"
