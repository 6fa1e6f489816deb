"""The integer units, their bounds, decimal <-> integer, and the named roundings.

Every quantity of the testbed is an integer:

    time      ns since the epoch, UTC                        int64
    price     10^-price_decimals of the quote asset per base int64   price_decimals is a property of the market or index
    qty       lots                                           int64
    value     money per lot: value(price) of a contract      int64
    money     10^-decimals of its asset                      int128  decimals is a property of the asset
    rate      ppm
    weight    10^-8 (index weights), ppm (haircuts)

Bounds are stated once, here. The widths of the products that the engine forms in 128 bits follow from them and are asserted
below, when this module is imported; the engine checks the bounds at the gate and prices again when they are published.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

PPM = 1_000_000
WEIGHT_ONE = 100_000_000  # index weights are in 10^-8
NS = 1_000_000_000

PRICE_MAX = 10**15  # a published price is in (0, PRICE_MAX] (or negative where a payoff allows it)
FILLS_KEPT_MAX = 1 << 20  # for a bust
DISPLAY_PARTS_MAX = 100  # in how many parts an order that hides lots may show them: what one fill of it can cost
BAND_MAX_PPM = 100 * PPM  # up
QTY_MAX = 10**9  # lots in one order
POSITION_MAX = 10**12  # lots in one position, open orders included
VALUE_MAX = 10**18  # money per lot
ADJUSTMENT_MAX_PPM = 2**32 - 1  # of a fillable price: what dYdX can hold
SPREAD_MAX_PPM = 10 * PPM  # of a fillable price, in maintenance
MONEY_IN_MAX = 10**23  # one deposit or withdrawal
BALANCE_MAX = 10**23  # what one account may hold of an asset by deposit
COLLATERAL_EXPONENT_MIN = 2  # decimals of asset + index - numeraire: balance * price / 10^this is collateral value
LIABILITY_WEIGHT_MAX_PPM = 10 * PPM
PART_MAX = 100  # of a fraction part / of
SHORTAGE_MAX = 10**25  # of margin: a transfer makes up for no more at once
TRANSFER_EXPONENT_MAX = 15  # decimals of asset + index - numeraire, of what is transferred
MONEY_MAX = 10**38 - 1  # what a record and a decimal128(38) can hold
DECIMALS_MAX = 15
INVERSE_DECIMALS_MIN = 12  # of the coin in which an inverse market settles: its value per lot is rounded
LEVERAGE_MAX = 1_000
ACCOUNTS_MAX = 1 << 20
MARKETS_MAX = 64
ASSETS_MAX = 64
SOURCES_MAX = 256
INDICES_MAX = 64
BRACKETS_MAX = 32
QUOTERS_MAX = 64
CHANGES_MAX = 64  # of rules in flight
SCALE_MAX_PPM = 100 * PPM  # of maintenance
STAGES_MAX = 16
LEVELS_MAX = 8  # of margin calls
NODES_MAX = 64  # of one index recipe
SAMPLES_MAX = 1 << 16  # of one TWAP or mean basis
SEAM_ROWS_MAX = 1_024
TIMES_MAX_NS = 2**62  # the year 2116: later events are refused
DURATION_MAX_NS = 2**60  # any length in a rule book: a time and a length never leave 64 bits
INTERVAL_MIN_NS = 1_000_000  # of a timer that comes again: a gap of hours stays a matter of seconds
TIMERS_MAX = 10**7  # how often one timer may fall due within one gap
SEAM_ARGUMENT_MAX = 10**18  # ppm of SCALE and RAMP
PPB = 1_000_000_000
FUNDING_RATE_MAX_PPB = 10**8  # of one interval: 10 %
FUNDING_INTERVAL_MIN_NS = 60 * NS
FUNDING_BALANCES_MAX = 10**33  # of all balances of the settlement asset, sizes summed: above it no interval is paid
SCORE_MAX_PPB = 10**18  # of an ADL score: a profit of 10^9 times the wallet ranks as high as any larger one

INT128_MAX = 2**127 - 1
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)  # what a feed can carry; no index is read from it

# The products that a 128-bit engine forms directly; anything wider goes through a 256-bit multiply-divide.
assert POSITION_MAX * VALUE_MAX < INT128_MAX // 10**8  # notional, room for a pool of 10^8 positions
assert POSITION_MAX * VALUE_MAX * PPM < INT128_MAX  # notional * rate
assert POSITION_MAX * VALUE_MAX * MARKETS_MAX * PPM < INT128_MAX  # maintenance of an account, in ppm
assert POSITION_MAX * VALUE_MAX * SPREAD_MAX_PPM < INT128_MAX  # of a position x spread
assert INT64_MAX * WEIGHT_ONE * SOURCES_MAX < INT128_MAX  # a weighted sum of raw source reads
assert INT64_MAX * SAMPLES_MAX < INT128_MAX  # the sum of a TWAP
assert TIMES_MAX_NS + DURATION_MAX_NS < INT64_MAX
assert (SEAM_ARGUMENT_MAX + PPM) * INT64_MAX < INT128_MAX  # a price through a seam
assert SEAM_ARGUMENT_MAX * TIMES_MAX_NS < INT128_MAX  # a ramp
assert INT64_MAX * INT64_MAX < INT128_MAX  # a product of two legs
assert BALANCE_MAX * PRICE_MAX // 10**COLLATERAL_EXPONENT_MIN * ASSETS_MAX < INT128_MAX  # collateral of one account
assert MONEY_IN_MAX * PPM < INT128_MAX
assert BALANCE_MAX * ACCOUNTS_MAX * PPM * PART_MAX < INT128_MAX  # a weighted quantity of all there is, in parts
assert SHORTAGE_MAX * PPM**2 < INT128_MAX
assert PRICE_MAX * 2 * PPM * 10**TRANSFER_EXPONENT_MAX < INT128_MAX
assert 10**30 * PPM * PART_MAX < INT128_MAX  # what it is divided by: the largest scale of collateral
# Funding: the cumulative index of all intervals that time has; the largest position, the backstop's, which may be a whole side's;
# and all balances after an interval that every position of both sides pays or receives, through the residue, with room.
assert FUNDING_RATE_MAX_PPB * VALUE_MAX * (TIMES_MAX_NS // FUNDING_INTERVAL_MIN_NS) < MONEY_MAX
assert POSITION_MAX * ACCOUNTS_MAX < INT64_MAX
assert FUNDING_BALANCES_MAX + 4 * POSITION_MAX * ACCOUNTS_MAX * FUNDING_RATE_MAX_PPB * VALUE_MAX // PPB < MONEY_MAX // 100
assert PRICE_MAX * (PPM + BAND_MAX_PPM) < INT128_MAX  # a bound, and alpha x a premium
assert PRICE_MAX * PPB * TIMERS_MAX < INT128_MAX  # the sum of premium samples of one interval
assert SCORE_MAX_PPB < INT64_MAX


def div_floor(a: int, b: int) -> int:
    """Return a / b rounded toward -inf. b > 0."""
    return a // b


def div_ceil(a: int, b: int) -> int:
    """Return a / b rounded toward +inf. b > 0."""
    return -(-a // b)


def muldiv_floor(a: int, b: int, c: int) -> int:
    """Return a * b / c rounded toward -inf, exact in between. c > 0."""
    return a * b // c


def muldiv_ceil(a: int, b: int, c: int) -> int:
    """Return a * b / c rounded toward +inf, exact in between. c > 0."""
    return -(-a * b // c)


def cmp_ratio(a: int, b: int, c: int, d: int) -> int:
    """Compare a/b with c/d exactly; b, d > 0. Return -1, 0 or 1."""
    left, right = a * d, c * b
    return (left > right) - (left < right)


_DECIMAL = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?\Z")


def decimal_to_int(text: str, decimals: int) -> int:
    """Return the integer number of 10^-decimals in a decimal string, exactly.

    Raises ValueError for anything but plain decimal notation (no exponent, no leading zero, no blank) and for digits
    below the unit: nothing is rounded on the way in.
    """
    if not isinstance(text, str) or not _DECIMAL.match(text):
        raise ValueError(f"{text!r} is not a plain decimal number; write digits, such as '0.65'")
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.lstrip("+-").partition(".")
    if len(fraction.rstrip("0")) > decimals:
        raise ValueError(f"{text!r} has more than {decimals} decimals, the unit here is 10^-{decimals}")
    return sign * (int(whole) * 10**decimals + int((fraction + "0" * decimals)[:decimals] or "0"))


def int_to_decimal(number: int, decimals: int) -> str:
    """Return `number` units of 10^-decimals as a decimal string, all decimals kept: the inverse of decimal_to_int."""
    sign, number = ("-" if number < 0 else ""), abs(number)
    whole, fraction = divmod(number, 10**decimals)
    return f"{sign}{whole}" + (f".{fraction:0{decimals}d}" if decimals else "")


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant_to_ns(instant: datetime | str) -> int:
    """Return ns since the epoch of a time that carries its zone. A naive time raises ValueError: 16:50 is not 20:50."""
    if isinstance(instant, str):
        instant = datetime.fromisoformat(instant)
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; write it as {instant.isoformat()}Z or with an offset")
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1_000


def ns_to_instant(time_ns: int) -> str:
    """Return an ISO 8601 UTC time, with as many fractional digits as are not zero."""
    seconds, ns = divmod(time_ns, NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{ns:09d}".rstrip("0") if ns else "") + "Z"
