"""Keep events on disk until they are acknowledged, so that they outlive the process that sends them.

A folder of segments, `00000000000000000000.events` and on, each a sequence of frames `crc32 u32 | length u32 | event`,
and a `cursor` behind the last event that was acknowledged. A segment whose events are all acknowledged is deleted. The
cursor is not synced: after a power cut it may be older than it was, and what is then sent again was sent before, which
is harmless. At start what is not whole at a segment's end is put aside: `sync` had not returned for it.
"""

import fcntl
import logging
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ingest.client.errors import SpoolError

SEGMENT_BYTES_MAX = 16 * 1024 * 1024
"""A segment that has reached this is followed by another."""

REJECTED = "rejected.jsonl"
"""Where events are kept that the server refused, one JSON object a line."""

_log = logging.getLogger(__name__)

_FRAME = struct.Struct("<II")
_CURSOR = struct.Struct("<QQI")
_SUFFIX = ".events"


class Spool:
    """One folder, held by one client of one process.

    `append` and `acknowledge` are called one at a time; `sync` by any number of threads, which share syncs.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder and read what was not acknowledged: `waiting`, the oldest first.

        Raises:
            SpoolError: the folder cannot be used, or another client holds it.
        """
        self._folder = folder
        self._broken: str | None = None
        self._syncing = threading.Lock()
        self._segments: deque[int] = deque()
        self._ends: dict[int, int] = {}
        self._files = [-1, -1, -1]
        self._size = self._written = self._synced = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._files[0] = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files[1] = os.open(folder / "cursor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._head, self._at = self._read_cursor()
            self.waiting = self._recover()
            self._begin(max(self._segments, default=self._head) + 1)
            if self._head != self._segments[0]:
                self._head, self._at = self._segments[0], 0
        except BlockingIOError:
            self.close()
            raise SpoolError(f"{folder} is held by another client: give each its own spool_dir") from None
        except OSError as error:
            self.close()
            raise SpoolError(f"{folder} cannot be used ({error.strerror}): mend it, or choose another") from None

    def append(self, events: Iterable[bytes]) -> int:
        """Write events, not synced yet; gives the mark to `sync` to.

        Raises:
            SpoolError: nothing of them will be read again, unless the message says so.
        """
        self._refuse_if_broken()
        if self._size >= SEGMENT_BYTES_MAX:
            with self._syncing:
                self._sync_file()
                os.close(self._files[2])
                try:
                    self._begin(self._segments[-1] + 1)
                except OSError as error:
                    raise self._break(error) from None
        frames = b"".join(_FRAME.pack(zlib.crc32(event), len(event)) + event for event in events)
        try:
            self._write(frames)
        except OSError as error:
            try:
                os.ftruncate(self._files[2], self._size)
            except OSError as second:
                raise self._break(second) from None
            raise SpoolError(f"{self._folder} takes no more ({error.strerror}): make room, then send again") from None
        self._size += len(frames)
        self._written += len(frames)
        self._ends[self._segments[-1]] = self._size
        return self._written

    def _write(self, frames: bytes) -> None:
        view = memoryview(frames)
        while view:
            view = view[os.write(self._files[2], view) :]

    def sync(self, mark: int) -> None:
        """Return once all up to the mark is on disk; one sync serves all threads that wait.

        Raises:
            SpoolError: it may be, and may not; the spool takes no more.
        """
        with self._syncing:
            if self._synced < mark:
                self._sync_file()

    def acknowledge(self, events: Iterable[bytes]) -> None:
        """Move the cursor behind these, the oldest; segments that lie behind it are deleted.

        Raises:
            SpoolError: they will be sent again by the next client, which is harmless.
        """
        head, at = self._head, self._at
        for event in events:
            while at >= self._ends.get(head, 0) and head < self._segments[-1]:
                head, at = head + 1, 0
            at += _FRAME.size + len(event)
        if at >= self._ends.get(head, 0) and head < self._segments[-1]:
            head, at = head + 1, 0
        self._head, self._at = head, at
        body = struct.pack("<QQ", head, at)
        try:
            os.pwrite(self._files[1], body + zlib.crc32(body).to_bytes(4, "little"), 0)
            while self._segments[0] < head:
                behind = self._segments.popleft()
                self._ends.pop(behind, None)
                self._path(behind).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"{self._folder}: the cursor cannot be moved ({error.strerror})") from None

    def keep_rejected(self, lines: bytes) -> None:
        """Write events down that the server refused, before they are acknowledged.

        Raises:
            SpoolError: they may not be written.
        """
        try:
            with (self._folder / REJECTED).open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SpoolError(f"{self._folder / REJECTED} cannot be written ({error.strerror})") from None

    def close(self) -> None:
        """Let go of the folder; also in a child after a fork, where it leaves the parent's hold alone."""
        for place, file in enumerate(self._files):
            if file >= 0:
                os.close(file)
                self._files[place] = -1

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:020}{_SUFFIX}"

    def _begin(self, segment: int) -> None:
        self._files[2] = os.open(
            self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._segments.append(segment)
        self._size = self._ends[segment] = 0
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sync_file(self) -> None:
        self._refuse_if_broken()
        end = self._written
        try:
            os.fdatasync(self._files[2])
        except OSError as error:
            raise self._break(error) from None
        self._synced = end

    def _read_cursor(self) -> tuple[int, int]:
        body = os.pread(self._files[1], _CURSOR.size, 0)
        if len(body) != _CURSOR.size:
            return 0, 0
        segment, at, check = _CURSOR.unpack(body)
        return (segment, at) if zlib.crc32(body[:-4]) == check else (0, 0)

    def _recover(self) -> list[bytes]:
        """Read what lies behind the cursor, and delete segments that hold nothing of it."""
        waiting: list[bytes] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            segment = int(path.stem)
            body = path.read_bytes()
            at = self._at if segment == self._head else (0 if segment > self._head else len(body))
            if at >= len(body):
                self._head, self._at = max((self._head, self._at), (segment, len(body)))
                path.unlink()
                continue
            self._segments.append(segment)
            self._ends[segment] = self._read_frames(path, body, at, waiting)
        return waiting

    def _read_frames(self, path: Path, body: bytes, at: int, into: list[bytes]) -> int:
        """Read the frames from `at`; gives where they end. From the first that is not whole on, all is put aside."""
        while at < len(body):
            if at + _FRAME.size > len(body):
                break
            check, size = _FRAME.unpack_from(body, at)
            event = body[at + _FRAME.size : at + _FRAME.size + size]
            if len(event) != size or zlib.crc32(event) != check:
                break
            into.append(event)
            at += _FRAME.size + size
        if at < len(body):
            aside = path.with_suffix(".cut")
            aside.write_bytes(body[at:])
            os.truncate(path, at)
            _log.warning("%s ended in bytes that are no whole event; they are in %s", path, aside)
        return at

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise SpoolError(self._broken)

    def _break(self, error: OSError) -> SpoolError:
        """Take nothing more: what a failed sync left on disk nobody knows, and a second one would not tell."""
        self._broken = f"{self._folder} failed ({error.strerror}): mend the disk, then open a new client"
        return SpoolError(self._broken)
