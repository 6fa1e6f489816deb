"""One order from the gate to the book: ranges, limits, state, grade, margin; then fills at makers' prices; then rest or expire.

The part of the exchange that engine/orders.pyx translates.
"""

from __future__ import annotations

from specs import units
from specs.model.book import Order
from specs.model.ledger import Account
from specs.tape import ENGINE_ORDER, Action, Chart, Flow, OutcomeKind, Permit, Reason, Side, Stage, Status, Tif


class Orders:
    """How an exchange takes, matches and cancels orders."""

    def _order(
        self, number: int, market: int, order_id: int, side: int, tif: int, price: int, qty: int, reduce_only: bool = False
    ) -> Reason:
        """Gate and post one order of a user or a quoter."""
        account, row = self.ledger.accounts[number], self.venue.markets[market]
        if side not in (Side.BUY, Side.SELL):
            return Reason.BAD_SIDE
        if tif not in (Tif.GTC, Tif.IOC, Tif.POST_ONLY, Tif.MARKET):
            return Reason.BAD_TIF
        if not 1 <= qty <= units.QTY_MAX:
            return Reason.BAD_QTY
        if (price != 0) if tif == Tif.MARKET else not 1 <= price <= units.PRICE_MAX:
            return Reason.BAD_PRICE
        if price * self.multiplier[market] > units.VALUE_MAX:
            return Reason.BAD_PRICE
        if price % row.tick_size:
            return Reason.OFF_TICK
        if account.status == Status.LIQUIDATING:
            return Reason.IN_LIQUIDATION
        if len(account.orders) >= self.venue.limits.orders_per_account_max:
            return Reason.TOO_MANY_ORDERS
        if len(self.orders) >= self.venue.limits.orders_max:
            return Reason.BOOK_FULL
        buy_lots, _, sell_lots, _ = self._open(account, market)
        worse = max(abs(account.qty[market] + buy_lots), abs(account.qty[market] - sell_lots))
        if worse + qty > units.POSITION_MAX:
            return Reason.POSITION_LIMIT
        if reduce_only and qty > self._closable(account, market, side):
            return Reason.NOT_REDUCING
        order = Order(order_id, number, market, side, price, qty, reduce_only)
        reason = self._spot_gate(account, order, tif) if self.spot[market] else self._margin_gate(account, order, tif)
        if reason:
            return reason
        opposite = self.books[market].best(Side.SELL if side == Side.BUY else Side.BUY)
        if tif == Tif.POST_ONLY and opposite is not None and self._reaches(side, price, opposite.price):
            return Reason.WOULD_CROSS
        self.emit(OutcomeKind.ACCEPTED, account=number, market=market, ref_id=order_id, side=side, price=price, qty=qty)
        limit = self._market_limit(market, side) if tif == Tif.MARKET else price
        filled, _ = self.match(number, order_id, market, side, limit, qty, Stage.NONE)
        order.qty = qty - filled
        unfunded = self._crosses(market, side, limit) if order.qty else False
        if order.qty and tif in (Tif.GTC, Tif.POST_ONLY) and not unfunded:
            self.books[market].rest(order)
            self.orders[order_id] = account.orders[order_id] = order
        elif order.qty:
            self.emit(
                OutcomeKind.CANCELLED,
                account=number,
                market=market,
                ref_id=order_id,
                side=side,
                price=price,
                qty=order.qty,
                reason=Reason.UNFUNDED if unfunded else Reason.IOC_REMAINDER,
            )
        return Reason.NONE

    def _margin_gate(self, account: Account, order: Order, tif: int) -> Reason:
        """An order that raises its market's requirement needs equity >= all requirements with it, and its taker fee.

        A MARKET order is judged at the mark; a limit order pays the loss of a limit beyond the mark on top.
        """
        market = order.market
        need, _ = self.requirement(account, market)
        need_with, exceeded = self.requirement(account, market, order, at_mark=tif == Tif.MARKET)
        action = Action.OPEN if need_with > need else Action.REDUCE
        if self.state_permit(market, Action.REDUCE if self._closes(account, order) else Action.OPEN) >= Permit.DEFER:
            return Reason.MARKET_STATE
        if self.strictest(account, action, market) >= Permit.DEFER:
            return Reason.GRADE_REFUSED
        if action == Action.REDUCE:
            return Reason.NONE
        if exceeded:
            return Reason.EXCEEDS_BRACKETS
        value = self.value[market] if tif == Tif.MARKET else order.price * self.multiplier[market]
        fee = units.div_ceil(order.qty * value * self.venue.markets[market].fees.taker_ppm, units.PPM)
        needs = self.requirements(account) - need + need_with
        return Reason.NONE if self.spare_equity(account) >= needs + fee else Reason.INSUFFICIENT_MARGIN

    def _spot_gate(self, account: Account, order: Order, tif: int) -> Reason:
        """A spot order needs what it gives, taker fee included, beside what open orders give; and margin without all of it.

        An account that owes nothing needs no trusted price for a limit order: else a book that an index reads could never open.
        """
        market = order.market
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

    def _market_limit(self, market: int, side: int) -> int:
        """Return the worst price a MARKET order takes: market_bound_ppm from the mark, on tick, inside the bound."""
        row, mark = self.venue.markets[market], self.marks[market].published.last_valid
        if side == Side.BUY:
            return units.div_floor(mark * (units.PPM + row.market_bound_ppm), units.PPM * row.tick_size) * row.tick_size
        return max(
            units.div_ceil(mark * (units.PPM - row.market_bound_ppm), units.PPM * row.tick_size) * row.tick_size, row.tick_size
        )

    @staticmethod
    def _reaches(side: int, limit: int, price: int) -> bool:
        return limit >= price if side == Side.BUY else limit <= price

    def _crosses(self, market: int, side: int, limit: int) -> bool:
        """Return whether what is left of a taker could trade on: only the purse of its account stopped it."""
        opposite = self.books[market].best(Side.SELL if side == Side.BUY else Side.BUY)
        return opposite is not None and self._reaches(side, limit, opposite.price)

    def match(self, number: int, order_id: int, market: int, side: int, limit: int, qty: int, stage: Stage) -> tuple[int, int]:
        """Trade up to qty lots against the book at `limit` or better, best price first, oldest first.

        Return (lots filled, notional). In a liquidation a resting order of the same owner is cancelled, not met. A taker of a
        spot market stops where it cannot give, or has no room for, what the next fill moves: fees are rounded up fill by fill.
        """
        fees = self.venue.markets[market].fees
        book, taker = self.books[market], self.ledger.accounts[number]
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        left = qty
        notional = 0
        while left:
            maker = book.best(opposite)
            if maker is None or not self._reaches(side, limit, maker.price):
                break
            if stage and self.ledger.accounts[maker.account].owner == taker.owner:
                self.cancel_order(maker, Reason.OWN_ORDER, stage)
                continue
            lots = min(left, maker.qty)
            if self.spot[market]:
                if not self._delivers(self.ledger.accounts[maker.account], maker.side, market, lots, maker.price, fees.maker_ppm):
                    self.cancel_order(maker, Reason.UNFUNDED, stage)
                    continue
                if not self._delivers(taker, side, market, lots, maker.price, 0 if stage else fees.taker_ppm):
                    break
            notional += self._fill(taker, maker, order_id, side, lots, stage)
            left -= lots
        return qty - left, notional

    def _fill(self, taker: Account, maker: Order, order_id: int, side: int, lots: int, stage: Stage) -> int:
        """Post one fill at the maker's price; return its notional."""
        market, fees = maker.market, self.venue.markets[maker.market].fees
        cash = lots * maker.price * self.multiplier[market]
        buyer, seller = (taker.number, maker.account) if side == Side.BUY else (maker.account, taker.number)
        spot, quote = self.spot[market], self.paid_in[market]
        if spot:
            self.ledger.swap(buyer, seller, spot.base, lots * spot.units, quote, cash)
        else:
            self.ledger.exchange(buyer, seller, market, lots, cash)
        fee = 0 if stage else units.div_ceil(cash * fees.taker_ppm, units.PPM)
        if fee:
            self.ledger.flow(taker.number, Chart.FEES, quote, fee)
        self.last_price[market] = maker.price
        self.due_index |= {index.number for index in self.indices if index.row.publish.kind == "update" and market in index.books}
        if self.venue.markets[market].mark.kind == "median" and self.venue.markets[market].mark.republish_on_fill:
            self.due_mark.add(market)
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
        maker_fee = units.div_ceil(cash * fees.maker_ppm, units.PPM)
        if maker_fee:
            self.flow(Flow.FEE, maker.account, Chart.FEES, quote, maker_fee)
        maker.qty -= lots
        if maker.qty == 0:
            self._forget(maker)
        self.trim(taker, market)
        self.trim(self.ledger.accounts[maker.account], market)
        return cash

    def _delivers(self, account: Account, side: int, market: int, lots: int, price: int, fee_ppm: int) -> bool:
        """Return whether a side of a spot fill has what it gives, its fee included, and room for what it gets."""
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
        """Cut the account's reduce-only orders, oldest first, each to what is left of its position."""
        for order in list(account.orders.values()):
            if not order.reduce_only or order.market != market:
                continue
            left = self._closable(account, market, order.side)
            if left == 0:
                self.cancel_order(order, Reason.REDUCE_ONLY)
            elif order.qty > left:
                self._say_cancelled(order, order.qty - left, Reason.REDUCE_ONLY)
                order.qty = left

    def _forget(self, order: Order) -> None:
        self.books[order.market].remove(order)
        del self.orders[order.order_id]
        del self.ledger.accounts[order.account].orders[order.order_id]

    def cancel_order(self, order: Order, reason: Reason, stage: Stage | None = None) -> None:
        self._forget(order)
        self._say_cancelled(order, order.qty, reason, stage)

    def _say_cancelled(self, order: Order, qty: int, reason: Reason, stage: Stage | None = None) -> None:
        self.emit(
            OutcomeKind.CANCELLED,
            account=order.account,
            market=order.market,
            ref_id=order.order_id,
            side=order.side,
            price=order.price,
            qty=qty,
            reason=reason,
            stage=stage,
        )

    def next_order_id(self) -> int:
        self.engine_orders += 1
        return ENGINE_ORDER | self.engine_orders

    def quote(self, number: int, market: int, side: Side, price: int, qty: int) -> None:
        """Place a quoter's order through the gate; a refusal is a REJECT outcome."""
        order_id = self.next_order_id()
        reason = self._order(number, market, order_id, side, Tif.POST_ONLY, price, qty)
        if reason:
            self.emit(
                OutcomeKind.REJECT, account=number, market=market, ref_id=order_id, side=side, price=price, qty=qty, reason=reason
            )
