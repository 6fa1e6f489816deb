"""The tables that a replay of a pair prints on stdout."""

from __future__ import annotations

from rich.console import Console

from riskbed import cli
from riskbed.pair import Done
from riskbed.pair_result import GainTable
from riskbed.result import flow_words, rounded


def _gains_title(gains: GainTable) -> str:
    beside = f"erroneous: closed in {gains.later}, not in {gains.earlier}"
    return f"Who gained and who lost, from {gains.earlier} to {gains.later}: sums to 0 ({beside})"


def show(done: Done) -> None:
    """Print what a replay of a pair showed; the token last."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=cli.PLAIN_WIDTH)
    answer = done.answer
    console.print(answer.title, style="bold")
    about = f"rule book {answer.venue}, seed {answer.seed}, {answer.accounts:,} accounts, {answer.events:,} events"
    console.print(f"{about}, {done.seconds:.1f} s", style="dim", markup=False)
    unit, names = answer.numeraire, [row.name for row in answer.runs]
    marks = [f"{low.market} low" for low in answer.runs[0].lows]
    table = cli._table("run", "ignited", *marks, "collateral failed", "accounts closed", f"forced {unit}", "of it long")
    for row in answer.runs:
        found = [f"-{low.fall:.1%} {low.at[11:19]}" for low in row.lows]
        below = row.collateral_below[11:19] if row.collateral_below else "-"
        share = "-" if row.long_share is None else f"{row.long_share:.0%}"
        table.add_row(
            row.name, str(row.ignited).lower(), *found, below, f"{row.accounts_closed:,}", rounded(row.forced_notional), share
        )
    cli._headed(console, "Runs of one base tape", table)
    for title, rows in (
        (f"Losses at common prices, {unit}, against the run with neither", answer.losses.common),
        (f"Losses at each run's own prices, {unit}", answer.losses.own),
        (f"Flows, {unit}, more than in the run with neither", answer.losses.flows),
        (f"Closed by stage, {unit}, more than in the run with neither", answer.losses.closes),
        (f"Lost while being liquidated, {unit}, by cause", answer.losses.liquidated),
    ):
        table = cli._table("", *names[1:], *(["interaction"] if len(names) > 2 else []))
        for row in rows:
            cells = [row.A, row.B, row.both, row.interaction] if len(names) > 2 else [row.A]
            table.add_row(flow_words(row.name), *map(rounded, cells))
        cli._headed(console, title, table)
    for gains in answer.gains:
        table = cli._table("holder", "accounts", f"gain {unit}")
        for row in gains.rows:
            table.add_row(row.holder.replace("_", " "), f"{row.accounts:,}", rounded(row.gain))
        cli._headed(console, _gains_title(gains), table)
    if answer.causes:
        table = cli._table("cause", "lots", f"notional {unit}", "accounts", "by collateral, lots", "by mark, lots")
        for row in answer.causes:
            cells = (row.lots, row.accounts, row.by_collateral_lots, row.by_mark_lots)
            lots, accounts, *by = (f"{n:,}" for n in cells)
            table.add_row(row.cause, lots, rounded(row.notional), accounts, *by)
        cli._headed(console, f"Causes of {names[-1]}, {answer.triggers:,} triggers judged at true prices", table)
    cli._show_notes(console, answer)
    held = "; ".join(f"{law.name} ({', '.join(law.on)})" for law in answer.run_laws)
    console.print(f"\nLaws of whole runs hold: {held}.", markup=False, soft_wrap=True)
    console.print(f"{cli._twins(answer)}.", markup=False, soft_wrap=True)
    cli._show_laws(console, answer)
    console.print(f"Outcomes: outcomes-RUN.parquet of each run: {', '.join(names)}", markup=False, soft_wrap=True)
    cli._show_left(console, answer.run_folder, done.inputs.options.report)
    console.print("Replay token:", style="bold")
    console.print(answer.token, markup=False, soft_wrap=True)
