"""Keep subscriptions in the registry. Every function works within one world and one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from billing.catalog.model import PriceGroup
from billing.credits.accounts import find_account, open_account
from billing.interval import Interval
from billing.periods import BillingCycleAlignment
from billing.subscriptions.agreement import Agreement
from billing.subscriptions.changes import LIFE_CHANGES, CalculationMethod, Change, ChangeType, Precision
from billing.subscriptions.coupons import AppliedCoupon, coupons_of
from billing.subscriptions.credit_terms import CreditTerms
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.purchases import purchases_of
from billing.subscriptions.reading import SubscriptionAsked
from billing.subscriptions.seats import ConnectedSeats, RefreshSchedule
from billing.subscriptions.upfront import PaymentSchedule
from billing.tables import (
    of,
    owner,
    seat_refreshes,
    subscription_changes,
    subscription_prices,
    subscription_products,
    subscriptions,
)
from billing.windows import Metering
from metering.ids import new_id
from metering.position import NOTHING
from metering.timestamps import EPOCH, microseconds
from metering.world import Mode, World

_LOOKUP_MAX = 500


def create_subscription(
    connection: sa.Connection, world: World, asked: SubscriptionAsked, agreement: Agreement, now: datetime
) -> Subscription:
    """Keep what was agreed."""
    subscription_id = new_id("sub")
    commitment = asked.commitment_interval
    connection.execute(
        subscriptions.insert().values(
            id=subscription_id,
            **owner(world),
            customer_id=agreement.customer_id,
            name=asked.name,
            currency=agreement.currency,
            timezone=agreement.timezone,
            commitment_interval=commitment.document() if commitment else None,
            billing_cycle_alignment=asked.billing_cycle_alignment.value,
            plan_id=asked.plan_id,
            price_book_id=agreement.price_book_id,
            starts_at=agreement.starts_at,
            created_at=now,
            updated_at=now,
        )
    )
    for position, one in enumerate(agreement.products):
        insert_product(connection, world, subscription_id, one, position=position, begins_at=agreement.starts_at)
    found = find_subscription(connection, world, subscription_id)
    assert found is not None
    return found


def insert_product(
    connection: sa.Connection,
    world: World,
    subscription_id: str,
    one: SubscriptionProduct,
    *,
    position: int,
    begins_at: datetime,
) -> None:
    """Keep what was agreed about one product; connected seats are to be read when it begins."""
    values = {
        "id": one.id,
        **owner(world),
        "subscription_id": subscription_id,
        "position": position,
        "product_id": one.product_id,
        "aggregator_id": one.aggregator_id,
        "payment_interval": one.payment_interval.document(),
        "count": one.count,
        "min_amount": one.min_amount,
        "max_amount": one.max_amount,
        "min_committed_count": one.min_committed_count,
        "price_groups": [group.document() for group in one.groups],
        "metering": one.metering.document(),
        "payment_schedule": None if one.payment_schedule is None else one.payment_schedule.value,
        "seat_aggregator_id": None if one.seats is None else one.seats.aggregator_id,
        "seat_terms": None if one.seats is None else one.seats.terms.document(),
        "credit_terms": None if one.credits is None else one.credits.document(),
    }
    connection.execute(subscription_products.insert().values(**values))
    if one.seats is not None:
        manual = one.seats.terms.refresh is RefreshSchedule.MANUAL
        connection.execute(
            seat_refreshes.insert().values(
                subscription_product_id=one.id,
                **owner(world),
                subscription_id=subscription_id,
                aggregator_id=one.seats.aggregator_id,
                schedule=one.seats.terms.refresh.value,
                cutoff=NOTHING.encode(),
                next_refresh_at=None if manual else begins_at,
            )
        )
    if one.credits is not None:
        _open_credits(connection, world, subscription_id, one, begins_at)
    taken = [
        {
            "id": new_id("spp"),
            **owner(world),
            "subscription_product_id": one.id,
            "position": index,
            "price_configuration_id": configuration_id,
            "price_book_id": one.price_book_id,
        }
        for index, configuration_id in enumerate(one.price_configuration_ids)
    ]
    if taken:
        connection.execute(subscription_prices.insert(), taken)


def _open_credits(
    connection: sa.Connection, world: World, subscription_id: str, one: SubscriptionProduct, begins_at: datetime
) -> None:
    """Open the customer's credits of a product, unless they are: usage draws on them from when the product begins."""
    query = sa.select(subscriptions.c.customer_id, subscriptions.c.updated_at)
    row = connection.execute(query.where(subscriptions.c.id == subscription_id)).one()
    if find_account(connection, world, row.customer_id, one.product_id) is None:
        open_account(connection, world, row.customer_id, one.product_id, opened_at=begins_at, now=row.updated_at)


def cancel_subscription(connection: sa.Connection, subscription: Subscription, now: datetime) -> Subscription:
    """End a subscription now; one that has ended stays as it is."""
    if subscription.cancelled_at is not None:
        return subscription
    connection.execute(
        subscriptions.update().where(subscriptions.c.id == subscription.id).values(cancelled_at=now, updated_at=now)
    )
    found = find_subscription(connection, subscription.world, subscription.id)
    assert found is not None
    return found


def find_subscription(connection: sa.Connection, world: World, subscription_id: str) -> Subscription | None:
    """Give the subscription of this id in this world."""
    return find_subscriptions(connection, world, [subscription_id]).get(subscription_id)


def find_subscriptions(
    connection: sa.Connection, world: World, subscription_ids: Iterable[str]
) -> dict[str, Subscription]:
    """Give some subscriptions at once, by id; at most a page of them. Ids that are not in this world are left out."""
    query = subscriptions.select().where(of(subscriptions, world), subscriptions.c.id.in_(sorted(subscription_ids)))
    return {found.id: found for found in _with_products(connection, connection.execute(query))}


def list_subscriptions(
    connection: sa.Connection,
    world: World,
    *,
    conditions: Iterable[sa.ColumnElement[bool]],
    take: int,
    skip: int,
) -> tuple[list[Subscription], int]:
    """Give a page, newest first, and how many there are. Conditions are over `tables.subscriptions`."""
    where = sa.and_(of(subscriptions, world), *conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(subscriptions).where(where)).scalar_one()
    query = subscriptions.select().where(where).order_by(subscriptions.c.created_at.desc(), subscriptions.c.id.desc())
    return _with_products(connection, connection.execute(query.limit(take).offset(skip))), total


def _with_products(connection: sa.Connection, rows: Iterable[Any]) -> list[Subscription]:
    found = list(rows)
    by_subscription: dict[str, list[SubscriptionProduct]] = {row.id: [] for row in found}
    own = subscription_products.c.subscription_id.in_(by_subscription)
    taken: dict[str, list[Any]] = {}
    prices = subscription_prices.select().join(
        subscription_products, subscription_products.c.id == subscription_prices.c.subscription_product_id
    )
    for row in connection.execute(prices.where(own).order_by(subscription_prices.c.position)):
        taken.setdefault(row.subscription_product_id, []).append(row)
    products = (
        subscription_products.select()
        .where(own)
        .order_by(subscription_products.c.subscription_id, subscription_products.c.position)
    )
    changed = changes_of(connection, by_subscription)
    for row in connection.execute(products):
        by_subscription[row.subscription_id].append(_product(row, taken.get(row.id, ()), changed.get(row.id, [])))
    worlds = {World(row.account_id, Mode(row.mode)) for row in found}
    coupons = {name: own for world in worlds for name, own in coupons_of(connection, world, by_subscription).items()}
    bought = purchases_of(connection, by_subscription)
    return [
        replace(_subscription(row, by_subscription[row.id], coupons.get(row.id, ())), purchases=bought.get(row.id, ()))
        for row in found
    ]


def changes_of(
    connection: sa.Connection, subscription_ids: Iterable[str], types: Iterable[ChangeType] = tuple(ChangeType)
) -> dict[str, list[Change]]:
    """Give the changes of some subscriptions by the id of the product, in the order in which they hold."""
    table, wanted = subscription_changes, list(subscription_ids)
    kinds = table.c.type.in_([kind.value for kind in types])
    rows: list[Any] = []
    for start in range(0, len(wanted), _LOOKUP_MAX):
        query = table.select().where(kinds, table.c.subscription_id.in_(wanted[start : start + _LOOKUP_MAX]))
        rows += connection.execute(query)
    found: dict[str, list[Change]] = {}
    for row in sorted(rows, key=lambda one: (one.effective_at, one.created_at, one.id)):
        change = Change(
            row.id,
            row.subscription_product_id,
            ChangeType(row.type),
            microseconds(row.effective_at),
            CalculationMethod(row.calculation_method),
            Precision(row.precision),
            None if row.count is None else Decimal(row.count),
            None if row.price_groups is None else _groups(row.price_groups),
            row.created_at,
            row.cutoff,
            row.reason,
        )
        found.setdefault(change.subscription_product_id, []).append(change)
    return found


def insert_change(connection: sa.Connection, subscription: Subscription, change: Change) -> None:
    """Keep a change of a subscription's product; its row is never changed."""
    values = {
        "id": change.id,
        **owner(subscription.world),
        "subscription_id": subscription.id,
        "subscription_product_id": change.subscription_product_id,
        "type": change.type.value,
        "effective_at": EPOCH + timedelta(microseconds=change.effective_us),
        "calculation_method": change.method.value,
        "precision": change.precision.value,
        "count": change.count,
        "price_groups": None if change.groups is None else [group.document() for group in change.groups],
        "created_at": change.created_at,
        "cutoff": change.cutoff,
        "reason": change.reason,
    }
    connection.execute(subscription_changes.insert().values(**values))
    touched = subscriptions.update().where(subscriptions.c.id == subscription.id)
    connection.execute(touched.values(updated_at=change.created_at))


def _groups(documents: Iterable[Any]) -> tuple[PriceGroup, ...]:
    return tuple(PriceGroup(group["metering_filter"], tuple(group["prices"])) for group in documents)


def _product(row: Any, taken: Sequence[Any], changes: Sequence[Change]) -> SubscriptionProduct:
    added = next((change for change in changes if change.type is ChangeType.ADD_PRODUCT), None)
    removed = next((change for change in changes if change.type is ChangeType.REMOVE_PRODUCT), None)
    return SubscriptionProduct(
        row.id,
        row.product_id,
        row.aggregator_id,
        Interval.from_document(row.payment_interval),
        Decimal(row.count),
        row.min_amount,
        row.max_amount,
        None if row.min_committed_count is None else Decimal(row.min_committed_count),
        _groups(row.price_groups),
        Metering.from_document(row.metering),
        tuple(one.price_configuration_id for one in taken),
        taken[0].price_book_id if taken else None,
        added,
        removed,
        tuple(change for change in changes if change.type not in LIFE_CHANGES),
        None if added is None else added.effective_us,
        None if removed is None else removed.effective_us,
        seats=None
        if row.seat_aggregator_id is None
        else ConnectedSeats.from_document(row.seat_aggregator_id, row.seat_terms),
        payment_schedule=None if row.payment_schedule is None else PaymentSchedule(row.payment_schedule),
        credits=None if row.credit_terms is None else CreditTerms.from_document(row.credit_terms),
    )


def _subscription(row: Any, products: Sequence[SubscriptionProduct], coupons: Sequence[AppliedCoupon]) -> Subscription:
    return Subscription(
        row.id,
        World(row.account_id, Mode(row.mode)),
        row.customer_id,
        row.name,
        row.currency,
        row.timezone,
        None if row.commitment_interval is None else Interval.from_document(row.commitment_interval),
        row.starts_at,
        row.cancelled_at,
        products,
        row.created_at,
        row.updated_at,
        BillingCycleAlignment(row.billing_cycle_alignment or BillingCycleAlignment.CALENDAR_PERIOD),
        row.plan_id,
        row.price_book_id,
        coupons,
    )
