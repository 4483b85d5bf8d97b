"""What an aggregator is over HTTP: the documented fields, how each is checked, and the object that comes back."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from metering.aggregation import NEEDS_PROPERTY, Operation
from metering.filters import FilterError, Operator, decode_filter, kept_filter
from metering.http.fields import ITEMS_MAX, Fields
from metering.http.problem import Fault
from metering.http.shapes import (
    BOOLEAN,
    INSTANT,
    INTEGER,
    NAME,
    NUMBER,
    OPTIONAL_LONG_TEXT,
    OPTIONAL_NAME,
    TEXT,
    Shape,
    array_of,
    bounded,
    described,
    object_of,
    one_of,
    request_of,
)
from metering.registry.aggregators import AggregatorStatus, StoredAggregator
from metering.timestamps import format_instant

THRESHOLDS_MAX = 50
THRESHOLD_MAX = 10**20
INTERVAL_COUNT_MAX = 1_000


class AggregatorType(StrEnum):
    """Whether usage is metered or seats are licensed."""

    METERED = "metered"
    LICENSED = "licensed"


class IntervalPeriod(StrEnum):
    """The unit of the interval that pages show first."""

    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"


class ThresholdOperator(StrEnum):
    """How usage is compared with a threshold."""

    GTE = "gte"


_DETAIL_DEFAULTS: Mapping[str, Any] = {
    "type": AggregatorType.METERED.value,
    "description": None,
    "custom_event_name": None,
    "exposed_event_keys": [],
    "allow_negative_values": False,
    "aggregate_on_customers_enabled": False,
    "default_interval_count": None,
    "default_interval_period": None,
    "thresholds": [],
}


def read_aggregator(body: Mapping[str, Any], current: StoredAggregator | None = None) -> dict[str, Any]:
    """Give the columns that a body sets: of a new aggregator, or of `current`, whose absent fields stay as they are.

    Raises:
        ApiError: 400 with every fault.
    """
    fields = Fields(body)
    new = current is None
    values: dict[str, Any] = {
        name: read(fields) for name, read in _COLUMNS.items() if fields.has(name) or (new and name in _REQUIRED)
    }
    operation = values.get("operation") or (current.operation if current else None)
    named = values.get("property", current.property if current else None)
    if operation in NEEDS_PROPERTY and named is None and not any("property" in fault.path for fault in fields.faults):
        fields.fault("property", "required", f"is needed to {operation}: name the property of the record")
    details = {name: read(fields, name) for name, read in _DETAILS.items() if fields.has(name)}
    fields.refuse_faults()
    kept = {name: value for name, value in details.items() if value is not None}
    forgotten = {name for name, value in details.items() if value is None}
    before = {name: value for name, value in (current.details if current else {}).items() if name not in forgotten}
    return {**values, "details": {**before, **kept}}


def aggregator_object(aggregator: StoredAggregator) -> dict[str, Any]:
    """Give the aggregator as it goes out."""
    return {
        "id": aggregator.id,
        "name": aggregator.name,
        "entity": aggregator.entity,
        "operation": aggregator.operation.value,
        "property": aggregator.property,
        "where": aggregator.where,
        "unit_name": aggregator.unit_name,
        "status": aggregator.status.value,
        **_DETAIL_DEFAULTS,
        **aggregator.details,
        "created_at": format_instant(aggregator.created_at),
        "updated_at": format_instant(aggregator.updated_at),
    }


def _where(fields: Fields) -> dict[str, Any] | None:
    """Check a filter, and give it as it was sent without what it does not need."""
    sent = fields.raw("where")
    if sent is None:
        return None
    try:
        decode_filter(sent)
    except FilterError as error:
        fields.faults.extend(Fault("filter", fault.path, fault.message) for fault in error.faults)
        return None
    return kept_filter(sent)


def _status(fields: Fields) -> AggregatorStatus:
    return fields.choice("status", AggregatorStatus) or AggregatorStatus.ACTIVE


def _thresholds(fields: Fields, name: str) -> list[dict[str, Any]] | None:
    readers = fields.items(name, items_max=THRESHOLDS_MAX)
    if readers is None:
        return None
    return [
        {
            "name": reader.name("name"),
            "threshold_value": reader.number(
                "threshold_value", least=-THRESHOLD_MAX, most=THRESHOLD_MAX, required=True
            ),
            "comparison_operator": reader.choice("comparison_operator", ThresholdOperator) or ThresholdOperator.GTE,
        }
        for reader in readers
    ]


def _type(fields: Fields, name: str) -> AggregatorType | None:
    return fields.choice(name, AggregatorType)


def _interval_count(fields: Fields, name: str) -> int | None:
    return fields.integer(name, least=1, most=INTERVAL_COUNT_MAX)


def _interval_period(fields: Fields, name: str) -> IntervalPeriod | None:
    return fields.choice(name, IntervalPeriod)


_REQUIRED = ("name", "entity", "operation")
_COLUMNS: Mapping[str, Callable[[Fields], Any]] = {
    "name": lambda fields: fields.name("name", required=True),
    "entity": lambda fields: fields.name("entity", required=True),
    "operation": lambda fields: fields.choice("operation", Operation, required=True),
    "property": lambda fields: fields.name("property"),
    "where": _where,
    "unit_name": lambda fields: fields.name("unit_name"),
    "status": _status,
}
_DETAILS: Mapping[str, Callable[[Fields, str], Any]] = {
    "type": _type,
    "description": Fields.text,
    "custom_event_name": Fields.name,
    "exposed_event_keys": Fields.names,
    "allow_negative_values": Fields.boolean,
    "aggregate_on_customers_enabled": Fields.boolean,
    "default_interval_count": _interval_count,
    "default_interval_period": _interval_period,
    "thresholds": _thresholds,
}

FILTER: Shape = object_of(
    {
        "conditional": one_of(("and", "or")),
        "fields": array_of(
            object_of(
                {
                    "property": TEXT,
                    "operator": described(TEXT, f"{', '.join(Operator)}; camel case is read as well."),
                    "value": {},
                },
                required=("property", "operator"),
            )
        ),
    },
    title="Filter",
    required=(),
)
_OPTIONAL_FILTER: Shape = {"anyOf": [FILTER, {"type": "null"}]}
_THRESHOLD: Mapping[str, Shape] = {
    "name": OPTIONAL_NAME,
    "threshold_value": bounded(NUMBER, -THRESHOLD_MAX, THRESHOLD_MAX),
    "comparison_operator": one_of(("gte",)),
}
_OWN_SHAPES: Mapping[str, Shape] = {
    "name": NAME,
    "entity": described(NAME, "The event_type whose events are counted."),
    "operation": one_of([operation.value for operation in Operation]),
    "property": described(OPTIONAL_NAME, "The property whose values are taken; needed unless events are counted."),
    "where": _OPTIONAL_FILTER,
    "unit_name": OPTIONAL_NAME,
    "status": one_of([status.value for status in AggregatorStatus]),
    "type": one_of([kind.value for kind in AggregatorType]),
    "description": OPTIONAL_LONG_TEXT,
    "custom_event_name": OPTIONAL_NAME,
    "exposed_event_keys": array_of(NAME, most=ITEMS_MAX),
    "allow_negative_values": BOOLEAN,
    "aggregate_on_customers_enabled": BOOLEAN,
    "default_interval_count": {**bounded(INTEGER, 1, INTERVAL_COUNT_MAX), "type": ["integer", "null"]},
    "default_interval_period": one_of([period.value for period in IntervalPeriod], optional=True),
    "thresholds": array_of(object_of(_THRESHOLD), most=THRESHOLDS_MAX),
}
_SENT_SHAPES: Mapping[str, Shape] = {
    **_OWN_SHAPES,
    "thresholds": array_of(
        request_of(_THRESHOLD, title="NewThreshold", required=("threshold_value",)), most=THRESHOLDS_MAX
    ),
}
AGGREGATOR_BODY: Shape = request_of(_SENT_SHAPES, title="AggregatorFields", never_null=_REQUIRED)
NEW_AGGREGATOR_BODY: Shape = request_of(_SENT_SHAPES, title="NewAggregator", required=_REQUIRED)
AGGREGATOR: Shape = object_of(
    {"id": TEXT, **_OWN_SHAPES, "created_at": INSTANT, "updated_at": INSTANT}, title="Aggregator"
)
