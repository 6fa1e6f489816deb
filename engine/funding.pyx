"""Funding at whole multiples of the interval. Payments telescope over the intervals: R(q * F_now) - R(q * F_then), R up."""
from libc.stdint cimport int64_t, uint32_t

from engine.book cimport book_mid
from engine.ledger cimport ledger_flow
from engine.margin cimport margin_grade_permit, margin_state_permit
from engine.money cimport FUNDING_BALANCES_MAX, div_floor, money_abs, money_hi, money_lo, money_max, money_min, money_mul, money_scale, money_t, muldiv_ceil
from engine.records cimport (
    ACT_FUNDING, CHART_FUNDING_RESIDUE, FLOW_FUNDING_PAID, FLOW_FUNDING_RECEIVED, GRADE_VALID, OUT_FUNDING, PERMIT_DEFER, PLANTED,
    SEAM_FUNDING_RATE, WHY_FUNDING_LIMIT, WHY_GRADE_REFUSED, WHY_MARKET_STATE, WHY_NONE,
)
from engine.seams cimport seam_price
from engine.state cimport Funding, MarketRule, Published, State, emit

cdef enum:
    PPB = 1000000000
    FUNDING_RATE_MAX_PPB = 100000000


cdef int64_t funding_next(State* s, int market, int64_t now) noexcept nogil:
    cdef int64_t every = s.market_rules[market].funding_every_ns
    return (now // every + 1) * every


cdef void funding_sample(State* s, int market) noexcept nogil:
    """(mid - index) / index in ppb, rounded down; none without a mid or a VALID index."""
    cdef const Published* index = &s.index_states[s.market_rules[market].index]
    cdef int64_t mid = 0
    if index.grade == GRADE_VALID and book_mid(s, market, &mid):
        s.funding_states[market].premium += div_floor(money_mul(mid - index.price, PPB), index.price)
        s.funding_states[market].samples += 1


cdef void funding_settle(State* s, int market) noexcept nogil:
    """Every position pays or receives; where grade, state or limit refuse it the interval is skipped."""
    cdef Funding* funding = &s.funding_states[market]
    cdef money_t before = funding.index
    cdef int64_t rate = _rate(&s.market_rules[market], funding)
    cdef int why = WHY_NONE
    cdef int64_t qty
    cdef money_t paid
    cdef uint32_t account
    funding.premium, funding.samples = 0, 0
    if (
        not seam_price(s, SEAM_FUNDING_RATE, market, True, &rate)
        or money_abs(rate) > FUNDING_RATE_MAX_PPB
        or margin_grade_permit(s, market, ACT_FUNDING) >= PERMIT_DEFER
    ):
        why = WHY_GRADE_REFUSED
    elif margin_state_permit(s, market, ACT_FUNDING) >= PERMIT_DEFER:
        why = WHY_MARKET_STATE
    elif _beyond(s):
        why = WHY_FUNDING_LIMIT
    if not why:
        funding.index += money_scale(money_abs(s.marks[market].value), rate)
    o = emit(s, OUT_FUNDING)
    o.market, o.price, o.reason = market, 0 if why else rate, why
    o.money_lo, o.money_hi = money_lo(funding.index), money_hi(funding.index)
    for account in range(s.accounts_high):
        qty = s.positions[<size_t>account * s.markets + market].qty
        if not qty:
            continue
        paid = funding_paid(before, funding.index, qty)
        if PLANTED(s.planted, 17):
            paid = _rounded(funding.index - before, qty)
        if paid > 0:
            ledger_flow(s, FLOW_FUNDING_PAID, account, CHART_FUNDING_RESIDUE, s.numeraire, paid)
        elif paid < 0:
            ledger_flow(s, FLOW_FUNDING_RECEIVED, CHART_FUNDING_RESIDUE, account, s.numeraire, -paid)


cdef bint _beyond(State* s) noexcept nogil:
    """The sizes of all balances of the settlement asset sum to more than FUNDING_BALANCES_MAX."""
    cdef money_t size = 0
    cdef uint32_t account
    for account in range(s.accounts_high):
        size += money_abs(s.balances[<size_t>account * s.assets + s.numeraire])
        if size > FUNDING_BALANCES_MAX:  # at once: a sum that goes on may leave 128 bits
            return True
    return False


cdef money_t funding_paid(money_t before, money_t index, int64_t qty) noexcept nogil:
    """R(qty * index) - R(qty * before). Whole 10^9 of both cancel, exactly: else qty times all intervals leaves 128 bits."""
    cdef money_t whole = div_floor(before, PPB) * PPB
    return _rounded(index - whole, qty) - _rounded(before - whole, qty)


cdef money_t _rounded(money_t index, int64_t qty) noexcept nogil:
    """R(qty * index): whole money, rounded up."""
    return muldiv_ceil(index if qty > 0 else -index, qty if qty > 0 else -qty, PPB)


cdef int64_t _rate(const MarketRule* rule, const Funding* funding) noexcept nogil:
    """clamp(P + clamp(interest - P, -damp, damp), -cap, cap), ppb."""
    cdef money_t premium = div_floor(funding.premium, funding.samples) if funding.samples else 0
    cdef money_t damped = money_max(-rule.damp_ppb, money_min(rule.damp_ppb, rule.interest_ppb - premium))
    return <int64_t>money_max(-rule.cap_ppb, money_min(rule.cap_ppb, premium + damped))
