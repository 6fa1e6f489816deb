"""Auto-deleveraging: what neither book nor backstop took is closed against the other side.

First the owner's own opposite positions, at the mark: no value moves, and no stranger is closed for what the owner could net.
Then a queue of winners at the bankruptcy price. Contract space, as Binance and BitMEX do it: both sides close the same lots, so
that open interest falls and lots still sum to 0; the account ends with exactly nothing once its last position is closed.

Score: https://dev.binance.vision/t/how-to-caculating-leverage-pnl-quantile/17801. No venue publishes how it breaks ties; here the
lower account id goes first.
"""

from __future__ import annotations

from typing import NamedTuple

from specs import rules, units
from specs.model import fund, trigger
from specs.model.ledger import Account
from specs.tape import USERS_FROM, Action, Flow, OutcomeKind, Permit, Reason, Seam, Side, Stage, Status


class Candidate(NamedTuple):
    """A counterparty: its score in ppb and how many lots it can close at the transfer price."""

    account: Account
    score: int
    capacity: int


def run(exchange, account: Account, row: rules.AdlStage) -> None:
    """Close positions of the account for which the stage is entered, while it is triggered."""
    exchange.visit(Stage.ADL)
    exchange.stage = Stage.ADL
    for market in range(len(account.qty)):
        if not account.qty[market] or exchange.permit(market, Action.ADL) >= Permit.DEFER or not _triggered(exchange, account):
            continue
        if _entered(exchange, market, row):
            _net_own_legs(exchange, account, market)
            if account.qty[market] and _triggered(exchange, account):
                _queue(exchange, account, market)


def _triggered(exchange, account: Account) -> bool:
    return trigger.triggered(exchange, account, exchange.evaluate(account))


def _entered(exchange, market: int, row: rules.AdlStage) -> bool:
    """Return whether the fund is as low as the row wants it."""
    verdict = row.fund_max is None or fund.measure(exchange) <= exchange.whole(row.fund_max)
    return exchange.seams.decision(Seam.ADL_TRIGGER, market, exchange.now, verdict)


def opposite(exchange, account: Account, market: int) -> list[Account]:
    """Return the users that hold the other side of the account's position, by number."""
    users = [exchange.ledger.accounts[n] for n in sorted(exchange.ledger.accounts) if n >= USERS_FROM]
    return [other for other in users if other.qty[market] * account.qty[market] < 0]


def _net_own_legs(exchange, account: Account, market: int) -> None:
    """Close against opposite positions of the same owner, by account number, at the mark."""
    for other in opposite(exchange, account, market):
        if other.owner == account.owner and account.qty[market]:
            _close(exchange, account, other, market, min(abs(account.qty[market]), abs(other.qty[market])), 0, Reason.OWN_LEG)


def _queue(exchange, account: Account, market: int) -> None:
    """Close down the queue. The share of the margin is split over the lots; what is split telescopes to its total."""
    lots = abs(account.qty[market])
    share = transfer_share(exchange, account, market)
    done = 0
    for candidate in queue(exchange, account, market, lots, share):
        qty = min(candidate.capacity, lots - done)
        if not qty:
            continue
        part = units.muldiv_ceil(share, done + qty, lots) - units.muldiv_ceil(share, done, lots)
        for order in list(candidate.account.orders.values()):
            if order.market == market:
                exchange.cancel_order(order, Reason.DELEVERAGED)
        _close(exchange, account, candidate.account, market, qty, part, Reason.NONE)
        done += qty


def transfer_share(exchange, account: Account, market: int) -> int:
    """Return what the account gives up beside the value at the mark: its margin by maintenance, rounded up; a debt is negative.

    With the last position it is all of the account's equity, collateral at its conversion value: it ends with nothing.
    """
    equity, need = exchange.conversion_equity(account), exchange.maintenance(account, market)
    maintenance = exchange.evaluate(account).maintenance
    return units.muldiv_ceil(equity, need, maintenance) if need < maintenance else equity


def queue(exchange, account: Account, market: int, lots: int, share: int) -> list[Candidate]:
    """Return the counterparties in the order in which they are deleveraged: score, highest first; of equals the lower id.

    Eligible: another owner, the other side, not in liquidation.
    """
    candidates = [
        Candidate(other, score(exchange, other, market), capacity(exchange, other, market, lots, share))
        for other in opposite(exchange, account, market)
        if other.owner != account.owner and other.status == Status.NORMAL
    ]
    return sorted(candidates, key=place)


def place(candidate: Candidate) -> tuple[int, int]:
    """Return what the queue is sorted by: score, highest first; of equals the lower id."""
    return -candidate.score, candidate.account.number


def capacity(exchange, other: Account, market: int, lots: int, share: int) -> int:
    """Return the lots that the counterparty can close: what it holds, and no more than its equity bears of a debt's share."""
    held = abs(other.qty[market])
    if share >= 0:
        return held
    return min(held, max(0, exchange.evaluate(other).equity) * lots // -share)


def score(exchange, account: Account, market: int) -> int:
    """Return floor(floor(10^9 x unrealised profit / max(1, wallet)) x maintenance / equity), at most SCORE_MAX_PPB.

    1 is one whole unit of the numeraire. A loss scores 0, so does an account without equity; a margin ratio counts as at most 1.
    """
    e = exchange.evaluate(account)
    profit = account.qty[market] * exchange.value[market] - account.entry[market]
    wallet = max(exchange.whole(1), account.balance[exchange.numeraire] + sum(account.entry))
    if profit <= 0 or e.equity <= 0:
        pnl_ppb = 0
    elif units.cmp_ratio(profit, wallet, units.SCORE_MAX_PPB // units.PPB, 1) >= 0:
        pnl_ppb = units.SCORE_MAX_PPB
    else:
        pnl_ppb = units.muldiv_floor(profit, units.PPB, wallet)
    ranked = units.muldiv_floor(pnl_ppb, min(e.maintenance, e.equity), e.equity) if pnl_ppb else 0
    there, seen = exchange.seams.price(Seam.ADL_RANK, account.number, exchange.now, True, ranked)
    return seen if there else 0


def _close(exchange, account: Account, other: Account, market: int, lots: int, part: int, reason: Reason) -> None:
    """Close lots of both sides: the account gets their value at the mark less `part`."""
    long = account.qty[market] > 0
    value = lots * exchange.value[market]
    buyer, seller = (other, account) if long else (account, other)
    exchange.ledger.exchange(buyer.number, seller.number, market, lots, value - part if long else value + part)
    exchange.emit(
        OutcomeKind.ADL,
        account=account.number,
        other=other.number,
        market=market,
        side=Side.BUY if long else Side.SELL,
        qty=lots,
        price=exchange.marks[market].published.last_valid,
        money=(value if long else -value) - part,
        reason=reason,
        flow=Flow.ADL,
    )
    for who in (account, other):
        exchange.trim(who, market)
