"""An open invoice: its lines, and one of them opened into its events, so that anybody can add it up.

Everything is read at one cut-off, that of now or the one that `as_of` names; links to files carry it, so that a file
holds what the page showed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from billing.api.refusals import answered
from billing.explained.lines import ExplainedInvoice, ExplainedLine, events_on_page, explain_invoice
from deploy.pages.billed import shown_invoice
from deploy.pages.clock_text import machine_time
from deploy.pages.explained import OpenedLine, opened_line
from deploy.pages.lists import PAGES_MAX, ROWS, list_page
from deploy.pages.paths import customer_path, invoice_file_path, invoice_path
from deploy.pages.questions import page_asked, zone_of
from deploy.pages.serving import Visit
from metering.api.asof import HEADER, AsOf, as_of_with_definitions
from metering.http.paging import Page
from metering.http.problem import ApiError, not_found
from metering.position import Cutoff
from metering.registry.customers import resolve
from metering.registry.definitions import newest_revision
from metering.store.current import Selection
from metering.store.history import committed_at
from metering.timestamps import microseconds


@dataclass(frozen=True, slots=True)
class Read:
    """How an invoice is read. `until_us` None: nothing was counted by then; `pinned`: `as_of` says so."""

    at: AsOf
    until_us: int | None
    pinned: bool
    mark: str


async def invoice(visit: Visit) -> web.Response:
    """Show an open invoice, and of the line that is asked for its events."""
    services, identifier = visit.services, visit.request.match_info["id"]
    faults: dict[str, str] = {}
    now = services.clock()
    read = await _read(visit, now, faults)
    with answered():
        found = await explain_invoice(
            services.registry, services.store, visit.world, invoice_id=identifier, as_of=read.at, now=now
        )
        if found is None:
            raise not_found(f"No open invoice has the id “{identifier[:80]}” here.")
        line = next((one for one in found.lines if one.id == visit.query("line")), None)
        page = page_asked(visit, PAGES_MAX)
        opened = await services.store.run(_opened, visit, read, line, page) if line else None
    of = found.invoice
    customer = await services.registry.read(resolve, visit.world, of.customer_id)
    asked = {"as_of": visit.query("as_of")} if read.pinned else {}
    shown = shown_invoice(of, zone_of(customer)) if customer else None
    assert shown is not None, "an invoice is of a customer"
    line_fields = {"line": line.id} if line else {}
    context = {
        "title": f"Invoice of {shown.period}",
        "current": "/customers",
        "invoice": shown,
        "customer": customer,
        "customer_path": customer_path(of.customer_id),
        "currency": of.currency,
        "read": read,
        "as_of_text": visit.query("as_of") or "",
        "as_of_example": machine_time(microseconds(now))[:16],
        "faults": faults,
        "counts": {one.id: one.events_count for one in found.lines},
        "paths": {one.id: invoice_path(of.id, line=one.id, **asked) + "#line" for one in found.lines},
        "now_path": invoice_path(of.id, **line_fields),
        "kept_path": invoice_path(of.id, as_of=read.mark, **line_fields),
        "opened": opened,
        "files": _files(found, read),
        "line_files": _files(found, read, line) if line else (),
        "pages": _pages(of.id, line, opened, {**line_fields, **asked}, page) if line and opened else None,
    }
    return visit.render("invoice.html", context, 400 if faults else 200)


async def _read(visit: Visit, now: datetime, faults: dict[str, str]) -> Read:
    services, asked = visit.services, visit.query("as_of")
    at, pinned = None, False
    if asked is not None:
        try:
            at = await as_of_with_definitions(visit.call, services.cutoffs, now, services.registry, services.store)
            pinned = True
        except ApiError as error:
            faults["as_of"] = error.message
    if at is None:
        at = AsOf(await services.cutoffs.applied(), await services.registry.read(newest_revision, visit.world))
    until = await services.store.run(committed_at, services.store, at.cutoff)
    return Read(at, None if until is None else microseconds(until), pinned, at.headers[HEADER])


def _opened(visit: Visit, read: Read, line: ExplainedLine, page: int) -> OpenedLine:
    """Read a page of a line's events, and how many versions each has. Blocks."""
    events = events_on_page([line], Page(ROWS, (page - 1) * ROWS))
    versions: Mapping[tuple[str, str], int] = {}
    if events:
        cutoff: Cutoff = read.at.cutoff
        types = sorted({one.counted.event.event_type for one in events})
        records = sorted({one.counted.event.record_id for one in events})
        selection = Selection(visit.world, cutoff, types, record_ids=records)
        versions = visit.services.explorer.version_counts(selection)
    return opened_line(line, events, versions)


def _files(found: ExplainedInvoice, read: Read, line: ExplainedLine | None = None) -> Sequence[tuple[str, str]]:
    """Give the names of formats and the addresses of the files of all lines, or of one."""
    only = line.id if line else None
    return [
        (name, invoice_file_path(found.invoice.id, format=format_name, line=only, as_of=read.mark))
        for name, format_name in (("CSV", "csv"), ("Parquet", "parquet"))
    ]


def _pages(
    invoice_id: str, line: ExplainedLine, opened: OpenedLine, asked: Mapping[str, str | None], page: int
) -> object:
    filters = {name: value for name, value in asked.items() if value}
    words = ("Earlier", "Later")
    return list_page(invoice_path(invoice_id), filters, page, len(opened.events), line.events_count, words=words)
