"""Lay out what is written as columns of the store's tables, and read its index back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metering.store.versions import (
    CONTENT_HASH_BYTES,
    CurrentVersion,
    CurrentVersions,
    Key,
    Lost,
    Verdict,
    Version,
    Versions,
)

INSTANT = pa.timestamp("us", tz="UTC")
NAMES = pa.dictionary(pa.int32(), pa.string())
"""Few different texts, many rows: accounts, modes, event types."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def versions_of(rows: Sequence[Version]) -> Versions:
    """Give rows as columns."""
    return Versions(
        key_hash=np.array([row.key_hash for row in rows], np.uint64),
        position=np.array([row.position for row in rows], np.uint64),
        timestamp_us=np.array([row.timestamp_us for row in rows], np.int64),
        received_at_us=np.array([row.received_at_us for row in rows], np.int64),
        table=pa.table(
            {
                "account_id": pa.array([row.key.account_id for row in rows], NAMES),
                "mode": pa.array([row.key.mode for row in rows], NAMES),
                "event_type": pa.array([row.key.event_type for row in rows], NAMES),
                "customer_id": pa.array([row.customer_id for row in rows], pa.string()),
                "record_id": pa.array([row.key.record_id for row in rows], pa.string()),
                "record_id_is_number": pa.array([row.record_id_is_number for row in rows], pa.bool_()),
                "properties": pa.array([row.properties for row in rows], pa.binary()),
                "content_hash": pa.array([row.content_hash for row in rows], pa.binary(CONTENT_HASH_BYTES)),
            }
        ),
    )


def join(parts: Sequence[Versions]) -> Versions:
    """Give the rows of at least one part, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    return Versions(
        key_hash=np.concatenate([part.key_hash for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        timestamp_us=np.concatenate([part.timestamp_us for part in parts]),
        received_at_us=np.concatenate([part.received_at_us for part in parts]),
        # One dictionary a column: what goes to the store may not change it half way.
        table=pa.concat_tables([part.table for part in parts]).unify_dictionaries().combine_chunks(),
    )


def event_columns(versions: Versions) -> pa.Table:
    """Give rows of `events`."""
    text = versions.table.column
    return pa.table(
        {
            "account_id": text("account_id"),
            "mode": text("mode"),
            "event_type": text("event_type"),
            "customer_id": text("customer_id"),
            "timestamp": _instants(versions.timestamp_us),
            "record_id": text("record_id"),
            "position": pa.array(versions.position),
            "record_id_is_number": text("record_id_is_number"),
            "properties": text("properties"),
            "received_at": _instants(versions.received_at_us),
        }
    )


def superseded_columns(lost: Sequence[Lost]) -> pa.Table:
    """Give rows of `superseded`."""
    return pa.table(
        {
            "account_id": pa.array([row.key.account_id for row in lost], NAMES),
            "mode": pa.array([row.key.mode for row in lost], NAMES),
            "event_type": pa.array([row.key.event_type for row in lost], NAMES),
            "customer_id": pa.array([row.customer_id for row in lost], pa.string()),
            "timestamp": pa.array([row.timestamp_us for row in lost], pa.int64()).cast(INSTANT),
            "record_id": pa.array([row.key.record_id for row in lost], pa.string()),
            "position": pa.array([row.position for row in lost], pa.uint64()),
            "lost_at": pa.array([row.lost_at for row in lost], pa.uint64()),
        }
    )


def key_columns(verdict: Verdict) -> pa.Table:
    """Give rows of `event_keys`."""
    current = verdict.versions.take(verdict.current)
    text = current.table.column
    return pa.table(
        {
            "key_hash": pa.array(current.key_hash),
            "account_id": text("account_id"),
            "mode": text("mode"),
            "event_type": text("event_type"),
            "record_id": text("record_id"),
            "position": pa.array(current.position),
            "timestamp": _instants(current.timestamp_us),
            "customer_id": text("customer_id"),
            "content_hash": text("content_hash"),
            "deleted": pa.array(np.zeros(len(current), np.bool_)),
        }
    )


def applied_columns(marks: Mapping[int, int], at: datetime) -> pa.Table:
    """Give rows of `applied`: the position of each lane."""
    return pa.table(
        {
            "lane": pa.array(list(marks), pa.uint16()),
            "position": pa.array(list(marks.values()), pa.uint64()),
            "committed_at": pa.array([at] * len(marks), INSTANT),
        }
    )


def current_versions_of(entries: Mapping[Key, CurrentVersion]) -> CurrentVersions:
    """Give index entries as columns."""
    versions = list(entries.values())
    return CurrentVersions(
        key_hash=np.array([version.key_hash for version in versions], np.uint64),
        position=np.array([version.position for version in versions], np.uint64),
        timestamp_us=np.array([version.timestamp_us for version in versions], np.int64),
        deleted=np.array([version.deleted for version in versions], np.bool_),
        table=pa.table(
            {
                "account_id": pa.array([key.account_id for key in entries], pa.string()),
                "mode": pa.array([key.mode for key in entries], pa.string()),
                "event_type": pa.array([key.event_type for key in entries], pa.string()),
                "record_id": pa.array([key.record_id for key in entries], pa.string()),
                "customer_id": pa.array([version.customer_id for version in versions], pa.string()),
                "content_hash": pa.array([version.content_hash for version in versions], pa.binary(CONTENT_HASH_BYTES)),
            }
        ),
    )


NOTHING_KNOWN = current_versions_of({})


def found_versions(found: pa.Table) -> CurrentVersions:
    """Read rows of `event_keys`."""
    number = {name: found.column(name).to_numpy() for name in ("key_hash", "position", "timestamp_us", "deleted")}
    return CurrentVersions(
        **number, table=found.select(["account_id", "mode", "event_type", "record_id", "customer_id", "content_hash"])
    )


def moment(microseconds: int) -> datetime:
    """Give microseconds since 1970 UTC as a date-time."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _instants(microseconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(microseconds).cast(INSTANT)
