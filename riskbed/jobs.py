"""One run of a venue over events, on one twin or on both: what is asked of it and what is kept of it.

A run shares nothing with another: an engine run may be a thread (it releases the GIL), a model run is a process.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple, TypeVar

import numpy as np

from fuzz.twin import first_difference
from riskbed import laws
from riskbed import make_whole as making
from riskbed.labels import Forced, forced_lots
from riskbed.rounds import histogram, lows, rounds
from specs.errors import RiskbedError
from specs.rules import Venue
from specs.tape import USERS_FROM, EventKind, Flag, Flow, OutcomeKind, money_join

WORKERS = 2
# The flows that reports speak of, and their names there.
TOLD = {Flow.FUND_PAYMENT: "fund_draw", Flow.WRITE_OFF: "bad_debt", Flow.LIQUIDATION_FEE: "liquidation_fees"}
Work, Done = TypeVar("Work"), TypeVar("Done")


class Job(NamedTuple):
    """One run of a venue over events. truth: collateral asset -> number of the source that says its true price."""

    name: str
    venue: Venue
    start_ns: int
    events: np.ndarray
    seams: list[tuple[int, ...]]
    horizon_ns: int
    keep: bool
    truth: dict[int, int]


class Ran(NamedTuple):
    """What is kept of a run. outcomes, state: only where the job asks for them.

    rounds: rounds of a cascade -> how many had so many. lows: collateral asset -> its lowest price. Both up to the horizon.
    """

    name: str
    digest: str
    count: int
    forced: Forced
    flows: dict[Flow, int]
    outcomes: np.ndarray | None
    state: dict[str, list[tuple[int, ...]]] | None
    treasury_loss: int
    hidden_shortfall: int
    rounds: dict[int, int]
    lows: dict[int, int]


def exchange_of(twin: str):
    """Return the Exchange class of a twin: engine or model."""
    try:
        return importlib.import_module({"engine": "engine.exchange", "model": "specs.model.exchange"}[twin]).Exchange
    except ImportError as error:
        raise RiskbedError(
            f"the {twin} cannot be imported: {error} (run `make build`, or install a wheel for this Python)"
        ) from None


def events_of(job: Job) -> np.ndarray:
    return job.events if job.keep else job.events[job.events["time_ns"] <= job.horizon_ns]


def run_job(twin: str, job: Job) -> Ran:
    """Run a job on a twin. A job that keeps nothing stops at its horizon."""
    exchange = exchange_of(twin)(job.venue, job.start_ns, job.seams)
    events = events_of(job)
    exchange.run(events)
    outcomes = exchange.outcomes()
    until = outcomes[outcomes["time_ns"] <= job.horizon_ns]
    state = exchange.state() if job.keep or job.truth else None
    worth = [job.venue.worth(row) for row in job.venue.markets]
    return Ran(
        name=job.name,
        digest=exchange.digest(),
        count=len(outcomes),
        forced=forced_lots(outcomes, lambda market, price: worth[market](price), job.horizon_ns),
        flows=flow_sums(outcomes, job.horizon_ns),
        outcomes=outcomes if job.keep else None,
        state=state if job.keep else None,
        treasury_loss=treasury_loss(job, events, outcomes) if job.truth else 0,
        hidden_shortfall=hidden_shortfall(job, events, state) if job.truth else 0,
        rounds=histogram(rounds(until)),
        lows=lows(until),
    )


def flow_sums(outcomes: np.ndarray, horizon_ns: int) -> dict[Flow, int]:
    """Return the money of each kind of flow that a report speaks of, up to and with the horizon."""
    sums = {}
    until = (outcomes["kind"] == OutcomeKind.FLOW) & (outcomes["time_ns"] <= horizon_ns)
    for flow in TOLD:
        rows = outcomes[until & (outcomes["flow"] == flow)]
        sums[flow] = sum(money_join(lo, hi) for lo, hi in zip(rows["money_lo"].tolist(), rows["money_hi"].tolist(), strict=True))
    return sums


class _Truth:
    """What the true source of each collateral asset said: found once, asked for every conversion."""

    def __init__(self, job: Job, events: np.ndarray) -> None:
        spoken = (events["kind"] == EventKind.SOURCE) & (events["flags"] & Flag.MISSING == 0)
        rows = {asset: np.flatnonzero(spoken & (events["source"] == source)) for asset, source in job.truth.items()}
        self._said = {asset: (at, events["price"][at]) for asset, at in rows.items()}
        self._decimals = {asset: job.venue.sources[source].price_decimals for asset, source in job.truth.items()}

    def price(self, asset: int, before: int) -> tuple[int, int]:
        """Return (price, decimals) that the true source of an asset said last before the event of that number."""
        rows, prices = self._said[asset]
        at = int(np.searchsorted(rows, before, side="left")) - 1
        assert at >= 0, "a conversion before the true price was said"
        return int(prices[at]), self._decimals[asset]


def treasury_loss(job: Job, events: np.ndarray, outcomes: np.ndarray) -> int:
    """Return what the treasury paid for collateral above what it was truly worth when it was converted; negative: below."""
    truth, loss = _Truth(job, events), 0
    for c in making.conversions(outcomes, job.venue, job.horizon_ns):
        if not c.to_book and c.asset in job.truth:
            price, places = truth.price(c.asset, int(outcomes["event"][c.row]))
            loss += c.cash - making.quantity_value(job.venue, c.asset, c.quantity, price, places)
    return loss


def equities(
    venue: Venue, state: dict[str, list[tuple[int, ...]]], values: dict[int, int], prices: dict[int, tuple[int, int]]
) -> dict[int, int]:
    """Return each user account's equity, money of the numeraire: balances, positions at values per lot, assets at prices in full.

    values: market -> money per lot. prices: asset -> (price, decimals); an asset without a price counts nothing. Rounded down.
    """
    numeraire = venue.number("assets", venue.numeraire)
    worth = {row[0]: 0 for row in state["accounts"]}
    for account, asset, balance in state["balances"]:
        if account >= USERS_FROM:
            if asset == numeraire:
                worth[account] += balance
            elif asset in prices:
                worth[account] += making.quantity_value(venue, asset, balance, *prices[asset])
    for account, market, _, qty, _ in state["positions"]:
        if account >= USERS_FROM:
            worth[account] += qty * values[market]
    return worth


def last_values(venue: Venue, state: dict[str, list[tuple[int, ...]]]) -> dict[int, int]:
    """Return market -> money per lot at the last valid mark of a final state; 0 where there was none."""
    return {market: venue.value(venue.markets[market], last_valid) for market, _, _, _, _, last_valid, *_ in state["marks"]}


def hidden_shortfall(job: Job, events: np.ndarray, state: dict[str, list[tuple[int, ...]]]) -> int:
    """Return what the accounts that are under water at true prices at the end owe together: nobody has booked it yet."""
    truth = _Truth(job, events)
    prices = {asset: truth.price(asset, len(events)) for asset in job.truth}
    return sum(max(0, -equity) for equity in equities(job.venue, state, last_values(job.venue, state), prices).values())


# ---- lockstep


class Compared(NamedTuple):
    """difference: (event, field, model's value, engine's value). law_events: after how many events the laws were checked."""

    name: str
    events: int
    difference: tuple[int, str, object, object] | None
    law_events: int = 0
    checked: tuple[laws.Checked, ...] = ()


def compare_twins(job: Job, lawful: bool = False) -> Compared:
    """Run a job on both twins; return the first difference of their outcomes, else of their states, if there is one.

    lawful: check the laws on the way, after as many events as riskbed/laws.py allows.
    """
    events = events_of(job)
    model, engine, scout = (exchange_of(twin)(job.venue, job.start_ns, job.seams) for twin in ("model", "engine", "engine"))
    at: list[int] = []
    if lawful:
        scout.run(events)
        at = laws.chosen(scout.outcomes(), job.venue, len(events), laws.events_max(scout.state()))
    stepped = laws.step(model, engine, events, at, job.venue, frozenset(row[0] for row in job.seams))
    difference = stepped.difference or first_difference(model, engine, len(events))
    return Compared(job.name, len(events), difference, len(at), tuple(stepped.checked))


# ---- workers


def _quiet() -> None:
    """A worker leaves Ctrl-C to its parent, which stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"), initializer=_quiet)


def spread(function: Callable[[Work], Done], works: Sequence[Work], told: Callable[[int], None]) -> list[Done]:
    """Return what a function of a module gives for each work, in their order, made in processes; told: how many are done.

    One work needs no process. On an exception or an interrupt what has not begun is left out and the workers are ended.
    """
    if len(works) == 1:
        return [function(works[0])]
    pool = processes()
    try:
        futures = [pool.submit(function, work) for work in works]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            told(done)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    return [future.result() for future in futures]
