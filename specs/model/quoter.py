"""Market makers as rules: integer and seedless, so that liquidity is part of the venue and equal in both twins."""

from __future__ import annotations

from specs import rules, units
from specs.tape import Action, Grade, OutcomeKind, Permit, Reason, Side


class Quoter:
    """One quoter row and what it remembers: the reference of its last refill and when it may come back."""

    def __init__(self, number: int, row: rules.Quoter, venue: rules.Venue) -> None:
        self.number, self.row = number, row
        self.market = venue.number("markets", row.market)
        self.index = venue.number("indices", venue.markets[self.market].index)
        self.tick = venue.markets[self.market].tick_size
        self.reference: int | None = None
        self.return_ns: int | None = None  # set while it is away

    def refill(self, exchange) -> None:
        """Cancel what rests, not what waits, then quote again around the index unless the move or the inventory is too large."""
        account = exchange.ledger.accounts.get(self.row.account)
        if account is None:
            return
        for order in [o for o in account.orders.values() if o.market == self.market and not o.waits]:
            exchange.cancel_order(order, Reason.QUOTER_REFILL)
        if exchange.state_permit(self.market, Action.OPEN) >= Permit.DEFER:
            return
        index = exchange.indices[self.index].published
        if index.grade != Grade.VALID:
            return
        if self.return_ns is not None:
            if exchange.now < self.return_ns:
                return
            self.return_ns, self.reference = None, None
            self._say(exchange, Reason.QUOTER_RETURN, index.price)
        moved = (
            self.reference is not None and abs(index.price - self.reference) * units.PPM > self.row.exit_move_ppm * self.reference
        )
        if moved or self._inventory(exchange, account) > self.row.inventory_max:
            self.return_ns = exchange.now + self.row.return_ns
            self._say(exchange, Reason.QUOTER_EXIT, index.price)
            return
        self.reference = index.price
        for level in range(self.row.levels):
            away = self.row.half_spread_ppm + level * self.row.step_ppm
            bid = units.div_floor(index.price * (units.PPM - away), units.PPM * self.tick) * self.tick
            ask = units.div_ceil(index.price * (units.PPM + away), units.PPM * self.tick) * self.tick
            for side, price in ((Side.BUY, bid), (Side.SELL, ask)):
                exchange.quote(self.row.account, self.market, side, price, self.row.lots)

    def _inventory(self, exchange, account) -> int:
        """Return the lots that the quoter holds on either side; in a spot market those of the base asset."""
        spot = exchange.spot[self.market]
        return abs(account.qty[self.market]) if spot is None else max(0, account.balance[spot.base]) // spot.units

    def _say(self, exchange, reason: Reason, price: int) -> None:
        exchange.emit(OutcomeKind.QUOTER, account=self.row.account, market=self.market, price=price, reason=reason)
