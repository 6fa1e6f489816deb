"""Who can be liquidatable after a move of prices: a sound index, so that a tick touches the accounts it can hurt. See bounds.pyx."""
from libc.stdint cimport uint32_t

from engine.state cimport State

cdef int bounds_scan(State* s) noexcept nogil  # fills s.scan, ascending; returns how many
cdef void sort_numbers(uint32_t* numbers, int count) noexcept nogil
