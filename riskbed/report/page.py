"""The page itself: HTML around the figures, everything inline, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from riskbed.labels import Label
from riskbed.report import charts
from riskbed.result import rounded
from specs import units

if TYPE_CHECKING:
    from riskbed.replay import Replay
    from specs.rules import Venue

BYTES_MAX = 6_000_000
NONE = "&ndash;"
_ORDER = [Label.ERRONEOUS, Label.PREMATURE, Label.LATE, Label.MISSED, Label.ORGANIC, Label.IN_BAND, Label.IN_BAND_MISSED]

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


def render(done: Replay, series: dict[str, dict]) -> str:
    """Return report.html of a replay. Raises ValueError if it would exceed BYTES_MAX."""
    figures = _figures(done, series)
    return assemble(f"{done.answer.title}: replay", _body(done, figures), figures)


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


# ---- figures


def _figures(done: Replay, series: dict[str, dict]) -> dict[str, dict]:
    inputs, venue = done.inputs, done.inputs.venue
    until = inputs.horizon_ns
    window = None
    if inputs.window:
        window = (*inputs.window, "incident window")
    figures = {}
    groups = _price_groups(done, series)
    for i, (title, unit, lines) in enumerate(groups):
        traces = [
            charts.step_line(name, columns, charts.LINES[k % len(charts.LINES)], until, dash, width)
            for k, (name, columns, dash, width) in enumerate(lines)
        ]
        figures[f"prices-{i}"] = charts.price_figure(title, unit, traces, window)
    decimals = venue.decimals(venue.numeraire)
    figures["labels"] = charts.label_figure(done.labels, decimals, venue.numeraire, inputs.tape.meta.start_ns, window)
    for figure in figures.values():
        charts.span(figure, inputs.tape.meta.start_ns, until)
    return figures


def _price_groups(done: Replay, series: dict[str, dict]) -> list[tuple[str, str, list[tuple]]]:
    """Return (title, unit, lines) a chart: the incident's index with its sources first, then the other indices with theirs."""
    from specs.rules import walk

    inputs, venue = done.inputs, done.inputs.venue
    broken, lower = series["broken"], series.get("true_lower", series["broken"])
    upper = series.get("true_upper", lower)
    used = {
        row.name: {
            getattr(node, "ratio", getattr(node, "name", None))
            for node in walk(row.recipe)
            if node.kind in ("source", "redemption")
        }
        for row in venue.indices
    }
    if inputs.incident is not None:
        for rule in inputs.incident.rules:
            used[inputs.incident.index] |= {
                getattr(node, "ratio", getattr(node, "name", None))
                for node in walk(rule.recipe)
                if node.kind in ("source", "redemption")
            }
    order = sorted(venue.indices, key=lambda row: inputs.incident is not None and row.name != inputs.incident.index)
    provenance = {row.name: row.provenance for row in inputs.tape.meta.series}
    groups = []
    for row in order:
        lines = [
            (f"index, published{' (broken run)' if len(series) > 1 else ''}", broken["index", row.name], "solid", charts.WIDE)
        ]
        for source in venue.sources:
            if source.name in used[row.name]:
                note = f" ({provenance[source.name]})" if source.name in provenance else ""
                lines.append((f"{source.name}{note}", broken["source", source.name], "solid", 1.4))
        before = broken["index", row.name]
        for name, other in (("index, true, lower edge", lower), ("index, true, upper edge", upper)):
            columns = other["index", row.name]
            if not _same(columns, before):
                lines.append((name, columns, "dash", 1.4))
                before = columns
        groups.append((f"{row.name}: price by source and index", _unit(venue, row.name), lines))
    return groups


def _same(a: tuple, b: tuple) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a[:3], b[:3], strict=True))


def _unit(venue: Venue, index: str) -> str:
    """Return what the prices of an index are in: the numeraire, for one unit of the collateral asset if it prices one."""
    asset = next((row.asset for row in venue.collateral if row.index == index), None)
    return f"{venue.numeraire} per {asset}" if asset else venue.numeraire


# ---- the words around them


def _money(text: str) -> str:
    return rounded(text).replace("-", "\u2212")


def _cell(text: str, zero: bool = False) -> str:
    return f'<td class="zero">{text}</td>' if zero else f"<td>{text}</td>"


def _table(head: str, rows: Iterable[str], kind: str = "plain") -> str:
    return (
        f'<div class="wide"><table class="{kind}">\n<thead>{head}</thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _row(*cells: str) -> str:
    return "<tr>" + "".join(cells) + "</tr>"


def _text(text: str) -> str:
    return f'<td class="text">{escape(text)}</td>'


def _heads(*names: str, text: int = 1) -> str:
    return _row(*(f'<th class="text">{escape(n)}</th>' if i < text else f"<th>{escape(n)}</th>" for i, n in enumerate(names)))


def _body(done: Replay, figures: dict[str, dict]) -> list[str]:
    answer = done.answer
    parts = [f"<h1>{escape(answer.title)}</h1>", _subtitle(done), _cards(done), _warning(done)]
    for name in figures:
        if name == "labels":
            parts += ["<h2>What the glitch did</h2>", _label_words(done)]
        elif name == "prices-0":
            parts.append("<h2>Prices</h2>")
        parts.append(f'<div id="{name}" class="chart"></div>')
    parts.append(_label_table(done))
    if answer.rules:
        parts += _rule_table(done)
    if answer.make_whole:
        parts += _make_whole(done)
    parts += _unknown(done)
    parts += _provenance(done)
    return parts


def _subtitle(done: Replay) -> str:
    answer = done.answer
    words = [f"rule book {answer.venue}", f"{answer.accounts:,} accounts", f"{answer.events:,} events"]
    if answer.variant:
        words.insert(1, f"variant {answer.variant}, seed {answer.seed}")
    return f'<p class="faint">{escape(" · ".join(words))}</p>'


def _cards(done: Replay) -> str:
    answer, cards = done.answer, []
    unit = answer.numeraire

    def card(colour: str, figure: str, words: str) -> None:
        cards.append(f'<div class="card" style="--accent:{colour}"><b>{escape(figure)}</b><span>{escape(words)}</span></div>')

    for label in (Label.ERRONEOUS, Label.PREMATURE, Label.ORGANIC):
        total = getattr(answer.labels, label.name.lower())
        card(
            charts.COLOURS[label],
            f"{total.lots:,} lots",
            f"{charts.WORDS[label]}: {_money(total.notional)} {unit}, {total.accounts:,} accounts",
        )
    if answer.make_whole:
        paid = sorted(done.paid, key=lambda reading: reading.total)
        decimals = done.inputs.venue.decimals(unit)
        low, high = (_money(units.int_to_decimal(reading.total, decimals)) for reading in (paid[0], paid[-1]))
        card("#1b7f79", f"{high} {unit}", f"make-whole at most; {low} at least, by reading")
    twins = answer.twins
    words = "not compared" if twins.equal is None else f"on {twins.events:,} events with {twins.accounts:,} accounts"
    card("#5c6b7a", {True: "twins equal", False: "twins differ", None: "one twin"}[twins.equal], words)
    return f'<div class="cards">{"".join(cards)}</div>'


def _warning(done: Replay) -> str:
    synthetic = [row.name for row in done.answer.series if row.provenance in ("synthetic", "assumed")]
    if not synthetic:
        return ""
    words = (
        f"Not recorded but synthetic: {', '.join(synthetic)}. Figures show what the rules do, not what happened to real accounts."
    )
    return f'<p class="warn">{escape(words)}</p>'


def _label_words(done: Replay) -> str:
    answer = done.answer
    truth = f" Truth is a band: {answer.truth.lower} to {answer.truth.upper}; {answer.truth.note}." if answer.truth else ""
    return (
        "<p>Every lot closed by force in the broken run is matched with the lot of the same number, account and market in the "
        f"true run, up to {escape(answer.horizon)}. Organic: within {answer.eps_ns / units.NS:g} s; premature: earlier; late: "
        "later; erroneous: never in the true run; missed: in the true run only, drawn below the line."
        f"{escape(truth)}</p>"
    )


def _label_table(done: Replay) -> str:
    answer, rows = done.answer, []
    for label in _ORDER:
        total = getattr(answer.labels, label.name.lower())
        name = f'<td class="text"><span class="dot" style="--accent:{charts.COLOURS[label]}"></span>{charts.WORDS[label]}</td>'
        zero = total.lots == 0
        rows.append(
            _row(name, _cell(f"{total.lots:,}", zero), _cell(_money(total.notional), zero), _cell(f"{total.accounts:,}", zero))
        )
    return _table(_heads("label", "lots", f"notional, {answer.numeraire}", "accounts"), rows)


def _rule_table(done: Replay) -> list[str]:
    answer, rows = done.answer, []
    unit = answer.numeraire
    for rule in answer.rules:
        labels, move = rule.fault.labels, rule.true_move
        cells = [_text(rule.title)]
        for name in ("erroneous", "premature"):
            total = getattr(labels, name)
            cells.append(_cell(f"{total.lots:,}", total.lots == 0))
            if name == "erroneous":
                cells.append(_cell(_money(total.notional), total.lots == 0))
        cells.append(_cell(f"{labels.in_band.lots:,}", labels.in_band.lots == 0))
        if move is None:
            cells += [_cell(NONE)] * 6
        else:
            for share in (move.share, move.of_the_move.share):
                cells.append(_cell(NONE if share is None else f"{share:.1%}"))
            cells.append(_cell(NONE if move.of_the_move.median_delay_s is None else f"{move.of_the_move.median_delay_s:g}"))
            for money in (move.bad_debt, move.treasury_loss, move.hidden_shortfall):
                cells.append(_cell(_money(money), _money(money) == "0"))
        rows.append(_row(*cells))
    groups = (
        '<th class="text"></th>',
        '<th class="group" colspan="4">under the fault</th>',
        '<th class="group" colspan="6">on a true move that stays</th>',
    )
    names = [
        "index rule",
        "erroneous lots",
        f"erroneous {unit}",
        "premature lots",
        "in-band lots",
        "still closed",
        "of the move's own",
        "later, median s",
    ]
    names += [f"bad debt {unit}", f"treasury's loss {unit}", f"hidden shortfall {unit}"]
    first = escape(answer.rules[0].title)
    return [
        "<h2>The rule that would have prevented it, and what it costs</h2>",
        "<p>Each rule prices the same collateral on the same tape. Left: what it closes by mistake. Right: the same fall, but "
        f"true, in every source. Still closed: the share of the lots that “{first}” closes which this rule closes too; of the "
        "move's own: of those that only the move closes, and how much later. Bad debt is fund payments and write-offs; the "
        "treasury's loss is what it paid for collateral above its true price (below: negative); hidden shortfall is what "
        "accounts still open owe at true prices.</p>",
        _table(_row(*groups) + _heads(*names), rows, "tight"),
    ]


def _make_whole(done: Replay) -> list[str]:
    answer = done.answer
    row, found = answer.make_whole, {}
    for reading in row.readings:
        found.setdefault((reading.eligibility, reading.reference, reading.netting), {})[reading.base] = reading
    rows = []
    for (eligibility, reference, netting), bases in found.items():
        fees = bases["both"]
        cells = [_text(eligibility), _text(reference), _text(netting), _cell(f"{fees.accounts:,}")]
        cells += [
            _cell(_money(bases[base].money), _money(bases[base].money) == "0") for base in ("collateral", "position", "both")
        ]
        rows.append(_row(*cells, _cell(_money(fees.fees), _money(fees.fees) == "0")))
    questions = "".join(
        f"<li><b>{escape(q.name)}</b>: {escape(q.question)} Published: {escape(q.published)}. "
        + "; ".join(f"<i>{escape(name)}</i> {escape(words)}" for name, words in q.options.items())
        + "</li>"
        for q in row.questions
    )
    prices = "; ".join(
        f"{asset} {', '.join(f'{name} {price}' for name, price in by.items())}" for asset, by in row.prices.items()
    )
    unit = answer.numeraire
    return [
        "<h2>Make-whole</h2>",
        f"<p>Published rule: {escape(row.rule)}. Prices at {escape(row.instant)}: {escape(prices)}.</p>",
        f"<p>What the rule does not say is shown both ways:</p><ul>{questions}</ul>",
        _table(
            _heads(
                "eligibility",
                "reference",
                "netting",
                "accounts",
                f"collateral, {unit}",
                f"positions, {unit}",
                f"both, {unit}",
                f"fees on top, {unit}",
                text=3,
            ),
            rows,
        ),
    ]


def _unknown(done: Replay) -> list[str]:
    answer = done.answer
    parts = [
        "<h2>What this run does not know</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in answer.unknowns) + "</ul>",
    ]
    if answer.assumed:
        rows = [_row(f'<td class="text mono">{escape(note.path)}</td>', _text(note.why)) for note in answer.assumed]
        parts += ["<h2>Assumed values</h2>", _table(_heads("value", "why", text=2), rows)]
    return parts


def _provenance(done: Replay) -> list[str]:
    answer = done.answer
    series = [_row(_text(row.name), _text(row.provenance), _text(row.note)) for row in answer.series]
    runs = [
        _row(_text(run.name), _cell(f"{run.outcomes:,}"), _cell(f"{run.forced_lots:,}"), f'<td class="mono">{run.digest}</td>')
        for run in answer.runs
    ]
    inputs = [_row(_text(name), f'<td class="mono">{digest}</td>') for name, digest in answer.inputs.items()]
    versions = " · ".join(f"{name} {value}" for name, value in answer.versions.items())
    return [
        "<h2>Where the figures come from</h2>",
        _table(_heads("series", "provenance", "note", text=3), series) if series else "",
        "<h2>Inputs and runs</h2>",
        _table(_heads("input", "digest"), inputs),
        "<p></p>",
        _table(_heads("run", "outcomes", "forced lots", "digest"), runs),
        f'<p class="faint">{escape(versions)}</p>',
        "<h2>Replay token</h2>",
        f"<pre>{escape(answer.token)}</pre>",
    ]
