import numpy as np
import pytest

from ingest.consumer.seen import SeenKeys, seen_keys_of
from metering.store.memory import MemoryVersionStore
from tests.builders import a_verdict, a_version


def random_hashes(count, seed=1):
    return np.random.default_rng(seed).integers(0, 1 << 64, count, np.uint64)


def test_what_was_added_is_never_denied():
    """A false no would make a second version of a known key look new."""
    hashes = np.concatenate([random_hashes(200_000), np.array([0, 1, (1 << 64) - 1], np.uint64)])
    seen = SeenKeys()
    seen.meet(hashes)
    assert seen.maybe(hashes).all()


@pytest.mark.slow
def test_most_of_what_was_not_added_is_told_apart():
    """At the load it is made for, at most two in a hundred look-ups are for nothing."""
    seen = SeenKeys(4_000_000)
    seen.meet(random_hashes(4_000_000))
    assert seen.maybe(random_hashes(100_000, seed=2)).mean() < 0.02


async def test_a_filter_knows_every_key_of_the_store(world):
    """It is filled with what earlier processes wrote."""
    store = MemoryVersionStore()
    rows = [a_version(world, position, record_id=f"r{position}") for position in range(500)]
    await store.write(a_verdict(rows))
    seen, samples = await seen_keys_of(store, {0: 500}, 100)
    hashes = np.array([row.key_hash for row in rows], np.uint64)
    assert seen.maybe(hashes).all()
    assert len(samples) == 100
    assert np.isin(samples, hashes).all()
