"""The topic that is the log: made when it is not there, known by its id, refused when it is not what it must be.

What is promised rests on settings of the topic: an acknowledged message is on two of three brokers, no broker that
lacks it can come to lead, and nothing is dropped by age or size. They are set when the topic is made and looked at on
every start, and now and then by those who append. The number of partitions of a topic can never change: keys would move
to other partitions, away from their history; so more partitions are another topic, the log's next generation.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from ingest.errors import LogMismatchError, LogUnavailableError
from ingest.log.kafka.address import LOG_ID_PREFIX, KafkaAddress
from ingest.log.kafka.client import REQUEST_S_MAX, Denials, code_of, kafka_errors, settings

REPLICAS_WANTED = 3
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""A payload is half a megabyte unless it cannot be cut, like a deletion with thousands of ids."""
_OVERHEAD_BYTES_MAX = 64 * 1024

SEALED_BYTES = 80
"""`max.message.bytes` of a sealed topic: an end mark has 68 bytes, a message with any section over 100."""

SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MESSAGE_BYTES_MAX + _OVERHEAD_BYTES_MAX),
    "retention.bytes": "-1",
    "retention.ms": "-1",
    "unclean.leader.election.enable": "false",
}

OFFSETS_S_MAX = 5.0
"""Somebody waits for the answer: how far the figures are behind, or whether there is more to read."""
_SETTLE_S_MAX = 30.0
_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it was found."""

    log_id: str
    name: str
    partitions: int


class TopicAdmin:
    """The administrative side of one address. Give it up with the last reference; nothing has to be closed."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._denials = Denials()
        config: dict[str, Any] = {**settings(address), "error_cb": self._denials}
        self._client = AdminClient(config)
        self._cluster_id: str | None = None

    async def open(self) -> Topic:
        """Find the topic that is appended to, making the first generation if there is none.

        Raises:
            LogUnavailableError: no broker answers, too few for the replicas, or partitions are just being added; call
                again.
            LogMismatchError: it is there, and not as it must be.
        """
        return (await self.generations())[-1]

    async def generations(self, *, make: bool = True) -> list[Topic]:
        """Give the log's topics, oldest first; appends go to the last, whose settings are looked at.

        Raises:
            LogUnavailableError: as `open`.
            LogMismatchError: they are not as they must be, or there is none and none may be made.
        """
        found = await self.existing()
        if not found:
            if not make:
                raise LogMismatchError(f"the topic {self._address.topic!r} is gone: restore it, with all that it held")
            await self._make(self._address.topic, self._address.partitions)
            found = [await self._until_there(self._address.topic)]
        numbers = [topic.partitions for topic in found]
        if self._address.partitions not in numbers:
            raise LogMismatchError(
                f"the topic {found[-1].name!r} has {numbers[-1]} partitions and METERLINE_LOG_URL says "
                f"{self._address.partitions}: to change the number, run `meterline log generations add --partitions "
                f"{self._address.partitions}` with the URL that it began with"
            )
        await self._check_settings(found[-1])
        return found

    async def existing(self) -> list[Topic]:
        """Give the log's topics as they are, oldest first.

        Raises:
            LogUnavailableError: no broker answers; call again.
        """
        found: list[Topic] = []
        while (topic := await self.find(generation_name(self._address.topic, len(found) + 1))) is not None:
            found.append(topic)
        return found

    async def add(self, partitions: int) -> Topic:
        """Make the generation behind the last, once that is sealed.

        Raises:
            LogUnavailableError: it is not there yet; call again.
        """
        name = generation_name(self._address.topic, len(await self.existing()) + 1)
        await self._make(name, partitions)
        return await self._until_there(name)

    async def seal(self, topic: Topic) -> None:
        """Have the brokers refuse every message to a topic but end marks, from some moment on.

        Raises:
            LogUnavailableError: not done; call again.
        """
        entry = ConfigEntry("max.message.bytes", str(SEALED_BYTES), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
        with self._errors("seal the topic"):
            asked = self._client.incremental_alter_configs([resource], request_timeout=REQUEST_S_MAX)
            await asyncio.gather(*map(asyncio.wrap_future, asked.values()))

    async def is_sealed(self, topic: Topic) -> bool:
        """Tell whether a topic was told to refuse messages.

        Raises:
            LogUnavailableError: no broker answers; call again.
        """
        with self._errors("describe the topic"):
            return (await self._config(topic.name))["max.message.bytes"] == str(SEALED_BYTES)

    async def offsets(self, topic: Topic, spec: OffsetSpec) -> dict[int, int]:
        """Ask the leaders for an offset of each partition: the earliest, or the next one to be durable.

        Raises:
            LogUnavailableError: a leader did not answer within `OFFSETS_S_MAX`; call again.
        """
        give_up_at = asyncio.get_running_loop().time() + OFFSETS_S_MAX
        with self._errors("tell the ends of the log"):
            while True:
                try:
                    return await self._offsets(topic, spec)
                except KafkaException:
                    if asyncio.get_running_loop().time() >= give_up_at:
                        raise
                # Leaders change, and the client asks the old one until it is made to look who leads now.
                await asyncio.to_thread(self._client.list_topics, topic.name, OFFSETS_S_MAX)
                await asyncio.sleep(_RETRY_S)

    async def trim(self, topic: Topic, before: Mapping[int, int]) -> dict[int, int]:
        """Drop messages below an offset of each partition, and give the first that are left.

        The caller promises that every reader is done with them.

        Raises:
            LogUnavailableError: not done everywhere; call again.
        """
        bounds = [TopicPartition(topic.name, partition, offset) for partition, offset in before.items()]
        with self._errors("trim the log"):
            futures = self._client.delete_records(bounds, request_timeout=REQUEST_S_MAX)
            await asyncio.gather(*map(asyncio.wrap_future, futures.values()))
        return await self.offsets(topic, OffsetSpec.earliest())

    async def _offsets(self, topic: Topic, spec: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(topic.name, partition): spec for partition in range(topic.partitions)}
        futures = self._client.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=OFFSETS_S_MAX
        )
        answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()))
        offsets = {each.partition: answer.offset for each, answer in zip(futures, answers, strict=True)}
        # A leader that is stalled or restarting may answer without an offset and without an error: the client then
        # gives a negative one. Taken for an end, it would say that the log is another one, and stop the consumer.
        if min(offsets.values()) < 0:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "a partition has no offset to tell now"))
        return offsets

    async def find(self, name: str, wait_s_max: float = REQUEST_S_MAX) -> Topic | None:
        """Give a topic as it is, None where there is none.

        Raises:
            LogUnavailableError: no broker answers; call again.
        """
        with self._errors("describe the topic"):
            if self._cluster_id is None:
                cluster = await asyncio.wrap_future(self._client.describe_cluster(request_timeout=wait_s_max))
                self._cluster_id = cluster.cluster_id
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=wait_s_max)[name]
            try:
                found = await asyncio.wrap_future(described)
            except KafkaException as error:
                if code_of(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        return Topic(f"{LOG_ID_PREFIX}{self._cluster_id}-{found.topic_id}", name, len(found.partitions))

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with kafka_errors(doing, self._denials):
            try:
                yield
            except KafkaException:
                self._client.poll(0)  # It tells `_denials` what it has to say.
                raise

    async def _until_there(self, name: str) -> Topic:
        deadline = asyncio.get_running_loop().time() + _SETTLE_S_MAX
        while (found := await self.find(name)) is None:  # It takes a moment until every broker knows of it.
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailableError(f"the topic {name!r} was made and is not there yet")
            await asyncio.sleep(_RETRY_S)
        return found

    async def _make(self, name: str, partitions: int) -> None:
        with self._errors("make the topic"):
            cluster = await asyncio.wrap_future(self._client.describe_cluster(request_timeout=REQUEST_S_MAX))
            replicas = REPLICAS_WANTED if len(cluster.nodes) >= REPLICAS_WANTED else 1
            config = {**SETTINGS, "min.insync.replicas": str(_in_sync(replicas))}
            new = NewTopic(name, partitions, replicas, config=config)
            made = self._client.create_topics([new], request_timeout=REQUEST_S_MAX)[name]
            try:
                await asyncio.wrap_future(made)
            except KafkaException as error:
                if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:  # Another process was quicker.
                    raise

    async def _check_settings(self, topic: Topic) -> None:
        name = topic.name
        with self._errors("describe the topic"):
            config = await self._config(name)
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=REQUEST_S_MAX)[name]
            replicas = min(len(each.replicas) for each in (await asyncio.wrap_future(described)).partitions)
        if config["max.message.bytes"] == str(SEALED_BYTES):
            raise LogUnavailableError(
                f"the topic {name!r} is sealed and the next one is not there yet: if no `meterline log generations "
                "add` is at work, run it again"
            )
        wrong = [f"{key}={config.get(key)} (wanted {value})" for key, value in SETTINGS.items() if config[key] != value]
        if int(config["min.insync.replicas"]) < _in_sync(replicas):
            wrong.append(f"min.insync.replicas={config['min.insync.replicas']} (wanted {_in_sync(replicas)})")
        if wrong:
            raise LogMismatchError(f"what the topic {name!r} is set to would lose or cut events: {', '.join(wrong)}")

    async def _config(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, name)
        asked = self._client.describe_configs([resource], request_timeout=REQUEST_S_MAX)
        return {key: entry.value for key, entry in (await asyncio.wrap_future(asked[resource])).items()}


def group_name(topic: str) -> str:
    """Name the group of those who share the partitions of a log."""
    return f"meterline-{topic}"


def generation_name(topic: str, number: int) -> str:
    """Name the topic of a generation, from 1 on."""
    return topic if number == 1 else f"{topic}-g{number}"


def _in_sync(replicas: int) -> int:
    """Give how many replicas must have a message before it is acknowledged."""
    return 2 if replicas >= REPLICAS_WANTED else 1
