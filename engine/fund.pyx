"""The insurance fund: pay min(available, shortfall); what is missing is a FUND_SHORT."""
from libc.stdint cimport uint32_t

from engine.ledger cimport ledger_flow
from engine.money cimport money_hi, money_lo, money_max, money_min, money_t
from engine.records cimport CHART_FUND, FLOW_FUND_PAYMENT, OUT_FUND_SHORT, PLANTED
from engine.state cimport State, emit


cdef void fund_pay(State* s, uint32_t account, money_t shortfall) noexcept nogil:
    cdef money_t available = money_max(0, s.balances[<size_t>CHART_FUND * s.assets + s.numeraire])
    cdef money_t paid = shortfall if PLANTED(s.planted, 9) else money_min(available, shortfall)
    if paid:
        ledger_flow(s, FLOW_FUND_PAYMENT, CHART_FUND, account, s.numeraire, paid)
    if paid < shortfall:
        o = emit(s, OUT_FUND_SHORT)
        o.account = account
        o.money_lo, o.money_hi = money_lo(shortfall - paid), money_hi(shortfall - paid)
