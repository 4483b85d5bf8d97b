"""Bring a registry to the shape this release knows: Alembic, forward only, refusing data from a newer release."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from metering.errors import DataTooNewError
from metering.registry.engine import Registry

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(registry: Registry) -> None:
    """Apply the missing migrations, in order. Harmless to repeat; a crash in the middle is finished by the next call.

    Raises:
        DataTooNewError: the registry is at a revision that this release does not know.
        RegistryUnavailableError: the database does not answer.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with registry.writing() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise DataTooNewError(
                f"the registry is at revision {current}, written by a newer Meterline: start that release, "
                "or restore an older backup"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
