"""Matching throughput on a recorded order stream: model, engine in one batch, engine per message, and a reference book.

    python -m bench.matching --stream FILE.npy [--refbook DIR] [--model-messages N] [--json]

FILE.npy is int64[N, 6]: op (0 limit, 1 cancel, 2 marketable), order id, account, side (0 buy, 1 sell), price in ticks, lots.
The whole exchange runs (gate, initial margin, ledger, outcomes), fees 0, accounts too rich to be refused. `hash` is over the
fills, in order: h = h * 1000003 + (maker * 31 + taker) * 1009 + price * 131 + lots, mod 2^64. The reference book is
refbook.py of --refbook; without it its run and its ratios are null. The model runs a prefix, and so does the reference book
beside it. CPU time of one process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np

from engine.exchange import Exchange as Engine
from specs import rules, units
from specs.model.exchange import Exchange as Model
from specs.tape import EVENT, USERS_FROM, EventKind, OutcomeKind, Side, Tif, money_split

START_NS = units.NS
HASH_START = 1469598103934665603
REFBOOK = Path(__file__).resolve().parents[2] / "shared" / "tools" / "stream"


def venue(accounts: int) -> rules.Venue:
    """A market whose price unit is one tick, without fees, and a bracket as wide as the bounds allow."""
    return rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": "bench-matching",
            "numeraire": "USD",
            "assets": [{"name": "USD", "decimals": 4}],
            "sources": [{"name": "index", "price_decimals": 0}],
            "indices": [
                {
                    "name": "INDEX",
                    "price_decimals": 0,
                    "publish": {"kind": "update"},
                    "recipe": {"kind": "source", "name": "index"},
                }
            ],
            "markets": [
                {
                    "name": "PERP",
                    "settles_in": "USD",
                    "index": "INDEX",
                    "mark": {"kind": "index"},
                    "price_decimals": 0,
                    "lot": {"decimals": 4},
                    "brackets": [{"notional_max": 10**18, "leverage_max": 20, "maintenance_ppm": 10_000}],
                }
            ],
            "limits": {"accounts_max": USERS_FROM + accounts, "orders_per_account_max": 1_000_000, "orders_max": 1 << 20},
            "liquidation": {"stages": [{"kind": "takeover"}, {"kind": "write_off"}]},
        }
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


def messages(stream: np.ndarray) -> np.ndarray:
    """Return the stream as events, one a message."""
    op, order_id, account, side, price, qty = stream.T
    events = np.zeros(len(stream), EVENT)
    events["time_ns"], events["ref_id"], events["account"] = START_NS, order_id, account + USERS_FROM
    events["kind"] = np.where(op == 1, EventKind.CANCEL, EventKind.ORDER)
    adds = op != 1
    events["side"] = np.where(adds, np.where(side == 0, Side.BUY, Side.SELL), 0)
    events["tif"] = np.where(adds, np.where(op == 0, Tif.GTC, Tif.IOC), 0)
    events["price"], events["qty"] = np.where(adds, price, 0), np.where(adds, qty, 0)
    return events


def fills_hash(outcomes: np.ndarray) -> tuple[int, int]:
    """Return (number of fills, their hash)."""
    fills = outcomes[outcomes["kind"] == OutcomeKind.FILL]
    h = HASH_START
    columns = (fills[name].tolist() for name in ("other_id", "ref_id", "price", "qty"))
    for maker, taker, price, qty in zip(*columns):
        h = (h * 1000003 + (maker * 31 + taker) * 1009 + price * 131 + qty) & 0xFFFFFFFFFFFFFFFF
    return len(fills), h


def run_batch(make, before: np.ndarray, events: np.ndarray):
    exchange = make()
    exchange.run(before)
    start = time.process_time()
    exchange.run(events)
    return time.process_time() - start, *fills_hash(exchange.outcomes())


def run_messages(make, before: np.ndarray, events: np.ndarray):
    exchange = make()
    exchange.run(before)
    packed = [row.tobytes() for row in events]
    apply = exchange.apply
    start = time.process_time()
    for message in packed:
        apply(message)
    return time.process_time() - start, *fills_hash(exchange.outcomes())


def run_refbook(folder: Path, stream: np.ndarray):
    """Run refbook.py of a folder; None when it is not there."""
    path = folder / "refbook.py"
    if not path.is_file():
        return None
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
    return time.process_time() - start, book.n_trades, book.hash


def measure(stream: np.ndarray, refbook: Path, model_messages: int) -> dict:
    """Return {"runs": [{name, messages, seconds, trades, hash}], "ratios": {name: messages/s against refbook, or null}}."""
    accounts = int(stream[:, 2].max()) + 1
    before, events = opening(accounts, int(np.median(stream[:, 4]))), messages(stream)
    rules_ = venue(accounts)
    prefix = min(model_messages, len(stream))
    plan = [
        ("refbook", len(stream), lambda: run_refbook(refbook, stream)),
        ("refbook-prefix", prefix, lambda: run_refbook(refbook, stream[:prefix])),
        ("model-prefix", prefix, lambda: run_batch(lambda: Model(rules_, START_NS), before, events[:prefix])),
        ("engine-batch", len(stream), lambda: run_batch(lambda: Engine(rules_, START_NS), before, events)),
        ("engine-message", len(stream), lambda: run_messages(lambda: Engine(rules_, START_NS), before, events)),
    ]
    runs, rate = [], {}
    for name, count, run in plan:
        print(f"{name} ...", file=sys.stderr, flush=True)
        result = run()
        seconds, trades, digest = result if result is not None else (None, None, None)
        runs.append({"name": name, "messages": count, "seconds": seconds, "trades": trades, "hash": digest})
        rate[name] = count / seconds if seconds else None
    ratio = lambda a, b: round(rate[a] / rate[b], 3) if rate[a] and rate[b] else None  # noqa: E731
    ratios = {
        "batch_vs_refbook": ratio("engine-batch", "refbook"),
        "message_vs_refbook": ratio("engine-message", "refbook"),
        "model_vs_refbook": ratio("model-prefix", "refbook-prefix"),
        "batch_vs_message": ratio("engine-batch", "engine-message"),
        "batch_vs_model": ratio("engine-batch", "model-prefix"),
    }
    return {"runs": runs, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stream", type=Path, required=True, help="the order stream, int64[N, 6] .npy")
    parser.add_argument("--refbook", type=Path, default=REFBOOK, help="folder of refbook.py")
    parser.add_argument("--model-messages", type=int, default=100_000, help="messages the model runs")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.stream.is_file():
        parser.error(f"{args.stream} is not there")
    stream = np.load(args.stream)
    if stream.ndim != 2 or stream.shape[1] != 6 or not len(stream):
        parser.error(f"{args.stream} has shape {stream.shape}, not (N, 6)")
    result = measure(stream, args.refbook, args.model_messages)
    if args.json:
        print(json.dumps(result))
        return
    for run in result["runs"]:
        speed = (
            f"{run['messages'] / run['seconds']:>12,.0f}/s  {run['trades']:>8,} trades  hash {run['hash']}"
            if run["seconds"]
            else "not run"
        )
        print(f"{run['name']:<16}{run['messages']:>10,} messages  {speed}")
    for name, value in result["ratios"].items():
        print(f"{name:<20}{value if value is not None else '-'}")


if __name__ == "__main__":
    main()
