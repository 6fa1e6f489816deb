"""The schedule of faults: rows (seam, key, [from, to), kind, argument), applied in their order. No dice are rolled here."""
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t

from engine.money cimport div_floor, money_mul, money_t
from engine.records cimport PLANTED, SEAM_ANY, SEAMKIND_CONST, SEAMKIND_FORCE_TRUE, SEAMKIND_HOLD, SEAMKIND_MISSING, SEAMKIND_RAMP
from engine.state cimport SeamRow, State

cdef enum:
    PPM = 1000000


cdef inline bint _acts(State* s, SeamRow* row, int seam, uint32_t key) noexcept nogil:
    if row.seam != seam or not row.from_ns <= s.now < row.to_ns:
        return False
    if row.key != key and row.key != SEAM_ANY and not PLANTED(s.planted, 18):
        return False
    row.fired += 1
    return True


cdef bint seam_price(State* s, int seam, uint32_t key, bint there, int64_t* price) noexcept nogil:
    """Pass a price through the seam. A result that no 64-bit feed can carry is not there."""
    cdef SeamRow* row
    cdef money_t scaled, argument
    cdef int i
    if not s.armed >> seam & 1:
        return there
    for i in range(s.seams):
        row = &s.seam_rows[i]
        if not _acts(s, row, seam, key):
            continue
        if row.kind == SEAMKIND_HOLD:
            if not row.held:
                row.held, row.held_there, row.held_price = True, there, price[0]
            there, price[0] = row.held_there, row.held_price
        elif row.kind == SEAMKIND_CONST:
            there, price[0] = True, row.argument
        elif row.kind == SEAMKIND_MISSING:
            there, price[0] = False, 0
        elif there:
            argument = row.argument
            if row.kind == SEAMKIND_RAMP:
                argument = PPM + div_floor(money_mul(row.argument, row.to_ns - s.now), row.to_ns - row.from_ns)
            scaled = div_floor(money_mul(price[0], <int64_t>argument), PPM)
            there = INT64_MIN <= scaled <= INT64_MAX  # what a 64-bit feed can carry
            price[0] = <int64_t>scaled if there else 0
    return there


cdef bint seam_decision(State* s, int seam, uint32_t key, bint verdict) noexcept nogil:
    cdef int i
    if not s.armed >> seam & 1:
        return verdict
    for i in range(s.seams):
        if _acts(s, &s.seam_rows[i], seam, key):
            verdict = s.seam_rows[i].kind == SEAMKIND_FORCE_TRUE
    return verdict
