"""Index prices: sources, the recipe over them, and the published record."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from specs import rules, units
from specs.tape import Grade, Seam


class Reading(IntEnum):
    """What a node of a recipe yields."""

    OK = 0
    MISSING = 1
    STALE = 2
    INVALID = 3  # no 64-bit price


class Source:
    """A price series as last heard."""

    __slots__ = ("there", "price", "time_ns")

    def __init__(self) -> None:
        self.there, self.price, self.time_ns = False, 0, 0


class Published:
    """A price that was published: number, grade and time, and the last number that was VALID."""

    __slots__ = ("grade", "price", "time_ns", "valid", "last_valid")

    def __init__(self) -> None:
        self.grade, self.price, self.time_ns = Grade.TOO_FEW_SOURCES, 0, 0
        self.valid, self.last_valid = False, 0  # valid: it was VALID at least once

    def put(self, grade: Grade, price: int, now: int) -> bool:
        """Publish; return whether number or grade changed."""
        changed = (grade, price) != (self.grade, self.price)
        self.grade, self.price, self.time_ns = grade, price, now
        if grade == Grade.VALID:
            self.valid, self.last_valid = True, price
        return changed


def grade_of(there: bool, price: int, lowest: int = 1) -> Grade:
    """Return VALID for a price from the lowest that has a meaning, else INVALID: it is kept in the record and never evaluated."""
    return Grade.VALID if there and lowest <= price <= units.PRICE_MAX else Grade.INVALID


def median(prices: list[int]) -> int:
    """Return the median; of an even number the mean of the middle two, rounded down."""
    prices, middle = sorted(prices), len(prices) // 2
    return prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) // 2


class Index:
    """One index: evaluate the recipe from scratch, grade it, publish it."""

    def __init__(self, number: int, row: rules.Index, venue: rules.Venue) -> None:
        self.number, self.venue = number, venue
        self.row = row = rules.Index.model_validate(row.model_dump())  # a node a place, also where one object stands twice
        self.published = Published()
        self.lowest = 1 if row.prices == "positive" else -units.PRICE_MAX
        self.nodes = list(rules.walk(row.recipe))
        self.samples = {i: deque(maxlen=node.publications) for i, node in enumerate(self.nodes) if node.kind == "twap"}
        names = [n.name if n.kind == "source" else n.ratio for n in self.nodes if n.kind in ("source", "redemption")]
        self.sources = {venue.number("sources", name) for name in names}
        self.books = {venue.number("markets", n.market) for n in self.nodes if n.kind == "book"}
        self.legs = {venue.number("indices", n.name) for n in self.nodes if n.kind == "index"}

    def publish(self, exchange) -> bool:
        """Evaluate and publish at the exchange's time; return whether number or grade changed.

        Nothing usable: STALE if a part is stale, INVALID if one is, else TOO_FEW_SOURCES; the number before stays.
        """
        reading, price, used = self._read(exchange, self.row.recipe)
        there = reading == Reading.OK
        there_now, price = exchange.seams.price(Seam.INDEX_PUBLISH, self.number, exchange.now, there, price if there else 0)
        if there_now:
            enough = used >= self.row.sources_min or not there
            grade = grade_of(True, price, self.lowest) if enough else Grade.TOO_FEW_SOURCES
        else:
            price = self.published.price
            grade = {Reading.STALE: Grade.STALE, Reading.INVALID: Grade.INVALID}.get(reading, Grade.TOO_FEW_SOURCES)
        self.used = used
        return self.published.put(grade, price, exchange.now)

    def _read(self, exchange, node) -> tuple[Reading, int, int]:
        """Return (reading, price in index decimals, sources used) of a node; parts first, in the order of the recipe."""
        if node.kind == "source":
            return self._source(exchange, node.name)
        if node.kind == "redemption":
            under = self._read(exchange, node.underlying) if node.underlying is not None else None
            ratio = self._source(exchange, node.ratio)
            return ratio if under is None else self._product(under, ratio)
        if node.kind == "index":
            return self._leg(exchange, node.name)
        if node.kind == "book":
            market = self.venue.number("markets", node.market)
            price = exchange.books[market].mid()
            if price is None:
                price = exchange.last_price[market]
            return self._scaled(price, self.venue.markets[market].price_decimals)
        if node.kind == "product":
            left, right = (self._read(exchange, part) for part in node.of)
            return self._product(left, right)
        if node.kind == "floor":
            reading, price, used = self._read(exchange, node.of)
            return reading, max(price, rules.whole(node.price_min, self.row.price_decimals)) if reading == Reading.OK else 0, used
        if node.kind == "twap":
            reading, price, used = self._read(exchange, node.of)
            if reading != Reading.OK:
                return reading, 0, used
            samples = self.samples[next(i for i, other in enumerate(self.nodes) if other is node)]
            samples.append(price)
            return Reading.OK, sum(samples) // len(samples), used
        return self._together(node, [self._read(exchange, part) for part in node.of])

    @staticmethod
    def _together(node, parts: list[tuple[Reading, int, int]]) -> tuple[Reading, int, int]:
        usable = [(price, used, i) for i, (reading, price, used) in enumerate(parts) if reading == Reading.OK]
        if not usable:
            readings = [reading for reading, _, _ in parts]
            for worst in (Reading.STALE, Reading.INVALID):
                if worst in readings:
                    return worst, 0, 0
            return Reading.MISSING, 0, 0
        used = sum(used for _, used, _ in usable)
        if node.kind == "weighted":
            return Index._weighted(node, usable)
        prices = [price for price, _, _ in usable]
        return Reading.OK, sum(prices) // len(prices) if node.kind == "mean" else median(prices), used

    @staticmethod
    def _weighted(node, usable: list[tuple[int, int, int]]) -> tuple[Reading, int, int]:
        """Return the weighted mean of (price, sources used, number of the part), under the outlier row."""
        middle, outlier = median([price for price, _, _ in usable]), node.outlier
        kept = usable
        if outlier is not None and len(usable) >= outlier.parts_min:
            width = abs(middle) * outlier.ppm
            within = [row for row in usable if abs(row[0] - middle) * units.PPM <= width]
            if outlier.policy == "zero_weight":
                if len(usable) - len(within) > 1:
                    return Reading.OK, middle, sum(used for _, used, _ in usable)
                kept = within
            else:
                low = units.div_ceil(middle * units.PPM - width, units.PPM)
                high = units.div_floor(middle * units.PPM + width, units.PPM)
                kept = [(min(max(price, low), high), used, i) for price, used, i in usable]
        weight = sum(node.weights[i] for _, _, i in kept)
        if weight == 0:
            return Reading.MISSING, 0, 0
        return Reading.OK, sum(node.weights[i] * price for price, _, i in kept) // weight, sum(used for _, used, _ in kept)

    def _product(self, left, right) -> tuple[Reading, int, int]:
        for reading, _, _ in (left, right):
            if reading != Reading.OK:
                return reading, 0, 0
        return self._bounded(left[1] * right[1] // 10**self.row.price_decimals, left[2] + right[2])

    def _source(self, exchange, name: str) -> tuple[Reading, int, int]:
        number = self.venue.number("sources", name)
        source, row = exchange.sources[number], self.venue.sources[number]
        stale = row.stale_after_ns is not None and exchange.now >= source.time_ns + row.stale_after_ns
        reading = Reading.MISSING if not source.there else Reading.STALE if stale else Reading.OK
        there = reading == Reading.OK
        seen, price = exchange.seams.price(Seam.SOURCE_READ, number, exchange.now, there, source.price if there else 0)
        if not seen:
            return Reading.MISSING if there else reading, 0, 0
        return self._scaled(price, row.price_decimals)

    def _leg(self, exchange, name: str) -> tuple[Reading, int, int]:
        number = self.venue.number("indices", name)
        published = exchange.indices[number].published
        if published.grade != Grade.VALID:
            return {Grade.STALE: Reading.STALE, Grade.INVALID: Reading.INVALID}.get(published.grade, Reading.MISSING), 0, 0
        return self._scaled(published.price, self.venue.indices[number].price_decimals)

    def _scaled(self, price: int | None, decimals: int) -> tuple[Reading, int, int]:
        if price is None:
            return Reading.MISSING, 0, 0
        return self._bounded(price * 10 ** (self.row.price_decimals - decimals), 1)

    @staticmethod
    def _bounded(price: int, used: int) -> tuple[Reading, int, int]:
        return (Reading.OK, price, used) if abs(price) <= units.INT64_MAX else (Reading.INVALID, 0, 0)
