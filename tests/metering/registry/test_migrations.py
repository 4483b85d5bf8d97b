"""The migrations bring a database to the shape that the tables declare, and refuse what they do not know."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import tests.tables  # noqa: F401 - declares every table of the registry.
from metering.errors import DataTooNewError
from metering.registry.aggregators import find_aggregator
from metering.registry.definitions import list_definitions, newest_revision, revision_at
from metering.registry.engine import Registry
from metering.registry.migrate import _SCRIPTS, migrate
from metering.registry.tables import metadata
from metering.timestamps import microseconds
from metering.world import Mode, World


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def registry(request, tmp_path):
    """A registry in which there is nothing yet."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/registry.db"
    else:
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.database())
    registry = Registry(url)
    yield registry
    registry.close()


def test_a_migrated_database_has_the_declared_shape(registry):
    """Nothing is left for autogenerate to add or to take away."""
    migrate(registry)
    with registry.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_migrating_twice_changes_nothing(registry):
    """A second start finds everything as it was."""
    migrate(registry)
    migrate(registry)


def test_a_newer_registry_is_refused_with_one_clear_line(registry):
    """Data from a later release are left alone."""
    migrate(registry)
    with registry.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DataTooNewError, match="revision 9999, written by a newer Meterline"):
        migrate(registry)


def test_aggregators_that_were_there_before_versions_are_version_one(registry):
    """As they are then, since they were made, in the order in which they were; nobody is known to have changed them."""
    with registry.writing(patient=True) as connection:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        before = ScriptDirectory.from_config(config).get_revision("0007").down_revision
        config.attributes["connection"] = connection
        command.upgrade(config, before)
        connection.execute(sa.text("INSERT INTO accounts (id, name, created_at) VALUES ('acc_1', 'a', 1)"))
        for name, created_at in (("late", 7), ("early", 5)):
            connection.execute(
                sa.text(
                    "INSERT INTO aggregators (id, account_id, mode, name, entity, operation, property, status, details,"
                    " created_at, updated_at) VALUES (:name, 'acc_1', 'test', :name, 'call', 'sum', 'n', 'active',"
                    " '{}', :created_at, 9)"
                ),
                {"name": name, "created_at": created_at},
            )
    migrate(registry)
    with registry.reading() as connection:
        world = World("acc_1", Mode.TEST)
        early = find_aggregator(connection, world, "early")
        (only,), total = list_definitions(connection, early, take=9, skip=0)
        assert (total, only.aggregator, only.changed_by, microseconds(only.changed_at)) == (1, early, None, 5)
        assert (early.version, newest_revision(connection, world)) == (1, 2)
        assert revision_at(connection, world, only.changed_at) == 1
