"""The two ways in which value moves: a flow of one asset, or lots against cash. A fill moves balance -= value * lots."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_hi, money_lo, money_mul, money_t, muldiv_floor, must
from engine.records cimport CHART_BACKSTOP, OUT_FLOW, PLANTED, USERS_FROM
from engine.state cimport MarketRule, Position, State, emit, rarely, touch


cdef void ledger_move(State* s, uint32_t source, uint32_t target, int asset, money_t money) noexcept nogil:
    must(money >= 0, "a flow is not negative")
    s.balances[<size_t>source * s.assets + asset] -= money
    s.balances[<size_t>target * s.assets + asset] += money
    touch(s, source)
    touch(s, target)


cdef void ledger_flow(State* s, int kind, uint32_t source, uint32_t target, int asset, money_t money) noexcept nogil:
    ledger_move(s, source, target, asset, money)
    o = emit(s, OUT_FLOW)
    o.account, o.other, o.asset, o.flow = source, target, asset, kind
    o.money_lo, o.money_hi = money_lo(money), money_hi(money)


cdef void ledger_swap(State* s, uint32_t buyer, uint32_t seller, int market, int64_t lots, money_t cash) noexcept nogil:
    """Deliver a spot trade: the base asset from seller to buyer against cash of the quote asset."""
    cdef const MarketRule* rule = &s.market_rules[market]
    ledger_move(s, seller, buyer, rule.base, money_mul(lots, rule.lot_units))
    ledger_move(s, buyer, seller, rule.quote, cash)


cdef void ledger_exchange(State* s, uint32_t buyer, uint32_t seller, int market, int64_t lots, money_t cash) noexcept nogil:
    """Move lots from seller to buyer against cash (of any sign) of the settlement asset."""
    cdef int64_t bought = lots
    cdef int64_t sold = lots
    if PLANTED(s.planted, 1) and buyer >= USERS_FROM and seller >= USERS_FROM:
        sold -= 1
    if PLANTED(s.planted, 12):
        if buyer == <uint32_t>CHART_BACKSTOP:
            bought = 0
        if seller == <uint32_t>CHART_BACKSTOP:
            sold = 0
    _side(s, buyer, market, bought, cash)
    _side(s, seller, market, -sold, -cash)


cdef void _side(State* s, uint32_t account, int market, int64_t lots, money_t money) noexcept nogil:
    cdef Position* position = &s.positions[<size_t>account * s.markets + market]
    cdef int64_t before = position.qty
    s.balances[<size_t>account * s.assets + s.numeraire] -= money
    if account >= USERS_FROM:
        _entry(position, lots, money)
    s.open_interest[market] -= position.qty if position.qty > 0 else 0
    position.qty += lots
    if rarely(s.keeps) and _grew(before, position.qty) and not PLANTED(s.planted, 63):
        s.grandfathered[<size_t>account * s.markets + market] = 0
    s.open_interest[market] += position.qty if position.qty > 0 else 0
    touch(s, account)


cdef inline bint _grew(int64_t before, int64_t after) noexcept nogil:
    """It grew, turned, or is another one: it keeps no table of before a change of rules."""
    return after and not (0 < after <= before or before <= after < 0)


cdef void _entry(Position* position, int64_t lots, money_t money) noexcept nogil:
    """Keep the value paid for what is open; a part that closes takes its share of it with it, rounded down."""
    cdef int64_t before = position.qty
    cdef int64_t held = before if before > 0 else -before
    cdef int64_t traded = lots if lots > 0 else -lots
    cdef int64_t closed
    if before == 0 or (before > 0) == (lots > 0):
        position.entry += money
        return
    closed = traded if traded < held else held
    position.entry -= muldiv_floor(position.entry, closed, held)
    if traded > closed:
        position.entry = money - muldiv_floor(money, closed, traded)
