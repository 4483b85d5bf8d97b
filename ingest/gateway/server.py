"""The HTTP server of a gateway worker: aiohttp's low-level one, with limits on what a connection may cost."""

import asyncio
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from ingest.gateway.gateway import Answer
from metering.http.app import SECURITY_HEADERS, problem_response

HEAD_LINE_BYTES_MAX = 8190
HEADERS_MAX = 100
FIRST_HEAD_WAIT_S_MAX = 20.0
"""How long a connection may be open without a whole request head; later heads are bounded by `KEEPALIVE_S_MAX`."""
KEEPALIVE_S_MAX = 75.0
UNREAD_BODY_WAIT_S_MAX = 5.0
"""How long a body that was refused unread is passed over before the connection is closed."""
READ_BYTES = 256 * 1024

_SHOWN_CHARACTERS_MAX = 100


class _Connection(RequestHandler):
    """One connection, which tells in the one error shape what is no HTTP, and logs nothing for it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in the place of a request that could not be read; the connection ends with it."""
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        what = (message or "it cannot be read").partition("\n")[0][:_SHOWN_CHARACTERS_MAX].rstrip(":")
        response = problem_response(400, f"this is no HTTP request: {what}", headers=SECURITY_HEADERS)
        response.force_close()
        return response


class GatewayServer(web.Server):
    """Hands each request to one function; closes connections that do not get to a request in time."""

    def __init__(self, answer: Answer, first_head_wait_s_max: float = FIRST_HEAD_WAIT_S_MAX) -> None:
        super().__init__(
            answer,
            request_factory=self._begin,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S_MAX,
            lingering_time=UNREAD_BODY_WAIT_S_MAX,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            read_bufsize=READ_BYTES,
        )
        self._first_head_wait_s_max = first_head_wait_s_max
        self._silent: dict[RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> RequestHandler:
        """Begin a connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._first_head_wait_s_max, transport.abort)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Stop waiting."""
        self._stop_waiting(handler)
        super().connection_lost(handler, exc)

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        if protocol in self._silent:
            self._stop_waiting(protocol)
        return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())

    def _stop_waiting(self, handler: RequestHandler) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()
