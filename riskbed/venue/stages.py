"""Checks of the waterfall: collateral sold for what it counts, stages that finish, and a fund behind them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from riskbed.venue.book import Book
from riskbed.venue.finding import Found, exact, fails, note, ppm, warns
from specs import rules, units


def _stages(book: Book) -> dict[str, tuple[tuple, rules.Row]]:
    """Return path and row of each stage by its kind; none where nothing is cleared."""
    if book.venue.clearing == "none":
        return {}
    return {row.kind: (("liquidation", "stages", i), row) for i, row in enumerate(book.venue.liquidation.stages)}


def conversion(book: Book) -> Iterator[Found]:
    """Collateral counts for no more than it is sure to bring: weight <= 1 - buffer.

    Sold in the venue's own book it is sure to bring 1 - bound. Where it counts for more, an account with collateral worth
    more than maintenance / the difference can be under water before it is liquidated.
    """
    stage = _stages(book).get("convert")
    if stage is None:
        return
    for i, row in enumerate(book.venue.collateral):
        weight = _counted(row)
        to_book = stage[1].to == "book"
        cut = Fraction(stage[1].bound_ppm if to_book else row.convert_buffer_ppm, units.PPM)
        excess = weight - (1 - cut)
        if excess > 0:
            sold, mend = "is converted at", "convert_buffer_ppm"
            if to_book:
                sold, mend = "may be sold in the venue's own book for as little as", "bound_ppm"
            yield fails(
                ("collateral", i, "weight_ppm"),
                f"{row.asset} counts for {ppm(weight)} of its price and {sold} {ppm(1 - cut)}: {ppm(excess)} too much; an "
                f"account with collateral above {exact(1 / excess)} x its maintenance can be bankrupt before it is liquidated",
                f"weight_ppm: at most {int((1 - cut) * units.PPM)}, or a smaller {mend}",
            )


def _counted(row: rules.Collateral) -> Fraction:
    """Return the most that a unit of it can count for to the trigger: in the best slice, with what trigger_haircut leaves."""
    weight = Fraction(max(row.weight_ppm, *(tier.weight_ppm for tier in row.tiers), 0), units.PPM)
    part = row.trigger_haircut
    return weight if part is None else 1 - (1 - weight) * Fraction(part.part, part.of)


def ends(book: Book) -> Iterator[Found]:
    """Lots and debts of a liquidation come to an end.

    Someone must take what the book does not; and collateral must be sold before the fund pays or a debt is written off. What a
    grade or a state defers is left out: it goes on when price or market is back.
    """
    stages = _stages(book)
    if not stages:
        return
    if any(True for _ in book.perpetuals()):
        yield from _lots_end(stages)
    if book.venue.collateral and "convert" not in stages:
        yield fails(
            ("liquidation", "stages"),
            "collateral is never converted: who still holds some is never paid by the fund nor written off",
            "add - kind: convert",
        )
    elif book.venue.collateral and stages["convert"][1].to == "book":
        yield warns(
            stages["convert"][0],
            "collateral is sold in the venue's own book: without a bid inside the bound nothing is, and the account stays in "
            "liquidation; fund and write-off wait for it",
            "to: treasury, or outside bids in that book",
        )


def _waits(path: tuple, row: rules.Row) -> Iterator[Found]:
    """The last taker of lots has a condition: where it does not hold nobody takes them."""
    if row.enter is not None and row.enter.at_least is not None:
        yield fails(
            (*path, "enter", "at_least"),
            f"the {row.kind} is the last taker of lots and takes none below {row.enter.at_least} of maintenance: they are "
            "carried without an end",
            "no at_least, or another stage after it",
        )
    elif row.enter is not None:
        yield note(
            (*path, "enter", "below"),
            f"what the book does not take waits while equity is at least {row.enter.below} of maintenance: for a bid, or a "
            "worse price",
        )


def _lots_end(stages: dict[str, tuple[tuple, rules.Row]]) -> Iterator[Found]:
    takeover, adl = stages.get("takeover"), stages.get("adl")
    if takeover is not None or adl is not None:
        yield from _waits(*(adl or takeover))
    if takeover is None and adl is None:
        yield fails(
            ("liquidation", "stages"),
            "nobody must take what the book does not: no takeover and no adl, lots are carried from round to round",
            "add - kind: takeover or - kind: adl",
        )
        return
    caps = [] if takeover is None else [name for name in ("notional_max", "fund_min") if getattr(takeover[1], name) is not None]
    if adl is None:
        for field in caps:
            limit = exact(Fraction(getattr(takeover[1], field)))
            when = f"it would hold more than {limit} in a market"
            if field == "fund_min":
                when = f"the fund has less than {limit}"
            yield fails(
                (*takeover[0], field),
                f"the takeover is the last taker of lots and takes none when {when}: they are carried without an end",
                "add - kind: adl after it",
            )
        return
    if adl[1].fund_max is not None and (takeover is None or caps):
        low = Fraction(adl[1].fund_max)
        least = None if takeover is None or "notional_max" in caps else Fraction(takeover[1].fund_min)
        if least is None or least > low:
            yield fails(
                (*adl[0], "fund_max"),
                f"adl is entered only while the fund has at most {exact(low)}: with more"
                + (" lots that nobody takes are carried" if least is None else f", below {exact(least)}, nobody takes lots"),
                "leave fund_max out" + ("" if least is None else f", or at least {exact(least)}"),
            )
    if takeover is None or caps:
        yield note(adl[0], "adl ends it only while winners of the other side are there and bear it; else lots are carried")


def fund(book: Book) -> Iterator[Found]:
    """A shortfall meets a fund or ADL, not nobody."""
    stages, row = _stages(book), book.venue.fund
    if not stages:
        return
    if "fund" not in stages:
        if "adl" not in stages:
            yield fails(("liquidation", "stages"), "no fund and no adl: every shortfall is bad debt at once", "add - kind: fund")
    elif not Fraction(row.capital):
        words = "only liquidation fees fill it" if _fed(book, stages) else "no liquidation fee ever fills it"
        say = warns if "adl" in stages else fails
        yield say(
            ("fund", "capital"),
            f"the fund starts with no capital and {words}"
            + ("" if "adl" in stages else "; no adl stands before it: the first shortfall is bad debt"),
            "a capital, or - kind: adl" if "adl" not in stages else "a capital",
        )


def _fed(book: Book, stages: dict[str, tuple[tuple, rules.Row]]) -> bool:
    """Return whether a row gives the fund something: a fee, what slices bring beyond the bankruptcy value, or a surplus."""
    rows = {kind: row for kind, (_, row) in stages.items()}
    if "takeover" in rows and rows["takeover"].surplus == "fund":
        return True
    insurance = rows["book"].insurance if "book" in rows else None
    return bool(insurance.max_fee_ppm) if insurance else any(market.fees.liquidation_ppm for _, market in book.perpetuals())
