"""The venue's own books inside a price: how much of their move passes into an index, and how much when others fall silent.

Weight is the share of a small relative move of the own books, all moving alike, that the index repeats while its parts agree:

    source 0 | book 1 | leg: that of the index | product: the sum of both | redemption: that of the underlying
    weighted, mean: by weight over the usable parts | floor, twap: that of the part
    median: that of its own parts if more than half of the usable parts are own, half of it at just half, else 0

A twap repeats it over so many publications; a median and an outlier row bound a move that the others do not share.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from specs import rules


class Read(NamedTuple):
    """What a node gives: weight of the own books, and how many sources it used."""

    own: Fraction
    used: int


def own_weight(venue: rules.Venue, number: int, silent: bool = False) -> Fraction | None:
    """Return the own books' weight in an index; `silent`: with every source from outside silent. None: the index has no price."""
    index = venue.indices[number]
    found = _read(venue, index.recipe, silent)
    return None if found is None or found.used < index.sources_min else found.own


def _read(venue: rules.Venue, node: rules.Row, silent: bool) -> Read | None:
    if node.kind == "source":
        return None if silent else Read(Fraction(0), 1)
    if node.kind == "book":
        return Read(Fraction(1), 1)
    if node.kind == "index":
        weight = own_weight(venue, venue.number("indices", node.name), silent)
        return None if weight is None else Read(weight, 1)
    if node.kind == "redemption":
        under = Read(Fraction(0), 0) if node.underlying is None else _read(venue, node.underlying, silent)
        return None if silent or under is None else Read(under.own, under.used + 1)
    if node.kind in ("floor", "twap"):
        return _read(venue, node.of, silent)
    parts = [_read(venue, part, silent) for part in node.of]
    if node.kind == "product":
        left, right = parts
        return None if left is None or right is None else Read(left.own + right.own, left.used + right.used)
    weights = node.weights if node.kind == "weighted" else [1] * len(parts)
    usable = [(part, weight) for part, weight in zip(parts, weights, strict=True) if part is not None]
    total, used = sum(weight for _, weight in usable), sum(part.used for part, _ in usable)
    if not total:
        return None
    if node.kind == "median":
        return Read(_median([part.own for part, _ in usable]), used)
    return Read(sum(part.own * weight for part, weight in usable) / Fraction(total), used)


def _median(shares: list[Fraction]) -> Fraction:
    own = [share for share in shares if share]
    if 2 * len(own) < len(shares):
        return Fraction(0)
    return max(own) / (1 if 2 * len(own) > len(shares) else 2)


def books(venue: rules.Venue, number: int) -> list[str]:
    """Return the markets whose books an index reads, through its legs too."""
    found: list[str] = []
    for node in rules.walk(venue.indices[number].recipe):
        if node.kind == "book":
            found.append(node.market)
        elif node.kind == "index":
            found += books(venue, venue.number("indices", node.name))
    return list(dict.fromkeys(found))


def leaves(venue: rules.Venue, number: int) -> Iterator[tuple[tuple, rules.Row]]:
    """Yield (path in the rule book, node) of every source, ratio and book that an index reads, through its legs too."""
    for path, node in rules.walk_paths(venue.indices[number].recipe, ("indices", number, "recipe")):
        if node.kind == "index":
            yield from leaves(venue, venue.number("indices", node.name))
        elif node.kind in ("source", "redemption", "book"):
            yield path, node


def fewest(node: rules.Row) -> int:
    """Return how few sources can make a node usable: a book and a leg count as one, both factors of a product are needed."""
    if node.kind in ("source", "book", "index"):
        return 1
    if node.kind == "redemption":
        return 1 + (fewest(node.underlying) if node.underlying is not None else 0)
    if node.kind in ("floor", "twap"):
        return fewest(node.of)
    if node.kind == "product":
        return sum(fewest(part) for part in node.of)
    weights = node.weights if node.kind == "weighted" else [1] * len(node.of)
    return min(fewest(part) for part, weight in zip(node.of, weights, strict=True) if weight)
