"""The tape: what is written comes back, and what cannot be trusted is refused with the number of the event."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specs.errors import TapeError
from specs.parquet import read_outcomes, write_outcomes, write_whole
from specs.tape import (
    EVENT,
    OUTCOME,
    SCHEMA_VERSION,
    EventKind,
    Meta,
    OutcomeKind,
    Reason,
    Series,
    Side,
    Tape,
    Tif,
    digest_rows,
    money_join,
    money_split,
)

ROOT = Path(__file__).resolve().parent.parent
START = 1_760_130_000_000_000_000
SECOND = 1_000_000_000
GOLDEN = "474b988d485fd9f36cf0ed51128c7ad6"


def row(second: int, kind: EventKind, left: int = 0, **fields) -> tuple:
    lo, hi = money_split(fields.pop("amount", 0))
    event = np.zeros((), dtype=EVENT)
    event["time_ns"], event["kind"], event["batch_left"], event["amount_lo"], event["amount_hi"] = (
        START + second * SECOND,
        kind,
        left,
        lo,
        hi,
    )
    for name, value in fields.items():
        event[name] = value
    return event.item()


def small(**changes) -> Tape:
    """Six accounts in three pairs and an ungrouped one, a price, a clock of five seconds and a gap."""
    rows = [row(0, EventKind.CLOCK, 1), row(0, EventKind.SOURCE, price=-5), row(0, EventKind.ACCOUNT, account=16, ref_id=16)]
    rows.append(row(1, EventKind.CLOCK))
    left = 11
    for account in range(20, 26):
        rows.append(row(1, EventKind.ACCOUNT, left, account=account, ref_id=account))
        rows.append(row(1, EventKind.DEPOSIT, left - 1, account=account, amount=10**30 + account))
        left -= 2
    for second in (2, 3):
        rows.append(row(second, EventKind.CLOCK))
        for account in range(20, 26):
            side = Side.BUY if account % 2 else Side.SELL
            fields = {"account": account, "ref_id": account * 4 + second, "side": side, "tif": Tif.GTC, "price": 7, "qty": 2}
            rows.append(row(second, EventKind.ORDER, **fields))
    rows += [row(4, EventKind.CLOCK), row(60, EventKind.CLOCK, 1), row(60, EventKind.SOURCE, price=2**62)]
    meta = Meta(
        venue="venue",
        start_ns=START,
        horizon_ns=START + 4 * SECOND,
        title="small",
        series=(Series("s", "recorded", "a note"),),
        gaps=((START + 4 * SECOND, START + 60 * SECOND),),
        accounts_from=20,
        accounts_group=2,
    )
    return Tape(np.array(rows, dtype=EVENT), replace(meta, **changes))


def test_a_tape_comes_back_as_it_was(tmp_path):
    tape = small()
    tape.write(tmp_path / "t.parquet")
    back = Tape.read(tmp_path / "t.parquet")
    assert back.events.tobytes() == tape.events.tobytes()
    assert back.meta == tape.meta and back.digest() == tape.digest()
    assert money_join(int(back.events["amount_lo"][5]), int(back.events["amount_hi"][5])) == 10**30 + 20
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_columns_on_disk_are_typed(tmp_path):
    small().write(tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert {f.name: str(f.type) for f in schema} == {
        "time_ns": "int64", "ref_id": "uint64", "price": "int64", "qty": "int64", "amount_lo": "uint64", "amount_hi": "int64",
        "account": "uint32", "batch_left": "uint16", "source": "uint16", "market": "uint8", "leg": "uint8", "asset": "uint16",
        "kind": "uint8", "side": "uint8", "tif": "uint8", "flags": "uint8",
    }  # fmt: skip
    assert pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_digest_is_golden():
    assert small().digest() == GOLDEN


def test_the_digest_is_the_same_in_any_process():
    code = "from tests.test_tape import small; print(small().digest())"
    for seed in ("0", "4711"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        assert (
            subprocess.run(
                [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            == GOLDEN
        )


@pytest.mark.parametrize("name", EVENT.names)
def test_the_digest_sees_every_field(name):
    events = small().events.copy()
    events[name][3] += 1
    assert digest_rows(events) != GOLDEN


def test_reading_needs_no_pyarrow_until_then():
    code = "import sys, specs.tape, specs.parquet; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def edit(number: int, **fields):
    def change(events: np.ndarray) -> np.ndarray:
        for name, value in fields.items():
            events[name][number] = value
        return events

    return change


@pytest.mark.parametrize(
    ("change", "event", "problem"),
    [
        (edit(17, time_ns=START + 1), 17, "time goes back"),
        (edit(16, kind=0), 16, "unknown kind"),
        (edit(16, kind=99), 16, "unknown kind"),
        (edit(0, batch_left=2), 1, "the batch counts down wrongly"),
        (edit(5, batch_left=0), 5, "the batch counts down wrongly"),
        (edit(2, batch_left=1), 3, "a batch stretches over two times"),
        (edit(4, time_ns=START), 4, "time goes back"),
        (edit(15, time_ns=START + 2 * SECOND), 15, "a batch stretches over two times"),
        (edit(32, batch_left=0xFFFF), 32, "the batch counts down wrongly"),
        (lambda events: events[:32], 31, "the tape ends inside a batch: 1 events"),
        (edit(0, time_ns=START - 1), 0, "the first time is"),
        (edit(3, kind=EventKind.SOURCE), 3, f"no CLOCK at {START + SECOND}"),
        (edit(30, kind=EventKind.SOURCE), 30, "no CLOCK at"),
        (edit(31, kind=EventKind.SOURCE), 31, "no CLOCK at"),
        (edit(23, kind=EventKind.SOURCE), 23, f"no CLOCK at {START + 3 * SECOND}"),
        (lambda events: events[:0], None, "empty"),
        (lambda events: events[1:], 0, "no CLOCK"),
        (lambda events: np.concatenate((events[:23], events[24:])), 23, "no CLOCK"),
    ],
)
def test_what_cannot_stand_is_named_by_its_event(change, event, problem):
    """Rows of small(): 0-2 at 0 s, 3-15 at 1 s, 16-22 at 2 s, 23-29 at 3 s, 30 at 4 s, 31-32 behind the gap."""
    tape = small()
    events = change(tape.events.copy())
    with pytest.raises(TapeError, match=problem) as caught:
        Tape(events, tape.meta)
    assert caught.value.event == event and caught.value.exit_code == 3 and caught.value.remedy


def test_a_gap_must_be_declared():
    with pytest.raises(TapeError, match="no CLOCK") as caught:
        small(gaps=())
    assert caught.value.event == 31


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"horizon_ns": START - 1}, "horizon"),
        ({"cadence_ns": 0}, "cadence"),
        ({"accounts_group": 0}, "accounts_group"),
        ({"accounts_from": 3}, "accounts_from"),
        ({"series": (Series("s", "guessed"),)}, "recorded"),
        ({"gaps": ((5, 5),)}, "gap"),
    ],
)
def test_metadata_is_checked(changes, problem):
    with pytest.raises(TapeError, match=problem):
        replace(small().meta, **changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "not json"])
def test_metadata_that_is_none_is_refused(text):
    with pytest.raises(TapeError, match="metadata"):
        Meta.from_json(text)
    assert Meta.from_json(small().meta.to_json()) == small().meta


def rewrite(path: Path, change) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def set_metadata(key: str, value: str | None):
    def change(table: pa.Table) -> pa.Table:
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items() if k.decode() != key}
        return table.replace_schema_metadata(metadata if value is None else metadata | {key: value})

    return change


def set_column(name: str, values) -> object:
    return lambda table: table.set_column(table.schema.get_field_index(name), name, values(table.column(name).to_numpy().copy()))


def moved(values: np.ndarray, number: int, value: int) -> pa.Array:
    values[number] = value
    return pa.array(values)


@pytest.mark.parametrize(
    ("change", "event", "problem"),
    [
        (lambda table: table.slice(0, 10), None, "10 rows, its metadata says"),
        (lambda table: table.drop_columns(["price"]), None, "without price"),
        (lambda table: table.append_column("more", pa.array([0] * len(table))), None, "with more"),
        (lambda table: table.select(table.column_names[::-1]), None, "another order"),
        (set_column("price", lambda v: pa.array(v.astype(float))), None, "price as double, not int64"),
        (set_column("qty", lambda v: pa.array([None if i == 4 else int(x) for i, x in enumerate(v)])), 4, "qty is empty"),
        (set_column("qty", lambda v: moved(v, 4, 1)), None, "digest"),
        (set_column("time_ns", lambda v: moved(v, 17, START)), 17, "time goes back"),
        (set_metadata("riskbed.tape", None), None, "not a tape"),
        (set_metadata("riskbed.tape", str(SCHEMA_VERSION - 1)), None, f"schema version {SCHEMA_VERSION - 1}"),
        (set_metadata("riskbed.rows", "3"), None, "33 rows, its metadata says 3"),
        (set_metadata("riskbed.digest", "0" * 32), None, "digest"),
        (set_metadata("riskbed.digest", None), None, "digest"),
        (set_metadata("riskbed.meta", "{}"), None, "metadata"),
        (lambda table: table.replace_schema_metadata(None), None, "not a tape"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, change, event, problem):
    path = tmp_path / "t.parquet"
    small().write(path)
    rewrite(path, change)
    with pytest.raises(TapeError, match=problem) as caught:
        Tape.read(path)
    assert caught.value.event == event and caught.value.where == str(path) and caught.value.remedy


def test_a_torn_file_is_refused_wherever_it_is_torn(tmp_path):
    path = tmp_path / "t.parquet"
    small().write(path)
    whole = path.read_bytes()
    for length in sorted({0, 1, 4, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1}):
        path.write_bytes(whole[:length])
        with pytest.raises(TapeError, match="torn or not Parquet"):
            Tape.read(path)


def test_a_flipped_byte_never_passes_for_another_tape(tmp_path):
    path = tmp_path / "t.parquet"
    small().write(path)
    whole, refused = path.read_bytes(), 0
    for at in range(4, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            assert Tape.read(path).digest() == GOLDEN  # the byte was in what no reader looks at, such as statistics
        except TapeError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("content", [b"time_ns,kind\n1,1\n", b"PAR1", None])
def test_what_is_no_tape_file_is_refused(tmp_path, content):
    path = tmp_path / "t.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TapeError, match="no such file" if content is None else "torn or not Parquet"):
        Tape.read(path)
    with pytest.raises(TapeError, match="no such file"):
        Tape.read(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_text("before")

    def fail(temporary: str) -> None:
        Path(temporary).write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        write_whole(path, fail)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_slice_keeps_the_grid():
    part = small().slice(START + SECOND, START + 3 * SECOND)
    assert len(part) == 20 and part.meta.start_ns == START + SECOND and part.meta.grid_ns == START
    assert part.meta.horizon_ns == START + 2 * SECOND
    late = small().slice(START + 3 * SECOND + 1, START + 100 * SECOND)
    assert len(late) == 3 and late.meta.start_ns == START + 4 * SECOND
    with pytest.raises(TapeError, match="no event from"):
        small().slice(START + 5 * SECOND, START + 6 * SECOND)


def test_slices_make_the_whole():
    tape = small()
    parts = [tape.slice(START + i * SECOND, START + (i + 1) * SECOND).events for i in (0, 1, 2, 3, 4, 60)]
    assert np.concatenate(parts).tobytes() == tape.events.tobytes()


@pytest.mark.parametrize(
    ("n", "accounts"), [(1, [16, 20, 21, 22, 23, 24, 25]), (2, [16, 20, 21, 24, 25]), (3, [16, 20, 21]), (9, [16, 20, 21])]
)
def test_thinning_keeps_groups_prices_and_clock(n, accounts):
    tape = small()
    thin = tape.thin(n)
    events = thin.events
    owned = events[~np.isin(events["kind"], [EventKind.CLOCK, EventKind.SOURCE])]
    assert sorted(set(owned["account"].tolist())) == accounts
    for kind in (EventKind.CLOCK, EventKind.SOURCE):
        assert np.count_nonzero(events["kind"] == kind) == np.count_nonzero(tape.events["kind"] == kind)
    batch = events[events["time_ns"] == START + SECOND][1:]  # one batch of all accounts: it counts down to 0 again
    assert batch["batch_left"].tolist() == list(range(len(batch) - 1, -1, -1))
    assert thin.meta.kept_every == n and thin.thin(2).meta.kept_every == 2 * n


def test_thinning_by_nothing_is_refused():
    with pytest.raises(TapeError, match="every 0-th"):
        small().thin(0)


def outcomes() -> np.ndarray:
    rows = np.zeros(3, dtype=OUTCOME)
    rows["kind"] = [OutcomeKind.FLOW, OutcomeKind.FILL, OutcomeKind.REJECT]
    rows["reason"] = [0, 0, Reason.NOT_OWNER]
    rows["ref_id"] = [0, 2**63 + 1, 7]
    rows["asset"] = [1, 0, 0]
    for i, money in enumerate((-(10**30) - 1, 2**64 + 3, 0)):
        rows["money_lo"][i], rows["money_hi"][i] = money_split(money)
    return rows


@pytest.mark.parametrize(
    ("decimals", "texts"),
    [
        ((8, 8), ["-10000000000000000000000.00000001", "184467440737.09551619", "0.00000000"]),
        ((8, 6), ["-1000000000000000000000000.00000100", "184467440737.09551619", "0.00000000"]),
    ],
)
def test_outcomes_come_back_and_money_is_decimal(tmp_path, decimals, texts):
    path = tmp_path / "o.parquet"
    write_outcomes(path, outcomes(), decimals)
    table = pq.read_table(path)
    assert str(table.schema.field("money").type) == "decimal128(38, 8)"
    assert [f"{money:f}" for money in table.column("money").to_pylist()] == texts
    assert table.column("kind").to_pylist() == ["FLOW", "FILL", "REJECT"] and table.column("reason").to_pylist()[2] == "NOT_OWNER"
    assert read_outcomes(path).tobytes() == outcomes().tobytes()


def test_no_outcomes_are_a_file_too(tmp_path):
    write_outcomes(tmp_path / "o.parquet", outcomes()[:0], (8,))
    assert len(read_outcomes(tmp_path / "o.parquet")) == 0


def test_changed_outcomes_are_refused(tmp_path):
    path = tmp_path / "o.parquet"
    write_outcomes(path, outcomes(), (8, 8))
    rewrite(path, set_column("price", lambda v: moved(v, 1, 1)))
    with pytest.raises(TapeError, match="digest"):
        read_outcomes(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(TapeError, match="cannot be read"):
        read_outcomes(path)


def test_an_outcome_without_a_name_is_refused(tmp_path):
    rows = outcomes()
    rows["kind"][0] = 200
    with pytest.raises(ValueError, match="200 is not a OutcomeKind"):
        write_outcomes(tmp_path / "o.parquet", rows, (8, 8))
    assert not list(tmp_path.iterdir())
