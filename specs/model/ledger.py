"""Accounts, balances, positions: cash-flow accounting over a closed chart.

A fill of `n` lots at value v moves balance -= v * n of the buyer and += of the seller; there is no entry price in the
ledger. `entry` (the value paid for what is still open) moves no money: the rules that speak of a wallet read it.
"""

from __future__ import annotations

from specs import units
from specs.model.book import Order
from specs.tape import USERS_FROM, Status


class Account:
    """A user, a sub-account or an account of the venue's own chart. Lists are by asset or market number."""

    __slots__ = "number owner parent status leverage balance qty entry orders auto_add level since_ns block grandfathered".split()

    def __init__(self, number: int, owner: int, parent: int | None, assets: int, markets: int) -> None:
        self.number, self.owner, self.parent, self.status = number, owner, parent, Status.NORMAL
        self.leverage = [0] * markets  # 0: not chosen, the market's default counts
        self.balance = [0] * assets
        self.qty = [0] * markets
        self.entry = [0] * markets
        self.orders: dict[int, Order] = {}
        self.auto_add = False  # of a sub-account: its parent adds margin before it is liquidated
        self.level = 0  # of margin calls: how many it is at or below
        self.since_ns = 0  # when its episode of liquidation opened; 0: it is in none
        self.block = (0, 0, 0)  # a window of the block limit; the notional closed and the insurance paid in it
        self.grandfathered: set[int] = set()  # markets in which its position keeps the maintenance from before a change of rules


class Ledger:
    """Every account of a run and the two ways in which value moves: a flow of one asset, or lots against cash."""

    def __init__(self, assets: int, markets: int, numeraire: int) -> None:
        self.assets, self.markets, self.numeraire = assets, markets, numeraire
        self.accounts: dict[int, Account] = {n: Account(n, n, None, assets, markets) for n in range(USERS_FROM)}
        self.touched: set[int] = set()  # users whose balance or position changed since they were last looked at

    def open(self, number: int, owner: int, parent: int | None) -> None:
        self.accounts[number] = Account(number, owner, parent, self.assets, self.markets)

    def flow(self, source: int, target: int, asset: int, money: int) -> None:
        """Move money of one asset; money >= 0."""
        assert money >= 0
        self.accounts[source].balance[asset] -= money
        self.accounts[target].balance[asset] += money
        self.touch(source)
        self.touch(target)

    def size(self, asset: int) -> int:
        """Return the sum of the sizes of all balances of an asset, what is owed counted as what is held."""
        return sum(abs(account.balance[asset]) for account in self.accounts.values())

    def touch(self, number: int) -> None:
        if number >= USERS_FROM:
            self.touched.add(number)

    def exchange(self, buyer: int, seller: int, market: int, qty: int, cash: int) -> None:
        """Move qty lots from seller to buyer against cash (of any sign) of the settlement asset."""
        for number, lots, money in ((buyer, qty, cash), (seller, -qty, -cash)):
            account = self.accounts[number]
            account.balance[self.numeraire] -= money
            if number >= USERS_FROM:
                self._entry(account, market, lots, money)
            before = account.qty[market]
            account.qty[market] += lots
            if account.qty[market] and not 0 < account.qty[market] * before <= before * before:
                account.grandfathered.discard(market)  # it grew, turned, or is another one
            self.touch(number)

    def swap(self, buyer: int, seller: int, base: int, units_of_base: int, quote: int, cash: int) -> None:
        """Deliver a spot trade: the base asset from seller to buyer against cash of the quote asset."""
        self.flow(seller, buyer, base, units_of_base)
        self.flow(buyer, seller, quote, cash)

    @staticmethod
    def _entry(account: Account, market: int, lots: int, money: int) -> None:
        """Keep the value paid for what is open; a part that closes takes its share of it with it, rounded down."""
        before = account.qty[market]
        if before == 0 or (before > 0) == (lots > 0):
            account.entry[market] += money
            return
        closed = min(abs(lots), abs(before))
        account.entry[market] -= units.muldiv_floor(account.entry[market], closed, abs(before))
        opened = abs(lots) - closed
        if opened:
            account.entry[market] = money - units.muldiv_floor(money, closed, abs(lots))
