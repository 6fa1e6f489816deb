"""A rule book with the places of its rows: what every judgement points into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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

    def dotted(self, path: Path) -> str:
        """Return a path as a person reads it, rows by their names: also the part of it that is a default."""
        there, rest = self.document.walk(path)
        words = [self._word(there[: i + 1]) for i in range(len(there))]
        return ".".join((*words, *map(str, rest)))

    def _word(self, path: Path) -> str:
        """Return the last step of a path: a row by its name, a bracket by its floor, a stage by its kind."""
        row = self.document.value(path)
        if isinstance(path[-1], int) and isinstance(row, dict):
            if path[-2] == "brackets":
                return f"above-{self.document.value((*path[:-1], path[-1] - 1))['notional_max'] if path[-1] else 0}"
            labels = [row.get(key) for key in ("name", "asset", "market", "kind") if key != "kind" or path[-2] == "stages"]
            return next((label for label in labels if isinstance(label, str)), str(path[-1]))
        return str(path[-1])

    def perpetuals(self) -> Iterator[tuple[Path, rules.Market]]:
        """Yield what is margined: path and row of every market with brackets, none where nothing is cleared."""
        for i, market in enumerate(self.venue.markets):
            if not market.spot and self.venue.clearing == "full":
                yield ("markets", i), market

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
