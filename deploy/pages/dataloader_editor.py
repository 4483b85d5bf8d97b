"""The editor of a dataloader: a connection, a query with a preview of its first rows, and when it runs.

What is sent is read by the readers of the API. What they refuse is shown beside the field, with all that was typed;
nothing is kept before `save`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from aiohttp import web

from deploy.pages.connections import SECTION
from deploy.pages.dataloaders import INTERVALS
from deploy.pages.price_form import Beside, as_number, beside
from deploy.pages.sent_form import read_own_form, require_write
from deploy.pages.serving import Visit, see_other
from loaders.connections.keeping import CONNECTIONS_MAX
from loaders.connections.registry import StoredConnection, list_connections
from loaders.dataloaders.api import change, create, require_dataloader, require_provider
from loaders.dataloaders.fields import read_dataloader
from loaders.dataloaders.model import Dataloader
from loaders.dataloaders.preview import preview_object, read_preview
from loaders.dataloaders.queries import check_query
from loaders.provider import Provider
from loaders.source import CUSTOMER_NAME_COLUMN, REQUIRED_COLUMNS
from metering.http.problem import ApiError
from metering.world import World

_FIELDS = ("connection_id", "name", "event_type", "query", "schedule", "cron", "cursor_column", "cursor_start")
_NEW = {**dict.fromkeys(_FIELDS, ""), "schedule": "1h"}
_ROLES = {
    "id": "tells rows apart",
    "customerId": "whose usage it is",
    "timestamp": "when it was",
    CUSTOMER_NAME_COLUMN: "names a new customer",
}
_RENAMED = {"refresh_interval": "schedule"}

EXAMPLES: Mapping[Provider, str] = {
    Provider.POSTGRES: 'SELECT id, company_id AS "customerId", created_at AS timestamp, tokens\nFROM api_calls',
    Provider.MYSQL: "SELECT id, company_id AS customerId, created_at AS timestamp, tokens\nFROM api_calls",
    Provider.MONGODB: (
        '{\n  "collection": "api_calls",\n  "filter": {},\n'
        '  "projection": {"id": "$_id", "customerId": "$company", "timestamp": "$createdAt", "tokens": 1}\n}'
    ),
    Provider.BIGQUERY: "SELECT id, company_id AS customerId, created_at AS timestamp, tokens\nFROM billing.api_calls",
    Provider.SNOWFLAKE: (
        'SELECT id AS "id", company_id AS "customerId", created_at AS "timestamp", tokens AS "tokens"\nFROM api_calls'
    ),
}


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column that came, and what it is taken for."""

    name: str
    type: str
    role: str


@dataclass(frozen=True, slots=True)
class ShownPreview:
    """What a query gave. `cells` are rows of texts, None for null; `advice` says how to name what is missing."""

    columns: Sequence[ShownColumn]
    missing: Sequence[str]
    advice: Sequence[str]
    cells: Sequence[Sequence[str | None]]
    rejected: Sequence[Mapping[str, Any]]


async def new_dataloader(visit: Visit) -> web.Response:
    """Make a dataloader."""
    require_write(visit)
    if visit.request.method != "POST":
        return await _form(visit, {**_NEW, "connection_id": visit.query("connection") or ""}, None)
    return await _sent(visit, None)


async def edit_dataloader(visit: Visit) -> web.Response:
    """Change a dataloader."""
    require_write(visit)
    loader = await visit.services.registry.read(require_dataloader, visit.world, visit.request.match_info["id"])
    if visit.request.method != "POST":
        return await _form(visit, _kept(loader), loader)
    return await _sent(visit, loader)


async def _sent(visit: Visit, loader: Dataloader | None) -> web.Response:
    sent = await read_own_form(visit)
    typed = {name: sent.get(name, "").replace("\r\n", "\n") for name in _FIELDS}
    services = visit.services
    if sent.get("do") != "save":
        try:
            return await _form(visit, typed, loader, preview=await _preview(visit, typed))
        except ApiError as error:
            return await _form(visit, typed, loader, error=error)
    try:
        if loader is None:
            values = read_dataloader(_document(typed, {}), services.clock())
            saved = await services.registry.write(create, visit.world, values, services.clock())
        else:
            body = _document(typed, _ALL_NULL)
            saved = await services.registry.write(change, visit.world, loader.id, body, services.clock())
    except ApiError as error:
        return await _form(visit, typed, loader, error=error)
    return see_other(f"{SECTION}/{quote(saved.id, safe='')}")


async def _preview(visit: Visit, typed: Mapping[str, str]) -> ShownPreview:
    document = {name: typed[name] for name in ("connection_id", "query") if typed[name]}
    start = _cursor_start(typed)
    asked = read_preview({**document, **({} if start is None else {"cursor_start": start})})
    services = visit.services
    provider = await services.registry.read(require_provider, visit.world, asked.connection_id)
    check_query(provider, asked.query)
    return _shown(preview_object(await services.dataloaders.previews.preview(visit.world, asked)))


_ALL_NULL: Mapping[str, None] = dict.fromkeys(("name", "refresh_interval", "cron", "cursor_column", "cursor_start"))
"""A field of the form that was emptied is emptied."""


def _document(typed: Mapping[str, str], base: Mapping[str, Any]) -> dict[str, Any]:
    """Give the request as the API takes it."""
    given: dict[str, Any] = {
        name: typed[name] for name in ("connection_id", "name", "event_type", "query", "cursor_column") if typed[name]
    }
    start = _cursor_start(typed)
    if start is not None:
        given["cursor_start"] = start
    if typed["schedule"] == "cron":
        given["cron"] = typed["cron"]
    elif typed["schedule"]:
        given["refresh_interval"] = typed["schedule"]
    return {**base, **given}


def _cursor_start(typed: Mapping[str, str]) -> Any:
    return as_number(typed["cursor_start"]) if typed["cursor_start"] else None


def _kept(loader: Dataloader) -> dict[str, str]:
    schedule = "cron" if loader.cron is not None else loader.refresh_interval or ""
    plain = {name: getattr(loader, name) for name in _FIELDS if name != "schedule"}
    return {**{name: "" if value is None else str(value) for name, value in plain.items()}, "schedule": schedule}


def _shown(found: Mapping[str, Any]) -> ShownPreview:
    names = [column["name"] for column in found["columns"]]
    return ShownPreview(
        [ShownColumn(column["name"], column["type"], _role(column["name"])) for column in found["columns"]],
        found["missing"],
        found["advice"],
        [[_cell(row.get(name)) for name in names] for row in found["rows"]],
        found["rejected"],
    )


def _role(name: str) -> str:
    if name == CUSTOMER_NAME_COLUMN:
        return "names a new customer"
    return {"id": "tells rows apart", "customerId": "whose usage it is", "timestamp": "when it was"}.get(
        name, "property"
    )


def _cell(value: Any) -> str | None:
    if isinstance(value, msgspec.Raw):
        text = bytes(value).decode()
        value = json.loads(text) if text.startswith('"') else None if text == "null" else text
    return None if value is None else str(value)


async def _form(
    visit: Visit,
    typed: Mapping[str, str],
    loader: Dataloader | None,
    *,
    error: ApiError | None = None,
    preview: ShownPreview | None = None,
) -> web.Response:
    connections = await visit.services.registry.read(_connections, visit.world)
    chosen = next((one for one in connections if one.id == typed["connection_id"]), None) or next(
        iter(connections), None
    )
    context = {
        "title": "Edit dataloader" if loader else "New dataloader",
        "current": SECTION,
        "loader": loader,
        "connections": connections,
        "provider": None if chosen is None else chosen.provider.value,
        "example": EXAMPLES[Provider.POSTGRES if chosen is None else chosen.provider],
        "fields": typed,
        "schedules": [*INTERVALS.items(), ("cron", "by the cron expression"), ("", "only when told to")],
        "required": REQUIRED_COLUMNS,
        "wrong": Beside() if error is None else beside(error.faults, error.message, set(_FIELDS), _RENAMED),
        "preview": preview,
    }
    return visit.render("dataloader_editor.html", context, error.status if error else 200)


def _connections(connection: sa.Connection, world: World) -> Sequence[StoredConnection]:
    return list_connections(connection, world, conditions=(), take=CONNECTIONS_MAX, skip=0)[0]
