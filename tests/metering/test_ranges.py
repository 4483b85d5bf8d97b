from datetime import UTC, datetime

import pytest

from metering.ranges import RangeError, parse_range
from metering.timestamps import format_instant, microseconds

NOW = microseconds(datetime(2024, 3, 31, 22, 30, tzinfo=UTC))


def bounds(*args):
    span = parse_range(*args, now_us=NOW)
    return format_instant(span.start_us), format_instant(span.end_us)


def test_without_dates_it_is_the_current_month_of_the_zone():
    """22:30 UTC on 31 March is March in London's winter no more: in Paris it is April already."""
    assert bounds(None, None, None) == ("2024-03-01T00:00:00.000Z", "2024-04-01T00:00:00.000Z")
    assert bounds(None, None, "Europe/Paris") == ("2024-03-31T22:00:00.000Z", "2024-04-30T22:00:00.000Z")


def test_a_date_is_midnight_in_the_zone():
    """A date, and a date-time without an offset, follow the zone's clocks; an offset speaks for itself."""
    assert bounds("2024-01-01", "2024-07-01", "Europe/Paris") == (
        "2023-12-31T23:00:00.000Z",
        "2024-06-30T22:00:00.000Z",
    )
    assert bounds("2024-01-01T12:00", "2024-01-01T12:00:00.5Z", "Europe/Paris") == (
        "2024-01-01T11:00:00.000Z",
        "2024-01-01T12:00:00.500Z",
    )


@pytest.mark.parametrize(
    ("start", "end", "zone", "fields"),
    [
        ("2024-01-01", None, None, ("end_date",)),
        (None, "2024-01-01", None, ("start_date",)),
        ("2024-01-01", "2024-01-01", None, ("start_date", "end_date")),
        ("2024-01-02", "2024-01-01", None, ("start_date", "end_date")),
        ("yesterday", "2024-01-01", None, ("start_date",)),
        ("0001-01-01", "2024-01-01", None, ("start_date",)),
        ("2024-01-01", "9999-12-31", "Asia/Tokyo", ("end_date",)),
        (None, None, "Mars/Olympus", ("timezone",)),
        (None, None, "../etc/passwd", ("timezone",)),
        (None, None, "Europe", ("timezone",)),
    ],
)
def test_a_bad_range_names_what_to_change(start, end, zone, fields):
    """Only one date, a start not before its end, a bad date or zone: the fields at fault are named."""
    with pytest.raises(RangeError) as refusal:
        parse_range(start, end, zone, now_us=NOW)
    assert refusal.value.fields == fields
    assert all(field in str(refusal.value) for field in fields)
