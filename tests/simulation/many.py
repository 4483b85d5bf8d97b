"""Run many seeds, several at once, and say how far it is."""

import time
from collections import Counter
from multiprocessing import get_context

from tests.simulation.run import Outcome, run

CHUNK = 20
TOLD_EVERY_S = 10.0


def run_many(seeds: range, processes: int) -> int:
    """Print each fault, and how often each kind of fault was injected; give the exit status."""
    done = failed = 0
    injected: Counter[str] = Counter()
    told_at = began_at = time.monotonic()
    with get_context("spawn").Pool(processes) as pool:
        for outcome in pool.imap_unordered(_run, seeds, chunksize=CHUNK):
            done += 1
            injected.update(outcome.faults)
            if outcome.fault is not None:
                failed += 1
                print(f"seed {outcome.seed}: {outcome.fault}", flush=True)
            if time.monotonic() - told_at > TOLD_EVERY_S or done == len(seeds):
                told_at = time.monotonic()
                print(f"{done} of {len(seeds)} seeds, {failed} failed, {told_at - began_at:.0f} s", flush=True)
    for kind, times in sorted(injected.items()):
        print(f"{times:10}  {kind}")
    return failed > 0


def _run(seed: int) -> Outcome:
    outcome = run(seed)
    return Outcome(seed, outcome.fault, [], outcome.faults)
