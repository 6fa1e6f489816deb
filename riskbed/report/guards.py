"""The page of `riskbed guards`: verdicts, what each guard trades for what, every shape with its table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from riskbed.report import charts, html, provenance
from specs import units
from specs.tape import Grade

if TYPE_CHECKING:
    from riskbed.guards import Done, Guard, Guards, OnMove

COLOURS = {"protects": "#1b7f79", "trades": "#e08e2b", "hides": "#c0392b", None: "#8a97a6"}


def render(done: Done) -> str:
    """Return report.html of a judging of guards. Raises ValueError if it would be too large."""
    figures = {"trade": _trade(done.answer), "shapes": _shapes(done)}
    return html.assemble(f"{done.answer.title}: guards", _body(done), figures)


# ---- figures


def _trade(answer: Guards) -> dict:
    """Return a chart of what each guard lets through under the fault against what it hides when the move is true."""
    traces = []
    for guard in answer.guards:
        if guard.erroneous_share is None or guard.hidden is None:
            continue
        mark = {"color": COLOURS[guard.verdict], "size": 13}
        point = {"x": [100 * guard.erroneous_share], "y": [100 * guard.hidden], "name": f"{guard.title}: {guard.verdict}"}
        traces.append({"type": "scatter", "mode": "markers", "marker": mark} | point)
    limits = answer.thresholds
    box = {"type": "rect", "x0": 0, "x1": 100 * (1 - limits.fall_min), "y0": 0, "y1": 100 * limits.hidden_max}
    box |= {"fillcolor": "#e4f1ef", "line": {"width": 0}, "layer": "below"}
    layout = charts._layout(
        "What a guard lets through, and what it hides",
        "never liquidated, worst move that stays, %",
        hovermode="closest",
        shapes=[box],
        xaxis={"type": "linear", "title": {"text": "erroneous under the fault, % of the unguarded rule's"}, "hoverformat": ".1f"},
        yaxis={"hoverformat": ".1f", "rangemode": "tozero"},
    )
    return {"data": traces, "layout": layout}


def _shapes(done: Done) -> dict:
    """Return a chart of the venue's own price on every shape that differs in it."""
    inputs, incident, seen, traces = done.inputs, done.inputs.incident, [], []
    number = inputs.venue.number("sources", incident.tape.broken)
    for shape in done.shapes:
        moved = incident.moved(inputs.venue, inputs.options.variant, shape)
        path = moved.seconds[number]
        if path in seen:
            continue
        time_ns = moved.from_ns + np.arange(len(path), dtype=np.int64) * units.NS
        columns = (time_ns, np.array(path), np.full(len(path), Grade.VALID), inputs.venue.sources[number].price_decimals)
        colour = charts.LINES[(len(seen) + 1) % len(charts.LINES)]  # the first is pale, for bands
        traces.append(charts.step_line(shape.title.partition(", ")[2], columns, colour, moved.horizon_ns))
        seen.append(path)
    return charts.price_figure(f"{incident.tape.broken} on the moves", inputs.venue.numeraire, traces, None)


# ---- words and tables


def _share(share: float | None) -> str:
    return html.cell(html.NONE if share is None else f"{share:.1%}", share == 0)


def _figure(number: float | None, form: str) -> str:
    return html.cell(html.NONE if number is None else f"{number:{form}}".replace("-", "\u2212"), number == 0)


def _sum(money: str) -> str:
    return html.cell(html.money(money), html.money(money) == "0")


def _body(done: Done) -> list[str]:
    answer = done.answer
    about = [f"rule book {answer.venue}", f"variant {answer.variant}, seed {answer.seed}", f"{answer.accounts:,} accounts"]
    parts = [
        f"<h1>{escape(answer.title)}: guards</h1>",
        f'<p class="faint">{escape(" · ".join([*about, f"{answer.runs} runs"]))}</p>',
        provenance.warning(done),
        "<h2>Verdicts</h2>",
        _words(answer),
        _verdicts(answer),
        '<div id="trade" class="chart"></div>',
        "<h2>The moves</h2>",
        '<div id="shapes" class="chart"></div>',
    ]
    for i, shape in enumerate(answer.shapes):
        parts += [f"<h2>{escape(shape.title)}</h2>", f"<p>{escape(', '.join(shape.falls))}; to {escape(shape.horizon)}.</p>"]
        parts.append(_shape_table(answer, [guard.moves[i] for guard in answer.guards]))
    return parts + provenance.unknown(done) + _provenance(answer)


def _words(answer: Guards) -> str:
    limits, unguarded = answer.thresholds, escape(answer.guards[0].title)
    of = answer.denominators
    return (
        f"<p>Every guard runs beside the unguarded rule, “{unguarded}”, under the fault and on true moves of the fault's own "
        "shape: the market alone or the issuer's ratio too, for good or for a while, as fast or slower. It <b>hides</b> if a "
        f"move that stays leaves more than {limits.hidden_max:.0%} never liquidated (of {escape(of['hidden'])}). Else it "
        f"<b>protects</b> if erroneous notional falls by at least {limits.fall_min:.0%} (of {escape(of['erroneous_share'])}) and "
        f"no move that stays adds shortfall (fund draw and bad debt) above {limits.shortfall_max_bp:g} bp "
        f"(of {escape(of['added_bp'])}). Else it <b>trades</b> one for the other.</p>"
    )


def _verdict(guard: Guard) -> str:
    return html.dot(COLOURS[guard.verdict], guard.verdict or "not judged")


def _verdicts(answer: Guards) -> str:
    figures = (f"erroneous {answer.numeraire}", "of unguarded", "never liquidated, worst", "added shortfall, worst bp")
    heads = html.heads("guard", "verdict", "why", *figures, left=3)
    rows = [
        html.row(
            html.text(guard.title),
            _verdict(guard),
            html.text(guard.why),
            _sum(guard.erroneous),
            _share(guard.erroneous_share),
            _share(guard.hidden),
            _figure(guard.added_bp, ".2f"),
        )
        for guard in answer.guards
    ]
    return html.table(heads, rows, "tight")


def _shape_table(answer: Guards, moves: list[OnMove]) -> str:
    unit, rows = answer.numeraire, []
    for guard, move in zip(answer.guards, moves, strict=True):
        own = move.of_the_move
        cells = [_share(move.whole.share), _share(own.share), _sum(own.spared), _sum(own.late)]
        cells += [_figure(own.median_delay_s, "g"), _figure(own.worst_delay_s, "g"), _sum(move.extra), _sum(move.shortfall)]
        cells += [_figure(move.added_bp, ".2f"), _sum(move.treasury_loss), _sum(move.hidden_shortfall)]
        rows.append(html.row(html.text(guard.title), *cells))
    groups = (
        '<th class="text"></th>',
        "<th></th>",
        '<th class="group" colspan="5">of the move\'s own</th>',
        '<th class="group" colspan="5">of everything</th>',
    )
    names = ["never liquidated", "never liquidated", f"spared {unit}", f"late {unit}", "median s", "worst s"]
    names += [f"extra {unit}", f"shortfall {unit}", "added bp", f"treasury's loss {unit}", f"hidden shortfall {unit}"]
    return html.table(html.row(*groups) + html.heads("guard", *names), rows, "tight")


def _provenance(answer: Guards) -> list[str]:
    series = [html.row(html.text(row.name), html.text(row.provenance), html.text(row.note)) for row in answer.series]
    inputs = [html.row(html.text(name), f'<td class="mono">{digest}</td>') for name, digest in answer.inputs.items()]
    versions = " · ".join(f"{name} {value}" for name, value in answer.versions.items())
    return [
        "<h2>Where the figures come from</h2>",
        html.table(html.heads("series", "provenance", "note", left=3), series),
        "<h2>Inputs</h2>",
        html.table(html.heads("input", "digest"), inputs),
        f'<p class="faint">{escape(versions)}</p>',
        "<h2>Token</h2>",
        f"<pre>{escape(answer.token)}</pre>",
    ]
