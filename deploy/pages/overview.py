"""The first page: usage over time, as of when, and whether events keep coming in.

Everything on it is read at one cut-off. It opens where the data is; what is asked for stands in the address, so a view
can be sent to somebody else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from deploy.pages.as_of import AsOf
from deploy.pages.asked import form_context, read_asked, ways_fields
from deploy.pages.chart import sparkline
from deploy.pages.clock_text import machine_time
from deploy.pages.figures import View, read_figures
from deploy.pages.quantities import quantity
from deploy.pages.questions import customer_asked
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject
from metering.timestamps import microseconds

RATE_MINUTES = 60
RATE_HEIGHT = 28
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
    asked = await read_asked(visit)
    as_of, subject, faults = asked.as_of, asked.subject, asked.faults
    customer = await customer_asked(visit, faults)
    figures = None
    if subject is not None and not asked.is_faulty:
        view = View(as_of, subject, customer, asked.granularity, asked.range)
        figures = await read_figures(visit, view, faults)
    context = {
        **form_context(visit, asked),
        "title": "Usage",
        "current": "/",
        "customer": customer,
        "customer_text": visit.query("customer") or "",
        "figures": figures,
        "rate": await _rate(visit, as_of),
        "has_events": bool(asked.spans),
        "now_text": machine_time(microseconds(as_of.now)),
        "example_type": _example_type(subject),
        "ways": [
            (name, f"{path}?{urlencode({**ways_fields(visit, asked), **more})}")
            for name, path, more in (
                ("Compare customers", "/compare", {"customer": customer.customer.id} if customer else {}),
                ("By a property", "/values", {"customer": customer.customer.id} if customer else {}),
            )
        ],
    }
    return visit.render("overview.html", context, 400 if asked.is_faulty else 200)


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
