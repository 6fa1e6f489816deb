"""Rounds of cascades by hand, and where a replay shows them."""

from __future__ import annotations

import json
from pathlib import Path

from riskbed import result
from riskbed.replay import Options, replay
from riskbed.rounds import histogram, lows, rounds
from specs.tape import Grade, OutcomeKind, Stage
from tests.test_labels import outcomes


def row(kind: OutcomeKind, number: int, time: int = 1, **fields) -> dict:
    return {"kind": kind, "round": number, "time": time, "event": time} | fields


def price(number: int, price: int, time: int = 1, **fields) -> dict:
    return row(OutcomeKind.COLLATERAL, number, time, asset=1, price=price, **fields)


def sale(number: int, account: int, lots: int, time: int = 1) -> dict:
    return row(OutcomeKind.FILL, number, time, account=account, market=2, qty=lots, stage=Stage.CONVERT)


def test_two_cascades_of_one_event_are_told_apart():
    """The second begins where the round goes back; what nobody did anything in is none; a price without a grade is no price."""
    rows = [
        price(0, 100),
        sale(1, 20, 3),
        row(OutcomeKind.TAKEOVER, 1, account=21, qty=5),
        price(1, 90),
        row(OutcomeKind.CARRIED, 2, account=20),
        sale(2, 21, 1),
        price(2, 80),
        row(OutcomeKind.CARRIED, 3, account=20),
        sale(1, 20, 4),
        price(1, 70),
        price(1, 1, grade=Grade.STALE),
        row(OutcomeKind.CARRIED, 1, 2, account=20),
        price(0, 75, 3),
    ]
    rows = outcomes(rows)
    first, second = rounds(rows)
    assert (first.rounds, first.accounts, first.lots, first.sold) == (2, 2, 5, {2: 4})
    assert (first.before, first.after, first.by_round[0].prices) == ({1: 100}, {1: 80}, {1: 90})
    assert (second.rounds, second.accounts, second.sold, second.before, second.after) == (1, 1, {2: 4}, {1: 80}, {1: 70})
    assert histogram([first, second]) == {1: 1, 2: 1}
    assert lows(rows) == {1: 70}


def test_a_run_without_liquidations_has_none():
    assert rounds(outcomes([price(0, 100)])) == [] == rounds(outcomes([])) and histogram([]) == {}


def test_a_replay_shows_its_rounds(tmp_path: Path):
    done = replay(Options(incident="2025-10-10-B-wrapped", accounts=1_000, lockstep=0, out=tmp_path))
    faults = {rule.name: rule.fault for rule in done.answer.rules}
    deepest = faults["old-to-book"].cascades
    assert deepest.rounds_max >= 1 and sum(deepest.histogram.values()) == deepest.cascades > 0
    assert set(faults["old-to-book"].lows) == {"WBETH", "BNSOL"}
    folder = Path(done.answer.run_folder)
    assert result.Result.model_validate(json.loads((folder / "run.json").read_text())) == done.answer
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h2>Rounds of the cascade</h2>" in page and 'id="rounds"' in page and 'Plotly.newPlot("rounds"' in page
    assert page.count("sold into the own book</td>") >= 2
