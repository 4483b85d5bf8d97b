"""Connections of the driver that go only where the operator lets them, and that another thread can cut.

The driver learns of hosts by itself: from the name system, and from a replica set's members, who name each other. So
each connection is judged where it is made: the name is resolved once, every address is judged, and one of those that
were judged is dialled; TLS still holds the certificate against the name. The driver has no seat for that, so the one
function that dials is replaced for connections of `JudgedPool`; a connection that did not pass there is not used.
"""

import os
import socket
import threading
import weakref
from contextvars import ContextVar
from typing import Any, ClassVar

from pymongo import pool_shared
from pymongo.errors import AutoReconnect
from pymongo.pool_options import PoolOptions
from pymongo.synchronous.pool import Connection, Pool

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.hosts import HostPolicy

MESSAGE_BYTES_MAX = 48_000_000
"""Of one answer, whatever the server says of itself: MongoDB's own limit."""


class Gate:
    """What one client's connections have in common: who may be dialled, which are open, whether all is over."""

    def __init__(self, policy: HostPolicy) -> None:
        self.policy = policy
        self.denied: SourceDeniedError | None = None
        """The last refusal: the driver goes on without that host, and says of it only that none was found."""
        self._lock = threading.Lock()
        self._closed = False
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()

    def enter(self, connection: Connection) -> bool:
        """Keep a connection in mind; whether the gate is still open."""
        with self._lock:
            self._open.add(connection)
            return not self._closed

    def close(self) -> None:
        """Cut all connections, whoever waits for them, and let no other be made."""
        with self._lock:
            self._closed = True
            connections = list(self._open)
        for connection in connections:
            _cut(connection)

    def dial(self, address: tuple[str, int | None], options: PoolOptions) -> socket.socket:
        """Connect to one of a host's addresses, each judged."""
        if self._closed:
            raise AutoReconnect("the connection was closed")
        host, port = address[0], address[1] or 0  # None is a socket file's, whose name is no host's.
        try:
            pinned = self.policy.pinned(host, port)
        except SourceDeniedError as error:
            self.denied = error
            raise
        except SourceUnavailableError as error:
            raise OSError(str(error)) from None
        last: OSError | None = None
        for one in pinned:
            try:
                return _dial((one, port), options)
            except OSError as error:
                last = error
        raise last or OSError(f"the host {host} has no address")


class JudgedPool(Pool):
    """The connections to one server."""

    gate: ClassVar[Gate]

    def connect(self, handler: Any = None) -> Connection:
        """Make a connection that passed the gate."""
        passage = _Passage(self.gate)
        token = _PASSAGE.set(passage)
        try:
            connection = super().connect(handler)
        finally:
            _PASSAGE.reset(token)
        if not passage.used or not self.gate.enter(connection):
            _cut(connection)
            raise AutoReconnect("the connection was closed")
        connection.max_message_size = min(connection.max_message_size, MESSAGE_BYTES_MAX)
        return connection


class _Passage:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.used = False


def pool_of(gate: Gate) -> type[JudgedPool]:
    """Give the class of pools of one client."""
    return type("JudgedPool", (JudgedPool,), {"gate": gate})


def _cut(connection: Connection) -> None:
    """End a connection under whoever reads from it: to close it would leave that thread waiting."""
    try:
        with socket.socket(fileno=os.dup(connection.conn.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed already.


_PASSAGE: ContextVar[_Passage | None] = ContextVar("_PASSAGE", default=None)
_dial = pool_shared._create_connection  # noqa: SLF001 - see above.


def _dial_judged(address: tuple[str, int | None], options: PoolOptions) -> socket.socket:
    passage = _PASSAGE.get()
    if passage is None:
        return _dial(address, options)
    passage.used = True
    return passage.gate.dial(address, options)


pool_shared._create_connection = _dial_judged  # noqa: SLF001
