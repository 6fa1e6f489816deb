"""The state of a market: STATE events, pauses. See states.pyx."""
from engine.records cimport Event
from engine.state cimport State

cdef void set_state(State* s, int market, int state, int why) noexcept nogil  # the one way in which a state changes
cdef int states_post(State* s, const Event* e) noexcept nogil  # the Reason of a refusal
cdef void states_pause(State* s, int market) noexcept nogil
cdef void states_resume(State* s, int market) noexcept nogil
