import zoneinfo
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.ranges import Range, parse_range
from metering.timestamps import DAY, EARLIEST_US, HOUR, LATEST_US, MINUTE, microseconds
from metering.windows import (
    Granularity,
    Period,
    WindowsError,
    add_months,
    add_period,
    boundaries,
    period_containing,
    periods_between,
    windows,
)
from metering.zones import instant_of, midnight_of, wall_of

ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Antarctica/Troll",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.integers(EARLIEST_US, LATEST_US - 1)


def lengths(start, end, zone, granularity):
    span = parse_range(start, end, zone, now_us=0)
    return [(window.end_us - window.start_us) / HOUR for window in windows(span, granularity)]


def test_days_follow_the_clocks():
    """A day has 23 hours when clocks go forward and 25 when they go back."""
    assert lengths("2024-03-30", "2024-04-02", "Europe/Paris", Granularity.DAY) == [24, 23, 24]
    assert lengths("2024-10-26", "2024-10-29", "Europe/Paris", Granularity.DAY) == [24, 25, 24]


def test_a_repeated_hour_is_two_windows():
    """The day of 25 hours has 25 hourly windows, and the day of 23 has 23."""
    assert len(lengths("2024-10-27", "2024-10-28", "Europe/Paris", Granularity.HOUR)) == 25
    assert len(lengths("2024-03-31", "2024-04-01", "Europe/Paris", Granularity.HOUR)) == 23


def test_hours_of_a_half_hour_zone_are_its_own():
    """In Kolkata an hour begins at half past the hour of UTC; on Lord Howe the clocks turn by half an hour."""
    span = parse_range("2024-01-01", "2024-01-02", "Asia/Kolkata", now_us=0)
    assert {edge % HOUR for edge in boundaries(span, Granularity.HOUR)} == {30 * MINUTE}
    assert sorted(set(lengths("2024-04-07", "2024-04-08", "Australia/Lord_Howe", Granularity.HOUR))) == [0.5, 1]


def test_a_day_that_a_zone_skipped_is_no_window():
    """Samoa had no 30 December 2011."""
    assert lengths("2011-12-29", "2012-01-01", "Pacific/Apia", Granularity.DAY) == [24, 24]


def test_a_day_whose_midnight_is_skipped_begins_when_the_clock_jumps():
    """In Havana clocks go from 00:00 to 01:00: the day begins at 01:00 and has 23 hours."""
    zone = ZoneInfo("America/Havana")
    assert wall_of(midnight_of(date(2024, 3, 10), zone), zone).hour == 1
    assert lengths("2024-03-10", "2024-03-11", "America/Havana", Granularity.DAY) == [23]


def test_windows_are_cut_to_the_range():
    """Months of a range that begins and ends within months; weeks begin on Monday."""
    span = parse_range("2024-01-15", "2024-03-02", None, now_us=0)
    days = [(window.end_us - window.start_us) // DAY for window in windows(span, Granularity.MONTH)]
    assert days == [17, 29, 1]
    mondays = [wall_of(edge, span.timezone).weekday() for edge in boundaries(span, Granularity.WEEK)[1:-1]]
    assert set(mondays) == {0}


def test_too_many_windows_are_refused():
    """The limit is named, with what to do about it."""
    span = parse_range("2000-01-01", "2010-01-01", None, now_us=0)
    with pytest.raises(WindowsError, match="10000 windows of one hour: ask for a shorter range"):
        windows(span, Granularity.HOUR)
    assert len(windows(parse_range("2000-01-01", "2000-01-11", None, now_us=0), Granularity.DAY, windows_max=10)) == 10


@given(zones, instants, st.integers(1, 400 * DAY), st.sampled_from(Granularity))
def test_windows_are_gapless_and_each_lies_in_one_unit_of_the_calendar(zone, start, length, granularity):
    """Windows meet without a gap, none is empty, and within one all instants share the calendar's unit."""
    span = Range(start, start + length, zone)
    edges = boundaries(span, granularity)
    assert (edges[0], edges[-1]) == (span.start_us, span.end_us)
    form = {"hour": "%Y%m%d%H%z", "day": "%Y%m%d", "week": "%G%V", "month": "%Y%m", "year": "%Y"}[granularity]
    units = []
    for begin, end in pairwise(edges):
        assert begin < end
        first, last = (wall_of(instant, zone).strftime(form) for instant in (begin, end - 1))
        if granularity is Granularity.HOUR or zone.key != "America/St_Johns":
            assert (
                first == last
            )  # St John's turned its clocks at 00:01: one minute of a day comes before its last hour.
        units.append(first)
    assert len(set(units)) == len(units)


@given(zones, instants, st.sampled_from(Period), st.integers(1, 24))
def test_calendar_periods_tile_time(zone, instant, period, count):
    """An instant lies in its period, and the period after it begins where it ends."""
    window = period_containing(instant, period, count, zone)
    assert window.start_us <= instant < window.end_us
    assert period_containing(window.start_us, period, count, zone) == window
    assert period_containing(window.end_us - 1, period, count, zone) == window
    assert period_containing(window.end_us, period, count, zone).start_us == window.end_us


def test_periods_are_aligned_to_the_calendar():
    """One month is a calendar month, three a quarter, twelve a year; weeks begin on Monday."""
    zone = ZoneInfo("Europe/Paris")
    at = microseconds(datetime(2024, 5, 15, 12, tzinfo=zone))

    def starts(period, count):
        return wall_of(period_containing(at, period, count, zone).start_us, zone).strftime("%Y-%m-%d %H:%M")

    assert starts(Period.MONTHS, 1) == "2024-05-01 00:00"
    assert starts(Period.MONTHS, 3) == "2024-04-01 00:00"
    assert starts(Period.MONTHS, 12) == starts(Period.YEARS, 1) == "2024-01-01 00:00"
    assert starts(Period.WEEKS, 1) == "2024-05-13 00:00"
    assert starts(Period.DAYS, 1) == "2024-05-15 00:00"


def test_periods_of_a_subscription_begin_at_its_start():
    """The first period is cut, the others are whole, the last holds now; before the start there is none."""
    zone = ZoneInfo("Europe/Paris")
    start = microseconds(datetime(2024, 1, 20, 15, tzinfo=zone))
    now = microseconds(datetime(2024, 4, 1, tzinfo=zone))
    periods = list(periods_between(start, now, Period.MONTHS, 1, zone))
    assert [wall_of(period.start_us, zone).strftime("%m-%d %H") for period in periods] == [
        "01-20 15",
        "02-01 00",
        "03-01 00",
        "04-01 00",
    ]
    assert all(before.end_us == after.start_us for before, after in pairwise(periods))
    assert list(periods_between(start, start - 1, Period.MONTHS, 1, zone)) == []


def test_adding_months_keeps_to_the_month():
    """31 January plus one month is the last of February; months go over years both ways."""
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2023, 12, 15), 1) == date(2024, 1, 15)
    assert add_months(date(2024, 1, 31), -2) == date(2023, 11, 30)
    zone = ZoneInfo("Europe/Paris")
    noon = microseconds(datetime(2024, 3, 30, 12, tzinfo=zone))
    assert add_period(noon, Period.DAYS, 1, zone) - noon == 23 * HOUR


@given(
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})),
    st.datetimes(datetime(1980, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001 - wall times have no zone yet.
)
def test_a_later_wall_time_is_never_an_earlier_instant(name, wall):
    """Wall times and instants keep one order, in every zone there is."""
    zone = ZoneInfo(name)
    here, later = instant_of(wall, zone), instant_of(wall + timedelta(minutes=30), zone)
    assert here <= later
    assert wall_of(here, zone).replace(tzinfo=None) >= wall
    assert wall_of(here - 1, zone).replace(tzinfo=None) < wall
