"""`/v1/coupons`: fixed amounts and percentages that subscriptions can be discounted by."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.named import unknown
from billing.api.services import Services
from billing.catalog.coupons import (
    Coupon,
    CouponTerms,
    Repeat,
    create_coupon,
    delete_coupon,
    find_coupon,
    list_coupons,
    redemptions_of,
    update_coupon,
)
from billing.catalog.registry import product_names
from billing.errors import InvalidPriceError
from billing.interval import COUNT_MAX, Interval
from billing.money import AMOUNT_MAX, read_currency
from billing.subscriptions.reading import read_quantity
from billing.tables import coupons
from metering.http.app import json_response
from metering.http.fields import Fields
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import conflict, not_found
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    INSTANT,
    INTEGER,
    NAME,
    NUMBER,
    OPTIONAL_INSTANT,
    OPTIONAL_LONG_TEXT,
    OPTIONAL_TEXT,
    TEXT,
    array_of,
    bounded,
    described,
    nullable,
    object_of,
    one_of,
    request_of,
)
from metering.http.shapes import page_of as page_shape
from metering.ranges import RangeError, parse_instant
from metering.timestamps import EPOCH, format_instant
from metering.windows import Period
from metering.world import World
from metering.zones import zone_named

TAG = "Coupons"
PRODUCTS_MAX = 100
LIMIT_MAX = 1_000_000_000
_PERCENT_MAX = Decimal(100)
_ISO_MAX = 64
_LIMITS = {
    "name": NAME,
    "description": described(OPTIONAL_LONG_TEXT, "For internal use."),
    "redemption_limit": described(
        nullable(bounded(INTEGER, 1, LIMIT_MAX)), "How many times subscriptions may get it; null is without limit."
    ),
}
_TERMS = {
    "discount_amount": described(nullable(bounded(INTEGER, 1, AMOUNT_MAX)), "Minor units off each invoice."),
    "currency": described(OPTIONAL_TEXT, "Of discount_amount; ISO 4217."),
    "discount_percent": described(nullable(NUMBER), "Off each invoice, above 0, at most 100; in place of an amount."),
    "repeat": one_of([repeat.value for repeat in Repeat]),
    "duration_count": nullable(bounded(INTEGER, 1, COUNT_MAX)),
    "duration_period": described(
        one_of([period.value for period in Period], optional=True), "With duration_count: for the repeat duration."
    ),
    "product_ids": described(
        nullable(array_of(NAME, most=PRODUCTS_MAX)), "Whose lines it discounts; null is all products."
    ),
}
_EXPIRES = {"expiration_date": described({**NAME, "type": ["string", "null"]}, "Not to be added from then on.")}
NEW_COUPON_BODY = request_of({**_LIMITS, **_EXPIRES, **_TERMS}, title="NewCoupon", required=("name", "repeat"))
COUPON_BODY = request_of({**_LIMITS, **_EXPIRES}, title="CouponFields", never_null=("name",))
COUPON = object_of(
    {
        "id": TEXT,
        **{name: TEXT if name == "name" else shape for name, shape in _LIMITS.items()},
        **_TERMS,
        "expiration_date": OPTIONAL_INSTANT,
        "redemptions_count": described(INTEGER, "How many times subscriptions got it."),
        "created_at": INSTANT,
        "updated_at": INSTANT,
    },
    title="Coupon",
)
FILTERS = (
    FilterField("id", coupons.c.id, nullable=False),
    FilterField("name", coupons.c.name, nullable=False),
    FilterField("expiration_date", coupons.c.expiration_date, Kind.INSTANT),
    FilterField("created_at", coupons.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", coupons.c.updated_at, Kind.INSTANT, nullable=False),
)


def coupon_routes(services: Services) -> list[Route]:
    """Give the routes of coupons."""
    api = _Coupons(services)
    every, one = "/v1/coupons", "/v1/coupons/{id}"
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, *filter_parameters(FILTERS))
    update = "Change the name, the description and the limits; what it takes off stays as it is"
    new, body, answer = NEW_COUPON_BODY, COUPON_BODY, COUPON
    return [
        Route("POST", every, write, api.create, "Create a coupon", TAG, 201, body=new, answer=answer),
        Route(
            "GET",
            every,
            read,
            api.list,
            "List coupons, newest first",
            TAG,
            parameters=parameters,
            answer=page_shape(answer),
        ),
        Route("GET", one, read, api.get, "Get a coupon", TAG, answer=answer),
        Route("PUT", one, write, api.update, update, TAG, body=body, answer=answer),
        Route("DELETE", one, write, api.delete, "Delete a coupon that no subscription ever had", TAG, 204),
    ]


class _Coupons:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        values = _read(await read_object(call.request), None)
        return json_response(await self._registry.write(_create, call.world, values, self._clock()), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged(found, total, page))

    async def get(self, call: Call) -> web.Response:
        return json_response(await self._registry.read(_get, call.world, call.path("id")))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return json_response(await self._registry.write(_update, call.world, call.path("id"), body, self._clock()))

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(_delete, call.world, call.path("id"))
        return web.Response(status=204)


def terms_object(terms: CouponTerms) -> dict[str, Any]:
    """Give what a coupon takes off, and for how long, as it goes out."""
    duration = None if terms.duration is None else terms.duration.document()
    return {
        "discount_amount": terms.amount,
        "currency": terms.currency,
        "discount_percent": terms.percent,
        "repeat": terms.repeat.value,
        "duration_count": None if duration is None else duration["count"],
        "duration_period": None if duration is None else duration["period"],
    }


def require_coupon(connection: sa.Connection, world: World, coupon_id: str) -> Coupon:
    """Give the coupon that a path names.

    Raises:
        ApiError: 404.
    """
    found = find_coupon(connection, world, coupon_id)
    if found is None:
        raise not_found(f"there is no coupon {coupon_id[:80]!r}")
    return found


def _object(connection: sa.Connection, coupon: Coupon) -> dict[str, Any]:
    return {
        "id": coupon.id,
        "name": coupon.name,
        "description": coupon.description,
        **terms_object(coupon.terms),
        "product_ids": None if coupon.product_ids is None else list(coupon.product_ids),
        "redemption_limit": coupon.redemption_limit,
        "redemptions_count": redemptions_of(connection, coupon),
        "expiration_date": None if coupon.expiration_date is None else format_instant(coupon.expiration_date),
        "created_at": format_instant(coupon.created_at),
        "updated_at": format_instant(coupon.updated_at),
    }


def _read(body: Mapping[str, Any], current: Coupon | None) -> dict[str, Any]:
    """Give the columns that a body sets."""
    fields = Fields(body)
    values: dict[str, Any] = {}
    if current is None or fields.has("name"):
        values["name"] = fields.name("name", required=True)
    if current is None or fields.has("description"):
        values["description"] = fields.text("description")
    if current is None or fields.has("redemption_limit"):
        values["redemption_limit"] = fields.integer("redemption_limit", least=1, most=LIMIT_MAX)
    if current is None or fields.has("expiration_date"):
        values["expiration_date"] = _read_expiration(fields)
    if current is None:
        terms = _read_terms(fields)
        values["terms"] = None if terms is None else terms.document()
        values["product_ids"] = fields.names("product_ids", items_max=PRODUCTS_MAX)
    fields.refuse_faults()
    return values


def _read_expiration(fields: Fields) -> datetime | None:
    sent = fields.name("expiration_date", characters_max=_ISO_MAX)
    if sent is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=parse_instant(sent, "expiration_date", zone_named("UTC")))
    except RangeError as error:
        fields.fault("expiration_date", "timestamp", str(error))
        return None


def _read_terms(fields: Fields) -> CouponTerms | None:
    amount = fields.integer("discount_amount", least=1, most=AMOUNT_MAX)
    percent = read_quantity(fields, "discount_percent")
    sent = [name for name in ("discount_amount", "discount_percent") if fields.raw(name) is not None]
    if len(sent) != 1:
        fields.fault("discount_percent", "contradiction", "send either this or discount_amount, which is minor units")
    if percent is not None and not 0 < percent <= _PERCENT_MAX:
        fields.fault("discount_percent", "out_of_range", "must be above 0 and at most 100")
    currency = None
    if amount is not None:
        try:
            currency = read_currency(fields.raw("currency"))
        except InvalidPriceError as error:
            fields.faults.extend(error.faults)
    repeat = fields.choice("repeat", Repeat, required=True)
    duration = _read_duration(fields, repeat)
    return None if repeat is None else CouponTerms(amount, currency, percent, repeat, duration)


def _read_duration(fields: Fields, repeat: Repeat | None) -> Interval | None:
    period = fields.choice("duration_period", Period)
    count = fields.integer("duration_count", least=1, most=COUNT_MAX)
    if repeat is Repeat.DURATION:
        for name in ("duration_period", "duration_count"):
            if fields.raw(name) is None:
                fields.fault(name, "required", "is needed with the repeat duration: send months and 3, or the like")
        return None if period is None or count is None else Interval.of(period, count)
    for name in ("duration_period", "duration_count"):
        if fields.raw(name) is not None:
            fields.fault(name, "not_duration", "is for the repeat duration alone: send that, or leave it out")
    return None


def check_products(connection: sa.Connection, world: World, product_ids: object) -> None:
    """Refuse products that there are not.

    Raises:
        ApiError: 404.
    """
    if not isinstance(product_ids, list):
        return
    known = product_names(connection, world, product_ids)
    for product_id in product_ids:
        if product_id not in known:
            raise unknown("product_ids", "product", product_id)


def _create(connection: sa.Connection, world: World, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    check_products(connection, world, values["product_ids"])
    return _object(connection, create_coupon(connection, world, values, now))


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[dict[str, Any]], int]:
    found, total = list_coupons(connection, world, conditions=conditions, take=page.take, skip=page.skip)
    return [_object(connection, one) for one in found], total


def _get(connection: sa.Connection, world: World, coupon_id: str) -> dict[str, Any]:
    return _object(connection, require_coupon(connection, world, coupon_id))


def _update(
    connection: sa.Connection, world: World, coupon_id: str, body: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    coupon = require_coupon(connection, world, coupon_id)
    return _object(connection, update_coupon(connection, coupon, _read(body, coupon), now))


def _delete(connection: sa.Connection, world: World, coupon_id: str) -> None:
    coupon = require_coupon(connection, world, coupon_id)
    if redemptions_of(connection, coupon):
        raise conflict(f"coupon {coupon.id} was given to a subscription: set an expiration_date instead")
    delete_coupon(connection, coupon)
