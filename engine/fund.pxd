"""The insurance fund: it pays shortfalls, never more than it has."""
from libc.stdint cimport uint32_t

from engine.money cimport money_t
from engine.state cimport State

cdef money_t fund_measure(State* s) noexcept nogil  # what stages compare with a threshold
cdef void fund_pay(State* s, uint32_t account, money_t shortfall) noexcept nogil
