"""When an account must be liquidated, on which level of margin calls it is, and when a stage is entered. See trigger.pyx."""
from libc.stdint cimport uint32_t

from engine.state cimport Evaluation, StageRule, State

cdef bint triggered(State* s, uint32_t account, const Evaluation* e) noexcept nogil
cdef bint enters(State* s, const Evaluation* e, const StageRule* rule) noexcept nogil
cdef int margin_level(State* s, const Evaluation* e) noexcept nogil
