"""Write CSV that a spreadsheet shows and does not run.

A text that begins with one of `=+-@`, a tab or a line break would be taken for a formula; an apostrophe before it says
that it is text. Numbers stay numbers, below 0 too. Lines end with CR LF, as RFC 4180 has it.
"""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

from billing.exports.columns import Cell, Column, Row, Type
from metering.decimals import plain
from metering.timestamps import format_instant

CONTENT_TYPE = "text/csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvFile:
    """A file of some columns; what is given back are its next bytes."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        """Give the line of names."""
        return _encoded([[_safe(column.name) for column in self._columns]])

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Give some lines."""
        return _encoded([[_shown(column, column.cell(row)) for column in self._columns] for row in rows])

    def end(self) -> bytes:
        """Give nothing more."""
        return b""


def _encoded(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _shown(column: Column, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return format_instant(cell) if column.type is Type.INSTANT else str(cell)
    return plain(cell) if isinstance(cell, Decimal) else _safe(cell)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
