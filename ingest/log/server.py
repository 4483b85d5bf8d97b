"""Let several gateway processes append through the one process that holds the log's files.

Every complete request is put into the writer as it arrives, so requests of all connections share commits; answers of
one tick leave in one write. Bounded: above `waiting_bytes_max` the server stops reading its sockets, and the clients'
own bounds then refuse what comes. A client that does not read its answers is not read from either.
"""

import asyncio
import os
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Protocol, Self, cast

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.exchange import (
    REQUEST_HEAD_BYTES,
    Answer,
    Request,
    RequestKind,
    Status,
    pack_answer,
    unpack_request,
)
from ingest.log.frames import PAYLOAD_BYTES_MAX
from ingest.log.protocol import Receipt
from ingest.log.waiting import PARTITION

WAITING_BYTES_MAX = 32 * 1024 * 1024
"""Below the writer's own limit, so that clients are slowed before any is refused."""
HANG_UP_S_MAX = 1.0
_BACKLOG = 128


class Appends(Protocol):
    """What a server lets others append to: `LocalLogWriter`, or what stands before one."""

    def put(self, payload: bytes, events: int) -> asyncio.Future[Receipt]:
        """Put encoded sections into one message; the future is done once they are durable.

        Raises:
            LogOverloadedError: refused before anything was written.
            LogUnavailableError: it is closed or its disk failed.
        """
        ...

    async def trim(self, before_offset: int) -> int:
        """Unlink what lies below an offset, and give the first offset that is left."""
        ...

    async def seal(self) -> int:
        """End the last segment, and give where the next one begins."""
        ...


class LogServer:
    """The socket of one log; the writer stays its owner's to close."""

    def __init__(self, writer: Appends, socket_path: Path, waiting_bytes_max: int) -> None:
        self._writer = writer
        self._socket_path = socket_path
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting_bytes = 0
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None

    @classmethod
    async def open(cls, writer: Appends, socket_path: Path, *, waiting_bytes_max: int = WAITING_BYTES_MAX) -> Self:
        """Listen on a socket that only this user may connect to; one that a dead process left is replaced.

        Raises:
            OSError: the path is too long for a socket, is another kind of file, or its folder is not there.
        """
        server = cls(writer, socket_path, waiting_bytes_max)
        listener = asyncio.get_running_loop().create_unix_server
        server._listener = await listener(
            partial(_Connection, server), sock=bind_private(socket_path), backlog=_BACKLOG
        )
        return server

    async def close(self) -> None:
        """Stop accepting and reading, answer every request that was read, and hang up."""
        self._closing = True
        if self._listener is not None:
            self._listener.close()
        self._socket_path.unlink(missing_ok=True)
        self._steer()
        await self._idle.wait()
        await asyncio.sleep(0)  # The last answers are packed at the end of this tick.
        gone = [connection.hang_up() for connection in self._connections]
        if gone:
            await asyncio.wait(gone, timeout=HANG_UP_S_MAX)

    @property
    def is_reading(self) -> bool:
        """Whether connections are read from now."""
        return not self._closing and self._waiting_bytes <= self._waiting_bytes_max

    def joined(self, connection: "_Connection") -> None:
        """Know a new connection."""
        self._connections.add(connection)

    def left(self, connection: "_Connection") -> None:
        """Forget a connection; what it asked for still goes into the log."""
        self._connections.discard(connection)

    def take(self, connection: "_Connection", request: Request, body: bytes) -> None:
        """Begin one request, and answer it once it is done."""
        work: asyncio.Future[Receipt] | asyncio.Task[int]
        if request.kind == RequestKind.TRIM:
            work = asyncio.ensure_future(self._writer.trim(request.argument))
        elif request.kind == RequestKind.SEAL:
            work = asyncio.ensure_future(self._writer.seal())
        else:
            try:
                work = self._writer.put(body, request.argument)
            except LogOverloadedError:
                connection.answer(Answer(Status.OVERLOADED, 0, request.request_id, 0))
                return
            except LogUnavailableError:
                connection.answer(Answer(Status.UNAVAILABLE, 0, request.request_id, 0))
                return
        self._requests += 1
        self._idle.clear()
        self._waiting_bytes += request.body_bytes
        work.add_done_callback(partial(self._done, connection, request))
        if self._waiting_bytes > self._waiting_bytes_max:
            self._steer()

    def _done(self, connection: "_Connection", request: Request, work: "asyncio.Future[Receipt | int]") -> None:
        was_reading = self.is_reading
        self._waiting_bytes -= request.body_bytes
        self._requests -= 1
        if not self._requests:
            self._idle.set()
        if work.exception() is not None:
            connection.answer(Answer(Status.UNAVAILABLE, 0, request.request_id, 0))
        else:
            result = work.result()
            offset, index = (result, 0) if isinstance(result, int) else result.offsets[PARTITION]
            connection.answer(Answer(Status.DONE, index, request.request_id, offset))
        if self.is_reading and not was_reading:
            self._steer()

    def _steer(self) -> None:
        for connection in self._connections:
            connection.steer()


class _Connection(asyncio.Protocol):
    """One client: bytes in, requests to the server, answers out."""

    def __init__(self, server: LogServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._answers: list[bytes] = []
        self._reading = True
        self._writing = True
        self._gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.joined(self)
        self.steer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature.
        self._transport = None
        self._gone.set_result(None)
        self._server.left(self)

    def pause_writing(self) -> None:
        self._writing = False
        self.steer()

    def resume_writing(self) -> None:
        self._writing = True
        self.steer()

    def steer(self) -> None:
        """Read or stop reading, as the server and this client's own answers allow."""
        if self._transport is None or self._transport.is_closing():
            return
        wanted = self._writing and self._server.is_reading
        if wanted and not self._reading:
            self._transport.resume_reading()
        elif not wanted and self._reading:
            self._transport.pause_reading()
        self._reading = wanted

    def data_received(self, data: bytes) -> None:
        unread = self._unread
        unread += data
        at = 0
        while len(unread) - at >= REQUEST_HEAD_BYTES:
            request = unpack_request(unread, at)
            begin = at + REQUEST_HEAD_BYTES
            if request.body_bytes > PAYLOAD_BYTES_MAX or request.kind not in RequestKind.__members__.values():
                assert self._transport is not None
                self._transport.abort()  # No writer of this release: whatever follows has no meaning.
                return
            if len(unread) - begin < request.body_bytes:
                break
            at = begin + request.body_bytes
            with memoryview(unread) as view:
                body = bytes(view[begin:at])
            self._server.take(self, request, body)
        del unread[:at]

    def answer(self, answer: Answer) -> None:
        """Send an answer at the end of this tick, with all others of it."""
        if not self._answers:
            self._loop.call_soon(self._send)
        self._answers.append(pack_answer(answer))

    def hang_up(self) -> "asyncio.Future[None]":
        """Close once what was written is sent; the future is done when it is."""
        self._send()
        if self._transport is not None:
            self._transport.close()
        return self._gone

    def _send(self) -> None:
        if self._answers and self._transport is not None:
            self._transport.write(b"".join(self._answers))
        self._answers.clear()


def bind_private(path: Path) -> socket.socket:
    """Bind a socket that only this user may connect to; one that a dead process left is replaced.

    Raises:
        OSError: the path is too long for a socket, is another kind of file, or its folder is not there.
    """
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # The caller holds the installation's lock, so whoever listened here is dead.
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # Before the bind: the file is then never open to others (Linux).
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    return listener
