"""How one message lies on disk, and how to tell a whole frame from anything else.

    magic 4 bytes | crc u32 | payload length u32 | events u32 | offset u64 | events_before u64 | appended_at_us u64
    | durable_before u64 | payload

All little-endian. The crc (zlib's crc32) covers everything behind it, head and payload. The magic starts with 0xFF,
which no UTF-8 text holds, so no client can place one in a body.

`durable_before` is the offset below which everything was durable before this frame was written. A group commit writes
several frames at once, and a power cut may keep a later one and lose an earlier; a damaged frame is known to have been
durable only when a later frame's `durable_before` lies beyond it.
"""

import os
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

MAGIC = b"\xffML\x01"
PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

_START = struct.Struct("<4sI")
_FIELDS = struct.Struct("<IIQQQQ")
_HEAD = struct.Struct("<4sIIIQQQQ")
HEAD_BYTES = _HEAD.size


class Head(NamedTuple):
    """What stands before a payload, in the order of its bytes. A tuple, because one is made per message read."""

    magic: bytes
    crc: int
    payload_bytes: int
    events: int
    offset: int
    events_before: int
    appended_at_us: int
    durable_before: int


class BadFrameError(Exception):
    """There are bytes at `at`, but no whole frame."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {at}")
        self.at = at


class ReadAhead:
    """The bytes of an open file, read in pieces: a frame then costs a slice, not a system call."""

    def __init__(self, descriptor: int, piece_bytes: int, pread: Callable[[int, int, int], bytes] = os.pread) -> None:
        self._descriptor = descriptor
        self._pread = pread
        self._piece_bytes = piece_bytes
        self._piece = memoryview(b"")
        self._piece_at = 0

    def view(self, at: int, size: int) -> memoryview:
        """Give the bytes `[at, at + size)`, fewer only where the file ends."""
        start = at - self._piece_at
        if start < 0 or start + size > len(self._piece):
            self._piece = memoryview(self._read(max(size, self._piece_bytes), at))
            self._piece_at, start = at, 0
        return self._piece[start : start + size]

    def _read(self, size: int, at: int) -> bytes:
        piece = self._pread(self._descriptor, size, at)
        while len(piece) < size and (more := self._pread(self._descriptor, size - len(piece), at + len(piece))):
            piece += more
        return piece


def pack_head(
    payload: bytes, *, events: int, offset: int, events_before: int, appended_at_us: int, durable_before: int
) -> bytes:
    """Give the head that makes a payload a frame."""
    fields = _FIELDS.pack(len(payload), events, offset, events_before, appended_at_us, durable_before)
    return _START.pack(MAGIC, zlib.crc32(payload, zlib.crc32(fields))) + fields


def read_head(source: ReadAhead, at: int) -> Head | None:
    """Read the head at a byte, None where the file ends; the crc is not looked at.

    Raises:
        BadFrameError: the bytes there begin no frame.
    """
    view = source.view(at, HEAD_BYTES)
    if not view:
        return None
    if len(view) < HEAD_BYTES:
        raise BadFrameError(at, "a frame's head is cut short")
    head = Head._make(_HEAD.unpack(view))
    if head.magic != MAGIC:
        raise BadFrameError(at, "no frame begins")
    if head.payload_bytes > PAYLOAD_BYTES_MAX:
        raise BadFrameError(at, "a frame's length is impossible")
    return head


def read_frame(source: ReadAhead, at: int) -> tuple[Head, memoryview] | None:
    """Read the frame at a byte and check it whole, None where the file ends.

    The payload is only good until the source is read again.

    Raises:
        BadFrameError: the bytes there are no whole frame.
    """
    head = read_head(source, at)
    if head is None:
        return None
    frame = source.view(at, HEAD_BYTES + head.payload_bytes)
    if len(frame) < HEAD_BYTES + head.payload_bytes:
        raise BadFrameError(at, "a frame is cut short")
    if zlib.crc32(frame[_START.size :]) != head.crc:
        raise BadFrameError(at, "a frame's checksum is wrong")
    return head, frame[HEAD_BYTES:]
