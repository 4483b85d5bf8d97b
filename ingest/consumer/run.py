"""Turn a run of decoded events into columns, all at once: one pass a column, not one an event."""

from collections.abc import Sequence
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from ingest.canonical import (
    NUMBER_ID_SEED,
    FaultyEventError,
    RedactedEvent,
    SentEvent,
    canonical_record_id,
    encode_record,
)
from ingest.consumer.seams import DeadLetter
from metering.position import Position
from metering.store.keys import key_prefix
from metering.store.versions import CONTENT_HASH_BYTES, Versions
from metering.timestamps import TimestampError, parse_event_timestamp, parse_event_timestamps
from metering.world import World

RUN_EVENTS_MAX = 10_000
"""So many events as objects take some 10 MB, which the allocator uses again; ten times as many cost half as much
again for each event, in page faults."""


class EventRun:
    """Events without a deletion between them. Sections are added in order, then `versions` is called, once."""

    def __init__(self) -> None:
        self.count = 0
        self._worlds: list[World] = []
        self._positions: list[int] = []
        self._received_at_us: list[int] = []
        self._sections: list[Sequence[SentEvent]] = []

    def add(self, world: World, position: Position, received_at_us: int, events: Sequence[SentEvent]) -> None:
        """Add a section's events; they take the positions from `position` on."""
        self._worlds.append(world)
        self._positions.append(position)
        self._received_at_us.append(received_at_us)
        self._sections.append(events)
        self.count += len(events)

    def versions(self, customers: dict[World, set[str]]) -> tuple[Versions, list[DeadLetter]]:
        """Give the columns, and what is faulty; add who the events name to `customers`."""
        counts = [len(section) for section in self._sections]
        events = list(chain.from_iterable(self._sections))
        positions = _counted_up(self._positions, counts)
        received = np.repeat(np.array(self._received_at_us, np.int64), counts)
        codes: dict[World, int] = {}
        world_codes = np.repeat(
            np.array([codes.setdefault(world, len(codes)) for world in self._worlds], np.int32), counts
        )
        worlds = list(codes)
        ids = [event.record.pop("id", None) for event in events]
        dead: list[DeadLetter] = []
        try:
            record_ids, is_number = _record_ids(ids)
            timestamps = parse_event_timestamps([event.timestamp for event in events])
        except (FaultyEventError, TimestampError):
            reasons = [_fault(event, identifier) for event, identifier in zip(events, ids, strict=True)]
            good = np.array([reason is None for reason in reasons])
            for row in np.flatnonzero(~good).tolist():
                world = worlds[world_codes[row]]
                payload = encode_record({"id": ids[row], "event": events[row]})
                dead.append(DeadLetter(Position(int(positions[row])), world, str(reasons[row]), payload))
            kept = np.flatnonzero(good).tolist()
            events = [events[row] for row in kept]
            record_ids, is_number = _record_ids([ids[row] for row in kept])
            timestamps = parse_event_timestamps([event.timestamp for event in events])
            positions, received, world_codes = positions[good], received[good], world_codes[good]
        event_types = [event.event_type for event in events]
        customer_ids = [event.customer_id for event in events]
        properties = [encode_record(event.record) for event in events]
        _collect(customers, worlds, world_codes, customer_ids)
        versions = Versions(
            key_hash=_key_hashes(worlds, world_codes, event_types, record_ids),
            position=positions,
            timestamp_us=timestamps,
            received_at_us=received,
            table=pa.table(
                {
                    "account_id": _names([world.account_id for world in worlds], world_codes),
                    "mode": _names([world.mode.value for world in worlds], world_codes),
                    "event_type": pa.array(event_types, pa.string()).dictionary_encode(),
                    "customer_id": pa.array(customer_ids, pa.string()),
                    "record_id": pa.array(record_ids, pa.string()),
                    "record_id_is_number": pa.array(is_number),
                    "properties": pa.array(properties, pa.binary()),
                    "content_hash": pa.array(
                        _content_hashes(events, properties, is_number), pa.binary(CONTENT_HASH_BYTES)
                    ),
                }
            ),
        )
        return versions, dead


def _record_ids(ids: Sequence[object]) -> tuple[list[str], npt.NDArray[np.bool_]]:
    if set(map(type, ids)) == {str}:
        return list(map(str, ids)), np.zeros(len(ids), np.bool_)
    pairs = [canonical_record_id(identifier) for identifier in ids]
    return [text for text, _ in pairs], np.array([number for _, number in pairs], np.bool_)


def _fault(event: SentEvent, identifier: object) -> str | None:
    try:
        canonical_record_id(identifier)
        parse_event_timestamp(event.timestamp)
    except (FaultyEventError, TimestampError) as error:
        return str(error)
    return None


def _counted_up(first: Sequence[int], counts: Sequence[int]) -> npt.NDArray[np.uint64]:
    """Give `first[i], first[i] + 1, …`, `counts[i]` of them, one after the other."""
    ends = np.cumsum(counts)
    starts = np.repeat(ends - counts, counts)
    within = np.arange(len(starts), dtype=np.uint64) - starts.astype(np.uint64)
    return np.repeat(np.array(first, np.uint64), counts) + within


def _names(names: list[str], codes: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Give `names[code]` of each code as a dictionary, in which the store wants each text once."""
    distinct = pa.array(names, pa.string()).dictionary_encode()
    indices = distinct.indices.to_numpy()[codes]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), distinct.dictionary)


def _collect(
    customers: dict[World, set[str]], worlds: list[World], codes: npt.NDArray[np.int32], customer_ids: list[str]
) -> None:
    if len(worlds) == 1:
        customers.setdefault(worlds[0], set()).update(customer_ids)
        return
    sets = [customers.setdefault(world, set()) for world in worlds]
    for code, customer_id in zip(codes.tolist(), customer_ids, strict=True):
        sets[code].add(customer_id)


def _key_hashes(
    worlds: list[World], codes: npt.NDArray[np.int32], event_types: list[str], record_ids: list[str]
) -> npt.NDArray[np.uint64]:
    prefixes = [key_prefix(world) for world in worlds]
    of_rows = repeat(prefixes[0]) if len(prefixes) == 1 else map(prefixes.__getitem__, codes.tolist())
    hashes = [
        xxh3_64_intdigest(f"{prefix}{event_type}\0{record_id}".encode())
        for prefix, event_type, record_id in zip(of_rows, event_types, record_ids, strict=False)
    ]
    return np.array(hashes, np.uint64)


def _content_hashes(
    events: Sequence[SentEvent], properties: list[bytes], is_number: npt.NDArray[np.bool_]
) -> list[bytes]:
    if not is_number.any():
        hashes = list(map(xxh3_128_digest, properties))
    else:
        seeds = np.where(is_number, NUMBER_ID_SEED, 0).tolist()
        hashes = [xxh3_128_digest(content, seed) for content, seed in zip(properties, seeds, strict=True)]
    if RedactedEvent not in set(map(type, events)):
        return hashes
    said = [event.content_hash if isinstance(event, RedactedEvent) else None for event in events]
    return [hashed if before is None else bytes.fromhex(before) for hashed, before in zip(hashes, said, strict=True)]
