"""Read the range of time that a request asks about: `[start_date, end_date)`, or the current month.

A date is 00:00 in the request's time zone, and so is a date-time's clock when it comes without an offset: somebody who
names a zone means its calendar.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from metering.timestamps import EPOCH, TimestampError, microseconds, parse_iso
from metering.zones import ZoneError, instant_of, midnight_of, wall_of, zone_named

_EARLIEST_US = microseconds(EPOCH.replace(year=1971))
_LATEST_US = microseconds(EPOCH.replace(year=2200))
_OFFSET = re.compile(r"\d{4}-\d\d-\d\d.+([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII)


class RangeError(ValueError):
    """A range that nothing can lie in, or that cannot be read; `fields` are the parameters to change."""

    def __init__(self, message: str, fields: tuple[str, ...]) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Range:
    """The instants `[start_us, end_us)`, microseconds since 1970 UTC, and the zone whose calendar divides them."""

    start_us: int
    end_us: int
    timezone: ZoneInfo


def parse_range(start_date: str | None, end_date: str | None, timezone: str | None = None, *, now_us: int) -> Range:
    """Give the range between two dates or date-times; without any, the calendar month of `now_us` in the zone.

    `timezone` is an IANA name, UTC when None; an empty text is as good as None.

    Raises:
        RangeError: an unknown zone, a bad or lone date, or a start that is not before the end.
    """
    try:
        zone = zone_named(timezone or "UTC")
    except ZoneError as error:
        raise RangeError(f"timezone: {error}", ("timezone",)) from None
    if not start_date and not end_date:
        return month_of(now_us, zone)
    if not start_date or not end_date:
        given, missing = ("start_date", "end_date") if start_date else ("end_date", "start_date")
        message = f"start_date and end_date go together: {given} came without {missing}; send both, or neither for the"
        raise RangeError(f"{message} current month", (missing,))
    start_us = parse_instant(start_date, "start_date", zone)
    end_us = parse_instant(end_date, "end_date", zone)
    if start_us >= end_us:
        message = f"start_date {start_date} is not before end_date {end_date}: the range is [start_date, end_date)"
        raise RangeError(message, ("start_date", "end_date"))
    return Range(start_us, end_us, zone)


def parse_instant(text: str, field: str, zone: ZoneInfo) -> int:
    """Give the instant that a date (00:00 in the zone) or a date-time (the zone's clock, unless it has an offset) is.

    Raises:
        RangeError: it is neither; `field` names it in the message.
    """
    try:
        as_utc = parse_iso(text)
    except TimestampError:
        message = f"{field}: {text[:64]!r} is no date: send 2023-11-16, or 2023-11-16T18:17:03Z"
        raise RangeError(message, (field,)) from None
    if not _EARLIEST_US <= as_utc < _LATEST_US:
        raise RangeError(f"{field}: {text} lies outside of the years 1971 to 2199: send a date within them", (field,))
    if _OFFSET.fullmatch(text):
        return as_utc
    return instant_of(EPOCH + timedelta(microseconds=as_utc), zone)


def month_of(instant_us: int, zone: ZoneInfo) -> Range:
    """Give the calendar month that holds an instant in the zone."""
    first = wall_of(instant_us, zone).date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Range(midnight_of(first, zone), midnight_of(following, zone), zone)
