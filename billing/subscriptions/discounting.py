"""Hold a coupon against a subscription: whether it can be had, from when, and what is kept of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from billing.catalog.coupons import Coupon, redemptions_of
from billing.subscriptions.coupons import AppliedCoupon
from billing.subscriptions.model import Subscription
from metering.http.problem import ApiError, Fault, conflict, refused
from metering.ids import new_id
from metering.timestamps import format_instant
from metering.zones import zone_named

_TICK = timedelta(microseconds=1)


def applied_coupon(
    connection: sa.Connection,
    subscription: Subscription,
    coupon: Coupon,
    product_ids: Sequence[str] | None,
    *,
    effective_us: int,
    now: datetime,
) -> AppliedCoupon:
    """Give a coupon as a subscription gets it.

    Raises:
        ApiError: 409 where it is there already, 422 where it is over, used up, or of another currency.
    """
    zone = zone_named(subscription.timezone)
    for one in subscription.coupons:
        if one.coupon_id == coupon.id and not one.gone_by(effective_us, zone):
            raise conflict(f"coupon {coupon.id} is in the subscription already: remove it first")
    if coupon.expiration_date is not None and coupon.expiration_date <= now:
        raise refused(f"coupon {coupon.id} expired on {format_instant(coupon.expiration_date)}: take another one")
    limit = coupon.redemption_limit
    if limit is not None and redemptions_of(connection, coupon) >= limit:
        raise refused(f"coupon {coupon.id} was given {limit} times, which is its redemption_limit: take another one")
    if coupon.terms.currency not in {None, subscription.currency}:
        message = f"coupon {coupon.id} takes off {coupon.terms.currency}"
        raise refused(f"{message}, and the subscription is in {subscription.currency}: take one of a percentage")
    wanted = coupon.product_ids if product_ids is None else tuple(product_ids)
    if coupon.product_ids is not None and not set(wanted or ()) <= set(coupon.product_ids):
        raise refused(f"product_ids: coupon {coupon.id} is not for all of these: send some of its product_ids")
    # After those before it, also where the clock stood still or went back: coupons are taken off in this order.
    latest = max((one.created_at for one in subscription.coupons), default=None)
    created_at = now if latest is None or latest < now else latest + _TICK
    return AppliedCoupon(new_id("supd"), coupon.id, coupon.name, coupon.terms, wanted, effective_us, created_at)


def standing_coupon(subscription: Subscription, coupon_id: str, effective_us: int) -> AppliedCoupon:
    """Give the coupon of a subscription that is there at an instant.

    Raises:
        ApiError: 404, 409 where it is removed at a later date already.
    """
    zone = zone_named(subscription.timezone)
    for one in subscription.coupons:
        if one.coupon_id == coupon_id and one.stands_at(effective_us, zone):
            if one.removal is not None:
                gone = format_instant(one.removal.effective_us)
                raise conflict(f"coupon {coupon_id} is removed on {gone} already")
            return one
    message = f"payload.coupon_id: the subscription has no coupon {coupon_id[:80]!r} at {format_instant(effective_us)}"
    raise ApiError(404, message, [Fault("unknown", ("payload", "coupon_id"), message)])
