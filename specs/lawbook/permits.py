"""Permits: nothing happens at a grade or in a market state whose table refuses it; L21."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.lawbook.collateral import sold_in
from specs.lawbook.margin import judged
from specs.lawbook.orders import is_sent, without
from specs.scene import Case, Outcome, Scene
from specs.tape import Action, Flag, Flow, OutcomeKind, Permit, Reason, Side, Stage
from specs.waiting import WAITS


def grades_are_obeyed(case: Case) -> Breaches:
    """L21. Ask the tables at each outcome."""
    for scene, o in case.walk():
        permit = _permitted(case, scene, o)
        if permit >= Permit.DEFER:
            yield f"{OutcomeKind(o.kind).name} of account {o.account} where a row says {permit.name.lower()}"


_FORCED = {OutcomeKind.TAKEOVER: Action.TAKEOVER, OutcomeKind.ADL: Action.ADL}


def _permitted(case: Case, scene: Scene, o: Outcome) -> Permit:
    """Return what the tables of grades and of states say together to what an outcome tells."""
    account = o.account
    if o.kind == OutcomeKind.LIQUIDATION:
        return scene.strictest(account, Action.LIQUIDATE)
    if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
        return scene.market_permit(o.market, Action.LIQUIDATE)
    if o.kind == OutcomeKind.FILL and o.stage == Stage.CONVERT:
        price = scene.collateral[sold_in(scene, o.market).asset]
        return max(scene.permit(price, Action.CONVERT), scene.state_permit(o.market, Action.LIQUIDATE))
    if o.kind in _FORCED:
        return scene.market_permit(o.market, _FORCED[o.kind])
    if o.kind == OutcomeKind.FLOW and o.flow in (Flow.LIABILITY_TAKEN, Flow.COLLATERAL_GIVEN):
        there = o.asset != scene.book.numeraire
        return scene.permit(scene.collateral[o.asset], Action.CONVERT) if there else Permit.ALLOW
    if o.kind == OutcomeKind.CONVERT:
        return scene.permit(scene.collateral[o.asset], Action.CONVERT)
    if is_sent(o):
        with without(scene, o.ref_id):
            return _permitted_order(case, scene, o)
    if o.kind == OutcomeKind.AMENDED:
        return scene.state_permit(o.market, Action.AMEND)
    if o.kind == OutcomeKind.WAITING and case.event.kind in WAITS:
        reduces = case.event.flags & (Flag.REDUCE_ONLY | Flag.CLOSE_ONLY)
        return scene.state_permit(o.market, Action.REDUCE if reduces else Action.OPEN)
    if o.kind == OutcomeKind.TRIGGERED and o.ref_id in scene.waiting:
        return scene.trigger_permit(o.market, scene.waiting[o.ref_id].by)
    if o.kind == OutcomeKind.CANCELLED and o.reason in (Reason.USER, Reason.MASS_CANCEL):
        return scene.state_permit(o.market, Action.CANCEL)
    if o.kind == OutcomeKind.FILL and not o.stage and o.market not in scene.auctions:
        return scene.state_permit(o.market, Action.TAKE)
    if o.kind == OutcomeKind.MOVED:
        return max(scene.strictest(who, Action.WITHDRAW, o.market) for who in (account, o.other))
    if o.kind == OutcomeKind.FLOW and o.flow in (Flow.WITHDRAWAL, Flow.TRANSFER, Flow.AUTO_ADD):
        return scene.strictest(account, Action.WITHDRAW)
    if o.kind == OutcomeKind.FUNDING and not o.reason:
        return scene.market_permit(o.market, Action.FUNDING)
    return Permit.ALLOW


def _permitted_order(case: Case, scene: Scene, o: Outcome) -> Permit:
    """Return what grades and states say to an order that passed the gate, the order that it replaces left out."""
    account = o.account
    if not case.book.clears:
        amends = Action.AMEND if o.kind == OutcomeKind.AMENDED else Action.OPEN
        return max(scene.state_permit(o.market, Action.OPEN), scene.state_permit(o.market, amends))
    _, at_market, need = judged(case, scene, o)
    spot = o.market in case.book.spot
    action = Action.OPEN if spot or need > scene.requirement(account, o.market) else Action.REDUCE
    lots = scene.qty[account, o.market]
    mine = [x for x in scene.orders.values() if (x.account, x.market, x.side) == (account, o.market, o.side)]
    sent = case.sent(scene, o) if o.kind == OutcomeKind.ACCEPTED else None
    reduce_only = sent is not None and sent.reduce_only
    resting = 0 if reduce_only else sum(x.qty for x in mine)  # with them it could flip what it may only close
    closes = o.qty + resting <= (lots if o.side == Side.SELL else -lots)
    state = scene.state_permit(o.market, Action.REDUCE if closes else Action.OPEN)
    if o.kind == OutcomeKind.AMENDED:
        state = max(state, scene.state_permit(o.market, Action.AMEND))
    if spot and not at_market and not _owes(case, scene, account):
        return state
    return max(scene.strictest(account, action, o.market), state)


def _owes(case: Case, scene: Scene, account: int) -> bool:
    """Return whether an account has a debt, or positions or orders that need margin."""
    debts = any(scene.balance[account, asset] < 0 for asset in range(len(case.book.venue.assets)))
    return debts or scene.requirements(account) > 0
