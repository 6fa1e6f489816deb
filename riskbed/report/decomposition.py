"""What A cost, what B cost, and what only both did: a picture and a table of exact differences between four runs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from riskbed.report import charts, html
from riskbed.result import flow_words

if TYPE_CHECKING:
    from riskbed.pair_result import LossRow

COLOURS = {"none": "#8a97a6", "A": "#e08e2b", "B": "#3b76b5", "A+B": "#a93226", "interaction": "#7d5ba6"}
FIELDS = {"A": "A", "B": "B", "A+B": "both", "interaction": "interaction"}
BARS = ("A", "B", "interaction")
GAP = 0.1  # of the width, between two panels


class Part(NamedTuple):
    """One panel, and one table. words: names that read better than those of the rows."""

    title: str
    rows: list[LossRow]
    words: dict[str, str] = {}

    def name(self, row: LossRow) -> str:
        return self.words.get(row.name, flow_words(row.name))


def figure(parts: list[Part], unit: str, one_scale: bool) -> dict:
    """Return the panels side by side: A, B and the interaction stacked upon 0, a mark where their sum A+B lies.

    one_scale: every panel has the same axis. For the eye, so in floats.
    """
    width = (1 + GAP) / len(parts)
    layout = charts._layout("", unit, barmode="relative", hovermode="closest", height=400, bargap=0.35)
    frame, traces = {"y": layout.pop("yaxis"), "x": layout.pop("xaxis")}, []
    layout["annotations"] = []
    for k, part in enumerate(parts):
        number = str(k + 1) if k else ""
        names = [part.name(row).replace(" ", "<br>") for row in part.rows]
        start = k * width
        x = {"type": "category", "title": {"text": ""}, "domain": [start, start + width - GAP], "anchor": f"y{number}"}
        y = {"anchor": f"x{number}", "zeroline": True, "zerolinecolor": "#b8c0c9", "title": {"text": "" if k else unit}}
        layout[f"xaxis{number}"] = frame["x"] | x | {"tickangle": 0, "tickfont": {"size": 11}}
        layout[f"yaxis{number}"] = frame["y"] | y | ({"matches": "y"} if k and one_scale else {})
        layout["annotations"].append(charts._heading(part.title if part.rows else f"{part.title}: none", 1.08) | {"x": start})
        for name in FIELDS:
            figures = [getattr(row, FIELDS[name]) for row in part.rows]
            if None not in figures and figures:
                traces.append(_trace(name, names, figures, unit) | {"xaxis": f"x{number}", "yaxis": f"y{number}"})
                traces[-1]["showlegend"] = name not in [trace["name"] for trace in traces[:-1]]
    layout["margin"] |= {"t": 56, "b": 84}
    layout["legend"] |= {"y": -0.2}
    return {"data": traces, "layout": layout}


def _trace(name: str, names: list[str], figures: list[str], unit: str) -> dict:
    words = [f"{name}: {html.money(figure)} {unit}" for figure in figures]
    values = {
        "x": names,
        "y": [float(figure) for figure in figures],
        "text": words,
        "hovertemplate": "%{x}<br>%{text}<extra></extra>",
    }
    values |= {"name": name, "legendgroup": name}
    if name in BARS:
        return values | {"type": "bar", "textposition": "none", "marker": {"color": COLOURS[name]}}
    mark = {"color": charts.INK, "symbol": "line-ew-open", "size": 22, "line": {"width": 2.5}}
    return values | {"type": "scatter", "mode": "markers", "marker": mark}


def table(part: Part, unit: str) -> str:
    """Return the rows, A, B, A+B and the interaction side by side; what was not run has no column."""
    if not part.rows:
        return f"<p>{escape(part.title)}: none.</p>"
    shown = [name for name in FIELDS if all(getattr(row, FIELDS[name]) is not None for row in part.rows)]
    rows = [
        html.row(html.text(part.name(row)), *(html.cell(html.money(figure), html.money(figure) == "0") for figure in figures))
        for row in part.rows
        for figures in [[getattr(row, FIELDS[name]) for name in shown]]
    ]
    return html.table(html.heads(f"{part.title}, {unit}", *shown), rows)
