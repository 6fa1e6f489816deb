"""Exact 128-bit money. Products and divisions of money, prices and quantities go through here and nowhere else."""
from libc.stdint cimport int64_t, uint64_t

cdef extern from "money.h" nogil:
    ctypedef long long money_t  # really __int128; Cython converts by size

    const money_t MONEY_IN_MAX
    const money_t BALANCE_MAX
    const money_t FUNDING_BALANCES_MAX
    const money_t SHORTAGE_MAX
    void must(bint holds, const char* what)
    money_t money_mul(int64_t a, int64_t b)
    money_t money_scale(money_t a, int64_t b)  # a * b, 128 bits
    money_t money_turn(money_t a, bint turned)  # -a where turned
    money_t money_abs(money_t a)
    money_t money_max(money_t a, money_t b)
    money_t money_min(money_t a, money_t b)
    money_t div_floor(money_t a, money_t b)  # b > 0
    money_t div_ceil(money_t a, money_t b)  # b > 0
    int64_t tick_of(int64_t price, int shift, uint64_t inverse)  # price / tick_size of a price on tick
    bint tick_exact(int64_t price, int shift, uint64_t inverse, uint64_t ticks_max)  # on tick, and 1 to ticks_max of them
    uint64_t tick_inverse(uint64_t odd)
    bint money_fits_int64(money_t a)
    money_t muldiv_floor(money_t a, money_t b, money_t c)  # 256 bits in between; b >= 0, c > 0
    money_t muldiv_ceil(money_t a, money_t b, money_t c)
    int cmp_ratio(money_t a, money_t b, money_t c, money_t d)  # a/b against c/d; a, c >= 0, b, d > 0
    uint64_t money_lo(money_t a)
    int64_t money_hi(money_t a)
    money_t money_join(uint64_t lo, int64_t hi)
