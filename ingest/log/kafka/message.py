"""How a message of ours lies in Kafka: the payload as its value, and beside it how many events it holds.

The count saves whoever measures the backlog from reading payloads. A message without it was put there by somebody else;
it counts as one event, which the consumer will find to be a dead letter.
"""

from typing import cast

from confluent_kafka import Message as KafkaMessage

from ingest.log.protocol import Message

_EVENTS = "events"


def headers(events: int) -> list[tuple[str, str | bytes | None]]:
    """Give the headers of a message."""
    return [(_EVENTS, b"%d" % events)]


def read_message(found: KafkaMessage) -> Message:
    """Give a message as it was read."""
    partition, offset = found.partition(), found.offset()
    assert partition is not None
    assert offset is not None
    _, appended_at_ms = found.timestamp()
    return Message(partition, offset, _events_of(found), appended_at_ms * 1000, found.value() or b"")


def _events_of(found: KafkaMessage) -> int:
    for name, value in cast("list[tuple[str, bytes | None]]", found.headers() or []):
        if name == _EVENTS and value is not None and value.isdigit():
            return int(value)
    return 1
