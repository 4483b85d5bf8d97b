"""One event: what is counted of it now, and every version that ever came in."""

from aiohttp import web

from deploy.pages.as_of import read_as_of
from deploy.pages.changes import shown_versions
from deploy.pages.event_prices import ask_prices
from deploy.pages.moved import CORRECTIONS_SHOWN_MAX, ask_moved
from deploy.pages.paths import customer_path
from deploy.pages.records import properties_of
from deploy.pages.serving import Visit
from metering.http.problem import not_found
from metering.registry.customers import resolve

VERSIONS_SHOWN_MAX = 100


async def event(visit: Visit) -> web.Response:
    """Show the event that the path, or the query where a path cannot, names."""
    path = visit.request.match_info
    event_type = path.get("event_type") or visit.query("event_type") or ""
    record_id = path.get("record_id") or visit.query("record_id") or ""
    services = visit.services
    as_of = await read_as_of(services)
    histories = await services.store.run(services.explorer.versions, visit.world, as_of.cutoff, event_type, record_id)
    if not histories:
        raise not_found(
            f"There is no event of the type “{event_type[:80]}” with the record id “{record_id[:80]}” here."
        )
    latest = histories[-1]
    now = next((history for history in histories if history.current), None)
    standing = (now or latest).event
    customer = await services.registry.read(resolve, visit.world, standing.customer_id)
    context = {
        "title": f"{record_id[:80]} · {event_type[:80]}",
        "current": "/events",
        "as_of": as_of,
        "event_type": event_type,
        "record_id": record_id,
        "is_current": now is not None,
        "standing": standing,
        "properties": properties_of(standing.record),
        "customer": customer,
        "customer_path": customer_path(standing.customer_id),
        "prices": await ask_prices(visit, event_type, record_id),
        "versions": shown_versions(histories[-VERSIONS_SHOWN_MAX - 1 :])[:VERSIONS_SHOWN_MAX],
        "moved": await ask_moved(visit, as_of.cutoff, histories),
        "corrections_shown_max": CORRECTIONS_SHOWN_MAX,
        "versions_total": len(histories),
    }
    return visit.render("event.html", context)
