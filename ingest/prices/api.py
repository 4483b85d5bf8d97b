"""`/v1/events/prices` and `/v1/events/simulate-prices`: what events cost, in the shapes of the dialect.

Sending an event for its price is a gateway's to answer, which asks the core behind it (`gateway_route`).
"""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from ingest.core_api import PRICES_PATH, internal_only, place_of, world_of
from ingest.event_routes import NEW_EVENT, PRICE_EVENT, TAG, misdirected
from ingest.prices.event import read_simulated
from ingest.prices.kept import Sought, kept_object
from ingest.prices.pricing import EventPricing, price_document
from ingest.prices.wanted import read_wanted
from metering.api.asof import AsOf
from metering.http.app import json_response
from metering.http.choices import values_of
from metering.http.paging import PARAMETERS, page_of
from metering.http.reading import read_body, require_json
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    ANY_OBJECT,
    BOOLEAN,
    INSTANT,
    NUMBER,
    OPTIONAL_TEXT,
    TEXT,
    array_of,
    described,
    object_of,
)
from metering.ids import new_id

SIMULATE = "/v1/events/simulate-prices"

_QUERY = (
    Parameter("product_id", "Of this product alone."),
    Parameter("subscription_id", "Of this subscription alone; in a simulation without a customer, of its customer."),
    Parameter("include_tax", "false leaves `tax_amount` and `total_amount` out.", BOOLEAN),
)
_FILTERS = (
    Parameter("calculation_id", "The price of this id; several separated by commas."),
    Parameter("record_id", "Prices of events with this record id; several separated by commas."),
    Parameter("event_type", "Prices of events of this type."),
)
_GROUP = {
    **object_of({"id": TEXT, "name": OPTIONAL_TEXT}),
    "type": ["object", "null"],
    "description": "Which prices of a matrix it is charged by.",
}
_AMOUNT = described(NUMBER, "Minor units, before the line is rounded to whole ones: of 0.3 cents, 0.3.")
_PRICE_FIELDS = {
    "customer_id": OPTIONAL_TEXT,
    "subscription_id": OPTIONAL_TEXT,
    "product_id": TEXT,
    "price_group": _GROUP,
    "amount_excluding_tax": _AMOUNT,
    "tax_amount": NUMBER,
    "total_amount": NUMBER,
    "currency": TEXT,
}
_TAX = frozenset({"tax_amount", "total_amount"})
_PRICES = object_of(
    {
        "id": described(TEXT, "Of the calculation: the same event always has the same."),
        "result": described(
            array_of(
                object_of(_PRICE_FIELDS, title="EventPrice", required=[one for one in _PRICE_FIELDS if one not in _TAX])
            ),
            "One for each product of a subscription that counts the event; none where nothing does.",
        ),
    },
    title="EventPrices",
)
_KEPT = object_of(
    {
        "id": TEXT,
        "result": array_of(
            object_of(
                {
                    "event_type": TEXT,
                    "record": ANY_OBJECT,
                    "event_timestamp": INSTANT,
                    "ingested": BOOLEAN,
                    "pre_calculated_at": INSTANT,
                    **_PRICE_FIELDS,
                },
                title="KeptEventPrice",
            )
        ),
    },
    title="KeptEventPrices",
)
_IMAGINED = {
    **NEW_EVENT,
    "title": "SimulatedEvent",
    "required": ["event_type", "record"],
    "description": "Without a timestamp it happens now; without a customer it costs what the catalog says.",
}


def price_routes(pricing: EventPricing) -> Sequence[Route]:
    """Give the public routes."""
    api = _Prices(pricing)
    send = "Send one event and get its price: what it adds to open invoices, the same for ever"
    simulate = "What an event would add to open invoices now; nothing is stored"
    listing = "Prices that were asked for with their events, the latest first"
    parameters = (*_FILTERS, *PARAMETERS)
    return (
        Route(*PRICE_EVENT, Scope.INGEST, misdirected, send, TAG, 201, _QUERY, body=NEW_EVENT, answer=_PRICES),
        Route("POST", SIMULATE, Scope.READ, api.simulate, simulate, TAG, 200, _QUERY, body=_IMAGINED, answer=_PRICES),
        Route("GET", PRICE_EVENT[1], Scope.READ, api.list, listing, TAG, 200, parameters, answer=array_of(_KEPT)),
    )


def gateway_route(pricing: EventPricing) -> Route:
    """Give the route by which gateways ask for the prices of an event that they have put into the log."""

    async def price(call: Call) -> web.StreamResponse:
        prices = await pricing.price_sent(world_of(call), await read_body(call.request), place_of(call))
        return json_response({"id": prices.id, "result": prices.result})

    return Route("POST", PRICES_PATH, None, internal_only(price), "Price an event that was appended", "internal")


class _Prices:
    def __init__(self, pricing: EventPricing) -> None:
        self._pricing = pricing

    async def simulate(self, call: Call) -> web.Response:
        wanted = read_wanted(call.request.query)
        require_json(call.request)
        event = read_simulated(await read_body(call.request), self._pricing.clock())
        if event.customer_id is None and wanted.subscription_id is not None:
            customer_id = await self._pricing.pricer.customer_of(call.world, wanted.subscription_id)
            event = replace(event, customer_id=customer_id)
        prices, cutoff = await self._pricing.price_imagined(call.world, event)
        result = wanted.of([price_document(price) for price in prices])
        return json_response({"id": new_id("cal"), "result": result}, headers=AsOf(cutoff).headers)

    async def list(self, call: Call) -> web.Response:
        sought = Sought(
            values_of(call, "calculation_id", commas=True),
            values_of(call, "record_id", commas=True),
            values_of(call, "event_type"),
        )
        found = await self._pricing.list(call.world, sought, page_of(call))
        return json_response([kept_object(prices) for prices in found])
