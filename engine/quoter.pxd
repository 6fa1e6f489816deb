"""Market makers as rules. See quoter.pyx."""
from engine.state cimport State

cdef void quoter_refill(State* s, int number) noexcept nogil
