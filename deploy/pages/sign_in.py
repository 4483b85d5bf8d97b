"""Sign in with an API key, and out again.

The form is defended against being sent by somebody else's page (which could sign a victim into the attacker's
account): it must come from our own origin and repeat the token of a cookie that only our own form is sent with.
A wrong key is answered 401 with one line, and bounded by address.

A long form that is sent after its session ended is not lost: what was typed is held in the sign-in form itself, nowhere
else, and shown again by the page that it was for. That page is asked to show it, never to save it.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from aiohttp import web

from deploy.pages.attempts import Attempts
from deploy.pages.cookies import FORM_COOKIE, SESSION_COOKIE, drop_session_cookie, set_form_cookie, set_session_cookie
from deploy.pages.forms import FORM_BYTES_MAX, read_form
from deploy.pages.held_form import HELD_BYTES_MAX, HELD_CHARACTERS_MAX, held_fields, held_text
from deploy.pages.origin import came_from_us, local_path
from deploy.pages.sent_form import LONG_FORM_FIELDS_MAX
from deploy.pages.serving import PageHandler, Visit, see_other
from deploy.pages.sessions import end_session, find_session, may_read, open_session
from metering.http.problem import forbidden
from metering.registry.engine import NOBODY
from metering.registry.keys import SECRET_CHARACTERS_MAX, ApiKey, find_key_by_secret, record_use, well_formed

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
_MADE_WITH = "Keys are made with `meterline keys create`."


async def show_sign_in(visit: Visit) -> web.Response:
    """Show the form; whoever is signed in already goes on at once."""
    following = local_path(visit.query("next"))
    token = visit.request.cookies.get(SESSION_COOKIE, "")
    if token and await visit.services.registry.read(find_session, token, visit.services.clock()) is not None:
        return see_other(following)
    ended = visit.query("ended") is not None
    return _form(visit, _Asked(following), notice="Your session has ended: sign in again." if ended else None)


async def hold_form(visit: Visit) -> web.Response:
    """Ask whoever sent a long form and is not signed in any more to sign in, and hold what was typed."""
    request = visit.request
    following, length = local_path(request.rel_url.raw_path_qs), request.content_length
    if not came_from_us(request) or length is None or length > HELD_BYTES_MAX:
        return see_other("/sign-in?ended=1")
    held = held_text(await read_form(request, bytes_max=HELD_BYTES_MAX, fields_max=LONG_FORM_FIELDS_MAX))
    notice = "Your session has ended: sign in again. What you typed is kept."
    return _form(visit, _Asked(following, held), notice=notice)


def sign_in(attempts: Attempts) -> PageHandler:
    """Make the handler that takes the form."""

    async def handle(visit: Visit) -> web.Response:
        request, services = visit.request, visit.services
        fields = await read_form(request, bytes_max=FORM_BYTES_MAX + HELD_CHARACTERS_MAX)
        asked = _Asked(local_path(fields.get("next")), fields.get("held", ""))
        if not came_from_us(request) or not _paired(request, fields):
            return _form(visit, asked, error="This form had gone stale: please sign in again.", status=403)
        address = request.remote or ""
        wait_s = attempts.wait_s(address)
        if wait_s:
            error = f"Too many wrong keys from this address: try again in {wait_s} seconds."
            response = _form(visit, asked, error=error, status=429)
            response.headers["Retry-After"] = str(wait_s)
            return response

        now = services.clock()
        secret = fields.get("key", "").strip()
        key = await services.registry.read(find_key_by_secret, secret) if _reads_like_a_key(secret) else None
        refusal = _refusal(secret, key, now)
        if refusal is not None:
            attempts.failed(address)
            return _form(visit, asked, error=refusal.message, status=refusal.status)
        assert key is not None
        token = await services.registry.write(_enter, key, now)
        held = held_fields(asked.held)
        response = see_other(asked.following) if not held else await _go_on(visit, asked.following, held, token)
        set_session_cookie(request, response, token)
        return response

    return handle


async def sign_out(visit: Visit) -> web.Response:
    """Delete the session."""
    session = visit.session
    assert session is not None
    fields = await read_form(visit.request)
    if not hmac.compare_digest(fields.get("token", "").encode(), session.csrf_token.encode()):
        raise forbidden("This form had gone stale: reload the page and sign out again.")
    await visit.services.registry.write(end_session, session.token, waits_for=NOBODY)
    response = see_other("/sign-in")
    drop_session_cookie(response)
    return response


def _enter(connection: sa.Connection, key: ApiKey, now: datetime) -> str:
    record_use(connection, {key.id: now})
    return open_session(connection, key, now)


async def _go_on(visit: Visit, following: str, held: Mapping[str, str], token: str) -> web.Response:
    """Offer to show a form again that was held."""
    session = await visit.services.registry.read(find_session, token, visit.services.clock())
    assert session is not None, "it was opened just now"
    context = {"title": "Signed in again", "current": "", "following": following, "held": held}
    return Visit(visit.request, visit.services, session).render("held_form.html", context)


def _form(
    visit: Visit, asked: "_Asked", *, error: str | None = None, notice: str | None = None, status: int = 200
) -> web.Response:
    # A form that is open in another tab stays good: the browser keeps the token it was given first.
    held = visit.request.cookies.get(FORM_COOKIE, "")
    token = held if _TOKEN.fullmatch(held) else secrets.token_urlsafe(24)
    context = {"title": "Sign in", "token": token, "asked": asked, "error": error, "notice": notice}
    response = visit.render("sign_in.html", context, status)
    set_form_cookie(visit.request, response, token)
    return response


def _paired(request: web.Request, fields: dict[str, str]) -> bool:
    cookie, field = request.cookies.get(FORM_COOKIE, ""), fields.get("token", "")
    return bool(cookie) and hmac.compare_digest(cookie.encode(), field.encode())


def _reads_like_a_key(secret: str) -> bool:
    return 0 < len(secret) <= SECRET_CHARACTERS_MAX and secret.isascii() and well_formed(secret)


class _Asked(NamedTuple):
    """Where to go on to, and what was typed there, as `held_text` gives it; empty for nothing."""

    following: str
    held: str = ""


class _Refusal(NamedTuple):
    """What stands against a key, and the status that says so."""

    message: str
    status: int = 401


def _refusal(secret: str, key: ApiKey | None, now: datetime) -> _Refusal | None:
    if not secret:
        return _Refusal(f"Enter an API key. {_MADE_WITH}")
    if key is None and not well_formed(secret):
        return _Refusal("This API key has a typing error: its last characters do not fit the others.")
    if key is None:
        return _Refusal("This API key is not known here. Check that it was copied whole.")
    if key.revoked_at is not None:
        return _Refusal(f"This API key was revoked. {_MADE_WITH}")
    if not key.usable(now):
        return _Refusal(f"This API key has expired. {_MADE_WITH}")
    if not may_read(key):
        held = ", ".join(sorted(key.scopes))
        message = f"This key may not read: it has the scope {held}. Sign in with one that has read or admin."
        return _Refusal(message, 403)
    return None
