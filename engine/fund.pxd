"""The insurance fund: it pays shortfalls, never more than it has."""
from libc.stdint cimport int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport Evaluation, StageRule, State

cdef money_t fund_measure(State* s) noexcept nogil  # what stages compare with a threshold
cdef void fund_settle_slice(  # held, e: before the slice; got: what it brought
    State* s, uint32_t account, int market, const StageRule* rule, int64_t held, money_t got, const Evaluation* e
) noexcept nogil
cdef money_t fund_pay(State* s, uint32_t account, money_t shortfall, money_t most) noexcept nogil  # what it paid
