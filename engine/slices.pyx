"""What a slice of a liquidation closes. The same rules as specs/model/slices.py."""
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from engine.margin cimport margin_bracket, margin_notional, margin_of, margin_position
from engine.money cimport cmp_ratio, div_ceil, div_floor, money_abs, money_max, money_min, money_scale, money_t, muldiv_ceil, muldiv_floor
from engine.orders cimport order_available
from engine.records cimport PLANTED, SELF_AS_MARKET, SIDE_BUY, SIDE_SELL, TIF_IOC
from engine.state cimport (
    CHOICE_LOSS, CHOICE_NOTIONAL, CHOICE_RATE, SIZE_ALL, SIZE_RESTORE, SIZE_SHORTAGE, SIZE_TIERS, Bracket, Episode, Evaluation, MarketRule, StageRule, State, Ticket,
)

cdef enum:
    PPM = 1000000
    QTY_MAX = 1000000000


cdef int slices_choose(State* s, uint32_t account, int choice) noexcept nogil:
    """The market of the position that is closed next; of equals the lowest number."""
    cdef int best = -1
    cdef int i
    for i in range(s.markets):
        if s.positions[<size_t>account * s.markets + i].qty and (best < 0 or _more(s, account, choice, i, best)):
            best = i
    return best


cdef bint _more(State* s, uint32_t account, int choice, int a, int b) noexcept nogil:
    cdef money_t left = money_scale(s.marks[a].value, s.positions[<size_t>account * s.markets + a].qty)
    cdef money_t right = money_scale(s.marks[b].value, s.positions[<size_t>account * s.markets + b].qty)
    if PLANTED(s.planted, 55):
        choice = 0
    if choice == CHOICE_NOTIONAL:
        return money_abs(left) > money_abs(right)
    if choice == CHOICE_LOSS:
        left = s.positions[<size_t>account * s.markets + a].entry - left
        return left > s.positions[<size_t>account * s.markets + b].entry - right
    if choice == CHOICE_RATE:
        left, right = left if left else 1, right if right else 1
        return cmp_ratio(margin_position(s, account, a), money_abs(left), margin_position(s, account, b), money_abs(right)) > 0
    return margin_position(s, account, a) > margin_position(s, account, b)


cdef int64_t slices_lots(State* s, uint32_t account, int market, const StageRule* rule, const Evaluation* e, int64_t limit) noexcept nogil:
    """The lots of a slice: what its quantity asks, capped by time and by the position."""
    cdef int64_t held = s.positions[<size_t>account * s.markets + market].qty
    cdef int64_t qty = held if held > 0 else -held
    cdef money_t value = money_max(1, money_abs(s.marks[market].value))
    cdef money_t asked, most
    if rule.size == SIZE_ALL:
        asked = qty
    elif rule.size == SIZE_RESTORE:
        asked = _restore(s, account, market, qty, _charged_ppm(s, account, market, rule), e)
    elif rule.size == SIZE_SHORTAGE:
        asked = _shortage(s, account, market, rule, qty, value, e)
    elif rule.size == SIZE_TIERS:
        asked = _tiers(s, account, market, rule, qty)
    else:
        asked = _part(s, account, market, rule, held, value, limit)
    if asked and rule.timed:
        asked = _in_time(s, account, rule, e, asked)
    if asked and rule.share_ppm:
        most = money_max(money_max(1, money_scale(qty, rule.share_ppm) // PPM), rule.share_least // value)
        asked = money_min(money_min(money_max(asked, div_ceil(rule.share_least, value)), most), qty)
    if asked and rule.window_notional:
        asked = money_min(asked, div_ceil(rule.window_notional - _notional_used(s, account, rule), value))
    return <int64_t>asked


cdef inline bint _this_window(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    """What the account has used it used in the window of now."""
    return s.episodes[account].window == s.now // rule.window_ns and not PLANTED(s.planted, 73)


cdef inline money_t _notional_used(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    return s.episodes[account].window_notional if _this_window(s, account, rule) else 0


cdef inline money_t _insurance_used(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    return s.episodes[account].window_insurance if _this_window(s, account, rule) else 0


cdef void slices_use(State* s, uint32_t account, const StageRule* rule, money_t notional, money_t insurance) noexcept nogil:
    """Count what a slice closed, or what the fund paid for it."""
    cdef Episode* episode = &s.episodes[account]
    notional += _notional_used(s, account, rule)
    insurance += _insurance_used(s, account, rule)
    episode.window, episode.window_notional, episode.window_insurance = s.now // rule.window_ns, notional, insurance


cdef money_t slices_insurance_left(State* s, uint32_t account, const StageRule* rule, money_t most) noexcept nogil:
    """What the fund may still pay for the account's slices in this window, at most `most`."""
    return money_min(most, rule.window_insurance - _insurance_used(s, account, rule)) if rule.window_insurance else most


cdef bint slices_used_up(State* s, uint32_t account) noexcept nogil:
    """The account waits for the next window of the block limit."""
    cdef const StageRule* rule = s.book_rule
    if rule == NULL or not rule.window_ns:
        return False
    if rule.window_notional and _notional_used(s, account, rule) >= rule.window_notional:
        return True
    return rule.window_insurance and _insurance_used(s, account, rule) >= rule.window_insurance


cdef bint _safe(
    State* s, uint32_t account, int market, int64_t lots, int64_t qty, int64_t fee_ppm, const Evaluation* e, money_t others
) noexcept nogil:
    cdef money_t value = money_abs(s.marks[market].value)
    cdef money_t fee = div_ceil(money_scale(money_scale(value, lots), fee_ppm), PPM)
    cdef money_t rest = margin_of(s, account, market, qty - lots) if lots < qty else 0
    return e.equity - fee > others + rest


cdef int64_t _charged_ppm(State* s, uint32_t account, int market, const StageRule* rule) noexcept nogil:
    """What a slice is taken to pay the fund: the most that its insurance takes, or the fee."""
    return rule.fee_ppm if rule.insured else _fee_ppm(s, account, market)


cdef int64_t _restore(State* s, uint32_t account, int market, int64_t qty, int64_t fee_ppm, const Evaluation* e) noexcept nogil:
    """The lots that make the account safe if they close at the mark and pay the liquidation fee; all if none do.

    Found by bisection between 0 (unsafe) and the whole position (safe), as in the model.
    """
    cdef money_t others = e.maintenance - margin_position(s, account, market)
    cdef int64_t unsafe = 0
    cdef int64_t enough = qty
    cdef int64_t middle
    if _safe(s, account, market, 0, qty, fee_ppm, e, others) or not _safe(s, account, market, qty, qty, fee_ppm, e, others):
        return qty
    while enough - unsafe > 1:
        middle = (unsafe + enough) // 2
        if _safe(s, account, market, middle, qty, fee_ppm, e, others):
            enough = middle
        else:
            unsafe = middle
    return enough


cdef money_t _shortage(
    State* s, uint32_t account, int market, const StageRule* rule, int64_t qty, money_t value, const Evaluation* e
) noexcept nogil:
    """The lots whose closing frees maintenance - equity, rounded down; all where closing frees nothing."""
    cdef const Bracket* row = margin_bracket(s, market, margin_notional(s, account, market))
    cdef int64_t freed_ppm = <int64_t>div_floor(money_scale(row.rate, PPM), row.rate_of) - rule.size_ppm
    cdef money_t short_of = money_max(0, e.maintenance - e.equity)
    freed_ppm -= _charged_ppm(s, account, market, rule)
    if freed_ppm <= 0:
        return qty
    return money_min(qty, money_max(1, muldiv_floor(short_of, PPM, money_scale(value, freed_ppm))))


cdef money_t _tiers(State* s, uint32_t account, int market, const StageRule* rule, int64_t qty) noexcept nogil:
    """The lots beyond the cap of a lower bracket; none in the first."""
    cdef const Bracket* first = &s.brackets[s.market_rules[market].brackets_from]
    cdef money_t notional = margin_notional(s, account, market)
    cdef int at = <int>(margin_bracket(s, market, notional) - first)
    cdef int to = at - rule.size_down if at > rule.size_down else 0
    if not at:
        return 0
    return money_max(0, qty - muldiv_floor(first[to].notional_max, qty, notional))


cdef money_t _part(
    State* s, uint32_t account, int market, const StageRule* rule, int64_t held, money_t value, int64_t limit
) noexcept nogil:
    """A share of the position, up to a lot, or all of a small one; at most a share of what the book holds inside the bound."""
    cdef int64_t qty = held if held > 0 else -held
    cdef bint whole = qty <= rule.size_lots or money_scale(value, qty) <= rule.size_notional
    cdef money_t asked = qty if whole else div_ceil(money_scale(qty, rule.size_ppm), PPM)
    cdef Ticket t
    if not rule.size_book_ppm:
        return asked
    memset(&t, 0, sizeof(Ticket))
    t.account, t.market, t.side, t.tif, t.price, t.qty = account, market, SIDE_SELL if held > 0 else SIDE_BUY, TIF_IOC, limit, QTY_MAX
    t.self_trade = SELF_AS_MARKET
    return money_min(asked, money_scale(order_available(s, &t, limit), rule.size_book_ppm) // PPM)


cdef money_t _in_time(State* s, uint32_t account, const StageRule* rule, const Evaluation* e, money_t asked) noexcept nogil:
    """At most initial + elapsed / duration of it, rounded down, at least a lot; all while little is short."""
    cdef int64_t elapsed = s.now - s.episodes[account].since_ns
    cdef money_t share
    if e.maintenance - e.equity < rule.time_small or elapsed >= rule.time_duration_ns or PLANTED(s.planted, 52):
        return asked
    share = money_scale(rule.time_initial_ppm, rule.time_duration_ns) + money_scale(elapsed, PPM)
    return money_min(asked, money_max(1, muldiv_floor(asked, share, money_scale(PPM, rule.time_duration_ns))))


cdef int64_t _fee_ppm(State* s, uint32_t account, int market) noexcept nogil:
    """The liquidation fee's rate now, before what closing leaves is looked at."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t elapsed = s.now - s.episodes[account].since_ns
    cdef money_t grown
    if not rule.fee_every_ns or elapsed < rule.fee_grace_ns or PLANTED(s.planted, 54):
        return rule.liquidation_ppm
    grown = rule.liquidation_ppm + money_scale(elapsed // rule.fee_every_ns, rule.fee_step_ppm)
    return <int64_t>money_min(rule.fee_max_ppm, grown)


cdef money_t slices_fee(State* s, uint32_t account, int market, money_t notional, money_t held, const Evaluation* e) noexcept nogil:
    """The fee on what a slice traded, rounded up."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef money_t most = div_ceil(money_scale(notional, _fee_ppm(s, account, market)), PPM)
    cdef const Bracket* row
    cdef money_t left
    if not rule.left_share_ppm:
        return most
    row = margin_bracket(s, market, held)
    left = money_scale(held, <int64_t>div_ceil(money_scale(row.rate, PPM), row.rate_of) - rule.left_discount_ppm)
    left = money_max(0, left - money_scale(money_max(0, e.maintenance - e.equity), PPM))
    if not left:
        return 0
    return money_min(most, muldiv_ceil(notional, muldiv_ceil(left, rule.left_share_ppm, PPM), money_scale(held, PPM)))
