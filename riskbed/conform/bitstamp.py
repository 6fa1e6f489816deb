"""A Bitstamp order log through the engine, against the venue's own top-20 snapshots.

A line is `<local time, ms> <kind> <JSON>`. The engine matches for itself; the log says whether it should have:

    order_created   ORDER, good till cancelled: where it crosses it trades at once, the venue a moment later
    order_changed   fewer lots left: nothing where the engine has them already, else AMEND; another price: AMEND to it (so a
                    market order walks through the book)
    order_deleted   lots 0: it was filled; else CANCEL
    trade           counted
    order_book      the snapshot: best price and quantity of both sides (a row), then every level

What rested before the log has no ids. It stands as anonymous lots at the front of its level: of the first snapshot, and of levels
that later snapshots show as the window moves (a reveal; such a level is not compared there). A deletion of an unknown id takes
anonymous lots.

A level that differs from two snapshots running, the same way, is settled: set to the venue's, and told as an exception. Where the
engine has more, and that is one order, or the venue has no such level, its orders are stale: the venue dropped them and their
deletion did not come. They are named and cancelled; a deletion that comes yet is noted with them. So are, at the end of the log,
orders that the engine filled and whose deletion never came.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from riskbed.conform import record
from riskbed.conform.answer import LISTED_MAX, Bitstamp, Conformance, Findings, Stale
from riskbed.conform.driver import CHECK_EVERY, Driver
from specs import units
from specs.errors import TapeError
from specs.load import shown
from specs.tape import EventKind, Side, Tif

KINDS = ("order_created", "order_changed", "order_deleted", "trade", "order_book")
SIDES = {0: Side.BUY, 1: Side.SELL}  # order_type
NAMES = {Side.BUY: "bids", Side.SELL: "asks"}
MS = 1_000_000  # ns
PROGRESS_EVERY = 500  # lines
Progress = Callable[[int, int, str], None]


class Line(NamedTuple):
    line: int
    time_ns: int
    kind: str
    data: dict[str, Any]


@dataclass
class Order:
    """An order of the log, with price and lots as created. row: of its creation; over: of its deletion; stale: its place in the
    list of stale orders."""

    side: int
    price: int
    lots: int
    row: int
    over: int | None = None
    stale: int | None = None


# ---- the file


def log(path: Path) -> Iterator[Line]:
    """Yield the lines of a log. Raises TapeError with the line that is none, or whose time goes back."""
    before = 0
    for number, line in record.lines(path):
        if not line.strip():
            continue
        parts = line.split(b" ", 2)
        try:
            stamp, kind, data = int(parts[0]), parts[1].decode(), json.loads(parts[2])
        except (ValueError, IndexError):
            raise record.bad(path, number, "not '<ms> <kind> <JSON>'", "fetch it again: it is torn") from None
        if kind not in KINDS or not isinstance(data, dict) or not 0 <= stamp * MS <= units.TIMES_MAX_NS:
            raise record.bad(path, number, f"unknown kind '{kind}'", f"known: {', '.join(KINDS)}")
        if stamp < before:
            raise record.bad(path, number, f"time goes back from {before} to {stamp}", "lines stand in the order of receipt")
        before = stamp
        yield Line(number, stamp * MS, kind, data)


class Units(NamedTuple):
    """Found by reading the log once: decimals of prices and quantities, lines, the first time, ids, how many of each kind."""

    price: int
    qty: int
    lines: int
    start_ns: int
    ids: set[int]
    kinds: Counter[str]


def scan(path: Path) -> Units:
    """Read a log once. Raises TapeError at a line that lacks what its kind has."""
    price = qty = last = 0
    start_ns: int | None = None
    ids: set[int] = set()
    kinds: Counter[str] = Counter()
    for line in log(path):
        last, start_ns = line.line, line.time_ns if start_ns is None else start_ns
        kinds[line.kind] += 1
        data = line.data
        try:
            if line.kind == "trade":
                continue
            if line.kind == "order_book":
                pairs = [tuple(pair) for name in NAMES.values() for pair in data[name]]
            else:
                pairs = [(data["price"], data["amount"])]
                if data["order_type"] not in SIDES or not isinstance(data["id"], int) or not 0 <= data["id"] <= units.INT64_MAX:
                    raise ValueError("order_type is 0 or 1, id a whole number")
                ids.add(data["id"])
            for at, lots in pairs:
                price, qty = max(price, record.decimals(at)), max(qty, record.decimals(lots))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise record.bad(path, line.line, f"a {line.kind} without what it must have: {error!r}") from None
    if start_ns is None or not kinds["order_book"]:
        raise TapeError("no snapshot in the log", where=shown(path), remedy="a line of kind order_book")
    return Units(price, qty, last, start_ns, ids, kinds)


# ---- the run


class Check:
    """One log on its way through the engine."""

    def __init__(self, path: Path, units_: Units, driver: Driver, findings: Findings) -> None:
        self.path, self.units, self.driver, self.findings = path, units_, driver, findings
        self.orders: dict[int, Order] = {}
        self.anonymous: set[int] = set()
        self.window: dict[int, list[tuple[int, int]]] | None = None  # the snapshot before
        self.differed: dict[tuple[int, int], tuple[int, int]] = {}  # level -> (ours, theirs), at the snapshot before
        self.stale: list[Stale] = []
        self.levels = self.levels_equal = self.levels_per_side = self.settled = self.repeated = 0

    @property
    def book(self):
        return self.driver.book

    def run(self, progress: Progress) -> None:
        checked = 0
        for line in log(self.path):
            self.driver.now = line.time_ns
            if line.kind == "order_book":
                self._snapshot(line)
            elif line.kind != "trade":
                self._order(line)
            if line.line % PROGRESS_EVERY == 0:
                progress(line.line, self.units.lines, "lines")
            if line.line - checked >= CHECK_EVERY:
                checked = line.line
                self._state(line.line)
        self._state(self.units.lines)
        for number, order in self.orders.items():
            if order.over is None and order.stale is None and not self.driver.lots(number):
                self._stale(number, order.price, order.lots, self.units.lines, filled=True)

    def _state(self, line: int) -> None:
        if difference := self.driver.check():
            self.findings.add(line, "state", difference)

    # -- orders

    def _order(self, line: Line) -> None:
        number, side = line.data["id"], SIDES[line.data["order_type"]]
        (price, lots) = self._level(line.line, line.data["price"], line.data["amount"])
        order = self.orders.get(number)
        if line.kind == "order_created":
            if order is None:
                self.orders[number] = Order(side, price, lots, line.line)
            self.driver.order(number, side, price, lots, Tif.GTC)
            if self.driver.refusal or not lots:
                self.findings.add(line.line, "refused", f"new order {number}: {self.driver.refusal.name}, {lots} lots")
        elif line.kind == "order_changed":
            self._changed(number, price, lots)
        elif order is None:
            self._take_anonymous(side, price, lots)
        elif order.over is not None:
            self.repeated += 1
        else:
            self._deleted(line.line, number, order, lots)

    def _changed(self, number: int, price: int, lots: int) -> None:
        left = self.driver.lots(number)
        if not left:
            return  # filled already, or never seen
        if lots < left:
            self.driver.reduce(number, left - lots)
        if any(self.book.where[piece][1] != price for piece in self.driver.pieces(number)):
            self.driver.move(number, price)

    def _deleted(self, row: int, number: int, order: Order, lots: int) -> None:
        order.over = row
        if order.stale is not None:
            self.stale[order.stale] = self.stale[order.stale].model_copy(update={"deleted": row})
            return
        left = self.driver.lots(number)
        if not lots or not left:
            self.findings.priority += 1
            self.findings.priority_equal += lots == left
            if lots != left:
                here, there = (f"{self._lots(rest)} left" if rest else "filled" for rest in (left, lots))
                self.findings.add(row, "filled", f"order {number} of row {order.row}: in the log {there}, in the engine {here}")
        elif lots != left:
            text = f"order {number} of row {order.row} is deleted with {self._lots(lots)}, the engine has {self._lots(left)}"
            self.findings.add(row, "size", text)
        self.driver.cancel(number)

    def _take_anonymous(self, side: int, price: int, lots: int) -> None:
        """Take lots from those without ids of a level, as many as there are: the next snapshot judges."""
        for order in [order for order in self.book.queue(side, price) if order in self.anonymous]:
            taken = min(lots, self.book.lots(order))
            if taken:
                self.driver.reduce(order, taken)
                lots -= taken

    def _level(self, line: int, price: str, lots: str) -> tuple[int, int]:
        try:
            return record.scaled(price, self.units.price), record.scaled(lots, self.units.qty)
        except ValueError as error:
            raise record.bad(self.path, line, str(error)) from None

    # -- snapshots

    def _snapshot(self, line: Line) -> None:
        theirs = {side: [self._level(line.line, *pair) for pair in line.data[name]] for side, name in NAMES.items()}
        self._ordered(line.line, theirs)
        first = self.window is None
        self.levels_per_side = max(self.levels_per_side, *(len(levels) for levels in theirs.values()))
        if not first:
            self._compare_top(line.line, theirs)
        differs: dict[tuple[int, int], tuple[int, int]] = {}
        shown_now: list[tuple[int, int, int]] = []
        for side, levels in theirs.items():
            wanted = dict(levels)
            here = {price: lots for price, lots in self.book.top(side) if not self._beyond(side, price, levels)}
            for price in sorted({*wanted, *here}):
                ours, want = here.get(price, 0), wanted.get(price, 0)
                new = not first and self._beyond(side, price, self.window[side])
                if first or (new and want > ours):
                    if ours != want:
                        shown_now.append((side, price, want))
                    self.findings.reveals += new and want > ours
                    continue
                self.levels += 1
                self.levels_equal += ours == want
                if ours != want:
                    differs[side, price] = ours, want
        again = [key for key, both in differs.items() if self.differed.get(key) == both]
        for side, price in again:
            self._tell(line.line, side, price, *differs.pop((side, price)))
            shown_now.append((side, price, dict(theirs[side]).get(price, 0)))
        self.settled += len(again)
        for side, price, want in sorted(shown_now, key=lambda row: row[2] > self.book.totals[row[0]].get(row[1], 0)):
            self._set_level(side, price, want)
        self.differed, self.window = differs, theirs

    def _ordered(self, row: int, theirs: dict[int, list[tuple[int, int]]]) -> None:
        for side, levels in theirs.items():
            prices = [price for price, _ in levels]
            if prices != sorted(set(prices), reverse=side == Side.BUY) or any(not lots for _, lots in levels):
                raise record.bad(self.path, row, f"the {NAMES[side]} of the snapshot are not in order", "best price first")
        if all(theirs.values()) and theirs[Side.BUY][0][0] >= theirs[Side.SELL][0][0]:
            self.findings.crossed += 1

    def _beyond(self, side: int, price: int, levels: list[tuple[int, int]]) -> bool:
        """Return whether a snapshot does not tell of a price: it is worse than its last level, and the snapshot is full."""
        if not levels:
            return False
        worse = price < levels[-1][0] if side == Side.BUY else price > levels[-1][0]
        return worse and len(levels) >= self.levels_per_side

    def _compare_top(self, row: int, theirs: dict[int, list[tuple[int, int]]]) -> None:
        wrong = []
        for side, levels in theirs.items():
            here = next(iter(self.book.top(side, 1)), None)
            there = levels[0] if levels else None
            if here != there:
                name = "bid" if side == Side.BUY else "ask"
                wrong.append(f"best {name} {self._words(here)}, the snapshot has {self._words(there)}")
        if not self.findings.compared(not wrong):
            self.findings.add(row, "top", "; ".join(wrong))

    def _tell(self, row: int, side: int, price: int, ours: int, want: int) -> None:
        """Note a level that differs for good, and which orders of it are stale."""
        named = []
        if ours > want:
            lots: dict[int, int] = {}
            for piece, left in self.book.queue(side, price).items():
                if piece not in self.anonymous:
                    number = self.driver.whole.get(piece, piece)
                    lots[number] = lots.get(number, 0) + left
            gone = list(lots) if not want else [number for number, left in lots.items() if left == ours - want][:1]
            for number in gone:
                self._stale(number, price, lots[number], row)
                self.driver.cancel(number)
                named.append(f"stale order {number}")
        at = f"{Side(side).name.lower()} {self._price(price)}"
        text = f"{at}: the engine has {self._lots(ours)}, two snapshots have {self._lots(want)}"
        self.findings.add(row, "levels", ", ".join((text, *named)))

    def _stale(self, number: int, price: int, lots: int, row: int, filled: bool = False) -> None:
        order = self.orders[number]
        order.stale = len(self.stale)
        self.stale.append(
            Stale(
                order=number,
                side=Side(order.side).name.lower(),
                price=self._price(price),
                qty=self._lots(lots),
                filled=filled,
                created=order.row,
                found=row,
                deleted=None,
            )
        )

    def _set_level(self, side: int, price: int, want: int) -> None:
        """Let a level have so many lots: more of them without ids, at the front; fewer of these first, then of its oldest."""
        more = want - self.book.totals[side].get(price, 0)
        if more > 0:
            front = []
            while more > 0:
                front.append((self.driver.own_id(), min(more, units.QTY_MAX)))
                more -= front[-1][1]
            queue = list(self.book.queue(side, price).items())
            self.driver.set_queue(side, price, front + queue)
            self.anonymous.update(order for order, _ in front)
            return
        queue = list(self.book.queue(side, price).items())
        for order, left in sorted(queue, key=lambda row: row[0] not in self.anonymous):
            taken = min(-more, left)
            if taken:
                more += taken
                if taken == left:
                    self.driver.send(EventKind.CANCEL, order)
                else:
                    self.driver.send(EventKind.AMEND, order, qty=left - taken)

    def _price(self, price: int) -> str:
        return units.int_to_decimal(price, self.units.price)

    def _lots(self, lots: int) -> str:
        return units.int_to_decimal(lots, self.units.qty)

    def _words(self, level: tuple[int, int] | None) -> str:
        if level is None:
            return "nothing"
        return f"{self._lots(level[1])} at {self._price(level[0])}"


def run(
    path: Path,
    twin: str = "engine",
    progress: Progress = lambda done, total, what: None,
    exchange: Callable | None = None,
) -> Conformance:
    """Return how an order log and the engine compare. exchange: a class under test."""
    progress(0, 0, "reading")
    found = scan(path)
    findings = Findings()
    driver = Driver(twin, found.start_ns, 1, found.ids, exchange)
    check = Check(path, found, driver, findings)
    check.run(progress)
    part = Bitstamp(
        levels=check.levels,
        levels_equal=check.levels_equal,
        levels_per_side=check.levels_per_side,
        created=found.kinds["order_created"],
        changed=found.kinds["order_changed"],
        deleted=found.kinds["order_deleted"],
        trades=found.kinds["trade"],
        settled=check.settled,
        repeated=check.repeated,
        stale=check.stale[:LISTED_MAX],
        stale_total=len(check.stale),
        stale_never=sum(row.deleted is None for row in check.stale),
    )
    unknowns = ["orders from before the log beyond the depth of the snapshots", "which order a trade was of: trades name none"]
    return findings.answer("bitstamp", [shown(path)], driver, unknowns, bitstamp=part)
