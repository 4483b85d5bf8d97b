"""The topic that is the log: made when it is not there, known by its id, refused when it is not what it must be.

What is promised rests on settings of the topic: an acknowledged message is on two of three brokers, no broker that
lacks it can come to lead, and nothing is dropped by age or size. They are set when the topic is made and looked at on
every start. The number of partitions can never change: keys would move to other partitions, away from their history.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from ingest.errors import LogMismatchError, LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.client import REQUEST_S_MAX, code_of, kafka_errors, settings

REPLICAS_WANTED = 3
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""A payload is half a megabyte unless it cannot be cut, like a deletion with thousands of ids."""
_OVERHEAD_BYTES_MAX = 64 * 1024

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
        self._client = AdminClient(settings(address))

    async def open(self) -> Topic:
        """Find the topic, making it first if it is not there.

        Raises:
            LogUnavailableError: no broker answers, or too few for the replicas; call again.
            LogMismatchError: it is there, and not as it must be.
        """
        found = await self._find()
        if found is None:
            await self._make()
            deadline = asyncio.get_running_loop().time() + _SETTLE_S_MAX
            while (found := await self._find()) is None:  # It takes a moment until every broker knows of it.
                if asyncio.get_running_loop().time() > deadline:
                    raise LogUnavailableError(f"the topic {self._address.topic!r} was made and is not there yet")
                await asyncio.sleep(_RETRY_S)
        if found.partitions != self._address.partitions:
            raise LogMismatchError(
                f"the topic {found.name!r} has {found.partitions} partitions and METERLINE_LOG_URL says "
                f"{self._address.partitions}: the number that a log began with stays; see ingest/log/kafka/README.md"
            )
        await self._check_settings()
        return found

    async def offsets(self, topic: Topic, spec: OffsetSpec) -> dict[int, int]:
        """Ask the leaders for an offset of each partition: the earliest, or the next one to be durable.

        Raises:
            LogUnavailableError: a leader did not answer within `OFFSETS_S_MAX`; call again.
        """
        give_up_at = asyncio.get_running_loop().time() + OFFSETS_S_MAX
        with kafka_errors("tell the ends of the log"):
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
        with kafka_errors("trim the log"):
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

    async def _find(self) -> Topic | None:
        name = self._address.topic
        with kafka_errors("describe the topic"):
            cluster = self._client.describe_cluster(request_timeout=REQUEST_S_MAX)
            cluster_id = (await asyncio.wrap_future(cluster)).cluster_id
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=REQUEST_S_MAX)[name]
            try:
                found = await asyncio.wrap_future(described)
            except KafkaException as error:
                if code_of(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        return Topic(f"kafka-{cluster_id}-{found.topic_id}", name, len(found.partitions))

    async def _make(self) -> None:
        with kafka_errors("make the topic"):
            cluster = await asyncio.wrap_future(self._client.describe_cluster(request_timeout=REQUEST_S_MAX))
            replicas = REPLICAS_WANTED if len(cluster.nodes) >= REPLICAS_WANTED else 1
            config = {**SETTINGS, "min.insync.replicas": str(_in_sync(replicas))}
            new = NewTopic(self._address.topic, self._address.partitions, replicas, config=config)
            made = self._client.create_topics([new], request_timeout=REQUEST_S_MAX)[self._address.topic]
            try:
                await asyncio.wrap_future(made)
            except KafkaException as error:
                if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:  # Another process was quicker.
                    raise

    async def _check_settings(self) -> None:
        name = self._address.topic
        with kafka_errors("describe the topic"):
            resource = ConfigResource(ResourceType.TOPIC, name)
            asked = self._client.describe_configs([resource], request_timeout=REQUEST_S_MAX)
            config = {key: entry.value for key, entry in (await asyncio.wrap_future(asked[resource])).items()}
            described = self._client.describe_topics(TopicCollection([name]), request_timeout=REQUEST_S_MAX)[name]
            replicas = min(len(each.replicas) for each in (await asyncio.wrap_future(described)).partitions)
        wrong = [f"{key}={config.get(key)} (wanted {value})" for key, value in SETTINGS.items() if config[key] != value]
        if int(config["min.insync.replicas"]) < _in_sync(replicas):
            wrong.append(f"min.insync.replicas={config['min.insync.replicas']} (wanted {_in_sync(replicas)})")
        if wrong:
            raise LogMismatchError(f"what the topic {name!r} is set to would lose or cut events: {', '.join(wrong)}")


def _in_sync(replicas: int) -> int:
    """Give how many replicas must have a message before it is acknowledged."""
    return 2 if replicas >= REPLICAS_WANTED else 1
