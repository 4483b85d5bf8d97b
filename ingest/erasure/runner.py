"""Carry out erasures, in the background and one at a time: store, dead letters, registry, and last the log.

Each step may be done again, and is noted when it is done; a job that a crash interrupted begins again with the bounds
that it noted first. Nothing waits for ever but for what may come back: imports that are under way, the log, the store.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from ingest.consumer.lanes import accepted, lanes_of
from ingest.consumer.seams import Lanes
from ingest.erasure.jobs import (
    DONE,
    PROCESSING,
    Erasure,
    forget_answers,
    forget_rejects,
    imports_before,
    note,
    unfinished_erasures,
)
from ingest.erasure.stored import StoredErasure
from ingest.errors import IngestError
from ingest.log.archive.folder import archived
from ingest.log.archive.keeper import LogKeeper
from ingest.log.archive.segment import rewrite_segment
from ingest.log.protocol import LogReader
from ingest.log.waiting import PARTITION
from metering.errors import MeteringError
from metering.position import Cutoff, offset_of
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.rollups.manifest import forget_world
from metering.store.versions import VersionStore

LOOK_INTERVAL_S = 0.5
CATCH_UP_S_MAX = 30.0
RETRY_S_MAX = 30.0

_log = structlog.get_logger(__name__)


class _NotYetError(Exception):
    """Something has to come first: look again soon."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """The log, and where it goes once it is applied; `keeper` is None for Kafka, whose retention is its own."""

    reader: LogReader
    lanes: Lanes
    caught_up: Callable[[float], Awaitable[bool]]
    """Wait so many seconds until all that was accepted, wherever it waits, is in the figures; tell whether it is."""
    keeper: LogKeeper | None
    archive: Path


class ErasureRunner:
    """Works off the erasures of one installation."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        versions: VersionStore,
        log: LogPlace,
        clock: Callable[[], datetime],
    ) -> None:
        """`clock` gives aware date-times."""
        self._registry = registry
        self._store = store
        self._versions = versions
        self._log = log
        self._clock = clock
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Tell that there is a new one."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled; what is interrupted then begins again with the next start."""
        pause_s = LOOK_INTERVAL_S
        while True:
            self._changed.clear()
            try:
                for erasure in await self._registry.read(unfinished_erasures):
                    await self._erase(erasure)
                pause_s = LOOK_INTERVAL_S
            except _NotYetError:
                await asyncio.sleep(LOOK_INTERVAL_S)
            except (MeteringError, IngestError, OSError) as error:
                _log.warning("an erasure waits", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
            else:
                await self._changed.wait()

    async def _erase(self, erasure: Erasure) -> None:
        if await self._registry.read(imports_before, erasure):
            raise _NotYetError("imports that were asked for before are under way")
        bounds = erasure.bounds
        if bounds is None:
            if not await self._log.caught_up(CATCH_UP_S_MAX):
                raise _NotYetError("what was accepted before is not in the log yet")
            bounds = await accepted(self._log.reader, await lanes_of(self._log.reader, self._log.lanes))
            told = {str(lane): str(int(position)) for lane, position in bounds.bounds.items()}
            erasure = await self._note(erasure, status=PROCESSING, step="applying", bounds=told)
        if not (await self._versions.applied()).includes(bounds):
            raise _NotYetError("what was accepted before is not applied yet")
        erasure = await self._note(erasure, step="store")
        stored = StoredErasure(self._store, erasure.redaction())
        # A job that begins again finds what it erased before erased.
        events = erasure.events + await self._store.run_writing(stored.events)
        # Of what figures are made of nothing changed; of what they were once made of it may have.
        await self._store.run_writing(forget_world, self._store, erasure.world)
        erasure = await self._note(erasure, step="dead letters", events=events)
        letters = erasure.dead_letters + await self._store.run_writing(stored.dead_letters)
        erasure = await self._note(erasure, step="log", dead_letters=letters)
        await self._registry.write(forget_rejects, erasure.world)
        await self._registry.write(forget_answers, erasure.world, set(erasure.identifiers))
        segments = erasure.segments + await self._rewrite_log(erasure, bounds)
        await self._note(erasure, status=DONE, step="done", segments=segments, ended_at=self._clock())

    async def _rewrite_log(self, erasure: Erasure, bounds: Cutoff) -> int:
        if self._log.keeper is None:
            return 0
        lane = (await lanes_of(self._log.reader, self._log.lanes))[PARTITION]  # One in Kafka may follow the local log.
        bound = bounds.bounds.get(lane)
        if bound is None:
            return 0
        offset = offset_of(bound)
        if await self._log.keeper.settle() <= offset:
            raise _NotYetError("the log keeps what it should let go")
        return await asyncio.to_thread(self._rewrite_archive, erasure, lane, offset)

    def _rewrite_archive(self, erasure: Erasure, lane: int, last: int) -> int:
        redaction = erasure.redaction()
        return sum(
            rewrite_segment(segment, lambda offset, payload: redaction.payload(lane, offset, payload))
            for segment in archived(self._log.archive)
            if segment.first <= last
        )

    async def _note(self, erasure: Erasure, **values: Any) -> Erasure:
        return await self._registry.write(note, erasure, values)
