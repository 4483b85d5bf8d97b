"""Work on one run: rows from the source into the log, then the cursor.

In this order, so that a crash at any instant loses nothing: a page is appended, the log acknowledges it, the next one;
after the last one the run's end and its cursor are written in one transaction. A run that is begun again, by another
process or because the source was away for a moment, begins at its beginning with the cursor that it had: the rows that
were appended before are versions that are there, and equal ones are stored once.

Only who holds the run may append, or an older row could come after a newer one. So it is held for `HELD_S` at a time,
and nothing is appended when less than `APPEND_S_MAX` of that is left: whoever stalls finds out before it can do harm.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import stamina
import structlog

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.protocol import LogWriter
from ingest.wire import Kind, Section
from loaders.connections.secret_parts import hide_secrets
from loaders.cursors import Cursor
from loaders.dataloaders.model import REJECTED_TOLD_MAX, Counts, RunStatus
from loaders.dataloaders.runs import HELD_S, Claim, End, Hold, finish, hold, release
from loaders.errors import SourceError, SourceUnavailableError
from loaders.provider import Address
from loaders.reaching import Addresses, OpenSource
from loaders.rows import Made
from loaders.running.errors import RunCancelledError, RunLostError
from loaders.running.limits import RunLimits
from loaders.running.reading import Ended, Reader, Reading
from loaders.source import Source
from metering.errors import UnavailableError
from metering.registry.customers import ensure_customers
from metering.registry.engine import NOBODY, Registry
from metering.timestamps import microseconds

APPEND_S_MAX = 60.0
"""An append that was begun is over after so long, whatever becomes of it."""
RECORD_EVERY_S = 1.0
HOLD_EVERY_S = 3.0
"""So soon a run learns that somebody wants it to end."""
NAMED_MAX = 100_000
NAMED_AT_ONCE = 2_000
"""For more at once the registry would read the ids of all customers."""
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Means:
    """What runs are worked on with. `folder` is on a disk; `clock` gives aware date-times."""

    registry: Registry
    log: LogWriter
    addresses: Addresses
    open_source: OpenSource
    clock: Callable[[], datetime]
    folder: Path
    limits: RunLimits = field(default_factory=RunLimits)
    counted: Callable[[Counts, Counts], None] = lambda _before, _after: None
    """Is told how far a run was, and is."""


class RunWork:
    """One run that was taken."""

    def __init__(self, means: Means, claimed: Claim, worker: str, asked_at: float) -> None:
        """`claimed` was taken by `worker`, which asked for it at `asked_at`, by `elapsed_s`."""
        self._means = means
        self._claimed = claimed
        self._worker = worker
        self._counts = Counts()
        self._recorded = Counts()
        self._address: Address | None = None
        self._named: set[str] = set()
        self._held_until = asked_at + HELD_S

    async def work(self) -> RunStatus | None:
        """Work until the run has ended; gives how, None when it is not ours any more.

        Cancelled, it leaves the run to who comes next.
        """
        try:
            end = await self._ended()
        except RunLostError as error:
            _log.warning("a run was lost", run_id=self._claimed.run.id, reason=str(error))
            return None
        except asyncio.CancelledError:
            await asyncio.shield(self._release())
            raise
        return await self._finish(end)

    async def _ended(self) -> End:
        """Load, and keep holding the run meanwhile; gives how it ended.

        Raises:
            RunLostError: nothing may be written.
        """
        loading = asyncio.create_task(self._load())
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.wait({loading, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not loading.done():
                await keeping  # It ends only by an error.
            return await loading
        except RunCancelledError as error:
            return End(self._counts, message=str(error), told=False)
        finally:
            for task in (loading, keeping):
                task.cancel()
            await asyncio.gather(loading, keeping, return_exceptions=True)

    async def _load(self) -> End:
        try:
            async for attempt in stamina.retry_context(
                on=SourceUnavailableError,
                attempts=self._means.limits.attempts,
                timeout=None,
                wait_initial=self._means.limits.pause_s_min,
                wait_max=self._means.limits.pause_s_max,
            ):
                with attempt:
                    ended = await self._read()
        except SourceError as error:
            return End(self._counts, message=self._public(str(error)))
        except OSError as error:
            message = f"whoever runs it has no room on its disk ({error.strerror}): it is tried again at the next run"
            return End(self._counts, message=message)
        except RunLostError:
            raise
        except Exception:  # noqa: BLE001 - one run must not end the others, nor be begun again for ever.
            _log.exception("unexpected error", run_id=self._claimed.run.id)
            return End(self._counts, message="something went wrong here, it was logged: what was accepted stands")
        return End(self._counts, self._cursor_after(ended), ended.began_at)

    async def _read(self) -> Ended:
        """Read all rows, from the beginning."""
        means, claimed = self._means, self._claimed
        self._counts = Counts()
        reading = Reading(claimed.dataloader, claimed.run.from_start, means.folder, means.limits.rows_max)
        reader = Reader(reading, self._source)
        try:
            while (made := await reader.page()) is not None:
                await self._take(made)
                reader.done()
        finally:
            await asyncio.shield(reader.stop())
        return reader.ended

    async def _take(self, made: Made) -> None:
        await self._name(made.names)
        if made.body is not None:
            world, now_us = self._claimed.run.world, microseconds(self._means.clock())
            await self._append(Section(world, Kind.EVENTS, now_us, made.events, made.body))
        before = self._counts
        told = before.rejected
        if made.faults and len(told) < REJECTED_TOLD_MAX:
            told = [*told, *(fault.document() for fault in made.faults[: REJECTED_TOLD_MAX - len(told)])]
        self._counts = Counts(
            before.rows_read + made.rows,
            before.rows_accepted + made.events,
            before.rows_rejected + len(made.faults),
            told,
        )
        self._means.counted(before, self._counts)

    async def _name(self, names: Mapping[str, str]) -> None:
        """See to it that customers are there by name before their events are: names are taken on creation only."""
        new = [customer for customer in names if customer not in self._named]
        means, world = self._means, self._claimed.run.world
        change = partial(ensure_customers, names=names)
        for start in range(0, len(new), NAMED_AT_ONCE):
            some = new[start : start + NAMED_AT_ONCE]
            await _until_available(partial(means.registry.write, change, world, some, means.clock()))
        if len(self._named) > NAMED_MAX:
            self._named.clear()
        self._named.update(new)

    async def _append(self, section: Section) -> None:
        async def append() -> None:
            if elapsed_s() > self._held_until - APPEND_S_MAX:
                raise RunLostError("it could not be held for long, so nothing more is appended")
            async with asyncio.timeout(APPEND_S_MAX):
                await self._means.log.append(section)

        await _until_available(append)

    async def _keep(self) -> None:
        """Hold the run, and record how far it is: when it is further, at most once a second, and now and then anyway.

        Raises:
            RunLostError: it is not ours any more.
            RunCancelledError: it shall end.
        """
        held_at = elapsed_s()
        while True:
            await asyncio.sleep(RECORD_EVERY_S)
            if self._counts is self._recorded and elapsed_s() < held_at + HOLD_EVERY_S:
                continue
            held_at = elapsed_s()
            try:
                await self._hold()
            except UnavailableError as error:
                _log.warning("a run cannot be held now", run_id=self._claimed.run.id, reason=str(error))

    async def _hold(self) -> None:
        asked_at, counts = elapsed_s(), self._counts
        rejects_too = counts.rejected is not self._recorded.rejected
        means, run_id = self._means, self._claimed.run.id
        change = partial(hold, rejects_too=rejects_too)
        held = await means.registry.write(change, run_id, self._worker, counts, means.clock(), waits_for=NOBODY)
        if held is Hold.LOST:
            raise RunLostError("another works on it, or it was deleted")
        if isinstance(held, str):
            raise RunCancelledError(held)
        self._held_until, self._recorded = asked_at + HELD_S, counts

    async def _finish(self, end: End) -> RunStatus | None:
        """Write the end; if that is not ours to do any more, nothing is written."""
        means, claimed = self._means, self._claimed
        account = claimed.run.world.account_id

        async def write() -> RunStatus | None:
            return await means.registry.write(finish, claimed, self._worker, end, means.clock(), waits_for=account)

        return await _until_available(write)

    async def _release(self) -> None:
        try:
            await self._means.registry.write(release, self._claimed.run.id, self._worker, waits_for=NOBODY)
        except UnavailableError as error:
            _log.warning("a run is left when its time is over", run_id=self._claimed.run.id, reason=str(error))

    def _cursor_after(self, ended: Ended) -> Cursor | None:
        """Give how far was read: what stood before where no row had a value, unless all was read anew."""
        if ended.cursor is not None or self._claimed.run.from_start:
            return ended.cursor
        return self._claimed.dataloader.cursor

    def _source(self) -> Source:
        """Open the source; called in the thread that reads."""
        run = self._claimed.run
        try:
            self._address = self._means.addresses.address_of(run.world, self._claimed.dataloader.connection_id)
        except UnavailableError as error:
            raise SourceUnavailableError(f"the connection cannot be looked up now: {error.public}") from None
        return self._means.open_source(self._address)

    def _public(self, message: str) -> str:
        return message if self._address is None else hide_secrets(message, self._address)


def elapsed_s() -> float:
    """Give a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def _until_available(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again until the log or the registry answers; each pause is longer, up to `PAUSE_S_MAX`."""
    pause_s = PAUSE_S_MIN
    while True:
        try:
            return await ask()
        except (LogUnavailableError, LogOverloadedError, UnavailableError, TimeoutError) as error:
            _log.warning("a run waits", reason=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
