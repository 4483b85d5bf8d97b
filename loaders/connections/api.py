"""`/v1/connections`: how an account's databases are reached.

To create, change or delete one takes the scope `admin`: whoever may say where we connect to, with which password, may
do more than write. Secrets never come back.
"""

from aiohttp import web

from loaders.connections.fields import CONNECTION, CONNECTION_BODY, NEW_CONNECTION_BODY, connection_object
from loaders.connections.keeping import ConnectionKeeper
from loaders.connections.tables import connections
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, page_of, paged
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape

TAG = "Connections"

FILTERS = (
    FilterField("id", connections.c.id, nullable=False),
    FilterField("name", connections.c.name, nullable=False),
    FilterField("provider", connections.c.provider, nullable=False),
    FilterField("pinged_at", connections.c.pinged_at, Kind.INSTANT),
    FilterField("created_at", connections.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", connections.c.updated_at, Kind.INSTANT, nullable=False),
)


def connection_routes(keeper: ConnectionKeeper) -> list[Route]:
    """Give the routes of connections."""
    api = _Connections(keeper)
    every, one = "/v1/connections", "/v1/connections/{id}"
    create = "Connect a database: it is saved once it answered"
    update = "Change the fields that are sent: another address is saved once it answered"
    pinged, refusals = "Connect again, and keep what was found", (400, 401, 403, 404, 409, 417, 422, 429, 503)
    return [
        Route(
            "POST",
            every,
            Scope.ADMIN,
            api.create,
            create,
            TAG,
            201,
            body=NEW_CONNECTION_BODY,
            answer=CONNECTION,
            secret_body=True,
        ),
        Route(
            "GET",
            every,
            Scope.READ,
            api.list,
            "List connections, newest first",
            TAG,
            parameters=(*PARAMETERS, *filter_parameters(FILTERS)),
            answer=page_shape(CONNECTION),
        ),
        Route("GET", one, Scope.READ, api.get, "Get a connection", TAG, answer=CONNECTION),
        Route(
            "PUT",
            one,
            Scope.ADMIN,
            api.update,
            update,
            TAG,
            body=CONNECTION_BODY,
            answer=CONNECTION,
            secret_body=True,
        ),
        Route("DELETE", one, Scope.ADMIN, api.delete, "Delete a connection that no dataloader uses", TAG, 204),
        Route("POST", one + "/ping", Scope.WRITE, api.ping, pinged, TAG, answer=CONNECTION, failures=refusals),
    ]


class _Connections:
    def __init__(self, keeper: ConnectionKeeper) -> None:
        self._keeper = keeper

    async def create(self, call: Call) -> web.Response:
        made = await self._keeper.create(call.world, await read_object(call.request))
        return json_response(connection_object(made), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._keeper.list(call.world, conditions=conditions, take=page.take, skip=page.skip)
        return json_response(paged([connection_object(one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        return json_response(connection_object(await self._keeper.find(call.world, call.path("id"))))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        return json_response(connection_object(await self._keeper.update(call.world, call.path("id"), body)))

    async def ping(self, call: Call) -> web.Response:
        return json_response(connection_object(await self._keeper.ping(call.world, call.path("id"))))

    async def delete(self, call: Call) -> web.Response:
        await self._keeper.delete(call.world, call.path("id"))
        return web.Response(status=204)
