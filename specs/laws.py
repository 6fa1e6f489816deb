"""The laws of the exchange: what must hold after every event, whatever the tape, the rule book and the faults.

    L1   per market the signed lots of all ledger accounts sum to 0
    L2   per asset the closed chart sums to 0, and balances change by the flows that were told
    L3   the book at rest is not crossed, nor locked, outside auctions
    L4   orders trade by price, then by time; a queue changes only at its ends, by fills and by cancels
    L5   a fill is at the maker's price, within the taker's limit, and within both quantities
    L6   what raises a requirement is accepted only with initial margin: orders, leverage; so too what takes margin away:
         withdrawals, transfers, switches, auto-add
    L7   an episode opens only when its trigger is true, and each slice of it is taken only while it is
    L8   in the account being closed forced closing never increases or flips a position
    L9   the fund never pays more than it has; what it could not pay it says
    L10  stages in the rule book's order, on their conditions, caps respected; the next gets exactly the rest
    L11  deleveraging: own opposite lots first, at the mark; then eligible only, each within its capacity, the parts sum to the
         share exactly, and the queue is a prefix of a total order with at most one closed in part; whoever was opened first
    L12  longs = shorts = open interest; lots and entry values change by fills, takeovers, ADL and moves only
    L13  the state after a REJECT at t is the state after a CLOCK at t
    L14  same input, same digest; chunked = whole; snapshot + rest = whole
    L15  no limit is passed silently, and no event is left without its answer
    L16  reservations are what the resting orders imply; without orders they are 0
    L17  funding at every multiple of its interval, at a rate within its clamps; what a position pays is R(q F_now) - R(q F_then);
         payments and residue sum to 0; a skipped interval moves nothing
    L18  a fault in X leaves untouched what shares nothing with X; a fault of no magnitude changes nothing
    L19  completeness: whoever's trigger is true is in liquidation or suspended, by an outcome that says so
    L20  gains = losses between two runs
    L21  nothing happens at a grade or in a market state whose table refuses it
    L22  no reduce-only order above the position, no order without its reservation
    L23  who owes nothing is charged nothing, unless a row names the charge; a fill that is busted goes back whole, once
    L24  an order does what its kind says: FOK trades all at once, post-only makes, IOC and MARKET do not rest, GTD leaves at its
         time, close-only takes the whole position, and nothing shows more than its display
    L25  nobody trades with himself where the market's row or the taker forbids it; who is spared a trade by it would have had one
    L26  waiting orders fire when, and only when, their trigger is true and a row allows it; in order of entry, before anybody is
         selected for liquidation, and PROTECT cancels instead where the price is too far from the mark
    L27  no order stands or trades beyond its band, and none inside it is refused for it; no fill beyond the limits up and down; a
         market pauses when one was asked for, and resumes in time
    L28  an auction trades at one price: the one that trades most, of those that which leaves least, of those the nearest to the
         reference, then the higher; it trades all that was told, and cancels nothing that could have traded; afterwards the book
         is not crossed. Who trades first is L4, that nobody trades beyond his limit L5

The numbers are stable names. A law is a generator over a `Case`, one event with the state before and after it, and yields a
sentence for each breach. It sees only what both twins show, at the values in force at that moment (specs/scene.py). L13, L14, L18
and L20 compare whole runs: they take a factory or final states. L18 and the metamorphic laws are in specs/pairs.py.

A law's scope is `always`, or `unless` named seams are armed: who forces a trigger cannot ask that it be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from specs import rules, units
from specs.errors import LawBroken
from specs.lawbook import Breaches, adl, book, charges, fund, funding, ledger, limits, liquidation, margin, orders, permits, stops
from specs.lawbook.limits import open_interest_raised
from specs.lawbook.orders import is_sent
from specs.model.bands import beyond
from specs.model.exchange import RESUME
from specs.scene import Book, Case, Order, Outcome, Scene, Sent, Tables, event_of, outcomes_of
from specs.tape import EVENT, EventKind, MarketState, OutcomeKind, Reason, Seam, Side, Tif


def bands_and_limits_hold(case: Case) -> Breaches:
    clipped = set()
    for scene, o in case.walk():
        sent = case.sent(scene, o)
        if is_sent(o) and not (sent and sent.tif == Tif.MARKET):
            bound = scene.band(o.market, o.side)
            if bound is not None and beyond(o.side, o.price, bound):
                yield f"order {o.ref_id} stands at {o.price}, its band ends at {bound}"
            if (sent or case.asks(o)) and _is_clipped(case, scene, o, sent):
                clipped.add(o.ref_id)
        elif o.kind == OutcomeKind.FILL and scene.states[o.market] != MarketState.AUCTION:
            yield from _inside(case, scene, o)
        elif o.reason == Reason.PRICE_BAND and (o.kind == OutcomeKind.REJECT or o.ref_id not in scene.orders):
            yield from _refused_beyond(case, scene, o)
        elif o.kind == OutcomeKind.CANCELLED and o.reason in (Reason.LIMIT_UP_DOWN, Reason.IOC_REMAINDER, Reason.PRICE_BAND):
            yield from _stopped_there(scene, o)
        elif o.kind == OutcomeKind.STATE_SET and o.reason == Reason.LIMIT_UP_DOWN:
            if o.qty != MarketState.PAUSED or scene.states[o.market] != MarketState.OPEN or not _asked_beyond(scene, o.market):
                yield f"market {o.market} pauses, and no trade beyond its limits was asked for"
    for row in case.after["orders"]:
        if row[4] in clipped:
            yield f"order {row[4]} rests, its band was to clip it"
    yield from _pauses(case)


def _is_clipped(case: Case, scene: Scene, o: Outcome, sent: Sent | None) -> bool:
    """Return whether a band that clips gave an order, sent or amended, its price. Where it is not known now: not said."""
    e, row = case.event, case.book.venue.markets[o.market].band
    if row is None or row.policy != "clip" or not scene.band_is_known(o.market):
        return False
    price = sent.price if sent else e.price or (scene.orders[o.ref_id].price if o.ref_id in scene.orders else 0)
    bound = scene.band(o.market, o.side)
    return bound is not None and beyond(o.side, price, bound)


def _inside(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A fill is inside the taker's band, where it has one, and inside the limits."""
    row, bound, inside = case.book.venue.markets[o.market].band, scene.band(o.market, o.side), scene.limits(o.market)
    if bound is not None and (not o.stage or row.liquidation) and beyond(o.side, o.price, bound):
        yield f"order {o.ref_id} trades at {o.price}, its band ends at {bound}"
    if inside is not None and o.price not in inside:
        yield f"order {o.ref_id} trades at {o.price}, the limits of market {o.market} are {inside}"


def _refused_beyond(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Who is refused for the band asked for a price beyond it."""
    before = scene.orders.get(o.ref_id) if case.event.kind == EventKind.AMEND else None
    market, side = (before.market, before.side) if before else (o.market, o.side)
    price, bound = o.price or (before.price if before else 0), scene.band(market, side)
    if bound is None or (scene.band_is_known(market) and not beyond(side, price, bound)):
        yield f"order {o.ref_id} at {price} is refused for a band that ends at {bound}"


def _first(scene: Scene, market: int, side: int) -> Order | None:
    """Return the order that a taker of a side meets first."""
    return scene.orders.get(scene.first(market, Side.SELL if side == Side.BUY else Side.BUY))


def _asked_beyond(scene: Scene, market: int) -> bool:
    """Return whether the first order of a side stands beyond a limit."""
    for side in (Side.BUY, Side.SELL):
        maker, inside = _first(scene, market, side), scene.limits(market)
        if maker is not None and inside is not None and maker.price not in inside:
            return True
    return False


def _stopped_there(scene: Scene, o: Outcome) -> Breaches:
    """What is cancelled for the limit has come to it, and the market has paused; what is cancelled otherwise met nobody."""
    maker, inside = _first(scene, o.market, o.side), scene.limits(o.market)
    if o.reason == Reason.LIMIT_UP_DOWN:
        if maker is None or inside is None or maker.price in inside:
            yield f"order {o.ref_id} is stopped at the limit of market {o.market}, which it had not come to"
        if scene.states[o.market] == MarketState.OPEN:
            yield f"order {o.ref_id} is stopped at the limit of market {o.market}, which does not pause"
    elif maker is not None and o.price and not beyond(o.side, maker.price, o.price):
        yield f"order {o.ref_id} stops short of an order at {maker.price}"


def _pauses(case: Case) -> Breaches:
    """Each pause, and the auction after it, ends at its time, unless a STATE event ends it before."""
    due = {number: time for kind, number, time in case.before["timers"] if kind == RESUME}
    for scene, o in case.walk():
        if o.kind != OutcomeKind.STATE_SET:
            continue
        row, time = case.book.venue.markets[o.market].limit_up_down, due.pop(o.market, None)
        if o.reason == Reason.LIMIT_UP_DOWN:
            due[o.market] = o.time_ns + row.pause_ns
        elif o.reason == Reason.PAUSE_ENDED:
            auction = scene.states[o.market] == MarketState.PAUSED and row.resume == "auction"
            if time != o.time_ns or o.qty != (MarketState.AUCTION if auction else MarketState.OPEN):
                yield f"the pause of market {o.market} ends at {o.time_ns} in state {o.qty}, it was to end at {time}"
            if auction:
                due[o.market] = o.time_ns + row.auction_ns
    timers = {number: time for kind, number, time in case.after["timers"] if kind == RESUME}
    if timers != due or any(time <= case.after["clock"][0][0] for time in due.values()):
        yield f"pauses end at {timers} (by market), due is {due}"


class Uncrossing(NamedTuple):
    """What a price of an auction does: the lots that trade at it, and what it leaves; sells are negative."""

    price: int
    lots: int
    surplus: int


_TAKE_AWAY = (Reason.REDUCE_ONLY, Reason.UNFUNDED, Reason.OPEN_INTEREST_LIMIT)


def auctions_trade_at_one_price(case: Case) -> Breaches:
    traded: Counter[int] = Counter()  # lots at the price of a market's auction in force
    less: set[int] = set()  # markets in whose auction something was taken away since it was priced
    for scene, o in case.walk():
        told = scene.auctions.get(o.market)
        if o.kind in (OutcomeKind.UNCROSSED, OutcomeKind.STATE_SET):
            yield from _traded_out(scene, told, traded.pop(o.market, 0), o.market in less) if told else ()
            less.discard(o.market)
        if o.kind == OutcomeKind.UNCROSSED:
            yield from _priced(scene, o)
        elif o.kind == OutcomeKind.STATE_SET:
            yield from _not_crossed(scene, o)
        elif o.kind == OutcomeKind.FILL and told:
            traded[o.market] += o.qty
            if o.price != told.price:
                yield f"fill at {o.price} in an auction at {told.price}"
        elif o.kind == OutcomeKind.FILL and scene.states[o.market] == MarketState.AUCTION:
            yield f"fill at {o.price} while market {o.market} only collects orders"
        elif o.kind == OutcomeKind.CANCELLED and told:
            less.add(o.market)
            yield from _taken_away(case, scene, o, told)


def _priced(scene: Scene, o: Outcome) -> Breaches:
    """The price, the lots and the surplus that are told are those of the book."""
    if scene.states[o.market] != MarketState.AUCTION:
        yield f"market {o.market} is uncrossed, and is {MarketState(scene.states[o.market]).name}"
    due = _uncrossing(scene, o.market)
    if due != (o.price, o.qty, o.money):
        yield f"market {o.market} is uncrossed at {o.price} for {o.qty} lots, leaving {o.money}; due is {due}"


def _uncrossing(scene: Scene, market: int) -> Uncrossing | None:
    """Return what an auction does now, None if the book is not crossed: the best by the law of all prices that can be.

    Between limits nothing changes, and nearer to the reference is better: limits, the ticks beside them and beside the reference.
    """
    orders = [order for order in scene.orders.values() if order.market == market]
    bids, asks = ([(x.price, x.qty) for x in orders if x.side == side] for side in (Side.BUY, Side.SELL))
    if not bids or not asks or max(bids)[0] < min(asks)[0]:
        return None
    tick, reference = scene.book.venue.markets[market].tick_size, scene.auction_reference(market)
    near = {limit + away for limit, _ in bids + asks for away in (-tick, 0, tick)}
    if reference is not None:
        near |= {reference // tick * tick, -(-reference // tick) * tick}

    def at(price: int) -> tuple[int, int]:
        return sum(lots for limit, lots in bids if limit >= price), sum(lots for limit, lots in asks if limit <= price)

    def worth(price: int) -> tuple[int, int, int, int]:
        bought, sold = at(price)
        return min(bought, sold), -abs(bought - sold), -abs(price - (price if reference is None else reference)), price

    price = max(near, key=worth)
    bought, sold = at(price)
    return Uncrossing(price, min(bought, sold), bought - sold)


def _traded_out(scene: Scene, told: Outcome, traded: int, less: bool) -> Breaches:
    """All lots have traded that were told; where some were taken away, all that still reach the price on both sides."""
    if traded != told.qty and not less:
        yield f"{traded} lots trade in an auction of market {told.market} for {told.qty}"
    bid, ask = (scene.first(told.market, side) for side in (Side.BUY, Side.SELL))
    if bid is not None and ask is not None and scene.orders[bid].price >= told.price >= scene.orders[ask].price:
        yield f"orders {bid} and {ask} of market {told.market} could trade in its auction at {told.price}"


def _not_crossed(scene: Scene, o: Outcome) -> Breaches:
    if scene.states[o.market] == MarketState.AUCTION and o.qty != MarketState.AUCTION:
        bid, ask = (scene.first(o.market, side) for side in (Side.BUY, Side.SELL))
        if bid is not None and ask is not None and scene.orders[bid].price >= scene.orders[ask].price:
            yield f"market {o.market} leaves its auction with order {bid} across order {ask}"


def _taken_away(case: Case, scene: Scene, o: Outcome, told: Outcome) -> Breaches:
    """An order leaves an auction only where a rule forbids its trade; that reduce-only is cut in time is L22."""
    first = {side: scene.first(o.market, side) for side in (Side.BUY, Side.SELL)}
    what = f"order {o.ref_id} is cancelled in an auction"
    if o.reason not in _TAKE_AWAY:
        yield f"{what}: {Reason(o.reason).name}"
    elif o.reason != Reason.REDUCE_ONLY and o.ref_id != first[o.side]:
        yield f"{what}, order {first[o.side]} was first"
    elif o.reason == Reason.UNFUNDED and o.market not in case.book.spot:
        yield f"{what} for want of an asset, in a market that delivers none"
    elif o.reason == Reason.UNFUNDED:
        lots = min(scene.orders[x].shown for x in first.values())
        ppm = case.book.venue.markets[o.market].fees.maker_ppm
        asset, amount = scene.gives(o.market, o.side, lots, told.price, ppm)
        gets, brings = scene.gives(o.market, Side.SELL if o.side == Side.BUY else Side.BUY, lots, told.price, 0)
        room = gets == case.book.numeraire or scene.balance[o.account, gets] + brings <= units.BALANCE_MAX
        if scene.wallet(o.account, asset) >= amount and room:
            yield f"{what}, account {o.account} has what it gives: {amount} of asset {asset}"
    elif o.reason == Reason.OPEN_INTEREST_LIMIT:
        pair = o._replace(account=scene.orders[first[Side.BUY]].account, other=scene.orders[first[Side.SELL]].account)
        most = case.book.venue.markets[o.market].limits.open_interest_max
        if most is None or scene.open_interest(o.market) + open_interest_raised(case, scene, pair, 1) <= most:
            yield f"{what}, a lot of it could trade within the limit of the open interest"
        if o.side != (Side.SELL if told.money < 0 else Side.BUY):
            yield f"{what} on the side that leaves nothing over"


def _tables(exchange) -> tuple[str, Tables]:
    return exchange.digest(), exchange.state()


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
            worth = lots * prices[number] * venue.multiplier(market)
            gains[account, venue.number("assets", market.settles_in)] += sign * worth
    for asset in range(len(venue.assets)):
        total = sum(money for (_, of), money in gains.items() if of == asset)
        if total:
            raise LawBroken("L20", b_state["clock"][0][1] - 1, f"between the two runs the chart gains {total} of asset {asset}")
    return {key: money for key, money in sorted(gains.items()) if money}


@dataclass(frozen=True)
class Law:
    """`check` yields a sentence for each breach; a law of whole runs has none but a function above. `unless`: what lifts it."""

    name: str
    text: str
    check: Callable[[Case], Breaches] | None
    unless: frozenset[Seam] = frozenset()

    @property
    def scope(self) -> str:
        return "unless " + ", ".join(sorted(seam.name for seam in self.unless)) if self.unless else "always"


_TRIGGER = frozenset({Seam.LIQUIDATION_TRIGGER})
LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("L1", "per market signed lots sum to 0", ledger.lots_sum_to_zero),
        Law("L2", "per asset the closed chart sums to 0", ledger.chart_sums_to_zero),
        Law("L3", "the book at rest is not crossed", book.book_is_not_crossed),
        Law("L4", "price, then time", book.price_then_time),
        Law("L5", "a fill is within both orders' limits and quantities", book.fills_within_limits),
        Law("L6", "exposure grows only with initial margin", margin.opened_with_margin),
        Law("L7", "liquidation only while its trigger is true", liquidation.liquidated_only_when_triggered, _TRIGGER),
        Law("L8", "forced closing never increases or flips", liquidation.forced_closing_reduces),
        Law("L9", "the fund pays what it has and says what it could not", fund.fund_pays_what_it_has),
        Law("L10", "stages in order, the next gets exactly the rest", liquidation.stages_in_order),
        Law("L11", "deleveraged: who may be, what he can bear, in order, to the unit", adl.deleveraged_in_order),
        Law("L12", "longs = shorts = open interest", ledger.longs_are_shorts),
        Law("L13", "a REJECT leaves the state of a CLOCK", None),
        Law("L14", "same input, same digest", None),
        Law("L15", "no limit is passed silently", limits.limits_are_not_silent),
        Law("L16", "reservations are what orders imply", orders.reserved_for_orders),
        Law("L17", "funding telescopes; payments and residue sum to 0", funding.funding_telescopes),
        Law("L18", "a fault in X leaves alone what shares nothing with X", None),
        Law("L19", "whoever's trigger is true is dealt with", liquidation.nobody_is_forgotten, _TRIGGER),
        Law("L20", "gains = losses between two runs", None),
        Law("L21", "nothing happens at a grade or in a state that refuses it", permits.grades_are_obeyed),
        Law("L22", "no reduce-only order above the position", orders.reduce_only_stays_below),
        Law("L23", "nobody is charged for nothing", charges.nobody_is_charged_for_nothing),
        Law("L24", "an order does what its kind says", orders.orders_keep_their_kind),
        Law("L25", "nobody trades with himself where it is forbidden", orders.nobody_trades_with_himself),
        Law("L26", "waiting orders fire when, and only when, they must; in order of entry", stops.waiting_orders_fire),
        Law("L27", "no order beyond its band, no fill beyond the limits; pauses end in time", bands_and_limits_hold),
        Law("L28", "an auction trades at one price that trades most and leaves least", auctions_trade_at_one_price),
    )
}
CHECKED = tuple(name for name, law in LAWS.items() if law.check)
"""The laws that are checked after every event."""

_latest: Book | None = None


def _book(venue: rules.Venue) -> Book:
    """Return the venue's Book; the latest one is kept."""
    global _latest
    if _latest is None or _latest.venue is not venue:
        _latest = Book(venue)
    return _latest


def breaches(
    venue: rules.Venue,
    before: Tables,
    event: bytes,
    outcomes: bytes,
    after: Tables,
    armed: Collection[int] = (),
    names: Iterable[str] = CHECKED,
) -> Iterator[LawBroken]:
    """Yield a LawBroken for each breach of the named laws by one event; `armed`: the seams of the run's fault schedule."""
    case = Case(_book(venue), before, event_of(event), outcomes_of(outcomes), after, armed)
    number = after["clock"][0][1] - 1
    for name in names:
        law = LAWS[name]
        if law.unless.isdisjoint(armed):
            for detail in law.check(case):
                yield LawBroken(name, number, detail)


def check(
    venue: rules.Venue, before: Tables, event: bytes, outcomes: bytes, after: Tables, armed: Collection[int] = (), names=CHECKED
) -> None:
    """Raise the first LawBroken, if any."""
    for broken in breaches(venue, before, event, outcomes, after, armed, names):
        raise broken
