"""Mark prices: what positions are valued at. See mark.pyx."""
from engine.state cimport State

cdef bint mark_publish(State* s, int market, bint sample) noexcept nogil
