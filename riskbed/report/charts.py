"""The figures of a report as plotly figures: thinned to what a screen can show, one accent colour a label.

Everything here is for the eye only: prices and money become floats at this border and nowhere else.
"""

from __future__ import annotations

import numpy as np

from riskbed.labels import Label, Labels
from specs import units
from specs.tape import Grade

BUCKETS = 500  # of about two pixels each; each keeps up to four points
MINUTE_NS = 60 * units.NS

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


def _shade(from_ns: int, to_ns: int, text: str) -> dict:
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
        "fillcolor": "#f3ede4",
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
) -> dict:
    """Return a trace of a price that holds until the next one; where it is not VALID the line is broken."""
    time_ns, price, grade, places = columns
    inside = time_ns <= until_ns
    time_ns, price, grade = time_ns[inside], price[inside], grade[inside]
    kept = thin(time_ns, price)
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


def label_figure(labels: Labels, decimals: int, unit: str, start_ns: int, window: tuple[int, int, str] | None) -> dict:
    """Return stacked bars, a minute each, of notional by label; what only the true run closed stands below the line."""
    minutes = (labels.time_ns - start_ns) // MINUTE_NS
    traces = []
    order = [Label.ORGANIC, Label.IN_BAND, Label.LATE, Label.PREMATURE, Label.ERRONEOUS, Label.MISSED, Label.IN_BAND_MISSED]
    for label in order:
        sums: dict[int, int] = {}
        for i in np.flatnonzero(labels.label == label).tolist():
            minute = int(minutes[i])
            sums[minute] = sums.get(minute, 0) + labels.notional[i]
        if not sums:
            continue
        sign = -1 if label in (Label.MISSED, Label.IN_BAND_MISSED) else 1
        at = sorted(sums)
        x = _times(np.array([start_ns + minute * MINUTE_NS + MINUTE_NS // 2 for minute in at], dtype=np.int64))
        y = [sign * sums[minute] / 10 ** (decimals + 6) for minute in at]
        bar = {
            "type": "bar",
            "name": WORDS[label],
            "x": x,
            "y": y,
            "marker": {"color": COLOURS[label]},
            "width": [50_000] * len(x),
        }
        traces.append(bar)
    more = _shade(*window) if window else {}
    # a label's order in the legend is that of the stack; the zero line says where the missed ones begin
    more["yaxis"] = {"zeroline": True, "zerolinecolor": "#b8c0c9"}
    return {"data": traces, "layout": _layout("Forced closes by label", f"million {unit} a minute", barmode="relative", **more)}
