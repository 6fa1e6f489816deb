"""One market's resting orders in price-time priority: a sorted map of price levels, each a queue."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from sortedcontainers import SortedDict

from specs.tape import SelfTrade, Side, Tif


class Order:
    """A live order. qty = shown + hidden is what is left of it, in lots.

    display: lots shown at a time, 0: all. tif: how it stays. expiry_ns: 0: never. reduce_only: never larger than the position it
    closes. self_trade: its own mode, AS_MARKET: the market's.
    clipped: a band gave it its price, and none of it rests. waits: for what fires it (specs/model/stops.py); not in the book.
    """

    __slots__ = (
        "order_id",
        "account",
        "market",
        "side",
        "price",
        "shown",
        "hidden",
        "display",
        "tif",
        "expiry_ns",
        "reduce_only",
        "self_trade",
        "clipped",
        "waits",
    )

    def __init__(
        self,
        order_id: int,
        account: int,
        market: int,
        side: int,
        price: int,
        qty: int,
        tif: int = Tif.GTC,
        *,
        display: int = 0,
        expiry_ns: int = 0,
        reduce_only: bool = False,
        self_trade: int = SelfTrade.AS_MARKET,
    ) -> None:
        self.order_id, self.account, self.market, self.side, self.price = order_id, account, market, side, price
        self.shown, self.hidden, self.display, self.tif, self.expiry_ns = qty, 0, display, tif, expiry_ns
        self.reduce_only, self.self_trade, self.clipped, self.waits = reduce_only, self_trade, False, None

    @property
    def qty(self) -> int:
        return self.shown + self.hidden

    def show(self, qty: int) -> None:
        """Let `qty` lots be left of it, as many of them shown as its display says."""
        self.shown = min(qty, self.display) if self.display else qty
        self.hidden = qty - self.shown

    def cut(self, lots: int) -> None:
        """Take lots away, hidden ones first."""
        behind = min(lots, self.hidden)
        self.hidden -= behind
        self.shown -= lots - behind


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

    def queue(self, side: int, limit: int) -> Iterator[list[Order]]:
        """Yield the levels of a side that a price of `limit` reaches, best first, each oldest first."""
        for key, level in self.levels[side].items():
            if key > self.key(side, limit):
                return
            yield list(level.values())

    def orders(self) -> Iterator[tuple[int, Order]]:
        """Yield (place in the queue, order): bids from the best down, then asks from the best up."""
        for side in (Side.BUY, Side.SELL):
            for level in self.levels[side].values():
                yield from enumerate(level.values())
