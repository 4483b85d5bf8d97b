"""Rows become events that the rules of events accept, or faults that name row and column."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.requests import check_batch
from loaders.cells import any_value
from loaders.errors import QueryError
from loaders.met_ids import MetIds
from loaders.rows import EventMaker
from loaders.source import ABSENT, BadValue, Column, Kind
from tests.loaders.listed_source import COLUMNS, a_page, a_row


def made_of(rows, columns=COLUMNS, met=None):
    return EventMaker("call", '"', met).made(a_page(rows, columns))


def events_of(made):
    return [] if made.body is None else json.loads(made.body)


def test_a_row_is_what_a_client_would_have_sent():
    made = made_of([a_row(7)])
    assert made.body == (
        b'[{"customer_id":"acme","event_type":"call","timestamp":"2026-01-01T00:00:07.000000Z",'
        b'"record":{"id":7,"amount":1.5}}]'
    )
    assert (made.rows, made.events, made.faults) == (1, 1, ())


def test_a_customers_id_may_be_a_whole_number():
    """Events have it as text; so have names."""
    columns = (*COLUMNS[:3], Column("customerName", "text"))
    made = made_of([("1", "42", '"2026-01-01"', '"Acme\\tInc"')], columns)
    assert events_of(made)[0]["customer_id"] == "42"
    assert made.names == {"42": "Acme Inc"}
    assert "customerName" not in events_of(made)[0]["record"]


def test_names_with_a_percent_sign_and_quotes_are_taken_as_they_are():
    columns = (*COLUMNS[:3], Column('50% "off"', "text"))
    assert events_of(made_of([(*a_row(1)[:3], '"%s"')], columns))[0]["record"]['50% "off"'] == "%s"


@pytest.mark.parametrize(
    ("cells", "column", "told"),
    [
        (("null", '"a"', '"2026-01-01"', "1"), "id", "each row needs one"),
        (("1", "null", '"2026-01-01"', "1"), "customerId", "each row needs one"),
        (("1", '"a"', ABSENT, "1"), "timestamp", "each row needs one"),
        (("1", "1.5", '"2026-01-01"', "1"), "customerId", "cast it to text"),
        (("1", '"a"', '"1970-01-01"', "1"), "timestamp", "1980"),
        (("1", '"a"', '"2026-01-01"', "1e30"), "amount", "10^20"),
        (("1", '"a"', '"2026-01-01"', BadValue("is NaN")), "amount", "amount is NaN"),
        (("1", '"a"', '"2026-01-01"', '{"a":1}'), "amount", "one level"),
        (("true", '"a"', '"2026-01-01"', "1"), "id", "string or a number"),
        (("1", '""', '"2026-01-01"', "1"), "customerId", "1 to 255"),
        (("1", '"a"', '"2026-01-01"', f'"{"x" * 70_000}"'), None, "65536"),
    ],
)
def test_a_faulty_row_is_told_and_the_others_are_loaded(cells, column, told):
    made = made_of([a_row(1), cells, a_row(3)])
    (fault,) = made.faults
    assert (fault.row, fault.column, [event["record"]["id"] for event in events_of(made)]) == (2, column, [1, 3])
    assert told in fault.message


def test_rows_are_counted_over_pages():
    maker = EventMaker("call", '"')
    maker.made(a_page([a_row(1), a_row(2)]))
    (fault,) = maker.made(a_page([("9", "null", "1", "1")])).faults
    assert (fault.row, fault.id) == (3, "9")


def test_a_field_that_a_document_lacks_is_no_property():
    made = made_of([a_row(1, amount=ABSENT), a_row(2)])
    assert [set(event["record"]) for event in events_of(made)] == [{"id"}, {"id", "amount"}]


def test_more_properties_than_an_event_may_have_are_a_fault_of_each_row():
    columns = (*COLUMNS[:3], *(Column(f"p{number}", "int", Kind.NUMBER) for number in range(25)))
    made = made_of([(*a_row(1)[:3], *["1"] * 25)], columns)
    assert made.events == 0
    assert "26 properties" in made.faults[0].message


def test_a_missing_column_is_told_with_the_one_that_looks_alike():
    with pytest.raises(QueryError, match=r'"customerId" is missing \(there is "customer_id"\).*AS "customerId"'):
        made_of([], (Column("id", "int"), Column("customer_id", "text"), Column("timestamp", "date")))


def test_a_column_that_is_there_twice_is_told():
    with pytest.raises(QueryError, match='"amount" is there twice'):
        made_of([], (*COLUMNS, COLUMNS[-1]))


def test_an_id_under_two_customers_is_a_fault_of_the_later_row(tmp_path):
    """On one page and on another; by what an id is, not by how it is written."""
    with MetIds(tmp_path) as met:
        maker = EventMaker("call", '"', met)
        first = maker.made(a_page([a_row(1, "a"), a_row(1, "b"), a_row(1, "a", "2"), a_row(2, "b")]))
        later = maker.made(a_page([a_row(2, "b"), ('"1"', *a_row(1, "b")[1:]), a_row(3, "c")]))
    assert [(fault.row, fault.id, fault.column) for fault in (*first.faults, *later.faults)] == [
        (2, "1", "id"),
        (6, "1", "id"),
    ]
    assert (first.events, later.events) == (3, 2)


def test_a_rejected_row_names_nobody(tmp_path):
    """No customer is made for a row that is not loaded, whichever way it was found faulty."""
    columns = (*COLUMNS, Column("customerName", "text", Kind.TEXT))
    rows = [(*a_row(1, "a"), '"A"'), (*a_row(1, "b"), '"B"')]
    for more in ([], [(*a_row(2, "c", "1e99"), '"C"')]):
        with MetIds(tmp_path) as met:
            assert made_of([*rows, *more], columns, met).names == {"a": "A"}


def test_a_rejected_row_gives_its_id_to_nobody(tmp_path):
    """The next customer's row of it is good."""
    with MetIds(tmp_path) as met:
        made = made_of([a_row(1, "a", "1e99"), a_row(1, "b")], met=met)
    assert (made.events, len(made.faults)) == (1, 1)


_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    _texts,
    st.text(max_size=300),
    st.datetimes(),
    st.dates(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(_texts, st.integers(), max_size=1),
    st.binary(max_size=4),
)
_cells = _values.map(any_value) | st.just(ABSENT)
_columns = st.lists(_texts.filter(lambda name: name not in {"id", "customerId", "timestamp"}), unique=True, max_size=4)


@settings(max_examples=50)
@given(st.data())
def test_any_row_is_an_event_that_http_would_accept_or_a_fault(data):
    """No row is lost, none is there twice, and what goes on is what `check_batch` lets pass, byte for byte."""
    names = data.draw(_columns)
    columns = tuple(Column(name, "any") for name in ("id", "customerId", "timestamp", *names))
    usual = st.tuples(st.integers(0, 5).map(str), st.sampled_from(['"a"', '"b"', "7"]), st.just('"2026-01-01"'))
    head = usual | st.tuples(_cells, _cells, _cells)
    tail = st.tuples(*[_cells] * len(names))
    rows = data.draw(st.lists(st.tuples(head, tail).map(lambda parts: parts[0] + parts[1]), max_size=6))
    made = made_of(rows, columns)
    assert made.rows == len(rows) == made.events + len(made.faults)
    assert len({fault.row for fault in made.faults}) == len(made.faults)
    if made.body is not None:
        checked = check_batch(made.body)
        assert (checked.body, checked.events, checked.failures) == (made.body, made.events, ())
