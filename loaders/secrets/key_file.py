"""The file of keys that an installation makes for itself: private, whole or not there, never written over."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from loaders.secrets.errors import KeysError
from loaders.secrets.keys import KeyFile, SecretKey, new_key

NAME = "secrets.key"


def make_key_file(path: Path) -> bool:
    """Make the file with a fresh key unless it is there; tells whether it was made, durable on return.

    Raises:
        KeysError: it cannot be made.
    """
    if path.exists():
        return False
    try:
        return _write(path, [new_key()], over=False)
    except OSError as error:
        raise KeysError(_cannot(path, error)) from None


def add_key(path: Path) -> SecretKey:
    """Put a fresh key before those of the file, which stay; durable on return.

    Raises:
        KeysError: the file cannot be read or written; it is as it was.
    """
    fresh = new_key()
    _replace(path, [fresh, *KeyFile(path).listed()])
    return fresh


def drop_keys(path: Path, ids: Collection[str]) -> None:
    """Take keys out of the file; the newest stays whatever it is called.

    Raises:
        KeysError: the file cannot be read or written; it is as it was.
    """
    newest, *older = KeyFile(path).listed()
    _replace(path, [newest, *(key for key in older if key.id not in ids)])


def _replace(path: Path, keys: Sequence[SecretKey]) -> None:
    try:
        _write(path, keys, over=True)
    except OSError as error:
        raise KeysError(_cannot(path, error)) from None


def _write(path: Path, keys: Sequence[SecretKey], *, over: bool) -> bool:
    """Write beside the file, sync, and give it its name at once; nobody else may read it at any moment."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, "".join(f"{key.text}\n" for key in keys).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        if over:
            beside.replace(path)
        else:
            os.link(beside, path)  # Fails where another start was faster: its key is the one.
            beside.unlink()
    except FileExistsError:
        beside.unlink()
        return False
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"the file of keys {path} cannot be written ({error.strerror}): make its folder writable, "
        "or give a key with METERLINE_SECRETS_KEY"
    )
