-- Which rows came in, or lost, between two cut-offs: without reading every position of the world. Parts are merged of rows
-- that came in one after the other, so most of them lie before or behind a stretch of positions as a whole.
ALTER TABLE events ADD INDEX IF NOT EXISTS position_range position TYPE minmax GRANULARITY 1;

ALTER TABLE superseded ADD INDEX IF NOT EXISTS position_range position TYPE minmax GRANULARITY 1;

ALTER TABLE superseded ADD INDEX IF NOT EXISTS lost_at_range lost_at TYPE minmax GRANULARITY 1;

-- Months that are merged already would never get it otherwise. In the background; until it is done all of them are read.
ALTER TABLE events MATERIALIZE INDEX position_range;

ALTER TABLE superseded MATERIALIZE INDEX position_range;

ALTER TABLE superseded MATERIALIZE INDEX lost_at_range;

-- What an aggregator's figures gained and lost between two cut-offs: a segment. Its rows never change, and it counts once
-- its seal is there, which is written last and says how many rows it has by quarters of an hour.
-- A partition is a segment, so that one is dropped whole, with its seal. Ordered by what a question reads: a stretch of
-- time of all customers together, or of each customer by days, and by quarters of an hour at the ends.
CREATE TABLE IF NOT EXISTS rollups
(
    segment UInt64,
    account_id LowCardinality(String),
    mode Enum8('test' = 0, 'prod' = 1),
    grain Enum8('everybody' = 0, 'quarter' = 1, 'day' = 2, 'seal' = 3),
    slice DateTime('UTC'),
    customer_id String,
    total Decimal(76, 18),
    count Int64,
    not_numbers Int64,
    statement UInt32,
    written_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY segment
ORDER BY (account_id, mode, grain, slice, customer_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;

-- Which segments make up an aggregator's figures, and up to which cut-off: all together, in one row. Each generation is
-- right by itself, as long as its segments are there; the greatest is the newest.
CREATE TABLE IF NOT EXISTS rollup_manifests
(
    account_id LowCardinality(String),
    mode Enum8('test' = 0, 'prod' = 1),
    definition String,
    generation UInt64,
    lanes Array(UInt16),
    bounds Array(UInt64),
    segments Array(Tuple(id UInt64, rows UInt64)),
    aggregator String,
    written_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(generation)
ORDER BY (account_id, mode, definition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480;
