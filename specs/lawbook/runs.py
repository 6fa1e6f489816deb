"""Whole runs: the same tape twice, in chunks, with its refusals taken out, and what two runs differ by; L13, L14, L20."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from specs import rules
from specs.errors import LawBroken
from specs.scene import Case, Tables, event_of, outcomes_of
from specs.tape import EVENT, EventKind


def reject_is_clock(factory: Callable, events: np.ndarray) -> None:
    """L13. Run the tape twice, the second time with a CLOCK in place of every refused event: the states are equal after each.

    `factory()` returns a fresh exchange. Raises LawBroken at the first event after which they differ.
    """
    said, silent = factory(), factory()
    for number, event in enumerate(events):
        outcomes = outcomes_of(said.apply(event))
        case = Case(None, {}, event_of(event.tobytes()), outcomes, {})
        if case.rejected:
            clock = np.zeros(1, EVENT)
            clock["time_ns"], clock["kind"], clock["batch_left"] = event["time_ns"], EventKind.CLOCK, event["batch_left"]
            silent.apply(clock[0])
        else:
            silent.apply(event)
        if said.state() != silent.state():
            raise LawBroken("L13", number, f"after REJECT({case.rejected.name}) the state is not the state after a CLOCK")


def same_input_same_digest(factory: Callable, restore: Callable, events: np.ndarray, cut: int) -> None:
    """L14. Whole = whole again = in two chunks cut anywhere = event by event = restored from a snapshot at the cut.

    `factory()` returns a fresh exchange, `restore(blob)` one from a snapshot. Raises LawBroken.
    """
    whole = factory()
    whole.run(events)
    want = _tables(whole)

    def judge(exchange, what: str) -> None:
        if _tables(exchange) != want:
            raise LawBroken("L14", len(events) - 1, f"{what} does not end as the whole run does")

    again, chunked, single = factory(), factory(), factory()
    again.run(events)
    judge(again, "the same run")
    chunked.run(events[:cut])
    blob = chunked.snapshot()
    chunked.run(events[cut:])
    judge(chunked, f"the run in chunks cut at {cut}")
    for event in events:
        single.apply(event)
    judge(single, "the run event by event")
    restored = restore(blob)
    restored.run(events[cut:])
    judge(restored, f"the run restored at {cut}")


def _tables(exchange) -> tuple[str, Tables]:
    return exchange.digest(), exchange.state()


def gains_equal_losses(
    venue: rules.Venue, a_state: Tables, b_state: Tables, prices: dict[int, int] | None = None
) -> dict[tuple[int, int], int]:
    """L20. Return by (account, asset) what is worth more in the second of two final states than in the first; negative: less.

    Users and the whole closed chart, in units of the asset; what did not change is absent. Positions count at common `prices`, by
    market number in its price units; absent: the last valid marks of the first state. Raises LawBroken unless asset by asset the
    differences sum to 0.
    """
    if prices is None:
        prices = {row[0]: row[5] for row in a_state["marks"]}
    gains: Counter = Counter()
    for sign, state in ((-1, a_state), (1, b_state)):
        for account, asset, money in state["balances"]:
            gains[account, asset] += sign * money
        for account, number, _, lots, _ in state["positions"]:
            market = venue.markets[number]
            worth = lots * venue.value(market, prices[number])
            gains[account, venue.number("assets", market.settles_in)] += sign * worth
    for asset in range(len(venue.assets)):
        total = sum(money for (_, of), money in gains.items() if of == asset)
        if total:
            raise LawBroken("L20", b_state["clock"][0][1] - 1, f"between the two runs the chart gains {total} of asset {asset}")
    return {key: money for key, money in sorted(gains.items()) if money}
