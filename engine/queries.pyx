"""Queries: what an exchange answers between events; nothing changes. The same definitions as specs/model/queries.py.

They ask no schedule of faults: what they tell is the rule book's.

Liquidation price, in closed form. A lot has a worth w = |value(price)|, the notional is N = |qty| w, and equity is that of all the
rest of the account + s N: s is 1 for a linear long and an inverse short, whose losses make N smaller, else -1. Let B = equity -
maintenance of all the rest (less 1 where equity at maintenance triggers). In a bracket of rate r and amount A

    triggered  <=>  ceil(N r) - A > B + s N  <=>  N (r - s) > A + B        (what stands on the right before is an integer)

so with s = 1 it is triggered while N (1 - r) < D = -(A + B), with s = -1 while N (1 + r) > A + B. Maintenance is not below 0, and
a table that a rule book admits never asks for less. Brackets are taken from that of the mark on in the direction of loss. A
market with a margin row is asked by bisection. A grandfathered position has the lower maintenance of two tables, so it is triggered
where it is by both: at the farther price.
"""
from libc.stdint cimport int64_t, uint32_t

from engine.accounts cimport accounts_may_give
from engine.adl cimport adl_score
from engine.bankruptcy cimport bankruptcy_limit, closing_value, price_highest, price_lowest, slice_limit
from engine.margin cimport (
    conversion_price, conversion_qty, margin_collateral_value,
    margin_bracket, margin_evaluate, margin_free, margin_kept, margin_maintenance, margin_position, margin_profit_haircut, margin_requirements,
    margin_spare_equity, margin_value,
)
from engine.money cimport MONEY_IN_MAX, div_ceil, div_floor, money_abs, money_max, money_min, money_scale, money_t, must
from engine.records cimport PLANTED, STAGE_BOOK, STAGE_TRANSFER, STATUS_NORMAL, USERS_FROM, WHY_NONE
from engine.state cimport NO_PRICE, Bracket, Evaluation, MarketRule, StageRule, State
from engine.transfer cimport Leg, transfer_given, transfer_leg, transfer_liability
from engine.trigger cimport triggered

cdef enum:
    PPM = 1000000


cdef bint _triggered_at(State* s, uint32_t account, const Evaluation* rest, int market, int64_t qty, int64_t price) noexcept nogil:
    """Would the account be triggered at a price of the market? `rest`: what it is without its position there."""
    cdef money_t cash = money_scale(margin_value(&s.market_rules[market], price), qty)
    cdef Evaluation e = rest[0]
    if not s.market_rules[market].plain or s.entangled:
        return _triggered_if(s, account, market, margin_value(&s.market_rules[market], price))
    e.equity += cash
    e.maintenance += margin_maintenance(s, account, market, money_abs(cash), qty if qty > 0 else -qty)
    return triggered(s, account, &e)


cdef bint _triggered_if(State* s, uint32_t account, int market, money_t value) noexcept nogil:
    """Would the account be triggered if a lot were worth so much? The whole account is evaluated again."""
    cdef money_t now = s.marks[market].value
    cdef Evaluation e
    s.marks[market].value = value
    e = margin_evaluate(s, account)
    s.marks[market].value = now
    return triggered(s, account, &e)


cdef money_t _down_to(const Bracket* row, money_t rest, int64_t lots, money_t high) noexcept nogil:
    """s = 1: the largest worth up to `high` at which the bracket triggers; 0 or less: none."""
    cdef money_t short_of = -(row.amount + rest)
    if short_of <= 0:
        return 0
    if row.rate >= PPM or short_of > money_scale(high, lots):  # N (1 - r) < D at all N of the bracket
        return high
    return money_min(high, (div_ceil(money_scale(short_of, PPM), PPM - row.rate) - 1) // lots)


cdef money_t _up_to(const Bracket* row, money_t rest, int64_t lots, money_t low, money_t high) noexcept nogil:
    """s = -1: the least worth from `low` on at which the bracket triggers; above `high`: none up to there."""
    cdef money_t spare = row.amount + rest
    if spare < 0:
        return low
    if spare > 2 * money_scale(high, lots):  # r <= 1
        return high + 1
    return money_max(low, div_ceil(div_floor(money_scale(spare, PPM), PPM + row.rate) + 1, lots))


cdef int64_t query_liquidation_price(State* s, uint32_t account, int market) noexcept nogil:
    cdef uint32_t armed = s.armed
    cdef int64_t price
    s.armed = 0
    price = _liquidation_price(s, account, market)
    s.armed = armed
    return price


cdef int64_t _liquidation_price(State* s, uint32_t account, int market) noexcept nogil:
    """The mark nearest to the present one, in the direction of loss, at which the account is triggered; NO_PRICE: none."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t qty = s.positions[<size_t>account * s.markets + market].qty
    cdef Evaluation e
    cdef money_t rest
    cdef int64_t price, kept
    if not qty:
        return NO_PRICE
    e = margin_evaluate(s, account)
    e.equity -= money_scale(s.marks[market].value, qty)
    e.maintenance -= margin_position(s, account, market)
    if not rule.plain or s.entangled or rule.price_min < 1:
        return _searched_price(s, account, &e, market, qty)
    rest = e.equity - e.maintenance - s.trigger_at_equal
    price = _first_in(s, &s.brackets[rule.brackets_from], rule.brackets_count, market, qty, rest)
    if price != NO_PRICE and rule.kept_count and s.grandfathered[<size_t>account * s.markets + market]:
        kept = _first_in(s, &s.brackets[rule.kept_from], rule.kept_count, market, qty, rest)
        if kept == NO_PRICE or (kept < price) == (qty > 0):
            price = kept
    if price != NO_PRICE:
        _verify(s, account, &e, market, qty, price)
    return price


cdef int64_t _first_in(State* s, const Bracket* rows, int count, int market, int64_t qty, money_t rest) noexcept nogil:
    """That by one table of brackets; 0: none."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t lots = qty if qty > 0 else -qty
    cdef int last = count - 1
    cdef bint rises = (qty > 0) != (rule.multiplier != 0)  # a loss makes the notional larger
    cdef money_t now = money_abs(s.marks[market].value)
    cdef money_t most = money_abs(margin_value(rule, rule.price_max if rule.multiplier else 1))
    cdef money_t low, high, worth, reach
    cdef int64_t price
    cdef int i, k
    for k in range(count):
        i = k if rises else last - k
        low = rows[i - 1].notional_max // lots + 1 if i else 0
        high = rows[i].notional_max // lots if i < last else most
        low = money_max(low, now) if rises else low
        high = money_min(high, most if rises else now)
        if low > high:
            continue
        reach = _up_to(&rows[i], rest, lots, low, high) if rises else _down_to(&rows[i], rest, lots, high)
        if not low <= reach <= high:
            continue
        price = _price_of(s, market, qty > 0, reach)
        worth = money_abs(margin_value(rule, price))
        if 1 <= price <= rule.price_max and (reach <= worth <= high if rises else low <= worth <= reach):
            return price
    return NO_PRICE


cdef int64_t _searched_price(State* s, uint32_t account, const Evaluation* rest, int market, int64_t qty) noexcept nogil:
    """The same by bisection, piece by piece as in specs/model/queries.py: towards 0 the notional falls, beyond it rises again."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t near = s.marks[market].published.last_valid
    cdef int64_t step = -1 if qty > 0 else 1
    cdef int64_t last = rule.price_min if qty > 0 else rule.price_max
    cdef int64_t price
    if (near > 0 and last < 0) or (near < 0 and last > 0):
        price = _one_way(s, account, rest, market, qty, near, 0)
        if price != NO_PRICE:
            return price
        near = step
    return _one_way(s, account, rest, market, qty, near, last)


cdef int64_t _one_way(State* s, uint32_t account, const Evaluation* rest, int market, int64_t qty, int64_t near, int64_t last) noexcept nogil:
    """On one side of 0, bracket by bracket: within one, equity less maintenance never rises on the way to a loss."""
    cdef int64_t step = -1 if qty > 0 else 1
    cdef int64_t within, beyond, middle
    cdef const Bracket* row
    cdef const Bracket* kept
    while (last - near) * step >= 0:
        row, kept = _bracket_at(s, market, qty, near), _kept_at(s, account, market, qty, near)
        within, beyond = near, last + step
        while beyond - within > 1 or within - beyond > 1:
            middle = within + (beyond - within) // 2
            if _bracket_at(s, market, qty, middle) == row and _kept_at(s, account, market, qty, middle) == kept:
                within = middle
            else:
                beyond = middle
        if _triggered_at(s, account, rest, market, qty, within):
            return _first(s, account, rest, market, qty, near, within)
        near = beyond
    return NO_PRICE


cdef int64_t _first(State* s, uint32_t account, const Evaluation* rest, int market, int64_t qty, int64_t near, int64_t far) noexcept nogil:
    cdef int64_t middle
    if _triggered_at(s, account, rest, market, qty, near):
        return near
    while far - near > 1 or near - far > 1:
        middle = near + (far - near) // 2
        if _triggered_at(s, account, rest, market, qty, middle):
            far = middle
        else:
            near = middle
    return far


cdef inline const Bracket* _bracket_at(State* s, int market, int64_t qty, int64_t price) noexcept nogil:
    return margin_bracket(s, market, money_abs(money_scale(margin_value(&s.market_rules[market], price), qty)))


cdef inline const Bracket* _kept_at(State* s, uint32_t account, int market, int64_t qty, int64_t price) noexcept nogil:
    return margin_kept(s, account, market, money_abs(money_scale(margin_value(&s.market_rules[market], price), qty)))


cdef int64_t _price_of(State* s, int market, bint long, money_t worth) noexcept nogil:
    """The first price from the mark on, in the direction of loss, at which a lot's worth has come so far."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t mark = s.marks[market].published.last_valid
    cdef money_t value = worth if rule.multiplier else -worth
    if long:
        return <int64_t>money_min(mark, price_highest(rule, value))
    return <int64_t>money_max(mark, price_lowest(rule, value))


cdef void _verify(State* s, uint32_t account, const Evaluation* rest, int market, int64_t qty, int64_t price) noexcept nogil:
    must(_triggered_at(s, account, rest, market, qty, price), "an account is triggered at its liquidation price")
    if price != s.marks[market].published.last_valid:
        price += 1 if qty > 0 else -1
        must(not _triggered_at(s, account, rest, market, qty, price), "an account is not triggered short of its liquidation price")


cdef int64_t query_bankruptcy_price(State* s, uint32_t account, int market) noexcept nogil:
    """What bounds a liquidation slice at the prices in force; NO_PRICE: none, of a short from the last tick on."""
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef int64_t qty = s.positions[<size_t>account * s.markets + market].qty
    cdef int64_t price
    if not qty:
        return NO_PRICE
    price = bankruptcy_limit(s, account, market, margin_position(s, account, market), margin_evaluate(s, account).maintenance, False)
    return price if price >= rule.price_min and (qty > 0 or price <= rule.price_max - rule.tick_size) else NO_PRICE


cdef int64_t query_liquidation_limit_price(State* s, uint32_t account, int market) noexcept nogil:
    """The worst price of a slice of the position, of the rule book's book stage; NO_PRICE: none."""
    cdef Evaluation e
    cdef int i
    if s.positions[<size_t>account * s.markets + market].qty:
        for i in range(s.stages):
            if s.stage_rules[i].kind == STAGE_BOOK:
                e = margin_evaluate(s, account)
                return slice_limit(s, account, market, &s.stage_rules[i].bound, &e)
    return NO_PRICE


cdef bint query_bankruptcy_value(State* s, uint32_t account, int market, int64_t lots, money_t* value) noexcept nogil:
    """The cash that the account must receive for lots (signed); False: they are 0, add to the position or exceed it."""
    cdef int64_t held = s.positions[<size_t>account * s.markets + market].qty
    cdef Evaluation e
    if not lots or (held > 0) == (lots > 0) or not held or (held + lots > 0) == (lots > 0) and held + lots:
        return False
    e = margin_evaluate(s, account)
    value[0] = closing_value(s, account, market, held, lots, &e)
    return True


cdef int query_adl_rank(State* s, uint32_t account, int market, int* of) noexcept nogil:
    """One more than how many of its side have a higher score, or as much and a lower id. Nobody in liquidation is counted."""
    cdef bint long = s.positions[<size_t>account * s.markets + market].qty > 0
    cdef uint32_t armed = s.armed
    cdef int64_t own, score, qty
    cdef int rank = 1
    cdef uint32_t other
    of[0] = 0
    if not s.positions[<size_t>account * s.markets + market].qty or s.accounts[account].status != STATUS_NORMAL:
        return 0
    s.armed = 0
    own = adl_score(s, account, market)
    for other in range(USERS_FROM, s.accounts_high):
        qty = s.positions[<size_t>other * s.markets + market].qty
        if not qty or (qty > 0) != long or s.accounts[other].status != STATUS_NORMAL:
            continue
        of[0] += 1
        score = adl_score(s, other, market)
        rank += score > own or score == own and (other > account if PLANTED(s.planted, 29) else other < account)
    s.armed = armed
    return rank


cdef money_t query_withdrawable(State* s, uint32_t account, int asset) noexcept nogil:
    """The largest amount that the gate of a withdrawal lets through; the gate is monotone in the amount.

    Of the settlement asset in closed form; of collateral, whose value is rounded twice, by bisection.
    """
    cdef money_t most = money_min(margin_free(s, account, asset), MONEY_IN_MAX)
    cdef money_t accepted, middle
    if most <= 0 or accounts_may_give(s, account, asset, 1):
        return 0
    if not accounts_may_give(s, account, asset, most):
        return most
    if asset == s.numeraire:
        accepted = margin_spare_equity(s, account, asset, 0) - margin_profit_haircut(s, account) - margin_requirements(s, account)
        must(not accounts_may_give(s, account, asset, accepted), "the gate lets through what is spare")
        must(accounts_may_give(s, account, asset, accepted + 1) != WHY_NONE, "the gate lets through no more than is spare")
        return accepted
    accepted = 1
    while most - accepted > 1:
        middle = accepted + (most - accepted) // 2
        if accounts_may_give(s, account, asset, middle):
            most = middle
        else:
            accepted = middle
    return accepted


cdef money_t query_collateral_needed(State* s, int row, money_t debt) noexcept nogil:
    """The least balance that counts for a debt where initial margin is asked for; by bisection, more never counts for less."""
    cdef money_t low = -1
    cdef money_t high = MONEY_IN_MAX  # BALANCE_MAX is as much
    cdef money_t middle
    if margin_collateral_value(s, row, high, True) < debt:
        return -1
    while high - low > 1:
        middle = (low + high) // 2
        if margin_collateral_value(s, row, middle, True) >= debt:
            high = middle
        else:
            low = middle
    return high


cdef money_t query_conversion_needed(State* s, int row, money_t debt) noexcept nogil:
    cdef int64_t price = s.collateral_states[row].last_valid
    return conversion_qty(&s.collateral_rules[row], debt, price) if conversion_price(&s.collateral_rules[row], price) else -1


cdef const StageRule* query_transfer(State* s) noexcept nogil:
    cdef int i
    for i in range(s.stages):
        if s.stage_rules[i].kind == STAGE_TRANSFER:
            return &s.stage_rules[i]
    return NULL


cdef money_t query_liability_taken(State* s, int liability, int asset, money_t shortage, money_t most) noexcept nogil:
    cdef Leg owed = transfer_leg(s, liability, -1)
    cdef Leg held = transfer_leg(s, asset, 0)
    return transfer_liability(query_transfer(s), shortage, &owed, &held, most)


cdef money_t query_collateral_given(State* s, int liability, int asset, money_t qty) noexcept nogil:
    cdef Leg owed = transfer_leg(s, liability, -1)
    cdef Leg held = transfer_leg(s, asset, 0)
    return money_min(transfer_given(query_transfer(s), qty, &owed, &held, MONEY_IN_MAX), MONEY_IN_MAX)
