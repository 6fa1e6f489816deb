"""Index prices: the recipe over the sources, graded and published. See index.pyx."""
from libc.stdint cimport int64_t

from engine.state cimport Published, State

cdef int grade_of(bint there, int64_t price, int64_t lowest) noexcept nogil
cdef bint published_put(Published* p, int grade, int64_t price, int64_t now) noexcept nogil  # returns whether it changed
cdef bint index_publish(State* s, int index) noexcept nogil
