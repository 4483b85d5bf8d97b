"""The first page: usage over time, as of when, and whether events keep coming in.

Everything on it is read at one cut-off. It opens where the data is; what is asked for stands in the address, so a view
can be sent to somebody else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.as_of import AsOf, read_as_of
from deploy.pages.chart import sparkline
from deploy.pages.clock_text import machine_time
from deploy.pages.figures import View, read_figures
from deploy.pages.quantities import quantity
from deploy.pages.questions import (
    CUSTOMERS_OFFERED_MAX,
    GRANULARITIES,
    ZONES_OFFERED,
    customer_asked,
    date_fields,
    zone_asked,
)
from deploy.pages.range_asked import Ground, range_asked
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject, choose, events_subject
from metering.ranges import month_of
from metering.registry.aggregators import active_aggregators
from metering.registry.customers import Customer, list_customers
from metering.timestamps import microseconds
from metering.windows import Granularity
from metering.world import World

RATE_MINUTES = 60
RATE_HEIGHT = 28
SUBJECTS_MAX = 200
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Rate:
    """How many versions came in during each of the last minutes."""

    per_minute: Sequence[int]
    bars: Sequence[tuple[str, str, float, float]]

    @property
    def hour(self) -> int:
        """Give how many came in during the hour."""
        return sum(self.per_minute)

    @property
    def per_second(self) -> str:
        """Give the rate of the last minute."""
        last = self.per_minute[-1]
        return quantity(last // 60) if last >= 600 else f"{last / 60:.2g}" if last else "0"


async def overview(visit: Visit) -> web.Response:
    """Show usage over time."""
    services, world = visit.services, visit.world
    as_of = await read_as_of(services)
    aggregators = await services.registry.read(active_aggregators, world)
    spans = await services.store.run(services.usage.spans, world, as_of.cutoff)
    subject, as_asked = choose(visit.query("show"), aggregators, spans)
    customers = await services.registry.read(_offered, world)

    faults: dict[str, str] = {}
    if not as_asked:
        faults["show"] = "There is no such aggregator any more: this is another."
    zone = zone_asked(visit, faults)
    customer = await customer_asked(visit, faults)
    figures = None
    granularity, shown = Granularity.DAY, month_of(microseconds(as_of.now), zone)
    if subject is not None:
        span = next((span for span in spans if span.event_type == subject.counted.entity), None)
        granularity, shown = await range_asked(visit, Ground(as_of, subject, span, zone), faults)
        if not faults.keys() - {"show"}:
            view = View(as_of, subject, customer, granularity, shown)
            figures = await read_figures(visit, view, faults)
    rate = await _rate(visit, as_of)

    context = {
        "title": "Usage",
        "current": "/",
        "as_of": as_of,
        "subject": subject,
        "aggregators": aggregators[:SUBJECTS_MAX],
        "event_subjects": [events_subject(span.event_type) for span in spans[:SUBJECTS_MAX]],
        "customers": customers,
        "customer": customer,
        "customer_text": visit.query("customer") or "",
        "granularities": GRANULARITIES,
        "granularity": granularity,
        "zones": ZONES_OFFERED,
        "zone": visit.query("timezone") or zone.key,
        "dates": date_fields(visit, shown),
        "faults": faults,
        "figures": figures,
        "rate": rate,
        "has_events": bool(spans),
        "now_text": machine_time(microseconds(as_of.now)),
        "example_type": _example_type(subject),
    }
    return visit.render("overview.html", context, 400 if faults.keys() - {"show"} else 200)


def _offered(connection: sa.Connection, world: World) -> list[Customer]:
    return list_customers(connection, world, conditions=(), take=CUSTOMERS_OFFERED_MAX, skip=0)[0]


async def _rate(visit: Visit, as_of: AsOf) -> Rate:
    explorer, now_us = visit.services.explorer, microseconds(as_of.now)
    per_minute = await visit.services.store.run(
        explorer.accepted_per_minute, visit.world, minutes=RATE_MINUTES, now_us=now_us
    )
    return Rate(per_minute, sparkline(per_minute, RATE_HEIGHT))


def _example_type(subject: Subject | None) -> str:
    """Give an event type for a line that people copy into a shell: theirs, unless it could mean something there."""
    known = subject.counted.entity if subject else ""
    return known if _PLAIN.fullmatch(known) else "api_call"
