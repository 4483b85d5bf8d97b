"""What a system that usage is pulled from has to offer, whichever it is.

A source streams pages; the runner turns their rows into events and sends them through the log like everybody else's. A
row is what the user's query returned: the columns `id`, `customerId` and `timestamp` in exactly this casing,
`customerName` where it is given, and every other column as a property.

Pages are columns of JSON text, because that is what an event is made of: `cells.py` makes it from a driver's values.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

REQUIRED_COLUMNS = ("id", "customerId", "timestamp")
CUSTOMER_NAME_COLUMN = "customerName"
PARAMETERS = ("last_run_at", "cursor")
"""What a query may name as `{{last_run_at}}` and `{{cursor}}`: bound, never pasted."""

ABSENT = ""
"""The cell of a column that a row does not have (a field that a document lacks): no property, unlike `null`."""


class Kind(StrEnum):
    """What a column's values compare by, if it can be a cursor."""

    NUMBER = "number"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query's result, with the source's own name for its type."""

    name: str
    type: str
    kind: Kind = Kind.OTHER


@dataclass(frozen=True, slots=True)
class BadValue:
    """In place of a cell: why its value can be no property, such as "is NaN, and JSON has no such number"."""

    message: str


Cell = str | BadValue
"""A value as JSON text: a number with its digits, text in quotes, `true`, `null`, an array; or `ABSENT`.

Instants are text in ISO 8601 of one width in each column, with six decimals, and `Z` where the source knows the zone,
so that they sort as they compare. Floats are their shortest decimal.
"""

Parameter = int | Decimal | str | datetime
"""A bound value: an aware date-time in UTC, or a naive one where the column that it came from has no zone."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, in the order in which the source gave them: `cells[i][row]` is of `columns[i]`.

    Columns are the same in every page of a query; a source without a fixed shape (documents) may add some.
    """

    columns: Sequence[Column]
    cells: Sequence[Sequence[Cell]]
    rows: int


class Source(Protocol):
    """One connection to one system. Memory is bounded by a page, however many rows there are.

    Blocking: one thread uses it at a time, but `cancel` may come from any. All methods raise
    `loaders.errors.SourceError` and nothing else. Not promised: that rows come in any order, that the same query gives
    the same rows again, or that a page is full.
    """

    @property
    def quote(self) -> str:
        """Give the mark that keeps a name's casing in this dialect, such as `"`; empty where casing is kept anyway."""
        ...

    def ping(self) -> Sequence[str]:
        """Connect and ask for nothing, so that a wrong address or password is told before it is saved.

        Gives warnings: what works, but should not be so, such as a user that may write.
        """
        ...

    def now(self) -> datetime:
        """Give the time by the source's clock, aware."""
        ...

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Run a query that only reads and stream its result: at least one page, so that its columns are known.

        Refuses what is no single reading statement before it is sent, and has the database refuse it too. Closing the
        iterator early ends the query. Every name of `parameters` may be in the query or not.
        """
        ...

    def cancel(self) -> None:
        """End what another thread waits for, which then raises `QueryCancelledError`; harmless when nothing runs."""
        ...

    def close(self) -> None:
        """Let go of the connection; a query under way is cancelled at the source. Raises nothing."""
        ...
