"""Read from the registry what invoices follow from: whose subscriptions, which periods, names and aggregators.

Everything of one answer is read in one transaction, so its parts agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.catalog.registry import product_names
from billing.interval import Interval
from billing.invoices.begun import EVER, OpenPeriod, Outline, PartOfLife, StartsWithin, open_periods
from billing.invoices.model import subscription_of
from billing.periods import BillingCycleAlignment
from billing.subscriptions.changes import LIFE_CHANGES, CalculationMethod, Change, ChangeType
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.registry import changes_of, find_subscriptions
from billing.subscriptions.seats import invoicing_interval_of
from billing.tables import of, subscription_products, subscriptions
from metering.http.paging import Page
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.customers import Customer, resolve_many
from metering.registry.definitions import in_force
from metering.registry.tables import aggregators, customer_ids
from metering.timestamps import microseconds
from metering.world import World


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invoices: None sets no condition. `customers` are ids or external ids."""

    customers: Sequence[str] | None = None
    subscription_ids: Sequence[str] | None = None
    within: StartsWithin = EVER


@dataclass(frozen=True, slots=True)
class Stands:
    """What the registry says of a page of periods, of `total` in all. Products are in the order of the agreement."""

    periods: Sequence[OpenPeriod]
    total: int
    subscriptions: Mapping[str, Subscription]
    customers: Mapping[str, Customer]
    identifiers: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    aggregators: Mapping[str, StoredAggregator]

    def products(self, period: OpenPeriod) -> list[SubscriptionProduct]:
        """Give what a period's invoice is about, a line each."""
        return [product for product in self.rated(period) if not product.elsewhere]

    def rated(self, period: OpenPeriod) -> list[SubscriptionProduct]:
        """Give what has to be rated for a period's invoice: its lines, and those elsewhere that come before them."""
        return self.subscriptions[period.subscription_id].billed_in(period.window, period.interval)


def read_page(
    connection: sa.Connection, world: World, wanted: Wanted, page: Page, now: datetime, *, revision: int
) -> Stands:
    """Read a page of the periods that have begun by `now`, those that started last first.

    Aggregators are as they were at a `revision` (`metering.registry.definitions`).
    """
    found = open_periods(_outlines(connection, world, wanted), microseconds(now), wanted.within)
    return _read(connection, world, found[page.skip : page.skip + page.take], len(found), revision)


def read_one(connection: sa.Connection, world: World, invoice_id: str, now: datetime, *, revision: int) -> Stands:
    """Read the period of one invoice; there is none when this world has no such invoice."""
    subscription_id = subscription_of(invoice_id)
    wanted = Wanted(subscription_ids=[] if subscription_id is None else [subscription_id])
    found = open_periods(_outlines(connection, world, wanted), microseconds(now), EVER)
    periods = [period for period in found if period.invoice_id == invoice_id]
    return _read(connection, world, periods, len(periods), revision)


def _read(connection: sa.Connection, world: World, periods: Sequence[OpenPeriod], total: int, revision: int) -> Stands:
    found = find_subscriptions(connection, world, {period.subscription_id for period in periods})
    customer_ids_wanted = sorted({one.customer_id for one in found.values()})
    products = [product for one in found.values() for product in one.products]
    counted_by = sorted({product.aggregator_id for product in products if product.aggregator_id is not None})
    stored, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.id.in_(counted_by)], take=len(counted_by), skip=0
    )
    return Stands(
        periods,
        total,
        found,
        resolve_many(connection, world, customer_ids_wanted),
        identifiers_of(connection, world, customer_ids_wanted),
        product_names(connection, world, {product.product_id for product in products}),
        {aggregator.id: aggregator for aggregator in in_force(connection, world, stored, revision)},
    )


def identifiers_of(connection: sa.Connection, world: World, customers: Sequence[str]) -> dict[str, list[str]]:
    """Give every id under which events may name each customer, by our id."""
    query = (
        sa.select(customer_ids.c.customer_id, customer_ids.c.identifier)
        .where(of(customer_ids, world), customer_ids.c.customer_id.in_(customers))
        .order_by(customer_ids.c.identifier)
    )
    found: dict[str, list[str]] = {customer: [] for customer in customers}
    for row in connection.execute(query):
        found[row.customer_id].append(row.identifier)
    return found


def _outlines(connection: sa.Connection, world: World, wanted: Wanted) -> Iterable[Outline]:
    conditions = [of(subscriptions, world)]
    if wanted.customers is not None:
        ids = [customer.id for customer in resolve_many(connection, world, wanted.customers).values()]
        conditions.append(subscriptions.c.customer_id.in_(ids))
    if wanted.subscription_ids is not None:
        conditions.append(subscriptions.c.id.in_(wanted.subscription_ids))
    query = (
        sa.select(
            subscriptions.c.id,
            subscriptions.c.timezone,
            subscriptions.c.billing_cycle_alignment,
            subscriptions.c.starts_at,
            subscriptions.c.cancelled_at,
            subscription_products.c.id.label("subscription_product_id"),
            subscription_products.c.payment_interval,
            subscription_products.c.seat_terms,
        )
        .join(subscription_products, subscription_products.c.subscription_id == subscriptions.c.id)
        .where(sa.and_(*conditions))
    )
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.id, []).append(row)
    lives = _lives(connection, rows)
    return [
        Outline(
            subscription_id,
            own[0].timezone,
            microseconds(own[0].starts_at),
            None if own[0].cancelled_at is None else microseconds(own[0].cancelled_at),
            list(dict.fromkeys(interval for row in own for interval in _intervals(row))),
            BillingCycleAlignment(own[0].billing_cycle_alignment or BillingCycleAlignment.CALENDAR_PERIOD),
            lives.get(subscription_id, ()),
        )
        for subscription_id, own in rows.items()
    ]


def _intervals(row: Any) -> list[Interval]:
    """Give the interval at which a product is paid, and that at which changes of it are where it is another."""
    paid = Interval.from_document(row.payment_interval)
    apart = None if row.seat_terms is None else invoicing_interval_of(row.seat_terms)
    return [paid] if apart in {None, paid} else [paid, apart]


def _lives(connection: sa.Connection, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[PartOfLife]]:
    """Give when each product is there, of subscriptions of which one was added or removed, or is invoiced apart.

    Of what is invoiced apart there are the periods that hold a change.
    """
    changed = changes_of(connection, rows, LIFE_CHANGES)
    apart = {one: own for one, own in rows.items() if any(len(_intervals(row)) > 1 for row in own)}
    counts = changes_of(connection, apart, (ChangeType.UPDATE_COUNT,)) if apart else {}
    found: dict[str, list[PartOfLife]] = {}
    for subscription_id, own in rows.items():
        if subscription_id in apart or any(row.subscription_product_id in changed for row in own):
            found[subscription_id] = [
                part
                for row in own
                for part in (
                    _life(row, changed.get(row.subscription_product_id, ())),
                    *_apart(row, counts.get(row.subscription_product_id, ()), changed),
                )
            ]
    return found


def _apart(row: Any, changes: Iterable[Change], lives: Mapping[str, Sequence[Change]]) -> list[PartOfLife]:
    """Give the periods of a product's invoicing interval in which a change of its count is charged."""
    paid, *intervals = _intervals(row)
    begins = {change.effective_us for change in lives.get(row.subscription_product_id, ())}
    alignment = BillingCycleAlignment(row.billing_cycle_alignment or BillingCycleAlignment.CALENDAR_PERIOD)
    outline = Outline(row.id, row.timezone, microseconds(row.starts_at), None, (), alignment)
    return [
        PartOfLife(interval, *outline.cycle(interval).holding(change.effective_us))
        for interval in intervals
        for change in changes
        if change.method is not CalculationMethod.DO_NOT_CHARGE
        and change.effective_us not in begins
        and outline.cycle(paid).holding(change.effective_us).start_us < change.effective_us
        and outline.starts_us < change.effective_us
    ]


def _life(row: Any, changes: Iterable[Change]) -> PartOfLife:
    instants = {change.type: change.effective_us for change in changes}
    return PartOfLife(
        Interval.from_document(row.payment_interval),
        instants.get(ChangeType.ADD_PRODUCT),
        instants.get(ChangeType.REMOVE_PRODUCT),
    )
