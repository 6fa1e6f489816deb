"""Funding, by example and by property, on both twins.

The rule book is tests/twins.py:small_venue with a funding row; runs start 1,000 s after the epoch, so that intervals of 60 s end at 20,
80, 140 s of a table. A rate times the value of a lot is added to the cumulative funding; 16 lots at 100 and 0.0001 pay 0.16.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine import probe
from fuzz.twin import twin_class
from specs import laws, units
from specs.scene import outcomes_of
from specs.tape import Chart, Flow, OutcomeKind, Reason, Seam, SeamKind
from tests.test_model_tables import COIN, PRICED, TRADED, coin_index
from tests.twins import START_NS, play, seam_row, small_venue, tape, twin, vectors  # noqa: F401

MINUTE = {"every_ns": 60 * units.NS}


def venue(funding: dict | None = None, market: dict | None = None, **changes):
    """Return the small venue with a funding row: every minute, interest 0.0001, damp 0.0005 unless it says otherwise."""
    row = MINUTE | {"interest_ppb": 100_000, "damp_ppb": 500_000} | (funding or {})
    return small_venue(market={"funding": row} | (market or {}), **changes)


# ---- who pays whom, and when


def test_longs_pay_shorts(twin):
    play(
        twin,
        venue(),
        TRADED
        + """
    19   clock                          |
    20   clock                          | FUNDING COINUSDT 0.0001 sum 0.01; FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17
    79   clock                          |
    80   clock                          | FUNDING COINUSDT 0.0001 sum 0.02; FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17
    -- an account without a position is not concerned
    81   account 18                     | OPENED 18
    81   deposit 18 USDT 5              | DEPOSIT 5 USDT OUTSIDE to 18
    140  clock                          | FUNDING COINUSDT 0.0001 sum 0.03; FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17
    """,
    )


def test_a_negative_rate_is_paid_by_shorts(twin):
    play(
        twin,
        venue({"interest_ppb": -100_000}),
        TRADED
        + "20   clock                          | FUNDING COINUSDT -0.0001 sum -0.01; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 16; FUNDING_PAID 0.16 USDT 17 to FUNDING_RESIDUE",
    )


def test_intervals_end_at_multiples_since_the_epoch(twin):
    """100 s divide the start, 1,000 s: the first interval ends 100 s later. One event may end several: of 60 s both 20 and 80."""
    play(
        twin,
        venue({"every_ns": 100 * units.NS}),
        PRICED
        + """
    99   clock                          |
    100  clock                          | FUNDING COINUSDT 0.0001 sum 0.01
    199  clock                          |
    200  source coin 101                | FUNDING COINUSDT 0.0001 sum 0.02; INDEX COIN 101 of 1; MARK COINUSDT 101
    """,
    )
    play(
        twin,
        venue(),
        PRICED
        + """
    19   source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101
    81   clock                          | FUNDING COINUSDT 0.0001 sum 0.0101; FUNDING COINUSDT 0.0001 sum 0.0202
    """,
    )


def test_what_is_published_at_the_same_time_is_published_before(twin):
    """Without the publication at 20 s there is no mark, and the interval would be skipped."""
    play(
        twin,
        venue(indices=coin_index(COIN, 20)),
        """
    0    source coin 100                |
    20   source coin 200                | INDEX COIN 100 of 1; MARK COINUSDT 100; FUNDING COINUSDT 0.0001 sum 0.01
    """,
    )


def test_the_backstop_pays_as_a_user_does(twin):
    """It took the 16 lots: at a mark of 94 they pay 16 x 0.0094."""
    play(
        twin,
        venue(),
        TRADED
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 24; TAKEOVER 16 long 16 @94 cash 1480 in round 1; RESTORED 16 0 FLAT in round 1
    20   clock                          | FUNDING COINUSDT 0.0001 sum 0.0094; FUNDING_PAID 0.1504 USDT BACKSTOP to FUNDING_RESIDUE; FUNDING_RECEIVED 0.1504 USDT FUNDING_RESIDUE to 17
    """,
    )


def test_funding_can_liquidate(twin):
    """A forced 10 %, the most a rate can be, takes 160 of the 120 of a long; one more is no rate, nor is none."""
    skipped = "20   clock                          | FUNDING COINUSDT 0 sum 0 GRADE_REFUSED"
    for kind, argument, last in (
        (
            SeamKind.CONST,
            units.FUNDING_RATE_MAX_PPB,
            "20   clock                          | FUNDING COINUSDT 0.1 sum 10; FUNDING_PAID 160 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 160 USDT FUNDING_RESIDUE to 17; LIQUIDATION 16 -40; TAKEOVER 16 long 16 @100 cash 1600 in round 1; FUND_SHORT 16 40 in round 1; WRITE_OFF 40 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1",
        ),
        (SeamKind.CONST, units.FUNDING_RATE_MAX_PPB + 1, skipped),
        (SeamKind.CONST, -units.FUNDING_RATE_MAX_PPB - 1, skipped),
        (SeamKind.MISSING, 0, skipped),
    ):
        exchange = play(twin, venue(), TRADED + last, (seam_row(Seam.FUNDING_RATE, 0, 20, 21, kind, argument),))
        assert exchange.visits()["FUNDING_RATE"] == 1


# ---- the rate

QUOTED = (
    TRADED
    + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 18 COINUSDT 1 @100.1 #3    | ACCEPTED 18 buy 1 @100.1 #3
    -- a bid alone has no mid: no sample
    2    source coin 100                |
    2    sell 18 COINUSDT 1 @100.3 #4   | ACCEPTED 18 sell 1 @100.3 #4
    -- mid 100.2: 0.2 / 100 = 2,000,000 ppb, and -0.8 / 101 = -7,920,792.07, rounded down
    3    source coin 100                |
    4    source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101
    -- neither a leg of the collateral nor a missing price is a sample
    5    source usd 1                   |
    6    source coin missing            | INDEX COIN 101 of 0 TOO_FEW_SOURCES; MARK COINUSDT 101 TOO_FEW_SOURCES
    """
)
LAST_VALID = {"too_few_sources": {"funding": "last_valid"}}


@pytest.mark.parametrize(
    "funding, rate, total, received, paid",
    [
        # P = floor(-5,920,793 / 2) = -2,960,397; + clamp(100,000 - P, 500,000); x 101 = -0.248500097 a lot, 16 lots 3.9760015
        ({}, "-0.002460397", "-0.248500097", "3.976", "3.9761"),
        # capped: 16 x 0.202
        ({"cap_ppb": 2_000_000}, "-0.002", "-0.202", "3.232", "3.232"),
        # not damped: P itself, 16 x 0.299000097
        ({"damp_ppb": 0}, "-0.002960397", "-0.299000097", "4.784", "4.7841"),
    ],
    ids=["damp", "cap", "premium"],
)
def test_the_rate_is_the_mean_premium_damped_and_capped(twin, funding, rate, total, received, paid):
    """The shorts' share is rounded up and the longs' down: the remainder stays with the residue."""
    play(
        twin,
        venue(funding, grades=LAST_VALID),
        QUOTED
        + f"20   clock                          | FUNDING COINUSDT {rate} sum {total}; FUNDING_RECEIVED {received} USDT FUNDING_RESIDUE to 16; FUNDING_PAID {paid} USDT 17 to FUNDING_RESIDUE",
    )


def test_with_room_the_rate_is_the_interest(twin):
    """A damp as wide as the premium leaves interest alone: 16 x 0.0001 x 101."""
    play(
        twin,
        venue({"damp_ppb": 4_000_000}, grades=LAST_VALID),
        QUOTED
        + "20   clock                          | FUNDING COINUSDT 0.0001 sum 0.0101; FUNDING_PAID 0.1616 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.1616 USDT FUNDING_RESIDUE to 17",
    )


def test_samples_are_of_one_interval(twin):
    """Nothing is published from 20 to 80: P is 0 and interest is inside the damp. 17 pays 38145 - 39761, 16 gets 38144 - 39760."""
    play(
        twin,
        venue(grades=LAST_VALID),
        QUOTED
        + """
    20   clock                          | ...
    80   clock                          | FUNDING COINUSDT 0.0001 sum -0.238400097; FUNDING_PAID 0.1616 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.1616 USDT FUNDING_RESIDUE to 17
    """,
    )


# ---- what is skipped


def test_an_interval_without_a_trusted_mark_is_skipped(twin):
    """Nothing is paid later for it. A row can allow the last valid mark; before there is any, nothing helps."""
    for grades, rows in (
        (
            {},
            """
    20   clock                          | FUNDING COINUSDT 0 sum 0 GRADE_REFUSED
    21   source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    80   clock                          | FUNDING COINUSDT 0.0001 sum 0.01; FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17
    """,
        ),
        (
            LAST_VALID,
            "20   clock                          | FUNDING COINUSDT 0.0001 sum 0.01; FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17",
        ),
        (
            {"too_few_sources": {"funding": "defer"}},
            "20   clock                          | FUNDING COINUSDT 0 sum 0 GRADE_REFUSED",
        ),
    ):
        play(
            twin,
            venue(grades=grades),
            TRADED
            + "2    source coin missing            | INDEX COIN 100 of 0 TOO_FEW_SOURCES; MARK COINUSDT 100 TOO_FEW_SOURCES\n"
            + rows,
        )
    play(twin, venue(grades=LAST_VALID), "20   clock                          | FUNDING COINUSDT 0 sum 0 GRADE_REFUSED")


def test_a_skipped_interval_takes_its_samples_with_it(twin):
    """The premiums of the first interval do not count in the second."""
    play(
        twin,
        venue(),
        QUOTED
        + """
    20   clock                          | FUNDING COINUSDT 0 sum 0 GRADE_REFUSED
    21   cancel 18 #3                   | CANCELLED 18 buy 1 @100.1 #3 USER
    22   source coin 101                | INDEX COIN 101 of 1; MARK COINUSDT 101
    80   clock                          | FUNDING COINUSDT 0.0001 sum 0.0101; FUNDING_PAID 0.1616 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.1616 USDT FUNDING_RESIDUE to 17
    """,
    )


def test_the_state_of_the_market_can_skip_it(twin):
    """A halted market pays funding unless its row says otherwise."""
    paid = "FUNDING_PAID 0.16 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.16 USDT FUNDING_RESIDUE to 17"
    skipped = "FUNDING COINUSDT 0 sum 0 MARKET_STATE"
    for states, first, total in (
        ({}, f"FUNDING COINUSDT 0.0001 sum 0.01; {paid}", "0.02"),
        ({"halted": {"funding": "refuse"}}, skipped, "0.01"),
        ({"halted": {"funding": "defer"}}, skipped, "0.01"),
    ):
        play(
            twin,
            venue(states=states),
            TRADED
            + f"""
    2    state COINUSDT halted          | STATE_SET COINUSDT HALTED
    20   clock                          | {first}
    21   state COINUSDT open            | STATE_SET COINUSDT OPEN
    80   clock                          | FUNDING COINUSDT 0.0001 sum {total}; {paid}
    """,
        )


LARGEST = units.FUNDING_RATE_MAX_PPB * units.VALUE_MAX  # of one interval
INTERVALS = units.TIMES_MAX_NS // units.FUNDING_INTERVAL_MIN_NS
EVERYBODY = units.POSITION_MAX * units.ACCOUNTS_MAX  # the lots of a backstop that took over a whole side


def test_no_interval_is_paid_once_balances_are_beyond_their_limit(twin):
    """The largest position at the largest value and rate, held by a halt: each interval moves 10^29 money units and 5,000 reach 10^33.

    Then nothing is paid, the cumulative funding stands, and every interval says so.
    """
    rules = venue(
        {"interest_ppb": units.FUNDING_RATE_MAX_PPB, "damp_ppb": units.FUNDING_RATE_MAX_PPB},
        market={
            "tick_size": 1,
            "lot": {"size": 10, "decimals": 0},
            "brackets": [{"notional_max": 10**14, "leverage_max": 1, "maintenance_ppm": 0}],
            "leverage_default": 1,
        },
        clock={"gap_max_ns": 10**6 * units.NS},
    )
    lots = units.QTY_MAX
    rows = ["0 source coin 0.01", *(f"0 {event}" for a in (16, 17) for event in (f"account {a}", f"deposit {a} USDT {10**12}"))]
    for n in range(units.POSITION_MAX // lots):
        rows += [f"1 buy 16 COINUSDT {lots} @0.01 #{2 * n + 1}", f"1 sell 17 COINUSDT {lots} @0.01 #{2 * n + 2}"]
    rows += ["2 state COINUSDT halted", f"3 source coin {10**13}"]
    exchange = play(
        twin,
        rules,
        "\n".join(f"{row} | ..." for row in rows)
        + """
    299900 clock                        | ...
    299960 clock                        | FUNDING COINUSDT 0.1 sum 50000000000000000; FUNDING_PAID 10000000000000000000000000 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 10000000000000000000000000 USDT FUNDING_RESIDUE to 17
    300020 clock                        | FUNDING COINUSDT 0 sum 50000000000000000 FUNDING_LIMIT
    """,
    )
    before = exchange.state()
    assert before["marks"][0][5] * rules.multiplier(rules.markets[0]) == units.VALUE_MAX
    paid = units.POSITION_MAX * LARGEST // units.PPB
    sizes = sum(abs(money) for _, asset, money in before["balances"] if asset == 0)
    assert units.FUNDING_BALANCES_MAX < sizes < units.FUNDING_BALANCES_MAX + paid
    (clock,) = tape(rules, "300140 clock |")
    outcomes = exchange.apply(clock)
    assert [o.reason for o in outcomes_of(outcomes)] == 2 * [Reason.FUNDING_LIMIT]
    assert not list(laws.breaches(rules, before, clock.tobytes(), outcomes, exchange.state()))


@given(
    st.integers(-LARGEST * INTERVALS, LARGEST * INTERVALS) | st.integers(-(10**10), 10**10),
    st.integers(-LARGEST, LARGEST) | st.integers(-(10**10), 10**10),
    st.integers(-EVERYBODY, EVERYBODY) | st.integers(-(10**6), 10**6),
)
@example(LARGEST * INTERVALS, LARGEST, EVERYBODY)
@example(-LARGEST * INTERVALS, -LARGEST, -EVERYBODY)
def test_a_payment_has_no_bound_but_that_of_one_interval(before, moved, qty):
    """However many intervals came before, and however many lots the backstop has: qty x F alone would not fit 128 bits."""
    assert probe.funding_paid(before, before + moved, qty) == rounded_up(qty, before + moved) - rounded_up(qty, before)


# ---- rounding


def test_remainders_telescope(twin):
    """0.000033333 x 100.01 is 0.00333363333 a lot: 16 lots owe 533.38, 1066.76 and 1600.14 money units, rounded up in total, not each.

    A long pays 534, 533, 534; a short gets 533, 533, 534: the residue never holds more than 1.
    """
    exchange = play(
        twin,
        venue({"interest_ppb": 33_333}),
        TRADED
        + """
    2    source coin 100.01             | INDEX COIN 100.01 of 1; MARK COINUSDT 100.01
    20   clock                          | FUNDING COINUSDT 0.000033333 sum 0.00333363333; FUNDING_PAID 0.0534 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.0533 USDT FUNDING_RESIDUE to 17
    80   clock                          | FUNDING COINUSDT 0.000033333 sum 0.00666726666; FUNDING_PAID 0.0533 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.0533 USDT FUNDING_RESIDUE to 17
    140  clock                          | FUNDING COINUSDT 0.000033333 sum 0.01000089999; FUNDING_PAID 0.0534 USDT 16 to FUNDING_RESIDUE; FUNDING_RECEIVED 0.0534 USDT FUNDING_RESIDUE to 17
    """,
    )
    assert [row for row in exchange.state()["balances"] if row[0] == Chart.FUNDING_RESIDUE] == [(Chart.FUNDING_RESIDUE, 0, 1)]


def paid_by(exchange, account: int) -> int:
    """Return what an account paid of funding, less what it received."""
    outcomes = exchange.outcomes()
    of = {Flow.FUNDING_PAID: "account", Flow.FUNDING_RECEIVED: "other"}
    total = 0
    for flow, sign in ((Flow.FUNDING_PAID, 1), (Flow.FUNDING_RECEIVED, -1)):
        rows = outcomes[(outcomes["flow"] == flow) & (outcomes[of[flow]] == account)]
        total += sign * sum(int(row["money_lo"]) + (int(row["money_hi"]) << 64) for row in rows)
    return total


def rounded_up(qty: int, funding: int) -> int:
    return -(-qty * funding // units.PPB)


RATES = st.integers(-units.FUNDING_RATE_MAX_PPB, units.FUNDING_RATE_MAX_PPB) | st.integers(-3, 3)
LOTS = st.integers(1, 10**6)


@given(st.lists(st.tuples(RATES, st.integers(1, 10**7)), min_size=1, max_size=8), LOTS, st.integers(-(10**6), 10**6), st.data())
def test_many_intervals_pay_what_one_step_would(intervals, qty, more, data):
    """R(q x F): however many intervals, whatever their rates and prices, a position pays what it would if F had come in one step;
    and what changes its lots in between settles them first. The residue keeps less than one money unit a position and change.
    """
    at = data.draw(st.integers(0, len(intervals)))
    rules = small_venue(
        market={
            "funding": MINUTE,
            "tick_size": 1,
            "brackets": [{"notional_max": 10**12, "leverage_max": 1, "maintenance_ppm": 0}],
            "leverage_default": 1,
        }
    )
    rows = ["0 source coin 1", *(f"0 {event}" for a in (16, 17) for event in (f"account {a}", f"deposit {a} USDT {10**18}"))]
    rows += [f"1 buy 16 COINUSDT {qty} @1 #1", f"1 sell 17 COINUSDT {qty} @1 #2"]
    seams, funding, steps = [], 0, []
    for i, (rate, price) in enumerate(intervals):
        if i == at and more:
            sides = ("buy", "sell") if more > 0 else ("sell", "buy")
            rows += [f"{i * 60 + 1} {side} {a} COINUSDT {abs(more)} @1 #{a}" for side, a in zip(sides, (16, 17))]
        rows += [f"{i * 60 + 2} source coin {units.int_to_decimal(price, 2)}", f"{i * 60 + 20} clock"]
        seams.append(seam_row(Seam.FUNDING_RATE, 0, i * 60 + 20, i * 60 + 21, SeamKind.CONST, rate))
        funding += rate * price * 100
        steps.append(funding)
    total = {}
    before = steps[at - 1] if at else 0
    for account, sign in ((16, 1), (17, -1)):
        held, later = sign * qty, sign * (qty + (more if at < len(intervals) else 0))
        total[account] = rounded_up(held, before) + rounded_up(later, steps[-1]) - rounded_up(later, before)
    table = "\n".join(f"{row} |" for row in rows)
    digests = set()
    for name in ("model", "engine"):
        exchange = twin_class(name)(rules, START_NS, seams)
        exchange.run(tape(rules, table))
        assert {account: paid_by(exchange, account) for account in total} == total
        residue = sum(row[2] for row in exchange.state()["balances"] if row[0] == Chart.FUNDING_RESIDUE)
        assert residue == sum(total.values()) and -1 <= residue <= 2
        if not more or at in (0, len(intervals)):
            assert residue in (0, 1)
        digests.add(exchange.digest())
    assert len(digests) == 1


# ---- published figures


def settled(twin, given_: dict, funding: dict, index: str, spread: Fraction | None, seams=()):
    """Run one interval of one long lot at an index and a book around it by `spread`; return (rate, cumulative funding, payment)."""
    lots = given_.get("position_qty", "1")
    rules = venue(
        funding,
        market={
            "tick_size": 1,
            "brackets": [{"notional_max": 10**9, "leverage_max": 1, "maintenance_ppm": 0}],
            "leverage_default": 1,
        },
    )
    rows = f"""
    0    source coin {index}            |
    0    account 16                     |
    0    account 17                     |
    0    deposit 16 USDT 1000000000     |
    0    deposit 17 USDT 1000000000     |
    1    buy 16 COINUSDT {lots} @{index} #1 |
    1    sell 17 COINUSDT {lots} @{index} #2 |
    """
    if spread is not None:
        bid, ask = (units.int_to_decimal(int((Fraction(index) + spread + half) * 100), 2) for half in (-1, 1))
        rows += f"1 buy 16 COINUSDT 1 @{bid} #3 |\n1 sell 17 COINUSDT 1 @{ask} #4 |\n2 source coin {index} |\n"
    exchange = twin(rules, START_NS, seams)
    exchange.run(tape(rules, rows + "20 clock |"))
    outcomes = exchange.outcomes()
    (told,) = outcomes[outcomes["kind"] == OutcomeKind.FUNDING]
    money = int(told["money_lo"]) + (int(told["money_hi"]) << 64)
    return Fraction(int(told["price"]), units.PPB), Fraction(money, 10**13), Fraction(paid_by(exchange, 16), 10**4)


def ppb(text: str) -> int:
    return units.decimal_to_int(text, 9)


@pytest.mark.needs_shared("vectors/funding_rate.yaml")
@pytest.mark.parametrize("venue_of", ["deribit", "hyperliquid", "paradex"])
def test_published_funding_rates(shared, twin, venue_of):
    """Rates of the form P + clamp(interest - P): Deribit's dead band is that with interest 0. Of an index of 10,000, through the book."""
    for vector in vectors(shared, "funding_rate", venue_of):
        v = vector["given"]
        index = Fraction(v.get("index_price", "10000"))
        spread = Fraction(v["impact_price"]) - index if "impact_price" in v else Fraction(v["premium_rate"]) * index
        row = {"interest_ppb": ppb(v.get("interest_rate", "0")), "damp_ppb": ppb(v.get("clamp_rate") or v["dead_band_rate"])}
        if "max_rate" in v:
            row["cap_ppb"] = ppb(v["max_rate"])
        rate, *_ = settled(twin, {}, row, str(int(index)), spread)
        assert abs(rate - Fraction(vector["expect"]["funding_rate"])) <= Fraction(vector["tolerance"]), vector["id"]


@pytest.mark.needs_shared("vectors/funding_payment.yaml")
@pytest.mark.parametrize("venue_of", ["arkham", "hyperliquid", "injective"])
def test_published_funding_payments(shared, twin, venue_of):
    """notional x rate, the rate put at its seam; where only a notional is given it is one lot of that price."""
    for vector in vectors(shared, "funding_payment", venue_of):
        v = vector["given"]
        rate = Fraction(v["funding_rate"]) * Fraction(v.get("interval_h", "1")) / Fraction(v.get("rate_period_h", "1"))
        assert (rate * units.PPB).denominator == 1
        seam = seam_row(Seam.FUNDING_RATE, 0, 20, 21, SeamKind.CONST, int(rate * units.PPB))
        index = v.get("price") or v["notional"]
        *_, paid = settled(twin, v, {}, index, None, (seam,))
        assert abs(paid - Fraction(vector["expect"]["payment"])) <= Fraction(vector["tolerance"]), vector["id"]


@pytest.mark.needs_shared("vectors/funding_index_delta.yaml")
def test_published_cumulative_funding(shared, twin):
    """Paradex accrues a rate of eight hours by the minute: the cumulative funding of one lot after one minute."""
    (vector,) = vectors(shared, "funding_index_delta", "paradex")
    v = vector["given"]
    rate = Fraction(v["funding_rate"]) * Fraction(v["elapsed_s"]) / Fraction(v["period_s"]) * units.PPB
    assert rate.denominator == 1
    _, total, _ = settled(twin, {}, {}, v["price"], None, (seam_row(Seam.FUNDING_RATE, 0, 20, 21, SeamKind.CONST, int(rate)),))
    assert abs(total - Fraction(vector["expect"]["index_delta"])) <= Fraction(vector["tolerance"])
