"""Why each lot of a broken run was closed by force: direct, induced or market.

Judged at its trigger, with true prices put into the broken run's own state.

    direct    not below the trigger at true prices: only the published ones said so
    induced   below it at true prices too, and the true run does not close this lot: the path brought the account there
    market    below it at true prices too, and the true run closes the lot as well

The trigger of a lot is the LIQUIDATION outcome that opened its account's episode. The account's lots and collateral at that
moment are summed up from the outcomes before it, with what busts gave back; what it was worth stands in the outcome. Lots of a
fill that was busted are not judged (riskbed/bust.py).

    true equity = equity + sum lots x (true value - published value) + sum (true - published) counted value of collateral

True values: of a market the valid mark that the true run published at the same time, of several in one cascade the worst for the
account, else the last one before; of a collateral asset what its true source said last. Maintenance is taken at the true values.
A direct lot also says which price did it: `by_collateral` if the true collateral price alone lifts the account above the trigger
at the published marks, else `by_mark`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from riskbed.labels import Forced, Labels, marks_at
from specs.errors import SpecError
from specs.model.changes import Change, compiled, table_after
from specs.model.margin import Brackets, Haircut
from specs.rules import Venue
from specs.tape import Chart, EventKind, Flag, Grade, OutcomeKind, Reason, Side, money_join


class Cause(IntEnum):
    """Causes from the mildest finding to the worst."""

    MARKET = 0
    INDUCED = 1
    DIRECT = 2


def _fill(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A fill gives the taker its side's lots and takes them from the maker."""
    bought = np.where(rows["side"] == Side.BUY, 1, -1) * rows["qty"]
    return bought, -bought


def _takeover(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A position passes to the other account; `side` is the position's."""
    held = np.where(rows["side"] == Side.BUY, 1, -1) * rows["qty"]
    return -held, held


def _busted(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A bust is a fill backward; `side` is the taker's."""
    bought, sold = _fill(rows)
    return sold, bought


LOTS_MOVED: dict[OutcomeKind, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    OutcomeKind.FILL: _fill,
    OutcomeKind.BUSTED: _busted,
    OutcomeKind.TAKEOVER: _takeover,
    OutcomeKind.ADL: _takeover,
    OutcomeKind.MOVED: _takeover,
}
"""Outcome kind -> signed lots that `account` and `other` get. What moves lots and is not here fails `History.check`."""
ASSET_MOVED = (OutcomeKind.FLOW, OutcomeKind.CONVERT)
"""Outcome kinds that move money of an asset from `account` to `other`."""


def _paid(outcomes: np.ndarray, asset: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row, from, to, money) of an asset's flows and conversions."""
    at = np.flatnonzero(np.isin(outcomes["kind"], ASSET_MOVED) & (outcomes["asset"] == asset))
    rows = outcomes[at]
    columns = (at, rows["account"], rows["other"], rows["money_lo"], rows["money_hi"])
    for row, source, target, lo, hi in zip(*(column.tolist() for column in columns), strict=True):
        yield row, source, target, money_join(lo, hi)


def _delivered(outcomes: np.ndarray, asset: int, venue: Venue) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row, from, to, money) of what spot fills move of an asset: the base, what is paid for it, the taker's fee.

    A fill that is busted moves the same the other way.
    """
    for number, market in enumerate(venue.markets):
        if not market.spot or asset not in (venue.number("assets", market.base), venue.number("assets", market.settles_in)):
            continue
        kinds = np.isin(outcomes["kind"], [int(OutcomeKind.FILL), int(OutcomeKind.BUSTED)])
        at = np.flatnonzero(kinds & (outcomes["market"] == number))
        for row, o in zip(at.tolist(), outcomes[at], strict=True):
            taker, maker = int(o["account"]), int(o["other"])
            back = o["kind"] == OutcomeKind.BUSTED
            buyer, seller = (taker, maker) if (o["side"] == Side.BUY) != back else (maker, taker)
            if asset == venue.number("assets", market.base):
                yield row, seller, buyer, int(o["qty"]) * venue.lot_units(market)
            else:
                yield row, buyer, seller, int(o["qty"]) * venue.value(market, int(o["price"]))
                payer, payee = (int(Chart.FEES), taker) if back else (taker, int(Chart.FEES))
                yield row, payer, payee, money_join(int(o["money_lo"]), int(o["money_hi"]))


class History:
    """Lots and collateral of some accounts just before any row of a run's outcomes."""

    def __init__(self, outcomes: np.ndarray, accounts: np.ndarray, venue: Venue) -> None:
        assert len(outcomes) < 1 << 37 and (not len(accounts) or int(accounts.max()) < 1 << 20), "a key is 20 + 6 + 37 bits"
        self.accounts = np.unique(accounts.astype(np.int64))
        keys, lots = [], []
        self._spot = {market: row for market, row in enumerate(venue.markets) if row.spot}
        perpetual = ~np.isin(outcomes["market"], list(self._spot))
        for kind, moved in LOTS_MOVED.items():
            at = np.flatnonzero((outcomes["kind"] == kind) & perpetual)
            rows = outcomes[at]
            for number, signed in zip((rows["account"], rows["other"]), moved(rows), strict=True):
                ours = np.isin(number, self.accounts)
                keys.append(self._key(number[ours], rows["market"][ours], at[ours]))
                lots.append(signed[ours])
        self._keys, self._lots = np.concatenate(keys), np.concatenate(lots)
        order = np.argsort(self._keys, kind="stable")
        self._keys, self._so_far = self._keys[order], np.concatenate(([0], np.cumsum(self._lots[order])))
        self._money: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for asset in (venue.number("assets", row.asset) for row in venue.collateral):
            self._collect(outcomes, asset, venue)

    @staticmethod
    def _key(account: np.ndarray, market: np.ndarray | int, row: np.ndarray) -> np.ndarray:
        return account.astype(np.int64) << 43 | np.asarray(market, dtype=np.int64) << 37 | row

    def _collect(self, outcomes: np.ndarray, asset: int, venue: Venue) -> None:
        wanted = set(self.accounts.tolist())
        for row, source, target, money in sorted([*_paid(outcomes, asset), *_delivered(outcomes, asset, venue)]):
            for account, signed in ((source, -money), (target, money)):
                if account in wanted:
                    when, balance = self._money.setdefault((account, asset), ([], [0]))
                    when.append(row)
                    balance.append(balance[-1] + signed)

    def lots(self, account: np.ndarray, market: int, row: np.ndarray) -> np.ndarray:
        """Return the signed lots of accounts in a market just before the given rows."""
        low = np.searchsorted(self._keys, self._key(account, market, np.zeros(len(row), dtype=np.int64)))
        high = np.searchsorted(self._keys, self._key(account, market, row))
        return self._so_far[high] - self._so_far[low]

    def grew(self, account: int, market: int, since: int, row: int) -> bool:
        """Return whether a position grew, turned or closed between two rows, or was not there at the first."""
        keys = self._key(np.full(3, account), market, np.array([0, since, row]))
        begin, low, high = np.searchsorted(self._keys, keys)
        path = (self._so_far[low : high + 1] - self._so_far[begin]).tolist()
        return not path[0] or any(not 0 < b * a <= a * a for a, b in zip(path, path[1:], strict=False))

    def balance(self, account: int, asset: int, row: int) -> int:
        """Return an account's balance of a collateral asset just before a row."""
        when, balance = self._money.get((account, asset), ([], [0]))
        return balance[bisect_left(when, row)]

    def check(self, state: dict[str, list[tuple[int, ...]]], venue: Venue, rows: int) -> None:
        """Assert that lots and collateral after the last of `rows` outcomes are those of the final state."""
        ours = set(self.accounts.tolist())
        lots = {(a, m): n for a, m, _, n, *_ in state["positions"] if a in ours}
        end = np.full(len(self.accounts), rows, dtype=np.int64)
        for market in range(len(venue.markets)):
            for account, n in zip(self.accounts.tolist(), self.lots(self.accounts, market, end).tolist(), strict=True):
                assert n == lots.get((account, market), 0), f"outcomes give account {account} {n} lots of market {market}"
        money = {(a, i): n for a, i, n in state["balances"] if a in ours}
        for account, asset in self._money:
            n = self.balance(account, asset, rows)
            assert n == money.get((account, asset), 0), f"outcomes give account {account} {n} of asset {asset}"


@dataclass(frozen=True)
class Causes:
    """The cause of every stretch of labels.in_broken, -1 of others. by_mark: direct, and the true collateral alone is not enough.

    triggers: how many LIQUIDATION outcomes were judged.
    """

    cause: np.ndarray
    by_mark: np.ndarray
    triggers: int

    def totals(self, labels: Labels) -> dict[Cause, tuple[int, int, int]]:
        """Return (lots, notional in money units, accounts with any such lot) by cause."""
        found = {}
        for cause in Cause:
            ours = np.flatnonzero(self.cause == cause)
            notional = sum(labels.notional[i] for i in ours.tolist())
            found[cause] = int(labels.lots[ours].sum()), notional, len(np.unique(labels.account[ours]))
        return found


def triggers_of(outcomes: np.ndarray, forced: Forced) -> np.ndarray:
    """Return the row of the LIQUIDATION outcome that opened the episode of each forced row."""
    opened = np.flatnonzero(outcomes["kind"] == OutcomeKind.LIQUIDATION)
    keys = np.sort(outcomes["account"][opened].astype(np.int64) << 37 | opened)
    at = np.searchsorted(keys, forced.account.astype(np.int64) << 37 | forced.row) - 1
    assert (at >= 0).all() and (keys[at] >> 37 == forced.account).all(), "a forced close without a trigger"
    return keys[at] & ((1 << 37) - 1)


def _last(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the value that stood at each time: the last at or before it; 0 before the first."""
    i = np.searchsorted(times, at, side="right")
    return np.where(i > 0, np.concatenate(([0], values))[i], 0)


class _Prices:
    """Published and true prices at every trigger."""

    def __init__(
        self, venue: Venue, events: np.ndarray, broken: np.ndarray, true: np.ndarray, truth: dict[int, int], rows
    ) -> None:
        times = broken["time_ns"][rows]
        markets = range(len(venue.markets))
        self.marks = [marks_at(broken, rows, np.full(len(rows), market)) for market in markets]
        self.lowest, self.highest = [], []
        for market in markets:
            said = true[(true["kind"] == OutcomeKind.MARK) & (true["market"] == market) & (true["grade"] == Grade.VALID)]
            instants, first = np.unique(said["time_ns"], return_index=True)
            for found, worst in ((self.lowest, np.minimum), (self.highest, np.maximum)):
                found.append(_last(instants, worst.reduceat(said["price"], first) if len(first) else said["price"], times))
        self.collateral: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for row in venue.collateral:
            asset = venue.number("assets", row.asset)
            said = np.flatnonzero(
                (broken["kind"] == OutcomeKind.COLLATERAL) & (broken["asset"] == asset) & (broken["grade"] == Grade.VALID)
            )
            published = _last(said, broken["price"][said], rows)
            true_price = published
            if asset in truth:
                heard = (events["kind"] == EventKind.SOURCE) & (events["source"] == truth[asset])
                heard = events[heard & (events["flags"] & Flag.MISSING == 0)]
                places = venue.indices[venue.number("indices", row.index)].price_decimals
                up = 10 ** (places - venue.sources[truth[asset]].price_decimals)
                true_price = _last(heard["time_ns"], heard["price"], times) * up
            self.collateral[asset] = published, true_price


def judge(
    venue: Venue,
    events: np.ndarray,
    broken: np.ndarray,
    state: dict[str, list[tuple[int, ...]]],
    forced: Forced,
    true: np.ndarray,
    truth: dict[int, int],
    labels: Labels,
) -> Causes:
    """Return the cause of every forced lot of the broken run.

    events: a tape that holds the true sources. broken, state, forced: outcomes, final state and forced lots of the broken run.
    true: outcomes of the true run. truth: collateral asset -> number of its true source. labels: `forced` against the true run.
    """
    trigger = triggers_of(broken, forced)
    rows = np.unique(trigger)
    accounts = broken["account"][rows].astype(np.int64)
    history = History(broken, accounts, venue)
    history.check(state, venue, len(broken))
    prices = _Prices(venue, events, broken, true, truth, rows)
    lots = [history.lots(accounts, market, rows).tolist() for market in range(len(venue.markets))]
    judged = _Judged(venue, history, prices, lots, _Rules(venue, broken, history))
    true_verdict, by_mark = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for i, (row, account) in enumerate(zip(rows.tolist(), accounts.tolist(), strict=True)):
        equity = money_join(int(broken["money_lo"][row]), int(broken["money_hi"][row]))
        true_verdict[i] = judged.triggered(i, row, account, equity, true_marks=True)
        by_mark[i] = not true_verdict[i] and judged.triggered(i, row, account, equity, true_marks=False)
    at = np.searchsorted(rows, trigger)
    cause, mark = np.full(len(labels.lots), -1, dtype=np.int8), np.zeros(len(labels.lots), dtype=bool)
    ours = np.flatnonzero(labels.in_broken)
    which = at[labels.broken[ours]]
    cause[ours] = np.where(~true_verdict[which], Cause.DIRECT, np.where(labels.matched[ours], Cause.MARKET, Cause.INDUCED))
    mark[ours] = by_mark[which]
    return Causes(cause, mark, len(rows))


class _Rules:
    """The tables and weights in force at any row of a run: those of the rule book, and what changes of rules made of them.

    A position that moved to another account since a change is taken for one that grew.
    """

    def __init__(self, venue: Venue, outcomes: np.ndarray, history: History) -> None:
        self.history = history
        self.brackets = [Brackets(venue, row) for row in venue.markets]
        self.haircuts = [Haircut(venue, row) for row in venue.collateral]
        self.kept: dict[int, tuple[int, Brackets]] = {}  # market -> since which row, and the table before it
        self.since, self.all = [0], [(self.brackets, self.haircuts, self.kept)]
        changes, kinds = compiled(venue, 0), (OutcomeKind.CHANGE_EFFECTIVE, OutcomeKind.CHANGE_ENDED)
        for row in np.flatnonzero(np.isin(outcomes["kind"], kinds)).tolist():
            o = outcomes[row]
            if o["kind"] == OutcomeKind.CHANGE_EFFECTIVE:
                self._change(changes[int(o["ref_id"])], row)
            elif o["reason"] == Reason.EXPIRED:
                self.kept = {market: kept for market, kept in self.kept.items() if market != o["market"]}
            self.since.append(row)
            self.all.append((self.brackets, self.haircuts, self.kept))

    def _change(self, change: Change, row: int) -> None:
        if change.market is None:
            self.haircuts = [row.with_weights(change.weights) if row.asset == change.asset else row for row in self.haircuts]
            return
        before = self.brackets[change.market]
        if change.maintenance:
            self.kept = {market: kept for market, kept in self.kept.items() if market != change.market}
        if change.grandfather_ns is not None:
            self.kept |= {change.market: (row, before)}
        self.brackets = [*self.brackets]
        self.brackets[change.market] = before.with_rows(table_after(before, change))

    def maintenance(self, account: int, market: int, notional: int, lots: int, row: int) -> int:
        """Return the maintenance of a position of an account, so many lots worth so much, just before a row."""
        brackets, _, kept = self.all[bisect_left(self.since, row, 1) - 1]
        need = brackets[market].maintenance(notional, lots)
        if market not in kept or self.history.grew(account, market, kept[market][0], row):
            return need
        return min(need, kept[market][1].maintenance(notional, lots))

    def weighed(self, row: int) -> list[Haircut]:
        return self.all[bisect_left(self.since, row, 1) - 1][1]


class _Judged:
    """Evaluates one account at one trigger with true prices."""

    def __init__(self, venue: Venue, history: History, prices: _Prices, lots: list[list[int]], rules: _Rules) -> None:
        self.history, self.lots = history, lots
        self.worth = [venue.worth(row) for row in venue.markets]
        self.rules = rules
        for i, rows in enumerate(rules.brackets):
            if rows.at_entry or rows.bankruptcy_fee_ppm:
                name = venue.markets[i].name
                problem = f"causes are judged at prices, and the maintenance of {name} depends on entries or equity"
                raise SpecError(problem, remedy="margin.basis: mark and closing.at: mark")
        self.marks = [column.tolist() for column in prices.marks]
        self.lowest, self.highest = ([column.tolist() for column in columns] for columns in (prices.lowest, prices.highest))
        self.collateral = {asset: [column.tolist() for column in pair] for asset, pair in prices.collateral.items()}
        self.strict = venue.liquidation.trigger == "maintenance_gt_equity"

    def triggered(self, i: int, row: int, account: int, equity: int, true_marks: bool) -> bool:
        """Return the trigger's verdict on trigger i with the true collateral price, at true or at published marks."""
        maintenance = 0
        for market, lots in enumerate(self.lots):
            n, worth = lots[i], self.worth[market]
            if n:
                published = worth(self.marks[market][i])
                true = (self.lowest if n > 0 else self.highest)[market][i]
                value = worth(true) if true_marks else published
                equity += n * (value - published)
                maintenance += self.rules.maintenance(account, market, abs(n * value), abs(n), row)
        for haircut in self.rules.weighed(row):
            balance = self.history.balance(account, haircut.asset, row)
            if balance:
                published, true = self.collateral[haircut.asset]
                equity += haircut.collateral_value(balance, true[i]) - haircut.collateral_value(balance, published[i])
        if not maintenance and not any(lots[i] for lots in self.lots):
            return equity < 0
        return maintenance > equity if self.strict else maintenance >= equity
