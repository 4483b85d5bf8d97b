from decimal import Decimal

import pytest

from metering.filters import EVERYTHING, Condition, Conditional, Filter, FilterError, Operator, decode_filter, matches


def where(prop, operator, value=None, conditional="and"):
    return decode_filter(
        {"conditional": conditional, "fields": [{"property": prop, "operator": operator, "value": value}]}
    )


@pytest.mark.parametrize(
    ("camel", "snake", "value"),
    [
        ("isNull", "is_null", None),
        ("isNotNull", "is_not_null", None),
        ("notIn", "not_in", "a,b"),
        ("notEqual", "not_equal", "a"),
        ("in", "in", ["a"]),
        ("gte", "gte", 1),
    ],
)
def test_both_spellings_are_one_operator(camel, snake, value):
    """Aggregators write operators in camel case, prices in snake case."""
    assert where("p", camel, value) == where("p", snake, value)


def test_a_list_is_an_array_or_a_text_with_commas():
    """Blanks around commas are no part of a value."""
    assert where("p", "in", "a, b,") == where("p", "in", ["a", "b"])
    assert where("p", "in", 5).conditions == (Condition("p", Operator.IN, (Decimal(5),)),)


def test_no_filter_matches_everything():
    """None and an empty list of fields set no condition, whichever way conditions go together."""
    assert decode_filter(None) == EVERYTHING
    assert matches(EVERYTHING, {"id": "1"})
    assert matches(Filter(Conditional.OR, ()), {"id": "1"})


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        ([], ("where",), "object"),
        ({"conditional": "xor", "fields": []}, ("where", "conditional"), "and, or or"),
        ({"fields": "x"}, ("where", "fields"), "array"),
        ({"fields": [3]}, ("where", "fields", 0), "property, operator and value"),
        ({"fields": [{"operator": "equals", "value": 1}]}, ("where", "fields", 0, "property"), "name a property"),
        (
            {"fields": [{"property": "a", "operator": "like", "value": 1}]},
            ("where", "fields", 0, "operator"),
            "send one of is_null",
        ),
        (
            {"fields": [{"property": "a", "operator": "gt", "value": "x"}]},
            ("where", "fields", 0, "value"),
            "'x': gt needs a number",
        ),
        (
            {"fields": [{"property": "a", "operator": "equals", "value": None}]},
            ("where", "fields", 0, "value"),
            "use is_null",
        ),
        (
            {"fields": [{"property": "a", "operator": "equals", "value": 10**20}]},
            ("where", "fields", 0, "value"),
            "below 10^20",
        ),
        (
            {"fields": [{"property": "a", "operator": "in", "value": " , "}]},
            ("where", "fields", 0, "value"),
            "0 values",
        ),
        (
            {"fields": [{"property": "a", "operator": "in", "value": ["x", {}]}]},
            ("where", "fields", 0, "value", 1),
            "value is {}",
        ),
    ],
)
def test_a_fault_says_where_it_is_and_what_to_send(document, path, says):
    """The path leads to the value at fault, the message to the remedy."""
    with pytest.raises(FilterError) as refusal:
        decode_filter(document)
    (fault,) = refusal.value.faults
    assert fault.path == path
    assert says in fault.message


def test_all_faults_are_told_at_once():
    """Nobody has to send a filter three times to learn of three faults."""
    with pytest.raises(FilterError) as refusal:
        decode_filter({"conditional": 1, "fields": [{}, {"property": "", "operator": "gt", "value": True}]})
    assert len(refusal.value.faults) == 5


RECORD = {
    "id": 485,
    "plan": "pro",
    "seats": 5,
    "price": Decimal("1.50"),
    "text": "5",
    "release": "1.10",
    "live": True,
    "none": None,
    "tags": ["a", 2, None],
}


@pytest.mark.parametrize(
    ("prop", "operator", "value", "expected"),
    [
        ("plan", "equals", "pro", True),
        ("plan", "equals", "PRO", False),
        ("seats", "equals", "5", True),
        ("text", "equals", 5, True),
        ("text", "equals", Decimal("5.0"), True),
        ("price", "equals", Decimal("1.5"), True),
        ("price", "equals", "1.500", True),
        ("release", "equals", "1.1", False),
        ("release", "equals", Decimal("1.1"), True),
        ("live", "equals", "true", True),
        ("live", "equals", True, True),
        ("live", "equals", 1, False),
        ("tags", "equals", "a", True),
        ("tags", "in", "b,2", True),
        ("tags", "not_in", "b,2", False),
        ("tags", "gt", 1, False),
        ("tags", "is_null", None, False),
        ("none", "is_null", None, True),
        ("absent", "is_null", None, True),
        ("none", "equals", "null", False),
        ("absent", "not_equal", "x", True),
        ("none", "not_in", "x", True),
        ("seats", "gt", 4, True),
        ("seats", "gt", 5, False),
        ("text", "gte", 5, True),
        ("plan", "lt", 5, False),
        ("absent", "lte", 5, False),
        ("id", "equals", "485", True),
        ("id", "in", [485], True),
        ("id", "equals", "485.0", False),
        ("id", "lt", 486, True),
        ("id", "is_null", None, False),
    ],
)
def test_what_a_condition_means(prop, operator, value, expected):
    """Text by text, numbers by value, null equals nothing, arrays by any of their elements, ids as text."""
    assert matches(where(prop, operator, value), RECORD) is expected


def test_conditions_go_together_as_the_filter_says():
    """All of them, or any."""
    fields = [
        {"property": "plan", "operator": "equals", "value": "pro"},
        {"property": "seats", "operator": "gt", "value": 9},
    ]
    assert not matches(decode_filter({"conditional": "and", "fields": fields}), RECORD)
    assert matches(decode_filter({"conditional": "or", "fields": fields}), RECORD)
