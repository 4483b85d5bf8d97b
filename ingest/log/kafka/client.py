"""What every connection to Kafka is told, and how its errors become ours.

librdkafka does the talking, in threads of its own. Its log is kept quiet: what matters comes back as an error to
whoever asked, and while brokers are away it would write a line a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from ingest.errors import LogDeniedError, LogUnavailableError
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.security import Settings

REQUEST_S_MAX = 10.0
"""A broker that has not answered by then is given up: a stalled one must not hold the others' partitions."""

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
        **address.security.settings(),
    }


class Denials:
    """What brokers and a client hold against each other, where a request's error only says that time is over."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self, error: KafkaError) -> None:
        """Learn of an error: the client's `error_cb`."""
        if (remedy := _REMEDIES.get(error.code())) is not None:
            self.reason = f"{error.str()}: {remedy}"


_REMEDIES = {
    KafkaError._AUTHENTICATION: "check METERLINE_LOG_SASL_USERNAME, _PASSWORD and _MECHANISM",  # noqa: SLF001 - so named.
    KafkaError._SSL: "check METERLINE_LOG_TLS_CA, and that brokers speak TLS there",  # noqa: SLF001
}


@contextmanager
def kafka_errors(doing: str, denials: Denials | None = None) -> Iterator[None]:
    """Turn what the client raises into what our callers know.

    Raises:
        LogUnavailableError: the brokers did not do it.
        LogDeniedError: and `denials` know why.
    """
    try:
        yield
    except KafkaException as error:
        reason = error.args[0] if error.args else error
        text = reason.str() if isinstance(reason, KafkaError) else str(reason)
        if denials is not None and denials.reason is not None:
            text, denials.reason = denials.reason, None
            raise LogDeniedError(f"Kafka could not {doing}: {text}") from error
        raise LogUnavailableError(f"Kafka could not {doing}: {text}") from error


def code_of(error: KafkaException) -> int | None:
    """Give the code of a client's error."""
    reason = error.args[0] if error.args else None
    return reason.code() if isinstance(reason, KafkaError) else None
