"""`/healthz`: the process runs. `/readyz`: it can answer questions. Neither needs a key, nor tells anything else."""

import asyncio

import sqlalchemy as sa
from aiohttp import web

from metering.api.services import Services
from metering.errors import MeteringError
from metering.http.app import json_response
from metering.http.problem import unavailable
from metering.http.route import Call, Route
from metering.http.shapes import TEXT, object_of

TAG = "Health"
READY_S_MAX = 5
_STATUS = object_of({"status": TEXT}, title="Health")


def health_routes(services: Services) -> list[Route]:
    """Give the routes that tell how this process is."""
    api = _Health(services)
    return [
        Route("GET", "/healthz", None, api.alive, "Whether the process runs", TAG, answer=_STATUS),
        Route("GET", "/readyz", None, api.ready, "Whether the registry and the store answer", TAG, answer=_STATUS),
    ]


class _Health:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def alive(self, _call: Call) -> web.Response:
        return json_response({"status": "ok"})

    async def ready(self, _call: Call) -> web.Response:
        for name, ask in (("registry", self._ask_registry), ("store", self._ask_store)):
            try:
                async with asyncio.timeout(READY_S_MAX):
                    await ask()
            except (MeteringError, TimeoutError):
                raise unavailable(f"the {name} does not answer") from None
        if self._services.stands_still():
            raise unavailable("events are taken, and the figures stand still: read what the core says")
        return json_response({"status": "ok"})

    async def _ask_registry(self) -> None:
        await self._services.registry.read(lambda connection: connection.execute(sa.select(1)).scalar_one())

    async def _ask_store(self) -> None:
        await self._services.store.run(self._services.store.select, "SELECT 1")
