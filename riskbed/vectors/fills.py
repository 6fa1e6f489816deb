"""Fills and marks in turn: kinds position_script and realised_pnl.

A client trades with a rich stranger in a market of its own: the stranger's order rests at the price, the client takes it. What
its position cost, what it has realised, which fees and funding it paid stand in its balance and its entry value; the margin of a
position is what the exchange does not let it withdraw.

Money is as fine as the largest notional leaves room for: a cost that does not divide is rounded there.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

from fuzz.strategies import pack
from riskbed.vectors.scripts import SIDES, START_NS
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, EventKind, Flow, OutcomeKind, Reason, Side, Tif

CLIENT, STRANGER = USERS_FROM, USERS_FROM + 1
DEPOSIT = units.MONEY_IN_MAX // 10  # what it becomes can be withdrawn at once
ROOM = 10  # a position may be worth a part of the deposit
FUNDED_NS = units.FUNDING_INTERVAL_MIN_NS
INTERVALS_MAX = 16
EVENT = {"op", "side", "qty", "price"}


class Trader:
    """The client, and the market made for it.

    prices, lots: decimals; lot: of its units; top, worth: the largest price and notional, whole; fee: rate of who takes.
    """

    def __init__(
        self,
        exchange_of: Callable,
        payoff: str,
        prices: int,
        lots: int,
        top: Fraction,
        worth: Fraction,
        *,
        lot: int = 1,
        fee: Fraction = Fraction(0),
        funding_ppb: int = 0,
    ) -> None:
        self.payoff, self.prices, self.lots, self.top = payoff, prices, lots, top
        if payoff not in ("linear", "inverse"):
            raise Unmodelled(f"payoff {payoff!r}")
        fee_ppm = fee * units.PPM
        if fee_ppm.denominator != 1 or not 0 <= fee_ppm <= units.PPM:
            raise Unmodelled(f"a fee rate of {plain(Fraction(fee))}: fees are whole ppm, from 0 to 100 %")
        self.venue = self._venue(worth, lot, int(fee_ppm), funding_ppb)
        self.money = self.venue.assets[0].decimals
        self.exchange, self.now, self.orders = exchange_of(self.venue, START_NS), START_NS, 0
        for account in (CLIENT, STRANGER):
            self._apply(kind=EventKind.ACCOUNT, account=account, ref_id=account)
            halves = {"amount_lo": DEPOSIT & (2**64 - 1), "amount_hi": DEPOSIT >> 64}
            self._apply(kind=EventKind.DEPOSIT, account=account, **halves)

    def _venue(self, worth: Fraction, lot: int, fee_ppm: int, funding_ppb: int) -> rules.Venue:
        """Return the rule book with the finest money that bears the notional."""
        fits = [d for d in range(units.DECIMALS_MAX + 1) if worth * 10**d * ROOM <= DEPOSIT]
        for money in reversed(fits):
            try:
                venue = rules.Venue.model_validate(self._rows(money, lot, fee_ppm, funding_ppb))
            except ValueError:
                continue
            if self.top * 10**self.prices <= venue.price_max(venue.markets[0]):
                return venue
        raise Unmodelled("prices, quantities and money that no rule book bears together")

    def _rows(self, money: int, lot: int, fee_ppm: int, funding_ppb: int) -> dict[str, Any]:
        leverage = {"leverage_max": units.LEVERAGE_MAX, "maintenance_ppm": 0}
        market: dict[str, Any] = {
            "name": "X",
            "payoff": self.payoff,
            "settles_in": "MONEY",
            "index": "X",
            "mark": {"kind": "index"},
            "price_decimals": self.prices,
            "lot": {"size": lot, "decimals": self.lots},
            "fees": {"taker_ppm": fee_ppm},
            "leverage_default": 1,
            "brackets": [{"notional_max": plain(Fraction(DEPOSIT, 10**money)), **leverage}],
        }
        if funding_ppb:
            row = {"every_ns": FUNDED_NS, "interest_ppb": funding_ppb, "damp_ppb": units.FUNDING_RATE_MAX_PPB}
            market["funding"] = row
        recipe = {"publish": {"kind": "update"}, "recipe": {"kind": "source", "name": "X"}}
        return {
            "schema_version": 1,
            "name": "vectors",
            "limits": {"accounts_max": USERS_FROM + 2, "orders_max": 8},
            "numeraire": "MONEY",
            "assets": [{"name": "MONEY", "decimals": money}],
            "sources": [{"name": "X", "price_decimals": self.prices}],
            "indices": [{"name": "X", "price_decimals": self.prices, **recipe}],
            "markets": [market],
            "liquidation": {"trigger": "maintenance_gt_equity", "stages": [{"kind": "write_off"}]},
        }

    def _apply(self, **fields: int) -> list:
        said = outcomes_of(self.exchange.apply(pack(time_ns=self.now, **fields)))
        for o in said:
            if o.kind == OutcomeKind.REJECT:
                raise Unmodelled(f"the exchange refuses it: {Reason(o.reason).name}")
        return said

    def price_units(self, price: Fraction) -> int:
        return _whole(price * 10**self.prices, "a price")

    def nearest(self, price: Fraction) -> Fraction:
        """Return the nearest price that the market has."""
        return Fraction(max(1, round(price * 10**self.prices)), 10**self.prices)

    def mark(self, price: Fraction) -> None:
        self._apply(kind=EventKind.SOURCE, source=0, price=self.price_units(price))

    def fill(self, side: int, lots: int, price: Fraction, takes: bool = True) -> None:
        """Let the client trade at a price, which is the mark then. takes: it pays the fee; else its order rests first."""
        self.mark(price)
        other = Side.SELL if side == Side.BUY else Side.BUY
        while lots:
            part = min(lots, units.QTY_MAX)
            for account, way in ((STRANGER, other), (CLIENT, side)) if takes else ((CLIENT, side), (STRANGER, other)):
                self.orders += 1
                order = {"account": account, "ref_id": self.orders, "side": way, "price": self.price_units(price), "qty": part}
                self._apply(kind=EventKind.ORDER, tif=Tif.GTC, **order)
            lots -= part

    def pay_funding(self, paid: Fraction) -> None:
        """Hold the position through intervals, each at the mark whose notional pays what is left, as near as prices stand."""
        left = abs(_whole(paid * 10**self.money, "funding"))
        market, row = self.venue.markets[0], self.venue.markets[0].funding
        lots = abs(self.held)
        for _ in range(INTERVALS_MAX):
            worth = left * units.PPB // (abs(row.interest_ppb) * lots)  # money per lot
            inverse = self.payoff == "inverse"
            price = self.venue.price_for(market, -worth if inverse else worth, inverse)
            if not left or not 1 <= price <= self.venue.price_max(market):
                return
            self._apply(kind=EventKind.SOURCE, source=0, price=price)
            self.now += FUNDED_NS
            said = self._apply(kind=EventKind.CLOCK)
            flows = (Flow.FUNDING_PAID, Flow.FUNDING_RECEIVED)
            mine = [o for o in said if o.flow in flows and CLIENT in (o.account, o.other)]
            left -= sum(o.money for o in mine)

    # -- what the exchange says

    def _position(self) -> tuple[int, int]:
        """Return (lots, entry value in units of money)."""
        rows = [row[3:5] for row in self.exchange.state()["positions"] if row[0] == CLIENT]
        return tuple(rows[0]) if rows else (0, 0)

    @property
    def held(self) -> int:
        return self._position()[0]

    def _balance(self) -> int:
        return sum(row[2] for row in self.exchange.state()["balances"] if row[0] == CLIENT)

    def _value(self) -> int:
        """Return the value of the lots at the mark in force."""
        return self.held * self.venue.value(self.venue.markets[0], self.exchange.state()["marks"][0][5])

    def whole(self, money: int) -> Fraction:
        return Fraction(money, 10**self.money)

    def entry_price(self) -> Fraction:
        """Return what a lot cost, linear; 0 of no position."""
        lots, entry = self._position()
        return self.whole(entry) * 10**self.lots / lots if lots else Fraction(0)

    def realised(self) -> Fraction:
        """Return what the wallet gained: the balance without what the open lots cost."""
        return self.whole(self._balance() + self._position()[1] - DEPOSIT)

    def unrealised(self) -> Fraction:
        return self.whole(self._value() - self._position()[1])

    def initial_margin(self, leverage: int) -> Fraction:
        """Return what the client cannot withdraw of its equity at a leverage, at the mark in force."""
        self._apply(kind=EventKind.LEVERAGE, account=CLIENT, qty=leverage)
        return self.whole(self._balance() + self._value() - self.exchange.withdrawable(CLIENT, 0))


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise Unmodelled(f"{what} with more decimals than its unit")
    return int(value)


def _fine(top: Fraction, lots: int, written: list[str]) -> int:
    """Return the decimals of prices that have room for others than those written."""
    room = [p for p in range(units.DECIMALS_MAX - lots - 3) if top * 10 ** (p + 3) <= units.PRICE_MAX]
    return max([decimals(written), *room[:10]])


def _shown(figure: Fraction) -> str:
    """Return a figure as a decimal string, one that does not end rounded behind its 15th digit."""
    return plain(round(figure, units.DECIMALS_MAX))


def _keys(given: dict[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise Unmodelled(f"{what} {', '.join(unknown)}")


class Script:
    """A position_script on one twin.

    margin: of an isolated position. It is the initial margin at the mark, and a leverage, at which the lots need just that; the
    same mark for fewer lots, as reducing sets free its part; lots that are added bring none.
    """

    def __init__(self, vector: Vector, exchange_of: Callable) -> None:
        given = vector.given
        _keys(given, {"fee_rate", "events", "position_qty", "entry_price", "margin"}, "given")
        rows = given["events"]
        for row in rows:
            if row.get("op") not in ("fill", "mark"):
                raise Unmodelled(f"op {row.get('op')!r}")
            _keys(row, EVENT, f"{row['op']} with")
        held, entry = number(given.get("position_qty", "0")), number(given.get("entry_price", "0"))
        written = [row["price"] for row in rows] + [given.get("entry_price", "0")]
        self.lots = decimals([row["qty"] for row in rows if "qty" in row] + [given.get("position_qty", "0")])
        top = max(map(number, written))
        prices = _fine(top, self.lots, written) if "margin" in given else decimals(written)
        qtys = [abs(held), *(number(row["qty"]) for row in rows if "qty" in row)]
        self.trader = Trader(
            exchange_of, "linear", prices, self.lots, top, max(Fraction(1), sum(qtys) * top), fee=number(given["fee_rate"])
        )
        self.margin = number(given.get("margin", "0"))
        if held:
            side = Side.BUY if held > 0 else Side.SELL
            self.trader.fill(side, int(abs(held) * 10**self.lots), entry, takes=False)
        self.wanted = {row["after"]: row for row in vector.expect.get("checkpoints", [])}
        self.checkpoints = [found for count, row in enumerate(rows, 1) if (found := self._run(str(count), row))]

    def _run(self, after: str, row: dict[str, str]) -> dict[str, str] | None:
        before, price = self.trader.held, number(row["price"])
        if row["op"] == "mark":
            self.trader.mark(price)
        else:
            self.trader.fill(SIDES[row["side"]], int(number(row["qty"]) * 10**self.lots), price)
            self._keep_margin(before, price)
        wanted = self.wanted.get(after)
        return self._checkpoint(after, wanted) if wanted is not None else None

    def _keep_margin(self, before: int, price: Fraction) -> None:
        """Ask for the margin of what is left of a position that was reduced; of one that is closed nothing is."""
        held = self.trader.held
        if held * before <= 0:
            self.margin = Fraction(0) if before else self.margin
        elif abs(held) < abs(before) and self.margin:
            a_lot = self.margin / Fraction(abs(before), 10**self.lots)
            leverage = 1 if held > 0 else ceil(self.trader.entry_price() / a_lot)  # a mark at which the position gains nothing
            if leverage > units.LEVERAGE_MAX:
                raise Unmodelled(f"a margin below 1/{units.LEVERAGE_MAX} of the position")
            self.trader.mark(self.trader.nearest(a_lot * leverage))
            self.margin = self.trader.initial_margin(leverage)
            self.trader.mark(price)

    def _checkpoint(self, after: str, wanted: dict[str, str]) -> dict[str, str]:
        trader = self.trader
        found = {
            "after": after,
            "position_qty": plain(Fraction(trader.held, 10**self.lots)),
            "entry_price": _shown(trader.entry_price()),
            "realised_pnl": plain(trader.realised()),
            "unrealised_pnl": plain(trader.unrealised()),
            "margin": plain(self.margin),
        }
        _keys({key: 0 for key in wanted if not key.startswith("printed_")}, set(found), "a checkpoint of")
        return {key: found[key] for key in wanted if key in found}


def run_script(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the checkpoints of a position_script on a twin. Raises Unmodelled."""
    _keys({key: 0 for key in vector.expect if not key.startswith("printed_")}, {"checkpoints"}, "results of kind")
    return {"checkpoints": Script(vector, exchange_of).checkpoints}


def run_realised(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """realised_pnl: one lot of the whole position, opened and closed.

    Both fees are of the entry value: the opening fill, which takes, pays twice the rate, and the closing one, which rests, none.
    A rebate is what the same fills pay at the rate without its sign, given back: the exchange pays none.
    """
    given = vector.given
    _keys(given, {"payoff", "position_qty", "entry_price", "exit_price", "funding_paid", "leverage", "fee_rate"}, "given")
    qty, entry, out = (number(given[key]) for key in ("position_qty", "entry_price", "exit_price"))
    fee, paid = number(given.get("fee_rate", "0")), number(given.get("funding_paid", "0"))
    prices, lots = [given["entry_price"], given["exit_price"]], decimals([given["position_qty"]])
    lot, top = int(abs(qty) * 10**lots), max(entry, out)
    finer = paid and given["payoff"] == "linear"
    value = abs(qty) * entry if given["payoff"] == "linear" else abs(qty) / entry
    rate_ppb = ceil(min(Fraction(units.FUNDING_RATE_MAX_PPB), abs(paid) / value * units.PPB))
    sign = 1 if (paid > 0) == (qty > 0) else -1
    trader = Trader(
        exchange_of,
        given["payoff"],
        _fine(top, lots, prices) if finer else decimals(prices),
        lots,
        top,
        max(value, value * out / entry),
        lot=lot,
        fee=2 * abs(fee),
        funding_ppb=sign * rate_ppb,
    )
    side, other = (Side.BUY, Side.SELL) if qty > 0 else (Side.SELL, Side.BUY)
    trader.fill(side, 1, entry)
    fees = -trader.realised()
    found = {}
    if "leverage" in given:
        leverage = number(given["leverage"])
        if leverage.denominator != 1 or not 1 <= leverage <= units.LEVERAGE_MAX:
            raise Unmodelled(f"a leverage of {given['leverage']}")
        found["initial_margin"] = trader.initial_margin(int(leverage))
    if paid:
        trader.pay_funding(paid)
    funded = -trader.realised() - fees
    trader.fill(other, 1, out, takes=False)
    net = trader.realised()
    found["realised_pnl"] = net + fees + funded
    found["net_pnl"] = net + 2 * fees if fee < 0 else net
    if "initial_margin" in found:
        found["return_rate"] = found["net_pnl"] / found["initial_margin"]
    return {key: _shown(figure) for key, figure in found.items()}
