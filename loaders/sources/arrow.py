"""From Arrow's columns to columns of JSON text, a whole column at a time.

What a type cannot say in JSON is a fault of the row that holds it. Every digit of a decimal is kept, fractions of a
second are cut after the sixth digit, and what a server sent gets into a cell only read as its type, or escaped.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.limits import SourceLimits
from loaders.source import BadValue, Cell, Column, Kind, Page

_encode = msgspec.json.Encoder().encode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode

_TO_ESCAPE = np.zeros(256, dtype=bool)
_TO_ESCAPE[:32] = _TO_ESCAPE[[ord('"'), ord("\\")]] = True
_TO_ESCAPE_PATTERN = r'[\x00-\x1f"\\]'
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The calendar's first microsecond and the one after its last, since 1970."""

OBJECT = BadValue("is an object: properties cannot be nested, so select its fields one by one")
ARRAY_OF_ARRAYS = BadValue("is an array of arrays: properties hold plain values and arrays of them")
ARRAY_OF_OBJECTS = BadValue("is an array of objects: properties hold plain values and arrays of them")
BINARY = BadValue("is binary, which has no form in JSON: turn it into text in the query, in hex or base64")
NOT_JSON = BadValue("is said to be JSON, but is not")
BEYOND_CALENDAR = BadValue("is an instant beyond what a calendar holds: its year has to be of 1 to 9999")


def pages_of(
    batch: pa.RecordBatch,
    columns: Sequence[Column],
    limits: SourceLimits,
    *,
    page_rows_max: int,
    json_columns: Collection[int] = (),
) -> Iterator[Page]:
    """Give a batch as pages of at most so many rows and, approximately, bytes; an empty batch as one empty page.

    `json_columns`: positions of columns that hold JSON where they are text; where Arrow nests them, they are read so.
    """
    # Names come once in a batch and with every value in a page; text takes two quotes more.
    a_row = batch.nbytes / max(batch.num_rows, 1) + 12 * batch.num_columns
    rows = max(1, min(page_rows_max, int(limits.page_bytes_max / a_row)))
    for first in range(0, max(batch.num_rows, 1), rows):
        part = batch.slice(first, rows)
        cells = [
            json_cells(column.to_pylist(), limits.value_bytes_max)
            if position in json_columns and pa.types.is_string(column.type)
            else cells_of(column, limits.value_bytes_max)
            for position, column in enumerate(part.columns)
        ]
        yield Page(columns, cells, part.num_rows)


def cells_of(values: pa.Array, value_bytes_max: int) -> list[Cell]:
    """Give one cell for each value, by the array's type; text or a list longer than so many bytes is a fault."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return cells_of(values.dictionary_decode(), value_bytes_max)
    for belongs, convert in _BY_TYPE:
        if belongs(kind):
            return convert(values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(values, value_bytes_max)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(values, value_bytes_max)
    return _faults(values, BadValue(f"is of a type that has no form in JSON ({kind}): cast it to text in the query"))


def json_cells(values: Iterable[str | None], value_bytes_max: int) -> list[Cell]:
    """Give text that is JSON as what it says: a plain value, or an array of plain values."""
    return [_json_cell(value, value_bytes_max) for value in values]


def kind_of(kind: pa.DataType) -> Kind:
    """Tell what values of a type compare by."""
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        return Kind.NUMBER
    if pa.types.is_timestamp(kind):
        return Kind.TIMESTAMP
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Kind.TEXT
    return Kind.OTHER


def _plain(values: pa.Array) -> list[Cell]:
    """Give what Arrow writes as JSON does: whole numbers, decimals, booleans."""
    return _listed(pc.cast(values, pa.string()))


def _floats(values: pa.Array) -> list[Cell]:
    cells = _plain(values)  # The shortest decimal that is read back as the same.
    for row in _rows(pc.invert(pc.is_finite(values))):
        cells[row] = BadValue(
            f"is {values[row].as_py()}, and JSON has no such number: cast it to text, or leave it out"
        )
    return cells


def _dates(values: pa.Array) -> list[Cell]:
    return _quoted(pc.cast(values, pa.string()))


def _times(values: pa.Array) -> list[Cell]:
    return _quoted(pc.cast(pc.cast(values, pa.time64("us"), safe=False), pa.string()))


def _instants(values: pa.Array) -> list[Cell]:
    zone = "Z" if values.type.tz else ""
    since_1970 = _microseconds(values)
    outside = pc.or_(pc.less(since_1970, _YEAR_1), pc.greater_equal(since_1970, _YEAR_10000))
    held = pc.if_else(outside, 0, since_1970)
    text = pc.cast(pc.cast(held, pa.timestamp("us")), pa.string())
    cells = _quoted(pc.binary_replace_slice(text, 10, 11, "T"), f'{zone}"')
    for row in _rows(outside):
        cells[row] = BEYOND_CALENDAR
    return cells


def _microseconds(values: pa.Array) -> pa.Array:
    """Give microseconds since 1970, nanoseconds cut off towards the past, as cutting their digits does."""
    unit = values.type.unit
    if unit == "us":
        return pc.cast(values, pa.int64())
    if unit in {"s", "ms"}:
        return pc.cast(pc.cast(values, pa.timestamp("us", values.type.tz)), pa.int64())
    whole = pc.cast(values, pa.int64())
    cut = pc.divide(whole, 1000)  # Towards 1970.
    return pc.if_else(pc.less(whole, pc.multiply(cut, 1000)), pc.subtract(cut, 1), cut)


def _texts(values: pa.Array, value_bytes_max: int) -> list[Cell]:
    cells = _quoted(values)
    if _may_need_escapes(values):
        for row in _rows(pc.match_substring_regex(values, _TO_ESCAPE_PATTERN)):
            cells[row] = _encode(values[row].as_py()).decode()
    longest = pc.max(pc.binary_length(values)).as_py()
    if longest is not None and longest > value_bytes_max:
        for row in _rows(pc.greater(pc.binary_length(values), value_bytes_max)):
            cells[row] = _too_long(pc.binary_length(values[row]).as_py(), value_bytes_max)
    return cells


def _may_need_escapes(values: pa.Array) -> bool:
    """Look at the bytes of a whole column; nulls may hide some that are not seen later."""
    data = values.buffers()[2]
    if data is None or not len(values):
        return False
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    ends = np.frombuffer(values.buffers()[1], dtype=width)
    first, last = ends[values.offset], ends[values.offset + len(values)]
    return bool(_TO_ESCAPE[np.frombuffer(data, dtype=np.uint8)[first:last]].any())


def _lists(values: pa.Array, value_bytes_max: int) -> list[Cell]:
    inner = values.type.value_type
    if pa.types.is_struct(inner):
        return _faults(values, ARRAY_OF_OBJECTS)
    if pa.types.is_list(inner) or pa.types.is_large_list(inner):
        return _faults(values, ARRAY_OF_ARRAYS)
    cells = cells_of(values.flatten(), value_bytes_max)
    return array_cells(cells, pc.list_value_length(values).to_pylist(), value_bytes_max)


def array_cells(cells: Sequence[Cell], lengths: Sequence[int | None], value_bytes_max: int) -> list[Cell]:
    """Give arrays of so many of the cells each, in their order; no length is no array, which is null."""
    joined: list[Cell] = []
    first = 0
    for length in lengths:
        end = first + (length or 0)
        joined.append("null" if length is None else _joined(cells[first:end], value_bytes_max))
        first = end
    return joined


def _joined(cells: Sequence[Cell], value_bytes_max: int) -> Cell:
    bad = next((one for one in cells if isinstance(one, BadValue)), None)
    if bad is not None:
        return BadValue(f"is an array with a value that {bad.message}")
    text = f"[{','.join(map(str, cells))}]"
    return text if len(text) <= value_bytes_max else _too_long(len(text), value_bytes_max)


def _json_cell(text: str | None, value_bytes_max: int) -> Cell:
    if text is None:
        return "null"
    if len(text) > value_bytes_max:
        return _too_long(len(text), value_bytes_max)
    text = text.strip()
    try:
        if not text.startswith("["):
            return OBJECT if text.startswith("{") else bytes(_decode_any(text)).decode()
        items = [bytes(item).decode() for item in _decode_array(text)]
    except msgspec.MsgspecError:
        return NOT_JSON
    if any(item.startswith("[") for item in items):
        return ARRAY_OF_ARRAYS
    return ARRAY_OF_OBJECTS if any(item.startswith("{") for item in items) else f"[{','.join(items)}]"


def _too_long(size: int, value_bytes_max: int) -> BadValue:
    return BadValue(f"is {size} bytes long, and a value may have at most {value_bytes_max}")


def _faults(values: pa.Array, fault: BadValue) -> list[Cell]:
    return [fault if valid else "null" for valid in pc.is_valid(values).to_pylist()]


def _quoted(text: pa.Array, end: str = '"') -> list[Cell]:
    return _listed(pc.binary_join_element_wise('"', text, end, ""))


def _listed(text: pa.Array) -> list[Cell]:
    return (pc.fill_null(text, "null") if text.null_count else text).to_pylist()  # type: ignore[no-any-return]


def _rows(wanted: pa.Array) -> list[int]:
    """Give the places of what is true; null is not."""
    return np.flatnonzero(pc.fill_null(wanted, fill_value=False).to_numpy(zero_copy_only=False)).tolist()


def _always(fault: BadValue) -> Callable[[pa.Array], list[Cell]]:
    return lambda values: _faults(values, fault)


_BY_TYPE: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Cell]]]] = (
    (pa.types.is_null, lambda values: ["null"] * len(values)),
    (pa.types.is_integer, _plain),
    (pa.types.is_decimal, _plain),
    (pa.types.is_boolean, _plain),
    (pa.types.is_floating, _floats),
    (pa.types.is_timestamp, _instants),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_binary, _always(BINARY)),
    (pa.types.is_large_binary, _always(BINARY)),
    (pa.types.is_fixed_size_binary, _always(BINARY)),
    (pa.types.is_struct, _always(OBJECT)),
    (pa.types.is_map, _always(OBJECT)),
)
