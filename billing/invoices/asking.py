"""Ask the store what a page of invoices needs, in as few statements as that takes.

Products that are counted alike are asked about together, whatever the customer and the period; only prices for each
event need a statement of their own, because they want every value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from billing.catalog.model import PriceGroup
from billing.catalog.rows import filter_of, is_matrix, prices_of
from billing.invoices.lines import Counted
from billing.pricing import EventPrices
from metering.aggregation import ADDS_UP, Operation, Usage
from metering.errors import QueryLimitError
from metering.http.json import dumps
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator
from metering.store.client import Store
from metering.store.questions import Counting, Question, figures_of
from metering.store.usage import Scope, UsageReader
from metering.world import World

EVENTS_PRICED_MAX = 2_000_000
"""More events than this are not priced one by one in one answer."""


class Line(NamedTuple):
    """Which line of which invoice."""

    invoice_id: str
    subscription_product_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be counted for one line of one invoice."""

    line: Line
    aggregator: StoredAggregator
    groups: Sequence[PriceGroup]
    question: Question


def count_all(store: Store, world: World, cutoff: Cutoff, asked: Iterable[Asked]) -> dict[Line, Counted]:
    """Give what was counted for each line, all at one cut-off. Blocks, so async callers go through `Store.run`.

    Raises:
        QueryLimitError: there is too much to count for one answer.
        StoreUnavailableError: no answer.
    """
    alike: dict[tuple[str, bytes], list[Asked]] = {}
    for one in asked:
        shown = dumps([group.metering_filter for group in one.groups])
        alike.setdefault((one.aggregator.id, shown), []).append(one)
    counted: dict[Line, Counted] = {}
    for together in alike.values():
        first = together[0]
        filters = [filter_of(group) for group in first.groups]
        counting = Counting(world, cutoff, first.aggregator.counted(), filters)
        figures = figures_of(store, counting, [one.question for one in together])
        for one, usages in zip(together, figures, strict=True):
            counted[one.line] = _counted(store, counting, one, usages)
    return counted


def _counted(store: Store, counting: Counting, one: Asked, usages: Sequence[Usage]) -> Counted:
    details: Mapping[str, object] = one.aggregator.details
    values = _values(store, counting, one, usages[0]) if _needs_values(one.groups) else None
    return Counted([usage.rated for usage in usages], values, details.get("allow_negative_values") is True)


def _needs_values(groups: Sequence[PriceGroup]) -> bool:
    return not is_matrix(groups) and isinstance(prices_of(groups[0]), EventPrices)


def _values(store: Store, counting: Counting, one: Asked, usage: Usage) -> Sequence[Decimal]:
    """Give the value of each event, in (timestamp, id) order; an event that is merely counted is worth 1.

    Where events do not add up to the figure, it is charged as one event is.
    """
    aggregator = counting.aggregator
    if aggregator.operation not in ADDS_UP:
        return as_one_event(usage)
    if usage.count > EVENTS_PRICED_MAX:
        raise too_many_to_price(one.aggregator.id, usage.count)
    if aggregator.operation is Operation.COUNT:
        return [Decimal(1)] * usage.count
    scope = Scope(
        counting.world, counting.cutoff, one.question.start_us, one.question.end_us, one.question.customer_ids
    )
    return list(islice(UsageReader(store).values(scope, aggregator), EVENTS_PRICED_MAX))


def as_one_event(usage: Usage) -> list[Decimal]:
    """Give a figure that no single events add up to as the value of one event, of none when there is nothing."""
    return [] if usage.is_nothing else [usage.rated]


def too_many_to_price(aggregator_id: str, count: int) -> QueryLimitError:
    """Give the refusal to price so many events one by one."""
    message = f"{count} events of {aggregator_id} in one period are more than the {EVENTS_PRICED_MAX}"
    return QueryLimitError(f"{message} that are priced one by one: use prices without a floor, cap or fee")
