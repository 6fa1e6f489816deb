"""When an account must be liquidated. See trigger.pyx."""
from libc.stdint cimport uint32_t

from engine.state cimport Evaluation, State

cdef bint triggered(State* s, uint32_t account, const Evaluation* e) noexcept nogil
