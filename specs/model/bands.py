"""Price bands and limits up and down: how far from an anchor orders may be priced, and trades may go.

The anchor is the last valid mark or index; without one there is no band and no limit. Every bound is rounded inward to a tick.
A band is judged when an order passes the gate, once: one that rests stays where it is, and may fill, when the band moves away.
"""

from __future__ import annotations

from collections import deque

from specs import rules, units
from specs.tape import Grade, MarketState, Reason, Side, Tif

POSTING = (Tif.POST_ONLY, Tif.POST_REPRICE)


def inward(side: int, scaled: int, tick: int) -> int:
    """Return a bound in ppm of price units as a price on tick: buys rounded down, sells up."""
    rounded = units.div_floor if side == Side.BUY else units.div_ceil
    return rounded(scaled, units.PPM * tick) * tick


def percent(side: int, anchor: int, up_ppm: int, down_ppm: int) -> int:
    """Return anchor + up x |anchor| for buys, anchor - down x |anchor| for sells, in ppm of price units."""
    return anchor * units.PPM + abs(anchor) * (up_ppm if side == Side.BUY else -down_ppm)


def around_mark(side: int, mark: int, index: int, inner_ppm: int, outer_ppm: int, shift: int) -> int:
    """Return Bybit's bound in ppm of price units; shift: alpha x the mean premium, ppm of price units."""
    if side == Side.BUY:
        inner = mark * (units.PPM + inner_ppm) + max(0, shift)
        return min(mark * (units.PPM + outer_ppm), max(index * units.PPM, inner))
    inner = mark * (units.PPM - inner_ppm) + min(0, shift)
    return max(mark * (units.PPM - outer_ppm), min(index * units.PPM, inner))


def around_index(side: int, index: int, inner_ppm: int, outer_ppm: int, shift: int) -> int:
    """Return OKX's bound in ppm of price units; shift: alpha x the mean premium, ppm of price units."""
    if side == Side.BUY:
        return min(index * (units.PPM + outer_ppm), max(index * units.PPM, index * (units.PPM + inner_ppm) + shift))
    return max(index * (units.PPM - outer_ppm), min(index * units.PPM, index * (units.PPM - inner_ppm) + shift))


def bound_of(row: rules.Band, side: int, mark: int | None, index: int | None, premium: int, tick: int) -> int | None:
    """Return the worst price of a side; None where an anchor was never valid. premium: the mean of the samples, price units."""
    if row.kind == "percent":
        anchor = mark if row.anchor == "mark" else index
        return None if anchor is None else inward(side, percent(side, anchor, row.up_ppm, row.down_ppm), tick)
    shift = premium * row.premium.alpha_ppm if row.premium else 0
    if index is None or (row.form == "mark" and mark is None):
        return None
    if row.form == "mark":
        return inward(side, around_mark(side, mark, index, row.inner_ppm, row.outer_ppm, shift), tick)
    return inward(side, around_index(side, index, row.inner_ppm, row.outer_ppm, shift), tick)


def beyond(side: int, price: int, bound: int) -> bool:
    return price > bound if side == Side.BUY else price < bound


def is_price(exchange, market: int, price: int) -> bool:
    """Return whether an order could have the price."""
    return exchange.price_min[market] <= price <= exchange.price_max[market]


class Premium:
    """The samples of one market's premium: the latest mids of its own book - anchor, one at each publication of the mark."""

    def __init__(self, number: int, row: rules.Market) -> None:
        self.number, self.by_mark = number, row.band.form == "mark"
        self.samples: deque[int] = deque(maxlen=row.band.premium.samples)

    def sample(self, exchange) -> None:
        """Take a sample; none while a side of the book is empty, or the anchor is not VALID."""
        mark = exchange.marks[self.number]
        anchor = mark.published if self.by_mark else exchange.indices[mark.index].published
        mid = exchange.books[self.number].mid()
        if mid is not None and anchor.grade == Grade.VALID:
            self.samples.append(mid - anchor.price)

    def mean(self) -> int:
        """Return the mean of the samples, rounded down; 0 without any."""
        return sum(self.samples) // len(self.samples) if self.samples else 0


def premiums(venue: rules.Venue) -> dict[int, Premium]:
    """Return by market number the premiums that bands read."""
    rows = enumerate(venue.markets)
    return {i: Premium(i, row) for i, row in rows if row.band and row.band.kind == "index_anchored" and row.band.premium}


def _anchors(exchange, market: int) -> dict[str, int | None]:
    mark, index = exchange.marks[market].published, exchange.indices[exchange.marks[market].index].published
    return {"mark": mark.last_valid if mark.valid else None, "index": index.last_valid if index.valid else None}


def bound(exchange, market: int, side: int) -> int | None:
    """Return the worst price that the market's band allows orders of a side; None: there is no band now."""
    row = exchange.venue.markets[market]
    if row.band is None:
        return None
    at, premium = _anchors(exchange, market), exchange.premiums.get(market)
    return bound_of(row.band, side, at["mark"], at["index"], premium.mean() if premium else 0, row.tick_size)


def narrow(exchange, market: int, side: int, limit: int) -> int:
    """Return a limit that is not worse than the band's bound: of MARKET orders, and of the liquidation where the band says so."""
    at = bound(exchange, market, side)
    return limit if at is None else min(limit, at) if side == Side.BUY else max(limit, at)


def judge(exchange, order) -> Reason:
    """Refuse a limit order beyond its band, or give it the bound as its price; clip: and let nothing of it rest.

    Where the bound is no price, or a clipped order could not trade by its kind or in an auction, it is refused too.
    """
    at, row = bound(exchange, order.market, order.side), exchange.venue.markets[order.market].band
    order.clipped = False
    if order.tif == Tif.MARKET or at is None or not beyond(order.side, order.price, at):
        return Reason.NONE
    if row.policy == "reject" or not is_price(exchange, order.market, at):
        return Reason.PRICE_BAND
    if row.policy == "clip":
        if order.tif in POSTING or exchange.states[order.market] == MarketState.AUCTION:
            return Reason.PRICE_BAND
        order.clipped = True
    order.price = at
    return Reason.NONE


def limits_of(row: rules.LimitUpDown, anchor: int, tick: int) -> range:
    """Return the prices at which there may be trades."""
    down, up = (inward(side, percent(side, anchor, row.ppm, row.ppm), tick) for side in (Side.SELL, Side.BUY))
    return range(down, up + 1)


def limits(exchange, market: int) -> range | None:
    """Return the prices between the limits down and up, both included; None: there are no limits now."""
    row = exchange.venue.markets[market]
    if row.limit_up_down is None:
        return None
    anchor = _anchors(exchange, market)[row.limit_up_down.anchor]
    return None if anchor is None else limits_of(row.limit_up_down, anchor, row.tick_size)
