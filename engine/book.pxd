"""Paged price ladder, intrusive order queues, order pool, id map, heap of expiries. See book.pyx.

What most events do to the book stands here, inline: a call through another module's table costs 2 ns, an event of a matching
engine alone 60. What few of them do (a new page, an expiry, a reservation) is called.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from engine.money cimport must, tick_of
from engine.records cimport PLANTED, SIDE_BUY
from engine.state cimport PAGE_SHIFT, PAGE_TICKS, Ladder, Level, Order, Page, Position, State, block_expect, block_mask, rarely

cdef int32_t book_after(State* s, int market, int side, int64_t price) noexcept nogil  # first order of the next level; 0: none
cdef bint book_mid(State* s, int market, int64_t* price) noexcept nogil  # False: a side is empty
cdef void book_cut(State* s, int32_t place, int64_t lots) noexcept nogil
cdef void book_withhold(State* s, int32_t place, bint back) noexcept nogil
cdef void book_reserve(State* s, const Order* order, int64_t lots) noexcept nogil  # lots signed
cdef int32_t ladder_place(const Ladder* ladder, int64_t number) noexcept nogil  # of a page, or where it would stand
cdef Page* ladder_page(State* s, Ladder* ladder, int64_t number) noexcept nogil  # a new one where there is none
cdef void ladder_emptied(State* s, Ladder* ladder, Page* page) noexcept nogil
cdef int32_t ladder_best(const Ladder* ladder, int side) noexcept nogil  # as the pages have it
cdef void expire_at(State* s, int32_t place) noexcept nogil
cdef void expire_never(State* s, int32_t place) noexcept nogil
cdef void book_free(State* s) noexcept
cdef bytes book_save(State* s)
cdef int book_load(State* s, bytes blob, size_t at) except -1
cdef list book_rows(State* s)


cdef inline bint order_reaches(const State* s, int side, int64_t limit, int64_t price) noexcept nogil:
    """An order's limit allows a price. No branch: sides and prices come at random."""
    if PLANTED(s.planted, 3):
        return limit > price if side == SIDE_BUY else limit < price
    return (limit == price) | ((limit > price) == (side == SIDE_BUY))


cdef inline bint book_reaches(const State* s, int market, int side, int64_t limit) noexcept nogil:
    """An order of a side would meet the best of the other at its limit."""
    cdef const Ladder* other = &s.ladders[market * 2 + 2 - side]
    return other.best != 0 and order_reaches(s, side, limit, other.price)


cdef inline int32_t book_best(const State* s, int market, int side) noexcept nogil:
    """The first order of the best level; 0: the side is empty."""
    return s.ladders[market * 2 + side - 1].best


# ---- id map

cdef inline uint32_t map_tag(uint64_t order_id) noexcept nogil:
    """The high half of an id's product with 2^64 / golden ratio; its high bits are where the id stands if nobody took its slot."""
    return <uint32_t>((order_id * <uint64_t>0x9E3779B97F4A7C15) >> 32)


cdef inline uint32_t map_home(const State* s, uint64_t order_id) noexcept nogil:
    return map_tag(order_id) >> s.map_shift


cdef inline int32_t book_find(const State* s, uint64_t order_id) noexcept nogil:
    """The place of a live order; 0: unknown."""
    cdef uint32_t tag = map_tag(order_id)
    cdef uint32_t at = tag >> s.map_shift
    while s.map[at].place:
        if s.map[at].tag == tag and s.orders[s.map[at].place].order_id == order_id:
            return s.map[at].place
        at = (at + 1) & s.map_mask
    return 0


cdef inline void map_insert(State* s, uint64_t order_id, int32_t place) noexcept nogil:
    cdef uint32_t tag = map_tag(order_id)
    cdef uint32_t at = tag >> s.map_shift
    while s.map[at].place:
        at = (at + 1) & s.map_mask
    s.map[at].tag, s.map[at].place = tag, place


cdef inline void map_remove(State* s, uint64_t order_id, int32_t place) noexcept nogil:
    cdef uint32_t at = map_home(s, order_id)
    cdef uint32_t hole, home
    while s.map[at].place != place:
        at = (at + 1) & s.map_mask
    hole = at
    while True:
        at = (at + 1) & s.map_mask
        if not s.map[at].place:
            break
        home = s.map[at].tag >> s.map_shift
        if ((at - home) & s.map_mask) >= ((at - hole) & s.map_mask):
            s.map[hole] = s.map[at]
            hole = at
    s.map[hole].place = 0


# ---- ladder

cdef inline int64_t book_tick(const State* s, int market, int64_t price) noexcept nogil:
    return tick_of(price, s.market_rules[market].tick_shift, s.market_rules[market].tick_inverse)


cdef inline Ladder* book_ladder(State* s, int market, int side) noexcept nogil:
    return &s.ladders[market * 2 + side - 1]


cdef inline Page* ladder_near(const Ladder* ladder, int64_t number) noexcept nogil:
    """A page found before, without a search; NULL: it must be searched. Of 8 million looks of a busy book all but 200 end here."""
    cdef Page* page = ladder.near[number & 15]
    return page if page != NULL and page.number == number else NULL


cdef inline Page* ladder_page_known(Ladder* ladder, int64_t number) noexcept nogil:
    """The page of a resting order."""
    cdef Page* page = ladder_near(ladder, number)
    cdef int32_t at
    if page == NULL:
        at = ladder_place(ladder, number)
        must(at < ladder.count and ladder.pages[at].number == number, "a resting order has a page")
        page = ladder.near[number & 15] = ladder.pages[at]
    return page


# Whether an order has a neighbour comes at random: a mispredicted branch costs 6 ns, so the place to write is computed.

cdef inline int32_t _either(int32_t place, int32_t other) noexcept nogil:
    """A place, or the other where it is 0."""
    return place | (other & ~<int32_t>block_mask(place))


cdef inline int32_t* _link(int32_t place, int32_t* neighbour, int32_t* end) noexcept nogil:
    """The link of the neighbour at a place, or the end of the list where there is none."""
    return <int32_t*>(<size_t>end ^ ((<size_t>end ^ <size_t>neighbour) & block_mask(place)))


cdef inline void ladder_best_is(const State* s, Ladder* ladder, int32_t place) noexcept nogil:
    ladder.best, ladder.price = place, s.orders[place].price


cdef inline void level_append(State* s, int32_t place) noexcept nogil:
    """Put an order at the back of its level."""
    cdef Order* order = &s.orders[place]
    cdef Ladder* ladder = book_ladder(s, order.market, order.side)
    cdef int64_t tick = book_tick(s, order.market, order.price)
    cdef int slot = <int>(tick & (PAGE_TICKS - 1))
    cdef Page* page = ladder_near(ladder, tick >> PAGE_SHIFT)
    cdef Level* level
    cdef size_t better
    if page == NULL:
        page = ladder_page(s, ladder, tick >> PAGE_SHIFT)
    level = &page.levels[slot]
    order.next, order.prev = 0, level.tail
    if PLANTED(s.planted, 4) and level.head:
        order.next, order.prev = level.head, 0
        s.orders[level.head].prev = place
        level.head = place
        ladder_best_is(s, ladder, ladder_best(ladder, order.side))
        return
    s.orders[level.tail].next = place  # without a neighbour, of place 0, which nobody reads
    level.head = _either(level.head, place)
    level.tail = place
    page.live[slot >> 6] |= <uint64_t>1 << (slot & 63)
    page.summary |= <uint64_t>1 << (slot >> 6)
    better = block_mask((level.head == place) & ((ladder.best == 0) | ((order.price > ladder.price) == (order.side == SIDE_BUY))))
    ladder.best ^= (ladder.best ^ place) & <int32_t>better
    ladder.price ^= (ladder.price ^ order.price) & <int64_t>better


cdef inline void level_unlink(State* s, int32_t place) noexcept nogil:
    """Take an order out of its level, and the level out of the book when that was the last order of it."""
    cdef Order* order = &s.orders[place]
    cdef Ladder* ladder = book_ladder(s, order.market, order.side)
    cdef int64_t tick = book_tick(s, order.market, order.price)
    cdef int slot = <int>(tick & (PAGE_TICKS - 1))
    cdef Page* page = ladder_page_known(ladder, tick >> PAGE_SHIFT)
    cdef Level* level = &page.levels[slot]
    _link(order.prev, &s.orders[order.prev].next, &level.head)[0] = order.next
    _link(order.next, &s.orders[order.next].prev, &level.tail)[0] = order.prev
    page.live[slot >> 6] &= ~(<uint64_t>(level.head == 0) << (slot & 63))
    if not page.live[slot >> 6]:
        page.summary &= ~(<uint64_t>1 << (slot >> 6))
        if not page.summary:
            ladder_emptied(s, ladder, page)
    if ladder.best == place:
        ladder_best_is(s, ladder, level.head if level.head else ladder_best(ladder, order.side))


cdef inline void account_append(State* s, int32_t place) noexcept nogil:
    cdef Order* order = &s.orders[place]
    account = &s.accounts[order.account]
    order.account_next, order.account_prev = 0, account.orders_tail
    s.orders[account.orders_tail].account_next = place  # or of place 0
    account.orders_head = _either(account.orders_head, place)
    account.orders_tail = place
    account.orders_count += 1


cdef inline void reserve(State* s, const Order* order, int64_t lots) noexcept nogil:
    """Add lots (signed) of an open order to its account's reservation; without clearing nothing is reserved."""
    if s.clears:
        book_reserve(s, order, lots)


cdef inline void account_unlink(State* s, int32_t place) noexcept nogil:
    cdef Order* order = &s.orders[place]
    account = &s.accounts[order.account]
    _link(order.account_prev, &s.orders[order.account_prev].account_next, &account.orders_head)[0] = order.account_next
    _link(order.account_next, &s.orders[order.account_next].account_prev, &account.orders_tail)[0] = order.account_prev
    account.orders_count -= 1


cdef inline int32_t book_take_place(State* s) noexcept nogil:
    """A free place of the pool. The caller checked orders_max."""
    cdef int32_t place = s.orders_free
    if place:
        s.orders_free = s.orders[place].next
        block_expect(&s.orders[s.orders_free])  # the next to be taken
    else:
        place = s.orders_high
        s.orders_high += 1
    must(place <= s.orders_max, "the order pool has room")
    s.orders_live += 1
    return place


cdef inline void book_rest(State* s, int32_t place) noexcept nogil:
    """Put an order, filled in at a place that was taken for it, at the back of its level and of its account's list."""
    cdef Order* order = &s.orders[place]
    level_append(s, place)
    account_append(s, place)
    reserve(s, order, <int64_t>order.shown + order.hidden)
    map_insert(s, order.order_id, place)
    order.heap = 0
    if rarely(order.expiry_ns):
        expire_at(s, place)


cdef inline void book_forget(State* s, int32_t place) noexcept nogil:
    """Take an order out of its account's list, the id map and the heap of expiries, and free its place."""
    cdef Order* order = &s.orders[place]
    account_unlink(s, place)
    map_remove(s, order.order_id, place)
    if rarely(order.heap):
        expire_never(s, place)
    order.shown, order.hidden, order.next = 0, 0, s.orders_free
    s.orders_free = place
    s.orders_live -= 1


cdef inline void book_remove(State* s, int32_t place) noexcept nogil:
    """Take an order out of its level and of its account's reservation, and forget it."""
    cdef Order* order = &s.orders[place]
    level_unlink(s, place)
    if not PLANTED(s.planted, 16):
        reserve(s, order, -<int64_t>order.shown - order.hidden)
    book_forget(s, place)


cdef inline bint book_reduce(State* s, int32_t place, int64_t lots) noexcept nogil:
    """Take lots from what an order shows; when that is gone it shows more, at the back of its level (True), or it leaves."""
    cdef Order* order = &s.orders[place]
    must(0 < lots <= <int64_t>order.shown, "a fill is within the lots shown")
    if lots < <int64_t>order.shown:
        order.shown -= <uint32_t>lots
        reserve(s, order, -lots)
        return False
    if not order.hidden:
        book_remove(s, place)
        return False
    reserve(s, order, -lots)
    order.shown = order.display if order.display < order.hidden else order.hidden
    order.hidden -= order.shown
    level_unlink(s, place)
    level_append(s, place)
    return True


# ---- of an event that a batch will come to: see exchange.pyx

cdef inline void book_expect_id(const State* s, uint64_t order_id) noexcept nogil:
    block_expect(&s.map[map_home(s, order_id)])


cdef inline int32_t book_peek(const State* s, uint64_t order_id) noexcept nogil:
    """The place in an id's first slot: the right one nine times in ten, without a branch."""
    return s.map[map_home(s, order_id)].place


cdef inline void book_expect_neighbours(const State* s, int32_t place) noexcept nogil:
    cdef const Order* order = &s.orders[place]
    block_expect(&s.orders[order.next])
    block_expect(&s.orders[order.prev])
    block_expect(&s.orders[order.account_next])
    block_expect(&s.orders[order.account_prev])


cdef inline void book_expect_fill(const State* s, int32_t place) noexcept nogil:
    """What a fill of an order touches beside the order: its slot, its account, its neighbours."""
    cdef const Order* order = &s.orders[place]
    cdef const Position* position
    book_expect_id(s, order.order_id)
    block_expect(&s.accounts[order.account])
    if s.clears:
        position = &s.positions[<size_t>order.account * s.markets + order.market]
        block_expect(position)
        block_expect(<const char*>position + 64)
        block_expect(&s.balances[<size_t>order.account * s.assets])
    book_expect_neighbours(s, place)
