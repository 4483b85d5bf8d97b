"""Find the end of a log at start: keep what is whole, cut what a crash left half written, stop at anything else.

Only the last segment is read through: a segment is begun only after all of the one before it is durable. Other
segments are trusted by their name and first frame; a reader checks every frame that it gives anyway.

A frame that is not whole is torn when it cannot have been durable: no whole frame behind it was begun after it was
synced, and the published end does not lie beyond it. Nobody can have seen it then, and its offset is free. Otherwise
the log is corrupt, and the file is left as it is.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import LogCorruptError
from ingest.log.frames import HEAD_BYTES, MAGIC, BadFrameError, Head, ReadAhead, read_frame
from ingest.log.local.files import Files
from ingest.log.local.folder import first_offsets, segment_path
from ingest.log.local.trimmed import Trimmed, read_trimmed
from ingest.log.waiting import End

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the next frame goes: the open last segment and its size, and what came before."""

    descriptor: int
    size: int
    end: End
    appended_at_us: int


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one segment holds: whole frames up to byte `size`, and perhaps torn bytes behind them.

    `last` is None when it holds no whole frame; `confirmed_size` is the size up to the published end.
    """

    size: int
    confirmed_size: int
    last: Head | None
    bad: BadFrameError | None


def recover(folder: Path, published: End | None, files: Files) -> Tail:
    """Scan the log, cut a torn tail, and make durable what is kept; the caller holds the log's lock.

    `published` is what the file `end` says, None where it is illegible. May be called again after a crash within it.

    Raises:
        LogCorruptError: what was durable is damaged or gone; nothing was changed.
        OSError: the disk failed; nothing may be published.
    """
    firsts = first_offsets(folder, files)
    if not firsts:
        raise LogCorruptError(f"the log in {folder} has an id but no segment: restore its files")
    for first in firsts[:-1]:
        _check_first_frame(folder, first, files)

    path = segment_path(folder, firsts[-1])
    descriptor = files.open(path, os.O_RDWR)
    try:
        scan = _scan(descriptor, path, firsts[-1], published, files)
        before = _end_of(scan.last) if scan.last else _end_before(folder, firsts, files)
        end = before.end
        _assert_nothing_lost(folder, end, published, scan)
        _settle(folder, descriptor, scan, files)
    except BaseException:
        files.close(descriptor)
        raise
    return Tail(descriptor, scan.size, end, before.appended_at_us)


def _assert_nothing_lost(folder: Path, end: End, published: End | None, scan: _Scan) -> None:
    if published is not None and end.next_offset < published.next_offset:
        raise LogCorruptError(
            f"the log in {folder} was durable up to offset {published.next_offset}, but its frames end at "
            f"{end.next_offset} ({scan.bad or 'the last segment ends'}): restore its files"
        )


def _settle(folder: Path, descriptor: int, scan: _Scan, files: Files) -> None:
    """Cut the torn bytes, and make sure of the whole frames that no writer is known to have synced.

    They are written again: a process that died of a failed sync leaves pages that Linux holds for clean though the disk
    never took them, and only a new write makes the next sync mean something.
    """
    files.truncate(descriptor, scan.size)
    for at in range(scan.confirmed_size, scan.size, _PIECE_BYTES):
        piece = files.read(descriptor, min(_PIECE_BYTES, scan.size - at), at)
        files.write(descriptor, [piece], at)
    files.sync(descriptor)
    files.sync_folder(folder)


def _scan(descriptor: int, path: Path, first: int, published: End | None, files: Files) -> _Scan:
    source = ReadAhead(descriptor, _PIECE_BYTES, files.read)
    at = confirmed_size = 0
    last: Head | None = None
    expected = first
    while True:
        try:
            frame = read_frame(source, at)
        except BadFrameError as bad:
            _assert_torn(source, path, bad, expected)
            return _Scan(at, confirmed_size, last, bad)
        if frame is None:
            return _Scan(at, confirmed_size, last, None)
        head = frame[0]
        if head.offset != expected or (last and head.events_before != last.events_before + last.events):
            raise LogCorruptError(f"{path} holds offset {head.offset} at byte {at}, not {expected}: restore the file")
        at += HEAD_BYTES + head.payload_bytes
        last, expected = head, head.offset + 1
        if published is not None and head.offset < published.next_offset:
            confirmed_size = at


def _assert_torn(source: ReadAhead, path: Path, bad: BadFrameError, offset: int) -> None:
    """Stop unless the frame `offset`, which is not whole, may never have been durable."""
    at = bad.at + 1
    while (piece := source.view(at, _PIECE_BYTES)) and len(piece) >= len(MAGIC):
        found = bytes(piece).find(MAGIC)
        if found < 0:
            at += len(piece) - len(MAGIC) + 1
            continue
        try:
            frame = read_frame(source, at + found)
        except BadFrameError:
            frame = None
        if frame is not None and frame[0].durable_before > offset:
            raise LogCorruptError(
                f"offset {offset} in {path} is damaged ({bad}) and whole frames follow: restore the file"
            )
        at += found + 1


def _check_first_frame(folder: Path, first: int, files: Files) -> None:
    path = segment_path(folder, first)
    descriptor = files.open(path, os.O_RDONLY)
    try:
        frame = read_frame(ReadAhead(descriptor, 0, files.read), 0)
    except BadFrameError as bad:
        raise LogCorruptError(f"{path} is damaged ({bad}): restore the file") from None
    finally:
        files.close(descriptor)
    if frame is None or frame[0].offset != first:
        raise LogCorruptError(f"{path} does not begin with offset {first}: restore the file")


def _end_of(last: Head) -> Trimmed:
    return Trimmed(End(last.offset + 1, last.events_before + last.events), last.appended_at_us)


def _end_before(folder: Path, firsts: Sequence[int], files: Files) -> Trimmed:
    """Give the end that an empty last segment begins with; its name proves how far the log was durable."""
    if firsts == [0]:
        return Trimmed(End(0, 0), 0)
    if len(firsts) == 1:
        trimmed = read_trimmed(folder, files)
        if trimmed is not None and trimmed.end.next_offset == firsts[0]:
            return trimmed
        path = segment_path(folder, firsts[0])
        raise LogCorruptError(f"{path} is the log's only segment and holds no whole frame: restore its files")
    path = segment_path(folder, firsts[-2])
    descriptor = files.open(path, os.O_RDONLY)
    try:
        scan = _scan(descriptor, path, firsts[-2], None, files)
    finally:
        files.close(descriptor)
    if scan.bad is not None or scan.last is None or scan.last.offset + 1 != firsts[-1]:
        raise LogCorruptError(f"{path} does not reach offset {firsts[-1]} ({scan.bad or 'it ends'}): restore the file")
    return _end_of(scan.last)
