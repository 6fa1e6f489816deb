"""Margin kernels over the rule rows. Requirements are rounded up, collateral is rounded down."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport cmp_ratio, div_ceil, div_floor, money_abs, money_max, money_min, money_mul, money_scale, money_t, money_turn, muldiv_ceil, muldiv_floor
from engine.records cimport ACT_LIQUIDATE, ACT_WITHDRAW, PERMIT_ALLOW, PERMIT_DEFER, PERMIT_REFUSE, PLANTED, SIDE_SELL, USERS_FROM, WHY_GRADE_REFUSED, WHY_MARKET_STATE, WHY_NONE
from engine.state cimport Bracket, CollateralRule, CollateralTier, Evaluation, MarketRule, Position, Published, State, rarely

cdef enum:
    PPM = 1000000
    SIZE_WEIGHT = 1100000  # ppm: the 1.1 of the size weight
    LIABILITY_WEIGHT_MAX_PPM = 10000000


cdef const Bracket* margin_bracket(State* s, int market, money_t notional) noexcept nogil:
    """The first bracket whose cap is not below the notional, else the last."""
    return _bracket(s, &s.market_rules[market], notional)


cdef inline const Bracket* _bracket(State* s, const MarketRule* rule, money_t notional) noexcept nogil:
    return _of(&s.brackets[rule.brackets_from], rule.brackets_count, notional)


cdef inline const Bracket* _of(const Bracket* row, int count, money_t notional) noexcept nogil:
    cdef const Bracket* last = row + count - 1
    while row < last and notional > row.notional_max:
        row += 1
    return row


cdef const Bracket* margin_kept(State* s, uint32_t account, int market, money_t notional) noexcept nogil:
    """The bracket of the table before the one in force, of a grandfathered position; NULL of another."""
    cdef const MarketRule* rule = &s.market_rules[market]
    if not rarely(rule.kept_count) or not s.grandfathered[<size_t>account * s.markets + market]:
        return NULL
    return _of(&s.brackets[rule.kept_from], rule.kept_count, notional)


cdef money_t margin_maintenance(State* s, uint32_t account, int market, money_t notional, int64_t lots) noexcept nogil:
    """Of so many lots of a position worth so much: notional * rate, rounded up, - amount; never below 0.

    Of a grandfathered one the lower of what two tables ask.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef money_t need = _maintenance(s, rule, _bracket(s, rule, notional), notional, lots)
    cdef const Bracket* kept = margin_kept(s, account, market, notional)
    return need if kept == NULL else money_min(need, _maintenance(s, rule, kept, notional, lots))


cdef inline money_t _maintenance(State* s, const MarketRule* rule, const Bracket* row, money_t notional, int64_t lots) noexcept nogil:
    if rule.plain:
        return money_max(0, div_ceil(money_scale(notional, row.rate), PPM) - row.amount)
    if PLANTED(s.planted, 42) and rule.whole:
        row = &s.brackets[rule.brackets_from]
    return money_max(0, margin_at_rate(s, rule, row, notional, lots) - row.amount)


cdef money_t margin_at_rate(State* s, const MarketRule* rule, const Bracket* row, money_t notional, int64_t lots) noexcept nogil:
    """notional * maintenance rate, rounded up; the rate grows with the lots, to 100 %."""
    cdef money_t rate = row.rate
    cdef money_t of = row.rate_of
    if not PLANTED(s.planted, 40):
        _grow(rule, rule.maintenance_per_lot, lots, &rate, &of)
    return muldiv_ceil(notional, rate, of)


cdef inline void _grow(const MarketRule* rule, money_t per_lot, int64_t lots, money_t* rate, money_t* of) noexcept nogil:
    """rate / of, each of 64 bits, grows by what every lot adds, to 1."""
    cdef money_t grown
    if not rule.size_scale:
        return
    grown = money_min(rule.size_scale, money_scale(per_lot, lots))
    rate[0] = money_scale(rule.size_scale, <int64_t>rate[0]) + money_scale(grown, <int64_t>of[0])
    of[0] = money_scale(rule.size_scale, <int64_t>of[0])
    rate[0] = money_min(rate[0], of[0])


cdef money_t margin_position(State* s, uint32_t account, int market) noexcept nogil:
    cdef int64_t qty = s.positions[<size_t>account * s.markets + market].qty
    return margin_of(s, account, market, qty if qty > 0 else -qty) if qty else 0


cdef money_t margin_of(State* s, uint32_t account, int market, int64_t lots) noexcept nogil:
    """The maintenance of so many lots of the position held, the rest of it closed at the mark."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    cdef money_t notional = money_scale(money_abs(s.marks[market].value), lots)
    if rule.plain or PLANTED(s.planted, 43):
        return margin_maintenance(s, account, market, notional, lots)
    notional = margin_maintenance(s, account, market, _notional(s, market, p, lots if p.qty > 0 else -lots), lots)
    if rule.bankruptcy_fee_ppm:
        notional += _closing_fee(s, account, market, p.qty > 0, lots)
    return notional


cdef money_t margin_notional(State* s, uint32_t account, int market) noexcept nogil:
    """The notional of the position held, as the market's margin row counts it: at the mark or at entry."""
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    return _notional(s, market, p, p.qty)


cdef money_t _notional(State* s, int market, const Position* p, int64_t lots) noexcept nogil:
    """The notional of signed lots at the mark; of what is held of that side, where the row says so, at its entry."""
    cdef money_t value = money_abs(s.marks[market].value)
    cdef int64_t size = lots if lots > 0 else -lots
    cdef int64_t held = p.qty if p.qty > 0 else -p.qty
    cdef int64_t kept = size if size < held else held
    if not s.market_rules[market].at_entry or not lots or not held or (lots > 0) != (p.qty > 0):
        return money_scale(value, size)
    return muldiv_ceil(money_abs(p.entry), kept, held) + money_scale(value, size - kept)


cdef money_t _closing_fee(State* s, uint32_t account, int market, bint long, int64_t lots) noexcept nogil:
    """The fee on the notional at which equity and the fee are used up; a loss raises that of a linear short, an inverse long.

    Where prices are signed so are notionals, down to that at the lowest price; the fee is one on their size.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef money_t notional = money_scale(s.marks[market].value if rule.multiplier else -s.marks[market].value, lots)
    cdef money_t least = money_scale(margin_value(rule, rule.price_min), lots) if rule.price_min < 0 else 0
    cdef bint rises = long == (rule.multiplier == 0)
    cdef money_t reach = money_max(least, notional + _equity(s, account, False) if rises else notional - _equity(s, account, False))
    return muldiv_ceil(money_abs(reach), rule.bankruptcy_fee_ppm, PPM + (rule.bankruptcy_fee_ppm if rises == (reach > 0) else -rule.bankruptcy_fee_ppm))


cdef money_t margin_minimum(State* s, uint32_t account) noexcept nogil:
    """The least that the account's positions ask for, and what closing those costs, rounded up."""
    cdef const MarketRule* rule
    cdef money_t total = 0
    cdef int64_t qty
    cdef int i
    for i in range(s.markets):
        rule, qty = &s.market_rules[i], s.positions[<size_t>account * s.markets + i].qty
        if qty and rule.least:
            total += rule.least + rule.closing_fixed
            total += div_ceil(money_scale(money_abs(money_scale(s.marks[i].value, qty)), rule.closing_ppm), PPM)
    return total


cdef money_t margin_requirement(State* s, uint32_t account, int market, int side, int64_t lots, money_t cost, bint* exceeded) noexcept nogil:
    """Initial margin of position and open orders on the worse side; nothing in a spot market."""
    if s.market_rules[market].spot:
        exceeded[0] = False
        return 0
    return _requirement(s, account, market, side, lots, cost, exceeded)


cdef money_t _requirement(State* s, uint32_t account, int market, int side, int64_t lots, money_t cost, bint* exceeded) noexcept nogil:
    """Initial margin of position and open orders on the worse side; an order of `lots` and `cost` on `side` counts as open."""
    cdef money_t need, need_with
    margin_needs(s, account, market, side, lots, cost, &need, &need_with, exceeded)
    return need_with


cdef void margin_needs(
    State* s, uint32_t account, int market, int side, int64_t lots, money_t cost, money_t* need, money_t* need_with, bint* exceeded
) noexcept nogil:
    """margin_requirement without an order and with it: an order changes one of the two sides, so three are enough.

    A side's requirement is the initial margin of the position with all its orders filled, plus what those fills would lose at
    once: their cost beyond the mark. What the order would lose is not set off against what resting orders would gain: it may
    trade at once, and they may never.
    """
    cdef const Position* p = &s.positions[<size_t>account * s.markets + market]
    cdef money_t value = s.marks[market].value
    cdef int sells = side == SIDE_SELL
    cdef int64_t held = -p.qty if sells else p.qty
    cdef int64_t near = (&p.buy_lots)[sells]
    cdef int64_t far = (&p.buy_lots)[1 - sells]
    cdef money_t near_cost = (&p.buy_value)[sells]
    cdef money_t far_cost = (&p.buy_value)[1 - sells]
    cdef money_t near_loss = money_max(0, money_turn(near_cost - money_scale(value, near), sells))
    cdef money_t far_loss = money_max(0, money_turn(money_scale(value, far) - far_cost, sells))
    cdef bint ignored, other
    cdef money_t same = _side_need(s, market, p, value, held + near, sells, near_loss, &ignored)
    cdef money_t opposite = _side_need(s, market, p, value, held - far, sells, far_loss, &other)
    cdef money_t added
    near_loss += money_max(0, money_turn(cost - money_scale(value, lots), sells))
    added = _side_need(s, market, p, value, held + near + lots, sells, near_loss, exceeded)
    need[0] = money_max(same, opposite)
    need_with[0] = money_max(added, opposite)
    exceeded[0] = exceeded[0] or other


cdef inline money_t _side_need(
    State* s, int market, const Position* p, money_t value, int64_t lots, bint turned, money_t loss, bint* exceeded
) noexcept nogil:
    """notional / min(chosen leverage, bracket cap), rounded up, never so little that it is liquidated at once; plus a loss.

    turned: lots are those of a short, long positive.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef money_t notional = money_abs(money_scale(value, lots))
    cdef const Bracket* row
    cdef int64_t leverage = p.leverage if p.leverage else rule.leverage_default
    if rule.at_entry:
        notional = _notional(s, market, p, -lots if turned else lots)
    if not lots:
        exceeded[0] = False
        return loss
    row = _bracket(s, rule, notional)
    leverage = leverage if leverage < row.leverage_max else row.leverage_max
    exceeded[0] = notional > row.notional_max
    if not rule.plain:
        return _initial(s, market, row, notional, lots if lots > 0 else -lots, leverage) + loss
    if leverage * row.rate * 2 <= PPM and notional >= 4 * leverage and row.amount >= 0:  # maintenance: at most half, and 2 less
        return div_ceil(notional, leverage) + loss
    return money_max(div_ceil(notional, leverage), _maintenance(s, rule, row, notional, lots) + s.trigger_at_equal) + loss


cdef money_t _initial(State* s, int market, const Bracket* row, money_t notional, int64_t lots, int64_t leverage) noexcept nogil:
    """The initial margin of lots by the margin row: a rate of the leverage or the bracket, grown by size or open interest."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t part = 1
    cdef int64_t whole = leverage
    cdef money_t rate, of, span, above
    if rule.divides:
        part, whole = row.initial_ppm, PPM * leverage
    elif row.initial_ppm * leverage >= PPM:
        part, whole = row.initial_ppm, PPM
    rate, of = part, whole
    _grow(rule, rule.initial_per_lot, lots, &rate, &of)
    span = rule.upper - rule.lower
    if rule.crowded and span and not PLANTED(s.planted, 41):
        above = money_scale(money_abs(s.marks[market].value), s.open_interest[market]) - rule.lower
        above = money_min(money_max(above, 0), span)
        rate, of = money_scale(span - above, part) + money_scale(above, whole), money_scale(span, whole)
    above = _maintenance(s, rule, row, notional, lots) + s.trigger_at_equal
    if rule.bankruptcy_fee_ppm:  # M (1 + f) + N f leaves M when the fee at the bankruptcy price counts
        above += muldiv_ceil(above, rule.bankruptcy_fee_ppm, PPM) + muldiv_ceil(notional, rule.bankruptcy_fee_ppm, PPM) + 1
    return money_max(muldiv_ceil(notional, rate, of), above)


cdef money_t margin_requirements(State* s, uint32_t account) noexcept nogil:
    return requirements_beside(s, account, -1)


cdef money_t requirements_beside(State* s, uint32_t account, int market) noexcept nogil:
    """Those of all markets but one."""
    cdef money_t total = 0
    cdef bint exceeded
    cdef int i
    for i in range(s.markets):
        if i != market:
            total += margin_requirement(s, account, i, 0, 0, 0, &exceeded)
    return total


cdef money_t margin_profit_haircut(State* s, uint32_t account) noexcept nogil:
    """What unrealised profit does not count for when margin leaves the account, rounded up."""
    cdef const Position* p = &s.positions[<size_t>account * s.markets]
    cdef money_t total = 0
    cdef int i
    if not s.profit_lost_ppm or PLANTED(s.planted, 44):
        return 0
    for i in range(s.markets):
        if p[i].qty:
            total += money_max(0, money_scale(s.marks[i].value, p[i].qty) - p[i].entry)
    return muldiv_ceil(total, s.profit_lost_ppm, PPM)


cdef bint margin_has_requirements(State* s, uint32_t account) noexcept nogil:
    return margin_spare_equity(s, account, s.numeraire, 0) >= margin_requirements(s, account)


cdef money_t margin_wallet(State* s, uint32_t account, int asset) noexcept nogil:
    """A balance without what open positions cost or brought: derived, it moves no money."""
    cdef money_t wallet = s.balances[<size_t>account * s.assets + asset]
    cdef int i
    if asset == s.numeraire:
        for i in range(s.markets):
            wallet += s.positions[<size_t>account * s.markets + i].entry
    return wallet


cdef money_t margin_given(State* s, int market, int side, int64_t qty, int64_t price, int64_t fee_ppm, int* asset) noexcept nogil:
    """What a spot order gives: the base asset, or cash and the fee on it, rounded up."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef money_t cash
    if side == SIDE_SELL:
        asset[0] = rule.base
        return money_mul(qty, rule.lot_units)
    asset[0] = rule.quote
    cash = money_scale(margin_value(rule, price), qty)
    return cash + div_ceil(money_scale(cash, fee_ppm), PPM)


cdef money_t _promised(State* s, uint32_t account, int asset) noexcept nogil:
    """What the account's open spot orders give of an asset, maker fees included: a market's sum rounded up."""
    cdef const Position* p
    cdef const MarketRule* rule
    cdef money_t cash
    cdef money_t total = 0
    cdef int market
    if not s.spots:
        return 0
    for market in range(s.markets):
        rule = &s.market_rules[market]
        if not rule.spot:
            continue
        p = &s.positions[<size_t>account * s.markets + market]
        if asset == rule.quote:
            cash = p.buy_value
            total += cash + div_ceil(money_scale(cash, rule.maker_ppm), PPM)
        elif asset == rule.base:
            total += money_mul(p.sell_lots, rule.lot_units)
    return total


cdef money_t margin_free(State* s, uint32_t account, int asset) noexcept nogil:
    return margin_wallet(s, account, asset) - _promised(s, account, asset)


cdef money_t margin_spare_equity(State* s, uint32_t account, int asset, money_t amount) noexcept nogil:
    """Equity at the weights of initial margin, without what open spot orders give, and without `amount` of `asset`."""
    cdef money_t equity = _equity(s, account, True)
    cdef money_t balance, given
    cdef int row
    if not s.spots:
        return equity - amount if asset == s.numeraire else equity
    equity -= _promised(s, account, s.numeraire) + (amount if asset == s.numeraire else 0)
    for row in range(s.collaterals):
        balance = s.balances[<size_t>account * s.assets + s.collateral_rules[row].asset]
        given = _promised(s, account, s.collateral_rules[row].asset) + (amount if asset == s.collateral_rules[row].asset else 0)
        if given:
            equity += margin_collateral_value(s, row, balance - given, True) - margin_collateral_value(s, row, balance, True)
    return equity


cdef money_t margin_collateral_value(State* s, int row, money_t balance, bint initial) noexcept nogil:
    """What a balance of a collateral row counts for at its price in force: balance * price down, * weight down.

    By size: the weighted quantity * price, rounded down once. A debt * liability weight, away from 0.
    """
    cdef const CollateralRule* rule = &s.collateral_rules[row]
    cdef int64_t price = s.collateral_states[row].last_valid
    cdef int64_t base = s.initial_weights[row] if initial else rule.weight_ppm
    cdef bint cut = not initial and rule.haircut_part != rule.haircut_of
    cdef money_t weighted
    if balance < 0:
        return -muldiv_ceil(muldiv_ceil(-balance, price, rule.scale), _debt_weight(rule, -balance), PPM)
    if rule.plain and not cut:
        return muldiv_floor(muldiv_floor(balance, price, rule.scale), base, PPM)
    weighted = _weighted(s, rule, balance, base)
    if cut:
        weighted = money_scale(weighted, rule.haircut_part) + money_scale(balance, PPM * (rule.haircut_of - rule.haircut_part))
        return muldiv_floor(weighted, price, money_scale(rule.scale, PPM * rule.haircut_of))
    return muldiv_floor(weighted, price, money_scale(rule.scale, PPM))


cdef money_t _weighted(State* s, const CollateralRule* rule, money_t balance, int64_t base) noexcept nogil:
    """A balance >= 0 times the ppm it counts at: the sum over its slices, or by its size, more never less."""
    cdef const CollateralTier* tier = &s.collateral_tiers[rule.tiers_from]
    cdef money_t total = 0
    cdef money_t up
    cdef int64_t weight, before, factor
    cdef int i
    if rule.tiers_count > 1:
        for i in range(rule.tiers_count):
            if balance <= tier[i].qty_from:
                break
            up = money_min(balance, tier[i + 1].qty_from) if i + 1 < rule.tiers_count else balance
            total += money_scale(up - tier[i].qty_from, tier[i].weight_ppm)
        return total
    weight = _weight(s, rule, balance, base)
    total = money_scale(balance, weight)
    if not rule.imf_factor_ppm or weight == _rounded(rule, base) or PLANTED(s.planted, 57):
        return total
    before, factor = weight + rule.weight_unit_ppm, rule.imf_factor_ppm
    return money_max(total, muldiv_floor(rule.one, _square(money_mul(SIZE_WEIGHT - before, PPM)), money_scale(_square(factor), before)))


cdef inline money_t _square(money_t x) noexcept nogil:
    """Of a number of at most 43 bits."""
    return x * x


cdef inline int64_t _rounded(const CollateralRule* rule, int64_t weight) noexcept nogil:
    return weight if rule.weight_unit_ppm == 1 else weight // rule.weight_unit_ppm * rule.weight_unit_ppm


cdef int64_t margin_weight(State* s, int row, money_t balance, bint initial) noexcept nogil:
    cdef const CollateralRule* rule = &s.collateral_rules[row]
    if balance < 0:
        return _debt_weight(rule, -balance)
    return _weight(s, rule, balance, s.initial_weights[row] if initial else rule.weight_ppm)


cdef int64_t _weight(State* s, const CollateralRule* rule, money_t balance, int64_t base) noexcept nogil:
    """The ppm at which a balance >= 0 counts: its last slice's, or min(base, size weight), rounded down."""
    cdef int i
    cdef int64_t size
    if rule.tiers_count > 1:
        for i in range(rule.tiers_count - 1, 0, -1):
            if balance > s.collateral_tiers[rule.tiers_from + i].qty_from:
                return s.collateral_tiers[rule.tiers_from + i].weight_ppm
        return rule.weight_ppm
    if rule.imf_factor_ppm:
        size = margin_size_weight(rule, balance)
        base = base if base < size else size
    return _rounded(rule, base)


cdef int64_t margin_size_weight(const CollateralRule* rule, money_t balance) noexcept nogil:
    """1.1 / (1 + f sqrt(q)): the last multiple w of the unit with f sqrt(q) w <= 1.1 - w, compared in squares."""
    cdef int64_t low = 0
    cdef int64_t high = SIZE_WEIGHT // rule.weight_unit_ppm + 1
    cdef int64_t middle, w
    while high - low > 1:
        middle = (low + high) // 2
        w = middle * rule.weight_unit_ppm
        if cmp_ratio(balance, rule.one, _square(money_mul(SIZE_WEIGHT - w, PPM)), _square(money_mul(w, rule.imf_factor_ppm))) <= 0:
            low = middle
        else:
            high = middle
    return low * rule.weight_unit_ppm


cdef int64_t _debt_weight(const CollateralRule* rule, money_t debt) noexcept nogil:
    """max(base, 0.8 base + f sqrt(q)), rounded down to the unit; compared in squares, tenths of a ppm."""
    cdef int64_t base = rule.liability_weight_ppm
    cdef int64_t low, high, middle, w
    if not rule.imf_factor_ppm:
        return _rounded(rule, base)
    low, high = base // rule.weight_unit_ppm, LIABILITY_WEIGHT_MAX_PPM // rule.weight_unit_ppm + 1
    while high - low > 1:
        middle = (low + high) // 2
        w = 10 * middle * rule.weight_unit_ppm - 8 * base
        if cmp_ratio(_square(w), _square(10 * rule.imf_factor_ppm), debt, rule.one) <= 0:
            low = middle
        else:
            high = middle
    return low * rule.weight_unit_ppm


cdef bint margin_weigh(State* s, int row) noexcept nogil:
    """Set the weight of initial margin that comes of what all users hold now: * min(1, deposits_max / its value up), down."""
    cdef const CollateralRule* rule = &s.collateral_rules[row]
    cdef int64_t before = s.initial_weights[row]
    cdef money_t deposits = 0
    cdef money_t value
    cdef uint32_t account
    if not rule.deposits_capped:
        s.initial_weights[row] = _rounded(rule, rule.initial_weight_ppm)
        return False
    for account in range(USERS_FROM, s.accounts_high):
        deposits += money_max(0, s.balances[<size_t>account * s.assets + rule.asset])
    value = muldiv_ceil(deposits, s.collateral_states[row].last_valid, rule.scale)
    s.initial_weights[row] = _rounded(rule, rule.initial_weight_ppm)
    if value > rule.deposits_max and not PLANTED(s.planted, 56):
        s.initial_weights[row] = _rounded(rule, <int64_t>muldiv_floor(rule.initial_weight_ppm, rule.deposits_max, value))
    return s.initial_weights[row] != before


cdef money_t _equity(State* s, uint32_t account, bint initial) noexcept nogil:
    """What margin_evaluate calls equity; initial: at the weights of initial margin."""
    cdef const Position* p = &s.positions[<size_t>account * s.markets]
    cdef const money_t* balances = &s.balances[<size_t>account * s.assets]
    cdef money_t equity = balances[s.numeraire]
    cdef int market, row
    for market in range(s.markets):
        if p[market].qty:
            equity += money_scale(s.marks[market].value, p[market].qty)
    for row in range(s.collaterals):
        if balances[s.collateral_rules[row].asset]:
            equity += margin_collateral_value(s, row, balances[s.collateral_rules[row].asset], initial)
    return equity


cdef Evaluation margin_evaluate(State* s, uint32_t account) noexcept nogil:
    """Haircut equity, maintenance, whether a position is held, the strictest LIQUIDATE permit."""
    cdef Evaluation e
    cdef const Position* p = &s.positions[<size_t>account * s.markets]
    cdef const money_t* balances = &s.balances[<size_t>account * s.assets]
    cdef money_t counted
    cdef int market, row, permit
    e.equity, e.maintenance, e.permit, e.open = balances[s.numeraire], 0, PERMIT_ALLOW, False
    for market in range(s.markets):
        if p[market].qty:
            e.open = True
            e.equity += money_scale(s.marks[market].value, p[market].qty)
            if not (PLANTED(s.planted, 71) and s.marks[market].value < 0):
                e.maintenance += margin_position(s, account, market)
            permit = margin_permit(s, market, ACT_LIQUIDATE)
            if permit > e.permit:
                e.permit = permit
    for row in range(s.collaterals):
        rule = &s.collateral_rules[row]
        counted = margin_collateral_value(s, row, balances[rule.asset], False) if balances[rule.asset] else 0
        if counted:  # collateral that counts for nothing decides nothing
            e.equity += counted
            permit = margin_collateral_permit(s, row, ACT_LIQUIDATE)
            if permit > e.permit:
                e.permit = permit
    return e


cdef int margin_collateral_permit(State* s, int row, int action) noexcept nogil:
    cdef const Published* p = &s.collateral_states[row]
    if PLANTED(s.planted, 21) and action == ACT_LIQUIDATE:
        return PERMIT_ALLOW
    return s.permits[p.grade][action] if p.valid else PERMIT_REFUSE


cdef int margin_may_withdraw(State* s, uint32_t account, int market) noexcept nogil:
    """Why grades, or the states of the markets it holds positions in, keep margin where it is; WHY_NONE if they do not."""
    cdef int i
    if margin_strictest(s, account, ACT_WITHDRAW, market) >= PERMIT_DEFER:
        return WHY_GRADE_REFUSED
    for i in range(s.markets):
        if i == market or s.positions[<size_t>account * s.markets + i].qty:
            if margin_state_permit(s, i, ACT_WITHDRAW) >= PERMIT_DEFER:
                return WHY_MARKET_STATE
    return WHY_NONE


cdef int strictest_of(State* s, uint32_t account, int action, int market) noexcept nogil:
    """The strictest grade's permit over the account's positions, its collateral, and the market of an order."""
    cdef int strictest = PERMIT_ALLOW
    cdef int i, permit
    for i in range(s.markets):
        if i == market or s.positions[<size_t>account * s.markets + i].qty:
            permit = margin_grade_permit(s, i, action)
            if permit > strictest:
                strictest = permit
    for i in range(s.collaterals):
        if s.balances[<size_t>account * s.assets + s.collateral_rules[i].asset]:
            permit = margin_collateral_permit(s, i, action)
            if permit > strictest:
                strictest = permit
    return strictest


cdef int64_t conversion_price(const CollateralRule* rule, int64_t price) noexcept nogil:
    """price * (1 - buffer), rounded down."""
    return <int64_t>div_floor(money_mul(price, PPM - rule.buffer_ppm), PPM)


cdef money_t conversion_value(const CollateralRule* rule, money_t balance, int64_t price) noexcept nogil:
    """What the treasury pays for a balance >= 0, rounded down."""
    return muldiv_floor(balance, conversion_price(rule, price), rule.scale)


cdef money_t conversion_qty(const CollateralRule* rule, money_t need, int64_t price) noexcept nogil:
    """The least quantity of the asset whose conversion value is at least `need`."""
    return muldiv_ceil(need, rule.scale, conversion_price(rule, price))


cdef money_t conversion_equity(State* s, uint32_t account) noexcept nogil:
    """What the account is worth if its collateral is sold to the treasury: the margin that bankruptcy uses up."""
    cdef money_t equity = s.balances[<size_t>account * s.assets + s.numeraire]
    cdef int i
    for i in range(s.markets):
        equity += money_scale(s.marks[i].value, s.positions[<size_t>account * s.markets + i].qty)
    for i in range(s.collaterals):
        rule = &s.collateral_rules[i]
        equity += conversion_value(rule, s.balances[<size_t>account * s.assets + rule.asset], s.collateral_states[i].last_valid)
    return equity
