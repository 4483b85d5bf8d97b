"""When dataloaders run: by an interval or by a cron expression, in UTC.

Intervals keep to a grid that begins when the schedule was made (or resumed): runs do not drift, however long they take,
and loaders do not all begin at the same moment. What fell due several times, while nothing ran or while the run before
was under way, is caught up with by one run, as soon as it can; the next one is on the grid again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from croniter import CroniterError, croniter

REFRESH_INTERVALS: Mapping[str, timedelta] = {
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "3h": timedelta(hours=3),
    "6h": timedelta(hours=6),
    "12h": timedelta(hours=12),
    "24h": timedelta(hours=24),
}
CRON_CHARACTERS_MAX = 100
_YEARS_MAX = 5
_FIELDS = 5


class CronError(ValueError):
    """No cron expression as it is read here; the message says what is wrong."""


def check_cron(expression: str, now: datetime) -> None:
    """Refuse what is no cron expression, or one that names no moment of the next years.

    Raises:
        CronError: the message tells the value and the remedy.
    """
    example = 'send minute, hour, day of month, month, day of week, such as "15 * * * *" or "0 4 * * 1-5" (UTC)'
    if len(expression.split()) != _FIELDS:
        raise CronError(f"{expression[:60]!r} has not {_FIELDS} fields: {example}")
    try:
        _next_match(expression, now)
    except (CroniterError, ValueError, KeyError, OverflowError) as error:
        raise CronError(f"{expression[:60]!r} is no cron expression ({error}): {example}") from None


def first_run(refresh_interval: str | None, cron: str | None, now: datetime) -> datetime | None:
    """Give when a schedule that begins now is due first: at once by an interval; None when nothing is scheduled."""
    if refresh_interval is not None:
        return now
    return None if cron is None else _next_match(cron, now)


def next_run(
    refresh_interval: str | None, cron: str | None, scheduled_from: datetime, now: datetime
) -> datetime | None:
    """Give the first moment of a schedule that lies after now, None when nothing is scheduled."""
    if refresh_interval is None:
        return None if cron is None else _next_match(cron, now)
    interval = REFRESH_INTERVALS[refresh_interval]
    passed = max((now - scheduled_from) // interval, 0)
    return scheduled_from + (passed + 1) * interval


def _next_match(expression: str, now: datetime) -> datetime:
    found: datetime = croniter(expression, now, max_years_between_matches=_YEARS_MAX).get_next(datetime)
    return found
