"""Standard output and standard error that lose what cannot be written, and nothing else with it.

They often lead to a file or a pipe. When its disk is full or nobody reads it any more, a line of the log must cost
neither the request that it tells of nor the restart of a part.
"""

import io
import sys
from typing import Any


class LossyFile(io.FileIO):
    """A file of which failed writes are passed over."""

    def write(self, content: Any, /) -> int:
        """Give the number of bytes that need no further attempt."""
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes


def lose_what_cannot_be_written() -> None:
    """Put such files in the place of this process's standard output and error."""
    for name in ("stdout", "stderr"):
        before: io.TextIOWrapper = getattr(sys, name)
        before.flush()
        file = io.BufferedWriter(LossyFile(before.fileno(), "wb", closefd=False))
        setattr(sys, name, io.TextIOWrapper(file, before.encoding, "backslashreplace", line_buffering=True))
