"""`GET /v1/webhooks/messages`: what happened, newest first, each fact once.

The documented call gives the messages of the last 90 days, and with an iterator those of the 90 days before it;
`before` and `after` name other bounds.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from aiohttp import web

from metering.api.services import Services
from metering.http.app import json_response
from metering.http.filtering import FilterField, Kind, filter_parameters, filters_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import invalid_field
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import ANY_OBJECT, INSTANT, TEXT, described, object_of
from metering.http.shapes import page_of as page_shape
from metering.registry.outbox import Message, find_message, list_messages
from metering.registry.tables import outbox
from metering.timestamps import EPOCH, TimestampError, format_instant, parse_iso
from metering.world import World

TAG = "Webhooks"
SHOWN = timedelta(days=90)

FILTERS = (
    FilterField("id", outbox.c.id, nullable=False),
    FilterField("event_type", outbox.c.event_type, nullable=False),
    FilterField("created_at", outbox.c.created_at, Kind.INSTANT, nullable=False),
)
_BOUNDS = (
    Parameter("iterator", "The id of a message: only older ones are given."),
    Parameter("before", "Only messages before this instant.", INSTANT),
    Parameter("after", "Only messages at or after this instant; 90 days before the newest when absent.", INSTANT),
)
MESSAGE = object_of(
    {
        "id": TEXT,
        "event_type": described(TEXT, "Such as `usage.threshold_crossed`."),
        "data": ANY_OBJECT,
        "created_at": INSTANT,
    },
    title="WebhookMessage",
)


def message_routes(services: Services) -> list[Route]:
    """Give the route of messages."""
    api = _Messages(services)
    return [
        Route(
            "GET",
            "/v1/webhooks/messages",
            Scope.READ,
            api.list,
            "What happened, newest first; the last 90 days unless bounds are given",
            TAG,
            parameters=(*PARAMETERS, *_BOUNDS, *filter_parameters(FILTERS)),
            answer=page_shape(MESSAGE),
        )
    ]


class _Messages:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, call: Call) -> web.Response:
        page, conditions = page_of(call), filters_of(call, FILTERS)
        before, after = _instant(call, "before"), _instant(call, "after")
        bounds = (call.query("iterator"), before, after, self._services.clock())
        found, total = await self._services.registry.read(_page, call.world, conditions, bounds, page)
        return json_response(paged([_object(message) for message in found], total, page))


def _page(
    connection: sa.Connection,
    world: World,
    conditions: Sequence[sa.ColumnElement[bool]],
    bounds: tuple[str | None, datetime | None, datetime | None, datetime],
    page: Page,
) -> tuple[list[Message], int]:
    iterator, before, after, now = bounds
    within = [*conditions]
    newest = now if before is None else min(before, now)
    if before is not None:
        within.append(outbox.c.created_at < before)
    if iterator is not None:
        last = find_message(connection, world, iterator)
        if last is None:
            raise invalid_field("iterator", "unknown", f"iterator={iterator[:80]!r} is no message: send the id of one")
        newest = min(newest, last.created_at)
        within.append(sa.tuple_(outbox.c.created_at, outbox.c.id) < sa.tuple_(*_place(last)))
    within.append(outbox.c.created_at >= (newest - SHOWN if after is None else after))
    return list_messages(connection, world, conditions=within, take=page.take, skip=page.skip)


def _place(message: Message) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    return sa.literal(message.created_at, outbox.c.created_at.type), sa.literal(message.id, outbox.c.id.type)


def _instant(call: Call, name: str) -> datetime | None:
    text = call.query(name)
    if text is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=parse_iso(text))
    except (TimestampError, OverflowError):
        raise invalid_field(name, "not_an_instant", f"{name}={text[:60]!r} is no date-time") from None


def _object(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "event_type": message.fact.event_type,
        "data": message.fact.data,
        "created_at": format_instant(message.created_at),
    }
