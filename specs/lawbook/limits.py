"""Limits: of the venue, of an account, an order, an owner and the open interest. None is passed silently; L15."""

from __future__ import annotations

from collections import Counter

from specs import rules, units
from specs.lawbook import Breaches
from specs.lawbook.answers import answered
from specs.lawbook.cascade import bounds_are_told
from specs.lawbook.margin import judged
from specs.lawbook.orders import is_sent, without
from specs.scene import Case, Outcome, Scene
from specs.tape import OutcomeKind, Seam


def limits_are_not_silent(case: Case) -> Breaches:
    """L15. Look for the answer, then at each limit, then at whom a bounded cascade leaves."""
    limits = case.book.venue.limits
    yield from answered(case)
    for scene, o in case.walk():
        if is_sent(o):
            with without(scene, o.ref_id):
                yield from _within_market_limits(case, scene, o)
        elif o.kind == OutcomeKind.FILL and o.market in scene.auctions:
            yield from _auction_within_limits(case, scene, o)
    orders = Counter([row[5] for row in case.after["orders"]] + [row[2] for row in case.after["waiting"]])
    if orders.total() > limits.orders_max:
        yield f"{orders.total()} orders rest or wait, at most {limits.orders_max}"
    for account, count in orders.items():
        if count > limits.orders_per_account_max:
            yield f"account {account} has {count} orders, at most {limits.orders_per_account_max}"
    for account, market, buy, _, sell, _ in case.after["reserved"]:
        lots = case.final.qty[account, market]
        if max(abs(lots + buy), abs(lots - sell)) > units.POSITION_MAX:
            yield f"account {account} can reach more than {units.POSITION_MAX} lots of market {market}"
    if case.after["accounts"] and case.after["accounts"][-1][0] >= limits.accounts_max:
        yield f"account {case.after['accounts'][-1][0]} is open, below {limits.accounts_max} they must be"
    if Seam.LIQUIDATION_TRIGGER not in case.armed:
        yield from bounds_are_told(case)


def _within_market_limits(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """An order that passed the gate is within its market's limits: of itself, of its owner, of the open interest."""
    limits = case.book.venue.markets[o.market].limits
    if limits.qty_max is not None and o.qty > limits.qty_max:
        yield f"order {o.ref_id} is for {o.qty} lots, at most {limits.qty_max}"
    if limits.notional_max is not None:
        _, at_mark, _ = judged(case, scene, o)
        value = abs(scene.value(o.market) if at_mark else case.book.value_at(o.market, o.price))
        asset = case.book.venue.markets[o.market].settles_in
        if o.qty * value > rules.whole(limits.notional_max, case.book.venue.decimals(asset)):
            yield f"order {o.ref_id} is worth {o.qty * value}, at most {limits.notional_max} whole units"
    own = scene.reach(o.account, o.market, o.side)
    raised = max(0, own + o.qty) - max(0, own)
    if not raised:
        return
    if limits.position_max is not None:
        owner = scene.owner.get(o.account, o.account)
        family = [account for account, other in scene.owner.items() if other == owner]
        total = sum(max(0, scene.reach(account, o.market, o.side)) for account in family) + raised
        if total > limits.position_max:
            yield f"order {o.ref_id} lets owner {owner} reach {total} lots, at most {limits.position_max}"
    if limits.open_interest_max is not None:
        open_interest = scene.open_interest(o.market)
        if open_interest + raised > limits.open_interest_max:
            yield f"order {o.ref_id} can raise the open interest to {open_interest + raised}, at most {limits.open_interest_max}"


def _auction_within_limits(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Orders that only rest are beside each other in no limit: an auction looks again how far it raises the open interest."""
    most, raised = case.book.venue.markets[o.market].limits.open_interest_max, open_interest_raised(case, scene, o, o.qty)
    if most is not None and raised > 0 and scene.open_interest(o.market) + raised > most:
        yield f"a fill of {o.qty} lots in an auction raises the open interest by {raised}, beyond {most}"


def open_interest_raised(case: Case, scene: Scene, o: Outcome, lots: int) -> int:
    """Return by how much lots from one account to another raise the open interest; negative: they close it."""
    if o.account == o.other or o.market in case.book.spot or not case.book.clears:
        return 0
    held = (scene.qty[o.account, o.market], lots), (scene.qty[o.other, o.market], -lots)
    return sum(max(0, before + change) - max(0, before) for before, change in held)
