"""Ask the store what a page of invoices needs, in as few statements as that takes.

Products that are counted alike are asked about together, whatever the customer and the period, and what several
invoices stand on is asked once. Only prices for each event need a statement of their own, because they want every
value.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from billing.catalog.model import PriceGroup
from billing.catalog.rows import filter_of, is_matrix, prices_of
from billing.invoices.lines import Counted
from billing.invoices.running import running_figures
from billing.pricing import EventPrices
from billing.subscriptions.model import SubscriptionProduct
from billing.windows import Span
from metering.aggregation import ADDS_UP, Operation, Usage
from metering.errors import QueryLimitError
from metering.http.json import dumps
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator
from metering.store.client import Store
from metering.store.history import cutoffs_by
from metering.store.questions import Counting, Question
from metering.store.usage import PlacedValue, Scope, UsageReader
from metering.world import World

EVENTS_PRICED_MAX = 2_000_000
"""More events than this are not priced one by one in one answer."""


class Figure(NamedTuple):
    """Which figure of which product of a subscription; periods of one window have figures in common.

    `segment` tells apart by the prices of which time events are told apart, where one span is counted by several.
    """

    subscription_product_id: str
    span: Span
    segment: str = ""


def figure_of(product: SubscriptionProduct, span: Span) -> Figure:
    """Give the figure of a span for a line of a product."""
    return Figure(product.id, span, "" if product.upfront is None else product.upfront.segment)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be counted for a line: usage of a customer, by all ids that events may name it by."""

    figure: Figure
    aggregator: StoredAggregator
    groups: Sequence[PriceGroup]
    customer_ids: Sequence[str]

    @property
    def question(self) -> Question:
        """Give it as the store is asked."""
        return Question(self.customer_ids, self.figure.span.start_us, self.figure.span.end_us)


def count_all(store: Store, world: World, cutoff: Cutoff, asked: Iterable[Asked], now_us: int) -> dict[Figure, Counted]:
    """Give each figure, all at one cut-off. Blocks, so async callers go through `Store.run`.

    A figure that wants only what was stored by an instant that has passed is read at the cut-off of then.

    Raises:
        QueryLimitError: there is too much to count for one answer.
        StoreUnavailableError: no answer.
    """
    once = {one.figure: one for one in asked}
    stored_by = {one.figure.span.stored_by_us for one in once.values()}
    earlier = cutoffs_by(store, [at_us for at_us in stored_by if at_us is not None and at_us < now_us], cutoff)
    alike: dict[tuple[str, bytes, int | None], list[Asked]] = {}
    for one in once.values():
        shown = dumps([group.metering_filter for group in one.groups])
        at_us = one.figure.span.stored_by_us
        alike.setdefault((one.aggregator.id, shown, at_us if at_us in earlier else None), []).append(one)
    counted: dict[Figure, Counted] = {}
    for (_, _, at_us), together in alike.items():
        first = together[0]
        filters = [filter_of(group) for group in first.groups]
        counting = Counting(world, cutoff if at_us is None else earlier[at_us], first.aggregator.counted(), filters)
        figures = running_figures(store, counting, [one.question for one in together])
        values = _Values(store, counting, together)
        for one, usages in zip(together, figures, strict=True):
            allows_negative = one.aggregator.details.get("allow_negative_values") is True
            totals, count = [usage.rated for usage in usages], sum(usage.count for usage in usages)
            counted[one.figure] = Counted(totals, values.of(one, usages[0]), allows_negative, count)
    return counted


class _Values:
    """What events are worth one by one, read once for all questions that begin together."""

    def __init__(self, store: Store, counting: Counting, asked: Sequence[Asked]) -> None:
        self._reader = UsageReader(store)
        self._counting = counting
        self._ends: dict[tuple[tuple[str, ...], int], int] = {}
        self._read: dict[tuple[tuple[str, ...], int], Sequence[PlacedValue]] = {}
        for one in asked:
            key = _beginning(one)
            self._ends[key] = max(self._ends.get(key, 0), one.question.end_us)

    def of(self, one: Asked, usage: Usage) -> Sequence[Decimal] | None:
        """Give the values for a figure in (timestamp, id) order, None where it needs none.

        An event that is merely counted is worth 1. A figure that events do not add up to is charged as one event is.
        """
        if is_matrix(one.groups) or not isinstance(prices_of(one.groups[0]), EventPrices):
            return None
        aggregator = self._counting.aggregator
        if aggregator.operation not in ADDS_UP:
            return as_one_event(usage)
        if usage.count > EVENTS_PRICED_MAX:
            raise too_many_to_price(one.aggregator.id, usage.count)
        if aggregator.operation is Operation.COUNT:
            return [Decimal(1)] * usage.count
        key = _beginning(one)
        if key not in self._read:
            scope = Scope(
                self._counting.world, self._counting.cutoff, one.question.start_us, self._ends[key], one.customer_ids
            )
            self._read[key] = list(islice(self._reader.placed_values(scope, aggregator), EVENTS_PRICED_MAX))
        placed = self._read[key]
        end = bisect_left(placed, one.question.end_us, key=lambda value: value.timestamp_us)
        return [value.value for value in placed[:end]]


def _beginning(one: Asked) -> tuple[tuple[str, ...], int]:
    return tuple(one.customer_ids), one.question.start_us


def as_one_event(usage: Usage) -> list[Decimal]:
    """Give a figure that no single events add up to as the value of one event, of none when there is nothing."""
    return [] if usage.is_nothing else [usage.rated]


def too_many_to_price(aggregator_id: str, count: int) -> QueryLimitError:
    """Give the refusal to price so many events one by one."""
    message = f"{count} events of {aggregator_id} in one period are more than the {EVENTS_PRICED_MAX}"
    return QueryLimitError(f"{message} that are priced one by one: use prices without a floor, cap or fee")
