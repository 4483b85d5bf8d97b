"""The events behind an open invoice as a file, CSV or Parquet: that of the API, for whoever is signed in."""

from aiohttp import web

from billing.api import exported
from billing.api.refusals import answered
from billing.explained.lines import explain_invoice
from deploy.pages.serving import PAGE_HEADERS, PageHandler, Visit
from metering.api.asof import as_of_with_definitions
from metering.http.problem import invalid, not_found, unavailable


def invoice_events() -> PageHandler:
    """Make the handler; at most `FILES_MAX` files are written for pages at once."""
    writing = 0

    async def handle(visit: Visit) -> web.StreamResponse:
        nonlocal writing
        call, services = visit.call, visit.services
        format_name = exported.format_of(call)
        if format_name is None:
            raise invalid("format: choose csv or parquet.")
        if writing >= exported.FILES_MAX:
            raise unavailable("Other files are being written: try again in a few seconds.", retry_after_s=10)
        now, identifier = services.clock(), visit.request.match_info["id"]
        writing += 1
        try:
            at = await as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
            with answered():
                found = await explain_invoice(
                    services.registry, services.store, visit.world, invoice_id=identifier, as_of=at, now=now
                )
                if found is None:
                    raise not_found(f"No open invoice has the id “{identifier[:80]}” here.")
                line = visit.query("line")
                lines = [one for one in found.lines if line in {None, one.id}]
                return await exported.answer_file(
                    call, services.store, found, lines, format_name=format_name, headers={**PAGE_HEADERS, **at.headers}
                )
        finally:
            writing -= 1

    return handle
