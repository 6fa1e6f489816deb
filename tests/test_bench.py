"""The bench of matching says the same figures of the same stream by every road; and no price path stalls the book."""

from __future__ import annotations

import io
import json
import random
import time
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pytest

from bench import matching
from engine.exchange import Exchange as Engine
from fuzz.strategies import pack
from fuzz.twin import Lockstep
from specs import units
from specs.tape import EVENT, USERS_FROM, EventKind, OutcomeKind, Side, Tif

RATIOS = {"book_vs_limit_hash", "cascade_vs_limit_direct", "batch_vs_refbook", "message_vs_refbook", "message_vs_best_peer"}


def stream(count: int, seed: int = 1) -> np.ndarray:
    """Return a small stream: limit orders around 1,000 ticks, cancels of live ones, takers that fill from the first order."""
    dice, rows, live = random.Random(seed), [], {}
    below = lambda n: dice.getrandbits(32) % n  # noqa: E731
    for number in range(count):
        account, side, qty, what = below(20), below(2), 1 + below(9), below(6)
        there = [(price if side == 0 else -price, order_id) for order_id, (_, on, price, _) in live.items() if on != side]
        if what < 2 and live:
            order_id = list(live)[below(len(live))]
            rows.append((1, order_id, *live.pop(order_id)))
        elif what == 2 and there:
            maker = min(there)[1]
            owner, on, price, left = live[maker]
            qty = min(qty, left)
            rows.append((2, number, account, side, price, qty))
            live[maker] = (owner, on, price, left - qty)
            if left == qty:
                del live[maker]
        else:
            price = 1_000 + (-1 - below(20) if side == 0 else 1 + below(20))
            live[number] = (account, side, price, qty)
            rows.append((0, number, account, side, price, qty))
    return np.array(rows, np.int64)


def test_every_road_gives_the_same_fills(tmp_path, capsys):
    """Absent tools and packages are named, not run."""
    rows = stream(3_000)
    path = tmp_path / "stream.npy"
    np.save(path, rows)
    result = matching.measure(np.load(path), tmp_path / "no-tools", 500, 100, 20, 1)
    by_name = {run["name"]: run for run in result["runs"]}
    assert result["equal"] and by_name["book"]["trades"] > 100
    assert len({by_name[name]["hash"] for name in ("book", "book-cold", "cascade", "message")}) == 1
    assert RATIOS <= set(result["ratios"]) and result["ratios"]["book_vs_limit_hash"] is None
    assert "refbook.py" in by_name["refbook"]["note"] and "bench.cpp" in by_name["C++ ladder hash"]["note"]
    assert result["bytes_per_order"]["order"] == 64 and set(result["latencies_us"]) == {"p50", "p99", "p99.9", "max"}
    assert json.loads(json.dumps(result))["messages"] == len(rows)
    matching.show(result)
    assert "trades and hashes equal" in capsys.readouterr().out


def test_another_order_of_fills_is_another_hash():
    rows = np.zeros(2, matching.OUTCOME)
    rows["kind"], rows["qty"], rows["price"], rows["other_id"] = OutcomeKind.FILL, 1, (5, 6), (1, 2)
    assert matching.fills_hash(rows) != matching.fills_hash(rows[::-1]) and matching.fills_hash(rows)[0] == 2


def test_ids_are_scrambled_one_to_one():
    ids = [0, 1, 2, 12_345, 2**40, 2**62]
    assert [x * matching.SCRAMBLE % 2**63 * matching.UNSCRAMBLE % 2**63 for x in ids] == ids


def test_outcomes_that_are_not_kept_leave_the_same_state():
    events = matching.messages(stream(2_000), scrambled=True)
    kept, dropped = (Engine(matching.venue(20, "none"), matching.START_NS) for _ in range(2))
    kept.run(events)
    dropped.reserve(10)
    dropped.run(events, keep=False)
    assert len(dropped.outcomes()) == 0 < len(kept.outcomes()) and kept.state() == dropped.state()
    with pytest.raises(ValueError):
        dropped.reserve(-1)


@pytest.mark.needs_shared("tools/stream/gen_stream.py", "tools/stream/refbook.py")
def test_the_reference_book_agrees(shared):
    rows = stream(2_000, seed=5)
    events = matching.messages(rows)
    ours = matching.batch("book", lambda: Engine(matching.venue(20, "none"), matching.START_NS), events[:0], events, 1)
    theirs = matching.reference(shared / "tools", rows, "refbook")
    assert (ours.trades, ours.hash) == (theirs.trades, theirs.hash) and ours.trades > 100


@pytest.mark.needs_shared("data/daily/wluna_daily.csv.zst")
def test_six_decades_of_price_stall_nothing(shared):
    """LUNA's days from 77.5 to 0.0000168: quotes left behind at every price, then swept. No event takes long; twins agree."""
    with pa.CompressedInputStream(str(shared / "data/daily/wluna_daily.csv.zst"), "zstd") as file:
        table = pv.read_csv(io.BytesIO(file.read()))
    days = [d if isinstance(d, date) else d for d in table["timeOpen"].to_pylist()]
    closes = [int(round(x * 10**9)) for d, x in sorted(zip(days, table["close"].to_pylist()))]
    assert max(closes) / min(closes) > 10**6
    rows, order_id = [], 0

    def send(side: Side, price: int, qty: int, tif: Tif = Tif.GTC) -> None:
        nonlocal order_id
        order_id += 1
        fields = {"account": USERS_FROM + order_id % 5, "ref_id": order_id, "side": side, "price": price, "qty": qty, "tif": tif}
        rows.append(pack(kind=EventKind.ORDER, time_ns=units.NS, **fields))

    for price in closes:
        for away in range(1, 6):
            send(Side.BUY, max(1, price - price * away // 50), 3)
            send(Side.SELL, price + 1 + price * away // 50, 3)
    send(Side.SELL, 1, 10**6, Tif.IOC)
    send(Side.BUY, units.PRICE_MAX, 10**6, Tif.IOC)
    venue = matching.venue(5, "none")
    engine, slowest = Engine(venue, units.NS), 0
    for event in rows:
        began = time.process_time_ns()
        engine.apply(event)
        slowest = max(slowest, time.process_time_ns() - began)
    assert not engine.state()["orders"] and slowest < 250_000_000
    lockstep = Lockstep(venue, units.NS)
    lockstep.run(np.frombuffer(b"".join(rows[-2_000:]), EVENT))
