"""Stage transfer: the backstop takes over what an account owes of an asset, against collateral, as much as its margin is short of.

The same steps as specs/model/transfer.py.
"""
from libc.stdint cimport int64_t, uint32_t

from engine.ledger cimport ledger_flow
from engine.margin cimport margin_collateral_permit, margin_evaluate, margin_wallet, margin_weight
from engine.money cimport SHORTAGE_MAX, cmp_ratio, div_ceil, money_min, money_mul, money_scale, money_t, muldiv_floor
from engine.records cimport ACT_CONVERT, CHART_BACKSTOP, CHART_FUND, FLOW_COLLATERAL_GIVEN, FLOW_LIABILITY_TAKEN, FLOW_TRANSFER_FEE, PERMIT_DEFER, PLANTED
from engine.state cimport Evaluation, StageRule, State
from engine.trigger cimport triggered

cdef enum:
    PPM = 1000000


cdef money_t transfer_liability(const StageRule* rule, money_t shortage, const Leg* liability, const Leg* asset, money_t most) noexcept nogil:
    """How much of a liability makes up for a shortage, rounded down, at most `most`: all where no amount does.

    shortage / (P (L - w) - P f L), w the asset's weight x asset_multiplier / liability_multiplier, down to the unit.
    """
    cdef money_t given = money_mul(asset.weight_ppm, rule.asset_multiplier_ppm) // rule.liability_multiplier_ppm
    cdef money_t gain
    given = given // rule.weight_unit_ppm * rule.weight_unit_ppm
    gain = money_scale(liability.weight_ppm - given, PPM) - money_mul(rule.insurance_fee_ppm, liability.weight_ppm)
    if gain <= 0:
        return most
    shortage = money_scale(money_min(shortage, SHORTAGE_MAX), money_mul(PPM, PPM))
    gain = money_scale(gain, liability.price)
    if cmp_ratio(shortage, gain, most, liability.scale) >= 0:
        return most
    return muldiv_floor(shortage, liability.scale, gain)


cdef money_t transfer_given(const StageRule* rule, money_t qty, const Leg* liability, const Leg* asset, money_t most) noexcept nogil:
    """What is given for a liability, rounded down; one more than `most` where it is more.

    qty P asset_multiplier / (asset's price liability_multiplier), each scale divided by the smaller of the two: powers of ten.
    """
    cdef money_t least = money_min(liability.scale, asset.scale)
    cdef money_t up = money_scale(money_mul(liability.price, rule.asset_multiplier_ppm), <int64_t>(asset.scale // least))
    cdef money_t down = money_scale(money_mul(asset.price, rule.liability_multiplier_ppm), <int64_t>(liability.scale // least))
    if cmp_ratio(qty, down, most + 1, up) >= 0:
        return most + 1
    return muldiv_floor(qty, up, down)


cdef money_t _covered(const StageRule* rule, money_t held, const Leg* liability, const Leg* asset, money_t most) noexcept nogil:
    """What of the liability all of the collateral pays for, rounded down, at most `most`."""
    cdef money_t least = money_min(liability.scale, asset.scale)
    cdef money_t up = money_scale(money_mul(asset.price, rule.liability_multiplier_ppm), <int64_t>(liability.scale // least))
    cdef money_t down = money_scale(money_mul(liability.price, rule.asset_multiplier_ppm), <int64_t>(asset.scale // least))
    if cmp_ratio(held, down, most, up) >= 0:
        return most
    return muldiv_floor(held, up, down)


cdef Leg transfer_leg(State* s, int row, money_t balance) noexcept nogil:
    cdef Leg leg
    if row < 0:
        leg.asset, leg.price, leg.scale, leg.weight_ppm = s.numeraire, 1, 1, PPM
        return leg
    leg.asset, leg.price, leg.scale = s.collateral_rules[row].asset, s.collateral_states[row].last_valid, s.collateral_rules[row].scale
    leg.weight_ppm = margin_weight(s, row, balance, False)
    return leg


cdef inline bint _usable(State* s, int row) noexcept nogil:
    return s.collateral_states[row].last_valid and margin_collateral_permit(s, row, ACT_CONVERT) < PERMIT_DEFER


cdef void transfer_run(State* s, uint32_t account, const StageRule* rule) noexcept nogil:
    """Transfer pair by pair, what is owed of the numeraire first, then in the order of the rows, until the trigger is false.

    What is owed of the numeraire is the wallet's: what open positions cost is no debt.
    """
    cdef const money_t* balances = &s.balances[<size_t>account * s.assets]
    cdef Evaluation e
    cdef Leg liability, asset
    cdef money_t owed, held, shortage
    cdef int i, j
    for i in range(-1, s.collaterals):
        for j in range(s.collaterals):
            owed = -margin_wallet(s, account, s.numeraire if i < 0 else s.collateral_rules[i].asset)
            held = balances[s.collateral_rules[j].asset]
            if owed <= 0 or held <= 0 or i == j or (i >= 0 and not _usable(s, i)) or not _usable(s, j):
                continue
            liability, asset = transfer_leg(s, i, -owed), transfer_leg(s, j, held)
            e = margin_evaluate(s, account)
            if not triggered(s, account, &e):
                return
            shortage = e.maintenance - e.equity + s.trigger_at_equal
            if shortage > 0:
                _move(s, account, rule, shortage, owed, held, &liability, &asset)


cdef void _move(
    State* s, uint32_t account, const StageRule* rule, money_t shortage, money_t owed, money_t held, const Leg* liability, const Leg* asset
) noexcept nogil:
    cdef money_t qty = owed if PLANTED(s.planted, 58) else transfer_liability(rule, shortage, liability, asset, owed)
    cdef money_t given = transfer_given(rule, qty, liability, asset, held)
    cdef money_t fee
    if given > held:
        qty, given = money_min(qty, _covered(rule, held, liability, asset, owed)), held
    fee = div_ceil(money_scale(qty, rule.insurance_fee_ppm), PPM)
    if qty <= fee:
        return
    ledger_flow(s, FLOW_LIABILITY_TAKEN, CHART_BACKSTOP, account, liability.asset, qty)
    if given:
        ledger_flow(s, FLOW_COLLATERAL_GIVEN, account, CHART_BACKSTOP, asset.asset, given)
    if fee:
        ledger_flow(s, FLOW_TRANSFER_FEE, account, CHART_FUND, liability.asset, fee)
