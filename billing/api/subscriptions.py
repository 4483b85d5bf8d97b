"""`/v2/subscriptions` and `/v1/subscriptions`: who has what, since when and at which prices."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.coupons import check_products, terms_object
from billing.api.named import check_price_books, unknown
from billing.api.services import Services
from billing.api.shapes import NEW_SUBSCRIPTION_BODY, SUBSCRIPTION
from billing.catalog.coupons import find_coupon
from billing.catalog.plans import PlanStatus, find_plan
from billing.catalog.registry import find_products, product_names
from billing.catalog.rows import is_matrix
from billing.subscriptions.agreement import agree
from billing.subscriptions.coupons import AppliedCoupon, insert_coupon
from billing.subscriptions.credit_terms import CREDIT_SHOWN
from billing.subscriptions.discounting import applied_coupon
from billing.subscriptions.model import Subscription, SubscriptionProduct, SubscriptionStatus
from billing.subscriptions.plans import from_plan
from billing.subscriptions.reading import CouponAsked, read_subscription
from billing.subscriptions.registry import (
    cancel_subscription,
    create_subscription,
    find_subscription,
    list_subscriptions,
)
from billing.subscriptions.seats import FIELDS
from billing.subscriptions.upfront import PaymentSchedule
from billing.tables import subscriptions
from metering.http.app import json_response
from metering.http.choices import choices_of, values_of
from metering.http.fields import Fields
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, not_found, refused, unavailable
from metering.http.reading import read_object
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import object_of, one_of
from metering.http.shapes import page_of as page_shape
from metering.registry.customers import resolve, resolve_many
from metering.timestamps import format_instant, microseconds
from metering.world import World
from metering.zones import zone_named

TAG = "Subscriptions"
REFRESH_WAIT_S_MAX = 30.0

FILTERS = (
    FilterField("id", subscriptions.c.id, nullable=False),
    FilterField("name", subscriptions.c.name),
    FilterField("currency", subscriptions.c.currency, nullable=False),
    FilterField("starts_at", subscriptions.c.starts_at, Kind.INSTANT, nullable=False),
    FilterField("cancelled_at", subscriptions.c.cancelled_at, Kind.INSTANT),
    FilterField("created_at", subscriptions.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", subscriptions.c.updated_at, Kind.INSTANT, nullable=False),
)
_OWN_PARAMETERS = (
    Parameter("customer_id", "Our id or the external id; as `customer_id__in` several."),
    Parameter(
        "status",
        "pending, active or cancelled; as `status__in` several.",
        one_of([status.value for status in SubscriptionStatus]),
    ),
)


def subscription_routes(services: Services) -> list[Route]:
    """Give the routes of subscriptions; both versions of the path read the same."""
    api = _Subscriptions(services)
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, *_OWN_PARAMETERS, *filter_parameters(FILTERS))
    create = "Subscribe a customer to products at the prices of today"
    listing = "List subscriptions, newest first"
    cancel = "End a subscription now: no period begins any more, and the one that runs ends"
    refresh = "Wait until all usage that was accepted is in open invoices; they are live, so nothing else is to be done"
    return [
        Route(
            "POST",
            "/v2/subscriptions",
            write,
            api.create,
            create,
            TAG,
            201,
            body=NEW_SUBSCRIPTION_BODY,
            answer=SUBSCRIPTION,
        ),
        *(
            route
            for every in ("/v2/subscriptions", "/v1/subscriptions")
            for route in (
                Route(
                    "GET", every, read, api.list, listing, TAG, parameters=parameters, answer=page_shape(SUBSCRIPTION)
                ),
                Route("GET", every + "/{id}", read, api.get, "Get a subscription", TAG, answer=SUBSCRIPTION),
            )
        ),
        *(
            Route(method, "/v1/subscriptions/{id}/cancel", write, api.cancel, cancel, TAG, answer=SUBSCRIPTION)
            for method in ("POST", "PUT")
        ),
        Route("POST", "/v1/subscriptions/refresh", write, api.refresh, refresh, TAG, answer=object_of({})),
    ]


class _Subscriptions:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock
        self._progress = services.progress

    async def create(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        made, names = await self._registry.write(self._create, call.world, body)
        return json_response(subscription_object(made, names, self._clock()), 201)

    async def refresh(self, _: Call) -> web.Response:
        if not await self._progress.wait_until_applied(REFRESH_WAIT_S_MAX):
            raise unavailable("what was accepted earlier is not in the figures yet: try again", retry_after_s=5)
        return json_response({})

    async def list(self, call: Call) -> web.Response:
        page, conditions, now = page_of(call), filters_of(call, FILTERS), self._clock()
        statuses = choices_of(call, "status", SubscriptionStatus)
        if statuses is not None:
            conditions.append(sa.or_(sa.false(), *(_has_status(status, now) for status in statuses)))
        found, names, total = await self._registry.read(
            _page, call.world, conditions, values_of(call, "customer_id"), page
        )
        return json_response(paged([subscription_object(one, names, now) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        found, names = await self._registry.read(_require, call.world, call.path("id"))
        return json_response(subscription_object(found, names, self._clock()))

    async def cancel(self, call: Call) -> web.Response:
        now = self._clock()
        ended, names = await self._registry.write(_cancel, call.world, call.path("id"), now)
        return json_response(subscription_object(ended, names, now))

    def _create(
        self, connection: sa.Connection, world: World, body: Mapping[str, Any]
    ) -> tuple[Subscription, dict[str, str]]:
        asked = read_subscription(_with_plan(connection, world, body))
        customer = resolve(connection, world, asked.customer_id)
        if customer is None:
            message = f"customer_id: there is no customer {asked.customer_id[:80]!r}: create it, or send another id"
            raise ApiError(404, message, [Fault("unknown", ("customer_id",), message)])
        check_price_books(connection, world, asked.price_book_ids)
        catalog = find_products(connection, world, {one.product_id for one in asked.products})
        agreement = agree(asked, customer, catalog)
        now = self._clock()
        made = create_subscription(connection, world, asked, agreement, now)
        for coupon in asked.coupons:
            give_coupon(connection, made, coupon, effective_us=microseconds(made.starts_at), now=now)
            made = require_subscription(connection, world, made.id)
        return made, _names(connection, [made])


def _with_plan(connection: sa.Connection, world: World, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill a request in with what its plan says."""
    fields = Fields(body)
    plan_id = fields.name("plan_id")
    fields.refuse_faults()
    if plan_id is None:
        return body
    plan = find_plan(connection, world, plan_id)
    if plan is None:
        raise unknown("plan_id", "plan", plan_id)
    if plan.status is PlanStatus.ARCHIVED:
        raise refused(f"plan_id: plan {plan.id} is archived: PUT /v1/plans/{plan.id}/unarchive first")
    return from_plan(body, plan)


def subscription_object(subscription: Subscription, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Give the subscription as it goes out; its status is that of `now`."""
    commitment = subscription.commitment_interval
    return {
        "id": subscription.id,
        "name": subscription.name,
        "status": subscription.status_at(now).value,
        "customer_id": subscription.customer_id,
        "plan_id": subscription.plan_id,
        "price_book_id": subscription.price_book_id,
        "currency": subscription.currency,
        "timezone": subscription.timezone,
        "activation_strategy": "start_date",
        "commitment_interval": commitment.document() if commitment else None,
        "billing_cycle_alignment": subscription.billing_cycle_alignment.value,
        "starts_at": format_instant(subscription.starts_at),
        "cancelled_at": None if subscription.cancelled_at is None else format_instant(subscription.cancelled_at),
        "products": [_product_object(one, names) for one in subscription.standing_at(_shown_at(subscription, now))],
        "coupons": [
            _coupon_object(one)
            for one in subscription.coupons
            if not one.gone_by(_shown_at(subscription, now), zone_named(subscription.timezone))
        ],
        "created_at": format_instant(subscription.created_at),
        "updated_at": format_instant(subscription.updated_at),
    }


def give_coupon(
    connection: sa.Connection, subscription: Subscription, asked: CouponAsked, *, effective_us: int, now: datetime
) -> AppliedCoupon:
    """Give a subscription a coupon, and keep it.

    Raises:
        ApiError: 404 for what there is not, else as `applied_coupon`.
    """
    world = subscription.world
    coupon = find_coupon(connection, world, asked.coupon_id)
    if coupon is None:
        raise unknown("coupon_id", "coupon", asked.coupon_id)
    check_products(connection, world, asked.product_ids)
    made = applied_coupon(connection, subscription, coupon, asked.product_ids, effective_us=effective_us, now=now)
    insert_coupon(connection, world, subscription.id, made)
    return made


def _coupon_object(one: AppliedCoupon) -> dict[str, Any]:
    return {
        "id": one.coupon_id,
        "name": one.name,
        **terms_object(one.terms),
        "product_ids": None if one.product_ids is None else list(one.product_ids),
        "applied_at": format_instant(one.effective_us),
        "removed_at": None if one.removal is None else format_instant(one.removal.effective_us),
    }


def _shown_at(subscription: Subscription, now: datetime) -> int:
    """Give the instant whose products are shown: now, or the nearest one within the subscription's life."""
    instant_us = max(microseconds(now), microseconds(subscription.starts_at))
    cancelled_at = subscription.cancelled_at
    return instant_us if cancelled_at is None else min(instant_us, microseconds(cancelled_at) - 1)


def _product_object(agreed: SubscriptionProduct, names: Mapping[str, str]) -> dict[str, Any]:
    """Give one product with the prices that were agreed: one list of rows, or the groups of a matrix."""
    matrix = is_matrix(agreed.groups)
    return {
        "id": agreed.product_id,
        "name": names[agreed.product_id],
        "aggregator_id": agreed.aggregator_id if agreed.seats is None else agreed.seats.aggregator_id,
        "payment_interval": agreed.payment_interval.document(),
        "count": agreed.count,
        "min_amount": agreed.min_amount,
        "max_amount": agreed.max_amount,
        "min_committed_count": agreed.min_committed_count,
        "metering_interval_type": agreed.metering.type.value,
        "metering_interval": agreed.metering.interval.document() if agreed.metering.interval else None,
        "metering_interval_start_at": (
            None if agreed.metering.starts_us is None else format_instant(agreed.metering.starts_us)
        ),
        "bill_usage_difference": agreed.metering.bill_usage_difference,
        "payment_schedule": _payment_schedule(agreed).value,
        "price_book_id": agreed.price_book_id,
        "price_configuration_ids": list(agreed.price_configuration_ids),
        "prices": None if matrix else list(agreed.groups[0].prices),
        "price_groups": [group.document() for group in agreed.groups] if matrix else None,
        **(dict.fromkeys(FIELDS) if agreed.seats is None else agreed.seats.terms.document()),
        **(dict.fromkeys(CREDIT_SHOWN) if agreed.credits is None else agreed.credits.document()),
    }


def _payment_schedule(agreed: SubscriptionProduct) -> PaymentSchedule:
    """Give when it is billed: usage at the end, all else at the start, unless it was agreed otherwise."""
    usual = PaymentSchedule.START if agreed.aggregator_id is None else PaymentSchedule.END
    return agreed.payment_schedule or usual


def _has_status(status: SubscriptionStatus, now: datetime) -> sa.ColumnElement[bool]:
    """Say in SQL what `Subscription.status_at` says."""
    cancelled = sa.and_(subscriptions.c.cancelled_at.is_not(None), subscriptions.c.cancelled_at <= now)
    if status is SubscriptionStatus.CANCELLED:
        return cancelled
    begun = subscriptions.c.starts_at <= now
    return sa.and_(sa.not_(cancelled), begun if status is SubscriptionStatus.ACTIVE else sa.not_(begun))


def _page(
    connection: sa.Connection,
    world: World,
    conditions: list[sa.ColumnElement[bool]],
    customers: Sequence[str] | None,
    page: Page,
) -> tuple[list[Subscription], dict[str, str], int]:
    if customers is not None:
        ids = [customer.id for customer in resolve_many(connection, world, customers).values()]
        conditions = [*conditions, subscriptions.c.customer_id.in_(ids)]
    found, total = list_subscriptions(connection, world, conditions=conditions, take=page.take, skip=page.skip)
    return found, _names(connection, found), total


def require_subscription(connection: sa.Connection, world: World, subscription_id: str) -> Subscription:
    """Give the subscription that a path names.

    Raises:
        ApiError: 404.
    """
    return _require(connection, world, subscription_id)[0]


def _require(connection: sa.Connection, world: World, subscription_id: str) -> tuple[Subscription, dict[str, str]]:
    found = find_subscription(connection, world, subscription_id)
    if found is None:
        raise not_found(f"there is no subscription {subscription_id[:80]!r}")
    return found, _names(connection, [found])


def _cancel(
    connection: sa.Connection, world: World, subscription_id: str, now: datetime
) -> tuple[Subscription, dict[str, str]]:
    found, names = _require(connection, world, subscription_id)
    return cancel_subscription(connection, found, now), names


def _names(connection: sa.Connection, found: Sequence[Subscription]) -> dict[str, str]:
    """Give the names of the products of some subscriptions of one world."""
    if not found:
        return {}
    ids = {product.product_id for one in found for product in one.products}
    return product_names(connection, found[0].world, ids)
