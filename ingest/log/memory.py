"""A log that lives in memory: for tests and simulations, held to the same suite as the real ones.

`MemoryLog` is what the disk would be; it outlives its writers and readers. Appends of one tick become durable at its
end, in the same groups as elsewhere. No thread and no timer beside the waits that callers ask for.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from ingest.errors import LogCorruptError, LogMismatchError, LogOverloadedError, LogUnavailableError
from ingest.log.clock import now_us as system_now_us
from ingest.log.protocol import Backlog, Message, Receipt
from ingest.log.waiting import PARTITION, End, Waiting, answer, check_size, group, joined, refuse
from ingest.wire import Section, encode

WAITING_BYTES_MAX = 64 * 1024 * 1024


class MemoryLog:
    """What is durable."""

    def __init__(self, log_id: str = "log_memory", *, now_us: Callable[[], int] = system_now_us) -> None:
        self.log_id = log_id
        self._now_us = now_us
        self._messages: list[Message] = []
        self._first_offset = 0
        self._end = End(0, 0)
        self._appended_at_us = 0
        self._changed = asyncio.Event()

    @property
    def end(self) -> End:
        """How far the log goes."""
        return self._end

    def commit(self, payload: bytes, events: int) -> int:
        """Add one message, and give its offset."""
        self._appended_at_us = max(self._appended_at_us, self._now_us())
        offset = self._end.next_offset
        self._messages.append(Message(PARTITION, offset, events, self._appended_at_us, payload))
        self._end = End(offset + 1, self._end.events + events)
        self._changed.set()
        self._changed = asyncio.Event()
        return offset

    def trim(self, before_offset: int) -> int:
        """Drop messages below an offset, and give the first that is left; the last message always stays."""
        bound = min(before_offset, self._end.next_offset - 1)
        if bound > self._first_offset:
            del self._messages[: bound - self._first_offset]
            self._first_offset = bound
        return self._first_offset

    def messages(self, offset: int, events_max: int) -> list[Message]:
        """Give what lies from an offset on, at least one message where there is one, within `events_max`.

        Raises:
            LogCorruptError: the offset is trimmed.
            LogMismatchError: the offset lies beyond the end.
        """
        if offset > self._end.next_offset:
            raise LogMismatchError(f"offset {offset} lies beyond the end {self._end.next_offset} of log {self.log_id}")
        if offset < self._first_offset:
            raise LogCorruptError(f"offset {offset} of log {self.log_id} is trimmed: it begins at {self._first_offset}")
        found: list[Message] = []
        for message in self._messages[offset - self._first_offset :]:
            events_max -= message.events
            if found and events_max < 0:
                break
            found.append(message)
        return found

    async def changed(self) -> None:
        """Return once a message comes."""
        await self._changed.wait()


class MemoryLogWriter:
    """A `LogWriter` to a log in memory."""

    def __init__(self, log: MemoryLog, *, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._log = log
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._closed = False

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once it is there: see `LogWriter`."""
        payload = encode((section,))
        check_size(payload, section.events)
        if self._closed:
            raise LogUnavailableError(f"the writer to log {self._log.log_id} is closed")
        size = self._waiting_bytes + len(payload)
        if size > self._waiting_bytes_max and self._waiting_bytes:
            raise LogOverloadedError(f"{self._waiting_bytes} bytes wait for the log, {self._waiting_bytes_max} may")
        self._waiting_bytes = size
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._commit)
        future: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append(Waiting(payload, section.events, future))
        return await future

    async def close(self) -> None:
        """Commit what waits and refuse what comes."""
        self._closed = True
        self._commit()

    def crash(self) -> None:
        """Lose what waits, as a killed process would; its callers learn that the outcome is unknown."""
        self._closed = True
        lost, self._waiting = self._waiting, []
        refuse(lost, LogUnavailableError, f"the writer to log {self._log.log_id} crashed: send again")

    def _commit(self) -> None:
        appends, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        for shared in group(appends):
            offset = self._log.commit(joined(shared), sum(append.events for append in shared))
            answer(shared, offset)


class MemoryLogReader:
    """A `LogReader` of a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._log.log_id

    async def ends(self) -> Mapping[int, int]:
        """Give how far the log goes."""
        return {PARTITION: self._log.end.next_offset}

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages from offset `after[0]` on: see `LogReader`.

        Raises:
            LogCorruptError: the offset is trimmed.
            LogMismatchError: the offset lies beyond the end.
        """
        offset = after.get(PARTITION, self._log.end.next_offset)
        messages = self._log.messages(offset, events_max)
        if messages or wait_s_max <= 0:
            return messages
        try:
            async with asyncio.timeout(wait_s_max):
                await self._log.changed()
        except TimeoutError:
            return []
        return self._log.messages(offset, events_max)

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what lies from offset `after[0]` on; raises as `poll` does."""
        if PARTITION not in after:
            return Backlog(0, None)
        found = self._log.messages(after[PARTITION], self._log.end.events)
        return Backlog(sum(message.events for message in found), found[0].appended_at_us if found else None)

    async def close(self) -> None:
        """Do nothing: nothing is held."""
