"""Sub-accounts: transfers, the switch cross <-> isolated, auto-add of margin. Each post returns the Reason of a refusal."""
from libc.stdint cimport uint32_t, uint64_t

from engine.money cimport money_t
from engine.records cimport USERS_FROM, Event
from engine.state cimport Evaluation, State

cdef void accounts_open(State* s, uint32_t account, uint32_t owner) noexcept nogil
cdef void accounts_join(State* s, uint32_t account) noexcept nogil  # the circle of its owner's accounts
cdef int accounts_may_give(State* s, uint32_t account, int asset, money_t amount) noexcept nogil
cdef int accounts_transfer(State* s, const Event* e) noexcept nogil
cdef int accounts_mode(State* s, const Event* e) noexcept nogil
cdef int accounts_auto_add_set(State* s, const Event* e) noexcept nogil
cdef bint accounts_auto_add(State* s, uint32_t account, const Evaluation* e) noexcept nogil  # whether margin came from the parent


# Inline: asked of every order.

cdef inline bint is_user(State* s, uint64_t account) noexcept nogil:
    return USERS_FROM <= account < <uint64_t>s.accounts_high and s.accounts[account].opened
