"""Orders that wait for a price, as the laws see them: rows of the table `waiting`, moved forward by what the outcomes tell.

Written apart from specs/model/stops.py, from what its first lines promise.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from specs import units
from specs.tape import EventKind, Flag, Side

if TYPE_CHECKING:
    from specs.scene import Event

WAITS = (EventKind.STOP, EventKind.TAKE_PROFIT, EventKind.TRAILING)


@dataclass
class Waiting:
    """One row of the table `waiting`, its columns in order."""

    sequence: int
    order_id: int
    account: int
    market: int
    side: int
    kind: int
    by: int
    trigger: int
    best: int
    distance: int
    in_ppm: int
    price: int
    qty: int
    tif: int
    expiry_ns: int
    self_trade: int
    reduce_only: int
    close_only: int
    protect: int

    @classmethod
    def sent(cls, e: Event, number: int, price: int) -> Waiting:
        """Return what event `number` lets wait while the price that it waits for is `price`."""
        trails = e.kind == EventKind.TRAILING
        flag = lambda which: int(bool(e.flags & which))  # noqa: E731
        waiting = cls(
            sequence=number,
            order_id=e.ref_id,
            account=e.account,
            market=e.market,
            side=e.side,
            kind=e.kind,
            by=e.source,
            trigger=0 if trails else e.amount_lo,
            best=0,
            distance=e.amount_lo if trails else 0,
            in_ppm=flag(Flag.DISTANCE_PPM),
            price=e.price,
            qty=e.qty,
            tif=e.tif,
            expiry_ns=e.amount_hi,
            self_trade=e.asset,
            reduce_only=flag(Flag.REDUCE_ONLY | Flag.CLOSE_ONLY),
            close_only=flag(Flag.CLOSE_ONLY),
            protect=flag(Flag.PROTECT),
        )
        waiting.follow(price)
        return waiting

    def row(self) -> tuple[int, ...]:
        return astuple(self)

    def follow(self, price: int) -> None:
        """A trailing order's trigger stands at its distance, rounded up, from the best price since it was sent."""
        if self.kind != EventKind.TRAILING:
            return
        sign, best = (1, min) if self.side == Side.BUY else (-1, max)
        self.best = best(self.best or price, price)
        away = units.div_ceil(self.best * self.distance, units.PPM) if self.in_ppm else self.distance
        self.trigger = self.best + sign * away

    def reached(self, price: int) -> bool:
        if (self.side == Side.BUY) == (self.kind == EventKind.TAKE_PROFIT):
            return price <= self.trigger
        return price >= self.trigger
