"""Begin what is due and work on it: some runs at a time, of each account in turn, the one that waits the longest first.

Any number of processes may do this over one registry. What is due is begun, and a run is taken, in a transaction that
waits for everybody, so each run is worked on by one of them; one that is left behind by a process that ended is taken
up by another once it is held no more.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
import structlog

from loaders.dataloaders.model import RunStatus
from loaders.dataloaders.runs import Claim, are_due, begin_due, claim, free_all, overdue_since, wait_for_worker
from loaders.running.work import Means, RunWork, elapsed_s
from metering.errors import UnavailableError
from metering.ids import new_id
from metering.registry.engine import NOBODY

LOOK_EVERY_S = 1.0
"""Runs are asked for, and fall due, where nobody can tell us."""

_log = structlog.get_logger(__name__)


class Watch(Protocol):
    """Who is told how runs go."""

    def ended(self, status: RunStatus) -> None:
        """Learn that a run ended."""
        ...

    def goes_on(self, runs: int) -> None:
        """Learn how many are under way."""
        ...

    def overdue(self, since: datetime | None, now: datetime | None) -> None:
        """Learn since when the run waits that waits the longest."""
        ...


class Unwatched:
    """Nobody wants to know."""

    def ended(self, _status: RunStatus) -> None:
        """Do nothing."""

    def goes_on(self, _runs: int) -> None:
        """Do nothing."""

    def overdue(self, _since: datetime | None, _now: datetime | None) -> None:
        """Do nothing."""


class LoaderRunner:
    """Works on runs until cancelled."""

    def __init__(self, means: Means, watch: Watch | None = None, *, alone: bool = False) -> None:
        """`alone`: no other process works on runs, so what is held when it begins was held by one that is gone."""
        self._means = means
        self._watch: Watch = watch or Unwatched()
        self._worker = new_id("wrk")
        self._alone = alone
        self._changed = asyncio.Event()
        self._working: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Tell that there may be a new run."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled: runs under way are left to who comes next, who begins them again."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._look()
                except UnavailableError as error:
                    _log.warning("dataloaders wait", reason=str(error))
                except Exception:  # noqa: BLE001 - nothing else would begin runs.
                    _log.exception("unexpected error")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _look(self) -> None:
        """Begin what is due, and take what there is room for."""
        registry, now = self._means.registry, self._means.clock()
        if self._alone:
            await registry.write(free_all, waits_for=NOBODY)
            self._alone = False
        self._watch.overdue(await registry.read(overdue_since, now), now)
        if await registry.read(are_due, now):
            await registry.write(begin_due, now)
        limits = self._means.limits

        def take(connection: sa.Connection) -> Claim | None:
            # A turn may have been waited for: by an older clock, what another has just taken would seem free.
            return claim(connection, self._worker, self._means.clock(), of_connection_max=limits.of_connection_max)

        while len(self._working) < limits.at_once_max and await registry.read(wait_for_worker, now):
            asked_at = elapsed_s()
            taken = await registry.write(take)
            if taken is None:
                return
            task = asyncio.create_task(self._work(RunWork(self._means, taken, self._worker, asked_at)))
            self._working.add(task)
            task.add_done_callback(self._done)
            self._watch.goes_on(len(self._working))

    async def _work(self, work: RunWork) -> None:
        try:
            status = await work.work()
        except Exception:  # noqa: BLE001 - it is taken up again when its time is over.
            _log.exception("unexpected error")
            return
        if status is not None:
            self._watch.ended(status)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._watch.goes_on(len(self._working))
        self._changed.set()
