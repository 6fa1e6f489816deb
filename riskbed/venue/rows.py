"""A rule book as flat rows: every value by a path of names, with its unit and its place. What `diff` and `show` read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel

from riskbed.venue.book import Book

SUFFIXES = {
    "ppm": "ppm",
    "ppb": "ppb",
    "ns": "ns",
    "ticks": "ticks",
    "lots": "lots",
    "levels": "levels",
    "decimals": "decimals",
    "weights": "10^-8",
}
OF_FIELDS = {"leverage": "x", "leverage_max": "x", "leverage_default": "x", "qty_max": "lots", "position_max": "lots"}
OF_FIELDS |= {
    "qty_from": "units",
    "open_interest_max": "lots",
    "inventory_max": "lots",
    "tick_size": "price units",
    "basis_samples": "samples",
}
MONEY = {"notional_max", "amount", "capital", "fund_min", "fund_max", "maintenance_min", "fixed", "lower", "upper"}
MONEY |= {"deposits_max"}
OF_FIELDS |= {"initial_ppb_per_coin": "ppb a coin", "maintenance_ppb_per_coin": "ppb a coin"}
RATIOS = {"at_most", "at_least", "below"}
NONE = "none"  # of a value that is absent
APART = {"assumed", "references"}  # what is said about the rules, not rules


class Value(NamedTuple):
    """One value. path: in the validated rule book; path_words: the same by names. written: False where it is a default."""

    path: tuple
    path_words: tuple[str, ...]
    value: str
    unit: str
    line: int
    column: int
    written: bool

    @property
    def name(self) -> str:
        return ".".join(self.path_words)


def unit(path: tuple, numeraire: str) -> str:
    """Return the unit of a value, from the name of its field; "" for what has none, such as a name or a switch."""
    field = next((step for step in reversed(path) if isinstance(step, str)), "")
    if field in MONEY:
        return numeraire
    if field in RATIOS:
        return "of maintenance"
    if field == "price_min":
        return "quote"
    return OF_FIELDS.get(field) or SUFFIXES.get(field.rpartition("_")[2], "")


def said(value: object) -> str:
    """Return a value as the tables say it: integers in groups of three, none for what is absent."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:,}" if isinstance(value, int) else str(value)


def values(book: Book) -> Iterator[Value]:
    """Yield every value of a rule book in the order of its rows, defaults too; comments of the file are `APART`."""
    for field in type(book.venue).model_fields:
        if field not in APART:
            yield from _below(book, (field,), getattr(book.venue, field))


def _below(book: Book, path: tuple, here: object) -> Iterator[Value]:
    if isinstance(here, BaseModel):
        parts = [(field, getattr(here, field)) for field in type(here).model_fields]
    elif isinstance(here, dict):
        parts = list(here.items())
    elif isinstance(here, list):
        parts = list(enumerate(here))
    else:
        line, column = book.at(path)
        shown = said(here)
        known = unit(path, book.venue.numeraire) if shown != NONE else ""
        yield Value(path, book.words(path), shown, known, line, column, book.written(path))
        return
    for step, value in parts:
        yield from _below(book, (*path, step), value)
