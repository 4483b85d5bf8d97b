"""What may go wrong, how often in this run, and how often it did.

Each run draws which kinds of fault it has, and how many: a run in which everything fails at once would hide what only
shows when most things go well.
"""

from collections import Counter
from random import Random

RATES = {
    # The store: each statement may fail before, half-way or after, or go on when nobody waits for it any more.
    "store refuses": 0.03,
    "store answer lost": 0.03,
    "insert torn": 0.03,
    "insert outlives its sender": 0.02,
    "store hangs": 0.01,
    "read is slow": 0.02,
    # The registry.
    "registry refuses": 0.03,
    "registry answer lost": 0.03,
    # The disk of the log.
    "write fails": 0.008,
    "disk full": 0.008,
    "sync fails": 0.012,
    "folder sync fails": 0.02,
    "killed in a disk call": 0.01,
    "power cut in a disk call": 0.01,
    "thread hangs": 0.01,
    "log is settled": 0.4,
    # A log over several machines.
    "message lost": 0.03,
    "message late": 0.03,
    "acknowledgement lost": 0.03,
    "brokers away": 0.12,
    "log read fails": 0.02,
    "log read hangs": 0.01,
    # The network between clients, gateways and the core.
    "request lost": 0.05,
    "request late": 0.03,
    "answer cut": 0.08,
    # Asked once a second for each process, and in the middle of what it writes.
    "killed": 0.05,
    "killed in a statement": 0.012,
    "stands still": 0.06,
    "power cut": 0.02,
    "partitions move": 0.15,
    # The memory of a process.
    "filter of seen keys goes wrong": 0.4,
    "started beside a living one": 0.05,
}


class Faults:
    """The dice."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.counts: Counter[str] = Counter()
        self.active = True
        share = random.choice((0.3, 0.6, 1.0))
        self._rates = {
            kind: rate * random.choice((1, 1, 3)) if random.random() < share else 0.0 for kind, rate in RATES.items()
        }

    def hit(self, kind: str) -> bool:
        """Tell whether this fault strikes now."""
        if self.active and self.random.random() < self._rates[kind]:
            self.counts[kind] += 1
            return True
        return False

    def latency(self, typical_s: float) -> float:
        """Give how long something takes: mostly about so long, now and then much longer."""
        return typical_s * self.random.choice((0.2, 0.5, 1, 1, 2, 8))
