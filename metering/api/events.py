"""`GET /v1/events`: the current events; `GET .../{record_id}/versions`: what became of each version of one.

Both are read at a cut-off, like usage, so a list of events and the figure made from them can be held side by side.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from aiohttp import web

from metering.aggregation import Aggregator
from metering.api import asof
from metering.api.asof import as_of, as_of_with_definitions
from metering.api.corrections import FIGURES_MOVED, Moved, corrections_of, moved_by
from metering.api.services import Services
from metering.filters import EVERYTHING, Filter
from metering.http.app import json_response
from metering.http.choices import instants_within, values_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import invalid_field, not_found
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    ANY_OBJECT,
    BOOLEAN,
    DAY_OR_INSTANT,
    INSTANT,
    INTEGER,
    NUMBER,
    OPTIONAL_INSTANT,
    TEXT,
    array_of,
    described,
    nullable,
    object_of,
    one_of,
)
from metering.http.shapes import page_of as page_shape
from metering.registry.customers import identifiers_of, resolve_many
from metering.store.current import Selection
from metering.store.explorer import StoredEvent, VersionHistory
from metering.store.usage import Scope as UsageScope
from metering.timestamps import format_instant
from metering.world import World

TAG = "Events"
RECORD_IDS_MAX = 1_000

EVENT = object_of(
    {
        "id": described(TEXT, "The same for all versions of an event."),
        "event_type": TEXT,
        "timestamp": INSTANT,
        "customer_id": described(TEXT, "As it was sent."),
        "record_id": TEXT,
        "record": ANY_OBJECT,
    },
    title="Event",
)
EVENTS = page_shape(EVENT)
LINE_MOVED = object_of(
    {
        "invoice_id": described(TEXT, "Of the period that holds the event, open or yet to begin."),
        "invoice_line_item_id": TEXT,
        "subscription_id": TEXT,
        "product_id": TEXT,
        "customer_id": TEXT,
        "period_starts_at": INSTANT,
        "period_ends_at": INSTANT,
        "currency": TEXT,
        "exact_amount": described(
            NUMBER, "What the line gained before rounding, in minor units; below 0 what it lost."
        ),
    },
    title="LineMoved",
)
_VERSION = object_of(
    {
        "version": INTEGER,
        "customer_id": TEXT,
        "timestamp": INSTANT,
        "record": ANY_OBJECT,
        "received_at": INSTANT,
        "deleted": BOOLEAN,
        "current": BOOLEAN,
        "superseded_at": OPTIONAL_INSTANT,
        "superseded_by": described({"type": ["integer", "null"]}, "The number of the version that won over this one."),
        "moved": described(
            nullable(object_of({"figures": FIGURES_MOVED, "lines": array_of(LINE_MOVED)})),
            "What it moved when it superseded another version; null for one that superseded none.",
        ),
    },
    title="EventVersion",
)
_FILTERS = (
    Parameter("event_type", "Events of this type; as `event_type__in` of several."),
    Parameter("customer_id", "Events of this customer, under whichever of its ids; as `customer_id__in` of several."),
    Parameter("record_id", "Events with one of these record ids, separated by commas; `record_id__equals` takes one."),
    Parameter("timestamp__gte", "Events at or after this date-time; also `timestamp__gt`.", DAY_OR_INSTANT),
    Parameter("timestamp__lte", "Events at or before this date-time; also `timestamp__lt`.", DAY_OR_INSTANT),
    Parameter("order", "asc or desc, by timestamp; desc when absent.", one_of(("asc", "desc"))),
    Parameter("sort", "timestamp, which is all there is to sort by.", one_of(("timestamp",))),
    asof.PARAMETER,
)


def event_routes(services: Services) -> list[Route]:
    """Give the routes that read events."""
    api = _Events(services)
    return [
        Route(
            "GET",
            "/v1/events",
            Scope.READ,
            api.list,
            "List the current events, newest first",
            TAG,
            parameters=(*PARAMETERS, *_FILTERS),
            answer=EVENTS,
        ),
        Route(
            "GET",
            "/v1/events/{event_type}/{record_id}/versions",
            Scope.READ,
            api.versions,
            "Every version of an event, first received first",
            TAG,
            parameters=(*PARAMETERS, asof.PARAMETER),
            answer=page_shape(_VERSION),
        ),
    ]


async def events_page(services: Services, scope: UsageScope, aggregator: Aggregator, page: Page) -> dict[str, Any]:
    """Give one page of the events that a figure was made from, newest first."""
    return await services.store.run(
        _page, services, scope.of(aggregator.entity), aggregator.where, page, ascending=False
    )


def event_object(event: StoredEvent) -> dict[str, Any]:
    """Give the event as it goes out; its record keeps all digits."""
    return {
        "id": event.id,
        "event_type": event.event_type,
        "timestamp": format_instant(event.timestamp_us),
        "customer_id": event.customer_id,
        "record_id": event.record_id,
        "record": msgspec.Raw(event.record),
    }


class _Events:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, call: Call) -> web.Response:
        services = self._services
        page, ascending = page_of(call), _ascending(call)
        (start_us, end_us), record_ids = instants_within(call, "timestamp"), _record_ids(call)
        event_types, named = values_of(call, "event_type"), values_of(call, "customer_id")
        customer_ids = None if named is None else await services.registry.read(_ids_of, call.world, named)
        at = await as_of(call, services.cutoffs, services.clock())
        selection = Selection(call.world, at.cutoff, event_types, customer_ids, record_ids, start_us, end_us)
        answer = await services.store.run(_page, services, selection, EVERYTHING, page, ascending=ascending)
        return json_response(answer, headers=at.headers)

    async def versions(self, call: Call) -> web.Response:
        services = self._services
        page = page_of(call)
        now = services.clock()
        at = await as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        found = await services.store.run(
            services.explorer.versions, call.world, at.cutoff, call.path("event_type"), call.path("record_id")
        )
        if not found:
            raise not_found(
                f"there is no event {call.path('record_id')[:80]!r} of type {call.path('event_type')[:80]!r}"
            )
        shown = found[page.skip : page.skip + page.take]
        corrections = {
            number: one
            for number, one in corrections_of(found).items()
            if any(version.version == number for version in shown)
        }
        place = call.world, at
        moved = await moved_by(services.lines, services.registry, services.store, place, corrections)
        objects = [{**_version_object(one), "moved": _moved_object(moved.get(one.version))} for one in shown]
        return json_response(paged(objects, len(found), page), headers=at.headers)


def _page(services: Services, selection: Selection, where: Filter, page: Page, *, ascending: bool) -> dict[str, Any]:
    """Read a page and the total. Blocks."""
    explorer = services.explorer
    total = explorer.count(selection, where=where)
    wanted = page.take > 0 and page.skip < total
    found = (
        explorer.events(selection, take=page.take, skip=page.skip, ascending=ascending, where=where) if wanted else []
    )
    return paged([event_object(event) for event in found], total, page)


def _moved_object(moved: Moved | None) -> dict[str, Any] | None:
    return None if moved is None else {"figures": list(moved.figures), "lines": list(moved.lines)}


def _version_object(version: VersionHistory) -> dict[str, Any]:
    at = version.superseded_at_us
    return {
        "version": version.version,
        "customer_id": version.event.customer_id,
        "timestamp": format_instant(version.event.timestamp_us),
        "record": msgspec.Raw(version.event.record),
        "received_at": format_instant(version.event.received_at_us),
        "deleted": version.deleted,
        "current": version.current,
        "superseded_at": None if at is None else format_instant(at),
        "superseded_by": version.superseded_by,
    }


def _ids_of(connection: sa.Connection, world: World, named: Sequence[str]) -> Sequence[str]:
    """Give all ids of the customers that have these; an id that nobody has stands for itself."""
    found = resolve_many(connection, world, named)
    customers = {customer.id: customer for customer in found.values()}
    owned = {one for customer in customers.values() for one in identifiers_of(connection, customer)}
    return sorted(owned | {one for one in named if one not in found})


def _ascending(call: Call) -> bool:
    order, sort = call.query("order") or "desc", call.query("sort") or "timestamp"
    if order not in {"asc", "desc"}:
        raise invalid_field("order", "unknown_value", f"order: {order[:40]!r} is neither asc nor desc")
    if sort != "timestamp":
        raise invalid_field("sort", "unknown_value", f"sort: events are sorted by timestamp, not by {sort[:40]!r}")
    return order == "asc"


def _record_ids(call: Call) -> list[str] | None:
    ids = values_of(call, "record_id", commas=True)
    if ids is not None and len(ids) > RECORD_IDS_MAX:
        raise invalid_field("record_id", "too_many", f"record_id: {len(ids)} ids; at most {RECORD_IDS_MAX} at once")
    return ids
