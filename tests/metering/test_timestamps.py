from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.timestamps import (
    EARLIEST_US,
    LATEST_US,
    TimestampError,
    format_instant,
    microseconds,
    parse_event_timestamp,
    parse_event_timestamps,
)

AT = microseconds(datetime(2023, 11, 16, 18, 17, 3, 979_000, tzinfo=UTC))


@pytest.mark.parametrize(
    "value",
    [
        "2023-11-16T18:17:03.979Z",
        "2023-11-16 18:17:03.979",
        "2023-11-16t18:17:03,979z",
        "2023-11-16T18:17:03.979000999Z",
        "2023-11-16T19:17:03.979+01:00",
        "2023-11-16T12:47:03.979-0530",
        "2023-11-16 20:17:03.979+02",
        1700158623979,
    ],
)
def test_every_accepted_form_names_the_same_instant(value):
    """The documented forms of one instant are read as that instant."""
    assert parse_event_timestamp(value) == AT
    assert parse_event_timestamps([value]).tolist() == [AT]


def test_what_is_left_out_is_zero():
    """Seconds and the time of day may be missing; no offset means UTC."""
    assert parse_event_timestamp("2022-01-05 21:56:52") == microseconds(datetime(2022, 1, 5, 21, 56, 52, tzinfo=UTC))
    assert parse_event_timestamp("2022-01-05T21:56Z") == microseconds(datetime(2022, 1, 5, 21, 56, tzinfo=UTC))
    assert parse_event_timestamp("2022-01-05") == microseconds(datetime(2022, 1, 5, tzinfo=UTC))


def test_digits_beyond_microseconds_are_cut():
    """0.9999999 s stays within its second."""
    assert parse_event_timestamp("2023-01-01T00:00:00.9999999Z") % 1_000_000 == 999_999


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1700158623, "epoch milliseconds, 1700158623000"),
        (-1, "outside of 1980-01-01"),
        (4102444800000, "outside"),
        ("1979-12-31T23:59:59.999999Z", "outside"),
        ("2100-01-01T00:00:00Z", "outside"),
        ("1980-01-01T00:00:00+00:01", "outside"),
        ("2023-02-29T00:00:00Z", "day is out of range"),
        ("2023-01-01T24:00:00Z", "hour must be"),
        ("2023-01-01T23:59:60Z", "second must be"),
        ("2023-01-01T00:00:00+24:00", "23:59"),
        ("2023-01-01T00:00:00.Z", "send ISO 8601"),
        ("1700158623979", "as a number"),
        ("٢٠٢٣-01-01T00:00:00Z", "send ISO 8601"),
        ("2023-01-01T00:00:00Z\n", "send ISO 8601"),
        ("", "send ISO 8601"),
        (True, "send ISO 8601"),
        (None, "send ISO 8601"),
        (1.5, "send ISO 8601"),
        ("x" * 10_000, "…"),
    ],
)
def test_a_refusal_names_the_value_and_the_remedy(value, says):
    """Whatever is no timestamp is refused, singly and in a column, in words that help."""
    with pytest.raises(TimestampError) as refusal:
        parse_event_timestamp(value)
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 300
    with pytest.raises(TimestampError):
        parse_event_timestamps(["2023-01-01T00:00:00Z", value])


@st.composite
def texts(draw):
    """Timestamps in and near the accepted forms, of a few lengths so that columns are shared."""
    year = draw(st.sampled_from([1979, 1980, 2000, 2023, 2024, 2099, 2100]))
    month, day, hour = draw(st.integers(0, 13)), draw(st.integers(0, 32)), draw(st.integers(0, 25))
    fraction = draw(st.sampled_from(["", ".", ".5", ".979", ".123456", ".1234567", ".99999999999", ".12x"]))
    suffix = draw(st.sampled_from(["", "Z", "z", "+00:00", "-05:30", "+23:59", "+24:00", "+0200", "-07", "+1x:00"]))
    mark = draw(st.sampled_from("TTT t_"))
    seconds = draw(st.sampled_from([":00", ":59", ":60", ""]))
    return f"{year}-{month:02}-{day:02}{mark}{hour:02}:{draw(st.integers(0, 60)):02}{seconds}{fraction}{suffix}"


@given(st.lists(st.one_of(texts(), st.integers(EARLIEST_US // 1000 - 9, LATEST_US // 1000 + 9), st.text(max_size=30))))
def test_a_column_is_read_as_its_values_are_singly(values):
    """The bulk reader accepts what the single one accepts, with the same results, and refuses what it refuses."""
    good = []
    for value in values:
        try:
            good.append((value, parse_event_timestamp(value)))
        except TimestampError:
            with pytest.raises(TimestampError):
                parse_event_timestamps([*[value for value, _ in good], value])
    assert parse_event_timestamps([value for value, _ in good]).tolist() == [instant for _, instant in good]


@given(
    st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001
    st.integers(-1439, 1439),
    st.sampled_from(["T", " "]),
)
def test_isoformat_is_read_back(wall, offset_minutes, mark):
    """What Python writes as ISO 8601, this reads as the same instant."""
    aware = wall.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert parse_event_timestamp(aware.isoformat(mark)) == microseconds(aware)


def test_instants_are_written_in_utc_with_milliseconds():
    """RFC 3339, UTC, milliseconds, `Z`; further digits are cut."""
    assert format_instant(AT) == "2023-11-16T18:17:03.979Z"
    assert format_instant(AT + 999) == "2023-11-16T18:17:03.979Z"
    assert format_instant(AT - 979_000) == "2023-11-16T18:17:03.000Z"
    paris = datetime(2023, 11, 16, 19, 17, 3, 979_999, tzinfo=timezone(timedelta(hours=1)))
    assert format_instant(paris) == "2023-11-16T18:17:03.979Z"
