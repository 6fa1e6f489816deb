"""The book: at rest it is not crossed, it trades by price, then by time, and within both orders' limits; L3, L4, L5."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.lawbook.collateral import sold_in
from specs.lawbook.orders import at_market
from specs.scene import Case, Outcome, Scene
from specs.tape import MarketState, OutcomeKind, Side, Stage


def book_is_not_crossed(case: Case) -> Breaches:
    """L3. Compare the best bid and the best ask of what rests after the event."""
    best: dict[tuple[int, int], int] = {}
    for market, side, price, *_ in case.after["orders"]:
        better = max if side == Side.BUY else min
        best[market, side] = better(price, best.get((market, side), price))
    for market, state in case.after["states"]:
        if state == MarketState.AUCTION:
            continue
        bid, ask = best.get((market, Side.BUY)), best.get((market, Side.SELL))
        if bid is not None and ask is not None and bid >= ask:
            yield f"market {market} rests at bid {bid} and ask {ask}"


def price_then_time(case: Case) -> Breaches:
    """L4. Ask at each fill who was first; afterwards compare the queues with the order of arrival."""
    for scene, o in case.walk():
        if o.kind == OutcomeKind.FILL:
            first = scene.first(o.market, Side.SELL if o.side == Side.BUY else Side.BUY)
            if o.other_id != first:
                yield f"order {o.other_id} of market {o.market} traded, order {first} was first"
            if o.market in scene.auctions and o.ref_id != (first := scene.first(o.market, o.side)):
                yield f"order {o.ref_id} of market {o.market} traded in an auction, order {first} was first"
    told = {(*at, place): order_id for at, queue in case.end.queues.items() for place, order_id in enumerate(queue)}
    queued = {tuple(row[:4]): row[4] for row in case.after["orders"]}
    for at in sorted({**told, **queued}):
        if told.get(at) != queued.get(at):
            yield f"(market, side, price, place) {at} is held by order {queued.get(at)}, in order of arrival by {told.get(at)}"


def fills_within_limits(case: Case) -> Breaches:
    """L5. Judge each fill by its maker, and by the taker's limit as it stood when he began."""
    limits: dict[int, int] = {}  # of liquidation slices and MARKET orders, as they stood when they began
    for scene, o in case.walk():
        if o.kind == OutcomeKind.ACCEPTED:
            limits.pop(o.ref_id, None)
            if at_market(case, scene, o):
                limits[o.ref_id] = scene.market_limit(o.market, o.side)
        if o.kind != OutcomeKind.FILL:
            continue
        maker, taker = scene.orders.get(o.other_id), scene.orders.get(o.ref_id)
        if maker is None or (maker.account, maker.market) != (o.other, o.market) or maker.side == o.side:
            yield f"fill against order {o.other_id}, which does not rest there"
            continue
        if o.price != maker.price and o.market not in scene.auctions:
            yield f"fill at {o.price}, the maker {o.other_id} asks for {maker.price}"
        if not 0 < o.qty <= maker.shown:
            yield f"fill of {o.qty} lots, the maker {o.other_id} shows {maker.shown}"
        if o.market in case.book.spot and case.book.clears:
            yield from _delivers(case, scene, o)
        if o.stage == Stage.BOOK:
            limit = limits.setdefault(o.ref_id, scene.slice_limit(o.account, o.market, o.side))
        elif o.stage == Stage.CONVERT:
            limit = limits.get(o.ref_id) or limits.setdefault(o.ref_id, scene.sale(o.account, sold_in(scene, o.market))[1])
        elif taker is None:
            yield f"fill of order {o.ref_id}, which was never accepted"
            continue
        else:
            if o.qty > taker.qty:
                yield f"fill of {o.qty} lots, the taker {o.ref_id} wants {taker.qty}"
            limit = limits.get(o.ref_id, taker.price)
            if o.market in scene.auctions:
                yield from _both_rest(scene, o)
        if o.price > limit if o.side == Side.BUY else o.price < limit:
            yield f"fill at {o.price}, beyond the taker's limit {limit}"


def _both_rest(scene: Scene, o: Outcome) -> Breaches:
    """A fill of an auction is between two orders at rest, at no worse price than either asks for, and of what both show."""
    buy, sell = scene.orders[o.ref_id], scene.orders[o.other_id]
    if (buy.account, buy.market, buy.side, o.side) != (o.account, o.market, Side.BUY, Side.BUY):
        yield f"fill of order {o.ref_id} in an auction, where account {o.account} does not buy with it"
    if o.price < sell.price:
        yield f"fill at {o.price} in an auction, order {o.other_id} asks for {sell.price}"
    if o.qty > buy.shown:
        yield f"fill of {o.qty} lots in an auction, order {o.ref_id} shows {buy.shown}"


def _delivers(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Both sides of a spot fill have what they give, fees included."""
    fees = case.book.venue.markets[o.market].fees
    taker_ppm = 0 if o.stage else fee_ppm(case, scene, o)
    other_side = Side.SELL if o.side == Side.BUY else Side.BUY
    for who, side, ppm in ((o.account, o.side, taker_ppm), (o.other, other_side, fees.maker_ppm)):
        asset, amount = scene.gives(o.market, side, o.qty, o.price, ppm)
        if scene.wallet(who, asset) < amount:
            yield f"account {who} gives {amount} of asset {asset} in a spot market and has {scene.wallet(who, asset)}"


def fee_ppm(case: Case, scene: Scene, o: Outcome) -> int:
    """Return the rate of the fee in a fill of two orders: the taker's; in an auction nobody takes, and the buyer makes too."""
    fees = case.book.venue.markets[o.market].fees
    return fees.maker_ppm if o.market in scene.auctions else fees.taker_ppm
