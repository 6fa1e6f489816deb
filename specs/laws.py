"""The laws of the exchange: what must hold after every event, whatever the tape, the rule book and the faults.

    L1   per market the signed lots of all ledger accounts sum to 0
    L2   per asset the closed chart sums to 0, and balances change by the flows that were told
    L3   the book at rest is not crossed, nor locked
    L4   orders trade by price, then by time; a queue changes only at its ends, by fills and by cancels
    L5   a fill is at the maker's price, within the taker's limit, and within both quantities
    L6   what raises a requirement is accepted only with initial margin: orders; so too leverage and withdrawals
    L7   an episode opens only when its trigger is true, and each slice of it is taken only while it is
    L8   in the account being closed forced closing never increases or flips a position
    L9   the fund never pays more than it has; what it could not pay it says
    L10  stages in the rule book's order, on their conditions, caps respected; the next gets exactly the rest
    L11  (later: auto-deleveraging) eligible only, within capacity, exact total, a total order
    L12  longs = shorts = open interest, and it changes by fills and takeovers only
    L13  the state after a REJECT at t is the state after a CLOCK at t
    L14  same input, same digest; chunked = whole; snapshot + rest = whole
    L15  no limit is passed silently, and no event is left without its answer
    L16  reservations are what the resting orders imply; without orders they are 0
    L17  (later: funding) accruals telescope; sum + residue = 0
    L18  (later: several pools) a fault in X leaves untouched what shares nothing with X
    L19  completeness: whoever's trigger is true is in liquidation or suspended, by an outcome that says so
    L20  (later: make-whole) gains = losses between two runs
    L21  nothing happens at a grade for which the table refuses it
    L22  (later: reduce-only orders) no reduce-only order above the position
    L23  (later: charges) who owes nothing is charged nothing, unless a row names the charge

The numbers are stable names. A law is a generator over a `Case`, one event with the state before and after it, and yields a
sentence for each breach. It sees only what both twins show, at the values in force at that moment (specs/scene.py). L13 and L14
compare whole runs: they take a factory.

A law's scope is `always`, or `unless` named seams are armed: who forces a trigger cannot ask that it be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from specs import rules, units
from specs.errors import LawBroken
from specs.model.margin import Haircut
from specs.scene import STATUS_AFTER, Book, Case, Order, Outcome, Scene, Tables, event_of, outcomes_of
from specs.tape import (
    EVENT,
    USERS_FROM,
    Action,
    Chart,
    EventKind,
    Flow,
    OutcomeKind,
    Permit,
    Reason,
    Seam,
    Side,
    Stage,
    Status,
    Tif,
)

Breaches = Iterator[str]


# ---- the laws


def lots_sum_to_zero(case: Case) -> Breaches:
    total = Counter()
    for _, market, _, lots, _ in case.after["positions"]:
        total[market] += lots
    for market, lots in total.items():
        if lots:
            yield f"the lots of market {market} sum to {lots}"


def chart_sums_to_zero(case: Case) -> Breaches:
    total = Counter()
    for _, asset, money in case.after["balances"]:
        total[asset] += money
    for asset, money in total.items():
        if money:
            yield f"the balances of asset {asset} sum to {money}"
    for key in {**case.end.balance, **case.final.balance}:
        told, is_now = case.end.balance[key], case.final.balance[key]
        if told != is_now:
            yield f"account {key[0]} holds {is_now} of asset {key[1]}, the flows say {told}"


def book_is_not_crossed(case: Case) -> Breaches:
    best: dict[tuple[int, int], int] = {}
    for market, side, price, *_ in case.after["orders"]:
        better = max if side == Side.BUY else min
        best[market, side] = better(price, best.get((market, side), price))
    for market in case.book.markets:
        bid, ask = best.get((market, Side.BUY)), best.get((market, Side.SELL))
        if bid is not None and ask is not None and bid >= ask:
            yield f"market {market} rests at bid {bid} and ask {ask}"


def price_then_time(case: Case) -> Breaches:
    for scene, o in case.walk():
        if o.kind == OutcomeKind.FILL:
            first = scene.first(o.market, Side.SELL if o.side == Side.BUY else Side.BUY)
            if o.other_id != first:
                yield f"order {o.other_id} of market {o.market} traded, order {first} was first"
    told = {(*at, place): order_id for at, queue in case.end.queues.items() for place, order_id in enumerate(queue)}
    queued = {tuple(row[:4]): row[4] for row in case.after["orders"]}
    for at in sorted({**told, **queued}):
        if told.get(at) != queued.get(at):
            yield f"(market, side, price, place) {at} is held by order {queued.get(at)}, in order of arrival by {told.get(at)}"


def fills_within_limits(case: Case) -> Breaches:
    limits: dict[int, int] = {}  # of liquidation slices, as they stood when the slice began
    for scene, o in case.walk():
        if o.kind != OutcomeKind.FILL:
            continue
        maker, taker = scene.orders.get(o.other_id), scene.orders.get(o.ref_id)
        if maker is None or (maker.account, maker.market) != (o.other, o.market) or maker.side == o.side:
            yield f"fill against order {o.other_id}, which does not rest there"
            continue
        if o.price != maker.price:
            yield f"fill at {o.price}, the maker {o.other_id} asks for {maker.price}"
        if not 0 < o.qty <= maker.qty:
            yield f"fill of {o.qty} lots, the maker {o.other_id} has {maker.qty}"
        if o.stage == Stage.BOOK:
            limit = limits.setdefault(o.ref_id, scene.slice_limit(o.account, o.market, o.side))
        elif taker is None:
            yield f"fill of order {o.ref_id}, which was never accepted"
            continue
        else:
            if o.qty > taker.qty:
                yield f"fill of {o.qty} lots, the taker {o.ref_id} wants {taker.qty}"
            at_market = case.event.tif == Tif.MARKET and case.event.ref_id == o.ref_id
            limit = scene.market_limit(o.market, o.side) if at_market else taker.price
        if o.price > limit if o.side == Side.BUY else o.price < limit:
            yield f"fill at {o.price}, beyond the taker's limit {limit}"


def opened_with_margin(case: Case) -> Breaches:
    for scene, o in case.walk():
        if o.kind == OutcomeKind.ACCEPTED:
            yield from _order_with_margin(case, scene, o)
        elif o.kind == OutcomeKind.LEVERAGE_SET:
            need = scene.requirement(o.account, o.market)
            scene.leverage[o.account, o.market] = o.qty
            needs, equity = scene.requirements(o.account), scene.evaluate(o.account).equity
            if scene.requirement(o.account, o.market) > need and equity < needs:
                yield f"leverage {o.qty} of account {o.account} needs {needs}, its equity is {equity}"
        elif o.kind == OutcomeKind.FLOW and o.flow == Flow.WITHDRAWAL:
            needs, equity = scene.requirements(o.account), _equity_after_withdrawal(scene, o)
            if equity < needs:
                yield f"a withdrawal leaves account {o.account} with equity {equity}, it needs {needs}"


def _equity_after_withdrawal(scene: Scene, o: Outcome) -> int:
    scene.balance[o.account, o.asset] -= o.money
    equity = scene.evaluate(o.account).equity
    scene.balance[o.account, o.asset] += o.money
    return equity


def _judged(case: Case, scene: Scene, o: Outcome) -> tuple[Order, bool, int]:
    """Return an accepted order, whether it is judged at the mark, and the requirement of its market with it."""
    order = Order(o.market, o.side, o.price, o.account, o.qty)
    at_mark = case.event.tif == Tif.MARKET and case.event.ref_id == o.ref_id
    return order, at_mark, scene.requirement(o.account, o.market, order, at_mark)


def _order_with_margin(case: Case, scene: Scene, o: Outcome) -> Breaches:
    order, at_mark, need = _judged(case, scene, o)
    if need <= scene.requirement(o.account, o.market):
        return
    worse = [scene.qty[o.account, o.market] + sign * lots for sign, lots in _open_lots(scene, order)]
    if any(case.book.brackets[o.market].exceeded(abs(lots) * scene.value(o.market)) for lots in worse):
        yield f"order {o.ref_id} takes account {o.account} beyond the last bracket of market {o.market}"
    value = scene.value(o.market) if at_mark else o.price * case.book.multiplier[o.market]
    fee = units.div_ceil(o.qty * value * case.book.venue.markets[o.market].fees.taker_ppm, units.PPM)
    needs = sum(scene.requirement(o.account, m) for m in case.book.markets if m != o.market) + need + fee
    equity = scene.evaluate(o.account).equity
    if equity < needs:
        yield f"order {o.ref_id} of account {o.account} needs {needs}, its equity is {equity}"


def _open_lots(scene: Scene, order: Order) -> list[tuple[int, int]]:
    """Return (sign, open lots) of the account's two sides in the order's market, the order counted as open."""
    mine = [o for o in scene.orders.values() if (o.account, o.market) == (order.account, order.market)] + [order]
    return [(sign, sum(o.qty for o in mine if o.side == side)) for side, sign in ((Side.BUY, 1), (Side.SELL, -1))]


def liquidated_only_when_triggered(case: Case) -> Breaches:
    seen = set()
    for scene, o in case.walk():
        if o.kind == OutcomeKind.LIQUIDATION:
            at = None
        elif o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
            at = Stage.BOOK, o.ref_id
        elif o.kind == OutcomeKind.TAKEOVER:
            at = Stage.TAKEOVER, o.account, o.time_ns, o.round
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
        if o.kind == OutcomeKind.TAKEOVER or (o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK):
            lots = scene.qty[o.account, o.market]
            closes = lots > 0 if (o.side == Side.BUY) == (o.kind == OutcomeKind.TAKEOVER) else lots < 0
            if not closes or o.qty > abs(lots):
                yield f"{OutcomeKind(o.kind).name} of {o.qty} lots of account {o.account}, it holds {lots} of market {o.market}"
            forced.add((o.account, o.market))
        if o.kind == OutcomeKind.FILL:
            free |= {(o.other, o.market)} | ({(o.account, o.market)} if o.stage == Stage.NONE else set())
    before = Scene(case.book, case.before)
    for account, market in sorted(forced - free):
        lots, left = before.qty[account, market], case.final.qty[account, market]
        if not min(0, lots) <= left <= max(0, lots):
            yield f"forced closing turns {lots} lots of account {account} in market {market} into {left}"


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


_OF_A_STAGE = {OutcomeKind.FILL, OutcomeKind.TAKEOVER, OutcomeKind.CONVERT, OutcomeKind.FUND_SHORT}
_FLOWS_OF_A_STAGE = {Flow.LIQUIDATION_FEE, Flow.CONVERT_CASH, Flow.FUND_PAYMENT, Flow.WRITE_OFF}


def stages_in_order(case: Case) -> Breaches:
    ranks: dict[int, int] = {}  # of the stage each account is in, this round
    number, traded = 0, False
    for scene, o in case.walk():
        if o.round != number or o.kind == OutcomeKind.BOUND:
            ranks, number, traded = {}, o.round, False
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
            ranks[account] = rank
            yield from _stage_gets_the_rest(case, scene, o)
        if o.kind == OutcomeKind.CARRIED:
            yield from _nothing_was_left_undone(case, scene, o)


def _stage_gets_the_rest(case: Case, scene: Scene, o: Outcome) -> Breaches:
    account, cash = _subject(o), scene.cash(_subject(o))
    if o.kind == OutcomeKind.FILL:
        largest = max(scene.held(account), key=lambda m: (scene.maintenance(account, m), -m), default=None)
        if largest != o.market and not any(x.ref_id == o.ref_id and x.market == o.market for x in case.outcomes if x is not o):
            yield f"the slice of account {account} is in market {o.market}, its largest maintenance in {largest}"
    if o.kind == OutcomeKind.TAKEOVER:
        if o.qty != abs(scene.qty[account, o.market]):
            yield f"takeover of {o.qty} lots of account {account}, which holds {scene.qty[account, o.market]}"
        if not _within_cap(scene, account, o.market):
            yield f"takeover of {o.qty} lots of market {o.market} beyond the backstop's cap"
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


def _within_cap(scene: Scene, account: int, market: int) -> bool:
    """Return whether the backstop may take the account's position over."""
    cap = scene.book.stages[Stage.TAKEOVER].notional_max
    if cap is None:
        return True
    lots = scene.qty[Chart.BACKSTOP, market] + scene.qty[account, market]
    return abs(lots) * scene.value(market) <= rules.whole(cap, scene.book.venue.decimals(scene.book.venue.numeraire))


def _convertible(scene: Scene, account: int) -> list[Haircut]:
    """Return the collateral rows of which the account has something that may be sold, in the rule book's order."""
    rows = [h for h in scene.book.haircuts if scene.balance[account, h.asset] > 0]
    return [h for h in rows if scene.permit(scene.collateral[h.asset], Action.CONVERT) < Permit.DEFER]


def _conversion_is_exact(scene: Scene, o: Outcome) -> Breaches:
    """The first row that may be sold; no more of it than pays the debt."""
    row, need = next(iter(_convertible(scene, o.account)), None), -scene.cash(o.account)
    if row is None or row.asset != o.asset or need <= 0:
        yield f"asset {o.asset} of account {o.account} is converted out of turn, its balance is {-need}"
        return
    price, balance = scene.collateral[o.asset].last_valid, scene.balance[o.account, o.asset]
    sold = balance if row.conversion_value(balance, price) <= need else row.conversion_qty(need, price)
    if (o.money, o.price) != (sold, row.conversion_price(price)):
        yield f"{o.money} of asset {o.asset} are converted at {o.price}, due are {sold} at {row.conversion_price(price)}"


def _nothing_was_left_undone(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """An account is carried only if no stage could do more for it in this round."""
    account, stages, held = o.account, case.book.stages, scene.held(o.account)
    if Stage.TAKEOVER in stages:
        for market in held:
            if scene.permit(scene.marks[market], Action.TAKEOVER) < Permit.DEFER and _within_cap(scene, account, market):
                yield f"account {account} is carried with lots in market {market} that the backstop could take"
    if not held and scene.cash(account) < 0:
        if Stage.CONVERT in stages and _convertible(scene, account):
            yield f"account {account} is carried with collateral that could be converted"
        if scene.converted(account):
            yield f"account {account} is carried, flat and converted: what it owes was to be paid or written off"


def longs_are_shorts(case: Case) -> Breaches:
    for market in case.book.markets:
        lots = [row[3] for row in case.after["positions"] if row[1] == market]
        longs, shorts = sum(x for x in lots if x > 0), -sum(x for x in lots if x < 0)
        if longs != shorts:
            yield f"market {market} has {longs} lots long and {shorts} short"
    for key in sorted({**case.end.qty, **case.final.qty}):
        told, is_now = case.end.qty[key], case.final.qty[key]
        if told != is_now:
            yield f"account {key[0]} holds {is_now} lots of market {key[1]}, fills and takeovers say {told}"


_ANSWERS = {
    EventKind.ACCOUNT: lambda e, o: o.kind == OutcomeKind.OPENED and o.account == e.account,
    EventKind.DEPOSIT: lambda e, o: o.flow == Flow.DEPOSIT and (o.other, o.asset, o.money) == (e.account, e.asset, e.amount),
    EventKind.WITHDRAW: lambda e, o: (
        o.flow == Flow.WITHDRAWAL and (o.account, o.asset, o.money) == (e.account, e.asset, e.amount)
    ),
    EventKind.LEVERAGE: lambda e, o: (
        o.kind == OutcomeKind.LEVERAGE_SET and (o.account, o.market, o.qty) == (e.account, e.market, e.qty)
    ),
    EventKind.ORDER: lambda e, o: o.kind == OutcomeKind.ACCEPTED and (o.account, o.ref_id) == (e.account, e.ref_id),
    EventKind.CANCEL: lambda e, o: o.kind == OutcomeKind.CANCELLED and (o.ref_id, o.reason) == (e.ref_id, Reason.USER),
}


def limits_are_not_silent(case: Case) -> Breaches:
    e, limits = case.event, case.book.venue.limits
    answer = _ANSWERS.get(e.kind)
    if not case.rejected and answer and sum(answer(e, o) for o in case.outcomes) != 1:
        yield f"a {EventKind(e.kind).name} of account {e.account} has no answer"
    orders = Counter(row[5] for row in case.after["orders"])
    if len(case.after["orders"]) > limits.orders_max:
        yield f"{len(case.after['orders'])} orders rest, at most {limits.orders_max}"
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
        yield from _bounds_are_told(case)


def _bounds_are_told(case: Case) -> Breaches:
    """A cascade that used its last round and leaves accounts to liquidate says how many."""
    rounds_max = case.book.venue.limits.rounds_max
    touched: set[int] = set()  # whom the round changed
    number = 0
    for scene, o in case.walk():
        if o.round > rounds_max:
            yield f"round {o.round}, at most {rounds_max}"
        if o.kind == OutcomeKind.BOUND:
            due = _due(scene, touched)
            if o.qty != len(due) or o.round != rounds_max:
                yield f"BOUND after round {o.round} says {o.qty} accounts are carried over, they are {due}"
            touched, number = set(), 0
            continue
        if o.round < number == rounds_max and _due(scene, touched):
            yield f"the cascade stopped after round {number} with accounts {_due(scene, touched)} to liquidate, no BOUND says so"
        if o.round != number:
            touched, number = set(), o.round
        touched |= _changes(scene, o)
    if number == rounds_max and case.settled and _due(case.end, touched):
        yield f"the cascade stopped after round {number} with accounts {_due(case.end, touched)} to liquidate, no BOUND says so"


def _changes(scene: Scene, o: Outcome) -> set[int]:
    """Return the users that an outcome gives a reason to be looked at again: all of them if it is a price."""
    if o.kind in (OutcomeKind.MARK, OutcomeKind.COLLATERAL):
        return set(scene.owner)
    if o.kind in (OutcomeKind.FILL, OutcomeKind.FLOW, OutcomeKind.TAKEOVER, OutcomeKind.CONVERT):
        return {account for account in (o.account, o.other) if account >= USERS_FROM}
    return set()


def _due(scene: Scene, accounts: Iterable[int]) -> list[int]:
    """Return those of the accounts that would be selected for liquidation."""
    return sorted(a for a in accounts if scene.triggered(a) and scene.evaluate(a).permit < Permit.DEFER)


def reserved_for_orders(case: Case) -> Breaches:
    implied: dict[tuple[int, int], list[int]] = {}
    for market, side, price, _, _, account, qty in case.after["orders"]:
        row = implied.setdefault((account, market), [0, 0, 0, 0])
        row[0 if side == Side.BUY else 2] += qty
        row[1 if side == Side.BUY else 3] += qty * price
    reserved = {row[:2]: list(row[2:]) for row in case.after["reserved"]}
    for key in sorted({**implied, **reserved}):
        has, must = reserved.get(key, "nothing"), implied.get(key, "nothing")
        if has != must:
            yield f"account {key[0]} has {has} reserved in market {key[1]}, its orders imply {must}"


def nobody_is_forgotten(case: Case) -> Breaches:
    told = {o.account: STATUS_AFTER[o.kind] for o in case.outcomes if o.kind in STATUS_AFTER}
    before = {row[0]: row[4] for row in case.before["accounts"]}
    for account, status in case.final.status.items():
        if status != told.get(account, before.get(account, Status.NORMAL)):
            yield f"account {account} is {Status(status).name}, no outcome says so"
        if case.settled and case.final.triggered(account) != (status != Status.NORMAL):
            e = case.final.evaluate(account)
            yield f"account {account} is {Status(status).name} at equity {e.equity} and maintenance {e.maintenance}"


def grades_are_obeyed(case: Case) -> Breaches:
    for scene, o in case.walk():
        account, permit = o.account, Permit.ALLOW
        if o.kind == OutcomeKind.LIQUIDATION:
            permit = scene.strictest(account, Action.LIQUIDATE)
        elif o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK:
            permit = scene.permit(scene.marks[o.market], Action.LIQUIDATE)
        elif o.kind == OutcomeKind.TAKEOVER:
            permit = scene.permit(scene.marks[o.market], Action.TAKEOVER)
        elif o.kind == OutcomeKind.CONVERT:
            permit = scene.permit(scene.collateral[o.asset], Action.CONVERT)
        elif o.kind == OutcomeKind.ACCEPTED:
            raises = _judged(case, scene, o)[2] > scene.requirement(account, o.market)
            permit = scene.strictest(account, Action.OPEN if raises else Action.REDUCE, o.market)
        elif o.kind == OutcomeKind.FLOW and o.flow == Flow.WITHDRAWAL:
            permit = scene.strictest(account, Action.WITHDRAW)
        if permit >= Permit.DEFER:
            yield f"{OutcomeKind(o.kind).name} of account {account} at a grade whose row says {permit.name.lower()}"


# ---- laws of whole runs


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


# ---- the table


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
        Law("L1", "per market signed lots sum to 0", lots_sum_to_zero),
        Law("L2", "per asset the closed chart sums to 0", chart_sums_to_zero),
        Law("L3", "the book at rest is not crossed", book_is_not_crossed),
        Law("L4", "price, then time", price_then_time),
        Law("L5", "a fill is within both orders' limits and quantities", fills_within_limits),
        Law("L6", "exposure grows only with initial margin", opened_with_margin),
        Law("L7", "liquidation only while its trigger is true", liquidated_only_when_triggered, _TRIGGER),
        Law("L8", "forced closing never increases or flips", forced_closing_reduces),
        Law("L9", "the fund pays what it has and says what it could not", fund_pays_what_it_has),
        Law("L10", "stages in order, the next gets exactly the rest", stages_in_order),
        Law("L12", "longs = shorts = open interest", longs_are_shorts),
        Law("L13", "a REJECT leaves the state of a CLOCK", None),
        Law("L14", "same input, same digest", None),
        Law("L15", "no limit is passed silently", limits_are_not_silent),
        Law("L16", "reservations are what orders imply", reserved_for_orders),
        Law("L19", "whoever's trigger is true is dealt with", nobody_is_forgotten, _TRIGGER),
        Law("L21", "nothing happens at a grade that refuses it", grades_are_obeyed),
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
