"""Open the registry and run what is asked of it, each call one transaction.

A reading transaction sees one consistent state. Writers take turns: what one has checked holds until it commits. On
SQLite all wait for one another: write-ahead log, `synchronous=FULL` (a committed change survives a power cut), foreign
keys on, and the write lock taken at the begin, so that two writers wait instead of failing half-way. On PostgreSQL
those of one account do: see `metering.registry.postgresql`.

Calls block; async callers go through `read` and `write`, which run them in threads.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from metering.errors import RegistryUnavailableError
from metering.registry.address import parse_address
from metering.registry.postgresql import (
    EVERYBODY,
    NOBODY,
    connect_arguments,
    lift_limits,
    meaning_of,
    reason_of,
    take_turn,
)
from metering.world import World

__all__ = ["BUSY_S_MAX", "EVERYBODY", "NOBODY", "Registry", "along_with"]

BUSY_S_MAX = 10
THREADS_MAX = 4

T = TypeVar("T")

along_with: ContextVar[Callable[[sa.Connection], None] | None] = ContextVar("along_with", default=None)
"""What `Registry.write` does besides, in the same transaction, after each change of this request."""


class Registry:
    """The relational side: who, what and for how much. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        """Open what `metering.registry.address` describes; nothing is created but SQLite's file.

        Raises:
            ValueError: the URL names no registry.
        """
        self.url = parse_address(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _open_sqlite(self.url) if self.is_sqlite else _open_postgresql(self.url)
        self._snapshots = self.engine
        if not self.is_sqlite:
            self._snapshots = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="registry")
        self._watcher: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one consistent state and is rolled back at its end.

        Raises:
            RegistryUnavailableError: the database does not answer.
            RegistrySettingsError: its user may not read there.
        """
        with _translated(), self._snapshots.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self, waits_for: str = EVERYBODY, *, patient: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction that commits at its end, or rolls back when the block raises.

        `waits_for` says whose changes must not come between its reads and its writes: an account's (its id),
        EVERYBODY's, or NOBODY's, for single statements that are right by themselves. SQLite waits for everybody.
        `patient`: on PostgreSQL, wait for others and work for as long as it takes.

        Raises:
            RegistryUnavailableError: the database does not answer, or another writer held it for `BUSY_S_MAX`.
            RegistrySettingsError: its user may not write there.
        """
        with _translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                if patient:
                    lift_limits(connection)
                take_turn(connection, waits_for)
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            _commit(connection)

    def version(self) -> int | None:
        """Give a number that changes whenever anybody commits a change, None where the database cannot tell.

        Costs microseconds, so it may be asked on the event loop, always from the same thread.
        """
        if not self.is_sqlite:
            return None
        if self._watcher is None:
            self._watcher = sqlite3.connect(self.url.database or "", isolation_level=None, check_same_thread=False)
        return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    async def read(self, ask: Callable[..., T], *args: Any) -> T:
        """Run `ask(connection, *args)` in a reading transaction, in a thread."""
        return await self._run(self.reading, ask, *args)

    async def write(self, change: Callable[..., T], *args: Any, waits_for: str | None = None) -> T:
        """Run `change(connection, *args)` in a writing transaction, in a thread; committed when this returns.

        `waits_for` as in `writing`. None: a change that is given a `World` first concerns that account alone, any other
        waits for everybody.
        """
        if waits_for is None:
            waits_for = args[0].account_id if args and isinstance(args[0], World) else EVERYBODY
        begin = partial(self.writing, waits_for)
        besides = along_with.get()
        if besides is None:
            return await self._run(begin, change, *args)

        def both(connection: sa.Connection) -> T:
            result = change(connection, *args)
            besides(connection)
            return result

        return await self._run(begin, both)

    async def _run(
        self, begin: Callable[[], AbstractContextManager[sa.Connection]], work: Callable[..., T], *args: Any
    ) -> T:
        def call() -> T:
            with begin() as connection:
                return work(connection, *args)

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
    except sa.exc.TimeoutError as error:
        raise RegistryUnavailableError(f"the registry did not answer: {error}") from error
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise RegistryUnavailableError(f"the registry did not answer: {reason_of(error)}") from error
    except sa.exc.IntegrityError as error:
        # Everything is checked before it is written; who still runs into a constraint was overtaken in between, and
        # will be told what stands against it on the next try.
        raise RegistryUnavailableError(
            f"the registry changed at the same moment: {str(error.orig).splitlines()[0]}"
        ) from error
    except sa.exc.DBAPIError as error:
        meaning = meaning_of(error)
        if meaning is None:
            raise
        raise meaning from error


def _commit(connection: sa.Connection) -> None:
    try:
        connection.commit()
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise RegistryUnavailableError(
            f"the registry went away while a change was committed, it may be in effect: {reason_of(error)}"
        ) from error


def _open_sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S_MAX}, pool_size=THREADS_MAX, max_overflow=2)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _open_postgresql(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        connect_args=connect_arguments(url, BUSY_S_MAX),
        isolation_level="READ COMMITTED",
        pool_size=THREADS_MAX,
        max_overflow=2,
        pool_timeout=BUSY_S_MAX,
        pool_pre_ping=True,  # After a restart of the server the first call finds out and connects again.
        hide_parameters=True,
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # We begin transactions ourselves: the driver would begin them too late.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
