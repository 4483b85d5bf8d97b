"""`Idempotency-Key`: a write that is sent again is not carried out again; its first answer is given once more.

A client that got no answer sends the same request with the same key. The key is noted before the handler runs, that
something was changed is noted in the transaction that changes it, and the answer after that. So whatever crashes in
between, a write is never carried out twice under one key:

- nothing was changed yet: once the first attempt is surely over, the next one carries it out;
- it was changed, but the answer was not noted: the next one is told so (409), and can look;
- the answer was noted: it is given again, whatever it was, but for 5xx and 429, which say to send again.

Events need none of this: an event's type and id are its key. So routes of the scope `ingest` do not look at the header.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import structlog
from aiohttp import web

from metering.errors import UnavailableError
from metering.http.app import error_response
from metering.http.problem import ApiError, invalid_field
from metering.http.reading import BODY, read_body
from metering.http.route import Call, Handler, Route
from metering.http.scope import Scope
from metering.world import World

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEY_CHARACTERS_MIN = 16
KEY_CHARACTERS_MAX = 255
ANSWER_BYTES_MAX = 1024 * 1024
"""A longer answer is not noted. To ask for one again is harmless where nothing was changed; else 409 says so."""
RETRY_AFTER_S = 1

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOT_KEPT = frozenset({"Content-Length", "Date", "Server", "Transfer-Encoding"})

_log = structlog.get_logger(__name__)


class Standing(Enum):
    """Why a request that carries a known key is neither carried out nor answered as before."""

    RUNNING = "running"
    OTHER_REQUEST = "other_request"
    ANSWER_LOST = "answer_lost"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The right to carry a request out. `token` tells it from earlier attempts under the same key."""

    world: World
    key: str
    token: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer to give again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerKeeper(Protocol):
    """Remembers keys and answers, each world's apart from all others'. Not promised: to remember beyond 24 hours."""

    async def begin(self, world: World, key: str, fingerprint: str) -> Attempt | KeptAnswer | Standing:
        """Note that a request begins. Of any number at once under one key, one gets the `Attempt`."""
        ...

    def carrying_out(self, attempt: Attempt) -> AbstractContextManager[None]:
        """Within the block, each change notes in its own transaction that this attempt has changed something."""
        ...

    async def keep(self, attempt: Attempt, answer: KeptAnswer) -> None:
        """Note the answer; nothing happens when a later attempt has taken over."""
        ...

    async def give_up(self, attempt: Attempt) -> None:
        """Let the request be tried again, unless it has changed something."""
        ...


def heeds_key(route: Route) -> bool:
    """Tell whether requests of this route may carry the header."""
    return route.method in _WRITES and route.scope not in {None, Scope.INGEST}


class Idempotency:
    """Wraps the handlers of writes; to be one of the `around` of `metering.http.app.build_app`."""

    def __init__(self, keeper: AnswerKeeper) -> None:
        self._keeper = keeper

    def __call__(self, route: Route, handler: Handler) -> Handler:
        """Give the handler that looks at the header first."""
        if not heeds_key(route):
            return handler

        async def once(call: Call) -> web.StreamResponse:
            key = call.request.headers.get(HEADER)
            return await handler(call) if key is None else await self._once(route, call, _checked(key), handler)

        return once

    async def _once(self, route: Route, call: Call, key: str, handler: Handler) -> web.StreamResponse:
        call.request[BODY] = await read_body(call.request)
        fingerprint = _fingerprint(call.request)
        if route.secret_body:
            fingerprint = await asyncio.to_thread(_slowly, fingerprint, key)
        begun = await self._keeper.begin(call.world, key, fingerprint)
        if isinstance(begun, KeptAnswer):
            headers = {**begun.headers, REPLAYED_HEADER: "true"}
            return web.Response(status=begun.status, body=begun.body, headers=headers)
        if isinstance(begun, Standing):
            raise _refusal(begun, key)
        try:
            with self._keeper.carrying_out(begun):
                response = await handler(call)
        except ApiError as error:
            await self._note(begun, error_response(error))
            raise
        except Exception:
            await self._note(begun, None)
            raise
        await self._note(begun, response)
        return response

    async def _note(self, attempt: Attempt, response: web.StreamResponse | None) -> None:
        answer = _to_keep(response)
        try:
            if answer is None:
                await self._keeper.give_up(attempt)
            else:
                await self._keeper.keep(attempt, answer)
        except UnavailableError as error:
            # What was done is done and will be told; who sends it again is told that the answer was lost.
            _log.warning("answer not noted under its Idempotency-Key", reason=str(error))


def _to_keep(response: web.StreamResponse | None) -> KeptAnswer | None:
    if not isinstance(response, web.Response) or response.status >= 500 or response.status == 429:
        return None
    body = response.body
    if body is None:
        body = b""
    if not isinstance(body, bytes | bytearray) or len(body) > ANSWER_BYTES_MAX:
        return None
    headers = {name: value for name, value in response.headers.items() if name.title() not in _NOT_KEPT}
    return KeptAnswer(response.status, headers, bytes(body))


def _checked(key: str) -> str:
    if KEY_CHARACTERS_MIN <= len(key) <= KEY_CHARACTERS_MAX and key.isascii() and key.isprintable():
        return key
    message = (
        f"{HEADER} has {len(key)} characters: send {KEY_CHARACTERS_MIN} to {KEY_CHARACTERS_MAX} printable ASCII "
        "characters, such as a UUIDv4"
    )
    raise invalid_field(HEADER, "invalid_length", message)


def _fingerprint(request: web.Request) -> str:
    """Tell requests apart by method, URL and body as it reads decompressed."""
    told = hashlib.sha256(f"{request.method} {request.raw_path}\n".encode("utf-8", "surrogateescape"))
    told.update(request[BODY])
    return told.hexdigest()


def _slowly(fingerprint: str, key: str) -> str:
    """Make a fingerprint of a body with a password one that guesses of it cannot quickly be tried on (RFC 7914)."""
    return hashlib.scrypt(fingerprint.encode(), salt=key.encode(), n=1 << 14, r=8, p=1, dklen=32).hex()


def _refusal(standing: Standing, key: str) -> ApiError:
    if standing is Standing.RUNNING:
        message = f"the first request with the {HEADER} {key!r} is still running: send this again shortly"
        return ApiError(409, message, headers={"Retry-After": str(RETRY_AFTER_S)})
    if standing is Standing.ANSWER_LOST:
        return ApiError(
            409,
            f"the first request with the {HEADER} {key!r} was carried out, but its answer was lost: read what it made "
            "or changed; under this key it will not be carried out again",
        )
    return ApiError(
        417,
        f"the {HEADER} {key!r} belongs to another request: send the same method, URL and body again, or a new key",
    )
