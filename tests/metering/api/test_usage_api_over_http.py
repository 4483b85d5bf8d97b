"""Every question of the usage API once more, to a store that is reached over HTTP."""

import pytest

from tests.metering.api.test_usage_api import *  # noqa: F403 - the same claims, of another store.


@pytest.fixture
def store(served_store):
    return served_store
