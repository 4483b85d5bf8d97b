"""Documents become cells without losing a digit, or the fault of a value."""

import json
import math
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bson
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from loaders.errors import QueryError
from loaders.source import ABSENT, BadValue, Kind
from loaders.sources.mongodb.documents import COLUMNS_MAX, Documents

STANDARD = CodecOptions(uuid_representation=bson.binary.UuidRepresentation.STANDARD)
NOON = datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC)


def paged(*documents, into=None, value_bytes_max=65_536):
    """Give the page of some documents; `into`: the pages that it comes after."""
    into = into or Documents(value_bytes_max)
    return into.page([bson.encode(document, codec_options=STANDARD) for document in documents])


def by_name(page):
    """Give the cells of each column."""
    return {column.name: list(cells) for column, cells in zip(page.columns, page.cells, strict=True)}


@pytest.mark.parametrize(
    ("value", "cell", "kind"),
    [
        (ObjectId("65a000000000000000000001"), '"65a000000000000000000001"', "objectId"),
        (1, "1", "int"),
        (Int64(2**63 - 1), "9223372036854775807", "long"),
        (0.1, "0.1", "double"),
        (1e22, "1e+22", "double"),
        (Decimal128("1.50"), "1.50", "decimal"),
        (Decimal128("-12345678901234567890.123456789"), "-12345678901234567890.123456789", "decimal"),
        (Decimal128("0.000"), "0.000", "decimal"),
        (Decimal128("-0.001"), "-0.001", "decimal"),
        (Decimal128("1E+3"), "1E+3", "decimal"),
        (Decimal128("1E-6176"), "1E-6176", "decimal"),
        (True, "true", "bool"),
        ('a"\n', '"a\\"\\n"', "string"),
        ("", '""', "string"),
        (NOON, '"2026-01-31T12:00:00.123000Z"', "date"),
        (datetime(1, 1, 1, tzinfo=UTC), '"0001-01-01T00:00:00.000000Z"', "date"),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"', "uuid"),
        (None, "null", "null"),
        ([], "[]", "array"),
        ([1, "a", None, NOON, Decimal128("1.0")], '[1,"a",null,"2026-01-31T12:00:00.123000Z",1.0]', "array"),
    ],
)
def test_values_become_json(value, cell, kind):
    """Each by what it is."""
    page = paged({"a": value})
    assert by_name(page) == {"a": [cell]}
    assert page.columns[0].type == kind
    json.loads(cell)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "JSON has no such number"),
        (-math.inf, "JSON has no such number"),
        (Decimal128("NaN"), "JSON has no such number"),
        (Decimal128("-Infinity"), "JSON has no such number"),
        (DatetimeMS(2**62), "years 1 to 9999"),
        (DatetimeMS(-(2**62)), "years 1 to 9999"),
        ({"b": 1}, "object"),
        (DBRef("a", 1), "object"),
        ([[1]], "array of arrays"),
        ([{"a": 1}], "array with a value that is an object"),
        ([1, math.nan], "array with a value that is nan"),
        (b"x", "binary"),
        (Binary(b"x", 5), "binary"),
        (Binary(b"0" * 16, 3), "binary"),
        (Regex("x"), "regular expression"),
        (Code("x"), "code"),
        (Code("x", {"a": 1}), "code"),
        (Timestamp(1, 1), "toDate"),
        (MinKey(), "MinKey"),
        (MaxKey(), "MaxKey"),
    ],
)
def test_what_has_no_form_in_json_is_a_fault_of_its_value(value, words):
    """The rest of its column comes."""
    first, bad, last = by_name(paged({"a": 1}, {"a": value}, {"a": 2}))["a"]
    assert (first, last) == ("1", "2")
    assert words in bad.message


def test_half_an_encoding_is_a_fault_of_its_value():
    """A server may hold text that is none."""
    raw = bson.encode({"a": "xx"}).replace(b"xx", b"\xff\xfe")
    good, bad = Documents(1000).page([bson.encode({"a": "b"}), raw]).cells[0]
    assert good == '"b"'
    assert "no valid text" in bad.message


def test_a_field_that_a_document_lacks_is_absent_and_not_null():
    """The columns are the fields of all."""
    page = paged({"a": 1, "b": None}, {"b": 2, "c": "x"}, {})
    assert by_name(page) == {"a": ["1", ABSENT, ABSENT], "b": ["null", "2", ABSENT], "c": [ABSENT, '"x"', ABSENT]}
    assert page.rows == 3


def test_later_pages_have_all_columns_of_earlier_ones():
    """And may add some."""
    into = Documents(1000)
    paged({"a": 1, "b": 1}, into=into)
    page = paged({"c": 1, "b": 2}, into=into)
    assert by_name(page) == {"a": [ABSENT], "b": ["2"], "c": ["1"]}


@pytest.mark.parametrize(
    ("values", "kind", "compares"),
    [
        ([1, Int64(2), 0.5, Decimal128("1")], "number", Kind.NUMBER),
        ([1, None], "int", Kind.NUMBER),
        ([NOON, None], "date", Kind.TIMESTAMP),
        (["a", 1], "mixed", Kind.OTHER),
        ([None], "null", Kind.TEXT),
        ([ObjectId()], "objectId", Kind.TEXT),
        ([True], "bool", Kind.OTHER),
    ],
)
def test_a_column_says_what_it_compares_by(values, kind, compares):
    """Numbers of all kinds compare with each other, and what is mixed with nothing; so over pages too."""
    (column,) = paged(*({"a": value} for value in values)).columns
    assert (column.type, column.kind) == (kind, compares)
    into = Documents(1000)
    for value in values:
        (column,) = paged({"a": value}, into=into).columns
    assert (column.type, column.kind) == (kind, compares)


def test_a_value_too_long_for_an_event_is_a_fault():
    """Counted in bytes."""
    short, long, wide = by_name(paged({"a": "x" * 98}, {"a": "x" * 99}, {"a": "é" * 98}, value_bytes_max=100))["a"]
    assert short == f'"{"x" * 98}"'
    assert "has 101 bytes: at most 100" in long.message
    assert "has 198 bytes" in wide.message


def test_too_many_fields_are_refused():
    """A document used as a map would have a column for each of its keys."""
    with pytest.raises(QueryError, match="projection"):
        paged(*({f"key{n}": n} for n in range(COLUMNS_MAX + 1)))


def test_what_is_no_document_is_refused():
    """The server's fault, told as one."""
    with pytest.raises(QueryError, match="cannot be read"):
        Documents(1000).page([b"\x08\x00\x00\x00\x02a\x00\x00"])


def texts():
    """Give text as BSON holds it."""
    return st.text(st.characters(exclude_categories=["Cs"]))


def decimals():
    """Give every bit pattern of a decimal, valid or not."""
    return st.binary(min_size=16, max_size=16).map(Decimal128.from_bid)


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    decimals(),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=4).map(Decimal128),
    texts(),
    st.binary(max_size=20),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.uuids(),
    st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001 - UTC to the driver.
)
DOCUMENTS = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.one_of(PLAIN, st.lists(PLAIN, max_size=4), st.just({"x": 1}))),
    min_size=1,
    max_size=8,
)


@given(DOCUMENTS)
def test_any_document_comes_through_exactly_or_is_a_fault(documents):
    """Nothing is changed on its way, and nothing lost."""
    cells = by_name(paged(*documents))
    assert set(cells) == {name for document in documents for name in document}
    for name, column in cells.items():
        for document, cell in zip(documents, column, strict=True):
            if name not in document:
                assert cell == ABSENT
            elif isinstance(cell, BadValue):
                assert _may_be_a_fault(document[name])
            else:
                assert _read(cell) == _meant(document[name])


def _read(cell):
    return json.loads(cell, parse_float=Decimal, parse_int=Decimal)


def _meant(value):
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_meant(one) for one in value]
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int):
        return Decimal(int(value))
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, DatetimeMS):
        value = datetime(1970, 1, 1) + timedelta(milliseconds=int(value))  # noqa: DTZ001 - as the driver gives it.
    if isinstance(value, datetime):
        cut = value.replace(microsecond=value.microsecond // 1000 * 1000)
        return f"{cut.isoformat(timespec='microseconds')}Z"
    return str(value)


def _may_be_a_fault(value):
    if isinstance(value, list):
        return any(_may_be_a_fault(one) for one in value)
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Decimal128):
        return not value.to_decimal().is_finite()
    if isinstance(value, DatetimeMS):
        try:
            datetime(1970, 1, 1) + timedelta(milliseconds=int(value))  # noqa: DTZ001
        except OverflowError:
            return True
        return False
    return isinstance(value, bytes | dict)
