"""Two rule books side by side: which values differ, and whether a tape means the same under both.

Ids on a tape are row numbers of the rule book it was made for, its prices, money and lots are in that book's units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specs import load
from specs.rules import At, Venue
from specs.tape import EventKind, Tape

ROWS_MAX = 50  # changed rows of a rule book or plan that are named


# ---- what differs


def changed_rows(a: Any, b: Any) -> list[str]:
    """Return 'path: before -> after' of every value that differs between two rule books or plans; names and prose left out."""
    found: list[str] = []
    _differ(a.model_dump(mode="json", by_alias=True), b.model_dump(mode="json", by_alias=True), "", found)
    more = len(found) - ROWS_MAX
    return found[:ROWS_MAX] + ([f"and {more} more"] if more > 0 else [])


_PROSE = ("name", "title", "references", "assumed", "effective_from")


def _differ(a: Any, b: Any, path: str, found: list[str]) -> None:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys((*a, *b)):
            if path or key not in _PROSE:
                _differ(a.get(key), b.get(key), f"{path}.{key}" if path else key, found)
    elif isinstance(a, list) and isinstance(b, list) and (len(a) == len(b) or _labels(a + b) is not None):
        keys = [_labels(a), _labels(b)]
        if None in keys or len(a) == len(b) and keys[0] != keys[1]:
            keys = [list(range(len(a))), list(range(len(b)))]
        rows = [dict(zip(key, side, strict=True)) for key, side in zip(keys, (a, b), strict=True)]
        for key in dict.fromkeys((*rows[0], *rows[1])):
            _differ(rows[0].get(key), rows[1].get(key), f"{path}.{key}", found)
    elif a != b:
        found.append(f"{path}: {_short(a)} -> {_short(b)}")


def _labels(rows: list) -> list[str] | None:
    """Return what the rows of a table are called, None if one of them has no name."""
    labels = [row.get("name") or row.get("id") or row.get("asset") if isinstance(row, dict) else None for row in rows]
    return None if None in labels else labels


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return str(value.get("kind") or value.get("name") or "a row")
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# ---- does a tape mean the same?

TABLES = {"sources": "source", "markets": "market", "assets": "asset"}
# What a kind of event names besides an account; a kind that is not here may name any of them.
NAMES: dict[str, tuple[str, ...]] = {
    "CLOCK": (),
    "ACCOUNT": (),
    "DEPOSIT": ("assets",),
    "WITHDRAW": ("assets",),
    "LEVERAGE": ("markets",),
    "ORDER": ("markets",),
    "CANCEL": (),
    "SOURCE": ("sources",),
    "TRANSFER": ("assets",),
    "MODE": ("markets",),
    "AUTO_ADD": (),
    "STATE": ("markets",),
}
# What makes a number on tape mean something else: a name, and the units of prices, money and lots.
MEANING = {
    "sources": ("name", "price_decimals"),
    "assets": ("name", "decimals"),
    "markets": ("name", "price_decimals", "lot", "payoff", "settles_in", "base"),
}


def named_on(tape: Tape) -> dict[str, list[tuple[int, int]]]:
    """Return table -> (row number, first event that names it), ascending."""
    events = tape.events
    found = {}
    for table, field in TABLES.items():
        kinds = [int(kind) for kind in EventKind if table in NAMES.get(kind.name, tuple(TABLES))]
        at = np.flatnonzero(np.isin(events["kind"], kinds))
        numbers, first = np.unique(events[field][at], return_index=True)
        found[table] = list(zip(numbers.tolist(), at[first].tolist(), strict=True))
    return found


def fits(venue: Venue, tape: Tape, made_for: Venue) -> None:
    """Raise At for the first id on the tape that the rule book lacks, or that means something else in it.

    A number that the rule book the tape was made for has not got is a bad event, refused by both alike: it may stay unknown.
    """
    certain = made_for.name == tape.meta.venue
    for table, used in named_on(tape).items():
        rows, originals = getattr(venue, table), getattr(made_for, table)
        for number, event in used:
            names = f"event {event} of the tape names {table[:-1]} {number}"
            if number >= max(len(originals), len(rows)) and certain:
                continue
            if number >= len(rows):
                meant = f" ({originals[number].name} in {made_for.name})" if number < len(originals) else ""
                problem = f"{names}{meant}, and here are {len(rows)} {table}"
                raise At((table,), problem, "ids on a tape are row numbers: every row that it names, in the same order")
            if number >= len(originals):
                problem = f"{names}: {rows[number].name} here, unknown to {made_for.name}, for which it was made"
                raise At((table, number, "name"), problem, "a tape that was made for this rule book")
            for key in MEANING[table]:
                ours, theirs = (getattr(row, key, None) for row in (rows[number], originals[number]))
                if ours != theirs:
                    problem = f"{names}: {key} {_said(ours)} here, {_said(theirs)} in {made_for.name}, for which it was made"
                    remedy = "ids on a tape are row numbers, its figures are in their units: the same rows, in the same order"
                    raise At((table, number, key), problem, remedy)
    _same_numeraire(venue, made_for)


def _said(value: Any) -> str:
    return value.model_dump_json() if hasattr(value, "model_dump_json") else f"{value}"


def _same_numeraire(venue: Venue, other: Venue) -> None:
    keys = [(row.numeraire, row.decimals(row.numeraire), row.number("assets", row.numeraire)) for row in (venue, other)]
    if keys[0] != keys[1]:
        here, there = ("{} in 10^-{}, asset {}".format(*key) for key in keys)
        raise At(("numeraire",), f"the numeraire is {here}; in {other.name} it is {there}", "one unit of money for both")


def made_for(tape: Tape, books: list[Venue]) -> Venue:
    """Return the rule book whose row numbers a tape's ids are: the one of its name, else the first given.

    Of its name may be A, B and a packaged one: if A and B do not mean the same by its ids, the packaged one decides.
    """
    name, packaged = tape.meta.venue, load.names("venue")
    ours = next((book for book in books if book.name == name), None)
    alike = all(_meanings(book, tape) == _meanings(books[0], tape) for book in books)
    if name in packaged and not (ours and alike):
        return load.load(packaged[name], Venue)
    return ours or books[0]


def _meanings(venue: Venue, tape: Tape) -> list[tuple]:
    """Return what the ids of a tape mean under a rule book."""
    return [
        tuple(getattr(getattr(venue, table)[number], key, None) for key in MEANING[table])
        if number < len(getattr(venue, table))
        else ()
        for table, used in named_on(tape).items()
        for number, _ in used
    ]
