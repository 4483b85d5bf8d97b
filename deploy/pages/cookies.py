"""The two cookies of these pages: who is signed in, and that a sign-in form is ours.

Both are out of reach of scripts. `Lax` lets a link in a message open the page it points to for somebody who is signed
in; nothing is ever changed by a GET, and every POST carries a token besides.
"""

from aiohttp import web

from deploy.pages.origin import over_https
from deploy.pages.sessions import LIFETIME

SESSION_COOKIE = "meterline_session"
FORM_COOKIE = "meterline_form"
FORM_S_MAX = 3_600


def set_session_cookie(request: web.Request, response: web.Response, token: str) -> None:
    """Hand the browser its session."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        secure=over_https(request),
        samesite="Lax",
    )


def drop_session_cookie(response: web.Response) -> None:
    """Take the session back from the browser."""
    response.del_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Lax")


def set_form_cookie(request: web.Request, response: web.Response, token: str) -> None:
    """Pair the browser with the sign-in form that it is shown."""
    response.set_cookie(
        FORM_COOKIE,
        token,
        max_age=FORM_S_MAX,
        path="/sign-in",
        httponly=True,
        secure=over_https(request),
        samesite="Strict",
    )
