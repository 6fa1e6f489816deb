"""The state of one exchange: rule rows, accounts, orders, prices, timers and the outcome buffer. Plain C, indices for pointers."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine.money cimport money_t
from engine.records cimport USERS_FROM, Outcome

cdef extern from "block.h" nogil:
    void* block_take(size_t count, size_t size)  # zeroed, aligned to a cache line; NULL: no memory
    void block_free(void* block)
    void block_large(void* block, size_t size)
    void memory_large(void* memory, size_t size)
    void block_expect(const void* p)  # its line is read and written soon
    void block_stream(void* to, const void* source, size_t size)  # past the cache; both aligned to 16, whole pieces of 16 bytes
    void block_streamed()  # before another thread reads that
    bint rarely(bint so)  # so, and the compiler keeps what follows from it out of the way
    size_t block_mask(int32_t x)  # all ones where x is not 0, for a choice without a branch

cdef enum Limit:
    NODES_MAX = 64  # of one recipe: depth of the reading stack
    PAGE_TICKS = 256  # price levels of one page: 2 KB, so that an order alone far away costs no more
    PAGE_SHIFT = 8  # ticks below 0 have pages too: a shift rounds down
    DRAFTS = 32  # outcomes of 80 bytes in the cache until they are moved out
    BRACKETS_MAX = 33  # of one table, and a minimum
    BOUND_BUCKETS = 16384  # of 64 ppm each: an account's bound on how far prices may move before it can be liquidatable

cdef enum:
    TIMES_MAX_NS = 4611686018427387904  # 2^62: no event, no expiry is later
    NO_PRICE = -4611686018427387904  # -2^62: below all prices

cdef enum NodeKind:
    NODE_SOURCE, NODE_BOOK, NODE_INDEX, NODE_REDEMPTION, NODE_PRODUCT, NODE_WEIGHTED, NODE_MEAN, NODE_MEDIAN, NODE_FLOOR, NODE_TWAP

cdef enum Reading:
    READ_OK, READ_MISSING, READ_STALE, READ_INVALID

cdef enum TimerKind:
    TIMER_STALE, TIMER_PUBLISH, TIMER_QUOTE, TIMER_FUND, TIMER_RESUME, TIMER_EXPIRE, TIMER_SETTLE, TIMER_INTEREST, TIMER_CHANGE, TIMER_COOL

cdef enum BandKind:
    BAND_NONE, BAND_PERCENT, BAND_MARK, BAND_INDEX  # the last two: an IndexBand by its form

cdef enum BoundKind:
    BOUND_MARK, BOUND_BANKRUPTCY, BOUND_UNDER_WATER, BOUND_FILLABLE  # the third: bankruptcy, under water too

cdef enum TakeoverPrice:
    TAKE_BANKRUPTCY, TAKE_BANKRUPTCY_VALUE, TAKE_MARK, TAKE_ORACLE
cdef enum Choice:
    CHOICE_MAINTENANCE, CHOICE_NOTIONAL, CHOICE_LOSS, CHOICE_RATE

cdef enum Size:
    SIZE_ALL, SIZE_RESTORE, SIZE_SHORTAGE, SIZE_TIERS, SIZE_SHARE

cdef enum Anchor:
    ANCHOR_MARK, ANCHOR_INDEX, ANCHOR_LAST

cdef enum BandPolicy:
    BAND_REJECT, BAND_REPRICE, BAND_CLIP

cdef enum OrderFlag:
    ORDER_REDUCE_ONLY = 1
    ORDER_WAITS = 2  # for its trigger: not in the book
    ORDER_SELF_TRADE = 4  # times its SelfTrade: bits 2 to 4

# ---- rules

cdef struct Bracket:
    money_t notional_max  # money of the settlement asset
    money_t amount  # money: maintenance = notional * rate / rate_of up - amount
    int64_t leverage_max
    int64_t initial_ppm  # 0: 1 / leverage_max
    int64_t rate  # of maintenance, slippage in it
    int64_t rate_of  # PPM; half_initial: a multiple of it

cdef struct MarketRule:
    int64_t tick_size  # price units: 2^tick_shift * odd
    uint64_t tick_inverse  # of odd, modulo 2^64
    uint64_t ticks_max  # of price_max
    int32_t tick_shift
    bint limited  # notional, position or open interest have a limit
    bint ordinary  # no row of it but margin refuses a limit order in a state OPEN: see _ordinary of orders.pyx
    int64_t price_min  # the lowest: 1, or 0 and below where its contract allows it
    int64_t price_low  # the lowest on tick
    int64_t price_max  # the largest: see Venue.price_max
    int64_t multiplier  # money per lot and price unit; 0: inverse
    int64_t face  # inverse: money units x price units of a lot
    int64_t maker_ppm
    int64_t taker_ppm
    int64_t liquidation_ppm
    int64_t fee_grace_ns  # of a liquidation fee that grows
    int64_t fee_every_ns  # 0: it does not
    int64_t fee_step_ppm
    int64_t fee_max_ppm
    int64_t left_share_ppm  # of one out of what closing leaves; 0: it is not
    int64_t left_discount_ppm
    int64_t leverage_default
    int64_t market_bound_ppm
    int64_t lot_units  # of the base asset, spot
    uint64_t heard_by  # bit i: index i publishes on update and reads this book
    int32_t index
    int32_t quote  # asset that fills are paid in
    int32_t base  # asset that a spot fill delivers
    bint spot
    int32_t brackets_from
    int32_t brackets_count
    bint plain  # requirements are what the brackets alone say, their rates ppm
    bint whole  # tiers: the whole notional at its bracket's rate
    bint divides  # the chosen leverage divides the initial rate
    bint crowded  # the initial rate grows with open interest from lower to upper
    money_t lower  # money
    money_t upper
    money_t size_scale  # what a lot adds to a rate, as parts of this; 0: nothing
    money_t initial_per_lot  # no more than size_scale: 100 %
    money_t maintenance_per_lot
    bint at_entry  # the notional of lots held is what they were entered at
    int64_t bankruptcy_fee_ppm  # of closing at the bankruptcy price, with maintenance; 0: none
    money_t least  # maintenance of a position, settlement asset; 0: no minimum
    int64_t closing_ppm  # what closing costs beside a minimum, of the notional
    money_t closing_fixed
    int32_t kept_from  # room for the table before the one in force, where a change may leave it to open positions
    int32_t kept_count  # 0: there is none now
    int32_t kept_by  # the change that left it
    int64_t funding_every_ns  # 0: no funding
    int64_t interest_ppb
    int64_t damp_ppb
    int64_t cap_ppb
    int32_t basis_samples  # 0: the mark is the index
    bint mark_median
    bint republish_on_fill
    bint bound_in_ticks  # of MARKET orders: from the best opposite price; else market_bound_ppm from the mark
    int64_t bound_ticks
    int64_t trigger_protect_ppm
    int32_t self_trade  # SelfTrade
    bint self_trade_by_owner
    int32_t band_kind  # BandKind
    int32_t band_anchor  # Anchor
    int64_t band_up_ppm  # or the inner rate
    int64_t band_down_ppm  # or the outer rate
    int32_t band_policy  # BandPolicy
    bint band_liquidation
    int32_t premium_samples  # of an IndexBand; 0: it has no premium
    int64_t premium_alpha_ppm
    int64_t limit_ppm  # up and down; 0: none
    int32_t limit_anchor  # Anchor
    bint resume_by_auction
    int64_t pause_ns
    int64_t auction_ns
    int64_t qty_max  # lots of one order
    bint notional_limited
    money_t notional_max  # of one order, settlement asset
    int64_t position_max  # lots of an owner on a side; 0: no limit
    int64_t open_interest_max  # lots; 0: no limit
    int32_t auction_reference  # Anchor
    bint settles  # it has a row that says at what price it ends
    int32_t settlement_samples  # index prices whose mean that is; 0: the index as it stands
    int64_t expires_ns  # 0: never
    int64_t retry_ns  # of a settlement without a price

cdef struct AssetRule:
    int64_t borrow_every_ns  # 0: what is owed costs nothing
    int64_t borrow_rate_ppb

cdef struct SourceRule:
    int64_t stale_after_ns
    bint can_stale
    uint64_t heard_by  # bit i: index i publishes on update and reads this source

cdef struct Node:
    int64_t scale  # price units of the index per unit of the part read
    int64_t argument  # floor: least price; twap: publications; weighted: ppm of the outlier band
    int64_t weight  # of this node in a weighted parent, 10^-8
    int64_t samples_from  # twap: start of its ring in State.samples
    int32_t kind
    int32_t parts  # how many readings it takes from the stack
    int32_t ref  # source, index or market number; weighted: from how many usable parts there is a band, 0: never
    bint clamp  # weighted: an outlier counts at the edge of the band; else its weight is 0

cdef struct IndexRule:
    int64_t every_ns  # 0: publishes on update
    int64_t scale  # 10^price_decimals
    int32_t nodes_from
    int32_t nodes_count
    int32_t sources_min
    int64_t lowest  # price that is VALID: 1, or -PRICE_MAX
    uint64_t leg_of  # bit i: index i publishes on update and reads this index

cdef struct CollateralTier:
    money_t qty_from  # units of the asset
    int64_t weight_ppm

cdef struct CollateralRule:
    int64_t weight_ppm
    int64_t liability_weight_ppm
    int64_t buffer_ppm
    money_t scale  # balance * price / scale = money of the numeraire
    int32_t asset
    int32_t index
    int32_t market  # spot market in which it is sold; -1: none
    int32_t tiers_from  # the first of them from 0 on, at weight_ppm
    int32_t tiers_count  # 1: none
    bint plain  # one weight for every balance
    bint deposits_capped
    int64_t one  # units of a whole
    int64_t imf_factor_ppm  # 0: no weight by size
    int64_t weight_unit_ppm  # weights are rounded down to it
    int64_t initial_weight_ppm
    bint initial_follows  # it is weight_ppm
    money_t deposits_max  # money of the numeraire
    int64_t haircut_part  # of the haircut that the trigger applies
    int64_t haircut_of

cdef struct Ratio:
    int64_t over
    int64_t under

cdef struct BoundRule:
    int64_t ppm  # from the mark; a fillable price: the spread in maintenance
    int64_t adjustment_ppm
    int32_t kind  # BoundKind

cdef struct ChangeRule:
    int64_t announced_ns  # of a row that needs no event; -1: it does
    int64_t effective_ns
    int64_t scale_ppm  # of maintenance; 0: none
    int64_t leverage_max  # 0: none
    int64_t weight_ppm  # -1: as it is, and so are the next two
    int64_t liability_weight_ppm
    int64_t buffer_ppm
    int64_t grandfather_ns  # 0: until a position grows
    int32_t market  # -1: of a collateral row
    int32_t collateral
    int32_t brackets_from
    int32_t brackets_count  # 0: no table
    bint grandfathers

cdef struct StageRule:
    BoundRule bound
    money_t notional_max
    money_t fund_limit  # takeover: the least, adl: the most that the fund may have
    int64_t fee_ppm  # takeover: from the price; book: the most that the insurance takes
    int32_t kind  # Stage
    int32_t price  # TakeoverPrice
    bint surplus_to_fund
    uint32_t vault  # who takes over before the backstop; 0: nobody
    bint vault_capped
    money_t vault_max  # notional
    bint insured
    bint fee_senior
    int32_t choice  # Choice
    int32_t size  # Size
    int64_t size_ppm  # share, or discount
    int64_t size_lots  # share: up to so many all
    money_t size_notional  # share: up to so much all
    int64_t size_book_ppm  # share: of what the book holds; 0: whatever it holds
    int32_t size_down  # tiers
    bint timed
    int64_t time_initial_ppm
    int64_t time_duration_ns
    money_t time_small
    int64_t share_ppm  # of the position, in one slice; 0: no cap
    money_t share_least
    int64_t cooldown_ns  # 0: none
    int64_t window_ns  # of the block limit; 0: none
    money_t window_notional  # 0: no limit
    money_t window_insurance  # 0: no limit
    bint capped
    bint to_book
    bint fund_counts
    int64_t asset_multiplier_ppm  # of a transfer
    int64_t liability_multiplier_ppm
    int64_t insurance_fee_ppm
    int64_t weight_unit_ppm
    Ratio below  # entered while equity / maintenance is below it; 0: whatever it is
    Ratio at_least  # and at least this

cdef struct QuoterRule:
    int64_t half_spread_ppm
    int64_t step_ppm
    int64_t lots
    int64_t refill_ns
    int64_t exit_move_ppm
    int64_t inventory_max
    int64_t return_ns
    uint32_t account
    int32_t market
    int32_t levels

cdef struct SeamRow:
    int64_t from_ns
    int64_t to_ns
    int64_t argument
    int64_t held_price
    int64_t fired
    uint32_t key
    int32_t seam
    int32_t kind
    bint held
    bint held_there

# ---- state

cdef struct Account:
    uint32_t owner
    uint32_t parent
    uint32_t sibling  # the next account of the owner, in a circle; itself where it is the only one
    int32_t orders_head  # 0: none; oldest resting order
    int32_t orders_tail
    int32_t orders_count
    uint8_t opened
    uint8_t has_parent
    uint8_t status
    uint8_t touched
    uint8_t auto_add  # of a sub-account: its parent adds margin before it is liquidated
    uint8_t level  # of margin calls: how many it is at or below
    uint8_t watched  # in State.watched: looked at whenever a price changes

cdef struct Episode:  # of liquidation, by account
    int64_t since_ns  # when it opened; 0: there is none
    int64_t cool_until_ns  # no slice before; 0: it is not cooling down
    int64_t window  # of the block limit: what it used it used in this one
    money_t window_notional
    money_t window_insurance  # paid by the fund

cdef struct Position:
    money_t entry  # value paid for what is open
    money_t buy_value  # of open buy orders at their prices
    money_t sell_value  # behind that of the other side, as an index then takes the place of a branch: sides come at random
    int64_t qty  # lots, long positive
    int64_t buy_lots
    int64_t sell_lots  # as sell_value
    int64_t leverage  # 0: not chosen

cdef struct Order:  # 64 bytes, one cache line
    uint64_t order_id
    int64_t price
    int64_t expiry_ns  # 0: never
    uint32_t shown  # lots at its place in the queue; 0: a free place
    uint32_t hidden  # lots behind them
    uint32_t display  # lots shown at a time; 0: all
    uint32_t account
    int32_t next  # in its level, younger; of a waiting order in its market's list; 0: none
    int32_t prev
    int32_t account_next
    int32_t account_prev
    int32_t heap  # place in the heap of expiries; 0: none
    uint8_t market
    uint8_t side
    uint8_t tif
    uint8_t flags  # OrderFlag

cdef struct Trigger:  # what a waiting order waits for, at the place of its order
    int64_t price  # price units; of a trailing order as it stands now
    int64_t distance  # of a trailing order: price units, or ppm of the best price
    int64_t best  # of a trailing order: the best price since it was sent; 0: none yet
    int64_t sequence  # number of the event that sent it
    uint8_t kind  # EventKind
    uint8_t by  # TriggerBy
    uint8_t in_ppm
    uint8_t close_only
    uint8_t protect

cdef struct Watch:  # a market's waiting orders, oldest first, and what they were last looked at with
    int64_t last
    int64_t mark
    int64_t index
    int32_t mark_grade
    int32_t index_grade
    int32_t state
    int32_t head  # 0: none
    int32_t tail
    bint again  # one came or changed: look again at the same prices

cdef struct Ticket:  # an order on its way in. Its first 56 bytes are those of an event from ref_id on, but for `before`
    uint64_t order_id
    int64_t price
    int64_t qty
    uint64_t display  # lots shown at a time; 0: all
    int64_t expiry_ns  # 0: never
    uint32_t account
    int32_t before  # place of the order that it changes; 0: none
    uint8_t market
    uint8_t leg  # Leg
    uint16_t self_trade  # SelfTrade
    uint8_t kind  # EventKind; 0: of no event
    uint8_t side
    uint8_t tif
    uint8_t flags  # Flag, as it was sent
    bint reduce_only
    bint close_only
    bint clipped  # a band gave it its price, and none of it rests

cdef struct Matched:
    money_t notional  # of the fills
    int64_t left  # lots
    int32_t stopped  # Reason why it stopped although it reached the book; 0: none

cdef struct Level:
    int32_t head  # oldest order, 0: none
    int32_t tail

cdef struct Page:
    int64_t number  # tick / PAGE_TICKS
    uint64_t summary  # bit w: word w of live is not 0
    uint64_t live[4]  # bit per level
    Level levels[256]
    Page* next  # of the spare pages

cdef struct Slot:  # of the id map, eight to a cache line
    uint32_t tag  # map_tag of the id
    int32_t place  # 0: empty

cdef struct Ladder:
    int64_t price  # of the best level
    int32_t best  # its first order, 0: the side is empty
    Page* near[16]  # a page found before, by the low bits of its number
    Page** pages  # those with a live level, sorted by number: the best stands at an end
    int32_t count
    int32_t room
    uint8_t unused[96]  # 256 bytes in all: found by a shift

cdef struct Source:
    int64_t price
    int64_t time_ns
    bint there

cdef struct Published:
    int64_t price
    int64_t time_ns
    int64_t last_valid
    int32_t grade
    bint valid

cdef struct Ring:
    money_t sum
    int32_t count
    int32_t head  # where the next sample goes

cdef struct Mark:
    Published published
    money_t value  # money per lot at the last valid mark
    int64_t last_price
    bint traded
    Ring basis
    int64_t basis_from
    Ring premium  # of the band: mid of the own book - mark, or index
    int64_t premium_from
    Ring settlement  # index prices that were VALID
    int64_t settlement_from

cdef struct Change:
    int64_t effective_ns  # 0: not announced
    int64_t in_force_ns  # when it last took effect
    bint announced
    bint in_force

cdef struct Funding:
    money_t index  # cumulative, 10^-9 money per lot
    money_t premium  # sum of the interval's samples, ppb
    int64_t samples

cdef struct Fill:  # one that may be busted
    money_t fee  # taker's
    money_t maker_fee
    int64_t price
    int64_t qty  # lots
    uint32_t taker
    uint32_t maker
    int32_t market
    int32_t side  # the taker's
    bint busted

cdef struct Candidate:  # a counterparty of ADL
    int64_t score  # ppb
    int64_t capacity  # lots
    uint32_t account

cdef struct Quoter:
    int64_t reference
    int64_t return_ns
    bint has_reference
    bint away

cdef struct Timer:
    int64_t time_ns
    int32_t kind
    int32_t number
    bint armed

cdef struct Pick:
    money_t equity
    money_t maintenance
    uint32_t account

cdef struct Evaluation:
    money_t equity
    money_t maintenance
    int32_t permit
    bint open

cdef struct State:
    # rules
    MarketRule* market_rules
    Bracket* brackets
    SourceRule* source_rules
    IndexRule* index_rules
    Node* nodes
    CollateralRule* collateral_rules
    CollateralTier* collateral_tiers
    AssetRule* asset_rules
    ChangeRule* change_rules
    StageRule* stage_rules
    StageRule* book_rule  # one of them; NULL: no stage slices
    Ratio levels[8]  # of margin calls, the highest first
    Ratio call  # the highest of them, at least 1: above it no price that stays does anything to an account
    QuoterRule* quoter_rules
    SeamRow* seam_rows
    uint8_t permits[4][16]  # [grade][action]
    uint8_t state_permits[8][16]  # [MarketState][action]
    int64_t gap_max_ns
    int32_t markets
    int32_t assets
    int32_t sources
    int32_t indices
    int32_t nodes_count
    int32_t brackets_count
    int32_t collaterals
    int32_t collateral_tiers_count
    int32_t changes
    int32_t stages
    int32_t levels_count
    int32_t quoters
    int32_t seams
    int32_t numeraire
    int32_t accounts_max
    int32_t orders_max
    int32_t orders_per_account_max
    int32_t rounds_max
    int32_t fills_kept  # of the latest fills, for a bust
    bint clears  # else a matching engine alone: no accounts, margin, money
    int32_t order_row  # 0 ratio, 1 deficit, 2 account
    bint trigger_at_equal
    bint spots  # there is a spot market
    bint entangled  # a market's maintenance depends on the equity of the whole account
    bint converts  # a stage sells collateral
    bint fund_net  # the fund is measured with the backstop
    bint fund_capped  # it pays no more than fund_event_max in one event
    money_t fund_floor
    money_t fund_event_max
    money_t bankruptcy_unit  # of the numeraire's money: bankruptcy values are whole multiples of it
    money_t one  # a whole unit of the numeraire
    int64_t profit_lost_ppm  # of unrealised profit, when margin leaves an account
    uint32_t armed  # bit per seam with a row
    int64_t samples_count
    # accounts
    Account* accounts
    Episode* episodes
    uint32_t* cooling  # the accounts that cool down, in no order
    int32_t cooling_count
    uint32_t* owners  # from an owner to one of its accounts, 0: none; by the hash of the owner, the next where that is taken
    uint32_t owners_mask
    money_t* balances  # [account * assets + asset]
    Position* positions  # [account * markets + market]
    uint32_t accounts_high  # one above the highest opened id
    # orders
    Order* orders  # pool, 0 unused
    int32_t orders_free  # head of the free list, chained by next
    int32_t orders_high
    int32_t orders_live
    int32_t waiting  # how many of them wait
    Trigger* triggers  # by place; NULL until an order waits
    Watch* watches  # by market
    bint reduce_only_seen  # no reduce-only order ever rested: nothing to trim
    int32_t* expiries  # heap of places by (expiry_ns, order_id), from 1
    int32_t expiries_count
    int64_t* open_interest  # lots, by market
    int64_t* met  # lots of an account's orders met while a FOK is judged, by account; 0 in between
    Slot* map  # from id to place
    uint32_t map_mask
    int map_shift  # 32 - log2(slots)
    Ladder* ladders  # [market * 2 + (side - 1)]
    Page* spare  # emptied pages, to be used again
    # prices
    Source* source_states
    Published* index_states
    int64_t* index_used
    Ring* rings  # one per node
    int64_t* samples
    Mark* marks
    Published* collateral_states  # by collateral row
    int64_t* initial_weights  # ppm in force, by collateral row
    Quoter* quoter_states
    Funding* funding_states  # by market
    uint8_t* market_states  # MarketState
    Change* change_states
    uint8_t* grandfathered  # [account * markets + market]: it keeps the table before the one in force; NULL: no change can leave one
    int32_t keeps  # markets that have such a table now
    Timer* timers  # in the order (kind, number)
    int32_t timers_count
    int64_t next_due  # no timer is due before
    uint64_t due_index  # bit per index
    uint64_t due_mark  # bit per market
    bint due_state  # a market changed its state: everybody is looked at
    Fill* kept  # fill n of the latest fills_kept is at n % fills_kept
    # the run
    int64_t fills  # FILL outcomes so far: the number of the next
    int64_t now
    int64_t events
    int64_t event
    int64_t engine_orders
    money_t fund_paid  # in the event fund_event
    int64_t fund_event
    int64_t stages_visited[16]
    int32_t round
    int32_t stage
    uint32_t* touched
    int32_t touched_count
    uint32_t* scan
    # bounds.pyx: who can be liquidatable after a move of prices
    uint32_t* bounded  # accounts by the bucket of their bound
    int32_t* bucket_end  # how many accounts have a bound in this bucket or below
    uint16_t* bucket  # of each account, while the buckets are filled
    int64_t* reference  # marks, then collateral prices, at which the bounds hold
    uint32_t* watched
    int32_t watched_count
    int64_t work  # accounts looked at since the bounds were made
    bint bounds_ready
    Pick* picks
    Candidate* candidates
    int32_t picks_room
    Outcome* outcomes
    int64_t outcomes_count
    int64_t outcomes_room
    Outcome* drafts  # the latest, that are not among them yet; none outside a run
    Outcome* draft  # where the next is written
    Outcome* drafts_end
    bint failed  # memory ran out: outcomes were lost, and the run ends with MemoryError
    int32_t planted  # id of a planted bug, checked build only

cdef State* state_new(table) except NULL
cdef void state_free(State* s) noexcept
cdef int state_reserve(State* s, int64_t outcomes) except -1
cdef void outcomes_keep(State* s, bint read_soon) noexcept nogil  # the drafts
cdef void ring_push(Ring* ring, int64_t* samples, int32_t room, int64_t value) noexcept nogil
cdef bytes state_save(State* s)
cdef int state_load(State* s, bytes blob) except -1
cdef int state_seams(State* s, rows) except -1


# Inline, for a call through another module's table costs 2 ns and each of these is made several times an event.

cdef inline Outcome* emit(State* s, int kind) noexcept nogil:
    """Append an outcome of the current time, event, round and stage; the caller fills in the rest."""
    cdef Outcome* o
    if rarely(s.draft == s.drafts_end):
        outcomes_keep(s, False)
    o = s.draft
    s.draft = o + 1
    memset(o, 0, sizeof(Outcome))
    o.time_ns, o.event, o.kind, o.round, o.stage = s.now, <uint32_t>s.event, kind, s.round, s.stage
    return o


cdef inline Timer* change_timer(State* s, int number) noexcept nogil:
    """The timer of a change; those behind the changes are of what they leave to open positions."""
    return &s.timers[s.timers_count - 2 * s.changes + number]


cdef inline void watch(State* s, uint32_t account) noexcept nogil:
    """An account's bound no longer holds: look at it at every change of a price until new bounds are made."""
    if not s.accounts[account].watched:
        s.accounts[account].watched = 1
        s.watched[s.watched_count] = account
        s.watched_count += 1


cdef inline void touch(State* s, uint32_t account) noexcept nogil:
    """Remember a user whose balance or position changed; once."""
    if account >= USERS_FROM and not s.accounts[account].touched:
        s.accounts[account].touched = 1
        s.touched[s.touched_count] = account
        s.touched_count += 1
        watch(s, account)
