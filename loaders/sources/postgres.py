"""PostgreSQL: a cursor at the server, read as text in chunks, so that neither side ever holds the whole result.

A query runs in a read-only transaction of one snapshot, with the settings that `postgres_types.py` relies on. They are
set within the transaction, so that a pooler between us and the server cannot mix sessions up. Its results are fetched
some thousand rows at a time: so the limit of a statement's time counts what the server does, and not how long our
own side takes to put rows into the log.

Only libpq's calls that do not block are used: whoever waits notices that it was cancelled, and a server that
says nothing.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

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
from loaders.sources.pages import Building
from loaders.sources.postgres_link import Link
from loaders.sources.url import DatabaseUrl, database_url
from loaders.sources.written import Convert
from loaders.sql.query import Dialect, read_only

EXAMPLE = "postgres://user:password@host:5432/database"
FETCH_ROWS_MAX = 10_000

_OPTIONS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
}
_NO_FILE = "/nonexistent"
_FIXED = {
    # What libpq would otherwise look for in our own environment and home folder.
    "sslcert": _NO_FILE,
    "sslkey": _NO_FILE,
    "sslrootcert": _NO_FILE,
    "sslcrl": "",
    "passfile": _NO_FILE,
    "options": "",
    "gssencmode": "disable",
    "client_encoding": "UTF8",
    "application_name": "meterline",
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_DECLARE = "DECLARE meterline NO SCROLL CURSOR WITHOUT HOLD FOR "
_RIGHTS = """
SELECT
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
  (SELECT string_agg(right_, ', ') FROM pg_roles, LATERAL (VALUES
     (rolcreaterole, 'CREATEROLE'), (rolcreatedb, 'CREATEDB'), (rolreplication, 'REPLICATION'),
     (rolbypassrls, 'BYPASSRLS')) AS flags(has, right_) WHERE has AND rolname = current_user),
  (SELECT string_agg(rolname, ', ') FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER') AND rolname IN (
     'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_write_all_data',
     'pg_signal_backend', 'pg_maintain', 'pg_checkpoint', 'pg_create_subscription')),
  (SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'p', 'f', 'v') AND nspname NOT IN ('pg_catalog', 'information_schema')
     AND nspname NOT LIKE 'pg\\_t%'
     AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
     LIMIT 1),
  (SELECT quote_ident(nspname) FROM pg_namespace
     WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' AND has_schema_privilege(oid, 'CREATE')
     LIMIT 1)
"""


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> "PostgresSource":
    """Give the source of an address; nothing is connected yet.

    Raises:
        SourceDeniedError: the URL cannot be understood, or asks for what is not allowed.
    """
    schemes = ("postgres", "postgresql")
    url = database_url(address.url, schemes=schemes, port=5432, options=_OPTIONS, example=EXAMPLE)
    return PostgresSource(url, policy, limits)


class PostgresSource:
    """One connection, made when it is first needed, and again after it was lost."""

    quote = '"'

    def __init__(self, url: DatabaseUrl, policy: HostPolicy, limits: SourceLimits) -> None:
        self._url = url
        self._policy = policy
        self._limits = limits
        self._link: Link | None = None
        self._cancelled = False

    def ping(self) -> Sequence[str]:
        """Connect, and look what else this role may do."""
        with self._asking() as link:
            ((superuser, flags, roles, table, schema),) = link.rows(_RIGHTS)
        warnings = []
        if superuser == "t":
            warnings.append("is a superuser, who may do everything")
        if flags is not None:
            warnings.append(f"has {flags}")
        if roles is not None:
            warnings.append(f"is a member of {roles}")
        if superuser != "t" and table is not None:
            warnings.append(f"may write, for one to {table}")
        if superuser != "t" and schema is not None:
            warnings.append(f"may create tables in the schema {schema}")
        remedy = "use one that may only read (CREATE ROLE … LOGIN, GRANT SELECT)"
        return [f"the role {self._url.user} {warning}: {remedy}" for warning in warnings]

    def now(self) -> datetime:
        """Give the server's time."""
        with self._asking() as link:
            ((now,),) = link.rows("SELECT clock_timestamp()")
        return datetime.fromisoformat(str(now))

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Stream a query's rows."""
        checked = read_only(query, Dialect.POSTGRES)
        checked.refuse_without(parameters)
        numbers: dict[str, int] = {}
        text, _ = checked.bound(lambda name: f"${numbers.setdefault(name, len(numbers) + 1)}")
        with self._asking() as link:
            link.command(_DECLARE + text, [parameters[name] for name in numbers])
            columns, converts = link.described("meterline", self._limits.value_bytes_max)
            yield from self._fetched(link, columns, converts, page_rows_max)

    def cancel(self) -> None:
        """Have the thread that waits raise QueryCancelledError."""
        self._cancelled = True
        link = self._link
        if link is not None:
            link.cancel()

    def close(self) -> None:
        """Let go of the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _fetched(
        self, link: Link, columns: Sequence[Column], converts: Sequence[Convert], page_rows_max: int
    ) -> Iterator[Page]:
        """Fetch until a fetch brings less than was asked for. There is always one page, and the first comes early."""
        page = Building(columns, converts, rows_max=page_rows_max, bytes_max=self._limits.page_bytes_max)
        asked, fetched = page_rows_max, page_rows_max
        while fetched == asked:
            asked = max(FETCH_ROWS_MAX // page_rows_max, 1) * page_rows_max if page.given else page_rows_max
            fetched = 0
            for rows in link.fetch("meterline", asked, min(page.chunk_rows(), page_rows_max)):
                fetched += len(rows)
                yield from page.filled(rows)
        yield from page.rest()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Link]:
        """Hold a transaction that only reads; what goes wrong comes out as a SourceError."""
        self._cancelled = False
        link = self._connected()
        try:
            link.begin()
            yield link
            link.end()
        except (GeneratorExit, SourceError):
            self._let_go(link)
            raise
        except UnicodeDecodeError:
            self._let_go(link)
            raise QueryError("a value is no UTF-8, as in a database of SQL_ASCII: convert it in the query") from None
        except psycopg.Error as error:
            self._let_go(link)
            raise self._translated(error) from None
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Link:
        if self._link is None or self._link.lost:
            self.close()
            self._link = Link(self._connect(), self._limits, lambda: self._cancelled)
        return self._link

    def _let_go(self, link: Link) -> None:
        """End what is under way; a connection that does not end it in order is closed."""
        try:
            link.abandon()
        except (psycopg.Error, SourceError, OSError):
            self.close()

    def _connect(self) -> psycopg.Connection:
        url, limits = self._url, self._limits
        addresses = self._policy.pinned(url.host, url.port)
        sslmode = url.options.get("sslmode", "prefer")
        options: dict[str, Any] = {
            "host": ",".join([url.host] * len(addresses)),
            "hostaddr": ",".join(addresses),
            "port": url.port,
            "user": url.user,
            "password": url.password,
            "dbname": url.database or url.user,
            "sslmode": sslmode,
            "channel_binding": url.options.get("channel_binding", "prefer"),
            "connect_timeout": max(2, round(limits.connect_s_max)),
            "tcp_user_timeout": round(limits.idle_s_max * 1000),
            **_FIXED,
        }
        if sslmode.startswith("verify"):
            options["sslrootcert"] = authorities_file()
        try:
            return psycopg.connect("", autocommit=True, **options)
        except psycopg.Error as error:
            raise self._not_connected(error) from None

    def _not_connected(self, error: psycopg.Error) -> SourceError:
        """Tell a closed door from one that nobody answers at; libpq gives words alone."""
        words = self._url.without_password(" ".join(str(error).split()))
        refused = "FATAL:" in words or "SSL" in words or "certificate" in words or "authentication" in words
        if refused and not any(
            sign in words for sign in ("starting up", "shutting down", "recovery", "too many", "slots")
        ):
            return SourceDeniedError(f"PostgreSQL does not let us in: {words}")
        return SourceUnavailableError(f"PostgreSQL was not reached: {words}")

    def _translated(self, error: psycopg.Error) -> SourceError:
        """Say what the server said."""
        diagnosis = error.diag
        said = [
            diagnosis.message_primary or " ".join(str(error).split()),
            diagnosis.message_detail,
            diagnosis.message_hint,
        ]
        words = self._url.without_password(". ".join(one for one in said if one))
        state = error.sqlstate or ""
        if state == "57014" and self._cancelled:
            return QueryCancelledError("the query was cancelled")
        if state == "57014" and "timeout" in words:
            seconds = round(self._limits.statement_s_max)
            return QueryTimeoutError(f"the query took longer than {seconds} s: narrow it, or add an index ({words})")
        if state in ("42501", "3D000") or state.startswith("28"):
            return SourceDeniedError(f"PostgreSQL refused: {words}")
        if not state or state.startswith(("08", "53", "57", "58", "40", "55", "25P03", "25P04", "XX")):
            return SourceUnavailableError(f"PostgreSQL broke off: {words}")
        return QueryError(f"PostgreSQL refused the query: {words}")
