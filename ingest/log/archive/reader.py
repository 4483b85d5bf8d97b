"""Read a local log together with its archive, so that who is behind never loses its place.

The log is asked first; an offset that it no longer has is read from the archive. A segment that moves meanwhile is in
one of the two at any time, because it is archived before it is unlinked.
"""

import asyncio
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ingest.errors import LogCorruptError
from ingest.log.archive.folder import Archived, archived, check_owner
from ingest.log.archive.segment import Unpacked, frames, unpack
from ingest.log.frames import Head
from ingest.log.local.reader import POLL_BYTES_MAX, LocalLogReader
from ingest.log.protocol import Backlog, Message
from ingest.log.waiting import PARTITION


class ArchivedLogReader:
    """A `LogReader` over a log and its archive. It holds one unpacked segment at most."""

    def __init__(self, log: LocalLogReader, archive: Path, *, poll_bytes_max: int = POLL_BYTES_MAX) -> None:
        """`log` is closed with this.

        Raises:
            LogMismatchError: the archive is another log's.
        """
        check_owner(archive, log.log_id)
        self._log = log
        self._archive = archive
        self._poll_bytes_max = poll_bytes_max
        self._unpacked: Unpacked | None = None
        self._stopped: tuple[int, int] | None = None
        self._lock = threading.Lock()

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._log.log_id

    async def ends(self) -> Mapping[int, int]:
        """Give how far the log is durable now."""
        return await self._log.ends()

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages: see `LogReader`.

        Raises:
            LogCorruptError: an offset is neither in the log nor in the archive, or damaged in both.
            LogMismatchError: the offset lies beyond the end.
        """
        try:
            return await self._log.poll(after, events_max=events_max, wait_s_max=wait_s_max)
        except LogCorruptError as error:
            found = await asyncio.to_thread(self._read, after[PARTITION], events_max)
            if found is None:
                raise self._nowhere(error) from None
            return found

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what lies from these offsets on, exactly.

        Raises:
            LogCorruptError, LogMismatchError: as `poll`.
        """
        try:
            return await self._log.backlog(after)
        except LogCorruptError as error:
            head = await asyncio.to_thread(self._head, after[PARTITION])
            if head is None:
                raise self._nowhere(error) from None
            return Backlog(self._log.end.events - head.events_before, head.appended_at_us)

    async def close(self) -> None:
        """Let go of the log and of what is unpacked."""
        await self._log.close()
        await asyncio.to_thread(self._drop)

    def _read(self, offset: int, events_max: int) -> list[Message] | None:
        with self._lock:
            messages: list[Message] = []
            events = size = 0
            for head, payload, at in self._from(offset):
                events += head.events
                size += head.payload_bytes
                if messages and (events > events_max or size > self._poll_bytes_max):
                    self._stopped = head.offset, at
                    break
                messages.append(Message(PARTITION, head.offset, head.events, head.appended_at_us, bytes(payload)))
            return messages or None

    def _head(self, offset: int) -> Head | None:
        with self._lock:
            return next((head for head, _, _ in self._from(offset)), None)

    def _from(self, offset: int) -> Iterator[tuple[Head, memoryview, int]]:
        """Give the frames of one archived segment from an offset on; none where no segment has it."""
        unpacked = self._open(offset)
        if unpacked is None:
            return
        start = unpacked.places[bisect_right(unpacked.places, offset, key=lambda place: place[0]) - 1]
        if self._stopped is not None and start[0] <= self._stopped[0] <= offset:
            start = self._stopped
        for head, payload, at in frames(unpacked.file, unpacked.segment.path, *start):
            if head.offset >= offset:
                yield head, payload, at

    def _open(self, offset: int) -> Unpacked | None:
        if self._unpacked is not None and _holds(self._unpacked.segment, offset):
            return self._unpacked
        segment = next((each for each in archived(self._archive) if _holds(each, offset)), None)
        if segment is None:
            return None
        self._drop()
        self._unpacked = unpack(segment, self._archive)
        return self._unpacked

    def _drop(self) -> None:
        self._stopped = None
        if self._unpacked is not None:
            self._unpacked.file.close()
            self._unpacked = None

    def _nowhere(self, error: LogCorruptError) -> LogCorruptError:
        return LogCorruptError(
            f"{error}; the archive in {self._archive} does not have it: put the archive back "
            "(METERLINE_LOG_ARCHIVE_DIR), or restore a backup"
        )


def _holds(segment: Archived, offset: int) -> bool:
    return segment.first <= offset < segment.next
