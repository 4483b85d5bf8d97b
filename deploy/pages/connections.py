"""Connections: made, changed, pinged and deleted by the functions that the API calls."""

from urllib.parse import quote

from aiohttp import web

from deploy.pages.connection_form import FORMS, Typed, as_kept, typed
from deploy.pages.price_form import Beside
from deploy.pages.sent_form import read_own_form
from deploy.pages.serving import Visit, see_other
from loaders.connections.registry import StoredConnection
from loaders.provider import Provider
from metering.http.problem import ApiError, forbidden
from metering.http.scope import Scope, allows

SECTION = "/dataloaders"


def may_connect(visit: Visit) -> bool:
    """Tell whether whoever is signed in may make and change connections."""
    assert visit.session is not None
    return allows(visit.session.key.scopes, Scope.ADMIN)


async def new_connection(visit: Visit) -> web.Response:
    """Choose a provider, fill its form in, save what answers."""
    _require_admin(visit)
    asked = visit.query("provider")
    if asked not in set(Provider):
        context = {"title": "New connection", "current": SECTION, "providers": FORMS.items()}
        return visit.render("connection_choice.html", context)
    provider = Provider(asked)
    if visit.request.method != "POST":
        return _form(visit, typed(provider, {}), None)
    form = typed(provider, await read_own_form(visit))
    try:
        made = await visit.services.connections.create(visit.world, form.document(None))
    except ApiError as error:
        return _form(visit, form, None, error=error)
    return see_other(f"{_path(made)}?pinged=1")


async def connection(visit: Visit) -> web.Response:
    """Show a connection, and change it."""
    keeper = visit.services.connections
    stored = await keeper.find(visit.world, visit.request.match_info["id"])
    if visit.request.method != "POST":
        return _form(visit, as_kept(stored), stored)
    _require_admin(visit)
    form = typed(stored.provider, await read_own_form(visit))
    try:
        changed = await keeper.update(visit.world, stored.id, form.document(stored))
    except ApiError as error:
        return _form(visit, form, stored, error=error)
    return see_other(f"{_path(changed)}?saved=1")


async def ping_connection(visit: Visit) -> web.Response:
    """Connect again, and tell what was found."""
    assert visit.session is not None
    if not allows(visit.session.key.scopes, Scope.WRITE):
        raise forbidden("This key may not connect: sign in with one that has the scope write or admin.")
    await read_own_form(visit)
    keeper = visit.services.connections
    stored = await keeper.find(visit.world, visit.request.match_info["id"])
    try:
        await keeper.ping(visit.world, stored.id)
    except ApiError as error:
        return _form(visit, as_kept(stored), stored, error=error)
    return see_other(f"{_path(stored)}?pinged=1")


async def forget_connection(visit: Visit) -> web.Response:
    """Ask once more, then delete a connection."""
    _require_admin(visit)
    keeper = visit.services.connections
    stored = await keeper.find(visit.world, visit.request.match_info["id"])
    if visit.request.method != "POST":
        context = {
            "title": "Delete this connection?",
            "current": SECTION,
            "name": stored.name,
            "what": "Its address and its password are forgotten. Events that were pulled over it stay.",
            "verb": "Delete the connection",
            "back": _path(stored),
        }
        return visit.render("confirm.html", context)
    await read_own_form(visit)
    try:
        await keeper.delete(visit.world, stored.id)
    except ApiError as error:
        return _form(visit, as_kept(stored), stored, error=error)
    return see_other(SECTION)


def _form(visit: Visit, form: Typed, stored: StoredConnection | None, *, error: ApiError | None = None) -> web.Response:
    context = {
        "title": stored.name if stored else f"New {form.form.title} connection",
        "current": SECTION,
        "stored": stored,
        "form": form.form,
        "name": form.name,
        "shown": form.shown(),
        "wrong": Beside() if error is None else form.beside(error),
        "may_connect": may_connect(visit),
        "pinged": bool(visit.query("pinged")),
        "saved": bool(visit.query("saved")),
    }
    return visit.render("connection.html", context, error.status if error else 200)


def _path(stored: StoredConnection) -> str:
    return f"/connections/{quote(stored.id, safe='')}"


def _require_admin(visit: Visit) -> None:
    if not may_connect(visit):
        raise forbidden("This key may not change connections: sign in with one that has the scope admin.")
