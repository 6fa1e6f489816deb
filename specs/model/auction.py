"""Auctions: a market that leaves the state AUCTION is uncrossed at one price, the one that trades most.

While it is in that state its orders collect, crossed or not (specs/model/orders.py). Leaving it, for whatever state and for
whatever reason, the fills come first and the new state is told after them: they belong to the auction, and no row of the new
state, a halt say, has a word in them. The part of the exchange that engine/auction.pyx translates.

Who trades with whom: best bid with best ask, by price, then by time, each as far as both show; an order that hides lots shows
more of them at the back of its level, as in matching. Nobody is a taker: both sides pay the maker fee, and self-trade prevention,
which the taker decides, has nobody to ask (nor has it on Eurex). Orders were margined at their own
limits, and no fill is at a worse price.

What takes lots away on the way: a reduce-only order is cut as its position shrinks, an order of a spot market that cannot deliver
is cancelled, and so is one that would raise the open interest beyond its limit. The rest still trades at the price while both
sides reach it; if the book is crossed then, it is priced anew for what is left, until it is not.

The price that trades most, of those the one that leaves least: Xetra Market Model, auction price determination. It goes on by the
side of the surplus; here the nearest to the reference decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from specs import units
from specs.model import bust
from specs.model.book import Order
from specs.model.ledger import Account
from specs.tape import Chart, Flow, OutcomeKind, Reason, Side


class Clearing(NamedTuple):
    """The price of an auction, the lots that trade at it, and what it leaves: buys positive, sells negative."""

    price: int
    lots: int
    surplus: int


def clearing(
    bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], tick: int, reference: int | None
) -> Clearing | None:
    """Return where a book of (price, lots) clears; None if no bid reaches an ask.

    Of all prices on tick: the one that trades most; of those the one that leaves the least, buys or sells; of those the nearest
    to the reference, without one the highest; of two as near the higher.

    It is enough to look at limit prices and one tick beside them. Let b(p) be the lots that buy at p, a(p) those that sell: b
    never grows with p, a never falls. So the prices with min(b, a) at its greatest are an interval (where b and a both are at
    least that), and in it the prices with |b - a| at its least are one too (b - a never grows). At a tick beyond an end of that
    interval b or a is another: an order has its limit at the one or at the other of the two, so the end is a limit, or one tick
    beside it. What lies between the ends is as good as they are, and the nearest of an interval is the reference clamped into it.
    Limits alone are not enough: 10 lots at 102 and 5 at 100 against the same asked at 100 and 102 leave 5 at either limit,
    nothing between them.
    """
    bids, asks = list(bids), list(asks)
    top, bottom = max((price for price, _ in bids), default=None), min((price for price, _ in asks), default=None)
    if top is None or bottom is None or top < bottom:
        return None
    limits = {price for price, _ in bids + asks}
    tested = {price for limit in limits for price in (limit - tick, limit, limit + tick) if bottom <= price <= top}
    found = {price: _at(bids, asks, price) for price in tested}
    most = max(lots for lots, _ in found.values())
    best = _leaving_least({price: surplus for price, (lots, surplus) in found.items() if lots == most})
    price = max(best) if reference is None else max(min(best), min(max(best), _nearest(reference, tick)))
    return Clearing(price, *_at(bids, asks, price))


def _at(bids: list[tuple[int, int]], asks: list[tuple[int, int]], price: int) -> tuple[int, int]:
    """Return the lots that trade at a price, and what it leaves."""
    bought = sum(lots for limit, lots in bids if limit >= price)
    sold = sum(lots for limit, lots in asks if limit <= price)
    return min(bought, sold), bought - sold


def _leaving_least(surplus: dict[int, int]) -> list[int]:
    """Return those of the prices that leave the fewest lots, buys or sells."""
    least = min(map(abs, surplus.values()))
    return [price for price, left in surplus.items() if abs(left) == least]


def _nearest(price: int, tick: int) -> int:
    """Return the price on tick that is nearest, of two the higher."""
    return (2 * price + tick) // (2 * tick) * tick


class Auctions:
    """How an exchange changes the state of a market, and uncrosses it when that ends an auction."""

    def uncross(self, market: int) -> None:
        """Trade at the price that clears the book, anew where something took lots away, until it is not crossed."""
        book = self.books[market]
        while (cleared := self.clearing(market)) is not None:
            self.emit(OutcomeKind.UNCROSSED, market=market, price=cleared.price, qty=cleared.lots, money=cleared.surplus)
            while True:
                buy, sell = book.best(Side.BUY), book.best(Side.SELL)
                if buy is None or sell is None or not sell.price <= cleared.price <= buy.price:
                    break
                self._meet(buy, sell, cleared)

    def clearing(self, market: int) -> Clearing | None:
        """Return where the market's book clears; hidden lots count."""
        bids, asks = (
            [(order.price, order.qty) for _, order in self.books[market].orders() if order.side == side]
            for side in (Side.BUY, Side.SELL)
        )
        return clearing(bids, asks, self.venue.markets[market].tick_size, self.reference(market))

    def reference(self, market: int) -> int | None:
        """Return the price that the market's row names: the last valid mark or index price, or the last trade; None: none yet."""
        row, mark = self.venue.markets[market], self.marks[market]
        if row.auction_reference == "last":
            return self.last_price[market]
        published = mark.published if row.auction_reference == "mark" else self.indices[mark.index].published
        return published.last_valid if published.valid else None

    def _meet(self, buy: Order, sell: Order, cleared: Clearing) -> None:
        """Let the first two orders trade as far as both show; or one of them goes, which cannot.

        Of two that could only raise the open interest beyond its limit the one on the side of the surplus goes, where lots are
        left over anyway; without a surplus the buy order. (The younger of them nobody knows: an order keeps its place, not its
        time.)
        """
        market, price = buy.market, cleared.price
        buyer, seller = self.ledger.accounts[buy.account], self.ledger.accounts[sell.account]
        lots = min(buy.shown, sell.shown)
        if self.spot[market]:
            for account, order in ((buyer, buy), (seller, sell)):
                if not self._delivers(account, order.side, market, lots, price, self.venue.markets[market].fees.maker_ppm):
                    self.cancel_order(order, Reason.UNFUNDED)
                    return
        lots = min(lots, self._admitted(buyer, seller, market))
        if lots:
            self._fill_at(buy, sell, lots, price)
        else:
            self.cancel_order(sell if cleared.surplus < 0 else buy, Reason.OPEN_INTEREST_LIMIT)

    def _admitted(self, buyer: Account, seller: Account, market: int) -> int:
        """Return the most lots that may pass from seller to buyer without the open interest going beyond its limit.

        n lots raise it by max(0, n - the buyer's short) - min(n, the seller's long), which falls first, if at all, and then
        rises lot by lot: up to short + long + what the limit leaves room for. A limit that is passed already lets lots close.
        """
        most = self.venue.markets[market].limits.open_interest_max
        if most is None or not self.clears or self.spot[market] or buyer is seller:
            return units.QTY_MAX
        room = max(0, most - self.open_interest(market))
        return max(0, -buyer.qty[market]) + max(0, seller.qty[market]) + room

    def _fill_at(self, buy: Order, sell: Order, lots: int, price: int) -> None:
        """Post one fill at the price of the auction: the buyer stands as the taker in it, both pay the maker fee."""
        market, quote = buy.market, self.paid_in[buy.market]
        buyer, seller, spot = self.ledger.accounts[buy.account], self.ledger.accounts[sell.account], self.spot[market]
        cash, fee = lots * self.value_at(market, price), 0
        if self.clears:
            fee = units.div_ceil(abs(cash) * self.venue.markets[market].fees.maker_ppm, units.PPM)
            if spot:
                self.ledger.swap(buyer.number, seller.number, spot.base, lots * spot.units, quote, cash)
            else:
                self.ledger.exchange(buyer.number, seller.number, market, lots, cash)
        if fee:
            self.ledger.flow(buyer.number, Chart.FEES, quote, fee)
        self.traded(market, price)
        self.emit(
            OutcomeKind.FILL,
            account=buyer.number,
            other=seller.number,
            market=market,
            ref_id=buy.order_id,
            other_id=sell.order_id,
            side=Side.BUY,
            price=price,
            qty=lots,
            money=fee,
            flow=Flow.TRADE,
        )
        if fee:
            self.flow(Flow.FEE, seller.number, Chart.FEES, quote, fee)
        bust.keep(self, buyer.number, seller.number, market, Side.BUY, price, lots, fee, fee)
        self._reduce(buy, lots)
        self._reduce(sell, lots)
        self.trim(buyer, market)
        self.trim(seller, market)
