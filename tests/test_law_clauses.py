"""Each clause of a law can fail: a small bug in one function of the model, a tape on which it acts, and the law that says so.

The planted bugs of tests/test_laws.py prove that every law can fail, on both twins; a law of many clauses needs a bug each.
Here the bugs are patches of the model, so that they need no build; without the patch no law is broken by the same tape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from unittest import mock

import pytest

from fuzz.twin import start
from specs import laws
from specs.model import accounts, adl, auction, bands, bankruptcy, bust, exchange, fund, liquidation, stops
from specs.model.exchange import Exchange
from specs.model.funding import Funding
from specs.rules import Venue
from specs.tape import Action, Chart, EventKind, Flow, MarketState, OutcomeKind, Permit, Reason, Seam, SeamKind, Side, Status
from tests.test_laws import FUNDED, TRADED, apart_venue, breaches
from tests.twins import START_NS, rows_of, seam_row, small_venue, stages, tape

_auto_add, _queue, _state_permit, _emit = accounts.auto_add, adl.queue, Exchange.state_permit, Exchange.emit
_clearing, _meet, _fill_at = Exchange.clearing, Exchange._meet, Exchange._fill_at
_flow, _post_bust, _give_back = Exchange.flow, bust.post_bust, bust._give_back
_judge, _limits, _resume_at = bands.judge, bands.limits, Exchange.resume_at
_cascade, _fire, _order, _trigger_price, _amend = (
    Exchange._cascade,
    Exchange._fire,
    Exchange._order,
    Exchange.trigger_price,
    Exchange.amend_waiting,
)
_cancel_order, _cancel_all = Exchange.cancel_order, Exchange._cancel_all


# ---- the bugs


def _nothing(*args, **kwargs):
    return None


def _counts_whoever_is_there(exchange, account, market, lots, share):
    """Accounts in liquidation are deleveraged too."""
    status = {number: other.status for number, other in exchange.ledger.accounts.items()}
    for other in exchange.ledger.accounts.values():
        other.status = Status.NORMAL
    try:
        return _queue(exchange, account, market, lots, share)
    finally:
        for number, other in exchange.ledger.accounts.items():
            other.status = status[number]


def _all_that_is_held(exchange, other, market, lots, share):
    return abs(other.qty[market])


def _last_first(exchange, account, market, lots, share):
    return _queue(exchange, account, market, lots, share)[::-1]


def _first_only(exchange, account, market, lots, share):
    return _queue(exchange, account, market, lots, share)[:1]


def _unasked(exchange, account, e):
    asked, account.auto_add = account.auto_add, account.parent is not None
    added = _auto_add(exchange, account, e)
    account.auto_add = asked
    return added


def _one_unit_more(exchange, account, e):
    added = _auto_add(exchange, account, e)
    if added:
        exchange.flow(Flow.AUTO_ADD, account.parent, account.number, exchange.numeraire, 1)
    return added


def _all_it_has(exchange, account, e):
    """Take what is needed even if the parent needs it for its own positions."""
    parent = exchange.ledger.accounts.get(account.parent)
    if parent is None or not account.auto_add:
        return False
    exchange.flow(Flow.AUTO_ADD, parent.number, account.number, exchange.numeraire, exchange.wallet(parent, exchange.numeraire))
    return True


def _without_flow(kind):
    def flow(self, said, source, target, asset, money):
        if said != kind:
            _flow(self, said, source, target, asset, money)

    return flow


def _all_of_the_fund(exchange):
    return exchange.ledger.accounts[Chart.FUND].balance[exchange.numeraire]


def _twice_the_fee(self, kind, source, target, asset, money):
    _flow(self, kind, source, target, asset, money * (2 if kind == Flow.FEE_RETURNED else 1))


def _again_and_again(exchange, e):
    for fill in exchange.kept:
        fill.busted = False
    return _post_bust(exchange, e)


def _without_taker_fee(exchange, fill):
    fee, fill.fee = fill.fee, 0
    _give_back(exchange, fill)
    fill.fee = fee


def _no_trim_after_a_bust(exchange, e):
    with mock.patch.object(Exchange, "trim", _nothing):
        return _post_bust(exchange, e)


def _only_counted(exchange, *fill):
    exchange.fills += 1


def _busting(post):
    return Exchange._POST | {EventKind.BUST: post}


def _unknown(exchange, e):
    return Reason.UNKNOWN_FILL


def _accepts(exchange, order):
    return Reason.NONE


def _refuses(exchange, order):
    return Reason.PRICE_BAND


def _as_it_is(exchange, market, side, limit):
    return limit


def _never_clips(exchange, order):
    reason, order.clipped = _judge(exchange, order), False
    return reason


def _one_tick_less(exchange, market):
    inside = _limits(exchange, market)
    return range(inside.start + 5, inside.stop - 5)


def _ends_halted(self, market):
    self.set_state(market, MarketState.HALTED, Reason.PAUSE_ENDED)


def _a_second_late(self, market, time_ns):
    _resume_at(self, market, time_ns + 10**9)


def _silent(kind):
    def emit(self, said, **fields):
        if said != kind:
            _emit(self, said, **fields)

    return emit


def _cash_only(exchange):
    return exchange.ledger.accounts[1].balance[exchange.numeraire]


def _one_tick_more(self, market):
    cleared = _clearing(self, market)
    return cleared and cleared._replace(price=cleared.price + self.venue.markets[market].tick_size)


def _shown_lots_only(self, market):
    """An auction is priced as if no order hid lots."""
    hidden = {order_id: order.hidden for order_id, order in self.orders.items()}
    for order in self.orders.values():
        order.hidden = 0
    cleared = _clearing(self, market)
    for order_id, order in self.orders.items():
        order.hidden = hidden[order_id]
    return cleared


def _first_price_only(self, market):
    """What is taken away in an auction is not followed by another price."""
    already = getattr(self, "priced", False)
    self.priced = True
    return None if already else _clearing(self, market)


def _youngest_first(self, buy, sell, cleared):
    *_, youngest = next(self.books[buy.market].queue(Side.BUY, buy.price))
    _meet(self, youngest, sell, cleared)


def _at_the_sellers_price(self, buy, sell, lots, price):
    _fill_at(self, buy, sell, lots, sell.price)


def _whole_orders(self, buy, sell, cleared):
    """The smaller order of two goes instead of trading."""
    self.cancel_order(min(buy, sell, key=lambda order: order.qty), Reason.UNFUNDED)


def _seller_pays_as_taker(self, kind, source, target, asset, money):
    _flow(self, kind, source, target, asset, 5 * money if kind == Flow.FEE else money)


def _fires_last(self):
    self.fire_stop = lambda: False
    _cascade(self)
    del self.fire_stop
    _cascade(self)


def _latest_first(self):
    due = [order for order in self.waiting.values() if self._due(order)]
    if due:
        self._fire(due[-1])
    return bool(due)


def _unprotected(self, order):
    order.waits.protect = False
    _fire(self, order)


def _too_careful(self, order):
    self.cancel_order(order, Reason.TRIGGER_PROTECTED)


def _is_lost(self, order):
    self._forget(order)
    self.emit(
        OutcomeKind.TRIGGERED,
        account=order.account,
        ref_id=order.order_id,
        side=order.side,
        price=self.trigger_price(0, order.waits.by),
        qty=order.qty,
    )


def _tells_its_own_price(self, kind, *, price=0, **fields):
    _emit(self, kind, price=price + (kind == OutcomeKind.TRIGGERED), **fields)


def _rounds_down(self, side, price):
    if self.kind != EventKind.TRAILING or self.best is not None:
        return
    self.best, away = price, price * self.distance // 1_000_000
    self.price = price + away if side == Side.BUY else price - away


def _loses_its_place(self, order, e):
    order.waits.sequence = self.event
    return _amend(self, order, e)


def _one_lot_less(self, order, close_only=False, before=None):
    if order.reduce_only and order.qty > 1:
        order.show(order.qty - 1)
    return _order(self, order, close_only, before)


def _for_somebody_else(self, order, close_only=False, before=None):
    order.account = 17
    return _order(self, order, close_only, before)


def _spares_what_waits(self, order, reason, stage=None):
    if not order.waits:
        _cancel_order(self, order, reason, stage)


# ---- the tapes

AUCTION = (
    FUNDED
    + """
    0    account 18                     |
    0    deposit 18 USDT 120            |
    1    state COINUSDT auction         |
"""
)
SUB = """
    0    source coin 100                |
    0    source usd 1                   |
    0    account 16                     |
    0    account 17                     |
    0    account 18 owner 16 parent 16  |
    0    deposit 16 USDT 200            |
    0    deposit 17 USDT 400            |
    0    transfer 16 18 USDT 60         |
"""
SUB_LONG = (
    SUB
    + """
    1    buy 18 COINUSDT 8 @100 #1      |
    1    sell 17 COINUSDT 8 @100 #2     |
"""
)
HEDGED = """
    0    source coin 100                |
    0    source dirt 100                |
    0    source usd 1                   |
    0    account 16                     |
    0    account 17                     |
    0    account 18                     |
    0    deposit 16 USDT 75             |
    0    deposit 17 USDT 120            |
    0    deposit 18 USDT 900            |
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
    1    buy 17 DIRTUSDT 10 @100 #3     |
    1    sell 18 DIRTUSDT 10 @100 #4    |
"""
HALT = {
    "states": {"halted": {"open": "refuse", "cancel": "refuse", "withdraw": "refuse", "liquidate": "defer", "funding": "refuse"}}
}
INSURANCE = {"bound": {"kind": "mark", "ppm": 100_000}, "insurance": {"max_fee_ppm": 15_000}, "quantity": "all"}
INSURED = (
    TRADED
    + """
    1    account 18                     |
    1    deposit 18 USDT 5000           |
    1    buy 18 COINUSDT 16 @{bid} #5   |
    2    source coin 94                 | L9
"""
)
ADL = {"liquidation": {"stages": stages("takeover", adl={})}}
WAITS = FUNDED + "1 stop sell 16 COINUSDT 1 @90 #1 at=99 by=mark |\n"
LAST = """
    1    buy 16 COINUSDT 3 @100 #11     |
    1    sell 17 COINUSDT 3 @100 #12    |
"""
FEES = {"taker_ppm": 1_000, "maker_ppm": 500}
KEEPING = small_venue(limits={"fills_kept": 9}, market={"fees": FEES})
FILLED = (
    FUNDED
    + """
    1    buy 16 COINUSDT 10 @100 #1     |
    1    sell 17 COINUSDT 10 @100 #2    |
"""
)
FIVE = {"kind": "percent", "up_ppm": 50_000, "down_ppm": 50_000}
TEN = {"ppm": 50_000, "pause_ns": 10**10}
BEYOND = (
    FUNDED
    + """
    1    sell 17 COINUSDT 1 @105 #1     |
    1    sell 17 COINUSDT 1 @105.05 #2  |
"""
)


def banded(**fields) -> Venue:
    return small_venue(market={"band": FIVE | fields})


def paused(**fields) -> Venue:
    return small_venue(market={"limit_up_down": TEN | fields})


@dataclass(frozen=True)
class Clause:
    """A bug, the tape on which it acts, and the law it breaks at the row that carries the law's name."""

    law: str
    story: str
    where: object
    name: str
    bug: object
    table: str
    venue: Venue = field(default_factory=small_venue)

    def __str__(self) -> str:
        return f"{self.law} {self.story}"


CLAUSES = [
    Clause(
        "L11",
        "strangers are deleveraged while the owner has an opposite position",
        adl,
        "_net_own_legs",
        _nothing,
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    account 18 owner 16            |
        0    account 19                     |
        0    deposit 16 USDT 75             |
        0    deposit 17 USDT 400            |
        0    deposit 18 USDT 400            |
        0    deposit 19 USDT 400            |
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    |
        1    buy 19 COINUSDT 10 @100 #3     |
        1    sell 18 COINUSDT 10 @100 #4    |
        2    source coin 94                 | L11
        """,
        small_venue(**ADL),
    ),
    Clause(
        "L11",
        "17 is in liquidation for its DIRT, and is deleveraged of its COIN",
        adl,
        "queue",
        _counts_whoever_is_there,
        HEDGED
        + """
        2    source dirt 80 & 1             |
        2    source coin 93                 | L11
        """,
        apart_venue(),
    ),
    Clause(
        "L11",
        "17 bears 125 of debt and has 60",
        adl,
        "capacity",
        _all_that_is_held,
        HEDGED
        + """
        2    source dirt 74 & 1             |
        2    source coin 80                 | L11
        """,
        apart_venue(),
    ),
    Clause(
        "L11",
        "the lowest score goes first",
        adl,
        "queue",
        _last_first,
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    account 18                     |
        0    account 19                     |
        0    deposit 16 USDT 75             |
        0    deposit 17 USDT 60             |
        0    deposit 18 USDT 240            |
        0    deposit 19 USDT 900            |
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 10 @100 #2    |
        1    buy 19 COINUSDT 10 @100 #3     |
        1    sell 18 COINUSDT 10 @100 #4    |
        2    source coin 94                 | L11
        """,
        small_venue(**ADL),
    ),
    Clause(
        "L11",
        "the queue ends after one, lots are left and 18 could bear them",
        adl,
        "queue",
        _first_only,
        """
        0    source coin 100                |
        0    source usd 1                   |
        0    account 16                     |
        0    account 17                     |
        0    account 18                     |
        0    deposit 16 USDT 75             |
        0    deposit 17 USDT 60             |
        0    deposit 18 USDT 240            |
        1    buy 16 COINUSDT 10 @100 #1     |
        1    sell 17 COINUSDT 5 @100 #2     |
        1    sell 18 COINUSDT 5 @100 #3     |
        2    source coin 94                 | L11
        """,
        small_venue(**ADL),
    ),
    Clause(
        "L10",
        "the fund is full enough to keep everybody from being deleveraged",
        adl,
        "_entered",
        lambda exchange, market, row: True,
        TRADED + "2 source coin 94 | L10",
        small_venue(liquidation={"stages": stages("takeover", adl={"fund_max": 10})}, fund={"capital": 20}),
    ),
    Clause(
        "L10",
        "after a takeover the backstop has lost more than the fund has, and takes over again",
        fund,
        "measure",
        _cash_only,
        FUNDED
        + """
        0    account 18                     |
        0    account 19                     |
        0    deposit 18 USDT 240            |
        0    deposit 19 USDT 900            |
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        1    buy 18 COINUSDT 18 @100 #3     |
        1    sell 19 COINUSDT 18 @100 #4    |
        2    source coin 94                 |
        3    source coin 86                 | L10
        """,
        small_venue(liquidation={"stages": stages(takeover={"fund_min": 10})}, fund={"capital": 20, "measure": "net"}),
    ),
    Clause(
        "L9",
        "a fund with a floor of 95 pays 40 of 100",
        fund,
        "available",
        _all_of_the_fund,
        TRADED + "2 source coin 90 | L9",
        small_venue(fund={"capital": 100, "floor": 95}),
    ),
    Clause(
        "L9",
        "a fund that may pay 5 in an event pays 40",
        fund,
        "available",
        _all_of_the_fund,
        TRADED + "2 source coin 90 | L9",
        small_venue(fund={"capital": 100, "event_max": 5}),
    ),
    Clause(
        "L9",
        "a slice brings 16 less than its bankruptcy value, and nobody pays",
        fund,
        "settle_slice",
        _nothing,
        INSURED.format(bid="91.5"),
        small_venue(liquidation={"stages": stages("takeover", book=INSURANCE)}, fund={"capital": 100}),
    ),
    Clause(
        "L9",
        "a slice brings 24 more than its bankruptcy value, and the fund gets nothing of it",
        fund,
        "settle_slice",
        _nothing,
        INSURED.format(bid="94"),
        small_venue(liquidation={"stages": stages("takeover", book=INSURANCE)}, fund={"capital": 100}),
    ),
    Clause(
        "L10",
        "the backstop takes over at the mark without its fee",
        liquidation,
        "takeover_cash",
        lambda exchange, account, market, row: account.qty[market] * exchange.value[market],
        TRADED + "2 source coin 94 | L10",
        small_venue(liquidation={"stages": stages(takeover={"price": "mark", "fee_ppm": 10_000})}),
    ),
    Clause(
        "L10",
        "the account is left what it owes beyond the mark",
        liquidation,
        "takeover_cash",
        lambda exchange, account, market, row: account.qty[market] * exchange.value[market],
        TRADED + "2 source coin 90 | L10",
        small_venue(liquidation={"stages": stages(takeover={"price": "bankruptcy_value"})}),
    ),
    Clause(
        "L23",
        "the surplus of a takeover stays with the account",
        Exchange,
        "flow",
        _without_flow(Flow.TAKEOVER_SURPLUS),
        TRADED + "2 source coin 94 | L23",
        small_venue(liquidation={"stages": stages(takeover={"surplus": "fund"})}),
    ),
    Clause(
        "L10",
        "the backstop takes over at the mark and leaves the margin to the account",
        bankruptcy,
        "share",
        lambda exchange, account, need, maintenance, debts=False: 0,
        TRADED + "2 source coin 93 | L10",
    ),
    Clause(
        "L6",
        "16 gives away the margin of its own position",
        Exchange,
        "may_give",
        lambda self, account, asset, amount: Reason.NONE,
        SUB
        + """
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        2    transfer 16 18 USDT 100        | L6
        """,
    ),
    Clause(
        "L6",
        "a position moves to a sub-account without margin for it",
        Exchange,
        "has_margin",
        lambda self, account: True,
        SUB
        + """
        1    buy 16 COINUSDT 16 @100 #1     |
        1    sell 17 COINUSDT 16 @100 #2    |
        2    mode 16 18 COINUSDT 5          | L6
        """,
    ),
    Clause(
        "L6",
        "auto-add takes what the parent needs for its own position",
        accounts,
        "auto_add",
        _all_it_has,
        SUB_LONG
        + """
        1    buy 16 COINUSDT 8 @100 #3      |
        1    sell 17 COINUSDT 8 @100 #4     |
        2    autoadd 18 on                  |
        3    source coin 94                 | L6
        """,
    ),
    Clause(
        "L23",
        "a parent adds margin that nobody asked for",
        accounts,
        "auto_add",
        _unasked,
        SUB_LONG + "3 source coin 94 | L23",
    ),
    Clause(
        "L23",
        "a parent adds one unit more than is needed",
        accounts,
        "auto_add",
        _one_unit_more,
        SUB_LONG
        + """
        2    autoadd 18 on                  |
        3    source coin 94                 | L23
        """,
    ),
    Clause(
        "L15",
        "a transfer without an answer",
        Exchange,
        "emit",
        _silent(OutcomeKind.FLOW),
        SUB.replace("0    transfer 16 18 USDT 60         |", "").replace(
            "deposit 16 USDT 200            |", "deposit 16 USDT 200 | L15"
        ),
    ),
    Clause("L15", "a state without an answer", Exchange, "emit", _silent(OutcomeKind.STATE_SET), "0 state COINUSDT halted | L15"),
    *(
        Clause(
            "L21", story, Exchange, "state_permit", lambda self, market, action: Permit.ALLOW, TRADED + rows, small_venue(**HALT)
        )
        for story, rows in {
            "an account is liquidated in a halted market": "2 state COINUSDT halted |\n 3 source coin 93 | L21",
            "an order is taken in a halted market": "2 state COINUSDT halted |\n 3 buy 16 COINUSDT 1 @99 #3 | L21",
            "an order is cancelled in a halted market": """
                2    buy 16 COINUSDT 1 @99 #3       |
                2    state COINUSDT halted          |
                3    cancel 16 #3                   | L21
            """,
            "who holds a position in a halted market withdraws": "2 state COINUSDT halted |\n 3 withdraw 16 USDT 5 | L21",
        }.items()
    ),
    *(
        Clause("L23", story, where, name, bug, FILLED + rows, KEEPING)
        for story, where, name, bug, rows in (
            ("a busted maker's fee is kept", Exchange, "flow", _without_flow(Flow.FEE_RETURNED), "2 bust 0 | L23"),
            ("a busted maker's fee comes back twice", Exchange, "flow", _twice_the_fee, "2 bust 0 | L23"),
            ("a fill is busted again", Exchange, "_POST", _busting(_again_and_again), "2 bust 0 |\n 3 bust 0 | L23"),
            ("a fill that is kept is unknown", Exchange, "_POST", _busting(_unknown), "2 bust 0 | L23"),
        )
    ),
    Clause("L23", "a fill is not kept", bust, "keep", _only_counted, FILLED.replace("#2    |", "#2 | L23"), KEEPING),
    Clause("L12", "a busted fill keeps its lots", bust, "_give_back", _nothing, FILLED + "2 bust 0 | L12", KEEPING),
    Clause("L2", "a busted taker's fee is kept", bust, "_give_back", _without_taker_fee, FILLED + "2 bust 0 | L2", KEEPING),
    Clause(
        "L22",
        "an order to close what a bust has taken away",
        Exchange,
        "_POST",
        _busting(_no_trim_after_a_bust),
        FILLED + "2 sell 16 COINUSDT 10 @105 reduce #3 |\n 3 bust 0 | L22",
        KEEPING,
    ),
    *(
        Clause("L27", story, bands, name, bug, rows, venue)
        for story, name, bug, rows, venue in (
            ("a bid beyond its band", "judge", _accepts, FUNDED + "1 buy 16 COINUSDT 1 @105.05 #1 | L27", banded()),
            ("a bid inside its band is refused", "judge", _refuses, FUNDED + "1 buy 16 COINUSDT 1 @105 #1 | L27", banded()),
            ("a clipped bid stands", "judge", _never_clips, FUNDED + "1 buy 16 COINUSDT 1 @106 #1 | L27", banded(policy="clip")),
            ("a MARKET order goes beyond", "narrow", _as_it_is, BEYOND + "2 buy 16 COINUSDT 2 market #3 | L27", banded()),
            ("a pause at the limit itself", "limits", _one_tick_less, BEYOND + "2 buy 16 COINUSDT 1 @105 #3 | L27", paused()),
        )
    ),
    Clause(
        "L27",
        "a slice of the liquidation goes beyond the band that binds it",
        bankruptcy,
        "in_band",
        _as_it_is,
        TRADED
        + """
        1    account 18                     |
        1    deposit 18 USDT 500            |
        1    buy 18 COINUSDT 16 @93.05 #3   |
        2    source coin 94                 | L27
        """,
        banded(down_ppm=10_000, liquidation=True),
    ),
    *(
        Clause("L27", story, Exchange, name, bug, BEYOND + "2 buy 16 COINUSDT 2 @106 #3 | " + rows, paused())
        for story, name, bug, rows in (
            ("no pause although one is due", "pause", _nothing, "L27"),
            ("a pause lasts a second more", "resume_at", _a_second_late, "L27"),
            ("a pause ends in another state", "resume", _ends_halted, "\n 12 clock | L27"),
            ("a STATE event leaves the timer of the pause", "resume_never", _nothing, "\n 3 state COINUSDT open | L27"),
        )
    ),
    Clause(
        "L17",
        "the rate is beyond its cap",
        Funding,
        "_rate",
        lambda self: self.row.interest_ppb,
        TRADED + "30 clock | L17",
        small_venue(market={"funding": {"every_ns": 60 * 10**9, "interest_ppb": 5_000, "damp_ppb": 10_000, "cap_ppb": 4_000}}),
    ),
    Clause(
        "L17",
        "a premium is sampled at a price that is not there",
        exchange.Funding,
        "sample",
        lambda self, exchange: (setattr(self, "premium", self.premium + 1), setattr(self, "samples", self.samples + 1)),
        TRADED + "30 clock |\n 31 source coin missing | L17",
        small_venue(
            market={"funding": {"every_ns": 60 * 10**9, "damp_ppb": 10_000}},
            indices=[
                {
                    "name": name,
                    "price_decimals": 2,
                    "recipe": {"kind": "source", "name": name.lower()},
                    "publish": {"kind": "interval", "every_ns": 31 * 10**9},
                }
                for name in ("COIN", "USD")
            ],
        ),  # fmt: skip
    ),
    Clause(
        "L28",
        "an auction trades a tick above the best price",
        Exchange,
        "clearing",
        _one_tick_more,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @98 #2      |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "of the prices that trade most an auction takes one that leaves 5 lots, where another leaves none",
        auction,
        "_leaving_least",
        list,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @96 #2      |
        1    sell 18 COINUSDT 5 @99 #3      |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "the mark is 100, and an auction takes the highest of the prices that do",
        Exchange,
        "reference",
        lambda self, market: None,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @96 #2      |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "hidden lots do not count for the price",
        Exchange,
        "clearing",
        _shown_lots_only,
        AUCTION
        + """
        1    buy 16 COINUSDT 6 @104 #1      |
        1    raw kind=6 account=17 side=2 tif=1 qty=6 price=9600 ref_id=2 amount_lo=2 |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "17 closes 4 lots twice; when the second order is cut, 18's bid and 16's offer are left crossed",
        Exchange,
        "clearing",
        _first_price_only,
        FUNDED
        + """
        0    account 18                     |
        0    deposit 18 USDT 500            |
        1    buy 17 COINUSDT 4 @100 #1      |
        1    sell 16 COINUSDT 4 @100 #2     |
        1    state COINUSDT auction         |
        1    sell 17 COINUSDT 4 @95 reduce #3 |
        1    sell 17 COINUSDT 4 @96 reduce #4 |
        1    buy 18 COINUSDT 6 @105 #5      |
        1    buy 18 COINUSDT 3 @97 #6       |
        1    sell 16 COINUSDT 2 @101 #7     |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "orders that could trade are cancelled",
        Exchange,
        "_meet",
        _whole_orders,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 5 @96 #2      |
        2    state COINUSDT open            | L28
        """,
        small_venue(market={"fees": {"maker_ppm": 100}}),
    ),
    Clause(
        "L28",
        "each fill of an auction is at the seller's own price",
        Exchange,
        "_fill_at",
        _at_the_sellers_price,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @96 #2      |
        2    state COINUSDT open            | L28
        """,
    ),
    Clause(
        "L28",
        "a market leaves its auction as if nothing had been collected",
        Exchange,
        "uncross",
        _nothing,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @96 #2      |
        2    state COINUSDT halted          | L28
        """,
    ),
    Clause(
        "L4",
        "of two bids at a price an auction takes the younger first",
        Exchange,
        "_meet",
        _youngest_first,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    buy 18 COINUSDT 4 @104 #2      |
        1    sell 17 COINUSDT 4 @96 #3      |
        2    state COINUSDT open            | L4
        """,
    ),
    Clause(
        "L15",
        "an auction opens 6 lots where 5 may be open",
        Exchange,
        "_admitted",
        lambda self, buyer, seller, market: 10**9,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    buy 18 COINUSDT 2 @104 #2      |
        1    sell 17 COINUSDT 5 @96 #3      |
        1    sell 17 COINUSDT 1 @96 #4      |
        2    state COINUSDT open            | L15
        """,
        small_venue(market={"limits": {"open_interest_max": 5}}),
    ),
    Clause(
        "L28",
        "an order makes way for the limit of the open interest while lots of it could close",
        Exchange,
        "_admitted",
        lambda self, buyer, seller, market: 0,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 5 @96 #2      |
        2    state COINUSDT open            | L28
        """,
        small_venue(market={"limits": {"open_interest_max": 5}}),
    ),
    Clause(
        "L23",
        "a seller in an auction pays as a taker does",
        Exchange,
        "flow",
        _seller_pays_as_taker,
        AUCTION
        + """
        1    buy 16 COINUSDT 4 @104 #1      |
        1    sell 17 COINUSDT 4 @96 #2      |
        2    state COINUSDT open            | L23
        """,
        small_venue(market={"fees": {"maker_ppm": 100, "taker_ppm": 500}}),
    ),
]


CLAUSES += [
    Clause("L26", "it fires before its time", Exchange, "_due", lambda self, order: True, WAITS.replace("mark |", "mark | L26")),
    Clause("L26", "it does not fire", Exchange, "fire_stop", lambda self: False, WAITS + "2 source coin 99 | L26"),
    Clause(
        "L26",
        "the latest fires first",
        Exchange,
        "fire_stop",
        _latest_first,
        WAITS + "1 stop sell 17 COINUSDT 1 @90 #2 at=99 by=mark |\n 2 source coin 98 | L26",
    ),
    Clause(
        "L26",
        "who waits is asked after everybody was liquidated",
        Exchange,
        "_cascade",
        _fires_last,
        TRADED + "1 stop sell 17 COINUSDT 1 @90 #3 at=93 by=mark |\n 2 source coin 93 | L26",
    ),
    Clause(
        "L26",
        "PROTECT is not looked at",
        Exchange,
        "_fire",
        _unprotected,
        FUNDED
        + LAST
        + """
        2    stop buy 16 COINUSDT 1 @90 #1 at=120 by=last protect |
        2    buy 16 COINUSDT 1 @120 #2      |
        2    sell 17 COINUSDT 1 @120 #3     | L26
        """,
    ),
    Clause("L26", "PROTECT stops who did not ask for it", Exchange, "_fire", _too_careful, WAITS + "2 source coin 99 | L26"),
    Clause(
        "L26",
        "it fires in a halted market",
        Exchange,
        "trigger_permit",
        lambda self, market, by: Permit.ALLOW,
        WAITS + "2 state COINUSDT halted |\n 3 source coin 99 | L26",
    ),
    Clause(
        "L21",
        "it fires at a mark without a source",
        Exchange,
        "trigger_permit",
        lambda self, market, by: self.state_permit(market, Action.TRIGGER),
        WAITS
        + """
        2    state COINUSDT halted          |
        3    source coin 99                 |
        4    source coin missing            |
        5    state COINUSDT open            | L21
        """,
    ),
    Clause("L26", "it is triggered and lost", Exchange, "_fire", _is_lost, WAITS + "2 source coin 99 | L26"),
    Clause("L26", "another price is told", Exchange, "emit", _tells_its_own_price, WAITS + "2 source coin 98 | L26"),
    Clause(
        "L26",
        "it waits for a price that is there",
        Exchange,
        "reached",
        staticmethod(lambda trigger, side, price: False),
        FUNDED + "1 stop sell 16 COINUSDT 1 @90 #1 at=100 by=mark | L26",
    ),
    Clause(
        "L26",
        "it waits for a price that never was",
        Exchange,
        "trigger_price",
        lambda self, market, by: _trigger_price(self, market, by) or 10_000,
        FUNDED + "1 stop sell 16 COINUSDT 1 @90 #1 at=99 by=last | L26",
    ),
    Clause(
        "L26",
        "its distance is rounded to its disadvantage",
        stops.Trigger,
        "follow",
        _rounds_down,
        FUNDED + "1 source coin 100.03 |\n 1 trail sell 16 COINUSDT 1 @90 #1 ppm=10001 by=mark | L26",
    ),
    Clause(
        "L26",
        "it does not follow",
        stops.Trigger,
        "follow",
        _rounds_down,
        FUNDED + "1 trail sell 16 COINUSDT 1 @90 #1 ppm=10000 by=mark |\n 2 source coin 103 | L26",
    ),
    Clause(
        "L26",
        "it does not follow a trade within a batch",
        Exchange,
        "follow_last",
        _nothing,
        FUNDED
        + LAST
        + """
        2    trail sell 16 COINUSDT 1 @90 #1 away=5 by=last |
        3    buy 16 COINUSDT 1 @103 #2 & 3  |
        3    sell 17 COINUSDT 1 @103 #3 & 2 | L26
        3    buy 16 COINUSDT 1 @101 #4 & 1  |
        3    sell 17 COINUSDT 1 @101 #5     |
        """,
    ),
    Clause(
        "L26",
        "amended it loses its place",
        Exchange,
        "amend_waiting",
        _loses_its_place,
        WAITS + "2 amend 16 #1 2 | L26",
    ),
    Clause(
        "L15",
        "it waits and nobody says so",
        Exchange,
        "emit",
        _silent(OutcomeKind.WAITING),
        WAITS.replace("by=mark |", "by=mark | L15"),
    ),
    Clause(
        "L15",
        "what waits is not counted",
        Exchange,
        "_counts",
        lambda self, account, before: Reason.NONE,
        WAITS + "1 stop sell 16 COINUSDT 1 @90 #2 at=98 by=mark | L15",
        small_venue(limits={"orders_per_account_max": 1}),
    ),
    Clause(
        "L15",
        "a mass cancel leaves what waits",
        Exchange,
        "cancel_order",
        _spares_what_waits,
        WAITS + "1 buy 16 COINUSDT 1 @90 #2 |\n 2 disconnect 16 | L15",
    ),
    Clause(
        "L11",
        "who is deleveraged keeps an order that waits",
        Exchange,
        "cancel_order",
        _spares_what_waits,
        TRADED + "1 stop buy 17 COINUSDT 1 @120 #3 at=120 by=mark |\n 2 source coin 94 | L11",
        small_venue(**ADL),
    ),
    Clause(
        "L21",
        "an order waits in a halted market",
        Exchange,
        "state_permit",
        lambda self, market, action: Permit.ALLOW,
        FUNDED + "1 state COINUSDT halted |\n 2 stop sell 16 COINUSDT 1 @90 #1 at=99 by=mark | L21",
        small_venue(**HALT),
    ),
    Clause(
        "L24",
        "a fired reduce-only order is for less than it can close",
        Exchange,
        "_order",
        _one_lot_less,
        FUNDED + LAST + "1 stop sell 16 COINUSDT 5 @90 reduce #1 at=99 by=mark |\n 2 source coin 99 | L24",
    ),
    Clause("L24", "it fires in the name of 17", Exchange, "_order", _for_somebody_else, WAITS + "2 source coin 99 | L24"),
]


def _row(clause: Clause) -> int:
    (number,) = (n for n, (_, marks) in enumerate(rows_of(clause.table)) if marks == clause.law)
    return number


@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_a_bug_in_a_clause_breaks_its_law(clause: Clause):
    events = tape(clause.venue, clause.table)
    with mock.patch.object(clause.where, clause.name, clause.bug):
        found = breaches("model", 0, clause.venue, events)
    assert _row(clause) in {broken.event for broken in found if broken.law == clause.law}, [str(broken) for broken in found]
    assert min(broken.event for broken in found) == _row(clause)


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("clause", CLAUSES, ids=str)
def test_without_it_no_law_is_broken(clause: Clause, which):
    assert breaches(which, 0, clause.venue, tape(clause.venue, clause.table)) == []


# ---- what a seam lifts, and no more


RANKED = next(clause for clause in CLAUSES if clause.story == "the lowest score goes first")
LIFTED = {
    "another rank": ("L11", (Seam.ADL_RANK, 18, SeamKind.CONST, 10**12), RANKED.venue, RANKED.table),
    "deleveraged though the fund has enough": (
        "L10",
        (Seam.ADL_TRIGGER, 0, SeamKind.FORCE_TRUE, 0),
        small_venue(liquidation={"stages": stages("takeover", adl={"fund_max": 10})}, fund={"capital": 20}),
        TRADED + "2 source coin 94 |",
    ),
    "not deleveraged though it may": ("L10", (Seam.ADL_TRIGGER, 0, SeamKind.FORCE_FALSE, 0), RANKED.venue, RANKED.table),
    "taken over beyond the cap": (
        "L10",
        (Seam.TAKEOVER_ACCEPT, 0, SeamKind.FORCE_TRUE, 0),
        small_venue(liquidation={"stages": stages(takeover={"notional_max": 0})}),
        TRADED + "2 source coin 93 |",
    ),
    "not taken over though it may": (
        "L10",
        (Seam.TAKEOVER_ACCEPT, 0, SeamKind.FORCE_FALSE, 0),
        small_venue(),
        TRADED + "2 source coin 93 |",
    ),
    "another rate": (
        "L17",
        (Seam.FUNDING_RATE, 0, SeamKind.CONST, 9_999),
        small_venue(market={"funding": {"every_ns": 60 * 10**9, "cap_ppb": 4_000}}),
        TRADED + "30 clock |",
    ),
    "no rate": (
        "L17",
        (Seam.FUNDING_RATE, 0, SeamKind.MISSING, 0),
        small_venue(market={"funding": {"every_ns": 60 * 10**9, "cap_ppb": 4_000}}),
        TRADED + "30 clock |",
    ),
}


@pytest.mark.parametrize("which", ["model", "engine"])
@pytest.mark.parametrize("name", LIFTED)
def test_a_seam_lifts_the_clause_it_speaks_of(name, which):
    law, (seam, key, kind, argument), venue, table = LIFTED[name]
    rows, events = [seam_row(seam, key, 1, 99, kind, argument)], tape(venue, table)
    assert breaches(which, 0, venue, events, rows) == []
    exchange = start(which, venue, START_NS, rows)
    exchange.run(events[:-1])
    before, outcomes = exchange.state(), exchange.apply(events[-1])
    found = laws.breaches(venue, before, events[-1].tobytes(), outcomes, exchange.state())
    assert {broken.law for broken in found} == {law}


def test_another_rank_lifts_the_order_of_the_queue_and_nothing_else():
    """With ADL_RANK armed a counterparty that cannot bear the debt is still one too many."""
    clause = next(clause for clause in CLAUSES if clause.name == "capacity")
    rows = [seam_row(Seam.ADL_RANK, 18, 1, 99, SeamKind.CONST, 5)]
    with mock.patch.object(clause.where, clause.name, clause.bug):
        assert {broken.law for broken in breaches("model", 0, clause.venue, tape(clause.venue, clause.table), rows)} == {"L11"}
