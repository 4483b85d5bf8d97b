"""What an event costs somebody who has agreed and used nothing: by the catalog, in every currency that it has."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa

from billing.catalog.model import Product, ProductStatus, ProductType
from billing.catalog.registry import find_products
from billing.catalog.selection import Wanted, choose
from billing.interval import Interval
from billing.marginal.lines import Others, TouchedLine, group_of, marginal_price
from billing.marginal.model import CountedEvent, MarginalPrice
from billing.subscriptions.model import SubscriptionProduct
from billing.tables import of, products
from metering.aggregation import no_usage
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.tables import aggregators
from metering.windows import Period, Window
from metering.world import World

OFFERS_MAX = 100
"""So many products are looked at, those that were made first."""
_MONTHLY = Interval.of(Period.MONTHS, 1)
_NO_TIME = Window(0, 0)


class Offer(NamedTuple):
    """A product that is sold, and how it is counted."""

    product: Product
    aggregator: StoredAggregator


def read_offers(connection: sa.Connection, world: World, event_type: str) -> list[Offer]:
    """Read the products on sale that count events of a type, oldest first."""
    query = (
        sa.select(products.c.id)
        .join(aggregators, aggregators.c.id == products.c.aggregator_id)
        .where(
            of(products, world),
            products.c.type == ProductType.DYNAMIC.value,  # An event is no price of a seat: its count is.
            products.c.status == ProductStatus.ACTIVE.value,
            aggregators.c.entity == event_type,
        )
        .order_by(products.c.created_at, products.c.id)
        .limit(OFFERS_MAX)
    )
    ids = list(connection.execute(query).scalars())
    found = find_products(connection, world, ids)
    counting = sorted({found[one].aggregator_id or "" for one in ids})
    stored, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.id.in_(counting)], take=len(counting), skip=0
    )
    by_id = {aggregator.id: aggregator for aggregator in stored}
    return [Offer(found[one], by_id[found[one].aggregator_id or ""]) for one in ids]


def catalog_prices(event: CountedEvent, offers: Sequence[Offer]) -> list[MarginalPrice]:
    """Price an event by each offer: as of a customer without a country who pays monthly. Pure."""
    prices = []
    for product, aggregator in offers:
        for currency in dict.fromkeys(one.currency for one in product.configurations):
            chosen = choose(product.configurations, Wanted(currency, None, _MONTHLY))
            groups = tuple(one.group for one in chosen)
            group = group_of(event, aggregator, groups)
            if group is None:
                continue
            offered = SubscriptionProduct(
                product.id, product.id, aggregator.id, _MONTHLY, Decimal(1), None, None, None, groups
            )
            nothing_used = Others([no_usage(aggregator.operation)] * len(groups), ())
            line = TouchedLine(None, currency, offered, aggregator, _NO_TIME, group)
            prices.append(marginal_price(event, line, nothing_used))
    return prices
