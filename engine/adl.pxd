"""Auto-deleveraging: own legs at the mark, then a queue of winners at the bankruptcy price."""
from libc.stdint cimport int64_t, uint32_t

from engine.state cimport StageRule, State

cdef void adl_run(State* s, uint32_t account, const StageRule* rule) noexcept nogil
cdef int64_t adl_score(State* s, uint32_t account, int market) noexcept nogil  # ppb: who has more is closed first, of equals the lower id
