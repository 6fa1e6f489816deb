"""The laws of the exchange: what must hold after every event, whatever the tape, the rule book and the faults.

    L1   per market the signed lots of all ledger accounts sum to 0
    L2   per asset the closed chart sums to 0, and balances change by the flows that were told
    L3   the book at rest is not crossed, nor locked, outside auctions
    L4   orders trade by price, then by time; a queue changes only at its ends, by fills and by cancels
    L5   a fill is at the maker's price, within the taker's limit, and within both quantities
    L6   what raises a requirement is accepted only with initial margin: orders, leverage; so too what takes margin away:
         withdrawals, transfers, switches, auto-add
    L7   an episode opens only when its trigger is true, and each slice of it is taken only while it is
    L8   in the account being closed forced closing never increases or flips a position
    L9   the fund never pays more than it has; what it could not pay it says
    L10  stages in the rule book's order, on their conditions, caps respected; the next gets exactly the rest
    L11  deleveraging: own opposite lots first, at the mark; then eligible only, each within its capacity, the parts sum to the
         share exactly, and the queue is a prefix of a total order with at most one closed in part; whoever was opened first
    L12  longs = shorts = open interest; lots and entry values change by fills, takeovers, ADL and moves only
    L13  the state after a REJECT at t is the state after a CLOCK at t
    L14  same input, same digest; chunked = whole; snapshot + rest = whole
    L15  no limit is passed silently, and no event is left without its answer
    L16  reservations are what the resting orders imply; without orders they are 0
    L17  funding at every multiple of its interval, at a rate within its clamps; what a position pays is R(q F_now) - R(q F_then);
         payments and residue sum to 0; a skipped interval moves nothing
    L18  a fault in X leaves untouched what shares nothing with X; a fault of no magnitude changes nothing
    L19  completeness: whoever's trigger is true is in liquidation or suspended, by an outcome that says so
    L20  gains = losses between two runs
    L21  nothing happens at a grade or in a market state whose table refuses it
    L22  no reduce-only order above the position, no order without its reservation
    L23  who owes nothing is charged nothing, unless a row names the charge; a fill that is busted goes back whole, once
    L24  an order does what its kind says: FOK trades all at once, post-only makes, IOC and MARKET do not rest, GTD leaves at its
         time, close-only takes the whole position, and nothing shows more than its display
    L25  nobody trades with himself where the market's row or the taker forbids it; who is spared a trade by it would have had one
    L26  waiting orders fire when, and only when, their trigger is true and a row allows it; in order of entry, before anybody is
         selected for liquidation, and PROTECT cancels instead where the price is too far from the mark
    L27  no order stands or trades beyond its band, and none inside it is refused for it; no fill beyond the limits up and down; a
         market pauses when one was asked for, and resumes in time
    L28  an auction trades at one price: the one that trades most, of those that which leaves least, of those the nearest to the
         reference, then the higher; it trades all that was told, and cancels nothing that could have traded; afterwards the book
         is not crossed. Who trades first is L4, that nobody trades beyond his limit L5

The numbers are stable names. A law is a generator over a `Case`, one event with the state before and after it, and yields a
sentence for each breach. It sees only what both twins show, at the values in force at that moment (specs/scene.py). L13, L14, L18
and L20 compare whole runs: they take a factory or final states. L18 and the metamorphic laws are in specs/pairs.py.

A law's scope is `always`, or `unless` named seams are armed: who forces a trigger cannot ask that it be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from specs import rules, units
from specs.errors import LawBroken
from specs.lawbook import Breaches, book, ledger, limits, margin, orders, permits, stops
from specs.lawbook.book import fee_ppm
from specs.lawbook.collateral import sold_in
from specs.lawbook.limits import open_interest_raised
from specs.lawbook.orders import is_sent
from specs.model.bands import beyond
from specs.model.exchange import PUBLISH, RESUME, STALE
from specs.model.margin import Haircut
from specs.scene import STATUS_AFTER, Book, Case, Order, Outcome, Scene, Sent, Tables, event_of, outcomes_of
from specs.tape import (
    EVENT,
    FLOWS,
    HOLDER,
    USER,
    USERS_FROM,
    Action,
    Chart,
    EventKind,
    Flow,
    Grade,
    MarketState,
    OutcomeKind,
    Permit,
    Reason,
    Seam,
    Side,
    Stage,
    Status,
    Tif,
)


def liquidated_only_when_triggered(case: Case) -> Breaches:
    seen = set()
    for scene, o in case.walk():
        if o.kind == OutcomeKind.LIQUIDATION:
            at = None
        elif o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
            at = Stage.BOOK, o.ref_id
        elif o.kind == OutcomeKind.TAKEOVER:
            at = o.kind, o.account, o.time_ns, o.round
        elif o.kind == OutcomeKind.ADL:  # own legs and the queue of each market begin anew
            at = o.kind, o.account, o.market, o.reason == Reason.OWN_LEG, o.time_ns, o.round
        else:
            continue
        if at in seen:
            continue  # one slice, one stage: judged when it begins
        seen |= {at} - {None}
        e = scene.evaluate(o.account)
        if not scene.triggered(o.account):
            yield f"{OutcomeKind(o.kind).name} of account {o.account} at equity {e.equity} and maintenance {e.maintenance}"
        if at is None and o.money != e.equity:
            yield f"the episode of account {o.account} opens at equity {o.money}, it is {e.equity}"


def forced_closing_reduces(case: Case) -> Breaches:
    forced, free = set(), set()
    for scene, o in case.walk():
        for account, long in _closed_by_force(o):
            lots = scene.qty[account, o.market]
            if (lots > 0) != long or o.qty > abs(lots):
                yield f"{OutcomeKind(o.kind).name} of {o.qty} lots of account {account}, it holds {lots} of market {o.market}"
            forced.add((account, o.market))
        if o.kind == OutcomeKind.FILL:
            free |= {(o.other, o.market)} | ({(o.account, o.market)} if o.stage == Stage.NONE else set())
        elif o.kind in (OutcomeKind.MOVED, OutcomeKind.BUSTED):
            free |= {(o.account, o.market), (o.other, o.market)}
    before = Scene(case.book, case.before)
    for account, market in sorted(forced - free):
        lots, left = before.qty[account, market], case.final.qty[account, market]
        if not min(0, lots) <= left <= max(0, lots):
            yield f"forced closing turns {lots} lots of account {account} in market {market} into {left}"


def _closed_by_force(o: Outcome) -> list[tuple[int, bool]]:
    """Return (account, whether it must be long) of the positions that an outcome closes without their owners' orders."""
    if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
        return [(o.account, o.side == Side.SELL)]
    if o.kind == OutcomeKind.TAKEOVER:
        return [(o.account, o.side == Side.BUY)]
    if o.kind == OutcomeKind.ADL:
        return [(o.account, o.side == Side.BUY), (o.other, o.side != Side.BUY)]
    return []


def fund_pays_what_it_has(case: Case) -> Breaches:
    unpaid: dict[int, int] = {}
    for scene, o in case.walk():
        has = scene.cash(Chart.FUND)
        if o.kind == OutcomeKind.FLOW and o.account == Chart.FUND and o.money > has:
            yield f"the fund pays {o.money} and has {has}"
        if o.kind == OutcomeKind.FUND_SHORT:
            unpaid[o.account] = o.money
            if has > 0:
                yield f"the fund is short of {o.money} for account {o.other} and still has {has}"
        if o.kind == OutcomeKind.FLOW and o.flow == Flow.WRITE_OFF and Stage.FUND in case.book.stages:
            if unpaid.pop(o.other, None) != o.money:
                yield f"{o.money} of account {o.other} are written off, no FUND_SHORT says so"
    if case.final.cash(Chart.FUND) < 0:
        yield f"the fund has {case.final.cash(Chart.FUND)}"


def _subject(o: Outcome) -> int:
    """Return the account whose stage an outcome belongs to; of a flow toward it, the other."""
    return (
        o.other if o.kind == OutcomeKind.FLOW and o.flow in (Flow.CONVERT_CASH, Flow.FUND_PAYMENT, Flow.WRITE_OFF) else o.account
    )


_OF_A_STAGE = {OutcomeKind.FILL, OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT, OutcomeKind.FUND_SHORT}
_FLOWS_OF_A_STAGE = {Flow.LIQUIDATION_FEE, Flow.CONVERT_CASH, Flow.FUND_PAYMENT, Flow.WRITE_OFF}


def stages_in_order(case: Case) -> Breaches:
    ranks: dict[int, int] = {}  # of the stage each account is in, this round
    offers: dict[int, set[int]] = {}  # by account: markets whose lots the backstop could take when it began to
    closed: set[tuple[int, int]] = set()  # (account, market) that was deleveraged
    number, traded = 0, False
    for scene, o in case.walk():
        if o.round != number or o.kind == OutcomeKind.BOUND:
            ranks, offers, closed, number, traded = {}, {}, set(), o.round, False
        if o.kind == OutcomeKind.CANCELLED and o.stage == Stage.CANCEL and traded:
            yield f"order {o.ref_id} is cancelled after accounts of the round have traded"
        if o.kind in _OF_A_STAGE or (o.kind == OutcomeKind.FLOW and o.flow in _FLOWS_OF_A_STAGE):
            if o.stage == Stage.NONE:
                continue
            traded, account = True, _subject(o)
            rank = case.book.ranks.get(o.stage)
            if rank is None:
                yield f"account {account} is in stage {Stage(o.stage).name}, which the rule book does not have"
                continue
            if rank < ranks.get(account, rank):
                yield f"account {account} goes back to stage {Stage(o.stage).name}"
            takeover = case.book.ranks.get(Stage.TAKEOVER, rank)
            if o.stage == Stage.TAKEOVER:
                offers.setdefault(account, _takeable(case, scene, account))
            elif rank > takeover >= ranks.get(account, 0):
                yield from _taken_over(case, scene, account, offers)
            if o.kind == OutcomeKind.ADL:
                closed.add((account, o.market))
            ranks[account] = rank
            yield from _stage_gets_the_rest(case, scene, o)
        if o.kind == OutcomeKind.CARRIED:
            if ranks.get(o.account, 0) <= case.book.ranks.get(Stage.TAKEOVER, -1):
                yield from _taken_over(case, scene, o.account, offers)
            yield from _nothing_was_left_undone(case, scene, o, closed)


def _stage_gets_the_rest(case: Case, scene: Scene, o: Outcome) -> Breaches:
    account, cash = _subject(o), scene.cash(_subject(o))
    if o.kind == OutcomeKind.FILL and o.stage == Stage.CONVERT:
        yield from _slice_of_collateral(case, scene, o)
    elif o.kind == OutcomeKind.FILL:
        largest = max(scene.held(account), key=lambda m: (scene.maintenance(account, m), -m), default=None)
        if largest != o.market and not any(x.ref_id == o.ref_id and x.market == o.market for x in case.outcomes if x is not o):
            yield f"the slice of account {account} is in market {o.market}, its largest maintenance in {largest}"
    if o.kind == OutcomeKind.TAKEOVER:
        if o.qty != abs(scene.qty[account, o.market]):
            yield f"takeover of {o.qty} lots of account {account}, which holds {scene.qty[account, o.market]}"
        if Seam.TAKEOVER_ACCEPT not in case.armed and not _accepted(scene, account, o.market):
            yield f"takeover of {o.qty} lots of market {o.market} beyond the backstop's cap, or with too small a fund"
        cash = scene.qty[account, o.market] * scene.value(o.market) - max(0, transfer_share(scene, account, o.market))
        if (o.money, o.price) != (cash, scene.marks[o.market].last_valid):
            yield f"a takeover pays account {account} {o.money} at {o.price}, its position is worth {cash} to it"
    if o.kind == OutcomeKind.ADL and Seam.ADL_TRIGGER not in case.armed and not _deleverages(scene):
        yield f"account {account} is deleveraged while the fund has {scene.fund_measure()}"
    if o.stage in (Stage.CONVERT, Stage.FUND, Stage.WRITE_OFF) and scene.held(account):
        yield f"account {account} reaches stage {Stage(o.stage).name} with lots open"
    if o.stage in (Stage.FUND, Stage.WRITE_OFF) and not scene.converted(account):
        yield f"account {account} reaches stage {Stage(o.stage).name} with collateral left to convert"
    if o.kind == OutcomeKind.CONVERT:
        yield from _conversion_is_exact(scene, o)
    if o.kind == OutcomeKind.FUND_SHORT and o.money != -cash:
        yield f"the fund is short of {o.money} for account {account}, whose balance is {cash}"
    if o.kind == OutcomeKind.FLOW and o.flow == Flow.FUND_PAYMENT and o.money != min(-cash, scene.cash(Chart.FUND)):
        yield f"the fund pays {o.money} to account {account}: its balance is {cash}, the fund's {scene.cash(Chart.FUND)}"
    if o.kind == OutcomeKind.FLOW and o.flow == Flow.WRITE_OFF and o.money != -cash:
        yield f"{o.money} of account {account} are written off, its balance is {cash}"


def transfer_share(scene: Scene, account: int, market: int) -> int:
    """Return what a position gives up beside its value at the mark: the account's margin by maintenance, rounded up.

    The margin is what bankruptcy uses up, collateral at its conversion value; of the last position it is all. A debt is negative.
    """
    need, total = scene.maintenance(account, market), scene.evaluate(account).maintenance
    margin = scene.conversion_equity(account)
    return units.muldiv_ceil(margin, need, total) if need < total else margin


def _accepted(scene: Scene, account: int, market: int) -> bool:
    """Return whether the backstop may take the account's position over: within its cap, with enough of a fund."""
    row = scene.book.stages[Stage.TAKEOVER]
    if row.fund_min is not None and scene.fund_measure() < scene.book.whole(row.fund_min):
        return False
    lots = scene.qty[Chart.BACKSTOP, market] + scene.qty[account, market]
    return row.notional_max is None or abs(lots) * scene.value(market) <= scene.book.whole(row.notional_max)


def _deleverages(scene: Scene) -> bool:
    """Return whether the fund is as low as the stage wants it."""
    row = scene.book.stages[Stage.ADL]
    return row.fund_max is None or scene.fund_measure() <= scene.book.whole(row.fund_max)


def _convertible(scene: Scene, account: int) -> list[Haircut]:
    """Return the collateral rows of which the account has something that may be sold, in the rule book's order."""
    rows = [h for h in scene.book.haircuts if scene.balance[account, h.asset] > 0]
    return [h for h in rows if scene.permit(scene.collateral[h.asset], Action.CONVERT) < Permit.DEFER]


def _slice_of_collateral(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A slice sells what the debt needs at the conversion price, judged when it begins, where the stage goes to the book."""
    fills = [x for x in case.outcomes if x.kind == OutcomeKind.FILL and x.ref_id == o.ref_id]
    if o is not fills[0]:
        return
    row = sold_in(case, o.market)
    if case.book.stages[Stage.CONVERT].to != "book" or o.side != Side.SELL or row not in _convertible(scene, o.account):
        yield f"collateral of account {o.account} is sold in market {o.market}, no stage does so"
    lots, sold = scene.sale(o.account, row)[0], sum(x.qty for x in fills)
    if scene.cash(o.account) >= 0 or sold > lots:
        cash = scene.cash(o.account)
        yield f"{sold} lots of account {o.account} are sold in market {o.market}, due are {lots} at a balance of {cash}"


def _could_sell(scene: Scene, account: int) -> bool:
    """Return whether collateral could still be sold: dust to the treasury, or lots to a bid within the bound."""
    for row in _convertible(scene, account):
        if (
            scene.book.stages[Stage.CONVERT].to == "treasury"
            or scene.balance[account, row.asset] < scene.book.spot[row.market].units
        ):
            return True
        bid = scene.first(row.market, Side.BUY)
        open_market = scene.state_permit(row.market, Action.LIQUIDATE) < Permit.DEFER and scene.band_is_known(row.market)
        if bid is None or not open_market or scene.states[row.market] == MarketState.AUCTION:
            continue
        price, inside = scene.orders[bid].price, scene.limits(row.market)
        if price >= scene.sale(account, row)[1] and (inside is None or price in inside):
            return True
    return False


def _conversion_is_exact(scene: Scene, o: Outcome) -> Breaches:
    """The first row that may be sold; no more of it than pays the debt. Where the stage goes to the book only dust comes here."""
    if scene.book.stages[Stage.CONVERT].to == "book":
        row = next((h for h in _convertible(scene, o.account) if h.asset == o.asset), None)
        if row is None or scene.balance[o.account, o.asset] >= scene.book.spot[row.market].units:
            yield f"asset {o.asset} of account {o.account} goes to the treasury, it was to be sold in the book"
            return
        rows = [row]
    else:
        rows = _convertible(scene, o.account)
    row, need = next(iter(rows), None), -scene.cash(o.account)
    if row is None or row.asset != o.asset or need <= 0:
        yield f"asset {o.asset} of account {o.account} is converted out of turn, its balance is {-need}"
        return
    price, balance = scene.collateral[o.asset].last_valid, scene.balance[o.account, o.asset]
    sold = balance if row.conversion_value(balance, price) <= need else row.conversion_qty(need, price)
    if (o.money, o.price) != (sold, row.conversion_price(price)):
        yield f"{o.money} of asset {o.asset} are converted at {o.price}, due are {sold} at {row.conversion_price(price)}"


def _takeable(case: Case, scene: Scene, account: int) -> set[int]:
    """Return the markets in which the backstop may take the account's lots now."""
    if Stage.TAKEOVER not in case.book.stages or Seam.TAKEOVER_ACCEPT in case.armed:
        return set()
    held = (m for m in scene.held(account) if scene.market_permit(m, Action.TAKEOVER) < Permit.DEFER)
    return {market for market in held if _accepted(scene, account, market)}


def _taken_over(case: Case, scene: Scene, account: int, offers: dict[int, set[int]]) -> Breaches:
    """An account leaves the stage of the backstop without lots that it could take from first to last."""
    left = _takeable(case, scene, account)
    left &= offers.get(account, left)
    if left:
        yield f"account {account} goes on with lots in the markets {sorted(left)}, which the backstop could take"


def _nothing_was_left_undone(case: Case, scene: Scene, o: Outcome, closed: set[tuple[int, int]]) -> Breaches:
    """An account is carried only if no stage could do more for it in this round; how far a queue went is L11."""
    account, stages, held = o.account, case.book.stages, scene.held(o.account)
    if Stage.ADL in stages and Seam.ADL_TRIGGER not in case.armed and _deleverages(scene):
        for market in (m for m in held if (account, m) not in closed):
            if scene.market_permit(market, Action.ADL) < Permit.DEFER and any(c.lots for c in _bearers(scene, account, market)):
                yield f"account {account} is carried with lots in market {market} that others could be deleveraged for"
    if not held and scene.cash(account) < 0:
        sold = any(x.account == account and x.round == o.round and x.stage == Stage.CONVERT for x in case.outcomes)
        if Stage.CONVERT in stages and not sold and _could_sell(scene, account):
            yield f"account {account} is carried with collateral that could be converted"
        if scene.converted(account):
            yield f"account {account} is carried, flat and converted: what it owes was to be paid or written off"


class Bearer(NamedTuple):
    """A counterparty of a deleveraging: its score, ppb, and how many lots it can close at the transfer price."""

    account: int
    score: int
    lots: int


def _bearers(scene: Scene, account: int, market: int) -> list[Bearer]:
    """Return everybody who may be deleveraged for the account's position, highest score first, of equals the lower id."""
    held, owner, share = scene.qty[account, market], scene.owner[account], transfer_share(scene, account, market)
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


def deleveraged_in_order(case: Case) -> Breaches:
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
        self.lots, self.share = abs(scene.qty[o.account, o.market]), transfer_share(scene, o.account, o.market)
        self.bearers = {bearer.account: bearer.lots for bearer in _bearers(scene, o.account, o.market)}
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


def nobody_is_forgotten(case: Case) -> Breaches:
    told = {o.account: STATUS_AFTER[o.kind] for o in case.outcomes if o.kind in STATUS_AFTER}
    before = {row[0]: row[4] for row in case.before["accounts"]}
    for account, status in case.final.status.items():
        if status != told.get(account, before.get(account, Status.NORMAL)):
            yield f"account {account} is {Status(status).name}, no outcome says so"
        if case.settled and case.final.triggered(account) != (status != Status.NORMAL):
            e = case.final.evaluate(account)
            yield f"account {account} is {Status(status).name} at equity {e.equity} and maintenance {e.maintenance}"


def funding_telescopes(case: Case) -> Breaches:
    """Told at every multiple of the interval; the payments are what the positions owe of it, all through the residue."""
    yield from _intervals(case)
    due: dict[int, int] = {}  # what accounts pay, or receive, and have not yet
    since: dict[int, int] = {}  # market -> time from which the sample of its premium counts anew
    for scene, o in case.walk():
        if o.flow in _FUNDING_PAYS:
            sign, holder = (1, o.account) if o.flow == Flow.FUNDING_PAID else (-1, o.other)
            if due.pop(holder, 0) != sign * o.money:
                yield f"account {holder} pays {sign * o.money} of funding, more or less than its position owes"
            continue
        if due:
            yield f"funding of {due} is not paid"
        due = {}
        if o.kind == OutcomeKind.FUNDING:
            yield from _interval(case, scene, o, since.get(o.market))
            since[o.market] = o.time_ns
            due = _funding_due(scene, o)
            if abs(sum(due.values())) > len(due):
                yield f"the residue of market {o.market} takes {sum(due.values())} of {len(due)} payments: more than rounding"
    if due:
        yield f"funding of {due} is not paid"
    for market, index in case.final.funding.items():
        if index != case.end.funding[market]:
            yield f"the cumulative funding of market {market} is {index}, its outcomes say {case.end.funding[market]}"
    for market, _, *premium in case.after["funding"]:
        taken = _samples(case, market, case.after["clock"][0][0], since.get(market))
        if taken is not None and tuple(premium) != taken:
            yield f"the premium of market {market} is {premium} (sum, samples), its publications make it {taken}"


_FUNDING_PAYS = (Flow.FUNDING_PAID, Flow.FUNDING_RECEIVED)


def _intervals(case: Case) -> Breaches:
    """Every whole multiple of an interval that time has passed is told, none else."""
    then, now = case.before["clock"][0][0], case.after["clock"][0][0]
    wanted = []
    for market, row in enumerate(case.book.venue.markets):
        every = row.funding.every_ns if row.funding else now + 1
        wanted += [(time, market) for time in range((then // every + 1) * every, now + 1, every)]
    told = [(o.time_ns, o.market) for o in case.outcomes if o.kind == OutcomeKind.FUNDING]
    if told != sorted(wanted):
        yield f"funding is told at {told} (time, market), due is {sorted(wanted)}"


def _funding_due(scene: Scene, o: Outcome) -> dict[int, int]:
    """Return by account R(q F_now) - R(q F_then), R rounding up to whole money; what it receives is negative."""
    owed = {}
    for (account, market), lots in scene.qty.items():
        if market == o.market and lots:
            then, now = (units.div_ceil(lots * index, units.PPB) for index in (scene.funding[market], o.money))
            owed[account] = now - then
    return {account: money for account, money in owed.items() if money}


def _interval(case: Case, scene: Scene, o: Outcome, since: int | None) -> Breaches:
    """One interval: skipped for a reason, or at the rate that the premium gives; the index moves by rate x value."""
    armed, row = Seam.FUNDING_RATE in case.armed, case.book.venue.markets[o.market].funding
    moved = o.money - scene.funding[o.market]
    if moved != (0 if o.reason else o.price * scene.value(o.market)):
        yield f"funding of market {o.market} moves by {moved} at a rate of {o.price} and a value of {scene.value(o.market)}"
    why = Reason.NONE
    if scene.permit(scene.marks[o.market], Action.FUNDING) >= Permit.DEFER:
        why = Reason.GRADE_REFUSED
    elif scene.state_permit(o.market, Action.FUNDING) >= Permit.DEFER:
        why = Reason.MARKET_STATE
    elif scene.size(scene.book.numeraire) > units.FUNDING_BALANCES_MAX:
        why = Reason.FUNDING_LIMIT
    if o.reason != why and not (armed and o.reason == Reason.GRADE_REFUSED):
        yield f"an interval of market {o.market} has the reason {Reason(o.reason).name}, due is {why.name}"
    if abs(o.price) > (units.FUNDING_RATE_MAX_PPB if armed else row.cap_ppb):
        yield f"the funding rate of market {o.market} is {o.price}, capped at {row.cap_ppb}"
    premium = _premium(case, o, since)
    if o.reason or armed or premium is None:
        return
    rate = max(-row.cap_ppb, min(row.cap_ppb, premium + max(-row.damp_ppb, min(row.damp_ppb, row.interest_ppb - premium))))
    if o.price != rate:
        yield f"the funding rate of market {o.market} is {o.price}, at a premium of {premium} it is {rate}"


def _premium(case: Case, funding: Outcome, since: int | None) -> int | None:
    """Return the mean premium of an interval that ends, rounded down; None where the outcomes do not tell it."""
    taken = _samples(case, funding.market, funding.time_ns, since, funding)
    if taken is None:
        return None
    total, samples = taken
    return units.div_floor(total, samples) if samples else 0


def _samples(case: Case, market: int, until: int, since: int | None, stop: Outcome | None = None) -> tuple[int, int] | None:
    """Return sum and number of the premium samples of an interval, from the table before the event and the publications since.

    since: when the interval began, if within this event. None where the outcomes do not tell it: an index that does not change
    when it is published says nothing, so that the book at that moment is known only if it did not move either.
    """
    venue = case.book.venue
    index = venue.number("indices", venue.markets[market].index)
    total, samples = next(row[2:4] for row in case.before["funding"] if row[0] == market) if since is None else (0, 0)
    publish = venue.indices[index].publish
    if publish.kind == "update":
        timers = any(kind in (STALE, PUBLISH) and time <= until for kind, _, time in case.before["timers"])
        heard = stop is None and case.event.kind == EventKind.SOURCE
        traded = _reads_books(venue, index) and any(o.kind == OutcomeKind.FILL for o in case.outcomes)
        return None if timers or heard or traded or case.unsettled else (total, samples)
    first = next(time for kind, number, time in case.before["timers"] if (kind, number) == (PUBLISH, index))
    for time in range(first, until + 1, publish.every_ns):
        if since is not None and time <= since:
            continue
        found = _sampled(case, market, stop, index, time)
        if len(found) != 1:
            return None
        (sample,) = found
        total, samples = (total, samples) if sample is None else (total + sample, samples + 1)
    return total, samples


def _reads_books(venue: rules.Venue, index: int) -> bool:
    """Return whether an index, or a leg of it, reads a book: on update it is published when that trades."""
    nodes = list(rules.walk(venue.indices[index].recipe))
    legs = (venue.number("indices", node.name) for node in nodes if node.kind == "index")
    return any(node.kind == "book" for node in nodes) or any(_reads_books(venue, leg) for leg in legs)


def _sampled(case: Case, market: int, stop: Outcome | None, index: int, time: int) -> set[int | None]:
    """Return every premium that an index published at `time` can have had; None: no sample."""
    grade, price = next(row[1:3] for row in case.before["indices"] if row[0] == index)
    found, said = set(), False

    def look(scene: Scene) -> None:
        bid, ask = (scene.first(market, side) for side in (Side.BUY, Side.SELL))
        if grade != Grade.VALID or bid is None or ask is None:
            found.add(None)
        else:
            mid = units.div_floor(scene.orders[bid].price + scene.orders[ask].price, 2)
            found.add(units.div_floor((mid - price) * units.PPB, price))

    for scene, o in case.walk():
        if o.time_ns >= time and not said:
            look(scene)
        if o is stop or o.time_ns > time:
            break
        if o.kind == OutcomeKind.INDEX and o.ref_id == index:
            grade, price = o.grade, o.price
            if o.time_ns == time:
                found, said = set(), True
                look(scene)
    else:
        if not said:
            look(case.end)
    return found


def nobody_is_charged_for_nothing(case: Case) -> Breaches:
    """Every outcome that takes something from a user: for its own request, its own fill, or by a row that names the charge."""
    last: Outcome | None = None  # the fill or the funding interval that charges belong to
    paid = 0  # notional of the liquidation slice that the last fill belongs to
    fills = _Fills(case)
    for scene, o in case.walk():
        yield from fills.see(o)
        if o.kind == OutcomeKind.FILL:
            notional = o.qty * o.price * case.book.multiplier[o.market]
            paid = notional + (paid if last and last.ref_id == o.ref_id else 0)
            yield from _fill_is_owed(case, scene, o, notional)
        elif o.kind in (OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT):
            yield from _closing_is_owed(case, scene, o)
        elif o.kind == OutcomeKind.MOVED:
            e = case.event
            if (e.kind, e.account, e.qty) != (EventKind.MODE, o.account, o.other) or scene.owner[o.account] != scene.owner[
                o.other
            ]:
                yield f"a position of account {o.account} moves to {o.other}, nobody asked for it"
        elif o.kind == OutcomeKind.FLOW:
            yield from _flow_fits(o)
            if o.account >= USERS_FROM:
                yield from _flow_is_owed(case, scene, o, last, paid)
        if o.kind in (OutcomeKind.FILL, OutcomeKind.FUNDING):
            last = o
    yield from fills.end()


class _Fills:
    """The fills that may be busted, replayed: rows as the table has them."""

    def __init__(self, case: Case) -> None:
        self.case, self.count = case, case.before["clock"][0][3]
        self.kept = {row[0]: row for row in case.before["fills"]}
        self.due: tuple[int, int] | None = None  # (maker, fee) of a bust whose FEE_RETURNED comes next

    def told(self, o: Outcome) -> None:
        """Count a fill, and forget the one that is now too old."""
        book, most = self.case.book, self.case.book.venue.limits.fills_kept
        cash, fees = o.qty * o.price * book.multiplier[o.market], book.venue.markets[o.market].fees
        maker_fee = units.div_ceil(cash * fees.maker_ppm, units.PPM) if book.venue.clearing == "full" else 0
        self.kept[self.count] = (self.count, o.account, o.other, o.market, o.side, o.price, o.qty, o.money, maker_fee, 0)
        self.kept.pop(self.count - most, None)
        self.count += 1

    def see(self, o: Outcome) -> Breaches:
        if self.due and (o.flow, o.other, o.money) != (Flow.FEE_RETURNED, *self.due):
            yield f"a fill is busted and {self.due} (maker, fee) is not returned"
        elif not self.due and o.flow == Flow.FEE_RETURNED:
            yield f"a fee of {o.money} is returned to account {o.other}, none of its fills is busted"
        self.due = None
        if o.kind == OutcomeKind.FILL:
            self.told(o)
        elif o.kind == OutcomeKind.BUSTED:
            yield from self._busted(o)
        elif o.kind == OutcomeKind.REJECT and self.case.event.kind == EventKind.BUST:
            busted = self.kept[o.ref_id][-1] if o.ref_id in self.kept else None
            if (o.reason == Reason.UNKNOWN_FILL and busted is not None) or (o.reason == Reason.BUSTED_ALREADY and not busted):
                yield f"fill {o.ref_id} is not busted for {Reason(o.reason).name}, and that is not so"

    def _busted(self, o: Outcome) -> Breaches:
        row, e = self.kept.get(o.ref_id), self.case.event
        if (e.kind, e.ref_id) != (EventKind.BUST, o.ref_id) or row is None or row[-1]:
            yield f"fill {o.ref_id} is busted: nobody asked for it, it is not kept, or it was busted before"
            return
        if (o.account, o.other, o.market, o.side, o.price, o.qty, o.money) != row[1:8]:
            yield f"fill {o.ref_id} is busted as {o.qty} lots at {o.price} and a fee of {o.money}, it was {row}"
        self.kept[o.ref_id] = (*row[:-1], 1)
        self.due = (row[2], row[8]) if row[8] else None

    def end(self) -> Breaches:
        if self.due:
            yield f"a fill is busted and {self.due} (maker, fee) is not returned"
        now = self.case.after["clock"][0][3], self.case.after["fills"]
        if now != (self.count, [self.kept[number] for number in sorted(self.kept)]):
            yield f"{now[0]} fills are counted and {now[1]} kept, the outcomes say {self.count} and {self.kept}"


def _fill_is_owed(case: Case, scene: Scene, o: Outcome, notional: int) -> Breaches:
    """Who takes sent the order, now or before, or is in liquidation; who makes has an order there; the fee is the market's."""
    forced = o.stage in (Stage.BOOK, Stage.CONVERT)
    asked = case.asks(o) and case.event.account == o.account
    if case.fired(o) or o.market in scene.auctions:  # who asked before; in an auction neither has asked in this event
        asked = o.ref_id in scene.orders and scene.orders[o.ref_id].account == o.account
    if not (scene.status[o.account] == Status.LIQUIDATING if forced else asked):
        yield f"account {o.account} trades and has not asked for it, nor is it in liquidation"
    maker = scene.orders.get(o.other_id)
    if maker is None or maker.account != o.other:
        yield f"account {o.other} trades order {o.other_id}, which is not its own"
    fee = 0 if forced or not case.book.clears else units.div_ceil(notional * fee_ppm(case, scene, o), units.PPM)
    if o.money != fee:
        yield f"account {o.account} pays a fee of {o.money} for a fill, due are {fee}"


def _closing_is_owed(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Only an account in liquidation is closed or converted; whom it is deleveraged against held the other side."""
    if scene.status[o.account] != Status.LIQUIDATING:
        yield f"{OutcomeKind(o.kind).name} of account {o.account}, which is {Status(scene.status[o.account]).name}"
    stage = {OutcomeKind.TAKEOVER: Stage.TAKEOVER, OutcomeKind.ADL: Stage.ADL, OutcomeKind.CONVERT: Stage.CONVERT}[o.kind]
    if stage not in case.book.stages:
        yield f"{OutcomeKind(o.kind).name} of account {o.account}, for which the rule book has no stage"
    if o.kind == OutcomeKind.ADL and scene.qty[o.other, o.market] * scene.qty[o.account, o.market] >= 0:
        yield f"account {o.other} is deleveraged and does not hold the other side"


def _flow_fits(o: Outcome) -> Breaches:
    """The ends of a flow are those of its row in FLOWS."""
    for end, account in zip(FLOWS.get(o.flow, ("nobody", "nobody")), (o.account, o.other)):
        user = account >= USERS_FROM
        if not (user or account == Chart.BACKSTOP if end == HOLDER else user if end == USER else end == Chart(account).name):
            yield f"a flow of kind {o.flow} goes from {o.account} to {o.other}, its row says {FLOWS.get(o.flow)}"


def _flow_is_owed(case: Case, scene: Scene, o: Outcome, last: Outcome | None, paid: int) -> Breaches:
    e, what = case.event, f"account {o.account} pays a {Flow(o.flow).name} of {o.money}"
    if o.flow in (Flow.WITHDRAWAL, Flow.TRANSFER):
        if e.account != o.account or e.kind not in (EventKind.WITHDRAW, EventKind.TRANSFER, EventKind.MODE):
            yield f"{what} and has not asked for it"
        if o.flow == Flow.TRANSFER and scene.owner[o.account] != scene.owner[o.other]:
            yield f"{what} to account {o.other} of another owner"
    elif last is not None and last.kind == OutcomeKind.FILL and o.flow in (Flow.FEE, Flow.LIQUIDATION_FEE):
        fees = case.book.venue.markets[last.market].fees
        notional = last.qty * last.price * case.book.multiplier[last.market]
        who, fee = last.other, units.div_ceil(notional * fees.maker_ppm, units.PPM)
        if o.flow == Flow.LIQUIDATION_FEE:
            left = max(0, scene.conversion_equity(last.account))
            who, fee = last.account, min(units.div_ceil(paid * fees.liquidation_ppm, units.PPM), left)
        if (o.account, o.money) != (who, fee) or (o.flow == Flow.LIQUIDATION_FEE and last.stage != Stage.BOOK):
            yield f"{what}, due are {fee} of account {who}"
    elif o.flow == Flow.FUNDING_PAID and last is not None and last.kind == OutcomeKind.FUNDING:
        if not scene.qty[o.account, last.market]:
            yield f"{what} and holds nothing of market {last.market}"
    elif o.flow == Flow.AUTO_ADD:
        yield from _auto_add_is_owed(case, scene, o)
    else:
        yield f"{what}, no row names it"


def _auto_add_is_owed(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A parent adds margin to its own sub-account that asks for it, when it is due, up to initial margin."""
    if scene.parent.get(o.other) != o.account or not scene.auto_add[o.other]:
        yield f"account {o.account} adds margin to account {o.other}, which is no sub-account of it or has not switched it on"
    if Seam.LIQUIDATION_TRIGGER not in case.armed and not scene.triggered(o.other):
        yield f"account {o.account} adds margin to account {o.other}, which is safe"
    short = scene.requirements(o.other) - scene.evaluate(o.other).equity
    if o.money > short:
        yield f"account {o.account} adds {o.money} to account {o.other}, which is short of {short}"


def bands_and_limits_hold(case: Case) -> Breaches:
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


class Uncrossing(NamedTuple):
    """What a price of an auction does: the lots that trade at it, and what it leaves; sells are negative."""

    price: int
    lots: int
    surplus: int


_TAKE_AWAY = (Reason.REDUCE_ONLY, Reason.UNFUNDED, Reason.OPEN_INTEREST_LIMIT)


def auctions_trade_at_one_price(case: Case) -> Breaches:
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


def _tables(exchange) -> tuple[str, Tables]:
    return exchange.digest(), exchange.state()


def reject_is_clock(factory: Callable, events: np.ndarray) -> None:
    """L13. Run the tape twice, the second time with a CLOCK in place of every refused event: the states are equal after each.

    `factory()` returns a fresh exchange. Raises LawBroken at the first event after which they differ.
    """
    said, silent = factory(), factory()
    for number, event in enumerate(events):
        outcomes = outcomes_of(said.apply(event))
        case = Case(None, {}, event_of(event.tobytes()), outcomes, {})
        if case.rejected:
            clock = np.zeros(1, EVENT)
            clock["time_ns"], clock["kind"], clock["batch_left"] = event["time_ns"], EventKind.CLOCK, event["batch_left"]
            silent.apply(clock[0])
        else:
            silent.apply(event)
        if said.state() != silent.state():
            raise LawBroken("L13", number, f"after REJECT({case.rejected.name}) the state is not the state after a CLOCK")


def same_input_same_digest(factory: Callable, restore: Callable, events: np.ndarray, cut: int) -> None:
    """L14. Whole = whole again = in two chunks cut anywhere = event by event = restored from a snapshot at the cut.

    `factory()` returns a fresh exchange, `restore(blob)` one from a snapshot. Raises LawBroken.
    """
    whole = factory()
    whole.run(events)
    want = _tables(whole)

    def judge(exchange, what: str) -> None:
        if _tables(exchange) != want:
            raise LawBroken("L14", len(events) - 1, f"{what} does not end as the whole run does")

    again, chunked, single = factory(), factory(), factory()
    again.run(events)
    judge(again, "the same run")
    chunked.run(events[:cut])
    blob = chunked.snapshot()
    chunked.run(events[cut:])
    judge(chunked, f"the run in chunks cut at {cut}")
    for event in events:
        single.apply(event)
    judge(single, "the run event by event")
    restored = restore(blob)
    restored.run(events[cut:])
    judge(restored, f"the run restored at {cut}")


def gains_equal_losses(
    venue: rules.Venue, a_state: Tables, b_state: Tables, prices: dict[int, int] | None = None
) -> dict[tuple[int, int], int]:
    """L20. Return by (account, asset) what is worth more in the second of two final states than in the first; negative: less.

    Users and the whole closed chart, in units of the asset; what did not change is absent. Positions count at common `prices`, by
    market number in its price units; absent: the last valid marks of the first state. Raises LawBroken unless asset by asset the
    differences sum to 0.
    """
    if prices is None:
        prices = {row[0]: row[5] for row in a_state["marks"]}
    gains: Counter = Counter()
    for sign, state in ((-1, a_state), (1, b_state)):
        for account, asset, money in state["balances"]:
            gains[account, asset] += sign * money
        for account, number, _, lots, _ in state["positions"]:
            market = venue.markets[number]
            worth = lots * prices[number] * venue.multiplier(market)
            gains[account, venue.number("assets", market.settles_in)] += sign * worth
    for asset in range(len(venue.assets)):
        total = sum(money for (_, of), money in gains.items() if of == asset)
        if total:
            raise LawBroken("L20", b_state["clock"][0][1] - 1, f"between the two runs the chart gains {total} of asset {asset}")
    return {key: money for key, money in sorted(gains.items()) if money}


@dataclass(frozen=True)
class Law:
    """`check` yields a sentence for each breach; a law of whole runs has none but a function above. `unless`: what lifts it."""

    name: str
    text: str
    check: Callable[[Case], Breaches] | None
    unless: frozenset[Seam] = frozenset()

    @property
    def scope(self) -> str:
        return "unless " + ", ".join(sorted(seam.name for seam in self.unless)) if self.unless else "always"


_TRIGGER = frozenset({Seam.LIQUIDATION_TRIGGER})
LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("L1", "per market signed lots sum to 0", ledger.lots_sum_to_zero),
        Law("L2", "per asset the closed chart sums to 0", ledger.chart_sums_to_zero),
        Law("L3", "the book at rest is not crossed", book.book_is_not_crossed),
        Law("L4", "price, then time", book.price_then_time),
        Law("L5", "a fill is within both orders' limits and quantities", book.fills_within_limits),
        Law("L6", "exposure grows only with initial margin", margin.opened_with_margin),
        Law("L7", "liquidation only while its trigger is true", liquidated_only_when_triggered, _TRIGGER),
        Law("L8", "forced closing never increases or flips", forced_closing_reduces),
        Law("L9", "the fund pays what it has and says what it could not", fund_pays_what_it_has),
        Law("L10", "stages in order, the next gets exactly the rest", stages_in_order),
        Law("L11", "deleveraged: who may be, what he can bear, in order, to the unit", deleveraged_in_order),
        Law("L12", "longs = shorts = open interest", ledger.longs_are_shorts),
        Law("L13", "a REJECT leaves the state of a CLOCK", None),
        Law("L14", "same input, same digest", None),
        Law("L15", "no limit is passed silently", limits.limits_are_not_silent),
        Law("L16", "reservations are what orders imply", orders.reserved_for_orders),
        Law("L17", "funding telescopes; payments and residue sum to 0", funding_telescopes),
        Law("L18", "a fault in X leaves alone what shares nothing with X", None),
        Law("L19", "whoever's trigger is true is dealt with", nobody_is_forgotten, _TRIGGER),
        Law("L20", "gains = losses between two runs", None),
        Law("L21", "nothing happens at a grade or in a state that refuses it", permits.grades_are_obeyed),
        Law("L22", "no reduce-only order above the position", orders.reduce_only_stays_below),
        Law("L23", "nobody is charged for nothing", nobody_is_charged_for_nothing),
        Law("L24", "an order does what its kind says", orders.orders_keep_their_kind),
        Law("L25", "nobody trades with himself where it is forbidden", orders.nobody_trades_with_himself),
        Law("L26", "waiting orders fire when, and only when, they must; in order of entry", stops.waiting_orders_fire),
        Law("L27", "no order beyond its band, no fill beyond the limits; pauses end in time", bands_and_limits_hold),
        Law("L28", "an auction trades at one price that trades most and leaves least", auctions_trade_at_one_price),
    )
}
CHECKED = tuple(name for name, law in LAWS.items() if law.check)
"""The laws that are checked after every event."""

_latest: Book | None = None


def _book(venue: rules.Venue) -> Book:
    """Return the venue's Book; the latest one is kept."""
    global _latest
    if _latest is None or _latest.venue is not venue:
        _latest = Book(venue)
    return _latest


def breaches(
    venue: rules.Venue,
    before: Tables,
    event: bytes,
    outcomes: bytes,
    after: Tables,
    armed: Collection[int] = (),
    names: Iterable[str] = CHECKED,
) -> Iterator[LawBroken]:
    """Yield a LawBroken for each breach of the named laws by one event; `armed`: the seams of the run's fault schedule."""
    case = Case(_book(venue), before, event_of(event), outcomes_of(outcomes), after, armed)
    number = after["clock"][0][1] - 1
    for name in names:
        law = LAWS[name]
        if law.unless.isdisjoint(armed):
            for detail in law.check(case):
                yield LawBroken(name, number, detail)


def check(
    venue: rules.Venue, before: Tables, event: bytes, outcomes: bytes, after: Tables, armed: Collection[int] = (), names=CHECKED
) -> None:
    """Raise the first LawBroken, if any."""
    for broken in breaches(venue, before, event, outcomes, after, armed, names):
        raise broken
