"""Write groups of messages to the last segment, one at a time, and publish the end: plain blocking calls.

Used by one thread at a time. After any exception the object must not be used again, and the process must end: what is
on disk is then unknown until the next start has scanned it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.log.frames import HEAD_BYTES, pack_head
from ingest.log.local.end import EndWriter
from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import (
    LOG_ID,
    create_segment,
    first_offsets,
    lock,
    segment_path,
    write_whole,
)
from ingest.log.local.recovery import Tail, recover
from ingest.log.local.trimmed import Trimmed, write_trimmed
from ingest.log.waiting import End
from metering.ids import new_id
from metering.position import OFFSETS_MAX


class Unframed(NamedTuple):
    """A message that has no offset yet."""

    payload: bytes
    events: int


class Appender:
    """The open last segment of a log that this process holds the lock of."""

    def __init__(
        self,
        *,
        folder: Path,
        held: int,
        ends: EndWriter,
        tail: Tail,
        segment_bytes: int,
        now_us: Callable[[], int],
        files: Files,
    ) -> None:
        self._folder = folder
        self._held = held
        self._ends = ends
        self._segment_bytes = segment_bytes
        self._now_us = now_us
        self._files = files
        self._descriptor = tail.descriptor
        self._size = tail.size
        self._appended_at_us = tail.appended_at_us
        self.end = tail.end

    @classmethod
    def open(cls, folder: Path, segment_bytes: int, now_us: Callable[[], int], files: Files) -> Self:
        """Create the log or find its end, and publish it.

        Raises:
            LogUnavailableError: another process appends to this log.
            LogCorruptError: what was durable is damaged or gone; nothing was changed.
            OSError: the disk failed; nothing was published.
        """
        files.make_folder(folder)
        held = lock(folder, files)
        try:
            _create_if_new(folder, files)
            ends = EndWriter(folder, files)
            tail = recover(folder, ends.found, files)
            ends.publish(tail.end)  # After recovery's sync: bytes that only survived in memory are on disk now.
        except BaseException:
            files.close(held)
            raise
        return cls(
            folder=folder, held=held, ends=ends, tail=tail, segment_bytes=segment_bytes, now_us=now_us, files=files
        )

    def commit(self, messages: Sequence[Unframed]) -> int:
        """Make messages durable, visible to readers, and give the first one's offset; the others follow it.

        Raises:
            OSError: the disk failed.
            LogUnavailableError: the log has used all its offsets.
        """
        if self._size >= self._segment_bytes:
            self._roll()
        first = self.end.next_offset
        if first + len(messages) > OFFSETS_MAX:
            raise LogUnavailableError(f"the log in {self._folder} has used all {OFFSETS_MAX} offsets: begin a new one")
        self._appended_at_us = max(self._appended_at_us, self._now_us())

        events = self.end.events
        size = 0
        buffers: list[bytes] = []
        for offset, message in enumerate(messages, first):
            head = pack_head(
                message.payload,
                events=message.events,
                offset=offset,
                events_before=events,
                appended_at_us=self._appended_at_us,
                durable_before=first,
            )
            buffers += (head, message.payload)
            events += message.events
            size += HEAD_BYTES + len(message.payload)

        self._files.write(self._descriptor, buffers, self._size)
        self._files.sync(self._descriptor)
        self._size += size
        self.end = End(first + len(messages), events)
        self._ends.publish(self.end)  # A crash before this line leaves frames that nobody saw and no one was promised.
        return first

    def seal(self) -> int:
        """End the last segment, unless nothing is in it, and give where the next one begins.

        Raises:
            OSError: the disk failed.
        """
        if self._size:
            self._roll()
        return self.end.next_offset

    @property
    def trimmable(self) -> Trimmed:
        """What a start has to know if everything up to now is trimmed."""
        return Trimmed(self.end, self._appended_at_us)

    def close(self) -> None:
        """Let go of the files and the lock."""
        self._ends.close()
        self._files.close(self._descriptor)
        self._files.close(self._held)

    def _roll(self) -> None:
        """Begin a segment. Everything before it is durable by now, which recovery rests on."""
        descriptor = create_segment(self._folder, self.end.next_offset, self._files)
        self._files.close(self._descriptor)
        self._descriptor = descriptor
        self._size = 0


def trim(folder: Path, before_offset: int, now: Trimmed, files: Files = DISK) -> int:
    """Unlink segments whose every offset is below both bounds, and give the first offset that is left.

    The last segment always stays; when it holds no frame, what the last frame would tell is written down before that
    goes. Safe beside a commit.
    """
    firsts = first_offsets(folder, files)
    bound = min(before_offset, now.end.next_offset)
    if len(firsts) > 1 and firsts[-1] == now.end.next_offset == bound:
        # Before the last frame goes: without either the next start would not know its end.
        write_trimmed(folder, now, files)
    while len(firsts) > 1 and firsts[1] <= bound:
        files.unlink(segment_path(folder, firsts.pop(0)))  # The oldest first: a crash leaves no gap.
    files.sync_folder(folder)
    return firsts[0]


def _create_if_new(folder: Path, files: Files) -> None:
    """Create the first segment and then the id: an id without a segment is a log that lost its files."""
    if files.size(folder / LOG_ID) is not None:
        return
    firsts = first_offsets(folder, files)
    if firsts not in ([], [0]) or (firsts and files.size(segment_path(folder, 0))):
        raise LogCorruptError(f"{folder} holds segments but no file {LOG_ID!r}: restore it, or use another folder")
    if not firsts:
        files.close(create_segment(folder, 0, files))
    files.sync_folder(folder.parent)
    write_whole(folder / LOG_ID, f"{new_id('log')}\n".encode(), files)
