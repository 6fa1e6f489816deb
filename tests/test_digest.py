"""Digests: the same in any process and on both twins, and the ones that are written down here.

A change of these constants is a change of behaviour or of the schema: the commit that changes them says why.
"""

import os
import subprocess
import sys

import pytest

CASES = {
    "small": "4689 2bb65b07e675755e74cda2077ce144a4",
    "demo": "124912 2a8f2c435c356b833521131e3d2a02d5",
}
PROGRAM = """
import sys
from importlib import import_module
from fuzz.overlay import overlay
from fuzz.strategies import busy
from riskbed import replay

twin, case = sys.argv[1:]
exchange = import_module({"model": "specs.model.exchange", "engine": "engine.exchange"}[twin]).Exchange
if case == "small":
    made = busy(3_000)
    run = exchange(made.venue, made.start_ns, made.seams)
    run.run(made.events)
else:
    inputs = replay.read_inputs(replay.Options(incident="2025-10-10-binance-usde", accounts=60, lockstep=0))
    run = exchange(inputs.venue, inputs.tape.meta.start_ns)
    run.run(overlay(inputs.tape.events, inputs.plans["broken"], inputs.venue))
print(len(run.outcomes()), run.digest())
"""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("twin, seed", [("model", "1"), ("engine", "1"), ("engine", "2")])
def test_digest_is_the_one_written_down(case, twin, seed):
    env = os.environ | {"PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, "-c", PROGRAM, twin, case], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == CASES[case]
