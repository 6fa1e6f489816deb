"""Margin as a function of notional: linear in each bracket, so that where an inequality fails is solved, never searched.

Of a notional N in (floor, cap] maintenance is N x rate - amount. All figures are exact fractions of whole numeraire; what the
engine rounds, less than one unit of money a requirement, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from riskbed.venue.finding import exact
from specs import rules, units


class Piece(NamedTuple):
    """One bracket: of notionals above floor up to cap. number: its row."""

    number: int
    floor: Fraction
    cap: Fraction
    rate: Fraction
    amount: Fraction
    leverage: int

    def maintenance(self, notional: Fraction) -> Fraction:
        return notional * self.rate - self.amount


class Span(NamedTuple):
    """Notionals from low to high; whether each end belongs to it."""

    low: Fraction
    high: Fraction
    low_in: bool
    high_in: bool

    def words(self, last: Fraction) -> str:
        """Return the notionals in words; `last`: the largest that any bracket admits."""
        start = f"{'from' if self.low_in else 'above'} {exact(self.low)}" if self.low else "from the smallest"
        if self.high == last and self.high_in:
            return f"{start} on" if self.low else "every notional"
        return f"{start} {'up to and with' if self.high_in else 'to below'} {exact(self.high)}"


def pieces(brackets: Sequence[rules.Bracket]) -> list[Piece]:
    """Return brackets as pieces. They need not be continuous or ascending: that is judged elsewhere."""
    found, floor = [], Fraction(0)
    for i, row in enumerate(brackets):
        cap = Fraction(row.notional_max)
        rate = Fraction(row.maintenance_ppm, units.PPM)
        found.append(Piece(i, floor, cap, rate, Fraction(row.amount), row.leverage_max))
        floor = cap
    return found


def recomputed(brackets: Sequence[rules.Bracket]) -> list[Fraction]:
    """Return the amounts that make maintenance continuous: amount + floor x (rate - rate before), the first 0."""
    amounts: list[Fraction] = []
    before = None
    for piece in pieces(brackets):
        amounts.append(amounts[-1] + piece.floor * (piece.rate - before.rate) if before else Fraction(0))
        before = piece
    return amounts


def positive(piece: Piece, slope: Fraction, constant: Fraction, equal: bool = False) -> Span | None:
    """Return where in a bracket slope x N + constant > 0; `equal`: where it is >= 0."""
    whole = Span(piece.floor, piece.cap, False, True)
    if slope == 0:
        return whole if constant > 0 or (equal and constant == 0) else None
    root = -constant / slope
    if slope > 0:
        if root > piece.cap or (root == piece.cap and not equal):
            return None
        return whole if root <= piece.floor else Span(root, piece.cap, equal, True)
    if root <= piece.floor:
        return None
    return whole if root > piece.cap or (root == piece.cap and equal) else Span(piece.floor, root, False, equal)


def where(parts: Iterable[Piece], line: Callable[[Piece], tuple[Fraction, Fraction]], equal: bool = False) -> list[Span]:
    """Return where `line`, (slope, constant) in a bracket, is positive: ascending, spans that touch made one."""
    spans: list[Span] = []
    for piece in parts:
        span = positive(piece, *line(piece), equal)
        if span is None:
            continue
        if spans and spans[-1].high == span.low and (spans[-1].high_in or span.low_in):
            spans[-1] = Span(spans[-1].low, span.high, spans[-1].low_in, span.high_in)
        else:
            spans.append(span)
    return spans


def short_of(parts: Iterable[Piece], need: Fraction) -> list[Span]:
    """Return where maintenance is less than need x N."""
    return where(parts, lambda piece: (need - piece.rate, piece.amount))
