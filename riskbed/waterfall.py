"""Where the loss of the liquidated accounts went: every change of their equity has one cause, and the causes sum to all of it.

Equity here is in full: balances at the prices in force, positions at the last valid marks, no haircut. An account's time has
three periods: `before` (up to an episode that opens, and between two episodes), `inside` its episodes (from LIQUIDATION to
RESTORED, or to the end of the run) and `after` the last of them. In each period, in units that need no rounding:

    PRICES      what it holds x the change of its price or mark, outcome by outcome
    any other   what an outcome brings of money and of lots, at the price or mark in force when it happens

so that a fill at the mark changes nothing, and a fill away from it loses the slippage. A bust has the cause of the fill that it
undoes, in the period in which it comes. Summed by parts, PRICES and the rest are
what the account has in the end: `waterfall` compares it with the exchange's final state, which it does not read otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from operator import mul
from typing import NamedTuple

import numpy as np

from riskbed.bust import undone
from riskbed.sums import LOTS, State, moves
from specs import units
from specs.rules import Venue
from specs.tape import Flow, Grade, OutcomeKind, Side, Stage


class Period(StrEnum):
    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


class Cause(StrEnum):
    """What changes equity, in the order of a cascade. CAUSE_OF says which flow of money is which."""

    PUT_IN = "put_in"  # deposits less withdrawals, transfers, margin and positions from another account of the owner
    PRICES = "prices"
    TRADES = "trades"  # fills of own orders, the account's or of one it met, against the mark
    FEES = "fees"
    FUNDING = "funding"  # and interest on what is owed
    BOOK = "book"  # slippage of the liquidation orders: fills against the mark
    LIQUIDATION_FEE = "liquidation_fee"
    TAKEOVER = "takeover"  # the margin that goes to the backstop, or to the fund, with a position or a debt; the fee on it
    ADL = "adl"  # the margin that goes to the counterparties; a gain where they bear a debt
    ADL_COUNTERPARTY = "adl_counterparty"  # as the counterparty of another account
    TREASURY = "treasury"  # collateral sold to the treasury, against its price
    SPOT_BOOK = "spot_book"  # collateral sold in the venue's own book, against its price
    FUND = "fund_draw"  # paid by the fund: a gain
    BAD_DEBT = "bad_debt"  # paid by nobody, written off: a gain
    SETTLEMENT = "settlement"  # the final price of a market against its mark


STAGES = (Cause.BOOK, Cause.TAKEOVER, Cause.TREASURY, Cause.FUND, Cause.ADL, Cause.BAD_DEBT)  # told even where they are nothing

CAUSE_OF: dict[Flow, Cause] = {
    Flow.DEPOSIT: Cause.PUT_IN,
    Flow.WITHDRAWAL: Cause.PUT_IN,
    Flow.TRANSFER: Cause.PUT_IN,
    Flow.AUTO_ADD: Cause.PUT_IN,
    Flow.MODE: Cause.PUT_IN,
    Flow.TRADE: Cause.TRADES,  # of a liquidation order: BOOK or SPOT_BOOK
    Flow.FEE: Cause.FEES,
    Flow.FEE_RETURNED: Cause.FEES,
    Flow.FUNDING_PAID: Cause.FUNDING,
    Flow.FUNDING_RECEIVED: Cause.FUNDING,
    Flow.INTEREST: Cause.FUNDING,
    Flow.LIQUIDATION_FEE: Cause.LIQUIDATION_FEE,
    Flow.TAKEOVER: Cause.TAKEOVER,
    Flow.TAKEOVER_SURPLUS: Cause.TAKEOVER,
    Flow.ADL: Cause.ADL,  # of the counterparty: ADL_COUNTERPARTY
    Flow.CONVERT_ASSET: Cause.TREASURY,
    Flow.CONVERT_CASH: Cause.TREASURY,
    Flow.LIABILITY_TAKEN: Cause.TAKEOVER,
    Flow.COLLATERAL_GIVEN: Cause.TAKEOVER,
    Flow.TRANSFER_FEE: Cause.LIQUIDATION_FEE,
    Flow.FUND_PAYMENT: Cause.FUND,
    Flow.WRITE_OFF: Cause.BAD_DEBT,
    Flow.SETTLEMENT: Cause.SETTLEMENT,
}
_TAKEN = {Stage.BOOK: Cause.BOOK, Stage.CONVERT: Cause.SPOT_BOOK}  # the taker's side of a fill of a stage


@dataclass(frozen=True)
class Waterfall:
    """The decomposition of all accounts that a run liquidated, together. Exact ints of 10^-decimals of the numeraire.

    margin = sum of rows[BEFORE]; kept = margin + sum of rows[INSIDE]; end = kept + sum of rows[AFTER]: their equity in the
    final state. episodes: LIQUIDATION outcomes. carried: accounts whose last episode was open at the end.
    """

    decimals: int
    accounts: int
    episodes: int
    carried: int
    end: int
    rows: dict[Period, Counter] = field(default_factory=lambda: {period: Counter() for period in Period})

    def total(self, *periods: Period) -> int:
        return sum(sum(self.rows[period].values()) for period in periods)

    def summary(self, run: str) -> dict:
        """Return it as JSON: causes that changed nothing left out, money as decimal strings."""
        shown = {
            period.value: [
                {"cause": cause.value, "money": units.int_to_decimal(row[cause], self.decimals)} for cause in Cause if row[cause]
            ]
            for period, row in self.rows.items()
        }
        sums = {name: units.int_to_decimal(getattr(self, name), self.decimals) for name in ("margin", "kept", "end")}
        return {"run": run, "accounts": self.accounts, "episodes": self.episodes, "carried": self.carried} | shown | sums

    @property
    def margin(self) -> int:
        return self.total(Period.BEFORE)

    @property
    def kept(self) -> int:
        return self.total(Period.BEFORE, Period.INSIDE)


class _Touch(NamedTuple):
    """One outcome changes what one account holds of one thing: an asset (its number), or a market's lots (-1 - its number)."""

    row: int
    number: int
    thing: int
    much: int
    cause: Cause


class Prices:
    """What one unit of each asset and one lot of each market is worth over a run, in a unit in which nothing is rounded.

    Until the first valid price of a thing it is valued at that one. What never had a price is worth 0.
    """

    def __init__(self, outcomes: np.ndarray, venue: Venue) -> None:
        self.numeraire = venue.number("assets", venue.numeraire)
        cash = venue.decimals(venue.numeraire)
        places = {
            venue.number("assets", row.asset): venue.decimals(row.asset)
            + venue.indices[venue.number("indices", row.index)].price_decimals
            for row in venue.collateral
        }
        self.decimals = max([cash, *places.values()])
        self.money = 10 ** (self.decimals - cash)
        self.worth: dict[int, Callable[[int], int]] = {}  # of one at a price
        self._rows: dict[int, list[int]] = {}
        self._worth: dict[int, list[int]] = {self.numeraire: [self.money]}
        valid = outcomes["grade"] == Grade.VALID
        for asset, down in places.items():
            said = valid & (outcomes["kind"] == OutcomeKind.COLLATERAL) & (outcomes["asset"] == asset)
            self._take(outcomes, said, asset, partial(mul, 10 ** (self.decimals - down)))
        for market, row in enumerate(venue.markets):
            said = valid & (outcomes["kind"] == OutcomeKind.MARK) & (outcomes["market"] == market)
            self._take(outcomes, said, -1 - market, partial(_scaled, venue.worth(row), self.money))

    def _take(self, outcomes: np.ndarray, said: np.ndarray, thing: int, worth: Callable[[int], int]) -> None:
        rows = np.flatnonzero(said)
        self.worth[thing] = worth
        self._rows[thing] = rows.tolist()
        self._worth[thing] = [worth(price) for price in outcomes["price"][rows].tolist()] or [0]

    def at(self, thing: int, row: int) -> int:
        """Return the worth of one unit just before an outcome."""
        worth = self._worth.get(thing)
        if worth is None:
            return 0
        return worth[max(bisect_left(self._rows[thing], row) - 1, 0)] if len(worth) > 1 else worth[0]


def _scaled(worth: Callable[[int], int], by: int, price: int) -> int:
    return worth(price) * by


class _Account:
    """What one account holds, at the values at which it was last looked at, and how its equity changed in this period."""

    def __init__(self) -> None:
        self.held: dict[int, list[int]] = {}  # thing -> [how much, worth of one]
        self.changed: Counter = Counter()
        self.inside, self.episodes = False, 0

    def revalue(self, thing: int, worth: int) -> None:
        mine = self.held.setdefault(thing, [0, worth])
        self.changed[Cause.PRICES] += mine[0] * (worth - mine[1])
        mine[1] = worth

    def equity(self) -> int:
        return sum(much * worth for much, worth in self.held.values())


def waterfall(outcomes: np.ndarray, venue: Venue, state: State) -> Waterfall:
    """Return where the loss of the accounts that `outcomes` liquidate went; `state` is the exchange's after them.

    Asserts that the causes sum to their equity in that state: if not, an outcome moved money that no cause names.
    """
    prices = Prices(outcomes, venue)
    accounts = {number: _Account() for number in np.unique(outcomes["account"][_opened(outcomes)]).tolist()}
    rows = {period: Counter() for period in Period}
    for row, number, what in _story(outcomes, venue, accounts):
        mine = accounts[number]
        if isinstance(what, _Touch):
            mine.revalue(what.thing, prices.at(what.thing, row))
            mine.held[what.thing][0] += what.much
            mine.changed[what.cause] += what.much * mine.held[what.thing][1]
        elif mine.inside == (what == OutcomeKind.RESTORED):  # RESTORED ends a suspension too: then no episode is open
            _close_period(mine, prices, row, rows[Period.INSIDE if mine.inside else Period.BEFORE])
            mine.inside = not mine.inside
            mine.episodes += mine.inside
    for mine in accounts.values():
        _close_period(mine, prices, len(outcomes), rows[Period.INSIDE if mine.inside else Period.AFTER])
    found = Waterfall(
        decimals=prices.decimals,
        accounts=len(accounts),
        episodes=sum(mine.episodes for mine in accounts.values()),
        carried=sum(mine.inside for mine in accounts.values()),
        end=_equity(venue, state, accounts, prices),
        rows=rows,
    )
    total = found.total(*Period)
    assert total == found.end == sum(mine.equity() for mine in accounts.values()), (
        f"the causes of the waterfall sum to {total}, the accounts have {found.end} in 10^-{prices.decimals} {venue.numeraire}"
    )
    return found


def _opened(outcomes: np.ndarray) -> np.ndarray:
    return outcomes["kind"] == OutcomeKind.LIQUIDATION


def _close_period(mine: _Account, prices: Prices, row: int, into: Counter) -> None:
    for thing in mine.held:
        mine.revalue(thing, prices.at(thing, row))
    into.update(mine.changed)
    mine.changed.clear()


def _story(outcomes: np.ndarray, venue: Venue, accounts: dict[int, _Account]) -> list[tuple[int, int, _Touch | OutcomeKind]]:
    """Return (row, account, what) of the given accounts in the order of the outcomes: touches, episodes that open or close."""
    ours = np.fromiter(accounts, dtype=np.int64, count=len(accounts))
    mine = np.isin(outcomes["account"], ours)
    rows = np.flatnonzero(mine | np.isin(outcomes["other"], ours))
    stages = outcomes["stage"].copy()
    fills, busts = undone(outcomes)
    stages[busts] = stages[fills]
    touches = _touches(outcomes[rows], rows.tolist(), stages[rows].tolist(), venue)
    found: list[tuple[int, int, _Touch | OutcomeKind]] = [
        (touch.row, touch.number, touch) for touch in touches if touch.number in accounts
    ]
    for kind in (OutcomeKind.LIQUIDATION, OutcomeKind.RESTORED):
        told = np.flatnonzero(mine & (outcomes["kind"] == kind))
        found += [(row, number, kind) for row, number in zip(told.tolist(), outcomes["account"][told].tolist(), strict=True)]
    return sorted(found, key=lambda told: told[0])


def _touches(outcomes: np.ndarray, rows: list[int], stages: list[int], venue: Venue) -> Iterator[_Touch]:
    """Yield what some outcomes change, money and lots; `rows`: where they stand in the run; `stages`: of a bust, its fill's."""
    takers = outcomes["account"].tolist()

    def cause(row: int, number: int, flow: Flow) -> Cause:
        if number == takers[row]:
            return _TAKEN.get(stages[row], Cause.TRADES) if flow == Flow.TRADE else CAUSE_OF[flow]
        return Cause.ADL_COUNTERPARTY if flow == Flow.ADL else CAUSE_OF[flow]

    for row, number, flow, asset, money in moves(outcomes, venue):
        yield _Touch(rows[row], number, asset, money, cause(row, number, Flow[flow]))
    spot = [market for market, row in enumerate(venue.markets) if row.spot or venue.clearing == "none"]
    for name, sign in LOTS.items():
        for row in np.flatnonzero((outcomes["kind"] == OutcomeKind[name]) & ~np.isin(outcomes["market"], spot)).tolist():
            o = outcomes[row]
            lots = sign * int(o["qty"]) * (1 if o["side"] == Side.BUY else -1)
            for number, much in ((int(o["account"]), lots), (int(o["other"]), -lots)):
                yield _Touch(rows[row], number, -1 - int(o["market"]), much, cause(row, number, Flow(int(o["flow"]))))


def _equity(venue: Venue, state: State, accounts: Collection[int], prices: Prices) -> int:
    """Return the accounts' equity in a final state, at its own last valid marks and prices."""
    worth = {prices.numeraire: prices.money}
    for asset, _, _, _, _, last_valid in state["collateral"]:
        worth[asset] = prices.worth[asset](last_valid)
    marks = {row[0]: prices.worth[-1 - row[0]](row[5]) for row in state["marks"]}
    total = sum(money * worth.get(asset, 0) for number, asset, money in state["balances"] if number in accounts)
    return total + sum(lots * marks[market] for number, market, _, lots, _ in state["positions"] if number in accounts)
