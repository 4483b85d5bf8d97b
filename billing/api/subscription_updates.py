"""`/v1/subscriptions/{id}/update`: change what a subscription has, from an instant on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from billing.api.named import check_price_books
from billing.api.services import Services
from billing.api.shapes import UPDATE, UPDATE_BODY, UPDATES_BODY
from billing.api.subscriptions import give_coupon, require_subscription
from billing.catalog.model import Product
from billing.catalog.registry import find_products
from billing.catalog.rows import is_matrix
from billing.subscriptions.agreement import Setting
from billing.subscriptions.applying import (
    added_product,
    change_of,
    count_changed,
    effective_at,
    prices_changed,
    refuse_closed_period,
    refuse_removed_twice,
    standing,
)
from billing.subscriptions.changes import CalculationMethod, Change, ChangeType, Precision
from billing.subscriptions.coupons import AppliedCoupon, remove_coupon
from billing.subscriptions.discounting import standing_coupon
from billing.subscriptions.model import Subscription
from billing.subscriptions.registry import insert_change, insert_product
from billing.subscriptions.updating import CouponUpdate, CouponUpdateAsked, UpdateAsked, UpdatesAsked, read_updates
from metering.http.app import json_response
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import array_of, object_of
from metering.registry.customers import resolve
from metering.timestamps import EPOCH, format_instant
from metering.world import World
from metering.zones import zone_named

TAG = "Subscriptions"


class _Made(NamedTuple):
    """A change, and the product of the catalog that it is of."""

    change: Change
    product_id: str

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Give its place among other updates."""
        return self.change.effective_us, self.change.created_at, self.change.id


class _MadeOfCoupon(NamedTuple):
    """That a coupon was added, or taken away, by which update."""

    coupon: AppliedCoupon
    type: CouponUpdate
    id: str
    effective_us: int
    created_at: datetime

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Give its place among other updates."""
        return self.effective_us, self.created_at, self.id


def update_routes(services: Services) -> list[Route]:
    """Give the routes of updates."""
    api = _Updates(services)
    one, write = "/v1/subscriptions/{id}", Scope.WRITE
    update = "Add or remove a product, or change its count or prices, from an instant on"
    several = "Make several updates at once, or none of them"
    listing = "List the updates of a subscription in the order in which they hold"
    return [
        Route("POST", f"{one}/update", write, api.update, update, TAG, 201, body=UPDATE_BODY, answer=UPDATE),
        Route(
            "POST",
            f"{one}/update-many",
            write,
            api.update_many,
            several,
            TAG,
            201,
            body=UPDATES_BODY,
            answer=array_of(UPDATE),
        ),
        Route(
            "GET", f"{one}/updates", Scope.READ, api.list, listing, TAG, answer=object_of({"data": array_of(UPDATE)})
        ),
    ]


class _Updates:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def update(self, call: Call) -> web.Response:
        asked = read_updates(await read_object(call.request), several=False)
        (made,) = await self._registry.write(_apply, call.world, call.path("id"), asked, self._clock())
        return json_response(update_object(call.path("id"), made), 201)

    async def update_many(self, call: Call) -> web.Response:
        asked = read_updates(await read_object(call.request), several=True)
        made = await self._registry.write(_apply, call.world, call.path("id"), asked, self._clock())
        return json_response([update_object(call.path("id"), one) for one in made], 201)

    async def list(self, call: Call) -> web.Response:
        found = await self._registry.read(_list, call.world, call.path("id"))
        return json_response({"data": [update_object(call.path("id"), one) for one in found]})


def update_object(subscription_id: str, made: _Made | _MadeOfCoupon) -> dict[str, Any]:
    """Give an update as it goes out."""
    if isinstance(made, _MadeOfCoupon):
        return _coupon_update_object(subscription_id, made)
    change = made.change
    matrix = change.groups is not None and is_matrix(change.groups)
    return {
        "id": change.id,
        "subscription_id": subscription_id,
        "product_id": made.product_id,
        "coupon_id": None,
        "product_ids": None,
        "type": change.type.value,
        "effective_at": format_instant(change.effective_us),
        "calculation_method": change.method.value,
        "precision": change.precision.value,
        "count": change.count,
        "prices": None if change.groups is None or matrix else list(change.groups[0].prices),
        "price_groups": [group.document() for group in change.groups or ()] if matrix else None,
        "cutoff": change.cutoff,
        "reason": change.reason,
        "created_at": format_instant(change.created_at),
    }


def _coupon_update_object(subscription_id: str, made: _MadeOfCoupon) -> dict[str, Any]:
    coupon = made.coupon
    return {
        "id": made.id,
        "subscription_id": subscription_id,
        "product_id": None,
        "coupon_id": coupon.coupon_id,
        "product_ids": None if coupon.product_ids is None else list(coupon.product_ids),
        "type": made.type.value,
        "effective_at": format_instant(made.effective_us),
        "calculation_method": CalculationMethod.PAY_IN_FULL.value,
        "precision": Precision.CALENDAR_DAYS.value,
        "count": None,
        "prices": None,
        "price_groups": None,
        "cutoff": None,
        "reason": None,
        "created_at": format_instant(made.created_at),
    }


@dataclass(frozen=True, slots=True)
class _Applying:
    """One request's updates on a subscription, within its transaction."""

    connection: sa.Connection
    asked: UpdatesAsked
    now: datetime

    def apply(self, subscription: Subscription, one: UpdateAsked | CouponUpdateAsked) -> _Made | _MadeOfCoupon:
        effective_us = effective_at(self.asked, subscription, self.now)
        if isinstance(one, CouponUpdateAsked):
            return self._discount(subscription, one, effective_us)
        catalog = find_products(self.connection, subscription.world, {one.product_id})
        if one.type is ChangeType.ADD_PRODUCT:
            change = self._add(subscription, one, catalog, effective_us)
        else:
            change = self._change(subscription, one, catalog, effective_us)
        insert_change(self.connection, subscription, change)
        return _Made(change, one.product_id)

    def _discount(self, subscription: Subscription, one: CouponUpdateAsked, effective_us: int) -> _MadeOfCoupon:
        for product in subscription.standing_at(effective_us):
            refuse_closed_period(subscription, product, effective_us, self.now)
        if one.type is CouponUpdate.REMOVE_COUPON:
            applied = standing_coupon(subscription, one.coupon.coupon_id, effective_us)
            removal = remove_coupon(self.connection, applied, effective_us, self.now)
            return _MadeOfCoupon(applied, one.type, removal.id, effective_us, self.now)
        applied = give_coupon(self.connection, subscription, one.coupon, effective_us=effective_us, now=self.now)
        return _MadeOfCoupon(applied, one.type, applied.id, effective_us, self.now)

    def _add(
        self, subscription: Subscription, one: UpdateAsked, catalog: Mapping[str, Product], effective_us: int
    ) -> Change:
        assert one.product is not None
        customer = resolve(self.connection, subscription.world, subscription.customer_id)
        assert customer is not None, "a customer with a subscription is not deleted"
        book_id = one.product.price_book_id
        check_price_books(self.connection, subscription.world, () if book_id is None else (book_id,))
        setting = Setting(
            subscription.currency,
            customer.country,
            zone_named(subscription.timezone),
            subscription.commitment_interval,
            subscription.price_book_id,
            subscription.plan_id,
        )
        product = added_product(one, subscription, catalog, setting, effective_us)
        refuse_closed_period(subscription, product, effective_us, self.now)
        insert_product(
            self.connection,
            subscription.world,
            subscription.id,
            product,
            position=len(subscription.products),
            begins_at=EPOCH + timedelta(microseconds=effective_us),
        )
        return change_of(one, self.asked, product, effective_us, self.now)

    def _change(
        self, subscription: Subscription, one: UpdateAsked, catalog: Mapping[str, Product], effective_us: int
    ) -> Change:
        product = standing(subscription, one.product_id, effective_us)
        refuse_closed_period(subscription, product, effective_us, self.now)
        change, kind = change_of(one, self.asked, product, effective_us, self.now), catalog[one.product_id]
        if one.type is ChangeType.REMOVE_PRODUCT:
            refuse_removed_twice(product)
        elif one.type is ChangeType.UPDATE_COUNT:
            count_changed(subscription, product, kind, one.count)
        else:
            change = prices_changed(one, change, subscription, product, kind)
        return change


def _apply(
    connection: sa.Connection, world: World, subscription_id: str, asked: UpdatesAsked, now: datetime
) -> list[_Made | _MadeOfCoupon]:
    applying = _Applying(connection, asked, now)
    # Read again each time: an update stands on those before it.
    return [applying.apply(require_subscription(connection, world, subscription_id), one) for one in asked.updates]


def _list(connection: sa.Connection, world: World, subscription_id: str) -> Sequence[_Made | _MadeOfCoupon]:
    subscription = require_subscription(connection, world, subscription_id)
    found: list[_Made | _MadeOfCoupon] = [made for coupon in subscription.coupons for made in _of_coupon(coupon)]
    found += [
        _Made(change, product.product_id)
        for product in subscription.products
        for change in (product.added, *product.changes, product.removed)
        if change is not None
    ]
    return sorted(found, key=lambda one: one.order)


def _of_coupon(one: AppliedCoupon) -> list[_MadeOfCoupon]:
    made = [_MadeOfCoupon(one, CouponUpdate.ADD_COUPON, one.id, one.effective_us, one.created_at)]
    gone = one.removal
    if gone is not None:
        made.append(_MadeOfCoupon(one, CouponUpdate.REMOVE_COUPON, gone.id, gone.effective_us, gone.created_at))
    return made
