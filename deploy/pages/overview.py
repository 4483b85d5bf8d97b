"""The first page: usage over time, as of when, and whether events keep coming in.

Everything on it is read at one cut-off. It opens where the data is; what is asked for stands in the address, so a view
can be sent to somebody else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.as_of import AsOf, read_as_of
from deploy.pages.chart import Chart, Point, lay_out, sparkline
from deploy.pages.clock_text import machine_time, period_text, window_text
from deploy.pages.opening import BARS_MAX, finest, fullest, opening_range, too_long
from deploy.pages.quantities import quantity
from deploy.pages.questions import (
    CUSTOMERS_OFFERED_MAX,
    GRANULARITIES,
    ZONES_OFFERED,
    NamedCustomer,
    customer_asked,
    date_fields,
    granularity_asked,
    zone_asked,
)
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject, choose, events_subject
from metering.aggregation import Usage
from metering.ranges import Range, RangeError, month_of, parse_range
from metering.registry.aggregators import active_aggregators
from metering.registry.customers import Customer, list_customers
from metering.store.usage import Scope, Span
from metering.timestamps import microseconds
from metering.windows import Granularity, Window, WindowsError, boundaries, windows
from metering.world import World
from metering.zones import wall_of

RATE_MINUTES = 60
RATE_HEIGHT = 28
SUBJECTS_MAX = 200
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Row:
    """One window in the table below the chart."""

    window: str
    usage: Usage
    link: str
    open: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What the chart shows, and what it adds up to."""

    total: Usage
    rows: Sequence[Row]
    chart: Chart
    range_text: str
    any_open: bool


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
        faults["show"] = "there is no such aggregator any more: this is another"
    zone = zone_asked(visit, faults)
    customer = await customer_asked(visit, faults)
    figures = None
    granularity, shown = Granularity.DAY, month_of(microseconds(as_of.now), zone)
    if subject is not None:
        granularity, shown = await _range_asked(visit, as_of, subject, spans, zone, faults)
        if not faults.keys() - {"show"}:
            figures = await _figures(visit, as_of, subject, customer, granularity, shown, faults)
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


async def _range_asked(
    visit: Visit, as_of: AsOf, subject: Subject, spans: Sequence[Span], zone: ZoneInfo, faults: dict[str, str]
) -> tuple[Granularity, Range]:
    """Give what the address asks for; what it leaves open is where the data is."""
    span = next((span for span in spans if span.event_type == subject.counted.entity), None)
    granularity = granularity_asked(visit)
    start, end = visit.query("start_date"), visit.query("end_date")
    now_us = microseconds(as_of.now)
    if start is None or end is None:
        if span is None:
            granularity, opening = granularity or Granularity.DAY, month_of(now_us, zone)
        else:
            granularity = granularity or finest(span.first_us, span.last_us)
            opening = await _opening(visit, as_of, subject, span, granularity, zone)
        if start is None and end is None:
            return granularity, opening
        start = start or wall_of(opening.start_us, zone).isoformat()
        end = end or wall_of(opening.end_us, zone).isoformat()
    try:
        asked = parse_range(start, end, zone.key, now_us=now_us)
    except RangeError as error:
        faults[error.fields[0]] = str(error)
        return granularity or Granularity.DAY, month_of(now_us, zone)
    return granularity or finest(asked.start_us, asked.end_us - 1), asked


async def _opening(
    visit: Visit, as_of: AsOf, subject: Subject, span: Span, granularity: Granularity, zone: ZoneInfo
) -> Range:
    opening = opening_range(span.first_us, span.last_us, granularity, zone)
    if granularity is not Granularity.MONTH:
        return opening
    edges = boundaries(opening, granularity)
    if not too_long(edges):
        return opening
    counted = events_subject(subject.counted.entity).counted
    scope = Scope(visit.world, as_of.cutoff)
    series = await visit.services.store.run(visit.services.usage.timeseries, scope, counted, edges)
    return fullest(edges, [usage.count for usage in series], zone)


async def _figures(
    visit: Visit,
    as_of: AsOf,
    subject: Subject,
    customer: NamedCustomer | None,
    granularity: Granularity,
    shown: Range,
    faults: dict[str, str],
) -> Figures | None:
    try:
        cut = windows(shown, granularity, windows_max=BARS_MAX)
    except WindowsError as error:
        faults["granularity"] = str(error)
        return None
    services, identifiers = visit.services, customer.identifiers if customer else None
    scope = Scope(visit.world, as_of.cutoff, shown.start_us, shown.end_us, identifiers)
    edges = [cut[0].start_us, *(window.end_us for window in cut)]
    series = await services.store.run(services.usage.timeseries, scope, subject.counted, edges)
    total = await services.store.run(services.usage.total, scope, subject.counted)
    rows, points = [], []
    until_us = as_of.until_us or 0
    for window, usage in zip(cut, series, strict=True):
        name = window_text(window.start_us, granularity, shown.timezone)
        link = _events_link(subject, customer, window)
        is_open = window.start_us <= until_us < window.end_us
        rows.append(Row(name, usage, link, is_open))
        unit = f" {subject.unit}" if subject.unit else ""
        title = f"{name}: {quantity(usage.total)}{unit}"
        if not subject.is_whole:
            title += f", from {quantity(usage.count)} {'event' if usage.count == 1 else 'events'}"
        points.append(Point(window.start_us, usage.total, title, link, is_open))
    return Figures(
        total=total,
        rows=rows,
        chart=lay_out(points, granularity, shown.timezone, whole=subject.is_whole),
        range_text=period_text(shown.start_us, shown.end_us, shown.timezone),
        any_open=any(row.open and row.usage.count for row in rows),
    )


async def _rate(visit: Visit, as_of: AsOf) -> Rate:
    explorer, now_us = visit.services.explorer, microseconds(as_of.now)
    per_minute = await visit.services.store.run(
        explorer.accepted_per_minute, visit.world, minutes=RATE_MINUTES, now_us=now_us
    )
    return Rate(per_minute, sparkline(per_minute, RATE_HEIGHT))


def _events_link(subject: Subject, customer: NamedCustomer | None, window: Window) -> str:
    fields = {
        "event_type": subject.counted.entity,
        "aggregator": subject.aggregator_id,
        "customer": customer.customer.id if customer else None,
        "start_date": machine_time(window.start_us),
        "end_date": machine_time(window.end_us),
    }
    return "/events?" + urlencode({name: value for name, value in fields.items() if value is not None})


def _example_type(subject: Subject | None) -> str:
    """Give an event type for a line that people copy into a shell: theirs, unless it could mean something there."""
    known = subject.counted.entity if subject else ""
    return known if _PLAIN.fullmatch(known) else "api_call"
