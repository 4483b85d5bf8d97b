"""The figures of a chart: each window's, what they come to as a whole, and the way from each to its events."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.pages.as_of import AsOf
from deploy.pages.chart import Chart, Point, lay_out
from deploy.pages.clock_text import machine_time, period_text, window_text
from deploy.pages.opening import BARS_MAX
from deploy.pages.quantities import quantity
from deploy.pages.questions import NamedCustomer
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject
from deploy.pages.zoom import zoom_in
from metering.aggregation import Usage
from metering.ranges import Range
from metering.store.usage import Scope
from metering.windows import Granularity, Window, WindowsError, windows


@dataclass(frozen=True, slots=True)
class View:
    """What a chart shows. `customer` None: all of them."""

    as_of: AsOf
    subject: Subject
    customer: NamedCustomer | None
    granularity: Granularity
    range: Range


@dataclass(frozen=True, slots=True)
class Row:
    """One window in the table below the chart.

    `link` leads to its events, `zoom` into it: empty for an hour. `open`: it is not over, so it may still grow.
    """

    window: str
    usage: Usage
    link: str
    zoom: str
    open: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What the chart shows. The total is read by itself, not added up: not every way to count adds up."""

    total: Usage
    rows: Sequence[Row]
    chart: Chart
    range_text: str
    any_open: bool


async def read_figures(visit: Visit, view: View, faults: dict[str, str]) -> Figures | None:
    """Read the figures at the view's cut-off; None, and a word in `faults`, if there are more windows than bars fit."""
    shown, services = view.range, visit.services
    try:
        cut = windows(shown, view.granularity, windows_max=BARS_MAX)
    except WindowsError as error:
        faults["granularity"] = str(error)
        return None
    identifiers = view.customer.identifiers if view.customer else None
    scope = Scope(visit.world, view.as_of.cutoff, shown.start_us, shown.end_us, identifiers)
    edges = [cut[0].start_us, *(window.end_us for window in cut)]
    series = await services.store.run(services.usage.timeseries, scope, view.subject.counted, edges)
    total = await services.store.run(services.usage.total, scope, view.subject.counted)
    rows = [_row(visit, view, window, usage) for window, usage in zip(cut, series, strict=True)]
    points = [_point(view.subject, window, row) for window, row in zip(cut, rows, strict=True)]
    return Figures(
        total=total,
        rows=rows,
        chart=lay_out(points, view.granularity, shown.timezone, whole=view.subject.is_whole),
        range_text=period_text(shown.start_us, shown.end_us, shown.timezone),
        any_open=any(row.open and row.usage.count for row in rows),
    )


def _row(visit: Visit, view: View, window: Window, usage: Usage) -> Row:
    name = window_text(window.start_us, view.granularity, view.range.timezone)
    is_open = window.start_us <= (view.as_of.until_us or 0) < window.end_us
    return Row(name, usage, events_link(view.subject, view.customer, window), _zoom_link(visit, view, window), is_open)


def _point(subject: Subject, window: Window, row: Row) -> Point:
    title = f"{row.window}: {quantity(row.usage.total)}{f' {subject.unit}' if subject.unit else ''}"
    if not subject.is_whole:
        title += f", from {quantity(row.usage.count)} {'event' if row.usage.count == 1 else 'events'}"
    return Point(window.start_us, row.usage.rated, title, row.zoom or row.link, row.open)


def _zoom_link(visit: Visit, view: View, window: Window) -> str:
    way = zoom_in(window.start_us, window.end_us, view.granularity, view.range.timezone)
    if way is None:
        return ""
    customer = view.customer.customer.id if view.customer else None
    kept = {"show": view.subject.id, "customer": customer, "timezone": visit.query("timezone")}
    return "/?" + urlencode({**{name: value for name, value in kept.items() if value is not None}, **way})


def events_link(subject: Subject, customer: NamedCustomer | None, window: Window, **more: str | None) -> str:
    """Give the address of the events that were counted; None among `more` is not said."""
    fields = {
        "event_type": subject.counted.entity,
        "aggregator": subject.aggregator_id,
        "customer": customer.customer.id if customer else None,
        "start_date": machine_time(window.start_us),
        "end_date": machine_time(window.end_us),
        **more,
    }
    return "/events?" + urlencode({name: value for name, value in fields.items() if value is not None})
