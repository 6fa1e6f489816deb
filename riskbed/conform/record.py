"""Files of a record, plain or zstd by their name, and TapeError with file and line where one cannot be trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from specs import units
from specs.errors import SpecError, TapeError
from specs.load import shown

CHUNK = 1 << 20  # bytes
LINE_MAX = 64 << 20  # bytes of one line: a REST snapshot is one
FRACTION_MAX = 12  # decimals of a price or a quantity


def bad(path: Path, line: int, problem: str, remedy: str = "") -> TapeError:
    """Return the error of a line, counted from 1."""
    return TapeError(problem, where=f"{shown(path)}:{line}", remedy=remedy)


def open_file(path: Path):
    """Return a file's bytes as a stream, decompressed where its name ends in .zst. Raises SpecError where there is none."""
    import pyarrow as pa

    try:
        if not path.is_file():
            raise SpecError("no such file", where=shown(path), remedy="the path of a recorded file, plain or .zst")
        return pa.input_stream(str(path), compression="zstd" if path.suffix == ".zst" else None)
    except OSError as error:
        raise SpecError(f"the file cannot be read: {error}", where=shown(path)) from None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end) of a file. Raises TapeError where it is torn, or empty."""
    rest, number = b"", 0
    with open_file(path) as stream:
        while True:
            try:
                chunk = stream.read(CHUNK)
            except OSError as error:
                raise bad(path, number + 1, f"the file is torn: {error}", "fetch it again") from None
            if not chunk:
                break
            parts = (rest + chunk).split(b"\n")
            rest = parts.pop()
            if len(rest) > LINE_MAX:
                raise bad(path, number + 1 + len(parts), f"a line of more than {LINE_MAX} bytes")
            for line in parts:
                number += 1
                yield number, line
    if rest:
        number += 1
        yield number, rest
    if not number:
        raise bad(path, 1, "the file is empty", "fetch it again")


_NUMBER = re.compile(rf"[0-9]{{1,18}}(\.([0-9]{{0,{FRACTION_MAX}}}?)0*)?")


def decimals(text: str) -> int:
    """Return how many decimals of a written number are needed: '3.78826000' needs 5. Raises ValueError if it is none."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no number of at most {FRACTION_MAX} decimals")
    return len(found[2] or "")


def scaled(text: str, places: int) -> int:
    """Return a written number, not negative, in units of 10^-places. Raises ValueError if it is none, or finer than that."""
    whole, _, fraction = text.partition(".")
    if decimals(text) > places:
        raise ValueError(f"'{text}' has more than {places} decimals")
    number = int(whole + fraction[:places].ljust(places, "0"))
    if number > units.POSITION_MAX * units.PPM:
        raise ValueError(f"'{text}' is out of bounds")
    return number
