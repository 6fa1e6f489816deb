"""Value, collateral, maintenance and initial margin: functions of a rule book's rows, then of an account at the prices in force.

All money in units of the numeraire. Requirements are rounded up, collateral is rounded down.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from fractions import Fraction
from typing import NamedTuple

from specs import rules, units
from specs.model.book import Order
from specs.model.ledger import Account
from specs.tape import Action, Permit, Reason, Side


class Brackets:
    """What positions of one market require: Venue.requirements, and its margin row. Rates are exact, requirements rounded up.

    The least maintenance and the cost of closing are in it; least, closing_ppm and fixed tell them apart.
    """

    def __init__(self, venue: rules.Venue, market: rules.Market) -> None:
        decimals = venue.decimals(market.settles_in)
        self.market, self.size, self.rows = market, market.margin.size, venue.requirements(market)
        self.least, self.closing_ppm = rules.whole(market.maintenance_min, decimals), market.closing_ppm
        self.fixed = rules.whole(market.closing.fixed, decimals) if market.closing else 0
        self.divides, self.at_entry = market.margin.leverage == "divides", market.margin.basis == "entry"
        self.bankruptcy_fee_ppm = market.bankruptcy_fee_ppm
        self.coin = Fraction(market.lot.size, 10**market.lot.decimals)  # of a lot
        scale = market.margin.open_interest
        self.scale = (rules.whole(scale.lower, decimals), rules.whole(scale.upper, decimals)) if scale else None
        self.above = int(venue.liquidation.trigger == "maintenance_ge_equity")  # what keeps an account from its trigger

    def with_rows(self, rows: list[rules.Requirement]) -> Brackets:
        """Return the same with another table: one that a change of rules made."""
        table = copy(self)
        table.rows = rows
        return table

    def of(self, notional: int) -> rules.Requirement:
        """Return the bracket of a notional: the first whose cap is not below it, else the last."""
        for row in self.rows:
            if notional <= row.notional_max:
                return row
        return self.rows[-1]

    def maintenance(self, notional: int, lots: int) -> int:
        """Return notional * rate, rounded up, - amount; never below 0. lots >= 0: what the notional is of, for its size."""
        row = self.of(notional)
        rate, of = row.rate, row.of
        if self.size:
            rate, of = self._grown(Fraction(rate, of), self.size.maintenance_ppb_per_coin, lots).as_integer_ratio()
        return max(0, units.div_ceil(notional * rate, of) - row.amount)

    def minimum(self, notional: int) -> int:
        """Return maintenance_min and what closing costs, rounded up; 0 without a minimum."""
        return self.least + units.div_ceil(notional * self.closing_ppm, units.PPM) + self.fixed if self.least else 0

    def initial(self, notional: int, lots: int, leverage: int, open_interest: int) -> int:
        """Return notional * initial rate, rounded up; never so little that it is liquidated at once.


        The rate is 1 / min(chosen leverage, the bracket's cap), or what the margin row makes of it; open_interest in money. The
        least is maintenance, and one unit more where equity at maintenance triggers: a cap may be all that maintenance admits.
        """
        if not lots:
            return 0
        row = self.of(notional)
        rate = rules.initial_rate(row.initial_ppm, min(leverage, row.leverage_max), self.divides)
        if self.size:
            rate = self._grown(rate, self.size.initial_ppb_per_coin, lots)
        if self.scale:
            rate += self._crowded(open_interest) * (1 - rate)
        least, fee_ppm = self.maintenance(notional, lots) + self.above, self.bankruptcy_fee_ppm
        if fee_ppm:  # M (1 + f) + N f leaves M when the fee at the bankruptcy price counts
            least += units.div_ceil(least * fee_ppm, units.PPM) + units.div_ceil(notional * fee_ppm, units.PPM) + 1
        return max(units.div_ceil(notional * rate.numerator, rate.denominator), least)

    def _grown(self, rate: Fraction, ppb_per_coin: int, lots: int) -> Fraction:
        return min(rate + ppb_per_coin * lots * self.coin / units.PPB, Fraction(1))

    def _crowded(self, open_interest: int) -> Fraction:
        """Return where open interest stands from lower, 0, to upper, 1; 0 if they are equal."""
        lower, upper = self.scale
        return Fraction(min(max(open_interest - lower, 0), upper - lower), upper - lower) if upper > lower else Fraction(0)

    def exceeded(self, notional: int) -> bool:
        """Return whether no bracket admits the notional."""
        return notional > self.rows[-1].notional_max


class Spot:
    """What a spot market delivers: the base asset and its units per lot."""

    def __init__(self, venue: rules.Venue, row: rules.Market) -> None:
        self.base, self.units = venue.number("assets", row.base), venue.lot_units(row)


class Haircut:
    """One collateral asset: weights, conversion buffer, and the scale of balance x price in money of the numeraire.

    `initial`: as it counts where initial margin is asked for, at the weight in force; else as the trigger sees it.
    """

    def __init__(self, venue: rules.Venue, row: rules.Collateral) -> None:
        self.row = row
        self.asset = venue.number("assets", row.asset)
        self.index = venue.number("indices", row.index)
        self.market = venue.number("markets", row.market) if row.market else None
        decimals = venue.decimals(row.asset)
        self.scale = 10 ** (decimals + venue.indices[self.index].price_decimals - venue.decimals(venue.numeraire))
        self.one = 10**decimals
        self.tiers = [(0, row.weight_ppm)] + [(rules.whole(tier.qty_from, decimals), tier.weight_ppm) for tier in row.tiers]
        self.deposits_max = None
        if row.deposits_max is not None:
            self.deposits_max = rules.whole(row.deposits_max, venue.decimals(venue.numeraire))
        self.weighs_by_size = bool(row.tiers or row.imf_factor_ppm or row.weight_unit_ppm > 1)

    def with_weights(self, weights: dict[str, int]) -> Haircut:
        """Return the same with other weights, by the names of rules.Collateral: those that a change of rules made."""
        changed = copy(self)
        changed.row = self.row.model_copy(update=weights)
        changed.tiers = [(0, changed.row.weight_ppm), *self.tiers[1:]]
        return changed

    @property
    def base(self) -> int:
        """Return the weight of initial margin before what all hold scales it, and before it is rounded."""
        return self.row.weight_ppm if self.row.initial_weight_ppm is None else self.row.initial_weight_ppm

    @property
    def initial_weight(self) -> int:
        return self._rounded(self.base)

    def collateral_value(self, balance: int, price: int, initial: int | None = None) -> int:
        """Return what a balance counts for, rounded down; a debt away from 0. initial: the weight in force of initial margin.

        A plain weight: balance * price down, * weight down. By size: the weighted quantity * price, rounded down once.
        """
        if balance < 0:
            return -units.muldiv_ceil(units.muldiv_ceil(-balance, price, self.scale), self.debt_weight(-balance), units.PPM)
        base = self.row.weight_ppm if initial is None else initial
        haircut = self.row.trigger_haircut if initial is None else None
        if not self.weighs_by_size and haircut is None:
            return units.muldiv_floor(units.muldiv_floor(balance, price, self.scale), base, units.PPM)
        weighted, of = self.weighted(balance, base), 1
        if haircut is not None:
            weighted, of = weighted * haircut.part + balance * units.PPM * (haircut.of - haircut.part), haircut.of
        return units.muldiv_floor(weighted, price, self.scale * units.PPM * of)

    def weighted(self, balance: int, base: int) -> int:
        """Return the quantity of a balance >= 0 times the ppm it counts at, whole: the sum over its slices, or by its size.

        By size a balance just beyond a step of the rounded weight counts as the whole of the step before, unrounded.
        """
        if self.row.tiers:
            floors = [floor for floor, _ in self.tiers[1:]]
            return sum(max(0, min(balance, up) - low) * weight for (low, weight), up in zip(self.tiers, [*floors, balance]))
        weight = self.weight(balance, base)
        if not self.row.imf_factor_ppm or weight == self._rounded(base):
            return balance * weight
        before = weight + self.row.weight_unit_ppm
        square = (_SIZE_WEIGHT - before) ** 2 * units.PPM**2
        return max(balance * weight, self.one * square // (before * self.row.imf_factor_ppm**2))

    def weight(self, balance: int, base: int) -> int:
        """Return the ppm at which a balance >= 0 counts: its last slice's, or min(base, size_weight), rounded down."""
        if self.row.tiers:
            return next(weight for floor, weight in reversed(self.tiers) if balance > floor or not floor)
        size = self.size_weight(balance)
        return self._rounded(base if size is None else min(base, size))

    def size_weight(self, balance: int) -> int | None:
        """Return 1.1 / (1 + f sqrt(q)) of a balance >= 0, in ppm and rounded down to the unit; None without f.

        It is the last multiple w of the unit with f sqrt(q) w <= 1.1 - w: compared in squares, so that no root is rounded.
        """
        factor, unit = self.row.imf_factor_ppm, self.row.weight_unit_ppm
        if not factor:
            return None
        within = lambda w: (w * factor) ** 2 * balance <= ((_SIZE_WEIGHT - w) * units.PPM) ** 2 * self.one  # noqa: E731
        return _last(within, _SIZE_WEIGHT // unit, unit)

    def debt_weight(self, debt: int) -> int:
        """Return the ppm at which a debt > 0 counts: max(base, 0.8 base + f sqrt(q)), rounded down to the unit, and bounded.

        Compared in squares as size_weight.
        """
        base, factor, unit = self.row.liability_weight_ppm, self.row.imf_factor_ppm, self.row.weight_unit_ppm
        beyond = lambda w: max(0, 10 * w - 8 * base)  # noqa: E731  # tenths of a ppm
        within = lambda w: w <= base or beyond(w) ** 2 * self.one <= (10 * factor) ** 2 * debt  # noqa: E731
        return _last(within, units.LIABILITY_WEIGHT_MAX_PPM // unit, unit) if factor else self._rounded(base)

    def scaled(self, deposits: int, price: int) -> int:
        """Return the weight of initial margin while users hold so much: * min(1, deposits_max / value), rounded down."""
        value = units.muldiv_ceil(deposits, price, self.scale)
        if self.deposits_max is None or value <= self.deposits_max:
            return self.initial_weight
        return self._rounded(units.muldiv_floor(self.base, self.deposits_max, value))

    def _rounded(self, weight: int) -> int:
        return weight // self.row.weight_unit_ppm * self.row.weight_unit_ppm

    def conversion_price(self, price: int) -> int:
        """Return price * (1 - buffer), rounded down."""
        return price * (units.PPM - self.row.convert_buffer_ppm) // units.PPM

    def conversion_value(self, balance: int, price: int) -> int:
        """Return what the treasury pays for a balance >= 0, rounded down."""
        return units.muldiv_floor(balance, self.conversion_price(price), self.scale)

    def conversion_qty(self, need: int, price: int) -> int:
        """Return the least quantity of the asset whose conversion value is at least `need`. conversion_price > 0."""
        return units.muldiv_ceil(need, self.scale, self.conversion_price(price))


_SIZE_WEIGHT = 1_100_000  # ppm: the 1.1 of the size weight


def _last(within: Callable[[int], bool], most: int, unit: int) -> int:
    """Return the last multiple of the unit, up to most of them, that is within: all before it are, none after it."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle * unit) else (low, middle)
    return low * unit


class Evaluation(NamedTuple):
    """An account at the prices in force: haircut equity, maintenance, whether it holds a position, the strictest permit."""

    equity: int
    maintenance: int
    open: bool
    permit: int


class Margins:
    """How an exchange values its accounts, at the prices in force and from scratch."""

    def cash_equity(self, account: Account) -> int:
        """Return settlement balance + sum of qty * value(mark): equity without collateral."""
        return account.balance[self.numeraire] + sum(qty * value for qty, value in zip(account.qty, self.value))

    def conversion_equity(self, account: Account) -> int:
        """Return what the account is worth if its collateral is sold to the treasury: the margin that bankruptcy uses up."""
        equity = self.cash_equity(account)
        for haircut in self.haircuts:
            equity += haircut.conversion_value(account.balance[haircut.asset], self.collateral[haircut.asset].last_valid)
        return equity

    def maintenance(self, account: Account, market: int) -> int:
        lots = abs(account.qty[market])
        return self.maintenance_of(account, market, lots) if lots else 0

    def maintenance_of(self, account: Account, market: int, lots: int) -> int:
        """Return the maintenance of so many lots of the position, the rest of it closed at the mark."""
        need = self.asked_of(account, market, self.notional(account, market, account.qty[market], lots), lots)
        fee_ppm = self.brackets[market].bankruptcy_fee_ppm
        return need + (self._closing_fee(account, market, lots, fee_ppm) if fee_ppm else 0)

    def asked_of(self, account: Account, market: int, notional: int, lots: int) -> int:
        """Return what the table asks for so many lots; of a grandfathered position the lower of what two tables ask."""
        need, kept = self.brackets[market].maintenance(notional, lots), self.kept_brackets[market]
        return min(need, kept.maintenance(notional, lots)) if kept and market in account.grandfathered else need

    def notional(self, account: Account, market: int, side: int, lots: int) -> int:
        """Return the notional of so many lots on the side of `side`'s sign: at the mark, or what of it is held at its entry."""
        value, held = abs(self.value[market]), account.qty[market]
        if not self.brackets[market].at_entry or held * side <= 0:
            return lots * value
        kept = min(lots, abs(held))
        return units.muldiv_ceil(abs(account.entry[market]), kept, abs(held)) + (lots - kept) * value

    def _closing_fee(self, account: Account, market: int, lots: int, fee_ppm: int) -> int:
        """Return the fee on the notional at which equity and the fee are used up: N' (1 + f) = N + equity where a loss raises it.

        Else N' (1 - f) = N - equity. A loss raises the notional of a linear short and of an inverse long. Where prices are signed
        so are notionals, down to that at the lowest price, and the fee is one on the size of N': f changes its sign with N'.
        """
        inverse, least = self.venue.markets[market].payoff == "inverse", min(0, self.price_min[market])
        notional, equity = lots * (-self.value[market] if inverse else self.value[market]), self.haircut_equity(account)
        rises = (account.qty[market] > 0) == inverse
        reach = max(lots * self.value_at(market, least) if least else 0, notional + equity if rises else notional - equity)
        return units.muldiv_ceil(abs(reach), fee_ppm, units.PPM + fee_ppm if rises == (reach > 0) else units.PPM - fee_ppm)

    def haircut_equity(self, account: Account) -> int:
        """Return settlement balance + sum of qty * value(mark) + haircut collateral."""
        equity = self.cash_equity(account)
        for haircut in self.haircuts:
            if account.balance[haircut.asset]:
                equity += haircut.collateral_value(account.balance[haircut.asset], self.collateral[haircut.asset].last_valid)
        return equity

    def evaluate(self, account: Account) -> Evaluation:
        """Return equity, maintenance and the strictest LIQUIDATE permit of an account at the prices in force."""
        equity, maintenance, permit, held = account.balance[self.numeraire], 0, 0, False
        for market, qty in enumerate(account.qty):
            if qty:
                held = True
                equity += qty * self.value[market]
                maintenance += self.maintenance(account, market)
                permit = max(permit, self.permit(market, Action.LIQUIDATE))
        for haircut in self.haircuts:
            balance = account.balance[haircut.asset]
            counted = haircut.collateral_value(balance, self.collateral[haircut.asset].last_valid) if balance else 0
            if counted:  # collateral that counts for nothing decides nothing: dust of a dead asset is no shield
                equity += counted
                permit = max(permit, self.collateral_permit(haircut.asset, Action.LIQUIDATE))
        return Evaluation(equity, maintenance, held, permit)

    def minimum(self, account: Account) -> int:
        """Return the sum of what each position asks for at least."""
        return sum(self.brackets[m].minimum(abs(qty * self.value[m])) for m, qty in enumerate(account.qty) if qty)

    def value_at(self, market: int, price: int) -> int:
        """Return money per lot at a price."""
        return self.worth[market](price)

    def _open(self, account: Account, market: int) -> tuple[int, int, int, int]:
        """Return lots and value at their prices of the account's open orders in a market: those to buy, then those to sell."""
        buy_lots = buy_value = sell_lots = sell_value = 0
        for order in account.orders.values():
            if order.market != market or order.waits:
                continue
            if order.side == Side.BUY:
                buy_lots += order.qty
                buy_value += order.qty * self.value_at(market, order.price)
            else:
                sell_lots += order.qty
                sell_value += order.qty * self.value_at(market, order.price)
        return buy_lots, buy_value, sell_lots, sell_value

    def _reserved(self, account: Account, market: int) -> tuple[int, ...]:
        return account.number, market, *self._open(account, market)

    def requirement(self, account: Account, market: int, order: Order | None = None, at_mark: bool = False) -> tuple[int, bool]:
        """Return (initial margin of position and open orders on the worse side, whether no bracket admits it).

        A side's requirement is the initial margin of the position with all its orders filled, plus what those fills would
        lose at once: orders' value beyond the mark. `order` is counted as if it were open already; what it would lose is not
        set off against what resting orders would gain: it may trade at once, and they may never.
        """
        if self.spot[market]:
            return 0, False
        row, value = self.venue.markets[market], self.value[market]
        leverage = account.leverage[market] or row.leverage_default
        open_interest = self.open_interest(market) * abs(value) if row.margin.open_interest else 0
        needs, exceeded = [], False
        buy_lots, buy_value, sell_lots, sell_value = self._open(account, market)
        for side, sign, lots, cost in ((Side.BUY, 1, buy_lots, buy_value), (Side.SELL, -1, sell_lots, sell_value)):
            loss = max(0, sign * (cost - lots * value))
            if order is not None and order.side == side:
                lots += order.qty
                loss += 0 if at_mark else max(0, sign * order.qty * (self.value_at(market, order.price) - value))
            reach = account.qty[market] + sign * lots
            lots, notional = abs(reach), self.notional(account, market, reach, abs(reach))
            needs.append(self.brackets[market].initial(notional, lots, leverage, open_interest) + loss)
            exceeded |= self.brackets[market].exceeded(notional)
        return max(needs), exceeded

    def requirements(self, account: Account) -> int:
        """Return the initial margin of all the account's positions and open orders."""
        return sum(self.requirement(account, m)[0] for m in range(len(self.books)))

    def profit_haircut(self, account: Account) -> int:
        """Return what unrealised profit does not count for when margin leaves the account, rounded up."""
        profits = (qty * value - paid for qty, value, paid in zip(account.qty, self.value, account.entry))
        lost_ppm = units.PPM - self.venue.withdrawal.profit_weight_ppm
        return units.div_ceil(sum(max(0, profit) for profit in profits) * lost_ppm, units.PPM)

    def has_margin(self, account: Account) -> bool:
        return self.spare_equity(account) >= self.requirements(account)

    def wallet(self, account: Account, asset: int) -> int:
        """Return a balance without what open positions cost or brought: derived, it moves no money."""
        return account.balance[asset] + (sum(account.entry) if asset == self.numeraire else 0)

    def whole(self, value: int | str) -> int:
        """Return money of the numeraire from whole units."""
        return rules.whole(value, self.venue.decimals(self.venue.numeraire))

    def permit(self, market: int, action: Action) -> Permit:
        """Return what the grade of a mark and the state of its market allow together."""
        return max(self.grade_permit(market, action), self.state_permit(market, action))

    def state_permit(self, market: int, action: Action) -> Permit:
        return self.venue.states.permit(self.states[market], action)

    def grade_permit(self, market: int, action: Action) -> Permit:
        """Return what the grade of a mark allows; without a mark that was ever valid nothing is."""
        published = self.marks[market].published
        return self.venue.grades.permit(published.grade, action) if published.valid else Permit.REFUSE

    def collateral_permit(self, asset: int, action: Action) -> Permit:
        published = self.collateral[asset]
        return self.venue.grades.permit(published.grade, action) if published.valid else Permit.REFUSE

    def may_withdraw(self, account: Account, market: int | None = None) -> Reason:
        """Return why grades, or the states of the markets it holds positions in, keep margin where it is; NONE if they do not."""
        if self.strictest(account, Action.WITHDRAW, market) >= Permit.DEFER:
            return Reason.GRADE_REFUSED
        held = [m for m, qty in enumerate(account.qty) if qty or m == market]
        refused = any(self.state_permit(m, Action.WITHDRAW) >= Permit.DEFER for m in held)
        return Reason.MARKET_STATE if refused else Reason.NONE

    def strictest(self, account: Account, action: Action, market: int | None) -> Permit:
        """Return the strictest grade's permit over the account's positions, its collateral, and the market of an order."""
        permits = [self.grade_permit(m, action) for m, qty in enumerate(account.qty) if qty or m == market]
        permits += [self.collateral_permit(h.asset, action) for h in self.haircuts if account.balance[h.asset]]
        return max(permits, default=Permit.ALLOW)

    def gives(self, market: int, side: int, qty: int, price: int, fee_ppm: int) -> tuple[int, int]:
        """Return (asset, amount) that a spot order gives: the base asset, or cash and the fee on it, rounded up."""
        if side == Side.SELL:
            return self.spot[market].base, qty * self.spot[market].units
        cash = qty * self.value_at(market, price)
        return self.paid_in[market], cash + units.div_ceil(cash * fee_ppm, units.PPM)

    def promised(self, account: Account, asset: int) -> int:
        """Return what the account's open spot orders give of an asset, maker fees included: a market's sum rounded up."""
        total = 0
        for market, spot in self.spots:
            _, cash, sell_lots, _ = self._open(account, market)
            if asset == self.paid_in[market]:
                total += cash + units.div_ceil(cash * self.venue.markets[market].fees.maker_ppm, units.PPM)
            elif asset == spot.base:
                total += sell_lots * spot.units
        return total

    def free(self, account: Account, asset: int) -> int:
        """Return the wallet without what open spot orders give."""
        return self.wallet(account, asset) - self.promised(account, asset)

    def spare_equity(self, account: Account, more: dict[int, int] = {}) -> int:  # noqa: B006  # read only
        """Return equity at the weights of initial margin, without what open spot orders give and `more` of some assets."""
        given = lambda asset: self.promised(account, asset) + more.get(asset, 0)  # noqa: E731
        equity = self.cash_equity(account) - given(self.numeraire)
        for haircut in self.haircuts:
            price, weight = self.collateral[haircut.asset].last_valid, self.initial_weight[haircut.asset]
            equity += haircut.collateral_value(account.balance[haircut.asset] - given(haircut.asset), price, weight)
        return equity
