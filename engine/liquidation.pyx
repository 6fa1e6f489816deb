"""Liquidation: select, cancel, book, takeover, convert, fund, write-off. The same steps as specs/model/liquidation.py.

Two residuals are never mixed: lots open, and the shortfall, which is money and exists only once an account is flat and its
collateral converted. Nothing rounds in favour of the account that is being liquidated.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memset

from engine.accounts cimport accounts_auto_add, is_user
from engine.adl cimport adl_run
from engine.bands cimport bands_narrow
from engine.bankruptcy cimport bankruptcy_share, closing_value, slice_limit
from engine.fund cimport fund_measure, fund_pay, fund_settle_slice
from engine.ledger cimport ledger_exchange, ledger_flow, ledger_move
from engine.margin cimport (
    conversion_equity, conversion_price, conversion_qty, conversion_value, margin_collateral_permit, margin_evaluate,
    margin_minimum, margin_needs, margin_permit, margin_position, margin_requirements_beside, margin_spare_equity, margin_state_permit,
    margin_value,
)
from engine.money cimport cmp_ratio, div_ceil, div_floor, money_abs, money_hi, money_lo, money_max, money_min, money_mul, money_scale, money_t
from engine.orders cimport order_cancel, order_match, order_next_id, order_out_of_bounds, order_trim
from engine.records cimport (
    ACT_CONVERT, ACT_LIQUIDATE, ACT_TAKEOVER, CHART_BACKSTOP, CHART_BAD_DEBT, CHART_FUND, CHART_TREASURY, FLOW_CONVERT_ASSET, FLOW_CONVERT_CASH,
    FLOW_LIQUIDATION_FEE, FLOW_TAKEOVER, FLOW_TAKEOVER_SURPLUS, FLOW_WRITE_OFF, OUT_CARRIED, OUT_CONVERT, OUT_LIQUIDATION, OUT_MARGIN_LEVEL,
    OUT_RESTORED, OUT_SUSPENDED,
    OUT_TAKEOVER, PERMIT_DEFER, PLANTED, SEAM_TAKEOVER_ACCEPT, SIDE_BUY, SIDE_SELL, STAGE_ADL, STAGE_BOOK, STAGE_CANCEL, STAGE_CONVERT,
    STAGE_FUND, STAGE_NONE, STAGE_TAKEOVER, STAGE_TRANSFER, STAGE_WRITE_OFF, STATUS_LIQUIDATING, STATUS_NORMAL, STATUS_SUSPENDED, TIF_IOC, WHY_ABOVE_TARGET,
    WHY_COOLING_DOWN, WHY_FLAT, WHY_LIQUIDATED, WHY_MAINTENANCE, WHY_MINIMUM,
)
from engine.seams cimport seam_decision
from engine.slices cimport slices_choose, slices_fee, slices_lots, slices_use, slices_used_up
from engine.transfer cimport transfer_run
from engine.trigger cimport enters, margin_level, triggered
from engine.state cimport NO_PRICE, TAKE_BANKRUPTCY, TAKE_BANKRUPTCY_VALUE, TAKE_MARK, TAKE_ORACLE, CollateralRule, Evaluation, MarketRule, Pick, Published, StageRule, State, Ticket, emit, watch

cdef enum:
    PPM = 1000000
    QTY_MAX = 1000000000


cdef int liquidation_select(State* s, int count) noexcept nogil:
    """Sort the triggered of s.scan into s.picks by the rule book's order; close, suspend and open episodes on the way."""
    cdef int picked = 0
    cdef int i
    cdef uint32_t account
    cdef Evaluation e
    cdef bint verdict
    cdef money_t least
    for i in range(count):
        account = s.scan[i]
        e = margin_evaluate(s, account)
        verdict = triggered(s, account, &e)
        if verdict and accounts_auto_add(s, account, &e):
            e = margin_evaluate(s, account)
            verdict = triggered(s, account, &e)
        _call(s, account, &e)
        if not verdict:
            if s.accounts[account].status != STATUS_NORMAL:
                s.accounts[account].status = STATUS_NORMAL
                s.episodes[account].since_ns = 0
                liquidation_warm(s, account)
                _say(s, OUT_RESTORED, account, e.equity, WHY_ABOVE_TARGET if e.open else WHY_FLAT)
        elif e.permit >= PERMIT_DEFER:
            if s.accounts[account].status != STATUS_SUSPENDED:
                s.accounts[account].status = STATUS_SUSPENDED
                watch(s, account)
                _say(s, OUT_SUSPENDED, account, e.equity, 0)
        elif not (e.open and s.episodes[account].cool_until_ns) or _enters_anyway(s, &e):
            s.picks[picked].account, s.picks[picked].equity, s.picks[picked].maintenance = account, e.equity, e.maintenance
            picked += 1
    if picked > 1:
        qsort(s.picks, picked, sizeof(Pick), _by_ratio if s.order_row == 0 else _by_deficit if s.order_row == 1 else _by_account)
    for i in range(picked):
        account = s.picks[i].account
        if s.accounts[account].status != STATUS_LIQUIDATING:
            s.accounts[account].status = STATUS_LIQUIDATING
            s.episodes[account].since_ns = s.now
            watch(s, account)
            least = margin_minimum(s, account)
            _say(s, OUT_LIQUIDATION, account, s.picks[i].equity, WHY_MINIMUM if least and s.picks[i].equity < least else WHY_MAINTENANCE)
    return picked


cdef bint _enters_anyway(State* s, const Evaluation* e) noexcept nogil:
    """A stage that closes lots has a condition of its own, which holds: no cooldown keeps it."""
    cdef const StageRule* rule
    cdef int i
    for i in range(s.stages):
        rule = &s.stage_rules[i]
        if rule.kind == STAGE_TAKEOVER or rule.kind == STAGE_ADL:
            if (rule.below.over or rule.at_least.over) and enters(s, e, rule):
                return True
    return False


cdef inline bint _waits(State* s, uint32_t account) noexcept nogil:
    return s.episodes[account].cool_until_ns or slices_used_up(s, account)


cdef inline bint _kept(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    """A cooldown, or a block limit that is used up, keeps the stage from the account's lots."""
    return _waits(s, account) and (rule.kind == STAGE_BOOK or not (rule.below.over or rule.at_least.over))


cdef inline void _call(State* s, uint32_t account, const Evaluation* e) noexcept nogil:
    """Say that the account has come to another level of margin calls."""
    cdef int level = margin_level(s, e)
    if level == s.accounts[account].level:
        return
    o = emit(s, OUT_MARGIN_LEVEL)
    o.account, o.qty, o.other_id = account, level, s.accounts[account].level
    o.money_lo, o.money_hi = money_lo(e.equity), money_hi(e.equity)
    s.accounts[account].level = level
    watch(s, account)


cdef void _say(State* s, int kind, uint32_t account, money_t money, int why) noexcept nogil:
    o = emit(s, kind)
    o.account, o.reason = account, why
    o.money_lo, o.money_hi = money_lo(money), money_hi(money)


cdef int _by_account(const void* left, const void* right) noexcept nogil:
    cdef uint32_t a = (<const Pick*>left).account
    cdef uint32_t b = (<const Pick*>right).account
    return (a > b) - (a < b)


cdef int _by_deficit(const void* left, const void* right) noexcept nogil:
    """Largest maintenance - equity first."""
    cdef money_t a = (<const Pick*>left).maintenance - (<const Pick*>left).equity
    cdef money_t b = (<const Pick*>right).maintenance - (<const Pick*>right).equity
    return (a < b) - (a > b) if a != b else _by_account(left, right)


cdef int _by_ratio(const void* left, const void* right) noexcept nogil:
    """Highest maintenance / equity first; no equity counts as the highest, the deepest debt before the others."""
    cdef const Pick* a = <const Pick*>left
    cdef const Pick* b = <const Pick*>right
    cdef int order
    if a.equity <= 0 or b.equity <= 0:
        if (a.equity > 0) != (b.equity > 0):
            return 1 if a.equity > 0 else -1
        order = (a.equity > b.equity) - (a.equity < b.equity)
    else:
        order = -cmp_ratio(a.maintenance, a.equity, b.maintenance, b.equity)
    return order if order else _by_account(left, right)


cdef void liquidation_round(State* s, int count) noexcept nogil:
    """Cancel the orders of all selected accounts, then take each through the stages."""
    cdef int i
    if s.stage_rules[0].kind == STAGE_CANCEL:
        for i in range(count):
            s.stages_visited[<int>STAGE_CANCEL] += 1
            while s.accounts[s.picks[i].account].orders_head:
                order_cancel(s, s.accounts[s.picks[i].account].orders_head, WHY_LIQUIDATED, STAGE_CANCEL)
    for i in range(count):
        _run_stages(s, s.picks[i].account)


cdef inline void _enter(State* s, int stage) noexcept nogil:
    s.stages_visited[stage] += 1
    s.stage = stage


cdef void _run_stages(State* s, uint32_t account) noexcept nogil:
    cdef const money_t* balance = &s.balances[<size_t>account * s.assets + s.numeraire]
    cdef const StageRule* rule
    cdef Evaluation e
    cdef bint short_of
    cdef int i
    for i in range(s.stages):
        rule = &s.stage_rules[i]
        e = margin_evaluate(s, account)
        short_of = not e.open and balance[0] < 0
        if rule.kind == STAGE_TRANSFER:
            if e.open and triggered(s, account, &e):
                _enter(s, STAGE_TRANSFER)
                transfer_run(s, account, rule)
        elif rule.kind == STAGE_BOOK or rule.kind == STAGE_TAKEOVER or rule.kind == STAGE_ADL:
            if e.open and not _kept(s, account, rule) and triggered(s, account, &e) and enters(s, &e, rule):
                _close(s, account, rule, &e)
        elif rule.kind == STAGE_CONVERT and short_of and not PLANTED(s.planted, 10):
            _enter(s, STAGE_CONVERT)
            _convert(s, account, rule)
        elif rule.kind == STAGE_FUND and short_of and _converted(s, account):
            _enter(s, STAGE_FUND)
            fund_pay(s, account, -balance[0], -balance[0])
        elif rule.kind == STAGE_WRITE_OFF and short_of and _converted(s, account):
            _enter(s, STAGE_WRITE_OFF)
            if PLANTED(s.planted, 20):
                s.balances[<size_t>CHART_BAD_DEBT * s.assets + s.numeraire] -= balance[0]
            ledger_flow(s, FLOW_WRITE_OFF, CHART_BAD_DEBT, account, s.numeraire, -balance[0])
    s.stage = STAGE_NONE
    e = margin_evaluate(s, account)
    if triggered(s, account, &e):
        if e.open and slices_used_up(s, account):
            _cool(s, account, (s.now // s.book_rule.window_ns + 1) * s.book_rule.window_ns)
        _say(s, OUT_CARRIED, account, e.equity, WHY_COOLING_DOWN if e.open and _waits(s, account) else 0)


cdef void _close(State* s, uint32_t account, const StageRule* rule, const Evaluation* e) noexcept nogil:
    """Enter a stage that closes lots."""
    _enter(s, rule.kind)
    if rule.kind == STAGE_BOOK:
        _book(s, account, rule, e)
    elif rule.kind == STAGE_TAKEOVER:
        _takeover(s, account, rule)
    else:
        adl_run(s, account, rule)


cdef void _cool(State* s, uint32_t account, int64_t until_ns) noexcept nogil:
    """No slice of the account's liquidation before."""
    if PLANTED(s.planted, 53):
        return
    if not s.episodes[account].cool_until_ns:
        s.cooling[s.cooling_count] = account
        s.cooling_count += 1
    if until_ns > s.episodes[account].cool_until_ns:
        s.episodes[account].cool_until_ns = until_ns
    if s.episodes[account].cool_until_ns < s.next_due:
        s.next_due = s.episodes[account].cool_until_ns


cdef void liquidation_warm(State* s, uint32_t account) noexcept nogil:
    """It cools down no longer."""
    cdef int i
    if not s.episodes[account].cool_until_ns:
        return
    s.episodes[account].cool_until_ns = 0
    for i in range(s.cooling_count):
        if s.cooling[i] == account:
            s.cooling_count -= 1
            s.cooling[i] = s.cooling[s.cooling_count]
            return


cdef void _book(State* s, uint32_t account, const StageRule* rule, const Evaluation* e) noexcept nogil:
    """One bounded IOC slice of the position with the largest maintenance; then the fee on what was filled.

    None in a market that another slice of this round has paused.
    """
    cdef int market = slices_choose(s, account, rule.choice)
    cdef money_t notional, value, fee, cash
    cdef int64_t qty, held, limit, closed
    if margin_state_permit(s, market, ACT_LIQUIDATE) >= PERMIT_DEFER:
        return
    held = s.positions[<size_t>account * s.markets + market].qty
    limit = slice_limit(s, account, market, &rule.bound, e)
    if limit == NO_PRICE:
        return
    qty = slices_lots(s, account, market, rule, e, limit)
    if not qty:
        return
    value, cash = money_abs(money_scale(s.marks[market].value, held)), s.balances[<size_t>account * s.assets + s.numeraire]
    notional = _trade(s, account, market, SIDE_SELL if held > 0 else SIDE_BUY, limit, qty, STAGE_BOOK)
    if notional and rule.cooldown_ns:
        _cool(s, account, s.now + rule.cooldown_ns)
    if rule.window_ns:
        closed = held - s.positions[<size_t>account * s.markets + market].qty
        slices_use(s, account, rule, money_abs(money_scale(s.marks[market].value, closed)), 0)
    if rule.insured:
        fund_settle_slice(s, account, market, rule, held, s.balances[<size_t>account * s.assets + s.numeraire] - cash, e)
        return
    fee = slices_fee(s, account, market, notional, value, e)
    if not rule.fee_senior:
        fee = money_min(fee, money_max(0, conversion_equity(s, account)))
    if fee:
        if PLANTED(s.planted, 23):
            account = (s.draft - 1).other  # the maker of a fill without a fee
        ledger_flow(s, FLOW_LIQUIDATION_FEE, account, CHART_FUND, s.numeraire, fee)




cdef void _takeover(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    """A provider takes every position, at the row's price; at mark and oracle one after another, while it is triggered."""
    cdef int market
    cdef int64_t qty
    cdef bint vault
    cdef money_t cash, surplus
    cdef Evaluation e
    for market in range(s.markets):
        qty = s.positions[<size_t>account * s.markets + market].qty
        if not qty or margin_permit(s, market, ACT_TAKEOVER) >= PERMIT_DEFER:
            continue
        e = margin_evaluate(s, account)
        if rule.price >= TAKE_MARK and not triggered(s, account, &e):
            return
        cash = _takeover_cash(s, account, market, qty, rule, &e)
        surplus = money_max(0, money_scale(s.marks[market].value, qty) - cash) if rule.surplus_to_fund else 0
        vault = rule.vault and _vault_admits(s, account, market, qty, rule, cash + surplus)
        if seam_decision(s, SEAM_TAKEOVER_ACCEPT, market, vault or _accepts(s, market, qty, rule)):
            _take_over(s, account, market, qty, rule.vault if vault else <uint32_t>CHART_BACKSTOP, cash, surplus)


cdef void _take_over(State* s, uint32_t account, int market, int64_t qty, uint32_t provider, money_t cash, money_t surplus) noexcept nogil:
    """Move a position to the provider against cash and a surplus, which is then paid to the fund."""
    cdef int64_t lots = qty if qty > 0 else -qty
    cash += surplus
    if PLANTED(s.planted, 8):
        lots += 1
    if qty > 0:
        ledger_exchange(s, provider, account, market, lots, cash)
    else:
        ledger_exchange(s, account, provider, market, lots, -cash)
    o = emit(s, OUT_TAKEOVER)
    o.account, o.other, o.market, o.side = account, provider, market, SIDE_BUY if qty > 0 else SIDE_SELL
    o.qty, o.price, o.flow = lots, s.marks[market].published.last_valid, FLOW_TAKEOVER
    o.money_lo, o.money_hi = money_lo(cash), money_hi(cash)
    if surplus and not PLANTED(s.planted, 49):
        ledger_flow(s, FLOW_TAKEOVER_SURPLUS, account, CHART_FUND, s.numeraire, surplus)
    order_trim(s, account, market)
    if provider != <uint32_t>CHART_BACKSTOP:
        order_trim(s, provider, market)


cdef bint _vault_admits(State* s, uint32_t account, int market, int64_t qty, const StageRule* rule, money_t cash) noexcept nogil:
    """The vault may take the account's lots for cash: within its cap, with initial margin for all that it then has."""
    cdef uint32_t vault = rule.vault
    cdef money_t value = s.marks[market].value
    cdef money_t need, need_with, equity
    cdef int64_t lots = qty if qty > 0 else -qty
    cdef int64_t held
    cdef bint exceeded
    if vault == account or not is_user(s, vault) or s.accounts[vault].has_parent or s.accounts[vault].status != STATUS_NORMAL:
        return False
    held = s.positions[<size_t>vault * s.markets + market].qty + qty
    if (rule.vault_capped and money_abs(money_scale(value, held)) > rule.vault_max) or order_out_of_bounds(s, vault, market, qty):
        return False
    if PLANTED(s.planted, 78):
        return True
    margin_needs(s, vault, market, SIDE_BUY if qty > 0 else SIDE_SELL, lots, money_scale(value, lots), &need, &need_with, &exceeded)
    equity = margin_spare_equity(s, vault, s.numeraire, 0) + money_scale(value, qty) - cash
    return not exceeded and equity >= margin_requirements_beside(s, vault, market) + need_with


cdef money_t _takeover_cash(State* s, uint32_t account, int market, int64_t qty, const StageRule* rule, const Evaluation* e) noexcept nogil:
    """The cash that the account gets for all its lots of a market at the row's price; the total is exact money."""
    cdef const Published* p = &s.marks[market].published
    cdef money_t price, fee
    if rule.price == TAKE_BANKRUPTCY_VALUE:
        return closing_value(s, account, market, qty, -qty, e)
    if rule.price == TAKE_BANKRUPTCY:
        return money_scale(s.marks[market].value, qty) - bankruptcy_share(
            s, account, margin_position(s, account, market), e.maintenance, False
        )
    if rule.price == TAKE_ORACLE and s.index_states[s.market_rules[market].index].valid:
        p = &s.index_states[s.market_rules[market].index]
    price, fee = money_mul(p.last_valid, PPM), money_mul(p.last_valid if p.last_valid > 0 else -p.last_valid, rule.fee_ppm)
    if qty > 0:
        price = money_max(s.market_rules[market].price_min, div_floor(price - fee, PPM))
    else:
        price = div_ceil(price + fee, PPM)
    return money_scale(margin_value(&s.market_rules[market], <int64_t>price), qty)


cdef bint _accepts(State* s, int market, int64_t qty, const StageRule* rule) noexcept nogil:
    """The backstop may take the lots: within its cap, and the fund has enough behind it."""
    cdef int64_t held = s.positions[<size_t>CHART_BACKSTOP * s.markets + market].qty
    if rule.capped and money_abs(money_scale(s.marks[market].value, held + qty)) > rule.notional_max:
        return False
    return not rule.fund_counts or fund_measure(s) >= rule.fund_limit


cdef void _convert(State* s, uint32_t account, const StageRule* stage) noexcept nogil:
    """Sell collateral, row by row, until the settlement balance is no longer negative."""
    cdef const CollateralRule* rule
    cdef money_t need, held, sold
    cdef int64_t price
    cdef int i
    for i in range(s.collaterals):
        rule = &s.collateral_rules[i]
        need = -s.balances[<size_t>account * s.assets + s.numeraire]
        held = s.balances[<size_t>account * s.assets + rule.asset]
        if need <= 0 or held <= 0 or margin_collateral_permit(s, i, ACT_CONVERT) >= PERMIT_DEFER:
            continue
        price = s.collateral_states[i].last_valid
        sold = held if conversion_value(rule, held, price) <= need else conversion_qty(rule, need, price)
        if stage.to_book and held >= s.market_rules[rule.market].lot_units:
            _sell(s, account, rule, price, held, sold, stage.bound.ppm)
        else:
            _sell_to_treasury(s, account, rule, price, sold)


cdef inline int64_t _in_band(State* s, int market, int side, int64_t limit) noexcept nogil:
    """The limit of a slice, not beyond the market's band where that binds the liquidation."""
    return bands_narrow(s, market, side, limit) if s.market_rules[market].band_liquidation else limit


cdef money_t _trade(State* s, uint32_t account, int market, int side, int64_t limit, int64_t qty, int stage) noexcept nogil:
    """Send an IOC order of the venue's own, inside the market's band where that binds it; return the notional of its fills."""
    cdef Ticket t
    limit = _in_band(s, market, side, limit)
    memset(&t, 0, sizeof(Ticket))
    t.order_id, t.account, t.market, t.side, t.tif, t.price, t.qty = order_next_id(s), account, market, side, TIF_IOC, limit, qty
    return order_match(s, &t, limit, stage).notional


cdef void _sell(State* s, uint32_t account, const CollateralRule* rule, int64_t price, money_t held, money_t sold, int64_t bound_ppm) noexcept nogil:
    """One IOC slice in the venue's own book: the lots that hold `sold`, no further below the collateral's price than the bound."""
    cdef const MarketRule* market = &s.market_rules[rule.market]
    cdef money_t lots = money_min(money_min(held // market.lot_units, div_ceil(sold, market.lot_units)), QTY_MAX)
    cdef money_t limit = div_ceil(money_mul(price, PPM - bound_ppm), money_mul(PPM, market.tick_size)) * market.tick_size
    if margin_state_permit(s, rule.market, ACT_LIQUIDATE) >= PERMIT_DEFER:
        return
    limit = money_max(limit, market.tick_size)
    _trade(s, account, rule.market, SIDE_SELL, <int64_t>limit, <int64_t>lots, STAGE_CONVERT)


cdef void _sell_to_treasury(State* s, uint32_t account, const CollateralRule* rule, int64_t price, money_t sold) noexcept nogil:
    cdef money_t paid = conversion_value(rule, sold, price)
    ledger_move(s, account, CHART_TREASURY, rule.asset, sold)
    o = emit(s, OUT_CONVERT)
    o.account, o.other, o.asset, o.price, o.flow = account, CHART_TREASURY, rule.asset, conversion_price(rule, price), FLOW_CONVERT_ASSET
    o.money_lo, o.money_hi = money_lo(sold), money_hi(sold)
    if paid:
        ledger_flow(s, FLOW_CONVERT_CASH, CHART_TREASURY, account, s.numeraire, paid)


cdef bint _converted(State* s, uint32_t account) noexcept nogil:
    """No collateral is left to sell: only then is a negative balance a shortfall."""
    cdef int i
    if PLANTED(s.planted, 10):
        return True
    for i in range(s.collaterals):
        if s.balances[<size_t>account * s.assets + s.collateral_rules[i].asset]:
            return False
    return True
