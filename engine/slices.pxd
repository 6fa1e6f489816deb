"""What a slice of a liquidation closes: of which position, how many lots, at what fee. See slices.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport Evaluation, StageRule, State

cdef int slices_choose(State* s, uint32_t account, int choice) noexcept nogil  # Choice -> market; the account holds a position
cdef int64_t slices_lots(  # 0: the stage closes none; limit: the worst price of the slice
    State* s, uint32_t account, int market, const StageRule* rule, const Evaluation* e, int64_t limit
) noexcept nogil
cdef void slices_use(State* s, uint32_t account, const StageRule* rule, money_t notional, money_t insurance) noexcept nogil
cdef money_t slices_insurance_left(State* s, uint32_t account, const StageRule* rule, money_t most) noexcept nogil
cdef bint slices_used_up(State* s, uint32_t account) noexcept nogil  # it waits for the next window of the block limit
cdef money_t slices_fee(  # on what was traded; held: notional at the mark of the position before the slice, as e is
    State* s, uint32_t account, int market, money_t notional, money_t held, const Evaluation* e
) noexcept nogil
