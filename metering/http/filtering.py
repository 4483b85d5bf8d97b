"""Filters of lists: `field__operator=value`, over the fields that a resource documents.

`equals` may be left out. `contains`, `startsWith` and `endWith` do not tell upper from lower case; `in` and `notIn`
take a comma-separated list; `isNull` and `isNotNull` need no value, and `false` turns them round. A parameter of
another name is not ours and is passed over; a known field with an operator it does not have is refused, because a
filter that was dropped in silence would answer with more than was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from metering.http.problem import invalid_field
from metering.http.route import Call, Parameter
from metering.http.shapes import INSTANT, LINE
from metering.timestamps import EPOCH, TimestampError, parse_iso

FILTERS_MAX = 50


class Operator(StrEnum):
    """The documented operators."""

    EQUALS = "equals"
    NOT = "not"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    CONTAINS = "contains"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endWith"
    IN = "in"
    NOT_IN = "notIn"
    IS_NULL = "isNull"
    IS_NOT_NULL = "isNotNull"


class Kind(StrEnum):
    """What a field's values are: instants compare by time, texts are searched."""

    TEXT = "text"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class FilterField:
    """A field that a list may be filtered by."""

    name: str
    column: sa.ColumnElement[Any]
    kind: Kind = Kind.TEXT
    nullable: bool = True


_COMPARISONS = (Operator.LT, Operator.LTE, Operator.GT, Operator.GTE)
_SEARCHES = (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)
_NULLS = (Operator.IS_NULL, Operator.IS_NOT_NULL)
_ALWAYS = (Operator.EQUALS, Operator.NOT, Operator.IN, Operator.NOT_IN)

_CONDITIONS: dict[Operator, Callable[[sa.ColumnElement[Any], Any], sa.ColumnElement[bool]]] = {
    Operator.EQUALS: lambda column, value: column == value,
    Operator.NOT: lambda column, value: sa.or_(column != value, column.is_(None)),
    Operator.LT: lambda column, value: column < value,
    Operator.LTE: lambda column, value: column <= value,
    Operator.GT: lambda column, value: column > value,
    Operator.GTE: lambda column, value: column >= value,
    Operator.CONTAINS: lambda column, value: column.icontains(value, autoescape=True),
    Operator.STARTS_WITH: lambda column, value: column.istartswith(value, autoescape=True),
    Operator.ENDS_WITH: lambda column, value: column.iendswith(value, autoescape=True),
    Operator.IN: lambda column, values: column.in_(values),
    Operator.NOT_IN: lambda column, values: sa.or_(column.not_in(values), column.is_(None)),
}


def operators_of(field: FilterField) -> tuple[Operator, ...]:
    """Give the operators that a field has."""
    own = _COMPARISONS if field.kind is Kind.INSTANT else _SEARCHES
    return (*_ALWAYS, *own, *(_NULLS if field.nullable else ()))


def filters_of(call: Call, fields: Sequence[FilterField]) -> list[sa.ColumnElement[bool]]:
    """Give the conditions that a request asks for; all of them must hold.

    Raises:
        ApiError: 400 for an operator that the field does not have, a value it cannot take, or too many filters.
    """
    known = {field.name: field for field in fields}
    conditions = []
    for parameter, value in call.request.query.items():
        name, _, operator = parameter.partition("__")
        if name in known:
            conditions.append(_condition(known[name], parameter, operator or Operator.EQUALS.value, value))
    if len(conditions) > FILTERS_MAX:
        raise invalid_field("query", "too_many", f"{len(conditions)} filters: at most {FILTERS_MAX} hold at once")
    return conditions


def filters_by(call: Call, name: str) -> bool:
    """Tell whether a request filters by this field, whatever the operator."""
    return any(parameter.partition("__")[0] == name for parameter in call.request.query)


def filter_parameters(fields: Sequence[FilterField]) -> tuple[Parameter, ...]:
    """Describe the filters of a list."""
    return tuple(
        Parameter(
            field.name,
            f"Filter; as `{field.name}__operator` also: {', '.join(operators_of(field))}.",
            LINE if field.kind is Kind.TEXT else INSTANT,
        )
        for field in fields
    )


def _condition(field: FilterField, parameter: str, operator_name: str, value: str) -> sa.ColumnElement[bool]:
    allowed = operators_of(field)
    if operator_name not in {operator.value for operator in allowed}:
        message = f"{parameter}: {field.name} can be filtered by {', '.join(allowed)}, not by {operator_name[:40]!r}"
        raise invalid_field(parameter, "unknown_operator", message)
    operator = Operator(operator_name)
    if operator in _NULLS:
        wants_null = (operator is Operator.IS_NULL) != (value.lower() in {"false", "0"})
        return field.column.is_(None) if wants_null else field.column.is_not(None)
    if operator in {Operator.IN, Operator.NOT_IN}:
        return _CONDITIONS[operator](field.column, [_value(field, parameter, part) for part in value.split(",")])
    return _CONDITIONS[operator](field.column, _value(field, parameter, value))


def _value(field: FilterField, parameter: str, text: str) -> Any:
    if field.kind is Kind.TEXT:
        return text
    try:
        return EPOCH + timedelta(microseconds=parse_iso(text.strip()))
    except (TimestampError, OverflowError):
        message = f"{parameter}: {text[:40]!r} is no date-time: send 2023-11-16T18:17:03Z"
        raise invalid_field(parameter, "timestamp", message) from None
