"""A small venue for vectors of liquidation: a client who holds positions on exact collateral, and a rich stranger.

The client buys from, or sells to, the stranger at the entry prices, behind a cover: collateral of weight 1 that counts for very
much while positions are opened. Then, in one batch, the marks move to theirs and the cover's price falls to where it counts for
nothing: one cascade judges the client with the cash it is said to have.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import ValidationError

from fuzz.strategies import pack
from riskbed.vectors.vector import Unmodelled, plain
from specs import rules, units
from specs.scene import Book, Outcome, Scene, outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Reason, Side, Tif, money_split

CLIENT, STRANGER, OTHER = USERS_FROM, USERS_FROM + 1, USERS_FROM + 2
START_NS = units.NS
QUOTE, COVER = 0, 1  # assets
COVER_UNITS = 10**units.COLLATERAL_EXPONENT_MIN - 1  # at the lowest price they count for nothing


class Held(NamedTuple):
    """A position: in lots of 10^-lots of the base, signed; prices in whole units. row: fields of the market."""

    qty: Fraction
    entry: Fraction
    mark: Fraction
    row: dict[str, Any]


def bracket(rate: Fraction, what: str = "a maintenance rate") -> dict[str, Any]:
    """Return a bracket without a cap of the notional. Raises Unmodelled for a rate that is no whole ppm."""
    ppm = whole_ppm(rate, what)
    if not 0 <= ppm <= units.PPM:
        raise Unmodelled(f"{what} of {plain(rate)}")
    leverage = min(units.LEVERAGE_MAX, units.PPM // max(1, ppm))
    return {"notional_max": 10**14, "maintenance_ppm": ppm, "leverage_max": leverage}


def whole_ppm(rate: Fraction, what: str) -> int:
    """Return a rate in ppm. Raises Unmodelled where it is none."""
    if (rate * units.PPM).denominator != 1:
        raise Unmodelled(f"{what} of {plain(rate)}: rates are whole ppm")
    return int(rate * units.PPM)


def places(*values: Fraction) -> int:
    """Return the fewest decimals that write all values exactly. Raises Unmodelled where none do."""
    for count in range(units.DECIMALS_MAX + 1):
        if all((value * 10**count).denominator == 1 for value in values):
            return count
    raise Unmodelled(f"more than {units.DECIMALS_MAX} decimals")


class Desk:
    """One client on one twin. lots, money: least decimals of quantities and of money; liquidation, venue: rows of the book."""

    def __init__(
        self,
        exchange_of: Callable,
        held: list[Held],
        cash: Fraction,
        liquidation: dict[str, Any],
        lots: int = 0,
        money: int = 0,
        **venue: Any,
    ) -> None:
        self.held, self.orders, self.now = held, 0, START_NS
        self.prices = places(*(price for row in held for price in (row.entry, row.mark)))
        self.lots = max(lots, places(*(row.qty for row in held)))
        self.money = max(money, self.prices + self.lots, places(cash))
        if self.money > units.DECIMALS_MAX:
            raise Unmodelled(f"money of {self.money} decimals")
        try:
            self.venue = rules.Venue.model_validate(self._rows(liquidation) | venue)
        except ValidationError as wrong:
            raise Unmodelled(f"no rule book can say this: {wrong.errors()[0]['msg']}") from None
        self.exchange = exchange_of(self.venue, START_NS)
        self._open(cash)

    def _rows(self, liquidation: dict[str, Any]) -> dict[str, Any]:
        source = lambda name, decimals: {  # noqa: E731
            "name": name,
            "price_decimals": decimals,
            "publish": {"kind": "update"},
            "recipe": {"kind": "source", "name": name},
        }
        names = [f"M{i}" for i in range(len(self.held))]
        decimals = {name: self.prices for name in names} | {"COVER": units.COLLATERAL_EXPONENT_MIN}
        return {
            "schema_version": 1,
            "name": "vectors",
            "limits": {"accounts_max": USERS_FROM + 3, "orders_max": 64},
            "numeraire": "QUOTE",
            "assets": [{"name": name, "decimals": self.money} for name in ("QUOTE", "COVER")],
            "sources": [{"name": name, "price_decimals": many} for name, many in decimals.items()],
            "indices": [source(name, many) for name, many in decimals.items()],
            "markets": [
                {
                    "name": name,
                    "settles_in": "QUOTE",
                    "index": name,
                    "mark": {"kind": "index"},
                    "price_decimals": self.prices,
                    "lot": {"decimals": self.lots},
                    "leverage_default": row.row["brackets"][0]["leverage_max"],
                }
                | row.row
                for name, row in zip(names, self.held, strict=True)
            ],
            "collateral": [{"asset": "COVER", "index": "COVER", "weight_ppm": units.PPM}],
            "liquidation": liquidation,
        }

    def send(self, **fields: int) -> list[Outcome]:
        """Apply an event and return its outcomes. Raises Unmodelled where it is refused."""
        said = outcomes_of(self.exchange.apply(pack(time_ns=self.now, **fields)))
        for o in said:
            if o.kind == OutcomeKind.REJECT:
                raise Unmodelled(f"the exchange refuses it: {Reason(o.reason).name}")
        return said

    def deposit(self, account: int, amount: int, asset: int = QUOTE) -> None:
        lo, hi = money_split(amount)
        if amount:
            self.send(kind=EventKind.DEPOSIT, account=account, asset=asset, amount_lo=lo, amount_hi=hi)

    def price(self, value: Fraction) -> int:
        return exactly(value * 10**self.prices, "a price")

    def order(self, account: int, market: int, side: int, price: Fraction, lots: int) -> list[Outcome]:
        """Send a limit order, in as many parts as it needs."""
        said: list[Outcome] = []
        while lots:
            part, self.orders = min(lots, units.QTY_MAX), self.orders + 1
            fields = {"account": account, "market": market, "ref_id": self.orders, "side": side, "qty": part}
            said += self.send(kind=EventKind.ORDER, tif=Tif.GTC, price=self.price(price), **fields)
            lots -= part
        return said

    def cover(self, price: int, batch_left: int = 0) -> list[Outcome]:
        return self.send(kind=EventKind.SOURCE, source=len(self.held), price=price, batch_left=batch_left)

    def _open(self, cash: Fraction) -> None:
        if cash < 0:
            raise Unmodelled("a client who owes cash before the move")
        for market, row in enumerate(self.held):
            self.send(kind=EventKind.SOURCE, source=market, price=self.price(row.entry))
        self.cover(units.PRICE_MAX)
        for account in (CLIENT, STRANGER, OTHER):
            self.send(kind=EventKind.ACCOUNT, account=account, ref_id=account)
        self.deposit(CLIENT, exactly(cash * 10**self.money, "cash"))
        self.deposit(CLIENT, COVER_UNITS, COVER)
        for account in (STRANGER, OTHER):
            self.deposit(account, units.MONEY_IN_MAX)
        for market, row in enumerate(self.held):
            lots = exactly(row.qty * 10**self.lots, "a quantity")
            sides = (Side.BUY, Side.SELL) if lots > 0 else (Side.SELL, Side.BUY)
            for account, side in zip((CLIENT, STRANGER), sides, strict=True):  # the taker pays the fee
                self.order(account, market, side, row.entry, abs(lots))

    def move(self) -> list[Outcome]:
        """Move the marks to theirs and take the cover away, at once; return what follows."""
        for market, row in enumerate(self.held):
            self.send(kind=EventKind.SOURCE, source=market, price=self.price(row.mark), batch_left=len(self.held) - market)
        return self.cover(1)

    def scene(self) -> Scene:
        return Scene(Book(self.venue), self.exchange.state())

    def whole(self, amount: int) -> Fraction:
        """Return money in whole units."""
        return Fraction(amount, 10**self.money)

    def least_equity(self) -> Fraction:
        """Return the least equity, in whole units, at which the client is not liquidated at the entry prices; cash must be 0."""
        state, low, high = self.exchange.snapshot(), 0, units.PRICE_MAX  # liquidated, and not
        unit = Fraction(COVER_UNITS, 10**units.COLLATERAL_EXPONENT_MIN)
        while high - low > 1:
            middle = (low + high) // 2
            self.exchange = type(self.exchange).restore(self.venue, state)
            if any(o.kind == OutcomeKind.LIQUIDATION for o in self.cover(middle)):
                low = middle
            else:
                high = middle
        return self.whole(int(high * unit))


def exactly(value: Fraction, what: str) -> int:
    """Return a whole number. Raises Unmodelled where it is none."""
    if value.denominator != 1:
        raise Unmodelled(f"{what} of {plain(value)} units: none is divided")
    return int(value)
