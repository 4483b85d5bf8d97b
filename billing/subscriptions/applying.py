"""Hold an update against a subscription: when it takes effect, and whether it can."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from billing.catalog.model import Product, ProductType
from billing.periods import period_holding
from billing.subscriptions.agreement import (
    Setting,
    agree_product,
    check_packs,
    check_terms,
    instant_of_text,
    pack_of,
    read_sent,
)
from billing.subscriptions.changes import CalculationMethod, Change
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.subscriptions.timeline import at
from billing.subscriptions.updating import UpdateAsked, UpdatesAsked
from billing.windows import MeteringIntervalType
from metering.http.problem import ApiError, Fault, conflict, invalid_field, refused
from metering.ids import new_id
from metering.timestamps import format_instant, microseconds
from metering.zones import zone_named


def effective_at(asked: UpdatesAsked, subscription: Subscription, now: datetime) -> int:
    """Give the instant from which updates hold; at the earliest the subscription's start.

    Raises:
        ApiError: 400 for a date that cannot be read, 422 where the subscription has ended by then.
    """
    starts_us, now_us = microseconds(subscription.starts_at), microseconds(now)
    instant_us = max(now_us, starts_us)
    if asked.apply_at is not None:
        instant_us = instant_of_text(asked.apply_at, zone_named(subscription.timezone), ("apply_at",))
        if instant_us < starts_us:
            began = format_instant(starts_us)
            raise invalid_field("apply_at", "out_of_range", f"apply_at: the subscription starts {began}, not before")
    if subscription.cancelled_at is not None:
        raise refused(f"subscription {subscription.id} is cancelled: make another one")
    return instant_us


def added_product(
    asked: UpdateAsked, subscription: Subscription, catalog: Mapping[str, Product], setting: Setting, effective_us: int
) -> SubscriptionProduct:
    """Agree a product that a subscription gets.

    Raises:
        ApiError: as `agree_product`; 409 where the product is there then, or will be.
    """
    assert asked.product is not None
    for one in subscription.products:
        if one.product_id == asked.product_id and (one.until_us is None or one.until_us > effective_us):
            raise conflict(f"product {asked.product_id} is in the subscription already: update its count or prices")
    return agree_product(("payload",), asked.product, catalog, setting)


def change_of(
    asked: UpdateAsked, updates: UpdatesAsked, product: SubscriptionProduct, effective_us: int, now: datetime
) -> Change:
    """Give the change of a product that an update makes, to be checked yet."""
    return Change(
        new_id("supd"),
        product.id,
        asked.type,
        effective_us,
        updates.method,
        updates.precision,
        asked.count,
        None,
        now,
    )


def standing(subscription: Subscription, product_id: str, instant_us: int) -> SubscriptionProduct:
    """Give the product of a subscription that is there at an instant.

    Raises:
        ApiError: 404.
    """
    for one in subscription.products:
        begun = one.since_us is None or one.since_us <= instant_us
        if one.product_id == product_id and begun and (one.until_us is None or instant_us < one.until_us):
            return one
    message = f"payload.product_id: the subscription has no product {product_id[:80]!r} at {format_instant(instant_us)}"
    raise ApiError(404, message, [Fault("unknown", ("payload", "product_id"), message)])


def refuse_closed_period(
    subscription: Subscription, product: SubscriptionProduct, effective_us: int, now: datetime
) -> None:
    """Refuse what would change a period that has ended: it keeps what it had.

    Raises:
        ApiError: 422.
    """
    now_us = microseconds(now)
    life = subscription.life(product)
    running = period_holding(max(now_us, life.starts_us), life.payments, life.starts_us)
    if running is not None and effective_us < running.start_us:
        began = format_instant(running.start_us)
        raise refused(
            f"apply_at: {format_instant(effective_us)} lies in a period that has ended: send {began} or later"
        )


def refuse_removed_twice(product: SubscriptionProduct) -> None:
    """Refuse to remove what is removed at a later date already.

    Raises:
        ApiError: 409.
    """
    if product.until_us is not None:
        gone = format_instant(product.until_us)
        raise conflict(f"product {product.product_id} is removed on {gone} already")


def count_changed(
    subscription: Subscription, product: SubscriptionProduct, kind: Product, count: Decimal | None
) -> None:
    """Refuse to set a count that is counted from events, or credits that are no whole packs.

    Raises:
        ApiError: 422, 400 for what is no whole packs.
    """
    if product.seats is not None:
        message = (
            f"payload.count: the seats of product {kind.id} are counted by aggregator {product.seats.aggregator_id}"
        )
        raise refused(f"{message}: POST /v2/subscriptions/{subscription.id}/refresh-seat-products in place of this")
    if kind.type is ProductType.CREDIT and count is not None:
        check_packs(("payload", "count"), count, pack_of(product.groups))
    if product.aggregator_id is not None:
        raise refused(f"payload.count: product {kind.id} is counted from events: its count cannot be set")


def prices_changed(
    asked: UpdateAsked, change: Change, subscription: Subscription, product: SubscriptionProduct, kind: Product
) -> Change:
    """Settle other prices of a product, and from when its usage is charged by them.

    Raises:
        ApiError: 400 for bad rows, 422 where usage cannot be told apart by the prices of its time.
    """
    groups = read_sent(asked.prices, asked.price_groups, kind.type, ("payload",))
    assert groups is not None, "one of them is needed"
    check_terms(("payload",), product.min_committed_count, kind, groups)
    effective_us = change.effective_us
    if product.aggregator_id is not None:
        effective_us = _usage_charged_from(change, subscription, product)
    return Change(
        change.id,
        change.subscription_product_id,
        change.type,
        effective_us,
        change.method,
        change.precision,
        None,
        groups,
        change.created_at,
    )


def _usage_charged_from(change: Change, subscription: Subscription, product: SubscriptionProduct) -> int:
    """Give the instant from which usage is charged by new prices: usage itself is never prorated."""
    if product.metering.type is MeteringIntervalType.FULL_DATABASE:
        message = "payload.prices: all of the database is in one window, so no usage comes after a change of prices"
        raise refused(f"{message}: remove the product and add it again at a later date")
    life = subscription.life(product)
    period = period_holding(change.effective_us, life.payments, life.starts_us, life.ends_us)
    assert period is not None, "the product is there then"
    if change.method is CalculationMethod.PAY_IN_FULL:
        _refuse_changed_within(product, period.start_us, change.effective_us)
        return period.start_us
    if change.method is CalculationMethod.DO_NOT_CHARGE:
        return period.end_us if change.effective_us > period.start_us else period.start_us
    if product.is_upfront and change.effective_us > period.start_us:
        message = "calculation_method: an advance was billed for all of the period, which cannot be shared out between"
        message = (
            f"{message} two prices: send pay_in_full for the whole of it, or do_not_charge to begin with the next one"
        )
        raise refused(message)
    standing_then = at(product, change.effective_us)
    clamped = (standing_then.min_amount, standing_then.max_amount, standing_then.min_committed_count)
    if change.effective_us > period.start_us and any(term is not None for term in clamped):
        message = "calculation_method: a minimum, maximum or commitment cannot be shared out between two prices of a"
        message = f"{message} period: send pay_in_full for the whole of it, or do_not_charge to begin with the next one"
        raise refused(message)
    return change.effective_us


def _refuse_changed_within(product: SubscriptionProduct, start_us: int, effective_us: int) -> None:
    """Refuse prices for all of a period that has others within: these would take over again where they begin.

    Raises:
        ApiError: 422.
    """
    for one in product.changes:
        if one.groups is not None and start_us < one.effective_us <= effective_us:
            message = f"calculation_method: prices changed on {format_instant(one.effective_us)}, within the period"
            raise refused(f"{message}: send pro_rata, or do_not_charge to begin with the next one")
