"""The insurance fund: pay min(available, shortfall); what is missing is a FUND_SHORT."""
from libc.stdint cimport uint32_t

from engine.ledger cimport ledger_flow
from engine.money cimport money_hi, money_lo, money_max, money_min, money_scale, money_t
from engine.records cimport CHART_BACKSTOP, CHART_FUND, FLOW_FUND_PAYMENT, OUT_FUND_SHORT, PLANTED
from engine.state cimport State, emit


cdef money_t fund_measure(State* s) noexcept nogil:
    """The fund's cash, or net with the backstop's cash and positions at the marks."""
    cdef money_t measured = s.balances[<size_t>CHART_FUND * s.assets + s.numeraire]
    cdef int i
    if s.fund_net:
        measured += s.balances[<size_t>CHART_BACKSTOP * s.assets + s.numeraire]
        for i in range(s.markets):
            measured += money_scale(s.marks[i].value, s.positions[<size_t>CHART_BACKSTOP * s.markets + i].qty)
    return measured


cdef void fund_pay(State* s, uint32_t account, money_t shortfall) noexcept nogil:
    cdef money_t available = money_max(0, s.balances[<size_t>CHART_FUND * s.assets + s.numeraire])
    cdef money_t paid = shortfall if PLANTED(s.planted, 9) else money_min(available, shortfall)
    if paid:
        ledger_flow(s, FLOW_FUND_PAYMENT, CHART_FUND, account, s.numeraire, paid)
    if paid < shortfall:
        o = emit(s, OUT_FUND_SHORT)
        o.account = account
        o.money_lo, o.money_hi = money_lo(shortfall - paid), money_hi(shortfall - paid)
