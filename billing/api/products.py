"""`/v1/products`: what is sold and for how much."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from billing.api.named import check_named
from billing.api.product_objects import product_object
from billing.api.services import Services
from billing.api.shapes import NEW_PRODUCT_BODY, PRODUCT, PRODUCT_BODY
from billing.catalog.credits import credit_aggregators
from billing.catalog.model import Product, ProductStatus, ProductType
from billing.catalog.reading import ProductFields, read_product
from billing.catalog.registry import (
    create_product,
    delete_product,
    find_product,
    list_products,
    update_product,
)
from billing.catalog.use import use_of_product
from billing.tables import products
from metering.aggregation import Operation
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, conflict, not_found, refused
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.registry.aggregators import StoredAggregator, create_aggregator, find_aggregator
from metering.world import World

TAG = "Products"

FILTERS = (
    FilterField("id", products.c.id, nullable=False),
    FilterField("name", products.c.name, nullable=False),
    FilterField("type", products.c.type, nullable=False),
    FilterField("status", products.c.status, nullable=False),
    FilterField("aggregator_id", products.c.aggregator_id),
    FilterField("created_at", products.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", products.c.updated_at, Kind.INSTANT, nullable=False),
)

_Found = tuple[Product, StoredAggregator | None]


def product_routes(services: Services) -> list[Route]:
    """Give the routes of products and price configurations."""
    api = _Products(services)
    every, one = "/v1/products", "/v1/products/{id}"
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, *filter_parameters(FILTERS))
    listing = "List products, newest first"
    update = "Change the fields that are sent; subscriptions keep the prices they were made with"
    return [
        Route("POST", every, write, api.create, "Create a product", TAG, 201, body=NEW_PRODUCT_BODY, answer=PRODUCT),
        Route("GET", every, read, api.list, listing, TAG, parameters=parameters, answer=page_shape(PRODUCT)),
        Route("GET", one, read, api.get, "Get a product", TAG, answer=PRODUCT),
        Route("PUT", one, write, api.update, update, TAG, body=PRODUCT_BODY, answer=PRODUCT),
        *(
            Route(method, f"{one}/{verb}", write, handler, summary, TAG, answer=PRODUCT)
            for verb, handler, summary in (
                ("archive", api.archive, "Sell a product no more; whoever has it keeps it"),
                ("unarchive", api.unarchive, "Take a product out of the archive"),
            )
            for method in ("PUT", "POST")
        ),
        Route("DELETE", one, write, api.delete, "Delete a product that no subscription and no plan has", TAG, 204),
    ]


class _Products:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        asked = read_product(await read_object(call.request))
        return json_response(
            product_object(*await self._registry.write(make_product, call.world, asked, self._clock(), call.key_id)),
            201,
        )

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([product_object(*one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        return json_response(product_object(*await self._registry.read(_require, call.world, call.path("id"))))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        changed = await self._registry.write(
            partial(change_product, by=call.key_id), call.world, call.path("id"), body, self._clock()
        )
        return json_response(product_object(*changed))

    async def archive(self, call: Call) -> web.Response:
        return await self._set_status(call, ProductStatus.ARCHIVED)

    async def unarchive(self, call: Call) -> web.Response:
        return await self._set_status(call, ProductStatus.ACTIVE)

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(self._delete, call.world, call.path("id"))
        return web.Response(status=204)

    async def _set_status(self, call: Call, status: ProductStatus) -> web.Response:
        changed = await self._registry.write(self._change_status, call.world, call.path("id"), status)
        return json_response(product_object(*changed))

    def _change_status(self, connection: sa.Connection, world: World, product_id: str, status: ProductStatus) -> _Found:
        product, aggregator = _require(connection, world, product_id)
        if product.status is status:
            return product, aggregator
        return update_product(connection, product, {"status": status.value}, self._clock()), aggregator

    def _delete(self, connection: sa.Connection, world: World, product_id: str) -> None:
        product, _ = _require(connection, world, product_id)
        use = use_of_product(connection, product)
        if use is not None:
            raise conflict(f"product {product.id} is used by {use}: it can be archived, not deleted")
        delete_product(connection, product)


def make_product(
    connection: sa.Connection, world: World, asked: ProductFields, now: datetime, by: str | None
) -> _Found:
    """Keep a new product as it was read. `by` is the id of the key that asks.

    Raises:
        ApiError: 404 for what it names and is not there.
    """
    aggregator = _aggregator_asked(connection, world, asked, now, by)
    _require_count(asked.type, aggregator)
    check_named(connection, world, asked.configurations or ())
    values = {
        "name": asked.name,
        "type": asked.type.value,
        "aggregator_id": aggregator.id if aggregator else None,
        "details": asked.details,
    }
    _require_credit_aggregators(connection, world, asked)
    return create_product(connection, world, values, asked.configurations or [], now), aggregator


def change_product(
    connection: sa.Connection, world: World, product_id: str, body: Mapping[str, Any], now: datetime, *, by: str | None
) -> _Found:
    """Change what a request says of a product. `by` is the id of the key that asks.

    Raises:
        ApiError: as `read_product`; 404 for the product, and for what it names and is not there.
    """
    product, current = _require(connection, world, product_id)
    asked = read_product(body, product)
    aggregator = _aggregator_asked(connection, world, asked, now, by) or current
    _require_count(product.type, aggregator)
    _require_credit_aggregators(connection, world, asked)
    check_named(connection, world, asked.configurations or ())
    changes: dict[str, Any] = {"details": asked.details, "aggregator_id": aggregator.id if aggregator else None}
    if asked.name is not None:
        changes["name"] = asked.name
    return update_product(connection, product, changes, now, asked.configurations), aggregator


def _aggregator_asked(
    connection: sa.Connection, world: World, asked: ProductFields, now: datetime, by: str | None
) -> StoredAggregator | None:
    if asked.aggregator is not None:
        return create_aggregator(connection, world, asked.aggregator, now, by)
    if asked.aggregator_id is None:
        return None
    found = find_aggregator(connection, world, asked.aggregator_id)
    if found is None:
        message = f"aggregator_id: there is no aggregator {asked.aggregator_id[:80]!r}: create it first"
        raise ApiError(404, message, [Fault("unknown", ("aggregator_id",), message)])
    return found


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[_Found], int]:
    found, total = list_products(connection, world, conditions=conditions, take=page.take, skip=page.skip)
    return [(product, _aggregator_of(connection, product)) for product in found], total


def _require_count(kind: ProductType, aggregator: StoredAggregator | None) -> None:
    """Refuse to count seats by anything but a count: they are whole, and there all the time."""
    if kind is ProductType.SEAT and aggregator is not None and aggregator.operation is not Operation.COUNT:
        message = f"aggregator_id: seats are counted by an aggregator of the operation count, and {aggregator.id} is a"
        raise refused(f"{message} {aggregator.operation.value}: send another one")


def _require_credit_aggregators(connection: sa.Connection, world: World, asked: ProductFields) -> None:
    if asked.type is not ProductType.CREDIT:
        return
    for index, one in enumerate(credit_aggregators(asked.details)):
        if find_aggregator(connection, world, one.aggregator_id) is None:
            message = f"credit_aggregators[{index}]: there is no aggregator {one.aggregator_id[:80]!r}: create it first"
            path = ("credit_aggregators", index, "aggregator_id")
            raise ApiError(404, message, [Fault("unknown", path, message)])


def _require(connection: sa.Connection, world: World, product_id: str) -> _Found:
    product = find_product(connection, world, product_id)
    if product is None:
        raise not_found(f"there is no product {product_id[:80]!r}")
    return product, _aggregator_of(connection, product)


def _aggregator_of(connection: sa.Connection, product: Product) -> StoredAggregator | None:
    return None if product.aggregator_id is None else find_aggregator(connection, product.world, product.aggregator_id)
