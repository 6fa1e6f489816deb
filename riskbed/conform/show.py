"""What conform prints: what was compared, then exceptions, gaps and stale orders, each listed up to a screenful."""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskbed.cli import PLAIN_WIDTH, _headed, _table

if TYPE_CHECKING:
    from rich.console import Console

    from riskbed.conform.answer import Conformance

SHOWN = 20
ROWS = {
    "lobster": ("rows of the book file", "visible executions, the recorded order filled"),
    "binance-depth": ("best prices at the update id of the book", ""),
    "bitstamp": ("snapshots, top of book", "orders filled to their end, in log and engine"),
}


def show(answer: Conformance) -> None:
    """Print an answer."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    console.print(f"{answer.format}: {', '.join(answer.files)}", style="bold", markup=False, soft_wrap=True)
    twins = {"both": "engine and model in step"}.get(answer.twin, answer.twin)
    console.print(f"{twins}, {answer.events:,} events", style="dim", markup=False)
    table = _table("compared", "of", "equal", "share")
    for name, of, equal in _compared(answer):
        table.add_row(name, f"{of:,}", f"{equal:,}", f"{equal / of:.3%}" if of else "-")
    _headed(console, "Record and engine", table)
    for name, counts in _counts(answer):
        console.print(f"{name}: {counts}", markup=False, soft_wrap=True)
    _list(console, "Exceptions", answer.exceptions_total, [(str(row.row), row.kind, row.text) for row in answer.exceptions])
    gaps = [(str(row.row), "given up" if row.joined else "no book", row.text) for row in answer.gap_list]
    _list(console, "Gaps", answer.gaps, gaps)
    if answer.bitstamp:
        stale = answer.bitstamp
        rows = [
            (
                str(row.created),
                row.side,
                f"{row.qty} at {row.price}, order {row.order}, found at row {row.found}"
                + (" as filled" if row.filled else "")
                + (", never deleted" if row.deleted is None else f", deleted at row {row.deleted}"),
            )
            for row in stale.stale
        ]
        _list(console, "Stale orders", stale.stale_total, rows)
    for line in answer.unknowns:
        console.print(f"Not known: {line}", style="dim", markup=False, soft_wrap=True)
    console.print("\nConforms." if answer.conforms else "\nDiffers, as listed.", style="bold")


def _compared(answer: Conformance) -> list[tuple[str, int, int]]:
    rows, priority = ROWS[answer.format]
    found = [(rows, answer.rows, answer.rows_equal)]
    if priority:
        found.append((priority, answer.priority, answer.priority_equal))
    if answer.bitstamp:
        found.append(("levels of the snapshots", answer.bitstamp.levels, answer.bitstamp.levels_equal))
    return found


def _counts(answer: Conformance) -> list[tuple[str, str]]:
    """Return what else was counted, in words."""
    found = [("Gaps", f"{answer.gaps:,}"), ("Crossed", f"{answer.crossed:,}"), ("Reveals", f"{answer.reveals:,}")]
    if part := answer.lobster:
        types = ", ".join(f"{count:,} of type {kind}" for kind, count in part.types.items())
        found.append(("Messages", f"{types}; {part.runs:,} IOC orders, {part.named:,} executions of orders known by id"))
    if part := answer.binance_depth:
        lines = f"{part.diffs:,} diffs, {part.book_tickers:,} bookTickers, {part.trades:,} trades"
        found.append((f"Lines ({part.market})", f"{lines}; {part.snapshots_used:,} of {part.snapshots:,} snapshots used"))
        left = f"{part.inside:,} bookTickers inside a diff, {part.unjoined:,} without a book"
        found.append(("Not compared", f"{left}; {part.skipped_diffs:,} diffs skipped"))
    if part := answer.bitstamp:
        lines = f"{part.created:,} created, {part.changed:,} changed, {part.deleted:,} deleted, {part.trades:,} trades"
        found.append(("Lines", f"{lines}; {part.repeated:,} deletions came twice, {part.settled:,} levels settled"))
    return found


def _list(console: Console, title: str, total: int, rows: list[tuple[str, str, str]]) -> None:
    if not total:
        return
    table = _table("row", "kind", "what", text=3)
    for row in rows[:SHOWN]:
        table.add_row(*row)
    more = total - min(total, SHOWN)
    _headed(console, title + (f" ({more:,} more; --json lists them)" if more else ""), table)
