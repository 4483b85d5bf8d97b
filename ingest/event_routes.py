"""The routes that gateways answer themselves, for the one table of routes: sending events and retracting them.

The core has them in its table so that they are described, and so that what it says of other methods at their paths is
true. It does not answer them: a request that gets there was not dispatched by a gateway.
"""

from collections.abc import Sequence

from aiohttp import web

from ingest.rules import NAME_CHARACTERS_MAX, PROPERTIES_MAX
from metering.api.events import EVENT
from metering.http.problem import ApiError
from metering.http.route import Call, Parameter, Route
from metering.http.scope import Scope
from metering.http.shapes import (
    BOOLEAN,
    INTEGER,
    NAME,
    TEXT,
    Shape,
    array_of,
    bounded,
    described,
    object_of,
    one_of,
    request_of,
)
from metering.timestamps import EARLIEST_US, LATEST_US

TAG = "Events"

SEND_EVENT = ("POST", "/v1/events")
SEND_BATCH = ("POST", "/v1/events/batch")
SEND_EVENT_V2 = ("POST", "/v2/events")
SEND_BATCH_V2 = ("POST", "/v2/events/batch")
RETRACT = ("DELETE", "/v1/events")
PRICE_EVENT = ("POST", "/v1/events/prices")
"""Described in `ingest.prices.api`."""

_NUMBER: Shape = {"type": "number", "exclusiveMinimum": -(10**20), "exclusiveMaximum": 10**20}
_SCALAR: Shape = {"anyOf": [TEXT, _NUMBER, BOOLEAN, {"type": "null"}]}
_RECORD: Shape = {
    "type": "object",
    "properties": {"id": {"anyOf": [NAME, _NUMBER]}},
    "required": ["id"],
    "maxProperties": PROPERTIES_MAX,
    "propertyNames": NAME,
    "additionalProperties": {"anyOf": [*_SCALAR["anyOf"], array_of(_SCALAR)]},
}
NEW_EVENT = object_of(
    {
        "customer_id": described(NAME, "The customer's id, ours or yours."),
        "event_type": described(NAME, "What happened."),
        "timestamp": described(
            {"anyOf": [TEXT, bounded(INTEGER, EARLIEST_US // 1000, LATEST_US // 1000 - 1)]},
            "ISO 8601, UTC where it has no offset, or epoch milliseconds; from 1980 to before 2100.",
        ),
        "record": described(
            _RECORD,
            "`id` and at most 24 more properties. Numbers have at most 18 decimals; an event at most 64 KiB. "
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
_ID: Shape = {"type": "string", "minLength": 1, "maxLength": NAME_CHARACTERS_MAX}
_RETRACTION = request_of(
    {
        "matching": described(
            one_of(("record_ids", "customer_id", "event_type", "all")),
            "By what events are found; it may be absent where only one of the others is there.",
        ),
        "record_ids": described(
            array_of({"anyOf": [_ID, {"type": "number"}]}, least=1, most=5000), "Of every event_type."
        ),
        "customer_id": described(_ID, "The customer's id, ours or yours."),
        "event_type": described(_ID, "Narrows what the others match."),
    },
    title="Retraction",
)
_BATCH: Shape = described(
    array_of({"anyOf": [NEW_EVENT, {}]}, least=1, most=5000),
    "Each is judged by itself as a NewEvent: one that is none is told in `events_failed`, the others are taken.",
)
_RETRACTED = described(INTEGER, "How many.")
_ONE_QUERY = (
    Parameter(
        "with_price_calculation",
        "true: answer once the event is priced too, and tell its price as the message `event.price_calculated`.",
        BOOLEAN,
    ),
)
_SEND_FAILURES = (400, 401, 403, 408, 413, 415, 429, 503)


def event_routes() -> Sequence[Route]:
    """Give the routes that gateways answer, described."""
    ingest, failures = Scope.INGEST, _SEND_FAILURES
    one, batch = "Send one event; 2xx once it is durable", "Send up to 5000 events; a bad one never stops the others"
    retract = "Retract current events; the answer is how many"
    return [
        *(
            Route(
                *place,
                ingest,
                misdirected,
                one,
                TAG,
                status,
                _ONE_QUERY,
                body=NEW_EVENT,
                answer=object_of({}),
                failures=(*failures, 422),
            )
            for place, status in ((SEND_EVENT, 201), (SEND_EVENT_V2, 202))
        ),
        *(
            Route(
                *place,
                ingest,
                misdirected,
                batch,
                TAG,
                status,
                body=_BATCH,
                answer=answer,
                failures=failures,
                minimal_answer=True,
            )
            for place, status, answer in ((SEND_BATCH, 201, _BATCH_ANSWER), (SEND_BATCH_V2, 202, _BATCH_ANSWER_V2))
        ),
        Route(*RETRACT, ingest, misdirected, retract, TAG, body=_RETRACTION, answer=_RETRACTED, failures=failures),
    ]


async def misdirected(call: Call) -> web.StreamResponse:
    """Say where a request belongs that was not dispatched by a gateway."""
    raise ApiError(421, f"{call.request.method} {call.request.path} is answered by a gateway: send it to the address")
