"""What an aggregator is over HTTP: the documented fields, how each is checked, and the object that comes back."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from metering.aggregation import NEEDS_PROPERTY, Operation
from metering.filters import FilterError, Operator, decode_filter, kept_filter
from metering.formulas import FormulaError, parse_formula
from metering.formulas.tokens import CHARACTERS_MAX
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
    OPTIONAL_TEXT,
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
from metering.registry.definitions import Definition
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


_OF_THE_AGGREGATOR = frozenset({"id", "created_at", "updated_at"})
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
    _check_value(fields, values, current)
    details = {name: read(fields, name) for name, read in _DETAILS.items() if fields.has(name)}
    fields.refuse_faults()
    # What is kept is what differs from the usual, so that an object sent back as it came changes nothing.
    forgotten = {name for name, value in details.items() if value is None or value == _DETAIL_DEFAULTS[name]}
    kept = {name: value for name, value in details.items() if name not in forgotten}
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
        "formula_sql": aggregator.formula_sql,
        "where": aggregator.where,
        "unit_name": aggregator.unit_name,
        "status": aggregator.status.value,
        "version": aggregator.version,
        **_DETAIL_DEFAULTS,
        **aggregator.details,
        "created_at": format_instant(aggregator.created_at),
        "updated_at": format_instant(aggregator.updated_at),
    }


def version_object(definition: Definition) -> dict[str, Any]:
    """Give one definition of an aggregator as it goes out."""
    shown = aggregator_object(definition.aggregator)
    kept = {name: value for name, value in shown.items() if name not in _OF_THE_AGGREGATOR}
    changed = {"changed_at": format_instant(definition.changed_at), "changed_by": definition.changed_by}
    return {"aggregator_id": definition.aggregator.id, **kept, **changed}


def _check_value(fields: Fields, values: Mapping[str, Any], current: StoredAggregator | None) -> None:
    """Note a fault unless it is known what an event is worth: by a property or by a formula, never by both."""
    operation = values.get("operation") or (current.operation if current else None)
    named = values.get("property", current.property if current else None)
    formula = values.get("formula_sql", current.formula_sql if current else None)
    told = {part for fault in fields.faults for part in fault.path}
    if named is not None and formula is not None:
        both = "and property exclude each other: send null for the one that is not meant"
        fields.fault("formula_sql", "ambiguous", both)
    elif operation in NEEDS_PROPERTY and named is None and formula is None and not told & {"property", "formula_sql"}:
        message = f"is needed for {operation}: name the property of the record, or send formula_sql"
        fields.fault("property", "required", message)


def _formula(fields: Fields) -> str | None:
    """Check a formula, and give it as it was sent."""
    text = fields.text("formula_sql", characters_max=CHARACTERS_MAX)
    if text is None:
        return None
    try:
        parse_formula(text)
    except FormulaError as error:
        fields.fault("formula_sql", "formula", str(error))
    return text


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
    "formula_sql": _formula,
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
    "formula_sql": described(
        {"type": ["string", "null"], "maxLength": CHARACTERS_MAX},
        "What an event is worth, in place of a property: + - * / and parentheses over numbers and properties, "
        "abs, ceil, floor, round, least, greatest, coalesce, if, CASE WHEN, comparisons.",
    ),
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
_VERSION: Shape = described(INTEGER, "Counts its definitions, from 1.")
AGGREGATOR: Shape = object_of(
    {"id": TEXT, **_OWN_SHAPES, "version": _VERSION, "created_at": INSTANT, "updated_at": INSTANT}, title="Aggregator"
)
AGGREGATOR_VERSION: Shape = object_of(
    {
        "aggregator_id": TEXT,
        **_OWN_SHAPES,
        "version": _VERSION,
        "changed_at": described(INSTANT, "In force from then until the next version."),
        "changed_by": described(OPTIONAL_TEXT, "The id of the key that made it; null where it is not known."),
    },
    title="AggregatorVersion",
)
