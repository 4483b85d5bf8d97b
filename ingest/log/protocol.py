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
    """Where an append came to rest: for each partition it touched, its first message's offset and first index."""

    offsets: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as read: `payload` is what `ingest.wire.decode` reads.

    `events` is how many events it holds, `appended_at_us` when the log took it, microseconds since 1970.
    """

    partition: int
    offset: int
    events: int
    appended_at_us: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies in a log from some offsets on: how many events, and when the log took the first of them.

    `oldest_at_us` is microseconds since 1970; None where there is nothing.
    """

    events: int
    oldest_at_us: int | None


class LogWriter(Protocol):
    """The side that gateways hold."""

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once all of it is durable.

        The events that go to one partition keep their order. They take consecutive indexes of one message; of
        several messages only where the log's messages are smaller than the section.

        Raises:
            LogUnavailableError: not known to be durable, in part or whole; the client may send the same bytes again.
            LogOverloadedError: refused before anything was written: too many bytes wait already.
            ValueError: no message can hold it; nothing was written.
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

    async def ends(self) -> Mapping[int, int]:
        """Give the next offset of every partition, as far as it is durable.

        What an append has returned for before the call lies before it.

        Raises:
            LogUnavailableError: the log does not answer; call again.
        """
        ...

    async def poll(self, after: Mapping[int, int], *, events_max: int, wait_s_max: float) -> Sequence[Message]:
        """Give the next messages, each partition's from the offset `after[partition]` on (inclusive), in order.

        Waits up to `wait_s_max` for the first; returns an empty sequence when none came. Returns at least one
        message where there is one, and stops before the events given exceed `events_max`. Keeps no state: asked the
        same again, it gives the same again.

        Raises:
            LogCorruptError: a durable message cannot be read: the product stops rather than count around it.
            LogMismatchError: an offset lies beyond the end.
            LogUnavailableError: the log does not answer; call again.
        """
        ...

    async def backlog(self, after: Mapping[int, int]) -> Backlog:
        """Tell what lies in these partitions from the offset `after[partition]` on (inclusive) to the durable end.

        The events are exact as long as the log can count them in time; else they are told in proportion, and never
        as 0 while there is a message.

        Raises:
            LogCorruptError, LogMismatchError, LogUnavailableError: as `poll`.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
