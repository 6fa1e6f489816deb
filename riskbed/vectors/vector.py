"""A file of vectors: given -> expect, every leaf a string. What is not modelled is said, never skipped."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from specs import load
from specs.errors import SpecError

Word = Annotated[str, StringConstraints(strict=True, min_length=1)]
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")


class Unmodelled(Exception):
    """A vector asks for what this product does not model; the text says what."""


class Vector(BaseModel):
    """One vector. core: its formula is fixed, its figures were computed again. tolerance: absolute, for all results or by key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Word
    kind: Word
    rules: Word
    core: StrictBool
    status: Word
    given: dict[str, Any]
    expect: Annotated[dict[str, Any], Field(min_length=1)]
    tolerance: Word | dict[str, Word]
    source: Word
    note: Word | None = None


class File(BaseModel):
    """A file of vectors; they may be of several kinds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vectors: list[Vector]


def read(path: Path) -> list[tuple[Vector, Path]]:
    """Return the vectors of a file, or of every *.yaml of a folder by name, and where each stands. Raises SpecError.

    An id that stands twice is refused: what passed could not be told from what failed.
    """
    if not path.exists():
        raise SpecError("no such file or folder", where=load.shown(path), remedy="a folder with *.yaml files, or one such file")
    if path.is_dir():
        files = sorted(path.glob("*.yaml"))
        if not files:
            raise SpecError("no vectors here", where=load.shown(path), remedy="a folder with *.yaml files, or one such file")
    else:
        files = [path]
    found: dict[str, tuple[Vector, Path]] = {}
    for file in files:
        for vector in load.load(file, File).vectors:
            if vector.id in found:
                first = load.shown(found[vector.id][1])
                raise SpecError(f"'{vector.id}' stands twice, first in {first}", where=load.shown(file), remedy="one id a vector")
            found[vector.id] = vector, file
    return list(found.values())


def number(text: Any) -> Fraction:
    """Return the exact number of a decimal string. Raises Unmodelled for anything else."""
    if not isinstance(text, str) or not _NUMBER.match(text):
        raise Unmodelled(f"{text!r} is no decimal number")
    return Fraction(text)


def decimals(texts: list[str]) -> int:
    """Return the most digits behind the point of some decimal strings."""
    return max((len(text.partition(".")[2]) for text in texts), default=0)


def plain(value: Fraction) -> str:
    """Return a number as a decimal string where it is one, else as a fraction."""
    for places in range(19):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = f"{abs(scaled.numerator):0{places + 1}d}"
            whole, fraction = (digits[:-places], digits[-places:]) if places else (digits, "")
            return ("-" if value < 0 else "") + whole + (f".{fraction}" if fraction else "")
    return str(value)


def matches(expect: Any, got: Any, tolerance: str | dict[str, str], key: str = "") -> bool:
    """Return whether a result is what is expected: numbers within the tolerance of their key, everything else equal.

    Keys that start with `printed_` are for the reader.
    """
    if isinstance(expect, dict):
        wanted = {name: value for name, value in expect.items() if not name.startswith("printed_")}
        return isinstance(got, dict) and all(
            name in got and matches(value, got[name], tolerance, name) for name, value in wanted.items()
        )
    if isinstance(expect, list):
        return (
            isinstance(got, list)
            and len(expect) == len(got)
            and all(matches(one, other, tolerance, key) for one, other in zip(expect, got))
        )
    if _NUMBER.match(str(expect)) and _NUMBER.match(str(got)):
        allowed = Fraction(tolerance if isinstance(tolerance, str) else tolerance.get(key, "0"))
        return abs(Fraction(expect) - Fraction(got)) <= allowed
    return expect == got
