"""What a storm leaves behind when it is killed itself: nothing."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from tests.pipeline.product import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

SCRIPT = """
import random, sys, time
from pathlib import Path
from tests.torture.installation import Installation
with Installation(Path(sys.argv[1])) as installation:
    assert installation.hold("core", random.Random(1), 5)
    print("held", flush=True)
    time.sleep(1_000)
"""


def test_nothing_outlives_a_test_run_that_was_killed(tmp_path):
    """Neither the supervisor nor a part, though one was held still: nobody has the data folder's lock any more."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()
    deadline = time.monotonic() + 300
    with (tmp_path / "data" / "lock").open() as lock:
        while not _free(lock):
            assert time.monotonic() < deadline, "somebody still holds the data folder"
            time.sleep(0.1)


def _free(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
