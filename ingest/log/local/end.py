"""How far the log is durable, told by the writer to readers in other processes through one mapped page.

The page holds two slots, written in turn, each with a generation and a checksum. A reader takes the valid slot of the
greater generation: a slot that is half written fails its checksum, and then the other one still says what was durable
a moment before. So no read is torn, whatever the processor does with the order of stores.

The page is never synced while the log runs: after a power cut it may be old, or gone. It never says more than was
durable, so a log whose scan ends below it has lost something. Within one boot the page is always what the writer last
published; each slot therefore names its boot, and a reader of a later boot waits until a writer has scanned the log.
"""

import contextlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ingest.errors import LogCorruptError
from ingest.log.local.files import DISK, Files, Page
from ingest.log.local.folder import END, write_whole
from ingest.log.waiting import End

_PAGE_BYTES = 4096
_SLOT_AT = (0, 64)  # Each in a cache line of its own.
_FIELDS = struct.Struct("<QQQQ")  # generation, next_offset, events, boot
_CRC = struct.Struct("<I")
_SPAN = _SLOT_AT[1] + _FIELDS.size + _CRC.size
_READS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Published:
    """A published end, and whether it was published since this machine last started."""

    end: End
    generation: int
    this_boot: bool


class EndWriter:
    """The writer's side; it holds the log's lock."""

    def __init__(self, folder: Path, files: Files = DISK, name: str = END) -> None:
        path = folder / name
        if (files.size(path) or 0) < _PAGE_BYTES:
            write_whole(path, bytes(_PAGE_BYTES), files)  # Real blocks: a store into a hole of a full disk kills us.
        self._page = files.map(path, _PAGE_BYTES, writable=True)
        self._boot = files.boot()
        found = _latest(self._page[:_SPAN], self._boot)
        self.found = found.end if found else None
        """What the last writer published, None where nothing legible is left."""
        self._generation = found.generation if found else 0

    def publish(self, end: End) -> None:
        """Tell readers that everything before `end` is durable: call it after the sync and before any answer."""
        self._generation += 1
        fields = _FIELDS.pack(self._generation, end.next_offset, end.events, self._boot)
        at = _SLOT_AT[self._generation % 2]
        self._page[at : at + len(fields) + _CRC.size] = fields + _CRC.pack(zlib.crc32(fields))

    def close(self) -> None:
        """Write the page back, so that it is of use after a power cut too."""
        with contextlib.suppress(OSError):  # Where the disk has failed: the next start scans anyway.
            self._page.flush()
        self._page.close()


class EndReader:
    """A reader's side."""

    def __init__(self, page: Page, name: str, boot: int) -> None:
        self._page = page
        self._name = name
        self._boot = boot
        self._last = bytes(_SPAN)
        self._found: Published | None = None

    @classmethod
    def open(cls, folder: Path, files: Files = DISK, name: str = END) -> Self | None:
        """Map the page, None where no writer has made it yet."""
        try:
            return cls(files.map(folder / name, _PAGE_BYTES, writable=False), name, files.boot())
        except (FileNotFoundError, ValueError):  # ValueError: shorter than a page.
            return None

    def read(self) -> Published | None:
        """Give what was last published, None where nothing was."""
        for _ in range(_READS_MAX):
            raw = self._page[:_SPAN]
            if raw == self._last:
                return self._found
            if (found := _latest(raw, self._boot)) is not None:
                self._last, self._found = raw, found
                return found
            if raw == bytes(_SPAN):
                return None
        raise LogCorruptError(f"both slots of the file {self._name!r} are damaged: restart the process that appends")

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


def _latest(raw: bytes, boot: int) -> Published | None:
    slots = []
    for at in _SLOT_AT:
        fields = raw[at : at + _FIELDS.size]
        (crc,) = _CRC.unpack_from(raw, at + _FIELDS.size)
        generation, next_offset, events, slot_boot = _FIELDS.unpack(fields)
        if generation and zlib.crc32(fields) == crc:
            slots.append(Published(End(next_offset, events), generation, this_boot=slot_boot == boot))
    return max(slots, key=lambda slot: slot.generation, default=None)
