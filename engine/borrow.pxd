"""Interest on what users owe of an asset. See borrow.pyx."""
from libc.stdint cimport int64_t

from engine.state cimport State

cdef int64_t borrow_next(State* s, int asset, int64_t now) noexcept nogil  # the first whole multiple of the interval after now
cdef void borrow_charge(State* s, int asset) noexcept nogil
