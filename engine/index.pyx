"""Index prices. A recipe is a list of nodes, parts before the whole, evaluated over a small stack of readings."""
from libc.stdint cimport int64_t

from engine.book cimport book_mid
from engine.money cimport div_ceil, div_floor, money_abs, money_fits_int64, money_mul, money_scale, money_t
from engine.records cimport (
    GRADE_INVALID, GRADE_STALE, GRADE_TOO_FEW_SOURCES, GRADE_VALID, SEAM_INDEX_PUBLISH, SEAM_SOURCE_READ,
)
from engine.seams cimport seam_price
from engine.state cimport (
    NODE_BOOK, NODE_FLOOR, NODE_INDEX, NODE_MEAN, NODE_PRODUCT, NODE_REDEMPTION, NODE_SOURCE, NODE_TWAP, NODE_WEIGHTED,
    NODES_MAX, READ_INVALID, READ_MISSING, READ_OK, READ_STALE, IndexRule, Node, Published, Source, State, ring_push,
)

cdef enum:
    PPM = 1000000
    PRICE_MAX = 1000000000000000

cdef struct Read:
    int64_t price  # index decimals
    int64_t weight  # of the node in a weighted parent
    int used  # sources
    int reading


cdef int grade_of(bint there, int64_t price, int64_t lowest) noexcept nogil:
    """VALID for a price from the lowest that has a meaning, else INVALID: kept in the record and never evaluated."""
    return GRADE_VALID if there and lowest <= price <= <int64_t>PRICE_MAX else GRADE_INVALID  # C takes the name for unsigned


cdef bint published_put(Published* p, int grade, int64_t price, int64_t now) noexcept nogil:
    cdef bint changed = grade != p.grade or price != p.price
    p.grade, p.price, p.time_ns = grade, price, now
    if grade == GRADE_VALID:
        p.valid, p.last_valid = True, price
    return changed


cdef bint index_publish(State* s, int index) noexcept nogil:
    """Evaluate and publish at s.now; return whether number or grade changed.

    Nothing usable: STALE if a part is stale, INVALID if one is, else TOO_FEW_SOURCES; the number before stays.
    """
    cdef Read read = _read(s, &s.index_rules[index])
    cdef Published* p = &s.index_states[index]
    cdef bint there = read.reading == READ_OK
    cdef int64_t price = read.price if there else 0
    cdef int grade
    s.index_used[index] = read.used
    if seam_price(s, SEAM_INDEX_PUBLISH, index, there, &price):
        grade = grade_of(True, price, s.index_rules[index].lowest) if not there or read.used >= s.index_rules[index].sources_min else GRADE_TOO_FEW_SOURCES
    else:
        price = p.price
        if not there and read.reading == READ_STALE:
            grade = GRADE_STALE
        elif not there and read.reading == READ_INVALID:
            grade = GRADE_INVALID
        else:
            grade = GRADE_TOO_FEW_SOURCES
    return published_put(p, grade, price, s.now)


cdef Read _read(State* s, const IndexRule* rule) noexcept nogil:
    cdef Read[NODES_MAX] stack
    cdef int top = 0
    cdef int i
    cdef const Node* node
    for i in range(rule.nodes_from, rule.nodes_from + rule.nodes_count):
        node = &s.nodes[i]
        top -= node.parts
        stack[top] = _node(s, rule, node, i, &stack[top])
        stack[top].weight = node.weight
        top += 1
    return stack[0]


cdef Read _node(State* s, const IndexRule* rule, const Node* node, int number, Read* parts) noexcept nogil:
    """Return the reading of one node; its parts' readings stand at `parts`."""
    cdef Read read
    cdef int64_t price = 0
    if node.kind == NODE_SOURCE:
        return _source(s, node)
    if node.kind == NODE_REDEMPTION:
        read = _source(s, node)
        return _product(rule, parts, &read) if node.parts else read
    if node.kind == NODE_INDEX:
        return _leg(s, node)
    if node.kind == NODE_BOOK:
        if not book_mid(s, node.ref, &price):
            if not s.marks[node.ref].traded:
                return _none(READ_MISSING, 0)
            price = s.marks[node.ref].last_price
        return _bounded(money_mul(price, node.scale), 1)
    if node.kind == NODE_PRODUCT:
        return _product(rule, &parts[0], &parts[1])
    if node.kind == NODE_FLOOR:
        read = parts[0]
        if read.reading == READ_OK and read.price < node.argument:
            read.price = node.argument
        return read
    if node.kind == NODE_TWAP:
        read = parts[0]
        if read.reading == READ_OK:
            ring = &s.rings[number]
            ring_push(ring, &s.samples[node.samples_from], <int>node.argument, read.price)
            read.price = <int64_t>div_floor(ring.sum, ring.count)
        return read
    return _together(node, parts)


cdef Read _none(int reading, int used) noexcept nogil:
    cdef Read read
    read.price, read.weight, read.used, read.reading = 0, 0, used, reading
    return read


cdef Read _bounded(money_t price, int used) noexcept nogil:
    cdef Read read
    if not money_fits_int64(price):
        return _none(READ_INVALID, 0)
    read.price, read.weight, read.used, read.reading = <int64_t>price, 0, used, READ_OK
    return read


cdef Read _source(State* s, const Node* node) noexcept nogil:
    cdef const Source* source = &s.source_states[node.ref]
    cdef bint stale = s.source_rules[node.ref].can_stale and s.now >= source.time_ns + s.source_rules[node.ref].stale_after_ns
    cdef int reading = READ_MISSING if not source.there else READ_STALE if stale else READ_OK
    cdef bint there = reading == READ_OK
    cdef int64_t price = source.price if there else 0
    if not seam_price(s, SEAM_SOURCE_READ, node.ref, there, &price):
        return _none(READ_MISSING if there else reading, 0)
    return _bounded(money_mul(price, node.scale), 1)


cdef Read _leg(State* s, const Node* node) noexcept nogil:
    cdef const Published* leg = &s.index_states[node.ref]
    if leg.grade == GRADE_VALID:
        return _bounded(money_mul(leg.price, node.scale), 1)
    return _none(READ_STALE if leg.grade == GRADE_STALE else READ_INVALID if leg.grade == GRADE_INVALID else READ_MISSING, 0)


cdef Read _product(const IndexRule* rule, const Read* left, const Read* right) noexcept nogil:
    if left.reading != READ_OK:
        return _none(left.reading, 0)
    if right.reading != READ_OK:
        return _none(right.reading, 0)
    return _bounded(div_floor(money_mul(left.price, right.price), rule.scale), left.used + right.used)


cdef Read _together(const Node* node, const Read* parts) noexcept nogil:
    """Weighted sum, mean or median of the usable parts."""
    cdef int64_t[NODES_MAX] prices  # of the usable parts, ascending
    cdef money_t total = 0
    cdef int count = 0
    cdef int used = 0
    cdef int i, j
    cdef bint stale = False
    cdef bint invalid = False
    for i in range(node.parts):
        if parts[i].reading != READ_OK:
            stale = stale or parts[i].reading == READ_STALE
            invalid = invalid or parts[i].reading == READ_INVALID
            continue
        used += parts[i].used
        total += parts[i].price
        j = count  # insertion sort: a recipe has a handful of parts
        while j > 0 and prices[j - 1] > parts[i].price:
            prices[j] = prices[j - 1]
            j -= 1
        prices[j] = parts[i].price
        count += 1
    if count == 0:
        return _none(READ_STALE if stale else READ_INVALID if invalid else READ_MISSING, 0)
    if node.kind == NODE_WEIGHTED:
        return _weighted(node, parts, count, _median(prices, count))
    if node.kind == NODE_MEAN:
        return _bounded(div_floor(total, count), used)
    return _bounded(_median(prices, count), used)


cdef int64_t _median(const int64_t* prices, int count) noexcept nogil:
    """Of an even number the mean of the middle two, rounded down."""
    cdef money_t middle = prices[count // 2]
    if count % 2 == 0:
        middle += prices[count // 2 - 1]
        middle = div_floor(middle, 2)
    return <int64_t>middle


cdef Read _weighted(const Node* node, const Read* parts, int count, int64_t median) noexcept nogil:
    """sum(weight * price) / sum(weight) of the usable parts, under the outlier row."""
    cdef money_t width = money_scale(money_abs(median), node.argument)
    cdef money_t total = 0
    cdef money_t price
    cdef int64_t weight = 0
    cdef int outliers = 0
    cdef int used = 0
    cdef int everything = 0
    cdef int i
    cdef bint banded = node.ref != 0 and count >= node.ref
    for i in range(node.parts):
        if parts[i].reading != READ_OK:
            continue
        price = parts[i].price
        everything += parts[i].used
        if banded and money_scale(money_abs(price - median), PPM) > width:
            outliers += 1
            if not node.clamp:
                continue
            price = div_floor(money_scale(median, PPM) + width, PPM) if price > median else div_ceil(money_scale(median, PPM) - width, PPM)
        total += money_scale(price, parts[i].weight)
        weight += parts[i].weight
        used += parts[i].used
    if not node.clamp and outliers > 1:
        return _bounded(median, everything)
    return _bounded(div_floor(total, weight), used) if weight else _none(READ_MISSING, 0)
