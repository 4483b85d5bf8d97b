"""Read from the registry whom a simulation is about: the customers, their ids, and the prices that they have.

Nothing that came after the simulation was asked for is in it, however late it is worked out: no subscription or update
made since, no other price of the catalog, no other definition of an aggregator. Whose an id is and where a customer
lives is asked as of now.

A customer has the prices of its subscriptions to the product in the currency of the simulation, as they hold when the
simulation is asked for: of those that ran at any time of the range, those that still run, else those that ended last.
So usage is rated once, whatever took the place of what. Who has none pays what the catalog says, by its
country and price book, monthly; nothing where that says nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import sqlalchemy as sa

from billing.catalog.configurations import configurations_at
from billing.catalog.model import PriceGroup, Product
from billing.catalog.registry import find_product
from billing.catalog.selection import Wanted, choose
from billing.interval import Interval
from billing.simulations.model import Asked
from billing.subscriptions.model import SubscriptionProduct, as_known_at
from billing.subscriptions.registry import find_subscriptions
from billing.subscriptions.timeline import at as holding_at
from billing.tables import of, subscription_products, subscriptions
from billing.windows import Life
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.definitions import in_force, newest_revision
from metering.registry.tables import aggregators, customer_ids, customers
from metering.timestamps import EPOCH, LATEST_US, microseconds
from metering.windows import Period
from metering.world import World

_MONTHLY = Interval.of(Period.MONTHS, 1)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Had:
    """Prices that a customer has, and the aggregator that counts for them: that which was agreed."""

    aggregator_id: str
    groups: Sequence[PriceGroup]
    min_amount: int | None = None
    max_amount: int | None = None
    min_committed_count: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Parties:
    """Whom it is about. `agreed` are the customers with a subscription, `of_catalog` the prices of the others.

    `aggregator` counts the product, `aggregators` are by id all that count for somebody.
    """

    product: Product
    aggregator: StoredAggregator
    aggregators: Mapping[str, StoredAggregator]
    identifiers: Mapping[str, Sequence[str]]
    agreed: Mapping[str, Sequence[Had]]
    of_catalog: Mapping[str, Had | None]


def read_parties(connection: sa.Connection, world: World, asked: Asked, at: datetime) -> Parties | None:
    """Read them all, None when the product or its aggregator is gone; all is as it was `at` the time of asking."""
    product = find_product(connection, world, asked.product_id)
    aggregator_id = None if product is None else asked.aggregator_id or product.aggregator_id
    if product is None or aggregator_id is None:
        return None
    product = replace(product, configurations=configurations_at(connection, product.id, at))
    agreed = _agreed(connection, world, asked, at)
    counting = {aggregator_id, *(had.aggregator_id for own in agreed.values() for had in own)}
    stored, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.id.in_(sorted(counting))], take=len(counting), skip=0
    )
    revision = newest_revision(connection, world) if asked.revision is None else asked.revision
    by_id = {one.id: one for one in in_force(connection, world, stored, revision)}
    if aggregator_id not in by_id:
        return None
    settings = dict(_settings(connection, world, asked.customer_ids))
    by_setting = {
        setting: _of_catalog(product, aggregator_id, asked.currency, *setting) for setting in set(settings.values())
    }
    return Parties(
        product,
        by_id[aggregator_id],
        by_id,
        _identifiers(connection, world, settings, everybody=asked.customer_ids is None),
        agreed,
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


def _of_catalog(
    product: Product, aggregator_id: str, currency: str, country: str | None, price_book_id: str | None
) -> Had | None:
    chosen = choose(product.configurations, Wanted(currency, country, _MONTHLY, price_book_id=price_book_id))
    return Had(aggregator_id, tuple(one.group for one in chosen)) if chosen else None


def _agreed(connection: sa.Connection, world: World, asked: Asked, at: datetime) -> dict[str, list[Had]]:
    query = (
        sa.select(subscriptions.c.id, subscriptions.c.customer_id, subscriptions.c.created_at)
        .join(subscription_products, subscription_products.c.subscription_id == subscriptions.c.id)
        .where(
            of(subscriptions, world),
            subscription_products.c.product_id == asked.product_id,
            subscriptions.c.currency == asked.currency,
            subscriptions.c.created_at <= at,
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
        for subscription in (as_known_at(these[one], at) for one in some):
            for product in subscription.products:
                if product.product_id == asked.product_id and _ran(product, asked):
                    ran.setdefault(subscription.customer_id, []).append((subscription.life(product), product))
    at_us = microseconds(at)
    return {
        customer: [had for one in _standing(own, at_us) if (had := _had(holding_at(one, at_us))) is not None]
        for customer, own in ran.items()
    }


def _standing(ran: Sequence[tuple[Life, SubscriptionProduct]], at_us: int) -> list[SubscriptionProduct]:
    """Give the products that are there at an instant; if none is, those that were there last."""
    ends = [LATEST_US if life.ends_us is None else life.ends_us for life, _ in ran]
    now = [one for (life, one), end_us in zip(ran, ends, strict=True) if life.starts_us <= at_us < end_us]
    return now or [one for (_, one), end_us in zip(ran, ends, strict=True) if end_us == max(ends)]


def _had(product: SubscriptionProduct) -> Had | None:
    if product.aggregator_id is None:
        return None
    return Had(
        product.aggregator_id, product.groups, product.min_amount, product.max_amount, product.min_committed_count
    )


def _ran(product: SubscriptionProduct, asked: Asked) -> bool:
    """Tell whether a product was there at any time of the range."""
    begun = product.since_us is None or product.since_us < asked.end_us
    return begun and (product.until_us is None or product.until_us > asked.start_us)


def _some(values: Iterable[str]) -> Iterator[list[str]]:
    left = iter(values)
    while part := list(islice(left, _AT_ONCE)):
        yield part
