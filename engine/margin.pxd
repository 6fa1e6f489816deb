"""Value, collateral, maintenance and initial margin at the prices in force. See margin.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport div_ceil, money_mul, money_t
from engine.records cimport ACT_LIQUIDATE, PERMIT_ALLOW, PERMIT_REFUSE, PLANTED
from engine.state cimport Bracket, CollateralRule, Evaluation, MarketRule, Published, State

cdef const Bracket* margin_bracket(State* s, int market, money_t notional) noexcept nogil
cdef money_t margin_collateral_value(State* s, int row, money_t balance, bint initial) noexcept nogil
cdef int64_t margin_weight(State* s, int row, money_t balance, bint initial) noexcept nogil  # ppm; of a debt too
cdef int64_t margin_size_weight(const CollateralRule* rule, money_t balance) noexcept nogil  # ppm; its factor is not 0
cdef bint margin_weigh(State* s, int row) noexcept nogil  # set the weight of initial margin in force: did it change?
cdef money_t margin_maintenance(State* s, uint32_t account, int market, money_t notional, int64_t lots) noexcept nogil  # of a position of it
cdef const Bracket* margin_kept(State* s, uint32_t account, int market, money_t notional) noexcept nogil  # NULL: it keeps no other table
cdef money_t margin_at_rate(State* s, const MarketRule* rule, const Bracket* row, money_t notional, int64_t lots) noexcept nogil  # no amount
cdef money_t margin_position(State* s, uint32_t account, int market) noexcept nogil  # maintenance of the position held
cdef money_t margin_minimum(State* s, uint32_t account) noexcept nogil  # the least its positions ask for; 0: no minimum
cdef money_t margin_notional(State* s, uint32_t account, int market) noexcept nogil  # of the position held
cdef money_t margin_of(State* s, uint32_t account, int market, int64_t lots) noexcept nogil  # of a part of it, the rest closed
cdef money_t margin_requirement(State* s, uint32_t account, int market, int side, int64_t lots, money_t cost, bint* exceeded) noexcept nogil
cdef void margin_needs(
    State* s, uint32_t account, int market, int side, int64_t lots, money_t cost, money_t* need, money_t* need_with, bint* exceeded
) noexcept nogil
cdef money_t requirements_beside(State* s, uint32_t account, int market) noexcept nogil  # of all markets but one; -1: of all
cdef money_t margin_requirements(State* s, uint32_t account) noexcept nogil  # of all markets
cdef Evaluation margin_evaluate(State* s, uint32_t account) noexcept nogil
cdef money_t margin_profit_haircut(State* s, uint32_t account) noexcept nogil  # of what does not count when margin leaves
cdef bint margin_has_requirements(State* s, uint32_t account) noexcept nogil  # equity at or above them
cdef money_t margin_wallet(State* s, uint32_t account, int asset) noexcept nogil  # without what open positions cost
cdef money_t margin_given(State* s, int market, int side, int64_t qty, int64_t price, int64_t fee_ppm, int* asset) noexcept nogil
cdef money_t margin_free(State* s, uint32_t account, int asset) noexcept nogil  # the wallet without what open spot orders give
cdef money_t margin_spare_equity(State* s, uint32_t account, int asset, money_t amount) noexcept nogil  # and without an amount
cdef int margin_collateral_permit(State* s, int row, int action) noexcept nogil
cdef int margin_may_withdraw(State* s, uint32_t account, int market) noexcept nogil  # the Reason why not; market -1: none more
cdef int strictest_of(State* s, uint32_t account, int action, int market) noexcept nogil  # market -1: none
cdef int64_t conversion_price(const CollateralRule* rule, int64_t price) noexcept nogil
cdef money_t conversion_value(const CollateralRule* rule, money_t balance, int64_t price) noexcept nogil
cdef money_t conversion_qty(const CollateralRule* rule, money_t need, int64_t price) noexcept nogil
cdef money_t conversion_equity(State* s, uint32_t account) noexcept nogil


# Inline, as each is a look into a table: a call would cost more.

cdef inline money_t margin_value(const MarketRule* rule, int64_t price) noexcept nogil:
    """Money per lot at a price, rounded toward -inf: the one payoff that the ledger sees; 0 at 0."""
    if rule.multiplier:
        return money_mul(price, rule.multiplier)
    return -div_ceil(rule.face, price) if price else 0


cdef inline int margin_state_permit(State* s, int market, int action) noexcept nogil:
    return s.state_permits[s.market_states[market]][action]


cdef inline int margin_grade_permit(State* s, int market, int action) noexcept nogil:
    """What the grade of a mark allows; without a mark that was ever valid nothing is."""
    cdef const Published* p = &s.marks[market].published
    if PLANTED(s.planted, 21) and action == ACT_LIQUIDATE:
        return PERMIT_ALLOW
    return s.permits[p.grade][action] if p.valid else PERMIT_REFUSE


cdef inline int margin_permit(State* s, int market, int action) noexcept nogil:
    """What the grade of a mark and the state of its market allow together, the stricter of the two."""
    cdef int grade = margin_grade_permit(s, market, action)
    cdef int state = margin_state_permit(s, market, action)
    return grade if grade > state else state


# A venue of one market without collateral asks nobody else: 60 instructions of 900 an order.

cdef inline money_t margin_requirements_beside(State* s, uint32_t account, int market) noexcept nogil:
    """The requirements of all markets but one."""
    return 0 if s.markets == 1 else requirements_beside(s, account, market)


cdef inline int margin_strictest(State* s, uint32_t account, int action, int market) noexcept nogil:
    """The strictest grade's permit over the account's positions, its collateral, and the market of an order; market -1: none."""
    if s.markets == 1 and market == 0 and not s.collaterals:
        return margin_grade_permit(s, 0, action)
    return strictest_of(s, account, action, market)
