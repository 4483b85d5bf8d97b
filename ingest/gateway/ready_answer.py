"""An answer whose bytes are ready: the one that nearly every request gets.

Building a `web.Response` costs as much as all the rest of a small request. This one goes to the transport as it is.
It keeps the connection, so it serves HTTP/1.1 requests that want that; `fits` tells.
"""

import time
from email.utils import formatdate

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from metering.http.app import SECURITY_HEADERS


class ReadyAnswer(web.StreamResponse):
    """One status and body, for any number of requests at once. It holds no state of a request."""

    def __init__(self, status: int, reason: str, body: bytes) -> None:
        super().__init__(status=status, reason=reason)
        lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in SECURITY_HEADERS.items()]
        self._before_date = "\r\n".join([*lines, "Date: "]).encode()
        self._after_date = b"\r\n\r\n" + body
        self._second = 0
        self._bytes = b""

    @staticmethod
    def fits(request: web.BaseRequest) -> bool:
        """Tell whether these bytes answer this request well, and its client reads its answers."""
        return request.version == HttpVersion11 and request.keep_alive and not request.protocol.writing_paused

    @property
    def keep_alive(self) -> bool:
        """Always: see `fits`."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it, in place of the headers alone."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._bytes = self._before_date + formatdate(now, usegmt=True).encode() + self._after_date
        transport.write(self._bytes)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all is sent."""
        assert not data
