"""`riskbed venue list` and `riskbed venue show`: what is packaged, and one rule book as it is resolved, defaults and all.

specs/schema/venue-show.json and venue-list.json are the JSON Schemas; `python -m riskbed.venue.show` writes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from riskbed.result import Part
from riskbed.venue import book as books
from riskbed.venue.book import Book
from riskbed.venue.rows import said, values
from specs import load, rules
from specs.schema import text_of


class Shown(Part):
    """One value. default: the file does not write it. assumed: the path of the assumption that covers it, the nearest one."""

    row: str
    value: str
    unit: str
    line: int
    column: int
    default: bool
    assumed: str | None


class Why(Part):
    path: str
    why: str


class Resolved(Part):
    """A rule book with its defaults. Counts are of values; assumed holds the reasons, references the sources of the rest."""

    schema_version: Literal[1]
    venue: str
    title: str
    file: str
    written: int
    defaulted: int
    rows: list[Shown]
    assumed: list[Why]
    references: list[str]


class Packaged(Part):
    """assumed: how many rows the rule book marks as not public. effective_from: None where it says none."""

    name: str
    title: str
    effective_from: str | None
    assumed: int
    file: str


class Stages(Part):
    """A preset of `liquidation`. not_modelled: how many notes say what of the venue it leaves out."""

    name: str
    title: str
    stages: list[str]
    not_modelled: int
    file: str


class Listed(Part):
    schema_version: Literal[1]
    rows: list[Packaged]
    presets: list[Stages]


SCHEMAS = {name: Path(__file__).parents[2] / "specs" / "schema" / f"venue-{name}.json" for name in ("show", "list")}


def schema(name: str) -> str:
    """Return the JSON Schema of an answer as text: keys sorted. name: show or list."""
    return text_of({"show": Resolved, "list": Listed}[name].model_json_schema())


def listed() -> Listed:
    """Return every packaged rule book."""
    rows = []
    for name in load.names("venue"):
        book = books.of(name)
        venue = book.venue
        since = None if venue.effective_from is None else said(venue.effective_from)
        file = book.document.name
        rows.append(Packaged(name=name, title=venue.title, effective_from=since, assumed=len(venue.assumed), file=file))
    presets = []
    for name, path in load.names("preset").items():
        row = rules.preset(name)
        kinds = [stage.kind for stage in row.liquidation.stages]
        notes = len(row.not_modelled)
        presets.append(Stages(name=name, title=row.title, stages=kinds, not_modelled=notes, file=load.shown(path)))
    return Listed(schema_version=1, rows=rows, presets=presets)


def resolve(book: Book) -> Resolved:
    """Return a rule book as it is in force."""
    covers = {tuple(row.path.split(".")): row.path for row in book.venue.assumed}
    rows = []
    for value in values(book):
        words = _words(book, value.path)
        assumed = next((covers[words[:n]] for n in range(len(words), 0, -1) if words[:n] in covers), None)
        place = {"line": value.line, "column": value.column}
        default = not value.written
        rows.append(Shown(row=value.name, value=value.value, unit=value.unit, **place, default=default, assumed=assumed))
    return Resolved(
        schema_version=1,
        venue=book.venue.name,
        title=book.venue.title,
        file=book.document.name,
        written=sum(not row.default for row in rows),
        defaulted=sum(row.default for row in rows),
        rows=rows,
        assumed=[Why(path=row.path, why=row.why) for row in book.venue.assumed],
        references=list(book.venue.references),
    )


def _words(book: Book, path: tuple) -> tuple[str, ...]:
    """Return a path as `assumed` writes it: rows by name, asset or kind, else by number (specs.rules.Venue._assumed)."""
    here, words = book.venue, []
    for step in path:
        here = getattr(here, step) if isinstance(step, str) and not isinstance(here, dict) else here[step]
        labels = [getattr(here, key, None) for key in ("name", "asset", "kind")] if isinstance(step, int) else []
        words.append(next((label for label in labels if isinstance(label, str)), str(step)))
    return tuple(words)


def show_list(answer: Listed) -> None:
    """Print a table of the packaged rule books."""
    from riskbed import cli
    from riskbed.tables import _console

    table = cli._table("name", "title", "effective from", "assumed rows", text=3)
    for row in answer.rows:
        table.add_row(row.name, row.title, row.effective_from or "-", str(row.assumed))
    cli._headed(_console(), "Packaged rule books", table)
    table = cli._table("preset", "title", "stages", "notes", text=3)
    for row in answer.presets:
        table.add_row(row.name, row.title, ", ".join(row.stages), str(row.not_modelled))
    cli._headed(_console(), "Presets of liquidation: {preset: NAME}", table)


def show_preset(name: str, json: bool) -> None:
    """Print a preset as its file says it, sources and notes with it; as JSON its row."""
    row, text = rules.preset(name), load.read_text(load.names("preset")[name])
    print(row.model_dump_json(indent=2, exclude_unset=True) if json else text)


def _marks(row: Shown) -> str:
    return ", ".join(["default"] * row.default + [f"assumed: {row.assumed}"] * (row.assumed is not None))


def show(answer: Resolved) -> None:
    """Print every value with its unit and line; what is a default, what is assumed; then why."""
    from riskbed.tables import _console

    console = _console()
    console.print(f"{answer.venue}  {answer.title}".rstrip(), style="bold", markup=False, emoji=False, soft_wrap=True)
    told = f"{answer.file}: {answer.written:,} values written, {answer.defaulted:,} defaults, {len(answer.assumed)} assumed rows"
    console.print(told, style="dim", markup=False, emoji=False, soft_wrap=True)
    cells = [(row.row, f"{row.value} {row.unit}".rstrip(), f"{row.line}:{row.column}", _marks(row)) for row in answer.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    for row in cells:
        line = "  ".join((*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[3])).rstrip()
        console.print(line, markup=False, emoji=False, soft_wrap=True)
    if answer.assumed:
        console.print("\nAssumed", style="bold")
        for row in answer.assumed:
            console.print(f"  {row.path}: {row.why}", markup=False, emoji=False, soft_wrap=True)


if __name__ == "__main__":
    for _name, _path in SCHEMAS.items():
        _path.write_text(schema(_name), encoding="utf-8")
