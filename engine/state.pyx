"""Memory of one exchange: taken once when it is made, zeroed, freed with it. Outcomes and the pages of the book grow."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from engine.accounts cimport accounts_join
from engine.book cimport book_free, book_load, book_save, expire_at, map_insert
from engine.borrow cimport borrow_next
from engine.funding cimport funding_next
from engine.margin cimport margin_weigh
from engine.money cimport div_ceil, tick_inverse
from engine.records cimport ACT_OPEN, ACT_TAKE, MARKET_OPEN, PERMIT_DEFER, STAGE_BOOK, STAGE_CONVERT, USERS_FROM, Outcome


cdef void* _take(State* s, size_t count, size_t size) except NULL:
    cdef void* memory = block_take(count, size)
    if memory == NULL:
        raise MemoryError(f"{count} x {size} bytes")
    return memory


cdef State* state_new(table) except NULL:
    """Return the state of a fresh exchange for a rule table of engine/compile.py."""
    cdef State* s = <State*>calloc(1, sizeof(State))
    if s == NULL:
        raise MemoryError()
    try:
        _rules(s, table)
        _memory(s, table)
    except BaseException:
        state_free(s)
        raise
    return s


cdef int _rules(State* s, table) except -1:
    cdef int i, j
    (s.gap_max_ns, s.accounts_max, s.orders_max, s.orders_per_account_max, s.rounds_max, s.fills_kept) = table["limits"]
    s.clears = table["clearing"]
    s.numeraire, s.assets = table["numeraire"], table["assets"]
    s.trigger_at_equal, s.order_row = table["trigger_at_equal"], table["order_row"]
    s.fund_net, s.one, s.profit_lost_ppm = table["fund_net"], table["one"], table["profit_lost_ppm"]
    s.fund_floor, s.fund_capped, s.fund_event_max = table["fund_pays"]
    s.bankruptcy_unit = table["bankruptcy_unit"]
    for i, row in enumerate(table["permits"]):
        for j, permit in enumerate(row):
            s.permits[i][j] = permit
    for i, row in enumerate(table["state_permits"]):
        for j, permit in enumerate(row):
            s.state_permits[i][j] = permit
    s.markets = len(table["markets"])
    s.market_rules = <MarketRule*>_take(s, s.markets, sizeof(MarketRule))
    for i, row in enumerate(table["markets"]):
        r = &s.market_rules[i]
        (r.tick_size, r.multiplier, r.face, r.price_min, r.price_max, r.maker_ppm, r.taker_ppm, r.liquidation_ppm,
         r.fee_grace_ns, r.fee_every_ns, r.fee_step_ppm, r.fee_max_ppm, r.left_share_ppm, r.left_discount_ppm, r.leverage_default, r.market_bound_ppm, r.index,
         r.quote, r.spot, r.base, r.lot_units, r.heard_by,
         r.brackets_from, r.brackets_count, r.plain, r.whole, r.divides, r.crowded, r.lower, r.upper,
         r.size_scale, r.initial_per_lot, r.maintenance_per_lot, r.at_entry, r.bankruptcy_fee_ppm, r.least, r.closing_ppm, r.closing_fixed,
         r.kept_from, r.mark_median, r.basis_samples, r.republish_on_fill,
         r.funding_every_ns, r.interest_ppb, r.damp_ppb, r.cap_ppb,
         r.bound_in_ticks, r.bound_ticks, r.trigger_protect_ppm, r.self_trade, r.self_trade_by_owner,
         r.band_kind, r.band_anchor, r.band_up_ppm, r.band_down_ppm, r.band_policy, r.band_liquidation,
         r.premium_samples, r.premium_alpha_ppm,
         r.limit_ppm, r.limit_anchor, r.pause_ns, r.resume_by_auction, r.auction_ns,
         r.qty_max, r.notional_limited, r.notional_max, r.position_max, r.open_interest_max, r.auction_reference,
         r.settles, r.settlement_samples, r.expires_ns, r.retry_ns) = row
        s.spots = s.spots or r.spot
        s.entangled = s.entangled or r.bankruptcy_fee_ppm
        r.price_low = <int64_t>div_ceil(r.price_min, r.tick_size) * r.tick_size
        r.tick_shift = 0
        while not r.tick_size >> r.tick_shift & 1:
            r.tick_shift += 1
        r.limited = r.notional_limited or r.position_max or r.open_interest_max
        r.ordinary = not (r.spot or r.limited or r.band_kind)
        for act in (ACT_OPEN, ACT_TAKE):
            r.ordinary = r.ordinary and s.state_permits[<int>MARKET_OPEN][<int>act] < PERMIT_DEFER
        r.tick_inverse = tick_inverse(r.tick_size >> r.tick_shift)
        r.ticks_max = r.price_max // r.tick_size
    s.brackets_count = len(table["brackets"])
    s.brackets = <Bracket*>_take(s, s.brackets_count, sizeof(Bracket))
    for i, row in enumerate(table["brackets"]):
        b = &s.brackets[i]
        b.notional_max, b.leverage_max, b.initial_ppm, b.rate, b.rate_of, b.amount = row
    s.sources = len(table["sources"])
    s.source_rules = <SourceRule*>_take(s, s.sources, sizeof(SourceRule))
    for i, row in enumerate(table["sources"]):
        s.source_rules[i].can_stale, s.source_rules[i].stale_after_ns, s.source_rules[i].heard_by = row
    s.indices = len(table["indices"])
    s.index_rules = <IndexRule*>_take(s, s.indices, sizeof(IndexRule))
    for i, row in enumerate(table["indices"]):
        x = &s.index_rules[i]
        (x.every_ns, x.scale, x.nodes_from, x.nodes_count, x.sources_min, x.lowest, x.leg_of) = row
    s.nodes_count = len(table["nodes"])
    s.nodes = <Node*>_take(s, s.nodes_count, sizeof(Node))
    for i, row in enumerate(table["nodes"]):
        n = &s.nodes[i]
        (n.kind, n.parts, n.ref, n.scale, n.argument, n.weight, n.samples_from, n.clamp) = row
    s.samples_count = table["samples"]
    s.collaterals = len(table["collateral"])
    s.collateral_rules = <CollateralRule*>_take(s, s.collaterals, sizeof(CollateralRule))
    for i, row in enumerate(table["collateral"]):
        c = &s.collateral_rules[i]
        (c.asset, c.index, c.weight_ppm, c.liability_weight_ppm, c.buffer_ppm, c.scale, c.market) = row[:7]
        (c.tiers_from, c.tiers_count, c.plain, c.one, c.imf_factor_ppm, c.weight_unit_ppm, c.initial_weight_ppm, c.initial_follows) = row[7:15]
        (c.deposits_capped, c.deposits_max, c.haircut_part, c.haircut_of) = row[15:]
    s.asset_rules = <AssetRule*>_take(s, s.assets, sizeof(AssetRule))
    for i, row in enumerate(table["borrow"]):
        s.asset_rules[i].borrow_every_ns, s.asset_rules[i].borrow_rate_ppb = row
    s.collateral_tiers_count = len(table["collateral_tiers"])
    s.collateral_tiers = <CollateralTier*>_take(s, s.collateral_tiers_count, sizeof(CollateralTier))
    for i, row in enumerate(table["collateral_tiers"]):
        s.collateral_tiers[i].qty_from, s.collateral_tiers[i].weight_ppm = row
    s.changes = len(table["changes"])
    s.change_rules = <ChangeRule*>_take(s, s.changes, sizeof(ChangeRule))
    for i, row in enumerate(table["changes"]):
        g = &s.change_rules[i]
        (g.market, g.collateral, g.brackets_from, g.brackets_count, g.scale_ppm, g.leverage_max, g.grandfathers, g.grandfather_ns,
         g.weight_ppm, g.liability_weight_ppm, g.buffer_ppm, g.announced_ns, g.effective_ns) = row
    s.stages = len(table["stages"])
    s.stage_rules = <StageRule*>_take(s, s.stages, sizeof(StageRule))
    for i, row in enumerate(table["stages"]):
        t = &s.stage_rules[i]
        (t.kind, t.choice, t.size, t.size_ppm, t.size_lots, t.size_notional, t.size_book_ppm, t.size_down) = row[:8]
        (t.timed, t.time_initial_ppm, t.time_duration_ns, t.time_small, t.share_ppm, t.share_least, t.cooldown_ns) = row[8:15]
        (t.window_ns, t.window_notional, t.window_insurance) = row[15:18]
        (t.capped, t.notional_max, t.fund_counts, t.fund_limit, t.to_book) = row[18:23]
        (t.bound.kind, t.bound.ppm, t.bound.adjustment_ppm) = row[23:26]
        (t.price, t.fee_ppm, t.surplus_to_fund, t.insured, t.fee_senior) = row[26:31]
        (t.asset_multiplier_ppm, t.liability_multiplier_ppm, t.insurance_fee_ppm, t.weight_unit_ppm) = row[31:35]
        (t.below.over, t.below.under, t.at_least.over, t.at_least.under) = row[35:39]
        (t.vault, t.vault_capped, t.vault_max) = row[39:]
        s.converts = s.converts or t.kind == STAGE_CONVERT
        if t.kind == STAGE_BOOK:
            s.book_rule = t
    s.levels_count = len(table["levels"])
    for i, row in enumerate(table["levels"]):
        s.levels[i].over, s.levels[i].under = row
    s.call.over = s.call.under = 1
    if s.levels_count and s.levels[0].over > s.levels[0].under:
        s.call = s.levels[0]
    s.quoters = len(table["quoters"])
    s.quoter_rules = <QuoterRule*>_take(s, s.quoters, sizeof(QuoterRule))
    for i, row in enumerate(table["quoters"]):
        q = &s.quoter_rules[i]
        (q.account, q.market, q.levels, q.half_spread_ppm, q.step_ppm, q.lots, q.refill_ns, q.exit_move_ppm, q.inventory_max, q.return_ns) = row
    _seams(s, table["seams"])
    return 0


cdef int _seams(State* s, rows) except -1:
    cdef int i
    block_free(s.seam_rows)
    s.seam_rows = NULL
    s.seams, s.armed = len(rows), 0
    s.seam_rows = <SeamRow*>_take(s, s.seams, sizeof(SeamRow))
    for i, row in enumerate(rows):
        m = &s.seam_rows[i]
        (m.seam, m.key, m.from_ns, m.to_ns, m.kind, m.argument) = row
        s.armed |= <uint32_t>1 << m.seam
    return 0


cdef int _memory(State* s, table) except -1:
    cdef int i
    cdef size_t slots = max(s.accounts_max, <int32_t>USERS_FROM)
    s.accounts = <Account*>_take(s, slots, sizeof(Account))
    s.episodes = <Episode*>_take(s, slots, sizeof(Episode))
    s.cooling = <uint32_t*>_take(s, slots, sizeof(uint32_t))
    s.owners_mask = 1
    while s.owners_mask < 2 * slots:
        s.owners_mask *= 2
    s.owners = <uint32_t*>_take(s, s.owners_mask, sizeof(uint32_t))
    s.owners_mask -= 1
    s.balances = <money_t*>_take(s, slots * s.assets, sizeof(money_t))
    s.positions = <Position*>_take(s, slots * s.markets, sizeof(Position))
    s.touched = <uint32_t*>_take(s, slots, sizeof(uint32_t))
    s.scan = <uint32_t*>_take(s, slots, sizeof(uint32_t))
    s.watched = <uint32_t*>_take(s, slots, sizeof(uint32_t))
    s.bounded = <uint32_t*>_take(s, slots, sizeof(uint32_t))
    s.bucket = <uint16_t*>_take(s, slots, sizeof(uint16_t))
    s.bucket_end = <int32_t*>_take(s, BOUND_BUCKETS, sizeof(int32_t))
    s.reference = <int64_t*>_take(s, s.markets + s.collaterals, sizeof(int64_t))
    s.picks = <Pick*>_take(s, slots, sizeof(Pick))
    s.candidates = <Candidate*>_take(s, slots, sizeof(Candidate))
    s.accounts_high = USERS_FROM
    for i in range(<int32_t>USERS_FROM):
        s.accounts[i].owner, s.accounts[i].opened = i, 1
    s.kept = <Fill*>_take(s, s.fills_kept, sizeof(Fill))
    s.met = <int64_t*>_take(s, slots, sizeof(int64_t))
    s.open_interest = <int64_t*>_take(s, s.markets, sizeof(int64_t))
    s.orders = <Order*>_take(s, s.orders_max + 1, sizeof(Order))
    s.expiries = <int32_t*>_take(s, s.orders_max + 1, sizeof(int32_t))
    s.orders_high = 1
    s.map_mask, s.map_shift = 2, 31
    while s.map_mask < 2 * <uint32_t>s.orders_max:
        s.map_mask, s.map_shift = s.map_mask * 2, s.map_shift - 1
    s.map = <Slot*>_take(s, s.map_mask, sizeof(Slot))
    s.map_mask -= 1
    s.watches = <Watch*>_take(s, s.markets, sizeof(Watch))
    s.ladders = <Ladder*>_take(s, s.markets * 2, sizeof(Ladder))
    s.source_states = <Source*>_take(s, s.sources, sizeof(Source))
    s.index_states = <Published*>_take(s, s.indices, sizeof(Published))
    s.index_used = <int64_t*>_take(s, s.indices, sizeof(int64_t))
    s.rings = <Ring*>_take(s, s.nodes_count, sizeof(Ring))
    s.marks = <Mark*>_take(s, s.markets, sizeof(Mark))
    s.collateral_states = <Published*>_take(s, s.collaterals, sizeof(Published))
    s.initial_weights = <int64_t*>_take(s, s.collaterals, sizeof(int64_t))
    s.quoter_states = <Quoter*>_take(s, s.quoters, sizeof(Quoter))
    s.funding_states = <Funding*>_take(s, s.markets, sizeof(Funding))
    s.market_states = <uint8_t*>_take(s, s.markets, sizeof(uint8_t))
    s.change_states = <Change*>_take(s, s.changes, sizeof(Change))
    for i in range(s.changes):
        if s.change_rules[i].grandfathers and s.grandfathered == NULL:
            s.grandfathered = <uint8_t*>_take(s, slots * s.markets, sizeof(uint8_t))
    s.samples = <int64_t*>_take(s, s.samples_count, sizeof(int64_t))
    for i in range(s.indices):
        s.index_states[i].grade = 2  # TOO_FEW_SOURCES until the first publication
    for i in range(s.markets):
        s.marks[i].published.grade = 2
        s.marks[i].basis_from, s.marks[i].premium_from = table["basis_from"][i], table["premium_from"][i]
        s.marks[i].settlement_from = table["settlement_from"][i]
    for i in range(s.collaterals):
        s.collateral_states[i].grade = 2
        margin_weigh(s, i)
    s.drafts = s.draft = <Outcome*>_take(s, DRAFTS, sizeof(Outcome))
    s.drafts_end = s.drafts + DRAFTS
    s.now = table["start_ns"]
    _timers(s)
    return outcomes_room(s, 4096)


cdef int _timers(State* s) except -1:
    """One timer slot per source, index, quoter and asset, three per market, two per change, in the order (kind, number).

    Orders expire before the ends of markets, interest and changes.
    """
    cdef int i, n = 0
    s.timers_count = s.sources + s.indices + s.quoters + 3 * s.markets + s.assets + 2 * s.changes
    s.timers = <Timer*>_take(s, s.timers_count, sizeof(Timer))
    s.next_due = TIMES_MAX_NS + 1
    for i in range(s.sources):
        s.timers[n].kind, s.timers[n].number = TIMER_STALE, i
        n += 1
    for i in range(s.indices):
        s.timers[n].kind, s.timers[n].number = TIMER_PUBLISH, i
        if s.index_rules[i].every_ns:
            s.timers[n].armed, s.timers[n].time_ns = True, s.now + s.index_rules[i].every_ns
        n += 1
    for i in range(s.quoters):
        s.timers[n].kind, s.timers[n].number = TIMER_QUOTE, i
        s.timers[n].armed, s.timers[n].time_ns = True, s.now + s.quoter_rules[i].refill_ns
        n += 1
    for i in range(s.markets):
        s.timers[n].kind, s.timers[n].number = TIMER_FUND, i
        if s.market_rules[i].funding_every_ns:
            s.timers[n].armed, s.timers[n].time_ns = True, funding_next(s, i, s.now)
        n += 1
    for i in range(s.markets):
        s.timers[n].kind, s.timers[n].number = TIMER_RESUME, i
        n += 1
    for i in range(s.markets):
        s.timers[n].kind, s.timers[n].number = TIMER_SETTLE, i
        if s.market_rules[i].expires_ns:
            s.timers[n].armed, s.timers[n].time_ns = True, max(s.now, s.market_rules[i].expires_ns)
        n += 1
    for i in range(s.assets):
        s.timers[n].kind, s.timers[n].number = TIMER_INTEREST, i
        if s.asset_rules[i].borrow_every_ns:
            s.timers[n].armed, s.timers[n].time_ns = True, borrow_next(s, i, s.now)
        n += 1
    for i in range(2 * s.changes):
        s.timers[n].kind, s.timers[n].number = TIMER_CHANGE, i
        if i < s.changes and s.change_rules[i].announced_ns >= 0:
            s.timers[n].armed, s.timers[n].time_ns = True, max(s.now, s.change_rules[i].announced_ns)
        n += 1
    for i in range(s.timers_count):
        if s.timers[i].armed and s.timers[i].time_ns < s.next_due:
            s.next_due = s.timers[i].time_ns
    return 0


cdef void state_free(State* s) noexcept:
    if s == NULL:
        return
    if s.ladders != NULL:
        book_free(s)
    for memory in [
        <size_t>s.market_rules, <size_t>s.brackets, <size_t>s.source_rules, <size_t>s.index_rules, <size_t>s.nodes,
        <size_t>s.collateral_rules, <size_t>s.collateral_tiers, <size_t>s.asset_rules, <size_t>s.initial_weights, <size_t>s.stage_rules, <size_t>s.quoter_rules, <size_t>s.seam_rows, <size_t>s.accounts, <size_t>s.owners,
        <size_t>s.balances, <size_t>s.positions, <size_t>s.orders, <size_t>s.map, <size_t>s.ladders,
        <size_t>s.source_states, <size_t>s.index_states, <size_t>s.index_used, <size_t>s.rings, <size_t>s.samples, <size_t>s.marks,
        <size_t>s.collateral_states, <size_t>s.quoter_states, <size_t>s.timers, <size_t>s.touched, <size_t>s.scan, <size_t>s.picks,
        <size_t>s.kept, <size_t>s.met, <size_t>s.open_interest, <size_t>s.expiries, <size_t>s.triggers, <size_t>s.watches,
        <size_t>s.candidates, <size_t>s.episodes, <size_t>s.cooling, <size_t>s.funding_states, <size_t>s.market_states,
        <size_t>s.change_rules, <size_t>s.change_states, <size_t>s.grandfathered,
        <size_t>s.drafts, <size_t>s.watched, <size_t>s.bounded, <size_t>s.bucket, <size_t>s.bucket_end, <size_t>s.reference,
    ]:
        block_free(<void*><size_t>memory)
    free(s.outcomes)
    free(s)


cdef int outcomes_room(State* s, int64_t room) except -1:
    """Make room for so many outcomes in all. The buffer is no block: realloc moves it without a copy."""
    cdef Outcome* grown
    if room <= s.outcomes_room:
        return 0
    grown = <Outcome*>realloc(s.outcomes, room * sizeof(Outcome))
    if grown == NULL:
        raise MemoryError(f"{room} outcomes")
    s.outcomes, s.outcomes_room = grown, room
    return 0


cdef int state_reserve(State* s, int64_t outcomes) except -1:
    """Ready a long run: room for so many outcomes more, touched, and large pages under what the hot path walks at random."""
    cdef size_t slots = s.accounts_max
    outcomes_room(s, s.outcomes_count + outcomes)
    memory_large(s.outcomes, s.outcomes_room * sizeof(Outcome))
    block_large(s.orders, (s.orders_max + 1) * sizeof(Order))
    block_large(s.map, (s.map_mask + 1) * sizeof(Slot))
    block_large(s.accounts, slots * sizeof(Account))
    block_large(s.balances, slots * s.assets * sizeof(money_t))
    block_large(s.positions, slots * s.markets * sizeof(Position))
    memset(s.outcomes + s.outcomes_count, 0, outcomes * sizeof(Outcome))
    return 0


cdef void outcomes_keep(State* s, bint read_soon) noexcept nogil:
    """Move the drafts to the outcomes; past the cache, which the book needs, unless they are read soon (10 ns an event of a large run).

    The room doubles. When memory runs out the run fails with MemoryError at its end; nothing is dropped in silence.
    """
    cdef int64_t room = 2 * s.outcomes_room
    cdef int64_t count = s.draft - s.drafts
    cdef Outcome* grown
    s.draft = s.drafts
    if s.outcomes_count + count > s.outcomes_room:
        grown = <Outcome*>realloc(s.outcomes, room * sizeof(Outcome))
        if grown == NULL:
            s.failed = True
            return
        s.outcomes, s.outcomes_room = grown, room
    if read_soon:
        memcpy(&s.outcomes[s.outcomes_count], s.drafts, count * sizeof(Outcome))
    else:
        block_stream(&s.outcomes[s.outcomes_count], s.drafts, count * sizeof(Outcome))
    s.outcomes_count += count


cdef void ring_push(Ring* ring, int64_t* samples, int32_t room, int64_t value) noexcept nogil:
    """Keep the last `room` samples and their sum."""
    if ring.count == room:
        ring.sum -= samples[ring.head]
    else:
        ring.count += 1
    samples[ring.head] = value
    ring.sum += value
    ring.head = ring.head + 1 if ring.head + 1 < room else 0


# ---- snapshot

cdef bytes _bytes(void* memory, size_t size):
    return (<char*>memory)[:size]


cdef list _blocks(State* s):
    """The (address, bytes) of every array that is saved whole; sizes depend on accounts_high and orders_high."""
    cdef size_t high = s.accounts_high
    cdef bint changes = s.changes > 0  # then rules are state too
    return [
        (<size_t>s.accounts, high * sizeof(Account)),
        (<size_t>s.episodes, high * sizeof(Episode)),
        (<size_t>s.balances, high * s.assets * sizeof(money_t)),
        (<size_t>s.positions, high * s.markets * sizeof(Position)),
        (<size_t>s.orders, s.orders_high * sizeof(Order)),
        (<size_t>s.triggers, s.orders_high * sizeof(Trigger) if s.triggers != NULL else 0),
        (<size_t>s.watches, s.markets * sizeof(Watch)),
        (<size_t>s.source_states, s.sources * sizeof(Source)),
        (<size_t>s.index_states, s.indices * sizeof(Published)),
        (<size_t>s.index_used, s.indices * sizeof(int64_t)),
        (<size_t>s.rings, s.nodes_count * sizeof(Ring)),
        (<size_t>s.samples, s.samples_count * sizeof(int64_t)),
        (<size_t>s.marks, s.markets * sizeof(Mark)),
        (<size_t>s.collateral_states, s.collaterals * sizeof(Published)),
        (<size_t>s.initial_weights, s.collaterals * sizeof(int64_t)),
        (<size_t>s.quoter_states, s.quoters * sizeof(Quoter)),
        (<size_t>s.funding_states, s.markets * sizeof(Funding)),
        (<size_t>s.market_states, s.markets * sizeof(uint8_t)),
        (<size_t>s.change_states, s.changes * sizeof(Change)),
        (<size_t>s.market_rules, s.markets * sizeof(MarketRule) if changes else 0),
        (<size_t>s.brackets, s.brackets_count * sizeof(Bracket) if changes else 0),
        (<size_t>s.collateral_rules, s.collaterals * sizeof(CollateralRule) if changes else 0),
        (<size_t>s.collateral_tiers, s.collateral_tiers_count * sizeof(CollateralTier) if changes else 0),
        (<size_t>s.grandfathered, high * s.markets if s.grandfathered != NULL else 0),
        (<size_t>s.timers, s.timers_count * sizeof(Timer)),
        (<size_t>s.kept, min(s.fills, <int64_t>s.fills_kept) * sizeof(Fill)),
        (<size_t>s.touched, s.touched_count * sizeof(uint32_t)),
        (<size_t>s.outcomes, s.outcomes_count * sizeof(Outcome)),
    ]


cdef bytes state_save(State* s):
    """Return the State struct, the seam rows, every array and every book, as one byte string."""
    parts = [_bytes(s, sizeof(State)), _bytes(s.seam_rows, s.seams * sizeof(SeamRow))]
    for memory, size in _blocks(s):
        parts.append(_bytes(<void*><size_t>memory, size))
    parts.append(book_save(s))
    return b"".join(parts)


cdef int state_load(State* s, bytes blob) except -1:
    """Fill a fresh state of the same rule table from state_save's bytes. The blob was checked by its digest before."""
    cdef State saved
    cdef const uint8_t* data = blob
    cdef size_t at = sizeof(State)
    cdef size_t size, a
    cdef int i
    memcpy(&saved, data, sizeof(State))
    s.accounts_high, s.orders_free, s.orders_high, s.orders_live = saved.accounts_high, saved.orders_free, saved.orders_high, saved.orders_live
    s.next_due, s.due_index, s.due_mark, s.due_state = saved.next_due, saved.due_index, saved.due_mark, saved.due_state
    s.now, s.events, s.event, s.engine_orders = saved.now, saved.events, saved.event, saved.engine_orders
    memcpy(s.stages_visited, saved.stages_visited, sizeof(saved.stages_visited))
    s.reduce_only_seen, s.fills, s.waiting, s.keeps = saved.reduce_only_seen, saved.fills, saved.waiting, saved.keeps
    if saved.triggers != NULL:
        s.triggers = <Trigger*>_take(s, s.orders_max + 1, sizeof(Trigger))
    s.round, s.stage, s.touched_count, s.armed = saved.round, saved.stage, saved.touched_count, saved.armed
    s.outcomes_count = saved.outcomes_count
    outcomes_room(s, saved.outcomes_count)
    block_free(s.seam_rows)
    s.seam_rows = NULL
    s.seams = saved.seams
    s.seam_rows = <SeamRow*>_take(s, s.seams, sizeof(SeamRow))
    memcpy(s.seam_rows, data + at, s.seams * sizeof(SeamRow))
    at += s.seams * sizeof(SeamRow)
    for memory, size in _blocks(s):
        if size:  # an array that was never taken has no address
            memcpy(<void*><size_t>memory, data + at, size)
        at += size
    for i in range(<int32_t>s.accounts_high):
        if s.episodes[i].cool_until_ns:
            s.cooling[s.cooling_count] = i
            s.cooling_count += 1
        s.accounts[i].watched = 0  # bounds are made again, they are no part of the state
        if i >= <int32_t>USERS_FROM and s.accounts[i].opened:
            accounts_join(s, i)
    book_load(s, blob, at)
    for i in range(1, s.orders_high):
        if s.orders[i].shown or s.orders[i].flags & ORDER_WAITS:
            map_insert(s, s.orders[i].order_id, i)
            expire_at(s, i)
    for a in range(s.accounts_high):
        for i in range(s.markets):
            if s.positions[a * s.markets + i].qty > 0:
                s.open_interest[i] += s.positions[a * s.markets + i].qty
    return 0


cdef int state_seams(State* s, rows) except -1:
    """Replace the fault schedule: a fork."""
    return _seams(s, rows)
