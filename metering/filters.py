"""Say which events count: the `where` of an aggregator and the `metering_filter` of a price.

    {"conditional": "and" | "or", "fields": [{"property", "operator", "value"}]}

What a condition means, here and in SQL (`metering.store.expressions`) alike:

- An absent property is null. `is_null` and `is_not_null` ask for that alone, and need no value.
- `equals`: two texts are equal character by character; as soon as one side is a number, both are compared by value,
  and text that is a JSON number counts as one ("5" equals 5, 1.50 equals 1.5, but the text "1.10" not the text "1.1").
  A boolean is the text true or false. Null equals nothing. An array equals what any of its elements equals.
- `in`: equals one of the values: an array, or one text with commas between them.
- `not_equal`, `not_in`: exactly what `equals`, `in` do not match; so they match null.
- `gt`, `gte`, `lt`, `lte`: the exact values of numbers, and of text that is a JSON number; all else does not match.
- The property `id` is the record's id, compared as text.
- No fields: every event matches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from metering.decimals import exact_number, plain, within_limits

FIELDS_MAX = 50
VALUES_MAX = 1_000
TEXT_CHARACTERS_MAX = 1_000
NAME_CHARACTERS_MAX = 255

Scalar = str | bool | Decimal
Path = tuple[str | int, ...]


class Conditional(StrEnum):
    """How the conditions of a filter go together."""

    AND = "and"
    OR = "or"


class Operator(StrEnum):
    """What a condition asks of a property. Clients also write them in camel case."""

    IS_NULL = "is_null"
    IS_NOT_NULL = "is_not_null"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    EQUALS = "equals"
    NOT_EQUAL = "not_equal"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: no values for the null operators, one number for comparisons, one or more values otherwise."""

    property: str
    operator: Operator
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions, all or any of which an event must meet."""

    conditional: Conditional
    conditions: tuple[Condition, ...]


EVERYTHING = Filter(Conditional.AND, ())


class FilterFault(NamedTuple):
    """One thing wrong: where in the document, and what to do about it."""

    path: Path
    message: str


class FilterError(ValueError):
    """A document is no filter; `faults` holds all that is wrong with it."""

    def __init__(self, faults: Sequence[FilterFault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


NULL_OPERATORS = frozenset({Operator.IS_NULL, Operator.IS_NOT_NULL})
LIST_OPERATORS = frozenset({Operator.IN, Operator.NOT_IN})
NEGATIONS = {Operator.NOT_EQUAL: Operator.EQUALS, Operator.NOT_IN: Operator.IN, Operator.IS_NOT_NULL: Operator.IS_NULL}
COMPARISONS: Mapping[Operator, Callable[[Decimal, Decimal], bool]] = {
    Operator.GT: Decimal.__gt__,
    Operator.GTE: Decimal.__ge__,
    Operator.LT: Decimal.__lt__,
    Operator.LTE: Decimal.__le__,
}
_SPELLINGS = {operator.value.replace("_", ""): operator for operator in Operator}


def decode_filter(document: Any, path: Path = ("where",)) -> Filter:
    """Read a filter from decoded JSON (numbers as int or Decimal); None is the filter that everything matches.

    Raises:
        FilterError: with every fault found, its path beginning with `path`.
    """
    if document is None:
        return EVERYTHING
    if not isinstance(document, Mapping):
        raise FilterError([FilterFault(path, "a filter is an object with conditional and fields")])
    faults: list[FilterFault] = []
    conditional = document.get("conditional", Conditional.AND)
    if conditional not in (Conditional.AND.value, Conditional.OR.value):  # Not a set: the value may be unhashable.
        faults.append(FilterFault((*path, "conditional"), f"conditional is {_shown(conditional)}: send and, or or"))
    fields = document.get("fields", [])
    if not isinstance(fields, Sequence) or isinstance(fields, str) or len(fields) > FIELDS_MAX:
        faults.append(FilterFault((*path, "fields"), f"fields must be an array of at most {FIELDS_MAX} conditions"))
        fields = []
    conditions = [_condition(field, (*path, "fields", index), faults) for index, field in enumerate(fields)]
    if faults:
        raise FilterError(faults)
    return Filter(Conditional(conditional), tuple(condition for condition in conditions if condition))


def kept_filter(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give a document that `decode_filter` has taken as it was sent, without what no filter needs."""
    fields = [_kept_condition(field) for field in document.get("fields", ())]
    return {"conditional": document.get("conditional", Conditional.AND.value), "fields": fields}


def matches(where: Filter, record: Mapping[str, Any]) -> bool:
    """Tell whether a decoded record (its `id` included, numbers as int or Decimal) meets the filter."""
    met = (_meets(condition, record) for condition in where.conditions)
    return not where.conditions or (all(met) if where.conditional is Conditional.AND else any(met))


def number_of(value: Any) -> Decimal | None:
    """Give a record value's exact number: of a number, or of text that is a JSON number within the limits."""
    if isinstance(value, str):
        return exact_number(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        return number if within_limits(number) else None
    return None


def text_of(value: Any) -> str:
    """Give a scalar's text: numbers in plain form, booleans as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return plain(Decimal(value))
    return str(value)


def _meets(condition: Condition, record: Mapping[str, Any]) -> bool:
    if condition.operator in NEGATIONS:
        return not _meets(Condition(condition.property, NEGATIONS[condition.operator], condition.values), record)
    value = record.get(condition.property)
    if condition.property == "id":
        value = text_of(value)
    if condition.operator is Operator.IS_NULL:
        return value is None
    if condition.operator in COMPARISONS:
        number, bound = number_of(value), condition.values[0]
        assert isinstance(bound, Decimal)
        return number is not None and COMPARISONS[condition.operator](number, bound)
    if condition.property == "id":
        return any(value == text_of(wanted) for wanted in condition.values)
    elements = value if isinstance(value, list | tuple) else [value]
    return any(_equal(element, wanted) for element in elements for wanted in condition.values)


def _equal(value: Any, wanted: Scalar) -> bool:
    if value is None:
        return False
    if isinstance(value, str | bool) and isinstance(wanted, str | bool):
        return text_of(value) == text_of(wanted)
    number = number_of(value)
    return number is not None and number == number_of(wanted)


def _condition(field: Any, path: Path, faults: list[FilterFault]) -> Condition | None:
    if not isinstance(field, Mapping):
        faults.append(FilterFault(path, "a condition is an object with property, operator and value"))
        return None
    name, spelling, value = field.get("property"), field.get("operator"), field.get("value")
    before = len(faults)
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        faults.append(FilterFault((*path, "property"), "property must name a property of the record"))
    operator = _operator(spelling)
    if operator is None:
        known = ", ".join(Operator)
        faults.append(FilterFault((*path, "operator"), f"operator is {_shown(spelling)}: send one of {known}"))
        return None
    values = _values(operator, value, (*path, "value"), faults)
    return Condition(str(name), operator, values) if len(faults) == before else None


def _kept_condition(field: Mapping[str, Any]) -> dict[str, Any]:
    kept = {"property": field["property"], "operator": field["operator"]}
    return kept if _operator(field["operator"]) in NULL_OPERATORS else {**kept, "value": field["value"]}


def _operator(spelling: object) -> Operator | None:
    return _SPELLINGS.get(spelling.replace("_", "").lower()) if isinstance(spelling, str) else None


def _values(operator: Operator, value: Any, path: Path, faults: list[FilterFault]) -> tuple[Scalar, ...]:
    if operator in NULL_OPERATORS:
        return ()
    if operator in COMPARISONS:
        number = number_of(value)
        if number is None:
            message = f"value is {_shown(value)}: {operator} needs a number below 10^20 with at most 18 decimals"
            faults.append(FilterFault(path, message))
        return () if number is None else (number,)
    if operator in LIST_OPERATORS:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        items = value if isinstance(value, list | tuple) else [value]
        if not 1 <= len(items) <= VALUES_MAX:
            faults.append(FilterFault(path, f"value holds {len(items)} values: {operator} needs 1 to {VALUES_MAX}"))
            return ()
        return tuple(_scalar(item, (*path, index), faults) for index, item in enumerate(items))
    return (_scalar(value, path, faults),)


def _scalar(value: Any, path: Path, faults: list[FilterFault]) -> Scalar:
    assert not isinstance(value, float), "numbers are read exactly, never through a float"
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= TEXT_CHARACTERS_MAX:
        return value
    if isinstance(value, int | Decimal) and within_limits(Decimal(value)):
        return Decimal(value)
    remedy = f"send a text of at most {TEXT_CHARACTERS_MAX} characters, a boolean, or a number below 10^20"
    faults.append(FilterFault(path, f"value is {_shown(value)}: {remedy} with at most 18 decimals (null: use is_null)"))
    return ""


def _shown(value: object) -> str:
    return repr(value)[:64]
