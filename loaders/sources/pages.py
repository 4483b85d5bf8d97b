"""Put rows of text together to pages that are bounded in rows and in bytes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from loaders.source import BadValue, Cell, Column, Page

Value = TypeVar("Value")
"""What a driver gives for a value: text, or bytes."""

CHUNK_ROWS_FIRST = 100
CHUNK_ROWS_MAX = 2_000


class Building(Generic[Value]):
    """A page as it grows; `given` once there was one."""

    def __init__(
        self,
        columns: Sequence[Column],
        converts: Sequence[Callable[[Sequence[Value | None]], list[Cell]]],
        *,
        rows_max: int,
        bytes_max: int,
    ) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self.given = False
        self._converts = converts
        self._columns = columns
        self._cells: list[list[Cell]] = [[] for _ in columns]
        self.rows = 0
        self.bytes = 0
        self._row_bytes = 0

    def filled(self, rows: Sequence[Sequence[Value | None]]) -> Iterator[Page]:
        """Take some rows in, no more than a page holds; yield each page that has no room for more."""
        full = self.rows + len(rows) > self._rows_max or self.bytes >= self._bytes_max
        if self.rows and full:
            yield self._taken()
        self._add(rows)
        if self.rows == self._rows_max:
            yield self._taken()

    def rest(self) -> Iterator[Page]:
        """Yield what is left; an empty page where no other was given, so that its columns are known."""
        if self.rows or not self.given:
            yield self._taken()

    def _add(self, rows: Sequence[Sequence[Value | None]]) -> None:
        if not rows:
            return
        for cells, convert, values in zip(self._cells, self._converts, zip(*rows, strict=True), strict=True):
            more = convert(values)
            cells.extend(more)
            self.bytes += _size(more)
        self.rows += len(rows)
        self._row_bytes = self.bytes // self.rows

    def chunk_rows(self) -> int:
        """Give how many rows to hold as the driver's at a time: a quarter of a page's bytes."""
        if not self._row_bytes:
            return CHUNK_ROWS_FIRST
        return max(min(self._bytes_max // 4 // self._row_bytes, CHUNK_ROWS_MAX), 1)

    def _taken(self) -> Page:
        """Give the page, and begin another."""
        page = Page(self._columns, self._cells, self.rows)
        self._cells = [[] for _ in self._columns]
        self.rows = self.bytes = 0
        self.given = True
        return page


def _size(cells: list[Cell]) -> int:
    try:
        return sum(map(len, cells))  # type: ignore[arg-type]  # A BadValue has no length.
    except TypeError:
        return sum(len(one) for one in cells if not isinstance(one, BadValue))
