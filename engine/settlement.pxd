"""The end of a market: it is closed for good, and every position at one price."""
from engine.records cimport Event
from engine.state cimport State

cdef int settlement_delist(State* s, const Event* e) noexcept nogil  # a Reason
cdef void settlement_settle(State* s, int market) noexcept nogil  # its time has come
cdef void settlement_sample(State* s, int market) noexcept nogil  # its index was published
