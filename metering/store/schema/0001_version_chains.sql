-- Version chains: two sets that only grow, an index of what is current, and how far the log was applied.
-- Every row is a fact that stays true when it is written twice, so any replay is harmless.

-- Every version accepted. Read together with `superseded`, at a cut-off.
-- The order key begins with what every question names (whose, what, which customer, when), so one customer's month is
-- one primary-key range; `record_id` and `position` make the key one version, so that a replayed row collapses.
-- Partitioned by the month of the timestamp: rows of one version share the month, so FINAL need not look across.
-- `properties` is the record without its id, as canonical JSON text with sorted names: measured, it is stored twice as
-- fast as a Map of texts and a property is read from it as fast, with its exact digits.
CREATE TABLE IF NOT EXISTS events
(
    account_id LowCardinality(String),
    mode Enum8('test' = 0, 'prod' = 1),
    event_type LowCardinality(String),
    customer_id String,
    timestamp DateTime64(6, 'UTC'),
    record_id String,
    position UInt64,
    record_id_is_number Bool,
    properties String,
    received_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (account_id, mode, event_type, customer_id, timestamp, record_id, position)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;

-- One row for each version that lost, at the position at which it lost. The order key is that of `events`, so that
-- the losers of a range of events are one range here; within it they are told by position alone.
CREATE TABLE IF NOT EXISTS superseded
(
    account_id LowCardinality(String),
    mode Enum8('test' = 0, 'prod' = 1),
    event_type LowCardinality(String),
    customer_id String,
    timestamp DateTime64(6, 'UTC'),
    record_id String,
    position UInt64,
    lost_at UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (account_id, mode, event_type, customer_id, timestamp, record_id, position)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;

-- The current version of each key, or its tombstone: the row with the greatest position.
-- Ordered by a hash of the key first, so that looking up many random keys reads eight bytes a row; the key itself
-- follows, so that two keys of one hash never meet. Not partitioned by time: a key may be of any age.
CREATE TABLE IF NOT EXISTS event_keys
(
    key_hash UInt64,
    account_id LowCardinality(String),
    mode Enum8('test' = 0, 'prod' = 1),
    event_type LowCardinality(String),
    record_id String,
    position UInt64,
    timestamp DateTime64(6, 'UTC'),
    customer_id String,
    content_hash FixedString(16),
    deleted Bool
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (key_hash, account_id, mode, event_type, record_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;

-- One row for each batch applied whole, written after all its other rows: what readers may see, and when it came to be.
CREATE TABLE IF NOT EXISTS applied
(
    lane UInt16,
    position UInt64,
    committed_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (lane, position)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;
