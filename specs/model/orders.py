"""One order from the gate to the book: ranges, limits, state, grade, margin; then fills at makers' prices; then rest or expire.

The part of the exchange that engine/orders.pyx translates.
"""

from __future__ import annotations

from typing import NamedTuple

from specs import rules, units
from specs.model import bands, bust
from specs.model.book import Order
from specs.model.ledger import Account
from specs.tape import (
    ENGINE_ORDER,
    Action,
    Chart,
    Flag,
    Flow,
    MarketState,
    OutcomeKind,
    Permit,
    Reason,
    SelfTrade,
    Side,
    Stage,
    Status,
    Tif,
)

RESTING = (Tif.GTC, Tif.GTD, Tif.POST_ONLY, Tif.POST_REPRICE)
POSTING = (Tif.POST_ONLY, Tif.POST_REPRICE)


class Matched(NamedTuple):
    """What matching left of a taker: lots, notional of the fills, and why it stopped although it reached the book."""

    left: int
    notional: int
    stopped: Reason


class Orders:
    """How an exchange takes, matches, changes and cancels orders."""

    # ---- events

    def post_order(self, e) -> Reason:
        reason = self.order_event(e)
        return reason or self._order(self.ticket(e, display=e.amount_lo), bool(e.flags & Flag.CLOSE_ONLY))

    def order_event(self, e) -> Reason:
        """Return why an event that sends an order names nothing that is there."""
        if self.trader(e.account) is None:
            return Reason.UNKNOWN_ACCOUNT
        if e.market >= len(self.books):
            return Reason.UNKNOWN_MARKET
        if e.ref_id & ENGINE_ORDER:
            return Reason.BAD_ORDER_ID
        if e.ref_id in self.orders:
            return Reason.DUPLICATE_ORDER_ID
        return Reason.NONE if e.leg == 0 else Reason.BAD_LEG

    @staticmethod
    def ticket(e, display: int = 0) -> Order:
        """Return the order that an event sends."""
        return Order(
            e.ref_id,
            e.account,
            e.market,
            e.side,
            e.price,
            e.qty,
            e.tif,
            display=display,
            expiry_ns=e.amount_hi,
            reduce_only=bool(e.flags & (Flag.REDUCE_ONLY | Flag.CLOSE_ONLY)),
            self_trade=e.asset,
        )

    def owned(self, e) -> tuple[Order | None, Reason]:
        """Return the order that an event of its account names, or why there is none."""
        if self.trader(e.account) is None:
            return None, Reason.UNKNOWN_ACCOUNT
        order = self.orders.get(e.ref_id)
        if order is None:
            return None, Reason.UNKNOWN_ORDER
        return (order, Reason.NONE) if order.account == e.account else (None, Reason.NOT_OWNER)

    def post_cancel(self, e) -> Reason:
        order, reason = self.owned(e)
        if reason:
            return reason
        if self.state_permit(order.market, Action.CANCEL) >= Permit.DEFER:
            return Reason.MARKET_STATE
        self.cancel_order(order, Reason.USER)
        return Reason.NONE

    def post_mass_cancel(self, e) -> Reason:
        """Cancel an account's orders of a market, or of all, on a side or on both, oldest first; all of them or none."""
        account = self.trader(e.account)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        everywhere = bool(e.flags & Flag.ALL_MARKETS)
        if not everywhere and e.market >= len(self.books):
            return Reason.UNKNOWN_MARKET
        if e.side not in (Side.NONE, Side.BUY, Side.SELL):
            return Reason.BAD_SIDE
        orders = [o for o in account.orders.values() if (everywhere or o.market == e.market) and e.side in (Side.NONE, o.side)]
        if any(self.state_permit(order.market, Action.CANCEL) >= Permit.DEFER for order in orders):
            return Reason.MARKET_STATE
        return self._cancel_all(orders, Reason.MASS_CANCEL)

    def post_disconnect(self, e) -> Reason:
        """Cancel all orders of an account: the venue's own act, which no state of a market stops."""
        account = self.trader(e.account)
        return self._cancel_all(list(account.orders.values()), Reason.DISCONNECTED) if account else Reason.UNKNOWN_ACCOUNT

    def _cancel_all(self, orders: list[Order], reason: Reason) -> Reason:
        for order in orders:
            self.cancel_order(order, reason)
        return Reason.NONE if orders else Reason.UNKNOWN_ORDER

    def post_amend(self, e) -> Reason:
        """Change price or lots left of an order. Fewer lots at the same price keep its place; anything else is a new order.

        Judged as if the old order were gone; refused, everything is as it was.
        """
        order, reason = self.owned(e)
        if reason:
            return reason
        if self.state_permit(order.market, Action.AMEND) >= Permit.DEFER:
            return Reason.MARKET_STATE
        if order.waits:
            return self.amend_waiting(order, e)
        if e.amount_lo:
            return Reason.BAD_AMEND
        price, qty = e.price or order.price, e.qty or order.qty
        if (price, qty) == (order.price, order.qty):
            return Reason.BAD_AMEND
        if price == order.price and 0 < qty < order.qty:
            order.cut(order.qty - qty)
            self._say_amended(order, False)
            return Reason.NONE
        changed = Order(
            order.order_id,
            order.account,
            order.market,
            order.side,
            price,
            qty,
            order.tif,
            display=order.display if order.display < qty else 0,
            expiry_ns=order.expiry_ns,
            reduce_only=order.reduce_only,
            self_trade=order.self_trade,
        )
        return self._order(changed, before=order)

    # ---- the gate

    def _order(self, order: Order, close_only: bool = False, before: Order | None = None) -> Reason:
        """Gate and post one order of a user or a quoter; `before`: the order that it changes, which is not counted."""
        account = self.ledger.accounts[order.account]
        kept = dict(account.orders)
        if before:
            del account.orders[before.order_id]
        reason, limit = self._gate(account, order, close_only, before)
        if reason:
            account.orders = kept
            return reason
        if before:
            account.orders = kept
            self._forget(before)
            self._say_amended(order, True)
        else:
            self._say(OutcomeKind.ACCEPTED, order, order.qty, other_id=order.display)
        self.post(account, order, limit)
        return Reason.NONE

    def _gate(self, account: Account, order: Order, close_only: bool, before: Order | None) -> tuple[Reason, int]:
        """Return why an order is refused, or the worst price at which it trades; it may be given another price of its own."""
        market, row = order.market, self.venue.markets[order.market]
        reason = self._ended(market) or self._ranges(order, row, close_only) or self._counts(account, before)
        if reason:
            return reason, 0
        if close_only:
            order.show(min(self._closable(account, market, order.side), row.limits.qty_max or units.QTY_MAX))
            if not order.qty:
                return Reason.NOT_REDUCING, 0
        reason = bands.judge(self, order) or self._limits(account, order, row)
        if reason:
            return reason, 0
        if order.reduce_only and order.qty > self._closable(account, market, order.side):
            return Reason.NOT_REDUCING, 0
        collects = self.states[market] == MarketState.AUCTION
        if collects and order.tif not in RESTING:
            return Reason.MARKET_STATE, 0
        opposite = None if collects else self.books[market].best(Side.SELL if order.side == Side.BUY else Side.BUY)
        if order.tif == Tif.POST_REPRICE and opposite and self._reaches(order.side, order.price, opposite.price):
            order.price = opposite.price + (-row.tick_size if order.side == Side.BUY else row.tick_size)
            if not self.price_min[market] <= order.price <= units.PRICE_MAX:
                return Reason.WOULD_CROSS, 0
        if self.clears:
            reason = self._spot_gate(account, order) if self.spot[market] else self._margin_gate(account, order)
        else:
            reason = self._state_gate(order)
        if reason:
            return reason, 0
        limit = self._market_limit(market, order.side) if order.tif == Tif.MARKET else order.price
        if opposite and self._reaches(order.side, limit, opposite.price):
            if order.tif == Tif.POST_ONLY:
                return Reason.WOULD_CROSS, 0
            if self.state_permit(market, Action.TAKE) >= Permit.DEFER:
                return Reason.MARKET_STATE, 0
        if order.tif == Tif.FOK and self._available(order, limit) < order.qty:
            return Reason.CANNOT_FILL, 0
        return Reason.NONE, limit

    def _ended(self, market: int) -> Reason:
        return Reason.MARKET_CLOSED if self.states[market] == MarketState.CLOSED else Reason.NONE

    def _ranges(self, order: Order, row: rules.Market, close_only: bool) -> Reason:
        market, price, tif = order.market, order.price, order.tif
        if order.side not in (Side.BUY, Side.SELL):
            return Reason.BAD_SIDE
        if tif not in Tif._value2member_map_ or tif == Tif.NONE or (tif == Tif.FOK and self.spot[market]):
            return Reason.BAD_TIF  # whether the makers of a spot market can deliver shows only as they are met
        if order.qty != 0 if close_only else not 1 <= order.qty <= units.QTY_MAX:
            return Reason.BAD_QTY
        if (price != 0) if tif == Tif.MARKET else not bands.is_price(self, market, price):
            return Reason.BAD_PRICE
        if price % row.tick_size:
            return Reason.OFF_TICK
        if order.expiry_ns and (tif not in (Tif.GTD, *POSTING) or not self.now < order.expiry_ns <= units.TIMES_MAX_NS):
            return Reason.BAD_EXPIRY
        if tif == Tif.GTD and not order.expiry_ns:
            return Reason.BAD_EXPIRY
        if order.display:
            in_parts = order.display < order.qty <= order.display * units.DISPLAY_PARTS_MAX
            if tif not in RESTING or order.reduce_only or not in_parts:
                return Reason.BAD_DISPLAY
        if order.self_trade == SelfTrade.ALLOW or order.self_trade not in SelfTrade._value2member_map_:
            return Reason.BAD_SELF_TRADE
        return Reason.NONE

    def _counts(self, account: Account, before: Order | None) -> Reason:
        if account.status == Status.LIQUIDATING:
            return Reason.IN_LIQUIDATION
        if len(account.orders) >= self.venue.limits.orders_per_account_max:
            return Reason.TOO_MANY_ORDERS
        live = len(self.orders) - (before is not None)
        return Reason.BOOK_FULL if live >= self.venue.limits.orders_max else Reason.NONE

    def _limits(self, account: Account, order: Order, row: rules.Market) -> Reason:
        """Limits of one order, of what an account and its owner could hold after it, and of the open interest."""
        market, side, limits = order.market, order.side, row.limits
        buy_lots, _, sell_lots, _ = self._open(account, market)
        worse = max(abs(account.qty[market] + buy_lots), abs(account.qty[market] - sell_lots))
        if self.clears and worse + order.qty > units.POSITION_MAX:
            return Reason.POSITION_LIMIT
        if limits.qty_max is not None and order.qty > limits.qty_max:
            return Reason.QTY_LIMIT
        if limits.notional_max is not None:
            value = self.value[market] if order.tif == Tif.MARKET else self.value_at(market, order.price)
            if order.qty * abs(value) > rules.whole(limits.notional_max, self.venue.decimals(row.settles_in)):
                return Reason.NOTIONAL_LIMIT
        raised = max(0, self._reach(account, market, side) + order.qty) - max(0, self._reach(account, market, side))
        if limits.position_max is not None and raised:
            owned = [a for a in self.ledger.accounts.values() if a.owner == account.owner and self.user(a.number)]
            if sum(max(0, self._reach(a, market, side)) for a in owned) + raised > limits.position_max:
                return Reason.OWNER_LIMIT
        if limits.open_interest_max is not None and raised:
            if self.open_interest(market) + raised > limits.open_interest_max:
                return Reason.OPEN_INTEREST_LIMIT
        return Reason.NONE

    def _reach(self, account: Account, market: int, side: int) -> int:
        """Return the lots that an account holds on a side with all its open orders of that side filled; negative: the other."""
        buy_lots, _, sell_lots, _ = self._open(account, market)
        return account.qty[market] + buy_lots if side == Side.BUY else sell_lots - account.qty[market]

    def open_interest(self, market: int) -> int:
        return sum(max(0, account.qty[market]) for account in self.ledger.accounts.values())

    def _margin_gate(self, account: Account, order: Order) -> Reason:
        """An order that raises its market's requirement needs equity >= all requirements with it, and its taker fee.

        A MARKET order is judged at the mark; a limit order pays the loss of a limit beyond the mark on top.
        """
        market, at_mark = order.market, order.tif == Tif.MARKET
        need, _ = self.requirement(account, market)
        need_with, exceeded = self.requirement(account, market, order, at_mark=at_mark)
        action = Action.OPEN if need_with > need else Action.REDUCE
        if self.state_permit(market, Action.REDUCE if self._closes(account, order) else Action.OPEN) >= Permit.DEFER:
            return Reason.MARKET_STATE
        if self.strictest(account, action, market) >= Permit.DEFER:
            return Reason.GRADE_REFUSED
        if action == Action.REDUCE:
            return Reason.NONE
        if exceeded:
            return Reason.EXCEEDS_BRACKETS
        value = self.value[market] if at_mark else self.value_at(market, order.price)
        fee = units.div_ceil(order.qty * abs(value) * self.venue.markets[market].fees.taker_ppm, units.PPM)
        needs = self.requirements(account) - need + need_with
        return Reason.NONE if self.spare_equity(account) >= needs + fee else Reason.INSUFFICIENT_MARGIN

    def _spot_gate(self, account: Account, order: Order) -> Reason:
        """A spot order needs what it gives, taker fee included, beside what open orders give; and margin without all of it.

        An account that owes nothing needs no trusted price for a limit order: else a book that an index reads could never open.
        """
        market, tif = order.market, order.tif
        if self.state_permit(market, Action.OPEN) >= Permit.DEFER:
            return Reason.MARKET_STATE
        priced = tif == Tif.MARKET or min(account.balance) < 0 or self.requirements(account) > 0
        if priced and self.strictest(account, Action.OPEN, market) >= Permit.DEFER:
            return Reason.GRADE_REFUSED
        price = self._market_limit(market, order.side) if tif == Tif.MARKET else order.price
        asset, amount = self.gives(market, order.side, order.qty, price, self.venue.markets[market].fees.taker_ppm)
        if self.free(account, asset) < amount:
            return Reason.INSUFFICIENT_BALANCE
        if self.spare_equity(account, {asset: amount}) < self.requirements(account):
            return Reason.INSUFFICIENT_MARGIN
        return Reason.NONE

    def _state_gate(self, order: Order) -> Reason:
        """Without clearing only the market's state speaks, and the mark where a MARKET order is bounded by it."""
        if self.state_permit(order.market, Action.OPEN) >= Permit.DEFER:
            return Reason.MARKET_STATE
        by_mark = order.tif == Tif.MARKET and self.venue.markets[order.market].market_bound_ticks is None
        return Reason.GRADE_REFUSED if by_mark and self.grade_permit(order.market, Action.OPEN) >= Permit.DEFER else Reason.NONE

    def _market_limit(self, market: int, side: int) -> int:
        """Return the worst price a MARKET order takes: its own bound, not beyond the market's band."""
        return bands.narrow(self, market, side, self._market_bound(market, side))

    def _market_bound(self, market: int, side: int) -> int:
        """Return the bound of a MARKET order, on tick: so far from the mark, or from the best opposite price.

        Of an empty opposite side: the price that reaches nothing.
        """
        row, mark = self.venue.markets[market], self.marks[market].published.last_valid
        if row.market_bound_ticks is not None:
            opposite = self.books[market].best(Side.SELL if side == Side.BUY else Side.BUY)
            away = row.market_bound_ticks * row.tick_size
            if side == Side.BUY:
                return min(opposite.price + away, units.PRICE_MAX) if opposite else 0
            return max(opposite.price - away, self.price_low[market]) if opposite else units.PRICE_MAX
        bound = bands.inward(side, bands.percent(side, mark, row.market_bound_ppm, row.market_bound_ppm), row.tick_size)
        return bound if side == Side.BUY else max(bound, self.price_low[market])

    @staticmethod
    def _reaches(side: int, limit: int, price: int) -> bool:
        return limit >= price if side == Side.BUY else limit <= price

    def _available(self, order: Order, limit: int) -> int:
        """Return the lots that an order would trade at once, at most its own: the queue as it would be met, order by order.

        Hidden lots count; those of the order's own account do as its self-trade mode lets them; a reduce-only order counts for
        what its account can still close when it is met. What stands beyond a limit up or down, and behind it, does not.
        """
        inside = bands.limits(self, order.market)
        mode, taker = self._self_trade(order), self.ledger.accounts[order.account]
        opposite = Side.SELL if order.side == Side.BUY else Side.BUY
        found, traded = 0, {}
        for level in self.books[order.market].queue(opposite, limit):
            if inside is not None and level[0].price not in inside:
                return found
            queue = [(maker, maker.shown, maker.hidden) for maker in level]
            while queue:
                maker, shown, hidden = queue.pop(0)
                if mode != SelfTrade.ALLOW and self._same(maker, taker):
                    if mode == SelfTrade.CANCEL_MAKER:
                        continue
                    return found
                account = self.ledger.accounts[maker.account]
                if maker.reduce_only and account is not taker:
                    left = self._closable(account, order.market, opposite) - traded.get(maker.account, 0)
                    shown = max(0, min(shown, left))
                lots = min(shown, order.qty - found)
                found += lots
                traded[maker.account] = traded.get(maker.account, 0) + lots
                if found == order.qty:
                    return found
                if hidden:
                    again = min(maker.display, hidden)
                    queue.append((maker, again, hidden - again))
        return found

    # ---- matching

    def post(self, account: Account, order: Order, limit: int) -> None:
        """Match an accepted order, then let what is left of it rest or go."""
        matched = self.match(order, limit, order.qty, Stage.NONE)
        if not matched.left:
            return
        if order.tif in RESTING and not matched.stopped and not order.clipped:
            order.show(matched.left)
            self.books[order.market].rest(order)
            self.orders[order.order_id] = account.orders[order.order_id] = order
            self.expire_at(order)
        else:
            reason = Reason.PRICE_BAND if order.clipped else Reason.IOC_REMAINDER
            self._say(OutcomeKind.CANCELLED, order, matched.left, reason=matched.stopped or reason)

    def match(self, order: Order, limit: int, qty: int, stage: Stage) -> Matched:
        """Trade up to qty lots against the book at `limit` or better, best price first, oldest first.

        In a liquidation a resting order of the same owner is cancelled, not met; else the taker's self-trade mode decides. A
        taker of a spot market stops where it cannot give, or has no room for, what the next fill moves: fees are rounded up fill
        by fill. Only the shown lots of an order are met; then it shows more, at the back of its level. An auction meets nobody.
        A taker that comes to a price beyond a limit up or down stops there, and the market pauses.
        """
        market, side = order.market, order.side
        fees = self.venue.markets[market].fees
        book, taker = self.books[market], self.ledger.accounts[order.account]
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        mode = SelfTrade.CANCEL_MAKER if stage else self._self_trade(order)
        left, notional, inside = qty, 0, bands.limits(self, market)
        while left and self.states[market] != MarketState.AUCTION:
            maker = book.best(opposite)
            if maker is None or not self._reaches(side, limit, maker.price):
                break
            if inside is not None and maker.price not in inside:
                self.pause(market)
                return Matched(left, notional, Reason.LIMIT_UP_DOWN)
            if mode != SelfTrade.ALLOW and self._same(maker, taker, stage):
                left = self._prevent(mode, order, maker, left, stage)
                if mode in (SelfTrade.CANCEL_TAKER, SelfTrade.CANCEL_BOTH):
                    return Matched(left, notional, Reason.SELF_TRADE)
                continue
            lots = min(left, maker.shown)
            if self.spot[market]:
                if not self._delivers(self.ledger.accounts[maker.account], maker.side, market, lots, maker.price, fees.maker_ppm):
                    self.cancel_order(maker, Reason.UNFUNDED, stage)
                    continue
                if not self._delivers(taker, side, market, lots, maker.price, 0 if stage else fees.taker_ppm):
                    return Matched(left, notional, Reason.UNFUNDED)
            notional += self._fill(taker, maker, order.order_id, side, lots, stage)
            left -= lots
        return Matched(left, notional, Reason.NONE)

    def _self_trade(self, order: Order) -> SelfTrade:
        """Return the mode that counts for a taker: its own, else that of the market's row."""
        if order.self_trade != SelfTrade.AS_MARKET:
            return SelfTrade(order.self_trade)
        return SelfTrade[self.venue.markets[order.market].self_trade.mode.upper()]

    def _same(self, maker: Order, taker: Account, stage: Stage = Stage.NONE) -> bool:
        """Return whether a resting order is the taker's own: of its account, or of its owner where the row or a stage says so."""
        if maker.account == taker.number:
            return True
        by_owner = bool(stage) or self.venue.markets[maker.market].self_trade.by == "owner"
        return by_owner and self.ledger.accounts[maker.account].owner == taker.owner

    def _prevent(self, mode: SelfTrade, order: Order, maker: Order, left: int, stage: Stage) -> int:
        """Do what a self-trade mode says when an order meets one of its own; return what is left of the taker."""
        if mode == SelfTrade.DECREMENT:
            lots = min(left, maker.shown)
            self._say(OutcomeKind.CANCELLED, order, lots, reason=Reason.SELF_TRADE)
            self._say(OutcomeKind.CANCELLED, maker, lots, reason=Reason.SELF_TRADE)
            self._reduce(maker, lots)
            return left - lots
        if mode != SelfTrade.CANCEL_TAKER:
            self.cancel_order(maker, Reason.OWN_ORDER if stage else Reason.SELF_TRADE, stage)
        return left

    def _fill(self, taker: Account, maker: Order, order_id: int, side: int, lots: int, stage: Stage) -> int:
        """Post one fill at the maker's price; return its notional."""
        market, fees = maker.market, self.venue.markets[maker.market].fees
        cash = lots * self.value_at(market, maker.price)
        buyer, seller = (taker.number, maker.account) if side == Side.BUY else (maker.account, taker.number)
        spot, quote = self.spot[market], self.paid_in[market]
        fee = 0 if stage or not self.clears else self._fee(cash, fees.taker_ppm)
        maker_fee = self._fee(cash, fees.maker_ppm) if self.clears else 0
        if self.clears:
            if spot:
                self.ledger.swap(buyer, seller, spot.base, lots * spot.units, quote, cash)
            else:
                self.ledger.exchange(buyer, seller, market, lots, cash)
        if fee:
            self.ledger.flow(taker.number, Chart.FEES, quote, fee)
        self.traded(market, maker.price)
        self.emit(
            OutcomeKind.FILL,
            account=taker.number,
            other=maker.account,
            market=market,
            ref_id=order_id,
            other_id=maker.order_id,
            side=side,
            price=maker.price,
            qty=lots,
            money=fee,
            stage=stage,
            flow=Flow.TRADE,
        )
        if maker_fee:
            self.flow(Flow.FEE, maker.account, Chart.FEES, quote, maker_fee)
        bust.keep(self, taker.number, maker.account, market, side, maker.price, lots, fee, maker_fee)
        self._reduce(maker, lots)
        self.trim(taker, market)
        self.trim(self.ledger.accounts[maker.account], market)
        return abs(cash)

    @staticmethod
    def _fee(cash: int, rate_ppm: int) -> int:
        """Return the fee on cash of any sign: a part of its size, rounded up."""
        return units.div_ceil(abs(cash) * rate_ppm, units.PPM)

    def traded(self, market: int, price: int) -> None:
        """Keep the last price; what reads it, or reads the book on update, is due."""
        self.last_price[market] = price
        self.follow_last(market)
        self.due_index |= {index.number for index in self.indices if index.row.publish.kind == "update" and market in index.books}
        if self.venue.markets[market].mark.kind == "median" and self.venue.markets[market].mark.republish_on_fill:
            self.due_mark.add(market)

    def _reduce(self, maker: Order, lots: int) -> None:
        """Take lots from what an order shows; when that is gone it shows more, at the back of its level, or it is done."""
        maker.shown -= lots
        if maker.shown:
            return
        if not maker.hidden:
            self._forget(maker)
            return
        self.books[maker.market].remove(maker)
        maker.show(maker.hidden)
        self.books[maker.market].rest(maker)
        self._say(OutcomeKind.REFRESHED, maker, maker.shown)

    def _delivers(self, account: Account, side: int, market: int, lots: int, price: int, fee_ppm: int) -> bool:
        """Return whether a side of a spot fill has what it gives, its fee included, and room for what it gets."""
        if not self.clears:
            return True
        asset, amount = self.gives(market, side, lots, price, fee_ppm)
        return self.wallet(account, asset) >= amount and self._has_room(account, side, market, lots, price)

    def _has_room(self, account: Account, side: int, market: int, lots: int, price: int) -> bool:
        """Return whether what a spot trade brings stays within BALANCE_MAX; the numeraire has no such bound."""
        asset, amount = self.gives(market, Side.SELL if side == Side.BUY else Side.BUY, lots, price, 0)
        return asset == self.numeraire or account.balance[asset] + amount <= units.BALANCE_MAX

    def _closes(self, account: Account, order: Order) -> bool:
        """Return whether an order can do nothing but close, whatever fills first: with what rests on its side, or reduce-only."""
        buy_lots, _, sell_lots, _ = self._open(account, order.market)
        resting = 0 if order.reduce_only else buy_lots if order.side == Side.BUY else sell_lots
        return order.qty + resting <= self._closable(account, order.market, order.side)

    @staticmethod
    def _closable(account: Account, market: int, side: int) -> int:
        """Return the lots of the account's position that an order of that side closes."""
        return max(0, account.qty[market] if side == Side.SELL else -account.qty[market])

    def trim(self, account: Account, market: int) -> None:
        """Cut the account's reduce-only orders, oldest first, each to what is left of its position. Those that wait stay."""
        for order in list(account.orders.values()):
            if not order.reduce_only or order.market != market or order.waits:
                continue
            left = self._closable(account, market, order.side)
            if left == 0:
                self.cancel_order(order, Reason.REDUCE_ONLY)
            elif order.qty > left:
                self._say(OutcomeKind.CANCELLED, order, order.qty - left, reason=Reason.REDUCE_ONLY)
                order.cut(order.qty - left)

    # ---- leaving

    def _forget(self, order: Order) -> None:
        if order.waits:
            del self.waiting[order.order_id]
        else:
            self.books[order.market].remove(order)
        del self.orders[order.order_id]
        del self.ledger.accounts[order.account].orders[order.order_id]
        self.expire_never(order)

    def cancel_order(self, order: Order, reason: Reason, stage: Stage | None = None) -> None:
        self._forget(order)
        self._say(OutcomeKind.CANCELLED, order, order.qty, reason=reason, stage=stage)

    def _say_amended(self, order: Order, moved: bool) -> None:
        self._say(OutcomeKind.AMENDED, order, order.qty, other_id=int(moved))

    def _say(self, kind: OutcomeKind, order: Order, qty: int, **fields) -> None:
        """Emit an outcome about an order and some of its lots."""
        self.emit(
            kind,
            account=order.account,
            market=order.market,
            ref_id=order.order_id,
            side=order.side,
            price=order.price,
            qty=qty,
            **fields,
        )

    def next_order_id(self) -> int:
        self.engine_orders += 1
        return ENGINE_ORDER | self.engine_orders

    def quote(self, number: int, market: int, side: Side, price: int, qty: int) -> None:
        """Place a quoter's order through the gate; a refusal is a REJECT outcome."""
        order = Order(self.next_order_id(), number, market, side, price, qty, Tif.POST_ONLY)
        reason = self._order(order)
        if reason:
            self._say(OutcomeKind.REJECT, order, qty, reason=reason)
