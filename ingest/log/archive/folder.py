"""What lies in the archive's folder, one file for each segment that left the log.

log_id                                                          whose segments these are
00000000000000000000-00000000000000004711.segment.zst           the segment's frames, one zstd frame with its checksum

The name says which offsets a file holds, `[first, next)`. A file appears whole or not at all, and is replaced only by
one that holds the same offsets.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ingest.errors import LogCorruptError, LogMismatchError
from ingest.log.local.files import DISK
from ingest.log.local.folder import LOG_ID, write_whole

_SUFFIX = ".segment.zst"
_DIGITS = 20
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True, order=True)
class Archived:
    """One archived segment: the offsets `[first, next)`."""

    first: int
    next: int
    path: Path


def path_of(folder: Path, first: int, following: int) -> Path:
    """Name the file of a segment."""
    return folder / f"{first:0{_DIGITS}d}-{following:0{_DIGITS}d}{_SUFFIX}"


def archived(folder: Path) -> list[Archived]:
    """List what is archived, by offset; nothing where there is no archive.

    Raises:
        LogCorruptError: a file is called a segment, but its name says no offsets; or two overlap.
    """
    found = []
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are taken apart, no Path is needed of most.
    except FileNotFoundError:
        return []
    for name in names:
        if name.endswith(_SUFFIX):
            first, dash, following = name.removesuffix(_SUFFIX).partition("-")
            digits = (first + following).isdecimal() and len(first) == len(following) == _DIGITS
            if not dash or not digits or int(first) >= int(following):
                raise LogCorruptError(f"{folder / name} is no archived segment by its name: move it away")
            found.append(Archived(int(first), int(following), folder / name))
    found.sort()
    for earlier, later in pairwise(found):
        if later.first < earlier.next:
            raise LogCorruptError(f"{earlier.path} and {later.path} hold the same offsets: move one of them away")
    return found


def runs(segments: Sequence[Archived]) -> Iterator[tuple[int, int]]:
    """Give the offsets that are there without a gap, as `(first, next)`, ascending."""
    begin = end = None
    for segment in segments:
        if segment.first != end:
            if begin is not None and end is not None:
                yield begin, end
            begin = segment.first
        end = segment.next
    if begin is not None and end is not None:
        yield begin, end


def prepare(folder: Path, log_id: str) -> None:
    """Make the archive of a log, or find it, and sweep what a crash left half written; by its one writer.

    Raises:
        LogMismatchError: it is another log's.
        OSError: the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_owner(folder, log_id)
    if not (folder / LOG_ID).exists():
        write_whole(folder / LOG_ID, f"{log_id}\n".encode())
        DISK.sync_folder(folder.parent)
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink()


def check_owner(folder: Path, log_id: str) -> None:
    """See to it that an archive, if there is one, is this log's.

    Raises:
        LogMismatchError: it is another's.
    """
    try:
        owner = (folder / LOG_ID).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    if owner != log_id:
        raise LogMismatchError(
            f"the archive in {folder} belongs to log {owner}, not to {log_id}: "
            "set METERLINE_LOG_ARCHIVE_DIR to this log's archive, or to an empty folder"
        )
