"""A Binance depth feed through the engine: the book of a snapshot and its diffs against every bookTicker.

A file has one message a line, `<local time, ns> <JSON>`: REST snapshots, and of the streams depth, bookTicker and trade (counted
only). A level is one order of its own, post-only; a diff is ORDER, AMEND and CANCEL events, what frees lots first. A level that
would trade as it is entered is a crossed book.

Update ids. A diff carries ids U to u. In spot the next one starts at u + 1; in futures it names the u before it, as pu. Anything
later is a gap, told at the first diff after it: consecutive missing diffs are one gap, a missing first or last diff of the file
is none. A snapshot of id L is joined by the first diff with u > L, which must have U <= L + 1 (spot) or pu <= L (futures); diffs
at or before L are skipped. Diffs are kept from the last gap on, since a snapshot may come after those that follow it. After a gap
the book is given up: nothing is compared until a snapshot joins again. Gaps are still counted then.

Best prices. The book has the id of its last diff. What the venue says of it is the bookTicker with the largest id not above that,
and it is compared once a bookTicker with that id or a larger one was seen. A bookTicker inside a diff that is followed by another
in it belongs to no book.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from riskbed.conform import record
from riskbed.conform.answer import BinanceDepth, Conformance, Findings
from riskbed.conform.driver import CHECK_EVERY, Driver
from specs import units
from specs.errors import TapeError
from specs.load import shown
from specs.tape import EventKind, Side

PROGRESS_EVERY = 500  # lines
Progress = Callable[[int, int, str], None]
Written = tuple[str, str]  # price and quantity of a level


class Message(NamedTuple):
    """A line. kind: diff, ticker, trade, snapshot or other."""

    line: int
    time_ns: int
    kind: str
    data: dict[str, Any]


class Diff(NamedTuple):
    """first, last: U, u. before: pu, None in spot."""

    line: int
    first: int
    last: int
    before: int | None
    levels: dict[int, list[Written]]


class Top(NamedTuple):
    """Best (price, lots) of a side, None of an empty one, at an update id."""

    line: int
    id: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None


# ---- the file


def messages(path: Path) -> Iterator[Message]:
    """Yield the messages of a file. Raises TapeError with the line that is no message, or whose time goes back."""
    before = 0
    for number, line in record.lines(path):
        if not line.strip():
            continue
        stamp, _, text = line.partition(b" ")
        try:
            time_ns, whole = int(stamp), json.loads(text)
        except ValueError:
            raise record.bad(path, number, "not '<ns> <JSON>'", "fetch it again: it is torn") from None
        if not isinstance(whole, dict) or not 0 <= time_ns <= units.TIMES_MAX_NS:
            raise record.bad(path, number, "not '<ns> <JSON object>'")
        if time_ns < before:
            raise record.bad(path, number, f"time goes back from {before} to {time_ns}", "lines stand in the order of receipt")
        before = time_ns
        yield Message(number, time_ns, *_kind(whole))


def _kind(whole: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "lastUpdateId" in whole:
        return "snapshot", whole
    channel = str(whole.get("stream", "")).partition("@")[2]
    data = whole.get("data", whole)
    if not isinstance(data, dict):
        return "other", {}
    if channel.startswith("depth") and "U" in data:
        return "diff", data
    return {"bookTicker": "ticker", "trade": "trade", "aggTrade": "trade"}.get(channel, "other"), data


class Units(NamedTuple):
    """Found by reading a file once: decimals of prices and quantities, lines, the first time, how many of each kind."""

    price: int
    qty: int
    lines: int
    start_ns: int
    kinds: Counter[str]
    spot: bool


def scan(path: Path) -> Units:
    """Read a file once. Raises TapeError at a line whose message lacks what its kind has."""
    price = qty = lines = 0
    start_ns: int | None = None
    kinds: Counter[str] = Counter()
    symbols: dict[str, int] = {}
    futures: set[bool] = set()
    for message in messages(path):
        lines, start_ns = message.line, message.time_ns if start_ns is None else start_ns
        kinds[message.kind] += 1
        if message.kind in ("trade", "other"):
            continue
        try:
            pairs = _pairs(message)
            for at, lots in pairs:
                price, qty = max(price, record.decimals(at)), max(qty, record.decimals(lots))
            if message.kind == "diff":
                diff = _diff(message)
                futures.add(diff.before is not None)
                if diff.first > diff.last:
                    raise ValueError(f"U {diff.first} is above u {diff.last}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise record.bad(path, message.line, f"a {message.kind} without what it must have: {error!r}") from None
        symbol = message.data.get("s")
        if symbol and symbols.setdefault(symbol, message.line) == message.line and len(symbols) > 1:
            raise record.bad(path, message.line, f"two symbols, {' and '.join(symbols)}", "one file a symbol")
    if start_ns is None or not kinds["diff"] or len(futures) > 1:
        problem = "spot and futures diffs in one file" if len(futures) > 1 else "no depth diff in the file"
        raise TapeError(problem, where=shown(path), remedy="snapshot, depth, bookTicker and trade of one market, a line each")
    return Units(price, qty, lines, start_ns, kinds, futures == {False})


def _pairs(message: Message) -> list[Written]:
    data = message.data
    if message.kind == "ticker":
        int(data["u"])
        return [(data["b"], data["B"]), (data["a"], data["A"])]
    names = ("b", "a")
    if message.kind == "snapshot":
        names = ("bids", "asks")
        int(data["lastUpdateId"])
    return [(at, lots) for name in names for at, lots, *_ in data[name]]


def _diff(message: Message) -> Diff:
    data = message.data
    before = int(data["pu"]) if "pu" in data else None
    return Diff(message.line, int(data["U"]), int(data["u"]), before, {Side.BUY: data["b"], Side.SELL: data["a"]})


# ---- the run


class Check:
    """One feed on its way through the engine."""

    def __init__(self, path: Path, units_: Units, driver: Driver, findings: Findings) -> None:
        self.path, self.units, self.driver, self.findings = path, units_, driver, findings
        self.level_order: dict[tuple[int, int], int] = {}
        self.chain: Diff | None = None  # the last diff, in the book or not
        self.kept: list[Diff] = []  # since the last gap, while no book is up
        self.snapshot: Message | None = None  # not joined yet
        self.id: int | None = None  # of the book; None while none is up
        self.joined = False  # a diff was applied to it
        self.segments: list[list[int]] = []  # first and last id of each stretch with a book
        self.waiting: deque[Top] = deque()  # books that no later bookTicker was seen for
        self.tops: list[Top] = []  # of the bookTickers
        self.ticker_ids: list[int] = []
        self.compared: set[int] = set()
        self.used = self.skipped = 0

    def run(self, progress: Progress) -> None:
        checked = 0
        handle = {"diff": self._on_diff, "ticker": self._on_ticker, "snapshot": self._on_snapshot}
        for message in messages(self.path):
            self.driver.now = message.time_ns
            if message.kind in handle:
                handle[message.kind](message)
            if message.line % PROGRESS_EVERY == 0:
                progress(message.line, self.units.lines, "lines")
            if message.line - checked >= CHECK_EVERY:
                checked = message.line
                self._state(message.line)
        self._state(self.units.lines)

    def _state(self, line: int) -> None:
        if difference := self.driver.check():
            self.findings.add(line, "state", difference)

    # -- update ids

    def _on_diff(self, message: Message) -> None:
        diff, last = _diff(message), self.chain
        if last is not None and diff.last <= last.last:
            self.skipped += 1  # a repetition: nothing in it is new
            return
        self.chain = diff
        if last is not None and (missing := self._missing(last, diff)):
            self._give_up(diff, missing)
        if self.id is None:
            self.kept.append(diff)
            self._join()
        elif diff.last <= self.id:
            self.skipped += 1
        elif not self.joined and not self._joins(self.id, diff):
            self._give_up(diff, f"the snapshot has id {self.id}, the first diff after it {self._begins(diff)}")
            self.kept.append(diff)
        else:
            self._apply(diff)

    def _missing(self, last: Diff, diff: Diff) -> str:
        """Return what is missing between two diffs, in words; nothing where nothing is."""
        if diff.before is None:
            if diff.first <= last.last + 1:
                return ""
            return f"update ids {last.last + 1} to {diff.first - 1} are missing"
        return "" if diff.before == last.last else f"the diff follows id {diff.before}, the last one seen is {last.last}"

    @staticmethod
    def _joins(id: int, diff: Diff) -> bool:
        return diff.first <= id + 1 if diff.before is None else diff.before <= id

    @staticmethod
    def _begins(diff: Diff) -> str:
        return f"starts at {diff.first}" if diff.before is None else f"follows {diff.before}"

    def _give_up(self, diff: Diff, missing: str) -> None:
        """Note a gap before a diff; the book, if there was one, is not followed any further."""
        self.findings.gap(diff.line, missing, self.id is not None)
        self.id, self.kept = None, []

    def _on_snapshot(self, message: Message) -> None:
        if self.id is None:
            self.snapshot = message
            self._join()

    def _join(self) -> None:
        """Build the book of the waiting snapshot and of the diffs that follow it, if they join."""
        if self.snapshot is None:
            return
        id = int(self.snapshot.data["lastUpdateId"])
        after = [diff for diff in self.kept if diff.last > id]
        if after and not self._joins(id, after[0]):
            if not self.findings.gap_list or self.findings.gap_list[-1].row != after[0].line:
                missing = f"the snapshot has id {id}, the first diff after it {self._begins(after[0])}"
                self.findings.gap(max(after[0].line, self.snapshot.line), missing, False)
            self.snapshot = None
            return
        self.skipped += len(self.kept) - len(after)
        self._build(self.snapshot, id)
        self.snapshot, self.kept = None, []
        for diff in after:
            self._apply(diff)

    # -- the book

    def _build(self, snapshot: Message, id: int) -> None:
        self.used += 1
        self.joined = False
        for order in self.level_order.values():
            self.driver.cancel(order)
        self.level_order.clear()
        for side, name in ((Side.BUY, "bids"), (Side.SELL, "asks")):
            for price, lots in self._levels(snapshot.line, snapshot.data[name]):
                self._set(snapshot.line, side, price, lots)
        self.segments.append([id, id])
        self._at(id, snapshot.line)

    def _apply(self, diff: Diff) -> None:
        """Apply a diff: first what is taken away, then what is added."""
        self.joined = True
        more = []
        for side, written in diff.levels.items():
            for price, lots in self._levels(diff.line, written):
                if lots < self.driver.lots(self.level_order.get((side, price), 0)):
                    self._set(diff.line, side, price, lots)
                else:
                    more.append((side, price, lots))
        for side, price, lots in more:
            self._set(diff.line, side, price, lots)
        self.segments[-1][1] = diff.last
        self._at(diff.last, diff.line)

    def _levels(self, line: int, written: list[Written]) -> list[tuple[int, int]]:
        try:
            return [
                (record.scaled(price, self.units.price), record.scaled(lots, self.units.qty)) for price, lots, *_ in written
            ]
        except ValueError as error:
            raise record.bad(self.path, line, str(error)) from None

    def _set(self, line: int, side: int, price: int, lots: int) -> None:
        """Let a level have so many lots."""
        driver = self.driver
        order = self.level_order.get((side, price))
        if order is None:
            if not lots:
                return
            order = driver.own_id()
            driver.order(order, side, price, lots)
            if driver.refusal:
                self._refused(line, side, price, lots)
                driver.cancel(order)
                return
            self.level_order[side, price] = order
            return
        has = driver.lots(order)
        if lots < has:
            driver.reduce(order, has - lots)
            if not lots:
                driver.forget(order)
                del self.level_order[side, price]
        elif lots > has:
            if lots <= units.QTY_MAX:
                driver.send(EventKind.AMEND, order, qty=lots)
                if driver.refusal:
                    self._refused(line, side, price, lots)
            else:
                driver.cancel(order)
                del self.level_order[side, price]
                self._set(line, side, price, lots)

    def _refused(self, line: int, side: int, price: int, lots: int) -> None:
        crossed = self.driver.refusal.name == "WOULD_CROSS"
        self.findings.crossed += crossed
        kind = "crossed" if crossed else "refused"
        text = f"{Side(side).name.lower()} {self._words((price, lots))}: {self.driver.refusal.name}"
        self.findings.add(line, kind, text)

    # -- best prices

    def _at(self, id: int, line: int) -> None:
        """Note the best prices of the book at an update id."""
        self.id = id
        best = [next(iter(self.driver.book.top(side, 1)), None) for side in (Side.BUY, Side.SELL)]
        self.waiting.append(Top(line, id, *best))
        self._settle()

    def _on_ticker(self, message: Message) -> None:
        data = message.data
        (bid,), (ask,) = (self._levels(message.line, [pair]) for pair in ((data["b"], data["B"]), (data["a"], data["A"])))
        top = Top(message.line, int(data["u"]), bid, ask)
        if self.ticker_ids and top.id < self.ticker_ids[-1]:
            problem = f"the update id of bookTicker goes back from {self.ticker_ids[-1]} to {top.id}"
            raise record.bad(self.path, message.line, problem)
        self.tops.append(top)
        self.ticker_ids.append(top.id)
        self._settle()

    def _settle(self) -> None:
        """Compare the books for which the last bookTicker is final: one was seen with their id or a larger one."""
        while self.waiting and self.ticker_ids and self.ticker_ids[-1] >= self.waiting[0].id:
            book = self.waiting.popleft()
            at = bisect_right(self.ticker_ids, book.id) - 1
            if at >= 0:
                self._compare(book, self.tops[at])

    def _compare(self, book: Top, ticker: Top) -> None:
        self.compared.add(ticker.id)
        wrong = [
            f"best {name} {self._words(ours)}, bookTicker {self._words(theirs)} (line {ticker.line})"
            for name, ours, theirs in (("bid", book.bid, ticker.bid), ("ask", book.ask, ticker.ask))
            if ours != theirs
        ]
        if not self.findings.compared(not wrong):
            self.findings.add(book.line, "top", f"id {book.id}: {'; '.join(wrong)}")

    def _words(self, level: tuple[int, int] | None) -> str:
        if level is None:
            return "nothing"
        price, lots = level
        return f"{units.int_to_decimal(lots, self.units.qty)} at {units.int_to_decimal(price, self.units.price)}"

    def tickers(self) -> tuple[int, int]:
        """Return how many bookTickers lie inside a diff, and how many have no book."""
        starts = [first for first, _ in self.segments]
        inside = unjoined = 0
        for id in self.ticker_ids:
            if id in self.compared:
                continue
            at = bisect_right(starts, id) - 1
            if at >= 0 and id <= self.segments[at][1]:
                inside += 1
            else:
                unjoined += 1
        return inside, unjoined


def run(
    path: Path,
    twin: str = "engine",
    progress: Progress = lambda done, total, what: None,
    exchange: Callable | None = None,
) -> Conformance:
    """Return how a depth feed and the engine compare. exchange: a class under test."""
    progress(0, 0, "reading")
    found = scan(path)
    findings = Findings()
    driver = Driver(twin, found.start_ns, 1, (), exchange)
    check = Check(path, found, driver, findings)
    check.run(progress)
    inside, unjoined = check.tickers()
    part = BinanceDepth(
        market="spot" if found.spot else "futures",
        diffs=found.kinds["diff"],
        book_tickers=found.kinds["ticker"],
        trades=found.kinds["trade"],
        snapshots=found.kinds["snapshot"],
        snapshots_used=check.used,
        inside=inside,
        unjoined=unjoined,
        skipped_diffs=check.skipped,
        other=found.kinds["other"],
    )
    unknowns = ["levels beyond the depth of the snapshot that no diff has changed since"]
    return findings.answer("binance-depth", [shown(path)], driver, unknowns, binance_depth=part)
