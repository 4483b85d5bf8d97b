"""Divide a subscription's life into billed periods, by the calendar of its time zone or by its anniversaries.

A period is `[start, end)` in microseconds since 1970 UTC. By the calendar, the first one runs from the subscription's
start to the end of the calendar period that holds it. By anniversaries, each begins with the day of the month and the
time of day at which the subscription did: a month without that day has its last one instead, and the month after it
has that day again. The last period ends where the subscription was cancelled. Usage outside of a period is not in it;
a fee is owed for the share of calendar days from the period's first day on.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.interval import Interval
from metering.timestamps import DAY
from metering.windows import Period, Window, add_period, period_containing
from metering.zones import wall_of

_LENGTH_US = {Period.DAYS: DAY, Period.WEEKS: 7 * DAY, Period.MONTHS: 2_629_746_000_000}
"""How long a unit is on average; from it follows about which anniversary an instant is near."""
_OFF_BY_MAX = 3
"""So many anniversaries that guess may be off."""


class BillingCycleAlignment(StrEnum):
    """What periods begin with."""

    CALENDAR_PERIOD = "calendar_period"
    """The calendar: a month on its first day, a quarter in January, April, July and October."""
    ANNIVERSARY = "anniversary"
    """The day on which the subscription started."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The gapless periods of one interval in one zone: the calendar's, or the anniversaries of an anchor.

    Before its anchor a cycle has no periods.
    """

    interval: Interval
    zone: ZoneInfo
    anchor_us: int | None = None

    def holding(self, instant_us: int) -> Window:
        """Give the whole period that holds an instant."""
        period, count = self.interval.period, self.interval.count
        if self.anchor_us is None:
            return period_containing(instant_us, period, count, self.zone)
        assert instant_us >= self.anchor_us, "a cycle begins with its anchor"
        near = (instant_us - self.anchor_us) // (_LENGTH_US[period] * count)
        first = max(near - _OFF_BY_MAX, 0)
        edges = [self._anniversary(number) for number in range(first, near + _OFF_BY_MAX + 1)]
        after = bisect_right(edges, instant_us)
        return Window(edges[after - 1], edges[after])

    def edges(self, earliest_us: int, latest_us: int) -> list[int]:
        """Give where periods begin, ascending: from the one that holds `earliest_us` to the one after `latest_us`."""
        out = list(self.holding(earliest_us))
        while out[-1] <= latest_us:
            out.append(self.holding(out[-1]).end_us)
        return out

    def _anniversary(self, number: int) -> int:
        """Count from the anchor each time, so that a short month does not move the day for ever."""
        assert self.anchor_us is not None
        if number == 0:
            return self.anchor_us  # A wall time that comes twice would give its first occurrence.
        return add_period(self.anchor_us, self.interval.period, number * self.interval.count, self.zone)


class Calendar:
    """The periods of one cycle, worked out once for all the subscriptions that share it."""

    def __init__(self, cycle: Cycle, earliest_us: int, latest_us: int) -> None:
        """Cover every period that holds an instant from `earliest_us` to `latest_us`."""
        self._edges: Sequence[int] = cycle.edges(earliest_us, latest_us)

    def begun(self, starts_us: int, now_us: int, ends_us: int | None = None) -> list[Window]:
        """Give the billed periods of a life from `starts_us` that have begun by `now_us`, ascending.

        None has begun before `starts_us`, and none begins at `ends_us` or later. `starts_us` and `now_us` must be
        covered.
        """
        end_us = now_us + 1 if ends_us is None else min(now_us + 1, ends_us)
        if starts_us >= end_us:
            return []
        first = bisect_right(self._edges, starts_us)
        after = bisect_left(self._edges, end_us)
        starts = [starts_us, *self._edges[first:after]]
        ends = list(self._edges[first : after + 1])
        if ends_us is not None:
            ends[-1] = min(ends[-1], ends_us)
        return [Window(start, end) for start, end in zip(starts, ends, strict=True)]


def period_holding(instant_us: int, cycle: Cycle, starts_us: int, ends_us: int | None = None) -> Window | None:
    """Give the billed period of a life that holds an instant, begun or not; None where there is none."""
    if instant_us < starts_us or (ends_us is not None and instant_us >= ends_us):
        return None
    whole = cycle.holding(instant_us)
    end_us = whole.end_us if ends_us is None else min(whole.end_us, ends_us)
    return Window(max(whole.start_us, starts_us), end_us)


@dataclass(frozen=True, slots=True)
class Days:
    """How many calendar days of a period are owed for: `left` of `total`."""

    left: int
    total: int

    @property
    def share(self) -> Fraction:
        """Give the share, 1 for a whole period."""
        return Fraction(self.left, self.total)


def days_owed(start_us: int, cycle: Cycle) -> Days:
    """Count the calendar days from the day of `start_us` to the end of the whole period that holds it.

    The day on which it starts counts whole. So a period that begins with the cycle's is owed in full, and one that
    begins on 16 January at any hour is owed for 16 of the 31 days of the calendar's January.
    """
    whole = cycle.holding(start_us)
    first, last = wall_of(whole.start_us, cycle.zone).date(), wall_of(whole.end_us, cycle.zone).date()
    total = max((last - first).days, 1)
    if start_us == whole.start_us:
        return Days(total, total)
    left = (last - wall_of(start_us, cycle.zone).date()).days
    return Days(min(max(left, 1), total), total)  # Clocks turned back over midnight show a day of the period before.
