"""The ways into a chart and out of it: from months to days to hours, and back. Pure.

A way is the fields of an address: where it begins and ends on the zone's clocks, and by what it is cut.
"""

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

from deploy.pages.clock_text import machine_time
from metering.ranges import Range
from metering.windows import Granularity, Period, period_containing
from metering.zones import midnight_of, wall_of

_FINER = {Granularity.MONTH: Granularity.DAY, Granularity.DAY: Granularity.HOUR}


def zoom_in(start_us: int, end_us: int, granularity: Granularity, zone: ZoneInfo) -> Mapping[str, str] | None:
    """Give the way into a window; None for an hour, which is the finest."""
    finer = _FINER.get(granularity)
    return None if finer is None else _way(start_us, end_us, finer, zone)


def zoom_out(shown: Range, granularity: Granularity) -> Mapping[str, str] | None:
    """Give the way out: from hours to months, from days to years, from months to where all data is."""
    zone, last_us = shown.timezone, shown.end_us - 1
    if granularity is Granularity.HOUR:
        start_us = period_containing(shown.start_us, Period.MONTHS, 1, zone).start_us
        return _way(start_us, period_containing(last_us, Period.MONTHS, 1, zone).end_us, Granularity.DAY, zone)
    if granularity is Granularity.DAY:
        first, last = wall_of(shown.start_us, zone).year, wall_of(last_us, zone).year
        start_us, end_us = (midnight_of(date(year, 1, 1), zone) for year in (first, last + 1))
        return _way(start_us, end_us, Granularity.MONTH, zone)
    return {"granularity": Granularity.MONTH.value}


def _way(start_us: int, end_us: int, granularity: Granularity, zone: ZoneInfo) -> dict[str, str]:
    return {
        "start_date": _edge(start_us, zone),
        "end_date": _edge(end_us, zone),
        "granularity": granularity.value,
    }


def _edge(instant_us: int, zone: ZoneInfo) -> str:
    """Give a day where it begins at midnight, else an instant that no change of clocks makes ambiguous."""
    wall = wall_of(instant_us, zone)
    return wall.date().isoformat() if wall.time() == wall.time().min else machine_time(instant_us)
