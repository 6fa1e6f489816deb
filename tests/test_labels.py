"""Labels lot by lot: one row a pair of runs and what each lot must be called. Times in seconds, eps 1 s, horizon 100 s."""

from __future__ import annotations

import random

import numpy as np
import pytest

from riskbed.labels import Forced, Label, forced_lots, label, merge, paired
from specs.tape import OUTCOME, Flow, Grade, Leg, OutcomeKind, Side, Stage, money_split
from specs.units import NS

MULTIPLIERS = [10, 1]  # money per lot and price unit, by market


def worth(market: int, price: int) -> int:
    return price * MULTIPLIERS[market]
ERRONEOUS, PREMATURE, LATE, MISSED = Label.ERRONEOUS, Label.PREMATURE, Label.LATE, Label.MISSED
ORGANIC, IN_BAND, IN_BAND_MISSED = Label.ORGANIC, Label.IN_BAND, Label.IN_BAND_MISSED


def outcomes(rows: list[dict]) -> np.ndarray:
    """Return outcomes of field dicts; `money` is joined, `time` in seconds."""
    out = np.zeros(len(rows), dtype=OUTCOME)
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name == "money":
                out["money_lo"][i], out["money_hi"][i] = money_split(value)
            elif name == "time":
                out["time_ns"][i] = value * NS
            else:
                out[name][i] = value
    return out


def mark(time: int, price: int, market: int = 0, grade: Grade = Grade.VALID) -> dict:
    return {"time": time, "kind": OutcomeKind.MARK, "market": market, "price": price, "grade": grade}


def closed(time: int, lots: int, account: int = 20, market: int = 0, price: int = 7, order: int = 1) -> dict:
    """A long position sold by the book stage."""
    fill = {"kind": OutcomeKind.FILL, "stage": Stage.BOOK, "side": Side.SELL, "ref_id": order}
    return fill | {"time": time, "account": account, "market": market, "price": price, "qty": lots}


def run(*rows: tuple) -> Forced:
    """Return forced lots of (seconds, lots[, account[, market]]) rows, marks 100 and 1000."""
    return forced_lots(outcomes([mark(0, 100), mark(0, 1000, 1), *(closed(*row) for row in rows)]), worth)


CASES = [
    # name, broken, true lower, true upper, label -> lots
    ("nothing anywhere", [], [], [], {}),
    ("same instant", [(10, 5)], [(10, 5)], None, {ORGANIC: 5}),
    ("exactly eps later is organic", [(11, 5)], [(10, 5)], None, {ORGANIC: 5}),
    ("exactly eps earlier is organic", [(9, 5)], [(10, 5)], None, {ORGANIC: 5}),
    ("more than eps later", [(12, 5)], [(10, 5)], None, {LATE: 5}),
    ("more than eps earlier", [(8, 5)], [(10, 5)], None, {PREMATURE: 5}),
    ("only broken", [(10, 5)], [], None, {ERRONEOUS: 5}),
    ("only true: a frozen price prevents it", [], [(10, 5)], None, {MISSED: 5}),
    ("the surplus is erroneous", [(10, 8)], [(10, 5)], None, {ORGANIC: 5, ERRONEOUS: 3}),
    ("the lack is missed", [(10, 5)], [(10, 8)], None, {ORGANIC: 5, MISSED: 3}),
    ("the n-th with the n-th, not the nearest in time", [(10, 5), (50, 5)], [(50, 5)], None, {PREMATURE: 5, ERRONEOUS: 5}),
    ("one run cuts the other", [(10, 6)], [(10, 2), (20, 3), (9, 1)], None, {ORGANIC: 3, PREMATURE: 3}),
    ("both cut", [(10, 3), (20, 3)], [(10, 2), (20, 2), (30, 2)], None, {ORGANIC: 3, PREMATURE: 3}),
    ("accounts do not mix", [(10, 5, 20)], [(10, 5, 21)], None, {ERRONEOUS: 5, MISSED: 5}),
    ("markets do not mix", [(10, 5, 20, 0)], [(10, 5, 20, 1)], None, {ERRONEOUS: 5, MISSED: 5}),
    ("after the horizon is not compared", [(101, 5)], [(102, 5)], None, {}),
    ("the horizon itself is", [(100, 5)], [(102, 5)], None, {ERRONEOUS: 5}),
    ("in neither true run", [(10, 5)], [], [], {ERRONEOUS: 5}),
    ("in one true run only, the lower", [(10, 5)], [(10, 5)], [], {IN_BAND: 5}),
    ("in one true run only, the upper", [(10, 5)], [], [(90, 5)], {IN_BAND: 5}),
    ("missed at one edge only", [], [(10, 5)], [], {IN_BAND_MISSED: 5}),
    ("missed at both", [], [(10, 5)], [(20, 5)], {MISSED: 5}),
    ("between the edges is organic", [(30, 5)], [(10, 5)], [(50, 5)], {ORGANIC: 5}),
    ("edges may be in either order", [(30, 5)], [(50, 5)], [(10, 5)], {ORGANIC: 5}),
    ("eps outside the band is organic", [(9, 5)], [(10, 5)], [(50, 5)], {ORGANIC: 5}),
    ("earlier than both edges", [(8, 5)], [(10, 5)], [(50, 5)], {PREMATURE: 5}),
    ("later than both edges", [(52, 5)], [(10, 5)], [(50, 5)], {LATE: 5}),
    ("one stretch of each", [(10, 9)], [(10, 4)], [(10, 7)], {ORGANIC: 4, IN_BAND: 3, ERRONEOUS: 2}),
    ("lots are never expanded", [(10, 10**12)], [(10, 10**12 - 1)], None, {ORGANIC: 10**12 - 1, ERRONEOUS: 1}),
]


@pytest.mark.parametrize(("broken", "lower", "upper", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_lot_has_its_label(broken: list, lower: list, upper: list | None, expected: dict) -> None:
    true_lower = run(*lower)
    true_upper = true_lower if upper is None else run(*upper)
    labels = label(run(*broken), true_lower, true_upper, eps_ns=NS, horizon_ns=100 * NS)
    assert {which: lots for which, (lots, _, _) in labels.totals().items() if lots} == expected


def test_every_label_is_reached_by_the_table() -> None:
    assert {which for *_, expected in CASES for which in expected} == set(Label)


@pytest.mark.parametrize(
    ("broken", "true", "expected"),
    [
        ([(10, 6)], [(10, 5)], ORGANIC),  # 5 organic, 1 erroneous
        ([(10, 6)], [(10, 2)], ERRONEOUS),  # 2 organic, 4 erroneous
        ([(10, 6)], [(10, 3)], ERRONEOUS),  # as many of both: the worse
        ([(10, 4)], [(10, 2), (50, 2)], PREMATURE),
        ([(10, 2), (60, 2)], [(10, 2), (50, 2)], LATE),
        ([(10, 2)], [(50, 2), (60, 2)], PREMATURE),  # 2 premature, 2 missed
    ],
)
def test_an_account_takes_the_label_of_most_of_its_lots_and_of_equals_the_worse(
    broken: list, true: list, expected: Label
) -> None:
    labels = label(run(*broken), run(*true), run(*true), eps_ns=NS, horizon_ns=100 * NS)
    assert labels.accounts() == {20: expected}
    assert [accounts for _, _, accounts in labels.totals().values()] == [int(which == expected) for which in Label]


def test_from_the_mildest_to_the_worst() -> None:
    assert sorted(Label) == [ORGANIC, IN_BAND, IN_BAND_MISSED, LATE, MISSED, PREMATURE, ERRONEOUS]


def test_notional_is_lots_at_the_mark_of_the_forced_close() -> None:
    stale = mark(11, 1, grade=Grade.STALE)
    broken = outcomes([mark(0, 100), mark(10, 90), closed(10, 3, price=80), stale, closed(12, 2, price=80), mark(13, 1)])
    true = outcomes([mark(0, 100), closed(10, 1, price=99), mark(20, 50), closed(21, 9, price=1)])
    true_run = forced_lots(true, worth)
    labels = label(forced_lots(broken, worth), true_run, true_run, eps_ns=NS, horizon_ns=100 * NS)
    # 1 organic and 4 premature at 90 x 10; 5 missed at 50 x 10. A mark that is not valid says nothing
    assert labels.totals()[ORGANIC][:2] == (1, 900)
    assert labels.totals()[PREMATURE][:2] == (4, 3_600)
    assert labels.totals()[MISSED][:2] == (5, 2_500)
    assert labels.summary(2)["missed"] == {"lots": 5, "notional": "25.00", "accounts": 1}
    assert labels.summary(2)["premature"] == {"lots": 4, "notional": "36.00", "accounts": 0}


def test_money_beyond_64_bits_is_exact() -> None:
    price, lots = 10**15, 10**12
    forced = forced_lots(outcomes([mark(0, price), closed(1, lots, price=price - 1)]), worth)
    assert forced.value == [10**16] and forced.cash == [lots * (price - 1) * 10]
    labels = label(forced, run(), run(), eps_ns=0, horizon_ns=100 * NS)
    assert labels.notional == [10**28]


def test_forced_lots_are_fills_of_the_book_stage_and_takeovers() -> None:
    rows = [
        mark(0, 100),
        {"time": 1, "kind": OutcomeKind.FILL, "stage": Stage.NONE, "side": Side.SELL, "account": 20, "qty": 4, "price": 5},
        closed(2, 3, price=99, order=7),
        closed(2, 1, price=98, order=7),
        {"time": 2, "kind": OutcomeKind.FLOW, "flow": Flow.LIQUIDATION_FEE, "account": 20, "other": 1, "money": 11},
        {
            "time": 3,
            "kind": OutcomeKind.TAKEOVER,
            "account": 20,
            "market": 0,
            "side": Side.SELL,
            "qty": 6,
            "price": 100,
            "money": -6_500,
        },
        {
            "time": 4,
            "kind": OutcomeKind.FILL,
            "stage": Stage.BOOK,
            "side": Side.BUY,
            "account": 21,
            "qty": 2,
            "price": 101,
            "ref_id": 9,
        },
    ]
    forced = forced_lots(outcomes(rows), worth)
    assert forced.row.tolist() == [2, 3, 5, 6]
    assert forced.lots.tolist() == [3, 1, 6, 2]
    assert forced.side.tolist() == [Side.BUY, Side.BUY, Side.SELL, Side.SELL]  # of the position that was closed
    assert forced.cash == [2_970, 980, -6_500, -2_020]
    assert forced.fee == [8, 3, 0, 0]  # 11 x 3/4 down, the rest with the last fill of the slice
    assert forced.key[0] == (20 << 32) | Leg.NET
    assert forced_lots(outcomes(rows), worth, horizon_ns=2 * NS).lots.tolist() == [3, 1]


def test_the_merge_agrees_with_counting_lot_by_lot() -> None:
    """Against the slow reading of the rule: expand every lot, match the n-th with the n-th."""
    rng = random.Random(7)
    for _ in range(200):
        runs = []
        for _ in range(3):
            rows = sorted(
                (rng.randrange(30), rng.randint(1, 5), rng.choice((20, 21)), rng.randrange(2)) for _ in range(rng.randrange(6))
            )
            runs.append(rows)
        expanded = [
            {(a, m): [t for t, n, x, y in rows if (x, y) == (a, m) for _ in range(n)] for a in (20, 21) for m in (0, 1)}
            for rows in runs
        ]
        expected = {which: 0 for which in Label}
        for key in expanded[0]:
            broken, lower, upper = (lots[key] for lots in expanded)
            for n in range(max(map(len, (broken, lower, upper)))):
                b, lo, up = (lots[n] if n < len(lots) else None for lots in (broken, lower, upper))
                edges = [t for t in (lo, up) if t is not None]
                if b is None:
                    which = MISSED if len(edges) == 2 else IN_BAND_MISSED
                elif len(edges) < 2:
                    which = IN_BAND if edges else ERRONEOUS
                else:
                    which = PREMATURE if b < min(edges) - 1 else LATE if b > max(edges) + 1 else ORGANIC
                expected[which] += 1
        labels = label(*(run(*rows) for rows in runs), eps_ns=NS, horizon_ns=100 * NS)
        assert {which: lots for which, (lots, _, _) in labels.totals().items()} == expected, runs


def test_the_merge_keeps_every_lot_once() -> None:
    segments = merge([run((1, 5), (2, 3, 21)), run((1, 2), (2, 9)), run()])
    assert [int(segments.lots[has].sum()) for has in segments.has] == [8, 11, 0]


@pytest.mark.parametrize(
    ("reference", "other", "without", "expected"),
    [
        ([(10, 4)], [(10, 4)], None, (4, 4, 0, 0)),
        ([(10, 4)], [(13, 3)], None, (4, 3, 0, 3)),
        ([(10, 4)], [], None, (4, 0, 0, None)),
        ([], [(10, 4)], None, (0, 0, 4, None)),
        ([(10, 4)], [(12, 2), (20, 2)], None, (4, 4, 0, 2)),  # of 2, 2, 10, 10 the lower middle
        ([(10, 5)], [(12, 2), (20, 3)], None, (5, 5, 0, 10)),
        ([(10, 4)], [(8, 4)], None, (4, 4, 0, -2)),
        ([(10, 9)], [(10, 9)], [(50, 4)], (5, 5, 0, 0)),  # the first four would have been closed anyway
        ([(10, 9)], [(30, 6)], [(50, 4)], (5, 2, 0, 20)),
        ([(10, 4)], [(10, 4)], [(5, 4)], (0, 0, 0, None)),
    ],
)
def test_paired(reference: list, other: list, without: list | None, expected: tuple) -> None:
    pair = paired(run(*reference), run(*other), 100 * NS, [run(*without)] if without is not None else [])
    delay = None if pair.median_delay_ns is None else pair.median_delay_ns // NS
    assert (pair.lots, pair.kept_lots, pair.extra_lots, delay) == expected
