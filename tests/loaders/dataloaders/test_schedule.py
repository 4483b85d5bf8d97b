"""When dataloaders run."""

from datetime import UTC, datetime, timedelta

import pytest

from loaders.dataloaders.schedule import CronError, check_cron, first_run, next_run

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("late", "following"),
    [
        (timedelta(), 15),
        (timedelta(minutes=14, seconds=59), 15),
        (timedelta(minutes=15), 30),
        (timedelta(hours=9), 555),
    ],
)
def test_intervals_keep_to_their_grid(late, following):
    """It begins where the schedule did, not where a run did."""
    assert next_run("15m", None, NOON, NOON + late) == NOON + timedelta(minutes=following)


def test_a_clock_that_goes_back_does_not_stop_a_schedule():
    assert next_run("5m", None, NOON, NOON - timedelta(days=9)) == NOON + timedelta(minutes=5)


def test_a_cron_is_in_utc_and_after_now():
    assert next_run(None, "0 12 * * *", NOON, NOON) == NOON + timedelta(days=1)
    assert first_run(None, "30 12 31 1 *", NOON) == NOON + timedelta(minutes=30)


def test_without_a_schedule_nothing_is_due():
    assert first_run(None, None, NOON) is next_run(None, None, NOON, NOON) is None


@pytest.mark.parametrize("text", ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "x * * * *", "H * * * *"])
def test_what_is_no_cron_is_refused(text):
    with pytest.raises(CronError):
        check_cron(text, NOON)


@pytest.mark.parametrize("text", ["*/5 * * * *", "0 4 * * 1-5", "0 0 29 2 *", "15,45 8-18 * jan,jul mon"])
def test_what_is_a_cron_is_taken(text):
    check_cron(text, NOON)
