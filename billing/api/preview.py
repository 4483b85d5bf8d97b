"""`POST /v1/prices/preview`: what given prices make of given usage, nothing stored."""

import asyncio

from aiohttp import web

from billing.api.refusals import answered
from billing.api.shapes import PREVIEW, PREVIEW_BODY
from billing.pricing.preview import preview
from metering.http.app import json_response
from metering.http.reading import read_object
from metering.http.route import Call, Route
from metering.http.scope import Scope

TAG = "Prices"


def preview_routes() -> list[Route]:
    """Give the route of the preview; it stands on nothing but its request."""
    summary = "Rate quantities, events or price groups by given prices"
    return [Route("POST", "/v1/prices/preview", Scope.READ, _preview, summary, TAG, body=PREVIEW_BODY, answer=PREVIEW)]


async def _preview(call: Call) -> web.Response:
    request = await read_object(call.request)
    with answered():
        # In a thread: the largest request takes a second, in which other calls go on.
        answer = await asyncio.to_thread(preview, request)
    return json_response(answer)
