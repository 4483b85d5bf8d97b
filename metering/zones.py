"""Turn what a clock on the wall shows into instants and back, in IANA time zones.

Clocks are turned: a wall time may come twice, or not at all. Here a wall time that comes twice is its first
occurrence, and one that is skipped is the instant at which the clock jumped over it; so later wall times never give
earlier instants, and a day's midnight is always the instant at which that day begins.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metering.timestamps import EPOCH, SECOND, microseconds


class ZoneError(ValueError):
    """A name is no IANA time zone."""


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """Give the time zone of an IANA name such as `Europe/Paris`.

    Raises:
        ZoneError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ZoneError(f"{name[:64]!r} is no time zone: send an IANA name, such as Europe/Paris or UTC") from None


def wall_of(instant_us: int, zone: ZoneInfo) -> datetime:
    """Give what a clock in the zone shows at an instant (microseconds since 1970 UTC), as an aware date-time."""
    return (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)


def instant_of(wall: datetime, zone: ZoneInfo) -> int:
    """Give the first instant, in microseconds since 1970 UTC, at which a clock in the zone shows `wall` or later.

    `wall` is naive, or its zone is disregarded.
    """
    aware = wall.replace(tzinfo=zone, fold=0)
    instant = microseconds(aware)
    if wall_of(instant, zone).replace(tzinfo=None) == aware.replace(tzinfo=None):
        return instant
    # Skipped: read with the offset after the jump it lies before the jump, read with the one before it lies after.
    return next_transition(microseconds(aware.replace(fold=1)), instant, zone)


def midnight_of(day: date, zone: ZoneInfo) -> int:
    """Give the instant at which a day begins in the zone."""
    return instant_of(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001 - the zone is the other argument.


def offset_us(instant_us: int, zone: ZoneInfo) -> int:
    """Give how far the zone's clocks are ahead of UTC at an instant, in microseconds."""
    offset = wall_of(instant_us, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


def next_transition(before_us: int, after_us: int, zone: ZoneInfo) -> int:
    """Give the instant in `(before_us, after_us]` from which the zone's offset is that at `after_us`.

    There must be exactly one transition between the two; it falls on a whole second.
    """
    old = offset_us(before_us, zone)
    low, high = before_us // SECOND, after_us // SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if offset_us(middle * SECOND, zone) == old:
            low = middle
        else:
            high = middle
    return high * SECOND
