"""Which log an installation may go over to, by what it has applied: decided before anything is taken into it."""

from datetime import UTC, datetime

import pytest

from deploy.log_switch import LogSwitchError, follows_local_log
from deploy.settings import read_settings
from metering.registry.lanes import open_lane

LOCAL, OTHER, KAFKA = "log_1", "log_2", "kafka-cluster-topic"
URL = "kafka://host:9092/topic"


@pytest.fixture
def registry(sqlite_registry):
    return sqlite_registry


def decide(registry, data_dir, *applied, url=URL, folder=None):
    """Decide over a registry in which these logs have lanes, with a local log of this id in the folder."""
    if folder is not None:
        (data_dir / "log").mkdir()
        (data_dir / "log" / "log_id").write_text(f"{folder}\n")
    with registry.writing() as connection:
        for number, log_id in enumerate(applied):
            open_lane(connection, log_id, 0, datetime.now(UTC), applied[:number])
        settings = read_settings({"METERLINE_DATA_DIR": str(data_dir), **({"METERLINE_LOG_URL": url} if url else {})})
        return follows_local_log(connection, settings)


@pytest.mark.parametrize(
    ("applied", "folder", "follows"),
    [
        ((), None, False),
        ((), LOCAL, True),
        ((LOCAL,), LOCAL, True),
        ((LOCAL, KAFKA), LOCAL, True),
        ((KAFKA,), None, False),
        ((KAFKA,), LOCAL, False),
    ],
)
def test_a_log_in_kafka_follows_the_local_one_that_was_used_before(registry, tmp_path, applied, folder, follows):
    """From the first start on, and at each later one; a folder that nothing here came from is left alone."""
    assert decide(registry, tmp_path, *applied, folder=folder) is follows


@pytest.mark.parametrize("applied", [(KAFKA,), (LOCAL, KAFKA)])
def test_the_way_back_is_refused(registry, tmp_path, applied):
    """What lies in Kafka would never be counted."""
    with pytest.raises(LogSwitchError, match="METERLINE_LOG_URL is not set") as caught:
        decide(registry, tmp_path, *applied, url="", folder=LOCAL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", [None, OTHER])
def test_a_local_log_that_is_gone_is_told(registry, tmp_path, folder):
    """Also where another lies in its place."""
    with pytest.raises(LogSwitchError, match=r"put .*/log back"):
        decide(registry, tmp_path, LOCAL, folder=folder)


def test_a_local_log_goes_on(registry, tmp_path):
    """Without Kafka nothing is followed."""
    assert decide(registry, tmp_path, LOCAL, url="", folder=LOCAL) is False
