"""Open the registry and run what is asked of it, each call one transaction.

SQLite: write-ahead log, `synchronous=FULL` (a committed change survives a power cut), foreign keys on, and a write
transaction takes the write lock at its begin, so that two writers wait for one another instead of failing half-way.
Calls block; async callers go through `read` and `write`, which run them in threads.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import sqlalchemy as sa

from metering.errors import RegistryUnavailableError

BUSY_S_MAX = 10
THREADS_MAX = 4

T = TypeVar("T")

along_with: ContextVar[Callable[[sa.Connection], None] | None] = ContextVar("along_with", default=None)
"""What `Registry.write` does besides, in the same transaction, after each change of this request."""


class Registry:
    """The relational side: who, what and for how much. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        """Open `sqlite:////path/file.db` or `postgresql+psycopg://...`; nothing is created but the file."""
        self.url = sa.make_url(url)
        self._is_sqlite = self.url.get_backend_name() == "sqlite"
        connect_args = {"timeout": BUSY_S_MAX} if self._is_sqlite else {}
        self.engine = sa.create_engine(self.url, connect_args=connect_args, pool_size=THREADS_MAX, max_overflow=2)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="registry")
        self._watcher: sqlite3.Connection | None = None
        if self._is_sqlite:
            sa.event.listen(self.engine, "connect", _prepare_sqlite)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one consistent state and is rolled back at its end.

        Raises:
            RegistryUnavailableError: the database does not answer.
        """
        with _translated(), self.engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that commits at its end, or rolls back when the block raises.

        Raises:
            RegistryUnavailableError: the database does not answer, or another writer held it for `BUSY_S_MAX`.
        """
        with _translated(), self.engine.connect() as connection:
            if self._is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def version(self) -> int | None:
        """Give a number that changes whenever anybody commits a change, None where the database cannot tell.

        Costs microseconds, so it may be asked on the event loop, always from the same thread.
        """
        if not self._is_sqlite:
            return None
        if self._watcher is None:
            self._watcher = sqlite3.connect(self.url.database or "", isolation_level=None, check_same_thread=False)
        return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    async def read(self, ask: Callable[..., T], *args: Any) -> T:
        """Run `ask(connection, *args)` in a reading transaction, in a thread."""
        return await self._run(self.reading, ask, *args)

    async def write(self, change: Callable[..., T], *args: Any) -> T:
        """Run `change(connection, *args)` in a writing transaction, in a thread; committed when this returns."""
        besides = along_with.get()
        if besides is None:
            return await self._run(self.writing, change, *args)

        def both(connection: sa.Connection) -> T:
            result = change(connection, *args)
            besides(connection)
            return result

        return await self._run(self.writing, both)

    async def _run(self, begin: Callable[[], Any], work: Callable[..., T], *args: Any) -> T:
        def call() -> T:
            with begin() as connection:
                result: T = work(connection, *args)
                return result

        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown()
        if self._watcher is not None:
            self._watcher.close()
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        reason = str(error.orig) if isinstance(error, sa.exc.OperationalError) else str(error)
        raise RegistryUnavailableError(f"the registry did not answer: {reason}") from error
    except sa.exc.IntegrityError as error:
        # Everything is checked before it is written; who still runs into a constraint was overtaken in between, and
        # will be told what stands against it on the next try.
        raise RegistryUnavailableError(
            f"the registry changed at the same moment: {str(error.orig).splitlines()[0]}"
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # We begin transactions ourselves: the driver would begin them too late.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
