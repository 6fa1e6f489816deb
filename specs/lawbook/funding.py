"""Funding: due at every multiple of its interval, at a rate from the premium, through the residue; L17."""

from __future__ import annotations

from specs import rules, units
from specs.lawbook import Breaches
from specs.lawbook.borrow import interest_is_exact
from specs.model.exchange import PUBLISH, STALE
from specs.scene import Case, Outcome, Scene
from specs.tape import Action, EventKind, Flow, Grade, OutcomeKind, Permit, Reason, Seam, Side


def funding_telescopes(case: Case) -> Breaches:
    """L17. Interest too. Told at every multiple of the interval; positions pay what they owe of it, all through the residue."""
    yield from _intervals(case)
    yield from interest_is_exact(case)
    due: dict[int, int] = {}  # what accounts pay, or receive, and have not yet
    since: dict[int, int] = {}  # market -> time from which the sample of its premium counts anew
    for scene, o in case.walk():
        if o.flow in _FUNDING_PAYS:
            sign, holder = (1, o.account) if o.flow == Flow.FUNDING_PAID else (-1, o.other)
            if due.pop(holder, 0) != sign * o.money:
                yield f"account {holder} pays {sign * o.money} of funding, more or less than its position owes"
            continue
        if due:
            yield f"funding of {due} is not paid"
        due = {}
        if o.kind == OutcomeKind.FUNDING:
            yield from _interval(case, scene, o, since.get(o.market))
            since[o.market] = o.time_ns
            due = _funding_due(scene, o)
            if abs(sum(due.values())) > len(due):
                yield f"the residue of market {o.market} takes {sum(due.values())} of {len(due)} payments: more than rounding"
    if due:
        yield f"funding of {due} is not paid"
    for market, index in case.final.funding.items():
        if index != case.end.funding[market]:
            yield f"the cumulative funding of market {market} is {index}, its outcomes say {case.end.funding[market]}"
    for market, _, *premium in case.after["funding"]:
        taken = _samples(case, market, case.after["clock"][0][0], since.get(market))
        if taken is not None and tuple(premium) != taken:
            yield f"the premium of market {market} is {premium} (sum, samples), its publications make it {taken}"


_FUNDING_PAYS = (Flow.FUNDING_PAID, Flow.FUNDING_RECEIVED)


def _intervals(case: Case) -> Breaches:
    """Every whole multiple of an interval that time has passed is told, none else."""
    then, now = case.before["clock"][0][0], case.after["clock"][0][0]
    wanted = []
    for market, row in enumerate(case.book.venue.markets):
        every = row.funding.every_ns if row.funding else now + 1
        wanted += [(time, market) for time in range((then // every + 1) * every, now + 1, every)]
    told = [(o.time_ns, o.market) for o in case.outcomes if o.kind == OutcomeKind.FUNDING]
    if told != sorted(wanted):
        yield f"funding is told at {told} (time, market), due is {sorted(wanted)}"


def _funding_due(scene: Scene, o: Outcome) -> dict[int, int]:
    """Return by account R(q F_now) - R(q F_then), R rounding up to whole money; what it receives is negative."""
    owed = {}
    for (account, market), lots in scene.qty.items():
        if market == o.market and lots:
            then, now = (units.div_ceil(lots * index, units.PPB) for index in (scene.funding[market], o.money))
            owed[account] = now - then
    return {account: money for account, money in owed.items() if money}


def _interval(case: Case, scene: Scene, o: Outcome, since: int | None) -> Breaches:
    """One interval: skipped for a reason, or at the rate that the premium gives; the index moves by rate x value."""
    armed, row = Seam.FUNDING_RATE in case.armed, case.book.venue.markets[o.market].funding
    moved = o.money - scene.funding[o.market]
    if moved != (0 if o.reason else o.price * abs(scene.value(o.market))):
        yield f"funding of market {o.market} moves by {moved} at a rate of {o.price} and a value of {scene.value(o.market)}"
    why = Reason.NONE
    if scene.permit(scene.marks[o.market], Action.FUNDING) >= Permit.DEFER:
        why = Reason.GRADE_REFUSED
    elif scene.state_permit(o.market, Action.FUNDING) >= Permit.DEFER:
        why = Reason.MARKET_STATE
    elif scene.size(scene.book.numeraire) > units.FUNDING_BALANCES_MAX:
        why = Reason.FUNDING_LIMIT
    if o.reason != why and not (armed and o.reason == Reason.GRADE_REFUSED):
        yield f"an interval of market {o.market} has the reason {Reason(o.reason).name}, due is {why.name}"
    if abs(o.price) > (units.FUNDING_RATE_MAX_PPB if armed else row.cap_ppb):
        yield f"the funding rate of market {o.market} is {o.price}, capped at {row.cap_ppb}"
    premium = _premium(case, o, since)
    if o.reason or armed or premium is None:
        return
    rate = max(-row.cap_ppb, min(row.cap_ppb, premium + max(-row.damp_ppb, min(row.damp_ppb, row.interest_ppb - premium))))
    if o.price != rate:
        yield f"the funding rate of market {o.market} is {o.price}, at a premium of {premium} it is {rate}"


def _premium(case: Case, funding: Outcome, since: int | None) -> int | None:
    """Return the mean premium of an interval that ends, rounded down; None where the outcomes do not tell it."""
    taken = _samples(case, funding.market, funding.time_ns, since, funding)
    if taken is None:
        return None
    total, samples = taken
    return units.div_floor(total, samples) if samples else 0


def _samples(case: Case, market: int, until: int, since: int | None, stop: Outcome | None = None) -> tuple[int, int] | None:
    """Return sum and number of the premium samples of an interval, from the table before the event and the publications since.

    since: when the interval began, if within this event. None where the outcomes do not tell it: an index that does not change
    when it is published says nothing, so that the book at that moment is known only if it did not move either.
    """
    venue = case.book.venue
    index = venue.number("indices", venue.markets[market].index)
    total, samples = next(row[2:4] for row in case.before["funding"] if row[0] == market) if since is None else (0, 0)
    publish = venue.indices[index].publish
    if publish.kind == "update":
        timers = any(kind in (STALE, PUBLISH) and time <= until for kind, _, time in case.before["timers"])
        heard = stop is None and case.event.kind == EventKind.SOURCE
        traded = _reads_books(venue, index) and any(o.kind == OutcomeKind.FILL for o in case.outcomes)
        return None if timers or heard or traded or case.unsettled else (total, samples)
    first = next(time for kind, number, time in case.before["timers"] if (kind, number) == (PUBLISH, index))
    for time in range(first, until + 1, publish.every_ns):
        if since is not None and time <= since:
            continue
        found = _sampled(case, market, stop, index, time)
        if len(found) != 1:
            return None
        (sample,) = found
        total, samples = (total, samples) if sample is None else (total + sample, samples + 1)
    return total, samples


def _reads_books(venue: rules.Venue, index: int) -> bool:
    """Return whether an index, or a leg of it, reads a book: on update it is published when that trades."""
    nodes = list(rules.walk(venue.indices[index].recipe))
    legs = (venue.number("indices", node.name) for node in nodes if node.kind == "index")
    return any(node.kind == "book" for node in nodes) or any(_reads_books(venue, leg) for leg in legs)


def _sampled(case: Case, market: int, stop: Outcome | None, index: int, time: int) -> set[int | None]:
    """Return every premium that an index published at `time` can have had; None: no sample."""
    grade, price = next(row[1:3] for row in case.before["indices"] if row[0] == index)
    found, said = set(), False

    def look(scene: Scene) -> None:
        bid, ask = (scene.first(market, side) for side in (Side.BUY, Side.SELL))
        if grade != Grade.VALID or bid is None or ask is None:
            found.add(None)
        else:
            mid = units.div_floor(scene.orders[bid].price + scene.orders[ask].price, 2)
            found.add(units.div_floor((mid - price) * units.PPB, price))

    for scene, o in case.walk():
        if o.time_ns >= time and not said:
            look(scene)
        if o is stop or o.time_ns > time:
            break
        if o.kind == OutcomeKind.INDEX and o.ref_id == index:
            grade, price = o.grade, o.price
            if o.time_ns == time:
                found, said = set(), True
                look(scene)
    else:
        if not said:
            look(case.end)
    return found
