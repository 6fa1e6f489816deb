"""Margin as a function of notional: linear in each bracket, so that where an inequality fails is solved, never searched.

Of a notional N in (floor, cap] maintenance is N x rate - amount. What size or open interest adds to the rates is left out: it
raises initial margin at least as much as maintenance, so that what holds without it holds with it. All figures are exact
fractions of whole numeraire; what the engine rounds, less than one unit of money a requirement, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from riskbed.venue.finding import exact
from specs import rules, units


class Piece(NamedTuple):
    """One bracket: of notionals above floor up to cap. number: its row; own: its initial rate, where it names one."""

    number: int
    floor: Fraction
    cap: Fraction
    rate: Fraction
    amount: Fraction
    leverage: int
    own: Fraction | None = None
    divides: bool = False

    def initial(self, leverage: int | None = None) -> Fraction:
        """Return the initial rate at a chosen leverage; without one at the highest."""
        used = min(leverage or self.leverage, self.leverage)
        if self.own is None:
            return Fraction(1, used)
        return self.own / used if self.divides else max(self.own, Fraction(1, used))

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


def pieces(brackets: Sequence[rules.Bracket], margin: rules.Margin = rules.Margin()) -> list[Piece]:  # noqa: B008  # frozen
    """Return brackets as pieces. They need not be continuous or ascending: that is judged elsewhere."""
    found, floor = [], Fraction(0)
    whole, half = margin.tiers == "whole", margin.maintenance == "half_initial"
    amounts = recomputed(brackets) if half and not whole else [Fraction(0 if whole else row.amount) for row in brackets]
    for i, (row, amount) in enumerate(zip(brackets, amounts, strict=True)):
        cap = Fraction(row.notional_max)
        rate = row.maintenance() + Fraction(margin.slippage_ppm, units.PPM)
        own = None if row.initial_ppm is None else Fraction(row.initial_ppm, units.PPM)
        found.append(Piece(i, floor, cap, rate, amount, row.leverage_max, own, margin.leverage == "divides"))
        floor = cap
    return found


def recomputed(brackets: Sequence[rules.Bracket]) -> list[Fraction]:
    """Return the amounts that make maintenance continuous: amount + floor x (rate - rate before), the first 0."""
    amounts: list[Fraction] = []
    before = None
    for row in brackets:
        step = Fraction(before.notional_max) * (row.maintenance() - before.maintenance()) if before else Fraction(0)
        amounts.append(amounts[-1] + step if amounts else step)
        before = row
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
