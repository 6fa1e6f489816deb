"""The twins are equal, byte for byte, on every tape that the two sources make; and the tapes go where it hurts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.strategies import EDGES, REACHES, START_NS, Case, busy, decode, long_cases, reached, sample, small_cases, small_sample
from fuzz.twin import Lockstep, start, twin_class
from specs.lawbook import runs
from specs.model.exchange import Exchange as Model
from specs.rules import Venue
from specs.tape import EVENT, OUTCOME, OutcomeKind

pytestmark = pytest.mark.lockstep
RIGHT = "engine"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def lockstep(case: Case) -> Lockstep:
    return Lockstep(case.venue, case.start_ns, case.seams, right=RIGHT)


# ---- equal


@settings(max_examples=250, suppress_health_check=SLOW)
@given(small_cases())
def test_small_cases_in_lockstep_under_the_laws(case):
    lockstep(case).run(case.events, laws=True)


@settings(max_examples=50, suppress_health_check=SLOW)
@given(long_cases())
def test_long_tapes_in_lockstep(case):
    lockstep(case).run(case.events, state_every=64)


@pytest.mark.parametrize("seed", range(4))
def test_sampled_tapes_in_lockstep(seed):
    for case in sample(25, seed=seed):
        lockstep(case).run(case.events, state_every=16)


@pytest.mark.parametrize("seed", range(4))
def test_values_at_their_bounds_in_lockstep(seed):
    """Deposits, prices and quantities at the largest that pass the gate: where 128 bits would not be enough for a shortcut."""
    for case in sample(20, seed=seed, bytes_each=900, kinds=EDGES):
        lockstep(case).run(case.events, state_every=4)


def test_sampled_tapes_keep_the_laws():
    for case in sample(12, seed=99, bytes_each=400):
        lockstep(case).run(case.events, laws=True)


def test_a_busy_tape_in_lockstep():
    case = busy(10_000)
    twins = lockstep(case)
    twins.run(case.events, state_every=2_000)
    assert twins.left.digest() == twins.right.digest()
    assert np.array_equal(twins.left.outcomes(), twins.right.outcomes())
    assert twins.left.visits() == twins.right.visits()
    assert reached(twins.left.outcomes()) == set(REACHES) - {"adl"}  # its rule book has no such stage


# ---- one run, however it is fed


@settings(max_examples=40, suppress_health_check=SLOW)
@given(long_cases(64, 400), st.data())
def test_whole_chunked_single_and_restored_are_one_run(case, data):
    """A snapshot at a random event, on both twins; each goes on in lockstep from its own."""
    cut = data.draw(st.integers(0, len(case.events)))
    for which in ("model", RIGHT):
        cls = twin_class(which)
        runs.same_input_same_digest(
            lambda cls=cls: cls(case.venue, case.start_ns, case.seams),
            lambda blob, cls=cls: cls.restore(case.venue, blob),
            case.events,
            cut,
        )
    twins = lockstep(case)
    twins.run(case.events[:cut])
    twins.left = type(twins.left).restore(case.venue, twins.left.snapshot())
    twins.right = type(twins.right).restore(case.venue, twins.right.snapshot())
    twins.run(case.events[cut:], state_every=8)


def test_a_fork_takes_another_fault_schedule():
    for case in sample(6, seed=5, bytes_each=400):
        cut = len(case.events) // 2
        forks = []
        for which in ("model", RIGHT):
            exchange = start(which, case.venue, case.start_ns, case.seams)
            exchange.run(case.events[:cut])
            fork = type(exchange).restore(case.venue, exchange.snapshot(), ())
            fork.run(case.events[cut:])
            assert not any(count for name, count in fork.visits().items() if not name.startswith("STAGE"))
            forks.append((fork.digest(), fork.state()))
        assert forks[0] == forks[1]


@settings(max_examples=25, suppress_health_check=SLOW)
@given(small_cases())
def test_a_reject_is_a_clock_on_both_twins(case):
    for which in ("model", RIGHT):
        runs.reject_is_clock(lambda which=which: start(which, case.venue, case.start_ns, case.seams), case.events)


# ---- the tapes themselves


def outcomes_of(case: Case) -> np.ndarray:
    exchange = Model(case.venue, case.start_ns, case.seams)
    exchange.run(case.events)
    return exchange.outcomes()


def assert_common(counts: Counter, cases: int) -> None:
    """Liquidation, takeover, conversion, fund and bad debt are each reached in at least 5 % of the cases."""
    assert {name: counts[name] for name in REACHES if counts[name] * 20 < cases} == {}


def test_small_cases_reach_every_end_of_the_cascade():
    counts: Counter = Counter()
    for case in small_sample(600):
        counts.update(reached(outcomes_of(case)))
        assert len(case.events) <= 30
    assert_common(counts, 600)


def test_decoded_tapes_reach_every_end_of_the_cascade():
    counts: Counter = Counter()
    for case in sample(150, seed=3):
        counts.update(reached(outcomes_of(case)))
    assert_common(counts, 150)


def test_decoded_tapes_reach_every_outcome_and_every_node():
    """What the generator can never make it can never test."""
    kinds, nodes = set(), set()
    for case in sample(120, seed=11, bytes_each=500):
        kinds |= set(outcomes_of(case)["kind"].tolist())
        nodes |= {node["kind"] for row in case.venue.model_dump()["indices"] for node in _nodes(row["recipe"])}
    assert kinds == {int(kind) for kind in OutcomeKind}
    assert nodes == {"source", "book", "index", "redemption", "product", "weighted", "mean", "median", "floor", "twap"}


def _nodes(recipe: dict):
    yield recipe
    of = recipe.get("of") or []
    for part in (of if isinstance(of, list) else [of]) + ([recipe["underlying"]] if recipe.get("underlying") else []):
        yield from _nodes(part)


@given(st.binary(max_size=300))
@settings(max_examples=60, suppress_health_check=SLOW)
def test_every_byte_string_is_a_tape(data):
    case, again = decode(data), decode(data)
    assert isinstance(case.venue, Venue) and case.events.dtype == EVENT and case.start_ns == START_NS
    assert case.events.tobytes() == again.events.tobytes() and case.seams == again.seams and case.venue == again.venue
    assert outcomes_of(case).dtype == OUTCOME


def test_a_busy_tape_is_what_it_says():
    case = busy(5_000)
    prices = np.count_nonzero(case.events["kind"] == 8)
    assert len(case.events) == 5_000 and 400 <= prices <= 600
    assert len(case.venue.markets) == 2 and len(set(case.events["account"][case.events["kind"] == 2].tolist())) == 50


def test_a_case_prints_as_something_to_paste():
    text = repr(next(sample(1)))
    assert text.startswith("\nvenue = {") and "SOURCE" in text and "time_ns=" in text
