"""The end of a market: in time, at the price that its row names, whole, and for good; L29.

Written apart from specs/model/settlement.py, from what its first lines and the row promise.
"""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.model.exchange import SETTLE
from specs.scene import Case, Outcome, Scene
from specs.tape import Action, Chart, EventKind, Flow, MarketState, OutcomeKind, Permit, Reason, Side


def markets_end_whole(case: Case) -> Breaches:
    """L29. Follow each market to its end: closed in time, settled where a price is admitted, nothing in it afterwards."""
    due = {number: time for kind, number, time in case.before["timers"] if kind == SETTLE}
    open_: dict[int, _Settling] = {}  # markets whose positions are being closed
    for scene, o in case.walk():
        if open_ and o.kind != OutcomeKind.SETTLED:
            for settling in open_.values():
                yield from settling.end(scene)
            open_ = {}
        if o.kind == OutcomeKind.SETTLES:
            yield from _announced(case, scene, o, due)
            due[o.market] = o.qty
        elif o.kind == OutcomeKind.STATE_SET and (o.qty == MarketState.CLOSED or o.reason == Reason.MARKET_CLOSED):
            yield from _closed(scene, o, due)
        elif o.kind == OutcomeKind.STATE_SET and scene.states[o.market] == MarketState.CLOSED:
            yield f"market {o.market} was closed for good and is {MarketState(o.qty).name} now"
        elif o.kind == OutcomeKind.SETTLEMENT:
            yield from _priced(case, scene, o, due)
            due.pop(o.market, None)
            open_[o.market] = _Settling(scene, o)
        elif o.kind == OutcomeKind.SETTLED:
            yield from open_[o.market].take(scene, o) if o.market in open_ else [f"account {o.account} is settled out of turn"]
        elif o.kind in (OutcomeKind.ACCEPTED, OutcomeKind.WAITING, OutcomeKind.FILL, OutcomeKind.BUSTED):
            if scene.states[o.market] == MarketState.CLOSED:
                yield f"{OutcomeKind(o.kind).name} in market {o.market}, which is closed"
    for settling in open_.values():
        yield from settling.end(case.end)
    yield from _at_rest(case, due)


def _announced(case: Case, scene: Scene, o: Outcome, due: dict[int, int]) -> Breaches:
    """A DELIST event names a time; or a market that is closed has no price yet, and is tried again."""
    row = case.book.venue.markets[o.market].settlement
    if row is None:
        yield f"market {o.market} is to be settled at {o.qty}, it has no row that says how"
    elif o.reason == Reason.PRICE_AWAITED:
        if scene.states[o.market] != MarketState.CLOSED or o.qty != o.time_ns + row.retry_ns:
            yield f"market {o.market} waits for a price until {o.qty}, closed or not"
        if _admitted(case, scene, o.market):
            yield f"market {o.market} waits for a price, its index has one"
    elif case.event.kind != EventKind.DELIST or scene.states[o.market] == MarketState.CLOSED:
        yield f"market {o.market} is to be settled at {o.qty}, nobody asked for it"


def _closed(scene: Scene, o: Outcome, due: dict[int, int]) -> Breaches:
    """In time, once, and without an order left."""
    if (o.qty, o.reason) != (MarketState.CLOSED, Reason.MARKET_CLOSED) or scene.states[o.market] == MarketState.CLOSED:
        yield f"market {o.market} is set to state {o.qty} at its end, and was {MarketState(scene.states[o.market]).name}"
    if due.get(o.market) != o.time_ns:
        yield f"market {o.market} is closed at {o.time_ns}, its end is {due.get(o.market)}"
    left = [i for i, x in (*scene.orders.items(), *scene.waiting.items()) if x.market == o.market]
    if left:
        yield f"market {o.market} is closed with its orders {left}"


def _index(case: Case, scene: Scene, market: int):
    return scene.indices[case.book.index[market]]


def _admitted(case: Case, scene: Scene, market: int) -> bool:
    """Return whether grades admit the index price, and the market has every price that it can be settled at."""
    low, high = _range(case, scene, market)
    fits = case.book.price_min[market] <= low and high <= case.book.price_max[market]
    return scene.permit(_index(case, scene, market), Action.SETTLE) < Permit.DEFER and fits


def _range(case: Case, scene: Scene, market: int) -> tuple[int, int]:
    """Return the least and the most that the price can be: a mean of samples that are not all told is between those that are."""
    index, sampled = _index(case, scene, market), scene.settlements[market]
    if case.book.venue.markets[market].settlement.price == "index" or not (sampled or scene.sampled):
        return index.last_valid, index.last_valid
    if not scene.sampled:
        mean = sum(sampled) // len(sampled)
        return mean, mean
    told = [x.price for x in case.outcomes if x.kind == OutcomeKind.INDEX and x.ref_id == case.book.index[market]]
    before = [row[5] for row in case.before["indices"] if row[0] == case.book.index[market]]
    return min((*sampled, *told, *before)), max((*sampled, *told, *before))


def _priced(case: Case, scene: Scene, o: Outcome, due: dict[int, int]) -> Breaches:
    """The price is the index's, or the mean of its samples."""
    index = _index(case, scene, o.market)
    if scene.states[o.market] != MarketState.CLOSED or due.get(o.market) != o.time_ns:
        yield f"market {o.market} is settled at {o.time_ns}, closed or not; due is {due.get(o.market)}"
    fits = case.book.price_min[o.market] <= o.price <= case.book.price_max[o.market]
    if scene.permit(index, Action.SETTLE) >= Permit.DEFER or o.grade != index.grade or not fits:
        yield f"market {o.market} is settled at {o.price}, grade {o.grade}, where the row of its grade {index.grade} refuses it"
    if o.qty != scene.open_interest(o.market):
        yield f"market {o.market} is settled with {o.qty} lots open, they are {scene.open_interest(o.market)}"
    low, high = _range(case, scene, o.market)
    if not low <= o.price <= high:
        yield f"market {o.market} is settled at {o.price}, its row makes it {low} to {high}"


class _Settling:
    """The positions of a market as its settlement is told: each is closed whole, and together they cost nothing."""

    def __init__(self, scene: Scene, o: Outcome) -> None:
        self.market, self.price = o.market, o.price
        self.held = sorted(account for (account, at), lots in scene.qty.items() if at == o.market and lots)
        self.cash = 0

    def take(self, scene: Scene, o: Outcome) -> Breaches:
        lots = scene.qty[o.account, self.market]
        told = o.qty if o.side == Side.BUY else -o.qty
        if not self.held or o.account != self.held.pop(0) or (o.other, o.flow) != (Chart.ROUNDING_RESIDUE, Flow.SETTLEMENT):
            yield f"account {o.account} is settled with account {o.other} out of turn"
        if (told, o.price) != (lots, self.price) or o.money != lots * scene.book.value_at(self.market, self.price):
            yield f"account {o.account} is settled of {told} lots at {o.price} for {o.money}, it holds {lots}, due: {self.price}"
        self.cash += o.money

    def end(self, scene: Scene) -> Breaches:
        if self.held or self.cash:
            yield f"market {self.market} is settled without accounts {self.held}, and gives away {self.cash}"


def _at_rest(case: Case, due: dict[int, int]) -> Breaches:
    """No end is passed silently; a closed market has no orders, and positions only while it waits for a price."""
    timers = {number: time for kind, number, time in case.after["timers"] if kind == SETTLE}
    now, states = case.after["clock"][0][0], dict(case.after["states"])
    for market, state in states.items():
        if market in timers and timers[market] <= now:
            yield f"market {market} was to end at {timers[market]}, it is {now}"
        if market in timers and state != MarketState.CLOSED and timers[market] != due.get(market):
            yield f"market {market} ends at {timers[market]}, told was {due.get(market)}"
        if market in due and market not in timers:
            yield f"market {market} was to end at {due[market]}, it is forgotten"
        if state != MarketState.CLOSED:
            continue
        orders = [row[4] for row in case.after["orders"] if row[0] == market]
        orders += [row[1] for row in case.after["waiting"] if row[3] == market]
        if orders:
            yield f"market {market} is closed and has the orders {orders}"
        if market not in timers and any(row[1] == market for row in case.after["positions"]):
            yield f"market {market} is settled and has positions"
