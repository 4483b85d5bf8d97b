"""Cut a CSV file into steps: so many rows as go into the log at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ingest.csv_file import CsvFileError, Reject, Row, read_csv

STEP_ROWS_MAX = 5000
STEP_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """Rows one after the other. `bytes_read` is where in the file they end; the last step may be empty.

    `failure` says why the file cannot be read on; only the last step has one.
    """

    events: Sequence[bytes]
    rejects: Sequence[Reject]
    bytes_read: int
    failure: str | None = None


def read_steps(file: BinaryIO, rows_done: int) -> Iterator[Step]:
    """Give the steps after the first `rows_done` rows. The same file gives the same rows, however often it is read."""
    events: list[bytes] = []
    rejects: list[Reject] = []
    size = 0
    failure = None
    try:
        for number, row in enumerate(read_csv(file)):
            if number < rows_done:
                continue
            if isinstance(row, Row):
                events.append(row.event)
                size += len(row.event)
            else:
                rejects.append(row)
            if len(events) + len(rejects) == STEP_ROWS_MAX or size >= STEP_BYTES_MAX:
                yield Step(events, rejects, file.tell())
                events, rejects, size = [], [], 0
    except CsvFileError as error:
        failure = str(error)
    except OSError as error:
        failure = f"the stored file cannot be read ({error.strerror}): send it again"
    yield Step(events, rejects, file.tell(), failure)
