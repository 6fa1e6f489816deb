"""Queries: what an exchange answers between events. They change nothing.

Each tells what the rule book says at the prices, balances and positions in force: a schedule of faults is not asked, and none of
its rows counts as fired. Accounts are users; ValueError says which account, market or asset is none of this exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from specs import rules, units
from specs.model import adl, bankruptcy, transfer, trigger
from specs.model.ledger import Account
from specs.model.margin import Brackets, Haircut
from specs.model.seams import Seams
from specs.tape import USERS_FROM, Status


class Queries:
    """How an exchange answers; obvious and slow."""

    def liquidation_price(self, account: int, market: int) -> int | None:
        """Return the mark price of the market at which the account's trigger becomes true, all else as it is; or None.

        All else: other marks, collateral prices, balances, orders, the fund. Of a net long it is the highest price at or below
        the present mark (of a net short the lowest at or above it), in price units from price_min to price_max, at which it would
        be triggered: maintenance > equity, or >= where the rule book says so. An account that is triggered already is so
        at the present mark, which is the answer. None: no price of the bounds triggers it, or it holds no position there.
        Margin that a parent would add (auto_add) is not counted: it is added once the trigger is true.

        price_min, price_max: the lowest and the largest price of a valid mark (specs/rules.py, Venue).
        """
        who = self._asked(account, market)
        if not who.qty[market]:
            return None
        with self._unfaulted():
            for near, far in self._pieces(who, market):
                if self._triggered_at(who, market, far):
                    return self._first(who, market, near, far)
        return None

    def _pieces(self, who: Account, market: int) -> Iterator[tuple[int, int]]:
        """Cut the prices from the mark in the direction of loss where the bracket changes: (nearest, farthest) of each piece.

        Where one of two tables is left to a grandfathered position: where either does.
        """
        qty = who.qty[market]
        tables = [self.brackets[market]] + [self.kept_brackets[market]] * (market in who.grandfathered)
        near, step = self.marks[market].published.last_valid, -1 if qty > 0 else 1
        last = self.price_min[market] if qty > 0 else self.price_max[market]
        if near * last < 0:  # towards 0 the notional falls, beyond it rises again
            yield from self._one_way(tables, market, qty, near, 0)
            near = step
        yield from self._one_way(tables, market, qty, near, last)

    def _one_way(self, tables: list[Brackets], market: int, qty: int, near: int, last: int) -> Iterator[tuple[int, int]]:
        """Cut prices on one side of 0."""
        step = -1 if qty > 0 else 1
        bracket = lambda price: [table.of(abs(qty * self.value_at(market, price))) for table in tables]  # noqa: E731
        while (last - near) * step >= 0:
            within, beyond = near, last + step  # the notional only rises with the price, or only falls: bisection finds the end
            while abs(beyond - within) > 1:
                middle = (within + beyond) // 2
                if bracket(middle) == bracket(near):
                    within = middle
                else:
                    beyond = middle
            yield near, within
            near = beyond

    def _first(self, who: Account, market: int, near: int, far: int) -> int:
        """Return the price nearest to `near` at which it is triggered. It is at `far`, and there is one bracket in between.

        Within a bracket the rate is one, and at most 100 %: equity less maintenance never rises again on the way to a loss, so
        bisection finds the first price. So it is with the lower of two tables, of a grandfathered position.
        """
        if self._triggered_at(who, market, near):
            return near
        while abs(far - near) > 1:
            middle = (near + far) // 2
            if self._triggered_at(who, market, middle):
                far = middle
            else:
                near = middle
        return far

    def _triggered_at(self, who: Account, market: int, price: int) -> bool:
        value = self.value[market]
        self.value[market] = self.value_at(market, price)
        try:
            return trigger.triggered(self, who, self.evaluate(who))
        finally:
            self.value[market] = value

    def bankruptcy_price(self, account: int, market: int) -> int | None:
        """Return the price on tick at which closing the position at once uses up the margin behind it; or None.

        It is the bound of a liquidation slice at the prices in force: where a lot is worth value(mark) - share / qty to a long,
        rounded up to a tick, + and down of a short. The share: equity with collateral at what the treasury pays, by maintenance
        where there are several positions. Nothing is shared of a debt: the price is then the mark. None: no price of the
        market uses it up, the last tick of a short counted to those beyond; or it holds no position there.
        """
        who = self._asked(account, market)
        if not who.qty[market]:
            return None
        need, maintenance = self.maintenance(who, market), self.evaluate(who).maintenance
        price = bankruptcy.bankruptcy_limit(self, who, market, need, maintenance)
        beyond = who.qty[market] < 0 and price > self.price_max[market] - self.venue.markets[market].tick_size
        return None if beyond or price < self.price_min[market] else price

    def liquidation_limit_price(self, account: int, market: int) -> int | None:
        """Return the worst price at which a slice of the liquidation would close the position now, on tick; or None.

        What the bound of the rule book's book stage gives at the prices in force, and where it binds the liquidation the market's
        band; of any account, whether it is triggered or not. None: it holds no position there, no stage trades in the book, or
        no price is inside the bound.
        """
        who, e = self._asked(account, market), self.evaluate(self._asked(account, market))
        rows = [row for row in self.venue.liquidation.stages if row.kind == "book"]
        return bankruptcy.slice_limit(self, who, market, rows[0].bound, e) if rows and who.qty[market] else None

    def bankruptcy_value(self, account: int, market: int, lots: int) -> int | None:
        """Return the cash, in money of the numeraire, that the account must receive for lots of its position; or None.

        lots: signed, negative of a long that is sold; positive money: the least proceeds of a sale, negative: the most that a
        purchase may cost. It keeps equity / maintenance as it is: - lots x value(mark) - equity x (maintenance that closing
        frees) / maintenance, rounded toward +inf to the rule book's bankruptcy_unit. None: lots is 0, adds to the position or
        exceeds it.
        """
        return bankruptcy.value(self, self._asked(account, market), market, lots)

    def adl_rank(self, account: int, market: int) -> tuple[int, int] | None:
        """Return the place in the deleveraging queue of its side, 1 being closed first, and how many stand in it; or None.

        The queue of everybody on that side: the one in front of a liquidated stranger. None: it holds no position there, or it
        is in liquidation itself, which nobody in the queue is.
        """
        who = self._asked(account, market)
        if not who.qty[market] or who.status != Status.NORMAL:
            return None
        users = [other for number, other in self.ledger.accounts.items() if number >= USERS_FROM]
        side = [other for other in users if other.qty[market] * who.qty[market] > 0 and other.status == Status.NORMAL]
        with self._unfaulted():
            queue = sorted((adl.Candidate(other, adl.score(self, other, market), 0) for other in side), key=adl.place)
        return 1 + [candidate.account for candidate in queue].index(who), len(queue)

    def withdrawable(self, account: int, asset: int) -> int:
        """Return the largest amount of an asset that a WITHDRAW event would be accepted for now; 0 if none is.

        Found by bisection. The gate is monotone: what it asks of status, grades and states does not depend on the amount, nor
        do requirements; what is free and equity never grow with it, for a collateral's value never falls as its balance grows.
        """
        who = self._user(account)
        if not 0 <= asset < len(self.venue.assets):
            raise ValueError(f"asset {asset} is unknown: there are {len(self.venue.assets)}")
        accepted, refused = 0, min(max(self.free(who, asset), 0), units.MONEY_IN_MAX) + 1
        while refused - accepted > 1:
            middle = (accepted + refused) // 2
            if self.may_give(who, asset, middle):
                refused = middle
            else:
                accepted = middle
        return accepted

    def equity(self, account: int, initial: bool = False) -> int:
        """Return what the trigger compares with maintenance, in money of the numeraire.

        That is cash, positions at the marks and collateral as it counts. initial: what the gates compare with initial margin, at
        the weights in force for it and without what open spot orders give.
        """
        who = self._user(account)
        return self.spare_equity(who) if initial else self.evaluate(who).equity

    def collateral_value(self, asset: int, balance: int, initial: bool = False) -> int:
        """Return what a balance of a collateral asset counts for at its price in force, a debt negative; as in equity."""
        haircut = self._haircut(asset, balance)
        weight = self.initial_weight[asset] if initial else None
        return haircut.collateral_value(balance, self.collateral[asset].last_valid, weight)

    def collateral_weight(self, asset: int, balance: int, initial: bool = False) -> int:
        """Return the ppm at which a balance counts, or a debt: its last slice's where tiers stand; before trigger_haircut."""
        haircut = self._haircut(asset, balance)
        if balance < 0:
            return haircut.debt_weight(-balance)
        return haircut.weight(balance, self.initial_weight[asset] if initial else haircut.row.weight_ppm)

    def size_weight(self, asset: int, balance: int) -> int | None:
        """Return the ppm that the size of a balance >= 0 alone makes, rounded down to the unit; None: size does not count."""
        return self._haircut(asset, max(0, balance)).size_weight(max(0, balance))

    def collateral_needed(self, asset: int, debt: int) -> int | None:
        """Return the least balance of the asset that counts for a debt >= 0 of the numeraire where initial margin is asked for.

        None: no balance up to BALANCE_MAX does. Found by bisection: more never counts for less.
        """
        self._haircut(asset, debt)
        low, high = -1, units.BALANCE_MAX
        if self.collateral_value(asset, high, True) < debt:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.collateral_value(asset, middle, True) >= debt else (middle, high)
        return high

    def conversion_needed(self, asset: int, debt: int) -> int | None:
        """Return the least quantity for which the treasury pays a debt >= 0 of the numeraire; None: it pays nothing."""
        haircut, price = self._haircut(asset, debt), self.collateral[asset].last_valid
        return haircut.conversion_qty(debt, price) if haircut.conversion_price(price) else None

    def liability_taken(self, liability: int, asset: int, shortage: int, most: int = units.BALANCE_MAX) -> int:
        """Return how much of a debt the transfer takes over against collateral for a shortage >= 0 of margin, of `most` owed.

        The liability is the numeraire or a collateral asset; weights are those of small balances. ValueError: no stage transfers.
        """
        row, owed, held = self._transfer(liability, asset, shortage)
        return transfer.liability_qty(row, shortage, owed, held, most)

    def collateral_given(self, liability: int, asset: int, qty: int) -> int:
        """Return the collateral that the transfer gives for a quantity >= 0 of a debt. ValueError: no stage transfers."""
        row, owed, held = self._transfer(liability, asset, qty)
        return min(transfer.asset_qty(row, qty, owed, held), units.BALANCE_MAX)

    # ---- who asks, and what for

    def _transfer(self, liability: int, asset: int, money: int) -> tuple[rules.TransferStage, transfer.Leg, transfer.Leg]:
        """Return the stage and both legs of a transfer; both must have a price."""
        row = next((row for row in self.venue.liquidation.stages if row.kind == "transfer"), None)
        if row is None:
            raise ValueError("no stage of this rule book transfers")
        held = transfer.asset_leg(self._haircut(asset, money), 0, self.collateral[asset].last_valid)
        if liability == self.numeraire:
            owed = transfer.numeraire_leg(liability)
        else:
            owed = transfer.debt_leg(self._haircut(liability, money), 1, self.collateral[liability].last_valid)
        if not held.price or not owed.price:
            raise ValueError("an asset of the transfer has no price yet")
        return row, owed, held

    def _haircut(self, asset: int, balance: int) -> Haircut:
        """Return the row of a collateral asset."""
        if abs(balance) > units.BALANCE_MAX:
            raise ValueError(f"a balance of {balance} is out of bounds: at most {units.BALANCE_MAX}")
        for haircut in self.haircuts:
            if haircut.asset == asset:
                return haircut
        raise ValueError(f"asset {asset} is no collateral here")

    @contextmanager
    def _unfaulted(self) -> Iterator[None]:
        seams, self.seams = self.seams, Seams(())
        try:
            yield
        finally:
            self.seams = seams

    def _asked(self, account: int, market: int) -> Account:
        if not 0 <= market < len(self.books):
            raise ValueError(f"market {market} is unknown: there are {len(self.books)}")
        return self._user(account)

    def _user(self, account: int) -> Account:
        who = self.user(account)
        if who is None:
            raise ValueError(f"account {account} is not open, or not a user's")
        return who
