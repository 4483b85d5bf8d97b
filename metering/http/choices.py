"""Read filters over what no column of the registry holds: events, a customer by any of its ids, a status worked out.

`name=value`, `name__equals=value` and `name__in=a,b`, as the filters of other lists, and bounds of instants; any other
operator is refused, because a filter that was dropped in silence would answer with more than was asked for.
"""

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from metering.http.problem import invalid_field
from metering.http.route import Call
from metering.timestamps import TimestampError, parse_iso

Choice = TypeVar("Choice", bound=Enum)


def values_of(call: Call, name: str, *, commas: bool = False) -> list[str] | None:
    """Give the values that a field may have, None when it is not filtered by; several filters must all hold.

    With `commas`, `name=a,b` is a list of two, or the one value `a,b`.

    Raises:
        ApiError: 400 for another operator.
    """
    found: list[str] | None = None
    for parameter, value in call.request.query.items():
        field, _, operator = parameter.partition("__")
        if field != name or not value:
            continue
        if operator not in {"", "equals", "in"}:
            message = f"{parameter}: {name} can be filtered by equals and in, not by {operator[:40]!r}"
            raise invalid_field(parameter, "unknown_operator", message)
        values = value.split(",") if operator == "in" else [value]
        if commas and not operator and "," in value:
            values += [part.strip() for part in value.split(",")]
        found = values if found is None else [one for one in found if one in values]
    return found


def choices_of(call: Call, name: str, choices: type[Choice]) -> Sequence[Choice] | None:
    """Give the members of a closed set that a field may be.

    Raises:
        ApiError: 400 for a value that is none of them.
    """
    values = values_of(call, name)
    if values is None:
        return None
    known = {str(choice.value): choice for choice in choices}
    for value in values:
        if value not in known:
            message = f"{name}: {value[:40]!r} is not one of {', '.join(known)}"
            raise invalid_field(name, "unknown_value", message)
    return [known[value] for value in values]


def instants_within(call: Call, name: str) -> tuple[int | None, int | None]:
    """Give the range `[start, end)` that a field of instants may be in, microseconds since 1970, None where open.

    It is read from `name__gte`, `gt`, `lt`, `lte` and `equals`; all that are there hold. A date is 00:00 UTC.

    Raises:
        ApiError: 400 for another operator, or what is no date-time.
    """
    least: list[int] = []
    end: list[int] = []
    for parameter, value in call.request.query.items():
        field, _, operator = parameter.partition("__")
        if field != name or not value:
            continue
        if operator not in {"", "equals", "gte", "gt", "lt", "lte"}:
            message = f"{parameter}: {name} can be filtered by gte, gt, lt, lte and equals, not by {operator[:40]!r}"
            raise invalid_field(parameter, "unknown_operator", message)
        instant = _instant(parameter, value)
        if operator in {"", "equals", "gte", "gt"}:
            least.append(instant + (operator == "gt"))
        if operator in {"", "equals", "lt", "lte"}:
            end.append(instant + (operator != "lt"))
    return max(least, default=None), min(end, default=None)


def _instant(parameter: str, text: str) -> int:
    try:
        return parse_iso(text.strip())
    except TimestampError:
        message = f"{parameter}: {text[:40]!r} is no date-time: send 2023-11-16T18:17:03Z"
        raise invalid_field(parameter, "timestamp", message) from None
