"""What a backup holds, file by file: written last, so a backup without it is not one.

manifest.json                       this
registry.db                         accounts, keys, customers, what is sold and billed, import jobs, lanes
imports/*.csv                       files of unfinished import jobs
carried/*.parquet                   what the store knows and the log does not (`metering.store.carried`)
segments/*.segment.zst              the log from its first offset to its durable end, as the archive keeps it

The file of keys (`secrets.key`) is not in it: who finds a backup shall not find passwords. Keep a copy elsewhere;
without it, connections are saved again with their passwords.

The store is not in it: it is derived again from the log, which proves on the way that the log can be read.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ingest.log.local.files import DISK

NAME = "manifest.json"
FORMAT = 1
_PIECE_BYTES = 1024 * 1024


class BackupError(Exception):
    """It cannot be done; the message is one clear line."""


class BackupFile(msgspec.Struct, frozen=True):
    """One file, by its path within the backup; `sha256` in hexadecimal."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. The log's end: the next offset, the events before it, when its last message was taken (0: never)."""

    format: int
    release: str
    created_at: str
    log_id: str
    next_offset: int
    events: int
    appended_at_us: int
    settings: Mapping[str, Any]
    files: list[BackupFile]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make everything in the folder durable, then the manifest."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            DISK.sync_folder(path)
    path = folder / NAME
    with path.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())
    DISK.sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Read it.

    Raises:
        BackupError: there is none, or a newer release wrote it.
    """
    try:
        raw = (folder / NAME).read_bytes()
        version = msgspec.json.decode(raw)["format"]
        if version != FORMAT:
            raise BackupError(
                f"the backup in {folder} has format {version}, this release reads {FORMAT}: use the newer one"
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (OSError, msgspec.MsgspecError, LookupError, TypeError) as error:
        raise BackupError(f"{folder} is no whole backup: {NAME} cannot be read ({error})") from None


def files_of(folder: Path) -> Iterator[BackupFile]:
    """Give every file there is, with its checksum."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != NAME:
            size, sha256 = _digest(path)
            yield BackupFile(str(path.relative_to(folder)), size, sha256)


def copy_checked(source: Path, manifest: Manifest, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy every file of a backup, durable on return.

    Raises:
        BackupError: a file is missing, or is not what the manifest says.
    """
    for number, file in enumerate(manifest.files, 1):
        path, to = source / file.path, target / file.path
        if not to.resolve().is_relative_to(target.resolve()):
            raise BackupError(f"the manifest in {source} names {file.path!r}: that lies outside the backup")
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            copy_file(path, to)
        except FileNotFoundError:
            raise BackupError(f"{path} is missing from the backup: take another one") from None
        if _digest(to) != (file.size, file.sha256):
            raise BackupError(f"{path} is damaged: it is not what was backed up, take another one")
        progress(number, len(manifest.files))


def copy_file(path: Path, to: Path) -> None:
    """Copy one file, durable on return but for its name."""
    with path.open("rb") as source, to.open("xb") as target:
        os.fchmod(target.fileno(), 0o600)
        while piece := source.read(_PIECE_BYTES):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256
