"""Read from the registry what an event may cost: the subscriptions of its customer that count events of its type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from billing.subscriptions.model import Subscription
from billing.subscriptions.registry import find_subscriptions
from billing.tables import of, subscription_products, subscriptions
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.customers import identifiers_of, resolve
from metering.registry.definitions import ever_counting, in_force
from metering.registry.tables import aggregators
from metering.world import World


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed with a customer about events of a type. `identifiers` are all ids that events may name it by.

    `subscriptions` are those with a product that counts such events, oldest first; `aggregators` how they are counted.
    """

    identifiers: Sequence[str]
    subscriptions: Sequence[Subscription]
    aggregators: Mapping[str, StoredAggregator]


NOTHING_AGREED = Agreed((), (), {})


def read_agreed(connection: sa.Connection, world: World, event_type: str, identifier: str, revision: int) -> Agreed:
    """Read what was agreed with the customer that has an id; nothing when nobody has it.

    Aggregators are as they were defined at a revision (`metering.registry.definitions`).
    """
    customer = resolve(connection, world, identifier)
    if customer is None:
        return NOTHING_AGREED
    query = (
        sa.select(subscription_products.c.subscription_id, subscription_products.c.aggregator_id)
        .join(subscriptions, subscriptions.c.id == subscription_products.c.subscription_id)
        .where(
            of(subscriptions, world),
            subscriptions.c.customer_id == customer.id,
            subscription_products.c.aggregator_id.in_(ever_counting(connection, world, event_type)),
        )
    )
    pairs = [(row.subscription_id, row.aggregator_id) for row in connection.execute(query)]
    if not pairs:
        return NOTHING_AGREED
    found = find_subscriptions(connection, world, {subscription_id for subscription_id, _ in pairs})
    counting = sorted({aggregator_id for _, aggregator_id in pairs})
    stored, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.id.in_(counting)], take=len(counting), skip=0
    )
    return Agreed(
        identifiers_of(connection, customer),
        sorted(found.values(), key=lambda one: (one.created_at, one.id)),
        {one.id: one for one in in_force(connection, world, stored, revision) if one.entity == event_type},
    )
