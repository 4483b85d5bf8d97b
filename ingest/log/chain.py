"""Several logs, one after the other, read as one: each is drained to its end before the next is begun.

The partitions of all of them are numbered through, those of the first log from 0 on. A log that has a successor takes
nothing more. When one comes to be while a consumer reads, it is told (`LogGrownError`) once it has all of the older
ones, and starts anew with the lanes of all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from ingest.errors import LogGrownError
from ingest.log.protocol import Backlog, LogReader, Message

GROW_CHECK_S = 0.5
"""So often a reader that has come to the end looks for a successor."""


class ChainedReader(LogReader, Protocol):
    """A log that may have a successor."""

    @property
    def partitions(self) -> int:
        """How many partitions it has."""
        ...

    async def final_ends(self) -> Mapping[int, int]:
        """Give the ends once a successor is there: they never move again.

        Raises:
            LogUnavailableError: they are not known yet; call again.
        """
        ...


@runtime_checkable
class Chain(Protocol):
    """What a `LogReader` has beside, which reads several logs as one."""

    def origins(self) -> Mapping[int, "Origin"]:
        """Tell what each partition that is known is."""
        ...

    async def open_partitions(self, after: Mapping[int, int]) -> frozenset[int]:
        """Give the partitions that may be read now: see `LogChain`."""
        ...


FindNext = Callable[[int], Awaitable[ChainedReader | None]]
"""Open the log behind the first so many, None where there is none yet."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a partition of a chain is: `partition` of the `of` partitions of one log; `older` are the logs before it."""

    log_id: str
    partition: int
    of: int
    older: Sequence[str] = ()


@dataclass(slots=True)
class _Link:
    reader: ChainedReader
    first: int
    final: Mapping[int, int] = field(default_factory=dict)

    def own(self, after: Mapping[int, int]) -> dict[int, int]:
        """Give the part of `after` that is this log's, by its own numbers."""
        own = range(self.first, self.first + self.reader.partitions)
        return {partition - self.first: offset for partition, offset in after.items() if partition in own}


class LogChain:
    """A `LogReader` over one log and its successors."""

    def __init__(self, first: ChainedReader, find_next: FindNext) -> None:
        self._links = [_Link(first, 0)]
        self._find_next = find_next
        self._growing = asyncio.Lock()
        self._looked_at = 0.0

    @property
    def log_id(self) -> str:
        """What tells the first log, and so the chain, from any other."""
        return self._links[0].reader.log_id

    def origins(self) -> Mapping[int, Origin]:
        """Tell what each partition that is known is."""
        found = {}
        older: list[str] = []
        for link in self._links:
            reader = link.reader
            for partition in range(reader.partitions):
                found[link.first + partition] = Origin(reader.log_id, partition, reader.partitions, tuple(older))
            older.append(reader.log_id)
        return found

    async def ends(self) -> Mapping[int, int]:
        """Give the next offset of every partition of every log, new ones included: see `LogReader`."""
        await self._grow()
        return {
            link.first + partition: end for link in self._links for partition, end in (await link.reader.ends()).items()
        }

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages of the oldest log that is not drained: see `LogReader`.

        Whoever shares partitions with others names those of one log, and of a newer one only after all have drained
        the older: see `open_partitions`.

        Raises:
            LogGrownError: these are drained, and there is another.
        """
        if not after:
            await asyncio.sleep(wait_s_max)
            return []
        at = min(number for number, link in enumerate(self._links) if link.own(after))
        while at < len(self._links):
            link = self._links[at]
            own = link.own(after)
            if not own:
                raise LogGrownError(f"the log goes on in {link.reader.log_id}: start again")
            if at == len(self._links) - 1 and (found := await self._poll(link, own, events_max, wait_s_max)):
                return found
            if at < len(self._links) - 1:  # It may have grown while we waited.
                final = await self._final(link)
                if any(offset < final[partition] for partition, offset in own.items()):
                    return await self._poll(link, own, events_max, wait_s_max)
                at += 1
            else:
                await self._look()
                if at == len(self._links) - 1:
                    return []
        raise AssertionError("unreachable")

    async def open_partitions(self, after: Mapping[int, int]) -> frozenset[int]:
        """Give the partitions that may be read now: what is left of the oldest log that is not drained, or the last.

        `after` gives for every partition the first offset that is not applied, by whomever.

        Raises:
            LogUnavailableError: where an older log ends is not known yet; call again.
        """
        for link in self._links[:-1]:
            final = await self._final(link)
            left = {each for each, end in final.items() if after[link.first + each] < end}
            if left:
                return frozenset(link.first + each for each in left)
        last = self._links[-1]
        return frozenset(range(last.first, last.first + last.reader.partitions))

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Tell what lies in these partitions, over all logs: see `LogReader`."""
        told = [await link.reader.backlog(own) for link in self._links if (own := link.own(after))]
        oldest = [each.oldest_at_us for each in told if each.oldest_at_us is not None]
        return Backlog(sum(each.events for each in told), min(oldest, default=None))

    async def close(self) -> None:
        """Let go of all of them."""
        for link in self._links:
            await link.reader.close()

    async def _poll(self, link: _Link, own: Mapping[int, int], events_max: int, wait_s_max: float) -> list[Message]:
        found = await link.reader.poll(own, events_max=events_max, wait_s_max=wait_s_max)
        if not link.first:
            return list(found)
        return [replace(message, partition=link.first + message.partition) for message in found]

    @staticmethod
    async def _final(link: _Link) -> Mapping[int, int]:
        if not link.final:
            link.final = await link.reader.final_ends()
        return link.final

    async def _look(self) -> None:
        """Look for a successor, now and then."""
        now = asyncio.get_running_loop().time()
        if now >= self._looked_at + GROW_CHECK_S:
            self._looked_at = now
            await self._grow()

    async def _grow(self) -> None:
        async with self._growing:
            while (found := await self._find_next(len(self._links))) is not None:
                last = self._links[-1]
                self._links.append(_Link(found, last.first + last.reader.partitions))


def origins_of(log: LogReader, partitions: Sequence[int]) -> Mapping[int, Origin]:
    """Tell what each of a log's partitions is, whether it is a chain or a single log."""
    if isinstance(log, Chain):
        return log.origins()
    return {partition: Origin(log.log_id, partition, len(partitions)) for partition in partitions}


async def open_partitions_of(log: LogReader, after: Mapping[int, int]) -> frozenset[int]:
    """Give the partitions that may be read now, whether it is a chain or a single log: see `LogChain`."""
    return await log.open_partitions(after) if isinstance(log, Chain) else frozenset(after)
