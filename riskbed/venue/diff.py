"""`riskbed venue diff`: what differs between two rule books, by names, on the validated rows: no text is compared.

Markets, assets, sources and indices are matched by name, collateral by asset, brackets by floor, stages by kind, quoters by
market and account; the order of a table is told apart. A row that one of them lacks is one line. Of margin: a direction where one
number says it, and for brackets a table of the notionals for which B asks for more or for less.
specs/schema/venue-diff.json is the JSON Schema; `python -m riskbed.venue.diff` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from riskbed.result import Part
from riskbed.venue import margins
from riskbed.venue.book import Book
from riskbed.venue.finding import exact
from riskbed.venue.rows import NONE, Value, values
from specs.schema import text_of

Direction = Literal["stricter", "looser", ""]
RISES: dict[str, Direction] = {  # of a margin row: what it is for an account when the number rises
    "maintenance_ppm": "stricter",
    "initial_ppm": "stricter",
    "slippage_ppm": "stricter",
    "initial_ppb_per_coin": "stricter",
    "maintenance_ppb_per_coin": "stricter",
    "maintenance_min": "stricter",
    "impact_ppm": "stricter",
    "fixed": "stricter",
    "leverage_max": "looser",
    "leverage_default": "looser",
    "weight_ppm": "looser",
    "initial_weight_ppm": "looser",
    "imf_factor_ppm": "stricter",
    "deposits_max": "looser",
    "profit_weight_ppm": "looser",
    "liability_weight_ppm": "stricter",
}  # not `amount`: it follows from floors and rates
OPPOSITE: dict[str, Direction] = {"stricter": "looser", "looser": "stricter"}
IDENTITY = {"name", "title", "effective_from", "schema_version"}  # of the rule book itself: no rules
TABLES = ("assets", "sources", "indices", "markets", "collateral", "changes")
PARTS_SHOWN = 8  # values of a row that one side lacks


class Side(Part):
    """A value as text, None where the row is not there. line, column: of it, or of what holds it. default: it is not written."""

    value: str | None
    line: int | None
    column: int | None
    default: bool


class Differs(Part):
    """direction: what B is against A, of a margin row where its number alone says it; stricter asks for more margin."""

    row: str
    unit: str
    a: Side
    b: Side
    direction: Direction


class Margin(Part):
    """For these notionals, exact and in words, B asks for more (stricter) or less (looser) of a requirement than A."""

    market: str
    requirement: str
    notionals: str
    direction: Direction


class Answer(Part):
    """equal: no rule differs. identity: name, title and time of effect are no rules and stand apart."""

    schema_version: Literal[1]
    a: str
    b: str
    equal: bool
    identity: list[Differs]
    rows: list[Differs]
    margins: list[Margin]


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "venue-diff.json"
ABSENT = Side(value=None, line=None, column=None, default=False)


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Answer.model_json_schema())


def compare(a: Book, b: Book) -> Answer:
    """Return what differs between two rule books."""
    left, right = ({value.path_words: value for value in values(book)} for book in (a, b))
    rows = [_differs(left[name], right[name]) for name in left if name in right and not _same(left[name], right[name])]
    identity = [row for row in rows if row.row in IDENTITY]
    rows = [row for row in rows if row.row not in IDENTITY]
    for ours, theirs, book, other in ((left, right, a, b), (right, left, b, a)):
        for name, side, unit in _lacking(book, ours, theirs):
            none = theirs.get(name)
            opposite = ABSENT if none is None else _side(none)
            pair = {"a": side, "b": opposite} if ours is left else {"a": opposite, "b": side}
            rows.append(Differs(row=".".join(name), unit=unit, **pair, direction=""))
    rows += _orders(a, b)
    found = _margins(a, b)
    return Answer(
        schema_version=1, a=a.document.name, b=b.document.name, equal=not rows, identity=identity, rows=rows, margins=found
    )


def _number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _same(a: Value, b: Value) -> bool:
    """Return whether two values are one: as text, or as money that is written in two ways."""
    if a.value == b.value:
        return True
    try:
        return bool(a.unit) and _number(a.value) == _number(b.value)
    except ValueError:
        return False


def _side(value: Value) -> Side:
    return Side(value=value.value, line=value.line, column=value.column, default=not value.written)


def _differs(a: Value, b: Value) -> Differs:
    return Differs(row=a.name, unit=a.unit or b.unit, a=_side(a), b=_side(b), direction=_direction(a, b))


def _direction(a: Value, b: Value) -> Direction:
    if a.path[0] not in ("markets", "collateral", "withdrawal") or a.path[-1] not in RISES or NONE in (a.value, b.value):
        return ""
    rises = RISES[a.path[-1]]
    return rises if _number(b.value) > _number(a.value) else OPPOSITE[rises]


def _lacking(book: Book, ours: dict[tuple, Value], theirs: dict[tuple, Value]) -> Iterator[tuple[tuple, Side, str]]:
    """Yield (path by names, side, unit) of every row that only `ours` has: the highest one, its written values in one line.

    Where the other says none, it has no such row.
    """
    there = {name[:n] for name, value in theirs.items() if value.value != NONE for n in range(len(name) + 1)}
    rows: dict[tuple, list[Value]] = {}
    for name, value in ours.items():
        if name not in theirs and value.value != NONE:
            depth = next((n for n in range(1, len(name)) if name[:n] not in there), len(name))
            rows.setdefault(name[:depth], []).append(value)
    for name, found in rows.items():
        if len(found) == 1 and found[0].path_words == name:
            yield name, _side(found[0]), found[0].unit
            continue
        written = [value for value in found if value.written]
        words = [f"{'.'.join(value.path_words[len(name) :])} {value.value}" for value in written[:PARTS_SHOWN]]
        more = f", {len(written) - PARTS_SHOWN} more" if len(written) > PARTS_SHOWN else ""
        line, column = book.at(found[0].path[: len(name)])
        yield name, Side(value=", ".join(words) + more, line=line, column=column, default=not written), ""


def _orders(a: Book, b: Book) -> list[Differs]:
    """Return the tables that hold the same rows in another order: indices, markets and ids go by it."""
    found = []
    for table in TABLES:
        names = [[getattr(row, "name", None) or row.asset for row in getattr(book.venue, table)] for book in (a, b)]
        if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
            sides = []
            for book, words in zip((a, b), names, strict=True):
                line, column = book.at((table,))
                sides.append(Side(value=", ".join(words), line=line, column=column, default=False))
            found.append(Differs(row=f"{table}: order", unit="", a=sides[0], b=sides[1], direction=""))
    return found


def _margins(a: Book, b: Book) -> list[Margin]:
    others = {market.name: market for _, market in b.perpetuals()}
    found = []
    for _, market in a.perpetuals():
        if market.name not in others:
            continue
        for requirement in margins.REQUIREMENTS:
            for span, direction, last in margins.compare(market, others[market.name], requirement):
                row = {"market": market.name, "requirement": requirement, "notionals": span.words(last)}
                found.append(Margin(**row, direction=direction))
        ours, theirs = (Fraction(rows[-1].notional_max) for rows in (market.brackets, others[market.name].brackets))
        if ours != theirs:
            words = f"{exact(theirs)} instead of {exact(ours)}"
            direction = "stricter" if theirs < ours else "looser"
            found.append(Margin(market=market.name, requirement="largest notional", notionals=words, direction=direction))
    return found


def show(answer: Answer) -> None:
    """Print the differences, or that there are none."""
    from riskbed import cli
    from riskbed.tables import _console

    console = _console()
    for name, file in (("A", answer.a), ("B", answer.b)):
        console.print(f"{name}: {file}", markup=False, emoji=False, soft_wrap=True)
    for row in answer.identity:
        console.print(f"  {row.row}: {row.a.value} | {row.b.value}", markup=False, emoji=False, soft_wrap=True)
    if answer.equal:
        console.print("\nNo rule differs.", style="bold")
        return
    console.print(f"\n{len(answer.rows):,} row{'s differ' if len(answer.rows) > 1 else ' differs'}", style="bold")
    for row in answer.rows:
        unit, direction = f" {row.unit}" if row.unit else "", f"  B is {row.direction}" if row.direction else ""
        console.print(f"{row.row}{direction}", markup=False, emoji=False, soft_wrap=True)
        for name, file, side in (("A", answer.a, row.a), ("B", answer.b, row.b)):
            words = "not there"
            if side.value is not None:
                mark = " (default)" if side.default else ""
                words = f"{side.value}{unit if side.value != NONE else ''}{mark}  {file}:{side.line}:{side.column}"
            console.print(f"  {name}  {words}", markup=False, emoji=False, soft_wrap=True)
    if answer.margins:
        table = cli._table("market", "requirement", "for notionals", "B is", text=4)
        for row in answer.margins:
            table.add_row(row.market, row.requirement, row.notionals, row.direction)
        cli._headed(console, "Margin, B against A, up to what both admit", table)


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
