"""What a slice of a liquidation closes, and its fee: kinds partial_liquidation_size, liquidation_cap, liquidation_fee_rate,
insurance_fee_rate.

The client is liquidated into bids of another account at the mark, a slice a cascade; what is told is read from the fills.
Units of time are the engine's own (slots): a second where shares grow with it, a millisecond where fees do.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

from riskbed.vectors.desk import CLIENT, OTHER, QUOTE, Desk, Held, bracket, exactly, places, whole_ppm
from riskbed.vectors.vector import Unmodelled, Vector, number, plain
from specs import units
from specs.scene import Outcome
from specs.tape import EventKind, Flow, OutcomeKind, Side, Stage

BOUND = {"kind": "mark", "ppm": 0}
ONE = Fraction(1)
RATE = Fraction(1, 10)  # of maintenance, where no vector says one
WINDOW = units.DURATION_MAX_NS
SECOND, MILLISECOND = units.NS, units.NS // 1_000
ALL_TIERS = units.BRACKETS_MAX


class Sliced(Desk):
    """A desk whose client, long, is `short_of` below maintenance after the move; bid: what stands against it, None: its lots."""

    def __init__(
        self,
        exchange_of: Callable,
        qty: Fraction,
        price: Fraction,
        rate: Fraction,
        short_of: Fraction,
        book: dict[str, Any],
        fees: dict[str, Any] | None = None,
        brackets: list[dict[str, Any]] | None = None,
        **rows: Any,
    ) -> None:
        row: dict[str, Any] = {"brackets": brackets or [bracket(rate)]} | ({"fees": fees} if fees else {})
        equity = qty * price * rate - short_of
        lost = Fraction(ceil(-equity / qty)) if equity < 0 else Fraction(0)
        stages = [{"kind": "book", "bound": BOUND} | book, {"kind": "write_off"}]
        liquidation = {"trigger": "maintenance_gt_equity", "stages": stages}
        limits = {"accounts_max": 64, "orders_max": 64, "rounds_max": 1}
        held = [Held(qty, price + lost, price, row)]
        super().__init__(exchange_of, held, equity + lost * qty, liquidation, limits=limits, **rows)
        self.mark, self.position = price, exactly(qty * 10**self.lots, "a quantity")

    def bid(self, lots: int | None = None) -> list[Outcome]:
        return self.order(OTHER, 0, Side.BUY, self.mark, self.position if lots is None else lots)

    def later(self, elapsed_ns: int) -> list[Outcome]:
        """Let time pass, then give the client a unit of money: it is looked at again."""
        self.now += elapsed_ns
        return self.send(kind=EventKind.DEPOSIT, account=CLIENT, asset=QUOTE, amount_lo=1)

    def closed(self, said: list[Outcome]) -> Fraction:
        """Return the quantity that a cascade closed."""
        return Fraction(sum(o.qty for o in said if o.kind == OutcomeKind.FILL and o.stage == Stage.BOOK), 10**self.lots)

    def fee(self, said: list[Outcome]) -> Fraction:
        """Return the fee on what a cascade closed, by its notional."""
        notional = self.closed(said) * self.mark
        if not notional:
            raise Unmodelled("nothing is closed")
        return self.whole(sum(o.money for o in said if o.flow == Flow.LIQUIDATION_FEE)) / notional


def _unit(text: str) -> int:
    unit = number(text)
    many = places(unit)
    if unit != Fraction(1, 10**many):
        raise Unmodelled(f"a unit of {text}: a lot is a power of ten")
    return many


def _shortage(given: dict[str, Any], exchange_of: Callable) -> Fraction:
    of = lambda key: number(given[key])  # noqa: E731
    quote, short_of, rate = of("quote_price"), of("margin_shortage_usd"), of("margin_rate")
    price, insurance = of("oracle_price") * quote, of("insurance_fee_rate") / quote
    freed = price * (rate - of("liquidator_fee_rate") - insurance)
    if freed <= 0:
        raise Unmodelled("a lot whose closing frees nothing")
    qty = Fraction(1 + ceil(max(2 * short_of / freed, short_of / (price * rate))))
    size = {"kind": "shortage", "discount_ppm": whole_ppm(of("liquidator_fee_rate"), "a liquidator's fee")}
    fees = {"liquidation_ppm": whole_ppm(insurance, "an insurance fee in the settlement asset")}
    desk = Sliced(exchange_of, qty, price, rate, short_of, {"quantity": size}, fees, lots=_unit(given["qty_unit"]))
    desk.bid()
    return desk.closed(desk.move())


def _tiers(given: dict[str, Any], exchange_of: Callable) -> Fraction:
    qty, tier = number(given["position_qty"]), number(given["tier1_max_qty"])
    if not 0 < tier < qty:
        raise Unmodelled("a position in the first tier")
    rows = [bracket(RATE) | {"notional_max": plain(tier)}, bracket(RATE)]
    size = {"kind": "tiers", "down": ALL_TIERS}
    desk = Sliced(exchange_of, qty, ONE, RATE, qty * RATE, {"quantity": size}, brackets=rows, lots=places(tier))
    desk.bid()
    return desk.closed(desk.move())


def _disposal(given: dict[str, Any], exchange_of: Callable) -> Fraction:
    qty, share, full, most, book = (
        number(given[key]) for key in ("position_qty", "disposal_rate", "full_disposal_qty", "max_book_rate", "book_qty")
    )
    lots = places(qty, share * qty, full, most * book, book)
    size = {"kind": "share", "share_ppm": whole_ppm(share, "a disposal rate"), "whole_lots": int(full * 10**lots)}
    size |= {"book_ppm": whole_ppm(most, "a share of the book")}
    desk = Sliced(exchange_of, qty, ONE, RATE, qty * RATE, {"quantity": size}, lots=lots)
    desk.bid(exactly(book * 10**lots, "a quantity"))
    return desk.closed(desk.move())


SIZES = {"drift": _shortage, "okx": _tiers, "vega": _disposal}


def run_size(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """partial_liquidation_size: what one slice closes."""
    if vector.rules not in SIZES:
        raise Unmodelled(f"the size of {vector.rules}, a share of every position at once: only {', '.join(SIZES)}")
    return {"close_qty": plain(SIZES[vector.rules](vector.given, exchange_of))}


def _time_share(given: dict[str, Any], exchange_of: Callable) -> dict[str, Fraction]:
    short_of, small, initial, elapsed, duration = (
        number(given[key])
        for key in ("margin_shortage_usd", "small_shortage_usd", "initial_share", "elapsed_slots", "duration_slots")
    )
    slots = exactly(elapsed, "elapsed slots"), exactly(duration, "a duration in slots")
    lots = units.PPM * slots[1]  # every share of them is whole
    qty = Fraction(lots * ceil((short_of + 1) / (RATE * lots)))
    money = max(places(short_of, small), 4)
    row = {"initial_ppm": whole_ppm(initial, "a share"), "duration_ns": slots[1] * SECOND, "small": plain(small)}
    book = {"quantity": "all", "time_share": row}
    desk = Sliced(exchange_of, qty, ONE, RATE, short_of + Fraction(1, 10**money), book, money=money)
    desk.move()
    desk.bid()
    return {"max_share": desk.closed(desk.later(slots[0] * SECOND)) / qty}


def _position_share(given: dict[str, Any], exchange_of: Callable) -> dict[str, Fraction]:
    notional, share, least = (number(given[key]) for key in ("position_notional_usd", "max_share", "min_notional_usd"))
    if not least:
        raise Unmodelled("a slice of nothing")
    lots, found = places(notional, notional * share, least), {}
    cap = {"share_ppm": whole_ppm(share, "a share"), "notional_min": plain(least)}
    money = lots + 6
    little = Fraction(1, 10**money)
    for key, size, short_of in (
        ("min_close_usd", {"kind": "shortage"}, little),
        ("max_close_usd", "all", notional * RATE),
    ):
        book = {"quantity": size, "position_share": cap}
        desk = Sliced(exchange_of, notional, ONE, RATE, short_of, book, lots=lots, money=money)
        desk.bid()
        found[key] = desk.closed(desk.move())
    return found


def _closes_in_turn(desk: Sliced, first: int) -> list[Outcome]:
    """Let a slice meet a bid of so many lots; return what the next says, in the same window."""
    if first:
        desk.bid(first)
    desk.move()
    return desk.bid() + desk.later(0)


def _block_limit(given: dict[str, Any], exchange_of: Callable) -> dict[str, Fraction]:
    """A first slice uses what is used, a second all that is left: lots of 1, and of each the fund pays 1."""
    keys = ("max_notional_usd", "used_notional_usd"), ("max_insurance_lost_usd", "used_insurance_lost_usd")
    (most, used), (most_lost, lost) = ([number(given[key]) for key in pair] for pair in keys)
    if not most or not most_lost:
        raise Unmodelled("a limit of nothing")
    found, lots = {}, places(most, used, most_lost, lost)
    for key, field, limit, before in (
        ("remaining_notional_usd", "notional_max", most, used),
        ("remaining_insurance_lost_usd", "insurance_max", most_lost, lost),
    ):
        qty = Fraction(ceil(limit + before + 1))
        book = {"quantity": "all", "insurance": {"max_fee_ppm": 0}, "block_limit": {"window_ns": WINDOW, field: plain(limit)}}
        desk = Sliced(exchange_of, qty, ONE, RATE, qty * (1 + RATE), book, lots=lots, money=lots + 1, fund={"capital": 10**9})
        said = _closes_in_turn(desk, exactly(before * 10**lots, "a quantity"))
        paid = desk.whole(sum(o.money for o in said if o.flow == Flow.FUND_PAYMENT))
        found[key] = desk.closed(said) if field == "notional_max" else paid
    return found


CAPS = {"time_share": _time_share, "position_share": _position_share, "block_limit": _block_limit}


def run_cap(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """liquidation_cap: the most that one slice closes, or the least."""
    method = vector.given["method"]
    if method not in CAPS:
        raise Unmodelled(f"method {method}: only {', '.join(CAPS)}")
    return {key: plain(value) for key, value in CAPS[method](vector.given, exchange_of).items()}


def run_fee(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """liquidation_fee_rate: what a slice pays when its episode is so old."""
    base, most, elapsed, grace, step = (
        number(vector.given[key])
        for key in ("base_fee_rate", "max_fee_rate", "elapsed_slots", "grace_slots", "fee_rate_per_slot")
    )
    growth = {
        "grace_ns": exactly(grace, "grace slots") * MILLISECOND,
        "every_ns": MILLISECOND,
        "ppm": whole_ppm(step, "a fee rate a slot"),
        "max_ppm": whole_ppm(most, "a fee rate"),
    }
    fees = {"liquidation_ppm": whole_ppm(base, "a fee rate"), "liquidation_growth": growth}
    wide, unit = Fraction(1, 2), Fraction(1, 10**8)
    desk = Sliced(exchange_of, Fraction(100), ONE, wide, 2 * unit, {"quantity": "all"}, fees, money=8)
    desk.move()
    desk.bid()
    return {"fee_rate": plain(desk.fee(desk.later(exactly(elapsed, "elapsed slots") * MILLISECOND)))}


def run_insurance_fee(vector: Vector, exchange_of: Callable) -> dict[str, Any]:
    """insurance_fee_rate: what a slice of the whole position pays out of what closing leaves."""
    short_of, qty, rate, discount, price, most, share = (
        number(vector.given[key])
        for key in (
            "margin_shortage_usd",
            "position_qty",
            "margin_rate",
            "liquidator_fee_rate",
            "oracle_price",
            "max_fee_rate",
            "share",
        )
    )
    if qty <= 0:
        raise Unmodelled("a short")
    left = {"share_ppm": whole_ppm(share, "a share"), "discount_ppm": whole_ppm(discount, "a liquidator's fee")}
    fees = {"liquidation_ppm": whole_ppm(most, "a fee rate"), "liquidation_left": left}
    desk = Sliced(exchange_of, qty, price, rate, short_of, {"quantity": "all"}, fees, money=12)
    desk.bid()
    return {"fee_rate": plain(desk.fee(desk.move()))}
