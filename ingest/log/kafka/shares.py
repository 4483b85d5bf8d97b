"""Deal a section's events to the partitions that their keys belong to.

All versions of one key have to meet in one partition, in order, so the partition follows from the hash of the key and
from nothing else. The hash is taken over the text of the record id that the consumer will find: 485 and "485" go to the
same place. What no events can be read from goes to the first partition whole, where the consumer keeps it as a dead
letter. A deletion goes to every partition: each retracts its own share.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from xxhash import xxh3_64_intdigest

from ingest.canonical import FaultyEventError, canonical_record_id, raw_number
from ingest.log.waiting import SHARED_MESSAGE_BYTES_MAX
from ingest.wire import Kind, Section
from metering.store.keys import key_prefix

Share = tuple[int, Section]
"""A partition, and a section for it."""


class _Record(msgspec.Struct, gc=False):
    id: Any


class _Event(msgspec.Struct, gc=False):
    event_type: str
    record: _Record


_decode_keys = msgspec.json.Decoder(list[_Event], float_hook=raw_number).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def deal(section: Section, partitions: int) -> list[Share]:
    """Give what goes where; the sections of one partition in order, each small enough for a message if it can be.

    Every event comes out once, as it was sent, and keeps its place among those of its partition.
    """
    if section.kind is Kind.DELETION:
        return [(partition, section) for partition in range(partitions)]
    fits = len(section.body) <= SHARED_MESSAGE_BYTES_MAX
    if partitions == 1 and fits:
        return [(0, section)]
    try:
        events = _decode_keys(section.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [(0, section)]
    if len(events) != section.events:
        return [(0, section)]
    wanted = _partitions_of(section, events, partitions)
    if fits and len(set(wanted)) == 1:
        return [(wanted[0], section)]
    bodies: dict[int, list[msgspec.Raw]] = {}
    for partition, body in zip(wanted, _decode_raw(section.body), strict=True):
        bodies.setdefault(partition, []).append(body)
    return [
        (partition, replace(section, body=b"[" + b",".join(part) + b"]", events=len(part)))
        for partition, own in sorted(bodies.items())
        for part in _parts(own)
    ]


def _partitions_of(section: Section, events: Sequence[_Event], partitions: int) -> list[int]:
    prefix = key_prefix(section.world)
    wanted = []
    for event in events:
        identifier = event.record.id
        if type(identifier) is not str:
            try:
                identifier = canonical_record_id(identifier)[0]
            except FaultyEventError:
                wanted.append(0)
                continue
        wanted.append(xxh3_64_intdigest(f"{prefix}{event.event_type}\0{identifier}".encode()) % partitions)
    return wanted


def _parts(bodies: Sequence[msgspec.Raw]) -> list[list[msgspec.Raw]]:
    """Cut a run of events into such as fit into messages."""
    parts: list[list[msgspec.Raw]] = [[]]
    size = 0
    for body in bodies:
        length = memoryview(body).nbytes + 1
        if parts[-1] and size + length > SHARED_MESSAGE_BYTES_MAX:
            parts.append([])
            size = 0
        parts[-1].append(body)
        size += length
    return parts
