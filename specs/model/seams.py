"""Scheduled faults at named points where a rule reads or decides. A schedule is data: no dice are rolled here."""

from __future__ import annotations

from specs import units
from specs.tape import SEAM_ANY, Seam, SeamKind, seam_rows


class Seams:
    """The schedule of a run: rows (seam, key, from_ns, to_ns, kind, argument), a window being [from, to).

    Several rows that match are applied in the order of the schedule. `fired` counts how often each row acted.
    """

    def __init__(self, rows) -> None:
        self.rows = seam_rows(rows)
        self.held: list[tuple[bool, int] | None] = [None] * len(self.rows)
        self.fired = [0] * len(self.rows)

    def _acting(self, seam: Seam, key: int, now: int):
        for i, (at, wanted, start, end, kind, argument) in enumerate(self.rows):
            if at == seam and wanted in (key, SEAM_ANY) and start <= now < end:
                self.fired[i] += 1
                yield i, kind, argument, start, end

    def price(self, seam: Seam, key: int, now: int, there: bool, price: int) -> tuple[bool, int]:
        """Return (there, price) as read through the seam. A result that no 64-bit feed can carry is not there."""
        for i, kind, argument, start, end in self._acting(seam, key, now):
            if kind == SeamKind.HOLD:
                if self.held[i] is None:
                    self.held[i] = (there, price)
                there, price = self.held[i]
            elif kind == SeamKind.CONST:
                there, price = True, argument
            elif kind == SeamKind.MISSING:
                there, price = False, 0
            elif there:
                if kind == SeamKind.RAMP:
                    argument = units.PPM + argument * (end - now) // (end - start)
                price = price * argument // units.PPM
                if not units.INT64_MIN <= price <= units.INT64_MAX:
                    there, price = False, 0
        return there, price

    def decision(self, seam: Seam, key: int, now: int, verdict: bool) -> bool:
        """Return a decision as made through the seam."""
        for _, kind, _, _, _ in self._acting(seam, key, now):
            verdict = kind == SeamKind.FORCE_TRUE
        return verdict
