"""Tell what stands against forgetting a product or a price: what was sold by it, and what will be."""

import sqlalchemy as sa

from billing.catalog.model import PriceConfiguration, Product
from billing.tables import credit_accounts, of, plan_products, subscription_prices, subscription_products
from metering.world import World


def use_of_product(connection: sa.Connection, product: Product) -> str | None:
    """Name a subscription, an ended one included, or a plan that has a product; None when nothing does."""
    sold = sa.select(subscription_products.c.subscription_id).where(
        of(subscription_products, product.world), subscription_products.c.product_id == product.id
    )
    subscription_id = connection.execute(sold.limit(1)).scalar()
    if subscription_id is not None:
        return f"subscription {subscription_id}"
    planned = sa.select(plan_products.c.plan_id).where(
        of(plan_products, product.world), plan_products.c.product_id == product.id
    )
    plan_id = connection.execute(planned.limit(1)).scalar()
    if plan_id is not None:
        return f"plan {plan_id}"
    held = sa.select(credit_accounts.c.customer_id).where(credit_accounts.c.product_id == product.id)
    customer_id = connection.execute(held.limit(1)).scalar()
    return None if customer_id is None else f"customer {customer_id}"


def use_of_configuration(connection: sa.Connection, world: World, one: PriceConfiguration) -> str | None:
    """Name a subscription whose prices were taken from a configuration; None when there is none."""
    query = (
        sa.select(subscription_products.c.subscription_id)
        .join(subscription_prices, subscription_prices.c.subscription_product_id == subscription_products.c.id)
        .where(of(subscription_prices, world), subscription_prices.c.price_configuration_id == one.id)
    )
    found = connection.execute(query.limit(1)).scalar()
    return None if found is None else f"subscription {found}"
