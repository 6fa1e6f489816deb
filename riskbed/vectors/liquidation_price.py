"""At which price a position is liquidated: kind liquidation_price, rules binance, drift and injective, linear.

One account holds the position, bought or sold at its entry price, and the other positions, each at its own; its wallet is its
deposit. Then the other marks move to theirs, and the exchange is asked. Nothing is ever taken over: what is asked is the trigger.

Units: prices have as many decimals as leave the largest price written a factor of 1,000 up to the largest that a market may have;
lots and money are as fine as what is written. A rate with an amount is the upper one of two brackets: the lower one ends where
both ask the same, and what is asked must not lie there.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import ValidationError

from fuzz.strategies import pack
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from specs import rules, units
from specs.scene import Book, Scene, outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Reason, Side, Tif, money_split

START_NS = units.NS
CLIENT, STRANGER = USERS_FROM, USERS_FROM + 1
OTHER = {"market", "position_qty", "entry_price", "mark_price", "maintenance_rate", "maintenance_amount"}
KEYS = {"payoff", "margin_mode", "wallet_balance", "other_positions"} | OTHER - {"market", "mark_price"}
PRICE_ROOM = 1_000
RULES = ("binance", "drift", "injective")  # equity meets the requirement of the notional at that price, no fee in it
NOTIONAL_MAX = 10**14  # whole units: nobody's cap


class Held(NamedTuple):
    """A position of a vector. floor: the notional from which on its rate and amount hold."""

    name: str
    qty: Fraction
    entry: Fraction
    mark: Fraction
    rate_ppm: int
    amount: Fraction
    below_ppm: int
    floor: Fraction


def _held(row: dict[str, Any], name: str, money: int) -> Held:
    """Return a position; `money`: decimals of money."""
    rate, amount = number(row["maintenance_rate"]), number(row.get("maintenance_amount", "0"))
    rate_ppm = rate * units.PPM
    if rate_ppm.denominator != 1 or not 0 < rate_ppm < units.PPM:
        raise Unmodelled(f"a maintenance rate of {row['maintenance_rate']}: rates are ppm, above 0 and below 1")
    if amount < 0:
        raise Unmodelled("a negative maintenance amount")
    below, floor = _lower(int(rate_ppm), amount, money)
    mark = row.get("mark_price", row["entry_price"])
    return Held(name, number(row["position_qty"]), number(row["entry_price"]), number(mark), int(rate_ppm), amount, below, floor)


def _lower(rate_ppm: int, amount: Fraction, money: int) -> tuple[int, Fraction]:
    """Return (rate of the bracket below, where it ends), so that maintenance is continuous and the end is whole money."""
    for step in range(rate_ppm, 0, -1):
        floor = amount * units.PPM / step
        if not amount or (floor * 10**money).denominator == 1:
            return rate_ppm - step, floor
    raise Unmodelled(f"a maintenance amount of {plain(amount)}, which continues no table")


class Asked:
    """One vector on one twin."""

    def __init__(self, vector: Vector, exchange_of: Callable) -> None:
        given, others = vector.given, vector.given.get("other_positions", [])
        unknown = sorted(set(given) - KEYS) + sorted({key for row in others for key in row} - OTHER)
        if unknown:
            raise Unmodelled(f"given {', '.join(unknown)}")
        if given["margin_mode"] == "isolated" and others:
            raise Unmodelled("other positions beside an isolated one")
        rows = [(given, "asked"), *((row, row["market"]) for row in others)]
        written = lambda *keys: [row[key] for row, _ in rows for key in keys if key in row]  # noqa: E731
        prices = written("entry_price", "mark_price")
        self.wallet, self.lots = number(given["wallet_balance"]), decimals(written("position_qty"))
        self.prices = min(_room(max(map(number, prices))), units.DECIMALS_MAX - self.lots)
        self.money = max(self.prices + self.lots, decimals(written("wallet_balance", "maintenance_amount")))
        if self.prices < decimals(prices) or self.money > units.DECIMALS_MAX:
            raise Unmodelled(f"more decimals than the {units.DECIMALS_MAX} of money, or too large a price for them")
        self.held = [_held(row, name, self.money) for row, name in rows]
        self.venue, self.orders = self._venue(), 0
        self.exchange = exchange_of(self.venue, START_NS)
        self._build()

    def _venue(self) -> rules.Venue:
        try:
            return rules.Venue.model_validate(self._rows())
        except ValidationError as wrong:
            raise Unmodelled(f"no rule book can say this: {wrong.errors()[0]['msg']}") from None

    def _rows(self) -> dict[str, Any]:
        names = [held.name for held in self.held]
        return {
            "schema_version": 1,
            "name": "vectors",
            "numeraire": "QUOTE",
            "assets": [{"name": "QUOTE", "decimals": self.money}],
            "sources": [{"name": name, "price_decimals": self.prices} for name in names],
            "indices": [
                {
                    "name": name,
                    "price_decimals": self.prices,
                    "publish": {"kind": "update"},
                    "recipe": {"kind": "source", "name": name},
                }
                for name in names
            ],
            "markets": [self._market(held) for held in self.held],
            "liquidation": {"trigger": "maintenance_ge_equity", "stages": [{"kind": "write_off"}]},
        }

    def _market(self, held: Held) -> dict[str, Any]:
        upper = {"notional_max": NOTIONAL_MAX, "maintenance_ppm": held.rate_ppm, "amount": plain(held.amount)}
        brackets = [{"notional_max": plain(held.floor), "maintenance_ppm": held.below_ppm}, upper] if held.amount else [upper]
        for row in brackets:
            row["leverage_max"] = min(units.LEVERAGE_MAX, units.PPM // max(1, row["maintenance_ppm"]))
        return {
            "name": held.name,
            "settles_in": "QUOTE",
            "index": held.name,
            "mark": {"kind": "index"},
            "price_decimals": self.prices,
            "lot": {"decimals": self.lots},
            "brackets": brackets,
            "leverage_default": brackets[0]["leverage_max"],
        }

    def _build(self) -> None:
        for account in (CLIENT, STRANGER):
            self._apply(kind=EventKind.ACCOUNT, account=account, ref_id=account)
        self._deposit(CLIENT, _whole(self.wallet * 10**self.money, "the wallet"))
        self._deposit(STRANGER, units.MONEY_IN_MAX)
        for market, held in enumerate(self.held):
            self._mark(market, held.entry)
        for market, held in enumerate(self.held):
            self._trade(market, held)
        for market, held in enumerate(self.held):
            self._mark(market, held.mark)

    def _apply(self, **fields: int) -> None:
        for o in outcomes_of(self.exchange.apply(pack(time_ns=START_NS, **fields))):
            if o.kind == OutcomeKind.REJECT:
                raise Unmodelled(f"the position cannot be opened: {Reason(o.reason).name}")

    def _deposit(self, account: int, amount: int) -> None:
        lo, hi = money_split(amount)
        self._apply(kind=EventKind.DEPOSIT, account=account, amount_lo=lo, amount_hi=hi)

    def _mark(self, market: int, price: Fraction) -> None:
        self._apply(kind=EventKind.SOURCE, source=market, price=_whole(price * 10**self.prices, "a price"))

    def _trade(self, market: int, held: Held) -> None:
        side, other = (Side.BUY, Side.SELL) if held.qty > 0 else (Side.SELL, Side.BUY)
        price, left = _whole(held.entry * 10**self.prices, "a price"), abs(_whole(held.qty * 10**self.lots, "a quantity"))
        while left:
            lots = min(left, units.QTY_MAX)
            for account, which in ((STRANGER, other), (CLIENT, side)):
                self.orders += 1
                order = {"account": account, "market": market, "ref_id": self.orders, "side": which, "price": price, "qty": lots}
                self._apply(kind=EventKind.ORDER, tif=Tif.GTC, **order)
            left -= lots

    def results(self, expect: dict[str, Any]) -> dict[str, Any]:
        """Return what the vector asks for, under its own keys."""
        state = self.exchange.state()
        scene, price = Scene(Book(self.venue), state), self.exchange.liquidation_price(CLIENT, 0)
        if scene.triggered(CLIENT):
            raise Unmodelled("an account that is triggered at the entry price already")
        if price is None:
            raise Unmodelled("no price triggers it")
        for held, at in zip(self.held, [Fraction(price, 10**self.prices), *(held.mark for held in self.held[1:])]):
            if abs(held.qty) * at <= held.floor:
                raise Unmodelled("a maintenance amount of a bracket that the notional is not in")
        others = [row for row in state["positions"] if row[0] == CLIENT and row[1] != 0]
        found = {
            "liquidation_price": plain(Fraction(price, 10**self.prices)),
            "bankruptcy_price": plain(Fraction(self.exchange.bankruptcy_price(CLIENT, 0) or 0, 10**self.prices)),
            "other_maintenance_margin": self._money(sum(scene.maintenance(CLIENT, market) for _, market, *_ in others)),
            "other_unrealised_pnl": self._money(sum(qty * scene.value(market) - entry for _, market, _, qty, entry in others)),
        }
        unknown = sorted(key for key in expect if key not in found and not key.startswith("printed_"))
        if unknown:
            raise Unmodelled(f"results of kind {', '.join(unknown)}")
        return {key: found[key] for key in expect if key in found}

    def _money(self, amount: int) -> str:
        return plain(Fraction(amount, 10**self.money))


def _room(largest: Fraction) -> int:
    """Return the decimals that leave a price its room."""
    fits = lambda places: largest * PRICE_ROOM * 10**places <= units.PRICE_MAX  # noqa: E731
    return max(filter(fits, range(units.DECIMALS_MAX + 1)), default=0)


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise Unmodelled(f"{what} with more decimals than its unit")
    return int(value)


def run(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the results of a liquidation_price on a twin. Raises Unmodelled."""
    payoff = vector.given["payoff"]
    if vector.rules not in RULES or payoff != "linear":
        raise Unmodelled(f"the liquidation price of {vector.rules}, {payoff}: only {', '.join(RULES)}, linear")
    return Asked(vector, exchange_of).results(vector.expect)
