"""Rule books: a venue as data. Venue > Market > Bracket; index, collateral, grade, liquidation, fund and quoter rows.

Numbers are integers or, for money and prices in whole units, decimal strings; floats are refused. Every row names its unit.
A `Venue` is frozen. Wrong books raise ValueError inside pydantic with the path of the culprit; specs/load.py turns it into a
SpecError with file:line:column.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, lru_cache, partial
from operator import mul
from typing import Annotated, ClassVar, Literal, NamedTuple, Union

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, model_validator

from specs import units
from specs.tape import USERS_FROM, Action, Grade, MarketState, Permit


class At(ValueError):
    """A wrong value somewhere below the row that is checked: `path` leads to it, `problem` is the cause, `remedy` the mend."""

    def __init__(self, path: tuple, problem: str, remedy: str = "") -> None:
        self.path, self.problem, self.remedy = path, problem, remedy
        super().__init__(problem + (f" ({remedy})" if remedy else ""))


class Row(BaseModel):
    """A frozen row: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$")]
Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Ns = Annotated[StrictInt, Field(ge=1, le=units.DURATION_MAX_NS)]
Interval = Annotated[StrictInt, Field(ge=units.INTERVAL_MIN_NS, le=units.DURATION_MAX_NS)]
Ppm = Annotated[StrictInt, Field(ge=0, le=units.PPM)]
Count = Annotated[StrictInt, Field(ge=1)]
Decimals = Annotated[StrictInt, Field(ge=0, le=units.DECIMALS_MAX)]
Whole = (
    Annotated[StrictInt, Field(ge=0)] | Annotated[str, StringConstraints(strict=True, pattern=r"^(0|[1-9][0-9]*)(\.[0-9]+)?$")]
)
"""Money or a price in whole units: an integer, or a decimal string such as '0.95'."""
Signed = StrictInt | Annotated[str, StringConstraints(strict=True, pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$")]
"""As Whole, of any sign."""


_NUMBER = r"[1-9][0-9]{0,5}|(0|[1-9][0-9]{0,5})\.[0-9]{1,6}"
Ratio = Annotated[str, StringConstraints(strict=True, pattern=rf"^([1-9][0-9]{{0,5}}/[1-9][0-9]{{0,5}}|{_NUMBER})$")]
"""A ratio above 0, exactly: '2/3', '1.5' or '1'."""


def ratio(text: str) -> tuple[int, int]:
    """Return numerator and denominator of a Ratio, both above 0 and at most 10^12."""
    value = Fraction(text)
    return value.numerator, value.denominator


def whole(value: int | str, decimals: int) -> int:
    """Return a Whole in units of 10^-decimals, exactly."""
    return units.decimal_to_int(str(value), decimals)


class Clock(Row):
    """cadence_ns: CLOCK events of a tape stand this far apart. gap_max_ns: a larger step is a REJECT(TIME_GAP)."""

    cadence_ns: Ns = units.NS
    gap_max_ns: Ns = 7_200 * units.NS


class Limits(Row):
    """How many of each a run may hold; passing one is a Reason or a BOUND, never silence."""

    accounts_max: Annotated[StrictInt, Field(ge=1, le=units.ACCOUNTS_MAX)] = 65_536
    orders_max: Annotated[StrictInt, Field(ge=1, le=1 << 24)] = 262_144
    orders_per_account_max: Count = 200  # waiting orders too
    fills_kept: Annotated[StrictInt, Field(ge=0, le=units.FILLS_KEPT_MAX)] = 0  # of the latest: what may still be busted
    rounds_max: Annotated[StrictInt, Field(ge=1, le=10_000)] = 64


class Borrow(Row):
    """What a user owes of the asset costs rate_ppb of it every `every_ns`, at whole multiples of it since the epoch.

    Owed is a balance below 0; of the numeraire the wallet's: what open positions cost is no debt. Interest is rounded up against
    who owes, added to what is owed, and credited to LENDERS. A debt beyond BALANCE_MAX grows no more.
    """

    every_ns: Annotated[StrictInt, Field(ge=units.FUNDING_INTERVAL_MIN_NS, le=units.DURATION_MAX_NS)]
    rate_ppb: Annotated[StrictInt, Field(ge=1, le=units.FUNDING_RATE_MAX_PPB)]


class Asset(Row):
    """Money of this asset is kept in 10^-decimals."""

    name: Name
    decimals: Decimals = 8
    borrow: Borrow | None = None


class Source(Row):
    """One price series from outside. It is stale when it has not been heard for stale_after_ns; absent: never."""

    name: Name
    price_decimals: Decimals
    stale_after_ns: Ns | None = None


class SourceNode(Row):
    kind: Literal["source"]
    name: Name


class BookNode(Row):
    """The venue's own book: mid of best bid and ask rounded down, else the last trade, else missing."""

    kind: Literal["book"]
    market: Name


class IndexNode(Row):
    """Another index, defined above this one, as last published; usable only while VALID."""

    kind: Literal["index"]
    name: Name


class RedemptionNode(Row):
    """ratio x underlying: what the issuer pays. Without `underlying` the ratio is in the numeraire already."""

    kind: Literal["redemption"]
    ratio: Name
    underlying: "Node | None" = None


class ProductNode(Row):
    """leg x leg: a cross rate. Rounded down; unusable when a leg is."""

    kind: Literal["product"]
    of: Annotated[list["Node"], Field(min_length=2, max_length=2)]


class Outlier(Row):
    """What a weighted index does with a part that stands more than ppm from the median of its usable parts.

    zero_weight: its weight is 0; if more than one part is an outlier the median is the index. clamp_to_median: it counts as the
    nearest price inside the band. Fewer than parts_min usable parts, at most all of them: every part counts as it is.
    """

    policy: Literal["zero_weight", "clamp_to_median"]
    ppm: Ppm
    parts_min: Annotated[StrictInt, Field(ge=1, le=units.NODES_MAX)] = 3


class WeightedNode(Row):
    """sum(weight x price) / sum(weight) over the usable parts, rounded down. Weights in 10^-8, sum 1 within one unit a part."""

    kind: Literal["weighted"]
    of: Annotated[list["Node"], Field(min_length=1)]
    weights: list[Annotated[StrictInt, Field(ge=0, le=units.WEIGHT_ONE)]]
    outlier: Outlier | None = None

    @model_validator(mode="after")
    def _sum(self) -> "WeightedNode":
        if len(self.weights) != len(self.of):
            raise At(("weights",), f"{len(self.weights)} weights for {len(self.of)} parts", "one weight a part")
        total = sum(self.weights)
        if abs(total - units.WEIGHT_ONE) > len(self.of):
            raise At(
                ("weights",), f"weights sum to {total}", f"they are in 10^-8 and sum to {units.WEIGHT_ONE} within {len(self.of)}"
            )
        return self

    @model_validator(mode="after")
    def _outlier_can_act(self) -> "WeightedNode":
        if self.outlier is not None and self.outlier.parts_min > len(self.of):
            raise At(
                ("outlier", "parts_min"),
                f"parts_min {self.outlier.parts_min} of {len(self.of)} parts: the outlier row could never act",
                f"parts_min: at most {len(self.of)}",
            )
        return self


class MeanNode(Row):
    """Plain mean of the usable parts, rounded down."""

    kind: Literal["mean"]
    of: Annotated[list["Node"], Field(min_length=1)]


class MedianNode(Row):
    """Median of the usable parts; of an even number the mean of the middle two, rounded down."""

    kind: Literal["median"]
    of: Annotated[list["Node"], Field(min_length=1)]


class FloorNode(Row):
    """max(part, price_min). price_min in whole quote units."""

    kind: Literal["floor"]
    of: "Node"
    price_min: Whole


class TwapNode(Row):
    """Mean of the last `publications` values of the part, one sampled at each publication, rounded down."""

    kind: Literal["twap"]
    of: "Node"
    publications: Annotated[StrictInt, Field(ge=1, le=units.SAMPLES_MAX)]


Node = Annotated[
    Union[SourceNode, BookNode, IndexNode, RedemptionNode, ProductNode, WeightedNode, MeanNode, MedianNode, FloorNode, TwapNode],
    Field(discriminator="kind"),
]
for _row in (RedemptionNode, ProductNode, WeightedNode, MeanNode, MedianNode, FloorNode, TwapNode):
    _row.model_rebuild()


class Publish(Row):
    """interval: every `every_ns`, on the grid of the first event. update: when a source is heard or goes stale, or a book trades.

    An index on update that reads the venue's own book is published again within the cascade whose fills moved it: the loop.
    """

    kind: Literal["interval", "update"]
    every_ns: Interval | None = None

    @model_validator(mode="after")
    def _parameters(self) -> "Publish":
        if (self.kind == "interval") != (self.every_ns is not None):
            raise At(("kind",), f"publish '{self.kind}' {'needs' if self.kind == 'interval' else 'takes no'} every_ns")
        return self


class Index(Row):
    """A published price: recipe, cadence and quorum.

    sources_min, at most what the recipe reads: fewer usable sources grade it TOO_FEW_SOURCES. prices signed: zero and negative
    ones are as good as others; else they are INVALID.
    """

    name: Name
    price_decimals: Decimals
    publish: Publish
    sources_min: Annotated[StrictInt, Field(ge=1, le=units.SOURCES_MAX)] = 1
    prices: Literal["positive", "signed"] = "positive"
    recipe: Node

    @model_validator(mode="after")
    def _quorum(self) -> "Index":
        quorum(self.sources_min, self.recipe)
        return self


class MarkIndex(Row):
    kind: Literal["index"]


class MarkMedian(Row):
    """median(index, index + mean basis, last). basis = mid of the book - index, the last `basis_samples` publications.

    republish_on_fill: a round that traded in this market publishes its mark again (the spiral).
    """

    kind: Literal["median"]
    basis_samples: Annotated[StrictInt, Field(ge=1, le=units.SAMPLES_MAX)] = 30
    republish_on_fill: StrictBool = False


Mark = Annotated[Union[MarkIndex, MarkMedian], Field(discriminator="kind")]


class Bracket(Row):
    """Of a position of up to notional_max: leverage cap, maintenance rate, maintenance amount. Both moneys in whole numeraire.

    initial_ppm: the initial rate where it is no 1 / leverage_max; a lower chosen leverage raises it. With margin.maintenance
    half_initial there is neither maintenance_ppm nor amount.
    """

    notional_max: Whole
    leverage_max: Annotated[StrictInt, Field(ge=1, le=units.LEVERAGE_MAX)]
    initial_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)] | None = None
    maintenance_ppm: Ppm | None = None
    amount: Whole = 0

    def maintenance(self) -> Fraction:
        """Return the maintenance rate: maintenance_ppm, or half of the initial one at the highest leverage."""
        return Fraction(1, 2 * self.leverage_max) if self.maintenance_ppm is None else Fraction(self.maintenance_ppm, units.PPM)


PpbPerCoin = Annotated[StrictInt, Field(ge=0, le=units.PPB)]


class SizeMargin(Row):
    """What every coin of a position adds to its rates, in ppb of the notional (Deribit: 0.005 % a BTC are 50,000).

    A coin is a whole unit of what the market's lots are of. The initial rate counts the lots with open orders on the worse side.
    A rate grows to 100 %. Source: support.deribit.com, Linear Perpetual.
    """

    initial_ppb_per_coin: PpbPerCoin = 0
    maintenance_ppb_per_coin: PpbPerCoin = 0

    @model_validator(mode="after")
    def _initial_keeps_up(self) -> "SizeMargin":
        if self.maintenance_ppb_per_coin > self.initial_ppb_per_coin:
            raise At(
                ("maintenance_ppb_per_coin",),
                f"maintenance grows by {self.maintenance_ppb_per_coin} a coin, initial margin by {self.initial_ppb_per_coin}: "
                "a large position is liquidated at once",
                f"at most {self.initial_ppb_per_coin}",
            )
        return self


class OpenInterestMargin(Row):
    """The initial rate r becomes r + x (1 - r), x = clamp((open interest - lower) / (upper - lower), 0, 1); 0 if they are equal.

    Open interest is the market's long lots at the mark in force, before the order that is judged; lower and upper are whole units
    of the settlement asset. Source: dYdX v4, x/perpetuals/types/liquidity_tier.go.
    """

    lower: Whole
    upper: Whole


class Margin(Row):
    """How a market's brackets become requirements; each is rounded up once.

    tiers: marginal, notional x rate - amount, continuous; whole, the whole notional at its tier's rate, without an amount.
    maintenance: rate, as the brackets say it; half_initial, 1 / (2 leverage_max), and amounts follow, rounded down to a unit of
    money (Hyperliquid). slippage_ppm: added to every maintenance rate, which is then the risk factor alone (Vega).
    leverage: what a chosen one does to a bracket's initial_ppm: caps, the rate is at least 1 / leverage; divides, it is
    initial_ppm / leverage (Nautilus). size, open_interest: see there; of a market with one bracket, and not both.
    basis: the notional is that at the mark; entry, of lots held it is what they were entered at, a part rounded up (Bybit), while
    lots of open orders count at the mark.
    """

    tiers: Literal["marginal", "whole"] = "marginal"
    maintenance: Literal["rate", "half_initial"] = "rate"
    leverage: Literal["caps", "divides"] = "caps"
    slippage_ppm: Ppm = 0
    size: SizeMargin | None = None
    open_interest: OpenInterestMargin | None = None
    basis: Literal["mark", "entry"] = "mark"


class Lot(Row):
    """One lot is size x 10^-decimals of the base asset."""

    size: Count = 1
    decimals: Decimals


class FeeGrowth(Row):
    """A liquidation fee that grows: liquidation_ppm + ppm for each whole every_ns since the episode opened, at most max_ppm.

    liquidation_ppm alone before grace_ns. Source: Drift v2 (math/liquidation.rs, get_liquidation_fee).
    """

    grace_ns: Annotated[StrictInt, Field(ge=0, le=units.DURATION_MAX_NS)] = 0
    every_ns: Ns
    ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    max_ppm: Ppm


class FeeLeft(Row):
    """A liquidation fee out of what closing leaves: share x (maintenance rate - discount - shortage / notional), not below 0.

    At most liquidation_ppm. Rate (of the bracket, in ppm, rounded up; what size adds is not in it), shortage (maintenance -
    equity) and notional at the mark are those of account and position before the slice; discount_ppm is what closing loses
    against the mark. Source: Drift v2 (calculate_perp_if_fee).
    """

    share_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    discount_ppm: Ppm = 0


class Fees(Row):
    """Of the notional, rounded up. liquidation_ppm goes to the fund, never more than what is left to the account.

    In an auction both sides of a fill pay maker_ppm: nobody takes.
    """

    maker_ppm: Ppm = 0
    taker_ppm: Ppm = 0
    liquidation_ppm: Ppm = 0
    liquidation_growth: FeeGrowth | None = None
    liquidation_left: FeeLeft | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Fees":
        growth = self.liquidation_growth
        if growth is not None and self.liquidation_left is not None:
            raise At(("liquidation_left",), "a fee that grows and a fee of what is left: two rules for one fee", "one of the two")
        if growth is not None and growth.max_ppm <= self.liquidation_ppm:
            raise At(
                ("liquidation_growth", "max_ppm"),
                f"it never grows: at most {growth.max_ppm}, from {self.liquidation_ppm}",
                f"max_ppm: above {self.liquidation_ppm}",
            )
        if self.liquidation_left is not None and not self.liquidation_ppm:
            raise At(("liquidation_left",), "at most liquidation_ppm, which is 0: never charged", "liquidation_ppm: the most")
        return self


class Closing(Row):
    """What closing a position is taken to cost: part of its maintenance requirement, and charged by other rows, if at all.

    fee: taker_ppm or liquidation_ppm of the market's fees. impact_ppm: what the close itself moves its price. Both of the
    notional at the mark, their sum rounded up with the maintenance rate. fixed: of each position, whole settlement asset. So with
    OKX, whose threshold is maintenance rate + taker fee, and with GMX, which sets off fees and price impact against collateral.

    at bankruptcy: the fee is that of the notional at which equity and this fee are used up, all else as it is, rounded up; no
    price of its own market moves it (Bybit). The bankruptcy price then leaves it: a slice of the liquidation stops where it could
    still be paid. At most 1 %, so that equity less maintenance falls with every loss whatever else the account holds.
    """

    fee: Literal["none", "taker", "liquidation"] = "none"
    at: Literal["mark", "bankruptcy"] = "mark"
    impact_ppm: Ppm = 0
    fixed: Whole = 0

    @model_validator(mode="after")
    def _says_something(self) -> "Closing":
        if self.at == "bankruptcy" and (self.fee == "none" or self.impact_ppm):
            raise At(("at",), "only a fee is known at the bankruptcy price", "a fee, no impact_ppm; or at: mark")
        if self.fee == "none" and not self.impact_ppm and not Fraction(self.fixed):
            raise At(("fee",), "closing costs nothing", "leave the row out, or fee: taker")
        return self


Ppb = Annotated[StrictInt, Field(ge=0, le=units.FUNDING_RATE_MAX_PPB)]


class Funding(Row):
    """Longs pay shorts (a negative rate: the other way round) every `every_ns`, at whole multiples of it since the epoch.

    rate = clamp(P + clamp(interest - P, -damp, damp), -cap, cap), ppb of the notional at the mark. P is the mean premium of the
    interval, (mid of the book - index) / index in ppb, sampled at each publication of the index, both rounded down; without a
    sample it is 0. What an account pays is rounded up; the remainders are the funding residue's. While the balances of the
    settlement asset, sizes summed, are above 10^33 money units, no interval is paid: each is a FUNDING_LIMIT.
    """

    every_ns: Annotated[StrictInt, Field(ge=units.FUNDING_INTERVAL_MIN_NS, le=units.DURATION_MAX_NS)]
    interest_ppb: Annotated[StrictInt, Field(ge=-units.FUNDING_RATE_MAX_PPB, le=units.FUNDING_RATE_MAX_PPB)] = 0
    damp_ppb: Ppb = 0
    cap_ppb: Ppb = units.FUNDING_RATE_MAX_PPB


class Settlement(Row):
    """How a market ends: all its positions are closed at one price, and nothing trades there any more.

    price index: that of the market's index as it is published then; average: the mean of its latest `publications` that were
    VALID, rounded down. At that time open orders are cancelled, waiting ones too, an auction does not trade, and the market is
    CLOSED for good. Every position gets lots x value(price), the backstop's too: longs and shorts sum to exactly nothing. Where
    the index is not VALID `settle` of the grade table says what happens: last_valid takes its last valid price; else, and where
    the market has no such price, the positions wait, their liquidation deferred, and it is tried again every retry_ns.
    """

    price: Literal["index", "average"] = "index"
    publications: Annotated[StrictInt, Field(ge=1, le=units.SAMPLES_MAX)] | None = None
    retry_ns: Interval = units.NS

    @model_validator(mode="after")
    def _parameters(self) -> "Settlement":
        if (self.price == "average") != (self.publications is not None):
            needs = "needs" if self.price == "average" else "takes no"
            raise At(("price",), f"settlement at the '{self.price}' {needs} publications")
        return self


class SelfTrade(Row):
    """What happens where an order would trade with its own account, or with its own owner; an order may name another mode.

    The mode of the taker decides. cancel_taker: what is left of it is cancelled; cancel_maker: the resting order is;
    cancel_both; decrement: both lose the lots that they would have traded. A resting order that a liquidation order of the
    same owner meets is cancelled, whatever stands here. In an auction nothing is prevented: there is no taker.
    """

    mode: Literal["allow", "cancel_taker", "cancel_maker", "cancel_both", "decrement"] = "allow"
    by: Literal["account", "owner"] = "account"


BandPolicy = Literal["reject", "reprice", "clip"]


class PercentBand(Row):
    """Orders buy up to anchor x (1 + up), rounded down to a tick, and sell down to anchor x (1 - down), rounded up.

    anchor: the mark or the index, its last valid price; without one nothing is refused. An order beyond its bound is refused
    (reject), takes the bound as its price (reprice), or takes it and loses what does not trade at once (clip: a limit IOC at the
    bound, whatever its kind; post-only, and in an auction, it is refused). MARKET orders are never refused: their own bound is
    narrowed. It is judged when an order passes the gate, reduce-only and close-only ones too, before what its price decides:
    margin, limits, crossing. FOK then trades all of it inside the bound or is refused; post-only rests at the bound, or crosses
    there; an amendment that keeps its place has its old price, any other is a new order. What rests stays when the band moves.
    liquidation: slices of the liquidation, and collateral sold in this book, stay inside too.
    """

    kind: Literal["percent"]
    anchor: Literal["mark", "index"] = "mark"
    up_ppm: Annotated[StrictInt, Field(ge=1, le=units.BAND_MAX_PPM)]
    down_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    policy: BandPolicy = "reject"
    liquidation: StrictBool = False


class BandPremium(Row):
    """a P of an IndexBand: a is alpha, P the mean of the last samples of mid of the book - M (form index: - I), rounded down.

    One at each publication of the mark, none while a side of the book is empty or M (or I) is not VALID. Without any P is 0.
    """

    samples: Annotated[StrictInt, Field(ge=1, le=units.SAMPLES_MAX)]
    alpha_ppm: Annotated[StrictInt, Field(ge=0, le=units.BAND_MAX_PPM)] = units.PPM


class IndexBand(Row):
    """Bounds around mark M and index I, with inner and outer rates x < y and a premium P. Otherwise as PercentBand.

    mark:  highest = min(M (1 + y), max(I, M (1 + x) + a max(0, P))), lowest = max(M (1 - y), min(I, M (1 - x) + a min(0, P)))
    index: highest = min(I (1 + y), max(I, I (1 + x) + a P)),         lowest = max(I (1 - y), min(I, I (1 - x) + a P))

    rounded inward to a tick; without a last valid I, or M where the form reads it, there is no band. Sources: mark, Bybit's
    price limit of futures (docs/v5/account/set-price-limit.mdx); index, OKX's after a listing (okx.com/help/6974388462605).
    """

    kind: Literal["index_anchored"]
    form: Literal["mark", "index"] = "mark"
    inner_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    outer_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    premium: BandPremium | None = None
    policy: BandPolicy = "reject"
    liquidation: StrictBool = False


Band = Annotated[Union[PercentBand, IndexBand], Field(discriminator="kind")]


class LimitUpDown(Row):
    """No trade beyond anchor x (1 +- ppm), rounded inward to a tick; an order that would trade there pauses the market.

    Whatever its kind, it trades up to the limit and its rest is cancelled; a slice of the liquidation stops, and its account goes
    on with its stages. FOK counts what stands inside, and is refused without a pause. Orders at rest stay, also beyond a limit:
    they stop whoever comes to them, from either side. The market is PAUSED for pause_ns, then open again, or (resume: auction)
    collects orders for auction_ns and is uncrossed. A STATE event in between stands and ends the pause. Only an open market
    pauses: in another state the order just stops there. anchor: as in PercentBand. What an auction trades is not limited.
    """

    anchor: Literal["mark", "index"] = "mark"
    ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    pause_ns: Interval
    resume: Literal["open", "auction"] = "open"
    auction_ns: Interval = 30 * units.NS


class MarketLimits(Row):
    """What one order and one owner may be. notional_max in whole units of the settlement asset, at the order's price.

    position_max: lots that the accounts of one owner could hold together on a side, each with all its open orders of that side
    filled; an order that raises this is refused beyond it. open_interest_max: lots; an order is refused that could raise the open
    interest beyond it: no fill raises that by more than its taker's own position grows. In an auction, where two orders at rest
    meet, one of them is cancelled instead of passing it. None of these binds the liquidation.
    """

    qty_max: Annotated[StrictInt, Field(ge=1, le=units.QTY_MAX)] | None = None
    notional_max: Whole | None = None
    position_max: Annotated[StrictInt, Field(ge=1, le=units.POSITION_MAX)] | None = None
    open_interest_max: Annotated[StrictInt, Field(ge=1, le=units.POSITION_MAX)] | None = None


class Requirement(NamedTuple):
    """A piece of what positions of a market require, in money units: of notionals above the piece before it, up to notional_max.

    Maintenance is notional x rate / of, rounded up, - amount, never below 0. initial_ppm: None where leverage alone says it.
    """

    notional_max: int
    leverage_max: int
    initial_ppm: int | None
    rate: int
    of: int
    amount: int

    @property
    def rate_ppm(self) -> int:
        """Return the rate, rounded down."""
        return self.rate * units.PPM // self.of

    @property
    def rate_ppm_up(self) -> int:
        """Return the rate, rounded up."""
        return units.div_ceil(self.rate * units.PPM, self.of)


@cache
def initial_rate(own_ppm: int | None, leverage: int, divides: bool) -> Fraction:
    """Return an initial rate: 1 / leverage; where a bracket names its own, that over the leverage, or the larger of the two."""
    if own_ppm is None:
        return Fraction(1, leverage)
    own = Fraction(own_ppm, units.PPM)
    return own / leverage if divides else max(own, Fraction(1, leverage))


class Market(Row):
    """linear: a perpetual; one lot is worth price x multiplier money units of the settlement asset, the numeraire.

    inverse: a perpetual of lots of the quote currency, settled in the coin, the numeraire: one lot is worth -(lot / price) of it,
    rounded toward -inf, so that a long gains when the price rises. Its coin has at least 12 decimals, and prices end where a unit
    of money is 1 ppm of a lot. quanto: as linear, a lot is worth `quanto` whole units of the settlement asset a unit of price.

    spot: lots of the asset `base` against the asset `settles_in`, delivered at once: no leverage, no brackets, no funding. An
    order needs what it gives, and equity without it at or above initial margin; a limit order of an account without debts and
    requirements goes at any grade. A resting order whose account has no longer what a fill of it gives is cancelled when it would
    fill; so is the rest of a taker that has not what the next fill takes, its fee rounded up, or no room for what it brings.

    market_bound_ticks: where it is given a MARKET order trades at most so many ticks beyond the best opposite price; else at most
    market_bound_ppm from the mark. trigger_protect_ppm: how far the price that fires a PROTECT order may be from the mark.
    price_min: the lowest price of orders and of a valid mark, whole quote units, 0 or negative: linear only. What has no meaning
    there is refused: funding, quoters, an index-anchored band, a margin by entry, trailing orders; triggers stay positive, and an
    amendment to price 0 keeps the price. Margin, fees, and the rates of bounds and bands are of the size of the price: of a mark
    at 0 they are nothing, so that a maintenance_min stands better beside it, and MARKET orders are better bounded in ticks.
    Absent: prices are positive. Source: CME's notice on negative prices, 2020-04-15; WTI settled at -37.63 on 2020-04-20.
    expires: a dated future, closed and settled at that time; it has no funding. settlement: at what price; a perpetual with this
    row may be delisted by a DELIST event, and a dated one earlier than it expires.
    auction_reference: of the prices that trade most and leave least, an auction takes the nearest to this one (the last valid
    mark or index price, or the last trade), then the higher; the highest while there is none.
    maintenance_min, whole settlement asset: no position asks for less maintenance, whatever its notional; what closing it is
    taken to cost comes on top. Who has less equity than these minima is liquidated for that Reason, MINIMUM.
    """

    name: Name
    payoff: Literal["linear", "inverse", "quanto", "spot"] = "linear"
    quanto: Whole | None = None
    base: Name | None = None
    settles_in: Name
    index: Name
    mark: Mark
    price_decimals: Decimals
    price_min: Signed | None = None
    tick_size: Count = 1
    lot: Lot
    fees: Fees = Fees()
    leverage_default: Annotated[StrictInt, Field(ge=1, le=units.LEVERAGE_MAX)] = 20
    market_bound_ppm: Ppm = 300_000
    market_bound_ticks: Annotated[StrictInt, Field(ge=0, le=units.PRICE_MAX)] | None = None
    trigger_protect_ppm: Ppm = 150_000
    self_trade: SelfTrade = SelfTrade()
    band: Band | None = None
    limit_up_down: LimitUpDown | None = None
    limits: MarketLimits = MarketLimits()
    auction_reference: Literal["mark", "index", "last"] = "mark"
    brackets: Annotated[list[Bracket], Field(max_length=units.BRACKETS_MAX)] = []
    maintenance_min: Whole = 0
    closing: Closing | None = None
    margin: Margin = Margin()
    funding: Funding | None = None
    expires: AwareDatetime | None = None
    settlement: Settlement | None = None

    @property
    def spot(self) -> bool:
        return self.payoff == "spot"

    @model_validator(mode="after")
    def _kind(self) -> "Market":
        if (self.payoff == "quanto") != (self.quanto is not None):
            raise At(("quanto",), "it says what a lot is worth a unit of price", "quanto: with payoff: quanto, and only there")
        if self.expires is not None:
            self._dated()
        if self.price_min is not None:
            self._signed()
        if not self.spot:
            if self.base is not None:
                raise At(("base",), "a perpetual has no base asset", "only payoff: spot delivers one")
            if not self.brackets:
                raise At(("brackets",), "a perpetual needs at least one bracket")
            return self
        if self.base is None or self.base == self.settles_in:
            raise At(("base",), "a spot market needs a base asset other than settles_in")
        for field in ("position_max", "open_interest_max"):
            if getattr(self.limits, field) is not None:
                raise At(("limits", field), "a spot market has no positions")
        for field, wrong in (
            ("settlement", self.settlement is not None),
            ("brackets", bool(self.brackets)),
            ("margin", self.margin != Margin()),
            ("funding", self.funding is not None),
            ("closing", self.closing is not None),
            ("maintenance_min", bool(Fraction(self.maintenance_min))),
            ("mark", self.mark.kind != "index"),
        ):
            if wrong:
                raise At((field,), f"a spot market has no such {field}", "neither leverage nor funding; mark: {kind: index}")
        return self

    @property
    def closing_ppm(self) -> int:
        """Return what closing is taken to cost, ppm of the notional at the mark."""
        return self._closing_fee("mark") + self.closing.impact_ppm if self.closing else 0

    @property
    def bankruptcy_fee_ppm(self) -> int:
        """Return the fee of closing that counts at the bankruptcy price, and that this price leaves."""
        return self._closing_fee("bankruptcy") if self.closing else 0

    def _closing_fee(self, at: str) -> int:
        fees = {"none": 0, "taker": self.fees.taker_ppm, "liquidation": self.fees.liquidation_ppm}
        return fees[self.closing.fee] if self.closing.at == at else 0

    @model_validator(mode="after")
    def _closing(self) -> "Market":
        if self.closing is None:
            return self
        if self.bankruptcy_fee_ppm > units.PPM // 100:
            raise At(("closing", "at"), f"a fee of {self.bankruptcy_fee_ppm} ppm at the bankruptcy price", "at most 10000")
        if self.closing.fee != "none" and not self._closing_fee(self.closing.at):
            raise At(
                ("closing", "fee"), f"the market has no {self.closing.fee} fee", f"fees.{self.closing.fee}_ppm, or fee: none"
            )
        most = max((self.maintenance_rate(row) for row in self.brackets), default=Fraction(0)) * units.PPM
        if most + self.closing_ppm > units.PPM:
            raise At(("closing",), f"{self.closing_ppm} ppm beside a maintenance rate of {int(most)} are more than 100 %")
        return self

    def _signed(self) -> None:
        """What has no meaning at zero or below it is refused; the price itself is judged with its index, by the Venue."""
        if self.payoff != "linear":
            raise At(("price_min",), f"a lot of a market that is {self.payoff} is worth nothing at or below 0", "payoff: linear")
        if self.funding is not None:
            raise At(("funding",), "a rate of a price at or below 0 has no meaning", "no funding: a dated future has none either")
        if self.band is not None and self.band.kind != "percent":
            raise At(("band",), "an index-anchored band has no meaning at or below 0", "kind: percent")
        if self.margin.basis == "entry":
            raise At(("margin", "basis"), "lots entered on both sides of 0 may have cost nothing together", "basis: mark")

    def _dated(self) -> None:
        if self.settlement is None:
            raise At(("expires",), "a market that expires needs a price to be settled at", "settlement: {price: index}")
        if self.funding is not None:
            raise At(("funding",), "a dated future has no funding: its price meets the index when it expires")
        if not 0 < units.instant_to_ns(self.expires) <= units.TIMES_MAX_NS:
            raise At(("expires",), "out of bounds", f"1970 to {units.ns_to_instant(units.TIMES_MAX_NS)}")

    @property
    def expires_ns(self) -> int | None:
        """Return when it expires, ns since the epoch; None: never."""
        return None if self.expires is None else units.instant_to_ns(self.expires)

    @staticmethod
    def _money(value: int | str, path: tuple) -> int:
        try:
            return whole(value, units.DECIMALS_MAX)
        except ValueError as error:
            raise At(path, str(error)) from None

    @model_validator(mode="after")
    def _continuous(self) -> "Market":
        if self.tick_size > units.PRICE_MAX:
            raise At(("tick_size",), "the tick is above the largest price")
        before = None
        for i, row in enumerate(self.brackets):
            self._said(i, row)
            cap, amount = (self._money(getattr(row, field), ("brackets", i, field)) for field in ("notional_max", "amount"))
            if before is None:
                if amount:
                    raise At(("brackets", i, "amount"), "the first bracket starts at 0: its maintenance amount is 0")
            else:
                floor, last, amount_before = before
                if cap <= floor:
                    raise At(
                        ("brackets", i, "notional_max"),
                        f"{row.notional_max} does not exceed the bracket before it",
                        "ascending, without a gap",
                    )
                self._follows(i, row, last, floor, amount_before)
            self._initial_covers(i, row)
            before = (cap, row, amount)
        return self

    def _said(self, i: int, row: Bracket) -> None:
        """A bracket names its rate, or it follows from the leverage: one of the two."""
        half = self.margin.maintenance == "half_initial"
        if not half and row.maintenance_ppm is None:
            raise At(("brackets", i), "maintenance_ppm is missing", "a rate in ppm; only half_initial needs none")
        for field in ("maintenance_ppm", "amount") if half else ("amount",) if self.margin.tiers == "whole" else ():
            if getattr(row, field):
                why = "half_initial: it follows from leverage_max" if half else "tiers whole: they have no amount"
                raise At(("brackets", i, field), f"margin has {why}", f"no {field}")
        if self.margin.leverage == "divides" and row.initial_ppm is None:
            raise At(("brackets", i), "a leverage that divides needs an initial_ppm", "initial_ppm, or margin.leverage: caps")

    def _follows(self, i: int, row: Bracket, last: Bracket, floor: int, amount_before: int) -> None:
        """Rates never fall; what marginal tiers ask for does not jump."""
        if row.maintenance() < last.maintenance():
            field = "maintenance_ppm" if self.margin.maintenance == "rate" else "leverage_max"
            raise At(
                ("brackets", i, field),
                f"{getattr(row, field)} is {'below' if field == 'maintenance_ppm' else 'above'} the bracket before it",
                "maintenance rates never fall",
            )
        if self.margin != Margin() and (self.margin.tiers == "whole" or self.margin.maintenance == "half_initial"):
            return
        want = amount_before * units.PPM + floor * (row.maintenance_ppm - last.maintenance_ppm)
        if self._money(row.amount, ("brackets", i, "amount")) * units.PPM != want:
            right = units.int_to_decimal(want // units.PPM, units.DECIMALS_MAX).rstrip("0").rstrip(".")
            raise At(
                ("brackets", i, "amount"),
                f"maintenance jumps where this bracket begins: amount {row.amount}",
                f"continuous with {right}",
            )

    def _initial_covers(self, i: int, row: Bracket) -> None:
        """The initial rate at the highest leverage is at least the maintenance rate."""
        initial, maintenance = self.initial_rate(row, row.leverage_max), self.maintenance_rate(row)
        if initial < maintenance:
            said = f"{row.initial_ppm} ppm" if row.initial_ppm is not None else f"1/{row.leverage_max}"
            if self.margin.leverage == "divides":
                said += f" / {row.leverage_max}"
            rate = f"{maintenance.numerator * units.PPM // maintenance.denominator} ppm"
            raise At(("brackets", i, "leverage_max"), f"initial margin {said} is below maintenance {rate}")

    def initial_rate(self, row: Bracket, leverage: int) -> Fraction:
        """Return a bracket's initial rate at a chosen leverage, before size and open interest raise it."""
        return initial_rate(row.initial_ppm, min(leverage, row.leverage_max), self.margin.leverage == "divides")

    def maintenance_rate(self, row: Bracket) -> Fraction:
        """Return a bracket's maintenance rate with slippage, before size raises it."""
        return row.maintenance() + Fraction(self.margin.slippage_ppm, units.PPM)

    def amounts(self) -> list[Fraction]:
        """Return each bracket's maintenance amount in whole units, exact; of half_initial what makes maintenance continuous."""
        if self.margin.maintenance == "rate" or self.margin.tiers == "whole":
            return [Fraction(row.amount) for row in self.brackets]
        found = [Fraction(0)] * bool(self.brackets)
        for before, row in zip(self.brackets, self.brackets[1:]):
            found.append(found[-1] + Fraction(before.notional_max) * (row.maintenance() - before.maintenance()))
        return found

    @model_validator(mode="after")
    def _scaled(self) -> "Market":
        """Requirements that grow with size or open interest are those of one bracket, and of coins."""
        margin = self.margin
        for field in ("size", "open_interest"):
            if getattr(margin, field) is not None and len(self.brackets) > 1:
                raise At(("margin", field), f"it scales one rate: there are {len(self.brackets)} brackets", "one bracket")
        if margin.size and margin.open_interest:
            raise At(("margin", "open_interest"), "initial margin grows with size already", "size or open_interest")
        if margin.size and Fraction(self.maintenance_min):
            raise At(("margin", "size"), "a rate that grows with the position beside a maintenance_min", "one of them")
        if margin.size and self.payoff == "inverse":
            raise At(("margin", "size"), "lots of an inverse market are of the quote currency, not coins", "a linear market")
        if margin.open_interest:
            row = margin.open_interest
            low, high = (self._money(getattr(row, name), ("margin", "open_interest", name)) for name in ("lower", "upper"))
            if high < low:
                raise At(("margin", "open_interest", "upper"), f"{row.upper} is below lower {row.lower}")
        if self.brackets and self.maintenance_rate(self.brackets[-1]) > 1:
            raise At(("margin", "slippage_ppm"), "slippage and maintenance rate together are above 100 %", "a lower slippage_ppm")
        return self


class CollateralTier(Row):
    """From qty_from whole units of the asset on, up to the next tier, what is held counts at weight_ppm."""

    qty_from: Whole
    weight_ppm: Ppm


class Part(Row):
    """A fraction that no decimal need say: part / of."""

    part: Annotated[StrictInt, Field(ge=0, le=units.PART_MAX)]
    of: Annotated[StrictInt, Field(ge=1, le=units.PART_MAX)]

    @model_validator(mode="after")
    def _below_one(self) -> "Part":
        if self.part >= self.of:
            raise At(("part",), f"{self.part} of {self.of} is no part of it", f"at most {self.of - 1}, or leave the row out")
        return self


class Collateral(Row):
    """An asset that counts in the pool. Haircuts only on positive balances; a debt counts at liability_weight_ppm >= 10^6.

    Converted to the treasury at index x (1 - convert_buffer_ppm), or sold in the spot market `market` of asset and numeraire.

    tiers: weight_ppm counts up to the first one, then each slice at its own; a last one at 0 caps what an account may count
    (OKX discount tiers, Bybit tiered ratios).

    imf_factor_ppm, f: with sqrt(q) of the q whole units held or owed, all of the balance counts at min(weight, 1.1 / (1 + f
    sqrt q)), a debt at max(weight, 0.8 weight + f sqrt q), at most LIABILITY_WEIGHT_MAX_PPM; exact, then rounded down to
    weight_unit_ppm. Where that rounding makes a balance count for less than a smaller one would, it counts as that one: more
    never counts for less (Drift, math/margin.rs).

    initial_weight_ppm: the weight where initial margin is asked for (orders, leverage, withdrawals, transfers), at most
    weight_ppm; absent: that. deposits_max (whole numeraire): that weight x min(1, deposits_max / (what all users hold x price)),
    the value of what they hold rounded up, the weight down to weight_unit_ppm; it changes when the price is published, not in
    between, and the trigger never sees it (Drift, scale_initial_asset_weight_start).

    trigger_haircut: which part of the haircut 1 - weight the trigger still applies, where initial margin is asked for all of it:
    1/2 lifts a weight w to w + (1 - w) / 2 (Hyperliquid portfolio margin).
    """

    asset: Name
    index: Name
    weight_ppm: Ppm
    tiers: Annotated[list[CollateralTier], Field(max_length=units.BRACKETS_MAX)] = []
    imf_factor_ppm: Ppm = 0
    weight_unit_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)] = 1
    initial_weight_ppm: Ppm | None = None
    deposits_max: Whole | None = None
    trigger_haircut: Part | None = None
    liability_weight_ppm: Annotated[StrictInt, Field(ge=units.PPM, le=units.LIABILITY_WEIGHT_MAX_PPM)] = units.PPM
    convert_buffer_ppm: Ppm = 0
    market: Name | None = None

    @model_validator(mode="after")
    def _tiers(self) -> "Collateral":
        before = Fraction(0)
        for i, row in enumerate(self.tiers):
            if Fraction(row.qty_from) <= before:
                raise At(("tiers", i, "qty_from"), f"{row.qty_from} overlaps the tier before it", "ascending, the first above 0")
            before = Fraction(row.qty_from)
        for field in ("imf_factor_ppm", "initial_weight_ppm", "deposits_max"):
            if self.tiers and getattr(self, field):
                raise At((field,), "a weight by tiers is no other weight too", f"tiers or {field}, not both")
        return self

    @model_validator(mode="after")
    def _weights(self) -> "Collateral":
        if self.initial_weight_ppm is not None and self.initial_weight_ppm > self.weight_ppm:
            raise At(
                ("initial_weight_ppm",),
                f"{self.initial_weight_ppm} is above weight_ppm: what is opened with it is liquidated at once",
                f"at most {self.weight_ppm}",
            )
        if self.weight_unit_ppm > 1 and not self.imf_factor_ppm and self.deposits_max is None:
            raise At(("weight_unit_ppm",), "no weight of this row is rounded", "with imf_factor_ppm or deposits_max")
        return self


class Grandfather(Row):
    """Positions open when a change takes effect keep the maintenance of the table before it where that is lower.

    Until they grow, turn or close; and with for_ns at most so long. A position that moves to a sub-account keeps it. The next
    change of the market's maintenance ends it. Initial margin, so whatever opens, is of the new table at once.
    """

    for_ns: Ns | None = None


class Change(Row):
    """A change of rules in flight: announced, then in force from its time on. The event RULE_CHANGE names the row and the time.

    effective_from: in force then without an event, announced at `announced`, or where that is absent at the start of the run. An
    event's time stands before this one, 0 is at once; announced again before its time a change moves, RULE_WITHDRAWN takes it
    back. When it takes effect every account is valued anew.

    Of a market, in this order: brackets, a whole new table; maintenance_scale_ppm, the rates of the table (in force or new) times
    this, rounded up to a ppm, the amounts of marginal tiers recomputed so that maintenance stays continuous; leverage_max, the
    caps of the table at most this. Rates with maintenance_min, closing or slippage in them are not scaled, and those of
    half_initial follow from the leverage: another table says what a scale or a cap would. The market's margin row stays as it is.

    Of a collateral asset: weight_ppm, liability_weight_ppm, convert_buffer_ppm; where it has no initial_weight_ppm this is the
    weight too, and what deposits_max makes of it is found anew. Tiers from qty_from on stay.

    A table must keep what a rule book promises: no rate above 100 %, initial margin not below maintenance, continuous, amounts
    that are whole units of money in their bounds. A whole table is judged with the rule book; what depends on the table in force
    is judged when it is announced (a REJECT, CHANGE_BREAKS_BOUND) and again at its time (dropped): it is refused whole.
    """

    WEIGHTS: ClassVar = ("weight_ppm", "liability_weight_ppm", "convert_buffer_ppm")

    name: Name
    market: Name | None = None
    brackets: Annotated[list["Bracket"], Field(min_length=1, max_length=units.BRACKETS_MAX)] | None = None
    maintenance_scale_ppm: Annotated[StrictInt, Field(ge=1, le=units.SCALE_MAX_PPM)] | None = None
    leverage_max: Annotated[StrictInt, Field(ge=1, le=units.LEVERAGE_MAX)] | None = None
    grandfather: Grandfather | None = None
    collateral: Name | None = None
    weight_ppm: Ppm | None = None
    liability_weight_ppm: Annotated[StrictInt, Field(ge=units.PPM, le=units.LIABILITY_WEIGHT_MAX_PPM)] | None = None
    convert_buffer_ppm: Ppm | None = None
    announced: AwareDatetime | None = None
    effective_from: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "Change":
        of_market = [name for name in ("brackets", "maintenance_scale_ppm", "leverage_max") if getattr(self, name) is not None]
        of_asset = [name for name in self.WEIGHTS if getattr(self, name) is not None]
        if (self.market is None) == (self.collateral is None):
            wrong = "neither market nor collateral" if self.market is None else "a market and collateral"
            raise At((), f"change '{self.name}' names {wrong}", "one of the two")
        if self.market is None and (of_market or self.grandfather):
            raise At(((of_market or ["grandfather"])[0],), "this is a change of collateral", "market: whose table it changes")
        if self.collateral is None and of_asset:
            raise At((of_asset[0],), "this is a change of a market", "collateral: whose weights it changes")
        if not of_market and not of_asset:
            known = "brackets, maintenance_scale_ppm, leverage_max" if self.market else ", ".join(self.WEIGHTS)
            raise At((), f"change '{self.name}' changes nothing", f"at least one of {known}")
        if self.grandfather and of_market == ["leverage_max"]:
            raise At(("grandfather",), "a cap of leverage changes no maintenance: there is nothing to keep", "leave it out")
        if self.announced is not None and (self.effective_from is None or self.announced > self.effective_from):
            raise At(("announced",), "it is announced no later than it takes effect", "effective_from: a time after it")
        return self


Permits = dict[
    Literal["open", "reduce", "withdraw", "liquidate", "takeover", "convert", "adl", "funding", "trigger", "settle"],
    Literal["allow", "last_valid", "defer", "refuse"],
]


class Grades(Row):
    """What is allowed at a grade; VALID allows everything. An action that a row does not name is refused."""

    stale: Permits = {}
    too_few_sources: Permits = {}
    invalid: Permits = {}

    def permit(self, grade: Grade, action: Action) -> Permit:
        """Return the permit of an action at a grade."""
        if grade == Grade.VALID:
            return Permit.ALLOW
        row = {Grade.STALE: self.stale, Grade.TOO_FEW_SOURCES: self.too_few_sources, Grade.INVALID: self.invalid}[grade]
        return Permit[row.get(action.name.lower(), "refuse").upper()]

    @model_validator(mode="after")
    def _numbers_are_not_evaluated(self) -> "Grades":
        for name in ("stale", "too_few_sources", "invalid"):
            for action, permit in getattr(self, name).items():
                if permit == "allow":
                    raise At(
                        (name, action),
                        f"'allow' at grade {name}: there is no trusted price to allow it at",
                        "last_valid, defer or refuse",
                    )
        return self


StatePermits = dict[
    Literal["open", "reduce", "cancel", "amend", "take", "trigger", "withdraw", "liquidate", "takeover", "adl", "funding"],
    Literal["allow", "defer", "refuse"],
]
_CLOSED: StatePermits = {
    "open": "refuse",
    "reduce": "refuse",
    "amend": "refuse",
    "trigger": "defer",
    "liquidate": "defer",
    "takeover": "defer",
    "adl": "defer",
}


class States(Row):
    """What is allowed in a market that is not open; an action that a row does not name is allowed. STATE events switch.

    A market that is CLOSED, at its end, has no row: it takes no orders and no state, and nobody is liquidated in it.

    open, reduce, cancel, amend: orders of this market; an order reduces if it closes, in full, what the account holds: together
    with the account's resting orders of its side, unless it is reduce-only. take: orders that would trade at once. trigger:
    waiting orders fire. Resting orders stay and may fill. withdraw: of accounts that hold a position in it. An account whose
    liquidation is deferred or refused is suspended; a funding interval is skipped. A quoter takes its quotes away where it may
    not open. auction: orders collect, whatever stands here of take; IOC, FOK and MARKET orders are refused.
    """

    reduce_only: StatePermits = {"open": "refuse"}
    halted: StatePermits = _CLOSED
    cancel_only: StatePermits = _CLOSED
    post_only: StatePermits = {"take": "refuse", "trigger": "defer", "liquidate": "defer", "takeover": "defer", "adl": "defer"}
    auction: StatePermits = {"trigger": "defer", "liquidate": "defer", "takeover": "defer", "adl": "defer"}
    paused: StatePermits = _CLOSED
    _closed: ClassVar[StatePermits] = _CLOSED | {"cancel": "refuse", "take": "refuse", "funding": "refuse"}

    def permit(self, state: MarketState, action: Action) -> Permit:
        """Return the permit of an action in a market of that state."""
        if state == MarketState.OPEN:
            return Permit.ALLOW
        row = self._closed if state == MarketState.CLOSED else getattr(self, state.name.lower())
        return Permit[row.get(action.name.lower(), "allow").upper()]


class BoundBankruptcy(Row):
    """No fill worse than the price at which the account's own margin is used up.

    under_water: what it is once nothing is left of the margin. mark: no fill worse than the mark (Injective: the bankruptcy price
    while it is on the losing side of the oracle, else the oracle). bankruptcy: the same price, which then is on the other side of
    the mark (BitMEX): a fill leaves no debt, or there is none.
    """

    kind: Literal["bankruptcy"]
    under_water: Literal["mark", "bankruptcy"] = "mark"


class BoundMark(Row):
    """No fill further than ppm from the mark."""

    kind: Literal["mark"]
    ppm: Ppm


class Enter(Row):
    """A stage is entered only while equity / maintenance of the account is below one ratio, at least another, or both.

    Judged when its turn comes, exactly. Equity below 0 is below every ratio; without maintenance nothing else is.
    """

    below: Ratio | None = None
    at_least: Ratio | None = None

    @model_validator(mode="after")
    def _order(self) -> "Enter":
        if self.below is None and self.at_least is None:
            raise At(("below",), "a condition without a ratio", "below: '2/3', at_least: '2/3', or no enter at all")
        if self.below is not None and self.at_least is not None and Fraction(self.at_least) >= Fraction(self.below):
            raise At(("at_least",), f"never true: at least {self.at_least} and below {self.below}")
        return self


class BoundFillable(Row):
    """No fill worse than mark x (1 - a x spread x rate) of a long, 1 + of a short; rounded inward to a tick.

    a = clamp(adjustment x (1 - equity / maintenance), 0, 1): the deeper the account is below its maintenance, the further from
    the mark. rate: the position's maintenance by its notional. The exact price is rounded once. Source: dYdX v4's fillable price
    (v4-chain, x/clob, GetFillablePrice; liquidations_config: bankruptcy_adjustment_ppm, spread_to_maintenance_margin_ratio_ppm).
    """

    kind: Literal["fillable"]
    bankruptcy_adjustment_ppm: Annotated[StrictInt, Field(ge=1, le=units.ADJUSTMENT_MAX_PPM)]
    spread_to_maintenance_ppm: Annotated[StrictInt, Field(ge=1, le=units.SPREAD_MAX_PPM)]


Bound = Annotated[Union[BoundBankruptcy, BoundMark, BoundFillable], Field(discriminator="kind")]


class CancelStage(Row):
    """Cancel all orders of every selected account before any of them trades."""

    kind: Literal["cancel"]


Multiplier = Annotated[StrictInt, Field(ge=units.PPM // 2, le=2 * units.PPM)]


class TransferStage(Row):
    """The backstop takes over what the account owes of an asset, against collateral: as much as its margin is short of.

    Debts of the numeraire first (of the wallet: what open positions cost is no debt), then in the order of the collateral rows,
    against each collateral in that order, while the trigger is true. With the price P and the weight L of the debt, and w the
    weight of the collateral x asset_multiplier / liability_multiplier, rounded down to weight_unit_ppm:

        taken over = shortage / (P (L - w) - P insurance_fee L), rounded down; all where no amount makes up for the shortage
        given      = taken over x P x asset_multiplier / (price of the collateral x liability_multiplier), rounded down
        fee        = taken over x insurance_fee, rounded up, of the asset that is owed, to the fund

    Never more than is owed, nor than all of the collateral pays for; nothing where the fee is all of it. Source: Drift,
    math/liquidation.rs.
    """

    kind: Literal["transfer"]
    asset_multiplier_ppm: Multiplier = units.PPM
    liability_multiplier_ppm: Multiplier = units.PPM
    insurance_fee_ppm: Ppm = 0
    weight_unit_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)] = 1


class Insurance(Row):
    """What the fund gets of a slice, or pays for it: the insurance delta x = what its fills brought - the lots' bankruptcy value.

    x < 0: the fund pays the account -x, what it may; the rest is a FUND_SHORT, and what the account is worse off stays with it.
    x > 0: the account pays the fund min(x, |what they brought| x max_fee_ppm), rounded up; what is left of the surplus is the
    account's: all of it at 0, nothing at 10^6 (BitMEX). A slice counts as a whole. Sources: dYdX v4 (x/clob, insurance fund
    delta; max_liquidation_fee_ppm), BitMEX.
    """

    max_fee_ppm: Ppm


class Shortage(Row):
    """The lots whose closing frees the shortage: (maintenance - equity) / (value x (rate - discount - liquidation fee)).

    Rounded down, at least a lot; all where closing frees nothing. value: at the mark. rate: of the position's bracket and of what
    closing is taken to cost, in ppm, rounded down; what size adds is not in it. discount_ppm: what closing loses against the
    mark, a liquidator's fee. Source: Drift v2 (math/liquidation.rs).
    """

    kind: Literal["shortage"]
    discount_ppm: Ppm = 0


class Tiers(Row):
    """The lots beyond the cap of the bracket `down` below the position's, by its notional (margin.basis).

    Beyond the cap of the first bracket where there are fewer.
    Of a position in the first bracket none: the next stage gets it. Sources: OKX (two tiers at a time; in 2018 to the first),
    BitMEX and Bybit (to a lower risk limit).
    """

    kind: Literal["tiers"]
    down: Annotated[StrictInt, Field(ge=1, le=units.BRACKETS_MAX)] = 1


class Share(Row):
    """share_ppm of the position, rounded up to a lot; all of it up to whole_lots, or up to a notional of `whole` (numeraire).

    book_ppm: never more than this share, rounded down, of the lots that the book holds inside the bound: none of an empty book.
    Sources: Hyperliquid (20 % above 100,000 USDC), Vega (0012-POSR-013: disposal rate, full disposal, share of the book).
    """

    kind: Literal["share"]
    share_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    whole: Whole = 0
    whole_lots: Annotated[StrictInt, Field(ge=0, le=units.POSITION_MAX)] = 0
    book_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)] | None = None


Quantity = Annotated[Union[Shortage, Tiers, Share], Field(discriminator="kind")]


class TimeShare(Row):
    """A slice is at most initial + elapsed / duration of what its quantity asks, at least a lot; elapsed: of the episode.

    Rounded down. All of it while maintenance - equity is below `small` (whole numeraire). Source: Drift v2
    (calculate_max_pct_to_liquidate).
    """

    initial_ppm: Ppm
    duration_ns: Ns
    small: Whole = 0


class PositionShare(Row):
    """A slice is at most share_ppm of the position's notional, or notional_min where that is more; and no less than notional_min.

    At the mark, in whole lots: the most is rounded down, the least up; a position below notional_min closes whole. Source: dYdX
    v4 (liquidations config: max_position_portion_liquidated_ppm, min_position_notional_liquidated).
    """

    share_ppm: Annotated[StrictInt, Field(ge=1, le=units.PPM)]
    notional_min: Whole = 0


class BlockLimit(Row):
    """What slices may close of an account, and cost the fund for it, in one window of time: a block.

    Windows last window_ns and begin at whole multiples of it since the epoch. notional_max (whole numeraire): of the lots at the
    mark, the last lot whole. insurance_max (whole numeraire): the fund pays no more for the account's slices; the rest is a
    FUND_SHORT. Once one of them is used up the account waits for the next window, as in a cooldown. Source: dYdX v4
    (liquidations config, subaccount block limits: max_notional_liquidated, max_quantums_insurance_lost).
    """

    window_ns: Interval
    notional_max: Whole | None = None
    insurance_max: Whole | None = None

    @model_validator(mode="after")
    def _limits(self) -> "BlockLimit":
        if self.notional_max is None and self.insurance_max is None:
            raise At(("window_ns",), "a window that limits nothing", "notional_max, insurance_max or both")
        for field in ("notional_max", "insurance_max"):
            if getattr(self, field) is not None and not Fraction(getattr(self, field)):
                raise At((field,), "nothing could ever be closed", f"{field} above 0, or leave it out")
        return self


class BookStage(Row):
    """One bounded IOC slice a round, for the account. quantity restore: the fewest lots that make it safe at the mark.

    choice: of which position, the lower market number of equals: largest_maintenance; largest_notional at the mark;
    largest_loss, entry value less value at the mark; highest_rate, maintenance by notional. time_share, then position_share, then
    block_limit cap what the quantity asks. cooldown_ns: after a slice that traded the account waits so long; until then neither
    this stage nor a later one without a condition of its own (enter) closes its lots, and it is CARRIED with COOLING_DOWN.

    The fund gets fees.liquidation_ppm of what was traded. fee_seniority junior: never more than is left to the account. senior:
    all of it, before the account's debt is covered: what it then lacks is a shortfall. With `insurance` the fund gets or pays the
    insurance delta instead.
    """

    kind: Literal["book"]
    choice: Literal["largest_maintenance", "largest_notional", "largest_loss", "highest_rate"] = "largest_maintenance"
    quantity: Literal["restore", "all"] | Quantity = "restore"
    time_share: TimeShare | None = None
    position_share: PositionShare | None = None
    block_limit: BlockLimit | None = None
    cooldown_ns: Interval | None = None
    enter: Enter | None = None
    bound: Bound
    fee_seniority: Literal["junior", "senior"] = "junior"
    insurance: Insurance | None = None

    @model_validator(mode="after")
    def _one_fee(self) -> "BookStage":
        if self.insurance is not None and self.fee_seniority == "senior":
            raise At(("fee_seniority",), "insurance takes the place of the fee", "leave fee_seniority out, or insurance")
        if self.insurance is None and self.block_limit is not None and self.block_limit.insurance_max is not None:
            raise At(("block_limit", "insurance_max"), "without insurance the fund pays nothing for slices", "insurance: {...}")
        return self


class Vault(Row):
    """An account of the tape that takes positions over before the backstop: whole ones, each that its own margin admits.

    It takes a position if it then holds no more than notional_max (whole numeraire; absent: no cap), and has initial margin for
    all it holds and all its open orders, as for an order that trades at the mark, at what it pays. It must be open and not be in
    liquidation, nor be a sub-account or the account that is closed. What it takes is its own: it may gain, lose, be liquidated
    in its turn. Sources: Hyperliquid (liquidator vault), Lighter (liquidity pool), Paradex (insurance vault).
    """

    account: Annotated[StrictInt, Field(ge=USERS_FROM, le=0xFFFFFFFF)]
    notional_max: Whole | None = None


class TakeoverStage(Row):
    """A vault, or else the backstop, takes what is left, at a price.

    bankruptcy: the mark less the position's share of the margin: never beyond the mark, a debt stays with the account.
    bankruptcy_value: what keeps equity / maintenance of the account as it is, beyond the mark where equity is negative: the last
    position leaves equity 0. mark, oracle: the mark, or the index of the market, its last valid price, less fee_ppm for a long
    and plus it for a short, rounded for the backstop; a position at a time, while the account must be liquidated: the margin
    stays with it. surplus: whose is what a position is worth above its bankruptcy price: the provider's, who takes it at that
    price; or the fund's, and the provider takes it at the mark. Sources: BitMEX, Bybit (bankruptcy); dYdX, Lighter (bankruptcy
    value); Drift (oracle less a fee), Arkham (mark less 1 %).

    vault: who takes before the backstop; absent: nobody. notional_max (whole numeraire): what the backstop may hold in the market
    after it; absent: no cap; 0: it takes nothing. fund_min (whole numeraire): it takes nothing while the fund, by its measure,
    has less.
    """

    kind: Literal["takeover"]
    price: Literal["bankruptcy", "bankruptcy_value", "mark", "oracle"] = "bankruptcy"
    fee_ppm: Annotated[StrictInt, Field(ge=0, lt=units.PPM)] = 0
    surplus: Literal["provider", "fund"] = "provider"
    vault: Vault | None = None
    notional_max: Whole | None = None
    fund_min: Whole | None = None
    enter: Enter | None = None

    @model_validator(mode="after")
    def _parameters(self) -> "TakeoverStage":
        at_a_price = self.price in ("mark", "oracle")
        if self.fee_ppm and not at_a_price:
            raise At(("fee_ppm",), f"a takeover at the {self.price} has no fee", "price: mark or oracle, or no fee_ppm")
        if self.surplus == "fund" and at_a_price:
            raise At(("surplus",), f"a takeover at the {self.price} leaves the margin with the account", "no surplus row")
        return self


class AdlStage(Row):
    """Auto-deleveraging: what neither book nor backstop took is closed against winners on the other side.

    First against the owner's own opposite positions, at the mark: no value moves. Then, if that did not save it, at the
    bankruptcy price down a queue of the other side: by score, highest first, of equals the lower account id, nobody who is in
    liquidation. Each closes what it holds, or what its equity can bear at that price; its orders in the market are cancelled (not
    those of an own leg). score binance: max(0, unrealised profit) / max(1, wallet) x maintenance / equity. fund_max (whole
    numeraire): entered only while the fund, by its measure, has at most this; absent: always.
    """

    kind: Literal["adl"]
    score: Literal["binance"] = "binance"
    price: Literal["bankruptcy"] = "bankruptcy"
    fund_max: Whole | None = None
    enter: Enter | None = None


class ConvertStage(Row):
    """Once flat, collateral is sold until the settlement balance is no longer negative, in the order of the collateral rows.

    to book: into the venue's own spot market, one IOC slice a row and round: the lots that the debt needs at the conversion
    price, no further than bound_ppm below the collateral's price; without a fee. What is less than a lot goes to the treasury.
    The account stays in liquidation until it owes nothing.
    """

    kind: Literal["convert"]
    to: Literal["treasury", "book"] = "treasury"
    bound_ppm: Ppm = units.PPM


class FundStage(Row):
    """The fund pays a shortfall, never more than it has and its row allows; the rest is a FUND_SHORT."""

    kind: Literal["fund"]


class WriteOffStage(Row):
    """What nobody paid becomes bad debt."""

    kind: Literal["write_off"]


StageRow = Annotated[
    Union[CancelStage, TransferStage, BookStage, TakeoverStage, AdlStage, ConvertStage, FundStage, WriteOffStage],
    Field(discriminator="kind"),
]
_STAGE_ORDER = ["cancel", "transfer", "book", "takeover", "adl", "convert", "fund", "write_off"]


class Level(Row):
    """A margin call: an account that holds positions is on the level whose at_most its equity / maintenance does not exceed."""

    name: Name
    at_most: Ratio


class Liquidation(Row):
    """trigger maintenance_ge_equity: maintenance >= equity (a margin ratio of 100 %). order: who goes first in a round.

    Initial margin is at least what does not trigger: where it is no more than maintenance, under maintenance_ge_equity one unit
    of money more.

    preset: a packaged list by name (specs/presets, `riskbed venue list`): its rows hold where this one does not write its own.

    levels, from the highest ratio down: when an account comes to a lower one, or back to a higher one or to none, a MARGIN_LEVEL
    says so, once. They tell and do nothing.

    bankruptcy_unit (whole numeraire): bankruptcy values are rounded up to whole multiples of it, toward +inf, as dYdX rounds them
    to its quote quantums; absent: to the numeraire's own unit. It is the one rounding that can be for the account: less than a
    unit each.
    """

    preset: Annotated[Name | None, Field(exclude=True)] = None  # its rows are here once it is read: no dump names it
    levels: Annotated[list[Level], Field(max_length=units.LEVELS_MAX)] = []
    bankruptcy_unit: Whole | None = None
    trigger: Literal["maintenance_ge_equity", "maintenance_gt_equity"] = "maintenance_ge_equity"
    order: Literal["ratio", "deficit", "account"] = "ratio"
    stages: Annotated[list[StageRow], Field(min_length=1, max_length=units.STAGES_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, rows: object) -> object:
        if not isinstance(rows, dict) or not isinstance(rows.get("preset"), str):
            return rows
        try:
            return preset(rows["preset"]).liquidation.model_dump(exclude_unset=True) | rows
        except KeyError as error:
            raise At(("preset",), f"there is no preset '{rows['preset']}'", str(error.args[0])) from None

    @model_validator(mode="after")
    def _levels(self) -> "Liquidation":
        for i, row in enumerate(self.levels):
            if row.name in [other.name for other in self.levels[:i]]:
                raise At(("levels", i, "name"), f"'{row.name}' stands twice")
            if i and Fraction(row.at_most) >= Fraction(self.levels[i - 1].at_most):
                above = self.levels[i - 1]
                raise At(("levels", i, "at_most"), f"{row.at_most} is not below {above.at_most} of '{above.name}' before it")
        return self

    @model_validator(mode="after")
    def _order(self) -> "Liquidation":
        kinds = [stage.kind for stage in self.stages]
        ranks = [_STAGE_ORDER.index(kind) for kind in kinds]
        for i in range(1, len(ranks)):
            if ranks[i] <= ranks[i - 1]:
                raise At(
                    ("stages", i), f"stage '{kinds[i]}' cannot stand after '{kinds[i - 1]}'", "order: " + ", ".join(_STAGE_ORDER)
                )
        if "write_off" not in kinds:
            raise At(
                ("stages",), "stages without an end: a shortfall that nobody pays must be written off", "add - kind: write_off"
            )
        return self


class Withdrawal(Row):
    """What is counted when margin leaves an account: by a withdrawal, a transfer or what a parent adds.

    profit_weight_ppm: of the unrealised profit of its positions in profit, summed; losses count in full. What does not count is
    rounded up. The wallet bounds what can leave anyway, and initial margin, at the leverage chosen, stays.
    """

    profit_weight_ppm: Ppm = units.PPM


class Preset(Row):
    """The stages of a venue by name: rows of `liquidation`, where they stand published, and what of the venue they leave out.

    Numbers that a venue does not publish, or changes by market, are assumed; not_modelled says so.
    """

    schema_version: Literal[1]
    name: Name
    title: Text
    references: Annotated[list[Text], Field(min_length=1)]
    not_modelled: list[Text]
    liquidation: Liquidation


@lru_cache(maxsize=None)
def preset(name: str) -> Preset:
    """Return a packaged preset. KeyError, with a remedy, if there is none."""
    from specs import load  # it reads the rows of this file

    files = load.names("preset")
    if name not in files:
        raise KeyError(load.near(name, files))
    return load.load(files[name], Preset)


class Fund(Row):
    """capital: what the insurance fund holds at the start, whole numeraire.

    measure: what stages compare with a threshold: cash, the fund's balance; net, that and the backstop's cash and positions at
    the marks. What it pays is always cash.

    floor (whole numeraire): what it pays never takes its cash below it. event_max (whole numeraire): what it pays in one event of
    the tape, timers due before it included; absent: no cap. What it may not pay is a FUND_SHORT.
    """

    capital: Whole = 0
    floor: Whole = 0
    event_max: Whole | None = None
    measure: Literal["cash", "net"] = "cash"


class Quoter(Row):
    """A market maker as a rule, seedless. At every refill it cancels its quotes and quotes `levels` prices a side again.

    Half spread, then one step a level, in ppm of the reference index; bids rounded down, asks up to the tick. It leaves when
    the reference moved more than exit_move_ppm since its last refill, or its position passes inventory_max lots, and comes
    back return_ns later. It is an ordinary account: it must be opened and funded by the tape, and passes the gate.
    """

    account: Annotated[StrictInt, Field(ge=USERS_FROM, le=0xFFFFFFFF)]
    market: Name
    levels: Annotated[StrictInt, Field(ge=1, le=64)]
    half_spread_ppm: Ppm
    step_ppm: Ppm
    lots: Annotated[StrictInt, Field(ge=1, le=units.QTY_MAX)]
    refill_ns: Interval
    exit_move_ppm: Ppm = units.PPM
    inventory_max: Annotated[StrictInt, Field(ge=1, le=units.POSITION_MAX)] = units.POSITION_MAX
    return_ns: Ns = 60 * units.NS


class Assumed(Row):
    """A value that is not public: where it stands in this file and why it was chosen."""

    path: Text
    why: Text


def walk_paths(node: Row, path: tuple = ()):
    """Yield (path below the recipe, node), parts before the whole: the order in which they are evaluated."""
    parts = getattr(node, "of", None)
    for i, part in enumerate(parts if isinstance(parts, list) else []):
        yield from walk_paths(part, (*path, "of", i))
    if isinstance(parts, Row):
        yield from walk_paths(parts, (*path, "of"))
    if getattr(node, "underlying", None) is not None:
        yield from walk_paths(node.underlying, (*path, "underlying"))
    yield path, node


def walk(node: Row):
    """Yield a recipe's nodes in the order of walk_paths."""
    return (part for _, part in walk_paths(node))


def sources_read(recipe: Row) -> int:
    """Return how many sources a recipe can use at most: a book and another index count as one each."""
    return sum(node.kind in ("source", "book", "index", "redemption") for node in walk(recipe))


def quorum(sources_min: int, recipe: Row) -> None:
    """Raise At, at `sources_min`, if a recipe can never use as many sources."""
    read = sources_read(recipe)
    if sources_min > read:
        raise At(("sources_min",), f"the recipe reads {read} sources: {sources_min} are never usable", f"at most {read}")


def _of_face(face: int, price: int) -> int:
    return -units.div_ceil(face, price) if price else 0  # no lambda: a snapshot of the model keeps it


class Venue(Row):
    """A whole rule book.

    clearing: none is a matching engine alone, for recorded order books: no account need be open, nothing is margined or reserved,
    nobody holds a position, no money moves, nobody is liquidated. Orders, books and the rules that speak of them alone stay.
    """

    schema_version: Literal[1]
    name: Name
    clearing: Literal["full", "none"] = "full"
    title: Text = ""
    effective_from: AwareDatetime | None = None
    references: list[Text] = []
    assumed: list[Assumed] = []
    clock: Clock = Clock()
    limits: Limits = Limits()
    numeraire: Name
    assets: Annotated[list[Asset], Field(min_length=1, max_length=units.ASSETS_MAX)]
    sources: Annotated[list[Source], Field(max_length=units.SOURCES_MAX)]
    indices: Annotated[list[Index], Field(min_length=1, max_length=units.INDICES_MAX)]
    markets: Annotated[list[Market], Field(min_length=1, max_length=units.MARKETS_MAX)]
    collateral: list[Collateral] = []
    grades: Grades = Grades()
    states: States = States()
    liquidation: Liquidation
    fund: Fund = Fund()
    withdrawal: Withdrawal = Withdrawal()
    quoters: Annotated[list[Quoter], Field(max_length=units.QUOTERS_MAX)] = []
    changes: Annotated[list[Change], Field(max_length=units.CHANGES_MAX)] = []

    def number(self, table: str, name: str) -> int:
        """Return the row number of a name in assets, sources, indices or markets: its id on tape. KeyError if absent."""
        for i, row in enumerate(getattr(self, table)):
            if row.name == name:
                return i
        raise KeyError(name)

    def decimals(self, asset: str) -> int:
        """Return the decimals of an asset's money."""
        return self.assets[self.number("assets", asset)].decimals

    def worth(self, market: Market) -> Callable[[int], int]:
        """Return the one payoff that the ledger sees: from a price to money per lot, rounded toward -inf; 0 at 0."""
        if market.payoff == "inverse":
            return partial(_of_face, self.face(market))
        return partial(mul, self.multiplier(market))

    def value(self, market: Market, price: int) -> int:
        """Return money per lot at a price. Who asks often keeps `worth`."""
        return self.worth(market)(price)

    def price_for(self, market: Market, value: int, up: bool) -> int:
        """Return the lowest price whose value per lot is at least `value`, or the highest at most. Up to PRICE_MAX.

        One tick below the lowest price of the market, which is 0 where prices are positive: none.
        """
        if market.payoff != "inverse":
            multiplier, none = self.multiplier(market), self.price_low(market) - market.tick_size
            return max(
                none, min(units.PRICE_MAX, units.div_ceil(value, multiplier) if up else units.div_floor(value, multiplier))
            )
        face = self.face(market)
        if up:
            return min(units.PRICE_MAX, units.div_ceil(face, -value)) if value < 0 else units.PRICE_MAX
        return min(units.PRICE_MAX, units.div_ceil(face, -value - 1) - 1) if value < -1 else units.PRICE_MAX

    def requirements(self, market: Market) -> list[Requirement]:
        """Return what positions of a market require, by notional.

        max(0, notional x rate / of, rounded up, - amount) is max(maintenance_min, that of the bracket) + what closing costs.
        A minimum is a piece of rate 0 before the notional at which the brackets ask for as much; a cost adds to every rate. What
        size and open interest add to the rates is not in it.
        """
        decimals = self.decimals(market.settles_in)
        least, closing = whole(market.maintenance_min, decimals), market.closing_ppm
        fixed = whole(market.closing.fixed, decimals) if market.closing else 0
        rows: list[Requirement] = []
        for row, amount in zip(market.brackets, self.amounts(market), strict=True):
            cap, own = whole(row.notional_max, decimals), (row.leverage_max, row.initial_ppm)
            many = 1 if row.maintenance_ppm is not None else 2 * row.leverage_max  # of: PPM, or as often more
            rate = int(market.maintenance_rate(row) * units.PPM * many)
            flat = (least + amount) * units.PPM * many // rate if rate else cap
            if least and flat > (rows[-1].notional_max if rows else 0):
                rows.append(Requirement(min(flat, cap), *own, closing * many, units.PPM * many, -least - fixed))
            if not least or flat < cap:
                rows.append(Requirement(cap, *own, rate + closing * many, units.PPM * many, amount - fixed))
        return rows

    def price_min(self, market: Market) -> int:
        """Return the lowest price of a market, price units: 1 where its row names none."""
        return 1 if market.price_min is None else whole(market.price_min, market.price_decimals)

    def price_low(self, market: Market) -> int:
        """Return the lowest price on tick."""
        return units.div_ceil(self.price_min(market), market.tick_size) * market.tick_size

    def price_max(self, market: Market) -> int:
        """Return the highest price of a market: its value has its bits; inverse: one unit of money is at most 1 ppm of it."""
        if market.payoff == "inverse":
            return min(units.PRICE_MAX, self.face(market) // units.PPM)
        return min(units.PRICE_MAX, units.VALUE_MAX // self.multiplier(market))

    def face(self, market: Market) -> int:
        """Return money x price units of a lot of an inverse market: lot.size x 10^(decimals + price_decimals - lot.decimals)."""
        return market.lot.size * 10 ** (self.decimals(market.settles_in) + market.price_decimals - market.lot.decimals)

    def multiplier(self, market: Market) -> int:
        """Return money units per lot and price unit, not inverse: lot.size x 10^(decimals - price_decimals - lot.decimals)."""
        if market.payoff == "inverse":
            raise ValueError(f"{market.name} is inverse: its value is no multiple of the price")
        if market.payoff == "quanto":
            return market.lot.size * whole(market.quanto, self.decimals(market.settles_in)) // 10**market.price_decimals
        return market.lot.size * 10 ** (self.decimals(market.settles_in) - market.price_decimals - market.lot.decimals)

    def amounts(self, market: Market) -> list[int]:
        """Return the maintenance amounts of a market's brackets in money units, rounded down."""
        one = 10 ** self.decimals(market.settles_in)
        return [amount.numerator * one // amount.denominator for amount in market.amounts()]

    def lot_units(self, market: Market) -> int:
        """Return units of the base asset per lot of a spot market: lot.size x 10^(asset decimals - lot.decimals)."""
        return market.lot.size * 10 ** (self.decimals(market.base) - market.lot.decimals)

    def _sold_in(self, i: int, row: Collateral, known) -> None:
        """A stage that converts to the book needs a spot market of every collateral asset, priced as its index is."""
        to_book = any(stage.kind == "convert" and stage.to == "book" for stage in self.liquidation.stages)
        if row.market is None:
            if to_book:
                raise At(("collateral", i), f"'{row.asset}' has no market to be sold in", "market: a spot market of it")
            return
        known("markets", row.market, ("collateral", i, "market"))
        market = self.markets[self.number("markets", row.market)]
        if not market.spot or (market.base, market.settles_in) != (row.asset, self.numeraire):
            raise At(("collateral", i, "market"), f"'{row.market}' is not a spot market of {row.asset} and {self.numeraire}")
        if market.price_decimals != self.indices[self.number("indices", row.index)].price_decimals:
            raise At(("collateral", i, "market"), f"'{row.market}' has other price_decimals than the index '{row.index}'")

    def _signed(self, i: int, market: Market, index: Index) -> None:
        at, places = ("markets", i, "price_min"), market.price_decimals
        try:
            lowest = whole(market.price_min, places)
        except ValueError as error:
            raise At(at, str(error)) from None
        if not -self.price_max(market) <= lowest <= 0:
            most = units.int_to_decimal(-self.price_max(market), places)
            raise At(at, f"{market.price_min} is out of bounds", f"{most} to 0; a market of positive prices has no price_min")
        if index.prices != "signed":
            raise At(at, f"its index '{index.name}' is INVALID at 0 and below", "prices: signed, at that index")
        if any(row.market == market.name for row in self.quoters):
            raise At(at, "a quoter quotes in ppm of a price, which has no meaning at or below 0", "no quoter in this market")

    def _inverse(self, i: int, market: Market) -> None:
        decimals = self.decimals(market.settles_in)
        if decimals < units.INVERSE_DECIMALS_MIN:
            at = ("markets", i, "settles_in")
            raise At(at, f"an inverse market's coin has {decimals} decimals", f"at least {units.INVERSE_DECIMALS_MIN}")
        if decimals + market.price_decimals < market.lot.decimals or not units.PPM <= self.face(market) <= units.VALUE_MAX:
            raise At(("markets", i, "lot"), "a lot is worth too little or too much at the lowest price", "another lot.size")

    def _quanto(self, i: int, market: Market) -> None:
        at = ("markets", i, "quanto")
        if market.lot.decimals:
            raise At(("markets", i, "lot", "decimals"), "a lot of a quanto market is a count", "decimals: 0")
        self._whole(market.quanto, self.decimals(market.settles_in), at)
        if whole(market.quanto, self.decimals(market.settles_in)) % 10**market.price_decimals or self.multiplier(market) < 1:
            raise At(at, "value per lot is not a whole number of money units", "fewer price decimals, or more asset decimals")

    def judge_change(self, i: int, row: Change) -> None:
        """Raise At below ("changes", i) unless it is of a market or asset that is there, with a table that may be a market's."""
        if self.clearing == "none":
            raise At(("changes", i), "without clearing nothing is margined: no change acts", "clearing: full")
        for field in ("announced", "effective_from"):
            if getattr(row, field) is not None and not 0 <= units.instant_to_ns(getattr(row, field)) <= units.TIMES_MAX_NS:
                raise At(("changes", i, field), f"{getattr(row, field)} is on no tape", "a time from 1970 to 2116")
        if row.market is None:
            held = [other.asset for other in self.collateral]
            if row.collateral not in held:
                at = ("changes", i, "collateral")
                raise At(at, f"'{row.collateral}' is not one of the collateral", f"known: {', '.join(held) or 'none'}")
            self._judge_weights(i, row)
            return
        market = next((market for market in self.markets if market.name == row.market), None)
        if market is None or market.spot:
            known = ", ".join(market.name for market in self.markets if not market.spot)
            what = "is not one of the markets" if market is None else "is a spot market: it has no brackets"
            raise At(("changes", i, "market"), f"'{row.market}' {what}", f"known: {known or 'none'}")
        half, margin = market.margin.maintenance == "half_initial", market.margin
        more = bool(Fraction(market.maintenance_min)) or market.closing is not None or margin.slippage_ppm or half
        if row.maintenance_scale_ppm is not None and more:
            at = ("changes", i, "maintenance_scale_ppm")
            what = "follows its leverage" if half else "has a minimum, slippage or the cost of closing in it"
            raise At(at, f"maintenance of '{row.market}' {what}", "brackets: a whole table")
        if row.leverage_max is not None and half:
            at = ("changes", i, "leverage_max")
            raise At(at, f"maintenance of '{row.market}' follows its leverage: a cap is another table", "brackets: a whole table")
        if row.brackets is not None:
            try:
                market.model_copy(update={"brackets": row.brackets})._continuous()._scaled()._closing()
            except At as error:
                raise At(("changes", i, *error.path), error.problem, error.remedy) from None
            for j, bracket in enumerate(row.brackets):
                for field in ("notional_max", "amount"):
                    at = ("changes", i, "brackets", j, field)
                    self._whole(getattr(bracket, field), self.decimals(market.settles_in), at)

    def _judge_weights(self, i: int, row: Change) -> None:
        before = next(other for other in self.collateral if other.asset == row.collateral)
        weights = {name: getattr(row, name) for name in Change.WEIGHTS if getattr(row, name) is not None}
        try:
            before.model_copy(update=weights)._weights()
        except At as error:
            raise At(("changes", i, "weight_ppm"), f"{error.path[0]} {error.problem}", error.remedy) from None

    @model_validator(mode="after")
    def _names(self) -> "Venue":
        names: dict[str, list[str]] = {}
        for table in ("assets", "sources", "indices", "markets"):
            names[table] = []
            for i, row in enumerate(getattr(self, table)):
                if row.name in names[table]:
                    raise At((table, i, "name"), f"'{row.name}' is defined twice")
                names[table].append(row.name)

        def known(table: str, name: str, path: tuple) -> None:
            if name not in names[table]:
                near = ", ".join(names[table]) or "none"
                raise At(path, f"'{name}' is not one of the {table}", f"known: {near}")

        known("assets", self.numeraire, ("numeraire",))
        for i, index in enumerate(self.indices):
            self._recipe(i, index, known)
        for i, market in enumerate(self.markets):
            for field in ("position_max", "open_interest_max") if self.clearing == "none" else ():
                if getattr(market.limits, field) is not None:
                    raise At(("markets", i, "limits", field), "without clearing nobody holds a position", "clearing: full")
            known("assets", market.settles_in, ("markets", i, "settles_in"))
            if market.spot:
                known("assets", market.base, ("markets", i, "base"))
                if self.decimals(market.base) < market.lot.decimals or self.lot_units(market) > units.PRICE_MAX:
                    raise At(("markets", i, "lot"), "a lot is not a whole number of units of the base asset, or too many")
            elif market.settles_in != self.numeraire:
                raise At(
                    ("markets", i, "settles_in"),
                    f"'{market.settles_in}' is not the numeraire",
                    f"one settlement asset: {self.numeraire}",
                )
            known("indices", market.index, ("markets", i, "index"))
            index = self.indices[names["indices"].index(market.index)]
            if index.price_decimals != market.price_decimals:
                raise At(
                    ("markets", i, "price_decimals"),
                    f"{market.price_decimals} differs from its index",
                    f"{index.price_decimals}, as {index.name}",
                )
            if market.payoff == "inverse":
                self._inverse(i, market)
            elif market.payoff == "quanto":
                self._quanto(i, market)
            elif self.decimals(market.settles_in) < market.price_decimals + market.lot.decimals:
                raise At(
                    ("markets", i, "lot"),
                    "value per lot is not a whole number of money units",
                    "fewer lot or price decimals, or more asset decimals",
                )
            if market.brackets and market.leverage_default > market.brackets[0].leverage_max:
                raise At(("markets", i, "leverage_default"), f"{market.leverage_default} is above the first bracket's cap")
            if market.payoff != "inverse" and self.multiplier(market) * market.tick_size > units.VALUE_MAX:
                raise At(("markets", i, "lot"), "one lot at one tick is worth more than VALUE_MAX", "a smaller lot")
            if market.price_min is not None:
                self._signed(i, market, index)
            if market.limits.notional_max is not None:
                at = ("markets", i, "limits", "notional_max")
                self._whole(market.limits.notional_max, self.decimals(market.settles_in), at)
            places = self.decimals(self.numeraire)
            self._whole(market.maintenance_min, self.decimals(market.settles_in), ("markets", i, "maintenance_min"))
            if market.closing is not None:
                self._whole(market.closing.fixed, self.decimals(market.settles_in), ("markets", i, "closing", "fixed"))
            for j, row in enumerate(market.brackets):
                for field in ("notional_max", "amount"):
                    self._whole(getattr(row, field), places, ("markets", i, "brackets", j, field))
            for field in ("lower", "upper") if market.margin.open_interest else ():
                self._whole(getattr(market.margin.open_interest, field), places, ("markets", i, "margin", "open_interest", field))
        self._timers()
        for i, row in enumerate(self.changes):
            if any(other.name == row.name for other in self.changes[:i]):
                raise At(("changes", i, "name"), f"'{row.name}' is defined twice")
            self.judge_change(i, row)
        seen = set()
        for i, row in enumerate(self.collateral):
            known("assets", row.asset, ("collateral", i, "asset"))
            known("indices", row.index, ("collateral", i, "index"))
            if row.asset == self.numeraire or row.asset in seen:
                raise At(("collateral", i, "asset"), f"'{row.asset}' is the numeraire or stands twice")
            seen.add(row.asset)
            self._sold_in(i, row, known)
            for j, tier in enumerate(row.tiers):
                at = ("collateral", i, "tiers", j, "qty_from")
                self._whole(tier.qty_from, self.decimals(row.asset), at, units.BALANCE_MAX)
            if row.deposits_max is not None:
                self._whole(row.deposits_max, self.decimals(self.numeraire), ("collateral", i, "deposits_max"))
            exponent = (
                self.decimals(row.asset)
                + self.indices[names["indices"].index(row.index)].price_decimals
                - self.decimals(self.numeraire)
            )
            if not units.COLLATERAL_EXPONENT_MIN <= exponent <= 30:
                low = units.COLLATERAL_EXPONENT_MIN
                raise At(
                    ("collateral", i, "index"),
                    f"decimals of asset + index - numeraire are {exponent}",
                    f"between {low} and 30: collateral value is 128 bits wide",
                )
            most = units.TRANSFER_EXPONENT_MAX
            if exponent > most and any(stage.kind == "transfer" for stage in self.liquidation.stages):
                at = ("collateral", i, "index")
                raise At(at, f"decimals of asset + index - numeraire are {exponent}", f"at most {most} where a stage transfers")
        for i, row in enumerate(self.quoters):
            known("markets", row.market, ("quoters", i, "market"))
            if row.half_spread_ppm + row.levels * row.step_ppm >= units.PPM:
                raise At(("quoters", i, "levels"), "the lowest bid would be at or below 0", "fewer levels or a smaller step")
            if any(other.account == row.account and other.market == row.market for other in self.quoters[:i]):
                raise At(("quoters", i, "account"), f"account {row.account} quotes {row.market} twice")
        for field in ("capital", "floor", "event_max"):
            if getattr(self.fund, field) is not None:
                self._whole(getattr(self.fund, field), self.decimals(self.numeraire), ("fund", field))
        self._bankruptcy_unit()
        self._insured()
        for i, stage in enumerate(self.liquidation.stages):
            if stage.kind == "book":
                self._slice(("liquidation", "stages", i), stage)
            for field in ("notional_max", "fund_min", "fund_max"):
                if getattr(stage, field, None) is not None:
                    self._whole(getattr(stage, field), self.decimals(self.numeraire), ("liquidation", "stages", i, field))
        for i, row in enumerate(self.assumed):
            self._assumed(i, row.path)
        return self

    def _bankruptcy_unit(self) -> None:
        unit, path = self.liquidation.bankruptcy_unit, ("liquidation", "bankruptcy_unit")
        if unit is None:
            return
        self._whole(unit, self.decimals(self.numeraire), path)
        if not whole(unit, self.decimals(self.numeraire)):
            raise At(path, "0 is no unit", "such as '0.000001', or leave it out")
        book = next((row for row in self.liquidation.stages if row.kind == "book"), None)
        takeover = next((row for row in self.liquidation.stages if row.kind == "takeover"), None)
        if not (book and book.insurance) and not (takeover and takeover.price == "bankruptcy_value"):
            raise At(path, "no stage asks for a bankruptcy value", "insurance, or a takeover at price: bankruptcy_value")

    def _insured(self) -> None:
        """An insurance delta takes the place of the liquidation fee: a book that has both does not say what it means."""
        if not any(row.kind == "book" and row.insurance for row in self.liquidation.stages):
            return
        for i, market in enumerate(self.markets):
            if market.fees.liquidation_ppm or market.fees.liquidation_growth:
                at = ("markets", i, "fees", "liquidation_ppm")
                raise At(at, "the book stage's insurance takes the place of this fee", "liquidation_ppm: 0, or no insurance")

    def _slice(self, path: tuple, stage: BookStage) -> None:
        places = self.decimals(self.numeraire)
        caps = [("position_share", "notional_min"), ("block_limit", "notional_max"), ("block_limit", "insurance_max")]
        for row, field in [("quantity", "whole"), ("time_share", "small"), *caps]:
            value = getattr(getattr(stage, row), field, None)
            if value is not None:
                self._whole(value, places, (*path, row, field))
        if getattr(stage.quantity, "kind", "") != "tiers":
            return
        for i, market in enumerate(self.markets):
            if Fraction(market.maintenance_min):
                at = ("markets", i, "maintenance_min")
                raise At(at, "beside a minimum there are no tiers to reduce by", "no maintenance_min, or another quantity")

    @staticmethod
    def _whole(value: int | str, decimals: int, path: tuple, most: int = units.MONEY_IN_MAX * units.PPM) -> None:
        try:
            number = whole(value, decimals)
        except ValueError as error:
            raise At(path, str(error)) from None
        if number > most:
            raise At(path, f"{value} is out of bounds", f"at most {units.int_to_decimal(most, decimals)}")

    def _timers(self) -> None:
        """A step of gap_max_ns runs every timer that falls due in it: as many as can be waited for."""
        intervals = [
            (("indices", i, "publish"), row.publish.every_ns) for i, row in enumerate(self.indices) if row.publish.every_ns
        ]
        intervals += [(("quoters", i, "refill_ns"), row.refill_ns) for i, row in enumerate(self.quoters)]
        intervals += [
            (("markets", i, "funding", "every_ns"), row.funding.every_ns) for i, row in enumerate(self.markets) if row.funding
        ]
        intervals += [
            (("markets", i, "limit_up_down", "pause_ns"), row.limit_up_down.pause_ns)
            for i, row in enumerate(self.markets)
            if row.limit_up_down
        ]
        intervals += [
            (("markets", i, "settlement", "retry_ns"), row.settlement.retry_ns)
            for i, row in enumerate(self.markets)
            if row.settlement
        ]
        intervals += [
            (("assets", i, "borrow", "every_ns"), row.borrow.every_ns) for i, row in enumerate(self.assets) if row.borrow
        ]
        intervals += [
            (("liquidation", "stages", i, "cooldown_ns"), row.cooldown_ns)
            for i, row in enumerate(self.liquidation.stages)
            if row.kind == "book" and row.cooldown_ns
        ]
        intervals += [
            (("liquidation", "stages", i, "block_limit", "window_ns"), row.block_limit.window_ns)
            for i, row in enumerate(self.liquidation.stages)
            if row.kind == "book" and row.block_limit
        ]
        for path, every_ns in intervals:
            if self.clock.gap_max_ns // every_ns > units.TIMERS_MAX:
                raise At(
                    path,
                    f"a gap of {self.clock.gap_max_ns} ns would run this timer more than {units.TIMERS_MAX} times",
                    "a longer interval or a smaller clock.gap_max_ns",
                )

    def _recipe(self, i: int, index: Index, known) -> None:
        nodes = list(walk_paths(index.recipe, ("indices", i, "recipe")))
        if len(nodes) > units.NODES_MAX:
            raise At(
                ("indices", i, "recipe"),
                f"{len(nodes)} nodes, at most {units.NODES_MAX}",
                "a smaller recipe, or legs of their own",
            )
        for at, node in nodes:
            if node.kind in ("source", "redemption"):
                field = "name" if node.kind == "source" else "ratio"
                known("sources", getattr(node, field), (*at, field))
                places = self.sources[self.number("sources", getattr(node, field))].price_decimals
            elif node.kind == "index":
                known("indices", node.name, (*at, "name"))
                number = self.number("indices", node.name)
                if number >= i:
                    raise At(
                        (*at, "name"),
                        f"index '{node.name}' is not defined above '{index.name}'",
                        "define legs first; an index cannot use itself",
                    )
                places = self.indices[number].price_decimals
            elif node.kind == "book":
                known("markets", node.market, (*at, "market"))
                places = self.markets[self.number("markets", node.market)].price_decimals
            else:
                if node.kind == "floor":
                    self._whole(node.price_min, index.price_decimals, (*at, "price_min"), units.PRICE_MAX)
                continue
            if places > index.price_decimals:
                raise At(
                    ("indices", i, "price_decimals"),
                    f"a part has {places} decimals, the index {index.price_decimals}",
                    "an index is at least as fine as its parts",
                )

    def _assumed(self, i: int, path: str) -> None:
        here: object = self
        for step in path.split("."):
            try:
                if isinstance(here, list):
                    here = (
                        here[int(step)]
                        if step.isdigit()
                        else next(
                            x
                            for x in here
                            if step in (getattr(x, "name", None), getattr(x, "asset", None), getattr(x, "kind", None))
                        )
                    )
                elif isinstance(here, dict):
                    here = here[step]
                else:
                    here = getattr(here, step)
            except (AttributeError, KeyError, IndexError, StopIteration):
                raise At(
                    ("assumed", i, "path"), f"'{path}' leads nowhere: no '{step}'", "a dotted path of this file, rows by name"
                ) from None
