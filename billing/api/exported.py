"""Answer with a file that is written while it is sent: memory is that of a part, however many events there are.

What goes wrong before the first bytes is an answer as any other. Afterwards the connection is cut, so that nobody takes
half a file for a whole one: a CSV that ends well ends the chunked answer, a Parquet file has its footer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from billing.explained.lines import ExplainedInvoice, ExplainedLine
from billing.exports import csv_file, parquet_file
from billing.exports.columns import Row, columns_of, rows_of
from billing.exports.csv_file import CsvFile
from billing.exports.parquet_file import ParquetFile
from metering.http.app import SECURITY_HEADERS
from metering.http.problem import invalid_field, refused
from metering.http.route import Call, Parameter
from metering.http.shapes import one_of
from metering.store.client import Store

EVENTS_MAX = 10_000_000
"""More events than this are not written into one file."""
FILES_MAX = 2
"""So many files are written at once in a process: each takes a processor for as long as it takes."""
CONTENT_TYPES = (csv_file.CONTENT_TYPE, parquet_file.CONTENT_TYPE)
PARAMETERS = (
    Parameter(
        "format",
        "csv or parquet: all events in a file, and a row for each thing that is owed beyond them.",
        one_of(("json", "csv", "parquet")),
    ),
    Parameter(
        "columns",
        "Of a file, separated by commas, in order: fixed ones and record.<property>; when absent all that are exposed.",
    ),
)


class File(Protocol):
    """A file in the making."""

    def head(self) -> bytes:
        """Give what comes before all rows."""
        ...

    def rows(self, rows: Sequence[Row], /) -> bytes:
        """Give the bytes of some rows."""
        ...

    def end(self) -> bytes:
        """Give what comes after all rows."""
        ...


_FILES: Mapping[str, tuple[str, type[CsvFile] | type[ParquetFile]]] = {
    "csv": (csv_file.CONTENT_TYPE, CsvFile),
    "parquet": (parquet_file.CONTENT_TYPE, ParquetFile),
}


def format_of(call: Call) -> str | None:
    """Give the format of the file that is asked for, None for JSON.

    Raises:
        ApiError: 400 for one that is not written.
    """
    asked = call.query("format")
    if asked in {None, "json"}:
        return None
    if asked not in _FILES:
        raise invalid_field("format", "unknown_value", f"format: {asked[:40]!r} is not one of json, csv, parquet")
    return asked


async def answer_file(
    call: Call,
    store: Store,
    found: ExplainedInvoice,
    lines: Sequence[ExplainedLine],
    *,
    format_name: str,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Send the file of some lines of an invoice.

    Raises:
        ApiError: 400 for columns that there cannot be, 422 for more than a file may hold.
    """
    count = sum(line.events_count for line in lines)
    if count > EVENTS_MAX:
        raise refused(f"{count} events are more than the {EVENTS_MAX} of one file: ask for one line at a time")
    text = call.query("columns")
    names = None if text is None else [name.strip() for name in text.split(",")]
    content_type, make = _FILES[format_name]
    columns = await store.run(columns_of, lines, names)
    parts = _parts(make(columns), found, lines)
    first = await store.run(next, parts, b"")
    named = {"Content-Disposition": f'attachment; filename="{found.invoice.id}.{format_name}"'}
    response = web.StreamResponse(headers={**headers, **named, **SECURITY_HEADERS})
    response.content_type = content_type
    if content_type.startswith("text/"):
        response.charset = "utf-8"
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        return response
    try:
        await response.write(first)
        while (part := await store.run(next, parts, None)) is not None:
            await response.write(part)
    except BaseException:
        if call.request.transport is not None:
            call.request.transport.abort()
        raise
    await response.write_eof()
    return response


def _parts(file: File, found: ExplainedInvoice, lines: Sequence[ExplainedLine]) -> Iterator[bytes]:
    """Yield the bytes of a file, a part of its rows at a time. Blocks."""
    head = file.head()
    for rows in rows_of(found, lines):
        yield head + file.rows(rows)
        head = b""
    yield head + file.end()
