"""Rules that change in flight: a row is announced, takes effect at its time, and may leave open positions their table.

A change waits under a timer of its own. At its time it is put in force whole, or dropped whole where the table would break a
bound; everybody is valued anew then, in the cascade of that timer or event. A grandfathered position has the lower maintenance of
two tables: the one in force and the one before it; the ledger takes that away where the position grows, turns or closes.
"""

from __future__ import annotations

from typing import NamedTuple

from specs import rules, units
from specs.model.margin import Brackets
from specs.tape import USERS_FROM, OutcomeKind, Reason


class Change(NamedTuple):
    """A row of changes in numbers: of a market or of a collateral asset; None is absent. grandfather_ns 0: until it grows."""

    market: int | None
    asset: int | None
    rows: list[rules.Requirement] | None
    scale_ppm: int | None
    leverage_max: int | None
    grandfather_ns: int | None
    weights: dict[str, int]
    announced_ns: int | None  # of a row that needs no event
    effective_ns: int | None

    @property
    def maintenance(self) -> bool:
        """Whether maintenance changes, and not caps alone."""
        return self.rows is not None or self.scale_ppm is not None


WEIGHTS = rules.Change.WEIGHTS


def compiled(venue: rules.Venue, start_ns: int) -> list[Change]:
    """Return the changes of a rule book in numbers; one that would be announced before the run is so when it starts."""
    found = []
    for row in venue.changes:
        market = None if row.market is None else venue.number("markets", row.market)
        rows = None
        if row.brackets is not None:
            rows = venue.requirements(venue.markets[market].model_copy(update={"brackets": row.brackets}))
        effective = None if row.effective_from is None else units.instant_to_ns(row.effective_from)
        announced = None if effective is None else start_ns
        if row.announced is not None:
            announced = max(start_ns, units.instant_to_ns(row.announced))
        found.append(
            Change(
                market,
                None if row.collateral is None else venue.number("assets", row.collateral),
                rows,
                row.maintenance_scale_ppm,
                row.leverage_max,
                None if row.grandfather is None else row.grandfather.for_ns or 0,
                {name: getattr(row, name) for name in WEIGHTS if getattr(row, name) is not None},
                announced,
                effective,
            )
        )
    return found


def table_after(before: Brackets, change: Change) -> list[rules.Requirement] | None:
    """Return a market's table after a change; None if it would break a bound: then the whole change is refused.

    Of scaled rates: none above 100 %, none above the initial rate at the cap of leverage, amounts whole units of money. A whole
    table was judged with the rule book, and a cap of leverage breaks none.
    """
    rows, margin = change.rows or before.rows, before.market.margin
    if change.scale_ppm is not None:
        rows = _scaled(rows, change.scale_ppm, margin.tiers == "marginal")
    if rows is None:
        return None
    if change.leverage_max is not None:
        rows = [row._replace(leverage_max=min(row.leverage_max, change.leverage_max)) for row in rows]
    divides = margin.leverage == "divides"
    covered = (rules.initial_rate(row.initial_ppm, row.leverage_max, divides) * row.of >= row.rate for row in rows)
    return rows if change.scale_ppm is None or all(covered) else None


def _scaled(rows: list[rules.Requirement], scale_ppm: int, marginal: bool) -> list[rules.Requirement] | None:
    """Return a table with its rates scaled, rounded up to a ppm, and the amounts that keep marginal tiers continuous."""
    found, floor, before, amount = [], 0, 0, 0
    for row in rows:  # of a rate in ppm: what a scale may change has no other
        rate = units.div_ceil(row.rate * scale_ppm, units.PPM)
        step = floor * (rate - before) if found and marginal else 0
        if rate > units.PPM or step % units.PPM:
            return None
        amount += step // units.PPM
        found.append(row._replace(rate=rate, amount=amount))
        floor, before = row.notional_max, rate
    return found


def post_change(exchange, e) -> Reason:
    if e.ref_id >= len(exchange.changes):
        return Reason.UNKNOWN_CHANGE
    if e.qty and not exchange.now <= e.qty <= units.TIMES_MAX_NS:
        return Reason.BAD_EFFECTIVE
    if not _admissible(exchange, e.ref_id):
        return Reason.CHANGE_BREAKS_BOUND
    _announce(exchange, e.ref_id, e.qty or exchange.now)
    return Reason.NONE


def post_withdrawn(exchange, e) -> Reason:
    if e.ref_id not in exchange.announced:
        return Reason.UNKNOWN_CHANGE
    _forget(exchange, e.ref_id)
    _end(exchange, e.ref_id, Reason.USER)
    return Reason.NONE


def _admissible(exchange, number: int) -> bool:
    """Whether the change keeps its market's bounds, with the table in force now."""
    change = exchange.changes[number]
    return change.market is None or table_after(exchange.brackets[change.market], change) is not None


def _announce(exchange, number: int, effective_ns: int) -> None:
    """Say from when on it will be in force; anew if it was announced before. What is in force at once waits for no timer."""
    exchange.announced[number] = effective_ns
    _tell(exchange, OutcomeKind.CHANGE_ANNOUNCED, number, qty=effective_ns)
    if effective_ns <= exchange.now:
        _take_effect(exchange, number)
    else:
        exchange.change_at(number, effective_ns)


def _forget(exchange, number: int) -> None:
    del exchange.announced[number]
    exchange.change_never(number)


def due(exchange, number: int) -> None:
    """A timer: a change of the rule book is announced or takes effect, or what it left to open positions is over."""
    if number >= len(exchange.changes):
        market = exchange.changes[number - len(exchange.changes)].market
        _end(exchange, number - len(exchange.changes), Reason.EXPIRED, _keep_nothing(exchange, market))
        exchange.due_state = True
    elif number in exchange.announced:
        _take_effect(exchange, number)
    elif _admissible(exchange, number):
        _announce(exchange, number, exchange.changes[number].effective_ns)
    else:
        _end(exchange, number, Reason.CHANGE_BREAKS_BOUND)


def _take_effect(exchange, number: int) -> None:
    """Put an announced change in force whole and value everybody anew; or drop it whole."""
    change, kept = exchange.changes[number], 0
    _forget(exchange, number)
    if not _admissible(exchange, number):
        _end(exchange, number, Reason.CHANGE_BREAKS_BOUND)
        return
    if change.market is None:
        place = next(i for i, haircut in enumerate(exchange.haircuts) if haircut.asset == change.asset)
        exchange.haircuts[place] = exchange.haircuts[place].with_weights(change.weights)
        exchange.weigh(exchange.haircuts[place])
    else:
        before = exchange.brackets[change.market]
        if change.maintenance:
            kept = _grandfather(exchange, number, change, before)
        exchange.brackets[change.market] = before.with_rows(table_after(before, change))
    exchange.in_force[number] = exchange.now
    _tell(exchange, OutcomeKind.CHANGE_EFFECTIVE, number, qty=kept)
    exchange.due_state = True


def _grandfather(exchange, number: int, change: Change, before: Brackets) -> int:
    """End what an earlier change left; leave the positions open now their table, if the row says so. Return how many."""
    _keep_nothing(exchange, change.market)
    if change.grandfather_ns is None:
        return 0
    exchange.kept_brackets[change.market], exchange.kept_by[change.market] = before, number
    held = [a for a in exchange.ledger.accounts.values() if a.number >= USERS_FROM and a.qty[change.market]]
    for account in held:
        account.grandfathered.add(change.market)
    if change.grandfather_ns:
        exchange.change_at(len(exchange.changes) + number, exchange.now + change.grandfather_ns)
    return len(held)


def _keep_nothing(exchange, market: int) -> int:
    """Every position of a market is under the table in force. Return how many were not."""
    if exchange.kept_by[market] is None:
        return 0
    exchange.change_never(len(exchange.changes) + exchange.kept_by[market])
    exchange.kept_brackets[market] = exchange.kept_by[market] = None
    held = [account for account in exchange.ledger.accounts.values() if market in account.grandfathered]
    for account in held:
        account.grandfathered.discard(market)
    return sum(account.qty[market] != 0 for account in held)


def _end(exchange, number: int, reason: Reason, qty: int = 0) -> None:
    _tell(exchange, OutcomeKind.CHANGE_ENDED, number, reason=reason, qty=qty)


def _tell(exchange, kind: OutcomeKind, number: int, **fields) -> None:
    change = exchange.changes[number]
    exchange.emit(kind, ref_id=number, market=change.market or 0, asset=change.asset or 0, **fields)


def tables(exchange) -> dict[str, list[tuple[int, ...]]]:
    """Return the tables of the state that tell of changes; of rules those that some row changes."""
    markets = sorted({change.market for change in exchange.changes if change.market is not None})
    told = [
        (m, kept, table[m]) for m in markets for kept, table in ((0, exchange.brackets), (1, exchange.kept_brackets)) if table[m]
    ]
    assets = {change.asset for change in exchange.changes}
    users = [exchange.ledger.accounts[n] for n in sorted(exchange.ledger.accounts)]
    return {
        "changes": [
            (n, *(x for times in (exchange.announced, exchange.in_force) for x in (int(n in times), times.get(n, 0))))
            for n in range(len(exchange.changes))
        ],
        "brackets": [
            (m, kept, i, *row._replace(initial_ppm=row.initial_ppm or 0))
            for m, kept, table in told
            for i, row in enumerate(table.rows)
        ],
        "haircuts": sorted((h.asset, *(getattr(h.row, w) for w in WEIGHTS)) for h in exchange.haircuts if h.asset in assets),
        "grandfathered": [(account.number, m) for account in users for m in sorted(account.grandfathered) if account.qty[m]],
    }
