from datetime import UTC, datetime

import pytest

from metering.registry.lanes import ForeignLogError, open_lane

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection(sqlite_registry):
    with sqlite_registry.writing() as opened:
        yield opened


def test_a_log_that_follows_another_gets_higher_lanes(connection):
    """Each partition its own, the same at every call."""
    assert [open_lane(connection, "a", partition, NOW) for partition in range(2)] == [0, 1]
    assert [open_lane(connection, "b", partition, NOW, ["a"]) for partition in range(2)] == [2, 3]
    assert open_lane(connection, "b", 0, NOW, ["a"]) == 2
    assert open_lane(connection, "a", 1, NOW) == 1


def test_a_log_that_follows_none_of_those_with_lanes_is_refused(connection):
    """Also an older one's new partition, once a newer has lanes: it would lie above them."""
    open_lane(connection, "a", 0, NOW)
    with pytest.raises(ForeignLogError, match="filled from a"):
        open_lane(connection, "b", 0, NOW)
    open_lane(connection, "b", 0, NOW, ["a"])
    with pytest.raises(ForeignLogError):
        open_lane(connection, "a", 1, NOW)
