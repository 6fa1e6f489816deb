"""Mark prices: what positions are valued at."""

from __future__ import annotations

from collections import deque

from specs import rules
from specs.model.index import Published, grade_of
from specs.tape import Grade, Seam


class Mark:
    """One market's mark: the index, or median(index, index + mean basis, last)."""

    def __init__(self, number: int, row: rules.Market, venue: rules.Venue) -> None:
        self.number, self.row = number, row
        self.index = venue.number("indices", row.index)
        self.price_min, self.price_max = venue.price_min(row), venue.price_max(row)
        self.published = Published()
        self.basis: deque[int] = deque(maxlen=row.mark.basis_samples if row.mark.kind == "median" else 0)

    def publish(self, exchange, sample: bool) -> bool:
        """Publish at the exchange's time; `sample`: the index was published, so the basis is sampled. Return whether it changed.

        An index that is not VALID gives its grade to the mark and leaves the mark's number alone.
        """
        index = exchange.indices[self.index].published
        there, price = index.grade == Grade.VALID, index.price
        if there and self.row.mark.kind == "median":
            price = self._median(exchange, index.price, sample)
        there_now, price = exchange.seams.price(Seam.MARK_PUBLISH, self.number, exchange.now, there, price if there else 0)
        if there_now:
            grade = grade_of(True, price, self.price_min)
            if grade == Grade.VALID and price > self.price_max:
                grade = Grade.INVALID
        else:
            grade, price = Grade.TOO_FEW_SOURCES if there else index.grade, self.published.price
        return self.published.put(grade, price, exchange.now)

    def _median(self, exchange, index: int, sample: bool) -> int:
        mid = exchange.books[self.number].mid()
        if sample and mid is not None:
            self.basis.append(mid - index)
        parts = [index]
        if self.basis:
            parts.append(index + sum(self.basis) // len(self.basis))
        if exchange.last_price[self.number] is not None:
            parts.append(exchange.last_price[self.number])
        parts.sort()
        middle = len(parts) // 2
        return parts[middle] if len(parts) % 2 else (parts[middle - 1] + parts[middle]) // 2
