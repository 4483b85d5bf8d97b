"""Append to the log on this machine's disk: many appends share one write and one sync.

Appends that arrive while a commit is under way wait for the next one. A commit frames them, writes once, syncs once,
publishes the end to readers, and only then are the callers answered. The disk works in a thread of its own; an append
itself costs the event loop a future and a list entry, never a task.

When the disk fails, every waiting append fails and the writer is dead for good: `failed` is done, and the process must
end. The next start scans what is really there.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.clock import now_us as system_now_us
from ingest.log.local.appender import Appender, Unframed, trim
from ingest.log.local.files import DISK, Files
from ingest.log.protocol import Receipt
from ingest.log.waiting import End, Waiting, answer, check_size, group, joined, refuse
from ingest.wire import Section, encode

SEGMENT_BYTES = 256 * 1024 * 1024
WAITING_BYTES_MAX = 64 * 1024 * 1024
COMMIT_BYTES_MAX = 16 * 1024 * 1024
COMMIT_INTERVAL_S_MIN = 0.002
"""Commits begin no closer than this: offsets then last 2.2 years of ceaseless load. Without it a fast disk would use
35 bits up in months. An append after a pause does not wait for it."""


class LocalLogWriter:
    """The one appender of a log: a `LogWriter`."""

    def __init__(
        self,
        folder: Path,
        appender: Appender,
        thread: ThreadPoolExecutor,
        waiting_bytes_max: int,
        interval_s: float,
        *,
        files: Files = DISK,
    ) -> None:
        self._folder = folder
        self._appender = appender
        self._thread = thread
        self._waiting_bytes_max = waiting_bytes_max
        self._interval_s = interval_s
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._work = asyncio.Event()
        self._refusal: str | None = None
        self.failed: asyncio.Future[LogUnavailableError] = self._loop.create_future()
        """Done, with the error as its result, once the log can no longer be written: end the process."""
        self._committing = asyncio.create_task(self._commit_until_closed())

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        commit_interval_s_min: float = COMMIT_INTERVAL_S_MIN,
        now_us: Callable[[], int] = system_now_us,
        files: Files = DISK,
    ) -> Self:
        """Create the log in a folder, or find its end; readers see that end when this returns.

        Raises:
            LogUnavailableError: another process appends to this log, or the disk failed.
            LogCorruptError: what was durable is damaged or gone; nothing was changed.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="log-commit")
        try:
            appender = await asyncio.get_running_loop().run_in_executor(
                thread, Appender.open, folder, segment_bytes, now_us, files
            )
        except BaseException as error:
            thread.shutdown(wait=False)
            if isinstance(error, OSError):
                raise LogUnavailableError(f"the log in {folder} cannot be opened: {error}") from error
            raise
        return cls(folder, appender, thread, waiting_bytes_max, commit_interval_s_min, files=files)

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once it is durable: see `LogWriter`."""
        return await self.put(encode((section,)), section.events)

    def put(self, payload: bytes, events: int) -> asyncio.Future[Receipt]:
        """Put encoded sections that belong together into one message; the future is done once they are durable.

        Raises:
            LogOverloadedError: refused before anything was written: too many bytes wait already.
            LogUnavailableError: the log is closed or its disk failed.
            ValueError: no message can hold it.
        """
        if self._refusal is not None:
            raise LogUnavailableError(self._refusal)
        check_size(payload, events)
        size = self._waiting_bytes + len(payload)
        if size > self._waiting_bytes_max and self._waiting_bytes:  # A large section still goes in alone.
            raise LogOverloadedError(f"{self._waiting_bytes} bytes wait for the log, {self._waiting_bytes_max} may")
        self._waiting_bytes = size
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._waiting.append(Waiting(payload, events, future))
        self._work.set()
        return future

    @property
    def end(self) -> End:
        """How far the log is durable."""
        return self._appender.end

    async def trim(self, before_offset: int) -> int:
        """Unlink whole segments that lie below an offset, and give the first offset that is left.

        The caller promises that every reader is done with them.

        Raises:
            LogUnavailableError: the disk refused; call it again.
        """
        try:
            return await asyncio.to_thread(trim, self._folder, before_offset, self._appender.trimmable, self._files)
        except OSError as error:
            raise LogUnavailableError(f"the log in {self._folder} cannot be trimmed: {error}") from error

    async def seal(self) -> int:
        """End the last segment, so that all that is durable by now can be trimmed; give where the next one begins.

        Raises:
            LogUnavailableError: the log is closed or its disk failed.
        """
        if self._refusal is not None:
            raise LogUnavailableError(self._refusal)
        try:
            # In the commits' thread: between two of them.
            return await self._loop.run_in_executor(self._thread, self._appender.seal)
        except OSError as error:
            self._die(error)
            self._work.set()
            raise LogUnavailableError(f"the log in {self._folder} failed: {error}") from error

    async def close(self) -> None:
        """Commit what waits, refuse what comes, and let go of the files; may be called again."""
        if self._refusal is None:
            self._refusal = f"the log in {self._folder} is closed"
        self._work.set()
        await self._committing

    async def _commit_until_closed(self) -> None:
        try:
            while self._waiting or self._refusal is None:
                if not self._waiting:
                    self._work.clear()
                    await self._work.wait()
                    continue
                began_at = self._loop.time()
                await self._commit()
                if self._refusal is None and (rest_s := began_at + self._interval_s - self._loop.time()) > 0:
                    await asyncio.sleep(rest_s)
        except Exception as error:  # noqa: BLE001 - Whatever stops a commit half way, nothing more may be promised.
            self._die(error)
        finally:
            self._thread.shutdown()
            self._appender.close()

    async def _commit(self) -> None:
        groups = group(self._take())
        messages = [Unframed(joined(appends), sum(append.events for append in appends)) for appends in groups]
        try:
            first = await self._loop.run_in_executor(self._thread, self._appender.commit, messages)
        except BaseException as error:
            for appends in groups:
                refuse(appends, LogUnavailableError, f"the log in {self._folder} failed: {error}")
            raise
        self._waiting_bytes -= sum(len(message.payload) for message in messages)
        for offset, appends in enumerate(groups, first):
            answer(appends, offset)

    def _take(self) -> list[Waiting]:
        taken: list[Waiting] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].payload) <= COMMIT_BYTES_MAX):
            append = self._waiting.popleft()
            size += len(append.payload)
            taken.append(append)
        return taken

    def _die(self, error: Exception) -> None:
        self._refusal = f"the log in {self._folder} failed: {error}"
        refuse(self._waiting, LogUnavailableError, self._refusal)
        self._waiting.clear()
        if not self.failed.done():
            self.failed.set_result(LogUnavailableError(self._refusal))
