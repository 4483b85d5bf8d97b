"""Open an invoice into its lines, and each line into its events: all at one cut-off.

The registry is read once; the store is asked for the invoice as ever, for the place of the page in each line that it
touches, and for what was counted before that place. So a page costs the same wherever it lies, but where events are
charged one by one: then all values of the line are read, as they are for the invoice itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial

from billing.catalog.model import PriceGroup
from billing.catalog.rows import filter_of
from billing.explained.beyond import Entry, owed_after, owed_before, owed_for_level, owed_without_events
from billing.explained.figures import RunningFigures
from billing.explained.running import Running, charged_by_event, running_after, running_figure
from billing.explained.standing import Added, Standing
from billing.invoices.asking import Asked, Figure, as_one_event, count_all, figure_of
from billing.invoices.lines import Counted, WindowUsage, charged, window_rated
from billing.invoices.model import Invoice, LineItem, line_item_id
from billing.invoices.open import asked_of, invoices_of, usage_of, windows_of
from billing.invoices.registry import Stands, read_one
from billing.pricing import Terms
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.upfront import UpfrontKind
from billing.windows import MeteredWindow
from metering.aggregation import ADDS_UP, READS_EARLIER, Usage
from metering.api.asof import AsOf
from metering.http.paging import Page
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.store.history import cutoffs_by
from metering.store.ordered import CountedEvent, Order, OrderedEvents, Place
from metering.store.usage import Scope
from metering.timestamps import microseconds
from metering.windows import Window
from metering.world import World

_ZERO = Decimal(0)
_WHOLE = Fraction(1)


@dataclass(frozen=True, slots=True)
class ExplainedWindow:
    """A metering window of a line: its events, what stood before the first and after the last, what else is owed."""

    window: Window
    product: SubscriptionProduct
    aggregator: StoredAggregator
    terms: Terms
    counted: Counted
    events: OrderedEvents
    begun: Standing
    last: Standing
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """A line and its metering windows, ascending; one that is not metered has none, and `entries` of its own.

    Those of coupons and of credits that were bought are about no product of the subscription.
    """

    id: str
    line: LineItem
    product: SubscriptionProduct | None
    windows: Sequence[ExplainedWindow]
    entries: Sequence[Entry]

    @property
    def events_count(self) -> int:
        """Give how many events it was made from."""
        return sum(window.counted.count for window in self.windows)


@dataclass(frozen=True, slots=True)
class ExplainedInvoice:
    """An invoice and its lines in order."""

    invoice: Invoice
    lines: Sequence[ExplainedLine]


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """An event of a line, by what quantity it moves the figure, and what it adds, both on top of those before it."""

    line: ExplainedLine
    product: SubscriptionProduct
    aggregator: StoredAggregator
    counted: CountedEvent
    quantity: Decimal
    added: Added


async def explain_invoice(
    registry: Registry, store: Store, world: World, *, invoice_id: str, as_of: AsOf, now: datetime
) -> ExplainedInvoice | None:
    """Open an open invoice into its lines, None when this world has none of this id.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits.
        QueryLimitError: there is too much to count for one answer.
    """
    stands = await registry.read(partial(read_one, revision=as_of.revision), world, invoice_id, now)
    if not stands.periods:
        return None
    return await store.run(_explained, store, world, as_of.cutoff, stands, microseconds(now))


def events_on_page(lines: Sequence[ExplainedLine], page: Page) -> list[ExplainedEvent]:
    """Give a page of the events of some lines: line by line, by timestamp, then arrival. Blocks.

    Raises:
        AmountTooLargeError: a line does not fit 64 bits after one of them.
    """
    found: list[ExplainedEvent] = []
    skip, take = page.skip, page.take
    for line in lines:
        for window in line.windows:
            here = min(window.counted.count - skip, take)
            if here > 0:
                found += _some(line, window, skip, here)
                take -= here
            skip = max(0, skip - window.counted.count)
    return found


def all_events(lines: Sequence[ExplainedLine]) -> Iterator[list[ExplainedEvent]]:
    """Yield all events of some lines, in the same order, part by part; memory is that of a part. Blocks."""
    for line in lines:
        for window in line.windows:
            running = _after(window, 0, None)
            for part in window.events.pages():
                yield [_explain(line, window, one, running) for one in part]


def _some(line: ExplainedLine, window: ExplainedWindow, skip: int, take: int) -> list[ExplainedEvent]:
    place = window.events.place_of(skip - 1) if skip else None
    running = _after(window, skip, place)
    return [_explain(line, window, one, running) for one in window.events.page(place, take)]


def _after(window: ExplainedWindow, skip: int, place: Place | None) -> RunningFigures:
    """Give a window after its first events, the last of which stands at a place."""
    groups, operation = window.product.groups, window.aggregator.operation
    usages: Sequence[Usage] = ()
    if operation not in ADDS_UP:
        usages = window.events.counted_until(place)
        line = _as_figured(groups, window.terms, usages)
    elif charged_by_event(groups):
        assert window.counted.values is not None
        line = running_after(groups, window.terms, (), window.counted.values[:skip])
    else:
        totals = [usage.rated for usage in window.events.counted_until(place)]
        line = running_after(groups, window.terms, totals, None)
    return RunningFigures(operation, window.window, usages, line)


def _as_figured(groups: Sequence[PriceGroup], terms: Terms, usages: Sequence[Usage]) -> Running:
    """Give a line of figures that events do not add up to."""
    return running_figure(groups, terms, [usage.rated for usage in usages], as_one_event(usages[0]))


def _explain(
    line: ExplainedLine, window: ExplainedWindow, counted: CountedEvent, running: RunningFigures
) -> ExplainedEvent:
    return ExplainedEvent(line, window.product, window.aggregator, counted, *running.add(counted))


def _explained(store: Store, world: World, cutoff: Cutoff, stands: Stands, now_us: int) -> ExplainedInvoice:
    asked = {one.figure: one for one in asked_of(stands)}
    counted = count_all(store, world, cutoff, asked.values(), now_us)
    cutoffs = _cutoffs(store, cutoff, asked, now_us)
    (invoice,) = invoices_of(stands, counted)
    (period,) = stands.periods
    lines = []
    products = stands.products(period)
    for product, line in zip(products, invoice.lines[: len(products)], strict=True):
        identity = line_item_id(invoice.id, product.line_key)
        usages = usage_of(stands, period, product, counted)
        if usages is None or line.upfront is UpfrontKind.ADVANCE:
            lines.append(ExplainedLine(identity, line, product, (), owed_without_events(line)))
            continue
        windows = []
        for metered, usage in zip(windows_of(stands, period, product), usages, strict=True):
            figure = figure_of(product, metered.so_far)
            events = _events(store, world, cutoffs[figure], asked[figure])
            windows.append(_window(product, asked[figure].aggregator, metered, usage, events))
        lines.append(ExplainedLine(identity, line, product, windows, ()))
    lines += [
        ExplainedLine(line_item_id(invoice.id, line.key), line, None, (), owed_without_events(line))
        for line in invoice.lines[len(products) :]
    ]
    return ExplainedInvoice(invoice, lines)


def _window(
    product: SubscriptionProduct,
    aggregator: StoredAggregator,
    metered: MeteredWindow,
    usage: WindowUsage,
    events: OrderedEvents,
) -> ExplainedWindow:
    groups, counted = product.groups, usage.so_far
    nothing = Counted([_ZERO] * len(groups), [], counted.allow_negative_values)
    _, terms = charged(product, nothing, _WHOLE)
    begun = running_after(groups, terms, nothing.totals, nothing.values).standing
    last = running_after(groups, terms, counted.totals, counted.values).standing
    entries = owed_before(groups, terms)
    if aggregator.operation in READS_EARLIER:
        level = _as_figured(groups, terms, events.counted_until(None)).standing
        entries += owed_for_level(begun, level)
        begun = level
    entries += owed_after(window_rated(product, usage), last)
    window = Window(metered.so_far.start_us, metered.so_far.end_us)
    return ExplainedWindow(window, product, aggregator, terms, counted, events, begun, last, entries)


def _cutoffs(store: Store, cutoff: Cutoff, figures: Iterable[Figure], now_us: int) -> dict[Figure, Cutoff]:
    """Give the cut-off of each figure: that of the answer, or of then for what had to be stored by then."""
    stored_by = {figure: figure.span.stored_by_us for figure in figures}
    earlier = cutoffs_by(store, [at_us for at_us in stored_by.values() if at_us is not None and at_us < now_us], cutoff)
    return {figure: cutoff if at_us is None else earlier.get(at_us, cutoff) for figure, at_us in stored_by.items()}


def _events(store: Store, world: World, cutoff: Cutoff, asked: Asked) -> OrderedEvents:
    question = asked.question
    scope = Scope(world, cutoff, question.start_us, question.end_us, question.customer_ids)
    one_by_one = charged_by_event(asked.groups) and asked.aggregator.operation in ADDS_UP
    order = Order.RECORD_ID if one_by_one else Order.ARRIVAL
    filters = [filter_of(group) for group in asked.groups]
    return OrderedEvents(store, scope, asked.aggregator.counted(), filters, order)
