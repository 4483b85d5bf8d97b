"""Show events as they are kept: the current ones, page by page, and every version of one, with what became of it.

Records leave as JSON text put together from the stored text, so that numbers keep all their digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from metering.event_id import event_id, key_hash_of
from metering.filters import EVERYTHING, Filter
from metering.position import Cutoff, lane_of
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS, Selection, seen
from metering.store.expressions import Expressions
from metering.timestamps import MINUTE
from metering.world import World

EVENT_COLUMNS = """toString(event_type), toUnixTimestamp64Micro(timestamp), customer_id, record_id, record_id_is_number,
       properties, toUnixTimestamp64Micro(received_at), position"""

_PAGE = """
{with_clause}
SELECT {columns}
{current}
  AND {matched}
ORDER BY timestamp {direction}, event_type {direction}, record_id {direction}
LIMIT {{take:UInt64}} OFFSET {{skip:UInt64}}
{settings}
"""

# Reads the column of times alone: a page of all events need not sort, merge and compare all of them.
_REACH = """
SELECT toUnixTimestamp64Micro(timestamp)
FROM events
WHERE {conditions}
ORDER BY timestamp {direction}
LIMIT 1 OFFSET {{reach:UInt64}}
"""

_COUNT = """
{with_clause}
SELECT count()
{current}
  AND {matched}
{settings}
"""

_VERSIONS = """
SELECT {columns}
FROM events
WHERE {conditions}
  AND {position_seen}
ORDER BY position
LIMIT 1 BY position
"""

_VERSION_COUNTS = """
SELECT toString(event_type), record_id, uniqExact(position)
FROM events
WHERE {conditions}
  AND {position_seen}
GROUP BY event_type, record_id
"""

_LOSSES = """
SELECT position, min(lost_at)
FROM superseded
WHERE {conditions}
  AND {lost_at_seen}
GROUP BY position
"""

_APPLIED_SINCE = """
SELECT toUnixTimestamp64Micro(min(committed_at))
FROM applied
WHERE lane = {lane:UInt16} AND position >= {position:UInt64}
"""

_KEY = """
SELECT DISTINCT toString(event_type), record_id
FROM event_keys
WHERE key_hash = {key_hash:UInt64} AND account_id = {account_id:String} AND mode = {mode:String}
"""

_EVENT_TYPES = """
SELECT DISTINCT toString(event_type) AS name
FROM events
WHERE account_id = {account_id:String} AND mode = {mode:String}
ORDER BY name
"""

_RATE = """
SELECT intDiv(toUnixTimestamp64Micro(received_at) - {since_us:Int64}, {minute_us:Int64}) AS minute, uniqExact(position)
FROM events
WHERE account_id = {account_id:String} AND mode = {mode:String}
  AND received_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
  AND received_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
GROUP BY minute
"""


class Held(NamedTuple):
    """That a property has a value, told by its text as usage is grouped by it; None is no value, null or an array."""

    property: str
    text: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One version as it is kept. Times are microseconds since 1970 UTC; `record` is JSON text, its id first."""

    id: str
    event_type: str
    timestamp_us: int
    customer_id: str
    record_id: str
    record: bytes
    received_at_us: int
    position: int


@dataclass(frozen=True, slots=True)
class VersionHistory:
    """One version of a key and what became of it.

    `superseded_by` is the number of the version that won over it, None when it is current or a deletion took it.
    `superseded_at_us` is when that came in; of a deletion, when it was applied.
    """

    version: int
    event: StoredEvent
    current: bool
    deleted: bool
    superseded_at_us: int | None
    superseded_by: int | None


class Explorer:
    """Events, read from the store; threads and tasks may share it. Calls block."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def events(
        self,
        selection: Selection,
        *,
        take: int,
        skip: int = 0,
        ascending: bool = False,
        where: Filter = EVERYTHING,
        held: Held | None = None,
    ) -> list[StoredEvent]:
        """Give a page of the current events, newest first unless ascending; of equal times by type, then record id."""
        meeting = _Meeting(where, held)
        for reach in (4 * (skip + take) + 1_000, 256 * (skip + take) + 64_000):
            near = self._nearest(selection, reach, ascending=ascending)
            if near is None:
                break
            found = self._page(near, take, skip, meeting, ascending=ascending)
            if len(found) == take:
                return found
        return self._page(selection, take, skip, meeting, ascending=ascending)

    def count(self, selection: Selection, *, where: Filter = EVERYTHING, held: Held | None = None) -> int:
        """Give how many current events there are."""
        expressions = Expressions()
        matched = _Meeting(where, held).condition(expressions)
        sql = _COUNT.format(
            with_clause=expressions.clause(), current=selection.current(), matched=matched, settings=CURRENT_SETTINGS
        )
        rows = self._store.select(sql, {**selection.parameters(), **expressions.parameters})
        return int(rows[0][0]) if rows else 0

    def find(self, world: World, cutoff: Cutoff, text: str) -> StoredEvent | None:
        """Give the current version of the event that has an id, None when there is none at the cut-off."""
        hashed = key_hash_of(text)
        if hashed is None:
            return None
        keys = self._store.select(_KEY, {**_world(world), "key_hash": hashed})
        for event_type, record_id in keys:
            if event_id(world, event_type, record_id) == text:
                found = self.events(Selection(world, cutoff, [event_type], record_ids=[record_id]), take=1)
                return found[0] if found else None
        return None

    def versions(self, world: World, cutoff: Cutoff, event_type: str, record_id: str) -> list[VersionHistory]:
        """Give every version of a key that is seen at the cut-off, first received first; empty for an unknown key."""
        selection = Selection(world, cutoff, [event_type], record_ids=[record_id])
        parts = {"columns": EVENT_COLUMNS, "conditions": selection.conditions()}
        rows = self._store.select(_VERSIONS.format(**parts, position_seen=seen("position")), selection.parameters())
        losses = self._store.select(_LOSSES.format(**parts, lost_at_seen=seen("lost_at")), selection.parameters())
        events = [stored_event(world, row) for row in rows]
        lost_at: dict[int, int] = {int(position): int(at) for position, at in losses}
        number_at = {event.position: number for number, event in enumerate(events, start=1)}
        out = []
        for event in events:
            at = lost_at.get(event.position)
            winner = event.position if at is None else at
            if at == event.position:
                winner = _current_before(event.position, events, lost_at)
            deleted = at is not None and winner not in number_at
            out.append(
                VersionHistory(
                    version=number_at[event.position],
                    event=event,
                    current=at is None,
                    deleted=deleted,
                    superseded_at_us=None if at is None else self._lost_at_us(at, events, deleted=deleted),
                    superseded_by=None if at is None else number_at.get(winner),
                )
            )
        return out

    def version_counts(self, selection: Selection) -> dict[tuple[str, str], int]:
        """Give how many versions each key has, by event type and record id; the selection should name record ids."""
        sql = _VERSION_COUNTS.format(conditions=selection.conditions(), position_seen=seen("position"))
        rows = self._store.select(sql, selection.parameters())
        return {(event_type, record_id): int(count) for event_type, record_id, count in rows}

    def event_types(self, world: World) -> list[str]:
        """Give every type that the world ever had an event of, by name."""
        return [name for (name,) in self._store.select(_EVENT_TYPES, _world(world))]

    def accepted_per_minute(self, world: World, *, minutes: int, now_us: int) -> list[int]:
        """Give how many versions were received in each of the last minutes, ascending; the last ends now."""
        since_us = now_us - minutes * MINUTE
        parameters = {**_world(world), "since_us": since_us, "until_us": now_us, "minute_us": MINUTE}
        counts = {int(minute): int(count) for minute, count in self._store.select(_RATE, parameters)}
        return [counts.get(minute, 0) for minute in range(minutes)]

    def _page(
        self, selection: Selection, take: int, skip: int, meeting: "_Meeting", *, ascending: bool
    ) -> list[StoredEvent]:
        expressions = Expressions()
        matched = meeting.condition(expressions)
        sql = _PAGE.format(
            with_clause=expressions.clause(),
            columns=EVENT_COLUMNS,
            current=selection.current(),
            matched=matched,
            direction="ASC" if ascending else "DESC",
            settings=CURRENT_SETTINGS,
        )
        parameters = {**selection.parameters(), **expressions.parameters, "take": take, "skip": skip}
        return [stored_event(selection.world, row) for row in self._store.select(sql, parameters)]

    def _nearest(self, selection: Selection, reach: int, *, ascending: bool) -> Selection | None:
        """Narrow a selection to the time of its first so many rows; None when it has no more than these.

        Every current event of that time is in it, so a page that it fills is the page of the whole.
        """
        sql = _REACH.format(conditions=selection.conditions(), direction="ASC" if ascending else "DESC")
        rows = self._store.select(sql, {**selection.parameters(), "reach": reach})
        if not rows:
            return None
        edge = int(rows[0][0])
        return replace(selection, end_us=edge + 1) if ascending else replace(selection, start_us=edge)

    def _lost_at_us(self, at: int, events: Sequence[StoredEvent], *, deleted: bool) -> int | None:
        if not deleted:
            return next(event.received_at_us for event in events if event.position == at)
        rows = self._store.select(_APPLIED_SINCE, {"lane": lane_of(at), "position": at})
        return int(rows[0][0]) or None if rows else None


class _Meeting(NamedTuple):
    """What a row must meet."""

    where: Filter
    held: Held | None

    def condition(self, expressions: Expressions) -> str:
        matched = expressions.condition(self.where)
        if self.held is None:
            return matched
        prop, text = self.held
        told = expressions.distinct(prop)
        if text is None:
            return f"{matched} AND {told} IS NULL"
        # The id is a column of its own, as it reads; of the others the store knows the text inside the JSON quotes.
        known = text if prop == "id" else Expressions.encoded(text)
        return f"{matched} AND ifNull({told} = {expressions.bind('String', known)}, 0)"


def _current_before(position: int, events: Sequence[StoredEvent], lost_at: dict[int, int]) -> int:
    """Give the position of the version that was current when one arrived already beaten."""
    (standing,) = (
        event.position for event in events if event.position < position < lost_at.get(event.position, position + 1)
    )
    return standing


def stored_event(world: World, row: Sequence[Any]) -> StoredEvent:
    """Read a row of `EVENT_COLUMNS`."""
    event_type, timestamp_us, customer_id, record_id, is_number, properties, received_at_us, position = row
    identity = record_id.encode() if is_number else msgspec.json.encode(record_id)
    rest = properties.encode().removeprefix(b"{")
    record = b'{"id":' + identity + (b"," if rest != b"}" else b"") + rest
    return StoredEvent(
        id=event_id(world, event_type, record_id),
        event_type=event_type,
        timestamp_us=timestamp_us,
        customer_id=customer_id,
        record_id=record_id,
        record=record,
        received_at_us=received_at_us,
        position=position,
    )


def _world(world: World) -> dict[str, Any]:
    return {"account_id": world.account_id, "mode": world.mode.value}
