"""Write one segment into the archive, and open one again.

A file is written beside its name, synced, read back whole, and only then gets its name: what has a name is good. It is
one zstd frame with a checksum over the content, and the content's frames carry their own.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ingest.errors import LogCorruptError
from ingest.log.archive.folder import PARTIAL, Archived, path_of
from ingest.log.frames import HEAD_BYTES, BadFrameError, Head, ReadAhead, pack_head, read_frame
from ingest.log.local.files import DISK
from ingest.log.local.folder import segment_path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 6
"""Six to ten times smaller at some 100 MB/s of one core; higher levels gain little on events."""
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
}
_PIECE_BYTES = 1024 * 1024
_SPACING_BYTES = 1024 * 1024

Redact = Callable[[int, bytes], bytes]
"""Give what is to be kept of a message's payload, by its offset: the payload itself where nothing has to go."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An archived segment, decompressed into a file without a name, which is gone once it is closed.

    `places` are some frames' offsets and first bytes, ascending: where to begin to look for an offset.
    """

    segment: Archived
    file: BinaryIO
    places: list[tuple[int, int]] = field(default_factory=list)


def archive_segment(log: Path, first: int, following: int, archive: Path) -> Archived:
    """Put the log's segment `[first, following)` into the archive, durable on return; the segment is left as it is.

    One that is there already from before a crash is checked, and stays.

    Raises:
        LogCorruptError: the segment does not hold these offsets, or is damaged.
        OSError: the disk failed; nothing has appeared.
    """
    target = Archived(first, following, path_of(archive, first, following))
    if target.path.exists():
        unpack(target, archive).file.close()
        return target
    with segment_path(log, first).open("rb") as source:
        _write(source, target, None)
    return target


def rewrite_segment(segment: Archived, redact: Redact) -> bool:
    """Replace an archived segment by one with the same offsets and redacted payloads; tell whether any changed.

    Raises:
        LogCorruptError: it is damaged; nothing was changed.
        OSError: the disk failed; nothing was changed.
    """
    changed = False

    def watched(offset: int, payload: bytes) -> bytes:
        nonlocal changed
        kept = redact(offset, payload)
        changed = changed or kept != payload
        return kept

    unpacked = unpack(segment, segment.path.parent)
    with unpacked.file as source:
        for head, payload, _ in frames(source, segment.path, segment.first):
            watched(head.offset, bytes(payload))
            if changed:
                break
        if changed:
            _write(source, segment, redact)
    return changed


def unpack(segment: Archived, scratch: Path) -> Unpacked:
    """Decompress a segment into a file without a name in `scratch`, and check every frame of it.

    Raises:
        LogCorruptError: it is damaged.
        OSError: there is no room.
    """
    file: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the caller closes it.
    unpacked = Unpacked(segment, file)
    try:
        try:
            with zstd.open(segment.path, "rb") as source:
                while piece := source.read(_PIECE_BYTES):
                    file.write(piece)
        except (zstd.ZstdError, EOFError) as error:
            raise LogCorruptError(f"{segment.path} is damaged ({error}): restore the file") from None
        file.flush()
        expected = segment.first
        for head, _, at in frames(file, segment.path, segment.first):
            expected = head.offset + 1
            if not unpacked.places or at - unpacked.places[-1][1] >= _SPACING_BYTES:
                unpacked.places.append((head.offset, at))
        _check_end(segment, expected)
    except BaseException:
        file.close()
        raise
    return unpacked


def frames(file: BinaryIO, path: Path, offset: int, at: int = 0) -> Iterator[tuple[Head, memoryview, int]]:
    """Give the frames from the one of `offset` at byte `at` on, each with its first byte; a payload until the next.

    Raises:
        LogCorruptError: one is damaged, or has another offset.
    """
    source = ReadAhead(file.fileno(), _PIECE_BYTES)
    while True:
        try:
            frame = read_frame(source, at)
        except BadFrameError as bad:
            raise LogCorruptError(f"offset {offset} in {path} is damaged ({bad}): restore the file") from None
        if frame is None:
            return
        head, payload = frame
        if head.offset != offset:
            raise LogCorruptError(f"{path} holds offset {head.offset} at byte {at}, not {offset}: restore the file")
        yield head, payload, at
        at += HEAD_BYTES + head.payload_bytes
        offset += 1


def _check_end(segment: Archived, end: int) -> None:
    if end != segment.next:
        raise LogCorruptError(f"{segment.path} ends at offset {end}: restore the file")


def _write(source: BinaryIO, target: Archived, redact: Redact | None) -> None:
    partial = target.path.with_name(target.path.name + PARTIAL)
    with partial.open("wb") as file:
        with zstd.ZstdFile(file, "wb", options=_OPTIONS) as compressed:
            for head, payload, _ in frames(source, target.path, target.first):
                kept = payload if redact is None else redact(head.offset, bytes(payload))
                compressed.write(_head_of(head, bytes(kept)))
                compressed.write(kept)
                if head.offset + 1 == target.next:
                    break  # What lies behind is not asked for: an open segment goes on being written.
        file.flush()
        os.fsync(file.fileno())
    # Read back before it gets its name, and so before the segment may go.
    unpack(Archived(target.first, target.next, partial), partial.parent).file.close()
    partial.replace(target.path)
    DISK.sync_folder(target.path.parent)


def _head_of(head: Head, payload: bytes) -> bytes:
    return pack_head(
        payload,
        events=head.events,
        offset=head.offset,
        events_before=head.events_before,
        appended_at_us=head.appended_at_us,
        durable_before=head.durable_before,
    )
