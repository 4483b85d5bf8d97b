"""`/v1/aggregators`: what is counted, and how."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from metering.api.aggregator_fields import (
    AGGREGATOR,
    AGGREGATOR_BODY,
    AGGREGATOR_VERSION,
    NEW_AGGREGATOR_BODY,
    aggregator_object,
    read_aggregator,
    version_object,
)
from metering.api.services import Services
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import conflict, not_found
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.registry.aggregators import (
    StoredAggregator,
    create_aggregator,
    delete_aggregator,
    find_aggregator,
    list_aggregators,
    update_aggregator,
)
from metering.registry.definitions import Definition, list_definitions
from metering.registry.tables import aggregators
from metering.world import World

TAG = "Aggregators"

FILTERS = (
    FilterField("id", aggregators.c.id, nullable=False),
    FilterField("name", aggregators.c.name, nullable=False),
    FilterField("entity", aggregators.c.entity, nullable=False),
    FilterField("operation", aggregators.c.operation, nullable=False),
    FilterField("property", aggregators.c.property),
    FilterField("unit_name", aggregators.c.unit_name),
    FilterField("status", aggregators.c.status, nullable=False),
    FilterField("created_at", aggregators.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", aggregators.c.updated_at, Kind.INSTANT, nullable=False),
)


def aggregator_routes(services: Services) -> list[Route]:
    """Give the routes of aggregators."""
    api = _Aggregators(services)
    every, one = "/v1/aggregators", "/v1/aggregators/{id}"
    read, write = Scope.READ, Scope.WRITE
    return [
        Route(
            "POST",
            every,
            write,
            api.create,
            "Create an aggregator",
            TAG,
            201,
            body=NEW_AGGREGATOR_BODY,
            answer=AGGREGATOR,
        ),
        Route(
            "GET",
            every,
            read,
            api.list,
            "List aggregators, newest first",
            TAG,
            parameters=(*PARAMETERS, *filter_parameters(FILTERS)),
            answer=page_shape(AGGREGATOR),
        ),
        Route("GET", one, read, api.get, "Get an aggregator", TAG, answer=AGGREGATOR),
        Route(
            "PUT",
            one,
            write,
            api.update,
            "Change the fields that are sent: a new version; figures as of before keep the one that was in force then",
            TAG,
            body=AGGREGATOR_BODY,
            answer=AGGREGATOR,
        ),
        Route(
            "GET",
            one + "/versions",
            read,
            api.versions,
            "Every definition an aggregator has had, newest first; who changed it, and when",
            TAG,
            parameters=PARAMETERS,
            answer=page_shape(AGGREGATOR_VERSION),
        ),
        Route("DELETE", one, write, api.delete, "Delete an aggregator that no product uses", TAG, 204),
    ]


def require_aggregator(connection: sa.Connection, world: World, aggregator_id: str) -> StoredAggregator:
    """Give the aggregator that a path names.

    Raises:
        ApiError: 404.
    """
    found = find_aggregator(connection, world, aggregator_id)
    if found is None:
        raise not_found(f"there is no aggregator {aggregator_id[:80]!r}")
    return found


class _Aggregators:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = services.registry

    async def create(self, call: Call) -> web.Response:
        values = read_aggregator(await read_object(call.request))
        made = await self._registry.write(create_aggregator, call.world, values, self._services.clock(), call.key_id)
        return json_response(aggregator_object(made), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([aggregator_object(aggregator) for aggregator in found], total, page))

    async def get(self, call: Call) -> web.Response:
        found = await self._registry.read(require_aggregator, call.world, call.path("id"))
        return json_response(aggregator_object(found))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        changed = await self._registry.write(self._update, call.world, call.path("id"), body, call.key_id)
        return json_response(aggregator_object(changed))

    async def versions(self, call: Call) -> web.Response:
        page = page_of(call)
        found, total = await self._registry.read(_versions, call.world, call.path("id"), page)
        return json_response(paged([version_object(one) for one in found], total, page))

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(self._delete, call.world, call.path("id"))
        return web.Response(status=204)

    def _update(
        self, connection: sa.Connection, world: World, aggregator_id: str, body: Mapping[str, Any], by: str | None
    ) -> StoredAggregator:
        aggregator = require_aggregator(connection, world, aggregator_id)
        return update_aggregator(connection, aggregator, read_aggregator(body, aggregator), self._services.clock(), by)

    def _delete(self, connection: sa.Connection, world: World, aggregator_id: str) -> None:
        aggregator = require_aggregator(connection, world, aggregator_id)
        use = self._services.aggregator_use.use_of_aggregator(connection, aggregator)
        if use is not None:
            raise conflict(f"aggregator {aggregator.id} is used by {use}: it can be archived, not deleted")
        delete_aggregator(connection, aggregator)


def _versions(connection: sa.Connection, world: World, aggregator_id: str, page: Page) -> tuple[list[Definition], int]:
    aggregator = require_aggregator(connection, world, aggregator_id)
    return list_definitions(connection, aggregator, take=page.take, skip=page.skip)


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[StoredAggregator], int]:
    return list_aggregators(connection, world, conditions=conditions, take=page.take, skip=page.skip)
