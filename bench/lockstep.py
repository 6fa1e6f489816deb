"""How fast the twins run in lockstep: `python -m bench.lockstep [--json]`.

The tape is the one the promise is made on: 50 accounts, 2 markets, a tenth of price events. One core, processor time, the
best of a few runs; the states are compared at the end. `--right model` measures the harness with two models.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from fuzz.strategies import Case, busy
from fuzz.twin import Lockstep, twin_class
from specs.tape import EventKind


def seconds(run) -> float:
    """Return the processor time of one call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def lockstep(case: Case, right: str) -> float:
    twins = Lockstep(case.venue, case.start_ns, case.seams, right=right)
    return seconds(lambda: twins.run(case.events))


def alone(case: Case, which: str) -> float:
    exchange = twin_class(which)(case.venue, case.start_ns, case.seams)
    return seconds(lambda: exchange.run(case.events))


def measure(case: Case, right: str, runs: int) -> dict:
    """Return what --json prints."""
    events = len(case.events)
    kinds = {EventKind(kind).name: int(count) for kind, count in zip(*np.unique(case.events["kind"], return_counts=True))}
    rows = []
    for name, once in (
        ("lockstep", lambda: lockstep(case, right)),
        ("model", lambda: alone(case, "model")),
        (right, lambda: alone(case, right)),
    ):
        best = min(once() for _ in range(runs))
        rows.append({"name": name, "events": events, "seconds": round(best, 4), "events_per_s": round(events / max(best, 1e-9))})
    return {"runs": rows, "twins": ["model", right], "accounts": 50, "markets": len(case.venue.markets), "kinds": kinds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--right", choices=("engine", "model"), default="engine", help="the twin beside the model")
    options = parser.parse_args()
    result = measure(busy(options.events), options.right, options.runs)
    if options.json:
        print(json.dumps(result))
        return
    for row in result["runs"]:
        print(f"{row['name']:10} {row['events']:9,} events {row['seconds']:9.3f} s {row['events_per_s']:11,} events/s")


if __name__ == "__main__":
    main()
