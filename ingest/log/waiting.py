"""Appends that wait to become durable, and how they come to share messages.

Positions have only 35 bits for offsets, so small sections must not take a message each: those that wait together go
into one message, in the order they came, up to `MESSAGE_EVENTS_MAX` events and about `SHARED_MESSAGE_BYTES_MAX` bytes.
A larger section has a message of its own. Every log uses this: the local one, the memory one, and the remote writer,
which groups before it sends so that a thousand appends cost the log process one request.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from ingest.errors import IngestError
from ingest.log.frames import PAYLOAD_BYTES_MAX
from ingest.log.protocol import Receipt
from metering.position import MESSAGE_EVENTS_MAX

PARTITION = 0
"""The only partition of a log on one machine."""

SHARED_MESSAGE_BYTES_MAX = 512 * 1024


@dataclass(frozen=True, slots=True)
class End:
    """How far a log on one machine is durable: the next offset, and how many events lie before it."""

    next_offset: int
    events: int


class Waiting(NamedTuple):
    """One append under way: encoded sections, how many events they hold, and who waits for the receipt.

    A tuple, because one is made per append on the hot path.
    """

    payload: bytes
    events: int
    answer: asyncio.Future[Receipt]


class Encoded(Protocol):
    """Encoded sections, and how many events they hold."""

    @property
    def payload(self) -> bytes:
        """What `ingest.wire.encode` gave."""
        ...

    @property
    def events(self) -> int:
        """How many positions they take."""
        ...


AnyEncoded = TypeVar("AnyEncoded", bound=Encoded)


def check_size(payload: bytes, events: int) -> None:
    """Refuse what no message can hold.

    Raises:
        ValueError: the caller must split the section; nothing was written.
    """
    if not 1 <= events <= MESSAGE_EVENTS_MAX:
        raise ValueError(f"events is {events}: a section holds 1 to {MESSAGE_EVENTS_MAX}, split it")
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"the section has {len(payload)} bytes: at most {PAYLOAD_BYTES_MAX}, split it")


def group(appends: Iterable[AnyEncoded]) -> list[list[AnyEncoded]]:
    """Deal appends into messages, keeping their order; no message is empty."""
    groups: list[list[AnyEncoded]] = []
    current: list[AnyEncoded] = []
    events = size = 0
    for append in appends:
        events += append.events
        size += len(append.payload)
        if current and (events > MESSAGE_EVENTS_MAX or size > SHARED_MESSAGE_BYTES_MAX):
            groups.append(current)
            current = []
            events = append.events
            size = len(append.payload)
        current.append(append)
    if current:
        groups.append(current)
    return groups


def joined(appends: Sequence[Encoded]) -> bytes:
    """Give the payload that a group makes, without copying where one section has the message to itself."""
    return appends[0].payload if len(appends) == 1 else b"".join([append.payload for append in appends])


def answer(appends: Iterable[Waiting], offset: int, index: int = 0) -> None:
    """Hand each append of one message its receipt; the first one's events start at `index`."""
    for append in appends:
        if not append.answer.done():  # A caller may have given up waiting; its events are durable all the same.
            append.answer.set_result(Receipt({PARTITION: (offset, index)}))
        index += append.events


def refuse(appends: Iterable[Waiting], kind: type[IngestError], reason: str) -> None:
    """Fail each append with an error of its own: a shared one would collect every waiter's traceback."""
    for append in appends:
        if not append.answer.done():
            append.answer.set_exception(kind(reason))
