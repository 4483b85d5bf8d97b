"""How far a dataloader has read: the greatest value of one column, with what it compares by.

Numbers compare by value, instants by time, texts by the code points of their characters, as `COLLATE "C"` and
`utf8mb4_bin` do: a cursor over text is right where the query compares alike. Values that are null, absent or faulty say
nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from loaders.errors import QueryError
from loaders.source import Cell, Column, Kind, Parameter

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_texts = msgspec.json.Decoder(list[str | None]).decode


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value to read on from. `value` is as it goes out: an instant in ISO 8601, text as it is, a number exactly."""

    kind: Kind
    value: str | int | Decimal

    def parameter(self) -> Parameter:
        """Give what is bound in place of `{{cursor}}`."""
        if self.kind is not Kind.TIMESTAMP:
            return self.value
        assert isinstance(self.value, str)
        instant = datetime.fromisoformat(self.value)
        return instant if instant.tzinfo is None else instant.astimezone(UTC)

    def document(self) -> dict[str, Any]:
        """Give what is kept."""
        return {"kind": self.kind.value, "value": self.value}

    @classmethod
    def from_document(cls, document: Any) -> "Cursor | None":
        """Give back what `document` gave; None of None."""
        return None if document is None else cls(Kind(document["kind"]), document["value"])


def start_cursor(value: str | int | Decimal) -> Cursor:
    """Give what to begin at: a number, or text, which is an instant if it looks like one.

    Raises:
        ValueError: it looks like an instant that there is not, such as February 30.
    """
    if not isinstance(value, str):
        return Cursor(Kind.NUMBER, value)
    if not _INSTANT.fullmatch(value):
        return Cursor(Kind.TEXT, value)
    try:
        datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value} is beyond what a calendar holds") from None
    return Cursor(Kind.TIMESTAMP, value)


def greatest(column: Column, cells: Sequence[Cell]) -> Cursor | None:
    """Give the greatest of some values of a column, None where there is none.

    Raises:
        QueryError: the column's values do not compare.
    """
    known = [cell for cell in cells if isinstance(cell, str) and cell not in ("null", "")]
    if not known:
        return None
    if column.kind is Kind.OTHER:
        raise QueryError(
            f'cursor_column: "{column.name}" is of type {column.type}, which has no order that can be read on from: '
            "choose a column of numbers, timestamps or text, or cast it in the query"
        )
    if column.kind is Kind.NUMBER:
        return Cursor(Kind.NUMBER, _greatest_number(known))
    if column.kind is Kind.TIMESTAMP:
        return Cursor(Kind.TIMESTAMP, max(known)[1:-1])
    texts = _texts(f"[{','.join(known)}]".encode())
    return Cursor(Kind.TEXT, max(text for text in texts if text is not None))


def greater(one: Cursor | None, other: Cursor | None) -> Cursor | None:
    """Give the greater of two values of one column."""
    if one is None or other is None:
        return one or other
    if one.kind is not other.kind:  # A document's field that was of another type in an earlier page: the later one.
        return other
    return other if other.value > one.value else one  # type: ignore[operator]  # One kind, so they compare.


def _greatest_number(cells: Sequence[str]) -> int | Decimal:
    try:
        return max(map(int, cells))
    except ValueError:
        found = max(map(Decimal, cells))
        return int(found) if found == found.to_integral_value() and _INTEGER.fullmatch(str(found)) else found
