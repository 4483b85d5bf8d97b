"""What the registry says of connected seats, and the one transaction in which a refresh is written."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from billing.invoices.registry import identifiers_of
from billing.seats.refresh import (
    Reading,
    SeatUpdate,
    amount_of,
    changes_of_reading,
    instant_of,
    next_refresh,
    seats_standing,
    with_changes,
)
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.registry import find_subscription, find_subscriptions, insert_change
from billing.subscriptions.timeline import at
from billing.tables import of, seat_refreshes
from metering.position import Cutoff
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.tables import aggregators
from metering.world import World


@dataclass(frozen=True, slots=True)
class Seats:
    """Connected seats of a subscription's product, the aggregator that counts them, and the ids of its customer."""

    subscription: Subscription
    product: SubscriptionProduct
    aggregator: StoredAggregator
    customer_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh wrote. `overtaken`: seats had been read at a later cut-off already, so they were left."""

    updates: Sequence[SeatUpdate]
    overtaken: bool = False


def read_seats(
    connection: sa.Connection, world: World, subscription_ids: Collection[str], now: datetime
) -> dict[str, list[Seats]]:
    """Give the connected seats of some subscriptions that are there now, by the subscription's id."""
    found = find_subscriptions(connection, world, subscription_ids)
    standing = {one.id: seats_standing(one, now) for one in found.values()}
    counting = {
        product.seats.aggregator_id for own in standing.values() for product in own if product.seats is not None
    }
    stored, _ = list_aggregators(
        connection, world, conditions=[aggregators.c.id.in_(sorted(counting))], take=len(counting), skip=0
    )
    by_id = {one.id: one for one in stored}
    customers = identifiers_of(connection, world, sorted({one.customer_id for one in found.values()}))
    return {
        one.id: [
            Seats(one, product, by_id[product.seats.aggregator_id], customers[one.customer_id])
            for product in standing[one.id]
            if product.seats is not None
        ]
        for one in found.values()
    }


def write_refresh(
    connection: sa.Connection,
    world: World,
    subscription_id: str,
    readings: Mapping[str, Reading],
    clock: Callable[[], datetime],
) -> Refreshed:
    """Write what readings of a subscription's seats change; `readings` by the id of the product within it.

    The account's turn is held, so of refreshes at once each sees what those before it wrote: the same count is written
    once, and one that was counted up to an earlier cut-off never takes the place of a later one.
    """
    now = clock()
    subscription = find_subscription(connection, world, subscription_id)
    assert subscription is not None, "subscriptions are not deleted"
    held = {row.subscription_product_id: row for row in connection.execute(_rows(world, subscription_id))}
    updates: list[SeatUpdate] = []
    overtaken = False
    for product in seats_standing(subscription, now):
        reading, row = readings.get(product.id), held.get(product.id)
        if reading is None or row is None:
            continue
        known, cutoff = Cutoff.decode(row.cutoff), Cutoff.decode(reading.cutoff)
        if known.bounds != cutoff.bounds and known.includes(cutoff):
            overtaken = True
            continue
        changes = changes_of_reading(
            subscription, product, reading, now, first=row.count is None, due=row.next_refresh_at
        )
        next_at = next_refresh(subscription, product, now)
        instant_us = instant_of(subscription, now)
        for change in changes:
            changed = with_changes(subscription, product.id, [change])
            before, after = (amount_of(one, product.id, instant_us) for one in (subscription, changed))
            adjustment = None if before is None or after is None else after - before
            previous = next(one for one in subscription.products if one.id == product.id)
            updates.append(SeatUpdate(change, product, at(previous, change.effective_us).count, adjustment, next_at))
            insert_change(connection, subscription, change)
            subscription = changed
        if (row.cutoff, row.next_refresh_at) != (reading.cutoff, next_at) or row.count is None:
            connection.execute(
                seat_refreshes.update()
                .where(seat_refreshes.c.subscription_product_id == product.id)
                .values(count=reading.count, cutoff=reading.cutoff, next_refresh_at=next_at)
            )
    return Refreshed(updates, overtaken)


def _rows(world: World, subscription_id: str) -> sa.Select[Any]:
    return seat_refreshes.select().where(of(seat_refreshes, world), seat_refreshes.c.subscription_id == subscription_id)
