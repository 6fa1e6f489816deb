"""report.html of a comparison: what differs in figures, who is hurt and spared, the paths of both runs, and where they part."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from riskbed.report import charts, html
from riskbed.result import flow_words
from riskbed.tables import TOTALS, ranked_accounts, state_words
from specs.tape import Grade

if TYPE_CHECKING:
    from riskbed.compare import Compared
    from riskbed.comparison import Comparison
    from riskbed.sums import Path

ACCOUNTS_SHOWN, ACCOUNTS_FOLDED = 20, 200
COLOURS = {"a": "#3b76b5", "b": "#c0392b"}
TITLES = {"fund": "Fund", "bad_debt": "Bad debt: paid by nobody"}


def render(done: Compared) -> str:
    """Return the page. Raises ValueError if it would exceed BYTES_MAX."""
    figures = _figures(done)
    return html.assemble(f"{done.answer.title}: comparison", _body(done.answer, figures), figures)


def _figures(done: Compared) -> dict[str, dict]:
    base = done.inputs.base
    by_name = [{row.name: row for row in rows} for rows in done.paths]
    figures = {}
    for i, (name, row) in enumerate(by_name[0].items()):
        pair = [(side, rows[name]) for side, rows in zip("ab", by_name, strict=True) if name in rows]
        lines = [
            charts.step_line(
                side.upper(), _columns(path), COLOURS[side], base.horizon_ns, "solid" if side == "a" else "dash", 2.0
            )
            for side, path in pair
        ]
        title = TITLES.get(name, name.replace("open_interest", "Open interest,"))
        figures[f"path-{i}"] = charts.price_figure(
            title, row.unit, lines, (*base.window, "incident window") if base.window else None
        )
        charts.span(figures[f"path-{i}"], base.tape.meta.start_ns, base.horizon_ns)
    return figures


def _columns(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return a path as a chart's columns; for the eye, so in floats of whole units."""
    value = np.array([number / 10**path.decimals for number in path.value])
    return np.array(path.time_ns, dtype=np.int64), value, np.full(len(value), Grade.VALID, dtype=np.uint8), 0


def _body(found: Comparison, figures: dict[str, dict]) -> list[str]:
    parts = [f"<h1>{escape(found.title)}</h1>", _subtitle(found), _sides(found)]
    if found.same:
        parts.append('<p class="warn">Nothing differs: every outcome of B is the outcome of A.</p>')
    parts += [_cards(found), _warning(found), "<h2>What differs</h2>", _totals(found)]
    parts.append("<h2>Over time</h2>")
    parts += [f'<div id="{name}" class="chart"></div>' for name in figures]
    parts += ["<h2>Accounts hurt and spared</h2>", _accounts(found)]
    parts += ["<h2>First divergence</h2>", *_divergence(found)]
    parts += ["<h2>Who gained, who lost</h2>", _gains(found)]
    parts += ["<h2>What this comparison does not know</h2>", _list(found.unknowns)]
    if found.assumed:
        rows = [html.row(f'<td class="text mono">{escape(note.path)}</td>', html.text(note.why)) for note in found.assumed]
        parts += ["<h2>Assumed values</h2>", html.table(html.heads("value", "why", left=2), rows)]
    return parts + _provenance(found)


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _subtitle(found: Comparison) -> str:
    words = [f"{found.totals.accounts:,} accounts", f"{found.events:,} events", f"to {found.horizon}"]
    if found.variant:
        words.insert(0, f"variant {found.variant}, seed {found.seed}")
    return f'<p class="faint">{escape(" · ".join(words))}</p>'


def _sides(found: Comparison) -> str:
    lines = [
        f"{name}: {side.given} ({side.kind}), rule book {side.venue}, plan {side.plan}"
        for name, side in (("A, before", found.a), ("B, after", found.b))
    ]
    changed = f"<p>What was changed:</p>{_list(found.rows)}" if found.rows else ""
    return _list(lines) + changed


def _cards(found: Comparison) -> str:
    totals, unit = found.totals, found.numeraire
    cards = (
        ("#c0392b", f"{totals.hurt:,} hurt", "liquidated or deleveraged under B only"),
        ("#1b7f79", f"{totals.spared:,} spared", "liquidated or deleveraged under A only"),
        ("#e08e2b", f"{html.money(totals.notional.difference)} {unit}", "closed by force, B less A"),
        ("#3b76b5", f"{html.money(totals.bad_debt.difference)} {unit}", "bad debt, paid by nobody, B less A"),
    )
    return html.cards(cards)


def _warning(found: Comparison) -> str:
    synthetic = [row.name for row in found.series if row.provenance in ("synthetic", "assumed")]
    if not synthetic:
        return ""
    words = f"Not recorded but synthetic: {', '.join(synthetic)}. Figures show what the rules do, not what happened."
    return f'<p class="warn">{escape(words)}</p>'


def _three(pair: object) -> list[str]:
    values = (pair.a, pair.b, pair.difference)
    texts = [html.money(value) if isinstance(value, str) else f"{value:,}".replace("-", "\u2212") for value in values]
    return [html.cell(text, text == "0") for text in texts]


def _totals(found: Comparison) -> str:
    totals, rows = found.totals, []
    for name, words in TOTALS.items():
        pair = getattr(totals, name)
        rows.append(html.row(html.text(f"{words}, {found.numeraire}" if isinstance(pair.a, str) else words), *_three(pair)))
    for row in totals.open_interest:
        rows.append(html.row(html.text(f"open interest {row.market} at the end, lots"), *_three(row)))
    for row in totals.paid:
        rows.append(html.row(html.text(f"all accounts, {flow_words(row.flow)}, {row.asset}"), *_three(row)))
    return html.table(html.heads("total", "A", "B", "B less A"), rows)


def _accounts(found: Comparison) -> str:
    ranked = ranked_accounts(found)
    if not ranked:
        return "<p>Every account fares alike under A and B.</p>"
    rows = []
    for row in ranked[: ACCOUNTS_SHOWN + ACCOUNTS_FOLDED]:
        paid = "; ".join(f"{flow_words(flow.flow)} {html.money(flow.difference)} {flow.asset}" for flow in row.paid)
        counts = [html.cell(f"{count:,}", not count) for count in (row.lots.a, row.lots.b, row.adl_lots.a, row.adl_lots.b)]
        rows.append(html.row(html.text(str(row.account)), html.text(row.status), *counts, *_three(row.equity), html.text(paid)))
    more = len(ranked) - len(rows)
    unit = found.numeraire
    heads = html.row(
        *(f'<th class="text">{name}</th>' for name in ("account", "status")),
        *(f"<th>{name}</th>" for name in ("lots A", "lots B", "ADL A", "ADL B", f"equity A, {unit}", "equity B", "B less A")),
        '<th class="text">flows that differ, B less A</th>',
    )
    words = (
        f"<p>{found.totals.hurt:,} hurt under B only, {found.totals.spared:,} spared by B, {found.totals.both:,} hurt under both "
        f"but not alike, {found.totals.changed:,} changed otherwise; {found.totals.alike:,} fare alike.</p>"
    )
    shown, folded = html.table(heads, rows[:ACCOUNTS_SHOWN], "tight"), rows[ACCOUNTS_SHOWN:]
    if folded:
        shown += f"<details><summary>{len(folded):,} accounts more</summary>{html.table(heads, folded, 'tight')}</details>"
    note = f"{more:,} accounts more, and all that fare alike, in" if more > 0 else "All accounts, those that fare alike too:"
    return f'{words}{shown}<p class="faint">{note} <a href="accounts.parquet">accounts.parquet</a>.</p>'


def _divergence(found: Comparison) -> list[str]:
    where = found.first_divergence
    if where is None:
        return ["<p>None: the outcomes are equal, byte for byte.</p>"]
    parts = [f"<p>Event {where.event:,} of the tape, {escape(where.time)}: {escape(where.what)}</p>"]
    for name, side in (("A", where.a), ("B", where.b)):
        lines = side.said or ["nothing more"]
        parts.append(f"<p>Under {name}:</p>{_list(lines + ([f'and {side.more:,} outcomes more'] if side.more else []))}")
    if where.accounts:
        rows = [
            html.row(html.text(str(row.account)), html.text(name), html.text(state_words(state)))
            for row in where.accounts
            for name, state in (("A", row.a), ("B", row.b))
        ]
        parts.append(html.table(html.heads("account", "run", "just after it", left=3), rows))
        if where.more_accounts:
            parts.append(f'<p class="faint">{where.more_accounts:,} accounts more are named there.</p>')
    prices = [
        html.row(html.text(row.kind), html.text(row.name), _price(row.a, row.grade_a), _price(row.b, row.grade_b))
        for row in where.prices
    ]
    return [*parts, html.table(html.heads("price", "of", "A", "B", left=2), prices)]


def _price(price: str, grade: str) -> str:
    return html.cell(f"{price}{'' if grade == 'VALID' else ' ' + grade}")


def _gains(found: Comparison) -> str:
    rows = [html.row(html.text(row.account), html.text(row.asset), *_three(row)) for row in found.totals.gains]
    words = "<p>Users together and the venue's own accounts, positions at each run's last marks. Differences sum to 0.</p>"
    return words + html.table(html.heads("account", "asset", "A", "B", "B less A", left=2), rows)


def _provenance(found: Comparison) -> list[str]:
    series = [html.row(html.text(row.name), html.text(row.provenance), html.text(row.note)) for row in found.series]
    runs = []
    for name, side in (("A", found.a), ("B", found.b)):
        digests = (side.venue_digest, side.plan_digest, side.digest)
        mono = [f'<td class="mono">{digest}</td>' for digest in digests]
        runs.append(html.row(html.text(name), html.text(side.given), html.cell(f"{side.outcomes:,}"), *mono))
    versions = " · ".join(f"{name} {value}" for name, value in found.versions.items())
    return [
        "<h2>Where the figures come from</h2>",
        html.table(html.heads("series", "provenance", "note", left=3), series) if series else "",
        "<h2>Inputs and runs</h2>",
        f'<p>Tape <span class="mono">{found.tape}</span></p>',
        html.table(html.heads("run", "given", "outcomes", "rule book", "plan", "digest of the outcomes", left=2), runs),
        f'<p class="faint">{escape(versions)}</p>',
        "<h2>Replay token</h2>",
        f"<pre>{escape(found.token)}</pre>",
    ]
