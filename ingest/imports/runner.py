"""Bring uploaded files into the log, in the background: a few at a time, one of an account.

For each step: append, await the log, then record how far the job is. A crash in between costs a step that is appended
again, and equal versions are stored once. A job that was interrupted goes on where it was recorded: its rows are not
sent again, so a correction that came meanwhile stands. A log or registry that is away is waited for.

Several processes may do this over one registry. A job is worked off where its file lies; where a folder is shared, by
the one process that holds it. A file that is nowhere to be seen may lie with a process that is away, so its job is
given up only after `LOST_AFTER`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.imports.jobs import ImportJob, ImportStatus, find_job, record, unfinished_jobs
from ingest.imports.spool import Spool
from ingest.imports.steps import Step, read_steps
from ingest.log.protocol import LogWriter
from ingest.wire import Kind, Section
from metering.errors import UnavailableError
from metering.registry.engine import NOBODY, Registry
from metering.timestamps import microseconds

RUNNING_MAX = 2
LOST_AFTER = timedelta(hours=24)
LOOK_EVERY_S = 2.0
"""Another process may have made a job whose file lies here, or may have left work to be taken over."""
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class ImportRunner:
    """Works off the jobs of one installation."""

    def __init__(
        self,
        registry: Registry,
        log: LogWriter,
        spool: Spool,
        clock: Callable[[], datetime],
        *,
        lost_after: timedelta | None = None,
    ) -> None:
        """`clock` gives aware date-times.

        `lost_after`: how long a job may wait whose file does not lie here; None: nobody else has it.
        """
        self._registry = registry
        self._log = log
        self._spool = spool
        self._clock = clock
        self._lost_after = lost_after
        self._changed = asyncio.Event()
        self._running: set[str] = set()

    async def prepare(self) -> None:
        """Drop what an earlier crash left in the spool; before any upload is taken.

        Raises:
            RegistryUnavailableError: call again.
        """
        if not await asyncio.to_thread(self._spool.enter):
            return
        try:
            jobs = await self._registry.read(unfinished_jobs)
            await asyncio.to_thread(self._spool.sweep, {job.id for job in jobs})
            await asyncio.to_thread(self._spool.stay)
        except BaseException:
            self._spool.close()  # Else the next call would wait for this one.
            raise

    def wake(self) -> None:
        """Tell that there may be a new job."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled; what is interrupted then goes on with the next start.

        Whatever fails is told, and tried again with the next look: nothing else would begin it again, and files that
        are under way must not end with it (as in an `asyncio.TaskGroup`).
        """
        working: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._begin(working)
                except Exception:  # noqa: BLE001 - a folder or a registry that fails in a way nobody foresaw.
                    _log.exception("unexpected error")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._changed.wait()
        finally:
            for task in working:
                task.cancel()
            try:
                await asyncio.gather(*working, return_exceptions=True)
            finally:
                self._spool.give_up()

    async def _begin(self, working: set[asyncio.Task[None]]) -> None:
        """Begin what there is room for, unless another process does the work."""
        if not await asyncio.to_thread(self._spool.claim):  # Once it is held, claiming it again changes nothing.
            return
        for job in await self._ours():
            if len(self._running) < RUNNING_MAX and job.world.account_id not in self._running:
                self._running.add(job.world.account_id)
                task = asyncio.create_task(self._work(job))
                working.add(task)
                task.add_done_callback(working.discard)

    async def _ours(self) -> Sequence[ImportJob]:
        """Give the jobs that are to be worked off, or given up, here."""
        jobs = await _until_available(lambda: self._registry.read(unfinished_jobs))
        if self._lost_after is None:
            return jobs
        lost_before = self._clock() - self._lost_after
        return [
            job for job in jobs if job.created_at < lost_before or await asyncio.to_thread(self._spool.holds, job.id)
        ]

    async def _work(self, job: ImportJob) -> None:
        try:
            await self._import(job)
        except Exception:  # noqa: BLE001 - one job must not end the others, nor be begun again for ever.
            _log.exception("unexpected error", import_id=job.id)
            await self._give_up(job)
        finally:
            self._running.discard(job.world.account_id)
            self._changed.set()

    async def _give_up(self, job: ImportJob) -> None:
        """End a job as far as it was recorded."""
        stopped = "something went wrong here, it was logged: what was accepted stands, send the file again later"
        with suppress(Exception):  # Then it stays unfinished, and the next start takes it up.
            recorded = await self._registry.read(find_job, job.world, job.id)
            await self._end(recorded or job, stopped)

    async def _import(self, job: ImportJob) -> None:
        job = replace(job, status=ImportStatus.PROCESSING)
        await self._record(job)
        try:
            file = await asyncio.to_thread(self._spool.path_of(job.id).open, "rb")
        except OSError as error:
            await self._end(job, f"the stored file is gone ({error.strerror}): send it again, which is harmless")
            return
        with file:
            steps = read_steps(file, job.rows_total)
            failure = None
            while (step := await asyncio.to_thread(next, steps, None)) is not None:
                if step.events:
                    await self._append(job, step)
                advanced = job.advanced(len(step.events), step.rejects, step.bytes_read)
                await self._record(advanced, rejects_too=advanced.rejected is not job.rejected)
                job, failure = advanced, step.failure
        await self._end(job, failure)

    async def _append(self, job: ImportJob, step: Step) -> None:
        body = b"[" + b",".join(step.events) + b"]"
        section = Section(job.world, Kind.EVENTS, microseconds(self._clock()), len(step.events), body)
        await _until_available(lambda: self._log.append(section))

    async def _record(self, job: ImportJob, *, rejects_too: bool = False) -> None:
        change = partial(record, rejects_too=rejects_too)
        await _until_available(lambda: self._registry.write(change, job, waits_for=NOBODY))

    async def _end(self, job: ImportJob, failure: str | None) -> None:
        await self._record(job.ended(failure, self._clock()))
        # Last: a crash before this line leaves a file without an unfinished job, which the next start sweeps.
        await asyncio.to_thread(self._spool.drop, job.id)


async def _until_available(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again until the log or the registry answers; each pause is longer, up to `PAUSE_S_MAX`."""
    pause_s = PAUSE_S_MIN
    while True:
        try:
            return await ask()
        except (LogUnavailableError, LogOverloadedError, UnavailableError) as error:
            _log.warning("an import waits", reason=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
