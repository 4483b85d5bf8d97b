"""The SQL of a filter and of a number means what the Python of it means, on whatever a record may hold."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.decimals import exact_number, plain
from metering.filters import Condition, Conditional, Filter, Operator, matches, number_of, text_of
from metering.store.expressions import Expressions

NAMES = ["a", "a b", 'q"u', "u", "back\\", "\\", ":", ",", ":b", "]", "}", "é", "日本", "a.b*(c)", "'", "{x}", "id"]
TEXTS = [
    "",
    "\\",
    "a\\",
    "a",
    "5",
    "5.0",
    "1.10",
    "1e2",
    "true",
    "null",
    '","',
    ':","a":1',
    '\\":',
    "é\n",
    "],[",
    '"a":5',
    "'; --",
]

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6))
numbers = st.one_of(
    st.integers(-(10**20) + 1, 10**20 - 1).map(Decimal),
    st.decimals(min_value=-(10**19), max_value=10**19, places=18),
    st.sampled_from(["5", "1.1", "100", "0", "-1.5"]).map(Decimal),
)
scalars = st.one_of(texts, numbers, st.booleans())
values = st.one_of(scalars, st.none(), st.lists(st.one_of(scalars, st.none()), max_size=4))
ids = st.one_of(st.sampled_from([t for t in TEXTS if t]), numbers)
records = st.builds(
    lambda record, identity: {**record, "id": identity}, st.dictionaries(st.sampled_from(NAMES[:-1]), values), ids
)


def conditions():
    def of(operator):
        if operator in {Operator.IS_NULL, Operator.IS_NOT_NULL}:
            wanted = st.just(())
        elif operator in {Operator.GT, Operator.GTE, Operator.LT, Operator.LTE}:
            wanted = st.tuples(numbers)
        elif operator in {Operator.IN, Operator.NOT_IN}:
            wanted = st.lists(scalars, min_size=1, max_size=4).map(tuple)
        else:
            wanted = st.tuples(scalars)
        return st.builds(Condition, st.sampled_from(NAMES), st.just(operator), wanted)

    return st.sampled_from(Operator).flatmap(of)


filters = st.builds(Filter, st.sampled_from(Conditional), st.lists(conditions(), min_size=1, max_size=3).map(tuple))


def stored(record):
    """Give the record id and the canonical properties that the store would hold."""

    def canonical(value):
        if isinstance(value, list):
            return [canonical(element) for element in value]
        return msgspec.Raw(plain(value).encode()) if isinstance(value, Decimal) else value

    properties = {name: canonical(value) for name, value in record.items() if name != "id"}
    return text_of(record["id"]), msgspec.json.encode(properties, order="deterministic").decode()


def evaluate(store, expressions, columns, rows):
    sql = f"{expressions.clause()} SELECT {columns} FROM (SELECT arrayJoin({{rows:Array(Tuple(String, String))}}) AS row, row.1 AS record_id, row.2 AS properties)"  # noqa: E501
    return store.select(sql, {**expressions.parameters, "rows": [stored(row) for row in rows]})


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=12), filters)
def test_a_filter_matches_in_the_store_what_it_matches_in_memory(store, rows, where):
    """Whatever the names and values, also such as look like JSON or SQL."""
    expressions = Expressions()
    condition = expressions.condition(where)
    found = evaluate(store, expressions, condition, rows)
    assert [bool(met) for (met,) in found] == [matches(where, row) for row in rows]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=12), st.sampled_from(NAMES))
def test_a_property_is_the_same_number_in_the_store_and_in_memory(store, rows, name):
    """Numbers and numeric text come out exact; all else is none."""
    expressions = Expressions()
    found = evaluate(store, expressions, f"toString({expressions.number(name)})", rows)
    expected = [number_of(text_of(row["id"]) if name == "id" else row.get(name)) for row in rows]
    assert [None if text is None else Decimal(text) for (text,) in found] == expected


def test_a_longer_name_that_ends_in_a_quote_and_the_name_is_another_property(store):
    """The text of the one holds the quoted text of the other."""
    expressions = Expressions()
    rows = [
        {"id": "1", 'a"b': Decimal(1)},
        {"id": "2", 'a"b': Decimal(1), "b": Decimal(2)},
        {"id": "3", 'a\\"b': Decimal(1), "b": Decimal(3), "c": '"b":4'},
        {"id": "4", "a\\": Decimal(1), "b": Decimal(4)},
    ]
    assert evaluate(store, expressions, expressions.raw("b"), rows) == [("",), ("2",), ("3",), ("4",)]


def test_a_text_that_ends_with_a_backslash_is_read_to_its_end(store):
    """Its closing quote stands behind an escaped backslash and is none that is escaped; in an array too."""
    expressions = Expressions()
    rows = [{"id": "1", "a": value, "b": 1} for value in ("C:\\", '"\\', ["\\", "]"])]
    found = evaluate(store, expressions, expressions.raw("a"), rows)
    assert found == [(msgspec.json.encode(row["a"]).decode(),) for row in rows]


number_texts = st.one_of(
    st.from_regex(r"\A-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.builds(
        "{}{}e{}".format,
        st.integers(-99, 99),
        st.sampled_from(["", ".50", ".000000000000000000"]),
        st.integers(-25, 25),
    ),
    st.sampled_from(
        ["0e99999999999999999999", "1e99999999999999999999", "1." + "0" * 90, "0." + "0" * 60 + "1", "-0.0"]
    ),
    texts,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(number_texts, min_size=1, max_size=20))
def test_text_is_the_same_number_in_the_store_and_in_memory(store, written):
    """Exponents, more zeros than digits, values beyond the limits: the two readings agree to the last digit."""
    expressions = Expressions()
    rows = [{"id": "1", "a": text} for text in written]
    found = evaluate(store, expressions, f"toString({expressions.number('a')})", rows)
    assert [None if text is None else Decimal(text) for (text,) in found] == [exact_number(text) for text in written]
