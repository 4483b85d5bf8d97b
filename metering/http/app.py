"""Turn a table of routes into an aiohttp application.

Around each handler: the key is checked and its scope compared before the handler runs; an `ApiError` becomes its
answer; a store or registry that cannot answer becomes 503 with Retry-After, a question that costs too much 422.
Anything else is a bug: it is logged with its traceback and answered 500 without details.

What stands in a path or a query is text without control characters by the time a handler sees it: no id or value that
we keep has any, and a database may choke on them.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from aiohttp import web

from metering.errors import QueryLimitError, UnavailableError
from metering.http.fields import holds_control
from metering.http.json import dumps
from metering.http.problem import ApiError, Fault, forbidden, invalid_field, not_found, refused, unavailable
from metering.http.route import Call, Handler, Principal, Route
from metering.http.scope import allows

_log = structlog.get_logger(__name__)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


Around = Callable[[Route, Handler], Handler]


class Authenticator(Protocol):
    """Tell whose key a request carries."""

    async def authenticate(self, authorization: str | None) -> Principal:
        """Read an `Authorization` header, Bearer or Basic.

        Raises:
            ApiError: 401, saying whether the key is missing, unknown, expired or revoked.
        """
        ...


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON; `value` may hold Decimals and `msgspec.Raw`."""
    return web.Response(body=dumps(value), status=status, content_type="application/json", headers=headers)


def error_response(error: ApiError) -> web.Response:
    """Give the one error shape."""
    return problem_response(error.status, error.message, error.faults, error.headers)


def problem_response(
    status: int, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """Give the one error shape from its parts."""
    body = {
        "message": message,
        "errors": [{"code": fault.code, "path": list(fault.path), "message": fault.message} for fault in faults],
    }
    return json_response(body, status, headers)


def add_routes(
    app: web.Application, routes: Iterable[Route], authenticator: Authenticator, around: Sequence[Around] = ()
) -> None:
    """Serve each route, its key and scope checked first; what answers GET answers HEAD, without the body."""
    served: dict[str, set[str]] = {}
    for route in routes:
        handler = route.handler
        for wrap in reversed(around):
            handler = wrap(route, handler)
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        for method in methods:
            app.router.add_route(method, _any_segment(route.path), _serve(route, handler, authenticator))
        served.setdefault(route.path, set()).update(methods)
    for path, methods_there in served.items():
        if "{" not in path:  # Else `/v1/things/{id}` would answer what `/v1/things/refresh` does not.
            app.router.add_route("*", path, _serves_only(methods_there))


def _serves_only(methods: set[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, sorted(methods))

    return refuse


def _any_segment(path: str) -> str:
    """Let a path parameter be any text: aiohttp's own pattern leaves braces out. An encoded slash is part of it."""
    return re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)


def _serve(
    route: Route, handler: Handler, authenticator: Authenticator
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        principal = None
        if route.scope is not None:
            principal = await authenticator.authenticate(request.headers.get("Authorization"))
            if not allows(principal.scopes, route.scope):
                held = ", ".join(sorted(principal.scopes)) or "none"
                raise forbidden(f"this key lacks the scope {route.scope.value!r} (it has: {held})")
        _check_text(request)
        return await handler(Call(request, principal))

    return serve


def _check_text(request: web.Request) -> None:
    if any(_unreadable(value) for value in request.match_info.values()):
        raise not_found("there is nothing at this path: no id holds control characters")
    for name, value in request.query.items():
        if _unreadable(name) or _unreadable(value):
            raise invalid_field("query", "control_character", "a query parameter holds control characters")


def _unreadable(text: str) -> bool:
    """Tell whether a text holds control characters, or bytes that are no UTF-8 (which come in as surrogates)."""
    return holds_control(text) or any("\ud800" <= character <= "\udfff" for character in text)


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every exception into the one error shape."""
    try:
        response = await handler(request)
    except ApiError as error:
        response = error_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _routing_error(request, error)
    except QueryLimitError as error:
        _log.warning("question too large", path=request.path, reason=str(error))
        response = error_response(refused("this asks for more than one answer may cost: ask for a shorter range"))
    except UnavailableError as error:
        _log.warning("unavailable", path=request.path, reason=str(error))
        response = error_response(unavailable(f"{error.public}; try again shortly"))
    except Exception:  # noqa: BLE001 - the last line before the client: log it, tell nothing.
        _log.exception("unexpected error", method=request.method, path=request.path)
        response = problem_response(500, "something went wrong here; it was logged")
    for name, value in SECURITY_HEADERS.items():
        if not response.prepared:
            response.headers.setdefault(name, value)
    return response


def _routing_error(request: web.Request, error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method} is not served at {request.path}: {allowed} is"
        return problem_response(405, message, headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return problem_response(404, f"there is nothing at {request.path}")
    return problem_response(error.status, error.text or error.reason)


def build_app(routes: Iterable[Route], authenticator: Authenticator, around: Sequence[Around] = ()) -> web.Application:
    """Build an application that serves these routes; bodies are read by `metering.http.reading`.

    Each of `around` wraps the handlers of the routes that it is meant for, the first one outermost; it runs once the
    key was let in.
    """
    app = web.Application(middlewares=[answer_errors])
    add_routes(app, routes, authenticator, around)
    return app
