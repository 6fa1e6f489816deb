"""A microscope for tests and benches: the money kernels, the payment of funding, sizes, callable from Python. Nothing of the engine uses it."""
from libc.stdint cimport int64_t, uint64_t

from engine cimport money
from engine.funding cimport funding_paid as _funding_paid
from engine.money cimport money_t
from engine.state cimport PAGE_TICKS, Order, Page, Slot


def div_floor(money_t a, money_t b):
    """a / b toward -inf; b > 0."""
    return money.div_floor(a, b)


def div_ceil(money_t a, money_t b):
    """a / b toward +inf; b > 0."""
    return money.div_ceil(a, b)


def muldiv_floor(money_t a, money_t b, money_t c):
    """a * b / c toward -inf, 256 bits in between; b >= 0, c > 0, and the result must fit (the process dies otherwise)."""
    return money.muldiv_floor(a, b, c)


def muldiv_ceil(money_t a, money_t b, money_t c):
    """a * b / c toward +inf; as muldiv_floor."""
    return money.muldiv_ceil(a, b, c)


def cmp_ratio(money_t a, money_t b, money_t c, money_t d):
    """Compare a/b with c/d; a, c >= 0 and b, d > 0."""
    return money.cmp_ratio(a, b, c, d)


def funding_paid(money_t before, money_t index, int64_t qty):
    """What a position pays of one interval, whatever the intervals before it came to."""
    return _funding_paid(before, index, qty)


def money_mul(int64_t a, int64_t b):
    """The exact product of two 64-bit numbers."""
    return money.money_mul(a, b)


def split(money_t a):
    """(lo, hi) as they stand in a record."""
    return money.money_lo(a), money.money_hi(a)


def join(uint64_t lo, int64_t hi):
    """The money of two halves."""
    return money.money_join(lo, hi)


SIZES = {  # bytes of what a resting order takes; the id map has at least two slots an order
    "Order": sizeof(Order),
    "map_slot": sizeof(Slot),
    "map_slots_per_order": 2,
    "Page": sizeof(Page),
    "page_ticks": int(PAGE_TICKS),
}
