"""Replay a seed: `python -m tests.simulation SEED`. Run many: `python -m tests.simulation --seeds N [--first S]`."""

import argparse
import os
import sys

from tests.simulation.many import run_many
from tests.simulation.planted_bugs import PLANTED
from tests.simulation.run import run


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
    return run_many(range(arguments.first, arguments.first + arguments.seeds), arguments.processes)


def _replay(seed: int, bug: str | None) -> int:
    outcome = run(seed, plant=PLANTED[bug].plant if bug else None)
    for at, who, what in outcome.trace:
        print(f"{at:9.3f} s  {who:12} {what}")
    print(f"seed {seed}: {outcome.fault or 'everything held'}")
    return outcome.fault is not None


if __name__ == "__main__":
    sys.exit(main())
