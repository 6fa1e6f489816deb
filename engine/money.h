/* Exact money in C: 128-bit integers and the only places where two quantities are multiplied or divided.
   int64 * int64 wraps before it is widened in C and in Cython, so products go through money_mul. */
#ifndef RISKBED_MONEY_H
#define RISKBED_MONEY_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef __int128 money_t;
typedef unsigned __int128 umoney_t;

#define MONEY_IN_MAX ((money_t)1000000000000 * 100000000000) /* 10^23: one deposit or withdrawal */
#define BALANCE_MAX MONEY_IN_MAX /* what one account may hold of an asset by deposit */

#define SHORTAGE_MAX (MONEY_IN_MAX * 100) /* 10^25: a transfer makes up for no more margin at once */

#define FUNDING_BALANCES_MAX (MONEY_IN_MAX * 10000000000) /* 10^33: sizes of all balances above which no interval is paid */

/* What must hold, in every build: a run that goes on after this would print wrong money. */
static inline void must(int holds, const char *what) {
    if (__builtin_expect(!holds, 0)) {
        fprintf(stderr, "riskbed engine: assertion failed: %s\n", what);
        abort();
    }
}

static inline money_t money_mul(int64_t a, int64_t b) { return (money_t)a * b; }
static inline money_t money_scale(money_t a, int64_t b) { return (int64_t)a == a ? (money_t)(int64_t)a * b : a * b; }
/* -a where `turned`, without a branch */
static inline money_t money_turn(money_t a, int turned) { return (a ^ -(money_t)turned) + turned; }
static inline money_t money_abs(money_t a) { return a < 0 ? -a : a; }
static inline money_t money_max(money_t a, money_t b) { return a > b ? a : b; }
static inline money_t money_min(money_t a, money_t b) { return a < b ? a : b; }

/* Most money of most runs has 64 bits, and there a division costs 4 ns and not 15; by a constant, one multiplication. */
static inline int money_short(money_t a, money_t b) { return ((umoney_t)(a | b) >> 64) == 0; }

/* a / b toward -inf; b > 0 */
static inline money_t div_floor(money_t a, money_t b) {
    money_t q;
    if (__builtin_expect(money_short(a, b), 1))
        return (uint64_t)a / (uint64_t)b;
    q = a / b;
    return q - (a - q * b < 0);
}

/* a / b toward +inf; b > 0 */
static inline money_t div_ceil(money_t a, money_t b) {
    money_t q;
    if (__builtin_expect(money_short(a, b), 1)) {
        uint64_t whole = (uint64_t)a / (uint64_t)b;
        return (money_t)whole + (whole * (uint64_t)b != (uint64_t)a);
    }
    q = a / b;
    return q + (a - q * b > 0);
}

/* price / tick_size of a price on tick, tick_size = 2^shift * odd: exact division multiplies by the inverse of odd modulo 2^64.
   Off tick it is some other number. */
static inline int64_t tick_of(int64_t price, int shift, uint64_t inverse) {
    return (int64_t)((uint64_t)(price >> shift) * inverse);
}

/* A price is on tick and has 1 to ticks_max of them. By an odd divisor that is told by the exact quotient: above the largest of
   all quotients it is not one (Hacker's Delight, 10-17). */
static inline int tick_exact(int64_t price, int shift, uint64_t inverse, uint64_t ticks_max) {
    uint64_t low = ((uint64_t)1 << shift) - 1;
    return (((uint64_t)price & low) == 0) & ((uint64_t)tick_of(price, shift, inverse) - 1 < ticks_max);
}

static inline uint64_t tick_inverse(uint64_t odd) {
    uint64_t x = odd; /* right to 3 bits; each step of Newton doubles them */
    for (int i = 0; i < 5; i++)
        x *= 2 - odd * x;
    return x;
}

static inline int money_fits_int64(money_t a) { return a >= -(money_t)INT64_MAX && a <= (money_t)INT64_MAX; }

/* 256-bit product of two unsigned 128-bit numbers */
static inline void wide_mul(umoney_t a, umoney_t b, umoney_t *hi, umoney_t *lo) {
    const umoney_t mask = (umoney_t)UINT64_MAX;
    umoney_t a0 = a & mask, a1 = a >> 64, b0 = b & mask, b1 = b >> 64;
    umoney_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
    umoney_t middle = (p00 >> 64) + (p01 & mask) + (p10 & mask);
    *lo = (p00 & mask) | (middle << 64);
    *hi = p11 + (p01 >> 64) + (p10 >> 64) + (middle >> 64);
}

/* quotient and remainder of a 256-bit number by c > 0; the quotient must fit 127 bits */
static inline umoney_t wide_div(umoney_t hi, umoney_t lo, umoney_t c, umoney_t *rest) {
    umoney_t quotient = 0;
    must(hi < c, "a multiply-divide leaves 128 bits");
    if (hi == 0) {
        umoney_t q = (lo >> 64) == 0 && (c >> 64) == 0 ? (umoney_t)((uint64_t)lo / (uint64_t)c) : lo / c;
        *rest = lo - q * c;
        return q;
    }
    for (int i = 0; i < 128; i++) {
        int carry = (int)(hi >> 127);
        hi = (hi << 1) | (lo >> 127);
        lo <<= 1;
        quotient <<= 1;
        if (carry || hi >= c) {
            hi -= c;
            quotient |= 1;
        }
    }
    *rest = hi;
    return quotient;
}

/* a * b / c, exact in between, toward -inf (or +inf when `up`); b >= 0, c > 0 */
static inline money_t muldiv(money_t a, money_t b, money_t c, int up) {
    umoney_t hi, lo, rest, quotient;
    int negative = a < 0;
    must(b >= 0 && c > 0, "a multiply-divide has b >= 0 and c > 0");
    if (money_short(negative ? -a : a, b) && money_short(c, 0)) { /* as below, and often without a division of 128 bits */
        lo = (umoney_t)(uint64_t)(negative ? -a : a) * (uint64_t)b;
        quotient = (lo >> 64) == 0 ? (umoney_t)((uint64_t)lo / (uint64_t)c) : lo / (umoney_t)c;
        must((quotient >> 127) == 0, "a multiply-divide leaves 127 bits");
        if (quotient * (umoney_t)c != lo && negative != up)
            quotient += 1;
        return negative ? -(money_t)quotient : (money_t)quotient;
    }
    wide_mul(negative ? -(umoney_t)a : (umoney_t)a, (umoney_t)b, &hi, &lo);
    quotient = wide_div(hi, lo, (umoney_t)c, &rest);
    must((quotient >> 127) == 0, "a multiply-divide leaves 127 bits");
    if (rest && negative != up)
        quotient += 1;
    return negative ? -(money_t)quotient : (money_t)quotient;
}
static inline money_t muldiv_floor(money_t a, money_t b, money_t c) { return muldiv(a, b, c, 0); }
static inline money_t muldiv_ceil(money_t a, money_t b, money_t c) { return muldiv(a, b, c, 1); }

/* compare a/b with c/d exactly; a, c >= 0 and b, d > 0; -1, 0 or 1 */
static inline int cmp_ratio(money_t a, money_t b, money_t c, money_t d) {
    umoney_t h1, l1, h2, l2;
    wide_mul((umoney_t)a, (umoney_t)d, &h1, &l1);
    wide_mul((umoney_t)c, (umoney_t)b, &h2, &l2);
    if (h1 != h2)
        return h1 < h2 ? -1 : 1;
    return l1 == l2 ? 0 : l1 < l2 ? -1 : 1;
}

static inline uint64_t money_lo(money_t a) { return (uint64_t)(umoney_t)a; }
static inline int64_t money_hi(money_t a) { return (int64_t)(a >> 64); }
static inline money_t money_join(uint64_t lo, int64_t hi) { return (money_t)(((umoney_t)(uint64_t)hi << 64) | lo); }
#endif
