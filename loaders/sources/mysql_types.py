"""What the types of MySQL and MariaDB become, from the bytes in which the server writes values (its text protocol)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pymysql.constants import FIELD_TYPE, FLAG

from loaders.source import BadValue, Cell, Kind
from loaders.sources import written
from loaders.sources.documents import documents
from loaders.sources.written import Written

Raw = Sequence[bytes | None]
RawConvert = Callable[[Raw], list[Cell]]

_BINARY = 63
"""The character set of what is no text."""
_NAMES = {
    FIELD_TYPE.TINY: "tinyint",
    FIELD_TYPE.SHORT: "smallint",
    FIELD_TYPE.INT24: "mediumint",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.NEWDATE: "date",
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.JSON: "json",
    FIELD_TYPE.GEOMETRY: "geometry",
    FIELD_TYPE.NULL: "null",
}
_NUMBERS = frozenset(
    {
        *(FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR),
        *(FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE, FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL),
    }
)
_INSTANTS = frozenset({FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME})
_DATES = frozenset({FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE})
_BOOLEANS = {"0": "false", "1": "true", None: "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the server describes it: its type's code, its flags, character set and display length."""

    name: str
    code: int
    flags: int
    charset: int
    length: int

    @property
    def boolean(self) -> bool:
        """Tell a `tinyint(1)`, which is what BOOLEAN is."""
        return self.code == FIELD_TYPE.TINY and self.length == 1 and not self.flags & FLAG.UNSIGNED

    @property
    def type(self) -> str:
        """Give the type's name."""
        if self.boolean:
            return "tinyint(1)"
        if self.flags & FLAG.ENUM:
            return "enum"
        if self.flags & FLAG.SET:
            return "set"
        name = _NAMES.get(self.code) or ("binary" if self.charset == _BINARY else "text")
        return f"{name} unsigned" if self.code in _NUMBERS and self.flags & FLAG.UNSIGNED else name

    @property
    def kind(self) -> Kind:
        """Tell what the column compares by."""
        if self.boolean or self.flags & (FLAG.ENUM | FLAG.SET):
            return Kind.OTHER
        if self.code in _NUMBERS:
            return Kind.NUMBER
        if self.code in _INSTANTS:
            return Kind.TIMESTAMP
        return Kind.TEXT if self.type in ("text", "date") else Kind.OTHER


def converter(field: Field, value_bytes_max: int) -> RawConvert:
    """Give what makes cells of a column."""
    if field.boolean:
        return lambda values: _booleans(_decoded(values))
    if field.code == FIELD_TYPE.BIT:
        return lambda values: ["null" if one is None else str(int.from_bytes(one, "big")) for one in values]
    if field.code in _NUMBERS:
        if field.flags & FLAG.ZEROFILL:
            return lambda values: [_unpadded(one) for one in _decoded(values)]
        return lambda values: written.numbers(_decoded(values))
    if field.code in _INSTANTS:
        zone = "Z" if field.code == FIELD_TYPE.TIMESTAMP else ""
        return lambda values: [_instant(one, zone) for one in _decoded(values)]
    if field.code in _DATES:
        return lambda values: ["null" if one is None else _date(one) for one in _decoded(values)]
    if field.code == FIELD_TYPE.JSON:
        plain = documents(value_bytes_max)
        return lambda values: plain(_decoded(values))
    if field.charset == _BINARY and field.code not in (FIELD_TYPE.TIME, FIELD_TYPE.NULL):
        return _bytes
    texts = written.texts(value_bytes_max)
    return lambda values: texts(_decoded(values))


def _decoded(values: Raw) -> Written:
    """Decode a whole column at once, where nothing speaks against it."""
    if None not in values:
        parts = b"\0".join(values).decode().split("\0")  # type: ignore[arg-type]  # None is not in it.
        if len(parts) == len(values):
            return parts
    return [None if one is None else one.decode() for one in values]


def _booleans(values: Written) -> list[Cell]:
    return [
        _BOOLEANS.get(one) or BadValue(f"is {one} in a tinyint(1), which is true or false: write + 0") for one in values
    ]


def _unpadded(value: str | None) -> Cell:
    """Give a number of a column with ZEROFILL, and a year."""
    if value is None:
        return "null"
    whole, point, rest = value.partition(".")
    return f"{whole.lstrip('0') or '0'}{point}{rest}"


def _instant(value: str | None, zone: str) -> Cell:
    if value is None:
        return "null"
    if value[5:7] == "00" or value[8:10] == "00" or value[:4] == "0000":
        return _zero(value)
    return f'"{value[:10]}T{value[11:19]}.{value[20:]:0<6}{zone}"'


def _date(value: str) -> Cell:
    return _zero(value) if value[5:7] == "00" or value[8:] == "00" or value[:4] == "0000" else f'"{value}"'


def _zero(value: str) -> BadValue:
    return BadValue(f"is {value}, which no calendar has: write NULLIF(…, '{value}') in the query, or mend the row")


def _bytes(values: Raw) -> list[Cell]:
    fault = BadValue("is binary: write HEX(…) or TO_BASE64(…) in the query, or leave it out")
    return ["null" if one is None else fault for one in values]
