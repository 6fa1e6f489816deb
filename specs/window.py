"""Windows of time, as the files that people write state them: `from` and `to`, each with its zone.

There are two kinds, and a field's type says which: of a Window both ends belong to it, of a HalfOpenWindow the end does not.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field, model_validator

from specs import units
from specs.rules import At, Row


class _Ends(Row):
    from_time: AwareDatetime = Field(alias="from")
    to_time: AwareDatetime = Field(alias="to")

    @property
    def from_ns(self) -> int:
        return units.instant_to_ns(self.from_time)

    @property
    def to_ns(self) -> int:
        return units.instant_to_ns(self.to_time)


class Window(_Ends):
    """[from, to]: both ends belong to it."""

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.to_ns < self.from_ns:
            raise At(("to",), "the window ends before it begins", "a later 'to'")
        return self


class HalfOpenWindow(_Ends):
    """[from, to): never empty, and of times that a tape can carry."""

    @model_validator(mode="after")
    def _holds_time(self) -> HalfOpenWindow:
        for key, time_ns in (("from", self.from_ns), ("to", self.to_ns)):
            if not 0 <= time_ns <= units.TIMES_MAX_NS:
                raise At((key,), "the time is out of range", f"from 1970 to {units.ns_to_instant(units.TIMES_MAX_NS)[:4]}")
        if self.to_ns <= self.from_ns:
            raise At(("to",), "the window is empty: it does not end after it begins", "half-open [from, to): a later 'to'")
        return self
