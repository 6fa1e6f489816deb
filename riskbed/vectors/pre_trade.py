"""Orders against free funds: kind pre_trade_script. Who trades with whom is one stranger, who is rich.

exchange_core: one market in which an order must be paid in full, a spot market: money is quote_per_price_unit x price x lots. An
order is sent at its reserve price, up to which it could be moved, and then moved to its own.
flox: perpetuals of one account, cross margin at a rate of 1 / leverage; an order is judged with all that it could add.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz.strategies import pack
from riskbed.vectors.scripts import SIDES, START_NS
from riskbed.vectors.vector import Unmodelled, Vector, number, plain
from specs import rules
from specs.scene import Book, Order, Scene, outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Reason, Side, Tif

CLIENT, STRANGER = USERS_FROM, USERS_FROM + 1
RICH = 10**20
REASONS = {Reason.INSUFFICIENT_BALANCE: "insufficient_funds", Reason.INSUFFICIENT_MARGIN: "insufficient_margin"}


def _venue(markets: list[dict]) -> rules.Venue:
    index = lambda name: {  # noqa: E731
        "name": name,
        "price_decimals": 0,
        "publish": {"kind": "update"},
        "recipe": {"kind": "source", "name": name},
    }
    return rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": "vectors",
            "numeraire": "QUOTE",
            "assets": [{"name": "QUOTE", "decimals": 0}, {"name": "BASE", "decimals": 0}],
            "sources": [{"name": row["name"], "price_decimals": 0} for row in markets],
            "indices": [index(row["name"]) for row in markets],
            "markets": [
                {"settles_in": "QUOTE", "index": row["name"], "mark": {"kind": "index"}}
                | {"price_decimals": 0, "lot": {"decimals": 0}}
                | row
                for row in markets
            ],
            "liquidation": {"stages": [{"kind": "takeover"}, {"kind": "write_off"}]},
        }
    )


def whole(text: Any) -> int:
    value = number(text)
    if value.denominator != 1:
        raise Unmodelled(f"{text} is no whole number")
    return int(value)


class Client:
    """One vector on one twin."""

    def __init__(self, vector: Vector, exchange_of: Callable) -> None:
        given = vector.given
        self.rows: list[dict[str, str]] = given["events"]
        rate, self.unit = number(given["initial_rate"]), whole(given.get("quote_per_price_unit", "1"))
        self.base_per_lot = whole(given["base_per_lot"]) if "base_per_lot" in given else None
        names = list(dict.fromkeys(row["market"] for row in self.rows if "market" in row))
        if self.base_per_lot is not None:
            if rate != 1 or len(names) != 1:
                raise Unmodelled("base is delivered in more than one market, or on margin")
            self.venue = _venue([{"name": names[0], "payoff": "spot", "base": "BASE"}])
        else:
            if rate == 0 or (1 / rate).denominator != 1:
                raise Unmodelled(f"an initial rate of {given['initial_rate']}, which no leverage gives")
            bracket = {"notional_max": 10**18, "leverage_max": int(1 / rate), "maintenance_ppm": 1}
            self.venue = _venue([{"name": name, "leverage_default": int(1 / rate), "brackets": [bracket]} for name in names])
        self.names = names
        self.exchange = exchange_of(self.venue, START_NS)
        self.sent: dict[str, dict[str, str]] = {}
        self.verdict: dict[str, str] = {}
        self._next = 1
        for account in (CLIENT, STRANGER):
            self._apply(kind=EventKind.ACCOUNT, account=account, ref_id=account)
        for asset in (0, 1):
            self._apply(kind=EventKind.DEPOSIT, account=STRANGER, asset=asset, amount_lo=RICH & (2**64 - 1), amount_hi=RICH >> 64)
        wanted = {row["after"]: row for row in vector.expect["checkpoints"]}
        self.checkpoints = []
        for count, row in enumerate(self.rows, 1):
            self._run(row)
            if str(count) in wanted:
                found = self._checkpoint(str(count), row)
                unknown = sorted(set(wanted[str(count)]) - set(found))
                if unknown:
                    raise Unmodelled(f"a checkpoint of {', '.join(unknown)}")
                self.checkpoints.append({key: found[key] for key in wanted[str(count)]})

    def _apply(self, **fields: int) -> list:
        return outcomes_of(self.exchange.apply(pack(time_ns=START_NS, **fields)))

    def _send(self, account: int, market: int, side: int, price: int, qty: int, tif: int = Tif.GTC) -> tuple[int, Reason]:
        order_id, self._next = self._next, self._next + 1
        fields = {"account": account, "market": market, "ref_id": order_id, "side": side, "price": price, "qty": qty, "tif": tif}
        for o in self._apply(kind=EventKind.ORDER, **fields):
            if o.kind == OutcomeKind.REJECT and o.ref_id == order_id:
                return order_id, Reason(o.reason)
        return order_id, Reason.NONE

    def _run(self, row: dict[str, str]) -> None:
        self.verdict = {}
        if row["op"] == "deposit":
            amount = whole(row["amount"])
            self._apply(kind=EventKind.DEPOSIT, account=CLIENT, amount_lo=amount & (2**64 - 1), amount_hi=amount >> 64)
        elif row["op"] == "order":
            self._order(row)
        elif row["op"] == "fill":
            self._fill(row)
        else:
            raise Unmodelled(f"op {row['op']!r}")

    def _order(self, row: dict[str, str]) -> None:
        """The mark is the order's own price: what the vector's account would be worth is not part of it."""
        market, price, qty = self.names.index(row["market"]), self.unit * whole(row["price"]), whole(row["qty"])
        reserve = self.unit * whole(row.get("reserve_price", row["price"]))
        self._apply(kind=EventKind.SOURCE, source=market, price=price)
        order_id, reason = self._send(CLIENT, market, SIDES[row["side"]], reserve, qty)
        self.verdict = {"accepted": "no" if reason else "yes"}
        if reason:
            self.verdict["reason"] = REASONS.get(reason, reason.name.lower())
            return
        self.sent[row["order"]] = row
        if reserve != price:
            self._apply(kind=EventKind.AMEND, account=CLIENT, ref_id=order_id, price=price)

    def _fill(self, row: dict[str, str]) -> None:
        order, qty = self.sent[row["order"]], whole(row["qty"])
        if row["price"] != order["price"]:
            raise Unmodelled("a fill at another price than the order's: makers' prices are what is paid here")
        side = Side.SELL if order["side"] == "buy" else Side.BUY
        self._send(STRANGER, self.names.index(order["market"]), side, self.unit * whole(row["price"]), qty, Tif.IOC)

    def _checkpoint(self, after: str, row: dict[str, str]) -> dict[str, str]:
        state = self.exchange.state()
        scene = Scene(Book(self.venue), state)
        found = {"after": after, **self.verdict, "initial_margin": str(self._initial_margin(scene, row))}
        found["free_balance"] = str(scene.free(CLIENT, 0))
        found["counterparty_quote"] = str(scene.balance[STRANGER, 0] - RICH)
        if self.base_per_lot is not None:
            found["base_balance"] = plain(number(str(scene.balance[CLIENT, 1])) * self.base_per_lot)
        return found

    def _initial_margin(self, scene: Scene, row: dict[str, str]) -> int:
        """Return the requirements of the client, an order that was refused counted in full."""
        total = scene.requirements(CLIENT)
        if self.verdict.get("accepted") == "no" and self.base_per_lot is None:
            market, price = self.names.index(row["market"]), self.unit * whole(row["price"])
            order = Order(market, SIDES[row["side"]], price, CLIENT, whole(row["qty"]))
            total += scene.requirement(CLIENT, market, order) - scene.requirement(CLIENT, market)
        return total


def run(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the checkpoints of a pre_trade_script on a twin. Raises Unmodelled."""
    unknown = sorted(key for key in vector.expect if key != "checkpoints" and not key.startswith("printed_"))
    if unknown:
        raise Unmodelled(f"results of kind {', '.join(unknown)}")
    return {"checkpoints": Client(vector, exchange_of).checkpoints}
