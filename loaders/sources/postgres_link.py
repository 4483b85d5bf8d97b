"""A connection to PostgreSQL, spoken to without blocking: who waits notices a cancel, and a server that says nothing.

Rows come as text, made by psycopg's C loader, a chunk at a time: libpq holds no more of a result.
"""

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.types.string import TextLoader

from loaders.errors import QueryCancelledError, QueryError, QueryTimeoutError, SourceUnavailableError
from loaders.limits import SourceLimits
from loaders.source import Column, Parameter
from loaders.sources.postgres_types import TypeInfo, converter, kind_of
from loaders.sources.written import Convert

CANCEL_S_MAX = 5.0
LOOK_S = 0.25
"""How often a waiting thread looks whether it was cancelled meanwhile."""
CHUNK_BYTES_MAX = 64 * 1024 * 1024
"""How much may come in for one chunk of rows."""

_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = {statement_ms};
SET LOCAL idle_in_transaction_session_timeout = {idle_ms};
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL extra_float_digits = 3;
SET LOCAL bytea_output = 'hex';
SET LOCAL standard_conforming_strings = on;
SET LOCAL cursor_tuple_fraction = 1.0
"""
_IDLE_IN_TRANSACTION_S_MAX = 900
_DESCRIBED = (
    "SELECT oid, format_type(oid, NULL), typtype, CASE WHEN typcategory = 'A' THEN typelem ELSE 0 END FROM pg_type"
)
_INT8, _NUMERIC, _TIMESTAMP, _TIMESTAMPTZ = 20, 1700, 1114, 1184
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_BYTES_RECEIVED = slice(128, 136)  # tcpi_bytes_received in Linux's struct tcp_info.


class Context:
    """Every type comes as text."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.adapters = AdaptersMap()
        self.adapters.register_loader(0, TextLoader)


class Link:
    """A connection, spoken to without blocking. It raises psycopg's errors, and ours where we end something."""

    def __init__(self, connection: psycopg.Connection, limits: SourceLimits, cancelled: Callable[[], bool]) -> None:
        self._connection = connection
        self._limits = limits
        self._cancelled = cancelled
        self._socket = socket.socket(fileno=os.dup(connection.pgconn.socket))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._rows = Transformer(Context(connection))
        self._types: dict[int, TypeInfo] = {}
        self._waited_s = 0.0
        self._received_before = 0

    @property
    def lost(self) -> bool:
        """Tell whether it cannot be used any more."""
        return self._connection.closed or self._connection.pgconn.status != pq.ConnStatus.OK

    def begin(self) -> None:
        """Begin a transaction that only reads."""
        self._waited_s = 0.0
        statement_ms, idle_ms = round(self._limits.statement_s_max * 1000), _IDLE_IN_TRANSACTION_S_MAX * 1000
        self._connection.pgconn.send_query(_BEGIN.format(statement_ms=statement_ms, idle_ms=idle_ms).encode())
        self._drain()

    def end(self) -> None:
        """End it."""
        self._connection.pgconn.send_query(b"ROLLBACK")
        self._drain()

    def abandon(self) -> None:
        """End a transaction in the middle of something."""
        if self._connection.closed:
            return
        if self._connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            self.cancel()
            with contextlib.suppress(psycopg.Error):
                self._drain(ending=True)
        self._waited_s = 0.0
        self._connection.pgconn.send_query(b"ROLLBACK")
        self._drain(ending=True)

    def command(self, text: str, parameters: Sequence[Parameter] = ()) -> None:
        """Run a statement."""
        self._send(text, parameters)
        self._drain()

    def rows(self, text: str, parameters: Sequence[Parameter] = ()) -> list[tuple[str | None, ...]]:
        """Run a statement and give its rows."""
        self._send(text, parameters)
        (result,) = self._drain()
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)

    def fetch(self, cursor: str, rows: int, chunk_rows: int) -> Iterator[Sequence[tuple[str | None, ...]]]:
        """Give the next rows of a cursor, a chunk at a time."""
        pgconn = self._connection.pgconn
        pgconn.send_query_params(f"FETCH FORWARD {rows} FROM {cursor}".encode(), None)
        pgconn.set_chunked_rows_mode(chunk_rows)
        while (result := self._result()) is not None:
            self._judge(result)
            self._rows.set_pgresult(result)
            yield self._rows.load_rows(0, result.ntuples, tuple)
        if self._waited_s > self._limits.statement_s_max:
            raise QueryTimeoutError(f"the query took longer than {self._limits.statement_s_max:g} s: narrow it")

    def described(self, cursor: str, value_bytes_max: int) -> tuple[list[Column], list[Convert]]:
        """Tell the columns of a cursor, and what makes cells of each."""
        self._connection.pgconn.send_describe_portal(cursor.encode())
        (result,) = self._drain()
        oids = [result.ftype(n) for n in range(result.nfields)]
        infos = self._looked_up(oids)
        elements = self._looked_up([info.element for info in infos.values() if info.element])
        columns, converts = [], []
        for number, oid in enumerate(oids):
            info = infos[oid]
            name = (result.fname(number) or b"").decode()
            columns.append(Column(name, info.name, kind_of(info)))
            converts.append(converter(info, elements.get(info.element), value_bytes_max))
        return columns, converts

    def _looked_up(self, oids: Sequence[int]) -> dict[int, TypeInfo]:
        unknown = sorted({oid for oid in oids if oid not in self._types})
        if unknown:
            listed = ", ".join(map(str, unknown))
            for oid, name, typtype, element in self.rows(f"{_DESCRIBED} WHERE oid IN ({listed})"):
                self._types[int(oid or 0)] = TypeInfo(int(oid or 0), name or "", typtype or "b", int(element or 0))
        return {oid: self._types.get(oid) or TypeInfo(oid, str(oid)) for oid in oids}

    def cancel(self) -> None:
        """Ask the server to end what runs; from any thread."""
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.cancel_safe(timeout=CANCEL_S_MAX)

    def close(self) -> None:
        """Let go; what runs is cancelled."""
        if not self._connection.closed and self._connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            self.cancel()
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection.close()
        self._socket.close()

    def _send(self, text: str, parameters: Sequence[Parameter]) -> None:
        if self._cancelled():
            raise QueryCancelledError("the query was cancelled")
        dumped = [_dumped(parameter) for parameter in parameters]
        values, types = [value for value, _ in dumped], [oid for _, oid in dumped]
        self._connection.pgconn.send_query_params(text.encode(), values, types)

    def _drain(self, *, ending: bool = False) -> list[pq.abc.PGresult]:
        """Read all results of what was sent; the first error is raised when none is left to read."""
        results = []
        while (result := self._result(ending=ending)) is not None:
            results.append(result)
        for result in results:
            self._judge(result)
        return results

    def _judge(self, result: pq.abc.PGresult) -> None:
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
            raise psycopg.errors.error_from_result(result, self._connection.info.encoding)

    def _result(self, *, ending: bool = False) -> pq.abc.PGresult | None:
        """Wait for a result. Whoever waits longer than a statement may take, and some more, is told that it is lost."""
        pgconn = self._connection.pgconn
        began = time.monotonic()
        limit = CANCEL_S_MAX if ending else self._limits.statement_s_max - self._waited_s + self._limits.idle_s_max
        while pgconn.flush() or pgconn.is_busy():
            if not self._poll.poll(LOOK_S * 1000):
                self._look(time.monotonic() - began > limit, ending=ending)
            self._judge_size()
            pgconn.consume_input()
        self._waited_s += time.monotonic() - began
        self._received_before = self._received()
        return pgconn.get_result()

    def _look(self, late: bool, *, ending: bool) -> None:
        if late:
            raise SourceUnavailableError("PostgreSQL says nothing any more: is the server stuck, or the network cut?")
        if self._cancelled() and not ending:
            self.cancel()  # Again: the first may have come before the server had begun.

    def _judge_size(self) -> None:
        """Refuse rows that would not fit into memory: the driver holds a chunk of them at least."""
        if self._received() - self._received_before > CHUNK_BYTES_MAX:
            self._connection.close()
            raise QueryError(
                f"a few rows have more than {CHUNK_BYTES_MAX >> 20} MiB: leave long columns out, or shorten them"
            )

    def _received(self) -> int:
        """Give the bytes that ever came in, where the system tells."""
        told = self._socket.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256) if _TCP_INFO is not None else b""
        return int.from_bytes(told[_BYTES_RECEIVED], sys.byteorder)


def _dumped(parameter: Parameter) -> tuple[bytes, int]:
    """Give a parameter's text and the type it has; text takes the type of what it is compared with."""
    if isinstance(parameter, str):
        if "\0" in parameter:
            raise QueryError("a parameter holds the character U+0000, which PostgreSQL has in no text")
        return parameter.encode(), 0
    if isinstance(parameter, datetime):
        return parameter.isoformat().encode(), _TIMESTAMP if parameter.tzinfo is None else _TIMESTAMPTZ
    big = isinstance(parameter, Decimal) or not -(2**63) <= parameter < 2**63
    return str(parameter).encode(), _NUMERIC if big else _INT8
