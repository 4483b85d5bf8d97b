"""Snowflake, by its own driver: results in Arrow, decimals whole.

A query runs apart from the request that sends it (`execute_async`), so that it can be ended by its id from any thread
and nothing waits longer than between two looks at it. It is sent within `SELECT * FROM (…)`, where no server takes
anything but a query: Snowflake has no transaction that only reads, so this, the check before it and the role's grants
are the walls.
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

# Before the driver is imported: at every login it would ask the cloud's metadata service what machine this is.
os.environ["SNOWFLAKE_DISABLE_PLATFORM_DETECTION"] = "true"

import pyarrow as pa
from snowflake import connector
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.errors import Error, ProgrammingError

from loaders.errors import (
    QueryCancelledError,
    QueryError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)
from loaders.gate import Gate
from loaders.hosts import HostPolicy, on_this_machine
from loaders.limits import SourceLimits
from loaders.provider import Address
from loaders.source import Column, Kind, Page, Parameter
from loaders.sources.arrow import pages_of
from loaders.sources.snowflake_login import PRIVILEGED_ROLES, Login, read_login
from loaders.sql.query import Dialect, read_only

_LOOK_S_MIN, _LOOK_S_MAX = 0.02, 2.0
_TIMED_OUT, _CANCELLED = 630, 604
_NO_RIGHT = {3001}
_SESSION_GONE = {390_104, 390_110, 390_111, 390_112, 390_113, 390_114, 390_115, 390_195}
"""A session or its token that ran out: another login helps."""
_NO_ACCOUNT = re.compile(r"error status: 40[34]\b")
_OPENING, _CLOSING = "SELECT * FROM (\n", "\n)"
_LINE = re.compile(r"\b([Ll]ine) (\d+)")
_KINDS = {
    "FIXED": Kind.NUMBER,
    "REAL": Kind.NUMBER,
    "DECFLOAT": Kind.NUMBER,
    "TEXT": Kind.TEXT,
    "TIMESTAMP_NTZ": Kind.TIMESTAMP,
    "TIMESTAMP_LTZ": Kind.TIMESTAMP,
    "TIMESTAMP_TZ": Kind.TIMESTAMP,
}
_TYPES = {"FIXED": "NUMBER", "REAL": "FLOAT", "TEXT": "VARCHAR"}
_JSON = {"VARIANT", "OBJECT", "ARRAY", "GEOGRAPHY", "GEOMETRY"}


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> "SnowflakeSource":
    """Give a source that is not connected yet."""
    return SnowflakeSource(read_login(address.credentials), policy, limits)


class SnowflakeSource:
    """One session. See `loaders.source.Source`."""

    def __init__(self, login: Login, policy: HostPolicy, limits: SourceLimits) -> None:
        self._login = login
        self._policy = policy
        self._limits = limits
        self._gate: Gate | None = None
        self._connection: Any = None
        self._lock = threading.Lock()
        self._running = False
        self._query_id: str | None = None
        self._cancelled = threading.Event()

    @property
    def quote(self) -> str:
        """Give the mark around a name whose casing is kept; without it names are in upper case."""
        return '"'

    def ping(self) -> Sequence[str]:
        """Log in and run an empty query."""
        with self._translated():
            connection = self._connected()
            connection.cursor().execute("SELECT 1")
            warnings = []
            role = str(connection.role or "").strip('"').upper()
            if role in PRIVILEGED_ROLES:
                warnings.append(f"the role {role} may change data: use one that may only read what is loaded")
            if not connection.warehouse:
                warnings.append(
                    "no warehouse is in use, and tables cannot be read: name one, or grant the role its use"
                )
            if self._login.protocol == "http" and not on_this_machine(self._login.host):
                warnings.append("the connection is not encrypted (protocol http): anyone on the way reads all of it")
            return warnings

    def now(self) -> datetime:
        """Give the session's time."""
        with self._translated():
            cursor = self._connected().cursor()
            cursor.execute("SELECT CAST(CURRENT_TIMESTAMP() AS TIMESTAMP_NTZ)")  # The session's zone is UTC.
            found: datetime = cursor.fetchone()[0]
            return found.replace(tzinfo=UTC)

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Run a query and stream its result."""
        checked = read_only(query, Dialect.SNOWFLAKE)
        checked.refuse_without(parameters)
        text, names = checked.bound(lambda _: "?")
        values = [_bound(name, parameters) for name in names]
        with self._lock:
            self._cancelled.clear()
            self._running = True
        try:
            with self._translated():
                yield from self._pages(f"{_OPENING}{text}{_CLOSING}", values, page_rows_max)
        finally:
            with self._lock:
                self._running, self._query_id = False, None

    def cancel(self) -> None:
        """End the query under way, at Snowflake too."""
        with self._lock:
            if not self._running:
                return
            self._cancelled.set()
            query_id, connection = self._query_id, self._connection
        if query_id is not None and connection is not None:
            with contextlib.suppress(Error):
                connection.cursor().abort_query(query_id)
        self._cut_off()  # Or who waits for a part of the result goes on waiting.

    def close(self) -> None:
        """Log out."""
        self.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Error):
                connection.close(retry=False)
        self._cut_off()

    def _connected(self) -> Any:
        if self._connection is None:
            self._cut_off()
            gate = self._gate = Gate(self._policy, self._limits)
            try:
                self._connection = connector.connect(**self._login.options(gate, self._limits))
            except Error as error:
                if gate.refused is None and _NO_ACCOUNT.search(error.raw_msg):
                    account = self._login.account
                    raise SourceDeniedError(f"no account {account} is known there: {error.raw_msg}") from None
                raise
        return self._connection

    def _cut_off(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()

    def _pages(self, text: str, values: Sequence[Any], page_rows_max: int) -> Iterator[Page]:
        connection = self._connected()
        with connection.cursor() as cursor:
            sent = cursor.execute_async(text, values)
            with self._lock:
                self._query_id = sent["queryId"]
            finished = False
            try:
                self._wait(connection, sent["queryId"])
                cursor.query_result(sent["queryId"])
                finished = True
            finally:
                if not finished:
                    with contextlib.suppress(Error):
                        cursor.abort_query(sent["queryId"])
            columns = [_column(described) for described in cursor.description]
            json_columns = {place for place, column in enumerate(columns) if column.type.split("(")[0] in _JSON}
            given = False
            for table in cursor.fetch_arrow_batches():
                for batch in table.to_batches():
                    batch.validate(full=True)  # What a server calls text is not yet UTF-8.
                    for page in pages_of(
                        batch, columns, self._limits, page_rows_max=page_rows_max, json_columns=json_columns
                    ):
                        self._go_on()
                        given = True
                        yield page
            if not given:
                yield Page(columns, [[] for _ in columns], 0)

    def _wait(self, connection: Any, query_id: str) -> None:
        """Wait for the end of a query, by looking again and again; the server ends it at the same limit itself."""
        ends_at = time.monotonic() + self._limits.statement_s_max + _LOOK_S_MAX
        look_s = _LOOK_S_MIN
        while True:
            status = connection.get_query_status_throw_if_error(query_id)
            if not connection.is_still_running(status):
                return
            if time.monotonic() > ends_at:
                raise QueryTimeoutError(f"the query took longer than {self._limits.statement_s_max:g} s")
            self._cancelled.wait(look_s)
            self._go_on()
            look_s = min(look_s * 1.5, _LOOK_S_MAX)

    def _go_on(self) -> None:
        if self._cancelled.is_set():
            raise QueryCancelledError("the query was cancelled")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours; a session that is no use any more is not used again."""
        if self._gate is not None:
            self._gate.refusals.clear()
        try:
            yield
        except (Error, pa.ArrowException, OSError) as error:
            found = self._translate(error)
            if not isinstance(found, QueryError) or isinstance(found, QueryCancelledError):
                self._forget()
            raise found from None
        except QueryCancelledError:
            self._forget()
            raise

    def _translate(self, error: Exception) -> SourceError:
        gate = self._gate
        refused = gate.refused if gate is not None else None
        if self._cancelled.is_set():
            return QueryCancelledError("the query was cancelled")
        if refused is not None:
            return refused
        if not isinstance(error, Error):
            return SourceUnavailableError(f"Snowflake sent what cannot be read: {error}")
        code, words = error.errno, _LINE.sub(_before_it_was_wrapped, error.raw_msg)
        if code == _TIMED_OUT:
            return QueryTimeoutError(words)
        if code == _CANCELLED:
            return QueryCancelledError(f"the query was cancelled at Snowflake: {words}")
        if code in _SESSION_GONE:
            return SourceUnavailableError(words)
        if 390_100 <= code < 391_000 or code in _NO_RIGHT or str(error.sqlstate).startswith("28"):
            return SourceDeniedError(words)
        if isinstance(error, ProgrammingError):
            return QueryError(words)
        return SourceUnavailableError(words)

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        self._cut_off()
        if connection is not None:
            with contextlib.suppress(Error):
                connection.close(retry=False)


def _before_it_was_wrapped(line: re.Match[str]) -> str:
    return f"{line[1]} {max(1, int(line[2]) - 1)}"


def _column(described: Any) -> Column:
    kind = FIELD_ID_TO_NAME.get(described.type_code, "TEXT")
    shown = _TYPES.get(kind, kind)
    if kind == "FIXED":
        shown = f"NUMBER({described.precision},{described.scale})"
    return Column(described.name, shown, _KINDS.get(kind, Kind.OTHER))


def _bound(name: str, parameters: Mapping[str, Parameter]) -> tuple[str, Any]:
    """Give a parameter as the driver binds it, with Snowflake's type."""
    value = parameters[name]
    if isinstance(value, datetime):
        return ("TIMESTAMP_NTZ", value) if value.tzinfo is None else ("TIMESTAMP_LTZ", value)
    if isinstance(value, Decimal):
        return ("FIXED", format(value, "f"))
    return ("TEXT", value) if isinstance(value, str) else ("FIXED", value)
