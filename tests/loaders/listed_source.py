"""A source without a database: what a test lays out is what a query gives, by the protocol's own words."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from loaders.errors import QueryCancelledError
from loaders.source import Cell, Column, Kind, Page

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
COLUMNS = (
    Column("id", "bigint", Kind.NUMBER),
    Column("customerId", "text", Kind.TEXT),
    Column("timestamp", "timestamptz", Kind.TIMESTAMP),
    Column("amount", "numeric", Kind.NUMBER),
)


def a_row(number: int, customer: str = "acme", amount: str = "1.5") -> tuple[Cell, ...]:
    return str(number), f'"{customer}"', f'"2026-01-01T00:00:{number % 60:02}.000000Z"', amount


def a_page(rows: Sequence[Sequence[Cell]], columns: Sequence[Column] = COLUMNS) -> Page:
    return Page(columns, [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in columns], len(rows))


class ListedSource:
    """`rows` may be a function of the parameters. `before` is called before each page with its number."""

    def __init__(self, rows, columns=COLUMNS, *, before: Callable[[int], None] = lambda _: None):
        self.rows, self.columns, self.before = rows, columns, before
        self.asked: list[Mapping[str, object]] = []
        self.cancelled = threading.Event()
        self.closed = False
        self.moment = NOON

    @property
    def quote(self) -> str:
        return '"'

    def ping(self) -> Sequence[str]:
        return ()

    def now(self) -> datetime:
        return self.moment

    def pages(self, query: str, parameters, *, page_rows_max: int) -> Iterator[Page]:  # noqa: ARG002
        self.asked.append(dict(parameters))
        rows = list(self.rows(parameters) if callable(self.rows) else self.rows)
        for number, start in enumerate(range(0, max(len(rows), 1), page_rows_max)):
            self.before(number)
            if self.cancelled.is_set():
                raise QueryCancelledError("the query was cancelled")
            yield a_page(rows[start : start + page_rows_max], self.columns)

    def cancel(self) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed = True
