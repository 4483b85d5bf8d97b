"""Where a chart opens: on the data, at a granularity at which they can be told apart.

Nobody should have to guess a date before seeing anything. The range covers all events of the type if it can, cut to
whole days or months of the zone's calendar; where that would be too many bars, it is the end of the data, or for data
over many years the stretch with most events, so that one event with a wrong year hides nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from metering.ranges import Range
from metering.timestamps import DAY
from metering.windows import Granularity, Period, period_containing
from metering.zones import midnight_of, wall_of

BARS_MAX = 800
MONTHS_SHOWN_MAX = 36

_SHOWN_DAYS = {Granularity.HOUR: 7, Granularity.DAY: 93}
_HOURS_WITHIN = 4 * DAY
_DAYS_WITHIN = 92 * DAY


def finest(first_us: int, last_us: int) -> Granularity:
    """Give the finest granularity at which the data still fit a chart."""
    if last_us - first_us <= _HOURS_WITHIN:
        return Granularity.HOUR
    return Granularity.DAY if last_us - first_us <= _DAYS_WITHIN else Granularity.MONTH


def opening_range(first_us: int, last_us: int, granularity: Granularity, zone: ZoneInfo) -> Range:
    """Give the range to open with for data from `first_us` to `last_us`, both inclusive.

    By months it covers everything; see `too_long` and `fullest` for what is then to be cut.
    """
    if granularity is Granularity.MONTH:
        start = period_containing(first_us, Period.MONTHS, 1, zone).start_us
        return Range(start, period_containing(last_us, Period.MONTHS, 1, zone).end_us, zone)
    last_day = wall_of(last_us, zone).date()
    first_day = max(wall_of(first_us, zone).date(), last_day - timedelta(days=_SHOWN_DAYS[granularity] - 1))
    return Range(midnight_of(first_day, zone), midnight_of(last_day + timedelta(days=1), zone), zone)


def too_long(edges: Sequence[int]) -> bool:
    """Tell whether these months are more than a chart opens with."""
    return len(edges) - 1 > MONTHS_SHOWN_MAX


def fullest(edges: Sequence[int], counts: Sequence[int], zone: ZoneInfo) -> Range:
    """Give the stretch of `MONTHS_SHOWN_MAX` months that holds most events; of equals, the latest."""
    held = sum(counts[:MONTHS_SHOWN_MAX])
    best, best_held = 0, held
    for start, (leaving, entering) in enumerate(zip(counts, counts[MONTHS_SHOWN_MAX:], strict=False), start=1):
        held += entering - leaving
        if held >= best_held:
            best, best_held = start, held
    return Range(edges[best], edges[best + MONTHS_SHOWN_MAX], zone)
