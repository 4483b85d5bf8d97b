"""What PostgreSQL's types become, from their text as the server writes it in the session that `postgres.py` sets up."""

from collections.abc import Iterator
from dataclasses import dataclass

from loaders.source import BadValue, Cell, Kind
from loaders.sources import written
from loaders.sources.documents import documents
from loaders.sources.written import Convert, Written

JSON_OIDS = frozenset({114, 3802})
_BOOLEANS = {"t": "true", "f": "false", None: "null"}


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A row of `pg_type`: its name, `typtype`, and for an array the type of its elements, else 0."""

    oid: int
    name: str
    typtype: str = "b"
    element: int = 0


def kind_of(info: TypeInfo) -> Kind:
    """Tell what a column of this type compares by."""
    if info.typtype != "b" or info.element:
        return Kind.OTHER
    return _KINDS.get(info.oid, Kind.OTHER)


def converter(info: TypeInfo, element: TypeInfo | None, value_bytes_max: int) -> Convert:
    """Give what makes cells of a column of this type; `element` is that of an array's elements."""
    if info.typtype == "c" or info.oid == _RECORD:
        return _composites
    if element is not None:
        return _arrays(converter(element, None, value_bytes_max), value_bytes_max)
    if info.oid in JSON_OIDS:
        return documents(value_bytes_max)
    return _CONVERTERS.get(info.oid) or written.texts(value_bytes_max)


def _booleans(values: Written) -> list[Cell]:
    return [_BOOLEANS[one] for one in values]


def _aware_instants(values: Written) -> list[Cell]:
    """Give `2026-01-31 12:00:00.5+00`: the session's zone is UTC."""
    return [
        "null"
        if one is None
        else f'"{one[:10]}T{one[11:19]}.{one[20:-3]:0<6}Z"'
        if one[4] == "-" and one[-3] == "+"
        else BadValue(f"is {one}, which is no date from the year 1 to 9999: leave it out, or cast it to text")
        for one in values
    ]


def _bytes(values: Written) -> list[Cell]:
    fault = BadValue("is binary: write encode(…, 'hex') or encode(…, 'base64') in the query, or leave it out")
    return ["null" if one is None else fault for one in values]


def _composites(values: Written) -> list[Cell]:
    fault = BadValue("is of a composite type: properties cannot be nested, so select its fields one by one")
    return ["null" if one is None else fault for one in values]


def _arrays(convert: Convert, value_bytes_max: int) -> Convert:
    def one_cell(value: str) -> Cell:
        fault = written.too_long(value, value_bytes_max)
        if fault is not None:
            return fault
        if not value.startswith("{"):
            return BadValue("is an array whose indexes do not begin at 1: cast it to text, or leave it out")
        if value[1] == "{":
            return BadValue("is an array of arrays: properties hold plain values and arrays of them")
        cells = convert(list(_elements(value)))
        bad = next((one for one in cells if isinstance(one, BadValue)), None)
        if bad is not None:
            return BadValue(f"is an array with a value that {bad.message}")
        if any(one[0] == "[" for one in cells if isinstance(one, str)):
            return BadValue("is an array of arrays: properties hold plain values and arrays of them")
        return f"[{','.join(one for one in cells if isinstance(one, str))}]"

    return lambda values: ["null" if one is None else one_cell(one) for one in values]


def _elements(value: str) -> Iterator[str | None]:
    """Divide `{1,NULL,"a, b"}`."""
    at, end = 1, len(value) - 1
    while at < end:
        if value[at] == '"':
            piece, at = _quoted(value, at + 1)
            yield piece
        else:
            stop = value.find(",", at)
            stop = end if stop < 0 else stop
            plain = value[at:stop]
            yield None if plain == "NULL" else plain
            at = stop
        at += 1


def _quoted(value: str, at: int) -> tuple[str, int]:
    """Give an element in quotes, and where the mark after it stands."""
    pieces: list[str] = []
    while value[at] != '"':
        at += value[at] == "\\"
        pieces.append(value[at])
        at += 1
    return "".join(pieces), at + 1


_RECORD = 2249
_NUMBERS = (20, 21, 23, 26, 700, 701, 1700)
_TEXTS = (18, 19, 25, 1042, 1043, 2950, 1082, 1083)  # uuid, date and time sort as their text does.
_CONVERTERS: dict[int, Convert] = {
    **dict.fromkeys(_NUMBERS, written.numbers),
    16: _booleans,
    17: _bytes,
    1082: written.dates,
    1114: written.naive_instants,
    1184: _aware_instants,
}
_KINDS: dict[int, Kind] = {
    **dict.fromkeys(_NUMBERS, Kind.NUMBER),
    **dict.fromkeys(_TEXTS, Kind.TEXT),
    1114: Kind.TIMESTAMP,
    1184: Kind.TIMESTAMP,
}
