"""The figures of a report as plotly figures: thinned to what a screen can show, one accent colour a label.

Everything here is for the eye only: prices and money become floats at this border and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from riskbed.labels import Label
from riskbed.result import rounded
from specs import units
from specs.tape import Grade

BUCKETS = 500  # of about two pixels each; each keeps up to four points
PANEL_PX, LANE_PX, POINT_PX = 200, 34, 28
LEGEND_CHARACTERS = 132  # of a line of a legend, eight a name for its line and its gap

INK, FAINT, GRID = "#1f2933", "#65717e", "#e6e9ed"
COLOURS = {
    Label.ERRONEOUS: "#c0392b",
    Label.PREMATURE: "#e08e2b",
    Label.LATE: "#3b76b5",
    Label.ORGANIC: "#8a97a6",
    Label.IN_BAND: "#b9c7b0",
    Label.MISSED: "#7d5ba6",
    Label.IN_BAND_MISSED: "#d3c6e3",
}
WORDS = {
    Label.ERRONEOUS: "erroneous",
    Label.PREMATURE: "premature",
    Label.LATE: "late",
    Label.ORGANIC: "organic",
    Label.IN_BAND: "in band",
    Label.MISSED: "missed",
    Label.IN_BAND_MISSED: "in band, missed",
}
LINES = ["#edb8b0", "#a93226", "#1b7f79", "#6f56a3", "#e08e2b", "#3b76b5"]
SHADE = "#f3ede4"
WIDE = 6  # of the published index: a pale band under the thin lines of its sources


def thin(x: np.ndarray, y: np.ndarray, buckets: int = BUCKETS) -> np.ndarray:
    """Return the positions to draw: of each of `buckets` equal stretches of x the first, the last, a lowest and a highest point.

    x ascends. What is drawn has the minima and maxima of the whole, and nothing is drawn where it was not.
    """
    if len(x) <= 4 * buckets:
        return np.arange(len(x))
    span = int(x[-1]) - int(x[0])
    bucket = (x - x[0]).astype(object) * buckets // (span + 1)
    bucket = bucket.astype(np.int64)
    first = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
    last = np.append(first[1:], len(x)) - 1
    order = np.lexsort((np.arange(len(y)), y, bucket))  # by bucket, then by height
    return np.unique(np.concatenate((first, last, order[first], order[last])))


def _times(time_ns: np.ndarray) -> list[str]:
    return [units.ns_to_instant(t).rstrip("Z") for t in time_ns.tolist()]


def _layout(title: str, y_title: str, **more) -> dict:
    axis = {"gridcolor": GRID, "linecolor": "#b8c0c9", "zeroline": False, "ticks": "outside", "tickcolor": "#b8c0c9"}
    layout = {
        "title": {
            "text": title,
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "font": {"size": 15, "color": INK},
            "yref": "container",
            "y": 0.97,
        },
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": FAINT},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "height": 380,
        "margin": {"l": 70, "r": 16, "t": 48, "b": 90},
        "legend": {"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top", "font": {"color": INK}},
        "hovermode": "x unified",
        "xaxis": axis | {"type": "date", "title": {"text": "time, UTC"}, "hoverformat": "%H:%M:%S"},
        "yaxis": axis | {"title": {"text": y_title}},
    }
    for key, value in more.items():
        layout[key] = layout.get(key, {}) | value if isinstance(value, dict) else value
    return layout


def span(figure: dict, from_ns: int, to_ns: int) -> None:
    """Let a chart show [from, to], so that the charts of a page can be read one above the other."""
    figure["layout"]["xaxis"]["range"] = _times(np.array([from_ns, to_ns]))


def _shade(from_ns: int, to_ns: int, text: str, colour: str = SHADE) -> dict:
    """Return the layout parts that shade a window and name it at its top."""
    start, end = (units.ns_to_instant(t).rstrip("Z") for t in (from_ns, to_ns))
    box = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": start,
        "x1": end,
        "y0": 0,
        "y1": 1,
        "fillcolor": colour,
        "line": {"width": 0},
        "layer": "below",
    }
    note = {
        "xref": "x",
        "yref": "paper",
        "x": start,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 11, "color": FAINT},
    }
    return {"shapes": [box], "annotations": [note]}


def step_line(
    name: str,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray, int],
    colour: str,
    until_ns: int,
    dash: str = "solid",
    width: float = 1.6,
    buckets: int = BUCKETS,
) -> dict:
    """Return a trace of a price that holds until the next one; where it is not VALID the line is broken."""
    time_ns, price, grade, places = columns
    inside = time_ns <= until_ns
    time_ns, price, grade = time_ns[inside], price[inside], grade[inside]
    kept = thin(time_ns, price, buckets)
    time_ns, price, grade = time_ns[kept], price[kept], grade[kept]
    valid = (grade == Grade.VALID).tolist()
    y = [number / 10**places if there else None for number, there in zip(price.tolist(), valid, strict=False)]
    x = _times(time_ns)
    if len(x) and time_ns[-1] < until_ns:
        x.append(_times(np.array([until_ns]))[0])
        y.append(y[-1])
    line = {"color": colour, "width": width, "dash": dash, "shape": "hv"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line, "connectgaps": False}


def price_figure(title: str, unit: str, traces: list[dict], window: tuple[int, int, str] | None) -> dict:
    """Return a chart of prices by source and index."""
    more = _shade(*window) if window else {}
    return {"data": traces, "layout": _layout(title, unit, **more)}


def bubbles(name: str, time_ns: np.ndarray, height: int, area: list[float], words: list[str], colour: str) -> dict:
    """Return the points of one lane; area in square pixels."""
    marker = {
        "color": colour,
        "size": area,
        "sizemode": "area",
        "sizeref": 1,
        "sizemin": 2,
        "opacity": 0.55,
        "line": {"width": 0},
    }
    points = {"x": _times(time_ns), "y": [height] * len(words), "text": words, "hovertemplate": "%{text}", "showlegend": False}
    return {"type": "scatter", "mode": "markers", "name": name, "marker": marker} | points


# ---- panels over one time axis


class Panel(NamedTuple):
    """A part of a stacked figure; lanes: the names of whole heights from 0, for a panel of points."""

    title: str
    unit: str
    traces: list[dict]
    lanes: list[str] | None = None

    @property
    def pixels(self) -> int:
        return PANEL_PX if self.lanes is None else LANE_PX * len(self.lanes)

    @property
    def head(self) -> int:
        """Return the pixels of its title, its legend, and the gap above them."""
        characters = sum(len(trace["name"]) + 8 for trace in self.traces if trace.get("showlegend", True))
        return 52 + 19 * -(-characters // LEGEND_CHARACTERS)


def stacked(
    panels: list[Panel], windows: list[tuple[int, int, str] | tuple[int, int, str, str]], from_ns: int, to_ns: int
) -> dict:
    """Return a figure of panels one above the other over one time axis.

    windows: (from, to, words) that are shaded, and in what colour if not in SHADE.
    """
    whole = sum(panel.head + panel.pixels for panel in panels)
    layout = _layout("", "", height=whole + 70, margin={"t": 16, "b": 54})
    axis = layout.pop("yaxis")
    parts = [_shade(*window) for window in windows]
    layout["shapes"] = [shape for part in parts for shape in part["shapes"]]
    notes: dict[str, dict] = {}
    for note in (note for part in parts for note in part["annotations"]):
        same = notes.setdefault(note["x"], note)
        same["text"] = note["text"] if same is note else f"{same['text']}, {note['text']}"
    layout["annotations"] = list(notes.values())
    layout["xaxis"] |= {"anchor": f"y{len(panels)}", "range": _times(np.array([from_ns, to_ns])), "showspikes": True}
    layout["xaxis"] |= {
        "spikemode": "across",
        "spikesnap": "cursor",
        "spikethickness": 1,
        "spikecolor": FAINT,
        "spikedash": "dot",
    }
    traces, above = [], 0
    for number, panel in enumerate(panels, 1):
        top = 1 - (above + panel.head) / whole
        above += panel.head + panel.pixels
        own = {"domain": [max(0.0, 1 - above / whole), top], "anchor": "x", "title": {"text": panel.unit}}
        if panel.lanes is not None:
            ticks = {"tickmode": "array", "tickvals": list(range(len(panel.lanes))), "ticktext": panel.lanes}
            own |= {"range": [-0.6, len(panel.lanes) - 0.4], "fixedrange": True, "automargin": True} | ticks
        layout[f"yaxis{number}"] = axis | own
        legend = {"y": top, "yanchor": "bottom", "x": 0, "orientation": "h", "font": {"color": INK, "size": 11}}
        layout[f"legend{number}"] = legend | {"bgcolor": "rgba(0,0,0,0)"}
        layout["annotations"].append(_heading(panel.title, top + (panel.head - 22) / whole))
        shown = panel.traces or [_nothing(from_ns)]
        traces += [trace | {"yaxis": f"y{number}", "legend": f"legend{number}"} for trace in shown]
    for old, new in (("yaxis1", "yaxis"), ("legend1", "legend")):
        layout[new] = layout.pop(old)
    return {"data": [_first(trace) for trace in traces], "layout": layout}


def _nothing(time_ns: int) -> dict:
    """Return a trace that nobody sees: plotly draws no axis that has none."""
    unseen = {"marker": {"opacity": 0}, "hoverinfo": "skip", "showlegend": False, "name": "nothing"}
    return {"type": "scatter", "mode": "markers", "x": _times(np.array([time_ns])), "y": [0]} | unseen


def _first(trace: dict) -> dict:
    """The first axis and the first legend have no number."""
    return trace | {key: word for key, word in (("yaxis", "y"), ("legend", "legend")) if trace[key] == f"{word}1"}


def _heading(title: str, y: float) -> dict:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left", "yanchor": "middle", "showarrow": False}
    return place | {"text": title, "font": {"size": 14, "color": INK}}


# ---- a waterfall


def waterfall_figure(title: str, unit: str, first: tuple[str, str], steps: list[tuple[str, str]], last: tuple[str, str]) -> dict:
    """Return a chart from one total to another over steps; figures are decimal strings of the unit."""
    names, figures = zip(first, *steps, last, strict=True)
    bars = {
        "type": "waterfall",
        "name": unit,
        "x": list(names),
        "y": [float(figure) for figure in figures],
        "measure": ["absolute", *["relative"] * len(steps), "total"],
        "text": [rounded(figure).replace("-", "\u2212") for figure in figures],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "x+text",
        "connector": {"line": {"color": "#b8c0c9", "width": 1}},
        "increasing": {"marker": {"color": "#1b7f79"}},
        "decreasing": {"marker": {"color": "#c0392b"}},
        "totals": {"marker": {"color": "#8a97a6"}},
    }
    more = {"xaxis": {"type": "category", "title": {"text": ""}, "automargin": True}, "hovermode": "closest", "showlegend": False}
    more["yaxis"] = {"zeroline": True, "zerolinecolor": "#b8c0c9", "range": _room(bars["y"][:-1])}
    return {"data": [bars], "layout": _layout(title, unit, **more)}


def _room(changes: list[float]) -> list[float]:
    """Return a range around the running sums and 0, with room for the figures above and below the bars."""
    sums = np.append(np.cumsum(changes), 0.0)
    low, high = float(sums.min()), float(sums.max())
    room = 0.12 * (high - low) or 1.0
    return [low - room, high + room]
