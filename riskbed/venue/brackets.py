"""Checks of a market's brackets: initial margin, continuity, order, and what maintenance must cover.

The four `*_of` functions take brackets alone, in exact fractions: a rule book that breaks continuity, the order of rates, or
initial >= maintenance is refused when it is read, but brackets of another origin (riskbed/importers) have met nobody yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from riskbed.venue.book import Book
from riskbed.venue.finding import Found, exact, fails, note, ppm, warns
from riskbed.venue.pieces import Piece, pieces, recomputed, short_of, where
from specs import rules, units

MENDED = "the amount that continuity gives; `amount` follows from floors and rates"


PLAIN = rules.Margin()


def initial_of(brackets: Sequence[rules.Bracket], leverage: int | None = None, margin: rules.Margin = PLAIN) -> Iterator[Found]:
    """Initial margin N / min(leverage, cap) is at least maintenance N x rate - amount, over the whole of every bracket.

    leverage: what an account chose; without one the cap of each bracket. margin: says another initial rate.
    """
    rows = pieces(brackets, margin)
    for piece in rows:
        initial = piece.initial(leverage)
        at = f"initial margin {f'1/{initial.denominator}' if initial.numerator == 1 else ppm(initial)}"
        spans = where([piece], lambda p: (p.rate - initial, -p.amount))
        if spans or (leverage is None and piece.rate > initial):
            reach = f": {spans[0].words(rows[-1].cap)}" if spans else ", though its amount keeps the money above"
            yield fails(
                (piece.number, "leverage_max"),
                f"{at} is below the maintenance rate of {ppm(piece.rate)}{reach}",
                f"leverage_max: at most {int(1 / piece.rate)}",
            )


def continuous_of(brackets: Sequence[rules.Bracket], margin: rules.Margin = PLAIN) -> Iterator[Found]:
    """Maintenance does not jump: amount = amount before + floor x (rate - rate before). That of whole tiers does: a note."""
    rows = pieces(brackets, margin)
    if margin.tiers == "whole":
        for before, piece in zip(rows, rows[1:]):
            jump = piece.maintenance(piece.floor) - before.maintenance(piece.floor)
            words = f"tiers take the whole notional: maintenance jumps by {exact(jump)} at {exact(piece.floor)}"
            yield note((piece.number, "notional_max"), words, "margin.tiers: marginal is continuous")
        return
    if rows and rows[0].amount:
        yield fails((0, "amount"), f"the first bracket starts at 0 with amount {exact(rows[0].amount)}", "amount: 0")
    for before, piece, right in zip(rows, rows[1:], recomputed(brackets)[1:], strict=False):
        jump = piece.maintenance(piece.floor) - before.maintenance(piece.floor)
        if jump or piece.amount != right:
            yield fails(
                (piece.number, "amount"),
                f"maintenance jumps by {exact(jump)} at {exact(piece.floor)}: amount {exact(piece.amount)}, "
                f"recomputed {exact(right)}",
                MENDED,
            )


def ordered_of(brackets: Sequence[rules.Bracket], margin: rules.Margin = PLAIN) -> Iterator[Found]:
    """Caps ascend, maintenance rates never fall."""
    rows = pieces(brackets, margin)
    for before, piece in zip(rows, rows[1:]):
        if piece.cap <= before.cap:
            yield fails((piece.number, "notional_max"), f"{exact(piece.cap)} after {exact(before.cap)}", "ascending caps")
        if piece.rate < before.rate:
            yield fails(
                (piece.number, "maintenance_ppm"),
                f"the maintenance rate falls from {ppm(before.rate)} to {ppm(piece.rate)} above {exact(piece.floor)}",
                f"at least {ppm(before.rate)}",
            )


def leverage_of(brackets: Sequence[rules.Bracket]) -> Iterator[Found]:
    """The leverage cap never rises with size: initial margin would fall where the position grows."""
    rows = pieces(brackets)
    for before, piece in zip(rows, rows[1:]):
        if piece.leverage > before.leverage:
            high, low = piece.floor / before.leverage, piece.floor / piece.leverage
            yield fails(
                (piece.number, "leverage_max"),
                f"leverage rises from {before.leverage} to {piece.leverage} above {exact(piece.floor)}: initial margin falls "
                f"there from {exact(high)} to {exact(low)}",
                f"leverage_max: at most {before.leverage}",
            )
        elif (piece.leverage, piece.rate) == (before.leverage, before.rate):
            yield note((piece.number,), "the same leverage and rate as the bracket before it: one row says it", "one bracket")


def _below(path: tuple, found: Iterator[Found]) -> Iterator[Found]:
    for row in found:
        yield row._replace(path=(*path, "brackets", *row.path))


def initial_margin(book: Book) -> Iterator[Found]:
    """Initial margin >= maintenance over all of every bracket.

    At the leverage cap, and at the default leverage where that is lower.
    """
    for path, market in book.tables():
        yield from _below(path, initial_of(market.brackets, None, market.margin))
        yield from _below(path, initial_of(market.brackets, market.leverage_default, market.margin))


def room_to_open(book: Book) -> Iterator[Found]:
    """Initial margin less one interval of funding > maintenance: who just opened may stay.

    The taker fee is no part of it: the gate asks for it beside the initial margin. Where there is no room at all the engine asks
    for one unit of money more than maintenance, and the first price against the position liquidates it.
    """
    equal = book.venue.liquidation.trigger == "maintenance_ge_equity"
    for path, market in book.perpetuals():
        rows, funding = pieces(market.brackets, market.margin), _funding(market)
        less = f" less one interval of funding at its cap, {ppm(funding)}," if funding else ""
        for words, field, leverage in (
            ("the caps of the brackets", "brackets", units.LEVERAGE_MAX),
            (f"the default leverage {market.leverage_default}", "leverage_default", market.leverage_default),
        ):

            def line(piece: Piece, leverage: int = leverage) -> tuple[Fraction, Fraction]:
                return piece.rate + funding - piece.initial(leverage), -piece.amount

            for span in where(rows, line, equal):
                yield warns(
                    (*path, field),
                    f"at {words} initial margin{less} is no more than maintenance, for notionals {span.words(rows[-1].cap)}: "
                    + ("funding alone" if funding else "the first tick against it")
                    + " liquidates such a position",
                    "a lower leverage_max there, a lower maintenance rate" + (" or a lower cap_ppb" if funding else ""),
                )


def _funding(market: rules.Market) -> Fraction:
    """Return the most that one interval of funding can take of a notional."""
    return Fraction(market.funding.cap_ppb, units.PPB) if market.funding else Fraction(0)


def at_zero(book: Book) -> Iterator[Found]:
    """A position requires margin at every price: also at 0, where a market has such prices."""
    for path, market in book.perpetuals():
        fixed = Fraction(market.maintenance_min) + (Fraction(market.closing.fixed) if market.closing else 0)
        if market.price_min is not None and not fixed:
            yield warns(
                (*path, "price_min"),
                "at a mark of 0 no notional is: a position of any size needs no margin there",
                "maintenance_min: what closing a position may cost",
            )


def continuity(book: Book) -> Iterator[Found]:
    """Maintenance is continuous, amounts are the recomputed ones."""
    for path, market in book.tables():
        yield from _below(path, continuous_of(market.brackets, market.margin))


def order(book: Book) -> Iterator[Found]:
    """Caps and maintenance rates ascend, leverage caps do not rise."""
    for path, market in book.tables():
        yield from _below(path, ordered_of(market.brackets, market.margin))
        yield from _below(path, leverage_of(market.brackets))


def one_move(book: Book) -> Iterator[Found]:
    """One publication's move + one interval of funding + fees <= maintenance rate.

    No row of a rule book caps the move of a publication: it is unbounded, and said so; what is judged is the rest. Funding is
    taken in full, so it fails. A liquidation fee is cut to what the account has left and a liquidation order pays no taker fee,
    so they make nobody insolvent: that warns.
    """
    for path, market in book.perpetuals():
        rows = pieces(market.brackets, market.margin)
        funding = _funding(market)
        taker, fee = (Fraction(rate, units.PPM) for rate in (market.fees.taker_ppm, market.fees.liquidation_ppm))
        need = funding + taker + fee
        parts = f"funding {ppm(funding)} + taker {ppm(taker)} + liquidation {ppm(fee)}"
        yield warns(
            (*path, "mark"),
            f"the move of one publication is unbounded: no row caps it; funding and fees alone need maintenance of {ppm(need)} "
            f"({parts}), the first bracket has {ppm(rows[0].rate)}",
            "no rule book can bound it today; what a bad publication costs is what `riskbed replay` shows",
        )
        if funding and (spans := short_of(rows, funding)):
            yield fails(
                (*path, "funding", "cap_ppb"),
                f"one interval of funding, {ppm(funding)}, is more than maintenance: {spans[0].words(rows[-1].cap)}",
                f"cap_ppb: at most {int(rows[0].rate * units.PPB)}, the first bracket's maintenance",
            )
        for span in short_of(rows, need):
            yield warns(
                (*path, "fees"),
                f"funding and fees, {ppm(need)} ({parts}), are more than maintenance for notionals "
                f"{span.words(rows[-1].cap)}: the liquidation fee takes what is left and is not paid in full",
                f"a maintenance rate of at least {ppm(need)} there, or lower fees",
            )
