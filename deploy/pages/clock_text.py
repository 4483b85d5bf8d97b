"""Write instants for people, always with the zone whose clocks they are read on."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from metering.timestamps import SECOND, microseconds
from metering.windows import Granularity
from metering.zones import wall_of

UTC = ZoneInfo("UTC")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clock_time(instant_us: int, zone: ZoneInfo = UTC) -> str:
    """Give `2026-11-21 13:49:53 UTC`; the fraction of a second is shown where there is one."""
    wall = wall_of(instant_us, zone)
    fraction = f"{wall.microsecond:06d}".rstrip("0")
    return f"{wall:%Y-%m-%d %H:%M:%S}{'.' if fraction else ''}{fraction} {zone_letters(wall, zone)}"


def list_time(instant_us: int) -> str:
    """Give `2026-11-21 13:49:53.034` of UTC, of one width, for columns; further digits are cut."""
    return wall_of(instant_us, UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


def clock_second(instant_us: int, zone: ZoneInfo = UTC) -> str:
    """Give what `clock_time` gives, to the second."""
    return clock_time(instant_us - instant_us % SECOND, zone)


def moment_text(moment: datetime) -> str:
    """Give what `clock_second` gives, for an aware date-time."""
    return clock_second(microseconds(moment))


def machine_time(instant_us: int) -> str:
    """Give RFC 3339 to the microsecond, for the `datetime` of a `<time>` and for links."""
    return wall_of(instant_us, UTC).replace(tzinfo=None).isoformat() + "Z"


def day_text(instant_us: int, zone: ZoneInfo) -> str:
    """Give `21 Nov 2026`, and the time of day when it is not midnight."""
    wall = wall_of(instant_us, zone)
    return _day(wall) if wall.time() == time.min else f"{_day(wall)}, {wall:%H:%M}"


def period_text(start_us: int, end_us: int, zone: ZoneInfo) -> str:
    """Name a range by its first and its last day, `1 Nov 2026 to 30 Nov 2026`; by instants when it cuts into days."""
    if any(wall_of(edge, zone).time() != time.min for edge in (start_us, end_us)):
        return f"{day_text(start_us, zone)} to {day_text(end_us, zone)}"
    first, last = day_text(start_us, zone), _day(wall_of(end_us - SECOND, zone))
    return first if first == last else f"{first} to {last}"


def window_text(start_us: int, granularity: Granularity, zone: ZoneInfo) -> str:
    """Name a window by its beginning: an hour, a day or a month."""
    wall = wall_of(start_us, zone)
    if granularity is Granularity.HOUR:
        return f"{wall:%Y-%m-%d %H:%M} {zone_letters(wall, zone)}"
    if granularity is Granularity.MONTH and wall.day == 1:
        return f"{_MONTHS[wall.month - 1]} {wall.year}"
    return f"{wall:%a} {wall:%Y-%m-%d}"


def axis_text(start_us: int, granularity: Granularity, zone: ZoneInfo) -> tuple[str, str]:
    """Give the two lines under a chart that name a window: the finer one, then the one it lies in."""
    wall = wall_of(start_us, zone)
    day = f"{wall.day} {_MONTHS[wall.month - 1]}"
    if granularity is Granularity.HOUR:
        return f"{wall:%H:%M}", day
    if granularity is Granularity.DAY:
        return day, str(wall.year)
    return _MONTHS[wall.month - 1], str(wall.year)


def age_text(age: timedelta) -> str:
    """Give how long ago, in the one unit that says it best."""
    seconds = max(0, int(age.total_seconds()))
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def zone_letters(wall: datetime, zone: ZoneInfo) -> str:
    """Give the abbreviation of a zone at a time, `CET`; UTC for UTC whatever it is called."""
    return wall.tzname() or zone.key


def _day(wall: datetime) -> str:
    return f"{wall.day} {_MONTHS[wall.month - 1]} {wall.year}"
