"""Open an invoice into its lines, and each line into its events: all at one cut-off.

The registry is read once; the store is asked for the invoice as ever, for the place of the page in each line that it
touches, and for what was counted before that place. So a page costs the same wherever it lies, but where events are
charged one by one: then all values of the line are read, as they are for the invoice itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from billing.catalog.rows import filter_of
from billing.explained.beyond import Entry, owed_after, owed_before, owed_without_events
from billing.explained.running import Running, charged_by_event, running_after
from billing.explained.standing import NOTHING, Added, Standing
from billing.invoices.asking import Asked, count_one
from billing.invoices.lines import Counted, charged
from billing.invoices.model import Invoice, LineItem, line_item_id
from billing.invoices.open import asked_of, invoices_of
from billing.invoices.registry import Stands, read_one
from billing.pricing import Terms
from billing.subscriptions.model import SubscriptionProduct
from metering.aggregation import NEEDS_PROPERTY
from metering.http.paging import Page
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.ordered import CountedEvent, Order, OrderedEvents, Place
from metering.store.usage import Scope
from metering.world import World

_ZERO, _ONE = Decimal(0), Decimal(1)
_WHOLE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Metered:
    """What stands behind a line of usage."""

    aggregator: StoredAggregator
    terms: Terms
    counted: Counted
    events: OrderedEvents


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """A line, how many events it was made from, what stands after all of them, and what it owes beyond them."""

    id: str
    line: LineItem
    product: SubscriptionProduct
    metered: Metered | None
    events_count: int
    begun: Standing
    last: Standing
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class ExplainedInvoice:
    """An invoice and its lines in order."""

    invoice: Invoice
    lines: Sequence[ExplainedLine]


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """An event of a line, the quantity that it brings, and what it adds on top of those before it."""

    line: ExplainedLine
    counted: CountedEvent
    quantity: Decimal
    added: Added


async def explain_invoice(
    registry: Registry, store: Store, world: World, *, invoice_id: str, cutoff: Cutoff, now: datetime
) -> ExplainedInvoice | None:
    """Open an open invoice into its lines, None when this world has none of this id.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits.
        QueryLimitError: there is too much to count for one answer.
    """
    stands = await registry.read(read_one, world, invoice_id, now)
    return await store.run(_explained, store, world, cutoff, stands) if stands.periods else None


def events_on_page(lines: Sequence[ExplainedLine], page: Page) -> list[ExplainedEvent]:
    """Give a page of the events of some lines: line by line, by timestamp, then arrival. Blocks.

    Raises:
        AmountTooLargeError: a line does not fit 64 bits after one of them.
    """
    found: list[ExplainedEvent] = []
    skip, take = page.skip, page.take
    for line in lines:
        here = min(line.events_count - skip, take)
        if here > 0:
            found += _some(line, skip, here)
            take -= here
        skip = max(0, skip - line.events_count)
    return found


def all_events(lines: Sequence[ExplainedLine]) -> Iterator[list[ExplainedEvent]]:
    """Yield all events of some lines, in the same order, part by part; memory is that of a part. Blocks."""
    for line in lines:
        if line.metered is not None:
            running = _after(line, 0, None)
            for part in line.metered.events.pages():
                yield [_explain(line, one, running) for one in part]


def _some(line: ExplainedLine, skip: int, take: int) -> list[ExplainedEvent]:
    assert line.metered is not None
    events = line.metered.events
    place = events.place_of(skip - 1) if skip else None
    running = _after(line, skip, place)
    return [_explain(line, one, running) for one in events.page(place, take)]


def _after(line: ExplainedLine, skip: int, place: Place | None) -> Running:
    """Give the line after its first events, the last of which stands at a place."""
    metered = line.metered
    assert metered is not None
    groups = line.product.groups
    if charged_by_event(groups):
        assert metered.counted.values is not None
        return running_after(groups, metered.terms, (), metered.counted.values[:skip])
    totals = [usage.total for usage in metered.events.counted_until(place)]
    return running_after(groups, metered.terms, totals, None)


def _explain(line: ExplainedLine, counted: CountedEvent, running: Running) -> ExplainedEvent:
    assert line.metered is not None
    quantity = _ONE
    if line.metered.aggregator.operation in NEEDS_PROPERTY:
        quantity = counted.value or _ZERO  # What is no number adds nothing.
    return ExplainedEvent(line, counted, quantity, running.add(counted.group, quantity))


def _explained(store: Store, world: World, cutoff: Cutoff, stands: Stands) -> ExplainedInvoice:
    asked = {one.line.subscription_product_id: one for one in asked_of(stands)}
    usages, counted = {}, {}
    for one in asked.values():
        usages[one.line], counted[one.line] = count_one(store, world, cutoff, one)
    (invoice,) = invoices_of(stands, counted)
    lines = []
    for product, line in zip(stands.products(stands.periods[0]), invoice.lines, strict=True):
        own = asked.get(product.id)
        identity = line_item_id(invoice.id, product.product_id)
        if own is None:
            lines.append(ExplainedLine(identity, line, product, None, 0, NOTHING, NOTHING, owed_without_events(line)))
            continue
        count = sum(usage.count for usage in usages[own.line])
        metered = _metered(_events(store, world, cutoff, own), own, counted[own.line], product)
        lines.append(_line(identity, line, product, metered, count))
    return ExplainedInvoice(invoice, lines)


def _line(
    identity: str, line: LineItem, product: SubscriptionProduct, metered: Metered, events_count: int
) -> ExplainedLine:
    groups, terms, counted = product.groups, metered.terms, metered.counted
    begun = running_after(groups, terms, [_ZERO] * len(groups), []).standing
    last = running_after(groups, terms, counted.totals, counted.values).standing
    entries = [*owed_before(groups, terms), *owed_after(line, last)]
    return ExplainedLine(identity, line, product, metered, events_count, begun, last, entries)


def _metered(events: OrderedEvents, asked: Asked, counted: Counted, product: SubscriptionProduct) -> Metered:
    nothing = Counted([_ZERO] * len(product.groups), [], counted.allow_negative_values)
    _, terms = charged(product, nothing, _WHOLE)
    return Metered(asked.aggregator, terms, counted, events)


def _events(store: Store, world: World, cutoff: Cutoff, asked: Asked) -> OrderedEvents:
    question = asked.question
    scope = Scope(world, cutoff, question.start_us, question.end_us, question.customer_ids)
    order = Order.RECORD_ID if charged_by_event(asked.groups) else Order.ARRIVAL
    filters = [filter_of(group) for group in asked.groups]
    return OrderedEvents(store, scope, asked.aggregator.counted(), filters, order)
