"""Pull from MongoDB: one client for each source, documents streamed as they lie on the wire, decoded by the page."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.command_cursor import CommandCursor
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import (
    DocumentTooLarge,
    InvalidName,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from loaders.errors import (
    QueryCancelledError,
    QueryError,
    QueryTimeoutError,
)
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address
from loaders.source import REQUIRED_COLUMNS, Column, Kind, Page, Parameter
from loaders.sources.mongodb.address import MongoAddress, read_address
from loaders.sources.mongodb.ahead import Ahead
from loaders.sources.mongodb.documents import Documents
from loaders.sources.mongodb.errors import translated
from loaders.sources.mongodb.link import Link
from loaders.sources.mongodb.query import Query, parse
from loaders.sources.mongodb.rights import warnings_of
from loaders.sources.mongodb.shape import named_fields

COMMENT = "meterline dataloader"
"""What a database's administrator sees beside our queries."""
COMMAND_NOT_FOUND = 59
FORGET_S_MAX = 5.0
"""How long a server may take to forget a result that is not wanted any more."""

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
RawCursor = Cursor[RawBSONDocument] | CommandCursor[RawBSONDocument]


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> "MongoSource":
    """Give a source that is not connected yet.

    Raises:
        SourceDeniedError: the URL cannot be understood, or asks for what is not its user's to ask.
    """
    return MongoSource(read_address(address.url), policy, limits)


class MongoSource:
    """One database of one MongoDB server, set or cluster."""

    def __init__(self, address: MongoAddress, policy: HostPolicy, limits: SourceLimits) -> None:
        self._address = address
        self._policy = policy
        self._limits = limits
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._running = False
        self._cancelled = False
        self._cursor: RawCursor | None = None

    @property
    def quote(self) -> str:
        """Names keep their casing."""
        return ""

    def ping(self) -> Sequence[str]:
        """Connect, authenticate, and ask what the user may do."""
        with self._said() as link, pymongo.timeout(self._limits.connect_s_max):
            database = self._database(link)
            database.command("ping", read_preference=database.read_preference)
            return warnings_of(database)

    def now(self) -> datetime:
        """Give the time by the server's clock, or the earliest up to which a server that may be read is known to be.

        A secondary lags: what was written before this time is seen whichever of them answers next.
        """
        with self._said() as link, pymongo.timeout(self._limits.connect_s_max):
            database = self._database(link)
            told = _hello(database).get("localTime")
            now = told.replace(tzinfo=UTC) if isinstance(told, datetime) else datetime.now(UTC)
            if database.read_preference == ReadPreference.PRIMARY:
                return now
            servers = link.client.topology_description.server_descriptions().values()
            written = [one.last_write_date for one in servers if one.last_write_date is not None and one.is_readable]
            return min([now, *(datetime.fromtimestamp(one, UTC) for one in written)])

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Run a `find` or an `aggregate`.

        An empty result has the columns that the query names, or where it names none those that each must return.
        """
        parsed = parse(query, parameters)
        with self._lock:
            self._running, self._cancelled = True, False
        try:
            yield from self._pages(parsed, page_rows_max)
        finally:
            with self._lock:
                self._running, self._cursor = False, None

    def cancel(self) -> None:
        """Have the server forget the result, and cut the connections: it ends a query whose client is gone."""
        with self._lock:
            if not self._running:
                return
            self._cancelled = True
            link, self._link = self._link, None
            cursor = self._cursor
        if cursor is not None:
            _closed(cursor)
        if link is not None:
            link.close()

    def close(self) -> None:
        """Cut and forget all connections."""
        self.cancel()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _pages(self, query: Query, page_rows_max: int) -> Iterator[Page]:
        documents = Documents(self._limits.value_bytes_max)
        with self._said() as link, contextlib.ExitStack() as stack:
            database = self._database(link)
            cursor = self._sent(database, query, page_rows_max, stack)
            first = next(cursor, None)
            if first is None:
                yield _nothing(database, query)
                return
            slices = Ahead(self._slices(first, cursor, page_rows_max))
            stack.callback(self._left, slices)
            for number, rows in enumerate(slices):
                page = documents.page(rows)
                if number == 0:
                    _check_id(page)
                yield page
            if self._cancelled:  # A cursor that was ended here gives no more documents, which is no end of the result.
                raise QueryCancelledError("the query was cancelled")

    def _sent(
        self, database: Database[Any], query: Query, page_rows_max: int, stack: contextlib.ExitStack
    ) -> Iterator[RawBSONDocument]:
        """Send a query and wait for its first documents, which takes as long as a statement may."""
        seconds = self._limits.statement_s_max
        deadline = time.monotonic() + seconds
        try:
            with pymongo.timeout(seconds):  # The server is told too.
                cursor = _cursor(database, query, page_rows_max)
                stack.callback(_closed, cursor)
                with self._lock:
                    self._cursor = cursor
                first = next(cursor, None)
        except NetworkTimeout:
            if time.monotonic() < deadline:
                raise
            raise QueryTimeoutError(
                f"the query gave no document within {seconds:g} s: see whether an index serves it"
            ) from None
        except (BSONError, InvalidName, DocumentTooLarge, TypeError, ValueError, OverflowError) as error:
            raise QueryError(f"the query cannot be sent: {error}") from None
        return iter(()) if first is None else itertools.chain((first,), cursor)

    def _left(self, slices: Ahead[Any]) -> None:
        """Let go of what is being fetched: told to forget the result, a server answers whoever waits for more of it."""
        slices.stop()
        if self._cursor is not None:
            _closed(self._cursor)
        slices.join(FORGET_S_MAX)

    def _slices(
        self, first: RawBSONDocument, cursor: Iterator[RawBSONDocument], page_rows_max: int
    ) -> Iterator[list[bytes | memoryview]]:
        rows: list[bytes | memoryview] = []
        size = 0
        for document in itertools.chain((first,), cursor):
            raw = document.raw
            rows.append(raw)
            size += len(raw)
            if len(rows) >= page_rows_max or size >= self._limits.page_bytes_max:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def _database(self, link: Link) -> Database[Any]:
        """Give the database, to be read where it loads the user's application least.

        Behind a router of shards nobody tells how far the secondaries lag, so there the primaries are read.
        """
        name = self._address.database
        if "readpreference" in self._address.options:
            return link.client.get_database(name)
        preferred = link.client.get_database(name, read_preference=ReadPreference.SECONDARY_PREFERRED)
        with pymongo.timeout(self._limits.connect_s_max):
            preferred.command("ping", read_preference=preferred.read_preference)  # Now the topology is known.
        if link.client.topology_description.topology_type_name in {"Sharded", "LoadBalanced"}:
            return link.client.get_database(name, read_preference=ReadPreference.PRIMARY)
        return preferred

    @contextlib.contextmanager
    def _said(self) -> Iterator[Link]:
        """Give the link; what the driver raises becomes what our callers know."""
        link = self._linked()
        try:
            yield link
        except Exception as error:  # noqa: BLE001 - a server may answer what the driver does not expect.
            if self._running and self._cancelled:
                raise QueryCancelledError("the query was cancelled") from None
            if isinstance(error, ServerSelectionTimeoutError) and link.gate.denied is not None:
                raise link.gate.denied from None
            raise translated(error) from None

    def _linked(self) -> Link:
        with self._lock:
            if self._link is None:
                self._link = Link(self._address, self._policy, self._limits)
            link = self._link
        link.judge()
        return link


def _hello(database: Database[Any]) -> Mapping[str, Any]:
    try:
        return database.command("hello", read_preference=database.read_preference)
    except OperationFailure as error:
        if error.code != COMMAND_NOT_FOUND:
            raise
        return database.command(
            "isMaster", read_preference=database.read_preference
        )  # What it was called before 4.4.2.


def _cursor(database: Database[Any], query: Query, page_rows_max: int) -> RawCursor:
    collection = database.get_collection(query.collection, codec_options=_RAW)
    options = dict(query.options)
    disk = {"allowDiskUse": options.pop("allowDiskUse")} if "allowDiskUse" in options else {}
    if query.pipeline is not None:
        return collection.aggregate(query.pipeline, batchSize=page_rows_max, comment=COMMENT, **disk, **options)
    for ordered in ("sort", "hint"):
        if isinstance(options.get(ordered), dict):
            options[ordered] = list(options[ordered].items())
    return collection.find(
        query.filter, batch_size=page_rows_max, comment=COMMENT, allow_disk_use=disk.get("allowDiskUse"), **options
    )


def _closed(cursor: RawCursor) -> None:
    """Have the server forget a cursor: what fails here was ended already, or ends by itself."""
    with contextlib.suppress(Exception), pymongo.timeout(FORGET_S_MAX):
        cursor.close()


def _nothing(database: Database[Any], query: Query) -> Page:
    """Tell a collection without documents, which every query may meet, from one that is not there."""
    try:
        names = database.list_collection_names(filter={"name": query.collection}, authorizedCollections=True)
    except OperationFailure:
        names = [query.collection]  # The user may not ask.
    if query.collection not in names:
        raise QueryError(f"the database {database.name} has no collection {query.collection!r}")
    fields = named_fields(query) or REQUIRED_COLUMNS
    return Page(tuple(Column(name, "unknown", Kind.TEXT) for name in fields), [[] for _ in fields], 0)


def _check_id(page: Page) -> None:
    names = {column.name for column in page.columns}
    if "id" not in names and "_id" in names:
        raise QueryError(
            'the query returns no id: a document\'s own is named _id, so name it with {"$project": {"id": "$_id", …}} '
            'in an aggregate, or "projection": {"id": "$_id", …} in a find'
        )
