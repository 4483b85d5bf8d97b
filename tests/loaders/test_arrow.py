"""Arrow's columns become JSON text without losing a digit, and what cannot be said is a fault of its row."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.limits import SourceLimits
from loaders.source import BadValue, Column, Kind
from loaders.sources.arrow import cells_of, json_cells, kind_of, pages_of

BYTES_MAX = 64


def cells(values, kind):
    return cells_of(pa.array(values, kind), BYTES_MAX)


def test_whole_numbers_booleans_and_nulls():
    assert cells([1, -(2**63), None], pa.int64()) == ["1", str(-(2**63)), "null"]
    assert cells([True, False, None], pa.bool_()) == ["true", "false", "null"]
    assert cells([None, None], pa.null()) == ["null", "null"]


@pytest.mark.parametrize("kind", [pa.decimal128(38, 18), pa.decimal256(76, 38)])
@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_decimals_keep_every_digit(kind, number):
    (cell,) = cells([number], kind)
    assert json.loads(cell, parse_float=Decimal, parse_int=Decimal) == number


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_back_as_the_same(number):
    (cell,) = cells([number], pa.float64())
    assert float(json.loads(cell)) == number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_a_fault_of_its_row_alone(number):
    good, bad, null = cells([1.5, number, None], pa.float64())
    assert (good, null) == ("1.5", "null")
    assert "JSON has no such number" in bad.message


@given(texts=st.lists(st.none() | st.text(max_size=8), max_size=8), first=st.integers(0, 8))
def test_text_is_read_back_as_the_same_wherever_the_column_begins(texts, first):
    kept = cells_of(pa.array(texts, pa.string()).slice(min(first, len(texts))), BYTES_MAX)
    assert [json.loads(cell) for cell in kept] == texts[first:]


def test_a_value_that_is_too_long_is_a_fault_of_its_row_alone():
    good, bad = cells(["x" * BYTES_MAX, "x" * (BYTES_MAX + 1)], pa.string())
    assert good == f'"{"x" * BYTES_MAX}"'
    assert f"{BYTES_MAX + 1} bytes" in bad.message


NANOSECONDS = 1_785_546_123_000_004_999


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (datetime(2026, 1, 31, 1, 2, 3, 4), pa.timestamp("us"), '"2026-01-31T01:02:03.000004"'),  # noqa: DTZ001
        (datetime(2026, 1, 31, tzinfo=UTC), pa.timestamp("us", "UTC"), '"2026-01-31T00:00:00.000000Z"'),
        (datetime(2026, 1, 31, tzinfo=UTC), pa.timestamp("s", "Europe/Paris"), '"2026-01-31T00:00:00.000000Z"'),
        (NANOSECONDS, pa.timestamp("ns", "UTC"), '"2026-08-01T01:02:03.000004Z"'),
        (-1, pa.timestamp("ns"), '"1969-12-31T23:59:59.999999"'),
        (-1000, pa.timestamp("ns"), '"1969-12-31T23:59:59.999999"'),
        (-1001, pa.timestamp("ns"), '"1969-12-31T23:59:59.999998"'),
        (date(2026, 1, 31), pa.date32(), '"2026-01-31"'),
        (time(1, 2, 3, 4), pa.time64("us"), '"01:02:03.000004"'),
        (1_000, pa.time64("ns"), '"00:00:00.000001"'),
        ([1, None, 3], pa.list_(pa.int64()), "[1,null,3]"),
        (['a"', "b"], pa.list_(pa.string()), '["a\\"","b"]'),
        ([], pa.list_(pa.string()), "[]"),
    ],
)
def test_values_of_each_type(value, kind, expected):
    assert cells([value, None], kind) == [expected, "null"]


@given(at=st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_instants_are_of_one_width_and_read_back_as_the_same(at):
    (cell,) = cells([at], pa.timestamp("us"))
    assert len(cell) == len('"2026-01-31T01:02:03.000004"')
    assert datetime.fromisoformat(json.loads(cell)) == at


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ({"a": 1}, pa.struct([("a", pa.int64())]), "select its fields"),
        ([{"a": 1}], pa.list_(pa.struct([("a", pa.int64())])), "array of objects"),
        ([[1]], pa.list_(pa.list_(pa.int64())), "array of arrays"),
        ([float("nan")], pa.list_(pa.float64()), "JSON has no such number"),
        (b"\x00", pa.binary(), "hex or base64"),
        (timedelta(1), pa.duration("us"), "cast it to text"),
        (10**18, pa.timestamp("s"), "calendar"),
        (["x" * 40, "y" * 40], pa.list_(pa.string()), "bytes long"),
    ],
)
def test_what_has_no_form_is_a_fault_of_its_row_alone(value, kind, words):
    if pa.types.is_timestamp(kind):
        kind, value = pa.timestamp("us"), 300_000_000_000_000_000
    bad, null = cells([value, None], kind)
    assert isinstance(bad, BadValue)
    assert words in bad.message
    assert null == "null"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a"', '"a"'),
        (" 1.50 ", "1.50"),
        ("null", "null"),
        ("[\n  1,\n  2.50,\n  null\n]", "[1,2.50,null]"),
        (None, "null"),
    ],
)
def test_json_is_what_it_says(text, expected):
    assert json_cells([text], BYTES_MAX) == [expected]


@pytest.mark.parametrize("text", ['{"a":1}', "[[1]]", '[{"a":1}]', "[undefined]", '"a', '1,"x":2', "", "[1]]"])
def test_json_that_is_nested_or_none_is_a_fault(text):
    assert isinstance(json_cells([text], BYTES_MAX)[0], BadValue)


def test_a_page_has_no_more_rows_and_bytes_than_it_may():
    batch = pa.record_batch({"id": pa.array(range(1000)), "text": pa.array(["x" * 1000] * 1000)})
    columns = [Column("id", "INT64", Kind.NUMBER), Column("text", "STRING", Kind.TEXT)]
    by_rows = list(pages_of(batch, columns, SourceLimits(), page_rows_max=300))
    assert [page.rows for page in by_rows] == [300, 300, 300, 100]
    assert [cell for page in by_rows for cell in page.cells[0]] == [str(number) for number in range(1000)]
    by_bytes = list(pages_of(batch, columns, SourceLimits(page_bytes_max=100_000), page_rows_max=1000))
    assert len(by_bytes) > 10
    assert sum(page.rows for page in by_bytes) == 1000


def test_json_is_read_from_text_and_from_what_arrow_nests():
    batch = pa.record_batch({"text": pa.array(["[1]"]), "nested": pa.array([[1]])})
    columns = [Column("text", "ARRAY"), Column("nested", "ARRAY")]
    (page,) = pages_of(batch, columns, SourceLimits(), page_rows_max=10, json_columns={0, 1})
    assert page.cells == [["[1]"], ["[1]"]]


def test_an_empty_batch_is_an_empty_page_with_its_columns():
    batch = pa.record_batch({"id": pa.array([], pa.int64())})
    (page,) = pages_of(batch, [Column("id", "INT64")], SourceLimits(), page_rows_max=10)
    assert (page.rows, page.cells) == (0, [[]])


def test_what_a_type_compares_by():
    assert [kind_of(kind) for kind in (pa.int64(), pa.decimal128(38, 9), pa.timestamp("us"), pa.string())] == [
        Kind.NUMBER,
        Kind.NUMBER,
        Kind.TIMESTAMP,
        Kind.TEXT,
    ]
    assert kind_of(pa.date32()) == Kind.OTHER
