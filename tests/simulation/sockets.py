"""Sockets between processes of one machine: bytes in order, cut anywhere, late when the other side stands still.

A process that dies hangs up; what it had written before still arrives. One that stands still takes connections, as a
kernel does for it, and answers nothing. Under asyncio's seams `create_unix_connection` and `create_unix_server`.
"""

from collections.abc import Callable
from pathlib import Path

from tests.simulation.scheduler import Process

CONNECT_S = 0.001


class Sockets:
    """Who listens where."""

    def __init__(self) -> None:
        self._listening: dict[str, tuple[Process, Callable]] = {}

    def listen(self, process: Process, factory, path: Path) -> "Listener":
        """Have a process take connections, in place of whoever did."""
        self._listening[str(path)] = (process, factory)
        return Listener()

    def connect(self, process: Process, factory, path: str):
        """Give `(transport, protocol)` of this side; the other side's process makes its own in a while.

        Raises:
            ConnectionRefusedError: nobody listens.
        """
        there, their_factory = self._listening.get(path, (None, None))
        if there is None or not there.alive:
            raise ConnectionRefusedError(f"nobody listens at {path}")
        here, other = Transport(process), Transport(there)
        here.peer, other.peer = other, here
        here.protocol = factory()
        here.protocol.connection_made(here)
        other.arrive(lambda: other.begin(their_factory))
        return here, here.protocol


class Listener:
    """What `create_unix_server` gives."""

    def close(self) -> None:
        """Do nothing: processes here die without a word."""


class Transport:
    """One side of a connection."""

    def __init__(self, process: Process) -> None:
        self.protocol = None
        self.peer: Transport | None = None
        self._process = process
        self._random = process.scheduler.random
        self._faults = process.scheduler.faults
        self._arrived_at = 0.0
        self._closing = False
        self._reading = True
        self._unread: list[bytes] = []
        process.at_death.append(self._hang_up)

    def begin(self, factory) -> None:
        """Take the connection."""
        self.protocol = factory()
        self.protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        """Send bytes; they arrive in pieces."""
        while data and not self._closing:
            size = self._random.choice((len(data), len(data), self._random.randint(1, len(data))))
            self.peer.arrive(lambda piece=data[:size]: self.peer.receive(piece))
            data = data[size:]

    def arrive(self, what: Callable[[], None]) -> None:
        """Have something happen on this side after all that was sent here before."""
        loop = self._process.loop
        self._arrived_at = max(self._arrived_at, loop.time() + self._faults.latency(CONNECT_S))
        loop.call_at(self._arrived_at, what)

    def receive(self, piece: bytes) -> None:
        """Hand bytes to the protocol, unless it does not read now."""
        if self._closing:
            return
        if self._reading:
            self.protocol.data_received(piece)
        else:
            self._unread.append(piece)

    def pause_reading(self) -> None:
        """Keep what comes."""
        self._reading = False

    def resume_reading(self) -> None:
        """Hand over what was kept, then what comes."""
        self._reading = True
        unread, self._unread = self._unread, []
        for piece in unread:
            self._process.loop.call_soon(self.receive, piece)

    def is_closing(self) -> bool:
        """Tell whether this side has hung up, or was hung up on."""
        return self._closing

    def abort(self) -> None:
        """Hang up."""
        if not self._closing:
            self._process.loop.call_soon(self.lose)
            self._hang_up()

    close = abort

    def lose(self) -> None:
        """Learn that the connection is over."""
        if not self._closing:
            self._closing = True
            if self.protocol is not None:
                self.protocol.connection_lost(None)

    def _hang_up(self) -> None:
        self.peer.arrive(self.peer.lose)
