"""MySQL and MariaDB: an unbuffered result, read as text as it comes.

A query runs in a read-only transaction of a session that is set up as `mysql_types.py` and `loaders.sql` rely on. There
is no cursor at the server that could be asked for some rows more: so our own side counts the time that it waits, and
the server has a wider limit of its own, in case we are gone. Who stops reading early ends the query by a second
connection and lets go of the first.
"""

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pymysql
from pymysql.connections import Connection

from loaders.errors import (
    QueryCancelledError,
    QueryError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address
from loaders.source import Column, Page, Parameter
from loaders.sources.certificates import authorities_file
from loaders.sources.mysql_link import Link
from loaders.sources.mysql_rows import RawRow
from loaders.sources.mysql_types import RawConvert, converter
from loaders.sources.pages import Building
from loaders.sources.url import DatabaseUrl, database_url
from loaders.sql.query import Dialect, read_only

EXAMPLE = "mysql://user:password@host:3306/database"

_MODES = {
    "disable": "DISABLED",
    "prefer": "PREFERRED",
    "require": "REQUIRED",
    "verify-ca": "VERIFY_CA",
    "verify-full": "VERIFY_IDENTITY",
}
_OPTIONS = {"sslmode": tuple(_MODES), "ssl-mode": tuple(_MODES.values()), "charset": ("utf8mb4",)}
_DENIED = frozenset(
    {1044, 1045, 1049, 1130, 1142, 1143, 1227, 1370, 1410, 1698, 1820, 1862, 2026, 2061, 3118, 3159, 4151}
)
_UNAVAILABLE = frozenset(
    {
        *(1040, 1042, 1043, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226, 1290, 1927),
        *(2000, 2002, 2003, 2005, 2006, 2012, 2013, 2055, 3169, 4031),
    }
)
_TIMED_OUT = frozenset({1969, 3024})
_INTERRUPTED = 1317
_READING = frozenset(
    {
        "SELECT",
        "USAGE",
        "SHOW VIEW",
        "SHOW DATABASES",
        "PROCESS",
        "REPLICATION CLIENT",
        "BINLOG MONITOR",
        "SLAVE MONITOR",
    }
)


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> "MySqlSource":
    """Give the source of an address; nothing is connected yet.

    Raises:
        SourceDeniedError: the URL cannot be understood, or asks for what is not allowed.
    """
    schemes = ("mysql", "mariadb")
    url = database_url(address.url, schemes=schemes, port=3306, options=_OPTIONS, example=EXAMPLE)
    return MySqlSource(url, policy, limits)


class MySqlSource:
    """One connection, made when it is first needed, and again after it was lost or left in the middle."""

    quote = ""

    def __init__(self, url: DatabaseUrl, policy: HostPolicy, limits: SourceLimits) -> None:
        self._url = url
        self._policy = policy
        self._limits = limits
        self._link: Link | None = None
        self._cancelled = False

    def ping(self) -> Sequence[str]:
        """Connect, and look what else this user may do."""
        with self._asking() as link:
            grants = [(row[0] or b"").decode(errors="replace") for row in link.rows("SHOW GRANTS")]
        granted = [re.match(r"GRANT (.+?) ON (\S+|`[^`]*`\.\S+) TO ", grant) for grant in grants]
        rights = {
            (right.strip(), found[2])
            for found in granted
            if found
            for right in re.sub(r"\([^)]*\)", "", found[1]).split(",")
        }
        if any("WITH GRANT OPTION" in grant for grant in grants):
            rights.add(("GRANT OPTION", "*.*"))
        more: dict[str, list[str]] = {}
        for right, where in sorted(rights):
            if right not in _READING:
                more.setdefault(where, []).append(right)
        remedy = "use one that may only read (CREATE USER …, GRANT SELECT)"
        return [
            f"the user {self._url.user} has {', '.join(found)} on {where}: {remedy}" for where, found in more.items()
        ]

    def now(self) -> datetime:
        """Give the server's time."""
        with self._asking() as link:
            ((now,),) = link.rows("SELECT UTC_TIMESTAMP(6)")
        return datetime.fromisoformat((now or b"").decode()).replace(tzinfo=UTC)

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Stream a query's rows."""
        checked = read_only(query, Dialect.MYSQL)
        checked.refuse_without(parameters)
        with self._asking() as link:
            text, _ = checked.bound(lambda name: _literal(link, parameters[name]))
            fields, rows = link.ask(text)
            columns = [Column(field.name, field.type, field.kind) for field in fields]
            converts = [converter(field, self._limits.value_bytes_max) for field in fields]
            yield from self._built(columns, converts, rows, page_rows_max)

    def cancel(self) -> None:
        """Have the thread that waits raise QueryCancelledError."""
        self._cancelled = True
        link = self._link
        if link is not None:
            link.kill()

    def close(self) -> None:
        """Let go of the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _built(
        self,
        columns: Sequence[Column],
        converts: Sequence[RawConvert],
        rows: Iterator[list[RawRow]],
        page_rows_max: int,
    ) -> Iterator[Page]:
        bytes_max = self._limits.page_bytes_max
        page: Building[bytes] = Building(columns, converts, rows_max=page_rows_max, bytes_max=bytes_max)
        for some in rows:
            for start in range(0, len(some), page_rows_max):
                yield from page.filled(some[start : start + page_rows_max])
        yield from page.rest()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Link]:
        """Hold a transaction that only reads; what goes wrong comes out as a SourceError."""
        self._cancelled = False
        try:
            if self._link is None or self._link.lost:
                self.close()
                self._link = Link(self._connect, self._limits, lambda: self._cancelled)
            self._link.begin()
            yield self._link
            self._link.end()
        except pymysql.Error as error:
            self.close()
            raise self._translated(error) from None
        except UnicodeDecodeError:
            self.close()
            raise QueryError("a value is no valid UTF-8: write CONVERT(… USING utf8mb4) in the query") from None
        except OSError as error:
            self.close()
            raise SourceUnavailableError(f"MySQL broke off: {error}") from None
        except BaseException:
            self.close()
            raise

    def _connect(self) -> "Connection[Any]":
        url, limits = self._url, self._limits
        last: Exception | None = None
        for address in self._policy.pinned(url.host, url.port):
            connection: Connection[Any] = Connection(
                host=url.host,  # The name, for TLS: the socket below is connected to an address that was judged.
                user=url.user,
                password=url.password.encode(),
                database=url.database or None,
                charset="utf8mb4",
                autocommit=True,
                read_timeout=limits.connect_s_max,
                write_timeout=limits.connect_s_max,
                program_name="meterline",
                defer_connect=True,
                **self._tls(),
            )
            try:
                connection.connect(_socket(address, url.port, limits))
            except Exception as error:  # noqa: BLE001 - PyMySQL takes apart unguarded what is no MySQL's greeting.
                last = error
                if isinstance(error, pymysql.Error) and error.args and error.args[0] in _DENIED:
                    break
            else:
                return connection
        raise self._not_connected(last)

    def _tls(self) -> dict[str, Any]:
        named = self._url.options.get("ssl-mode", "PREFERRED")
        mode = self._url.options.get("sslmode") or next(mode for mode, name in _MODES.items() if name == named)
        if mode == "disable":
            return {"ssl_disabled": True}
        if mode == "prefer":
            return {}
        if mode == "require":
            return {"ssl": {"check_hostname": False, "verify_mode": "none"}}
        verified = {"ca": authorities_file(), "check_hostname": mode == "verify-full", "verify_mode": "required"}
        return {"ssl": verified}

    def _not_connected(self, error: Exception | None) -> SourceError:
        if isinstance(error, pymysql.Error) and error.args and error.args[0] in _DENIED:
            return SourceDeniedError(f"MySQL does not let us in: {self._words(error)}")
        if "certificate" in str(error) or "SSL" in str(error):
            return SourceDeniedError(f"MySQL's TLS is not as it was asked for: {self._words(error)}")
        if not isinstance(error, pymysql.Error | OSError):
            return SourceUnavailableError(
                "MySQL was not reached: what answers there is no MySQL, look at host and port"
            )
        return SourceUnavailableError(f"MySQL was not reached: {self._words(error)}")

    def _translated(self, error: pymysql.Error) -> SourceError:
        """Say what the server said."""
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        words = self._words(error)
        if code == _INTERRUPTED and self._cancelled:
            return QueryCancelledError("the query was cancelled")
        if code in _TIMED_OUT:
            return QueryTimeoutError(f"the query took longer than it may: narrow it, or add an index ({words})")
        if code in _DENIED:
            return SourceDeniedError(f"MySQL refused: {words}")
        if code in _UNAVAILABLE or code == _INTERRUPTED or not code:
            return SourceUnavailableError(f"MySQL broke off: {words}")
        return QueryError(f"MySQL refused the query: {words}")

    def _words(self, error: Exception | None) -> str:
        said = str(error.args[1]) if error is not None and len(error.args) > 1 else str(error)
        return self._url.without_password(" ".join(said.split()))


def _socket(address: str, port: int, limits: SourceLimits) -> socket.socket:
    connected = socket.create_connection((address, port), limits.connect_s_max)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", round(limits.idle_s_max * 1000)),
    ):
        if hasattr(socket, option):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connected


def _literal(link: Link, value: Parameter) -> str:
    """Give a parameter as a literal, in parentheses: nothing beside it can become a part of it.

    PyMySQL has no other way to bind. What stands in the user's text around a parameter is code (`loaders.sql.query`),
    and the session's mode and character set are those that the escapes are made for.
    """
    if isinstance(value, str):
        return f"({link.escaped(value)})"
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return f"(TIMESTAMP'{moment.isoformat(' ', 'microseconds')}')"
    number = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return f"({number})" if number.startswith("-") else number
