"""What the core process serves to gateways about how far the log is applied, and `GET /v1/ingest/lag` to clients.

The internal paths are for gateways. They answer only requests that carry `INTERNAL_HEADER`, which the public proxy
drops, so no spelling of a path reaches them from outside. What keeps everybody else off the core is its socket, which
only its own user may open, or, where it listens to the network, a secret: see `gateways_only`.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from ingest.consumer.lag import Lag, with_spooled
from ingest.log.spool.state import Spooled
from metering.http.app import json_response
from metering.http.problem import forbidden, invalid_field, not_found, unavailable
from metering.http.route import Call, Handler, Route
from metering.http.scope import Scope
from metering.position import Position
from metering.timestamps import format_instant
from metering.world import Mode, World

INTERNAL_HEADER = "X-Meterline-Internal"
SECRET_HEADER = "X-Meterline-Gateway-Secret"  # noqa: S105 - a name.
SPOOLED_HEADER = "X-Meterline-Gateway-Spooled"
"""What waits in the spool of the gateway that asks for the lag: events, and when the first of them was spooled."""
INTERNAL_PREFIX = "/internal/"
WAIT_APPLIED_PATH = "/internal/wait-applied"
RETRACTED_PATH = "/internal/retracted"
PRICES_PATH = "/internal/event-prices"

LAG_PATH = "/v1/ingest/lag"

APPLIED_WAIT_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the log a section's first event lies."""

    partition: int
    offset: int
    index: int


class Progress(Protocol):
    """How far the log is applied: the consumer's side."""

    async def wait_until_applied(self, wait_s_max: float) -> bool:
        """Wait until all that is durable in the log now is in the figures; tell whether it is."""
        ...

    async def retracted(self, world: World, place: Place, wait_s_max: float) -> int | None:
        """Wait until the deletion at this place is applied and give how many events it retracted, None if it is not."""
        ...

    async def reached(self, place: Place, wait_s_max: float) -> Position | None:
        """Wait until the event at this place is in the figures and give its position, None if it is not."""
        ...

    async def lag(self) -> Lag:
        """Give the lag now; never 0 while an event already durable is not in the figures."""
        ...


def internal_routes(progress: Progress) -> Sequence[Route]:
    """Give the routes that gateways call; to be served on the core's own socket."""

    async def wait_applied(_: Call) -> web.StreamResponse:
        if not await progress.wait_until_applied(APPLIED_WAIT_S_MAX):
            raise unavailable("what was accepted earlier is not applied yet: try again", retry_after_s=5)
        return json_response({})

    async def retracted(call: Call) -> web.StreamResponse:
        count = await progress.retracted(world_of(call), place_of(call), APPLIED_WAIT_S_MAX)
        if count is None:
            raise unavailable("the deletion is in the log and not applied yet", retry_after_s=5)
        return json_response({"count": count})

    return (
        Route("POST", WAIT_APPLIED_PATH, None, internal_only(wait_applied), "Wait until all is applied", "internal"),
        Route("GET", RETRACTED_PATH, None, internal_only(retracted), "Count what a deletion retracted", "internal"),
    )


Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


def gateways_only(secret: str) -> Callable[[web.Request, Serve], Awaitable[web.StreamResponse]]:
    """Make the middleware of a core that listens to the network: it answers who knows the secret.

    Who asks, by which address and protocol, is told by gateways in headers that anybody could write; so nobody else is
    answered.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Serve) -> web.StreamResponse:
        shown = request.headers.get(SECRET_HEADER, "")
        if hmac.compare_digest(shown.encode(errors="surrogateescape"), secret.encode()):
            return await handler(request)
        raise forbidden("this address is for gateways alone: send the request to one of them")

    return guard


def spooled_header(spooled: Spooled) -> dict[str, str]:
    """Tell the core what waits in a gateway's spool; nothing where nothing does."""
    if spooled.oldest_at_us is None:
        return {}
    return {SPOOLED_HEADER: f"{spooled.events} {spooled.oldest_at_us}"}


def _spooled_there(call: Call) -> Spooled:
    """Read what a gateway told; what clients send under this name no gateway passes on."""
    events, _, oldest = call.request.headers.get(SPOOLED_HEADER, "").partition(" ")
    return Spooled(int(events), 0, int(oldest)) if events else Spooled(0, 0, None)


def lag_route(progress: Progress, clock: Callable[[], datetime]) -> Route:
    """Give `GET /v1/ingest/lag`."""

    async def lag(call: Call) -> web.StreamResponse:
        now = with_spooled(await progress.lag(), _spooled_there(call), clock())
        return json_response(
            {
                "lag_events": now.lag_events,
                "applied_until": format_instant(now.applied_until),
                "oldest_unapplied_age_ms": now.oldest_unapplied_age_ms,
            }
        )

    answer: dict[str, object] = {
        "type": "object",
        "properties": {
            "lag_events": {"type": "integer", "description": "Events answered 2xx that are not in the figures yet."},
            "applied_until": {"type": "string", "format": "date-time"},
            "oldest_unapplied_age_ms": {"type": "integer"},
        },
        "required": ["lag_events", "applied_until", "oldest_unapplied_age_ms"],
    }
    summary = "How far the figures are behind what was accepted"
    return Route("GET", LAG_PATH, Scope.READ, lag, summary, "Events", answer=answer)


def internal_only(handler: Handler) -> Handler:
    """Answer 404 unless the request comes from one of our own processes."""

    async def guarded(call: Call) -> web.StreamResponse:
        if INTERNAL_HEADER not in call.request.headers:
            raise not_found(f"there is nothing at {call.request.path}")
        return await handler(call)

    return guarded


def world_of(call: Call) -> World:
    """Read whose data a gateway asks about."""
    return World(call.query("account") or "", Mode(call.query("mode") or ""))


def place_of(call: Call) -> Place:
    """Read which place in the log a gateway asks about."""
    return Place(*(_whole(call, name) for name in ("partition", "offset", "index")))


def _whole(call: Call, name: str) -> int:
    text = call.query(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise invalid_field(name, "invalid_type", f"{name} must be a whole number")
    return int(text)
