"""Order books of the package index on our order stream, one Python call per message: how fast is the best of them?

The stream is that of bench/matching.py: int64[N, 6], op (0 limit, 1 cancel of a live order, 2 marketable limit that always
fills), order id (counting up), account, side (0 buy, 1 sell), price in ticks, lots. No peer gets the account: none may
prevent a self-trade.

    for peer in PEERS:
        print(measure(peer, stream, timeout_s=60))

A peer is imported only in the subprocess that measures it, so none need be installed (`pip install riskbed[bench-peers]` has
them all). What a call needs, such as the package's own order object, is made inside the time measured, since a user pays for
it; reading the fills back and their hash is outside. A peer is comparable only when it made the trades of the reference: the
same makers, takers, prices and lots in the same order. One that reports no trades is held to the final book, level by level.

Not here: pyclob 0.1.2 takes prices of 1 to 99 only; order-matching 0.12.0 is far slower than all of these.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sortedcontainers import SortedDict

CANCEL = 1
SELL = 1
HASH_START = 1469598103934665603
HASH_MASK = 2**64 - 1
ERROR_CHARS_MAX = 200
ROOT = Path(__file__).resolve().parents[1]

Row = tuple[int, ...]
Fill = tuple[int, int, int, int]  # maker's order id, taker's order id, price in ticks, lots
Run = tuple[float, int | None, int | None, int | None]  # CPU seconds, trades, volume in lots, hash


@dataclass(frozen=True)
class Peer:
    """One order book: the distribution that pip installs, and the function that runs a stream through it.

    `run` is a module's own function (the subprocess finds it by name). It returns the hash of the fills (`fills_hash`) or None
    if the peer does not say who traded; without trades, the hash of the final book (`book_hash`). `caveat` is the note of its
    comparable runs.
    """

    name: str
    distribution: str
    run: Callable[[list[Row]], Run]
    caveat: str | None = None


@dataclass(frozen=True)
class Expected:
    """What the reference makes of a stream."""

    trades: int
    volume: int
    hash: int
    book_hash: int


def fills_hash(fills: Iterable[Fill]) -> int:
    """Return the hash of fills in their order, the one of bench/matching.py (which needs the engine built, as this does not)."""
    h = HASH_START
    for maker, taker, price, lots in fills:
        h = (h * 1000003 + (maker * 31 + taker) * 1009 + price * 131 + lots) & HASH_MASK
    return h


def book_hash(levels: Iterable[tuple[int, int, int, int]]) -> int:
    """Return the hash of a book's levels (side, price, lots, orders), each once, in any order."""
    return fills_hash(sorted(levels))


def expected(rows: Iterable[Row]) -> Expected:
    """Match rows by price, then time, at the maker's price."""
    books = (SortedDict(), SortedDict())  # by side: {sign * price: {order id: lots}}, so that the best level is the first
    fills: list[Fill] = []
    for op, order_id, _, side, price, lots in rows:
        sign = 1 if side == SELL else -1
        own, other = books[side], books[1 - side]
        if op == CANCEL:
            level = own[sign * price]
            del level[order_id]
            if not level:
                del own[sign * price]
            continue
        while lots and other:
            key, level = other.peekitem(0)
            if key > -sign * price:
                break
            maker, resting = next(iter(level.items()))
            filled = min(lots, resting)
            fills.append((maker, order_id, -sign * key, filled))
            lots -= filled
            if filled < resting:
                level[maker] = resting - filled
                continue
            del level[maker]
            if not level:
                del other[key]
        if lots:
            own.setdefault(sign * price, {})[order_id] = lots
    levels = ((side, abs(key), sum(level.values()), len(level)) for side, book in enumerate(books) for key, level in book.items())
    return Expected(len(fills), sum(fill[3] for fill in fills), fills_hash(fills), book_hash(levels))


def told(seconds: float, fills: list[Fill]) -> Run:
    """Return the run of a peer that names maker and taker."""
    return seconds, len(fills), sum(fill[3] for fill in fills), fills_hash(fills)


# ---- adapters


def run_limit_order_book(rows: list[Row]) -> Run:
    """C++ behind ctypes. Reports no trades: the final book is hashed."""
    from limit_order_book import limit_order_book

    book = limit_order_book.LimitOrderBook()
    limit, cancel = book.limit, book.cancel
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(order_id)
        else:
            limit(side != SELL, order_id, lots, price)
    seconds = time.process_time() - start
    volumes = (book.volume_buy, book.volume_sell)
    prices = {price for op, _, _, _, price, _ in rows if op != CANCEL}
    levels = [(side, price, volumes[side](price), book.count_at(price)) for side in (0, 1) for price in prices]
    return seconds, None, None, book_hash(level for level in levels if level[2])


def run_orderly_chaos(rows: list[Row]) -> Run:
    """C++ behind ctypes, with its trade callback: without it there are lots filled, and no trades."""
    from orderly_chaos import LimitOrderBook, Side

    trades: list = []
    book = LimitOrderBook(on_trade=trades.append)
    sides = (Side.BUY, Side.SELL)
    limit, cancel = book.limit, book.cancel
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(order_id)
        else:
            limit(sides[side], order_id, lots, price)
    seconds = time.process_time() - start
    return told(seconds, [(trade.maker_id, trade.taker_id, trade.price, trade.quantity) for trade in trades])


def run_litebook(rows: list[Row]) -> Run:
    """Rust behind PyO3; it makes the ids.

    It reports a fill at the seller's limit, also where the seller is the taker and the maker bid more; and where the buyer is
    the taker, `buy_id` is the seller's. Makers, takers and lots are right, so maker and taker are told by arrival, and the
    price hashed is the maker's limit, from the rows.
    """
    from litebook import Order, OrderBook, OrderType

    book = OrderBook(tick_size=1.0)
    sides = (OrderType.Buy, OrderType.Sell)
    add, cancel = book.add, book.cancel
    theirs: dict[int, str] = {}
    trades: list = []
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(theirs[order_id])
        else:
            order = Order(sides[side], price, lots)
            theirs[order_id] = order.id
            trades += add(order)
    seconds = time.process_time() - start
    arrival = {their_id: i for i, their_id in enumerate(theirs.values())}
    ours = list(theirs)
    limits = {order_id: price for op, order_id, _, _, price, _ in rows if op != CANCEL}
    fills = []
    for trade in trades:
        maker, taker = sorted((arrival[trade.buy_id], arrival[trade.sell_id]))  # the maker came first
        fills.append((ours[maker], ours[taker], limits[ours[maker]], int(trade.quantity)))
    return told(seconds, fills)


def run_tracebook(rows: list[Row]) -> Run:
    """Pure Python; the engine inside a conformance tester, without the book around it, which makes it 3 times slower."""
    from tracebook import NO_OWNER, Order, OrderSide, OrderType
    from tracebook.core.matching_engine import MatchingEngine

    engine = MatchingEngine("PERP", tick_size=1.0)
    sides, limit = (OrderSide.BUY, OrderSide.SELL), OrderType.LIMIT
    add, cancel = engine.add_order, engine.cancel_order
    trades: list = []
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(order_id)
        else:
            trades += add(Order(order_id, "PERP", sides[side], limit, price, lots, order_id, NO_OWNER))
    seconds = time.process_time() - start
    fills = []
    for trade in trades:
        maker, taker = sorted((trade.buy_order_id, trade.sell_order_id))  # ids count up: the maker came first
        fills.append((maker, taker, int(trade.price), int(trade.quantity)))
    return told(seconds, fills)


def run_trade_log(rows: list[Row], module: str) -> Run:
    """Run the book of akhil4n-orderbook, in Python or compiled: one interface, and a log of trades."""
    theirs_module = importlib.import_module(module)
    order_of, sides = theirs_module.Order, (theirs_module.OrderSide.BID, theirs_module.OrderSide.ASK)
    book = theirs_module.OrderBook()
    add, cancel = book.add_limit_order, book.cancel_order
    theirs: dict[int, str] = {}
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(theirs[order_id])
        else:
            order = order_of(side=sides[side], price=price, original_quantity=lots)
            theirs[order_id] = order.order_id
            add(order)
    seconds = time.process_time() - start
    ours = {their_id: order_id for order_id, their_id in theirs.items()}
    log = book.trade_log
    return told(seconds, [(ours[t.filler_id], ours[t.aggressor_id], int(t.price), t.quantity_filled) for t in log])


def run_cython_orderbook(rows: list[Row]) -> Run:
    """Compiled with Cython. Prices are ints, where its pages use Decimal: ints are faster."""
    return run_trade_log(rows, "cython_orderbook")


def run_akhil4n_orderbook(rows: list[Row]) -> Run:
    """Pure Python, a module named orderbook. Prices are ints, where its pages use Decimal: ints are faster."""
    return run_trade_log(rows, "orderbook")


def run_pyorderbook(rows: list[Row]) -> Run:
    """Pure Python, Decimal prices and UUIDs that it makes itself."""
    from pyorderbook.book import Book
    from pyorderbook.order import Order, Side

    book = Book()
    sides = (Side.BID, Side.ASK)
    match, cancel = book.match, book.cancel
    orders: dict[int, Order] = {}
    trades: list = []
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(orders[order_id])
        else:
            orders[order_id] = order = Order(sides[side], "PERP", price, lots)
            trades += match(order).trades
    seconds = time.process_time() - start
    ours = {order.id: order_id for order_id, order in orders.items()}
    fills = [(t.standing_order_id, t.incoming_order_id, t.fill_price, t.fill_quantity) for t in trades]
    return told(seconds, [(ours[maker], ours[taker], int(price), lots) for maker, taker, price, lots in fills])


def run_obook(rows: list[Row]) -> Run:
    """Go behind a C ABI. Events are drained at every order: drained at every 100th, some were lost.

    It prevents self-trades, so every order has a user of its own.
    """
    from obook import Book, EventKind

    book = Book(max_orders=1 << 20)
    submit, cancel, drain = book.submit, book.cancel, book.events
    theirs: dict[int, int] = {}
    events: list = []
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(theirs[order_id], order_id + 1)
        else:
            theirs[order_id] = submit(order_id + 1, side, price, lots).order_id
            events += drain()
    seconds = time.process_time() - start
    ours = {their_id: order_id for order_id, their_id in theirs.items()}
    trades = (event for event in events if event.kind == EventKind.TRADE)
    return told(seconds, [(ours[t.maker_id], ours[t.taker_id], t.price, t.qty) for t in trades])


def run_manticore(rows: list[Row]) -> Run:
    """Pure Python, floats; logging off, its thread that looks for expired orders idle."""
    from manticore_orderbook.core.orderbook import OrderBook
    from manticore_orderbook.event_manager import EventManager, EventType

    trades: list[dict] = []

    def on_trade(_, trade: dict) -> None:
        trades.append(trade)

    manager = EventManager(enable_logging=False)
    manager.subscribe(EventType.TRADE, on_trade)
    book = OrderBook("PERP", enable_logging=False, check_expiry_interval=3600.0, event_manager=manager)
    sides = ("buy", "sell")
    add, cancel = book.add_order, book.cancel_order
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(str(order_id))
        else:
            add(sides[side], price, lots, str(order_id))
    seconds = time.process_time() - start
    fills = [(t["maker_order_id"], t["taker_order_id"], t["price"], t["quantity"]) for t in trades]
    return told(seconds, [tuple(map(int, fill)) for fill in fills])


def run_lightmatchingengine(rows: list[Row]) -> Run:
    """Pure Python. It reports a fill from both sides: the maker's is the one of another order than the taker's."""
    from lightmatchingengine.lightmatchingengine import LightMatchingEngine, Side

    engine = LightMatchingEngine()
    sides = (Side.BUY, Side.SELL)
    add, cancel = engine.add_order, engine.cancel_order
    theirs: dict[int, int] = {}
    reports: list = []
    start = time.process_time()
    for op, order_id, _, side, price, lots in rows:
        if op == CANCEL:
            cancel(theirs[order_id], "PERP")
        else:
            order, trades = add("PERP", price, lots, sides[side])
            theirs[order_id] = order.order_id
            if trades:
                reports.append((order.order_id, trades))
    seconds = time.process_time() - start
    ours = {their_id: order_id for order_id, their_id in theirs.items()}
    fills = [
        (ours[trade.order_id], ours[taker], trade.trade_price, trade.trade_qty)
        for taker, trades in reports
        for trade in trades
        if trade.order_id != taker
    ]
    return told(seconds, fills)


PEERS: tuple[Peer, ...] = (
    Peer("limit-order-book", "limit-order-book", run_limit_order_book),
    Peer("orderly-chaos", "orderly-chaos", run_orderly_chaos),
    Peer("litebook", "litebook", run_litebook, "fills at the seller's limit, not the maker's: prices are not compared"),
    Peer("tracebook", "tracebook-conformance", run_tracebook),
    Peer("cython-orderbook", "cython-orderbook", run_cython_orderbook),
    Peer("akhil4n-orderbook", "akhil4n-orderbook", run_akhil4n_orderbook),
    Peer("pyorderbook", "pyorderbook", run_pyorderbook),
    Peer("obook", "obook", run_obook),
    Peer("manticore-orderbook", "manticore-orderbook", run_manticore),
    Peer("lightmatchingengine", "lightmatchingengine", run_lightmatchingengine),
)


# ---- measuring


def installed(peer: Peer) -> str | None:
    """Return the version of a peer that is installed, or None."""
    try:
        return importlib.metadata.version(peer.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def measure(peer: Peer, stream: np.ndarray, timeout_s: float, wanted: Expected | None = None) -> dict:
    """Run a peer over a stream in a subprocess: {name, version, messages, seconds, trades, volume, note}.

    `seconds` (CPU time, all threads) is None unless the run is comparable, and `note` then says why: not installed, timed out
    (wall time, with the start of the interpreter), the error, or other trades than the reference. A comparable run has a note
    only where less than every fill was compared. `wanted` saves running the reference again: `expected(stream.tolist())`.
    """
    result = {"name": peer.name, "version": installed(peer), "messages": len(stream)}
    result |= {"seconds": None, "trades": None, "volume": None, "note": None}
    if result["version"] is None:
        return result | {"note": "not installed"}
    run, note = _run_apart(peer, stream, timeout_s)
    if run is None:
        return result | {"note": note}
    seconds, trades, volume, digest = run
    result |= {"trades": trades, "volume": volume}
    difference, note = _compare(trades, volume, digest, wanted or expected(stream.tolist()))
    return result | ({"note": difference} if difference else {"seconds": seconds, "note": peer.caveat or note})


def fastest(results: Iterable[dict]) -> dict | None:
    """Return the comparable result with the most messages a second, or None."""
    return max((r for r in results if r["seconds"]), key=lambda r: r["messages"] / r["seconds"], default=None)


def _compare(trades: int | None, volume: int | None, digest: int | None, wanted: Expected) -> tuple[str | None, str | None]:
    """Return (how the run differs from the reference, what was not compared), each or None."""
    if trades is None:
        if digest is None:
            return "reports neither trades nor a final book: nothing to compare", None
        if digest != wanted.book_hash:
            return "another final book than the reference (it reports no trades)", None
        return None, "reports no trades: the final book is compared"
    if trades != wanted.trades or volume not in (None, wanted.volume):
        return f"other trades than the reference: {trades}, not {wanted.trades}; volume {volume}, not {wanted.volume}", None
    if digest not in (None, wanted.hash):
        return "other trades than the reference: as many, as much, but not the same", None
    return None, None if digest is not None else "only the number of trades and the volume are compared"


def _run_apart(peer: Peer, stream: np.ndarray, timeout_s: float) -> tuple[list | None, str | None]:
    """Return (what peer.run returned in a subprocess, None), or (None, why there is nothing)."""
    with tempfile.TemporaryDirectory() as folder:
        rows, answer, errors = (Path(folder, name) for name in ("rows.npy", "answer.json", "errors.txt"))
        np.save(rows, stream)
        command = [sys.executable, "-P", __file__, peer.run.__module__, peer.run.__qualname__, str(rows), str(answer)]
        path = os.pathsep.join(os.path.abspath(entry) for entry in [*sys.path, ROOT])
        with (
            errors.open("wb") as stderr,
            subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=folder,  # what a peer writes goes with the folder
                start_new_session=True,  # and what it starts, with its group
            ) as process,
        ):
            try:
                status = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return None, f"timed out after {timeout_s:g} s"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if status == 0 and answer.is_file():
            return json.loads(answer.read_text()), None
        lines = errors.read_text(errors="replace").strip().splitlines()
        return None, (lines[-1].strip() if lines else f"ended with status {status} and no word")[:ERROR_CHARS_MAX]


def _child(module: str, function: str, rows: str, answer: str) -> None:
    """Run `function` of `module` over the rows of a file, and write what it returns to another."""
    run = getattr(importlib.import_module(module), function)
    Path(answer).write_text(json.dumps(run([tuple(row) for row in np.load(rows).tolist()])))


if __name__ == "__main__":
    _child(*sys.argv[1:])
    os._exit(0)  # threads that a peer left behind do not hold the answer up
