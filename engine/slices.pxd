"""What a slice of a liquidation closes: of which position, how many lots, at what fee. See slices.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport Evaluation, StageRule, State

cdef int slices_choose(State* s, uint32_t account, int choice) noexcept nogil  # Choice -> market; the account holds a position
cdef int64_t slices_lots(  # 0: the stage closes none; limit: the worst price of the slice
    State* s, uint32_t account, int market, const StageRule* rule, const Evaluation* e, int64_t limit
) noexcept nogil
cdef money_t slices_fee(  # on what was traded; held: notional at the mark of the position before the slice, as e is
    State* s, uint32_t account, int market, money_t notional, money_t held, const Evaluation* e
) noexcept nogil
