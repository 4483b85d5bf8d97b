"""Read the log from Kafka: by partition and offset, without a group, never further than what is durable.

Where to read on is told with every question, so the broker keeps no place for us: what is applied stands in the store.
An offset that the topic does not have is never answered with another one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from confluent_kafka.admin import OffsetSpec

from ingest.errors import LogCorruptError, LogDeniedError, LogMismatchError, LogUnavailableError
from ingest.log.chain import ChainedReader, LogChain
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.fetching import FETCH_BYTES_MAX, Fetching, OffsetGoneError
from ingest.log.kafka.generations import END_MARK
from ingest.log.kafka.tally import Tally
from ingest.log.kafka.topic import OFFSETS_S_MAX, Topic, TopicAdmin, generation_name
from ingest.log.protocol import Backlog, Message

OPEN_S_MAX = 10.0
FETCH_S_MAX = 20.0
"""What is known to be there has to come within this: longer than a leader that died takes to be replaced."""
COUNT_S_MAX = 2.0
"""So long a backlog is counted before the rest of it is told in proportion."""

DENIALS_MAX = 3

_RETRY_S = 0.2
_COUNTED_AT_ONCE = 1_000_000


class KafkaLogReader:
    """A `LogReader` of a topic; any number may be open. One caller polls it."""

    def __init__(self, address: KafkaAddress, admin: TopicAdmin, topic: Topic) -> None:
        self._address = address
        self._admin = admin
        self._topic = topic
        self._fetching = Fetching(address, FETCH_BYTES_MAX)
        self._counting: Fetching | None = None
        self._count_lock = asyncio.Lock()
        self._tallies: dict[int, Tally] = {}

    @classmethod
    async def open(cls, address: KafkaAddress, *, wait_s_max: float = OPEN_S_MAX) -> Self:
        """Open the topic, making it if it is not there.

        Raises:
            LogUnavailableError: no broker answered within `wait_s_max`; open again.
            LogDeniedError: brokers refuse us, or we them.
            LogMismatchError: the topic is not as it must be.
        """
        admin = TopicAdmin(address)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s_max
        denied = 0
        while True:
            try:
                return cls(address, admin, await _first_of(admin))
            except LogDeniedError:
                denied += 1  # Brokers that are just starting do not know all passwords yet.
                if denied >= DENIALS_MAX or loop.time() >= give_up_at:
                    raise
            except LogUnavailableError:
                if loop.time() >= give_up_at:
                    raise
            await asyncio.sleep(_RETRY_S)

    @classmethod
    async def open_chain(
        cls, address: KafkaAddress, *, wait_s_max: float = OPEN_S_MAX, before: ChainedReader | None = None
    ) -> LogChain:
        """Open the log with all of its generations, those included that come to be later.

        `before` is a log elsewhere that takes nothing more: it is read first, and closed with the chain.

        Raises:
            LogUnavailableError: no broker answered within `wait_s_max`; open again.
            LogMismatchError: the log is not as it must be.
        """
        first = await cls.open(address, wait_s_max=wait_s_max)
        admin = TopicAdmin(address)

        async def find_next(logs: int) -> KafkaLogReader | None:
            generations = logs if before is None else logs - 1
            if not generations:
                return first
            found = await admin.find(generation_name(address.topic, generations + 1), OFFSETS_S_MAX)
            return None if found is None else cls(replace(address, topic=found.name), admin, found)

        return LogChain(first if before is None else before, find_next)

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return self._topic.partitions

    async def final_ends(self) -> Mapping[int, int]:
        """Give where a sealed topic ends, once each partition's last message is seen to be an end mark.

        Raises:
            LogUnavailableError: a leader did not answer, or with an end that was not the last; call again.
        """
        ends = await self.ends()
        for partition, end in ends.items():
            last = await self._read_one(partition, end - 1) if end else None
            if last is None or last.payload != END_MARK:
                raise LogUnavailableError(f"the end of partition {partition} of {self._topic.name!r} is not known yet")
        return ends

    @property
    def log_id(self) -> str:
        """What tells this topic from any other: the cluster's id and the topic's, new for each topic made."""
        return self._topic.log_id

    async def ends(self) -> Mapping[int, int]:
        """Ask the leaders how far each partition is durable.

        Raises:
            LogUnavailableError: one does not answer; call again.
        """
        return await self._admin.offsets(self._topic, OffsetSpec.latest())

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages of these partitions: see `LogReader`. Older ones come first.

        Stops early, too, once the payloads given exceed `FETCH_BYTES_MAX`.

        Raises:
            LogCorruptError: an offset is trimmed or missing.
            LogMismatchError: an offset lies beyond the end.
            LogUnavailableError: no broker answers.
        """
        if not after:
            await asyncio.sleep(wait_s_max)
            return []
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s_max
        found = await self._take(after, events_max, 0)
        if not found and await self._is_more(after):
            # It is durable and on its way to us.
            give_up_at = max(give_up_at, loop.time() + FETCH_S_MAX)
            while not (found := await self._take(after, events_max, give_up_at - loop.time())):
                if loop.time() >= give_up_at:
                    raise LogUnavailableError(f"Kafka gave no message within {FETCH_S_MAX} s although there is one")
        while not found and (rest_s := give_up_at - loop.time()) > 0:
            found = await self._take(after, events_max, rest_s)
        for message in found:
            self._tally(message.partition, message.offset).note((message,))
        return found

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Count what lies from these offsets on; what was polled before is not fetched again.

        Raises:
            LogCorruptError, LogMismatchError, LogUnavailableError: as `poll`.
        """
        async with self._count_lock:
            ends = await self.ends()
            self._check_within(after, ends)
            for partition, offset in after.items():
                self._tally(partition, offset).go_to(offset)
            await self._count(after, ends)
            told = [self._tallies[partition].backlog(ends[partition]) for partition in after]
        oldest = [backlog.oldest_at_us for backlog in told if backlog.oldest_at_us is not None and backlog.events]
        return Backlog(sum(backlog.events for backlog in told), min(oldest, default=None))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._fetching.close()
        if self._counting is not None:
            await self._counting.close()

    async def _count(self, after: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Note what is not noted yet, at least the first message of each partition."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while True:
            uncounted = {
                partition: at for partition in after if (at := self._tallies[partition].next_offset) < ends[partition]
            }
            if not uncounted:
                return
            if loop.time() - began_at > COUNT_S_MAX and all(at > after[each] for each, at in uncounted.items()):
                return
            if loop.time() - began_at > FETCH_S_MAX:
                raise LogUnavailableError(f"Kafka gave no message within {FETCH_S_MAX} s although there is one")
            if self._counting is None:
                self._counting = Fetching(self._address, FETCH_BYTES_MAX)
            for message in await self._take(uncounted, _COUNTED_AT_ONCE, _RETRY_S, self._counting):
                self._tallies[message.partition].note((message,))

    async def _take(
        self, after: Mapping[int, int], events_max: int, wait_s: float, fetching: Fetching | None = None
    ) -> list[Message]:
        try:
            return await (fetching or self._fetching).take(after, events_max, max(wait_s, 0))
        except OffsetGoneError:
            first = await self._admin.offsets(self._topic, OffsetSpec.earliest())
            for partition, offset in after.items():
                if offset < first[partition]:
                    raise LogCorruptError(
                        f"offset {offset} of partition {partition} of the topic {self._topic.name!r} is trimmed: "
                        f"it begins at {first[partition]}"
                    ) from None
            self._check_within(after, await self.ends())
            return []  # A leader that had just taken over did not know it yet.

    async def _is_more(self, after: Mapping[int, int]) -> bool:
        ends = await self.ends()
        self._check_within(after, ends)
        return any(ends[partition] > offset for partition, offset in after.items())

    def _check_within(self, after: Mapping[int, int], ends: Mapping[int, int]) -> None:
        for partition, offset in after.items():
            if offset > ends[partition]:
                raise LogMismatchError(
                    f"offset {offset} lies beyond the end {ends[partition]} of partition {partition} of the topic "
                    f"{self._topic.name!r}: it is not the log that the offset came from"
                )

    async def _read_one(self, partition: int, offset: int) -> Message | None:
        async with self._count_lock:
            if self._counting is None:
                self._counting = Fetching(self._address, FETCH_BYTES_MAX)
            give_up_at = asyncio.get_running_loop().time() + FETCH_S_MAX
            while asyncio.get_running_loop().time() < give_up_at:
                for message in await self._take({partition: offset}, 1, _RETRY_S, self._counting):
                    return message
        return None

    def _tally(self, partition: int, offset: int) -> Tally:
        return self._tallies.setdefault(partition, Tally(offset))


async def _first_of(admin: TopicAdmin) -> Topic:
    """Give the first generation's topic; readers may have it while the last one is sealed."""
    found = await admin.existing()
    return found[0] if len(found) > 1 else (await admin.generations())[0]


async def first_offsets_of(address: KafkaAddress) -> Mapping[int, int]:
    """Give the first offset that each partition of a log still has, numbered through over its generations.

    Raises:
        LogUnavailableError: no broker answers; call again.
        LogMismatchError: the topic is not as it must be.
    """
    admin = TopicAdmin(address)
    found: dict[int, int] = {}
    for topic in await admin.generations():
        offsets = await admin.offsets(topic, OffsetSpec.earliest())
        found |= {len(found) + partition: offsets[partition] for partition in range(topic.partitions)}
    return found
