"""The insurance fund: pay min(available, shortfall); what is missing is a FUND_SHORT. And what it gets or pays of a slice."""
from libc.stdint cimport int64_t, uint32_t

from engine.bankruptcy cimport closing_value
from engine.ledger cimport ledger_flow
from engine.money cimport div_ceil, money_abs, money_hi, money_lo, money_max, money_min, money_scale, money_t
from engine.records cimport CHART_BACKSTOP, CHART_FUND, FLOW_FUND_PAYMENT, FLOW_LIQUIDATION_FEE, OUT_FUND_SHORT, PLANTED
from engine.slices cimport slices_insurance_left, slices_use
from engine.state cimport Evaluation, StageRule, State, emit

cdef enum:
    PPM = 1000000


cdef money_t fund_measure(State* s) noexcept nogil:
    """The fund's cash, or net with the backstop's cash and positions at the marks."""
    cdef money_t measured = s.balances[<size_t>CHART_FUND * s.assets + s.numeraire]
    cdef int i
    if s.fund_net:
        measured += s.balances[<size_t>CHART_BACKSTOP * s.assets + s.numeraire]
        for i in range(s.markets):
            measured += money_scale(s.marks[i].value, s.positions[<size_t>CHART_BACKSTOP * s.markets + i].qty)
    return measured


cdef money_t _available(State* s) noexcept nogil:
    """The fund's cash above its floor, and no more in one event than its row allows."""
    cdef money_t free = money_max(0, s.balances[<size_t>CHART_FUND * s.assets + s.numeraire] - s.fund_floor)
    if not s.fund_capped:
        return free
    return money_min(free, s.fund_event_max - (s.fund_paid if s.fund_event == s.event else 0))


cdef money_t fund_pay(State* s, uint32_t account, money_t shortfall, money_t most) noexcept nogil:
    """Pay min(available, shortfall, most); the rest is a FUND_SHORT. Return what was paid."""
    cdef money_t paid = shortfall if PLANTED(s.planted, 9) else money_min(money_min(_available(s), shortfall), most)
    if PLANTED(s.planted, 48):
        paid = money_min(money_max(0, s.balances[<size_t>CHART_FUND * s.assets + s.numeraire]), shortfall)
    if paid:
        s.fund_paid = paid + (s.fund_paid if s.fund_event == s.event else 0)
        s.fund_event = s.event
        ledger_flow(s, FLOW_FUND_PAYMENT, CHART_FUND, account, s.numeraire, paid)
    if paid < shortfall:
        o = emit(s, OUT_FUND_SHORT)
        o.account = account
        o.money_lo, o.money_hi = money_lo(shortfall - paid), money_hi(shortfall - paid)
    return paid


cdef void fund_settle_slice(
    State* s, uint32_t account, int market, const StageRule* rule, int64_t held, money_t got, const Evaluation* e
) noexcept nogil:
    """Pay or get the insurance delta of a slice: what it brought less the bankruptcy value of the lots that it closed."""
    cdef int64_t lots = s.positions[<size_t>account * s.markets + market].qty - held
    cdef money_t delta = got - closing_value(s, account, market, held, lots, e) if lots else 0
    cdef money_t paid
    if delta < 0:
        paid = fund_pay(s, account, -delta, slices_insurance_left(s, account, rule, -delta))
        if rule.window_ns:
            slices_use(s, account, rule, 0, paid)
    if not PLANTED(s.planted, 47):
        delta = money_min(delta, div_ceil(money_scale(money_abs(got), rule.fee_ppm), PPM))
    if delta > 0:
        ledger_flow(s, FLOW_LIQUIDATION_FEE, account, CHART_FUND, s.numeraire, delta)
