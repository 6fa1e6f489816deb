"""The matching engine under a record: events in, outcomes out, and a book that knows nothing but those outcomes.

The venue is a matching engine alone (`clearing: none`): orders of many accounts, nobody margined, self-trades allowed. Prices and
quantities are the record's integers. A quantity beyond QTY_MAX lots stands as several orders, its parts, one behind the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedDict

from riskbed.jobs import exchange_of
from specs import rules, units
from specs.errors import SpecError, TwinsDiffer
from specs.matching import matching_venue
from specs.tape import EVENT_STRUCT, OUTCOME, OUTCOME_STRUCT, USERS_FROM, EventKind, MarketState, OutcomeKind, Reason, Side, Tif

TWINS = ("engine", "model")
ACCOUNTS = 4_096  # orders are spread over so many: no account comes near a limit of its own
ORDERS_MAX = 1 << 20  # live at once
CHECK_EVERY = 10_000  # rows between two looks at the engine's own book
ALL = units.INT64_MAX  # lots: more than any order has
OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
RESTING = (Tif.GTC, Tif.POST_ONLY)


def venue(tick: int) -> rules.Venue:
    """Return the rule book: a tick of `tick` price units, an index that is never heard and so never published."""
    limits = {"orders_max": ORDERS_MAX, "orders_per_account_max": ORDERS_MAX, "accounts_max": 2 * ACCOUNTS}
    return matching_venue("conform", tick_size=tick, limits=limits)


class Out(NamedTuple):
    """What of an outcome a book needs. maker: of a FILL; of an AMENDED order 1 where it lost its place."""

    kind: int
    order: int
    maker: int
    side: int
    price: int
    qty: int
    reason: int


_FIELDS = [OUTCOME.names.index(name) for name in ("kind", "ref_id", "other_id", "side", "price", "qty", "reason")]


class Book:
    """Resting orders as outcomes tell of them, a queue a level. It trusts nothing else, and check() holds it to the engine."""

    def __init__(self) -> None:
        self.sides: dict[int, SortedDict] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self.totals: dict[int, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.where: dict[int, tuple[int, int]] = {}  # order -> (side, price)

    @staticmethod
    def key(side: int, price: int) -> int:
        """Bids are kept by -price: the best level of a side comes first."""
        return -price if side == Side.BUY else price

    def queue(self, side: int, price: int) -> OrderedDict[int, int]:
        """Return the lots of a level's orders, oldest first; empty where there is no level."""
        return self.sides[side].get(self.key(side, price)) or OrderedDict()

    def top(self, side: int, levels: int | None = None) -> list[tuple[int, int]]:
        """Return (price, lots) of the best levels of a side, all if levels is None."""
        totals = self.totals[side]
        if side == Side.BUY:
            return [(-key, totals[-key]) for key in islice(self.sides[side], levels)]
        return [(key, totals[key]) for key in islice(self.sides[side], levels)]

    def lots(self, order: int) -> int:
        """Return what is left of an order, 0 if it does not rest."""
        at = self.where.get(order)
        return 0 if at is None else self.sides[at[0]][self.key(*at)][order]

    def rest(self, order: int, side: int, price: int, lots: int) -> None:
        level = self.sides[side].setdefault(self.key(side, price), OrderedDict())
        level[order] = lots
        self.totals[side][price] = self.totals[side].get(price, 0) + lots
        self.where[order] = side, price

    def take(self, order: int, lots: int) -> None:
        """Take lots from an order, and the order away with its last lot. More than it has is all; no such order: nothing."""
        at = self.where.get(order)
        if at is None:
            return
        side, price = at
        key = self.key(side, price)
        level = self.sides[side][key]
        lots = min(lots, level[order])
        level[order] -= lots
        self.totals[side][price] -= lots
        if not level[order]:
            del level[order], self.where[order]
            if not level:
                del self.sides[side][key], self.totals[side][price]

    def follow(self, outs: Iterable[Out]) -> None:
        """Apply the outcomes of one event."""
        taking: tuple[int, int, int] | None = None
        left = 0
        for out in outs:
            if out.kind == OutcomeKind.ACCEPTED:
                taking, left = (out.order, out.side, out.price), out.qty
            elif out.kind == OutcomeKind.FILL:
                self.take(out.maker, out.qty)
                left -= out.qty
            elif out.kind == OutcomeKind.CANCELLED:
                if taking and out.order == taking[0]:
                    left -= out.qty
                else:
                    self.take(out.order, out.qty)
            elif out.kind == OutcomeKind.AMENDED:
                if out.maker:
                    self.take(out.order, ALL)
                    taking, left = (out.order, out.side, out.price), out.qty
                else:
                    self.take(out.order, self.lots(out.order) - out.qty)
        if taking and left > 0:
            self.rest(*taking, left)

    def rows(self) -> list[tuple[int, int, int, int, int]]:
        """Return (side, price, place, order, lots) of every order, as Exchange.state() orders them."""
        found = []
        for side in (Side.BUY, Side.SELL):
            for key, level in self.sides[side].items():
                price = -key if side == Side.BUY else key
                found += [(int(side), price, place, order, lots) for place, (order, lots) in enumerate(level.items())]
        return found


class Driver:
    """One twin, or both in step, and the book that follows. Ids of its own orders are none of `taken`, the record's.

    exchanges: classes to use in place of the twin's, for tests. Raises TwinsDiffer where the twins' outcomes do.
    """

    def __init__(
        self, twin: str, start_ns: int, tick: int, taken: Iterable[int] = (), exchange: Callable | None = None
    ) -> None:
        if twin not in (*TWINS, "both"):
            raise SpecError(f"there is no twin '{twin}'", remedy="engine, model or both")
        self.twin = twin
        rule_book = venue(tick)
        classes = [exchange] if exchange else [exchange_of(name) for name in (TWINS if twin == "both" else (twin,))]
        self.exchanges = [exchange_class(rule_book, start_ns) for exchange_class in classes]
        self.book = Book()
        self.now, self.events, self.checks, self.refusal = start_ns, 0, 0, Reason.NONE
        self.taken = frozenset(taken)
        self.last_own = 0
        self.parts: dict[int, list[int]] = {}  # only of orders that stand as several
        self.whole: dict[int, int] = {}  # part -> order

    # ---- events

    def own_id(self) -> int:
        """Return an order id that the record does not have."""
        self.last_own += 1
        while self.last_own in self.taken:
            self.last_own += 1
        return self.last_own

    def apply(self, kind: int, order: int, *, side: int = 0, price: int = 0, qty: int = 0, tif: int = 0) -> list[Out]:
        """Send one event at `now`; return its outcomes. The book does not follow yet. `refusal` is the reason of a REJECT."""
        event = EVENT_STRUCT.pack(
            self.now, order, price, qty, 0, 0, USERS_FROM + order % ACCOUNTS, 0, 0, 0, 0, 0, kind, side, tif, 0
        )
        packed = self.exchanges[0].apply(event)
        for other in self.exchanges[1:]:
            theirs = other.apply(event)
            if theirs != packed:
                raise TwinsDiffer(self.events, "outcomes", theirs.hex(), packed.hex())
        self.events += 1
        outs = [Out(*(row[i] for i in _FIELDS)) for row in OUTCOME_STRUCT.iter_unpack(packed)]
        self.refusal = next((Reason(out.reason) for out in outs if out.kind == OutcomeKind.REJECT), Reason.NONE)
        return outs

    def send(self, kind: int, order: int, **fields: int) -> list[Out]:
        """Send one event and let the book follow."""
        outs = self.apply(kind, order, **fields)
        self.book.follow(outs)
        return outs

    def state(self, state: MarketState) -> None:
        self.send(EventKind.STATE, 0, qty=state)

    def order(self, order: int, side: int, price: int, lots: int, tif: Tif = Tif.POST_ONLY) -> list[Out]:
        """Send an order, in parts where it is too large for one; return the outcomes. A refused part ends it."""
        outs: list[Out] = []
        pieces = [order]
        while lots > 0:
            qty = min(lots, units.QTY_MAX)
            outs += self.send(EventKind.ORDER, pieces[-1], side=side, price=price, qty=qty, tif=tif)
            lots -= qty
            if self.refusal:
                break
            if lots:
                pieces.append(self.own_id())
        if len(pieces) > 1:
            self.parts[order] = pieces
            self.whole |= dict.fromkeys(pieces, order)
        return outs

    def pieces(self, order: int) -> list[int]:
        """Return the ids under which an order rests, in their order; empty if it does not."""
        return [piece for piece in self.parts.get(order, (order,)) if piece in self.book.where]

    def lots(self, order: int) -> int:
        """Return what is left of an order, all parts."""
        parts = self.parts.get(order)
        return self.book.lots(order) if parts is None else sum(self.book.lots(piece) for piece in parts)

    def cancel(self, order: int) -> None:
        for piece in self.pieces(order):
            self.send(EventKind.CANCEL, piece)
        self.forget(order)

    def reduce(self, order: int, lots: int) -> None:
        """Take lots from an order, its last part first; it keeps its place. All of them, or more, is a cancel."""
        for piece in reversed(self.pieces(order)):
            left = self.book.lots(piece)
            if lots >= left:
                self.send(EventKind.CANCEL, piece)
            elif lots > 0:
                self.send(EventKind.AMEND, piece, qty=left - lots)
            lots = max(0, lots - left)

    def move(self, order: int, price: int) -> list[Out]:
        """Give an order another price: it loses its place and trades at once where it can. Return the outcomes."""
        return [out for piece in self.pieces(order) for out in self.send(EventKind.AMEND, piece, price=price)]

    def forget(self, order: int) -> None:
        """Drop what is known of the parts of an order that is gone."""
        for piece in self.parts.pop(order, ()):
            self.whole.pop(piece, None)

    # ---- levels

    def clear(self, side: int, price: int) -> None:
        """Cancel every order of a level."""
        for order in list(self.book.queue(side, price)):
            self.send(EventKind.CANCEL, order)

    def set_queue(self, side: int, price: int, queue: Iterable[tuple[int, int]]) -> None:
        """Let a level hold these orders and lots, in this order: it is cancelled and entered again unless it does already."""
        queue = list(queue)
        if list(self.book.queue(side, price).items()) == queue:
            return
        self.clear(side, price)
        for order, lots in queue:
            self.send(EventKind.ORDER, order, side=side, price=price, qty=lots, tif=Tif.POST_ONLY)

    # ---- the engine's own book

    def check(self) -> str | None:
        """Hold the following book against state()["orders"] of each twin; return the first difference in words, and mend it."""
        self.checks += 1
        for exchange in self.exchanges:
            theirs = [(row[1], row[2], row[3], row[4], row[6]) for row in exchange.state()["orders"]]
            ours = self.book.rows()
            if theirs == ours:
                continue
            i = next((i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
            said, kept = (_order_words(rows[i]) if i < len(rows) else "nothing more" for rows in (ours, theirs))
            self.book = Book()
            for side, price, _, order, lots in theirs:
                self.book.rest(order, side, price, lots)
            return f"outcomes said {said}, the book holds {kept}"
        return None


def _order_words(row: tuple[int, int, int, int, int]) -> str:
    side, price, place, order, lots = row
    return f"order {order} at place {place} of {Side(side).name.lower()} {price}, {lots} lots"
