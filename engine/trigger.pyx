"""When an account must be liquidated, and until when."""
from libc.stdint cimport uint32_t

from engine.money cimport money_t
from engine.records cimport PLANTED, SEAM_LIQUIDATION_TRIGGER, STATUS_NORMAL
from engine.seams cimport seam_decision
from engine.state cimport Evaluation, State


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
