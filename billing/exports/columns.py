"""Which columns an export has: fixed ones, and `record.<property>` for each property that is shown.

A cell is a number, a text, true or false, or None; what a property of several kinds holds is told as text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from billing.explained.beyond import Entry
from billing.explained.lines import ExplainedEvent, ExplainedInvoice, ExplainedLine, all_events
from billing.explained.naming import exposed_keys, name_of, record_of, text_of_raw
from billing.explained.standing import Added
from billing.marginal.lines import named_group
from metering.decimals import exact_number
from metering.http.problem import ApiError, Fault
from metering.store.ordered import Kind

COLUMNS_MAX = 200
RECORD = "record."

Cell = str | int | Decimal | bool | None


class Type(Enum):
    """What the cells of a column are."""

    TEXT = "text"
    INSTANT = "instant"
    """Microseconds since 1970 UTC."""
    WHOLE = "whole"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Row:
    """An event of a line, or what the line owes beyond its events; `record` is the raw JSON of its properties."""

    invoice: ExplainedInvoice
    line: ExplainedLine
    event: ExplainedEvent | None
    entry: Entry | None
    record: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how its cell is had from a row."""

    name: str
    type: Type
    cell: Callable[[Row], Cell]


def columns_of(lines: Sequence[ExplainedLine], names: Sequence[str] | None) -> list[Column]:
    """Give the columns of an export, those that are asked for or all. Blocks: the store is asked what properties hold.

    All are the fixed ones, and the properties that the aggregators expose, or those that the events have.

    Raises:
        ApiError: 400 for a column that there cannot be, or too many.
    """
    found: dict[str, Kind] = {}
    for window in (window for line in lines for window in line.windows):
        for key, kind in window.events.properties(COLUMNS_MAX + 1).items():
            found[key] = found.get(key, Kind.NULL) | kind
    if names is None:
        names = [*_FIXED, *(f"{RECORD}{key}" for key in _shown(lines, found) if key != "id")]
    if len(names) > COLUMNS_MAX:
        message = f"columns: {len(names)} columns; at most {COLUMNS_MAX}: name those that you want, separated by commas"
        raise ApiError(400, message, [Fault("too_many", ("columns",), message)])
    return [_column(name, found) for name in names]


def rows_of(invoice: ExplainedInvoice, lines: Sequence[ExplainedLine]) -> Iterator[list[Row]]:
    """Yield the rows of an export part by part: the events of a line, then what it owes beyond them. Blocks."""
    for line in lines:
        for part in all_events([line]):
            yield [Row(invoice, line, one, None, record_of(one.counted.event)) for one in part]
        entries = (*line.entries, *(entry for window in line.windows for entry in window.entries))
        if entries:
            yield [Row(invoice, line, None, entry, {}) for entry in entries]


def _shown(lines: Sequence[ExplainedLine], found: Mapping[str, Kind]) -> list[str]:
    """Give the properties that are shown: where one aggregator exposes all, all that there are."""
    keys: dict[str, None] = {}
    for window in (window for line in lines for window in line.windows):
        exposed = exposed_keys(window.aggregator)
        keys |= dict.fromkeys(found if exposed is None else exposed)
    return list(keys)


def _column(name: str, found: Mapping[str, Kind]) -> Column:
    fixed = _FIXED.get(name)
    if fixed is not None:
        return Column(name, *fixed)
    key = name.removeprefix(RECORD)
    if key == name or not key:
        known = ", ".join(_FIXED)
        message = f"columns: {name[:40]!r} is no column: there are {known}, and {RECORD}<property>"
        raise ApiError(400, message, [Fault("unknown_value", ("columns",), message)])
    kind = found.get(key, Kind.NULL)
    if kind == Kind.NUMBER:
        return Column(name, Type.NUMBER, lambda row: exact_number(row.record.get(key, b"").decode()))
    if kind == Kind.BOOLEAN:
        return Column(name, Type.BOOLEAN, lambda row: _BOOLEANS.get(row.record.get(key, b"")))
    return Column(name, Type.TEXT, lambda row: text_of_raw(row.record[key]) if key in row.record else None)


_BOOLEANS = {b"true": True, b"false": False}


def _of_event(give: Callable[[ExplainedEvent], Cell]) -> Callable[[Row], Cell]:
    return lambda row: None if row.event is None else give(row.event)


def _added(row: Row) -> Added:
    if row.event is not None:
        return row.event.added
    assert row.entry is not None
    return row.entry.added


def _price_name(one: ExplainedEvent) -> str | None:
    group = named_group(one.product, one.counted.group)
    return None if group is None else group.name


_FIXED: Mapping[str, tuple[Type, Callable[[Row], Cell]]] = {
    "id": (Type.TEXT, _of_event(lambda one: one.counted.event.id)),
    "name": (
        Type.TEXT,
        lambda row: None if row.event is None else name_of(row.event.aggregator, row.event.counted.event, row.record),
    ),
    "event_type": (Type.TEXT, _of_event(lambda one: one.counted.event.event_type)),
    "timestamp": (Type.INSTANT, _of_event(lambda one: one.counted.event.timestamp_us)),
    "customer_id": (Type.TEXT, _of_event(lambda one: one.counted.event.customer_id)),
    "record_id": (Type.TEXT, _of_event(lambda one: one.counted.event.record_id)),
    "received_at": (Type.INSTANT, _of_event(lambda one: one.counted.event.received_at_us)),
    "invoice_id": (Type.TEXT, lambda row: row.invoice.invoice.id),
    "invoice_line_item_id": (Type.TEXT, lambda row: row.line.id),
    "product_id": (Type.TEXT, lambda row: row.line.line.product_id),
    "product_name": (Type.TEXT, lambda row: row.line.line.name),
    "price_name": (Type.TEXT, _of_event(_price_name)),
    "owed_for": (Type.TEXT, lambda row: "event" if row.entry is None else row.entry.reason.value),
    "quantity": (Type.NUMBER, _of_event(lambda one: one.quantity)),
    "amount": (Type.WHOLE, lambda row: _added(row).amount),
    "exact_amount": (Type.NUMBER, lambda row: _added(row).exact),
    "currency": (Type.TEXT, lambda row: row.line.line.currency),
}
