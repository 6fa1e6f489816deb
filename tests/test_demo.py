"""What the main incident must show: erroneous lots under each index rule, for population seeds that nobody tuned for."""

import numpy as np
import pytest

from fuzz.overlay import overlay
from riskbed import jobs, moves, replay
from riskbed.labels import Label
from specs.tape import EventKind

INCIDENT = "2025-10-10-binance-usde"
HURT = {"own-book", "own-twap-5m", "own-twap-30m"}
UNHURT = {"median-own-dex-redemption", "redemption", "redemption-floor"}


def lots(labels, which) -> int:
    return int(labels.lots[labels.label == which].sum())


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4, 5))])
def test_erroneous_lots_under_each_index_rule(seed):
    inputs = replay.read_inputs(replay.Options(incident=INCIDENT, seed=seed, lockstep=0, report=False))
    ran, _, _ = replay.execute(inputs, lambda done, total, what: None)
    labels = {rule.name: replay.label_runs(inputs, ran, f"{rule.name}/") for rule in inputs.incident.rules}
    assert set(labels) > HURT | UNHURT
    erroneous = {name: lots(found, Label.ERRONEOUS) for name, found in labels.items()}
    assert all(erroneous[name] > 0 for name in HURT), erroneous
    assert all(erroneous[name] == 0 for name in UNHURT), erroneous
    assert all(int(found.lots.sum()) > 0 for found in labels.values())  # BTC's fall closes accounts under every rule
    for rule in inputs.incident.rules:  # and the true move is there to be paid for
        moved = ran[moves.run_name(rule.name, replay.move_shapes(inputs.incident)[0])]
        assert moved.forced.lots.sum() > 0


@pytest.mark.long
@pytest.mark.parametrize("run", ["broken", "true_lower", "true_upper"])
def test_twins_are_equal_on_every_20th_pair(run):
    """The whole incident, a thousand accounts: outcomes byte for byte, and the final state."""
    inputs = replay.read_inputs(replay.Options(incident=INCIDENT, lockstep=20))
    thinned, plan = inputs.tape.thin(20), inputs.plans[run]
    job = jobs.Job(
        name=run,
        venue=inputs.venue,
        start_ns=thinned.meta.start_ns,
        events=overlay(thinned.events, plan, inputs.venue),
        seams=plan.seam_rows(inputs.venue),
        horizon_ns=inputs.horizon_ns,
        keep=True,
        truth={},
    )
    compared = jobs.compare_twins(job)
    assert compared.difference is None
    assert compared.events > 22_000 and np.count_nonzero(thinned.events["kind"] == EventKind.ACCOUNT) >= 1_000
