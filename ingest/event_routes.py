"""The routes that gateways answer themselves, for the one table of routes: sending events and retracting them.

The core has them in its table so that they are described, and so that what it says of other methods at their paths is
true. It does not answer them: a request that gets there was not dispatched by a gateway.
"""

from collections.abc import Sequence

from aiohttp import web

from metering.api.events import EVENT
from metering.http.problem import ApiError
from metering.http.route import Call, Route
from metering.http.scope import Scope
from metering.http.shapes import ANY_OBJECT, INTEGER, TEXT, Shape, array_of, described, object_of, one_of

TAG = "Events"

SEND_EVENT = ("POST", "/v1/events")
SEND_BATCH = ("POST", "/v1/events/batch")
SEND_EVENT_V2 = ("POST", "/v2/events")
SEND_BATCH_V2 = ("POST", "/v2/events/batch")
RETRACT = ("DELETE", "/v1/events")
PRICE_EVENT = ("POST", "/v1/events/prices")
"""Described in `ingest.prices.api`."""

NEW_EVENT = object_of(
    {
        "customer_id": described(TEXT, "The customer's id, ours or yours; 1 to 255 characters."),
        "event_type": described(TEXT, "What happened; 1 to 255 characters."),
        "timestamp": described(
            {"type": ["string", "integer"]},
            "ISO 8601, UTC where it has no offset, or epoch milliseconds; from 1980 to before 2100.",
        ),
        "record": described(
            ANY_OBJECT,
            "`id`, text or a number, and at most 24 more properties: text, numbers, booleans, null, arrays of these. "
            "An event with the `event_type` and `id` of an earlier one is its new version.",
        ),
    },
    title="NewEvent",
)
_FAILED = {
    **object_of(
        {
            "index": described(INTEGER, "Where it stood in the request."),
            "error": object_of({"code": TEXT, "path": array_of({"type": ["string", "integer"]}), "message": TEXT}),
        },
        title="FailedEvent",
    ),
    "additionalProperties": described({}, "The event as it was sent."),
}
_BATCH_ANSWER = object_of(
    {
        "events_created": array_of(EVENT),
        "events_created_count": described(INTEGER, "In place of `events_created` with `Prefer: return=minimal`."),
        "events_failed": described(array_of(_FAILED), "Each as it was sent, with its `index` and `error`."),
    },
    title="BatchAnswer",
    required=("events_failed",),
)
_BATCH_ANSWER_V2 = object_of(
    {
        "events_accepted": array_of(EVENT),
        "events_accepted_count": described(INTEGER, "In place of `events_accepted` with `Prefer: return=minimal`."),
        "events_failed": described(array_of(_FAILED), "Each as it was sent, with its `index` and `error`."),
    },
    title="BatchAnswerV2",
    required=("events_failed",),
)
_RETRACTION = object_of(
    {
        "matching": one_of(("record_ids", "customer_id", "event_type", "all")),
        "record_ids": described(array_of({"type": ["string", "number"]}), "1 to 5000; of every event_type."),
        "customer_id": described(TEXT, "The customer's id, ours or yours."),
        "event_type": described(TEXT, "Narrows what the others match."),
    },
    title="Retraction",
    required=("matching",),
)
_BATCH: Shape = {**array_of(NEW_EVENT), "minItems": 1, "maxItems": 5000}


def event_routes() -> Sequence[Route]:
    """Give the routes that gateways answer, described."""
    ingest = Scope.INGEST
    one, batch = "Send one event; 2xx once it is durable", "Send up to 5000 events; a bad one never stops the others"
    retract = "Retract current events; the answer is how many"
    return [
        Route(*SEND_EVENT, ingest, misdirected, one, TAG, 201, body=NEW_EVENT, answer=object_of({})),
        Route(*SEND_BATCH, ingest, misdirected, batch, TAG, 201, body=_BATCH, answer=_BATCH_ANSWER),
        Route(*SEND_EVENT_V2, ingest, misdirected, one, TAG, 202, body=NEW_EVENT, answer=object_of({})),
        Route(*SEND_BATCH_V2, ingest, misdirected, batch, TAG, 202, body=_BATCH, answer=_BATCH_ANSWER_V2),
        Route(*RETRACT, ingest, misdirected, retract, TAG, body=_RETRACTION, answer=INTEGER),
    ]


async def misdirected(call: Call) -> web.StreamResponse:
    """Say where a request belongs that was not dispatched by a gateway."""
    raise ApiError(421, f"{call.request.method} {call.request.path} is answered by a gateway: send it to the address")
