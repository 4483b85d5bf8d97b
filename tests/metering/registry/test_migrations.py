"""The migrations bring a database to the shape that the tables declare, and refuse what they do not know."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import billing.tables  # noqa: F401 - declares its tables in the same metadata.
import ingest.erasure.tables
import ingest.imports.tables
import ingest.prices.tables  # noqa: F401 - likewise.
from metering.errors import DataTooNewError
from metering.registry.engine import Registry
from metering.registry.migrate import migrate
from metering.registry.tables import metadata


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
