"""A local log that has a successor elsewhere: it takes nothing more, and is read to its end before that is begun."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ingest.log.archive.reader import ArchivedLogReader
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.protocol import Backlog, Message


class ClosedLog:
    """`ingest.log.chain.ChainedReader` over a log and its archive. It holds the folder's lock, so that none appends."""

    partitions = 1

    def __init__(self, reader: ArchivedLogReader, trimmer: LocalLogWriter) -> None:
        self._reader = reader
        self.trimmer = trimmer
        """For who archives it: `ingest.log.archive.keeper.Trimmer`. Nobody appends by it."""

    @classmethod
    async def open(cls, folder: Path, archive: Path) -> Self:
        """Recover it, so that its end is known: what the log process did at each start.

        Raises:
            LogUnavailableError: another process appends to it, or the disk failed.
            LogCorruptError: what was durable is damaged or gone.
        """
        writer = await LocalLogWriter.open(folder)
        try:
            return cls(ArchivedLogReader(await LocalLogReader.open(folder), archive), writer)
        except BaseException:
            await writer.close()
            raise

    @property
    def log_id(self) -> str:
        """What tells this log from any other."""
        return self._reader.log_id

    async def ends(self) -> Mapping[int, int]:
        """Give where it ends; that never moves."""
        return await self._reader.ends()

    async def final_ends(self) -> Mapping[int, int]:
        """Give where it ends: see `ChainedReader`."""
        return await self._reader.ends()

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages: see `LogReader`."""
        return await self._reader.poll(after, events_max=events_max, wait_s_max=wait_s_max)

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Tell what lies from an offset on: see `LogReader`."""
        return await self._reader.backlog(after)

    async def close(self) -> None:
        """Let go of its files."""
        await self._reader.close()
        await self.trimmer.close()
