"""Run a query for its first rows, before it is saved: the columns found, what is missing, what would be rejected."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from loaders.columns import missing_columns
from loaders.connections.secret_parts import hide_secrets
from loaders.cursors import start_cursor
from loaders.dataloaders.fields import placeholders, read_cursor_start, read_query
from loaders.dataloaders.queries import refused_query
from loaders.errors import QueryError, SourceDeniedError, SourceError, SourceUnavailableError
from loaders.reaching import Addresses, OpenSource
from loaders.rows import EventMaker, RowFault
from loaders.source import ABSENT, Cell, Page, Parameter, Source
from metering.http.fields import Fields
from metering.http.problem import ApiError, refused
from metering.http.shapes import ANY_OBJECT, NAME, TEXT, Shape, array_of, described, object_of, request_of
from metering.world import World

ROWS = 5
STATEMENT_S_MAX = 30.0
WAIT_S_MAX = 60.0
AT_ONCE_MAX = 4
OF_AN_ACCOUNT_MAX = 2
RETRY_AFTER_S = 5
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
VALUE_CHARACTERS_MAX = 1000
"""A longer value is told in part."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be previewed."""

    connection_id: str
    query: str
    cursor_start: str | int | Decimal | None


@dataclass(frozen=True, slots=True)
class Previewed:
    """What came: a page of at most `ROWS`, and the mark that keeps a name's casing."""

    page: Page
    quote: str


class Previews:
    """The previews of one process. A thread may outlive the question, until its source's limits end it."""

    def __init__(self, addresses: Addresses, open_source: OpenSource, *, wait_s_max: float = WAIT_S_MAX) -> None:
        """`open_source`: its statements should be limited to some `STATEMENT_S_MAX`."""
        self._addresses = addresses
        self._open = open_source
        self._wait_s_max = wait_s_max
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="preview")
        self._under_way: Counter[str] = Counter()

    async def preview(self, world: World, asked: Asked) -> Previewed:
        """Run a query for its first rows.

        Raises:
            ApiError: 422 in the database's words, 429 while too many are under way.
        """
        if self._under_way[world.account_id] >= OF_AN_ACCOUNT_MAX or self._under_way.total() >= AT_ONCE_MAX:
            raise ApiError(
                429, "too many previews are under way: ask again shortly", headers={"Retry-After": str(RETRY_AFTER_S)}
            )
        sources: list[Source] = []
        self._under_way[world.account_id] += 1
        loop = asyncio.get_running_loop()
        previewing = loop.run_in_executor(self._threads, self._preview, world, asked, sources)
        previewing.add_done_callback(lambda _: self._ended(world.account_id))
        try:
            async with asyncio.timeout(self._wait_s_max):
                return await asyncio.shield(previewing)
        except TimeoutError:
            raise refused_query(QueryError(f"nothing came within {self._wait_s_max:.0f} s: ask for less")) from None
        except QueryError as error:
            raise refused_query(error) from None
        except SourceDeniedError as error:
            raise refused(f"connection_id: {error}") from None
        except SourceUnavailableError as error:
            raise refused(f"the source does not answer: {error}") from None
        finally:
            if not previewing.done():
                previewing.add_done_callback(_passed_over)
                for source in sources:
                    loop.run_in_executor(None, source.cancel).add_done_callback(_passed_over)

    def close(self) -> None:
        """Begin no more; those under way end by their own limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _preview(self, world: World, asked: Asked, sources: list[Source]) -> Previewed:
        address = self._addresses.address_of(world, asked.connection_id)
        try:
            source = self._open(address)
            sources.append(source)
            with closing(source):
                page = next(iter(source.pages(asked.query, _parameters(asked), page_rows_max=ROWS)))
                return Previewed(_first_rows(page), source.quote)
        except SourceError as error:
            raise type(error)(hide_secrets(str(error), address)) from None
        except StopIteration:
            raise QueryError("the source gave no columns") from None

    def _ended(self, account_id: str) -> None:
        self._under_way[account_id] -= 1
        if not self._under_way[account_id]:
            del self._under_way[account_id]


def read_preview(body: Mapping[str, Any]) -> Asked:
    """Give what a body asks for.

    Raises:
        ApiError: 400 with every fault.
    """
    fields = Fields(body)
    connection_id = fields.name("connection_id", required=True)
    query = read_query(fields)
    cursor_start = read_cursor_start(fields)
    if query is not None and "cursor" in placeholders(query) and cursor_start is None and not fields.faults:
        why = "is needed because the query names {{cursor}}: send what the first run reads from, such as 0"
        fields.fault("cursor_start", "required", why)
    fields.refuse_faults()
    assert connection_id is not None
    assert query is not None
    return Asked(connection_id, query, cursor_start)


def preview_object(previewed: Previewed) -> dict[str, Any]:
    """Give what came as it goes out."""
    page = previewed.page
    missing = missing_columns(page.columns, previewed.quote)
    return {
        "columns": [{"name": column.name, "type": column.type} for column in page.columns],
        "missing": [one.name for one in missing],
        "advice": [one.message for one in missing],
        "rows": [
            {column.name: _shown(cells[row]) for column, cells in zip(page.columns, page.cells, strict=True)}
            for row in range(page.rows)
        ],
        "rejected": [fault.document() for fault in _faults(previewed)],
    }


def _faults(previewed: Previewed) -> Sequence[RowFault]:
    """Tell what would be rejected of the rows; a fault of all of them is told as that of row 0."""
    try:
        return EventMaker("preview", previewed.quote).made(previewed.page).faults
    except QueryError as error:
        return [] if missing_columns(previewed.page.columns, previewed.quote) else [RowFault(0, None, None, str(error))]


def _parameters(asked: Asked) -> Mapping[str, Parameter]:
    start = {} if asked.cursor_start is None else {"cursor": start_cursor(asked.cursor_start).parameter()}
    return {"last_run_at": BEGINNING, **start}


def _first_rows(page: Page) -> Page:
    rows = min(page.rows, ROWS)
    return Page(page.columns, [cells[:rows] for cells in page.cells], rows)


def _shown(cell: Cell) -> Any:
    """Give a value as it is read from JSON: a number with its digits, long text in part, a fault as null."""
    if not isinstance(cell, str) or cell == ABSENT:
        return None
    if len(cell) <= VALUE_CHARACTERS_MAX:
        return msgspec.Raw(cell.encode())
    text = json.loads(cell) if cell[0] == '"' else cell
    return f"{text[:VALUE_CHARACTERS_MAX]}…"


def _passed_over(future: "asyncio.Future[Any]") -> None:
    """Look at what became of what nobody waits for, so that it is not reported as forgotten."""
    with suppress(asyncio.CancelledError):
        future.exception()


PREVIEW_BODY: Shape = request_of(
    {
        "connection_id": NAME,
        "query": described(TEXT, "As of a dataloader."),
        "cursor_start": described({"type": ["string", "number", "null"]}, "Needed where the query names {{cursor}}."),
    },
    title="DataloaderPreviewOf",
    required=("connection_id", "query"),
)
PREVIEW: Shape = object_of(
    {
        "columns": array_of(object_of({"name": TEXT, "type": described(TEXT, "By the source's own name.")})),
        "missing": described(array_of(TEXT), "Of id, customerId and timestamp."),
        "advice": described(array_of(TEXT), "How to name each of them so that it is found."),
        "rows": described(array_of(ANY_OBJECT), f"The first {ROWS}."),
        "rejected": described(array_of(ANY_OBJECT), "Which of these rows would be rejected, and why."),
    },
    title="DataloaderPreview",
)
