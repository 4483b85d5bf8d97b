"""A TCP proxy that cuts what passes: a client must be able to lose any answer at any byte and send again.

Requests are told apart (head, then as many bytes as Content-Length says), answers are not: what comes back first after
a request is the beginning of its answer. A cut connection is reset (RST), as a dying network does it.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections import Counter
from enum import StrEnum

CHUNK_BYTES = 64 * 1024
HEAD_BYTES_MAX = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RESET = struct.pack("ii", 1, 0)


class Cut(StrEnum):
    """Where a connection was cut."""

    IN_THE_REQUEST = "in the request"
    """The request arrived in part."""
    AFTER_THE_REQUEST = "after the request"
    """It was delivered; whoever answers finds nobody there, maybe while still at work."""
    BEFORE_THE_ANSWER = "before the answer"
    """It was answered, and no byte of that came through."""
    IN_THE_ANSWER = "in the answer"
    """A part of the answer came through."""


OF_ANSWERS = frozenset(Cut) - {Cut.IN_THE_REQUEST}
"""Cuts of requests that were delivered."""


class CuttingProxy:
    """Listens on a port of its own and passes on to `target`, a port of this machine.

    `cut_share` of all requests meet a cut, while it is not 0; `cuts` counts them by kind.
    """

    def __init__(self, target, chance, cut_share):
        self.target = target
        self.cut_share = cut_share
        self.cuts = Counter()
        self._chance = chance
        self._running = set()

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._running.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # The end of the proxy: nobody waits for this but it.
                await self._pass_on(reader, writer)
        finally:
            self._running.discard(task)

    async def _pass_on(self, reader, writer):
        try:
            target = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # Nobody there just now: as if there were no proxy.
            _reset(writer)
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        else:
            await _Connection(self, (reader, writer), target).run()

    def fate(self):
        """Draw what becomes of a request; None lets it and its answer through."""
        if self._chance.random() >= self.cut_share:
            return None
        return self._chance.choice(tuple(Cut))

    def part(self, size):
        """Draw how many bytes come through, not all."""
        return self._chance.randrange(size)

    def graceful(self):
        """Draw whether the product sees an orderly end rather than a reset."""
        return self._chance.random() < 0.5


class _Connection:
    def __init__(self, proxy, client, target):
        self._proxy = proxy
        self._reader, self._writer = client
        self._target_reader, self._target_writer = target
        for writer in (self._writer, self._target_writer):
            writer.transport.set_write_buffer_limits(high=0)  # Drained is delivered, as far as the kernel tells.
        self._fate = None

    async def run(self):
        """Pass on in both directions until either ends or the proxy cuts."""
        both = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            _reset(self._writer)
            if self._fate is Cut.AFTER_THE_REQUEST or self._proxy.graceful():
                self._target_writer.close()  # A reset might take delivered bytes with it.
            else:
                _reset(self._target_writer)
            for writer in (self._writer, self._target_writer):
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _requests(self):
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            found = _LENGTH.search(head)
            request = head + (await self._reader.readexactly(int(found[1])) if found else b"")
            self._fate = self._proxy.fate()
            if self._fate is Cut.IN_THE_REQUEST:
                request = request[: self._proxy.part(len(request))]
            self._target_writer.write(request)
            await self._target_writer.drain()
            if self._fate in {Cut.IN_THE_REQUEST, Cut.AFTER_THE_REQUEST}:
                self._proxy.cuts[self._fate] += 1
                return

    async def _answers(self):
        while chunk := await self._target_reader.read(CHUNK_BYTES):
            if self._fate in {Cut.BEFORE_THE_ANSWER, Cut.IN_THE_ANSWER}:
                if self._fate is Cut.IN_THE_ANSWER:
                    self._writer.write(chunk[: self._proxy.part(len(chunk))])
                    await self._writer.drain()
                self._proxy.cuts[self._fate] += 1
                return
            self._writer.write(chunk)
            await self._writer.drain()


def _reset(writer):
    if writer.transport.is_closing():
        return
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
