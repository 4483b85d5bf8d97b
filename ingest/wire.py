"""The bytes that go through the log: one format, whichever log carries them.

A message is a sequence of sections. A section is what one client sent in one request and was found good: the
account, the mode, when it came in, and a JSON body kept as it was sent. Numbers are therefore still text here; the
consumer makes them canonical, once. The first byte of a section is the format version, so that a log written by an
older release stays readable.

    version u8 | kind u8 | mode u8 | account length u8 | events u32 | received_at_us u64 | body length u32
    account utf-8 | body

A section of version 2 has 25 bytes more, between its head and the account: the context of the request's trace, as
`traceparent` has it (trace id 16 bytes, span id 8, flags 1). Only requests that are traced make one.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from metering.world import Mode, World

FORMAT_VERSION = 1
TRACED_VERSION = 2
NEWEST_VERSION = TRACED_VERSION
TRACE_BYTES = 25

_HEAD = struct.Struct("<BBBBIQI")
_MODES = (Mode.TEST, Mode.PROD)


class Kind(IntEnum):
    """What a section's body is."""

    EVENTS = 1
    """A JSON array of events, each `{customer_id, timestamp, event_type, record}`, all valid."""
    DELETION = 2
    """One JSON object: which events to retract (`ingest.deletion`). It counts as one event."""
    REDACTED = 3
    """EVENTS of which some were erased (`ingest.erasure`); never what a client sent."""


@dataclass(frozen=True, slots=True)
class Section:
    """One client's contribution to a message.

    `events` is how many positions it takes; `received_at_us` is microseconds since 1970 UTC; `trace` is empty, or the
    `TRACE_BYTES` of the context of its request's trace.
    """

    world: World
    kind: Kind
    received_at_us: int
    events: int
    body: bytes
    trace: bytes = b""


class WireError(Exception):
    """The bytes are no message of a format this release knows: a poison message, or one from a newer release."""


def encode(sections: Iterable[Section]) -> bytes:
    """Give a message's payload."""
    parts: list[bytes] = []
    for section in sections:
        account = section.world.account_id.encode()
        parts.append(
            _HEAD.pack(
                TRACED_VERSION if section.trace else FORMAT_VERSION,
                section.kind,
                _MODES.index(section.world.mode),
                len(account),
                section.events,
                section.received_at_us,
                len(section.body),
            )
        )
        if section.trace:
            assert len(section.trace) == TRACE_BYTES
            parts.append(section.trace)
        parts.append(account)
        parts.append(section.body)
    return b"".join(parts)


def decode(payload: bytes | memoryview) -> Iterator[Section]:
    """Read a message's sections in order.

    Raises:
        WireError: the payload is cut short or of an unknown format. Sections before the fault were yielded.
    """
    view = memoryview(payload)
    at = 0
    while at < len(view):
        try:
            version, kind, mode, account_size, events, received_at_us, body_size = _HEAD.unpack_from(view, at)
        except struct.error:
            raise WireError(f"section head cut short at byte {at} of {len(view)}") from None
        if not FORMAT_VERSION <= version <= NEWEST_VERSION:
            raise WireError(f"message format {version} at byte {at}: this release reads formats 1 to {NEWEST_VERSION}")
        at += _HEAD.size
        trace = b""
        if version == TRACED_VERSION:
            trace = bytes(view[at : at + TRACE_BYTES])
            at += TRACE_BYTES
        end = at + account_size + body_size
        if end > len(view) or mode >= len(_MODES) or kind not in Kind.__members__.values():
            raise WireError(f"section cut short or malformed at byte {at} of {len(view)}")
        account = bytes(view[at : at + account_size]).decode()
        body = bytes(view[at + account_size : end])
        yield Section(World(account, _MODES[mode]), Kind(kind), received_at_us, events, body, trace)
        at = end
