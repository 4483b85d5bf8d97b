"""The greatest value of a column, by what the column compares by."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from loaders.cells import decimals, instants, texts
from loaders.cursors import Cursor, greater, greatest, start_cursor
from loaders.errors import QueryError
from loaders.source import ABSENT, BadValue, Column, Kind


def of(kind, cells):
    return greatest(Column("c", "t", kind), cells)


def test_numbers_compare_by_value_and_keep_their_digits():
    assert of(Kind.NUMBER, ["9", "null", "10", ABSENT, BadValue("is NaN")]) == Cursor(Kind.NUMBER, 10)
    assert of(Kind.NUMBER, decimals([Decimal("9.9"), Decimal("10.123456789012345678901")])).value == Decimal(
        "10.123456789012345678901"
    )


def test_instants_come_back_as_what_is_bound():
    """Aware where the source knows the zone, naive where it does not."""
    aware, naive = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), datetime(2026, 1, 2)  # noqa: DTZ001 - so it is.
    for moment in (aware, naive):
        found = of(Kind.TIMESTAMP, instants([moment, moment.replace(year=2025), None]))
        assert found.parameter() == moment
        assert Cursor.from_document(found.document()) == found


def test_texts_compare_by_code_points_whatever_json_makes_of_them():
    values = ["a", 'a"', "a b", "a\\", "Z", "\x01", "é", "\U0001f600"]
    assert of(Kind.TEXT, texts(values)).value == max(values) == "\U0001f600"
    assert of(Kind.TEXT, texts(["a", "a b"])).value == "a b"


def test_nothing_but_nulls_says_nothing():
    assert of(Kind.TEXT, ["null", ABSENT]) is None
    assert greater(None, Cursor(Kind.NUMBER, 1)) == greater(Cursor(Kind.NUMBER, 1), None) == Cursor(Kind.NUMBER, 1)


def test_what_has_no_order_cannot_be_a_cursor():
    with pytest.raises(QueryError, match="of type t, which has no order"):
        of(Kind.OTHER, ["1"])


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (0, 0),
        (Decimal("1.5"), Decimal("1.5")),
        ("abc", "abc"),
        ("2026-01-31", datetime(2026, 1, 31)),  # noqa: DTZ001 - so it is.
        ("2026-01-31T10:00:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_a_start_is_bound_as_what_it_looks_like(value, bound):
    assert start_cursor(value).parameter() == bound
