"""A recorded LOBSTER day (NASDAQ) through the engine: the book after every row, the maker of every execution.

A message is time, type, order id, size, price (10^-4 dollars), direction (1: of a buy order, -1: of a sell order):

    1 new order             ORDER, post-only: what the venue shows at rest did not trade
    2 partial cancel        AMEND to fewer lots: it keeps its place
    3 deletion              CANCEL
    4 visible execution     a run of them, of one time and direction, each price no better than the one before, is one IOC order
                            of the other side; its fills must be exactly those rows: price, lots, maker
    5 hidden execution      nothing visible; it does not end a run
    6 cross                 nothing visible
    7 halt                  STATE: price -1 halted, 0 quotes only, 1 trading

The book starts from row 0 of the book file, which is the book after message 0: its lots have no ids and stand as an anonymous
order at the front of each level. The files say nothing of a level outside the top N, which can change unseen: what leaves the
window is forgotten, and a level that enters it is taken from the book file, anonymous again (a reveal; nothing else is ever taken
from there but after a row that differs). So an execution of an id that the book does not hold must hit anonymous lots in front.

A run eats levels that only the rows inside it show: those are revealed before it. After a row that differs, or an execution whose
maker does, the book is set to the record's and the rest of the run is an IOC order of its own: one cause is one exception.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from riskbed.conform import record
from riskbed.conform.answer import Conformance, Findings, Lobster
from riskbed.conform.driver import CHECK_EVERY, OPPOSITE, Driver
from specs import units
from specs.errors import SpecError, TapeError
from specs.load import shown
from specs.tape import EventKind, MarketState, OutcomeKind, Side, Tif

NEW, PARTIAL, DELETE, EXECUTE, HIDDEN, CROSS, HALT = range(1, 8)
COLUMNS = 6  # of a message; a seventh, as some files have it, is not read
HALTS = {-1: MarketState.HALTED, 0: MarketState.POST_ONLY, 1: MarketState.OPEN}
PROGRESS_EVERY = 1_000  # rows
TIME_DECIMALS = 12  # of a second, as written; kept to the nanosecond

Level = tuple[int, int]  # price, lots
Progress = Callable[[int, int, str], None]


# ---- the files


class Day:
    """Both files, row by row. first_line: of row 0 in each file, counted from 1."""

    def __init__(self, message: Path, orderbook: Path, levels: int | None) -> None:
        self.message, self.orderbook = message, orderbook
        columns, self.first_line = _columns(message)
        if columns not in (COLUMNS, COLUMNS + 1):
            raise record.bad(message, self.first_line, f"{columns} columns, a message has {COLUMNS}")
        names = ("time", "type", "order", "size", "price", "direction")
        read = _read(message, self.first_line, columns, COLUMNS)
        self.time_ns, self.type, self.order, self.size, self.price, self.direction = read
        for name, wrong in zip(names, self._wrong()):
            if wrong.any():
                row = int(np.argmax(wrong))
                if name == "time":
                    raise record.bad(message, self.line(row), "time goes back", "rows stand in the order of what happened")
                raise record.bad(message, self.line(row), f"{name} is {getattr(self, name)[row]}")
        columns, first = _columns(orderbook)
        there = columns // 4
        if columns % 4 or not there:
            raise record.bad(orderbook, first, f"{columns} columns, a level has 4")
        self.levels = there if levels is None else levels
        if self.levels > there:
            raise record.bad(orderbook, first, f"{columns} columns are {there} levels, not {levels}", f"--levels {there}")
        self.books = np.stack(_read(orderbook, first, columns, 4 * self.levels), axis=1)
        rows, books = len(self.type), len(self.books)
        if rows != books:
            short, line = (message, self.first_line) if rows < books else (orderbook, first)
            problem = f"the file ends here after {min(rows, books):,} rows, the other has {max(rows, books):,}"
            raise record.bad(short, line + min(rows, books), problem, "a message for every row of the book")
        prices, lots = self.books[:, 0::2], self.books[:, 1::2]
        wrong = ((lots < 0) | ((lots > 0) & ((prices < 1) | (prices > units.PRICE_MAX)))).any(axis=1)
        if wrong.any():
            raise record.bad(orderbook, first + int(np.argmax(wrong)), "a level has a negative quantity, or no possible price")

    def _wrong(self) -> list[np.ndarray]:
        """Return, column by column, which rows cannot be."""
        visible = np.isin(self.type, (NEW, PARTIAL, DELETE, EXECUTE))
        back = np.zeros(len(self.type), dtype=bool)
        back[1:] = self.time_ns[1:] < self.time_ns[:-1]
        return [
            back,
            (self.type < NEW) | (self.type > HALT),
            visible & (self.order < 0),
            visible & (self.size < 1),
            visible & ((self.price < 1) | (self.price > units.PRICE_MAX)),
            visible & (np.abs(self.direction) != 1),
        ]

    def line(self, row: int) -> int:
        return self.first_line + row

    def tick(self) -> int:
        """Return the largest tick that every visible price is a multiple of."""
        prices = self.books[:, 0::2][self.books[:, 1::2] > 0]
        visible = self.price[np.isin(self.type, (NEW, PARTIAL, DELETE, EXECUTE))]
        return int(np.gcd.reduce(np.concatenate((prices, visible)))) or 1

    def book(self, row: int) -> dict[int, list[Level]]:
        """Return the levels of a row, best first. A level that is not there has no lots in the file."""
        flat = self.books[row].tolist()
        asks = [(flat[k], flat[k + 1]) for k in range(0, len(flat), 4) if flat[k + 1]]
        bids = [(flat[k], flat[k + 1]) for k in range(2, len(flat), 4) if flat[k + 1]]
        return {Side.BUY: bids, Side.SELL: asks}


def _columns(path: Path) -> tuple[int, int]:
    """Return how many columns the first row has, and its line: 2 below a header."""
    for number, line in record.lines(path):
        first = line.split(b",")[0].strip()
        if not first.replace(b".", b"").isdigit():
            if number > 1:
                raise record.bad(path, number, "not a row of numbers")
            continue
        return line.count(b",") + 1, number
    raise record.bad(path, 1, "the file has no rows")


def _read(path: Path, first: int, columns: int, wanted: int) -> list[np.ndarray]:
    """Return the first `wanted` columns as int64; column 0 of a message, its time, in ns. Names the line that cannot be read."""
    import pyarrow as pa
    from pyarrow import csv

    names = [f"c{i}" for i in range(columns)]
    kinds = {name: pa.int64() for name in names[:wanted]}
    timed = wanted == COLUMNS
    if timed:
        kinds["c0"] = pa.decimal128(30, TIME_DECIMALS)
    try:
        with record.open_file(path) as stream:
            table = csv.read_csv(
                stream,
                read_options=csv.ReadOptions(column_names=names, skip_rows=first - 1, use_threads=False),
                convert_options=csv.ConvertOptions(column_types=kinds, include_columns=names[:wanted], null_values=[]),
            )
    except (pa.ArrowException, OSError) as error:
        _find_bad_line(path, first, columns, wanted, timed)
        raise TapeError(f"the file is torn: {str(error).splitlines()[0]}", where=shown(path), remedy="fetch it again") from None
    found = [table.column(i).to_numpy() for i in range(timed, wanted)]
    if timed:
        found.insert(0, _nanoseconds(table.column(0)))
    return found


def _nanoseconds(column) -> np.ndarray:
    """Return decimal128 seconds as int64 ns, rounded down. Times of a day fit the low half of the 128 bits."""
    halves = [np.frombuffer(chunk.buffers()[1], dtype="<i8")[2 * chunk.offset :: 2][: len(chunk)] for chunk in column.chunks]
    return np.concatenate(halves) // 10 ** (TIME_DECIMALS - 9)


def _find_bad_line(path: Path, first: int, columns: int, wanted: int, timed: bool) -> None:
    """Raise TapeError at the first line that is not a row of so many numbers."""
    for number, line in record.lines(path):
        if number < first or not line.strip():
            continue
        cells = line.decode("latin-1").strip("\r").split(",")
        if len(cells) != columns:
            raise record.bad(path, number, f"{len(cells)} columns, the rows above have {columns}", "fetch it again: it is torn")
        for i, cell in enumerate(cells[:wanted]):
            digits = cell.replace(".", "", 1) if timed and i == 0 else cell.removeprefix("-")
            if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
                raise record.bad(path, number, f"column {i + 1} is '{cell}', not a number")


# ---- the run


class Check:
    """One day on its way through the engine."""

    def __init__(self, day: Day, driver: Driver, findings: Findings) -> None:
        self.day, self.driver, self.findings = day, driver, findings
        self.anonymous: set[int] = set()  # ids of orders that stand for lots without ids
        self.runs = self.named = self.outside = 0
        self.before = day.book(0)  # the record's book at the row before
        self.columns = [column.tolist() for column in (day.type, day.order, day.size, day.price, day.direction)]
        self.times = day.time_ns.tolist()
        self._start()

    @property
    def book(self):
        return self.driver.book

    def _start(self) -> None:
        """Enter row 0. If message 0 is a new order, the last lots of its level are that order."""
        kind, order, size, price, direction = (column[0] for column in self.columns)
        side = Side.BUY if direction == 1 else Side.SELL
        for where, levels in self.before.items():
            for at, lots in levels:
                own = size if kind == NEW and (where, at) == (side, price) and lots >= size else 0
                self._anonymous(where, at, lots - own)
                if own:
                    self._enter(0, order, where, at, own)
        if kind == HALT:
            self._halt(0, price)

    def run(self, progress: Progress) -> None:
        types, n = self.columns[0], len(self.times)
        row, told, checked = 1, 0, 0
        while row < n:
            self.driver.now = self.times[row]
            if types[row] == EXECUTE:
                row = self._run(row)
            else:
                self._message(row)
                self._compare(row, self.day.book(row))
                row += 1
            if row - checked >= CHECK_EVERY:
                checked = row
                self._state(row - 1)
            if row - told >= PROGRESS_EVERY:
                told = row
                progress(row, n, "rows")
        self._state(n - 1)

    def _state(self, row: int) -> None:
        if difference := self.driver.check():
            self._say(row, "state", difference)

    def _say(self, row: int, kind: str, text: str) -> None:
        self.findings.add(self.day.line(row), kind, text)

    # -- messages that are one event

    def _message(self, row: int) -> None:
        kind, order, size, price, direction = (column[row] for column in self.columns)
        side = Side.BUY if direction == 1 else Side.SELL
        if kind == NEW:
            self._enter(row, order, side, price, size)
        elif kind in (PARTIAL, DELETE):
            self._take_away(row, kind, order, side, price, size)
        elif kind == HALT:
            self._halt(row, price)

    def _enter(self, row: int, order: int, side: int, price: int, lots: int) -> None:
        self.driver.order(order, side, price, lots)
        if self.driver.refusal:
            self._say(row, "refused", f"new order {order}, {_side(side)} {lots} at {price}: {self.driver.refusal.name}")

    def _anonymous(self, side: int, price: int, lots: int) -> None:
        """Enter lots without ids behind what the level holds; nothing where there are none."""
        if lots > 0:
            order = self.driver.own_id()
            self.driver.order(order, side, price, lots)
            self.anonymous.update(self.driver.parts.get(order, (order,)))

    def _take_away(self, row: int, kind: int, order: int, side: int, price: int, lots: int) -> None:
        left = self.driver.lots(order)
        if left and self.book.where[self.driver.pieces(order)[0]] != (side, price):
            self._say(row, "unknown", f"order {order} rests at another side or price than {_side(side)} {price}")
        elif left:
            if lots > left or (kind == DELETE) != (lots == left):
                self._say(row, "size", f"{('', '', 'partial cancel', 'deletion')[kind]} of {lots} of order {order} with {left}")
            self.driver.cancel(order) if kind == DELETE or lots >= left else self.driver.reduce(order, lots)
        elif lots := self._take_anonymous(side, price, lots):
            if self._visible(side, price):
                self._say(row, "unknown", f"{lots} lots of order {order}: {_side(side)} {price} has no such lots without ids")
            else:
                self.outside += 1

    def _take_anonymous(self, side: int, price: int, lots: int) -> int:
        """Take lots without ids from the front of a level; return how many were not there."""
        for order in [order for order in self.book.queue(side, price) if order in self.anonymous]:
            taken = min(lots, self.book.lots(order))
            if taken:
                self.driver.reduce(order, taken)
                lots -= taken
        return lots

    def _visible(self, side: int, price: int) -> bool:
        """Return whether the record's book before this row tells of a price: inside the top N, or of a side with fewer levels."""
        levels = self.before[side]
        return len(levels) < self.day.levels or not _worse(side, price, levels[-1][0])

    def _halt(self, row: int, price: int) -> None:
        if price in HALTS:
            self.driver.state(HALTS[price])
        else:
            self._say(row, "unknown", f"a halt of price {price}: -1, 0 or 1 is known")

    # -- a run of executions

    def _run(self, row: int) -> int:
        """Drive a run of executions from a row on, compare each of its rows; return the row after it."""
        rows = self._rows_of_run(row)
        executed = [k for k in rows if self.columns[0][k] == EXECUTE]
        _, orders, sizes, prices, directions = self.columns
        side = Side.BUY if directions[row] == 1 else Side.SELL
        books = [self.day.book(k) for k in rows]
        self._reveal_inside(side, books)
        limit = prices[executed[-1]]
        queues = {price: list(self.book.queue(side, price).items()) for price in {prices[k] for k in executed}}
        for price, _ in self.book.top(side):
            if _worse(side, price, limit):
                break
            queues.setdefault(price, list(self.book.queue(side, price).items()))
        lots = sum(sizes[k] for k in executed)
        taker = self.driver.own_id()
        outs = self.driver.apply(EventKind.ORDER, taker, side=OPPOSITE[side], price=limit, qty=lots, tif=Tif.IOC)
        self.runs += 1
        fills = [[out.maker, out.price, out.qty] for out in outs if out.kind == OutcomeKind.FILL]
        at = 0
        for k, book in zip(rows, books):
            inside = side if k != rows[-1] else None
            if k in executed:
                done = executed[: executed.index(k) + 1]
                traded, equal, at = self._execution(k, queues[prices[k]], fills, at)
                if not equal:
                    for maker, _, qty in fills[at:]:
                        self.book.take(maker, qty)
                    self._mend(side, queues, done)
                if not traded:
                    self._say(k, "fills", self._untraded(k, fills[at:]))
                    self.findings.compared(False)
                    self._set_to(k, book)
                    return k + 1
                if not equal:
                    self._compare(k, book, inside)
                    return k + 1
            self._compare(k, book, inside)
        return rows[-1] + 1

    def _untraded(self, row: int, fills: list[list[int]]) -> str:
        _, orders, sizes, prices, _ = self.columns
        got = ", ".join(f"{qty} at {price} of {self._named(maker)}" for maker, price, qty in fills) or "nothing"
        refusal = f", {self.driver.refusal.name}" if self.driver.refusal else ""
        return f"recorded {sizes[row]} at {prices[row]} of order {orders[row]}, the engine goes on with {got}{refusal}"

    def _rows_of_run(self, row: int) -> list[int]:
        """Return the rows from an execution on that one taker explains. Hidden executions between them stay inside."""
        types, _, _, prices, directions = self.columns
        side = Side.BUY if directions[row] == 1 else Side.SELL
        rows = [row]
        at, price = row + 1, prices[row]
        while at < len(types) and self.times[at] == self.times[row] and types[at] in (EXECUTE, HIDDEN):
            if types[at] == EXECUTE:
                if directions[at] != directions[row] or _worse(side, price, prices[at]):
                    break
                price = prices[at]
                rows = list(range(row, at + 1))
            at += 1
        return rows

    def _reveal_inside(self, side: int, books: list[dict[int, list[Level]]]) -> None:
        """Take from the rows inside a run, the last left out, the levels of its side that they show first."""
        before = self.before[side]
        for book in books[:-1]:
            self._reveal(side, book[side], before)
            before = book[side]

    def _execution(self, row: int, queue: list[Level], fills: list[list[int]], at: int) -> tuple[bool, bool, int]:
        """Hold one recorded execution against the engine's next fills, and let the book follow those.

        queue: the orders of its level before the run. Return whether price and lots are as recorded, whether the makers are too,
        and the fill that is next. Makers are equal where they are the recorded order, or lots without ids where the recorded id
        is none of the level's.
        """
        _, orders, sizes, prices, _ = self.columns
        order, need, price = orders[row], sizes[row], prices[row]
        known = any(held == order for held, _ in queue)
        makers = []
        self.findings.priority += 1
        i, taken = at, []
        while need and i < len(fills) and fills[i][1] == price:
            lots = min(need, fills[i][2])
            taken.append((i, lots))
            makers.append(self.driver.whole.get(fills[i][0], fills[i][0]))
            need -= lots
            i += 1
        if need:
            return False, False, at
        for i, lots in taken:
            self.book.take(fills[i][0], lots)
            fills[i][2] -= lots
            at = i if fills[i][2] else i + 1
        equal = all(maker == order if known else maker in self.anonymous for maker in makers)
        self.findings.priority_equal += equal
        self.named += known and equal
        if not equal:
            kept = f"order {order}" if known else f"order {order}, which the level does not hold"
            text = f"{sizes[row]} at {price}: recorded {kept}, the engine filled {', '.join(map(self._named, makers))}"
            self._say(row, "priority", text)
        return True, equal, at

    def _named(self, order: int) -> str:
        return "lots without ids" if order in self.anonymous else f"order {order}"

    def _mend(self, side: int, queues: dict[int, list[Level]], executed: list[int]) -> None:
        """Let the levels of a run hold what the record says of them after these executions."""
        _, orders, sizes, prices, _ = self.columns
        for k in executed:
            queue, lots = queues[prices[k]], sizes[k]
            own = [i for i, (order, _) in enumerate(queue) if order == orders[k]]
            for i in own or [i for i, (order, _) in enumerate(queue) if order in self.anonymous]:
                taken = min(lots, queue[i][1])
                queue[i] = queue[i][0], queue[i][1] - taken
                lots -= taken
        for price, queue in queues.items():
            self.driver.set_queue(side, price, [(order, lots) for order, lots in queue if lots])

    # -- books

    def _compare(self, row: int, book: dict[int, list[Level]], inside: int | None = None) -> None:
        """Compare a row; reveal what enters the window, forget what left it. inside: the side of a run that goes on."""
        equal = True
        for side, levels in book.items():
            ours = self.book.top(side, self.day.levels)
            if ours != levels and side != inside:
                self._reveal(side, levels, self.before[side])
            if side != inside:
                self._forget(side, levels)
            ours = self.book.top(side, self.day.levels)
            if ours != levels and equal:
                equal = False
                self._say(row, "book", self._difference(side, ours, levels))
        self.findings.compared(equal)
        if not equal:
            self._set_to(row, book)
        self.before = book

    def _reveal(self, side: int, levels: list[Level], before: list[Level]) -> None:
        """Enter the levels beyond a full window of before that the book does not have."""
        if len(before) < self.day.levels:
            return
        for price, lots in levels:
            if _worse(side, price, before[-1][0]) and price not in self.book.totals[side]:
                self._anonymous(side, price, lots)
                self.findings.reveals += 1

    def _forget(self, side: int, levels: list[Level]) -> None:
        """Take what a full window does not show any more out of the book: it can change unseen."""
        if len(levels) < self.day.levels or len(self.book.sides[side]) <= len(levels):
            return
        for price, _ in self.book.top(side)[::-1]:
            if not _worse(side, price, levels[-1][0]):
                break
            self.driver.clear(side, price)

    def _set_to(self, row: int, book: dict[int, list[Level]]) -> None:
        """After a row that differs: levels that differ become the record's, without ids."""
        for side, levels in book.items():
            wanted = dict(levels)
            for price, lots in self.book.top(side):
                if wanted.get(price) != lots:
                    self.driver.clear(side, price)
        for side, levels in book.items():
            for price, lots in levels:
                if price not in self.book.totals[side]:
                    self._anonymous(side, price, lots)
                    if self.driver.refusal:
                        self.findings.crossed += 1
                        self._say(row, "crossed", f"{_side(side)} {lots} at {price}: {self.driver.refusal.name}")
        self.before = book

    @staticmethod
    def _difference(side: int, ours: list[Level], levels: list[Level]) -> str:
        i = next((i for i, (a, b) in enumerate(zip(ours, levels)) if a != b), min(len(ours), len(levels)))
        here, there = (f"{rows[i][1]} at {rows[i][0]}" if i < len(rows) else "nothing" for rows in (ours, levels))
        return f"{_side(side)} level {i + 1}: the engine has {here}, the record {there}"


def _worse(side: int, price: int, other: int) -> bool:
    """Return whether a price of a resting order is further from the other side than another."""
    return price < other if side == Side.BUY else price > other


def _side(side: int) -> str:
    return Side(side).name.lower()


def run(
    message: Path,
    orderbook: Path,
    levels: int | None = None,
    twin: str = "engine",
    progress: Progress = lambda done, total, what: None,
    exchange: Callable | None = None,
) -> Conformance:
    """Return how a LOBSTER day and the engine compare. levels: of the book file, all if None. exchange: a class under test."""
    if levels is not None and levels < 1:
        raise SpecError(f"{levels} levels", remedy="1 or more")
    progress(0, 0, "reading")
    day = Day(message, orderbook, levels)
    findings = Findings()
    driver = Driver(twin, int(day.time_ns[0]), day.tick(), np.unique(day.order).tolist(), exchange)
    check = Check(day, driver, findings)
    check.run(progress)
    part = Lobster(
        levels=day.levels,
        types={str(kind): count for kind, count in sorted(Counter(day.type.tolist()).items())},
        runs=check.runs,
        named=check.named,
        outside=check.outside,
    )
    unknowns = ["levels outside the top of the book file: they can change unseen, and are taken from it when they come back"]
    return findings.answer("lobster", [shown(message), shown(orderbook)], driver, unknowns, lobster=part)
