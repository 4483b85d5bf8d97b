"""What a chart can show: each aggregator, and beside them how many events there are of each type.

The latter need nobody to have defined anything, so that the first event that comes in is seen at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metering.aggregation import WHOLE, Aggregator, Operation
from metering.registry.aggregators import StoredAggregator
from metering.store.usage import Span

_EVENTS = "events:"
_WORDS = {
    **{operation: operation.value for operation in Operation},
    Operation.MAX: "greatest value",
    Operation.MIN: "least value",
    Operation.LATEST: "latest value",
    Operation.UNIQUE: "number of unique values",
    Operation.WEIGHTED_SUM: "time-weighted sum",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is counted. `id` names it in an address; `aggregator_id` None: events, merely counted."""

    id: str
    name: str
    unit: str | None
    counted: Aggregator
    aggregator_id: str | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether its figures are whole numbers."""
        return self.counted.operation in WHOLE

    @property
    def explanation(self) -> str:
        """Say what is counted, in words."""
        counted = self.counted
        filtered = " that meet its filter" if counted.where.conditions else ""
        events = f"{counted.entity} events{filtered}"
        if counted.operation is Operation.COUNT:
            return f"number of {events}"
        return f"{_WORDS[counted.operation]} of {self.valued} over {events}"

    @property
    def valued(self) -> str:
        """Name what the values are: a property, or a formula as it was written."""
        return self.counted.formula.text if self.counted.formula else self.counted.property or ""


def aggregator_subject(stored: StoredAggregator) -> Subject:
    """Show an aggregator."""
    return Subject(stored.id, stored.name, stored.unit_name, stored.counted(), stored.id)


def events_subject(event_type: str) -> Subject:
    """Show how many events of a type there are."""
    counted = Aggregator(event_type, Operation.COUNT)
    return Subject(f"{_EVENTS}{event_type}", f"{event_type} events", None, counted)


def choose(
    wanted: str | None, aggregators: Sequence[StoredAggregator], spans: Sequence[Span]
) -> tuple[Subject | None, bool]:
    """Give the subject to show, and whether it is what was asked for.

    Unasked it is the oldest aggregator that has events, else the type with most events, else any aggregator. None:
    there is neither an aggregator nor an event.
    """
    if wanted is not None:
        for stored in aggregators:
            if stored.id == wanted:
                return aggregator_subject(stored), True
        if wanted.startswith(_EVENTS) and len(wanted) > len(_EVENTS):
            return events_subject(wanted.removeprefix(_EVENTS)), True
    with_events = {span.event_type for span in spans if span.count}
    found: Subject | None = None
    for stored in aggregators:
        if stored.entity in with_events:
            return aggregator_subject(stored), wanted is None
    if spans:
        found = events_subject(max(spans, key=lambda span: (span.count, span.event_type)).event_type)
    elif aggregators:
        found = aggregator_subject(aggregators[0])
    return found, wanted is None
