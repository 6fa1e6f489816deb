"""The book: price-time priority on a paged ladder.

A level is found by tick: page = tick / 256 in a sorted list of the pages that have orders, so six decades of price need no cap
and the best page stands at an end. A page has a bitmap of its live levels and a summary of the bitmap: its best level is two bit
scans. Emptied pages are used again, so far prices that come and go leave no memory behind. Orders of a level
are an intrusive queue, oldest first. Ids are any 64-bit numbers: linear probing, backward-shift deletion, at most half full.

Reservations of open orders (lots and lots * price per side) are kept with the position of the account.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove

from engine.margin cimport margin_value
from engine.money cimport money_scale, must
from engine.records cimport SIDE_BUY
from engine.state cimport PAGE_SHIFT, PAGE_TICKS, ORDER_REDUCE_ONLY, ORDER_SELF_TRADE, Ladder, Order, Page, Position, State

cdef extern from * nogil:
    int ctz "__builtin_ctzll"(unsigned long long)
    int clz "__builtin_clzll"(unsigned long long)


# ---- ladder

cdef int32_t ladder_place(const Ladder* ladder, int64_t number) noexcept nogil:
    """Return the place of a page, or where it would stand."""
    cdef int32_t low = 0
    cdef int32_t high = ladder.count
    cdef int32_t middle
    while low < high:
        middle = (low + high) >> 1
        if ladder.pages[middle].number < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef Page* ladder_page(State* s, Ladder* ladder, int64_t number) noexcept nogil:
    """Return a page of the ladder, taking a spare or a new one where there is none."""
    cdef int32_t at = ladder_place(ladder, number)
    cdef Page* page
    cdef Page** grown
    if at < ladder.count and ladder.pages[at].number == number:
        ladder.near[number & 15] = ladder.pages[at]
        return ladder.pages[at]
    if ladder.count == ladder.room:
        grown = <Page**>realloc(ladder.pages, (2 * ladder.room + 8) * sizeof(Page*))
        must(grown != NULL, "memory for the pages of the book")
        ladder.pages, ladder.room = grown, 2 * ladder.room + 8
    page = s.spare
    if page != NULL:
        s.spare, page.next = page.next, NULL
    else:
        page = <Page*>calloc(1, sizeof(Page))
        must(page != NULL, "memory for a page of the book")
    page.number = number
    ladder.near[number & 15] = page
    memmove(&ladder.pages[at + 1], &ladder.pages[at], (ladder.count - at) * sizeof(Page*))
    ladder.pages[at] = page
    ladder.count += 1
    return page


cdef void ladder_emptied(State* s, Ladder* ladder, Page* page) noexcept nogil:
    """Put a page without a live level aside: it is all zeros again but for its number."""
    cdef int32_t at = ladder_place(ladder, page.number)
    if ladder.near[page.number & 15] == page:
        ladder.near[page.number & 15] = NULL
    ladder.count -= 1
    memmove(&ladder.pages[at], &ladder.pages[at + 1], (ladder.count - at) * sizeof(Page*))
    page.next, s.spare = s.spare, page


cdef inline int _best_level(Page* page, int side) noexcept nogil:
    cdef int word
    if side == SIDE_BUY:
        word = 63 - clz(page.summary)
        return word * 64 + 63 - clz(page.live[word])
    word = ctz(page.summary)
    return word * 64 + ctz(page.live[word])


cdef int32_t ladder_best(const Ladder* ladder, int side) noexcept nogil:
    """The first order of the best level as the pages have it."""
    cdef Page* page
    if not ladder.count:
        return 0
    page = ladder.pages[ladder.count - 1 if side == SIDE_BUY else 0]
    return page.levels[_best_level(page, side)].head


cdef bint book_mid(State* s, int market, int64_t* price) noexcept nogil:
    cdef int32_t bid = book_best(s, market, SIDE_BUY)
    cdef int32_t ask = book_best(s, market, SIDE_BUY + 1)
    if not bid or not ask:
        return False
    price[0] = (s.orders[bid].price + s.orders[ask].price) >> 1
    return True


cdef int32_t book_after(State* s, int market, int side, int64_t price) noexcept nogil:
    """The first order of the best level beyond `price`, itself left out; 0: there is none."""
    cdef Ladder* ladder = book_ladder(s, market, side)
    cdef int64_t tick = book_tick(s, market, price)
    cdef int32_t at = ladder_place(ladder, tick >> PAGE_SHIFT)
    cdef int slot = <int>(tick & (PAGE_TICKS - 1))
    cdef int step = -1 if side == SIDE_BUY else 1
    cdef int end = -1 if side == SIDE_BUY else PAGE_TICKS
    cdef Page* page
    if at < ladder.count and ladder.pages[at].number == tick >> PAGE_SHIFT:
        page = ladder.pages[at]
        slot += step
        while slot != end:
            if page.live[slot >> 6] >> (slot & 63) & 1:
                return page.levels[slot].head
            slot += step
        at += step
    elif side == SIDE_BUY:
        at -= 1
    return ladder.pages[at].levels[_best_level(ladder.pages[at], side)].head if 0 <= at < ladder.count else 0


cdef void book_reserve(State* s, const Order* order, int64_t lots) noexcept nogil:
    cdef Position* position = &s.positions[<size_t>order.account * s.markets + order.market]
    cdef int sells = order.side != SIDE_BUY
    (&position.buy_lots)[sells] += lots
    (&position.buy_value)[sells] += money_scale(margin_value(&s.market_rules[order.market], order.price), lots)


cdef void book_withhold(State* s, int32_t place, bint back) noexcept nogil:
    """Take an order's lots out of its account's reservation while it is judged without them, or put them back."""
    cdef Order* order = &s.orders[place]
    cdef int64_t lots = <int64_t>order.shown + order.hidden
    reserve(s, order, lots if back else -lots)


cdef void book_cut(State* s, int32_t place, int64_t lots) noexcept nogil:
    """Take lots from an order that keeps some, hidden ones first; it keeps its place."""
    cdef Order* order = &s.orders[place]
    cdef uint32_t behind = <uint32_t>lots if lots < <int64_t>order.hidden else order.hidden
    must(0 < lots < <int64_t>order.shown + order.hidden, "a cut leaves something")
    order.hidden -= behind
    order.shown -= <uint32_t>(lots - behind)
    reserve(s, order, -lots)


# ---- expiries: a heap of places, the first to expire at 1

cdef inline bint _sooner(State* s, int32_t a, int32_t b) noexcept nogil:
    if s.orders[a].expiry_ns != s.orders[b].expiry_ns:
        return s.orders[a].expiry_ns < s.orders[b].expiry_ns
    return s.orders[a].order_id < s.orders[b].order_id


cdef inline void _set(State* s, int32_t at, int32_t place) noexcept nogil:
    s.expiries[at] = place
    s.orders[place].heap = at


cdef void _settle(State* s, int32_t at, int32_t place) noexcept nogil:
    """Let a place rise or sink from `at` to where it belongs."""
    cdef int32_t child
    while at > 1 and _sooner(s, place, s.expiries[at >> 1]):
        _set(s, at, s.expiries[at >> 1])
        at >>= 1
    while True:
        child = at * 2
        if child > s.expiries_count:
            break
        if child < s.expiries_count and _sooner(s, s.expiries[child + 1], s.expiries[child]):
            child += 1
        if not _sooner(s, s.expiries[child], place):
            break
        _set(s, at, s.expiries[child])
        at = child
    _set(s, at, place)


cdef void expire_at(State* s, int32_t place) noexcept nogil:
    """An order that rests until a time is due then; the timers hear of it."""
    cdef int64_t expiry_ns = s.orders[place].expiry_ns
    s.orders[place].heap = 0
    if not expiry_ns:
        return
    s.expiries_count += 1
    _settle(s, s.expiries_count, place)
    if expiry_ns < s.next_due:
        s.next_due = expiry_ns


cdef void expire_never(State* s, int32_t place) noexcept nogil:
    cdef int32_t at = s.orders[place].heap
    cdef int32_t last = s.expiries[s.expiries_count]
    s.orders[place].heap = 0
    s.expiries_count -= 1
    if last != place:
        _settle(s, at, last)


# ---- memory, snapshot, view

cdef void book_free(State* s) noexcept:
    cdef int i, j
    cdef Page* page
    for i in range(s.markets * 2):
        for j in range(s.ladders[i].count):
            free(s.ladders[i].pages[j])
        free(s.ladders[i].pages)
    while s.spare != NULL:
        page, s.spare = s.spare, s.spare.next
        free(page)


cdef bytes book_save(State* s):
    cdef int i, j
    parts = []
    for i in range(s.markets * 2):
        parts.append((<char*>&s.ladders[i].count)[: sizeof(int32_t)])
        for j in range(s.ladders[i].count):
            parts.append((<char*>s.ladders[i].pages[j])[: sizeof(Page)])
    return b"".join(parts)


cdef int book_load(State* s, bytes blob, size_t at) except -1:
    cdef const uint8_t* data = blob
    cdef int i, j
    cdef Ladder* ladder
    cdef int32_t count
    for i in range(s.markets * 2):
        ladder = &s.ladders[i]
        memcpy(&count, data + at, sizeof(int32_t))
        at += sizeof(int32_t)
        ladder.pages = <Page**>calloc(count if count else 1, sizeof(Page*))
        if ladder.pages == NULL:
            raise MemoryError()
        ladder.room = count if count else 1
        for j in range(count):
            ladder.pages[j] = <Page*>calloc(1, sizeof(Page))
            if ladder.pages[j] == NULL:
                raise MemoryError()
            ladder.count = j + 1
            memcpy(ladder.pages[j], data + at, sizeof(Page))
            ladder.pages[j].next = NULL
            at += sizeof(Page)
        ladder_best_is(s, ladder, ladder_best(ladder, i % 2 + 1))
    return 0


cdef list book_rows(State* s):
    cdef int market, side, slot, i
    cdef int32_t place, at
    cdef Page* page
    rows = []
    for market in range(s.markets):
        for side in (1, 2):
            ladder = book_ladder(s, market, side)
            pages = range(ladder.count - 1, -1, -1) if side == SIDE_BUY else range(ladder.count)
            for at in pages:
                page = ladder.pages[at]
                for i in range(PAGE_TICKS):
                    slot = PAGE_TICKS - 1 - i if side == SIDE_BUY else i
                    if not page.live[slot >> 6] >> (slot & 63) & 1:
                        continue
                    place, queue = page.levels[slot].head, 0
                    while place:
                        o = &s.orders[place]
                        rows.append((
                            market, side, o.price, queue, o.order_id, o.account, <int64_t>o.shown + o.hidden, o.flags & ORDER_REDUCE_ONLY,
                            o.shown, o.display, o.tif, o.expiry_ns, o.flags // ORDER_SELF_TRADE,
                        ))
                        place, queue = o.next, queue + 1
    return rows
