"""Incidents: what happened, as data. A rule book, a tape recipe, what was true, the rules to compare, and what is not known.

Figures are decimal strings in whole quote units; times carry their zone. Every series says whether it was recorded, derived from
a record, made up (synthetic) or assumed. `Incident.prices` turns the recipe into integer price paths, one value a second, and
`Incident.moved` bends them into a true move of the fault's shape; riskbed/population.py and riskbed/moves.py make events of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AwareDatetime, Field, StrictBool, StrictInt, StringConstraints, model_validator

from specs import units
from specs.faults import Plan
from specs.rules import At, Name, Node, Ns, Ppm, Row, Text, Venue, quorum, walk
from specs.tape import USERS_FROM
from specs.window import Window

MINUTE_NS = 60 * units.NS
MINUTES_MAX = 1_440
SLOWER_MAX = 16

Provenance = Literal["recorded", "derived", "synthetic", "assumed"]
Variant = Literal["close", "low"]
Falling = Literal["market", "market-redemption"]
After = Literal["stays", "recovers"]
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


class Derived(Row):
    """A series computed from others of the incident, second by second: their product, or 1 / product; rounded toward -inf."""

    source: Name
    provenance: Literal["derived"]
    note: Text
    of: Annotated[list[Name], Field(min_length=1, max_length=4)]
    inverse: StrictBool = False


class Ladder(Row):
    """Resting orders of one account, placed post-only at one instant and never again: depth that can be used up.

    Level i of n stands at first + (last - first) * i / (n - 1), on tick toward the worse side, each of `lots`. Before them the
    account is opened and gets exactly what they give.
    """

    account: Annotated[StrictInt, Field(ge=USERS_FROM, le=0xFFFFFFFF)]
    market: Name
    side: Literal["buy", "sell"]
    at: AwareDatetime
    first: Figure
    last: Figure
    levels: Annotated[StrictInt, Field(ge=2, le=200)]
    lots: Annotated[StrictInt, Field(ge=1, le=units.QTY_MAX)]
    provenance: Literal["synthetic"]
    note: Text

    @property
    def at_ns(self) -> int:
        return units.instant_to_ns(self.at)


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


class Held(Row):
    """A collateral asset of a population, and the source that says what it is worth."""

    collateral: Name
    worth: Name


class Population(Row):
    """Seeded accounts: how many, from which seed, trading which market at the price of which source, margined in which asset.

    worth: the source that says what the asset is worth; absent: the recipe's broken one. more: further assets; the pairs take
    them in turn. The distribution stands in riskbed/population.py.
    """

    accounts: Annotated[StrictInt, Field(ge=2, le=units.ACCOUNTS_MAX, multiple_of=2)]
    seed: Annotated[StrictInt, Field(ge=0)]
    market: Name
    price_source: Name
    collateral: Name
    worth: Name | None = None
    more: list[Held] = []
    note: Text

    def held(self, broken: str) -> dict[str, str]:
        """Return collateral asset -> the source that says what it is worth, in the order in which pairs take them."""
        return {self.collateral: self.worth or broken} | {row.collateral: row.worth for row in self.more}


class Recipe(Row):
    """minute_series: every figure is held through its minute and said again every second; then one instant more, for make-whole.

    broken: the source that the plans break. ladders: resting orders on the tape.

    Of a figure that is a bar's close or low the tape knows it from the bar's first second: up to a minute too early.
    """

    kind: Literal["minute_series"]
    window: Window
    broken: Name
    minutes: list[MinuteSeries] = []
    constants: list[Constant] = []
    paths: list[AnchorPath] = []
    derived: list[Derived] = []
    ladders: list[Ladder] = []
    population: Population

    def series(self) -> list[MinuteSeries | Constant | AnchorPath | Derived]:
        """Return all series, those that others are derived from first."""
        return [*self.minutes, *self.constants, *self.paths, *self.derived]

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
            (row.source, None) for row in (*self.constants, *self.paths, *self.derived)
        ]
        for i, (source, variant) in enumerate(seen):
            if (
                (source, variant) in seen[:i]
                or (source, None) in seen[:i]
                or (variant is None and any(source == s for s, _ in seen[:i]))
            ):
                raise At((), f"source '{source}' has two series", "one a source, or one a variant")
        known = [row.source for row in self.series()]
        if self.broken not in [row.source for row in (*self.minutes, *self.derived)]:
            raise At(("broken",), f"'{self.broken}' has no minute series and is not derived")
        for i, row in enumerate(self.derived):
            before = known[: len(known) - len(self.derived) + i]
            for j, name in enumerate(row.of):
                if name not in before:
                    raise At(("derived", i, "of", j), f"'{name}' has no series above '{row.source}'")
        for i, name in enumerate(self.population.held(self.broken).values()):
            if name not in known:
                raise At(("population", *(("more", i - 1) if i else ()), "worth"), f"'{name}' has no series")
        for i, row in enumerate(self.ladders):
            if (row.at_ns - self.window.from_ns) % units.NS or not self.window.from_ns <= row.at_ns <= self.window.to_ns:
                raise At(("ladders", i, "at"), "not on the clock grid of the tape", "a whole second within the window")
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
    """One way to price the collateral: another recipe for the incident's index, or other rows of the rule book.

    changes: dotted path of the rule book (rows by name, as in `assumed`) -> what stands there instead. {}: nothing.
    """

    name: Name
    title: Text
    recipe: Node | None = None
    sources_min: Annotated[StrictInt, Field(ge=1, le=units.SOURCES_MAX)] = 1
    changes: dict[Text, Any] | None = None
    assumed: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> IndexRule:
        if (self.recipe is None) == (self.changes is None):
            raise At((), f"rule '{self.name}' needs a recipe or changes", "exactly one of the two")
        if self.recipe is not None:
            quorum(self.sources_min, self.recipe)
        return self


class Shape(NamedTuple):
    """One true move: what falls, what comes after, how many times slower than the fault.

    market: the venue's own book and the other markets. market-redemption: the issuer's ratio too. stays: at its low to the
    horizon. recovers: as the fault did, then back to the price of its start.
    """

    falling: Falling
    after: After
    slower: int

    @property
    def name(self) -> str:
        return f"{self.falling}-{self.after}" + (f"-{self.slower}x-slower" if self.slower > 1 else "")

    @property
    def title(self) -> str:
        falls = {"market": "market only", "market-redemption": "market + redemption"}[self.falling]
        return f"{falls}, {self.after}" + (f", {self.slower} times slower" if self.slower > 1 else "")

    def path(self, fall: list[int], length: int) -> list[int]:
        """Return `length` prices, one a second, of a fault's path: each second of it `slower` times, then what comes after."""
        if self.after == "stays":
            fall = fall[: fall.index(min(fall)) + 1]
        rest = fall[-1] if self.after == "stays" else fall[0]
        return [fall[i // self.slower] if i // self.slower < len(fall) else rest for i in range(length)]


class TrueMoves(Row):
    """The paired true moves that a guard is judged on: every one of `falling` x `after` x `slower`, of the fault's own shape.

    The shape is the broken series from `from`, the last quiet moment, to the end of the incident's window, as factors of its
    price at `from`. market: the series that fall with every move, the broken one among them; redemption: those that fall only
    where the issuer's ratio falls too. settle_ns: how long the tape goes on after the shape's window; at least the longest
    average of the rules, so that a guard that is late is not taken for one that hides. quick: names of the shapes of `--quick`.
    """

    from_time: AwareDatetime = Field(alias="from")
    market: Annotated[list[Name], Field(min_length=1)]
    redemption: list[Name]
    falling: Annotated[list[Falling], Field(min_length=1)]
    after: Annotated[list[After], Field(min_length=1)]
    slower: Annotated[list[Annotated[StrictInt, Field(ge=1, le=SLOWER_MAX)]], Field(min_length=1)]
    settle_ns: Ns
    quick: Annotated[list[Name], Field(min_length=1)]
    note: Text

    @property
    def from_ns(self) -> int:
        return units.instant_to_ns(self.from_time)

    @property
    def sources(self) -> list[str]:
        """Return every series that some move bends."""
        return [*self.market, *self.redemption]

    def falls(self, shape: Shape) -> list[str]:
        """Return the series that a shape bends."""
        return self.sources if shape.falling == "market-redemption" else list(self.market)

    def shapes(self, quick: bool = False) -> list[Shape]:
        """Return the shapes, those that fall alike beside each other; only those of `--quick` if asked."""
        found = [Shape(*axes) for axes in product(self.falling, self.after, self.slower)]
        return [shape for shape in found if shape.name in self.quick] if quick else found

    @model_validator(mode="after")
    def _consistent(self) -> TrueMoves:
        for field in ("falling", "after", "slower", "quick"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise At((field,), "the same twice")
        if "stays" not in self.after:
            raise At(("after",), "no move stays", "whether a guard hides is judged on moves that stay")
        if "market-redemption" in self.falling and not self.redemption:
            raise At(("redemption",), "no series falls with the issuer's ratio", "one at least, or only 'market' in falling")
        for i, source in enumerate(self.sources):
            if source in self.sources[:i]:
                raise At((), f"'{source}' falls twice")
        known = [shape.name for shape in self.shapes()]
        for i, name in enumerate(self.quick):
            if name not in known:
                raise At(("quick", i), f"'{name}' is not one of these shapes", "known: " + ", ".join(known))
        if self.settle_ns % units.NS or self.from_ns % units.NS:
            raise At(("settle_ns" if self.settle_ns % units.NS else "from",), "not on the clock grid", "whole seconds")
        return self


class Judged(Row):
    """The thresholds of a guard's verdict.

    hides: a move that stays leaves more than hidden_max_ppm of the notional that the move itself closes never liquidated. Else
    protects: erroneous notional under the fault falls by at least fall_min_ppm and no move that stays adds shortfall (fund
    draw and bad debt) above shortfall_max_ppm (1,000 is 10 bp) of the notional liquidated. Else trades.
    """

    hidden_max_ppm: Ppm = 50_000
    fall_min_ppm: Ppm = 950_000
    shortfall_max_ppm: Ppm = 1_000


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


class IndexAt(Row):
    """The published index under a rule of the incident, in percent below the product of `against`.

    sources: source -> the id of the fact whose figure it says; trades: spot market of the venue -> the fact at whose figure its
    book last traded; against: facts. Each is a fact of the same incident.
    """

    kind: Literal["index"]
    index: Name
    rule: Name
    sources: dict[Name, Name]
    trades: dict[Name, Name] = {}
    against: Annotated[list[Name], Field(min_length=1)]

    def facts(self) -> list[Name]:
        return [*self.sources.values(), *self.trades.values(), *self.against]


class Lowest(Row):
    """The lowest figure of minute series: of the mean or the median of several and of constants (`beside`), over `minutes`."""

    kind: Literal["lowest"]
    of: Annotated[list[Name], Field(min_length=1)]
    variant: Variant = "close"
    by: Literal["mean", "median"] = "mean"
    beside: list[Figure] = []
    minutes: Annotated[StrictInt, Field(ge=1, le=MINUTES_MAX)] = 1


class FallTo(Row):
    """The fall of a path from its first anchor to its lowest one, in percent."""

    kind: Literal["fall"]
    source: Name


Measure = Annotated[IndexAt | Lowest | FallTo, Field(discriminator="kind")]


class Fact(Row):
    """A published or computed figure that a run can be held against.

    kind: replay_exact (must come out, computed from the figures here), recorded_exact (computed from the full recorded series,
    which is not part of the project), published (of the real event: context, not a test, for the accounts are synthetic).
    tolerance: in the unit of `observed`, an absolute distance. measure: how a replay computes it; of replay_exact, and of these
    alone.
    """

    id: Name
    kind: Literal["replay_exact", "recorded_exact", "published"]
    what: Text
    observed: Figure
    unit: Text
    tolerance: Figure
    source: Text
    measure: Measure | None = None

    @model_validator(mode="after")
    def _measured(self) -> Fact:
        if (self.kind == "replay_exact") != (self.measure is not None):
            problem = "nothing says how it is computed" if self.measure is None else f"a fact that is {self.kind} is not computed"
            raise At((), f"fact '{self.id}': {problem}", "measure goes with kind replay_exact, and only with it")
        return self


class Paths(NamedTuple):
    """Prices by source number in the units of the sources. seconds[s][i]: from_ns + i seconds; make_whole[s]: at the instant."""

    from_ns: int
    to_ns: int
    instant_ns: int
    seconds: dict[int, list[int]]
    make_whole: dict[int, int]


class Moved(NamedTuple):
    """Prices of a true move by source number in the units of the sources. seconds[s][i]: from_ns + i seconds; last: horizon."""

    from_ns: int
    horizon_ns: int
    seconds: dict[int, list[int]]


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
    true_moves: TrueMoves | None = None
    judged: Judged = Judged()
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
        known = {row.source for row in self.tape.series()}
        variants = {row.variant for row in self.tape.minutes if row.source == self.tape.broken}
        for i, variant in enumerate(self.variants):
            if variants and variant not in variants and None not in variants:
                raise At(("variants", i), f"{self.tape.broken} has no series for variant '{variant}'")
        if self.true_moves is not None:
            self._moves_consistent(self.true_moves, known)
        self._facts_consistent()
        for field in ("rules", "facts"):
            seen = set()
            for i, row in enumerate(getattr(self, field)):
                name = row.name if field == "rules" else row.id
                if name in seen:
                    raise At((field, i), f"'{name}' is defined twice")
                seen.add(name)
        return self

    def _facts_consistent(self) -> None:
        """Raise At if a fact is measured by what the incident does not have."""
        ids, rules = [fact.id for fact in self.facts], [rule.name for rule in self.rules]
        paths = [path.source for path in self.tape.paths]
        for i, fact in enumerate(self.facts):
            at, row = ("facts", i, "measure"), fact.measure
            if isinstance(row, IndexAt):
                wrong = [name for name in row.facts() if name not in ids]
                if row.rule not in rules:
                    raise At((*at, "rule"), f"'{row.rule}' is not a rule here", "known: " + ", ".join(rules))
                if wrong:
                    raise At(at, f"'{wrong[0]}' is not a fact here", "known: " + ", ".join(ids))
            elif isinstance(row, Lowest):
                for j, name in enumerate(row.of):
                    series = [s for s in self.tape.minutes if s.source == name and s.variant in (row.variant, None)]
                    if not series:
                        raise At((*at, "of", j), f"'{name}' has no minute series here, variant {row.variant}")
                    if row.minutes > len(series[0].values()):
                        raise At((*at, "minutes"), f"a mean of {row.minutes} minutes, and the series has fewer")
            elif isinstance(row, FallTo) and row.source not in paths:
                raise At((*at, "source"), f"'{row.source}' has no path here", "known: " + (", ".join(paths) or "none"))

    def _moves_consistent(self, moves: TrueMoves, known: set[str]) -> None:
        for field in ("market", "redemption"):
            for i, source in enumerate(getattr(moves, field)):
                if source not in known:
                    raise At(("true_moves", field, i), f"'{source}' has no series here", "known: " + ", ".join(sorted(known)))
                if source == self.tape.population.price_source:
                    raise At(("true_moves", field, i), f"the accounts trade at the price of '{source}'", "a move leaves it alone")
        if self.tape.broken not in moves.market:
            raise At(("true_moves", "market"), f"the broken series '{self.tape.broken}' is not among them")
        if not self.tape.window.from_ns <= moves.from_ns < self.window.to_ns:
            raise At(("true_moves", "from"), "not within the tape and before the end of the incident's window")

    def check(self, venue: Venue) -> None:
        """Raise At if the incident names something that the venue does not have, or a figure is finer than its source.

        Meant for specs.load: load(file, Incident, check=lambda incident: incident.check(venue)).
        """
        sources, indices = [row.name for row in venue.sources], [row.name for row in venue.indices]
        if self.index not in indices:
            raise At(("index",), f"'{self.index}' is not an index of {venue.name}", "known: " + ", ".join(indices))
        for field in ("minutes", "constants", "paths", "derived"):
            for i, row in enumerate(getattr(self.tape, field)):
                at = ("tape", field, i)
                if row.source not in sources:
                    raise At((*at, "source"), f"'{row.source}' is not a source of {venue.name}", "known: " + ", ".join(sources))
                if field == "derived":
                    continue
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
        said = {row.source for row in self.tape.series()}
        silent = [name for name in sources if name not in said]
        if silent:
            raise At(("tape",), f"source '{silent[0]}' of {venue.name} has no series", "a series for every source")
        people, assets = self.tape.population, [row.asset for row in venue.collateral]
        markets, at = [row.name for row in venue.markets], ("tape", "population")
        spots = [row.name for row in venue.markets if row.spot]
        for path, name, known in (
            ((*at, "market"), people.market, [name for name in markets if name not in spots]),
            ((*at, "price_source"), people.price_source, sources),
            ((*at, "collateral"), people.collateral, assets),
            *(((*at, "more", i, "collateral"), row.collateral, assets) for i, row in enumerate(people.more)),
            *((("tape", "ladders", i, "market"), row.market, spots) for i, row in enumerate(self.tape.ladders)),
        ):
            if name not in known:
                raise At(path, f"'{name}' is not one of {venue.name}", "known: " + (", ".join(known) or "none"))
        for name in ("broken", "true_lower", "true_upper"):
            getattr(self.plans, name).check(venue, ("plans", name))
        for i, rule in enumerate(self.rules):
            try:
                self.with_rule(venue, rule.name)
            except ValueError as error:
                field = "changes" if rule.recipe is None else "recipe"
                raise At(("rules", i, field), str(error).splitlines()[0] if isinstance(error, At) else _cause(error)) from None

        spots = [row.name for row in venue.markets if row.spot]
        for i, fact in enumerate(self.facts):
            if not isinstance(fact.measure, IndexAt):
                continue
            for field, named, known in (
                ("index", [fact.measure.index], indices),
                ("sources", list(fact.measure.sources), sources),
                ("trades", list(fact.measure.trades), spots),
            ):
                for name in named:
                    if name not in known:
                        problem = f"'{name}' is not one of {venue.name}"
                        raise At(("facts", i, "measure", field), problem, "known: " + (", ".join(known) or "none"))

        if self.true_moves is not None:
            self._moves_check(venue, self.true_moves)

    def _moves_check(self, venue: Venue, moves: TrueMoves) -> None:
        """Raise At if a move cannot be made: no price to fall from; or if it ends before the slowest rule has heard it."""
        first = (moves.from_ns - self.tape.window.from_ns) // units.NS
        for variant in self.variants:
            if self._seconds(venue, variant, first + 1)[_source(venue, self.tape.broken)[0]][first] == 0:
                raise At(
                    ("true_moves", "from"), f"the price of {self.tape.broken} is 0 there, variant {variant}", "before it falls"
                )
        every = venue.indices[venue.number("indices", self.index)].publish.every_ns or venue.clock.cadence_ns
        for rule in (row for row in self.rules if row.recipe is not None):
            longest = max((node.publications for node in walk(rule.recipe) if node.kind == "twap"), default=0) * every
            if longest > moves.settle_ns:
                raise At(
                    ("true_moves", "settle_ns"),
                    f"the average of '{rule.name}' is longer",
                    f"at least {longest}: a guard that is late is not one that hides",
                )

    def with_rule(self, venue: Venue, rule: str) -> Venue:
        """Return the rule book with the incident's index made by another of its rules. KeyError if there is no such rule.

        Raises At where a rule changes what the rule book does not have.
        """
        row = next((row for row in self.rules if row.name == rule), None)
        if row is None:
            raise KeyError(rule)
        book = venue.model_dump()
        if row.changes is None:
            index = book["indices"][venue.number("indices", self.index)]
            index["recipe"], index["sources_min"] = row.recipe.model_dump(), row.sources_min
        for path, value in (row.changes or {}).items():
            _put(book, path, value)
        return Venue.model_validate(book)

    def prices(self, venue: Venue, variant: Variant = "close") -> Paths:
        """Return the price of every source at every second of the tape's window and at the make-whole instant."""
        from_ns, to_ns, instant_ns = self.tape.window.from_ns, self.tape.window.to_ns, self.make_whole.instant_ns
        seconds = self._seconds(venue, variant, (to_ns - from_ns) // units.NS + 1)
        make_whole: dict[int, int] = {}
        for row in self.tape.minutes:
            if row.variant in (variant, None):
                number, places = _source(venue, row.source)
                make_whole[number] = units.decimal_to_int(row.make_whole, places)
        for row in self.tape.constants:
            number, _ = _source(venue, row.source)
            make_whole[number] = seconds[number][0]
        for row in self.tape.paths:
            number, places = _source(venue, row.source)
            make_whole[number] = _line(_points(row, places), instant_ns, 1)[0]
        for row in self.tape.derived:
            parts = [make_whole[_source(venue, name)[0]] for name in row.of]
            make_whole[_source(venue, row.source)[0]] = self._derived(venue, row, parts)
        return Paths(from_ns, to_ns, instant_ns, seconds, dict(sorted(make_whole.items())))

    def _seconds(self, venue: Venue, variant: Variant, length: int) -> dict[int, list[int]]:
        """Return the price of every source at every second from the tape's first on; after its last figure a series holds it."""
        if variant not in self.variants:
            raise At(("variants",), f"'{variant}' is not a variant of {self.id}", "known: " + ", ".join(self.variants))
        seconds: dict[int, list[int]] = {}
        for row in self.tape.minutes:
            if row.variant in (variant, None):
                number, places = _source(venue, row.source)
                figures = [units.decimal_to_int(figure, places) for figure in row.values()]
                seconds[number] = [figures[min(i // 60, len(figures) - 1)] for i in range(length)]
        for row in self.tape.constants:
            number, places = _source(venue, row.source)
            seconds[number] = [units.decimal_to_int(row.price, places)] * length
        for row in self.tape.paths:
            number, places = _source(venue, row.source)
            seconds[number] = _line(_points(row, places), self.tape.window.from_ns, length)
        for row in self.tape.derived:
            parts = zip(*(seconds[_source(venue, name)[0]] for name in row.of), strict=True)
            seconds[_source(venue, row.source)[0]] = [self._derived(venue, row, prices) for prices in parts]
        return dict(sorted(seconds.items()))

    @staticmethod
    def _derived(venue: Venue, row: Derived, prices: Sequence[int]) -> int:
        """Return the product of the prices of its parts, or 1 / product, in the units of its source. Raises At."""
        down = sum(_source(venue, name)[1] for name in row.of)
        scale, product_of = _source(venue, row.source)[1], math.prod(prices)
        if not row.inverse:
            return product_of * 10**scale // 10**down
        if not product_of:
            raise At(("tape", "derived"), f"'{row.source}' divides by 0")
        return 10 ** (down + scale) // product_of

    def moved(self, venue: Venue, variant: Variant, shape: Shape, falls: bool = True) -> Moved:
        """Return the price of every source at every second of a true move, up to the end of its settling time.

        Series that fall are as recorded up to true_moves.from, and from there on the price they had then x the shape's factor,
        rounded toward -inf; falls False: x 1, the same world without the move. The others go on as recorded.
        """
        moves, horizon_ns = self.true_moves, self.move_horizon_ns(shape)
        first, last, end = (
            (time_ns - self.tape.window.from_ns) // units.NS for time_ns in (moves.from_ns, self.window.to_ns, horizon_ns)
        )
        length = end + 1
        seconds = self._seconds(venue, variant, length)
        fall = seconds[_source(venue, self.tape.broken)[0]][first : last + 1]
        path = shape.path(fall, length - first) if falls else fall[:1] * (length - first)
        for name in moves.falls(shape):
            number, _ = _source(venue, name)
            before, start = seconds[number][:first], seconds[number][first]
            seconds[number] = before + [units.muldiv_floor(start, price, fall[0]) for price in path]
        return Moved(self.tape.window.from_ns, horizon_ns, seconds)

    def move_horizon_ns(self, shape: Shape) -> int:
        """Return where a shape ends: after its window, stretched, and the time to settle. Outcomes after it are not compared."""
        moves = self.true_moves
        return moves.from_ns + shape.slower * (self.window.to_ns - moves.from_ns) + moves.settle_ns


def _put(book: dict, path: str, value: Any) -> None:
    """Put a value at a dotted path of a rule book's tree: rows by name, asset or kind, or by number. Raises At."""
    here: Any = book
    *steps, last = path.split(".")
    for step in steps:
        if isinstance(here, list):
            rows = [row for row in here if step in (row.get("name"), row.get("asset"), row.get("kind"))]
            here = rows[0] if rows else here[int(step)] if step.isdigit() and int(step) < len(here) else None
        else:
            here = here.get(step) if isinstance(here, dict) else None
        if here is None:
            raise At((), f"'{path}' leads nowhere: no '{step}'", "a dotted path of the rule book, rows by name")
    if not isinstance(here, dict) or last not in here:
        raise At((), f"'{path}' leads nowhere: no '{last}'", "a dotted path of the rule book, rows by name")
    here[last] = value


def _source(venue: Venue, name: str) -> tuple[int, int]:
    number = venue.number("sources", name)
    return number, venue.sources[number].price_decimals


def _points(row: AnchorPath, places: int) -> list[tuple[int, int]]:
    return [(units.instant_to_ns(anchor.at), units.decimal_to_int(anchor.price, places)) for anchor in row.anchors]


def _line(points: list[tuple[int, int]], from_ns: int, length: int) -> list[int]:
    """Return `length` values a second apart from from_ns, on straight lines between (time, price) points, rounded toward -inf.

    After the last point its price is held.
    """
    values, k = [], 0
    for i in range(length):
        now = min(from_ns + i * units.NS, points[-1][0])
        while k + 2 < len(points) and points[k + 1][0] <= now:
            k += 1
        (t0, p0), (t1, p1) = points[k], points[k + 1]
        values.append(p0 + (p1 - p0) * (now - t0) // (t1 - t0))
    return values


def _cause(error: ValueError) -> str:
    """Return the first cause of a pydantic error, in one line."""
    errors = getattr(error, "errors", None)
    return errors(include_url=False)[0]["msg"] if errors else str(error)
