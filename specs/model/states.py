"""The state of a market: set by STATE events, and by the limits up and down, which pause it and let it go on.

A pause: the taker that would have traded beyond the limit loses its rest, whatever its kind; orders at rest stay. Only an open
market pauses: in any other state a taker just stops there, the venue has the market in hand already.
"""

from __future__ import annotations

from specs.tape import MarketState, OutcomeKind, Reason


class States:
    """How an exchange sets the states of its markets."""

    def set_state(self, market: int, state: MarketState, reason: Reason = Reason.NONE) -> None:
        """Set a state and say so: the one way in which a state changes. A timer that would have changed it later is gone.

        An auction that ends trades before the new state is told, so that a halt that ends it forbids no fill.
        """
        if self.states[market] == MarketState.AUCTION and state != MarketState.AUCTION:
            self.uncross(market)
        self.states[market] = state
        self.resume_never(market)
        self.emit(OutcomeKind.STATE_SET, market=market, qty=state, reason=reason)
        self.due_state = True

    def post_state(self, e) -> Reason:
        if e.market >= len(self.books):
            return Reason.UNKNOWN_MARKET
        if e.qty not in MarketState._value2member_map_ or e.qty == MarketState.CLOSED:
            return Reason.BAD_STATE
        if self.states[e.market] == MarketState.CLOSED:
            return Reason.MARKET_CLOSED
        self.set_state(e.market, MarketState(e.qty))
        return Reason.NONE

    def pause(self, market: int) -> None:
        """A trade beyond the limit was asked for: an open market pauses, and a timer will end that."""
        if self.states[market] == MarketState.OPEN:
            self.set_state(market, MarketState.PAUSED, Reason.LIMIT_UP_DOWN)
            self.resume_at(market, self.now + self.venue.markets[market].limit_up_down.pause_ns)

    def resume(self, market: int) -> None:
        """The pause is over: open, or an auction first; so is the auction."""
        row = self.venue.markets[market].limit_up_down
        if self.states[market] == MarketState.PAUSED and row.resume == "auction":
            self.set_state(market, MarketState.AUCTION, Reason.PAUSE_ENDED)
            self.resume_at(market, self.now + row.auction_ns)
        else:
            self.set_state(market, MarketState.OPEN, Reason.PAUSE_ENDED)
