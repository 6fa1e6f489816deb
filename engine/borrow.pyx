"""Interest: what a user owes of an asset costs a rate of it at whole multiples of the interval, rounded up against who owes."""
from libc.stdint cimport int64_t, uint32_t

from engine.ledger cimport ledger_flow
from engine.margin cimport margin_wallet
from engine.money cimport BALANCE_MAX, div_ceil, money_scale, money_t
from engine.records cimport CHART_LENDERS, FLOW_INTEREST, OUT_INTEREST, PLANTED, USERS_FROM
from engine.state cimport State, emit

cdef enum:
    PPB = 1000000000


cdef int64_t borrow_next(State* s, int asset, int64_t now) noexcept nogil:
    cdef int64_t every = s.asset_rules[asset].borrow_every_ns
    return (now // every + 1) * every


cdef void borrow_charge(State* s, int asset) noexcept nogil:
    """Every user who owes some of the asset pays, in the order of ids; nothing on a debt beyond BALANCE_MAX."""
    cdef int64_t rate = s.asset_rules[asset].borrow_rate_ppb
    cdef money_t owed
    cdef uint32_t account
    o = emit(s, OUT_INTEREST)
    o.asset, o.price = asset, rate
    for account in range(USERS_FROM, s.accounts_high):
        owed = -margin_wallet(s, account, asset)
        if not 0 < owed <= BALANCE_MAX:
            continue
        if PLANTED(s.planted, 59):
            owed -= 1  # a debt of one unit costs nothing
        if owed:
            ledger_flow(s, FLOW_INTEREST, account, CHART_LENDERS, asset, div_ceil(money_scale(owed, rate), PPB))
