"""The two calls that make bytes durable, as a seam: tests put faults here."""

import os
from collections.abc import Sequence
from typing import Protocol

_BUFFERS_MAX = 1000  # Below every system's IOV_MAX.


class Files(Protocol):
    """How segments are written."""

    def write(self, descriptor: int, buffers: Sequence[bytes], at: int) -> None:
        """Write all buffers one behind the other from byte `at` on.

        Raises:
            OSError: some of it may have been written.
        """
        ...

    def sync(self, descriptor: int) -> None:
        """Return once what was written survives a power cut.

        Raises:
            OSError: nobody knows what survives. Never call it again to find out: Linux forgets the pages it could not
                write, and the second call would succeed.
        """
        ...


class DiskFiles:
    """The real calls."""

    def write(self, descriptor: int, buffers: Sequence[bytes], at: int) -> None:
        """Write all buffers, in one system call unless they are many or the disk is full."""
        for start in range(0, len(buffers), _BUFFERS_MAX):
            rest: list[bytes | memoryview] = list(buffers[start : start + _BUFFERS_MAX])
            while rest:
                written = os.pwritev(descriptor, rest, at)
                at += written
                rest = _after(rest, written)

    def sync(self, descriptor: int) -> None:
        """Sync the file's data and its size."""
        os.fdatasync(descriptor)


def _after(buffers: list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    for position, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[position + 1 :]]
        written -= len(buffer)
    return []
