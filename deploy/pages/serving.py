"""Around every page: who is signed in, what goes wrong, and which headers go out.

A page that needs somebody signed in sends everybody else to `/sign-in` and back. An error becomes a page that says what
to do; anything unforeseen is logged and answered 500 without details. Every answer forbids scripts, frames, forms to
other places and anything that is not ours, so that even markup that slipped through could do nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp_jinja2
import structlog
from aiohttp import web

from deploy.pages.assets import STYLESHEET
from deploy.pages.cookies import SESSION_COOKIE, drop_session_cookie
from deploy.pages.origin import address_of_us
from deploy.pages.services import PageServices
from deploy.pages.sessions import Session, find_session
from deploy.pages.templating import TEMPLATES_KEY
from metering.errors import QueryLimitError, UnavailableError
from metering.http.problem import ApiError
from metering.http.route import Call, Principal
from metering.world import World

_log = structlog.get_logger(__name__)

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer` browsers would also withhold the Origin by which forms are told from forged ones.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, already let in. `session` is None on the pages that anybody may see."""

    request: web.Request
    services: PageServices
    session: Session | None

    @property
    def world(self) -> World:
        """Whose data the page shows: it comes from the key that signed in, and from nothing else."""
        assert self.session is not None
        return self.session.key.world

    @property
    def call(self) -> Call:
        """The request as the API knows it, with the rights of the key that signed in."""
        assert self.session is not None
        key = self.session.key
        return Call(self.request, Principal(key.id, key.world, frozenset(key.scopes)))

    def query(self, name: str) -> str | None:
        """Give a query parameter, trimmed; None when it is absent or empty."""
        values = self.request.query.getall(name, [])
        return values[-1].strip() or None if values else None

    def render(self, template: str, context: Mapping[str, Any], status: int = 200) -> web.Response:
        """Render a page inside the frame that all of them share."""
        frame = {"session": self.session, "stylesheet": STYLESHEET, "address": address_of_us(self.request)}
        return aiohttp_jinja2.render_template(
            template, self.request, {**frame, **context}, app_key=TEMPLATES_KEY, status=status
        )


Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
PageHandler = Callable[[Visit], Awaitable[web.StreamResponse]]


def for_everybody(services: PageServices, handler: PageHandler) -> Serve:
    """Serve a page without asking who it is."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return await _answer(Visit(request, services, None), handler)

    return serve


def for_signed_in(services: PageServices, handler: PageHandler, ask: PageHandler | None = None) -> Serve:
    """Serve a page to whoever is signed in with a key that may still read; send everybody else to sign in.

    Where `ask` is given, it is what asks them to.
    """

    async def let_in(visit: Visit) -> web.StreamResponse:
        token = visit.request.cookies.get(SESSION_COOKIE, "")
        session = await services.registry.read(find_session, token, services.clock()) if token else None
        if session is None and ask is not None:
            return await ask(visit)
        if session is None:
            return _to_sign_in(visit.request, ended=bool(token))
        # Errors from here on are shown in the frame of whoever is signed in.
        return await _answer(Visit(visit.request, services, session), handler)

    return for_everybody(services, let_in)


async def _answer(visit: Visit, handler: PageHandler) -> web.StreamResponse:
    try:
        response = await handler(visit)
    except ApiError as error:
        response = error_page(visit, error.status, error.message, error.headers)
    except QueryLimitError:
        message = "This question took more time or memory than one page may: choose a shorter range or one customer."
        response = error_page(visit, 422, message)
    except UnavailableError as error:
        _log.warning("unavailable", path=visit.request.path, reason=str(error))
        message = "The figures cannot be read at the moment. Nothing is lost: reload the page in a few seconds."
        response = error_page(visit, 503, message, {"Retry-After": "5"})
    except Exception:  # noqa: BLE001 - the last line before the browser: log it, tell nothing.
        _log.exception("unexpected error", method=visit.request.method, path=visit.request.path)
        response = error_page(visit, 500, "Something went wrong here. It was logged; reloading may help.")
    for name, value in PAGE_HEADERS.items():
        response.headers[name] = value
    return response


def error_page(visit: Visit, status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Say what is wrong, with a way on."""
    context = {"title": HTTPStatus(status).phrase, "status": status, "message": message}
    response = visit.render("error.html", context, status)
    response.headers.update(headers or {})
    return response


def see_other(path: str) -> web.Response:
    """Send the browser on with a GET."""
    return web.Response(status=303, headers={"Location": path})


def _to_sign_in(request: web.Request, *, ended: bool) -> web.Response:
    wanted = request.rel_url.raw_path_qs if request.method == "GET" else "/"
    notice = "&ended=1" if ended else ""
    plain = wanted == "/" and not ended
    response = see_other("/sign-in" if plain else f"/sign-in?next={quote(wanted, safe='/')}{notice}")
    if ended:
        drop_session_cookie(response)
    return response
