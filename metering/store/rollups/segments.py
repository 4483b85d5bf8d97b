"""Write segments: what an aggregator's figures gained and lost between two cut-offs, worked out from the versions.

A segment gets a number that nobody had before and rows under it; its seal comes last and says how many there are.
Nothing reads a segment that no manifest names, and no manifest names one that is not sealed. So a crash anywhere leaves
rows that nobody will ever read, and `sweep` drops them.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from metering.position import Cutoff
from metering.store.changes import Changes
from metering.store.client import Store
from metering.store.current import MONTHS_APART, Selection
from metering.store.expressions import Expressions
from metering.store.rollups.definition import Definition
from metering.store.rollups.manifest import Manifest, Segment, kept
from metering.store.rollups.parts import SLICE_US, parts_of, slice_of
from metering.timestamps import EARLIEST_US, LATEST_US

ROWS_AT_ONCE = 2_000_000
"""So many versions are read in one statement, about; more take several, of a stretch of time each."""
BUILD_S_MAX = 1_800.0
"""A segment that takes longer is given up, so that no sweep takes one that is being written for a forgotten one."""
FORGOTTEN_AFTER_S = 6 * 3_600

# One thread and little memory: questions and the consumer come first.
_GENTLY = "max_threads = 1, max_memory_usage = 2147483648, max_bytes_before_external_group_by = 1073741824"

_PER_MONTH = """
SELECT toYYYYMM(timestamp) AS month, toUnixTimestamp64Micro(min(timestamp)), toUnixTimestamp64Micro(max(timestamp)),
       count()
FROM events
WHERE {conditions} AND {between}
GROUP BY month
ORDER BY month
SETTINGS {gently}
"""

# What each statement writes bears its number and its instant. A driver may send a statement twice when its connection
# breaks, and then there are two instants of one number.
_BY = "{statement:UInt32}, now64(6)"
_COLUMNS = "(segment, account_id, mode, grain, slice, customer_id, total, count, not_numbers, statement, written_at)"

_INSERT = """
INSERT INTO rollups {columns}
{with_clause}
SELECT {{segment:UInt64}}, {{account_id:String}}, {{mode:String}}, 'quarter', {slice} AS quarter, customer_id, {parts},
       {by}
{rows}
GROUP BY quarter, customer_id
HAVING total != 0 OR count != 0 OR not_numbers != 0
{settings}, {gently}
"""

_MERGE = """
INSERT INTO rollups {columns}
SELECT {{segment:UInt64}}, account_id, mode, 'quarter', slice, customer_id,
       sum(total), sum(count), sum(not_numbers), {by}
FROM rollups
WHERE segment IN {{segments:Array(UInt64)}} AND grain = 'quarter'
GROUP BY account_id, mode, slice, customer_id
SETTINGS {gently}
"""

# The same once more by days, and of everybody together.
_DERIVE = """
INSERT INTO rollups {columns}
SELECT {{segment:UInt64}}, {{account_id:String}}, {{mode:String}}, grain, slice, customer_id,
       total, count, not_numbers, {by}
FROM (
    SELECT 'day' AS grain, toStartOfDay(rollups.slice, 'UTC') AS slice, customer_id,
           sum(rollups.total) AS total, sum(rollups.count) AS count, sum(rollups.not_numbers) AS not_numbers
    FROM rollups
    WHERE segment = {{segment:UInt64}} AND rollups.grain = 'quarter'
    GROUP BY toStartOfDay(rollups.slice, 'UTC'), customer_id
    UNION ALL
    SELECT 'everybody', rollups.slice, '', sum(rollups.total), sum(rollups.count), sum(rollups.not_numbers)
    FROM rollups
    WHERE segment = {{segment:UInt64}} AND rollups.grain = 'quarter'
    GROUP BY rollups.slice
)
SETTINGS {gently}
"""

_WRITTEN = """
SELECT statement, count(), uniqExact(written_at)
FROM rollups
WHERE segment = {segment:UInt64}
GROUP BY statement
"""
_SEALS = "SELECT sum(count), count() FROM rollups WHERE segment IN {segments:Array(UInt64)} AND grain = 'seal'"

_SEAL = """
INSERT INTO rollups {columns}
SELECT {{segment:UInt64}}, {{account_id:String}}, {{mode:String}}, 'seal', 0, '', 0, {{rows:Int64}}, 0, {by}
"""

_FORGOTTEN = """
SELECT segment, max(written_at) AS last
FROM rollups
GROUP BY segment
HAVING last < now() - {age_s:Int32}
SETTINGS max_threads = 1
"""


class NotBuiltError(Exception):
    """A segment could not be finished; nothing came to count, and it may be tried again."""


def extended(store: Store, definition: Definition, manifest: Manifest, cutoff: Cutoff) -> Manifest:
    """Write a segment that brings an aggregator's figures up to a cut-off, and give the manifest to be published.

    The newest segments that are smaller than what it has to hold are taken into it, so that there are few of them: each
    row is written again a number of times that grows with the logarithm of all rows. Blocks.

    Raises:
        NotBuiltError: a segment is not there any more, or it took too long.
        StoreUnavailableError, QueryLimitError: it may have been written in part.
    """
    draft = _Draft(store, definition)
    for changes in _stretches(store, definition, manifest.cutoff, cutoff):
        draft.changes(changes)
    left, merged = _merged_into(manifest.segments, draft.rows())
    if merged:
        draft.merged(merged)
    sealed = draft.sealed()
    return Manifest(manifest.generation + 1, cutoff, [*left, *sealed])


def are_there(store: Store, manifest: Manifest) -> bool:
    """Tell whether every segment of a manifest is there whole."""
    ((rows, seals),) = store.select(_SEALS, {"segments": manifest.ids})
    return bool((rows, seals) == (sum(segment.rows for segment in manifest.segments), len(manifest.segments)))


def drop(store: Store, segment_ids: Sequence[int]) -> None:
    """Drop segments whole; those that are not there are passed over."""
    for segment_id in segment_ids:
        store.command(f"ALTER TABLE rollups DROP PARTITION {segment_id:d}")


def sweep(store: Store, age_s: int = FORGOTTEN_AFTER_S) -> int:
    """Drop the segments that no newest manifest names and that nobody can be writing any more; give how many."""
    old = [segment for segment, _ in store.select(_FORGOTTEN, {"age_s": age_s})]
    named = {segment.id for one in kept(store) for segment in one.segments}  # After: what is old was named before.
    forgotten = [segment for segment in old if segment not in named]
    drop(store, forgotten)
    return len(forgotten)


class _Draft:
    """A segment that is being written."""

    def __init__(self, store: Store, definition: Definition) -> None:
        self._store = store
        self._definition = definition
        self._began = time.monotonic()
        self._statements = 0
        self._identity: dict[str, Any] = {
            "segment": secrets.randbits(63),
            "account_id": definition.world.account_id,
            "mode": definition.world.mode.value,
        }

    def changes(self, changes: Changes) -> None:
        """Add what came and what went."""
        self._add(changes, changes.came(), "")
        if changes.since.bounds:
            self._add(changes, changes.went(), "-")

    def merged(self, segments: Sequence[Segment]) -> None:
        """Add the rows of segments that come before."""
        merged = Manifest(segments=segments)
        self._write(_MERGE, {"segments": merged.ids})
        if not are_there(self._store, merged):  # After it, so that what was read was there whole.
            raise NotBuiltError("a segment that was to be merged is not there any more")

    def rows(self) -> int:
        """Count what is written.

        Raises:
            NotBuiltError: some of it was written twice.
        """
        written = self._store.select(_WRITTEN, self._identity)
        if any(instants != 1 for _, _, instants in written):
            raise NotBuiltError("a statement was carried out twice")
        return sum(count for _, count, _ in written)

    def sealed(self) -> list[Segment]:
        """Let the segment count; without a row there is none."""
        rows = self.rows()
        if not rows:
            return []
        self._write(_DERIVE)
        self.rows()
        if time.monotonic() - self._began > BUILD_S_MAX:
            raise NotBuiltError(f"a segment took longer than {BUILD_S_MAX:.0f} s")
        self._write(_SEAL, {"rows": rows})
        self.rows()
        return [Segment(self._identity["segment"], rows)]

    def _add(self, changes: Changes, rows: str, sign: str) -> None:
        expressions = Expressions()
        parts = parts_of(self._definition.aggregator, expressions, sign)
        texts = {"with_clause": expressions.clause(), "slice": slice_of(), "parts": parts, "rows": rows}
        self._write(_INSERT, {**changes.parameters(), **expressions.parameters}, settings=MONTHS_APART, **texts)

    def _write(self, statement: str, parameters: Mapping[str, Any] | None = None, **texts: str) -> None:
        self._statements += 1
        sql = statement.format(columns=_COLUMNS, by=_BY, gently=_GENTLY, **texts)
        self._store.command(sql, {**self._identity, **(parameters or {}), "statement": self._statements})


def _stretches(store: Store, definition: Definition, since: Cutoff, cutoff: Cutoff) -> Iterator[Changes]:
    """Divide what changed by time, so that no statement reads much more than `ROWS_AT_ONCE` versions.

    All time is covered, once: what lost in between may lie where nothing came in.
    """
    everything = Changes(Selection(definition.world, cutoff, [definition.aggregator.entity]), since)
    sql = _PER_MONTH.format(
        conditions=everything.selection.conditions(), between=everything.between("position"), gently=_GENTLY
    )
    edges = {EARLIEST_US, LATEST_US}
    pending = 0
    for _, first_us, last_us, count in store.select(sql, everything.parameters()):
        if pending and pending + count > ROWS_AT_ONCE:
            edges.add(first_us - first_us % SLICE_US)
            pending = 0
        pending += count
        pieces = -(-count // ROWS_AT_ONCE)
        for piece in range(1, pieces):
            at_us = first_us + (last_us - first_us) * piece // pieces
            edges.add(at_us - at_us % SLICE_US)
            pending = count // pieces
    for start_us, end_us in pairwise(sorted(edges)):
        selection = Selection(
            definition.world, cutoff, [definition.aggregator.entity], start_us=start_us, end_us=end_us
        )
        yield Changes(selection, since)


def _merged_into(segments: Sequence[Segment], rows: int) -> tuple[Sequence[Segment], Sequence[Segment]]:
    """Divide segments into those that stay and the newest, which are not much greater than what follows them."""
    keep = len(segments)
    while keep and segments[keep - 1].rows < 2 * rows:
        keep -= 1
        rows += segments[keep].rows
    return segments[:keep], segments[keep:]
