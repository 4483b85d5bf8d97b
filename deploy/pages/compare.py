"""A few customers side by side: a series each in one chart, and the same figures as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from aiohttp import web

from deploy.pages.asked import Asked, form_context, read_asked, ways_fields
from deploy.pages.chart import Point
from deploy.pages.clock_text import period_text, window_text
from deploy.pages.opening import BARS_MAX
from deploy.pages.paths import customer_path
from deploy.pages.quantities import quantity
from deploy.pages.questions import NamedCustomer, find_customer
from deploy.pages.series_chart import SeriesChart, lay_out_series
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject
from deploy.pages.zoom import zoom_in
from metering.aggregation import Usage
from metering.store.usage import Scope
from metering.windows import Window, WindowsError, windows

SERIES_MAX = 5
_TITLE_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True)
class Compared:
    """One customer: its figure of the whole range, read by itself, and of each window."""

    name: str
    path: str
    total: Usage
    series: Sequence[Usage]


@dataclass(frozen=True, slots=True)
class Row:
    """One window: a figure a customer, in their order; `zoom` leads into it, to nothing from an hour."""

    window: str
    zoom: str
    totals: Sequence[Decimal | None]


async def compare(visit: Visit) -> web.Response:
    """Show the usage of the customers that the address names."""
    asked = await read_asked(visit)
    wanted = list(dict.fromkeys(text.strip() for text in visit.request.query.getall("customer", []) if text.strip()))
    customers = await _customers(visit, wanted, asked.faults)
    compared: Sequence[Compared] = ()
    rows: Sequence[Row] = ()
    drawn = None
    if asked.subject is not None and customers and not asked.is_faulty:
        try:
            cut = windows(asked.range, asked.granularity, windows_max=BARS_MAX)
        except WindowsError as error:
            asked.faults["granularity"] = str(error)
        else:
            compared = [await _compared(visit, asked, asked.subject, one, cut) for one in customers]
            rows = [
                Row(
                    window_text(window.start_us, asked.granularity, asked.zone),
                    _zoom(visit, asked, wanted, window),
                    [one.series[at].total for one in compared],
                )
                for at, window in enumerate(cut)
            ]
            drawn = _drawn(asked, asked.subject, compared, cut, rows)
    shown = asked.range
    context = {
        **form_context(visit, asked),
        "title": "Compare customers",
        "current": "/",
        "wanted": [*wanted, *[""] * SERIES_MAX][:SERIES_MAX],
        "compared": compared,
        "rows": rows,
        "drawn": drawn,
        "range_text": period_text(shown.start_us, shown.end_us, shown.timezone),
        "usage_path": f"/?{urlencode(ways_fields(visit, asked))}",
    }
    return visit.render("compare.html", context, 400 if asked.is_faulty else 200)


async def _customers(visit: Visit, wanted: Sequence[str], faults: dict[str, str]) -> Sequence[NamedCustomer]:
    if len(wanted) > SERIES_MAX:
        faults["customer"] = f"At most {SERIES_MAX} customers are compared: leave some out."
        return ()
    found: dict[str, NamedCustomer] = {}
    for identifier in wanted:
        one = await find_customer(visit, identifier)
        if one is None:
            faults["customer"] = f"No customer has the id “{identifier[:80]}”: give our id or the external id."
            return ()
        found[one.customer.id] = one
    return list(found.values())


async def _compared(
    visit: Visit, asked: Asked, subject: Subject, named: NamedCustomer, cut: Sequence[Window]
) -> Compared:
    services, customer, shown = visit.services, named.customer, asked.range
    scope = Scope(visit.world, asked.as_of.cutoff, shown.start_us, shown.end_us, named.identifiers)
    edges = [cut[0].start_us, *(window.end_us for window in cut)]
    series = await services.store.run(services.usage.timeseries, scope, subject.counted, edges)
    total = await services.store.run(services.usage.total, scope, subject.counted)
    return Compared(customer.name or customer.external_id or customer.id, customer_path(customer.id), total, series)


def _zoom(visit: Visit, asked: Asked, wanted: Sequence[str], window: Window) -> str:
    way = zoom_in(window.start_us, window.end_us, asked.granularity, asked.zone)
    if way is None:
        return ""
    fields = {**ways_fields(visit, asked), **way}
    return "/compare?" + urlencode([*fields.items(), *(("customer", one) for one in wanted)])


def _drawn(
    asked: Asked, subject: Subject, compared: Sequence[Compared], cut: Sequence[Window], rows: Sequence[Row]
) -> SeriesChart:
    points = []
    for window, row in zip(cut, rows, strict=True):
        told = [
            f"{one.name[:_TITLE_CHARACTERS_MAX]}: {quantity(total)}"
            for one, total in zip(compared, row.totals, strict=True)
        ]
        points.append(Point(window.start_us, None, "\n".join([row.window, *told]), row.zoom, open=False))
    series = [[usage.total for usage in one.series] for one in compared]
    return lay_out_series(series, points, asked.granularity, asked.range, whole=subject.is_whole)
