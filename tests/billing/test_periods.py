"""Billed periods: month ends, leap days, clocks that are turned, first and last partial periods."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.interval import Interval
from billing.invoices.begun import EVER, Outline, StartsWithin, open_periods
from billing.periods import Calendar, days_owed
from metering.timestamps import DAY, format_instant, microseconds
from metering.windows import Period, periods_between

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu")]
MONTH = Interval.of(Period.MONTHS, 1)
UTC_ZONE = ZoneInfo("UTC")


def at(text):
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def begun(start, now, *, interval=MONTH, zone=UTC_ZONE, cancelled=None):
    calendar = Calendar(interval, zone, at(start), at(now))
    windows = calendar.begun(at(start), at(now), None if cancelled is None else at(cancelled))
    return [tuple(format_instant(edge)[:16] for edge in window) for window in windows]


def test_the_first_period_is_partial_and_the_others_are_the_calendars():
    """From the 31st of a month: February is a whole month, not one of 31 days."""
    assert begun("2024-01-31", "2024-03-01") == [
        ("2024-01-31T00:00", "2024-02-01T00:00"),
        ("2024-02-01T00:00", "2024-03-01T00:00"),
        ("2024-03-01T00:00", "2024-04-01T00:00"),
    ]


def test_a_period_begins_with_its_first_instant():
    """A microsecond before it does not exist yet."""
    assert len(begun("2024-01-01", "2024-01-31T23:59:59.999999")) == 1
    assert len(begun("2024-01-01", "2024-02-01")) == 2
    assert begun("2024-01-02", "2024-01-01") == []


def test_a_cancellation_cuts_the_running_period_and_those_after_it():
    """At a boundary nothing of the next one begins; before the start there is nothing at all."""
    assert begun("2024-01-10", "2024-06-01", cancelled="2024-02-10") == [
        ("2024-01-10T00:00", "2024-02-01T00:00"),
        ("2024-02-01T00:00", "2024-02-10T00:00"),
    ]
    assert len(begun("2024-01-10", "2024-06-01", cancelled="2024-02-01")) == 1
    assert begun("2024-01-10", "2024-06-01", cancelled="2024-01-10") == []
    assert begun("2024-01-10", "2024-06-01", cancelled="2024-01-09") == []


@pytest.mark.parametrize(
    ("start", "interval", "zone", "left", "total"),
    [
        ("2026-01-01", (Period.MONTHS, 1), "UTC", 31, 31),
        ("2026-01-16T14:00", (Period.MONTHS, 1), "UTC", 16, 31),
        ("2026-01-31T23:59:59", (Period.MONTHS, 1), "UTC", 1, 31),
        ("2024-02-29", (Period.MONTHS, 1), "UTC", 1, 29),
        ("2023-02-28", (Period.MONTHS, 1), "UTC", 1, 28),
        ("2024-02-29", (Period.YEARS, 1), "UTC", 307, 366),
        ("2026-02-15", (Period.MONTHS, 3), "UTC", 45, 90),
        ("2026-01-07", (Period.WEEKS, 1), "UTC", 5, 7),
        ("2026-02-28T23:00", (Period.MONTHS, 1), "Europe/Paris", 31, 31),
        ("2026-02-28T22:59", (Period.MONTHS, 1), "Europe/Paris", 1, 28),
        ("2026-03-29T12:00", (Period.MONTHS, 1), "Europe/Paris", 3, 31),
        ("2011-12-29T12:00", (Period.MONTHS, 1), "Pacific/Apia", 3, 31),
    ],
)
def test_calendar_days_are_counted_from_the_first_one_on(start, interval, zone, left, total):
    """Leap days, days of 23 hours and the day that Samoa left out are days; the first one counts whole."""
    days = days_owed(at(start), Interval.of(*interval), ZoneInfo(zone))
    assert (days.left, days.total, days.share) == (left, total, Fraction(left, total))


instants = st.integers(at("2006-01-01"), at("2030-01-01"))
intervals = st.builds(Interval.of, st.sampled_from(Period), st.integers(1, 7))


@given(instants, st.integers(0, 400), intervals, st.sampled_from(ZONES), st.integers(0, 60))
def test_a_shared_calendar_gives_what_each_subscription_has_alone(start, days, interval, zone, earlier):
    """Gapless and ascending, whoever else it was made for; every share lies within 0 and 1."""
    now = start + days * DAY
    calendar = Calendar(interval, zone, start - earlier * DAY, now)
    windows = calendar.begun(start, now)
    assert windows == list(periods_between(start, now, interval.period, interval.count, zone))
    assert all(before.end_us == after.start_us for before, after in pairwise(windows))
    shares = [days_owed(window.start_us, interval, zone).share for window in windows]
    assert 0 < shares[0] <= 1
    assert all(share == 1 for share in shares[1:])


def test_open_periods_are_the_latest_first_and_have_ids_of_their_own():
    """Of several subscriptions and intervals; the same question gives the same ids."""
    week, now = Interval.of(Period.WEEKS, 1), at("2024-03-15")
    outlines = [
        Outline("sub_a", "UTC", at("2024-02-10"), None, [MONTH, week]),
        Outline("sub_b", "Europe/Paris", at("2024-03-01"), None, [MONTH]),
        Outline("sub_c", "UTC", at("2024-03-16"), None, [MONTH]),
    ]
    found = open_periods(outlines, now, EVER)
    starts = [one.window.start_us for one in found]
    assert starts == sorted(starts, reverse=True)
    assert len({one.invoice_id for one in found}) == len(found) == 2 + 6 + 1
    assert found == open_periods(outlines[::-1], now, EVER)
    march = StartsWithin(at("2024-03-01"), at("2024-03-02"))
    assert [one.subscription_id for one in open_periods(outlines, now, march)] == ["sub_b", "sub_a"]


def test_a_long_daily_life_is_still_quick():
    """Forty years of days are worked out once for all that share them."""
    day = Interval.of(Period.DAYS, 1)
    outlines = [Outline(f"sub_{index}", "UTC", at("1986-01-01") + index, None, [day]) for index in range(3)]
    began = datetime.now(UTC)
    assert len(open_periods(outlines, at("2026-01-01"), EVER)) == 3 * 14_611
    assert datetime.now(UTC) - began < timedelta(seconds=10)
