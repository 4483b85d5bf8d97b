"""A disk in memory that forgets what a real one may forget.

A write is seen at once by every process of the machine, and is lost at a power cut unless the file was synced after it:
lost as a whole, or in part, sector by sector. A name is lost unless its folder was synced. A sync that fails forgets
which bytes were never written, so that the next one succeeds and means nothing (Linux). A mapped page is written back
at some moment that nobody knows. A process that dies leaves all of this as it is, and only lets its locks go.
"""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.simulation.scheduler import Killed, Process


@dataclass(eq=False)
class _File:
    """What the machine sees, what would survive, and the changes between: `(at, content)`, `(size, None)` for a cut."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    between: list[tuple[int, bytes | None]] = field(default_factory=list)
    mapped: bool = False
    held_by: object = None

    def change(self, at: int, content: bytes | None) -> None:
        _apply(self.seen, at, content)
        self.between.append((at, content))

    def sync(self, written=lambda: True) -> None:
        """Write back what was changed since the last sync, and nothing else; `written` tells what arrives."""
        durable = bytearray(self.durable)
        for at, content in self.between:
            if written():
                _apply(durable, at, content)
        self.durable = bytes(durable)
        self.between.clear()

    def lose_power(self, random: Random, sector_bytes: int, kept: float) -> None:
        found = bytearray(self.durable)
        if self.mapped:
            self.between = self.between[: random.randrange(len(self.between) + 1)]
            kept = 1.0
        for at, content in self.between:
            if content is None:
                if random.random() < kept:
                    _apply(found, at, None)
                continue
            start = at
            while start < at + len(content):
                stop = min(start - start % sector_bytes + sector_bytes, at + len(content))
                if random.random() < kept:
                    _apply(found, start, content[start - at : stop - at])
                start = stop
        self.seen = found
        self.durable = bytes(found)
        self.between.clear()
        self.held_by = None


def _apply(content: bytearray, at: int, change: bytes | None) -> None:
    if change is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(change)] = change


class Disk:
    """One machine's disk."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sector_bytes = random.choice((8, 64, 512))
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._name_changes: list[tuple[Path, _File | None]] = []
        self.trimmed: dict[Path, _File] = {}
        """Segments that lost their names, for the oracle alone."""
        self.boot = 1

    def lose_power(self) -> None:
        """Forget what was not synced, or some of it."""
        kept = self._random.choice((0.0, 0.3, 0.7, 1.0))
        names = dict(self._durable_names)
        for path, file in self._name_changes[: self._random.randrange(len(self._name_changes) + 1)]:
            _name(names, path, file)
        self._names, self._durable_names = names, dict(names)
        self._name_changes.clear()
        for path in sorted(names):
            names[path].lose_power(self._random, self._sector_bytes, kept)
        self.boot += 1

    def name(self, path: Path, file: _File | None) -> None:
        """Give or take a name, until the power goes; for good once the folder is synced."""
        _name(self._names, path, file)
        self._name_changes.append((path, file))

    def sync_names(self, folder: Path) -> None:
        """Make the names of a folder last."""
        for path, file in self._name_changes:
            if path.parent == folder:
                _name(self._durable_names, path, file)
        self._name_changes = [change for change in self._name_changes if change[0].parent != folder]

    def file(self, path: Path) -> _File:
        """Give the file that has a name."""
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return self._names[path]

    def paths(self, folder: Path) -> list[Path]:
        """List a folder."""
        return [path for path in self._names if path.parent == folder]


def _name(names: dict[Path, _File], path: Path, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


class ProcessFiles:
    """`ingest.log.local.files.Files`, as one process has it."""

    def __init__(self, disk: Disk, process: Process, cut_power) -> None:
        self._disk = disk
        self._process = process
        self._faults = process.scheduler.faults
        self._cut_power = cut_power
        self._open: dict[int, _File] = {}
        self._next = 3
        process.at_death.append(self._let_go)

    def open(self, path: Path, flags: int) -> int:
        self._enter()
        try:
            file = self._disk.file(path)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            self._may_fail("disk full", errno.ENOSPC)
            file = _File()
            self._disk.name(path, file)
        else:
            if flags & os.O_EXCL:
                raise FileExistsError(errno.EEXIST, "File exists", str(path))
            if flags & os.O_TRUNC:
                file.change(0, None)
        self._next += 1
        self._open[self._next] = file
        return self._next

    def close(self, descriptor: int) -> None:
        file = self._open.pop(descriptor)
        if file.held_by == (self, descriptor):
            file.held_by = None

    def read(self, descriptor: int, size: int, at: int) -> bytes:
        self._alive()
        return bytes(self._open[descriptor].seen[at : at + size])

    def write(self, descriptor: int, buffers, at: int) -> None:
        content = b"".join(buffers)
        file = self._open[descriptor]
        part = content[: self._faults.random.randrange(len(content) + 1)]
        self._enter(lambda: file.change(at, part))
        for kind, code in (("write fails", errno.EIO), ("disk full", errno.ENOSPC)):
            if self._faults.hit(kind):
                file.change(at, part)
                self._fail(kind, code)
        file.change(at, content)

    def sync(self, descriptor: int) -> None:
        self._enter()
        file = self._open[descriptor]
        if self._faults.hit("sync fails"):
            # What was not written yet is clean from now on, and only lives until the power goes.
            file.sync(lambda: self._faults.random.random() < 0.5)
            self._fail("sync fails", errno.EIO)
        file.sync()
        self._enter()

    def truncate(self, descriptor: int, size: int) -> None:
        self._enter()
        self._open[descriptor].change(size, None)

    def lock(self, descriptor: int) -> bool:
        file = self._open[descriptor]
        if file.held_by is not None:
            return False
        file.held_by = (self, descriptor)
        return True

    def map(self, path: Path, size: int, *, writable: bool) -> "_Page":  # noqa: ARG002 - The seam's signature.
        self._alive()
        file = self._disk.file(path)
        if len(file.seen) < size:
            raise ValueError("shorter than that")
        file.mapped = True
        return _Page(self, file)

    def size(self, path: Path) -> int | None:
        self._alive()
        try:
            return len(self._disk.file(path).seen)
        except FileNotFoundError:
            return None

    def names(self, folder: Path) -> list[str]:
        self._alive()
        return [path.name for path in self._disk.paths(folder)]

    def make_folder(self, folder: Path) -> None:  # noqa: ARG002 - The seam's signature.
        self._alive()

    def rename(self, path: Path, to: Path) -> None:
        self._enter()
        file = self._disk.file(path)
        self._disk.name(to, file)
        self._disk.name(path, None)

    def unlink(self, path: Path) -> None:
        self._enter()
        self._disk.trimmed[path] = self._disk.file(path)
        self._disk.name(path, None)

    def sync_folder(self, folder: Path) -> None:
        self._enter()
        self._may_fail("folder sync fails", errno.EIO)
        self._disk.sync_names(folder)

    def boot(self) -> int:
        return self._disk.boot

    def _alive(self) -> None:
        if not self._process.alive:
            raise Killed

    def _enter(self, half_way=lambda: None) -> None:
        """Be the moment before a call, at which the process or the machine may end; `half_way` is then done first."""
        self._alive()
        if self._faults.hit("killed in a disk call"):
            half_way()
            self._process.die_here("killed in a disk call")
        if self._faults.hit("power cut in a disk call"):
            half_way()
            self._cut_power()
            raise Killed

    def _may_fail(self, kind: str, code: int) -> None:
        if self._faults.hit(kind):
            self._fail(kind, code)

    def _fail(self, kind: str, code: int) -> None:
        self._process.scheduler.note(self._process.name, kind)
        raise OSError(code, os.strerror(code))

    def _let_go(self) -> None:
        for descriptor, file in self._open.items():
            if file.held_by == (self, descriptor):
                file.held_by = None


class _Page:
    """A file's mapped beginning."""

    def __init__(self, files: ProcessFiles, file: _File) -> None:
        self._files = files
        self._file = file

    def __getitem__(self, at: slice) -> bytes:
        return bytes(self._file.seen[at])

    def __setitem__(self, at: slice, content: bytes) -> None:
        self._files._enter()
        self._file.change(at.start, content)

    def flush(self) -> None:
        self._files._alive()
        self._file.sync()

    def close(self) -> None:
        """Do nothing: what was stored stays."""
