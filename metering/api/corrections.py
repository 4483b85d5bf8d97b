"""Which figures a correction moved: what it took from where the event was, and added where it is now.

A figure is that of one aggregator, customer and calendar month (UTC), of those that are sums of what events bring: what
became of a maximum or an average is no event's alone. Events and their figures are those within the
cut-off of the answer; aggregators and customers are as they are now.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from metering.aggregation import ADDS_UP, NEEDS_PROPERTY, value_of
from metering.api.seams import Correction
from metering.decimals import EXACT
from metering.filters import matches
from metering.http.json import loads
from metering.http.shapes import INSTANT, NUMBER, TEXT, array_of, described, object_of
from metering.ranges import month_of
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.customers import resolve_many
from metering.registry.tables import aggregators
from metering.store.explorer import StoredEvent, VersionHistory
from metering.timestamps import format_instant
from metering.world import World

AGGREGATORS_MAX = 100
"""So many figures of an event type are looked at, those that were made last."""
_UTC = ZoneInfo("UTC")
_ZERO = Decimal(0)

FIGURES_MOVED = array_of(
    object_of(
        {
            "aggregator_id": TEXT,
            "name": TEXT,
            "customer_id": described(TEXT, "Ours; as it was sent where nobody has that id."),
            "period_starts_at": INSTANT,
            "period_ends_at": INSTANT,
            "quantity": described(NUMBER, "What the figure gained; below 0 what it lost."),
        },
        title="FigureMoved",
    )
)


def corrections_of(history: Sequence[VersionHistory]) -> dict[int, Correction]:
    """Give by the number of a version the correction that it was. One that arrived already beaten corrected nothing."""
    by_number = {version.version: version for version in history}
    found = {}
    for version in history:
        winner = by_number.get(version.superseded_by or 0)
        if winner is not None and winner.event.position > version.event.position:
            found[winner.version] = Correction(version.event, winner.event)
    return found


def read_counting(
    connection: sa.Connection, world: World, event_type: str, identifiers: Sequence[str]
) -> tuple[list[StoredAggregator], dict[str, str]]:
    """Read what counts events of a type, newest first, and whose these ids are."""
    counting, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.entity == event_type], take=AGGREGATORS_MAX, skip=0
    )
    owners = {identifier: customer.id for identifier, customer in resolve_many(connection, world, identifiers).items()}
    return counting, owners


def figures_moved(
    correction: Correction, counting: Sequence[StoredAggregator], owners: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Give what each figure lost and gained, those that stayed as they were left out. Pure."""
    moved = []
    for aggregator in counting:
        if aggregator.operation not in ADDS_UP:
            continue
        places: dict[tuple[str, int, int], Decimal] = {}
        for event, sign in ((correction.before, -1), (correction.after, 1)):
            month = month_of(event.timestamp_us, _UTC)
            place = owners.get(event.customer_id, event.customer_id), month.start_us, month.end_us
            worth = EXACT.multiply(_worth(aggregator, event), Decimal(sign))
            places[place] = EXACT.add(places.get(place, _ZERO), worth)
        moved += [
            {
                "aggregator_id": aggregator.id,
                "name": aggregator.name,
                "customer_id": customer_id,
                "period_starts_at": format_instant(start_us),
                "period_ends_at": format_instant(end_us),
                "quantity": quantity,
            }
            for (customer_id, start_us, end_us), quantity in places.items()
            if quantity
        ]
    return moved


def _worth(aggregator: StoredAggregator, event: StoredEvent) -> Decimal:
    record = loads(event.record)
    counted = aggregator.counted()
    if not matches(counted.where, record):
        return _ZERO
    return (value_of(record, counted) or _ZERO) if counted.operation in NEEDS_PROPERTY else Decimal(1)
