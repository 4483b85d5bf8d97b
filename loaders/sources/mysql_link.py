"""A connection to MySQL or MariaDB, whose rows are read as they come: PyMySQL connects and asks, and this reads on.

PyMySQL makes an object of each packet and each value; here rows are cut out of what the socket gives, and a column is
decoded at once. A result ends with the server's own mark and with nothing else: a stream that ends without it raises.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import COMMAND, SERVER_STATUS
from pymysql.protocol import MysqlPacket

from loaders.errors import QueryCancelledError, QueryError, QueryTimeoutError, SourceError, SourceUnavailableError
from loaders.limits import SourceLimits
from loaders.sources.mysql_rows import RawRow, RowCutter
from loaders.sources.mysql_types import Field

LOOK_S = 0.25
"""How often a waiting thread looks whether it was cancelled meanwhile."""
KILL_AGAIN_S = 2.0
READ_BYTES = 256 * 1024
STREAM_TIMES = 4
"""The server's own limit of time counts how long we take to read, too: so it is this much wider than ours."""

Connect = Callable[[], "Connection[Any]"]


class Link:
    """A session that only reads. It raises PyMySQL's errors, and ours where we end something."""

    def __init__(self, connect: Connect, limits: SourceLimits, cancelled: Callable[[], bool]) -> None:
        self._connect = connect
        self._limits = limits
        self._cancelled = cancelled
        self._connection = connect()
        self._number: int = self._connection.thread_id()  # type: ignore[no-untyped-call]
        self._socket: socket.socket = self._connection._sock  # type: ignore[attr-defined]  # noqa: SLF001
        self._incoming = _Incoming(self._received)
        self._connection._rfile = self._incoming  # type: ignore[attr-defined]  # noqa: SLF001
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._waited_s = 0.0
        self._reading = False
        self._killed_at = 0.0
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> bool:
        """Tell whether it cannot be used any more."""
        return not self._connection.open

    def _set_up(self) -> None:
        (row,) = self.rows("SELECT VERSION(), @@sql_mode")
        version, sql_mode = ((one or b"").decode() for one in row)
        for statement in session(version, sql_mode, self._limits):
            self.rows(statement)

    def begin(self) -> None:
        """Begin a transaction that only reads."""
        self._waited_s = 0.0
        self.rows("START TRANSACTION READ ONLY")

    def end(self) -> None:
        """End it."""
        self.rows("ROLLBACK")

    def rows(self, text: str) -> list[RawRow]:
        """Run a statement and give its rows."""
        return [row for rows in self.ask(text)[1] for row in rows]

    def ask(self, text: str) -> tuple[list[Field], Iterator[list[RawRow]]]:
        """Run a statement; give its columns, and its rows as they come, some at a time."""
        connection: Any = self._connection
        if self._cancelled():
            raise QueryCancelledError("the query was cancelled")
        connection._execute_command(COMMAND.COM_QUERY, text)  # noqa: SLF001
        self._reading = True
        try:
            connection._read_query_result(unbuffered=True)  # noqa: SLF001
        except _ODD as error:
            raise SourceUnavailableError(f"MySQL sent what is no answer: {type(error).__name__}") from None
        result = connection._result  # noqa: SLF001
        if not result.unbuffered_active:
            self._reading = False
            return [], iter(())
        result.unbuffered_active = False  # What follows is read here.
        fields = [Field(one.name, one.type_code, one.flags, one.charsetnr, one.length) for one in result.fields]
        return fields, self._read(len(fields))

    def escaped(self, value: str) -> str:
        """Give text as a literal in quotes."""
        return str(self._connection.escape(value))

    def kill(self) -> None:
        """End what runs, by a second connection; from any thread."""
        self._killed_at = time.monotonic()
        with contextlib.suppress(pymysql.Error, SourceError, OSError):
            other = self._connect()
            with contextlib.closing(other), other.cursor() as cursor:
                cursor.execute(f"KILL QUERY {self._number:d}")

    def close(self) -> None:
        """Let go; what runs is ended at the server."""
        if self._reading:
            self.kill()
        self._reading = False
        connection: Any = self._connection
        connection._force_close()  # noqa: SLF001 - Without a word to a server that may be gone.

    def _read(self, columns: int) -> Iterator[list[RawRow]]:
        """Cut rows out of what comes, until the server's mark of the end."""
        connection: Any = self._connection
        cutter = RowCutter(columns, connection._next_seq_id)  # noqa: SLF001
        data = self._incoming.taken()
        while True:
            rows = cutter.cut(data)
            if rows:
                yield rows
            if cutter.last is not None:
                self._finish(MysqlPacket(cutter.last, connection.encoding))
                return
            data = self._received()
            if not data:
                raise SourceUnavailableError("MySQL closed the connection in the middle of a result")

    def _finish(self, packet: MysqlPacket) -> None:
        """Take the mark of the end, or the error that came in its place."""
        self._reading = False
        packet.check_error()
        status = int.from_bytes(packet.get_bytes(3, 2), "little")
        if status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS:
            self.close()
            raise QueryError("the query has more than one result, and one is allowed")
        if self._cancelled():  # Some functions end with a value when they are interrupted, as if nothing were.
            raise QueryCancelledError("the query was cancelled")
        if self._waited_s > self._limits.statement_s_max:
            raise self._too_slow()

    def _received(self) -> bytes:
        """Give some bytes more as soon as there are any; who waits notices a cancel and a limit of time."""
        began = time.monotonic()
        while not self._pending() and not self._poll.poll(LOOK_S * 1000):
            if self._waited_s + time.monotonic() - began > self._limits.statement_s_max:
                raise self._too_slow()
            if self._cancelled() and time.monotonic() - self._killed_at > KILL_AGAIN_S:
                self.kill()
        data: bytes = self._socket.recv(READ_BYTES)
        self._waited_s += time.monotonic() - began
        return data

    def _pending(self) -> int:
        return self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0

    def _too_slow(self) -> QueryTimeoutError:
        seconds = self._limits.statement_s_max
        return QueryTimeoutError(f"the query took longer than {seconds:g} s: narrow it, or add an index")


def session(version: str, sql_mode: str, limits: SourceLimits) -> Sequence[str]:
    """Give what sets a session up: limits that MySQL and MariaDB name differently, and what `loaders.sql` relies on."""
    kept = ",".join(mode for mode in sql_mode.split(",") if mode and mode not in _OTHER_QUOTES)
    limit_s = limits.statement_s_max * STREAM_TIMES
    mariadb = "mariadb" in version.lower()
    limit = f"max_statement_time = {limit_s:.3f}" if mariadb else f"max_execution_time = {round(limit_s * 1000)}"
    settings = (
        f"sql_mode = '{kept}'",
        "time_zone = '+00:00'",
        "sql_select_limit = 18446744073709551615",
        "net_write_timeout = 900",
        limit,
    )
    return (
        *(f"SET SESSION {one}" for one in settings),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    )


class _Incoming:
    """What PyMySQL reads from, in place of a file that might keep bytes back from us."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._bytes = b""

    def read(self, count: int) -> bytes:
        """Give so many bytes, or fewer when the connection was closed."""
        while len(self._bytes) < count:
            more = self._receive()
            if not more:
                break
            self._bytes += more
        found, self._bytes = self._bytes[:count], self._bytes[count:]
        return found

    def taken(self) -> bytes:
        """Give what came and was not read yet."""
        found, self._bytes = self._bytes, b""
        return found

    def close(self) -> None:
        """There is nothing to let go of."""


_ODD = (struct.error, LookupError, AttributeError, ValueError, TypeError, RuntimeError, AssertionError)
"""What PyMySQL raises where an answer is not what it should be."""
_OTHER_QUOTES = frozenset(
    {
        "ANSI_QUOTES",
        "NO_BACKSLASH_ESCAPES",
        "ANSI",
        "DB2",
        "MAXDB",
        "MSSQL",
        "ORACLE",
        "POSTGRESQL",
        "EMPTY_STRING_IS_NULL",
    }
)
"""Modes by which a server would divide a query in another way than `loaders.sql` does."""
