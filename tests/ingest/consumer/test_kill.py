import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from metering.world import Mode, World
from tests.ingest.consumer.random_history import History

ROOT = Path(__file__).parents[3]
APPENDS = 600
KILLS = 8


def start(folder, seed):
    script = Path(__file__).with_name("drain_and_tell.py")
    return subprocess.Popen(
        [sys.executable, str(script), f"chdb://{folder}", str(seed), str(APPENDS)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_killed_at_any_moment_the_consumer_ends_with_exact_figures(tmp_path):
    """`kill -9`, again and again, in the middle of whatever it writes; then one that may finish."""
    seed = 20_240_506
    random = Random(seed)
    for _ in range(KILLS):
        with start(tmp_path / "store", seed) as process:
            assert process.stdout.readline() == "draining\n"
            time.sleep(random.uniform(0.05, 1.2))
            process.send_signal(signal.SIGKILL)
    with start(tmp_path / "store", seed) as process:
        assert process.stdout.readline() == "draining\n"
        told = json.loads(process.stdout.readline())
    history = History(Random(seed), APPENDS)
    wanted = {}
    for lane, bound in history.whole().bounds.items():
        wanted |= history.figures(lane, bound)
    got = {
        (World(account, Mode(mode)), event_type, record_id): position
        for account, mode, event_type, record_id, position in told["figures"]
    }
    assert len(got) == len(told["figures"])
    assert got == wanted
    assert told["lost_twice"] == 0
