"""A chart opens on the data."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.pages.opening import BARS_MAX, MONTHS_SHOWN_MAX, finest, fullest, opening_range, too_long
from metering.timestamps import DAY, EARLIEST_US, HOUR, LATEST_US
from metering.windows import Granularity, boundaries

unhurried = settings(deadline=None)

zones = st.sampled_from(["UTC", "Europe/Paris", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]).map(
    ZoneInfo
)
granularities = st.sampled_from([Granularity.HOUR, Granularity.DAY, Granularity.MONTH])


@unhurried
@given(st.integers(EARLIEST_US, LATEST_US - 1), st.integers(EARLIEST_US, LATEST_US - 1), granularities, zones)
def test_the_last_event_is_always_within(one, other, granularity, zone):
    """Whatever the span, the range ends after the last event, is cut to few enough bars, or is to be shortened."""
    first, last = sorted((one, other))
    opening = opening_range(first, last, granularity, zone)
    edges = boundaries(opening, granularity)
    assert opening.start_us <= last < opening.end_us
    assert len(edges) - 1 <= BARS_MAX or too_long(edges)


@unhurried
@given(st.integers(EARLIEST_US, LATEST_US - 100 * DAY), st.integers(0, 92 * DAY), zones)
def test_what_fits_is_shown_whole(first, length, zone):
    """Unasked, a span of up to three months is shown from its first event on."""
    last = first + length
    opening = opening_range(first, last, finest(first, last), zone)
    assert opening.start_us <= first


def test_granularity_follows_the_span():
    """Hours for days, days for months, months for years."""
    assert finest(0, 0) is Granularity.HOUR
    assert finest(0, 5 * DAY) is Granularity.DAY
    assert finest(0, 93 * DAY) is Granularity.MONTH
    assert finest(0, HOUR) is Granularity.HOUR


@pytest.mark.slow
@unhurried
@given(st.lists(st.integers(0, 5), min_size=MONTHS_SHOWN_MAX + 1, max_size=300))
def test_the_fullest_stretch_holds_most(counts):
    """No other stretch of that many months holds more events, and of equals it is the latest."""
    edges = list(range(len(counts) + 1))
    shown = fullest(edges, counts, ZoneInfo("UTC"))
    assert shown.end_us - shown.start_us == MONTHS_SHOWN_MAX
    held = sum(counts[shown.start_us : shown.end_us])
    stretches = [sum(counts[start : start + MONTHS_SHOWN_MAX]) for start in range(len(counts) - MONTHS_SHOWN_MAX + 1)]
    assert held == max(stretches)
    assert all(later < held for later in stretches[shown.start_us + 1 :])
