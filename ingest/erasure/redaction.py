"""Take the text out of what the log, the store and the dead letters hold of one customer: pure.

A property stays when a figure is made of it, or when it is a number or true or false; any other becomes null. The
event's key, customer and time stay: they are what is counted. An erased event in the log carries the hash of what it
said, so that the same event sent again is still known, and a store derived from the log is the same store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ingest import wire
from ingest.canonical import (
    FaultyEventError,
    RedactedEvent,
    canonical_record_id,
    content_hash,
    encode_record,
    raw_number,
)
from metering.position import Cutoff, last_of_message
from metering.world import World

ALL_TYPES = "*"
UNREADABLE = b"\x00"
"""In the place of a message that nothing can be made of: nothing can be made of this either."""

_RAW_EVENTS = msgspec.json.Decoder(list[msgspec.Raw], float_hook=raw_number)
_EVENT = msgspec.json.Decoder(RedactedEvent, float_hook=raw_number)
_RECORD = msgspec.json.Decoder(dict[str, Any], float_hook=raw_number)


class _Whose(msgspec.Struct):
    customer_id: str


_WHOSE = msgspec.json.Decoder(_Whose)


@dataclass(frozen=True, slots=True)
class Redaction:
    """What one erasure takes out: the text of one customer's events up to a cut-off."""

    world: World
    identifiers: frozenset[str]
    kept: Mapping[str, Sequence[str]]
    bounds: Cutoff

    def properties(self, event_type: str, properties: bytes) -> bytes:
        """Give what is left of a record without its id, as canonical JSON."""
        return encode_record(self._record(event_type, _RECORD.decode(properties)))

    def payload(self, lane: int, offset: int, payload: bytes) -> bytes:
        """Give what is left of a message: the payload itself where nothing has to go."""
        if not self.bounds.covers(last_of_message(lane, offset)):
            return payload
        try:
            sections = list(wire.decode(payload))
        except (wire.WireError, UnicodeDecodeError):
            return UNREADABLE if self.names_us(payload) else payload
        redacted = [self._section(section) for section in sections]
        return payload if redacted == sections else wire.encode(redacted)

    def faulty(self, payload: bytes, *, known: bool) -> bytes:
        """Give what is left of a dead letter's payload; `known`: its world is known to be ours."""
        try:
            letter = msgspec.json.decode(payload, type=dict[str, msgspec.Raw]) if known else {}
            event = self._event(letter["event"])
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
            return (b"[]" if known else UNREADABLE) if self.names_us(payload) else payload
        return payload if event is None else msgspec.json.encode({**letter, "event": event})

    def names_us(self, content: bytes) -> bool:
        """Tell whether bytes that cannot be read hold one of the customer's ids as a JSON text."""
        return any(msgspec.json.encode(identifier) in content for identifier in self.identifiers)

    def _section(self, section: wire.Section) -> wire.Section:
        if section.world != self.world or section.kind is wire.Kind.DELETION:
            return section
        try:
            events = _RAW_EVENTS.decode(section.body)
            redacted = [self._event(event) for event in events]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if not self.names_us(section.body):
                return section
            return replace(section, kind=wire.Kind.REDACTED, body=b"[]")
        if all(event is None for event in redacted):
            return section
        kept = [before if after is None else after for before, after in zip(events, redacted, strict=True)]
        body = msgspec.json.encode(kept)
        return replace(section, kind=wire.Kind.REDACTED, body=body)

    def _event(self, raw: msgspec.Raw) -> RedactedEvent | None:
        """Give an event without its text, None where nothing has to go."""
        if _WHOSE.decode(raw).customer_id not in self.identifiers:
            return None
        event = _EVENT.decode(raw)
        identifier = event.record.pop("id", None)
        kept = self._record(event.event_type, event.record)
        if kept == event.record:
            return None
        hashed = event.content_hash or _hash(identifier, event.record)
        return msgspec.structs.replace(event, record={"id": identifier, **kept}, content_hash=hashed)

    def _record(self, event_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
        stays = {*self.kept.get(event_type, ()), *self.kept.get(ALL_TYPES, ())}
        return {name: value if name in stays or not _is_text(value) else None for name, value in record.items()}


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(map(_is_text, value)))


def _hash(identifier: object, record: Mapping[str, Any]) -> str | None:
    try:
        _, is_number = canonical_record_id(identifier)
    except FaultyEventError:
        return None  # A dead letter: it is no version of anything.
    return content_hash(encode_record(record), is_number=is_number).hex()
