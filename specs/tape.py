"""Events in, outcomes out: the fixed-size records, their enums, and the tape that holds them.

An `Event` is 64 bytes, one cache line. An `Outcome` is 80: a fill alone names two orders, two accounts, a price, a
quantity, 128 bits of money, its event and its time, which is 68 bytes before its kind. Money is two 64-bit fields
(`_lo` unsigned, `_hi` signed), so that no record needs more than 8-byte alignment in a memory-mapped file.

The layout is frozen by SCHEMA_VERSION: a change of a field, an enum value or a size is a new version. The engine compares
the size and the offset of every field with the ones here when it is imported.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, fields, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from specs import units
from specs.errors import SpecError, TapeError

SCHEMA_VERSION = 3


class EventKind(IntEnum):
    """What can stand on a tape. Fields that a kind does not name are 0."""

    CLOCK = 1  # time_ns only
    ACCOUNT = 2  # account, ref_id = owner; HAS_PARENT: qty = the parent's account id
    DEPOSIT = 3  # account, asset, amount
    WITHDRAW = 4  # account, asset, amount
    LEVERAGE = 5  # account, market, qty = chosen leverage
    ORDER = 6  # account, market, ref_id = order id, side, tif, price (0 for MARKET), qty, asset = SelfTrade;
    #            amount_lo = lots shown at a time (0: all), amount_hi = expiry, ns (0: never); REDUCE_ONLY, CLOSE_ONLY (qty 0)
    CANCEL = 7  # account, ref_id = order id
    SOURCE = 8  # source, price; MISSING: the source says it has no price
    TRANSFER = 9  # account, qty = the other account of the same owner, asset, amount
    MODE = 10  # cross <-> isolated: account, qty = its parent or sub-account, market, amount = margin that goes with the position
    AUTO_ADD = 11  # account (a sub-account), qty = 1 on, 0 off: its parent adds margin before it is liquidated
    STATE = 12  # market, qty = MarketState
    AMEND = 13  # account, ref_id, price (0: as it is), qty = lots it shall have left (0: as they are); amount_lo = trigger price
    MASS_CANCEL = 14  # account, market, side (NONE: both); ALL_MARKETS: every market
    DISCONNECT = 15  # account: the venue cancels whatever it has, waiting orders too
    STOP = 16  # as ORDER, source = TriggerBy, amount_lo = trigger price; waits until the price reaches it; PROTECT
    TAKE_PROFIT = 17  # as STOP, from the other side
    TRAILING = 18  # as STOP, amount_lo = distance from the best price since it was sent, price units; ppm with DISTANCE_PPM
    BUST = 19  # ref_id = number of a FILL of this run, from 0: it is undone by compensating postings
    RULE_CHANGE = 20  # ref_id = row of the rule book's changes, qty = ns from which it is in force; 0: from now on
    RULE_WITHDRAWN = 21  # ref_id = row of a change that is announced and not in force yet
    DELIST = 23  # market, qty = when it is closed and its positions are settled, ns; 0: now


class Side(IntEnum):
    NONE = 0
    BUY = 1
    SELL = 2


class Tif(IntEnum):
    """How long an order stays."""

    NONE = 0
    GTC = 1
    IOC = 2
    POST_ONLY = 3
    MARKET = 4  # IOC without a price of its own; bounded by the market's row: ppm from the mark, or ticks from the best price
    FOK = 5  # all of it at once, or nothing: decided before any fill
    GTD = 6  # GTC until amount_hi, which it must name; POST_ONLY and POST_REPRICE may
    POST_REPRICE = 7  # post-only; where it would cross it rests one tick before the best opposite price instead


class Flag(IntEnum):
    """Bits of Event.flags."""

    MISSING = 1  # a SOURCE event without a price
    HAS_PARENT = 2  # an ACCOUNT event of a sub-account
    REDUCE_ONLY = 4  # an ORDER that may never be larger than the position it closes
    CLOSE_ONLY = 8  # an ORDER of the whole position that it finds, reduce-only from then on
    PROTECT = 16  # a waiting order that is cancelled, not fired, where its trigger price is too far from the mark
    ALL_MARKETS = 32  # a MASS_CANCEL of every market
    DISTANCE_PPM = 64  # a TRAILING order's distance is ppm of the best price


class SelfTrade(IntEnum):
    """What happens where an order meets one of its own account, or of its own owner. The taker's mode decides."""

    AS_MARKET = 0  # of an order: the market's row
    ALLOW = 1  # of a market's row only
    CANCEL_TAKER = 2
    CANCEL_MAKER = 3
    CANCEL_BOTH = 4
    DECREMENT = 5  # both lose what they would have traded


class TriggerBy(IntEnum):
    """Which price fires a waiting order."""

    NONE = 0
    LAST = 1
    MARK = 2
    INDEX = 3


class Leg(IntEnum):
    """The third part of a position's key (account, market, leg). LONG and SHORT come with hedge mode: a BAD_LEG until then."""

    NET = 0
    LONG = 1
    SHORT = 2


class Chart(IntEnum):
    """The closed chart: the ledger accounts of the venue itself. Users have ids from USERS_FROM."""

    OUTSIDE = 0  # deposits come from here, withdrawals and the fund's first capital too
    FUND = 1
    BACKSTOP = 2  # holds what was taken over
    FEES = 3
    REBATES = 4
    TREASURY = 5  # buys converted collateral
    BAD_DEBT = 6  # what nobody paid
    FUNDING_RESIDUE = 7
    ROUNDING_RESIDUE = 8
    VAULT = 9
    LENDERS = 10  # get the interest


USERS_FROM = 16
ENGINE_ORDER = 1 << 63  # ids of orders the venue itself places (quoters, liquidations) have this bit


class OutcomeKind(IntEnum):
    REJECT = 1  # account, reason, and what the event named
    ACCEPTED = 2  # account, market, ref_id, side, price, qty; other_id = lots shown at a time, 0: all
    FILL = 3  # account = taker, other = maker, ref_id, other_id, market, side = taker's, price, qty, money = taker's fee; stage
    #           in an auction the buyer stands for the taker, and pays as a maker does
    CANCELLED = 4  # account, market, ref_id, side, price, qty = what was left, reason
    FLOW = 5  # flow, account = from, other = to, asset, money
    INDEX = 6  # ref_id = index, price, grade, qty = sources used
    MARK = 7  # market, price, grade
    COLLATERAL = 8  # asset, price, grade, qty = weight of initial margin in ppm where a row scales it
    OPENED = 9  # account, ref_id = owner
    LEVERAGE_SET = 10  # account, market, qty
    LIQUIDATION = 11  # an episode opens: account, money = equity; reason
    TAKEOVER = 12  # account, other = BACKSTOP or a vault, market, its side, qty, price = mark, money = cash to account
    CONVERT = 13  # account, other = TREASURY, asset, price = conversion price, money = quantity of the asset sold
    RESTORED = 14  # an episode closes: account, money = equity; reason FLAT, ABOVE_TARGET
    CARRIED = 15  # still triggered when its stages ended: account, money = equity
    SUSPENDED = 16  # triggered, but the grade table defers or refuses: account, money = equity
    FUND_SHORT = 17  # account, money = what the fund could not pay
    BOUND = 18  # a limit stopped the cascade: qty = accounts carried over
    QUOTER = 19  # account, market, reason QUOTER_EXIT or QUOTER_RETURN, price = reference
    MOVED = (
        20  # a position changed its account: account = from, other = to, market, side = of the position, qty, money = entry value
    )
    FUNDING = 21  # market, price = rate, ppb, money = cumulative funding after it; reason if the interval was skipped
    ADL = (
        22  # account, other = counterparty, market, side = of account's position, qty, price = mark, money = cash to the account
    )
    STATE_SET = 23  # market, qty = MarketState; reason if nobody asked for it
    AUTO_ADD_SET = 24  # account, qty
    WAITING = 25  # account, market, ref_id, side, price = trigger price, qty: an order waits for it, or now for this one
    TRIGGERED = 26  # account, market, ref_id, side, price = what fired it, qty: now it is an order like any other
    AMENDED = 27  # account, market, ref_id, side, price, qty = lots left; other_id = 1: it lost its place
    REFRESHED = 28  # account, market, ref_id, side, price, qty = lots it shows now, at the back of its level
    BUSTED = 29  # account = taker, other = maker, market, ref_id = number of the fill, side = taker's, price, qty, money = fee
    UNCROSSED = 30  # market, price of the auction, qty = lots, money = lots left over at that price (sells: negative)
    MARGIN_LEVEL = 33  # account, qty = the level of margin calls that it is on now, 0: none; other_id = before, money = equity
    INTEREST = 36  # asset, price = rate in ppb: an interval of what is owed; the flows follow
    CHANGE_ANNOUNCED = 39  # ref_id = row of changes, market or asset, qty = ns from which it will be in force
    CHANGE_EFFECTIVE = 40  # ref_id, market or asset, qty = positions that keep the maintenance before it
    CHANGE_ENDED = 41  # ref_id, market or asset; reason USER: withdrawn, CHANGE_BREAKS_BOUND: dropped at its time,
    #                    EXPIRED: qty positions that kept the maintenance before it no longer do
    SETTLES = 44  # market, qty = when its positions are settled, ns; reason PRICE_AWAITED: it is closed, and tried again then
    SETTLEMENT = 45  # market, price at which all its positions are closed, grade of the index, qty = open interest
    SETTLED = 46  # account, other = ROUNDING_RESIDUE, market, side = of the position, qty, price, money = cash to the account


class Reason(IntEnum):
    """Why: the answer of a venue. Numbers are stable names, not an order."""

    NONE = 0
    TIME_WENT_BACK = 1
    TIME_GAP = 2
    UNKNOWN_KIND = 3
    UNKNOWN_ACCOUNT = 4
    UNKNOWN_MARKET = 5
    UNKNOWN_ASSET = 6
    UNKNOWN_SOURCE = 7
    DUPLICATE_ACCOUNT = 8
    BAD_OWNER = 9
    BAD_AMOUNT = 10
    BAD_LEVERAGE = 11
    BAD_ORDER_ID = 12
    DUPLICATE_ORDER_ID = 13
    BAD_SIDE = 14
    BAD_TIF = 15
    BAD_QTY = 16
    BAD_PRICE = 17
    OFF_TICK = 18
    IN_LIQUIDATION = 19
    TOO_MANY_ORDERS = 20
    BOOK_FULL = 21
    POSITION_LIMIT = 22
    GRADE_REFUSED = 23
    EXCEEDS_BRACKETS = 24
    INSUFFICIENT_MARGIN = 25
    INSUFFICIENT_BALANCE = 26
    WOULD_CROSS = 27
    UNKNOWN_ORDER = 28
    NOT_OWNER = 29
    BAD_LEG = 30
    NOT_RELATED = 31  # a transfer to another owner; a mode switch to an account that is neither parent nor sub-account
    BAD_STATE = 32
    MARKET_STATE = 33  # the market's state refuses it
    HAS_ORDERS = 34
    NO_POSITION = 35
    NOT_FLAT = 36
    NOT_REDUCING = 37  # a reduce-only order that is not on the closing side, or larger than the position
    BAD_SETTING = 38
    FUNDING_LIMIT = 39  # an interval is skipped: the balances of the settlement asset are beyond FUNDING_BALANCES_MAX
    # of CANCELLED, LIQUIDATION, RESTORED, QUOTER
    USER = 40
    IOC_REMAINDER = 41
    LIQUIDATED = 42
    QUOTER_REFILL = 43
    OWN_ORDER = 44  # a resting order that its owner's own liquidation order met
    OWN_LEG = 45  # of ADL: the owner's other account held the opposite position
    REDUCE_ONLY = 46  # a reduce-only order is cut to what is left of its position
    DELEVERAGED = 47  # an order of a counterparty of ADL
    UNFUNDED = 48  # a spot order, or its rest, whose account has not what the next fill takes, or no room for what it brings
    BAD_EXPIRY = 49  # of REJECT: not after now, or of an order that cannot expire
    MAINTENANCE = 50
    FLAT = 51
    ABOVE_TARGET = 52
    QUOTER_EXIT = 60
    QUOTER_RETURN = 61
    # of REJECT again: orders
    BAD_DISPLAY = 62  # lots shown out of range, or of an order that cannot hide any
    BAD_SELF_TRADE = 63
    BAD_TRIGGER = 64  # no such trigger, or its price or distance is out of range
    WOULD_TRIGGER = 65  # a waiting order whose trigger is true already
    NO_TRIGGER_PRICE = 66  # the price that it waits for, or the mark that PROTECT measures from, was never valid
    CANNOT_FILL = 67  # FOK
    BAD_AMEND = 68  # nothing to change, or what such an order does not have
    PRICE_BAND = 69  # also of CANCELLED: the rest beyond the band
    QTY_LIMIT = 70
    NOTIONAL_LIMIT = 71
    OWNER_LIMIT = 72  # the position that the owner's accounts could have after it
    OPEN_INTEREST_LIMIT = 73  # also of CANCELLED, in an auction
    UNKNOWN_FILL = 74  # no such fill, or no longer kept
    BUSTED_ALREADY = 75
    # of CANCELLED and STATE_SET again
    EXPIRED = 80
    SELF_TRADE = 81
    MASS_CANCEL = 82
    DISCONNECTED = 83
    TRIGGER_PROTECTED = 84
    LIMIT_UP_DOWN = 85  # a trade beyond the limit was asked for: the market pauses
    PAUSE_ENDED = 86
    COOLING_DOWN = 95  # of CARRIED: no slice before its cooldown is over
    MINIMUM = 94  # of LIQUIDATION: equity is below the least maintenance of its positions
    # of changes of rules
    UNKNOWN_CHANGE = 98  # no such row, or to be withdrawn and not announced
    BAD_EFFECTIVE = 99  # a time before now, or beyond all tapes
    CHANGE_BREAKS_BOUND = 100  # a rate above 100 %, initial margin below maintenance, an amount that is not whole
    MARKET_CLOSED = 102  # of REJECT, CANCELLED and STATE_SET: the market has come to its end
    # of REJECT again: DELIST
    NO_SETTLEMENT = 103  # no row says at what price
    BAD_TIME = 104  # before now, or after all time
    PRICE_AWAITED = 105  # of SETTLES: there is no price that the row and the grades admit


class Grade(IntEnum):
    """How far a published price may be trusted."""

    VALID = 0
    STALE = 1
    TOO_FEW_SOURCES = 2
    INVALID = 3


class Action(IntEnum):
    """What a rule book allows at a grade."""

    OPEN = 0
    REDUCE = 1
    WITHDRAW = 2
    LIQUIDATE = 3
    TAKEOVER = 4
    CONVERT = 5
    ADL = 6
    FUNDING = 7
    CANCEL = 8  # of a market's state only, as AMEND and TAKE
    AMEND = 9
    TRIGGER = 10  # a waiting order fires
    TAKE = 11  # an order that would trade at once
    SETTLE = 12  # a market that has come to its end closes its positions


class MarketState(IntEnum):
    """Of a market. What each allows is a row of the rule book; an open market allows everything."""

    OPEN = 0
    REDUCE_ONLY = 1
    HALTED = 2
    CANCEL_ONLY = 3
    POST_ONLY = 4
    AUCTION = 5  # orders collect and do not trade; leaving it uncrosses them at one price
    PAUSED = 6  # as HALTED, by the limits on its own price
    CLOSED = 7  # for good: it expired, or was delisted. No event sets it


class Permit(IntEnum):
    ALLOW = 0
    LAST_VALID = 1  # allowed, at the last valid price
    DEFER = 2
    REFUSE = 3


class Stage(IntEnum):
    NONE = 0
    CANCEL = 1
    BOOK = 2
    TAKEOVER = 3
    CONVERT = 4
    FUND = 5
    WRITE_OFF = 6
    ADL = 7
    TRANSFER = 12


class Flow(IntEnum):
    """Every kind of money movement; FLOWS says from whom to whom."""

    NONE = 0
    DEPOSIT = 1
    WITHDRAWAL = 2
    FUND_CAPITAL = 3
    TRADE = 4  # a fill's cash: the buyer pays the seller; in a spot market the base asset goes the other way
    FEE = 5
    LIQUIDATION_FEE = 6
    TAKEOVER = 7  # the cash of a takeover
    CONVERT_ASSET = 8  # the collateral of a conversion
    CONVERT_CASH = 9  # its price
    FUND_PAYMENT = 10
    WRITE_OFF = 11
    TRANSFER = 12
    AUTO_ADD = 13
    MODE = 14  # the entry value of a position that changes its account
    FUNDING_PAID = 15  # the backstop pays and receives funding as a user does
    FUNDING_RECEIVED = 16
    ADL = 17  # the cash of a deleveraging
    FEE_RETURNED = 18  # the maker's fee of a fill that was busted
    TAKEOVER_SURPLUS = 19  # what a position that is taken over is worth above its bankruptcy price, where it is the fund's
    LIABILITY_TAKEN = 23  # what is owed of an asset, taken over in a transfer
    COLLATERAL_GIVEN = 24  # the collateral given for it
    TRANSFER_FEE = 25  # the insurance fee on it
    INTEREST = 26  # on what is owed of an asset
    SETTLEMENT = 28  # the cash of a final settlement


USER = "user"
HOLDER = "holder"  # a user or the backstop: who can hold a position, or take one over
FLOWS: dict[Flow, tuple[str, str]] = {
    Flow.DEPOSIT: ("OUTSIDE", USER),
    Flow.WITHDRAWAL: (USER, "OUTSIDE"),
    Flow.FUND_CAPITAL: ("OUTSIDE", "FUND"),
    Flow.TRADE: (USER, USER),
    Flow.FEE: (USER, "FEES"),
    Flow.LIQUIDATION_FEE: (USER, "FUND"),
    Flow.TAKEOVER: (HOLDER, USER),
    Flow.CONVERT_ASSET: (USER, "TREASURY"),
    Flow.CONVERT_CASH: ("TREASURY", USER),
    Flow.FUND_PAYMENT: ("FUND", USER),
    Flow.WRITE_OFF: ("BAD_DEBT", USER),
    Flow.TRANSFER: (USER, USER),
    Flow.AUTO_ADD: (USER, USER),
    Flow.MODE: (USER, USER),
    Flow.FUNDING_PAID: (HOLDER, "FUNDING_RESIDUE"),
    Flow.FUNDING_RECEIVED: ("FUNDING_RESIDUE", HOLDER),
    Flow.ADL: (USER, USER),
    Flow.FEE_RETURNED: ("FEES", USER),
    Flow.TAKEOVER_SURPLUS: (USER, "FUND"),
    Flow.LIABILITY_TAKEN: ("BACKSTOP", USER),
    Flow.COLLATERAL_GIVEN: (USER, "BACKSTOP"),
    Flow.TRANSFER_FEE: (USER, "FUND"),
    Flow.INTEREST: (USER, "LENDERS"),
    Flow.SETTLEMENT: (HOLDER, "ROUNDING_RESIDUE"),
}


class Status(IntEnum):
    """Of an account."""

    NORMAL = 0
    LIQUIDATING = 1
    SUSPENDED = 2


class Seam(IntEnum):
    """Named points where a rule reads or decides; a scheduled fault can act there."""

    SOURCE_READ = 0  # key: source
    INDEX_PUBLISH = 1  # key: index
    MARK_PUBLISH = 2  # key: market
    COLLATERAL_PRICE = 3  # key: asset
    LIQUIDATION_TRIGGER = 4  # key: account
    TAKEOVER_ACCEPT = 5  # key: market
    ADL_TRIGGER = 6  # key: market
    ADL_RANK = 7  # key: account; the score, parts per billion
    FUNDING_RATE = 8  # key: market; ppb


DECISIONS = frozenset({Seam.LIQUIDATION_TRIGGER, Seam.TAKEOVER_ACCEPT, Seam.ADL_TRIGGER})
"""Seams that decide; the others read a number."""


class SeamKind(IntEnum):
    HOLD = 1  # the first value read in the window is read until it ends
    SCALE = 2  # value * argument / 10^6, toward -inf
    CONST = 3  # the argument
    MISSING = 4  # nothing can be read
    RAMP = 5  # value * (1 + b), b = argument ppm at `from`, falling linearly to 0 at `to`
    FORCE_TRUE = 6  # a decision
    FORCE_FALSE = 7


SEAM_ANY = 0xFFFFFFFF  # a row's key that matches every key


def start_time(time_ns: int) -> int:
    """Return the time of a run's first event, in its bounds. Raises SpecError."""
    if not 0 <= time_ns <= units.TIMES_MAX_NS:
        raise SpecError(f"a run cannot start at {time_ns} ns", remedy=f"between 0 and {units.TIMES_MAX_NS}, ns since the epoch")
    return int(time_ns)


def seam_rows(rows) -> list[tuple[int, int, int, int, int, int]]:
    """Return a fault schedule as integers, every field in its bounds; both twins take nothing else. Raises SpecError."""
    checked = [tuple(int(x) for x in row) for row in rows]
    if len(checked) > units.SEAM_ROWS_MAX:
        raise SpecError(f"{len(checked)} rows in the fault schedule", remedy=f"at most {units.SEAM_ROWS_MAX}")
    for i, (seam, key, start, end, kind, argument) in enumerate(checked):
        decides = seam in DECISIONS
        forces = kind in (SeamKind.FORCE_TRUE, SeamKind.FORCE_FALSE)
        most = units.SEAM_ARGUMENT_MAX if kind in (SeamKind.SCALE, SeamKind.RAMP) else units.INT64_MAX
        for holds, what in (
            (seam in Seam._value2member_map_ and kind in SeamKind._value2member_map_, "names no seam or no kind"),
            (decides == forces, "forces a price, or scales a decision"),
            (0 <= key <= SEAM_ANY, f"has key {key}"),
            (0 <= start < end <= units.TIMES_MAX_NS, f"has the window [{start}, {end})"),
            (abs(argument) <= most, f"has the argument {argument}, beyond {most}"),
        ):
            if not holds:
                raise SpecError(f"row {i} of the fault schedule {what}", remedy="(seam, key, from_ns, to_ns, kind, argument)")
    return checked


EVENT = np.dtype(
    [
        ("time_ns", "<i8"),
        ("ref_id", "<u8"),  # order id; owner of an account
        ("price", "<i8"),
        ("qty", "<i8"),  # lots; leverage; another account; a state or a setting
        ("amount_lo", "<u8"),  # of an order: lots shown; trigger price or distance
        ("amount_hi", "<i8"),  # of an order: when it expires
        ("account", "<u4"),
        ("batch_left", "<u2"),  # how many events of the same time still belong to this batch: the cascade runs at 0
        ("source", "<u2"),  # of a waiting order: TriggerBy
        ("market", "u1"),
        ("leg", "u1"),  # Leg: the third part of the position key
        ("asset", "<u2"),  # of an order: SelfTrade
        ("kind", "u1"),
        ("side", "u1"),
        ("tif", "u1"),
        ("flags", "u1"),
    ]
)
OUTCOME = np.dtype(
    [
        ("time_ns", "<i8"),
        ("ref_id", "<u8"),  # order id (of the taker in a fill); index; owner
        ("other_id", "<u8"),  # order id of the maker
        ("price", "<i8"),
        ("qty", "<i8"),
        ("money_lo", "<u8"),
        ("money_hi", "<i8"),
        ("event", "<u4"),  # number of the event that caused it; timers belong to the event that moved the time
        ("account", "<u4"),
        ("other", "<u4"),  # the other account
        ("market", "u1"),
        ("leg", "u1"),  # Leg: the third part of the position key
        ("asset", "<u2"),
        ("round", "<u2"),  # of the cascade, 0 outside liquidation
        ("kind", "u1"),
        ("reason", "u1"),
        ("stage", "u1"),
        ("side", "u1"),
        ("grade", "u1"),
        ("flow", "u1"),
    ]
)
assert EVENT.itemsize == 64 and OUTCOME.itemsize == 80
for _dtype in (EVENT, OUTCOME):  # no padding
    assert sum(_dtype[name].itemsize for name in _dtype.names) == _dtype.itemsize

_CODES = {"<i8": "q", "<u8": "Q", "<u4": "I", "<u2": "H", "|u1": "B"}


def _packer(dtype: np.dtype) -> struct.Struct:
    return struct.Struct("<" + "".join(_CODES[dtype[name].str] for name in dtype.names))


EVENT_STRUCT = _packer(EVENT)
OUTCOME_STRUCT = _packer(OUTCOME)
assert EVENT_STRUCT.size == EVENT.itemsize and OUTCOME_STRUCT.size == OUTCOME.itemsize

_LOW = (1 << 64) - 1


def money_split(money: int) -> tuple[int, int]:
    """Return (lo, hi) of a 128-bit two's complement integer; |money| < 10^38."""
    return money & _LOW, money >> 64


def money_join(lo: int, hi: int) -> int:
    """Return the integer of its two halves: hi * 2^64 + lo."""
    return (hi << 64) | lo


def digest_rows(rows: np.ndarray) -> str:
    """Return the blake2b-128 hex of events or outcomes: their little-endian bytes, then SCHEMA_VERSION in four bytes."""
    assert rows.dtype in (EVENT, OUTCOME), f"{rows.dtype} has no canonical bytes"
    return hashlib.blake2b(rows.tobytes() + SCHEMA_VERSION.to_bytes(4, "little"), digest_size=16).hexdigest()


PROVENANCES = ("recorded", "derived", "synthetic", "assumed")


@dataclass(frozen=True)
class Series:
    """One series of a tape and where it comes from. provenance: one of PROVENANCES."""

    name: str
    provenance: str
    note: str = ""


@dataclass(frozen=True)
class Meta:
    """What a tape says about itself.

    Ids on the tape are row numbers of the rule book `venue`. A CLOCK stands at grid_ns + n x cadence_ns (grid_ns absent:
    start_ns) from the first event to the last, except strictly inside a gap (from_ns, to_ns). horizon_ns: outcomes after it are
    not compared. Accounts from accounts_from on stand in groups of accounts_group consecutive ids that traded with each other
    only; those below, such as quoters, belong to no group. kept_every: 1, or n when only every n-th group was kept.
    """

    venue: str
    start_ns: int
    horizon_ns: int
    title: str = ""
    series: tuple[Series, ...] = ()
    cadence_ns: int = 1_000_000_000
    grid_ns: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    accounts_from: int = USERS_FROM
    accounts_group: int = 1
    kept_every: int = 1

    def __post_init__(self) -> None:
        problem = ""
        if self.horizon_ns < self.start_ns:
            problem = "the horizon lies before the start"
        elif self.cadence_ns < 1:
            problem = "the cadence is not positive"
        elif self.accounts_group < 1 or self.accounts_from < USERS_FROM or self.kept_every < 1:
            problem = "accounts_from, accounts_group or kept_every is out of range"
        elif any(s.provenance not in PROVENANCES for s in self.series):
            problem = "a series is none of " + ", ".join(PROVENANCES)
        elif any(start >= end for start, end in self.gaps):
            problem = "a gap ends before it starts"
        if problem:
            raise TapeError(problem, where="metadata")

    def to_json(self) -> str:
        """Return the metadata as JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Meta:
        """Return the metadata that to_json wrote. Raises TapeError for anything else."""
        kinds = {"venue": str, "title": str, "series": list, "gaps": list, "grid_ns": (int, type(None))}
        try:
            raw = json.loads(text)
            if set(raw) != {field.name for field in fields(cls)}:
                raise ValueError("its keys are not those of a tape")
            for key, value in raw.items():
                if isinstance(value, bool) or not isinstance(value, kinds.get(key, int)):
                    raise ValueError(f"{key} is {value!r}")
            raw["series"] = tuple(Series(**row) for row in raw["series"])
            raw["gaps"] = tuple((int(start), int(end)) for start, end in raw["gaps"])
            return cls(**raw)
        except (ValueError, TypeError, AttributeError) as error:
            raise TapeError(f"the metadata cannot be read: {error}", remedy="a tape that Tape.write wrote") from None


def _batch(events: np.ndarray) -> np.ndarray:
    """Return the number of the batch of each event: a batch lasts up to its event with batch_left 0."""
    ends = events["batch_left"] == 0
    return np.cumsum(ends) - ends


class Tape:
    """Events in the order in which they happen, and what they mean.

    The constructor checks the tape (check_order): no tape goes back in time, breaks a batch or misses a CLOCK.
    """

    def __init__(self, events: np.ndarray, meta: Meta) -> None:
        if events.dtype != EVENT or events.ndim != 1:
            raise TapeError(
                f"these are not events: {events.dtype} in {events.ndim} dimensions", remedy="a vector of specs.tape.EVENT"
            )
        self.events, self.meta = np.ascontiguousarray(events), meta
        self.check_order()

    def __len__(self) -> int:
        return len(self.events)

    def digest(self) -> str:
        """Return digest_rows of the events; what they are called (the metadata) does not enter."""
        return digest_rows(self.events)

    def check_order(self) -> None:
        """Raise TapeError with the number of the first event that cannot stand where it stands.

        Times never fall and the first is start_ns; kinds are known; within a batch the time stays and batch_left counts down to
        0; the CLOCK grid is complete.
        """
        events, meta = self.events, self.meta
        if not len(events):
            raise TapeError("the tape is empty", remedy="at least one CLOCK")
        times = events["time_ns"]
        found: list[tuple[int, str, str]] = []

        def first(wrong: np.ndarray, problem: str, remedy: str, shift: int = 0) -> None:
            if wrong.any():
                found.append((int(np.argmax(wrong)) + shift, problem, remedy))

        first(~np.isin(events["kind"], [int(kind) for kind in EventKind]), "unknown kind", f"kinds are 1 to {max(EventKind)}")
        first(times[1:] < times[:-1], "time goes back", "sort the tape by time, in the order of what happened", 1)
        if times[0] != meta.start_ns:
            found.append(
                (0, f"the first time is {times[0]}, the tape starts at {meta.start_ns}", "start_ns is the first event's time")
            )
        left = events["batch_left"].astype(np.int64)
        inside = left[:-1] > 0
        first(
            inside & (left[1:] != left[:-1] - 1),
            "the batch counts down wrongly",
            "batch_left says how many events of the batch follow",
            1,
        )
        first(inside & (times[1:] != times[:-1]), "a batch stretches over two times", "events of a batch have one time", 1)
        if left[-1]:
            found.append(
                (
                    len(events) - 1,
                    f"the tape ends inside a batch: {left[-1]} events are missing",
                    "the last event of a batch has batch_left 0",
                )
            )
        if not found:
            self._check_clock(found)
        if found:
            number, problem, remedy = min(found)
            raise TapeError(problem, event=number, remedy=remedy)

    def _check_clock(self, found: list[tuple[int, str, str]]) -> None:
        """Find the first point of the grid that has no CLOCK; the event named is the first at or after it."""
        meta, times = self.meta, self.events["time_ns"]
        origin, step, last = meta.start_ns if meta.grid_ns is None else meta.grid_ns, meta.cadence_ns, int(times[-1])
        clocks = np.unique(times[self.events["kind"] == EventKind.CLOCK])
        low = meta.start_ns
        for gap_from, gap_to in (*sorted(meta.gaps), (last, last)):
            low += (origin - low) % step  # the first point at or after it
            high = min(gap_from, last)
            if low <= high:
                points = (high - low) // step + 1
                ours = clocks[(clocks >= low) & (clocks <= high) & ((clocks - low) % step == 0)]
                wrong = np.flatnonzero((ours - low) // step != np.arange(len(ours)))
                if len(ours) < points:
                    missing = low + step * int(wrong[0] if len(wrong) else len(ours))
                    number = min(int(np.searchsorted(times, missing, side="left")), len(times) - 1)
                    found.append(
                        (number, f"no CLOCK at {missing}", f"one every {step} ns from {origin}, or a gap in the metadata")
                    )
                    return
            low = max(low, gap_to)

    def slice(self, from_ns: int, to_ns: int) -> Tape:
        """Return the events of [from_ns, to_ns) on the same clock grid. They may need accounts that were opened before."""
        low, high = np.searchsorted(self.events["time_ns"], [from_ns, to_ns], side="left")
        events = self.events[low:high].copy()
        if not len(events):
            raise TapeError(
                f"no event from {from_ns} to {to_ns}",
                remedy=f"the tape runs from {self.meta.start_ns} to {self.events['time_ns'][-1]}",
            )
        start, end = int(events["time_ns"][0]), int(events["time_ns"][-1])
        origin = self.meta.start_ns if self.meta.grid_ns is None else self.meta.grid_ns
        return Tape(
            events, replace(self.meta, start_ns=start, grid_ns=origin, horizon_ns=max(start, min(self.meta.horizon_ns, end)))
        )

    def thin(self, n: int) -> Tape:
        """Return the tape with every n-th group of accounts, the first included; prices, clock and ungrouped accounts stay."""
        if n < 1:
            raise TapeError(f"every {n}-th group", remedy="1 or more")
        events, meta = self.events, self.meta
        account = events["account"].astype(np.int64)
        group = (account - meta.accounts_from) // meta.accounts_group
        unowned = np.isin(events["kind"], [int(EventKind.CLOCK), int(EventKind.SOURCE)])
        kept = unowned | (account < meta.accounts_from) | (group % n == 0)
        out, batch = events[kept], _batch(events)[kept]
        ends = np.flatnonzero(np.append(batch[1:] != batch[:-1], True))
        here = np.arange(len(out))
        out["batch_left"] = ends[np.searchsorted(ends, here)] - here
        return Tape(out, replace(meta, kept_every=meta.kept_every * n))

    # ---- files

    def write(self, path: str | Path) -> None:
        """Write the tape as Parquet (zstd), whole or not at all. The metadata holds schema version, row count and digest."""
        from specs import parquet

        metadata = {
            "riskbed.tape": str(SCHEMA_VERSION),
            "riskbed.rows": str(len(self.events)),
            "riskbed.digest": self.digest(),
            "riskbed.meta": self.meta.to_json(),
        }
        parquet.write_table(path, parquet.rows_to_table(self.events, metadata=metadata))

    @classmethod
    def read(cls, path: str | Path) -> Tape:
        """Return the tape of a file. Raises TapeError, with the event number where there is one, before anything is run.

        Checked in this order: the file is whole Parquet; it is a tape of this schema version; columns, types and row count; the
        order of the events (check_order); the digest.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        try:
            if not path.is_file():
                raise TapeError("no such file", where=str(path), remedy="the path of a tape, a Parquet file")
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                metadata = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
                version = metadata.get("riskbed.tape")
                if version is None:
                    raise TapeError("this Parquet file is not a tape", where=str(path), remedy="write it with Tape.write")
                if version != str(SCHEMA_VERSION):
                    raise TapeError(
                        f"schema version {version}",
                        where=str(path),
                        remedy=f"this is version {SCHEMA_VERSION}: write the tape again",
                    )
                wanted = {name: str(pa.from_numpy_dtype(EVENT[name])) for name in EVENT.names}
                there = {field.name: str(field.type) for field in file.schema_arrow}
                if list(there.items()) != list(wanted.items()):
                    raise TapeError(
                        f"its columns are {_columns_differ(there, wanted)}",
                        where=str(path),
                        remedy="the columns of specs.tape.EVENT, in order",
                    )
                table = file.read()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            cause = (str(error) or type(error).__name__).splitlines()[0]
            raise TapeError(f"the file is torn or not Parquet: {cause}", where=str(path), remedy="write the tape again") from None
        if metadata.get("riskbed.rows") != str(table.num_rows):
            raise TapeError(
                f"{table.num_rows} rows, its metadata says {metadata.get('riskbed.rows')}",
                where=str(path),
                remedy="write the tape again",
            )
        events = np.empty(table.num_rows, dtype=EVENT)
        for name in EVENT.names:
            column = table.column(name)
            if column.null_count:
                number = int(np.argmax(column.is_null().to_numpy()))
                raise TapeError(
                    f"{name} is empty", where=str(path), event=number, remedy="fields that a kind does not name are 0"
                )
            events[name] = column.to_numpy()
        try:
            tape = cls(events, Meta.from_json(metadata.get("riskbed.meta", "")))
        except TapeError as error:
            raise TapeError(error.problem, where=str(path), event=error.event, remedy=error.remedy) from None
        if tape.digest() != metadata.get("riskbed.digest"):
            raise TapeError(
                f"digest {tape.digest()}, its metadata says {metadata.get('riskbed.digest')}",
                where=str(path),
                remedy="the rows were changed after writing",
            )
        return tape


def _columns_differ(there: dict[str, str], wanted: dict[str, str]) -> str:
    """Say the first difference of two lists of columns."""
    for name, kind in wanted.items():
        if name not in there:
            return f"without {name}"
        if there[name] != kind:
            return f"with {name} as {there[name]}, not {kind}"
    extra = [name for name in there if name not in wanted]
    return f"with {extra[0]}, which no event has" if extra else "in another order"
