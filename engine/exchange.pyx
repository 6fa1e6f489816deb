"""The exchange: what one event does. The same numbered steps stand in specs/model/exchange.py.

    0 time     an event before now, or later than now + gap_max, is a REJECT and moves nothing; else timers due run first, in
               order (time, kind, id), each a cascade of its own; then now := the event's time
    1 gate     ranges, known names, margin; else one REJECT(reason), and the state is as after CLOCK
    2 post     order -> match -> fills -> ledger, or it waits; amend, cancel; account, deposit, withdraw, leverage, transfer,
               mode, auto-add, state, bust, delist, change of rules
    3 price    sources -> index -> mark -> published {price, grade}; collateral; then waiting orders fire, one at a time, in
               order of entry, and prices are published again after each
    4 revalue  every account when a price changed, else those that 2, 3 or the last round touched
    5 select   who is triggered, in the order of the rule book
    6 stages   for each selected account the venue's list of stages
    7 finish   flat, above target, suspended or carried, each with an outcome that says so
    8 again    a price or an account changed -> 3, at most rounds_max; a BOUND outcome says how many are carried over
    9 check    laws and digest (outside: specs/laws.py)
"""
import hashlib

import numpy as np

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine import compile as rule_table
from engine.bounds cimport bounds_scan, sort_numbers
from engine.accounts cimport accounts_auto_add_set, accounts_may_give, accounts_mode, accounts_open, accounts_transfer, is_user
from engine.bands cimport bands_sample
from engine.book cimport book_expect_id, book_expect_neighbours, book_peek, book_rows
from engine.borrow cimport borrow_charge, borrow_next
from engine.bust cimport bust_post, bust_rows
from engine.changes cimport changes_due, changes_post, changes_tables, changes_withdraw
from engine.funding cimport funding_next, funding_sample, funding_settle
from engine.index cimport grade_of, index_publish, published_put
from engine.ledger cimport ledger_flow
from engine.liquidation cimport liquidation_round, liquidation_select, liquidation_warm
from engine.margin cimport (
    margin_collateral_value, margin_evaluate, margin_has_requirements, margin_requirement, margin_size_weight, margin_spare_equity, margin_weigh,
    margin_weight,
)
from engine.mark cimport mark_publish
from engine.money cimport BALANCE_MAX, MONEY_IN_MAX, money_join, money_t
from engine.orders cimport order_cancel, orders_amend, orders_cancel, orders_disconnect, orders_mass_cancel, orders_new
from engine.queries cimport (
    query_adl_rank, query_bankruptcy_price, query_bankruptcy_value, query_collateral_given, query_collateral_needed, query_conversion_needed,
    query_liability_taken, query_liquidation_limit_price, query_liquidation_price, query_transfer, query_withdrawable,
)
from engine.quoter cimport quoter_refill
from engine.records cimport (
    CHART_FUND, CHART_OUTSIDE, CHECKED, EV_ACCOUNT, EV_AMEND, EV_BUST, EV_CANCEL, EV_CLOCK, EV_DELIST, EV_DEPOSIT, EV_DISCONNECT, EV_LEVERAGE, EV_MASS_CANCEL, EV_ORDER,
    EV_AUTO_ADD, EV_MODE, EV_RULE_CHANGE, EV_RULE_WITHDRAWN, EV_SOURCE, EV_STATE, EV_STOP, EV_TAKE_PROFIT, EV_TRAILING, EV_TRANSFER, EV_WITHDRAW, FLAG_HAS_PARENT, FLAG_MISSING, FLOW_DEPOSIT, FLOW_FUND_CAPITAL, FLOW_WITHDRAWAL, GRADE_TOO_FEW_SOURCES,
    GRADE_VALID, LEG_NET, OUT_BOUND, OUT_COLLATERAL, OUT_INDEX, OUT_LEVERAGE_SET, OUT_MARK, OUT_OPENED, OUT_REJECT,     PLANTED, SCHEMA_VERSION, SEAM_COLLATERAL_PRICE, STAGE_NONE, STATUS_NORMAL, USERS_FROM, WHY_EXPIRED, WHY_BAD_AMOUNT, WHY_BAD_LEVERAGE,     WHY_BAD_OWNER, WHY_DUPLICATE_ACCOUNT, WHY_IN_LIQUIDATION,
    WHY_INSUFFICIENT_MARGIN, WHY_NONE, WHY_TIME_GAP, WHY_TIME_WENT_BACK, WHY_UNKNOWN_ACCOUNT, WHY_UNKNOWN_ASSET,
    WHY_UNKNOWN_KIND, WHY_UNKNOWN_MARKET, WHY_UNKNOWN_SOURCE, Event, Outcome,
)
from engine.seams cimport seam_price
from engine.settlement cimport settlement_delist, settlement_sample, settlement_settle
from engine.stops cimport stops_fire, stops_new, stops_rows
from engine.state cimport (
    NO_PRICE, TIMES_MAX_NS, TIMER_CHANGE, TIMER_COOL, TIMER_EXPIRE, TIMER_INTEREST, TIMER_PUBLISH, TIMER_QUOTE, TIMER_RESUME, TIMER_SETTLE, TIMER_STALE, Published, State, Timer, block_expect, block_streamed, emit, outcomes_keep, rarely, state_free, state_load, state_new, state_reserve, state_save, state_seams, touch,
)
from engine.states cimport states_post, states_resume

from engine.compile import EVENT, OUTCOME, Seam, Stage
from engine.records import BUILD

# ---- step 0

cdef inline void exchange_apply(State* s, const Event* e) noexcept nogil:  # no-cython-lint: inline here, called elsewhere
    """Apply one event: steps 0 to 8."""
    cdef int why
    s.event = s.events
    s.events += 1
    why = _time(s, e)
    if rarely(why):
        _reject(s, e, why)
        return
    why = _post(s, e)
    if rarely(why):
        _reject(s, e, why)
    if e.batch_left == 0:
        _cascade(s)


cdef inline int _time(State* s, const Event* e) noexcept nogil:
    # Back is a difference above every gap too; next_due is TIMES_MAX_NS + 1 at the latest.
    if rarely(<uint64_t>e.time_ns - <uint64_t>s.now > <uint64_t>s.gap_max_ns or e.time_ns >= s.next_due):
        return _time_moves(s, e.time_ns)
    s.now = e.time_ns
    return WHY_NONE


cdef int _time_moves(State* s, int64_t time_ns) noexcept nogil:
    if time_ns < s.now:
        return WHY_TIME_WENT_BACK
    if time_ns - s.now > s.gap_max_ns or time_ns > TIMES_MAX_NS:
        return WHY_TIME_GAP
    _timers(s, time_ns)
    s.now = time_ns
    return WHY_NONE


cdef void _timers(State* s, int64_t until) noexcept nogil:
    while s.next_due <= until:
        _timer(s, until)


cdef void _timer(State* s, int64_t until) noexcept nogil:
    """Run the timer that is due first, as a cascade of its own; next_due may be early, never late."""
    cdef Timer* timer = NULL
    cdef int64_t due = TIMES_MAX_NS + 1
    cdef uint32_t cooled = 0
    cdef int i
    for i in range(s.timers_count):
        if s.timers[i].armed and s.timers[i].time_ns < due:
            timer, due = &s.timers[i], s.timers[i].time_ns
    if s.expiries_count and s.orders[s.expiries[1]].expiry_ns - (timer != NULL and timer.kind > TIMER_EXPIRE) < due:
        timer, due = NULL, s.orders[s.expiries[1]].expiry_ns  # orders expire before what follows in TimerKind
    for i in range(s.cooling_count):
        if s.episodes[s.cooling[i]].cool_until_ns < due or cooled and s.episodes[s.cooling[i]].cool_until_ns == due and s.cooling[i] < cooled:
            cooled, due = s.cooling[i], s.episodes[s.cooling[i]].cool_until_ns
    s.next_due = due
    if due > until:
        return
    s.now = due
    if cooled:
        liquidation_warm(s, cooled)
        touch(s, cooled)
    elif timer == NULL:
        order_cancel(s, s.expiries[1], WHY_EXPIRED, STAGE_NONE)
    elif timer.kind == TIMER_STALE:
        timer.armed = False
        s.due_index |= s.source_rules[timer.number].heard_by
    elif timer.kind == TIMER_PUBLISH:
        timer.time_ns = due + s.index_rules[timer.number].every_ns
        s.due_index |= <uint64_t>1 << timer.number
    elif timer.kind == TIMER_QUOTE:
        timer.time_ns = due + s.quoter_rules[timer.number].refill_ns
        quoter_refill(s, timer.number)
    elif timer.kind == TIMER_RESUME:
        states_resume(s, timer.number)
    elif timer.kind == TIMER_SETTLE:
        settlement_settle(s, timer.number)
    elif timer.kind == TIMER_INTEREST:
        timer.time_ns = borrow_next(s, timer.number, due)
        borrow_charge(s, timer.number)
    elif timer.kind == TIMER_CHANGE:
        changes_due(s, timer.number)
    else:
        timer.time_ns = funding_next(s, timer.number, due)
        funding_settle(s, timer.number)
    _cascade(s)


# ---- steps 1 and 2

cdef void _reject(State* s, const Event* e, int why) noexcept nogil:
    o = emit(s, OUT_REJECT)
    o.account, o.market, o.leg, o.asset = e.account, e.market, e.leg, e.source if e.kind == EV_SOURCE else e.asset
    o.ref_id, o.price, o.qty, o.money_lo, o.money_hi = e.ref_id, e.price, e.qty, e.amount_lo, e.amount_hi
    o.side, o.reason = e.side, why


cdef inline int _post(State* s, const Event* e) noexcept nogil:
    if e.kind == EV_ORDER:
        return orders_new(s, e)
    if e.kind == EV_CANCEL:
        return orders_cancel(s, e)
    if e.kind == EV_CLOCK:
        return WHY_NONE
    if e.kind == EV_SOURCE:
        return _post_source(s, e)
    if e.kind == EV_ACCOUNT:
        return _post_account(s, e)
    if e.kind == EV_DEPOSIT:
        return _post_deposit(s, e)
    if e.kind == EV_WITHDRAW:
        return _post_withdraw(s, e)
    if e.kind == EV_LEVERAGE:
        return _post_leverage(s, e)
    if e.kind == EV_TRANSFER:
        return accounts_transfer(s, e)
    if e.kind == EV_MODE:
        return accounts_mode(s, e)
    if e.kind == EV_AUTO_ADD:
        return accounts_auto_add_set(s, e)
    if e.kind == EV_STATE:
        return states_post(s, e)
    if e.kind == EV_BUST:
        return bust_post(s, e)
    if e.kind == EV_DELIST:
        return settlement_delist(s, e)
    if e.kind == EV_RULE_CHANGE:
        return changes_post(s, e)
    if e.kind == EV_RULE_WITHDRAWN:
        return changes_withdraw(s, e)
    if e.kind == EV_AMEND:
        return orders_amend(s, e)
    if e.kind == EV_MASS_CANCEL:
        return orders_mass_cancel(s, e)
    if e.kind == EV_DISCONNECT:
        return orders_disconnect(s, e)
    if e.kind == EV_STOP or e.kind == EV_TAKE_PROFIT or e.kind == EV_TRAILING:
        return stops_new(s, e)
    return WHY_UNKNOWN_KIND


cdef int _post_account(State* s, const Event* e) noexcept nogil:
    if not USERS_FROM <= e.account < <uint32_t>s.accounts_max:
        return WHY_UNKNOWN_ACCOUNT
    if s.accounts[e.account].opened:
        return WHY_DUPLICATE_ACCOUNT
    if e.flags & FLAG_HAS_PARENT and not (e.qty > 0 and is_user(s, e.qty) and s.accounts[e.qty].owner == e.ref_id):
        return WHY_BAD_OWNER
    if e.ref_id > <uint64_t>0xFFFFFFFF:
        return WHY_BAD_OWNER
    accounts_open(s, e.account, <uint32_t>e.ref_id)
    if e.flags & FLAG_HAS_PARENT:
        s.accounts[e.account].has_parent, s.accounts[e.account].parent = 1, <uint32_t>e.qty
    o = emit(s, OUT_OPENED)
    o.account, o.ref_id = e.account, e.ref_id
    return WHY_NONE


cdef int _post_deposit(State* s, const Event* e) noexcept nogil:
    cdef money_t amount = money_join(e.amount_lo, e.amount_hi)
    if not is_user(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if e.asset >= s.assets:
        return WHY_UNKNOWN_ASSET
    if not 0 < amount <= MONEY_IN_MAX or s.balances[<size_t>e.account * s.assets + e.asset] + amount > BALANCE_MAX:
        return WHY_BAD_AMOUNT
    ledger_flow(s, FLOW_DEPOSIT, CHART_OUTSIDE, e.account, e.asset, amount)
    return WHY_NONE


cdef int _post_withdraw(State* s, const Event* e) noexcept nogil:
    cdef money_t amount = money_join(e.amount_lo, e.amount_hi)
    cdef int why
    if not is_user(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if e.asset >= s.assets:
        return WHY_UNKNOWN_ASSET
    if not 0 < amount <= MONEY_IN_MAX:
        return WHY_BAD_AMOUNT
    why = accounts_may_give(s, e.account, e.asset, amount)
    if not why:
        ledger_flow(s, FLOW_WITHDRAWAL, e.account, CHART_OUTSIDE, e.asset, amount)
    return why


cdef int _post_leverage(State* s, const Event* e) noexcept nogil:
    cdef money_t need
    cdef int64_t before
    cdef bint ignored
    if not is_user(s, e.account):
        return WHY_UNKNOWN_ACCOUNT
    if e.market >= s.markets:
        return WHY_UNKNOWN_MARKET
    if s.market_rules[e.market].spot or not 1 <= e.qty <= s.brackets[s.market_rules[e.market].brackets_from].leverage_max:
        return WHY_BAD_LEVERAGE
    if s.accounts[e.account].status != STATUS_NORMAL:
        return WHY_IN_LIQUIDATION
    p = &s.positions[<size_t>e.account * s.markets + e.market]
    before = p.leverage
    need = margin_requirement(s, e.account, e.market, 0, 0, 0, &ignored)
    p.leverage = e.qty
    if margin_requirement(s, e.account, e.market, 0, 0, 0, &ignored) > need:
        if not margin_has_requirements(s, e.account):
            if not PLANTED(s.planted, 13):
                p.leverage = before
            return WHY_INSUFFICIENT_MARGIN
    o = emit(s, OUT_LEVERAGE_SET)
    o.account, o.market, o.qty = e.account, e.market, e.qty
    return WHY_NONE


cdef int _post_source(State* s, const Event* e) noexcept nogil:
    if e.source >= s.sources:
        return WHY_UNKNOWN_SOURCE
    source = &s.source_states[e.source]
    rule = &s.source_rules[e.source]
    source.there = not e.flags & FLAG_MISSING
    source.price, source.time_ns = e.price if source.there else 0, s.now
    if rule.can_stale:
        s.timers[e.source].armed, s.timers[e.source].time_ns = True, s.now + rule.stale_after_ns
        if s.timers[e.source].time_ns < s.next_due:
            s.next_due = s.timers[e.source].time_ns
    s.due_index |= rule.heard_by
    return WHY_NONE


# ---- steps 3 to 8

cdef int _scan(State* s, bint changed) noexcept nogil:
    """Step 4: fill s.scan with the accounts to look at, ascending, and forget who was touched. Return how many.

    After a change of a price that is every account that can be triggered; bounds.pyx leaves out those that cannot.
    """
    cdef int count, i
    if PLANTED(s.planted, 19):
        changed = False
    if changed:
        count = bounds_scan(s)
    else:
        memcpy(s.scan, s.touched, s.touched_count * sizeof(uint32_t))
        count = s.touched_count
        sort_numbers(s.scan, count)
    for i in range(s.touched_count):
        s.accounts[s.touched[i]].touched = 0
    s.touched_count = 0
    return count


cdef inline void _cascade(State* s) noexcept nogil:
    if rarely(s.due_index | s.due_mark | <uint64_t>s.due_state | <uint64_t>s.touched_count | <uint64_t>s.waiting):
        _rounds(s)  # after most events there is nobody to look at


cdef void _rounds(State* s) noexcept nogil:
    cdef int count, i
    cdef bint changed
    while True:
        changed = _publish(s)
        while s.waiting and stops_fire(s):
            changed |= _publish(s)
        changed, s.due_state = changed or s.due_state, False
        count = liquidation_select(s, _scan(s, changed))
        if not count:
            break
        if s.round == s.rounds_max:
            if not PLANTED(s.planted, 15):
                o = emit(s, OUT_BOUND)
                o.qty = count
            for i in range(count):
                touch(s, s.picks[i].account)
            break
        s.round += 1
        liquidation_round(s, count)
    s.round = 0


cdef bint _publish(State* s) noexcept nogil:
    """Step 3. Publish what is due; return whether a price that accounts are valued at changed."""
    cdef uint64_t sampled = 0
    cdef bint changed = False
    cdef int i
    cdef bint due
    if not s.due_index and not s.due_mark:
        return False
    for i in range(s.indices):
        if not s.due_index >> i & 1:
            continue
        if index_publish(s, i):
            o = emit(s, OUT_INDEX)
            o.ref_id, o.price, o.grade, o.qty = i, s.index_states[i].price, s.index_states[i].grade, s.index_used[i]
        sampled |= <uint64_t>1 << i
        s.due_index |= s.index_rules[i].leg_of
    s.due_index = 0
    for i in range(s.markets):
        due = sampled >> s.market_rules[i].index & 1
        if due and s.market_rules[i].settlement_samples:
            settlement_sample(s, i)
        if due and s.market_rules[i].funding_every_ns:
            funding_sample(s, i)
        if not due and not s.due_mark >> i & 1:
            continue
        if mark_publish(s, i, due):
            changed = True
            o = emit(s, OUT_MARK)
            o.market, o.price, o.grade = i, s.marks[i].published.price, s.marks[i].published.grade
        if s.market_rules[i].premium_samples:
            bands_sample(s, i)
    s.due_mark = 0
    for i in range(s.collaterals):
        if sampled >> s.collateral_rules[i].index & 1 and _publish_collateral(s, i):
            changed = True
            o = emit(s, OUT_COLLATERAL)
            o.asset, o.price, o.grade = s.collateral_rules[i].asset, s.collateral_states[i].price, s.collateral_states[i].grade
            if s.collateral_rules[i].deposits_capped:
                o.qty = s.initial_weights[i]
    return changed


cdef bint _publish_collateral(State* s, int row) noexcept nogil:
    """The price collateral is valued and converted at: its index, read through a seam of its own."""
    cdef const Published* index = &s.index_states[s.collateral_rules[row].index]
    cdef Published* before = &s.collateral_states[row]
    cdef bint there = index.grade == GRADE_VALID
    cdef int64_t price = index.price if there else 0
    cdef bint changed
    if seam_price(s, SEAM_COLLATERAL_PRICE, s.collateral_rules[row].asset, there, &price):
        changed = published_put(before, grade_of(True, price, 1), price, s.now)
    else:
        changed = published_put(before, GRADE_TOO_FEW_SOURCES if there else index.grade, before.price, s.now)
    return margin_weigh(s, row) or changed


# ---- a batch knows what comes

cdef enum:
    AHEAD_NAMES = 16  # events ahead of the one that runs: the slot of the id, the account
    AHEAD_PLACES = 8  # the order that the slot names, the youngest order of the account, the level of the price
    AHEAD_NEIGHBOURS = 4  # the orders beside them


cdef inline void _expect(State* s, const Event* e) noexcept nogil:
    """Fetch the cache lines of events to come, three steps of one pointer each: they are looked at, nothing is decided.

    No branch on the kind: kinds come at random, and a branch mispredicted costs more than a line fetched in vain. A prefetch
    never faults, but a look does: what it looks at is in bounds.
    """
    cdef const Event* ahead = e + AHEAD_NAMES
    cdef uint32_t account = ahead.account if ahead.account < s.accounts_high else 0
    book_expect_id(s, ahead.ref_id)
    block_expect(&s.accounts[account])
    if s.clears:
        block_expect(&s.balances[<size_t>account * s.assets])
        block_expect(&s.positions[<size_t>account * s.markets + ahead.market])
        block_expect(<const char*>&s.positions[<size_t>account * s.markets + ahead.market] + 64)
    ahead = e + AHEAD_PLACES
    account = ahead.account if ahead.account < s.accounts_high else 0
    block_expect(&s.orders[book_peek(s, ahead.ref_id)])
    block_expect(&s.orders[s.accounts[account].orders_tail])
    ahead = e + AHEAD_NEIGHBOURS
    book_expect_neighbours(s, book_peek(s, ahead.ref_id))


cdef void _run(State* s, const Event* first, int64_t count, bint keep) noexcept nogil:
    cdef const Event* e = first
    cdef const Event* end = first + count
    cdef const Event* known = end - AHEAD_NAMES if count > AHEAD_NAMES else first  # from here on not everything ahead is there
    while e < end:
        if e < known:
            _expect(s, e)
        exchange_apply(s, e)
        if not keep:
            s.outcomes_count, s.draft = 0, s.drafts
        e += 1
    outcomes_keep(s, False)
    block_streamed()


# ---- what both twins offer

cdef class Exchange:
    """A venue that runs a tape. Same input, same bytes: no clock, no random number, no float, no file.

    venue: specs.rules.Venue. start_ns: the time of the first event. seams: rows of a fault schedule (specs/tape.py Seam).
    planted: the id of a planted bug, in a checked build only (ValueError in a release).
    """

    cdef State* s
    cdef object venue
    cdef dict table
    cdef bint busy

    def __cinit__(self, venue, start_ns, seams=(), planted=0):
        if planted and not CHECKED:
            raise ValueError("planted bugs are compiled into the checked build only")
        self.venue, self.table = venue, rule_table.table(venue, start_ns, seams)
        self.s = state_new(self.table)
        self.s.planted = planted
        capital = self.table["fund_capital"]
        if capital:
            ledger_flow(self.s, FLOW_FUND_CAPITAL, CHART_OUTSIDE, CHART_FUND, self.s.numeraire, capital)
            outcomes_keep(self.s, True)

    def __dealloc__(self):
        state_free(self.s)

    def run(self, events, bint keep=True):
        """Apply a tape, or the next part of one, with the GIL released. events: array of specs.tape.EVENT.

        keep: False drops the outcomes of each event after it, and those before; what is left is the state.
        """
        if events.ndim != 1:
            raise ValueError(f"events have {events.ndim} dimensions, a tape has one")
        self._idle()
        rows = np.ascontiguousarray(events, dtype=EVENT)
        if rows.ctypes.data % 8:
            rows = rows.copy()
        cdef const unsigned char[::1] data = memoryview(rows.view(np.uint8).reshape(-1))
        cdef int64_t count = len(rows)
        if count == 0:
            return
        self.busy = True
        with nogil:
            _run(self.s, <const Event*>&data[0], count, keep)
        self.busy = False
        self._memory()

    def reserve(self, outcomes):
        """Ready a long run: room for so many outcomes more, touched now, and large pages where the system has them."""
        self._idle()
        if outcomes < 0:
            raise ValueError(f"{outcomes} outcomes cannot be kept")
        state_reserve(self.s, outcomes)

    # One positional argument and no keyword: CPython then calls it without a tuple, and bytes are read where they lie (15 % a call).
    @cython.binding(False)
    @cython.always_allow_keywords(False)
    def apply(self, event):
        """Apply one event (64 bytes, or a row of a tape) and return its outcomes, packed."""
        cdef State* s = self.s
        cdef Event copy
        cdef const Event* e = &copy
        cdef int64_t before = s.outcomes_count
        if self.busy:
            self._idle()
        if PyBytes_CheckExact(event) and PyBytes_GET_SIZE(event) == sizeof(Event):
            e = <const Event*>PyBytes_AS_STRING(event)  # 32 bytes behind a 16-byte boundary
        else:
            self._copied(event, &copy)
        exchange_apply(s, e)
        outcomes_keep(s, True)
        if s.failed:
            self._memory()
        return PyBytes_FromStringAndSize(<char*>(s.outcomes + before), (s.outcomes_count - before) * sizeof(Outcome))

    cdef int _copied(self, event, Event* e) except -1:
        cdef bytes packed = bytes(event) if isinstance(event, (bytes, bytearray, memoryview)) else event.tobytes()
        cdef const unsigned char* data = packed
        if len(packed) != sizeof(Event):
            raise ValueError(f"an event has {sizeof(Event)} bytes, not {len(packed)}")
        memcpy(e, data, sizeof(Event))
        return 0

    cdef _idle(self):
        """One exchange, one thread: run() lets others go on, and they must leave this state alone."""
        if self.busy:
            raise RuntimeError("this exchange is running a tape in another thread")

    cdef _memory(self):
        if self.s.failed:
            raise MemoryError("outcomes do not fit in memory: run the tape in parts")

    def outcomes(self):
        """Return all outcomes so far, a copy, as an array of specs.tape.OUTCOME."""
        return np.frombuffer(self._packed(), dtype=OUTCOME)

    cdef bytes _packed(self):
        self._idle()
        return (<char*>self.s.outcomes)[: self.s.outcomes_count * sizeof(Outcome)]

    def digest(self):
        """Return the blake2b-128 of the outcomes' canonical rows and the schema version."""
        return hashlib.blake2b(self._packed() + int(SCHEMA_VERSION).to_bytes(4, "little"), digest_size=16).hexdigest()

    def visits(self):
        """Return how often each seam acted and each stage was entered."""
        cdef int i
        visits = {seam.name: 0 for seam in Seam}
        for i in range(self.s.seams):
            visits[Seam(self.s.seam_rows[i].seam).name] += self.s.seam_rows[i].fired
        return visits | {f"STAGE_{stage.name}": self.s.stages_visited[<int>int(stage)] for stage in Stage if stage}

    def _frame(self):
        rules = repr({name: rows for name, rows in self.table.items() if name not in ("seams", "start_ns")})
        return b"riskbed1" + hashlib.blake2b((BUILD["digest"] + rules).encode(), digest_size=16).digest()

    def snapshot(self):
        """Return the whole state as bytes; restoring it and running the rest gives the bytes of the whole run."""
        self._idle()
        body = state_save(self.s)
        return self._frame() + hashlib.blake2b(body, digest_size=16).digest() + body

    @classmethod
    def restore(cls, venue, blob, seams=None, planted=0):
        """Return the exchange of a snapshot. `seams` replaces the fault schedule: a fork.

        ValueError: the snapshot is torn, or of another build or another rule book.
        """
        cdef Exchange exchange = cls(venue, 0, (), planted)
        frame = exchange._frame()
        if blob[: len(frame)] != frame:
            raise ValueError("this snapshot was taken by another build or under another rule book")
        body = blob[len(frame) + 16 :]
        if hashlib.blake2b(body, digest_size=16).digest() != blob[len(frame) : len(frame) + 16]:
            raise ValueError("this snapshot is torn")
        state_load(exchange.s, body)
        if PLANTED(planted, 14):
            exchange.s.engine_orders = 0
        if seams is not None:
            state_seams(exchange.s, rule_table.seam_rows(seams))
        return exchange

    def state(self):
        """Return every table of the state as sorted rows of integers: what the twins compare."""
        cdef State* s = self.s
        cdef int i, k, n
        cdef uint32_t a
        cdef size_t at
        self._idle()
        tables = {name: [] for name in (
            "clock accounts leverage balances positions orders reserved sources indices samples marks basis collateral timers "
            "quoters seams touched due stages states funding premiums settlements fills waiting weights levels episodes blocks"
        ).split()}
        tables["clock"].append((s.now, s.events, s.engine_orders, s.fills))
        for a in range(s.accounts_high):
            account = &s.accounts[a]
            if not account.opened:
                continue
            user = a >= USERS_FROM
            if user:
                tables["accounts"].append((a, account.owner, account.has_parent, account.parent, account.status, account.auto_add))
                if s.episodes[a].since_ns:
                    tables["episodes"].append((a, s.episodes[a].since_ns))
                if account.level:
                    tables["levels"].append((a, account.level))
                e = &s.episodes[a]
                if e.window_notional or e.window_insurance:
                    tables["blocks"].append((a, e.window, e.window_notional, e.window_insurance))
            for i in range(s.assets):
                if s.balances[<size_t>a * s.assets + i]:
                    tables["balances"].append((a, i, s.balances[<size_t>a * s.assets + i]))
            for i in range(s.markets):
                p = &s.positions[<size_t>a * s.markets + i]
                if p.leverage:
                    tables["leverage"].append((a, i, p.leverage))
                if p.qty:
                    tables["positions"].append((a, i, int(LEG_NET), p.qty, p.entry))
                if p.buy_lots or p.buy_value or p.sell_lots or p.sell_value:
                    tables["reserved"].append((a, i, p.buy_lots, p.buy_value, p.sell_lots, p.sell_value))
        tables["orders"], tables["waiting"] = book_rows(s), stops_rows(s)
        for i in range(s.sources):
            source = &s.source_states[i]
            tables["sources"].append((i, int(source.there), source.price, source.time_ns))
        for i in range(s.indices):
            tables["indices"].append((i, *_published(&s.index_states[i])))
            for n in range(s.index_rules[i].nodes_count):
                at = s.index_rules[i].nodes_from + n
                for k, value in enumerate(self._ring(s.nodes[at].samples_from, s.rings[at].count, s.rings[at].head, s.nodes[at].argument)):
                    tables["samples"].append((i, n, k, value))
        for i in range(s.markets):
            mark = &s.marks[i]
            tables["marks"].append((i, *_published(&mark.published), int(mark.traded), mark.last_price))
            for k, value in enumerate(self._ring(mark.basis_from, mark.basis.count, mark.basis.head, s.market_rules[i].basis_samples)):
                tables["basis"].append((i, k, value))
            for k, value in enumerate(
                self._ring(mark.premium_from, mark.premium.count, mark.premium.head, s.market_rules[i].premium_samples)
            ):
                tables["premiums"].append((i, k, value))
            for k, value in enumerate(
                self._ring(mark.settlement_from, mark.settlement.count, mark.settlement.head, s.market_rules[i].settlement_samples)
            ):
                tables["settlements"].append((i, k, value))
        tables["collateral"] = sorted((s.collateral_rules[i].asset, *_published(&s.collateral_states[i])) for i in range(s.collaterals))
        for i in range(s.collaterals):
            if s.collateral_rules[i].deposits_capped:
                tables["weights"].append((s.collateral_rules[i].asset, s.initial_weights[i]))
        for i in range(s.markets):
            tables["states"].append((i, s.market_states[i]))
            if s.market_rules[i].funding_every_ns:
                tables["funding"].append((i, s.funding_states[i].index, s.funding_states[i].premium, s.funding_states[i].samples))
        for i in range(s.timers_count):
            if s.timers[i].armed:
                tables["timers"].append((s.timers[i].kind, s.timers[i].number, s.timers[i].time_ns))
        tables["timers"] += [
            (int(TIMER_EXPIRE), s.orders[s.expiries[i]].order_id, s.orders[s.expiries[i]].expiry_ns) for i in range(1, s.expiries_count + 1)
        ]
        tables["timers"] += [(int(TIMER_COOL), s.cooling[i], s.episodes[s.cooling[i]].cool_until_ns) for i in range(s.cooling_count)]
        tables["timers"].sort()
        changes_tables(s, tables)
        for i in range(s.quoters):
            q = &s.quoter_states[i]
            tables["quoters"].append((i, int(q.has_reference), q.reference, int(q.away), q.return_ns))
        for i in range(s.seams):
            row = &s.seam_rows[i]
            tables["seams"].append((i, int(row.held), int(row.held_there), row.held_price, row.fired))
        tables["touched"] = sorted((s.touched[i],) for i in range(s.touched_count))
        tables["due"] = [(0, i) for i in range(s.indices) if s.due_index >> i & 1] + [(1, i) for i in range(s.markets) if s.due_mark >> i & 1]
        if s.due_state:
            tables["due"].append((2, 0))
        tables["fills"] = bust_rows(s)
        tables["stages"] = [(int(stage), s.stages_visited[<int>int(stage)]) for stage in Stage if stage]
        return tables

    # ---- queries: their definitions stand in specs/model/queries.py

    def liquidation_price(self, account, market):
        """Return the mark price of the market at which the account's trigger becomes true, all else as it is; or None.

        The first one from the present mark on in the direction of loss, in price units from price_min to price_max; the mark itself
        where it is triggered already. None: no such price, or no position there. ValueError: unknown account or market.
        """
        cdef uint32_t who = self._user(account)
        return _priced(query_liquidation_price(self.s, who, self._market(market)))

    def bankruptcy_price(self, account, market):
        """Return the price on tick at which closing the position at once uses up the margin behind it; or None.

        What bounds a liquidation slice at the prices in force. ValueError: unknown account or market.
        """
        cdef uint32_t who = self._user(account)
        return _priced(query_bankruptcy_price(self.s, who, self._market(market)))

    def liquidation_limit_price(self, account, market):
        """Return the worst price at which a slice of the liquidation would close the position now, on tick; or None.

        None: no position, no book stage, or no price is inside the bound. ValueError: unknown account or market.
        """
        cdef uint32_t who = self._user(account)
        return _priced(query_liquidation_limit_price(self.s, who, self._market(market)))

    def bankruptcy_value(self, account, market, lots):
        """Return the cash, in money of the numeraire, that the account must receive for lots of its position; or None.

        lots: signed, negative of a long that is sold. None: lots is 0, adds to the position or exceeds it. ValueError: unknown
        account or market.
        """
        cdef uint32_t who = self._user(account)
        cdef money_t value = 0
        if not -(2**62) < lots < 2**62:
            return None
        return value if query_bankruptcy_value(self.s, who, self._market(market), lots, &value) else None

    def adl_rank(self, account, market):
        """Return the place in the deleveraging queue of its side, 1 being closed first, and how many stand in it; or None.

        None: no position there, or in liquidation itself. ValueError: unknown account or market.
        """
        cdef uint32_t who = self._user(account)
        cdef int of = 0
        rank = query_adl_rank(self.s, who, self._market(market), &of)
        return (rank, of) if rank else None

    def withdrawable(self, account, asset):
        """Return the largest amount of an asset that a WITHDRAW event would be accepted for now; 0 if none is.

        ValueError: unknown account or asset.
        """
        cdef uint32_t who = self._user(account)
        if not 0 <= asset < self.s.assets:
            raise ValueError(f"asset {asset} is unknown: there are {self.s.assets}")
        return query_withdrawable(self.s, who, asset)

    def equity(self, account, bint initial=False):
        """Return what the trigger compares with maintenance, money of the numeraire; initial: what the gates compare.

        Cash, positions at the marks, collateral as it counts. ValueError: unknown account.
        """
        cdef uint32_t who = self._user(account)
        return margin_spare_equity(self.s, who, self.s.numeraire, 0) if initial else margin_evaluate(self.s, who).equity

    def collateral_value(self, asset, balance, bint initial=False):
        """Return what a balance of a collateral asset counts for at its price in force, a debt negative; as in equity.

        ValueError: no collateral of that number, or a balance beyond BALANCE_MAX.
        """
        return margin_collateral_value(self.s, self._collateral(asset, balance), balance, initial)

    def collateral_weight(self, asset, balance, bint initial=False):
        """Return the ppm at which a balance counts, or a debt: its last slice's where tiers stand; before trigger_haircut.

        ValueError: no collateral of that number, or a balance beyond BALANCE_MAX.
        """
        return margin_weight(self.s, self._collateral(asset, balance), balance, initial)

    def size_weight(self, asset, balance):
        """Return the ppm that the size of a balance >= 0 alone makes, rounded down to weight_unit_ppm; None: size does not count.

        ValueError: no collateral of that number, or a balance beyond BALANCE_MAX.
        """
        cdef int row = self._collateral(asset, balance)
        factor = self.s.collateral_rules[row].imf_factor_ppm
        return margin_size_weight(&self.s.collateral_rules[row], max(0, balance)) if factor else None

    def collateral_needed(self, asset, debt):
        """Return the least balance that counts for a debt >= 0 of the numeraire where initial margin is asked for; None: none does.

        ValueError: no collateral of that number, or a debt beyond BALANCE_MAX.
        """
        needed = query_collateral_needed(self.s, self._collateral(asset, debt), debt)
        return None if needed < 0 else needed

    def conversion_needed(self, asset, debt):
        """Return the least quantity for which the treasury pays a debt >= 0 of the numeraire; None: it pays nothing.

        ValueError: no collateral of that number, or a debt beyond BALANCE_MAX.
        """
        needed = query_conversion_needed(self.s, self._collateral(asset, debt), debt)
        return None if needed < 0 else needed

    def liability_taken(self, liability, asset, shortage, most=BALANCE_MAX):
        """Return how much of a debt the transfer takes over against collateral for a shortage >= 0 of margin, of `most` owed.

        The liability is the numeraire or a collateral asset; weights are those of small balances. ValueError: no stage transfers.
        """
        cdef int row = self._transfer(liability, asset, shortage)
        return query_liability_taken(self.s, row, self._collateral(asset, 0), shortage, most)

    def collateral_given(self, liability, asset, qty):
        """Return the collateral that the transfer gives for a quantity >= 0 of a debt. ValueError: no stage transfers."""
        cdef int row = self._transfer(liability, asset, qty)
        return query_collateral_given(self.s, row, self._collateral(asset, 0), qty)

    cdef int _transfer(self, liability, asset, money) except -2:
        """Return the collateral row of a liability, -1 for the numeraire; both assets must have a price, and a stage transfers."""
        cdef int held, owed
        if query_transfer(self.s) == NULL:
            raise ValueError("no stage of this rule book transfers")
        held = self._collateral(asset, money)
        owed = -1 if liability == self.s.numeraire else self._collateral(liability, money)
        if not self.s.collateral_states[held].last_valid or (owed >= 0 and not self.s.collateral_states[owed].last_valid):
            raise ValueError("an asset of the transfer has no price yet")
        return owed

    cdef int _collateral(self, asset, balance) except -1:
        """Return the row of a collateral asset."""
        cdef int i
        self._idle()
        if abs(balance) > BALANCE_MAX:
            raise ValueError(f"a balance of {balance} is out of bounds: at most {BALANCE_MAX}")
        for i in range(self.s.collaterals):
            if self.s.collateral_rules[i].asset == asset:
                return i
        raise ValueError(f"asset {asset} is no collateral here")

    cdef uint32_t _user(self, account) except 0:
        self._idle()
        if not 0 <= account < self.s.accounts_high or not is_user(self.s, account):
            raise ValueError(f"account {account} is not open, or not a user's")
        return account

    cdef int _market(self, market) except -1:
        if not 0 <= market < self.s.markets:
            raise ValueError(f"market {market} is unknown: there are {self.s.markets}")
        return market

    cdef list _ring(self, int64_t start, int32_t count, int32_t head, int64_t room):
        """Return a ring's samples, oldest first."""
        cdef int64_t i
        return [self.s.samples[start + (head - count + i + room) % room] for i in range(count)]


cdef object _priced(int64_t price):
    return None if price == NO_PRICE else price


cdef tuple _published(const Published* p):
    return p.grade, p.price, p.time_ns, int(p.valid), p.last_valid
