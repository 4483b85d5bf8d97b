"""Give open invoices as usage stands at a cut-off: nothing is stored, each is worked out when it is asked for.

The registry is read once, in one transaction; the store at one cut-off, by the definitions of aggregators that were in
force at it; what comes after is pure.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from billing.invoices.asking import Asked, Figure, count_all, figure_of
from billing.invoices.begun import OpenPeriod
from billing.invoices.discounts import discount_lines
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, invoice_lines, nothing_counted, purchase_line
from billing.invoices.model import Invoice, InvoiceStatus
from billing.invoices.registry import Stands, Wanted, read_one, read_page
from billing.periods import days_owed
from billing.subscriptions.model import SubscriptionProduct
from billing.windows import MeteredWindow, MeteringIntervalType, metered_windows
from metering.api.asof import AsOf
from metering.http.paging import Page
from metering.registry.engine import Registry
from metering.store.client import Store
from metering.timestamps import microseconds
from metering.windows import Window
from metering.world import World


async def list_open_invoices(
    registry: Registry, store: Store, world: World, *, wanted: Wanted, page: Page, as_of: AsOf, now: datetime
) -> tuple[list[Invoice], int]:
    """Give a page of open invoices, those of the latest periods first, and how many there are.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits.
        QueryLimitError: there is too much to count for one answer.
    """
    stands = await registry.read(partial(read_page, revision=as_of.revision), world, wanted, page, now)
    counted = await store.run(count_all, store, world, as_of.cutoff, asked_of(stands), microseconds(now))
    return invoices_of(stands, counted), stands.total


async def find_open_invoice(
    registry: Registry, store: Store, world: World, *, invoice_id: str, as_of: AsOf, now: datetime
) -> Invoice | None:
    """Give one open invoice, None when this world has none of this id.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits.
        QueryLimitError: there is too much to count for one answer.
    """
    stands = await registry.read(partial(read_one, revision=as_of.revision), world, invoice_id, now)
    counted = await store.run(count_all, store, world, as_of.cutoff, asked_of(stands), microseconds(now))
    return next(iter(invoices_of(stands, counted)), None)


def asked_of(stands: Stands) -> list[Asked]:
    """Give what has to be counted: the metering windows of each product with an aggregator, in each period."""
    out = []
    for period in stands.periods:
        ids = stands.identifiers[stands.subscriptions[period.subscription_id].customer_id]
        for product in stands.products(period):
            if product.aggregator_id is None:
                continue
            aggregator = stands.aggregators[product.aggregator_id]
            for window in windows_of(stands, period, product):
                spans = (*window.earlier, window.so_far)
                out += [Asked(figure_of(product, span), aggregator, product.groups, ids) for span in spans]
    return out


def invoices_of(stands: Stands, counted: Mapping[Figure, Counted]) -> list[Invoice]:
    """Give the invoices of a page, once it is known what was counted.

    Raises:
        RefusedPriceError: an amount lies beyond 64 bits.
    """
    return [_invoice(stands, period, counted) for period in stands.periods]


def windows_of(stands: Stands, period: OpenPeriod, product: SubscriptionProduct) -> list[MeteredWindow]:
    """Give the metering windows that a period bills of a product, ascending."""
    if product.upfront is not None:
        return product.upfront.windows()
    life = stands.subscriptions[period.subscription_id].life(product)
    return metered_windows(period.window, product.metering, life)


def usage_of(
    stands: Stands, period: OpenPeriod, product: SubscriptionProduct, counted: Mapping[Figure, Counted]
) -> list[WindowUsage] | None:
    """Give what was counted of each of these windows, None where nothing is."""
    if product.aggregator_id is None:
        return None
    windows = windows_of(stands, period, product)
    if product.upfront is not None and not windows:
        return [WindowUsage(nothing_counted(product))]
    return [
        WindowUsage(
            counted[figure_of(product, window.so_far)],
            [counted[figure_of(product, span)] for span in window.earlier],
        )
        for window in windows
    ]


def line_period(stands: Stands, period: OpenPeriod, product: SubscriptionProduct) -> Window:
    """Give of when a line is: of usage its metering windows, else as long as the product is there, or its change."""
    if product.upfront is not None:
        return product.upfront.period
    if product.part is not None and product.part.span is not None:
        return product.part.span
    windows = windows_of(stands, period, product) if product.aggregator_id is not None else []
    if windows and product.metering.type is not MeteringIntervalType.FULL_DATABASE:
        return Window(windows[0].so_far.start_us, windows[-1].so_far.end_us)
    life = stands.subscriptions[period.subscription_id].life(product)
    ends_us = period.window.end_us if life.ends_us is None else min(period.window.end_us, life.ends_us)
    return Window(max(period.window.start_us, life.starts_us), ends_us)


def _invoice(stands: Stands, period: OpenPeriod, counted: Mapping[Figure, Counted]) -> Invoice:
    subscription = stands.subscriptions[period.subscription_id]
    customer = stands.customers[subscription.customer_id]
    days = days_owed(period.window.start_us, subscription.cycle(period.interval))
    billed = [
        BilledProduct(
            product,
            stands.names[product.product_id],
            usage_of(stands, period, product, counted),
            line_period(stands, period, product),
        )
        for product in stands.rated(period)
    ]
    lines = invoice_lines(billed, subscription.currency, days.share)
    lines += [
        purchase_line(one, stands.names[one.product_id], subscription.currency)
        for one in subscription.bought_in(period.window, period.interval)
    ]
    coupons = subscription.discounts(period.window, period.interval)
    lines += discount_lines(lines, coupons, subscription.currency, period.window)
    return Invoice(
        period.invoice_id,
        InvoiceStatus.OPEN,
        customer.id,
        customer.external_id,
        subscription.id,
        subscription.currency,
        period.window.start_us,
        period.window.end_us,
        lines,
    )
