"""Read the bodies of requests within time, size and the worker's budget."""

import asyncio

from aiohttp import web

from ingest.gateway.body_budget import BodyBudget
from metering.http.problem import ApiError
from metering.http.reading import BODY_BYTES_MAX, read_body

BODY_WAIT_S_MAX = 60.0
"""How long a client may take to send a body: 32 MiB at 5 Mbit/s."""


async def body_of(request: web.BaseRequest, budget: BodyBudget, account_id: str) -> bytes:
    """Give the whole body, decompressed.

    Raises:
        ApiError: 400, 413 or 415 as `metering.http.reading.read_body`; 408 when it does not come in time, 503 when the
            worker holds too much already, or too much of this account.
    """
    content = request.content
    if content.is_eof() and "Content-Encoding" not in request.headers:
        return content.read_nowait(-1)  # It came with the head, so it is small: the usual single event.
    declared = request.content_length
    with budget.hold(account_id, min(declared or 0, BODY_BYTES_MAX)) as held:
        await _invite(request)
        try:
            async with asyncio.timeout(BODY_WAIT_S_MAX):
                return await read_body(request, held.grow)
        except TimeoutError:
            raise ApiError(408, f"the body did not come within {BODY_WAIT_S_MAX:.0f} s: send less at once") from None
        except web.RequestPayloadError as error:
            raise ApiError(400, f"the body cannot be read: {error}") from None


async def _invite(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
