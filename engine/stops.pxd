"""Orders that wait for a price, and their firing. See stops.pyx."""
from libc.stdint cimport int32_t

from engine.records cimport Event
from engine.state cimport State

cdef int stops_new(State* s, const Event* e) noexcept nogil
cdef int stops_amend(State* s, const Event* e, int32_t place) noexcept nogil
cdef void stops_remove(State* s, int32_t place) noexcept nogil
cdef void stops_follow_last(State* s, int market) noexcept nogil  # after each trade
cdef bint stops_fire(State* s) noexcept nogil  # the first whose trigger is true; False: there is none
cdef list stops_rows(State* s)
