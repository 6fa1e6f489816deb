"""What closing a position uses up of the margin behind it, and the worst price at which the liquidation may close it.

An account's margin here is what it is worth with its collateral sold to the treasury; several positions share it by maintenance.
"""

from __future__ import annotations

from specs import rules, units
from specs.model import bands
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Side


def share(exchange, account: Account, need: int, maintenance: int, debts: bool = False) -> int:
    """Return a position's share, by maintenance, of the margin that bankruptcy uses up, rounded up.

    need: its maintenance, of `maintenance` in all. Of a debt nothing is shared, or with `debts` a negative part.
    """
    equity = exchange.conversion_equity(account)
    if equity <= 0 and not debts:
        return 0
    return units.muldiv_ceil(equity, need, maintenance) if need < maintenance else equity


def bankruptcy_limit(exchange, account: Account, market: int, need: int, maintenance: int, debts: bool = False) -> int:
    """Return the price on tick at which closing the position uses up its share of the margin, no more: a long's rounded up.

    A tick below the lowest price of the market: none does; a short's is at most PRICE_MAX. Where a fee of closing counts at this
    price, it is left too.
    """
    loss, fee_ppm = share(exchange, account, need, maintenance, debts), exchange.brackets[market].bankruptcy_fee_ppm
    return _closing_at(exchange, account, market, loss, fee_ppm)


def fillable_allowance(bound: rules.BoundFillable, need: int, e: Evaluation) -> int:
    """Return the money that a position may lose against the mark: a x spread x its maintenance, rounded down once.

    a = clamp(adjustment x (maintenance - equity) / maintenance, 0, 1).
    """
    if not e.maintenance:
        return 0
    adjusted = min(max(0, e.maintenance - e.equity) * bound.bankruptcy_adjustment_ppm, e.maintenance * units.PPM)
    return need * bound.spread_to_maintenance_ppm * adjusted // (e.maintenance * units.PPM * units.PPM)


def value(exchange, account: Account, market: int, lots: int) -> int | None:
    """Return the cash that the account must receive for `lots`; None if they are 0, add to the position or exceed it.

    lots: signed, negative of a long that is sold. See closing_value.
    """
    held = account.qty[market]
    if held * lots >= 0 or abs(lots) > abs(held):
        return None
    return closing_value(exchange, account, market, held, lots, exchange.evaluate(account))


def closing_value(exchange, account: Account, market: int, held: int, lots: int, e: Evaluation) -> int:
    """Return the cash for `lots` that keeps equity / maintenance of an account as it is: its bankruptcy value.

    - lots x value(mark) - equity x (the maintenance that closing them frees) / maintenance, rounded toward +inf to a whole
    multiple of the rule book's unit. e, held: the account and its position before. Without maintenance equity counts whole.
    Source: dYdX v4 (x/clob, GetBankruptcyPriceInQuoteQuantums).
    """
    notional = exchange.value[market]
    freed = exchange.asked_of(account, market, abs(held * notional), abs(held))
    if held + lots:  # a market may ask for something of any position, and of none for nothing
        freed -= exchange.asked_of(account, market, abs((held + lots) * notional), abs(held + lots))
    part = units.muldiv_floor(e.equity, freed, e.maintenance) if freed < e.maintenance else e.equity
    unit = exchange.bankruptcy_unit
    return units.div_ceil(-lots * notional - part, unit) * unit


def slice_limit(exchange, account: Account, market: int, bound: rules.Row, e: Evaluation) -> int | None:
    """Return the worst price of a slice on tick, inside the bound and where it binds it the band; None if no price is."""
    side = Side.SELL if account.qty[market] > 0 else Side.BUY
    low = exchange.price_low[market]
    limit = _limit(exchange, account, market, bound, e)
    limit = in_band(exchange, market, side, max(limit, low) if side == Side.SELL else min(limit, units.PRICE_MAX))
    return limit if limit >= low else None


def _limit(exchange, account: Account, market: int, bound: rules.Row, e: Evaluation) -> int:
    need = exchange.maintenance(account, market)
    if bound.kind == "bankruptcy":
        return bankruptcy_limit(exchange, account, market, need, e.maintenance, bound.under_water == "bankruptcy")
    if bound.kind == "fillable":
        return _closing_at(exchange, account, market, fillable_allowance(bound, need, e))
    mark, tick = exchange.marks[market].published.last_valid, exchange.venue.markets[market].tick_size
    side = Side.SELL if account.qty[market] > 0 else Side.BUY
    return bands.inward(side, bands.percent(side, mark, bound.ppm, bound.ppm), tick)


def _closing_at(exchange, account: Account, market: int, loss: int, fee_ppm: int = 0) -> int:
    """Return the price on tick at which closing the position loses so much against the mark, a fee in it, rounded inward."""
    qty, value, row = account.qty[market], exchange.value[market], exchange.venue.markets[market]
    if qty > 0:
        limit = exchange.venue.price_for(row, _before_fee(units.div_ceil(qty * value - loss, qty), fee_ppm, True), True)
        return units.div_ceil(limit, row.tick_size) * row.tick_size
    limit = exchange.venue.price_for(row, _before_fee(units.div_floor(-qty * value + loss, -qty), fee_ppm, False), False)
    return limit // row.tick_size * row.tick_size


def _before_fee(value: int, fee_ppm: int, sells: bool) -> int:
    """Return the value per lot, v, that leaves a fee on its size: v - f |v| >= value; of who buys, v + f |v| <= value."""
    if not fee_ppm:
        return value
    if sells:
        return units.div_ceil(value * units.PPM, units.PPM + (fee_ppm if value < 0 else -fee_ppm))
    return units.div_floor(value * units.PPM, units.PPM + (fee_ppm if value > 0 else -fee_ppm))


def in_band(exchange, market: int, side: int, limit: int) -> int:
    """Return the limit of an order of the venue's own, not beyond the market's band where that binds the liquidation."""
    band = exchange.venue.markets[market].band
    return bands.narrow(exchange, market, side, limit) if band is not None and band.liquidation else limit
