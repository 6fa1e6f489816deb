"""Bounds: how far may prices move before an account can be liquidatable?

Let r be the largest relative move of any mark or collateral price since the bounds were made. An account with equity E,
maintenance M, positions of notional N_i and collateral counted at C_j then has

    equity      >= E - r (sum N_i + sum C_j) - rounding
    maintenance <= M + r sum N_i rate(2 N_i) + rounding        (maintenance is convex: its slope up to 2 N is at most rate(2 N))

so for r <= 1 it is safe while r < (E - M - rounding) / (sum N_i (1 + rate(2 N_i)) + sum C_j): its bound. Where there are
margin calls M and the rates count times the highest ratio of a level, and who is on a level has no bound. Where tiers take the
whole notional maintenance jumps: there the rate is that of N_i, and r stays within its bracket, N_i (1 + r) <= cap. What the
size of a position adds to its rate does not change with a price. Accounts stand in
buckets of 64 ppm by bound; a change of prices looks at the buckets up to the move, and at the watched: those whose balance,
position or status changed since. When as many accounts were looked at as there are, new bounds are made at today's prices.

The model looks at everybody after every change of a price; the lockstep tests prove that nobody is missed.
"""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from engine.margin cimport margin_at_rate, margin_bracket, margin_collateral_value, margin_evaluate, margin_kept
from engine.money cimport div_ceil, money_abs, money_max, money_min, money_mul, money_scale, money_t, muldiv_ceil, muldiv_floor, must
from engine.records cimport SEAM_LIQUIDATION_TRIGGER, STATUS_NORMAL, USERS_FROM
from engine.state cimport BOUND_BUCKETS, Bracket, Evaluation, MarketRule, Position, State

cdef enum:
    PPM = 1000000
    BUCKET_PPM = 64


cdef int _by_number(const void* left, const void* right) noexcept nogil:
    cdef uint32_t a = (<const uint32_t*>left)[0]
    cdef uint32_t b = (<const uint32_t*>right)[0]
    return (a > b) - (a < b)


cdef void sort_numbers(uint32_t* numbers, int count) noexcept nogil:
    """Sort ascending. An order touches two accounts or three: by insertion that costs a quarter of a call of qsort."""
    cdef int i, at
    cdef uint32_t number
    if count > 16:
        qsort(numbers, count, sizeof(uint32_t), _by_number)
        return
    for i in range(1, count):
        number, at = numbers[i], i
        while at and numbers[at - 1] > number:
            numbers[at] = numbers[at - 1]
            at -= 1
        numbers[at] = number


cdef int bounds_scan(State* s) noexcept nogil:
    """Fill s.scan with every account that can be triggered at the prices in force, ascending; return how many."""
    cdef int64_t move
    cdef int32_t reach, i
    cdef int count = 0
    if s.armed >> SEAM_LIQUIDATION_TRIGGER & 1:
        return _everybody(s)
    move = _move(s)
    if move >= PPM or not s.bounds_ready or s.work > <int64_t>s.accounts_high:
        _make(s)
        move = 0
    reach = s.bucket_end[move // BUCKET_PPM]
    for i in range(reach):
        if not s.accounts[s.bounded[i]].watched:
            s.scan[count] = s.bounded[i]
            count += 1
    for i in range(s.watched_count):
        s.scan[count] = s.watched[i]
        count += 1
    s.work += count
    sort_numbers(s.scan, count)
    return count


cdef int _everybody(State* s) noexcept nogil:
    cdef int count = 0
    cdef uint32_t account
    for account in range(USERS_FROM, s.accounts_high):
        if s.accounts[account].opened:
            s.scan[count] = account
            count += 1
    return count


cdef inline int64_t _price(State* s, int i) noexcept nogil:
    return s.marks[i].published.last_valid if i < s.markets else s.collateral_states[i - s.markets].last_valid


cdef int64_t _move(State* s) noexcept nogil:
    """The largest relative move since the bounds were made, ppm rounded up; PPM if it is larger or a price is new."""
    cdef int64_t price, before, largest = 0
    cdef money_t moved
    cdef int i
    for i in range(s.markets + s.collaterals):
        price, before = _price(s, i), s.reference[i]
        if price == before or (i < s.markets and s.market_rules[i].price_min < 1):
            continue
        if before == 0:
            return PPM
        moved = div_ceil(money_abs(money_mul(price - before, PPM)), before)
        if moved >= PPM:
            return PPM
        if <int64_t>moved > largest:
            largest = <int64_t>moved
    return largest


cdef void _make(State* s) noexcept nogil:
    """Make bounds of all accounts at the prices in force, sorted into buckets by counting."""
    cdef uint32_t account
    cdef int32_t i, total = 0
    cdef int32_t users = 0
    for i in range(s.markets + s.collaterals):
        s.reference[i] = _price(s, i)
    memset(s.bucket_end, 0, BOUND_BUCKETS * sizeof(int32_t))
    for account in range(USERS_FROM, s.accounts_high):
        s.accounts[account].watched = 0
        if s.accounts[account].opened:
            s.bucket[account] = _bucket(s, account)
            s.bucket_end[s.bucket[account]] += 1
    s.watched_count = 0
    for i in range(BOUND_BUCKETS):  # turn counts into starts; placing the accounts turns starts into ends
        users = s.bucket_end[i]
        s.bucket_end[i] = total
        total += users
    for account in range(USERS_FROM, s.accounts_high):
        if s.accounts[account].opened:
            s.bounded[s.bucket_end[s.bucket[account]]] = account
            s.bucket_end[s.bucket[account]] += 1
    s.work, s.bounds_ready = 0, True


cdef bint _owes_nothing(State* s, const money_t* balances) noexcept nogil:
    cdef int i
    for i in range(s.collaterals):
        if balances[s.collateral_rules[i].asset] < 0:
            return False
    return balances[s.numeraire] >= 0


cdef money_t _slope(
    State* s, const MarketRule* rule, const Bracket* row, money_t notional, int64_t lots, money_t* reach
) noexcept nogil:
    """By how much maintenance may rise while the price doubles; whole tiers: no farther than where the next one asks for more."""
    if rule.whole and notional <= row.notional_max:
        reach[0] = money_min(reach[0], muldiv_floor(row.notional_max - notional, PPM, notional))
    return margin_at_rate(s, rule, row, notional, lots)


cdef uint16_t _bucket(State* s, uint32_t account) noexcept nogil:
    """The bucket of an account's bound, rounded down; 0 for one that is triggered or not at rest."""
    cdef Evaluation e = margin_evaluate(s, account)
    cdef const Position* p = &s.positions[<size_t>account * s.markets]
    cdef const money_t* balances = &s.balances[<size_t>account * s.assets]
    cdef money_t slack = e.equity - muldiv_ceil(e.maintenance + 4 * (s.markets + s.collaterals) + 1, s.call.over, s.call.under)
    cdef money_t exposed = 0
    cdef money_t reach = PPM
    cdef money_t notional, bound
    cdef const MarketRule* rule
    cdef const Bracket* row
    cdef int64_t lots
    cdef int i
    if s.accounts[account].status != STATUS_NORMAL or s.accounts[account].level:
        return 0
    if not e.open and _owes_nothing(s, balances):
        return BOUND_BUCKETS - 1  # flat and without a debt: no price hurts it
    if slack <= 0:
        return 0
    for i in range(s.markets):
        if p[i].qty and s.market_rules[i].bankruptcy_fee_ppm:
            return 0  # a fee of the notional at which the account is bankrupt: looked at whenever a price changes
        if p[i].qty and s.market_rules[i].price_min < 1:
            return 0  # of a mark at 0 no move is relative, and _move leaves it out: looked at whenever a price changes
        if p[i].qty and not s.market_rules[i].multiplier:
            return 0  # an inverse position's value is not linear in the price: looked at whenever a price changes
        if p[i].qty:
            rule = &s.market_rules[i]
            notional = money_abs(money_scale(s.marks[i].value, p[i].qty))
            if rule.at_entry:  # no price changes its maintenance
                exposed += notional
                continue
            lots = p[i].qty if p[i].qty > 0 else -p[i].qty
            row = margin_bracket(s, i, notional if rule.whole else 2 * notional)
            bound = _slope(s, rule, row, notional, lots, &reach)
            row = margin_kept(s, account, i, notional if rule.whole else 2 * notional)
            if row != NULL:  # the slope of the lower of two is at most the higher slope
                bound = money_max(bound, _slope(s, rule, row, notional, lots, &reach))
            exposed += notional + muldiv_ceil(bound, s.call.over, s.call.under)
    for i in range(s.collaterals):
        exposed += money_abs(margin_collateral_value(s, i, balances[s.collateral_rules[i].asset], False))
    bound = reach if slack >= exposed else money_min(reach, muldiv_floor(slack, PPM, exposed))  # slack * PPM may leave 128 bits
    if bound >= PPM:
        return BOUND_BUCKETS - 1  # beyond r = 1, where _move makes new bounds
    bound //= BUCKET_PPM
    must(0 <= bound < BOUND_BUCKETS, "a bound has a bucket")
    return <uint16_t>bound
