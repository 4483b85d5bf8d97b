"""What a system that usage is pulled from has to offer, whichever it is.

A source streams rows; the runner turns them into events and sends them through the log like everybody else's. A row
is what the user's query returned: the columns `id`, `customerId` and `timestamp` in exactly this casing, `customerName`
where it is given, and every other column as a property.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

REQUIRED_COLUMNS = ("id", "customerId", "timestamp")
CUSTOMER_NAME_COLUMN = "customerName"

Scalar = None | bool | int | Decimal | str
Value = Scalar | Sequence[Scalar]
"""A column's value as a property may hold it. Numbers are exact: a driver's floats are turned into their shortest
decimal text by the source, which knows the column's type."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query's result, with the source's own name for its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, in the order in which the source gave them; each has the values of `columns`."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]


class Source(Protocol):
    """One connection to one system. Memory is bounded by a page, however many rows there are.

    Not promised: that rows come in any order, that the same query gives the same rows again, or that a page is full.
    """

    async def ping(self) -> None:
        """Connect and ask for nothing, so that a wrong address or password is told before it is saved."""
        ...

    def pages(self, query: str, parameters: Mapping[str, Value], *, page_rows_max: int) -> AsyncIterator[Page]:
        """Run a query that only reads and stream its result; `parameters` are bound, never pasted."""
        ...

    async def close(self) -> None:
        """Let go of the connection; a query under way is cancelled at the source."""
        ...
