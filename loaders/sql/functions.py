"""Functions that do more than compute: they reach outside the database, write, wait, or run SQL out of a text.

For PostgreSQL and MySQL these are named, because users have functions of their own there, which a read-only
transaction and a read-only role hold back. BigQuery and Snowflake have neither, so what is not known is refused.
"""

import re
from collections.abc import Mapping

from loaders.sql.dialect import Dialect


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POSTGRES_HARMLESS = _names("""
    pg_typeof pg_column_size pg_get_viewdef pg_get_constraintdef pg_get_indexdef pg_get_expr pg_get_userbyid
    pg_size_pretty pg_table_size pg_total_relation_size pg_relation_size pg_client_encoding pg_encoding_to_char
    pg_column_compression pg_is_in_recovery pg_postmaster_start_time pg_table_is_visible pg_input_is_valid
    """)

_REFUSED: Mapping[Dialect, re.Pattern[str]] = {
    Dialect.POSTGRES: re.compile(
        r"""
        pg_.* | lo_.* | loread | lowrite | dblink.* | postgres_fdw_.* | file_fdw_.* | set_config | nextval | setval |
        (query|cursor|table|schema|database)_to_xml.* | xpath_table | xslt_process | ts_stat | ts_rewrite |
        crosstab\w* | connectby | txid_current | brin_.* | gin_clean_pending_list | binary_upgrade_.* | currtid\d? |
        http | http_.* | plpy.* | gp_.* | citus_.* | run_command_on_.* | timescaledb_.* |
        sleep | log_fdw.* | aws_.* | amqp_.* | utl_.* | dbms_.* |
        exec | execute | execute_.* | java_call
        """,
        re.VERBOSE,
    ),
    Dialect.MYSQL: re.compile(
        r"""
        sleep | benchmark | load_file | get_lock | release_lock | release_all_locks | is_free_lock | is_used_lock |
        master_pos_wait | source_pos_wait | master_gtid_wait | wait_for_executed_gtid_set |
        wait_until_sql_thread_after_gtids | sys_.* | lib_mysqludf.* | nextval | setval | lastval | last_insert_id |
        xml_load.* | group_replication_.* | mysql_.* | audit_log_.* | keyring_.* | version_tokens_.* | gen_.* |
        asynchronous_connection_failover_.* | service_.* | http_.* | mysqlx_.* | spider_.* | wsrep_.* |
        ps_.* | statistics_.* | load_.* | do_system | handlersocket.* | analyse | udf_.* | asymmetric_.* | create_.* |
        internal_.* | can_access_.* | remove_.*_privilege | set_.* | option_tracker_.* | mle_.* | ml_.* | sys
        """,
        re.VERBOSE,
    ),
    Dialect.BIGQUERY: re.compile(
        r"""
        external_query | vector_search | appends | changes |
        ml_.* | ai_.* | external_.* | load_.* | export_.*
        """,
        re.VERBOSE,
    ),
    Dialect.SNOWFLAKE: re.compile(
        r"""
        system\$.* | result_scan | identifier | directory | infer_schema | get_presigned_url | build_.*_url | to_file |
        get_stage_location | get_absolute_path | get_relative_path | fl_.* | ai_.* | cortex.* | complete | extract_.* |
        nextval | getnextval | table_data_.* | validate | validate_pipe_load | external_.* | exportdata | copy_.* |
        spcs_.* | try_complete | finetune | parse_document | search_preview | embed_text_.* | get_ddl |
        generate_column_description | explain_json | query_history.* | login_history.* | task_.* | .*_history |
        st_external.* | wait | randstr_file | current_ip_address | stage_.* | rest_.* | http_.* | notification_.*
        """,
        re.VERBOSE,
    ),
}

_REFUSED_SCHEMAS: Mapping[Dialect, re.Pattern[str]] = {
    Dialect.POSTGRES: re.compile(
        r"dbms_.* | utl_.* | aws_.* | cron | net | pgq | partman | http | dblink | plpy | pg_toast.*", re.VERBOSE
    ),
    Dialect.MYSQL: re.compile(r"mysql | sys", re.VERBOSE),
}

_REFUSED_TABLES = re.compile(
    r"""
    pg_authid | pg_shadow | pg_hba_file_rules | pg_ident_file_mappings | pg_file_settings | pg_user_mappings? |
    pg_largeobject | pg_subscription | pg_config | pg_stat_ssl | pg_foreign_server | pg_settings | pg_backend_memory.*
    """,
    re.VERBOSE,
)

BIGQUERY_FUNCTIONS = _names("""
    format_date format_datetime format_time format_timestamp parse_bignumeric parse_numeric bit_count range_bucket
    generate_uuid to_code_points code_points_to_string code_points_to_bytes normalize normalize_and_casefold
    regexp_extract regexp_extract_all regexp_instr regexp_contains soundex unicode instr last_day ieee_divide div
    safe_divide safe_multiply safe_add safe_subtract safe_negate json_keys json_type lax_bool lax_int64 lax_float64
    lax_string bool int64 float64 string
    init merge merge_partial extract init_int64 init_float64 extract_int64 extract_float64 merge_int64 merge_float64
    extract_point_int64 extract_point_float64 merge_point_int64 merge_point_float64
    """)
SNOWFLAKE_FUNCTIONS = _names("""
    to_timestamp_ntz to_timestamp_ltz to_timestamp_tz to_time to_char to_varchar to_double to_binary
    seq1 seq2 seq4 seq8
    is_array is_binary is_boolean is_char is_varchar is_date is_decimal is_double is_real is_integer is_null_value
    is_object is_time is_timestamp_ltz is_timestamp_ntz is_timestamp_tz as_array as_binary as_boolean as_char as_varchar
    as_date as_decimal as_number as_double as_real as_integer as_object as_time as_timestamp_ltz as_timestamp_ntz
    as_timestamp_tz object_keys object_pick array_flatten array_distinct array_except array_slice charindex editdistance
    haversine hash md5_hex md5_binary sha1_hex sha1_binary sha2_hex sha2_binary strtok strtok_to_array zeroifnull
    nullifzero nvl nvl2 try_to_number try_to_numeric try_to_decimal try_to_boolean try_to_double try_to_date
    try_to_time try_to_timestamp try_to_timestamp_ntz try_to_timestamp_ltz try_to_timestamp_tz try_parse_json
    to_variant to_object to_array to_json parse_json uuid_string to_geography date_from_parts time_from_parts
    timestamp_from_parts timestamp_ntz_from_parts timestamp_ltz_from_parts timestamp_tz_from_parts convert_timezone
    bitand bitor bitxor bitnot bitshiftleft bitshiftright trunc square cbrt factorial monthname dayname time_slice
    previous_day next_day months_between ratio_to_report conditional_change_event conditional_true_event
    """)
"""Functions of these two that sqlglot has no class for."""
GEOGRAPHY_PREFIX = "st_"
"""They all compute."""
SNOWFLAKE_TABLE_FUNCTIONS = frozenset({"flatten", "generator", "split_to_table", "strtok_split_to_table"})


_NAMESPACES: Mapping[Dialect, frozenset[str]] = {
    Dialect.BIGQUERY: frozenset({"safe", "net", "hll_count", "kll_quantiles"}),
    Dialect.SNOWFLAKE: frozenset(),
}
"""Where functions of the system live: any other qualified one is a user's, whatever its name."""


def refused_function(chain: list[str], dialect: Dialect) -> bool:
    """Tell whether a call of `schema.name(`, given as its parts in lower case, may not be in a query."""
    name = chain[-1]
    if dialect is Dialect.POSTGRES and name in _POSTGRES_HARMLESS:
        return False
    if dialect in _NAMESPACES and len(chain) > 1:
        return len(chain) > 2 or chain[0] not in _NAMESPACES[dialect] or bool(_REFUSED[dialect].fullmatch(name))
    if _REFUSED[dialect].fullmatch(name):
        return True
    return dialect in _REFUSED_SCHEMAS and any(_REFUSED_SCHEMAS[dialect].fullmatch(schema) for schema in chain[:-1])


def refused_name(chain: list[str], dialect: Dialect) -> bool:
    """Tell whether a table or column `schema.name`, given as its parts in lower case, may not be in a query."""
    if dialect is Dialect.POSTGRES:
        return any(_REFUSED_TABLES.fullmatch(name) for name in chain)
    if dialect is Dialect.MYSQL:
        return len(chain) > 1 and chain[0] == "mysql"
    if dialect is Dialect.SNOWFLAKE:
        return len(chain) > 1 and chain[-1] == "nextval"
    return False
