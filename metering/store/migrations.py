"""Bring the store's tables to what this release needs.

Each file of `schema/` is one migration; its statements are applied in order, each once, and recorded after it was
done. Between a statement and its record a process may die, so every statement must be harmless when repeated
(`IF NOT EXISTS`); a test holds the files to that. So two processes may migrate at once.

In a cluster the database has to be of the engine `Replicated`, which carries statements to every replica; each table is
then made as the replicated kind of its engine, with the setting that a part which came from another replica is synced.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from metering.errors import StoreSettingsError, StoreTooNewError
from metering.store.client import Store
from metering.store.settings import REPLICATED_ONLY, TABLE

FACT_TABLES = ("events", "superseded", "event_keys", "applied", "dead_letters", "dead_letter_replays")
DERIVED_TABLES = ("rollups", "rollup_manifests")
"""May be emptied at any time; but a manifest must not outlive its segments because they were not synced."""

_CREATE_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    migration String,
    statement UInt32,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (migration, statement)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480
"""
_RECORDED = "SELECT DISTINCT migration, statement FROM schema_migrations"
_RECORD = "INSERT INTO schema_migrations (migration, statement) SELECT {migration:String}, {statement:UInt32}"
_TABLE_SETTINGS = (
    "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}"
)
_DATABASE = "SELECT name, engine FROM system.databases WHERE name = currentDatabase()"
_ENGINE = re.compile(r"^ENGINE = ((?:Replacing)?MergeTree)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One schema file: its name without the ending, and its statements in order."""

    name: str
    statements: Sequence[str]


def migrate(store: Store, migrations: Sequence[Migration] | None = None, *, replicated: bool = False) -> None:
    """Apply what is missing, then prove that the tables keep what was promised. May be called at every start.

    `replicated`: the store is a cluster whose replicas all keep everything.

    Raises:
        StoreTooNewError: a newer release has migrated this store; nothing was changed.
        StoreSettingsError: a table lacks a setting that durability rests on.
        StoreUnavailableError: some statements may have been applied; call again.
    """
    migrations = list(shipped()) if migrations is None else migrations
    _assert_database(store, replicated=replicated)
    store.command(as_replicated(_CREATE_RECORD) if replicated else _CREATE_RECORD)
    recorded = {(name, statement) for name, statement in store.select(_RECORDED)}

    unknown = sorted({name for name, _ in recorded} - {migration.name for migration in migrations})
    if unknown:
        raise StoreTooNewError(
            f"the store was migrated by a newer release ({unknown[-1]} is unknown here): "
            "run that release, or restore a backup"
        )
    for migration in migrations:
        for index, statement in enumerate(migration.statements):
            if (migration.name, index) not in recorded:
                store.command(as_replicated(statement) if replicated else statement)
                # Last: a crash before this line costs a repetition of one harmless statement.
                store.command(_RECORD, {"migration": migration.name, "statement": index})
    assert_tables(store, replicated=replicated)


def as_replicated(statement: str) -> str:
    """Give the statement that makes the replicated kind of the same table; others come back as they are."""
    made = _ENGINE.sub(r"ENGINE = Replicated\1", statement)
    return made if made == statement else f"{made},\n         {REPLICATED_ONLY} = 1"


def assert_tables(store: Store, *, replicated: bool = False) -> None:
    """Prove that each table syncs what it acknowledges and what it merges.

    Raises:
        StoreSettingsError: it names the table, the setting and what it should be.
    """
    rows = store.select(_TABLE_SETTINGS, {"names": [*FACT_TABLES, *DERIVED_TABLES]})
    engines: dict[str, str] = {row[0]: row[1] for row in rows}
    for table in (*FACT_TABLES, *DERIVED_TABLES):
        if table not in engines:
            raise StoreSettingsError(f"table {table} is missing from the store: it was migrated, and then dropped")
        if "MergeTree" not in engines[table]:
            continue  # A view or a Distributed table over tables that its own cluster files describe.
        if replicated and not engines[table].startswith("Replicated"):
            raise StoreSettingsError(
                f"table {table} is not replicated: it was made without METERLINE_STORE_REPLICATED=1; move its rows to "
                "a database made with it"
            )
        for name, value in {**TABLE, **({REPLICATED_ONLY: 1} if replicated else {})}.items():
            if f"{name} = {value}" not in engines[table]:
                raise StoreSettingsError(
                    f"table {table} lacks {name} = {value}: ALTER TABLE {table} MODIFY SETTING {name} = {value}"
                )


def _assert_database(store: Store, *, replicated: bool) -> None:
    """Refuse to make tables that a cluster would not replicate, before the first is made."""
    ((name, engine),) = store.select(_DATABASE)
    if replicated and engine != "Replicated":
        raise StoreSettingsError(
            f"METERLINE_STORE_REPLICATED=1, but the database {name} has the engine {engine}: make it with "
            f"CREATE DATABASE {name} ON CLUSTER ... ENGINE = "
            f"Replicated('/clickhouse/databases/{name}', '{{shard}}', '{{replica}}')"
        )
    if engine == "Replicated" and not replicated:
        raise StoreSettingsError(
            f"the database {name} has the engine Replicated: set METERLINE_STORE_REPLICATED=1, or its tables would be "
            "of one replica each"
        )


def shipped() -> Iterator[Migration]:
    """Read the migrations of this release, oldest first."""
    folder = files("metering.store") / "schema"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            yield Migration(file.name.removesuffix(".sql"), statements_of(file.read_text(encoding="utf-8")))


def statements_of(sql: str) -> list[str]:
    """Split a schema file: a statement ends with a semicolon at the end of a line, `--` lines are for the reader."""
    code = "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in (code + "\n").split(";\n") if statement.strip()]
