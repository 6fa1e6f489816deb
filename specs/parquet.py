"""Fixed-size records as Parquet: typed columns, zstd, money as decimal128, enums by name. A file appears whole or not at all.

pyarrow is imported only where a table is made or read: whoever needs the records alone does not pay for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from specs.errors import TapeError
from specs.tape import (
    OUTCOME,
    SCHEMA_VERSION,
    Flow,
    Grade,
    OutcomeKind,
    Reason,
    Side,
    Stage,
    digest_rows,
    money_join,
    money_split,
)

if TYPE_CHECKING:
    import pyarrow as pa

MONEY_DIGITS = 38
OUTCOME_ENUMS: dict[str, type[IntEnum]] = {
    "kind": OutcomeKind,
    "reason": Reason,
    "stage": Stage,
    "side": Side,
    "grade": Grade,
    "flow": Flow,
}


def write_whole(path: str | Path, write: Callable[[str], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step; a failure leaves nothing behind."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files that only their owner can read
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write a table as Parquet, zstd, whole or not at all."""
    import pyarrow.parquet as pq

    write_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd", write_page_checksum=True))


def money_column(lo: np.ndarray, hi: np.ndarray, decimals: int) -> pa.Array:
    """Return decimal128(38, decimals) of two's complement halves: the 16 bytes that Arrow keeps are (lo, hi) as they stand."""
    import pyarrow as pa

    halves = np.empty(len(lo), dtype=[("lo", "<u8"), ("hi", "<i8")])
    halves["lo"], halves["hi"] = lo, hi
    return pa.Array.from_buffers(pa.decimal128(MONEY_DIGITS, decimals), len(lo), [None, pa.py_buffer(halves.tobytes())])


def _enum_column(values: np.ndarray, members: type[IntEnum]) -> pa.Array:
    import pyarrow as pa

    names = sorted(members, key=int)
    place = np.full(256, 255, dtype=np.uint8)
    for i, member in enumerate(names):
        place[int(member)] = i
    indices = place[values]
    if np.any(indices == 255):
        raise ValueError(f"{int(values[indices == 255][0])} is not a {members.__name__}")
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array([member.name for member in names]))


def rows_to_table(
    rows: np.ndarray,
    *,
    money: Mapping[str, int] | None = None,
    enums: Mapping[str, type[IntEnum]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> pa.Table:
    """Return records as a table, a column a field in the order of the dtype.

    money: name -> decimals; the fields name_lo and name_hi become one decimal128(38, decimals) in whole units. enums: field ->
    its enum, written as names. Raises ValueError for a number that its enum does not have.
    """
    import pyarrow as pa

    money, enums = dict(money or {}), dict(enums or {})
    columns: dict[str, pa.Array] = {}
    for name in rows.dtype.names:
        base = name[:-3] if name.endswith(("_lo", "_hi")) else None
        if base in money:
            if name.endswith("_lo"):
                columns[base] = money_column(rows[f"{base}_lo"], rows[f"{base}_hi"], money[base])
        elif name in enums:
            columns[name] = _enum_column(rows[name], enums[name])
        else:
            columns[name] = pa.array(np.ascontiguousarray(rows[name]))
    return pa.table(columns, metadata=dict(metadata or {}))


def _rescaled(rows: np.ndarray, decimals: Sequence[int]) -> tuple[np.ndarray, int]:
    """Return (rows with all money in the finest unit of the assets, its decimals), exact. OverflowError above 38 digits."""
    finest = max(decimals)
    if min(decimals) == finest:
        return rows, finest
    rows = rows.copy()
    for asset, places in enumerate(decimals):
        if places == finest:
            continue
        for i in np.flatnonzero(rows["asset"] == asset):
            money = money_join(int(rows["money_lo"][i]), int(rows["money_hi"][i])) * 10 ** (finest - places)
            if abs(money) >= 10**MONEY_DIGITS:
                raise OverflowError(f"outcome {i}: {money} has more than {MONEY_DIGITS} digits in units of 10^-{finest}")
            rows["money_lo"][i], rows["money_hi"][i] = money_split(money)
    return rows, finest


def write_outcomes(path: str | Path, outcomes: np.ndarray, decimals: Sequence[int]) -> None:
    """Write outcomes as Parquet. decimals: of each asset, by number; money is in whole units, prices stay in price units.

    A row without an asset of its own (a fill's fee, an equity) has asset 0, so that asset 0 must be the numeraire where the
    decimals differ. The digest of the rows, as packed, stands in the metadata.
    """
    assert outcomes.dtype == OUTCOME, outcomes.dtype
    rows, places = _rescaled(outcomes, decimals)
    metadata = {
        "riskbed.outcomes": str(SCHEMA_VERSION),
        "riskbed.decimals": ",".join(map(str, decimals)),
        "riskbed.digest": digest_rows(outcomes),
    }
    write_table(path, rows_to_table(rows, money={"money": places}, enums=OUTCOME_ENUMS, metadata=metadata))


def read_outcomes(path: str | Path) -> np.ndarray:
    """Return the outcomes that write_outcomes wrote. Raises TapeError for a torn file, another schema, another digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    except (OSError, pa.ArrowInvalid) as error:
        raise TapeError(
            f"cannot be read: {_first_line(error)}", where=str(path), remedy="a file that write_outcomes wrote"
        ) from None
    if metadata.get("riskbed.outcomes") != str(SCHEMA_VERSION):
        raise TapeError("these are not outcomes of this version", where=str(path), remedy=f"schema version {SCHEMA_VERSION}")
    decimals = [int(places) for places in metadata["riskbed.decimals"].split(",")]
    rows = np.zeros(table.num_rows, dtype=OUTCOME)
    table = table.combine_chunks()
    for name in OUTCOME.names:
        if name.startswith("money_"):
            continue
        column = table.column(name)
        if name in OUTCOME_ENUMS:
            column = column.cast(pa.string()).to_pylist()
            number = {member.name: int(member) for member in OUTCOME_ENUMS[name]}
            rows[name] = [number[word] for word in column]
        else:
            rows[name] = column.to_numpy()
    if len(rows):
        money = table.column("money").chunk(0)
        halves = np.frombuffer(money.buffers()[1], dtype=[("lo", "<u8"), ("hi", "<i8")])[money.offset : money.offset + len(rows)]
        rows["money_lo"], rows["money_hi"] = halves["lo"], halves["hi"]
    finest = max(decimals)
    for asset, places in enumerate(decimals):
        if places != finest:
            for i in np.flatnonzero(rows["asset"] == asset):
                money = money_join(int(rows["money_lo"][i]), int(rows["money_hi"][i])) // 10 ** (finest - places)
                rows["money_lo"][i], rows["money_hi"][i] = money_split(money)
    if digest_rows(rows) != metadata["riskbed.digest"]:
        raise TapeError("the digest does not match the rows", where=str(path), remedy="the file was changed after it was written")
    return rows


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
