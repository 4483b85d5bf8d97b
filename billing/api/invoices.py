"""`/v1/invoices`: what customers owe. Open invoices are worked out from usage each time they are asked for.

As documented, a list without `status` hides `open` ones; nothing else is made yet, so it is empty.
"""

from aiohttp import web

from billing.api.choices import choices_of, values_of
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
from metering.http.paging import PARAMETERS, page_of, paged
from metering.http.problem import invalid_field, not_found
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import page_of as page_shape
from metering.timestamps import TimestampError, parse_iso

TAG = "Invoices"
_STARTS = "period_starts_at"

_FILTERS = (
    Parameter("status", "open gives the live invoices; without it they are hidden. As `status__in` several."),
    Parameter("customer_id", "Our id or the external id; as `customer_id__in` several."),
    Parameter("subscription_id", "As `subscription_id__in` several."),
    Parameter(f"{_STARTS}__gte", "Periods that start then or later; also __gt."),
    Parameter(f"{_STARTS}__lt", "Periods that start before; also __lte."),
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
        wanted = Wanted(values_of(call, "customer_id"), values_of(call, "subscription_id"), starts_within(call))
        at = await asof.as_of(call, self._services.cutoffs, now)
        if statuses is None or InvoiceStatus.OPEN not in statuses:
            return json_response(paged([], 0, page), headers=at.headers)
        registry, store = self._services.registry, self._services.store
        with answered():
            found, total = await list_open_invoices(
                registry, store, call.world, wanted=wanted, page=page, cutoff=at.cutoff, now=now
            )
        return json_response(paged([invoice_object(one) for one in found], total, page), headers=at.headers)

    async def get(self, call: Call) -> web.Response:
        now, invoice_id = self._services.clock(), call.path("id")
        at = await asof.as_of(call, self._services.cutoffs, now)
        registry, store = self._services.registry, self._services.store
        with answered():
            found = await find_open_invoice(
                registry, store, call.world, invoice_id=invoice_id, cutoff=at.cutoff, now=now
            )
        if found is None:
            raise not_found(f"there is no invoice {invoice_id[:80]!r}")
        return json_response(invoice_object(found), headers=at.headers)


def starts_within(call: Call) -> StartsWithin:
    """Read `period_starts_at__gte`, `gt`, `lt`, `lte` and `equals`; a date is 00:00 UTC.

    Raises:
        ApiError: 400 for another operator, or what is no date-time.
    """
    least: list[int] = []
    end: list[int] = []
    for parameter, value in call.request.query.items():
        field, _, operator = parameter.partition("__")
        if field != _STARTS or not value:
            continue
        if operator not in {"", "equals", "gte", "gt", "lt", "lte"}:
            message = f"{parameter}: {_STARTS} can be filtered by gte, gt, lt, lte and equals, not by {operator[:40]!r}"
            raise invalid_field(parameter, "unknown_operator", message)
        instant = _instant(parameter, value)
        if operator in {"", "equals", "gte", "gt"}:
            least.append(instant + (operator == "gt"))
        if operator in {"", "equals", "lt", "lte"}:
            end.append(instant + (operator != "lt"))
    return StartsWithin(max(least, default=None), min(end, default=None))


def _instant(parameter: str, text: str) -> int:
    try:
        return parse_iso(text.strip())
    except (TimestampError, OverflowError):
        message = f"{parameter}: {text[:40]!r} is no date-time: send 2023-11-16T18:17:03Z"
        raise invalid_field(parameter, "timestamp", message) from None
