"""`riskbed venue preview`: whom a change of rules would hurt, if it took effect at a time of a run.

The run goes on up to that time, with no change before it but those of its tape and rule book; then the change takes effect, and
every account is valued before and after it at the prices in force. Nothing trades: what the liquidations themselves would do to
others is what a replay shows.

specs/schema/venue-preview.json is the JSON Schema; `python -m riskbed.venue.preview` writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from riskbed import positions, replay
from riskbed.result import Count, Instant, Money, Note, Part, Source
from riskbed.venue.changes import broken
from specs import load, rules, units
from specs.errors import SpecError
from specs.model.changes import compiled, table_after
from specs.rules import Change, Venue
from specs.scene import Book, Scene
from specs.schema import text_of
from specs.tape import USERS_FROM, Status


@dataclass(frozen=True)
class Options:
    """change: a YAML file with one row of changes, or the name of such a row of the rule book. The rest as of positions."""

    change: str
    inputs: replay.Options
    run: str = "broken"
    at: str | None = None
    top: int = 20


class Hurt(Part):
    """An account before and after, money of the numeraire. liquidatable: triggered after and not before.

    initial: of its positions and open orders; over_leverage: equity covers it before and no longer after, so that it may neither
    open nor withdraw. keeps: a position of it would keep the table before the change.
    """

    account: Count
    status: Literal["normal", "liquidating", "suspended"]
    liquidatable: bool
    over_leverage: bool
    keeps: bool
    equity_before: Money
    equity_after: Money
    maintenance_before: Money
    maintenance_after: Money
    initial_before: Money
    initial_after: Money
    notional: Money


class Side(Part):
    """Of all accounts with a position, an order or collateral. liquidatable: accounts whose trigger is true."""

    equity: Money
    maintenance: Money
    initial: Money
    liquidatable: Count


class Preview(Part):
    """rows: the `of` accounts that would become liquidatable, the deepest deficit first, then those over their leverage.

    liquidatable, over_leverage: how many; notional: of all positions of those that become liquidatable, deficit: maintenance less
    equity after of all of them, where above 0. kept: positions that the change leaves the table before it.
    """

    schema_version: Literal[1]
    title: str
    venue: str
    numeraire: str
    run: str
    change: str
    of_what: str
    at: Instant
    time: Instant
    events: Count
    accounts: Count
    before: Side
    after: Side
    liquidatable: Count
    over_leverage: Count
    notional: Money
    deficit: Money
    kept: Count
    of: Count
    rows: list[Hurt]
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "venue-preview.json"


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Preview.model_json_schema())


def change_of(text: str, venue: Venue) -> Change:
    """Return the change that a file says, judged against the rule book; or the row of that name. Raises SpecError."""
    named = {row.name: row for row in venue.changes}
    if text in named:
        return named[text]
    path = Path(text)
    if not path.is_file():
        remedy = load.near(text, named) if named and path.suffix not in (".yaml", ".yml") else load.near_file(path)
        raise SpecError(f"there is no change '{text}'", remedy=f"a YAML file with one row of changes: {remedy}")
    return load.load_text(load.read_text(path), Change, load.shown(path), lambda row: _judged(row, venue))


def _judged(row: Change, venue: Venue) -> None:
    """Raise At, below the row, where the rule book would refuse it."""
    try:
        venue.judge_change(0, row)
    except rules.At as error:
        raise rules.At(error.path[2:], error.problem, error.remedy) from None


def preview(options: Options, progress: Callable[[int, int, str], None] = lambda done, total, what: None) -> Preview:
    """Run the tape up to and with a time, put the change in force, and list whom it hurts. Raises SpecError or TapeError."""
    inputs, venue, exchange, at_ns, events = positions.run_to(options.inputs, options.run, options.at, progress)
    row = change_of(options.change, venue)
    state = exchange.state()
    changed = venue.model_copy(update={"changes": [*venue.changes, row]})
    before, after = (Scene(Book(changed), state) for _ in range(2))
    _refuse(changed, before)
    after.put_in_force(len(venue.changes))
    found, sides, accounts = _hurt(venue, before, after)
    shown = lambda money: units.int_to_decimal(money, venue.decimals(venue.numeraire))  # noqa: E731
    caught = [account for account in found if account["liquidatable"]]
    spare = lambda row: row["equity_after"] - row["maintenance_after"]  # noqa: E731
    rows = sorted(found, key=lambda row: (not row["liquidatable"], spare(row), row["account"]))
    return Preview(
        schema_version=1,
        title=inputs.title,
        venue=venue.name,
        numeraire=venue.numeraire,
        run=options.run,
        change=row.name,
        of_what=row.market or row.collateral,
        at=units.ns_to_instant(at_ns),
        time=units.ns_to_instant(state["clock"][0][0]),
        events=events,
        accounts=accounts,
        before=_side(sides[0], shown),
        after=_side(sides[1], shown),
        liquidatable=len(caught),
        over_leverage=sum(account["over_leverage"] for account in found),
        notional=shown(sum(account["notional"] for account in caught)),
        deficit=shown(sum(max(0, account["maintenance_after"] - account["equity_after"]) for account in caught)),
        kept=len(after.grandfathered) if row.grandfather else 0,
        of=len(found),
        rows=[_row(account, shown) for account in rows[: options.top]],
        series=[Source(name=one.name, provenance=one.provenance, note=one.note) for one in inputs.tape.meta.series],
        assumed=replay.assumed(inputs),
        unknowns=replay.unknowns(inputs),
    )


def _refuse(venue: Venue, scene: Scene) -> None:
    """Raise SpecError if the venue would refuse the last of its changes whole."""
    change = compiled(venue, 0)[-1]
    if change.market is None:
        return
    table = scene.brackets[change.market]
    if table_after(table, change) is None:
        raise SpecError(
            f"the venue would refuse change '{venue.changes[-1].name}' whole: {broken(table, change)}",
            remedy="with the table in force at that time it must keep every bound",
        )


def _hurt(venue: Venue, before: Scene, after: Scene) -> tuple[list[dict[str, Any]], list[dict[str, int]], int]:
    """Return the accounts that the change hurts, the sums before and after, and of how many accounts those are."""
    found, sides = [], [dict.fromkeys(Side.model_fields, 0) for _ in range(2)]
    live = {account for (account, _), x in (*before.qty.items(), *before.balance.items()) if x and account >= USERS_FROM}
    live |= {order.account for order in before.orders.values() if order.account in before.owner}
    for account in sorted(live):
        was, now = (_valued(scene, account) for scene in (before, after))
        for side, values in zip(sides, (was, now), strict=True):
            for name in side:
                side[name] += values[name]
        liquidatable = now["liquidatable"] and not was["liquidatable"]
        over = now["equity"] < now["initial"] and was["equity"] >= was["initial"]
        if liquidatable or over:
            names = {f"{name}_{when}": values[name] for when, values in (("before", was), ("after", now)) for name in _MONEY}
            found.append(
                names
                | {
                    "account": account,
                    "status": Status(before.status[account]).name.lower(),
                    "liquidatable": liquidatable,
                    "over_leverage": over,
                    "keeps": any((account, market) in after.grandfathered for market in after.held(account)),
                    "notional": sum(abs(before.qty[account, market] * before.value(market)) for market in before.held(account)),
                }
            )
    return found, sides, len(live)


_MONEY = ("equity", "maintenance", "initial")


def _valued(scene: Scene, account: int) -> dict[str, int]:
    e = scene.evaluate(account)
    initial = scene.requirements(account)
    return {"equity": e.equity, "maintenance": e.maintenance, "initial": initial, "liquidatable": int(scene.triggered(account))}


def _side(side: dict[str, int], shown: Callable[[int], str]) -> Side:
    return Side(liquidatable=side["liquidatable"], **{name: shown(side[name]) for name in _MONEY})


def _row(account: dict[str, Any], shown: Callable[[int], str]) -> Hurt:
    money = {"notional"} | {f"{name}_{when}" for name in _MONEY for when in ("before", "after")}
    return Hurt(**{name: shown(value) if name in money else value for name, value in account.items()})


def show(answer: Preview) -> None:
    """Print the totals and whom the change hurts; what is not known last."""
    from riskbed import cli
    from riskbed.result import rounded
    from riskbed.tables import _console

    console, unit = _console(), answer.numeraire
    console.print(f"{answer.title}: change '{answer.change}' of {answer.of_what} at {answer.at}", style="bold", markup=False)
    about = [f"rule book {answer.venue}", f"run {answer.run}", f"{answer.events:,} events to {answer.time}"]
    console.print(", ".join(about), style="dim", markup=False)
    table = cli._table("", f"equity {unit}", "maintenance", "initial margin", "accounts liquidatable")
    for name, side in (("before", answer.before), ("after", answer.after)):
        table.add_row(name, *(rounded(getattr(side, field), 2) for field in _MONEY), f"{side.liquidatable:,}")
    cli._headed(console, f"All {answer.accounts:,} accounts", table)
    keeps = f"; {answer.kept:,} positions keep the table before it" if answer.kept else ""
    who = f"{answer.liquidatable:,} account{'' if answer.liquidatable == 1 else 's'}"
    told = (
        f"{who} would become liquidatable, with {rounded(answer.notional, 2)} {unit} of positions and "
        f"{rounded(answer.deficit, 2)} short of maintenance; {answer.over_leverage:,} would exceed their leverage{keeps}."
    )
    console.print(told, markup=False, soft_wrap=True)
    if answer.rows:
        table = cli._table(
            "account", "would be", f"equity before {unit}", "after", "maintenance before", "after", "initial before", "after",
            "notional", "status", text=2,
        )  # fmt: skip
        for row in answer.rows:
            words = ["liquidatable"] * row.liquidatable + ["over its leverage"] * row.over_leverage
            money = [getattr(row, f"{name}_{when}") for name in _MONEY for when in ("before", "after")] + [row.notional]
            table.add_row(str(row.account), ", ".join(words), *(rounded(value, 2) for value in money), row.status)
        cli._headed(console, f"Whom it hurts: {len(answer.rows):,} of {answer.of:,} accounts", table)
    cli._show_notes(console, answer)


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
