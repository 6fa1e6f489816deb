"""What every page is built of: the frame with its style and its script, tables, figures in words. Nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape

from riskbed.result import rounded

BYTES_MAX = 6_000_000
NONE = "&ndash;"

# The policy makes the promise checkable: a browser refuses every request of this page, and says so in its console.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"

# drag zooms, double click resets; no button that would send anything anywhere
_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
}

_STYLE = """
:root { --ink: #1f2933; --faint: #65717e; --line: #e1e5ea; --warm: #f8f6f2; }
* { box-sizing: border-box; }
body { margin: 0; background: white; color: var(--ink); }
body { font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; font-weight: 650; }
h2 { font-size: 18px; margin: 44px 0 8px; font-weight: 650; }
p { margin: 6px 0 10px; max-width: 76ch; }
.faint { color: var(--faint); }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 22px 0 8px; }
.card { flex: 1 1 150px; border: 1px solid var(--line); border-radius: 4px; padding: 10px 14px; }
.card { border-top: 3px solid var(--accent, #8a97a6); }
.card b { display: block; font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card span { font-size: 13px; color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; white-space: nowrap; }
th { color: var(--faint); font-weight: 550; vertical-align: bottom; }
th.group { text-align: center; border-bottom: 1px solid #b8c0c9; color: var(--ink); }
td.text, th.text { text-align: left; white-space: normal; }
td.zero { color: #a9b2bc; }
td.down { color: #b03a2e; }
.sums th { color: var(--ink); }
.many { font-size: 12.5px; } .many th, .many td { padding: 4px 5px; }
.wide + .wide { margin-top: 24px; }
.tight th, .tight td { padding: 5px 7px; } .tight th { white-space: normal; } .tight td.text { min-width: 150px; }
td.mono { font-size: 12.5px; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 8px; background: var(--accent); }
.chart { margin: 12px -8px 20px; min-height: 380px; }
ul { padding-left: 20px; max-width: 96ch; } li { margin: 3px 0; }
code, .mono { font: 13px/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, monospace; }
pre { background: var(--warm); border: 1px solid var(--line); border-radius: 4px; padding: 10px 14px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.warn { background: var(--warm); border-left: 3px solid #c9a227; padding: 8px 14px; margin: 16px 0; max-width: none; }
"""


def assemble(title: str, body: list[str], figures: dict[str, dict]) -> str:
    """Return a page of its body and its figures, by the id of the element that each is drawn in.

    Raises ValueError if it would exceed BYTES_MAX: thin more, never truncate.
    """
    from plotly.offline import get_plotlyjs

    draw = [f"Plotly.newPlot({json.dumps(name)}, {_json(figure | {'config': _CONFIG})})" for name, figure in figures.items()]
    # the title is the page's own until the last chart is drawn: a browser check waits for this
    script = f"Promise.all([\n{', '.join(draw)}\n]).then(() => {{ document.title = {_json(title)}; }});"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>drawing</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + f"\n</main>\n<script>{get_plotlyjs()}</script>\n<script>{script}</script>\n</body>\n</html>\n"
    )
    if len(page.encode()) > BYTES_MAX:
        raise ValueError(f"the report would have {len(page.encode())} bytes, at most {BYTES_MAX}")
    return page


def _json(tree: object) -> str:
    """Return JSON that may stand inside a script element."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).replace("</", "<\\/").replace("<!--", "<\\!--")


def money(number: str) -> str:
    return rounded(number).replace("-", "\u2212")


def signed(number: str) -> str:
    """Return a cell of money, a loss in its colour."""
    figure = money(number)
    return f'<td class="down">{figure}</td>' if figure.startswith("\u2212") else cell(figure, figure == "0")


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return the headline figures of a page; a row is colour, figure, words."""
    boxes = (
        f'<div class="card" style="--accent:{colour}"><b>{escape(figure)}</b><span>{escape(words)}</span></div>'
        for colour, figure, words in rows
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def cell(figure: str, zero: bool = False) -> str:
    return f'<td class="zero">{figure}</td>' if zero else f"<td>{figure}</td>"


def table(head: str, rows: Iterable[str], kind: str = "plain") -> str:
    return (
        f'<div class="wide"><table class="{kind}">\n<thead>{head}</thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def row(*cells: str) -> str:
    return "<tr>" + "".join(cells) + "</tr>"


def text(words: str) -> str:
    return f'<td class="text">{escape(words)}</td>'


def dot(colour: str, words: str) -> str:
    """Return a cell of words with a point of the colour that they have in the charts."""
    return f'<td class="text"><span class="dot" style="--accent:{colour}"></span>{escape(words)}</td>'


def heads(*names: str, left: int = 1) -> str:
    return row(*(f'<th class="text">{escape(n)}</th>' if i < left else f"<th>{escape(n)}</th>" for i, n in enumerate(names)))
