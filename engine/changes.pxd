"""Rules that change in flight: RULE_CHANGE events, timers, what they leave to open positions. See changes.pyx."""
from libc.stdint cimport int64_t

from engine.records cimport Event
from engine.state cimport State

cdef int changes_post(State* s, const Event* e) noexcept nogil  # the Reason of a refusal
cdef int changes_withdraw(State* s, const Event* e) noexcept nogil  # the Reason of a refusal
cdef void changes_due(State* s, int number) noexcept nogil  # a timer
cdef void changes_tables(State* s, tables)  # fills the tables of the state that tell of them
