"""Exact money: the engine's 128-bit kernels against Python's integers, and the decimals at the border."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import probe
from specs import tape, units

MAX = units.INT128_MAX
money = st.one_of(
    st.integers(-MAX, MAX), st.integers(-(10**20), 10**20), st.sampled_from([0, 1, -1, MAX, -MAX, 2**64, -(2**64), 2**64 - 1])
)
positive = money.map(abs).filter(bool)


@given(money, positive)
def test_division_names_its_direction(a, b):
    assert probe.div_floor(a, b) == units.div_floor(a, b)
    assert probe.div_ceil(a, b) == units.div_ceil(a, b)


@given(money, money.map(abs), positive)
def test_multiply_divide_is_exact_through_256_bits(a, b, c):
    floor, ceil = units.muldiv_floor(a, b, c), units.muldiv_ceil(a, b, c)
    if max(abs(floor), abs(ceil)) < MAX:
        assert probe.muldiv_floor(a, b, c) == floor
        assert probe.muldiv_ceil(a, b, c) == ceil


@given(money.map(abs), positive, money.map(abs), positive)
def test_ratios_compare_without_dividing(a, b, c, d):
    assert probe.cmp_ratio(a, b, c, d) == units.cmp_ratio(a, b, c, d)


@given(st.integers(-units.INT64_MAX, units.INT64_MAX), st.integers(-units.INT64_MAX, units.INT64_MAX))
def test_products_of_64_bits_do_not_wrap(a, b):
    assert probe.money_mul(a, b) == a * b


@given(st.integers(-units.MONEY_MAX, units.MONEY_MAX))
def test_money_stands_in_two_halves(a):
    assert probe.split(a) == tape.money_split(a)
    assert probe.join(*tape.money_split(a)) == a == tape.money_join(*tape.money_split(a))


def test_a_result_that_does_not_fit_dies_loudly():
    """The engine never goes on with wrong money: the process ends, and says why."""
    run = subprocess.run(
        [sys.executable, "-c", "from engine import probe; probe.muldiv_floor(2**126, 2**126, 3)"], capture_output=True, text=True
    )
    assert run.returncode != 0 and "assertion failed: a multiply-divide leaves" in run.stderr


@pytest.mark.parametrize(
    "text, decimals, number", [("0.65", 8, 65_000_000), ("-1.5", 1, -15), ("3", 0, 3), ("1.50", 1, 15), ("0", 4, 0)]
)
def test_decimals_are_read_exactly(text, decimals, number):
    assert units.decimal_to_int(text, decimals) == number
    assert units.decimal_to_int(units.int_to_decimal(number, decimals), decimals) == number


@pytest.mark.parametrize("text", ["1e3", "01", ".5", "1.", " 1", "1_000", "nan", "", "0x10", "1.05"])
def test_what_is_not_a_plain_decimal_of_the_unit_is_refused(text):
    with pytest.raises(ValueError):
        units.decimal_to_int(text, 1)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        units.instant_to_ns("2025-10-10T21:36:00")
    assert units.instant_to_ns("2025-10-10T21:36:00Z") == units.instant_to_ns("2025-10-10T17:36:00-04:00")
    assert units.ns_to_instant(units.instant_to_ns("2025-10-10T21:36:00Z")) == "2025-10-10T21:36:00Z"
