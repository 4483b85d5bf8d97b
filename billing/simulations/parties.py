"""Read from the registry whom a simulation is about: the customers, their ids, and the prices that they have.

A customer has the prices of its subscriptions to the product in the currency of the simulation, as they hold when the
simulation is asked for: of those that ran at any time of the range, those that still run, else those that ended last.
So usage is rated once, whatever took the place of what. Who has none pays what the catalog says, by its
country and price book, monthly; nothing where that says nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import sqlalchemy as sa

from billing.catalog.model import PriceGroup, Product
from billing.catalog.registry import find_product
from billing.catalog.selection import Wanted, choose
from billing.interval import Interval
from billing.simulations.model import Asked
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.registry import find_subscriptions
from billing.subscriptions.timeline import at
from billing.tables import of, subscription_products, subscriptions
from billing.windows import Life
from metering.registry.aggregators import StoredAggregator, find_aggregator
from metering.registry.tables import customer_ids, customers
from metering.timestamps import EPOCH, LATEST_US
from metering.windows import Period
from metering.world import World

_MONTHLY = Interval.of(Period.MONTHS, 1)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Had:
    """Prices that a customer has."""

    groups: Sequence[PriceGroup]
    min_amount: int | None = None
    max_amount: int | None = None
    min_committed_count: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Parties:
    """Whom it is about. `agreed` are the customers with a subscription, `of_catalog` the prices of the others."""

    product: Product
    aggregator: StoredAggregator
    identifiers: Mapping[str, Sequence[str]]
    agreed: Mapping[str, Sequence[Had]]
    of_catalog: Mapping[str, Had | None]


def read_parties(connection: sa.Connection, world: World, asked: Asked, at_us: int) -> Parties | None:
    """Read them all, None when the product or its aggregator is gone; subscriptions have the prices that hold then."""
    product = find_product(connection, world, asked.product_id)
    if product is None or product.aggregator_id is None:
        return None
    aggregator = find_aggregator(connection, world, product.aggregator_id)
    if aggregator is None:
        return None
    settings = dict(_settings(connection, world, asked.customer_ids))
    by_setting = {setting: _of_catalog(product, asked.currency, *setting) for setting in set(settings.values())}
    return Parties(
        product,
        aggregator,
        _identifiers(connection, world, settings, everybody=asked.customer_ids is None),
        _agreed(connection, world, asked, at_us),
        {customer: by_setting[setting] for customer, setting in settings.items()},
    )


def _settings(
    connection: sa.Connection, world: World, wanted: Sequence[str] | None
) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    """Yield the country and the price book of each customer."""
    query = sa.select(customers.c.id, customers.c.country, customers.c.details).where(of(customers, world))
    for some in [None] if wanted is None else _some(wanted):
        asked = query if some is None else query.where(customers.c.id.in_(some))
        for row in connection.execute(asked):
            yield row.id, (row.country, row.details.get("price_book_id"))


def _identifiers(
    connection: sa.Connection, world: World, wanted: Mapping[str, Any], *, everybody: bool
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {customer: [] for customer in sorted(wanted)}
    query = sa.select(customer_ids.c.customer_id, customer_ids.c.identifier).where(of(customer_ids, world))
    for some in [None] if everybody else _some(found):
        asked = query if some is None else query.where(customer_ids.c.customer_id.in_(some))
        for row in connection.execute(asked):
            found[row.customer_id].append(row.identifier)
    return found


def _of_catalog(product: Product, currency: str, country: str | None, price_book_id: str | None) -> Had | None:
    chosen = choose(product.configurations, Wanted(currency, country, _MONTHLY, price_book_id=price_book_id))
    return Had(tuple(one.group for one in chosen)) if chosen else None


def _agreed(connection: sa.Connection, world: World, asked: Asked, at_us: int) -> dict[str, list[Had]]:
    query = (
        sa.select(subscriptions.c.id, subscriptions.c.customer_id, subscriptions.c.created_at)
        .join(subscription_products, subscription_products.c.subscription_id == subscriptions.c.id)
        .where(
            of(subscriptions, world),
            subscription_products.c.product_id == asked.product_id,
            subscriptions.c.currency == asked.currency,
            subscriptions.c.starts_at < EPOCH + timedelta(microseconds=asked.end_us),
            sa.or_(
                subscriptions.c.cancelled_at.is_(None),
                subscriptions.c.cancelled_at > EPOCH + timedelta(microseconds=asked.start_us),
            ),
        )
        .distinct()
        .order_by(subscriptions.c.created_at, subscriptions.c.id)
    )
    wanted = None if asked.customer_ids is None else set(asked.customer_ids)
    ids = [row.id for row in connection.execute(query) if wanted is None or row.customer_id in wanted]
    ran: dict[str, list[tuple[Life, SubscriptionProduct]]] = {}
    for some in _some(ids):
        these = find_subscriptions(connection, world, some)
        for subscription in (these[one] for one in some):
            for product in subscription.products:
                if product.product_id == asked.product_id and _ran(product, asked):
                    ran.setdefault(subscription.customer_id, []).append((subscription.life(product), product))
    return {customer: [_had(at(one, at_us)) for one in _standing(own, at_us)] for customer, own in ran.items()}


def _standing(ran: Sequence[tuple[Life, SubscriptionProduct]], at_us: int) -> list[SubscriptionProduct]:
    """Give the products that are there at an instant; if none is, those that were there last."""
    ends = [LATEST_US if life.ends_us is None else life.ends_us for life, _ in ran]
    now = [one for (life, one), end_us in zip(ran, ends, strict=True) if life.starts_us <= at_us < end_us]
    return now or [one for (_, one), end_us in zip(ran, ends, strict=True) if end_us == max(ends)]


def _had(product: SubscriptionProduct) -> Had:
    return Had(product.groups, product.min_amount, product.max_amount, product.min_committed_count)


def _ran(product: SubscriptionProduct, asked: Asked) -> bool:
    """Tell whether a product was there at any time of the range."""
    begun = product.since_us is None or product.since_us < asked.end_us
    return begun and (product.until_us is None or product.until_us > asked.start_us)


def _some(values: Iterable[str]) -> Iterator[list[str]]:
    left = iter(values)
    while part := list(islice(left, _AT_ONCE)):
        yield part
