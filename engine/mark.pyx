"""A market's mark: the index, or median(index, index + mean basis, last)."""
from libc.stdint cimport int64_t

from engine.book cimport book_mid
from engine.index cimport grade_of, published_put
from engine.margin cimport margin_value
from engine.money cimport div_floor, money_t
from engine.records cimport GRADE_INVALID, GRADE_TOO_FEW_SOURCES, GRADE_VALID, SEAM_MARK_PUBLISH
from engine.seams cimport seam_price
from engine.state cimport Mark, MarketRule, Published, State, ring_push

cdef bint mark_publish(State* s, int market, bint sample) noexcept nogil:
    """Publish at s.now; `sample`: the index was published, so the basis is sampled. Return whether it changed.

    An index that is not VALID gives its grade to the mark and leaves the mark's number alone.
    """
    cdef const MarketRule* rule = &s.market_rules[market]
    cdef const Published* index = &s.index_states[rule.index]
    cdef Mark* mark = &s.marks[market]
    cdef bint there = index.grade == GRADE_VALID
    cdef int64_t price = index.price if there else 0
    cdef int grade
    cdef bint changed
    if there and rule.mark_median:
        price = _median(s, market, price, sample)
    if seam_price(s, SEAM_MARK_PUBLISH, market, there, &price):
        grade = grade_of(True, price, rule.price_min)
        if grade == GRADE_VALID and price > rule.price_max:
            grade = GRADE_INVALID
    else:
        grade = GRADE_TOO_FEW_SOURCES if there else index.grade
        price = mark.published.price
    changed = published_put(&mark.published, grade, price, s.now)
    mark.value = margin_value(rule, mark.published.last_valid)
    return changed


cdef int64_t _median(State* s, int market, int64_t index, bint sample) noexcept nogil:
    cdef Mark* mark = &s.marks[market]
    cdef int64_t[3] parts
    cdef int64_t price = 0
    cdef money_t middle
    cdef int count = 1
    cdef int _i
    if sample and book_mid(s, market, &price):
        ring_push(&mark.basis, &s.samples[mark.basis_from], s.market_rules[market].basis_samples, price - index)
    parts[0] = index
    if mark.basis.count:
        parts[count] = index + <int64_t>div_floor(mark.basis.sum, mark.basis.count)
        count += 1
    if mark.traded:
        parts[count] = mark.last_price
        count += 1
    for _i in range(count - 1):  # two bubbles sort three
        if parts[0] > parts[1]:
            parts[0], parts[1] = parts[1], parts[0]
        if count == 3 and parts[1] > parts[2]:
            parts[1], parts[2] = parts[2], parts[1]
    if count != 2:
        return parts[count // 2]
    middle = parts[0]
    middle += parts[1]
    return <int64_t>div_floor(middle, 2)
