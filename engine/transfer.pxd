"""Stage transfer: the backstop takes over what an account owes, against collateral. See transfer.pyx."""
from libc.stdint cimport int32_t, int64_t, uint32_t

from engine.money cimport money_t
from engine.state cimport StageRule, State

cdef struct Leg:
    money_t scale  # quantity * price / scale = money of the numeraire
    int64_t price  # price units; 1 of the numeraire
    int64_t weight_ppm  # of the debt, or of the collateral
    int32_t asset

cdef void transfer_run(State* s, uint32_t account, const StageRule* rule) noexcept nogil
cdef money_t transfer_liability(const StageRule* rule, money_t shortage, const Leg* liability, const Leg* asset, money_t most) noexcept nogil
cdef money_t transfer_given(const StageRule* rule, money_t qty, const Leg* liability, const Leg* asset, money_t most) noexcept nogil
cdef Leg transfer_leg(State* s, int row, money_t balance) noexcept nogil  # row -1: the numeraire; a debt has a balance below 0
