"""Where a log over Kafka is: `kafka://host:port[,host:port]/topic?partitions=4`."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from ingest.log.kafka.security import NO_SECURITY, KafkaSecurity

LOG_ID_PREFIX = "kafka-"
"""What the id of every log in Kafka begins with, and that of no other."""
PARTITIONS_DEFAULT = 4
PARTITIONS_MAX = 1024

_SERVER = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")
_EXAMPLE = "kafka://host:9092,host:9092/topic?partitions=4"


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic and how to reach it. `servers` is what clients are told to begin with."""

    servers: str
    topic: str
    partitions: int
    security: KafkaSecurity = NO_SECURITY

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL.

        Raises:
            ValueError: it is none; the message says what is wrong with it.
        """
        parts = urlsplit(url)
        topic = parts.path.removeprefix("/")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        partitions = options.pop("partitions", str(PARTITIONS_DEFAULT))
        if parts.scheme != "kafka" or not all(map(_SERVER.fullmatch, parts.netloc.split(","))):
            raise ValueError(f"{url!r} names no brokers: write {_EXAMPLE}")
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise ValueError(f"{topic!r} is no name of a topic: write {_EXAMPLE}")
        if options:
            raise ValueError(f"{', '.join(options)!r} is not known: write {_EXAMPLE}")
        if not (partitions.isascii() and partitions.isdigit() and 1 <= int(partitions) <= PARTITIONS_MAX):
            raise ValueError(f"partitions={partitions!r} must be a whole number from 1 to {PARTITIONS_MAX}")
        return cls(parts.netloc, topic, int(partitions))
