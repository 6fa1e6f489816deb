"""Synthetic accounts around an incident's price paths: seeded, integer only, the same bytes on every machine.

Nothing here is observed. The real accounts are not public; these are spread widely so that some stand near maintenance at every
moment of the fall, and the same draws serve every seed, variant and index rule.

Accounts come in pairs that trade with each other only: the first sells or buys GTC at a price P, the second takes exactly that
order. P is the index in force, one publication behind the source, which lies inside every quoter's spread (checked), so that
nobody else's quote is met. Pair p holds the accounts accounts_from + 2p and + 2p + 1, each its own owner; what the two do at one
time is one batch, and Tape.thin keeps whole pairs.

    pairs      early, 3/8          enter 21:00:02-21:09:59, one long, one short
               loss carriers, 3/8  enter then too; the long is mostly margined in the collateral asset and, in the three minutes
                                   after the low, sells 12/16 to 15/16 of its position to its partner: it keeps a debt in the
                                   settlement asset against its collateral, whose price then decides what becomes of it
               late, 2/8           enter 21:21:05-21:33:59, after the low; what hurts them is the rise (shorts)
    position   10 to 8,000 lots, log-uniform: about 1,100 to 920,000 USDT
    leverage   of {2, 3, 5, 8, 10, 15, 20, 25, 50, 75}, each as likely, never above the bracket's cap
    margin     1.05 to 3 times what the gate asks (initial margin and taker fee), log-uniform
               carriers' longs: leverage 10, margin 12.2 % to 20 % of the notional, log-uniform: the collateral price at which
               those that survive the fall become liquidatable is then about log-uniform too, from 0.5 to 0.9
    held in    3/16 the collateral asset alone, 2/16 half in it, 2/16 a sixteenth in it, 9/16 the settlement asset alone
               carriers' longs: 2/4 the collateral asset alone, 1/4 three quarters in it, 1/4 the settlement asset (the control)

Where the incident names more than one collateral asset the pairs take them in turn. The collateral is counted after its haircut
at the lowest price that the source of its worth had, in any variant, up to the entry: the gate then admits every entry under
every index rule. A carrier that was closed before it could sell has that order refused. No
position reaches a bracket whose maintenance rate exceeds the liquidation fee: closing a part never restores an account, all are
closed whole.

Before the accounts, at the tape's first instant, the quoters of the rule book are opened and funded, in a spot market with what
it trades too; the ladders of the incident are opened, funded and placed at their own instants. From then on each second has
a CLOCK and one SOURCE event a source, as one batch; after the last minute there is one instant more, the make-whole instant,
behind a gap. What the sources say there stands on the tape but is not published: no index is, after the last event.
"""

from __future__ import annotations

import random

import numpy as np

from specs import rules, units
from specs.errors import SpecError
from specs.incident import Incident, Ladder, Paths, Variant
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Leg, Meta, Series, Side, Tape, Tif, money_split

ACCOUNTS_FROM = 100
QUOTER_FUNDS = 500_000_000  # whole settlement units a quoter account: never the first to fail
SPOT_FUNDS = 10_000_000  # whole units of the assets that a spot market trades
LEVERAGES = (2, 3, 5, 8, 10, 15, 20, 25, 50, 75)
LADDER_ORDERS = 1 << 40  # ids of orders of ladders begin here
CARRIER_LEVERAGE = 10
EARLY = (2, 600)  # seconds of the tape [from, to) in which they enter
LATE = (1_265, 2_040)
CUT = (1_262, 1_440)
STEP = (65, 64)  # ratio of neighbours in a log-uniform table

_ORDER = {name: EVENT.names.index(name) for name in EVENT.names}


def log_steps(low: int, high: int) -> list[int]:
    """Return integers from low to high, each 65/64 of the one before: drawing one is drawing log-uniformly."""
    steps, scaled = [], low << 20
    while scaled >> 20 <= high:
        steps.append(scaled >> 20)
        scaled = scaled * STEP[0] // STEP[1]
    return steps


LOTS = log_steps(10, 8_000)
MARGIN_PPM = log_steps(1_050_000, 3_000_000)  # of what the gate asks
CARRIER_PPM = log_steps(122_000, 200_000)  # of the notional


class _Dice:
    """random.Random(seed).getrandbits and integer arithmetic: the only source of chance."""

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, n: int) -> int:
        """Return one of 0..n-1."""
        return self._bits(32) * n >> 32

    def of(self, table):
        return table[self.below(len(table))]

    def within(self, window: tuple[int, int]) -> int:
        return window[0] + self.below(window[1] - window[0])


def _event(
    time_ns: int, kind: EventKind, *, account=0, ref_id=0, price=0, qty=0, money=0, source=0, market=0, asset=0, side=0, tif=0
) -> tuple:
    """Return a row of EVENT; batch_left is filled in by _batched."""
    lo, hi = money_split(money)
    return (time_ns, ref_id, price, qty, lo, hi, account, 0, source, market, Leg.NET, asset, kind, side, tif, 0)


def _batched(rows: list[tuple]) -> list[tuple]:
    """Return rows of one time as one batch: batch_left counts down to 0."""
    left = len(rows)
    place = _ORDER["batch_left"]
    return [(*row[:place], left - i - 1, *row[place + 1 :]) for i, row in enumerate(rows)]


class _Held:
    """One collateral asset of the population: its haircut and the lowest worth up to each second."""

    def __init__(self, incident: Incident, venue: Venue, asset: str, worth: str) -> None:
        self.asset = venue.number("assets", asset)
        self.weight_ppm = next(row.weight_ppm for row in venue.collateral if row.asset == asset)
        self.lowest = _lowest(incident, venue, worth)
        source = venue.sources[venue.number("sources", worth)]
        self.scale = 10 ** (venue.decimals(asset) + source.price_decimals - venue.decimals(venue.numeraire))


class _Builder:
    """The parts of one tape: what is constant over the accounts, and the events by second."""

    def __init__(self, incident: Incident, venue: Venue, paths: Paths, seed: int) -> None:
        people = incident.tape.population
        self.venue, self.start_ns, self.dice = venue, paths.from_ns, _Dice(seed)
        self.market = venue.number("markets", people.market)
        self.row = venue.markets[self.market]
        self.multiplier = venue.multiplier(self.row)
        self.decimals = venue.decimals(venue.numeraire)
        self.numeraire = venue.number("assets", venue.numeraire)
        self.brackets = [(rules.whole(b.notional_max, self.decimals), b.leverage_max) for b in self.row.brackets]
        self.held = [_Held(incident, venue, *row) for row in people.held(incident.tape.broken).items()]
        source = venue.sources[venue.number("sources", people.price_source)]
        up = 10 ** (self.row.price_decimals - source.price_decimals)
        tick = self.row.tick_size
        self.reference = [price * up for price in paths.seconds[venue.number("sources", people.price_source)]]
        self.price = [price // tick * tick for price in self.reference]
        taken = [row.account for row in (*venue.quoters, *incident.tape.ladders)]
        self.accounts_from = max([ACCOUNTS_FROM, *(account + 1 for account in taken)])
        self.seconds: list[list[tuple]] = [[] for _ in self.price]

    def trade_price(self, second: int) -> int:
        """Return the index in force at a second of the tape, on tick: the source's price a second before."""
        return self.price[second - 1]

    def check_spread(self, second: int) -> None:
        """Raise SpecError unless the trade price lies strictly inside every quoter's spread, fresh or about to be refilled."""
        price, tick = self.trade_price(second), self.row.tick_size
        for quoter in self.venue.quoters:
            if quoter.market != self.row.name:
                continue
            age = -(-quoter.refill_ns // units.NS)
            references = self.reference[max(0, second - age) : second]
            bid = units.div_floor(max(references) * (units.PPM - quoter.half_spread_ppm), units.PPM * tick) * tick
            ask = units.div_ceil(min(references) * (units.PPM + quoter.half_spread_ppm), units.PPM * tick) * tick
            if not bid < price < ask:
                at = units.ns_to_instant(self.start_ns + second * units.NS)
                raise SpecError(
                    f"quoter {quoter.account} may quote {bid} / {ask} at {at}, where pairs of the population trade at {price}",
                    where=f"rule book {self.venue.name}",
                    remedy="a wider half_spread_ppm or a shorter refill_ns",
                )

    def leverage(self, wanted: int, notional: int) -> int:
        """Return the wanted leverage or the cap of the notional's bracket, whichever is lower."""
        cap = next((cap for most, cap in self.brackets if notional <= most), self.brackets[-1][1])
        return min(wanted, cap, self.brackets[0][1])

    def open(self, account: int, second: int, leverage: int, money: int, sixteenths: int) -> list[tuple]:
        """Return ACCOUNT, LEVERAGE and DEPOSIT events: `money` of margin, so many sixteenths of it in the collateral asset."""
        held = self.held[(account - self.accounts_from) // 2 % len(self.held)]
        now = self.start_ns + second * units.NS
        counted = money * sixteenths // 16
        rows = [
            _event(now, EventKind.ACCOUNT, account=account, ref_id=account),
            _event(now, EventKind.LEVERAGE, account=account, market=self.market, qty=leverage),
        ]
        if counted:
            qty = units.div_ceil(counted * held.scale * units.PPM, held.lowest[second] * held.weight_ppm)
            rows.append(_event(now, EventKind.DEPOSIT, account=account, asset=held.asset, money=qty))
        if money > counted:
            rows.append(_event(now, EventKind.DEPOSIT, account=account, asset=self.numeraire, money=money - counted))
        return rows

    def trade(self, second: int, maker: int, taker: int, maker_side: Side, lots: int, order: int) -> list[tuple]:
        """Return the two orders of a pair: one rests, the other takes it. If the first is refused the second finds nothing."""
        now, price = self.start_ns + second * units.NS, self.trade_price(second)
        taker_side = Side.SELL if maker_side == Side.BUY else Side.BUY
        both = {"market": self.market, "price": price, "qty": lots}
        return [
            _event(now, EventKind.ORDER, account=maker, ref_id=maker * 4 + order, side=maker_side, tif=Tif.GTC, **both),
            _event(now, EventKind.ORDER, account=taker, ref_id=taker * 4 + order, side=taker_side, tif=Tif.IOC, **both),
        ]

    def ordinary(self, account: int, second: int, notional: int) -> list[tuple]:
        """Open an account with a drawn leverage, margin and collateral."""
        leverage = self.leverage(self.dice.of(LEVERAGES), notional)
        asked = units.div_ceil(notional, leverage) + units.div_ceil(notional * self.row.fees.taker_ppm, units.PPM)
        money = units.div_ceil(asked * self.dice.of(MARGIN_PPM), units.PPM)
        return self.open(account, second, leverage, money, _SIXTEENTHS[self.dice.below(16)])

    def carrier(self, account: int, second: int, notional: int) -> list[tuple]:
        """Open the long of a pair of loss carriers."""
        leverage = self.leverage(CARRIER_LEVERAGE, notional)
        money = units.div_ceil(notional * self.dice.of(CARRIER_PPM), units.PPM)
        return self.open(account, second, leverage, money, _CARRIER_SIXTEENTHS[self.dice.below(4)])

    def pair(self, number: int) -> None:
        """Draw one pair and put its batches at their seconds."""
        dice = self.dice
        first = self.accounts_from + 2 * number
        kind, lots = dice.below(8), dice.of(LOTS)  # 0..2 early, 3..5 loss carriers, 6 and 7 late
        second = dice.within(LATE if kind > 5 else EARLY)
        notional = lots * self.trade_price(second) * self.multiplier
        if 3 <= kind <= 5:
            long, short = first, first + 1
            opened = self.carrier(long, second, notional) + self.ordinary(short, second, notional)
            cut, part = dice.within(CUT), lots * (12 + dice.below(4)) // 16
            # the long that may already be closed goes first: refused, it leaves nothing behind that others could meet
            self.seconds[cut].extend(_batched(self.trade(cut, long, short, Side.SELL, part, 1)))
            side = Side.BUY
        else:
            opened = self.ordinary(first, second, notional) + self.ordinary(first + 1, second, notional)
            side = Side.BUY if dice.below(2) else Side.SELL
        self.seconds[second].extend(_batched(opened + self.trade(second, first, first + 1, side, lots, 0)))


_SIXTEENTHS = (16,) * 3 + (8,) * 2 + (1,) * 2 + (0,) * 9
_CARRIER_SIXTEENTHS = (16, 16, 12, 0)


def _lowest(incident: Incident, venue: Venue, source: str) -> list[int]:
    """Return the lowest price of a source up to each second, over all variants."""
    number = venue.number("sources", source)
    paths = [incident.prices(venue, variant).seconds[number] for variant in incident.variants]
    lowest, low = [], min(path[0] for path in paths)
    for prices in zip(*paths, strict=True):
        low = min(low, *prices)
        lowest.append(low)
    return lowest


def _quoters(venue: Venue, now: int) -> list[tuple]:
    """Return the events that open and fund the quoters of a rule book."""
    rows = []
    for account in sorted({row.account for row in venue.quoters}):
        rows.append(_event(now, EventKind.ACCOUNT, account=account, ref_id=account))
        funds = {venue.numeraire: QUOTER_FUNDS}
        for quoter in venue.quoters:
            market = venue.markets[venue.number("markets", quoter.market)]
            if quoter.account == account and market.spot:
                funds = {market.base: SPOT_FUNDS, market.settles_in: SPOT_FUNDS} | funds
        for asset, whole in sorted(funds.items(), key=lambda row: venue.number("assets", row[0])):
            money = whole * 10 ** venue.decimals(asset)
            rows.append(_event(now, EventKind.DEPOSIT, account=account, asset=venue.number("assets", asset), money=money))
    return rows


def _ladder(venue: Venue, ladder: Ladder) -> list[tuple]:
    """Return the events of a ladder: its account, exactly what its orders give, and the orders."""
    number = venue.number("markets", ladder.market)
    market, now, account = venue.markets[number], ladder.at_ns, ladder.account
    side, tick = Side[ladder.side.upper()], market.tick_size
    first, last = (units.decimal_to_int(figure, market.price_decimals) for figure in (ladder.first, ladder.last))
    prices = []
    for i in range(ladder.levels):
        price = first + (last - first) * i // (ladder.levels - 1)
        prices.append(price // tick * tick if side == Side.BUY else units.div_ceil(price, tick) * tick)
    if side == Side.SELL:
        asset, gives = market.base, ladder.lots * len(prices) * venue.lot_units(market)
    else:
        cash = ladder.lots * sum(prices) * venue.multiplier(market)
        # the gate asks for the taker fee of each order as it comes
        asset, gives = market.settles_in, cash + units.div_ceil(cash * market.fees.taker_ppm, units.PPM) + len(prices)
    rows = [
        _event(now, EventKind.ACCOUNT, account=account, ref_id=account),
        _event(now, EventKind.DEPOSIT, account=account, asset=venue.number("assets", asset), money=gives),
    ]
    for i, price in enumerate(prices):
        order = {"market": number, "side": side, "price": price, "qty": ladder.lots, "tif": Tif.POST_ONLY}
        rows.append(_event(now, EventKind.ORDER, account=account, ref_id=LADDER_ORDERS + account * 256 + i, **order))
    return rows


def _said(now: int, prices: dict[int, int]) -> list[tuple]:
    """Return one instant of the clock grid: CLOCK first, which no overlay drops, then what every source says."""
    said = [_event(now, EventKind.SOURCE, source=number, price=price) for number, price in prices.items()]
    return _batched([_event(now, EventKind.CLOCK), *said])


def incident_tape(
    incident: Incident,
    venue: Venue,
    seed: int = 1,
    accounts: int = 20_000,
    variant: Variant = "close",
) -> Tape:
    """Return the tape of an incident: its price paths every second, and `accounts` synthetic accounts drawn from `seed`.

    The accounts are the same for every variant. Raises SpecError where the rule book cannot hold them: too few accounts,
    an index that is not published every second, quoters whose quotes the pairs would meet.
    """
    if accounts < 0 or accounts % 2:
        raise SpecError(f"{accounts} accounts", where="population", remedy="an even number: accounts come in pairs")
    book = f"rule book {venue.name}"
    paths = incident.prices(venue, variant)
    builder = _Builder(incident, venue, paths, seed)
    if builder.accounts_from + accounts > venue.limits.accounts_max:
        remedy = f"at most {venue.limits.accounts_max - builder.accounts_from}, or a larger limits.accounts_max"
        raise SpecError(f"{accounts} accounts from {builder.accounts_from} on", where=book, remedy=remedy)
    if len(builder.price) <= max(LATE[1], CUT[1]):
        remedy = f"more than {LATE[1]}: accounts enter until then"
        raise SpecError(f"a tape of {len(builder.price)} seconds", where=f"incident {incident.id}", remedy=remedy)
    publish = venue.indices[venue.number("indices", builder.row.index)].publish
    if publish.every_ns != units.NS:
        raise SpecError(f"index {builder.row.index} is not published once a second", where=book, remedy="every_ns: 1_000_000_000")
    if paths.instant_ns - paths.to_ns > venue.clock.gap_max_ns:
        gap = (paths.instant_ns - paths.to_ns) // units.NS
        raise SpecError(
            f"the make-whole instant is {gap} s after the last minute", where=book, remedy="a larger clock.gap_max_ns"
        )
    for number in range(accounts // 2):
        builder.pair(number)

    rows: list[tuple] = []
    for second, events in enumerate(builder.seconds):
        now = paths.from_ns + second * units.NS
        rows += _said(now, {number: path[second] for number, path in paths.seconds.items()})
        if second == 0:
            rows += _quoters(venue, now)
        for ladder in incident.tape.ladders:
            if ladder.at_ns == now:
                rows += _ladder(venue, ladder)
        if events:
            builder.check_spread(second)
            rows += events
    rows += _said(paths.instant_ns, paths.make_whole)
    drawn = f"{accounts} accounts of seed {seed}: {incident.tape.population.note}"
    meta = Meta(
        venue=venue.name,
        start_ns=paths.from_ns,
        horizon_ns=incident.horizon_ns,
        title=f"{incident.id}, {variant}, recorded, seed {seed}",
        series=(*_series(incident, variant), Series("accounts", "synthetic", drawn)),
        gaps=((paths.to_ns, paths.instant_ns),),
        accounts_from=builder.accounts_from,
        accounts_group=2,
    )
    return Tape(np.array(rows, dtype=EVENT), meta)


def _series(incident: Incident, variant: Variant) -> list[Series]:
    """Return where each price series of the tape comes from."""
    recipe = incident.tape
    series = [Series(row.source, row.provenance, row.note) for row in recipe.minutes if row.variant in (variant, None)]
    series += [Series(row.source, row.provenance, row.note) for row in (*recipe.constants, *recipe.paths, *recipe.derived)]
    depth = [(f"{row.market} {row.side} orders of {row.account}", row) for row in recipe.ladders]
    return series + [Series(name, row.provenance, row.note) for name, row in depth]
