"""One position at a mark: kinds unrealised_pnl, initial_margin, maintenance_margin, margin_tier_deduction.

A client buys from, or sells to, a rich stranger at the entry price; then the mark moves. What a position is worth is read from
balances and lots. Maintenance is asked of the exchange itself: the client's equity is collateral of weight 1, whose price is
searched for the lowest at which nobody is liquidated; and initial margin, at which an order is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from fuzz.strategies import pack
from riskbed.vectors.scripts import START_NS
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from riskbed.venue.pieces import recomputed
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Side, Tif

CLIENT, STRANGER = USERS_FROM, USERS_FROM + 1
RICH = units.MONEY_IN_MAX
MONEY, SHIELD = 0, 1  # assets: of settlement, and the collateral behind the client
EXPONENT = units.COLLATERAL_EXPONENT_MIN
RATE_DECIMALS = 6  # of a rate in ppm: a requirement is whole money then
MARGINAL = ("binance", "bybit", "hyperliquid")  # rules whose tiers are marginal: continuous by an amount


class Position:
    """One client with one position of a contract. brackets: (floor in whole units, rate), the rates exact in ppm.

    leverage: of every bracket; 0: as much as the rates bear.
    """

    def __init__(
        self, payoff: str, qty: str, prices: list[str], brackets: list[tuple[Fraction, Fraction]], leverage: int = 0
    ) -> None:
        self.shields = 100 if payoff == "inverse" else 1  # money units of the client's collateral, a unit of its price
        self.qty, self.price_decimals, self.lot_decimals = number(qty), decimals(prices), decimals([qty])
        self.leverage = leverage
        if payoff not in ("linear", "inverse"):
            raise Unmodelled(f"payoff {payoff!r}")
        places = self.price_decimals + self.lot_decimals
        if places > units.DECIMALS_MAX:
            raise Unmodelled(f"money of {places} decimals")
        self.money_decimals = units.DECIMALS_MAX if payoff == "inverse" else min(units.DECIMALS_MAX, places + RATE_DECIMALS)
        try:
            self.venue = self._venue(payoff, brackets)
        except ValueError as error:
            raise Unmodelled(f"no rule book has these numbers: {error}") from None

    def _venue(self, payoff: str, brackets: list[tuple[Fraction, Fraction]]) -> rules.Venue:
        rows: list[dict] = []
        for (_, rate), above in zip(brackets, [*brackets[1:], None]):
            ppm = rate * units.PPM
            if ppm.denominator != 1:
                raise Unmodelled(f"a rate of {plain(rate)}: rates are whole ppm")
            most = 10 ** (23 - self.money_decimals - 1) if above is None else above[0]
            cap = min(units.LEVERAGE_MAX, int(1 / rate)) if rate else units.LEVERAGE_MAX
            leverage = self.leverage or max(1, cap)
            rows.append({"notional_max": plain(Fraction(most)), "leverage_max": leverage, "maintenance_ppm": int(ppm)})
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
                "limits": {"accounts_max": USERS_FROM + 2, "orders_max": 8},
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
                    }
                ],
                "collateral": [{"asset": "SHIELD", "index": "SHIELD", "weight_ppm": units.PPM}],
                "liquidation": {"trigger": "maintenance_gt_equity", "stages": [{"kind": "takeover"}, {"kind": "write_off"}]},
            }
        )

    def _int(self, price: str) -> int:
        return int(number(price) * 10**self.price_decimals)

    def opened(self, exchange_of: Callable, entry: str) -> Any:
        """Return an exchange in which the client holds the position, entered at a price."""
        exchange = exchange_of(self.venue, START_NS)
        send = lambda **fields: outcomes_of(exchange.apply(pack(time_ns=START_NS, **fields)))  # noqa: E731
        send(kind=EventKind.SOURCE, source=0, price=self._int(entry))
        send(kind=EventKind.SOURCE, source=1, price=units.PRICE_MAX)
        for account in (CLIENT, STRANGER):
            send(kind=EventKind.ACCOUNT, account=account, ref_id=account)
            send(kind=EventKind.DEPOSIT, account=account, asset=SHIELD, amount_lo=self.shields * 10**EXPONENT)
        send(kind=EventKind.DEPOSIT, account=STRANGER, asset=MONEY, amount_lo=RICH & (2**64 - 1), amount_hi=RICH >> 64)
        lots, side = abs(int(self.qty * 10**self.lot_decimals)), Side.BUY if self.qty > 0 else Side.SELL
        order_id = 0
        while lots:
            part = min(lots, units.QTY_MAX)
            for account, way in ((STRANGER, Side.SELL if side == Side.BUY else Side.BUY), (CLIENT, side)):
                order_id += 1
                fields = {"account": account, "ref_id": order_id, "side": way, "price": self._int(entry), "qty": part}
                said = send(kind=EventKind.ORDER, tif=Tif.GTC, **fields)
                if said[0].kind == OutcomeKind.REJECT:
                    raise Unmodelled("the exchange has no room for a position of this size")
            lots -= part
        return exchange

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

    def initial(self, exchange_of: Callable, price: str, orders: list[tuple[int, str]]) -> tuple[Fraction, Any]:
        """Return (the least equity, in whole units, at which the last of some orders is accepted, the exchange then).

        orders: (side, qty in whole lots) that rest, to buy at the mark, to sell a unit above: neither would lose.
        """
        blob = (probe := self.opened(exchange_of, price)).snapshot()
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


def _brackets(given: dict[str, Any]) -> list[tuple[Fraction, Fraction]]:
    if "tiers" not in given:
        return [(Fraction(0), number(given["maintenance_rate"]))]
    rate = lambda row: 1 / (2 * number(row["max_leverage"])) if "max_leverage" in row else number(row["maintenance_rate"])  # noqa: E731
    return [(number(row["floor_notional"]), rate(row)) for row in given["tiers"]]


def _slope(exchange_of: Callable, qty: Fraction, brackets: list[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """Return (maintenance of so many lots at a price of 1, what one more adds): the rate in force."""
    margins = [Position("linear", plain(lots), ["1"], brackets).maintenance(exchange_of, "1") for lots in (qty, qty + 1)]
    return margins[0], margins[1] - margins[0]


def run_pnl(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """unrealised_pnl: profit and notional at the mark."""
    given = vector.given
    entry, mark = given["entry_price"], given["mark_price"]
    position = Position(given["payoff"], given["position_qty"], [entry, mark], [(Fraction(0), Fraction(0))])
    profit, notional = position.unrealised(exchange_of, entry, mark)
    return {"unrealised_pnl": plain(profit), "notional": plain(notional)}


def run_maintenance(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """maintenance_margin of rules whose requirement is a rate of the notional, by tiers or by one."""
    given = vector.given
    if "base_rate" in given or "slippage_rate" in given:
        raise Unmodelled(f"a maintenance rate that grows with the position, as {vector.rules} has it")
    if "tiers" in given and vector.rules not in MARGINAL:
        raise Unmodelled(f"tiers at the whole notional, as {vector.rules} has them")
    qty, price = (given["notional"], "1") if "notional" in given else (given["position_qty"], given["price"])
    brackets = _brackets(given)
    position = Position(given.get("payoff", "linear"), qty, [price], brackets)
    _, notional = position.unrealised(exchange_of, price, price)
    found = {"notional": plain(notional), "maintenance_margin": plain(position.maintenance(exchange_of, price))}
    if "tiers" in given:
        margin, rate = _slope(exchange_of, notional, brackets)
        found |= {"maintenance_rate": plain(rate), "maintenance_amount": plain(notional * rate - margin)}
    return found


def run_initial(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """initial_margin at a rate that is a whole leverage; of a position with open orders, on its worse side."""
    given = vector.given
    if "base_rate" in given:
        raise Unmodelled(f"an initial rate that grows, as {vector.rules} has it")
    rate = number(given.get("initial_rate", "1")) / number(given.get("leverage", "1"))
    if not rate or (1 / rate).denominator != 1 or 1 / rate > units.LEVERAGE_MAX:
        raise Unmodelled(f"an initial rate of {plain(rate)}, which no leverage gives")
    qty, price = (given["notional"], "1") if "notional" in given else (given["position_qty"], given["price"])
    brackets = [(Fraction(0), Fraction(1, units.PPM))]
    if "open_buy_qty" in given:
        position = Position(given["payoff"], qty, [price], brackets, int(1 / rate))
        orders = [(Side.BUY, given["open_buy_qty"]), (Side.SELL, given["open_sell_qty"])]
        smaller_first = sorted(orders, key=lambda row: number(row[1]) + (number(qty) if row[0] == Side.BUY else -number(qty)))
        margin, exchange = position.initial(exchange_of, price, smaller_first)
        state, unit = exchange.state(), 10**position.lot_decimals
        held = sum(row[3] for row in state["positions"] if row[0] == CLIENT)
        buys, sells = (sum(row[at] for row in state["reserved"] if row[0] == CLIENT) for at in (2, 4))
        reach = {"buy_open_qty": max(0, buys + held), "sell_open_qty": max(0, sells - held)}
        return {"initial_margin": plain(margin)} | {key: plain(Fraction(lots, unit)) for key, lots in reach.items()}
    size = plain(abs(number(qty)))
    empty = Position(given["payoff"], size, [price], brackets, int(1 / rate))
    empty.qty = Fraction(0)
    margin, _ = empty.initial(exchange_of, price, [(Side.BUY if number(qty) > 0 else Side.SELL, size)])
    return {"initial_margin": plain(margin)}


def run_deduction(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """margin_tier_deduction: a position in the middle of each tier, what one lot more adds to its maintenance, and the rest."""
    brackets = _brackets(vector.given)
    amounts, rates = [], []
    for at, (floor, _) in enumerate(brackets):
        notional = (floor + brackets[at + 1][0]) / 2 if at + 1 < len(brackets) else floor + (floor - brackets[at - 1][0]) / 2
        notional = Fraction(int(notional)) or Fraction(1)
        margin, rate = _slope(exchange_of, notional, brackets)
        amounts.append(plain(notional * rate - margin))
        rates.append(plain(rate))
    return {"maintenance_amounts": amounts, "maintenance_rates": rates}
