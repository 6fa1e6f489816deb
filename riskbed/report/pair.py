"""report.html of a pair: its runs on one clock, what A and B cost alone and together, who paid, and why lots were closed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.labels import Label
from riskbed.pair import JUDGED
from riskbed.report import charts, decomposition, gains, html, lanes, laws, pair_timeline, provenance, twins, waterfall
from riskbed.report.decomposition import COLOURS, Part
from riskbed.waterfall import Cause
from specs import units

if TYPE_CHECKING:
    from riskbed.pair import Done
    from riskbed.pair_result import Low, PairResult, RunRow


def render(done: Done, series: dict[str, dict]) -> str:
    """Return report.html; `series`: run -> riskbed/runs.py series_rows. Raises ValueError if it would exceed html.BYTES_MAX."""
    answer = done.answer
    falls = [fall for fall in answer.waterfall if fall.accounts]
    figures = {
        "timeline": pair_timeline.figure(done, series),
        "losses": decomposition.figure(_worth(answer), answer.numeraire, one_scale=True),
        "stages": decomposition.figure(_stages(answer), answer.numeraire, one_scale=False),
    }
    figures |= {f"waterfall-{k}": waterfall.figure(fall, answer.numeraire) for k, fall in enumerate(falls)}
    return html.assemble(f"{answer.title}: replay", _body(done, figures), figures)


def _worth(answer: PairResult) -> list[Part]:
    return [Part("Losses at common prices", answer.losses.common), Part("Losses at each run's own prices", answer.losses.own)]


def _stages(answer: PairResult) -> list[Part]:
    lost = {cause.value: waterfall.SHORT[cause].replace("<br>", " ") for cause in Cause}
    return [
        Part("Lost while being liquidated, by cause", answer.losses.liquidated, lost),
        Part("Notional closed, by stage", answer.losses.closes, {"adl": "ADL"}),
    ]


def _body(done: Done, figures: dict[str, dict]) -> list[str]:
    answer, unit = done.answer, done.answer.numeraire
    return [
        f"<h1>{escape(answer.title)}</h1>",
        _subtitle(answer),
        _cards(answer),
        provenance.warning(done),
        *_runs(answer),
        *_clock(done),
        *_decomposed(answer),
        *_staged(answer),
        *waterfall.section(answer.waterfall, unit, [name for name in figures if name.startswith("waterfall")]),
        *gains.section(answer.gains, unit),
        *_labels(answer),
        *_causes(answer),
        *provenance.unknown(done),
        *twins.section(answer.twins, answer.laws.events),
        *_laws(answer),
        *provenance.section(answer, {"base tape": answer.base_tape}),
    ]


# ---- headlines


def _subtitle(answer: PairResult) -> str:
    words = [f"rule book {answer.venue}", f"seed {answer.seed}", f"{answer.accounts:,} accounts", f"{answer.events:,} events"]
    words.append(f"to {answer.horizon}, eps {answer.eps_ns / units.NS:g} s")
    return f'<p class="faint">{escape(" · ".join(words))}</p>'


def _cards(answer: PairResult) -> str:
    unit, last, rows = answer.numeraire, answer.runs[-1], []
    users = next((row for row in answer.losses.common if row.name == "users"), None)
    for name, words in (
        ("A", "the users' loss to A alone, at common prices"),
        ("B", "the users' loss to B alone"),
        ("interaction", "their loss by interaction: A+B less A less B"),
    ):
        figure = getattr(users, decomposition.FIELDS[name]) if users else None
        if figure is not None:
            rows.append((COLOURS[name], f"{html.money(figure)} {unit}", words))
    low = last.lows[0]
    rows.append(("#8a97a6", _fall(low), f"{low.market} at its low, {low.at[11:19]}, run {last.name}"))
    closed = f"closed by force in run {last.name}, {last.accounts_closed:,} accounts"
    rows.append((COLOURS[last.name], f"{html.money(last.forced_notional)} {unit}", closed))
    for cause in answer.causes:
        if cause.cause == "direct":
            words = f"of it direct: not below the trigger at true prices, {cause.accounts:,} accounts"
            rows.append(("#c0392b", f"{html.money(cause.notional)} {unit}", words))
    return html.cards([*rows, (twins.COLOUR, *twins.headline(answer.twins))])


# ---- the runs


def _runs(answer: PairResult) -> list[str]:
    """Return the table of runs and that of their lows."""
    unit = answer.numeraire
    heads = ("run", "faults", "ignited", "collateral failed", "liquidations", "accounts closed", "forced lots")
    rows = [_run(row) for row in answer.runs]
    falls = [html.row(html.dot(COLOURS[row.name], row.name), *(html.cell(_low(low)) for low in row.lows)) for row in answer.runs]
    window = " and ".join(instant[11:19] for instant in answer.low_window)
    first = answer.runs[0].lows[0].market
    return [
        "<h2>Runs of one base tape</h2>",
        "<p>The base tape carries neither event: the faults of a run let in what it is named for. Ignited: "
        f"{escape(first)} fell half as far again as the news alone would make it. Collateral failed: when its published price "
        "was first below the pair's limit.</p>",
        html.table(html.heads(*heads, f"forced, {unit}", "of it long", left=2), rows, "tight"),
        f"<p>Lowest marks from the beginning of A on, and the fall from the mark then in force. {escape(first)}'s low of the day "
        f"was observed between {window}.</p>",
        html.table(html.heads("run", *(low.market for low in answer.runs[0].lows)), falls),
    ]


def _run(row: RunRow) -> str:
    share = html.NONE if row.long_share is None else f"{row.long_share:.0%}"
    cells = ["yes" if row.ignited else "no", row.collateral_below[11:19] if row.collateral_below else html.NONE]
    cells += [f"{row.liquidations:,}", f"{row.accounts_closed:,}", f"{row.forced_lots:,}", html.money(row.forced_notional), share]
    return html.row(
        html.dot(COLOURS[row.name], row.name),
        html.text(", ".join(row.faults) or "none"),
        *(html.cell(cell, cell == "0") for cell in cells),
    )


def _low(low: Low) -> str:
    return f"{float(low.price):,.6g} &nbsp; {_fall(low)} &nbsp; {low.at[11:19]}"


def _fall(low: Low) -> str:
    share = f"{low.fall:.1%}"
    return share if share == "0.0%" else f"\u2212{share}"


def _clock(done: Done) -> list[str]:
    shaded = ", and ".join(words for _, _, words, _ in pair_timeline.windows(done.inputs))
    return [
        "<h2>On one clock</h2>",
        f"<p>Shaded: {escape(shaded)}. {escape(_armed(done))}What is the same in several runs is one line; indices and last "
        "trades of every run are drawn when their names are clicked.</p>",
        '<div id="timeline" class="chart"></div>',
    ]


def _armed(done: Done) -> str:
    """Return when the faults that the pair itself has act, in the last run."""
    own = {fault.id for fault in done.inputs.pair.faults}
    rows = [fault for fault in done.inputs.plans[done.answer.runs[-1].name].faults if fault.enabled and fault.id in own]
    clocks = [tuple(units.ns_to_instant(ns)[11:19] for ns in (fault.from_ns, fault.to_ns)) for fault in rows]
    return "".join(f"Fault {fault.id} acts from {start} to {end}. " for fault, (start, end) in zip(rows, clocks, strict=True))


# ---- what it cost


def _decomposed(answer: PairResult) -> list[str]:
    unit = answer.numeraire
    prices = "; ".join(f"{name} {price}" for name, price in answer.common_prices.items())
    words = "What each holder is worth at the horizon in the run with neither, less its worth in the other: losses are above 0."
    if len(answer.runs) > 2:
        words += " Interaction: A+B less A less B, exact; the black mark is A+B."
    return [
        "<h2>What A cost, what B cost, and what only both did</h2>" if len(answer.runs) > 2 else "<h2>What A cost</h2>",
        f"<p>{words} Common prices: {escape(prices)}. Every column sums to 0 over the closed chart; outside "
        "owes what was deposited, so that it gains where the collateral's price falls.</p>",
        '<div id="losses" class="chart"></div>',
        *(decomposition.table(part, unit) for part in _worth(answer)),
    ]


def _staged(answer: PairResult) -> list[str]:
    unit = answer.numeraire
    return [
        "<h2>By stage</h2>",
        "<p>Left: what the accounts that a run liquidated lost from their trigger until it was over, fills against the mark, "
        "sales against the index; what the fund pays (fund draw) and what nobody pays (bad debt) comes back to them, "
        "below 0. Right: notional that each stage closed, at its own prices. Both against the run with neither.</p>",
        '<div id="stages" class="chart"></div>',
        *(decomposition.table(part, unit) for part in _stages(answer)),
        decomposition.table(Part("Flows, more than in the run with neither", answer.losses.flows), unit),
    ]


# ---- labels and causes


def _labels(answer: PairResult) -> list[str]:
    parts = [
        "<h2>Run against run, lot by lot</h2>",
        "<p>Labels compare two runs, no more: in “A against none” the cascade's closes stand as erroneous because the run "
        "without any event has none of them, not because they were a mistake. What B closed by mistake is “A+B against A”.</p>",
        "<p>Every lot closed by force in the later run is matched with the lot of the same number, account and market in the "
        f"earlier. Organic: within {answer.eps_ns / units.NS:g} s; premature: earlier; late: later; erroneous: never in the "
        "earlier run; missed: in the earlier run only.</p>",
    ]
    shown = [label for label in lanes.LANES if label not in (Label.IN_BAND, Label.IN_BAND_MISSED)]
    columns = [(words, [getattr(totals, label.name.lower()) for label in shown]) for words, totals in answer.labels.items()]
    heads = "".join(f'<th class="group" colspan="3">{escape(_against(words))}</th>' for words, _ in columns)
    group = '<th class="text"></th>' + heads
    names = [name for _ in columns for name in ("lots", answer.numeraire, "accounts")]
    rows = []
    for k, label in enumerate(shown):
        dot = html.dot(charts.COLOURS[label], charts.WORDS[label])
        totals = [column[k] for _, column in columns]
        figures = [f for t in totals for f in (f"{t.lots:,}", html.money(t.notional), f"{t.accounts:,}")]
        rows.append(html.row(dot, *(html.cell(figure, figure == "0") for figure in figures)))
    return [*parts, html.table(html.row(group) + html.heads("label", *names), rows, "many")]


def _against(words: str) -> str:
    """Return the heading of a comparison: against which run, and what happens in that."""
    earlier = words.rpartition(" ")[2]
    return f"{words} ({'the day without any event' if earlier == 'none' else f'the day with {earlier} alone'})"


def _causes(answer: PairResult) -> list[str]:
    if not answer.causes:
        return []
    earlier, later = JUDGED
    rows = []
    for row in answer.causes:
        colour = next(c for cause, c in pair_timeline.CAUSES.items() if cause.name.lower() == row.cause)
        dot = html.dot(colour, row.cause)
        by = [row.lots, html.money(row.notional), row.accounts, row.by_collateral_lots, row.by_mark_lots]
        figures = [figure if isinstance(figure, str) else f"{figure:,}" for figure in by]
        rows.append(html.row(dot, *(html.cell(figure, figure == "0") for figure in figures)))
    heads = html.heads("cause", "lots", f"notional, {answer.numeraire}", "accounts", "by collateral, lots", "by mark, lots")
    return [
        f"<h2>Why lots were closed in {escape(later)}</h2>",
        f"<p>{answer.triggers:,} triggers, each judged with true prices (marks of run {earlier}, the true source of the "
        "collateral) in the account's own state of that moment. Direct: not below the trigger, only published prices said so; "
        f"induced: below it, and run {earlier} does not close the lot; market: below it, and run {earlier} closes it too. "
        "By collateral: its true price alone lifts the account above the trigger; by mark: it takes the true marks as well.</p>",
        html.table(heads, rows),
    ]


def _laws(answer: PairResult) -> list[str]:
    on = {row.name: escape(", ".join(row.on)) for row in answer.run_laws}
    before = (
        f"<p>Checked with all accounts at the end of every run ({on['L2']}): what all holders are worth sums to 0 over the "
        f"closed chart (L2). Checked between runs ({on['L20']}): gains equal losses in every asset and every market (L20). A "
        "breach of either would have ended this replay.</p>"
    )
    return laws.section(answer.laws, before)
