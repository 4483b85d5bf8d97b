"""Read figures as `UsageReader` does, from rollups where there are any: the answers are the same.

What is asked of all customers at once goes through here; one customer's figures, prices event by event, groups of a
price matrix and operations that do not add up are read from the events.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from metering.aggregation import Aggregator, Operation, Usage, no_usage
from metering.errors import QueryLimitError
from metering.position import Cutoff
from metering.store.client import Store
from metering.store.current import MONTHS_APART, Selection
from metering.store.explorer import Explorer
from metering.store.rollups.definition import Definition, adds_up
from metering.store.rollups.keeper import RollupKeeper
from metering.store.rollups.parts import SLICE_US
from metering.store.rollups.reading import By, Question, answer, extent
from metering.store.usage import Scope, Span, UsageReader
from metering.world import World

SPANS_MAX = 20
"""A world of more event types has its spans read from the events."""

# A row that is there twice changes nothing here.
_INSTANTS = """
SELECT toUnixTimestamp64Micro(min(timestamp)), toUnixTimestamp64Micro(max(timestamp))
{current}
{settings}
"""


class RolledUpReader(UsageReader):
    """Usage from rollups and events; threads and tasks may share it."""

    def __init__(self, store: Store, keeper: RollupKeeper) -> None:
        super().__init__(store)
        self._keeper = keeper

    def totals(self, scope: Scope, aggregators: Sequence[Aggregator]) -> list[Usage]:
        """Give each aggregator's figure, in order, zeros included."""
        found: dict[int, Usage] = {}
        for index, aggregator in enumerate(aggregators):
            figures = self._of_range(scope, aggregator, By.NOTHING)
            if figures is not None:
                found[index] = figures.get("", no_usage(aggregator.operation))
        left = [aggregator for index, aggregator in enumerate(aggregators) if index not in found]
        read = iter(super().totals(scope, left) if left else [])
        return [found[index] if index in found else next(read) for index in range(len(aggregators))]

    def timeseries(self, scope: Scope, aggregator: Aggregator, edges: Sequence[int]) -> list[Usage]:
        """Give the figure of each window `[edges[i], edges[i + 1])`, ascending, zeros included."""
        if _is_of_all(scope, aggregator):
            question = Question(Definition(scope.world, aggregator), scope.cutoff, edges, By.WINDOW)
            figures = self._answer(question)
            if figures is not None:
                return [figures.get(start, no_usage(aggregator.operation)) for start in edges[:-1]]
        return super().timeseries(scope, aggregator, edges)

    def by_customer(self, scope: Scope, aggregator: Aggregator) -> dict[str, Usage]:
        """Give the figure of each customer id as events name it; those without a matching event are left out."""
        figures = self._of_range(scope, aggregator, By.CUSTOMER)
        return super().by_customer(scope, aggregator) if figures is None else dict(figures)

    def spans(self, world: World, cutoff: Cutoff) -> list[Span]:
        """Give where in time each event type has current events, by name: for pages that open where the data is.

        From rollups that count each type: they tell the slices, and the events of two slices the instants.
        """
        types = self._types(world)
        if len(types) > SPANS_MAX:
            return super().spans(world, cutoff)
        # All are asked for, so that all come to be rolled up.
        found = [self._span(Definition(world, Aggregator(name, Operation.COUNT)), cutoff) for name in types]
        if any(span is None for span in found):
            return super().spans(world, cutoff)
        return [span for span in found if span is not None and span.count]

    def _types(self, world: World) -> list[str]:
        return Explorer(self._store).event_types(world)

    def _span(self, definition: Definition, cutoff: Cutoff) -> Span | None:
        """Give a type's span, of no events where it has none; None while it is to be read from the events."""
        manifest = self._keeper.manifest(definition)
        if manifest is None:
            return None
        found = extent(self._store, definition, cutoff, manifest)
        if cutoff.includes(manifest.cutoff):
            self._keeper.met(definition, None if found is None else found.changed)
        if found is None:
            return None
        name = definition.aggregator.entity
        if not found.events:
            return Span(name, 0, 0, 0)
        ends = [
            self._instants(Selection(definition.world, cutoff, [name], start_us=start_us, end_us=start_us + SLICE_US))
            for start_us in (found.first_us, found.last_us)
        ]
        return Span(name, ends[0][0], ends[1][1], found.events)

    def _instants(self, selection: Selection) -> tuple[int, int]:
        ((first_us, last_us),) = self._store.select(
            _INSTANTS.format(current=selection.current(final=False), settings=MONTHS_APART), selection.parameters()
        )
        return first_us, last_us

    def _of_range(self, scope: Scope, aggregator: Aggregator, by: By) -> Mapping[Any, Usage] | None:
        if not _is_of_all(scope, aggregator):
            return None
        definition = Definition(scope.world, aggregator)
        return self._answer(Question.of_range(definition, scope.cutoff, (scope.start_us, scope.end_us), by))

    def _answer(self, question: Question) -> Mapping[Any, Usage] | None:
        """Give the figures; None while they are to be read from the events."""
        manifest = self._keeper.manifest(question.definition)
        if manifest is None:
            return None
        try:
            found = answer(self._store, question, manifest)
        except QueryLimitError:
            found = None
        if question.cutoff.includes(manifest.cutoff):
            self._keeper.met(question.definition, None if found is None else found.changed)
        return None if found is None else found.figures


def _is_of_all(scope: Scope, aggregator: Aggregator) -> bool:
    return scope.customer_ids is None and scope.but_record_id is None and adds_up(aggregator)
