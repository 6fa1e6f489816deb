"""Suites and baselines: which incident runs under which rule book with which faults, and what was accepted of it.

A suite is written by hand: named cases and their limits. Its baseline stands beside it, core.baseline.yaml beside core.yaml: per
case the digest of the outcomes, the figures, the digests of what went in, and the reason of whoever accepted it. `riskbed
regress --accept` writes it, a person reads its diff. It carries no date: the history of the repository does.

Figures are exact decimal strings; riskbed/regress.py says which there are.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StringConstraints, model_validator

from specs import load, units
from specs.incident import Variant
from specs.pair import Run
from specs.rules import At, Name, Row, Text, Whole

BASELINE_SUFFIX = load.BASELINE_SUFFIX

Figure = Annotated[str, StringConstraints(strict=True, pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$")]
Bound = StrictInt | Figure
Digest = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{32}$")]
Reason = Annotated[str, StringConstraints(strict=True, min_length=1, pattern=r"\S")]

_RULES = ("most", "least", "most_added", "most_removed")


class Limit(Row):
    """A bound on a figure that fails the build: one of most, least; or, against the baseline, one of most_added, most_removed."""

    figure: Name
    against: Literal["baseline"] | None = None
    most: Bound | None = None
    least: Bound | None = None
    most_added: Whole | None = None
    most_removed: Whole | None = None

    @property
    def rule(self) -> str:
        return next(name for name in _RULES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_rule(self) -> Limit:
        given = [name for name in _RULES if getattr(self, name) is not None]
        if len(given) != 1:
            problem = f"a limit with both {given[0]} and {given[1]}" if given else "a limit without a bound"
            raise At((given[1],) if given else (), problem, "one of: " + ", ".join(_RULES))
        moves = given[0] in ("most_added", "most_removed")
        if moves and self.against is None:
            raise At((given[0],), f"{given[0]} of what?", "add against: baseline")
        if not moves and self.against is not None:
            raise At(("against",), f"'{given[0]}' is a bound of its own", "leave against out, or most_added, most_removed")
        return self

    def holds(self, now: str, accepted: str | None) -> bool:
        """Return whether the figure is within the bound, exactly. accepted: the baseline's figure, of use to `against` alone."""
        bound, figure = Fraction(str(getattr(self, self.rule))), Fraction(now)
        if self.against is None:
            return figure <= bound if self.rule == "most" else figure >= bound
        moved = figure - Fraction(accepted)
        return (moved if self.rule == "most_added" else -moved) <= bound

    def __str__(self) -> str:
        return f"{self.rule.replace('_', ' ')} {getattr(self, self.rule)}"


class Case(Row):
    """One incident under one rule book with one plan.

    incident, venue, plan: a packaged name, or a path from the folder of the suite. venue: default the incident's own. The
    accounts are drawn for the incident's own rule book in any case: another rule book meets the same accounts. plan: default
    the incident's broken run. seed, accounts: default the incident's. run: of a pair of incidents, and of nothing else, which of
    its runs; default A+B. It is held against the same run without B.
    """

    name: Name
    title: Text = ""
    incident: Text
    venue: Text | None = None
    plan: Text | None = None
    seed: Annotated[StrictInt, Field(ge=0)] | None = None
    accounts: Annotated[StrictInt, Field(ge=2, le=units.ACCOUNTS_MAX, multiple_of=2)] | None = None
    variant: Variant = "close"
    run: Run | None = None
    limits: list[Limit] = []


class Suite(Row):
    """Named cases, in the order in which they are told."""

    schema_version: Literal[1]
    name: Name
    title: Text = ""
    cases: Annotated[list[Case], Field(min_length=1, max_length=1_000)]

    @model_validator(mode="after")
    def _names(self) -> Suite:
        seen = set()
        for i, case in enumerate(self.cases):
            if case.name in seen:
                raise At(("cases", i, "name"), f"'{case.name}' is defined twice", "a name of its own: baselines go by it")
            seen.add(case.name)
        return self

    def file(self, folder: Path, number: int, kind: Literal["incident", "venue", "plan"]) -> Path | None:
        """Return the file that a case names, None where it names none. Raises At where there is no such file."""
        text, at = getattr(self.cases[number], kind), ("cases", number, kind)
        if text is None:
            return None
        known = load.names(kind)
        if text in known:
            return known[text]
        path = folder / text
        if "/" not in text and not text.endswith((".yaml", ".yml")):
            remedy = load.near(text, known) + f"; or a path from {load.shown(folder)}, ending in .yaml"
            raise At(at, f"there is no {kind} named '{text}'", remedy)
        if not path.is_file():
            raise At(at, f"no such file: {load.shown(path)}", load.near_file(path))
        return path


class Accepted(Row):
    """What was accepted of a case. digest: blake2b-128 of its runs' outcomes. inputs: of tape, rule book and plans.

    outcome_schema: the version of the outcome records that the digest is over.
    """

    reason: Reason
    digest: Digest
    outcome_schema: Annotated[StrictInt, Field(ge=1)]
    inputs: Annotated[dict[Name, Digest], Field(min_length=1)]
    figures: Annotated[dict[Name, Figure], Field(min_length=1)]


class Baseline(Row):
    """What was accepted of a suite. history: the reasons, newest last; a case keeps the reason of its own last change."""

    schema_version: Literal[1]
    suite: Name
    history: Annotated[list[Reason], Field(min_length=1)]
    cases: dict[Name, Accepted]

    @model_validator(mode="after")
    def _reasons(self) -> Baseline:
        for name, case in self.cases.items():
            if case.reason not in self.history:
                raise At(("cases", name, "reason"), "this reason is not in the history", "accept anew, rather than edit by hand")
        return self

    def check(self, suite: Suite) -> None:
        """Raise At if this is the baseline of another suite."""
        if self.suite != suite.name:
            raise At(("suite",), f"this is the baseline of suite '{self.suite}'", f"of '{suite.name}'; accept writes it anew")

    def text(self) -> str:
        """Return the file: a fixed order, a line a value, so that its diff is what moved."""
        lines = [
            f"# What was accepted of suite {self.suite}, written by `riskbed regress --accept`; its diff is read in review.",
            f"schema_version: {self.schema_version}",
            f"suite: {_word(self.suite)}",
            "history:",
            *(f"  - {_quoted(reason)}" for reason in self.history),
            "cases:" if self.cases else "cases: {}",
        ]
        for name, case in self.cases.items():
            lines += [f"  {_word(name)}:", f"    reason: {_quoted(case.reason)}", f"    digest: {_quoted(case.digest)}"]
            lines.append(f"    outcome_schema: {case.outcome_schema}")
            for part in ("inputs", "figures"):
                lines.append(f"    {part}:")
                lines += [f"      {_word(key)}: {_quoted(value)}" for key, value in getattr(case, part).items()]
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _word(name: str) -> str:
    """Return a name as it may stand plain in YAML, else in quotes."""
    return (
        name
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name) and name.lower() not in ("null", "true", "false")
        else _quoted(name)
    )


def baseline_path(suite: Path) -> Path:
    """Return where the baseline of a suite's file stands: beside it."""
    return suite.with_name(suite.stem + BASELINE_SUFFIX)
