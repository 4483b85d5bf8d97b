"""Name what is rolled up: one aggregator of one world, by what it counts and not by who defined it."""

from dataclasses import dataclass
from hashlib import sha256

from metering.aggregation import ADDS_UP, Aggregator
from metering.world import World

_FORMAT = 1
"""To be raised when a row comes to mean something else: what is kept is then made anew."""


@dataclass(frozen=True, slots=True)
class Definition:
    """An aggregator of a world."""

    world: World
    aggregator: Aggregator

    @property
    def key(self) -> str:
        """Give the text that manifests are kept under: equal for equal aggregators alone."""
        return sha256(f"{_FORMAT}\0{self.aggregator!r}".encode()).hexdigest()[:32]


def adds_up(aggregator: Aggregator) -> bool:
    """Tell whether the aggregator can be rolled up: all others are read from the events."""
    return aggregator.operation in ADDS_UP
