"""The common tape of a day of two events: quiet prices heard, the day's prices beside them, leveraged accounts, dip buyers.

Nothing about the accounts is observed. All chance is random.Random(seed).getrandbits, all arithmetic integer: the same bytes on
every machine. Liquidity on this tape is of two kinds, and a run says which traded: the rule book's quoters, which follow the
index, and the dip buyers' orders, which are taped and follow nothing.

Accounts come in pairs that trade with each other only, at the quiet path's price, inside every quoter's spread: one rests an
order, the other takes it. Of each market

    ordinary   a long and a short, entering in `enter`. The long's liquidation price lies d below its entry, d drawn as Gamma(2)
               with the market's mean: margin = notional x (d + m x (1 - d)), m the maintenance rate of its bracket. The short
               is leveraged the same way in 10 of 16, else margined with one and a half notionals
    carriers   a long that enters at the day's high, margined in the collateral, with a margin of the day's earlier fall and 0.6
               to 6 % more, and cuts 14/16 of its position before the event: it owes the settlement asset what the fall cost,
               against its collateral. Its partner is margined with one and a half notionals
    held in    ordinary longs: 4/16 the collateral alone, 12/16 the settlement asset alone
    dip buyers one account each, funded in full: at a uniform moment of their window a GTC bid at the news path of that moment,
               less the buyer's discount

The gate asks an initial margin of 1 / (the bracket's leverage cap) and the taker fee; a drawn margin below 102 % of that is
raised to it. The collateral is counted after its haircut at its true price at the entry.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from riskbed.population import QUOTER_FUNDS, _batched, _Dice, _event, _said, log_steps
from specs import rules, units
from specs.errors import SpecError
from specs.incident import Incident
from specs.pair import Cascade, Pair, Point, Traded
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Meta, Series, Side, Tape, Tif

ACCOUNTS_FROM = 100
LN_STEP_PPM = 15_504  # ln(65/64) in ppm
RAISED_PPM = 1_020_000  # the least margin, of what the gate asks
UNLEVERED_PPM = 1_500_000
CARRIER_PPM = log_steps(6_000, 60_000)  # of the notional, above the earlier fall
CUT_SIXTEENTHS = 14
DIP_FUNDS_PPM = 1_300_000

_SURVIVORS = [1 << 32]  # (64/65)^n of 2^32: how many of 2^32 equally likely draws lie n steps or further out
while _SURVIVORS[-1]:
    _SURVIVORS.append(_SURVIVORS[-1] * 64 // 65)
_NEGATIVE = [-n for n in _SURVIVORS]


def exponential_ppm(dice: _Dice) -> int:
    """Draw from the exponential distribution of mean 10^6, in steps of ln(65/64) and uniform within a step."""
    steps = bisect_left(_NEGATIVE, -dice.below(1 << 32)) - 1
    return max(0, steps) * LN_STEP_PPM + dice.below(LN_STEP_PPM)


def gamma2_ppm(dice: _Dice, mean_ppm: int) -> int:
    """Draw from Gamma(2) with that mean: the sum of two exponentials of half the mean."""
    return (exponential_ppm(dice) + exponential_ppm(dice)) * mean_ppm // (2 * units.PPM)


def moves(points: list[Point], from_ns: int, length: int) -> list[int]:
    """Return the move in ppm at every second: straight lines between points, toward -inf, held before and after them."""
    out, k = [], 0
    times, values = [point.at_ns for point in points], [point.ppm for point in points]
    for i in range(length):
        now = from_ns + i * units.NS
        while k + 1 < len(points) and times[k + 1] <= now:
            k += 1
        if now <= times[0] or k + 1 == len(points):
            out.append(values[k])
        else:
            out.append(values[k] + (values[k + 1] - values[k]) * (now - times[k]) // (times[k + 1] - times[k]))
    return out


def path(row: Traded, venue: Venue, source: str, ppm: list[int]) -> list[int]:
    """Return a source's price at every second: first price x (1 + beta x move), rounded down."""
    places = venue.sources[venue.number("sources", source)].price_decimals
    first = units.decimal_to_int(row.price, places)
    return [first * (units.PPM**2 + row.beta_ppm * move) // units.PPM**2 for move in ppm]


class _Builder:
    """The events of one tape by second."""

    def __init__(self, cascade: Cascade, venue: Venue, length: int, collateral_price: list[int], places: int) -> None:
        self.cascade, self.venue, self.tape = cascade, venue, cascade.tape
        self.from_ns = cascade.tape.window.from_ns
        self.numeraire = venue.number("assets", venue.numeraire)
        self.decimals = venue.decimals(venue.numeraire)
        self.asset = venue.number("assets", cascade.tape.collateral)
        self.haircut = next(row for row in venue.collateral if row.asset == cascade.tape.collateral)
        self.scale = 10 ** (venue.assets[self.asset].decimals + places - self.decimals)
        self.collateral_price = collateral_price
        self.seconds: list[list[tuple]] = [[] for _ in range(length)]
        self.next_account = max([ACCOUNTS_FROM, *(row.account + 1 for row in venue.quoters)])
        self.quiet = moves(cascade.tape.quiet, self.from_ns, length)
        self.news = moves(cascade.tape.news, self.from_ns, length)
        self.said: dict[int, list[int]] = {}
        for row in cascade.tape.markets:
            self.said[venue.number("sources", row.outside)] = path(row, venue, row.outside, self.quiet)
            self.said[venue.number("sources", row.news)] = path(row, venue, row.news, self.news)

    def second(self, time_ns: int) -> int:
        return (time_ns - self.from_ns) // units.NS

    def within(self, dice: _Dice, window) -> int:
        return dice.within((self.second(window.from_ns), self.second(window.to_ns) + 1))

    def account(self) -> int:
        self.next_account += 1
        return self.next_account - 1

    def open(self, account: int, second: int, market: int, leverage: int, money: int, in_collateral: bool) -> list[tuple]:
        """Return ACCOUNT, LEVERAGE and DEPOSIT events: `money` of margin, all of it in one asset."""
        now = self.from_ns + second * units.NS
        rows = [
            _event(now, EventKind.ACCOUNT, account=account, ref_id=account),
            _event(now, EventKind.LEVERAGE, account=account, market=market, qty=leverage),
        ]
        asset, amount = self.numeraire, money
        if in_collateral:
            asset = self.asset
            amount = units.div_ceil(money * self.scale * units.PPM, self.collateral_price[second] * self.haircut.weight_ppm)
        rows.append(_event(now, EventKind.DEPOSIT, account=account, asset=asset, money=amount))
        return rows

    def trade(self, second: int, market: int, price: int, lots: int, maker: int, taker: int, maker_side: Side, order: int):
        """Return the two orders of a pair. If the first is refused the second finds nothing and goes."""
        now = self.from_ns + second * units.NS
        taker_side = Side.SELL if maker_side == Side.BUY else Side.BUY
        both = {"market": market, "price": price, "qty": lots}
        return [
            _event(now, EventKind.ORDER, account=maker, ref_id=maker * 4 + order, side=maker_side, tif=Tif.GTC, **both),
            _event(now, EventKind.ORDER, account=taker, ref_id=taker * 4 + order, side=taker_side, tif=Tif.IOC, **both),
        ]

    def put(self, second: int, rows: list[tuple]) -> None:
        self.seconds[second].extend(_batched(rows))


class _Market:
    """One market's draws, from a stream of its own: more accounts in one market change nobody in another."""

    def __init__(self, builder: _Builder, row: Traded, seed: int, number: int) -> None:
        self.builder, self.row = builder, row
        self.dice = _Dice(seed * 64 + number)
        venue = builder.venue
        self.market = venue.number("markets", row.market)
        self.rules = venue.markets[self.market]
        self.multiplier = venue.multiplier(self.rules)
        up = 10 ** (self.rules.price_decimals - venue.sources[venue.number("sources", row.outside)].price_decimals)
        self.quiet = [price * up for price in builder.said[venue.number("sources", row.outside)]]
        self.news = [price * up for price in builder.said[venue.number("sources", row.news)]]
        self.notionals = log_steps(row.notional.low, row.notional.high)
        self.dip_notionals = log_steps(row.dip_notional.low, row.dip_notional.high)
        decimals = builder.decimals
        rates = [self.rules.maintenance_rate(row) * units.PPM for row in self.rules.brackets]
        self.brackets = [
            (rules.whole(b.notional_max, decimals), b.leverage_max, units.div_ceil(rate.numerator, rate.denominator))
            for b, rate in zip(self.rules.brackets, rates, strict=True)
        ]

    def price(self, prices: list[int], second: int) -> int:
        return prices[second] // self.rules.tick_size * self.rules.tick_size

    def lots(self, notional: int, price: int) -> int:
        """Return how many lots a notional in whole numeraire buys, at least one."""
        return max(1, notional * 10**self.builder.decimals // (price * self.multiplier))

    def bracket(self, notional: int) -> tuple[int, int]:
        """Return (leverage cap, maintenance rate in ppm) of a notional in money."""
        return next(((cap, rate) for most, cap, rate in self.brackets if notional <= most), self.brackets[-1][1:])

    def margin(self, notional: int, wanted_ppm: int) -> int:
        """Return a margin of wanted_ppm of the notional, or what the gate asks with a little more, whichever is larger."""
        asked = units.div_ceil(notional, self.bracket(notional)[0])
        asked += units.div_ceil(notional * self.rules.fees.taker_ppm, units.PPM)
        return max(units.div_ceil(notional * wanted_ppm, units.PPM), units.div_ceil(asked * RAISED_PPM, units.PPM))

    def ladder_ppm(self, notional: int) -> int:
        """Return margin / notional of a position whose liquidation price lies a drawn distance from its entry."""
        distance = min(gamma2_ppm(self.dice, self.row.distance_ppm), units.PPM)
        return distance + self.bracket(notional)[1] * (units.PPM - distance) // units.PPM

    def ordinary(self) -> None:
        builder, dice = self.builder, self.dice
        second = builder.within(dice, builder.tape.enter)
        price = self.price(self.quiet, second)
        lots = self.lots(dice.of(self.notionals), price)
        notional = lots * price * self.multiplier
        long, short = builder.account(), builder.account()
        leverage = self.bracket(notional)[0]
        rows = []
        for account in (long, short):
            levered = account == long or dice.below(16) < 10
            wanted = self.ladder_ppm(notional) if levered else UNLEVERED_PPM
            held = account == long and dice.below(16) < 4
            rows += builder.open(account, second, self.market, leverage, self.margin(notional, wanted), held)
        side = Side.BUY if dice.below(2) else Side.SELL
        maker, taker = (long, short) if side == Side.BUY else (short, long)
        builder.put(second, rows + builder.trade(second, self.market, price, lots, maker, taker, side, 0))

    def carrier(self) -> None:
        builder, dice = self.builder, self.dice
        second, cut = builder.within(dice, builder.tape.carriers_enter), builder.within(dice, builder.tape.carriers_cut)
        price, later = self.price(self.quiet, second), self.price(self.quiet, cut)
        lots = self.lots(dice.of(self.notionals), price)
        notional = lots * price * self.multiplier
        long, short = builder.account(), builder.account()
        fall_ppm = (price - later) * units.PPM // price
        wanted = self.bracket(notional)[1] + fall_ppm + dice.of(CARRIER_PPM)
        leverage = self.bracket(notional)[0]
        rows = builder.open(long, second, self.market, leverage, self.margin(notional, wanted), True)
        rows += builder.open(short, second, self.market, leverage, self.margin(notional, UNLEVERED_PPM), False)
        builder.put(second, rows + builder.trade(second, self.market, price, lots, long, short, Side.BUY, 0))
        part = lots * CUT_SIXTEENTHS // 16
        if part:
            builder.put(cut, builder.trade(cut, self.market, later, part, long, short, Side.SELL, 1))

    def dip(self) -> None:
        builder, dice = self.builder, self.dice
        second = builder.within(dice, builder.tape.dips.window)
        discount = dice.below(builder.tape.dips.discount_ppm + 1) * self.row.beta_ppm // units.PPM
        tick = self.rules.tick_size
        price = max(tick, self.news[second] * (units.PPM - discount) // (units.PPM * tick) * tick)
        lots = self.lots(dice.of(self.dip_notionals), price)
        account, now = builder.account(), builder.from_ns + second * units.NS
        money = lots * price * self.multiplier * DIP_FUNDS_PPM // units.PPM
        rows = [
            _event(now, EventKind.ACCOUNT, account=account, ref_id=account),
            _event(now, EventKind.DEPOSIT, account=account, asset=builder.numeraire, money=money),
            _event(
                now,
                EventKind.ORDER,
                account=account,
                ref_id=account * 4,
                market=self.market,
                side=Side.BUY,
                tif=Tif.GTC,
                price=price,
                qty=lots,
            ),
        ]
        builder.put(second, rows)


def collateral_paths(pair: Pair, b: Incident, venue: Venue, from_ns: int, length: int) -> dict[str, list[int]]:
    """Return recorded and true price of the collateral at every second: B's series, its first figures held before it begins."""
    found = {}
    for name, series in ((pair.collateral.recorded, pair.collateral.series), (pair.collateral.true, pair.collateral.true)):
        row = next((row for row in b.tape.minutes if row.source == series and row.variant in (pair.variant, None)), None)
        if row is None:
            raise SpecError(f"incident {b.id} has no series '{series}'", where=f"pair {pair.id}", remedy="a minute series of B")
        places = venue.sources[venue.number("sources", name)].price_decimals
        figures = [units.decimal_to_int(figure, places) for figure in row.values()]
        offset = (b.tape.window.from_ns - from_ns) // units.NS
        found[name] = [figures[min(max(i - offset, 0) // 60, len(figures) - 1)] for i in range(length)]
    return found


def pair_tape(
    pair: Pair, cascade: Cascade, b: Incident, venue: Venue, seed: int | None = None, share_ppm: int = units.PPM
) -> Tape:
    """Return the common base tape: it carries neither event. share_ppm: of the accounts and dip buyers, of each kind.

    Raises SpecError where the rule book cannot hold the accounts.
    """
    tape = cascade.tape
    seed = tape.seed if seed is None else seed
    from_ns, to_ns = tape.window.from_ns, tape.window.to_ns
    length = (to_ns - from_ns) // units.NS + 1
    collateral = collateral_paths(pair, b, venue, from_ns, length)
    true = collateral[pair.collateral.true]
    places = venue.sources[venue.number("sources", pair.collateral.true)].price_decimals
    builder = _Builder(cascade, venue, length, true, places)
    for name, prices in collateral.items():
        builder.said[venue.number("sources", name)] = prices
    builder.said[venue.number("sources", pair.collateral.heard)] = true
    first = builder.next_account
    markets = [_Market(builder, row, seed, number) for number, row in enumerate(tape.markets)]
    for kind, draw in (("carriers", _Market.carrier), ("pairs", _Market.ordinary), ("dips", _Market.dip)):
        for market in markets:
            for _ in range(getattr(market.row, kind) * share_ppm // units.PPM):
                draw(market)
    if builder.next_account > venue.limits.accounts_max:
        remedy = f"fewer pairs, or a limits.accounts_max of {builder.next_account}"
        raise SpecError(f"{builder.next_account - first} accounts", where=f"rule book {venue.name}", remedy=remedy)

    rows: list[tuple] = []
    for second, events in enumerate(builder.seconds):
        now = from_ns + second * units.NS
        rows += _said(now, {number: prices[second] for number, prices in sorted(builder.said.items())})
        if second == 0:
            for account in sorted({row.account for row in venue.quoters}):
                rows.append(_event(now, EventKind.ACCOUNT, account=account, ref_id=account))
                funds = QUOTER_FUNDS * 10**builder.decimals
                rows.append(_event(now, EventKind.DEPOSIT, account=account, asset=builder.numeraire, money=funds))
        rows += events
    meta = Meta(
        venue=venue.name,
        start_ns=from_ns,
        horizon_ns=to_ns,
        title=f"{pair.id}, {pair.variant}, seed {seed}",
        series=_series(pair, cascade, b, seed, builder.next_account - first),
        accounts_from=first,
        accounts_group=2,
    )
    return Tape(np.array(rows, dtype=EVENT), meta)


def _series(pair: Pair, cascade: Cascade, b: Incident, seed: int, accounts: int) -> tuple[Series, ...]:
    """Return where each series of the tape comes from."""
    found = []
    for row in cascade.tape.markets:
        found.append(Series(row.outside, "synthetic", "quiet after the day's earlier fall: the day without the event"))
        found.append(Series(row.news, "synthetic", f"the news through its anchors, beta {row.beta_ppm / units.PPM:g}"))
    notes = {row.source: row for row in b.tape.minutes if row.variant in (pair.variant, None)}
    found.append(Series(pair.collateral.recorded, notes[pair.collateral.series].provenance, notes[pair.collateral.series].note))
    found.append(Series(pair.collateral.true, notes[pair.collateral.true].provenance, notes[pair.collateral.true].note))
    found.append(Series(pair.collateral.heard, "synthetic", pair.collateral.note))
    found.append(Series("accounts", "synthetic", f"{accounts} accounts of seed {seed}: {cascade.tape.note}"))
    return tuple(found)
