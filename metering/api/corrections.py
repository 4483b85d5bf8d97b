"""Which figures a correction moved: what it took from where the event was, and added where it is now.

A figure is that of one aggregator, customer and calendar month (UTC). What an event adds to it is told on top of all
other events in it, so that it holds for a maximum or for unique values as it does for a sum. Events and figures are
those within the cut-off of the answer, and aggregators count as they were defined at it; customers are as they are now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from metering.aggregation import ADDS_UP, Aggregator, Occurrence, Operation, distinct_text, plus, value_of
from metering.api.asof import AsOf
from metering.api.seams import Correction, LinesMoved
from metering.decimals import EXACT
from metering.filters import EVERYTHING, matches
from metering.http.json import loads
from metering.http.shapes import INSTANT, NUMBER, TEXT, array_of, described, object_of
from metering.position import Cutoff
from metering.ranges import month_of
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.customers import identifiers_of, resolve_many
from metering.registry.definitions import ever_counting, in_force
from metering.registry.engine import Registry
from metering.registry.tables import aggregators
from metering.store.client import Store
from metering.store.explorer import StoredEvent, VersionHistory
from metering.store.measures import unique_text
from metering.store.questions import Counting as Asking
from metering.store.questions import Question, figures_of
from metering.timestamps import format_instant
from metering.windows import Window
from metering.world import World

AGGREGATORS_MAX = 20
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


@dataclass(frozen=True, slots=True)
class Counting:
    """What counts events of a type, newest first; whose ids are whose, and by which ids else events may name them."""

    aggregators: Sequence[StoredAggregator]
    owners: Mapping[str, str]
    identifiers: Mapping[str, Sequence[str]]


def read_counting(
    connection: sa.Connection, world: World, event_type: str, named: Sequence[str], revision: int
) -> Counting:
    """Read it, for events that name these customers; what counts them does so as defined at a revision."""
    ids = ever_counting(connection, world, event_type)
    stored, _ = list_aggregators(connection, world, conditions=[aggregators.c.id.in_(ids)], take=len(ids), skip=0)
    defined = in_force(connection, world, stored, revision)
    found = [one for one in defined if one.entity == event_type][:AGGREGATORS_MAX]
    customers = resolve_many(connection, world, named)
    return Counting(
        found,
        {identifier: customer.id for identifier, customer in customers.items()},
        {customer.id: identifiers_of(connection, customer) for customer in customers.values()},
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """What a correction moved: figures, and lines of invoices, as they go out."""

    figures: Sequence[Mapping[str, Any]]
    lines: Sequence[Mapping[str, Any]]


async def moved_by(
    lines: LinesMoved,
    registry: Registry,
    store: Store,
    place: tuple[World, AsOf],
    corrections: Mapping[int, Correction],
) -> dict[int, Moved]:
    """Give what each correction of one event moved, by the number of the version that came; `place` is where to look.

    Raises:
        QueryLimitError: there is too much to count for one answer.
    """
    if not corrections:
        return {}
    world, at = place
    events = [event for one in corrections.values() for event in one]
    named = sorted({event.customer_id for event in events})
    counting = await registry.read(read_counting, world, events[0].event_type, named, at.revision)
    figures = FiguresMoved(store, world, at.cutoff, counting)
    gained = await store.run(lambda: [figures.by(correction) for correction in corrections.values()])
    own = await lines.lines_moved(world, at, list(corrections.values()))
    return {number: Moved(*both) for number, *both in zip(corrections, gained, own, strict=True)}


class FiguresMoved:
    """What corrections of one event moved, at one cut-off. Blocks."""

    def __init__(self, store: Store, world: World, cutoff: Cutoff, counting: Counting) -> None:
        self._store = store
        self._world = world
        self._cutoff = cutoff
        self._counting = counting
        self._worth: dict[tuple[str, int], Decimal] = {}

    def by(self, correction: Correction) -> list[dict[str, Any]]:
        """Give what each figure lost and gained, as it goes out; those that stayed as they were are left out.

        Raises:
            QueryLimitError: there is too much to count for one answer.
        """
        moved = []
        for aggregator in self._counting.aggregators:
            places: dict[tuple[str, Window], Decimal] = {}
            for event, sign in ((correction.before, -1), (correction.after, 1)):
                place = self._place(event)
                worth = EXACT.multiply(self._worth_of(aggregator, event, *place), Decimal(sign))
                places[place] = EXACT.add(places.get(place, _ZERO), worth)
            moved += [
                {
                    "aggregator_id": aggregator.id,
                    "name": aggregator.name,
                    "customer_id": customer_id,
                    "period_starts_at": format_instant(month.start_us),
                    "period_ends_at": format_instant(month.end_us),
                    "quantity": quantity,
                }
                for (customer_id, month), quantity in places.items()
                if quantity
            ]
        return moved

    def _place(self, event: StoredEvent) -> tuple[str, Window]:
        month = month_of(event.timestamp_us, _UTC)
        owner = self._counting.owners.get(event.customer_id, event.customer_id)
        return owner, Window(month.start_us, month.end_us)

    def _worth_of(self, aggregator: StoredAggregator, event: StoredEvent, customer_id: str, month: Window) -> Decimal:
        """Give what an event adds to a figure, on top of all other events in it."""
        key = aggregator.id, event.position
        if key not in self._worth:
            self._worth[key] = self._worked_out(aggregator.counted(), event, customer_id, month)
        return self._worth[key]

    def _worked_out(self, aggregator: Aggregator, event: StoredEvent, customer_id: str, month: Window) -> Decimal:
        record = loads(event.record)
        if not matches(aggregator.where, record):
            return _ZERO
        if aggregator.operation is Operation.COUNT:
            return Decimal(1)
        if aggregator.operation in ADDS_UP:
            return value_of(record, aggregator) or _ZERO
        text = distinct_text(record, aggregator) if aggregator.operation is Operation.UNIQUE else None
        asking = Asking(
            self._world,
            self._cutoff,
            aggregator,
            [EVERYTHING],
            but_record_id=event.record_id,
            known=None if text is None else unique_text(text),
        )
        ids = self._counting.identifiers.get(customer_id, [customer_id])
        ((others,),) = figures_of(self._store, asking, [Question(ids, *month)])
        occurrence = Occurrence(record, event.timestamp_us, event.position)
        return EXACT.subtract(plus(aggregator, others, occurrence, month).rated, others.rated)
