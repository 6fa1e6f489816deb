"""Deleveraging: who may be, in which order, how much each can bear, and for which part of the share; L11."""

from __future__ import annotations

from typing import NamedTuple

from specs import units
from specs.lawbook import Breaches
from specs.scene import Case, Outcome, Scene
from specs.tape import OutcomeKind, Reason, Seam, Side, Stage, Status


class Bearer(NamedTuple):
    """A counterparty of a deleveraging: its score, ppb, and how many lots it can close at the transfer price."""

    account: int
    score: int
    lots: int


def deleveraged_in_order(case: Case) -> Breaches:
    """L11. Form each queue when its first lots are closed, and compare what everybody in it bears."""
    queue: _Queue | None = None
    for scene, o in case.walk():
        if o.kind == OutcomeKind.ADL:
            if o.price != scene.marks[o.market].last_valid:
                yield f"account {o.account} is deleveraged at a mark of {o.price}, it is {scene.marks[o.market].last_valid}"
            if o.reason == Reason.OWN_LEG:
                yield from _own_leg(scene, o)
                continue
            if queue is None or queue.at != (o.account, o.market, o.time_ns, o.round):
                yield from queue.end(case) if queue else ()
                queue = _Queue(scene, o)
            yield from queue.take(scene, o)
        elif queue and not (o.kind == OutcomeKind.CANCELLED and o.stage == Stage.ADL):
            yield from queue.end(case)
            queue = None
    yield from queue.end(case) if queue else ()


def _own_leg(scene: Scene, o: Outcome) -> Breaches:
    """At the mark, so that no value moves, against another account of the same owner."""
    lots = o.qty if o.side == Side.BUY else -o.qty
    if scene.owner[o.account] != scene.owner[o.other] or o.account == o.other:
        yield f"account {o.other} is netted against account {o.account} of another owner"
    if o.money != lots * scene.value(o.market):
        yield f"{lots} lots of one owner are netted for {o.money}, at the mark they are {lots * scene.value(o.market)}"
    if o.qty != min(abs(scene.qty[who, o.market]) for who in (o.account, o.other)):
        yield f"{o.qty} lots of account {o.account} are netted against account {o.other}, both hold more"


class _Queue:
    """The counterparties of one position that is deleveraged, as they stand when its first lots are closed."""

    def __init__(self, scene: Scene, o: Outcome) -> None:
        self.at = o.account, o.market, o.time_ns, o.round
        self.lots, self.share = abs(scene.qty[o.account, o.market]), scene.transfer_share(o.account, o.market)
        self.bearers = {bearer.account: bearer.lots for bearer in bearers(scene, o.account, o.market)}
        held, owner = scene.qty[o.account, o.market], scene.owner[o.account]
        self.own = [n for n in scene.owner if scene.owner[n] == owner and scene.qty[n, o.market] * held < 0]
        self.closed: dict[int, int] = {}  # lots by counterparty, in the order told

    def take(self, scene: Scene, o: Outcome) -> Breaches:
        """One counterparty: eligible, within its capacity, for its part of the share."""
        if self.own:
            yield f"account {o.other} is deleveraged for account {o.account}, whose owner has opposite lots in {self.own}"
        if o.other not in self.bearers or o.other in self.closed:
            yield f"account {o.other} is deleveraged for account {o.account} and is not eligible, or was closed before"
        elif o.qty > self.bearers[o.other]:
            yield f"account {o.other} is deleveraged of {o.qty} lots, it can bear {self.bearers[o.other]}"
        done = sum(self.closed.values())
        part = units.muldiv_ceil(self.share, done + o.qty, self.lots) - units.muldiv_ceil(self.share, done, self.lots)
        cash = (o.qty if o.side == Side.BUY else -o.qty) * scene.value(o.market) - part
        if o.money != cash:
            yield f"{o.qty} lots of account {o.account} go to account {o.other} for {o.money}, their part is {cash}"
        if any((x.account, x.market) == (o.other, o.market) for x in (*scene.orders.values(), *scene.waiting.values())):
            yield f"account {o.other} is deleveraged and keeps orders in market {o.market}"
        self.closed[o.other] = o.qty

    def end(self, case: Case) -> Breaches:
        """The queue is a prefix of the order; only its last is closed in part, and only because no lot was left."""
        account, taken = self.at[0], list(self.closed)
        wanted = [bearer for bearer, lots in self.bearers.items() if lots]
        left = self.lots - sum(self.closed.values())
        if Seam.ADL_RANK in case.armed:
            wanted = [*taken, *(bearer for bearer in wanted if bearer not in taken)]
        if taken != wanted[: len(taken)]:
            yield f"accounts {taken} are deleveraged for account {account}, the queue is {wanted}"
        if left < 0:
            yield f"{self.lots - left} lots of account {account} are deleveraged, it had {self.lots}"
        part = [bearer for bearer in taken if self.closed[bearer] < self.bearers.get(bearer, 0)]
        if part and (part != taken[-1:] or left > 0):
            yield f"accounts {part} of the queue {taken} of account {account} are closed in part, {left} lots are left"
        if left > 0 and len(taken) < len(wanted):
            yield f"{left} lots of account {account} are left, accounts {wanted[len(taken) :]} could bear them"


def bearers(scene: Scene, account: int, market: int) -> list[Bearer]:
    """Return everybody who may be deleveraged for the account's position, highest score first, of equals the lower id."""
    held, owner, share = scene.qty[account, market], scene.owner[account], scene.transfer_share(account, market)
    found = []
    for other, status in scene.status.items():
        lots = scene.qty[other, market]
        if lots * held < 0 and scene.owner[other] != owner and status == Status.NORMAL:
            bears = abs(lots)
            if share < 0:
                bears = min(bears, max(0, scene.evaluate(other).equity) * abs(held) // -share)
            found.append(Bearer(other, deleveraging_score(scene, other, market), bears))
    return sorted(found, key=lambda bearer: (-bearer.score, bearer.account))


def deleveraging_score(scene: Scene, account: int, market: int) -> int:
    """Return profit / max(1, wallet) in ppb, rounded down, at most SCORE_MAX_PPB; x min(1, maintenance / equity), rounded down.

    1 is one whole unit of the numeraire; a loss scores 0, and so does who has no equity.
    """
    e = scene.evaluate(account)
    profit = scene.qty[account, market] * scene.value(market) - scene.entry[account, market]
    if profit <= 0 or e.equity <= 0:
        return 0
    wallet = max(scene.book.whole(1), scene.wallet(account, scene.book.numeraire))
    return min(units.SCORE_MAX_PPB, profit * units.PPB // wallet) * min(e.maintenance, e.equity) // e.equity
