"""From a driver's values to JSON text, a column at a time: no digit is lost, and what cannot be said is a fault.

One function for each type of value; a source picks it once for each column, by the column's type. None becomes `null`.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec

from loaders.source import BadValue, Cell

_encode = msgspec.json.Encoder(decimal_format="number").encode

Convert = Callable[[Sequence[Any]], list[Cell]]


def integers(values: Sequence[int | None]) -> list[Cell]:
    """Give whole numbers."""
    return ["null" if value is None else str(value) for value in values]


def booleans(values: Sequence[bool | int | None]) -> list[Cell]:
    """Give true and false."""
    return ["null" if value is None else "true" if value else "false" for value in values]


def decimals(values: Sequence[Decimal | None]) -> list[Cell]:
    """Give decimals with all their digits, trailing zeros too."""
    return ["null" if value is None else _decimal(value) for value in values]


def floats(values: Sequence[float | None]) -> list[Cell]:
    """Give binary numbers as the shortest decimal that is read back as the same."""
    return ["null" if value is None else repr(value) if math.isfinite(value) else _no_number(value) for value in values]


def texts(values: Sequence[str | None]) -> list[Cell]:
    """Give text; a lone surrogate, which no encoding has, is a fault."""
    if None not in values:
        joined = "".join(cast(Sequence[str], values))
        if joined.isascii() and joined.isprintable() and '"' not in joined and "\\" not in joined:
            return [f'"{value}"' for value in values]  # Nothing in the whole column needs an escape.
    try:
        return [_encode(value).decode() for value in values]
    except (UnicodeEncodeError, msgspec.EncodeError):
        return [_text(value) for value in values]


def instants(values: Sequence[datetime | None]) -> list[Cell]:
    """Give date-times with six decimals: aware ones in UTC with a `Z`, naive ones as they are."""
    return ["null" if value is None else _instant(value) for value in values]


def dates(values: Sequence[date | None]) -> list[Cell]:
    """Give dates as `2026-01-31`."""
    return ["null" if value is None else f'"{value.isoformat()}"' for value in values]


def any_values(values: Sequence[Any]) -> list[Cell]:
    """Give values of a column without one type, such as a document's field: each by what it is."""
    return [any_value(value) for value in values]


def any_value(value: Any) -> Cell:
    """Give one value by what it is; an array of plain values is kept, what is nested deeper is a fault."""
    if isinstance(value, (list, tuple)):
        cells = [any_value(one) for one in value]
        bad = next((one for one in cells if isinstance(one, BadValue)), None)
        if bad is not None:
            return BadValue(f"is an array with a value that {bad.message}")
        if any(isinstance(one, (list, tuple)) for one in value):
            return BadValue("is an array of arrays: properties hold plain values and arrays of them")
        return f"[{','.join(map(str, cells))}]"
    for kind, convert in _BY_KIND:
        if isinstance(value, kind):
            return convert([value])[0]
    if value is None:
        return "null"
    if isinstance(value, dict):
        return BadValue("is an object: properties cannot be nested, so select its fields one by one")
    return BadValue(f"is of a type that has no form in JSON ({type(value).__name__}): cast it to text in the query")


def _decimal(value: Decimal) -> Cell:
    return str(value) if value.is_finite() else _no_number(value)


def _no_number(value: float | Decimal) -> BadValue:
    return BadValue(f"is {value}, and JSON has no such number: cast it to text, or leave it out")


def _text(value: str | None) -> Cell:
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, msgspec.EncodeError):
        return BadValue("is no valid text: it holds half of a surrogate pair")


def _instant(value: datetime) -> Cell:
    if value.tzinfo is None:
        return f'"{value.isoformat(timespec="microseconds")}"'
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        return BadValue(f"is {value.isoformat()}, beyond what a calendar holds")
    return f'"{value.replace(tzinfo=None).isoformat(timespec="microseconds")}Z"'


_BY_KIND: Sequence[tuple[type, Convert]] = (
    (bool, booleans),
    (int, integers),
    (Decimal, decimals),
    (float, floats),
    (str, texts),
    (datetime, instants),
    (date, dates),
)
