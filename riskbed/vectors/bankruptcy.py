"""Prices and fees of a liquidation: kinds liquidation_limit_price, bankruptcy_value, insurance_delta, insurance_delta_allowed.

One account has the cash and the positions of a vector, each at its oracle price, as deep under water as that is. No gate lets an
account go there, so it is led there: it makes a gain in a market of its own, opens its positions, takes its money out, and then
the venue busts the fills that brought the gain. What is asked is the exchange's answer, or what a slice of its liquidation moves.

Units: a market's prices and lots are as fine as what is written, prices finer where an answer is one; money is as fine as a
requirement needs. Rates are whole ppm.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import ValidationError

from fuzz.strategies import pack
from riskbed.vectors.scripts import START_NS
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, Chart, EventKind, OutcomeKind, Reason, Seam, SeamKind, Side, Tif, money_split

CLIENT, STRANGER = USERS_FROM, USERS_FROM + 1
PURSE = "PURSE"  # the market of the gain: price and money have one unit
GAIN_A_LOT = 10**14
SEED = 10**10  # money that opens the purse: it is taken out again
FILLS_KEPT = 4_096
NOTIONAL_MAX = 10**14  # whole units: nobody's cap
ROOM = units.MONEY_IN_MAX // 10**4  # money of a position whose prices are made finer
SEVERAL = ("positions", "quote_balance_usd", "market")


class Held(NamedTuple):
    """A position, its market's price, maintenance rate and decimals of price and lots."""

    name: str
    qty: Fraction
    price: Fraction
    rate_ppm: int
    prices: int
    lots: int


def _ppm(text: str, what: str) -> int:
    ppm = number(text) * units.PPM
    if ppm.denominator != 1:
        raise Unmodelled(f"{what} of {text}: rates are whole ppm")
    return int(ppm)


def held(row: dict[str, Any], finer: bool = False, lots: int = 0) -> Held:
    """Return a position of a vector; finer: its prices have as many decimals as there is room for. lots: decimals at least."""
    qty, price, rate_ppm = number(row["position_qty"]), number(row["oracle_price"]), _ppm(row["maintenance_rate"], "a rate")
    if price <= 0:
        raise Unmodelled("a price that is not above 0")
    lots = max(lots, decimals([row["position_qty"]]))
    prices = decimals([row["oracle_price"]])
    roomy = lambda n: price * 10 ** (n + 1) <= units.PRICE_MAX and abs(qty) * price * 10 ** (n + lots) <= ROOM  # noqa: E731
    while finer and prices + 1 + lots <= units.DECIMALS_MAX and roomy(prices + 1):
        prices += 1
    return Held(row["market"], qty, price, rate_ppm, prices, lots)


class Account:
    """One client with some cash and positions on one twin. money: decimals at least; seams: faults of the run."""

    def __init__(
        self,
        exchange_of: Callable,
        cash: Fraction,
        positions: list[Held],
        book: dict[str, Any],
        liquidation: dict[str, Any] | None = None,
        fund: dict[str, Any] | None = None,
        money: int = 0,
        forced: bool = False,
    ) -> None:
        self.money = max(decimals([plain(cash)]), *(x.prices + x.lots for x in positions))
        if self.money > units.DECIMALS_MAX:
            raise Unmodelled(f"more decimals than the {units.DECIMALS_MAX} of money")
        exact = max(x.lots + decimals([plain(x.price * x.rate_ppm / units.PPM)]) for x in positions)  # of every requirement
        self.money = max(self.money, min(units.DECIMALS_MAX, max(exact, money)))
        self.positions = [self._fine(x) for x in positions]
        if PURSE in (x.name for x in positions) or len({x.name for x in positions}) < len(positions):
            raise Unmodelled("two positions of one market")
        stages = [{"kind": "book", "quantity": "all"} | book, {"kind": "write_off"}]
        venue = self._rows({"stages": stages} | (liquidation or {}), fund or {})
        try:
            self.venue = rules.Venue.model_validate(venue)
        except ValidationError as wrong:
            raise Unmodelled(f"no rule book can say this: {wrong.errors()[0]['msg']}") from None
        force = int(Seam.LIQUIDATION_TRIGGER), CLIENT, START_NS + 1, START_NS + 2, int(SeamKind.FORCE_TRUE), 0
        self.exchange, self.orders = exchange_of(self.venue, START_NS, [force] if forced else ()), 0
        self._lead(cash)

    def _fine(self, x: Held) -> Held:
        """Return a position in lots so fine that one is worth little money: prices have room then."""
        lots = x.lots
        while x.price * 10 ** (self.money - lots) > units.VALUE_MAX // 1_000 and x.prices + lots < self.money:
            lots += 1
        return x._replace(lots=lots)

    def _rows(self, liquidation: dict[str, Any], fund: dict[str, Any]) -> dict[str, Any]:
        markets = [*self.positions, Held(PURSE, Fraction(0), Fraction(1), 0, self.money, 0)]
        return {
            "schema_version": 1,
            "name": "vectors",
            "limits": {"accounts_max": USERS_FROM + 2, "orders_max": 8, "fills_kept": FILLS_KEPT},
            "numeraire": "QUOTE",
            "assets": [{"name": "QUOTE", "decimals": self.money}],
            "sources": [{"name": x.name, "price_decimals": x.prices} for x in markets],
            "indices": [
                {
                    "name": x.name,
                    "price_decimals": x.prices,
                    "publish": {"kind": "update"},
                    "recipe": {"kind": "source", "name": x.name},
                }
                for x in markets
            ],
            "markets": [
                {
                    "name": x.name,
                    "settles_in": "QUOTE",
                    "index": x.name,
                    "mark": {"kind": "index"},
                    "price_decimals": x.prices,
                    "lot": {"decimals": x.lots},
                    "leverage_default": 1,
                    "brackets": [{"notional_max": NOTIONAL_MAX, "leverage_max": 1, "maintenance_ppm": x.rate_ppm}],
                }
                for x in markets
            ],
            "liquidation": {"trigger": "maintenance_ge_equity"} | liquidation,
            "fund": fund,
        }

    def _lead(self, cash: Fraction) -> None:
        """Bring the client to its cash and positions: a gain, positions, money out, and the gain's fills are busted."""
        unit, purse = 10**self.money, len(self.positions)
        worth = cash + sum(x.qty * x.price for x in self.positions)
        paid_in, gain = max(worth, 0) * unit + SEED, 2 * unit * (abs(worth) + sum(abs(x.qty) * x.price for x in self.positions))
        lots = int(gain) // GAIN_A_LOT + 1
        for account, money in ((CLIENT, paid_in), (STRANGER, units.MONEY_IN_MAX)):
            self.send(kind=EventKind.ACCOUNT, account=account, ref_id=account)
            self._money(EventKind.DEPOSIT, account, _whole(Fraction(money), "cash"))
        for market, x in enumerate(self.positions):
            self.send(kind=EventKind.SOURCE, source=market, price=self.price(x.price, market))
        self.send(kind=EventKind.SOURCE, source=purse, price=1)
        gains = self.trade(purse, lots, 1) + self.trade(purse, -lots, 1 + GAIN_A_LOT)
        for market, x in enumerate(self.positions):
            self.trade(market, _whole(x.qty * 10**x.lots, "a quantity"), self.price(x.price, market))
        self._money(EventKind.WITHDRAW, CLIENT, _whole(paid_in - worth * unit, "cash"))
        for fill in reversed(range(gains)):
            self.send(kind=EventKind.BUST, ref_id=fill)

    def price(self, price: Fraction, market: int = 0) -> int:
        return _whole(price * 10 ** self.positions[market].prices, "a price")

    def send(self, time_ns: int = START_NS, **fields: int) -> list:
        said = outcomes_of(self.exchange.apply(pack(time_ns=time_ns, **fields)))
        for o in said:
            if o.kind == OutcomeKind.REJECT:
                raise Unmodelled(f"the exchange has no room for this account: {Reason(o.reason).name}")
        return said

    def _money(self, kind: EventKind, account: int, amount: int) -> None:
        if amount:
            lo, hi = money_split(amount)
            self.send(kind=kind, account=account, amount_lo=lo, amount_hi=hi)

    def order(self, account: int, market: int, lots: int, price: int) -> list:
        self.orders += 1
        fields = {"account": account, "market": market, "ref_id": self.orders, "price": price, "qty": abs(lots)}
        return self.send(kind=EventKind.ORDER, tif=Tif.GTC, side=Side.BUY if lots > 0 else Side.SELL, **fields)

    def trade(self, market: int, lots: int, price: int) -> int:
        """Let the client buy lots (or sell, negative) from the stranger; return how many fills that took."""
        fills = 0
        while lots:
            part = max(-units.QTY_MAX, min(lots, units.QTY_MAX))
            self.order(STRANGER, market, -part, price)
            self.order(CLIENT, market, part, price)
            fills, lots = fills + 1, lots - part
        if fills > FILLS_KEPT // 8:
            raise Unmodelled("the exchange has no room for a position of this size")
        return fills

    def balance(self, account: int) -> Fraction:
        held = sum(row[2] for row in self.exchange.state()["balances"] if row[0] == account)
        return Fraction(held, 10**self.money)


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise Unmodelled(f"{what} with more decimals than its unit")
    return int(value)


def _number_of(positions: list[Held], name: str) -> int:
    return {x.name: i for i, x in enumerate(positions)}[name]


def _only(vector: Vector, keys: tuple[str, ...], results: tuple[str, ...]) -> dict[str, Any]:
    """Return what is given; Unmodelled for a key or a result that the kind does not have."""
    unknown = sorted(set(vector.given) - set(keys))
    asked = sorted(key for key in vector.expect if key not in results and not key.startswith("printed_"))
    if unknown or asked:
        raise Unmodelled(f"given {', '.join(unknown)}" if unknown else f"results of kind {', '.join(asked)}")
    return vector.given


def run_limit(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """liquidation_limit_price: what bounds a slice, of dydx, injective and bitmex."""
    more = ("bankruptcy_adjustment", "spread_to_maintenance", "position_qty", "bankruptcy_price", "oracle_price")
    given = _only(vector, SEVERAL + more, ("limit_price",))
    market = 0
    if vector.rules == "dydx":
        positions = [held(row, finer=True) for row in given["positions"]]
        market, cash = _number_of(positions, given["market"]), number(given["quote_balance_usd"])
        bound = {
            "kind": "fillable",
            "bankruptcy_adjustment_ppm": _ppm(given["bankruptcy_adjustment"], "an adjustment"),
            "spread_to_maintenance_ppm": _ppm(given["spread_to_maintenance"], "a spread"),
        }
    elif vector.rules in ("injective", "bitmex"):
        price = given["bankruptcy_price"]
        row = {"position_qty": given.get("position_qty", "1"), "oracle_price": given.get("oracle_price", price)}
        positions = [held(row | {"market": "asked", "maintenance_rate": "0.01"}, finer=True)]
        cash = -positions[0].qty * number(price)
        bound = {"kind": "bankruptcy", "under_water": "mark" if vector.rules == "injective" else "bankruptcy"}
    else:
        raise Unmodelled(f"the limit price of {vector.rules}: only dydx, injective, bitmex")
    account = Account(exchange_of, cash, positions, {"bound": bound})
    limit = account.exchange.liquidation_limit_price(CLIENT, market)
    if limit is None or limit == 1:
        raise Unmodelled("no price above 0 bounds it")
    return {"limit_price": plain(Fraction(limit, 10 ** positions[market].prices))}


def run_value(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """bankruptcy_value: least proceeds of a sale, most that a purchase may cost; as the rule book rounds it, and unrounded."""
    given = _only(vector, (*SEVERAL, "delta_qty", "quote_unit_usd"), ("quote_delta_usd", "unrounded_usd", "error"))
    positions = [held(row, lots=decimals([given["delta_qty"]])) for row in given["positions"]]
    market, delta = _number_of(positions, given["market"]), number(given["delta_qty"])
    book = {"bound": {"kind": "bankruptcy"}, "insurance": {"max_fee_ppm": 0}}
    found: dict[str, Any] = {}
    for key, unit in (("quote_delta_usd", given["quote_unit_usd"]), ("unrounded_usd", None)):
        if key != "quote_delta_usd" and key not in vector.expect:
            continue
        cash, finest = number(given["quote_balance_usd"]), units.DECIMALS_MAX if unit is None else decimals([unit])
        account = Account(exchange_of, cash, positions, book, {"bankruptcy_unit": unit}, money=finest)
        value = account.exchange.bankruptcy_value(CLIENT, market, int(delta * 10 ** account.positions[market].lots))
        if value is None:
            return {"error": "invalid_delta"}
        found[key] = plain(Fraction(value, 10**account.money))
    return found


def _slice(exchange_of: Callable, qty: str, price: str, owed: Fraction, fee: str, fund: Fraction | None) -> tuple[Fraction, ...]:
    """Return (what the fund got or owed of a slice of a whole position at a price, what it has then, what it could not pay).

    owed: the bankruptcy value, so that the client's cash is -owed. fund: what it has before; None: enough.
    """
    rate = {"market": "asked", "position_qty": qty, "oracle_price": price, "maintenance_rate": "1"}
    position = held(rate, lots=decimals([qty]))
    money = max(
        position.prices + position.lots + decimals([fee]), decimals([plain(owed)]), decimals([plain(fund or Fraction(0))])
    )
    capital = fund if fund is not None else Fraction(int(abs(owed) + abs(position.qty) * position.price) + 1)
    forced = position.qty * position.price - owed > abs(position.qty) * position.price
    book = {"bound": {"kind": "mark", "ppm": units.PPM}, "insurance": {"max_fee_ppm": _ppm(fee, "a fee")}}
    account = Account(exchange_of, -owed, [position], book, fund={"capital": plain(capital)}, money=money, forced=forced)
    account.order(
        STRANGER, 0, _whole(position.qty * 10 ** account.positions[0].lots, "a quantity"), account.price(position.price)
    )
    said = account.send(START_NS + 1, kind=EventKind.SOURCE, source=0, price=account.price(position.price) + 1)
    if not any(o.kind == OutcomeKind.FILL for o in said):
        raise Unmodelled("an account that is not liquidated at this price")
    short = Fraction(sum(o.money for o in said if o.kind == OutcomeKind.FUND_SHORT), 10**account.money)
    after = account.balance(Chart.FUND)
    return after - capital - short, after, short


def run_delta(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """insurance_delta: what a slice that closes the position at the fill price does to the fund."""
    keys = ("position_qty", "fill_price", "bankruptcy_value_usd", "max_liquidation_fee_rate", "entry_price", "collateral_usd")
    given = _only(vector, (*keys, "fund_balance_usd"), ("insurance_delta_usd", "fund_after_usd"))
    if "bankruptcy_value_usd" in given:
        owed = number(given["bankruptcy_value_usd"])
    else:
        owed = number(given["position_qty"]) * number(given["entry_price"]) - number(given["collateral_usd"])
    fund = number(given["fund_balance_usd"]) if "fund_balance_usd" in given else None
    if fund is not None and fund < 0:
        raise Unmodelled("a fund below 0")
    delta, after, short = _slice(
        exchange_of, given["position_qty"], given["fill_price"], owed, given["max_liquidation_fee_rate"], fund
    )
    if short and "fund_after_usd" in vector.expect:
        raise Unmodelled("a fund that pays more than it has")
    return {"insurance_delta_usd": plain(delta)} | ({} if fund is None else {"fund_after_usd": plain(after)})


def run_allowed(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """insurance_delta_allowed: whether the fund pays a slice of that delta whole."""
    given = _only(vector, ("fund_balance_usd", "insurance_delta_usd"), ("allowed",))
    fund, delta = number(given["fund_balance_usd"]), number(given["insurance_delta_usd"])
    if fund < 0:
        raise Unmodelled("a fund below 0")
    price = int(abs(delta)) + 1
    short = _slice(exchange_of, "1", str(price), price - delta, "1", fund)[2]
    return {"allowed": "no" if short else "yes"}
