"""`/v1/dataloaders`: queries whose rows become events, and their runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from loaders.dataloaders.fields import (
    DATALOADER,
    DATALOADER_BODY,
    NEW_DATALOADER_BODY,
    REJECTED_LISTED_MAX,
    RUN,
    RUN_BEGUN,
    RUN_BODY,
    dataloader_object,
    read_dataloader,
    run_object,
)
from loaders.dataloaders.model import Dataloader, Run, Trigger
from loaders.dataloaders.preview import PREVIEW, PREVIEW_BODY, Previews, preview_object, read_preview
from loaders.dataloaders.queries import check_query
from loaders.dataloaders.registry import (
    DATALOADERS_MAX,
    create_dataloader,
    delete_dataloader,
    find_dataloader,
    has_room,
    list_dataloaders,
    provider_of,
    update_dataloader,
)
from loaders.dataloaders.runs import begin_run, find_run, list_runs
from loaders.dataloaders.tables import dataloader_runs, dataloaders
from loaders.provider import Provider
from metering.http.app import json_response
from metering.http.fields import Fields
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import ApiError, Fault, conflict, not_found
from metering.http.reading import BODY, read_body, read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.registry.engine import Registry
from metering.world import World

TAG = "Dataloaders"

FILTERS = (
    FilterField("id", dataloaders.c.id, nullable=False),
    FilterField("name", dataloaders.c.name),
    FilterField("connection_id", dataloaders.c.connection_id, nullable=False),
    FilterField("event_type", dataloaders.c.event_type, nullable=False),
    FilterField("status", dataloaders.c.status, nullable=False),
    FilterField("created_at", dataloaders.c.created_at, Kind.INSTANT, nullable=False),
    FilterField("updated_at", dataloaders.c.updated_at, Kind.INSTANT, nullable=False),
)
RUN_FILTERS = (
    FilterField("id", dataloader_runs.c.id, nullable=False),
    FilterField("status", dataloader_runs.c.status, nullable=False),
    FilterField("trigger", dataloader_runs.c.trigger, nullable=False),
    FilterField("created_at", dataloader_runs.c.created_at, Kind.INSTANT, nullable=False),
)


@dataclass(frozen=True, slots=True)
class DataloaderServices:
    """What the handlers stand on. `clock` gives aware date-times."""

    registry: Registry
    previews: Previews
    clock: Callable[[], datetime]


def dataloader_routes(services: DataloaderServices) -> Sequence[Route]:
    """Give the routes."""
    api = _Dataloaders(services)
    every, one = "/v1/dataloaders", "/v1/dataloaders/{id}"
    runs = one + "/runs"
    read, write = Scope.READ, Scope.WRITE
    return [
        Route(
            "POST",
            every,
            write,
            api.create,
            "Create a dataloader; by an interval it runs at once for the first time",
            TAG,
            201,
            body=NEW_DATALOADER_BODY,
            answer=DATALOADER,
        ),
        Route(
            "GET",
            every,
            read,
            api.list,
            "List dataloaders, newest first",
            TAG,
            parameters=(*PARAMETERS, *filter_parameters(FILTERS)),
            answer=page_shape(DATALOADER),
        ),
        Route(
            "POST",
            every + "/preview",
            write,
            api.preview,
            "Run a query for its first rows: the columns found, and what is missing",
            TAG,
            body=PREVIEW_BODY,
            answer=PREVIEW,
        ),
        Route("GET", one, read, api.get, "Get a dataloader", TAG, answer=DATALOADER),
        Route(
            "PUT",
            one,
            write,
            api.update,
            "Change the fields that are sent; after another connection or cursor the next run reads from the start",
            TAG,
            body=DATALOADER_BODY,
            answer=DATALOADER,
        ),
        Route("DELETE", one, write, api.delete, "Delete a dataloader, ending its run; its events stay", TAG, 204),
        Route(
            "POST",
            one + "/run",
            write,
            api.run,
            "Run a dataloader now, a paused one too; 409 while a run of it is unfinished",
            TAG,
            202,
            body=RUN_BODY,
            answer=RUN_BEGUN,
        ),
        Route(
            "GET",
            runs,
            read,
            api.runs,
            "The runs of a dataloader that are kept, newest first",
            TAG,
            parameters=(*PARAMETERS, *filter_parameters(RUN_FILTERS)),
            answer=page_shape(RUN),
        ),
        Route(
            "GET",
            runs + "/{run_id}",
            read,
            api.get_run,
            "How far a run is, and which rows it rejected",
            TAG,
            answer=RUN,
        ),
    ]


def require_dataloader(connection: sa.Connection, world: World, dataloader_id: str) -> Dataloader:
    """Give the dataloader that a path names.

    Raises:
        ApiError: 404.
    """
    found = find_dataloader(connection, world, dataloader_id)
    if found is None:
        raise not_found(f"there is no dataloader {dataloader_id[:80]!r}")
    return found


def require_provider(connection: sa.Connection, world: World, connection_id: str) -> Provider:
    """Give the kind of the connection that a body names.

    Raises:
        ApiError: 404.
    """
    found = provider_of(connection, world, connection_id)
    if found is None:
        message = f"connection_id: there is no connection {connection_id[:80]!r}: create it first, or send another id"
        raise ApiError(404, message, [Fault("unknown", ("connection_id",), message)])
    return found


class _Dataloaders:
    def __init__(self, services: DataloaderServices) -> None:
        self._registry = services.registry
        self._previews = services.previews
        self._clock = services.clock

    async def create(self, call: Call) -> web.Response:
        values = read_dataloader(await read_object(call.request), self._clock())
        made = await self._registry.write(create, call.world, values, self._clock())
        return json_response(dataloader_object(made), 201)

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        found, total = await self._registry.read(_page, call.world, conditions, page)
        return json_response(paged([dataloader_object(one) for one in found], total, page))

    async def get(self, call: Call) -> web.Response:
        found = await self._registry.read(require_dataloader, call.world, call.path("id"))
        return json_response(dataloader_object(found))

    async def update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        changed = await self._registry.write(change, call.world, call.path("id"), body, self._clock())
        return json_response(dataloader_object(changed))

    async def delete(self, call: Call) -> web.Response:
        await self._registry.write(forget, call.world, call.path("id"))
        return web.Response(status=204)

    async def preview(self, call: Call) -> web.Response:
        asked = read_preview(await read_object(call.request))
        provider = await self._registry.read(require_provider, call.world, asked.connection_id)
        check_query(provider, asked.query)
        return json_response(preview_object(await self._previews.preview(call.world, asked)))

    async def run(self, call: Call) -> web.Response:
        call.request[BODY] = await read_body(call.request)  # Who reads it again, finds it there.
        fields = Fields(await read_object(call.request) if call.request[BODY] else {})
        from_start = bool(fields.boolean("from_start"))
        fields.refuse_faults()
        run = await self._registry.write(begin, call.world, call.path("id"), from_start, self._clock())
        return json_response({"id": run.id, "status": run.status.value}, 202)

    async def runs(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, RUN_FILTERS)
        found, total = await self._registry.read(_runs, call.world, call.path("id"), conditions, page)
        return json_response(paged([run_object(one, REJECTED_LISTED_MAX) for one in found], total, page))

    async def get_run(self, call: Call) -> web.Response:
        run = await self._registry.read(_run, call.world, call.path("id"), call.path("run_id"))
        return json_response(run_object(run))


def create(connection: sa.Connection, world: World, values: Mapping[str, Any], now: datetime) -> Dataloader:
    """Create a dataloader of what a body says.

    Raises:
        ApiError: 404 for a connection that is not there, 409 when there are too many, 422 for its query.
    """
    check_query(require_provider(connection, world, values["connection_id"]), values["query"])
    if not has_room(connection, world):
        raise conflict(f"there are {DATALOADERS_MAX} dataloaders, and no more may be: delete some")
    return create_dataloader(connection, world, values, now)


def change(
    connection: sa.Connection, world: World, dataloader_id: str, body: Mapping[str, Any], now: datetime
) -> Dataloader:
    """Change a dataloader as a body says.

    Raises:
        ApiError: as `create`, 404 when there is none, and 400 with every fault.
    """
    dataloader = require_dataloader(connection, world, dataloader_id)
    values = read_dataloader(body, now, dataloader)
    if values.keys() & {"connection_id", "query"}:
        provider = require_provider(connection, world, values.get("connection_id", dataloader.connection_id))
        check_query(provider, values.get("query", dataloader.query))
    return update_dataloader(connection, dataloader, values, now)


def forget(connection: sa.Connection, world: World, dataloader_id: str) -> None:
    """Delete a dataloader.

    Raises:
        ApiError: 404.
    """
    delete_dataloader(connection, require_dataloader(connection, world, dataloader_id))


def begin(connection: sa.Connection, world: World, dataloader_id: str, from_start: bool, now: datetime) -> Run:
    """Begin a run because somebody wants it.

    Raises:
        ApiError: 404, or 409 while one is unfinished.
    """
    dataloader = require_dataloader(connection, world, dataloader_id)
    run = begin_run(connection, dataloader, Trigger.MANUAL, now, from_start=from_start)
    if run is None:
        raise conflict(f"a run of dataloader {dataloader.id} is unfinished: wait for its end, or pause the dataloader")
    return run


def _page(
    connection: sa.Connection, world: World, conditions: list[sa.ColumnElement[bool]], page: Page
) -> tuple[list[Dataloader], int]:
    return list_dataloaders(connection, world, conditions=conditions, take=page.take, skip=page.skip)


def _runs(
    connection: sa.Connection,
    world: World,
    dataloader_id: str,
    conditions: list[sa.ColumnElement[bool]],
    page: Page,
) -> tuple[list[Run], int]:
    dataloader = require_dataloader(connection, world, dataloader_id)
    return list_runs(connection, world, dataloader.id, conditions=conditions, take=page.take, skip=page.skip)


def _run(connection: sa.Connection, world: World, dataloader_id: str, run_id: str) -> Run:
    dataloader = require_dataloader(connection, world, dataloader_id)
    found = find_run(connection, world, dataloader.id, run_id)
    if found is None:
        raise not_found(f"dataloader {dataloader.id} has no run {run_id[:80]!r}: the last 100 are kept")
    return found
