"""Usage by the values of a property: the greatest first, the rest as one row."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from aiohttp import web

from deploy.pages.asked import Asked, form_context, read_asked, ways_fields
from deploy.pages.chart import percent
from deploy.pages.clock_text import period_text
from deploy.pages.figures import events_link
from deploy.pages.paths import event_path
from deploy.pages.questions import NamedCustomer, customer_asked
from deploy.pages.records import properties_of
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject
from metering.aggregation import ADDS_UP, Usage
from metering.api.usage_by_property import PROPERTY_CHARACTERS_MAX, ranked
from metering.decimals import EXACT
from metering.store.current import Selection
from metering.store.explorer import Held
from metering.store.usage import VALUES_GROUPED_MAX, Scope
from metering.windows import Window

VALUES_SHOWN_MAX = 25
LINK_CHARACTERS_MAX = 4_000
"""Servers and browsers take longer addresses, but not all of them."""
EVENTS_LOOKED_AT = 50
"""Of so many events, the last ones, the names of properties are offered."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value. `text` None: events that have none. `width`: of its bar, beside the greatest.

    `link` leads to the event that an id names, else to the events that hold the value; empty for a very long text.
    """

    text: str | None
    usage: Usage
    width: str
    link: str


@dataclass(frozen=True, slots=True)
class Values:
    """The values with the greatest totals, how many more there are, and what these and all come to.

    `others_total` is None where the figures of values do not add up, or there are no others.
    """

    shown: Sequence[Value]
    others: int
    others_count: int
    others_total: Decimal | None
    total: Usage


async def values(visit: Visit) -> web.Response:
    """Show the usage of each value of the property that the address names."""
    asked = await read_asked(visit)
    customer = await customer_asked(visit, asked.faults)
    prop, found = visit.query("property"), None
    if prop is not None and len(prop) > PROPERTY_CHARACTERS_MAX:
        asked.faults["property"] = f"The name of a property has at most {PROPERTY_CHARACTERS_MAX} characters."
    elif prop is not None and asked.subject is not None and not asked.is_faulty:
        found = await _values(visit, asked, asked.subject, customer, prop)
    shown = asked.range
    context = {
        **form_context(visit, asked),
        "title": "Usage by a property",
        "current": "/",
        "customer": customer,
        "customer_text": visit.query("customer") or "",
        "property": prop or "",
        "properties": await _offered(visit, asked),
        "values": found,
        "range_text": period_text(shown.start_us, shown.end_us, shown.timezone),
        "usage_path": f"/?{urlencode(ways_fields(visit, asked))}",
    }
    return visit.render("values.html", context, 400 if asked.is_faulty else 200)


async def _values(
    visit: Visit, asked: Asked, subject: Subject, customer: NamedCustomer | None, prop: str
) -> Values | None:
    services, shown, counted = visit.services, asked.range, subject.counted
    ids = customer.identifiers if customer else None
    scope = Scope(visit.world, asked.as_of.cutoff, shown.start_us, shown.end_us, ids)
    found = await services.store.run(services.usage.by_property, scope, counted, prop)
    if found is None:
        asked.faults["property"] = (
            f"This property has more than {VALUES_GROUPED_MAX:,} values here: choose a shorter range or one customer."
        )
        return None
    total = await services.store.run(services.usage.total, scope, counted)
    order = ranked(found)
    top, rest = order[:VALUES_SHOWN_MAX], order[VALUES_SHOWN_MAX:]
    window = Window(shown.start_us, shown.end_us)
    most = max([abs(usage.rated) for _, usage in top], default=Decimal(0)) or Decimal(1)
    others_total = None
    if rest and counted.operation in ADDS_UP:
        others_total = Decimal(0)
        for _, usage in rest:
            others_total = EXACT.add(others_total, usage.rated)
    return Values(
        shown=[
            Value(
                text,
                usage,
                percent(float(100 * abs(usage.rated) / most)),
                _link(subject, customer, window, Held(prop, text)),
            )
            for text, usage in top
        ],
        others=len(rest),
        others_count=sum(usage.count for _, usage in rest),
        others_total=others_total,
        total=total,
    )


def _link(subject: Subject, customer: NamedCustomer | None, window: Window, held: Held) -> str:
    if held.property == "id" and held.text is not None:
        return event_path(subject.counted.entity, held.text)
    link = events_link(subject, customer, window, property=held.property, value=held.text)
    return link if len(link) <= LINK_CHARACTERS_MAX else ""


async def _offered(visit: Visit, asked: Asked) -> Sequence[str]:
    """Give the names of properties that the last events of the type have."""
    if asked.subject is None:
        return ()
    selection = Selection(visit.world, asked.as_of.cutoff, [asked.subject.counted.entity])
    explorer = visit.services.explorer
    events = await visit.services.store.run(explorer.events, selection, take=EVENTS_LOOKED_AT)
    return list(dict.fromkeys(field.name for event in events for field in properties_of(event.record)))
