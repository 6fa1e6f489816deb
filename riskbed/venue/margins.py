"""Which of two markets asks for more margin, for which notionals: the exact difference of two piecewise-linear functions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple

from riskbed.venue.pieces import Piece, Span, pieces, positive
from specs import rules

Line = tuple[Fraction, Fraction]  # slope and constant
REQUIREMENTS: dict[str, Callable[[Piece], Line]] = {
    "maintenance": lambda piece: (piece.rate, -piece.amount),
    "initial margin at the cap": lambda piece: (piece.initial(), Fraction(0)),
}


class Part(NamedTuple):
    """B against A over a span of notionals. last: the largest notional that both admit."""

    span: Span
    direction: Literal["stricter", "looser"]
    last: Fraction


def compare(a: rules.Market, b: rules.Market, requirement: str) -> list[Part]:
    """Return where B asks for more or for less than A, ascending, up to what both admit; nothing where they ask alike."""
    line, (left, right) = REQUIREMENTS[requirement], (pieces(a.brackets, a.margin), pieces(b.brackets, b.margin))
    last, floor, found = min(left[-1].cap, right[-1].cap), Fraction(0), []
    for cap in sorted({piece.cap for piece in (*left, *right) if piece.cap <= last}):
        (slope_a, constant_a), (slope_b, constant_b) = (line(_of(rows, cap)) for rows in (left, right))
        segment = Piece(0, floor, cap, Fraction(0), Fraction(0), 1)
        slope, constant = slope_b - slope_a, constant_b - constant_a
        ways = [("stricter", positive(segment, slope, constant)), ("looser", positive(segment, -slope, -constant))]
        for direction, span in sorted(((d, s) for d, s in ways if s is not None), key=lambda row: row[1].low):
            before = found[-1] if found else None
            if before and before.direction == direction and before.span.high == span.low and before.span.high_in:
                found[-1] = before._replace(span=before.span._replace(high=span.high, high_in=span.high_in))
            else:
                found.append(Part(span, direction, last))
        floor = cap
    return found


def _of(rows: list[Piece], notional: Fraction) -> Piece:
    return next(piece for piece in rows if notional <= piece.cap)
