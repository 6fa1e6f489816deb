"""The laws of the exchange: what must hold after every event, whatever the tape, the rule book and the faults.

    L1   per market the signed lots of all ledger accounts sum to 0
    L2   per asset the closed chart sums to 0, and balances change by the flows that were told
    L3   the book at rest is not crossed, nor locked, outside auctions
    L4   orders trade by price, then by time; a queue changes only at its ends, by fills and by cancels
    L5   a fill is at the maker's price, within the taker's limit, and within both quantities
    L6   what raises a requirement is accepted only with initial margin: orders, leverage; so too what takes margin away:
         withdrawals, transfers, switches, auto-add
    L7   an episode opens only when its trigger is true, and each slice of it is taken only while it is
    L8   in the account being closed forced closing never increases or flips a position
    L9   the fund never pays more than it has; what it could not pay it says
    L10  stages in the rule book's order, on their conditions, caps respected; the next gets exactly the rest
    L11  deleveraging: own opposite lots first, at the mark; then eligible only, each within its capacity, the parts sum to the
         share exactly, and the queue is a prefix of a total order with at most one closed in part; whoever was opened first
    L12  longs = shorts = open interest; lots and entry values change by fills, takeovers, ADL and moves only
    L13  the state after a REJECT at t is the state after a CLOCK at t
    L14  same input, same digest; chunked = whole; snapshot + rest = whole
    L15  no limit is passed silently, and no event is left without its answer
    L16  reservations are what the resting orders imply; without orders they are 0
    L17  funding at every multiple of its interval, at a rate within its clamps; what a position pays is R(q F_now) - R(q F_then);
         payments and residue sum to 0; a skipped interval moves nothing; interest at every multiple of its interval, on what is
         owed then, rounded up against who owes
    L18  a fault in X leaves untouched what shares nothing with X; a fault of no magnitude changes nothing
    L19  completeness: whoever's trigger is true is in liquidation or suspended, by an outcome that says so
    L20  gains = losses between two runs
    L21  nothing happens at a grade or in a market state whose table refuses it
    L22  no reduce-only order above the position, no order without its reservation
    L23  who owes nothing is charged nothing, unless a row names the charge; a fill that is busted goes back whole, once
    L24  an order does what its kind says: FOK trades all at once, post-only makes, IOC and MARKET do not rest, GTD leaves at its
         time, close-only takes the whole position, and nothing shows more than its display
    L25  nobody trades with himself where the market's row or the taker forbids it; who is spared a trade by it would have had one
    L26  waiting orders fire when, and only when, their trigger is true and a row allows it; in order of entry, before anybody is
         selected for liquidation, and PROTECT cancels instead where the price is too far from the mark
    L27  no order stands or trades beyond its band, and none inside it is refused for it; no fill beyond the limits up and down; a
         market pauses when one was asked for, and resumes in time
    L28  an auction trades at one price: the one that trades most, of those that which leaves least, of those the nearest to the
         reference, then the higher; it trades all that was told, and cancels nothing that could have traded; afterwards the book
         is not crossed. Who trades first is L4, that nobody trades beyond his limit L5
    L29  a market ends in time and for good: its orders go, its positions are closed at the price that its row names, each whole,
         all together for nothing; where grades admit no price they wait, and afterwards nothing rests or trades there
    L30  a change of rules is in force whole from its time on and not before, or is refused whole; who is grandfathered keeps what
         he had until the position grows, turns or closes, or the time is over

The numbers are stable names. `LAWS`, the table below, says in which file of specs/lawbook/ each is checked. A law is a generator
over a `Case`, one event with the state before and after it, and yields a sentence for each breach. It sees only what both twins
show, at the values in force at that moment (specs/scene.py). L13, L14, L18 and L20 compare whole runs: they take a factory or
final states. The metamorphic laws stand beside L18 in specs/pairs.py.

A law's scope is `always`, or `unless` named seams are armed: who forces a trigger cannot ask that it be true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from specs import rules
from specs.errors import LawBroken
from specs.lawbook import (
    Breaches,
    adl,
    auction,
    bands,
    book,
    changes,
    charges,
    fund,
    funding,
    ledger,
    limits,
    liquidation,
    margin,
    orders,
    permits,
    settlement,
    stops,
)
from specs.scene import Book, Case, Tables, event_of, outcomes_of
from specs.tape import Seam


@dataclass(frozen=True)
class Law:
    """`check` yields a sentence for each breach; a law of whole runs has none. `unless`: what lifts it."""

    name: str
    text: str
    check: Callable[[Case], Breaches] | None
    unless: frozenset[Seam] = frozenset()

    @property
    def scope(self) -> str:
        return "unless " + ", ".join(sorted(seam.name for seam in self.unless)) if self.unless else "always"


_TRIGGER = frozenset({Seam.LIQUIDATION_TRIGGER})
LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("L1", "per market signed lots sum to 0", ledger.lots_sum_to_zero),
        Law("L2", "per asset the closed chart sums to 0", ledger.chart_sums_to_zero),
        Law("L3", "the book at rest is not crossed", book.book_is_not_crossed),
        Law("L4", "price, then time", book.price_then_time),
        Law("L5", "a fill is within both orders' limits and quantities", book.fills_within_limits),
        Law("L6", "exposure grows only with initial margin", margin.opened_with_margin),
        Law("L7", "liquidation only while its trigger is true", liquidation.liquidated_only_when_triggered, _TRIGGER),
        Law("L8", "forced closing never increases or flips", liquidation.forced_closing_reduces),
        Law("L9", "the fund pays what it has and says what it could not", fund.fund_pays_what_it_has),
        Law("L10", "stages in order, the next gets exactly the rest", liquidation.stages_in_order),
        Law("L11", "deleveraged: who may be, what he can bear, in order, to the unit", adl.deleveraged_in_order),
        Law("L12", "longs = shorts = open interest", ledger.longs_are_shorts),
        Law("L13", "a REJECT leaves the state of a CLOCK", None),  # runs.reject_is_clock
        Law("L14", "same input, same digest", None),  # runs.same_input_same_digest
        Law("L15", "no limit is passed silently", limits.limits_are_not_silent),
        Law("L16", "reservations are what orders imply", orders.reserved_for_orders),
        Law("L17", "funding telescopes; payments and residue sum to 0", funding.funding_telescopes),
        Law("L18", "a fault in X leaves alone what shares nothing with X", None),  # specs/pairs.py
        Law("L19", "whoever's trigger is true is dealt with", liquidation.nobody_is_forgotten, _TRIGGER),
        Law("L20", "gains = losses between two runs", None),  # runs.gains_equal_losses
        Law("L21", "nothing happens at a grade or in a state that refuses it", permits.grades_are_obeyed),
        Law("L22", "no reduce-only order above the position", orders.reduce_only_stays_below),
        Law("L23", "nobody is charged for nothing", charges.nobody_is_charged_for_nothing),
        Law("L24", "an order does what its kind says", orders.orders_keep_their_kind),
        Law("L25", "nobody trades with himself where it is forbidden", orders.nobody_trades_with_himself),
        Law("L26", "waiting orders fire when, and only when, they must; in order of entry", stops.waiting_orders_fire),
        Law("L27", "no order beyond its band, no fill beyond the limits; pauses end in time", bands.bands_and_limits_hold),
        Law("L28", "an auction trades at one price that trades most and leaves least", auction.auctions_trade_at_one_price),
        Law("L29", "a market ends in time, whole and for good", settlement.markets_end_whole),
        Law("L30", "a change of rules is in force whole, in its time, or not at all", changes.changes_take_effect_in_time),
    )
}
CHECKED = tuple(name for name, law in LAWS.items() if law.check)
"""The laws that are checked after every event."""

_latest: Book | None = None


def _book(venue: rules.Venue) -> Book:
    """Return the venue's Book; the latest one is kept."""
    global _latest
    if _latest is None or _latest.venue is not venue:
        _latest = Book(venue)
    return _latest


def breaches(
    venue: rules.Venue,
    before: Tables,
    event: bytes,
    outcomes: bytes,
    after: Tables,
    armed: Collection[int] = (),
    names: Iterable[str] = CHECKED,
) -> Iterator[LawBroken]:
    """Yield a LawBroken for each breach of the named laws by one event; `armed`: the seams of the run's fault schedule."""
    case = Case(_book(venue), before, event_of(event), outcomes_of(outcomes), after, armed)
    number = after["clock"][0][1] - 1
    for name in names:
        law = LAWS[name]
        if law.unless.isdisjoint(armed):
            for detail in law.check(case):
                yield LawBroken(name, number, detail)


def check(
    venue: rules.Venue, before: Tables, event: bytes, outcomes: bytes, after: Tables, armed: Collection[int] = (), names=CHECKED
) -> None:
    """Raise the first LawBroken, if any."""
    for broken in breaches(venue, before, event, outcomes, after, armed, names):
        raise broken
