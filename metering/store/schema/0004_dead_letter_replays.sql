-- Which dead letters were sent through the log again. A table of its own, because a letter may be written once more by
-- a consumer that replays its batch, and that must not undo this.
-- Ordered by position, which names the letter.
CREATE TABLE IF NOT EXISTS dead_letter_replays
(
    position UInt64,
    replayed_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY position
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;
