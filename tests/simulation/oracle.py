"""What must hold at the end of a run, told by a plain walk over the final log.

Nothing of the product is used to read the log or to decide: the bytes are parsed here, once more. The walk gives every
fact that the store has to hold, no more and no less; so figures at any cut-off follow.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from metering.world import Mode, World

_FRAME = struct.Struct("<4sIIIQQQQ")
_SECTION = struct.Struct("<BBBBIQI")
_MODES = (Mode.TEST, Mode.PROD)


class Told(NamedTuple):
    """One event as a client told it; `timestamp_us` is None where it is none."""

    event_type: str
    record_id: str
    id_is_number: bool
    customer_id: str
    timestamp_us: int | None
    amount: Decimal | None


class Part(NamedTuple):
    """A section of the log at its place."""

    partition: int
    offset: int
    index: int
    world: World
    is_deletion: bool
    count: int
    body: bytes


def read_frames(segments: Iterable[bytes]) -> list[bytes]:
    """Give the payloads of a local log's segments, in order.

    Raises:
        AssertionError: offsets are missing, or used twice; or something else lies between frames.
    """
    payloads: list[bytes] = []
    for segment in segments:
        at = 0
        while at < len(segment):
            assert len(segment) >= at + _FRAME.size, f"a segment goes on behind offset {len(payloads) - 1}"
            _, _, size, _, offset, *_ = _FRAME.unpack_from(segment, at)
            assert offset == len(payloads), f"offset {offset} stands where {len(payloads)} should"
            payloads.append(segment[at + _FRAME.size : at + _FRAME.size + size])
            at += _FRAME.size + size
    return payloads


def parts_of(partition: int, payloads: Iterable[bytes]) -> Iterator[Part]:
    """Give the sections of a partition in order."""
    for offset, payload in enumerate(payloads):
        at = index = 0
        while at < len(payload):
            _, kind, mode, account_size, count, _, body_size = _SECTION.unpack_from(payload, at)
            at += _SECTION.size
            account = payload[at : at + account_size].decode()
            body = payload[at + account_size : at + account_size + body_size]
            at += account_size + body_size
            yield Part(partition, offset, index, World(account, _MODES[mode]), kind == 2, count, body)
            index += count


def told_of(body: bytes) -> list[Told] | None:
    """Give the events of a body; None where it cannot be read."""
    try:
        events = json.loads(body, parse_float=Decimal)
    except json.JSONDecodeError:
        return None
    return [_told(event) for event in events]


def _told(event: dict) -> Told:
    stamp, record = event["timestamp"], event["record"]
    if isinstance(stamp, int):
        timestamp_us = stamp * 1000
    else:
        try:
            since = datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC)
            timestamp_us = since.days * 86_400_000_000 + since.seconds * 1_000_000
        except ValueError:
            timestamp_us = None
    identifier = record["id"]
    return Told(
        event["event_type"],
        str(identifier),
        isinstance(identifier, int),
        event["customer_id"],
        timestamp_us,
        Decimal(record["amount"]) if "amount" in record else None,
    )


@dataclass
class Facts:
    """What the walk found: what is stored where, what lost when, and what deletions took, by position."""

    stored: dict[int, tuple[World, Told]] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)
    named: set[tuple[World, str]] = field(default_factory=set)
    times: Counter = field(default_factory=Counter)
    """How often each event stands in the log."""

    def current(self, bounds: Mapping[int, int]) -> dict[int, tuple[World, Told]]:
        """Give what counts at a cut-off."""

        def covers(position):
            return position <= bounds.get(position >> 48, -1)

        return {
            position: stored
            for position, stored in self.stored.items()
            if covers(position) and not (position in self.lost and covers(self.lost[position]))
        }


def walk(parts: Iterable[Part], lanes: Mapping[int, int]) -> Facts:
    """Walk over the log and say what must be stored; `lanes` gives each partition's lane.

    Raises:
        AssertionError: versions of one event lie in two partitions.
    """
    facts = Facts()
    homes: dict[tuple, int] = {}
    current: dict[int, dict[tuple, tuple[int, Told]]] = {}
    for part in parts:
        standing = current.setdefault(part.partition, {})
        first = lanes[part.partition] << 48 | part.offset << 13 | part.index
        if part.is_deletion:
            gone = [key for key, (_, told) in standing.items() if _matches(part, key, told)]
            facts.taken[first] = len(gone)
            for key in gone:
                facts.lost[standing.pop(key)[0]] = first
            continue
        events = told_of(part.body)
        if events is None or len(events) != part.count:
            facts.dead.add(first)
            continue
        for position, told in enumerate(events, first):
            facts.times[part.world, told] += 1
            if told.timestamp_us is None:
                facts.dead.add(position)
                continue
            facts.named.add((part.world, told.customer_id))
            key = (part.world, told.event_type, told.record_id)
            assert homes.setdefault(key, part.partition) == part.partition, f"{key} lies in two partitions"
            _arrive(facts, standing, key, position, told)
    return facts


def _arrive(facts: Facts, standing: dict, key: tuple, position: int, told: Told) -> None:
    before = standing.get(key)
    if before is not None and before[1] == told:
        return
    facts.stored[position] = (key[0], told)
    if before is not None and told.timestamp_us < before[1].timestamp_us:
        facts.lost[position] = position
        return
    if before is not None:
        facts.lost[before[0]] = position
    standing[key] = (position, told)


def _matches(part: Part, key: tuple, told: Told) -> bool:
    wanted = json.loads(part.body)
    return (
        key[0] == part.world
        and told.event_type == wanted.get("event_type", told.event_type)
        and told.customer_id in wanted.get("customer_ids", [told.customer_id])
        and told.record_id in wanted.get("record_ids", [told.record_id])
    )


def difference(what: str, found: Mapping, wanted: Mapping) -> str | None:
    """Say in one line how two mappings differ, None where they do not."""
    if found == wanted:
        return None
    missing = {key: wanted[key] for key in wanted if key not in found}
    extra = {key: found[key] for key in found if key not in wanted}
    other = {key: (found[key], wanted[key]) for key in found if key in wanted and found[key] != wanted[key]}
    return f"{what}: missing {_few(missing)}, too many {_few(extra)}, wrong (found, wanted) {_few(other)}"


def _few(entries: Mapping) -> str:
    shown = ", ".join(f"{place(key) if isinstance(key, int) else key}: {entries[key]}" for key in list(entries)[:3])
    return f"{len(entries)} [{shown}]" if entries else "none"


def place(position: int) -> str:
    """Spell a position as lane/offset/index."""
    return f"{position >> 48}/{position >> 13 & (1 << 35) - 1}/{position & (1 << 13) - 1}"
