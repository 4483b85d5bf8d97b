"""The settings that the promises rest on, each named here because a default of it has moved or may.

Session settings are sent with every client and read back at start-up; table settings stand in the schema and are
read back at start-up too. Nothing here is a matter of taste: beside each stands what breaks without it.
"""

from collections.abc import Mapping

Value = int | str

# Both kinds of client: an answer is whole or an error, and it does not depend on a profile somebody set.
SESSION: Mapping[str, Value] = {
    # An answer cut short would be a wrong invoice.
    "read_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "group_by_overflow_mode": "throw",
    "sort_overflow_mode": "throw",
    "distinct_overflow_mode": "throw",
    "set_overflow_mode": "throw",
    "join_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "limit": 0,
    "offset": 0,
    "skip_unavailable_shards": 0,
    "max_parallel_replicas": 1,
    "decimal_check_overflow": 1,
    # What a statement means must not hang on a server's profile.
    "final": 0,
    "join_use_nulls": 0,
    "transform_null_in": 0,
    "session_timezone": "UTC",
    # Figures come from the tables, not from an earlier answer.
    "use_query_cache": 0,
    "use_query_condition_cache": 0,
    # A look-up on a replica that lags would count an event twice.
    "select_sequential_consistency": 1,
}

WRITER: Mapping[str, Value] = {
    **SESSION,
    # An acknowledged insert is in a part on disk, not in a queue in memory.
    "async_insert": 0,
    "wait_for_async_insert": 1,
    "distributed_foreground_insert": 1,
    "insert_quorum": "auto",
    "insert_quorum_parallel": 0,
    "fsync_metadata": 1,
    # A replayed block is ours to judge: the store must neither drop nor double it.
    "insert_deduplicate": 0,
    # Of one insert no two rows are the same row, so looking for such pairs costs a fifth and finds none.
    "optimize_on_insert": 0,
    # One client whose batch spans 101 months would stop everyone.
    "max_partitions_per_insert_block": 0,
    # A look-up carries its keys in the statement: eleven bytes a key.
    "max_query_size": 64 << 20,
}

# One question may take this much and no more, so that it cannot stop the others or the consumer.
READER: Mapping[str, Value] = {
    **SESSION,
    "max_execution_time": 60,
    "max_memory_usage": 2 << 30,
    "max_bytes_before_external_group_by": 1 << 30,
    "max_bytes_before_external_sort": 1 << 30,
    "max_query_size": 4 << 20,
}

# Each table that holds facts: merged parts are not synced otherwise, and their synced sources are gone within a minute.
TABLE: Mapping[str, Value] = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "min_compressed_bytes_to_fsync_after_merge": 1,
    "old_parts_lifetime": 480,
}

REPLICATED_ONLY = "min_compressed_bytes_to_fsync_after_fetch"
"""To be 1 where tables are replicated: a replica counts for the quorum once it has a part, so that has to be synced."""
