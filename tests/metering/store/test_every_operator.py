"""Each documented operator, in both spellings, on each kind of value: in memory and in the store alike."""

from decimal import Decimal

import pytest

from metering.filters import Operator, decode_filter, matches
from metering.store.expressions import Expressions
from tests.metering.store.test_expressions import evaluate

VALUES = {
    "text": "pro",
    "digits": "5",
    "number": Decimal(5),
    "fraction": Decimal("4.5"),
    "negative": Decimal(-5),
    "true": True,
    "word": "true",
    "false": False,
    "null": None,
    "texts": ["pro", "free"],
    "numbers": [Decimal(5), Decimal(7)],
    "mixed": ["x", None, True],
    "empty": [],
    "blank": "",
}
RECORDS = [{"id": name, "p": value} for name, value in VALUES.items()] + [{"id": "absent"}]
EVERY = {record["id"] for record in RECORDS}
NOTHING = {"null", "absent"}

CASES = [
    ("is_null", None, NOTHING),
    ("is_not_null", None, EVERY - NOTHING),
    ("equals", "pro", {"text", "texts"}),
    ("equals", "Pro", set()),
    ("equals", "", {"blank"}),
    ("equals", "5", {"digits", "number", "numbers"}),
    ("equals", 5, {"digits", "number", "numbers"}),
    ("equals", Decimal("5.00"), {"digits", "number", "numbers"}),
    ("equals", True, {"true", "word", "mixed"}),
    ("equals", "true", {"true", "word", "mixed"}),
    ("equals", False, {"false"}),
    ("equals", "null", set()),
    ("not_equal", "pro", EVERY - {"text", "texts"}),
    ("not_equal", 5, EVERY - {"digits", "number", "numbers"}),
    ("not_equal", True, EVERY - {"true", "word", "mixed"}),
    ("in", "pro, 5", {"text", "texts", "digits", "number", "numbers"}),
    ("in", ["pro", 5], {"text", "texts", "digits", "number", "numbers"}),
    ("in", "true,false", {"true", "word", "false", "mixed"}),
    ("in", [True, Decimal("4.5")], {"true", "word", "mixed", "fraction"}),
    ("in", "x", {"mixed"}),
    ("not_in", "pro,5", EVERY - {"text", "texts", "digits", "number", "numbers"}),
    ("not_in", [False], EVERY - {"false"}),
    ("gt", Decimal("4.5"), {"digits", "number"}),
    ("gt", "4.5", {"digits", "number"}),
    ("gte", Decimal("4.5"), {"digits", "number", "fraction"}),
    ("lt", 5, {"fraction", "negative"}),
    ("lte", 5, {"digits", "number", "fraction", "negative"}),
    ("lte", -5, {"negative"}),
]


def camel(snake):
    first, *rest = snake.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize(("operator", "value", "expected"), CASES)
@pytest.mark.parametrize("spelled", [str, camel, str.upper])
def test_what_an_operator_matches(store, spelled, operator, value, expected):
    """Snake case as in prices, camel case as in aggregators; the null operators need no value."""
    field = {"property": "p", "operator": spelled(operator)}
    where = decode_filter({"fields": [field if value is None else {**field, "value": value}]})
    assert {record["id"] for record in RECORDS if matches(where, record)} == expected
    expressions = Expressions()
    rows = evaluate(store, expressions, f"record_id, {expressions.condition(where)}", RECORDS)
    assert {record_id for record_id, met in rows if met} == expected


def test_no_documented_operator_is_left_out():
    """The table above asks each."""
    assert {operator for operator, _, _ in CASES} == set(Operator)
