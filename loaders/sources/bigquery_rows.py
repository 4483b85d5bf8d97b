"""From a page of BigQuery's REST answer to columns of JSON text, without the objects that Google's client makes.

The API writes every value as text (`{"f": [{"v": "1.5"}, …]}`), and its schema says what the text is. Each column is
read as its type by Arrow before it is taken for JSON: what a server sent is never pasted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from loaders.source import Cell, Column, Kind
from loaders.sources.arrow import (
    ARRAY_OF_OBJECTS,
    BINARY,
    OBJECT,
    array_cells,
    cells_of,
    json_cells,
)

_NUMERAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"


class Field(msgspec.Struct, frozen=True, gc=False):
    """A column of a schema; `mode` REPEATED is an array."""

    name: str
    type: str
    mode: str = "NULLABLE"


class _Schema(msgspec.Struct, gc=False):
    fields: list[Field]


class _Value(msgspec.Struct, gc=False):
    v: Any


class _Row(msgspec.Struct, gc=False):
    f: list[_Value]


class ResultPage(msgspec.Struct, rename="camel"):
    """One answer of `jobs.getQueryResults`."""

    job_complete: bool = False
    schema: _Schema | None = None
    rows: list[_Row] = []
    page_token: str = ""


read_page = msgspec.json.Decoder(ResultPage).decode

_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_NUMBERS = {"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}


def column_of(field: Field) -> Column:
    """Give a column with its type as SQL names it."""
    name = _NAMES.get(field.type, field.type)
    if field.mode == "REPEATED":
        return Column(field.name, f"ARRAY<{name}>")
    kind = Kind.OTHER
    if field.type in _NUMBERS:
        kind = Kind.NUMBER
    elif field.type in {"TIMESTAMP", "DATETIME"}:
        kind = Kind.TIMESTAMP
    elif field.type == "STRING":
        kind = Kind.TEXT
    return Column(field.name, name, kind)


def columns_of_cells(rows: Sequence[_Row], fields: Sequence[Field], value_bytes_max: int) -> list[list[Cell]]:
    """Give the cells of each column.

    Raises:
        pa.ArrowInvalid, ValueError, TypeError: a value is not of the type that the schema gives it.
    """
    if not rows:
        return [[] for _ in fields]
    if {len(row.f) for row in rows} != {len(fields)}:
        raise ValueError("a row has not as many values as there are columns")
    held = [row.f for row in rows]
    return [_cells([values[place].v for values in held], field, value_bytes_max) for place, field in enumerate(fields)]


def _cells(values: Sequence[Any], field: Field, value_bytes_max: int) -> list[Cell]:
    if field.mode == "REPEATED":
        inner = Field(field.name, field.type)
        flat = [one["v"] for value in values for one in value or ()]
        lengths = [None if value is None else len(value) for value in values]
        if field.type in {"RECORD", "STRUCT"}:
            return [ARRAY_OF_OBJECTS if length else "[]" for length in lengths]
        return array_cells(_cells(flat, inner, value_bytes_max), lengths, value_bytes_max)
    if field.type in {"RECORD", "STRUCT"}:
        return ["null" if value is None else OBJECT for value in values]
    if field.type == "BYTES":
        return ["null" if value is None else BINARY for value in values]
    if field.type == "JSON":
        return json_cells(values, value_bytes_max)
    if field.type in {"NUMERIC", "BIGNUMERIC"}:
        return _numerals(values)
    return cells_of(_READ_AS.get(field.type, _text)(pa.array(values, pa.string())), value_bytes_max)


def _numerals(values: Sequence[str | None]) -> list[Cell]:
    """Give numerals as they were written, once they are seen to be that."""
    seen = pc.match_substring_regex(pa.array(values, pa.string()), _NUMERAL)
    if not pc.all(seen, min_count=0).as_py():
        raise ValueError("a NUMERIC is no numeral")
    return ["null" if value is None else value for value in values]


def _text(values: pa.Array) -> pa.Array:
    return values


def _as(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda values: pc.cast(values, kind)


def _instants(values: pa.Array) -> pa.Array:
    return pc.cast(pc.cast(values, pa.int64()), pa.timestamp("us", "UTC"))


def _times(values: pa.Array) -> pa.Array:
    that_day = pc.binary_join_element_wise("1970-01-01T", values, "")
    return pc.cast(pc.cast(that_day, pa.timestamp("us")), pa.time64("us"))


_READ_AS: dict[str, Callable[[pa.Array], pa.Array]] = {
    **dict.fromkeys(("INTEGER", "INT64"), _as(pa.int64())),
    **dict.fromkeys(("FLOAT", "FLOAT64"), _as(pa.float64())),
    **dict.fromkeys(("BOOLEAN", "BOOL"), _as(pa.bool_())),
    "DATE": _as(pa.date32()),
    "TIME": _times,
    "DATETIME": _as(pa.timestamp("us")),
    "TIMESTAMP": _instants,
}
