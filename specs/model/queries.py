"""Queries: what an exchange answers between events. They change nothing.

Each tells what the rule book says at the prices, balances and positions in force: a schedule of faults is not asked, and none of
its rows counts as fired. Accounts are users; ValueError says which account, market or asset is none of this exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from specs.model import trigger
from specs.model.ledger import Account
from specs.model.seams import Seams


class Queries:
    """How an exchange answers; obvious and slow."""

    def liquidation_price(self, account: int, market: int) -> int | None:
        """Return the mark price of the market at which the account's trigger becomes true, all else as it is; or None.

        All else: other marks, collateral prices, balances, orders, the fund. Of a net long it is the highest price at or below
        the present mark (of a net short the lowest at or above it), in price units from 1 to price_max, at which the account
        would be triggered: maintenance > equity, or >= where the rule book says so. An account that is triggered already is so
        at the present mark, which is the answer. None: no price of the bounds triggers it, or it holds no position there.
        Margin that a parent would add (auto_add) is not counted: it is added once the trigger is true.

        price_max is the largest price of a valid mark (specs/rules.py, Venue.price_max).
        """
        who = self._asked(account, market)
        if not who.qty[market]:
            return None
        with self._unfaulted():
            for near, far in self._pieces(market, who.qty[market]):
                if self._triggered_at(who, market, far):
                    return self._first(who, market, near, far)
        return None

    def _pieces(self, market: int, qty: int) -> Iterator[tuple[int, int]]:
        """Cut the prices from the mark in the direction of loss where the bracket changes: (nearest, farthest) of each piece."""
        near, step = self.marks[market].published.last_valid, -1 if qty > 0 else 1
        last = 1 if qty > 0 else self.price_max[market]
        bracket = lambda price: self.brackets[market].of(abs(qty * self.value_at(market, price)))  # noqa: E731
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
        bisection finds the first price.
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

    # ---- who asks, and what for

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
