"""Sub-accounts. A switch moves the position with its entry value, so that its unrealised profit goes with it, and some margin."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.ledger cimport ledger_flow
from engine.margin cimport margin_free, margin_has_requirements, margin_may_withdraw, margin_profit_haircut, margin_requirements, margin_spare_equity
from engine.money cimport BALANCE_MAX, MONEY_IN_MAX, money_hi, money_join, money_lo, money_min, money_t
from engine.records cimport (
    FLOW_AUTO_ADD, FLOW_MODE, FLOW_TRANSFER, OUT_AUTO_ADD_SET, OUT_FLOW, OUT_MOVED, PERMIT_DEFER, SIDE_BUY, SIDE_SELL,
    STATUS_NORMAL, WHY_BAD_AMOUNT, WHY_BAD_SETTING, WHY_HAS_ORDERS, WHY_IN_LIQUIDATION,
    WHY_INSUFFICIENT_BALANCE, WHY_INSUFFICIENT_MARGIN, WHY_NO_POSITION, WHY_NONE, WHY_NOT_FLAT, WHY_NOT_RELATED, WHY_UNKNOWN_ACCOUNT,
    WHY_UNKNOWN_ASSET, WHY_UNKNOWN_MARKET, Event,
)
from engine.state cimport Evaluation, Position, State, emit, touch


cdef void accounts_open(State* s, uint32_t account, uint32_t owner) noexcept nogil:
    s.accounts[account].owner, s.accounts[account].opened = owner, 1
    if account >= s.accounts_high:
        s.accounts_high = account + 1
    accounts_join(s, account)


cdef void accounts_join(State* s, uint32_t account) noexcept nogil:
    """Join the circle of its owner's accounts, or start one: who asks for them walks it, and not all accounts."""
    cdef uint32_t owner = s.accounts[account].owner
    cdef uint32_t at = (owner * <uint32_t>0x9E3779B1) & s.owners_mask
    cdef uint32_t first
    while s.owners[at] and s.accounts[s.owners[at]].owner != owner:
        at = (at + 1) & s.owners_mask
    first = s.owners[at]
    if first:
        s.accounts[account].sibling, s.accounts[first].sibling = s.accounts[first].sibling, account
    else:
        s.accounts[account].sibling = s.owners[at] = account


cdef int accounts_may_give(State* s, uint32_t account, int asset, money_t amount) noexcept nogil:
    """A withdrawal or a transfer leaves the wallet at or above 0 and equity, less a haircut on profit, at initial margin."""
    cdef money_t* balance = &s.balances[<size_t>account * s.assets + asset]
    cdef bint enough
    cdef int why
    if s.accounts[account].status != STATUS_NORMAL:
        return WHY_IN_LIQUIDATION
    why = margin_may_withdraw(s, account, -1)
    if why:
        return why
    if margin_free(s, account, asset) < amount:
        return WHY_INSUFFICIENT_BALANCE
    balance[0] -= amount
    enough = margin_spare_equity(s, account, s.numeraire, 0) - margin_profit_haircut(s, account) >= margin_requirements(s, account)
    balance[0] += amount
    return WHY_NONE if enough else WHY_INSUFFICIENT_MARGIN


cdef int accounts_transfer(State* s, const Event* e) noexcept nogil:
    """Between accounts of one owner."""
    cdef money_t amount = money_join(e.amount_lo, e.amount_hi)
    cdef int why
    if not is_user(s, e.account) or not _is_user(s, e.qty):
        return WHY_UNKNOWN_ACCOUNT
    if e.qty == e.account or s.accounts[e.account].owner != s.accounts[e.qty].owner:
        return WHY_NOT_RELATED
    if e.asset >= s.assets:
        return WHY_UNKNOWN_ASSET
    if not 0 < amount <= MONEY_IN_MAX or s.balances[<size_t>e.qty * s.assets + e.asset] + amount > BALANCE_MAX:
        return WHY_BAD_AMOUNT
    why = accounts_may_give(s, e.account, e.asset, amount)
    if not why:
        ledger_flow(s, FLOW_TRANSFER, e.account, <uint32_t>e.qty, e.asset, amount)
    return why


cdef inline bint _is_user(State* s, int64_t account) noexcept nogil:
    return account > 0 and is_user(s, <uint64_t>account)


cdef int accounts_auto_add_set(State* s, const Event* e) noexcept nogil:
    if not is_user(s, e.account) or not s.accounts[e.account].has_parent:
        return WHY_UNKNOWN_ACCOUNT
    if e.qty != 0 and e.qty != 1:
        return WHY_BAD_SETTING
    s.accounts[e.account].auto_add = <unsigned char>e.qty
    o = emit(s, OUT_AUTO_ADD_SET)
    o.account, o.qty = e.account, e.qty
    return WHY_NONE


cdef inline bint _is_parent(State* s, uint32_t account, uint32_t other) noexcept nogil:
    return s.accounts[other].has_parent and s.accounts[other].parent == account


cdef bint _has_orders(State* s, uint32_t account, int market) noexcept nogil:
    """An order of the account in the market rests or waits."""
    cdef int32_t place = s.accounts[account].orders_head
    while place:
        if s.orders[place].market == market:
            return True
        place = s.orders[place].account_next
    return False


cdef int accounts_mode(State* s, const Event* e) noexcept nogil:
    """Move a whole position between a parent and its sub-account. Both must have initial margin after it."""
    cdef money_t amount = money_join(e.amount_lo, e.amount_hi)
    cdef uint32_t other
    cdef int why
    if not is_user(s, e.account) or not _is_user(s, e.qty):
        return WHY_UNKNOWN_ACCOUNT
    other = <uint32_t>e.qty
    if e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if not _is_parent(s, e.account, other) and not _is_parent(s, other, e.account):
        return WHY_NOT_RELATED
    if s.accounts[e.account].status != STATUS_NORMAL or s.accounts[other].status != STATUS_NORMAL:
        return WHY_IN_LIQUIDATION
    if not 0 <= amount <= MONEY_IN_MAX or s.balances[<size_t>other * s.assets + s.numeraire] + amount > BALANCE_MAX:
        return WHY_BAD_AMOUNT
    if not s.positions[<size_t>e.account * s.markets + e.market].qty:
        return WHY_NO_POSITION
    if s.positions[<size_t>other * s.markets + e.market].qty:
        return WHY_NOT_FLAT
    if _has_orders(s, e.account, e.market) or _has_orders(s, other, e.market):
        return WHY_HAS_ORDERS
    why = margin_may_withdraw(s, e.account, e.market)
    if not why:
        why = margin_may_withdraw(s, other, e.market)
    if why:
        return why
    if margin_free(s, e.account, s.numeraire) < amount:
        return WHY_INSUFFICIENT_BALANCE
    return _move(s, e.account, other, e.market, amount)


cdef int _move(State* s, uint32_t account, uint32_t other, int market, money_t amount) noexcept nogil:
    cdef Position* p = &s.positions[<size_t>account * s.markets + market]
    cdef Position* q = &s.positions[<size_t>other * s.markets + market]
    cdef money_t entry = p.entry
    cdef int64_t lots = p.qty
    _put(s, account, p, 0, 0, entry - amount)
    _put(s, other, q, lots, entry, amount - entry)
    if not margin_has_requirements(s, account) or not margin_has_requirements(s, other):
        _put(s, account, p, lots, entry, amount - entry)
        _put(s, other, q, 0, 0, entry - amount)
        return WHY_INSUFFICIENT_MARGIN
    touch(s, account)
    touch(s, other)
    if s.keeps:
        s.grandfathered[<size_t>other * s.markets + market] = s.grandfathered[<size_t>account * s.markets + market]
        s.grandfathered[<size_t>account * s.markets + market] = 0
    o = emit(s, OUT_MOVED)
    o.account, o.other, o.market, o.side, o.flow = account, other, market, SIDE_BUY if lots > 0 else SIDE_SELL, FLOW_MODE
    o.qty, o.money_lo, o.money_hi = lots if lots > 0 else -lots, money_lo(entry), money_hi(entry)
    if amount:
        o = emit(s, OUT_FLOW)
        o.account, o.other, o.asset, o.flow = account, other, s.numeraire, FLOW_TRANSFER
        o.money_lo, o.money_hi = money_lo(amount), money_hi(amount)
    return WHY_NONE


cdef inline void _put(State* s, uint32_t account, Position* p, int64_t lots, money_t entry, money_t cash) noexcept nogil:
    p.qty, p.entry = lots, entry
    s.balances[<size_t>account * s.assets + s.numeraire] += cash


cdef bint accounts_auto_add(State* s, uint32_t account, const Evaluation* e) noexcept nogil:
    """Take margin from the parent, up to what brings the sub-account back to initial margin.

    The parent keeps initial margin: who gives is not liquidated for it.
    """
    cdef uint32_t parent = s.accounts[account].parent
    cdef money_t spare, kept, amount
    if not s.accounts[account].auto_add or not e.open or e.permit >= PERMIT_DEFER:
        return False
    if s.accounts[parent].status != STATUS_NORMAL or margin_may_withdraw(s, parent, -1):
        return False
    kept = margin_requirements(s, parent) + margin_profit_haircut(s, parent)
    spare = money_min(
        margin_free(s, parent, s.numeraire), margin_spare_equity(s, parent, s.numeraire, 0) - kept
    )
    amount = money_min(spare, margin_requirements(s, account) - e.equity)
    amount = money_min(amount, BALANCE_MAX - s.balances[<size_t>account * s.assets + s.numeraire])
    if amount <= 0:
        return False
    ledger_flow(s, FLOW_AUTO_ADD, parent, account, s.numeraire, amount)
    return True
