"""Which lines of open invoices an event is in, and what it adds to each. Pure.

A line's amount is taken before it is rounded to minor units, to 18 decimals. So what the events of a line add to it,
each on top of those before it, sums up to the line exactly, and no event pays for the rounding of another.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from billing.catalog.model import PriceGroup
from billing.catalog.rows import filter_of, is_matrix, prices_of
from billing.invoices.asking import as_one_event
from billing.invoices.lines import Counted, charged
from billing.marginal.model import CountedEvent, Group, MarginalPrice
from billing.marginal.registry import Agreed
from billing.money import MONEY, to_decimal
from billing.periods import period_holding
from billing.pricing import EventPrices, settle, unrounded
from billing.subscriptions.model import Subscription, SubscriptionProduct, line_key
from billing.windows import MeteredWindow, Span, metered_windows
from metering.aggregation import ADDS_UP, AFTER_ALL, NEEDS_PROPERTY, Occurrence, Usage, plus, value_of
from metering.filters import matches
from metering.registry.aggregators import StoredAggregator
from metering.store.usage import PlacedValue
from metering.timestamps import microseconds
from metering.windows import Window

_WHOLE = Fraction(1)
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class TouchedLine:
    """A line that an event is in: of which product and period, by the prices of which group it is charged.

    `subscription` is None for what the catalog offers to everybody. Where `by_difference`, only what the window comes
    to beyond `earlier` is billed, never below 0: that is the window up to the end of each period before it.
    """

    subscription: Subscription | None
    currency: str
    product: SubscriptionProduct
    aggregator: StoredAggregator
    window: Window
    group: int
    earlier: Sequence[Window] = ()
    by_difference: bool = False

    @property
    def needs_values(self) -> bool:
        """Tell whether events are charged one by one."""
        return not is_matrix(self.product.groups) and isinstance(prices_of(self.product.groups[0]), EventPrices)


@dataclass(frozen=True, slots=True)
class Others:
    """What else was counted for a line: a figure for each group; where events are charged one by one, each in order.

    `earlier` is what was counted of each of the line's earlier windows.
    """

    usages: Sequence[Usage]
    values: Sequence[PlacedValue] | None = None
    earlier: Sequence["Others"] = ()


def touched_lines(event: CountedEvent, agreed: Agreed) -> list[TouchedLine]:
    """Give the lines that an event counts in, by subscription, then product in the order of the agreement.

    The period is the one that holds the event's timestamp, be it past, running or yet to begin.
    """
    found = []
    for subscription in agreed.subscriptions:
        for product in subscription.standing_at(event.timestamp_us):
            aggregator = agreed.aggregators.get(product.aggregator_id or "")
            group = None if aggregator is None else group_of(event, aggregator, product.groups)
            metered = _metered(event, subscription, product)
            if aggregator is not None and group is not None and metered is not None:
                window, earlier = Window(*metered.so_far[:2]), [Window(*span[:2]) for span in metered.earlier]
                line = TouchedLine(subscription, subscription.currency, product, aggregator, window, group)
                # Others are told apart by when events were stored, and hold this one's timestamp too.
                if product.metering.bill_usage_difference and metered.so_far.stored_by_us is None:
                    line = replace(line, earlier=earlier, by_difference=True)
                found.append(line)
    return found


def marginal_price(event: CountedEvent, line: TouchedLine, others: Others) -> MarginalPrice:
    """Give what an event adds to a line, on top of what else was counted for it."""
    aggregator = line.aggregator.counted()
    usages = list(others.usages)
    position = AFTER_ALL if event.position is None else event.position
    occurrence = Occurrence(event.record, event.timestamp_us, position)
    usages[line.group] = plus(aggregator, usages[line.group], occurrence, line.window)
    without = _counted(line, others.usages, _values(line, others.usages, others.values))
    values = None if others.values is None else _values_with(event, others.values, _value(event, line.aggregator))
    counted = _counted(line, usages, _values(line, usages, values))
    billed = _billed(line, others.earlier)
    amount = MONEY.subtract(_amount(line, counted, billed), _amount(line, without, billed))
    subscription = line.subscription
    return MarginalPrice(
        None if subscription is None else subscription.customer_id,
        None if subscription is None else subscription.id,
        line.product.product_id,
        named_group(line.product, line.group),
        line.currency,
        amount,
    )


def group_of(event: CountedEvent, aggregator: StoredAggregator, groups: Sequence[PriceGroup]) -> int | None:
    """Give the group of prices that an event is charged by, None when it is not counted or nothing takes it.

    It is the first whose filter the event meets, else the one that takes what is left.
    """
    if not matches(aggregator.counted().where, event.record):
        return None
    rest = None
    for index, group in enumerate(groups):
        if group.metering_filter is None:
            rest = index if rest is None else rest
        elif matches(filter_of(group), event.record):
            return index
    return rest


def _counted(line: TouchedLine, usages: Sequence[Usage], values: Sequence[Decimal] | None) -> Counted:
    allows_negative = line.aggregator.details.get("allow_negative_values") is True
    return Counted([usage.rated for usage in usages], values, allows_negative)


def _values(
    line: TouchedLine, usages: Sequence[Usage], values: Sequence[PlacedValue] | None
) -> Sequence[Decimal] | None:
    """Give what is charged one by one; a figure that events do not add up to is charged as one of them."""
    if line.needs_values and line.aggregator.operation not in ADDS_UP:
        return as_one_event(usages[0])
    return None if values is None else [one.value for one in values]


def _values_with(event: CountedEvent, values: Sequence[PlacedValue], added: Decimal) -> Sequence[PlacedValue]:
    place = (event.timestamp_us, event.record_id)
    at = bisect_left(values, place, key=lambda one: (one.timestamp_us, one.record_id))
    return [*values[:at], PlacedValue(*place, added), *values[at:]]


def _amount(line: TouchedLine, counted: Counted, billed: int | None) -> Decimal:
    exact = unrounded(*charged(line.product, counted, _WHOLE))
    return to_decimal(exact if billed is None else max(Fraction(0), exact - billed))


def _billed(line: TouchedLine, earlier: Sequence[Others]) -> int | None:
    """Give the most that earlier periods came to, as the invoice takes it off; None where all is billed."""
    if not line.by_difference:
        return None
    counted = [_counted(line, one.usages, _values(line, one.usages, one.values)) for one in earlier]
    return max([0, *(settle(*charged(line.product, one, _WHOLE)).signed_amount for one in counted)])


def _value(event: CountedEvent, aggregator: StoredAggregator) -> Decimal:
    """Give what the event adds to the aggregator's total; what is no number adds nothing to a sum."""
    if aggregator.operation not in NEEDS_PROPERTY:
        return Decimal(1)
    return value_of(event.record, aggregator.counted()) or Decimal(0)


def _metered(event: CountedEvent, subscription: Subscription, product: SubscriptionProduct) -> MeteredWindow | None:
    """Give what the period that holds the event bills of the metering window that does."""
    period = period_holding(
        event.timestamp_us,
        subscription.cycle(product.payment_interval),
        microseconds(subscription.starts_at),
        None if subscription.cancelled_at is None else microseconds(subscription.cancelled_at),
    )
    if period is None:
        return None
    if product.is_upfront:
        return MeteredWindow(Span(*period))
    for window in metered_windows(period, product.metering, subscription.life(product)):
        span = window.so_far
        if span.start_us <= event.timestamp_us < span.end_us:
            return window
    return None


def named_group(product: SubscriptionProduct, group: int) -> Group | None:
    """Name a group of a matrix, None where there is none; its id is the same as long as these prices hold."""
    if not is_matrix(product.groups):
        return None
    segment = product.line_suffix if product.upfront is None else product.upfront.segment
    digest = hashlib.sha256(f"{line_key(product.id, segment)}/{group}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
    filtered = product.groups[group].metering_filter
    return Group(f"grp_{digest}", None if filtered is None else filtered.get("name"))
