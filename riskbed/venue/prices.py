"""Checks of the prices that value collateral and margin: quorum, the weight of the venue's own books, staleness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from riskbed.venue.book import Book
from riskbed.venue.finding import Found, exact, fails, note, warns
from riskbed.venue.own import books, fewest, leaves, own_weight
from specs import rules


def _indices(book: Book) -> dict[int, list[str]]:
    """Return the indices that price something, in the order of the rule book, and what each of them prices."""
    found: dict[int, list[str]] = {}
    for _, number, what in book.priced():
        found.setdefault(number, []).append(what)
    return dict(sorted(found.items()))


def quorum(book: Book) -> Iterator[Found]:
    """No index stands on one source: it needs several and reads more."""
    for number, priced in _indices(book).items():
        index = book.venue.indices[number]
        yield from _counted_twice(number, index)
        read, least = rules.sources_read(index.recipe), fewest(index.recipe)
        need, what = max(index.sources_min, least), f"index {index.name}, {' and '.join(priced)},"
        path = ("indices", number, "sources_min")
        if read == 1:
            yield warns(
                path,
                f"{what} reads 1 source and needs 1: a single point of failure",
                "a recipe of at least three independent sources, and sources_min",
            )
        elif least == read:
            yield warns(
                path,
                f"{what} needs every one of the {read} sources it reads: each is a single point of failure",
                "a mean, median or weighted recipe over independent parts",
            )
        elif need == least:
            yield warns(
                path,
                f"{what} reads {read} sources and is VALID with {need}: one part alone may set it",
                f"sources_min: at least {least + 1}" if read > least + 1 else "more parts, then a larger sources_min",
            )
        elif need == read:
            yield note(
                path, f"{what} needs all {read} sources it reads: one that is silent stops it", f"sources_min: at most {read - 1}"
            )


def _counted_twice(number: int, index: rules.Index) -> Iterator[Found]:
    """A source that stands twice in a recipe counts twice for sources_min, as the engine counts, and is one source."""
    leaves_of = {"source": "name", "book": "market", "index": "name", "redemption": "ratio"}
    nodes = [node for node in rules.walk(index.recipe) if node.kind in leaves_of]
    counts = Counter((node.kind, getattr(node, leaves_of[node.kind])) for node in nodes)
    for (kind, name), count in counts.items():
        if count > 1:
            yield warns(
                ("indices", number, "recipe"),
                f"{kind} {name} stands {count} times in index {index.name}: it counts {count} times for sources_min "
                f"{index.sources_min} and is one",
                "another source, or a sources_min that does not lean on it",
            )


def own_books(book: Book) -> Iterator[Found]:
    """Prices of collateral and margin do not follow the venue's own books.

    More than half of the weight fails: the own books then outvote whoever else is read.

    A source that is the venue's own market elsewhere (its spot book, say) is a source here: no row says whose it is.
    """
    for number, priced in _indices(book).items():
        index, names = book.venue.indices[number], books(book.venue, number)
        if not names:
            continue
        own, alone = own_weight(book.venue, number) or Fraction(0), own_weight(book.venue, number, silent=True)
        many = len(names) > 1
        what = f"the venue's own book{'s' * many} {', '.join(names)} make{'s' * (not many)}"
        silent = "; with every outside source silent " + ("it has no price" if alone is None else f"{exact(alone * 100)} %")
        say = fails if own > Fraction(1, 2) else warns if own or alone else note
        yield say(
            ("indices", number, "recipe"),
            f"{what} {exact(own * 100)} % of index {index.name}, {' and '.join(priced)}{silent}",
            "outside sources or the redemption value with most of the weight, and a sources_min that the own books cannot reach",
        )
    for path, market in book.perpetuals():
        if market.mark.kind == "median":
            yield warns(
                (*path, "mark"),
                f"two of the three parts of the mark of {market.name} are its own book: index + basis "
                f"({market.mark.basis_samples} samples) and last; together they set the median",
                "mark: {kind: index}, or as many basis_samples as a squeeze of the book would last",
            )


def staleness(book: Book) -> Iterator[Found]:
    """A source that stops is stale, not quiet, behind collateral and margin."""
    told: set[tuple] = set()
    for number, priced in _indices(book).items():
        for path, node in leaves(book.venue, number):
            if node.kind == "book":
                if (node.market, number) not in told:
                    told.add((node.market, number))
                    yield note(
                        path,
                        f"without both sides the book {node.market} is its last trade, however old: it never goes stale",
                        "a recipe whose quorum does not need it",
                    )
                continue
            name = node.name if node.kind == "source" else node.ratio
            at = ("sources", book.venue.number("sources", name))
            if book.venue.sources[at[1]].stale_after_ns is None and at not in told:
                told.add(at)
                yield warns(
                    at,
                    f"source {name}, behind {' and '.join(priced)}, has no stale_after_ns: its last price stands for ever",
                    "stale_after_ns: a few of its own intervals",
                )
