"""Share the partitions of the log among consumer processes: Kafka's group protocol says who owns which.

Only membership is taken from the group. Where to read on stands in the store, so the offsets that are committed here
are a hint for people who watch the group. A member that is slow to let go harms nothing: two consumers of one partition
write the same rows.

The group is of all generations of the log, new ones included, each dealt out by itself; partitions are numbered through
as `ingest.log.chain` numbers them. When each may be read, the consumer knows.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Self

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.errors import LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import settings
from ingest.log.kafka.topic import OFFSETS_S_MAX, Topic, TopicAdmin, generation_name

SESSION_S_MAX = 10.0
LET_GO_S_MAX = 10.0
"""A member that has to let partitions go gets so long to finish its write."""

LOOK_S = 2.0
"""So often a member looks for a new generation."""

_POLL_S = 0.2

_log = structlog.get_logger(__name__)


class KafkaGroup:
    """One process's membership: `ingest.consumer.sharing.Membership`."""

    def __init__(self, address: KafkaAddress, group_id: str, admin: TopicAdmin, topics: Sequence[Topic]) -> None:
        self._address = address
        self._admin = admin
        self._topics = tuple(topics)
        self._subscribed = 0
        self._loop = asyncio.get_running_loop()
        self._owned: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._hint: dict[int, int] = {}
        self._let_go = threading.Event()
        self._stopped = threading.Event()
        self._consumer = Consumer(
            {
                **settings(address),
                "group.id": group_id,
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "session.timeout.ms": int(SESSION_S_MAX * 1000),
            }
        )
        self._following: asyncio.Task[None] | None = None
        self._polling = threading.Thread(target=self._poll_until_stopped, name="kafka-group", daemon=True)

    @classmethod
    async def join(cls, address: KafkaAddress, group_id: str) -> Self:
        """Become a member; partitions come later, and go.

        Raises:
            LogUnavailableError: no broker answers, or there is no topic yet; join again.
        """
        admin = TopicAdmin(address)
        topics = await admin.existing()
        if not topics:
            raise LogUnavailableError(f"there is no topic {address.topic!r} yet")
        group = cls(address, group_id, admin, topics)
        group._polling.start()
        group._following = asyncio.create_task(group._follow())
        return group

    @property
    def owned(self) -> frozenset[int]:
        """The partitions that are this member's now."""
        return self._owned

    async def changed(self) -> None:
        """Return once others are owned than at the last return."""
        await self._changed.wait()
        self._changed.clear()

    def let_go(self) -> None:
        """Say that nothing is written any more to partitions that are not owned."""
        self._let_go.set()

    async def applied(self, next_offsets: Mapping[int, int]) -> None:
        """Commit offsets, as a hint: `ingest.consumer.seams.AppliedHint`. It may be lost."""
        self._hint = dict(next_offsets)

    async def close(self) -> None:
        """Leave the group, so that others take over at once."""
        if self._following is not None:
            self._following.cancel()
        self._let_go.set()
        self._stopped.set()
        await asyncio.to_thread(self._polling.join)

    async def _follow(self) -> None:
        """Learn of new generations, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(LogUnavailableError):
                name = generation_name(self._address.topic, len(self._topics) + 1)
                if (found := await self._admin.find(name, OFFSETS_S_MAX)) is not None:
                    self._topics = (*self._topics, found)

    def _poll_until_stopped(self) -> None:
        # The client lets one thread in at a time, and a poll would keep others out: so all calls are made here.
        while not self._stopped.is_set():
            topics = self._topics
            if len(topics) > self._subscribed:
                names = [topic.name for topic in topics]
                self._consumer.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke)
                self._subscribed = len(topics)
            self._consumer.poll(_POLL_S)  # Nothing is fetched: it keeps the membership and calls back.
            self._commit()
        self._consumer.close()

    def _commit(self) -> None:
        hint, self._hint = self._hint, {}
        firsts = self._firsts()
        offsets = [
            TopicPartition(topic.name, each, offset)
            for topic in self._topics
            for each in range(topic.partitions)
            if (number := firsts[topic.name] + each) in self._owned and (offset := hint.get(number)) is not None
        ]
        try:
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.warning("offsets not committed", reason=str(error))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take partitions over; they are fetched elsewhere, by offset."""
        consumer.assign(partitions)
        consumer.pause(partitions)
        firsts = self._firsts()
        self._tell(frozenset(firsts[each.topic] + each.partition for each in partitions))

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._let_go.clear()
        if self._owned and not self._stopped.is_set():
            self._tell(frozenset())
            self._let_go.wait(LET_GO_S_MAX)
        consumer.unassign()

    def _firsts(self) -> dict[str, int]:
        """Give the number of each topic's first partition."""
        topics = self._topics
        starts = accumulate((topic.partitions for topic in topics), initial=0)
        return {topic.name: start for topic, start in zip(topics, starts, strict=False)}

    def _tell(self, owned: frozenset[int]) -> None:
        self._owned = owned
        self._loop.call_soon_threadsafe(self._changed.set)
