import numpy as np
import pytest

from ingest.consumer.seen import SeenKeys
from metering.store.memory import MemoryVersionStore
from tests.ingest.consumer.simulation import Simulation

SEEDS = 60
SEEDS_SLOW = 3_000


def faults(seeds, store_type=MemoryVersionStore):
    return [(seed, fault) for seed in seeds if (fault := Simulation(seed, store_type).run())]


class KeysFirst(MemoryVersionStore):
    """What must not be done: the index says that rows exist before they do."""

    async def write(self, verdict):
        versions = verdict.versions.rows()
        await self.put_keys([versions[row] for row in verdict.current.tolist()])
        await self.put_events(versions)
        await self.put_superseded(verdict.superseded)


class StaleLookUp(MemoryVersionStore):
    """What must not be done: a look-up that lags behind what was written."""

    async def current_versions(self, hashes):
        known = await super().current_versions(hashes)
        return known.take(np.flatnonzero(known.position % np.uint64(3)))


def test_no_crash_takeover_or_zombie_changes_a_figure():
    """At every cut-off the figures are those of a plain walk over the log, whoever died in between."""
    assert faults(range(SEEDS)) == []


@pytest.mark.slow
def test_no_crash_takeover_or_zombie_changes_a_figure_in_thousands_of_runs():
    """As above, for longer."""
    assert faults(range(SEEDS, SEEDS + SEEDS_SLOW)) == []


def test_the_simulation_notices_keys_that_are_written_first():
    """The order events, superseded, keys is not taste."""
    assert faults(range(SEEDS), KeysFirst)


def test_the_simulation_notices_a_stale_look_up():
    """A replica that lags would break the chains."""
    assert faults(range(SEEDS), StaleLookUp)


def test_the_simulation_notices_a_filter_that_forgets(monkeypatch):
    """A filter may only save look-ups: one that denies a key it has seen counts events twice."""
    monkeypatch.setattr(SeenKeys, "maybe", lambda _, hashes: np.zeros(len(hashes), np.bool_))
    assert faults(range(SEEDS))
