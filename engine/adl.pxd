"""Auto-deleveraging: own legs at the mark, then a queue of winners at the bankruptcy price."""
from libc.stdint cimport uint32_t

from engine.state cimport StageRule, State

cdef void adl_run(State* s, uint32_t account, const StageRule* rule) noexcept nogil
