"""What every connection to Kafka is told, and how its errors become ours.

librdkafka does the talking, in threads of its own. Its log is kept quiet: what matters comes back as an error to
whoever asked, and while brokers are away it would write a line a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from ingest.errors import LogUnavailableError
from ingest.log.kafka.address import KafkaAddress

REQUEST_S_MAX = 10.0
"""A broker that has not answered by then is given up: a stalled one must not hold the others' partitions."""

Settings = dict[str, str | int | float | bool]

_LOG_LEVEL_CRITICAL = 2


def settings(address: KafkaAddress) -> Settings:
    """Give the settings that all clients share."""
    return {
        "bootstrap.servers": address.servers,
        "client.id": "meterline",
        "log_level": _LOG_LEVEL_CRITICAL,
        "socket.timeout.ms": int(REQUEST_S_MAX * 1000),
        "socket.connection.setup.timeout.ms": 5_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 60_000,
    }


@contextmanager
def kafka_errors(doing: str) -> Iterator[None]:
    """Turn what the client raises into what our callers know.

    Raises:
        LogUnavailableError: the brokers did not do it.
    """
    try:
        yield
    except KafkaException as error:
        reason = error.args[0] if error.args else error
        text = reason.str() if isinstance(reason, KafkaError) else str(reason)
        raise LogUnavailableError(f"Kafka could not {doing}: {text}") from error


def code_of(error: KafkaException) -> int | None:
    """Give the code of a client's error."""
    reason = error.args[0] if error.args else None
    return reason.code() if isinstance(reason, KafkaError) else None
