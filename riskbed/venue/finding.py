"""One judgement of a rule book: where, how bad, which rule, what is wrong with exact figures, and what would mend it."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

from riskbed.result import Part
from specs import units

Severity = Literal["fails", "warns", "note"]


class Found(NamedTuple):
    """What a check yields: `path` leads to the row; the file's name, line and column are added by who runs it."""

    severity: Severity
    path: tuple
    problem: str
    remedy: str


class Finding(Part):
    """rule: name of the check. place: the row by names. line, column: of the row, from 1; a default has those of its holder."""

    rule: str
    severity: Severity
    line: int
    column: int
    place: str
    problem: str
    remedy: str


def fails(path: tuple, problem: str, remedy: str) -> Found:
    return Found("fails", path, problem, remedy)


def warns(path: tuple, problem: str, remedy: str) -> Found:
    return Found("warns", path, problem, remedy)


def note(path: tuple, problem: str, remedy: str = "") -> Found:
    return Found("note", path, problem, remedy)


def exact(number: Fraction | int) -> str:
    """Return a number as a decimal with commas if it is one, else as the fraction it is with an approximation beside it."""
    number = Fraction(number)
    rest, digits = number.denominator, 0
    while rest % 10 == 0 or rest % 5 == 0 or rest % 2 == 0:
        rest, digits = rest // (10 if rest % 10 == 0 else 5 if rest % 5 == 0 else 2), digits + 1
    if rest == 1:
        sign, scaled = "-" if number < 0 else "", abs(number.numerator) * 10**digits // number.denominator
        whole, fraction = divmod(scaled, 10**digits)
        tail = f"{fraction:0{digits}d}".rstrip("0") if digits else ""
        return f"{sign}{whole:,}" + (f".{tail}" if tail else "")
    hundredths = round(number * 100)
    return f"{number.numerator:,}/{number.denominator:,} (about {exact(Fraction(hundredths, 100))})"


def ppm(rate: Fraction) -> str:
    """Return a rate in ppm, exactly."""
    return f"{exact(rate * units.PPM)} ppm"
