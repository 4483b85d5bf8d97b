"""What lies in a log's folder, and the steps that survive a power cut.

lock                            held by the one appending process
log_id                          who this log is; written once
end                             how far it is durable (`ingest.log.local.end`)
trimmed                         where the log ended when its last frame was trimmed (`ingest.log.local.trimmed`)
00000000000000000000.segment    frames, the file named by its first offset
"""

import fcntl
import os
from pathlib import Path

from ingest.errors import LogCorruptError, LogUnavailableError

LOG_ID = "log_id"
END = "end"
_LOCK = "lock"
_SUFFIX = ".segment"
_DIGITS = 20


def lock(folder: Path) -> int:
    """Become the one appending process; give the descriptor that holds the lock until it is closed.

    Raises:
        LogUnavailableError: another process appends to this log.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise LogUnavailableError(f"another process appends to the log in {folder}: stop it first") from None
    return descriptor


def segment_path(folder: Path, first_offset: int) -> Path:
    """Name the segment that begins with an offset."""
    return folder / f"{first_offset:0{_DIGITS}d}{_SUFFIX}"


def first_offsets(folder: Path) -> list[int]:
    """List the segments that exist by their first offsets, ascending.

    Raises:
        LogCorruptError: a file is called a segment, but its name is no offset.
    """
    found = []
    for name in os.listdir(folder):  # noqa: PTH208 - Path.iterdir builds a Path for each name, only to be taken apart.
        if name.endswith(_SUFFIX):
            digits = name.removesuffix(_SUFFIX)
            if len(digits) != _DIGITS or not digits.isdecimal():
                raise LogCorruptError(f"{folder / name} is no segment: its name must be {_DIGITS} digits, move it away")
            found.append(int(digits))
    return sorted(found)


def create_segment(folder: Path, first_offset: int) -> int:
    """Create an empty segment that survives a power cut, and open it for writing."""
    descriptor = os.open(segment_path(folder, first_offset), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    sync_folder(folder)
    return descriptor


def write_whole(path: Path, content: bytes) -> None:
    """Make a file appear with all of its content or not at all, even across a power cut."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
