"""What collateral counts for: kinds collateral_value, collateral_weight, collateral_needed, borrow_health, liability_transfer.

The assets of a vector become rows of one rule book; a client deposits what they hold, their prices are published, and the
exchange is asked what it counts: the equity of the account, the weight of a balance, what a debt needs.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from fuzz.strategies import pack
from riskbed.vectors.scripts import START_NS
from riskbed.vectors.vector import Unmodelled, Vector, decimals, number, plain
from specs import rules, units
from specs.scene import outcomes_of
from specs.tape import USERS_FROM, EventKind, OutcomeKind

CLIENT = USERS_FROM
QUOTE = 0  # the numeraire's number; an asset's is one more than its place in the vector


class Pool:
    """An account with some assets. rows: for each, the fields of its collateral row; None: it is no collateral."""

    def __init__(
        self, assets: list[dict[str, str]], rows: list[dict | None], digits: int = 0, qty_decimals: int = 0, transfer=()
    ) -> None:
        """assets: qty and price of each. digits: of money and prices beyond theirs, as weights make some. transfer: a stage."""
        self.transfer = list(transfer)
        self.qty_decimals = max(qty_decimals, decimals([asset["qty"] for asset in assets]))
        self.price_decimals = decimals([asset.get("price", "0") for asset in assets])
        self.money_decimals = min(units.DECIMALS_MAX, self.qty_decimals + self.price_decimals + digits)
        self.price_decimals += digits + units.COLLATERAL_EXPONENT_MIN  # so is what the treasury pays, and values are no finer
        if max(self.qty_decimals, self.price_decimals) > units.DECIMALS_MAX:
            raise Unmodelled(f"quantities of {self.qty_decimals} decimals, prices of {self.price_decimals}")
        self.assets = assets
        try:
            self.venue = self._venue([row and {"asset": f"A{i}", "index": f"A{i}"} | row for i, row in enumerate(rows)])
        except ValueError as error:
            raise Unmodelled(f"no rule book has these numbers: {error}") from None

    def _venue(self, rows: list[dict | None]) -> rules.Venue:
        names = [f"A{i}" for i in range(len(rows))]
        brackets = [{"notional_max": 1, "leverage_max": 1, "maintenance_ppm": 0}]
        market = {"name": "NONE", "settles_in": "QUOTE", "index": "NONE", "mark": {"kind": "index"}, "brackets": brackets}
        return rules.Venue.model_validate(
            {
                "schema_version": 1,
                "name": "vectors",
                "limits": {"accounts_max": USERS_FROM + 1, "orders_max": 1},
                "numeraire": "QUOTE",
                "assets": [{"name": "QUOTE", "decimals": self.money_decimals}]
                + [{"name": name, "decimals": self.qty_decimals} for name in names],
                "sources": [{"name": name, "price_decimals": self.price_decimals} for name in names]
                + [{"name": "NONE", "price_decimals": 0}],
                "indices": [
                    {
                        "name": name,
                        "price_decimals": 0 if name == "NONE" else self.price_decimals,
                        "publish": {"kind": "update"},
                        "recipe": {"kind": "source", "name": name},
                    }
                    for name in (*names, "NONE")
                ],
                "markets": [market | {"price_decimals": 0, "lot": {"decimals": 0}, "leverage_default": 1}],
                "collateral": [row for row in rows if row],
                "liquidation": {"stages": [*self.transfer, {"kind": "convert"}, {"kind": "write_off"}]},
            }
        )

    def filled(self, exchange_of: Callable) -> Any:
        """Return an exchange in which the client holds the assets, at their prices."""
        exchange = exchange_of(self.venue, START_NS)
        self._send(exchange, kind=EventKind.ACCOUNT, account=CLIENT, ref_id=CLIENT)
        for i, asset in enumerate(self.assets):
            if qty := self.balance(asset["qty"]):
                self._send(exchange, kind=EventKind.DEPOSIT, account=CLIENT, asset=i + 1, amount=qty)
            if "price" in asset:
                price = int(number(asset["price"]) * 10**self.price_decimals)
                self._send(exchange, kind=EventKind.SOURCE, source=i, price=price)
        return exchange

    @staticmethod
    def _send(exchange: Any, **fields: int) -> None:
        found = outcomes_of(exchange.apply(pack(time_ns=START_NS, **fields)))
        if any(o.kind == OutcomeKind.REJECT for o in found):
            raise Unmodelled(f"{fields} is out of bounds")

    def balance(self, qty: str) -> int:
        return int(number(qty) * 10**self.qty_decimals)

    def money(self, value: int) -> Fraction:
        return Fraction(value, 10**self.money_decimals)


def ppm(weight: str) -> int:
    """Return a fraction in ppm. Raises Unmodelled where that is not whole."""
    scaled = number(weight) * units.PPM
    if scaled.denominator != 1:
        raise Unmodelled(f"a weight of {weight}: weights are whole ppm")
    return int(scaled)


def _only(vector: Vector, *known: str) -> None:
    if more := sorted(vector.given.keys() - set(known)):
        raise Unmodelled(f"given {', '.join(more)}")


def run_value(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the equity of an account that holds the assets; `values`: of each asset what its balance adds."""
    _only(vector, "assets")
    assets = vector.given["assets"]
    rows = [_row(asset) if "price" in asset else None for asset in assets]
    pool = Pool(assets, rows, digits=6)
    exchange = pool.filled(exchange_of)
    counts = [exchange.collateral_value(i + 1, pool.balance(assets[i]["qty"])) if row else 0 for i, row in enumerate(rows)]
    return {
        "collateral_value": plain(pool.money(exchange.equity(CLIENT))),
        "values": [plain(pool.money(value)) for value in counts],
    }


def _row(asset: dict[str, Any]) -> dict | None:
    """Return the weights of an asset: one, or one a slice; without either it counts for nothing."""
    tiers = asset.get("tiers") or []
    if not tiers:
        return {"weight_ppm": ppm(asset["weight"])} if "weight" in asset else None
    first, *more = [(tier["floor_qty"], ppm(tier["weight"])) for tier in tiers]
    if number(first[0]):
        more, first = [first, *more], ("0", 0)
    return {"weight_ppm": first[1], "tiers": [{"qty_from": plain(number(floor)), "weight_ppm": weight} for floor, weight in more]}


def run_weight(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return the weight at which a balance of `qty` counts, a debt under size_premium; or all deposits together."""
    _only(vector, "method", "base_weight", "imf_factor", "qty", "weight_unit", "scale_start_usd", "total_deposits_qty", "price")
    given, method = vector.given, vector.given["method"]
    unit = {"weight_unit_ppm": ppm(given["weight_unit"])}
    if method == "deposit_scale":
        row = {"weight_ppm": ppm(given["base_weight"]), "deposits_max": plain(number(given["scale_start_usd"]))} | unit
        asset = {"qty": given["total_deposits_qty"], "price": given["price"]}
        pool = Pool([asset], [row], decimals([given["scale_start_usd"]]))
        return {"weight": _fraction(pool.filled(exchange_of).collateral_weight(1, pool.balance(asset["qty"]), True))}
    if method not in ("size_discount", "size_premium"):
        raise Unmodelled(f"method {method!r}")
    factor = {"imf_factor_ppm": ppm(given.get("imf_factor", "0"))}
    base = ppm(given["base_weight"])
    sized = factor | (unit if factor["imf_factor_ppm"] else {})
    weights = {"weight_ppm": base} if method == "size_discount" else {"weight_ppm": 0, "liability_weight_ppm": base}
    pool = Pool([{"qty": given["qty"], "price": "1"}], [weights | sized])
    exchange, qty = pool.filled(exchange_of), pool.balance(given["qty"])
    if method == "size_premium":
        return {"weight": _fraction(exchange.collateral_weight(1, -qty))}
    size = exchange.size_weight(1, qty)
    return {"weight": _fraction(exchange.collateral_weight(1, qty))} | ({} if size is None else {"size_weight": _fraction(size)})


def _fraction(weight_ppm: int) -> str:
    return plain(Fraction(weight_ppm, units.PPM))


QTY_DECIMALS = 8  # of what is sold or locked: rounded up to them


def run_needed(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return what the conversion sells for a debt where the weight is what it brings; the rest what counts for as much is."""
    _only(vector, "debt_usd", "weight", "price")
    given = vector.given
    weight = ppm(given["weight"])
    if not 0 < weight <= units.PPM or number(given["price"]) <= 0:
        raise Unmodelled(f"a weight of {given['weight']} at a price of {given['price']}")
    row = {"weight_ppm": weight, "convert_buffer_ppm": units.PPM - weight}
    pool = Pool([{"qty": "0", "price": given["price"]}], [row], 6, QTY_DECIMALS)
    debt = number(given["debt_usd"]) * 10**pool.money_decimals
    if debt.denominator != 1 or not 0 <= debt <= units.BALANCE_MAX:
        raise Unmodelled(f"a debt of {given['debt_usd']}")
    exchange = pool.filled(exchange_of)
    asked = exchange.collateral_needed if vector.rules == "hyperliquid" else exchange.conversion_needed
    needed = asked(1, int(debt))
    if needed is None:
        raise Unmodelled("nothing is enough")
    qty = Fraction(needed, 10**QTY_DECIMALS)
    return {"collateral_qty": plain(qty), "collateral_value_usd": plain(qty * number(given["price"]))}


def run_transfer(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return what the stage that transfers takes over of a debt for a shortage of margin, or gives for a debt."""
    _only(
        vector,
        *("margin_shortage_usd", "asset_weight", "asset_multiplier", "asset_price", "insurance_fee_rate", "weight_unit"),
        *("liability_weight", "liability_multiplier", "liability_price", "liability_qty", "qty_unit"),
    )
    given, one = vector.given, lambda key: ppm(vector.given.get(key, "1"))
    stage = {"kind": "transfer", "asset_multiplier_ppm": one("asset_multiplier")}
    stage |= {"liability_multiplier_ppm": one("liability_multiplier")}
    stage |= {"insurance_fee_ppm": ppm(given.get("insurance_fee_rate", "0"))}
    stage |= {"weight_unit_ppm": ppm(given["weight_unit"])} if "weight_unit" in given else {}
    places = _places(given["qty_unit"])
    held = {"qty": "0", "price": given.get("asset_price", "1")}
    owed = {"qty": "0", "price": given["liability_price"]}
    rows = [{"weight_ppm": one("asset_weight")}, {"weight_ppm": 0, "liability_weight_ppm": one("liability_weight")}]
    digits = decimals([given.get("margin_shortage_usd", "0")])
    exchange = (pool := Pool([held, owed], rows, digits, places, [stage])).filled(exchange_of)
    if "liability_qty" in given:
        qty = number(given["liability_qty"]) * 10**places
        if qty.denominator != 1:
            raise Unmodelled(f"a debt of {given['liability_qty']} in units of {given['qty_unit']}")
        return {"asset_qty": plain(Fraction(exchange.collateral_given(2, 1, int(qty)), 10**places))}
    shortage = int(number(given["margin_shortage_usd"]) * 10**pool.money_decimals)
    return {"liability_qty": plain(Fraction(exchange.liability_taken(2, 1, shortage), 10**places))}


def _places(unit: str) -> int:
    """Return how many decimals a unit of a quantity has. Raises Unmodelled where it is no power of ten."""
    places = decimals([unit])
    if number(unit) != Fraction(1, 10**places):
        raise Unmodelled(f"a unit of {unit}")
    return places


SIXFOLD = 6  # of every quantity: halves and thirds of it are then whole money
THRESHOLDS = {"partial": (1, 2), "full": (1, 3)}
"""Which part of the haircut 1 - weight stays with the trigger: w + (1 - w) / 2, and w + (1 - w) 2 / 3."""


def run_health(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """Return what the collateral counts for to a borrower, and to the trigger of a partial and of a full liquidation."""
    _only(vector, "collateral", "borrowed_usd")
    assets = vector.given["collateral"]
    borrowed = number(vector.given["borrowed_usd"])
    rows = [{"weight_ppm": ppm(asset["weight"])} for asset in assets]
    held = [asset | {"qty": plain(SIXFOLD * number(asset["qty"]))} for asset in assets]
    pool = Pool(held, rows, 6)
    weighted = pool.money(pool.filled(exchange_of).equity(CLIENT, True)) / SIXFOLD
    found = {"weighted_usd": plain(weighted)}
    if borrowed:
        found["health_ratio"] = plain(round(weighted / borrowed, units.DECIMALS_MAX))
    for name, (part, of) in THRESHOLDS.items():
        cut = {"trigger_haircut": {"part": part, "of": of}}
        pool = Pool(held, [row | cut for row in rows], 6)
        threshold = pool.money(pool.filled(exchange_of).equity(CLIENT)) / SIXFOLD
        found |= {f"{name}_threshold_usd": plain(threshold), f"{name}_liquidation": "yes" if borrowed > threshold else "no"}
    return found
