"""Keep version chains in ClickHouse or chDB.

The order of writing is what makes a crash harmless. A key in the index says "the rows up to this version exist", so
it goes in after them; `applied` says "everything up to here exists", so it goes in last of all. Whatever a crash cuts
off is written again, with the same rows, by whoever reads the log next.
"""

import base64
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metering.position import NOTHING, Cutoff, Position
from metering.retraction import Retraction
from metering.store.client import Store
from metering.store.columns import (
    NOTHING_KNOWN,
    applied_columns,
    event_columns,
    found_versions,
    key_columns,
    moment,
    superseded_columns,
)
from metering.store.keys import KEY_HASH_MAX, KEY_HASH_SQL, Share
from metering.store.versions import CurrentVersions, Verdict
from metering.world import World

LOOK_UP_KEYS_MAX = 200_000

_APPLIED_SINCE = "SELECT lane, max(position) FROM applied WHERE {since} GROUP BY lane"
_APPLIED_AT = (
    "SELECT lane, max(position) FROM applied WHERE committed_at <= fromUnixTimestamp64Micro({at:Int64}) GROUP BY lane"
)
_LAST_MARKED = "SELECT count(), toUnixTimestamp64Micro(max(committed_at)) FROM applied"
_KEYS_COUNT = "SELECT count() FROM event_keys"
_KEYS_COUNT_BETWEEN = "SELECT count() FROM event_keys WHERE key_hash BETWEEN {low:UInt64} AND {high:UInt64}"
_KEY_HASHES = "SELECT key_hash FROM event_keys WHERE key_hash BETWEEN {low:UInt64} AND {high:UInt64}"

# The keys ride in the statement, as base64 of their bytes: stateless, so it works behind a load balancer, and the same
# in the embedded engine. A list of literals took ten times as long to parse. The newest row of a key is chosen by who
# reads them: cheaper than argMax here, since a key seldom has two.
_CURRENT = """
SELECT key_hash, toString(account_id) AS account_id, toString(mode) AS mode, toString(event_type) AS event_type,
       record_id, position, toUnixTimestamp64Micro(timestamp) AS timestamp_us, customer_id, content_hash, deleted
FROM event_keys
WHERE key_hash IN (SELECT arrayJoin(reinterpret(base64Decode('{hashes}'), 'Array(UInt64)')))
"""

# Rows that lost at this very position are the result of an earlier try: they do not count as lost before it.
_SUPERSEDE = """
INSERT INTO superseded (account_id, mode, event_type, customer_id, timestamp, record_id, position, lost_at)
SELECT account_id, mode, event_type, customer_id, timestamp, record_id, position, %(at)s
FROM events
WHERE {matching} AND position < %(at)s AND modulo({key_hash}, %(share_of)s) = %(share_index)s
  AND position NOT IN (SELECT position FROM superseded WHERE {matching} AND lost_at < %(at)s)
"""

_BURY = """
INSERT INTO event_keys
    (key_hash, account_id, mode, event_type, record_id, position, timestamp, customer_id, content_hash, deleted)
SELECT {key_hash}, account_id, mode, event_type, record_id, lost_at, timestamp, customer_id, '', true
FROM superseded
WHERE {matching} AND lost_at = %(at)s
"""

_COUNT_RETRACTED = """
SELECT uniqExact(position) FROM superseded
WHERE account_id = {account:String} AND mode = {mode:String} AND lost_at IN {positions:Array(UInt64)}
"""


class ChainStore:
    """The version store over `Store`; threads and tasks may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest = NOTHING
        self._newest_lock = threading.Lock()
        self._marking = threading.Lock()
        self._told_until = datetime.min.replace(tzinfo=UTC)

    async def applied(self) -> Cutoff:
        """Give the newest cut-off. Reads only what was marked since the last call."""
        return await self._store.run(self.applied_now)

    def applied_now(self) -> Cutoff:
        """As `applied`, for callers that are in a thread of their own."""
        known = self._newest.bounds
        # One row a batch for years: the table is read from where the last call ended, lane by lane, by primary key.
        since = " OR ".join(f"(lane = {lane} AND position >= {position})" for lane, position in known.items())
        lanes = ", ".join(map(str, known))
        rows = self._store.select(_APPLIED_SINCE.format(since=f"{since} OR lane NOT IN ({lanes})" if known else "true"))
        with self._newest_lock:
            newest = dict(self._newest.bounds)
            for lane, position in rows:
                newest[lane] = Position(max(position, newest.get(lane, 0)))
            self._newest = Cutoff(newest)
            return self._newest

    async def applied_at(self, moment: datetime) -> Cutoff:
        """Give the last cut-off that was marked at or before a moment.

        No mark of this process comes to lie before the moment afterwards. Where others mark, that holds for moments
        that are older than the longest mark takes.
        """
        return await self._store.run(self._applied_at, moment)

    async def last_marked_at(self) -> datetime | None:
        """Give the latest moment that a cut-off was marked with."""
        ((count, at),) = await self._store.run(self._store.select, _LAST_MARKED)
        return moment(at) if count else None

    async def keys_count(self, low: int = 0, high: int = KEY_HASH_MAX) -> int:
        """Give the number of rows in the index of keys: replaced ones count until they are merged away."""
        whole = (low, high) == (0, KEY_HASH_MAX)  # Known without reading a row.
        sql = _KEYS_COUNT if whole else _KEYS_COUNT_BETWEEN
        found = await self._store.run_writing(self._store.look_up, sql, {"low": low, "high": high})
        return int(found.column(0)[0].as_py())

    async def key_hashes(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        """Give the hashes of all keys in a range, both ends included."""
        found = await self._store.run_writing(self._store.look_up, _KEY_HASHES, {"low": low, "high": high})
        return np.asarray(found.column("key_hash").to_numpy(), np.uint64)

    async def current_versions(self, hashes: npt.NDArray[np.uint64]) -> CurrentVersions:
        """Give the index entries of all keys that have one of these hashes."""
        return await self._store.run_writing(self._current_versions, hashes)

    async def write(self, verdict: Verdict) -> None:
        """Write versions, then superseded, then keys."""
        await self._store.run_writing(self._write, verdict)

    async def retract(self, retraction: Retraction, at: Position, share: Share) -> None:
        """Supersede what matches and was current just before, then bury the keys."""
        await self._store.run_writing(self._retract, retraction, at, share)

    async def count_retracted(self, world: World, positions: Sequence[int]) -> int:
        """Count the versions that deletions at these positions took, each once however often it was written."""
        parameters = {"account": world.account_id, "mode": world.mode.value, "positions": list(positions)}
        ((count,),) = await self._store.run(self._store.select, _COUNT_RETRACTED, parameters)
        return int(count)

    async def mark_applied(self, marks: Mapping[int, Position], at: datetime) -> None:
        """Let readers see each lane up to a position."""
        await self._store.run_writing(self._mark_applied, marks, at)

    def _applied_at(self, moment: datetime) -> Cutoff:
        at = int(moment.timestamp()) * 1_000_000 + moment.microsecond
        with self._marking:  # A mark that is under way may carry an earlier time than this moment.
            self._told_until = max(self._told_until, moment)
            rows = self._store.select(_APPLIED_AT, {"at": at})
        return Cutoff({lane: Position(position) for lane, position in rows})

    def _mark_applied(self, marks: Mapping[int, Position], at: datetime) -> None:
        with self._marking:
            later = self._told_until + timedelta(microseconds=1)
            self._store.insert("applied", applied_columns(marks, max(at, later)))

    def _current_versions(self, hashes: npt.NDArray[np.uint64]) -> CurrentVersions:
        found = [
            self._store.look_up(_CURRENT.format(hashes=_base64(hashes[start : start + LOOK_UP_KEYS_MAX])))
            for start in range(0, len(hashes), LOOK_UP_KEYS_MAX)
        ]
        return found_versions(pa.concat_tables(found)) if found else NOTHING_KNOWN

    def _write(self, verdict: Verdict) -> None:
        if len(verdict.versions):
            self._store.insert("events", event_columns(verdict.versions))
        if verdict.superseded:
            self._store.insert("superseded", superseded_columns(verdict.superseded))
        if len(verdict.current):
            # Last: a key whose rows are missing would be taken for applied when the batch comes again.
            self._store.insert("event_keys", key_columns(verdict))

    def _retract(self, retraction: Retraction, at: Position, share: Share) -> None:
        matching, parameters = _matching(retraction)
        parameters |= {"at": int(at), "share_of": share.of, "share_index": share.index}
        self._store.command(_SUPERSEDE.format(matching=matching, key_hash=KEY_HASH_SQL), parameters)
        # Second, as a key goes in after its rows; it reads what the first wrote, so it buries exactly these.
        self._store.command(_BURY.format(matching=matching, key_hash=KEY_HASH_SQL), parameters)


def _matching(retraction: Retraction) -> tuple[str, dict[str, object]]:
    conditions = {
        "account_id = %(account)s": ("account", retraction.world.account_id),
        "mode = %(mode)s": ("mode", retraction.world.mode.value),
        "event_type = %(event_type)s": ("event_type", retraction.event_type),
        "customer_id IN %(customer_ids)s": ("customer_ids", _values(retraction.customer_ids)),
        "record_id IN %(record_ids)s": ("record_ids", _values(retraction.record_ids)),
    }
    wanted = {condition: bound for condition, bound in conditions.items() if bound[1] is not None}
    return " AND ".join(wanted), dict(wanted.values())


def _base64(hashes: npt.NDArray[np.uint64]) -> str:
    return base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def _values(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
