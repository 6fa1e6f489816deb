"""Busted fills: which of those that are kept goes back, once, with both fees; of L23."""

from __future__ import annotations

from specs import units
from specs.lawbook import Breaches
from specs.scene import Case, Outcome
from specs.tape import EventKind, Flow, OutcomeKind, Reason


class Fills:
    """The fills that may be busted, replayed: rows as the table has them."""

    def __init__(self, case: Case) -> None:
        self.case, self.count = case, case.before["clock"][0][3]
        self.kept = {row[0]: row for row in case.before["fills"]}
        self.due: tuple[int, int] | None = None  # (maker, fee) of a bust whose FEE_RETURNED comes next

    def told(self, o: Outcome) -> None:
        """Count a fill, and forget the one that is now too old."""
        book, most = self.case.book, self.case.book.venue.limits.fills_kept
        cash, fees = abs(o.qty * book.value_at(o.market, o.price)), book.venue.markets[o.market].fees
        maker_fee = units.div_ceil(cash * fees.maker_ppm, units.PPM) if book.venue.clearing == "full" else 0
        self.kept[self.count] = (self.count, o.account, o.other, o.market, o.side, o.price, o.qty, o.money, maker_fee, 0)
        self.kept.pop(self.count - most, None)
        self.count += 1

    def see(self, o: Outcome) -> Breaches:
        if self.due and (o.flow, o.other, o.money) != (Flow.FEE_RETURNED, *self.due):
            yield f"a fill is busted and {self.due} (maker, fee) is not returned"
        elif not self.due and o.flow == Flow.FEE_RETURNED:
            yield f"a fee of {o.money} is returned to account {o.other}, none of its fills is busted"
        self.due = None
        if o.kind == OutcomeKind.FILL:
            self.told(o)
        elif o.kind == OutcomeKind.BUSTED:
            yield from self._busted(o)
        elif o.kind == OutcomeKind.REJECT and self.case.event.kind == EventKind.BUST:
            busted = self.kept[o.ref_id][-1] if o.ref_id in self.kept else None
            if (o.reason == Reason.UNKNOWN_FILL and busted is not None) or (o.reason == Reason.BUSTED_ALREADY and not busted):
                yield f"fill {o.ref_id} is not busted for {Reason(o.reason).name}, and that is not so"

    def _busted(self, o: Outcome) -> Breaches:
        row, e = self.kept.get(o.ref_id), self.case.event
        if (e.kind, e.ref_id) != (EventKind.BUST, o.ref_id) or row is None or row[-1]:
            yield f"fill {o.ref_id} is busted: nobody asked for it, it is not kept, or it was busted before"
            return
        if (o.account, o.other, o.market, o.side, o.price, o.qty, o.money) != row[1:8]:
            yield f"fill {o.ref_id} is busted as {o.qty} lots at {o.price} and a fee of {o.money}, it was {row}"
        self.kept[o.ref_id] = (*row[:-1], 1)
        self.due = (row[2], row[8]) if row[8] else None

    def end(self) -> Breaches:
        if self.due:
            yield f"a fill is busted and {self.due} (maker, fee) is not returned"
        now = self.case.after["clock"][0][3], self.case.after["fills"]
        if now != (self.count, [self.kept[number] for number in sorted(self.kept)]):
            yield f"{now[0]} fills are counted and {now[1]} kept, the outcomes say {self.count} and {self.kept}"
