-- What came through the log and could not be counted: bytes, and why. Nothing here is in any figure.
-- Ordered by position, which names the letter, so that a replayed one collapses.
CREATE TABLE IF NOT EXISTS dead_letters
(
    position UInt64,
    account_id String,
    mode LowCardinality(String),
    reason String,
    payload String,
    kept_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY position
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;
