"""Matching throughput on an order stream: our twins, a reference book, packages from PyPI, and C++ yardsticks, all in one run.

    python -m bench.matching --stream FILE.npy [--tools DIR] [--model-messages N] [--peers-messages N] [--json]

FILE.npy is int64[N, 6]: op (0 limit, 1 cancel, 2 marketable), order id, account, side (0 buy, 1 sell), price in ticks, lots.
`hash` is over the fills, in order: h = h * 1000003 + (maker * 31 + taker) * 1009 + price * 131 + lots, mod 2^64; where a run has
one it must be the others', and so must the number of trades. Times are CPU time on one core, best of many.

    book           the engine as a matching engine alone (clearing: none): 64-byte events in, one outcome an accepted, cancelled
                   or rejected order and a fill, all kept; ids scrambled over 63 bits; room for the outcomes reserved before
    book-dropped   the same, outcomes written and not kept
    book-cold      the same, kept in memory that grows while it runs
    cascade        the whole exchange: initial margin with open orders, fees, ledger, outcomes; accounts too rich to be refused
    message        the same cascade, one Python call a message, outcomes returned
    model          the model's cascade on a prefix, and the reference book beside it

--tools names the folder with stream/refbook.py and limit/bench.cpp, which is compiled with g++ -O3 -march=native into a temporary
folder; its `C++ ladder hash` and `C++ ladder direct` lines are the yardsticks. What is absent is null, and `notes` say why.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench import peers
from engine.exchange import Exchange as Engine
from specs import rules, units
from specs.matching import matching_venue
from specs.model.exchange import Exchange as Model
from specs.tape import EVENT, OUTCOME, USERS_FROM, EventKind, OutcomeKind, Side, Tif, money_split

START_NS = units.NS
HASH_START = 1469598103934665603
TOOLS = Path(__file__).resolve().parents[2] / "shared" / "tools"
REPEATS = 5
TURNS = 3
MASK = (1 << 63) - 1
SCRAMBLE = 0x5851F42D4C957F2D  # odd: x -> x * SCRAMBLE mod 2^63 is one to one
UNSCRAMBLE = pow(SCRAMBLE, -1, 1 << 63)
LINE = re.compile(r"^(C\+\+ ladder [a-z]+)\s+([0-9.]+) Mmsg/s.*trades=(\d+).*hash=(\d+)")


def venue(accounts: int, clearing: str = "full") -> rules.Venue:
    """Return a market whose price unit is one tick, for so many accounts."""
    return matching_venue(
        "bench-matching",
        lot_decimals=4,
        fees={"maker_ppm": 200, "taker_ppm": 500},
        limits={"accounts_max": USERS_FROM + accounts, "orders_per_account_max": 1_000_000, "orders_max": 1 << 17},
        clearing=clearing,
    )


def opening(accounts: int, price: int) -> np.ndarray:
    """Return the events that open and fund the accounts and publish the index."""
    events = np.zeros(1 + 2 * accounts, EVENT)
    events["time_ns"] = START_NS
    events[0]["kind"], events[0]["price"] = EventKind.SOURCE, price
    lo, hi = money_split(10**18)
    for i, kind in ((0, EventKind.ACCOUNT), (1, EventKind.DEPOSIT)):
        rows = events[1 + i :: 2]
        rows["kind"], rows["account"] = kind, USERS_FROM + np.arange(accounts)
        if kind == EventKind.ACCOUNT:
            rows["ref_id"] = rows["account"]
        else:
            rows["amount_lo"], rows["amount_hi"] = lo, hi
    return events


def messages(stream: np.ndarray, scrambled: bool = False) -> np.ndarray:
    """Return the stream as events, one a message; its ids as they are, or spread over 63 bits."""
    op, order_id, account, side, price, qty = stream.T
    events = np.zeros(len(stream), EVENT)
    ids = order_id.astype(np.uint64)
    events["ref_id"] = ids * np.uint64(SCRAMBLE) & np.uint64(MASK) if scrambled else ids
    events["time_ns"], events["account"] = START_NS, account + USERS_FROM
    events["kind"] = np.where(op == 1, EventKind.CANCEL, EventKind.ORDER)
    adds = op != 1
    events["side"] = np.where(adds, np.where(side == 0, Side.BUY, Side.SELL), 0)
    events["tif"] = np.where(adds, np.where(op == 0, Tif.GTC, Tif.IOC), 0)
    events["price"], events["qty"] = np.where(adds, price, 0), np.where(adds, qty, 0)
    return events


def fills_hash(outcomes: np.ndarray, scrambled: bool = False) -> tuple[int, int]:
    """Return (number of fills, their hash)."""
    fills = outcomes[outcomes["kind"] == OutcomeKind.FILL]
    h = HASH_START
    columns = (fills[name].tolist() for name in ("other_id", "ref_id", "price", "qty"))
    for maker, taker, price, qty in zip(*columns):
        if scrambled:
            maker, taker = maker * UNSCRAMBLE & MASK, taker * UNSCRAMBLE & MASK
        h = (h * 1000003 + (maker * 31 + taker) * 1009 + price * 131 + qty) & 0xFFFFFFFFFFFFFFFF
    return len(fills), h


class Run:
    """What one way of running the stream showed. seconds: CPU time, the best of its repeats."""

    def __init__(self, name: str, messages: int, seconds: float | None = None, trades=None, hash_=None, note: str = "") -> None:
        self.name, self.messages, self.seconds, self.trades, self.hash, self.note = name, messages, seconds, trades, hash_, note

    @property
    def rate(self) -> float | None:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else None

    def row(self) -> dict:
        return {
            "name": self.name,
            "messages": self.messages,
            "seconds": self.seconds,
            "messages_per_second": self.rate,
            "trades": self.trades,
            "hash": self.hash,
            "note": self.note,
        }


def batch(name: str, make, before: np.ndarray, events: np.ndarray, repeats: int, room: int = 0, scrambled: bool = False) -> Run:
    """Run a tape in one call; `room`: outcomes to reserve before the clock starts."""
    best = None
    for _ in range(repeats):
        exchange = make()
        exchange.run(before)
        if room:
            exchange.reserve(room)
        start = time.process_time()
        exchange.run(events)
        seconds = time.process_time() - start
        best = seconds if best is None else min(best, seconds)
    return Run(name, len(events), best, *fills_hash(exchange.outcomes(), scrambled))


def dropped(make, events: np.ndarray, repeats: int) -> Run:
    """Run the book without keeping outcomes: no hash, the lots at rest in the end must be those of the kept run."""
    best = None
    for _ in range(repeats):
        exchange = make()
        start = time.process_time()
        exchange.run(events, keep=False)
        seconds = time.process_time() - start
        best = seconds if best is None else min(best, seconds)
    return Run("book-dropped", len(events), best, note="outcomes written, not kept")


def by_message(make, before: np.ndarray, events: np.ndarray) -> tuple[Run, dict[str, float]]:
    """Run message by message; return also the latencies of a call in microseconds, wall time, the clock's own cost included."""
    packed = [row.tobytes() for row in events]
    exchange = make()
    exchange.run(before)
    apply = exchange.apply
    start = time.process_time()
    for message in packed:
        apply(message)
    seconds = time.process_time() - start
    timed, clock = make(), time.perf_counter_ns
    timed.run(before)
    taken = np.empty(len(packed), np.int64)
    for i, message in enumerate(packed):
        begun = clock()
        timed.apply(message)
        taken[i] = clock() - begun
    names = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    latencies = {name: round(float(np.percentile(taken, at)) / 1e3, 3) for name, at in names.items()}
    return Run("message", len(events), seconds, *fills_hash(exchange.outcomes())), latencies


def reference(folder: Path, stream: np.ndarray, name: str) -> Run:
    """Run refbook.py of a folder."""
    path = folder / "stream" / "refbook.py"
    if not path.is_file():
        return Run(name, len(stream), note=f"no {path.name} in the tools folder")
    spec = importlib.util.spec_from_file_location("refbook", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    book = module.Book()
    rows = stream.tolist()
    start = time.process_time()
    for op, order_id, account, side, price, qty in rows:
        if op == 1:
            book.cancel(order_id)
        else:
            book.add(order_id, account, side, price, qty)
    return Run(name, len(stream), time.process_time() - start, book.n_trades, book.hash)


def yardsticks(folder: Path, stream: np.ndarray) -> list[Run]:
    """Compile and run limit/bench.cpp of a folder; return its two plain lines, the best of its own repeats."""
    names = ("C++ ladder hash", "C++ ladder direct")
    source = folder / "limit" / "bench.cpp"
    absent = lambda why: [Run(name, len(stream), note=why) for name in names]  # noqa: E731
    if not source.is_file():
        return absent(f"no {source.name} in the tools folder")
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return absent("no C++ compiler")
    with tempfile.TemporaryDirectory() as place:
        program, tape = Path(place) / "bench", Path(place) / "stream.bin"
        built = subprocess.run(
            [compiler, "-O3", "-march=native", "-std=c++20", str(source), "-o", str(program)], capture_output=True, text=True
        )
        if built.returncode:
            return absent("it does not compile: " + (built.stderr.strip().splitlines() or [""])[0])
        stream.astype("<i4").tofile(tape)
        said = subprocess.run([str(program), str(tape)], capture_output=True, text=True)
    found: dict[str, Run] = {}
    for line in said.stdout.splitlines():
        match = LINE.match(line)
        if match and match[1] in names:
            run = Run(match[1], len(stream), len(stream) / (float(match[2]) * 1e6), int(match[3]), int(match[4]))
            if match[1] not in found or run.seconds < found[match[1]].seconds:
                found[match[1]] = run
    return [found.get(name) or Run(name, len(stream), note="it printed no such line") for name in names]


def other_books(stream: np.ndarray, count: int, timeout_s: float) -> list[Run]:
    """Run every peer that is installed on a prefix; one whose trades are others is not comparable: its note says so."""
    runs = []
    for peer in peers.PEERS:
        found = peers.measure(peer, stream[:count], timeout_s)
        runs.append(Run(f"peer {found['name']}", found["messages"], found["seconds"], found["trades"], None, found["note"] or ""))
    return runs


def bytes_per_order() -> dict[str, float]:
    """Return the memory of a resting order: its place in the pool, its slots of the id map, half empty when full, its level."""
    from engine.probe import SIZES

    slots = SIZES["map_slot"] * SIZES["map_slots_per_order"]
    return {"order": SIZES["Order"], "id_map": slots, "level_of_a_full_page": round(SIZES["Page"] / SIZES["page_ticks"], 1)}


def measure(stream: np.ndarray, tools: Path, model_messages: int, peers_messages: int, timeout_s: float, repeats: int) -> dict:
    """Return {runs, ratios, latencies_us, bytes_per_order, equal}: equal says whether all trades and hashes are the same."""
    accounts = int(stream[:, 2].max()) + 1
    before, events = opening(accounts, int(np.median(stream[:, 4]))), messages(stream)
    scrambled = messages(stream, scrambled=True)
    full, alone = venue(accounts), venue(accounts, "none")
    nothing, room = np.zeros(0, EVENT), 3 * len(stream)
    prefix = min(model_messages, len(stream))
    runs: list[Run] = []

    def say(made: Run | list[Run]) -> None:
        for run in made if isinstance(made, list) else [made]:
            runs.append(run)
            print(f"{run.name} ...", file=sys.stderr, flush=True)

    make_book = lambda: Engine(alone, START_NS)  # noqa: E731
    turns = []
    for turn in range(TURNS):  # a machine's pace changes: ours and theirs take turns, and the best of each counts
        print(f"ours and the yardsticks, turn {turn + 1} of {TURNS} ...", file=sys.stderr, flush=True)
        turns.append(
            [
                batch("book", make_book, nothing, scrambled, repeats, room, scrambled=True),
                dropped(make_book, scrambled, repeats),
                batch("book-cold", make_book, nothing, scrambled, 1, scrambled=True),
                batch("cascade", lambda: Engine(full, START_NS), before, events, repeats, 2 * room),
                *yardsticks(tools, stream),
            ]
        )
    say([min(same, key=lambda run: run.seconds or 1e9) for same in zip(*turns)])
    message, latencies = by_message(lambda: Engine(full, START_NS), before, events)
    say(message)
    say(reference(tools, stream, "refbook"))
    say(batch("model-prefix", lambda: Model(full, START_NS), before, events[:prefix], 1))
    say(reference(tools, stream[:prefix], "refbook-prefix"))
    say(other_books(stream, min(peers_messages, len(stream)), timeout_s))
    by_name = {run.name: run for run in runs}
    best_peer = max((run.rate for run in runs if run.name.startswith("peer ") and run.rate), default=None)
    over = lambda a, b: round(a / b, 3) if a and b else None  # noqa: E731
    rate = lambda name: by_name[name].rate  # noqa: E731
    whole = {(run.trades, run.hash) for run in runs if run.messages == len(stream) and run.hash is not None}
    first = {(run.trades, run.hash) for run in runs if run.name.endswith("-prefix") and run.hash is not None}
    return {
        "messages": len(stream),
        "equal": len(whole) == 1 and len(first) <= 1,
        "runs": [run.row() for run in runs],
        "ratios": {
            "book_vs_limit_hash": over(rate("book"), rate("C++ ladder hash")),
            "book_dropped_vs_limit_hash": over(rate("book-dropped"), rate("C++ ladder hash")),
            "cascade_vs_limit_direct": over(rate("cascade"), rate("C++ ladder direct")),
            "batch_vs_refbook": over(rate("book"), rate("refbook")),
            "message_vs_refbook": over(rate("message"), rate("refbook")),
            "message_vs_best_peer": over(rate("message"), best_peer),
            "model_vs_refbook": over(rate("model-prefix"), rate("refbook-prefix")),
        },
        "latencies_us": latencies,
        "bytes_per_order": bytes_per_order(),
        "outcome_bytes": OUTCOME.itemsize,
    }


def show(result: dict) -> None:
    for run in result["runs"]:
        rate = run["messages_per_second"]
        speed = f"{rate:>14,.0f}/s" if rate else f"{'not run':>16}"
        what = "" if run["trades"] is None else f"  {run['trades']:>9,} trades"
        what += "" if run["hash"] is None else f"  hash {run['hash']}"
        print(f"{run['name']:<28}{run['messages']:>10,} messages{speed}{what}{'  ' + run['note'] if run['note'] else ''}")
    for name, value in result["ratios"].items():
        print(f"{name:<28}{value if value is not None else '-'}")
    print("latency of a call, us       " + "  ".join(f"{name} {value:g}" for name, value in result["latencies_us"].items()))
    print("bytes of a resting order    " + "  ".join(f"{name} {value:g}" for name, value in result["bytes_per_order"].items()))
    print("trades and hashes " + ("equal" if result["equal"] else "DIFFER"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stream", type=Path, required=True, help="the order stream, int64[N, 6] .npy")
    parser.add_argument("--tools", type=Path, default=TOOLS, help="folder of stream/refbook.py and limit/bench.cpp")
    parser.add_argument("--model-messages", type=int, default=100_000, help="messages the model runs")
    parser.add_argument("--peers-messages", type=int, default=200_000, help="messages the packages from PyPI run")
    parser.add_argument("--peer-timeout", type=float, default=120, help="seconds a package may take")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of each batch in each turn, of which the best counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.stream.is_file():
        parser.error(f"{args.stream} is not there")
    stream = np.load(args.stream)
    if stream.ndim != 2 or stream.shape[1] != 6 or not len(stream):
        parser.error(f"{args.stream} has shape {stream.shape}, not (N, 6)")
    if hasattr(os, "sched_setaffinity"):  # one core, ours and theirs the same
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    result = measure(stream, args.tools, args.model_messages, args.peers_messages, args.peer_timeout, args.repeats)
    print(json.dumps(result)) if args.json else show(result)
    return 0 if result["equal"] else 4


if __name__ == "__main__":
    sys.exit(main())
