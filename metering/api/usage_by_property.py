"""Usage by the values of a property: `GET /v1/aggregators/{id}/usage/group-by-property?property=model`."""

from collections.abc import Mapping
from typing import Any

from metering.aggregation import Usage
from metering.api.usage_fields import FIGURE
from metering.http.paging import Page, paged
from metering.http.problem import invalid_field, refused
from metering.http.route import Call, Parameter
from metering.http.shapes import OPTIONAL_TEXT, described, object_of
from metering.http.shapes import page_of as page_shape
from metering.store.usage import VALUES_GROUPED_MAX

PROPERTY_CHARACTERS_MAX = 256

GROUPING = (
    Parameter("property", "The property of the record whose values usage is grouped by. Required."),
    Parameter("customer_id", "Usage of this customer alone, by our id or the external one."),
)
BY_PROPERTY = page_shape(
    object_of(
        {
            "value": described(
                OPTIONAL_TEXT,
                'As text, so that 5 and "5" are one; null for events that have none, null or an array.',
            ),
            **FIGURE,
        },
        title="PropertyUsage",
    )
)


def property_of(call: Call) -> str:
    """Read the property to group by.

    Raises:
        ApiError: 400 when it is missing or too long to be one.
    """
    name = call.query("property")
    if name is None:
        message = "property: name the property of the record to group by, such as property=model"
        raise invalid_field("property", "required", message)
    if len(name) > PROPERTY_CHARACTERS_MAX:
        message = f"property: {len(name)} characters; a name has at most {PROPERTY_CHARACTERS_MAX}"
        raise invalid_field("property", "too_long", message)
    return name


def ranked(found: Mapping[str | None, Usage]) -> list[tuple[str | None, Usage]]:
    """Give values by total, descending, those without one last, then by value; of equals, no value last."""
    return sorted(
        found.items(),
        key=lambda item: (item[1].total is None, item[1].rated.copy_negate(), item[0] is None, item[0] or ""),
    )


def values_page(found: Mapping[str | None, Usage] | None, prop: str, page: Page) -> dict[str, Any]:
    """Describe one page of values, the greatest total first.

    Raises:
        ApiError: 422 when there are more values than are grouped.
    """
    if found is None:
        raise refused(
            f"{prop[:40]!r} has more than {VALUES_GROUPED_MAX} values here: ask for a shorter range, or one customer"
        )
    shown = ranked(found)
    rows = [
        {"value": value, "total": usage.total, "count": usage.count}
        for value, usage in shown[page.skip : page.skip + page.take]
    ]
    return paged(rows, len(shown), page)
