"""What a run did to each account, added up from its outcomes: closes, ADL, money by kind of flow; and its paths over time.

Two tables say what an outcome means to the accounts that it names. MEANS: what is counted for whom. CASH: whose balances it
moves. A kind of outcome that stands in neither moves nothing here; what it did move shows as the flow UNNAMED, the part of a
balance that no named flow explains (0 when the tables are complete), so that nothing is left out in silence. Rows of kinds
that an exchange does not emit are never met.

All money is exact: integers in 10^-decimals of its asset. Users have numbers from USERS_FROM; below them is the closed chart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from riskbed.bust import standing
from riskbed.labels import marks_at
from specs.errors import LawBroken
from specs.rules import Market, Venue
from specs.tape import USERS_FROM, Chart, Flow, Leg, OutcomeKind, Side, Stage, money_join

State = dict[str, list[tuple[int, ...]]]
UNNAMED = "UNNAMED"
FOR_LOTS = (
    "TRADE",
    "TAKEOVER",
    "ADL",
    "MODE",
    "SETTLEMENT",
)  # cash that is the price of lots: it is not paid for nothing, equity says what it did


class Means(NamedTuple):
    """An outcome of `kind` (and `stage`, "" for any) adds `measure` to `column` of the account that `names` names.

    A fill that was busted adds nothing (riskbed/bust.py); what it moved and what came back are both among the flows.
    """

    kind: str
    stage: str
    names: str  # account or other
    column: str
    measure: str  # one, lots, notional


MEANS = (
    Means("LIQUIDATION", "", "account", "episodes", "one"),
    Means("FILL", "BOOK", "account", "lots", "lots"),
    Means("FILL", "BOOK", "account", "notional", "notional"),
    Means("TAKEOVER", "", "account", "lots", "lots"),
    Means("TAKEOVER", "", "account", "notional", "notional"),
    Means("ADL", "", "account", "lots", "lots"),
    Means("ADL", "", "account", "notional", "notional"),
    Means("ADL", "", "other", "adl_lots", "lots"),
    Means("ADL", "", "other", "adl_notional", "notional"),
)
COUNTED = ("episodes", "lots", "notional", "adl_lots", "adl_notional")

# Whose balance moves by an outcome's money: +1 to the account that it names, -1 from it to the other; and the flow's name, "" for
# the name of its Flow. A fill is apart: its money is the taker's fee, its cash follows from price and lots.
CASH = {"FLOW": (-1, ""), "CONVERT": (-1, ""), "TAKEOVER": (1, "TAKEOVER"), "ADL": (1, "ADL"), "MOVED": (1, "MODE")}
CASH |= {"SETTLED": (1, "SETTLEMENT")}
# Whose lots move: a fill's side is the taker's, the others' is that of the position that is closed.
LOTS = {"FILL": 1, "BUSTED": -1, "TAKEOVER": -1, "ADL": -1, "MOVED": -1, "SETTLED": -1}


class Move(NamedTuple):
    """Money of one asset that one outcome moved to (+) or from (-) one account."""

    row: int
    number: int
    flow: str
    asset: int
    money: int


@dataclass
class Sums:
    """What a run did to one account. notional is at the last valid mark before each close; flows: (flow, asset) -> money."""

    episodes: int = 0
    lots: int = 0
    notional: int = 0
    adl_lots: int = 0
    adl_notional: int = 0
    flows: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def harmed(self) -> bool:
        """Return whether the account was liquidated or deleveraged."""
        return bool(self.episodes or self.lots or self.adl_lots)

    def add(self, flow: str, asset: int, money: int) -> None:
        self.flows[flow, asset] = self.flows.get((flow, asset), 0) + money


def _kinds(names) -> list[int]:
    """Return the numbers of those kinds of outcome that there are."""
    return [int(OutcomeKind[name]) for name in names if name in OutcomeKind.__members__]


def moves(outcomes: np.ndarray, venue: Venue) -> Iterator[Move]:
    """Yield every movement of money in the order of the outcomes; of each outcome they sum to 0 over the closed chart."""
    if venue.clearing == "none":
        return
    numeraire = venue.number("assets", venue.numeraire)
    worth = [venue.worth(row) for row in venue.markets]
    quotes = [venue.number("assets", row.settles_in) for row in venue.markets]
    spot = [(i, row) for i, row in enumerate(venue.markets) if row.payoff == "spot"]
    delivered = {i: (venue.number("assets", row.base), venue.lot_units(row)) for i, row in spot}
    flow_names = {int(flow): flow.name for flow in Flow}
    signs = {int(OutcomeKind[name]): row for name, row in CASH.items() if name in OutcomeKind.__members__}
    rows = np.flatnonzero(np.isin(outcomes["kind"], [*signs, int(OutcomeKind.FILL), int(OutcomeKind.BUSTED)]))
    fields = ("kind", "account", "other", "asset", "flow", "market", "side", "price", "qty", "money_lo", "money_hi")
    columns = (outcomes[name][rows].tolist() for name in fields)
    for row, kind, account, other, asset, flow, market, side, price, qty, lo, hi in zip(rows.tolist(), *columns, strict=True):
        money = money_join(lo, hi)
        if kind in (OutcomeKind.FILL, OutcomeKind.BUSTED):
            taken = 1 if (side == Side.BUY) == (kind == OutcomeKind.FILL) else -1  # what is busted goes the other way
            fee = money if kind == OutcomeKind.FILL else -money
            cash = -taken * qty * worth[market](price)
            yield Move(row, account, "TRADE", quotes[market], cash)
            yield Move(row, other, "TRADE", quotes[market], -cash)
            if market in delivered:
                base, units_of_base = delivered[market]
                got = taken * qty * units_of_base
                yield Move(row, account, "TRADE", base, got)
                yield Move(row, other, "TRADE", base, -got)
            if fee:
                yield Move(row, account, "FEE", quotes[market], -fee)
                yield Move(row, Chart.FEES, "FEE", quotes[market], fee)
        else:
            sign, name = signs[kind]
            of = asset if not name else numeraire
            yield Move(row, account, name or flow_names[flow], of, sign * money)
            yield Move(row, other, name or flow_names[flow], of, -sign * money)


def account_sums(outcomes: np.ndarray, venue: Venue, state: State) -> dict[int, Sums]:
    """Return what a run did to each account, the closed chart's too; `state` is the exchange's after these outcomes."""
    found: dict[int, Sums] = {row[0]: Sums() for row in state["accounts"]}
    found |= {int(number): Sums() for number in Chart}
    stands = standing(outcomes)
    for kind, stage, names, column, measure in MEANS:
        if kind not in OutcomeKind.__members__:
            continue
        ours = (outcomes["kind"] == OutcomeKind[kind]) & stands
        if stage:
            ours &= outcomes["stage"] == Stage[stage]
        rows = np.flatnonzero(ours)
        for number, much in zip(outcomes[names][rows].tolist(), _measured(outcomes, rows, venue, measure), strict=True):
            setattr(found[number], column, getattr(found[number], column) + much)
    for _, number, flow, asset, money in moves(outcomes, venue):
        found[number].add(flow, asset, money)
    _unnamed(found, state)
    return found


def _measured(outcomes: np.ndarray, rows: np.ndarray, venue: Venue, measure: str) -> list[int]:
    if measure == "one":
        return [1] * len(rows)
    lots = outcomes["qty"][rows].tolist()
    if measure == "lots":
        return lots
    markets = outcomes["market"][rows]
    marks = marks_at(outcomes, rows, markets).tolist()
    worth = [venue.worth(row) for row in venue.markets]
    return [n * worth[m](mark) for n, mark, m in zip(lots, marks, markets.tolist(), strict=True)]


def _unnamed(found: dict[int, Sums], state: State) -> None:
    """Give every account the part of its balances that no named flow explains."""
    rest = {(number, asset): balance for number, asset, balance in state["balances"]}
    for number, sums in found.items():
        for (_, asset), money in sums.flows.items():
            rest[number, asset] = rest.get((number, asset), 0) - money
    for (number, asset), money in rest.items():
        if money:
            found[number].add(UNNAMED, asset, money)


# ---- paths over time


class Path(NamedTuple):
    """A value that holds until the next one. value: exact ints of 10^-decimals of `unit`; the first stands at the run's start."""

    name: str
    unit: str
    decimals: int
    time_ns: list[int]
    value: list[int]


def _path(name: str, unit: str, decimals: int, start_ns: int, changes: Iterator[tuple[int, int]]) -> Path:
    """Return the running sum of (time, change); of one time only the last value is kept."""
    times, values = [start_ns], [0]
    for time_ns, change in changes:
        if time_ns == times[-1]:
            values[-1] += change
        elif change:
            times.append(time_ns)
            values.append(values[-1] + change)
    return Path(name, unit, decimals, times, values)


def paths(outcomes: np.ndarray, venue: Venue, start_ns: int) -> list[Path]:
    """Return the fund's balance, the bad debt (what nobody paid), and each market's open interest in lots, over time."""
    decimals, numeraire = venue.decimals(venue.numeraire), venue.number("assets", venue.numeraire)
    times = outcomes["time_ns"].tolist()
    changes: dict[int, list[tuple[int, int]]] = {Chart.FUND: [], Chart.BAD_DEBT: []}
    for row, number, _, asset, money in moves(outcomes, venue):
        if number in changes and asset == numeraire:
            changes[number].append((times[row], money))
    found = [
        _path("fund", venue.numeraire, decimals, start_ns, iter(changes[Chart.FUND])),
        _path("bad_debt", venue.numeraire, decimals, start_ns, ((t, -money) for t, money in changes[Chart.BAD_DEBT])),
    ]
    opened = open_interest_changes(outcomes)
    for market, row in perpetuals(venue):
        found.append(_path(f"open_interest {row.name}", "lots", 0, start_ns, iter(opened.get(market, []))))
    return found


def open_interest_changes(outcomes: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """Return market -> (time, change of the lots that are held long), in the order of the outcomes."""
    rows = np.flatnonzero(np.isin(outcomes["kind"], _kinds(LOTS)))
    o = outcomes[rows]
    sign = np.where(o["side"] == Side.BUY, 1, -1)
    for name, of_side in LOTS.items():
        if name in OutcomeKind.__members__ and of_side < 0:
            sign = np.where(o["kind"] == OutcomeKind[name], -sign, sign)
    lots = np.concatenate((sign * o["qty"], -sign * o["qty"]))
    number = np.concatenate((o["account"], o["other"])).astype(np.uint64)
    key = number << np.uint64(16) | np.tile(o["market"].astype(np.uint64) << np.uint64(8) | o["leg"].astype(np.uint64), 2)
    at = np.tile(rows, 2)
    order = np.lexsort((at, key))
    key, lots, at = key[order], lots[order], at[order]
    total = np.cumsum(lots)
    first = np.append(True, key[1:] != key[:-1])[: len(key)]
    held = total - np.repeat((total - lots)[first], np.diff(np.append(np.flatnonzero(first), len(key)))) if len(key) else total
    change = np.maximum(held, 0) - np.maximum(held - lots, 0)
    back = np.argsort(at, kind="stable")
    found: dict[int, list[tuple[int, int]]] = {}
    for row, much in zip(at[back].tolist(), change[back].tolist(), strict=True):
        if much:
            found.setdefault(int(outcomes["market"][row]), []).append((int(outcomes["time_ns"][row]), much))
    return found


def perpetuals(venue: Venue) -> list[tuple[int, Market]]:
    """Return the markets that hold positions, with their numbers; a spot market delivers instead."""
    return [(i, row) for i, row in enumerate(venue.markets) if row.payoff != "spot"]


def open_interest(state: State, market: int) -> int:
    """Return the lots that all accounts hold long in a market."""
    return sum(qty for _, m, _, qty, _ in state["positions"] if m == market and qty > 0)


# ---- gains and losses


def worth(venue: Venue, state: State, values: dict[int, int]) -> dict[tuple[int, int], int]:
    """Return (account, asset) -> balance, and in the settlement asset the positions at `values` per lot on top; exact."""
    found: dict[tuple[int, int], int] = {}
    for number, asset, balance in state["balances"]:
        found[number, asset] = found.get((number, asset), 0) + balance
    for number, market, _, qty, _ in state["positions"]:
        key = number, venue.number("assets", venue.markets[market].settles_in)
        found[key] = found.get(key, 0) + qty * values[market]
    return found


def gains_balance(gains: dict[tuple[int, int], int], event: int) -> None:
    """Raise LawBroken L20 unless, asset by asset, what accounts gained between two runs is what others lost.

    gains: (account, asset) -> worth in one run less worth in the other, over users and the closed chart, each run's positions at
    its own marks: lots sum to 0 in each, so their value does too, and no rounding comes in. `event`: the last of the two runs.
    """
    left: dict[int, int] = {}
    for (_, asset), money in gains.items():
        left[asset] = left.get(asset, 0) + money
    for asset, money in sorted(left.items()):
        if money:
            raise LawBroken("L20", event, f"between the two runs the closed chart gains {money} units of asset {asset}, not 0")


def chart_name(number: int) -> str:
    """Return what an account of the ledger is called: its name in the chart, or its number."""
    return Chart(number).name if number < USERS_FROM and number in Chart._value2member_map_ else str(number)


def leg_name(leg: int) -> str:
    return Leg(leg).name.lower()
