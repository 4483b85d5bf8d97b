"""How far a spool is forwarded: written down first, told to other processes after it.

The order matters. Whoever sees that nothing waits appends to the log itself; were what is forwarded then forgotten in a
power cut, older events would be forwarded once more, behind newer ones.
"""

from pathlib import Path

from ingest.errors import LogCorruptError
from ingest.log.local.end import EndWriter
from ingest.log.local.files import DISK, Files
from ingest.log.local.folder import read_whole, write_whole
from ingest.log.waiting import End

TOLD = "forwarded"
"""The page that other processes look at, of the form of the log's own `end`."""
_WRITTEN = "forwarded_to"
_START = End(0, 0)


class Cursor:
    """The forwarding side's place in a spool that this process holds the lock of."""

    def __init__(self, folder: Path, end: End, files: Files = DISK) -> None:
        """Go on where the last process stopped; `end` is the spool's.

        Raises:
            LogCorruptError: the place is lost.
        """
        self._folder = folder
        self._files = files
        if end == _START and files.size(folder / _WRITTEN) is None:
            write_whole(
                folder / _WRITTEN, b"0 0\n", files
            )  # Before anything is spooled: it can only be lost from now on.
        self.at = written(folder, end, files)
        self._page = EndWriter(folder, files, name=TOLD)
        self._page.publish(self.at)

    def move(self, to: End) -> None:
        """Remember that everything before `to` is in the log.

        Raises:
            OSError: the disk failed; nothing was told.
        """
        write_whole(self._folder / _WRITTEN, f"{to.next_offset} {to.events}\n".encode(), self._files)
        self.at = to
        self._page.publish(to)

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


def written(folder: Path, end: End, files: Files = DISK) -> End:
    """Give the place that was last written down for a spool that ends at `end`.

    Raises:
        LogCorruptError: it is gone or damaged, or lies beyond the end.
    """
    path = folder / _WRITTEN
    try:
        at = End(*(int(number) for number in read_whole(path, files).decode("ascii").split()))
    except FileNotFoundError:
        raise LogCorruptError(f"{path} is gone, so what is forwarded is not known: restore the file") from None
    except (ValueError, TypeError):
        raise LogCorruptError(f"{path} says no place in the spool: restore the file") from None
    if at.next_offset > end.next_offset:
        raise LogCorruptError(
            f"the spool in {folder} is forwarded up to {at.next_offset}, but it ends at {end.next_offset}: restore it"
        )
    return at
