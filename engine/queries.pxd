"""Queries: what an exchange answers between events; nothing changes. See queries.pyx."""
from libc.stdint cimport int64_t, uint32_t

from engine.state cimport State

cdef int64_t query_liquidation_price(State* s, uint32_t account, int market) noexcept nogil  # price units; 0: none
