"""Funding: the cumulative index of a market, its premium samples, and one interval."""
from libc.stdint cimport int64_t

from engine.money cimport money_t
from engine.state cimport State

cdef int64_t funding_next(State* s, int market, int64_t now) noexcept nogil  # the first whole multiple of the interval after now
cdef void funding_sample(State* s, int market) noexcept nogil
cdef void funding_settle(State* s, int market) noexcept nogil
cdef money_t funding_paid(money_t before, money_t index, int64_t qty) noexcept nogil  # |index - before|: of one interval
