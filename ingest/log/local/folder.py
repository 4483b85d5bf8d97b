"""What lies in a log's folder, and the steps that survive a power cut.

lock                            held by the one appending process
log_id                          who this log is; written once
end                             how far it is durable (`ingest.log.local.end`)
trimmed                         where the log ended when its last frame was trimmed (`ingest.log.local.trimmed`)
00000000000000000000.segment    frames, the file named by its first offset
"""

import os
from pathlib import Path

from ingest.errors import LogCorruptError, LogHeldError
from ingest.log.local.files import DISK, Files

LOG_ID = "log_id"
END = "end"
_LOCK = "lock"
_SUFFIX = ".segment"
_DIGITS = 20


def lock(folder: Path, files: Files = DISK) -> int:
    """Become the one appending process; give the descriptor that holds the lock until it is closed.

    Raises:
        LogHeldError: another process appends to this log.
    """
    descriptor = files.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    if not files.lock(descriptor):
        files.close(descriptor)
        raise LogHeldError(f"another process appends to the log in {folder}: stop it first")
    return descriptor


def segment_path(folder: Path, first_offset: int) -> Path:
    """Name the segment that begins with an offset."""
    return folder / f"{first_offset:0{_DIGITS}d}{_SUFFIX}"


def first_offsets(folder: Path, files: Files = DISK) -> list[int]:
    """List the segments that exist by their first offsets, ascending.

    Raises:
        LogCorruptError: a file is called a segment, but its name is no offset.
    """
    found = []
    for name in files.names(folder):
        if name.endswith(_SUFFIX):
            digits = name.removesuffix(_SUFFIX)
            if len(digits) != _DIGITS or not digits.isdecimal():
                raise LogCorruptError(f"{folder / name} is no segment: its name must be {_DIGITS} digits, move it away")
            found.append(int(digits))
    return sorted(found)


def create_segment(folder: Path, first_offset: int, files: Files = DISK) -> int:
    """Create an empty segment that survives a power cut, and open it for writing."""
    descriptor = files.open(segment_path(folder, first_offset), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    files.sync_folder(folder)
    return descriptor


def write_whole(path: Path, content: bytes, files: Files = DISK) -> None:
    """Make a file appear with all of its content or not at all, even across a power cut."""
    partial = path.with_name(path.name + ".partial")
    descriptor = files.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        files.write(descriptor, [content], 0)
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(partial, path)
    files.sync_folder(path.parent)


def read_whole(path: Path, files: Files = DISK) -> bytes:
    """Give what `write_whole` wrote."""
    descriptor = files.open(path, os.O_RDONLY)
    try:
        return files.read(descriptor, files.size(path) or 0, 0)
    finally:
        files.close(descriptor)
