"""Put one folder in another's place at once: at any instant the name leads to one of the two, whole."""

import ctypes
import os
from pathlib import Path

from ingest.log.local.files import DISK

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class ExchangeError(Exception):
    """The system cannot exchange two names; nothing was changed."""


def exchange(one: Path, other: Path) -> None:
    """Let two names on one file system change places; durable on return.

    Raises:
        ExchangeError: the system or the file system cannot do it.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        raise ExchangeError("this system cannot exchange two folders at once") from None
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        reason = os.strerror(ctypes.get_errno())
        raise ExchangeError(f"{one} and {other} cannot be exchanged at once: {reason}")
    DISK.sync_folder(one.parent)
    DISK.sync_folder(other.parent)
