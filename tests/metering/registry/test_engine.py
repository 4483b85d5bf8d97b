"""What the registry answers when two want the same thing."""

from datetime import UTC, datetime

import pytest

from metering.errors import RegistryUnavailableError
from metering.registry.tables import accounts


def test_who_runs_into_a_constraint_is_told_to_try_again_and_changed_nothing(registry):
    """Checks come before writes, so a constraint is met only by who was overtaken: the next try is told why."""
    row = accounts.insert().values(id="acc_1", name="acme", created_at=datetime.now(UTC))
    with registry.writing() as connection:
        connection.execute(row)

    def overtaken():
        with registry.writing() as connection:
            connection.execute(accounts.update().values(name="changed"))
            connection.execute(row)

    with pytest.raises(RegistryUnavailableError, match="changed at the same moment"):
        overtaken()
    with registry.reading() as connection:
        assert [name for (name,) in connection.execute(accounts.select().with_only_columns(accounts.c.name))] == [
            "acme"
        ]
