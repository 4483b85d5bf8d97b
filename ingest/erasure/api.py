"""`POST /v1/customers/{id}/erase`, `GET /v1/erasures/{id}`: have a customer's text erased, and hear how far it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from aiohttp import web

from ingest.erasure.jobs import Erasure, find_erasure, request_erasure
from metering.api.customers import require_customer
from metering.http.app import json_response
from metering.http.problem import not_found
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.registry.engine import Registry
from metering.timestamps import format_instant
from metering.world import World

TAG = "Customers"


class PropertyUse(Protocol):
    """Which properties figures are made of, besides those of aggregators."""

    def properties_used(self, connection: sa.Connection, world: World, /) -> set[str]:
        """Name them."""
        ...


@dataclass(frozen=True, slots=True)
class Erasures:
    """What the routes stand on; `wake` tells the runner."""

    registry: Registry
    property_use: PropertyUse
    wake: Callable[[], None]
    clock: Callable[[], datetime]

    async def request(self, world: World, identifier: str, requested_by: str) -> Erasure:
        """Have a customer's text erased.

        Raises:
            ApiError: 404.
        """
        erasure = await self.registry.write(self._request, world, identifier, requested_by)
        self.wake()
        return erasure

    def _request(self, connection: sa.Connection, world: World, identifier: str, requested_by: str) -> Erasure:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")  # Freed pages are overwritten.
        customer = require_customer(connection, world, identifier)
        used = self.property_use.properties_used(connection, world)
        return request_erasure(connection, customer, used, requested_by, self.clock())


def erasure_routes(erasures: Erasures) -> Sequence[Route]:
    """Give the routes."""

    async def erase(call: Call) -> web.StreamResponse:
        assert call.principal is not None
        erasure = await erasures.request(call.world, call.path("id"), call.principal.key_id)
        return json_response({"id": erasure.id, "status": erasure.status}, 202)

    async def tell(call: Call) -> web.StreamResponse:
        found = await erasures.registry.read(find_erasure, call.world, call.path("id"))
        if found is None:
            raise not_found(f"there is no erasure {call.path('id')[:80]!r}")
        return json_response(_out(found))

    begun: dict[str, object] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "status": {"type": "string"}},
    }
    return (
        Route(
            "POST",
            "/v1/customers/{id}/erase",
            Scope.ADMIN,
            erase,
            "Erase a customer's text: name, details, and the texts in its events that no figure is made of",
            TAG,
            202,
            answer=begun,
        ),
        Route("GET", "/v1/erasures/{id}", Scope.ADMIN, tell, "How far an erasure is", TAG, answer=_ANSWER),
    )


_ANSWER: dict[str, object] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "customer_id": {"type": "string"},
        "status": {"type": "string", "enum": ["pending", "processing", "done"]},
        "step": {"type": "string", "description": "What is done now."},
        "kept_properties": {
            "type": "object",
            "description": "Properties that stay because figures are made of them, by event type; `*` is every type.",
        },
        "events_erased": {"type": "integer", "description": "Versions of events that had text."},
        "dead_letters_erased": {"type": "integer"},
        "log_segments_rewritten": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "ended_at": {"type": ["string", "null"], "format": "date-time"},
    },
}


def _out(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": erasure.id,
        "customer_id": erasure.customer_id,
        "status": erasure.status,
        "step": erasure.step,
        "kept_properties": dict(erasure.kept),
        "events_erased": erasure.events,
        "dead_letters_erased": erasure.dead_letters,
        "log_segments_rewritten": erasure.segments,
        "created_at": format_instant(erasure.created_at),
        "ended_at": None if erasure.ended_at is None else format_instant(erasure.ended_at),
    }
