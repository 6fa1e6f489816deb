"""Where the loss of the liquidated accounts went: from the margin they brought to what they kept, cause by cause."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from riskbed.report import charts, html
from riskbed.waterfall import STAGES, Cause

if TYPE_CHECKING:
    from riskbed.result import Change, Waterfall

WORDS = {
    Cause.PUT_IN: "put in, net of what was taken out",
    Cause.PRICES: "prices moved",
    Cause.TRADES: "own orders' fills against the mark",
    Cause.FEES: "trading fees",
    Cause.FUNDING: "funding",
    Cause.BOOK: "book: fills against the mark",
    Cause.LIQUIDATION_FEE: "liquidation fees, to the fund",
    Cause.TAKEOVER: "takeover: margin to the backstop",
    Cause.ADL: "ADL: margin to counterparties, or a debt they bear",
    Cause.ADL_COUNTERPARTY: "ADL, as counterparties of others",
    Cause.TREASURY: "conversion: treasury's price against the index",
    Cause.SPOT_BOOK: "conversion: own spot book against the index",
    Cause.FUND: "fund draw, paid by the fund",
    Cause.BAD_DEBT: "bad debt, paid by nobody",
    Cause.SETTLEMENT: "final settlement against the mark",
}
SHORT = {
    Cause.PUT_IN: "put in",
    Cause.PRICES: "prices",
    Cause.TRADES: "trades",
    Cause.FEES: "fees",
    Cause.FUNDING: "funding",
    Cause.BOOK: "book",
    Cause.LIQUIDATION_FEE: "liquidation<br>fees",
    Cause.TAKEOVER: "takeover",
    Cause.ADL: "ADL",
    Cause.ADL_COUNTERPARTY: "ADL of<br>others",
    Cause.TREASURY: "conversion,<br>treasury",
    Cause.SPOT_BOOK: "conversion,<br>own book",
    Cause.FUND: "fund<br>draw",
    Cause.BAD_DEBT: "bad debt",
    Cause.SETTLEMENT: "settlement",
}
RUNS = {"broken": "broken run", "true_lower": "true run, lower edge", "true_upper": "true run, upper edge"}


def figure(fall: Waterfall, unit: str) -> dict:
    """Return the chart of one run."""
    inside = _by_cause(fall.inside)
    steps = [(SHORT[cause], inside.get(cause, "0")) for cause in Cause if cause in inside or cause in STAGES]
    return charts.waterfall_figure(
        f"From the margin at the trigger to what was kept, {_run(fall)}",
        unit,
        ("margin", fall.margin),
        steps,
        ("kept", fall.kept),
    )


def _run(fall: Waterfall) -> str:
    return RUNS.get(fall.run, f"run {fall.run}")


def _by_cause(changes: list[Change]) -> dict[Cause, str]:
    return {Cause(row.cause): row.money for row in changes}


def section(falls: list[Waterfall], unit: str, drawn: list[str]) -> list[str]:
    """Return the places of the charts that are drawn and the table of all runs."""
    parts = ["<h2>Where the loss of the liquidated accounts went</h2>"]
    if not any(fall.accounts for fall in falls):
        return [*parts, "<p>Nobody was liquidated, in no run.</p>"]
    parts.append(
        "<p>Equity in full, without haircuts, of all accounts that a run liquidated, to the end of the tape. Above the line what "
        "brought them to the trigger; below it what happened while they were being liquidated. Every figure is the change of "
        "equity by that cause, fills and sales against the mark or the index of that moment; the columns add up exactly, and "
        "to what the final state says.</p>"
    )
    return [*parts, *(f'<div id="{name}" class="chart"></div>' for name in drawn), _table(falls, unit)]


def _table(falls: list[Waterfall], unit: str) -> str:
    rows = [html.row(html.text("accounts liquidated"), *(html.cell(f"{fall.accounts:,}") for fall in falls))]
    for period, total, words in (
        ("before", "margin", "margin at the trigger"),
        ("inside", "kept", "kept when it was over"),
        ("after", "end", "equity at the end"),
    ):
        mine = [_by_cause(getattr(fall, period)) for fall in falls]
        shown = [cause for cause in Cause if any(cause in row for row in mine) or (period == "inside" and cause in STAGES)]
        for cause in shown:
            note = " since" if period == "after" else ", meanwhile" if period == "inside" and cause == Cause.PRICES else ""
            figures = [html.money(row.get(cause, "0")) for row in mine]
            rows.append(html.row(html.text(WORDS[cause] + note), *(html.cell(figure, figure == "0") for figure in figures)))
        if shown:
            sums = [f"<th>{html.money(getattr(fall, total))}</th>" for fall in falls]
            rows.append(html.row(f'<th class="text">{escape(words)}</th>', *sums))
    return html.table(html.heads(f"change of equity, {unit}", *map(_run, falls)), rows, "sums")
