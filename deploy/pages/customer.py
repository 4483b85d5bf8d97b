"""One customer: what was used, and what it would cost if the period ended now."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from deploy.pages.as_of import AsOf, read_as_of
from deploy.pages.billed import ask_open_invoices, shown_invoice
from deploy.pages.clock_text import machine_time, period_text
from deploy.pages.questions import NamedCustomer, date_fields, find_customer, zone_of
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject, aggregator_subject, events_subject
from metering.aggregation import Usage
from metering.http.problem import not_found
from metering.ranges import Range, RangeError, month_of, parse_range
from metering.registry.aggregators import active_aggregators
from metering.store.current import Selection
from metering.store.usage import Scope
from metering.timestamps import microseconds

SUBJECTS_MAX = 100
INVOICES_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used of one thing, with the ways to its chart and to its events."""

    subject: Subject
    usage: Usage
    chart_path: str
    events_path: str


async def customer(visit: Visit) -> web.Response:
    """Show the customer that the path, or the query where a path cannot, names by our id or the external one."""
    identifier = visit.request.match_info.get("id") or visit.query("id") or ""
    named = await find_customer(visit, identifier)
    if named is None:
        raise not_found(f"No customer has the id “{identifier[:80]}” here.")
    services = visit.services
    zone = zone_of(named.customer)
    as_of = await read_as_of(services)
    faults: dict[str, str] = {}
    shown = await _range(visit, as_of, named, zone, faults)
    invoices = await ask_open_invoices(visit, as_of.cutoff, [named.customer])
    aggregators = await services.registry.read(active_aggregators, visit.world)
    name = named.customer.name or named.customer.external_id or named.customer.id
    context = {
        "title": name[:80],
        "current": "/customers",
        "as_of": as_of,
        "name": name,
        "customer": named.customer,
        "other_ids": [known for known in named.identifiers if known != named.customer.id],
        "zone": zone.key,
        "faults": faults,
        "range_text": period_text(shown.start_us, shown.end_us, zone),
        "dates": date_fields(visit, shown),
        "usage": await _usage(visit, as_of, named, shown),
        "has_aggregators": bool(aggregators),
        "invoices": [
            shown_invoice(invoice, zone) for invoice in (invoices.invoices[:INVOICES_SHOWN_MAX] if invoices else ())
        ],
        "invoices_known": invoices is not None,
        "invoices_total": invoices.total if invoices else 0,
        "by_query": "" if "id" in visit.request.match_info else identifier,
        "start_text": machine_time(month_of(microseconds(as_of.now), zone).start_us),
        "now_text": machine_time(microseconds(as_of.now)),
        "events_path": "/events?" + urlencode({"customer": named.customer.id}),
    }
    return visit.render("customer.html", context, 400 if faults else 200)


async def _range(visit: Visit, as_of: AsOf, named: NamedCustomer, zone: ZoneInfo, faults: dict[str, str]) -> Range:
    """Give the range asked for; unasked, the month of the customer's last event, else the present one."""
    now_us = microseconds(as_of.now)
    start, end = visit.query("start_date"), visit.query("end_date")
    if start or end:
        try:
            return parse_range(start, end, zone.key, now_us=now_us)
        except RangeError as error:
            faults[error.fields[0]] = str(error)
    selection = Selection(visit.world, as_of.cutoff, customer_ids=named.identifiers)
    newest = await visit.services.store.run(visit.services.explorer.events, selection, take=1)
    return month_of(newest[0].timestamp_us if newest else now_us, zone)


async def _usage(visit: Visit, as_of: AsOf, named: NamedCustomer, shown: Range) -> Sequence[UsageRow]:
    """Give a row for each active aggregator; while there is none, one for each type of event."""
    services = visit.services
    aggregators = await services.registry.read(active_aggregators, visit.world)
    subjects = [aggregator_subject(stored) for stored in aggregators]
    if not subjects:
        spans = await services.store.run(services.usage.spans, visit.world, as_of.cutoff)
        subjects = [events_subject(span.event_type) for span in spans]
    subjects = subjects[:SUBJECTS_MAX]
    if not subjects:
        return []
    scope = Scope(visit.world, as_of.cutoff, shown.start_us, shown.end_us, named.identifiers)
    usages = await services.store.run(services.usage.totals, scope, [subject.counted for subject in subjects])
    return [_row(subject, usage, named, shown) for subject, usage in zip(subjects, usages, strict=True)]


def _row(subject: Subject, usage: Usage, named: NamedCustomer, shown: Range) -> UsageRow:
    customer_id = named.customer.id
    start, end = (machine_time(instant) for instant in (shown.start_us, shown.end_us))
    chart = {"show": subject.id, "customer": customer_id, "timezone": shown.timezone.key}
    events = {"event_type": subject.counted.entity, "customer": customer_id, "start_date": start, "end_date": end}
    if subject.aggregator_id is not None:
        events["aggregator"] = subject.aggregator_id
    return UsageRow(subject, usage, "/?" + urlencode(chart), "/events?" + urlencode(events))
