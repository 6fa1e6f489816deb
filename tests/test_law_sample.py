"""Which events of a sample the laws are checked after, and that what breaks there is told: riskbed/laws.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fuzz.strategies import busy
from fuzz.twin import twin_class
from riskbed import jobs, laws
from specs.laws import CHECKED, LAWS
from specs.tape import OutcomeKind, Seam, Stage
from tests.test_waterfall import SLICE
from tests.twins import START_NS, small_venue, tape

VENUE = small_venue(market={"fees": {"liquidation_ppm": 10_000}})


def twins(venue=VENUE, start_ns: int = START_NS):
    return [twin_class(which)(venue, start_ns, ()) for which in ("model", "engine")]


@pytest.fixture(scope="module")
def case():
    return busy(2_500)


@pytest.fixture(scope="module")
def outcomes(case) -> np.ndarray:
    exchange = twin_class("engine")(case.venue, case.start_ns, case.seams)
    exchange.run(case.events)
    return exchange.outcomes()


@pytest.mark.parametrize("most", [1, 5, 100, 1_500, 2_499, 2_500, 9_999])
def test_forced_closes_are_chosen_first_then_users_then_the_rest(case, outcomes, most: int) -> None:
    count = len(case.events)
    forced = set(outcomes["event"][(outcomes["kind"] == OutcomeKind.LIQUIDATION) | (outcomes["stage"] != Stage.NONE)].tolist())
    quoting = [row.account for row in case.venue.quoters]
    users = (outcomes["account"] >= 16) & ~np.isin(outcomes["account"], quoting)
    touched = set(outcomes["event"][users].tolist()) | forced
    at = laws.chosen(outcomes, case.venue, count, most)
    assert at == sorted(set(at)) and len(at) == min(most, count) and 0 <= at[0] and at[-1] < count
    assert 1 < len(forced) < len(touched) < count
    if most <= len(forced):
        assert set(at) <= forced
    if most >= len(touched) + 20:
        assert touched <= set(at)


def test_the_rest_is_spread_over_the_run() -> None:
    """Nothing happened: about a tenth of the events, in no step that a period of the tape could follow."""
    at = laws.chosen(np.zeros(0, dtype=twins()[1].outcomes().dtype), VENUE, 1_000, 99)
    assert len(at) == 99 and set(np.diff(at).tolist()) == {10, 11}


def test_a_run_in_steps_is_the_whole_run(case) -> None:
    model, engine = twins(case.venue, case.start_ns)
    at = list(range(3, 300, 7)) + [300, 301, 302]
    stepped = laws.step(model, engine, case.events[:900], at, case.venue, frozenset())
    whole = twins(case.venue, case.start_ns)[1]
    whole.run(case.events[:900])
    assert stepped.difference is None
    assert model.digest() == engine.digest() == whole.digest() and model.state() == engine.state() == whole.state()
    assert [(row.name, row.events, row.broken, row.first) for row in stepped.checked] == [(x, len(at), 0, None) for x in CHECKED]


def test_a_law_that_an_armed_seam_lifts_is_not_counted() -> None:
    events = tape(VENUE, SLICE)
    stepped = laws.step(*twins(), events, [1, 2], VENUE, frozenset({Seam.LIQUIDATION_TRIGGER}))
    assert {row.name for row in stepped.checked if row.events == 0} == {"L7", "L19"}


def test_a_broken_law_is_told_with_its_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def liquidated(found):
        if any(o.kind == OutcomeKind.LIQUIDATION for o in found.outcomes):
            yield "somebody was liquidated"

    monkeypatch.setitem(LAWS, "L1", replace(LAWS["L1"], check=liquidated))
    events = tape(VENUE, SLICE)
    stepped = laws.step(*twins(), events, list(range(len(events))), VENUE, frozenset())
    broken = [row for row in stepped.checked if row.broken]
    assert broken == [laws.Checked("L1", len(events), 1, f"after event {len(events) - 1}: somebody was liquidated")]


def test_twins_whose_states_differ_on_the_way_are_told() -> None:
    model, engine = twins()

    class Wrong:
        run, apply = model.run, model.apply

        @staticmethod
        def state():
            found = model.state()
            if found["clock"][0][1] == 7:
                found["balances"][0] = (*found["balances"][0][:2], 1)
            return found

    events = tape(VENUE, SLICE)
    stepped = laws.step(Wrong, engine, events, [2, 6, 8], VENUE, frozenset())
    assert stepped.difference is not None and stepped.difference[:2] == (6, "balances[(0, 0)].balance")
    assert stepped.checked == []


@pytest.mark.parametrize(
    ("rows", "events"), [(0, laws.EVENTS_MAX), (300, laws.EVENTS_MAX), (301, 1_794), (3_000, 180), (10**6, laws.EVENTS_MIN)]
)
def test_a_larger_state_is_checked_after_fewer_events(rows: int, events: int) -> None:
    assert laws.events_max({"orders": [(1,)] * rows, "due": []}) == events


def test_without_the_laws_nothing_is_checked() -> None:
    events = tape(VENUE, SLICE)
    job = jobs.Job("own", VENUE, START_NS, events, [], START_NS + 10**10, True, {})
    compared = jobs.compare_twins(job)
    assert (compared.difference, compared.law_events, compared.events) == (None, 0, len(events))
    checked = jobs.compare_twins(job, lawful=True)
    assert checked.law_events == len(events) and {row.events for row in checked.checked} == {len(events)}
