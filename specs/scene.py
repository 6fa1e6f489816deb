"""What a law looks at: one event, its outcomes, the tables before and after it, and the venue between two outcomes.

All of it is what both twins show: the tables of `state()`, the packed event and outcomes, the rule book. A `Scene` replays the
outcomes over the tables before, so that every decision can be judged at the values in force at that moment; equity, margin and
limits are recomputed there from scratch. A `Case` is one event with its scenes; specs/laws.py judges it.
"""

from __future__ import annotations

import math
from collections import defaultdict, namedtuple
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from specs import rules, units
from specs.model import bands
from specs.model.changes import WEIGHTS, compiled, table_after
from specs.model.margin import Brackets, Evaluation, Haircut, Spot
from specs.tape import (
    EVENT,
    EVENT_STRUCT,
    OUTCOME,
    OUTCOME_STRUCT,
    USERS_FROM,
    Action,
    Chart,
    EventKind,
    Flag,
    Flow,
    Grade,
    MarketState,
    OutcomeKind,
    Permit,
    Reason,
    Side,
    Stage,
    Status,
    TriggerBy,
    money_join,
)
from specs.waiting import WAITS, Waiting

COOL = 9  # the kind of timer at which an account may be sliced again

Tables = dict[str, list[tuple[int, ...]]]

Event = namedtuple("Event", EVENT.names + ("amount",))
Outcome = namedtuple("Outcome", OUTCOME.names + ("money",))
_EVENT_LO, _OUTCOME_LO = EVENT.names.index("amount_lo"), OUTCOME.names.index("money_lo")


def event_of(packed: bytes) -> Event:
    """Return one event by field names, its amount joined."""
    fields = EVENT_STRUCT.unpack(packed)
    return Event(*fields, money_join(*fields[_EVENT_LO : _EVENT_LO + 2]))


def outcomes_of(packed: bytes) -> list[Outcome]:
    """Return packed outcomes by field names, money joined."""
    return [Outcome(*fields, money_join(*fields[_OUTCOME_LO : _OUTCOME_LO + 2])) for fields in OUTCOME_STRUCT.iter_unpack(packed)]


class Book:
    """A rule book's rows in the form in which margin is computed."""

    def __init__(self, venue: rules.Venue) -> None:
        self.venue = venue
        self.clears = venue.clearing == "full"
        self.numeraire = venue.number("assets", venue.numeraire)
        self.markets = range(len(venue.markets))
        self.brackets = [Brackets(venue, row) for row in venue.markets]
        self.price_max = [venue.price_max(row) for row in venue.markets]
        self.price_min = [venue.price_min(row) for row in venue.markets]
        self.price_low = [venue.price_low(row) for row in venue.markets]
        self.worth = [venue.worth(row) for row in venue.markets]
        self.haircuts = [Haircut(venue, row) for row in venue.collateral]
        self.changes = compiled(venue, 0)
        self.paid_in = [venue.number("assets", row.settles_in) for row in venue.markets]
        self.spot = {market: Spot(venue, row) for market, row in enumerate(venue.markets) if row.spot}
        self.index = [venue.number("indices", row.index) for row in venue.markets]
        self.stages = {Stage[row.kind.upper()]: row for row in venue.liquidation.stages}
        self.ranks = {stage: rank for rank, stage in enumerate(self.stages)}

    def value_at(self, market: int, price: int) -> int:
        """Return money per lot at a price."""
        return self.worth[market](price)

    def whole(self, value: int | str) -> int:
        """Return money of the numeraire from whole units."""
        return rules.whole(value, self.venue.decimals(self.venue.numeraire))


@dataclass
class Price:
    """A mark or a collateral price in force: its grade, and the last number that was VALID."""

    grade: int
    valid: bool
    last_valid: int

    def put(self, grade: int, price: int) -> None:
        self.grade = grade
        if grade == Grade.VALID:
            self.valid, self.last_valid = True, price


@dataclass
class Order:
    market: int
    side: int
    price: int
    account: int
    qty: int
    reduce_only: bool = False
    display: int = 0  # lots shown at a time; 0: all
    shown: int = 0
    tif: int = 0
    self_trade: int = 0

    def __post_init__(self) -> None:
        self.shown = self.shown or (min(self.qty, self.display) if self.display else self.qty)


class Scene:
    """The venue between two outcomes: the tables before the event, moved forward by `apply`, one outcome at a time."""

    def __init__(self, book: Book, tables: Tables) -> None:
        self.book = book
        self.balance = defaultdict(int, {(account, asset): money for account, asset, money in tables["balances"]})
        self.qty = defaultdict(int, {(account, market): lots for account, market, _, lots, _ in tables["positions"]})
        self.entry = defaultdict(int, {(account, market): entry for account, market, _, _, entry in tables["positions"]})
        self.funding = {market: index for market, index, *_ in tables["funding"]}  # F: 10^-9 money per lot
        self.leverage = {(account, market): leverage for account, market, leverage in tables["leverage"]}
        self.owner = {account: owner for account, owner, *_ in tables["accounts"]}
        self.status = {row[0]: row[4] for row in tables["accounts"]}
        self.level = defaultdict(int, dict(tables["levels"]))  # of margin calls
        self.since = dict(tables["episodes"])  # when the episode of each account in liquidation opened
        self.blocks = {account: used for account, *used in tables["blocks"]}  # [window, notional, insurance] of the block limit
        self.now = tables["clock"][0][0]
        self.cooling = {account: time for kind, account, time in tables["timers"] if kind == COOL}
        self.marks = {row[0]: Price(row[1], bool(row[4]), row[5]) for row in tables["marks"]}
        self.collateral = {row[0]: Price(row[1], bool(row[4]), row[5]) for row in tables["collateral"]}
        self.scaled = {asset for asset, _ in tables["weights"]}  # by what all users hold
        self.indices = {row[0]: Price(row[1], bool(row[4]), row[5]) for row in tables["indices"]}
        self.premiums: dict[int, list[int]] = defaultdict(list)  # samples of bands, by market
        for market, _, premium in tables["premiums"]:
            self.premiums[market].append(premium)
        self.settlements: dict[int, list[int]] = defaultdict(list)  # index prices of settlements, by market
        for market, _, price in tables["settlements"]:
            self.settlements[market].append(price)
        self.announced = {row: effective for row, announced, effective, *_ in tables["changes"] if announced}
        self._rules_in_force(tables)
        self.initial_weight = {haircut.asset: haircut.initial_weight for haircut in self.haircuts} | dict(tables["weights"])
        self.sampled = False  # a premium may have been sampled since: what it is now no outcome tells
        self.orders: dict[int, Order] = {}
        self.queues: dict[tuple[int, int, int], list[int]] = defaultdict(list)  # (market, side, price) -> order ids, oldest first
        self.states = dict(tables["states"])
        self.auctions: dict[int, Outcome] = {}  # by market: how it is being uncrossed, until its new state is told
        self.last = {row[0]: row[7] for row in tables["marks"] if row[6]}
        self.waiting = {row[1]: Waiting(*row) for row in tables["waiting"]}
        self.fired: dict[int, Waiting] = {}  # triggered, and neither accepted nor cancelled yet
        self.auto_add = {row[0]: bool(row[5]) for row in tables["accounts"]}
        self.parent = {row[0]: row[3] for row in tables["accounts"] if row[2]}
        for market, side, price, _, order_id, account, qty, reduce_only, shown, display, tif, _, self_trade in tables["orders"]:
            self._rest(order_id, Order(market, side, price, account, qty, bool(reduce_only), display, shown, tif, self_trade))

    def _rules_in_force(self, tables: Tables) -> None:
        """Take the brackets and weights that changes left; where none touched them they are the rule book's."""
        self.brackets, self.haircuts = [*self.book.brackets], [*self.book.haircuts]
        self.kept_brackets: list[Brackets | None] = [None] * len(self.brackets)
        self.grandfathered = {(account, market) for account, market in tables["grandfathered"]}
        for market, kept in {row[:2] for row in tables["brackets"]}:
            told = [rules.Requirement(*row[3:]) for row in tables["brackets"] if row[:2] == (market, kept)]
            rows = [row._replace(initial_ppm=row.initial_ppm or None) for row in told]
            (self.kept_brackets if kept else self.brackets)[market] = self.book.brackets[market].with_rows(rows)
        for asset, *weights in tables["haircuts"]:
            self._weigh(asset, dict(zip(WEIGHTS, weights, strict=True)))

    def _weigh(self, asset: int, weights: dict[str, int]) -> Haircut:
        place = next(i for i, haircut in enumerate(self.haircuts) if haircut.asset == asset)
        self.haircuts[place] = self.haircuts[place].with_weights(weights)
        return self.haircuts[place]

    def put_in_force(self, number: int) -> None:
        """A change takes effect: the table or the weights of its row; who holds a position may keep the table before it."""
        self.announced.pop(number, None)
        change = self.book.changes[number]
        if change.market is None:
            haircut = self._weigh(change.asset, change.weights)
            held = sum(max(0, x) for (who, asset), x in self.balance.items() if asset == change.asset and who >= USERS_FROM)
            self.initial_weight[change.asset] = haircut.scaled(held, self.collateral[change.asset].last_valid)
            return
        before = self.brackets[change.market]
        rows = table_after(before, change)
        if change.maintenance:
            self._keep_nothing(change.market)
        if change.grandfather_ns is not None:
            self.kept_brackets[change.market] = before
            held = [key for key, lots in self.qty.items() if lots and key[0] >= USERS_FROM]
            self.grandfathered |= {key for key in held if key[1] == change.market}
        self.brackets[change.market] = before if rows is None else before.with_rows(rows)

    def _keep_nothing(self, market: int) -> None:
        self.kept_brackets[market] = None
        self.grandfathered = {key for key in self.grandfathered if key[1] != market}

    # -- forward

    def apply(self, o: Outcome) -> None:
        """Move the scene by what an outcome says. An outcome about an unknown order moves no order: some law will say so."""
        if o.kind == OutcomeKind.FLOW:
            if o.flow == Flow.FUND_PAYMENT and o.stage == Stage.BOOK:
                self._use(o.other, o.time_ns, 0, o.money)
            self._pay(o.account, o.other, o.asset, o.money)
        elif o.kind == OutcomeKind.FILL:
            if self.book.clears:
                self._settle(o)
            if o.stage == Stage.BOOK and self.book.stages[Stage.BOOK].cooldown_ns:
                self.cooling[o.account] = o.time_ns + self.book.stages[Stage.BOOK].cooldown_ns
            if o.stage == Stage.BOOK:
                self._use(o.account, o.time_ns, o.qty * abs(self.value(o.market)), 0)
            self._take(o.other_id, o.qty, from_shown=True)
            self._take(o.ref_id, o.qty, from_shown=o.market in self.auctions)
            self.last[o.market] = o.price
            self._follow(TriggerBy.LAST, (o.market,), o.price)
        elif o.kind == OutcomeKind.BUSTED:
            if self.book.clears:
                self._undo(o)
        elif o.kind in (OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.MOVED, OutcomeKind.SETTLED):
            moved = o.kind == OutcomeKind.MOVED and (o.account, o.market) in self.grandfathered
            self._trade(o.account, o.other, o.market, -o.qty if o.side == Side.BUY else o.qty, -o.money)
            if o.kind == OutcomeKind.MOVED:  # a position that changes its account keeps what it has
                self.grandfathered -= {(o.account, o.market), (o.other, o.market)}
                self.grandfathered |= {(o.other, o.market)} if moved else set()
        elif o.kind == OutcomeKind.CONVERT:
            self._pay(o.account, o.other, o.asset, o.money)
        elif o.kind == OutcomeKind.ACCEPTED:
            self.fired.pop(o.ref_id, None)
            self._rest(o.ref_id, Order(o.market, o.side, o.price, o.account, o.qty, display=o.other_id))
        elif o.kind == OutcomeKind.TRIGGERED and o.ref_id in self.waiting:
            self.fired[o.ref_id] = self.waiting.pop(o.ref_id)
            self.sampled = True  # orders fire behind a publication
        elif o.kind == OutcomeKind.CANCELLED and (o.ref_id in self.waiting or o.ref_id in self.fired):
            self.waiting.pop(o.ref_id, None)
            self.fired.pop(o.ref_id, None)
        elif o.kind == OutcomeKind.CANCELLED:
            self._take(o.ref_id, o.qty, from_shown=o.reason == Reason.SELF_TRADE)
        elif o.kind == OutcomeKind.AMENDED:
            self._amend(o)
        elif o.kind == OutcomeKind.REFRESHED:
            self._refresh(o.ref_id, o.qty)
        elif o.kind == OutcomeKind.MARK:
            self.marks[o.market].put(o.grade, o.price)
            self._follow(TriggerBy.MARK, (o.market,), self.marks[o.market].last_valid)
            self.sampled = True
        elif o.kind == OutcomeKind.INDEX:
            self.indices[o.ref_id].put(o.grade, o.price)
            markets = [market for market, index in enumerate(self.book.index) if index == o.ref_id]
            self._follow(TriggerBy.INDEX, markets, self.indices[o.ref_id].last_valid)
            self.sampled = True
        elif o.kind == OutcomeKind.COLLATERAL:
            self.collateral[o.asset].put(o.grade, o.price)
            if o.asset in self.scaled:
                self.initial_weight[o.asset] = o.qty
        elif o.kind == OutcomeKind.OPENED:
            self.owner[o.account], self.status[o.account] = o.ref_id, Status.NORMAL
        elif o.kind == OutcomeKind.LEVERAGE_SET:
            self.leverage[o.account, o.market] = o.qty
        elif o.kind == OutcomeKind.AUTO_ADD_SET:
            self.auto_add[o.account] = bool(o.qty)
        elif o.kind == OutcomeKind.STATE_SET:
            self.states[o.market] = o.qty
            self.auctions.pop(o.market, None)
        elif o.kind == OutcomeKind.UNCROSSED:
            self.auctions[o.market] = o
        elif o.kind == OutcomeKind.CHANGE_ANNOUNCED:
            self.announced[o.ref_id] = o.qty
        elif o.kind == OutcomeKind.CHANGE_EFFECTIVE:
            self.put_in_force(o.ref_id)
        elif o.kind == OutcomeKind.CHANGE_ENDED and o.reason == Reason.EXPIRED:
            self._keep_nothing(o.market)
        elif o.kind == OutcomeKind.CHANGE_ENDED:
            self.announced.pop(o.ref_id, None)
        elif o.kind == OutcomeKind.FUNDING:
            self.funding[o.market] = o.money
        elif o.kind == OutcomeKind.MARGIN_LEVEL:
            self.level[o.account] = o.qty
        elif o.kind == OutcomeKind.CARRIED:
            if o.reason == Reason.COOLING_DOWN and self.used_up(o.account):
                window_ns = self.block_limit.window_ns
                end_ns = (o.time_ns // window_ns + 1) * window_ns
                self.cooling[o.account] = max(self.cooling.get(o.account, 0), end_ns)
        elif o.kind in STATUS_AFTER:
            self.status[o.account] = STATUS_AFTER[o.kind]
            if o.kind == OutcomeKind.LIQUIDATION:
                self.since[o.account] = o.time_ns
            elif o.kind == OutcomeKind.RESTORED:
                self.since.pop(o.account, None)
                self.cooling.pop(o.account, None)

    def _use(self, account: int, time_ns: int, notional: int, insurance: int) -> None:
        """Count what a slice closed, or the fund paid for it, where a row limits that."""
        if self.block_limit is not None:
            window = time_ns // self.block_limit.window_ns
            before = self.blocks.get(account, [window, 0, 0])
            used = before[1:] if before[0] == window else (0, 0)
            self.blocks[account] = [window, used[0] + notional, used[1] + insurance]

    def _settle(self, o: Outcome) -> None:
        """Move what a fill moves: lots or the base asset, cash, the taker's fee."""
        lots, paid_in = o.qty if o.side == Side.BUY else -o.qty, self.book.paid_in[o.market]
        cash, spot = lots * self.book.value_at(o.market, o.price), self.book.spot.get(o.market)
        if spot:
            self._pay(o.other, o.account, spot.base, lots * spot.units)
            self._pay(o.account, o.other, paid_in, cash)
        else:
            self._trade(o.account, o.other, o.market, lots, cash)
        self._pay(o.account, Chart.FEES, paid_in, o.money)

    def _undo(self, o: Outcome) -> None:
        """A fill that is busted: lots, or the base asset, and cash go back; so does the taker's fee."""
        lots, paid_in = o.qty if o.side == Side.BUY else -o.qty, self.book.paid_in[o.market]
        cash, spot = lots * self.book.value_at(o.market, o.price), self.book.spot.get(o.market)
        if spot:
            self._pay(o.account, o.other, spot.base, lots * spot.units)
            self._pay(o.other, o.account, paid_in, cash)
        else:
            self._trade(o.account, o.other, o.market, -lots, -cash)
        self._pay(Chart.FEES, o.account, paid_in, o.money)

    def _pay(self, source: int, target: int, asset: int, money: int) -> None:
        self.balance[source, asset] -= money
        self.balance[target, asset] += money

    def _trade(self, account: int, other: int, market: int, lots: int, cash: int) -> None:
        """The account gains lots (of any sign) from the other and pays cash for them."""
        sides = ((account, lots, cash), (other, -lots, -cash))
        for who, change, value in sides if lots > 0 else reversed(sides):  # who trades with himself first buys, then sells
            if who >= USERS_FROM:
                self._enter(who, market, change, value)
            before = self.qty[who, market]
            self.qty[who, market] += change
            if before + change and not 0 < before * (before + change) <= before * before:
                self.grandfathered.discard((who, market))
        self._pay(account, other, self.book.numeraire, cash)

    def _enter(self, account: int, market: int, lots: int, value: int) -> None:
        """Keep the value paid for what is open: what closes takes its share with it, rounded down; a flip starts anew."""
        held, entry = self.qty[account, market], self.entry[account, market]
        if held * lots >= 0:
            self.entry[account, market] = entry + value
        elif abs(lots) <= abs(held):
            self.entry[account, market] = entry - units.muldiv_floor(entry, abs(lots), abs(held))
        else:
            self.entry[account, market] = value - units.muldiv_floor(value, abs(held), abs(lots))

    def _rest(self, order_id: int, order: Order) -> None:
        """An accepted order stands at the back of its queue; what it trades at once is taken off by its fills."""
        self.orders[order_id] = order
        self.queues[order.market, order.side, order.price].append(order_id)

    def _take(self, order_id: int, lots: int, from_shown: bool = False) -> None:
        """Take lots from an order: hidden ones first, unless they were met in the queue."""
        order = self.orders.get(order_id)
        if order is None:
            return
        order.qty -= lots
        order.shown = order.shown - lots if from_shown else min(order.shown, order.qty)
        if order.qty <= 0:
            self._leave(order_id)

    def _leave(self, order_id: int) -> None:
        order = self.orders.pop(order_id)
        queue = self.queues[order.market, order.side, order.price]
        queue.remove(order_id)
        if not queue:
            del self.queues[order.market, order.side, order.price]

    def _amend(self, o: Outcome) -> None:
        """Fewer lots keep the place; else the order leaves and stands at the back of its new queue."""
        before = self.orders.get(o.ref_id)
        if o.ref_id in self.waiting:
            self.waiting[o.ref_id].price, self.waiting[o.ref_id].qty = o.price, o.qty
        if before is None:
            return
        if not o.other_id:
            self._take(o.ref_id, before.qty - o.qty)
            return
        self._leave(o.ref_id)
        display = before.display if before.display < o.qty else 0
        order = Order(o.market, o.side, o.price, o.account, o.qty, before.reduce_only, display, 0, before.tif, before.self_trade)
        self._rest(o.ref_id, order)

    def _refresh(self, order_id: int, shown: int) -> None:
        """An order shows more of its lots, at the back of its level."""
        order = self.orders.get(order_id)
        if order is None:
            return
        order.shown = shown
        queue = self.queues[order.market, order.side, order.price]
        queue.remove(order_id)
        queue.append(order_id)

    def wait(self, e: Event, o: Outcome) -> None:
        """An order of an event waits, or waits for another price."""
        if e.kind == EventKind.AMEND and o.ref_id in self.waiting:
            self.waiting[o.ref_id].trigger = e.amount_lo
        elif e.kind in WAITS and e.ref_id == o.ref_id:
            self.waiting[o.ref_id] = Waiting.sent(e, o.event, self.trigger_price(e.market, e.source) or 0)

    def _follow(self, by: int, markets: Collection[int], price: int) -> None:
        for waiting in self.waiting.values():
            if waiting.by == by and waiting.market in markets:
                waiting.follow(price)

    def waiting_rows(self) -> list[tuple[int, ...]]:
        return [waiting.row() for waiting in self.waiting.values()]

    def trigger_price(self, market: int, by: int) -> int | None:
        """Return the last valid price of the kind that an order waits for; None: there was none."""
        if by == TriggerBy.LAST:
            return self.last.get(market)
        price = self.marks[market] if by == TriggerBy.MARK else self.indices[self.book.index[market]]
        return price.last_valid if price.valid else None

    def trigger_permit(self, market: int, by: int) -> Permit:
        """Return what the market's state and, but for a trade, the grade of the price say to firing."""
        state = self.state_permit(market, Action.TRIGGER)
        if by == TriggerBy.LAST:
            return state
        price = self.marks[market] if by == TriggerBy.MARK else self.indices[self.book.index[market]]
        return max(state, self.permit(price, Action.TRIGGER))

    def first(self, market: int, side: int) -> int | None:
        """Return the id of the order that trades first on a side: best price, then oldest."""
        prices = [price for at, on, price in self.queues if (at, on) == (market, side)]
        if not prices:
            return None
        return self.queues[market, side, max(prices) if side == Side.BUY else min(prices)][0]

    def open_interest(self, market: int) -> int:
        return sum(max(0, lots) for (_, at), lots in self.qty.items() if at == market)

    def auction_reference(self, market: int) -> int | None:
        """Return the price that the market's row names for its auctions; None: there is none yet."""
        row = self.book.venue.markets[market]
        if row.auction_reference == "last":
            return self.last.get(market)
        published = self.marks[market]
        if row.auction_reference == "index":
            published = self.indices[self.book.venue.number("indices", row.index)]
        return published.last_valid if published.valid else None

    def reach(self, account: int, market: int, side: int) -> int:
        """Return the lots an account holds on a side with all its open orders of that side filled; negative: the other side."""
        mine = [o for o in self.orders.values() if (o.account, o.market, o.side) == (account, market, side)]
        lots = self.qty[account, market]
        return (lots if side == Side.BUY else -lots) + sum(order.qty for order in mine)

    # -- margin at the prices in force

    def value(self, market: int) -> int:
        """Return money per lot at the last valid mark."""
        return self.book.value_at(market, self.marks[market].last_valid)

    def size(self, asset: int) -> int:
        """Return the sum of the sizes of all balances of an asset."""
        return sum(abs(money) for (_, of), money in self.balance.items() if of == asset)

    def cash(self, account: int) -> int:
        return self.balance[account, self.book.numeraire]

    def wallet(self, account: int, asset: int) -> int:
        """Return a balance without what open positions cost or brought."""
        entries = sum(self.entry[account, m] for m in self.book.markets) if asset == self.book.numeraire else 0
        return self.balance[account, asset] + entries

    def gives(self, market: int, side: int, qty: int, price: int, fee_ppm: int) -> tuple[int, int]:
        """Return (asset, amount) that a spot order gives: the base asset; or cash, and the fee on it rounded up."""
        if side == Side.SELL:
            return self.book.spot[market].base, qty * self.book.spot[market].units
        cash = qty * self.book.value_at(market, price)
        return self.book.paid_in[market], cash + units.div_ceil(cash * fee_ppm, units.PPM)

    def promised(self, account: int, asset: int) -> int:
        """Return what the account's open spot orders give of an asset, the maker fee on each market's sum included."""
        total = 0
        for market, spot in self.book.spot.items():
            mine = [o for o in self.orders.values() if (o.account, o.market) == (account, market)]
            if asset == spot.base:
                total += sum(o.qty for o in mine if o.side == Side.SELL) * spot.units
            elif asset == self.book.paid_in[market]:
                cash = sum(o.qty * self.book.value_at(market, o.price) for o in mine if o.side == Side.BUY)
                total += cash + units.div_ceil(cash * self.book.venue.markets[market].fees.maker_ppm, units.PPM)
        return total

    def free(self, account: int, asset: int) -> int:
        """Return the wallet without what open spot orders give."""
        return self.wallet(account, asset) - self.promised(account, asset)

    def spare_equity(self, account: int, asset: int | None = None, amount: int = 0) -> int:
        """Return equity at the weights of initial margin, without what open spot orders give and `amount` of `asset`."""
        given = {a: self.promised(account, a) + (amount if a == asset else 0) for a in range(len(self.book.venue.assets))}
        for a, money in given.items():
            self.balance[account, a] -= money
        equity = self.equity(account, self.initial_weight)
        for a, money in given.items():
            self.balance[account, a] += money
        return equity

    def equity(self, account: int, initial: dict[int, int] | None = None) -> int:
        """Return cash, positions at the marks and collateral as it counts; initial: at these weights of initial margin."""
        equity = self.cash(account) + sum(self.qty[account, m] * self.value(m) for m in self.held(account))
        for haircut in self.haircuts:
            weight = initial[haircut.asset] if initial else None
            price = self.collateral[haircut.asset].last_valid
            equity += haircut.collateral_value(self.balance[account, haircut.asset], price, weight)
        return equity

    def fund_measure(self) -> int:
        """Return what stages compare with a threshold: the fund's cash; net: that, the backstop's cash and its positions."""
        cash = self.cash(Chart.FUND)
        if self.book.venue.fund.measure == "cash":
            return cash
        return cash + self.cash(Chart.BACKSTOP) + sum(self.qty[Chart.BACKSTOP, m] * self.value(m) for m in self.book.markets)

    def fund_may_pay(self, paid: int) -> int:
        """Return what the fund may pay now, having paid so much in this event: its cash above the floor, up to the cap."""
        row = self.book.venue.fund
        free = max(0, self.cash(Chart.FUND) - self.book.whole(row.floor))
        return free if row.event_max is None else min(free, self.book.whole(row.event_max) - paid)

    def closing_value(self, account: int, market: int, held: int, lots: int, e: Evaluation) -> int:
        """Return the cash for `lots` of a position `held` that keeps equity / maintenance as it is in `e`, up to the unit."""
        value, unit = self.value(market), self.book.venue.liquidation.bankruptcy_unit
        need = [self.asked_of(account, market, abs(n * value), abs(n)) if n else 0 for n in (held, held + lots)]
        freed = Fraction(need[0] - need[1], e.maintenance) if e.maintenance else Fraction(1)
        step = 1 if unit is None else self.book.whole(unit)
        return math.ceil((-lots * value - min(Fraction(1), freed) * e.equity) / Fraction(step)) * step

    def takeover_paid(self, account: int, market: int) -> int:
        """Return what a provider pays for the account's position, with a surplus that is the fund's."""
        cash, at_mark = self.takeover_cash(account, market), self.qty[account, market] * self.value(market)
        return max(cash, at_mark) if self.book.stages[Stage.TAKEOVER].surplus == "fund" else cash

    def provider(self, account: int, market: int) -> int | None:
        """Return who may take the account's position over: the vault, else the backstop, else nobody."""
        row, lots = self.book.stages[Stage.TAKEOVER], self.qty[account, market]
        if row.vault is not None and self._vault_admits(account, market, row.vault):
            return row.vault.account
        held = (self.qty[Chart.BACKSTOP, market] + lots) * self.value(market)
        if row.notional_max is not None and abs(held) > self.book.whole(row.notional_max):
            return None
        return Chart.BACKSTOP if row.fund_min is None or self.fund_measure() >= self.book.whole(row.fund_min) else None

    def _vault_admits(self, account: int, market: int, row: rules.Vault) -> bool:
        """Return whether the vault has initial margin for the account's lots at what it pays, within the caps."""
        vault, value, lots = row.account, self.value(market), self.qty[account, market]
        if vault in (account, *self.parent) or self.status.get(vault) != Status.NORMAL:
            return False
        held = self.qty[vault, market] + lots
        if row.notional_max is not None and abs(held * value) > self.book.whole(row.notional_max):
            return False
        mine = [o for o in self.orders.values() if (o.account, o.market) == (vault, market)]
        for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            orders = sign * sum(o.qty for o in mine if o.side == side)
            reach = self.qty[vault, market] + orders + (lots if lots * sign > 0 else 0)
            exceeded = self.brackets[market].exceeded(self.notional(vault, market, reach))
            if exceeded or abs(held + orders) > units.POSITION_MAX:
                return False
        order = Order(market, Side.BUY if lots > 0 else Side.SELL, 1, vault, abs(lots))
        needs = sum(self.requirement(vault, m) for m in self.book.markets if m != market)
        needs += self.requirement(vault, market, order, at_mark=True)
        return self.spare_equity(vault) + lots * value - self.takeover_paid(account, market) >= needs

    def takeover_cash(self, account: int, market: int) -> int:
        """Return what the account's position is worth to it in a takeover, before a surplus that is the fund's."""
        row, lots = self.book.stages[Stage.TAKEOVER], self.qty[account, market]
        if row.price == "bankruptcy":
            return lots * self.value(market) - max(0, self.transfer_share(account, market))
        if row.price == "bankruptcy_value":
            return self.closing_value(account, market, lots, -lots, self.evaluate(account))
        mark, index = self._anchors(market)
        price = Fraction(index if row.price == "oracle" and index is not None else mark)
        price -= abs(price) * Fraction(row.fee_ppm, units.PPM) * (1 if lots > 0 else -1)
        least = self.book.price_min[market]
        return lots * self.book.value_at(market, max(least, math.floor(price)) if lots > 0 else math.ceil(price))

    def held(self, account: int) -> list[int]:
        """Return the markets in which the account has a position."""
        return [market for market in self.book.markets if self.qty[account, market]]

    def maintenance(self, account: int, market: int) -> int:
        qty, row = self.qty[account, market], self.book.venue.markets[market]
        need = self.asked_of(account, market, self.notional(account, market, qty), abs(qty))
        fee_ppm = row.bankruptcy_fee_ppm
        if not fee_ppm or not qty:
            return need
        inverse, least = row.payoff == "inverse", min(0, self.book.price_min[market])
        rises, notional = (qty > 0) == inverse, abs(qty) * self.value(market) * (-1 if inverse else 1)
        reach = notional + (self.equity(account) if rises else -self.equity(account))
        reach = max(reach, abs(qty) * self.book.value_at(market, least) if least else 0)
        return need + units.muldiv_ceil(abs(reach), fee_ppm, units.PPM + (fee_ppm if rises == (reach > 0) else -fee_ppm))

    def asked_of(self, account: int, market: int, notional: int, lots: int) -> int:
        """Return what the table asks for so many lots; of a grandfathered position the lower of what two tables ask."""
        need, kept = self.brackets[market].maintenance(notional, lots), self.kept_brackets[market]
        return min(need, kept.maintenance(notional, lots)) if kept and (account, market) in self.grandfathered else need

    def notional(self, account: int, market: int, lots: int) -> int:
        """Return the notional of signed lots at the mark; of what is held of that side, where the row says so, at its entry."""
        held, value = self.qty[account, market], abs(self.value(market))
        if self.book.venue.markets[market].margin.basis == "mark" or held * lots <= 0:
            return abs(lots) * value
        kept = min(abs(lots), abs(held))
        return units.muldiv_ceil(abs(self.entry[account, market]), kept, abs(held)) + (abs(lots) - kept) * value

    def evaluate(self, account: int) -> Evaluation:
        """Return haircut equity, maintenance, whether a position is open, and the strictest permit to liquidate."""
        held = self.held(account)
        maintenance = sum(self.maintenance(account, m) for m in held)
        return Evaluation(self.equity(account), maintenance, bool(held), self.strictest(account, Action.LIQUIDATE))

    def ratio(self, account: int) -> Fraction | None:
        """Return equity / maintenance; None without maintenance, where it is above every ratio unless equity is a debt."""
        e = self.evaluate(account)
        if not e.maintenance:
            return Fraction(-1) if e.equity < 0 else None
        return Fraction(e.equity, e.maintenance)

    def enters(self, account: int, row: rules.Enter | None) -> bool:
        """Return whether the condition of a stage holds for an account."""
        if row is None:
            return True
        ratio = self.ratio(account)
        if ratio is None or (row.below is not None and ratio >= Fraction(row.below)):
            return ratio is None and row.below is None
        return row.at_least is None or ratio >= Fraction(row.at_least)

    def margin_level(self, account: int) -> int:
        """Return how many levels of margin calls an account with positions is at or below."""
        ratio = self.ratio(account) if self.held(account) else None
        return 0 if ratio is None else sum(ratio <= Fraction(row.at_most) for row in self.book.venue.liquidation.levels)

    def minimum(self, account: int) -> int:
        """Return what the account's positions ask for at least; 0: no market of them has a minimum."""
        held = self.held(account)
        return sum(self.brackets[m].minimum(abs(self.qty[account, m] * self.value(m))) for m in held)

    def triggered(self, account: int) -> bool:
        """Return whether the account must be liquidated: a debt, or maintenance against equity while it holds a position."""
        e = self.evaluate(account)
        reached = (
            e.maintenance >= e.equity
            if self.book.venue.liquidation.trigger == "maintenance_ge_equity"
            else e.maintenance > e.equity
        )
        selling = Stage.CONVERT in self.book.stages and self.status[account] != Status.NORMAL and self.cash(account) < 0
        return e.equity < 0 or (reached if e.open else selling)

    def requirement(self, account: int, market: int, order: Order | None = None, at_mark: bool = False) -> int:
        """Return the initial margin of position and open orders on the worse side, `order` counted as open.

        A side: the initial margin of the position with all its orders filled, plus what those fills would lose at once; what
        `order` would lose is not set off against what others would gain.
        """
        if market in self.book.spot:
            return 0
        value, needs, row = self.value(market), [], self.book.venue.markets[market]
        open_interest = self.open_interest(market) * abs(value) if row.margin.open_interest else 0
        leverage = self.leverage.get((account, market)) or row.leverage_default
        for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            mine = [o for o in self.orders.values() if (o.account, o.market, o.side) == (account, market, side)]
            lots, cost = sum(o.qty for o in mine), sum(o.qty * self.book.value_at(market, o.price) for o in mine)
            loss = max(0, sign * (cost - lots * value))
            if order is not None and order.side == side:
                lots += order.qty
                loss += 0 if at_mark else max(0, sign * order.qty * (self.book.value_at(market, order.price) - value))
            lots = self.qty[account, market] + sign * lots
            notional = self.notional(account, market, lots)
            needs.append(self.brackets[market].initial(notional, abs(lots), leverage, open_interest) + loss)
        return max(needs)

    def profit_haircut(self, account: int) -> int:
        """Return what unrealised profit does not count for when margin leaves the account, rounded up."""
        profits = [self.qty[account, m] * self.value(m) - self.entry[account, m] for m in self.held(account)]
        lost_ppm = units.PPM - self.book.venue.withdrawal.profit_weight_ppm
        return units.div_ceil(sum(profit for profit in profits if profit > 0) * lost_ppm, units.PPM)

    def requirements(self, account: int) -> int:
        return sum(self.requirement(account, market) for market in self.book.markets)

    def cools(self, account: int) -> bool:
        """Return whether an account cools down after a slice."""
        return self.cooling.get(account, 0) > self.now

    @property
    def block_limit(self) -> rules.BlockLimit | None:
        return getattr(self.book.stages.get(Stage.BOOK), "block_limit", None)

    def block_left(self, account: int) -> tuple[int | None, int | None]:
        """Return the notional that slices may still close in this window, and what the fund may pay for them; None: no limit."""
        row = self.block_limit
        if row is None:
            return None, None
        window, *used = self.blocks.get(account, (-1, 0, 0))
        used = used if window == self.now // row.window_ns else [0, 0]
        limits = (row.notional_max, row.insurance_max)
        return tuple(None if most is None else self.book.whole(most) - past for most, past in zip(limits, used))

    def used_up(self, account: int) -> bool:
        """Return whether a window of the block limit is used up."""
        return any(left is not None and left <= 0 for left in self.block_left(account))

    def kept(self, account: int) -> bool:
        """Return whether stages without a condition of their own close no lots of the account: it cools down, or waits."""
        return self.cools(account) or self.used_up(account)

    def waits(self, account: int) -> bool:
        """Return whether a cooldown keeps everything from the account's lots: no stage has a condition of its own that holds."""
        rows = [row for stage, row in self.book.stages.items() if stage in (Stage.TAKEOVER, Stage.ADL)]
        own = any(row.enter is not None and self.enters(account, row.enter) for row in rows)
        return self.cools(account) and bool(self.held(account)) and not own

    def liquidation_ppm(self, account: int, market: int, time_ns: int) -> int:
        """Return the rate of the liquidation fee, as it has grown in the episode."""
        fees = self.book.venue.markets[market].fees
        elapsed, growth = time_ns - self.since.get(account, 0), fees.liquidation_growth
        if growth is None or elapsed < growth.grace_ns:
            return fees.liquidation_ppm
        return min(growth.max_ppm, fees.liquidation_ppm + elapsed // growth.every_ns * growth.ppm)

    def conversion_equity(self, account: int) -> int:
        """Return what the account is worth with its collateral sold to the treasury: the margin that bankruptcy uses up."""
        equity = self.cash(account) + sum(self.qty[account, m] * self.value(m) for m in self.held(account))
        for haircut in self.haircuts:
            equity += haircut.conversion_value(self.balance[account, haircut.asset], self.collateral[haircut.asset].last_valid)
        return equity

    def transfer_share(self, account: int, market: int) -> int:
        """Return what a position gives up beside its value at the mark: the account's margin by maintenance, rounded up.

        The margin is what bankruptcy uses up, collateral at its conversion value; of the last position all. A debt is negative.
        """
        need, total = self.maintenance(account, market), self.evaluate(account).maintenance
        margin = self.conversion_equity(account)
        return units.muldiv_ceil(margin, need, total) if need < total else margin

    def converted(self, account: int) -> bool:
        """Return whether no collateral is left to sell."""
        return not any(self.balance[account, haircut.asset] for haircut in self.haircuts)

    # -- grades

    def permit(self, price: Price, action: Action) -> Permit:
        return self.book.venue.grades.permit(Grade(price.grade), action) if price.valid else Permit.REFUSE

    def state_permit(self, market: int, action: Action) -> Permit:
        return self.book.venue.states.permit(MarketState(self.states[market]), action)

    def market_permit(self, market: int, action: Action) -> Permit:
        """Return what the grade of a mark and the state of its market allow together."""
        return max(self.permit(self.marks[market], action), self.state_permit(market, action))

    def strictest(self, account: int, action: Action, market: int | None = None) -> Permit:
        """Return the strictest permit over the account's positions, its collateral, and one more market.

        States count beside grades where a position is at stake: for a withdrawal and for a liquidation.
        """
        markets = [m for m in self.book.markets if self.qty[account, m] or m == market]
        prices = [self.marks[m] for m in markets]
        for haircut in self.haircuts:
            price, balance = self.collateral[haircut.asset], self.balance[account, haircut.asset]
            if balance and (action != Action.LIQUIDATE or haircut.collateral_value(balance, price.last_valid)):
                prices.append(price)
        states = markets if action in (Action.WITHDRAW, Action.LIQUIDATE) else []
        permits = [self.permit(price, action) for price in prices] + [self.state_permit(m, action) for m in states]
        return max(permits, default=Permit.ALLOW)

    # -- bands, limits up and down, and limits of orders without a price of their own

    def _anchors(self, market: int) -> tuple[int | None, int | None]:
        """Return the last valid mark and index of a market."""
        mark, index = self.marks[market], self.indices[self.book.index[market]]
        return mark.last_valid if mark.valid else None, index.last_valid if index.valid else None

    def band_is_known(self, market: int) -> bool:
        """Return whether what the outcomes tell makes the band's bounds: not once its premium can have been sampled."""
        return not (self.sampled and getattr(self.book.venue.markets[market].band, "premium", None))

    def band(self, market: int, side: int) -> int | None:
        """Return the worst price that the market's band allows a side; None: any. Where it is not known: its outer bound."""
        row = self.book.venue.markets[market]
        if row.band is None:
            return None
        mark, index = self._anchors(market)
        if not self.band_is_known(market):
            outer, anchor = row.band.outer_ppm, mark if row.band.form == "mark" else index
            there = mark is not None and index is not None if row.band.form == "mark" else index is not None
            return bands.inward(side, bands.percent(side, anchor, outer, outer), row.tick_size) if there else None
        samples = self.premiums.get(market)
        return bands.bound_of(row.band, side, mark, index, sum(samples) // len(samples) if samples else 0, row.tick_size)

    def limits(self, market: int) -> range | None:
        """Return the prices at which there may be trades, between the limits down and up; None: there are no limits now."""
        row, (mark, index) = self.book.venue.markets[market], self._anchors(market)
        if row.limit_up_down is None:
            return None
        anchor = mark if row.limit_up_down.anchor == "mark" else index
        return None if anchor is None else bands.limits_of(row.limit_up_down, anchor, row.tick_size)

    def _in_band(self, market: int, side: int, limit: int, forced: bool = False) -> int:
        """Return a limit not beyond the band; of the liquidation where the band binds it."""
        row, bound = self.book.venue.markets[market].band, self.band(market, side)
        if bound is None or (forced and not row.liquidation):
            return limit
        return min(limit, bound) if side == Side.BUY else max(limit, bound)

    def market_limit(self, market: int, side: int) -> int:
        """Return the worst price of a MARKET order: so far from the mark, or from the best opposite price; inside the band."""
        return self._in_band(market, side, self._market_bound(market, side))

    def _market_bound(self, market: int, side: int) -> int:
        row = self.book.venue.markets[market]
        if row.market_bound_ticks is not None:
            first = self.first(market, Side.SELL if side == Side.BUY else Side.BUY)
            if first is None:
                return 0 if side == Side.BUY else units.PRICE_MAX
            away = row.market_bound_ticks * row.tick_size
            price = self.orders[first].price
            return min(price + away, units.PRICE_MAX) if side == Side.BUY else max(price - away, self.book.price_low[market])
        return self._away(market, side, self.book.venue.markets[market].market_bound_ppm)

    def _away(self, market: int, side: int, ppm: int) -> int:
        mark, tick = self.marks[market].last_valid, self.book.venue.markets[market].tick_size
        away = abs(mark) * ppm
        if side == Side.BUY:
            return units.div_floor(mark * units.PPM + away, units.PPM * tick) * tick
        return max(units.div_ceil(mark * units.PPM - away, units.PPM * tick) * tick, self.book.price_low[market])

    def sale(self, account: int, haircut: Haircut) -> tuple[int, int]:
        """Return (lots, worst price) of a slice that sells collateral in the own book."""
        need, balance = -self.cash(account), self.balance[account, haircut.asset]
        price, lot = self.collateral[haircut.asset].last_valid, self.book.spot[haircut.market].units
        sold = balance if haircut.conversion_value(balance, price) <= need else haircut.conversion_qty(need, price)
        tick, bound = self.book.venue.markets[haircut.market].tick_size, self.book.stages[Stage.CONVERT].bound_ppm
        limit = max(units.div_ceil(price * (units.PPM - bound), units.PPM * tick) * tick, tick)
        limit = self._in_band(haircut.market, Side.SELL, limit, forced=True)
        return min(balance // lot, units.div_ceil(sold, lot), units.QTY_MAX), limit

    def slice_limit(self, account: int, market: int, side: int) -> int:
        """Return the worst price of a slice: ppm from the mark, or where the position's share of the margin is used up.

        Inside the band where that binds the liquidation.
        """
        return self._in_band(market, side, self._slice_bound(account, market, side), forced=True)

    def _slice_bound(self, account: int, market: int, side: int) -> int:
        bound = self.book.stages[Stage.BOOK].bound
        if bound.kind == "mark":
            return self._away(market, side, bound.ppm)
        qty, tick = self.qty[account, market], self.book.venue.markets[market].tick_size
        if bound.kind == "fillable":
            share = self._fillable(account, market, bound)
        else:
            share = self.transfer_share(account, market)
            share = share if bound.under_water == "bankruptcy" else max(0, share)
        row, venue = self.book.venue.markets[market], self.book.venue
        if qty > 0:
            price = venue.price_for(row, units.div_ceil(qty * self.value(market) - share, qty), True)
            return max(units.div_ceil(price, tick) * tick, self.book.price_low[market])
        return venue.price_for(row, units.div_floor(-qty * self.value(market) + share, -qty), False) // tick * tick

    def _fillable(self, account: int, market: int, bound: rules.BoundFillable) -> int:
        """Return what a position may lose against the mark: a x spread x its maintenance, rounded down."""
        e = self.evaluate(account)
        if not e.maintenance:
            return 0
        below = 1 - Fraction(e.equity, e.maintenance)
        a = min(Fraction(1), max(Fraction(0), Fraction(bound.bankruptcy_adjustment_ppm, units.PPM) * below))
        return math.floor(a * self.maintenance(account, market) * Fraction(bound.spread_to_maintenance_ppm, units.PPM))


class Sent(NamedTuple):
    """What an accepted order was sent as. waited: it was triggered."""

    account: int
    market: int
    side: int
    price: int
    qty: int
    tif: int
    self_trade: int
    reduce_only: bool
    close_only: bool
    waited: bool


_OF_ORDERS = {OutcomeKind.TRIGGERED, OutcomeKind.ACCEPTED, OutcomeKind.FILL, OutcomeKind.CANCELLED, OutcomeKind.REFRESHED}

STATUS_AFTER = {
    OutcomeKind.LIQUIDATION: Status.LIQUIDATING,
    OutcomeKind.SUSPENDED: Status.SUSPENDED,
    OutcomeKind.RESTORED: Status.NORMAL,
}


@dataclass
class Case:
    """One event: the tables before it, its outcomes, the tables after it."""

    book: Book
    before: Tables
    event: Event
    outcomes: list[Outcome]
    after: Tables
    armed: Collection[int] = ()  # seams with a row in the run's fault schedule

    def walk(self) -> Iterator[tuple[Scene, Outcome]]:
        """Yield each outcome with the scene just before it."""
        scene = Scene(self.book, self.before)
        scene.sampled = self._publishes_first
        for o in self.outcomes:
            scene.sampled |= o.round > 0
            scene.now = o.time_ns
            yield scene, o
            self._forward(scene, o)

    @cached_property
    def _publishes_first(self) -> bool:
        """Whether something may have been published before the event itself was posted: a timer was due, or a batch is open."""
        return bool(self.before["due"]) or any(time <= self.event.time_ns for _, _, time in self.before["timers"])

    def _forward(self, scene: Scene, o: Outcome) -> None:
        """Apply an outcome; whether an accepted order is reduce-only, and how it stays, stands in what was sent."""
        sent = self.sent(scene, o) if o.kind == OutcomeKind.ACCEPTED else None
        scene.now = o.time_ns
        scene.apply(o)
        if sent:
            order = scene.orders[o.ref_id]
            order.reduce_only, order.tif, order.self_trade = sent.reduce_only, sent.tif, sent.self_trade
        if o.kind == OutcomeKind.WAITING:
            scene.wait(self.event, o)
        on_its_way = self.asks(o) and o.ref_id in scene.orders and o.market not in scene.auctions
        if o.kind in (OutcomeKind.FILL, OutcomeKind.CANCELLED) and on_its_way:
            order = scene.orders[o.ref_id]  # still on its way: it shows when it rests
            order.shown = min(order.qty, order.display or order.qty)

    def asks(self, o: Outcome) -> bool:
        """Return whether an outcome is about the order that the event itself sends or amends; not if that was triggered."""
        if self.event.ref_id != o.ref_id or self.event.kind not in (EventKind.ORDER, EventKind.AMEND):
            return False
        return id(o) not in self._fired

    def fired(self, o: Outcome) -> bool:
        """Return whether an outcome is about an order that was triggered in this event."""
        return id(o) in self._fired

    @cached_property
    def _fired(self) -> set[int]:
        """The outcomes about triggered orders, up to where their ids are those of orders that the event sends or amends."""
        found, triggered, last = set(), set(), 0
        for o in self.outcomes:
            anew = o.kind in (OutcomeKind.AMENDED, OutcomeKind.WAITING) or (o.kind == OutcomeKind.ACCEPTED and last != o.ref_id)
            if anew:
                triggered.discard(o.ref_id)
            last = o.ref_id if o.kind == OutcomeKind.TRIGGERED else 0
            if o.kind == OutcomeKind.TRIGGERED:
                triggered.add(o.ref_id)
            if o.ref_id in triggered and o.kind in _OF_ORDERS:
                found.add(id(o))
        return found

    def sent(self, scene: Scene, o: Outcome) -> Sent | None:
        """Return an order that is accepted as it was sent: by the event, or before, when it waited; None: by the venue."""
        waiting = scene.fired.get(o.ref_id)
        if waiting:
            flags = bool(waiting.reduce_only), bool(waiting.close_only)
            by = waiting.account, waiting.market, waiting.side
            return Sent(*by, waiting.price, waiting.qty, waiting.tif, waiting.self_trade, *flags, True)
        e = self.event
        if e.kind != EventKind.ORDER or not self.asks(o):
            return None
        flags = bool(e.flags & (Flag.REDUCE_ONLY | Flag.CLOSE_ONLY)), bool(e.flags & Flag.CLOSE_ONLY)
        return Sent(e.account, e.market, e.side, e.price, e.qty, e.tif, e.asset, *flags, False)

    @cached_property
    def end(self) -> Scene:
        """The scene after the last outcome: what the outcomes say the state must be."""
        scene = Scene(self.book, self.before)
        for o in self.outcomes:
            self._forward(scene, o)
        scene.now = self.after["clock"][0][0]
        return scene

    @cached_property
    def final(self) -> Scene:
        """The scene of the tables after: what the state is."""
        return Scene(self.book, self.after)

    @cached_property
    def rejected(self) -> Reason:
        """Why the event itself was refused; Reason.NONE if it was not. A quoter's refusals name orders of the venue's own."""
        e, at = self.event, self.event.source if self.event.kind == EventKind.SOURCE else self.event.asset
        echo = (e.account, e.market, e.leg, at, e.ref_id, e.price, e.qty, e.side, e.amount)
        for o in self.outcomes:
            if (
                o.kind == OutcomeKind.REJECT
                and (o.account, o.market, o.leg, o.asset, o.ref_id, o.price, o.qty, o.side, o.money) == echo
            ):
                return Reason(o.reason)
        return Reason.NONE

    @property
    def unsettled(self) -> bool:
        """Whether events before this one still wait for the cascade that closes their batch."""
        return bool(self.before["due"])

    @property
    def settled(self) -> bool:
        """Whether the event ended in a cascade: it closed its batch, and time did move."""
        return self.event.batch_left == 0 and self.rejected not in (Reason.TIME_WENT_BACK, Reason.TIME_GAP)
