"""The version store in memory: for tests and simulations, held to the same contract as the real one.

`between` is called before each single row becomes visible, so that a simulation can crash there or let another
consumer go first; with `order`, the rows of one write come in any order, as parts of several months do.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from metering.position import Cutoff, Position
from metering.retraction import Retraction
from metering.store.columns import current_versions_of
from metering.store.keys import KEY_HASH_MAX, Share, key_hash
from metering.store.versions import (
    CONTENT_HASH_BYTES,
    CurrentVersion,
    CurrentVersions,
    Key,
    Lost,
    Verdict,
    Version,
    world_of,
)
from metering.world import World

T = TypeVar("T")


async def _at_once() -> None:
    return None


class MemoryVersionStore:
    """Sets of facts and an index, as the tables hold them."""

    def __init__(self, between: Callable[[], Awaitable[None]] = _at_once, order: Random | None = None) -> None:
        self.events: dict[int, Version] = {}
        self.superseded: dict[tuple[int, int], Lost] = {}
        self.keys: dict[Key, CurrentVersion] = {}
        self.marks: list[tuple[int, Position, datetime]] = []
        self._between = between
        self._order = order

    async def applied(self) -> Cutoff:
        """Give the newest cut-off."""
        return _cutoff(self.marks)

    async def applied_at(self, moment: datetime) -> Cutoff:
        """Give the last cut-off that was marked at or before a moment."""
        return _cutoff(mark for mark in self.marks if mark[2] <= moment)

    async def last_marked_at(self) -> datetime | None:
        """Give the latest moment that a cut-off was marked with."""
        return max((at for _, _, at in self.marks), default=None)

    async def keys_count(self, low: int = 0, high: int = KEY_HASH_MAX) -> int:
        """Give the number of keys in a range of hashes, both ends included."""
        return sum(low <= version.key_hash <= high for version in self.keys.values())

    async def key_hashes(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        """Give the hashes of all keys in a range, both ends included."""
        hashes = [version.key_hash for version in self.keys.values() if low <= version.key_hash <= high]
        return np.array(hashes, np.uint64)

    async def current_versions(self, hashes: npt.NDArray[np.uint64]) -> CurrentVersions:
        """Give the index entries of all keys that have one of these hashes."""
        await self._between()
        wanted = set(hashes.tolist())
        return current_versions_of({key: entry for key, entry in self.keys.items() if entry.key_hash in wanted})

    async def write(self, verdict: Verdict) -> None:
        """Write versions, then superseded, then keys, a row at a time."""
        versions = verdict.versions.rows()
        await self.put_events(versions)
        await self.put_superseded(verdict.superseded)
        await self.put_keys([versions[row] for row in verdict.current.tolist()])

    async def put_events(self, versions: Sequence[Version]) -> None:
        """Write rows of events."""
        for version in self._shuffled(versions):
            await self._between()
            self.events[version.position] = version

    async def put_superseded(self, superseded: Sequence[Lost]) -> None:
        """Write rows of superseded."""
        for lost in self._shuffled(superseded):
            await self._between()
            self.superseded[lost.position, lost.lost_at] = lost

    async def put_keys(self, versions: Sequence[Version]) -> None:
        """Write rows of the index; the greatest position stays."""
        for version in self._shuffled(versions):
            await self._between()
            self._put_key(
                version.key,
                CurrentVersion(
                    version.key_hash,
                    version.position,
                    version.timestamp_us,
                    version.customer_id,
                    version.content_hash,
                    deleted=False,
                ),
            )

    async def retract(self, retraction: Retraction, at: Position, share: Share) -> None:
        """Supersede what matches and was current just before, then bury the keys."""
        lost_before = {position for position, lost_at in self.superseded if lost_at < at}
        matches = [
            Lost(event.key, event.customer_id, event.timestamp_us, event.position, at)
            for event in self.events.values()
            if event.position < at
            and event.position not in lost_before
            and share.holds(event.key_hash)
            and _matches(retraction, event)
        ]
        await self.put_superseded(matches)
        for lost in self._shuffled([lost for lost in self.superseded.values() if lost.lost_at == at]):
            await self._between()
            hashed = key_hash(world_of(lost.key), lost.key.event_type, lost.key.record_id)
            self._put_key(
                lost.key,
                CurrentVersion(
                    hashed, at, lost.timestamp_us, lost.customer_id, bytes(CONTENT_HASH_BYTES), deleted=True
                ),
            )

    async def count_retracted(self, world: World, positions: Sequence[int]) -> int:
        """Count the versions that deletions at these positions took."""
        return len(
            {
                lost.position
                for lost in self.superseded.values()
                if lost.lost_at in positions and world_of(lost.key) == world
            }
        )

    async def mark_applied(self, marks: Mapping[int, Position], at: datetime) -> None:
        """Let readers see each lane up to a position."""
        for lane, position in marks.items():
            await self._between()
            self.marks.append((lane, position, at))

    def figures(self, cutoff: Cutoff) -> dict[Key, Version]:
        """Give what readers see at a cut-off: versions that lie before it and had not lost before it."""
        lost = {position for position, lost_at in self.superseded if cutoff.covers(lost_at)}
        seen = [event for event in self.events.values() if cutoff.covers(event.position) and event.position not in lost]
        figures = {event.key: event for event in seen}
        assert len(figures) == len(seen), "two versions of one key are current at once"
        return figures

    def _shuffled(self, rows: Sequence[T]) -> list[T]:
        return list(rows) if self._order is None else self._order.sample(rows, len(rows))

    def _put_key(self, key: Key, version: CurrentVersion) -> None:
        other = self.keys.get(key)
        if other is None or version.position > other.position:
            self.keys[key] = version


def _cutoff(marks: Iterable[tuple[int, Position, datetime]]) -> Cutoff:
    bounds: dict[int, Position] = {}
    for lane, position, _ in marks:
        bounds[lane] = max(position, bounds.get(lane, Position(0)))
    return Cutoff(bounds)


def _matches(retraction: Retraction, event: Version) -> bool:
    return (
        world_of(event.key) == retraction.world
        and (retraction.event_type is None or event.key.event_type == retraction.event_type)
        and (retraction.customer_ids is None or event.customer_id in retraction.customer_ids)
        and (retraction.record_ids is None or event.key.record_id in retraction.record_ids)
    )
