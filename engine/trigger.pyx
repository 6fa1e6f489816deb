"""When an account must be liquidated, and until when."""
from libc.stdint cimport uint32_t

from engine.money cimport cmp_ratio, money_t
from engine.records cimport PLANTED, SEAM_LIQUIDATION_TRIGGER, STATUS_NORMAL
from engine.seams cimport seam_decision
from engine.state cimport Evaluation, Ratio, StageRule, State


cdef bint owes_what_it_could_sell(State* s, uint32_t account) noexcept nogil:
    """An episode of a flat account goes on: its settlement balance is negative and a stage sells collateral."""
    return s.accounts[account].status != STATUS_NORMAL and s.converts and s.balances[<size_t>account * s.assets + s.numeraire] < 0


cdef bint triggered(State* s, uint32_t account, const Evaluation* e) noexcept nogil:
    """Maintenance against equity while a position is held, or a debt."""
    cdef money_t maintenance = e.maintenance
    cdef bint verdict
    if not e.open:
        return e.equity < 0 or owes_what_it_could_sell(s, account)
    if PLANTED(s.planted, 7):
        maintenance *= 2
    verdict = maintenance >= e.equity if s.trigger_at_equal else maintenance > e.equity
    return seam_decision(s, SEAM_LIQUIDATION_TRIGGER, account, verdict or e.equity < 0)


cdef inline int _compare(const Evaluation* e, const Ratio* ratio) noexcept nogil:
    """equity / maintenance with a ratio: -1 below it, 0, 1 above. A debt is below, no maintenance above every ratio."""
    if e.equity < 0:
        return -1
    return cmp_ratio(e.equity, e.maintenance, ratio.over, ratio.under) if e.maintenance else 1


cdef bint enters(State* s, const Evaluation* e, const StageRule* rule) noexcept nogil:
    """The condition of a stage holds."""
    if rule.below.over and _compare(e, &rule.below) >= 0 and not PLANTED(s.planted, 51):
        return False
    return not rule.at_least.over or _compare(e, &rule.at_least) >= 0


cdef int margin_level(State* s, const Evaluation* e) noexcept nogil:
    """How many levels of margin calls the account is at or below; 0 without a position."""
    cdef int level = 0
    cdef int i
    if not e.open:
        return 0
    for i in range(s.levels_count):
        if PLANTED(s.planted, 50) and i == s.levels_count - 1:
            continue
        level += _compare(e, &s.levels[i]) <= 0
    return level
