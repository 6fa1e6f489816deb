"""One position at a mark: kinds unrealised_pnl, initial_margin, maintenance_margin, margin_tier_deduction.

A client buys from, or sells to, a rich stranger at the entry price; then the mark moves. What a position is worth is read from
balances and lots. Maintenance is asked of the exchange itself: the client's equity is collateral of weight 1, whose price is
searched for the lowest at which nobody is liquidated; and initial margin, at which an order is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from fuzz.strategies import pack
from riskbed.vectors.scripts import START_NS
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from riskbed.venue.pieces import recomputed
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Side, Tif

CLIENT, STRANGER, CROWD = USERS_FROM, USERS_FROM + 1, USERS_FROM + 2  # CROWD and the next: who holds the open interest
RICH = units.MONEY_IN_MAX
MONEY, SHIELD = 0, 1  # assets: of settlement, and the collateral behind the client
EXPONENT = units.COLLATERAL_EXPONENT_MIN
RATE_DECIMALS = 6  # of a rate in ppm: a requirement is whole money then
FINE_DECIMALS = 12  # of money that tells a rate which no decimal number is
ORDERS_MAX = 1_000  # in which an open interest is traded
WHOLE = ("flox",)  # rules whose tiers take the whole notional
MARGINAL = ("binance", "bybit", "hyperliquid")  # and those whose tiers are marginal: continuous by an amount


def _ppm(rate: Fraction) -> int:
    if (rate * units.PPM).denominator != 1:
        raise Unmodelled(f"a rate of {plain(rate)}: rates are whole ppm")
    return int(rate * units.PPM)


def _ppb(rate: Fraction) -> int:
    if (rate * units.PPB).denominator != 1:
        raise Unmodelled(f"a rate of {plain(rate)} a coin: it is whole ppb")
    return int(rate * units.PPB)


class Position:
    """One client with one position of a contract. rows: a market's brackets without amounts, their floors apart; margin: its row.

    floors: where a bracket starts, in whole units. money: decimals; without it as many as make a requirement in ppm whole.
    """

    def __init__(
        self,
        payoff: str,
        qty: str,
        prices: list[str],
        rows: list[dict[str, Any]],
        margin: dict[str, Any] | None = None,
        floors: list[Fraction] | None = None,
        money: int | None = None,
    ) -> None:
        self.shields = 100 if payoff == "inverse" else 1  # money units of the client's collateral, a unit of its price
        self.qty, self.price_decimals, self.lot_decimals = number(qty), decimals(prices), decimals([qty])
        if payoff not in ("linear", "inverse"):
            raise Unmodelled(f"payoff {payoff!r}")
        places = self.price_decimals + self.lot_decimals
        money = places + RATE_DECIMALS if money is None else max(places, money)
        if places > units.DECIMALS_MAX:
            raise Unmodelled(f"money of {places} decimals")
        self.money_decimals = units.DECIMALS_MAX if payoff == "inverse" else min(units.DECIMALS_MAX, money)
        try:
            self.venue = self._venue(payoff, rows, margin or {}, floors or [Fraction(0)])
        except ValueError as error:
            raise Unmodelled(f"no rule book has these numbers: {error}") from None

    def _venue(self, payoff: str, rows: list[dict], margin: dict, floors: list[Fraction]) -> rules.Venue:
        rows = [dict(row) for row in rows]
        for row, above in zip(rows, [*floors[1:], Fraction(10 ** (23 - self.money_decimals - 1))], strict=True):
            row["notional_max"] = plain(above)
        if margin.get("tiers") != "whole" and margin.get("maintenance") != "half_initial":
            for row, amount in zip(rows, recomputed([rules.Bracket.model_validate(row) for row in rows]), strict=True):
                row["amount"] = plain(amount)
        index = lambda name, places: {  # noqa: E731
            "name": name,
            "price_decimals": places,
            "publish": {"kind": "update"},
            "recipe": {"kind": "source", "name": name},
        }
        return rules.Venue.model_validate(
            {
                "schema_version": 1,
                "name": "vectors",
                "limits": {"accounts_max": USERS_FROM + 4, "orders_max": 8},
                "numeraire": "QUOTE",
                "assets": [{"name": name, "decimals": self.money_decimals} for name in ("QUOTE", "SHIELD")],
                "sources": [{"name": "X", "price_decimals": self.price_decimals}, {"name": "SHIELD", "price_decimals": EXPONENT}],
                "indices": [index("X", self.price_decimals), index("SHIELD", EXPONENT)],
                "markets": [
                    {
                        "name": "X",
                        "payoff": payoff,
                        "settles_in": "QUOTE",
                        "index": "X",
                        "mark": {"kind": "index"},
                        "price_decimals": self.price_decimals,
                        "lot": {"decimals": self.lot_decimals},
                        "leverage_default": rows[0]["leverage_max"],
                        "brackets": rows,
                        "margin": margin,
                    }
                ],
                "collateral": [{"asset": "SHIELD", "index": "SHIELD", "weight_ppm": units.PPM}],
                "liquidation": {"trigger": "maintenance_gt_equity", "stages": [{"kind": "takeover"}, {"kind": "write_off"}]},
            }
        )

    def _int(self, price: str) -> int:
        return int(number(price) * 10**self.price_decimals)

    def opened(self, exchange_of: Callable, entry: str, crowd: int = 0) -> Any:
        """Return an exchange in which the client holds the position, entered at a price; `crowd`: lots that two others hold."""
        exchange = exchange_of(self.venue, START_NS)
        send = lambda **fields: outcomes_of(exchange.apply(pack(time_ns=START_NS, **fields)))  # noqa: E731
        send(kind=EventKind.SOURCE, source=0, price=self._int(entry))
        send(kind=EventKind.SOURCE, source=1, price=units.PRICE_MAX)
        for account in (CLIENT, STRANGER, CROWD, CROWD + 1):
            send(kind=EventKind.ACCOUNT, account=account, ref_id=account)
            send(kind=EventKind.DEPOSIT, account=account, asset=SHIELD, amount_lo=self.shields * 10**EXPONENT)
            if account != CLIENT:
                send(kind=EventKind.DEPOSIT, account=account, asset=MONEY, amount_lo=RICH & (2**64 - 1), amount_hi=RICH >> 64)
        if crowd > ORDERS_MAX * units.QTY_MAX:
            raise Unmodelled("an open interest of too many lots")
        lots, side = abs(int(self.qty * 10**self.lot_decimals)), Side.BUY if self.qty > 0 else Side.SELL
        self._traded(send, entry, crowd, Side.BUY, CROWD, CROWD + 1, 10**6)
        self._traded(send, entry, lots, side, CLIENT, STRANGER, 0)
        return exchange

    def _traded(self, send: Callable, entry: str, lots: int, side: int, taker: int, maker: int, order_id: int) -> None:
        while lots:
            part = min(lots, units.QTY_MAX)
            for account, way in ((maker, Side.SELL if side == Side.BUY else Side.BUY), (taker, side)):
                order_id += 1
                fields = {"account": account, "ref_id": order_id, "side": way, "price": self._int(entry), "qty": part}
                said = send(kind=EventKind.ORDER, tif=Tif.GTC, **fields)
                if said[0].kind == OutcomeKind.REJECT:
                    raise Unmodelled("the exchange has no room for a position of this size")
            lots -= part

    def unrealised(self, exchange_of: Callable, entry: str, mark: str) -> tuple[Fraction, Fraction]:
        """Return (profit, notional at the mark) in whole units: what balance and lots come to at the mark in force."""
        exchange = self.opened(exchange_of, entry)
        exchange.apply(pack(time_ns=START_NS, kind=EventKind.SOURCE, source=0, price=self._int(mark)))
        state = exchange.state()
        cash = sum(row[2] for row in state["balances"] if row[:2] == (CLIENT, MONEY))
        held = sum(row[3] for row in state["positions"] if row[0] == CLIENT)
        value = self.venue.value(self.venue.markets[0], state["marks"][0][5]) * held
        unit = 10**self.money_decimals
        return Fraction(cash + value, unit), Fraction(abs(value), unit)

    def maintenance(self, exchange_of: Callable, price: str) -> Fraction:
        """Return the least equity, in whole units, at which the client is not liquidated."""
        blob = (probe := self.opened(exchange_of, price)).snapshot()
        low, high = 0, units.PRICE_MAX  # liquidated, and not
        while high - low > 1:
            middle = (low + high) // 2
            said = outcomes_of(probe.apply(pack(time_ns=START_NS, kind=EventKind.SOURCE, source=1, price=middle)))
            if any(o.kind == OutcomeKind.LIQUIDATION for o in said):
                low, probe = middle, type(probe).restore(self.venue, blob)
            else:
                high = middle
        return Fraction(high * self.shields, 10**self.money_decimals)

    def initial(self, exchange_of: Callable, price: str, orders: list[tuple[int, str]], crowd: int = 0) -> tuple[Fraction, Any]:
        """Return (the least equity, in whole units, at which the last of some orders is accepted, the exchange then).

        orders: (side, qty in whole lots) that rest, to buy at the mark, to sell a unit above: neither would lose.
        """
        blob = (probe := self.opened(exchange_of, price, crowd)).snapshot()
        at, lots = {Side.BUY: self._int(price), Side.SELL: self._int(price) + 1}, 10**self.lot_decimals
        rows = [
            {"account": CLIENT, "ref_id": 100 + i, "side": side, "price": at[side], "qty": int(number(qty) * lots)}
            for i, (side, qty) in enumerate(orders)
        ]
        low, high, accepted = 0, units.PRICE_MAX, None  # refused, and not
        while high - low > 1:
            middle = (low + high) // 2
            probe = type(probe).restore(self.venue, blob)
            said = []
            for i, row in enumerate(rows):
                if i == len(rows) - 1:
                    probe.apply(pack(time_ns=START_NS, kind=EventKind.SOURCE, source=1, price=middle))
                said = outcomes_of(probe.apply(pack(time_ns=START_NS, kind=EventKind.ORDER, tif=Tif.POST_ONLY, **row)))
            if said[0].kind == OutcomeKind.REJECT:
                low = middle
            else:
                high, accepted = middle, probe
        if accepted is None:
            raise Unmodelled("the exchange has no room for orders of this size")
        return Fraction(high * self.shields, 10**self.money_decimals), accepted


class Table(NamedTuple):
    """Brackets without amounts, the margin row, the floors, and the decimals that make a requirement of 1 whole money."""

    rows: list[dict[str, Any]]
    margin: dict[str, Any]
    floors: list[Fraction]
    places: int


def _flat(rate: Fraction, **margin: Any) -> Table:
    """Return one bracket of a maintenance rate."""
    return Table([_bracket(rate)], margin, [Fraction(0)], RATE_DECIMALS)


def _bracket(rate: Fraction, more: Fraction = Fraction(0)) -> dict[str, Any]:
    """Return a bracket of a rate, to which something adds more, at the highest leverage there is."""
    most = min(units.LEVERAGE_MAX, int(1 / (rate + more))) if rate + more else units.LEVERAGE_MAX
    return {"leverage_max": max(1, most), "maintenance_ppm": _ppm(rate)}


def _tiers(vector: Vector) -> Table:
    """Return a table of tiers: rates, or half of the initial ones at the highest leverage."""
    tiers, margin = vector.given["tiers"], {"tiers": "whole"} if vector.rules in WHOLE else {}
    if not margin and vector.rules not in MARGINAL:
        raise Unmodelled(f"tiers of {vector.rules}: whole or marginal")
    floors = [number(row["floor_notional"]) for row in tiers]
    if not any("max_leverage" in row for row in tiers):
        return Table([_bracket(number(row["maintenance_rate"])) for row in tiers], margin, floors, RATE_DECIMALS)
    rows = []
    for row in tiers:
        leverage = number(row["max_leverage"])
        if leverage.denominator != 1 or "maintenance_rate" in row:
            raise Unmodelled("a highest leverage that is no whole number, or beside a rate")
        rows.append({"leverage_max": int(leverage)})
    return Table(rows, margin | {"maintenance": "half_initial"}, floors, RATE_DECIMALS)


def _slope(exchange_of: Callable, qty: Fraction, table: Table) -> tuple[Fraction, Fraction]:
    """Return (maintenance of so many lots at a price of 1, what one lot more adds in their tier): the rate in force.

    It is measured to the farther end of the tier, and money is as fine as the exchange has room for: a rate of 1/6 ends nowhere.
    """
    at = max(i for i, floor in enumerate(table.floors) if floor < qty)
    low = Fraction(int(table.floors[at]) + 1)
    high = table.floors[at + 1] if at + 1 < len(table.floors) else 2 * qty - table.floors[at]
    other = high if high - qty >= qty - low else low
    room = max(RATE_DECIMALS, min(FINE_DECIMALS, 14 - len(str(int(high)))))
    margins = [
        Position("linear", plain(lots), ["1"], table.rows, table.margin, table.floors, room).maintenance(exchange_of, "1")
        for lots in (qty, other)
    ]
    return margins[0], (margins[1] - margins[0]) / (other - qty)


def run_pnl(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """unrealised_pnl: profit and notional at the mark."""
    given = vector.given
    entry, mark = given["entry_price"], given["mark_price"]
    position = Position(given["payoff"], given["position_qty"], [entry, mark], _flat(Fraction(0)).rows)
    profit, notional = position.unrealised(exchange_of, entry, mark)
    return {"unrealised_pnl": plain(profit), "notional": plain(notional)}


def _sized(given: dict[str, Any]) -> int:
    """Return the decimals of a rate that grows with the position: of what is written, and of the lots."""
    return max(decimals([given["base_rate"]]), decimals([given["rate_per_coin"]]) + decimals([given["position_qty"]]))


def _maintenance_table(vector: Vector) -> Table:
    given = vector.given
    if "tiers" in given:
        return _tiers(vector)
    if "base_rate" in given:
        ppb = _ppb(number(given["rate_per_coin"]))
        table = _flat(number(given["base_rate"]), size={"initial_ppb_per_coin": ppb, "maintenance_ppb_per_coin": ppb})
        return table._replace(places=_sized(given))
    if "slippage_rate" in given:
        risk, slippage = number(given["risk_factor"]), number(given["slippage_rate"])
        return Table([_bracket(risk, slippage)], {"slippage_ppm": _ppm(slippage)}, [Fraction(0)], RATE_DECIMALS)
    return _flat(number(given["maintenance_rate"]))


def run_maintenance(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """maintenance_margin: a rate of the notional, by tiers or by one, with slippage or growing with the position."""
    given = vector.given
    qty, price = (given["notional"], "1") if "notional" in given else (given["position_qty"], given["price"])
    table = _maintenance_table(vector)
    places = decimals([price]) + decimals([qty]) + table.places
    position = Position(given.get("payoff", "linear"), qty, [price], table.rows, table.margin, table.floors, places)
    _, notional = position.unrealised(exchange_of, price, price)
    margin = position.maintenance(exchange_of, price)
    found = {"notional": plain(notional), "maintenance_margin": plain(margin)}
    if "tiers" in given:
        margin, rate = _slope(exchange_of, notional, table)
        return found | {"maintenance_rate": plain(rate), "maintenance_amount": plain(notional * rate - margin)}
    return found | {"maintenance_rate": plain(margin / notional), "maintenance_margin_coin": plain(margin / number(price))}


def _initial_table(given: dict[str, Any]) -> Table:
    """Return one bracket whose initial rate is the vector's, without a maintenance that counts."""
    leverage = number(given.get("leverage", "1"))
    if leverage.denominator != 1 or not 1 <= leverage <= units.LEVERAGE_MAX:
        raise Unmodelled(f"a leverage of {plain(leverage)}: it is a whole number, at most {units.LEVERAGE_MAX}")
    base = number(given.get("base_rate", given.get("initial_rate", "1")))
    row = {"leverage_max": int(leverage), "initial_ppm": _ppm(base), "maintenance_ppm": 0}
    margin: dict[str, Any] = {"leverage": "divides"}
    if "rate_per_coin" in given:
        margin["size"] = {"initial_ppb_per_coin": _ppb(number(given["rate_per_coin"]))}
        return Table([row], margin, [Fraction(0)], _sized(given))
    if "open_interest_usd" in given:
        margin["open_interest"] = {"lower": given["lower_cap_usd"], "upper": given["upper_cap_usd"]}
    return Table([row], margin, [Fraction(0)], RATE_DECIMALS)


def run_initial(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """initial_margin: a rate over a leverage; growing with the position or with open interest; on the worse side of orders."""
    given = vector.given
    table = _initial_table(given)
    if "open_interest_usd" in given:
        return _crowded(given, table, exchange_of)
    qty, price = (given["notional"], "1") if "notional" in given else (given["position_qty"], given["price"])
    places = decimals([price]) + decimals([qty]) + table.places
    if "open_buy_qty" in given:
        position = Position(given["payoff"], qty, [price], table.rows, table.margin, money=places)
        orders = [(Side.BUY, given["open_buy_qty"]), (Side.SELL, given["open_sell_qty"])]
        smaller_first = sorted(orders, key=lambda row: number(row[1]) + (number(qty) if row[0] == Side.BUY else -number(qty)))
        margin, exchange = position.initial(exchange_of, price, smaller_first)
        state, unit = exchange.state(), 10**position.lot_decimals
        held = sum(row[3] for row in state["positions"] if row[0] == CLIENT)
        buys, sells = (sum(row[at] for row in state["reserved"] if row[0] == CLIENT) for at in (2, 4))
        reach = {"buy_open_qty": max(0, buys + held), "sell_open_qty": max(0, sells - held)}
        return {"initial_margin": plain(margin)} | {key: plain(Fraction(lots, unit)) for key, lots in reach.items()}
    size = plain(abs(number(qty)))
    empty = Position(given["payoff"], size, [price], table.rows, table.margin, money=places)
    empty.qty = Fraction(0)
    margin, _ = empty.initial(exchange_of, price, [(Side.BUY if number(qty) > 0 else Side.SELL, size)])
    coins = margin / number(price)
    found = {"initial_margin": plain(margin), "initial_margin_coin": plain(coins), "initial_rate": plain(coins / number(size))}
    return found if given["payoff"] == "linear" else {"initial_margin": plain(margin)}


def _crowded(given: dict[str, Any], table: Table, exchange_of: Callable) -> dict[str, Any]:
    """A notional beside an open interest: a lot is worth what measures both, the mark is that price."""
    notional = number(given.get("notional", "1"))
    unit = number(given["quote_unit_usd"]) if "quote_unit_usd" in given else Fraction(1, 10**FINE_DECIMALS)
    places = decimals([plain(unit)])
    if unit != Fraction(1, 10**places):
        raise Unmodelled(f"a unit of money of {plain(unit)}, which is no power of ten")
    parts, crowd = notional / unit, number(given["open_interest_usd"]) / unit
    if parts.denominator != 1 or crowd.denominator != 1:
        raise Unmodelled("a notional or an open interest of no whole number of units")
    lot = math.gcd(int(parts), int(crowd))
    price = plain(lot * unit)
    empty = Position(given["payoff"], "1", [price], table.rows, table.margin, money=places)
    empty.qty = Fraction(0)
    margin, _ = empty.initial(exchange_of, price, [(Side.BUY, plain(parts / lot))], int(crowd) // lot)
    return {"initial_margin": plain(margin), "initial_rate": plain(margin / notional)}


def run_deduction(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """margin_tier_deduction: a position in the middle of each tier, what one lot more adds to its maintenance, and the rest."""
    table = _tiers(vector)
    floors, amounts, rates = table.floors, [], []
    for at, floor in enumerate(floors):
        notional = (floor + floors[at + 1]) / 2 if at + 1 < len(floors) else floor + (floor - floors[at - 1]) / 2
        notional = Fraction(int(notional)) or Fraction(1)
        margin, rate = _slope(exchange_of, notional, table)
        amounts.append(plain(notional * rate - margin))
        rates.append(plain(rate))
    return {"maintenance_amounts": amounts, "maintenance_rates": rates}
