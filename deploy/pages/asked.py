"""What a page about usage is asked for: of what, of when, cut by what; and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from deploy.pages.as_of import AsOf, read_as_of
from deploy.pages.questions import CUSTOMERS_OFFERED_MAX, GRANULARITIES, ZONES_OFFERED, date_fields, zone_asked
from deploy.pages.range_asked import Ground, range_asked
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject, choose, events_subject
from deploy.pages.zoom import zoom_out
from metering.ranges import Range, month_of
from metering.registry.aggregators import StoredAggregator, active_aggregators
from metering.registry.customers import Customer, list_customers
from metering.store.usage import Span
from metering.timestamps import microseconds
from metering.windows import Granularity
from metering.world import World

SUBJECTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer. `subject` None: there is nothing that could be counted. `faults` are by field; more may be added."""

    as_of: AsOf
    subject: Subject | None
    aggregators: Sequence[StoredAggregator]
    spans: Sequence[Span]
    customers: Sequence[Customer]
    zone: ZoneInfo
    granularity: Granularity
    range: Range
    faults: dict[str, str]

    @property
    def is_faulty(self) -> bool:
        """Tell whether there is a fault with which figures would not be what was asked for."""
        return bool(self.faults.keys() - {"show"})


async def read_asked(visit: Visit) -> Asked:
    """Read the address, and where the data is for what it leaves open."""
    services, world = visit.services, visit.world
    as_of = await read_as_of(services)
    aggregators = await services.registry.read(active_aggregators, world)
    spans = await services.store.run(services.usage.spans, world, as_of.cutoff)
    subject, as_asked = choose(visit.query("show"), aggregators, spans)
    faults: dict[str, str] = {}
    if not as_asked:
        faults["show"] = "There is no such aggregator any more: this is another."
    zone = zone_asked(visit, faults)
    granularity, shown = Granularity.DAY, month_of(microseconds(as_of.now), zone)
    if subject is not None:
        span = next((span for span in spans if span.event_type == subject.counted.entity), None)
        granularity, shown = await range_asked(visit, Ground(as_of, subject, span, zone), faults)
    customers = await services.registry.read(_offered, world)
    return Asked(as_of, subject, aggregators, spans, customers, zone, granularity, shown, faults)


def form_context(visit: Visit, asked: Asked) -> dict[str, Any]:
    """Give what the fields of `asking.html` show, and the way out of the range."""
    kept = {"show": visit.query("show"), "timezone": visit.query("timezone"), "property": visit.query("property")}
    out = zoom_out(asked.range, asked.granularity)
    fields = [(name, value) for name, value in {**kept, **(out or {})}.items() if value]
    fields += [("customer", value) for value in visit.request.query.getall("customer", []) if value.strip()]
    return {
        "as_of": asked.as_of,
        "subject": asked.subject,
        "aggregators": asked.aggregators[:SUBJECTS_MAX],
        "event_subjects": [events_subject(span.event_type) for span in asked.spans[:SUBJECTS_MAX]],
        "customers": asked.customers,
        "granularities": GRANULARITIES,
        "granularity": asked.granularity,
        "zones": ZONES_OFFERED,
        "zone": visit.query("timezone") or asked.zone.key,
        "dates": date_fields(visit, asked.range),
        "faults": asked.faults,
        "out_path": f"{visit.request.path}?{urlencode(fields)}",
        "out_text": {"hour": "Show the month, by day", "day": "Show the year, by month"}.get(
            asked.granularity.value, "Show all data"
        ),
    }


def ways_fields(visit: Visit, asked: Asked) -> dict[str, str]:
    """Give the fields that lead to the same subject and range on another page."""
    fields = {name: visit.query(name) for name in ("start_date", "end_date", "timezone")}
    show = {"show": asked.subject.id} if asked.subject else {}
    return {**show, "granularity": asked.granularity.value, **{name: text for name, text in fields.items() if text}}


def _offered(connection: sa.Connection, world: World) -> list[Customer]:
    return list_customers(connection, world, conditions=(), take=CUSTOMERS_OFFERED_MAX, skip=0)[0]
