"""Price bands, limits up and down, and the pauses that these ask for; L27."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.lawbook.orders import is_sent
from specs.model.bands import beyond
from specs.model.exchange import RESUME
from specs.scene import Case, Order, Outcome, Scene, Sent
from specs.tape import EventKind, MarketState, OutcomeKind, Reason, Side, Tif


def bands_and_limits_hold(case: Case) -> Breaches:
    """L27. Judge orders, fills, refusals and pauses by the bounds in force."""
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
