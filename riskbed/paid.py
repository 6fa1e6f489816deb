"""Who paid whom: every flow of a run between the users and the venue's own accounts, by kind of flow and asset.

Users stand in groups: those that the run liquidated, those that quote by a rule of the rule book, all others. What one group gets
another one gives, so that each flow of each asset sums to 0 over the closed chart; and what a group got of all flows is what it
has in the end: `paid` compares it with the exchange's final state, which it does not read otherwise.

A flow that is the price of lots (a trade, a takeover, ADL, a position that changes its account) counts with the lots at the run's
last valid mark: of ten lots bought at 100 and marked at 90 in the end the buyer gave the seller 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from riskbed.jobs import last_values
from riskbed.sums import LOTS, State, moves, worth
from specs import units
from specs.rules import Venue
from specs.tape import Chart, Flow, OutcomeKind, Side

LIQUIDATED, QUOTERS, OTHERS = "LIQUIDATED", "QUOTERS", "OTHERS"
GROUPS = (LIQUIDATED, OTHERS, QUOTERS, *(chart.name for chart in Chart))


class Payment(NamedTuple):
    """What one group gave another in one kind of flow, net. money > 0, in 10^-decimals of the asset."""

    flow: str
    asset: int
    payer: str
    payee: str
    money: int


class Paid(NamedTuple):
    """payments: in the order of Flow, asset and GROUPS. ends: (group, asset) -> what it has in the end."""

    payments: list[Payment]
    ends: dict[tuple[str, int], int]

    def summary(self, venue: Venue) -> dict[str, list[dict[str, str]]]:
        """Return it as JSON: money as decimal strings in whole units of its asset; what is 0 in the end left out."""

        def text(asset: int, money: int) -> dict[str, str]:
            return {"asset": venue.assets[asset].name, "money": units.int_to_decimal(money, venue.assets[asset].decimals)}

        ends = sorted(self.ends.items(), key=lambda item: (item[0][1], GROUPS.index(item[0][0])))
        return {
            "payments": [
                {"flow": flow, "payer": payer, "payee": payee} | text(asset, money)
                for flow, asset, payer, payee, money in self.payments
            ],
            "ends": [{"group": group} | text(asset, money) for (group, asset), money in ends if money],
        }

    def nets(self) -> dict[tuple[str, int], Counter]:
        """Return (flow, asset) -> group -> what it got less what it gave; each sums to 0."""
        found: dict[tuple[str, int], Counter] = {}
        for flow, asset, payer, payee, money in self.payments:
            row = found.setdefault((flow, asset), Counter())
            row[payer] -= money
            row[payee] += money
        return found


def paid(outcomes: np.ndarray, venue: Venue, state: State) -> Paid:
    """Return who paid whom in a run; `state` is the exchange's after these outcomes.

    Asserts that what a group got is what it has: if not, an outcome moved money that no flow names.
    """
    values = last_values(venue, state)
    group = _groups(outcomes, venue)
    got: Counter = Counter()  # (flow, asset, payee, payer) -> money
    for flow, asset, one, other, money in (*_cash(outcomes, venue), *_lots(outcomes, venue, values)):
        pair = group(one), group(other)
        if pair[0] != pair[1]:
            first = min(pair, key=GROUPS.index)
            got[flow, asset, *sorted(pair, key=GROUPS.index)] += money if first == pair[0] else -money
    found = Paid([Payment(*_directed(key, money)) for key, money in sorted(got.items(), key=_place) if money], {})
    for (number, asset), money in worth(venue, state, values).items():
        key = group(number), asset
        found.ends[key] = found.ends.get(key, 0) + money
    _sums_to_what_there_is(found, venue)
    return found


def _place(item: tuple[tuple[str, int, str, str], int]) -> tuple[int, ...]:
    (flow, asset, one, other), _ = item
    return int(Flow[flow]), asset, GROUPS.index(one), GROUPS.index(other)


def _directed(key: tuple[str, int, str, str], money: int) -> tuple[str, int, str, str, int]:
    flow, asset, one, other = key
    return (flow, asset, other, one, money) if money > 0 else (flow, asset, one, other, -money)


def _groups(outcomes: np.ndarray, venue: Venue):
    """Return a function from the number of an account to its group."""
    names = {int(chart): chart.name for chart in Chart} | {row.account: QUOTERS for row in venue.quoters}
    names |= dict.fromkeys(outcomes["account"][outcomes["kind"] == OutcomeKind.LIQUIDATION].tolist(), LIQUIDATED)
    return lambda number: names.get(number, OTHERS)


Got = tuple[str, int, int, int, int]  # flow, asset, who got, who gave, money of any sign


def _cash(outcomes: np.ndarray, venue: Venue) -> Iterator[Got]:
    told = moves(outcomes, venue)
    for one, other in zip(told, told, strict=True):  # they come in pairs that sum to 0
        assert (one.row, one.flow, one.asset, one.money) == (other.row, other.flow, other.asset, -other.money)
        yield one.flow, one.asset, one.number, other.number, one.money


def _lots(outcomes: np.ndarray, venue: Venue, values: dict[int, int]) -> Iterator[Got]:
    """Yield the lots that changed hands, at the last marks; a spot market's are money of its base asset already."""
    assets = [venue.number("assets", row.settles_in) for row in venue.markets]
    for name, sign in LOTS.items():
        o = outcomes[outcomes["kind"] == OutcomeKind[name]]
        columns = (o[field].tolist() for field in ("account", "other", "market", "side", "qty", "flow"))
        for account, other, market, side, qty, flow in zip(*columns, strict=True):
            if not venue.markets[market].spot:
                lots = sign * qty if side == Side.BUY else -sign * qty
                yield Flow(flow).name, assets[market], account, other, lots * values[market]


def _sums_to_what_there_is(found: Paid, venue: Venue) -> None:
    rest = Counter(found.ends)
    for (_, asset), row in found.nets().items():
        for group, money in row.items():
            rest[group, asset] -= money
    for (group, asset), money in rest.items():
        assert money == 0, f"{group} has {money} units of {venue.assets[asset].name} that no flow brought"
