"""Positions nearest to liquidation at a time of a run: the object behind `positions --json`.

Prices are decimal strings of their market, money of the numeraire; null where there is no such price or place. Its JSON Schema
is specs/schema/positions.json.

`python -m riskbed.positions` writes the schema anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from riskbed import replay
from riskbed.jobs import exchange_of
from riskbed.result import Count, Instant, Money, Note, Part, Source
from specs import units
from specs.errors import SpecError
from specs.rules import Venue
from specs.scene import Book, Scene, Tables
from specs.schema import text_of
from specs.tape import USERS_FROM, Status

CHUNK = 1 << 16  # events between two looks at whether the user has had enough
PERCENT_DECIMALS = 4


@dataclass(frozen=True)
class Options:
    """What a user may choose. inputs: as of a replay. run: one of its runs. at: a time with its zone; the tape's end if None."""

    inputs: replay.Options
    run: str = "broken"
    at: str | None = None
    account: int | None = None
    top: int = 20


class Row(Part):
    """A position. qty: lots, long positive. equity, maintenance: of the whole account.

    entry: what is open was paid for on average, half up to the market's decimals. liquidation_price, bankruptcy_price, adl_rank:
    specs/model/queries.py says what each is. distance_percent: from the mark to the liquidation price, of the mark, rounded
    down; 0 where the account is triggered.
    """

    account: Count
    status: Literal["normal", "liquidating", "suspended"]
    market: str
    qty: int
    entry: Money
    mark: Money
    equity: Money
    maintenance: Money
    liquidation_price: Money | None
    distance_percent: Money | None
    bankruptcy_price: Money | None
    adl_rank: Count | None
    adl_of: Count | None


class Positions(Part):
    """rows: `of` positions, those nearest to liquidation first, by distance, then account, then market; never triggered: last.

    time: of the last event that counted, at or before `at`; events: how many those are.
    """

    schema_version: Literal[1]
    title: str
    venue: str
    numeraire: str
    run: str
    at: Instant
    time: Instant
    events: Count
    of: Count
    rows: list[Row]
    series: list[Source]
    assumed: list[Note]
    unknowns: list[str]


def positions(options: Options, progress: Callable[[int, int, str], None] = lambda done, total, what: None) -> Positions:
    """Run the tape up to and with a time and list what stands there. Raises SpecError or TapeError."""
    inputs, venue, exchange, at_ns, events = run_to(options.inputs, options.run, options.at, progress)
    state = exchange.state()
    if options.account is not None and options.account not in {row[0] for row in state["accounts"]}:
        raise SpecError(f"account {options.account} is not open then", remedy=f"users' accounts are those from {USERS_FROM} on")
    held = [row for row in state["positions"] if row[0] >= USERS_FROM and options.account in (None, row[0])]
    return Positions(
        schema_version=1,
        title=inputs.title,
        venue=venue.name,
        numeraire=venue.numeraire,
        run=options.run,
        at=units.ns_to_instant(at_ns),
        time=units.ns_to_instant(state["clock"][0][0]),
        events=events,
        of=len(held),
        rows=_rows(exchange, venue, state, held, options.top),
        series=[Source(name=row.name, provenance=row.provenance, note=row.note) for row in inputs.tape.meta.series],
        assumed=replay.assumed(inputs),
        unknowns=replay.unknowns(inputs),
    )


def run_to(
    options: replay.Options, run: str, at: str | None, progress: Callable[[int, int, str], None]
) -> tuple[replay.Inputs, Venue, Any, int, int]:
    """Run a tape up to and with a time: return the inputs, the rule book in force, the exchange, the time, how many events.

    at: as of Options. Raises SpecError or TapeError.
    """
    inputs = replay.read_inputs(options)
    if run not in inputs.plans:
        raise SpecError(f"there is no run '{run}'", remedy=f"one of {', '.join(inputs.plans)}")
    plan, start_ns = inputs.plans[run], inputs.tape.meta.start_ns
    events = replay.overlay(inputs.tape.events, plan, inputs.venue)
    at_ns = _time(at, start_ns, int(events["time_ns"][-1]) if len(events) else start_ns)
    events = events[events["time_ns"] <= at_ns]
    venue = plan.rules(inputs.venue)
    exchange = exchange_of(options.twin)(venue, start_ns, plan.seam_rows(inputs.venue))
    for done in range(0, len(events), CHUNK):
        progress(done, len(events), "events")
        exchange.run(events[done : done + CHUNK], keep=False)
    return inputs, venue, exchange, at_ns, len(events)


def _time(text: str | None, start_ns: int, end_ns: int) -> int:
    if text is None:
        return end_ns
    try:
        at_ns = units.instant_to_ns(text)
    except ValueError as error:
        raise SpecError(f"--at {text}: {error}", remedy="as 2025-10-10T21:15:00Z") from None
    if not start_ns <= at_ns <= end_ns:
        span = f"{units.ns_to_instant(start_ns)} to {units.ns_to_instant(end_ns)}"
        raise SpecError(f"--at {text} is not on the tape", remedy=f"a time from {span}")
    return at_ns


def _rows(exchange: Any, venue: Venue, state: Tables, held: list[tuple[int, ...]], top: int) -> list[Row]:
    """Return the nearest of the positions held, in order."""
    marks = {row[0]: row[5] for row in state["marks"]}
    found = []
    for account, market, _, qty, entry in held:
        price, mark = exchange.liquidation_price(account, market), marks[market]
        away = None if price is None else Fraction(abs(price - mark), max(abs(mark), 1))  # of a mark at 0: of its unit
        found.append((away is None, away or 0, account, market, qty, entry, price))
    scene, status = Scene(Book(venue), state), {row[0]: Status(row[4]) for row in state["accounts"]}
    rows = []
    for never, away, account, market, qty, entry, price in sorted(found)[:top]:
        equity, maintenance, *_ = scene.evaluate(account)
        rank, of = exchange.adl_rank(account, market) or (None, None)
        prices = {
            "entry": _entry(venue, market, qty, entry),
            "mark": marks[market],
            "liquidation_price": price,
            "bankruptcy_price": exchange.bankruptcy_price(account, market),
        }
        percent = None if never else units.int_to_decimal(int(away * 100 * 10**PERCENT_DECIMALS), PERCENT_DECIMALS)
        rows.append(
            Row(
                account=account,
                status=status[account].name.lower(),
                market=venue.markets[market].name,
                qty=qty,
                equity=units.int_to_decimal(equity, venue.decimals(venue.numeraire)),
                maintenance=units.int_to_decimal(maintenance, venue.decimals(venue.numeraire)),
                distance_percent=percent,
                adl_rank=rank,
                adl_of=of,
                **{name: _shown(venue, market, price) for name, price in prices.items()},
            )
        )
    return rows


def _entry(venue: Venue, market: int, qty: int, entry: int) -> int:
    """Return the price at which the lots are worth what was paid for them, half up."""
    row = venue.markets[market]
    paid, lots = (-qty * venue.face(row), entry) if row.payoff == "inverse" else (entry, qty * venue.multiplier(row))
    return (2 * paid + lots) // (2 * lots)


def _shown(venue: Venue, market: int, price: int | None) -> str | None:
    return None if price is None else units.int_to_decimal(price, venue.markets[market].price_decimals)


SCHEMA = Path(__file__).parent.parent / "specs" / "schema" / "positions.json"


def schema() -> str:
    """Return the JSON Schema of an answer as text: keys sorted."""
    return text_of(Positions.model_json_schema())


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
