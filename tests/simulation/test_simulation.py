import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import run

ROOT = Path(__file__).parents[2]
FAST = range(60)
CHUNK = 25
SEEDS = 2_000

DIGEST = """
import hashlib
from tests.simulation.run import run
for seed in range(4):
    outcome = run(seed)
    print(outcome.fault, hashlib.sha256(repr(outcome.trace).encode()).hexdigest(), sorted(outcome.faults.items()))
"""


def faults(seeds):
    return [f"python -m tests.simulation {seed}: {fault}" for seed in seeds if (fault := run(seed).fault)]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(FAST), 10))
def test_whatever_fails_every_acknowledged_event_counts_once(first):
    """And the figures at every cut-off are those of a plain walk over the final log."""
    assert faults(range(first, first + 10)) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whatever_fails_every_acknowledged_event_counts_once_in_thousands_of_runs(first):
    """As above, for longer."""
    assert faults(range(first, first + CHUNK)) == []


@pytest.mark.slow
def test_one_integer_replays_a_run():
    """In another process, where Python hashes text otherwise, the same happens at the same moments."""
    told = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1
