"""Give a log more partitions: seal its last topic, and make the next generation's. See README.md for why this is safe.

May be stopped at any point and run again: nothing is appended between the seal and the next topic, and nothing is lost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ingest.errors import LogMismatchError, LogUnavailableError
from ingest.log.kafka.address import PARTITIONS_MAX, KafkaAddress
from ingest.log.kafka.client import REQUEST_S_MAX, kafka_errors, settings
from ingest.log.kafka.topic import Topic, TopicAdmin
from ingest.wire import Kind, Section, encode
from metering.world import Mode, World

END_MARK = b""
"""The payload of a sealed partition's last messages: no sections."""

SEAL_S_MAX = 60.0
_RETRY_S = 0.1
_PROBE = encode((Section(World("", Mode.TEST), Kind.EVENTS, 0, 0, b"[" + b" " * 500 + b"]"),))
"""Larger than an end mark, and no event, should it be taken."""


async def add_generation(address: KafkaAddress, partitions: int, say: Callable[[str], None]) -> Topic:
    """See to it that the log is appended to with so many partitions.

    Raises:
        LogUnavailableError: it was not done to the end; call again, until it is.
        LogMismatchError: there is no log to begin with.
        ValueError: no log has so many partitions.
    """
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"--partitions={partitions} must be from 1 to {PARTITIONS_MAX}")
    admin = TopicAdmin(address)
    found = await admin.existing()
    if not found:
        raise LogMismatchError(f"there is no topic {address.topic!r}: it is made by the first start, as its URL says")
    last = found[-1]
    if last.partitions == partitions and not await admin.is_sealed(last):
        say(f"the topic {last.name!r} has {partitions} partitions already")
        return last
    say(f"sealing the topic {last.name!r} ({last.partitions} partitions): clients are told to send again meanwhile")
    await admin.seal(last)
    await asyncio.to_thread(_prove_sealed, replace(address, topic=last.name), last.partitions)
    made = await admin.add(partitions)  # Last: that it is there proves to everybody that the one before is sealed.
    say(f"the topic {made.name!r} takes what comes, with {made.partitions} partitions")
    return made


def _prove_sealed(address: KafkaAddress, partitions: int) -> None:
    """Return once the leader of each partition has refused a message, and then taken an end mark.

    The refusal proves that this leader, and any that follows it, takes no section any more. The mark, acknowledged by
    the replicas, proves that all that was taken before it is as durable, and readers know it for the last.
    """
    producer = Producer(
        {
            **settings(address),
            "acks": "all",
            "message.timeout.ms": int(REQUEST_S_MAX * 1000),
            "request.timeout.ms": int(REQUEST_S_MAX * 1000),
        }
    )
    tries = int(SEAL_S_MAX / _RETRY_S)
    for partition in range(partitions):
        for _ in range(tries):
            told = _produce(producer, address.topic, partition, _PROBE)
            if told is not None and told.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                break
            producer.poll(_RETRY_S)
        else:
            raise LogUnavailableError(
                f"partition {partition} of the topic {address.topic!r} is not sealed: run it again"
            )
        told = _produce(producer, address.topic, partition, END_MARK)
        if told is not None:
            raise LogUnavailableError(
                f"partition {partition} of the topic {address.topic!r} took no end mark ({told.str()}): run it again"
            )


def _produce(producer: Producer, topic: str, partition: int, payload: bytes) -> KafkaError | None:
    """Send one message and give what became of it, None when it was taken."""
    outcome: list[KafkaError | None] = []

    def learn(error: KafkaError | None, _: Message) -> None:
        outcome.append(error)

    with kafka_errors("seal the topic"):
        try:
            producer.produce(topic, payload, partition=partition, on_delivery=learn)
        except (BufferError, KafkaException) as error:
            raise LogUnavailableError(f"the topic {topic!r} is not sealed ({error}): run it again") from error
        producer.flush()
    return outcome[0]
