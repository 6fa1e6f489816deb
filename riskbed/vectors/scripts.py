"""Orders in turn on an empty book: kinds matching_script and stop_script, on a venue without clearing.

A vector's prices and quantities become integers of as many decimals as it writes. Its owners are accounts; an order without an
owner is everybody's. A `last_price` is made by a trade of one lot between two accounts of its own, inside the spread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz.strategies import pack
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from specs import rules, units
from specs.matching import matching_venue
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind, Reason, Side, Tif, TriggerBy

START_NS = units.NS
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
TIFS = {"gtc": Tif.GTC, "ioc": Tif.IOC, "fok": Tif.FOK}
KEYS = {"op", "order", "side", "price", "qty", "tif", "owner", "display_qty", "stop_price"}
REFUSED = {"all_or_none": "all or none", "budget": "fill or kill by budget"}  # features that this engine does not have
CANCELS = (Reason.IOC_REMAINDER, Reason.USER)
PRINTER = "the price printer "  # owners that no vector has


def venue(price_decimals: int, lot_decimals: int) -> rules.Venue:
    """Return the rule book: the tick is the smallest price written, the mark follows the book."""
    places = price_decimals + lot_decimals
    if places > units.DECIMALS_MAX:
        raise Unmodelled(f"{places} decimals of price and quantity together")
    return matching_venue("vectors", index="book", price_decimals=price_decimals, lot_decimals=lot_decimals)


class Script:
    """One vector on one twin: what its events did, in the vector's own words."""

    def __init__(self, vector: Vector, exchange_of: Callable) -> None:
        self.rows: list[dict[str, Any]] = vector.given["events"]
        for row in self.rows:
            self._known(row)
        written = lambda *keys: [row[key] for row in self.rows for key in keys if key in row]  # noqa: E731
        self.prices, self.lots = decimals(written("price", "stop_price")), decimals(written("qty", "display_qty"))
        self.exchange = exchange_of(venue(self.prices, self.lots), START_NS)
        self.ids: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.owners: dict[str, int] = {}
        self.owner_of: dict[str, str] = {}
        self.left: dict[str, int] = {}  # of the orders that rest or wait, lots
        self.waiting: list[str] = []
        self.last: int | None = None
        self.fills: list[dict[str, str]] = []
        self.cancelled: list[dict[str, str]] = []
        self.rejected: list[dict[str, str]] = []
        self.checkpoints: list[dict[str, str]] = []
        wanted = {row["after"]: row for row in vector.expect.get("checkpoints", [])}
        for count, row in enumerate(self.rows, 1):
            self._run(row)
            if str(count) in wanted:
                self.checkpoints.append(self._checkpoint(str(count), wanted[str(count)]))

    @staticmethod
    def _known(row: dict[str, Any]) -> None:
        for key, feature in REFUSED.items():
            if row.get(key, "no") != "no":
                raise Unmodelled(f"refused feature: {feature}")
        extra = sorted(set(row) - KEYS - set(REFUSED))
        if row.get("op") not in ("limit", "market", "cancel", "reduce", "move", "stop", "last_price"):
            raise Unmodelled(f"op {row.get('op')!r}")
        if extra:
            raise Unmodelled(f"{row['op']} with {', '.join(extra)}")

    # -- events

    def _price(self, text: str) -> int:
        return int(number(text) * 10**self.prices)

    def _lots(self, text: str) -> int:
        return int(number(text) * 10**self.lots)

    def _account(self, owner: str) -> int:
        return self.owners.setdefault(owner, USERS_FROM + len(self.owners))

    def _id(self, order: str) -> int:
        if order not in self.ids:
            self.ids[order] = len(self.ids) + 1
            self.names[self.ids[order]] = order
        return self.ids[order]

    def _run(self, row: dict[str, Any]) -> None:
        op = row["op"]
        if op == "last_price":
            self._print(self._price(row["price"]))
            return
        order = row["order"]
        owner = row.get("owner", self.owner_of.get(order, ""))
        fields = {"ref_id": self._id(order), "account": self._account(owner)}
        if op in ("limit", "market", "stop"):
            self.owner_of[order] = owner
            qty = self._lots(row["qty"])
            fields |= {"kind": EventKind.ORDER, "side": SIDES[row["side"]], "qty": qty, "tif": Tif.MARKET}
            if op == "limit":
                shown = self._lots(row["display_qty"]) if "display_qty" in row else 0
                fields |= {"tif": TIFS[row["tif"]], "price": self._price(row["price"]), "amount_lo": shown if shown < qty else 0}
            elif op == "stop":
                fields |= {"kind": EventKind.STOP, "source": TriggerBy.LAST, "amount_lo": self._price(row["stop_price"])}
        elif op == "move":
            fields |= {"kind": EventKind.AMEND, "price": self._price(row["price"])}
        elif op == "reduce" and self._lots(row["qty"]) < self.left.get(order, 0):
            fields |= {"kind": EventKind.AMEND, "qty": self.left[order] - self._lots(row["qty"])}
        else:
            fields |= {"kind": EventKind.CANCEL}
        self._apply(**fields)

    def _print(self, price: int) -> None:
        """Let two accounts of our own trade one lot at a price."""
        prices = [(row[1], row[2]) for row in self.exchange.state()["orders"]]
        bids, asks = ([p for side, p in prices if side == which] for which in (Side.BUY, Side.SELL))
        if (bids and price <= max(bids)) or (asks and price >= min(asks)):
            raise Unmodelled("a last price that is not inside the spread: no trade of others makes it")
        for side in (Side.SELL, Side.BUY):
            name = PRINTER + side.name
            fields = {"ref_id": self._id(f"{name} {len(self.ids)}"), "account": self._account(name), "side": side}
            self._apply(kind=EventKind.ORDER, tif=Tif.GTC, price=price, qty=1, **fields)

    def _apply(self, **fields: int) -> None:
        before = dict(self.left)
        for o in outcomes_of(self.exchange.apply(pack(time_ns=START_NS, **fields))):
            name = self.names.get(o.ref_id, "")
            if o.kind == OutcomeKind.FILL:
                self._fill(o, name)
            elif o.kind in (OutcomeKind.ACCEPTED, OutcomeKind.WAITING):
                self.left[name] = o.qty
                self.waiting += [name] if o.kind == OutcomeKind.WAITING else []
            elif o.kind == OutcomeKind.TRIGGERED:
                self.waiting.remove(name)
            elif o.kind == OutcomeKind.AMENDED:
                if o.qty < before.get(name, 0):
                    self.cancelled.append({"order": name, "qty": self._qty(before[name] - o.qty)})
                self.left[name] = o.qty
            elif o.kind == OutcomeKind.CANCELLED and o.reason in CANCELS:
                self._take(name, o.qty)
                self.waiting = [other for other in self.waiting if other != name]
                self.cancelled.append({"order": name, "qty": self._qty(o.qty)})
            elif o.kind == OutcomeKind.REJECT and o.reason == Reason.CANNOT_FILL:
                self.cancelled.append({"order": name, "qty": self._qty(o.qty)})
            elif o.kind == OutcomeKind.REJECT and o.reason in (Reason.UNKNOWN_ORDER, Reason.NOT_OWNER):
                self.rejected.append({"order": name, "reason": "unknown_order"})
            elif o.kind == OutcomeKind.REJECT:
                self.rejected.append({"order": name, "reason": Reason(o.reason).name.lower()})

    def _fill(self, o, taker: str) -> None:
        maker, self.last = self.names[o.other_id], o.price
        self._take(maker, o.qty)
        self._take(taker, o.qty)
        if not maker.startswith(PRINTER):
            price = plain(number(str(o.price)) / 10**self.prices)
            self.fills.append({"maker": maker, "taker": taker, "price": price, "qty": self._qty(o.qty)})

    def _take(self, name: str, lots: int) -> None:
        self.left[name] = self.left.get(name, 0) - lots
        if self.left[name] <= 0:
            del self.left[name]

    # -- results

    def _qty(self, lots: int) -> str:
        return plain(number(str(lots)) / 10**self.lots)

    def _checkpoint(self, after: str, wanted: dict[str, str]) -> dict[str, str]:
        """Return the totals of a side: lots, orders, and lots shown, an order at most its display."""
        found = {"after": after}
        orders = self.exchange.state()["orders"]
        for name, side in (("bid", Side.BUY), ("ask", Side.SELL)):
            mine = [row for row in orders if row[1] == side]
            found |= {f"{name}_qty": self._qty(sum(row[6] for row in mine)), f"{name}_orders": str(len(mine))}
            found[f"{name}_display_qty"] = self._qty(sum(min(row[6], row[9] or row[6]) for row in mine))
        unknown = sorted(set(wanted) - set(found))
        if unknown:
            raise Unmodelled(f"a checkpoint of {', '.join(unknown)}")
        return {key: found[key] for key in wanted}

    def results(self, expect: dict[str, Any]) -> dict[str, Any]:
        """Return what the vector asks for, under its own keys."""
        last = self.rows[-1].get("order", "") if self.rows else ""
        found: dict[str, Any] = {
            "fills": self.fills,
            "cancelled": self.cancelled,
            "rejected": self.rejected,
            "checkpoints": self.checkpoints,
            "resting": [{"order": last, "qty": self._qty(self.left[last])}] if last in self.left else [],
            "waiting": self.waiting,
            "last_price": "none" if self.last is None else plain(number(str(self.last)) / 10**self.prices),
        }
        if "levels" in expect:
            found["levels"] = [self._level(row) for row in expect["levels"]]
        unknown = sorted(key for key in expect if key not in found and not key.startswith("printed_"))
        if unknown:
            raise Unmodelled(f"results of kind {', '.join(unknown)}")
        return {key: found[key] for key in expect if key in found}

    def _level(self, row: dict[str, str]) -> dict[str, str]:
        price = self._price(row["price"])
        mine = [o for o in self.exchange.state()["orders"] if (o[1], o[2]) == (SIDES[row["side"]], price)]
        return row | {"qty": self._qty(sum(o[6] for o in mine)), "orders": str(len(mine))}


def run(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the results of a matching_script or a stop_script on a twin. Raises Unmodelled."""
    return Script(vector, exchange_of).results(vector.expect)
