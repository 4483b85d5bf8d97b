"""Divide time by the calendar of a zone: the windows of a timeseries, and the periods that are billed.

Windows of a range are gapless: each begins where the one before ends, the first at the range's start, the last ends at
its end. They follow the zone's clocks, so a day has 23 or 25 hours when they are turned, and an hour that comes twice
is two windows. The calendar lives here alone: the store is handed the boundaries and never works them out.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from metering.ranges import Range
from metering.timestamps import HOUR
from metering.zones import instant_of, midnight_of, next_transition, offset_us, wall_of

WINDOWS_MAX = 10_000
_MONDAY = date(1970, 1, 5).toordinal()
_FIRST_DAY = date(1970, 1, 1).toordinal()


class WindowsError(ValueError):
    """A range holds more windows than one answer carries."""


class Granularity(StrEnum):
    """How long the windows of a timeseries are."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Period(StrEnum):
    """The unit of a billing interval."""

    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class Window(NamedTuple):
    """The instants `[start_us, end_us)`, microseconds since 1970 UTC."""

    start_us: int
    end_us: int


def boundaries(span: Range, granularity: Granularity, *, windows_max: int = WINDOWS_MAX) -> list[int]:
    """Give the instants that divide a range, ascending: its start, each boundary within, and its end.

    So n + 1 instants are n windows. Weeks begin on Monday.

    Raises:
        WindowsError: there would be more than `windows_max` windows.
    """
    steps = _hours(span) if granularity is Granularity.HOUR else _calendar(span, _PERIOD_OF[granularity])
    out = [span.start_us]
    for instant in steps:
        if instant >= span.end_us:
            break
        out.append(instant)
        if len(out) > windows_max:
            message = f"the range holds more than {windows_max} windows of one {granularity}: ask for a shorter range"
            raise WindowsError(f"{message} or a coarser granularity")
    out.append(span.end_us)
    return out


def windows(span: Range, granularity: Granularity, *, windows_max: int = WINDOWS_MAX) -> list[Window]:
    """Give the windows of a range, ascending and gapless.

    Raises:
        WindowsError: there would be more than `windows_max`.
    """
    edges = boundaries(span, granularity, windows_max=windows_max)
    return [Window(start, end) for start, end in pairwise(edges)]


def period_containing(instant_us: int, period: Period, count: int, zone: ZoneInfo) -> Window:
    """Give the calendar period that holds an instant.

    Periods of several units are aligned alike for everyone: months and years from January of year 0 (so 3 months are
    calendar quarters), weeks from Monday 1970-01-05, days from 1970-01-01.
    """
    assert count >= 1
    day = wall_of(instant_us, zone).date()
    start, end = (midnight_of(edge, zone) for edge in _period_of_day(day, period, count))
    while instant_us >= end:  # The clock was turned back over midnight: the day before comes once more.
        start, end = end, midnight_of(_next(wall_of(end, zone).date(), period, count), zone)
    return Window(start, end)


def periods_between(start_us: int, now_us: int, period: Period, count: int, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the periods begun by `now_us`, ascending: the first from `start_us` to the end of its calendar period.

    The last is the one that holds `now_us`; there is none when `now_us` lies before the start.
    """
    window = Window(start_us, period_containing(start_us, period, count, zone).end_us)
    while window.start_us <= now_us:
        yield window
        window = Window(window.end_us, period_containing(window.end_us, period, count, zone).end_us)


def add_months(day: date, months: int) -> date:
    """Move a day by calendar months; a day that the month does not have becomes its last."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    last = date((index + 1) // 12, (index + 1) % 12 + 1, 1) - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))


def add_period(instant_us: int, period: Period, count: int, zone: ZoneInfo) -> int:
    """Move an instant by so many units of the zone's calendar, keeping the time that the clock shows."""
    wall = wall_of(instant_us, zone)
    moved = _PLUS[period](wall.date(), count)
    return instant_of(datetime.combine(moved, wall.time()), zone)


_PLUS: dict[Period, Callable[[date, int], date]] = {
    Period.DAYS: lambda day, count: day + timedelta(days=count),
    Period.WEEKS: lambda day, count: day + timedelta(weeks=count),
    Period.MONTHS: add_months,
    Period.YEARS: lambda day, count: add_months(day, 12 * count),
}
_PERIOD_OF = {
    Granularity.DAY: Period.DAYS,
    Granularity.WEEK: Period.WEEKS,
    Granularity.MONTH: Period.MONTHS,
    Granularity.YEAR: Period.YEARS,
}


def _period_of_day(day: date, period: Period, count: int) -> tuple[date, date]:
    if period is Period.DAYS:
        start = date.fromordinal(day.toordinal() - (day.toordinal() - _FIRST_DAY) % count)
    elif period is Period.WEEKS:
        start = date.fromordinal(day.toordinal() - (day.toordinal() - _MONDAY) % (7 * count))
    elif period is Period.MONTHS:
        index = day.year * 12 + day.month - 1
        start = add_months(day.replace(day=1), -(index % count))
    else:
        start = date(day.year - day.year % count, 1, 1)
    return start, _PLUS[period](start, count)


def _next(day: date, period: Period, count: int) -> date:
    return _period_of_day(day, period, count)[1]


def _calendar(span: Range, period: Period) -> Iterator[int]:
    """Yield every first midnight of a period after the range's start."""
    edge = _next(wall_of(span.start_us, span.timezone).date(), period, 1)
    previous = span.start_us
    while True:
        instant = midnight_of(edge, span.timezone)
        if instant > previous:  # A day that a zone left out begins and ends at once, and is no window.
            yield instant
            previous = instant
        edge = _PLUS[period](edge, 1)


def _hours(span: Range) -> Iterator[int]:
    """Yield every full hour of the zone's clocks after the range's start, and every instant they are turned."""
    zone = span.timezone
    instant = span.start_us
    offset = offset_us(instant, zone)
    while True:
        following = instant + HOUR - (instant + offset) % HOUR
        offset_then = offset_us(following, zone)
        if offset_then != offset:
            following = next_transition(instant, following, zone)
            offset_then = offset_us(following, zone)
        yield following
        instant, offset = following, offset_then
