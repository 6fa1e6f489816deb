"""The exchange: what one event does. The same numbered steps stand in engine/exchange.pyx.

    0 time     an event before now, or later than now + gap_max, is a REJECT and moves nothing; else timers due run first, in
               order (time, kind, id), each a cascade of its own; then now := the event's time
    1 gate     ranges, known names, margin; else one REJECT(reason), and the state is as after CLOCK
    2 post     order -> match -> fills -> ledger, or it waits; amend, cancel; account, deposit, withdraw, leverage, transfer,
               mode, auto-add, state, bust, delist, change of rules
    3 price    sources -> index -> mark -> published {price, grade}; collateral; then waiting orders fire, one at a time, in
               order of entry, and prices are published again after each
    4 revalue  every account when a price changed, else those that 2, 3 or the last round touched
    5 select   who is triggered, in the order of the rule book
    6 stages   for each selected account the venue's list of stages
    7 finish   flat, above target, suspended or carried, each with an outcome that says so
    8 again    a price or an account changed -> 3, at most rounds_max; a BOUND outcome says how many are carried over
    9 check    laws and digest (outside: specs/laws.py)

Everything is recomputed from scratch; nothing here is fast on purpose.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import deque, namedtuple

import numpy as np

from specs import rules, units
from specs.model import accounts, bands, borrow, bust, changes, liquidation, settlement
from specs.model.auction import Auctions
from specs.model.book import Book, Order
from specs.model.funding import Funding
from specs.model.index import Index, Published, Source, grade_of
from specs.model.ledger import Account, Ledger
from specs.model.margin import Brackets, Haircut, Margins, Spot
from specs.model.mark import Mark
from specs.model.orders import Orders
from specs.model.queries import Queries
from specs.model.quoter import Quoter
from specs.model.seams import Seams
from specs.model.states import States
from specs.model.stops import KINDS, Stops
from specs.tape import (
    EVENT,
    EVENT_STRUCT,
    OUTCOME,
    OUTCOME_STRUCT,
    SCHEMA_VERSION,
    USERS_FROM,
    Chart,
    EventKind,
    Flag,
    Flow,
    Grade,
    Leg,
    MarketState,
    OutcomeKind,
    Reason,
    Seam,
    Stage,
    Status,
    money_join,
    money_split,
    start_time,
)

# kinds of timers, in their order at one time
STALE, PUBLISH, QUOTE, FUND, RESUME, EXPIRE, SETTLE, INTEREST, CHANGE, COOL = range(10)


class Event(namedtuple("Event", EVENT.names)):
    """One event, unpacked; `amount` is joined from its halves."""

    __slots__ = ()

    @property
    def amount(self) -> int:
        return money_join(self.amount_lo, self.amount_hi)


def venue_digest(venue: rules.Venue) -> bytes:
    """Return what a snapshot knows its rule book by."""
    return hashlib.blake2b(venue.model_dump_json().encode(), digest_size=16).digest()


class Exchange(Orders, Stops, Auctions, Margins, States, Queries):
    """A venue that runs a tape. Same input, same bytes: no clock, no random number, no float, no file."""

    def __init__(self, venue: rules.Venue, start_ns: int, seams=()) -> None:
        self.venue, self.now = venue, start_time(start_ns)
        self.seams = Seams(seams)
        self.clears = venue.clearing == "full"
        self.numeraire = venue.number("assets", venue.numeraire)
        unit = venue.liquidation.bankruptcy_unit
        self.bankruptcy_unit = 1 if unit is None else self.whole(unit)
        self.fund_paid = (0, 0)  # (an event, what the fund paid in it)
        self.ledger = Ledger(len(venue.assets), len(venue.markets), self.numeraire)
        self.books = [Book() for _ in venue.markets]
        self.orders: dict[int, Order] = {}
        self.waiting: dict[int, Order] = {}  # those of them that wait, in order of entry
        self.sources = [Source() for _ in venue.sources]
        self.indices = [Index(i, row, venue) for i, row in enumerate(venue.indices)]
        self.marks = [Mark(i, row, venue) for i, row in enumerate(venue.markets)]
        self.brackets = [Brackets(venue, row) for row in venue.markets]
        self.changes = changes.compiled(venue, start_ns)
        self.announced: dict[int, int] = {}  # changes that wait for their time
        self.in_force: dict[int, int] = {}  # changes that took effect, and when, the latest time
        self.kept_brackets: list[Brackets | None] = [None] * len(venue.markets)  # of grandfathered positions
        self.kept_by: list[int | None] = [None] * len(venue.markets)  # the change that left them
        self.price_max = [venue.price_max(row) for row in venue.markets]
        self.price_min = [venue.price_min(row) for row in venue.markets]
        self.price_low = [venue.price_low(row) for row in venue.markets]
        self.worth = [venue.worth(row) for row in venue.markets]
        self.paid_in = [venue.number("assets", row.settles_in) for row in venue.markets]
        self.spot = [Spot(venue, row) if row.spot else None for row in venue.markets]
        self.spots = [(market, spot) for market, spot in enumerate(self.spot) if spot]
        self.haircuts = [Haircut(venue, row) for row in venue.collateral]
        self.collateral = {haircut.asset: Published() for haircut in self.haircuts}
        self.initial_weight = {haircut.asset: haircut.initial_weight for haircut in self.haircuts}  # ppm, in force
        self.quoters = [Quoter(i, row, venue) for i, row in enumerate(venue.quoters)]
        self.last_price: list[int | None] = [None] * len(venue.markets)
        self.value = [0] * len(venue.markets)  # money per lot at the last valid mark
        self.states = [MarketState.OPEN] * len(venue.markets)
        self.funding = {i: Funding(i, row.funding) for i, row in enumerate(venue.markets) if row.funding}
        self.premiums = bands.premiums(venue)
        self.settlements = settlement.samples(venue)
        self.fills, self.kept = 0, deque(maxlen=venue.limits.fills_kept)
        self.due_index: set[int] = set()
        self.due_mark: set[int] = set()
        self.due_state = False  # a market's state changed: whom it suspended or may resume is looked at again
        self.timers: dict[tuple[int, int], int] = {}
        for i, row in enumerate(venue.indices):
            if row.publish.kind == "interval":
                self.timers[PUBLISH, i] = start_ns + row.publish.every_ns
        for i, row in enumerate(venue.quoters):
            self.timers[QUOTE, i] = start_ns + row.refill_ns
        for i, funding in self.funding.items():
            self.timers[FUND, i] = funding.next_due(start_ns)
        for i, row in enumerate(venue.markets):
            if row.expires_ns is not None:
                self.timers[SETTLE, i] = max(start_ns, row.expires_ns)
        for i, asset in enumerate(venue.assets):
            if asset.borrow:
                self.timers[INTEREST, i] = borrow.next_due(asset.borrow, start_ns)
        for i, change in enumerate(self.changes):
            if change.announced_ns is not None:
                self.timers[CHANGE, i] = change.announced_ns
        self.next_due = min(self.timers.values(), default=None)
        self.events = self.engine_orders = 0
        self.event = self.round = 0
        self.stage = Stage.NONE
        self.stages_visited = [0] * (max(Stage) + 1)
        self._out = bytearray()
        capital = rules.whole(venue.fund.capital, venue.decimals(venue.numeraire))
        if capital:
            self.flow(Flow.FUND_CAPITAL, Chart.OUTSIDE, Chart.FUND, self.numeraire, capital)

    # ---- what both twins offer

    def run(self, events: np.ndarray, keep: bool = True) -> None:
        """Apply a tape, or the next part of one. keep: False drops the outcomes of each event after it, and those before."""
        packed = np.ascontiguousarray(events, dtype=EVENT).tobytes()
        if events.ndim != 1:
            raise ValueError(f"events have {events.ndim} dimensions, a tape has one")
        for fields in EVENT_STRUCT.iter_unpack(packed):
            self._apply(Event._make(fields))
            if not keep:
                self._out.clear()

    def reserve(self, outcomes: int) -> None:
        """Ready a long run: nothing to do here."""
        if outcomes < 0:
            raise ValueError(f"{outcomes} outcomes cannot be kept")

    def apply(self, event) -> bytes:
        """Apply one event (64 bytes, or a row of a tape) and return its outcomes, packed."""
        before = len(self._out)
        packed = event if isinstance(event, (bytes, bytearray, memoryview)) else event.tobytes()
        self._apply(Event._make(EVENT_STRUCT.unpack(packed)))
        return bytes(self._out[before:])

    def outcomes(self) -> np.ndarray:
        """Return all outcomes so far, a copy."""
        return np.frombuffer(bytes(self._out), dtype=OUTCOME)

    def digest(self) -> str:
        """Return the blake2b-128 of the outcomes' canonical rows and the schema version."""
        return hashlib.blake2b(self._out + SCHEMA_VERSION.to_bytes(4, "little"), digest_size=16).hexdigest()

    def visits(self) -> dict[str, int]:
        """Return how often each seam acted and each stage was entered."""
        seams = {seam.name: 0 for seam in Seam}
        for row, fired in zip(self.seams.rows, self.seams.fired):
            seams[Seam(row[0]).name] += fired
        return seams | {f"STAGE_{stage.name}": self.stages_visited[stage] for stage in Stage if stage}

    def snapshot(self) -> bytes:
        """Return the whole state; restoring it and running the rest gives the bytes of the whole run."""
        state = {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("venue", "indices", "marks", "quoters", "funding", "premiums")
        }
        state["rules"] = venue_digest(self.venue)
        state["indices"] = [(index.published, index.samples) for index in self.indices]
        state["marks"] = [(mark.published, mark.basis) for mark in self.marks]
        state["funding"] = [(funding.index, funding.premium, funding.samples) for funding in self.funding.values()]
        state["premiums"] = [premium.samples for premium in self.premiums.values()]
        state["quoters"] = [(quoter.reference, quoter.return_ns) for quoter in self.quoters]
        return pickle.dumps(state)

    @classmethod
    def restore(cls, venue: rules.Venue, blob: bytes, seams=None) -> "Exchange":
        """Return the exchange of a snapshot. `seams` replaces the fault schedule: a fork."""
        exchange = cls(venue, 0)
        state = pickle.loads(blob)
        if state.pop("rules") != venue_digest(venue):
            raise ValueError("this snapshot was taken under another rule book")
        for index, (published, samples) in zip(exchange.indices, state.pop("indices")):
            index.published, index.samples = published, samples
        for mark, (published, basis) in zip(exchange.marks, state.pop("marks")):
            mark.published, mark.basis = published, basis
        for funding, (index, premium, samples) in zip(exchange.funding.values(), state.pop("funding")):
            funding.index, funding.premium, funding.samples = index, premium, samples
        for premium, samples in zip(exchange.premiums.values(), state.pop("premiums")):
            premium.samples = samples
        for quoter, (reference, return_ns) in zip(exchange.quoters, state.pop("quoters")):
            quoter.reference, quoter.return_ns = reference, return_ns
        exchange.__dict__.update(state)
        if seams is not None:
            exchange.seams = Seams(seams)
        return exchange

    def state(self) -> dict[str, list[tuple[int, ...]]]:
        """Return every table of the state as sorted rows of integers: what the twins compare."""
        accounts = [self.ledger.accounts[n] for n in sorted(self.ledger.accounts)]
        users = [a for a in accounts if a.number >= USERS_FROM]
        published = lambda p: (int(p.grade), p.price, p.time_ns, int(p.valid), p.last_valid)  # noqa: E731
        maybe = lambda x: (int(x is not None), x if x is not None else 0)  # noqa: E731
        return {
            "clock": [(self.now, self.events, self.engine_orders, self.fills)],
            "accounts": [(a.number, a.owner, *maybe(a.parent), int(a.status), int(a.auto_add)) for a in users],
            "leverage": [(a.number, m, x) for a in users for m, x in enumerate(a.leverage) if x],
            "balances": [(a.number, i, x) for a in accounts for i, x in enumerate(a.balance) if x],
            "positions": [(a.number, m, int(Leg.NET), x, a.entry[m]) for a in accounts for m, x in enumerate(a.qty) if x],
            "orders": [
                (m, int(o.side), o.price, place, o.order_id, o.account, o.qty, int(o.reduce_only))
                + (o.shown, o.display, int(o.tif), o.expiry_ns, int(o.self_trade))
                for m, book in enumerate(self.books)
                for place, o in book.orders()
            ],
            "waiting": self.waiting_rows(),
            "reserved": [
                row for a in users for m in range(len(self.books)) if self.clears and any((row := self._reserved(a, m))[2:])
            ],
            "sources": [(i, int(s.there), s.price, s.time_ns) for i, s in enumerate(self.sources)],
            "indices": [(x.number, *published(x.published)) for x in self.indices],
            "samples": [(x.number, n, k, v) for x in self.indices for n in sorted(x.samples) for k, v in enumerate(x.samples[n])],
            "marks": [(m.number, *published(m.published), *maybe(self.last_price[m.number])) for m in self.marks],
            "basis": [(m.number, k, v) for m in self.marks for k, v in enumerate(m.basis)],
            "settlements": [(m, k, v) for m, kept in self.settlements.items() for k, v in enumerate(kept)],
            "premiums": [(m, k, v) for m, premium in self.premiums.items() for k, v in enumerate(premium.samples)],
            "collateral": [(asset, *published(p)) for asset, p in sorted(self.collateral.items())],
            "weights": [(h.asset, self.initial_weight[h.asset]) for h in self.haircuts if h.deposits_max is not None],
            "states": [(m, int(state)) for m, state in enumerate(self.states)],
            "funding": [(m, f.index, f.premium, f.samples) for m, f in self.funding.items()],
            "timers": [(*key, self.timers[key]) for key in sorted(self.timers)],
            "quoters": [(q.number, *maybe(q.reference), *maybe(q.return_ns)) for q in self.quoters],
            "seams": [
                (i, int(h is not None), *((int(h[0]), h[1]) if h else (0, 0)), self.seams.fired[i])
                for i, h in enumerate(self.seams.held)
            ],
            "touched": [(n,) for n in sorted(self.ledger.touched)],
            "due": [(0, i) for i in sorted(self.due_index)] + [(1, m) for m in sorted(self.due_mark)] + [(2, 0)] * self.due_state,
            "fills": [fill.row() for fill in self.kept],
            "episodes": [(a.number, a.since_ns) for a in users if a.since_ns],
            "levels": [(a.number, a.level) for a in users if a.level],
            "blocks": [(a.number, *a.block) for a in users if any(a.block[1:])],
            **changes.tables(self),
            "stages": [(int(s), self.stages_visited[s]) for s in Stage if s],
        }

    # ---- step 0

    def _apply(self, e: Event) -> None:
        self.event = self.events
        self.events += 1
        reason = self._time(e)
        if reason:
            self._reject(e, reason)
            return
        reason = self._post(e)
        if reason:
            self._reject(e, reason)
        if e.batch_left == 0:
            self._cascade()

    def _time(self, e: Event) -> Reason:
        if e.time_ns < self.now:
            return Reason.TIME_WENT_BACK
        if e.time_ns > min(self.now + self.venue.clock.gap_max_ns, units.TIMES_MAX_NS):
            return Reason.TIME_GAP
        while self.next_due is not None and self.next_due <= e.time_ns:
            self._timer()
        self.now = e.time_ns
        return Reason.NONE

    def _timer(self) -> None:
        """Run the timer that is due first, as a cascade of its own."""
        time_ns, kind, number = min((time_ns, kind, number) for (kind, number), time_ns in self.timers.items())
        self.now = time_ns
        if kind == STALE:
            del self.timers[kind, number]
            self._heard(number)
        elif kind == PUBLISH:
            self.timers[kind, number] = time_ns + self.venue.indices[number].publish.every_ns
            self.due_index.add(number)
        elif kind == QUOTE:
            self.timers[kind, number] = time_ns + self.venue.quoters[number].refill_ns
            self.quoters[number].refill(self)
        elif kind == FUND:
            self.timers[kind, number] = self.funding[number].next_due(time_ns)
            self.funding[number].settle(self)
        elif kind == RESUME:
            self.resume(number)
        elif kind == SETTLE:
            settlement.settle(self, number)
        elif kind == INTEREST:
            self.timers[kind, number] = borrow.next_due(self.venue.assets[number].borrow, time_ns)
            borrow.charge(self, number)
        elif kind == CHANGE:
            del self.timers[kind, number]
            changes.due(self, number)
        elif kind == COOL:
            del self.timers[kind, number]
            self.ledger.touch(number)
        else:
            self.cancel_order(self.orders[number], Reason.EXPIRED)
        self.next_due = min(self.timers.values(), default=None)
        self._cascade()

    def expire_at(self, order: Order) -> None:
        """An order that rests until a time has a timer of its own."""
        if order.expiry_ns:
            self.timers[EXPIRE, order.order_id] = order.expiry_ns
            self.next_due = min(self.timers.values())

    def expire_never(self, order: Order) -> None:
        if self.timers.pop((EXPIRE, order.order_id), None) is not None:
            self.next_due = min(self.timers.values(), default=None)

    def cool(self, account: Account, until_ns: int) -> None:
        """No slice of the account's liquidation before."""
        self.timers[COOL, account.number] = max(until_ns, self.timers.get((COOL, account.number), 0))
        self.next_due = min(self.timers.values())

    def cooling(self, account: Account) -> bool:
        return (COOL, account.number) in self.timers

    def end_episode(self, account: Account) -> None:
        """The account is safe again: nothing is left to count from, or to wait for."""
        account.since_ns = 0
        if self.timers.pop((COOL, account.number), None) is not None:
            self.next_due = min(self.timers.values(), default=None)

    def resume_at(self, market: int, time_ns: int) -> None:
        """The pause of a market, or the auction after it, has a timer."""
        self.timers[RESUME, market] = time_ns
        self.next_due = min(self.timers.values())

    def resume_never(self, market: int) -> None:
        if self.timers.pop((RESUME, market), None) is not None:
            self.next_due = min(self.timers.values(), default=None)

    def settle_at(self, market: int, time_ns: int) -> None:
        """The end of a market has a timer."""
        self.timers[SETTLE, market] = time_ns
        self.next_due = min(self.timers.values())

    def settle_never(self, market: int) -> None:
        if self.timers.pop((SETTLE, market), None) is not None:
            self.next_due = min(self.timers.values(), default=None)

    def change_at(self, number: int, time_ns: int) -> None:
        """A change of rules has a timer until it is in force, and another for as long as it leaves positions their table."""
        self.timers[CHANGE, number] = time_ns
        self.next_due = min(self.timers.values())

    def change_never(self, number: int) -> None:
        if self.timers.pop((CHANGE, number), None) is not None:
            self.next_due = min(self.timers.values(), default=None)

    def _heard(self, source: int) -> None:
        """An index that publishes on update is due when one of its sources was heard or went stale."""
        for index in self.indices:
            if index.row.publish.kind == "update" and source in index.sources:
                self.due_index.add(index.number)

    # ---- steps 1 and 2

    def _reject(self, e: Event, reason: Reason) -> None:
        asset = e.source if e.kind == EventKind.SOURCE else e.asset
        self.emit(
            OutcomeKind.REJECT,
            account=e.account,
            market=e.market,
            leg=e.leg,
            asset=asset,
            ref_id=e.ref_id,
            price=e.price,
            qty=e.qty,
            money=e.amount,
            side=e.side,
            reason=reason,
        )

    def _post(self, e: Event) -> Reason:
        post = self._POST.get(e.kind)
        return post(self, e) if post else Reason.UNKNOWN_KIND

    def user(self, number: int) -> Account | None:
        return self.ledger.accounts.get(number) if number >= USERS_FROM else None

    def trader(self, number: int) -> Account | None:
        """Return who may send orders: a user; without clearing whoever does, opened in silence."""
        if not self.clears and USERS_FROM <= number < self.venue.limits.accounts_max and number not in self.ledger.accounts:
            self.ledger.open(number, number, None)
        return self.user(number)

    def _post_clock(self, e: Event) -> Reason:
        return Reason.NONE

    def _post_account(self, e: Event) -> Reason:
        if not USERS_FROM <= e.account < self.venue.limits.accounts_max:
            return Reason.UNKNOWN_ACCOUNT
        if e.account in self.ledger.accounts:
            return Reason.DUPLICATE_ACCOUNT
        parent = None
        if e.flags & Flag.HAS_PARENT:
            above = self.user(e.qty)
            if above is None or above.owner != e.ref_id:
                return Reason.BAD_OWNER
            parent = e.qty
        if e.ref_id > 0xFFFFFFFF:
            return Reason.BAD_OWNER
        self.ledger.open(e.account, e.ref_id, parent)
        self.emit(OutcomeKind.OPENED, account=e.account, ref_id=e.ref_id)
        return Reason.NONE

    def _post_deposit(self, e: Event) -> Reason:
        account = self.user(e.account)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if e.asset >= len(self.venue.assets):
            return Reason.UNKNOWN_ASSET
        if not 0 < e.amount <= units.MONEY_IN_MAX or account.balance[e.asset] + e.amount > units.BALANCE_MAX:
            return Reason.BAD_AMOUNT
        self.flow(Flow.DEPOSIT, Chart.OUTSIDE, e.account, e.asset, e.amount)
        return Reason.NONE

    def _post_withdraw(self, e: Event) -> Reason:
        account = self.user(e.account)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if e.asset >= len(self.venue.assets):
            return Reason.UNKNOWN_ASSET
        if not 0 < e.amount <= units.MONEY_IN_MAX:
            return Reason.BAD_AMOUNT
        reason = self.may_give(account, e.asset, e.amount)
        if not reason:
            self.flow(Flow.WITHDRAWAL, e.account, Chart.OUTSIDE, e.asset, e.amount)
        return reason

    def may_give(self, account: Account, asset: int, amount: int) -> Reason:
        """A withdrawal or a transfer leaves the wallet at or above 0 and equity, less a haircut on profit, at initial margin."""
        if account.status != Status.NORMAL:
            return Reason.IN_LIQUIDATION
        reason = self.may_withdraw(account)
        if reason:
            return reason
        if self.free(account, asset) < amount:
            return Reason.INSUFFICIENT_BALANCE
        account.balance[asset] -= amount
        enough = self.spare_equity(account) - self.profit_haircut(account) >= self.requirements(account)
        account.balance[asset] += amount
        return Reason.NONE if enough else Reason.INSUFFICIENT_MARGIN

    def _post_leverage(self, e: Event) -> Reason:
        account = self.user(e.account)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if e.market >= len(self.books):
            return Reason.UNKNOWN_MARKET
        if self.spot[e.market] or not 1 <= e.qty <= self.brackets[e.market].rows[0].leverage_max:
            return Reason.BAD_LEVERAGE
        if account.status != Status.NORMAL:
            return Reason.IN_LIQUIDATION
        before = account.leverage[e.market]
        need = self.requirement(account, e.market)[0]
        account.leverage[e.market] = e.qty
        if self.requirement(account, e.market)[0] > need and not self.has_margin(account):
            account.leverage[e.market] = before
            return Reason.INSUFFICIENT_MARGIN
        self.emit(OutcomeKind.LEVERAGE_SET, account=e.account, market=e.market, qty=e.qty)
        return Reason.NONE

    def _post_source(self, e: Event) -> Reason:
        if e.source >= len(self.sources):
            return Reason.UNKNOWN_SOURCE
        source, row = self.sources[e.source], self.venue.sources[e.source]
        source.there = not e.flags & Flag.MISSING
        source.price, source.time_ns = e.price if source.there else 0, self.now
        if row.stale_after_ns is not None:
            self.timers[STALE, e.source] = self.now + row.stale_after_ns
            self.next_due = min(self.timers.values())
        self._heard(e.source)
        return Reason.NONE

    _POST = {
        EventKind.CLOCK: _post_clock,
        EventKind.ACCOUNT: _post_account,
        EventKind.DEPOSIT: _post_deposit,
        EventKind.WITHDRAW: _post_withdraw,
        EventKind.LEVERAGE: _post_leverage,
        EventKind.ORDER: Orders.post_order,
        EventKind.CANCEL: Orders.post_cancel,
        EventKind.AMEND: Orders.post_amend,
        EventKind.MASS_CANCEL: Orders.post_mass_cancel,
        EventKind.DISCONNECT: Orders.post_disconnect,
        EventKind.SOURCE: _post_source,
        EventKind.TRANSFER: accounts.post_transfer,
        EventKind.MODE: accounts.post_mode,
        EventKind.AUTO_ADD: accounts.post_auto_add,
        EventKind.STATE: States.post_state,
        EventKind.BUST: bust.post_bust,
        EventKind.DELIST: settlement.post_delist,
        EventKind.RULE_CHANGE: changes.post_change,
        EventKind.RULE_WITHDRAWN: changes.post_withdrawn,
    } | dict.fromkeys(KINDS, Stops.post_stop)

    # ---- the ways in which state moves, each with its outcome

    def flow(self, kind: Flow, source: int, target: int, asset: int, money: int) -> None:
        """Move money and say so."""
        self.ledger.flow(source, target, asset, money)
        self.emit(OutcomeKind.FLOW, account=source, other=target, asset=asset, money=money, flow=kind, stage=self.stage)

    def visit(self, stage: Stage) -> None:
        self.stages_visited[stage] += 1

    def emit(
        self,
        kind,
        *,
        account=0,
        other=0,
        market=0,
        leg=Leg.NET,
        asset=0,
        ref_id=0,
        other_id=0,
        price=0,
        qty=0,
        money=0,
        reason=0,
        stage=None,
        side=0,
        grade=0,
        flow=0,
    ) -> None:
        """Append one outcome of the current event, time and round."""
        lo, hi = money_split(money)
        stage = self.stage if stage is None else stage
        self._out += OUTCOME_STRUCT.pack(
            self.now,
            ref_id,
            other_id,
            price,
            qty,
            lo,
            hi,
            self.event,
            account,
            other,
            market,
            leg,
            asset,
            self.round,
            kind,
            reason,
            stage,
            side,
            grade,
            flow,
        )

    # ---- steps 3 to 8

    def _cascade(self) -> None:
        while True:
            changed = self._publish()
            while self.fire_stop():
                changed |= self._publish()
            changed, self.due_state = changed or self.due_state, False
            numbers = [n for n in sorted(self.ledger.accounts) if n >= USERS_FROM] if changed else sorted(self.ledger.touched)
            self.ledger.touched.clear()
            selected = liquidation.select(self, numbers)
            if not selected:
                break
            if self.round == self.venue.limits.rounds_max:
                self.emit(OutcomeKind.BOUND, qty=len(selected))
                self.ledger.touched.update(account.number for account, _ in selected)
                break
            self.round += 1
            liquidation.run_round(self, selected)
        self.round = 0

    def _publish(self) -> bool:
        """Step 3. Publish what is due; return whether a price that accounts are valued at changed."""
        changed = False
        sampled = set()
        for index in self.indices:
            if index.number not in self.due_index:
                continue
            if index.publish(self):
                p = index.published
                self.emit(OutcomeKind.INDEX, ref_id=index.number, price=p.price, grade=p.grade, qty=index.used)
            sampled.add(index.number)
            for later in self.indices[index.number + 1 :]:
                if later.row.publish.kind == "update" and index.number in later.legs:
                    self.due_index.add(later.number)
        self.due_index.clear()
        for mark in self.marks:
            if mark.index in sampled or mark.number in self.due_mark:
                if mark.index in sampled and mark.number in self.settlements:
                    settlement.sample(self, mark.number)
                if mark.index in sampled and mark.number in self.funding:
                    self.funding[mark.number].sample(self)
                if mark.publish(self, mark.index in sampled):
                    p = mark.published
                    changed = True
                    self.value[mark.number] = self.value_at(mark.number, p.last_valid)
                    self.emit(OutcomeKind.MARK, market=mark.number, price=p.price, grade=p.grade)
                if mark.number in self.premiums:
                    self.premiums[mark.number].sample(self)
        self.due_mark.clear()
        for haircut in self.haircuts:
            if haircut.index in sampled and self._publish_collateral(haircut):
                p = self.collateral[haircut.asset]
                changed = True
                weight = 0 if haircut.deposits_max is None else self.initial_weight[haircut.asset]
                self.emit(OutcomeKind.COLLATERAL, asset=haircut.asset, price=p.price, grade=p.grade, qty=weight)
        return changed

    def _publish_collateral(self, haircut: Haircut) -> bool:
        """The price collateral is valued and converted at: its index, read through a seam of its own."""
        index, before = self.indices[haircut.index].published, self.collateral[haircut.asset]
        there = index.grade == Grade.VALID
        there_now, price = self.seams.price(Seam.COLLATERAL_PRICE, haircut.asset, self.now, there, index.price if there else 0)
        if there_now:
            changed = before.put(grade_of(True, price), price, self.now)
        else:
            changed = before.put(Grade.TOO_FEW_SOURCES if there else index.grade, before.price, self.now)
        return self.weigh(haircut) or changed

    def weigh(self, haircut: Haircut) -> bool:
        """Set the weight of initial margin that comes of what all users hold now; return whether it changed."""
        users = [account for number, account in self.ledger.accounts.items() if number >= USERS_FROM]
        deposits = sum(max(0, account.balance[haircut.asset]) for account in users)
        before = self.initial_weight[haircut.asset]
        self.initial_weight[haircut.asset] = haircut.scaled(deposits, self.collateral[haircut.asset].last_valid)
        return self.initial_weight[haircut.asset] != before
