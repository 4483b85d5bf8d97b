"""The query parameters and answers of usage."""

from collections.abc import Mapping
from typing import Any

from metering.aggregation import Usage
from metering.api import asof
from metering.http.problem import ApiError, Fault, invalid_field
from metering.http.route import Call, Parameter
from metering.http.shapes import (
    DAY_OR_INSTANT,
    INSTANT,
    INTEGER,
    OPTIONAL_NUMBER,
    OPTIONAL_TEXT,
    TEXT,
    Shape,
    array_of,
    described,
    object_of,
    one_of,
)
from metering.http.shapes import page_of as page_shape
from metering.ranges import Range, RangeError, parse_range
from metering.registry.aggregators import StoredAggregator
from metering.timestamps import format_instant
from metering.windows import Granularity, Window, WindowsError, windows

RANGE_PARAMETERS = (
    Parameter(
        "start_date", "Date or date-time, included; the current calendar month when both are absent.", DAY_OR_INSTANT
    ),
    Parameter("end_date", "Date or date-time, excluded.", DAY_OR_INSTANT),
    Parameter("timezone", "IANA name whose clocks dates follow; UTC when absent."),
    asof.PARAMETER,
)
SERIES_PARAMETERS = (
    Parameter("granularity", f"{', '.join(Granularity)}; day when absent.", one_of(list(Granularity))),
    *RANGE_PARAMETERS,
)


def range_of(call: Call, now_us: int) -> Range:
    """Read `start_date`, `end_date` and `timezone`.

    Raises:
        ApiError: 400 with the parameters to change.
    """
    try:
        return parse_range(call.query("start_date"), call.query("end_date"), call.query("timezone"), now_us=now_us)
    except RangeError as error:
        raise ApiError(400, str(error), [Fault("range", (name,), str(error)) for name in error.fields]) from None


def windows_of(call: Call, span: Range) -> list[Window]:
    """Read `granularity` and divide the range by it.

    Raises:
        ApiError: 400 for an unknown granularity, or more windows than one answer carries.
    """
    name = call.query("granularity") or Granularity.DAY.value
    try:
        return windows(span, Granularity(name))
    except WindowsError as error:
        raise invalid_field("granularity", "too_many", str(error)) from None
    except ValueError:
        message = f"granularity: {name[:40]!r} is not one of {', '.join(Granularity)}"
        raise invalid_field("granularity", "unknown_value", message) from None


def usage_row(aggregator: StoredAggregator, usage: Usage) -> dict[str, Any]:
    """Give one aggregator's figure of a customer."""
    return {
        "aggregator_id": aggregator.id,
        "name": aggregator.name,
        "unit_name": aggregator.unit_name,
        "total": usage.total,
        "count": usage.count,
    }


def period(span: Range) -> dict[str, str]:
    """Give a range as it goes out."""
    return {"period_start": format_instant(span.start_us), "period_end": format_instant(span.end_us)}


def series(divided: list[Window], figures: list[Usage]) -> list[dict[str, Any]]:
    """Give a timeseries."""
    return [
        {
            "period_start": format_instant(window.start_us),
            "period_end": format_instant(window.end_us),
            "total": usage.total,
            "count": usage.count,
        }
        for window, usage in zip(divided, figures, strict=True)
    ]


FIGURE: Mapping[str, Shape] = {
    "total": described(OPTIONAL_NUMBER, "With all its digits; null where there is none of which it could be."),
    "count": described(INTEGER, "Events that matched."),
}
_PERIOD: Mapping[str, Shape] = {"period_start": INSTANT, "period_end": INSTANT}
_NAMED: Mapping[str, Shape] = {"name": TEXT, "unit_name": OPTIONAL_TEXT}

USAGE_ROWS = array_of(object_of({"aggregator_id": TEXT, **_NAMED, **FIGURE}, title="UsageRow"))
CUSTOMER_USAGE = object_of({"aggregator_id": TEXT, **_NAMED, **FIGURE, **_PERIOD}, title="Usage")
AGGREGATOR_USAGE = object_of(
    {"id": TEXT, **_NAMED, "thresholds": array_of({"type": "object"}), **FIGURE, **_PERIOD}, title="AggregatorUsage"
)
SERIES = array_of(object_of({**_PERIOD, **FIGURE}, title="UsageWindow"))
BY_CUSTOMER = page_shape(
    object_of(
        {
            "customer_id": described(OPTIONAL_TEXT, "Ours; null while nobody has the id."),
            "external_id": OPTIONAL_TEXT,
            **FIGURE,
            "subscription_ids": array_of(TEXT),
        },
        title="CustomerUsage",
    )
)
