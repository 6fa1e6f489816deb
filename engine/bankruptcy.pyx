"""What closing a position uses up of the margin behind it, and the worst price at which the liquidation may close it.

An account's margin here is what it is worth with its collateral sold to the treasury; several positions share it by maintenance.
"""
from libc.stdint cimport int64_t, uint32_t

from engine.bands cimport bands_away, bands_narrow
from engine.margin cimport conversion_equity, margin_maintenance, margin_position
from engine.money cimport cmp_ratio, div_ceil, div_floor, money_abs, money_max, money_min, money_scale, money_t, muldiv_ceil, muldiv_floor
from engine.records cimport PLANTED, SIDE_BUY, SIDE_SELL
from engine.state cimport NO_PRICE, BOUND_BANKRUPTCY, BOUND_FILLABLE, BOUND_UNDER_WATER, BoundRule, Evaluation, MarketRule, State

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000


cdef money_t price_lowest(const MarketRule* rule, money_t value) noexcept nogil:
    """The lowest price whose value per lot is at least so much; a tick below the lowest price: any has."""
    if rule.multiplier:
        return money_max(rule.price_low - rule.tick_size, money_min(PRICE_MAX, div_ceil(value, rule.multiplier)))
    return money_min(PRICE_MAX, div_ceil(rule.face, -value)) if value < 0 else PRICE_MAX


cdef money_t price_highest(const MarketRule* rule, money_t value) noexcept nogil:
    """The highest price whose value per lot is at most so much; a tick below the lowest price, or 0: there is none."""
    if rule.multiplier:
        return money_max(rule.price_low - rule.tick_size, money_min(PRICE_MAX, div_floor(value, rule.multiplier)))
    return money_min(PRICE_MAX, div_ceil(rule.face, -value - 1) - 1) if value < -1 else PRICE_MAX


cdef money_t bankruptcy_share(State* s, uint32_t account, money_t need, money_t maintenance, bint debts) noexcept nogil:
    """A position's share, by maintenance, of the margin that bankruptcy uses up; of a debt nothing, or a negative part."""
    cdef money_t equity = conversion_equity(s, account)
    if equity <= 0 and not debts:
        return 0
    return muldiv_ceil(equity, need, maintenance) if need < maintenance else equity


cdef int64_t bankruptcy_limit(State* s, uint32_t account, int market, money_t need, money_t maintenance, bint debts) noexcept nogil:
    """The price on tick at which closing the position uses up its share of the margin, no more; below the lowest: none does."""
    cdef money_t share = bankruptcy_share(s, account, need, maintenance, debts)
    return _closing_at(s, account, market, share, s.market_rules[market].bankruptcy_fee_ppm)


cdef inline money_t _before_fee(money_t value, int64_t fee_ppm, bint sells) noexcept nogil:
    """The value per lot, v, that leaves a fee on its size: v - f |v| >= value; of who buys, v + f |v| <= value."""
    if not fee_ppm:
        return value
    if sells:
        return muldiv_ceil(value, PPM, PPM + (fee_ppm if value < 0 else -fee_ppm))
    return muldiv_floor(value, PPM, PPM + (fee_ppm if value > 0 else -fee_ppm))


cdef int64_t _closing_at(State* s, uint32_t account, int market, money_t loss, int64_t fee_ppm) noexcept nogil:
    """The price on tick at which closing the position loses so much against the mark, a fee in it, rounded inward."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t held = s.positions[<size_t>account * s.markets + market].qty
    cdef money_t value = s.marks[market].value
    if held > 0:
        value = price_lowest(rule, _before_fee(div_ceil(money_scale(value, held) - loss, held), fee_ppm, True))
        return <int64_t>(div_ceil(value, rule.tick_size) * rule.tick_size)
    value = price_highest(rule, _before_fee(div_floor(money_scale(value, -held) + loss, -held), fee_ppm, False))
    return <int64_t>(div_floor(value, rule.tick_size) * rule.tick_size)


cdef money_t _fillable_allowance(State* s, const BoundRule* bound, money_t need, const Evaluation* e) noexcept nogil:
    """What a position may lose against the mark: a x spread x its maintenance, rounded down once."""
    cdef money_t depth = money_max(0, e.maintenance - e.equity)
    cdef money_t adjusted  # a x maintenance, ppm
    if not e.maintenance:
        return 0
    if cmp_ratio(depth, e.maintenance, PPM, bound.adjustment_ppm) >= 0 or PLANTED(s.planted, 45):
        adjusted = money_scale(e.maintenance, PPM)
    else:
        adjusted = money_scale(depth, bound.adjustment_ppm)
    return muldiv_floor(money_scale(need, bound.ppm), adjusted, money_scale(e.maintenance, PPM)) // PPM


cdef money_t closing_value(State* s, uint32_t account, int market, int64_t held, int64_t lots, const Evaluation* e) noexcept nogil:
    """The cash for `lots` that keeps equity / maintenance as it is, rounded toward +inf to the rule book's unit."""
    cdef money_t value = s.marks[market].value
    cdef money_t freed = margin_maintenance(s, account, market, money_abs(money_scale(value, held)), held if held > 0 else -held)
    cdef money_t cash
    if held + lots:
        freed -= margin_maintenance(s, account, market, money_abs(money_scale(value, held + lots)), held + lots if held > 0 else -(held + lots))
    cash = muldiv_floor(e.equity, freed, e.maintenance) if freed < e.maintenance and not PLANTED(s.planted, 46) else e.equity
    cash = -money_scale(value, lots) - cash
    return cash if s.bankruptcy_unit == 1 else div_ceil(cash, s.bankruptcy_unit) * s.bankruptcy_unit


cdef int64_t slice_limit(State* s, uint32_t account, int market, const BoundRule* bound, const Evaluation* e) noexcept nogil:
    """The worst price of a slice on tick, inside the bound and where it binds it the band; NO_PRICE if none is."""
    cdef bint long = s.positions[<size_t>account * s.markets + market].qty > 0
    cdef int64_t low = s.market_rules[market].price_low
    cdef money_t limit = _limit(s, account, market, bound, e, long)
    limit = money_max(limit, low) if long else money_min(limit, PRICE_MAX)
    if s.market_rules[market].band_liquidation:
        limit = bands_narrow(s, market, SIDE_SELL if long else SIDE_BUY, <int64_t>limit)
    return <int64_t>limit if limit >= low else NO_PRICE


cdef money_t _limit(State* s, uint32_t account, int market, const BoundRule* bound, const Evaluation* e, bint long) noexcept nogil:
    cdef int64_t tick = s.market_rules[market].tick_size
    cdef int64_t mark = s.marks[market].published.last_valid
    cdef money_t need = margin_position(s, account, market)
    if bound.kind == BOUND_BANKRUPTCY or bound.kind == BOUND_UNDER_WATER:
        return bankruptcy_limit(s, account, market, need, e.maintenance, bound.kind == BOUND_UNDER_WATER)
    if bound.kind == BOUND_FILLABLE:
        return _closing_at(s, account, market, _fillable_allowance(s, bound, need, e), 0)
    return bands_away(SIDE_SELL if long else SIDE_BUY, mark, bound.ppm, tick)
