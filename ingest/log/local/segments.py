"""Read durable messages from segment files: blocking calls, safe from several threads.

Files are opened per call and nothing read is kept, so segments may roll and be trimmed at any time. Whoever calls
knows the durable end and never asks beyond it; a frame below it that is not there, or not whole, is corruption.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ingest.errors import LogCorruptError
from ingest.log.frames import HEAD_BYTES, BadFrameError, Head, ReadAhead, read_frame, read_head
from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import first_offsets, segment_path
from ingest.log.local.index import Index, Place
from ingest.log.protocol import Message
from ingest.log.waiting import PARTITION

_READ_PIECE_BYTES = 1024 * 1024
_SEEK_PIECE_BYTES = 16 * 1024  # Heads only: payloads are stepped over.


class Segments:
    """The segments of one log folder."""

    def __init__(self, folder: Path, files: Files = DISK) -> None:
        self._folder = folder
        self._files = files
        self._index = Index()
        self._firsts: list[int] = []

    def read(self, offset: int, stop: int, events_max: int, bytes_max: int) -> list[Message]:
        """Give the messages `[offset, stop)` as far as both limits allow, at least one; `offset < stop`.

        Raises:
            LogCorruptError: the first is trimmed, damaged or gone. Before a later one the messages end.
        """
        messages: list[Message] = []
        events = size = 0
        place = self._seek(offset)
        try:
            for head, payload, after in self._frames(place, stop):
                events += head.events
                size += head.payload_bytes
                if messages and (events > events_max or size > bytes_max):
                    break
                messages.append(Message(PARTITION, head.offset, head.events, head.appended_at_us, bytes(payload)))
                place = after
        except LogCorruptError:
            if not messages:
                raise  # Else what lies before the damage is given first; the next call begins at it.
        self._index.stopped(place)
        return messages

    def head(self, offset: int) -> Head:
        """Give the head of a durable message; its payload is not read.

        Raises:
            LogCorruptError: it is trimmed, damaged or gone.
        """
        place = self._seek(offset)
        with _OpenSegment(self._folder, place, HEAD_BYTES, self._files) as segment:
            head = segment.head(place)
        assert head is not None, "seek ends at a frame"
        return head

    def bytes_from(self, offset: int) -> int:
        """Give how many bytes the frames from a durable message on take.

        Raises:
            LogCorruptError: the message is trimmed, damaged or gone.
        """
        place = self._seek(offset)
        total = -place.at
        for first in first_offsets(self._folder, self._files):
            if first >= place.segment:
                total += self._files.size(segment_path(self._folder, first)) or 0
        return total

    def _frames(self, place: Place, stop: int) -> Iterator[tuple[Head, memoryview, Place]]:
        """Read frames up to the offset `stop`, each with the place behind it; a payload is good until the next."""
        while place.offset < stop:
            with _OpenSegment(self._folder, place, _READ_PIECE_BYTES, self._files) as segment:
                while place.offset < stop and (frame := segment.frame(place)) is not None:
                    head, payload = frame
                    place = _next(place, head)
                    self._index.add(place)
                    yield head, payload, place
            if place.offset < stop:
                place = self._begin_next(place)

    def _seek(self, offset: int) -> Place:
        """Find a durable message by walking heads from the last known place before it."""
        place = self._start(offset)
        while True:
            with _OpenSegment(self._folder, place, _SEEK_PIECE_BYTES, self._files) as segment:
                while (head := segment.head(place)) is not None:
                    if place.offset == offset:
                        return place
                    place = _next(place, head)
                    self._index.add(place)
            place = self._begin_next(place)

    def _start(self, offset: int) -> Place:
        if not self._firsts or self._firsts[0] > offset or not self._is_there(self._firsts[0]):
            self._list()
        if not self._firsts or self._firsts[0] > offset:
            first = self._firsts[0] if self._firsts else None
            raise LogCorruptError(f"offset {offset} of the log in {self._folder} is trimmed: it begins at {first}")
        segment = self._firsts[bisect_right(self._firsts, offset) - 1]
        known = self._index.floor(offset)
        return known if known is not None and known.segment >= segment else Place(segment, segment, 0)

    def _begin_next(self, place: Place) -> Place:
        """Go on where a segment ended: the next one begins with the very offset that was not found."""
        if place.offset not in self._firsts:
            self._list()
        if place.offset not in self._firsts:
            path = segment_path(self._folder, place.segment)
            raise LogCorruptError(f"{path} ends before offset {place.offset}, and no segment begins there: restore it")
        return Place(place.offset, place.offset, 0)

    def _list(self) -> None:
        self._firsts = first_offsets(self._folder, self._files)
        if self._firsts:
            self._index.forget_before(self._firsts[0])

    def _is_there(self, first: int) -> bool:
        return self._files.size(segment_path(self._folder, first)) is not None


class _OpenSegment:
    """One segment while it is read."""

    def __init__(self, folder: Path, place: Place, piece_bytes: int, files: Files) -> None:
        self._path = segment_path(folder, place.segment)
        self._piece_bytes = piece_bytes
        self._files = files
        self._descriptor = -1

    def __enter__(self) -> Self:
        try:
            self._descriptor = self._files.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            raise LogCorruptError(f"{self._path} is trimmed or gone: nothing in it can be read any more") from None
        self._source = ReadAhead(self._descriptor, self._piece_bytes, self._files.read)
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close(self._descriptor)

    def frame(self, place: Place) -> tuple[Head, memoryview] | None:
        try:
            frame = read_frame(self._source, place.at)
        except BadFrameError as bad:
            raise self._corrupt(place, bad) from None
        if frame is not None:
            self._check(frame[0], place)
        return frame

    def head(self, place: Place) -> Head | None:
        try:
            head = read_head(self._source, place.at)
        except BadFrameError as bad:
            raise self._corrupt(place, bad) from None
        if head is not None:
            self._check(head, place)
        return head

    def _check(self, head: Head, place: Place) -> None:
        if head.offset != place.offset:
            raise self._corrupt(place, f"offset {head.offset} lies at byte {place.at}")

    def _corrupt(self, place: Place, reason: object) -> LogCorruptError:
        return LogCorruptError(f"offset {place.offset} in {self._path} is damaged ({reason}): restore the file")


def _next(place: Place, head: Head) -> Place:
    return Place(place.offset + 1, place.segment, place.at + HEAD_BYTES + head.payload_bytes)
