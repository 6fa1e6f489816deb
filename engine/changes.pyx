"""Rules that change in flight: a row is announced, takes effect at its time, and may leave open positions their table.

The same steps as specs/model/changes.py. A market that a row changes has room in State.brackets for the table in force and, behind
it, for the one before it; both are state, and so are the numbers of a collateral row.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from engine.margin cimport margin_weigh
from engine.money cimport div_ceil, money_mul, money_scale, money_t
from engine.records cimport (
    OUT_CHANGE_ANNOUNCED, OUT_CHANGE_EFFECTIVE, OUT_CHANGE_ENDED, PLANTED, USERS_FROM, WHY_BAD_EFFECTIVE, WHY_CHANGE_BREAKS_BOUND,
    WHY_EXPIRED, WHY_NONE, WHY_UNKNOWN_CHANGE, WHY_USER, Event, Outcome,
)
from engine.state cimport BRACKETS_MAX, TIMES_MAX_NS, Bracket, ChangeRule, CollateralRule, MarketRule, State, Timer, change_timer, emit

cdef enum:
    PPM = 1000000


cdef int changes_post(State* s, const Event* e) noexcept nogil:
    if e.ref_id >= <uint32_t>s.changes:
        return WHY_UNKNOWN_CHANGE
    if e.qty and not s.now <= e.qty <= TIMES_MAX_NS:
        return WHY_BAD_EFFECTIVE
    if not _admissible(s, <int>e.ref_id):
        return WHY_CHANGE_BREAKS_BOUND
    _announce(s, <int>e.ref_id, e.qty if e.qty else s.now)
    return WHY_NONE


cdef int changes_withdraw(State* s, const Event* e) noexcept nogil:
    if e.ref_id >= <uint32_t>s.changes or not s.change_states[e.ref_id].announced:
        return WHY_UNKNOWN_CHANGE
    _forget(s, <int>e.ref_id)
    _end(s, <int>e.ref_id, WHY_USER, 0)
    return WHY_NONE


cdef bint _admissible(State* s, int number) noexcept nogil:
    """The change keeps its market's bounds, with the table in force now."""
    cdef Bracket rows[BRACKETS_MAX]
    return s.change_rules[number].market < 0 or _table_after(s, number, rows) > 0


cdef int _table_after(State* s, int number, Bracket* rows) noexcept nogil:
    """Fill in a market's table after a change and return its length; 0: it would break a bound."""
    cdef const ChangeRule* c = &s.change_rules[number]
    cdef const MarketRule* m = &s.market_rules[c.market]
    cdef int count = c.brackets_count if c.brackets_count else m.brackets_count
    cdef int i
    memcpy(rows, &s.brackets[c.brackets_from if c.brackets_count else m.brackets_from], count * sizeof(Bracket))
    if c.scale_ppm and not _scale(rows, count, c.scale_ppm, not m.whole):
        return 0
    for i in range(count):
        if c.leverage_max and rows[i].leverage_max > c.leverage_max:
            rows[i].leverage_max = c.leverage_max
        if c.scale_ppm and not _covers(m, &rows[i]):
            return 0
    return count


cdef bint _covers(const MarketRule* m, const Bracket* row) noexcept nogil:
    """The initial rate at the cap of leverage is at least the maintenance rate."""
    cdef bint own = money_mul(row.initial_ppm, row.rate_of) >= money_scale(money_mul(row.rate, PPM), row.leverage_max if m.divides else 1)
    return own or (not m.divides and money_mul(row.leverage_max, row.rate) <= row.rate_of)


cdef bint _scale(Bracket* rows, int count, int64_t scale_ppm, bint marginal) noexcept nogil:
    """Scale rates in ppm, rounded up, and find the amounts that keep marginal tiers continuous; False: it breaks a bound."""
    cdef money_t amount = 0
    cdef money_t step
    cdef int64_t rate
    cdef int i
    for i in range(count):
        rate = <int64_t>div_ceil(money_mul(rows[i].rate, scale_ppm), PPM)
        step = money_scale(rows[i - 1].notional_max, rate - rows[i - 1].rate) if i and marginal else 0
        if rate > PPM or step % PPM:
            return False
        amount += step // PPM
        rows[i].rate, rows[i].amount = rate, amount
    return True


cdef void _announce(State* s, int number, int64_t effective_ns) noexcept nogil:
    """Say from when on it will be in force; anew if it was announced before. What is in force at once waits for no timer."""
    s.change_states[number].announced, s.change_states[number].effective_ns = True, effective_ns
    o = _tell(s, OUT_CHANGE_ANNOUNCED, number)
    o.qty = effective_ns
    if effective_ns <= s.now or PLANTED(s.planted, 62):
        _take_effect(s, number)
    else:
        _at(s, number, effective_ns)


cdef void _at(State* s, int number, int64_t time_ns) noexcept nogil:
    cdef Timer* timer = change_timer(s, number)
    timer.armed, timer.time_ns = True, time_ns
    if time_ns < s.next_due:
        s.next_due = time_ns


cdef void _forget(State* s, int number) noexcept nogil:
    s.change_states[number].announced, s.change_states[number].effective_ns = False, 0
    change_timer(s, number).armed = False


cdef void changes_due(State* s, int number) noexcept nogil:
    """A change of the rule book is announced or takes effect, or what it left to open positions is over."""
    change_timer(s, number).armed = False
    if number >= s.changes:
        _end(s, number - s.changes, WHY_EXPIRED, _keep_nothing(s, s.change_rules[number - s.changes].market))
        s.due_state, s.bounds_ready = True, False
    elif s.change_states[number].announced:
        _take_effect(s, number)
    elif _admissible(s, number):
        _announce(s, number, s.change_rules[number].effective_ns)
    else:
        _end(s, number, WHY_CHANGE_BREAKS_BOUND, 0)


cdef void _take_effect(State* s, int number) noexcept nogil:
    """Put an announced change in force whole and value everybody anew; or drop it whole."""
    cdef const ChangeRule* c = &s.change_rules[number]
    cdef Bracket rows[BRACKETS_MAX]
    cdef int64_t kept = 0
    cdef int count
    _forget(s, number)
    if c.market < 0:
        _weigh(s, c, &s.collateral_rules[c.collateral])
        margin_weigh(s, c.collateral)
    else:
        count = _table_after(s, number, rows)
        if not count:
            _end(s, number, WHY_CHANGE_BREAKS_BOUND, 0)
            return
        if c.brackets_count or c.scale_ppm:
            kept = _grandfather(s, number)
        m = &s.market_rules[c.market]
        m.brackets_count = count
        memcpy(&s.brackets[m.brackets_from], rows, count * sizeof(Bracket))
    s.change_states[number].in_force, s.change_states[number].in_force_ns = True, s.now
    o = _tell(s, OUT_CHANGE_EFFECTIVE, number)
    o.qty = kept
    if not PLANTED(s.planted, 64):
        s.due_state, s.bounds_ready = True, False


cdef void _weigh(State* s, const ChangeRule* c, CollateralRule* row) noexcept nogil:
    if c.weight_ppm >= 0:
        row.weight_ppm = s.collateral_tiers[row.tiers_from].weight_ppm = c.weight_ppm
        if row.initial_follows:
            row.initial_weight_ppm = c.weight_ppm
    if c.liability_weight_ppm >= 0:
        row.liability_weight_ppm = c.liability_weight_ppm
    if c.buffer_ppm >= 0:
        row.buffer_ppm = c.buffer_ppm


cdef int64_t _grandfather(State* s, int number) noexcept nogil:
    """End what an earlier change left; leave the positions open now their table, if the row says so. Return how many."""
    cdef const ChangeRule* c = &s.change_rules[number]
    cdef MarketRule* m = &s.market_rules[c.market]
    cdef int64_t count = 0
    cdef uint32_t account
    _keep_nothing(s, c.market)
    if not c.grandfathers:
        return 0
    m.kept_count, m.kept_by = m.brackets_count, number
    memcpy(&s.brackets[m.kept_from], &s.brackets[m.brackets_from], m.brackets_count * sizeof(Bracket))
    for account in range(USERS_FROM, s.accounts_high):
        if s.positions[<size_t>account * s.markets + c.market].qty:
            s.grandfathered[<size_t>account * s.markets + c.market] = 1
            count += 1
    s.keeps += 1
    if c.grandfather_ns:
        _at(s, s.changes + number, s.now + c.grandfather_ns)
    return count


cdef int64_t _keep_nothing(State* s, int market) noexcept nogil:
    """Every position of a market is under the table in force. Return how many were not."""
    cdef MarketRule* m = &s.market_rules[market]
    cdef int64_t count = 0
    cdef uint32_t account
    if not m.kept_count:
        return 0
    change_timer(s, s.changes + m.kept_by).armed = False
    m.kept_count, m.kept_by = 0, 0
    for account in range(USERS_FROM, s.accounts_high):
        if s.grandfathered[<size_t>account * s.markets + market] and s.positions[<size_t>account * s.markets + market].qty:
            count += 1
        s.grandfathered[<size_t>account * s.markets + market] = 0
    s.keeps -= 1
    return count


cdef void _end(State* s, int number, int why, int64_t qty) noexcept nogil:
    o = _tell(s, OUT_CHANGE_ENDED, number)
    o.reason, o.qty = why, qty


cdef Outcome* _tell(State* s, int kind, int number) noexcept nogil:
    cdef const ChangeRule* c = &s.change_rules[number]
    o = emit(s, kind)
    o.ref_id = number
    if c.market >= 0:
        o.market = c.market
    else:
        o.asset = s.collateral_rules[c.collateral].asset
    return o


cdef void changes_tables(State* s, tables):
    cdef int i, m
    cdef uint32_t account
    tables["changes"] = [
        (i, int(s.change_states[i].announced), s.change_states[i].effective_ns, int(s.change_states[i].in_force), s.change_states[i].in_force_ns)
        for i in range(s.changes)
    ]
    tables["brackets"] = []
    markets = sorted({s.change_rules[i].market for i in range(s.changes) if s.change_rules[i].market >= 0})
    for m in markets:
        rule = &s.market_rules[m]
        for kept, first, count in ((0, rule.brackets_from, rule.brackets_count), (1, rule.kept_from, rule.kept_count)):
            for i in range(count):
                row = &s.brackets[<int>first + i]
                rates = row.initial_ppm, row.rate, row.rate_of
                tables["brackets"].append((m, kept, i, row.notional_max, row.leverage_max, *rates, row.amount))
    rows = {s.change_rules[i].collateral for i in range(s.changes) if s.change_rules[i].collateral >= 0}
    tables["haircuts"] = []
    for i in range(s.collaterals):
        if i in rows:
            rule_of = &s.collateral_rules[i]
            tables["haircuts"].append((rule_of.asset, rule_of.weight_ppm, rule_of.liability_weight_ppm, rule_of.buffer_ppm))
    tables["haircuts"].sort()
    tables["grandfathered"] = [
        (account, m) for account in range(USERS_FROM, s.accounts_high) for m in markets
        if s.keeps and s.grandfathered[<size_t>account * s.markets + <int>m] and s.positions[<size_t>account * s.markets + <int>m].qty
    ]
