"""Value, collateral, maintenance and initial margin. Pure functions of a rule book's rows and the prices in force.

All money in units of the numeraire. Requirements are rounded up, collateral is rounded down.
"""

from __future__ import annotations

from typing import NamedTuple

from specs import rules, units


class Brackets:
    """One market's brackets in money units: notional cap, leverage cap, maintenance rate, maintenance amount."""

    def __init__(self, venue: rules.Venue, market: rules.Market) -> None:
        decimals = venue.decimals(market.settles_in)
        self.rows = [
            (rules.whole(b.notional_max, decimals), b.leverage_max, b.maintenance_ppm, rules.whole(b.amount, decimals))
            for b in market.brackets
        ]

    def of(self, notional: int) -> tuple[int, int, int, int]:
        """Return the bracket of a notional: the first whose cap is not below it, else the last."""
        for row in self.rows:
            if notional <= row[0]:
                return row
        return self.rows[-1]

    def maintenance(self, notional: int) -> int:
        """Return notional * rate, rounded up, - amount; never below 0."""
        _, _, rate_ppm, amount = self.of(notional)
        return max(0, units.div_ceil(notional * rate_ppm, units.PPM) - amount)

    def initial(self, notional: int, leverage: int) -> int:
        """Return notional / min(chosen leverage, the bracket's cap), rounded up."""
        return units.div_ceil(notional, min(leverage, self.of(notional)[1]))

    def exceeded(self, notional: int) -> bool:
        """Return whether no bracket admits the notional."""
        return notional > self.rows[-1][0]


class Haircut:
    """One collateral asset: weights, conversion buffer, and the scale of balance x price in money of the numeraire."""

    def __init__(self, venue: rules.Venue, row: rules.Collateral) -> None:
        self.row = row
        self.asset = venue.number("assets", row.asset)
        self.index = venue.number("indices", row.index)
        self.scale = 10 ** (
            venue.decimals(row.asset) + venue.indices[self.index].price_decimals - venue.decimals(venue.numeraire)
        )

    def collateral_value(self, balance: int, price: int) -> int:
        """Return what a balance counts for: balance * price down, * weight down; a debt * liability weight, away from 0."""
        if balance >= 0:
            return units.muldiv_floor(units.muldiv_floor(balance, price, self.scale), self.row.weight_ppm, units.PPM)
        return -units.muldiv_ceil(units.muldiv_ceil(-balance, price, self.scale), self.row.liability_weight_ppm, units.PPM)

    def conversion_price(self, price: int) -> int:
        """Return price * (1 - buffer), rounded down."""
        return price * (units.PPM - self.row.convert_buffer_ppm) // units.PPM

    def conversion_value(self, balance: int, price: int) -> int:
        """Return what the treasury pays for a balance >= 0, rounded down."""
        return units.muldiv_floor(balance, self.conversion_price(price), self.scale)

    def conversion_qty(self, need: int, price: int) -> int:
        """Return the least quantity of the asset whose conversion value is at least `need`. conversion_price > 0."""
        return units.muldiv_ceil(need, self.scale, self.conversion_price(price))


class Evaluation(NamedTuple):
    """An account at the prices in force: haircut equity, maintenance, whether it holds a position, the strictest permit."""

    equity: int
    maintenance: int
    open: bool
    permit: int
