"""Initial margin: whoever raises a requirement, or takes away what covers it, has enough; L6."""

from __future__ import annotations

from specs import units
from specs.lawbook import Breaches
from specs.lawbook.collateral import weight_in_force
from specs.lawbook.orders import at_market, is_sent, without
from specs.scene import Case, Order, Outcome, Scene
from specs.tape import EventKind, Flow, OutcomeKind, Side, Status


def opened_with_margin(case: Case) -> Breaches:
    """L6. Judge each order, leverage, payment and weight where it is told; a switch when all of it has moved."""
    for scene, o in case.walk():
        if is_sent(o) and case.book.clears:
            with without(scene, o.ref_id):
                yield from _order_with_margin(case, scene, o)
        elif o.kind == OutcomeKind.LEVERAGE_SET:
            need = scene.requirement(o.account, o.market)
            scene.leverage[o.account, o.market] = o.qty
            needs, equity = scene.requirements(o.account), scene.spare_equity(o.account)
            if scene.requirement(o.account, o.market) > need and equity < needs:
                yield f"leverage {o.qty} of account {o.account} needs {needs}, its equity is {equity}"
        elif o.kind == OutcomeKind.FLOW and o.flow in (Flow.WITHDRAWAL, Flow.TRANSFER, Flow.AUTO_ADD):
            yield from _given_with_margin(case, scene, o)
        elif o.kind == OutcomeKind.COLLATERAL:
            yield from weight_in_force(scene, o)
    if not case.rejected and case.event.kind == EventKind.MODE:
        yield from _moved_with_margin(case)


def _order_with_margin(case: Case, scene: Scene, o: Outcome) -> Breaches:
    if o.market in case.book.spot:
        yield from _spot_order_is_funded(case, scene, o)
        return
    order, at_mark, need = judged(case, scene, o)
    if need <= scene.requirement(o.account, o.market):
        return
    worse = [scene.qty[o.account, o.market] + sign * lots for sign, lots in _open_lots(scene, order)]
    if any(scene.brackets[o.market].exceeded(abs(lots * scene.value(o.market))) for lots in worse):
        yield f"order {o.ref_id} takes account {o.account} beyond the last bracket of market {o.market}"
    value = scene.value(o.market) if at_mark else case.book.value_at(o.market, o.price)
    fee = units.div_ceil(o.qty * abs(value) * case.book.venue.markets[o.market].fees.taker_ppm, units.PPM)
    needs = sum(scene.requirement(o.account, m) for m in case.book.markets if m != o.market) + need + fee
    equity = scene.spare_equity(o.account)
    if equity < needs:
        yield f"order {o.ref_id} of account {o.account} needs {needs}, its equity is {equity}"


def _spot_order_is_funded(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A spot order's account has what it gives, beside its other spot orders, and initial margin without all of it."""
    price = scene.market_limit(o.market, o.side) if at_market(case, scene, o) else o.price
    asset, amount = scene.gives(o.market, o.side, o.qty, price, case.book.venue.markets[o.market].fees.taker_ppm)
    if scene.free(o.account, asset) < amount:
        yield f"order {o.ref_id} of account {o.account} gives {amount} of asset {asset}, free are {scene.free(o.account, asset)}"
    needs, equity = scene.requirements(o.account), scene.spare_equity(o.account, asset, amount)
    if equity < needs:
        yield f"order {o.ref_id} leaves account {o.account} with equity {equity}, it needs {needs}"


def judged(case: Case, scene: Scene, o: Outcome) -> tuple[Order, bool, int]:
    """Return an accepted order, whether it is judged at the mark, and the requirement of its market with it."""
    order = Order(o.market, o.side, o.price, o.account, o.qty)
    at_mark = at_market(case, scene, o)
    return order, at_mark, scene.requirement(o.account, o.market, order, at_mark)


def _open_lots(scene: Scene, order: Order) -> list[tuple[int, int]]:
    """Return (sign, open lots) of the account's two sides in the order's market, the order counted as open."""
    mine = [o for o in scene.orders.values() if (o.account, o.market) == (order.account, order.market)] + [order]
    return [(sign, sum(o.qty for o in mine if o.side == side)) for side, sign in ((Side.BUY, 1), (Side.SELL, -1))]


def _given_with_margin(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Who gives keeps its wallet at or above 0 and equity at or above initial margin. A switch is judged as a whole."""
    what, free = Flow(o.flow).name, scene.free(o.account, o.asset)
    if free < o.money:
        yield f"a {what} takes {o.money} of asset {o.asset} from account {o.account}, free are {free}"
    if scene.status[o.account] != Status.NORMAL:
        yield f"a {what} takes from account {o.account}, which is {Status(scene.status[o.account]).name}"
    if case.event.kind == EventKind.MODE and o.flow == Flow.TRANSFER:
        return
    needs = scene.requirements(o.account)
    equity = scene.spare_equity(o.account, o.asset, o.money) - scene.profit_haircut(o.account)
    if equity < needs:
        yield f"a {what} leaves account {o.account} with equity {equity}, it needs {needs}"


def _moved_with_margin(case: Case) -> Breaches:
    """After a switch both accounts have initial margin; what moved was the whole position, to one that had none."""
    e, moved = case.event, False
    for scene, o in case.walk():
        if o.kind == OutcomeKind.MOVED:
            moved = True
            lots, there = scene.qty[o.account, o.market], scene.qty[o.other, o.market]
            if (o.qty, o.side) != (abs(lots), Side.BUY if lots > 0 else Side.SELL) or there:
                yield f"{o.qty} lots move from account {o.account} to {o.other}, which hold {lots} and {there}"
            if o.money != scene.entry[o.account, o.market]:
                yield f"a position moves at {o.money}, its entry value is {scene.entry[o.account, o.market]}"
            for who in (o.account, o.other):
                if scene.status[who] != Status.NORMAL:
                    yield f"a switch of account {who}, which is {Status(scene.status[who]).name}"
        elif moved and not (o.kind == OutcomeKind.FLOW and o.flow == Flow.TRANSFER):
            break
    else:
        scene = case.end
    for who in (e.account, e.qty) if moved else ():
        needs, equity = scene.requirements(who), scene.spare_equity(who)
        if equity < needs:
            yield f"a switch leaves account {who} with equity {equity}, it needs {needs}"
