"""Auctions: one price, by the book; all that was told trades at it, and nothing that could trade is taken away; L28."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from specs import units
from specs.lawbook import Breaches
from specs.lawbook.limits import open_interest_raised
from specs.scene import Case, Outcome, Scene
from specs.tape import MarketState, OutcomeKind, Reason, Side


def auctions_trade_at_one_price(case: Case) -> Breaches:
    """L28. Price the book anew when an auction is told, and follow its fills to the end."""
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


_TAKE_AWAY = (Reason.REDUCE_ONLY, Reason.UNFUNDED, Reason.OPEN_INTEREST_LIMIT)


class Uncrossing(NamedTuple):
    """What a price of an auction does: the lots that trade at it, and what it leaves; sells are negative."""

    price: int
    lots: int
    surplus: int


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
