"""Sub-accounts: transfers, the switch cross <-> isolated, auto-add of margin.

An isolated position is a position of a sub-account: what it loses beyond its own margin never reaches the parent. A switch moves
the position with its entry value, so that its unrealised profit goes with it, and an amount of margin.
"""

from __future__ import annotations

from specs import units
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Flow, OutcomeKind, Permit, Reason, Side, Status


def post_transfer(exchange, e) -> Reason:
    """Between accounts of one owner; the giver keeps its wallet at or above 0 and equity at or above initial margin."""
    account, other = exchange.user(e.account), exchange.user(e.qty)
    if account is None or other is None:
        return Reason.UNKNOWN_ACCOUNT
    if account is other or account.owner != other.owner:
        return Reason.NOT_RELATED
    if e.asset >= len(exchange.venue.assets):
        return Reason.UNKNOWN_ASSET
    if not 0 < e.amount <= units.MONEY_IN_MAX or other.balance[e.asset] + e.amount > units.BALANCE_MAX:
        return Reason.BAD_AMOUNT
    reason = exchange.may_give(account, e.asset, e.amount)
    if not reason:
        exchange.flow(Flow.TRANSFER, account.number, other.number, e.asset, e.amount)
    return reason


def post_auto_add(exchange, e) -> Reason:
    account = exchange.user(e.account)
    if account is None or account.parent is None:
        return Reason.UNKNOWN_ACCOUNT
    if e.qty not in (0, 1):
        return Reason.BAD_SETTING
    account.auto_add = bool(e.qty)
    exchange.emit(OutcomeKind.AUTO_ADD_SET, account=e.account, qty=e.qty)
    return Reason.NONE


def post_mode(exchange, e) -> Reason:
    """Move a whole position between a parent and its sub-account. Both must have initial margin after it."""
    account, other = exchange.user(e.account), exchange.user(e.qty)
    if account is None or other is None:
        return Reason.UNKNOWN_ACCOUNT
    if e.market >= len(exchange.books):
        return Reason.UNKNOWN_MARKET
    if account.parent != other.number and other.parent != account.number:
        return Reason.NOT_RELATED
    if account.status != Status.NORMAL or other.status != Status.NORMAL:
        return Reason.IN_LIQUIDATION
    if not 0 <= e.amount <= units.MONEY_IN_MAX or other.balance[exchange.numeraire] + e.amount > units.BALANCE_MAX:
        return Reason.BAD_AMOUNT
    if not account.qty[e.market]:
        return Reason.NO_POSITION
    if other.qty[e.market]:
        return Reason.NOT_FLAT
    if any(order.market == e.market for who in (account, other) for order in who.orders.values()):
        return Reason.HAS_ORDERS
    reason = exchange.may_withdraw(account, e.market) or exchange.may_withdraw(other, e.market)
    if reason:
        return reason
    if exchange.free(account, exchange.numeraire) < e.amount:
        return Reason.INSUFFICIENT_BALANCE
    return _move(exchange, account, other, e.market, e.amount)


def _move(exchange, account: Account, other: Account, market: int, amount: int) -> Reason:
    numeraire, qty, entry = exchange.numeraire, account.qty[market], account.entry[market]
    for who, lots, value, cash in ((account, 0, 0, entry - amount), (other, qty, entry, amount - entry)):
        who.qty[market], who.entry[market] = lots, value
        who.balance[numeraire] += cash
    if not all(exchange.has_margin(who) for who in (account, other)):
        for who, lots, value, cash in ((account, qty, entry, amount - entry), (other, 0, 0, entry - amount)):
            who.qty[market], who.entry[market] = lots, value
            who.balance[numeraire] += cash
        return Reason.INSUFFICIENT_MARGIN
    for who in (account, other):
        exchange.ledger.touch(who.number)
    other.grandfathered.discard(market)
    if market in account.grandfathered:
        account.grandfathered.discard(market)
        other.grandfathered.add(market)
    exchange.emit(
        OutcomeKind.MOVED,
        account=account.number,
        other=other.number,
        market=market,
        side=Side.BUY if qty > 0 else Side.SELL,
        qty=abs(qty),
        money=entry,
        flow=Flow.MODE,
    )
    if amount:
        exchange.emit(
            OutcomeKind.FLOW, account=account.number, other=other.number, asset=numeraire, money=amount, flow=Flow.TRANSFER
        )
    return Reason.NONE


def auto_add(exchange, account: Account, e: Evaluation) -> bool:
    """Take margin from the parent, up to what brings the sub-account back to initial margin; return whether any came.

    The parent keeps initial margin: who gives is not liquidated for it.
    """
    if not account.auto_add or not e.open or e.permit >= Permit.DEFER:
        return False
    parent = exchange.ledger.accounts[account.parent]
    if parent.status != Status.NORMAL or exchange.may_withdraw(parent):
        return False
    kept = exchange.requirements(parent) + exchange.profit_haircut(parent)
    spare = min(exchange.free(parent, exchange.numeraire), exchange.spare_equity(parent) - kept)
    amount = min(spare, exchange.requirements(account) - e.equity, units.BALANCE_MAX - account.balance[exchange.numeraire])
    if amount <= 0:
        return False
    exchange.flow(Flow.AUTO_ADD, parent.number, account.number, exchange.numeraire, amount)
    return True
