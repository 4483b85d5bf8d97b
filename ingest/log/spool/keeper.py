"""Keep what the log does not take, and bring it there in order: the side of the one process that holds the spool.

It is a local log whose only reader forwards it. Forwarding repeats itself: after a fault, or a crash before the place
was written down, everything from the last place on is sent again, in order, so a version is never sent again without
those that were received after it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog

from ingest import wire
from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.clock import now_us as system_now_us
from ingest.log.local.files import DISK, Files
from ingest.log.local.reader import LOOK_INTERVAL_S, LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.protocol import LogWriter, Message, Receipt
from ingest.log.spool.cursor import Cursor
from ingest.log.waiting import PARTITION, End

SEGMENT_BYTES = 16 * 1024 * 1024
WINDOW_BYTES_MAX = 8 * 1024 * 1024
WINDOW_EVENTS_MAX = 50_000
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 2.0
_LOOK_S = 1.0

_log = structlog.get_logger(__name__)


class SpoolKeeper:
    """The spool in one folder: what a `LogServer` lets gateways append to, and what forwards it."""

    def __init__(
        self, writer: LocalLogWriter, reader: LocalLogReader, cursor: Cursor, spooled_bytes: int, bytes_max: int
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._cursor = cursor
        self._bytes = spooled_bytes
        self._bytes_max = bytes_max
        self.failed = writer.failed
        """Done, with the error as its result, once the spool can no longer be written: end the process."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        bytes_max: int,
        *,
        now_us: Callable[[], int] = system_now_us,
        look_interval_s: float = LOOK_INTERVAL_S,
        files: Files = DISK,
    ) -> Self:
        """Take the spool over from whoever held it last.

        Raises:
            LogUnavailableError: another process holds it, or the disk failed.
            LogCorruptError: what was spooled, or how far it is forwarded, is damaged or gone.
        """
        writer = await LocalLogWriter.open(folder, segment_bytes=SEGMENT_BYTES, now_us=now_us, files=files)
        try:
            cursor = Cursor(folder, writer.end, files)
            reader = await LocalLogReader.open(
                folder, look_interval_s=look_interval_s, poll_bytes_max=WINDOW_BYTES_MAX, files=files
            )
            spooled = 0
            at = cursor.at.next_offset
            while messages := await reader.poll({PARTITION: at}, events_max=WINDOW_EVENTS_MAX, wait_s_max=0):
                spooled += sum(len(message.payload) for message in messages)
                at = messages[-1].offset + 1
        except OSError as error:
            await writer.close()
            raise LogUnavailableError(f"the spool in {folder} cannot be opened: {error}") from error
        except BaseException:
            await writer.close()
            raise
        if spooled:
            events = writer.end.events - cursor.at.events
            _log.warning("the spool holds events of an earlier run", events=events, bytes=spooled)
        return cls(writer, reader, cursor, spooled, bytes_max)

    @property
    def events(self) -> int:
        """How many events wait."""
        return self._writer.end.events - self._cursor.at.events

    def put(self, payload: bytes, events: int) -> asyncio.Future[Receipt]:
        """Put encoded sections into the spool; the future is done once they are durable.

        Raises:
            LogOverloadedError: the spool is full; nothing was written.
            LogUnavailableError: it is closed or its disk failed.
        """
        if self._bytes + len(payload) > self._bytes_max:
            raise LogOverloadedError(f"the spool holds {self._bytes} bytes, {self._bytes_max} may wait there")
        if not self._bytes:
            _log.warning("the log does not take events: they are spooled from now on")
        spooled = self._writer.put(payload, events)
        self._bytes += len(payload)
        return spooled

    async def trim(self, before_offset: int) -> int:
        """Refuse: only what is forwarded leaves a spool."""
        raise LogUnavailableError(f"nobody may trim a spool to {before_offset}")

    async def seal(self) -> int:
        """Refuse: a spool is not archived."""
        raise LogUnavailableError("nobody may seal a spool's segment")

    async def forward(self, log: LogWriter) -> None:
        """Bring everything to the log, until cancelled.

        Raises:
            LogCorruptError: what was spooled cannot be read.
            OSError: the place cannot be written down.
        """
        pause_s = PAUSE_S_MIN
        events_max = 1
        while True:
            messages = await self._reader.poll(
                {PARTITION: self._cursor.at.next_offset}, events_max=events_max, wait_s_max=_LOOK_S
            )
            if not messages:
                continue
            sent, reason = await _send(log, messages)
            await self._move(messages[:sent])
            if reason is None:
                pause_s = PAUSE_S_MIN
                events_max = min(2 * events_max, WINDOW_EVENTS_MAX)
                continue
            if events_max > 1 or pause_s == PAUSE_S_MIN:
                _log.warning("what is spooled cannot be forwarded yet", reason=reason, events=self.events)
            events_max = 1  # Try with little until it works again.
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def close(self) -> None:
        """Write what waits, and let go of the folder."""
        await self._writer.close()
        await self._reader.close()
        self._cursor.close()

    async def _move(self, sent: Sequence[Message]) -> None:
        if not sent:
            return
        at = self._cursor.at
        to = End(at.next_offset + len(sent), at.events + sum(message.events for message in sent))
        await asyncio.to_thread(self._cursor.move, to)
        self._bytes -= sum(len(message.payload) for message in sent)
        with suppress(LogUnavailableError):  # The next one unlinks more.
            await self._writer.trim(to.next_offset)
        if not self._bytes:
            _log.warning("the spool is empty: events go to the log again")


async def _send(log: LogWriter, messages: Sequence[Message]) -> tuple[int, str | None]:
    """Send messages in order; tell how many of the first are whole in the log, and why not all."""
    sections = [(at, section) for at, message in enumerate(messages) for section in wire.decode(message.payload)]
    outcomes = await asyncio.gather(*(log.append(section) for _, section in sections), return_exceptions=True)
    for (at, _), outcome in zip(sections, outcomes, strict=True):
        if isinstance(outcome, LogUnavailableError | LogOverloadedError):
            return at, str(outcome)
        if isinstance(outcome, BaseException):
            raise outcome
    return len(messages), None
