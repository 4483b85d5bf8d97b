"""Replay a seed: `python -m tests.simulation SEED`. Run many: `python -m tests.simulation --seeds N [--first S]`."""

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import get_context

from tests.simulation.planted_bugs import PLANTED
from tests.simulation.run import Outcome, run

CHUNK = 20
TOLD_EVERY_S = 10.0


def main() -> int:
    """Give the exit status: 1 where something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="replay this seed, with all that happens in it")
    parser.add_argument("--bug", choices=sorted(PLANTED), help="with this planted bug")
    parser.add_argument("--seeds", type=int, default=0, help="run so many seeds instead")
    parser.add_argument("--first", type=int, default=0, help="from this seed on")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at once; by default one for each core")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments.seed, arguments.bug)
    if not arguments.seeds:
        parser.error("name a seed, or a number of --seeds")
    return _many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes)


def _replay(seed: int, bug: str | None) -> int:
    outcome = run(seed, plant=PLANTED[bug].plant if bug else None)
    for at, who, what in outcome.trace:
        print(f"{at:9.3f} s  {who:12} {what}")
    print(f"seed {seed}: {outcome.fault or 'everything held'}")
    return outcome.fault is not None


def _many(seeds: range, processes: int) -> int:
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


if __name__ == "__main__":
    sys.exit(main())
