"""Which range of time a chart shows, and how it is cut: what the address asks for, and else where the data is."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from deploy.pages.as_of import AsOf
from deploy.pages.opening import finest, fullest, opening_range, too_long
from deploy.pages.questions import granularity_asked
from deploy.pages.serving import Visit
from deploy.pages.subjects import Subject, events_subject
from metering.ranges import Range, RangeError, month_of, parse_range
from metering.store.usage import Scope, Span
from metering.timestamps import microseconds
from metering.windows import Granularity, boundaries
from metering.zones import wall_of


@dataclass(frozen=True, slots=True)
class Ground:
    """What the answer follows from. `span` None: the subject has no events."""

    as_of: AsOf
    subject: Subject
    span: Span | None
    zone: ZoneInfo


async def range_asked(visit: Visit, ground: Ground, faults: dict[str, str]) -> tuple[Granularity, Range]:
    """Give the granularity and the range; what cannot be read is put into `faults`, and the month is given instead."""
    start, end = visit.query("start_date"), visit.query("end_date")
    zone, now_us = ground.zone, microseconds(ground.as_of.now)
    granularity = granularity_asked(visit)
    if start is None or end is None:
        opened_by, opening = await _opening(visit, ground, granularity)
        if start is None and end is None:
            return opened_by, opening
        granularity = opened_by
        start = start or wall_of(opening.start_us, zone).isoformat()
        end = end or wall_of(opening.end_us, zone).isoformat()
    try:
        asked = parse_range(start, end, zone.key, now_us=now_us)
    except RangeError as error:
        faults[error.fields[0]] = str(error)
        return granularity or Granularity.DAY, month_of(now_us, zone)
    return granularity or finest(asked.start_us, asked.end_us - 1), asked


async def _opening(visit: Visit, ground: Ground, wanted: Granularity | None) -> tuple[Granularity, Range]:
    span, zone = ground.span, ground.zone
    if span is None:
        return wanted or Granularity.DAY, month_of(microseconds(ground.as_of.now), zone)
    granularity = wanted or finest(span.first_us, span.last_us)
    opening = opening_range(span.first_us, span.last_us, granularity, zone)
    if granularity is not Granularity.MONTH:
        return granularity, opening
    edges = boundaries(opening, granularity)
    if not too_long(edges):
        return granularity, opening
    counted = events_subject(ground.subject.counted.entity).counted
    scope = Scope(visit.world, ground.as_of.cutoff)
    series = await visit.services.store.run(visit.services.usage.timeseries, scope, counted, edges)
    return granularity, fullest(edges, [usage.count for usage in series], zone)
