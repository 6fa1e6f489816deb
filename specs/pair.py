"""A day of two events as data: a macro cascade (A), a mispriced collateral (B), and the pair that plays both on one tape.

`Cascade` is A: how the market moved, who stood in it, who bought the dip, and the faults that make the event. `Pair` names A and
an `Incident` for B, and says which faults of the common plan belong to which. The base tape carries neither event: every source
that an index hears is quiet there, and what it said on the day stands beside it under another name, unheard, until a `repair` of
the plan lets it in.

Moves are in ppm of a market's first price at beta 1; figures are decimal strings in whole quote units; times carry their zone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StrictInt, model_validator

from specs import load, units
from specs.faults import AnyFault, Plan
from specs.incident import Fact, Figure, Provenance, Window
from specs.rules import At, Count, Name, Ns, Ppm, Row, Text, Venue

Move = Annotated[StrictInt, Field(gt=-units.PPM, le=units.PPM)]
PARTS = ("A", "B")
RUNS = ("none", "A", "B", "A+B")  # of one base tape: the parts whose faults are in it

Run = Literal["none", "A", "B", "A+B"]


class Point(Row):
    """A point of a path of moves: straight lines between neighbours, held before the first and after the last."""

    at: AwareDatetime
    ppm: Move
    provenance: Provenance
    note: Text

    @property
    def at_ns(self) -> int:
        return units.instant_to_ns(self.at)


class Range(Row):
    """Drawn log-uniformly from low to high."""

    low: Count
    high: Count

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.high < self.low:
            raise At(("high",), f"{self.high} is below {self.low}", "low <= high")
        return self


class Traded(Row):
    """One market of the cascade: its outside source, the source that carries the news, its first price, and who is in it.

    beta_ppm: its moves in 10^-6 of BTC's. pairs, carriers: pairs of accounts (riskbed/macro.py). notional: of one position, whole
    numeraire. distance_ppm: mean distance of a liquidation price from the entry. dips: how many buyers, each with `dip_notional`.
    """

    market: Name
    outside: Name
    news: Name
    price: Figure
    price_note: Text
    beta_ppm: Annotated[StrictInt, Field(ge=1, le=10 * units.PPM)]
    beta_note: Text
    pairs: Count
    carriers: Count
    notional: Range
    distance_ppm: Annotated[StrictInt, Field(ge=1_000, le=units.PPM)]
    dips: Count
    dip_notional: Range


class Dips(Row):
    """Buyers of the dip, taped: each comes at a uniform moment of the window and bids at the news path then, less a discount.

    discount_ppm: the largest discount at beta 1; each buyer's is uniform from 0 to it.
    """

    window: Window
    discount_ppm: Ppm
    note: Text


class CascadeTape(Row):
    """quiet, news: BTC's moves without and with the event, both from the day's high on. enter: when the ordinary pairs enter."""

    window: Window
    quiet: Annotated[list[Point], Field(min_length=1)]
    news: Annotated[list[Point], Field(min_length=1)]
    markets: Annotated[list[Traded], Field(min_length=1)]
    dips: Dips
    enter: Window
    carriers_enter: Window
    carriers_cut: Window
    collateral: Name
    seed: Annotated[StrictInt, Field(ge=0)]
    note: Text

    @model_validator(mode="after")
    def _ordered(self) -> CascadeTape:
        if (self.window.to_ns - self.window.from_ns) % units.NS or self.window.from_ns % units.NS:
            raise At(("window",), "the window does not begin and end on a second", "the clock grid is one second")
        for field in ("quiet", "news"):
            points = getattr(self, field)
            for i in range(1, len(points)):
                if points[i].at <= points[i - 1].at:
                    raise At((field, i, "at"), "this point is not later than the one before it", "points in the order of time")
        for field, window in (
            ("enter", self.enter),
            ("carriers_enter", self.carriers_enter),
            ("carriers_cut", self.carriers_cut),
            ("dips", self.dips.window),
        ):
            if not self.window.from_ns < window.from_ns <= window.to_ns < self.window.to_ns:
                raise At((field,), "not inside the window of the tape")
        if self.carriers_cut.from_ns <= self.carriers_enter.to_ns:
            raise At(("carriers_cut",), "carriers cut before all of them have entered")
        return self


class Cascade(Row):
    """Event A: a fall that the venue's own liquidations make, as a tape recipe and the faults that start it.

    low: the window in which the first market's low was observed.
    """

    schema_version: Literal[1]
    id: Name
    aliases: list[Name] = []
    title: Text
    part_of: Name
    window: Window
    venue: Name
    tape: CascadeTape
    low: Window
    faults: Annotated[list[AnyFault], Field(min_length=1)]
    facts: list[Fact]
    confidence: Literal["A", "B", "C"]
    sources: Annotated[list[Text], Field(min_length=1)]
    unknowns: Annotated[list[Text], Field(min_length=1)]

    def check(self, venue: Venue) -> None:
        """Raise At if the cascade names something that the venue does not have, or a price is finer than its source."""
        markets, sources = [row.name for row in venue.markets], [row.name for row in venue.sources]
        for i, row in enumerate(self.tape.markets):
            at = ("tape", "markets", i)
            if row.market not in markets:
                raise At((*at, "market"), f"'{row.market}' is not a market of {venue.name}", "known: " + ", ".join(markets))
            for field in ("outside", "news"):
                name = getattr(row, field)
                if name not in sources:
                    raise At((*at, field), f"'{name}' is not a source of {venue.name}", "known: " + ", ".join(sources))
                try:
                    units.decimal_to_int(row.price, venue.sources[sources.index(name)].price_decimals)
                except ValueError as error:
                    raise At((*at, "price"), str(error)) from None
        if self.tape.collateral not in [row.asset for row in venue.collateral]:
            raise At(("tape", "collateral"), f"'{self.tape.collateral}' is no collateral of {venue.name}")
        Plan(schema_version=1, name=self.id, faults=self.faults).check(venue)


class Part(Row):
    """One event of the pair: its file, and which faults of the common plan make it."""

    incident: Name
    faults: Annotated[list[Name], Field(min_length=1)]


class Collateral(Row):
    """The series of the collateral on the common tape: what an index hears, what was recorded, what was true.

    heard says what `true` says until a fault lets `recorded` in. series: the name of the recorded one in the incident of B.
    Before B's first minute its first figures are held.
    """

    heard: Name
    recorded: Name
    true: Name
    series: Name
    note: Text


class Pair(Row):
    """Both events on one tape. plan: every fault, A's from its own file first; `parts` says whose is whose.

    below_ppm: the collateral is said to have failed when its published price is below this, of 1.
    """

    schema_version: Literal[1]
    id: Name
    aliases: list[Name] = []
    title: Text
    parts: dict[Literal["A", "B"], Part]
    collateral: Collateral
    faults: Annotated[list[AnyFault], Field(min_length=1)]
    below: Figure
    variant: Literal["close", "low"] = "close"
    eps_ns: Ns
    facts: list[Fact] = []
    sources: Annotated[list[Text], Field(min_length=1)]
    unknowns: Annotated[list[Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _both(self) -> Pair:
        if set(self.parts) != set(PARTS):
            raise At(("parts",), "a pair has two parts", "A and B")
        return self

    def plan(self, cascade: Cascade) -> Plan:
        """Return the common plan: A's faults, then the pair's own."""
        return Plan(schema_version=1, name=self.id, faults=[*cascade.faults, *self.faults])

    def check(self, venue: Venue, cascade: Cascade) -> None:
        """Raise At if a fault has no part or two, or a name is not the venue's. Meant for specs.load, as Incident.check."""
        sources = [row.name for row in venue.sources]
        for field in ("heard", "recorded", "true"):
            if (name := getattr(self.collateral, field)) not in sources:
                raise At(("collateral", field), f"'{name}' is not a source of {venue.name}", "known: " + ", ".join(sources))
        known = [fault.id for fault in (*cascade.faults, *self.faults)]
        for name in PARTS:
            for i, fault in enumerate(self.parts[name].faults):
                if known.count(fault) != 1:
                    raise At(
                        ("parts", name, "faults", i), f"'{fault}' is not one fault of the pair", "known: " + ", ".join(known)
                    )
        claimed = [fault for name in PARTS for fault in self.parts[name].faults]
        for i, fault in enumerate(self.faults):
            if fault.id not in claimed:
                raise At(("faults", i, "id"), f"'{fault.id}' belongs to no part", "name it under parts.A or parts.B")
        for fault in set(claimed):
            if claimed.count(fault) > 1:
                raise At(("parts",), f"'{fault}' belongs to both parts")
        Plan(schema_version=1, name=self.id, faults=self.faults).check(venue)


def true_run(run: str) -> str:
    """Return the run that is true of another: the same without B, whose price is the error. A's fall happened: it is its own."""
    return {"B": "none", "A+B": "A"}.get(run, run)


def kind(path: Path) -> Literal["pair", "cascade"] | None:
    """Return whether an incident's file is a pair, a cascade that is part of one, or (None) neither. Raises SpecError."""
    tree = load.parse(load.read_text(path), load.shown(path)).tree
    if not isinstance(tree, dict):
        return None
    return "pair" if "parts" in tree else "cascade" if "part_of" in tree else None


def why_not(path: Path) -> tuple[str, str] | None:
    """Return (problem, remedy) if an incident's file is no incident by itself but a pair or a cascade; None if it is one."""
    found, whole = kind(path), path
    if found is None:
        return None
    if found == "cascade":
        whole = load.find("incident", load.load(path, Cascade).part_of)
    what = {"pair": "a pair of incidents", "cascade": f"the cascade of the pair {whole.stem}"}[found]
    return f"{path.stem} is {what}", f"name the incident that stands alone: {load.load(whole, Pair).parts['B'].incident}"
