"""Worth and the gain table: over the closed chart what one holder gains between two runs another one loses (law L20).

Everything is exact: worth is kept in the finest unit that quantity x price of any asset needs, so nothing is rounded and every
sum is an equality.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from specs import units
from specs.errors import LawBroken
from specs.rules import Venue

Worth = dict[tuple[int, int], int]


class Prices(NamedTuple):
    """Values at one instant: money per lot of each market in units of the numeraire, price and price decimals of each asset."""

    values: dict[int, int]
    assets: dict[int, tuple[int, int]]


class Holdings(NamedTuple):
    """What every ledger account has at the end of a run: balances by (account, asset), lots by (account, market)."""

    balances: dict[tuple[int, int], int]
    lots: dict[tuple[int, int], int]

    @classmethod
    def of(cls, state: dict[str, list[tuple[int, ...]]]) -> Holdings:
        """Return the holdings of a final state; the legs of a position stand together."""
        lots: dict[tuple[int, int], int] = {}
        for account, market, _, n, *_ in state["positions"]:
            lots[account, market] = lots.get((account, market), 0) + n
        return cls({(account, asset): money for account, asset, money in state["balances"]}, lots)


class Scale:
    """The finest unit of worth: 10^-decimals of the numeraire, fine enough for quantity x price of every asset."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.numeraire = venue.number("assets", venue.numeraire)
        places = {row.asset: venue.indices[venue.number("indices", row.index)].price_decimals for row in venue.collateral}
        fine = [venue.decimals(asset) + n for asset, n in places.items()]
        fine += [source.price_decimals + venue.decimals(row.asset) for row in venue.collateral for source in venue.sources]
        self.decimals = max([venue.decimals(venue.numeraire), *fine])
        self.settles = [venue.number("assets", row.settles_in) for row in venue.markets]

    def worth(self, holdings: Holdings, prices: Prices) -> Worth:
        """Return (account, asset) -> worth in the scale's unit; positions stand under the asset they settle in. Exact."""
        money = 10 ** (self.decimals - self.venue.decimals(self.venue.numeraire))
        each = {self.numeraire: money}
        for asset, (price, places) in prices.assets.items():
            each[asset] = price * 10 ** (self.decimals - self.venue.assets[asset].decimals - places)
        out = {key: balance * each.get(key[1], 0) for key, balance in holdings.balances.items()}
        for (account, market), n in holdings.lots.items():
            key = account, self.settles[market]
            out[key] = out.get(key, 0) + n * prices.values[market] * money
        return out

    def text(self, worth: int) -> str:
        return units.int_to_decimal(worth, self.decimals)


def own_prices(venue: Venue, state: dict[str, list[tuple[int, ...]]]) -> Prices:
    """Return a run's own last valid marks and collateral prices."""
    values = {m: venue.value(venue.markets[m], last) for m, _, _, _, _, last, *_ in state["marks"]}
    places = {
        venue.number("assets", row.asset): venue.indices[venue.number("indices", row.index)].price_decimals
        for row in venue.collateral
    }
    return Prices(values, {asset: (last, places[asset]) for asset, _, _, _, _, last, *_ in state["collateral"]})


def check_gains(venue: Venue, earlier: Holdings, later: Holdings, event: int) -> None:
    """Raise LawBroken("L20") unless balances of every asset and lots of every market differ by 0 over the closed chart."""
    for what, before, after, names in (
        ("balances of", earlier.balances, later.balances, venue.assets),
        ("lots of", earlier.lots, later.lots, venue.markets),
    ):
        total: Counter = Counter()
        for sign, side in ((1, after), (-1, before)):
            for (_, number), n in side.items():
                total[number] += sign * n
        for number, n in sorted(total.items()):
            if n:
                raise LawBroken("L20", event, f"gains and losses in {what} {names[number].name} differ by {n}")


def gain_rows(
    venue: Venue, scale: Scale, earlier: Holdings, later: Holdings, prices: Prices, group: dict[int, str], event: int
) -> list[tuple[str, int, dict[int, int]]]:
    """Return (holder, accounts of it, gain by asset) in the scale's unit, largest loser first. Raises LawBroken("L20").

    group: ledger account -> holder; every account that holds anything must have one.
    """
    check_gains(venue, earlier, later, event)
    gains: dict[str, dict[int, int]] = {name: {} for name in group.values()}
    members = Counter(group.values())
    for sign, holdings in ((1, later), (-1, earlier)):
        for (account, asset), worth in scale.worth(holdings, prices).items():
            mine = gains[group[account]]
            mine[asset] = mine.get(asset, 0) + sign * worth
    for asset in range(len(venue.assets)):
        total = sum(mine.get(asset, 0) for mine in gains.values())
        if total:
            raise LawBroken("L20", event, f"gains and losses in {venue.assets[asset].name} at common prices differ by {total}")
    return sorted(((name, members[name], mine) for name, mine in gains.items()), key=lambda row: (sum(row[2].values()), row[0]))
