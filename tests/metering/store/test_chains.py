"""What the real store promises beyond the contract that all stores share."""

import asyncio
import itertools
from datetime import UTC, datetime

from metering.position import pack
from metering.store.chains import ChainStore

# Lanes that no other test of this process uses.
_lanes = itertools.count(62_000)


async def test_what_was_known_at_a_moment_is_told_alike_for_ever(store):
    """Also while a mark is under way that was given its time before the moment and is seen after it."""
    versions, lane = ChainStore(store), next(_lanes)
    for offset in range(10):
        marking = asyncio.create_task(versions.mark_applied({lane: pack(lane, offset, 0)}, datetime.now(UTC)))
        await asyncio.sleep(0.001 * (offset % 3))
        moment = datetime.now(UTC)
        told = (await versions.applied_at(moment)).bounds.get(lane)
        await marking
        assert (await versions.applied_at(moment)).bounds.get(lane) == told
