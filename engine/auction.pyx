"""Auctions: a market that leaves the state AUCTION is uncrossed at one price, the one that trades most.

Leaving it, for whatever state and whatever reason, the fills come first and the new state is told after them. Best bid trades with
best ask, by price, then by time; both pay the maker fee, nobody is a taker. What takes lots away on the way (reduce-only, a spot
order that cannot deliver, the limit of the open interest) leaves the rest at the price while both sides reach it; if the book is
crossed then, it is priced anew. The same steps as specs/model/auction.py, but for the price, which is found without trying any.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t

from engine.book cimport book_after, book_best
from engine.bust cimport bust_keep
from engine.ledger cimport ledger_exchange, ledger_flow, ledger_move, ledger_swap
from engine.margin cimport margin_value
from engine.money cimport div_ceil, div_floor, money_abs, money_hi, money_lo, money_scale, money_t
from engine.orders cimport order_cancel, order_delivers, order_reduce, order_traded, order_trim
from engine.records cimport (
    CHART_FEES, FLOW_FEE, FLOW_TRADE, OUT_FILL, OUT_UNCROSSED, PLANTED, SIDE_BUY, SIDE_SELL, STAGE_NONE,
    WHY_OPEN_INTEREST_LIMIT, WHY_UNFUNDED,
)
from engine.state cimport ANCHOR_INDEX, ANCHOR_LAST, MarketRule, Published, State, emit

cdef enum:
    PPM = 1000000
    QTY_MAX = 1000000000


cdef void auction_uncross(State* s, int market) noexcept nogil:
    """Trade at the price that clears the book, anew where something took lots away, until it is not crossed."""
    cdef Clearing c
    cdef int32_t buy, sell
    while _clearing(s, market, &c):
        o = emit(s, OUT_UNCROSSED)
        o.market, o.price, o.qty, o.money_lo, o.money_hi = market, c.price, c.lots, money_lo(c.surplus), money_hi(c.surplus)
        while True:
            buy, sell = book_best(s, market, SIDE_BUY), book_best(s, market, SIDE_SELL)
            if not buy or not sell or s.orders[buy].price < c.price or s.orders[sell].price > c.price:
                break
            _meet(s, market, buy, sell, &c)


# ---- the price

cdef void _stand(State* s, int32_t head, Depth* at) noexcept nogil:
    """Stand at the level whose first order this is."""
    cdef int32_t place = head
    at.head, at.price, at.lots = head, s.orders[head].price if head else 0, 0
    while place:
        at.lots += <int64_t>s.orders[place].shown + s.orders[place].hidden
        place = s.orders[place].next


cdef bint _clearing(State* s, int market, Clearing* c) noexcept nogil:
    """Find where a book clears; False if no bid reaches an ask. Looks at what trades and at a level more of either side.

    Let the best bid and the best ask match level by level while they reach each other: the lots matched are the most that any
    price trades, and the prices that trade them are those from the last ask matched up to the last bid matched. Of them, those
    above every bid and below every ask that are left leave nothing. If there are none, the best bid and the best ask left leave
    least: each leaves its own level, at the prices from there on to the next level behind it.
    """
    cdef int64_t tick = s.market_rules[market].tick_size
    cdef int64_t bottom = 0
    cdef int64_t top = 0
    cdef int64_t low, high
    cdef Depth bid, ask
    cdef bint buys, sells
    cdef int32_t following
    _stand(s, book_best(s, market, SIDE_BUY), &bid)
    _stand(s, book_best(s, market, SIDE_SELL), &ask)
    c.lots = 0
    while bid.head and ask.head and bid.price >= ask.price:
        bottom, top = ask.price, bid.price
        _match(s, market, &bid, &ask, c)
    if not c.lots:
        return False
    buys, sells = bid.head != 0 and bid.price >= bottom, ask.head != 0 and ask.price <= top
    low = bid.price + tick if buys else bottom
    high = ask.price - tick if sells else top
    if PLANTED(s.planted, 28):
        low, high = bottom, top
    if low > high:
        low, high = ask.price, bid.price
        if buys and (not sells or bid.lots <= ask.lots):
            following = book_after(s, market, SIDE_BUY, bid.price)
            low = s.orders[following].price + tick if following and s.orders[following].price >= bottom else bottom
        if sells and (not buys or ask.lots <= bid.lots):
            following = book_after(s, market, SIDE_SELL, ask.price)
            high = s.orders[following].price - tick if following and s.orders[following].price <= top else top
    c.price = _nearest(s, market, low, high)
    c.surplus = bid.lots if buys and c.price <= bid.price else -ask.lots if sells and c.price >= ask.price else 0
    return True


cdef void _match(State* s, int market, Depth* bid, Depth* ask, Clearing* c) noexcept nogil:
    """Match what two levels have, and go on to the next level where nothing is left."""
    cdef int64_t lots = bid.lots if bid.lots < ask.lots else ask.lots
    c.lots += lots
    bid.lots -= lots
    ask.lots -= lots
    if not bid.lots:
        _stand(s, book_after(s, market, SIDE_BUY, bid.price), bid)
    if not ask.lots:
        _stand(s, book_after(s, market, SIDE_SELL, ask.price), ask)


cdef int64_t _nearest(State* s, int market, int64_t low, int64_t high) noexcept nogil:
    """The price on tick between low and high, both on tick, that is nearest to the reference, of two the higher."""
    cdef int64_t tick = s.market_rules[market].tick_size
    cdef int64_t reference, below
    if not _reference(s, market, &reference) or reference >= high:
        return high
    if reference <= low:
        return low
    below = <int64_t>div_floor(reference, tick) * tick
    return below + tick if reference - below >= tick - (reference - below) else below


cdef bint _reference(State* s, int market, int64_t* price) noexcept nogil:
    """The price that the market's row names: the last valid mark or index price, or the last trade; False: none yet."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Published* published = &s.marks[market].published
    if rule.auction_reference == ANCHOR_LAST:
        price[0] = s.marks[market].last_price
        return s.marks[market].traded
    if rule.auction_reference == ANCHOR_INDEX:
        published = &s.index_states[rule.index]
    price[0] = published.last_valid
    return published.valid


# ---- the fills

cdef void _meet(State* s, int market, int32_t buy, int32_t sell, const Clearing* c) noexcept nogil:
    """Let the first two orders trade as far as both show; or one of them goes, which cannot.

    Of two that could only raise the open interest beyond its limit the one on the side of the surplus goes; without a surplus the
    buy order.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t lots = s.orders[buy].shown if s.orders[buy].shown < s.orders[sell].shown else s.orders[sell].shown
    cdef int64_t admitted
    if rule.spot:
        if not order_delivers(s, s.orders[buy].account, SIDE_BUY, market, lots, c.price, rule.maker_ppm):
            order_cancel(s, buy, WHY_UNFUNDED, STAGE_NONE)
            return
        if not order_delivers(s, s.orders[sell].account, SIDE_SELL, market, lots, c.price, rule.maker_ppm):
            order_cancel(s, sell, WHY_UNFUNDED, STAGE_NONE)
            return
    admitted = _admitted(s, market, s.orders[buy].account, s.orders[sell].account)
    if admitted:
        _fill(s, buy, sell, lots if lots < admitted else admitted, c.price)
    else:
        order_cancel(s, sell if c.surplus < 0 else buy, WHY_OPEN_INTEREST_LIMIT, STAGE_NONE)


cdef int64_t _admitted(State* s, int market, uint32_t buyer, uint32_t seller) noexcept nogil:
    """The most lots that may pass from seller to buyer without the open interest going beyond its limit.

    n lots raise it by max(0, n - the buyer's short) - min(n, the seller's long): see specs/model/auction.py.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t most = rule.open_interest_max - s.open_interest[market]
    cdef int64_t bought = s.positions[<size_t>buyer * s.markets + market].qty
    cdef int64_t sold = s.positions[<size_t>seller * s.markets + market].qty
    if not rule.open_interest_max or not s.clears or rule.spot or buyer == seller:
        return QTY_MAX
    if most < 0:
        most = 0
    if bought < 0:
        most -= bought
    return most + sold if sold > 0 else most


cdef void _fill(State* s, int32_t buy, int32_t sell, int64_t lots, int64_t price) noexcept nogil:
    """Post one fill at the price of the auction: the buyer stands as the taker in it, both pay the maker fee."""
    cdef const MarketRule* rule = &s.market_rules[s.orders[buy].market]
    cdef int market = s.orders[buy].market
    cdef uint32_t buyer = s.orders[buy].account
    cdef uint32_t seller = s.orders[sell].account
    cdef money_t cash = money_scale(margin_value(rule, price), lots)
    cdef money_t fee = 0
    if s.clears:
        fee = div_ceil(money_scale(money_abs(cash), rule.maker_ppm), PPM)
        if rule.spot:
            ledger_swap(s, buyer, seller, market, lots, cash)
        else:
            ledger_exchange(s, buyer, seller, market, lots, cash)
    if fee:
        ledger_move(s, buyer, CHART_FEES, rule.quote, fee)
    order_traded(s, market, price)
    o = emit(s, OUT_FILL)
    o.account, o.other, o.market, o.ref_id, o.other_id = buyer, seller, market, s.orders[buy].order_id, s.orders[sell].order_id
    o.side, o.price, o.qty, o.stage, o.flow = SIDE_BUY, price, lots, STAGE_NONE, FLOW_TRADE
    o.money_lo, o.money_hi = money_lo(fee), money_hi(fee)
    if fee:
        ledger_flow(s, FLOW_FEE, seller, CHART_FEES, rule.quote, fee)
    bust_keep(s, buyer, seller, market, SIDE_BUY, price, lots, fee, fee)
    order_reduce(s, buy, lots)
    order_reduce(s, sell, lots)
    order_trim(s, buyer, market)
    order_trim(s, seller, market)
