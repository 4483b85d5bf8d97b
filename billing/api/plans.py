"""`/v1/plans`: templates of subscriptions. A plan may have prices of its own, which are price configurations too."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from aiohttp import web

from billing.api.named import check_named, check_price_books
from billing.api.product_objects import configuration_object
from billing.api.services import Services
from billing.api.shapes import NEW_PLAN_BODY, PLAN, PLAN_BODY
from billing.catalog.configurations import add_configuration, archive_configuration, change_configuration
from billing.catalog.model import PriceConfiguration, Product, ProductStatus
from billing.catalog.plans import (
    Plan,
    PlanProduct,
    PlanStatus,
    create_plan,
    delete_plan,
    find_plan,
    list_plans,
    update_plan,
    use_of_plan,
)
from billing.catalog.reading import read_configuration
from billing.catalog.registry import find_product, find_products
from billing.subscriptions.plans import TAKEN_OVER, TERMS, PlanProductAsked, read_plan
from billing.tables import plans
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, conflict, not_found, refused
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.timestamps import format_instant
from metering.world import World

TAG = "Plans"

FILTERS = (
    FilterField("id", plans.c.id, nullable=False),
    FilterField("name", plans.c.name, nullable=False),
    FilterField("status", plans.c.status, nullable=False),
    FilterField("created_at", plans.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", plans.c.updated_at, Kind.INSTANT, nullable=False),
)


class _Found(NamedTuple):
    """A plan, and the products that it names by id."""

    plan: Plan
    products: Mapping[str, Product]


def plan_routes(services: Services) -> list[Route]:
    """Give the routes of plans."""
    api = _Plans(services)
    every, one = "/v1/plans", "/v1/plans/{id}"
    read, write = Scope.READ, Scope.WRITE
    parameters = (*PARAMETERS, *filter_parameters(FILTERS))
    update = "Change the fields that are sent; subscriptions keep what they were made with"
    delete = "Delete a plan that no subscription was made from"
    body, answer = PLAN_BODY, PLAN
    return [
        Route("POST", every, write, api.create, "Create a plan", TAG, 201, body=NEW_PLAN_BODY, answer=answer),
        Route(
            "GET",
            every,
            read,
            api.list,
            "List plans, newest first",
            TAG,
            parameters=parameters,
            answer=page_shape(answer),
        ),
        Route("GET", one, read, api.get, "Get a plan", TAG, answer=answer),
        Route("PUT", one, write, api.update, update, TAG, body=body, answer=answer),
        Route("DELETE", one, write, api.delete, delete, TAG, 204),
        *(
            Route(method, f"{one}/{verb}", write, handler, summary, TAG, answer=answer)
            for verb, handler, summary in (
                ("archive", api.archive, "Start no subscription from a plan any more"),
                ("unarchive", api.unarchive, "Take a plan out of the archive"),
            )
            for method in ("PUT", "POST")
        ),
    ]


class _Plans:
    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return json_response(plan_object(*await self._registry.write(self._create, call.world, body)), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([plan_object(*one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        return json_response(plan_object(*await self._registry.read(_require, call.world, call.path("id"))))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return json_response(plan_object(*await self._registry.write(self._update, call.world, call.path("id"), body)))

    async def archive(self, call: Call) -> web.Response:
        return await self._set_status(call, PlanStatus.ARCHIVED)

    async def unarchive(self, call: Call) -> web.Response:
        return await self._set_status(call, PlanStatus.ACTIVE)

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(self._delete, call.world, call.path("id"))
        return web.Response(status=204)

    async def _set_status(self, call: Call, status: PlanStatus) -> web.Response:
        changed = await self._registry.write(self._change_status, call.world, call.path("id"), status)
        return json_response(plan_object(*changed))

    def _create(self, connection: sa.Connection, world: World, body: Mapping[str, Any]) -> _Found:
        asked = read_plan(body)
        assert asked.name is not None
        plan = create_plan(connection, world, asked.name, asked.details, self._clock())
        self._keep_products(connection, plan, asked.products or [])
        return _require(connection, world, plan.id)

    def _update(self, connection: sa.Connection, world: World, plan_id: str, body: Mapping[str, Any]) -> _Found:
        plan = _require(connection, world, plan_id).plan
        asked = read_plan(body, plan)
        changes = {"details": asked.details} | ({} if asked.name is None else {"name": asked.name})
        changed = update_plan(connection, plan, changes, self._clock())
        if asked.products is not None:
            self._keep_products(connection, changed, asked.products)
        return _require(connection, world, plan_id)

    def _keep_products(self, connection: sa.Connection, plan: Plan, asked: Sequence[PlanProductAsked]) -> None:
        """Put products in the place of those of a plan; prices that it had for others are archived."""
        now = self._clock()
        for index, one in enumerate(asked):
            product = _product(connection, plan.world, one.product_id, index)
            check_price_books(
                connection, plan.world, {one.terms["price_book_id"]} if "price_book_id" in one.terms else ()
            )
            if one.configurations is not None:
                self._keep_prices(connection, plan, product, one.configurations)
        kept = {one.product_id for one in asked}
        dropped = find_products(connection, plan.world, {one.product_id for one in plan.products} - kept)
        for product in dropped.values():
            for configuration in _own_prices(plan, product):
                archive_configuration(connection, configuration, now)
        update_plan(connection, plan, {}, now, [PlanProduct(one.product_id, one.terms) for one in asked])

    def _keep_prices(
        self, connection: sa.Connection, plan: Plan, product: Product, sent: Sequence[Mapping[str, Any]]
    ) -> None:
        now = self._clock()
        current = {one.id: one for one in _own_prices(plan, product)}
        named = {one.get("id") for one in sent if isinstance(one.get("id"), str)}
        for one in current.values():
            if one.id not in named:
                archive_configuration(connection, one, now)
        for body in sent:
            fresh = find_product(connection, plan.world, product.id)
            assert fresh is not None
            known = current.get(str(body.get("id")))
            read = read_configuration(body, fresh, known, plan.id)
            check_named(connection, plan.world, [read])
            if known is None:
                add_configuration(connection, plan.world, product.id, read, now)
            else:
                change_configuration(connection, known, read, now)

    def _change_status(self, connection: sa.Connection, world: World, plan_id: str, status: PlanStatus) -> _Found:
        plan, products = _require(connection, world, plan_id)
        if plan.status is status:
            return _Found(plan, products)
        return _Found(update_plan(connection, plan, {"status": status.value}, self._clock()), products)

    def _delete(self, connection: sa.Connection, world: World, plan_id: str) -> None:
        plan = _require(connection, world, plan_id).plan
        use = use_of_plan(connection, plan)
        if use is not None:
            raise conflict(f"plan {plan.id} is used by {use}: it can be archived, not deleted")
        delete_plan(connection, plan, self._clock())


def plan_object(plan: Plan, products: Mapping[str, Product]) -> dict[str, Any]:
    """Give the plan as it goes out."""
    details = dict.fromkeys(("description", *TAKEN_OVER, "properties", "custom_properties"))
    return {
        "id": plan.id,
        "name": plan.name,
        "status": plan.status.value,
        **details,
        **plan.details,
        "products": [_product_object(plan, one, products[one.product_id]) for one in plan.products],
        "created_at": format_instant(plan.created_at),
        "updated_at": format_instant(plan.updated_at),
    }


def _product_object(plan: Plan, one: PlanProduct, product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": product.name,
        "type": product.type.value,
        **dict.fromkeys(TERMS),
        **one.terms,
        "price_configurations": [configuration_object(product.id, own) for own in _own_prices(plan, product)],
    }


def _own_prices(plan: Plan, product: Product) -> list[PriceConfiguration]:
    return [one for one in product.configurations if one.plan_id == plan.id]


def _product(connection: sa.Connection, world: World, product_id: str, index: int) -> Product:
    product = find_product(connection, world, product_id)
    if product is None:
        message = f"products[{index}].id: there is no product {product_id[:80]!r}: create it, or send another id"
        raise ApiError(404, message, [Fault("unknown", ("products", index, "id"), message)])
    if product.status is ProductStatus.ARCHIVED:
        raise refused(f"products[{index}].id: product {product.id} is archived and sold no more: unarchive it first")
    return product


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[_Found], int]:
    found, total = list_plans(connection, world, conditions=conditions, take=page.take, skip=page.skip)
    named = find_products(connection, world, {one.product_id for plan in found for one in plan.products})
    return [_Found(plan, named) for plan in found], total


def _require(connection: sa.Connection, world: World, plan_id: str) -> _Found:
    plan = find_plan(connection, world, plan_id)
    if plan is None:
        raise not_found(f"there is no plan {plan_id[:80]!r}")
    return _Found(plan, find_products(connection, world, {one.product_id for one in plan.products}))
