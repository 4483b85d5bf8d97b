"""Import a CSV file of events: the form, how far each import is, and which lines were rejected.

The form is sent as multipart with the session's token before the file, so a forged one is refused before any byte of it
is kept. While an import is under way its page asks the browser to load it again.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from deploy.pages.origin import came_from_us
from deploy.pages.serving import Visit, see_other
from ingest.csv_file import TEMPLATE
from ingest.imports.jobs import latest_jobs
from ingest.imports.upload import FILE_BYTES_MAX
from metering.http.problem import forbidden
from metering.http.scope import Scope, allows

LISTED_MAX = 50
RELOAD_S = 2


async def imports(visit: Visit) -> web.Response:
    """Show the form and the latest imports."""
    jobs = await visit.services.registry.read(latest_jobs, visit.world, LISTED_MAX)
    context = {
        "title": "Import events",
        "current": "/events",
        "may_import": _may_import(visit),
        "bytes_max": FILE_BYTES_MAX,
        "jobs": jobs,
        "listed_max": LISTED_MAX,
    }
    return visit.render("imports.html", context)


async def take_import(visit: Visit) -> web.Response:
    """Store a file and go on to its import."""
    if not _may_import(visit):
        raise forbidden("This key may not import: sign in with one that has the scope ingest or admin.")

    def from_our_form(fields: Mapping[str, str]) -> None:
        session = visit.session
        assert session is not None
        paired = hmac.compare_digest(fields.get("token", "").encode(), session.csrf_token.encode())
        if not paired or not came_from_us(visit.request):
            raise forbidden("This form had gone stale: open the page again and choose the file once more.")

    job = await visit.services.imports.take(visit.world, visit.request, from_our_form)
    return see_other(f"/imports/{quote(job.id, safe='')}")


async def one_import(visit: Visit) -> web.Response:
    """Show how far one import is."""
    job = await visit.services.imports.find(visit.world, visit.request.match_info["id"])
    percent = 100 if not job.bytes_total else 100 * job.bytes_read // job.bytes_total
    context = {"title": "Import", "current": "/events", "job": job, "percent": percent}
    response = visit.render("import.html", context)
    if job.ended_at is None:
        response.headers["Refresh"] = str(RELOAD_S)
    return response


async def template(_: Visit) -> web.Response:
    """Give a file to start from."""
    headers = {"Content-Disposition": 'attachment; filename="events.csv"'}
    return web.Response(body=TEMPLATE, content_type="text/csv", charset="utf-8", headers=headers)


def _may_import(visit: Visit) -> bool:
    assert visit.session is not None
    return allows(visit.session.key.scopes, Scope.INGEST)
