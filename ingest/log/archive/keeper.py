"""Move segments out of the log once they are applied: into the archive, or away.

A segment goes when the store's durable `applied` has lain beyond it for `MARGIN_S`: first it is in the archive, synced
and read back, then it is unlinked, the oldest first. A crash between any two of these steps leaves it in the log, in
the archive or in both, and the next pass goes on from what is there. The open segment stays, unless `settle` seals it.
"""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import structlog

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.log.archive.folder import prepare
from ingest.log.archive.segment import archive_segment
from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import first_offsets
from ingest.log.waiting import PARTITION

MARGIN_S = 5.0
"""Who has just read what is applied has so long to find its place in the log itself."""
RETRY_S = 30.0

_log = structlog.get_logger(__name__)


class Keep(StrEnum):
    """What becomes of a segment that is applied."""

    ARCHIVE = "archive"
    """It is compressed into the archive, and leaves the log."""
    ALL = "all"
    """It stays in the log as it is."""
    NONE = "none"
    """It is unlinked: the store can then never be derived again."""


class Trimmer(Protocol):
    """The one process that appends, asked to let go of segments."""

    async def trim(self, before_offset: int) -> int:
        """Unlink whole segments below an offset, and give the first offset that is left."""
        ...

    async def seal(self) -> int:
        """End the last segment, and give where the next one begins."""
        ...


class LogKeeper:
    """The one process that archives a log: the consumer's."""

    def __init__(
        self,
        log: Path,
        archive: Path,
        keep: Keep,
        trimmer: Trimmer,
        *,
        margin_s: float = MARGIN_S,
        files: Files = DISK,
    ) -> None:
        self._log = log
        self._archive = archive
        self._keep = keep
        self._trimmer = trimmer
        self._margin_s = margin_s
        self._files = files
        self._applied = 0
        self._went_on = asyncio.Event()
        self._moving = asyncio.Lock()

    def prepare(self, log_id: str) -> None:
        """Make the archive ready; once, before anything else.

        Raises:
            LogMismatchError: the archive is another log's.
            OSError: the archive's folder cannot be used.
        """
        prepare(self._archive, log_id)

    async def applied_hint(self, next_offsets: Mapping[int, int]) -> None:
        """Hear how far the store is: an `AppliedHint`."""
        self._applied = max(self._applied, next_offsets.get(PARTITION, 0))
        self._went_on.set()

    async def run(self) -> None:
        """Move what may go, until cancelled; a disk or log process that fails is tried again later."""
        if self._keep is Keep.ALL:
            return
        while True:
            await self._went_on.wait()
            self._went_on.clear()
            before = self._applied
            await asyncio.sleep(self._margin_s)
            try:
                await self._move(before, self._keep)
            except (OSError, LogUnavailableError, LogCorruptError) as error:
                # The log only grows meanwhile; what is damaged was applied, and stays where a person can look at it.
                _log.warning("the log keeps its segments for now", reason=str(error))
                self._went_on.set()
                await asyncio.sleep(RETRY_S)

    async def settle(self) -> int:
        """Move everything that is applied now out of the log, the open segment too; give where the log then begins.

        With `Keep.ALL` it goes into the archive: only there can it be rewritten.

        Raises:
            LogUnavailableError: the log process does not answer, or is ahead of what is applied; call again.
            LogCorruptError: a segment is damaged.
            OSError: the disk failed; call again.
        """
        before = self._applied
        await self._trimmer.seal()
        return await self._move(before, Keep.ARCHIVE if self._keep is Keep.ALL else self._keep)

    async def _move(self, before: int, keep: Keep) -> int:
        async with self._moving:
            firsts = await asyncio.to_thread(first_offsets, self._log, self._files)
            gone = firsts[0]
            for first, following in pairwise(firsts):
                if following > before:
                    break
                if keep is Keep.ARCHIVE:
                    await asyncio.to_thread(archive_segment, self._log, first, following, self._archive)
                gone = await self._trimmer.trim(following)  # Last: until here a crash leaves the segment in the log.
            return gone
