"""Scheduled faults where a rule reads or decides. Disarmed, a seam costs one mask test."""
from libc.stdint cimport int64_t, uint32_t

from engine.state cimport State

cdef bint seam_price(State* s, int seam, uint32_t key, bint there, int64_t* price) noexcept nogil  # returns whether it is there
cdef bint seam_decision(State* s, int seam, uint32_t key, bint verdict) noexcept nogil
