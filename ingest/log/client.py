"""Append to a log that another process holds: the side that gateway workers hold.

All appends of one event-loop tick leave in one socket write, grouped into messages, so that the log process sees a few
requests where clients sent thousands. Every wait has a limit: for a connection, for an answer, for room.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.log.exchange import (
    ANSWER_BYTES,
    Answer,
    Request,
    RequestKind,
    Status,
    pack_request,
    unpack_answer,
)
from ingest.log.protocol import Receipt
from ingest.log.waiting import Waiting, answer, check_size, group, refuse
from ingest.wire import Section, encode

WAITING_BYTES_MAX = 64 * 1024 * 1024
CONNECT_WAIT_S_MAX = 2.0
ANSWER_WAIT_S_MAX = 30.0
_RETRY_S_MIN = 0.01
_RETRY_S_MAX = 0.5


class RemoteLogWriter:
    """A `LogWriter` over the log process's socket; it connects, and connects again, by itself."""

    def __init__(
        self, socket_path: Path, waiting_bytes_max: int, connect_wait_s_max: float, answer_wait_s_max: float
    ) -> None:
        self._socket_path = socket_path
        self._waiting_bytes_max = waiting_bytes_max
        self._connect_wait_s_max = connect_wait_s_max
        self._answer_wait_s_max = answer_wait_s_max
        self._loop = asyncio.get_running_loop()
        self._waiting_bytes = 0
        self._this_tick: list[Waiting] = []
        self._unsent: deque[tuple[float, list[Waiting]]] = deque()
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._closed = False
        self._drained = asyncio.Event()
        self._connecting = asyncio.create_task(self._stay_connected())

    @classmethod
    async def open(
        cls,
        socket_path: Path,
        *,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        connect_wait_s_max: float = CONNECT_WAIT_S_MAX,
        answer_wait_s_max: float = ANSWER_WAIT_S_MAX,
    ) -> Self:
        """Begin to connect; the log process may come later, and appends wait for it up to `connect_wait_s_max`."""
        return cls(socket_path, waiting_bytes_max, connect_wait_s_max, answer_wait_s_max)

    async def append(self, section: Section) -> Receipt:
        """Put a section into the log and return once it is durable: see `LogWriter`.

        Raises:
            LogUnavailableError: no connection came in time, or it was lost before the answer (outcome unknown).
            LogOverloadedError: too many bytes wait here or in the log process; nothing was written.
            ValueError: no message can hold the section.
        """
        payload = encode((section,))
        check_size(payload, section.events)
        if self._closed:
            raise LogUnavailableError(f"the writer to {self._socket_path} is closed")
        size = self._waiting_bytes + len(payload)
        if size > self._waiting_bytes_max and self._waiting_bytes:  # A large section still goes in alone.
            raise LogOverloadedError(f"{self._waiting_bytes} bytes wait for the log, {self._waiting_bytes_max} may")
        self._waiting_bytes = size
        if not self._this_tick:
            self._loop.call_soon(self._end_tick)
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._this_tick.append(Waiting(payload, section.events, future))
        return await future

    async def trim(self, before_offset: int) -> int:
        """Have whole segments below an offset unlinked, and give the first offset that is left.

        Raises:
            LogUnavailableError: no answer came; call it again.
        """
        return await (await self._reach()).ask(RequestKind.TRIM, before_offset)

    async def seal(self) -> int:
        """Have the last segment ended, and give where the next one begins.

        Raises:
            LogUnavailableError: no answer came; call it again.
        """
        return await (await self._reach()).ask(RequestKind.SEAL, 0)

    async def close(self) -> None:
        """Wait for what is under way, each within its limit, then hang up; may be called again."""
        self._closed = True
        if self._waiting_bytes:
            await self._drained.wait()
        self._connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._connecting

    def _end_tick(self) -> None:
        appends = self._this_tick
        self._this_tick = []
        if self._connection is not None and self._connection.is_open:
            self._connection.send(appends)
        else:
            give_up_at = self._loop.time() + self._connect_wait_s_max
            self._unsent.append((give_up_at, appends))
            self._loop.call_at(give_up_at, self._give_up)

    def _give_up(self) -> None:
        """Fail what waited too long for a connection: it was never sent."""
        while self._unsent and self._unsent[0][0] <= self._loop.time():
            _, appends = self._unsent.popleft()
            self.settle(appends)
            refuse(appends, LogUnavailableError, self._no_connection())

    def settle(self, appends: Sequence[Waiting]) -> None:
        """Stop counting appends that are about to be answered or refused."""
        self._waiting_bytes -= sum(len(append.payload) for append in appends)
        if self._closed and not self._waiting_bytes:
            self._drained.set()

    async def _reach(self) -> "_Connection":
        try:
            async with asyncio.timeout(self._connect_wait_s_max):
                await self._connected.wait()
        except TimeoutError:
            raise LogUnavailableError(self._no_connection()) from None
        assert self._connection is not None
        return self._connection

    async def _stay_connected(self) -> None:
        retry_s = _RETRY_S_MIN
        while True:
            try:
                _, connection = await self._loop.create_unix_connection(
                    lambda: _Connection(self, self._answer_wait_s_max), str(self._socket_path)
                )
            except OSError:  # Not there, or nobody listens: the log process is starting again.
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _RETRY_S_MAX)
                continue
            self._connection = connection
            try:
                while self._unsent and connection.is_open:
                    connection.send(self._unsent.popleft()[1])
                self._connected.set()
                await connection.lost
                retry_s = _RETRY_S_MIN
            finally:
                self._connected.clear()
                self._connection = None
                connection.hang_up()

    def _no_connection(self) -> str:
        return f"no log process has answered at {self._socket_path} for {self._connect_wait_s_max} s: send again"


class _Connection(asyncio.Protocol):
    """One connection's life: what was sent over it and not yet answered."""

    def __init__(self, writer: RemoteLogWriter, answer_wait_s_max: float) -> None:
        self._writer = writer
        self._answer_wait_s_max = answer_wait_s_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._next_request_id = 0
        self._appends: dict[int, list[Waiting]] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._sent_at: deque[tuple[float, int]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent; the writer learns of a loss only a tick later."""
        return self._transport is not None

    def send(self, appends: list[Waiting]) -> None:
        """Send appends in one write."""
        assert self._transport is not None
        parts: list[bytes] = []
        for shared in group(appends):
            request_id = self._new_request_id()
            self._appends[request_id] = shared
            size = sum(len(append.payload) for append in shared)
            events = sum(append.events for append in shared)
            parts.append(pack_request(Request(RequestKind.APPEND, size, request_id, events)))
            parts.extend(append.payload for append in shared)
        self._transport.write(b"".join(parts))

    async def ask(self, kind: RequestKind, argument: int) -> int:
        """Send a request without a body and wait for the offset that answers it."""
        if self._transport is None:
            raise LogUnavailableError("the connection to the log process is lost: call again")
        request_id = self._new_request_id()
        self._asked[request_id] = self._loop.create_future()
        self._transport.write(pack_request(Request(kind, 0, request_id, argument)))
        return await self._asked[request_id]

    def hang_up(self) -> None:
        """Close the connection; what is not answered by now fails."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._watch = self._loop.call_later(self._answer_wait_s_max, self._check_age)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature.
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        for appends in self._appends.values():
            self._refuse(appends)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(LogUnavailableError("the connection to the log process was lost: call again"))
        self._appends.clear()
        self._asked.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        whole = len(self._unread) - len(self._unread) % ANSWER_BYTES
        for at in range(0, whole, ANSWER_BYTES):
            self._take(unpack_answer(self._unread, at))
        del self._unread[:whole]

    def _take(self, found: Answer) -> None:
        asked = self._asked.pop(found.request_id, None)
        if asked is not None:
            if not asked.done():
                if found.status == Status.DONE:
                    asked.set_result(found.offset)
                else:
                    asked.set_exception(LogUnavailableError("the log process could not do it: see what it says"))
            return
        appends = self._appends.pop(found.request_id)
        self._writer.settle(appends)
        if found.status == Status.DONE:
            answer(appends, found.offset, found.first_index)
        elif found.status == Status.OVERLOADED:
            refuse(appends, LogOverloadedError, "the log process has too much waiting: send again later")
        else:
            refuse(appends, LogUnavailableError, "the log process could not write: the outcome is unknown, send again")

    def _refuse(self, appends: list[Waiting]) -> None:
        self._writer.settle(appends)
        refuse(appends, LogUnavailableError, "the connection to the log process was lost: outcome unknown, send again")

    def _new_request_id(self) -> int:
        self._next_request_id += 1
        self._sent_at.append((self._loop.time(), self._next_request_id))
        return self._next_request_id

    def _check_age(self) -> None:
        """Hang up when the oldest request has waited too long, which fails all that is under way."""
        while self._sent_at and self._sent_at[0][1] not in self._appends and self._sent_at[0][1] not in self._asked:
            self._sent_at.popleft()
        now = self._loop.time()
        oldest = self._sent_at[0][0] if self._sent_at else now
        due = oldest + self._answer_wait_s_max
        if now >= due:  # The very moment that is waited for: reckoned otherwise, it may never be reached.
            self.hang_up()
        else:
            self._watch = self._loop.call_at(due, self._check_age)
