"""Open the store, embedded or served, so that every part speaks to it in one dialect under the same settings.

`chdb:///path` runs the engine in this process: one engine a process, one process a path, and no fork once it runs.
`http(s)://user:password@host:port/database` is a ClickHouse server. Calls block, so async callers go through `run`
and `run_writing`, which use worker threads: a few for questions and a few for writing, so that neither waits for the
other. Each thread has clients of its own, because one client does one thing at a time.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, Self, TypeVar

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from metering.errors import StoreSettingsError, StoreUnavailableError
from metering.store.parameters import in_pieces
from metering.store.settings import READER, WRITER, Value
from metering.store.translation import translated

READ_THREADS = 4
WRITE_THREADS = 3
CONNECT_S_MAX = 5
ANSWER_S_MAX = 300

# What goes wrong comes as an error to whoever asked; the driver would write a line, or a traceback, besides.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """One opened store; threads share it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._local = threading.local()
        self._clients: list[Client] = []
        self._clients_lock = threading.Lock()
        self._closed = False
        self._readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="store-read")
        self._writers = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="store-write")

    @classmethod
    def open(cls, dsn: str) -> Self:
        """Connect, and prove that sessions get the settings that the promises rest on.

        Raises:
            StoreUnavailableError: nobody answers there, or another process has the path open.
            StoreSettingsError: the store overrides a setting.
        """
        store = cls(dsn)
        try:
            store._assert_session(store.writer(), WRITER)
            store._assert_session(store.reader(), READER)
        except BaseException:
            store.close()
            raise
        return store

    def reader(self) -> Client:
        """Give this thread's client for questions: one question's time and memory are limited."""
        return self._client("reader", READER)

    def writer(self) -> Client:
        """Give this thread's client for writing, and for the look-ups that decide what is written."""
        return self._client("writer", WRITER)

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Ask, and give the rows.

        Raises:
            QueryLimitError: it took more time or memory than one question may.
            StoreUnavailableError: no answer.
        """
        sql, bound = in_pieces(sql, parameters or {})
        with translated():
            return self.reader().query(sql, parameters=bound).result_rows

    def look_up(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask on the writing side, without the limits of a question."""
        sql, bound = in_pieces(sql, parameters or {})
        with translated():
            return self.writer().query_arrow(sql, parameters=bound, use_strings=True)

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that writes or defines; what it wrote is durable on return.

        Raises:
            StoreUnavailableError: it may have been done in part or whole.
        """
        with translated():
            self.writer().command(sql, parameters=dict(parameters or {}))

    def insert(self, table: str, rows: pa.Table) -> None:
        """Write rows, durable on return. Rows of several months are not one unit.

        Raises:
            StoreUnavailableError: any of the rows may have been written.
        """
        with translated():
            self.writer().insert_arrow(table, rows)

    async def run(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking question in a thread. A caller that is cancelled leaves the question to its time limit.

        Raises:
            StoreUnavailableError: it was closed.
        """
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, lambda: ask(*args, **kwargs))

    async def run_writing(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking write in a thread. A caller that is cancelled does not stop the write.

        Raises:
            StoreUnavailableError: it was closed.
        """
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._writers, lambda: write(*args, **kwargs))

    def close(self) -> None:
        """Wait for what is under way, then let go of the engine or the connections."""
        self._closed = True  # Who asks while the process ends is told to try again.
        self._readers.shutdown(cancel_futures=True)
        self._writers.shutdown(cancel_futures=True)
        with self._clients_lock:
            for client in self._clients:
                client.close()
            self._clients.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the store is closed: this process ends")

    def _client(self, role: str, session: Mapping[str, Value]) -> Client:
        client: Client | None = getattr(self._local, role, None)
        if client is None:
            with translated():
                client = _connect(self._dsn, session)
            setattr(self._local, role, client)
            with self._clients_lock:
                self._clients.append(client)
        return client

    @staticmethod
    def _assert_session(client: Client, session: Mapping[str, Value]) -> None:
        with translated():
            rows = client.query(
                "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}",
                parameters={"names": list(session)},
            ).result_rows
        for name, value in rows:
            if value != str(session[name]):
                raise StoreSettingsError(
                    f"the store runs our sessions with {name} = {value}, not {session[name]}: "
                    "allow this user to change it, or set it in the user's profile"
                )


def _connect(dsn: str, session: Mapping[str, Value]) -> Client:
    if dsn.startswith("chdb:"):
        client = clickhouse_connect.get_client(dsn=dsn)
    else:
        # Sessions would make the requests of one client wait for each other, and break behind a load balancer.
        client = clickhouse_connect.get_client(
            dsn=dsn,
            # The client goes by the port, not by the scheme: an https server at another port would be sent the
            # password in the clear.
            interface=dsn.partition("://")[0],
            autogenerate_session_id=False,
            # Our errors reach clients: they must not tell where the store is.
            show_clickhouse_errors="scrub",
            connect_timeout=CONNECT_S_MAX,
            send_receive_timeout=ANSWER_S_MAX,
        )
    for name, value in session.items():
        # An older server cannot have a feature that it has no setting for.
        if name in client.server_settings:
            client.set_client_setting(name, value)
    return client
