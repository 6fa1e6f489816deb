"""A rule book with the places of its rows: what every judgement points into."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from riskbed.venue.finding import exact
from specs import load, rules

Path = tuple  # of keys (str) and list positions (int), as in the validated rule book


class Book(NamedTuple):
    """A validated rule book and the file that said it."""

    venue: rules.Venue
    document: load.Document

    def at(self, path: Path) -> tuple[int, int]:
        """Return line and column of a row; where the file leaves it out, of the nearest row above it that is written."""
        return self.document.at(self.document.walk(path)[0])

    def written(self, path: Path) -> bool:
        """Return whether the file says this row itself, rather than leaving it to its default."""
        return not self.document.walk(path)[1]

    def words(self, path: Path) -> tuple[str, ...]:
        """Return a path as a person reads it, rows by their names: also the part of it that is a default."""
        there, rest = self.document.walk(path)
        return (*(self._word(there[: i + 1]) for i in range(len(there))), *map(str, rest))

    def dotted(self, path: Path) -> str:
        """Return a path by names as one word."""
        return ".".join(self.words(path))

    def _word(self, path: Path) -> str:
        """Return the last step of a path: a row of a table by its name, a bracket by its floor, a stage by its kind.

        Parts of a recipe have their position: one source may stand in it twice.
        """
        row, step = self.document.value(path), path[-1]
        if isinstance(step, int) and isinstance(row, dict):
            if path[-2] == "brackets":
                return f"above-{exact(Fraction(self.document.value((*path[:-1], step - 1))['notional_max']) if step else 0)}"
            if path[-2] == "stages":
                return row["kind"]
            if path[-2] == "levels":
                return row["name"]
            if path[0] == "quoters":
                return f"{row['market']}-{row['account']}"
            if len(path) == 2:
                return row.get("name") or row.get("asset") or str(step)
        return str(step)

    def perpetuals(self) -> Iterator[tuple[Path, rules.Market]]:
        """Yield what is margined: path and row of every market with brackets, none where nothing is cleared."""
        for i, market in enumerate(self.venue.markets):
            if not market.spot and self.venue.clearing == "full":
                yield ("markets", i), market

    def tables(self) -> Iterator[tuple[Path, rules.Market]]:
        """Yield what has brackets: the perpetuals, then each again with the table that a change of rules would put there."""
        yield from self.perpetuals()
        for i, row in enumerate(self.venue.changes):
            if row.brackets is not None:
                market = self.venue.markets[self.venue.number("markets", row.market)]
                yield ("changes", i), market.model_copy(update={"brackets": row.brackets})

    def priced(self) -> Iterator[tuple[Path, int, str]]:
        """Yield (path of the row that names it, number, of what) of every index that values collateral or margins a market."""
        for path, market in self.perpetuals():
            yield (*path, "index"), self.venue.number("indices", market.index), f"the mark of {market.name}"
        for i, row in enumerate(self.venue.collateral if self.venue.clearing == "full" else []):
            yield ("collateral", i, "index"), self.venue.number("indices", row.index), f"collateral {row.asset}"


def of_text(text: str, name: str = "<text>") -> Book:
    """Return the rule book that a YAML text says, or raise SpecError with name:line:column."""
    return Book(load.load_text(text, rules.Venue, name), load.parse(text, name))


def of(name_or_path: str) -> Book:
    """Return a packaged rule book or the one in a file, or raise SpecError."""
    path = load.find("venue", name_or_path)
    return of_text(load.read_text(path), load.shown(path))
