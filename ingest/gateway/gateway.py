"""Answer the requests that bring events or retract them; pass the others on.

A request is dispatched on its method and raw path before anything else, without a router: one event in a small request
is what decides how many a worker can take. 2xx goes out only after the log said that the bytes are durable.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
from aiohttp import web

from ingest import deletion
from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.event_answer import full_answer, minimal_answer
from ingest.event_routes import PRICE_EVENT, RETRACT, SEND_BATCH, SEND_BATCH_V2, SEND_EVENT, SEND_EVENT_V2
from ingest.gateway.bodies import body_of
from ingest.gateway.body_budget import WAITING_BYTES_MAX, BodyBudget
from ingest.gateway.core_client import Core, CoreUnavailableError
from ingest.gateway.deletion_request import Identifiers, read_deletion
from ingest.gateway.meter import Meter
from ingest.gateway.ready_answer import ReadyAnswer
from ingest.log.protocol import LogWriter, Receipt
from ingest.prices.wanted import read_wanted, wants_calculation
from ingest.requests import check_batch, check_event
from ingest.wire import Kind, Section
from metering.errors import UnavailableError
from metering.http.app import SECURITY_HEADERS, Authenticator, error_response, json_response, problem_response
from metering.http.json import MalformedJsonError, loads
from metering.http.problem import ApiError, forbidden, invalid, unavailable
from metering.http.rate_limits import Budget, Limiter, answered_with
from metering.http.reading import require_json
from metering.http.scope import Scope, allows
from metering.world import World

_log = structlog.get_logger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

PRICED_AT_ONCE_MAX = 128
"""Each waits on a connection to the core until its event is in the figures; other requests need some too."""
SECTION_BYTES = 128
"""What a section takes beside its body, at most, so that an account's share ends before the log's room does."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a version of the API says that events were taken; what it promises by that is the same in both."""

    status: int
    taken_as: str
    ready: ReadyAnswer


_V1 = _Dialect(201, "events_created", ReadyAnswer(201, "Created", b"{}"))
_V2 = _Dialect(202, "events_accepted", ReadyAnswer(202, "Accepted", b"{}"))


class AppendTracing(Protocol):
    """Who tells a request's trace of its append."""

    async def appended(self, section: Section, append: Callable[[Section], Awaitable[Receipt]]) -> Receipt:
        """Append a section, with the trace's context in it if this request is traced."""
        ...


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a gateway works with. `pass_on` answers every request that is not the gateway's own.

    `limiter` None means that nobody's requests are counted, `tracing` None that none is traced; neither then costs
    anything.
    """

    authenticator: Authenticator
    log: LogWriter
    core: Core
    identifiers: Identifiers
    pass_on: Answer
    limiter: Limiter | None = None
    meter: Meter | None = None
    tracing: AppendTracing | None = None


class Gateway:
    """The handler of a low-level `web.Server`."""

    def __init__(
        self,
        neighbours: Neighbours,
        budget: BodyBudget | None = None,
        waiting: BodyBudget | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`budget` is for bodies that come in, `waiting` for what waits for the log.

        `now_ns` gives nanoseconds since 1970 UTC: when a request came in.
        """
        self._authenticator = neighbours.authenticator
        self._log = neighbours.log
        self._core = neighbours.core
        self._identifiers = neighbours.identifiers
        self._pass_on = neighbours.pass_on
        self._budget = budget or BodyBudget()
        self._waiting = waiting or BodyBudget(WAITING_BYTES_MAX)
        self._now_ns = now_ns
        self.own: Mapping[tuple[str, str], Answer] = {
            SEND_EVENT: partial(self._take_event, _V1),
            SEND_BATCH: partial(self._take_batch, _V1),
            SEND_EVENT_V2: partial(self._take_event, _V2),
            SEND_BATCH_V2: partial(self._take_batch, _V2),
            RETRACT: self._retract,
            PRICE_EVENT: self._price_event,
        }
        self._pricing = 0
        self._meter = neighbours.meter
        self._tracing = neighbours.tracing
        self._ready = neighbours.limiter is None
        if neighbours.limiter is not None:
            self.own = {place: self._counted(answer, neighbours.limiter) for place, answer in self.own.items()}
        self._takes_one = (self.own[SEND_EVENT], self.own[SEND_EVENT_V2], self.own[PRICE_EVENT])

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request; an error is an answer too."""
        path = request.raw_path
        if "?" in path:
            path = path.partition("?")[0]
        answer = self.own.get((request.method, path)) or self._under_another_spelling(request, path)
        try:
            return await answer(request)
        except ApiError as error:
            if self._meter is not None and error.status == 400 and answer in self._takes_one:
                self._meter.rejected(fault.code for fault in error.faults[:1])
            response = error_response(error)
        except LogOverloadedError as error:
            response = error_response(unavailable(f"nothing was stored: {error}"))
        except LogUnavailableError as error:
            response = error_response(unavailable(f"not known to be stored: {error}"))
        except UnavailableError as error:
            _log.warning("unavailable", path=path, reason=str(error))
            response = error_response(unavailable(f"{error.public}; try again shortly"))
        except ConnectionError:
            raise  # The client is gone, or has to see a cut connection.
        except Exception:  # noqa: BLE001 - the last line before the client: log it, tell nothing.
            _log.exception("unexpected error", method=request.method, path=path)
            response = problem_response(500, "something went wrong here; it was logged")
        response.headers.update(SECURITY_HEADERS)
        return response

    def _under_another_spelling(self, request: web.BaseRequest, path: str) -> Answer:
        """Give who answers a path that is not spelled as ours are; `%65` is an `e` (RFC 3986, 6.2.2.2)."""
        if "%" in path:
            path = request.rel_url.path_safe  # Decoded but for slashes, which would make it another path.
        return self.own.get((request.method, path), self._pass_on)

    async def _take_event(self, dialect: _Dialect, request: web.BaseRequest) -> web.StreamResponse:
        world = await self._let_in(request)
        require_json(request)
        priced = "?" in request.raw_path and wants_calculation(request.query)
        event = check_event(await body_of(request, self._budget, world.account_id))
        if priced:
            await self._append_and_price(world, event)
        else:
            await self._append(world, Kind.EVENTS, 1, event)
        if self._ready and ReadyAnswer.fits(request):
            return dialect.ready
        return json_response({}, dialect.status, SECURITY_HEADERS)

    async def _take_batch(self, dialect: _Dialect, request: web.BaseRequest) -> web.StreamResponse:
        world = await self._let_in(request)
        require_json(request)
        body = await body_of(request, self._budget, world.account_id)
        with self._budget.hold(world.account_id, len(body)):
            checked = check_batch(body)
            if checked.body is not None:
                await self._append(world, Kind.EVENTS, checked.events, checked.body)
            if self._meter is not None:
                self._meter.rejected(failure.fault.code for failure in checked.failures)
            headers = dict(SECURITY_HEADERS)
            if _wants_minimal(request):
                headers["Preference-Applied"] = "return=minimal"
                answer = minimal_answer(checked, dialect.taken_as)
            else:
                answer = full_answer(world, checked, dialect.taken_as)
        return web.Response(body=answer, status=dialect.status, content_type="application/json", headers=headers)

    async def _price_event(self, request: web.BaseRequest) -> web.StreamResponse:
        world = await self._let_in(request)
        require_json(request)
        wanted = read_wanted(request.query)
        prices = await self._append_and_price(
            world, check_event(await body_of(request, self._budget, world.account_id))
        )
        return json_response({**prices, "result": wanted.of(prices["result"])}, 201, SECURITY_HEADERS)

    async def _append_and_price(self, world: World, event: bytes) -> dict[str, Any]:
        """Append an event, and give its prices, which are kept and told to who asked to be (`ingest.prices.kept`)."""
        if self._pricing >= PRICED_AT_ONCE_MAX:
            raise unavailable("nothing was stored: too many events wait for their prices")
        self._pricing += 1
        try:
            receipt = await self._append(world, Kind.EVENTS, 1, event)
            return await self._core.prices(world, receipt, event)
        except CoreUnavailableError as error:
            message = f"the event is stored, its price is not known yet ({error}): send the same again"
            raise unavailable(message, retry_after_s=2) from None
        finally:
            self._pricing -= 1

    async def _retract(self, request: web.BaseRequest) -> web.StreamResponse:
        world = await self._let_in(request)
        require_json(request)
        try:
            sent = loads(await body_of(request, self._budget, world.account_id))
        except MalformedJsonError as error:
            raise invalid(f"malformed JSON: {error}") from None
        if not isinstance(sent, dict):
            raise invalid('send a JSON object such as {"matching": "record_ids", "record_ids": ["D32NAA8"]}')
        retraction = await read_deletion(world, sent, self._identifiers)
        await self._core.wait_applied()
        receipt = await self._append(world, Kind.DELETION, 1, deletion.encode(retraction))
        return json_response(await self._core.retracted(world, receipt), 200, SECURITY_HEADERS)

    def _counted(self, answer: Answer, limiter: Limiter) -> Answer:
        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            principal = await self._authenticator.authenticate(request.headers.get("Authorization"))
            return await answered_with(limiter.take(principal.key_id, Budget.INGEST), answer(request))

        return counted

    async def _let_in(self, request: web.BaseRequest) -> World:
        principal = await self._authenticator.authenticate(request.headers.get("Authorization"))
        if not allows(principal.scopes, Scope.INGEST):
            held = ", ".join(sorted(principal.scopes)) or "none"
            raise forbidden(f"this key lacks the scope 'ingest' (it has: {held})")
        return principal.world

    async def _append(self, world: World, kind: Kind, events: int, body: bytes) -> Receipt:
        size = len(body) + SECTION_BYTES
        self._waiting.take(world.account_id, size)
        try:
            section = Section(world, kind, self._now_ns() // 1000, events, body)
            if self._tracing is None:
                receipt = await self._log.append(section)
            else:
                receipt = await self._tracing.appended(section, self._log.append)
            if self._meter is not None and kind is Kind.EVENTS:
                self._meter.accepted(events)
            return receipt
        finally:
            self._waiting.give_back(world.account_id, size)


def _wants_minimal(request: web.BaseRequest) -> bool:
    """Read `Prefer: return=minimal` (RFC 7240)."""
    for value in request.headers.getall("Prefer", ()):
        for preference in value.split(","):
            name, _, wanted = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "return" and wanted.strip().strip('"').lower() == "minimal":
                return True
    return False
