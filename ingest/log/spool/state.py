"""Whether anything waits in a spool, and how much: told to any process, without asking the one that forwards.

Two pages of mapped memory say how far the spool is durable and how far it is forwarded. While one of them is not there
yet, or was last written before the machine started, something may wait; so the answer is that something does.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.log.local.end import EndReader
from ingest.log.local.files import DISK, Files
from ingest.log.local.segments import Segments
from ingest.log.spool.cursor import TOLD
from ingest.log.waiting import End

FORWARD_S_MAX = 5.0
"""So long a spool is waited for: longer, and the log is down rather than catching up."""

_TRIES = 20
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Spooled:
    """What waits: `oldest_at_us` is when the first of it was spooled, microseconds since 1970, None where nothing is.

    `bytes` are those on disk that are not forwarded.
    """

    events: int
    bytes: int
    oldest_at_us: int | None


class SpoolState:
    """One spool, seen from outside."""

    def __init__(self, folder: Path, files: Files = DISK) -> None:
        self._folder = folder
        self._files = files
        self._segments = Segments(folder, files)
        self._pages: tuple[EndReader, EndReader] | None = None

    @property
    def holds(self) -> bool:
        """Whether anything waits, as far as can be known."""
        places = self._places()
        return places is None or places[0].next_offset != places[1].next_offset

    @property
    def end(self) -> int | None:
        """The offset behind the last that was spooled; None while nobody can know."""
        places = self._places()
        return None if places is None else places[1].next_offset

    def is_forwarded(self, offset: int) -> bool:
        """Tell whether all that was spooled before an offset is in the log."""
        places = self._places()
        return places is not None and places[0].next_offset >= offset

    def spooled(self) -> Spooled:
        """Say what waits; may read a little from disk.

        Raises:
            LogUnavailableError: nobody knows yet: the process that forwards has not started.
        """
        for attempt in range(1, _TRIES + 1):
            places = self._places()
            if places is None:
                raise LogUnavailableError(f"nobody has opened the spool in {self._folder} yet")
            forwarded, end = places
            if forwarded.next_offset == end.next_offset:
                return Spooled(0, 0, None)
            try:
                first = self._segments.head(forwarded.next_offset)
                size = self._segments.bytes_from(forwarded.next_offset)
            except LogCorruptError as error:  # It was forwarded and trimmed while we looked.
                if attempt == _TRIES:
                    raise LogUnavailableError(f"the spool in {self._folder} cannot be read: {error}") from error
            else:
                return Spooled(end.events - forwarded.events, size, first.appended_at_us)
        raise AssertionError("unreachable")

    def _places(self) -> tuple[End, End] | None:
        """Give how far it is forwarded and how far it is durable: in this order, so that what is new is not missed."""
        if self._pages is None:
            pages = EndReader.open(self._folder, self._files, name=TOLD), EndReader.open(self._folder, self._files)
            if pages[0] is None or pages[1] is None:
                return None
            self._pages = (pages[0], pages[1])
        forwarded, end = (page.read() for page in self._pages)
        if forwarded is None or end is None or not (forwarded.this_boot and end.this_boot):
            return None
        return forwarded.end, end.end


async def until_forwarded(spool: SpoolState, wait_s_max: float) -> bool:
    """Wait until what is spooled by now is in the log; tell whether it is."""
    end = spool.end
    try:
        async with asyncio.timeout(wait_s_max):
            while end is None or not spool.is_forwarded(end):
                await asyncio.sleep(_LOOK_S)
                end = spool.end if end is None else end
    except TimeoutError:
        return False
    return True
