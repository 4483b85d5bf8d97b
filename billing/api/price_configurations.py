"""`/v1/price-configurations`: the prices of products, whom each is for, and what they were before."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.named import check_named, unknown
from billing.api.product_objects import configuration_object, version_object
from billing.api.services import Services
from billing.api.shapes import CONFIGURATION, CONFIGURATION_BODY, NEW_CONFIGURATION_BODY, PRICE_VERSION, ROWS
from billing.catalog.configurations import (
    OfProduct,
    PriceVersion,
    add_configuration,
    archive_configuration,
    change_configuration,
    delete_configuration,
    find_configuration,
    list_configurations,
    unarchive_configuration,
    versions_of,
)
from billing.catalog.model import Product, ProductStatus
from billing.catalog.reading import read_configuration, read_new_prices
from billing.catalog.registry import find_product
from billing.catalog.use import use_of_configuration
from billing.tables import price_configurations
from metering.http.app import json_response
from metering.http.choices import choices_of
from metering.http.fields import Fields
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import conflict, not_found, refused
from metering.http.reading import read_json, read_object
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import array_of, object_of, one_of
from metering.http.shapes import page_of as page_shape
from metering.world import World

TAG = "Price configurations"

FILTERS = (
    FilterField("id", price_configurations.c.id, nullable=False),
    FilterField("product_id", price_configurations.c.product_id, nullable=False),
    FilterField("price_book_id", price_configurations.c.price_book_id),
    FilterField("plan_id", price_configurations.c.plan_id),
    FilterField("currency", price_configurations.c.currency, nullable=False),
    FilterField("created_at", price_configurations.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", price_configurations.c.updated_at, Kind.INSTANT, nullable=False),
)
_STATUS = Parameter(
    "status", "active or archived; as `status__in` several.", one_of([status.value for status in ProductStatus])
)


def price_configuration_routes(services: Services) -> list[Route]:
    """Give the routes of price configurations."""
    api = _PriceConfigurations(services)
    every, one = "/v1/price-configurations", "/v1/price-configurations/{id}"
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, _STATUS, *filter_parameters(FILTERS))
    create = "Give a product one more configuration of prices"
    listing = "List price configurations, newest first"
    update = "Change the fields that are sent; subscriptions keep the prices they were made with"
    put_prices = "Replace the price rows, which makes a version; subscriptions keep the prices they were made with"
    delete = "Delete a price configuration that no subscription was made with"
    versions = "List the prices that it has and had, the first ones first"
    versions_shape = object_of({"data": array_of(PRICE_VERSION)})
    body, new, answer = CONFIGURATION_BODY, NEW_CONFIGURATION_BODY, CONFIGURATION
    return [
        Route("POST", every, write, api.create, create, TAG, 201, body=new, answer=answer),
        Route("GET", every, read, api.list, listing, TAG, parameters=parameters, answer=page_shape(answer)),
        Route("GET", one, read, api.get, "Get a price configuration", TAG, answer=answer),
        Route("PUT", one, write, api.update, update, TAG, body=body, answer=answer),
        Route("PUT", f"{one}/prices", write, api.put_prices, put_prices, TAG, body=ROWS, answer=answer),
        Route("GET", f"{one}/versions", read, api.versions, versions, TAG, answer=versions_shape),
        Route("DELETE", one, write, api.delete, delete, TAG, 204),
        *(
            Route(method, f"{one}/{verb}", write, handler, summary, TAG, answer=answer)
            for verb, handler, summary in (
                ("archive", api.archive, "Choose it for no new subscription any more"),
                ("unarchive", api.unarchive, "Take a price configuration out of the archive"),
            )
            for method in ("PUT", "POST")
        ),
    ]


class _PriceConfigurations:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return _answer(await self._registry.write(self._create, call.world, body), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        statuses = choices_of(call, "status", ProductStatus)
        if statuses is not None:
            archived = price_configurations.c.archived_at.is_not(None)
            kinds = {ProductStatus.ARCHIVED: archived, ProductStatus.ACTIVE: sa.not_(archived)}
            conditions.append(sa.or_(sa.false(), *(kinds[status] for status in statuses)))
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([configuration_object(*one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        return _answer(await self._registry.read(_require, call.world, call.path("id")))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return _answer(await self._registry.write(self._update, call.world, call.path("id"), body))

    async def put_prices(self, call: Call) -> web.Response:
        body = await read_json(call.request)
        rows = body.get("prices") if isinstance(body, dict) else body
        return _answer(await self._registry.write(put_prices, call.world, call.path("id"), rows, self._clock()))

    async def versions(self, call: Call) -> web.Response:
        found = await self._registry.read(_versions, call.world, call.path("id"))
        return json_response({"data": [version_object(one) for one in found]})

    async def archive(self, call: Call) -> web.Response:
        return _answer(await self._registry.write(self._archive, call.world, call.path("id")))

    async def unarchive(self, call: Call) -> web.Response:
        return _answer(await self._registry.write(self._unarchive, call.world, call.path("id")))

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(_delete, call.world, call.path("id"))
        return web.Response(status=204)

    def _create(self, connection: sa.Connection, world: World, body: dict[str, Any]) -> OfProduct:
        fields = Fields(body)
        product_id = fields.name("product_id", required=True)
        fields.refuse_faults()
        assert product_id is not None
        product = find_product(connection, world, product_id)
        if product is None:
            raise unknown("product_id", "product", product_id)
        one = read_configuration(body, product)
        check_named(connection, world, [one])
        add_configuration(connection, world, product.id, one, self._clock())
        return _require(connection, world, one.id)

    def _update(self, connection: sa.Connection, world: World, identifier: str, body: dict[str, Any]) -> OfProduct:
        current = _require(connection, world, identifier)
        if body.get("product_id") not in (None, current.product_id):
            raise refused(f"product_id: prices stay with product {current.product_id}: create others for another one")
        changed = read_configuration(body, _product_of(connection, world, current), current.configuration)
        check_named(connection, world, [changed])
        change_configuration(connection, current.configuration, changed, self._clock())
        return _require(connection, world, identifier)

    def _archive(self, connection: sa.Connection, world: World, identifier: str) -> OfProduct:
        current = _require(connection, world, identifier)
        if current.configuration.archived_at is None:
            archive_configuration(connection, current.configuration, self._clock())
        return _require(connection, world, identifier)

    def _unarchive(self, connection: sa.Connection, world: World, identifier: str) -> OfProduct:
        current = _require(connection, world, identifier)
        if current.configuration.archived_at is not None:
            on_sale = replace(current.configuration, archived_at=None)
            read_configuration({}, _product_of(connection, world, current), on_sale)
            unarchive_configuration(connection, current, self._clock())
        return _require(connection, world, identifier)


def put_prices(connection: sa.Connection, world: World, identifier: str, rows: Any, now: datetime) -> OfProduct:
    """Give a configuration other price rows, which makes a version of those it had.

    Raises:
        ApiError: 404 for an id that is not there, 400 with every fault of the rows.
    """
    current = _require(connection, world, identifier)
    changed = read_new_prices(rows, _product_of(connection, world, current), current.configuration)
    change_configuration(connection, current.configuration, changed, now)
    return _require(connection, world, identifier)


def _answer(one: OfProduct, status: int = 200) -> web.Response:
    return json_response(configuration_object(*one), status)


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[OfProduct], int]:
    return list_configurations(connection, world, conditions=conditions, take=page.take, skip=page.skip)


def _require(connection: sa.Connection, world: World, identifier: str) -> OfProduct:
    found = find_configuration(connection, world, identifier)
    if found is None:
        raise not_found(f"there is no price configuration {identifier[:80]!r}")
    return found


def _product_of(connection: sa.Connection, world: World, one: OfProduct) -> Product:
    product = find_product(connection, world, one.product_id)
    assert product is not None, "a product is deleted with its configurations"
    return product


def _versions(connection: sa.Connection, world: World, identifier: str) -> list[PriceVersion]:
    return versions_of(connection, _require(connection, world, identifier).configuration)


def _delete(connection: sa.Connection, world: World, identifier: str) -> None:
    one = _require(connection, world, identifier).configuration
    use = use_of_configuration(connection, world, one)
    if use is not None:
        raise conflict(f"price configuration {one.id} is used by {use}: it can be archived, not deleted")
    delete_configuration(connection, one)
