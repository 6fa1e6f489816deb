"""Steps 5 to 7 of the cascade: who is liquidated, and what the venue's stages do to them. See liquidation.pyx."""
from libc.stdint cimport uint32_t

from engine.state cimport State

cdef int liquidation_select(State* s, int count) noexcept nogil  # s.scan[:count], ascending -> s.picks; returns how many
cdef void liquidation_warm(State* s, uint32_t account) noexcept nogil  # its cooldown is over
cdef void liquidation_round(State* s, int count) noexcept nogil  # s.picks[:count]
