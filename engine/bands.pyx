"""Price bands and limits up and down: how far from an anchor orders may be priced, and trades may go.

The same bounds as specs/model/bands.py: the anchor is the last valid mark or index, rounded inward to a tick.
"""
from libc.stdint cimport int64_t, uint8_t

from engine.book cimport book_mid
from engine.money cimport div_ceil, div_floor, money_max, money_min, money_mul, money_scale, money_t
from engine.records cimport (
    GRADE_VALID, MARKET_AUCTION, PLANTED, SIDE_BUY, SIDE_SELL, TIF_MARKET, TIF_POST_ONLY, TIF_POST_REPRICE, WHY_NONE, WHY_PRICE_BAND,
)
from engine.state cimport (
    ANCHOR_MARK, BAND_CLIP, BAND_MARK, BAND_NONE, BAND_PERCENT, BAND_REJECT, Mark, MarketRule, Published, State, Ticket, ring_push,
)

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000


cdef int64_t _inward(int side, money_t scaled, int64_t tick) noexcept nogil:
    """A bound in ppm of price units as a price on tick: buys rounded down, sells up."""
    cdef money_t step = money_mul(PPM, tick)
    return <int64_t>(div_floor(scaled, step) if side == SIDE_BUY else div_ceil(scaled, step)) * tick


cdef money_t _percent(int side, int64_t anchor, int64_t up_ppm, int64_t down_ppm) noexcept nogil:
    """anchor + up x |anchor|, or - down x |anchor|, in ppm of price units."""
    return money_mul(anchor, PPM) + money_mul(anchor if anchor > 0 else -anchor, up_ppm if side == SIDE_BUY else -down_ppm)


cdef int64_t bands_away(int side, int64_t anchor, int64_t ppm, int64_t tick) noexcept nogil:
    """A price so far from an anchor, rounded inward to a tick: above it of a buyer."""
    return _inward(side, _percent(side, anchor, ppm, ppm), tick)


cdef money_t _around_mark(int side, int64_t mark, int64_t index, const MarketRule* rule, money_t shift) noexcept nogil:
    """Bybit's bound in ppm of price units; shift: alpha x the mean premium."""
    cdef int64_t inner = rule.band_up_ppm
    cdef int64_t outer = rule.band_down_ppm
    if side == SIDE_BUY:
        shift = money_mul(mark, PPM + inner) + money_max(0, shift)
        return money_min(money_mul(mark, PPM + outer), money_max(money_mul(index, PPM), shift))
    shift = money_mul(mark, PPM - inner) + money_min(0, shift)
    return money_max(money_mul(mark, PPM - outer), money_min(money_mul(index, PPM), shift))


cdef money_t _around_index(int side, int64_t index, const MarketRule* rule, money_t shift) noexcept nogil:
    """OKX's bound in ppm of price units; shift: alpha x the mean premium."""
    cdef int64_t inner = rule.band_up_ppm
    cdef int64_t outer = rule.band_down_ppm
    if side == SIDE_BUY:
        return money_min(money_mul(index, PPM + outer), money_max(money_mul(index, PPM), money_mul(index, PPM + inner) + shift))
    return money_max(money_mul(index, PPM - outer), money_min(money_mul(index, PPM), money_mul(index, PPM - inner) + shift))


cdef bint bands_bound(State* s, int market, int side, int64_t* bound) noexcept nogil:
    """The worst price that the market's band allows orders of a side; False: there is no band, or an anchor was never valid."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Mark* mark = &s.marks[market]
    cdef const Published* index = &s.index_states[rule.index]
    cdef const Published* anchor
    cdef money_t shift = 0
    if rule.band_kind == BAND_NONE:
        return False
    if rule.band_kind == BAND_PERCENT:
        anchor = &mark.published if rule.band_anchor == ANCHOR_MARK else index
        if not anchor.valid:
            return False
        bound[0] = _inward(side, _percent(side, anchor.last_valid, rule.band_up_ppm, rule.band_down_ppm), rule.tick_size)
        if PLANTED(s.planted, 70):
            shift = money_mul(anchor.last_valid, PPM + rule.band_up_ppm if side == SIDE_BUY else PPM - rule.band_down_ppm)
            bound[0] = _inward(side, shift, rule.tick_size)
        return True
    if not index.valid or (rule.band_kind == BAND_MARK and not mark.published.valid):
        return False
    if mark.premium.count:
        shift = money_scale(div_floor(mark.premium.sum, mark.premium.count), rule.premium_alpha_ppm)
    if rule.band_kind == BAND_MARK:
        shift = _around_mark(side, mark.published.last_valid, index.last_valid, rule, shift)
    else:
        shift = _around_index(side, index.last_valid, rule, shift)
    bound[0] = _inward(side, shift, rule.tick_size)
    return True


cdef int64_t bands_narrow(State* s, int market, int side, int64_t limit) noexcept nogil:
    """A limit that is not worse than the band's bound: of MARKET orders, and of the liquidation where the band says so."""
    cdef int64_t bound = 0
    if not bands_bound(s, market, side, &bound):
        return limit
    if side == SIDE_BUY:
        return limit if limit < bound else bound
    return limit if limit > bound else bound


cdef int bands_judge(State* s, Ticket* t) noexcept nogil:
    """Refuse a limit order beyond its band, or give it the bound as its price; clip: and let nothing of it rest.

    Where the bound is no price, or a clipped order could not trade by its kind or in an auction, it is refused too.
    """
    cdef const MarketRule* rule = &s.market_rules[t.market]
    cdef int64_t bound = 0
    if rule.band_kind == BAND_NONE or t.tif == TIF_MARKET or not bands_bound(s, t.market, t.side, &bound):
        return WHY_NONE
    if t.price <= bound if t.side == SIDE_BUY else t.price >= bound:
        return WHY_NONE
    if rule.band_policy == BAND_REJECT or not rule.price_min <= bound <= rule.price_max:
        return WHY_PRICE_BAND
    if rule.band_policy == BAND_CLIP:
        if t.tif == TIF_POST_ONLY or t.tif == TIF_POST_REPRICE or s.market_states[t.market] == <uint8_t>MARKET_AUCTION:
            return WHY_PRICE_BAND
        t.clipped = True
    t.price = bound
    return WHY_NONE


cdef bint bands_limits(State* s, int market, int64_t* down, int64_t* up) noexcept nogil:
    """The lowest and the highest price at which there may be trades; False: there are no limits now."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Published* anchor
    if not rule.limit_ppm or PLANTED(s.planted, 27):
        return False
    anchor = &s.marks[market].published if rule.limit_anchor == ANCHOR_MARK else &s.index_states[rule.index]
    if not anchor.valid:
        return False
    down[0] = _inward(SIDE_SELL, _percent(SIDE_SELL, anchor.last_valid, rule.limit_ppm, rule.limit_ppm), rule.tick_size)
    up[0] = _inward(SIDE_BUY, _percent(SIDE_BUY, anchor.last_valid, rule.limit_ppm, rule.limit_ppm), rule.tick_size)
    return True


cdef void bands_sample(State* s, int market) noexcept nogil:
    """Mid of the own book - anchor; none while a side of the book is empty, or the anchor is not VALID."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef Mark* mark = &s.marks[market]
    cdef const Published* anchor = &mark.published if rule.band_kind == BAND_MARK else &s.index_states[rule.index]
    cdef int64_t mid = 0
    if anchor.grade == GRADE_VALID and book_mid(s, market, &mid):
        ring_push(&mark.premium, &s.samples[mark.premium_from], rule.premium_samples, mid - anchor.price)
