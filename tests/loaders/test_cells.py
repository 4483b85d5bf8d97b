"""Values of drivers become JSON text without losing a digit."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from loaders import cells
from loaders.source import BadValue


def test_decimals_keep_their_digits():
    assert cells.decimals([Decimal("1.50"), Decimal("12345678901234567890.123456789012345678"), None]) == [
        "1.50",
        "12345678901234567890.123456789012345678",
        "null",
    ]


def test_floats_are_their_shortest_decimal():
    assert cells.floats([0.1, -2.5, 1e22, None]) == ["0.1", "-2.5", "1e+22", "null"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_number_is_a_fault(value):
    (cell,) = cells.any_values([value])
    assert isinstance(cell, BadValue)
    assert "JSON has no such number" in cell.message


def test_texts_are_quoted_and_half_a_surrogate_is_a_fault_of_its_row_alone():
    good, bad = cells.texts(['a"\u00e9\n', "\ud800"])
    assert good == '"a\\"\u00e9\\n"'
    assert isinstance(bad, BadValue)


def test_instants_of_a_column_have_one_width():
    east = timezone(timedelta(hours=2))
    assert cells.instants([datetime(2026, 1, 31, 1, tzinfo=east), datetime(2026, 1, 31, tzinfo=UTC)]) == [
        '"2026-01-30T23:00:00.000000Z"',
        '"2026-01-31T00:00:00.000000Z"',
    ]
    assert cells.instants([datetime(2026, 1, 31, 1, 2, 3, 4)]) == ['"2026-01-31T01:02:03.000004"']  # noqa: DTZ001


def test_an_instant_beyond_the_calendar_is_a_fault():
    (cell,) = cells.instants([datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))])
    assert isinstance(cell, BadValue)


def test_values_without_a_column_type_are_told_by_what_they_are():
    values = [True, 1, Decimal("1.0"), 1.5, "x", date(2026, 1, 31), None, [1, "a", None]]
    assert cells.any_values(values) == ["true", "1", "1.0", "1.5", '"x"', '"2026-01-31"', "null", '[1,"a",null]']


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], [{"a": 1}], object()])
def test_what_is_nested_or_unknown_is_a_fault(value):
    (cell,) = cells.any_values([value])
    assert isinstance(cell, BadValue)
