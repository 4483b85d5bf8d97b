"""Metering windows: which usage a period bills, against a plain model that asks instant by instant."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.interval import Interval
from billing.periods import Calendar, Cycle
from billing.windows import (
    EACH_PERIOD,
    GRACE_US,
    Life,
    Metering,
    MeteringIntervalType,
    Span,
    metered_windows,
)
from metering.timestamps import DAY, EARLIEST_US, LATEST_US, microseconds
from metering.windows import Period, Window

MONTH, YEAR = Interval.of(Period.MONTHS, 1), Interval.of(Period.YEARS, 1)
UTC_ZONE = ZoneInfo("UTC")
CUSTOM, DURATION = MeteringIntervalType.CUSTOM, MeteringIntervalType.SUBSCRIPTION_DURATION


def at(text):
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def a_life(start="2026-01-01", *, end=None, interval=MONTH, windows=YEAR, anchor=None):
    return Life(
        at(start),
        None if end is None else at(end),
        at(start),
        Cycle(interval, UTC_ZONE),
        Cycle(windows, UTC_ZONE, None if anchor is None else at(anchor)),
    )


def span(start, end):
    return Span(at(start), at(end))


def test_a_payment_interval_is_its_own_window():
    """And there is nothing before it."""
    (window,) = metered_windows(Window(at("2026-02-01"), at("2026-03-01")), EACH_PERIOD, a_life())
    assert (window.so_far, window.earlier) == (span("2026-02-01", "2026-03-01"), ())


def test_a_year_billed_monthly_goes_on_from_month_to_month():
    """March is billed for January to March; by difference, less what had come by the ends of January and February."""
    march = Window(at("2026-03-01"), at("2026-04-01"))
    (window,) = metered_windows(march, Metering(CUSTOM, YEAR), a_life())
    assert (window.so_far, window.earlier) == (span("2026-01-01", "2026-04-01"), ())
    (window,) = metered_windows(march, Metering(CUSTOM, YEAR, None, bill_usage_difference=True), a_life())
    assert window.earlier == [span("2026-01-01", "2026-02-01"), span("2026-01-01", "2026-03-01")]
    (window,) = metered_windows(Window(at("2027-01-01"), at("2027-02-01")), Metering(CUSTOM, YEAR), a_life())
    assert window.so_far == span("2027-01-01", "2027-02-01")


def test_a_month_that_ends_one_window_and_begins_another_is_billed_for_both():
    """The commitment ends on 15 March, the month does not: no usage falls between."""
    life = a_life("2026-03-15", windows=YEAR, anchor="2026-03-15")
    metering = Metering(MeteringIntervalType.SUBSCRIPTION_COMMITMENT, None, None, bill_usage_difference=True)
    ended, begun = metered_windows(Window(at("2027-03-01"), at("2027-04-01")), metering, life)
    assert ended.so_far == span("2026-03-15", "2027-03-15")
    assert ended.earlier[-1] == span("2026-03-15", "2027-03-01")
    assert len(ended.earlier) == 12
    assert (begun.so_far, begun.earlier) == (span("2027-03-15", "2027-04-01"), [])
    (after,) = metered_windows(Window(at("2027-04-01"), at("2027-05-01")), metering, life)
    assert after.earlier == [span("2027-03-15", "2027-04-01")]


def test_a_year_billed_at_once_may_be_metered_by_the_month():
    """Each of the twelve has tiers of its own."""
    life = a_life(interval=YEAR, windows=MONTH)
    windows = metered_windows(Window(at("2026-01-01"), at("2027-01-01")), Metering(CUSTOM, MONTH), life)
    assert [window.so_far.start_us for window in windows] == [at(f"2026-{month:02}-01") for month in range(1, 13)]


def test_the_whole_database_is_all_that_is_stored_within_the_grace():
    """Whatever its timestamp; for an earlier period as it stood then."""
    metering = Metering(MeteringIntervalType.FULL_DATABASE, None, None, bill_usage_difference=True)
    (window,) = metered_windows(Window(at("2026-02-01"), at("2026-03-01")), metering, a_life())
    assert window.so_far == Span(EARLIEST_US, LATEST_US, at("2026-03-01") + GRACE_US)
    assert window.earlier == [Span(EARLIEST_US, LATEST_US, at("2026-02-01") + GRACE_US)]


def test_windows_of_a_start_of_their_own_count_nothing_before_it():
    """And are cut where the subscription starts."""
    metering = Metering(CUSTOM, YEAR, at("2026-02-10"))
    life = a_life(anchor="2026-02-10")
    assert metered_windows(Window(at("2026-01-01"), at("2026-02-01")), metering, life) == []
    (window,) = metered_windows(Window(at("2026-02-01"), at("2026-03-01")), metering, life)
    assert window.so_far == span("2026-02-10", "2026-03-01")
    (window,) = metered_windows(Window(at("2026-02-01"), at("2026-03-01")), metering, a_life(anchor="2025-06-01"))
    assert window.so_far == span("2026-01-01", "2026-03-01")


@pytest.mark.parametrize("end", ["2026-01-01", "2026-02-01"])
def test_nothing_is_billed_outside_of_a_life(end):
    """After it ended there are no windows."""
    life = a_life("2026-01-01", end=end)
    assert metered_windows(Window(at("2026-02-01"), at("2026-03-01")), Metering(DURATION), life) == []


intervals = st.builds(Interval.of, st.sampled_from(Period), st.integers(1, 5))
starts = st.integers(at("2020-01-01") // DAY, at("2030-01-01") // DAY).map(lambda day: day * DAY + DAY // 3)


zones = st.sampled_from(["UTC", "Europe/Paris", "Australia/Lord_Howe"]).map(ZoneInfo)


@given(starts, st.tuples(intervals, intervals), st.tuples(st.booleans(), st.booleans()), zones, st.data())
@settings(max_examples=100)
def test_by_difference_each_event_is_billed_in_one_period(start, cycles, anchors, zone, data):
    """Count events by a plain rule: the first period that ends after it, in the window that holds it."""
    payments, windows = [
        Cycle(interval, zone, start if anchored else None) for interval, anchored in zip(cycles, anchors, strict=True)
    ]
    life = Life(start, None, start, payments, windows)
    now = start + 90 * DAY
    periods = Calendar(payments, start, now).begun(start, now)
    offsets = data.draw(st.lists(st.integers(0, periods[-1].end_us - start - 1), max_size=12))
    events = sorted(start + offset for offset in offsets)
    kind = data.draw(st.sampled_from([CUSTOM, DURATION]))
    metering = Metering(kind, cycles[1], None, bill_usage_difference=True)
    billed = []
    for period in periods:
        for window in metered_windows(period, metering, life):
            had = [event for event in events if any(s.start_us <= event < s.end_us for s in window.earlier)]
            has = [event for event in events if window.so_far.start_us <= event < window.so_far.end_us]
            assert has[: len(had)] == had
            new = has[len(had) :]
            assert all(period.start_us <= event < period.end_us for event in new)
            billed += new
    assert billed == events
