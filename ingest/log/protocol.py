"""What the rest of the product asks of a log, whichever it is.

Writing and reading are two protocols because they run in different processes. A log has one or more partitions;
the registry gives each (log id, partition) a lane. All versions of one event key go to the same partition.

Promised: an `append` that returned is durable; messages of one partition are read in the order of their offsets;
an offset is never used twice. Not promised: that a message is read only once, or that a failed `append` left
nothing behind (its outcome is unknown: it may be read later).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.wire import Section


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an append came to rest: for each partition it touched, the offset of its message and its first index."""

    offsets: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as read: `payload` is what `ingest.wire.decode` reads.

    `events_before` is the number of events in the partition before this message, `appended_at_us` when the log
    took it, microseconds since 1970, never decreasing within a partition.
    """

    partition: int
    offset: int
    events_before: int
    appended_at_us: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """How far a partition is durable: the next offset, and how many events lie before it."""

    next_offset: int
    events: int


class LogWriter(Protocol):
    """The side that gateways hold."""

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once it is durable.

        A section's events take consecutive indexes of one message (per partition), in order.

        Raises:
            LogUnavailableError: not known to be durable; the client may send the same bytes again.
            LogOverloadedError: refused before anything was written: too many bytes wait already.
        """
        ...

    async def close(self) -> None:
        """Wait for what is under way, then let go."""
        ...


class LogReader(Protocol):
    """The side that the consumer holds. It never sees a message before that message is durable."""

    @property
    def log_id(self) -> str:
        """What tells this log from any other; it never changes over a log's life."""
        ...

    def ends(self) -> Mapping[int, End]:
        """Give how far each partition is durable now."""
        ...

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages, each partition's from the offset `after[partition]` on (inclusive), in order.

        Waits up to `wait_s_max` for the first; returns an empty sequence when none came. Returns at least one
        message where there is one, and stops before the events given exceed `events_max`. Keeps no state: asked the
        same again, it gives the same again.

        Raises:
            LogCorruptError: a durable message cannot be read: the product stops rather than count around it.
        """
        ...

    def events_before(self, partition: int, offset: int) -> int:
        """Give how many events lie in a partition before an offset, which may be the end.

        Raises:
            LogMismatchError: the offset lies beyond the end.
            LogCorruptError: its message is gone or damaged.
        """
        ...

    def appended_at_us(self, partition: int, offset: int) -> int | None:
        """Give when the log took the message at an offset, microseconds since 1970; None at the end.

        Raises:
            LogMismatchError, LogCorruptError: as `events_before`.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
