"""Fetch messages from given offsets on, in a thread of its own, because the client library waits with its caller.

What was fetched and not yet given stays here, so that reading on costs no seek. All state belongs to the one thread:
whoever stops waiting for an answer leaves nothing half done, and the next question says again where to read from.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from ingest.errors import LogCorruptError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import kafka_errors, settings
from ingest.log.kafka.message import read_message
from ingest.log.protocol import Message

WAIT_S_MAX = 0.2
"""One call into the library waits no longer, so that closing does not either."""
FETCH_BYTES_MAX = 64 * 1024 * 1024

_TAKEN_AT_ONCE = 64
_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - the library's own errors have such names.
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._PARTITION_EOF,  # noqa: SLF001
    }
)


class OffsetGoneError(Exception):
    """A broker says that it does not have the offset that was asked for."""


class Fetching:
    """One consumer without a group."""

    def __init__(self, address: KafkaAddress, bytes_max: int) -> None:
        self._address = address
        self._bytes_max = bytes_max
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-fetch")
        self._consumer = Consumer(
            {
                **settings(address),
                "group.id": "meterline-reads-without-a-group",  # Asked for by the library, and not used.
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "check.crcs": True,
                "fetch.wait.max.ms": 250,
                "fetch.error.backoff.ms": 50,
                "queued.max.messages.kbytes": FETCH_BYTES_MAX // 1024,
            }
        )
        self._next: dict[int, int] = {}
        """The offset behind the last message that came, for each partition that is fetched."""
        self._held: dict[int, deque[Message]] = {}

    async def take(self, after: Mapping[int, int], events_max: int, wait_s: float) -> list[Message]:
        """Give the next messages of each partition from its offset on, none if none came within `WAIT_S_MAX`.

        Raises:
            OffsetGoneError: an offset lies outside of the log.
            LogCorruptError: an offset is missing within it.
            LogUnavailableError: the brokers refuse.
        """
        wait_s = min(wait_s, WAIT_S_MAX)
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._take, dict(after), events_max, wait_s
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.close)
        self._thread.shutdown(wait=False)

    def _take(self, after: dict[int, int], events_max: int, wait_s: float) -> list[Message]:
        with kafka_errors("be read"):
            self._go_to(after)
            if not any(self._held.values()):
                self._fetch(1, wait_s)
            given: list[Message] = []
            events = size = 0
            while True:
                if not any(self._held.values()) and not self._fetch(_TAKEN_AT_ONCE, 0):
                    return given
                partition = min(
                    (partition for partition, held in self._held.items() if held),
                    key=lambda each: self._held[each][0].appended_at_us,
                )
                message = self._held[partition][0]
                events += message.events
                size += len(message.payload)
                if given and (events > events_max or size > self._bytes_max):
                    return given
                given.append(self._held[partition].popleft())

    def _go_to(self, after: dict[int, int]) -> None:
        """See to it that what comes next is what is asked for."""
        stands_elsewhere = after.keys() != self._next.keys()
        for partition, offset in after.items():
            held = self._held.setdefault(partition, deque())
            while held and held[0].offset < offset:
                held.popleft()
            at = held[0].offset if held else self._next.get(partition)
            if at != offset:
                held.clear()
                self._next[partition] = offset
                stands_elsewhere = True
        if stands_elsewhere:
            for partition in self._next.keys() - after.keys():
                del self._next[partition]
                self._held.pop(partition, None)
            topic = self._address.topic
            self._consumer.assign([TopicPartition(topic, each, offset) for each, offset in self._next.items()])

    def _fetch(self, count: int, wait_s: float) -> bool:
        """Hold what has come; tell whether anything has."""
        came = False
        for found in self._consumer.consume(count, wait_s):
            error = found.error()
            if error is None:
                came = self._hold(found) or came
            elif error.code() not in _PASSING:
                self._forget()
                if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
                    raise OffsetGoneError(error.str())
                raise KafkaException(error)
        return came

    def _hold(self, found: KafkaMessage) -> bool:
        message = read_message(found)
        wanted = self._next.get(message.partition)
        if wanted is None or message.offset < wanted:
            return False  # Fetched before the last change of place.
        if message.offset > wanted:
            self._forget()
            raise LogCorruptError(
                f"offsets {wanted} to {message.offset - 1} of partition {message.partition} of the topic "
                f"{self._address.topic!r} are missing: restore the topic"
            )
        self._held[message.partition].append(message)
        self._next[message.partition] = message.offset + 1
        return True

    def _forget(self) -> None:
        """Begin anew with the next question."""
        self._next.clear()
        self._held.clear()
