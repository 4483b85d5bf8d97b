"""What the version store is asked to keep, and what it promises.

A *version* is one accepted event at its position. Of the versions of a key one is *current*; the others are
*superseded*, each at the position at which it lost. Both sets only grow, and every row is a fact about the log: it
may be written twice, or by two processes at once, and stays true. What is half written is not seen, because every
figure is read at a cut-off, and a cut-off is marked only after all its rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metering.position import Cutoff, Position
from metering.retraction import Retraction
from metering.store.keys import KEY_HASH_MAX, Share
from metering.world import Mode, World

CONTENT_HASH_BYTES = 16


class Key(NamedTuple):
    """What makes two events versions of one."""

    account_id: str
    mode: str
    event_type: str
    record_id: str


@dataclass(frozen=True, slots=True)
class Version:
    """One accepted event, as a row. Times are microseconds since 1970 UTC."""

    key: Key
    key_hash: int
    customer_id: str
    timestamp_us: int
    position: int
    record_id_is_number: bool
    properties: bytes
    content_hash: bytes
    received_at_us: int


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """What the index says of a key: its current version, or the deletion that took it."""

    key_hash: int
    position: int
    timestamp_us: int
    customer_id: str
    content_hash: bytes
    deleted: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A version that lost, where it stands among the events, and the position at which it lost."""

    key: Key
    customer_id: str
    timestamp_us: int
    position: int
    lost_at: int


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions as columns of one length, positions growing within each lane.

    `table` has the columns account_id, mode, event_type, customer_id, record_id, record_id_is_number, properties and
    content_hash; what is reckoned with stands beside it as numbers.
    """

    key_hash: npt.NDArray[np.uint64]
    position: npt.NDArray[np.uint64]
    timestamp_us: npt.NDArray[np.int64]
    received_at_us: npt.NDArray[np.int64]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.position)

    def take(self, rows: npt.NDArray[np.int64]) -> "Versions":
        """Give some of the rows, by growing index."""
        if len(rows) == len(self):
            return self
        return Versions(
            self.key_hash[rows],
            self.position[rows],
            self.timestamp_us[rows],
            self.received_at_us[rows],
            self.table.take(pa.array(rows)),
        )

    def rows(self) -> list[Version]:
        """Give the rows one by one."""
        column = {name: self.table.column(name).to_pylist() for name in self.table.column_names}
        keys = map(Key, column["account_id"], column["mode"], column["event_type"], column["record_id"])
        return list(
            map(
                Version,
                keys,
                self.key_hash.tolist(),
                column["customer_id"],
                self.timestamp_us.tolist(),
                self.position.tolist(),
                column["record_id_is_number"],
                column["properties"],
                column["content_hash"],
                self.received_at_us.tolist(),
            )
        )


@dataclass(frozen=True, slots=True)
class CurrentVersions:
    """Index entries as columns of one length, in any order. A key may occur several times: its newest entry counts.

    `table` has the columns account_id, mode, event_type, record_id, customer_id and content_hash.
    """

    key_hash: npt.NDArray[np.uint64]
    position: npt.NDArray[np.uint64]
    timestamp_us: npt.NDArray[np.int64]
    deleted: npt.NDArray[np.bool_]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.key_hash)

    def take(self, rows: npt.NDArray[np.int64]) -> "CurrentVersions":
        """Give some of the entries."""
        return CurrentVersions(
            self.key_hash[rows],
            self.position[rows],
            self.timestamp_us[rows],
            self.deleted[rows],
            self.table.take(pa.array(rows)),
        )

    def by_key(self) -> dict[Key, CurrentVersion]:
        """Give the newest entry of each key."""
        column = {name: self.table.column(name).to_pylist() for name in self.table.column_names}
        entries = map(
            CurrentVersion,
            self.key_hash.tolist(),
            self.position.tolist(),
            self.timestamp_us.tolist(),
            column["customer_id"],
            column["content_hash"],
            self.deleted.tolist(),
        )
        newest: dict[Key, CurrentVersion] = {}
        keys = map(Key, column["account_id"], column["mode"], column["event_type"], column["record_id"])
        for key, entry in zip(keys, entries, strict=True):
            other = newest.get(key)
            if other is None or entry.position > other.position:
                newest[key] = entry
        return newest


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be written of a batch: facts, each true for ever.

    `versions` are those accepted; `current` are the rows of `versions` that their keys end the batch with.
    """

    versions: Versions
    superseded: Sequence[Lost]
    current: npt.NDArray[np.int64]


class VersionStore(Protocol):
    """Where versions rest.

    Each method may raise StoreUnavailableError; a write may then be stored in part or whole, and is repeated. Not
    promised: that rows of one write come to be seen together; only `mark_applied` shows them.
    """

    async def applied(self) -> Cutoff:
        """Give the newest cut-off: every row of every position up to it is written."""
        ...

    async def applied_at(self, moment: datetime) -> Cutoff:
        """Give the last cut-off that was marked at or before a moment."""
        ...

    async def last_marked_at(self) -> datetime | None:
        """Give the latest moment that a cut-off was marked with, or None before the first."""
        ...

    async def key_hashes(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        """Give the hashes in `low <= hash <= high` of all keys ever written, in any order, repeated or not."""
        ...

    async def keys_count(self, low: int = 0, high: int = KEY_HASH_MAX) -> int:
        """Give about how many keys have a hash in `low <= hash <= high`: those written twice may count twice."""
        ...

    async def current_versions(self, hashes: npt.NDArray[np.uint64]) -> CurrentVersions:
        """Give the index entry of every key that has one of these hashes; keys never seen are missing."""
        ...

    async def write(self, verdict: Verdict) -> None:
        """Write versions, then superseded, then keys: a key must not be in the index before its rows are."""
        ...

    async def retract(self, retraction: Retraction, at: Position, share: Share) -> None:
        """Supersede at `at` what matches and was current just before, of the keys in the share, and bury those keys.

        All earlier positions of the lane must have been written. May be repeated.
        """
        ...

    async def count_retracted(self, world: World, positions: Sequence[int]) -> int:
        """Count the versions of a world that deletions at these positions took."""
        ...

    async def mark_applied(self, marks: Mapping[int, Position], at: datetime) -> None:
        """Let readers see each lane up to a position: all rows up to there must have been written.

        The mark may carry a later time than `at`: what was known at a moment does not change once it was told.
        """
        ...


def world_of(key: Key) -> World:
    """Give the world that a key lies in."""
    return World(key.account_id, Mode(key.mode))
