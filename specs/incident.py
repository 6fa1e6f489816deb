"""Incidents: what happened, as data. A rule book, a tape recipe, what was true, the rules to compare, and what is not known.

Figures are decimal strings in whole quote units; times carry their zone. Every series says whether it was recorded, derived from
a record, made up (synthetic) or assumed. `Incident.prices` turns the recipe into integer price paths, one value a second;
riskbed/population.py makes events of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field, StrictInt, StringConstraints, model_validator

from specs import units
from specs.faults import Plan
from specs.rules import At, Name, Node, Ns, Row, Text, Venue
from specs.window import Window

MINUTE_NS = 60 * units.NS
MINUTES_MAX = 1_440

Provenance = Literal["recorded", "derived", "synthetic", "assumed"]
Variant = Literal["close", "low"]
Move = Literal["recorded", "true_move"]
Figure = Annotated[str, StringConstraints(strict=True, pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$")]
Figures = Annotated[str, StringConstraints(strict=True, pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?( (0|[1-9][0-9]*)(\.[0-9]+)?)*$")]
"""Figures in a row, a blank between them."""


class MinuteSeries(Row):
    """One figure a minute from the tape's first minute to its last. variant: which of several readings of a bar this is.

    make_whole: its figure at the make-whole instant.
    """

    source: Name
    variant: Variant | None = None
    provenance: Provenance
    note: Text
    figures: Annotated[list[Figures], Field(min_length=1)]
    make_whole: Figure
    make_whole_note: Text

    def values(self) -> list[str]:
        """Return the figures, one a minute."""
        return [figure for line in self.figures for figure in line.split(" ")]


class Constant(Row):
    """A series that never moves."""

    source: Name
    provenance: Provenance
    note: Text
    price: Figure


class Anchor(Row):
    """A point of a path."""

    at: AwareDatetime
    price: Figure
    provenance: Provenance
    note: Text = ""


class AnchorPath(Row):
    """A path through anchors: every second the straight line between two of them, rounded toward -inf to the source's unit."""

    source: Name
    provenance: Literal["synthetic"]
    note: Text
    anchors: Annotated[list[Anchor], Field(min_length=2)]

    @model_validator(mode="after")
    def _ascending(self) -> AnchorPath:
        for i in range(1, len(self.anchors)):
            if self.anchors[i].at <= self.anchors[i - 1].at:
                raise At(("anchors", i, "at"), "this anchor is not later than the one before it", "anchors in the order of time")
        return self


class Population(Row):
    """Seeded accounts: how many, from which seed, trading which market at the price of which source, margined in which asset.

    The distribution stands in riskbed/population.py.
    """

    accounts: Annotated[StrictInt, Field(ge=2, le=units.ACCOUNTS_MAX, multiple_of=2)]
    seed: Annotated[StrictInt, Field(ge=0)]
    market: Name
    price_source: Name
    collateral: Name
    note: Text


class Recipe(Row):
    """minute_series: every figure is held through its minute and said again every second; then one instant more, for make-whole.

    Of a figure that is a bar's close or low the tape knows it from the bar's first second: up to a minute too early.
    """

    kind: Literal["minute_series"]
    window: Window
    broken: Name
    minutes: Annotated[list[MinuteSeries], Field(min_length=1)]
    constants: list[Constant] = []
    paths: list[AnchorPath] = []
    population: Population

    @model_validator(mode="after")
    def _complete(self) -> Recipe:
        length = self.window.to_ns - self.window.from_ns
        if length % MINUTE_NS or self.window.from_ns % MINUTE_NS:
            raise At(
                ("window",), "the window does not begin and end on a minute", "whole minutes: the series has one figure for each"
            )
        count = length // MINUTE_NS + 1
        if count > MINUTES_MAX:
            raise At(("window",), f"{count} minutes, at most {MINUTES_MAX}")
        for i, row in enumerate(self.minutes):
            there = len(row.values())
            if there != count:
                raise At(
                    ("minutes", i, "figures"),
                    f"{there} figures for {count} minutes of {row.source}",
                    "one a minute, both ends included",
                )
        seen = [(row.source, row.variant) for row in self.minutes] + [
            (row.source, None) for row in (*self.constants, *self.paths)
        ]
        for i, (source, variant) in enumerate(seen):
            if (
                (source, variant) in seen[:i]
                or (source, None) in seen[:i]
                or (variant is None and any(source == s for s, _ in seen[:i]))
            ):
                raise At((), f"source '{source}' has two series", "one a source, or one a variant")
        if self.broken not in [row.source for row in self.minutes]:
            raise At(("broken",), f"'{self.broken}' has no minute series")
        return self


class Truth(Row):
    """The band in which the true price lay: the plans that repair the broken series at its lower and at its upper edge."""

    lower: Text
    upper: Text
    note: Text


class Plans(Row):
    """broken: the tape as recorded. true_lower, true_upper: its repairs, the edges of the truth band."""

    broken: Plan
    true_lower: Plan
    true_upper: Plan


class IndexRule(Row):
    """One way to price the collateral: another recipe for the incident's index."""

    name: Name
    title: Text
    recipe: Node
    sources_min: Annotated[StrictInt, Field(ge=1, le=units.SOURCES_MAX)] = 1
    assumed: Text | None = None


class TrueMove(Row):
    """The paired true move: these series follow the broken one's recorded path down to its minimum, and stay there."""

    sources: Annotated[list[Name], Field(min_length=1)]
    note: Text


class Option(Row):
    """One way to read a rule."""

    name: Name
    title: Text


class Reading(Row):
    """What a published rule leaves open. Results are shown under each option; published: what the venue does say."""

    name: Name
    question: Text
    published: Text
    options: Annotated[list[Option], Field(min_length=2)]


class MakeWhole(Row):
    """The venue's make-whole rule: the instant whose prices count (they stand with the series), a window, what is left open."""

    rule: Text
    instant: AwareDatetime
    window: Window
    payer: Literal["TREASURY"] = "TREASURY"
    readings: Annotated[list[Reading], Field(min_length=1)]

    @property
    def instant_ns(self) -> int:
        return units.instant_to_ns(self.instant)


class Fact(Row):
    """A published or computed figure that a run can be held against.

    kind: replay_exact (must come out, computed from the figures here), recorded_exact (computed from the full recorded series,
    which is not part of the project), published (of the real event: context, not a test, for the accounts are synthetic).
    tolerance: in the unit of `observed`, an absolute distance.
    """

    id: Name
    kind: Literal["replay_exact", "recorded_exact", "published"]
    what: Text
    observed: Figure
    unit: Text
    tolerance: Figure
    source: Text


class Paths(NamedTuple):
    """Prices by source number in the units of the sources. seconds[s][i]: from_ns + i seconds; make_whole[s]: at the instant."""

    from_ns: int
    to_ns: int
    instant_ns: int
    seconds: dict[int, list[int]]
    make_whole: dict[int, int]


class Incident(Row):
    """A whole incident."""

    schema_version: Literal[1]
    id: Name
    aliases: list[Name] = []
    title: Text
    window: Window
    venue: Name
    index: Name
    tape: Recipe
    variants: Annotated[list[Variant], Field(min_length=1)]
    truth: Truth
    horizon: AwareDatetime
    eps_ns: Ns
    plans: Plans
    rules: Annotated[list[IndexRule], Field(min_length=1)]
    true_move: TrueMove
    make_whole: MakeWhole
    facts: list[Fact]
    confidence: Literal["A", "B", "C"]
    sources: Annotated[list[Text], Field(min_length=1)]
    unknowns: Annotated[list[Text], Field(min_length=1)]

    @property
    def horizon_ns(self) -> int:
        """Outcomes after it are not compared."""
        return units.instant_to_ns(self.horizon)

    @model_validator(mode="after")
    def _consistent(self) -> Incident:
        tape = self.tape.window
        for name, window in (("window", self.window), ("make_whole", self.make_whole.window)):
            if not tape.from_ns <= window.from_ns <= window.to_ns <= tape.to_ns:
                raise At((name,), "not within the window of the tape", "the tape covers the incident and the make-whole window")
        if not self.window.to_ns <= self.horizon_ns <= tape.to_ns:
            raise At(("horizon",), "the horizon is not between the end of the incident and of the tape")
        if self.make_whole.instant_ns <= tape.to_ns:
            raise At(("make_whole", "instant"), "the make-whole instant lies on the tape's minutes", "after its window")
        if (self.make_whole.instant_ns - tape.from_ns) % units.NS:
            raise At(("make_whole", "instant"), "the make-whole instant is not on the clock grid", "a whole second")
        for i, path in enumerate(self.tape.paths):
            if (
                units.instant_to_ns(path.anchors[0].at) > tape.from_ns
                or units.instant_to_ns(path.anchors[-1].at) < self.make_whole.instant_ns
            ):
                raise At(
                    ("tape", "paths", i, "anchors"),
                    f"the anchors of {path.source} do not span the tape and the make-whole instant",
                )
        known = {row.source for row in (*self.tape.minutes, *self.tape.constants, *self.tape.paths)}
        variants = {row.variant for row in self.tape.minutes if row.source == self.tape.broken}
        for i, variant in enumerate(self.variants):
            if variant not in variants and None not in variants:
                raise At(("variants", i), f"{self.tape.broken} has no series for variant '{variant}'")
        for i, source in enumerate(self.true_move.sources):
            if source not in known:
                raise At(("true_move", "sources", i), f"'{source}' has no series here", "known: " + ", ".join(sorted(known)))
        for field in ("rules", "facts"):
            seen = set()
            for i, row in enumerate(getattr(self, field)):
                name = row.name if field == "rules" else row.id
                if name in seen:
                    raise At((field, i), f"'{name}' is defined twice")
                seen.add(name)
        return self

    def check(self, venue: Venue) -> None:
        """Raise At if the incident names something that the venue does not have, or a figure is finer than its source.

        Meant for specs.load: load(file, Incident, check=lambda incident: incident.check(venue)).
        """
        sources, indices = [row.name for row in venue.sources], [row.name for row in venue.indices]
        if self.index not in indices:
            raise At(("index",), f"'{self.index}' is not an index of {venue.name}", "known: " + ", ".join(indices))
        for field in ("minutes", "constants", "paths"):
            for i, row in enumerate(getattr(self.tape, field)):
                at = ("tape", field, i)
                if row.source not in sources:
                    raise At((*at, "source"), f"'{row.source}' is not a source of {venue.name}", "known: " + ", ".join(sources))
                places = venue.sources[sources.index(row.source)].price_decimals
                if field == "minutes":
                    figures = [*row.values(), row.make_whole]
                else:
                    figures = [row.price] if field == "constants" else [anchor.price for anchor in row.anchors]
                for figure in figures:
                    try:
                        units.decimal_to_int(figure, places)
                    except ValueError as error:
                        raise At(at, str(error), f"{row.source} has {places} decimals") from None
        silent = [
            name
            for name in sources
            if name not in {row.source for row in (*self.tape.minutes, *self.tape.constants, *self.tape.paths)}
        ]
        if silent:
            raise At(("tape",), f"source '{silent[0]}' of {venue.name} has no series", "a series for every source")
        people = self.tape.population
        for field, name, known in (
            ("market", people.market, [row.name for row in venue.markets]),
            ("price_source", people.price_source, sources),
            ("collateral", people.collateral, [row.asset for row in venue.collateral]),
        ):
            if name not in known:
                raise At(
                    ("tape", "population", field),
                    f"'{name}' is not one of {venue.name}",
                    "known: " + (", ".join(known) or "none"),
                )
        for name in ("broken", "true_lower", "true_upper"):
            getattr(self.plans, name).check(venue, ("plans", name))
        for i, rule in enumerate(self.rules):
            try:
                self.with_rule(venue, rule.name)
            except ValueError as error:
                raise At(("rules", i, "recipe"), str(error).splitlines()[0] if isinstance(error, At) else _cause(error)) from None

    def with_rule(self, venue: Venue, rule: str) -> Venue:
        """Return the rule book with the incident's index made by another of its rules. KeyError if there is no such rule."""
        row = next((row for row in self.rules if row.name == rule), None)
        if row is None:
            raise KeyError(rule)
        book = venue.model_dump()
        index = book["indices"][venue.number("indices", self.index)]
        index["recipe"], index["sources_min"] = row.recipe.model_dump(), row.sources_min
        return Venue.model_validate(book)

    def prices(self, venue: Venue, variant: Variant = "close", move: Move = "recorded") -> Paths:
        """Return the price of every source at every second of the tape's window and at the make-whole instant.

        move true_move: the sources it names follow the broken one's path to the first second of its minimum, then stay there.
        """
        if variant not in self.variants:
            raise At(("variants",), f"'{variant}' is not a variant of {self.id}", "known: " + ", ".join(self.variants))
        from_ns, to_ns, instant_ns = self.tape.window.from_ns, self.tape.window.to_ns, self.make_whole.instant_ns
        length = (to_ns - from_ns) // units.NS + 1
        seconds: dict[int, list[int]] = {}
        make_whole: dict[int, int] = {}
        for row in self.tape.minutes:
            if row.variant in (variant, None):
                number, places = _source(venue, row.source)
                figures = [units.decimal_to_int(figure, places) for figure in row.values()]
                seconds[number] = [figures[i // 60] for i in range(length)]
                make_whole[number] = units.decimal_to_int(row.make_whole, places)
        for row in self.tape.constants:
            number, places = _source(venue, row.source)
            make_whole[number] = units.decimal_to_int(row.price, places)
            seconds[number] = [make_whole[number]] * length
        for row in self.tape.paths:
            number, places = _source(venue, row.source)
            points = [(units.instant_to_ns(anchor.at), units.decimal_to_int(anchor.price, places)) for anchor in row.anchors]
            seconds[number] = _line(points, from_ns, length)
            make_whole[number] = _line(points, instant_ns, 1)[0]
        if move == "true_move":
            broken, broken_places = _source(venue, self.tape.broken)
            path = seconds[broken]
            bottom = path.index(min(path))
            fall = path[: bottom + 1] + [path[bottom]] * (length - bottom - 1)
            for name in self.true_move.sources:
                number, places = _source(venue, name)
                seconds[number] = [units.muldiv_floor(price, 10**places, 10**broken_places) for price in fall]
                make_whole[number] = seconds[number][-1]
        return Paths(from_ns, to_ns, instant_ns, dict(sorted(seconds.items())), dict(sorted(make_whole.items())))


def _source(venue: Venue, name: str) -> tuple[int, int]:
    number = venue.number("sources", name)
    return number, venue.sources[number].price_decimals


def _line(points: list[tuple[int, int]], from_ns: int, length: int) -> list[int]:
    """Return `length` values a second apart from from_ns, on straight lines between (time, price) points, rounded toward -inf."""
    values, k = [], 0
    for i in range(length):
        now = from_ns + i * units.NS
        while k + 2 < len(points) and points[k + 1][0] <= now:
            k += 1
        (t0, p0), (t1, p1) = points[k], points[k + 1]
        values.append(p0 + (p1 - p0) * (now - t0) // (t1 - t0))
    return values


def _cause(error: ValueError) -> str:
    """Return the first cause of a pydantic error, in one line."""
    errors = getattr(error, "errors", None)
    return errors(include_url=False)[0]["msg"] if errors else str(error)
