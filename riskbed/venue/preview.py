"""`riskbed venue preview`: whom a change of rules would hurt, if it took effect at a time of a run.

The run goes on up to that time under its rule book; then every account is valued by it and by the changed one, at the prices in
force. Nothing trades: what the liquidations themselves would do to others is what a replay under the changed rule book shows.

specs/schema/venue-preview.json is the JSON Schema; `python -m riskbed.venue.preview` writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, ValidationError, model_validator

from riskbed import positions, replay
from riskbed.result import Count, Instant, Money, Note, Part, Source
from specs import load, rules, units
from specs.errors import SpecError
from specs.rules import Venue
from specs.scene import Book, Scene
from specs.schema import text_of
from specs.tape import USERS_FROM, Status


@dataclass(frozen=True)
class Options:
    """change: a YAML file with one Change. The rest as of positions."""

    change: str
    inputs: replay.Options
    run: str = "broken"
    at: str | None = None
    top: int = 20


class Change(rules.Row):
    """A change of a rule book: of a market its whole table of brackets, or a cap on their leverage; of an asset its weights."""

    name: rules.Name
    market: rules.Name | None = None
    brackets: Annotated[list[rules.Bracket], Field(min_length=1, max_length=units.BRACKETS_MAX)] | None = None
    leverage_max: Annotated[StrictInt, Field(ge=1, le=units.LEVERAGE_MAX)] | None = None
    collateral: rules.Name | None = None
    weight_ppm: rules.Ppm | None = None
    liability_weight_ppm: Annotated[StrictInt, Field(ge=units.PPM, le=10 * units.PPM)] | None = None
    convert_buffer_ppm: rules.Ppm | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Change:
        of_market = [field for field in ("brackets", "leverage_max") if getattr(self, field) is not None]
        weights = ("weight_ppm", "liability_weight_ppm", "convert_buffer_ppm")
        of_asset = [field for field in weights if getattr(self, field) is not None]
        if (self.market is None) == (self.collateral is None):
            raise rules.At((), "a change is of a market or of collateral", "market: or collateral:, one of the two")
        wrong, right = (of_market, of_asset) if self.market is None else (of_asset, of_market)
        if wrong:
            raise rules.At((wrong[0],), f"{wrong[0]} is not of {'a market' if self.market else 'collateral'}", "leave it out")
        if not right:
            known = weights if self.market is None else ("brackets", "leverage_max")
            raise rules.At((), "it changes nothing", f"at least one of {', '.join(known)}")
        return self


class Hurt(Part):
    """An account before and after, money of the numeraire. liquidatable: triggered after and not before.

    initial: of its positions and open orders; over_leverage: equity covers it before and no longer after, so that it may neither
    open nor withdraw.
    """

    account: Count
    status: Literal["normal", "liquidating", "suspended"]
    liquidatable: bool
    over_leverage: bool
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
    equity after of all of them, where above 0.
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
    of: Count
    rows: list[Hurt]
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]


SCHEMA = Path(__file__).parents[2] / "specs" / "schema" / "venue-preview.json"


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Preview.model_json_schema())


def changed(text: str, venue: Venue) -> tuple[Change, Venue]:
    """Return the change that a file says, and the rule book with it. Raises SpecError with file:line:column."""
    path = Path(text)
    if not path.is_file():
        raise SpecError(f"there is no change '{text}'", remedy=f"a YAML file with one change: {load.near_file(path)}")
    found: list[Venue] = []
    row = load.load_text(load.read_text(path), Change, load.shown(path), lambda row: found.append(_with(row, venue)))
    return row, found[0]


def _with(row: Change, venue: Venue) -> Venue:
    """Return the rule book with the change; raise At, below the change, where a rule book would refuse it."""
    names = [other.asset for other in venue.collateral] if row.market is None else [m.name for m in venue.markets if not m.spot]
    name, table = (row.collateral, "collateral") if row.market is None else (row.market, "markets")
    if name not in names:
        field = "collateral" if row.market is None else "market"
        raise rules.At((field,), f"'{name}' is none of the rule book", f"known: {', '.join(names) or 'none'}")
    rows = list(getattr(venue, table))
    at = next(i for i, other in enumerate(rows) if name == (other.asset if row.market is None else other.name))
    rows[at] = rows[at].model_copy(update=_values(row, rows[at]))
    try:
        return Venue.model_validate(venue.model_copy(update={table: rows}).model_dump(exclude_defaults=True))
    except ValidationError as error:
        cause = error.errors(include_url=False)[0].get("ctx", {}).get("error")
        if not isinstance(cause, rules.At):
            raise
        below = cause.path[2:] if cause.path[:2] == (table, at) else cause.path
        raise rules.At(below if row.brackets is not None else (), cause.problem, cause.remedy) from None


def _values(row: Change, before: rules.Market | rules.Collateral) -> dict[str, Any]:
    if row.market is None:
        fields = ("weight_ppm", "liability_weight_ppm", "convert_buffer_ppm")
        return {field: getattr(row, field) for field in fields if getattr(row, field) is not None}
    brackets = list(before.brackets if row.brackets is None else row.brackets)
    if row.leverage_max is not None:
        brackets = [one.model_copy(update={"leverage_max": min(one.leverage_max, row.leverage_max)}) for one in brackets]
    return {"brackets": brackets, "leverage_default": min(before.leverage_default, brackets[0].leverage_max)}


def preview(options: Options, progress: Callable[[int, int, str], None] = lambda done, total, what: None) -> Preview:
    """Run the tape up to and with a time, put the change in force, and list whom it hurts. Raises SpecError or TapeError."""
    inputs, venue, exchange, at_ns, events = positions.run_to(options.inputs, options.run, options.at, progress)
    row, other = changed(options.change, venue)
    state = exchange.state()
    before, after = Scene(Book(venue), state), Scene(Book(other), state)
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
        of=len(found),
        rows=[_row(account, shown) for account in rows[: options.top]],
        series=[Source(name=one.name, provenance=one.provenance, note=one.note) for one in inputs.tape.meta.series],
        assumed=replay.assumed(inputs),
        unknowns=replay.unknowns(inputs),
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
    who = f"{answer.liquidatable:,} account{'' if answer.liquidatable == 1 else 's'}"
    told = (
        f"{who} would become liquidatable, with {rounded(answer.notional, 2)} {unit} of positions and "
        f"{rounded(answer.deficit, 2)} short of maintenance; {answer.over_leverage:,} would exceed their leverage."
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
