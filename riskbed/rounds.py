"""The rounds of each cascade: who was closed in which round, what was sold, and what that did to the collateral's price.

A cascade is what one event, or one timer due at it, sets off (specs/model/exchange.py). Every outcome carries its round; a round
that closes accounts and moves a price makes the next one. Two cascades of one event at one time are told apart where the round
goes back; one that follows another without a word of its own in round 0 counts with it. A round that only says again who is
carried did nothing and is not counted.

A cascade is told as it went: a fill that was busted afterwards is in it, with the price it moved, which no bust takes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from specs.tape import Grade, OutcomeKind, Stage


@dataclass
class Round:
    """One round.

    accounts: closed, taken over, deleveraged or sold out in it. lots: of positions, closed by force. sold: market -> lots of
    collateral sold into its book. prices: collateral asset -> its price after the round.
    """

    accounts: set[int] = field(default_factory=set)
    lots: int = 0
    sold: Counter[int] = field(default_factory=Counter)
    prices: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cascade:
    """One cascade with at least one round that did something.

    event, time_ns: where it began. before: collateral asset -> its price when round 1 began. by_round: one a round, in order.
    """

    event: int
    time_ns: int
    before: dict[int, int]
    by_round: tuple[Round, ...]

    @property
    def rounds(self) -> int:
        return len(self.by_round)

    @property
    def accounts(self) -> int:
        """How many accounts were closed or sold out in it, each once."""
        return len(set().union(*(row.accounts for row in self.by_round)))

    @property
    def lots(self) -> int:
        """Lots of positions closed by force: book, takeover, ADL."""
        return sum(row.lots for row in self.by_round)

    @property
    def sold(self) -> dict[int, int]:
        """Return market -> lots of collateral sold into its book."""
        return dict(sum((row.sold for row in self.by_round), Counter()))

    @property
    def after(self) -> dict[int, int]:
        """Return collateral asset -> its price at the end."""
        return self.by_round[-1].prices


_ACTS = (OutcomeKind.FILL, OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT)


class _Row(NamedTuple):
    time_ns: int
    event: int
    round: int
    kind: int
    stage: int
    account: int
    market: int
    asset: int
    price: int
    qty: int


def rounds(outcomes: np.ndarray) -> list[Cascade]:
    """Return the cascades of a run, in order. outcomes: all of the run, dtype specs.tape.OUTCOME."""
    priced = (outcomes["kind"] == OutcomeKind.COLLATERAL) & (outcomes["grade"] == Grade.VALID)
    acts = (outcomes["round"] > 0) & np.isin(outcomes["kind"], _ACTS)
    ours = outcomes[acts | priced]
    found: list[Cascade] = []
    prices: dict[int, int] = {}
    group: list[_Row] = []
    for row in map(_Row._make, zip(*(ours[name].tolist() for name in _Row._fields), strict=True)):
        if group and (row.round < group[-1].round or (row.event, row.time_ns) != (group[0].event, group[0].time_ns)):
            prices = _close(found, group, prices)
            group = []
        if row.round == 0:
            prices = prices | {row.asset: row.price}
        else:
            group.append(row)
    _close(found, group, prices)
    return found


def _close(found: list[Cascade], group: list[_Row], before: dict[int, int]) -> dict[int, int]:
    """Append the cascade of these outcomes if it did something; return the prices after it."""
    prices, by_round, did = before, [], 0
    for row in group:
        while len(by_round) < row.round:
            by_round.append(Round(prices=prices))
        here = by_round[-1]
        fill = row.kind == OutcomeKind.FILL
        if row.kind == OutcomeKind.COLLATERAL:
            here.prices = prices = prices | {row.asset: row.price}
            continue
        if fill and row.stage == Stage.CONVERT:
            here.sold[row.market] += row.qty
        elif row.kind != OutcomeKind.CONVERT:
            here.lots += row.qty
        here.accounts.add(row.account)
        did = row.round
    if did:
        by_round[did - 1].prices = prices  # what is said in idle rounds behind it
        found.append(Cascade(group[0].event, group[0].time_ns, before, tuple(by_round[:did])))
    return prices


def histogram(cascades: Iterable[Cascade]) -> dict[int, int]:
    """Return rounds -> how many cascades had so many."""
    return dict(sorted(Counter(cascade.rounds for cascade in cascades).items()))


def lows(outcomes: np.ndarray) -> dict[int, int]:
    """Return collateral asset -> the lowest VALID price at which it was valued."""
    ours = outcomes[(outcomes["kind"] == OutcomeKind.COLLATERAL) & (outcomes["grade"] == Grade.VALID)]
    return {int(asset): int(ours["price"][ours["asset"] == asset].min()) for asset in np.unique(ours["asset"])}
