"""Read filters over what no column holds: a customer by any of its ids, a status worked out from the clock.

`name=value`, `name__equals=value` and `name__in=a,b`, as the filters of other lists; any other operator is refused,
because a filter that was dropped in silence would answer with more than was asked for.
"""

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from metering.http.problem import invalid_field
from metering.http.route import Call

Choice = TypeVar("Choice", bound=Enum)


def values_of(call: Call, name: str) -> list[str] | None:
    """Give the values that a field may have, None when it is not filtered by; several filters must all hold.

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
