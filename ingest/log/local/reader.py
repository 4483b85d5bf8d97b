"""Read the log straight from its files, from any process: no connection to the one that appends.

Only what the writer published as durable is ever read, so nothing that was given can be cut later. New messages are
found by looking at the published end every few milliseconds: one look at mapped memory, no system call.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ingest.errors import LogCorruptError, LogMismatchError, LogUnavailableError
from ingest.log.local.end import EndReader
from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import LOG_ID, read_whole
from ingest.log.local.segments import Segments
from ingest.log.protocol import Backlog, Message
from ingest.log.waiting import PARTITION, End

OPEN_WAIT_S_MAX = 10.0
LOOK_INTERVAL_S = 0.004
POLL_BYTES_MAX = 64 * 1024 * 1024


class LocalLogReader:
    """A `LogReader` over a log's folder; any number may be open."""

    def __init__(
        self,
        folder: Path,
        log_id: str,
        ends: EndReader,
        look_interval_s: float,
        poll_bytes_max: int,
        *,
        files: Files = DISK,
    ) -> None:
        self._folder = folder
        self._log_id = log_id
        self._ends = ends
        self._look_interval_s = look_interval_s
        self._poll_bytes_max = poll_bytes_max
        self._segments = Segments(folder, files)

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        wait_s_max: float = OPEN_WAIT_S_MAX,
        look_interval_s: float = LOOK_INTERVAL_S,
        poll_bytes_max: int = POLL_BYTES_MAX,
        files: Files = DISK,
    ) -> Self:
        """Open a log once its end is known: that needs one start of a writer since the machine last started.

        Raises:
            LogUnavailableError: no writer has published the end within `wait_s_max`; start one and open again.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s_max
        while True:
            ends = EndReader.open(folder, files)
            if ends is not None:
                published = ends.read()
                if published is not None and published.this_boot:
                    log_id = read_whole(folder / LOG_ID, files).decode("ascii").strip()
                    return cls(folder, log_id, ends, look_interval_s, poll_bytes_max, files=files)
                ends.close()
            if loop.time() >= give_up_at:
                raise LogUnavailableError(f"nobody has opened the log in {folder} for appending since the last boot")
            await asyncio.sleep(look_interval_s)

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._log_id

    @property
    def end(self) -> End:
        """How far the log is durable now; it never goes back."""
        published = self._ends.read()
        if published is None:
            raise LogCorruptError(f"the file 'end' in {self._folder} was emptied: restart the process that appends")
        return published.end

    async def ends(self) -> Mapping[int, int]:
        """Give how far the log is durable now."""
        return {PARTITION: self.end.next_offset}

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages from offset `after[0]` on: see `LogReader`.

        Stops early, too, once the payloads given exceed the reader's `poll_bytes_max`.

        Raises:
            LogCorruptError: a durable message is trimmed, damaged or gone.
            LogMismatchError: the log ends before that offset: it is not the log that the offset came from.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s_max
        while True:
            end = self.end
            offset = after.get(PARTITION, end.next_offset)
            if offset < end.next_offset:
                return await asyncio.to_thread(
                    self._segments.read, offset, end.next_offset, events_max, self._poll_bytes_max
                )
            self._check_within(offset, end)
            rest_s = give_up_at - loop.time()
            if rest_s <= 0:
                return []
            await asyncio.sleep(min(self._look_interval_s, rest_s))

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what lies from offset `after[0]` on, exactly.

        Quick where reading last stopped; elsewhere it may walk through a megabyte of heads, or once through a segment.

        Raises:
            LogCorruptError: the offset is trimmed, damaged or gone.
            LogMismatchError: the offset lies beyond the end.
        """
        if PARTITION not in after:
            return Backlog(0, None)
        offset, end = after[PARTITION], self.end
        self._check_within(offset, end)
        if offset == end.next_offset:
            return Backlog(0, None)
        first = self._segments.head(offset)
        return Backlog(end.events - first.events_before, first.appended_at_us)

    async def close(self) -> None:
        """Let go of the published end; nothing else is held."""
        self._ends.close()

    def _check_within(self, offset: int, end: End) -> None:
        if offset > end.next_offset:
            raise LogMismatchError(
                f"offset {offset} lies beyond the end {end.next_offset} of log {self._log_id} in {self._folder}"
            )
