import re

import pytest

from metering.errors import StoreSettingsError, StoreTooNewError
from metering.store import settings
from metering.store.client import Store
from metering.store.migrations import Migration, assert_tables, migrate, shipped


def test_migrating_again_changes_nothing(store: Store):
    """A second start finds everything done."""
    before = store.select("SELECT count() FROM schema_migrations")
    migrate(store)
    assert store.select("SELECT count() FROM schema_migrations") == before


def test_a_crash_between_a_statement_and_its_record_is_made_good(store: Store):
    """A statement that was done but not recorded is repeated without harm, and recorded."""
    last = list(shipped())[-1]
    index = len(last.statements) - 1
    store.command(
        "ALTER TABLE schema_migrations DELETE WHERE migration = {name:String} AND statement = {index:UInt32} "
        "SETTINGS mutations_sync = 2",
        {"name": last.name, "index": index},
    )
    migrate(store)
    assert (last.name, index) in {
        tuple(row) for row in store.select("SELECT migration, statement FROM schema_migrations")
    }


def test_every_statement_may_be_repeated():
    """The files keep to statements that are harmless when they are run twice."""
    for migration in shipped():
        for statement in migration.statements:
            assert re.match(
                r"(CREATE TABLE IF NOT EXISTS|ALTER TABLE (.* IF (NOT )?EXISTS|\w+ M(ODIFY SETTING|ATERIALIZE INDEX)))",
                statement,
            ), migration.name


def test_a_store_of_a_newer_release_is_left_alone(store: Store):
    """An older release names the migration it does not know, and changes nothing."""
    newer = [*shipped(), Migration("9999_later", ["CREATE TABLE IF NOT EXISTS later (x UInt8) ENGINE = Memory"])]
    migrate(store, newer)
    try:
        with pytest.raises(StoreTooNewError, match="9999_later"):
            migrate(store)
    finally:
        store.command("ALTER TABLE schema_migrations DELETE WHERE migration = '9999_later' SETTINGS mutations_sync = 2")
        store.command("DROP TABLE later")


def test_a_table_that_does_not_sync_stops_the_start(store: Store):
    """Durability that somebody switched off is noticed, with the remedy in the message."""
    store.command("ALTER TABLE applied MODIFY SETTING fsync_after_insert = 0")
    try:
        with pytest.raises(StoreSettingsError, match="ALTER TABLE applied MODIFY SETTING fsync_after_insert = 1"):
            assert_tables(store)
    finally:
        store.command("ALTER TABLE applied MODIFY SETTING fsync_after_insert = 1")
    assert_tables(store)


def test_every_setting_we_pin_is_one_the_store_knows(store: Store):
    """A name misspelt in our list would pin nothing."""
    for session in (settings.READER, settings.WRITER):
        rows = store.select(
            "SELECT name FROM system.settings WHERE name IN {names:Array(String)}", {"names": list(session)}
        )
        assert {name for (name,) in rows} == set(session)
