"""Send dead letters through the log again, for instance once a release reads what an older one could not.

A letter goes whole or not at all: when anything in it is still no good event, it stays where it is, with the reason.
Its events go in as if they were sent now, and keep their timestamps. Deletions are never replayed: one that was meant
for what stood then would also take what came since.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from ingest import wire
from ingest.consumer.seams import DeadLetter
from ingest.log.protocol import LogWriter
from ingest.requests import check_batch, check_event
from ingest.wire import Kind, Section
from metering.http.problem import ApiError
from metering.position import index_of
from metering.timestamps import microseconds
from metering.world import World

REPLAYED_AT_ONCE_MAX = 5
"""A letter may be a whole message, tens of megabytes."""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter in a list; `size` is of its payload, `kept_at` as the store writes instants."""

    position: int
    world: World | None
    reason: str
    size: int
    kept_at: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one letter: so many events were sent, or none, and why."""

    position: int
    events: int
    reason: str | None = None


class Letters(Protocol):
    """Where dead letters lie."""

    async def listed(self, first: int, take: int) -> Sequence[KeptLetter]:
        """Give letters from a position on, in order."""
        ...

    async def waiting(self, first: int, take: int) -> Sequence[DeadLetter]:
        """Give letters from a position on that were not replayed, in order, with their payloads."""
        ...

    async def mark_replayed(self, positions: Sequence[int]) -> None:
        """Remember that these were sent; durable on return, harmless to repeat."""
        ...


class StillFaultyError(ValueError):
    """The letter cannot be sent; the message says why."""


class Replayer:
    """Replays letters on demand."""

    def __init__(self, letters: Letters, log: LogWriter, clock: Callable[[], datetime]) -> None:
        """`clock` gives aware date-times."""
        self.letters = letters
        self._log = log
        self._clock = clock

    async def replay(self, first: int) -> Sequence[Outcome]:
        """Try the next letters from a position on; an empty answer means that there are no more.

        Raises:
            LogUnavailableError, LogOverloadedError: call again from the same position; what was sent twice counts once.
        """
        outcomes = []
        for letter in await self.letters.waiting(first, REPLAYED_AT_ONCE_MAX):
            try:
                sections = sections_of(letter, microseconds(self._clock()))
            except StillFaultyError as error:
                outcomes.append(Outcome(letter.position, 0, str(error)))
                continue
            for section in sections:
                await self._log.append(section)
            await self.letters.mark_replayed([letter.position])  # Last: a crash before costs a second replay.
            outcomes.append(Outcome(letter.position, sum(section.events for section in sections)))
        return outcomes


def sections_of(letter: DeadLetter, received_at_us: int) -> Sequence[Section]:
    """Give what of a letter has to go into the log, checked by the rules that gateways check by.

    Raises:
        StillFaultyError: anything of it is no good event, or it is a deletion.
    """
    if letter.world is not None:
        return [_section(letter.world, letter.payload, received_at_us)]
    sections = []
    passed = 0
    try:
        for section in wire.decode(letter.payload):
            # What stood before the fault was applied then; its position says how much that was.
            if passed >= index_of(letter.position):
                if section.kind is not Kind.EVENTS:
                    raise StillFaultyError(_NO_DELETION)
                sections.append(_section(section.world, section.body, section.received_at_us))
            passed += section.events
    except (wire.WireError, UnicodeDecodeError) as error:
        raise StillFaultyError(str(error)) from None
    return sections


_NO_DELETION = "a deletion is not replayed: send DELETE /v1/events again if it is still meant"


class _Event(msgspec.Struct):
    customer_id: msgspec.Raw
    timestamp: msgspec.Raw
    event_type: msgspec.Raw
    record: dict[str, msgspec.Raw]


class _OneEvent(msgspec.Struct, forbid_unknown_fields=True):
    """How the consumer keeps an event that is faulty by itself: its id apart from its record."""

    id: msgspec.Raw
    event: _Event


def _section(world: World, payload: bytes, received_at_us: int) -> Section:
    try:
        body, events = _events(payload)
    except ApiError as error:
        raise StillFaultyError(error.message) from None
    return Section(world, Kind.EVENTS, received_at_us, events, body)


def _events(payload: bytes) -> tuple[bytes, int]:
    if payload[:1] != b"{":
        checked = check_batch(payload)
        if checked.failures or checked.body is None:
            first = checked.failures[0]
            raise StillFaultyError(f"the event at index {first.index}: {first.fault.message}")
        return checked.body, checked.events
    try:
        one = msgspec.json.decode(payload, type=_OneEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise StillFaultyError(_NO_DELETION) from None
    event = one.event
    fields = {"customer_id": event.customer_id, "timestamp": event.timestamp, "event_type": event.event_type}
    return check_event(msgspec.json.encode({**fields, "record": {"id": one.id, **event.record}})), 1
