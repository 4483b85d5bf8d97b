"""The bytes that go through the log: one format, whichever log carries them.

A message is a sequence of sections. A section is what one client sent in one request and was found good: the
account, the mode, when it came in, and a JSON body kept as it was sent. Numbers are therefore still text here; the
consumer makes them canonical, once. The first byte of a section is the format version, so that a log written by an
older release stays readable.

    version u8 | kind u8 | mode u8 | account length u8 | events u32 | received_at_us u64 | body length u32
    account utf-8 | body
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from metering.world import Mode, World

FORMAT_VERSION = 1

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

    `events` is how many positions it takes; `received_at_us` is microseconds since 1970 UTC.
    """

    world: World
    kind: Kind
    received_at_us: int
    events: int
    body: bytes


class WireError(Exception):
    """The bytes are no message of a format this release knows: a poison message, or one from a newer release."""


def encode(sections: Iterable[Section]) -> bytes:
    """Give a message's payload."""
    parts: list[bytes] = []
    for section in sections:
        account = section.world.account_id.encode()
        parts.append(
            _HEAD.pack(
                FORMAT_VERSION,
                section.kind,
                _MODES.index(section.world.mode),
                len(account),
                section.events,
                section.received_at_us,
                len(section.body),
            )
        )
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
        if version != FORMAT_VERSION:
            raise WireError(f"message format {version} at byte {at}: this release reads format {FORMAT_VERSION}")
        at += _HEAD.size
        end = at + account_size + body_size
        if end > len(view) or mode >= len(_MODES) or kind not in Kind.__members__.values():
            raise WireError(f"section cut short or malformed at byte {at} of {len(view)}")
        account = bytes(view[at : at + account_size]).decode()
        body = bytes(view[at + account_size : end])
        yield Section(World(account, _MODES[mode]), Kind(kind), received_at_us, events, body)
        at = end
