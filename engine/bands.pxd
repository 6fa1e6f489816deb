"""Price bands and limits up and down. See bands.pyx."""
from libc.stdint cimport int64_t

from engine.state cimport State, Ticket

cdef bint bands_bound(State* s, int market, int side, int64_t* bound) noexcept nogil  # False: there is no band now
cdef int64_t bands_narrow(State* s, int market, int side, int64_t limit) noexcept nogil  # not worse than the band's bound
cdef int bands_judge(State* s, Ticket* t) noexcept nogil  # the Reason of a refusal; the ticket may be given the bound as its price
cdef bint bands_limits(State* s, int market, int64_t* down, int64_t* up) noexcept nogil  # False: there are none now
cdef void bands_sample(State* s, int market) noexcept nogil  # of the premium, when the mark is published
cdef int64_t bands_away(int side, int64_t anchor, int64_t ppm, int64_t tick) noexcept nogil  # ppm of its size, inward to a tick
