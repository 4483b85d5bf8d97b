"""Where the log ended when no frame of it was left: what the frames would have told the next start.

Written before the last frame goes. An empty segment whose name is that offset is then a log that was trimmed to its
end; without this file it is one that lost its frames.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import read_whole, write_whole
from ingest.log.waiting import End

_NAME = "trimmed"


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The log's end, and when its last message was taken, microseconds since 1970."""

    end: End
    appended_at_us: int


def write_trimmed(folder: Path, trimmed: Trimmed, files: Files = DISK) -> None:
    """Make it durable.

    Raises:
        OSError: what was written before still stands.
    """
    text = f"{trimmed.end.next_offset} {trimmed.end.events} {trimmed.appended_at_us}"
    write_whole(folder / _NAME, f"{text} {zlib.crc32(text.encode()):08x}\n".encode(), files)


def read_trimmed(folder: Path, files: Files = DISK) -> Trimmed | None:
    """Give what was written last, None where nothing legible is."""
    try:
        text, _, crc = read_whole(folder / _NAME, files).decode("ascii").strip().rpartition(" ")
        if f"{zlib.crc32(text.encode()):08x}" != crc:
            return None
        next_offset, events, appended_at_us = map(int, text.split(" "))
    except (OSError, ValueError):
        return None
    return Trimmed(End(next_offset, events), appended_at_us)
