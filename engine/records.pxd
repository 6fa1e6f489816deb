"""The records of specs/tape.py as C structs, and its enums as C enums.

The order, the offset and the size of every field, and the value of every enum member, are those of specs/tape.py.
engine/records.pyx lays them open as LAYOUT, SIZES, ENUMS and CONSTANTS; engine/compile.py compares when it is imported.
The enums are cpdef only so that ENUMS is made from them and not from a third list.
Money is two halves, joined only in money.pxd, so that no record needs more than 8-byte alignment.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef struct Event:  # 64 bytes, little-endian, no padding
    int64_t time_ns  # ns since the epoch, UTC
    uint64_t ref_id  # order id; owner of an account
    int64_t price  # price units of the market, or of the source
    int64_t qty  # lots; leverage (times); another account; a state or a setting
    uint64_t amount_lo  # money, 10^-decimals of the asset: low half; of an order: lots shown; trigger price or distance
    int64_t amount_hi  # high half, with the sign; of an order: when it expires, ns
    uint32_t account  # account id
    uint16_t batch_left  # events of the same time still to come in this batch
    uint16_t source  # row number; of a waiting order: TriggerBy
    uint8_t market  # row number
    uint8_t leg  # Leg
    uint16_t asset  # row number; of an order: SelfTrade
    uint8_t kind  # EventKind
    uint8_t side  # Side
    uint8_t tif  # Tif
    uint8_t flags  # bits of Flag


cdef struct Outcome:  # 80 bytes, little-endian, no padding
    int64_t time_ns  # ns since the epoch, UTC
    uint64_t ref_id  # order id, of the taker in a fill; index row number; owner
    uint64_t other_id  # order id of the maker
    int64_t price  # price units of the market, index or asset
    int64_t qty  # lots; count, as the kind says
    uint64_t money_lo  # money, 10^-decimals of the asset: low half
    int64_t money_hi  # high half, with the sign
    uint32_t event  # number of the event that caused it, from 0
    uint32_t account  # account id
    uint32_t other  # account id: maker, payee
    uint8_t market  # row number
    uint8_t leg  # Leg
    uint16_t asset  # row number
    uint16_t round  # of the cascade, 0 outside liquidation
    uint8_t kind  # OutcomeKind
    uint8_t reason  # Reason
    uint8_t stage  # Stage
    uint8_t side  # Side
    uint8_t grade  # Grade
    uint8_t flow  # Flow


cdef extern from * nogil:
    """
    #define RISKBED_SCHEMA_VERSION 3
    #define RISKBED_USERS_FROM 16u
    #define RISKBED_ENGINE_ORDER ((uint64_t)1 << 63)
    #define RISKBED_SEAM_ANY 0xFFFFFFFFu
    """
    const uint32_t SCHEMA_VERSION "RISKBED_SCHEMA_VERSION"
    const uint32_t USERS_FROM "RISKBED_USERS_FROM"  # the first account id of a user
    const uint64_t ENGINE_ORDER "RISKBED_ENGINE_ORDER"  # the bit of order ids that the venue itself places
    const uint32_t SEAM_ANY "RISKBED_SEAM_ANY"  # the key of a seam row that matches every key


cdef extern from "build.h" nogil:
    bint PLANTED(int planted, int bug)  # true when `bug` is switched on; the constant 0 in a release build
    const bint CHECKED "RISKBED_IS_CHECKED"  # planted bugs and the extra assertions are compiled in


cpdef enum EventKind:
    EV_CLOCK = 1
    EV_ACCOUNT = 2
    EV_DEPOSIT = 3
    EV_WITHDRAW = 4
    EV_LEVERAGE = 5
    EV_ORDER = 6
    EV_CANCEL = 7
    EV_SOURCE = 8
    EV_TRANSFER = 9
    EV_MODE = 10
    EV_AUTO_ADD = 11
    EV_STATE = 12
    EV_AMEND = 13
    EV_MASS_CANCEL = 14
    EV_DISCONNECT = 15
    EV_STOP = 16
    EV_TAKE_PROFIT = 17
    EV_TRAILING = 18
    EV_BUST = 19
    EV_RULE_CHANGE = 20
    EV_RULE_WITHDRAWN = 21
    EV_DELIST = 23


cpdef enum Side:
    SIDE_NONE = 0
    SIDE_BUY = 1
    SIDE_SELL = 2


cpdef enum Tif:
    TIF_NONE = 0
    TIF_GTC = 1
    TIF_IOC = 2
    TIF_POST_ONLY = 3
    TIF_MARKET = 4
    TIF_FOK = 5
    TIF_GTD = 6
    TIF_POST_REPRICE = 7


cpdef enum Flag:
    FLAG_MISSING = 1
    FLAG_HAS_PARENT = 2
    FLAG_REDUCE_ONLY = 4
    FLAG_CLOSE_ONLY = 8
    FLAG_PROTECT = 16
    FLAG_ALL_MARKETS = 32
    FLAG_DISTANCE_PPM = 64


cpdef enum SelfTrade:
    SELF_AS_MARKET = 0
    SELF_ALLOW = 1
    SELF_CANCEL_TAKER = 2
    SELF_CANCEL_MAKER = 3
    SELF_CANCEL_BOTH = 4
    SELF_DECREMENT = 5


cpdef enum TriggerBy:
    BY_NONE = 0
    BY_LAST = 1
    BY_MARK = 2
    BY_INDEX = 3


cpdef enum Leg:
    LEG_NET = 0
    LEG_LONG = 1
    LEG_SHORT = 2


cpdef enum Chart:
    CHART_OUTSIDE = 0
    CHART_FUND = 1
    CHART_BACKSTOP = 2
    CHART_FEES = 3
    CHART_REBATES = 4
    CHART_TREASURY = 5
    CHART_BAD_DEBT = 6
    CHART_FUNDING_RESIDUE = 7
    CHART_ROUNDING_RESIDUE = 8
    CHART_VAULT = 9
    CHART_LENDERS = 10


cpdef enum OutcomeKind:
    OUT_REJECT = 1
    OUT_ACCEPTED = 2
    OUT_FILL = 3
    OUT_CANCELLED = 4
    OUT_FLOW = 5
    OUT_INDEX = 6
    OUT_MARK = 7
    OUT_COLLATERAL = 8
    OUT_OPENED = 9
    OUT_LEVERAGE_SET = 10
    OUT_LIQUIDATION = 11
    OUT_TAKEOVER = 12
    OUT_CONVERT = 13
    OUT_RESTORED = 14
    OUT_CARRIED = 15
    OUT_SUSPENDED = 16
    OUT_FUND_SHORT = 17
    OUT_BOUND = 18
    OUT_QUOTER = 19
    OUT_MOVED = 20
    OUT_FUNDING = 21
    OUT_ADL = 22
    OUT_STATE_SET = 23
    OUT_AUTO_ADD_SET = 24
    OUT_WAITING = 25
    OUT_TRIGGERED = 26
    OUT_AMENDED = 27
    OUT_REFRESHED = 28
    OUT_BUSTED = 29
    OUT_UNCROSSED = 30
    OUT_MARGIN_LEVEL = 33
    OUT_INTEREST = 36
    OUT_CHANGE_ANNOUNCED = 39
    OUT_CHANGE_EFFECTIVE = 40
    OUT_CHANGE_ENDED = 41
    OUT_SETTLES = 44
    OUT_SETTLEMENT = 45
    OUT_SETTLED = 46


cpdef enum Reason:
    WHY_NONE = 0
    WHY_TIME_WENT_BACK = 1
    WHY_TIME_GAP = 2
    WHY_UNKNOWN_KIND = 3
    WHY_UNKNOWN_ACCOUNT = 4
    WHY_UNKNOWN_MARKET = 5
    WHY_UNKNOWN_ASSET = 6
    WHY_UNKNOWN_SOURCE = 7
    WHY_DUPLICATE_ACCOUNT = 8
    WHY_BAD_OWNER = 9
    WHY_BAD_AMOUNT = 10
    WHY_BAD_LEVERAGE = 11
    WHY_BAD_ORDER_ID = 12
    WHY_DUPLICATE_ORDER_ID = 13
    WHY_BAD_SIDE = 14
    WHY_BAD_TIF = 15
    WHY_BAD_QTY = 16
    WHY_BAD_PRICE = 17
    WHY_OFF_TICK = 18
    WHY_IN_LIQUIDATION = 19
    WHY_TOO_MANY_ORDERS = 20
    WHY_BOOK_FULL = 21
    WHY_POSITION_LIMIT = 22
    WHY_GRADE_REFUSED = 23
    WHY_EXCEEDS_BRACKETS = 24
    WHY_INSUFFICIENT_MARGIN = 25
    WHY_INSUFFICIENT_BALANCE = 26
    WHY_WOULD_CROSS = 27
    WHY_UNKNOWN_ORDER = 28
    WHY_NOT_OWNER = 29
    WHY_BAD_LEG = 30
    WHY_NOT_RELATED = 31
    WHY_BAD_STATE = 32
    WHY_MARKET_STATE = 33
    WHY_HAS_ORDERS = 34
    WHY_NO_POSITION = 35
    WHY_NOT_FLAT = 36
    WHY_NOT_REDUCING = 37
    WHY_BAD_SETTING = 38
    WHY_FUNDING_LIMIT = 39
    WHY_USER = 40
    WHY_IOC_REMAINDER = 41
    WHY_LIQUIDATED = 42
    WHY_QUOTER_REFILL = 43
    WHY_OWN_ORDER = 44
    WHY_OWN_LEG = 45
    WHY_REDUCE_ONLY = 46
    WHY_DELEVERAGED = 47
    WHY_UNFUNDED = 48
    WHY_BAD_EXPIRY = 49
    WHY_MAINTENANCE = 50
    WHY_FLAT = 51
    WHY_ABOVE_TARGET = 52
    WHY_QUOTER_EXIT = 60
    WHY_QUOTER_RETURN = 61
    WHY_BAD_DISPLAY = 62
    WHY_BAD_SELF_TRADE = 63
    WHY_BAD_TRIGGER = 64
    WHY_WOULD_TRIGGER = 65
    WHY_NO_TRIGGER_PRICE = 66
    WHY_CANNOT_FILL = 67
    WHY_BAD_AMEND = 68
    WHY_PRICE_BAND = 69
    WHY_QTY_LIMIT = 70
    WHY_NOTIONAL_LIMIT = 71
    WHY_OWNER_LIMIT = 72
    WHY_OPEN_INTEREST_LIMIT = 73
    WHY_UNKNOWN_FILL = 74
    WHY_BUSTED_ALREADY = 75
    WHY_EXPIRED = 80
    WHY_SELF_TRADE = 81
    WHY_MASS_CANCEL = 82
    WHY_DISCONNECTED = 83
    WHY_TRIGGER_PROTECTED = 84
    WHY_LIMIT_UP_DOWN = 85
    WHY_PAUSE_ENDED = 86
    WHY_MINIMUM = 94
    WHY_COOLING_DOWN = 95
    WHY_UNKNOWN_CHANGE = 98
    WHY_BAD_EFFECTIVE = 99
    WHY_CHANGE_BREAKS_BOUND = 100
    WHY_MARKET_CLOSED = 102
    WHY_NO_SETTLEMENT = 103
    WHY_BAD_TIME = 104
    WHY_PRICE_AWAITED = 105


cpdef enum Grade:
    GRADE_VALID = 0
    GRADE_STALE = 1
    GRADE_TOO_FEW_SOURCES = 2
    GRADE_INVALID = 3


cpdef enum Action:
    ACT_OPEN = 0
    ACT_REDUCE = 1
    ACT_WITHDRAW = 2
    ACT_LIQUIDATE = 3
    ACT_TAKEOVER = 4
    ACT_CONVERT = 5
    ACT_ADL = 6
    ACT_FUNDING = 7
    ACT_CANCEL = 8
    ACT_AMEND = 9
    ACT_TRIGGER = 10
    ACT_TAKE = 11
    ACT_SETTLE = 12


cpdef enum MarketState:
    MARKET_OPEN = 0
    MARKET_REDUCE_ONLY = 1
    MARKET_HALTED = 2
    MARKET_CANCEL_ONLY = 3
    MARKET_POST_ONLY = 4
    MARKET_AUCTION = 5
    MARKET_PAUSED = 6
    MARKET_CLOSED = 7


cpdef enum Permit:
    PERMIT_ALLOW = 0
    PERMIT_LAST_VALID = 1
    PERMIT_DEFER = 2
    PERMIT_REFUSE = 3


cpdef enum Stage:
    STAGE_NONE = 0
    STAGE_CANCEL = 1
    STAGE_BOOK = 2
    STAGE_TAKEOVER = 3
    STAGE_CONVERT = 4
    STAGE_FUND = 5
    STAGE_WRITE_OFF = 6
    STAGE_ADL = 7
    STAGE_TRANSFER = 12


cpdef enum Flow:
    FLOW_NONE = 0
    FLOW_DEPOSIT = 1
    FLOW_WITHDRAWAL = 2
    FLOW_FUND_CAPITAL = 3
    FLOW_TRADE = 4
    FLOW_FEE = 5
    FLOW_LIQUIDATION_FEE = 6
    FLOW_TAKEOVER = 7
    FLOW_CONVERT_ASSET = 8
    FLOW_CONVERT_CASH = 9
    FLOW_FUND_PAYMENT = 10
    FLOW_WRITE_OFF = 11
    FLOW_TRANSFER = 12
    FLOW_AUTO_ADD = 13
    FLOW_MODE = 14
    FLOW_FUNDING_PAID = 15
    FLOW_FUNDING_RECEIVED = 16
    FLOW_ADL = 17
    FLOW_FEE_RETURNED = 18
    FLOW_TAKEOVER_SURPLUS = 19
    FLOW_LIABILITY_TAKEN = 23
    FLOW_COLLATERAL_GIVEN = 24
    FLOW_TRANSFER_FEE = 25
    FLOW_INTEREST = 26
    FLOW_SETTLEMENT = 28


cpdef enum Status:
    STATUS_NORMAL = 0
    STATUS_LIQUIDATING = 1
    STATUS_SUSPENDED = 2


cpdef enum Seam:
    SEAM_SOURCE_READ = 0
    SEAM_INDEX_PUBLISH = 1
    SEAM_MARK_PUBLISH = 2
    SEAM_COLLATERAL_PRICE = 3
    SEAM_LIQUIDATION_TRIGGER = 4
    SEAM_TAKEOVER_ACCEPT = 5
    SEAM_ADL_TRIGGER = 6
    SEAM_ADL_RANK = 7
    SEAM_FUNDING_RATE = 8


cpdef enum SeamKind:
    SEAMKIND_HOLD = 1
    SEAMKIND_SCALE = 2
    SEAMKIND_CONST = 3
    SEAMKIND_MISSING = 4
    SEAMKIND_RAMP = 5
    SEAMKIND_FORCE_TRUE = 6
    SEAMKIND_FORCE_FALSE = 7
