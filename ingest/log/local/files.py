"""What the local log asks of the file system, as a seam: tests and simulations put faults, and whole disks, here."""

import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

_BUFFERS_MAX = 1000  # Below every system's IOV_MAX.


class Page(Protocol):
    """Mapped memory that readers in other processes see at once."""

    def __getitem__(self, at: slice, /) -> bytes:
        """Give some bytes."""
        ...

    def __setitem__(self, at: slice, content: bytes, /) -> None:
        """Replace some bytes by as many."""
        ...

    def flush(self) -> None:
        """Write the page back to the disk."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Files(Protocol):
    """The calls by which a log lives on a disk. Each may raise OSError."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file for this user alone, by the flags of `os.open`, and give its descriptor."""
        ...

    def close(self, descriptor: int) -> None:
        """Let go of a file, and of its lock."""
        ...

    def read(self, descriptor: int, size: int, at: int) -> bytes:
        """Give up to `size` bytes from byte `at` on."""
        ...

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

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file."""
        ...

    def lock(self, descriptor: int) -> bool:
        """Take a file's lock until it is closed; tell whether it was free."""
        ...

    def map(self, path: Path, size: int, *, writable: bool) -> Page:
        """Map the beginning of a file.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is shorter than `size`.
        """
        ...

    def size(self, path: Path) -> int | None:
        """Give a file's size, None where there is no file."""
        ...

    def names(self, folder: Path) -> list[str]:
        """List a folder, in any order."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Create a folder for this user alone, unless it is there."""
        ...

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name, in place of the file that has it."""
        ...

    def unlink(self, path: Path) -> None:
        """Take a file's name away."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in a folder survive a power cut."""
        ...

    def boot(self) -> int:
        """Tell one start of this machine from any other; 0 where the system does not say."""
        ...


class DiskFiles:
    """The real calls."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, descriptor: int) -> None:
        """Close it."""
        os.close(descriptor)

    def read(self, descriptor: int, size: int, at: int) -> bytes:
        """Read in one system call."""
        return os.pread(descriptor, size, at)

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

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut it."""
        os.ftruncate(descriptor, size)

    def lock(self, descriptor: int) -> bool:
        """Take the lock, which the kernel frees when the process dies."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def map(self, path: Path, size: int, *, writable: bool) -> Page:
        """Map it, shared."""
        with path.open("r+b" if writable else "rb") as file:
            page = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        return cast("Page", page)

    def size(self, path: Path) -> int | None:
        """Ask for its size."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def names(self, folder: Path) -> list[str]:
        """List it."""
        return os.listdir(folder)  # noqa: PTH208 - Path.iterdir builds a Path for each name, only to be taken apart.

    def make_folder(self, folder: Path) -> None:
        """Create it, and the folders above it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def rename(self, path: Path, to: Path) -> None:
        """Rename at once."""
        path.replace(to)

    def unlink(self, path: Path) -> None:
        """Unlink it."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """Sync the folder itself."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def boot(self) -> int:
        """Read the kernel's boot id."""
        try:
            text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(text.replace("-", "")[:16], 16)


DISK = DiskFiles()
"""The disk of this machine."""


def _after(buffers: list[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    for position, buffer in enumerate(buffers):
        if written < len(buffer):
            return [memoryview(buffer)[written:], *buffers[position + 1 :]]
        written -= len(buffer)
    return []
