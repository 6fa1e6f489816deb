"""The exchange: what one event does. See exchange.pyx."""
from engine.records cimport Event
from engine.state cimport State

cdef void exchange_apply(State* s, const Event* e) noexcept nogil
