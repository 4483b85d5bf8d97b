"""What the consumer asks of others."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from metering.position import Position
from metering.world import World

Clock = Callable[[], datetime]
"""Give the present moment, aware, in UTC."""

AppliedHint = Callable[[Mapping[int, int]], Awaitable[None]]
"""Learn, for each partition, the offset below which the log is not needed any more. Only a hint: it may be lost."""


T = TypeVar("T")


class ApplyTracing(Protocol):
    """Who tells the traces of requests what became of their events. It changes nothing but what is told."""

    async def applied(self, traces: Sequence[bytes], work: Callable[[], Awaitable[T]]) -> T:
        """Apply a batch that holds events of these traces, as `ingest.wire` carries them; there is at least one."""
        ...

    async def step(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Take one step of the batch that is being applied."""
        ...


class Lanes(Protocol):
    """Who numbers the lanes; asked once at start."""

    async def lane_of(self, log_id: str, partition: int, older: Sequence[str] = ()) -> int:
        """Give the lane of a partition, opening it above all others at the first call.

        `older` are the logs that this one follows: they are drained before anything of it is applied.

        Raises:
            LogMismatchError: lanes belong to a log that is neither this one nor an older one.
        """
        ...


class CustomerRegistrar(Protocol):
    """Who knows customers."""

    async def ensure(self, world: World, identifiers: set[str]) -> None:
        """See to it that each identifier names a customer; may be called twice for the same.

        Raises:
            UnavailableError: some customers may have been made; call again.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bytes of the log that no event could be made of, and why; `position` is the first they would have had."""

    position: Position
    world: World | None
    reason: str
    payload: bytes


class DeadLetters(Protocol):
    """Where what cannot be counted is kept for a person to look at."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters, durable on return; the same may come twice.

        Raises:
            StoreUnavailableError: any of them may have been kept.
        """
        ...
