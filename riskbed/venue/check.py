"""`riskbed venue check`: a rule book against every check, the object behind --json, and what is printed.

specs/schema/venue-check.json is the JSON Schema; `python -m riskbed.venue.check` writes it anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from riskbed.result import Part
from riskbed.venue import brackets, changes, contradictions, prices, stages
from riskbed.venue.book import Book
from riskbed.venue.finding import Finding, Found
from specs.schema import text_of

CHECKS: dict[str, Callable[[Book], Iterator[Found]]] = {
    "initial-margin": brackets.initial_margin,
    "room-to-open": brackets.room_to_open,
    "margin-at-zero": brackets.at_zero,
    "continuity": brackets.continuity,
    "bracket-order": brackets.order,
    "one-move": brackets.one_move,
    "quorum": prices.quorum,
    "own-books": prices.own_books,
    "staleness": prices.staleness,
    "conversion": stages.conversion,
    "stages-end": stages.ends,
    "fund": stages.fund,
    "changes": changes.acts,
    "contradictions": contradictions.contradictions,
}
SEVERITIES = ("fails", "warns", "note")


class Judged(Part):
    """One check: its name, what it holds a rule book to, and how many findings of each severity it has."""

    rule: str
    holds: str
    fails: int
    warns: int
    notes: int


class Answer(Part):
    """passed: nothing fails; what warns may still cost money. findings: in the order of the file.

    assumed: paths that the rule book marks as not public.
    """

    schema_version: Literal[1]
    venue: str
    title: str
    file: str
    passed: bool
    rules: list[Judged]
    findings: list[Finding]
    assumed: list[str]


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "venue-check.json"


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Answer.model_json_schema())


def findings(book: Book, rule: str) -> list[Finding]:
    """Return what one check finds in a rule book."""
    found = []
    for row in CHECKS[rule](book):
        line, column = book.at(row.path)
        named = {"rule": rule, "severity": row.severity, "line": line, "column": column, "place": book.dotted(row.path)}
        found.append(Finding(**named, problem=row.problem, remedy=row.remedy))
    return found


def judge(book: Book) -> Answer:
    """Judge a rule book by every check."""
    found = {rule: findings(book, rule) for rule in CHECKS}
    rows = []
    for rule, check in CHECKS.items():
        counts = Counter(row.severity for row in found[rule])
        holds = check.__doc__.partition("\n")[0].rstrip(".")
        rows.append(Judged(rule=rule, holds=holds, fails=counts["fails"], warns=counts["warns"], notes=counts["note"]))
    ordered = sorted((row for rows in found.values() for row in rows), key=lambda row: (row.line, row.column))
    return Answer(
        schema_version=1,
        venue=book.venue.name,
        title=book.venue.title,
        file=book.document.name,
        passed=not any(row.fails for row in rows),
        rules=rows,
        findings=ordered,
        assumed=[row.path for row in book.venue.assumed],
    )


def show(answer: Answer) -> None:
    """Print the findings, the worst first, then the checks, then the verdict."""
    from riskbed import cli
    from riskbed.tables import _console

    console = _console()
    console.print(f"{answer.venue}  {answer.title}".rstrip(), style="bold", markup=False, soft_wrap=True)
    for severity in SEVERITIES:
        for row in answer.findings:
            if row.severity == severity:
                where = f"{answer.file}:{row.line}:{row.column}"
                remedy = f" ({row.remedy})" if row.remedy else ""
                line = f"{where}: {severity} [{row.rule}] {row.place}: {row.problem}{remedy}"
                console.print(line, markup=False, emoji=False, soft_wrap=True)  # no emoji: a column is not :100:
    table = cli._table("check", "holds a rule book to", "fails", "warns", "notes", text=2)
    for row in answer.rules:
        table.add_row(row.rule, row.holds, *(str(count or "-") for count in (row.fails, row.warns, row.notes)))
    cli._headed(console, "Checks", table)
    if answer.assumed:
        console.print(f"\nAssumed, not public: {', '.join(answer.assumed)}", markup=False, soft_wrap=True)
    failed = sum(row.fails for row in answer.rules)
    many = "findings fail" if failed > 1 else "finding fails"
    verdict = "nothing fails" if answer.passed else f"{failed} {many}: not solvent by construction"
    console.print(f"\n{verdict}", style="bold", markup=False)


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
