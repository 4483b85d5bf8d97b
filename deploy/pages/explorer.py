"""The events as they are counted: filtered, newest first, a page at a time.

A bar of a chart leads here with its window, customer and aggregator in the address; what is listed then is exactly what
that bar counted. Times are UTC, so that no hour is ambiguous.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from deploy.pages.as_of import read_as_of
from deploy.pages.clock_text import UTC, machine_time
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.paths import customer_path, event_path
from deploy.pages.questions import find_customer, page_asked
from deploy.pages.records import PREVIEW_PROPERTIES_MAX, Property, properties_of
from deploy.pages.serving import Visit
from metering.filters import EVERYTHING, Filter
from metering.position import Cutoff
from metering.ranges import RangeError, parse_range
from metering.registry.aggregators import StoredAggregator, find_aggregator
from metering.registry.customers import resolve_many
from metering.store.current import Selection
from metering.store.explorer import Held, StoredEvent
from metering.timestamps import EARLIEST_US, LATEST_US, microseconds

_FILTERS = ("event_type", "customer", "record_id", "start_date", "end_date", "aggregator")
_EARLIEST, _LATEST = "1980-01-01", "2100-01-01"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of the list. `customer_name` None: it has none, or nobody has the id."""

    event: StoredEvent
    path: str
    customer_path: str
    customer_name: str | None
    preview: list[Property]
    left_out: int


async def explorer(visit: Visit) -> web.Response:
    """List current events."""
    services = visit.services
    as_of = await read_as_of(services)
    asked = {name: value for name in _FILTERS if (value := visit.query(name)) is not None}
    faults: dict[str, str] = {}
    held = _held(visit, asked)
    selection, where, aggregator = await _selection(visit, as_of.cutoff, asked, microseconds(as_of.now), faults)

    page = page_asked(visit, PAGES_MAX)
    total, events = 0, []
    if not faults:
        total = await services.store.run(services.explorer.count, selection, where=where, held=held)
        events = await services.store.run(
            services.explorer.events, selection, take=ROWS, skip=(page - 1) * ROWS, where=where, held=held
        )
    context = {
        "title": "Events",
        "current": "/events",
        "as_of": as_of,
        "asked": asked,
        "aggregator": aggregator,
        "held": held,
        "faults": faults,
        "rows": await _rows(visit, events),
        "now_text": machine_time(microseconds(as_of.now)),
        "pages": list_page("/events", asked, page, len(events), total),
        "event_types": await services.store.run(services.explorer.event_types, visit.world),
    }
    return visit.render("explorer.html", context, 400 if faults else 200)


def _held(visit: Visit, asked: dict[str, str]) -> Held | None:
    """Read which value of a property is asked for, as it is, spaces and all; a property alone asks for none."""
    prop, text = visit.request.query.get("property"), visit.request.query.get("value")
    if not prop:
        return None
    asked |= {"property": prop, **({} if text is None else {"value": text})}
    return Held(prop, text)


async def _selection(
    visit: Visit, cutoff: Cutoff, asked: Mapping[str, str], now_us: int, faults: dict[str, str]
) -> tuple[Selection, Filter, StoredAggregator | None]:
    aggregator, where = None, EVERYTHING
    selection = Selection(visit.world, cutoff)
    if "aggregator" in asked:
        aggregator = await visit.services.registry.read(find_aggregator, visit.world, asked["aggregator"])
        if aggregator is None:
            faults["aggregator"] = "There is no such aggregator any more: reset the filters."
        else:
            where = aggregator.counted().where
            selection = replace(selection, event_types=[aggregator.entity])
    if "event_type" in asked:
        selection = replace(selection, event_types=[asked["event_type"]])
    if "record_id" in asked:
        selection = replace(selection, record_ids=[asked["record_id"]])
    if "customer" in asked:
        found = await find_customer(visit, asked["customer"])
        selection = replace(selection, customer_ids=found.identifiers if found else [asked["customer"]])
    if "start_date" in asked or "end_date" in asked:
        try:
            start, end = asked.get("start_date", _EARLIEST), asked.get("end_date", _LATEST)
            asked_range = parse_range(start, end, UTC.key, now_us=now_us)
        except RangeError as error:
            faults[error.fields[0]] = str(error)
        else:
            start_us, end_us = max(asked_range.start_us, EARLIEST_US), min(asked_range.end_us, LATEST_US)
            selection = replace(selection, start_us=start_us, end_us=end_us)
    return selection, where, aggregator


async def _rows(visit: Visit, events: list[StoredEvent]) -> list[EventRow]:
    identifiers = {event.customer_id for event in events}
    customers = await visit.services.registry.read(resolve_many, visit.world, identifiers)
    rows = []
    for event in events:
        customer = customers.get(event.customer_id)
        fields = [field for field in properties_of(event.record) if field.name != "id"]
        rows.append(
            EventRow(
                event=event,
                path=event_path(event.event_type, event.record_id),
                customer_path=customer_path(event.customer_id),
                customer_name=customer.name if customer else None,
                preview=fields[:PREVIEW_PROPERTIES_MAX],
                left_out=max(0, len(fields) - PREVIEW_PROPERTIES_MAX),
            )
        )
    return rows
