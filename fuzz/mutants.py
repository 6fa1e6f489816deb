"""Planted bugs: each breaks the law of its number, on ordinary events. The tests of the laws prove with them that a law can fail.

`plant(exchange, bug)` returns a subclass of the model with the bug in one step; the checked build of the engine carries the same
bugs in C and switches one on by `planted=`. A bug is small: what a tired person might write.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from unittest import mock

from specs import units
from specs.model import adl, auction, bands, changes, fund, liquidation, settlement, slices, trigger
from specs.model.book import Book
from specs.model.exchange import Exchange
from specs.model.funding import Funding
from specs.model.ledger import Ledger
from specs.model.margin import Brackets, Margins
from specs.tape import SEAM_ANY, USERS_FROM, Action, Chart, EventKind, Flow, OutcomeKind, Permit, Reason, Side, Stage

# ---- bugs that live in a method


class SellerKeepsALot(Exchange):
    """1: the seller of a fill gets one lot less taken away."""

    def _fill(self, taker, maker, order_id, side, lots, stage):
        cash = super()._fill(taker, maker, order_id, side, lots, stage)
        seller = self.ledger.accounts[maker.account] if side == Side.BUY else taker
        seller.qty[maker.market] += 1
        return cash


class FeeIsLost(Exchange):
    """2: FEES is not credited with the taker fee."""

    def _fill(self, taker, maker, order_id, side, lots, stage):
        cash = super()._fill(taker, maker, order_id, side, lots, stage)
        taker_ppm = self.venue.markets[maker.market].fees.taker_ppm
        fee = 0 if stage == Stage.BOOK else units.div_ceil(cash * taker_ppm, units.PPM)
        self.ledger.accounts[Chart.FEES].balance[self.numeraire] -= fee
        return cash


class EqualPriceRests(Exchange):
    """3: an incoming order does not trade at a price equal to its limit."""

    @staticmethod
    def _reaches(side, limit, price):
        return limit > price if side == Side.BUY else limit < price


class _FrontBook(Book):
    def rest(self, order):
        super().rest(order)
        self.levels[order.side][self.key(order.side, order.price)].move_to_end(order.order_id, last=False)


class RestsAtTheFront(Exchange):
    """4: an order rests at the front of its level."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.books = [_FrontBook() for _ in self.books]


class OneTickBeyond(Exchange):
    """5: matching goes one tick beyond the taker's limit."""

    def match(self, order, limit, qty, stage):
        tick = self.venue.markets[order.market].tick_size
        return super().match(order, limit + (tick if order.side == Side.BUY else -tick), qty, stage)


class MarginGateSaysYes(Exchange):
    """6: the margin gate always says yes; the other gates stay."""

    def _margin_gate(self, account, order):
        reason = super()._margin_gate(account, order)
        return Reason.NONE if reason == Reason.INSUFFICIENT_MARGIN else reason


class _OneLotMore(Ledger):
    def exchange(self, buyer, seller, market, qty, cash):
        super().exchange(buyer, seller, market, qty + (Chart.BACKSTOP in (buyer, seller)), cash)


class TakeoverTakesOneLotMore(Exchange):
    """8: a takeover takes one lot more than the position holds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ledger.__class__ = _OneLotMore

    def emit(self, kind, *, qty=0, **fields):
        super().emit(kind, qty=qty + (kind == OutcomeKind.TAKEOVER), **fields)


class _BackstopGetsNothing(Ledger):
    def exchange(self, buyer, seller, market, qty, cash):
        super().exchange(buyer, seller, market, qty, cash)
        for number, lots in ((buyer, qty), (seller, -qty)):
            if number == Chart.BACKSTOP:
                self.accounts[number].qty[market] -= lots


class BackstopGetsNoLots(Exchange):
    """12: the backstop does not get the lots of a takeover."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ledger.__class__ = _BackstopGetsNothing


class RefusedLeverageStays(Exchange):
    """13: a refused LEVERAGE keeps the new leverage."""

    def _post_leverage(self, e):
        reason = super()._post_leverage(e)
        if reason == Reason.INSUFFICIENT_MARGIN:
            self.ledger.accounts[e.account].leverage[e.market] = e.qty
        return reason

    _POST = Exchange._POST | {EventKind.LEVERAGE: _post_leverage}


class RestoreForgetsTheCounter(Exchange):
    """14: restore forgets the counter of engine order ids."""

    @classmethod
    def restore(cls, venue, blob, seams=None):
        exchange = super().restore(venue, blob, seams)
        exchange.engine_orders = 0
        return exchange


class BoundIsSilent(Exchange):
    """15: no BOUND outcome when rounds_max stops a cascade."""

    def emit(self, kind, **fields):
        if kind != OutcomeKind.BOUND:
            super().emit(kind, **fields)


class CancelledStaysReserved(Exchange):
    """16: a cancelled order stays reserved."""

    def cancel_order(self, order, reason, stage=None):
        super().cancel_order(order, reason, stage)
        self.ledger.accounts[order.account].orders[order.order_id] = order


class FundingDoesNotTelescope(Exchange):
    """17: an interval pays R(q * (F_now - F_then)): its rounding adds up over the intervals."""

    def _apply(self, e):
        with mock.patch.object(Funding, "settle", _settle_alone):
            super()._apply(e)

    def emit(self, kind, *, money=0, **fields):
        super().emit(kind, money=money + (self.funded if kind == OutcomeKind.FUNDING else 0), **fields)


def _settle_alone(funding, exchange):
    exchange.funded, funding.index = funding.index, 0
    _settle(funding, exchange)
    funding.index += exchange.funded


class SeamActsOnEveryKey(Exchange):
    """18: a row of the fault schedule acts on every key of its seam."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seams.rows = [(seam, SEAM_ANY, *rest) for seam, _, *rest in self.seams.rows]


class OnlyTouchedAreRevalued(Exchange):
    """19: a price change revalues only touched accounts."""

    def _publish(self):
        super()._publish()
        return False


class WriteOffIsBookedNowhere(Exchange):
    """20: BAD_DEBT is not debited with what is written off."""

    def flow(self, kind, source, target, asset, money):
        super().flow(kind, source, target, asset, money)
        if kind == Flow.WRITE_OFF:
            self.ledger.accounts[source].balance[asset] += money


class GradesDoNotStopLiquidation(Exchange):
    """21: the grade table is ignored for LIQUIDATE."""

    def permit(self, market, action):
        return Permit.ALLOW if action == Action.LIQUIDATE else super().permit(market, action)

    def collateral_permit(self, asset, action):
        return Permit.ALLOW if action == Action.LIQUIDATE else super().collateral_permit(asset, action)


class ReduceOnlyIsNotTrimmed(Exchange):
    """22: a reduce-only order keeps its lots when its position shrinks."""

    def trim(self, account, market):
        pass


class MakerPaysTheLiquidationFee(Exchange):
    """23: the liquidation fee is charged to the maker of the slice's last fill."""

    def _fill(self, taker, maker, order_id, side, lots, stage):
        self.last_maker = maker.account
        return super()._fill(taker, maker, order_id, side, lots, stage)

    def flow(self, kind, source, target, asset, money):
        super().flow(kind, self.last_maker if kind == Flow.LIQUIDATION_FEE else source, target, asset, money)


class FokTakesWhatThereIs(Exchange):
    """24: a FOK order that cannot fill trades what it can."""

    def _available(self, order, limit):
        return order.qty


class OwnAccountIsNotSeen(Exchange):
    """25: an order does not notice that it meets one of its own account."""

    def _same(self, maker, taker, stage=Stage.NONE):
        return maker.account != taker.number and super()._same(maker, taker, stage)


class NobodyCoolsDown(Exchange):
    """53: an account does not wait after a slice."""

    def cool(self, account, cooldown_ns):
        pass


class TheTriggerItselfIsNotEnough(Exchange):
    """26: a waiting order does not fire at a price equal to its trigger."""

    @staticmethod
    def reached(trigger, side, price):
        return price > trigger.price if trigger.rises(side) else price < trigger.price


class BuyersStayInAClosedMarket(Exchange):
    """69: of a market that ends the orders to sell are cancelled, those to buy stay."""

    def cancel_order(self, order, reason, stage=None):
        if reason != Reason.MARKET_CLOSED or order.side == Side.SELL:
            super().cancel_order(order, reason, stage)


class NothingBelowZero(Exchange):
    """71: a position at a negative price has no maintenance."""

    def evaluate(self, account):
        e = super().evaluate(account)
        held = (m for m, value in enumerate(self.value) if value < 0)
        return e._replace(maintenance=e.maintenance - sum(self.maintenance(account, m) for m in held))


class FeesFollowTheSign(Exchange):
    """72: a fee is a part of what is paid, with its sign: below zero it is none."""

    @staticmethod
    def _fee(cash, rate_ppm):
        return units.div_ceil(max(0, cash) * rate_ppm, units.PPM)


class _KeepsForEver(Ledger):
    def exchange(self, buyer, seller, market, qty, cash):
        kept = [number for number in (buyer, seller) if market in self.accounts[number].grandfathered]
        super().exchange(buyer, seller, market, qty, cash)
        for number in kept:
            self.accounts[number].grandfathered.add(market)


class GrandfatheredForEver(Exchange):
    """63: a position that grows keeps the maintenance from before a change of rules."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ledger.__class__ = _KeepsForEver


# ---- bugs that live in a function of a module: patched while an event runs


def _trigger_at_twice_maintenance(exchange, account, e):
    """7: the trigger compares twice the maintenance with equity."""
    return _triggered(exchange, account, e._replace(maintenance=2 * e.maintenance))


def _pay_all(exchange, account, shortfall):
    """9: the fund pays the whole shortfall even if it has less."""
    exchange.flow(Flow.FUND_PAYMENT, Chart.FUND, account, exchange.numeraire, shortfall)
    return shortfall


def _convert_nothing(exchange, account, row):
    """10: the fund pays before the collateral is converted: nothing is, and everything counts as converted."""


def _always_converted(exchange, account):
    return True


def _queue_by_account(exchange, account, market, lots, share):
    """11: who has the lowest account id is deleveraged first."""
    return sorted(_queue(exchange, account, market, lots, share), key=lambda candidate: candidate.account.number)


def _whatever_it_leaves(surplus):
    """28: of the prices that trade most an auction takes the nearest to the reference, whatever it leaves."""
    return list(surplus)


def _all_levels_but_the_last(exchange, e):
    """50: the lowest level of margin calls is never told."""
    at = [row.at_most for row in exchange.venue.liquidation.levels[:-1]]
    return sum(trigger.compare(e, text) <= 0 for text in at) if e.open else 0


def _enters_whatever_is_below(e, row):
    """51: a stage is entered although equity / maintenance is not below its ratio."""
    return _enters(e, row.model_copy(update={"below": None}) if row and row.at_least else None)


def _size_is_not_counted(brackets, notional, lots):
    """40: the maintenance rate does not grow with the position."""
    return _maintenance(brackets, notional, 0)


def _nobody_else_there(brackets, open_interest):
    """41: open interest does not raise initial margin."""
    return Fraction(0)


def _at_the_mark(exchange, account, market, lots):
    """43: maintenance is of the notional at the mark, without a fee of closing."""
    return exchange.brackets[market].maintenance(lots * abs(exchange.value[market]), lots)


def _all_of_the_profit(exchange, account):
    """44: unrealised profit counts in full when margin leaves an account."""
    return 0


def _lowest_tier(brackets, notional, lots):
    """42: of tiers at the whole notional, maintenance is that of the first."""
    if brackets.market.margin.tiers == "whole":
        row = brackets.rows[0]
        return max(0, units.div_ceil(notional * row.rate, row.of) - row.amount)
    return _maintenance(brackets, notional, lots)


def _whatever_the_time(exchange, account, row, e, asked):
    """52: a slice is all that its quantity asks, however young the episode is."""
    return asked


def _fresh_window(exchange, account, row):
    """73: a slice does not know what others of its window have closed, nor what the fund has paid for them."""
    return 0, 0


def _fee_does_not_grow(exchange, account, market):
    """54: the liquidation fee is the same at any age of the episode."""
    return exchange.venue.markets[market].fees.liquidation_ppm


def _by_maintenance(exchange, account, choice, a, b):
    """55: the position with the largest maintenance is closed first, whatever the row chooses."""
    return exchange.maintenance(account, a) > exchange.maintenance(account, b)


def _whatever_its_margin(exchange, vault, market, qty, cash):
    """78: a vault takes positions over that it has no margin for."""
    return True


def _no_limits(exchange, market):
    """27: takers do not know of the limits up and down."""


def _of_the_signed_price(side, anchor, up_ppm, down_ppm):
    """70: a band is a part of the price with its sign: below zero it closes in from the wrong side."""
    return anchor * (units.PPM + up_ppm if side == Side.BUY else units.PPM - down_ppm)


def _only_users_are_settled(exchange, market):
    """67: a final settlement leaves out what the backstop holds."""
    return [number for number in _holders(exchange, market) if number >= USERS_FROM]


def _settled_at_the_mark(exchange, market):
    """68: a market is settled at its mark, whatever its row says."""
    return _price_of(exchange, market) and exchange.marks[market].published.last_valid


def _announced_is_in_force(exchange, number, effective_ns):
    """62: a change of rules is in force as soon as it is announced."""
    exchange.announced[number] = effective_ns
    changes._tell(exchange, OutcomeKind.CHANGE_ANNOUNCED, number, qty=effective_ns)
    _take_effect(exchange, number)


def _nobody_is_valued_anew(exchange, number):
    """64: when a change of rules takes effect nobody is looked at."""
    before = exchange.due_state
    _take_effect(exchange, number)
    exchange.due_state = before


_triggered, _enters, _queue, _settle = trigger.triggered, trigger.enters, adl.queue, Funding.settle
_holders, _price_of = settlement.holders, settlement.price_of
_maintenance = Brackets.maintenance
_take_effect = changes._take_effect
_PATCHES: dict[int, list[tuple[object, str, Callable]]] = {
    7: [(trigger, "triggered", _trigger_at_twice_maintenance)],
    9: [(fund, "pay", _pay_all)],
    10: [(liquidation, "_convert", _convert_nothing), (liquidation, "_converted", _always_converted)],
    11: [(adl, "queue", _queue_by_account)],
    78: [(liquidation, "bears", _whatever_its_margin)],
    27: [(bands, "limits", _no_limits)],
    50: [(trigger, "level", _all_levels_but_the_last)],
    52: [(slices, "_in_time", _whatever_the_time)],
    73: [(slices, "used", _fresh_window)],
    54: [(slices, "fee_ppm", _fee_does_not_grow)],
    55: [(slices, "_more", _by_maintenance)],
    51: [(trigger, "enters", _enters_whatever_is_below)],
    62: [(changes, "_announce", _announced_is_in_force)],
    64: [(changes, "_take_effect", _nobody_is_valued_anew)],
    28: [(auction, "_leaving_least", _whatever_it_leaves)],
    67: [(settlement, "holders", _only_users_are_settled)],
    68: [(settlement, "price_of", _settled_at_the_mark)],
    40: [(Brackets, "maintenance", _size_is_not_counted)],
    41: [(Brackets, "_crowded", _nobody_else_there)],
    42: [(Brackets, "maintenance", _lowest_tier)],
    44: [(Margins, "profit_haircut", _all_of_the_profit)],
    43: [(Margins, "maintenance_of", _at_the_mark)],
    70: [(bands, "percent", _of_the_signed_price)],
}


@contextmanager
def _patched(bug: int):
    changes = [mock.patch.object(module, name, function) for module, name, function in _PATCHES[bug]]
    for change in changes:
        change.start()
    try:
        yield
    finally:
        for change in changes:
            change.stop()


def _patched_class(bug: int) -> type[Exchange]:
    class Patched(Exchange):
        def _apply(self, e):
            with _patched(bug):
                super()._apply(e)

    Patched.__name__ = f"Planted{bug}"
    return Patched


MUTANTS: dict[int, type[Exchange]] = {
    1: SellerKeepsALot,
    2: FeeIsLost,
    3: EqualPriceRests,
    4: RestsAtTheFront,
    5: OneTickBeyond,
    6: MarginGateSaysYes,
    8: TakeoverTakesOneLotMore,
    12: BackstopGetsNoLots,
    13: RefusedLeverageStays,
    14: RestoreForgetsTheCounter,
    15: BoundIsSilent,
    16: CancelledStaysReserved,
    17: FundingDoesNotTelescope,
    18: SeamActsOnEveryKey,
    19: OnlyTouchedAreRevalued,
    20: WriteOffIsBookedNowhere,
    21: GradesDoNotStopLiquidation,
    22: ReduceOnlyIsNotTrimmed,
    23: MakerPaysTheLiquidationFee,
    24: FokTakesWhatThereIs,
    25: OwnAccountIsNotSeen,
    26: TheTriggerItselfIsNotEnough,
    69: BuyersStayInAClosedMarket,
    53: NobodyCoolsDown,
    71: NothingBelowZero,
    72: FeesFollowTheSign,
    63: GrandfatheredForEver,
} | {bug: _patched_class(bug) for bug in _PATCHES}


def plant(exchange: type[Exchange], bug: int) -> type[Exchange]:
    """Return the exchange class with a bug; up to 28 its number is a law's. 0 is the class itself. KeyError: no such bug."""
    if bug == 0:
        return exchange
    mutant = MUTANTS[bug]
    return mutant if exchange is Exchange else type(f"{exchange.__name__}Planted{bug}", (mutant, exchange), {})
