"""`riskbed conform`: recorded exchanges against the engine. Small files made here show every message, quirk and failure; the real
ones of ../shared show that it holds there. A day that the model traded and a writer wrote as LOBSTER reads back equal."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import mutants
from riskbed.conform import answer as answers
from riskbed.conform import binance_depth, bitstamp, driver, lobster
from specs import units
from specs.errors import SpecError, TapeError, TwinsDiffer
from specs.model.exchange import Exchange
from specs.tape import EVENT_STRUCT, OUTCOME_STRUCT, EventKind, OutcomeKind, Reason, Side, Tif

BUY, SELL = 1, -1
RESTS_AT_THE_FRONT = 4  # of fuzz/mutants.py


# ---- LOBSTER


def day(folder: Path, rows: list[tuple], header: bool = False, seventh: bool = False) -> tuple[Path, Path]:
    """Write (time, type, id, size, price, direction, bids, asks) as both files; bids and asks: [(price, lots)], best first."""
    levels = max(max(len(row[6]), len(row[7])) for row in rows)
    messages, books = [], []
    for time, kind, order, size, price, direction, bids, asks in rows:
        messages.append(f"{time},{kind},{order},{size},{price},{direction}" + (",null" if seventh else ""))
        cells: list[int] = []
        for k in range(levels):
            cells += asks[k] if k < len(asks) else (9999999999, 0)
            cells += bids[k] if k < len(bids) else (-9999999999, 0)
        books.append(",".join(map(str, cells)))
    heads = (["Time,Type,OrderId,Size,Price,Direction" + (",Mpid" if seventh else "")], ["a,b,c,d" + ",x" * (4 * levels - 4)])
    paths = folder / "message.csv", folder / "orderbook.csv"
    for path, lines, head in zip(paths, (messages, books), heads):
        path.write_text("\n".join((head if header else []) + lines) + "\n")
    return paths


def conform(folder: Path, rows: list[tuple], twin: str = "both", exchange=None, **written) -> answers.Conformance:
    return lobster.run(*day(folder, rows, **written), twin=twin, exchange=exchange)


def kinds(answer: answers.Conformance) -> list[tuple[int, str]]:
    return [(row.row, row.kind) for row in answer.exceptions]


ASKS = [(10300, 5), (10400, 50)]
DAY = [  # every type of message; two levels
    ("34200.1", 1, 11, 30, 10200, BUY, [(10200, 30), (10100, 40)], ASKS),
    ("34200.2", 1, 12, 20, 10200, BUY, [(10200, 50), (10100, 40)], ASKS),
    ("34200.2", 2, 11, 10, 10200, BUY, [(10200, 40), (10100, 40)], ASKS),  # 11 keeps its place
    ("34200.3", 4, 11, 5, 10200, BUY, [(10200, 35), (10100, 40)], ASKS),
    ("34200.4", 5, 0, 7, 10250, SELL, [(10200, 35), (10100, 40)], ASKS),
    ("34200.5", 4, 11, 15, 10200, BUY, [(10200, 20), (10100, 40)], ASKS),  # one taker from here: three rows and a hidden one
    ("34200.5", 5, 0, 1, 10150, BUY, [(10200, 20), (10100, 40)], ASKS),
    ("34200.5", 4, 12, 20, 10200, BUY, [(10100, 40), (10000, 8)], ASKS),  # 10000 was out of sight
    ("34200.5", 4, 99, 25, 10100, BUY, [(10100, 15), (10000, 8)], ASKS),  # 99 rested before: lots without ids
    ("34200.6", 3, 98, 15, 10100, BUY, [(10000, 8), (9900, 3)], ASKS),
    ("34200.7", 1, 13, 9, 10000, BUY, [(10000, 17), (9900, 3)], ASKS),
    ("34200.8", 3, 13, 9, 10000, BUY, [(10000, 8), (9900, 3)], ASKS),
    ("34200.9", 6, -1, 100, 10100, -1, [(10000, 8), (9900, 3)], ASKS),
    ("34201.0", 7, 0, 0, -1, -1, [(10000, 8), (9900, 3)], ASKS),
    ("34201.1", 3, 97, 3, 9900, BUY, [(10000, 8)], ASKS),  # a halt lets orders leave
    ("34201.2", 7, 0, 0, 0, -1, [(10000, 8)], ASKS),
    ("34201.3", 7, 0, 0, 1, -1, [(10000, 8)], ASKS),
    ("34201.4", 1, 2**63 - 1, 4, 10300, SELL, [(10000, 8)], [(10300, 9), (10400, 50)]),
    ("34201.5", 4, 96, 5, 10300, SELL, [(10000, 8)], [(10300, 4), (10400, 50)]),
    ("34201.5", 4, 2**63 - 1, 1, 10300, SELL, [(10000, 8)], [(10300, 3), (10400, 50)]),
]


@pytest.mark.lockstep
@pytest.mark.parametrize("written", [{}, {"header": True}, {"seventh": True}], ids=str)
def test_every_kind_of_message_conforms(tmp_path: Path, written: dict) -> None:
    found = conform(tmp_path, DAY, **written)
    assert found.conforms and found.exceptions == []
    assert (found.rows, found.rows_equal, found.priority, found.priority_equal) == (19, 19, 6, 6)
    assert (found.lobster.runs, found.lobster.named, found.reveals, found.gaps) == (3, 4, 2, 0)
    assert found.lobster.types == {"1": 4, "2": 1, "3": 3, "4": 6, "5": 2, "6": 1, "7": 3}


def swapped(rows: list[tuple], i: int, **fields) -> list[tuple]:
    names = ("time", "type", "order", "size", "price", "direction", "bids", "asks")
    changed = tuple(fields.get(name, value) for name, value in zip(names, rows[i]))
    return [*rows[:i], changed, *rows[i + 1 :]]


def test_a_wrong_order_of_fills_is_one_exception(tmp_path: Path) -> None:
    """The record says 12 was filled first, though 11 is older: the engine disagrees once, and goes on from what is recorded."""
    rows = swapped(DAY[:5], 3, order=12)
    rows.append(("34200.6", 4, 11, 20, 10200, BUY, [(10200, 15), (10100, 40)], ASKS))
    found = conform(tmp_path, rows)
    assert kinds(found) == [(4, "priority")] and not found.conforms
    assert found.exceptions[0].text == "5 at 10200: recorded order 12, the engine filled order 11"
    assert (found.rows, found.rows_equal, found.priority, found.priority_equal) == (5, 5, 2, 1)


def test_inside_a_run_the_rest_is_another_order(tmp_path: Path) -> None:
    rows = [
        DAY[0],
        DAY[1],
        ("34200.3", 4, 12, 20, 10200, BUY, [(10200, 30), (10100, 40)], ASKS),
        ("34200.3", 4, 11, 30, 10200, BUY, [(10100, 40), (10000, 1)], ASKS),
    ]
    found = conform(tmp_path, rows)
    assert kinds(found) == [(3, "priority")] and (found.priority, found.priority_equal) == (2, 1)
    assert (found.rows, found.rows_equal, found.lobster.runs) == (3, 3, 2)


def test_known_orders_wait_behind_lots_without_ids(tmp_path: Path) -> None:
    """An execution of a known order while older lots rest before it is told."""
    rows = [
        ("1.0", 5, 0, 1, 10100, BUY, [(10100, 40)], [(10300, 5)]),
        ("1.1", 1, 7, 10, 10100, BUY, [(10100, 50)], [(10300, 5)]),
        ("1.2", 4, 7, 10, 10100, BUY, [(10100, 40)], [(10300, 5)]),
        ("1.3", 4, 6, 40, 10100, BUY, [(10000, 4)], [(10300, 5)]),
    ]
    found = conform(tmp_path, rows)
    assert kinds(found) == [(3, "priority")] and "lots without ids" in found.exceptions[0].text
    assert found.rows_equal == 3


@pytest.mark.parametrize(
    ("i", "fields", "wanted"),
    [
        (1, {"bids": [(10200, 51), (10100, 40)]}, [(2, "book"), (3, "book")]),
        (2, {"size": 30}, [(3, "size"), (3, "book")]),
        (3, {"price": 10100}, [(4, "fills")]),
        (3, {"direction": SELL}, [(4, "fills"), (4, "book")]),
        (1, {"price": 10300}, [(2, "refused"), (2, "book"), (3, "book")]),
        (1, {"order": 11}, [(2, "refused"), (2, "book")]),
        (2, {"order": 55, "size": 60}, [(3, "unknown"), (3, "book")]),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_where_it_is(tmp_path: Path, i: int, fields: dict, wanted: list) -> None:
    found = conform(tmp_path, swapped(DAY[:4], i, **fields))
    assert kinds(found)[0] == wanted[0], found.exceptions
    assert not found.conforms and {row for row, _ in kinds(found)} <= {i + 1, i + 2, i + 3}


def test_after_a_wrong_row_the_book_is_the_records(tmp_path: Path) -> None:
    """One wrong row of the book file is two exceptions: where it goes wrong, and where the record comes back."""
    found = conform(tmp_path, swapped(DAY, 11, bids=[(10000, 7), (9900, 3)]))
    assert kinds(found) == [(12, "book"), (13, "book")] and found.rows - found.rows_equal == 2


def test_a_level_that_comes_back_is_taken_from_the_file(tmp_path: Path) -> None:
    """One level is told of; while 10100 is out of sight it changes, and no exception comes of it."""
    rows = [
        ("1.0", 5, 0, 1, 10100, BUY, [(10100, 40)], [(10300, 5)]),
        ("1.1", 1, 7, 10, 10200, BUY, [(10200, 10)], [(10300, 5)]),
        ("1.2", 3, 7, 10, 10200, BUY, [(10100, 25)], [(10300, 5)]),
        ("1.3", 4, 3, 25, 10100, BUY, [(10000, 9)], [(10300, 5)]),
    ]
    found = conform(tmp_path, rows)
    assert found.conforms and found.reveals == 2 and found.lobster.named == 0


def test_more_levels_in_the_file_than_compared(tmp_path: Path) -> None:
    paths = day(tmp_path, DAY)
    found = lobster.run(*paths, levels=1, twin="both")
    assert found.conforms and found.lobster.levels == 1 and found.rows == 19


def test_a_planted_bug_lowers_priority(tmp_path: Path) -> None:
    rows = [DAY[0], DAY[1], ("34200.3", 4, 11, 5, 10200, BUY, [(10200, 45), (10100, 40)], ASKS)]
    assert conform(tmp_path, rows, twin="model").conforms
    found = conform(tmp_path, rows, twin="model", exchange=mutants.plant(Exchange, RESTS_AT_THE_FRONT))
    assert (found.priority, found.priority_equal, found.rows_equal) == (1, 0, 2)
    assert {"priority", "state"} <= set(found.exception_kinds)


def test_exceptions_are_capped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LISTED_MAX", 1)
    found = conform(tmp_path, swapped(DAY, 11, bids=[(10000, 7), (9900, 3)]))
    assert len(found.exceptions) == 1 and found.exceptions_total == 2 and found.exception_kinds == {"book": 2}


def broken_day(folder: Path, what: str) -> tuple[tuple[Path, Path], str]:
    """Return files with a fault, and where the message must say it is."""
    message, orderbook = day(folder, DAY)
    lines = {path: path.read_text().splitlines() for path in (message, orderbook)}
    path, line = {
        "column": (message, 3),
        "letters": (message, 5),
        "back": (message, 7),
        "type": (message, 4),
        "direction": (message, 2),
        "size": (message, 8),
        "first": (message, 1),
        "book-column": (orderbook, 6),
        "book-letters": (orderbook, 2),
        "negative": (orderbook, 9),
        "priceless": (orderbook, 4),
        "short": (orderbook, len(DAY)),
    }[what]
    cells = lines[path][line - 1].split(",")
    if what in ("column", "book-column", "first"):
        cells.pop()
    elif what == "letters":
        cells[2] = "12x"
    elif what == "book-letters":
        cells[1] = ""
    elif what == "back":
        cells[0] = "34199.9"
    elif what == "type":
        cells[1] = "8"
    elif what == "direction":
        cells[5] = "2"
    elif what == "size":
        cells[3] = "0"
    elif what == "priceless":
        cells[0] = "-5"
    elif what == "negative":
        cells[1] = "-1"
    lines[path][line - 1] = ",".join(cells)
    if what == "short":
        lines[path].pop()
    path.write_text("\n".join(lines[path]) + "\n")
    return (message, orderbook), f"{path}:{line}: "


FAULTS = "column letters back type direction size first book-column book-letters negative priceless short".split()


@pytest.mark.parametrize("what", FAULTS)
def test_bad_data_names_file_and_line(tmp_path: Path, what: str) -> None:
    paths, where = broken_day(tmp_path, what)
    with pytest.raises(TapeError) as error:
        lobster.run(*paths)
    assert str(error.value).startswith(where), error.value


def test_a_torn_zst_is_bad_data(tmp_path: Path) -> None:
    message, orderbook = day(tmp_path, DAY)
    whole = pa.compress(message.read_bytes() * 50, codec="zstd", asbytes=True)
    torn = tmp_path / "message.csv.zst"
    torn.write_bytes(whole[:-20])
    with pytest.raises(TapeError, match="torn"):
        lobster.run(torn, orderbook)
    torn.write_bytes(pa.compress(message.read_bytes(), codec="zstd", asbytes=True))
    assert lobster.run(torn, orderbook).conforms
    torn.write_bytes(b"")
    with pytest.raises(TapeError, match="empty"):
        lobster.run(torn, orderbook)


def test_usage_is_another_matter(tmp_path: Path) -> None:
    paths = day(tmp_path, DAY)
    with pytest.raises(TapeError, match="--levels 2"):
        lobster.run(*paths, levels=3)
    with pytest.raises(SpecError, match="no twin 'fast'"):
        lobster.run(*paths, twin="fast")
    with pytest.raises(SpecError, match="no such file"):
        lobster.run(tmp_path / "absent.csv", paths[1])


# ---- a day that the model traded


class Writer:
    """Random orders through the model, written as LOBSTER: what a file of N levels would show of them."""

    def __init__(self, seed: int, levels: int, whole: bool) -> None:
        """whole: rows outside the top N are written too."""
        self.rng, self.levels, self.whole = random.Random(seed), levels, whole
        self.exchange = Exchange(driver.venue(100), 0)
        self.orders: OrderedDict[int, list[int]] = OrderedDict()  # id -> [side, price, lots]
        self.rows: list[tuple] = []
        self.time = self.number = 0

    def send(self, kind: int, order: int, **fields: int) -> list[tuple]:
        event = EVENT_STRUCT.pack(
            self.time * 1_000, order, fields.get("price", 0), fields.get("qty", 0), 0, 0, 16 + order % 7, 0, 0, 0, 0, 0,
            kind, fields.get("side", 0), fields.get("tif", 0), 0,
        )  # fmt: skip
        return list(OUTCOME_STRUCT.iter_unpack(self.exchange.apply(event)))

    def side(self, side: int) -> list[tuple[int, int]]:
        found: dict[int, int] = {}
        for where, price, lots in self.orders.values():
            if where == side:
                found[price] = found.get(price, 0) + lots
        return sorted(found.items(), reverse=side == Side.BUY)[: self.levels]

    def write(self, kind: int, order: int, size: int, price: int, side: int) -> None:
        bids, asks = self.side(Side.BUY), self.side(Side.SELL)
        seen = not self.rows or kind in (4, 5) or (bids, asks) != self.rows[-1][6:]
        if seen or self.whole:
            direction = BUY if side == Side.BUY else SELL
            self.rows.append((f"34200.{self.time:06}", kind, order, size, price, direction, bids, asks))

    def take(self, order: int, lots: int) -> list[int]:
        held = self.orders[order]
        held[2] -= lots
        if not held[2]:
            del self.orders[order]
        return held

    def step(self) -> None:
        rng = self.rng
        self.time += rng.random() < 0.7
        choice = rng.random()
        if choice < 0.6 or not self.orders:
            side, lots = rng.choice((Side.BUY, Side.SELL)), rng.randint(1, 30)
            self.number += rng.randint(1, 3)
            price = 100 * (100 + rng.randint(-6, 3) * (1 if side == Side.BUY else -1))
            left = lots
            for row in self.send(EventKind.ORDER, self.number, side=side, price=price, qty=lots, tif=Tif.GTC):
                if row[14] == OutcomeKind.FILL:
                    if rng.random() < 0.1:
                        self.write(5, 0, 1, row[3], side)
                    held = self.take(row[2], row[4])
                    left -= row[4]
                    self.write(4, row[2], row[4], row[3], held[0])
            if left:
                self.orders[self.number] = [int(side), price, left]
                self.write(1, self.number, left, price, side)
        else:
            order = rng.choice(list(self.orders))
            side, price, lots = self.orders[order]
            if choice < 0.8 and lots > 1:
                cut = rng.randint(1, lots - 1)
                self.send(EventKind.AMEND, order, qty=lots - cut)
                self.take(order, cut)
                self.write(2, order, cut, price, side)
            else:
                self.send(EventKind.CANCEL, order)
                self.take(order, lots)
                self.write(3, order, lots, price, side)

    def written(self, steps: int) -> list[tuple]:
        for _ in range(steps):
            self.step()
        ours = [(side, price, lots) for side, price, lots in self.orders.values()]
        assert sorted(ours) == sorted((row[1], row[2], row[6]) for row in self.exchange.state()["orders"])
        return self.rows


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), levels=st.sampled_from([1, 2, 5, 40]), whole=st.booleans())
def test_a_day_of_the_model_reads_back_equal(tmp_path_factory, seed: int, levels: int, whole: bool) -> None:
    rows = Writer(seed, levels, whole).written(120)
    folder = tmp_path_factory.mktemp("day")
    found = conform(folder, rows)
    assert found.conforms, found.exceptions[:5]
    assert found.rows == len(rows) - 1
    if levels == 40:
        executed = [row for row in rows[1:] if row[1] == 4]
        assert found.reveals == 0 and found.lobster.named == len(executed) == found.priority


def test_a_day_of_the_model_finds_the_planted_bug(tmp_path: Path) -> None:
    rows = Writer(5, 40, True).written(400)
    bug = mutants.plant(Exchange, RESTS_AT_THE_FRONT)
    right, wrong = (conform(tmp_path, rows, twin="model", exchange=exchange) for exchange in (Exchange, bug))
    assert right.conforms and right.priority == wrong.priority > 100
    assert wrong.priority_equal < 0.7 * wrong.priority


# ---- Binance


def depth(first: int, last: int, bids: list, asks: list, before: int | None = None) -> dict:
    data = {"e": "depthUpdate", "s": "X", "U": first, "u": last, "b": bids, "a": asks}
    return {"stream": "x@depth@100ms", "data": data if before is None else data | {"pu": before}}


def ticker(id: int, bid: tuple[str, str], ask: tuple[str, str]) -> dict:
    return {"stream": "x@bookTicker", "data": {"u": id, "s": "X", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}}


def snapshot(id: int, bids: list, asks: list) -> dict:
    return {"lastUpdateId": id, "bids": bids, "asks": asks}


def feed(folder: Path, messages: list[dict], name: str = "feed.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{10**18 + i} {json.dumps(message)}\n" for i, message in enumerate(messages)))
    return path


ASK = ("10.20", "4.00")
SNAPSHOT = snapshot(103, [["10.10", "1.50"], ["10.00", "2.00"]], [["10.20", "4.00"], ["10.30", "5.00"]])
SPOT = [  # the snapshot comes after diffs that it holds and one that it is in the middle of
    ticker(100, ("10.10", "1.50"), ASK),
    depth(99, 101, [["10.10", "1.00"]], []),
    depth(102, 105, [["10.10", "0.75"], ["9.90", "1.00"]], [["10.20", "4.00"]]),
    ticker(104, ("10.10", "0.75"), ASK),
    SNAPSHOT,
    depth(106, 108, [["10.10", "0.00"], ["10.05", "3.00"]], []),
    ticker(106, ("10.10", "0.50"), ASK),  # inside the diff
    ticker(107, ("10.05", "3.00"), ASK),
    depth(109, 110, [], [["10.20", "0"], ["10.25", "0.125"]]),
    ticker(110, ("10.05", "3.00"), ("10.25", "0.125")),
    {"stream": "x@trade", "data": {"e": "trade", "s": "X", "t": 1, "p": "10.05", "q": "1"}},
    depth(111, 112, [["10.10", "2.00"]], []),
    ticker(112, ("10.10", "2.00"), ("10.25", "0.125")),
    ticker(113, ("10.10", "1.00"), ("10.25", "0.125")),  # after the last diff
]


def futures(messages: list[dict]) -> list[dict]:
    """Give the diffs of a spot feed pu, and leave holes in their ids that are none in the chain."""
    found, before = [], 50
    for message in messages:
        if "depth" in message.get("stream", ""):
            data = message["data"]
            message = {**message, "data": data | {"pu": before}}
            before = data["u"]
        found.append(message)
    return found


@pytest.mark.lockstep
@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_feed_that_conforms(tmp_path: Path, market: str) -> None:
    found = binance_depth.run(feed(tmp_path, SPOT if market == "spot" else futures(SPOT)), twin="both")
    assert found.conforms and (found.rows, found.rows_equal, found.gaps, found.crossed) == (5, 5, 0, 0)
    part = found.binance_depth
    assert (part.market, part.diffs, part.book_tickers, part.trades, part.snapshots_used) == (market, 5, 7, 1, 1)
    assert part.inside + part.unjoined + 5 == part.book_tickers


def without(messages: list[dict], *dropped: int) -> list[dict]:
    """Drop diffs by their number."""
    numbers = [i for i, message in enumerate(messages) if "depth" in message.get("stream", "")]
    return [message for i, message in enumerate(messages) if i not in {numbers[k] for k in dropped}]


@pytest.mark.parametrize("market", ["spot", "futures"])
@pytest.mark.parametrize(
    ("dropped", "gaps"), [((2,), 1), ((3,), 1), ((2, 3), 1), ((1, 3), 2), ((1,), 1), ((0,), 0), ((4,), 0)], ids=str
)
def test_missing_diffs_are_gaps_and_end_the_comparison(tmp_path: Path, market: str, dropped: tuple, gaps: int) -> None:
    messages = SPOT if market == "spot" else futures(SPOT)
    found = binance_depth.run(feed(tmp_path, without(messages, *dropped)), twin="both")
    assert found.gaps == gaps == len(found.gap_list) and found.rows_equal == found.rows <= 5
    assert found.conforms == (gaps == 0) and not found.exceptions
    if gaps:
        assert found.binance_depth.unjoined > 2


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_snapshot_after_a_gap_brings_the_book_back(tmp_path: Path, market: str) -> None:
    tail = [
        snapshot(112, [["10.10", "2.00"]], [["10.25", "0.125"], ["10.30", "5.00"]]),
        depth(113, 115, [["10.10", "1.00"]], []),
        ticker(115, ("10.10", "1.00"), ("10.25", "0.125")),
    ]
    messages = SPOT + tail if market == "spot" else futures(SPOT + tail)
    found = binance_depth.run(feed(tmp_path, without(messages, 3)), twin="both")
    assert found.gaps == 1 and found.binance_depth.snapshots_used == 2 and not found.exceptions
    assert found.rows == found.rows_equal == 5  # at 103, 105 and 108; at 112 and 115


def test_a_snapshot_that_cannot_be_joined_is_a_gap(tmp_path: Path) -> None:
    found = binance_depth.run(feed(tmp_path, [SNAPSHOT, *SPOT[5:]]))
    assert (found.gaps, found.rows) == (1, 0) and "103" in found.gap_list[0].text
    found = binance_depth.run(feed(tmp_path, [SPOT[5], SNAPSHOT, *SPOT[6:]]))
    assert (found.gaps, found.rows) == (1, 0)


def test_a_wrong_ticker_and_a_crossed_book_are_told(tmp_path: Path) -> None:
    wrong = [*SPOT[:9], ticker(110, ("10.05", "3.00"), ("10.25", "0.25")), *SPOT[10:]]
    found = binance_depth.run(feed(tmp_path, wrong))
    assert kinds(found) == [(9, "top")] and (found.rows - found.rows_equal, found.crossed) == (1, 0)
    assert found.exceptions[0].text == "id 110: best ask 0.125 at 10.25, bookTicker 0.250 at 10.25 (line 10)"
    crossing = [*SPOT[:5], depth(106, 108, [["10.20", "1.00"]], []), *SPOT[7:]]
    found = binance_depth.run(feed(tmp_path, crossing), twin="both")
    assert found.crossed == 1 and kinds(found)[0] == (6, "crossed") and not found.conforms


def test_a_large_level_stands_as_several_orders(tmp_path: Path) -> None:
    big = f"{3 * units.QTY_MAX}.00"
    messages = [
        snapshot(5, [["10.00", big]], [["11.00", "1.25"]]),
        depth(6, 7, [["10.00", f"{units.QTY_MAX}.00"]], []),
        ticker(7, ("10.00", f"{units.QTY_MAX}.00"), ("11.00", "1.25")),
        depth(8, 9, [["10.00", big]], []),
        ticker(9, ("10.00", big), ("11.00", "1.25")),
        depth(10, 11, [["10.00", "0.00"], ["9.00", "1.00"]], []),
        ticker(11, ("9.00", "1.00"), ("11.00", "1.25")),
    ]
    found = binance_depth.run(feed(tmp_path, messages), twin="both")
    assert found.conforms and found.rows == 3


@pytest.mark.parametrize(
    ("line", "text", "what"),
    [
        (3, "", "fetch it again"),
        (3, '1000000000000000003 {"stream": "x@depth", "data"', "fetch it again"),
        (4, f"999999999999999999 {json.dumps(SPOT[3])}", "time goes back"),
        (3, f'1000000000000000002 {json.dumps(depth(5, 4, [], []))}', "U 5 is above u 4"),
        (3, f'1000000000000000002 {json.dumps(depth(5, 6, [["x", "1"]], []))}', "is no number"),
        (3, f'1000000000000000002 {json.dumps(depth(102, 105, [["1"]], []))}', "without what it must have"),
        (4, f"1000000000000000003 {json.dumps(ticker(99, ASK, ASK))}", "goes back from 100 to 99"),
        (4, f"1000000000000000003 {json.dumps(ticker(104, ASK, ASK)).replace('X', 'Y')}", "two symbols"),
    ],
)  # fmt: skip
def test_bad_feeds_name_file_and_line(tmp_path: Path, line: int, text: str, what: str) -> None:
    path = feed(tmp_path, SPOT)
    lines = path.read_text().splitlines()
    lines[line - 1] = text or lines[line - 1][:-9]
    path.write_text("\n".join(lines))
    with pytest.raises(TapeError, match=what) as error:
        binance_depth.run(path)
    assert str(error.value).startswith(f"{path}:{line}: ")


def test_a_feed_without_diffs_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no depth diff"):
        binance_depth.run(feed(tmp_path, [SNAPSHOT]))


# ---- Bitstamp


def entry(kind: str, id: int, price: str, amount: str, side: int) -> tuple[str, dict]:
    return f"order_{kind}", {"price": price, "amount": amount, "datetime": "0", "id": id, "order_type": side}


def book(bids: list, asks: list) -> tuple[str, dict]:
    return "order_book", {"bids": [list(row) for row in bids], "asks": [list(row) for row in asks]}


BID, OFFER = 0, 1
A1 = ("103.00", "7.00000000")
LOG = [
    entry("created", 1, "100.00", "2.00000000", BID),
    book([("100.00", "5.00000000"), ("99.00", "1.00000000")], [("102.00", "4.00000000"), A1]),
    entry("created", 2, "100.00", "1.00000000", BID),
    book([("100.00", "6.00000000"), ("99.00", "1.00000000")], [("102.00", "4.00000000"), A1]),
    entry("created", 3, "100.00", "5.50000000", OFFER),  # meets 3.0 without ids, 2.0 of order 1 and 0.5 of order 2
    entry("deleted", 77, "100.00", "0.00000000", BID),
    entry("deleted", 1, "100.00", "0.00000000", BID),
    entry("changed", 2, "100.00", "0.50000000", BID),
    entry("deleted", 3, "100.00", "0.00000000", OFFER),
    ("trade", {"price": 100.0, "amount": 5.5, "id": 9}),
    book([("100.00", "0.50000000"), ("99.00", "1.00000000")], [("102.00", "4.00000000"), A1]),
    entry("created", 4, "103.50", "12.00000000", OFFER),  # more than QTY_MAX lots of 10^-8
    entry("changed", 4, "101.00", "11.00000000", OFFER),
    book([("100.00", "0.50000000"), ("99.00", "1.00000000")], [("101.00", "11.00000000"), ("102.00", "4.00000000")]),
    entry("deleted", 4, "101.00", "11.00000000", OFFER),
    entry("deleted", 4, "101.00", "11.00000000", OFFER),  # comes twice
    entry("deleted", 78, "102.00", "4.00000000", OFFER),  # was there before the log
    book([("100.00", "0.50000000"), ("99.00", "1.00000000")], [A1, ("104.00", "1.00000000")]),  # 104 comes into sight
]


def write_log(folder: Path, rows: list[tuple[str, dict]]) -> Path:
    path = folder / "orders.log"
    path.write_text("".join(f"{10**12 + i} {kind} {json.dumps(data)}\n" for i, (kind, data) in enumerate(rows)))
    return path


@pytest.mark.lockstep
def test_a_log_that_conforms(tmp_path: Path) -> None:
    found = bitstamp.run(write_log(tmp_path, LOG), twin="both")
    assert found.conforms, found.exceptions
    assert (found.rows, found.rows_equal, found.priority, found.priority_equal, found.reveals) == (4, 4, 2, 2, 1)
    part = found.bitstamp
    assert (part.levels, part.levels_equal, part.repeated, part.stale_total) == (15, 15, 1, 0)


def test_a_deletion_that_never_came_names_a_stale_order(tmp_path: Path) -> None:
    gone = [("100.00", "0.50000000"), ("99.00", "1.00000000")]
    stale = entry("created", 5, "101.50", "3.00000000", OFFER)
    rows = [*LOG[:11], stale, *[book(gone, [("102.00", "4.00000000"), A1])] * 3]
    found = bitstamp.run(write_log(tmp_path, rows), twin="both")
    assert [(row.order, row.side, row.price, row.qty, row.created, row.found, row.deleted) for row in found.bitstamp.stale] == [
        (5, "sell", "101.5", "3.0", 12, 14, None)
    ]
    assert kinds(found) == [(13, "top"), (14, "top"), (14, "levels")] and "stale order 5" in found.exceptions[2].text
    assert (found.rows, found.rows_equal, found.bitstamp.stale_never) == (5, 3, 1)
    late = bitstamp.run(write_log(tmp_path, [*rows, entry("deleted", 5, "101.50", "3.00000000", OFFER)]))
    assert late.bitstamp.stale[0].deleted == 16 and late.bitstamp.stale_never == 0


def test_one_of_a_level_is_stale_by_its_lots(tmp_path: Path) -> None:
    gone = [("100.00", "0.50000000"), ("99.00", "1.00000000")]
    stale = entry("created", 5, "102.00", "3.00000000", OFFER)
    rows = [*LOG[:11], stale, *[book(gone, [("102.00", "4.00000000"), A1])] * 3]
    found = bitstamp.run(write_log(tmp_path, rows), twin="both")
    assert [row.order for row in found.bitstamp.stale] == [5] and found.rows - found.rows_equal == 2


def test_a_filled_order_whose_deletion_never_came_is_named(tmp_path: Path) -> None:
    found = bitstamp.run(write_log(tmp_path, [row for row in LOG if row != LOG[6]]), twin="both")
    assert [(row.order, row.filled) for row in found.bitstamp.stale] == [(1, True)]


def test_a_level_that_stays_different_is_settled_once(tmp_path: Path) -> None:
    other = book([("100.00", "0.75000000"), ("99.00", "1.00000000")], [("102.00", "4.00000000"), A1])
    found = bitstamp.run(write_log(tmp_path, [*LOG[:11], other, other, other]), twin="both")
    assert kinds(found) == [(12, "top"), (13, "top"), (13, "levels")] and found.bitstamp.settled == 1


def test_log_and_engine_must_agree_on_what_was_filled(tmp_path: Path) -> None:
    rows = [*LOG[:6], entry("deleted", 1, "100.00", "2.00000000", BID), *LOG[7:]]
    found = bitstamp.run(write_log(tmp_path, rows))
    assert kinds(found) == [(7, "filled")] and (found.priority, found.priority_equal) == (2, 1)


def test_a_planted_bug_shows_in_a_log(tmp_path: Path) -> None:
    rows = [
        LOG[1],
        entry("created", 1, "101.00", "1.00000000", BID),
        entry("created", 2, "101.00", "1.00000000", BID),
        entry("created", 3, "101.00", "1.00000000", OFFER),
        entry("deleted", 1, "101.00", "0.00000000", BID),
        entry("deleted", 3, "101.00", "0.00000000", OFFER),
        entry("deleted", 2, "101.00", "1.00000000", BID),
    ]
    path = write_log(tmp_path, rows)
    assert bitstamp.run(path).conforms
    found = bitstamp.run(path, twin="model", exchange=mutants.plant(Exchange, RESTS_AT_THE_FRONT))
    assert found.exception_kinds["filled"] == 2 and found.priority_equal == 1


@pytest.mark.parametrize(
    ("line", "text", "what"),
    [
        (3, '1000000000002 order_created {"price": "1"', "torn"),
        (3, "1000000000002", "torn"),
        (3, "1000000000002 order_moved {}", "unknown kind"),
        (3, '1000000000000 trade {"price": 1}', "goes back"),
        (3, '1000000000002 order_created {"price": "1", "amount": "1", "id": 1, "order_type": 2}', "order_type"),
        (3, '1000000000002 order_created {"price": "-1", "amount": "1", "id": 1, "order_type": 1}', "is no number"),
        (4, f"1000000000003 order_book {json.dumps({'bids': [['1', '1'], ['2', '1']], 'asks': []})}", "not in order"),
    ],
)
def test_bad_logs_name_file_and_line(tmp_path: Path, line: int, text: str, what: str) -> None:
    path = write_log(tmp_path, LOG)
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(TapeError, match=what) as error:
        bitstamp.run(path)
    assert str(error.value).startswith(f"{path}:{line}: ")


# ---- the driver


def test_the_book_is_held_to_the_engines_own() -> None:
    """A book that misses an event is told apart, and mended."""
    under = driver.Driver("both", 0, 1)
    under.order(7, Side.BUY, 100, 5)
    under.apply(EventKind.ORDER, 8, side=Side.BUY, price=100, qty=2, tif=Tif.GTC)  # nothing follows
    assert "order 8 at place 1 of buy 100, 2 lots" in under.check()
    assert under.check() is None and under.book.top(Side.BUY) == [(100, 7)]


def test_a_twin_that_differs_is_our_own_fault() -> None:
    under = driver.Driver("both", 0, 1)
    under.exchanges[1].apply(EVENT_STRUCT.pack(0, 9, 90, 1, 0, 0, 16, 0, 0, 0, 0, 0, EventKind.ORDER, Side.BUY, Tif.GTC, 0))
    with pytest.raises(TwinsDiffer):
        under.order(9, Side.BUY, 100, 5)
    assert TwinsDiffer.exit_code == 4


def test_an_amend_that_trades_is_followed() -> None:
    under = driver.Driver("both", 0, 1, taken=(1, 2))
    under.order(7, Side.BUY, 100, 5)
    under.order(8, Side.SELL, 101, 8, Tif.GTC)
    under.move(8, 100)
    assert (under.lots(7), under.lots(8), under.book.top(Side.SELL)) == (0, 3, [(100, 3)]) and under.check() is None
    under.order(8, Side.SELL, 102, 1)
    assert under.refusal == Reason.DUPLICATE_ORDER_ID and under.own_id() == 3


# ---- the command


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "riskbed.cli", "conform", *map(str, words)], capture_output=True, text=True)


def test_the_command_says_it_by_exit_code_and_json(tmp_path: Path) -> None:
    message, orderbook = day(tmp_path, DAY)
    done = command("lobster", message, orderbook, "--levels", 2, "--twin", "both", "--json")
    assert done.returncode == 0 and done.stderr == ""
    tree = json.loads(done.stdout)
    assert {"rows", "rows_equal", "priority", "priority_equal", "exceptions", "gaps"} <= set(tree)
    assert set(tree) == set(json.loads(answers.schema())["required"])
    log = command("bitstamp", write_log(tmp_path, [row for row in LOG if row != LOG[6]]))
    assert log.returncode == 0 and "Stale orders" in log.stdout and "never deleted" in log.stdout
    gap = command("binance-depth", feed(tmp_path, without(SPOT, 3)))
    assert gap.returncode == 1 and "update ids 109 to 110 are missing" in gap.stdout and gap.stderr == ""
    assert command("lobster", message).returncode == 2
    torn = command("lobster", *broken_day(tmp_path, "column")[0], "--json")
    assert torn.returncode == 3 and torn.stdout == "" and f"{message}:3: 5 columns" in torn.stderr


def test_the_schema_in_the_repository_is_that_of_the_answer() -> None:
    assert answers.SCHEMA.read_text(encoding="utf-8") == answers.schema(), "run `python -m riskbed.conform.answer`"


# ---- the real files

AAPL = "lobster/AAPL_2012-06-21_L10_first999"
MSFT = "lobster/MSFT_2012-06-21_L50_first500"
AMZN = "lobster/AMZN_2012-06-21_L1_first20000"
SPOT_FILE = "data/binance_l2/spot_btcusdt_20240808_first20000.jsonl.zst"
USDM_FILE = "data/binance_l2/usdm_btcusdt_20240808_first20000.jsonl.zst"
BITSTAMP_FILE = "data/bitstamp_l3/btcusd_2015-05-01_first2500_snapshots.log.zst"


def pair(shared: Path, name: str) -> tuple[Path, Path]:
    return shared / f"data/{name}_message.csv.zst", shared / f"data/{name}_orderbook.csv.zst"


@pytest.mark.lockstep
@pytest.mark.needs_shared("data/lobster")
@pytest.mark.parametrize(("name", "levels", "rows", "priority"), [(AAPL, 10, 998, 98), (MSFT, 50, 499, 75)])
def test_recorded_days_conform(shared: Path, name: str, levels: int, rows: int, priority: int) -> None:
    found = lobster.run(*pair(shared, name), levels, "both")
    assert found.conforms and (found.rows, found.priority) == (rows, priority)


@pytest.mark.needs_shared("data/lobster")
def test_a_recorded_day_of_one_level(shared: Path) -> None:
    found = lobster.run(*pair(shared, AMZN), 1)
    assert found.rows == found.rows_equal == 19_999 and found.priority == 3_073
    assert found.priority_equal >= 0.999 * found.priority
    assert found.exception_kinds == {"priority": found.priority - found.priority_equal}


@pytest.mark.needs_shared("data/lobster")
def test_a_planted_bug_shows_on_a_recorded_day(shared: Path) -> None:
    bug = mutants.plant(Exchange, RESTS_AT_THE_FRONT)
    found = lobster.run(*pair(shared, AAPL), 10, "model", exchange=bug)
    assert found.priority == 98 and found.priority_equal < 90 and not found.conforms


@pytest.mark.needs_shared("data/binance_l2")
@pytest.mark.parametrize(("file", "rows"), [(SPOT_FILE, 1_980), (USDM_FILE, 1_594)])
def test_recorded_depth_conforms(shared: Path, file: str, rows: int) -> None:
    found = binance_depth.run(shared / file)
    assert found.conforms and (found.rows, found.crossed, found.gaps) == (rows, 0, 0)
    part = found.binance_depth
    assert part.inside + part.unjoined < part.book_tickers


@pytest.mark.needs_shared("data/binance_l2")
@pytest.mark.parametrize("file", [SPOT_FILE, USDM_FILE])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_diffs_removed_at_random_are_gaps(shared: Path, tmp_path: Path, file: str, seed: int) -> None:
    rng = random.Random(seed)
    lines = list(binance_depth.record.lines(shared / file))
    diffs = [number for number, line in lines if b"@depth" in line]
    gone = set(rng.sample(diffs, rng.choice([1, 3, 20])))
    path = tmp_path / "holes.jsonl"
    path.write_bytes(b"".join(line + b"\n" for number, line in lines if number not in gone))
    kept = [i for i, number in enumerate(diffs) if number not in gone]
    found = binance_depth.run(path)
    assert found.gaps == sum(b - a > 1 for a, b in zip(kept, kept[1:])) and found.rows == found.rows_equal
    assert not found.exceptions and not found.conforms


@pytest.mark.needs_shared("data/bitstamp_l3")
def test_a_recorded_log(shared: Path) -> None:
    found = bitstamp.run(shared / BITSTAMP_FILE)
    assert found.rows == 2_499 and found.rows_equal >= 0.995 * found.rows
    assert found.bitstamp.levels_equal >= 0.999 * found.bitstamp.levels and found.priority_equal >= 0.995 * found.priority
