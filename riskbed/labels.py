"""What a glitch did, lot by lot: the lots closed by force in a broken run against those of the true run on the same clock grid.

Per position key (account, market, leg) the n-th lot closed by force in the broken run is matched with the n-th of the true run.
Lots are never expanded: both runs are lists of (lots, time), and one merge cuts them at the union of their ends.

Lots of a fill that was busted were not closed by force (riskbed/bust.py). Given back in the broken run only they are missed, in
the true run only erroneous, in both nothing; closed once more they are judged at the time of the second close.

Truth may be a band: one true run at its lower edge and one at its upper edge. Each broken lot is then judged against both:

    forced in neither true run                       erroneous
    forced in exactly one of them                    in_band: the truth is not known well enough to say
    forced in both, no more than eps outside         organic: its time lies in [earlier - eps, later + eps] of the two true times
    forced in both, earlier than that                premature: earlier than either edge would have closed it
    forced in both, later than that                  late
    not forced in the broken run, forced in both     missed (a frozen price prevents liquidations)
    not forced in the broken run, forced in one      in_band_missed

So every label but the two in_band ones holds at both edges; the venue has the benefit of the band. With equal edges the table
is the plain one: organic, premature, late, erroneous, missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from riskbed.bust import standing
from specs import units
from specs.tape import OUTCOME, Flow, Grade, OutcomeKind, Side, Stage, money_join

LOTS_MAX = 1 << 62  # of all forced lots of a run together: the merge adds them up in 64 bits


class Label(IntEnum):
    """Labels from the mildest to the worst: an account with as many lots of two labels takes the worse."""

    ORGANIC = 0
    IN_BAND = 1
    IN_BAND_MISSED = 2
    LATE = 3
    MISSED = 4
    PREMATURE = 5
    ERRONEOUS = 6


class Forced(NamedTuple):
    """Runs of lots closed by force, in the order of the outcomes; one row a fill of the book stage or a takeover.

    What was busted is none.

    key          account << 32 | market << 16 | leg
    lots         > 0
    side         of the position that was closed: BUY a long one, SELL a short one
    mark         price units of the market, the last valid mark when the lots were closed
    cash         exact ints, money of the numeraire to the account for these lots: + for a long one sold, - for a short one bought
                 back; of a takeover its cash (the bankruptcy value)
    fee          exact ints, the lots' part of the liquidation fee, by lots, rounded down, the rest with the slice's last fill;
                 the part of lots that were busted stays with the fund and belongs to no row
    value        exact ints, money per lot at `mark`
    """

    row: np.ndarray
    time_ns: np.ndarray
    key: np.ndarray
    account: np.ndarray
    market: np.ndarray
    lots: np.ndarray
    side: np.ndarray
    stage: np.ndarray
    price: np.ndarray
    mark: np.ndarray
    cash: list[int]
    fee: list[int]
    value: list[int]


def marks_at(outcomes: np.ndarray, rows: np.ndarray, markets: np.ndarray) -> np.ndarray:
    """Return the last valid mark price of a market before each of the given rows of the outcomes; 0 where there was none."""
    out = np.zeros(len(rows), dtype=np.int64)
    said = np.flatnonzero((outcomes["kind"] == OutcomeKind.MARK) & (outcomes["grade"] == Grade.VALID))
    for market in np.unique(markets):
        ours = said[outcomes["market"][said] == market]
        mine = np.flatnonzero(markets == market)
        at = np.searchsorted(ours, rows[mine], side="left") - 1
        there = at >= 0
        out[mine[there]] = outcomes["price"][ours[at[there]]]
    return out


def _fees(outcomes: np.ndarray, rows: np.ndarray, lots: np.ndarray, horizon_ns: int | None) -> list[int]:
    """Return each forced row's part of the liquidation fee that follows its slice. A slice is the fills of one order id."""
    fees = [0] * len(rows)
    charged = np.flatnonzero((outcomes["kind"] == OutcomeKind.FLOW) & (outcomes["flow"] == Flow.LIQUIDATION_FEE))
    if horizon_ns is not None:
        charged = charged[outcomes["time_ns"][charged] <= horizon_ns]
    where = {int(row): i for i, row in enumerate(rows)}
    slices: dict[int, tuple[int, list[int]]] = {}  # account -> (order id, positions of the slice's fills)
    for row in np.sort(np.concatenate((rows, charged))).tolist():
        o = outcomes[row]
        account = int(o["account"])
        i = where.get(row)
        if i is None:
            _, part = slices.pop(account)
            money = money_join(int(o["money_lo"]), int(o["money_hi"]))
            total = sum(int(lots[j]) for j in part)
            for j in part:
                fees[j] = money * int(lots[j]) // total
            fees[part[-1]] += money - sum(fees[j] for j in part)
        elif o["kind"] == OutcomeKind.FILL:
            order_id = int(o["ref_id"])
            if account not in slices or slices[account][0] != order_id:
                slices[account] = (order_id, [])
            slices[account][1].append(i)
    return fees


_WHOLE = (OutcomeKind.TAKEOVER, OutcomeKind.ADL)  # their money is the cash to the account that is closed


def forced_lots(outcomes: np.ndarray, worth: Callable[[int, int], int], horizon_ns: int | None = None) -> Forced:
    """Return what was closed by force up to and with the horizon: fills of the book stage, takeovers, deleveragings.

    Of a deleveraging that is the account in liquidation; its counterparties are no rows here. Nor are fills that were busted up
    to and with the horizon.

    worth: money per lot of a market, by its number, at a price (Venue.value).
    """
    assert outcomes.dtype == OUTCOME, "these are not outcomes"
    kind = outcomes["kind"]
    forced = ((kind == OutcomeKind.FILL) & (outcomes["stage"] == Stage.BOOK)) | np.isin(kind, _WHOLE)
    if horizon_ns is not None:
        forced &= outcomes["time_ns"] <= horizon_ns
    closed = np.flatnonzero(forced)
    stands = standing(outcomes, horizon_ns)[closed]
    fee = _fees(outcomes, closed, outcomes["qty"][closed], horizon_ns)
    rows = closed[stands]
    o = outcomes[rows]
    takeover = np.isin(o["kind"], _WHOLE)
    # a fill's side is the taker's, which is the other side of the position it closes; else it is the position's
    side = np.where(takeover, o["side"], np.where(o["side"] == Side.SELL, Side.BUY, Side.SELL)).astype(np.uint8)
    market, lots = o["market"].astype(np.int64), o["qty"].astype(np.int64)
    assert len(lots) == 0 or (lots.min() > 0 and int(lots.astype(object).sum()) < LOTS_MAX), "forced lots out of bounds"
    mark = marks_at(outcomes, rows, market)
    key = (
        (o["account"].astype(np.uint64) << np.uint64(32))
        | (o["market"].astype(np.uint64) << np.uint64(16))
        | o["leg"].astype(np.uint64)
    )
    cash, value = [], []
    columns = (takeover, market, lots, side, o["price"], o["money_lo"], o["money_hi"], mark)
    for taken, m, n, s, price, lo, hi, at in zip(*(column.tolist() for column in columns), strict=False):
        value.append(worth(m, at))
        cash.append(money_join(lo, hi) if taken else (1 if s == Side.BUY else -1) * n * worth(m, price))
    return Forced(
        row=rows,
        time_ns=o["time_ns"].astype(np.int64),
        key=key,
        account=o["account"].astype(np.int64),
        market=market,
        lots=lots,
        side=side,
        stage=o["stage"].copy(),
        price=o["price"].astype(np.int64),
        mark=mark,
        cash=cash,
        fee=[money for money, kept in zip(fee, stands.tolist(), strict=True) if kept],
        value=value,
    )


class Segments(NamedTuple):
    """The merge of several runs' forced lots: stretches of one key in which no run changes from one row to the next.

    rows[r][s] is the position in run r's Forced of the lots of stretch s, meaningful where has[r][s].
    """

    key: np.ndarray
    lots: np.ndarray
    has: list[np.ndarray]
    rows: list[np.ndarray]


def merge(runs: Sequence[Forced]) -> Segments:
    """Match the n-th forced lot of a key in every run with the n-th of the others, as stretches of lots."""
    keys = np.unique(np.concatenate([run.key for run in runs]))
    totals = np.zeros(len(keys), dtype=np.int64)
    at = [np.searchsorted(keys, run.key) for run in runs]
    for run, k in zip(runs, at, strict=False):
        mine = np.zeros(len(keys), dtype=np.int64)
        np.add.at(mine, k, run.lots)
        np.maximum(totals, mine, out=totals)
    # every key gets a stretch of one number line, as long as its longest run
    begin = np.cumsum(totals) - totals
    orders, ends = [], []
    for run, k in zip(runs, at, strict=False):
        order = np.argsort(k, kind="stable")
        k = k[order]
        so_far = np.cumsum(run.lots[order])
        first = np.concatenate(([True], k[1:] != k[:-1])) if len(k) else np.zeros(0, dtype=bool)
        before = (so_far - run.lots[order])[first][np.cumsum(first) - 1] if len(k) else so_far
        orders.append(order)
        ends.append(begin[k] + so_far - before)
    cuts = np.unique(np.concatenate(ends))
    starts = np.concatenate(([0], cuts[:-1])) if len(cuts) else cuts
    has, rows = [], []
    for run, order, end in zip(runs, orders, ends, strict=False):
        i = np.searchsorted(end, cuts, side="left")
        inside = i < len(end)
        i = np.where(inside, i, 0)
        if len(end):
            inside &= (end - run.lots[order])[i] < cuts
            rows.append(order[i])
        else:
            rows.append(np.zeros(len(cuts), dtype=np.int64))
        has.append(inside)
    key = keys[np.searchsorted(begin + totals, cuts, side="left")] if len(cuts) else keys
    return Segments(key, cuts - starts, has, rows)


@dataclass(frozen=True)
class Labels:
    """Every forced lot of the broken run and of the true runs with its label, as stretches of one position key each.

    broken: the lots' position in the broken run's Forced, meaningful where in_broken. notional: exact ints, money of the
    numeraire, lots * value at the mark at the forced close (of a lot that only a true run closed: at that run's, the lower edge
    first).
    """

    account: np.ndarray
    market: np.ndarray
    lots: np.ndarray
    label: np.ndarray
    in_broken: np.ndarray
    broken: np.ndarray
    time_ns: np.ndarray  # of the forced close in the broken run; of a lot that only a true run closed: there
    true_ns: np.ndarray  # of the forced close at the true edge nearer to the broken one, meaningful where matched
    matched: np.ndarray
    notional: list[int]
    eps_ns: int
    horizon_ns: int

    def accounts(self) -> dict[int, Label]:
        """Return each account's label: that of most of its lots, of equals the worst."""
        lots: dict[int, dict[int, int]] = {}
        for account, label, n in zip(self.account.tolist(), self.label.tolist(), self.lots.tolist(), strict=False):
            mine = lots.setdefault(account, {})
            mine[label] = mine.get(label, 0) + n
        return {account: Label(max(mine, key=lambda label: (mine[label], label))) for account, mine in sorted(lots.items())}

    def totals(self) -> dict[Label, tuple[int, int, int]]:
        """Return (lots, notional in money units, accounts) by label; lots and notional are sums over lots."""
        lots, notional, accounts = ({label: 0 for label in Label} for _ in range(3))
        for label, n, money in zip(self.label.tolist(), self.lots.tolist(), self.notional, strict=False):
            lots[label] += n
            notional[label] += money
        for label in self.accounts().values():
            accounts[label] += 1
        return {label: (lots[label], notional[label], accounts[label]) for label in Label}

    def summary(self, decimals: int) -> dict[str, dict[str, int | str]]:
        """Return the totals by label name, notional as a decimal string of the numeraire."""
        return {
            label.name.lower(): {"lots": lots, "notional": units.int_to_decimal(money, decimals), "accounts": accounts}
            for label, (lots, money, accounts) in self.totals().items()
        }


def label(broken: Forced, true_lower: Forced, true_upper: Forced, eps_ns: int, horizon_ns: int) -> Labels:
    """Label every forced lot up to the horizon; the rule stands at the head of this file.

    true_lower and true_upper may be the same object. eps_ns >= 0; rows after the horizon are left out of all runs.
    """
    assert eps_ns >= 0
    runs = [_until(run, horizon_ns) for run in (broken, true_lower, true_upper)]
    segments = merge([run for run, _ in runs])
    in_broken, in_lower, in_upper = segments.has
    times = [_times(run, rows) for (run, _), rows in zip(runs, segments.rows, strict=False)]
    both = in_lower & in_upper
    earlier, later = np.minimum(times[1], times[2]), np.maximum(times[1], times[2])
    labels = np.full(len(segments.lots), Label.IN_BAND_MISSED, dtype=np.uint8)
    labels[in_broken] = Label.IN_BAND
    labels[in_broken & ~in_lower & ~in_upper] = Label.ERRONEOUS
    labels[~in_broken & both] = Label.MISSED
    matched = in_broken & both
    labels[matched] = Label.ORGANIC
    labels[matched & (times[0] < earlier - eps_ns)] = Label.PREMATURE
    labels[matched & (times[0] > later + eps_ns)] = Label.LATE
    closest = np.clip(times[0], earlier, later)
    said = np.where(in_broken, times[0], np.where(in_lower, times[1], times[2]))
    notional = []
    spoken = np.where(in_broken, 0, np.where(in_lower, 1, 2))
    rows = np.choose(spoken, segments.rows) if len(spoken) else spoken
    for which, row, n in zip(spoken.tolist(), rows.tolist(), segments.lots.tolist(), strict=False):
        notional.append(n * runs[which][0].value[row])
    return Labels(
        account=(segments.key >> np.uint64(32)).astype(np.int64),
        market=((segments.key >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int64),
        lots=segments.lots,
        label=labels,
        in_broken=in_broken,
        broken=runs[0][1][segments.rows[0]] if len(runs[0][1]) else segments.rows[0],
        time_ns=said,
        true_ns=closest,
        matched=matched,
        notional=notional,
        eps_ns=eps_ns,
        horizon_ns=horizon_ns,
    )


def _until(run: Forced, horizon_ns: int) -> tuple[Forced, np.ndarray]:
    """Return the rows up to and with the horizon, and their positions in the whole run."""
    kept = np.flatnonzero(run.time_ns <= horizon_ns)
    if len(kept) == len(run.time_ns):
        return run, kept
    return Forced(*([column[i] for i in kept] if isinstance(column, list) else column[kept] for column in run)), kept


def _times(run: Forced, rows: np.ndarray) -> np.ndarray:
    return run.time_ns[rows] if len(run.time_ns) else np.zeros(len(rows), dtype=np.int64)


class Paired(NamedTuple):
    """One rule beside the reference rule on the same true move.

    lots, notional: what the reference closes by force. kept: what the rule closes too; late: of that, later than eps after the
    reference; extra: what only the rule closes. Notional is lots x value at the mark of the reference's close, of extra lots at
    the rule's own; exact ints, money of the numeraire. Delays are of the kept lots, rule's time - reference's time, None when
    none is kept; the median is by notional, of two middle ones the lower.
    """

    lots: int
    kept_lots: int
    extra_lots: int
    notional: int
    kept_notional: int
    late_notional: int
    extra_notional: int
    median_delay_ns: int | None
    worst_delay_ns: int | None


def paired(reference: Forced, other: Forced, horizon_ns: int, without: Sequence[Forced] = (), eps_ns: int = 0) -> Paired:
    """Compare the forced closes of two rules on one true move, up to and with the horizon.

    without: runs without the move; lots that any of them closes too are left out, so that only what the move causes is counted.
    """
    runs = [_until(run, horizon_ns)[0] for run in (reference, other, *without)]
    segments = merge(runs)
    in_reference, in_other = segments.has[:2]
    caused = np.ones(len(segments.lots), dtype=bool)
    for there in segments.has[2:]:
        caused &= ~there
    kept, extra = in_reference & in_other & caused, in_other & ~in_reference & caused
    delay = _times(runs[1], segments.rows[1]) - _times(runs[0], segments.rows[0])
    late = kept & (delay > eps_ns)
    lots = segments.lots

    def notional(which: np.ndarray, run: int) -> list[int]:
        rows = segments.rows[run][which].tolist()
        return [n * runs[run].value[row] for n, row in zip(lots[which].tolist(), rows, strict=True)]

    delays = sorted(zip(delay[kept].tolist(), notional(kept, 0), strict=True))
    return Paired(
        lots=int(lots[in_reference & caused].sum()),
        kept_lots=int(lots[kept].sum()),
        extra_lots=int(lots[extra].sum()),
        notional=sum(notional(in_reference & caused, 0)),
        kept_notional=sum(notional(kept, 0)),
        late_notional=sum(notional(late, 0)),
        extra_notional=sum(notional(extra, 1)),
        median_delay_ns=_median(delays),
        worst_delay_ns=delays[-1][0] if delays else None,
    )


def _median(weighted: list[tuple[int, int]]) -> int | None:
    """Return the lower median of ascending (value, weight) rows."""
    half, so_far = (sum(weight for _, weight in weighted) + 1) // 2, 0
    for value, weight in weighted:
        so_far += weight
        if so_far >= half:
            return value
    return None
