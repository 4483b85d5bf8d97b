"""`/v1/invoices`: what customers owe. Open invoices are worked out from usage each time they are asked for.

As documented, a list without `status` hides `open` ones; nothing else is made yet, so it is empty.
"""

from datetime import datetime

from aiohttp import web

from billing.api.invoice_objects import invoice_object
from billing.api.refusals import answered
from billing.api.services import Services
from billing.api.shapes import INVOICE
from billing.invoices.begun import StartsWithin
from billing.invoices.model import InvoiceStatus
from billing.invoices.open import find_open_invoice, list_open_invoices
from billing.invoices.registry import Wanted
from metering.api import asof
from metering.http.app import json_response
from metering.http.choices import choices_of, instants_within, values_of
from metering.http.paging import PARAMETERS, page_of, paged
from metering.http.problem import not_found
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import DAY_OR_INSTANT, one_of
from metering.http.shapes import page_of as page_shape

TAG = "Invoices"
_STARTS = "period_starts_at"

_FILTERS = (
    Parameter(
        "status",
        "open gives the live invoices; without it they are hidden. As `status__in` several.",
        one_of([status.value for status in InvoiceStatus]),
    ),
    Parameter("customer_id", "Our id or the external id; as `customer_id__in` several."),
    Parameter("subscription_id", "As `subscription_id__in` several."),
    Parameter(f"{_STARTS}__gte", "Periods that start then or later; also __gt.", DAY_OR_INSTANT),
    Parameter(f"{_STARTS}__lt", "Periods that start before; also __lte.", DAY_OR_INSTANT),
    asof.PARAMETER,
)


def invoice_routes(services: Services) -> list[Route]:
    """Give the routes of invoices."""
    api = _Invoices(services)
    every, parameters = "/v1/invoices", (*PARAMETERS, *_FILTERS)
    listing = "List invoices, those of the latest periods first; open ones when status=open is asked for"
    return [
        Route("GET", every, Scope.READ, api.list, listing, TAG, parameters=parameters, answer=page_shape(INVOICE)),
        Route(
            "GET",
            every + "/{id}",
            Scope.READ,
            api.get,
            "Get an invoice",
            TAG,
            parameters=(asof.PARAMETER,),
            answer=INVOICE,
        ),
    ]


class _Invoices:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, call: Call) -> web.Response:
        page, now = page_of(call), self._services.clock()
        statuses = choices_of(call, "status", InvoiceStatus)
        wanted = Wanted(
            values_of(call, "customer_id"),
            values_of(call, "subscription_id"),
            StartsWithin(*instants_within(call, _STARTS)),
        )
        at = await self._as_of(call, now)
        if statuses is None or InvoiceStatus.OPEN not in statuses:
            return json_response(paged([], 0, page), headers=at.headers)
        registry, store = self._services.registry, self._services.store
        with answered():
            found, total = await list_open_invoices(
                registry, store, call.world, wanted=wanted, page=page, as_of=at, now=now
            )
        return json_response(paged([invoice_object(one) for one in found], total, page), headers=at.headers)

    async def get(self, call: Call) -> web.Response:
        now, invoice_id = self._services.clock(), call.path("id")
        at = await self._as_of(call, now)
        registry, store = self._services.registry, self._services.store
        with answered():
            found = await find_open_invoice(registry, store, call.world, invoice_id=invoice_id, as_of=at, now=now)
        if found is None:
            raise not_found(f"there is no invoice {invoice_id[:80]!r}")
        return json_response(invoice_object(found), headers=at.headers)

    async def _as_of(self, call: Call, now: datetime) -> asof.AsOf:
        services = self._services
        return await asof.as_of_with_definitions(call, services.cutoffs, now, services.registry, services.store)
