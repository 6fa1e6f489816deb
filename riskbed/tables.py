"""What a comparison and a judging of guards print: tables on stdout, the token last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskbed.cli import PLAIN_WIDTH, _headed, _show_left, _show_notes, _table
from riskbed.result import rounded

if TYPE_CHECKING:
    from rich.console import Console

    from riskbed.compare import Compared
    from riskbed.comparison import Comparison, Divergence
    from riskbed.guards import Done, Guards
    from riskbed.positions import Positions

ACCOUNTS_SHOWN = 20
TOTALS = {
    "liquidated": "accounts liquidated",
    "deleveraged": "accounts deleveraged (ADL)",
    "lots": "lots closed by force",
    "notional": "notional closed by force",
    "adl_lots": "lots taken by ADL",
    "shortfall": "shortfall: fund draw and bad debt",
    "fund_draw": "fund draw: paid by the fund",
    "bad_debt": "bad debt: paid by nobody",
    "fund": "fund at the end",
    "liquidation_fees": "liquidation fees",
    "fees": "trading fees",
    "equity": "equity of all accounts",
}


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def show_compare(done: Compared) -> None:
    """Print what a comparison showed; the token last."""
    found, console = done.answer, _console()
    console.print(found.title, style="bold", markup=False)
    for name, side in (("A", found.a), ("B", found.b)):
        console.print(f"{name}: {side.given}, rule book {side.venue}, plan {side.plan}", markup=False, soft_wrap=True)
    console.print(f"{found.totals.accounts:,} accounts, {found.events:,} events to {found.horizon}", style="dim", markup=False)
    for row in found.rows:
        console.print(f"  {row}", markup=False, soft_wrap=True)
    if found.same:
        console.print("\nNothing differs: every outcome of B is the outcome of A.", style="bold")
    else:
        _show_totals(console, found)
        _show_accounts(console, found)
        if found.first_divergence:
            _show_divergence(console, found.first_divergence)
    if found.unknowns:
        console.print("\nNot known", style="bold")
        for line in found.unknowns:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print()
    _show_left(console, found.run_folder, done.inputs.options.report)
    console.print("Replay token:", style="bold")
    console.print(found.token, markup=False, soft_wrap=True)


def _cells(pair: object) -> list[str]:
    """Return A, B and their difference as a table shows them; money rounded for the eye."""
    values = (pair.a, pair.b, pair.difference)
    return [rounded(value) if isinstance(value, str) else f"{value:,}" for value in values]


def _show_totals(console: Console, found: Comparison) -> None:
    table = _table("total", "A", "B", "B less A")
    for name, words in TOTALS.items():
        pair = getattr(found.totals, name)
        table.add_row(f"{words}, {found.numeraire}" if isinstance(pair.a, str) else words, *_cells(pair))
    for row in found.totals.open_interest:
        table.add_row(f"open interest {row.market} at the end, lots", *_cells(row))
    _headed(console, "What differs", table)


def _show_accounts(console: Console, found: Comparison) -> None:
    totals = found.totals
    console.print(
        f"\nAccounts: {totals.hurt:,} hurt under B only, {totals.spared:,} spared by B, {totals.both:,} hurt under both but not "
        f"alike, {totals.changed:,} changed otherwise, {totals.alike:,} alike"
    )
    ranked = ranked_accounts(found)
    if not ranked:
        return
    table = _table("account", "status", "lots A", "lots B", "ADL A", "ADL B", "equity A", "equity B", "B less A", text=2)
    for row in ranked[:ACCOUNTS_SHOWN]:
        counts = (row.lots.a, row.lots.b, row.adl_lots.a, row.adl_lots.b)
        table.add_row(str(row.account), row.status, *(f"{count:,}" for count in counts), *_cells(row.equity))
    more = len(ranked) - ACCOUNTS_SHOWN
    title = f"Hurt and spared first, the largest difference of equity first, {found.numeraire}"
    _headed(console, title + (f" ({more:,} more in accounts.parquet)" if more > 0 else ""), table)


def ranked_accounts(found: Comparison) -> list:
    """Return the accounts that fare differently: those hurt or spared first, then by difference of equity, the largest first."""

    def key(row) -> tuple:
        size = int(row.equity.difference.replace(".", "").lstrip("-"))  # of one scale: no float
        return row.status not in ("hurt", "spared"), -size, row.account

    return sorted(found.accounts, key=key)


def _show_divergence(console: Console, where: Divergence) -> None:
    console.print(f"\nFirst divergence: event {where.event:,} at {where.time}, {where.what}", style="bold", markup=False)
    for name, side in (("A", where.a), ("B", where.b)):
        for line in side.said or ["nothing more"]:
            console.print(f"  {name}  {line}", markup=False, soft_wrap=True)
        if side.more:
            console.print(f"  {name}  and {side.more:,} outcomes more")
    for row in where.accounts:
        for name, state in (("A", row.a), ("B", row.b)):
            console.print(f"  account {row.account} under {name}: {state_words(state)}", markup=False, soft_wrap=True)


def state_words(state: object) -> str:
    """Return the state of an account in words."""
    if state is None:
        return "not open"
    words = [f"{state.status}, equity {rounded(state.equity, 2)}, maintenance {rounded(state.maintenance, 2)}"]
    words += [f"{row.lots:,} lots {row.market} at mark {row.mark}" for row in state.positions] or ["no position"]
    words += [f"{rounded(row.balance, 2)} {row.asset} at {row.price}" for row in state.collateral]
    return ", ".join(words)


# ---- guards


def show_guards(done: Done) -> None:
    """Print the verdicts, then every guard on every shape; the token last."""
    answer, console = done.answer, _console()
    console.print(f"{answer.title}: guards", style="bold", markup=False)
    about = [f"rule book {answer.venue}", f"variant {answer.variant}, seed {answer.seed}", f"{answer.accounts:,} accounts"]
    about += [f"{answer.runs} runs", f"{done.seconds:.1f} s"]
    console.print(", ".join(about), style="dim", markup=False)
    _show_verdicts(console, answer)
    for shape in answer.shapes:
        _show_shape(console, answer, shape.name)
    _show_notes(console, answer)
    console.print()
    _show_left(console, answer.run_folder, done.inputs.options.report)
    console.print("Token:", style="bold")
    console.print(answer.token, markup=False, soft_wrap=True)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _show_verdicts(console: Console, answer: Guards) -> None:
    figures = ("of unguarded", "never liquidated, worst", "added shortfall, worst bp")
    table = _table("guard", f"erroneous {answer.numeraire}", *figures, "verdict")
    for guard in answer.guards:
        added = "-" if guard.added_bp is None else f"{guard.added_bp:.2f}"
        figures = (rounded(guard.erroneous), _share(guard.erroneous_share), _share(guard.hidden), added)
        table.add_row(guard.title, *figures, guard.verdict or "not judged")
    _headed(console, "Guards: under the fault, and the worst of the moves that stay", table)
    for title, name in (("of unguarded", "erroneous_share"), ("never liquidated", "hidden"), ("added shortfall", "added_bp")):
        console.print(f"  {title}: of {answer.denominators[name]}", style="dim", markup=False, soft_wrap=True)
    for guard in answer.guards:
        console.print(f"  {guard.title}: {guard.why}", markup=False, soft_wrap=True)


def _show_shape(console: Console, answer: Guards, name: str) -> None:
    shape = next(row for row in answer.shapes if row.name == name)
    table = _table(
        "guard", "never liquidated", "of the move's own", f"spared {answer.numeraire}", "late", "median s", "worst s", "extra",
        "shortfall", "added bp", "treasury's loss", "hidden shortfall",
    )  # fmt: skip
    for guard in answer.guards:
        move = next(row for row in guard.moves if row.shape == name)
        own = move.of_the_move
        delays = ["-" if delay is None else f"{delay:g}" for delay in (own.median_delay_s, own.worst_delay_s)]
        cells = [
            _share(move.whole.share),
            _share(own.share),
            rounded(own.spared),
            rounded(own.late),
            *delays,
            rounded(move.extra),
        ]
        cells += [rounded(move.shortfall), "-" if move.added_bp is None else f"{move.added_bp:.2f}"]
        table.add_row(guard.title, *cells, rounded(move.treasury_loss), rounded(move.hidden_shortfall))
    _headed(console, f"{shape.title}, to {shape.horizon}; spared, late and delays: of the move's own", table)


# ---- positions


def show_positions(answer: Positions) -> None:
    """Print the positions nearest to liquidation; what is not known last."""
    console = _console()
    console.print(f"{answer.title}: positions at {answer.at}", style="bold", markup=False)
    about = [f"rule book {answer.venue}", f"run {answer.run}", f"{answer.events:,} events to {answer.time}"]
    console.print(", ".join(about), style="dim", markup=False)
    table = _table(
        "account", "market", "qty", "entry", "mark", f"equity {answer.numeraire}", "maintenance", "liquidation price",
        "distance %", "bankruptcy price", "ADL rank", "status", text=2,
    )  # fmt: skip
    for row in answer.rows:
        rank = "-" if row.adl_rank is None else f"{row.adl_rank:,} of {row.adl_of:,}"
        prices = [row.liquidation_price or "never", row.distance_percent or "-", row.bankruptcy_price or "none"]
        money = [rounded(row.equity, 2), rounded(row.maintenance, 2)]
        table.add_row(str(row.account), row.market, f"{row.qty:,}", row.entry, row.mark, *money, *prices, rank, row.status)
    _headed(console, f"Nearest to liquidation: {len(answer.rows):,} of {answer.of:,} positions", table)
    _show_notes(console, answer)
