"""From documents to the columns of a page: each field of any document is one, and a document without it has no cell.

A column is given by what its values are, type by type, since a field may hold anything in the next document. The types
are those that MongoDB names (`$type`), and `mixed` once a field was seen to hold several.
"""

import contextlib
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from loaders import cells
from loaders.errors import QueryError
from loaders.source import ABSENT, BadValue, Cell, Column, Kind, Page

COLUMNS_MAX = 256
"""Fields of all documents of a query together: an event has room for a tenth of it."""

DECODED_TOGETHER = 1000
"""Documents: few enough to stay in the processor's cache from the decoding to the last column."""
UTF8_BYTES_MAX = 4
"""Of one character."""

_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    # What is no UTF-8 becomes half surrogates, which `cells` tells as a fault of the value in place of the page.
    unicode_decode_error_handler="surrogateescape",
)


class _Missing:
    """The class of what stands for a field that a document lacks."""


_MISSING = _Missing()


class Documents:
    """Turns the documents of one query into pages; its columns only grow."""

    def __init__(self, value_bytes_max: int) -> None:
        self._value_bytes_max = value_bytes_max
        self._columns: dict[str, Column] = {}

    def page(self, raw: Sequence[bytes | memoryview]) -> Page:
        """Give a page of documents as BSON.

        Raises:
            QueryError: they have too many fields, or are no BSON.
        """
        columns: dict[str, list[Cell]] = {name: [] for name in self._columns}
        for start in range(0, len(raw), DECODED_TOGETHER):
            for name, more in self._decoded(raw[start : start + DECODED_TOGETHER]):
                columns.setdefault(name, [ABSENT] * start).extend(more)
        return Page(tuple(self._columns.values()), list(columns.values()), len(raw))

    def _decoded(self, raw: Sequence[bytes | memoryview]) -> Iterator[tuple[str, list[Cell]]]:
        """Give each column that is known, or new, with the cells of these documents."""
        try:
            documents = bson.decode_all(b"".join(raw), _OPTIONS)
        except (BSONError, ValueError) as error:
            raise QueryError(f"the server sent a document that cannot be read: {error}") from None
        names: dict[str, Any] = dict.fromkeys(self._columns)
        for document in documents:
            names.update(document)
        if len(names) > COLUMNS_MAX:
            raise QueryError(
                f"the documents have more than {COLUMNS_MAX} different fields: name those you want in a projection"
            )
        whole = all(map(len(names).__eq__, map(len, documents)))
        for name in names:
            values = (
                list(map(itemgetter(name), documents))
                if whole  # Every document has every field, as those of a table would.
                else [document.get(name, _MISSING) for document in documents]
            )
            kinds = set(map(type, values))
            self._columns[name] = _column(name, kinds, self._columns.get(name))
            yield name, self._bounded(_cells(values, kinds), kinds)

    def _bounded(self, column: list[Cell], kinds: set[type]) -> list[Cell]:
        if kinds <= _SHORT:
            return column
        most = self._value_bytes_max
        # Most often none is near the limit; a fault has no length.
        with contextlib.suppress(TypeError):
            if max(map(len, column)) * UTF8_BYTES_MAX <= most:  # type: ignore[arg-type]
                return column
        return [
            BadValue(f"has {len(cell.encode())} bytes: at most {most}")
            if isinstance(cell, str) and len(cell.encode()) > most
            else cell
            for cell in column
        ]


def _column(name: str, kinds: set[type], known: Column | None) -> Column:
    found = {_TYPES.get(kind, "unknown") for kind in kinds if kind not in _EMPTY}
    if known is not None and known.type != "null":
        found.add(known.type)
    if not found:
        return Column(
            name, "null", Kind.TEXT
        )  # Nothing to compare, which is no reason to refuse the column as a cursor.
    if len(found) == 1:
        (kind,) = found
        return Column(name, kind, _KINDS.get(kind, Kind.OTHER))
    if found <= _NUMBERS:
        return Column(name, "number", Kind.NUMBER)
    return Column(name, "mixed")


def _cells(values: Sequence[Any], kinds: set[type]) -> list[Cell]:
    if len(kinds) == 1:
        return _convert(next(iter(kinds)))(values)
    column: list[Cell] = [ABSENT] * len(values)
    for kind in kinds - {_Missing}:
        places = [place for place, value in enumerate(values) if type(value) is kind]
        for place, cell in zip(places, _convert(kind)([values[place] for place in places]), strict=True):
            column[place] = cell
    return column


def _convert(kind: type) -> cells.Convert:
    return _BY_TYPE.get(kind, _unknown)


def _arrays(values: Sequence[list[Any]]) -> list[Cell]:
    return [_array(value) for value in values]


def _array(value: list[Any]) -> Cell:
    kinds = set(map(type, value))
    if list in kinds:
        return BadValue("is an array of arrays: properties hold plain values and arrays of them")
    found = _cells(value, kinds) if value else []
    texts = [cell for cell in found if isinstance(cell, str)]
    if len(texts) < len(found):
        bad = next(cell for cell in found if isinstance(cell, BadValue))
        return BadValue(f"is an array with a value that {bad.message}")
    return f"[{','.join(texts)}]"


_DECIMAL = struct.Struct("<QQ")
_EXPONENT_BIAS = 6176
_EXPONENT_MIN = -34
"""From here on a decimal is written with its digits in full; beyond, in scientific notation as its library does."""
_SPECIAL = 0b11 << 61


def _decimals(values: Sequence[Decimal128]) -> list[Cell]:
    """Give decimals with their digits: IEEE 754's binary layout is read here, at a tenth of what the library takes."""
    found: list[Cell] = []
    for value in values:
        low, high = _DECIMAL.unpack(value.bid)
        exponent = (high >> 49 & 0x3FFF) - _EXPONENT_BIAS
        if high & _SPECIAL == _SPECIAL or not _EXPONENT_MIN <= exponent <= 0:
            found.append(cells.decimals([value.to_decimal()])[0])
            continue
        digits = str((high & 0x1FFFFFFFFFFFF) << 64 | low)
        if exponent:
            digits = digits.zfill(1 - exponent)
            digits = f"{digits[:exponent]}.{digits[exponent:]}"
        found.append(f"-{digits}" if high >> 63 else digits)
    return found


def _instants(values: Sequence[datetime]) -> list[Cell]:
    return [f'"{value.isoformat(timespec="microseconds")}Z"' for value in values]  # The driver's are naive UTC.


def _fault(message: str) -> cells.Convert:
    return lambda values: [BadValue(message)] * len(values)


_unknown = _fault("is of a type that has no form in JSON: convert it in a $project")


_BY_TYPE: Mapping[type, cells.Convert] = {
    type(None): lambda values: ["null"] * len(values),
    _Missing: lambda values: [ABSENT] * len(values),
    bool: cells.booleans,
    int: cells.integers,
    Int64: cells.integers,
    float: cells.floats,
    Decimal128: _decimals,
    str: cells.texts,
    ObjectId: lambda values: [f'"{value}"' for value in values],
    uuid.UUID: lambda values: [f'"{value}"' for value in values],
    datetime: _instants,
    list: _arrays,
    dict: _fault("is an object: properties cannot be nested, so select its fields one by one in a $project"),
    DBRef: _fault("is an object: properties cannot be nested, so select its fields one by one in a $project"),
    DatetimeMS: _fault("is a date beyond the years 1 to 9999"),
    bytes: _fault("is binary, which has no form in JSON: leave it out, or convert it in a $project"),
    Binary: _fault("is binary, which has no form in JSON: leave it out, or convert it in a $project"),
    Regex: _fault("is a regular expression, which has no form in JSON: leave it out"),
    Code: _fault("is code, which has no form in JSON: leave it out"),
    Timestamp: _fault('is an internal timestamp: convert it with {"$toDate": …} in a $project'),
    MinKey: _fault("is MinKey, which has no form in JSON: leave it out"),
    MaxKey: _fault("is MaxKey, which has no form in JSON: leave it out"),
}
_TYPES: Mapping[type, str] = {
    bool: "bool",
    int: "int",
    Int64: "long",
    float: "double",
    Decimal128: "decimal",
    str: "string",
    ObjectId: "objectId",
    uuid.UUID: "uuid",
    datetime: "date",
    DatetimeMS: "date",
    list: "array",
    dict: "object",
    DBRef: "object",
    bytes: "binData",
    Binary: "binData",
    Regex: "regex",
    Code: "javascript",
    Timestamp: "timestamp",
    MinKey: "minKey",
    MaxKey: "maxKey",
}
_EMPTY = frozenset({type(None), _Missing})
_SHORT = frozenset({type(None), _Missing, bool, int, Int64, float, Decimal128, ObjectId, uuid.UUID, datetime})
_NUMBERS = frozenset({"int", "long", "double", "decimal", "number"})
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(_NUMBERS, Kind.NUMBER),
    "date": Kind.TIMESTAMP,
    "string": Kind.TEXT,
    "objectId": Kind.TEXT,
    "uuid": Kind.TEXT,
}
