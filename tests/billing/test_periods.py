"""Billed periods: month ends, leap days, clocks that are turned, first and last partial periods."""

from calendar import monthrange as calendar_days
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.interval import Interval
from billing.invoices.begun import EVER, Outline, StartsWithin, open_periods
from billing.periods import BillingCycleAlignment, Calendar, Cycle, days_owed, period_holding
from metering.timestamps import DAY, format_instant, microseconds
from metering.windows import Period, periods_between

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu")]
MONTH = Interval.of(Period.MONTHS, 1)
UTC_ZONE = ZoneInfo("UTC")


def at(text):
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def begun(start, now, *, interval=MONTH, zone=UTC_ZONE, cancelled=None):
    calendar = Calendar(Cycle(interval, zone), at(start), at(now))
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
    days = days_owed(at(start), Cycle(Interval.of(*interval), ZoneInfo(zone)))
    assert (days.left, days.total, days.share) == (left, total, Fraction(left, total))


instants = st.integers(at("2006-01-01"), at("2030-01-01"))
intervals = st.builds(Interval.of, st.sampled_from(Period), st.integers(1, 7))


@given(instants, st.integers(0, 400), intervals, st.sampled_from(ZONES), st.integers(0, 60))
def test_a_shared_calendar_gives_what_each_subscription_has_alone(start, days, interval, zone, earlier):
    """Gapless and ascending, whoever else it was made for; every share lies within 0 and 1."""
    now = start + days * DAY
    cycle = Cycle(interval, zone)
    calendar = Calendar(cycle, start - earlier * DAY, now)
    windows = calendar.begun(start, now)
    assert windows == list(periods_between(start, now, interval.period, interval.count, zone))
    assert all(before.end_us == after.start_us for before, after in pairwise(windows))
    shares = [days_owed(window.start_us, cycle).share for window in windows]
    assert 0 < shares[0] <= 1
    assert all(share == 1 for share in shares[1:])


def anniversaries(start, now, *, interval=MONTH, zone=UTC_ZONE, cancelled=None):
    cycle = Cycle(interval, zone, at(start))
    windows = Calendar(cycle, at(start), at(now)).begun(
        at(start), at(now), None if cancelled is None else at(cancelled)
    )
    return [format_instant(window.start_us)[:16] for window in windows] + [format_instant(windows[-1].end_us)[:16]]


@pytest.mark.parametrize(
    ("start", "now", "interval", "zone", "edges"),
    [
        (
            "2026-01-31",
            "2026-05-01",
            MONTH,
            "UTC",
            ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00", "2026-04-30T00:00", "2026-05-31T00:00"],
        ),
        ("2024-01-31", "2024-02-29", MONTH, "UTC", ["2024-01-31T00:00", "2024-02-29T00:00", "2024-03-31T00:00"]),
        (
            "2024-02-29",
            "2028-02-29",
            Interval.of(Period.YEARS, 1),
            "UTC",
            [f"{year}-02-{day}T00:00" for year, day in zip(range(2024, 2030), (29, 28, 28, 28, 29, 28), strict=True)],
        ),
        ("2024-03-14", "2024-03-14", Interval.of(Period.YEARS, 1), "UTC", ["2024-03-14T00:00", "2025-03-14T00:00"]),
        # In Paris the clock shows 2:30 on 28 February (1:30 UTC), 3:00 instead on 28 March, 2:30 on 28 April (0:30).
        (
            "2027-02-28T01:30",
            "2027-04-01",
            MONTH,
            "Europe/Paris",
            ["2027-02-28T01:30", "2027-03-28T01:00", "2027-04-28T00:30"],
        ),
        # It shows 2:30 twice on 31 October: an anniversary is the first, a start may be the second.
        (
            "2027-09-30T00:30",
            "2027-11-01",
            MONTH,
            "Europe/Paris",
            ["2027-09-30T00:30", "2027-10-30T00:30", "2027-11-30T01:30"],
        ),
        ("2027-10-31T01:30", "2027-11-01", MONTH, "Europe/Paris", ["2027-10-31T01:30", "2027-11-30T01:30"]),
        # Samoa had no 30 December 2011: the day that begins then is the one after it.
        (
            "2011-12-29T10:00",
            "2011-12-31T10:00",
            Interval.of(Period.DAYS, 1),
            "Pacific/Apia",
            ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00", "2012-01-01T10:00"],
        ),
    ],
)
def test_anniversaries_keep_the_day_and_the_time_of_the_start(start, now, interval, zone, edges):
    """A month that is too short has its last day, and the next one the day of the start again."""
    assert anniversaries(start, now, interval=interval, zone=ZoneInfo(zone)) == edges


def test_anniversaries_end_with_a_cancellation():
    """In the middle of a period."""
    assert anniversaries("2026-01-15", "2026-06-01", cancelled="2026-03-01")[-1] == "2026-03-01T00:00"


odd_zones = [
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Cairo",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Asia/Gaza",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "America/Asuncion",
    "Asia/Tehran",
    "Asia/Pyongyang",
]
every_zone = sorted(available_timezones())
life_instants = st.integers(at("1981-01-01"), at("2037-12-31"))


@pytest.mark.slow
@given(
    life_instants,
    st.integers(0, 900),
    intervals,
    st.sampled_from(odd_zones) | st.sampled_from(every_zone),
    st.booleans(),
)
@settings(max_examples=300)
def test_periods_tile_a_life_in_every_zone(start, days, interval, name, aligned):
    """Without a gap or an overlap, and each instant is in the period that `holding` gives for it."""
    zone, now = ZoneInfo(name), start + days * DAY
    cycle = Cycle(interval, zone, start if aligned else None)
    windows = Calendar(cycle, start, now).begun(start, now)
    assert windows[0].start_us == start
    assert windows[-1].start_us <= now < windows[-1].end_us
    assert all(one.end_us == other.start_us for one, other in pairwise(windows))
    assert all(one.start_us < one.end_us for one in windows)
    for window in (windows[0], windows[-1]):
        for instant in (window.start_us, (window.start_us + window.end_us) // 2, window.end_us - 1):
            assert period_holding(instant, cycle, start) == window


def plain_anniversary(start, number, interval, zone):
    """Count on a wall calendar, day by day: an independent reading for zones in which no day is left out."""
    wall = datetime.fromtimestamp(start // 1_000_000, zone)
    day = wall.date()
    if interval.period is Period.MONTHS:
        month = day.month - 1 + number * interval.count
        last = calendar_days(day.year + month // 12, month % 12 + 1)[1]
        day = day.replace(year=day.year + month // 12, month=month % 12 + 1, day=min(day.day, last))
    else:
        day += timedelta(days=number * interval.count * (7 if interval.period is Period.WEEKS else 1))
    return day, wall.time()


@given(life_instants.map(lambda us: us - us % 1_000_000), st.integers(1, 40), intervals, st.sampled_from(every_zone))
def test_an_anniversary_shows_the_starts_time_on_the_clock(start, number, interval, name):
    """Unless the clock jumps over it: then it is the instant of the jump, so a later time is shown."""
    zone = ZoneInfo(name)
    cycle = Cycle(interval, zone, start)
    edge = cycle.edges(start, start + 1)[1]
    for _ in range(number - 1):
        edge = cycle.holding(edge).end_us
    shown = datetime.fromtimestamp(edge // 1_000_000, zone)
    day, time = plain_anniversary(start, number, interval, zone)
    exists = shown.replace(tzinfo=None) == datetime.combine(day, time)
    before = datetime.fromtimestamp(edge // 1_000_000 - 1, zone)
    assert exists or shown.utcoffset() > before.utcoffset()


def test_a_later_subscription_shares_no_calendar_with_an_anniversary():
    """Each has edges of its own, and the same question gives the same ids."""
    aligned = BillingCycleAlignment.ANNIVERSARY
    outlines = [Outline("sub_a", "UTC", at("2024-01-31"), None, [MONTH], aligned)]
    outlines += [Outline("sub_b", "UTC", at("2024-01-31"), None, [MONTH])]
    found = open_periods(outlines, at("2024-03-05"), EVER)
    starts = {
        name: [one.window.start_us for one in found if one.subscription_id == name] for name in ("sub_a", "sub_b")
    }
    assert starts["sub_a"] == [at("2024-02-29"), at("2024-01-31")]
    assert starts["sub_b"] == [at("2024-03-01"), at("2024-02-01"), at("2024-01-31")]


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
