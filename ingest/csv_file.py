"""Read usage events from a CSV file: one row, one event, under the same rules as any other.

The first row names the columns: `timestamp`, `event_type`, `customer_id`, and `record/x` (or `record.x`) for each
property, `record/id` among them. Cells say by their content what they are: a JSON number keeps its digits, `true` and
`false` are booleans, an empty cell is an absent property, all else is text. Three columns have a type of their own:
`customer_id` and `event_type` are text; `record/id` is a number only where its plain form is the very same text, so
that `12e4` stays what it is.

A file is read as a stream with bounded memory. Rows that break a rule are told by line, and the rest goes on; only a
file that cannot be read as CSV at all stops.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from ingest.numbers import plain_number
from ingest.quick_event import proves_good_event
from ingest.rules import EVENT_BYTES_MAX, FIELDS, event_faults, too_large
from ingest.strict_json import read_strictly
from metering.http.problem import Fault, PathPart

LINE_BYTES_MAX = 1024 * 1024
"""A row's cells may span lines, a line may hold this much: more is no CSV file of events."""

TEMPLATE = (
    b"timestamp,event_type,customer_id,record/id,record/type,record/amount,record/is_live\r\n"
    b'2023-11-07T13:59:40.536Z,api_call,cus_foXtwuyW7NsCH-,1245,"paid",12.5,true\r\n'
)
"""The header row and an example, for users to start from."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_EPOCH_MILLISECONDS = re.compile(r"[0-9]{1,18}")
_RECORD = re.compile(r"record[/.](.+)", re.DOTALL)
_WORDS = {"true": True, "false": False}
_REQUIRED = ("timestamp", "event_type", "customer_id", "record/id")

_encode = msgspec.json.Encoder().encode


class CsvFileError(ValueError):
    """The file cannot be read on from here; the message names the line and the remedy."""


@dataclass(frozen=True, slots=True)
class Row:
    """A good event, as JSON, and the line it begins at; the header is line 1."""

    line: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is no good event."""

    line: int
    path: Sequence[PathPart]
    message: str


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a cell goes: a field, a property of the record when `field` is None, or nowhere when both are."""

    field: str | None
    name: str | None


def read_csv(file: BinaryIO) -> Iterator[Row | Reject]:
    """Give each row in order.

    Raises:
        CsvFileError: at once for a bad header, later for bytes that are no text or no CSV; what was given before
            stands.
    """
    rows = _rows(file)
    header = next(rows, None)
    if header is None:
        raise CsvFileError("the file is empty: its first line names the columns")
    if isinstance(header, Reject):
        raise CsvFileError(f"line {header.line}: {header.message}")
    columns = _columns(header[1])
    return _events(columns, rows)


def _events(columns: Sequence[_Column], rows: "Iterator[tuple[int, list[str]] | Reject]") -> Iterator[Row | Reject]:
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, cells = row
        if len(cells) != len(columns):
            yield Reject(
                line, (), f"the row has {len(cells)} cells, the header {len(columns)}: quote cells with commas"
            )
            continue
        yield _event(line, columns, cells)


def _event(line: int, columns: Sequence[_Column], cells: Sequence[str]) -> Row | Reject:
    event: dict[str, Any] = {}
    record: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        if column.name is not None:
            record[column.name] = _record_id(cell) if column.name == "id" else _typed(cell)
        elif column.field == "timestamp":
            event["timestamp"] = msgspec.Raw(cell.encode()) if _is_milliseconds(cell) else cell
        elif column.field is not None:
            event[column.field] = cell
        else:
            return Reject(line, (), f"the cell {cell[:40]!r} lies under no column name: name it, or remove it")
    event["record"] = record
    body = _encode(event)
    if proves_good_event(body):
        return Row(line, body)
    fault = _fault(body)
    return Row(line, body) if fault is None else Reject(line, fault.path, fault.message)


def _fault(body: bytes) -> Fault | None:
    if len(body) > EVENT_BYTES_MAX:
        return too_large(len(body))
    return next(event_faults(read_strictly(body)), None)


def _typed(cell: str) -> Any:
    if _JSON_NUMBER.fullmatch(cell) is not None:
        return msgspec.Raw(cell.encode())
    return _WORDS.get(cell, cell)


def _record_id(cell: str) -> Any:
    return msgspec.Raw(cell.encode()) if plain_number(cell) == cell else cell


def _is_milliseconds(cell: str) -> bool:
    return _EPOCH_MILLISECONDS.fullmatch(cell) is not None and not cell.startswith("0")


def _columns(header: Sequence[str]) -> list[_Column]:
    """Read the names of the columns.

    Raises:
        CsvFileError: some are missing, unknown or there twice.
    """
    names = [name.strip() for name in header]
    if len(names) == 1:
        for mark, spoken in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in names[0]:
                raise CsvFileError(f"the columns are separated by {spoken}: save the file with commas")
    columns = [_column(name) for name in names]
    known = [column for column in columns if column != _Column(None, None)]
    for column in known:
        if known.count(column) > 1:
            name = column.field or f"record/{column.name}"
            raise CsvFileError(f"the column {name!r} is there twice: remove one")
    present = {column.field or f"record/{column.name}" for column in known}
    missing = [name for name in _REQUIRED if name not in present]
    if missing:
        raise CsvFileError(
            f"the header lacks {', '.join(missing)}: it has {', '.join(sorted(present))[:200] or 'nothing'}"
        )
    return columns


def _column(name: str) -> _Column:
    if not name:
        return _Column(None, None)  # Spreadsheets write empty columns at the end; cells below must be empty too.
    found = _RECORD.fullmatch(name)
    if found is not None:
        return _Column(None, found.group(1))
    if name in FIELDS and name != "record":
        return _Column(name, None)
    hint = "" if name == "record" else f": name it record/{name[:40]} if it is a property of the events, or remove it"
    raise CsvFileError(f"the column {name[:40]!r} is not known{hint or ': send a column for each property, record/id'}")


def _rows(file: BinaryIO) -> "Iterator[tuple[int, list[str]] | Reject]":
    """Give the rows that are not empty with the line they begin at."""
    reader = csv.reader(_lines(file), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise CsvFileError(f"a cell of the row at line {line} does not end: close its quotes") from None
            yield Reject(line, (), f"the row is not CSV ({error}): write a quote within quotes twice")
            continue
        if cells:
            yield line, cells


def _lines(file: BinaryIO) -> Iterator[str]:
    """Give the lines with their ends, a byte order mark dropped."""
    number = 0
    while raw := file.readline(LINE_BYTES_MAX):
        number += 1
        if number == 1:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise CsvFileError("the file is UTF-16: save it as CSV in UTF-8")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) == LINE_BYTES_MAX and not raw.endswith(b"\n"):
            raise CsvFileError(f"line {number} has more than {LINE_BYTES_MAX} bytes: is this a CSV file?")
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            message = f"line {number} is not UTF-8 (byte {error.start + 1}): save the file as CSV in UTF-8"
            raise CsvFileError(message) from None
