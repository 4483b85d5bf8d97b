"""`/v1/invoices/{id}/events`: the events that the lines of an open invoice were made from, each with what it adds."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from billing.api import exported
from billing.api.explained_objects import EXPLAINED, explained_event_object, explained_line_object
from billing.api.refusals import answered
from billing.api.services import Services
from billing.explained.lines import ExplainedInvoice, ExplainedLine, events_on_page, explain_invoice
from metering.api import asof
from metering.http.app import json_response
from metering.http.choices import values_of
from metering.http.paging import PARAMETERS, Page, page_of, paged
from metering.http.problem import not_found, unavailable
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.position import Cutoff
from metering.store.current import Selection
from metering.store.explorer import Explorer
from metering.world import World

TAG = "Invoices"

_FILTERS = (
    Parameter("product_id", "Events of the lines of this product; as `product_id__in` of several."),
    Parameter("invoice_line_item_id", "Events of this line; as `invoice_line_item_id__in` of several."),
    *exported.PARAMETERS,
    asof.PARAMETER,
)


def invoice_event_routes(services: Services) -> list[Route]:
    """Give the route of an invoice's events."""
    api = _InvoiceEvents(services)
    summary = "The events behind an open invoice, line by line, each with what it adds; with what lines owe beyond them"
    return [
        Route(
            "GET",
            "/v1/invoices/{id}/events",
            Scope.READ,
            api.list,
            summary,
            TAG,
            parameters=(*PARAMETERS, *_FILTERS),
            answer=EXPLAINED,
            other_answer_types=exported.CONTENT_TYPES,
        )
    ]


class _InvoiceEvents:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._files = 0

    async def list(self, call: Call) -> web.StreamResponse:
        services, page, invoice_id = self._services, page_of(call), call.path("id")
        products, items = values_of(call, "product_id"), values_of(call, "invoice_line_item_id")
        format_name, now = exported.format_of(call), services.clock()
        at = await asof.as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
        with answered():
            found = await explain_invoice(
                services.registry, services.store, call.world, invoice_id=invoice_id, as_of=at, now=now
            )
            if found is None:
                raise not_found(f"there is no invoice {invoice_id[:80]!r}")
            lines = _wanted(found, products, items)
            if format_name is not None:
                return await self._file(call, found, lines, format_name, at)
            answer = await services.store.run(self._answer, call.world, at.cutoff, found, lines, page)
        return json_response(answer, headers=at.headers)

    async def _file(
        self, call: Call, found: ExplainedInvoice, lines: Sequence[ExplainedLine], format_name: str, at: asof.AsOf
    ) -> web.StreamResponse:
        if self._files >= exported.FILES_MAX:
            raise unavailable(f"{exported.FILES_MAX} files are being written here: ask again shortly", retry_after_s=10)
        self._files += 1
        try:
            return await exported.answer_file(
                call, self._services.store, found, lines, format_name=format_name, headers=at.headers
            )
        finally:
            self._files -= 1

    def _answer(
        self, world: World, cutoff: Cutoff, found: ExplainedInvoice, lines: Sequence[ExplainedLine], page: Page
    ) -> dict[str, Any]:
        """Read the page. Blocks."""
        events = events_on_page(lines, page)
        versions: dict[tuple[str, str], int] = {}
        if events:
            names = {one.counted.event.event_type for one in events}
            ids = {one.counted.event.record_id for one in events}
            selection = Selection(world, cutoff, sorted(names), record_ids=sorted(ids))
            versions = Explorer(self._services.store).version_counts(selection)
        shown = [explained_event_object(one, found.invoice.id, versions) for one in events]
        answer = paged(shown, sum(line.events_count for line in lines), page)
        return {**answer, "lines": [explained_line_object(line) for line in lines]}


def _wanted(
    found: ExplainedInvoice, products: Sequence[str] | None, items: Sequence[str] | None
) -> Sequence[ExplainedLine]:
    """Give the lines that are asked for, in the order of the invoice."""
    return [
        line
        for line in found.lines
        if (products is None or line.line.product_id in products) and (items is None or line.id in items)
    ]
