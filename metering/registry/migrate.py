"""Bring a registry to the shape this release knows: Alembic, forward only, refusing data from a newer release.

All missing migrations are one transaction that waits for everybody: of processes that start at once, one migrates, and
the others find it done.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from metering.errors import DataTooNewError
from metering.registry.engine import Registry
from metering.registry.postgresql import compare_by_bytes, require_safe_settings

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(registry: Registry) -> None:
    """Apply the missing migrations, in order. Harmless to repeat; a crash in the middle is finished by the next call.

    Raises:
        DataTooNewError: the registry is at a revision that this release does not know.
        RegistryUnavailableError: the database does not answer.
        RegistrySettingsError: PostgreSQL is set up so that it loses changes, or its user may not create tables.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with registry.writing(patient=True) as connection:
        if not registry.is_sqlite:
            require_safe_settings(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise DataTooNewError(
                f"the registry is at revision {current}, written by a newer Meterline: start that release, "
                "or restore an older backup"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if not registry.is_sqlite:
            compare_by_bytes(connection)
