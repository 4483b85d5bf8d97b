"""Price an event: what it adds to each line that it counts in, all at one cut-off.

What else is in a line is asked of the store without the event, whichever version of it counts there, and the event is
added in memory. So an event that is stored and one that is only imagined are priced alike.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import islice

from billing.catalog.rows import filter_of
from billing.invoices.asking import EVENTS_PRICED_MAX, too_many_to_price
from billing.marginal.catalog import catalog_prices, read_offers
from billing.marginal.lines import Others, TouchedLine, marginal_price, touched_lines
from billing.marginal.model import CountedEvent, MarginalPrice
from billing.marginal.registry import read_agreed
from metering.aggregation import ADDS_UP, Aggregator, Operation, Usage, distinct_text
from metering.api.asof import AsOf
from metering.http.json import dumps
from metering.position import Cutoff
from metering.registry.definitions import newest_revision
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.measures import unique_text
from metering.store.questions import Counting, Question, figures_of
from metering.store.usage import PlacedValue, Scope, UsageReader
from metering.windows import Window
from metering.world import World


async def marginal_prices(
    registry: Registry, store: Store, world: World, event: CountedEvent, cutoff: Cutoff
) -> list[MarginalPrice]:
    """Give what an event adds on top of the other events within the cut-off; none where nothing counts it.

    Somebody who has agreed nothing pays what the catalog says, and has used nothing.

    Raises:
        QueryLimitError: there is too much to count for one answer.
    """
    if event.customer_id is None:
        return catalog_prices(event, await registry.read(read_offers, world, event.event_type))
    at = AsOf(cutoff, await registry.read(newest_revision, world))
    return [price for _, price in await priced_lines(registry, store, world, event, at)]


async def priced_lines(
    registry: Registry, store: Store, world: World, event: CountedEvent, at: AsOf
) -> list[tuple[TouchedLine, MarginalPrice]]:
    """Give the lines that an event of a customer counts in, and what it adds to each; see `marginal_prices`.

    Aggregators count as they were defined at the cut-off of `at`.

    Raises:
        QueryLimitError: there is too much to count for one answer.
    """
    assert event.customer_id is not None
    agreed = await registry.read(read_agreed, world, event.event_type, event.customer_id, at.revision)
    lines = touched_lines(event, agreed)
    if not lines:
        return []
    asking = _Asking(store, world, at.cutoff, agreed.identifiers, event)
    return await store.run(lambda: [(one[0], marginal_price(event, *one)) for one in asking.others_of(lines)])


class _Asking:
    """What the questions of one price have in common. Its methods block."""

    def __init__(
        self, store: Store, world: World, cutoff: Cutoff, customer_ids: Sequence[str], event: CountedEvent
    ) -> None:
        self._store = store
        self._world = world
        self._cutoff = cutoff
        self._customer_ids = customer_ids
        self._event = event

    def others_of(self, lines: Sequence[TouchedLine]) -> list[tuple[TouchedLine, Others]]:
        """Count what else is in each line; those that are counted alike are asked about together."""
        alike: dict[tuple[str, bytes], list[TouchedLine]] = {}
        for line in lines:
            shown = dumps([group.metering_filter for group in line.product.groups])
            alike.setdefault((line.aggregator.id, shown), []).append(line)
        counted: dict[str, Others] = {}
        for together in alike.values():
            first = together[0]
            filters = [filter_of(group) for group in first.product.groups]
            aggregator = first.aggregator.counted()
            counting = Counting(
                self._world,
                self._cutoff,
                aggregator,
                filters,
                but_record_id=self._event.record_id,
                known=self._known(aggregator),
            )
            asked = [(line, window) for line in together for window in (*line.earlier, line.window)]
            questions = [Question(self._customer_ids, *window) for _, window in asked]
            before: list[Others] = []
            for (line, window), usages in zip(asked, figures_of(self._store, counting, questions), strict=True):
                values = self._values(line, window, usages[0]) if line.needs_values else None
                if len(before) < len(line.earlier):
                    before.append(Others(usages, values))
                else:
                    counted[line.product.id], before = Others(usages, values, before), []
        return [(line, counted[line.product.id]) for line in lines]

    def _known(self, aggregator: Aggregator) -> str | None:
        """Give the text of which the store is asked whether it is among the unique values."""
        if aggregator.operation is not Operation.UNIQUE:
            return None
        text = distinct_text(self._event.record, aggregator)
        return None if text is None else unique_text(text)

    def _values(self, line: TouchedLine, window: Window, usage: Usage) -> Sequence[PlacedValue]:
        aggregator = line.aggregator.counted()
        if aggregator.operation not in ADDS_UP:
            return ()  # They are charged as one event is.
        if usage.count > EVENTS_PRICED_MAX:
            raise too_many_to_price(line.aggregator.id, usage.count)
        if aggregator.operation is Operation.COUNT:
            return [PlacedValue(window.start_us, "", Decimal(1))] * usage.count
        scope = Scope(
            self._world,
            self._cutoff,
            window.start_us,
            window.end_us,
            self._customer_ids,
            but_record_id=self._event.record_id,
        )
        return list(islice(UsageReader(self._store).placed_values(scope, aggregator), EVENTS_PRICED_MAX))
