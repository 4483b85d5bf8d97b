"""Which connected seats are to be read: those whose time has come, and those of customers whose usage changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa

from billing.subscriptions.seats import RefreshSchedule
from billing.tables import of, owner, seat_checks, seat_refreshes, subscriptions
from metering.position import NOTHING, Cutoff
from metering.registry.aggregators import StoredAggregator, list_aggregators
from metering.registry.tables import aggregators
from metering.world import Mode, World

DUE_MAX = 200
"""So many are read at once; more take several."""


@dataclass(frozen=True, slots=True)
class DueSeats:
    """Seats of one world, by the id of the product within its subscription: the subscription that it is of."""

    world: World
    reason: RefreshSchedule
    subscription_of: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WatchedSeats:
    """An aggregator with realtime seats. `since` is the cut-off up to which it is known whose seats changed."""

    aggregator: StoredAggregator
    since: Cutoff = NOTHING

    @property
    def fingerprint(self) -> str:
        """Give a text that changes with what is counted."""
        return sha256(repr(self.aggregator.counted()).encode()).hexdigest()


def due_seats(connection: sa.Connection, now: datetime) -> list[DueSeats]:
    """Give a batch of seats that are to be read by the clock, those that wait longest first."""
    table = seat_refreshes
    query = table.select().where(table.c.next_refresh_at <= now).order_by(table.c.next_refresh_at)
    alike: dict[tuple[World, RefreshSchedule], dict[str, str]] = {}
    for row in connection.execute(query.limit(DUE_MAX)):
        key = World(row.account_id, Mode(row.mode)), RefreshSchedule(row.schedule)
        alike.setdefault(key, {})[row.subscription_product_id] = row.subscription_id
    return [DueSeats(world, reason, own) for (world, reason), own in alike.items()]


def watched_seats(connection: sa.Connection) -> list[WatchedSeats]:
    """Give every aggregator with realtime seats, of all worlds; one that was changed begins from nothing."""
    table = seat_refreshes
    query = sa.select(table.c.account_id, table.c.mode, table.c.aggregator_id).distinct()
    by_world: dict[World, list[str]] = {}
    for row in connection.execute(query.where(table.c.schedule == RefreshSchedule.REALTIME.value)):
        by_world.setdefault(World(row.account_id, Mode(row.mode)), []).append(row.aggregator_id)
    checks = {row.aggregator_id: row for row in connection.execute(seat_checks.select())} if by_world else {}
    out = []
    for world, ids in by_world.items():
        found, _ = list_aggregators(
            connection, world, conditions=[aggregators.c.id.in_(sorted(ids))], take=len(ids), skip=0
        )
        for aggregator in found:
            fresh, check = WatchedSeats(aggregator), checks.get(aggregator.id)
            known = check is not None and check.fingerprint == fresh.fingerprint
            out.append(replace(fresh, since=Cutoff.decode(check.cutoff)) if check is not None and known else fresh)
    return out


def seats_of_customers(connection: sa.Connection, watched: WatchedSeats, customer_ids: Sequence[str]) -> DueSeats:
    """Give the realtime seats of some customers that an aggregator counts; customers by our id."""
    table, world = seat_refreshes, watched.aggregator.world
    query = (
        sa.select(table.c.subscription_product_id, table.c.subscription_id)
        .join(subscriptions, subscriptions.c.id == table.c.subscription_id)
        .where(
            of(table, world),
            table.c.aggregator_id == watched.aggregator.id,
            table.c.schedule == RefreshSchedule.REALTIME.value,
            subscriptions.c.customer_id.in_(customer_ids),
        )
    )
    found = {row.subscription_product_id: row.subscription_id for row in connection.execute(query)}
    return DueSeats(world, RefreshSchedule.REALTIME, found)


def forget_seats(connection: sa.Connection, world: World, subscription_product_ids: Iterable[str]) -> None:
    """Read seats no more: their product was removed, or their subscription has ended."""
    table = seat_refreshes
    gone = table.c.subscription_product_id.in_(sorted(subscription_product_ids))
    connection.execute(table.delete().where(of(table, world), gone))


def put_off(connection: sa.Connection, world: World, subscription_product_ids: Iterable[str], until: datetime) -> None:
    """Read seats later that cannot be read now."""
    table = seat_refreshes
    these = table.c.subscription_product_id.in_(sorted(subscription_product_ids))
    connection.execute(table.update().where(of(table, world), these).values(next_refresh_at=until))


def note_looked(connection: sa.Connection, watched: WatchedSeats) -> None:
    """Note up to which cut-off it is known whose seats changed."""
    aggregator = watched.aggregator
    connection.execute(seat_checks.delete().where(seat_checks.c.aggregator_id == aggregator.id))
    connection.execute(
        seat_checks.insert().values(
            aggregator_id=aggregator.id,
            **owner(aggregator.world),
            fingerprint=watched.fingerprint,
            cutoff=watched.since.encode(),
        )
    )
