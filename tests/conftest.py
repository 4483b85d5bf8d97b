"""What every test may ask for.

The engine runs once in a process and has one path, so all tests of a process share one store; a test stays apart
from the others by working in a `world` of its own.
"""

from collections.abc import Iterator

import pytest

from metering.ids import new_id
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.world import Mode, World


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A real, migrated, embedded store."""
    opened = Store.open(f"chdb://{tmp_path_factory.mktemp('store')}")
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def world() -> World:
    """A world that no other test knows."""
    return World(new_id("acc"), Mode.TEST)
