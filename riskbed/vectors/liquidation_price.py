"""At which price a position is liquidated, and bankrupt: kinds liquidation_price and bankruptcy_price.

One account holds the position, bought or sold at its entry price, and the other positions, each at its own; then the other marks
move to theirs, and the exchange is asked. Nothing is ever taken over: what is asked is the trigger. What the rules differ in is a
row of the rule book:

    binance, drift, injective   maintenance of the notional at the mark; a wallet
    bybit                       maintenance of the notional at entry; inverse cross with the taker fee at the bankruptcy price
    okx                         maintenance and the liquidation fee, of the notional at the mark
    hyperliquid                 half of the initial rate at the highest leverage
    dydx                        equity at a mark, and what others ask for: a position of it whose rate is 100 %

Where a vector gives no wallet the position is isolated: its margin is what the exchange leaves in the account when all that can
be withdrawn is, its initial margin, and extra_margin.

Units: prices have as many decimals as leave the largest price written a factor of 1,000 up to the largest that a market may
have, and of inverse contracts as leave it as many digits as a contract's worth has; lots and money are as fine as what is
written. A rate with an amount is the upper one of two brackets: the lower one ends where both ask the same, and what is asked
must not lie there.
Where the rules print a price on tick, a long's is rounded up, a short's down.
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
ALWAYS = {"payoff", "margin_mode", "position_qty"}
AT_MARK = ALWAYS | {"entry_price", "wallet_balance", "maintenance_rate"}
ISOLATED = ALWAYS | {"entry_price", "leverage", "maintenance_rate"}
TABLED = {"maintenance_amount", "other_positions"}
KEYS = {  # rules, payoff, margin mode: what their formula reads
    ("binance", "linear", "isolated"): AT_MARK | TABLED,
    ("binance", "linear", "cross"): AT_MARK | TABLED,
    ("drift", "linear", "isolated"): AT_MARK | TABLED,
    ("drift", "linear", "cross"): AT_MARK | TABLED,
    ("injective", "linear", "isolated"): AT_MARK | TABLED,
    ("injective", "linear", "cross"): AT_MARK | TABLED,
    ("bybit", "linear", "isolated"): ISOLATED | {"maintenance_amount", "extra_margin"},
    ("bybit", "inverse", "isolated"): ISOLATED | {"maintenance_amount"},
    ("bybit", "inverse", "cross"): AT_MARK | {"order_margin", "taker_fee_rate", "bankruptcy_price", "tick_size"},
    ("okx", "linear", "isolated"): ISOLATED | {"liquidation_fee_rate"},
    ("okx", "inverse", "isolated"): AT_MARK | {"liquidation_fee_rate", "contract_size"},
    ("hyperliquid", "linear", "isolated"): ALWAYS | {"entry_price", "wallet_balance", "max_leverage"},
    ("hyperliquid", "linear", "cross"): ALWAYS | {"entry_price", "wallet_balance", "max_leverage"},
    ("dydx", "linear", "cross"): ALWAYS | {"mark_price", "equity", "maintenance_rate", "other_maintenance_margin"},
}
BANKRUPT = {  # the same of bankruptcy_price
    ("linear", "isolated"): ALWAYS | {"entry_price", "leverage", "tick_size"},
    ("linear", "cross"): ALWAYS | {"entry_price", "position_margin", "wallet_balance", "tick_size"},
    ("inverse", "isolated"): ALWAYS | {"entry_price", "leverage", "tick_size"},
    ("inverse", "cross"): ALWAYS | {"entry_price", "wallet_balance", "order_margin", "taker_fee_rate", "tick_size"},
}
PRICE_ROOM = 1_000
WORTH_DIGITS = 9  # of the largest price of an inverse contract, and about of what it is worth: their product has 18
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
    """Return a position; `money`: decimals of money. Without a rate it is nothing: bankruptcy alone is asked."""
    rate, amount = number(row.get("maintenance_rate", "0")), number(row.get("maintenance_amount", "0"))
    rate_ppm = rate * units.PPM
    if rate_ppm.denominator != 1 or not 0 <= rate_ppm < units.PPM or ("maintenance_rate" in row and not rate):
        raise Unmodelled(f"a maintenance rate of {row['maintenance_rate']}: rates are ppm, above 0 and below 1")
    if amount < 0:
        raise Unmodelled("a negative maintenance amount")
    below, floor = _lower(int(rate_ppm), amount, money)
    mark = row.get("mark_price", row["entry_price"])
    return Held(name, number(row["position_qty"]), number(row["entry_price"]), number(mark), int(rate_ppm), amount, below, floor)


def _lower(rate_ppm: int, amount: Fraction, money: int) -> tuple[int, Fraction]:
    """Return (rate of the bracket below, where it ends), so that maintenance is continuous and the end is whole money."""
    if not amount:
        return 0, Fraction(0)
    for step in range(rate_ppm, 0, -1):
        floor = amount * units.PPM / step
        if (floor * 10**money).denominator == 1:
            return rate_ppm - step, floor
    raise Unmodelled(f"a maintenance amount of {plain(amount)}, which continues no table")


class Asked:
    """One vector on one twin."""

    def __init__(self, vector: Vector, exchange_of: Callable, allowed: set[str]) -> None:
        given, others = dict(vector.given), vector.given.get("other_positions", [])
        unknown = sorted(set(given) - allowed) + sorted({key for row in others for key in row} - OTHER)
        if unknown:
            raise Unmodelled(f"given {', '.join(unknown)}")
        if given["margin_mode"] == "isolated" and others:
            raise Unmodelled("other positions beside an isolated one")
        if number(given.get("order_margin", "0")):
            raise Unmodelled("margin held for orders: here it is their initial margin, and no part of maintenance")
        if "equity" in given:  # at the mark, which is then what it was entered at
            given |= {"entry_price": given["mark_price"], "wallet_balance": given["equity"]}
            del given["mark_price"]
        if "other_maintenance_margin" in given:
            asks = {"market": "others", "position_qty": given["other_maintenance_margin"], "entry_price": "1"}
            others = [asks | {"maintenance_rate": "1"}] if number(asks["position_qty"]) else []
        self.given, self.rules, self.inverse = given, vector.rules, given["payoff"] == "inverse"
        rows = [(given, "asked"), *((row, row["market"]) for row in others)]
        self._units(rows)
        self.held = [_held(row, name, self.money) if row.get("maintenance_rate") != "1" else _all(row) for row, name in rows]
        self.venue, self.orders = self._venue(), 0
        self.exchange = exchange_of(self.venue, START_NS)
        self._build()

    def _units(self, rows: list[tuple[dict[str, Any], str]]) -> None:
        written = lambda *keys: [row[key] for row, _ in rows for key in keys if key in row]  # noqa: E731
        prices = written("entry_price", "mark_price")
        self.lots, largest = decimals(written("position_qty")), max(map(number, prices))
        if self.inverse:
            self.prices = max(decimals(prices), WORTH_DIGITS - len(str(int(largest))))
            self.money = min(units.DECIMALS_MAX, 18 - self.prices + self.lots - len(str(int(self._contract()))) + 1)
        else:
            self.prices = min(_room(largest), units.DECIMALS_MAX - self.lots)
            self.money = max(self.prices + self.lots, decimals(written("wallet_balance", "maintenance_amount", "extra_margin")))
        if self.prices < decimals(prices) or self.money > units.DECIMALS_MAX:
            raise Unmodelled(f"more decimals than the {units.DECIMALS_MAX} of money, or too large a price for them")

    def _contract(self) -> Fraction:
        size = number(self.given.get("contract_size", "1"))
        if size.denominator != 1 or not 0 < size <= units.PPM:
            raise Unmodelled(f"a contract of {plain(size)}")
        return size

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
            "markets": [self._market(held) | (self._own() if held is self.held[0] else {}) for held in self.held],
            "liquidation": {"trigger": "maintenance_ge_equity", "stages": [{"kind": "write_off"}]},
        }

    def _own(self) -> dict[str, Any]:
        """Return the rows of the market that is asked about: what its rules have beside a rate."""
        found: dict[str, Any] = {}
        if self.inverse:
            found |= {"payoff": "inverse", "lot": {"size": int(self._contract()), "decimals": self.lots}}
        if self.rules == "bybit":
            found["margin"] = {"basis": "entry"}
        for key, fee, at in (("liquidation_fee_rate", "liquidation", "mark"), ("taker_fee_rate", "taker", "bankruptcy")):
            rate = number(self.given.get(key, "0")) * units.PPM
            if rate.denominator != 1:
                raise Unmodelled(f"a fee of {self.given[key]}: rates are whole ppm")
            if rate:
                found |= {"fees": {f"{fee}_ppm": int(rate)}, "closing": {"fee": fee, "at": at}}
        if "max_leverage" in self.given:
            leverage = _whole(number(self.given["max_leverage"]), "a highest leverage")
            found |= {"brackets": [{"notional_max": NOTIONAL_MAX, "leverage_max": leverage}], "leverage_default": leverage}
            found["margin"] = {"maintenance": "half_initial"}
        return found

    def _market(self, held: Held) -> dict[str, Any]:
        most = 10 ** (23 - self.money) if self.inverse else NOTIONAL_MAX
        upper = {"notional_max": most, "maintenance_ppm": held.rate_ppm, "amount": plain(held.amount)}
        brackets = [{"notional_max": plain(held.floor), "maintenance_ppm": held.below_ppm}, upper] if held.amount else [upper]
        for row in brackets:
            row["leverage_max"] = min(units.LEVERAGE_MAX, units.PPM // max(1, row["maintenance_ppm"]))
        chosen = brackets[0]["leverage_max"]
        if "leverage" in self.given and held.name == "asked":
            chosen = _whole(number(self.given["leverage"]), "a leverage")
        return {
            "name": held.name,
            "settles_in": "QUOTE",
            "index": held.name,
            "mark": {"kind": "index"},
            "price_decimals": self.prices,
            "lot": {"decimals": self.lots},
            "brackets": brackets,
            "leverage_default": chosen,
        }

    def _build(self) -> None:
        for account in (CLIENT, STRANGER):
            self._apply(kind=EventKind.ACCOUNT, account=account, ref_id=account)
        wallet = number(self.given.get("wallet_balance", "0")) + number(self.given.get("position_margin", "0"))
        isolated = "leverage" in self.given
        self._deposit(CLIENT, units.MONEY_IN_MAX // 2 if isolated else _whole(wallet * 10**self.money, "the wallet"))
        self._deposit(STRANGER, units.MONEY_IN_MAX)
        for market, held in enumerate(self.held):
            self._mark(market, held.entry)
        for market, held in enumerate(self.held):
            self._trade(market, held)
        if isolated:
            self._withdraw_all()
            if extra := _whole(number(self.given.get("extra_margin", "0")) * 10**self.money, "extra margin"):
                self._deposit(CLIENT, extra)
        for market, held in enumerate(self.held):
            self._mark(market, held.mark)

    def _withdraw_all(self) -> None:
        """Leave the account what the exchange keeps: initial margin."""
        lo, hi = money_split(self.exchange.withdrawable(CLIENT, 0))
        self._apply(kind=EventKind.WITHDRAW, account=CLIENT, amount_lo=lo, amount_hi=hi)

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
            for account, which in ((CLIENT, side), (STRANGER, other)):  # who takes pays the taker fee
                self.orders += 1
                order = {"account": account, "market": market, "ref_id": self.orders, "side": which, "price": price, "qty": lots}
                self._apply(kind=EventKind.ORDER, tif=Tif.GTC, **order)
            left -= lots

    def near(self, vector: Vector) -> None:
        """Raise Unmodelled if an inverse price is wanted with more digits than it has where its contract's worth has as many."""
        allowed = vector.tolerance if isinstance(vector.tolerance, str) else vector.tolerance.get("liquidation_price", "0")
        wanted = number(vector.expect.get("liquidation_price", "1")) / 10**8
        if self.inverse and "tick_size" not in self.given and number(allowed) < min(wanted, Fraction(1, 10**self.prices)):
            raise Unmodelled(f"an inverse price to {allowed}: it and what a contract is worth have 18 digits together")

    def bankruptcy(self) -> Fraction:
        """Return the exchange's bankruptcy price on tick, in whole units; 0: none."""
        return Fraction(self.exchange.bankruptcy_price(CLIENT, 0) or 0, 10**self.prices)

    def results(self, expect: dict[str, Any]) -> dict[str, Any]:
        """Return what a liquidation_price asks for, under its own keys."""
        state = self.exchange.state()
        scene, price = Scene(Book(self.venue), state), self.exchange.liquidation_price(CLIENT, 0)
        if scene.triggered(CLIENT):
            raise Unmodelled("an account that is triggered at the entry price already")
        if price is None:
            raise Unmodelled("no price triggers it")
        self._given_bankruptcy()
        if self.rules != "bybit":
            for held, at in zip(self.held, [Fraction(price, 10**self.prices), *(held.mark for held in self.held[1:])]):
                self._in_bracket(held, abs(held.qty) * at)
        else:
            own = self.held[0]
            self._in_bracket(own, abs(own.qty) * (1 / own.entry if self.inverse else own.entry))
        others = [row for row in state["positions"] if row[0] == CLIENT and row[1] != 0]
        e, own = scene.evaluate(CLIENT), scene.maintenance(CLIENT, 0)
        found = {
            "liquidation_price": plain(self.on_tick(Fraction(price, 10**self.prices))),
            "bankruptcy_price": plain(self.bankruptcy()),
            "other_maintenance_margin": self._money(sum(scene.maintenance(CLIENT, market) for _, market, *_ in others)),
            "other_unrealised_pnl": self._money(sum(qty * scene.value(market) - entry for _, market, _, qty, entry in others)),
            "initial_margin": self._money(scene.requirement(CLIENT, 0)),
            "maintenance_margin": self._money(own),
            "position_value": self._money(abs(scene.qty[CLIENT, 0] * scene.value(0))),
            "margin_available": self._money(e.equity - e.maintenance),
            "maintenance_margin_at_liquidation": self._maintenance_at(price),
        }
        unknown = sorted(key for key in expect if key not in found and not key.startswith("printed_"))
        if unknown:
            raise Unmodelled(f"results of kind {', '.join(unknown)}")
        return {key: found[key] for key in expect if key in found}

    def _in_bracket(self, held: Held, notional: Fraction) -> None:
        if notional <= held.floor:
            raise Unmodelled("a maintenance amount of a bracket that the notional is not in")

    def _given_bankruptcy(self) -> None:
        """The fee of closing counts at the exchange's own bankruptcy price: one that is given must be it, as it is written."""
        if "bankruptcy_price" not in self.given:
            return
        price, near = number(self.given["bankruptcy_price"]), Fraction(1, 10 ** decimals([self.given["bankruptcy_price"]]))
        if abs(price - self.bankruptcy()) > near:
            raise Unmodelled("a bankruptcy price that is not that of the position")

    def on_tick(self, price: Fraction) -> Fraction:
        """Return a price as the rules print it."""
        if "tick_size" not in self.given:
            return price
        tick = number(self.given["tick_size"])
        return (-(-price // tick) if self.held[0].qty > 0 else price // tick) * tick

    def _maintenance_at(self, price: int) -> str:
        """Return what the position asks for at a mark."""
        scene = Scene(Book(self.venue), self.exchange.state())
        scene.marks[0].last_valid = price
        return self._money(scene.maintenance(CLIENT, 0))

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


def _all(row: dict[str, Any]) -> Held:
    """Return a position whose maintenance is all of its notional."""
    qty, price = number(row["position_qty"]), number(row["entry_price"])
    return Held(row["market"], qty, price, price, units.PPM, Fraction(0), 0, Fraction(0))


def run(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the results of a liquidation_price on a twin. Raises Unmodelled."""
    key = vector.rules, vector.given["payoff"], vector.given["margin_mode"]
    if key not in KEYS:
        raise Unmodelled(f"the liquidation price of {', '.join(key)}")
    asked = Asked(vector, exchange_of, KEYS[key])
    asked.near(vector)
    return asked.results(vector.expect)


def run_bankruptcy(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the results of a bankruptcy_price on a twin, to a unit of price, and on tick. Raises Unmodelled."""
    key = vector.given["payoff"], vector.given["margin_mode"]
    if vector.rules != "bybit" or key not in BANKRUPT:
        raise Unmodelled(f"the bankruptcy price of {vector.rules}, {', '.join(key)}")
    asked = Asked(vector, exchange_of, BANKRUPT[key])
    return {"unrounded_price": plain(asked.bankruptcy()), "bankruptcy_price": plain(asked.on_tick(asked.bankruptcy()))}
