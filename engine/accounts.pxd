"""Sub-accounts: transfers, the switch cross <-> isolated, auto-add of margin. Each post returns the Reason of a refusal."""
from libc.stdint cimport uint32_t, uint64_t

from engine.money cimport money_t
from engine.records cimport Event
from engine.state cimport Evaluation, State

cdef bint is_user(State* s, uint64_t account) noexcept nogil
cdef int accounts_may_give(State* s, uint32_t account, int asset, money_t amount) noexcept nogil
cdef int accounts_transfer(State* s, const Event* e) noexcept nogil
cdef int accounts_mode(State* s, const Event* e) noexcept nogil
cdef int accounts_auto_add_set(State* s, const Event* e) noexcept nogil
cdef bint accounts_auto_add(State* s, uint32_t account, const Evaluation* e) noexcept nogil  # whether margin came from the parent
