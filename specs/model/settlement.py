"""The end of a market: a dated future expires, a perpetual is delisted, and every position is closed at one price.

Closed and settled are two steps. At its time a market is closed for good: its orders are cancelled, no auction trades, no order
and no state is taken any more. Then every position is closed against the rounding account at the price that the row names: at
lots x value(price), so that what longs get is what shorts pay, to the unit, and the rounding account ends as it was, lots and
cash. Where there is no such price the positions wait, and a timer tries again.

Sources: expiry at the average of the index, BitMEX (bitmex.com/app/futuresGuide) and Deribit (docs of futures, delivery price).
"""

from __future__ import annotations

from collections import deque

from specs import rules, units
from specs.tape import Action, Chart, Flow, Grade, MarketState, OutcomeKind, Permit, Reason, Side


def samples(venue: rules.Venue) -> dict[int, deque[int]]:
    """Return by market number the index prices whose mean it may be settled at, none yet."""
    rows = enumerate(venue.markets)
    return {i: deque(maxlen=row.settlement.publications) for i, row in rows if row.settlement and row.settlement.publications}


def post_delist(exchange, e) -> Reason:
    """Say when a market ends, sooner or later than was said before; now: at once."""
    if e.market >= len(exchange.books):
        return Reason.UNKNOWN_MARKET
    if exchange.venue.markets[e.market].settlement is None:
        return Reason.NO_SETTLEMENT
    if exchange.states[e.market] == MarketState.CLOSED:
        return Reason.MARKET_CLOSED
    if e.qty and not exchange.now <= e.qty <= units.TIMES_MAX_NS:
        return Reason.BAD_TIME
    time_ns = e.qty or exchange.now
    exchange.emit(OutcomeKind.SETTLES, market=e.market, qty=time_ns)
    exchange.settle_at(e.market, time_ns)
    if time_ns == exchange.now:
        settle(exchange, e.market)
    return Reason.NONE


def settle(exchange, market: int) -> None:
    """Its time has come: close the market, then its positions, or try again later."""
    exchange.settle_never(market)
    closed_before = exchange.states[market] == MarketState.CLOSED
    if not closed_before:
        _close(exchange, market)
    price = price_of(exchange, market)
    if price is None:
        time_ns = exchange.now + exchange.venue.markets[market].settlement.retry_ns
        exchange.settle_at(market, time_ns)
        if not closed_before:
            exchange.emit(OutcomeKind.SETTLES, market=market, qty=time_ns, reason=Reason.PRICE_AWAITED)
        return
    grade = exchange.indices[exchange.marks[market].index].published.grade
    exchange.emit(OutcomeKind.SETTLEMENT, market=market, price=price, qty=exchange.open_interest(market), grade=grade)
    for number in holders(exchange, market):
        _settle(exchange, number, market, price)


def holders(exchange, market: int) -> list[int]:
    """Return whose positions are closed, by id: users, and the venue's own accounts but the one that settles."""
    accounts = exchange.ledger.accounts
    return [n for n in sorted(accounts) if accounts[n].qty[market] and n != Chart.ROUNDING_RESIDUE]


def _close(exchange, market: int) -> None:
    for number in sorted(exchange.ledger.accounts):
        for order in list(exchange.ledger.accounts[number].orders.values()):
            if order.market == market:
                exchange.cancel_order(order, Reason.MARKET_CLOSED)
    exchange.set_state(market, MarketState.CLOSED, Reason.MARKET_CLOSED)


def price_of(exchange, market: int) -> int | None:
    """Return the settlement price now; None where grades, or the range of the market's prices, do not admit it."""
    published = exchange.indices[exchange.marks[market].index].published
    permit = exchange.venue.grades.permit(published.grade, Action.SETTLE) if published.valid else Permit.REFUSE
    if permit >= Permit.DEFER:
        return None
    kept = exchange.settlements.get(market)
    price = sum(kept) // len(kept) if kept else published.last_valid
    return price if exchange.price_min[market] <= price <= exchange.price_max[market] else None


def sample(exchange, market: int) -> None:
    """Keep an index price that was published VALID."""
    published = exchange.indices[exchange.marks[market].index].published
    if published.grade == Grade.VALID:
        exchange.settlements[market].append(published.price)


def _settle(exchange, number: int, market: int, price: int) -> None:
    """Close one position: the rounding account takes the lots and pays for them, or is paid."""
    qty, value = exchange.ledger.accounts[number].qty[market], exchange.value_at(market, price)
    buyer, seller = (Chart.ROUNDING_RESIDUE, number) if qty > 0 else (number, Chart.ROUNDING_RESIDUE)
    exchange.ledger.exchange(buyer, seller, market, abs(qty), abs(qty) * value)
    exchange.emit(
        OutcomeKind.SETTLED,
        account=number,
        other=Chart.ROUNDING_RESIDUE,
        market=market,
        side=Side.BUY if qty > 0 else Side.SELL,
        qty=abs(qty),
        price=price,
        money=qty * value,
        flow=Flow.SETTLEMENT,
    )
