"""The run folder `runs/<name>-<digest>/`: what a run leaves behind, whole or not at all.

run.json                     inputs and their digests, versions, seed, headline figures, token: what `replay --json` prints
outcomes.parquet             the broken run; true-lower.parquet and true-upper.parquet beside it where there are true runs
accounts.parquet             one row a user account: labels, forced lots, equity of each run, make-whole by reading
series.parquet               every price series of every run: sources, indices, marks, collateral; only where it changed
report.html                  self-contained

A pair leaves run.json, the outcomes of each run (outcomes-none.parquet, outcomes-A.parquet, outcomes-B.parquet,
outcomes-A+B.parquet), accounts.parquet (labels of each comparison, worth and loss by run, forced lots by cause), series.parquet
and report.html.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fuzz.overlay import overlay
from riskbed import interrupt
from riskbed.jobs import Ran, equities, last_values
from riskbed.labels import Label
from specs import parquet
from specs.errors import SpecError
from specs.parquet import MONEY_DIGITS, money_column, write_table
from specs.rules import Venue
from specs.tape import EventKind, Flag, Grade, OutcomeKind

if TYPE_CHECKING:
    from riskbed.replay import Inputs, Replay

RUNS = ("broken", "true_lower", "true_upper")


@contextmanager
def staged(root: Path, name: str) -> Iterator[Path]:
    """Give an empty folder to fill; put it in place as root/name when the block ends, replacing an earlier run of that name.

    On any exception, an interrupt too, the folder is removed, and `root` is as it was. Raises SpecError if it cannot be written.
    """
    made = not root.exists()
    staging = None
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
        except OSError as error:
            raise SpecError(
                f"no run folder can be made: {error.strerror}", where=str(root), remedy="--out names a folder that can be written"
            ) from None
        folder = staging / name
        folder.mkdir()
        yield folder
        interrupt.check()
        target = root / name
        if target.exists():
            os.rename(target, staging / "replaced")
            try:
                os.rename(folder, target)
            except BaseException:
                os.rename(staging / "replaced", target)
                raise
        else:
            os.rename(folder, target)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if made and root.is_dir() and not any(root.iterdir()):
            root.rmdir()


def write_json(path: Path, tree: dict) -> None:
    """Write one JSON object, keys as they stand, so that the file reads top down."""
    path.write_text(json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _names(numbers: np.ndarray, names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(names))


def decimals_column(numbers: np.ndarray, decimals: np.ndarray, finest: int) -> pa.Array:
    """Return int64 numbers of 10^-decimals, a different unit a row, as decimal128(38, finest) in whole units, exactly."""
    out = pa.nulls(len(numbers), pa.decimal128(MONEY_DIGITS, finest))
    for places in np.unique(decimals).tolist():
        lo, hi = numbers.view(np.uint64), np.where(numbers < 0, -1, 0)
        column = money_column(lo, hi, places).cast(pa.decimal128(MONEY_DIGITS, finest))
        out = pa.compute.if_else(pa.array(decimals == places), column, out)
    return out


def ints_column(numbers: list[int], decimals: int) -> pa.Array:
    """Return exact ints of 10^-decimals as decimal128(38, decimals) in whole units."""
    low = np.array([n & ((1 << 64) - 1) for n in numbers], dtype=np.uint64)
    high = np.array([n >> 64 for n in numbers], dtype=np.int64)
    return money_column(low, high, decimals)


def series_rows(
    events: np.ndarray, outcomes: np.ndarray, venue: Venue
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Return (kind, name) -> (time_ns, price, grade, price decimals) of one run, only where price or grade changed.

    A source that says it has no price has grade TOO_FEW_SOURCES there.
    """
    found = {}
    said = events[events["kind"] == EventKind.SOURCE]
    for i, row in enumerate(venue.sources):
        ours = said[said["source"] == i]
        grade = np.where(ours["flags"] & Flag.MISSING, Grade.TOO_FEW_SOURCES, Grade.VALID).astype(np.uint8)
        found["source", row.name] = (ours["time_ns"], ours["price"], grade, row.price_decimals)
    index_decimals = {row.name: row.price_decimals for row in venue.indices}
    tables = [("index", OutcomeKind.INDEX, "ref_id", [(i, x.name, x.price_decimals) for i, x in enumerate(venue.indices)])]
    tables.append(("mark", OutcomeKind.MARK, "market", [(i, x.name, x.price_decimals) for i, x in enumerate(venue.markets)]))
    assets = [(venue.number("assets", x.asset), x.asset, index_decimals[x.index]) for x in venue.collateral]
    tables.append(("collateral", OutcomeKind.COLLATERAL, "asset", assets))
    for what, kind, field, rows in tables:
        published = outcomes[outcomes["kind"] == kind]
        for number, name, places in rows:
            ours = published[published[field] == number]
            found[what, name] = (ours["time_ns"], ours["price"], ours["grade"], places)
    for key, (time_ns, price, grade, places) in found.items():
        changed = np.ones(len(price), dtype=bool)
        changed[1:] = (price[1:] != price[:-1]) | (grade[1:] != grade[:-1])
        if len(changed):
            changed[-1] = True  # the last one too: a series ends where its tape ends
        found[key] = (time_ns[changed], price[changed], grade[changed], places)
    return found


def series_table(runs: dict[str, dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, int]]]) -> pa.Table:
    """Return the series of several runs as one long table: run, kind, name, time, price, grade."""
    pieces = [(run, kind, name, *columns) for run, rows in runs.items() for (kind, name), columns in rows.items()]
    run_names, kinds = list(runs), ["source", "index", "mark", "collateral"]
    names = sorted({piece[2] for piece in pieces})
    lengths = [len(piece[3]) for piece in pieces]

    def repeated(words: list[str], position: int) -> pa.DictionaryArray:
        return _names(np.repeat([words.index(piece[position]) for piece in pieces], lengths), words)

    places = np.repeat([piece[6] for piece in pieces], lengths)
    price = np.ascontiguousarray(np.concatenate([piece[4] for piece in pieces]))
    grade = np.concatenate([piece[5] for piece in pieces])
    return pa.table(
        {
            "run": repeated(run_names, 0),
            "kind": repeated(kinds, 1),
            "name": repeated(names, 2),
            "time": pa.array(np.concatenate([piece[3] for piece in pieces])).cast(pa.timestamp("ns", tz="UTC")),
            "price": decimals_column(price, places, max(piece[6] for piece in pieces)),
            "grade": _names(grade, [member.name for member in Grade]),
        }
    )


def accounts_table(columns: dict[str, object], decimals: int) -> pa.Table:
    """Return one row an account. Columns: numpy arrays and lists of str as they are; lists of int are money of 10^-decimals."""
    out = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            out[name] = pa.array(column)
        elif all(isinstance(x, str) or x is None for x in column):
            out[name] = pa.array(column, pa.string()).dictionary_encode()
        else:
            out[name] = ints_column(column, decimals)
    return pa.table(out)


def write_folder(
    root: Path, name: str, manifest: dict, tables: dict[str, pa.Table], writers: dict[str, Callable[[Path], object]]
) -> Path:
    """Write a run folder in one step and return it. writers: file name -> what fills it, for files that are no plain table."""
    with staged(root, name) as folder:
        for file, table in tables.items():
            write_table(folder / file, table)
        for file, write in writers.items():
            write(folder / file)
        write_json(folder / "run.json", manifest)
    return root / name


# ---- of a replay


def leave(done: Replay) -> None:
    """Leave the run folder, whole or not at all."""
    inputs, answer = done.inputs, done.answer
    options = inputs.options
    decimals = [row.decimals for row in inputs.venue.assets]
    series = series_of(inputs, done.ran)
    tables = {"accounts.parquet": account_rows(done), "series.parquet": series_table(series)}
    writers: dict[str, Callable[[Path], object]] = {}
    for name in RUNS:
        if name == "broken" or inputs.plans[name] != inputs.plans["true_lower"] or name == "true_lower":
            file = "outcomes.parquet" if name == "broken" else f"{name.replace('_', '-')}.parquet"
            rows = done.ran[name].outcomes
            writers[file] = lambda path, rows=rows: parquet.write_outcomes(path, rows, decimals)
    if options.report:
        from riskbed.report import render

        page = render(done, series)
        writers["report.html"] = lambda path: path.write_text(page, encoding="utf-8")
    write_folder(options.out, Path(answer.run_folder).name, answer.model_dump(mode="json"), tables, writers)


def series_of(inputs: Inputs, ran: dict[str, Ran]) -> dict[str, dict]:
    """Return the price series of the three main"""
    found = {}
    for name in RUNS:
        if name != "true_upper" or inputs.plans[name] != inputs.plans["true_lower"]:
            events = overlay(inputs.tape.events, inputs.plans[name], inputs.venue)
            found[name] = series_rows(events, ran[name].outcomes, inputs.venue)
    return found


def account_rows(done: Replay) -> pa.Table:
    """Return one row an account: label, lots by label, equity of each run at the last prices of the broken one, make-whole."""
    _inputs, venue = done.inputs, done.inputs.venue
    broken = done.ran["broken"].state
    accounts = [row[0] for row in broken["accounts"]]
    place = {account: i for i, account in enumerate(accounts)}
    columns: dict[str, Any] = {
        "account": np.array(accounts, dtype=np.uint32),
        "owner": np.array([row[1] for row in broken["accounts"]], dtype=np.uint32),
    }
    labels = done.labels.accounts()
    columns["label"] = [labels[a].name.lower() if a in labels else None for a in accounts]
    for which in Label:
        lots = np.zeros(len(accounts), dtype=np.int64)
        ours = done.labels.label == which
        np.add.at(lots, [place[a] for a in done.labels.account[ours].tolist()], done.labels.lots[ours])
        columns[f"{which.name.lower()}_lots"] = lots
    notional = [0] * len(accounts)
    for i in np.flatnonzero(done.labels.in_broken).tolist():
        notional[place[int(done.labels.account[i])]] += done.labels.notional[i]
    columns["forced_notional"] = notional
    values = last_values(venue, broken)
    prices = {}
    for row in venue.collateral:
        asset = venue.number("assets", row.asset)
        places = venue.indices[venue.number("indices", row.index)].price_decimals
        last_valid = next(state[5] for state in broken["collateral"] if state[0] == asset)
        prices[asset] = (last_valid, places)
    for name in RUNS:
        worth = equities(venue, done.ran[name].state, values, prices)
        columns[f"equity_{name}"] = [worth.get(account, 0) for account in accounts]
    for paid in done.paid:
        money = [0] * len(accounts)
        for account, due in paid.money.items():
            money[place[account]] = due
        columns[f"make_whole_{paid.eligibility}_{paid.reference}_{paid.netting}_{paid.base}"] = money
    return accounts_table(columns, venue.decimals(venue.numeraire))
