"""Count all customers' usage of a period at once: one statement for each way in which prices tell events apart.

Where a customer has several ids, or events are charged one by one, more is asked: sums of several ids add up, any other
figure is asked of each customer, in windows of its own. Blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from billing.catalog.model import PriceGroup
from billing.catalog.rows import filter_of
from billing.invoices.asking import EVENTS_PRICED_MAX, as_one_event, too_many_to_price
from metering.aggregation import ADDS_UP, Operation, Usage, together
from metering.filters import Filter
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator
from metering.store.client import Store
from metering.store.questions import Counting, Question, figures_of
from metering.store.usage import Scope, UsageReader
from metering.windows import Window
from metering.world import World

LISTED_MAX = 1_000
"""So few customers are named in a statement; of more, everybody's usage is counted and theirs is taken."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts an aggregator for customers at one cut-off.

    `identifiers` are all ids that events may name each customer by, `owners` the customer of each id.
    """

    store: Store
    world: World
    cutoff: Cutoff
    aggregator: StoredAggregator
    identifiers: Mapping[str, Sequence[str]]
    everybody: bool

    @property
    def adds_up(self) -> bool:
        """Tell whether the figure of all events is the sum of what parts of them come to."""
        return self.aggregator.operation in ADDS_UP

    def totals(self, window: Window, groups: Sequence[PriceGroup]) -> dict[str, list[Usage]]:
        """Give the figure of each group, by customer; those without any event may be left out."""
        filters = [filter_of(group) for group in groups]
        if self.adds_up:
            return self._added_up(window, filters)
        counting = Counting(self.world, self.cutoff, self.aggregator.counted(), filters)
        customers = list(self.identifiers)
        questions = [Question(self.identifiers[one], window.start_us, window.end_us) for one in customers]
        return dict(zip(customers, figures_of(self.store, counting, questions), strict=True))

    def values(self, window: Window, customer_id: str, usage: Usage) -> list[Decimal]:
        """Give the value of each event of a customer, in (timestamp, id) order, for what they come to.

        Where events do not add up to it, it is charged as one event is.

        Raises:
            QueryLimitError: there are too many to be charged one by one.
        """
        if not self.adds_up:
            return as_one_event(usage)
        if usage.count > EVENTS_PRICED_MAX:
            raise too_many_to_price(self.aggregator.id, usage.count)
        aggregator = self.aggregator.counted()
        if aggregator.operation is Operation.COUNT or not usage.count:
            return [Decimal(1)] * usage.count
        scope = Scope(self.world, self.cutoff, window.start_us, window.end_us, self.identifiers[customer_id])
        return list(islice(UsageReader(self.store).values(scope, aggregator), EVENTS_PRICED_MAX))

    def _added_up(self, window: Window, filters: Sequence[Filter]) -> dict[str, list[Usage]]:
        owners = {one: customer for customer, ids in self.identifiers.items() for one in ids}
        named = None if self.everybody or len(self.identifiers) > LISTED_MAX else list(owners)
        scope = Scope(self.world, self.cutoff, window.start_us, window.end_us, named)
        found: dict[str, list[Usage]] = {}
        by_id = UsageReader(self.store).by_customer_and_group(scope, self.aggregator.counted(), filters)
        for one, usages in by_id.items():
            customer = owners.get(one)
            if customer is not None:
                before = found.get(customer)
                found[customer] = (
                    usages if before is None else [together(*pair) for pair in zip(before, usages, strict=True)]
                )
        return found
