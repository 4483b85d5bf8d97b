"""Tell the parts below what billing holds on to: which customers and aggregators cannot be forgotten.

This is billing's side of the protocols in `metering.api.seams`; the composition hands it to metering's API.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from billing.catalog.credits import credit_aggregators
from billing.catalog.model import ProductType
from billing.catalog.price_books import find_price_book
from billing.tables import (
    credit_accounts,
    of,
    price_configurations,
    products,
    subscription_changes,
    subscription_products,
    subscriptions,
)
from metering.filters import decode_filter
from metering.registry.aggregators import StoredAggregator
from metering.registry.customers import Customer
from metering.world import World


class BillingReferences:
    """What refers to a customer or an aggregator. Stateless; each method works within the caller's transaction."""

    def use_of_customer(self, connection: sa.Connection, customer: Customer, /) -> str | None:
        """Name the customer's subscriptions, cancelled ones included: they are what was billed."""
        query = sa.select(subscriptions.c.id).where(
            of(subscriptions, customer.world), subscriptions.c.customer_id == customer.id
        )
        found = list(connection.execute(query.limit(2)).scalars())
        if not found:
            own = credit_accounts.c.customer_id == customer.id
            holds = connection.execute(sa.select(credit_accounts.c.id).where(own).limit(1)).scalar()
            return None if holds is None else "credits"
        return f"subscription {found[0]}" if len(found) == 1 else "subscriptions"

    def has_price_book(self, connection: sa.Connection, world: World, price_book_id: str, /) -> bool:
        """Tell whether there is a price book of this id."""
        return find_price_book(connection, world, price_book_id) is not None

    def use_of_aggregator(self, connection: sa.Connection, aggregator: StoredAggregator, /) -> str | None:
        """Name a product, archived or not, that is counted by the aggregator, or a subscription that is."""
        by_product = sa.select(products.c.id).where(
            of(products, aggregator.world), products.c.aggregator_id == aggregator.id
        )
        product_id = connection.execute(by_product.limit(1)).scalar()
        if product_id is not None:
            return f"product {product_id}"
        counted = (subscription_products.c.aggregator_id, subscription_products.c.seat_aggregator_id)
        by_subscription = sa.select(subscription_products.c.subscription_id).where(
            of(subscription_products, aggregator.world), sa.or_(*(column == aggregator.id for column in counted))
        )
        subscription_id = connection.execute(by_subscription.limit(1)).scalar()
        return _credits_by(connection, aggregator) if subscription_id is None else f"subscription {subscription_id}"

    def properties_used(self, connection: sa.Connection, world: World, /) -> set[str]:
        """Name the properties that a price matrix of the catalog or of a subscription tells groups apart by."""
        of_catalog = sa.select(price_configurations.c.metering_filter).where(of(price_configurations, world))
        documents = list(connection.execute(of_catalog).scalars())
        agreed = sa.select(subscription_products.c.price_groups).where(of(subscription_products, world))
        for groups in connection.execute(agreed).scalars():
            documents += [group.get("metering_filter") for group in groups]
        changed = sa.select(subscription_changes.c.price_groups).where(
            of(subscription_changes, world), subscription_changes.c.price_groups.is_not(None)
        )
        for groups in connection.execute(changed).scalars():
            documents += [group.get("metering_filter") for group in groups]
        filters = [decode_filter(document["configuration"]) for document in documents if document is not None]
        return {condition.property for each in filters for condition in each.conditions}

    def subscription_ids(self, connection: sa.Connection, customers: Iterable[Customer], /) -> dict[str, list[str]]:
        """Give the subscription ids by customer id, oldest first; customers without any are left out."""
        wanted = list(customers)
        if not wanted:
            return {}
        query = (
            sa.select(subscriptions.c.customer_id, subscriptions.c.id)
            .where(
                of(subscriptions, wanted[0].world),
                subscriptions.c.customer_id.in_([customer.id for customer in wanted]),
            )
            .order_by(subscriptions.c.created_at, subscriptions.c.id)
        )
        found: dict[str, list[str]] = {}
        for row in connection.execute(query):
            found.setdefault(row.customer_id, []).append(row.id)
        return found


def _credits_by(connection: sa.Connection, aggregator: StoredAggregator) -> str | None:
    """Name a product whose credits are drawn by an aggregator."""
    query = sa.select(products.c.id, products.c.details).where(
        of(products, aggregator.world), products.c.type == ProductType.CREDIT.value
    )
    for row in connection.execute(query):
        if any(one.aggregator_id == aggregator.id for one in credit_aggregators(row.details)):
            return f"product {row.id}"
    return None
