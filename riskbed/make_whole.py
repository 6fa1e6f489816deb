"""Make-whole by Binance's published rule, account by account, with every reading that was not published shown both ways.

Published (statement of 12 October 2025): users who held USDE, BNSOL or WBETH as collateral and were liquidated between 21:36 and
22:16 UTC get the difference between the market price at 2025-10-11 00:00 UTC and their liquidation price; about $283M in two
batches. Not published, hence shown both ways (the incident file names the questions and their options):

    eligibility  window: accounts that held the named collateral, for what was closed in the published window, both ends in
                 erroneous: any account, for its lots labelled erroneous, whenever they were closed
    reference    own, dex: which market's price of the collateral counts at the instant
    netting      gross: each fill, takeover and conversion on its own, never below 0
                 net: gains and losses of one account together, the sum never below 0
    base         collateral: what was converted; position: the lots closed by force; both: the two together
    fees         what the liquidation fee of the same lots would add, a column of its own

    position     q * value(price at the instant) - cash, q < 0 for a short one; cash is what the account got for the lots: at the
                 fill's price, or the bankruptcy value of a takeover. Of a row that only partly counts: by lots
    collateral   quantity * price at the instant - cash of the conversion. Under `erroneous` an account's conversions count in the
                 proportion erroneous lots / forced lots of the account: they pay for all of its closes together

Every division is toward -inf: nobody is paid more than is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np

from riskbed.bust import standing
from riskbed.labels import Forced, Label, Labels
from specs import units
from specs.rules import Venue
from specs.tape import USERS_FROM, Flow, OutcomeKind, Side, Stage, money_join

ELIGIBILITY = ("window", "erroneous")
NETTING = ("gross", "net")
BASE = ("collateral", "position", "both")


class Conversion(NamedTuple):
    """Collateral of one account sold: quantity in 10^-decimals of the asset, cash in money of the numeraire.

    To the treasury, or a fill in the venue's own spot book.
    """

    row: int
    time_ns: int
    account: int
    asset: int
    quantity: int
    cash: int
    to_book: bool = False


@dataclass
class Paid:
    """One reading: what each account is due, and the fees that would come on top. Money units of the numeraire."""

    eligibility: str
    reference: str
    netting: str
    base: str
    money: dict[int, int] = field(default_factory=dict)  # account -> due, only accounts that are eligible
    fees: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.money.values())

    @property
    def fees_total(self) -> int:
        return sum(self.fees.values())

    def summary(self, decimals: int) -> dict[str, int | str]:
        """Return the reading as JSON: `accounts` are those that are due anything."""
        return {
            "eligibility": self.eligibility,
            "reference": self.reference,
            "netting": self.netting,
            "base": self.base,
            "accounts": sum(1 for money in self.money.values() if money > 0),
            "money": units.int_to_decimal(self.total, decimals),
            "fees": units.int_to_decimal(self.fees_total, decimals),
        }


def _money(o) -> int:
    return money_join(int(o["money_lo"]), int(o["money_hi"]))


def conversions(outcomes: np.ndarray, venue: Venue, horizon_ns: int | None = None) -> list[Conversion]:
    """Return the conversions up to and with the horizon, in order; without sales to the book that were busted.

    Those to the treasury have the cash of the CONVERT_CASH that follows, if any.
    """
    kind = outcomes["kind"]
    cash = (kind == OutcomeKind.FLOW) & (outcomes["flow"] == Flow.CONVERT_CASH)
    sold = (kind == OutcomeKind.FILL) & (outcomes["stage"] == Stage.CONVERT) & standing(outcomes, horizon_ns)
    found: list[Conversion] = []
    told = (kind == OutcomeKind.CONVERT) | cash | sold
    if horizon_ns is not None:
        told &= outcomes["time_ns"] <= horizon_ns
    for row in np.flatnonzero(told).tolist():
        o = outcomes[row]
        if o["kind"] == OutcomeKind.FILL:
            market, lots = venue.markets[int(o["market"])], int(o["qty"])
            quantity, paid = lots * venue.lot_units(market), lots * venue.value(market, int(o["price"]))
            asset = venue.number("assets", market.base)
            found.append(Conversion(row, int(o["time_ns"]), int(o["account"]), asset, quantity, paid, to_book=True))
        elif o["kind"] == OutcomeKind.CONVERT:
            found.append(Conversion(row, int(o["time_ns"]), int(o["account"]), int(o["asset"]), _money(o), 0))
        else:
            last = found[-1]
            assert last.account == int(o["other"]) and last.row == row - 1, "a CONVERT_CASH without its CONVERT"
            found[-1] = last._replace(cash=_money(o))
    return found


def holders(outcomes: np.ndarray, venue: Venue, asset: int, at_row: Mapping[int, int]) -> set[int]:
    """Return the accounts whose balance of a collateral asset was above 0 just before the given row of the outcomes."""
    kind = outcomes["kind"]
    ours = ((kind == OutcomeKind.FLOW) | (kind == OutcomeKind.CONVERT)) & (outcomes["asset"] == asset)
    per_lot = {
        i: venue.lot_units(row) for i, row in enumerate(venue.markets) if row.spot and row.base == venue.assets[asset].name
    }
    fills = (kind == OutcomeKind.FILL) | (kind == OutcomeKind.BUSTED)
    ours |= fills & np.isin(outcomes["market"], list(per_lot))
    held: dict[int, int] = {}
    out: set[int] = set()
    wanted = sorted((row, account) for account, row in at_row.items())
    rows = np.flatnonzero(ours).tolist()
    i = 0
    for stop, account in wanted:
        while i < len(rows) and rows[i] < stop:
            o = outcomes[rows[i]]
            fill, back = bool(fills[rows[i]]), o["kind"] == OutcomeKind.BUSTED
            moved = int(o["qty"]) * per_lot[int(o["market"])] if fill else _money(o)
            giver = -1 if not fill or (o["side"] == Side.SELL) != back else 1  # of `account`
            for number, sign in ((int(o["account"]), giver), (int(o["other"]), -giver)):
                if number >= USERS_FROM:
                    held[number] = held.get(number, 0) + sign * moved
            i += 1
        if held.get(account, 0) > 0:
            out.add(account)
    return out


class Anchor(NamedTuple):
    """The prices of the make-whole instant, in price units.

    markets: market -> price. references: name -> collateral asset -> (price, price decimals).
    """

    time_ns: int
    markets: dict[int, int]
    references: dict[str, dict[int, tuple[int, int]]]


def quantity_value(venue: Venue, asset: int, quantity: int, price: int, price_decimals: int) -> int:
    """Return quantity * price in money of the numeraire, rounded down."""
    down = venue.assets[asset].decimals + price_decimals - venue.decimals(venue.numeraire)
    return units.muldiv_floor(quantity * 10 ** max(-down, 0), price, 10 ** max(down, 0))


def make_whole(
    outcomes: np.ndarray,
    forced: Forced,
    labels: Labels,
    venue: Venue,
    anchor: Anchor,
    window: tuple[int, int],
    named_assets: list[int],
) -> list[Paid]:
    """Return every reading of the rule for the broken run's outcomes; `labels` are the labels of `forced`.

    window: first and last instant of the published window, both in. named_assets: the collateral the announcement names.
    """
    converted = conversions(outcomes, venue, labels.horizon_ns)
    first_close: dict[int, int] = {}
    for row, account in zip(forced.row.tolist(), forced.account.tolist(), strict=False):
        first_close.setdefault(account, row)
    holding = set().union(*(holders(outcomes, venue, asset, first_close) for asset in named_assets)) if named_assets else set()

    # how many lots of each forced row count, by eligibility
    within = (forced.time_ns >= window[0]) & (forced.time_ns <= window[1]) & (forced.time_ns <= labels.horizon_ns)
    counted: dict[str, list[int]] = {"erroneous": [0] * len(forced.lots)}
    counted["window"] = [
        n if inside and account in holding else 0
        for n, inside, account in zip(forced.lots.tolist(), within.tolist(), forced.account.tolist(), strict=False)
    ]
    erroneous: dict[int, int] = {}
    everything: dict[int, int] = {}
    ours = np.flatnonzero(labels.in_broken)
    columns = (labels.account, labels.broken, labels.lots, labels.label)
    for account, row, n, what in zip(*(column[ours].tolist() for column in columns), strict=False):
        everything[account] = everything.get(account, 0) + n
        if what == Label.ERRONEOUS:
            counted["erroneous"][row] += n
            erroneous[account] = erroneous.get(account, 0) + n

    readings = []
    for eligibility, (reference, prices), netting, base in product(ELIGIBILITY, anchor.references.items(), NETTING, BASE):
        paid = Paid(eligibility, reference, netting, base)
        due: dict[int, list[int]] = {}
        for i, n in enumerate(counted[eligibility]):
            if not n:
                continue
            account, market, lots = int(forced.account[i]), int(forced.market[i]), int(forced.lots[i])
            sign = 1 if forced.side[i] == Side.BUY else -1
            worth = sign * lots * venue.value(venue.markets[market], anchor.markets[market])
            due.setdefault(account, [])
            if base != "collateral":
                due[account].append((worth - forced.cash[i]) * n // lots)
            paid.fees[account] = paid.fees.get(account, 0) + forced.fee[i] * n // lots
        for c in converted if base != "position" else ():
            if c.account not in due or c.asset not in named_assets:
                continue
            up, down = 1, 1
            if eligibility == "erroneous":
                up, down = erroneous[c.account], everything[c.account]
            elif not window[0] <= c.time_ns <= window[1]:
                continue
            due[c.account].append((quantity_value(venue, c.asset, c.quantity, *prices[c.asset]) - c.cash) * up // down)
        for account, parts in sorted(due.items()):
            paid.money[account] = sum(max(0, part) for part in parts) if netting == "gross" else max(0, sum(parts))
        readings.append(paid)
    return readings
