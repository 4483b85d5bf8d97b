"""Divide a subscription's life into billed periods: the calendar of its time zone, cut where it starts and ends.

A period is `[start, end)` in microseconds since 1970 UTC. The first one runs from the subscription's start to the end
of the calendar period that holds it; the last one ends where the subscription was cancelled. Usage outside of a
period is not in it; a fee is owed for the share of calendar days from the period's first day on.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.interval import Interval
from metering.windows import Window, period_containing
from metering.zones import wall_of


class Calendar:
    """The periods of one interval in one zone, worked out once for all the subscriptions that share them."""

    def __init__(self, interval: Interval, zone: ZoneInfo, earliest_us: int, latest_us: int) -> None:
        """Cover every period that holds an instant from `earliest_us` to `latest_us`."""
        self.interval = interval
        self.zone = zone
        window = period_containing(earliest_us, interval.period, interval.count, zone)
        edges = [window.start_us, window.end_us]
        while edges[-1] <= latest_us:
            edges.append(period_containing(edges[-1], interval.period, interval.count, zone).end_us)
        self._edges = edges

    def begun(self, starts_us: int, now_us: int, cancelled_us: int | None = None) -> list[Window]:
        """Give the billed periods of a subscription that have begun by `now_us`, ascending.

        None has begun before `starts_us`, and none begins at `cancelled_us` or later. `starts_us` and `now_us` must
        be covered.
        """
        end_us = now_us + 1 if cancelled_us is None else min(now_us + 1, cancelled_us)
        if starts_us >= end_us:
            return []
        first = bisect_right(self._edges, starts_us)
        after = bisect_left(self._edges, end_us)
        starts = [starts_us, *self._edges[first:after]]
        ends = self._edges[first : after + 1]
        if cancelled_us is not None:
            ends[-1] = min(ends[-1], cancelled_us)
        return [Window(start, end) for start, end in zip(starts, ends, strict=True)]


def period_holding(
    instant_us: int, interval: Interval, zone: ZoneInfo, starts_us: int, cancelled_us: int | None = None
) -> Window | None:
    """Give the billed period of a subscription that holds an instant, begun or not; None where there is none."""
    if instant_us < starts_us or (cancelled_us is not None and instant_us >= cancelled_us):
        return None
    whole = period_containing(instant_us, interval.period, interval.count, zone)
    end_us = whole.end_us if cancelled_us is None else min(whole.end_us, cancelled_us)
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


def days_owed(start_us: int, interval: Interval, zone: ZoneInfo) -> Days:
    """Count the calendar days from the day of `start_us` to the end of the calendar period that holds it.

    The day on which it starts counts whole. So a period that begins with the calendar's is owed in full, and one that
    begins on 16 January at any hour is owed for 16 of 31 days.
    """
    whole = period_containing(start_us, interval.period, interval.count, zone)
    first, last = wall_of(whole.start_us, zone).date(), wall_of(whole.end_us, zone).date()
    total = (last - first).days
    if start_us == whole.start_us:
        return Days(total, total)
    left = (last - wall_of(start_us, zone).date()).days
    return Days(min(max(left, 1), total), total)  # Clocks turned back over midnight show a day of the period before.
