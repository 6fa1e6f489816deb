"""Where the loss went and who paid whom, by example, on the outcomes of both twins: every figure can be checked by hand.

The rule book is tests/twins.py:small_venue; `say_waterfall` gives the decomposition in whole USDT, causes that changed nothing left out.
"""
# ruff: noqa: E501, F811  (a row of a table is one line; a fixture has its name)

from __future__ import annotations

import numpy as np
import pytest

from fuzz.strategies import EDGES, busy, reached, sample
from fuzz.twin import twin_class
from riskbed.paid import GROUPS, paid
from riskbed.waterfall import CAUSE_OF, Cause, Period, waterfall
from specs import units
from specs.tape import Flow, OutcomeKind, money_join
from tests.test_adl import QUEUE
from tests.test_model_tables import FUNDED, PRICED, TRADED, TWO_MARKETS
from tests.twins import play, small_venue, stages, twin  # noqa: F401


def short(number: int, decimals: int) -> str:
    text = units.int_to_decimal(number, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def fall(exchange, venue):
    return waterfall(exchange.outcomes(), venue, exchange.state())


def say_waterfall(exchange, venue) -> dict[str, str]:
    """Return period -> 'cause figure, ...' and the subtotals."""
    found = fall(exchange, venue)
    said = {
        period.value: ", ".join(f"{cause.value} {short(money, found.decimals)}" for cause, money in sorted(row.items()) if money)
        for period, row in found.rows.items()
    }
    return said | {name: short(getattr(found, name), found.decimals) for name in ("margin", "kept", "end")}


def say_paid(exchange, venue) -> list[str]:
    found = paid(exchange.outcomes(), venue, exchange.state())
    return [
        f"{row.flow} {row.payer} to {row.payee} {short(row.money, venue.assets[row.asset].decimals)} {venue.assets[row.asset].name}"
        for row in found.payments
    ]


# ---- the stages

SLICE = (
    FUNDED
    + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    1    buy 18 COINUSDT 5 @94 #4       | ACCEPTED 18 buy 5 @94 #4
    2    source coin 94.5               | INDEX COIN 94.5 of 1; MARK COINUSDT 94.5; LIQUIDATION 16 32; FILL BOOK 16 sell 5 @94 from 18 #4 in round 1; LIQUIDATION_FEE 4.7 USDT 16 to FUND in round 1; TAKEOVER 16 long 11 @94.5 cash 1014.7 in round 1; RESTORED 16 0 FLAT in round 1
    """
)


def test_a_slice_below_the_mark_its_fee_and_the_backstop(twin):
    """88 are lost before, 32 are left: 5 lots sold 0.5 below the mark cost 2.5, the fee 1 % of 470, the backstop gets the rest."""
    venue = small_venue(market={"fees": {"liquidation_ppm": 10_000}})
    exchange = play(twin, venue, SLICE)
    assert say_waterfall(exchange, venue) == {
        "before": "prices -88, put_in 120",
        "margin": "32",
        "inside": "book -2.5, liquidation_fee -4.7, takeover -24.8",
        "kept": "0",
        "after": "",
        "end": "0",
    }
    # 18 bought 5 at 94, now 94.5; 17 is short 16 from 100
    assert say_paid(exchange, venue) == [
        "DEPOSIT OUTSIDE to LIQUIDATED 120 USDT",
        "DEPOSIT OUTSIDE to OTHERS 620 USDT",
        "TRADE LIQUIDATED to OTHERS 90.5 USDT",
        "LIQUIDATION_FEE LIQUIDATED to FUND 4.7 USDT",
        "TAKEOVER LIQUIDATED to BACKSTOP 24.8 USDT",
    ]


def test_a_bust_takes_the_slippage_back(twin):
    """After SLICE 16 has its 5 lots again and owes 470: 2.5 above nothing, which the backstop gets with the lots."""
    venue = small_venue(limits={"fills_kept": 9}, market={"fees": {"liquidation_ppm": 10_000}})
    exchange = play(
        twin,
        venue,
        SLICE
        + """
    3    bust 1                         | BUSTED 1 16 sell 5 @94 from 18; LIQUIDATION 16 2.5; TAKEOVER 16 long 5 @94.5 cash 470 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert say_waterfall(exchange, venue) == {
        "before": "book 2.5, prices -88, put_in 120",
        "margin": "34.5",
        "inside": "book -2.5, liquidation_fee -4.7, takeover -27.3",
        "kept": "0",
        "after": "",
        "end": "0",
    }


def test_restored_then_liquidated_again_and_what_came_after(twin):
    """6 lots are sold 0.5 above the mark, 10 fall by 1.5, 8 of them are sold 2 above; the last two rise by 2 when it is over."""
    venue = small_venue(market={"fees": {"taker_ppm": 1_000, "liquidation_ppm": 10_000}})
    exchange = play(
        twin,
        venue,
        FUNDED
        + """
    1    account 18                     | OPENED 18
    1    deposit 18 USDT 500            | DEPOSIT 500 USDT OUTSIDE to 18
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1; FILL 16 buy 16 @100 from 17 #2 fee 1.6
    1    buy 18 COINUSDT 20 @95 #4      | ACCEPTED 18 buy 20 @95 #4
    2    source coin 94.5               | INDEX COIN 94.5 of 1; MARK COINUSDT 94.5; LIQUIDATION 16 30.4; FILL BOOK 16 sell 6 @95 from 18 #4 in round 1; LIQUIDATION_FEE 5.7 USDT 16 to FUND in round 1; RESTORED 16 27.7 ABOVE_TARGET in round 1
    3    source coin 93                 | INDEX COIN 93 of 1; MARK COINUSDT 93; LIQUIDATION 16 12.7; FILL BOOK 16 sell 8 @95 from 18 #4 in round 1; LIQUIDATION_FEE 7.6 USDT 16 to FUND in round 1; RESTORED 16 21.1 ABOVE_TARGET in round 1
    4    source coin 95                 | INDEX COIN 95 of 1; MARK COINUSDT 95
    """,
    )
    assert say_waterfall(exchange, venue) == {
        "before": "fees -1.6, prices -103, put_in 120",
        "margin": "15.4",
        "inside": "book 19, liquidation_fee -13.3",
        "kept": "21.1",
        "after": "prices 4",
        "end": "25.1",
    }
    found = fall(exchange, venue)
    assert (found.accounts, found.episodes, found.carried) == (1, 2, 0)


def test_a_debt_is_paid_by_the_treasury_s_price_the_fund_and_nobody(twin):
    """120 USD are worth 120 and are bought for 117.6; of the debt of 42.4 the fund has 10, and 32.4 are bad debt."""
    venue = small_venue(fund={"capital": 10})
    exchange = play(
        twin,
        venue,
        PRICED
        + """
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    deposit 16 USD 120             | DEPOSIT 120 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 @100 #2; FILL 17 sell 16 @100 from 16 #1
    2    source coin 90                 | INDEX COIN 90 of 1; MARK COINUSDT 90; LIQUIDATION 16 -52; TAKEOVER 16 long 16 @90 cash 1440 in round 1; CONVERT 16 120 USD @0.98 in round 1; CONVERT_CASH 117.6 USDT TREASURY to 16 in round 1; FUND_PAYMENT 10 USDT FUND to 16 in round 1; FUND_SHORT 16 32.4 in round 1; WRITE_OFF 32.4 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert say_waterfall(exchange, venue) == {
        "before": "prices -160, put_in 120",
        "margin": "-40",
        "inside": "bad_debt 32.4, fund_draw 10, treasury -2.4",
        "kept": "0",
        "after": "",
        "end": "0",
    }
    assert say_paid(exchange, venue) == [
        "DEPOSIT OUTSIDE to OTHERS 120 USDT",
        "DEPOSIT OUTSIDE to LIQUIDATED 120 USD",
        "FUND_CAPITAL OUTSIDE to FUND 10 USDT",
        "TRADE LIQUIDATED to OTHERS 160 USDT",
        "CONVERT_ASSET LIQUIDATED to TREASURY 120 USD",
        "CONVERT_CASH TREASURY to LIQUIDATED 117.6 USDT",
        "FUND_PAYMENT FUND to LIQUIDATED 10 USDT",
        "WRITE_OFF BAD_DEBT to LIQUIDATED 32.4 USDT",
    ]


@pytest.mark.parametrize(
    ("coin", "margin", "adl", "paid_by"),
    [
        ("94", "24", "adl -24", "ADL LIQUIDATED to OTHERS 24 USDT"),
        ("90", "-40", "adl 40", "ADL OTHERS to LIQUIDATED 40 USDT"),
    ],
)
def test_adl_gives_the_margin_to_the_counterparty_or_takes_the_debt_from_it(twin, coin, margin, adl, paid_by):
    """The transfer price is 92.5 a lot: 16 lots at 94 lose 24 to the winner, at 90 the winner bears 40."""
    venue = small_venue(liquidation={"stages": stages("book", "takeover", adl={})})
    exchange = play(twin, venue, TRADED + f"    2    source coin {coin}   | ...")
    lost = -16 * (100 - int(coin))
    said = say_waterfall(exchange, venue)
    assert said == {
        "before": f"prices {lost}, put_in 120",
        "margin": margin,
        "inside": adl,
        "kept": "0",
        "after": "",
        "end": "0",
    }
    assert say_paid(exchange, venue)[-2:] == [f"TRADE LIQUIDATED to OTHERS {-lost} USDT", paid_by]


def test_a_counterparty_of_adl_that_is_liquidated_later_has_its_gain_before(twin):
    """17 gets 3 of 16's last 15.0001 with 2 lots at 94; its other 6 lots short lose 234 up to 133, and its last 17 go to 19.

    At 133 in the end: 8 lots that 18 took at 739.9999 are worth 1,064, 6 lots that 19 gave for 815 are worth 798.
    """
    venue = small_venue(liquidation={"stages": stages("book", "takeover", adl={})})
    exchange = play(
        twin,
        venue,
        QUEUE
        + """
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 15.0001; ADL 16 long 8 @94 by 18 cash 739.9999 in round 1; ADL 16 long 2 @94 by 17 cash 185 in round 1; RESTORED 16 0 FLAT in round 1
    3    source coin 133                | INDEX COIN 133 of 1; MARK COINUSDT 133; LIQUIDATION 17 17; ADL 17 short 6 @133 by 19 cash -815 in round 1; RESTORED 17 0 FLAT in round 1
    """,
    )
    assert say_waterfall(exchange, venue) == {
        "before": "adl_counterparty 3, prices -246, put_in 275.0001",
        "margin": "32.0001",
        "inside": "adl -32.0001",
        "kept": "0",
        "after": "",
        "end": "0",
    }
    assert say_paid(exchange, venue)[-2:] == [
        "TRADE OTHERS to LIQUIDATED 66 USDT",
        "ADL LIQUIDATED to OTHERS 341.0001 USDT",
    ]


SPOT = {"name": "USDUSDT", "payoff": "spot", "base": "USD", "settles_in": "USDT", "index": "USD", "mark": {"kind": "index"}}
SPOT |= {"price_decimals": 2, "lot": {"decimals": 0}}


def test_collateral_sold_in_the_own_book_loses_what_the_bids_are_below_its_price(twin):
    """120 USD at 0.97 bring 116.4. In the end 18 has 120 USD for them, and they are no debt of anybody."""
    sells = {"to": "book", "bound_ppm": 1_000_000}
    venue = small_venue(
        markets=[TWO_MARKETS[0], SPOT],
        collateral_row={"market": "USDUSDT"},
        liquidation={"stages": stages(convert=sells)},
    )
    exchange = play(
        twin,
        venue,
        """
    0    source coin 100                | INDEX COIN 100 of 1; MARK COINUSDT 100
    0    source usd 1                   | INDEX USD 1 of 1; MARK USDUSDT 1; COLLATERAL USD 1
    0    account 16                     | OPENED 16
    0    account 17                     | OPENED 17
    0    account 18                     | OPENED 18
    0    deposit 16 USD 120             | DEPOSIT 120 USD OUTSIDE to 16
    0    deposit 17 USDT 120            | DEPOSIT 120 USDT OUTSIDE to 17
    0    deposit 18 USDT 300            | DEPOSIT 300 USDT OUTSIDE to 18
    1    buy 16 COINUSDT 16 @100 #1     | ACCEPTED 16 buy 16 COINUSDT @100 #1
    1    sell 17 COINUSDT 16 @100 #2    | ACCEPTED 17 sell 16 COINUSDT @100 #2; FILL 17 sell 16 COINUSDT @100 from 16 #1
    1    buy 18 USDUSDT 200 @0.97 #3    | ACCEPTED 18 buy 200 USDUSDT @0.97 #3
    2    source coin 94                 | INDEX COIN 94 of 1; MARK COINUSDT 94; LIQUIDATION 16 12; TAKEOVER 16 long 16 COINUSDT @94 cash 1482.4 in round 1; FILL CONVERT 16 sell 120 USDUSDT @0.97 from 18 #3 in round 1; FUND_SHORT 16 1.2 in round 1; WRITE_OFF 1.2 USDT BAD_DEBT to 16 in round 1; RESTORED 16 0 FLAT in round 1
    """,
    )
    assert say_waterfall(exchange, venue) == {
        "before": "prices -96, put_in 120",
        "margin": "24",
        "inside": "bad_debt 1.2, spot_book -3.6, takeover -21.6",
        "kept": "0",
        "after": "",
        "end": "0",
    }
    assert "TRADE LIQUIDATED to OTHERS 120 USD" in say_paid(exchange, venue)
    assert "TRADE OTHERS to LIQUIDATED 20.4 USDT" in say_paid(exchange, venue)  # 116.4 for the USD, 96 lost on the lots


def test_a_price_that_moves_while_an_episode_is_open_is_inside_it(twin):
    """Neither book nor backstop: the account is carried at 24 and loses 16 more; nobody pays, its episode is still open."""
    venue = small_venue(liquidation={"stages": stages("book", "takeover")})
    exchange = play(twin, venue, TRADED + "    2  source coin 94  | ...\n    3  source coin 93  | ...")
    assert say_waterfall(exchange, venue) == {
        "before": "prices -96, put_in 120",
        "margin": "24",
        "inside": "prices -16",
        "kept": "8",
        "after": "",
        "end": "8",
    }
    assert fall(exchange, venue).carried == 1


def test_without_a_liquidation_there_is_nothing_to_fall(twin):
    venue = small_venue()
    exchange = play(twin, venue, TRADED)
    assert say_waterfall(exchange, venue) == dict(before="", inside="", after="", margin="0", kept="0", end="0")
    assert say_paid(exchange, venue) == ["DEPOSIT OUTSIDE to OTHERS 240 USDT"]


# ---- the identities


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kinds", [None, EDGES], ids=["usual", "edges"])
def test_the_causes_and_the_flows_explain_every_balance_of_any_tape(seed, kinds):
    """Tapes of every kind of event, ADL, funding, sub-accounts and spot books too; the assertions are in the code that is called."""
    liquidated, causes = 0, set()
    for case in sample(80, seed=seed, **({} if kinds is None else {"kinds": kinds})):
        exchange = twin_class("engine")(case.venue, case.start_ns, case.seams)
        exchange.run(case.events)
        fallen = fall(exchange, case.venue)
        liquidated += fallen.accounts
        causes |= {cause for row in fallen.rows.values() for cause, money in row.items() if money}
        found = paid(exchange.outcomes(), case.venue, exchange.state())
        assert all(sum(row.values()) == 0 for row in found.nets().values())
        assert all(row.money > 0 and {row.payer, row.payee} <= {*GROUPS} for row in found.payments)
    assert liquidated > 20
    if kinds is None:
        rare = {Cause.SPOT_BOOK, Cause.ADL_COUNTERPARTY, Cause.SETTLEMENT}
        assert causes >= {*Cause} - rare, {*Cause} - causes


def test_what_a_busy_tape_pays_is_what_its_waterfall_says():
    """Fund, write-off and liquidation fees reach and leave liquidated accounts only: the rows are the flows of the whole run."""
    case = busy(4_000)
    exchange = twin_class("engine")(case.venue, case.start_ns, case.seams)
    exchange.run(case.events)
    outcomes = exchange.outcomes()
    assert {"conversion", "fund", "bad_debt", "takeover"} <= reached(outcomes)
    found = fall(exchange, case.venue)
    for flow, cause, sign in (
        (Flow.FUND_PAYMENT, Cause.FUND, 1),
        (Flow.WRITE_OFF, Cause.BAD_DEBT, 1),
        (Flow.LIQUIDATION_FEE, Cause.LIQUIDATION_FEE, -1),
    ):
        rows = outcomes[(outcomes["kind"] == OutcomeKind.FLOW) & (outcomes["flow"] == flow)]
        money = sum(money_join(int(row["money_lo"]), int(row["money_hi"])) for row in rows)
        scale = 10 ** (found.decimals - case.venue.decimals(case.venue.numeraire))
        assert sum(found.rows[period][cause] for period in Period) == sign * money * scale
        assert money > 0 or flow != Flow.LIQUIDATION_FEE


def test_every_flow_of_a_user_has_a_cause():
    assert {*CAUSE_OF} == {*Flow} - {Flow.NONE, Flow.FUND_CAPITAL}


@pytest.mark.parametrize("period", list(Period))
def test_the_subtotals_are_sums_of_their_rows(period):
    venue = small_venue(market={"fees": {"liquidation_ppm": 10_000}})
    found = fall(play(twin_class("model"), venue, SLICE), venue)
    upto = list(Period)[: list(Period).index(period) + 1]
    total = sum(sum(found.rows[p].values()) for p in upto)
    assert total == {Period.BEFORE: found.margin, Period.INSIDE: found.kept, Period.AFTER: found.end}[period]


@pytest.mark.parametrize("kind", [OutcomeKind.FLOW, OutcomeKind.FILL, OutcomeKind.TAKEOVER])
def test_an_outcome_that_is_lost_is_our_own_fault(kind):
    """Without one outcome that moved money the sums are not what there is: both say so."""
    venue = small_venue(market={"fees": {"liquidation_ppm": 10_000}})
    exchange = play(twin_class("model"), venue, SLICE)
    outcomes, state = exchange.outcomes(), exchange.state()
    lost = np.delete(outcomes, np.flatnonzero(outcomes["kind"] == kind)[-1])
    with pytest.raises(AssertionError, match="the causes of the waterfall sum to"):
        waterfall(lost, venue, state)
    with pytest.raises(AssertionError, match="that no flow brought"):
        paid(lost, venue, state)
