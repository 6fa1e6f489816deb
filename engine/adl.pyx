"""Auto-deleveraging: what neither book nor backstop took is closed against the other side. The same steps as specs/model/adl.py.

First the owner's own opposite positions, at the mark: no value moves. Then a queue of winners at the bankruptcy price: score,
highest first, of equals the lower account id; each closes what it holds, or what its equity can bear at that price.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport qsort

from engine.fund cimport fund_measure
from engine.ledger cimport ledger_exchange
from engine.margin cimport conversion_equity, margin_evaluate, margin_permit, margin_position, margin_wallet
from engine.money cimport cmp_ratio, money_hi, money_lo, money_max, money_min, money_scale, money_t, muldiv_ceil, muldiv_floor
from engine.orders cimport order_cancel, order_trim
from engine.records cimport (
    ACT_ADL, FLOW_ADL, OUT_ADL, PERMIT_DEFER, PLANTED, SEAM_ADL_RANK, SEAM_ADL_TRIGGER, SIDE_BUY, SIDE_SELL, STAGE_ADL, STATUS_NORMAL,
    USERS_FROM, WHY_DELEVERAGED, WHY_NONE, WHY_OWN_LEG,
)
from engine.seams cimport seam_decision, seam_price
from engine.trigger cimport triggered
from engine.state cimport Candidate, Evaluation, Position, StageRule, State, emit

cdef enum:
    PPB = 1000000000
    SCORE_MAX_PPB = 1000000000000000000


cdef void adl_run(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    """Close positions of the account for which the stage is entered, while it is triggered."""
    cdef int market
    for market in range(s.markets):
        if not _qty(s, account, market) or margin_permit(s, market, ACT_ADL) >= PERMIT_DEFER or not _still(s, account):
            continue
        if _entered(s, market, rule):
            _net_own_legs(s, account, market)
            if _qty(s, account, market) and _still(s, account):
                _queue(s, account, market)


cdef bint _still(State* s, uint32_t account) noexcept nogil:
    cdef Evaluation e = margin_evaluate(s, account)
    return triggered(s, account, &e)


cdef inline int64_t _qty(State* s, uint32_t account, int market) noexcept nogil:
    return s.positions[<size_t>account * s.markets + market].qty


cdef inline int64_t _abs(int64_t x) noexcept nogil:
    return x if x >= 0 else -x


cdef bint _entered(State* s, int market, const StageRule* rule) noexcept nogil:
    """The fund is as low as the row wants it."""
    return seam_decision(s, SEAM_ADL_TRIGGER, market, not rule.fund_counts or fund_measure(s) <= rule.fund_limit)


cdef inline bint _opposite(State* s, uint32_t other, int market, bint long) noexcept nogil:
    cdef int64_t qty = _qty(s, other, market)
    return qty < 0 if long else qty > 0


cdef void _net_own_legs(State* s, uint32_t account, int market) noexcept nogil:
    """Close against opposite positions of the same owner, by account number, at the mark."""
    cdef bint long = _qty(s, account, market) > 0
    cdef int64_t lots, held
    cdef uint32_t other
    for other in range(USERS_FROM, s.accounts_high):
        if _opposite(s, other, market, long) and s.accounts[other].owner == s.accounts[account].owner:
            lots, held = _abs(_qty(s, account, market)), _abs(_qty(s, other, market))
            if lots:
                _close(s, account, other, market, lots if lots < held else held, 0, WHY_OWN_LEG)


cdef void _queue(State* s, uint32_t account, int market) noexcept nogil:
    """Close down the queue. The share of the margin is split over the lots; what is split telescopes to its total."""
    cdef int64_t lots = _abs(_qty(s, account, market))
    cdef money_t share = _transfer_share(s, account, market)
    cdef int64_t done = 0
    cdef int64_t qty
    cdef money_t part
    cdef int count = _candidates(s, account, market, lots, share)
    cdef int i
    cdef int32_t place, following
    for i in range(count):
        qty = s.candidates[i].capacity if s.candidates[i].capacity < lots - done else lots - done
        if not qty:
            continue
        part = muldiv_ceil(share, done + qty, lots) - muldiv_ceil(share, done, lots)
        place = s.accounts[s.candidates[i].account].orders_head
        while place:
            following = s.orders[place].account_next
            if s.orders[place].market == market:
                order_cancel(s, place, WHY_DELEVERAGED, STAGE_ADL)
            place = following
        _close(s, account, s.candidates[i].account, market, qty, part, WHY_NONE)
        done += qty


cdef money_t _transfer_share(State* s, uint32_t account, int market) noexcept nogil:
    """What the account gives up beside the value at the mark: its margin by maintenance, rounded up; a debt is negative."""
    cdef money_t equity = conversion_equity(s, account)
    cdef money_t need = margin_position(s, account, market)
    cdef money_t maintenance = margin_evaluate(s, account).maintenance
    return muldiv_ceil(equity, need, maintenance) if need < maintenance else equity


cdef int _candidates(State* s, uint32_t account, int market, int64_t lots, money_t share) noexcept nogil:
    """Fill s.candidates in the order in which they are deleveraged; return how many.

    Eligible: another owner, the other side, not in liquidation.
    """
    cdef bint long = _qty(s, account, market) > 0
    cdef uint32_t other
    cdef int count = 0
    for other in range(USERS_FROM, s.accounts_high):
        if not _opposite(s, other, market, long) or s.accounts[other].owner == s.accounts[account].owner:
            continue
        if s.accounts[other].status != STATUS_NORMAL:
            continue
        c = &s.candidates[count]
        c.account, c.score, c.capacity = other, adl_score(s, other, market), _capacity(s, other, market, lots, share)
        count += 1
    if count > 1:
        qsort(s.candidates, count, sizeof(Candidate), _by_account if PLANTED(s.planted, 11) else _by_score)
    return count


cdef int _by_account(const void* left, const void* right) noexcept nogil:
    cdef uint32_t a = (<const Candidate*>left).account
    cdef uint32_t b = (<const Candidate*>right).account
    return (a > b) - (a < b)


cdef int _by_score(const void* left, const void* right) noexcept nogil:
    """Highest score first."""
    cdef int64_t a = (<const Candidate*>left).score
    cdef int64_t b = (<const Candidate*>right).score
    return (a < b) - (a > b) if a != b else _by_account(left, right)


cdef int64_t _capacity(State* s, uint32_t other, int market, int64_t lots, money_t share) noexcept nogil:
    """The lots that the counterparty can close: what it holds, and no more than its equity bears of a debt's share."""
    cdef int64_t held = _abs(_qty(s, other, market))
    cdef money_t equity
    if share >= 0:
        return held
    equity = money_max(0, margin_evaluate(s, other).equity)
    if cmp_ratio(equity, -share, held, lots) >= 0:
        return held
    return <int64_t>muldiv_floor(equity, lots, -share)


cdef int64_t adl_score(State* s, uint32_t account, int market) noexcept nogil:
    """floor(floor(10^9 x unrealised profit / max(1, wallet)) x maintenance / equity), at most SCORE_MAX_PPB.

    A loss scores 0, so does an account without equity; a margin ratio counts as at most 1.
    """
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    cdef Evaluation e = margin_evaluate(s, account)
    cdef money_t profit = money_scale(s.marks[market].value, p.qty) - p.entry
    cdef money_t wallet = money_max(s.one, margin_wallet(s, account, s.numeraire))
    cdef int64_t score = 0
    if profit > 0 and e.equity > 0:
        score = SCORE_MAX_PPB
        if cmp_ratio(profit, wallet, SCORE_MAX_PPB // PPB, 1) < 0:
            score = <int64_t>muldiv_floor(profit, PPB, wallet)
        score = <int64_t>muldiv_floor(score, money_min(e.maintenance, e.equity), e.equity)
    return score if seam_price(s, SEAM_ADL_RANK, account, True, &score) else 0


cdef void _close(State* s, uint32_t account, uint32_t other, int market, int64_t lots, money_t part, int why) noexcept nogil:
    """Close lots of both sides: the account gets their value at the mark less `part`."""
    cdef bint long = _qty(s, account, market) > 0
    cdef money_t value = money_scale(s.marks[market].value, lots)
    if long:
        ledger_exchange(s, other, account, market, lots, value - part)
    else:
        ledger_exchange(s, account, other, market, lots, value + part)
    o = emit(s, OUT_ADL)
    o.account, o.other, o.market, o.side = account, other, market, SIDE_BUY if long else SIDE_SELL
    o.qty, o.price, o.reason, o.flow = lots, s.marks[market].published.last_valid, why, FLOW_ADL
    value = (value if long else -value) - part
    o.money_lo, o.money_hi = money_lo(value), money_hi(value)
    order_trim(s, account, market)
    order_trim(s, other, market)
