"""One market's resting orders in price-time priority: a sorted map of price levels, each a queue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from sortedcontainers import SortedDict

from specs.tape import Side


class Order:
    """A live order. qty is what is left of it, in lots. reduce_only: never larger than the position it closes."""

    __slots__ = ("order_id", "account", "market", "side", "price", "qty", "reduce_only")

    def __init__(
        self, order_id: int, account: int, market: int, side: int, price: int, qty: int, reduce_only: bool = False
    ) -> None:
        self.order_id, self.account, self.market = order_id, account, market
        self.side, self.price, self.qty, self.reduce_only = side, price, qty, reduce_only


class Book:
    """Bids and asks at rest. Levels are keyed by price, bids by -price, so that the best level of a side comes first."""

    def __init__(self) -> None:
        self.levels = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}

    @staticmethod
    def key(side: int, price: int) -> int:
        return -price if side == Side.BUY else price

    def best(self, side: int) -> Order | None:
        """Return the order that trades first on a side."""
        levels = self.levels[side]
        return next(iter(levels.peekitem(0)[1].values())) if levels else None

    def rest(self, order: Order) -> None:
        """Put an order at the back of its price level."""
        self.levels[order.side].setdefault(self.key(order.side, order.price), OrderedDict())[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take a resting order out, and its level when that was the last order of it."""
        levels, key = self.levels[order.side], self.key(order.side, order.price)
        del levels[key][order.order_id]
        if not levels[key]:
            del levels[key]

    def mid(self) -> int | None:
        """Return (best bid + best ask) / 2 rounded down, in price units; None when a side is empty."""
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        return (bid.price + ask.price) // 2 if bid and ask else None

    def orders(self) -> Iterator[tuple[int, Order]]:
        """Yield (place in the queue, order): bids from the best down, then asks from the best up."""
        for side in (Side.BUY, Side.SELL):
            for level in self.levels[side].values():
                yield from enumerate(level.values())
