"""Orders: what their kinds promise, what they reserve, and with whom they do not trade; L16, L22, L24, L25."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from specs import units
from specs.lawbook import Breaches
from specs.model.bands import beyond
from specs.scene import Case, Outcome, Scene, Sent
from specs.tape import OutcomeKind, Reason, SelfTrade, Side, Tif


def is_sent(o: Outcome) -> bool:
    """Return whether an outcome tells of an order that passed the gate: a new one, or one that gave up its place."""
    return o.kind == OutcomeKind.ACCEPTED or (o.kind == OutcomeKind.AMENDED and bool(o.other_id))


@contextmanager
def without(scene: Scene, order_id: int) -> Iterator[None]:
    """Judge as if an order were gone: the one that an amendment replaces."""
    order = scene.orders.pop(order_id, None)
    yield
    if order is not None:
        scene.orders[order_id] = order


def at_market(case: Case, scene: Scene, o: Outcome) -> bool:
    """Return whether an accepted order has no price of its own."""
    sent = case.sent(scene, o) if o.kind == OutcomeKind.ACCEPTED else None
    return sent is not None and sent.tif == Tif.MARKET


def reserved_for_orders(case: Case) -> Breaches:
    """L16. Add up what rests, by account and market; without clearing nothing is reserved."""
    implied: dict[tuple[int, int], list[int]] = {}
    for market, side, price, _, _, account, qty, *_ in case.after["orders"] if case.book.clears else []:
        row = implied.setdefault((account, market), [0, 0, 0, 0])
        row[0 if side == Side.BUY else 2] += qty
        row[1 if side == Side.BUY else 3] += qty * case.book.value_at(market, price)
    reserved = {row[:2]: list(row[2:]) for row in case.after["reserved"]}
    for key in sorted({**implied, **reserved}):
        has, must = reserved.get(key, "nothing"), implied.get(key, "nothing")
        if has != must:
            yield f"account {key[0]} has {has} reserved in market {key[1]}, its orders imply {must}"


def reduce_only_stays_below(case: Case) -> Breaches:
    """L22. Judge a reduce-only order when it is accepted, amended and filled, and as it rests."""
    for scene, o in case.walk():
        sent = case.sent(scene, o) if o.kind == OutcomeKind.ACCEPTED else None
        if sent and sent.reduce_only:
            yield from _reduces(scene, o.ref_id, o.account, o.market, o.side, o.qty)
        if o.kind == OutcomeKind.AMENDED and o.ref_id in scene.orders and scene.orders[o.ref_id].reduce_only:
            yield from _reduces(scene, o.ref_id, o.account, o.market, o.side, o.qty)
        if o.kind == OutcomeKind.FILL:
            for order_id in (o.ref_id, o.other_id):
                order = scene.orders.get(order_id)
                if order and order.reduce_only and (o.account != o.other):
                    yield from _reduces(scene, order_id, order.account, order.market, order.side, o.qty)
    reserved = {row[:2]: (row[2], row[4]) for row in case.after["reserved"]}
    for market, side, _, _, order_id, account, qty, reduce_only, *_ in case.after["orders"]:
        if reduce_only:
            yield from _reduces(case.final, order_id, account, market, side, qty)
        if case.book.clears and reserved.get((account, market), (0, 0))[side == Side.SELL] < qty:
            yield f"order {order_id} of account {account} rests for {qty} lots without its reservation"


def _reduces(scene: Scene, order_id: int, account: int, market: int, side: int, qty: int) -> Breaches:
    lots = scene.qty[account, market]
    if qty > (lots if side == Side.SELL else -lots):
        yield f"reduce-only order {order_id} is for {qty} lots, account {account} holds {lots} of market {market}"


def orders_keep_their_kind(case: Case) -> Breaches:
    """L24. Judge an accepted order by what was sent, and what rests by its kind."""
    killed: dict[int, int] = {}  # of FOK orders: lots that they have still to trade
    for scene, o in case.walk():
        if o.kind == OutcomeKind.FILL:
            if o.ref_id in killed:
                killed[o.ref_id] -= o.qty
            order = scene.orders.get(o.ref_id)
            takes = not o.stage and o.market not in scene.auctions
            if takes and order is not None and order.tif in (Tif.POST_ONLY, Tif.POST_REPRICE):
                yield f"order {o.ref_id}, which may only make, takes"
        elif o.kind == OutcomeKind.REFRESHED:
            yield from _refreshed(scene, o)
        elif o.kind == OutcomeKind.ACCEPTED and (sent := case.sent(scene, o)):
            yield from _as_asked(case, scene, o, sent)
            yield from _filled(killed.pop(o.ref_id, 0), o.ref_id)
            killed |= {o.ref_id: o.qty} if sent.tif == Tif.FOK else {}
        elif o.kind == OutcomeKind.CANCELLED and o.reason == Reason.EXPIRED:
            times = [row[11] for row in case.before["orders"] if row[4] == o.ref_id]
            times += [row[14] for row in case.before["waiting"] if row[1] == o.ref_id]
            due = next(iter(times), None)
            if due != o.time_ns:
                yield f"order {o.ref_id} expires at {o.time_ns}, its time is {due}"
    for order_id, left in killed.items():
        yield from _filled(left, order_id)
    now = case.after["clock"][0][0]
    for market, side, price, place, order_id, account, qty, _, shown, display, tif, expiry_ns, _ in case.after["orders"]:
        if tif not in (Tif.GTC, Tif.GTD, Tif.POST_ONLY, Tif.POST_REPRICE):
            yield f"order {order_id} rests, its kind {tif} does not"
        if expiry_ns and expiry_ns <= now:
            yield f"order {order_id} rests at {now}, it expires at {expiry_ns}"
        if not 0 < shown <= min(qty, display or qty):
            yield f"order {order_id} shows {shown} of {qty} lots, at most {display or qty} at a time"
        told = case.end.orders.get(order_id)
        if told and told.shown != shown:
            yield f"order {order_id} shows {shown} lots, the outcomes say {told.shown}"


def _filled(left: int, order_id: int) -> Breaches:
    if left:
        yield f"order {order_id} is FOK and does not trade {left} of its lots"


def _as_asked(case: Case, scene: Scene, o: Outcome, sent: Sent) -> Breaches:
    """An accepted order is the one that was sent: its price may be another only where its kind or a row gives it one.

    A reduce-only order that has waited is cut to the position that it finds.
    """
    if (o.account, o.market, o.side) != (sent.account, sent.market, sent.side):
        yield f"order {o.ref_id} of account {sent.account} is accepted of account {o.account}, or for another market or side"
    bound, row = scene.band(o.market, o.side), case.book.venue.markets[o.market].band
    banded = bound is not None and row.policy != "reject" and sent.tif != Tif.MARKET
    asked = bound if banded and beyond(o.side, sent.price, bound) else sent.price
    better = sent.tif == Tif.POST_REPRICE or (banded and not scene.band_is_known(o.market))
    if o.price != asked and not better:
        yield f"order {o.ref_id} was sent at {sent.price} and is accepted at {o.price}, not {asked}"
    if better and beyond(o.side, o.price, asked):
        yield f"order {o.ref_id} was sent at {sent.price} and is accepted at {o.price}, which is worse"
    lots = scene.qty[o.account, o.market]
    held = max(0, lots if o.side == Side.SELL else -lots)
    if sent.close_only:
        most = case.book.venue.markets[o.market].limits.qty_max or units.QTY_MAX
        if o.qty != min(held, most):
            yield f"close-only order {o.ref_id} is for {o.qty} lots, account {o.account} holds {lots}"
    elif o.qty != (min(sent.qty, held) if sent.waited and sent.reduce_only else sent.qty):
        yield f"order {o.ref_id} was sent for {sent.qty} lots and is accepted for {o.qty}, account {o.account} holds {lots}"


def _refreshed(scene: Scene, o: Outcome) -> Breaches:
    order = scene.orders.get(o.ref_id)
    if order is None or order.shown or not order.display:
        yield f"order {o.ref_id} shows more lots and has nothing to refresh"
    elif o.qty != min(order.display, order.qty):
        yield f"order {o.ref_id} shows {o.qty} lots, due are {min(order.display, order.qty)}"


def nobody_trades_with_himself(case: Case) -> Breaches:
    """L25. Ask at each fill what the taker's order, or the market's row, says to it."""
    for scene, o in case.walk():
        met = o.kind == OutcomeKind.FILL and o.market not in scene.auctions  # there nobody takes, who would decide
        if met and _prevented(case, scene, o.ref_id, o.account, o.other, o.market, o.stage):
            yield f"account {o.account} trades with account {o.other}, which a row or the order forbids"
        if o.kind == OutcomeKind.CANCELLED and o.reason == Reason.SELF_TRADE:
            if not case.asks(o) and o.ref_id not in scene.orders:
                yield f"order {o.ref_id} is cancelled for a self-trade and is not there"


def _prevented(case: Case, scene: Scene, order_id: int, taker: int, maker: int, market: int, stage: int) -> bool:
    row = case.book.venue.markets[market].self_trade
    order = scene.orders.get(order_id)
    own = order.self_trade if order else SelfTrade.AS_MARKET
    mode = SelfTrade[row.mode.upper()] if own == SelfTrade.AS_MARKET else own
    if mode == SelfTrade.ALLOW and not stage:
        return False
    owners = bool(stage) or row.by == "owner"
    return taker == maker or (owners and scene.owner.get(taker) == scene.owner.get(maker))
