"""Where the figures come from: series, inputs, runs, versions; what is assumed and what is not known."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import html

if TYPE_CHECKING:
    from riskbed.guards import Done as Judged
    from riskbed.pair import Done as Pair
    from riskbed.pair_result import PairResult
    from riskbed.replay import Replay
    from riskbed.result import Result


def warning(done: Replay | Pair | Judged) -> str:
    """Return what stands at the top of a page whose series are not all recorded."""
    synthetic = [row.name for row in done.answer.series if row.provenance in ("synthetic", "assumed")]
    if not synthetic:
        return ""
    words = (
        f"Not recorded but synthetic: {', '.join(synthetic)}. Figures show what the rules do, not what happened to real accounts."
    )
    return f'<p class="warn">{escape(words)}</p>'


def unknown(done: Replay | Pair | Judged) -> list[str]:
    """Return what the run does not know, and the values that are not public."""
    answer = done.answer
    parts = [
        "<h2>What this run does not know</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in answer.unknowns) + "</ul>",
    ]
    if answer.assumed:
        rows = [html.row(f'<td class="text mono">{escape(note.path)}</td>', html.text(note.why)) for note in answer.assumed]
        parts += ["<h2>Assumed values</h2>", html.table(html.heads("value", "why", left=2), rows)]
    return parts


def section(answer: Result | PairResult, inputs: dict[str, str]) -> list[str]:
    """Return the series and their provenance, the digests of inputs and runs, and the replay token; inputs: name -> digest."""
    series = [html.row(html.text(row.name), html.text(row.provenance), html.text(row.note)) for row in answer.series]
    runs = [
        html.row(
            html.text(run.name),
            html.cell(f"{run.outcomes:,}"),
            html.cell(f"{run.forced_lots:,}"),
            f'<td class="mono">{run.digest}</td>',
        )
        for run in answer.runs
    ]
    given = [html.row(html.text(name), f'<td class="mono">{digest}</td>') for name, digest in inputs.items()]
    versions = " · ".join(f"{name} {value}" for name, value in answer.versions.items())
    return [
        "<h2>Where the figures come from</h2>",
        html.table(html.heads("series", "provenance", "note", left=3), series) if series else "",
        "<h2>Inputs and runs</h2>",
        html.table(html.heads("input", "digest"), given),
        "<p></p>",
        html.table(html.heads("run", "outcomes", "forced lots", "digest"), runs),
        f'<p class="faint">{escape(versions)}</p>',
        "<h2>Replay token</h2>",
        f"<pre>{escape(answer.token)}</pre>",
    ]
