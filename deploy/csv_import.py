"""`meterline import FILE.csv`: send a file's events through the HTTP API; say which lines were rejected and why.

Batches go one after the other, so that of two versions in one file the later line is the later received. Sending the
file again changes nothing.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.api_client import ApiClient, ApiClientError
from ingest.csv_file import CsvFileError, Reject, Row, read_csv

BATCH_EVENTS_MAX = 5000
BATCH_BYTES_MAX = 8 * 1024 * 1024
REJECTS_SHOWN_MAX = 100


class _Report:
    """What the file came to; the first rejects are shown as they come, all are counted."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.accepted = 0
        self.rejected = 0

    def reject(self, reject: Reject) -> None:
        self.rejected += 1
        if self.rejected <= REJECTS_SHOWN_MAX:
            self._console.print(f"line {reject.line}: {escape(reject.message)}")  # It names the field.
        elif self.rejected == REJECTS_SHOWN_MAX + 1:
            self._console.print("… more lines are rejected; they are counted, not shown")


def run_import(file: Path, url: str, key: str, console: Console) -> int:
    """Import a file; gives the exit code: 0 when every line was accepted, 1 otherwise."""
    report = _Report(console)
    try:
        asyncio.run(_import(file, url, key, console, report))
    except (CsvFileError, ApiClientError, OSError) as error:
        reason = f"{file}: {error.strerror}" if isinstance(error, OSError) else str(error)
        console.print(f"[red]meterline:[/] {escape(reason)}")
        console.print(_summary(report) + "; mend it and import the file again, which is harmless")
        return 1
    console.print(_summary(report))
    return 1 if report.rejected else 0


def _summary(report: _Report) -> str:
    return f"{report.accepted:,} events accepted, {report.rejected:,} lines rejected"


async def _import(file: Path, url: str, key: str, console: Console, report: _Report) -> None:
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with file.open("rb") as source, Progress(*columns, console=console) as progress:
        bar = progress.add_task("file", total=os.fstat(source.fileno()).st_size)
        async with ApiClient(url, key) as api:
            for rows in _batches(read_csv(source), report):
                await _send(api, rows, report)
                progress.update(bar, completed=source.tell())


def _batches(read: Iterator[Row | Reject], report: _Report) -> Iterator[list[Row]]:
    rows: list[Row] = []
    size = 0
    for row in read:
        if isinstance(row, Reject):
            report.reject(row)
            continue
        if len(rows) == BATCH_EVENTS_MAX or size + len(row.event) > BATCH_BYTES_MAX:
            yield rows
            rows, size = [], 0
        rows.append(row)
        size += len(row.event)
    if rows:
        yield rows


async def _send(api: ApiClient, rows: list[Row], report: _Report) -> None:
    body = b"[" + b",".join(row.event for row in rows) + b"]"
    answer = await api.post_bytes("/v1/events/batch", body, {"Prefer": "return=minimal"})
    report.accepted += answer["events_created_count"]
    for failed in answer["events_failed"]:
        error = failed["error"]
        report.reject(Reject(rows[failed["index"]].line, error["path"], error["message"]))
